/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see hs_survey.h. */
#include "tools/hs_survey.h"

#include <stdio.h>
#include <string.h>

static void ask(const struct hs_where *where, struct hs_survey *survey,
		struct hs_answer *answer, const char *name, const char *address)
{
	struct hs_tools_door door = hs_where_door(where, address);

	answer->name = name;
	answer->address = address;
	answer->json = NULL;
	if (!hs_tools_ask_json(&door, "GET", "/v1/status", NULL, &answer->json))
		return;
	survey->nr_silent++;
	snprintf(answer->error, sizeof(answer->error), "%s", door.error);
}

void hs_survey_nodes(const struct hs_where *where, struct hs_survey *survey)
{
	const struct hs_fabric *f = &where->fabric;

	memset(survey, 0, sizeof(*survey));
	for (uint32_t i = 0; i < f->nr_nodes; i++)
		ask(where, survey, &survey->nodes[i], f->nodes[i].name,
		    f->nodes[i].agent);
	survey->nr_nodes = f->nr_nodes;
}

void hs_survey_all(const struct hs_where *where, struct hs_survey *survey)
{
	const struct hs_fabric *f = &where->fabric;

	hs_survey_nodes(where, survey);
	for (uint32_t i = 0; i < f->nr_coordinators; i++)
		ask(where, survey, &survey->coordinators[i], "coordinator",
		    f->coordinators[i]);
	survey->nr_coordinators = f->nr_coordinators;
	for (uint32_t i = 0; i < f->nr_collectors; i++)
		ask(where, survey, &survey->collectors[i], "collector",
		    f->collectors[i]);
	survey->nr_collectors = f->nr_collectors;
}

static void forget(struct hs_answer *answers, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		json_decref(answers[i].json);
}

void hs_survey_free(struct hs_survey *survey)
{
	forget(survey->nodes, survey->nr_nodes);
	forget(survey->coordinators, survey->nr_coordinators);
	forget(survey->collectors, survey->nr_collectors);
	memset(survey, 0, sizeof(*survey));
}

static json_t *answers_json(const struct hs_answer *answers, uint32_t nr)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < nr; i++) {
		const struct hs_answer *a = &answers[i];

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

json_t *hs_survey_json(const struct hs_survey *survey)
{
	struct hs_survey_horizon horizon;

	hs_survey_horizon_get(survey, &horizon);
	return json_pack(
		"{s:o, s:o, s:o, s:{s:I, s:s, s:s}}", "nodes",
		answers_json(survey->nodes, survey->nr_nodes), "coordinators",
		answers_json(survey->coordinators, survey->nr_coordinators),
		"collectors",
		answers_json(survey->collectors, survey->nr_collectors),
		"cluster", "event_horizon_ns", (json_int_t)horizon.ns, "node",
		horizon.node, "domain", horizon.domain);
}

void hs_survey_horizon_get(const struct hs_survey *survey,
			   struct hs_survey_horizon *out)
{
	*out = (struct hs_survey_horizon){.node = "", .domain = ""};
	for (uint32_t i = 0; i < survey->nr_nodes; i++) {
		const json_t *domains =
			json_object_get(survey->nodes[i].json, "domains");

		for (size_t k = 0; k < json_array_size(domains); k++) {
			const json_t *d = json_array_get(domains, k);
			uint64_t ns =
				hs_answer_number(d, NULL, "event_horizon_ns");

			if (!ns || (out->ns && ns >= out->ns))
				continue;
			out->ns = ns;
			out->node = survey->nodes[i].name;
			out->domain = hs_answer_text(d, "name");
		}
	}
}

uint64_t hs_answer_number(const json_t *json, const char *group,
			  const char *key)
{
	const json_t *in = group ? json_object_get(json, group) : json;

	return (uint64_t)json_integer_value(json_object_get(in, key));
}

uint64_t hs_answer_sum(const json_t *object)
{
	const char *key;
	json_t *value;
	uint64_t total = 0;

	json_object_foreach((json_t *)object, key, value) total +=
		(uint64_t)json_integer_value(value);
	return total;
}

const char *hs_answer_text(const json_t *json, const char *key)
{
	const char *text = json_string_value(json_object_get(json, key));

	return text ? text : "";
}
