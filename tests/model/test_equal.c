/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Equality: every field of the model, changed alone, must be noticed and
 * named; what the model says does not count must not be.
 */
#include "util.h"

#include <string.h>

#include "model/equal.h"

static void add(struct hs_model_trace *trace, struct hs_model_attrs *attrs,
		const char *key, struct hs_model_value value)
{
	assert_int_equal(
		hs_model_attrs_add(trace, attrs, hs_model_str(key), &value), 0);
}

static const struct hs_model_value int_200 = {HS_MODEL_VALUE_INT64, .i64 = 200};
static const struct hs_model_value text_200 = {HS_MODEL_VALUE_STRING,
					       .str = {"200", 3}};
static const struct hs_model_value float_1 = {HS_MODEL_VALUE_FLOAT64, .f64 = 1};
static const struct hs_model_value int_1 = {HS_MODEL_VALUE_INT64, .i64 = 1};

/* Two spans of two services, with one of everything. */
static struct hs_model_trace *sample(void)
{
	static const uint8_t id_a[8] = {[7] = 0xa}, id_b[8] = {[7] = 0xb};
	struct hs_model_trace *trace = hs_model_trace_new(NULL);
	struct hs_model_span *span;
	struct hs_model_event *event;
	struct hs_model_ref *ref;
	uint32_t index;

	trace->id[15] = 1;
	hs_model_resource_add(trace, hs_model_str("front"), &index);
	add(trace, &trace->resources[0]->attrs, "host", text_200);
	hs_model_resource_add(trace, hs_model_str("back"), &index);
	hs_model_span_add(trace, id_a, 0, &span);
	span->name = hs_model_str("GET /");
	span->start_ns = 5000;
	span->duration_ns = 7000;
	span->kind = HS_MODEL_KIND_SERVER;
	add(trace, &span->attrs, "http.status_code", int_200);
	add(trace, &span->attrs, "weight", float_1);
	hs_model_span_add(trace, id_b, 1, &span);
	span->name = hs_model_str("call");
	span->start_ns = 6000;
	span->duration_ns = 1000;
	span->has_flags = true;
	span->flags = 1;
	span->scope_name = hs_model_str("scope");
	span->scope_version = hs_model_str("1");
	span->trace_state = hs_model_str("a=b");
	span->status = HS_MODEL_STATUS_ERROR;
	span->status_message = hs_model_str("boom");
	hs_model_span_add_ref(trace, span, HS_MODEL_REF_CHILD_OF, trace->id,
			      id_a, NULL);
	hs_model_span_add_ref(trace, span, HS_MODEL_REF_LINK, trace->id, id_b,
			      &ref);
	add(trace, &ref->attrs, "why", text_200);
	hs_model_span_derive_parent(trace, span);
	hs_model_span_add_event(trace, span, 6500, hs_model_str("retry"),
				&event);
	add(trace, &event->attrs, "n", int_1);
	hs_model_span_add_event(trace, span, 6600, hs_model_str("done"), NULL);
	hs_model_span_add_warning(trace, span, hs_model_str("skewed"));
	return trace;
}

static void same_twice(void **state)
{
	struct hs_model_trace *a = sample(), *b = sample();
	struct hs_model_hash digest_a, digest_b;
	char why[256];

	assert_int_equal(hs_model_trace_equal(a, b, why, sizeof(why)), 1);
	assert_string_equal(why, "");
	hs_model_trace_digest(a, 0, &digest_a);
	hs_model_trace_digest(b, 0, &digest_b);
	assert_memory_equal(&digest_a, &digest_b, sizeof(digest_a));
	hs_model_trace_free(a);
	hs_model_trace_free(b);
}

static void order_does_not_count(void **state)
{
	struct hs_model_trace *a = sample(), *b = sample();
	struct hs_model_span *span = b->spans[0];
	struct hs_model_attr attr = span->attrs.items[0];
	struct hs_model_resource *resource = b->resources[0];
	struct hs_model_hash digest_a, digest_b;
	char why[256];

	span->attrs.items[0] = span->attrs.items[1];
	span->attrs.items[1] = attr;
	b->spans[0] = b->spans[1];
	b->spans[1] = span;
	b->resources[0] = b->resources[1];
	b->resources[1] = resource;
	b->spans[0]->resource = 0;
	b->spans[1]->resource = 1;
	if (hs_model_trace_equal(a, b, why, sizeof(why)) != 1)
		fail_msg("%s", why);
	hs_model_trace_digest(a, 0, &digest_a);
	hs_model_trace_digest(b, 0, &digest_b);
	assert_memory_equal(&digest_a, &digest_b, sizeof(digest_a));
	hs_model_trace_free(a);
	hs_model_trace_free(b);
}

static void resolution_counts(void **state)
{
	struct hs_model_trace *a = sample(), *b = sample();
	char why[256];

	b->spans[0]->start_ns += 999;
	assert_int_equal(hs_model_trace_equal(a, b, why, sizeof(why)), 0);
	a->resolution_ns = 1000;
	assert_int_equal(hs_model_trace_equal(a, b, why, sizeof(why)), 1);
	b->spans[0]->start_ns += 1;
	assert_int_equal(hs_model_trace_equal(a, b, why, sizeof(why)), 0);
	hs_model_trace_free(a);
	hs_model_trace_free(b);
}

typedef void (*change_fn)(struct hs_model_trace *trace, struct hs_model_span *a,
			  struct hs_model_span *b);

/* One function a field, each a single change of the sample. */
#define CHANGE(name_, what_)                                                   \
	static void name_(struct hs_model_trace *trace,                        \
			  struct hs_model_span *a, struct hs_model_span *b)    \
	{                                                                      \
		what_;                                                         \
	}

CHANGE(trace_id, trace->id[0] = 1)
CHANGE(span_id, a->id[0] = 1)
CHANGE(span_gone, trace->nr_spans--)
CHANGE(name, a->name = hs_model_str("PUT /"))
CHANGE(start, a->start_ns++)
CHANGE(duration, a->duration_ns++)
CHANGE(kind, a->kind = HS_MODEL_KIND_CLIENT)
CHANGE(status, a->status = HS_MODEL_STATUS_OK)
CHANGE(message, b->status_message = hs_model_str("bang"))
CHANGE(state_text, b->trace_state = hs_model_str("a=c"))
CHANGE(scope, b->scope_name = hs_model_str("other"))
CHANGE(scope_version, b->scope_version = hs_model_str("2"))
CHANGE(flags, b->flags = 0)
CHANGE(flags_gone, b->has_flags = false)
CHANGE(parent, b->parent_id[0] = 1)
CHANGE(parent_gone, b->has_parent = false)
CHANGE(service, trace->resources[0]->service = hs_model_str("fort"))
CHANGE(process_tag,
       trace->resources[0]->attrs.items[0].key = hs_model_str("ghost"))
CHANGE(process_tag_gone, trace->resources[0]->attrs.nr = 0)
CHANGE(attr_type, a->attrs.items[0].value = text_200)
CHANGE(attr_value, a->attrs.items[0].value.i64 = 201)
CHANGE(attr_float_to_int, a->attrs.items[1].value = int_1)
CHANGE(attr_key, a->attrs.items[0].key = hs_model_str("http.code"))
CHANGE(attr_gone, a->attrs.nr = 1)
CHANGE(attr_twice, a->attrs.items[1] = a->attrs.items[0])
CHANGE(ref_kind, b->refs[1].kind = HS_MODEL_REF_FOLLOWS_FROM)
CHANGE(ref_trace, b->refs[1].trace_id[0] = 1)
CHANGE(ref_span, b->refs[1].span_id[0] = 1)
CHANGE(ref_gone, b->nr_refs = 1)
CHANGE(ref_state, b->refs[1].trace_state = hs_model_str("x=y"))
CHANGE(ref_attr, b->refs[1].attrs.nr = 0)
CHANGE(event_time, b->events[0].time_ns++)
CHANGE(event_name, b->events[0].name = hs_model_str("again"))
CHANGE(event_attr, b->events[0].attrs.items[0].value.i64 = 2)
CHANGE(event_gone, b->nr_events = 1)
CHANGE(warning, b->warnings[0] = hs_model_str("bent"))
CHANGE(warning_gone, b->nr_warnings = 0)

static void event_order(struct hs_model_trace *trace, struct hs_model_span *a,
			struct hs_model_span *b)
{
	struct hs_model_event event = b->events[0];

	b->events[0] = b->events[1];
	b->events[1] = event;
}

static void every_change_is_seen(void **state)
{
	static const struct {
		change_fn change;
		const char *says;
	} cases[] = {
		{trace_id, "trace id: 01"},
		{span_id, "only in the first trace"},
		{span_gone, "span 000000000000000b (call): only in the first"},
		{name, "name: \"GET /\" vs \"PUT /\""},
		{start, "start_ns: 5000 vs 5001"},
		{duration, "duration_ns: 7000 vs 7001"},
		{kind, "kind: server vs client"},
		{status, "status: unset vs ok"},
		{message, "status message: \"boom\" vs \"bang\""},
		{state_text, "trace state: \"a=b\" vs \"a=c\""},
		{scope, "scope name: \"scope\" vs \"other\""},
		{scope_version, "scope version: \"1\" vs \"2\""},
		{flags, "flags: 1 vs 0"},
		{flags_gone, "flags present: 1 vs 0"},
		{parent, "parent: 000000000000000a vs 010000000000000a"},
		{parent_gone, "has a parent: 1 vs 0"},
		{service, "service: \"front\" vs \"fort\""},
		{process_tag, "resource attribute ghost: nothing vs"},
		{process_tag_gone, "resource attribute host: string \"200\" vs "
				   "nothing"},
		{attr_type, "span 000000000000000a: attribute "
			    "http.status_code: int64 200 vs string \"200\""},
		{attr_value, "http.status_code: int64 200 vs int64 201"},
		{attr_float_to_int, "weight: float64 1 vs int64 1"},
		{attr_key, "attribute http.code: nothing vs int64 200"},
		{attr_gone, "attribute weight: float64 1 vs nothing"},
		{attr_twice, "attribute"},
		{ref_kind, "reference 1: LINK vs FOLLOWS_FROM"},
		{ref_trace, "reference 1: 00"},
		{ref_span, "reference 1: 00"},
		{ref_gone, "number of references: 2 vs 1"},
		{ref_state, "reference 1 state: \"\" vs \"x=y\""},
		{ref_attr, "reference 1 attribute why"},
		{event_time, "event 0 time_ns: 6500 vs 6501"},
		{event_name, "event 0 name: \"retry\" vs \"again\""},
		{event_attr, "event 0 attribute n: int64 1 vs int64 2"},
		{event_gone, "number of events: 2 vs 1"},
		{event_order, "event 0 time_ns"},
		{warning, "warning: \"skewed\" vs \"bent\""},
		{warning_gone, "number of warnings: 1 vs 0"},
	};
	struct hs_model_hash digest_a, digest_b;
	char why[256], back[256];
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hs_model_trace *a = sample(), *b = sample();

		cases[i].change(b, b->spans[0], b->spans[1]);
		if (hs_model_trace_equal(a, b, why, sizeof(why)) != 0)
			fail_msg("change %zu was not seen", i);
		if (!strstr(why, cases[i].says) && i != 0)
			fail_msg("change %zu: \"%s\" is not in \"%s\"", i,
				 cases[i].says, why);
		assert_int_equal(hs_model_trace_equal(b, a, back, sizeof(back)),
				 0);
		assert_int_equal(hs_model_trace_equal(a, b, NULL, 0), 0);
		hs_model_trace_digest(a, 1, &digest_a);
		hs_model_trace_digest(b, 1, &digest_b);
		assert_memory_not_equal(&digest_a, &digest_b, sizeof(digest_a));
		hs_model_trace_free(a);
		hs_model_trace_free(b);
	}
}

static void one_id_twice(void **state)
{
	struct hs_model_trace *a = sample(), *b = sample();
	struct hs_model_span *span;
	char why[256];

	/* Client and server share an id; both must be there, once each. */
	memcpy(a->spans[1]->id, a->spans[0]->id, 8);
	memcpy(b->spans[1]->id, b->spans[0]->id, 8);
	span = b->spans[0];
	b->spans[0] = b->spans[1];
	b->spans[1] = span;
	assert_int_equal(hs_model_trace_equal(a, b, why, sizeof(why)), 1);
	b->spans[1] = b->spans[0];
	assert_int_equal(hs_model_trace_equal(a, b, why, sizeof(why)), 0);
	hs_model_trace_free(a);
	hs_model_trace_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_twice),
		cmocka_unit_test(order_does_not_count),
		cmocka_unit_test(resolution_counts),
		cmocka_unit_test(every_change_is_seen),
		cmocka_unit_test(one_id_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
