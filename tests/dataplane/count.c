/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs each operation of the write path a known number of times between
 * callgrind's marks; count.py reads off what one took.
 */
#include <stdio.h>
#include <string.h>

#include <valgrind/callgrind.h>

#include "dataplane/rules_shared.h"
#include "harness.h"
#include "hs/autotrigger.h"

#define TIMES 64

static struct fake_agent agent;
static uint8_t data[64] __attribute__((aligned(64)));

/* A trace with room for all that is counted, its window open. */
static struct hs_trace *trace_make(struct hs_span *span)
{
	struct hs_trace *t = hs_trace_begin(NULL, NULL);

	hs_span_start(t, span, "warm", 0);
	hs_tracepoint(t, data, 32);
	return t;
}

#define COUNT(name, prepare, what)                                             \
	do {                                                                   \
		struct hs_span span;                                           \
		struct hs_trace *t = trace_make(&span);                        \
                                                                               \
		prepare;                                                       \
		CALLGRIND_ZERO_STATS;                                          \
		CALLGRIND_TOGGLE_COLLECT;                                      \
		for (int i = 0; i < TIMES; i++) {                              \
			__asm__ volatile("" ::: "memory");                     \
			what;                                                  \
		}                                                              \
		CALLGRIND_TOGGLE_COLLECT;                                      \
		CALLGRIND_DUMP_STATS_AT(name);                                 \
		hs_trace_end(t);                                               \
		fake_agent_drain(&agent);                                      \
		fake_agent_stock_all(&agent, 1, 3);                            \
	} while (0)

static void span_5attr(struct hs_trace *t)
{
	struct hs_span s;

	hs_span_start(t, &s, "GET /item", 7);
	hs_span_attr_str(&s, "http.method", "GET");
	hs_span_attr_str(&s, "http.target", "/item/12");
	hs_span_attr_i64(&s, "http.status_code", 200);
	hs_span_attr_i64(&s, "bytes", 1234);
	hs_span_attr_bool(&s, "cached", true);
	hs_span_event(&s, "flushed", NULL, 0);
	hs_span_end(&s);
}

/* A service that does little: its trace is one span, in a buffer of its own. */
static void one_span(void)
{
	const struct hs_span_args args = {.size_bytes = sizeof(args),
					  .name = "GET /item",
					  .parent_id = 7,
					  .kind = HS_SPAN_KIND_SERVER};
	struct hs_trace *t = hs_trace_begin(NULL, NULL);
	struct hs_span s;

	hs_span_start_args(t, &s, &args);
	hs_span_end(&s);
	hs_trace_end(t);
}

static void call_span(struct hs_trace *t, struct hs_span *s, const char *name,
		      uint64_t parent_id, enum hs_span_kind kind)
{
	const struct hs_span_args args = {.size_bytes = sizeof(args),
					  .name = name,
					  .parent_id = parent_id,
					  .kind = (uint8_t)kind};

	hs_span_start_args(t, s, &args);
}

/* What came with a call, of a node that is not ours, and what is answered. */
struct call {
	uint8_t context[HS_CONTEXT_COMPACT_BYTES];
	size_t bytes;
};
static struct call call_make(uint32_t nr_crumbs)
{
	struct hs_context c = {.trace_id = {1, 2},
			       .span_id = 3,
			       .flags = HS_CONTEXT_F_SAMPLED,
			       .nr_crumbs = (uint8_t)nr_crumbs,
			       .crumbs = {5}};
	struct call out;

	out.bytes = hs_context_encode_compact(&c, out.context);
	return out;
}

static void call_begin(const struct call *in, struct hs_trace **t,
		       struct hs_span *s)
{
	struct hs_context from;

	if (hs_context_decode(in->context, in->bytes, &from))
		return;
	*t = hs_trace_begin(NULL, &from);
	call_span(*t, s, "/frontend/get", from.span_id, HS_SPAN_KIND_SERVER);
}

static void call_end(struct hs_trace *t, struct hs_span *s, struct call *out)
{
	struct hs_context reply;

	hs_span_end(s);
	hs_context_reply_inject(t, &reply);
	out->bytes = hs_context_encode_compact(&reply, out->context);
	hs_trace_end(t);
}

/* Of a request through two services, as hs-perf services has it: the first one
 * calls the second. */
static void service_first(const struct call *in, const struct call *answer,
			  struct call *out)
{
	struct hs_context context;
	struct hs_trace *t = NULL;
	struct hs_span server, child;

	call_begin(in, &t, &server);
	call_span(t, &child, "/backend/read", server.id, HS_SPAN_KIND_CLIENT);
	hs_context_inject(t, child.id, &context);
	out->bytes = hs_context_encode_compact(&context, out->context);
	if (!hs_context_decode(answer->context, answer->bytes, &context))
		hs_context_reply_extract(t, &context);
	hs_span_end(&child);
	call_end(t, &server, out);
}

static void service_second(const struct call *in, struct call *out)
{
	struct hs_trace *t = NULL;
	struct hs_span server;

	call_begin(in, &t, &server);
	call_end(t, &server, out);
}

/* One rule of each kind, as in hs-perf client: judged at each span's end. */
static void rules_load(struct fake_agent *a)
{
	static struct hs_shm_rules t = {
		.version = HS_SHM_RULES_VERSION,
		.nr_rules = 4,
		.nr_tests = 2,
		.rules =
			{
				{.trigger = "failed", .statuses = 4},
				{.trigger = "slow",
				 .statuses = 7,
				 .slot = 1,
				 .min_ns = 10000000000},
				{.trigger = "code",
				 .statuses = 7,
				 .slot = 2,
				 .tests = 1},
				{.trigger = "tail",
				 .statuses = 7,
				 .slot = 3,
				 .operation = "GET *",
				 .percentile_ppm = 999000,
				 .tests = 2},
			},
		.tests =
			{
				{.key = "http.status_code",
				 .numeric = 1,
				 .op = HS_SHM_TEST_AT_LEAST,
				 .number = 500},
				{.key = "cached",
				 .op = HS_SHM_TEST_EQUAL,
				 .text = "false"},
			},
	};

	hs_rules_shared_write(fake_agent_rules(a), &t, 2);
	hs_client_poll();
}

/* Durations with a long tail, the same on every run. */
static void values_add(struct hs_auto_percentile *p, uint32_t nr)
{
	static uint64_t x = 88172645463325252ull;
	static uint64_t fired;

	for (; nr; nr--) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		fired += hs_auto_percentile_add(
			p, (1000ull << __builtin_clzll(x) / 2) + (x & 0x3ff));
	}
}

#define VALUES	    256
#define VALUES_WARM 50000
static void count_percentile(const char *name, double percentile)
{
	struct hs_auto_percentile *p = hs_auto_percentile_create(percentile, 0);

	COUNT(name, values_add(p, VALUES_WARM), values_add(p, VALUES));
	hs_auto_percentile_destroy(p);
}

int main(void)
{
	struct fake_config config = fake_config_default();
	struct hs_client_options options = {.service = "svc"};
	struct hs_client_stats stats;
	struct call first = call_make(0), second = call_make(1), out;
	size_t size = 32;

	config.class_bytes[1] = 65536;
	config.pool_bytes = 16u << 20;
	harness_attach(&agent, &config, &options);
	fake_agent_calibrate(&agent, 1, 0, 0);
	hs_client_poll();
	fake_agent_stock_all(&agent, 1, 8);

	COUNT("empty", (void)0, (void)0);
	COUNT("tracepoint_32B", (void)0, hs_tracepoint(t, data, 32));
	COUNT("tracepoint_32B_nostamp", (void)0,
	      hs_tracepoint_plain(t, data, 32));
	/* By the library: a size that the compiler does not know. */
	__asm__ volatile("" : "+r"(size));
	COUNT("tracepoint_library", (void)0, hs_tracepoint(t, data, size));
	COUNT("span_5attr", (void)0, span_5attr(t));
	rules_load(&agent);
	COUNT("span_5attr_rules", span_5attr(t), span_5attr(t));
	COUNT("attr_i64", (void)0, hs_span_attr_i64(&span, "bytes", i));
	COUNT("begin_end_empty", (void)0,
	      hs_trace_end(hs_trace_begin(NULL, NULL)));
	COUNT("trace_of_one_span", fake_agent_stock_all(&agent, 0, TIMES),
	      one_span());
	COUNT("service_first", fake_agent_stock_all(&agent, 0, TIMES),
	      service_first(&first, &second, &out));
	COUNT("service_second", fake_agent_stock_all(&agent, 0, TIMES),
	      service_second(&second, &out));
	count_percentile("percentile_p99_256_values", 99);
	count_percentile("percentile_p9999_256_values", 99.99);
	hs_client_stats_get(&stats);
	harness_detach(&agent);
	if (stats.buffers_null + stats.entries_lost + stats.handles_lost) {
		fputs("count: something was lost, so nothing was counted\n",
		      stderr);
		return 1;
	}
	return 0;
}
