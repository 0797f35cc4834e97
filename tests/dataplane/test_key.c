/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attribute keys that are literals (ADR 78): what is written and judged is what
 * it would be of any other text, in each buffer by itself, also where the table
 * of them is full.
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
#include "dataplane/key.h"
#include "dataplane/rules.h"
#include "dataplane/rules_shared.h"
#include "harness.h"

#define TIMES 60u
/* More than the shortest kind of record has refs for. */
#define SPANS 150u

static const struct hs_trace_id ID = {5, 6};
static struct fake_agent agent;

/* A text that the compiler knows nothing of. */
static const char *hidden(const char *text)
{
	__asm__ volatile("" : "+r"(text));
	return text;
}

#define ONE_OF_EACH(span, text_of, i)                                          \
	do {                                                                   \
		hs_span_attr_str(span, text_of("http.method"), "GET");         \
		hs_span_attr_str(span, text_of("http.target"),                 \
				 (i) % 3 ? "/item/12" : "/item/13");           \
		hs_span_attr_str(span, text_of("our.own.key"),                 \
				 (i) % 5 ? "a value" : "another one");         \
		hs_span_attr_str(span, text_of("x"), "");                      \
		hs_span_attr_i64(span, text_of("http.status_code"),            \
				 200 + (int64_t)(i));                          \
		hs_span_attr_i64(span, text_of("bytes"), -(int64_t)(i));       \
		hs_span_attr_bool(span, text_of("cached"), (i)&1);             \
		hs_span_attr_f64(span, text_of("a ratio of two"), (i) / 2.0);  \
		hs_span_attr_i64(span,                                         \
				 text_of("a key that is longer than "          \
					 "thirty-two bytes"),                  \
				 (i));                                         \
		hs_span_attr_str(span, text_of("http.url"),                    \
				 "a value that is longer than thirty-two "     \
				 "bytes is");                                  \
	} while (0)
#define AS_IT_IS(text) text

static void attach(uint32_t class_bytes)
{
	struct fake_config config = fake_config_default();

	config.class_bytes[0] = class_bytes;
	config.class_bytes[1] = 0;
	config.pool_bytes = 8u << 20;
	config.ring_words = 1024;
	config.nr_rings = 1;
	config.lane_entries = 1024;
	harness_attach(&agent, &config, NULL);
	fake_agent_calibrate(&agent, 1, 0, 0);
	hs_client_poll();
	fake_agent_stock_all(&agent, 0, class_bytes > 1024 ? 40 : 800);
}

/* What was written of attributes, in order. */
static char *attrs_of(struct hs_trace *t)
{
	struct hs_record_stats stats;
	const char *text;
	char *out, *to;

	hs_trace_end(t);
	text = harness_text(&agent, ID, 0, &stats);
	assert_int_equal(stats.garbage + stats.cut + stats.gaps +
				 stats.skipped_bytes + stats.bad_buffers,
			 0);
	to = out = calloc(1, strlen(text) + 1);
	assert_non_null(out);
	for (const char *end; *text; text = end + 1) {
		end = strchr(text, '\n');
		assert_non_null(end);
		if (!strncmp(text, "attr", 4)) {
			memcpy(to, text, (size_t)(end + 1 - text));
			to += end + 1 - text;
		}
	}
	return out;
}

/* @buffer: as the handle's were numbered so far. */
static char *write_all(bool literal, uint32_t class_bytes, uint32_t buffer)
{
	struct hs_trace *t;
	char *text;

	attach(class_bytes);
	t = hs_trace_begin(&ID, NULL);
	if (buffer)
		t->again_buffer = buffer;
	for (uint32_t i = 0; i < SPANS; i++) {
		struct hs_span s;

		hs_span_start(t, &s, "op", 0);
		if (literal)
			ONE_OF_EACH(&s, AS_IT_IS, i);
		else
			ONE_OF_EACH(&s, hidden, i);
		hs_span_end(&s);
		fake_agent_drain(&agent);
	}
	text = attrs_of(t);
	harness_detach(&agent);
	return text;
}

static void test_same_as_any_other(void **state)
{
	static const uint32_t sizes[] = {512, 1024, 65536};

	for (size_t i = 0; i < 3; i++) {
		char *any = write_all(false, sizes[i], 0);
		char *literal = write_all(true, sizes[i], 0);
		char *wraps =
			write_all(true, sizes[i], 0u - 3 * HS_AGAIN_BUFFER);

		assert_true(strlen(any) > 1000);
		assert_string_equal(literal, any);
		assert_string_equal(wraps, any);
		free(any);
		free(literal);
		free(wraps);
	}
}

static const char *const names[] = {"GET /item", "op",
				    "a name that is longer than thirty-two "
				    "bytes is"};

static void start(struct hs_trace *t, struct hs_span *s, uint32_t i)
{
	switch (i % 4) {
	case 0:
		hs_span_start(t, s, "GET /item", 0);
		break;
	case 1:
		hs_span_start(t, s, "op", 0);
		break;
	case 2:
		hs_span_start(t, s,
			      "a name that is longer than thirty-two "
			      "bytes is",
			      0);
		break;
	default:
		hs_span_start(t, s, hidden(names[0]), 0);
	}
}

static int count_attr(void *context, const struct hs_record *r)
{
	uint32_t *nr = context;

	if (r->type == HS_RECORD_SPAN_START) {
		const char *name = names[r->ref % 4 % 3];

		assert_int_equal(r->u.start.name.len, strlen(name));
		assert_memory_equal(r->u.start.name.ptr, name, strlen(name));
	}

	*nr += r->type == HS_RECORD_ATTR;
	return 0;
}

/* What is said again was said in the same buffer; and however an operation is
 * named, it is counted as one. */
static void test_each_buffer_alone(void **state)
{
	static uint8_t scratch[HS_RECORD_SCRATCH_BYTES];
	static struct hs_record_buffer buffers[FAKE_BUFFERS_MAX];
	struct hs_record_stats stats = {0};
	uint32_t nr_attrs = 0;
	const struct hs_record_visitor visitor = {&nr_attrs, count_attr};
	const struct hs_shm_operation *o;
	struct hs_shm_tally tally;
	struct hs_trace *t;
	size_t nr;

	attach(512);
	t = hs_trace_begin(&ID, NULL);
	for (uint32_t i = 0; i < TIMES; i++) {
		struct hs_span s;

		start(t, &s, i);
		ONE_OF_EACH(&s, AS_IT_IS, i);
		hs_span_end(&s);
		fake_agent_drain(&agent);
	}
	hs_client_poll();
	for (size_t i = 0; i < 3; i++) {
		o = fake_agent_operation(&agent, "svc", names[i]);
		assert_non_null(o);
		assert_int_equal(
			fake_agent_tally(
				&agent,
				(uint32_t)(o - (const struct hs_shm_operation
							*)(fake_agent_watch(
								   &agent) +
							   1)),
				&tally),
			i ? TIMES / 4 : TIMES / 2);
	}
	hs_trace_end(t);
	fake_agent_drain(&agent);
	nr = fake_agent_buffers(&agent, ID, 0, buffers, FAKE_BUFFERS_MAX);
	assert_true(nr > 10);
	for (size_t i = 0; i < nr; i++)
		hs_record_read(&buffers[i], 1, scratch, sizeof(scratch),
			       &visitor, &stats);
	assert_int_equal(stats.garbage, 0);
	assert_true(nr_attrs + stats.cut >= 10 * TIMES);
	harness_detach(&agent);
}

/* The same bytes by any key but of another type, before a literal's text. */
static void test_types_apart(void **state)
{
	static const struct hs_attr bytes = {
		.key = "http.method",
		.type = HS_VALUE_BYTES,
		.value = {.bytes = {.data = "GET", .size_bytes = 3}},
	};
	char *text, *line, *end;
	struct hs_trace *t;
	struct hs_span s;

	attach(1024);
	t = hs_trace_begin(&ID, NULL);
	hs_span_start(t, &s, "op", 0);
	hs_span_attr_str(&s, "http.method", "GET");
	hs_span_attr(&s, &bytes);
	hs_span_attr_str(&s, "http.method", "GET");
	hs_span_end(&s);
	text = line = attrs_of(t);
	for (uint32_t i = 0; i < 3; i++, line = end + 1) {
		end = strchr(line, '\n');
		assert_non_null(end);
		*end = '\0';
		if (!strstr(line, i == 1 ? "=y:GET" : "=s:GET"))
			fail_msg("%s", line);
	}
	free(text);
	harness_detach(&agent);
}

static int by_value(const void *a, const void *b)
{
	uint64_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return x < y ? -1 : x > y;
}

/* Texts that differ in a few of their bytes, of which some could make good in
 * the second word what others changed in the first. */
static void test_marks_apart(void **state)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789._";
	const size_t nr = sizeof(letters) - 1, all = nr * nr * nr * nr;
	char key[] = "cache.l1.hits.l2";
	uint64_t *marks = calloc(all, sizeof(*marks));

	assert_non_null(marks);
	for (size_t i = 0; i < all; i++) {
		key[7] = letters[i % nr];
		key[11] = letters[i / nr % nr];
		key[12] = letters[i / nr / nr % nr];
		key[15] = letters[i / nr / nr / nr];
		marks[i] = hs_inline_mark(key, sizeof(key) - 1);
	}
	qsort(marks, all, sizeof(*marks), by_value);
	assert_true(marks[0]);
	for (size_t i = 1; i < all; i++)
		assert_true(marks[i] != marks[i - 1]);
	free(marks);
}

/* More keys than there are places, twice: the second time most are there. */
static void test_more_than_there_is_room_for(void **state)
{
	struct hs_trace *t;
	uint32_t seen = 0;
	char *text, *line;

	attach(65536);
	t = hs_trace_begin(&ID, NULL);
	for (uint32_t i = 0; i < 4 * HS_KEY_PLACES; i++) {
		uint32_t k = i % (2 * HS_KEY_PLACES);
		struct hs_span s;
		char key[24];
		size_t n;

		n = (size_t)snprintf(key, sizeof(key), "key number %u", k);
		hs_span_start(t, &s, "op", 0);
		hs_marked_attr_i64(&s, k, hs_inline_mark(key, n), key);
		fake_agent_drain(&agent);
	}
	text = line = attrs_of(t);
	for (char *end; *line; line = end + 1, seen++) {
		char want[64];

		end = strchr(line, '\n');
		*end = '\0';
		snprintf(want, sizeof(want), "key number %u=i:%u",
			 seen % (2 * HS_KEY_PLACES),
			 seen % (2 * HS_KEY_PLACES));
		if (!strstr(line, want))
			fail_msg("%s instead of %s", line, want);
	}
	assert_int_equal(seen, 4 * HS_KEY_PLACES);
	free(text);
	harness_detach(&agent);
}

static const struct hs_shm_rules RULES = {
	.version = HS_SHM_RULES_VERSION,
	.nr_rules = 5,
	.nr_tests = 4,
	.rules =
		{
			{.trigger = "code", .statuses = 7, .tests = 1},
			{.trigger = "text",
			 .statuses = 7,
			 .slot = 1,
			 .tests = 2},
			{.trigger = "flag",
			 .statuses = 7,
			 .slot = 2,
			 .tests = 4},
			{.trigger = "said",
			 .statuses = 7,
			 .slot = 3,
			 .tests = 8},
			{.trigger = "failed",
			 .statuses = 1u << HS_SPAN_STATUS_ERROR,
			 .slot = 4},
		},
	.tests =
		{
			{.key = "our.code",
			 .numeric = 1,
			 .op = HS_SHM_TEST_AT_LEAST,
			 .number = 500},
			{.key = "http.method",
			 .op = HS_SHM_TEST_EQUAL,
			 .text = "PUT"},
			{.key = "flag",
			 .op = HS_SHM_TEST_EQUAL,
			 .text = "true"},
			{.key = "error", .op = HS_SHM_TEST_EXISTS},
		},
};

/* Return: where it counts what fired. */
static const struct hs_shm_watch *
attach_judged(const struct hs_shm_rules *rules)
{
	attach(1024);
	hs_rules_shared_write(fake_agent_rules(&agent), rules, 2);
	hs_client_poll();
	return fake_agent_watch(&agent);
}

#define JUDGED(text_of, code, method, flag)                                    \
	do {                                                                   \
		struct hs_trace *t = hs_trace_begin(NULL, NULL);               \
		struct hs_span s;                                              \
                                                                               \
		hs_span_start(t, &s, "op", 0);                                 \
		hs_span_attr_i64(&s, text_of("our.code"), code);               \
		hs_span_attr_str(&s, text_of("http.method"), method);          \
		hs_span_attr_bool(&s, text_of("flag"), flag);                  \
		hs_span_end(&s);                                               \
		hs_trace_end(t);                                               \
	} while (0)

static void test_judged_alike(void **state)
{
	const struct hs_shm_watch *w = attach_judged(&RULES);

	JUDGED(AS_IT_IS, 499, "GET", false);
	JUDGED(hidden, 499, "GET", false);
	assert_int_equal(w->fired[0] + w->fired[1] + w->fired[2], 0);
	JUDGED(AS_IT_IS, 500, "PUT", true);
	assert_int_equal(w->fired[0], 1);
	assert_int_equal(w->fired[1], 1);
	assert_int_equal(w->fired[2], 1);
	JUDGED(hidden, 500, "PUT", true);
	assert_int_equal(w->fired[0], 2);
	assert_int_equal(w->fired[1], 2);
	assert_int_equal(w->fired[2], 2);
	harness_detach(&agent);
}

/* A key of which nobody asks, with the bit (rules.h) of one that is asked. */
static void test_judged_apart(void **state)
{
	const struct hs_shm_watch *w = attach_judged(&RULES);
	struct hs_trace *t;
	struct hs_span s;

	assert_int_equal(hs_rules_key_bit("frog", 4),
			 hs_rules_key_bit("flag", 4));
	t = hs_trace_begin(NULL, NULL);
	hs_span_start(t, &s, "op", 0);
	hs_span_attr_bool(&s, "frog", true);
	hs_span_attr_i64(&s, "one.code", 500);
	hs_span_end(&s);
	assert_int_equal(w->fired[0] + w->fired[2], 0);
	/* It says that a span failed, also where a rule asks of it. */
	hs_span_start(t, &s, "op", 0);
	hs_span_attr_bool(&s, "error", true);
	hs_span_end(&s);
	hs_trace_end(t);
	assert_int_equal(w->fired[3], 1);
	assert_int_equal(w->fired[4], 1);
	harness_detach(&agent);
}

/* Two rules ask of one key, and a literal is written twice. */
static void test_judged_by_several(void **state)
{
	static const struct hs_shm_rules table = {
		.version = HS_SHM_RULES_VERSION,
		.nr_rules = 3,
		.nr_tests = 3,
		.rules = {{.trigger = "high", .statuses = 7, .tests = 1},
			  {.trigger = "low",
			   .statuses = 7,
			   .slot = 1,
			   .tests = 2},
			  {.trigger = "deep",
			   .statuses = 7,
			   .slot = 2,
			   .tests = 4}},
		.tests = {{.key = "our.code",
			   .numeric = 1,
			   .op = HS_SHM_TEST_AT_LEAST,
			   .number = 500},
			  {.key = "our.code",
			   .numeric = 1,
			   .op = HS_SHM_TEST_LESS,
			   .number = 100},
			  {.key = "depth",
			   .numeric = 1,
			   .op = HS_SHM_TEST_MORE,
			   .number = 9}},
	};
	const struct hs_shm_watch *w = attach_judged(&table);
	struct hs_trace *t;
	struct hs_span s;

	t = hs_trace_begin(NULL, NULL);
	hs_span_start(t, &s, "op", 0);
	hs_span_attr_i64(&s, "our.code", 600);
	hs_span_attr_i64(&s, "our.code", 99);
	hs_span_attr_i64(&s, "depth", 10);
	hs_span_attr_i64(&s, "depth", 9);
	hs_span_end(&s);
	assert_int_equal(w->fired[0] + w->fired[2], 0);
	assert_int_equal(w->fired[1], 1);
	hs_span_start(t, &s, "op", 0);
	hs_span_attr_i64(&s, "our.code", 500);
	hs_span_attr_i64(&s, "depth", 10);
	hs_span_end(&s);
	hs_trace_end(t);
	assert_int_equal(w->fired[0], 1);
	assert_int_equal(w->fired[2], 1);
	harness_detach(&agent);
}

/* Values that begin as another of the same key does. */
static void test_values_apart(void **state)
{
	static const char *const values[] = {"GETTER", "GET", "GETTER", "GET"};
	char *text, *line, *end;
	struct hs_trace *t;
	struct hs_span s;

	attach(1024);
	t = hs_trace_begin(&ID, NULL);
	hs_span_start(t, &s, "op", 0);
	for (size_t i = 0; i < 4; i++)
		hs_span_attr_str(&s, "http.method", values[i]);
	hs_span_end(&s);
	text = line = attrs_of(t);
	for (size_t i = 0; i < 4; i++, line = end + 1) {
		char want[64];

		snprintf(want, sizeof(want), "http.method=s:%s\n", values[i]);
		end = strchr(line, '\n');
		assert_non_null(end);
		if (!strstr(line, want) || strstr(line, want) > end)
			fail_msg("%s", line);
	}
	free(text);
	harness_detach(&agent);
}

/* Both sides of where an integer takes another digit, or another way. */
static void test_digits(void **state)
{
	static const int64_t values[] = {0,	63,	   64,	     8191, 8192,
					 16383, 16384,	   1 << 20,  -1,   -64,
					 -8192, INT64_MAX, INT64_MIN};
	const size_t nr = sizeof(values) / sizeof(*values);
	char *text, *line, *end;
	struct hs_trace *t;
	struct hs_span s;

	attach(4096);
	t = hs_trace_begin(&ID, NULL);
	hs_span_start(t, &s, "op", 0);
	for (size_t i = 0; i < nr; i++) {
		hs_span_attr_i64(&s, "http.status_code", values[i]);
		hs_span_attr_i64(&s, "our.own.key", values[i]);
	}
	hs_span_end(&s);
	text = line = attrs_of(t);
	for (size_t i = 0; i < 2 * nr; i++, line = end + 1) {
		char want[64];

		snprintf(want, sizeof(want), "=i:%lld",
			 (long long)values[i / 2]);
		end = strchr(line, '\n');
		assert_non_null(end);
		*end = '\0';
		assert_non_null(strchr(line, '='));
		assert_string_equal(strchr(line, '='), want);
	}
	free(text);
	harness_detach(&agent);
}

/* Where the numbers of buffers begin again, the first one's are forgotten. */
static void test_numbered_anew(void **state)
{
	uint32_t seen = 0, nr;
	struct hs_trace *t;
	struct hs_span s;
	char *text, *line;

	attach(512);
	t = hs_trace_begin(&ID, NULL);
	t->again_buffer = 0;
	hs_span_start(t, &s, "op", 0);
	hs_span_attr_i64(&s, "our.own.key", 0);
	assert_int_equal(t->again_buffer, HS_AGAIN_BUFFER);
	t->again_buffer = 0u - HS_AGAIN_BUFFER;
	for (nr = 1; t->again_buffer != HS_AGAIN_BUFFER; nr++)
		hs_span_attr_i64(&s, hidden("our.own.key"), nr);
	for (uint32_t i = 0; i < 3; i++)
		hs_span_attr_i64(&s, "our.own.key", nr++);
	hs_span_end(&s);
	text = line = attrs_of(t);
	for (char *end; *line; line = end + 1, seen++) {
		char want[64];

		end = strchr(line, '\n');
		*end = '\0';
		snprintf(want, sizeof(want), "our.own.key=i:%u", seen);
		if (!strstr(line, want))
			fail_msg("%s instead of %s", line, want);
	}
	assert_int_equal(seen, nr);
	free(text);
	harness_detach(&agent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_as_any_other),
		cmocka_unit_test(test_each_buffer_alone),
		cmocka_unit_test(test_types_apart),
		cmocka_unit_test(test_marks_apart),
		cmocka_unit_test(test_judged_alike),
		cmocka_unit_test(test_judged_apart),
		cmocka_unit_test(test_judged_by_several),
		cmocka_unit_test(test_values_apart),
		cmocka_unit_test(test_digits),
		cmocka_unit_test(test_numbered_anew),
		cmocka_unit_test(test_more_than_there_is_room_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
