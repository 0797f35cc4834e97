/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: see held.h. Slices of the sizes that real traces have at a service
 * are written until the agent has evicted for a while; then it is asked how
 * many traces it holds, and the kernel how much memory it has, index and
 * ledger included.
 */
#include "bench/held.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/httpc.h"
#include "hs/hindsight.h"
#include "model/import.h"

#define SERIES	       "traceweaver/hotel_load100.tar.xz"
#define POOL_BYTES     (256ull << 20)
#define SMALLEST_BYTES 512u /* by default */
#define LARGE_BYTES    32768u
#define TIMES_FULL     2u
#define BURST	       64u
#define BURST_GAP_US   2000u
#define SPAN_BYTES     44u /* start and end, without names and attributes */
#define ATTR_BYTES     8u
#define VALUE_BYTES    6u /* of a value that is no text */
#define SLICES_MAX     65536u
#define SLICE_MAX      16384u

struct slices {
	uint32_t sizes[SLICES_MAX];
	uint32_t nr;
	bool real;
};

static uint32_t span_bytes(const struct hs_model_span *s)
{
	uint32_t n = SPAN_BYTES + s->name.len;

	for (uint32_t i = 0; i < s->attrs.nr; i++) {
		const struct hs_model_attr *a = &s->attrs.items[i];
		bool is_text = a->value.type == HS_MODEL_VALUE_STRING;

		n += ATTR_BYTES + a->key.len +
		     (is_text ? a->value.str.len : VALUE_BYTES);
	}
	return n;
}

static void add_trace(struct slices *s, const struct hs_model_trace *t)
{
	for (uint32_t r = 0; r < t->nr_resources; r++) {
		uint32_t n = 0;

		for (uint32_t i = 0; i < t->nr_spans; i++)
			if (t->spans[i]->resource == r)
				n += span_bytes(t->spans[i]);
		if (n && s->nr < SLICES_MAX)
			s->sizes[s->nr++] = n < SLICE_MAX ? n : SLICE_MAX;
	}
}

static void load(struct slices *s)
{
	const char *dir = getenv("HS_SHARED_DATA");
	struct hs_model_import imp;
	struct hs_model_set set;
	char path[4096];

	snprintf(path, sizeof(path), "%s/" SERIES,
		 dir ? dir : "../shared/data");
	if (!access(path, R_OK)) {
		hs_model_set_init(&set);
		hs_model_import_init(&imp, &set);
		(void)hs_model_import_path(&imp, path);
		for (uint32_t i = 0; i < set.nr_traces; i++)
			add_trace(s, set.traces[i]);
		hs_model_set_destroy(&set);
	}
	s->real = s->nr > 0;
	for (uint32_t i = 0; !s->real && i < 1000; i++)
		s->sizes[s->nr++] = 300 + i * 7 % 1500;
}

/* The worker's resident memory, pool, ledgers and index all together. */
static uint64_t worker_bytes(int keeper)
{
	char path[64], line[256];
	uint64_t kb = 0;
	long child = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", keeper,
		 keeper);
	f = fopen(path, "re");
	if (f) {
		if (fscanf(f, "%ld", &child) != 1)
			child = 0;
		fclose(f);
	}
	snprintf(path, sizeof(path), "/proc/%ld/status", child);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, "VmRSS:", 6))
			kb = strtoull(line + 6, NULL, 10);
	if (f)
		fclose(f);
	return kb << 10;
}

static uint64_t ask_traces(const struct hs_bench_node *node)
{
	char socket[128];
	struct hs_httpc_target target = {.socket_path = socket};
	struct hs_httpc_response response;
	uint64_t traces = 0;
	const char *at;

	snprintf(socket, sizeof(socket), "%s/control.sock", node->dir);
	if (hs_httpc_request(&target, "GET", "/metrics", NULL, &response) ==
	    0) {
		at = strstr(response.body, "hindsight_agent_traces{");
		at = at ? strchr(at, ' ') : NULL;
		traces = at ? strtoull(at, NULL, 10) : 0;
	}
	hs_httpc_response_free(&response);
	return traces;
}

/* @bytes is what they take in buffers, at least. */
static void write_slices(const struct slices *s, uint64_t bytes,
			 uint32_t buffer_bytes, uint64_t *written)
{
	static uint8_t data[SLICE_MAX];
	uint64_t used = 0;

	if (!buffer_bytes)
		buffer_bytes = SMALLEST_BYTES;
	for (uint32_t i = 0; used < bytes; i++) {
		uint32_t n = s->sizes[i % s->nr];
		struct hs_trace *t = hs_trace_begin(NULL, NULL);

		hs_tracepoint(t, data, n);
		hs_trace_end(t);
		used += (n / buffer_bytes + 1) * buffer_bytes;
		++*written;
		if (i % BURST == 0)
			usleep(BURST_GAP_US);
	}
}

static int one(const struct slices *s, uint32_t buffer_bytes, int agent_cpu,
	       double *per_gb, uint64_t *written, double *lost)
{
	struct hs_bench_node_config config = {
		.pool_bytes = POOL_BYTES,
		.buffer_bytes = buffer_bytes,
		.cpu = agent_cpu,
	};
	struct hs_bench_node node;
	uint64_t bytes;
	int rc = hs_bench_node_start(&node, &config);

	if (rc)
		return rc;
	*written = 0;
	write_slices(s, POOL_BYTES * TIMES_FULL, buffer_bytes, written);
	*lost = (double)hs_bench_lost() / (double)*written;
	usleep(200000);
	bytes = worker_bytes(node.pid);
	*per_gb = bytes ? (double)ask_traces(&node) * (double)(1u << 30) /
				  (double)bytes
			: 0;
	hs_bench_node_stop(&node);
	return 0;
}

int hs_bench_held(struct hs_bench_report *report, int agent_cpu)
{
	static struct slices s;
	struct hs_bench_result *r;
	double ours, large, lost, lost_large;
	uint64_t n, n_large, sum = 0;
	int rc;

	load(&s);
	for (uint32_t i = 0; i < s.nr; i++)
		sum += s.sizes[i];
	rc = one(&s, 0, agent_cpu, &ours, &n, &lost);
	if (!rc)
		rc = one(&s, LARGE_BYTES, agent_cpu, &large, &n_large,
			 &lost_large);
	if (rc)
		return rc;
	r = hs_bench_add(report, "traces_per_GB", "traces");
	r->median = r->p99 = r->low = r->high = ours;
	r->n = n;
	r->lost_share = lost > lost_large ? lost : lost_large;
	if (large > 0)
		hs_bench_ratio_add(r, "buffers_32kB", ours / large);
	snprintf(r->note, sizeof(r->note),
		 "buffers that grow; %s of %u slices, %llu bytes on average",
		 s.real ? "the real sizes" : "made sizes", s.nr,
		 (unsigned long long)(sum / s.nr));
	return 0;
}
