/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_import.c - the importers, and everything that takes what they make
 *
 * Whatever is imported is drawn, exported in every format, and must survive
 * its own export word for word, or the target aborts.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/draw.h"
#include "model/equal.h"
#include "model/export.h"
#include "model/import.h"
#include "tests/fuzz/fuzz.h"

static const char seed_jaeger[] =
	"{\"data\":[{\"traceID\":\"1f\",\"spans\":[\n"
	"{\"traceID\":\"1f\",\"spanID\":\"a\",\"flags\":1,\"operationName\":\""
	"GET /\",\"references\":[],\"startTime\":1000,\"duration\":500,\""
	"tags\":[{\"key\":\"span.kind\",\"type\":\"string\",\"value\":\"serve"
	"r\"},{\"key\":\"w\",\"type\":\"float64\",\"value\":1},{\"key\":\"b\","
	"\"t"
	"ype\":\"binary\",\"value\":\"aGk=\"}],\"logs\":[{\"timestamp\":1100"
	",\"fields\":[{\"key\":\"event\",\"type\":\"string\",\"value\":\"x\"}]}"
	"],\"processID\":\"p1\",\"warnings\":[\"w\"]},\n"
	"{\"traceID\":\"1f\",\"spanID\":\"b\",\"operationName\":\"call\",\"ref"
	"erences\":[{\"refType\":\"CHILD_OF\",\"traceID\":\"1f\",\"spanID\":"
	"\"a\"},{\"refType\":\"FOLLOWS_FROM\",\"traceID\":\"2f\",\"spanID\":\""
	"c\"}],\"startTime\":1010,\"duration\":50,\"tags\":[{\"key\":\"erro"
	"r\",\"type\":\"bool\",\"value\":\"true\"},{\"key\":\"http.status_cod"
	"e\",\"type\":\"int64\",\"value\":503}],\"logs\":[],\"processID\":\"p"
	"2\",\"warnings\":null}\n"
	"],\"processes\":{\"p1\":{\"serviceName\":\"front\",\"tags\":[{\"key"
	"\":\"host\",\"type\":\"string\",\"value\":\"n1\"}]},\"p2\":{\"serviceN"
	"ame\":\"back\",\"tags\":[]}}}]}\n";

static const char seed_otlp[] =
	"{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"ser"
	"vice.name\",\"value\":{\"stringValue\":\"svc\"}}]},\"scopeSpans\""
	":[{\"scope\":{\"name\":\"lib\",\"version\":\"1\"},\"spans\":[{\"trace"
	"Id\":\"0af7651916cd43dd8448eb211c80319c\",\"spanId\":\"b7ad6b7"
	"169203331\",\"parentSpanId\":\"00f067aa0ba902b7\",\"name\":\"op\""
	",\"kind\":3,\"startTimeUnixNano\":\"1544712660000000001\",\"end"
	"TimeUnixNano\":\"1544712661000000003\",\"flags\":257,\"traceSt"
	"ate\":\"a=b\",\"attributes\":[{\"key\":\"i\",\"value\":{\"intValue\":"
	"\"-9\"}},{\"key\":\"d\",\"value\":{\"doubleValue\":0.5}},{\"key\":\"l"
	"\",\"value\":{\"arrayValue\":{\"values\":[{\"intValue\":\"1\"},{\"st"
	"ringValue\":\"x\"}]}}},{\"key\":\"m\",\"value\":{\"kvlistValue\":{\""
	"values\":[{\"key\":\"z\",\"value\":{\"boolValue\":true}}]}}},{\"ke"
	"y\":\"y\",\"value\":{\"bytesValue\":\"aGk=\"}}],\"events\":[{\"timeU"
	"nixNano\":\"1544712660000000002\",\"name\":\"e\",\"attributes\":["
	"]}],\"links\":[{\"traceId\":\"1\",\"spanId\":\"2\",\"attributes\":[]"
	"}],\"status\":{\"code\":2,\"message\":\"boom\"}}]}]}]}\n"
	"{\"resourceSpans\":[{\"resource\":{},\"scopeSpans\":[{\"spans\":"
	"[{\"traceId\":\"0af7651916cd43dd8448eb211c80319c\",\"spanId\":"
	"\"2\"}]}]}]}\n";

static const char seed_nezha[] =
	"TraceID,SpanID,ParentID,PodName,OperationName,StartTimeU"
	"nixNano,EndTimeUnixNano,Duration\n"
	"0ec61e65d1a18b87,3b7d95c77635e9c3,root,frontend-579b9bff"
	"58-t2dbm,Recv.,1661257128150859962,1661257128165771730,1"
	"4911\n"
	"0ec61e65d1a18b87,2183060817f53060,3b7d95c77635e9c3,front"
	"end-579b9bff58-t2dbm,GetProduct,1661257128151065367,1661"
	"257128158044979,6979\n";

const struct hs_fuzz_seed hs_fuzz_seeds[] = {
	{seed_jaeger, sizeof(seed_jaeger) - 1},
	{seed_otlp, sizeof(seed_otlp) - 1},
	{seed_nezha, sizeof(seed_nezha) - 1},
	{NULL, 0},
};

static void must(bool holds, const char *what, const char *why)
{
	if (holds)
		return;
	fprintf(stderr, "fuzz_import: %s: %s\n", what, why);
	abort();
}

static struct hs_model_limits small_limits(void)
{
	struct hs_model_limits limits = hs_model_limits_default();

	limits.max_spans = 256;
	limits.max_attrs = 64;
	limits.max_value_bytes = 1024;
	limits.max_trace_bytes = 1 << 20;
	return limits;
}

static void export_one(const struct hs_model_trace *trace,
		       enum hs_model_export_format format,
		       struct hs_model_text *text)
{
	struct hs_model_export export;

	hs_model_export_begin(&export, format, text);
	hs_model_export_trace(&export, trace);
	must(!hs_model_export_end(&export), "export", "failed");
}

/* What was read and written must be read back as the same. */
static void there_and_back(const struct hs_model_trace *trace)
{
	bool jaeger = trace->resolution_ns == 1000;
	struct hs_model_import imp;
	struct hs_model_text text;
	struct hs_model_set set;
	char why[512];

	hs_model_text_init(&text);
	export_one(trace,
		   jaeger ? HS_MODEL_EXPORT_JAEGER : HS_MODEL_EXPORT_OTLP,
		   &text);
	hs_model_set_init(&set);
	hs_model_import_init(&imp, &set);
	must(!hs_model_import_bytes(&imp, "back", text.ptr, text.len),
	     "reading back", text.ptr);
	must(set.nr_traces == 1, "reading back", "not one trace");
	must(hs_model_trace_equal(trace, set.traces[0], why, sizeof(why)) == 1,
	     "not equal", why);
	hs_model_set_destroy(&set);
	hs_model_text_destroy(&text);
}

static void use(const struct hs_model_trace *trace)
{
	struct hs_model_draw_options options = {.colour = true};
	struct hs_model_text text;

	there_and_back(trace);
	hs_model_text_init(&text);
	hs_model_trace_draw(trace, &options, &text);
	export_one(trace, HS_MODEL_EXPORT_PERFETTO, &text);
	export_one(trace, HS_MODEL_EXPORT_JAEGER, &text);
	export_one(trace, HS_MODEL_EXPORT_OTLP, &text);
	hs_model_text_destroy(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hs_model_import imp;
	struct hs_model_set set;
	uint32_t i;

	hs_model_set_init(&set);
	hs_model_import_init(&imp, &set);
	imp.options.limits = small_limits();
	imp.options.remap_ids = true;
	hs_model_import_bytes(&imp, "fuzz", (const char *)data, size);
	for (i = 0; i < set.nr_traces && i < 16; i++)
		use(set.traces[i]);
	hs_model_set_destroy(&set);
	return 0;
}
