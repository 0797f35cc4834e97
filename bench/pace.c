/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see pace.h. */
#include "bench/pace.h"

#include <stdlib.h>
#include <unistd.h>

#define BATCH_DEFAULT 32u
#define SAMPLES_MAX   (1u << 18)
#define STEPS	      9u
#define REST_US	      20000u

struct attempt {
	double median, p99, low, high;
	double rate_per_s;
	double lost_share;
	double full_share; /* with lost ones, when not paced */
	uint64_t n;
};

/* Batches at a steady rate, each stamped from when it was meant to begin. */
static void attempt(struct attempt *a, const struct hs_bench_op *op,
		    const struct hs_bench_paced *paced, double rate_per_s,
		    uint64_t span_ns, double *samples)
{
	double scale = hs_bench_ns_per_tick();
	uint64_t start = hs_bench_ticks();
	uint64_t end = start + (uint64_t)((double)span_ns / scale);
	uint32_t batch = paced->batch ? paced->batch : BATCH_DEFAULT;
	uint64_t all = (uint64_t)batch * (paced->threads ? paced->threads : 1);
	double gap =
		rate_per_s > 0 ? (double)all * 1e9 / rate_per_s / scale : 0;
	double next = (double)start;
	uint64_t lost = hs_bench_lost();
	struct hs_bench_result r = {0};
	uint64_t now = start;
	size_t nr = 0;

	a->n = 0;
	while (now < end) {
		uint64_t before;

		while ((double)(before = hs_bench_ticks()) < next)
			;
		op->run(op->context, batch);
		now = hs_bench_ticks();
		samples[nr++ % SAMPLES_MAX] =
			(double)(now - before) * scale / batch;
		a->n += all;
		next += gap;
	}
	a->rate_per_s = (double)a->n * 1e9 / ((double)(now - start) * scale);
	a->lost_share = (double)(hs_bench_lost() - lost) / (double)a->n /
			paced->records;
	hs_bench_summarize(&r, samples, nr < SAMPLES_MAX ? nr : SAMPLES_MAX);
	a->median = r.median;
	a->p99 = r.p99;
	a->low = r.low;
	a->high = r.high;
	usleep(REST_US);
}

static bool good(const struct attempt *a)
{
	return a->lost_share <= HS_BENCH_LOST_MAX;
}

void hs_bench_pace(struct hs_bench_result *r, const struct hs_bench_op *op,
		   const struct hs_bench_paced *paced, uint64_t span_ns)
{
	double *samples = calloc(SAMPLES_MAX, sizeof(*samples));
	struct attempt full, best, a;
	double low = 1000, high;

	if (!samples)
		abort();
	attempt(&full, op, paced, 0, span_ns / 4, samples); /* warm-up */
	attempt(&full, op, paced, 0, span_ns, samples);
	best = full;
	high = full.rate_per_s;
	for (uint32_t i = 0; i < STEPS && !good(&full); i++) {
		double rate = i == 0 ? high / 2 : (low + high) / 2;

		attempt(&a, op, paced, rate, span_ns, samples);
		if (good(&a)) {
			best = a;
			low = rate;
		} else {
			high = rate;
		}
	}
	r->median = best.median;
	r->p99 = best.p99;
	r->low = best.low;
	r->high = best.high;
	r->n = best.n;
	r->lost_share = best.lost_share;
	snprintf(r->note, sizeof(r->note),
		 "%.3g M/s sustained; at full speed %.3g M/s, %.3g ns and "
		 "%.3g %% lost",
		 best.rate_per_s / 1e6, full.rate_per_s / 1e6, full.median,
		 full.lost_share * 100);
	free(samples);
}
