/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_member.c - nodes that come, go, leave for good, and are listed
 *
 * A node that was up once, or that a list names, is known and kept. One that
 * left is remembered while there is room, so that its crumbs are answered with
 * "gone" and cost no timeout.
 */
#include "coordinator/core_internal.h"

#define NS_PER_S 1000000000ull
#define ASK	 HS_COORD_LINK(&c->visits, struct hs_coord_visit, ask)

uint16_t hs_coord_member_word(const struct hs_coord_core *c, uint32_t m)
{
	const struct hs_coord_member *member = hs_coord_member(c, m);

	if (member->left)
		return HS_WIRE_STATE_GONE;
	return c->all_listed && !member->known ? HS_WIRE_STATE_UNKNOWN
					       : HS_WIRE_STATE_UNREACHABLE;
}

static void know(struct hs_coord_core *c, struct hs_coord_member *member)
{
	member->left = false;
	if (member->known)
		return;
	member->known = true;
	c->nr_known++;
}

/* What the old connection was asked, the new one has to be asked again; and
 * an open trace of an earlier incarnation, whether it went on. */
static void member_up(struct hs_coord_core *c, uint32_t m, uint64_t node)
{
	struct hs_coord_member *member = hs_coord_member(c, m);

	member->up = node;
	member->has_table = false;
	for (uint32_t v = member->visits.head; v;
	     v = hs_coord_visit(c, v)->of_member.next) {
		struct hs_coord_visit *visit = hs_coord_visit(c, v);

		if (hs_coord_visit_waits(visit->state))
			hs_coord_ask(c, v);
		else if (visit->state == HS_COORD_VISIT_ANSWERED &&
			 visit->told == HS_WIRE_STATE_OPEN && visit->id < node)
			hs_coord_want(c, visit->trace, node, v);
	}
}

static void member_down(struct hs_coord_core *c, uint32_t m)
{
	struct hs_coord_member *member = hs_coord_member(c, m);

	member->up = 0;
	member->has_table = false;
	for (uint32_t v = member->visits.head; v;
	     v = hs_coord_visit(c, v)->of_member.next) {
		struct hs_coord_visit *visit = hs_coord_visit(c, v);

		if (!hs_coord_visit_waits(visit->state))
			continue;
		if (visit->queued)
			hs_coord_list_drop(&member->asks, ASK, v);
		visit->queued = false;
		hs_coord_ask(c, v);
	}
}

void hs_coord_core_node_up(struct hs_coord_core *c, uint64_t now_ns,
			   uint64_t node)
{
	uint32_t m = hs_coord_member_get(c, node);

	hs_coord_now(c, now_ns);
	/* Without a place it cannot be asked; it is heard all the same. */
	if (!m)
		return;
	know(c, hs_coord_member(c, m));
	c->nr_up += !hs_coord_member(c, m)->up;
	member_up(c, m, node);
	for (uint32_t v = hs_coord_member(c, m)->visits.head; v;
	     v = hs_coord_visit(c, v)->of_member.next)
		hs_coord_review(c, hs_coord_visit(c, v)->trace);
	hs_coord_run(c);
}

static void down(struct hs_coord_core *c, uint32_t m)
{
	hs_coord_seek_member_down(c, m);
	c->nr_up--;
	hs_coord_address_down(c, m);
	member_down(c, m);
}

void hs_coord_core_node_down(struct hs_coord_core *c, uint64_t now_ns,
			     uint64_t node)
{
	uint32_t m = hs_coord_member_find(c, node);

	hs_coord_now(c, now_ns);
	if (!m || hs_coord_member(c, m)->up != node)
		return;
	down(c, m);
	hs_coord_member_put(c, m);
	hs_coord_run(c);
}

/* What was said of it, or was going to be, is "gone" now. */
static void say_gone(struct hs_coord_core *c, uint32_t m)
{
	for (uint32_t v = hs_coord_member(c, m)->visits.head; v;
	     v = hs_coord_visit(c, v)->of_member.next) {
		const struct hs_coord_visit *visit = hs_coord_visit(c, v);

		if (visit->state == HS_COORD_VISIT_UNREACHABLE)
			hs_coord_changed(c, visit->trace);
		else if (visit->state == HS_COORD_VISIT_ASKED)
			hs_coord_ask(c, v);
		hs_coord_review(c, visit->trace);
	}
}

void hs_coord_core_node_left(struct hs_coord_core *c, uint64_t now_ns,
			     uint32_t number)
{
	uint32_t m = hs_coord_member_get(c, (uint64_t)number << 32);
	struct hs_coord_member *member;

	hs_coord_now(c, now_ns);
	if (!m)
		return;
	member = hs_coord_member(c, m);
	c->nr_known -= member->known;
	member->known = false;
	member->left = hs_coord_pool_left(&c->members) > c->members.nr / 4 ||
		       member->visits.head;
	c->stats.left++;
	hs_coord_address_drop(c, m);
	if (member->up)
		down(c, m);
	say_gone(c, m);
	hs_coord_member_put(c, m);
	hs_coord_run(c);
}

void hs_coord_core_node_listed(struct hs_coord_core *c, uint64_t now_ns,
			       uint32_t number)
{
	uint32_t m = hs_coord_member_get(c, (uint64_t)number << 32);

	hs_coord_now(c, now_ns);
	if (m)
		know(c, hs_coord_member(c, m));
}

void hs_coord_core_listing(struct hs_coord_core *c, bool all)
{
	c->all_listed = all;
}

bool hs_coord_member_pays(struct hs_coord_core *c, uint64_t node, uint32_t cost)
{
	uint32_t m = hs_coord_member_find(c, node);
	struct hs_coord_member *member = hs_coord_member(c, m);

	/* Without a place it has no account either; the table is full. */
	if (!m)
		return true;
	if (member->even_ns + HS_WIRE_BUDGET_SAVED_NS < c->now_ns)
		member->even_ns = c->now_ns - HS_WIRE_BUDGET_SAVED_NS;
	if (member->even_ns > c->now_ns)
		return false;
	member->even_ns += cost * (NS_PER_S / c->config.origin_per_s);
	return true;
}

uint64_t hs_coord_member_wait_ns(const struct hs_coord_core *c, uint64_t node)
{
	uint32_t m = hs_coord_member_find(c, node);
	uint64_t even_ns = m ? hs_coord_member(c, m)->even_ns : 0;

	return even_ns > c->now_ns ? even_ns - c->now_ns : 0;
}

void hs_coord_blame(struct hs_coord_core *c, uint32_t v, uint32_t m)
{
	hs_coord_visit(c, v)->blame = m;
	hs_coord_member(c, m)->nr_blamed++;
}

void hs_coord_unblame(struct hs_coord_core *c, uint32_t v)
{
	struct hs_coord_visit *visit = hs_coord_visit(c, v);

	if (!visit->blame)
		return;
	hs_coord_member(c, visit->blame)->nr_blamed--;
	visit->blame = 0;
}
