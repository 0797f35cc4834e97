/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The canonical trace's builder, its limits, ids, duplicates and symptoms.
 */
#include "util.h"

#include <errno.h>
#include <string.h>

#include "model/ident.h"

static const uint8_t span_a[8] = {0, 0, 0, 0, 0, 0, 0, 0xa};
static const uint8_t span_b[8] = {0, 0, 0, 0, 0, 0, 0, 0xb};

static struct hs_model_value text_value(const char *text)
{
	return (struct hs_model_value){.type = HS_MODEL_VALUE_STRING,
				       .str = hs_model_str(text)};
}

static struct hs_model_trace *trace_new(const struct hs_model_limits *limits)
{
	struct hs_model_trace *trace = hs_model_trace_new(limits);
	uint32_t index;

	assert_non_null(trace);
	trace->id[15] = 1;
	assert_int_equal(
		hs_model_resource_add(trace, hs_model_str("svc"), &index), 0);
	assert_int_equal(index, 0);
	return trace;
}

static struct hs_model_span *span_new(struct hs_model_trace *trace,
				      const uint8_t *id)
{
	struct hs_model_span *span;

	assert_int_equal(hs_model_span_add(trace, id, 0, &span), 0);
	return span;
}

static void ids(void **state)
{
	uint8_t id[8], other[8], trace_id[16];
	char text[33];

	assert_int_equal(hs_model_id_parse("A", 1, id, 8), 0);
	assert_memory_equal(id, span_a, 8);
	assert_int_equal(hs_model_id_parse("1234567890abcdef1", 17, id, 8),
			 -ERANGE);
	assert_int_equal(hs_model_id_parse("span-1", 6, id, 8), -EINVAL);
	assert_int_equal(hs_model_id_parse("", 0, id, 8), -EINVAL);
	assert_int_equal(hs_model_id_parse("0000", 4, id, 8), -EDOM);
	assert_int_equal(hs_model_id_parse("abc", 3, trace_id, 16), 0);
	assert_string_equal(hs_model_id_format(trace_id, 16, text),
			    "00000000000000000000000000000abc");
	hs_model_id_hash("span-1", 6, 6, id, 8);
	hs_model_id_hash("span-1", 6, 6, other, 8);
	assert_memory_equal(id, other, 8);
	hs_model_id_hash("span-2", 6, 6, other, 8);
	assert_memory_not_equal(id, other, 8);
}

static void limits_hold(void **state)
{
	struct hs_model_limits limits = hs_model_limits_default();
	struct hs_model_value value = text_value("0123456789");
	struct hs_model_trace *trace;
	struct hs_model_span *span, *other;
	uint32_t index;

	limits.max_spans = 1;
	limits.max_attrs = 1;
	limits.max_resources = 1;
	limits.max_refs = 0;
	limits.max_events = 0;
	limits.max_warnings = 0;
	limits.max_value_bytes = 4;
	limits.max_name_bytes = 8;
	trace = trace_new(&limits);
	span = span_new(trace, span_a);
	assert_int_equal(hs_model_span_add(trace, span_b, 0, &other), -E2BIG);
	assert_int_equal(hs_model_span_add(trace, span_b, 7, &other), -EINVAL);
	assert_int_equal(
		hs_model_resource_add(trace, hs_model_str("x"), &index),
		-E2BIG);
	assert_int_equal(
		hs_model_span_add_ref(trace, span, 0, trace->id, span_b, NULL),
		-E2BIG);
	assert_int_equal(
		hs_model_span_add_event(trace, span, 0, hs_model_str(""), NULL),
		-E2BIG);
	assert_int_equal(
		hs_model_span_add_warning(trace, span, hs_model_str("w")),
		-E2BIG);
	assert_int_equal(hs_model_attrs_add(trace, &span->attrs,
					    hs_model_str("way too long"),
					    &value),
			 -E2BIG);
	assert_int_equal(hs_model_attrs_add(trace, &span->attrs,
					    hs_model_str("key"), &value),
			 0);
	assert_string_equal(span->attrs.items[0].value.str.ptr, "0123");
	assert_true(span->attrs.items[0].value.cut);
	assert_int_equal(trace->nr_values_cut, 1);
	assert_int_equal(hs_model_attrs_add(trace, &span->attrs,
					    hs_model_str("key"), &value),
			 -E2BIG);
	assert_int_equal(span->attrs.nr, 1);
	hs_model_trace_free(trace);
}

static void cuts_spare_characters(void **state)
{
	struct hs_model_limits limits = hs_model_limits_default();
	/* "ab" and a euro sign of three bytes */
	struct hs_model_value value = text_value("ab\xe2\x82\xac");
	struct hs_model_trace *trace;
	struct hs_model_span *span;

	limits.max_value_bytes = 4;
	trace = trace_new(&limits);
	span = span_new(trace, span_a);
	assert_int_equal(hs_model_attrs_add(trace, &span->attrs,
					    hs_model_str("k"), &value),
			 0);
	assert_string_equal(span->attrs.items[0].value.str.ptr, "ab");
	hs_model_trace_free(trace);
}

static void trace_bytes_are_limited(void **state)
{
	struct hs_model_limits limits = hs_model_limits_default();
	struct hs_model_trace *trace;
	struct hs_model_str out;
	int err = 0;

	limits.max_trace_bytes = 10000;
	trace = trace_new(&limits);
	while (!err)
		err = hs_model_trace_dup_str(trace, "0123456789abcdef", 16,
					     &out);
	assert_int_equal(err, -E2BIG);
	assert_true(trace->used_bytes <= 10016);
	hs_model_trace_free(trace);
}

static void duplicates_merge(void **state)
{
	struct hs_model_trace *trace = trace_new(NULL);
	struct hs_model_span *span;
	uint32_t i;

	for (i = 0; i < 3; i++)
		span_new(trace, span_a)->start_ns = 5;
	/* The same id with another content stays. */
	span = span_new(trace, span_a);
	span->start_ns = 6;
	span_new(trace, span_b)->start_ns = 5;
	assert_int_equal(hs_model_trace_merge_duplicates(trace), 2);
	assert_int_equal(trace->nr_spans, 3);
	assert_int_equal(trace->spans[0]->start_ns, 5);
	assert_ptr_equal(trace->spans[1], span);
	assert_int_equal(hs_model_trace_merge_duplicates(trace), 0);
	hs_model_trace_free(trace);
}

static void symptoms(void **state)
{
	static const struct {
		const char *key;
		struct hs_model_value value;
		bool error;
	} cases[] = {
		{"error", {HS_MODEL_VALUE_BOOL, .boolean = true}, true},
		{"error", {HS_MODEL_VALUE_BOOL, .boolean = false}, false},
		{"error", {HS_MODEL_VALUE_STRING, .str = {"boom", 4}}, true},
		{"error", {HS_MODEL_VALUE_STRING, .str = {"", 0}}, false},
		{"error", {HS_MODEL_VALUE_STRING, .str = {"false", 5}}, false},
		{"http.status_code", {HS_MODEL_VALUE_INT64, .i64 = 500}, true},
		{"http.status_code", {HS_MODEL_VALUE_INT64, .i64 = 499}, false},
		{"http.status_code",
		 {HS_MODEL_VALUE_STRING, .str = {"503", 3}},
		 true},
		{"http.response.status_code",
		 {HS_MODEL_VALUE_FLOAT64, .f64 = 500},
		 true},
		{"otel.status_code",
		 {HS_MODEL_VALUE_STRING, .str = {"ERROR", 5}},
		 true},
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hs_model_trace *trace = trace_new(NULL);
		struct hs_model_span *span = span_new(trace, span_a);

		assert_false(hs_model_trace_has_error(trace));
		assert_int_equal(hs_model_attrs_add(trace, &span->attrs,
						    hs_model_str(cases[i].key),
						    &cases[i].value),
				 0);
		hs_model_span_derive_tags(span);
		if (hs_model_trace_has_error(trace) != cases[i].error)
			fail_msg("case %zu", i);
		hs_model_trace_free(trace);
	}
}

static void root_and_duration(void **state)
{
	struct hs_model_trace *trace = trace_new(NULL);
	struct hs_model_span *a, *b;

	assert_null(hs_model_trace_root(trace));
	assert_int_equal(hs_model_trace_duration_ns(trace), 0);
	a = span_new(trace, span_a);
	b = span_new(trace, span_b);
	a->start_ns = 100;
	a->duration_ns = 50;
	b->start_ns = 90;
	b->duration_ns = 10;
	b->has_parent = true;
	memcpy(b->parent_id, a->id, 8);
	assert_ptr_equal(hs_model_trace_root(trace), a);
	assert_int_equal(hs_model_trace_duration_ns(trace), 60);
	/* A cycle: the earliest of all. */
	a->has_parent = true;
	memcpy(a->parent_id, b->id, 8);
	assert_ptr_equal(hs_model_trace_root(trace), b);
	/* One whose parent is not there comes before those in a cycle. */
	a->parent_id[0] = 9;
	assert_ptr_equal(hs_model_trace_root(trace), a);
	a->duration_ns = INT64_MAX;
	assert_int_equal(hs_model_span_end_ns(a), INT64_MAX);
	hs_model_trace_free(trace);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids),
		cmocka_unit_test(limits_hold),
		cmocka_unit_test(cuts_spare_characters),
		cmocka_unit_test(trace_bytes_are_limited),
		cmocka_unit_test(duplicates_merge),
		cmocka_unit_test(symptoms),
		cmocka_unit_test(root_and_duration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
