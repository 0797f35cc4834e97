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
#include "tools/hs.h"
#include "tools/row.h"

/* One daemon asked. */
struct answer {
	const char *name;
	const char *address;
	json_t *json; /* NULL: it did not answer */
	char error[512];
};

struct status {
	struct answer nodes[HS_FABRIC_NODES_MAX];
	struct answer coordinators[HS_FABRIC_DAEMONS_MAX];
	struct answer collectors[HS_FABRIC_DAEMONS_MAX];
	uint32_t nr_nodes, nr_coordinators, nr_collectors;
	uint32_t nr_silent;
};

static void ask(const struct hs_where *where, struct status *status,
		struct answer *answer, const char *name, const char *address)
{
	struct hs_tools_door door = hs_where_door(where, address);

	answer->name = name;
	answer->address = address;
	if (!hs_tools_ask_json(&door, "GET", "/v1/status", NULL, &answer->json))
		return;
	status->nr_silent++;
	snprintf(answer->error, sizeof(answer->error), "%s", door.error);
}

/* A number wherever a daemon puts it: at the top or one level down. */
static uint64_t number(const json_t *json, const char *group, const char *key)
{
	const json_t *in = group ? json_object_get(json, group) : json;

	return (uint64_t)json_integer_value(json_object_get(in, key));
}

static uint64_t sum(const json_t *object)
{
	const char *key;
	json_t *value;
	uint64_t total = 0;

	json_object_foreach((json_t *)object, key, value) total +=
		(uint64_t)json_integer_value(value);
	return total;
}

static void add_silent(struct hs_table *table, const struct answer *answer,
		       uint32_t nr_columns)
{
	uint32_t i;

	hs_table_text(table, answer->name);
	hs_table_text(table, "no answer");
	for (i = 2; i < nr_columns; i++)
		hs_table_text(table, "");
}

static void add_domain(struct hs_table *table, const struct answer *answer,
		       const json_t *domain)
{
	const json_t *buffers = json_object_get(domain, "buffers");
	const char *name = json_string_value(json_object_get(domain, "name"));
	uint64_t pinned = number(buffers, NULL, "pinned");
	uint64_t free = number(buffers, NULL, "free");
	uint64_t total = number(buffers, NULL, "total");

	if (!total)
		total = sum(buffers);
	hs_table_text(table, answer->name);
	hs_table_text(table, name ? name : "");
	hs_table_number(table,
			json_array_size(json_object_get(domain, "processes")));
	hs_table_size(table, number(domain, NULL, "pool_bytes"));
	hs_table_textf(table, "%.1f %%",
		       total ? 100.0 * (double)(total - free) / (double)total
			     : 0.0);
	hs_table_textf(table, "%.1f %%",
		       total ? 100.0 * (double)pinned / (double)total : 0.0);
	hs_table_duration(table, number(domain, NULL, "event_horizon_ns"));
	hs_table_number(table, sum(json_object_get(answer->json, "losses")));
}

static void print_nodes(const struct status *status)
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

	for (i = 0; i < status->nr_nodes && table; i++) {
		const struct answer *a = &status->nodes[i];
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

static void add_losses(struct hs_table *table, const struct answer *a)
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

static void print_losses(const struct status *status)
{
	static const struct hs_table_column columns[] = {
		{"NODE", false, 0},
		{"LOSS", false, 0},
		{"COUNT", true, 0},
	};
	struct hs_table *table = hs_table_new(columns, 3);
	uint32_t i;

	for (i = 0; i < status->nr_nodes && table; i++)
		add_losses(table, &status->nodes[i]);
	if (table && hs_table_nr_rows(table)) {
		putchar('\n');
		hs_table_print(table, stdout, true);
	}
	hs_table_free(table);
}

static void add_triggers(struct hs_table *table, const struct answer *a)
{
	const json_t *triggers = json_object_get(a->json, "triggers");
	size_t i;

	for (i = 0; i < json_array_size(triggers); i++) {
		const json_t *t = json_array_get(triggers, i);
		const char *name =
			json_string_value(json_object_get(t, "name"));

		hs_table_text(table, a->name);
		hs_table_text(table, name ? name : "");
		hs_table_number(table, number(t, NULL, "fired_local"));
		hs_table_number(table, number(t, NULL, "fired_remote"));
		hs_table_number(table, number(t, NULL, "limited"));
		hs_table_number(table, number(t, NULL, "queued"));
		hs_table_size(table, number(t, NULL, "bytes_sent"));
	}
}

static void print_triggers(const struct status *status)
{
	static const struct hs_table_column columns[] = {
		{"NODE", false, 0},    {"TRIGGER", false, 0},
		{"FIRED", true, 0},    {"FROM ELSEWHERE", true, 0},
		{"LIMITED", true, 0},  {"QUEUED", true, 0},
		{"REPORTED", true, 0},
	};
	struct hs_table *table = hs_table_new(columns, 7);
	uint32_t i;

	for (i = 0; i < status->nr_nodes && table; i++)
		add_triggers(table, &status->nodes[i]);
	if (table && hs_table_nr_rows(table)) {
		putchar('\n');
		hs_table_print(table, stdout, true);
	}
	hs_table_free(table);
}

static bool print_head(const char *role, const struct answer *a)
{
	printf("%-12s %s: ", role, a->address);
	if (a->json)
		return true;
	printf("no answer (%s)\n", a->error);
	return false;
}

/* Which carrier, and why: an agent says it beside its name, others within. */
static void print_carrier(const struct answer *a)
{
	json_t *of = json_object_get(a->json, "transport");
	json_t *why = json_is_object(of)
			      ? json_object_get(of, "why")
			      : json_object_get(a->json, "transport_why");

	if (json_is_string(why))
		printf("; %s", json_string_value(why));
}

/* What should be 0 is shown only where it is not. */
static void print_troubles(const struct answer *a, const char *const *names,
			   size_t nr_names)
{
	size_t i;

	for (i = 0; i < nr_names; i += 2) {
		uint64_t n = number(a->json, names[i], names[i + 1]);

		if (n)
			printf(", %s %" PRIu64, names[i + 1], n);
	}
	print_carrier(a);
	putchar('\n');
}

static void print_coordinator(const struct answer *a)
{
	static const char *const troubles[] = {
		"stats",     "triggers_refused", "stats", "updates_refused",
		"stats",     "triggers_cut",	 "stats", "answers_cut",
		"stats",     "messages_bad",	 "stats", "manifests_failed",
		"stats",     "unreachable",	 "stats", "gone",
		"transport", "peers_cut_off",
	};

	if (!print_head("coordinator", a))
		return;
	printf("%" PRIu64 " of %" PRIu64 " nodes up, %" PRIu64
	       " triggers; traces: %" PRIu64 " seeking, %" PRIu64
	       " telling, %" PRIu64 " stored",
	       number(a->json, "stats", "nodes_up"),
	       number(a->json, "stats", "nodes"),
	       number(a->json, "stats", "triggers"),
	       number(a->json, "stats", "traces_seeking"),
	       number(a->json, "stats", "traces_telling"),
	       number(a->json, "stats", "traces_stored"));
	print_troubles(a, troubles, sizeof(troubles) / sizeof(*troubles));
}

static void print_collector(const struct answer *a)
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
	hs_units_size_format(disk, number(a->json, "store", "disk_bytes"));
	hs_units_size_format(raw, number(a->json, "store", "raw_bytes"));
	printf("traces: %" PRIu64 " complete, %" PRIu64 " partial, %" PRIu64
	       " open; %s on disk for %s",
	       number(a->json, "traces", "complete"),
	       number(a->json, "traces", "partial"),
	       number(a->json, "traces", "open"), disk, raw);
	print_troubles(a, troubles, sizeof(troubles) / sizeof(*troubles));
}

static void print_text(const struct status *status)
{
	uint32_t i;

	print_nodes(status);
	print_losses(status);
	print_triggers(status);
	putchar('\n');
	for (i = 0; i < status->nr_coordinators; i++)
		print_coordinator(&status->coordinators[i]);
	for (i = 0; i < status->nr_collectors; i++)
		print_collector(&status->collectors[i]);
}

static json_t *answers_json(const struct answer *answers, uint32_t nr)
{
	json_t *list = json_array();
	uint32_t i;

	for (i = 0; i < nr; i++) {
		const struct answer *a = &answers[i];

		json_array_append_new(
			list,
			a->json ? json_pack("{s:s, s:s, s:O}", "name", a->name,
					    "address", a->address, "status",
					    a->json)
				: json_pack("{s:s, s:s, s:s}", "name", a->name,
					    "address", a->address, "error",
					    a->error));
	}
	return list;
}

static void forget(struct answer *answers, uint32_t nr)
{
	uint32_t i;

	for (i = 0; i < nr; i++)
		json_decref(answers[i].json);
}

static void ask_everybody(const struct hs_where *where, struct status *s)
{
	const struct hs_fabric *f = &where->fabric;
	uint32_t i;

	for (i = 0; i < f->nr_nodes; i++)
		ask(where, s, &s->nodes[i], f->nodes[i].name,
		    f->nodes[i].agent);
	s->nr_nodes = f->nr_nodes;
	for (i = 0; i < f->nr_coordinators; i++)
		ask(where, s, &s->coordinators[i], "coordinator",
		    f->coordinators[i]);
	s->nr_coordinators = f->nr_coordinators;
	for (i = 0; i < f->nr_collectors; i++)
		ask(where, s, &s->collectors[i], "collector", f->collectors[i]);
	s->nr_collectors = f->nr_collectors;
}

int hs_command_status(int argc, char **argv)
{
	static struct status status;
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
	ask_everybody(&where, &status);
	if (where.json)
		hs_print_json(json_pack(
			"{s:o, s:o, s:o}", "nodes",
			answers_json(status.nodes, status.nr_nodes),
			"coordinators",
			answers_json(status.coordinators,
				     status.nr_coordinators),
			"collectors",
			answers_json(status.collectors, status.nr_collectors)));
	else
		print_text(&status);
	forget(status.nodes, status.nr_nodes);
	forget(status.coordinators, status.nr_coordinators);
	forget(status.collectors, status.nr_collectors);
	return status.nr_silent ? HS_EXIT_UNREACHABLE : HS_EXIT_OK;
}
