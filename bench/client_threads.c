/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see client_threads.h. */
#include "bench/client_threads.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/client_ops.h"
#include "bench/crew.h"
#include "bench/memory.h"
#include "bench/pace.h"

#define MIB		   (1ull << 20)
#define POOL_BYTES	   (256u * MIB)
#define PAYLOAD_POOL_BYTES (2048u * MIB)
#define MEMORY_BYTES	   (64u * MIB)
#define PAYLOAD_BYTES	   2048u
#define SMALL_BYTES	   32u
#define DEEP_RING_WORDS	   16384u
/* Long enough a turn that how a crew begins and ends is nothing of it. */
#define POINTS_OF_TURN (20u * HS_CLIENT_POINTS_OF_TRACE)
#define SPANS_OF_TURN  (20u * HS_CLIENT_SPANS_OF_TRACE)
/* What the stocks of all cores hold, and the agent has time for after it. */
#define BURST	      1000u
#define BURST_REST_US 10000u
#define RULES_WAIT_US 500000u
/* Of a thread between two meetings of a crew that is timed as it goes on. */
#define TRACES_OF_PACE	 256u
#define PAYLOADS_OF_TURN (256u * HS_CLIENT_PAYLOADS_OF_TRACE)

/* What is timed, how much of it in a turn, and against what beside one. */
struct figure {
	const char *name;
	void (*run)(void *context, uint32_t n);
	uint32_t of_turn, bytes;
	const char *bare_name; /* NULL: nothing */
	void (*bare)(void *context, uint32_t n);
	uint64_t pool_bytes;
	const char *rules; /* NULL: none */
	bool rests;	   /* bursts that stocks hold */
	bool sustained;	   /* at the highest rate without loss */
};

static const struct figure figures[] = {
	{.name = "tracepoint_32B",
	 .run = hs_client_points,
	 .of_turn = POINTS_OF_TURN,
	 .bytes = SMALL_BYTES,
	 .bare_name = "rdtsc_store",
	 .bare = hs_bench_append_stamped,
	 .pool_bytes = POOL_BYTES},
	{.name = "span_5attr_norules",
	 .run = hs_client_spans,
	 .of_turn = SPANS_OF_TURN,
	 .bytes = SMALL_BYTES,
	 .pool_bytes = POOL_BYTES},
	/* All threads' durations draw one line. */
	{.name = "span_5attr_percentile",
	 .run = hs_client_spans,
	 .of_turn = SPANS_OF_TURN,
	 .bytes = SMALL_BYTES,
	 .pool_bytes = POOL_BYTES,
	 .rules = "rules: [{name: tail, percentile: 99.99}]\n"},
	{.name = "begin_end_empty_burst",
	 .run = hs_client_begin_end,
	 .of_turn = BURST,
	 .bytes = SMALL_BYTES,
	 .pool_bytes = POOL_BYTES,
	 .rests = true},
	{.name = "begin_end_64B_burst",
	 .run = hs_client_begin_end_64,
	 .of_turn = BURST,
	 .bytes = SMALL_BYTES,
	 .pool_bytes = POOL_BYTES,
	 .rests = true},
	{.name = "begin_end_64B",
	 .run = hs_client_begin_end_64,
	 .bytes = SMALL_BYTES,
	 .pool_bytes = POOL_BYTES,
	 .sustained = true},
	{.name = "payload_2kB",
	 .run = hs_client_payloads,
	 .of_turn = PAYLOADS_OF_TURN,
	 .bytes = PAYLOAD_BYTES,
	 .bare_name = "memcpy",
	 .bare = hs_bench_append,
	 .pool_bytes = PAYLOAD_POOL_BYTES},
};
#define NR_FIGURES (sizeof(figures) / sizeof(*figures))

struct threads {
	struct hs_bench_report *report;
	const struct hs_client_threads_config *config;
	struct hs_bench_crew *crew;
	struct hs_client_data *data; /* of each thread */
	struct hs_bench_memory *memory;
	void **datas, **memories;
	uint32_t made;
	uint32_t nr; /* of the figure that is measured */
};

/* After @nr of them; beyond @most: no more. */
static uint32_t next_of(uint32_t nr, uint32_t most)
{
	return nr < most && nr * 2 > most ? most : nr * 2;
}

static void name_of(const struct figure *f, uint32_t nr, char *out,
		    size_t out_bytes)
{
	snprintf(out, out_bytes, "t%u_%s", nr, f->name);
}

static void rest(void *context)
{
	usleep(BURST_REST_US);
	hs_bench_crew_wake(context);
}

static void measure_turns(struct threads *t, const struct figure *f,
			  struct hs_bench_result *r)
{
	struct hs_bench_crew_work all = {.crew = t->crew,
					 .run = f->run,
					 .contexts = t->datas,
					 .threads = t->nr};
	struct hs_bench_crew_work one = all, bare = all;
	void (*settle)(void *context) = f->rests ? rest : hs_bench_crew_wake;
	const struct hs_bench_op ops[] = {
		{"ours", hs_bench_crew_run, &all, settle, hs_bench_crew_took,
		 false},
		{"one_thread", hs_bench_crew_run, &one, settle,
		 hs_bench_crew_took, false},
		{f->bare_name, hs_bench_crew_run, &bare, settle,
		 hs_bench_crew_took, false},
	};

	one.threads = 1;
	bare.run = f->bare;
	bare.contexts = t->memories;
	hs_bench_turns(r, ops, f->bare_name ? 3 : 2, f->of_turn,
		       t->config->rounds);
	/* Of the work of all of them, and of the one beside. */
	r->n *= t->nr + 1;
	r->lost_share /= t->nr + 1;
	if (f->bytes == PAYLOAD_BYTES)
		snprintf(r->note, sizeof(r->note), "%.3g GB/s of all threads",
			 t->nr * (double)f->bytes / r->median);
	else
		snprintf(r->note, sizeof(r->note), "%.3g M/s of all threads",
			 t->nr * 1e3 / r->median);
}

static void measure_sustained(struct threads *t, const struct figure *f,
			      struct hs_bench_result *r)
{
	struct hs_bench_crew_work work = {.crew = t->crew,
					  .run = f->run,
					  .contexts = t->datas,
					  .threads = t->nr};
	const struct hs_bench_op op = {
		.name = "ours", .run = hs_bench_crew_run, .context = &work};
	const struct hs_bench_paced paced = {
		.records = 1, .threads = t->nr, .batch = TRACES_OF_PACE};

	hs_bench_pace(r, &op, &paced, t->config->pace_ns);
}

static int measure(struct threads *t, const struct figure *f)
{
	struct hs_bench_node_config config = {
		.pool_bytes = f->pool_bytes,
		.ring_words = DEEP_RING_WORDS,
		.cpu = t->config->agent_cpu,
		.rules = f->rules,
	};
	struct hs_bench_result *r;
	struct hs_bench_node node;
	char name[48];
	int rc;

	name_of(f, t->nr, name, sizeof(name));
	if (!hs_bench_wanted(t->config->only, name))
		return 0;
	for (uint32_t i = 0; i < t->nr; i++) {
		t->data[i].bytes = f->bytes;
		t->memory[i].data_bytes = f->bytes;
	}
	rc = hs_bench_node_start(&node, &config);
	if (rc)
		return rc;
	/* The helper's next round brings them. */
	if (f->rules)
		usleep(RULES_WAIT_US);
	/* Threads of the node that is attached: they end before it does. */
	t->crew = hs_bench_crew_start(t->nr);
	if (!t->crew) {
		hs_bench_node_stop(&node);
		return -EAGAIN;
	}
	r = hs_bench_add(t->report, name, "ns");
	if (f->sustained)
		measure_sustained(t, f, r);
	else
		measure_turns(t, f, r);
	hs_bench_crew_end(t->crew);
	hs_bench_node_stop(&node);
	return 0;
}

static int make(struct threads *t)
{
	uint32_t threads = t->config->threads;
	int rc = 0;

	t->data = aligned_alloc(_Alignof(struct hs_client_data),
				threads * sizeof(*t->data));
	t->memory = calloc(threads, sizeof(*t->memory));
	t->datas = calloc(threads, sizeof(*t->datas));
	t->memories = calloc(threads, sizeof(*t->memories));
	if (!t->data || !t->memory || !t->datas || !t->memories)
		abort();
	for (uint32_t i = 0; i < threads; i++) {
		memset(&t->data[i], 0x5a, sizeof(t->data[i]));
		rc = hs_bench_memory_make(&t->memory[i], MEMORY_BYTES,
					  t->data[i].data, SMALL_BYTES);
		if (rc)
			return rc;
		t->datas[i] = &t->data[i];
		t->memories[i] = &t->memory[i];
		t->made++;
	}
	return 0;
}

static void unmake(struct threads *t)
{
	for (uint32_t i = 0; i < t->made; i++)
		hs_bench_memory_free(&t->memory[i]);
	free(t->memories);
	free(t->datas);
	free(t->memory);
	free(t->data);
}

int hs_client_threads(struct hs_bench_report *report,
		      const struct hs_client_threads_config *config)
{
	struct threads t = {.report = report, .config = config};
	int rc = 0;

	if (config->threads < 2)
		return 0;
	rc = make(&t);
	for (t.nr = 2; !rc && t.nr <= config->threads;
	     t.nr = next_of(t.nr, config->threads))
		for (size_t i = 0; i < NR_FIGURES && !rc; i++)
			rc = measure(&t, &figures[i]);
	unmake(&t);
	return rc;
}

size_t hs_client_threads_names(uint32_t threads, const char **names,
			       size_t room)
{
	static char texts[8 * NR_FIGURES][48];
	size_t nr = 0;

	for (uint32_t t = 2; t <= threads; t = next_of(t, threads))
		for (size_t i = 0;
		     i < NR_FIGURES && nr < room && nr < 8 * NR_FIGURES; i++) {
			name_of(&figures[i], t, texts[nr], sizeof(texts[nr]));
			names[nr] = texts[nr];
			nr++;
		}
	return nr;
}

uint64_t hs_client_threads_most(void)
{
	int cpus = hs_bench_nr_cpus();

	if (cpus < 3)
		return 1;
	return cpus > (int)HS_CLIENT_THREADS_MAX ? HS_CLIENT_THREADS_MAX
						 : (uint64_t)cpus - 1;
}
