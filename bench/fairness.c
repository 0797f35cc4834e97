/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: hs-perf fairness: what the agents' logic does under overload and
 * beyond the event horizon, by the paper's figures 4a and 4b: virtual time,
 * production logic (fleet.h), so shares and not speeds.
 */
#include <stdlib.h>
#include <string.h>

#include "base/args.h"
#include "bench/horizon.h"
#include "bench/load.h"

#define NR_NAMES      3u /* A, B, F */
#define FIRE_AFTER_MS 5u

/* ---- figure 4a
 * ---------------------------------------------------------------
 */

#define F4A_PER_S	10000.0
#define F4A_POOL_BYTES	(64u << 20)
#define F4A_BYTES_PER_S 1000000u

static const double shares[NR_NAMES] = {0.001, 0.01, 0.5};
static const char *const letters[NR_NAMES] = {"A", "B", "F"};

/* Bytes that each trigger had sent from all agents. */
static void sent(const struct hs_fleet *f, uint64_t out[NR_NAMES])
{
	struct hs_agent_trigger_stats s[HS_AGENT_TRIGGERS_MAX];

	memset(out, 0, NR_NAMES * sizeof(*out));
	for (uint32_t i = 0; i < f->config.nr_agents; i++) {
		uint32_t nr = hs_agent_core_trigger_stats_get(
			f->agents[i].core, s, HS_AGENT_TRIGGERS_MAX);

		for (uint32_t k = 0; k < nr; k++)
			for (uint32_t n = 0; n < NR_NAMES; n++)
				if (!strcmp(s[k].name, letters[n]))
					out[n] += s[k].bytes_sent;
	}
}

/* How many of each trigger's traces were whole; @suffix: of the names. */
static void f4a_named(struct hs_bench_report *report, const struct hs_load *l,
		      const char *suffix)
{
	uint64_t fired[NR_NAMES] = {0}, whole[NR_NAMES] = {0};
	struct hs_bench_result *r;
	char name[48];

	for (uint32_t i = 0; i < l->nr; i++) {
		const struct hs_load_request *q = &l->requests[i];
		bool is_whole = q->fired && hs_load_complete(l, i);

		for (uint32_t n = 0; n < NR_NAMES; n++) {
			fired[n] += q->fired >> n & 1;
			whole[n] += is_whole && q->fired >> n & 1;
		}
	}
	for (uint32_t n = 0; n < NR_NAMES; n++) {
		snprintf(name, sizeof(name), "fairness_coherent_%s%s",
			 letters[n], suffix);
		r = hs_load_result(report, name, whole[n], fired[n], l->fleet);
		snprintf(r->note, sizeof(r->note),
			 "of the traces that trigger %s named, at %g %% of "
			 "requests",
			 letters[n], shares[n] * 100);
	}
}

static void f4a_coherent(struct hs_bench_report *report,
			 const struct hs_load *l, const char *suffix)
{
	uint64_t collected[2] = {0}, coherent[2] = {0};
	struct hs_bench_result *r;
	char name[48];

	for (uint32_t i = 0; i < l->nr; i++) {
		const struct hs_load_request *q = &l->requests[i];
		bool is_whole = q->fired && hs_load_complete(l, i);

		collected[q->cold] += q->shipped_early != 0;
		coherent[q->cold] += q->shipped_early && is_whole;
	}
	snprintf(name, sizeof(name), "fairness_collected%s", suffix);
	r = hs_load_result(report, name, coherent[0], collected[0], l->fleet);
	snprintf(r->note, sizeof(r->note),
		 "of the traces that any agent sent something of, under load");
	if (*suffix)
		return;
	r = hs_load_result(report, "fairness_collected_onset", coherent[1],
			   collected[1], l->fleet);
	snprintf(r->note, sizeof(r->note),
		 "the same in the first second, when the queues fill");
}

static void f4a_use(struct hs_bench_report *report, const struct hs_load *l,
		    const char *suffix, const uint64_t before[NR_NAMES],
		    const uint64_t after[NR_NAMES])
{
	uint64_t left = (uint64_t)HS_LOAD_AGENTS * F4A_BYTES_PER_S *
			(l->nr_rounds - HS_LOAD_WARM_MS) / 1000;
	struct hs_bench_result *r;
	char name[48];

	snprintf(name, sizeof(name), "fairness_use_F%s", suffix);
	r = hs_load_result(report, name, 0, 0, l->fleet);
	for (uint32_t n = 0; n < 2; n++)
		left -= after[n] - before[n];
	r->n = after[2] - before[2];
	r->median = r->p99 = r->low = r->high = (double)r->n / (double)left;
	snprintf(r->note, sizeof(r->note),
		 "bytes of F over what A and B left of the limits; these are "
		 "%.2g %% of what the requests wrote",
		 (double)F4A_BYTES_PER_S * HS_LOAD_AGENTS * l->nr_rounds / 10 /
			 (double)l->payload_bytes);
}

/* @suffix: of another load's results */
static void f4a(struct hs_bench_report *report, uint32_t nr_rounds,
		double per_s, const char *suffix)
{
	struct hs_fleet_config config = {
		.nr_agents = HS_LOAD_AGENTS,
		.buffer_bytes = 1024,
		.nr_traces = (uint32_t)(per_s / 1000 * 0.6) * nr_rounds,
		.has_coordinator = true,
		.nr_names = NR_NAMES,
		.names = {"A", "B", "F"}};
	uint64_t before[NR_NAMES] = {0}, after[NR_NAMES];
	struct hs_load l;

	for (uint32_t i = 0; i < HS_LOAD_AGENTS; i++) {
		config.pool_bytes[i] = F4A_POOL_BYTES;
		config.bytes_per_s[i] = F4A_BYTES_PER_S;
	}
	hs_load_begin(&l, hs_fleet_make(&config), per_s, nr_rounds, 4);
	while (l.at_round < nr_rounds) {
		if (l.at_round == HS_LOAD_WARM_MS)
			sent(l.fleet, before);
		while (hs_load_arrives(&l)) {
			uint32_t request = hs_load_arrive(&l);

			for (uint32_t n = 0; n < NR_NAMES; n++)
				if (hs_random_chance(&l.random, shares[n]))
					hs_load_fire_later(&l, request, n,
							   FIRE_AFTER_MS);
		}
		hs_load_round(&l);
	}
	sent(l.fleet, after);
	hs_load_drain(&l);
	f4a_named(report, &l, suffix);
	f4a_coherent(report, &l, suffix);
	f4a_use(report, &l, suffix, before, after);
	hs_load_end(&l);
}

/* "2500,20000": Return: whether it is like that */
static bool f4a_loads(struct hs_bench_report *report, uint32_t nr_rounds,
		      const char *loads, bool runs)
{
	while (*loads) {
		char *end, suffix[24];
		double per_s = strtod(loads, &end);

		if (end == loads || (*end && *end != ',') ||
		    !(per_s >= 1000 && per_s <= 100000))
			return false;
		snprintf(suffix, sizeof(suffix), "_%.0f", per_s);
		if (runs)
			f4a(report, nr_rounds, per_s, suffix);
		loads = *end ? end + 1 : end;
	}
	return true;
}

/* ---- two agents that do not speak -------------------------------------------
 */

#define NEST_POOL_BYTES (16u << 20)
#define NEST_PER_S	12000.0
#define NEST_BOTH	0.4

/*
 * Both are told of the same triggers; one has more than twice as much to send
 * and fewer bytes a second. No coordinator: what they decide is their own.
 */
static void nesting(struct hs_bench_report *report, uint32_t nr_rounds)
{
	struct hs_fleet_config config = {
		.nr_agents = 2,
		.pool_bytes = {NEST_POOL_BYTES, NEST_POOL_BYTES},
		.bytes_per_s = {1500000, 1000000},
		.buffer_bytes = 1024,
		.nr_traces = 16 * nr_rounds,
		.nr_names = 1,
		.names = {"F"}};
	uint64_t mine = 0, both = 0, others = 0;
	struct hs_bench_result *r;
	struct hs_load l;

	hs_load_begin(&l, hs_fleet_make(&config), NEST_PER_S, nr_rounds, 5);
	while (l.at_round < nr_rounds) {
		while (hs_load_arrives(&l)) {
			uint32_t i = l.nr++;
			bool shared = hs_random_chance(&l.random, NEST_BOTH);

			l.requests[i].fired = shared;
			for (uint32_t k = shared ? 0 : 1; k < 2; k++) {
				hs_load_write(&l, k, i,
					      200 + (uint32_t)hs_random_below(
							    &l.random, 2000),
					      0);
				hs_fleet_collect(l.fleet, k, 0, hs_load_id(i));
			}
		}
		hs_load_round(&l);
	}
	hs_load_drain(&l);
	for (uint32_t i = 0; i < l.nr; i++) {
		const struct hs_load_request *q = &l.requests[i];

		if (!q->fired || q->cold)
			continue;
		mine += q->early_whole >> 1 & 1;
		others += q->left[0] == 0;
		both += (q->early_whole >> 1 & 1) && q->left[0] == 0;
	}
	r = hs_load_result(report, "overload_nesting", both, mine, l.fleet);
	snprintf(r->note, sizeof(r->note),
		 "of the traces that the loaded agent sent, the other sent, "
		 "too, which sent %.2g times as many of those that both had",
		 (double)others / (double)mine);
	hs_load_end(&l);
}

/* ---- shares of all traces ---------------------------------------------------
 */

#define HEAD_PPM 20000u

/* A fiftieth of all requests, by their hash alone, at all agents. */
static void head(struct hs_bench_report *report, uint32_t nr_rounds)
{
	struct hs_fleet_config config = {
		.nr_agents = HS_LOAD_AGENTS,
		.pool_bytes = {F4A_POOL_BYTES, F4A_POOL_BYTES, F4A_POOL_BYTES},
		.buffer_bytes = 1024,
		.nr_traces = (uint32_t)(F4A_PER_S / 1000 * 0.05) * nr_rounds +
			     nr_rounds,
		.has_coordinator = true,
		.head_ppm = HEAD_PPM};
	uint64_t collected = 0, whole = 0;
	struct hs_bench_result *r;
	struct hs_load l;

	hs_load_begin(&l, hs_fleet_make(&config), F4A_PER_S, nr_rounds, 6);
	while (l.at_round < nr_rounds) {
		while (hs_load_arrives(&l))
			hs_load_arrive(&l);
		hs_load_round(&l);
	}
	hs_load_drain(&l);
	for (uint32_t i = 0; i < l.nr; i++) {
		collected += l.requests[i].shipped != 0;
		whole += l.requests[i].shipped && hs_load_complete(&l, i);
	}
	r = hs_load_result(report, "head_share", collected, l.nr, l.fleet);
	snprintf(r->note, sizeof(r->note),
		 "of all requests are collected where sampling.head_ppm is %u",
		 HEAD_PPM);
	hs_load_result(report, "head_coherent", whole, collected, l.fleet);
	hs_load_end(&l);
}

/* ---- the command ------------------------------------------------------------
 */

/* What the figures have to be for --check, some at any other load, too. */
static const struct {
	const char *name;
	double low, high;
	bool at_loads;
} goals[] = {
	{"fairness_coherent_A", 0.999, 1, true},
	{"fairness_coherent_B", 0.999, 1, true},
	{"fairness_collected", 0.9999, 1, false},
	{"fairness_use_F", 0.99, 1.01, true},
	{"overload_nesting", 0.99, 1, false},
	{"head_share", 0.018, 0.022, false},
	{"head_coherent", 0.9999, 1, false},
	{"horizon_kept", 1.9, 2.1, false},
	{"horizon_half_10MB", 0.9, 1.1, false},
	{"horizon_half_100MB", 0.9, 1.1, false},
	{"horizon_mismatch", 0.999, 1, false},
};

static bool is_of(const char *name, size_t goal)
{
	size_t n = strlen(goals[goal].name);

	return !strncmp(name, goals[goal].name, n) &&
	       (!name[n] ||
		(goals[goal].at_loads && name[n] == '_' &&
		 strspn(name + n + 1, "0123456789") == strlen(name + n + 1)));
}

static int check(const struct hs_bench_report *report)
{
	int rc = 0;

	for (size_t i = 0; i < report->nr_results; i++)
		for (size_t k = 0; k < sizeof(goals) / sizeof(*goals); k++) {
			const struct hs_bench_result *r = &report->results[i];

			if (!is_of(r->name, k) || (r->median >= goals[k].low &&
						   r->median <= goals[k].high))
				continue;
			fprintf(stderr, "hs-perf: %s is %.6g, not %g to %g\n",
				r->name, r->median, goals[k].low,
				goals[k].high);
			rc = 1;
		}
	return rc;
}

int hs_perf_fairness(int argc, char **argv)
{
	uint64_t seconds = 22;
	bool json = false, checks = false;
	const char *loads = "";
	const struct hs_args_option options[] = {
		{"loads", 'l', HS_ARGS_STRING, &loads, "N[,N...]",
		 "the faulty trigger also at so many requests a second, 1000 "
		 "to 100000",
		 0, 0},
		{"seconds", 's', HS_ARGS_U64, &seconds, "N",
		 "of load in each experiment, in virtual time", 4, 1000},
		{"check", 'c', HS_ARGS_FLAG, &checks, NULL,
		 "fail when a figure misses its goal", 0, 0},
		{"json", 'j', HS_ARGS_FLAG, &json, NULL,
		 "one JSON object, as docs/BENCH.md says", 0, 0},
	};
	const struct hs_args_program program = {
		.name = "hs-perf fairness",
		.synopsis = "[options]",
		.summary = "Coherence under overload and beyond the event "
			   "horizon: the agents' logic under virtual time.",
		.options = options,
		.nr_options = sizeof(options) / sizeof(options[0]),
		.exit_codes = "0 good\n1 invalid, or --check failed\n"
			      "2 usage\n",
	};
	struct hs_bench_report report = {0};
	int first, rc, missed;

	rc = hs_args_parse(&program, argc, argv, &first, stdout, stderr);
	if (rc)
		return rc == HS_ARGS_HELP ? 0 : HS_ARGS_EXIT_USAGE;
	if (!f4a_loads(&report, 0, loads, false)) {
		fprintf(stderr,
			"hs-perf fairness: --loads %s: wants numbers by "
			"commas, each 1000 to 100000\n",
			loads);
		return HS_ARGS_EXIT_USAGE;
	}
	report.json = json;
	f4a(&report, (uint32_t)seconds * 1000, F4A_PER_S, "");
	f4a_loads(&report, (uint32_t)seconds * 1000, loads, true);
	nesting(&report, (uint32_t)seconds * 1000);
	head(&report, (uint32_t)seconds * 500);
	hs_horizon_measure(&report, (uint32_t)seconds * 1000);
	missed = checks && check(&report);
	rc = hs_bench_print(&report, stdout);
	hs_bench_free(&report);
	return rc || missed;
}
