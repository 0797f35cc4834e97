/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: results: their statistics, the table for people and the JSON for
 * machines.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "bench/bench.h"

#define RESULTS_MAX 256u

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

double hs_bench_median(double *samples, size_t nr)
{
	if (!nr)
		return 0;
	qsort(samples, nr, sizeof(*samples), by_value);
	return nr % 2 ? samples[nr / 2]
		      : (samples[nr / 2 - 1] + samples[nr / 2]) / 2;
}

static double root(double v)
{
	double x = v > 1 ? v : 1;

	for (int i = 0; i < 40; i++)
		x = (x + v / x) / 2;
	return x;
}

void hs_bench_summarize(struct hs_bench_result *r, double *samples, size_t nr)
{
	double half = 0.98 * root((double)nr);
	size_t low, high;

	r->median = hs_bench_median(samples, nr);
	if (!nr)
		return;
	/* Ranks between which the median lies with 95 %, by the binomial. */
	low = (double)nr / 2 > half ? (size_t)((double)nr / 2 - half) : 0;
	high = (size_t)((double)nr / 2 + half);
	r->low = samples[low];
	r->high = samples[high < nr ? high : nr - 1];
	r->p99 = samples[(size_t)((double)(nr - 1) * 0.99)];
}

struct hs_bench_result *hs_bench_add(struct hs_bench_report *report,
				     const char *name, const char *unit)
{
	struct hs_bench_result *r;

	if (!report->results)
		report->results = calloc(RESULTS_MAX, sizeof(*r));
	if (!report->results || report->nr_results == RESULTS_MAX)
		abort();
	r = &report->results[report->nr_results++];
	snprintf(r->name, sizeof(r->name), "%s", name);
	r->unit = unit;
	return r;
}

void hs_bench_ratio_add(struct hs_bench_result *r, const char *name,
			double value)
{
	if (r->nr_ratios < HS_BENCH_RATIOS_MAX)
		r->ratios[r->nr_ratios++] =
			(struct hs_bench_ratio){name, value};
}

void hs_bench_free(struct hs_bench_report *report)
{
	free(report->results);
	*report = (struct hs_bench_report){0};
}

/* ---- the machine ----------------------------------------------------------
 */

/* The value of "key : value" in a file under /proc. */
static void proc_line(const char *path, const char *key, char *out,
		      size_t out_bytes)
{
	char line[512];
	FILE *f = fopen(path, "re");

	snprintf(out, out_bytes, "unknown");
	while (f && fgets(line, sizeof(line), f)) {
		char *value = strchr(line, ':');

		if (!value || strncmp(line, key, strlen(key)))
			continue;
		value += strspn(value, ": \t");
		value[strcspn(value, "\n")] = '\0';
		snprintf(out, out_bytes, "%s", value);
		break;
	}
	if (f)
		fclose(f);
}

static json_t *machine(void)
{
	struct utsname u = {0};
	char cpu[128], huge[64], memory[64];

	uname(&u);
	proc_line("/proc/cpuinfo", "model name", cpu, sizeof(cpu));
	proc_line("/proc/meminfo", "HugePages_Total", huge, sizeof(huge));
	proc_line("/proc/meminfo", "MemTotal", memory, sizeof(memory));
	return json_pack("{s:s, s:i, s:s, s:s, s:s, s:f}", "cpu", cpu, "cores",
			 hs_bench_nr_cpus(), "kernel", u.release, "memory",
			 memory, "huge_pages", huge, "tsc_ghz",
			 1 / hs_bench_ns_per_tick());
}

static bool valid(const struct hs_bench_result *r)
{
	return r->lost_share <= HS_BENCH_LOST_MAX;
}

static json_t *result_json(const struct hs_bench_result *r)
{
	json_t *ratio = json_object();
	json_t *o;

	for (uint32_t i = 0; i < r->nr_ratios; i++)
		json_object_set_new(ratio, r->ratios[i].name,
				    json_real(r->ratios[i].value));
	o = json_pack("{s:s, s:s, s:f, s:f, s:f, s:f, s:I, s:f, s:b, s:o}",
		      "name", r->name, "unit", r->unit, "median", r->median,
		      "p99", r->p99, "low", r->low, "high", r->high, "n",
		      (json_int_t)r->n, "lost_share", r->lost_share, "valid",
		      valid(r), "ratio", ratio);
	if (r->max > 0)
		json_object_set_new(o, "max", json_real(r->max));
	if (r->calls)
		json_object_set_new(o, "calls", json_string(r->calls));
	if (r->note[0])
		json_object_set_new(o, "note", json_string(r->note));
	return o;
}

static void print_json(const struct hs_bench_report *report, FILE *out)
{
	json_t *results = json_array();
	json_t *all;

	for (size_t i = 0; i < report->nr_results; i++)
		json_array_append_new(results,
				      result_json(&report->results[i]));
	all = json_pack("{s:o, s:o}", "machine", machine(), "results", results);
	json_dumpf(all, out, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
	fputc('\n', out);
	json_decref(all);
}

static void print_table(const struct hs_bench_report *report, FILE *out)
{
	fprintf(out, "%-28s %10s %8s %21s %10s %10s %9s  %s\n", "name",
		"median", "unit", "95 % of medians", "p99", "n", "lost",
		"ours over theirs");
	for (size_t i = 0; i < report->nr_results; i++) {
		const struct hs_bench_result *r = &report->results[i];

		fprintf(out,
			"%-28s %10.4g %8s %10.4g-%-10.4g %10.4g %10llu "
			"%8.3f%% ",
			r->name, r->median, r->unit, r->low, r->high, r->p99,
			(unsigned long long)r->n, r->lost_share * 100);
		for (uint32_t k = 0; k < r->nr_ratios; k++)
			fprintf(out, " %s %.3g", r->ratios[k].name,
				r->ratios[k].value);
		if (r->max > 0)
			fprintf(out, " max %.4g", r->max);
		if (!valid(r))
			fputs("  INVALID: too much was lost", out);
		fputc('\n', out);
		if (r->note[0])
			fprintf(out, "%-28s   %s\n", "", r->note);
	}
}

int hs_bench_print(const struct hs_bench_report *report, FILE *out)
{
	int rc = 0;

	if (report->json)
		print_json(report, out);
	else
		print_table(report, out);
	for (size_t i = 0; i < report->nr_results; i++)
		if (!valid(&report->results[i]))
			rc = 1;
	return rc;
}
