/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hs traces list - what was collected.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/table.h"
#include "base/units.h"
#include "tools/hs.h"
#include "tools/query.h"
#include "tools/row.h"

struct filter {
	const char *service, *trigger, *mark, *since, *until;
	uint64_t min_duration_ns, max_duration_ns, limit;
	bool error, no_error;
};

static const char examples[] =
	"  hs traces list --service checkout --error\n"
	"  hs traces list --since 10m --min-duration 200ms\n"
	"  hs traces list --trigger slow --json | jq -r '.traces[].trace_id'\n";

static int query_make(struct hs_query *q, const struct filter *f)
{
	uint64_t time_ns;

	if (f->service)
		hs_query_add(q, "service", f->service);
	if (f->trigger)
		hs_query_add(q, "trigger", f->trigger);
	if (f->mark)
		hs_query_add(q, "mark", f->mark);
	if (f->min_duration_ns)
		hs_query_add_u64(q, "min_duration", f->min_duration_ns);
	if (f->max_duration_ns)
		hs_query_add_u64(q, "max_duration", f->max_duration_ns);
	if (f->error || f->no_error)
		hs_query_add(q, "error", f->error ? "true" : "false");
	if (f->since) {
		if (hs_query_when("hs traces list: --since", f->since,
				  &time_ns))
			return -EINVAL;
		hs_query_add_u64(q, "since", time_ns);
	}
	if (f->until) {
		if (hs_query_when("hs traces list: --until", f->until,
				  &time_ns))
			return -EINVAL;
		hs_query_add_u64(q, "until", time_ns);
	}
	hs_query_add_u64(q, "limit", f->limit);
	return q->failed ? -ENOMEM : 0;
}

static void add_row(struct hs_table *table, const struct hs_tools_row *row)
{
	time_t seconds = (time_t)(row->start_ns / (int64_t)HS_NS_PER_SEC);
	char when[32], triggers[128];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	hs_tools_row_names(row->triggers, triggers, sizeof(triggers));
	hs_table_text(table, row->id);
	hs_table_text(table, when);
	hs_table_duration(table, row->duration_ns);
	hs_table_number(table, row->nr_spans);
	hs_table_text(table, row->service);
	hs_table_text(table, row->operation);
	hs_table_text(table, row->error ? "error" : "");
	hs_table_text(table, row->mark);
	hs_table_text(table, triggers);
}

static int print_rows(const json_t *rows)
{
	static const struct hs_table_column columns[] = {
		{"TRACE", false, 0},	 {"START", false, 0},
		{"DURATION", true, 0},	 {"SPANS", true, 0},
		{"SERVICE", false, 24},	 {"OPERATION", false, 32},
		{"ERROR", false, 0},	 {"MARK", false, 0},
		{"TRIGGERS", false, 24},
	};
	struct hs_table *table =
		hs_table_new(columns, sizeof(columns) / sizeof(*columns));
	struct hs_tools_row row;
	size_t i;
	int err;

	if (!table)
		return -ENOMEM;
	for (i = 0; i < json_array_size(rows); i++) {
		if (!hs_tools_row_read(json_array_get(rows, i), &row))
			add_row(table, &row);
	}
	err = hs_table_print(table, stdout, true);
	hs_table_free(table);
	return err;
}

/* All collectors' rows in one answer. */
static int ask_all(const struct hs_where *where, const char *path, json_t *all)
{
	uint32_t i;

	for (i = 0; i < where->fabric.nr_collectors; i++) {
		struct hs_tools_door door =
			hs_where_door(where, where->fabric.collectors[i]);
		json_t *answer, *rows;
		int err = hs_tools_ask_json(&door, "GET", path, NULL, &answer);

		if (err)
			return hs_fail(where, err, door.error);
		rows = json_object_get(answer, "traces");
		if (json_is_array(rows))
			json_array_extend(all, rows);
		json_decref(answer);
	}
	return HS_EXIT_OK;
}

static int list(const struct hs_where *where, const struct filter *filter)
{
	struct hs_query q = {0};
	json_t *all = json_array();
	char *path = NULL;
	int rc = HS_EXIT_USAGE;

	if (query_make(&q, filter))
		goto out;
	rc = HS_EXIT_DAEMON;
	if (asprintf(&path, "/v1/traces%s", q.text) < 0)
		goto out;
	rc = ask_all(where, path, all);
	free(path);
	if (rc)
		goto out;
	if (!json_array_size(all))
		rc = HS_EXIT_NOTHING;
	if (where->json)
		hs_print_json(json_pack("{s:O}", "traces", all));
	else if (rc)
		fprintf(stderr, "hs: no trace matches\n");
	else
		print_rows(all);
out:
	json_decref(all);
	free(q.text);
	return rc;
}

int hs_command_list(int argc, char **argv)
{
	struct filter f = {.limit = 50};
	struct hs_where where;
	struct hs_args_option options[10 + HS_WHERE_OPTIONS] = {
		{"service", 's', HS_ARGS_STRING, &f.service, "NAME",
		 "that this service took part in", 0, 0},
		{"trigger", 't', HS_ARGS_STRING, &f.trigger, "NAME",
		 "that this trigger named", 0, 0},
		{"min-duration", 0, HS_ARGS_DURATION, &f.min_duration_ns,
		 "TIME", "at least so long", 0, 0},
		{"max-duration", 0, HS_ARGS_DURATION, &f.max_duration_ns,
		 "TIME", "at most so long", 0, 0},
		{"error", 'e', HS_ARGS_FLAG, &f.error, NULL,
		 "with an error only", 0, 0},
		{"no-error", 0, HS_ARGS_FLAG, &f.no_error, NULL,
		 "without an error only", 0, 0},
		{"since", 0, HS_ARGS_STRING, &f.since, "WHEN",
		 "begun since: 10m ago, or 2026-01-02T03:04:05Z", 0, 0},
		{"until", 0, HS_ARGS_STRING, &f.until, "WHEN",
		 "begun before then", 0, 0},
		{"mark", 'm', HS_ARGS_STRING, &f.mark, "MARK",
		 "complete, partial or open", 0, 0},
		{"limit", 'l', HS_ARGS_U64, &f.limit, "N", "at most so many", 1,
		 1000000},
	};
	struct hs_args_program program = {
		.name = "hs traces list",
		.synopsis = "[options]",
		.summary = "Lists what was collected, newest first.",
		.examples = examples,
	};
	int first, rc;

	hs_where_init(&where);
	rc = hs_parse(&program, options, 10, &where, argc, argv, &first);
	if (rc == HS_ARGS_HELP)
		return HS_EXIT_OK;
	if (rc)
		return HS_EXIT_USAGE;
	if (first < argc || (f.error && f.no_error)) {
		fprintf(stderr, "hs traces list: %s\n",
			first < argc ? "takes options only; to see one trace: "
				       "hs traces show ID"
				     : "--error or --no-error, not both");
		return HS_EXIT_USAGE;
	}
	return list(&where, &f);
}
