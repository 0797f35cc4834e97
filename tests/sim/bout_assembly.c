/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_assembly.c - an assembly against its model: slices and manifests that
 * are honest, forged or broken, a store that fails, forgets and rots, limits
 * of a few of everything
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/hash.h"
#include "collector/assembly_internal.h"
#include "tests/sim/bout_assembly.h"

/* ---- the store -------------------------------------------------------------
 */

uint32_t bout_trace_of(const struct bout_rig *g,
		       const struct hs_wire_trace_id *id)
{
	uint32_t t = 0;

	while (t < NR_TRACES &&
	       (g->traces[t].id.hi != id->hi || g->traces[t].id.lo != id->lo))
		t++;
	return t;
}

static int append(struct bout_rig *g, uint32_t t, bool is_union,
		  const void *data, uint32_t bytes)
{
	struct bout_record *r = &g->records[g->nr_records];

	if (g->store_fails || g->nr_records == NR_RECORDS)
		return -ENOSPC;
	*r = (struct bout_record){t, is_union, false, bytes, malloc(bytes + 1)};
	if (!r->data)
		abort();
	memcpy(r->data, data, bytes);
	g->nr_records++;
	return 0;
}

static int op_store_slice(void *ctx, const struct hs_wire_slice *slice,
			  const uint8_t *bytes)
{
	struct bout_rig *g = ctx;

	if (hs_crc32c(0, bytes, slice->length_bytes) != slice->crc)
		sim_fail(g->s, BOUT "other bytes are stored than came");
	return append(g, bout_trace_of(g, &slice->trace), false, slice,
		      sizeof(*slice));
}

static int op_store_union(void *ctx, const struct hs_wire_trace_id *id,
			  const void *blob, uint32_t bytes)
{
	const struct hs_wire_trigger *triggers, *glanced;
	struct bout_rig *g = ctx;
	uint32_t t = bout_trace_of(g, id), nr, nr_glanced;

	if (t == NR_TRACES || !bytes) {
		sim_fail(g->s, BOUT "a union of no trace is stored");
		return -EIO;
	}
	if (hs_assembly_union_triggers(blob, bytes, &triggers, &nr) ||
	    (nr && nr != g->traces[t].nr_triggers) ||
	    (nr &&
	     memcmp(triggers, g->traces[t].triggers, nr * sizeof(*triggers))))
		sim_fail(g->s, BOUT "a stored union has other triggers");
	if (hs_assembly_union_glance(blob, bytes, &glanced, &nr_glanced) ||
	    glanced != triggers || nr_glanced != nr)
		sim_fail(g->s, BOUT "a glance sees other triggers");
	return append(g, t, true, blob, bytes);
}

/* What the first @nr records of the store say of a trace. */
void bout_fold(struct bout_rig *g, uint32_t t, uint32_t nr,
	       struct mdl_trace *out)
{
	const struct bout_record *last = NULL;
	struct mdl m = g->m;
	struct hs_asm_union head;

	memset(out, 0, sizeof(*out));
	out->id = g->traces[t].id;
	for (uint32_t i = 0; i < nr; i++) {
		if (g->records[i].trace != t)
			continue;
		if (g->records[i].is_union)
			last = &g->records[i];
		else
			mdl_slice(&m, out, (const void *)g->records[i].data);
	}
	if (!last)
		return;
	out->known = true;
	if (last->rotten) {
		out->damaged = true;
		return;
	}
	memcpy(&head, last->data, sizeof(head));
	if (head.manifest_bytes)
		mdl_manifest(&m, out, last->data + sizeof(head));
	out->cut |= head.cut != 0;
}

static int replay_union(struct bout_rig *g, uint32_t t,
			const struct bout_record *r)
{
	struct hs_wire_trace_id id = g->traces[t].id;
	uint8_t blob[PAYLOAD];
	uint32_t bytes = r->bytes;

	memcpy(blob, r->data, bytes);
	if (r->rotten) {
		if (hs_random_chance(&g->r, 0.3))
			bytes--;
		else if (hs_random_chance(&g->r, 0.3))
			bytes = bout_below(&g->r, sizeof(struct hs_asm_union));
		else if (hs_random_chance(&g->r, 0.5) ||
			 bytes == sizeof(struct hs_asm_union))
			blob[bout_below(&g->r, 4)] ^= 0x42;
		else
			blob[sizeof(struct hs_asm_union)] ^= 1; /* its id */
	}
	return hs_assembly_replay_union(g->a, &id, blob, bytes);
}

static int op_load(void *ctx, const struct hs_wire_trace_id *id)
{
	struct bout_rig *g = ctx;
	uint32_t t = bout_trace_of(g, id);
	const struct bout_record *last = NULL;
	struct mdl_trace now;
	int rc;

	if (t == NR_TRACES)
		return 0;
	if (g->load_fails) {
		g->load_failed = true;
		return -EIO;
	}
	for (uint32_t i = 0; i < g->nr_records; i++) {
		if (g->records[i].trace != t)
			continue;
		if (g->records[i].is_union) {
			last = &g->records[i];
			continue;
		}
		rc = hs_assembly_replay_slice(g->a,
					      (const void *)g->records[i].data);
		if (rc)
			return rc;
	}
	rc = last ? replay_union(g, t, last) : 0;
	if (rc)
		return rc;
	bout_fold(g, t, g->nr_records, &now);
	if (!g->unsure[t] && !now.damaged && !g->traces[t].damaged &&
	    mdl_sum(&now) != mdl_sum(&g->traces[t]))
		sim_fail(g->s, BOUT "what is stored of a trace is not it");
	g->traces[t] = now;
	g->dirty[t] = false;
	g->unsure[t] = false;
	g->reloaded |= now.known;
	g->want.traces_loaded += now.known;
	g->versions[t] = 0;
	return 0;
}

static int op_changed(void *ctx, const struct hs_wire_trace_id *id)
{
	struct bout_rig *g = ctx;
	uint32_t t = bout_trace_of(g, id);

	if (g->change_fails)
		return -EIO;
	if (t == NR_TRACES || !g->dirty[t])
		sim_fail(g->s, BOUT "a trace is said to have changed");
	else
		g->dirty[t] = false;
	return 0;
}

/* ---- acknowledgements ------------------------------------------------------
 */

static void due_drop(struct bout_rig *g, uint32_t i)
{
	memmove(&g->dues[i], &g->dues[i + 1],
		(g->nr_dues - i - 1) * sizeof(g->dues[0]));
	g->nr_dues--;
}

static void op_slice_ack(void *ctx, uint32_t peer, uint64_t key, bool refused)
{
	struct bout_rig *g = ctx;
	static struct mdl_trace disk;
	struct mdl m = g->m;

	if (refused) {
		g->refused_acks++;
		return;
	}
	for (uint32_t i = 0; i < g->nr_dues; i++) {
		const struct bout_due *d = &g->dues[i];

		if (d->manifest || d->peer != peer || d->slice.ship_key != key)
			continue;
		bout_fold(g, d->trace, g->nr_synced, &disk);
		if (!disk.damaged &&
		    mdl_slice(&m, &disk, &d->slice) != MDL_KNOWN &&
		    m.ranges_over == g->m.ranges_over)
			sim_fail(g->s, BOUT "acknowledged, and not on disk");
		due_drop(g, i);
		return;
	}
	sim_fail(g->s, BOUT "nobody waits for that acknowledgement");
}

static void op_manifest_ack(void *ctx, uint32_t peer,
			    const struct hs_wire_manifest_ack *ack)
{
	struct bout_rig *g = ctx;

	for (uint32_t i = 0; i < g->nr_dues; i++) {
		const struct bout_due *d = &g->dues[i];

		if (!d->manifest || d->peer != peer ||
		    memcmp(&d->ack, ack, sizeof(*ack)))
			continue;
		due_drop(g, i);
		return;
	}
	sim_fail(g->s, BOUT "no manifest was of that epoch and version");
}

const struct hs_assembly_ops bout_assembly_ops = {
	.store_slice = op_store_slice,
	.store_union = op_store_union,
	.load = op_load,
	.changed = op_changed,
	.slice_ack = op_slice_ack,
	.manifest_ack = op_manifest_ack,
};

/* ---- what comes ------------------------------------------------------------
 */

uint64_t bout_a_node(struct bout_rig *g)
{
	uint64_t number = 1 + hs_random_below(&g->r, 5);

	return number << 32 | (1 + hs_random_below(&g->r, 2));
}

static uint16_t some_flags(struct bout_rig *g)
{
	if (hs_random_chance(&g->r, 0.8))
		return 0;
	return (uint16_t)(1u << hs_random_below(&g->r, 7));
}

uint32_t bout_make_slice(struct bout_rig *g, uint32_t t)
{
	static const uint32_t seqs[] = {0, 0, 0, 1, 1, 2, 0xfffe, 0xffff};
	struct hs_wire_slice *s = (void *)g->payload;
	uint8_t *bytes = (uint8_t *)(s + 1);

	memset(s, 0, sizeof(*s));
	s->trace = g->traces[t].id;
	s->node = bout_a_node(g);
	s->ship_key = hs_random_below(&g->r, 64);
	s->process = bout_below(&g->r, 2);
	s->handle = bout_below(&g->r, 2);
	s->seq = seqs[hs_random_below(&g->r, 8)];
	s->offset = bout_below(&g->r, 40);
	s->length_bytes = bout_below(&g->r, MDL_NEAR - s->offset);
	s->flags = some_flags(g);
	s->final = hs_random_chance(&g->r, 0.5);
	if (hs_random_chance(&g->r, 0.4)) {
		s->offset = 0;
	} else if (hs_random_chance(&g->r, 0.03)) {
		s->offset = MDL_FAR_FROM;
		s->length_bytes = 4;
	} else if (hs_random_chance(&g->r, 0.2)) {
		s->length_bytes = bout_below(&g->r, 2);
	}
	for (uint32_t i = 0; i < s->length_bytes; i++)
		bytes[i] = (uint8_t)hs_random_u64(&g->r);
	s->crc = hs_crc32c(0, bytes, s->length_bytes);
	return (uint32_t)sizeof(*s) + s->length_bytes;
}

/* Honest in form, but for what lies beyond the format's limits. */
uint32_t bout_break_slice(struct bout_rig *g, uint32_t bytes)
{
	struct hs_wire_slice *s = (void *)g->payload;

	switch (hs_random_below(&g->r, 4)) {
	case 0:
		s->offset = MDL_FAR_FROM + 5 + bout_below(&g->r, 3);
		break;
	case 1:
		s->offset = MDL_FAR_FROM + 5 - s->length_bytes;
		break;
	case 2:
		s->final = 2;
		break;
	default:
		return bout_mangle(&g->r, (uint8_t *)g->payload, bytes,
				   PAYLOAD);
	}
	return bytes;
}

static uint8_t *put_trigger(struct bout_rig *g, uint8_t *p)
{
	struct hs_wire_trigger *w = (void *)p;

	memset(w, 0, sizeof(*w));
	w->origin = 1 + hs_random_below(&g->r, 2);
	w->key = hs_random_below(&g->r, 40);
	w->fired_ns = hs_random_u64(&g->r);
	w->primary = g->traces[hs_random_below(&g->r, NR_TRACES)].id;
	strcpy(w->name, "slow");
	return p + sizeof(*w);
}

static uint8_t *put_answer(struct bout_rig *g, uint32_t t, uint8_t *p)
{
	struct hs_wire_answer *a = (void *)p;
	struct hs_wire_crumb *crumbs = (void *)(a + 1);
	uint32_t most = g->m.limits.trace_crumbs + 2;

	memset(a, 0, sizeof(*a));
	a->trace = g->traces[t].id;
	a->node = bout_a_node(g);
	a->rev = bout_below(&g->r, 4);
	a->state = hs_random_chance(&g->r, 0.5)
			   ? HS_WIRE_STATE_CLOSED
			   : (uint16_t)hs_random_below(&g->r, 5);
	a->flags = some_flags(g);
	a->nr_buffers = bout_below(&g->r, 3);
	a->nr_bytes = hs_random_below(&g->r, 40);
	a->nr_crumbs =
		bout_below(&g->r, (most < MDL_CRUMBS ? most : MDL_CRUMBS) + 1);
	if (hs_random_chance(&g->r, 0.5))
		a->nr_crumbs = 0;
	for (uint32_t i = 0; i < a->nr_crumbs; i++) {
		memset(&crumbs[i], 0, sizeof(crumbs[i]));
		crumbs[i].node =
			hs_random_chance(&g->r, 0.1) ? 0 : bout_a_node(g);
		crumbs[i].kind = bout_below(&g->r, 4);
	}
	return (uint8_t *)(crumbs + a->nr_crumbs);
}

uint32_t bout_make_manifest(struct bout_rig *g, uint32_t t)
{
	struct hs_wire_manifest *m = (void *)g->payload;
	uint8_t *p = (uint8_t *)(m + 1);

	memset(m, 0, sizeof(*m));
	m->trace = g->traces[t].id;
	m->epoch = 1 + hs_random_below(&g->r, 3);
	m->version = 1 + bout_below(&g->r, 5);
	m->settled = hs_random_chance(&g->r, 0.5);
	/* No draw of its own: the others stay as they were. */
	m->sought = (uint16_t)(m->version * m->epoch % 5 |
			       (m->version & 1 ? HS_WIRE_SOUGHT_PART : 0));
	m->nr_triggers = bout_below(&g->r, hs_random_chance(&g->r, 0.1)
						   ? HS_WIRE_TRIGGERS_MAX + 1
						   : 3);
	m->nr_answers = 1 + bout_below(&g->r, 4);
	for (uint32_t i = 0; i < m->nr_triggers; i++)
		p = put_trigger(g, p);
	for (uint32_t i = 0; i < m->nr_answers; i++)
		p = put_answer(g, t, p);
	return (uint32_t)(p - (uint8_t *)g->payload);
}
