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

#include "agent/core_priv.h"
#include "tests/sim/sim.h"

static enum hs_wire_role role_of(const struct sim *s, uint32_t ep)
{
	if (ep < s->p.nr_nodes)
		return HS_WIRE_ROLE_AGENT;
	return ep < s->p.nr_nodes + s->p.nr_coords ? HS_WIRE_ROLE_COORDINATOR
						   : HS_WIRE_ROLE_COLLECTOR;
}

/* A change of lists, and when it is taken back. */
enum move {
	MOVE_UNLIST = 0, /* one node's list lacks a coordinator for a while */
	MOVE_AWAY = 1,	 /* all lists do, one after the other; it ends, and
			    comes back */
	MOVE_LATE = 2,	 /* a node joins later than the others */
	MOVE_LEFT = 3,	 /* coordinators hear that a node left: of one that is
			    away, rightly or not */
	NR_MOVES
};

/* What a move's event does; its other number is the coordinator or node. */
enum step {
	STEP_UNLIST,
	STEP_LIST,
	STEP_KILL,
	STEP_START,
	STEP_LEFT,
	STEP_DIE
};

struct sim_owed {
	uint64_t key;
	uint32_t node;
	bool stored;
};

static uint32_t lines_of(struct sim *s, enum hs_wire_role role,
			 uint32_t unlisted, struct hs_member_line *out)
{
	uint32_t nr = role == HS_WIRE_ROLE_COORDINATOR ? s->p.nr_coords
						       : s->p.nr_colls;
	uint32_t n = 0;

	for (uint32_t i = 0; i < nr; i++) {
		uint32_t ep = role == HS_WIRE_ROLE_COORDINATOR
				      ? sim_ep_coord(s, i)
				      : sim_ep_coll(s, i);

		if (unlisted >> i & 1)
			continue;
		out[n] = (struct hs_member_line){0};
		if (role == HS_WIRE_ROLE_COLLECTOR)
			out[n].number = (uint32_t)(sim_ep_id(s, ep) >> 32);
		sim_ep_name(s, ep, out[n++].address);
	}
	return n;
}

struct hs_members *sim_members_create(struct sim *s, uint32_t unlisted)
{
	const struct hs_members_config config = {.nr = s->p.nr_coords +
						       s->p.nr_colls};
	struct hs_member_line lines[SIM_SERVERS_MAX];
	struct hs_members *m = hs_members_create(
		sim_zalloc(1, hs_members_size_bytes(&config)), &config);
	uint32_t nr = lines_of(s, HS_WIRE_ROLE_COORDINATOR, unlisted, lines);

	hs_members_list(m, HS_WIRE_ROLE_COORDINATOR, true, lines, nr,
			s->now_ns);
	nr = lines_of(s, HS_WIRE_ROLE_COLLECTOR, 0, lines);
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

/* ---- lists that change -----------------------------------------------------
 */

static void later(struct sim *s, struct hs_random *r, uint64_t at_ns,
		  uint64_t spread_ms, enum step step, uint32_t a, uint32_t b)
{
	sim_push(s, at_ns + sim_between(r, 0, spread_ms) * SIM_MS, SIM_EV_MOVE,
		 a, (uint32_t)step << 16 | b, 0, NULL);
}

static void away(struct sim *s, struct hs_random *r, uint64_t at_ns,
		 uint64_t for_ns, uint32_t c)
{
	for (uint32_t n = 0; n < s->p.nr_nodes; n++) {
		later(s, r, at_ns, 400, STEP_UNLIST, n, c);
		later(s, r, at_ns + for_ns, 400, STEP_LIST, n, c);
	}
	later(s, r, at_ns, 600, STEP_KILL, 0, c);
	later(s, r, at_ns + for_ns, 100, STEP_START, 0, c);
}

void sim_moves_create(struct sim *s)
{
	struct hs_random r;

	hs_random_seed(&r, s->p.seed ^ 0x3e3be5ull);
	for (uint32_t i = 0; i < s->p.nr_moves; i++) {
		enum move kind = (enum move)hs_random_below(&r, NR_MOVES);
		uint64_t at = SIM_S + hs_random_below(&r, s->p.load_ns);
		uint64_t duration = sim_between(&r, 50, 2500) * SIM_MS;
		uint32_t n = (uint32_t)hs_random_below(&r, s->p.nr_nodes);
		uint32_t c = (uint32_t)hs_random_below(&r, s->p.nr_coords);

		if (kind == MOVE_UNLIST) {
			later(s, &r, at, 0, STEP_UNLIST, n, c);
			later(s, &r, at + duration, 0, STEP_LIST, n, c);
		} else if (kind == MOVE_AWAY) {
			away(s, &r, at, duration, c);
		} else if (kind == MOVE_LATE) {
			s->nodes[n].late = true;
			sim_push(s, at, SIM_EV_RESTART, n, 0, 0, NULL);
		} else {
			for (c = 0; c < s->p.nr_coords; c++)
				later(s, &r, at, 2000, STEP_LEFT, c, n);
		}
	}
	if (s->p.failover)
		sim_push(s, SIM_S + s->p.load_ns / 2, SIM_EV_MOVE, 0,
			 (uint32_t)STEP_DIE << 16, 0, NULL);
}

static void list(struct sim *s, uint32_t n, uint32_t c, bool listed)
{
	struct hs_member_line lines[SIM_SERVERS_MAX];
	struct sim_node *node = &s->nodes[n];
	uint32_t nr;

	node->unlisted &= ~(1u << c);
	node->unlisted |= listed ? 0 : 1u << c;
	sim_story(s, n, "its list %s coord%u", listed ? "has" : "lacks", c);
	if (!node->up)
		return;
	nr = lines_of(s, HS_WIRE_ROLE_COORDINATOR, node->unlisted, lines);
	hs_members_list(node->members, HS_WIRE_ROLE_COORDINATOR, true, lines,
			nr, s->now_ns);
	if (!listed)
		sim_net_break(s, sim_net_link(s, n, sim_ep_coord(s, c)));
}

/* It says so, or its lease runs out: coordinators hear one after another. */
void sim_members_leave(struct sim *s, uint32_t n)
{
	for (uint32_t c = 0; c < s->p.nr_coords; c++)
		sim_push(s, s->now_ns + (10 + 40 * c) * SIM_MS, SIM_EV_MOVE, c,
			 (uint32_t)STEP_LEFT << 16 | n, 0, NULL);
}

bool sim_members_dials(const struct sim *s, uint32_t low, uint32_t high)
{
	uint32_t c = high - s->p.nr_nodes;

	return low >= s->p.nr_nodes || c >= s->p.nr_coords ||
	       !(s->nodes[low].unlisted >> c & 1);
}

/* As the shell: who is connected is no stranger, whatever a list says. */
static void left(struct sim *s, uint32_t c, uint32_t n)
{
	const struct sim_link *l =
		&s->links[sim_net_link(s, n, sim_ep_coord(s, c))];

	if (l->up || !s->coords[c].up)
		return;
	sim_story(s, sim_ep_coord(s, c), "hears that node%u left", n + 1);
	s->nodes[n].told_left = true;
	sim_coord_left(s, c, s->nodes[n].number);
}

static void die(struct sim *s)
{
	uint32_t room = s->p.nr_nodes * s->p.nr_fired;

	s->owed = sim_zalloc(room, sizeof(*s->owed));
	s->died_ns = s->now_ns;
	for (uint32_t n = 0; n < s->p.nr_nodes; n++) {
		const struct hs_agent_core *c = s->nodes[n].core;

		for (uint32_t i = 0; c && i < c->nr_groups_live; i++) {
			uint32_t g = c->groups_active[i];

			if (c->groups_rt[g].to != SIM_COORD_ID)
				continue;
			s->owed[s->nr_owed++] = (struct sim_owed){
				.key = c->groups[g].trigger.key, .node = n};
		}
	}
	s->nr_left = s->nr_owed;
	s->t.owed = s->nr_owed;
	if (s->p.failover == 1)
		sim_coord_kill(s, 0);
	else
		sim_net_endpoint_silent(s, sim_ep_coord(s, 0));
}

void sim_failover_stored(struct sim *s, uint32_t n, const struct sim_message *m)
{
	const struct hs_wire_stored *stored = (const void *)m->payload;

	for (uint32_t i = 0; i < s->nr_owed && s->nr_left; i++) {
		struct sim_owed *o = &s->owed[i];

		if (o->stored || o->node != n || o->key != stored->key)
			continue;
		o->stored = true;
		if (--s->nr_left == 0)
			s->t.failover_ns = s->now_ns - s->died_ns;
	}
}

void sim_move(struct sim *s, uint32_t a, uint32_t b)
{
	uint32_t c = b & 0xffff;

	if (s->healing)
		return;
	s->t.moves++;
	switch ((enum step)(b >> 16)) {
	case STEP_UNLIST:
	case STEP_LIST:
		list(s, a, c, b >> 16 == STEP_LIST);
		break;
	case STEP_KILL:
		sim_coord_kill(s, c);
		break;
	case STEP_START:
		sim_coord_start(s, c);
		break;
	case STEP_LEFT:
		left(s, a, c);
		break;
	case STEP_DIE:
		die(s);
		break;
	}
}

void sim_moves_heal(struct sim *s)
{
	for (uint32_t n = 0; n < s->p.nr_nodes; n++)
		for (uint32_t c = 0; c < s->p.nr_coords; c++)
			if (s->nodes[n].unlisted >> c & 1)
				list(s, n, c, true);
}
