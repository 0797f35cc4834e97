/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: see autotriggers.h. The series is that of the shared data where it
 * is at hand, else a made one with a long tail; the note says which.
 */
#include "bench/autotriggers.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hs/autotrigger.h"
#include "model/import.h"

#define SERIES	    "nezha/onlineboutique_2022-08-23_12h_trace_csv.tar.xz"
#define MADE_VALUES (1u << 18)
#define TURN	    20000u

#define CATEGORY_SHARE 0.01
#define SET_TRACES     10u

struct series {
	uint64_t *values;
	uint32_t nr;
	uint32_t pos;
	bool real;
	struct hs_auto_percentile *p;
	uint64_t fired, added;
};

static void load_real(struct series *s)
{
	const char *dir = getenv("HS_SHARED_DATA");
	struct hs_model_import imp;
	struct hs_model_set set;
	char path[4096];
	uint32_t room = 0;

	snprintf(path, sizeof(path), "%s/" SERIES,
		 dir ? dir : "../shared/data");
	if (access(path, R_OK))
		return;
	hs_model_set_init(&set);
	hs_model_import_init(&imp, &set);
	if (hs_model_import_path(&imp, path) == 0) {
		for (uint32_t i = 0; i < set.nr_traces; i++)
			room += set.traces[i]->nr_spans;
		s->values = calloc(room ? room : 1, sizeof(*s->values));
	}
	for (uint32_t i = 0; s->values && i < set.nr_traces; i++)
		for (uint32_t k = 0; k < set.traces[i]->nr_spans; k++)
			s->values[s->nr++] =
				(uint64_t)set.traces[i]->spans[k]->duration_ns;
	hs_model_set_destroy(&set);
	s->real = s->nr > 0;
}

static void make(struct series *s)
{
	uint64_t x = 88172645463325252ull;

	s->values = calloc(MADE_VALUES, sizeof(*s->values));
	for (; s->values && s->nr < MADE_VALUES; s->nr++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		s->values[s->nr] =
			(100000ull << __builtin_clzll(x) / 2) + (x & 0xffff);
	}
}

static void add(void *context, uint32_t n)
{
	struct series *s = context;
	/* Of the loop's own, so that it is the trigger that is measured. */
	struct hs_auto_percentile *p = s->p;
	const uint64_t *values = s->values;
	uint32_t pos = s->pos, nr = s->nr;
	uint64_t fired = 0;

	for (uint32_t i = 0; i < n; i++) {
		fired += hs_auto_percentile_add(p, values[pos]);
		pos = pos + 1 < nr ? pos + 1 : 0;
	}
	s->pos = pos;
	s->fired += fired;
	s->added += n;
}

static void one(struct hs_bench_report *report, struct series *s,
		const char *name, double percentile, uint32_t rounds)
{
	struct hs_bench_op op = {.name = "ours", .run = add, .context = s};
	struct hs_bench_result *r = hs_bench_add(report, name, "ns");
	double ideal = 1 - percentile / 100;

	s->fired = s->added = s->pos = 0;
	s->p = hs_auto_percentile_create(percentile, HS_AUTO_WINDOW_DEFAULT);
	if (!s->p)
		abort();
	hs_bench_turns(r, &op, 1, TURN, rounds);
	snprintf(r->note, sizeof(r->note),
		 "fired for %.4g %% of %llu, ideal %.4g %%; %s of %u values",
		 (double)s->fired / (double)s->added * 100,
		 (unsigned long long)s->added, ideal * 100,
		 s->real ? "the real series" : "a made series", s->nr);
	hs_auto_percentile_destroy(s->p);
}

/* ---- the others of the paper's table 3
 * ----------------------------------------
 */

struct labels {
	struct hs_auto_category *c;
	uint64_t at, fired, added;
};

/* One in 512 is rare: a label of its own among eight that are not. */
static void label(void *context, uint32_t n)
{
	struct labels *l = context;

	for (uint32_t i = 0; i < n; i++, l->at++)
		l->fired += hs_auto_category_add(
			l->c, l->at % 512 ? l->at % 8 : 8 + l->at / 512 % 8);
	l->added += n;
}

static void category(struct hs_bench_report *report, uint32_t rounds)
{
	struct labels l = {.c = hs_auto_category_create(CATEGORY_SHARE, 0)};
	const struct hs_bench_op op = {
		.name = "ours", .run = label, .context = &l};
	struct hs_bench_result *r = hs_bench_add(report, "category_1", "ns");

	if (!l.c)
		abort();
	hs_bench_turns(r, &op, 1, TURN, rounds);
	snprintf(r->note, sizeof(r->note),
		 "labels below 1 %%; fired for %.3g %% of %llu, of which "
		 "0.195 %% are rare",
		 (double)l.fired / (double)l.added * 100,
		 (unsigned long long)l.added);
	hs_auto_category_destroy(l.c);
}

static void remember(void *context, uint32_t n)
{
	for (uint32_t i = 1; i <= n; i++) {
		struct hs_trace_id id = {i, i};

		hs_auto_set_add(context, &id);
	}
}

static void set(struct hs_bench_report *report, uint32_t rounds)
{
	struct hs_auto_set *s = hs_auto_set_create(SET_TRACES);
	const struct hs_bench_op op = {
		.name = "ours", .run = remember, .context = s};
	struct hs_bench_result *r = hs_bench_add(report, "set_10", "ns");

	if (!s)
		abort();
	hs_bench_turns(r, &op, 1, TURN, rounds);
	snprintf(r->note, sizeof(r->note),
		 "a trace remembered among the last %u", SET_TRACES);
	hs_auto_set_destroy(s);
}

void hs_bench_autotriggers(struct hs_bench_report *report, uint32_t rounds)
{
	struct series s = {0};

	load_real(&s);
	if (!s.real)
		make(&s);
	if (!s.values)
		abort();
	one(report, &s, "percentile_p99", 99, rounds);
	one(report, &s, "percentile_p999", 99.9, rounds);
	one(report, &s, "percentile_p9999", 99.99, rounds);
	free(s.values);
	category(report, rounds);
	set(report, rounds);
}
