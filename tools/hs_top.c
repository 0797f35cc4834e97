/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hs top - agents as they change: where their buffers are, what comes and what
 * is lost in a second, what it costs.
 *
 * Rates are of the time between two answers, by the agents' own clocks. An
 * agent whose worker changed in between has none for that once.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/table.h"
#include "base/units.h"
#include "tools/hs_survey.h"

static const char *const states[] = {"free",   "stocked", "written", "held",
				     "pinned", "sending", "orphaned"};
#define NR_STATES (sizeof(states) / sizeof(*states))

/* What changed at one agent between two answers. */
struct change {
	double seconds; /* 0: no rates */
	double buffers, bytes, triggers, lost;
	double cpu_share;
	double cpu_ns_per_buffer;
};

static uint64_t indexed(const json_t *status, const char *key)
{
	const json_t *domains = json_object_get(status, "domains");
	uint64_t total = 0;

	for (size_t i = 0; i < json_array_size(domains); i++)
		total += hs_answer_number(json_array_get(domains, i), "indexed",
					  key);
	return total;
}

static double grown(uint64_t before, uint64_t now)
{
	return now > before ? (double)(now - before) : 0;
}

static void change_of(const json_t *before, const json_t *now,
		      struct change *out)
{
	uint64_t then_ns = hs_answer_number(before, "cost", "now_ns");
	uint64_t now_ns = hs_answer_number(now, "cost", "now_ns");
	double cpu_ns;

	*out = (struct change){0};
	if (!before || !now || now_ns <= then_ns ||
	    hs_answer_number(before, "node", "pid") !=
		    hs_answer_number(now, "node", "pid"))
		return;
	out->seconds = (double)(now_ns - then_ns) / 1e9;
	out->buffers =
		grown(indexed(before, "buffers"), indexed(now, "buffers"));
	out->bytes = grown(indexed(before, "bytes"), indexed(now, "bytes"));
	out->triggers =
		grown(hs_answer_number(before, "outcomes", "acknowledged"),
		      hs_answer_number(now, "outcomes", "acknowledged"));
	out->lost = grown(hs_answer_sum(json_object_get(before, "losses")),
			  hs_answer_sum(json_object_get(now, "losses")));
	cpu_ns = grown(hs_answer_number(before, "cost", "cpu_ns"),
		       hs_answer_number(now, "cost", "cpu_ns"));
	out->cpu_share = cpu_ns / 1e9 / out->seconds;
	if (out->buffers > 0)
		out->cpu_ns_per_buffer = cpu_ns / out->buffers;
}

static void print_occupancy(const struct hs_survey *now)
{
	static const struct hs_table_column columns[] = {
		{"NODE", false, 0},    {"DOMAIN", false, 0},
		{"UID", true, 0},      {"PROC", true, 0},
		{"POOL", true, 0},     {"HORIZON", true, 0},
		{"EXPECTED", true, 0}, {"FREE", true, 0},
		{"STOCKED", true, 0},  {"WRITTEN", true, 0},
		{"HELD", true, 0},     {"PINNED", true, 0},
		{"SENDING", true, 0},  {"ORPHANED", true, 0},
	};
	struct hs_table *t = hs_table_new(columns, 7 + NR_STATES);

	for (uint32_t i = 0; i < now->nr_nodes && t; i++) {
		const json_t *domains =
			json_object_get(now->nodes[i].json, "domains");

		for (size_t k = 0; k < json_array_size(domains); k++) {
			const json_t *d = json_array_get(domains, k);
			const json_t *at = json_object_get(d, "occupancy");

			hs_table_text(t, now->nodes[i].name);
			hs_table_text(t, hs_answer_text(d, "name"));
			hs_table_number(t, hs_answer_number(d, NULL, "uid"));
			hs_table_number(t, json_array_size(json_object_get(
						   d, "processes")));
			hs_table_size(t,
				      hs_answer_number(d, NULL, "pool_bytes"));
			hs_table_duration(
				t,
				hs_answer_number(d, NULL, "event_horizon_ns"));
			hs_table_duration(
				t, hs_answer_number(d, NULL,
						    "expected_horizon_ns"));
			for (size_t s = 0; s < NR_STATES; s++)
				hs_table_number(t, hs_answer_number(at, NULL,
								    states[s]));
		}
	}
	if (t)
		hs_table_print(t, stdout, true);
	hs_table_free(t);
}

static void add_rates(struct hs_table *t, const json_t *before,
		      const json_t *now)
{
	struct change c;

	change_of(before, now, &c);
	if (c.seconds > 0) {
		hs_table_textf(t, "%.0f", c.buffers / c.seconds);
		hs_table_size(t, (uint64_t)(c.bytes / c.seconds));
		hs_table_textf(t, "%.1f", c.triggers / c.seconds);
		hs_table_textf(t, "%.1f", c.lost / c.seconds);
		hs_table_textf(t, "%.1f %%", 100 * c.cpu_share);
		hs_table_duration(t, (uint64_t)c.cpu_ns_per_buffer);
	} else {
		for (int i = 0; i < 6; i++)
			hs_table_text(t, "-");
	}
	hs_table_number(t, hs_answer_number(now, "queues", "outbox"));
	hs_table_number(t, hs_answer_number(now, "queues", "asked"));
	hs_table_number(t, hs_answer_number(now, "queues", "slices"));
	hs_table_number(t, hs_answer_sum(json_object_get(now, "losses")));
}

static void print_rates(const struct hs_survey *before,
			const struct hs_survey *now)
{
	static const struct hs_table_column columns[] = {
		{"NODE", false, 0},    {"BUFFERS/S", true, 0},
		{"BYTES/S", true, 0},  {"TRIGGERS/S", true, 0},
		{"LOST/S", true, 0},   {"CPU", true, 0},
		{"CPU/BUF", true, 0},  {"OUTBOX", true, 0},
		{"ASKED", true, 0},    {"SLICES", true, 0},
		{"LOST EVER", true, 0}};
	struct hs_table *t = hs_table_new(columns, 11);

	for (uint32_t i = 0; i < now->nr_nodes && t; i++) {
		const struct hs_answer *a = &now->nodes[i];

		hs_table_text(t, a->name);
		if (a->json) {
			add_rates(t, before->nodes[i].json, a->json);
			continue;
		}
		hs_table_text(t, "no answer");
		for (int k = 2; k < 11; k++)
			hs_table_text(t, "");
	}
	if (t)
		hs_table_print(t, stdout, true);
	hs_table_free(t);
}

static void print_screen(const struct hs_survey *before,
			 const struct hs_survey *now)
{
	struct hs_survey_horizon horizon;
	char text[HS_UNITS_TEXT_MAX];

	hs_survey_horizon_get(now, &horizon);
	hs_units_duration_format(text, horizon.ns);
	if (horizon.ns)
		printf("the cluster's event horizon: %s, by %s of %s\n\n", text,
		       horizon.domain, horizon.node);
	print_occupancy(now);
	putchar('\n');
	print_rates(before, now);
	fflush(stdout);
}

static json_t *rates_json(const struct hs_survey *before,
			  const struct hs_survey *now)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < now->nr_nodes; i++) {
		struct change c;

		change_of(before->nodes[i].json, now->nodes[i].json, &c);
		if (c.seconds <= 0)
			continue;
		json_array_append_new(
			list,
			json_pack("{s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:f}",
				  "node", now->nodes[i].name, "seconds",
				  c.seconds, "buffers_per_s",
				  c.buffers / c.seconds, "bytes_per_s",
				  c.bytes / c.seconds, "triggers_per_s",
				  c.triggers / c.seconds, "lost_per_s",
				  c.lost / c.seconds, "cpu_share", c.cpu_share,
				  "cpu_ns_per_buffer", c.cpu_ns_per_buffer));
	}
	return list;
}

static void wait_ns(uint64_t ns)
{
	const struct timespec ts = {.tv_sec = (time_t)(ns / HS_NS_PER_SEC),
				    .tv_nsec = (long)(ns % HS_NS_PER_SEC)};

	nanosleep(&ts, NULL);
}

static int run(const struct hs_where *where, uint64_t interval_ns, bool once)
{
	static struct hs_survey surveys[2];
	bool clears = isatty(STDOUT_FILENO) && !once;
	uint32_t at = 0;
	int rc;

	hs_survey_nodes(where, &surveys[at]);
	do {
		wait_ns(interval_ns);
		at = !at;
		hs_survey_free(&surveys[at]);
		hs_survey_nodes(where, &surveys[at]);
		if (where->json) {
			json_t *json = hs_survey_json(&surveys[at]);

			json_object_set_new(
				json, "rates",
				rates_json(&surveys[!at], &surveys[at]));
			hs_print_json(json);
			continue;
		}
		if (clears)
			fputs("\033[H\033[2J", stdout);
		print_screen(&surveys[!at], &surveys[at]);
		if (!clears && !once)
			putchar('\n');
	} while (!once && !ferror(stdout));
	rc = surveys[at].nr_silent ? HS_EXIT_UNREACHABLE : HS_EXIT_OK;
	hs_survey_free(&surveys[0]);
	hs_survey_free(&surveys[1]);
	return rc;
}

int hs_command_top(int argc, char **argv)
{
	uint64_t interval_ns = 2 * HS_NS_PER_SEC;
	bool once = false;
	struct hs_where where;
	struct hs_args_option options[2 + HS_WHERE_OPTIONS] = {
		{"interval", 'i', HS_ARGS_DURATION, &interval_ns, "TIME",
		 "between two screens", 0, 0},
		{"once", '1', HS_ARGS_FLAG, &once, NULL,
		 "one screen, of one interval", 0, 0},
	};
	struct hs_args_program program = {
		.name = "hs top",
		.synopsis = "[options]",
		.summary = "Shows agents as they change, until interrupted.",
		.examples = "  hs top\n"
			    "  hs top --fabric /tmp/f --interval 500ms\n"
			    "  hs top --once --json | jq '.rates'\n",
	};
	int first, rc;

	hs_where_init(&where);
	rc = hs_parse(&program, options, 2, &where, argc, argv, &first);
	if (rc == HS_ARGS_HELP)
		return HS_EXIT_OK;
	if (rc || first < argc) {
		if (!rc)
			fprintf(stderr, "hs top: takes options only\n");
		return HS_EXIT_USAGE;
	}
	return run(&where, interval_ns, once);
}
