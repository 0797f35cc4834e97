/* SPDX-License-Identifier: Apache-2.0 */
/*
 * two_ends.h - slices from an outlet to an inlet, over two real ports
 *
 * 3,000 of up to 30 kB, each of its own length and place in a pool, every
 * hundredth of which is refused. What comes is held against the pool, in order;
 * a connection that goes down begins again with what is not settled.
 */
#ifndef HS_TESTS_TWO_ENDS_H
#define HS_TESTS_TWO_ENDS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/random.h"
#include "ship/inlet.h"
#include "ship/outlet.h"

#define POOL_BYTES (4u << 20)
#define SLICES	   3000u
#define FRAMES	   2048u

struct ends {
	struct hs_ship_inlet *inlet;
	struct hs_ship_outlet *outlet;
	uint8_t *pool;
	uint64_t keys[SLICES]; /* to be settled */
	uint32_t nr_keys, connection;
	uint32_t nr_taken, nr_settled, nr_refused, next, downs;
	uint32_t users; /* of what was lent: two in three */
	bool up;
	char address[64]; /* of the inlet */
};

static inline uint32_t length_of(uint64_t key)
{
	return (uint32_t)(key * 7919 % 30000);
}

static inline uint64_t place_of(uint64_t key)
{
	return key * 104729 % (POOL_BYTES - 30000);
}

static enum hs_ship_verdict on_slice(void *ctx, uint32_t connection,
				     const struct hs_wire_slice *head,
				     const struct hs_ship_span *spans,
				     uint32_t nr_spans)
{
	struct ends *w = ctx;
	const uint8_t *expect = w->pool + place_of(head->ship_key);

	assert_int_equal(head->ship_key, w->nr_taken);
	assert_int_equal(head->length_bytes, length_of(head->ship_key));
	for (uint32_t i = 0; i < nr_spans; i++) {
		assert_memory_equal(spans[i].data, expect, spans[i].bytes);
		expect += spans[i].bytes;
	}
	assert_int_equal(expect - w->pool - place_of(head->ship_key),
			 head->length_bytes);
	w->nr_taken++;
	if (head->ship_key % 100 == 99)
		return HS_SHIP_REFUSED;
	w->connection = connection;
	w->keys[w->nr_keys++] = head->ship_key;
	return HS_SHIP_TAKEN;
}

/* What was not settled at the agent comes again. */
static void on_up(void *ctx, uint32_t connection, uint64_t node)
{
	struct ends *w = ctx;

	assert_int_equal(node, 5);
	w->nr_taken = w->nr_settled;
	w->nr_keys = 0;
}

static void on_down(void *ctx, uint32_t connection, const char *why)
{
}

static const void *out_bytes(void *ctx, const struct hs_ship_slice *slice)
{
	return ((struct ends *)ctx)->pool + slice->where;
}

static void out_settled(void *ctx, const struct hs_ship_slice *slice,
			bool refused)
{
	struct ends *w = ctx;

	assert_int_equal(slice->head.ship_key, w->nr_settled);
	assert_int_equal(refused, slice->head.ship_key % 100 == 99);
	w->nr_settled++;
	w->nr_refused += refused;
}

static void out_up(void *ctx, uint32_t nr, uint64_t node)
{
	assert_int_equal(node, 9);
	((struct ends *)ctx)->up = true;
}

static void out_down(void *ctx, uint32_t nr, const char *why)
{
	struct ends *w = ctx;

	w->up = false;
	w->downs++;
	w->next = w->nr_settled;
}

/* From port @from, owned, to the inlet's address or one on the way there. */
static inline void ends_dial(struct ends *w, struct hs_ship_port *from)
{
	static const struct hs_ship_outlet_ops ops = {out_bytes, out_settled,
						      out_up, out_down};
	const struct hs_ship_outlet_config sender = {.sender = {.node = 5}};
	const char *why = "";

	w->outlet = hs_ship_outlet_create(from, &sender, &ops, w);
	assert_non_null(w->outlet);
	assert_int_equal(hs_ship_outlet_dial(w->outlet, w->address,
					     hs_clock_mono_ns(), &why),
			 0);
}

/* @bind: what @to was made with; it listens at @port there. Owns both. */
static inline void ends_begin(struct ends *w, const char *bind,
			      struct hs_ship_port *to, uint16_t port,
			      struct hs_ship_port *from)
{
	static const struct hs_ship_inlet_ops ops = {on_slice, on_up, on_down};
	const struct hs_ship_receiver_config receiver = {
		.node = 9,
		.frame_bytes = HS_SHIP_FRAME_MAX_BYTES,
		.nr_connections = 4,
		.nr_frames = FRAMES};
	struct hs_random random;

	memset(w, 0, sizeof(*w));
	w->pool = malloc(POOL_BYTES);
	assert_non_null(w->pool);
	hs_random_seed(&random, 1);
	hs_random_fill(&random, w->pool, POOL_BYTES);
	snprintf(w->address, sizeof(w->address), "%.*s:%u",
		 (int)(strrchr(bind, ':') - bind), bind, port);
	w->inlet = hs_ship_inlet_create(to, &receiver, &ops, w,
					hs_clock_mono_ns());
	assert_non_null(w->inlet);
	ends_dial(w, from);
}

static inline void ends_add(struct ends *w)
{
	while (w->up && w->next < SLICES) {
		struct hs_ship_slice slice = {
			.head = {.node = 5,
				 .ship_key = w->next,
				 .length_bytes = length_of(w->next)},
			.where = place_of(w->next),
			.users = w->next % 3 ? &w->users : NULL};

		if (hs_ship_outlet_add(w->outlet, 0, &slice))
			break;
		w->next++;
	}
}

static inline void ends_step(struct ends *w)
{
	uint32_t nr;

	hs_ship_outlet_run(w->outlet, hs_clock_mono_ns());
	hs_ship_inlet_run(w->inlet, 1000, &nr, hs_clock_mono_ns());
	for (uint32_t i = 0; i < w->nr_keys; i++)
		hs_ship_inlet_settle(w->inlet, w->connection, w->keys[i],
				     false);
	w->nr_keys = 0;
}

static inline void ends_end(struct ends *w)
{
	hs_ship_outlet_destroy(w->outlet);
	/* All of it was given back, however it ended. */
	assert_int_equal(w->users, 0);
	hs_ship_inlet_destroy(w->inlet);
	free(w->pool);
}

#endif
