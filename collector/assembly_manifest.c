/* SPDX-License-Identifier: Apache-2.0 */
/*
 * assembly_manifest.c - the union of what all coordinators' manifests say
 *
 * Of two answers of one node the higher rev counts. Should two of one rev
 * differ, which no honest node makes, they are united to the worse of both, so
 * that the order of arrival still does not matter.
 */
#include "collector/assembly_internal.h"

#include <errno.h>
#include <string.h>

#include "rdma/wire.h"
#include "base/planted.h"

struct manifest {
	const struct hs_wire_manifest *head;
	const struct hs_wire_trigger *triggers;
	struct hs_wire_reader answers;
};

/* Everything is looked at before anything is believed. */
static bool parse(const void *payload, uint32_t payload_bytes,
		  struct manifest *out)
{
	struct hs_wire_reader r = hs_wire_reader_make(payload, payload_bytes);
	const struct hs_wire_crumb *crumbs;
	const struct hs_wire_answer *answer;

	out->head = hs_wire_take_manifest(&r, &out->triggers);
	if (!out->head)
		return false;
	out->answers = r;
	for (uint32_t i = 0; i < out->head->nr_answers; i++) {
		answer = hs_wire_take_answer(&r, &crumbs);
		if (!answer ||
		    !hs_wire_trace_equal(&answer->trace, &out->head->trace))
			return false;
	}
	return hs_wire_done(&r);
}

enum news {
	NEWS_NONE,   /* known, or older than what is known */
	NEWS_BETTER, /* takes the place of what is known */
	NEWS_TIE,    /* same rev, other words */
};

static bool knows(uint32_t rev, uint16_t state)
{
	return rev &&
	       (state == HS_WIRE_STATE_OPEN || state == HS_WIRE_STATE_CLOSED);
}

/* Of words that coordinators have for a node the one that says most: gone is
 * more than unreachable. Of a node's own the worst. */
static bool counts_more(uint32_t rev, uint16_t state, uint16_t than)
{
	return rev ? state < than : state > than;
}

static enum news compare(const struct hs_asm_node *node,
			 const struct hs_wire_answer *answer)
{
	if (!node || !node->answered)
		return NEWS_BETTER;
	/* One that has forgotten does not take back what it knew. */
	if (knows(node->rev, node->state) && hs_wire_answer_forgot(answer))
		return NEWS_NONE;
	if (knows(answer->rev, answer->state) &&
	    hs_wire_forgot(node->rev, node->state, node->flags))
		return NEWS_BETTER;
	if (answer->rev > node->rev || HS_PLANTED(23))
		return NEWS_BETTER;
	if (answer->rev < node->rev)
		return NEWS_NONE;
	if (!counts_more(node->rev, answer->state, node->state) &&
	    !(answer->flags & ~node->flags) &&
	    answer->nr_buffers <= node->nr_buffers &&
	    answer->nr_bytes <= node->nr_bytes &&
	    answer->nr_crumbs <= node->nr_crumbs)
		return NEWS_NONE;
	return NEWS_TIE;
}

static void put_crumbs(struct hs_assembly *a, uint32_t n,
		       const struct hs_wire_crumb *crumbs, uint32_t nr)
{
	struct hs_asm_node *node = &a->nodes[n];
	struct hs_asm_trace *trace = &a->traces[node->trace];

	hs_asm_crumbs_free(a, n);
	if (nr > a->limits.trace_crumbs - trace->nr_crumbs) {
		nr = a->limits.trace_crumbs - trace->nr_crumbs;
		trace->cut = true;
		a->stats.answers_over_limit++;
	}
	/* From the last, so that the list has the order of the answer. */
	for (uint32_t i = nr; i-- > 0;) {
		uint32_t c = a->free_crumb;

		a->free_crumb = a->crumbs[c].next;
		a->nr_free_crumbs--;
		a->crumbs[c].crumb = crumbs[i];
		a->crumbs[c].next = node->crumbs;
		node->crumbs = c;
	}
	node->nr_crumbs = nr;
	trace->nr_crumbs += nr;
}

static void put_answer(struct hs_assembly *a, uint32_t n, enum news news,
		       const struct hs_wire_answer *answer,
		       const struct hs_wire_crumb *crumbs)
{
	struct hs_asm_node *node = &a->nodes[n];
	struct hs_asm_trace *trace = &a->traces[node->trace];

	if (!node->answered)
		trace->nr_answers++;
	if (news == NEWS_BETTER) {
		node->answered = true;
		node->rev = answer->rev;
		node->state = answer->state;
		node->flags = answer->flags;
		node->nr_buffers = answer->nr_buffers;
		node->nr_bytes = answer->nr_bytes;
		put_crumbs(a, n, crumbs, answer->nr_crumbs);
		return;
	}
	if (counts_more(node->rev, answer->state, node->state))
		node->state = answer->state;
	node->flags |= answer->flags;
	if (answer->nr_buffers > node->nr_buffers)
		node->nr_buffers = answer->nr_buffers;
	if (answer->nr_bytes > node->nr_bytes)
		node->nr_bytes = answer->nr_bytes;
	if (answer->nr_crumbs > node->nr_crumbs)
		put_crumbs(a, n, crumbs, answer->nr_crumbs);
}

static bool has_trigger(const struct hs_assembly *a, uint32_t t,
			const struct hs_wire_trigger *trigger)
{
	uint32_t g = a->traces[t].triggers;

	for (; g; g = a->triggers[g].next)
		if (a->triggers[g].trigger.origin == trigger->origin &&
		    a->triggers[g].trigger.key == trigger->key)
			return true;
	return false;
}

static bool put_triggers(struct hs_assembly *a, uint32_t t,
			 const struct manifest *m)
{
	struct hs_asm_trace *trace = &a->traces[t];
	bool changed = false;

	for (uint32_t i = 0; i < m->head->nr_triggers; i++) {
		uint32_t *at = &trace->triggers;
		uint32_t g = a->free_trigger;

		if (has_trigger(a, t, &m->triggers[i]))
			continue;
		if (trace->nr_triggers >= a->limits.trace_triggers) {
			a->stats.triggers_over_limit++;
			continue;
		}
		a->free_trigger = a->triggers[g].next;
		a->nr_free_triggers--;
		a->triggers[g].trigger = m->triggers[i];
		a->triggers[g].next = 0;
		while (*at)
			at = &a->triggers[*at].next;
		*at = g;
		trace->nr_triggers++;
		changed = true;
	}
	return changed;
}

/* Room for all that is new, so that apply() cannot fail half-way. */
static bool make_room(struct hs_assembly *a, uint32_t t,
		      const struct manifest *m)
{
	struct hs_wire_reader r = m->answers;
	uint32_t nr_nodes = 0;
	uint32_t nr_crumbs = 0;
	uint32_t limit = a->limits.trace_crumbs;

	for (uint32_t i = 0; i < m->head->nr_answers; i++) {
		const struct hs_wire_crumb *crumbs;
		const struct hs_wire_answer *answer =
			hs_wire_take_answer(&r, &crumbs);
		uint32_t n = hs_asm_node_find(a, t, answer->node);

		if (compare(n ? &a->nodes[n] : NULL, answer) == NEWS_NONE)
			continue;
		if (!n && nr_nodes < a->limits.trace_nodes)
			nr_nodes++;
		nr_crumbs = answer->nr_crumbs > limit - nr_crumbs
				    ? limit
				    : nr_crumbs + answer->nr_crumbs;
	}
	return hs_asm_reserve(a, nr_nodes, 0, nr_crumbs, m->head->nr_triggers);
}

/* Return: whether the union changed. */
static bool apply(struct hs_assembly *a, uint32_t t, const struct manifest *m)
{
	struct hs_wire_reader r = m->answers;
	struct hs_asm_trace *trace = &a->traces[t];
	bool changed = false;

	for (uint32_t i = 0; i < m->head->nr_answers; i++) {
		const struct hs_wire_crumb *crumbs;
		const struct hs_wire_answer *answer =
			hs_wire_take_answer(&r, &crumbs);
		uint32_t n = hs_asm_node_find(a, t, answer->node);
		enum news news = compare(n ? &a->nodes[n] : NULL, answer);

		if (news == NEWS_NONE)
			continue;
		if (!n && trace->nr_nodes >= a->limits.trace_nodes) {
			a->stats.answers_over_limit++;
			changed |= !trace->cut;
			trace->cut = true;
			continue;
		}
		if (!n)
			n = hs_asm_node_add(a, t, answer->node);
		put_answer(a, n, news, answer, crumbs);
		changed = true;
	}
	/* Of a trace without any answer no manifest can be stored, so what else
	 * this one says is cut with its answers. */
	if (!trace->nr_answers) {
		a->stats.triggers_over_limit += m->head->nr_triggers;
		return changed;
	}
	changed |= put_triggers(a, t, m);
	if (hs_wire_sought_rank(m->head->sought) >
	    hs_wire_sought_rank(trace->sought)) {
		trace->sought = m->head->sought;
		changed = true;
	}
	if (m->head->settled && !trace->settled) {
		trace->settled = true;
		changed = true;
	}
	return changed;
}

int hs_asm_manifest(struct hs_assembly *a, uint32_t peer, const void *payload,
		    uint32_t payload_bytes)
{
	struct hs_asm_ack ack;
	struct manifest m;
	uint32_t t;
	int rc;

	if (!parse(payload, payload_bytes, &m)) {
		a->stats.manifests_malformed++;
		return HS_ASSEMBLY_REFUSED;
	}
	if (!hs_asm_ack_room(a))
		return HS_ASSEMBLY_BUSY;
	rc = hs_asm_trace_get(a, &m.head->trace, true, &t);
	if (rc)
		return rc;
	if (!make_room(a, t, &m)) {
		if (!a->traces[t].version)
			hs_asm_trace_drop(a, t);
		return HS_ASSEMBLY_BUSY;
	}
	if (apply(a, t, &m)) {
		a->seq++;
		a->stats.manifests++;
		hs_asm_change(a, t, true);
	} else {
		a->stats.manifests_duplicate++;
	}
	ack = (struct hs_asm_ack){
		.seq = a->seq, .trace = t, .peer = peer, .manifest = true};
	ack.u.manifest_ack.trace = m.head->trace;
	ack.u.manifest_ack.epoch = m.head->epoch;
	ack.u.manifest_ack.version = m.head->version;
	hs_asm_ack_put(a, &ack);
	return HS_ASSEMBLY_TAKEN;
}

/* The stored form of a union, in a->blob. Return: its length. */
uint32_t hs_asm_union_write(struct hs_assembly *a, uint32_t t)
{
	const struct hs_asm_trace *trace = &a->traces[t];
	struct hs_wire_writer w = hs_wire_writer_make(a->blob, a->blob_bytes);
	struct hs_asm_union head = {
		.format = 1, .cut = trace->cut, .version = trace->version};
	struct hs_wire_manifest m = {.trace = trace->id,
				     .version = 1,
				     .settled = trace->settled,
				     .sought = trace->sought,
				     .nr_triggers = trace->nr_triggers,
				     .nr_answers = trace->nr_answers};

	hs_wire_put(&w, &head, sizeof(head));
	if (!trace->nr_answers)
		return (uint32_t)w.used_bytes;
	hs_wire_put(&w, &m, sizeof(m));
	for (uint32_t g = trace->triggers; g; g = a->triggers[g].next)
		hs_wire_put(&w, &a->triggers[g].trigger,
			    sizeof(a->triggers[g].trigger));
	for (uint32_t n = trace->nodes; n; n = a->nodes[n].next_trace) {
		const struct hs_asm_node *node = &a->nodes[n];
		struct hs_wire_answer answer = {.trace = trace->id,
						.node = node->id,
						.rev = node->rev,
						.state = node->state,
						.flags = node->flags,
						.nr_buffers = node->nr_buffers,
						.nr_crumbs = node->nr_crumbs,
						.nr_bytes = node->nr_bytes};

		if (!node->answered)
			continue;
		hs_wire_put(&w, &answer, sizeof(answer));
		for (uint32_t c = node->crumbs; c; c = a->crumbs[c].next)
			hs_wire_put(&w, &a->crumbs[c].crumb,
				    sizeof(a->crumbs[c].crumb));
	}
	head.manifest_bytes = (uint32_t)(w.used_bytes - sizeof(head));
	memcpy(a->blob, &head, sizeof(head));
	return (uint32_t)w.used_bytes;
}

static bool union_head(const void *blob, uint32_t blob_bytes,
		       struct hs_asm_union *head)
{
	if (blob_bytes < sizeof(*head))
		return false;
	memcpy(head, blob, sizeof(*head));
	return head->format == 1 &&
	       head->manifest_bytes == blob_bytes - sizeof(*head);
}

static bool union_parse(const void *blob, uint32_t blob_bytes,
			struct hs_asm_union *head, struct manifest *m)
{
	return union_head(blob, blob_bytes, head) &&
	       (!head->manifest_bytes ||
		parse((const uint8_t *)blob + sizeof(*head),
		      head->manifest_bytes, m));
}

int hs_assembly_replay_union(struct hs_assembly *a,
			     const struct hs_wire_trace_id *id,
			     const void *blob, uint32_t blob_bytes)
{
	uint32_t t = hs_asm_trace_find(a, id);
	struct hs_asm_union head;
	struct manifest m;

	if (!t)
		return -ENOENT;
	if (!union_parse(blob, blob_bytes, &head, &m) ||
	    (head.manifest_bytes && !hs_wire_trace_equal(&m.head->trace, id))) {
		hs_assembly_replay_damage(a, id, 0);
		return 0;
	}
	if (head.manifest_bytes) {
		if (!make_room(a, t, &m))
			return -EBUSY;
		apply(a, t, &m);
	}
	a->traces[t].cut |= head.cut != 0;
	hs_asm_change(a, t, true);
	if (a->traces[t].version < head.version)
		a->traces[t].version = head.version;
	return 0;
}

int hs_assembly_union_glance(const void *blob, uint32_t blob_bytes,
			     const struct hs_wire_trigger **triggers,
			     uint32_t *nr_triggers)
{
	const struct hs_wire_manifest *m;
	struct hs_asm_union head;
	struct hs_wire_reader r;

	*triggers = NULL;
	*nr_triggers = 0;
	if (!union_head(blob, blob_bytes, &head))
		return -EINVAL;
	if (!head.manifest_bytes)
		return 0;
	r = hs_wire_reader_make((const uint8_t *)blob + sizeof(head),
				head.manifest_bytes);
	m = hs_wire_take_manifest(&r, triggers);
	if (!m)
		return -EINVAL;
	*nr_triggers = m->nr_triggers;
	return 0;
}

int hs_assembly_union_triggers(const void *blob, uint32_t blob_bytes,
			       const struct hs_wire_trigger **triggers,
			       uint32_t *nr_triggers)
{
	struct hs_asm_union head;
	struct manifest m;

	*triggers = NULL;
	*nr_triggers = 0;
	if (!union_parse(blob, blob_bytes, &head, &m))
		return -EINVAL;
	return hs_assembly_union_glance(blob, blob_bytes, triggers,
					nr_triggers);
}
