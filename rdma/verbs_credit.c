/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verbs_credit.c - see verbs_credit.h
 */
#include "rdma/verbs_credit.h"

#include <stddef.h>

/* No honest counter runs ahead of another by more. */
#define AHEAD_MAX (1u << 20)

/* What the peer may still send, or has sent and we have not taken. */
static uint32_t outstanding(const struct hs_verbs_credit *c)
{
	return c->granted - c->received - c->peer_returned;
}

/* The first credit stays reserved while it is in use, so that granting it
 * again can never fail. */
static uint32_t share(const struct hs_verbs_credit *c)
{
	uint32_t n = outstanding(c);

	return HS_VERBS_CONTROLS + (n ? n : 1);
}

static void reserve(struct hs_verbs_pool *p, uint32_t before, uint32_t after)
{
	p->reserved = p->reserved - before + after;
	if (p->reserved > p->reserved_max)
		p->reserved_max = p->reserved;
}

/* Beyond a peer's one, and beyond what peers to come will need. */
static uint32_t spare(const struct hs_verbs_pool *p)
{
	uint32_t to_come =
		p->peers_max > p->nr_peers ? p->peers_max - p->nr_peers : 0;
	uint32_t kept = p->reserved + to_come * HS_VERBS_SHARE;

	return kept < p->depth ? p->depth - kept : 0;
}

static void grant(struct hs_verbs_credit *c)
{
	uint32_t have = outstanding(c);
	uint32_t before = share(c);
	uint32_t more = have == 0 ? 1 : 0;
	uint32_t room = spare(c->pool);
	uint32_t wish = c->target > have + more ? c->target - have - more : 0;

	c->granted += more + (wish < room ? wish : room);
	reserve(c->pool, before, share(c));
}

bool hs_verbs_credit_open(struct hs_verbs_credit *c, struct hs_verbs_pool *pool)
{
	if (pool->depth - pool->reserved < HS_VERBS_SHARE)
		return false;
	*c = (struct hs_verbs_credit){
		.pool = pool,
		.target = HS_VERBS_CREDITS_OPEN,
	};
	pool->nr_peers++;
	reserve(pool, 0, share(c));
	grant(c);
	c->told_granted = c->granted; /* by the private data of the CM */
	return true;
}

void hs_verbs_credit_close(struct hs_verbs_credit *c)
{
	if (!c->pool)
		return;
	reserve(c->pool, share(c), 0);
	c->pool->nr_peers--;
	c->pool = NULL;
}

uint32_t hs_verbs_credit_left(const struct hs_verbs_credit *c)
{
	return c->limit - c->sent - c->returned;
}

static uint32_t unanswered(const struct hs_verbs_credit *c)
{
	return c->control_sent - c->control_answered;
}

bool hs_verbs_credit_control_may(const struct hs_verbs_credit *c)
{
	bool grants = outstanding(c) == 0 || c->granted != c->told_granted;

	return unanswered(c) == 0 ||
	       (grants && unanswered(c) < HS_VERBS_CONTROLS);
}

bool hs_verbs_credit_control_due(const struct hs_verbs_credit *c)
{
	uint32_t known = c->told_granted - c->received - c->peer_returned;
	uint32_t low = c->target / 2;
	bool grants;

	if (!hs_verbs_credit_control_may(c))
		return false;
	grants = known == 0 || (known <= low && spare(c->pool));
	return grants || c->returned != c->told_returned;
}

struct hs_verbs_frame hs_verbs_credit_put(struct hs_verbs_credit *c,
					  enum hs_verbs_frame_kind kind,
					  bool want)
{
	if (kind == HS_VERBS_FRAME_DATA)
		c->sent++;
	else
		c->control_sent++;
	grant(c);
	c->told_granted = c->granted;
	c->told_returned = c->returned;
	c->told_control = c->control_received;
	return (struct hs_verbs_frame){
		.kind = (uint16_t)kind,
		.flags = want ? HS_VERBS_FRAME_F_WANT : 0,
		.granted = c->granted,
		.returned = c->returned,
		.control = c->control_received,
	};
}

static const char *take_counters(struct hs_verbs_credit *c,
				 const struct hs_verbs_frame *f)
{
	uint32_t before = share(c);
	uint32_t back = f->returned - c->peer_returned;

	if (f->granted - c->limit > AHEAD_MAX)
		return "granted credits run backwards";
	if (f->granted - c->sent - c->returned > AHEAD_MAX)
		return "more credits than there can be";
	if (f->control - c->control_answered > unanswered(c))
		return "answers control frames that were not sent";
	if (back > outstanding(c))
		return "returns credits that it does not have";
	c->limit = f->granted;
	c->control_answered = f->control;
	c->peer_returned = f->returned;
	if (back)
		c->target = 1;
	reserve(c->pool, before, share(c));
	return NULL;
}

const char *hs_verbs_credit_take(struct hs_verbs_credit *c,
				 const struct hs_verbs_frame *f)
{
	uint32_t before = share(c);

	if (f->kind == HS_VERBS_FRAME_DATA) {
		if (outstanding(c) == 0)
			return "sent a frame without a credit";
		c->received++;
		reserve(c->pool, before, share(c));
		if (f->flags & HS_VERBS_FRAME_F_WANT &&
		    c->target < HS_VERBS_CREDITS_MAX)
			c->target *= 2;
	} else if (f->kind == HS_VERBS_FRAME_CONTROL) {
		if (c->control_received - c->told_control >= HS_VERBS_CONTROLS)
			return "sent too many control frames";
		c->control_received++;
	} else {
		return "no such kind of frame";
	}
	return take_counters(c, f);
}

bool hs_verbs_credit_idle(struct hs_verbs_credit *c)
{
	uint32_t left = hs_verbs_credit_left(c);

	if (left > 1)
		c->returned += left - 1;
	return c->returned != c->told_returned;
}
