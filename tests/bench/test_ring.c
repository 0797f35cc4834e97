/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: the ring that calls travel over: order, fullness, two threads. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>

#include "bench/services/ring.h"

#define MESSAGES 1000000u

static struct hs_svc_ring ring;

static void test_full_and_empty(void **state)
{
	struct hs_svc_end in = {.ring = &ring}, out = {.ring = &ring};

	assert_int_equal(hs_svc_ring_count(&out), 0);
	for (uint32_t i = 0; i < HS_SVC_RING_MESSAGES; i++)
		hs_svc_ring_put(&in)->slot = i;
	assert_null(hs_svc_ring_put(&in));
	/* Nobody sees what was not told. */
	assert_int_equal(hs_svc_ring_count(&out), 0);
	assert_true(hs_svc_ring_flush(&in));
	assert_false(hs_svc_ring_flush(&in));
	assert_int_equal(hs_svc_ring_count(&out), HS_SVC_RING_MESSAGES);
	assert_int_equal(hs_svc_ring_get(&out)->slot, 0);
	/* A place that is not given back is not to be had. */
	assert_null(hs_svc_ring_put(&in));
	hs_svc_ring_release(&out);
	assert_non_null(hs_svc_ring_put(&in));
	assert_null(hs_svc_ring_put(&in));
}

static void *produce(void *arg)
{
	struct hs_svc_end *in = arg;

	for (uint32_t i = 0; i < MESSAGES;) {
		struct hs_svc_message *m = hs_svc_ring_put(in);

		if (m) {
			m->slot = i;
			m->word = ~(uint64_t)i;
			i++;
		}
		if (!m || i % 7 == 0)
			hs_svc_ring_flush(in);
		if (!m)
			sched_yield();
	}
	hs_svc_ring_flush(in);
	return NULL;
}

static void test_two_threads(void **state)
{
	static struct hs_svc_ring other;
	struct hs_svc_end in = {.ring = &other}, out = {.ring = &other};
	pthread_t thread;
	uint32_t next = 0;

	assert_int_equal(pthread_create(&thread, NULL, produce, &in), 0);
	while (next < MESSAGES) {
		uint32_t n = hs_svc_ring_count(&out);

		for (uint32_t i = 0; i < n; i++) {
			const struct hs_svc_message *m = hs_svc_ring_get(&out);

			assert_int_equal(m->slot, next);
			assert_true(m->word == ~(uint64_t)next);
			next++;
		}
		if (n)
			hs_svc_ring_release(&out);
		else
			sched_yield();
	}
	pthread_join(thread, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full_and_empty),
		cmocka_unit_test(test_two_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
