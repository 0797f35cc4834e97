/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_verbs_credit.c - no receive queue is overrun, nobody waits for ever
 *
 * Peers talk through one hub's queue in random order with frames under way;
 * whatever happened, all that waits is sent in the end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/random.h"
#include "rdma/verbs_credit.h"

#define PEERS  5
#define FLIGHT 256

/* Frames under way from one side to the other. */
struct wire {
	struct hs_verbs_frame frames[FLIGHT];
	uint32_t head, tail;
};

struct pair {
	struct hs_verbs_credit side[2]; /* 0: at the hub */
	struct wire to[2];		/* to that side */
	struct hs_verbs_pool own;	/* of side 1 */
	uint32_t waiting[2];		/* data frames to send */
	uint32_t arrived[2];
};

static struct pair pairs[PEERS];
static struct hs_verbs_pool hub;

static uint32_t in_flight(const struct wire *w)
{
	return w->tail - w->head;
}

static void open_all(uint32_t hub_depth, uint32_t own_depth)
{
	memset(pairs, 0, sizeof(pairs));
	hub = (struct hs_verbs_pool){.depth = hub_depth, .peers_max = PEERS};
	for (int i = 0; i < PEERS; i++) {
		struct pair *p = &pairs[i];

		p->own.depth = own_depth;
		p->own.peers_max = 1;
		assert_true(hs_verbs_credit_open(&p->side[0], &hub));
		assert_true(hs_verbs_credit_open(&p->side[1], &p->own));
		p->side[0].limit = p->side[1].granted;
		p->side[1].limit = p->side[0].granted;
	}
}

static void check(void)
{
	uint32_t to_hub = 0;

	for (int i = 0; i < PEERS; i++) {
		to_hub += in_flight(&pairs[i].to[0]);
		assert_true(in_flight(&pairs[i].to[1]) <= pairs[i].own.depth);
		assert_true(pairs[i].own.reserved <= pairs[i].own.depth);
	}
	assert_true(to_hub <= hub.depth);
	assert_true(hub.reserved <= hub.depth);
}

static bool send_one(struct pair *p, int side)
{
	struct hs_verbs_credit *c = &p->side[side];
	struct wire *w = &p->to[!side];
	bool data = p->waiting[side] && hs_verbs_credit_left(c);

	if (!data && !hs_verbs_credit_control_due(c))
		return false;
	if (data)
		p->waiting[side]--;
	w->frames[w->tail++ % FLIGHT] = hs_verbs_credit_put(
		c, data ? HS_VERBS_FRAME_DATA : HS_VERBS_FRAME_CONTROL,
		p->waiting[side] > 0);
	check();
	return true;
}

static bool take_one(struct pair *p, int side)
{
	struct wire *w = &p->to[side];
	const struct hs_verbs_frame *f;

	if (in_flight(w) == 0)
		return false;
	f = &w->frames[w->head++ % FLIGHT];
	if (f->kind == HS_VERBS_FRAME_DATA)
		p->arrived[side]++;
	assert_null(hs_verbs_credit_take(&p->side[side], f));
	return true;
}

static void settle(void)
{
	bool more = true;

	while (more) {
		more = false;
		for (int i = 0; i < PEERS; i++)
			for (int side = 0; side < 2; side++) {
				more |= send_one(&pairs[i], side);
				more |= take_one(&pairs[i], side);
			}
	}
}

static void random_talk(uint64_t seed, uint32_t hub_depth, uint32_t own_depth)
{
	uint32_t told[PEERS][2] = {{0}};
	struct hs_random r;

	hs_random_seed(&r, seed);
	open_all(hub_depth, own_depth);
	for (int step = 0; step < 4000; step++) {
		uint32_t i = (uint32_t)hs_random_below(&r, PEERS);
		int side = (int)hs_random_below(&r, 2);
		uint32_t n = 1;

		switch (hs_random_below(&r, 5)) {
		case 0:
			if (hs_random_below(&r, 20) == 0)
				n = 100;
			pairs[i].waiting[side] += n;
			told[i][side] += n;
			break;
		case 1:
			if (!pairs[i].waiting[side])
				hs_verbs_credit_idle(&pairs[i].side[side]);
			break;
		case 2:
		case 3:
			send_one(&pairs[i], side);
			break;
		default:
			take_one(&pairs[i], side);
			break;
		}
		check();
	}
	settle();
	for (int i = 0; i < PEERS; i++)
		for (int side = 0; side < 2; side++) {
			assert_int_equal(pairs[i].waiting[side], 0);
			assert_int_equal(pairs[i].arrived[!side],
					 told[i][side]);
		}
}

static void nobody_waits_for_ever(void **state)
{
	const uint32_t least = PEERS * HS_VERBS_SHARE;

	for (uint64_t seed = 1; seed <= 300; seed++)
		random_talk(seed, least + (uint32_t)(seed % 40),
			    HS_VERBS_SHARE + (uint32_t)(seed % 7));
}

static void idle_holds_one(void **state)
{
	const uint32_t share = HS_VERBS_SHARE;

	open_all(1000, 100);
	for (int i = 0; i < PEERS; i++)
		pairs[i].waiting[1] = 500;
	settle();
	assert_true(hub.reserved_max > PEERS * share);
	/* Giving back waits until a grant is answered: a PING does that. */
	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < PEERS; i++)
			for (int side = 0; side < 2; side++) {
				hs_verbs_credit_idle(&pairs[i].side[side]);
				pairs[i].waiting[side] = round < 3;
			}
		settle();
	}
	assert_int_equal(hub.reserved, PEERS * share);
	for (int i = 0; i < PEERS; i++) {
		assert_int_equal(hs_verbs_credit_left(&pairs[i].side[1]), 1);
		assert_int_equal(pairs[i].own.reserved, share);
		hs_verbs_credit_close(&pairs[i].side[0]);
	}
	assert_int_equal(hub.reserved, 0);
}

static void full_queue_refuses(void **state)
{
	struct hs_verbs_pool pool = {.depth = 2 * HS_VERBS_SHARE + 1,
				     .peers_max = 2};
	struct hs_verbs_credit c[3];

	assert_true(hs_verbs_credit_open(&c[0], &pool));
	assert_true(hs_verbs_credit_open(&c[1], &pool));
	assert_false(hs_verbs_credit_open(&c[2], &pool));
	hs_verbs_credit_close(&c[0]);
	assert_true(hs_verbs_credit_open(&c[2], &pool));
}

static const char *after(struct hs_verbs_frame f, uint32_t nr)
{
	const char *wrong = NULL;

	open_all(1000, 100);
	for (uint32_t i = 0; i < nr && !wrong; i++)
		wrong = hs_verbs_credit_take(&pairs[0].side[0], &f);
	return wrong;
}

static void rules(void **state)
{
	struct hs_verbs_frame good, f;

	open_all(1000, 100);
	good = hs_verbs_credit_put(&pairs[0].side[1], HS_VERBS_FRAME_DATA,
				   false);
	assert_null(after(good, HS_VERBS_CREDITS_OPEN));
	assert_string_equal(after(good, HS_VERBS_CREDITS_OPEN + 1),
			    "sent a frame without a credit");
	f = good;
	f.kind = HS_VERBS_FRAME_CONTROL;
	assert_null(after(f, HS_VERBS_CONTROLS));
	assert_string_equal(after(f, HS_VERBS_CONTROLS + 1),
			    "sent too many control frames");
	f = good;
	f.kind = 3;
	assert_string_equal(after(f, 1), "no such kind of frame");
	f = good;
	f.granted--;
	assert_string_equal(after(f, 1), "granted credits run backwards");
	f = good;
	f.granted += 1u << 21;
	assert_non_null(after(f, 1));
	f = good;
	f.control = 1;
	assert_string_equal(after(f, 1),
			    "answers control frames that were not sent");
	f = good;
	f.returned = HS_VERBS_CREDITS_OPEN; /* one is spent by this frame */
	assert_string_equal(after(f, 1),
			    "returns credits that it does not have");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_waits_for_ever),
		cmocka_unit_test(idle_holds_one),
		cmocka_unit_test(full_queue_refuses),
		cmocka_unit_test(rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
