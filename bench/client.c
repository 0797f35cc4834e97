/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: hs-perf client: what begin, tracepoint, span and end cost the
 * application, with a real agent on another core, beside what others and what
 * bare memory cost in the same run.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/args.h"
#include "base/clock.h"
#include "bench/autotriggers.h"
#include "bench/bench.h"
#include "bench/buffers.h"
#include "bench/client_ops.h"
#include "bench/client_threads.h"
#include "bench/copies.h"
#include "bench/held.h"
#include "bench/memory.h"
#include "bench/pace.h"

#define MIB		   (1u << 20)
#define SMALL_BYTES	   32u
#define PAYLOAD_BYTES	   2048u
#define PAYLOAD_LONG_BYTES HS_CLIENT_DATA_BYTES
#define PAYLOAD_TURN_BYTES (4u * MIB)
#define WARM_TURN_BYTES	   PAYLOAD_TURN_BYTES
#define RULES_WAIT_US	   500000u
#define WARM_REST_US	   1000u
#define WARM_LAST_TURNS	   16u
/* Larger than the last-level cache of today's servers' single dies. */
#define PAYLOAD_POOL_BYTES (512u * MIB)
#define POINT_POOL_BYTES   (64u * MIB)
/* As deep as the lanes: what the default is short of is in docs/BENCH.md. */
#define DEEP_RING_WORDS 16384u
#define NAMES_MAX	128u

struct options {
	uint64_t rounds;
	uint64_t pace_ns;
	const char *only;
	uint64_t threads;
	bool json;
	bool no_peers;
};

struct client {
	struct hs_bench_report report;
	struct options options;
	int cpu, agent_cpu;
	struct hs_client_data data;
};

static bool wanted(const struct client *c, const char *name)
{
	return hs_bench_wanted(c->options.only, name);
}

/* ---- cases ----------------------------------------------------------------
 */

static int node(const struct client *c, struct hs_bench_node *out,
		uint64_t pool_bytes, uint32_t ring_words)
{
	struct hs_bench_node_config config = {
		.pool_bytes = pool_bytes,
		.ring_words = ring_words,
		.cpu = c->agent_cpu,
	};

	return hs_bench_node_start(out, &config);
}

/* Ours first, the clock alone last. */
struct contenders {
	struct hs_bench_op ops[5];
	const char *less[5]; /* names of ratios without the clock */
	uint32_t nr;
};

static void peer_add(struct client *c, struct contenders *all,
		     const struct hs_bench_peer *peer, const char *less)
{
	if (!peer)
		return;
	all->less[all->nr] = less;
	all->ops[all->nr++] = (struct hs_bench_op){
		.name = peer->name,
		.run = peer->run,
		.context = c->data.data,
	};
}

/* Beside the barest append, which keeps its place in a register and is read by
 * nobody, such as do what a library must; each in memory of its own. */
static int measure_nostamp(struct client *c, struct hs_bench_memory *memory)
{
	struct hs_bench_memory own[2];
	struct hs_bench_buffers buffers[2];
	const struct hs_bench_op ops[] = {
		{.name = "ours",
		 .run = hs_client_points_nostamp,
		 .context = &c->data},
		{.name = "append", .run = hs_bench_append, .context = memory},
		{.name = "append_published",
		 .run = hs_bench_append_published,
		 .context = &buffers[0]},
		{.name = "append_growing",
		 .run = hs_bench_append_published,
		 .context = &buffers[1]},
	};
	int made = 0, rc = 0;

	for (; made < 2 && !rc; made += !rc) {
		rc = hs_bench_memory_make(&own[made], POINT_POOL_BYTES,
					  c->data.data, SMALL_BYTES);
		if (!rc)
			hs_bench_buffers_make(&buffers[made], &own[made], made);
	}
	if (!rc)
		hs_bench_turns(hs_bench_add(&c->report,
					    "tracepoint_32B_nostamp", "ns"),
			       ops, sizeof(ops) / sizeof(*ops),
			       10 * HS_CLIENT_POINTS_OF_TRACE,
			       (uint32_t)c->options.rounds);
	while (made)
		hs_bench_memory_free(&own[--made]);
	return rc;
}

static int measure_points(struct client *c)
{
	const struct hs_bench_peer *lttng = NULL, *rte = NULL;
	struct hs_bench_memory memory;
	struct hs_bench_node n;
	struct contenders all = {
		.ops = {{.name = "ours",
			 .run = hs_client_points,
			 .context = &c->data},
			{.name = "rdtsc_store",
			 .run = hs_bench_append_stamped,
			 .context = &memory}},
		.nr = 2,
	};
	uint32_t rounds = (uint32_t)c->options.rounds;
	int rc = hs_bench_memory_make(&memory, POINT_POOL_BYTES, c->data.data,
				      SMALL_BYTES);

	if (rc)
		return rc;
	if (!c->options.no_peers) {
		lttng = hs_bench_peer_open("lttng_ust", c->agent_cpu);
		rte = hs_bench_peer_open("rte_trace", c->cpu);
	}
	peer_add(c, &all, lttng, "lttng_ust_less_clock");
	peer_add(c, &all, rte, "rte_trace_less_clock");
	all.ops[all.nr++] = (struct hs_bench_op){.name = "clock",
						 .run = hs_client_clock_alone};
	rc = node(c, &n, POINT_POOL_BYTES, 0);
	if (!rc) {
		if (wanted(c, "tracepoint_32B"))
			hs_bench_turns_less(
				hs_bench_add(&c->report, "tracepoint_32B",
					     "ns"),
				all.ops, all.nr, all.less,
				10 * HS_CLIENT_POINTS_OF_TRACE, rounds);
		rc = measure_nostamp(c, &memory);
		hs_bench_node_stop(&n);
	}
	if (rte)
		rte->stop();
	if (lttng)
		lttng->stop();
	hs_bench_memory_free(&memory);
	return rc;
}

/*
 * Until each buffer has been written once, and the stocks are as large as what
 * comes asks for: before that it is the kernel, and the agent's first rounds,
 * that are measured. The last turns come without a rest: an agent that has
 * seen a load with rests naps for longer than a stock lasts where there are
 * none.
 * @bytes: of a record
 */
static void warm(struct client *c, void (*run)(void *context, uint32_t n),
		 uint32_t bytes)
{
	uint32_t turns = PAYLOAD_POOL_BYTES / WARM_TURN_BYTES * 3 / 2;

	for (uint32_t i = 0; i < turns + WARM_LAST_TURNS; i++) {
		run(&c->data, WARM_TURN_BYTES / bytes);
		if (i < turns)
			usleep(WARM_REST_US);
	}
}

/* By size: what of it is the record, and what its bytes. */
static int measure_sizes(struct client *c)
{
	static const struct {
		const char *name;
		uint32_t bytes;
	} sizes[] = {
		{"tracepoint_8B", 8},
		{"tracepoint_128B", 128},
		{"tracepoint_512B", 512},
	};
	struct hs_bench_node n;
	int rc = 0;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes) && !rc; i++) {
		const struct hs_bench_op op = {.name = "ours",
					       .run = hs_client_points_sized,
					       .context = &c->data};

		if (!wanted(c, sizes[i].name))
			continue;
		c->data.bytes = sizes[i].bytes;
		rc = node(c, &n, PAYLOAD_POOL_BYTES, 0);
		if (rc)
			break;
		warm(c, hs_client_points_sized, sizes[i].bytes);
		hs_bench_turns(hs_bench_add(&c->report, sizes[i].name, "ns"),
			       &op, 1, 10 * HS_CLIENT_POINTS_OF_TRACE,
			       (uint32_t)c->options.rounds * 2);
		hs_bench_node_stop(&n);
	}
	return rc;
}

/* One of each kind, all of them judged at each end and met by none. */
#define RULES                                                                  \
	"rules:\n"                                                             \
	"  - {name: failed, status: error}\n"                                  \
	"  - {name: slow, duration: 10s}\n"                                    \
	"  - {name: code, attributes: ['http.status_code >= 500']}\n"          \
	"  - {name: tail, operation: 'GET *', percentile: 99.9,\n"             \
	"     attributes: ['cached = false']}\n"

/* With rules and counts on, as in use; and with the counts alone. */
static int measure_spans(struct client *c)
{
	static const struct {
		const char *name, *rules, *note;
	} cases[] = {
		{"span_5attr", RULES, "four rules and the histogram on"},
		{"span_5attr_norules", NULL, "the histogram on, no rules"},
	};
	const struct hs_bench_op ops[] = {
		{.name = "ours", .run = hs_client_spans, .context = &c->data},
		{.name = "clocks",
		 .run = hs_client_clocks,
		 .context = &c->data},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct hs_bench_node_config config = {
			.pool_bytes = POINT_POOL_BYTES,
			.cpu = c->agent_cpu,
			.rules = cases[i].rules,
		};
		struct hs_bench_result *r;
		struct hs_bench_node n;
		int rc;

		if (!wanted(c, cases[i].name))
			continue;
		rc = hs_bench_node_start(&n, &config);
		if (rc)
			return rc;
		/* The helper's next round brings the rules. */
		usleep(RULES_WAIT_US);
		r = hs_bench_add(&c->report, cases[i].name, "ns");
		hs_bench_turns(r, ops, 2, 5 * HS_CLIENT_SPANS_OF_TRACE,
			       (uint32_t)c->options.rounds * 4);
		snprintf(r->note, sizeof(r->note),
			 "%s; of which %u clock reads are %.0f ns",
			 cases[i].note, HS_CLIENT_CLOCKS_OF_SPAN,
			 r->median / r->ratios[0].value);
		hs_bench_node_stop(&n);
	}
	return 0;
}

static int measure_begin_end(struct client *c, const char *name,
			     void (*run)(void *context, uint32_t n))
{
	struct hs_bench_op op = {
		.name = "ours", .run = run, .context = &c->data};
	struct hs_bench_node n;
	int rc = node(c, &n, 4 * POINT_POOL_BYTES, DEEP_RING_WORDS);

	if (rc)
		return rc;
	hs_bench_pace(hs_bench_add(&c->report, name, "ns"), &op,
		      &(struct hs_bench_paced){.records = 1},
		      c->options.pace_ns);
	hs_bench_node_stop(&n);
	return 0;
}

/* From ns an operation to bytes a second; ratios turn with it. */
static void as_bytes(struct hs_bench_result *r, double bytes)
{
	double low = r->low;

	r->median = bytes / r->median;
	r->p99 = bytes / r->p99;
	r->low = bytes / r->high;
	r->high = bytes / low;
	for (uint32_t i = 0; i < r->nr_ratios; i++)
		r->ratios[i].value = 1 / r->ratios[i].value;
}

/* Beside plain memory, and the ways to copy that the library does not take. */
static int measure_payloads(struct client *c, const char *name,
			    uint32_t payload_bytes, const char *sustained)
{
	struct hs_bench_memory memory;
	struct hs_bench_node n;
	struct hs_bench_op ops[] = {
		{.name = "ours",
		 .run = hs_client_payloads,
		 .context = &c->data},
		{.name = "memcpy", .run = hs_bench_append, .context = &memory},
		{.name = "streamed",
		 .run = hs_bench_append_streamed,
		 .context = &memory},
		{.name = "streamed_unfenced",
		 .run = hs_bench_append_unfenced,
		 .context = &memory},
		{.name = "rep_movsb",
		 .run = hs_bench_append_string,
		 .context = &memory},
	};
	struct hs_bench_result *r;
	int rc = hs_bench_memory_make(&memory, PAYLOAD_POOL_BYTES, c->data.data,
				      payload_bytes);

	if (rc)
		return rc;
	c->data.bytes = payload_bytes;
	rc = node(c, &n, PAYLOAD_POOL_BYTES, 0);
	if (!rc) {
		warm(c, hs_client_payloads, payload_bytes);
		r = hs_bench_add(&c->report, name, "GB/s");
		hs_bench_turns(r, ops, sizeof(ops) / sizeof(*ops),
			       PAYLOAD_TURN_BYTES / payload_bytes,
			       (uint32_t)c->options.rounds * 2);
		as_bytes(r, payload_bytes);
		if (sustained) {
			ops[0].run = hs_client_payload_traces;
			r = hs_bench_add(&c->report, sustained, "GB/s");
			hs_bench_pace(
				r, ops,
				&(struct hs_bench_paced){
					.records = HS_CLIENT_PAYLOADS_OF_TRACE},
				c->options.pace_ns);
			as_bytes(r, (double)payload_bytes *
					    HS_CLIENT_PAYLOADS_OF_TRACE);
		}
		hs_bench_node_stop(&n);
	}
	hs_bench_memory_free(&memory);
	return rc;
}

static const char *const names[] = {
	"machine_stalls",  "tracepoint_32B",	 "tracepoint_32B_nostamp",
	"span_5attr",	   "span_5attr_norules", "begin_end_empty",
	"begin_end_64B",   "payload_2kB",	 "payload_2kB_sustained",
	"payload_16kB",	   "traces_per_GB",	 "percentile_p99",
	"percentile_p999", "percentile_p9999",	 "category_1",
	"set_10",	   "tracepoint_8B",	 "tracepoint_128B",
	"tracepoint_512B",
};

static int measure(struct client *c)
{
	int rc = 0;

	if (wanted(c, "machine_stalls"))
		hs_bench_control_run(&c->report, c->options.pace_ns);
	/* One's name begins with the other's. */
	if (wanted(c, "tracepoint_32B_nostamp"))
		rc = measure_points(c);
	if (!rc)
		rc = measure_sizes(c);
	if (!rc)
		rc = measure_spans(c);
	if (!rc && wanted(c, "begin_end_empty"))
		rc = measure_begin_end(c, "begin_end_empty",
				       hs_client_begin_end);
	if (!rc && wanted(c, "begin_end_64B"))
		rc = measure_begin_end(c, "begin_end_64B",
				       hs_client_begin_end_64);
	if (!rc && wanted(c, "payload_2kB_sustained"))
		rc = measure_payloads(c, "payload_2kB", PAYLOAD_BYTES,
				      "payload_2kB_sustained");
	if (!rc && wanted(c, "payload_16kB"))
		rc = measure_payloads(c, "payload_16kB", PAYLOAD_LONG_BYTES,
				      NULL);
	if (!rc && wanted(c, "traces_per_GB"))
		rc = hs_bench_held(&c->report, c->agent_cpu);
	if (!rc && (wanted(c, "percentile_p9999") || wanted(c, "category_1") ||
		    wanted(c, "set_10")))
		hs_bench_autotriggers(&c->report, (uint32_t)c->options.rounds);
	if (!rc)
		rc = hs_client_threads(
			&c->report,
			&(struct hs_client_threads_config){
				.threads = (uint32_t)c->options.threads,
				.rounds = (uint32_t)c->options.rounds,
				.pace_ns = c->options.pace_ns,
				.only = c->options.only,
				.agent_cpu = c->agent_cpu,
			});
	return rc;
}

/* Whether --only means anything, of one thread or of several. */
static int only_check(const struct client *c, const char *program)
{
	const char *all[NAMES_MAX];
	size_t nr = sizeof(names) / sizeof(*names);

	memcpy(all, names, sizeof(names));
	nr += hs_client_threads_names((uint32_t)c->options.threads, all + nr,
				      NAMES_MAX - nr);
	return hs_bench_only(program, "only", c->options.only, all, nr);
}

int hs_perf_client(int argc, char **argv)
{
	static struct client c = {
		.options = {.rounds = 60, .pace_ns = 300 * HS_NS_PER_MS},
	};
	const struct hs_args_option options[] = {
		{"rounds", 'r', HS_ARGS_U64, &c.options.rounds, "N",
		 "turns A B B A behind each figure", 1, 100000},
		{"span", 's', HS_ARGS_DURATION, &c.options.pace_ns, "TIME",
		 "how long begin and end are sustained at each rate tried",
		 HS_NS_PER_MS, 100 * HS_NS_PER_SEC},
		{"only", 'o', HS_ARGS_STRING, &c.options.only, "NAME",
		 "measure only what begins with this", 0, 0},
		{"threads", 't', HS_ARGS_U64, &c.options.threads, "N",
		 "also 2, 4 and so on up to N at once; beyond the cores less "
		 "the agent's is no result",
		 1, HS_CLIENT_THREADS_MAX},
		{"no-peers", 0, HS_ARGS_FLAG, &c.options.no_peers, NULL,
		 "leave out LTTng-UST and rte_trace", 0, 0},
		{"json", 'j', HS_ARGS_FLAG, &c.options.json, NULL,
		 "one JSON object, as docs/BENCH.md says", 0, 0},
	};
	const struct hs_args_program program = {
		.name = "hs-perf client",
		.synopsis = "[options]",
		.summary = "What tracing costs the application, beside others "
			   "in the same run.",
		.options = options,
		.nr_options = sizeof(options) / sizeof(options[0]),
		.exit_codes = "0 good\n1 invalid or not measured\n2 usage\n",
	};
	uint64_t most = hs_client_threads_most();
	int first, rc;

	c.options.threads = most;
	rc = hs_args_parse(&program, argc, argv, &first, stdout, stderr);
	if (rc)
		return rc == HS_ARGS_HELP ? 0 : HS_ARGS_EXIT_USAGE;
	if (c.options.threads > most) {
		fprintf(stderr,
			"hs-perf client: more than %llu threads beside the "
			"agent's core are no result, left out\n",
			(unsigned long long)most);
		c.options.threads = most;
	}
	rc = only_check(&c, program.name);
	if (rc)
		return rc;
	c.report.json = c.options.json;
	c.agent_cpu = hs_bench_nr_cpus() - 1;
	hs_bench_pin(c.cpu);
	memset(c.data.data, 0x5a, sizeof(c.data.data));
	rc = measure(&c);
	rc = hs_bench_print(&c.report, stdout) || rc;
	hs_bench_free(&c.report);
	return rc ? 1 : 0;
}
