/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_shm_ring.c - bytes through two memories: order, room, who is rung, what
 * a liar gets; and two sides that sleep whenever they may, in every order of
 * their looks at each other, and as threads
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "rdma/shm_ring.h"

/* Compiled in here, so that the other side can act between any two looks. */
void hs_shm_ring_hook(void);

struct pair {
	uint8_t *memory[2];
	struct hs_shm_ring side[2];
};

static int setup(void **state)
{
	struct pair *p = calloc(1, sizeof(*p));

	for (int i = 0; i < 2; i++)
		p->memory[i] = calloc(1, HS_RING_MEMORY_BYTES);
	for (int i = 0; i < 2; i++)
		hs_shm_ring_make(&p->side[i], p->memory[i], p->memory[1 - i]);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct pair *p = *state;

	free(p->memory[0]);
	free(p->memory[1]);
	free(p);
	return 0;
}

static struct hs_ring_words *words(struct pair *p, int side)
{
	return (struct hs_ring_words *)p->memory[side];
}

static uint8_t byte_at(uint64_t i)
{
	return (uint8_t)(i * 31 + (i >> 8));
}

static size_t put(struct hs_shm_ring *r, uint64_t *from, size_t size)
{
	static uint8_t data[2 * HS_RING_BYTES];
	struct iovec iov[2] = {{data, size / 3},
			       {data + size / 3, size - size / 3}};
	size_t n;

	for (size_t i = 0; i < size; i++)
		data[i] = byte_at(*from + i);
	n = hs_shm_ring_put(r, iov, 2);
	*from += n;
	return n;
}

static size_t get(struct hs_shm_ring *r, uint64_t *to, size_t size)
{
	static uint8_t data[2 * HS_RING_BYTES];
	size_t n = hs_shm_ring_get(r, data, size);

	for (size_t i = 0; i < n; i++)
		assert_int_equal(data[i], byte_at(*to + i));
	*to += n;
	return n;
}

/* Sizes that end everywhere, many times around. */
static void order(void **state)
{
	struct pair *p = *state;
	uint64_t from = 0, to = 0;

	for (size_t i = 0; to < 20ull * HS_RING_BYTES; i++) {
		put(&p->side[0], &from, i * 7919 % 40000);
		hs_shm_ring_publish(&p->side[0]);
		get(&p->side[1], &to, i * 104729 % 50000);
		hs_shm_ring_taken(&p->side[1]);
		assert_true(from - to <= HS_RING_BYTES);
	}
	assert_null(p->side[0].wrong);
	assert_null(p->side[1].wrong);
}

static void nothing_before_publish(void **state)
{
	struct pair *p = *state;
	uint64_t from = 0, to = 0;

	assert_int_equal(put(&p->side[0], &from, 100), 100);
	assert_int_equal(get(&p->side[1], &to, 100), 0);
	hs_shm_ring_publish(&p->side[0]);
	assert_int_equal(get(&p->side[1], &to, 1000), 100);
}

/* One ring for a sleep, and none for who is awake. */
static void rung_when_asleep(void **state)
{
	struct pair *p = *state;
	uint64_t from = 0, to = 0;

	put(&p->side[0], &from, 10);
	assert_false(hs_shm_ring_publish(&p->side[0]));
	assert_false(hs_shm_ring_sleep(&p->side[1])); /* there is something */
	assert_int_equal(get(&p->side[1], &to, 100), 10);
	assert_true(hs_shm_ring_sleep(&p->side[1]));
	put(&p->side[0], &from, 10);
	assert_true(hs_shm_ring_publish(&p->side[0]));
	put(&p->side[0], &from, 10);
	assert_false(hs_shm_ring_publish(&p->side[0])); /* rung already */
	assert_int_equal(get(&p->side[1], &to, 100), 20);
	put(&p->side[0], &from, 10);
	assert_false(hs_shm_ring_publish(&p->side[0])); /* still awake */
	assert_int_equal(hs_shm_ring_reasons(&p->side[1]), 2);
}

static void rung_for_room(void **state)
{
	struct pair *p = *state;
	uint64_t from = 0, to = 0;

	assert_int_equal(put(&p->side[0], &from, HS_RING_BYTES), HS_RING_BYTES);
	hs_shm_ring_publish(&p->side[0]);
	get(&p->side[1], &to, 10);
	assert_false(hs_shm_ring_taken(&p->side[1])); /* nobody waits yet */
	assert_int_equal(put(&p->side[0], &from, 100), 10);
	assert_int_equal(put(&p->side[0], &from, 100), 0);
	get(&p->side[1], &to, 50);
	assert_true(hs_shm_ring_taken(&p->side[1])); /* once */
	get(&p->side[1], &to, 10);
	assert_false(hs_shm_ring_taken(&p->side[1]));
	assert_int_equal(put(&p->side[0], &from, 100), 60);
	get(&p->side[1], &to, 1);
	assert_true(hs_shm_ring_taken(&p->side[1])); /* it waits anew */
}

static void head_that_lies(void **state)
{
	const uint64_t lies[] = {HS_RING_BYTES + 51, UINT64_MAX, 49,
				 1ull << 63};

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct pair *p = *state;
		uint64_t from = 0, to = 0;

		put(&p->side[0], &from, 50);
		hs_shm_ring_publish(&p->side[0]);
		assert_int_equal(get(&p->side[1], &to, 50), 50);
		words(p, 0)->head = lies[i];
		assert_int_equal(get(&p->side[1], &to, 50), 0);
		assert_non_null(p->side[1].wrong);
		/* Nothing passes from then on. */
		words(p, 0)->head = 60;
		assert_int_equal(get(&p->side[1], &to, 50), 0);
		assert_true(hs_shm_ring_sleep(&p->side[1]));
		teardown(state);
		setup(state);
	}
}

/* What kept us awake is there to be read, and no less than that. */
static void head_taken_back(void **state)
{
	struct pair *p = *state;
	uint64_t from = 0, to = 0;

	put(&p->side[0], &from, 50);
	hs_shm_ring_publish(&p->side[0]);
	assert_int_equal(get(&p->side[1], &to, 20), 20);
	assert_false(hs_shm_ring_sleep(&p->side[1]));
	words(p, 0)->head = 49;
	assert_int_equal(get(&p->side[1], &to, 50), 0);
	assert_non_null(p->side[1].wrong);
	assert_true(hs_shm_ring_sleep(&p->side[1]));
}

static void tail_that_lies(void **state)
{
	const uint64_t lies[] = {HS_RING_BYTES + 1, UINT64_MAX, 9};

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct pair *p = *state;
		uint64_t from = 0;

		put(&p->side[0], &from, HS_RING_BYTES);
		words(p, 1)->tail = 10;
		assert_int_equal(put(&p->side[0], &from, 10), 10);
		words(p, 1)->tail = i == 0 ? from + 1 : lies[i];
		assert_int_equal(put(&p->side[0], &from, 10), 0);
		assert_non_null(p->side[0].wrong);
		words(p, 1)->tail = 20;
		assert_int_equal(put(&p->side[0], &from, 10), 0);
		teardown(state);
		setup(state);
	}
}

/* The other side writes into ours: what counts is not there. */
static void ours_overwritten(void **state)
{
	struct pair *p = *state;
	uint64_t from = 0, to = 0;

	put(&p->side[0], &from, 100);
	memset(p->memory[0], 0xff, sizeof(struct hs_ring_words));
	hs_shm_ring_publish(&p->side[0]);
	assert_int_equal(get(&p->side[1], &to, 200), 100);
	memset(p->memory[1], 0xff, sizeof(struct hs_ring_words));
	hs_shm_ring_taken(&p->side[1]);
	hs_shm_ring_sleep(&p->side[1]);
	assert_int_equal(put(&p->side[0], &from, HS_RING_BYTES), HS_RING_BYTES);
	assert_null(p->side[0].wrong);
}

#define BYTES (300ull * HS_RING_BYTES)

/* One thread, and the other side acts wherever it could. */
struct stage {
	struct pair *pair;
	struct hs_random random;
	uint64_t from, to;
	bool asleep[2], rung[2];
	int acts; /* who does; -1: nobody */
	bool within;
};

static struct stage *stage;

static void act_writer(struct stage *s)
{
	struct hs_shm_ring *r = &s->pair->side[0];
	size_t size = 1 + hs_random_below(&s->random, 2 * HS_RING_BYTES);
	size_t n = put(r, &s->from, size);

	if (n && hs_shm_ring_publish(r))
		s->rung[1] = true;
	s->asleep[0] = n < size;
}

static void act_reader(struct stage *s)
{
	struct hs_shm_ring *r = &s->pair->side[1];
	size_t size = 1 + hs_random_below(&s->random, 2 * HS_RING_BYTES);

	if (!get(r, &s->to, size))
		s->asleep[1] = hs_shm_ring_sleep(r);
	else if (hs_shm_ring_taken(r))
		s->rung[0] = true;
}

/* Return: it was awake, or rung. */
static bool act(struct stage *s, int side)
{
	int was = s->acts;

	if (s->asleep[side] && !s->rung[side])
		return false;
	s->asleep[side] = s->rung[side] = false;
	s->acts = side;
	if (side)
		act_reader(s);
	else
		act_writer(s);
	s->acts = was;
	return true;
}

void hs_shm_ring_hook(void)
{
	struct stage *s = stage;

	if (!s || s->within || hs_random_below(&s->random, 3))
		return;
	s->within = true;
	act(s, 1 - s->acts);
	s->within = false;
}

static void in_every_order(void **state)
{
	struct pair *p = *state;
	struct stage s = {.pair = p};

	hs_random_seed(&s.random, 7);
	stage = &s;
	for (int i = 0; i < 8000; i++) {
		int side = (int)hs_random_below(&s.random, 2);

		if (!act(&s, side) && !act(&s, 1 - side))
			fail_msg("both sleep for ever, after %d acts", i);
	}
	stage = NULL;
	assert_null(p->side[0].wrong);
	assert_null(p->side[1].wrong);
}

struct thread {
	struct hs_shm_ring *r;
	sem_t *mine, *other;
	uint64_t rings;
};

static void ring(struct thread *t)
{
	t->rings++;
	sem_post(t->other);
}

static void *writer(void *arg)
{
	struct thread *t = arg;
	uint64_t from = 0;

	for (size_t i = 1; from < BYTES; i++) {
		size_t size = 1 + i * 7919 % 3000;
		size_t left = size < BYTES - from ? size : BYTES - from;

		while (left) {
			size_t n = put(t->r, &from, left);

			left -= n;
			if (n && hs_shm_ring_publish(t->r))
				ring(t);
			if (!n)
				sem_wait(t->mine);
		}
	}
	return NULL;
}

/* It sleeps as soon as there is nothing, and the writer as soon as there is no
 * room: one missed ring, and both sleep for ever. */
static void nobody_sleeps_for_ever(void **state)
{
	struct pair *p = *state;
	sem_t bells[2];
	struct thread w = {&p->side[0], &bells[0], &bells[1], 0};
	struct thread r = {&p->side[1], &bells[1], &bells[0], 0};
	pthread_t thread;
	uint64_t to = 0;

	sem_init(&bells[0], 0, 0);
	sem_init(&bells[1], 0, 0);
	assert_int_equal(pthread_create(&thread, NULL, writer, &w), 0);
	while (to < BYTES) {
		if (get(r.r, &to, 5000)) {
			if (hs_shm_ring_taken(r.r))
				ring(&r);
		} else if (hs_shm_ring_sleep(r.r)) {
			sem_wait(r.mine);
		}
	}
	pthread_join(thread, NULL);
	assert_null(w.r->wrong);
	assert_null(r.r->wrong);
	assert_true(w.rings <= hs_shm_ring_reasons(r.r));
	assert_true(r.rings <= hs_shm_ring_reasons(w.r));
	sem_destroy(&bells[0]);
	sem_destroy(&bells[1]);
}

#define each(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		each(order),
		each(nothing_before_publish),
		each(rung_when_asleep),
		each(rung_for_room),
		each(head_that_lies),
		each(head_taken_back),
		each(tail_that_lies),
		each(ours_overwritten),
		each(in_every_order),
		each(nobody_sleeps_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
