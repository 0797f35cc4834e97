/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coord.c - the shell around a coordinator's core: connections, its deadline,
 * a crash that loses everything it knew
 */
#include <errno.h>
#include <stdlib.h>

#include "base/hash.h"
#include "tests/sim/sim.h"

struct op_ctx {
	struct sim *s;
	uint32_t coord;
};

/* Where everybody's list has to lead in the end. */
uint32_t sim_coll_owner(const struct sim *s, const struct hs_wire_trace_id *id)
{
	uint64_t nodes[SIM_SERVERS_MAX];

	for (uint32_t k = 0; k < s->p.nr_colls; k++)
		nodes[k] = sim_ep_id(s, sim_ep_coll(s, k)) >> 32;
	return (uint32_t)hs_hash_rendezvous_pick(hs_hash_mix64(id->hi) ^ id->lo,
						 nodes, s->p.nr_colls);
}

static bool op_node(void *ctx, uint64_t node, uint16_t type,
		    const void *payload, uint32_t bytes)
{
	struct op_ctx *o = ctx;
	uint32_t n = (uint32_t)(node >> 32) - 1;

	if (n >= o->s->p.nr_nodes)
		return false;
	if (type == HS_WIRE_SEEK)
		ora_sought(o->s, payload, bytes);
	return sim_net_send(o->s, sim_ep_coord(o->s, o->coord), n, type,
			    payload, bytes);
}

static bool op_collector(void *ctx, const struct hs_wire_trace_id *trace,
			 uint16_t type, const void *payload, uint32_t bytes)
{
	struct op_ctx *o = ctx;
	struct sim *s = o->s;
	const struct hs_members *m = s->coords[o->coord].members;
	uint32_t ep =
		sim_members_ep(s, m, hs_members_collector(m, trace, s->now_ns));

	if (ep == UINT32_MAX)
		return false;
	s->t.manifest_bytes += bytes;
	if (bytes > s->t.manifest_max_bytes)
		s->t.manifest_max_bytes = bytes;
	return sim_net_send(s, sim_ep_coord(s, o->coord), ep, type, payload,
			    bytes);
}

static bool op_read(void *ctx, uint64_t node, uint64_t offset, uint32_t bytes,
		    uint64_t cookie)
{
	struct op_ctx *o = ctx;

	return sim_ahead_read(o->s, o->coord, node, offset, bytes, cookie);
}

static const struct hs_coord_ops ops = {op_node, op_collector, op_read};

static uint64_t now_of(const struct sim *s, const struct sim_coord *c)
{
	return s->now_ns + (uint64_t)c->clock_ns;
}

static void schedule(struct sim *s, uint32_t i)
{
	struct sim_coord *c = &s->coords[i];
	uint64_t next = hs_coord_core_next_ns(c->core), at;

	if (next == UINT64_MAX)
		return;
	at = next - (uint64_t)c->clock_ns;
	if (at < s->now_ns + 100 * SIM_US)
		at = s->now_ns + 100 * SIM_US;
	if (c->tick_at_ns <= at)
		return;
	c->tick_at_ns = at;
	sim_push(s, at, SIM_EV_COORD, i, 0, c->gen, NULL);
}

void sim_coord_start(struct sim *s, uint32_t i)
{
	struct sim_coord *c = &s->coords[i];
	uint32_t wide = s->p.nr_nodes > 200 ? 16 : 1;
	struct hs_coord_config config = {
		.node = sim_ep_id(s, sim_ep_coord(s, i)),
		.epoch = s->now_ns + 1 + c->restarts,
		.seed = hs_random_u64(&s->shell),
		.nr_traces = 512 * wide,
		.nr_visits = 4096 * wide,
		.nr_crumbs = 8192 * wide,
		.nr_nodes = 64 + 2 * s->p.nr_nodes,
		.nr_requests = 1024 * wide,
		.nr_triggers = 1024 * wide,
		.trace_nodes = 512 * wide,
		.forget_after_ns = s->p.remember_ns / 2,
		/* Every fourth seed is mean to its nodes. */
		.origin_per_s = s->p.seed % 4 || wide > 1 ? 0 : 40,
		.seek_warm_ns = 1,
		.seek_nodes = s->p.seed % 8 || wide > 1 ? 0 : 3,
		.seek_per_s = s->p.seed % 8 || wide > 1 ? 0 : 50,
	};
	struct op_ctx *ctx;
	size_t size = hs_coord_core_size_bytes(&config);

	if (c->up)
		return;
	if (!c->clock_ns)
		c->clock_ns = (int64_t)sim_between(&s->shell, 1, 1000 * SIM_S);
	c->memory = sim_zalloc(1, size + sizeof(*ctx) + 8);
	ctx = (void *)((uint8_t *)c->memory + ((size + 7) & ~(size_t)7));
	*ctx = (struct op_ctx){s, i};
	c->core = hs_coord_core_create(c->memory, &config, &ops, ctx,
				       now_of(s, c));
	c->members = sim_members_create(s, 0);
	c->up = true;
	c->gen++;
	c->tick_at_ns = UINT64_MAX;
	sim_story(s, sim_ep_coord(s, i), "starts");
	sim_net_endpoint_up(s, sim_ep_coord(s, i));
}

/* Of the life that ends. */
void sim_coord_count(struct sim *s, uint32_t i)
{
	struct hs_coord_stats st;

	if (!s->coords[i].core)
		return;
	hs_coord_core_stats_get(s->coords[i].core, &st);
	judge_counts(s, "a coordinator", &st,
		     offsetof(struct hs_coord_stats, nr_traces));
	s->t.reads_hit += st.reads_hit;
	s->t.reads_torn += st.reads_torn;
	s->t.hints += st.hints;
	s->t.hints_confirmed += st.hints_confirmed;
}

void sim_coord_kill(struct sim *s, uint32_t i)
{
	struct sim_coord *c = &s->coords[i];

	if (!c->up)
		return;
	sim_story(s, sim_ep_coord(s, i), "is killed");
	sim_coord_count(s, i);
	sim_ahead_dies(s, i);
	c->up = false;
	c->restarts++;
	c->core = NULL;
	free(c->memory);
	free(c->members);
	c->memory = NULL;
	c->members = NULL;
	sim_net_endpoint_down(s, sim_ep_coord(s, i));
}

static void check(struct sim *s, uint32_t i)
{
	const char *why = "";

	if ((s->order & 15) == 0 &&
	    !hs_coord_core_check(s->coords[i].core, &why))
		sim_fail(s, "coord%u: its core does not add up: %s", i, why);
}

void sim_coord_message(struct sim *s, uint32_t i, const struct sim_message *m)
{
	struct sim_coord *c = &s->coords[i];
	struct hs_coord_stats was, is;
	int rc;

	hs_coord_core_stats_get(c->core, &was);
	rc = hs_coord_core_message(c->core, now_of(s, c), m->from_id, m->type,
				   m->payload, m->bytes);
	hs_coord_core_stats_get(c->core, &is);
	if (is.addresses_lost != was.addresses_lost)
		ora_doubted(s, m->payload, m->bytes);
	if (rc)
		sim_fail(s, "coord%u refuses a %s of an honest node: %d", i,
			 sim_type_name(m->type), rc);
	check(s, i);
	schedule(s, i);
}

void sim_coord_read(struct sim *s, uint32_t i, uint64_t node, uint64_t cookie,
		    const void *bytes, uint32_t size)
{
	struct sim_coord *c = &s->coords[i];

	hs_coord_core_read(c->core, now_of(s, c), node, cookie, bytes, size);
	check(s, i);
	schedule(s, i);
}

void sim_coord_tick(struct sim *s, uint32_t i)
{
	struct sim_coord *c = &s->coords[i];

	c->tick_at_ns = UINT64_MAX;
	hs_coord_core_tick(c->core, now_of(s, c));
	check(s, i);
	schedule(s, i);
}

void sim_coord_left(struct sim *s, uint32_t i, uint32_t number)
{
	struct sim_coord *c = &s->coords[i];

	hs_coord_core_node_left(c->core, now_of(s, c), number);
	check(s, i);
	schedule(s, i);
}

void sim_coord_link(struct sim *s, uint32_t i, uint32_t peer, bool up)
{
	struct sim_coord *c = &s->coords[i];
	uint64_t now = now_of(s, c);

	sim_members_link(s, c->members, peer, up);
	if (peer < s->p.nr_nodes && up && !s->nodes[peer].heard)
		s->nodes[peer].heard = s->order;
	if (peer < s->p.nr_nodes && up) {
		hs_coord_core_node_up(c->core, now, s->nodes[peer].id);
		hs_coord_core_node_at(c->core, s->nodes[peer].id,
				      sim_address(peer));
		sim_ahead_told(s, i, peer);
	} else if (peer < s->p.nr_nodes) {
		hs_coord_core_node_down(c->core, now, s->nodes[peer].id);
	} else if (up) {
		hs_coord_core_collector_up(c->core, now);
	}
	schedule(s, i);
}
