/* SPDX-License-Identifier: Apache-2.0 */
/* From the API over the buffers to a canonical trace. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness.h"
#include "model/equal.h"
#include "model/record_trace.h"

static const struct hs_trace_id ID = {0x1122334455667788, 0x99aabbccddeeff00};
static const uint8_t ID_BYTES[16] = {0x11, 0x22, 0x33, 0x44, 0x55, 0x66,
				     0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc,
				     0xdd, 0xee, 0xff, 0x00};
static struct fake_agent agent;
static struct hs_record_buffer buffers[FAKE_BUFFERS_MAX];
static struct hs_record_slice slices[FAKE_BUFFERS_MAX];

static int setup(void **state)
{
	harness_attach(&agent, NULL, NULL);
	fake_agent_stock_all(&agent, 0, 100);
	return 0;
}

static int teardown(void **state)
{
	harness_detach(&agent);
	return 0;
}

static size_t slices_take(void)
{
	size_t nr;

	fake_agent_drain(&agent);
	nr = fake_agent_buffers(&agent, ID, 0, buffers, FAKE_BUFFERS_MAX);
	for (size_t i = 0; i < nr; i++) {
		const struct hs_shm_buffer *h = buffers[i].data;

		slices[i] = (struct hs_record_slice){
			.node = 10,
			.process = h->process,
			.handle = h->handle,
			.seq = h->seq,
			.data = buffers[i].data,
			.size_bytes = buffers[i].size_bytes,
		};
	}
	return nr;
}

static struct hs_model_trace *build(size_t nr,
				    struct hs_record_trace_stats *stats)
{
	struct hs_model_trace *trace = hs_model_trace_new(NULL);

	assert_non_null(trace);
	memcpy(trace->id, ID_BYTES, sizeof(trace->id));
	assert_int_equal(hs_record_trace_build(slices, nr, trace, stats), 0);
	return trace;
}

static const struct hs_model_span *find(const struct hs_model_trace *trace,
					const char *name)
{
	for (uint32_t i = 0; i < trace->nr_spans; i++) {
		if (hs_model_str_is(trace->spans[i]->name, name))
			return trace->spans[i];
	}
	return NULL;
}

static void start(struct hs_trace *t, struct hs_span *s, const char *name,
		  uint64_t id, uint64_t parent)
{
	struct hs_span_args args = {
		.size_bytes = sizeof(args),
		.name = name,
		.id = id,
		.parent_id = parent,
		.start_ns = 1000000 + id,
		.has_start = true,
		.kind = HS_SPAN_KIND_SERVER,
	};

	hs_span_start_args(t, s, &args);
}

static void test_two_handles(void **state)
{
	static const uint8_t parent[8] = {0, 0, 0, 0, 0, 0, 0, 1};
	struct hs_trace *t = hs_trace_begin(&ID, NULL);
	struct hs_trace *u = hs_trace_begin(&ID, NULL);
	struct hs_record_trace_stats stats;
	struct hs_model_trace *trace;
	const struct hs_model_span *span;
	struct hs_span a, b;

	start(t, &a, "a", 1, 0);
	start(u, &b, "b", 2, 1);
	hs_span_attr_i64(&b, "k", 5);
	hs_span_attr_i64(&a, "k", 6);
	hs_span_link(&b, HS_LINK_CHILD_OF, &ID, 1, NULL, NULL, 0);
	hs_span_status(&b, HS_SPAN_STATUS_ERROR, "oh");
	hs_span_event_at(&b, 1000003, "ev", NULL, 0);
	hs_span_text(&b, HS_SPAN_TEXT_WARNING, "w");
	hs_span_flags(&b, 1);
	hs_tracepoint_at(u, 55, "raw", 3);
	hs_tracepoint_at(u, 44, "raw", 3);
	hs_span_end_at(&a, 1000101);
	hs_trace_end(t);
	hs_trace_end(u);
	trace = build(slices_take(), &stats);
	assert_int_equal(stats.handles, 2);
	assert_int_equal(stats.spans, 2);
	assert_int_equal(stats.unfinished, 1);
	assert_int_equal(trace->nr_spans, 3);
	assert_int_equal(trace->nr_resources, 1);
	span = find(trace, "a");
	assert_non_null(span);
	assert_int_equal(span->start_ns, 1000001);
	assert_int_equal(span->duration_ns, 100);
	assert_false(span->has_parent);
	assert_int_equal(span->nr_warnings, 0);
	assert_int_equal(span->attrs.items[0].value.i64, 6);
	assert_true(hs_model_str_is(
		hs_model_span_resource(trace, span)->service, "svc"));
	span = find(trace, "b");
	assert_non_null(span);
	assert_true(span->has_parent);
	assert_memory_equal(span->parent_id, parent, 8);
	assert_int_equal(span->nr_refs, 2);
	assert_int_equal(span->status, HS_MODEL_STATUS_ERROR);
	assert_int_equal(span->kind, HS_MODEL_KIND_SERVER);
	assert_int_equal(span->nr_events, 1);
	assert_int_equal(span->nr_warnings, 2);
	assert_true(hs_model_str_is(span->warnings[1], HS_RECORD_UNFINISHED));
	span = find(trace, HS_RECORD_TRACEPOINTS);
	assert_non_null(span);
	assert_int_equal(span->nr_events, 2);
	assert_int_equal(span->start_ns, 44);
	assert_int_equal(span->duration_ns, 11);
	hs_model_trace_free(trace);
}

static void test_any_order(void **state)
{
	struct hs_trace *t = hs_trace_begin(&ID, NULL);
	struct hs_record_trace_stats stats;
	struct hs_model_trace *forward, *backward;
	struct hs_span s;
	char text[256];
	size_t nr;

	for (uint64_t i = 1; i <= 100; i++) {
		start(t, &s, "a name of some length", i, i - 1);
		hs_span_end_at(&s, 3000000);
	}
	hs_trace_end(t);
	nr = slices_take();
	assert_true(nr > 3);
	forward = build(nr, &stats);
	assert_int_equal(stats.spans, 100);
	for (size_t i = 0; i < nr / 2; i++) {
		struct hs_record_slice swap = slices[i];

		slices[i] = slices[nr - 1 - i];
		slices[nr - 1 - i] = swap;
	}
	/* One of them twice, and shorter. */
	slices[nr] = slices[1];
	slices[nr].size_bytes = 80;
	backward = build(nr + 1, &stats);
	assert_int_equal(stats.records.duplicates, 1);
	assert_int_equal(
		hs_model_trace_equal(forward, backward, text, sizeof(text)), 1);
	hs_model_trace_free(forward);
	hs_model_trace_free(backward);
}

static void test_missing_first_buffer(void **state)
{
	struct hs_trace *t = hs_trace_begin(&ID, NULL);
	struct hs_record_trace_stats stats;
	struct hs_model_trace *trace;
	struct hs_span s;
	size_t nr;

	for (uint64_t i = 1; i <= 60; i++) {
		start(t, &s, "a name of some length", i, 0);
		hs_span_end_at(&s, 3000000);
	}
	hs_trace_end(t);
	nr = slices_take();
	memmove(slices, slices + 1, (nr - 1) * sizeof(slices[0]));
	trace = build(nr - 1, &stats);
	assert_int_equal(stats.records.gaps, 1);
	assert_int_equal(stats.records.garbage, 0);
	assert_in_range(stats.spans, 20, 59);
	/* The resource was in what is missing. */
	assert_int_equal(trace->resources[0]->service.len, 0);
	hs_model_trace_free(trace);
}

static void test_holes_and_foreign(void **state)
{
	static uint8_t zeros[1024];
	struct hs_trace *t = hs_trace_begin(&ID, NULL);
	struct hs_record_trace_stats stats;
	struct hs_model_trace *trace;
	struct hs_span s;
	size_t nr;

	start(t, &s, "s", 1, 0);
	hs_span_end_at(&s, 2000000);
	hs_trace_end(t);
	nr = slices_take();
	slices[nr] = slices[0];
	slices[nr].seq = 1;
	slices[nr].data = zeros;
	slices[nr].size_bytes = sizeof(zeros);
	trace = build(nr + 1, &stats);
	assert_int_equal(stats.spans, 1);
	assert_int_equal(stats.records.bad_buffers, 1);
	hs_model_trace_free(trace);
	trace = hs_model_trace_new(NULL);
	assert_int_equal(hs_record_trace_build(slices, nr, trace, &stats), 0);
	assert_int_equal(stats.foreign, 1);
	assert_int_equal(trace->nr_spans, 0);
	hs_model_trace_free(trace);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_two_handles),
		T(test_any_order),
		T(test_missing_first_buffer),
		T(test_holes_and_foreign),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
