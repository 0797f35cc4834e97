/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see options.h. */
#include "bench/services/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/args.h"
#include "base/clock.h"
#include "base/units.h"
#include "bench/bench.h"

static int refuse(const char *option, const char *text, const char *right)
{
	fprintf(stderr, "hs-perf services: --%s '%s': wants %s\n", option, text,
		right);
	return -EINVAL;
}

struct word {
	const char *name;
	int value;
};

static int word_of(const char *option, const char *text,
		   const struct word *words, size_t nr, const char *right,
		   int *out)
{
	for (size_t i = 0; i < nr; i++)
		if (!strcmp(words[i].name, text)) {
			*out = words[i].value;
			return 0;
		}
	return refuse(option, text, right);
}
#define WORD(option, text, words, right, out)                                  \
	word_of(option, text, words, sizeof(words) / sizeof((words)[0]),       \
		right, out)

/* "NAME" or "NAME:0.01": the number behind it. */
static bool named(const char *text, const char *name, double *value)
{
	size_t n = strlen(name);
	char *end;

	if (strncmp(text, name, n) || text[n] != ':')
		return false;
	*value = strtod(text + n + 1, &end);
	return end != text + n + 1 && !*end;
}

/* ---- tracers
 * ------------------------------------------------------------------
 */

int hs_svc_tracer_parse(struct hs_svc_options *o, const char *text)
{
	static const struct word words[] = {
		{"bare", HS_SVC_TRACER_BARE},
		{"none", HS_SVC_TRACER_NONE},
		{"hindsight", HS_SVC_TRACER_HINDSIGHT},
		{"tail-sync", HS_SVC_TRACER_TAIL_SYNC},
		{"tail-async", HS_SVC_TRACER_TAIL_ASYNC},
	};
	const char *right = "bare, none, hindsight, fabric-head:SHARE, "
			    "head:SHARE, tail-sync or tail-async";
	double share;
	int value = 0, rc;

	o->fabric.head_share = 0;
	if (named(text, "head", &share)) {
		o->settings.tracer = HS_SVC_TRACER_HEAD;
		o->settings.head_share = share;
	} else if (named(text, "fabric-head", &share)) {
		o->settings.tracer = HS_SVC_TRACER_HINDSIGHT;
		o->fabric.head_share = share;
	} else {
		rc = WORD("tracer", text, words, right, &value);
		o->settings.tracer = (enum hs_svc_tracer)value;
		return rc;
	}
	return share > 0 && share <= 1 ? 0 : refuse("tracer", text, right);
}

/* http://HOST:PORT/PATH */
static int parse_otlp(struct hs_svc_options *o)
{
	struct hs_svc_settings *s = &o->settings;
	const char *right = "http://HOST:PORT[/PATH]";
	unsigned port = 0;
	int n = 0;

	snprintf(s->otlp_host, sizeof(s->otlp_host), "127.0.0.1");
	snprintf(s->otlp_path, sizeof(s->otlp_path), "/v1/traces");
	if (!o->otlp)
		return 0;
	if (sscanf(o->otlp, "http://%127[^:/]:%u%n", s->otlp_host, &port, &n) !=
		    2 ||
	    !port || port > 65535)
		return refuse("otlp", o->otlp, right);
	s->otlp_port = (uint16_t)port;
	if (o->otlp[n] == '/' && o->otlp[n + 1])
		snprintf(s->otlp_path, sizeof(s->otlp_path), "%s", o->otlp + n);
	else if (o->otlp[n] && o->otlp[n] != '/')
		return refuse("otlp", o->otlp, right);
	return 0;
}

/* ---- triggers
 * -----------------------------------------------------------------
 */

static int parse_trigger(struct hs_svc_options *o)
{
	static const struct word words[] = {
		{"none", HS_SVC_TRIGGER_NONE},
		{"fire", HS_SVC_TRIGGER_FIRE},
		{"exception", HS_SVC_TRIGGER_EXCEPTION},
		{"rule", HS_SVC_TRIGGER_RULE},
	};
	const char *right = "none, fire, exception, percentile:P, queue:P, "
			    "rule, or rule-percentile:P";
	struct hs_svc_settings *s = &o->settings;
	int value = 0, rc = 0;
	double p = 0;

	if (named(o->trigger, "percentile", &p)) {
		s->trigger = HS_SVC_TRIGGER_PERCENTILE;
	} else if (named(o->trigger, "queue", &p)) {
		s->trigger = HS_SVC_TRIGGER_QUEUE;
	} else if (named(o->trigger, "rule-percentile", &p)) {
		s->trigger = HS_SVC_TRIGGER_RULE;
		snprintf(o->rule, sizeof(o->rule),
			 "  - {name: edge, percentile: %.4f}\n", p);
	} else {
		rc = WORD("trigger", o->trigger, words, right, &value);
		s->trigger = (enum hs_svc_trigger)value;
		p = 99;
		if (s->trigger == HS_SVC_TRIGGER_RULE)
			snprintf(o->rule, sizeof(o->rule), "%s",
				 s->symptom == HS_SVC_SYMPTOM_FAILING
					 ? "  - {name: edge, status: error}\n"
					 : "  - {name: edge, attributes: "
					   "[edge]}\n");
	}
	if (!rc && (p < 50 || p > 99.9999))
		rc = refuse("trigger", o->trigger,
			    "a percentile of 50 to 99.9999");
	s->percentile = p;
	if (o->rule[0])
		o->fabric.rule = o->rule;
	return rc;
}

/* AT,NR,EACH */
static int parse_burst(struct hs_svc_options *o)
{
	char at[32], each[32];
	unsigned nr;

	if (!o->burst)
		return 0;
	if (sscanf(o->burst, "%31[^,],%u,%31s", at, &nr, each) != 3 ||
	    hs_units_duration_parse(at, &o->settings.burst_at_ns) ||
	    hs_units_duration_parse(each, &o->settings.burst_ns))
		return refuse("burst", o->burst,
			      "AT,NR,EACH such as 3s,10,20ms");
	o->settings.burst_nr = nr;
	return 0;
}

static int parse_symptoms(struct hs_svc_options *o)
{
	static const struct word words[] = {
		{"marked", HS_SVC_SYMPTOM_MARKED},
		{"slow", HS_SVC_SYMPTOM_SLOW},
		{"failing", HS_SVC_SYMPTOM_FAILING},
	};
	int value = 0, rc;

	rc = WORD("symptom", o->symptom, words, "marked, slow or failing",
		  &value);
	if (rc)
		return rc;
	o->settings.symptom = (enum hs_svc_symptom)value;
	o->settings.edge_service = HS_SVC_SERVICES_MAX;
	if (o->at) {
		o->settings.edge_service =
			hs_svc_topology_service(&o->loaded, o->at);
		if (o->settings.edge_service == HS_SVC_SERVICES_MAX)
			return refuse("at", o->at, "a service by name");
	}
	rc = parse_trigger(o);
	return rc ? rc : parse_burst(o);
}

/* ---- the rest
 * -----------------------------------------------------------------
 */

static int parse_rates(struct hs_svc_options *o)
{
	const char *at = o->rates;

	while (*at) {
		char *end;
		double v = strtod(at, &end);

		if (*end == 'k' || *end == 'M')
			v *= *end++ == 'k' ? 1e3 : 1e6;
		if (end == at || (*end && *end != ',') || !(v > 0) ||
		    o->nr_rates == HS_SVC_RATES_MAX)
			return refuse("rate", o->rates,
				      "numbers by commas, such as 1k,20k,1M");
		o->rate[o->nr_rates++] = v;
		at = *end ? end + 1 : end;
	}
	return o->nr_rates ? 0 : refuse("rate", o->rates, "a number");
}

/* TIME[,TIME...], from the shortest on */
static int parse_works(struct hs_svc_options *o)
{
	static const char right[] =
		"with --two, times by commas, each longer than the one before, "
		"such as 1us,10us";
	char list[256], *rest = list, *one;

	if (!o->works)
		return 0;
	if (!o->two || strlen(o->works) >= sizeof(list))
		return refuse("works", o->works, right);
	snprintf(list, sizeof(list), "%s", o->works);
	while ((one = strsep(&rest, ","))) {
		uint64_t ns;

		if (o->nr_works == HS_SVC_WORKS_MAX ||
		    hs_units_duration_parse(one, &ns) || !ns ||
		    (o->nr_works && (double)ns <= o->work_ns[o->nr_works - 1]))
			return refuse("works", o->works, right);
		o->work_ns[o->nr_works++] = (double)ns;
	}
	return 0;
}

static int load_topology(struct hs_svc_options *o)
{
	enum hs_svc_entry entry =
		o->callers ? HS_SVC_ENTRY_CALLERS : HS_SVC_ENTRY_ROOTS;
	const char *shared = getenv("HS_SHARED_DATA");
	char path[4096];
	double nr = 0;

	if (!strcmp(o->topology, "two"))
		return hs_svc_topology_chain(&o->loaded, 2);
	if (named(o->topology, "chain", &nr)) {
		if (nr < 1 || nr > HS_SVC_SERVICES_MAX)
			return refuse("topology", o->topology,
				      "1 to 512 services");
		return hs_svc_topology_chain(&o->loaded, (uint32_t)nr);
	}
	snprintf(path, sizeof(path), "%s", o->topology);
	if (access(path, R_OK) && shared)
		snprintf(path, sizeof(path), "%s/%s", shared, o->topology);
	return hs_svc_topology_load(&o->loaded, path, entry, o->entry);
}

static int parse_small_pool(struct hs_svc_options *o)
{
	char *end;
	unsigned long node;

	if (!o->small_pool)
		return 0;
	node = strtoul(o->small_pool, &end, 10);
	if (*end != ':' || node >= o->plan.nr_nodes ||
	    hs_units_size_parse(end + 1, &o->fabric.small_bytes))
		return refuse("small-pool", o->small_pool,
			      "NODE:SIZE, nodes from 0 on");
	o->fabric.small_node = (uint32_t)node;
	return 0;
}

static int parse_engine(struct hs_svc_options *o)
{
	static const struct word as[] = {{"threads", HS_SVC_AS_THREADS},
					 {"processes", HS_SVC_AS_PROCESSES}};
	static const struct word work[] = {{"spin", HS_SVC_WORK_SPIN},
					   {"sleep", HS_SVC_WORK_SLEEP},
					   {"memory", HS_SVC_WORK_MEMORY}};
	static const struct word idle[] = {{"spin", HS_SVC_IDLE_SPIN},
					   {"yield", HS_SVC_IDLE_YIELD},
					   {"sleep", HS_SVC_IDLE_SLEEP}};
	static const struct word calls[] = {{"rings", HS_SVC_OVER_RINGS},
					    {"tcp", HS_SVC_OVER_TCP},
					    {"dpdk", HS_SVC_OVER_DPDK}};
	static const struct word generator[] = {{"inline", 1}, {"own", 0}};
	int value = 0, rc;

	rc = WORD("as", o->as, as, "threads or processes", &value);
	o->settings.as = (enum hs_svc_as)value;
	if (!rc)
		rc = WORD("calls", o->calls, calls, "rings, tcp or dpdk",
			  &value);
	o->settings.over = (enum hs_svc_over)value;
	if (!rc)
		rc = WORD("work", o->work, work, "spin, sleep or memory",
			  &value);
	o->settings.work = (enum hs_svc_work)value;
	if (!rc)
		rc = WORD("idle", o->idle, idle, "spin, yield or sleep",
			  &value);
	o->settings.idle = (enum hs_svc_idle)value;
	if (!rc)
		rc = WORD("generator", o->generator, generator, "inline or own",
			  &value);
	o->generator_inline = value;
	if (rc)
		return rc;
	rc = hs_svc_plan_make(&o->plan, &o->loaded,
			      o->nodes < o->loaded.nr_services
				      ? (uint32_t)o->nodes
				      : o->loaded.nr_services,
			      o->settings.as, (uint32_t)o->threads);
	return rc ? refuse("nodes", "", "at most 64 nodes and 512 loops")
		  : parse_small_pool(o);
}

static int understand(struct hs_svc_options *o)
{
	int rc = load_topology(o);

	if (!rc)
		rc = parse_rates(o);
	if (!rc)
		rc = parse_works(o);
	if (!rc)
		rc = hs_svc_tracer_parse(o, o->tracer);
	if (!rc)
		rc = parse_otlp(o);
	if (!rc)
		rc = parse_symptoms(o);
	if (!rc)
		rc = parse_engine(o);
	o->settings.in_flight = (uint32_t)o->in_flight;
	o->settings.cpus = (uint32_t)o->cpus;
	o->settings.constant = o->constant;
	o->settings.all_truths = o->all_truths;
	o->settings.seed = o->seed;
	o->fabric.daemon_cpus = o->daemon_cpus;
	if (rc)
		hs_svc_topology_free(&o->loaded);
	return rc;
}

/* ---- the command line
 * -----------------------------------------------------------
 */

static struct hs_svc_options asked = {
	.topology = "two",
	.as = "threads",
	.calls = "rings",
	.work = "spin",
	.rates = "200k",
	.tracer = "hindsight",
	.symptom = "marked",
	.trigger = "fire",
	.generator = "inline",
	.idle = "sleep",
	.nodes = 2,
	.threads = 1,
	.in_flight = 1024,
	.seed = 1,
	.turns = 3,
	.settings = {.working_set_bytes = 16 << 20,
		     .warm_ns = 500 * HS_NS_PER_MS,
		     .span_ns = 1 * HS_NS_PER_SEC,
		     .drain_ns = 2 * HS_NS_PER_SEC,
		     .settle_ns = 40 * HS_NS_PER_SEC,
		     .slow_ns = 10 * HS_NS_PER_MS},
	.fabric = {.pool_bytes = 256ull << 20},
};

static const struct hs_args_option table[] = {
	{"two", '2', HS_ARGS_FLAG, &asked.two, NULL,
	 "the two figures of two services: off beside the rings "
	 "alone, and traced beside off",
	 0, 0},
	{"turns", 0, HS_ARGS_U64, &asked.turns, "N",
	 "with --two: how often each", 1, 100},
	{"works", 0, HS_ARGS_STRING, &asked.works, "TIME[,TIME...]",
	 "with --two: also off and traced where each call spins so long", 0, 0},
	{"topology", 't', HS_ARGS_STRING, &asked.topology, "NAME",
	 "two, chain:N, MicroBricks' JSON, or a folder of "
	 "alibaba-dgg's graphs; also below $HS_SHARED_DATA",
	 0, 0},
	{"entry", 0, HS_ARGS_STRING, &asked.entry, "SERVICE[/API]",
	 "all requests begin there; by default at those whom nobody "
	 "calls, by their weights",
	 0, 0},
	{"callers", 0, HS_ARGS_FLAG, &asked.callers, NULL,
	 "of those only at such as call others", 0, 0},
	{"nodes", 'n', HS_ARGS_U64, &asked.nodes, "N",
	 "groups of services, each with an agent", 1, HS_SVC_NODES_MAX},
	{"as", 0, HS_ARGS_STRING, &asked.as, "WORD",
	 "services of a node as threads of one process, or as "
	 "processes",
	 0, 0},
	{"calls", 0, HS_ARGS_STRING, &asked.calls, "WORD",
	 "what calls and replies travel over: rings in shared memory, tcp "
	 "over loopback, or dpdk, by ports of memif",
	 0, 0},
	{"threads", 0, HS_ARGS_U64, &asked.threads, "N",
	 "loops of a node's process", 1, 64},
	{"work", 'w', HS_ARGS_STRING, &asked.work, "WORD",
	 "spin, sleep or memory, while a service executes", 0, 0},
	{"time-scale", 0, HS_ARGS_DOUBLE, &asked.settings.time_scale, "X",
	 "times the topology's execution times; 0: no work", 0, 0},
	{"working-set", 0, HS_ARGS_SIZE, &asked.settings.working_set_bytes,
	 "SIZE", "of each loop, with --work memory", 4096, 1ull << 36},
	{"rate", 'r', HS_ARGS_STRING, &asked.rates, "N[,N...]",
	 "requests a second; several: a run of each", 0, 0},
	{"constant", 0, HS_ARGS_FLAG, &asked.constant, NULL,
	 "at equal distances instead of by Poisson", 0, 0},
	{"in-flight", 0, HS_ARGS_U64, &asked.in_flight, "N",
	 "requests under way at most; others are sent late", 1, 16384},
	{"warm", 0, HS_ARGS_DURATION, &asked.settings.warm_ns, "TIME",
	 "before the span", 1, 100 * HS_NS_PER_SEC},
	{"span", 's', HS_ARGS_DURATION, &asked.settings.span_ns, "TIME",
	 "that is measured", HS_NS_PER_MS, 36000 * HS_NS_PER_SEC},
	{"settle", 0, HS_ARGS_DURATION, &asked.settings.settle_ns, "TIME",
	 "after the load, at most, for traces that are on their way; what a "
	 "limit held back comes then, too",
	 1, 600 * HS_NS_PER_SEC},
	{"requests", 0, HS_ARGS_U64, &asked.settings.requests, "N",
	 "at most, warm-up included; 0: as many as the time has", 0, 0},
	{"seed", 0, HS_ARGS_U64, &asked.seed, "N", "of all that is drawn", 0,
	 0},
	{"tracer", 'T', HS_ARGS_STRING, &asked.tracer, "WORD",
	 "none, hindsight, fabric-head:SHARE, head:SHARE, tail-sync, "
	 "tail-async; bare: messages without services",
	 0, 0},
	{"otlp", 0, HS_ARGS_STRING, &asked.otlp, "URL",
	 "where head and tail send spans, instead of a collector of "
	 "our own",
	 0, 0},
	{"payload", 0, HS_ARGS_SIZE, &asked.settings.payload_bytes, "SIZE",
	 "that each call writes besides its spans, with hindsight", 0,
	 HS_SVC_PAYLOAD_MAX},
	{"edge", 'e', HS_ARGS_DOUBLE, &asked.settings.edge, "SHARE",
	 "of requests that are edge cases", 0, 1},
	{"symptom", 0, HS_ARGS_STRING, &asked.symptom, "WORD",
	 "of edge cases: marked, slow or failing", 0, 0},
	{"slow", 0, HS_ARGS_DURATION, &asked.settings.slow_ns, "TIME",
	 "more for those that are slow, up to half as much again", 1,
	 100 * HS_NS_PER_SEC},
	{"at", 0, HS_ARGS_STRING, &asked.at, "SERVICE",
	 "where symptoms show and the trigger is; by default where "
	 "requests begin",
	 0, 0},
	{"trigger", 0, HS_ARGS_STRING, &asked.trigger, "WORD",
	 "none, fire, exception, percentile:P, queue:P, rule (of the "
	 "agents), rule-percentile:P",
	 0, 0},
	{"faulty", 0, HS_ARGS_DOUBLE, &asked.settings.faulty, "SHARE",
	 "of requests that another, faulty, trigger names", 0, 1},
	{"burst", 0, HS_ARGS_STRING, &asked.burst, "AT,NR,EACH",
	 "requests that take long, such as 3s,10,20ms", 0, 0},
	{"pool", 'p', HS_ARGS_SIZE, &asked.fabric.pool_bytes, "SIZE",
	 "of each agent", 1 << 20, 1ull << 40},
	{"small-pool", 0, HS_ARGS_STRING, &asked.small_pool, "NODE:SIZE",
	 "of one agent instead", 0, 0},
	{"byte-rate", 0, HS_ARGS_SIZE, &asked.fabric.byte_rate, "SIZE",
	 "that each agent reports in a second at most; 0: no limit", 0, 0},
	{"cpus", 0, HS_ARGS_U64, &asked.cpus, "N",
	 "pin loops to the first N, in turn; 0: do not", 0, 1024},
	{"daemon-cpus", 0, HS_ARGS_STRING, &asked.daemon_cpus, "LIST",
	 "of agents, coordinator and collectors, such as 0-1,3", 0, 0},
	{"generator", 0, HS_ARGS_STRING, &asked.generator, "WORD",
	 "inline, in the first loop's thread, or own", 0, 0},
	{"idle", 0, HS_ARGS_STRING, &asked.idle, "WORD",
	 "what loops without work do: spin, yield or sleep", 0, 0},
	{"details", 0, HS_ARGS_STRING, &asked.details, "FILE",
	 "all of each run, as JSON", 0, 0},
	{"truths", 0, HS_ARGS_STRING, &asked.truths, "FILE",
	 "a line for each edge case of the last run: what became of "
	 "it, as CSV",
	 0, 0},
	{"all-truths", 0, HS_ARGS_FLAG, &asked.all_truths, NULL,
	 "of all requests instead", 0, 0},
	{"json", 'j', HS_ARGS_FLAG, &asked.json, NULL,
	 "one JSON object, as docs/BENCH.md says", 0, 0},
};

int hs_svc_options_parse(struct hs_svc_options **out, int argc, char **argv)
{
	const struct hs_args_program program = {
		.name = "hs-perf services",
		.synopsis = "[options]",
		.summary = "Requests through services that call each other, "
			   "traced one way or another; what was captured is "
			   "held against what was sent.",
		.options = table,
		.nr_options = sizeof(table) / sizeof(table[0]),
		.examples =
			"hs-perf services --two\n"
			"hs-perf services --rate 10k,50k,200k --edge 0.01\n"
			"hs-perf services -t microbricks/100_alibaba_topology"
			".json --nodes 8 --callers --rate 5k --tracer "
			"tail-async"
			"\n",
		.exit_codes = "0 good\n1 invalid or not measured\n2 usage\n",
	};
	int first, rc;

	asked.cpus = (uint64_t)hs_bench_nr_cpus();
	*out = &asked;
	rc = hs_args_parse(&program, argc, argv, &first, stdout, stderr);

	return rc == HS_ARGS_HELP ? 1 : rc ? rc : understand(&asked);
}
