/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_turns.c - what the kernel says of a thread's slices, policy and nice
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/turns.h"

/* sched_attr, as sched_getattr(2) has it. */
struct attr {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime_ns, deadline_ns, period_ns;
};

static struct attr mine(void)
{
	struct attr a = {0};

	assert_int_equal(syscall(SYS_sched_getattr, 0, &a, sizeof(a), 0), 0);
	return a;
}

static bool has_slices(void)
{
	struct utsname name;
	int major = 0, minor = 0;

	assert_int_equal(uname(&name), 0);
	assert_int_equal(sscanf(name.release, "%d.%d", &major, &minor), 2);
	return major > 6 || (major == 6 && minor >= 12);
}

static void *slice_of(void *out)
{
	*(uint64_t *)out = mine().runtime_ns;
	return NULL;
}

/* On a thread of its own: nobody else's slices change, nor its nice value. */
static void *a_polite_thread(void *nice)
{
	struct attr a;

	assert_int_equal(
		setpriority(PRIO_PROCESS, (id_t)gettid(), *(int *)nice), 0);
	assert_int_equal(hs_turns_short(), 0);
	a = mine();
	assert_int_equal(a.policy, SCHED_OTHER);
	assert_int_equal(a.nice, *(int *)nice);
	if (has_slices()) {
		uint64_t childs = 0;
		pthread_t child;

		assert_int_equal(a.runtime_ns, HS_TURNS_SHORT_NS);
		assert_int_equal(
			pthread_create(&child, NULL, slice_of, &childs), 0);
		assert_int_equal(pthread_join(child, NULL), 0);
		assert_int_equal(childs, HS_TURNS_SHORT_NS);
	}
	return NULL;
}

static void one_thread_alone(void **state)
{
	struct attr before = mine(), after;
	int nice = before.nice < 19 ? before.nice + 1 : 19;
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, a_polite_thread, &nice),
			 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	after = mine();
	assert_int_equal(after.runtime_ns, before.runtime_ns);
	assert_int_equal(after.nice, before.nice);
}

static void *a_thread_by_another_policy(void *policy)
{
	const struct sched_param param = {0};

	assert_int_equal(sched_setscheduler(0, *(int *)policy, &param), 0);
	assert_int_equal(hs_turns_short(), 0);
	assert_int_equal(mine().policy, *(int *)policy);
	return NULL;
}

static void policies_stay(void **state)
{
	int policies[] = {SCHED_BATCH, SCHED_IDLE};
	pthread_t thread;

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pthread_create(&thread, NULL,
						a_thread_by_another_policy,
						&policies[i]),
				 0);
		assert_int_equal(pthread_join(thread, NULL), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_thread_alone),
		cmocka_unit_test(policies_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
