/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oracle.c - what the applications know of their traces: every buffer with its
 * bytes, every crumb, every loss, in the order of events
 *
 * The bytes of a buffer follow from a key, so that none have to be kept.
 */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/node_at.h"
#include "rdma/wire.h"
#include "tests/sim/sim.h"

static uint32_t slot_of(const struct sim *s, const struct hs_wire_trace_id *id)
{
	return (uint32_t)hs_hash_mix64(id->hi ^ hs_hash_mix64(id->lo)) &
	       s->trace_mask;
}

uint32_t ora_trace_find(const struct sim *s, const struct hs_wire_trace_id *id)
{
	for (uint32_t at = slot_of(s, id); s->trace_table[at];
	     at = (at + 1) & s->trace_mask) {
		uint32_t t = s->trace_table[at] - 1;

		if (hs_wire_trace_equal(&s->traces[t].id, id))
			return t;
	}
	return UINT32_MAX;
}

static void choose_id(struct sim *s, struct hs_wire_trace_id *id)
{
	uint64_t kind = hs_random_below(&s->app, 12);

	id->hi = hs_random_u64(&s->app);
	id->lo = hs_random_u64(&s->app);
	if (kind == 0)
		id->hi = 0;
	else if (kind == 1)
		id->lo = 0;
	else if (kind == 2)
		*id = (struct hs_wire_trace_id){0, s->nr_traces + 1};
}

uint32_t ora_trace_new(struct sim *s)
{
	uint32_t t = s->nr_traces, at;

	if (t == s->room_traces)
		abort(); /* as many as there are requests */
	do
		choose_id(s, &s->traces[t].id);
	while (!(s->traces[t].id.hi | s->traces[t].id.lo) ||
	       ora_trace_find(s, &s->traces[t].id) != UINT32_MAX);
	/* A hostile process may have guessed such a one already. */
	s->traces[t].touched = s->p.hostile && s->traces[t].id.hi == 0;
	s->nr_traces++;
	for (at = slot_of(s, &s->traces[t].id); s->trace_table[at];
	     at = (at + 1) & s->trace_mask)
		;
	s->trace_table[at] = t + 1;
	return t;
}

struct ora_visit *ora_visit_find(const struct sim *s, uint32_t trace,
				 uint64_t node)
{
	struct ora_visit *v = s->traces[trace].visits;

	while (v && v->node != node)
		v = v->next;
	return v;
}

struct ora_visit *ora_visit_get(struct sim *s, uint32_t trace, uint64_t node)
{
	struct ora_visit *v = ora_visit_find(s, trace, node);

	if (v)
		return v;
	v = sim_zalloc(1, sizeof(*v));
	v->node = node;
	v->trace = trace;
	v->next = s->traces[trace].visits;
	s->traces[trace].visits = v;
	return v;
}

struct ora_buffer *ora_buffer_new(struct sim *s, struct ora_visit *v,
				  const struct sim_handle *h)
{
	struct ora_buffer *b = sim_zalloc(1, sizeof(*b));

	b->process = h->process_number;
	b->domain = sim_domain_of(&s->p, h->process);
	b->handle = h->handle;
	b->seq = h->seq;
	b->committed = h->pos;
	b->stock_word = h->word;
	b->key = hs_hash_mix64(s->p.seed ^ v->node ^
			       ((uint64_t)b->process << 40) ^
			       ((uint64_t)b->handle << 20) ^ b->seq ^
			       ((uint64_t)v->trace << 50));
	b->next = v->buffers;
	v->buffers = b;
	return b;
}

void ora_bytes(uint64_t key, uint32_t from, uint32_t to, uint8_t *out)
{
	uint64_t word = 0;

	for (uint32_t i = from; i < to; i++) {
		if (i == from || i % 8 == 0)
			word = hs_hash_mix64(key + i / 8);
		*out++ = (uint8_t)(word >> 8 * (i % 8));
	}
}

void ora_crumb(struct sim *s, struct ora_visit *v, uint64_t node,
	       bool by_address)
{
	for (uint32_t i = 0; i < v->nr_crumbs; i++)
		if (v->crumbs[i].node == node) {
			v->crumbs[i].by_address &= by_address;
			return;
		}
	if (v->nr_crumbs == v->room_crumbs) {
		v->room_crumbs = v->room_crumbs ? 2 * v->room_crumbs : 4;
		v->crumbs =
			realloc(v->crumbs, v->room_crumbs * sizeof(*v->crumbs));
		if (!v->crumbs)
			abort();
	}
	v->crumbs[v->nr_crumbs++] =
		(struct ora_crumb){node, s->order, by_address};
}

static int proc_of(struct ora_visit *v, uint32_t process)
{
	int i = 0;

	while (i < (int)ORA_PROCS_MAX && v->procs[i].number &&
	       v->procs[i].number != process)
		i++;
	if (i == (int)ORA_PROCS_MAX)
		return -1;
	v->procs[i].number = process;
	return i;
}

void ora_lost(struct sim *s, struct ora_visit *v, uint32_t process)
{
	int i = proc_of(v, process);

	if (!v->first_lost)
		v->first_lost = s->order;
	if (i >= 0 && !v->procs[i].lost)
		v->procs[i].lost = s->order;
}

void ora_named(struct sim *s, struct ora_visit *v, uint32_t process)
{
	int i = proc_of(v, process);

	if (!v->named)
		v->named = s->order;
	if (i >= 0 && !v->procs[i].named)
		v->procs[i].named = s->order;
}

/*
 * A loss that no trace is named for taints the traces of that process: of those
 * that the agent knows it took part in (law 6).
 */
bool ora_lost_by(const struct ora_visit *v, uint64_t upto)
{
	for (uint32_t i = 0; i < ORA_PROCS_MAX; i++)
		if (v->procs[i].lost && v->procs[i].lost <= upto &&
		    v->procs[i].named && v->procs[i].named <= upto)
			return true;
	return false;
}

bool ora_lost_unheard(const struct ora_visit *v, uint64_t upto)
{
	for (uint32_t i = 0; i < ORA_PROCS_MAX; i++)
		if (v->procs[i].lost && v->procs[i].lost <= upto &&
		    (!v->procs[i].named || v->procs[i].named > upto))
			return true;
	return false;
}

/* ---- what the agents say --------------------------------------------------
 */

bool ora_live_at_scan(struct sim *s, const struct sim_node *n,
		      const struct ora_visit *v)
{
	if (v->ended > n->scan_order && v->ended_begun &&
	    v->ended_begun < n->scan_order)
		return true;
	for (uint32_t p = 0; p < s->p.nr_procs; p++)
		for (uint32_t k = 0; k < s->p.nr_slots; k++) {
			const struct sim_handle *h = n->procs[p].owners[k];

			if (h && (h->live || h->waits) && h->visit == v &&
			    h->begun < n->scan_order)
				return true;
		}
	return false;
}

/* By its id, or by its address. */
static bool names(const struct hs_wire_crumb *crumb, uint64_t node)
{
	return crumb->node == node ||
	       crumb->node == sim_address((uint32_t)(node >> 32) - 1);
}

/* What it says of a trace somebody wrote of that trace, there. */
static void says_crumbs(struct sim *s, const struct sim_node *n,
			const struct ora_visit *v,
			const struct hs_wire_crumb *crumbs, uint32_t nr)
{
	for (uint32_t i = 0; i < nr && !s->traces[v->trace].touched; i++) {
		uint32_t k = 0;

		while (k < v->nr_crumbs &&
		       !names(&crumbs[i], v->crumbs[k].node))
			k++;
		s->t.checks++;
		if (k == v->nr_crumbs && !names(&crumbs[i], n->id))
			sim_fail(s,
				 "node%u has a crumb of trace %u that nobody "
				 "left there",
				 n->number, v->trace);
	}
}

static void answer(struct sim *s, struct sim_node *n,
		   const struct hs_wire_answer *a,
		   const struct hs_wire_crumb *crumbs)
{
	uint32_t t = ora_trace_find(s, &a->trace);
	struct ora_visit *v;

	if (a->node != n->id) {
		sim_fail(s, "node%u answers for another node", n->number);
		return;
	}
	if (t == UINT32_MAX)
		return; /* a hostile process made it up */
	v = ora_visit_get(s, t, a->node);
	says_crumbs(s, n, v, crumbs, a->nr_crumbs);
	if (a->state == HS_WIRE_STATE_CLOSED && !a->flags && v->nr_open &&
	    ora_live_at_scan(s, n, v))
		sim_fail(s, "node%u calls trace %u closed; a handle is live",
			 n->number, t);
	if (v->nr_revs == v->room_revs) {
		v->room_revs = v->room_revs ? 2 * v->room_revs : 4;
		v->revs = realloc(v->revs, v->room_revs * sizeof(*v->revs));
		if (!v->revs)
			abort();
	}
	v->revs[v->nr_revs++] =
		(struct ora_rev){a->rev, a->state, a->flags, n->scan_order};
}

void ora_answers(struct sim *s, struct sim_node *n, uint16_t type,
		 const void *payload, uint32_t bytes)
{
	struct hs_wire_reader r = hs_wire_reader_make(payload, bytes);
	const struct hs_wire_group *g = hs_wire_take_group(&r);
	const struct hs_wire_crumb *crumbs;

	for (uint32_t i = 0; g && i < g->nr; i++) {
		const struct hs_wire_answer *a =
			hs_wire_take_answer(&r, &crumbs);

		if (!a)
			break;
		answer(s, n, a, crumbs);
	}
	if (!g || !hs_wire_done(&r))
		sim_fail(s, "node%u sends a malformed %s", n->number,
			 sim_type_name(type));
}

void ora_doubted(struct sim *s, const void *payload, uint32_t bytes)
{
	struct hs_wire_reader r = hs_wire_reader_make(payload, bytes);
	const struct hs_wire_group *g = hs_wire_take_group(&r);
	const struct hs_wire_crumb *crumbs;

	for (uint32_t i = 0; g && i < g->nr; i++) {
		const struct hs_wire_answer *a =
			hs_wire_take_answer(&r, &crumbs);
		struct ora_visit *v = NULL;
		uint32_t t;

		if (!a)
			return;
		t = ora_trace_find(s, &a->trace);
		if (t != UINT32_MAX)
			v = ora_visit_find(s, t, a->node);
		for (uint32_t k = 0; v && k < a->nr_crumbs; k++)
			v->doubted |= hs_node_is_at(crumbs[k].node);
	}
}

void ora_sought(struct sim *s, const void *payload, uint32_t bytes)
{
	struct hs_wire_reader r = hs_wire_reader_make(payload, bytes);
	const struct hs_wire_trace_id *ids;
	const struct hs_wire_seek *seek = hs_wire_take_seek(&r, &ids);

	if (!seek || !hs_wire_done(&r))
		sim_fail(s, "a coordinator sends a malformed SEEK");
	for (uint32_t i = 0; seek && i < seek->nr; i++) {
		uint32_t t = ora_trace_find(s, &ids[i]);

		if (t != UINT32_MAX && !s->traces[t].sought)
			s->traces[t].sought = s->order;
	}
}

void ora_priority(struct sim *s, uint32_t trace, uint32_t primary)
{
	struct ora_trace *t = &s->traces[trace];
	uint64_t p = hs_hash_siphash(s->cluster_key, &s->traces[primary].id,
				     sizeof(struct hs_wire_trace_id));

	for (uint32_t i = 0; i < t->nr_priorities && i < 8; i++)
		if (t->priorities[i] == p)
			return;
	if (t->nr_priorities < 8)
		t->priorities[t->nr_priorities] = p;
	t->nr_priorities++;
}

void ora_acked(struct sim *s, uint32_t node, const char *name,
	       const uint32_t *traces, uint32_t nr)
{
	struct ora_group *g;

	if (!nr)
		return;
	if (s->nr_groups == s->room_groups) {
		s->room_groups = s->room_groups ? 2 * s->room_groups : 64;
		s->groups =
			realloc(s->groups, s->room_groups * sizeof(*s->groups));
		if (!s->groups)
			abort();
	}
	g = &s->groups[s->nr_groups++];
	*g = (struct ora_group){
		.node = node, .node_id = s->nodes[node].id, .nr = nr};
	strcpy(g->name, name);
	for (uint32_t i = 0; i < nr; i++) {
		g->traces[i] = traces[i];
		ora_visit_get(s, traces[i], g->node_id);
		ora_priority(s, traces[i], traces[0]);
	}
	s->t.acked++;
	sim_story(s, node, "acknowledges a trigger of trace %u", traces[0]);
}

/* ---- what the collectors get ----------------------------------------------
 */

static bool header_differs(const struct sim *s, const struct ora_visit *v,
			   const struct ora_buffer *b,
			   const struct hs_wire_slice *head,
			   const uint8_t *bytes)
{
	const struct ora_trace *t = &s->traces[v->trace];
	struct hs_shm_buffer h = {
		.magic = HS_SHM_BUF_MAGIC,
		.version = HS_SHM_BUF_VERSION,
		.header_bytes = sizeof(h),
		.stock_word = b->stock_word,
		.trace_hi = t->id.hi,
		.trace_lo = t->id.lo,
		.process = b->process,
		.handle = b->handle,
		.seq = b->seq,
		.first_record = sizeof(h),
	};
	const uint8_t *want = (const uint8_t *)&h;
	uint32_t at = offsetof(struct hs_shm_buffer, committed);

	for (uint32_t i = head->offset;
	     i < sizeof(h) && i - head->offset < head->length_bytes; i++)
		if ((i < at || i >= at + 4) &&
		    bytes[i - head->offset] != want[i])
			return true;
	return false;
}

struct ora_buffer *ora_buffer_of(struct ora_visit *v,
				 const struct hs_wire_slice *h)
{
	struct ora_buffer *b = v ? v->buffers : NULL;

	while (b && (b->process != h->process || b->handle != h->handle ||
		     b->seq != h->seq))
		b = b->next;
	return b;
}

static bool bytes_differ(const struct ora_buffer *b,
			 const struct hs_wire_slice *h, const uint8_t *bytes)
{
	uint32_t header = sizeof(struct hs_shm_buffer);
	uint32_t from = h->offset > header ? h->offset : header;
	uint32_t to = h->offset + h->length_bytes;
	uint8_t want[8192];

	while (from < to) {
		uint32_t n = to - from < sizeof(want) ? to - from
						      : (uint32_t)sizeof(want);

		ora_bytes(b->key, from, from + n, want);
		if (memcmp(want, bytes + (from - h->offset), n))
			return true;
		from += n;
	}
	return false;
}

static bool is_hostile(const struct sim *s, const struct hs_wire_slice *h)
{
	uint32_t n = (uint32_t)(h->node >> 32) - 1;

	return n < s->p.nr_nodes && s->nodes[n].hostile_seen;
}

void ora_slice(struct sim *s, const struct hs_wire_slice *h,
	       const uint8_t *bytes)
{
	uint32_t t = ora_trace_find(s, &h->trace);
	struct ora_visit *v =
		t == UINT32_MAX ? NULL : ora_visit_find(s, t, h->node);
	struct ora_buffer *b = ora_buffer_of(v, h);
	bool known = false;

	if (!b) {
		if (!is_hostile(s, h))
			sim_fail(s, "a slice of a buffer that nobody wrote");
		return;
	}
	for (uint32_t i = 0; i < s->traces[t].nr_priorities && i < 8; i++)
		known |= s->traces[t].priorities[i] == h->priority;
	if (!known && !s->traces[t].touched && s->traces[t].nr_priorities <= 8)
		sim_fail(s, "trace %u has another priority at node%u", t,
			 (uint32_t)(h->node >> 32));
	if (h->offset > b->committed ||
	    h->length_bytes > b->committed - h->offset)
		sim_fail(s, "trace %u: a slice beyond what was written", t);
	else if (bytes_differ(b, h, bytes) || header_differs(s, v, b, h, bytes))
		sim_fail(s,
			 "trace %u: bytes [%u, %u) of process %u handle %u "
			 "seq %u are not what was written",
			 t, h->offset, h->offset + h->length_bytes, h->process,
			 h->handle, h->seq);
}

void ora_destroy(struct sim *s)
{
	for (uint32_t t = 0; t < s->nr_traces; t++)
		while (s->traces[t].visits) {
			struct ora_visit *v = s->traces[t].visits;

			s->traces[t].visits = v->next;
			while (v->buffers) {
				struct ora_buffer *b = v->buffers;

				v->buffers = b->next;
				free(b);
			}
			free(v->crumbs);
			free(v->revs);
			free(v);
		}
	free(s->traces);
	free(s->trace_table);
	free(s->groups);
	free(s->lets);
}
