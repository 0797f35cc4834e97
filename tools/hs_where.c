/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the daemons are. The order: options, then the environment, then the
 * sockets that the daemons have by default.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tools/hs.h"

#define RUN_DIR "/run/hindsight/"

static const char *from_env(const char *name)
{
	const char *text = getenv(name);

	return text && *text ? text : NULL;
}

void hs_where_init(struct hs_where *where)
{
	memset(where, 0, sizeof(*where));
	where->collector = from_env("HS_COLLECTOR");
	where->agent = from_env("HS_AGENT");
	where->coordinator = from_env("HS_COORDINATOR");
	where->token = from_env("HS_TOKEN");
	where->fabric_dir = from_env("HS_FABRIC");
	where->nodes.items = where->node_items;
	where->nodes.nr_items_max = HS_FABRIC_NODES_MAX;
	where->timeout_ns = 30 * HS_NS_PER_SEC;
}

size_t hs_where_options(struct hs_where *where, struct hs_args_option *options)
{
	const struct hs_args_option table[HS_WHERE_OPTIONS] = {
		{"collector", 0, HS_ARGS_STRING, &where->collector, "ADDRESS",
		 "socket or host:port; else $HS_COLLECTOR, "
		 "/run/hindsight/collector.sock",
		 0, 0},
		{"agent", 0, HS_ARGS_STRING, &where->agent, "ADDRESS",
		 "else $HS_AGENT, /run/hindsight/control.sock", 0, 0},
		{"coordinator", 0, HS_ARGS_STRING, &where->coordinator,
		 "ADDRESS",
		 "else $HS_COORDINATOR, /run/hindsight/coordinator.sock", 0, 0},
		{"fabric", 0, HS_ARGS_STRING, &where->fabric_dir, "DIR",
		 "a directory whose fabric.json names all daemons; else "
		 "$HS_FABRIC",
		 0, 0},
		{"node", 'n', HS_ARGS_LIST, &where->nodes, "NAME[=ADDRESS]",
		 "only this node; with an address: its agent; may be given "
		 "again",
		 0, 0},
		{"token", 0, HS_ARGS_STRING, &where->token, "TOKEN",
		 "for host:port; else $HS_TOKEN", 0, 0},
		{"timeout", 0, HS_ARGS_DURATION, &where->timeout_ns, "TIME",
		 "for each answer", 0, 0},
		{"json", 'j', HS_ARGS_FLAG, &where->json, NULL,
		 "answer in JSON", 0, 0},
	};

	memcpy(options, table, sizeof(table));
	return HS_WHERE_OPTIONS;
}

static int one_path(char out[HS_FABRIC_PATH_BYTES], const char *option,
		    const char *fallback)
{
	int n = snprintf(out, HS_FABRIC_PATH_BYTES, "%s",
			 option ? option : fallback);

	if (n > 0 && (size_t)n < HS_FABRIC_PATH_BYTES)
		return 0;
	fprintf(stderr, "hs: '%s' is no address\n", option);
	return -EINVAL;
}

static int named_node(struct hs_fabric_node *node, const char *text)
{
	const char *equals = strchr(text, '=');
	size_t len = (size_t)(equals - text);

	if (!len || len >= sizeof(node->name) || !equals[1] ||
	    strlen(equals + 1) >= sizeof(node->agent)) {
		fprintf(stderr,
			"hs: --node '%s': wants NAME=ADDRESS, as in "
			"--node a=/run/hindsight/control.sock\n",
			text);
		return -EINVAL;
	}
	memset(node, 0, sizeof(*node));
	memcpy(node->name, text, len);
	memcpy(node->agent, equals + 1, strlen(equals + 1));
	return 0;
}

static const struct hs_fabric_node *find_node(const struct hs_fabric *fabric,
					      const char *name)
{
	uint32_t i;

	for (i = 0; i < fabric->nr_nodes; i++) {
		if (!strcmp(fabric->nodes[i].name, name))
			return &fabric->nodes[i];
	}
	fprintf(stderr,
		"hs: --node '%s': no such node is known; give its agent as "
		"--node %s=ADDRESS, or --fabric DIR\n",
		name, name);
	return NULL;
}

/* With --node only those named count; an address makes one known. */
static int resolve_nodes(struct hs_where *where)
{
	const struct hs_fabric known = where->fabric;
	uint32_t i;
	int err = 0;

	if (!where->nodes.nr_items)
		return 0;
	for (i = 0; i < where->nodes.nr_items && !err; i++) {
		const char *text = where->nodes.items[i];
		const struct hs_fabric_node *node;

		if (strchr(text, '=')) {
			err = named_node(&where->fabric.nodes[i], text);
			continue;
		}
		node = find_node(&known, text);
		if (!node)
			return -EINVAL;
		where->fabric.nodes[i] = *node;
	}
	where->fabric.nr_nodes = (uint32_t)where->nodes.nr_items;
	return err;
}

int hs_where_resolve(struct hs_where *where)
{
	struct hs_fabric *f = &where->fabric;
	char error[1024];
	int err;

	if (where->fabric_dir &&
	    hs_fabric_load(f, where->fabric_dir, error, sizeof(error))) {
		fprintf(stderr, "hs: %s\n", error);
		return -EINVAL;
	}
	if (where->collector || !f->nr_collectors) {
		err = one_path(f->collectors[0], where->collector,
			       RUN_DIR "collector.sock");
		f->nr_collectors = 1;
		if (err)
			return err;
	}
	if (where->coordinator || !f->nr_coordinators) {
		err = one_path(f->coordinators[0], where->coordinator,
			       RUN_DIR "coordinator.sock");
		f->nr_coordinators = 1;
		if (err)
			return err;
	}
	if (where->agent || !f->nr_nodes) {
		err = one_path(f->nodes[0].agent, where->agent,
			       RUN_DIR "control.sock");
		snprintf(f->nodes[0].name, sizeof(f->nodes[0].name), "local");
		f->nr_nodes = 1;
		if (err)
			return err;
	}
	return resolve_nodes(where);
}

struct hs_tools_door hs_where_door(const struct hs_where *where,
				   const char *address)
{
	struct hs_tools_door door = {
		.address = address,
		.token = where->token,
		.timeout_ns = where->timeout_ns,
	};

	return door;
}

int hs_parse(struct hs_args_program *program, struct hs_args_option *own,
	     size_t nr_own, struct hs_where *where, int argc, char **argv,
	     int *first_word)
{
	int rc;

	program->options = own;
	program->nr_options = nr_own + hs_where_options(where, own + nr_own);
	program->exit_codes = HS_EXIT_CODES;
	rc = hs_args_parse(program, argc, argv, first_word, stdout, stderr);
	return rc ? rc : hs_where_resolve(where);
}

int hs_fail(const struct hs_where *where, int err, const char *text)
{
	fprintf(stderr, "hs: %s\n", text);
	if (where->json)
		hs_print_json(json_pack("{s:s}", "error", text));
	switch (err) {
	case -ENOENT:
		return HS_EXIT_NOTHING;
	case -EINVAL:
	case -EIO:
	case -EBADMSG:
	case -EMSGSIZE:
		return HS_EXIT_DAEMON;
	default:
		return HS_EXIT_UNREACHABLE;
	}
}

int hs_tell(const struct hs_where *where, const char *name, const char *address,
	    const char *path, const char *request, json_t *answers)
{
	struct hs_tools_door door = hs_where_door(where, address);
	json_t *answer;
	int err = hs_tools_ask_json(&door, "POST", path, request, &answer);

	if (!err) {
		json_object_set_new(answers, name, answer);
		return HS_EXIT_OK;
	}
	fprintf(stderr, "hs: %s: %s\n", name, door.error);
	json_object_set_new(answers, name,
			    json_pack("{s:s}", "error", door.error));
	return err == -EINVAL || err == -EIO || err == -ENOENT
		       ? HS_EXIT_DAEMON
		       : HS_EXIT_UNREACHABLE;
}

int hs_print_json(json_t *json)
{
	int rc = json ? json_dumpf(json, stdout, JSON_INDENT(2)) : -1;

	putchar('\n');
	json_decref(json);
	return rc ? HS_EXIT_DAEMON : HS_EXIT_OK;
}
