/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts of spans, in one pass where that can be (the first of a handle, the
 * next ones, those of another resource) and the long way where a name is long,
 * a time is given or there is no clock to stamp with: the same record each
 * time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/calibration.h"
#include "dataplane/clock.h"
#include "dataplane/handle.h"
#include "harness.h"

#define T0	   1000000000000000000ull
#define LINE_BYTES 128u

static const struct hs_trace_id ID = {0x1122334455667788, 0x99aabbccddeeff00};
static struct fake_agent agent;

static int setup(void **state)
{
	harness_attach(&agent, NULL, NULL);
	fake_agent_stock_all(&agent, 1, 32);
	return 0;
}

static int teardown(void **state)
{
	harness_detach(&agent);
	return 0;
}

/* A line for each start, without what differs from run to run. */
static int see(void *context, const struct hs_record *r)
{
	char *out = (char *)context + strlen(context);

	if (r->type == HS_RECORD_SPAN_START)
		snprintf(out, LINE_BYTES, "%u id=%llu parent=%llu %u %u %.*s\n",
			 (unsigned)r->ref, (unsigned long long)r->u.start.id,
			 (unsigned long long)r->u.start.parent_id,
			 (unsigned)r->u.start.resource, r->u.start.kind,
			 (int)r->u.start.name.len, r->u.start.name.ptr);
	return 0;
}

static void assert_starts(const char *wanted)
{
	static struct hs_record_buffer buffers[FAKE_BUFFERS_MAX];
	static uint8_t scratch[HS_RECORD_SCRATCH_BYTES];
	char lines[16 * LINE_BYTES] = "";
	struct hs_record_visitor visitor = {lines, see};
	struct hs_record_stats stats = {0};
	size_t nr;

	fake_agent_drain(&agent);
	nr = fake_agent_buffers(&agent, ID, 0, buffers, FAKE_BUFFERS_MAX);
	hs_record_read(buffers, nr, scratch, sizeof(scratch), &visitor, &stats);
	assert_int_equal(stats.garbage + stats.cut + stats.gaps +
				 stats.unknown + stats.skipped_bytes +
				 stats.bad_buffers,
			 0);
	assert_string_equal(lines, wanted);
}

#define LONG "a name that does not fit into what is copied in one pass"

static void every_kind_of_start(void)
{
	struct hs_resource *other = hs_resource_create("other", NULL, 0);
	struct hs_span_args args = {.size_bytes = sizeof(args),
				    .id = 7,
				    .parent_id = 6,
				    .name = "one"};
	struct hs_trace *t = hs_trace_begin(&ID, NULL);
	struct hs_span span[7];
	char wanted[1024];

	hs_span_start_args(t, &span[0], &args);
	args.kind = HS_SPAN_KIND_CLIENT;
	args.id = 8;
	hs_span_start_args(t, &span[1], &args);
	args.resource = other;
	args.name = NULL;
	hs_span_start_args(t, &span[2], &args);
	args.name = "more";
	args.name_bytes = 2;
	hs_span_start_args(t, &span[3], &args);
	args.name = LONG;
	args.name_bytes = 0;
	hs_span_start_args(t, &span[4], &args);
	args.has_start = true;
	args.start_ns = T0;
	args.name = "then";
	hs_span_start_args(t, &span[5], &args);
	args.has_start = false;
	args.resource = NULL;
	args.name = "one";
	args.id = 0;
	hs_span_start_args(t, &span[6], &args);
	assert_true(span[6].id != 0);
	for (uint32_t i = 0; i < 7; i++)
		assert_int_equal(span[i].ref, i);
	for (uint32_t i = 0; i < 7; i++)
		hs_span_end(&span[i]);
	hs_trace_end(t);
	hs_resource_destroy(other);
	snprintf(wanted, sizeof(wanted),
		 "0 id=7 parent=6 0 0 one\n"
		 "1 id=8 parent=6 0 3 one\n"
		 "2 id=8 parent=6 1 3 \n"
		 "3 id=8 parent=6 1 3 mo\n"
		 "4 id=8 parent=6 1 3 " LONG "\n"
		 "5 id=8 parent=6 1 3 then\n"
		 "6 id=%llu parent=6 0 3 one\n",
		 (unsigned long long)span[6].id);
	assert_starts(wanted);
}

static void test_by_ticks(void **state)
{
	fake_agent_calibrate(&agent, 3, hs_ticks(), T0);
	hs_client_poll();
	every_kind_of_start();
}

static void test_without_a_clock(void **state)
{
	every_kind_of_start();
}

/* A name that its trace wrote already says nothing of whose span it is. */
static void test_of_its_own_resource(void **state)
{
	struct hs_resource *other = hs_resource_create("other", NULL, 0);
	struct hs_span_args args = {.size_bytes = sizeof(args),
				    .id = 7,
				    .name = "theirs",
				    .resource = other};
	struct hs_span span[5];
	struct hs_trace *t;
	char wanted[512];

	fake_agent_calibrate(&agent, 3, hs_ticks(), T0);
	hs_client_poll();
	t = hs_trace_begin(&ID, NULL);
	/* The third takes the shortest way, and so would the fifth. */
	for (uint32_t i = 0; i < 5; i++) {
		if (i == 3)
			hs_span_start_args(t, &span[i], &args);
		else
			hs_span_start(t, &span[i], "ours", 0);
	}
	hs_trace_end(t);
	hs_resource_destroy(other);
	snprintf(wanted, sizeof(wanted),
		 "0 id=%llu parent=0 0 0 ours\n"
		 "1 id=%llu parent=0 0 0 ours\n"
		 "2 id=%llu parent=0 0 0 ours\n"
		 "3 id=7 parent=0 1 0 theirs\n"
		 "4 id=%llu parent=0 0 0 ours\n",
		 (unsigned long long)span[0].id, (unsigned long long)span[1].id,
		 (unsigned long long)span[2].id,
		 (unsigned long long)span[4].id);
	assert_starts(wanted);
}

/* Refs and resources that were written, which count up from 0. */
struct numbers {
	uint32_t nr_starts, last_resource;
};

static int count_up(void *context, const struct hs_record *r)
{
	struct numbers *n = context;

	if (r->type != HS_RECORD_SPAN_START)
		return 0;
	assert_int_equal(r->ref, n->nr_starts);
	n->nr_starts++;
	n->last_resource = (uint32_t)r->u.start.resource;
	return 0;
}

static struct numbers numbers_of(struct hs_trace *t)
{
	static struct hs_record_buffer buffers[FAKE_BUFFERS_MAX];
	static uint8_t scratch[HS_RECORD_SCRATCH_BYTES];
	struct numbers numbers = {0};
	struct hs_record_visitor visitor = {&numbers, count_up};
	struct hs_record_stats stats = {0};
	size_t nr;

	hs_trace_end(t);
	fake_agent_drain(&agent);
	nr = fake_agent_buffers(&agent, ID, 0, buffers, FAKE_BUFFERS_MAX);
	hs_record_read(buffers, nr, scratch, sizeof(scratch), &visitor, &stats);
	assert_int_equal(stats.garbage + stats.cut + stats.gaps, 0);
	return numbers;
}

/* More than a byte of a varint says. */
#define MANY 200u

static void test_many_spans(void **state)
{
	struct hs_trace *t;
	struct hs_span s;

	fake_agent_calibrate(&agent, 3, hs_ticks(), T0);
	hs_client_poll();
	t = hs_trace_begin(&ID, NULL);
	for (uint32_t i = 0; i < MANY; i++) {
		hs_span_start(t, &s, "ours", 0);
		fake_agent_drain(&agent);
	}
	assert_int_equal(numbers_of(t).nr_starts, MANY);
}

static void test_many_resources(void **state)
{
	struct hs_span_args args = {.size_bytes = sizeof(args),
				    .name = "theirs"};
	struct hs_resource *others[MANY];
	struct numbers numbers;
	struct hs_trace *t;
	struct hs_span s;

	fake_agent_calibrate(&agent, 3, hs_ticks(), T0);
	hs_client_poll();
	t = hs_trace_begin(&ID, NULL);
	for (uint32_t i = 0; i < MANY; i++) {
		others[i] = hs_resource_create("other", NULL, 0);
		assert_non_null(others[i]);
		args.resource = others[i];
		hs_span_start_args(t, &s, &args);
		fake_agent_drain(&agent);
	}
	for (uint32_t i = 0; i < 3; i++)
		hs_span_start(t, &s, "ours", 0);
	numbers = numbers_of(t);
	assert_int_equal(numbers.nr_starts, MANY + 3);
	assert_int_equal(numbers.last_resource, MANY);
	for (uint32_t i = 0; i < MANY; i++)
		hs_resource_destroy(others[i]);
}

#define LIVES	2u
#define HANDLES 3u
#define SPANS	200u
static int compare_ids(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Whatever way they are started, and in whichever life of which handle. */
static void test_no_two_ids_alike(void **state)
{
	static uint64_t ids[LIVES * HANDLES * SPANS];
	const uint32_t nr = LIVES * HANDLES * SPANS;
	struct hs_trace *t[HANDLES];
	struct hs_span s;
	uint32_t nr_ids = 0;
	char name[8];

	fake_agent_calibrate(&agent, 3, hs_ticks(), T0);
	hs_client_poll();
	for (uint32_t life = 0; life < LIVES; life++) {
		for (uint32_t h = 0; h < HANDLES; h++)
			t[h] = hs_trace_begin(&ID, NULL);
		for (uint32_t i = 0; i < SPANS; i++) {
			for (uint32_t h = 0; h < HANDLES; h++) {
				snprintf(name, sizeof(name), "%u", i % 7);
				if (i % 2)
					hs_span_start(t[h], &s, "literal", 0);
				else
					hs_span_start(t[h], &s, name, 0);
				assert_int_equal(s.ref, i);
				ids[nr_ids++] = s.id;
				hs_span_end(&s);
			}
			fake_agent_drain(&agent);
			fake_agent_stock_all(&agent, 1, 1);
		}
		for (uint32_t h = 0; h < HANDLES; h++)
			hs_trace_end(t[h]);
	}
	assert_int_equal(nr_ids, nr);
	qsort(ids, nr, sizeof(*ids), compare_ids);
	assert_true(ids[0] != 0);
	for (uint32_t i = 1; i < nr; i++)
		assert_true(ids[i] != ids[i - 1]);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_by_ticks),
		T(test_without_a_clock),
		T(test_of_its_own_resource),
		T(test_many_spans),
		T(test_many_resources),
		T(test_no_two_ids_alike),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
