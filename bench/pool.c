/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: hs-perf pool: the paper's figure 7. Threads write traces of a
 * payload into buffers of a size: bytes a second of the client, buffers a
 * second of the agent, and the goodput of traces that lost nothing.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/args.h"
#include "base/clock.h"
#include "bench/bench.h"
#include "hs/hindsight.h"

#define TRACE_BYTES	(64u * 1024u)
#define THREADS_MAX	64u
#define PAYLOAD_MAX	(1u << 16)
#define POOL_BYTES	(256ull << 20)
#define SPAN_NS_DEFAULT (200 * HS_NS_PER_MS)
#define TURNS_DEFAULT	5u
#define TURNS_MAX	101u
#define CELLS_MAX	64u

static const uint32_t payloads[] = {32, 256, 2048, 8192};
static const uint32_t buffers[] = {256, 512, 2048, 8192, 32768, 131072};

struct writer {
	pthread_t thread;
	int cpu;
	uint32_t payload;
	uint64_t end_ns;
	uint64_t bytes, good_bytes, traces, good;
	double ns;
};

static uint8_t data[PAYLOAD_MAX] __attribute__((aligned(64)));

static void *write_traces(void *arg)
{
	struct writer *w = arg;
	uint64_t start = hs_clock_mono_ns();
	uint32_t nr = TRACE_BYTES / w->payload;

	hs_bench_pin(w->cpu);
	do {
		uint64_t lost = hs_bench_lost();
		struct hs_trace *t = hs_trace_begin(NULL, NULL);

		for (uint32_t i = 0; i < nr; i++)
			hs_tracepoint(t, data, w->payload);
		hs_trace_end(t);
		w->traces++;
		w->bytes += (uint64_t)nr * w->payload;
		/* With other threads about their losses count as ours too. */
		if (hs_bench_lost() == lost) {
			w->good++;
			w->good_bytes += (uint64_t)nr * w->payload;
		}
	} while (hs_clock_mono_ns() < w->end_ns);
	w->ns = (double)(hs_clock_mono_ns() - start);
	return NULL;
}

/* A figure: measured in turns with the others of its buffer size. */
struct cell {
	uint32_t threads, payload;
	double rates[TURNS_MAX], good_rates[TURNS_MAX];
	uint64_t traces, good;
};

static void measure(struct cell *c, uint32_t turn, uint64_t span_ns)
{
	static struct writer w[THREADS_MAX];

	memset(w, 0, sizeof(w));
	c->rates[turn] = c->good_rates[turn] = 0;
	for (uint32_t i = 0; i < c->threads; i++) {
		w[i].cpu = (int)i;
		w[i].payload = c->payload;
		w[i].end_ns = hs_clock_mono_ns() + span_ns;
		if (pthread_create(&w[i].thread, NULL, write_traces, &w[i]))
			abort();
	}
	for (uint32_t i = 0; i < c->threads; i++) {
		pthread_join(w[i].thread, NULL);
		c->rates[turn] += (double)w[i].bytes / w[i].ns;
		c->good_rates[turn] += (double)w[i].good_bytes / w[i].ns;
		c->traces += w[i].traces;
		c->good += w[i].good;
	}
}

static void report_cell(struct hs_bench_report *report, struct cell *c,
			uint32_t buffer, uint32_t turns)
{
	double good_rate = hs_bench_median(c->good_rates, turns);
	struct hs_bench_result *r;
	char name[48];

	snprintf(name, sizeof(name), "pool_t%u_p%u_b%u", c->threads, c->payload,
		 buffer);
	r = hs_bench_add(report, name, "GB/s");
	hs_bench_summarize(r, c->rates, turns);
	r->n = c->traces;
	r->lost_share =
		c->traces ? (double)(c->traces - c->good) / (double)c->traces
			  : 1;
	snprintf(r->note, sizeof(r->note),
		 "goodput %.3g GB/s, %.3g M buffers/s at the agent", good_rate,
		 good_rate / buffer * 1e3);
}

/* All of one size against one agent: there and back, so that what drifts hits
 * all alike. */
static void measure_size(struct hs_bench_report *report, uint32_t buffer,
			 uint32_t threads, uint32_t turns, uint64_t span_ns)
{
	static struct cell cells[CELLS_MAX];
	uint32_t nr = 0;

	memset(cells, 0, sizeof(cells));
	for (uint32_t t = 1; t <= threads; t *= 2)
		for (size_t p = 0; p < sizeof(payloads) / sizeof(payloads[0]);
		     p++)
			cells[nr++] = (struct cell){.threads = t,
						    .payload = payloads[p]};
	for (uint32_t turn = 0; turn < turns; turn++)
		for (uint32_t i = 0; i < nr; i++)
			measure(&cells[turn % 2 ? nr - 1 - i : i], turn,
				span_ns / turns);
	for (uint32_t i = 0; i < nr; i++)
		report_cell(report, &cells[i], buffer, turns);
}

int hs_perf_pool(int argc, char **argv)
{
	uint64_t threads = (uint64_t)hs_bench_nr_cpus() - 1;
	uint64_t most = threads < 1 ? 1 : threads;
	uint64_t span_ns = SPAN_NS_DEFAULT, turns = TURNS_DEFAULT;
	bool json = false;
	const struct hs_args_option options[] = {
		{"threads", 't', HS_ARGS_U64, &threads, "N",
		 "at most so many; beyond the cores less the agent's is no "
		 "result",
		 1, THREADS_MAX},
		{"span", 's', HS_ARGS_DURATION, &span_ns, "TIME",
		 "how long each figure is measured, all turns together",
		 HS_NS_PER_MS, 100 * HS_NS_PER_SEC},
		{"turns", 'r', HS_ARGS_U64, &turns, "N",
		 "in so many turns, there and back", 1, TURNS_MAX},
		{"json", 'j', HS_ARGS_FLAG, &json, NULL,
		 "one JSON object, as docs/BENCH.md says", 0, 0},
	};
	const struct hs_args_program program = {
		.name = "hs-perf pool",
		.synopsis = "[options]",
		.summary = "Bytes and buffers a second, over threads, payloads "
			   "and buffer sizes.",
		.options = options,
		.nr_options = sizeof(options) / sizeof(options[0]),
		.exit_codes = "0 good\n1 invalid or not measured\n2 usage\n",
	};
	struct hs_bench_report report = {0};
	int first, rc;

	threads = most;
	rc = hs_args_parse(&program, argc, argv, &first, stdout, stderr);
	if (rc)
		return rc == HS_ARGS_HELP ? 0 : HS_ARGS_EXIT_USAGE;
	report.json = json;
	if (threads > most) {
		fprintf(stderr,
			"hs-perf pool: more than %llu threads beside the "
			"agent's core are no result, left out\n",
			(unsigned long long)most);
		threads = most;
	}
	for (size_t b = 0; b < sizeof(buffers) / sizeof(buffers[0]); b++) {
		struct hs_bench_node_config config = {
			.pool_bytes = POOL_BYTES,
			.buffer_bytes = buffers[b],
			.cpu = hs_bench_nr_cpus() - 1,
		};
		struct hs_bench_node node;

		rc = hs_bench_node_start(&node, &config);
		if (rc)
			break;
		measure_size(&report, buffers[b], (uint32_t)threads,
			     (uint32_t)turns, span_ns);
		hs_bench_node_stop(&node);
	}
	rc = hs_bench_print(&report, stdout) || rc;
	hs_bench_free(&report);
	return rc ? 1 : 0;
}
