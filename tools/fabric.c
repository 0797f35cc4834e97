/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading and writing fabric.json. See fabric.h.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/fabric.h"

struct reader {
	const char *dir;
	char *error;
	size_t error_bytes;
};

static int refuse(const struct reader *r, const char *where, const char *right)
{
	snprintf(r->error, r->error_bytes, "%s/fabric.json: %s: %s", r->dir,
		 where, right);
	return -EINVAL;
}

static int read_path(const struct reader *r, const char *where,
		     const json_t *value, char out[HS_FABRIC_PATH_BYTES])
{
	const char *text = json_string_value(value);
	int n;

	if (!text || !*text)
		return refuse(r, where, "wants the path of a socket");
	if (*text == '/')
		n = snprintf(out, HS_FABRIC_PATH_BYTES, "%s", text);
	else
		n = snprintf(out, HS_FABRIC_PATH_BYTES, "%s/%s", r->dir, text);
	if (n < 0 || (size_t)n >= HS_FABRIC_PATH_BYTES)
		return refuse(r, where, "the path is too long");
	return 0;
}

static int read_daemons(const struct reader *r, const json_t *root,
			const char *where, char out[][HS_FABRIC_PATH_BYTES],
			uint32_t *nr)
{
	const json_t *list = json_object_get(root, where);
	size_t i;
	int err = 0;

	if (list && !json_is_array(list))
		return refuse(r, where, "wants a list of sockets");
	if (json_array_size(list) > HS_FABRIC_DAEMONS_MAX)
		return refuse(r, where, "more than 16");
	for (i = 0; i < json_array_size(list) && !err; i++)
		err = read_path(r, where, json_array_get(list, i), out[i]);
	*nr = (uint32_t)json_array_size(list);
	return err;
}

static int read_node(const struct reader *r, const json_t *from,
		     struct hs_fabric_node *node)
{
	const char *name = json_string_value(json_object_get(from, "name"));
	const json_t *application = json_object_get(from, "application");
	int err;

	if (!name || !*name || strlen(name) >= sizeof(node->name))
		return refuse(r, "nodes",
			      "each wants a name of up to 63 bytes");
	snprintf(node->name, sizeof(node->name), "%s", name);
	err = read_path(r, "nodes.agent", json_object_get(from, "agent"),
			node->agent);
	if (!err && application)
		err = read_path(r, "nodes.application", application,
				node->application);
	return err;
}

static int read_root(const struct reader *r, const json_t *root,
		     struct hs_fabric *fabric)
{
	const json_t *nodes = json_object_get(root, "nodes");
	size_t i;
	int err;

	if (!json_is_array(nodes) ||
	    json_array_size(nodes) > HS_FABRIC_NODES_MAX)
		return refuse(r, "nodes", "wants a list of up to 64 nodes");
	for (i = 0; i < json_array_size(nodes); i++) {
		err = read_node(r, json_array_get(nodes, i), &fabric->nodes[i]);
		if (err)
			return err;
	}
	fabric->nr_nodes = (uint32_t)json_array_size(nodes);
	err = read_daemons(r, root, "coordinators", fabric->coordinators,
			   &fabric->nr_coordinators);
	if (err)
		return err;
	return read_daemons(r, root, "collectors", fabric->collectors,
			    &fabric->nr_collectors);
}

int hs_fabric_load(struct hs_fabric *fabric, const char *dir, char *error,
		   size_t error_bytes)
{
	struct reader r = {dir, error, error_bytes};
	char path[HS_FABRIC_PATH_BYTES];
	json_error_t why;
	json_t *root;
	int n, err;

	memset(fabric, 0, sizeof(*fabric));
	n = snprintf(path, sizeof(path), "%s/fabric.json", dir);
	if (n < 0 || (size_t)n >= sizeof(path))
		return refuse(&r, "path", "too long");
	root = json_load_file(path, JSON_REJECT_DUPLICATES, &why);
	if (!root) {
		snprintf(error, error_bytes, "%s:%d: %s", path, why.line,
			 why.text);
		return why.line < 0 ? -ENOENT : -EINVAL;
	}
	err = read_root(&r, root, fabric);
	json_decref(root);
	return err;
}

static json_t *paths(const char (*list)[HS_FABRIC_PATH_BYTES], uint32_t nr)
{
	json_t *out = json_array();
	uint32_t i;

	for (i = 0; i < nr; i++)
		json_array_append_new(out, json_string(list[i]));
	return out;
}

int hs_fabric_save(const struct hs_fabric *fabric, const char *dir)
{
	char path[HS_FABRIC_PATH_BYTES], fresh[HS_FABRIC_PATH_BYTES + 8];
	json_t *nodes = json_array(), *root;
	uint32_t i;
	int n, err = 0;

	n = snprintf(path, sizeof(path), "%s/fabric.json", dir);
	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	snprintf(fresh, sizeof(fresh), "%s.new", path);
	for (i = 0; i < fabric->nr_nodes; i++) {
		const struct hs_fabric_node *node = &fabric->nodes[i];

		json_array_append_new(
			nodes, json_pack("{s:s, s:s, s:s}", "name", node->name,
					 "agent", node->agent, "application",
					 node->application));
	}
	root = json_pack("{s:o, s:o, s:o}", "nodes", nodes, "coordinators",
			 paths(fabric->coordinators, fabric->nr_coordinators),
			 "collectors",
			 paths(fabric->collectors, fabric->nr_collectors));
	if (!root)
		return -ENOMEM;
	if (json_dump_file(root, fresh, JSON_INDENT(1)) || rename(fresh, path))
		err = errno ? -errno : -EIO;
	json_decref(root);
	return err;
}
