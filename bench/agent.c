/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: hs-perf agent: what a buffer costs the agent's processor, all
 * included: its system calls, lanes scanned, entries checked, index, eviction,
 * stock topped up, ledger, and what it spends on finding nothing to do.
 *
 * The processor time of the real worker, over what this process handed to it
 * in the same span; one run without a pause, so that what waits in the lane is
 * about the same at both ends of each span.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/args.h"
#include "base/clock.h"
#include "bench/bench.h"
#include "hs/hindsight.h"
#include "hs/shm_format.h"

#define BUFFER_BYTES  1024u
#define TRACE_BUFFERS 4u
/* Two of them fill a buffer: its header, its clock's record, theirs. */
#define POINT_BYTES   460u
#define POINTS	      (TRACE_BUFFERS * 2u)
#define BATCH	      32u /* traces */
#define TURNS_DEFAULT 9u
#define TURNS_MAX     101u
#define SPAN_NS	      (200 * HS_NS_PER_MS)
#define SLOW_PER_S    100000u
/* The default is a millisecond at full speed: others have a core for longer. */
#define RING_WORDS 16384u

_Static_assert(sizeof(struct hs_shm_buffer) + 20 + 2 * (10 + POINT_BYTES) ==
		       BUFFER_BYTES,
	       "two points to a buffer");

struct options {
	uint64_t turns, span_ns, pool_bytes;
	const char *only;
	bool json;
};

/* Something done over and over: @pieces of it count for one time. */
struct work {
	const char *name, *what;
	void (*once)(void);
	uint32_t pieces;
	uint32_t rate_per_s; /* of pieces; 0: as fast as it goes */
	uint64_t buffer_bytes;
};

static uint8_t data[POINT_BYTES];

static void four_buffers(void)
{
	struct hs_trace *t = hs_trace_begin(NULL, NULL);

	for (uint32_t i = 0; i < POINTS; i++)
		hs_tracepoint(t, data, sizeof(data));
	hs_trace_end(t);
}

static void one_point(void)
{
	struct hs_trace *t = hs_trace_begin(NULL, NULL);

	hs_tracepoint(t, data, 64);
	hs_trace_end(t);
}

static void nothing(void)
{
	hs_trace_end(hs_trace_begin(NULL, NULL));
}

static const struct work works[] = {
	{"agent_all_included_ns_per_buffer", "1 kB buffers, 4 a trace",
	 four_buffers, TRACE_BUFFERS, 0, BUFFER_BYTES},
	{"agent_all_included_ns_per_buffer_100k", "1 kB buffers, 4 a trace",
	 four_buffers, TRACE_BUFFERS, SLOW_PER_S, BUFFER_BYTES},
	{"agent_all_included_ns_per_buffer_1M", "1 kB buffers, 4 a trace",
	 four_buffers, TRACE_BUFFERS, 1000000, BUFFER_BYTES},
	{"agent_all_included_ns_per_buffer_4M", "1 kB buffers, 4 a trace",
	 four_buffers, TRACE_BUFFERS, 4000000, BUFFER_BYTES},
	{"agent_all_included_ns_per_trace_64B", "traces of one point",
	 one_point, 1, 0, 0},
	{"agent_all_included_ns_per_trace_empty", "empty traces", nothing, 1, 0,
	 0},
};

#define NR_WORKS (sizeof(works) / sizeof(works[0]))

/* The worker is the keeper's only child. */
static int worker_clock(int keeper, clockid_t *out)
{
	char path[64];
	int worker = 0, nr;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", keeper,
		 keeper);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	nr = fscanf(f, "%d", &worker);
	fclose(f);
	if (nr != 1)
		return -ESRCH;
	return -clock_getcpuclockid(worker, out);
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t = {0};

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * HS_NS_PER_SEC + (uint64_t)t.tv_nsec;
}

/* Return: pieces done until @end_ns. */
static uint64_t one_span(const struct work *w, uint64_t end_ns, double *next_ns)
{
	double gap_ns =
		w->rate_per_s ? BATCH * w->pieces * 1e9 / w->rate_per_s : 0;
	uint64_t nr = 0;

	for (uint64_t now = hs_clock_mono_ns(); now < end_ns;
	     now = hs_clock_mono_ns()) {
		if ((double)now < *next_ns)
			continue;
		*next_ns += gap_ns;
		for (uint32_t i = 0; i < BATCH; i++)
			w->once();
		nr += BATCH * w->pieces;
	}
	return nr;
}

static int measure(struct hs_bench_report *report, const struct work *w,
		   const struct options *o)
{
	struct hs_bench_node_config config = {
		.pool_bytes = o->pool_bytes,
		.buffer_bytes = w->buffer_bytes,
		.ring_words = RING_WORDS,
		.cpu = hs_bench_nr_cpus() - 1,
	};
	double costs[TURNS_MAX], loads[TURNS_MAX], next_ns;
	struct hs_bench_result *r;
	struct hs_bench_node node;
	uint64_t lost, start_ns, begin_ns;
	clockid_t clock;
	int rc = hs_bench_node_start(&node, &config);

	if (rc)
		return rc;
	rc = worker_clock(node.pid, &clock);
	if (rc) {
		fprintf(stderr, "hs-perf agent: the worker's clock: %s\n",
			strerror(-rc));
		hs_bench_node_stop(&node);
		return rc;
	}
	begin_ns = hs_clock_mono_ns();
	next_ns = (double)begin_ns;
	/* Until the pool has been used, and used again. */
	one_span(w, begin_ns + 5 * o->span_ns, &next_ns);
	lost = hs_bench_lost();
	r = hs_bench_add(report, w->name, "ns");
	start_ns = hs_clock_mono_ns();
	for (uint32_t i = 0; i < o->turns; i++) {
		uint64_t from_ns = hs_clock_mono_ns();
		uint64_t cpu_ns = clock_ns(clock);
		uint64_t nr = one_span(w, from_ns + o->span_ns, &next_ns);

		cpu_ns = clock_ns(clock) - cpu_ns;
		costs[i] = (double)cpu_ns / (double)nr;
		loads[i] =
			(double)cpu_ns / (double)(hs_clock_mono_ns() - from_ns);
		r->n += nr;
	}
	r->lost_share = (double)(hs_bench_lost() - lost) / (double)r->n;
	hs_bench_summarize(r, costs, o->turns);
	snprintf(r->note, sizeof(r->note),
		 "%s, %.3g M/s, %.2g of the agent's core busy", w->what,
		 (double)r->n * 1e3 / (double)(hs_clock_mono_ns() - start_ns),
		 hs_bench_median(loads, o->turns));
	hs_bench_node_stop(&node);
	return 0;
}

int hs_perf_agent(int argc, char **argv)
{
	struct options o = {.turns = TURNS_DEFAULT,
			    .span_ns = SPAN_NS,
			    .pool_bytes = 512ull << 20};
	const struct hs_args_option options[] = {
		{"turns", 'r', HS_ARGS_U64, &o.turns, "N",
		 "spans behind each figure", 1, TURNS_MAX},
		{"span", 's', HS_ARGS_DURATION, &o.span_ns, "TIME",
		 "how long each is", HS_NS_PER_MS, 100 * HS_NS_PER_SEC},
		{"pool", 'p', HS_ARGS_SIZE, &o.pool_bytes, "SIZE",
		 "of the agent", 16ull << 20, 1ull << 40},
		{"only", 'o', HS_ARGS_STRING, &o.only, "NAME",
		 "measure only what begins with this", 0, 0},
		{"json", 'j', HS_ARGS_FLAG, &o.json, NULL,
		 "one JSON object, as docs/BENCH.md says", 0, 0},
	};
	const struct hs_args_program program = {
		.name = "hs-perf agent",
		.synopsis = "[options]",
		.summary = "The agent's processor time for a buffer, all "
			   "included.",
		.options = options,
		.nr_options = sizeof(options) / sizeof(options[0]),
		.exit_codes = "0 good\n1 invalid or not measured\n2 usage\n",
	};
	const char *names[NR_WORKS];
	struct hs_bench_report report = {0};
	int first, rc;

	rc = hs_args_parse(&program, argc, argv, &first, stdout, stderr);
	if (rc)
		return rc == HS_ARGS_HELP ? 0 : HS_ARGS_EXIT_USAGE;
	for (size_t i = 0; i < NR_WORKS; i++)
		names[i] = works[i].name;
	rc = hs_bench_only(program.name, "only", o.only, names, NR_WORKS);
	if (rc)
		return rc;
	report.json = o.json;
	hs_bench_pin(0);
	hs_bench_control_run(&report, SPAN_NS);
	for (size_t i = 0; i < NR_WORKS && !rc; i++)
		if (hs_bench_wanted(o.only, works[i].name))
			rc = measure(&report, &works[i], &o);
	rc = hs_bench_print(&report, stdout) || rc;
	hs_bench_free(&report);
	return rc ? 1 : 0;
}
