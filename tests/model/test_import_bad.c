/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Malformed input: each must be named with its place, and what was good next
 * to it must be there.
 */
#include "util.h"

#include <stdlib.h>
#include <string.h>

#define TRACE_HEAD                                                             \
	"{\"data\":[{\"traceID\":\"1\",\"processes\":{\"p\":{\"serviceName\":" \
	"\"s\"}},\"spans\":["
#define TRACE_TAIL "]}]}"
#define GOOD                                                                   \
	"{\"traceID\":\"1\",\"spanID\":\"2\",\"startTime\":1,\"duration\":1,"  \
	"\"processID\":\"p\"}"
#define HEAD  "{\"traceID\":\"1\",\"spanID\":\"3\",\"processID\":\"p\","
#define TIMES "\"startTime\":1,\"duration\":1"

static void bad_spans_spare_the_good(void **state)
{
	static const struct {
		const char *span;
		const char *says;
	} cases[] = {
		{"7", "b.json: data[0].spans[1]: expected a span object"},
		{"{\"spanID\":\"3\"}", "data[0].spans[1].traceID: missing"},
		{"{\"traceID\":\"2\",\"spanID\":\"3\"}",
		 "spans[1].traceID: is not the id of the trace"},
		{"{\"traceID\":\"1\"}", "spans[1].spanID: missing"},
		{"{\"traceID\":\"1\",\"spanID\":\"0\"}",
		 "spans[1].spanID: \"0\" is no id"},
		{"{\"traceID\":\"1\",\"spanID\":\"3\"}",
		 "spans[1].processID: missing"},
		{"{\"traceID\":\"1\",\"spanID\":\"3\",\"processID\":\"q\"}",
		 "\"q\" is not among the processes"},
		{HEAD "\"startTime\":\"x\",\"duration\":1}",
		 "spans[1].startTime: expected a whole number"},
		{HEAD "\"startTime\":1.5,\"duration\":1}",
		 "spans[1].startTime: expected a whole number"},
		{HEAD "\"startTime\":-1,\"duration\":1}",
		 "spans[1].startTime: -1 microseconds are out of range"},
		{HEAD "\"startTime\":9223372036854775807,\"duration\":1}",
		 "microseconds are out of range"},
		{HEAD "\"startTime\":1}", "spans[1].duration: missing"},
		{HEAD TIMES ",\"flags\":-1}", "spans[1].flags: out of range"},
		{HEAD TIMES ",\"operationName\":5}",
		 "spans[1].operationName: expected a string"},
		{HEAD TIMES ",\"tags\":5}", "spans[1].tags: expected a list"},
		{HEAD TIMES ",\"tags\":[5]}",
		 "spans[1].tags[0]: expected {\"key\""},
		{HEAD TIMES ",\"logs\":[{}]}",
		 "spans[1].logs[0].timestamp: missing"},
		{HEAD TIMES ",\"references\":[{\"refType\":\"X\"}]}",
		 "spans[1].references[0].refType: expected CHILD_OF"},
		{HEAD TIMES ",\"warnings\":[5]}",
		 "spans[1].warnings[0]: expected a string"},
	};
	static struct loaded l;
	char text[1024];
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(text, sizeof(text), "%s,%s,%s%s", TRACE_HEAD GOOD,
			 cases[i].span, GOOD, TRACE_TAIL);
		load_init(&l);
		if (load_text(&l, "b.json", text))
			fail_msg("case %zu: %s", i, l.notes);
		assert_said(&l, cases[i].says);
		/* The good one stands there twice. */
		assert_int_equal(only_trace(&l)->nr_spans, 1);
		assert_int_equal(l.imp.counts.nr_spans_skipped, 1);
		assert_int_equal(l.imp.counts.nr_spans_merged, 1);
		load_free(&l);
	}
}

static void no_traces(void **state)
{
	static const struct {
		const char *text;
		const char *says;
	} cases[] = {
		{"", "holds no trace"},
		{"hello", "holds no trace"},
		{"[]", "holds no trace: a list without"},
		{"{}", "holds no trace: an object without"},
		{"{\"data\":{\"services\":[]}}", "data: holds no trace"},
		{"{\"data\":[]}", "data: holds no trace"},
		{"{\"data\":7}", "data: holds no trace"},
		{"{\"data\":[7]}", "data[0]: holds no trace"},
		{"{\"data\":[{\"spans\":[]}]}", "data[0].traceID: missing"},
		{"{\"resourceSpans\":[]}", "resourceSpans: holds no trace"},
		{"{\"resourceSpans\":5}", "resourceSpans: expected a list"},
		{"{\"traceID\":\"1\",\"spans\":[]}", "has no good span"},
		{"{\"data\":[", "not valid JSON"},
		{"{\n\"data\":[1,\n}", "n.json: line 3 column 1: not valid"},
		{"}", "holds no trace"},
		{"{\"a\":\"\xff\"}", "not valid JSON"},
	};
	static struct loaded l;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		load_init(&l);
		assert_int_equal(load_text(&l, "n.json", cases[i].text),
				 HS_MODEL_IMPORT_REFUSED);
		assert_said(&l, cases[i].says);
		assert_int_equal(l.set.nr_traces, 0);
		assert_int_equal(l.imp.counts.nr_files_refused, 1);
		load_free(&l);
	}
}

static void otlp_and_csv(void **state)
{
	static struct loaded l;

	load_init(&l);
	assert_int_equal(
		load_text(&l, "o.json",
			  "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":["
			  "{\"traceId\":\"1\",\"spanId\":\"1\"},"
			  "{\"spanId\":\"1\"},"
			  "{\"traceId\":\"1\",\"spanId\":\"2\",\"kind\":\"X\"},"
			  "{\"traceId\":\"1\",\"spanId\":\"2\","
			  "\"startTimeUnixNano\":\"99999999999999999999\"},"
			  "{\"traceId\":\"1\",\"spanId\":\"2\",\"attributes\":"
			  "[{\"key\":\"k\",\"value\":{\"intValue\":\"q\"}}]}"
			  "]}]}]}\n{\"resourceSpans\":["),
		0);
	assert_int_equal(only_trace(&l)->nr_spans, 1);
	assert_int_equal(l.imp.counts.nr_spans_skipped, 4);
	assert_int_equal(l.imp.counts.nr_files_damaged, 1);
	assert_said(&l, "resourceSpans[0].scopeSpans[0].spans[1].traceId: "
			"missing");
	assert_said(&l, "spans[2].kind: expected a number or a name");
	assert_said(&l, "spans[3].startTimeUnixNano: expected a whole");
	assert_said(&l, "spans[4].attributes[0].value.intValue: expected");
	assert_said(&l, "o.json: line 2 column 18: not valid JSON");
	load_free(&l);

	load_init(&l);
	assert_int_equal(
		load_text(&l, "n.csv",
			  "TraceID,SpanID,ParentID,PodName,OperationName,"
			  "StartTimeUnixNano,EndTimeUnixNano,Duration\n"
			  "a,1,root,p,op,1,2,0\n"
			  "a,x,root,p,op,1,2,0\n"
			  "a,2,root\n"
			  "a,2,root,p,op,1,2,0,9\n"
			  "a,2,root,p,op,one,2,0\n"
			  "a,2,root,p,\"op\",1,2,0\n"
			  "a,2,root,p,\xff,1,2,0\n"),
		0);
	assert_int_equal(only_trace(&l)->nr_spans, 1);
	assert_int_equal(l.imp.counts.nr_spans_skipped, 6);
	assert_said(&l, "n.csv:3: SpanID: \"x\": is no id");
	assert_said(&l, "n.csv:4: expected 8 columns, got fewer");
	assert_said(&l, "n.csv:5: expected 8 columns, got more");
	assert_said(&l, "n.csv:6: StartTimeUnixNano: \"one\"");
	assert_said(&l, "n.csv:7: quoted columns");
	assert_said(&l, "n.csv:8: is not UTF-8");
	load_free(&l);
}

static char *file_read(const char *path, size_t *len)
{
	FILE *stream = fopen(path, "rbe");
	char *text = malloc(1 << 20);

	assert_non_null(stream);
	assert_non_null(text);
	*len = fread(text, 1, 1 << 20, stream);
	fclose(stream);
	return text;
}

static void cut_anywhere(void **state)
{
	static struct loaded l;
	size_t len, at;
	char *text = file_read(HS_TEST_DATA "/traceweaver/"
					    "node_load25_10220eef134ab57c.json",
			       &len);

	while (len && strchr(" \n", text[len - 1]))
		len--;
	for (at = 0; at < len; at += 7) {
		char *cut = malloc(at + 1);

		/* A block of its own, so that a read past its end is seen. */
		memcpy(cut, text, at);
		load_init(&l);
		assert_int_equal(hs_model_import_bytes(&l.imp, "cut", cut, at),
				 HS_MODEL_IMPORT_REFUSED);
		assert_true(l.notes[0]);
		assert_int_equal(l.set.nr_traces, 0);
		load_free(&l);
		free(cut);
	}
	free(text);
}

static void a_huge_attribute(void **state)
{
	static const char before[] = TRACE_HEAD GOOD
		"," HEAD TIMES ",\"tags\":[{\"key\":\"big\",\"value\":\"";
	static const char after[] = "\"}]}" TRACE_TAIL;
	size_t size = 100 << 20, at = strlen(before);
	char *text = malloc(size + at + sizeof(after));
	static struct loaded l;
	const struct hs_model_attr *big;

	assert_non_null(text);
	memcpy(text, before, at);
	memset(text + at, 'x', size);
	memcpy(text + at + size, after, sizeof(after));
	load_init(&l);
	assert_int_equal(hs_model_import_bytes(&l.imp, "huge", text,
					       at + size + sizeof(after) - 1),
			 0);
	assert_said(&l, "huge: data[0].spans[1].tags[0]: big: 104857600 bytes, "
			"cut to 65536");
	assert_int_equal(only_trace(&l)->nr_spans, 2);
	big = hs_model_attrs_find(&l.set.traces[0]->spans[1]->attrs, "big");
	assert_int_equal(big->value.str.len, 65536);
	assert_true(big->value.cut);
	assert_int_equal(l.imp.counts.nr_values_cut, 1);
	load_free(&l);

	load_init(&l);
	l.imp.options.max_file_bytes = 1 << 20;
	assert_int_equal(hs_model_import_bytes(&l.imp, "huge", text,
					       at + size + sizeof(after) - 1),
			 HS_MODEL_IMPORT_REFUSED);
	assert_said(&l, "over the limit of 1048576 for a file");
	load_free(&l);
	free(text);
}

static void too_deep(void **state)
{
	static struct loaded l;
	size_t size = 1 << 20;
	char *text = malloc(size + 1);

	memset(text, '[', size);
	text[0] = '{';
	text[size] = 0;
	load_init(&l);
	assert_int_equal(load_text(&l, "deep", text), HS_MODEL_IMPORT_REFUSED);
	assert_said(&l, "deep: line 1: nested deeper than 100");
	/* A limit above the parser's own changes nothing. */
	l.imp.options.max_depth = UINT32_MAX;
	assert_int_equal(load_text(&l, "deep", text), HS_MODEL_IMPORT_REFUSED);
	assert_said(&l, "nested deeper than 2000");
	load_free(&l);
	free(text);
}

static void limits_of_a_trace(void **state)
{
	static struct loaded l;

	load_init(&l);
	l.imp.options.limits.max_spans = 1;
	assert_int_equal(load_text(&l, "l",
				   TRACE_HEAD GOOD "," HEAD TIMES
						   "}" TRACE_TAIL),
			 0);
	assert_int_equal(only_trace(&l)->nr_spans, 1);
	assert_int_equal(l.imp.counts.nr_spans_skipped, 1);
	assert_said(&l, "data[0].spans[1]: over a limit (a trace: 1 spans");
	load_free(&l);
	load_init(&l);
	l.imp.options.max_notes = 1;
	load_text(&l, "1", "x");
	load_text(&l, "2", "x");
	assert_int_equal(l.imp.counts.nr_notes_suppressed, 1);
	assert_null(strstr(l.notes, "2:"));
	load_free(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_spans_spare_the_good),
		cmocka_unit_test(no_traces),
		cmocka_unit_test(otlp_and_csv),
		cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(a_huge_attribute),
		cmocka_unit_test(too_deep),
		cmocka_unit_test(limits_of_a_trace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
