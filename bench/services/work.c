/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see work.h. */
#include "bench/services/work.h"

#include <errno.h>
#include <stdlib.h>

#include "base/random.h"
#include "bench/bench.h"

#define TRIES	   9u
#define ROUNDS	   200000u
#define WORDS_LINE 8u
#define LINE_BYTES 64u
#define MULTIPLIER 0x9e3779b97f4a7c15ull

static void turn(struct hs_svc_worker *w, uint64_t rounds)
{
	uint64_t x = w->state;

	if (w->kind == HS_SVC_WORK_MEMORY)
		for (uint64_t i = 0; i < rounds; i++) {
			w->lines[x + 1] += i;
			x = w->lines[x];
		}
	else
		for (uint64_t i = 0; i < rounds; i++) {
			x = x * MULTIPLIER + 1;
			/* One after another, and none left out. */
			__asm__ volatile("" : "+r"(x));
		}
	w->state = x;
}

/* A ring through all lines, in an order that no prefetcher guesses. */
static int lay_out(struct hs_svc_worker *w, uint64_t bytes)
{
	uint64_t nr = bytes / LINE_BYTES;
	uint64_t *order = calloc(nr, sizeof(*order));
	struct hs_random random;

	w->nr_lines = nr;
	w->lines = aligned_alloc(LINE_BYTES, nr * LINE_BYTES);
	if (!w->lines || !order) {
		free(order);
		free(w->lines);
		w->lines = NULL;
		return -ENOMEM;
	}
	hs_random_seed(&random, 1);
	for (uint64_t i = 0; i < nr; i++)
		order[i] = i;
	for (uint64_t i = nr; i-- > 1;) {
		uint64_t k = hs_random_below(&random, i + 1);
		uint64_t t = order[i];

		order[i] = order[k];
		order[k] = t;
	}
	for (uint64_t i = 0; i < nr; i++) {
		w->lines[order[i] * WORDS_LINE] =
			order[(i + 1) % nr] * WORDS_LINE;
		w->lines[order[i] * WORDS_LINE + 1] = 0;
	}
	free(order);
	return 0;
}

int hs_svc_work_calibrate(struct hs_svc_worker *w, enum hs_svc_work kind,
			  uint64_t working_set_bytes)
{
	double tries[TRIES];
	int rc;

	*w = (struct hs_svc_worker){.kind = kind};
	if (kind == HS_SVC_WORK_MEMORY) {
		rc = lay_out(w, working_set_bytes);
		if (rc)
			return rc;
	}
	for (uint32_t i = 0; i < TRIES; i++) {
		uint64_t start = hs_bench_ticks();

		turn(w, ROUNDS);
		tries[i] = (double)(hs_bench_ticks() - start) *
			   hs_bench_ns_per_tick();
	}
	w->rounds_per_ns = ROUNDS / hs_bench_median(tries, TRIES);
	return 0;
}

void hs_svc_work_free(struct hs_svc_worker *w)
{
	free(w->lines);
	w->lines = NULL;
}

void hs_svc_work_do(struct hs_svc_worker *w, double ns)
{
	if (ns > 0 && w->kind != HS_SVC_WORK_SLEEP)
		turn(w, (uint64_t)(ns * w->rounds_per_ns));
}
