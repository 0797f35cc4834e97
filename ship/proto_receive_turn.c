/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proto_receive_turn.c - whose slices are next while their taker is busy
 *
 * Slices go to the taker as they become whole, until it is busy. From then on
 * connections wait in a queue, those too whose slices become whole later, and
 * have turns of so many bytes (deficit round robin, Shreedhar and Varghese,
 * SIGCOMM'95). One that has had its turn goes to the end, and passes as many
 * turns there as its last slice took beyond it. One that is refused keeps its
 * place and its turn, and those behind it are offered nevertheless, since what
 * keeps the taker from one slice need not keep it from others. A turn is passed
 * by whom no such one is in front of, else only once as much was taken as is a
 * turn for all: a busy taker's refusals are no turns that others had. When
 * nobody waits, nothing is queued.
 *
 * Guarantees: a taker that takes a share of what comes takes about as many
 * bytes of each connection that has them, whatever place in the table, rate and
 * length of slices it has.
 */
#include "ship/proto_receive_priv.h"

static void join(struct hs_ship_receiver *r, struct receiver_connection *c)
{
	uint32_t nr = connection_nr(r, c);

	c->waits = true;
	c->joined_bytes = r->turns_bytes;
	c->before = r->turn_last;
	c->behind = RECEIVER_NONE;
	if (r->turn_last == RECEIVER_NONE)
		r->turn_first = nr;
	else
		r->connections[r->turn_last].behind = nr;
	r->turn_last = nr;
	r->nr_waiting++;
}

void hs_ship_receive_leave(struct hs_ship_receiver *r,
			   struct receiver_connection *c)
{
	if (!c->waits)
		return;
	c->waits = false;
	c->turn_bytes = 0;
	if (c->before == RECEIVER_NONE)
		r->turn_first = c->behind;
	else
		r->connections[c->before].behind = c->behind;
	if (c->behind == RECEIVER_NONE)
		r->turn_last = c->before;
	else
		r->connections[c->behind].before = c->before;
	r->nr_waiting--;
}

void hs_ship_receive_offer(struct hs_ship_receiver *r,
			   struct receiver_connection *c)
{
	enum receive_result result;

	if (c->waits)
		return;
	if (r->nr_waiting) {
		join(r, c);
		return;
	}
	result = hs_ship_receive_read(r, c);
	if (result == RECEIVE_STOP)
		join(r, c);
	else if (result == RECEIVE_BAD)
		hs_ship_receive_misbehaved(r, c);
}

static void to_the_end(struct hs_ship_receiver *r,
		       struct receiver_connection *c)
{
	uint32_t beyond = c->turn_bytes - RECEIVER_TURN_BYTES;

	hs_ship_receive_leave(r, c);
	join(r, c);
	/* No more than one slice is, however often it was the only one. */
	c->turn_bytes = beyond < HS_WIRE_SLICE_MAX_BYTES
				? beyond
				: HS_WIRE_SLICE_MAX_BYTES;
}

static bool is_beyond(const struct receiver_connection *c)
{
	return c->turn_bytes >= RECEIVER_TURN_BYTES;
}

/* Return: whether a slice was taken. */
static bool read_on(struct hs_ship_receiver *r, struct receiver_connection *c,
		    bool *refused)
{
	uint64_t before = c->slice;
	enum receive_result result;
	bool taken;

	result = hs_ship_receive_read(r, c);
	taken = c->slice != before;
	if (taken)
		hs_ship_receive_due(r, c);
	if (result == RECEIVE_BAD)
		hs_ship_receive_misbehaved(r, c);
	else if (result == RECEIVE_TURN)
		to_the_end(r, c);
	else if (result == RECEIVE_STOP)
		*refused = true;
	else if (!is_beyond(c))
		hs_ship_receive_leave(r, c);
	return taken;
}

/*
 * @refused: somebody in front of it was, this time
 * Return: whether anything changed by it.
 */
static bool turn(struct hs_ship_receiver *r, struct receiver_connection *c,
		 bool *refused)
{
	if (!is_beyond(c))
		return read_on(r, c, refused);
	if (*refused && r->turns_bytes - c->joined_bytes <
				(uint64_t)r->nr_waiting * RECEIVER_TURN_BYTES)
		return false;
	to_the_end(r, c);
	return true;
}

/* Nothing is taken of those whose turn it is: of somebody else? */
static bool turn_beyond(struct hs_ship_receiver *r)
{
	bool refused = false, taken = false;

	for (uint32_t nr = r->turn_first; nr != RECEIVER_NONE && !taken;) {
		struct receiver_connection *c = &r->connections[nr];

		nr = c->behind;
		taken = is_beyond(c) && read_on(r, c, &refused);
	}
	return taken;
}

void hs_ship_receive_turns(struct hs_ship_receiver *r)
{
	bool again = true;

	while (again && r->nr_waiting) {
		uint32_t left = r->nr_waiting, nr = r->turn_first;
		bool refused = false;

		again = false;
		while (left--) {
			struct receiver_connection *c = &r->connections[nr];

			nr = c->behind;
			again |= turn(r, c, &refused);
		}
		again = again || turn_beyond(r);
	}
}

bool hs_ship_receive_turns_check(const struct hs_ship_receiver *r)
{
	uint32_t last = RECEIVER_NONE, nr = r->turn_first, waiting = 0,
		 seen = 0;

	for (uint32_t i = 0; i < r->config.nr_connections; i++) {
		const struct receiver_connection *c = &r->connections[i];

		waiting += c->waits;
		/* What was refused waits, and so does what it holds. */
		if (c->whole && !c->waits)
			return false;
	}
	while (nr != RECEIVER_NONE && seen <= waiting) {
		const struct receiver_connection *c = &r->connections[nr];

		if (!c->waits || c->before != last)
			return false;
		last = nr;
		nr = c->behind;
		seen++;
	}
	return last == r->turn_last && seen == waiting &&
	       waiting == r->nr_waiting;
}
