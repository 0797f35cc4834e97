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
#include <sys/resource.h>
#include <unistd.h>

#include "base/turns.h"
#include "tests/base/sched_attr.h"

/* A thread with a policy, that asks for short turns; what it was told, what
 * it is then, and what one is that it starts. It asserts nothing itself: that
 * is for the thread that runs the tests. */
struct thread {
	int policy, nice;
	int rc;
	struct attr before, after, childs;
};

static void *child(void *thread)
{
	struct thread *t = thread;

	t->rc |= attr_of(0, &t->childs);
	return NULL;
}

static void *ask(void *thread)
{
	const struct sched_param param = {0};
	struct thread *t = thread;
	pthread_t id;

	t->rc = sched_setscheduler(0, t->policy, &param) ||
		setpriority(PRIO_PROCESS, (id_t)gettid(), t->nice) ||
		attr_of(0, &t->before) || hs_turns_short() ||
		attr_of(0, &t->after) || pthread_create(&id, NULL, child, t) ||
		pthread_join(id, NULL);
	return NULL;
}

static struct attr mine(void)
{
	struct attr a;

	assert_int_equal(attr_of(0, &a), 0);
	return a;
}

static struct thread asked(int policy, int nice)
{
	struct thread t = {.policy = policy, .nice = nice};
	struct attr before = mine(), after;
	pthread_t id;

	assert_int_equal(pthread_create(&id, NULL, ask, &t), 0);
	assert_int_equal(pthread_join(id, NULL), 0);
	assert_int_equal(t.rc, 0);
	/* Nothing else is taken from it, and nothing from us. */
	assert_int_equal(t.after.policy, t.before.policy);
	assert_int_equal(t.after.flags, t.before.flags);
	assert_int_equal(t.after.nice, nice);
	after = mine();
	assert_memory_equal(&after, &before, sizeof(after));
	return t;
}

static void one_thread_and_its_children(void **state)
{
	struct thread t = asked(SCHED_OTHER, mine().nice < 19 ? 19 : 0);

	(void)state;
	if (has_slices()) {
		assert_int_equal(t.after.runtime_ns, HS_TURNS_SHORT_NS);
		assert_int_equal(t.childs.runtime_ns, HS_TURNS_SHORT_NS);
	}
	t = asked(SCHED_BATCH, 19);
	if (has_slices())
		assert_int_equal(t.after.runtime_ns, HS_TURNS_SHORT_NS);
}

/* One that is idle has no slices to speak of; one whose children are to begin
 * anew goes on so. */
static void other_policies_stay(void **state)
{
	struct thread t = asked(SCHED_IDLE, 19);

	(void)state;
	assert_int_equal(t.after.runtime_ns, t.before.runtime_ns);
	t = asked(SCHED_OTHER | SCHED_RESET_ON_FORK, 19);
	assert_int_equal(t.after.flags & 1, 1);
	if (has_slices())
		assert_int_not_equal(t.childs.runtime_ns, HS_TURNS_SHORT_NS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_thread_and_its_children),
		cmocka_unit_test(other_policies_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
