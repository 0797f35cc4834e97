/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of spans that are literals (ADR 78): each is written and counted as
 * itself, also where another has its place in the table of them, and of the
 * service that the process has now.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/again.h"
#include "dataplane/handle.h"
#include "dataplane/operation.h"
#include "dataplane/resource.h"
#include "harness.h"

/* So many that some share a place, and each still has a number. */
#define NAMES 120u
#define TURNS 3u

static const struct hs_trace_id ID = {7, 8};
static struct fake_agent agent;

static void attach(const char *service)
{
	struct fake_config config = fake_config_default();
	const struct hs_client_options options = {.service = service};

	config.class_bytes[0] = 4096;
	config.class_bytes[1] = 0;
	config.pool_bytes = 8u << 20;
	config.ring_words = 1024;
	config.nr_rings = 1;
	config.lane_entries = 1024;
	config.nr_operations = HS_SHM_OPERATIONS_MAX;
	harness_attach(&agent, &config, &options);
	fake_agent_calibrate(&agent, 1, 0, 0);
	hs_client_poll();
	fake_agent_stock_all(&agent, 0, 100);
}

static size_t name_of(char out[24], uint32_t i)
{
	return (size_t)snprintf(out, 24, "name number %u", i);
}

/* Of no trace, from which nothing is learnt of a name. */
static void starts_nowhere(void)
{
	for (uint32_t i = 0; i < NAMES; i++) {
		struct hs_span s;
		char name[24];
		size_t n = name_of(name, i);

		hs_marked_start(NULL, &s, 0, hs_inline_mark(name, n), name);
		hs_span_end(&s);
	}
}

static void starts_and_ends(void)
{
	struct hs_trace *t = hs_trace_begin(&ID, NULL);

	for (uint32_t i = 0; i < TURNS * NAMES; i++) {
		struct hs_span s;
		char name[24];
		size_t n = name_of(name, i % NAMES);

		hs_marked_start(t, &s, 0, hs_inline_mark(name, n), name);
		hs_span_end(&s);
		fake_agent_drain(&agent);
	}
	hs_trace_end(t);
	hs_client_poll();
}

/* Starts that were written, whose names are the first @names in turns. */
struct starts {
	uint32_t names, nr;
};

static int name_good(void *context, const struct hs_record *r)
{
	struct starts *starts = context;
	char name[24];
	size_t n;

	if (r->type != HS_RECORD_SPAN_START)
		return 0;
	n = name_of(name, starts->nr++ % starts->names);
	assert_int_equal(r->u.start.name.len, n);
	assert_memory_equal(r->u.start.name.ptr, name, n);
	return 0;
}

static void written(uint32_t names, uint32_t nr_starts)
{
	static uint8_t scratch[HS_RECORD_SCRATCH_BYTES];
	static struct hs_record_buffer buffers[FAKE_BUFFERS_MAX];
	struct hs_record_stats stats = {0};
	struct starts starts = {.names = names};
	const struct hs_record_visitor visitor = {&starts, name_good};
	size_t nr;

	fake_agent_drain(&agent);
	nr = fake_agent_buffers(&agent, ID, 0, buffers, FAKE_BUFFERS_MAX);
	hs_record_read(buffers, nr, scratch, sizeof(scratch), &visitor, &stats);
	assert_int_equal(stats.garbage + stats.cut + stats.gaps, 0);
	assert_int_equal(starts.nr, nr_starts);
}

static void counted(const char *service, uint64_t times)
{
	const struct hs_shm_operation *all =
		(const void *)(fake_agent_watch(&agent) + 1);

	for (uint32_t i = 0; i < NAMES; i++) {
		const struct hs_shm_operation *o;
		struct hs_shm_tally tally;
		char name[24];

		name_of(name, i);
		o = fake_agent_operation(&agent, service, name);
		assert_non_null(o);
		assert_int_equal(
			fake_agent_tally(&agent, (uint32_t)(o - all), &tally),
			times);
	}
}

/* Some of them really have no place: else the test says nothing. */
static void test_each_as_itself(void **state)
{
	uint32_t nr_places = 0;

	attach("svc");
	starts_nowhere();
	starts_and_ends();
	written(NAMES, TURNS * NAMES);
	counted("svc", TURNS);
	for (uint32_t i = 0; i < HS_OPERATION_MARKS; i++)
		nr_places += hs_operation_marks[i].mark != 0;
	assert_in_range(nr_places, NAMES / 2, NAMES - 1);
	harness_detach(&agent);
}

static uint32_t place_of(const char *service)
{
	struct hs_resource *r = hs_resource_create(service, NULL, 0);
	uint32_t place;

	assert_non_null(r);
	place = hs_operation_mark_place(1, r->hash);
	hs_resource_destroy(r);
	return place;
}

/* Of another service, whose names have the places of the former one's. */
static void test_of_the_service_now(void **state)
{
	char service[24];
	uint32_t i = 0;

	do
		snprintf(service, sizeof(service), "another %u", i++);
	while (place_of(service) != place_of("svc"));
	attach(service);
	starts_and_ends();
	written(NAMES, TURNS * NAMES);
	counted(service, TURNS);
	harness_detach(&agent);
}

/* Where the numbers of buffers begin again, what the first one said is
 * forgotten. */
static void test_numbered_anew(void **state)
{
	struct hs_trace *t;
	char name[24];
	size_t n = name_of(name, 0);

	attach("svc");
	t = hs_trace_begin(&ID, NULL);
	t->again_buffer = 0;
	for (uint32_t i = 0; i < 4; i++) {
		struct hs_span s;

		hs_marked_start(t, &s, 0, hs_inline_mark(name, n), name);
		if (i != 1)
			continue;
		assert_int_equal(t->again_buffer, HS_AGAIN_BUFFER);
		t->again_buffer = 0u - HS_AGAIN_BUFFER;
		while (t->again_buffer != HS_AGAIN_BUFFER)
			hs_tracepoint(t, "................", 16);
	}
	hs_trace_end(t);
	written(1, 4);
	harness_detach(&agent);
}

/* Of a name whose place is nobody's. */
static uint64_t mark_of_free(char *name, size_t room)
{
	struct hs_resource *r = hs_resource_create("svc", NULL, 0);
	uint64_t mark;

	assert_non_null(r);
	for (uint32_t i = 0;; i++) {
		snprintf(name, room, "too many %u", i);
		mark = hs_inline_mark(name, strlen(name));
		if (!hs_operation_marks[hs_operation_mark_place(mark, r->hash)]
			     .taken)
			break;
	}
	hs_resource_destroy(r);
	return mark;
}

/* Last: nothing that comes has a number from here on. */
static void test_without_a_number(void **state)
{
	struct hs_trace *t;
	struct hs_span s;
	char name[24];
	uint64_t mark;

	attach("svc");
	t = hs_trace_begin(&ID, NULL);
	for (uint32_t i = 0; i < HS_SHM_OPERATIONS_MAX; i++) {
		snprintf(name, sizeof(name), "yet another %u", i);
		hs_sized_start(t, &s, name, strlen(name), 0);
	}
	mark = mark_of_free(name, sizeof(name));
	for (uint32_t i = 0; i < 2; i++) {
		hs_marked_start(t, &s, 0, mark, name);
		assert_int_equal(s.operation, 0);
		assert_int_not_equal(s.start_clock, 0);
	}
	for (uint32_t i = 0; i < HS_OPERATION_MARKS; i++)
		assert_true(hs_operation_marks[i].mark != mark);
	hs_trace_end(t);
	harness_detach(&agent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_as_itself),
		cmocka_unit_test(test_numbered_anew),
		cmocka_unit_test(test_of_the_service_now),
		cmocka_unit_test(test_without_a_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
