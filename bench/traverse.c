/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: hs-perf traverse: how long it takes from a trigger until its
 * manifest is on its way to the collector, with the real daemons in processes
 * of their own, over traces that were written long before (the paper's figure
 * 4c), and how long it takes when a coordinator dies.
 */
#include "bench/traverse.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/args.h"
#include "base/clock.h"

#define RATES_MAX      32u
#define BUFFER_BYTES   512u
#define POINT_MAX      100000u /* triggers of a rate */
#define PROTOTYPE_US   9000.0  /* its p99 at PROTOTYPE_RATE, with two agents */
#define PROTOTYPE_RATE 7500.0

struct command {
	struct hs_traverse_options options;
	const char *rates, *sizes, *carriers;
	uint64_t live, seconds;
	double rate[RATES_MAX];
	uint32_t nr_rates;
	bool failover, stopped;
	struct hs_bench_report report;
};

static uint64_t nr_of(const struct command *c, double per_s)
{
	double nr = per_s * (double)c->seconds;

	return nr > POINT_MAX ? POINT_MAX : nr < 16 ? 16 : (uint64_t)nr;
}

/* "100,1000,7500": Return: how many, 0: not like that. */
static uint32_t numbers(const char *text, double *out, uint32_t max)
{
	uint32_t nr = 0;
	char *end;

	do {
		if (nr == max)
			return 0;
		out[nr] = strtod(text, &end);
		if (end == text || out[nr] < 1 || out[nr] > 1e7)
			return 0;
		nr++;
		text = end + 1;
	} while (*end == ',');
	return *end ? 0 : nr;
}

static void name_of(const struct command *c, const char *what, double per_s,
		    char *out, size_t out_bytes)
{
	const struct hs_traverse_options *o = &c->options;
	char shape[24], rate[32];

	if (o->plan.shape == HS_TRAVERSE_CHAIN)
		snprintf(shape, sizeof(shape), "%unodes", o->plan.nr_visits);
	else if (o->plan.shape == HS_TRAVERSE_FAN)
		snprintf(shape, sizeof(shape), "fan%u", o->plan.nr_visits);
	else
		snprintf(shape, sizeof(shape), "graphs");
	if (fmod(per_s, 1000) == 0)
		snprintf(rate, sizeof(rate), "%.0fk", per_s / 1000);
	else
		snprintf(rate, sizeof(rate), "%.0f", per_s);
	snprintf(out, out_bytes, "%.16s_%.12s_%.8s_%.5s%s", what, shape, rate,
		 o->carrier, o->realtime ? "_rr" : "");
}

static struct hs_bench_result *add(struct command *c, const char *what,
				   const struct hs_traverse_point *p,
				   const char *unit, double value)
{
	char name[sizeof(c->report.results->name)];
	struct hs_bench_result *r;

	name_of(c, what, p->per_s, name, sizeof(name));
	r = hs_bench_add(&c->report, name, unit);
	r->n = p->nr;
	r->median = r->low = r->high = r->p99 = value;
	return r;
}

static double calls_of(const struct hs_traverse_cost *cost)
{
	uint64_t messages = cost->messages_sent + cost->messages_received;

	return (double)(cost->system_calls + cost->waits) /
	       (double)(messages ? messages : 1);
}

/* What it took, a trigger. */
static void tell_costs(struct command *c, const struct hs_traverse_point *p)
{
	const struct hs_traverse_cost *k = &p->coordinators, *a = &p->agents;
	struct hs_bench_result *r;
	double nr = (double)p->nr;

	r = add(c, "messages", p, "a trigger",
		(double)(k->messages_sent + k->messages_received) / nr);
	snprintf(r->note, sizeof(r->note),
		 "of the coordinators; 2 a hop and 2 is %u",
		 2 * c->options.plan.nr_visits + 2);
	r = add(c, "calls", p, "a message", calls_of(k));
	hs_bench_ratio_add(r, "agents", calls_of(a));
	snprintf(r->note, sizeof(r->note),
		 "system calls of the coordinators, %.2f of them waiting; "
		 "agents send %.2f messages a trigger, slices too",
		 (double)k->waits / (double)(k->system_calls + k->waits + 1),
		 (double)a->messages_sent / nr);
	if (k->reads) {
		r = add(c, "read_ahead", p, "share",
			(double)k->reads_hit / (double)k->reads);
		snprintf(r->note, sizeof(r->note),
			 "of %.1f buckets of crumbs that were read a trigger, "
			 "those that were the trace's and in time",
			 (double)k->reads / nr);
	}
	r = add(c, "coordinator_cpu", p, "us", (double)k->cpu_ns / 1000 / nr);
	snprintf(r->note, sizeof(r->note),
		 "a trigger; all agents %.1f us, the busiest %.1f, collector "
		 "%.1f",
		 (double)a->cpu_ns / 1000 / nr, p->agents_cpu_max_us,
		 (double)p->collector.cpu_ns / 1000 / nr);
}

static void tell_chain(struct command *c, const struct hs_traverse_point *p)
{
	struct hs_bench_result *r = add(c, "control_chain", p, "us", 0);

	r->n = p->chain.n;
	r->median = r->low = r->high = p->chain.p50_us;
	r->p99 = p->chain.p99_us;
	r->max = p->chain.max_us;
	snprintf(r->note, sizeof(r->note),
		 "from one sleeper to the next, %u in a row, by pipes: what "
		 "of a traversal's time this machine takes",
		 hs_traverse_wakes(&c->options.plan));
}

static void tell(struct command *c, const struct hs_traverse_point *p)
{
	struct hs_bench_result *r = add(c, "traverse", p, "us", 0);
	const struct hs_traverse_control *k = &p->control;

	hs_bench_summarize(r, p->us, p->nr_settled);
	r->max = p->nr_settled ? p->us[p->nr_settled - 1] : 0;
	r->lost_share = (double)(p->nr - p->nr_settled) / (double)p->nr;
	if (k->p99_us > 0)
		hs_bench_ratio_add(r, "control_p99", r->p99 / k->p99_us);
	if (p->chain.p99_us > 0)
		hs_bench_ratio_add(r, "chain_p99", r->p99 / p->chain.p99_us);
	if (p->per_s == PROTOTYPE_RATE && c->options.plan.nr_visits == 2 &&
	    r->p99 > 0)
		hs_bench_ratio_add(r, "prototype_p99", r->p99 / PROTOTYPE_US);
	snprintf(r->note, sizeof(r->note),
		 "control: p50 %.0f p99 %.0f max %.0f us; %.0f a second came "
		 "out; %llu refused",
		 k->p50_us, k->p99_us, k->max_us,
		 (double)p->nr_settled * 1e9 /
			 (double)(p->spread_ns ? p->spread_ns : 1),
		 (unsigned long long)p->nr_refused);
	tell_chain(c, p);
	tell_costs(c, p);
}

/* The last manifest of each names all the nodes that the plan has. */
static uint64_t nr_short(const struct hs_traverse_fabric *f, uint64_t nr)
{
	uint64_t bad = 0;

	for (uint64_t i = 0; i < nr; i++) {
		struct hs_traverse_trace t;

		hs_traverse_plan_trace(&f->options->plan, i, &t);
		bad += f->settled_ns[i] &&
		       f->nr_answers[i] != __builtin_popcountll(t.visited);
	}
	return bad;
}

static void tell_whole(struct command *c, struct hs_traverse_fabric *f,
		       uint64_t nr)
{
	struct hs_traverse_point p = {.per_s = c->rate[0], .nr = nr};
	struct hs_bench_result *r;
	uint64_t stored = hs_traverse_tap_stored(f->tap);

	hs_traverse_tap_stop(f->tap);
	f->tap = NULL;
	r = add(c, "whole", &p, "manifests", (double)stored);
	r->lost_share = (double)nr_short(f, nr) / (double)nr;
	snprintf(r->note, sizeof(r->note),
		 "acknowledged by the collector, of %llu triggers of all "
		 "rates; lost: those that do not name every node",
		 (unsigned long long)nr);
}

static int rates(struct command *c, struct hs_traverse_fabric *f)
{
	uint64_t next = 0, written = c->live + nr_of(c, c->rate[0]);
	int rc = hs_traverse_write(f, 0, written) ? 0 : -EIO;

	for (uint32_t i = 0; i < c->nr_rates && !rc; i++) {
		struct hs_traverse_point p = {.per_s = c->rate[i],
					      .first = next,
					      .nr = nr_of(c, c->rate[i]),
					      .seed = c->options.plan.seed + i};
		uint64_t more =
			i + 1 < c->nr_rates ? nr_of(c, c->rate[i + 1]) : 0;

		rc = hs_traverse_point_run(f, &p, NULL);
		if (!rc)
			tell(c, &p);
		hs_traverse_point_free(&p);
		next += p.nr;
		/* As many live ones as before, for the next. */
		if (!rc && more && !hs_traverse_write(f, written, more))
			rc = -EIO;
		written += more;
	}
	if (!rc)
		tell_whole(c, f, next);
	return rc;
}

static void kill_one(struct hs_traverse_fabric *f)
{
	kill(f->coordinators[0], SIGKILL);
	waitpid(f->coordinators[0], NULL, 0);
	f->coordinators[0] = 0;
}

static void stop_one(struct hs_traverse_fabric *f)
{
	kill(f->coordinators[0], SIGSTOP);
}

/* The longest that a trigger waited after the death, or after it was due. */
static int failover(struct command *c, struct hs_traverse_fabric *f)
{
	struct hs_traverse_point p = {.per_s = c->rate[0],
				      .nr = nr_of(c, c->rate[0]),
				      .seed = c->options.plan.seed};
	uint64_t *due, dead_ns, nr_after = 0;
	struct hs_bench_result *r;
	double worst = 0;
	int rc = hs_traverse_write(f, 0, c->live + p.nr) ? 0 : -EIO;

	if (!rc)
		rc = hs_traverse_point_run(f, &p,
					   c->stopped ? stop_one : kill_one);
	if (rc)
		return rc;
	due = hs_traverse_point_due(&p);
	/* When `during` was called, at the earliest. */
	dead_ns = p.at_ns + (uint64_t)((double)p.nr / p.per_s * 5e8);
	for (uint64_t k = 0; k < p.nr; k++) {
		uint64_t at = f->settled_ns[k];
		uint64_t from = due[k] > dead_ns ? due[k] : dead_ns;

		if (at <= dead_ns)
			continue;
		nr_after++;
		if ((double)(at - from) / 1e6 > worst)
			worst = (double)(at - from) / 1e6;
	}
	r = hs_bench_add(&c->report,
			 c->stopped ? "failover_silent_ms" : "failover_ms",
			 "ms");
	r->median = r->low = r->high = r->p99 = worst;
	r->n = nr_after;
	r->lost_share = (double)(p.nr - p.nr_settled) / (double)p.nr;
	snprintf(r->note, sizeof(r->note),
		 "%s: one of %u coordinators %s under %.0f triggers a second; "
		 "the longest that any then waited; control max %.1f ms",
		 c->options.carrier, c->options.nr_coordinators,
		 c->stopped ? "stopped" : "killed", p.per_s,
		 p.control.max_us / 1000);
	free(due);
	hs_traverse_point_free(&p);
	return 0;
}

static int one_fabric(struct command *c)
{
	struct hs_traverse_fabric *f = calloc(1, sizeof(*f));
	int rc;

	if (!f)
		return -ENOMEM;
	c->options.nr_traces = c->live;
	for (uint32_t i = 0; i < c->nr_rates; i++)
		c->options.nr_traces += nr_of(c, c->rate[i]);
	/* What was fired may stay, and is at most half of a pool. */
	c->options.pool_bytes =
		(c->options.nr_traces * BUFFER_BYTES * 2 + (32u << 20)) &
		~(uint64_t)0xfffff;
	rc = hs_traverse_fabric_start(f, &c->options);
	if (!rc)
		rc = c->failover ? failover(c, f) : rates(c, f);
	if (rc)
		fprintf(stderr, "hs-perf: not measured: %s\n", strerror(-rc));
	hs_traverse_fabric_stop(f);
	free(f);
	return rc;
}

static int all(struct command *c)
{
	char list[256], *rest = NULL;
	double sizes[RATES_MAX];
	uint32_t nr_sizes = numbers(c->sizes, sizes, RATES_MAX);
	int rc = 0;

	c->nr_rates = numbers(c->rates, c->rate, RATES_MAX);
	if (!c->nr_rates || !nr_sizes || strlen(c->carriers) >= sizeof(list)) {
		fputs("hs-perf: --rates, --sizes should be numbers with commas "
		      "between them\n",
		      stderr);
		return HS_ARGS_EXIT_USAGE;
	}
	snprintf(list, sizeof(list), "%s", c->carriers);
	for (char *w = strtok_r(list, ",", &rest); w && !rc;
	     w = strtok_r(NULL, ",", &rest))
		for (uint32_t i = 0; i < nr_sizes && !rc; i++) {
			struct hs_traverse_plan *plan = &c->options.plan;

			c->options.carrier = w;
			plan->nr_visits = (uint32_t)sizes[i];
			if (plan->nr_visits > plan->nr_nodes ||
			    plan->nr_origins > plan->nr_nodes) {
				fputs("hs-perf: --sizes and --origins should "
				      "be at most --nodes\n",
				      stderr);
				return HS_ARGS_EXIT_USAGE;
			}
			rc = one_fabric(c);
		}
	return rc ? 1 : 0;
}

static int measure(struct command *c)
{
	int rc;

	signal(SIGPIPE, SIG_IGN);
	if (!c->options.nr_coordinators)
		c->options.nr_coordinators = c->failover ? 2 : 1;
	if (hs_traverse_plan_make(&c->options.plan, c->options.shape))
		return HS_ARGS_EXIT_USAGE;
	hs_bench_control_run(&c->report, 200 * HS_NS_PER_MS);
	rc = all(c);
	if (c->report.nr_results > 1 && hs_bench_print(&c->report, stdout))
		rc = rc ? rc : 1;
	hs_bench_free(&c->report);
	hs_traverse_plan_free(&c->options.plan);
	return rc;
}

/* The options are what is long. */
int hs_perf_traverse(int argc, char **argv)
{
	struct command c = {
		.options = {.listen = "127.0.0.1",
			    .shape = "chain",
			    .slice_rate = 64 << 10,
			    .plan = {.seed = 1}},
		.rates = "100,1000,3000,5000,7500,10000",
		.sizes = "10",
		.carriers = "tcp",
		.live = 100000,
		.seconds = 3,
	};
	uint64_t nodes = 10, origins = 1, coordinators = 0;
	const struct hs_args_option options[] = {
		{"carriers", 0, HS_ARGS_STRING, &c.carriers, "LIST",
		 "tcp, verbs, shm: one after the other", 0, 0},
		{"nodes", 'n', HS_ARGS_U64, &nodes, "N", "agents", 1,
		 HS_TRAVERSE_NODES_MAX},
		{"sizes", 0, HS_ARGS_STRING, &c.sizes, "LIST",
		 "nodes of a trace", 0, 0},
		{"shape", 's', HS_ARGS_STRING, &c.options.shape, "SHAPE",
		 "chain, fan, or a file of tests/sim/graphs.py", 0, 0},
		{"rates", 'r', HS_ARGS_STRING, &c.rates, "LIST",
		 "triggers a second", 0, 0},
		{"seconds", 0, HS_ARGS_U64, &c.seconds, "N", "of each rate", 1,
		 600},
		{"live", 'l', HS_ARGS_U64, &c.live, "N",
		 "traces that are not fired", 0, 1u << 22},
		{"origins", 'o', HS_ARGS_U64, &origins, "N",
		 "nodes that fire, from the first one", 1,
		 HS_TRAVERSE_NODES_MAX},
		{"coordinators", 'c', HS_ARGS_U64, &coordinators, "N",
		 "shards; 0: 1, or 2 with --failover", 0,
		 HS_TRAVERSE_COORDINATORS_MAX},
		{"slice-rate", 0, HS_ARGS_SIZE, &c.options.slice_rate, "BYTES",
		 "of slices an agent sends in a second; 0B: no limit", 0, 0},
		{"hosts", 0, HS_ARGS_STRING, &c.options.hosts, "FILE",
		 "how a command runs on each node's machine, a line each", 0,
		 0},
		{"realtime", 0, HS_ARGS_FLAG, &c.options.realtime, NULL,
		 "agents and coordinators run by SCHED_RR, as by chrt -r 1; "
		 "names end in _rr",
		 0, 0},
		{"listen", 0, HS_ARGS_STRING, &c.options.listen, "ADDRESS",
		 "this machine's, as those can reach it", 0, 0},
		{"failover", 0, HS_ARGS_FLAG, &c.failover, NULL,
		 "kill a coordinator in the middle of the first rate", 0, 0},
		{"silent", 0, HS_ARGS_FLAG, &c.stopped, NULL,
		 "with --failover: stop it, so that nobody hears of it", 0, 0},
		{"seed", 0, HS_ARGS_U64, &c.options.plan.seed, "N",
		 "of traces and times", 0, 0},
		{"json", 'j', HS_ARGS_FLAG, &c.report.json, NULL,
		 "one JSON object, as docs/BENCH.md says", 0, 0},
	};
	const struct hs_args_program program = {
		.name = "hs-perf traverse",
		.synopsis = "[options]",
		.summary = "From a trigger, as it was due, to its manifest: "
			   "real agents, coordinators and collector, over "
			   "traces written long before.",
		.options = options,
		.nr_options = sizeof(options) / sizeof(options[0]),
		.exit_codes = "0 good\n1 invalid or not measured\n2 usage\n",
	};
	int first, rc;

	rc = hs_args_parse(&program, argc, argv, &first, stdout, stderr);
	if (rc)
		return rc == HS_ARGS_HELP ? 0 : HS_ARGS_EXIT_USAGE;
	c.options.plan.nr_nodes = (uint32_t)nodes;
	c.options.plan.nr_origins = (uint32_t)origins;
	c.options.nr_coordinators = (uint32_t)coordinators;
	return measure(&c);
}
