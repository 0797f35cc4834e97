/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hs-replay - real traces through a real fabric, and held against it after
 *
 * Reads traces, plans who does what, starts (or finds) a fabric, replays every
 * span through the public API in one process per node, and then asks the
 * collector for exactly what the triggers named. Exits 0 only when the store
 * holds that, whole, equal, and nothing else.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/args.h"
#include "base/clock.h"
#include "model/import.h"
#include "tools/replay/driver.h"
#include "tools/replay/house.h"
#include "tools/replay/verify.h"

#define EXIT_DIFFERENT 1
#define EXIT_FABRIC    3
#define EXIT_INPUT     4
#define EXIT_SLOW      5

#define SPEED_MIN_SHARE 0.8

static volatile sig_atomic_t cancelled;

struct options {
	uint64_t nr_nodes;
	double speed;
	struct hs_args_list triggers;
	const char *format;
	uint64_t seed;
	uint64_t limit;
	uint64_t pool_bytes;
	const char *ship;
	const char *verbs_hosts;
	uint64_t patience_ns;
	const char *keep;
	const char *fabric;
	bool remap_ids;
	bool keep_gaps;
	bool dry_run;
	bool quiet;
};

struct replay {
	struct options options;
	struct hs_model_set set;
	struct hs_replay_plan plan;
	struct hs_replay_house house;
	struct hs_fabric fabric;
	struct hs_replay_driver driver;
	struct hs_replay_verify verify;
	bool house_started;
	bool progress;
	double speed;
};

static void on_signal(int signo)
{
	cancelled = 1;
}

static void catch_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static const char examples[] =
	"  # a hundredth of a recorded run, fifty times as fast, on three "
	"nodes\n"
	"  hs-replay --nodes 3 --speed 50 --trigger share=0.01 run.tar.xz\n"
	"  # the slowest of each operation, and everything with an error\n"
	"  hs-replay --trigger slow=p99 --trigger error traces/\n"
	"  # keep the fabric, look at what it collected, end it\n"
	"  hs-replay --keep /tmp/f --trigger share=0.1 run.tar.xz\n"
	"  hs traces list --fabric /tmp/f\n"
	"  hs stop --purge --fabric /tmp/f\n";

static const char exit_codes[] =
	"  0  exactly the triggered traces were collected, complete and equal\n"
	"  1  they were not; what differs is named\n"
	"  2  the command line is wrong\n"
	"  3  no fabric: a daemon did not start or answer, or a node died\n"
	"  4  the input cannot be used, or a trigger fires on nothing in it\n"
	"  5  under 80 % of the speed that was asked for\n";

static int parse(struct options *o, int argc, char **argv, int *first)
{
	const struct hs_args_option table[] = {
		{"nodes", 'n', HS_ARGS_U64, &o->nr_nodes, "N",
		 "nodes, each with an agent and an application", 1,
		 HS_REPLAY_NODES_MAX},
		{"speed", 's', HS_ARGS_DOUBLE, &o->speed, "FACTOR",
		 "how much faster than the source traces arrive", 0, 0},
		{"trigger", 't', HS_ARGS_LIST, &o->triggers, "RULE",
		 "share=0.01, slow=p99 or error; may be given again", 0, 0},
		{"format", 'f', HS_ARGS_STRING, &o->format, "FORMAT",
		 "auto, jaeger, otlp or nezha-csv", 0, 0},
		{"seed", 0, HS_ARGS_U64, &o->seed, "N",
		 "which traces a share takes", 0, 0},
		{"limit", 0, HS_ARGS_U64, &o->limit, "N",
		 "replay the first N traces only; 0: all", 0, 0},
		{"remap-ids", 0, HS_ARGS_FLAG, &o->remap_ids, NULL,
		 "make ids of texts that are none, and fresh ones where two "
		 "inputs disagree on one",
		 0, 0},
		{"keep-gaps", 0, HS_ARGS_FLAG, &o->keep_gaps, NULL,
		 "keep idle times over 2 s", 0, 0},
		{"fabric", 0, HS_ARGS_STRING, &o->fabric, "DIR",
		 "use the running fabric of this directory", 0, 0},
		{"keep", 0, HS_ARGS_STRING, &o->keep, "DIR",
		 "start a fabric there and leave it running", 0, 0},
		{"pool", 0, HS_ARGS_SIZE, &o->pool_bytes, "SIZE",
		 "memory of each agent; 0: enough for the input", 0, 0},
		{"ship", 0, HS_ARGS_STRING, &o->ship, "CARRIER",
		 "what carries the slices: udp; absent: the transport", 0, 0},
		{"verbs", 0, HS_ARGS_STRING, &o->verbs_hosts, "HOSTS",
		 "the daemons talk over RDMA by these addresses: of the "
		 "coordinator, the collector, the agents",
		 0, 0},
		{"patience", 0, HS_ARGS_DURATION, &o->patience_ns, "TIME",
		 "give up when nothing changes at the collector for so long", 0,
		 0},
		{"dry-run", 0, HS_ARGS_FLAG, &o->dry_run, NULL,
		 "read and plan only", 0, 0},
		{"quiet", 'q', HS_ARGS_FLAG, &o->quiet, NULL,
		 "print the last line only", 0, 0},
	};
	const struct hs_args_program program = {
		.name = "hs-replay",
		.synopsis = "[options] --trigger RULE FILE...",
		.summary =
			"Replays real traces through a fabric: services are "
			"laid out over nodes, every span is recorded through "
			"the public API, contexts travel with the calls. Then "
			"holds what was collected against the input. A FILE is "
			"Jaeger JSON, OTLP JSON, a directory or an archive.",
		.options = table,
		.nr_options = sizeof(table) / sizeof(*table),
		.examples = examples,
		.exit_codes = exit_codes,
	};

	return hs_args_parse(&program, argc, argv, first, stdout, stderr);
}

static int check_options(struct replay *r, int nr_files)
{
	struct options *o = &r->options;
	struct hs_replay_plan *plan = &r->plan;
	char error[256];
	uint32_t i, j;

	if (nr_files < 1 || !o->triggers.nr_items) {
		fprintf(stderr,
			"hs-replay: wants --trigger RULE and FILE..., as in "
			"hs-replay --trigger share=0.01 run.tar.xz\n");
		return -EINVAL;
	}
	if (!(o->speed > 0 && o->speed <= 1e6)) {
		fprintf(stderr, "hs-replay: --speed wants a number above 0\n");
		return -EINVAL;
	}
	if (o->keep && o->fabric) {
		fprintf(stderr, "hs-replay: --keep starts a fabric, --fabric "
				"uses one: give one of them\n");
		return -EINVAL;
	}
	for (i = 0; i < o->triggers.nr_items; i++) {
		if (hs_replay_rule_parse(o->triggers.items[i], &plan->rules[i],
					 error, sizeof(error))) {
			fprintf(stderr, "hs-replay: --trigger %s\n", error);
			return -EINVAL;
		}
		for (j = 0; j < i; j++) {
			if (plan->rules[i].type != plan->rules[j].type)
				continue;
			fprintf(stderr,
				"hs-replay: --trigger '%s': one %s rule is "
				"enough\n",
				o->triggers.items[i],
				hs_replay_rule_name(plan->rules[i].type));
			return -EINVAL;
		}
	}
	plan->nr_rules = i;
	return 0;
}

static void note(void *ctx, const char *text)
{
	fprintf(stderr, "hs-replay: %s\n", text);
}

static void say_counts(const struct hs_model_import_counts *c, uint32_t kept)
{
	printf("replay: input files=%llu traces=%u spans=%llu",
	       (unsigned long long)c->nr_files, kept,
	       (unsigned long long)c->nr_spans);
	if (c->nr_spans_merged)
		printf(" duplicates_merged=%llu",
		       (unsigned long long)c->nr_spans_merged);
	if (c->nr_files_refused || c->nr_files_damaged || c->nr_traces_refused)
		printf(" files_refused=%llu files_damaged=%llu "
		       "traces_refused=%llu",
		       (unsigned long long)c->nr_files_refused,
		       (unsigned long long)c->nr_files_damaged,
		       (unsigned long long)c->nr_traces_refused);
	if (c->nr_spans_skipped)
		printf(" spans_skipped=%llu",
		       (unsigned long long)c->nr_spans_skipped);
	if (c->nr_ids_remapped || c->nr_traces_renamed)
		printf(" ids_remapped=%llu traces_renamed=%llu",
		       (unsigned long long)c->nr_ids_remapped,
		       (unsigned long long)c->nr_traces_renamed);
	putchar('\n');
}

/* Traces cannot be taken out of a set; those to keep move to another. */
static int keep_first(struct hs_model_set *set, uint32_t nr)
{
	struct hs_model_set kept;
	uint64_t nr_merged = 0;
	uint32_t i;
	int err = 0;

	hs_model_set_init(&kept);
	for (i = 0; i < set->nr_traces; i++) {
		if (i < nr && err >= 0)
			err = hs_model_set_commit(&kept, set->traces[i],
						  HS_MODEL_MERGE_UNION,
						  &nr_merged);
		else
			hs_model_trace_free(set->traces[i]);
	}
	set->nr_traces = 0;
	hs_model_set_destroy(set);
	*set = kept;
	return err < 0 ? err : 0;
}

static int load(struct replay *r, char **files, int nr_files)
{
	struct hs_model_import import;
	struct hs_model_set *set = &r->set;
	int i, err = 0;

	hs_model_import_init(&import, set);
	import.note = note;
	import.options.remap_ids = r->options.remap_ids;
	if (hs_model_format_parse(r->options.format, &import.options.format)) {
		fprintf(stderr,
			"hs-replay: --format '%s': wants auto, jaeger, otlp "
			"or nezha-csv\n",
			r->options.format);
		return -EINVAL;
	}
	for (i = 0; i < nr_files && !err; i++) {
		err = hs_model_import_path(&import, files[i]);
		if (err)
			fprintf(stderr, "hs-replay: %s: %s\n", files[i],
				strerror(-err));
	}
	if (err)
		return err;
	if (r->options.limit && r->options.limit < set->nr_traces)
		err = keep_first(set, (uint32_t)r->options.limit);
	if (!r->options.quiet)
		say_counts(&import.counts, set->nr_traces);
	if (!err && !set->nr_traces) {
		fprintf(stderr, "hs-replay: no trace in the input\n");
		return -ENODATA;
	}
	return err;
}

static int make_plan(struct replay *r)
{
	struct hs_replay_plan *plan = &r->plan;
	uint32_t i;
	int err;

	plan->set = &r->set;
	plan->nr_nodes = (uint32_t)r->options.nr_nodes;
	plan->seed = r->options.seed;
	plan->keep_gaps = r->options.keep_gaps;
	err = hs_replay_plan_make(plan);
	if (err) {
		fprintf(stderr, "hs-replay: cannot plan: %s\n", strerror(-err));
		return err;
	}
	for (i = 0; i < plan->nr_rules; i++) {
		if (plan->rules[i].nr_traces)
			continue;
		fprintf(stderr,
			"hs-replay: trigger %s fires on no trace of the "
			"input\n",
			hs_replay_rule_name(plan->rules[i].type));
		err = -ENODATA;
	}
	if (r->options.quiet)
		return err;
	printf("replay: plan nodes=%u services=%u visits=%u gaps_cut=%llu",
	       plan->nr_nodes, plan->nr_services, plan->nr_fragments,
	       (unsigned long long)plan->nr_gaps_cut);
	for (i = 0; i < plan->nr_rules; i++)
		printf(" %s=%llu", hs_replay_rule_name(plan->rules[i].type),
		       (unsigned long long)plan->rules[i].nr_traces);
	putchar('\n');
	return err;
}

static int find_fabric(struct replay *r)
{
	char error[1024];
	int err;

	if (!r->options.fabric) {
		r->house.verbs_hosts = r->options.verbs_hosts;
		r->house.ship = r->options.ship;
		r->house.pool_bytes = r->options.pool_bytes;
		if (!r->house.pool_bytes)
			r->house.pool_bytes =
				hs_replay_plan_pool_bytes(&r->plan);
		r->house.keep = r->options.keep != NULL;
		r->house_started = true;
		err = hs_replay_house_start(&r->house, r->plan.nr_nodes,
					    r->options.keep);
		r->fabric = r->house.fabric;
		return err;
	}
	err = hs_fabric_load(&r->fabric, r->options.fabric, error,
			     sizeof(error));
	if (err) {
		fprintf(stderr, "hs-replay: %s\n", error);
		return err;
	}
	if (r->fabric.nr_nodes >= r->plan.nr_nodes && r->fabric.nr_collectors)
		return 0;
	fprintf(stderr,
		"hs-replay: %s has %u nodes and %u collectors; --nodes %u "
		"wants as many nodes and a collector\n",
		r->options.fabric, r->fabric.nr_nodes, r->fabric.nr_collectors,
		r->plan.nr_nodes);
	return -EINVAL;
}

static int drive(struct replay *r)
{
	const char *sockets[HS_REPLAY_NODES_MAX];
	uint32_t i;
	int err;

	for (i = 0; i < r->plan.nr_nodes; i++)
		sockets[i] = r->fabric.nodes[i].application;
	r->driver.plan = &r->plan;
	r->driver.speed = r->options.speed;
	r->driver.progress = r->progress;
	r->driver.cancelled = &cancelled;
	err = hs_replay_driver_start(&r->driver, sockets);
	if (!err)
		err = hs_replay_driver_run(&r->driver);
	r->speed = hs_replay_driver_speed(&r->driver);
	if (err && !cancelled)
		fprintf(stderr, "hs-replay: the replay broke off: %s\n",
			strerror(-err));
	return err;
}

/* What was lost on the way explains what differs afterwards. */
static void say_losses(const struct hs_replay_driver *driver)
{
	uint32_t i;

	for (i = 0; i < driver->nr_nodes; i++) {
		const struct hs_replay_node_state *s = &driver->states[i];
		const struct hs_client_stats *c = &s->client;

		if (!(c->buffers_null | c->entries_lost | c->handles_lost |
		      c->calls_nested | c->calls_stale | c->triggers_limited |
		      s->nr_fires_refused | s->nr_contexts_bad) &&
		    c->attachments <= 1)
			continue;
		fprintf(stderr,
			"hs-replay: node %u: buffers_null=%llu "
			"entries_lost=%llu handles_lost=%llu calls_nested=%llu "
			"calls_stale=%llu triggers_limited=%llu "
			"fires_tried_again=%llu contexts_bad=%llu "
			"attachments=%llu\n",
			i, (unsigned long long)c->buffers_null,
			(unsigned long long)c->entries_lost,
			(unsigned long long)c->handles_lost,
			(unsigned long long)c->calls_nested,
			(unsigned long long)c->calls_stale,
			(unsigned long long)c->triggers_limited,
			(unsigned long long)s->nr_fires_refused,
			(unsigned long long)s->nr_contexts_bad,
			(unsigned long long)c->attachments);
	}
}

static void say_speed(const struct replay *r)
{
	if (r->options.quiet)
		return;
	if (r->speed > 0)
		printf("replay: speed asked=%g achieved=%.2f\n",
		       r->options.speed, r->speed);
	else
		printf("replay: speed asked=%g achieved=- (no time between "
		       "arrivals)\n",
		       r->options.speed);
}

static int judge(struct replay *r)
{
	const struct hs_replay_result *result = &r->verify.result;

	say_losses(&r->driver);
	say_speed(r);
	printf("replay: triggered=%llu complete=%llu partial=%llu "
	       "untriggered_collected=%llu spans_equal=%s counts_equal=%s\n",
	       (unsigned long long)result->nr_triggered,
	       (unsigned long long)result->nr_complete,
	       (unsigned long long)result->nr_partial,
	       (unsigned long long)result->nr_untriggered_collected,
	       result->nr_unequal || result->nr_missing ? "false" : "true",
	       result->nr_counts_unequal ? "false" : "true");
	if (!hs_replay_result_good(result))
		return EXIT_DIFFERENT;
	if (r->speed > 0 && r->speed < SPEED_MIN_SHARE * r->options.speed) {
		fprintf(stderr, "hs-replay: under 80 %% of the speed that was "
				"asked for\n");
		return EXIT_SLOW;
	}
	return 0;
}

static int replay(struct replay *r)
{
	int err = find_fabric(r);

	if (err)
		return err == -EINVAL ? HS_ARGS_EXIT_USAGE : EXIT_FABRIC;
	r->verify.plan = &r->plan;
	r->verify.fabric = &r->fabric;
	r->verify.cancelled = &cancelled;
	r->verify.progress = r->progress;
	r->verify.patience_ns = r->options.patience_ns;
	err = hs_replay_verify_before(&r->verify);
	if (!err)
		err = hs_replay_verify_counts_before(&r->verify);
	if (!err)
		err = drive(r);
	if (!err)
		err = hs_replay_verify_wait(&r->verify);
	if (!err)
		err = hs_replay_verify_compare(&r->verify);
	if (!err)
		err = hs_replay_verify_counts(&r->verify);
	if (hs_replay_driver_stop(&r->driver) && !err)
		err = -EPIPE;
	return err ? EXIT_FABRIC : judge(r);
}

static void clean_up(struct replay *r)
{
	if (r->house_started)
		hs_replay_house_stop(&r->house);
	hs_replay_verify_free(&r->verify);
	hs_replay_plan_free(&r->plan);
	hs_model_set_destroy(&r->set);
	free(r);
}

int main(int argc, char **argv)
{
	const char *triggers[HS_REPLAY_RULES_MAX];
	struct replay *r = calloc(1, sizeof(*r));
	int first, rc;

	if (!r)
		return EXIT_FABRIC;
	r->options.nr_nodes = 3;
	r->options.speed = 1;
	r->options.format = "auto";
	r->options.seed = 1;
	r->options.patience_ns = 15 * HS_NS_PER_SEC;
	r->options.triggers.items = triggers;
	r->options.triggers.nr_items_max = HS_REPLAY_RULES_MAX;
	hs_model_set_init(&r->set);
	rc = parse(&r->options, argc, argv, &first);
	if (rc == HS_ARGS_HELP) {
		rc = 0;
	} else if (rc || check_options(r, argc - first)) {
		rc = HS_ARGS_EXIT_USAGE;
	} else {
		catch_signals();
		r->progress = !r->options.quiet && isatty(STDERR_FILENO);
		if (load(r, argv + first, argc - first) || make_plan(r))
			rc = EXIT_INPUT;
		else if (!r->options.dry_run)
			rc = replay(r);
	}
	clean_up(r);
	return cancelled ? 130 : rc;
}
