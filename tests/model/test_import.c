/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the importers make of good input.
 */
#include "util.h"

#include <math.h>
#include <string.h>

#define SPAN_HEAD "\"traceID\":\"1\",\"operationName\":\"op\","

static const struct hs_model_value *attr(const struct hs_model_attrs *attrs,
					 const char *key)
{
	const struct hs_model_attr *found = hs_model_attrs_find(attrs, key);

	if (!found)
		fail_msg("no attribute %s", key);
	return &found->value;
}

static void jaeger_span(void **state)
{
	static struct loaded l;
	const struct hs_model_span *s;

	load_init(&l);
	assert_int_equal(
		load_text(
			&l, "j.json",
			"{\"data\":[{\"traceID\":\"1\",\"spans\":[{" SPAN_HEAD
			"\"spanID\":\"2\",\"flags\":1,\"startTime\":10,"
			"\"duration\":5,\"processID\":\"p\","
			"\"references\":["
			"{\"refType\":\"FOLLOWS_FROM\",\"traceID\":\"1\","
			"\"spanID\":\"7\"},"
			"{\"refType\":\"CHILD_OF\",\"traceID\":\"9\","
			"\"spanID\":\"8\"},"
			"{\"refType\":\"CHILD_OF\",\"traceID\":\"01\","
			"\"spanID\":\"03\"}],"
			"\"tags\":["
			"{\"key\":\"a\",\"type\":\"float64\",\"value\":1},"
			"{\"key\":\"b\",\"type\":\"bool\",\"value\":\"true\"},"
			"{\"key\":\"c\",\"type\":\"int64\",\"value\":\"-7\"},"
			"{\"key\":\"d\",\"type\":\"binary\",\"value\":\"aGk=\"}"
			","
			"{\"key\":\"e\",\"value\":3},"
			"{\"key\":\"f\",\"type\":\"int64\",\"value\":\"x\"},"
			"{\"key\":\"span.kind\",\"type\":\"string\","
			"\"value\":\"client\"},"
			"{\"key\":\"error\",\"type\":\"bool\",\"value\":true}],"
			"\"logs\":[{\"timestamp\":11,\"fields\":[{\"key\":"
			"\"event\",\"type\":\"string\",\"value\":\"x\"}]}],"
			"\"warnings\":[\"w\"]}],\"processes\":{\"p\":"
			"{\"serviceName\":\"svc\",\"tags\":[{\"key\":\"h\","
			"\"type\":\"string\",\"value\":\"n1\"}]}}}]}"),
		0);
	s = only_trace(&l)->spans[0];
	assert_int_equal(l.set.traces[0]->resolution_ns, 1000);
	assert_int_equal(s->start_ns, 10000);
	assert_int_equal(s->duration_ns, 5000);
	assert_true(s->has_flags);
	assert_int_equal(s->nr_refs, 3);
	assert_true(s->has_parent);
	assert_int_equal(s->parent_id[7], 3);
	assert_int_equal(s->kind, HS_MODEL_KIND_CLIENT);
	assert_int_equal(s->status, HS_MODEL_STATUS_ERROR);
	assert_int_equal(attr(&s->attrs, "a")->type, HS_MODEL_VALUE_FLOAT64);
	assert_int_equal(attr(&s->attrs, "b")->type, HS_MODEL_VALUE_BOOL);
	assert_int_equal(attr(&s->attrs, "c")->i64, -7);
	assert_int_equal(attr(&s->attrs, "d")->type, HS_MODEL_VALUE_BYTES);
	assert_string_equal(attr(&s->attrs, "d")->str.ptr, "hi");
	assert_int_equal(attr(&s->attrs, "e")->type, HS_MODEL_VALUE_INT64);
	assert_int_equal(attr(&s->attrs, "f")->type, HS_MODEL_VALUE_STRING);
	assert_int_equal(l.imp.counts.nr_values_retyped, 1);
	assert_int_equal(s->nr_events, 1);
	assert_int_equal(s->events[0].time_ns, 11000);
	assert_int_equal(s->events[0].name.len, 0);
	assert_int_equal(s->nr_warnings, 1);
	assert_string_equal(l.set.traces[0]->resources[0]->service.ptr, "svc");
	assert_there_and_back(l.set.traces[0], HS_MODEL_EXPORT_JAEGER);
	load_free(&l);
}

static void jaeger_old_and_odd(void **state)
{
	static struct loaded l;
	const struct hs_model_span *s;

	load_init(&l);
	/* A bare trace, times in strings, parentSpanID, an inner process. */
	assert_int_equal(
		load_text(&l, "old.json",
			  "{\"traceID\":\"1\",\"spans\":[{" SPAN_HEAD
			  "\"spanID\":\"2\",\"startTime\":\"10\",\"duration\":"
			  "\"5\",\"parentSpanID\":\"4\",\"process\":"
			  "{\"serviceName\":\"inner\"}}]}"),
		0);
	s = only_trace(&l)->spans[0];
	assert_false(s->has_flags);
	assert_int_equal(s->start_ns, 10000);
	assert_true(s->has_parent);
	assert_int_equal(s->parent_id[7], 4);
	load_free(&l);
}

#define OTLP_HEAD                                                              \
	"{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":"         \
	"\"service.name\",\"value\":{\"stringValue\":\"svc\"}},{\"key\":"      \
	"\"k\",\"value\":{\"intValue\":\"5\"}}]},\"scopeSpans\":[{\"scope\":"  \
	"{\"name\":\"lib\",\"version\":\"2\"},\"spans\":["
#define OTLP_TAIL "]}]}]}"

static void otlp_span(void **state)
{
	static struct loaded l;
	const struct hs_model_span *s;

	load_init(&l);
	assert_int_equal(
		load_text(
			&l, "o.json",
			OTLP_HEAD
			"{\"traceId\":\"0af7651916cd43dd8448eb211c80319c\","
			"\"spanId\":\"b7ad6b7169203331\",\"parentSpanId\":"
			"\"00f067aa0ba902b7\",\"name\":\"op\",\"kind\":"
			"\"SPAN_KIND_CONSUMER\",\"startTimeUnixNano\":"
			"\"1544712660000000001\",\"endTimeUnixNano\":"
			"1544712661000000003,\"unknown\":{},\"flags\":257,"
			"\"traceState\":\"a=b\",\"attributes\":["
			"{\"key\":\"i\",\"value\":{\"intValue\":\"-9\"}},"
			"{\"key\":\"n\",\"value\":{\"doubleValue\":\"NaN\"}},"
			"{\"key\":\"l\",\"value\":{\"arrayValue\":{\"values\":"
			"[{\"intValue\":\"1\"},{\"stringValue\":\"x\"}]}}},"
			"{\"key\":\"m\",\"value\":{\"kvlistValue\":{\"values\":"
			"[{\"key\":\"z\",\"value\":{\"doubleValue\":1}},"
			"{\"key\":\"a\",\"value\":{}}]}}},"
			"{\"key\":\"y\",\"value\":{\"bytesValue\":\"aGk=\"}}],"
			"\"events\":[{\"timeUnixNano\":\"1544712660000000002\","
			"\"name\":\"e\",\"attributes\":[]}],"
			"\"links\":[{\"traceId\":\"1\",\"spanId\":\"2\","
			"\"traceState\":\"q=r\",\"attributes\":[{\"key\":\"w\","
			"\"value\":{\"boolValue\":true}}]}],"
			"\"status\":{\"code\":2,\"message\":\"boom\"}"
			"}" OTLP_TAIL),
		0);
	s = only_trace(&l)->spans[0];
	assert_int_equal(s->start_ns, 1544712660000000001);
	assert_int_equal(s->duration_ns, 1000000002);
	assert_int_equal(s->kind, HS_MODEL_KIND_CONSUMER);
	assert_int_equal(s->status, HS_MODEL_STATUS_ERROR);
	assert_string_equal(s->status_message.ptr, "boom");
	assert_string_equal(s->scope_version.ptr, "2");
	assert_int_equal(s->flags, 257);
	assert_int_equal(attr(&s->attrs, "i")->i64, -9);
	assert_true(isnan(attr(&s->attrs, "n")->f64));
	assert_int_equal(attr(&s->attrs, "l")->type, HS_MODEL_VALUE_JSON);
	assert_string_equal(attr(&s->attrs, "l")->str.ptr, "[1,\"x\"]");
	assert_string_equal(attr(&s->attrs, "m")->str.ptr,
			    "{\"a\":null,\"z\":1.0}");
	assert_int_equal(s->nr_refs, 2);
	assert_int_equal(s->refs[1].kind, HS_MODEL_REF_LINK);
	assert_string_equal(s->refs[1].trace_state.ptr, "q=r");
	assert_string_equal(s->events[0].name.ptr, "e");
	assert_string_equal(l.set.traces[0]->resources[0]->service.ptr, "svc");
	assert_int_equal(l.set.traces[0]->resources[0]->attrs.nr, 1);
	assert_there_and_back(l.set.traces[0], HS_MODEL_EXPORT_OTLP);
	load_free(&l);
}

static void otlp_lines(void **state)
{
	static struct loaded l;

	load_init(&l);
	assert_int_equal(
		load_text(&l, "lines",
			  OTLP_HEAD
			  "{\"traceId\":\"1\",\"spanId\":\"1\"}" OTLP_TAIL
			  "\n" OTLP_HEAD "{\"traceId\":\"1\",\"spanId\":\"2\"},"
			  "{\"traceId\":\"2\",\"spanId\":\"1\"}" OTLP_TAIL
			  "\n" OTLP_HEAD
			  "{\"traceId\":\"1\",\"spanId\":\"2\"}" OTLP_TAIL
			  "\n"),
		0);
	assert_int_equal(l.set.nr_traces, 2);
	assert_int_equal(l.set.traces[0]->nr_spans, 2);
	assert_int_equal(l.imp.counts.nr_spans_merged, 1);
	load_free(&l);
}

#define CSV_HEAD                                                               \
	"TraceID,SpanID,ParentID,PodName,OperationName,StartTimeUnixNano,"     \
	"EndTimeUnixNano,Duration\n"

static void nezha_files(void **state)
{
	static struct loaded l;
	const struct hs_model_trace *trace;

	load_init(&l);
	assert_int_equal(load_text(&l, "1.csv",
				   CSV_HEAD
				   "a,1,root,front-end-57-x,GET /,1000,3500,2\n"
				   "a,2,1,cart-57-x,Get,1500,1600,0\n"),
			 0);
	/* The next file repeats one span and brings another. */
	assert_int_equal(load_text(&l, "2.csv",
				   CSV_HEAD
				   "a,2,1,cart-57-x,Get,1500,1600,0\r\n"
				   "a,3,2,odd,Get,1500,1600,0"),
			 0);
	trace = only_trace(&l);
	assert_int_equal(trace->nr_spans, 3);
	assert_int_equal(l.imp.counts.nr_spans_merged, 1);
	assert_int_equal(trace->spans[0]->duration_ns, 2500);
	assert_false(trace->spans[0]->has_parent);
	assert_true(trace->spans[1]->has_parent);
	assert_string_equal(
		hs_model_span_resource(trace, trace->spans[0])->service.ptr,
		"front-end");
	assert_string_equal(
		hs_model_span_resource(trace, trace->spans[2])->service.ptr,
		"odd");
	assert_string_equal(
		attr(&trace->resources[0]->attrs, "k8s.pod.name")->str.ptr,
		"front-end-57-x");
	load_free(&l);
}

#define ONE_SPAN(trace_, span_, start_)                                        \
	"{\"traceID\":\"" trace_ "\",\"spans\":[{\"traceID\":\"" trace_        \
	"\",\"spanID\":\"" span_ "\",\"startTime\":" start_                    \
	",\"duration\":1,\"processID\":\"p\"}],"                               \
	"\"processes\":{\"p\":{\"serviceName\":\"s\"}}}"

static void files_that_disagree(void **state)
{
	static struct loaded l;
	uint8_t fresh[16];

	load_init(&l);
	assert_int_equal(load_text(&l, "1", ONE_SPAN("a", "1", "5")), 0);
	/* Word for word the same is no disagreement. */
	assert_int_equal(load_text(&l, "2", ONE_SPAN("a", "1", "5")), 0);
	assert_int_equal(l.imp.counts.nr_spans_merged, 1);
	assert_int_equal(load_text(&l, "3", ONE_SPAN("a", "1", "6")),
			 HS_MODEL_IMPORT_REFUSED);
	assert_said(&l, "3: trace id 0000000000000000000000000000000a: 1 holds "
			"other spans under this id");
	assert_int_equal(l.set.nr_traces, 1);
	assert_int_equal(l.imp.counts.nr_traces_refused, 1);
	l.imp.options.remap_ids = true;
	assert_int_equal(load_text(&l, "3", ONE_SPAN("a", "1", "6")), 0);
	assert_int_equal(l.set.nr_traces, 2);
	assert_int_equal(l.imp.counts.nr_traces_renamed, 1);
	/* The fresh id depends on nothing but the file. */
	memcpy(fresh, l.set.traces[1]->id, 16);
	assert_int_equal(load_text(&l, "4", ONE_SPAN("a", "1", "6")), 0);
	assert_int_equal(l.set.nr_traces, 2);
	assert_int_equal(l.imp.counts.nr_spans_merged, 2);
	load_free(&l);
}

static void ids_that_are_none(void **state)
{
	static struct loaded l;
	const char *text =
		"{\"traceID\":\"trace-1\",\"spans\":["
		"{\"traceID\":\"trace-1\",\"spanID\":\"S\",\"startTime\":1,"
		"\"duration\":1,\"processID\":\"p\"},"
		"{\"traceID\":\"trace-1\",\"spanID\":\"2\",\"startTime\":1,"
		"\"duration\":1,\"processID\":\"p\",\"references\":[{"
		"\"refType\":\"CHILD_OF\",\"traceID\":\"trace-1\","
		"\"spanID\":\"S\"}]}],"
		"\"processes\":{\"p\":{\"serviceName\":\"s\"}}}";

	load_init(&l);
	assert_int_equal(load_text(&l, "x.json", text),
			 HS_MODEL_IMPORT_REFUSED);
	assert_said(&l, "x.json: traceID: \"trace-1\" is no id");
	l.imp.options.remap_ids = true;
	assert_int_equal(load_text(&l, "x.json", text), 0);
	assert_true(only_trace(&l)->spans[1]->has_parent);
	assert_memory_equal(l.set.traces[0]->spans[1]->parent_id,
			    l.set.traces[0]->spans[0]->id, 8);
	load_free(&l);
}

static void samples_of_the_repository(void **state)
{
	static struct loaded l;
	uint32_t i;

	load_init(&l);
	assert_int_equal(hs_model_import_path(&l.imp, HS_TEST_DATA
					      "/traceweaver/demo.tar.xz"),
			 0);
	assert_int_equal(l.set.nr_traces, 180);
	assert_int_equal(l.imp.counts.nr_files_refused, 0);
	assert_int_equal(l.imp.counts.nr_spans, 60 * (11 + 27 + 6));
	for (i = 0; i < l.set.nr_traces; i++)
		assert_there_and_back(l.set.traces[i], HS_MODEL_EXPORT_JAEGER);
	load_free(&l);
	load_init(&l);
	/* A directory: three files, the archive, and two that are no traces. */
	assert_int_equal(
		hs_model_import_path(&l.imp, HS_TEST_DATA "/traceweaver"), 0);
	assert_int_equal(l.imp.counts.nr_files_refused, 2);
	assert_said(&l, "NOTICE: holds no trace");
	assert_int_equal(l.set.nr_traces, 182);
	load_free(&l);
	load_init(&l);
	assert_true(hs_model_import_path(&l.imp, HS_TEST_DATA "/nowhere") < 0);
	load_free(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(jaeger_span),
		cmocka_unit_test(jaeger_old_and_odd),
		cmocka_unit_test(otlp_span),
		cmocka_unit_test(otlp_lines),
		cmocka_unit_test(nezha_files),
		cmocka_unit_test(files_that_disagree),
		cmocka_unit_test(ids_that_are_none),
		cmocka_unit_test(samples_of_the_repository),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
