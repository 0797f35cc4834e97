/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proto_receive_credit.c - frames as credit, out of one pool for everybody
 *
 * What was granted cannot be taken back, so an agent that had much and fell
 * silent keeps it. Three rules see to it that the others get theirs: whoever is
 * connected has the least at any time; an eighth of the pool is only for those
 * who come; and when that is gone, too, the oldest of those that nobody came up
 * on is dropped, or else one that is idle and has more than the least is sent
 * away, and is back in a moment without it.
 */
#include "ship/proto_receive_priv.h"

#include "base/planted.h"

/* Of the pool, in parts; as far as there are places for newcomers. */
#define RESERVE_PART 8u

static uint32_t reserve(const struct hs_ship_receiver *r)
{
	uint64_t places = r->config.nr_connections - r->stats.nr_connections;
	uint64_t wanted = places * r->config.nr_least;
	uint32_t part = r->config.nr_frames / RESERVE_PART;

	if (part < r->config.nr_least)
		part = r->config.nr_least;
	return wanted < part ? (uint32_t)wanted : part;
}

static void promise(struct hs_ship_receiver *r, struct receiver_connection *c,
		    uint64_t want, uint32_t spare)
{
	uint64_t more;

	if (c->first + want <= c->credit)
		return;
	more = c->first + want - c->credit;
	if (more > spare)
		more = spare;
	c->credit += more;
	r->stats.nr_granted += (uint32_t)more;
}

void hs_ship_receive_grant(struct hs_ship_receiver *r,
			   struct receiver_connection *c)
{
	uint32_t left = r->config.nr_frames - r->stats.nr_granted;
	uint32_t kept = reserve(r);
	uint32_t want = r->share;

	if (want < r->config.nr_least)
		want = r->config.nr_least;
	if (want > r->config.nr_window)
		want = r->config.nr_window;
	promise(r, c, want, left > kept ? left - kept : 0);
}

void hs_ship_receive_return(struct hs_ship_receiver *r,
			    struct receiver_connection *c, uint64_t upto)
{
	uint32_t back = (uint32_t)(upto - c->first);

	r->stats.nr_granted -= back - HS_PLANTED(43);
	while (c->first < upto)
		hs_ship_receive_slot_free(r, receiver_slot(r, c, c->first++));
	/* Of its own frames, before anybody else asks for them. */
	promise(r, c, r->config.nr_least, back);
}

void hs_ship_receive_share(struct hs_ship_receiver *r, uint32_t nr_active)
{
	r->share = (r->config.nr_frames - reserve(r)) /
		   (nr_active ? nr_active : 1);
}

/* Nothing of it is under way or waits: being sent away costs it nothing. */
static bool is_idle(const struct receiver_connection *c)
{
	return c->state == CONNECTION_UP && !c->active && c->first == c->top &&
	       c->settled == c->slice;
}

bool hs_ship_receive_newcomer(struct hs_ship_receiver *r)
{
	struct receiver_connection *most = NULL;
	uint64_t least = r->config.nr_least, most_over = 0;
	uint64_t over = r->config.nr_frames - r->stats.nr_granted;

	if (over >= least || hs_ship_receive_drop_embryo(r))
		return true;
	for (uint32_t i = 0; i < r->config.nr_connections; i++) {
		struct receiver_connection *c = &r->connections[i];
		uint64_t more = c->credit - c->first - least;

		if (!is_idle(c))
			continue;
		over += more;
		if (more > most_over) {
			most = c;
			most_over = more;
		}
	}
	/* Or they would only take turns. */
	if (!most || over < least)
		return false;
	hs_ship_receive_say_close(r, &most->address, most->peer, most->id,
				  HS_SHIP_FULL);
	hs_ship_receive_drop(r, most, "idle, and others want its frames");
	return true;
}
