/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model_assembly.c - the collector's union and mark, said a second time: see
 * model_assembly.h
 */
#include "tests/sim/model_assembly.h"

#include <string.h>

#include "base/crc32c.h"
#include "base/hash.h"

/* ---- the format ------------------------------------------------------------
 */

static bool id_ok(struct hs_wire_trace_id id)
{
	return id.hi || id.lo;
}

static bool name_ok(const char *name)
{
	size_t n = 0;

	for (; n < HS_WIRE_NAME_BYTES && name[n]; n++)
		if (name[n] < 0x21 || name[n] > 0x7e)
			return false;
	return n >= 1 && n <= HS_WIRE_NAME_BYTES - 1;
}

bool mdl_slice_ok(const void *payload, uint32_t bytes)
{
	const uint64_t most = HS_ASSEMBLY_BUFFER_MAX_BYTES;
	struct hs_wire_slice s;

	if (bytes < sizeof(s))
		return false;
	memcpy(&s, payload, sizeof(s));
	return bytes == (uint64_t)sizeof(s) + s.length_bytes &&
	       s.length_bytes <= HS_WIRE_SLICE_MAX_BYTES && s.node &&
	       id_ok(s.trace) && s.final <= 1 &&
	       (uint64_t)s.offset + s.length_bytes <= most &&
	       hs_crc32c(0, (const uint8_t *)payload + sizeof(s),
			 s.length_bytes) == s.crc;
}

bool mdl_manifest_ok(const void *payload, uint32_t bytes)
{
	const uint8_t *p = payload;
	struct hs_wire_manifest m;
	uint64_t at = sizeof(m);

	if (bytes < sizeof(m))
		return false;
	memcpy(&m, p, sizeof(m));
	if (!id_ok(m.trace) || m.version < 1 || m.nr_answers < 1 ||
	    m.nr_answers > HS_WIRE_ANSWERS_MAX ||
	    m.nr_triggers > HS_WIRE_TRIGGERS_MAX)
		return false;
	for (uint32_t i = 0; i < m.nr_triggers; i++) {
		struct hs_wire_trigger t;

		if (at + sizeof(t) > bytes)
			return false;
		memcpy(&t, p + at, sizeof(t));
		at += sizeof(t);
		if (!t.origin || !id_ok(t.primary) || !name_ok(t.name))
			return false;
	}
	for (uint32_t i = 0; i < m.nr_answers; i++) {
		struct hs_wire_answer a;

		if (at + sizeof(a) > bytes)
			return false;
		memcpy(&a, p + at, sizeof(a));
		at += sizeof(a) +
		      (uint64_t)a.nr_crumbs * sizeof(struct hs_wire_crumb);
		if (!a.node || a.state > HS_WIRE_STATE_CLOSED ||
		    a.nr_crumbs > HS_WIRE_CRUMBS_MAX ||
		    a.trace.hi != m.trace.hi || a.trace.lo != m.trace.lo)
			return false;
	}
	return at == bytes;
}

/* ---- what arrives ----------------------------------------------------------
 */

static struct mdl_node *node_of(struct mdl_trace *t, uint64_t id)
{
	for (uint32_t i = 0; i < t->nr_nodes; i++)
		if (t->nodes[i].id == id)
			return &t->nodes[i];
	return NULL;
}

static struct mdl_node *node_new(struct mdl_trace *t, uint64_t id)
{
	struct mdl_node *n = &t->nodes[t->nr_nodes++];

	memset(n, 0, sizeof(*n));
	n->id = id;
	return n;
}

static struct mdl_buffer *buffer_of(struct mdl_node *n,
				    const struct hs_wire_slice *s)
{
	for (uint32_t i = 0; i < n->nr_arrived; i++)
		if (n->arrived[i].process == s->process &&
		    n->arrived[i].handle == s->handle &&
		    n->arrived[i].seq == s->seq)
			return &n->arrived[i];
	return NULL;
}

static uint32_t nr_buffers(const struct mdl_trace *t)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < t->nr_nodes; i++)
		nr += t->nodes[i].nr_arrived;
	return nr;
}

static uint64_t bits_of(uint32_t from, uint32_t nr)
{
	uint64_t bits = 0;

	for (uint32_t i = from; i < from + nr && i < MDL_NEAR; i++)
		bits |= 1ull << i;
	return bits;
}

/* Stretches of bytes that are apart from each other. */
static int stretches(uint64_t bits, bool far)
{
	return __builtin_popcountll(bits & ~(bits << 1)) + far;
}

bool mdl_whole(const struct mdl_buffer *b)
{
	if (b->end == MDL_NO_END)
		return false;
	return b->end <= MDL_NEAR &&
	       (b->bits & bits_of(0, b->end)) == bits_of(0, b->end);
}

uint64_t mdl_held(const struct mdl_buffer *b)
{
	return (uint64_t)__builtin_popcountll(b->bits) + (b->far ? 4 : 0);
}

enum mdl_result mdl_slice(struct mdl *m, struct mdl_trace *t,
			  const struct hs_wire_slice *s)
{
	struct mdl_node *n = node_of(t, s->node);
	struct mdl_buffer *b = n ? buffer_of(n, s) : NULL;
	bool far = s->length_bytes && s->offset == MDL_FAR_FROM;
	uint64_t bits = far ? 0 : bits_of(s->offset, s->length_bytes);
	uint32_t end = s->offset + s->length_bytes;

	if (b && !(s->flags & ~n->slice_flags) && !(bits & ~b->bits) &&
	    (!far || b->far) &&
	    (!s->final || (b->end != MDL_NO_END && end <= b->end)))
		return MDL_KNOWN;
	if ((!n && t->nr_nodes == m->limits.trace_nodes) ||
	    (!b && nr_buffers(t) == m->limits.trace_buffers))
		return MDL_OVER;
	t->known = true;
	if (!n)
		n = node_new(t, s->node);
	if (!b) {
		b = &n->arrived[n->nr_arrived++];
		*b = (struct mdl_buffer){.process = s->process,
					 .handle = s->handle,
					 .seq = s->seq,
					 .end = MDL_NO_END};
	}
	n->slice_flags |= s->flags;
	if (stretches(b->bits | bits, b->far || far) <= 4) {
		b->bits |= bits;
		b->far |= far;
	} else {
		n->slice_flags |= HS_WIRE_F_CUT;
		m->ranges_over++;
	}
	if (s->final && (b->end == MDL_NO_END || end > b->end))
		b->end = end;
	return MDL_NEW;
}

/* ---- what is answered ------------------------------------------------------
 */

static bool knew(uint32_t rev, uint16_t state)
{
	return rev &&
	       (state == HS_WIRE_STATE_OPEN || state == HS_WIRE_STATE_CLOSED);
}

static void crumbs_set(struct mdl *m, struct mdl_trace *t, struct mdl_node *n,
		       const struct hs_wire_crumb *crumbs, uint32_t nr)
{
	uint32_t others = 0;

	for (uint32_t i = 0; i < t->nr_nodes; i++)
		if (&t->nodes[i] != n)
			others += t->nodes[i].nr_crumbs;
	if (others + nr > m->limits.trace_crumbs) {
		nr = m->limits.trace_crumbs - others;
		t->cut = true;
		m->answers_over++;
	}
	n->nr_crumbs = nr;
	if (nr)
		memcpy(n->crumbs, crumbs, nr * sizeof(*crumbs));
}

/* Two answers of one revision: the worse of both. Return: whether it is news.
 */
static bool unite(struct mdl *m, struct mdl_trace *t, struct mdl_node *n,
		  const struct hs_wire_answer *a,
		  const struct hs_wire_crumb *crumbs)
{
	bool news = false;

	/* Coordinators' words the other way round. */
	if (n->rev ? a->state < n->state : a->state > n->state) {
		n->state = a->state;
		news = true;
	}
	if ((n->flags | a->flags) != n->flags) {
		n->flags |= a->flags;
		news = true;
	}
	if (a->nr_buffers > n->nr_buffers) {
		n->nr_buffers = a->nr_buffers;
		news = true;
	}
	if (a->nr_bytes > n->nr_bytes) {
		n->nr_bytes = a->nr_bytes;
		news = true;
	}
	if (a->nr_crumbs > n->nr_crumbs) {
		crumbs_set(m, t, n, crumbs, a->nr_crumbs);
		news = true;
	}
	return news;
}

static bool answer(struct mdl *m, struct mdl_trace *t,
		   const struct hs_wire_answer *a,
		   const struct hs_wire_crumb *crumbs)
{
	struct mdl_node *n = node_of(t, a->node);
	bool forgot = a->rev && a->state == HS_WIRE_STATE_UNKNOWN &&
		      !(a->flags & HS_WIRE_F_LOST);

	if (!n && t->nr_nodes == m->limits.trace_nodes) {
		bool was = t->cut;

		m->answers_over++;
		t->cut = true;
		return !was;
	}
	if (!n)
		n = node_new(t, a->node);
	if (n->answered) {
		bool better = a->rev > n->rev;

		if (knew(n->rev, n->state) && forgot)
			return false;
		if (knew(a->rev, a->state) && n->rev &&
		    n->state == HS_WIRE_STATE_UNKNOWN &&
		    !(n->flags & HS_WIRE_F_LOST))
			better = true;
		if (!better && a->rev == n->rev)
			return unite(m, t, n, a, crumbs);
		if (!better)
			return false;
	}
	n->answered = true;
	n->rev = a->rev;
	n->state = a->state;
	n->flags = a->flags;
	n->nr_buffers = a->nr_buffers;
	n->nr_bytes = a->nr_bytes;
	crumbs_set(m, t, n, crumbs, a->nr_crumbs);
	return true;
}

static bool trigger(struct mdl *m, struct mdl_trace *t,
		    const struct hs_wire_trigger *g)
{
	for (uint32_t i = 0; i < t->nr_triggers; i++)
		if (t->triggers[i].origin == g->origin &&
		    t->triggers[i].key == g->key)
			return false;
	if (t->nr_triggers == m->limits.trace_triggers) {
		m->triggers_over++;
		return false;
	}
	t->triggers[t->nr_triggers++] = *g;
	return true;
}

enum mdl_result mdl_manifest(struct mdl *m, struct mdl_trace *t,
			     const void *payload)
{
	const uint8_t *p = payload;
	const struct hs_wire_trigger *triggers;
	struct hs_wire_manifest head;
	bool news = false, answered = false;

	memcpy(&head, p, sizeof(head));
	triggers = (const void *)(p + sizeof(head));
	p = (const uint8_t *)(triggers + head.nr_triggers);
	t->known = true;
	for (uint32_t i = 0; i < head.nr_answers; i++) {
		const struct hs_wire_answer *a = (const void *)p;
		const struct hs_wire_crumb *crumbs = (const void *)(a + 1);

		p = (const uint8_t *)(crumbs + a->nr_crumbs);
		news |= answer(m, t, a, crumbs);
	}
	for (uint32_t i = 0; i < t->nr_nodes; i++)
		answered |= t->nodes[i].answered;
	/* No answer of it found a place, and so nothing else of it does. */
	if (!answered) {
		m->triggers_over += head.nr_triggers;
		return news ? MDL_NEW : MDL_KNOWN;
	}
	for (uint32_t i = 0; i < head.nr_triggers; i++)
		news |= trigger(m, t, &triggers[i]);
	/* All have answered, then how many were asked. */
	if ((head.sought ? (head.sought ^ 0x8000u) + 1 : 0) >
	    (t->sought ? (t->sought ^ 0x8000u) + 1 : 0)) {
		t->sought = head.sought;
		news = true;
	}
	if (head.settled && !t->settled) {
		t->settled = true;
		news = true;
	}
	return news ? MDL_NEW : MDL_KNOWN;
}

/* ---- the mark --------------------------------------------------------------
 */

static void cause(struct hs_assembly_cause *out, uint32_t *nr, uint64_t node,
		  enum hs_assembly_why why)
{
	for (uint32_t i = 0; i < *nr; i++)
		if (out[i].node == node && out[i].why == why)
			return;
	out[(*nr)++] = (struct hs_assembly_cause){node, why};
}

static void flags_say(struct hs_assembly_cause *out, uint32_t *nr,
		      uint64_t node, uint16_t flags)
{
	static const enum hs_assembly_why whys[16] = {
		HS_ASSEMBLY_WHY_EVICTED,   HS_ASSEMBLY_WHY_LOST,
		HS_ASSEMBLY_WHY_ABANDONED, HS_ASSEMBLY_WHY_CRASHED,
		HS_ASSEMBLY_WHY_MODIFIED,  HS_ASSEMBLY_WHY_CUT,
		HS_ASSEMBLY_WHY_WITHHELD,  HS_ASSEMBLY_WHY_LOST,
		HS_ASSEMBLY_WHY_LOST,	   HS_ASSEMBLY_WHY_LOST,
		HS_ASSEMBLY_WHY_LOST,	   HS_ASSEMBLY_WHY_LOST,
		HS_ASSEMBLY_WHY_LOST,	   HS_ASSEMBLY_WHY_LOST,
		HS_ASSEMBLY_WHY_LOST,	   HS_ASSEMBLY_WHY_LOST,
	};

	for (uint32_t bit = 0; bit < 16; bit++)
		if (flags >> bit & 1)
			cause(out, nr, node, whys[bit]);
}

/* Whether a later incarnation of @node spoke in its own words, or is up. */
static bool past(const struct mdl *m, const struct mdl_trace *t, uint64_t node)
{
	for (uint32_t i = 0; i < t->nr_nodes; i++)
		if (t->nodes[i].id >> 32 == node >> 32 &&
		    t->nodes[i].id > node && t->nodes[i].answered &&
		    t->nodes[i].rev)
			return true;
	return m->latest[node >> 32 & 63] > node;
}

static void arrived(const struct mdl_node *n, uint32_t *whole, uint64_t *bytes)
{
	*whole = 0;
	*bytes = 0;
	for (uint32_t i = 0; i < n->nr_arrived; i++) {
		*whole += mdl_whole(&n->arrived[i]);
		*bytes += mdl_held(&n->arrived[i]);
	}
}

static bool gap(const struct mdl_node *n)
{
	for (uint32_t i = 0; i < n->nr_arrived; i++) {
		const struct mdl_buffer *b = &n->arrived[i];
		bool found = b->seq == 0 || b->seq >= 0xffff;

		for (uint32_t k = 0; k < n->nr_arrived; k++)
			found |= n->arrived[k].process == b->process &&
				 n->arrived[k].handle == b->handle &&
				 n->arrived[k].seq == b->seq - 1;
		if (!found)
			return true;
	}
	return false;
}

bool mdl_owes(const struct mdl_node *n)
{
	uint32_t whole;
	uint64_t bytes;

	arrived(n, &whole, &bytes);
	return !n->answered || n->state == HS_WIRE_STATE_OPEN ||
	       whole < n->nr_buffers || bytes < n->nr_bytes;
}

bool mdl_names_earlier(const struct mdl_trace *t, const struct mdl_node *n,
		       uint64_t later)
{
	for (uint32_t i = 0; i < n->nr_crumbs; i++)
		if (n->crumbs[i].node >> 32 == later >> 32 &&
		    n->crumbs[i].node < later &&
		    !node_of((struct mdl_trace *)t, n->crumbs[i].node))
			return true;
	return false;
}

static void of_node(const struct mdl *m, const struct mdl_trace *t,
		    const struct mdl_node *n, struct hs_assembly_cause *out,
		    uint32_t *nr)
{
	static const enum hs_assembly_why states[] = {
		[HS_WIRE_STATE_UNREACHABLE] = HS_ASSEMBLY_WHY_UNREACHABLE,
		[HS_WIRE_STATE_GONE] = HS_ASSEMBLY_WHY_GONE,
		[HS_WIRE_STATE_UNKNOWN] = HS_ASSEMBLY_WHY_UNKNOWN,
		[HS_WIRE_STATE_OPEN] = HS_ASSEMBLY_WHY_OPEN,
	};
	bool is_past = past(m, t, n->id);
	uint32_t whole;
	uint64_t bytes;

	flags_say(out, nr, n->id, n->flags | n->slice_flags);
	if (!n->answered) {
		cause(out, nr, n->id,
		      is_past ? HS_ASSEMBLY_WHY_GONE
			      : HS_ASSEMBLY_WHY_NO_ANSWER);
		return;
	}
	if (n->state == HS_WIRE_STATE_OPEN && is_past)
		cause(out, nr, n->id, HS_ASSEMBLY_WHY_GONE);
	else if (n->state != HS_WIRE_STATE_CLOSED)
		cause(out, nr, n->id, states[n->state]);
	arrived(n, &whole, &bytes);
	if (whole < n->nr_buffers || bytes < n->nr_bytes)
		cause(out, nr, n->id,
		      is_past ? HS_ASSEMBLY_WHY_GONE : HS_ASSEMBLY_WHY_MISSING);
	else if (n->state == HS_WIRE_STATE_CLOSED && !n->flags &&
		 !n->slice_flags && gap(n))
		cause(out, nr, n->id, HS_ASSEMBLY_WHY_LOST);
}

uint32_t mdl_causes(const struct mdl *m, const struct mdl_trace *t,
		    struct hs_assembly_cause *out)
{
	uint32_t nr = 0, nr_answers = 0;

	if (t->cut)
		cause(out, &nr, 0, HS_ASSEMBLY_WHY_CUT);
	if (t->damaged)
		cause(out, &nr, 0, HS_ASSEMBLY_WHY_DAMAGED);
	for (uint32_t i = 0; i < t->nr_nodes; i++)
		nr_answers += t->nodes[i].answered;
	if (!nr_answers)
		cause(out, &nr, 0, HS_ASSEMBLY_WHY_NO_MANIFEST);
	for (uint32_t i = 0; i < t->nr_nodes; i++) {
		const struct mdl_node *n = &t->nodes[i];

		if (!nr_answers) {
			flags_say(out, &nr, n->id, n->slice_flags);
			continue;
		}
		of_node(m, t, n, out, &nr);
		for (uint32_t k = 0; k < n->nr_crumbs; k++) {
			uint64_t to = n->crumbs[k].node;

			if (to && !node_of((struct mdl_trace *)t, to))
				cause(out, &nr, to,
				      past(m, t, to)
					      ? HS_ASSEMBLY_WHY_GONE
					      : HS_ASSEMBLY_WHY_NO_ANSWER);
		}
	}
	return nr;
}

enum hs_assembly_mark mdl_mark(const struct mdl *m, const struct mdl_trace *t)
{
	struct hs_assembly_cause causes[MDL_CAUSES];
	uint32_t nr = mdl_causes(m, t, causes);

	for (uint32_t i = 0; i < nr; i++)
		if (causes[i].why > HS_ASSEMBLY_WHY_MISSING)
			return HS_ASSEMBLY_PARTIAL;
	return nr ? HS_ASSEMBLY_OPEN : HS_ASSEMBLY_COMPLETE;
}

static uint64_t mix(uint64_t h, uint64_t x)
{
	return hs_hash_mix64(h * 31 + x + 1);
}

uint64_t mdl_sum(const struct mdl_trace *t)
{
	uint64_t sum = mix(t->settled * 2ull + t->cut,
			   t->nr_nodes | (uint64_t)t->sought << 32);

	for (uint32_t i = 0; i < t->nr_nodes; i++) {
		const struct mdl_node *n = &t->nodes[i];
		uint64_t h = mix(n->id, n->answered), all = 0;

		h = mix(mix(h, n->rev), n->state | (uint32_t)n->flags << 16);
		h = mix(mix(h, n->slice_flags), n->nr_buffers);
		h = mix(mix(h, n->nr_bytes), n->nr_crumbs);
		for (uint32_t k = 0; k < n->nr_crumbs; k++)
			h = mix(mix(h, n->crumbs[k].node), n->crumbs[k].kind);
		for (uint32_t k = 0; k < n->nr_arrived; k++) {
			const struct mdl_buffer *b = &n->arrived[k];

			all += mix(mix(mix(b->process, b->handle), b->seq),
				   mix(mix(b->bits, b->far), b->end));
		}
		sum += mix(h, all);
	}
	for (uint32_t i = 0; i < t->nr_triggers; i++)
		sum = mix(sum, mix(t->triggers[i].origin, t->triggers[i].key));
	return sum;
}
