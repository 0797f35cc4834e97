/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hs operations - how often and how long operations ran, over all requests.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/table.h"
#include "tools/counts.h"
#include "tools/hs.h"
#include "tools/query.h"

struct filter {
	const char *service, *operation, *since, *until;
};

static const struct {
	const char *column, *key;
	double q;
} quantiles[] = {
	{"P50", "p50_ns", 0.5},
	{"P90", "p90_ns", 0.9},
	{"P99", "p99_ns", 0.99},
	{"P99.9", "p999_ns", 0.999},
};
#define NR_QUANTILES (sizeof(quantiles) / sizeof(*quantiles))

static int query_make(struct hs_query *q, const struct filter *f)
{
	uint64_t ns;

	if (f->service)
		hs_query_add(q, "service", f->service);
	if (f->operation)
		hs_query_add(q, "operation", f->operation);
	if (f->since) {
		if (hs_query_when("hs operations: --since", f->since, &ns))
			return -EINVAL;
		hs_query_add_u64(q, "since", ns);
	}
	if (f->until) {
		if (hs_query_when("hs operations: --until", f->until, &ns))
			return -EINVAL;
		hs_query_add_u64(q, "until", ns);
	}
	return q->failed ? -ENOMEM : 0;
}

static void print_table(const struct hs_counts *c)
{
	static const struct hs_table_column columns[] = {
		{"SERVICE", false, 32}, {"OPERATION", false, 48},
		{"SPANS", true, 0},	{"ERRORS", true, 0},
		{"MEAN", true, 0},	{"P50", true, 0},
		{"P90", true, 0},	{"P99", true, 0},
		{"P99.9", true, 0},
	};
	struct hs_table *table =
		hs_table_new(columns, sizeof(columns) / sizeof(*columns));

	for (size_t i = 0; table && i < c->nr; i++) {
		const struct hs_tally_row *r = &c->rows[i];

		hs_table_text(table, r->service);
		hs_table_text(table, r->name);
		hs_table_number(table, hs_tally_spans(&r->counts));
		hs_table_number(table, r->counts.errors);
		hs_table_duration(table,
				  (uint64_t)hs_tally_mean_ns(&r->counts));
		for (size_t k = 0; k < NR_QUANTILES; k++)
			hs_table_duration(table,
					  hs_tally_quantile_ns(&r->counts,
							       quantiles[k].q));
	}
	if (table)
		hs_table_print(table, stdout, true);
	hs_table_free(table);
}

static void print_json(const struct hs_counts *c)
{
	json_t *list = json_array();

	for (size_t i = 0; i < c->nr; i++) {
		const struct hs_tally_row *r = &c->rows[i];
		json_t *one = json_pack(
			"{s:s, s:s, s:I, s:I, s:I}", "service", r->service,
			"operation", r->name, "spans",
			(json_int_t)hs_tally_spans(&r->counts), "errors",
			(json_int_t)r->counts.errors, "mean_ns",
			(json_int_t)hs_tally_mean_ns(&r->counts));

		for (size_t k = 0; k < NR_QUANTILES; k++)
			json_object_set_new(
				one, quantiles[k].key,
				json_integer((json_int_t)hs_tally_quantile_ns(
					&r->counts, quantiles[k].q)));
		json_array_append_new(list, one);
	}
	hs_print_json(json_pack("{s:o}", "operations", list));
}

static int operations(const struct hs_where *where, const struct filter *f)
{
	struct hs_counts counts = {0};
	struct hs_query q = {0};
	int rc = HS_EXIT_USAGE;

	if (query_make(&q, f))
		goto out;
	rc = HS_EXIT_OK;
	for (uint32_t i = 0; i < where->fabric.nr_collectors && !rc; i++) {
		struct hs_tools_door door =
			hs_where_door(where, where->fabric.collectors[i]);
		int err = hs_counts_ask(&counts, &door, q.text ? q.text : "");

		if (err)
			rc = hs_fail(where, err, door.error);
	}
	if (rc)
		goto out;
	if (!counts.nr)
		rc = HS_EXIT_NOTHING;
	if (where->json)
		print_json(&counts);
	else if (rc)
		fprintf(stderr, "hs: nothing was counted\n");
	else
		print_table(&counts);
out:
	hs_counts_free(&counts);
	free(q.text);
	return rc;
}

int hs_command_operations(int argc, char **argv)
{
	struct filter f = {0};
	struct hs_where where;
	struct hs_args_option options[4 + HS_WHERE_OPTIONS] = {
		{"service", 's', HS_ARGS_STRING, &f.service, "NAME",
		 "of this service", 0, 0},
		{"operation", 'o', HS_ARGS_STRING, &f.operation, "NAME",
		 "of this name", 0, 0},
		{"since", 0, HS_ARGS_STRING, &f.since, "WHEN",
		 "ended since: 10m ago, or 2026-01-02T03:04:05Z; whole minutes",
		 0, 0},
		{"until", 0, HS_ARGS_STRING, &f.until, "WHEN",
		 "ended before then", 0, 0},
	};
	struct hs_args_program program = {
		.name = "hs operations",
		.synopsis = "[options]",
		.summary =
			"How often and how long each operation ran, with how "
			"many errors: over all requests, collected or not.",
		.examples = "  hs operations\n"
			    "  hs operations --service checkout --since 1h\n",
	};
	int first, rc;

	hs_where_init(&where);
	rc = hs_parse(&program, options, 4, &where, argc, argv, &first);
	if (rc == HS_ARGS_HELP)
		return HS_EXIT_OK;
	if (rc || first < argc) {
		if (!rc)
			fprintf(stderr, "hs operations: takes options only\n");
		return HS_EXIT_USAGE;
	}
	return operations(&where, &f);
}
