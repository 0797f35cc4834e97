/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hs trigger, hs stop - what changes something.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/door.h"
#include "base/table.h"
#include "hs/hindsight.h"
#include "model/ident.h"
#include "model/trace.h"
#include "tools/hs.h"

struct trigger {
	bool seek; /* by id, and nobody said which node saw it */
	const char *name, *service;
	uint64_t last_ns, limit;
	struct hs_args_list lateral;
	const char *lateral_items[HS_LATERAL_MAX];
};

static const char trigger_examples[] =
	"  # one trace, wherever it went\n"
	"  hs trigger 4bf92f3577b34da6a3ce929d0e0e4736\n"
	"  hs trigger --fabric /tmp/f --node node-1 "
	"4bf92f3577b34da6a3ce929d0e0e4736\n"
	"  # what this node saw in the last two seconds\n"
	"  hs trigger --last 2s --service checkout --limit 100\n"
	"  # the same on two nodes of a fabric\n"
	"  hs trigger --fabric /tmp/f --node node-0 --node node-2 --last 2s\n";

static json_t *id_json(const char *text)
{
	uint8_t id[HS_MODEL_TRACE_ID_SIZE];
	char padded[2 * HS_MODEL_TRACE_ID_SIZE + 1];

	if (hs_model_id_parse(text, strlen(text), id, sizeof(id))) {
		fprintf(stderr,
			"hs trigger: '%s': a trace id is up to 32 hexadecimal "
			"digits\n",
			text);
		return NULL;
	}
	return json_string(hs_model_id_format(id, sizeof(id), padded));
}

static json_t *request_by_id(const struct trigger *t, const char *id)
{
	json_t *lateral = json_array(), *primary = id_json(id);
	size_t i;

	for (i = 0; i < t->lateral.nr_items && primary; i++) {
		json_t *one = id_json(t->lateral.items[i]);

		if (!one) {
			json_decref(primary);
			primary = NULL;
		}
		json_array_append_new(lateral, one);
	}
	if (!primary) {
		json_decref(lateral);
		return NULL;
	}
	return json_pack("{s:s, s:o, s:o, s:b}", "trigger", t->name, "trace_id",
			 primary, "lateral", lateral, "seek", t->seek);
}

static json_t *request_by_time(const struct trigger *t)
{
	json_t *request = json_pack("{s:s, s:I, s:I}", "trigger", t->name,
				    "last_ns", (json_int_t)t->last_ns, "limit",
				    (json_int_t)t->limit);

	if (request && t->service)
		json_object_set_new(request, "service",
				    json_string(t->service));
	return request;
}

/* Every node's answer under its name; the sum of what was fired. With @once
 * the first one that does it is enough: it need not have seen the trace. */
static int fire(const struct hs_where *where, const char *request, bool once,
		json_t *answers, uint64_t *nr_fired)
{
	const struct hs_fabric *f = &where->fabric;
	uint32_t i;
	int rc = HS_EXIT_OK;

	for (i = 0; i < f->nr_nodes; i++) {
		struct hs_tools_door door =
			hs_where_door(where, f->nodes[i].agent);
		json_t *answer;
		int err = hs_tools_ask_json(&door, "POST", "/v1/trigger",
					    request, &answer);

		if (err == -ENOENT)
			continue;
		if (err) {
			fprintf(stderr, "hs: %s: %s\n", f->nodes[i].name,
				door.error);
			json_object_set_new(
				answers, f->nodes[i].name,
				json_pack("{s:s}", "error", door.error));
			rc = err == -EINVAL || err == -EIO
				     ? HS_EXIT_DAEMON
				     : HS_EXIT_UNREACHABLE;
			continue;
		}
		*nr_fired += (uint64_t)json_integer_value(
			json_object_get(answer, "fired"));
		json_object_set_new(answers, f->nodes[i].name, answer);
		if (once)
			return HS_EXIT_OK;
	}
	return rc;
}

static void print_fired(const json_t *answers)
{
	const char *node;
	json_t *answer;
	size_t i;

	json_object_foreach((json_t *)answers, node, answer)
	{
		const json_t *ids = json_object_get(answer, "trace_ids");

		for (i = 0; i < json_array_size(ids); i++) {
			const char *id =
				json_string_value(json_array_get(ids, i));

			hs_table_text_print(stdout, id ? id : "?", 0);
			putchar('\n');
		}
	}
}

/* By time: what was there and not fired, by a limit or a rate. */
static uint64_t left_out(const json_t *answers)
{
	uint64_t nr = 0;
	const char *node;
	json_t *answer;

	json_object_foreach((json_t *)answers, node, answer) nr +=
		(uint64_t)json_integer_value(
			json_object_get(answer, "left_out"));
	return nr;
}

static int trigger(struct hs_where *where, json_t *request, bool once)
{
	json_t *answers = json_object();
	uint64_t nr_fired = 0;
	char *text;
	int rc;

	if (!request) {
		json_decref(answers);
		return HS_EXIT_USAGE;
	}
	text = json_dumps(request, JSON_COMPACT);
	rc = fire(where, text, once, answers, &nr_fired);
	if (!rc && !nr_fired)
		rc = HS_EXIT_NOTHING;
	if (where->json) {
		hs_print_json(json_pack("{s:I, s:O}", "fired",
					(json_int_t)nr_fired, "nodes",
					answers));
	} else {
		print_fired(answers);
		fprintf(stderr, "hs: %llu traces triggered",
			(unsigned long long)nr_fired);
		if (left_out(answers))
			fprintf(stderr, ", %llu more seen: see --limit",
				(unsigned long long)left_out(answers));
		fputc('\n', stderr);
	}
	free(text);
	json_decref(answers);
	json_decref(request);
	return rc;
}

static int trigger_check(const struct trigger *t, int nr_words)
{
	if (!t->last_ns && nr_words == 1)
		return 0;
	if (t->last_ns && !nr_words && !t->lateral.nr_items)
		return 0;
	fprintf(stderr, "hs trigger: wants a trace id, or --last TIME: one of "
			"them, and --lateral with an id only\n");
	return -EINVAL;
}

int hs_command_trigger(int argc, char **argv)
{
	struct trigger t = {.name = "operator", .limit = 100};
	struct hs_where where;
	struct hs_args_option options[5 + HS_WHERE_OPTIONS] = {
		{"trigger", 't', HS_ARGS_STRING, &t.name, "NAME",
		 "under this trigger's name", 0, 0},
		{"lateral", 0, HS_ARGS_LIST, &t.lateral, "ID",
		 "another trace that belongs to it; may be given again", 0, 0},
		{"last", 0, HS_ARGS_DURATION, &t.last_ns, "TIME",
		 "what was seen since so long ago", 0, 0},
		{"service", 's', HS_ARGS_STRING, &t.service, "NAME",
		 "with --last: of this service", 0, 0},
		{"limit", 'l', HS_ARGS_U64, &t.limit, "N",
		 "with --last: at most so many on each node", 1,
		 HS_AGENT_RECENT_MAX},
	};
	struct hs_args_program program = {
		.name = "hs trigger",
		.synopsis = "[options] ID | --last TIME",
		.summary = "Has traces collected: one by its id, or whatever a "
			   "node saw lately. Prints the ids. By its id it is "
			   "found wherever it went; with --node that node must "
			   "have seen it, and nobody else is asked who did.",
		.examples = trigger_examples,
	};
	int first, rc;

	hs_where_init(&where);
	t.lateral.items = t.lateral_items;
	t.lateral.nr_items_max = HS_LATERAL_MAX;
	rc = hs_parse(&program, options, 5, &where, argc, argv, &first);
	if (rc == HS_ARGS_HELP)
		return HS_EXIT_OK;
	if (rc || trigger_check(&t, argc - first))
		return HS_EXIT_USAGE;
	t.seek = !t.last_ns && !where.nodes.nr_items;
	return trigger(&where,
		       t.last_ns ? request_by_time(&t)
				 : request_by_id(&t, argv[first]),
		       t.seek);
}

static int stop_one(const struct hs_where *where, const char *name,
		    const char *address, bool purge, json_t *answers)
{
	const char *request = purge ? "{\"purge\":true}" : "{\"purge\":false}";
	int rc = hs_tell(where, name, address, "/v1/stop", request, answers);

	if (!rc && !where->json)
		printf("%s is ending%s\n", name,
		       purge ? " and leaves nothing" : "");
	return rc;
}

/* Agents first: what they still have to report finds the others alive. */
static int stop(const struct hs_where *where, bool purge, bool all)
{
	const struct hs_fabric *f = &where->fabric;
	json_t *answers = json_object();
	char name[64];
	uint32_t i;
	int rc = HS_EXIT_OK, one;

	for (i = 0; i < f->nr_nodes; i++) {
		one = stop_one(where, f->nodes[i].name, f->nodes[i].agent,
			       purge, answers);
		rc = one ? one : rc;
	}
	for (i = 0; all && i < f->nr_coordinators; i++) {
		snprintf(name, sizeof(name), "coordinator-%u", i);
		one = stop_one(where, name, f->coordinators[i], purge, answers);
		rc = one ? one : rc;
	}
	for (i = 0; all && i < f->nr_collectors; i++) {
		snprintf(name, sizeof(name), "collector-%u", i);
		one = stop_one(where, name, f->collectors[i], purge, answers);
		rc = one ? one : rc;
	}
	if (where->json)
		hs_print_json(json_pack("{s:O}", "stopped", answers));
	json_decref(answers);
	return rc;
}

int hs_command_stop(int argc, char **argv)
{
	bool purge = false;
	struct hs_where where;
	struct hs_args_option options[1 + HS_WHERE_OPTIONS] = {
		{"purge", 0, HS_ARGS_FLAG, &purge, NULL,
		 "leave nothing: no memory for a successor, no files", 0, 0},
	};
	struct hs_args_program program = {
		.name = "hs stop",
		.synopsis = "[options]",
		.summary =
			"Ends an agent. Without --purge its memory is kept for "
			"a successor for the linger time. With --fabric (and "
			"no --node) the coordinator and the collector, too; a "
			"collector's store stays in any case.",
		.examples = "  hs stop\n"
			    "  hs stop --purge --fabric /tmp/f\n",
	};
	int first, rc;

	hs_where_init(&where);
	rc = hs_parse(&program, options, 1, &where, argc, argv, &first);
	if (rc == HS_ARGS_HELP)
		return HS_EXIT_OK;
	if (rc || first < argc) {
		if (!rc)
			fprintf(stderr, "hs stop: takes options only\n");
		return HS_EXIT_USAGE;
	}
	return stop(&where, purge, where.fabric_dir && !where.nodes.nr_items);
}
