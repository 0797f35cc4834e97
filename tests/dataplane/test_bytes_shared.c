/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes that a span takes in memory, on the shared data: every trace's spans,
 * a handle for each of its services, through the public API. The bounds are
 * what is reached and a little. Skipped, and saying so, where the data is
 * missing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness.h"
#include "model/import.h"
#include "tools/replay/emit.h"

static const struct {
	const char *file;
	double bound;
} sets[] = {
	{"traceweaver/hotel_load100.tar.xz", 154},
	{"traceweaver/media_load50.tar.xz", 94},
	{"traceweaver/node_load50.tar.xz", 215},
	{"nezha/onlineboutique_2022-08-23_12h_trace_csv.tar.xz", 58.5},
};
static char folder[4000];
static struct fake_agent agent;

/* The spans of one resource of a trace, as a process of its own has them. */
static void emit(const struct hs_model_trace *t, uint32_t resource)
{
	struct hs_resource *r = hs_replay_emit_resource(t->resources[resource]);
	struct hs_trace_id id = hs_replay_emit_trace_id(t->id);
	struct hs_trace *trace = hs_trace_begin(&id, NULL);

	for (uint32_t i = 0; i < t->nr_spans; i++) {
		struct hs_span span;

		if (t->spans[i]->resource != resource)
			continue;
		hs_replay_emit_start(trace, &span, t->spans[i], r);
		for (uint32_t k = 0; k < t->spans[i]->nr_events; k++)
			hs_replay_emit_event(&span, &t->spans[i]->events[k]);
		hs_replay_emit_end(&span, t->spans[i]);
	}
	hs_trace_end(trace);
	hs_resource_destroy(r);
}

/* Bytes of all that was published; then the agent forgets it. */
static uint64_t take_bytes(void)
{
	uint64_t bytes = 0;

	fake_agent_drain(&agent);
	for (uint32_t i = 0; i < agent.nr_entries; i++)
		if (agent.entries[i].u.buffer.ref != HS_SHM_NO_BUFFER)
			bytes += (agent.entries[i].u.buffer.committed &
				  0x0fffffff) -
				 sizeof(struct hs_shm_buffer);
	agent.nr_entries = 0;
	agent.pool_used = 0;
	return bytes;
}

static double bytes_per_span(const char *file)
{
	struct hs_model_set set;
	struct hs_model_import imp;
	struct hs_client_stats stats;
	uint64_t bytes = 0, spans = 0;
	char path[4200];

	snprintf(path, sizeof(path), "%s/%s", folder, file);
	hs_model_set_init(&set);
	hs_model_import_init(&imp, &set);
	assert_int_equal(hs_model_import_path(&imp, path), 0);
	for (uint32_t i = 0; i < set.nr_traces && spans < 50000; i++) {
		const struct hs_model_trace *t = set.traces[i];

		for (uint32_t r = 0; r < t->nr_resources; r++) {
			fake_agent_stock_all(&agent, 1, 1);
			emit(t, r);
			bytes += take_bytes();
		}
		spans += t->nr_spans;
	}
	hs_model_set_destroy(&set);
	hs_client_stats_get(&stats);
	assert_int_equal(stats.buffers_null, 0);
	return (double)bytes / (double)spans;
}

static void test_bytes(void **state)
{
	struct fake_config config = fake_config_default();

	config.class_bytes[1] = 65536;
	config.pool_bytes = 8u << 20;
	config.ring_words = 65536;
	config.nr_rings = 1;
	harness_attach(&agent, &config, NULL);
	for (size_t i = 0; i < sizeof(sets) / sizeof(*sets); i++) {
		double n = bytes_per_span(sets[i].file);

		printf("%-54s %6.1f bytes a span, bound %g\n", sets[i].file, n,
		       sets[i].bound);
		assert_true(n <= sets[i].bound);
	}
	harness_detach(&agent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_bytes)};
	const char *dir = getenv("HS_SHARED_DATA");
	char path[4200];

	snprintf(folder, sizeof(folder), "%s", dir ? dir : HS_SHARED_DATA);
	snprintf(path, sizeof(path), "%s/%s", folder, sets[0].file);
	if (access(path, R_OK)) {
		printf("skipped: no %s (HS_SHARED_DATA)\n", path);
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
