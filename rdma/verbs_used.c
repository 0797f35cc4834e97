/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verbs_used.c - which device, port and GID connections go by, and why
 *
 * For people: a line in every daemon's status. Looked up when a connection
 * comes up by a device that none used before.
 */
#include <arpa/inet.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rdma/verbs.h"

#define GIDS_MAX 256

/* Which of the port's it is; -1: none. */
static int gid_index(const struct hs_verbs *v, struct ibv_context *verbs,
		     uint8_t port, const union ibv_gid *gid)
{
	union ibv_gid at;

	for (int i = 0; i < GIDS_MAX; i++) {
		if (v->api->query_gid(verbs, port, i, &at))
			return -1;
		if (!memcmp(&at, gid, sizeof(at)))
			return i;
	}
	return -1;
}

static void gid_text(const union ibv_gid *gid, char out[INET6_ADDRSTRLEN])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	if (!memcmp(gid->raw, mapped, sizeof(mapped)))
		inet_ntop(AF_INET, gid->raw + 12, out, INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET6, gid->raw, out, INET6_ADDRSTRLEN);
}

/* Where the device is attached, as the kernel says; -1: nowhere in particular.
 */
static int numa_node(const char *device)
{
	char path[64 + HS_VERBS_NAME_BYTES], text[16] = "";
	FILE *f;

	snprintf(path, sizeof(path),
		 "/sys/class/infiniband/%s/device/numa_node", device);
	f = fopen(path, "re");
	if (!f)
		return -1;
	if (!fgets(text, sizeof(text), f))
		text[0] = '\0';
	fclose(f);
	return text[0] ? atoi(text) : -1;
}

static const char *reason(const struct hs_verbs *v,
			  const struct hs_verbs_used *u)
{
	if (v->options.device[0])
		return "transport.device";
	if (v->options.source[0])
		return "transport.source";
	if (u->nearest)
		return "the nearest";
	return v->nr_listed == 1 ? "the only one" : "by the route";
}

static void put(struct hs_verbs *v, const struct hs_verbs_used *u)
{
	char address[INET6_ADDRSTRLEN], gid[16] = "", near[48] = "";
	char *text = v->hub.stats.by;
	size_t used = strlen(text);
	int node = numa_node(u->device);
	unsigned int cpu, here;

	gid_text(&u->gid, address);
	if (u->gid_index >= 0)
		snprintf(gid, sizeof(gid), " GID %d", u->gid_index);
	if (node >= 0 && getcpu(&cpu, &here) == 0)
		snprintf(near, sizeof(near), ", at NUMA node %d, we at %u",
			 node, here);
	snprintf(text + used, sizeof(v->hub.stats.by) - used,
		 "%s%s port %u%s %s (%s%s)", used ? "; " : "", u->device,
		 u->port, gid, address, reason(v, u), near);
}

void hs_verbs_used_write(struct hs_verbs *v)
{
	snprintf(v->hub.stats.by, sizeof(v->hub.stats.by), "%s", v->nearest);
	for (uint32_t i = 0; i < v->nr_used; i++)
		put(v, &v->used[i]);
}

void hs_verbs_used_add(struct hs_verbs_chan *c)
{
	struct hs_verbs *v = c->v;
	struct hs_verbs_used u = {
		.port = c->id->port_num,
		.gid = c->id->route.addr.addr.ibaddr.sgid,
		.nearest = c->nearest,
	};

	snprintf(u.device, sizeof(u.device), "%s",
		 v->api->device_name(c->device->verbs->device));
	for (uint32_t i = 0; i < v->nr_used; i++)
		if (!strcmp(v->used[i].device, u.device) &&
		    v->used[i].port == u.port &&
		    !memcmp(&v->used[i].gid, &u.gid, sizeof(u.gid)))
			return;
	if (v->nr_used == HS_VERBS_USED_MAX)
		return;
	u.gid_index = gid_index(v, c->id->verbs, (uint8_t)u.port, &u.gid);
	v->used[v->nr_used++] = u;
	put(v, &u);
}
