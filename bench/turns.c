/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the stopwatch: calibrated ticks, contenders in turns, and the
 * control run that shows what the machine does to a loop that does nothing.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "bench/bench.h"

#define CALIBRATE_NS (20 * HS_NS_PER_MS)
#define STALL_NS     10000.0

double hs_bench_ns_per_tick(void)
{
	static double ns_per_tick;

	if (ns_per_tick == 0) {
		uint64_t ns = hs_clock_mono_ns();
		uint64_t ticks = hs_bench_ticks();
		uint64_t now;

		do
			now = hs_clock_mono_ns();
		while (now - ns < CALIBRATE_NS);
		ns_per_tick =
			(double)(now - ns) / (double)(hs_bench_ticks() - ticks);
	}
	return ns_per_tick;
}

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * HS_NS_PER_SEC + (uint64_t)t.tv_nsec;
}

static double turn(const struct hs_bench_op *op, uint32_t n)
{
	uint64_t start;

	if (op->settle)
		op->settle(op->context);
	if (op->on_cpu) {
		start = cpu_ns();
		op->run(op->context, n);
		return (double)(cpu_ns() - start) / n;
	}
	start = hs_bench_ticks();
	op->run(op->context, n);
	start = op->took ? op->took(op->context) : hs_bench_ticks() - start;
	return (double)start * hs_bench_ns_per_tick() / n;
}

/* Of each op in each round: there and back. */
static void rounds_run(struct hs_bench_result *r, const struct hs_bench_op *ops,
		       uint32_t nr_ops, uint32_t n, uint32_t rounds, double *t)
{
	double *samples = calloc((size_t)rounds * 2, sizeof(*samples));
	uint64_t lost;

	if (!samples)
		abort();
	for (uint32_t k = 0; k < nr_ops; k++)
		turn(&ops[k], n);
	lost = hs_bench_lost();
	for (uint32_t i = 0; i < rounds; i++) {
		for (uint32_t k = 0; k < nr_ops; k++)
			t[k * rounds + i] = turn(&ops[k], n);
		samples[2 * i] = t[i];
		for (uint32_t k = nr_ops; k-- > 0;) {
			double back = turn(&ops[k], n);

			if (k == 0)
				samples[2 * i + 1] = back;
			t[k * rounds + i] += back;
		}
	}
	r->n = (uint64_t)rounds * 2 * n;
	r->lost_share = (double)(hs_bench_lost() - lost) / (double)r->n;
	hs_bench_summarize(r, samples, (size_t)rounds * 2);
	free(samples);
}

/* Median of ours over theirs, with @less taken from both; NULL: nothing. */
static double ratio_of(const double *ours, const double *theirs,
		       const double *less, uint32_t rounds, double *ratios)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < rounds; i++) {
		double part = less ? less[i] : 0;

		if (theirs[i] > part)
			ratios[nr++] = (ours[i] - part) / (theirs[i] - part);
	}
	return nr ? hs_bench_median(ratios, nr) : 0;
}

void hs_bench_turns_less(struct hs_bench_result *r,
			 const struct hs_bench_op *ops, uint32_t nr_ops,
			 const char *const *names, uint32_t n, uint32_t rounds)
{
	double *t = calloc((size_t)rounds * (nr_ops + 1), sizeof(*t));
	double *ratios = t + (size_t)rounds * nr_ops;
	const double *last = t + (size_t)rounds * (nr_ops - 1);

	if (!t || nr_ops > HS_BENCH_OPS_MAX)
		abort();
	rounds_run(r, ops, nr_ops, n, rounds, t);
	for (uint32_t k = 1; k < nr_ops; k++)
		hs_bench_ratio_add(
			r, ops[k].name,
			ratio_of(t, &t[k * rounds], NULL, rounds, ratios));
	for (uint32_t k = 1; names && k < nr_ops - 1; k++) {
		double ratio =
			ratio_of(t, &t[k * rounds], last, rounds, ratios);

		if (names[k] && ratio > 0)
			hs_bench_ratio_add(r, names[k], ratio);
	}
	free(t);
}

void hs_bench_turns(struct hs_bench_result *r, const struct hs_bench_op *ops,
		    uint32_t nr_ops, uint32_t n, uint32_t rounds)
{
	hs_bench_turns_less(r, ops, nr_ops, NULL, n, rounds);
}

void hs_bench_control_run(struct hs_bench_report *report, uint64_t ns)
{
	double scale = hs_bench_ns_per_tick();
	uint64_t end = hs_bench_ticks() + (uint64_t)((double)ns / scale);
	uint64_t last = hs_bench_ticks();
	double worst = 0, stalled = 0;
	uint64_t nr = 0, rounds = 0;
	struct hs_bench_result *r;

	while (last < end) {
		uint64_t now = hs_bench_ticks();
		double gap = (double)(now - last) * scale;

		if (gap > STALL_NS) {
			nr++;
			stalled += gap;
			if (gap > worst)
				worst = gap;
		}
		last = now;
		rounds++;
	}
	r = hs_bench_add(report, "machine_stalls", "share");
	r->median = stalled / (double)ns;
	r->p99 = r->low = r->high = r->median;
	r->n = rounds;
	snprintf(r->note, sizeof(r->note),
		 "an empty loop stood still %llu times for over 10 us, %.2g "
		 "ms at worst",
		 (unsigned long long)nr, worst / 1e6);
}
