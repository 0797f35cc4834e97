/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_assembly_run.c - the steps of an assembly's bout, and what must have
 * come of each
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/assembly_internal.h"
#include "tests/sim/bout_assembly.h"

static bool waits(const struct bout_rig *g, uint32_t t)
{
	for (uint32_t i = 0; i < g->nr_dues; i++)
		if (g->dues[i].trace == t)
			return true;
	return g->dirty[t];
}

static bool anything_waits(const struct bout_rig *g)
{
	for (uint32_t t = 0; t < NR_TRACES; t++)
		if (waits(g, t))
			return true;
	return false;
}

static void look_there(struct bout_rig *g)
{
	for (uint32_t t = 0; t < NR_TRACES; t++)
		g->there[t] = hs_asm_trace_find(g->a, &g->traces[t].id) != 0;
}

/* Whoever had to go was the least recently touched that waits for nothing. */
static void check_drops(struct bout_rig *g, uint32_t current,
			const bool *waited)
{
	for (uint32_t d = 0; d < NR_TRACES; d++) {
		if (!g->there[d] || d == current ||
		    hs_asm_trace_find(g->a, &g->traces[d].id))
			continue;
		if (g->ample)
			sim_fail(g->s, BOUT "one is dropped, with room enough");
		if (waited[d])
			sim_fail(g->s, BOUT "one is dropped that waits");
		for (uint32_t k = 0; k < NR_TRACES; k++)
			if (g->there[k] && k != current && !waited[k] &&
			    g->touched[k] < g->touched[d] &&
			    hs_asm_trace_find(g->a, &g->traces[k].id))
				sim_fail(g->s,
					 BOUT "a newer one had to go before "
					      "an older");
	}
	if (current < NR_TRACES &&
	    hs_asm_trace_find(g->a, &g->traces[current].id))
		g->touched[current] = ++g->clock;
}

static void before(struct bout_rig *g, bool *waited)
{
	look_there(g);
	for (uint32_t t = 0; t < NR_TRACES; t++)
		waited[t] = waits(g, t);
	g->load_failed = false;
	g->refused_acks = 0;
}

/* ---- messages --------------------------------------------------------------
 */

static bool node_in_model(uint64_t node)
{
	return node >> 32 < 64;
}

/* Whether the model can say what comes of an intact payload. */
static bool in_model(const struct bout_rig *g, uint16_t type)
{
	const struct hs_wire_slice *s = (const void *)g->payload;
	const struct hs_wire_manifest *m = (const void *)g->payload;
	const uint8_t *p = (const uint8_t *)(m + 1);

	if (type == HS_WIRE_SLICE)
		return bout_trace_of(g, &s->trace) < NR_TRACES &&
		       node_in_model(s->node) &&
		       (s->offset + s->length_bytes <= MDL_NEAR ||
			(s->offset == MDL_FAR_FROM && s->length_bytes == 4));
	if (bout_trace_of(g, &m->trace) == NR_TRACES)
		return false;
	p += m->nr_triggers * sizeof(struct hs_wire_trigger);
	for (uint32_t i = 0; i < m->nr_answers; i++) {
		const struct hs_wire_answer *a = (const void *)p;
		const struct hs_wire_crumb *c = (const void *)(a + 1);

		if (!node_in_model(a->node) || a->nr_crumbs > MDL_CRUMBS)
			return false;
		for (uint32_t k = 0; k < a->nr_crumbs; k++)
			if (!node_in_model(c[k].node))
				return false;
		p = (const uint8_t *)(c + a->nr_crumbs);
	}
	return true;
}

static void due_add(struct bout_rig *g, uint32_t peer, uint32_t t,
		    bool manifest)
{
	const struct hs_wire_manifest *m = (const void *)g->payload;
	struct bout_due *d = &g->dues[g->nr_dues++];

	*d = (struct bout_due){
		.peer = peer,
		.trace = t,
		.manifest = manifest,
		.flushes = g->flushes,
	};
	if (!manifest) {
		memcpy(&d->slice, g->payload, sizeof(d->slice));
		return;
	}
	d->ack.trace = m->trace;
	d->ack.epoch = m->epoch;
	d->ack.version = m->version;
}

static void broken(struct bout_rig *g, uint16_t type, uint32_t bytes, int rc)
{
	bool answered =
		type == HS_WIRE_SLICE && bytes >= sizeof(struct hs_wire_slice);

	if (type == HS_WIRE_SLICE)
		g->want.slices_malformed++;
	else if (type == HS_WIRE_MANIFEST)
		g->want.manifests_malformed++;
	if (rc != HS_ASSEMBLY_REFUSED)
		sim_fail(g->s, BOUT "a malformed %s is taken: %d",
			 sim_type_name(type), rc);
	if (g->refused_acks != answered)
		sim_fail(g->s, BOUT "a malformed slice has the wrong answer");
}

/* An intact message was not taken: with a reason? */
static void not_taken(struct bout_rig *g, uint16_t type, uint32_t t, int rc,
		      bool full, bool waiting)
{
	static struct mdl_trace copy;
	struct mdl m = g->m;

	g->nr_dues--;
	if (rc == HS_ASSEMBLY_BUSY) {
		g->want.busy++;
		if (!full && (g->ample || !waiting))
			sim_fail(g->s, BOUT "busy without a reason");
		return;
	}
	if (rc < 0 && g->load_failed)
		return;
	copy = g->traces[t];
	if (type != HS_WIRE_SLICE) {
		sim_fail(g->s, BOUT "an intact manifest is not taken: %d", rc);
		return;
	}
	switch (mdl_slice(&m, &copy, (const void *)g->payload)) {
	case MDL_NEW:
		g->want.store_errors++;
		if (rc >= 0 || !(g->store_fails || g->nr_records == NR_RECORDS))
			sim_fail(g->s, BOUT "a new slice is not taken: %d", rc);
		break;
	case MDL_OVER:
		g->want.slices_over_limit++;
		if (rc != HS_ASSEMBLY_REFUSED || g->refused_acks != 1)
			sim_fail(g->s, BOUT "a slice over a limit: %d", rc);
		if (!g->traces[t].cut) {
			g->raised[t] = g->dirty[t] = true;
			g->nr_new++;
		}
		g->traces[t].cut = true;
		break;
	default:
		sim_fail(g->s, BOUT "a known slice is not taken: %d", rc);
	}
}

static void taken(struct bout_rig *g, uint16_t type, uint32_t t,
		  uint32_t records, bool at_once)
{
	bool slice = type == HS_WIRE_SLICE;
	enum mdl_result is =
		slice ? mdl_slice(&g->m, &g->traces[t], (void *)g->payload)
		      : mdl_manifest(&g->m, &g->traces[t], g->payload);

	if (is == MDL_OVER) {
		sim_fail(g->s, BOUT "a slice over a limit is taken");
		return;
	}
	if (slice) {
		g->want.slices += is == MDL_NEW;
		g->want.slices_duplicate += is == MDL_KNOWN;
	} else {
		g->want.manifests += is == MDL_NEW;
		g->want.manifests_duplicate += is == MDL_KNOWN;
	}
	if (g->nr_records - records != (slice && is == MDL_NEW))
		sim_fail(g->s, BOUT "stored although known, or not although "
				    "new");
	if (is == MDL_NEW) {
		g->raised[t] = g->dirty[t] = true;
		g->nr_new++;
	} else if (g->nr_new == g->nr_new_durable && !at_once) {
		sim_fail(g->s, BOUT "all is durable and no acknowledgement");
	}
}

static void deliver(struct bout_rig *g, uint16_t type, uint32_t bytes,
		    bool twice)
{
	bool slice = type == HS_WIRE_SLICE, ok, full, waiting;
	uint32_t peer = bout_below(&g->r, 4), t, records = g->nr_records, dues;
	bool waited[NR_TRACES];
	int rc;

	ok = slice ? mdl_slice_ok(g->payload, bytes)
		   : type == HS_WIRE_MANIFEST &&
			     mdl_manifest_ok(g->payload, bytes);
	if (ok && !in_model(g, type))
		return;
	before(g, waited);
	if (!ok) {
		rc = hs_assembly_message(g->a, peer, type, g->payload, bytes);
		broken(g, type, bytes, rc);
		check_drops(g, NR_TRACES, waited);
		return;
	}
	t = bout_trace_of(
		g, slice ? &((struct hs_wire_slice *)g->payload)->trace
			 : &((struct hs_wire_manifest *)g->payload)->trace);
	full = g->nr_dues == g->m.limits.nr_pending;
	waiting = anything_waits(g);
	due_add(g, peer, t, !slice);
	dues = g->nr_dues;
	rc = hs_assembly_message(g->a, peer, type, g->payload, bytes);
	if (full && rc != HS_ASSEMBLY_BUSY)
		sim_fail(g->s, BOUT "more wait for the disk than may");
	if (rc == HS_ASSEMBLY_TAKEN)
		taken(g, type, t, records, g->nr_dues < dues);
	else
		not_taken(g, type, t, rc, full, waiting);
	check_drops(g, full ? NR_TRACES : t, waited);
	if (rc == HS_ASSEMBLY_BUSY && !twice && !g->s->failed) {
		bout_assembly_sync(g);
		deliver(g, type, bytes, true);
	} else if (rc == HS_ASSEMBLY_BUSY && !g->s->failed && !full) {
		sim_fail(g->s, BOUT "busy with nothing in the way");
	}
}

/* ---- the disk --------------------------------------------------------------
 */

static void flush(struct bout_rig *g)
{
	bool fails = g->store_fails || g->change_fails ||
		     g->nr_records == NR_RECORDS;
	struct hs_assembly_stats st;
	uint64_t seq;
	int rc = hs_assembly_flush(g->a, &seq);

	hs_assembly_stats(g->a, &st);
	if (rc < 0) {
		g->want.store_errors = st.store_errors;
		if (!fails)
			sim_fail(g->s, BOUT "a flush fails: %d", rc);
		return;
	}
	for (uint32_t t = 0; t < NR_TRACES; t++)
		if (g->dirty[t])
			sim_fail(g->s, BOUT "a changed trace is not flushed");
	g->flushed = true;
	g->flushed_seq = seq;
	g->flushed_records = g->nr_records;
	g->flushed_number = ++g->flushes;
	g->flushed_new = g->nr_new;
}

static void durable(struct bout_rig *g)
{
	if (!g->flushed)
		return;
	g->nr_synced = g->flushed_records;
	hs_assembly_durable(g->a, g->flushed_seq);
	g->nr_new_durable = g->flushed_new;
	for (uint32_t i = 0; i < g->nr_dues; i++)
		if (g->dues[i].flushes < g->flushed_number)
			sim_fail(g->s, BOUT "durable, and not acknowledged");
}

/* Everything gets to the disk. */
void bout_assembly_sync(struct bout_rig *g)
{
	g->store_fails = g->change_fails = g->load_fails = false;
	flush(g);
	durable(g);
}

static void lose(struct bout_rig *g)
{
	static struct mdl_trace disk;

	while (g->nr_records > g->nr_synced)
		free(g->records[--g->nr_records].data);
	g->nr_dues = 0;
	g->flushed = false;
	g->nr_new = g->nr_new_durable;
	hs_assembly_lost(g->a);
	for (uint32_t t = 0; t < NR_TRACES; t++) {
		if (!hs_asm_trace_find(g->a, &g->traces[t].id)) {
			g->dirty[t] = false;
			g->unsure[t] = true;
			continue;
		}
		bout_fold(g, t, g->nr_records, &disk);
		disk.cut = g->traces[t].cut;
		if (!disk.damaged && !g->traces[t].damaged &&
		    mdl_sum(&disk) != mdl_sum(&g->traces[t]))
			sim_fail(g->s, BOUT "what the disk lost is believed");
		if (g->dirty[t])
			sim_fail(g->s, BOUT "what was not flushed is kept");
	}
}

static void rot(struct bout_rig *g)
{
	struct bout_record *r;

	if (!g->nr_synced)
		return;
	r = &g->records[bout_below(&g->r, g->nr_synced)];
	if (r->is_union)
		r->rotten = true;
}

static void node_up(struct bout_rig *g)
{
	uint64_t node = bout_a_node(g);
	uint64_t *latest = &g->m.latest[node >> 32];

	look_there(g);
	hs_assembly_node_up(g->a, node);
	if (*latest >= node)
		return;
	*latest = node;
	g->nr_new++;
	for (uint32_t t = 0; t < NR_TRACES; t++)
		for (uint32_t i = 0; g->there[t] && i < g->traces[t].nr_nodes;
		     i++) {
			const struct mdl_node *n = &g->traces[t].nodes[i];

			if ((n->id >> 32 == node >> 32 && n->id < node &&
			     mdl_owes(n)) ||
			    mdl_names_earlier(&g->traces[t], n, node))
				g->raised[t] = g->dirty[t] = true;
		}
}

/* ---- a bout ----------------------------------------------------------------
 */

static void draw_limits(struct bout_rig *g)
{
	struct hs_assembly_limits *l = &g->m.limits;
	struct hs_random *r = &g->r;

	*l = (struct hs_assembly_limits){0};
	l->trace_nodes = 1 + bout_below(r, 8);
	l->trace_buffers = 1 + bout_below(r, 20);
	l->trace_crumbs = 1 + bout_below(r, 12);
	l->trace_triggers = hs_random_chance(r, 0.3) ? HS_WIRE_TRIGGERS_MAX
						     : 1 + bout_below(r, 8);
	l->nr_pending = 1 + bout_below(r, 8);
	l->nr_traces = 2 + bout_below(r, 3);
	l->seed = hs_random_u64(r);
	g->ample = hs_random_chance(r, 0.4);
	if (g->ample) {
		l->nr_traces = NR_TRACES;
		l->nr_pending = hs_random_chance(r, 0.5) ? 64 : l->nr_pending;
	}
	l->nr_nodes = g->ample ? NR_TRACES * MDL_NODES * 2
			       : 2 * l->trace_nodes + bout_below(r, 4);
	l->nr_buffers = g->ample ? NR_TRACES * l->trace_buffers + 8
				 : l->trace_buffers + 1 + bout_below(r, 4);
	l->nr_crumbs = g->ample ? 1024 : 2 * l->trace_crumbs + bout_below(r, 4);
	l->nr_triggers = g->ample ? 1024 : 128 + bout_below(r, 4);
}

static struct bout_rig *rig_new(struct sim *s, uint64_t seed)
{
	struct bout_rig *g = sim_zalloc(1, sizeof(*g));
	size_t bytes;

	g->s = s;
	hs_random_seed(&g->r, seed ^ 0xb0a5ull);
	draw_limits(g);
	for (uint32_t t = 0; t < NR_TRACES; t++)
		g->traces[t].id = (struct hs_wire_trace_id){
			t % 3 ? 7 + t / 3 : 0, t % 2   ? t
					       : t % 3 ? 0
						       : 9 + t};
	bytes = hs_assembly_size(&g->m.limits);
	g->memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
	if (!g->memory)
		abort();
	memset(g->memory, 0, bytes);
	g->a = hs_assembly_create(g->memory, &g->m.limits, &bout_assembly_ops,
				  g);
	return g;
}

static void look(struct bout_rig *g, uint32_t t)
{
	bool waited[NR_TRACES];

	before(g, waited);
	if (hs_asm_trace_find(g->a, &g->traces[t].id) == 0 &&
	    hs_assembly_replay_union(g->a, &g->traces[t].id, g, 0) != -ENOENT)
		sim_fail(g->s, BOUT "a union of a trace that is not there");
	bout_assembly_compare(g, t);
	check_drops(g, t, waited);
}

/* The store lets it go: from memory, too, unless something waits for it. */
static void forget(struct bout_rig *g, uint32_t t)
{
	const struct hs_wire_trace_id *id = &g->traces[t].id;
	bool there = hs_asm_trace_find(g->a, id) != 0;
	bool may = !there || !waits(g, t);

	if (hs_assembly_forget(g->a, id) != may)
		sim_fail(g->s, BOUT "whether it forgets a trace: not %d", may);
	if (may == (hs_asm_trace_find(g->a, id) != 0))
		sim_fail(g->s, BOUT "a trace is forgotten that waits, or not");
}

static void say(struct bout_rig *g)
{
	uint32_t t = bout_below(&g->r, NR_TRACES), bytes;
	bool slice = hs_random_chance(&g->r, 0.6);
	uint16_t type = slice ? HS_WIRE_SLICE : HS_WIRE_MANIFEST;

	bytes = slice ? bout_make_slice(g, t) : bout_make_manifest(g, t);
	if (hs_random_chance(&g->r, 0.15))
		bytes = slice ? bout_break_slice(g, bytes)
			      : bout_mangle(&g->r, (uint8_t *)g->payload, bytes,
					    PAYLOAD);
	if (hs_random_chance(&g->r, 0.02))
		type = (uint16_t)hs_random_below(&g->r, HS_WIRE_SLICE);
	if (type != HS_WIRE_SLICE && slice)
		type = HS_WIRE_COLLECT;
	g->store_fails = hs_random_chance(&g->r, 0.04);
	g->load_fails = hs_random_chance(&g->r, 0.04);
	deliver(g, type, bytes, false);
	/* And once more, as it is. */
	if (!g->s->failed && hs_random_chance(&g->r, 0.15))
		deliver(g, type, bytes, false);
	g->store_fails = g->load_fails = false;
}

static void step(struct bout_rig *g)
{
	uint64_t what = hs_random_below(&g->r, 100);

	if (what < 60) {
		say(g);
	} else if (what < 78) {
		g->load_fails = hs_random_chance(&g->r, 0.05);
		look(g, bout_below(&g->r, NR_TRACES));
		g->load_fails = false;
	} else if (what < 86) {
		g->store_fails = hs_random_chance(&g->r, 0.1);
		g->change_fails = hs_random_chance(&g->r, 0.1);
		flush(g);
		g->store_fails = g->change_fails = false;
	} else if (what < 93) {
		durable(g);
	} else if (what < 95) {
		lose(g);
	} else if (what < 96) {
		rot(g);
	} else {
		node_up(g);
	}
	bout_assembly_stats(g);
}

void bout_assembly(struct sim *s, uint64_t seed)
{
	struct bout_rig *g = rig_new(s, seed);

	for (uint32_t i = 0; i < NR_STEPS && !s->failed; i++) {
		step(g);
		sim_mix(s, g->nr_records ^ (uint64_t)g->nr_dues << 32);
	}
	for (uint32_t t = 0; t < NR_TRACES && !s->failed; t++) {
		forget(g, t);
		look(g, t);
	}
	if (!s->failed)
		bout_assembly_sync(g);
	while (g->nr_records)
		free(g->records[--g->nr_records].data);
	free(g->memory);
	free(g);
}
