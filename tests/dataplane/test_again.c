/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is written often is written once in a buffer (ADR 46): spans with texts
 * that come again, the short way and the long one, over buffers of a few
 * hundred bytes. All of it reads as it was written; and each buffer by itself
 * reads without what is in any other.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "harness.h"

#define SPANS 300u

static const struct hs_trace_id ID = {5, 6};
static struct fake_agent agent;

static const char *name_of(uint64_t ref)
{
	static const char *const names[] = {"GET /item", "select", "fetch",
					    "a name of more than thirty-two "
					    "bytes, the long way"};

	return names[ref % 7 % 4];
}

static const char *text_of(uint64_t ref, size_t key_bytes)
{
	static const char *const texts[] = {
		"", "on", "twelve bytes", "text/html; charset=utf-8",
		"a value that is longer than thirty-two bytes is"};

	return texts[(ref + key_bytes) % 11 % 5];
}

static const char *const keys[] = {"http.method", "db.statement", "x",
				   "our.own.key", "our.own.kex"};

static void span_write(struct hs_trace *t, bool timed, uint32_t i)
{
	struct hs_span_args args = {
		.size_bytes = sizeof(args),
		.name = name_of(i),
		.start_ns = 1000 + i,
		.has_start = true,
	};
	struct hs_span s;

	if (timed)
		hs_span_start_args(t, &s, &args);
	else
		hs_span_start(t, &s, name_of(i), 0);
	for (size_t k = 0; k < 5; k++)
		hs_span_attr_str(&s, keys[k], text_of(i, strlen(keys[k])));
	hs_span_attr_i64(&s, "our.number", (int64_t)i);
	hs_span_attr_bool(&s, "our.flag", i & 1);
	hs_span_attr_f64(&s, "our.ratio", i / 2.0);
	if (timed)
		hs_span_end_at(&s, 2000 + i);
	else
		hs_span_end(&s);
}

static int check(void *context, const struct hs_record *r)
{
	uint32_t *attrs = context;
	const struct hs_record_attr *a = &r->u.attr;
	const char *text;

	if (r->type == HS_RECORD_SPAN_START) {
		text = name_of(r->ref);
		assert_int_equal(r->u.start.name.len, strlen(text));
		assert_memory_equal(r->u.start.name.ptr, text, strlen(text));
	}
	if (r->type != HS_RECORD_ATTR)
		return 0;
	++*attrs;
	switch (a->type) {
	case HS_VALUE_STRING:
		text = text_of(r->ref, a->key.len);
		assert_int_equal(a->value.bytes.len, strlen(text));
		assert_memory_equal(a->value.bytes.ptr, text, strlen(text));
		break;
	case HS_VALUE_INT64:
		assert_memory_equal(a->key.ptr, "our.number", 10);
		assert_int_equal(a->value.i64, r->ref);
		break;
	case HS_VALUE_BOOL:
		assert_memory_equal(a->key.ptr, "our.flag", 8);
		assert_int_equal(a->value.b, r->ref & 1);
		break;
	default:
		assert_memory_equal(a->key.ptr, "our.ratio", 9);
		assert_true(a->value.f64 == (double)r->ref / 2.0);
	}
	return 0;
}

/* Return: bytes of the stream. */
static size_t write_and_read(bool timed)
{
	static uint8_t scratch[HS_RECORD_SCRATCH_BYTES];
	static struct hs_record_buffer buffers[FAKE_BUFFERS_MAX];
	struct hs_record_stats stats = {0};
	uint32_t attrs = 0, alone = 0;
	const struct hs_record_visitor visitor = {&attrs, check};
	const struct hs_record_visitor one = {&alone, check};
	struct hs_trace *t = hs_trace_begin(&ID, NULL);
	size_t bytes = 0, nr;

	for (uint32_t i = 0; i < SPANS; i++) {
		span_write(t, timed, i);
		fake_agent_drain(&agent);
	}
	hs_trace_end(t);
	fake_agent_drain(&agent);
	nr = fake_agent_buffers(&agent, ID, 0, buffers, FAKE_BUFFERS_MAX);
	hs_record_read(buffers, nr, scratch, sizeof(scratch), &visitor, &stats);
	assert_int_equal(stats.garbage + stats.cut + stats.gaps +
				 stats.skipped_bytes + stats.bad_buffers,
			 0);
	assert_int_equal(attrs, 8 * SPANS);
	memset(&stats, 0, sizeof(stats));
	for (size_t i = 0; i < nr; i++) {
		bytes += buffers[i].size_bytes - sizeof(struct hs_shm_buffer);
		hs_record_read(&buffers[i], 1, scratch, sizeof(scratch), &one,
			       &stats);
	}
	assert_int_equal(stats.garbage, 0);
	/* But for records that run on from one to the next. */
	assert_true(alone + stats.cut >= attrs);
	assert_true(nr > 20);
	return bytes;
}

static void with(uint32_t class_bytes, bool ticks, bool timed, double bound)
{
	struct fake_config config = fake_config_default();
	double n;

	config.class_bytes[0] = class_bytes;
	config.class_bytes[1] = 0;
	config.pool_bytes = 8u << 20;
	config.ring_words = 1024;
	config.nr_rings = 1;
	config.lane_entries = 1024;
	harness_attach(&agent, &config, NULL);
	if (ticks) {
		fake_agent_calibrate(&agent, 1, 0, 0);
		hs_client_poll();
	}
	fake_agent_stock_all(&agent, 0, 400);
	n = (double)write_and_read(timed) / SPANS;
	printf("%u, %s, %s: %.1f bytes a span\n", class_bytes,
	       ticks ? "ticks" : "ns", timed ? "timed" : "now", n);
	assert_true(n <= bound);
	harness_detach(&agent);
}

/* The bounds are what is reached and a little; in full it is 252 bytes. */
static void test_long_way(void **state)
{
	with(512, false, true, 226);
	with(1024, false, true, 215);
}

static void test_short_way(void **state)
{
	with(512, true, false, 240);
	with(1024, true, false, 222);
}

/* Both in one buffer. */
static void test_mixed(void **state)
{
	with(512, true, true, 235);
}

/* As long as its character twice says: at every place of a buffer full of that
 * stands this name. */
#define SAME "\b\b\b\b"

static int check_same(void *context, const struct hs_record *r)
{
	uint32_t *starts = context;

	if (r->type != HS_RECORD_SPAN_START)
		return 0;
	++*starts;
	assert_int_equal(r->u.start.name.len, strlen(SAME));
	assert_memory_equal(r->u.start.name.ptr, SAME, strlen(SAME));
	return 0;
}

/*
 * Buffers are full of what former holders wrote: a name is not taken for said
 * where the record itself is about to be written.
 */
static void test_left_by_others(void **state)
{
	static uint8_t scratch[HS_RECORD_SCRATCH_BYTES];
	static struct hs_record_buffer buffers[FAKE_BUFFERS_MAX];
	struct fake_config config = fake_config_default();
	struct hs_record_stats stats = {0};
	uint32_t starts = 0;
	const struct hs_record_visitor visitor = {&starts, check_same};
	struct hs_span_args args = {.size_bytes = sizeof(args),
				    .name = SAME,
				    .start_ns = 1000,
				    .has_start = true};
	struct hs_trace *t;
	struct hs_span s;

	config.class_bytes[0] = 512;
	config.class_bytes[1] = 0;
	config.nr_rings = 1;
	config.ring_words = 1024;
	config.lane_entries = 1024;
	assert_int_equal(strlen(SAME) << 1, SAME[0]);
	harness_attach(&agent, &config, NULL);
	fake_agent_stock_all(&agent, 0, 400);
	memset(agent.pool, SAME[0], config.pool_bytes);
	t = hs_trace_begin(&ID, NULL);
	for (uint32_t i = 0; i < 4 * SPANS; i++) {
		hs_tracepoint_at(t, 1, "................................",
				 i * 7 % 32);
		hs_span_start_args(t, &s, &args);
		fake_agent_drain(&agent);
	}
	hs_trace_end(t);
	fake_agent_drain(&agent);
	hs_record_read(
		buffers,
		fake_agent_buffers(&agent, ID, 0, buffers, FAKE_BUFFERS_MAX),
		scratch, sizeof(scratch), &visitor, &stats);
	assert_int_equal(stats.garbage + stats.cut + stats.gaps, 0);
	assert_int_equal(starts, 4 * SPANS);
	harness_detach(&agent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_long_way),
		cmocka_unit_test(test_short_way),
		cmocka_unit_test(test_mixed),
		cmocka_unit_test(test_left_by_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
