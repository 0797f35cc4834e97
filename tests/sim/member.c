/* SPDX-License-Identifier: Apache-2.0 */
/*
 * member.c - who belongs to the cluster, as every agent and coordinator sees
 * it: lists of servers, fed as the daemons' shells feed them
 *
 * Coordinators are listed by address alone, so that HELLO has to tell which
 * node that is; collectors by number, since slices have nowhere else to go.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

static enum hs_wire_role role_of(const struct sim *s, uint32_t ep)
{
	if (ep < s->p.nr_nodes)
		return HS_WIRE_ROLE_AGENT;
	return ep < s->p.nr_nodes + s->p.nr_coords ? HS_WIRE_ROLE_COORDINATOR
						   : HS_WIRE_ROLE_COLLECTOR;
}

static uint32_t lines_of(struct sim *s, enum hs_wire_role role,
			 struct hs_member_line *out)
{
	uint32_t nr = role == HS_WIRE_ROLE_COORDINATOR ? s->p.nr_coords
						       : s->p.nr_colls;

	for (uint32_t i = 0; i < nr; i++) {
		uint32_t ep = role == HS_WIRE_ROLE_COORDINATOR
				      ? sim_ep_coord(s, i)
				      : sim_ep_coll(s, i);

		out[i] = (struct hs_member_line){0};
		if (role == HS_WIRE_ROLE_COLLECTOR)
			out[i].number = (uint32_t)(sim_ep_id(s, ep) >> 32);
		sim_ep_name(s, ep, out[i].address);
	}
	return nr;
}

struct hs_members *sim_members_create(struct sim *s)
{
	const struct hs_members_config config = {.nr = s->p.nr_coords +
						       s->p.nr_colls};
	struct hs_member_line lines[SIM_SERVERS_MAX];
	struct hs_members *m = hs_members_create(
		sim_zalloc(1, hs_members_size_bytes(&config)), &config);
	uint32_t nr = lines_of(s, HS_WIRE_ROLE_COORDINATOR, lines);

	hs_members_list(m, HS_WIRE_ROLE_COORDINATOR, true, lines, nr,
			s->now_ns);
	nr = lines_of(s, HS_WIRE_ROLE_COLLECTOR, lines);
	hs_members_list(m, HS_WIRE_ROLE_COLLECTOR, true, lines, nr, s->now_ns);
	return m;
}

void sim_members_link(struct sim *s, struct hs_members *m, uint32_t peer,
		      bool up)
{
	const char *why = "";
	uint32_t superseded;
	char name[16];

	sim_ep_name(s, peer, name);
	if (role_of(s, peer) == HS_WIRE_ROLE_AGENT)
		return;
	/* A connection's number is its endpoint's, from 1. */
	if (!up)
		hs_members_went(m, peer + 1, s->now_ns);
	else if (!hs_members_came(m, role_of(s, peer), sim_ep_id(s, peer), name,
				  name, peer + 1, s->now_ns, &superseded))
		sim_fail(s, "%s finds no room in a list of members", name);
	if (!hs_members_check(m, &why))
		sim_fail(s, "a list of members does not add up: %s", why);
}

uint32_t sim_members_ep(const struct sim *s, const struct hs_members *m,
			uint32_t member)
{
	const struct hs_member *at = hs_member(m, member);

	return at && at->peer ? at->peer - 1 : UINT32_MAX;
}
