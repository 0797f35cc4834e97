/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the exporters write: JSON that a strict parser takes, ids and numbers
 * in the form each format asks for, lanes that do not nest by accident.
 */
#include "util.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct hs_model_trace *trace_new(void)
{
	struct hs_model_trace *trace = hs_model_trace_new(NULL);
	uint32_t index;

	trace->id[15] = 1;
	hs_model_resource_add(trace, hs_model_str("front"), &index);
	hs_model_resource_add(trace, hs_model_str("back"), &index);
	return trace;
}

static struct hs_model_span *span_new(struct hs_model_trace *trace, int id,
				      int parent, uint32_t resource,
				      int64_t start, int64_t end)
{
	uint8_t bytes[8] = {[7] = (uint8_t)id};
	struct hs_model_span *span;

	assert_int_equal(hs_model_span_add(trace, bytes, resource, &span), 0);
	span->name = hs_model_str("op");
	span->start_ns = start;
	span->duration_ns = end - start;
	if (!parent)
		return span;
	bytes[7] = (uint8_t)parent;
	assert_int_equal(hs_model_span_add_ref(trace, span,
					       HS_MODEL_REF_CHILD_OF, trace->id,
					       bytes, NULL),
			 0);
	hs_model_span_derive_parent(trace, span);
	return span;
}

static void add(struct hs_model_trace *trace, struct hs_model_span *span,
		const char *key, struct hs_model_value value)
{
	assert_int_equal(hs_model_attrs_add(trace, &span->attrs,
					    hs_model_str(key), &value),
			 0);
}

static json_t *export_json(const struct hs_model_trace *trace,
			   enum hs_model_export_format format)
{
	struct hs_model_export export;
	struct hs_model_text text;
	json_error_t why;
	json_t *root;

	hs_model_text_init(&text);
	hs_model_export_begin(&export, format, &text);
	hs_model_export_trace(&export, trace);
	hs_model_export_trace(&export, trace);
	assert_int_equal(hs_model_export_end(&export), 0);
	root = json_loadb(text.ptr, text.len,
			  JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &why);
	if (!root)
		fail_msg("%s in %s", why.text, text.ptr);
	hs_model_text_destroy(&text);
	return root;
}

static void values_survive(void **state)
{
	struct hs_model_trace *trace = trace_new();
	struct hs_model_span *span = span_new(trace, 1, 0, 0, 1000, 2000);
	static const double doubles[] = {0,	-0.0,	1,	 0.1,
					 1e300, 5e-324, -1.5e-9, 1e20};
	size_t i;

	for (i = 0; i < sizeof(doubles) / sizeof(doubles[0]); i++)
		add(trace, span, "f",
		    (struct hs_model_value){HS_MODEL_VALUE_FLOAT64,
					    .f64 = doubles[i]});
	add(trace, span, "nan",
	    (struct hs_model_value){HS_MODEL_VALUE_FLOAT64, .f64 = NAN});
	add(trace, span, "inf",
	    (struct hs_model_value){HS_MODEL_VALUE_FLOAT64, .f64 = -INFINITY});
	add(trace, span, "min",
	    (struct hs_model_value){HS_MODEL_VALUE_INT64, .i64 = INT64_MIN});
	add(trace, span, "nul",
	    (struct hs_model_value){HS_MODEL_VALUE_STRING,
				    .str = {"a\0b\n\"\\\x01", 7}});
	add(trace, span, "utf8",
	    (struct hs_model_value){
		    HS_MODEL_VALUE_STRING,
		    .str = {"\xe2\x82\xac\xf0\x9f\x98\x80", 7}});
	for (i = 0; i < 5; i++)
		add(trace, span, "bytes",
		    (struct hs_model_value){
			    HS_MODEL_VALUE_BYTES,
			    .str = {"\xff\0\x80~", (uint32_t)i}});
	assert_there_and_back(trace, HS_MODEL_EXPORT_JAEGER);
	assert_there_and_back(trace, HS_MODEL_EXPORT_OTLP);
	hs_model_trace_free(trace);
}

static void broken_text_is_mended(void **state)
{
	struct hs_model_trace *trace = trace_new();
	struct hs_model_span *span = span_new(trace, 1, 0, 0, 1000, 2000);
	json_t *root;

	/* A stray byte, an overlong slash, a surrogate, a cut sequence. */
	span->name = hs_model_str("a\xff"
				  "b\xc0\xaf"
				  "c\xed\xa0\x80"
				  "d\xe2");
	root = export_json(trace, HS_MODEL_EXPORT_PERFETTO);
	json_decref(root);
	root = export_json(trace, HS_MODEL_EXPORT_OTLP);
	json_decref(root);
	root = export_json(trace, HS_MODEL_EXPORT_JAEGER);
	assert_string_equal(
		json_string_value(json_object_get(
			json_array_get(
				json_object_get(
					json_array_get(
						json_object_get(root, "data"),
						0),
					"spans"),
				0),
			"operationName")),
		"a\xef\xbf\xbd"
		"b\xef\xbf\xbd\xef\xbf\xbd"
		"c\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
		"d\xef\xbf\xbd");
	json_decref(root);
	hs_model_trace_free(trace);
}

static void otlp_forms(void **state)
{
	struct hs_model_trace *trace = trace_new();
	struct hs_model_span *span = span_new(trace, 2, 1, 1, 1000, 2000);
	const json_t *out, *resource;
	json_t *root;

	span->kind = HS_MODEL_KIND_SERVER;
	span->status = HS_MODEL_STATUS_ERROR;
	hs_model_span_add_ref(trace, span, HS_MODEL_REF_FOLLOWS_FROM, trace->id,
			      span->id, NULL);
	assert_there_and_back(trace, HS_MODEL_EXPORT_OTLP);
	root = export_json(trace, HS_MODEL_EXPORT_OTLP);
	resource = json_array_get(json_object_get(root, "resourceSpans"), 0);
	out = json_array_get(
		json_object_get(
			json_array_get(json_object_get(resource, "scopeSpans"),
				       0),
			"spans"),
		0);
	assert_string_equal(json_string_value(json_object_get(out, "traceId")),
			    "00000000000000000000000000000001");
	assert_string_equal(
		json_string_value(json_object_get(out, "parentSpanId")),
		"0000000000000001");
	assert_string_equal(
		json_string_value(json_object_get(out, "startTimeUnixNano")),
		"1000");
	assert_int_equal(json_integer_value(json_object_get(out, "kind")), 2);
	assert_int_equal(json_integer_value(json_object_get(
				 json_object_get(out, "status"), "code")),
			 2);
	assert_int_equal(json_array_size(json_object_get(out, "links")), 1);
	json_decref(root);
	hs_model_trace_free(trace);
}

static void jaeger_says_kind_once(void **state)
{
	struct hs_model_trace *trace = trace_new();
	struct hs_model_span *span = span_new(trace, 1, 0, 0, 1000, 2000);
	struct loaded *l = calloc(1, sizeof(*l));
	struct hs_model_export export;
	struct hs_model_text text;

	span->kind = HS_MODEL_KIND_CLIENT;
	span->status = HS_MODEL_STATUS_ERROR;
	span->status_message = hs_model_str("boom");
	hs_model_text_init(&text);
	hs_model_export_begin(&export, HS_MODEL_EXPORT_JAEGER, &text);
	hs_model_export_trace(&export, trace);
	hs_model_export_end(&export);
	load_init(l);
	assert_int_equal(load_text(l, "j", text.ptr), 0);
	span = only_trace(l)->spans[0];
	assert_int_equal(span->kind, HS_MODEL_KIND_CLIENT);
	assert_int_equal(span->status, HS_MODEL_STATUS_ERROR);
	assert_string_equal(span->status_message.ptr, "boom");
	/* What now stands in tags is not added a second time. */
	assert_there_and_back(l->set.traces[0], HS_MODEL_EXPORT_JAEGER);
	load_free(l);
	free(l);
	hs_model_text_destroy(&text);
	hs_model_trace_free(trace);
}

struct event {
	json_int_t pid, tid;
	double from, to;
	const char *id;
};

/* On one lane two spans are apart, or one is the other's ancestor. */
static void perfetto_lanes(void **state)
{
	struct hs_model_trace *trace = trace_new();
	struct event events[16];
	json_t *root, *list, *item;
	size_t i, j, nr = 0, nr_arrows = 0, index;

	span_new(trace, 1, 0, 0, 1000, 9000);
	span_new(trace, 2, 1, 0, 2000, 5000);
	span_new(trace, 3, 1, 0, 3000, 6000); /* overlaps its sibling */
	span_new(trace, 4, 1, 0, 3500, 4000); /* inside a stranger */
	span_new(trace, 5, 1, 1, 2500, 9500); /* crosses, and outlives */
	span_new(trace, 6, 5, 1, 2600, 9000);
	span_new(trace, 7, 7, 1, 2700, 2800); /* its own parent */
	root = export_json(trace, HS_MODEL_EXPORT_PERFETTO);
	list = json_object_get(root, "traceEvents");
	json_array_foreach(list, index, item)
	{
		const char *ph = json_string_value(json_object_get(item, "ph"));
		struct event *event = &events[nr];

		nr_arrows += !strcmp(ph, "s");
		/* The export holds the trace twice; look at the first. */
		if (strcmp(ph, "X") || nr == 7)
			continue;
		event->pid = json_integer_value(json_object_get(item, "pid"));
		event->tid = json_integer_value(json_object_get(item, "tid"));
		event->from = json_number_value(json_object_get(item, "ts"));
		event->to = event->from +
			    json_number_value(json_object_get(item, "dur"));
		nr++;
	}
	assert_int_equal(nr, 7);
	assert_int_equal(nr_arrows, 2);
	for (i = 0; i < nr; i++) {
		for (j = i + 1; j < nr; j++) {
			bool apart = events[i].to <= events[j].from ||
				     events[j].to <= events[i].from;
			bool kin = i == 0 || (i == 4 && j == 5);

			if (events[i].pid == events[j].pid &&
			    events[i].tid == events[j].tid && !apart && !kin)
				fail_msg("spans %zu and %zu share a lane", i,
					 j);
		}
	}
	json_decref(root);
	hs_model_trace_free(trace);
}

static void text_limit(void **state)
{
	struct hs_model_text text;

	hs_model_text_init(&text);
	text.max_bytes = 10;
	hs_model_text_puts(&text, "0123456789");
	assert_int_equal(hs_model_text_error(&text), 0);
	hs_model_text_puts(&text, "x");
	assert_true(hs_model_text_error(&text) < 0);
	assert_string_equal(text.ptr, "0123456789");
	hs_model_text_destroy(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_survive),
		cmocka_unit_test(broken_text_is_mended),
		cmocka_unit_test(otlp_forms),
		cmocka_unit_test(jaeger_says_kind_once),
		cmocka_unit_test(perfetto_lanes),
		cmocka_unit_test(text_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
