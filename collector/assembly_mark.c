/* SPDX-License-Identifier: Apache-2.0 */
/*
 * assembly_mark.c - law 4: what a trace may call itself, and why
 *
 * The closure of the breadcrumbs starts from every node that answered, so it
 * is all answers and everything that their crumbs name: a crumb whose node has
 * no answer leads no further, and is itself a cause.
 */
#include "collector/assembly_internal.h"

#include <string.h>

#include "base/hash.h"
#include "base/planted.h"
#include "base/reached.h"

struct causes {
	struct hs_assembly_cause *out;
	uint32_t max;
	uint32_t nr;
	bool open;
	bool partial;
};

static void add(struct causes *c, uint64_t node, enum hs_assembly_why why)
{
	if (why >= HS_ASSEMBLY_WHY_UNREACHABLE)
		c->partial = true;
	else
		c->open = true;
	if (c->nr < c->max)
		c->out[c->nr] = (struct hs_assembly_cause){node, why};
	c->nr++;
}

static void add_flags(struct causes *c, uint64_t node, uint16_t flags)
{
	static const struct {
		uint16_t flag;
		enum hs_assembly_why why;
	} names[] = {
		{HS_WIRE_F_EVICTED, HS_ASSEMBLY_WHY_EVICTED},
		{HS_WIRE_F_LOST, HS_ASSEMBLY_WHY_LOST},
		{HS_WIRE_F_ABANDONED, HS_ASSEMBLY_WHY_ABANDONED},
		{HS_WIRE_F_CRASHED, HS_ASSEMBLY_WHY_CRASHED},
		{HS_WIRE_F_MODIFIED, HS_ASSEMBLY_WHY_MODIFIED},
		{HS_WIRE_F_CUT, HS_ASSEMBLY_WHY_CUT},
		{HS_WIRE_F_WITHHELD, HS_ASSEMBLY_WHY_WITHHELD},
	};

	/* Nearly always. */
	if (!flags)
		return;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (flags & names[i].flag)
			add(c, node, names[i].why);
		flags &= (uint16_t)~names[i].flag;
	}
	/* A flag of a later version: it is some loss, whatever its name. */
	if (flags)
		add(c, node, HS_ASSEMBLY_WHY_LOST);
}

/*
 * Why a node has not spoken. A later incarnation began without the memory of
 * this one, so whatever it says, what this one had is not there any more.
 */
static enum hs_assembly_why unanswered(const struct hs_assembly *a, uint32_t t,
				       uint64_t node)
{
	return hs_asm_node_later(a, t, node) ? HS_ASSEMBLY_WHY_GONE
					     : HS_ASSEMBLY_WHY_NO_ANSWER;
}

/*
 * The buffers of a handle are numbered from 0. All that the node counts has
 * arrived, and still there is a gap: an earlier part had been evicted, and the
 * node has forgotten so.
 */
static bool consecutive(const struct hs_assembly *a, uint32_t n)
{
	const struct hs_asm_node *node = &a->nodes[n];

	for (uint32_t b = node->buffers; b; b = a->buffers[b].next_node) {
		struct hs_wire_slice before = {
			.process = a->buffers[b].process,
			.handle = a->buffers[b].handle,
			.seq = a->buffers[b].seq - 1,
		};

		/* The lanes count to 65534 only. */
		if (a->buffers[b].seq && a->buffers[b].seq < 0xffff &&
		    !hs_asm_buffer_find(a, n, &before))
			return false;
	}
	return true;
}

/* What the node's own answer, and what arrived from it, come to. */
static void judge_node(struct hs_assembly *a, uint32_t n, struct causes *c)
{
	const struct hs_asm_node *node = &a->nodes[n];
	bool past = hs_asm_node_later(a, node->trace, node->id);

	add_flags(c, node->id,
		  HS_PLANTED(19) ? 0 : node->flags | node->slice_flags);
	if (!node->answered) {
		add(c, node->id, unanswered(a, node->trace, node->id));
		return;
	}
	switch (node->state) {
	case HS_WIRE_STATE_CLOSED:
		break;
	case HS_WIRE_STATE_OPEN:
		add(c, node->id,
		    past ? HS_ASSEMBLY_WHY_GONE : HS_ASSEMBLY_WHY_OPEN);
		break;
	case HS_WIRE_STATE_UNKNOWN:
		add(c, node->id, HS_ASSEMBLY_WHY_UNKNOWN);
		break;
	case HS_WIRE_STATE_GONE:
		add(c, node->id, HS_ASSEMBLY_WHY_GONE);
		break;
	default:
		add(c, node->id, HS_ASSEMBLY_WHY_UNREACHABLE);
		break;
	}
	if (HS_PLANTED(22) && node->arrived_buffers + 1 >= node->nr_buffers)
		return;
	if (node->arrived_buffers < node->nr_buffers ||
	    node->arrived_bytes < node->nr_bytes)
		/* What went with its memory is not on its way. */
		add(c, node->id,
		    past ? HS_ASSEMBLY_WHY_GONE : HS_ASSEMBLY_WHY_MISSING);
	else if (node->state == HS_WIRE_STATE_CLOSED && !node->flags &&
		 !node->slice_flags && !consecutive(a, n))
		add(c, node->id, HS_ASSEMBLY_WHY_LOST);
}

static void judge_crumbs(struct hs_assembly *a, uint32_t t, uint32_t n,
			 struct causes *c)
{
	for (uint32_t at = HS_PLANTED(21) ? 0 : a->nodes[n].crumbs; at;
	     at = a->crumbs[at].next) {
		uint64_t target = a->crumbs[at].crumb.node;
		enum hs_assembly_why why;

		/* A node that is in the union is judged by itself, once. */
		if (!target || hs_asm_node_find(a, t, target))
			continue;
		why = unanswered(a, t, target);
		for (uint32_t i = 0; i < c->nr && i < c->max; i++)
			if (c->out[i].node == target && c->out[i].why == why)
				goto next;
		add(c, target, why);
	next:;
	}
}

static void judge(struct hs_assembly *a, uint32_t t, struct causes *c)
{
	const struct hs_asm_trace *trace = &a->traces[t];

	if (trace->cut)
		add(c, 0, HS_ASSEMBLY_WHY_CUT);
	if (trace->damaged)
		add(c, 0, HS_ASSEMBLY_WHY_DAMAGED);
	if (!trace->nr_answers) {
		add(c, 0, HS_ASSEMBLY_WHY_NO_MANIFEST);
		for (uint32_t n = trace->nodes; n; n = a->nodes[n].next_trace)
			add_flags(c, a->nodes[n].id, a->nodes[n].slice_flags);
		return;
	}
	for (uint32_t n = trace->nodes; n; n = a->nodes[n].next_trace)
		judge_node(a, n, c);
	for (uint32_t n = trace->nodes; n; n = a->nodes[n].next_trace)
		judge_crumbs(a, t, n, c);
}

static void mark_by(struct hs_asm_trace *trace, const struct causes *c)
{
	enum hs_assembly_mark mark = c->partial ? HS_ASSEMBLY_PARTIAL
				     : c->open	? HS_ASSEMBLY_OPEN
						: HS_ASSEMBLY_COMPLETE;

	if (trace->marked)
		return;
	HS_REACHED(HS_MACHINE_MARK, trace->mark, mark);
	trace->mark = mark;
	trace->marked = true;
}

void hs_asm_mark(struct hs_assembly *a, uint32_t t)
{
	struct causes c = {0};

	if (a->traces[t].marked)
		return;
	judge(a, t, &c);
	mark_by(&a->traces[t], &c);
}

uint32_t hs_assembly_causes(struct hs_assembly *a,
			    const struct hs_wire_trace_id *id,
			    struct hs_assembly_cause *out, uint32_t max)
{
	struct causes c = {.out = out, .max = max};
	uint32_t t;

	if (hs_asm_trace_get(a, id, false, &t))
		return 0;
	judge(a, t, &c);
	mark_by(&a->traces[t], &c);
	return c.nr < max ? c.nr : max;
}

const char *hs_assembly_mark_name(enum hs_assembly_mark mark)
{
	static const char *const names[HS_ASSEMBLY_NR_MARKS] = {
		[HS_ASSEMBLY_OPEN] = "open",
		[HS_ASSEMBLY_COMPLETE] = "complete",
		[HS_ASSEMBLY_PARTIAL] = "partial",
	};

	return (unsigned int)mark < HS_ASSEMBLY_NR_MARKS ? names[mark] : "?";
}

const char *hs_assembly_why_name(enum hs_assembly_why why)
{
	static const char *const names[HS_ASSEMBLY_NR_WHYS] = {
		[HS_ASSEMBLY_WHY_NO_MANIFEST] = "no manifest yet",
		[HS_ASSEMBLY_WHY_NO_ANSWER] = "no answer yet",
		[HS_ASSEMBLY_WHY_OPEN] = "still open",
		[HS_ASSEMBLY_WHY_MISSING] = "slices missing",
		[HS_ASSEMBLY_WHY_UNREACHABLE] = "unreachable",
		[HS_ASSEMBLY_WHY_GONE] = "gone",
		[HS_ASSEMBLY_WHY_UNKNOWN] = "unknown",
		[HS_ASSEMBLY_WHY_EVICTED] = "evicted",
		[HS_ASSEMBLY_WHY_LOST] = "lost",
		[HS_ASSEMBLY_WHY_ABANDONED] = "abandoned",
		[HS_ASSEMBLY_WHY_CRASHED] = "application died",
		[HS_ASSEMBLY_WHY_MODIFIED] = "modified",
		[HS_ASSEMBLY_WHY_CUT] = "cut",
		[HS_ASSEMBLY_WHY_WITHHELD] = "withheld",
		[HS_ASSEMBLY_WHY_DAMAGED] = "damaged in store",
	};

	return (unsigned int)why < HS_ASSEMBLY_NR_WHYS ? names[why] : "?";
}

const char *hs_assembly_state_name(uint16_t state)
{
	static const char *const names[] = {
		[HS_WIRE_STATE_UNREACHABLE] = "unreachable",
		[HS_WIRE_STATE_GONE] = "gone",
		[HS_WIRE_STATE_UNKNOWN] = "unknown",
		[HS_WIRE_STATE_OPEN] = "open",
		[HS_WIRE_STATE_CLOSED] = "closed",
	};

	return state <= HS_WIRE_STATE_CLOSED ? names[state] : "?";
}
