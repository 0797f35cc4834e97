/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hs status - agents, event horizon, losses, triggers.
 *
 * A daemon that does not answer is part of the answer: it shows in its line,
 * and in the exit code.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/table.h"
#include "base/units.h"
#include "tools/hs_survey.h"
#include "tools/row.h"

#define CARRIER_TEXT_BYTES 768u

static void add_silent(struct hs_table *table, const struct hs_answer *answer,
		       uint32_t nr_columns)
{
	uint32_t i;

	hs_table_text(table, answer->name);
	hs_table_text(table, "no answer");
	for (i = 2; i < nr_columns; i++)
		hs_table_text(table, "");
}

static void add_domain(struct hs_table *table, const struct hs_answer *answer,
		       const json_t *domain)
{
	const json_t *buffers = json_object_get(domain, "buffers");
	const char *name = json_string_value(json_object_get(domain, "name"));
	uint64_t pinned = hs_answer_number(buffers, NULL, "pinned");
	uint64_t free = hs_answer_number(buffers, NULL, "free");
	uint64_t total = hs_answer_number(buffers, NULL, "total");

	if (!total)
		total = hs_answer_sum(buffers);
	hs_table_text(table, answer->name);
	hs_table_text(table, name ? name : "");
	hs_table_number(table,
			json_array_size(json_object_get(domain, "processes")));
	hs_table_size(table, hs_answer_number(domain, NULL, "pool_bytes"));
	hs_table_textf(table, "%.1f %%",
		       total ? 100.0 * (double)(total - free) / (double)total
			     : 0.0);
	hs_table_textf(table, "%.1f %%",
		       total ? 100.0 * (double)pinned / (double)total : 0.0);
	hs_table_duration(table,
			  hs_answer_number(domain, NULL, "event_horizon_ns"));
	hs_table_number(table,
			hs_answer_sum(json_object_get(answer->json, "losses")));
}

static void print_nodes(const struct hs_survey *survey)
{
	static const struct hs_table_column columns[] = {
		{"NODE", false, 0},	    {"DOMAIN", false, 0},
		{"PROCESSES", true, 0},	    {"POOL", true, 0},
		{"USED", true, 0},	    {"PINNED", true, 0},
		{"EVENT HORIZON", true, 0}, {"LOSSES", true, 0},
	};
	struct hs_table *table = hs_table_new(columns, 8);
	uint32_t i;
	size_t j;

	for (i = 0; i < survey->nr_nodes && table; i++) {
		const struct hs_answer *a = &survey->nodes[i];
		const json_t *domains = json_object_get(a->json, "domains");

		if (!a->json)
			add_silent(table, a, 8);
		for (j = 0; j < json_array_size(domains); j++)
			add_domain(table, a, json_array_get(domains, j));
	}
	if (table)
		hs_table_print(table, stdout, true);
	hs_table_free(table);
}

/* In which pages the pools lie: a line where they are not what was hoped. */
static void print_memory(const struct hs_survey *survey)
{
	for (uint32_t i = 0; i < survey->nr_nodes; i++) {
		const struct hs_answer *a = &survey->nodes[i];
		const json_t *domains = json_object_get(a->json, "domains");

		for (size_t j = 0; j < json_array_size(domains); j++) {
			const json_t *d = json_array_get(domains, j);
			const json_t *m = json_object_get(d, "memory");

			if (!m)
				continue;
			printf("%s %s: %s pages (%s)", a->name,
			       hs_answer_text(d, "name"),
			       hs_answer_text(m, "pages"),
			       hs_answer_text(m, "why"));
			if (hs_answer_number(m, NULL, "nodes") > 1)
				printf(", %" PRIu64 " NUMA nodes",
				       hs_answer_number(m, NULL, "nodes"));
			if (hs_answer_number(m, NULL, "misplaced_bytes"))
				printf(", %" PRIu64 " bytes on the wrong one",
				       hs_answer_number(m, NULL,
							"misplaced_bytes"));
			putchar('\n');
		}
	}
}

/* Who goes on if a node's worker dies, and what that costs until then. */
static void print_standbys(const struct hs_survey *survey)
{
	for (uint32_t i = 0; i < survey->nr_nodes; i++) {
		const struct hs_answer *a = &survey->nodes[i];
		const json_t *s = json_object_get(a->json, "standby");
		uint64_t pid = hs_answer_number(s, NULL, "pid");
		uint64_t deaths = hs_answer_number(s, NULL, "deaths");
		char size[HS_UNITS_TEXT_MAX];

		if (!s)
			continue;
		hs_units_size_format(
			size, hs_answer_number(s, NULL, "private_bytes"));
		if (pid)
			printf("%s: standby %" PRIu64 " (%s)", a->name, pid,
			       size);
		else
			printf("%s: no standby yet", a->name);
		if (deaths)
			printf(", %" PRIu64 " died", deaths);
		putchar('\n');
	}
}

static void add_losses(struct hs_table *table, const struct hs_answer *a)
{
	const char *key;
	json_t *value;

	json_object_foreach(json_object_get(a->json, "losses"), key, value)
	{
		if (!json_integer_value(value))
			continue;
		hs_table_text(table, a->name);
		hs_table_text(table, key);
		hs_table_number(table, (uint64_t)json_integer_value(value));
	}
}

static void print_losses(const struct hs_survey *survey)
{
	static const struct hs_table_column columns[] = {
		{"NODE", false, 0},
		{"LOSS", false, 0},
		{"COUNT", true, 0},
	};
	struct hs_table *table = hs_table_new(columns, 3);
	uint32_t i;

	for (i = 0; i < survey->nr_nodes && table; i++)
		add_losses(table, &survey->nodes[i]);
	if (table && hs_table_nr_rows(table)) {
		putchar('\n');
		hs_table_print(table, stdout, true);
	}
	hs_table_free(table);
}

/* What it is for, and what a dry run would have taken. */
static void add_note(struct hs_table *table, const json_t *t)
{
	const char *reason = json_string_value(json_object_get(t, "reason"));
	char text[320];

	if (!json_is_true(json_object_get(t, "dry_run"))) {
		hs_table_text(table, reason ? reason : "");
		return;
	}
	snprintf(text, sizeof(text), "dry run: %llu traces, %llu bytes%s%.200s",
		 (unsigned long long)hs_answer_number(t, NULL, "dry_traces"),
		 (unsigned long long)hs_answer_number(t, NULL, "dry_bytes"),
		 reason ? "; " : "", reason ? reason : "");
	hs_table_text(table, text);
}

static void add_triggers(struct hs_table *table, const struct hs_answer *a)
{
	const json_t *triggers = json_object_get(a->json, "triggers");
	size_t i;

	for (i = 0; i < json_array_size(triggers); i++) {
		const json_t *t = json_array_get(triggers, i);
		const char *name =
			json_string_value(json_object_get(t, "name"));

		hs_table_text(table, a->name);
		hs_table_text(table, name ? name : "");
		hs_table_number(table,
				hs_answer_number(t, NULL, "fired_local"));
		hs_table_number(table,
				hs_answer_number(t, NULL, "fired_remote"));
		hs_table_number(table, hs_answer_number(t, NULL, "limited"));
		hs_table_number(table, hs_answer_number(t, NULL, "queued"));
		hs_table_size(table, hs_answer_number(t, NULL, "bytes_sent"));
		add_note(table, t);
	}
}

static void print_triggers(const struct hs_survey *survey)
{
	static const struct hs_table_column columns[] = {
		{"NODE", false, 0},    {"TRIGGER", false, 0},
		{"FIRED", true, 0},    {"FROM ELSEWHERE", true, 0},
		{"LIMITED", true, 0},  {"QUEUED", true, 0},
		{"REPORTED", true, 0}, {"NOTE", false, 0},
	};
	struct hs_table *table = hs_table_new(columns, 8);
	uint32_t i;

	for (i = 0; i < survey->nr_nodes && table; i++)
		add_triggers(table, &survey->nodes[i]);
	if (table && hs_table_nr_rows(table)) {
		putchar('\n');
		hs_table_print(table, stdout, true);
	}
	hs_table_free(table);
}

static void add_rules(struct hs_table *table, const struct hs_answer *a)
{
	const json_t *rules = json_object_get(a->json, "rules");
	size_t i;

	for (i = 0; i < json_array_size(rules); i++) {
		const json_t *r = json_array_get(rules, i);
		const char *name =
			json_string_value(json_object_get(r, "name"));
		const char *trigger =
			json_string_value(json_object_get(r, "trigger"));

		hs_table_text(table, a->name);
		hs_table_text(table, name ? name : "");
		hs_table_text(table, trigger ? trigger : "");
		hs_table_number(table, hs_answer_number(r, NULL, "fired"));
	}
}

static void print_rules(const struct hs_survey *survey)
{
	static const struct hs_table_column columns[] = {
		{"NODE", false, 0},
		{"RULE", false, 0},
		{"TRIGGER", false, 0},
		{"FIRED", true, 0},
	};
	struct hs_table *table = hs_table_new(columns, 4);
	uint32_t i;

	for (i = 0; i < survey->nr_nodes && table; i++)
		add_rules(table, &survey->nodes[i]);
	if (table && hs_table_nr_rows(table)) {
		putchar('\n');
		hs_table_print(table, stdout, true);
	}
	hs_table_free(table);
}

static bool print_head(const char *role, const struct hs_answer *a)
{
	printf("%-12s %s: ", role, a->address);
	if (a->json)
		return true;
	printf("no answer (%s)\n", a->error);
	return false;
}

/* Who lends its port, of a carrier that is lent one. */
static void lender_text(FILE *f, const json_t *lender)
{
	const char *name = json_string_value(json_object_get(lender, "name"));
	const char *state = json_string_value(json_object_get(lender, "state"));

	if (!lender || !state)
		return;
	if (!name) {
		fprintf(f, ", nobody lends a port");
		return;
	}
	fprintf(f, ", port of \"%s\" pid %" JSON_INTEGER_FORMAT " at %s", name,
		json_integer_value(json_object_get(lender, "pid")),
		json_string_value(json_object_get(lender, "address")));
	if (!strcmp(state, "stalled"))
		fprintf(f, ", STALLED");
}

/* Which carrier, and why; whether peers show a key; who was cut off for what.
 */
static void carrier_text(const struct hs_answer *a,
			 char out[CARRIER_TEXT_BYTES])
{
	FILE *f = fmemopen(out, CARRIER_TEXT_BYTES, "w");
	json_t *of = json_object_get(a->json, "transport");
	json_t *why = json_object_get(of, "why");
	uint64_t nr_keys = hs_answer_number(of, NULL, "keys");
	const char *cause;
	json_t *nr;

	out[0] = '\0';
	if (!f)
		return;
	if (json_is_string(why))
		fprintf(f, "%s%s, %s", json_string_value(why),
			json_is_true(json_object_get(of, "tls")) ? ", TLS" : "",
			nr_keys ? "cluster key" : "no cluster key");
	if (json_string_length(json_object_get(of, "by")))
		fprintf(f, ", %s",
			json_string_value(json_object_get(of, "by")));
	json_object_foreach(json_object_get(of, "cut_off_for"), cause, nr)
		fprintf(f, ", %" JSON_INTEGER_FORMAT " cut off: %s",
			json_integer_value(nr), cause);
	of = json_object_get(a->json, "ship");
	if (json_is_object(of))
		fprintf(f, "; slices by %s: %s",
			json_string_value(json_object_get(of, "carrier")),
			json_string_value(json_object_get(of, "why")));
	if (json_is_true(json_object_get(of, "tls")))
		fprintf(f, ", TLS");
	/* How often each of their bytes was copied on its way out. */
	if (json_is_number(json_object_get(of, "copies")))
		fprintf(f, ", %.2f copies a byte",
			json_number_value(json_object_get(of, "copies")));
	if (json_is_true(
		    json_object_get(json_object_get(of, "port"), "link_down")))
		fprintf(f, ", LINK DOWN");
	lender_text(f, json_object_get(of, "lender"));
	fclose(f);
}

/* One line for all agents that say the same. */
static void print_carriers(const struct hs_survey *survey)
{
	char text[CARRIER_TEXT_BYTES], other[CARRIER_TEXT_BYTES];
	uint32_t i, k, nr;

	for (i = 0; i < survey->nr_nodes; i++) {
		if (!survey->nodes[i].json)
			continue;
		carrier_text(&survey->nodes[i], text);
		for (k = 0; k < i; k++) {
			carrier_text(&survey->nodes[k], other);
			if (survey->nodes[k].json && !strcmp(text, other))
				break;
		}
		if (k < i)
			continue;
		for (nr = 1, k = i + 1; k < survey->nr_nodes; k++) {
			carrier_text(&survey->nodes[k], other);
			nr += survey->nodes[k].json && !strcmp(text, other);
		}
		if (nr > 1)
			printf("%-12s %" PRIu32 " nodes: %s\n", "transport", nr,
			       text);
		else
			printf("%-12s %s: %s\n", "transport",
			       survey->nodes[i].name, text);
	}
}

/* The servers of its list of members: "list 7: coordinator 1001 up, ...". */
static void print_members(const char *name, const struct hs_answer *a)
{
	const json_t *of = json_object_get(a->json, "members");
	const json_t *list = json_object_get(of, "list");
	bool any = false;
	size_t i;

	if (!json_is_array(list))
		return;
	printf("%s list %" PRIu64 ":", name,
	       hs_answer_number(of, NULL, "version"));
	for (i = 0; i < json_array_size(list); i++) {
		const json_t *m = json_array_get(list, i);
		const char *role =
			json_string_value(json_object_get(m, "role"));
		const char *state =
			json_string_value(json_object_get(m, "state"));

		if (!role || !state || !strcmp(role, "agent"))
			continue;
		printf("%s %s %" PRIu64 " %s", any ? "," : "", role,
		       hs_answer_number(m, NULL, "number"), state);
		any = true;
	}
	puts(any ? "" : " nobody");
}

/* What should be 0 is shown only where it is not. */
static void print_troubles(const struct hs_answer *a, const char *const *names,
			   size_t nr_names)
{
	char text[CARRIER_TEXT_BYTES];
	size_t i;

	for (i = 0; i < nr_names; i += 2) {
		uint64_t n = hs_answer_number(a->json, names[i], names[i + 1]);

		if (n)
			printf(", %s %" PRIu64, names[i + 1], n);
	}
	carrier_text(a, text);
	printf("%s%s\n", text[0] ? "; " : "", text);
}

/* What reading nodes' crumbs came to; nothing where nobody can be read. */
static void print_ahead(const struct hs_answer *a)
{
	uint64_t windows = hs_answer_number(a->json, "transport", "windows");
	uint64_t reads = hs_answer_number(a->json, "stats", "reads_sent");

	if (windows || reads)
		printf("; reads ahead at %" PRIu64 ": %" PRIu64 ", %" PRIu64
		       " hit, %" PRIu64 " stale, %" PRIu64 " torn, %" PRIu64
		       " refused; %" PRIu64 " of %" PRIu64 " hints confirmed",
		       windows, reads,
		       hs_answer_number(a->json, "stats", "reads_hit"),
		       hs_answer_number(a->json, "stats", "reads_other"),
		       hs_answer_number(a->json, "stats", "reads_torn"),
		       hs_answer_number(a->json, "stats", "reads_refused"),
		       hs_answer_number(a->json, "stats", "hints_confirmed"),
		       hs_answer_number(a->json, "stats", "hints"));
}

static void print_coordinator(const struct hs_answer *a)
{
	static const char *const troubles[] = {
		"stats", "triggers_refused", "stats",	  "updates_refused",
		"stats", "triggers_cut",     "stats",	  "answers_cut",
		"stats", "messages_bad",     "stats",	  "manifests_failed",
		"stats", "unreachable",	     "stats",	  "gone",
		"stats", "origin_refused",   "stats",	  "origin_cut",
		"stats", "seeks_refused",    "stats",	  "seeks_part",
		"stats", "reads_failed",     "transport", "peers_cut_off",
	};

	if (!print_head("coordinator", a))
		return;
	printf("%" PRIu64 " of %" PRIu64 " nodes up, %" PRIu64
	       " triggers; traces: %" PRIu64 " seeking, %" PRIu64
	       " telling, %" PRIu64 " stored",
	       hs_answer_number(a->json, "stats", "nodes_up"),
	       hs_answer_number(a->json, "stats", "nodes"),
	       hs_answer_number(a->json, "stats", "triggers"),
	       hs_answer_number(a->json, "stats", "traces_seeking"),
	       hs_answer_number(a->json, "stats", "traces_telling"),
	       hs_answer_number(a->json, "stats", "traces_stored"));
	print_ahead(a);
	print_troubles(a, troubles, sizeof(troubles) / sizeof(*troubles));
	print_members("            ", a);
}

static void print_collector(const struct hs_answer *a)
{
	static const char *const troubles[] = {
		"traces",    "stale",
		"store",     "sync_errors",
		"losses",    "slices_malformed",
		"losses",    "slices_over_limit",
		"losses",    "manifests_malformed",
		"losses",    "answers_over_limit",
		"losses",    "triggers_over_limit",
		"losses",    "ranges_over_limit",
		"losses",    "store_errors",
		"losses",    "messages_failed",
		"losses",    "summary_errors",
		"losses",    "damaged_bytes",
		"losses",    "torn_bytes",
		"losses",    "bad_segments",
		"transport", "peers_cut_off",
	};
	char disk[HS_UNITS_TEXT_MAX], raw[HS_UNITS_TEXT_MAX];

	if (!print_head("collector", a))
		return;
	hs_units_size_format(disk,
			     hs_answer_number(a->json, "store", "disk_bytes"));
	hs_units_size_format(raw,
			     hs_answer_number(a->json, "store", "raw_bytes"));
	printf("traces: %" PRIu64 " complete, %" PRIu64 " partial, %" PRIu64
	       " open; %s on disk for %s",
	       hs_answer_number(a->json, "traces", "complete"),
	       hs_answer_number(a->json, "traces", "partial"),
	       hs_answer_number(a->json, "traces", "open"), disk, raw);
	print_troubles(a, troubles, sizeof(troubles) / sizeof(*troubles));
}

/* With one node it stands in that node's line already. */
static void print_cluster(const struct hs_survey *survey)
{
	struct hs_survey_horizon horizon;
	char text[HS_UNITS_TEXT_MAX];

	hs_survey_horizon_get(survey, &horizon);
	if (survey->nr_nodes < 2 || !horizon.ns)
		return;
	hs_units_duration_format(text, horizon.ns);
	printf("\nthe cluster's event horizon: %s, by %s of %s\n", text,
	       horizon.domain, horizon.node);
}

static void print_text(const struct hs_survey *survey)
{
	uint32_t i;

	print_nodes(survey);
	print_memory(survey);
	print_standbys(survey);
	print_cluster(survey);
	print_losses(survey);
	print_triggers(survey);
	print_rules(survey);
	putchar('\n');
	print_carriers(survey);
	for (i = 0; i < survey->nr_nodes; i++)
		print_members(survey->nodes[i].name, &survey->nodes[i]);
	for (i = 0; i < survey->nr_coordinators; i++)
		print_coordinator(&survey->coordinators[i]);
	for (i = 0; i < survey->nr_collectors; i++)
		print_collector(&survey->collectors[i]);
}

int hs_command_status(int argc, char **argv)
{
	static struct hs_survey survey;
	struct hs_where where;
	struct hs_args_option options[HS_WHERE_OPTIONS];
	struct hs_args_program program = {
		.name = "hs status",
		.synopsis = "[options]",
		.summary = "Asks every daemon that is known how it is. Without "
			   "--fabric or --node those of this machine.",
		.examples =
			"  hs status\n"
			"  hs status --fabric /tmp/f\n"
			"  hs status --json | jq '.nodes[].status.losses'\n",
	};
	int first, rc;

	hs_where_init(&where);
	rc = hs_parse(&program, options, 0, &where, argc, argv, &first);
	if (rc == HS_ARGS_HELP)
		return HS_EXIT_OK;
	if (rc || first < argc) {
		if (!rc)
			fprintf(stderr, "hs status: takes options only\n");
		return HS_EXIT_USAGE;
	}
	hs_survey_all(&where, &survey);
	if (where.json)
		hs_print_json(hs_survey_json(&survey));
	else
		print_text(&survey);
	rc = survey.nr_silent ? HS_EXIT_UNREACHABLE : HS_EXIT_OK;
	hs_survey_free(&survey);
	return rc;
}
