/* SPDX-License-Identifier: Apache-2.0 */
/*
 * collect.c - the shell around an assembly, and a disk that fills, fails,
 * writes short, and loses what was not synced
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "tests/sim/ship.h"
#include "tests/sim/tally.h"

struct op_ctx {
	struct sim *s;
	uint32_t coll;
};

struct sim_stored *sim_coll_find(struct sim_coll *c,
				 const struct hs_wire_trace_id *id)
{
	uint32_t at;

	if (!c->table)
		return NULL;
	at = (uint32_t)hs_hash_mix64(id->hi ^ hs_hash_mix64(id->lo));
	for (at &= c->table_mask; c->table[at]; at = (at + 1) & c->table_mask) {
		struct sim_stored *st = &c->stored[c->table[at] - 1];

		if (st->id.hi == id->hi && st->id.lo == id->lo)
			return st;
	}
	return NULL;
}

static void put(struct sim_coll *c, uint32_t i)
{
	const struct hs_wire_trace_id *id = &c->stored[i].id;
	uint32_t at = (uint32_t)hs_hash_mix64(id->hi ^ hs_hash_mix64(id->lo)) &
		      c->table_mask;

	while (c->table[at])
		at = (at + 1) & c->table_mask;
	c->table[at] = i + 1;
}

/* The newest one finds its place, in a larger table when it gets narrow. */
static void rehash(struct sim_coll *c)
{
	uint32_t slots = c->table ? 2 * (c->table_mask + 1) : 256;

	if (c->table && c->nr_stored * 2 <= c->table_mask) {
		put(c, c->nr_stored - 1);
		return;
	}
	free(c->table);
	c->table = sim_zalloc(slots, sizeof(*c->table));
	c->table_mask = slots - 1;
	for (uint32_t i = 0; i < c->nr_stored; i++)
		put(c, i);
}

static struct sim_stored *stored_get(struct sim *s, struct sim_coll *c,
				     const struct hs_wire_trace_id *id)
{
	struct sim_stored *st = sim_coll_find(c, id);

	if (st)
		return st;
	if (c->nr_stored == c->room_stored) {
		c->room_stored = c->room_stored ? 2 * c->room_stored : 64;
		c->stored =
			realloc(c->stored, c->room_stored * sizeof(*c->stored));
		if (!c->stored)
			abort();
	}
	c->stored[c->nr_stored++] =
		(struct sim_stored){.id = *id, .trace = ora_trace_find(s, id)};
	rehash(c);
	return &c->stored[c->nr_stored - 1];
}

static int append(struct sim *s, struct sim_coll *c,
		  const struct hs_wire_trace_id *id,
		  const struct hs_wire_slice *head, const void *data,
		  uint32_t bytes)
{
	struct sim_stored *st = stored_get(s, c, id);
	struct sim_record *r;

	if (c->full)
		return -ENOSPC;
	if (c->failing && hs_random_chance(&s->fault, 0.3))
		return hs_random_chance(&s->fault, 0.5) ? -EIO : -ENOSPC;
	r = malloc(sizeof(*r) + bytes);
	if (!r)
		abort();
	*r = (struct sim_record){
		.is_union = !head, .order = s->order, .bytes = bytes};
	if (head)
		r->head = *head;
	memcpy(r->data, data, bytes);
	if (st->last)
		st->last->next = r;
	else
		st->first = r;
	st->last = r;
	r->next_fresh = c->fresh;
	c->fresh = r;
	c->nr_bytes += bytes;
	return 0;
}

static int op_store_slice(void *ctx, const struct hs_wire_slice *slice,
			  const uint8_t *bytes)
{
	struct op_ctx *o = ctx;
	int rc = append(o->s, &o->s->colls[o->coll], &slice->trace, slice,
			bytes, slice->length_bytes);

	if (rc == 0)
		ora_slice(o->s, slice, bytes);
	return rc;
}

static int op_store_union(void *ctx, const struct hs_wire_trace_id *trace,
			  const void *blob, uint32_t bytes)
{
	struct op_ctx *o = ctx;

	return append(o->s, &o->s->colls[o->coll], trace, NULL, blob, bytes);
}

static int op_load(void *ctx, const struct hs_wire_trace_id *trace)
{
	struct op_ctx *o = ctx;
	struct sim_coll *c = &o->s->colls[o->coll];
	struct sim_stored *st = sim_coll_find(c, trace);
	const struct sim_record *last = NULL;
	int rc;

	if (c->failing && hs_random_chance(&o->s->fault, 0.1))
		return -EIO;
	for (struct sim_record *r = st ? st->first : NULL; r; r = r->next) {
		if (r->is_union) {
			last = r;
			continue;
		}
		rc = hs_assembly_replay_slice(c->assembly, &r->head);
		if (rc)
			return rc;
	}
	return last ? hs_assembly_replay_union(c->assembly, trace, last->data,
					       last->bytes)
		    : 0;
}

static int op_changed(void *ctx, const struct hs_wire_trace_id *trace)
{
	struct op_ctx *o = ctx;
	struct sim_coll *c = &o->s->colls[o->coll];
	struct sim_stored *st = stored_get(o->s, c, trace);

	if (!st->changed) {
		st->changed = true;
		st->next_changed = c->changed;
		c->changed = (uint32_t)(st - c->stored) + 1;
	}
	return 0;
}

static void op_slice_ack(void *ctx, uint32_t peer, uint64_t ship_key,
			 bool refused)
{
	struct op_ctx *o = ctx;
	struct {
		struct hs_wire_slice_ack head;
		uint64_t key;
	} m = {{1, refused}, ship_key};

	if (peer >= SIM_SHIP_PEER) {
		sim_ship_answer(o->s, o->coll, peer, ship_key, refused);
		return;
	}
	sim_net_send(o->s, sim_ep_coll(o->s, o->coll), peer, HS_WIRE_SLICE_ACK,
		     &m, sizeof(m));
}

static void op_manifest_ack(void *ctx, uint32_t peer,
			    const struct hs_wire_manifest_ack *ack)
{
	struct op_ctx *o = ctx;

	sim_net_send(o->s, sim_ep_coll(o->s, o->coll), peer,
		     HS_WIRE_MANIFEST_ACK, ack, sizeof(*ack));
}

static const struct hs_assembly_ops ops = {
	.store_slice = op_store_slice,
	.store_union = op_store_union,
	.load = op_load,
	.changed = op_changed,
	.slice_ack = op_slice_ack,
	.manifest_ack = op_manifest_ack,
};

static struct hs_assembly_limits limits(const struct sim *s)
{
	uint32_t wide = s->p.nr_nodes > 200 ? 16 : 1;

	if (s->p.small_collector)
		return (struct hs_assembly_limits){
			.nr_traces = 6,
			.nr_nodes = 128,
			.trace_nodes = 64,
			.nr_buffers = 600,
			.trace_buffers = s->ship ? 24 : 512,
			.nr_crumbs = 1024,
			.trace_crumbs = 512,
			.nr_triggers = 128,
			.trace_triggers = 64,
			.nr_pending = 12,
			.seed = s->p.seed,
		};
	return (struct hs_assembly_limits){
		.nr_traces = 256 * wide,
		.nr_nodes = 4096 * wide,
		.trace_nodes = 512,
		.nr_buffers = 8192 * wide,
		.trace_buffers = 4096,
		.nr_crumbs = 4096 * wide,
		.trace_crumbs = 2048,
		.nr_triggers = 1024 * wide,
		.trace_triggers = 64,
		.nr_pending = 4096 * wide,
		.seed = s->p.seed,
	};
}

void sim_coll_start(struct sim *s, uint32_t i)
{
	struct sim_coll *c = &s->colls[i];
	struct hs_assembly_limits l = limits(s);
	size_t size = hs_assembly_size(&l);
	struct op_ctx *ctx;
	uint8_t *at;

	if (c->up)
		return;
	size = (size + 63) & ~(size_t)63;
	c->memory = sim_zalloc(1, size + 64 + sizeof(*ctx));
	at = (uint8_t *)(((uintptr_t)c->memory + 63) & ~(uintptr_t)63);
	ctx = (void *)(at + size);
	*ctx = (struct op_ctx){s, i};
	c->assembly = hs_assembly_create(at, &l, &ops, ctx);
	if (!c->assembly) {
		sim_fail(s, "coll%u: its limits are refused", i);
		return;
	}
	c->up = true;
	c->gen++;
	c->syncing = false;
	sim_story(s, sim_ep_coll(s, i), "starts");
	sim_net_endpoint_up(s, sim_ep_coll(s, i));
	sim_ship_coll_up(s, i);
}

/* Drop what was not synced; of it the first @keep records had luck. */
static void lose(struct sim_coll *c, uint32_t keep)
{
	c->fresh = NULL;
	for (uint32_t i = 0; i < c->nr_stored; i++) {
		struct sim_stored *st = &c->stored[i];
		struct sim_record **at = &st->first;

		st->last = NULL;
		while (*at) {
			struct sim_record *r = *at;

			if (!r->durable && keep) {
				r->durable = true;
				keep--;
			}
			if (r->durable) {
				st->last = r;
				at = &r->next;
				continue;
			}
			*at = r->next;
			free(r);
		}
	}
}

void sim_coll_kill(struct sim *s, uint32_t i)
{
	struct sim_coll *c = &s->colls[i];

	if (!c->up)
		return;
	sim_story(s, sim_ep_coll(s, i), "is killed");
	c->up = false;
	c->restarts++;
	free(c->memory);
	c->memory = NULL;
	c->assembly = NULL;
	for (; c->changed; c->changed = c->stored[c->changed - 1].next_changed)
		c->stored[c->changed - 1].changed = false;
	lose(c, (uint32_t)hs_random_below(&s->fault, 4));
	sim_tally_commit(s, i, true);
	sim_net_endpoint_down(s, sim_ep_coll(s, i));
	sim_ship_coll_down(s, i);
}

static void sync_later(struct sim *s, uint32_t i)
{
	struct sim_coll *c = &s->colls[i];

	if (c->syncing)
		return;
	c->syncing = true;
	sim_push(s, s->now_ns + sim_between(&s->shell, 1, 20) * SIM_MS,
		 SIM_EV_SYNC, i, 0, c->gen, NULL);
}

void sim_coll_sync(struct sim *s, uint32_t i)
{
	struct sim_coll *c = &s->colls[i];
	uint64_t seq;

	c->syncing = false;
	if (hs_assembly_flush(c->assembly, &seq) < 0)
		sync_later(s, i);
	if (c->failing && hs_random_chance(&s->fault, 0.2)) {
		/* The sync failed: what it was for may be anywhere. */
		for (; c->changed;
		     c->changed = c->stored[c->changed - 1].next_changed)
			c->stored[c->changed - 1].changed = false;
		sim_story(s, sim_ep_coll(s, i), "a sync failed");
		lose(c, 0);
		sim_tally_commit(s, i, true);
		hs_assembly_lost(c->assembly);
		c->lost_syncs++;
		sim_net_endpoint_down(s, sim_ep_coll(s, i));
		if (s->ship)
			sim_ship_synced(s, i, true);
		return;
	}
	for (; c->fresh; c->fresh = c->fresh->next_fresh)
		c->fresh->durable = true;
	hs_assembly_durable(c->assembly, seq);
	sim_tally_commit(s, i, c->full);
	if (s->ship)
		sim_ship_synced(s, i, false);
	while (c->changed) {
		struct sim_stored *st = &c->stored[c->changed - 1];

		c->changed = st->next_changed;
		st->changed = false;
		judge_complete(s, c, st);
	}
}

/* An agent says hello, with its incarnation. */
void sim_coll_link(struct sim *s, uint32_t i, uint32_t peer)
{
	hs_assembly_node_up(s->colls[i].assembly, s->nodes[peer].id);
	sync_later(s, i);
}

static void check(struct sim *s, uint32_t i)
{
	struct hs_assembly_stats st;
	const char *why;

	hs_assembly_stats(s->colls[i].assembly, &st);
	judge_counts(s, "an assembly", &st,
		     offsetof(struct hs_assembly_stats, nr_traces));
	if ((s->order & 31) == 0 &&
	    !hs_assembly_check(s->colls[i].assembly, &why))
		sim_fail(s, "coll%u: its assembly does not add up: %s", i, why);
}

/* Return: whether it was kept, or refused for good. */
static bool take(struct sim *s, uint32_t i, uint32_t peer, uint16_t type,
		 const void *payload, uint32_t bytes)
{
	struct sim_coll *c = &s->colls[i];
	int rc = hs_assembly_message(c->assembly, peer, type, payload, bytes);

	if (rc == HS_ASSEMBLY_BUSY) {
		sim_coll_sync(s, i);
		rc = hs_assembly_message(c->assembly, peer, type, payload,
					 bytes);
	}
	check(s, i);
	sync_later(s, i);
	return rc == HS_ASSEMBLY_TAKEN || rc == HS_ASSEMBLY_REFUSED;
}

void sim_coll_message(struct sim *s, uint32_t i, const struct sim_message *m)
{
	if (m->type == HS_WIRE_TALLY) {
		sim_tally_take(s, i, m);
		sync_later(s, i);
		return;
	}
	/* Not kept: what follows on this connection must not count either. */
	if (!take(s, i, m->from, m->type, m->payload, m->bytes) &&
	    m->type == HS_WIRE_SLICE)
		sim_net_break(s, m->link);
}

/* One that came by datagrams. False: not now, and nothing behind it. */
bool sim_coll_slice(struct sim *s, uint32_t i, uint32_t peer,
		    const void *message, uint32_t bytes)
{
	return take(s, i, peer, HS_WIRE_SLICE, message, bytes);
}

void sim_coll_destroy(struct sim *s, uint32_t i)
{
	struct sim_coll *c = &s->colls[i];

	free(c->memory);
	for (uint32_t k = 0; k < c->nr_stored; k++)
		while (c->stored[k].first) {
			struct sim_record *r = c->stored[k].first;

			c->stored[k].first = r->next;
			free(r);
		}
	free(c->stored);
	free(c->table);
}
