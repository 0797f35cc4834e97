/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hs reload - another policy, while agents run
 */
#include <stdio.h>

#include "tools/hs.h"

/* Return: an exit code. */
static int reload_one(const struct hs_where *where,
		      const struct hs_fabric_node *node, bool check,
		      json_t *answers)
{
	const char *changed;
	int rc = hs_tell(where, node->name, node->agent, "/v1/reload",
			 check ? "{\"check\":true}" : "{}", answers);

	if (rc)
		return rc;
	changed = json_string_value(json_object_get(
		json_object_get(answers, node->name), "changed"));
	if (!where->json)
		printf("%s: %s%s\n", node->name,
		       check ? "would change: " : "changed: ",
		       changed && *changed ? changed : "nothing");
	return HS_EXIT_OK;
}

int hs_command_reload(int argc, char **argv)
{
	bool check = false;
	struct hs_where where;
	struct hs_args_option options[1 + HS_WHERE_OPTIONS] = {
		{"check", 0, HS_ARGS_FLAG, &check, NULL,
		 "only say what would change, or what is wrong", 0, 0},
	};
	struct hs_args_program program = {
		.name = "hs reload",
		.synopsis = "[options]",
		.summary =
			"Has agents read the file that they were started with "
			"again: triggers, rules, redaction, who may do what, "
			"and whatever else may change while they run. All of a "
			"file is taken or nothing; what is wrong with it is "
			"said with line and column.",
		.examples = "  hs reload --check\n"
			    "  hs reload --fabric /tmp/f --node node-1\n",
	};
	json_t *answers;
	int first, rc, one;

	hs_where_init(&where);
	rc = hs_parse(&program, options, 1, &where, argc, argv, &first);
	if (rc == HS_ARGS_HELP)
		return HS_EXIT_OK;
	if (rc || first < argc) {
		if (!rc)
			fprintf(stderr, "hs reload: takes options only\n");
		return HS_EXIT_USAGE;
	}
	answers = json_object();
	for (uint32_t i = 0; i < where.fabric.nr_nodes; i++) {
		one = reload_one(&where, &where.fabric.nodes[i], check,
				 answers);
		rc = one ? one : rc;
	}
	if (where.json)
		hs_print_json(json_pack("{s:O}", "reloaded", answers));
	json_decref(answers);
	return rc;
}
