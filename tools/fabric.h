/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fabric as a directory: fabric.json names the control sockets of all
 * daemons and the applications' sockets, so that one word (--fabric DIR) finds
 * them all. Whoever starts a fabric writes it; hs and hs-replay read it.
 *
 *   {"nodes": [{"name": "node-0", "agent": "agent-0.sock",
 *               "application": "app-0.sock"}],
 *    "coordinators": ["coordinator.sock"], "collectors": ["collector.sock"]}
 *
 * Relative paths are relative to the directory.
 */
#ifndef HS_TOOLS_FABRIC_H
#define HS_TOOLS_FABRIC_H

#include <stddef.h>
#include <stdint.h>

#define HS_FABRIC_NODES_MAX   64u
#define HS_FABRIC_DAEMONS_MAX 16u
#define HS_FABRIC_PATH_BYTES  512u
#define HS_FABRIC_NAME_BYTES  64u

struct hs_fabric_node {
	char name[HS_FABRIC_NAME_BYTES];
	char agent[HS_FABRIC_PATH_BYTES];	/* control socket */
	char application[HS_FABRIC_PATH_BYTES]; /* empty: not named */
};

struct hs_fabric {
	uint32_t nr_nodes, nr_coordinators, nr_collectors;
	struct hs_fabric_node nodes[HS_FABRIC_NODES_MAX];
	char coordinators[HS_FABRIC_DAEMONS_MAX][HS_FABRIC_PATH_BYTES];
	char collectors[HS_FABRIC_DAEMONS_MAX][HS_FABRIC_PATH_BYTES];
};

/**
 * hs_fabric_load() - read DIR/fabric.json
 * @error: a sentence when it is refused
 *
 * Return: 0, -EINVAL, -ENOENT, -ENOMEM.
 */
int hs_fabric_load(struct hs_fabric *fabric, const char *dir, char *error,
		   size_t error_bytes);

/* Write DIR/fabric.json, whole or not at all. Return: 0 or negative errno. */
int hs_fabric_save(const struct hs_fabric *fabric, const char *dir);

#endif
