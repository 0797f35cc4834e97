/* SPDX-License-Identifier: Apache-2.0 */
/* Spans, tracepoints and their limits, from the API to the decoded record. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness.h"

static const struct hs_trace_id ID = {0x1122334455667788, 0x99aabbccddeeff00};
static struct fake_agent agent;

static int setup(void **state)
{
	harness_attach(&agent, NULL, NULL);
	fake_agent_stock_all(&agent, 0, 64);
	return 0;
}

/* A lane that takes a record of the largest size without being drained. */
static int setup_long_lane(void **state)
{
	struct fake_config config = fake_config_default();

	config.lane_entries = 1024;
	harness_attach(&agent, &config, NULL);
	fake_agent_stock_all(&agent, 0, 4);
	return 0;
}

static int teardown(void **state)
{
	harness_detach(&agent);
	return 0;
}

static struct hs_attr attrs_of_two[2] = {
	{.key = "n", .type = HS_VALUE_INT64, .value.i64 = -7},
	{.key = "xyz",
	 .key_bytes = 2,
	 .type = HS_VALUE_JSON,
	 .value.bytes = {"[1]", 3}},
};

/* One of each call on a span. */
static void say_everything(struct hs_span *c)
{
	struct hs_trace_id other = {1, 2};

	hs_span_attr_str(c, "s", "text");
	hs_span_attr_i64(c, "i", INT64_MIN);
	hs_span_attr_f64(c, "f", 1.0);
	hs_span_attr_bool(c, "b", true);
	hs_span_event_at(c, 5001, "ev", attrs_of_two, 2);
	hs_span_event_at(c, 4999, NULL, attrs_of_two, 1);
	hs_span_status(c, HS_SPAN_STATUS_ERROR, "bad");
	hs_span_link(c, HS_LINK_FOLLOWS_FROM, &other, 3, "a=b", attrs_of_two,
		     1);
	hs_span_text(c, HS_SPAN_TEXT_SCOPE_NAME, "scope");
	hs_span_flags(c, 0x80000001u);
}

static const char EVERYTHING[] =
	"resource 0 svc\n"
	"start 0 id=a1 parent=0 res=0 kind=0 t=4000 root\n"
	"resource 1 - n=i:-7 xy=j:[1]\n"
	"start 1 id=c1 parent=a1 res=1 kind=3 t=5000 child\n"
	"attr 1 s=s:text\n"
	"attr 1 i=i:-9223372036854775808\n"
	"attr 1 f=f:1\n"
	"attr 1 b=b:1\n"
	"event 1 t=5001 ev n=i:-7 xy=j:[1]\n"
	"event 1 t=4999 - n=i:-7\n"
	"status 1 2 bad\n"
	"link 1 kind=1 1/2 3 a=b n=i:-7\n"
	"text 1 2 scope\n"
	"flags 1 2147483649\n"
	"point t=6000 raw\n"
	"end 0 t=7000\n"
	"end 1 t=8000\n";

static void test_every_call(void **state)
{
	struct hs_resource *resource =
		hs_resource_create(NULL, attrs_of_two, 2);
	struct hs_record_stats stats;
	struct hs_trace *t;
	struct hs_span s, c;
	struct hs_span_args args = {
		.size_bytes = sizeof(args),
		.name = "childish",
		.name_bytes = 5,
		.id = 0xc1,
		.parent_id = 0xa1,
		.start_ns = 5000,
		.has_start = true,
		.kind = HS_SPAN_KIND_CLIENT,
		.resource = resource,
	};
	struct hs_span_args root = {
		.size_bytes = sizeof(root),
		.name = "root",
		.id = 0xa1,
		.start_ns = 4000,
		.has_start = true,
	};

	assert_non_null(resource);
	t = hs_trace_begin(&ID, NULL);
	hs_span_start_args(t, &s, &root);
	hs_span_start_args(t, &c, &args);
	say_everything(&c);
	hs_tracepoint_at(t, 6000, "raw", 3);
	hs_span_end_at(&s, 7000);
	hs_span_end_at(&c, 8000);
	hs_trace_end(t);
	assert_string_equal(harness_text(&agent, ID, 0, &stats), EVERYTHING);
	assert_int_equal(stats.records, 17);
	assert_int_equal(stats.garbage + stats.cut + stats.gaps +
				 stats.skipped_bytes,
			 0);
	hs_resource_destroy(resource);
}

static void test_same_id_twice(void **state)
{
	struct hs_span_args args = {
		.size_bytes = sizeof(args),
		.name = "a",
		.id = 5,
		.has_start = true,
		.start_ns = 10,
	};
	struct hs_trace *t = hs_trace_begin(&ID, NULL);
	struct hs_span a, b;

	hs_span_start_args(t, &a, &args);
	args.name = "b";
	hs_span_start_args(t, &b, &args);
	hs_span_end_at(&b, 20);
	hs_span_end_at(&a, 30);
	hs_trace_end(t);
	assert_string_equal(harness_text(&agent, ID, 0, NULL),
			    "resource 0 svc\n"
			    "start 0 id=5 parent=0 res=0 kind=0 t=10 a\n"
			    "start 1 id=5 parent=0 res=0 kind=0 t=10 b\n"
			    "end 1 t=20\n"
			    "end 0 t=30\n");
}

static void test_runs_on(void **state)
{
	struct hs_record_buffer buffers[64];
	struct hs_record_stats stats;
	struct hs_trace *t = hs_trace_begin(&ID, NULL);
	char data[3000];
	const char *text;
	size_t nr;

	memset(data, 'x', sizeof(data));
	hs_tracepoint_at(t, 1000, "first", 5);
	hs_tracepoint_at(t, 2000, data, sizeof(data));
	hs_tracepoint_at(t, 500, "last", 4);
	hs_trace_end(t);
	text = harness_text(&agent, ID, 0, &stats);
	assert_string_equal(text, "point t=1000 first\n"
				  "point t=2000 <3000>\n"
				  "point t=500 last\n");
	nr = fake_agent_buffers(&agent, ID, 0, buffers, 64);
	assert_int_equal(nr, 4);
	for (size_t i = 0; i < nr; i++) {
		const struct hs_shm_buffer *b = buffers[i].data;

		assert_int_equal(b->magic, HS_SHM_BUF_MAGIC);
		assert_int_equal(b->seq, i);
		assert_int_equal(b->trace_hi, ID.hi);
		assert_int_equal(b->process, agent.process);
		assert_int_equal(b->committed, buffers[i].size_bytes);
		assert_int_equal(b->first_record != 0, i == 0 || i == 3);
	}
	assert_int_equal(fake_agent_count(&agent, HS_SHM_ENTRY_BUFFER), 3);
	assert_int_equal(fake_agent_count(&agent, HS_SHM_ENTRY_END), 1);
}

static void test_many_small_records(void **state)
{
	struct hs_trace *t = hs_trace_begin(&ID, NULL);
	struct hs_record_stats stats;

	for (int i = 0; i < 1000; i++)
		hs_tracepoint_at(t, 1000 + (uint64_t)i, "0123456789", 10);
	hs_trace_end(t);
	harness_text(&agent, ID, 0, &stats);
	assert_int_equal(stats.records, 1000);
	assert_int_equal(stats.cut + stats.garbage + stats.gaps, 0);
}

static void test_cut_values(void **state)
{
	size_t size = HS_VALUE_MAX_BYTES + 100;
	char *big = malloc(size + 1);
	struct hs_trace *t = hs_trace_begin(&ID, NULL);
	struct hs_client_stats counts;
	struct hs_span s;

	assert_non_null(big);
	memset(big, 'y', size);
	big[size] = '\0';
	/* A two-byte character across the limit goes whole. */
	memcpy(big + HS_VALUE_MAX_BYTES - 1, "\xc3\xa9", 2);
	fake_agent_stock_all(&agent, 1, 120);
	hs_span_start_args(t, &s,
			   &(struct hs_span_args){
				   .size_bytes = sizeof(struct hs_span_args),
				   .id = 1,
				   .name = big,
				   .has_start = true,
			   });
	hs_span_attr_str(&s, "k", big);
	hs_span_end_at(&s, 1);
	hs_tracepoint_at(t, 2, big, size);
	hs_trace_end(t);
	assert_string_equal(harness_text(&agent, ID, 0, NULL),
			    "resource 0 svc\n"
			    "start 0 id=1 parent=0 res=0 kind=0 t=0 <65535>"
			    " CUT\n"
			    "attr 0 k=s:<65535>/65636\n"
			    "end 0 t=1\n"
			    "point t=2 <65536>/65636 CUT\n");
	hs_client_stats_get(&counts);
	assert_int_equal(counts.values_cut, 3);
	assert_int_equal(counts.buffers_null, 0);
	free(big);
}

static void test_too_many_attrs(void **state)
{
	static char value[60000];
	struct hs_attr attrs[40];
	struct hs_trace *t = hs_trace_begin(&ID, NULL);
	struct hs_record_stats stats;
	struct hs_span s;
	const char *text;

	memset(value, 'v', sizeof(value));
	for (int i = 0; i < 40; i++) {
		attrs[i] = (struct hs_attr){.key = "k"};
		attrs[i].value.bytes.data = value;
		attrs[i].value.bytes.size_bytes = sizeof(value);
	}
	fake_agent_stock_all(&agent, 1, 250);
	hs_span_start(t, &s, "n", 0);
	hs_span_event_at(&s, 1, "e", attrs, 40);
	hs_span_end_at(&s, 2);
	hs_trace_end(t);
	text = harness_text(&agent, ID, 0, &stats);
	assert_non_null(strstr(text, "v"));
	assert_non_null(strstr(text, " CUT\nend 0 t=2\n"));
	assert_int_equal(stats.records, 4);
}

static void test_nine_resources(void **state)
{
	struct hs_resource *r[12];
	struct hs_trace *t = hs_trace_begin(&ID, NULL);
	struct hs_record_stats stats;
	struct hs_span s;
	char name[8];

	for (int i = 0; i < 12; i++) {
		snprintf(name, sizeof(name), "r%d", i);
		r[i] = hs_resource_create(name, NULL, 0);
	}
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 12; i++)
			hs_span_start_args(t, &s,
					   &(struct hs_span_args){
						   .size_bytes = sizeof(
							   struct hs_span_args),
						   .id = 1,
						   .has_start = true,
						   .resource = r[i]});
	}
	hs_trace_end(t);
	/* Every start names a resource that came before it, by another id. */
	assert_non_null(strstr(harness_text(&agent, ID, 0, &stats),
			       "resource 23 r11\n"
			       "start 23 id=1 parent=0 res=23"));
	assert_int_equal(stats.records, 48);
	for (int i = 0; i < 12; i++)
		hs_resource_destroy(r[i]);
}

static void test_resource_too_large(void **state)
{
	char *big = calloc(1, HS_VALUE_MAX_BYTES + 2);

	assert_non_null(big);
	memset(big, 'z', HS_VALUE_MAX_BYTES + 1);
	assert_null(hs_resource_create(big, NULL, 0));
	free(big);
}

static void test_no_buffer(void **state)
{
	struct hs_trace_id id = {7, 7};
	struct hs_client_stats counts;
	struct hs_trace *t;

	t = hs_trace_begin(&ID, NULL);
	for (int i = 0; i < 200; i++) {
		char data[900] = {0};

		hs_tracepoint_at(t, 1, data, sizeof(data));
	}
	hs_trace_end(t);
	fake_agent_drain(&agent);
	agent.nr_entries = 0;
	t = hs_trace_begin(&id, NULL);
	hs_tracepoint_at(t, 1, "a", 1);
	hs_tracepoint_at(t, 1, "b", 1);
	assert_int_equal(fake_agent_slot(&agent, 0)->lost, 2);
	fake_agent_stock_all(&agent, 0, 1);
	hs_tracepoint_at(t, 1, "c", 1);
	hs_trace_end(t);
	assert_string_equal(harness_text(&agent, id, 0, NULL), "point t=1 c\n");
	assert_int_equal(fake_agent_entry(&agent, HS_SHM_ENTRY_END, 0)->aux, 1);
	hs_client_stats_get(&counts);
	assert_true(counts.buffers_null >= 2);
	assert_true(fake_agent_nulls(&agent) >= 4);
}

static void test_lost_in_the_middle(void **state)
{
	struct hs_record_stats stats;
	struct hs_trace *t;
	static char data[20000];

	/* 128 buffers of 960 bytes each: the seventh record runs dry. */
	t = hs_trace_begin(&ID, NULL);
	for (int i = 0; i < 7; i++)
		hs_tracepoint_at(t, 1, data, sizeof(data));
	fake_agent_drain(&agent);
	fake_agent_stock_all(&agent, 0, 2);
	hs_tracepoint_at(t, 2, "after", 5);
	hs_trace_end(t);
	assert_non_null(strstr(harness_text(&agent, ID, 0, &stats),
			       "point t=2 after\n"));
	assert_int_equal(stats.records, 7);
	assert_int_equal(stats.cut, 1);
	assert_int_equal(stats.gaps, 0);
}

static void test_stale_span(void **state)
{
	struct hs_trace *t = hs_trace_begin(&ID, NULL);
	struct hs_client_stats counts;
	struct hs_span s;

	hs_span_start(t, &s, "s", 0);
	hs_trace_end(t);
	hs_span_end(&s);
	assert_ptr_equal(hs_trace_begin(&ID, NULL), t);
	hs_span_attr_i64(&s, "k", 1);
	hs_client_stats_get(&counts);
	assert_int_equal(counts.calls_stale, 2);
	hs_trace_end(t);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_every_call),
		T(test_same_id_twice),
		T(test_runs_on),
		T(test_many_small_records),
		T(test_cut_values),
		cmocka_unit_test_setup_teardown(test_too_many_attrs,
						setup_long_lane, teardown),
		T(test_nine_resources),
		T(test_resource_too_large),
		T(test_no_buffer),
		T(test_lost_in_the_middle),
		T(test_stale_span),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
