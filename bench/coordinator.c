/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: hs-perf coordinator: the traversal's state machine by itself, on
 * one core, over a set of live traces that no cache holds.
 *
 * Traces are chains of nodes, fired in waves: every step of one is followed by
 * the same step of thousands of others, so that its state has left the caches
 * when it is touched again. Agents and collector are the loop itself: it
 * answers every COLLECT and acknowledges every manifest; what that costs is
 * measured beside it and not subtracted.
 */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/aligned.h"
#include "base/args.h"
#include "base/clock.h"
#include "base/hash.h"
#include "bench/bench.h"
#include "coordinator/core.h"
#include "rdma/wire.h"

#define ROUNDS_DEFAULT 9u
#define NODES_MAX      64u

struct answer_to {
	struct hs_wire_trigger trigger;
	struct hs_wire_trace_id trace;
	uint32_t node;
};

struct rig {
	struct hs_coord_core *core;
	void *memory;
	size_t size_bytes;
	uint64_t now_ns;
	uint32_t nr_nodes, wave;
	uint64_t next; /* trace */
	struct answer_to *asked;
	uint32_t nr_asked;
	struct hs_wire_manifest_ack *told;
	uint32_t nr_told;
	uint64_t nr_hops, nr_messages, nr_stored, nr_manifest_bytes;
	uint64_t nr_short; /* manifests without all nodes */
	bool no_core;	   /* the loop alone */
};

static uint64_t id_of(uint32_t node)
{
	return (uint64_t)(node + 1) << 32 | 1;
}

static bool send_node(void *ctx, uint64_t node, uint16_t type,
		      const void *payload, uint32_t payload_bytes)
{
	struct rig *r = ctx;
	const struct hs_wire_group *g = payload;
	const struct hs_wire_trace_id *ids = (const void *)(g + 1);

	(void)payload_bytes;
	r->nr_messages++;
	if (type == HS_WIRE_STORED) {
		r->nr_stored++;
		return true;
	}
	for (uint32_t i = 0; type == HS_WIRE_COLLECT && i < g->nr; i++)
		r->asked[r->nr_asked++] = (struct answer_to){
			g->trigger, ids[i], (uint32_t)(node >> 32) - 1};
	return true;
}

static bool send_collector(void *ctx, const struct hs_wire_trace_id *trace,
			   uint16_t type, const void *payload,
			   uint32_t payload_bytes)
{
	struct rig *r = ctx;
	const struct hs_wire_manifest *m = payload;

	(void)type;
	r->nr_messages++;
	r->nr_manifest_bytes += payload_bytes;
	r->nr_short += m->nr_answers != r->nr_nodes;
	r->told[r->nr_told++] =
		(struct hs_wire_manifest_ack){*trace, m->epoch, m->version, 0};
	return true;
}

static const struct hs_coord_ops ops = {send_node, send_collector, NULL};

/* What a node of the chain says: the one before it, and the one after. */
static void say(struct rig *r, uint16_t type,
		const struct hs_wire_trigger *trigger,
		const struct hs_wire_trace_id *trace, uint32_t node)
{
	struct {
		struct hs_wire_group group;
		struct hs_wire_answer answer;
		struct hs_wire_crumb crumbs[2];
	} m = {.group = {.trigger = *trigger, .nr = 1},
	       .answer = {.trace = *trace,
			  .node = id_of(node),
			  .rev = 1,
			  .state = HS_WIRE_STATE_CLOSED,
			  .nr_buffers = 1,
			  .nr_bytes = 600}};
	uint32_t nr = 0;

	if (node > 0)
		m.crumbs[nr++] = (struct hs_wire_crumb){id_of(node - 1),
							HS_WIRE_CRUMB_BACK, 0};
	if (node + 1 < r->nr_nodes)
		m.crumbs[nr++] = (struct hs_wire_crumb){
			id_of(node + 1), HS_WIRE_CRUMB_FORWARD, 0};
	m.answer.nr_crumbs = nr;
	r->nr_messages++;
	r->nr_hops++;
	if (!r->no_core)
		hs_coord_core_message(
			r->core, r->now_ns, id_of(node), type, &m,
			(uint32_t)(sizeof(m) - (2 - nr) * sizeof(m.crumbs[0])));
	else if (node + 1 < r->nr_nodes)
		r->asked[r->nr_asked++] =
			(struct answer_to){*trigger, *trace, node + 1};
}

static void fire(struct rig *r)
{
	uint64_t number = ++r->next;
	struct hs_wire_trace_id id = {hs_hash_mix64(number), number};
	struct hs_wire_trigger t = {
		.origin = id_of(0), .key = number, .primary = id};

	memcpy(t.name, "slow", 5);
	say(r, HS_WIRE_TRIGGER, &t, &id, 0);
}

static void wave(struct rig *r)
{
	for (uint32_t i = 0; i < r->wave; i++)
		fire(r);
	while (r->nr_asked) {
		uint32_t nr = r->nr_asked;

		/* A thousand answers a round of the shell, as epoll has it. */
		for (uint32_t i = 0; i < nr; i++) {
			struct answer_to at = r->asked[i];

			r->now_ns += 100;
			say(r, HS_WIRE_CRUMBS, &at.trigger, &at.trace, at.node);
		}
		memmove(r->asked, r->asked + nr,
			(r->nr_asked - nr) * sizeof(*r->asked));
		r->nr_asked -= nr;
	}
	for (uint32_t i = 0; i < r->nr_told; i++) {
		r->nr_messages++;
		hs_coord_core_message(r->core, r->now_ns, 9999ull << 32,
				      HS_WIRE_MANIFEST_ACK, &r->told[i],
				      sizeof(r->told[i]));
	}
	r->nr_told = 0;
	if (!r->no_core)
		hs_coord_core_tick(r->core, r->now_ns);
}

static void *pages(size_t size_bytes)
{
	void *p = hs_aligned_pages(size_bytes); /* as the daemon does */

	if (!p)
		abort();
	return p;
}

static void rig_make(struct rig *r, uint32_t nr_live, uint32_t nr_nodes)
{
	struct hs_coord_config config = {
		.node = 1ull << 62,
		.epoch = 1,
		.seed = 0x5eed,
		.nr_traces = nr_live,
		.nr_visits = nr_live * nr_nodes + 4096,
		.nr_crumbs = nr_live * nr_nodes * 2 + 8192,
		.nr_requests = nr_live,
		.nr_triggers = nr_live + 1024,
		.window = nr_live,
		.origin_per_s = 1000000000,
		.origin_waiting = nr_live * nr_nodes,
	};

	*r = (struct rig){.nr_nodes = nr_nodes, .now_ns = HS_NS_PER_SEC};
	r->wave = nr_live / 8;
	r->size_bytes = hs_coord_core_size_bytes(&config);
	r->memory = pages(r->size_bytes);
	r->asked = pages(2 * r->wave * sizeof(*r->asked));
	r->told = pages(2 * r->wave * sizeof(*r->told));
	r->core = hs_coord_core_create(r->memory, &config, &ops, r, r->now_ns);
	for (uint32_t n = 0; n < nr_nodes; n++)
		hs_coord_core_node_up(r->core, r->now_ns, id_of(n));
}

static void rig_free(struct rig *r)
{
	munmap(r->memory, r->size_bytes);
	munmap(r->asked, 2 * r->wave * sizeof(*r->asked));
	munmap(r->told, 2 * r->wave * sizeof(*r->told));
}

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * HS_NS_PER_SEC + (uint64_t)t.tv_nsec;
}

/* Hops a second of each wave, in time of this thread's cpu. */
static void measure(struct rig *r, struct hs_bench_result *out, uint32_t rounds,
		    uint64_t *heap)
{
	double *samples = calloc(rounds, sizeof(*samples));
	uint64_t hops = r->nr_hops;

	if (!samples)
		abort();
	*heap = mallinfo2().uordblks;
	for (uint32_t i = 0; i < rounds; i++) {
		uint64_t was = r->nr_hops, from = cpu_ns();

		wave(r);
		samples[i] = (double)(r->nr_hops - was) * 1e9 /
			     (double)(cpu_ns() - from);
	}
	*heap = mallinfo2().uordblks - *heap;
	hs_bench_summarize(out, samples, rounds);
	out->n = r->nr_hops - hops;
	free(samples);
}

static void hops(struct hs_bench_report *report, uint32_t nr_live,
		 uint32_t nr_nodes, uint32_t rounds)
{
	struct hs_bench_result *out, loop = {.unit = "ops/s"};
	uint64_t messages, heap, unused;
	struct rig r;

	rig_make(&r, nr_live, nr_nodes);
	/* Until every place has been used, and used again. */
	for (uint32_t i = 0; i < 16; i++)
		wave(&r);
	r.nr_short = r.nr_stored = 0;
	messages = r.nr_messages;
	out = hs_bench_add(report, "hop_transitions_per_s", "ops/s");
	measure(&r, out, rounds, &heap);
	messages = r.nr_messages - messages;
	out->lost_share =
		(double)(rounds * (uint64_t)r.wave - r.nr_stored + r.nr_short) /
		(double)(rounds * (uint64_t)r.wave);
	r.no_core = true;
	measure(&r, &loop, rounds, &unused);
	hs_bench_ratio_add(out, "loop_alone", out->median / loop.median);
	snprintf(out->note, sizeof(out->note),
		 "%u live traces of %u nodes in %zu MB, waves of %u; %.2f "
		 "messages a trigger; %llu bytes allocated meanwhile",
		 nr_live, nr_nodes, r.size_bytes >> 20, r.wave,
		 (double)messages / (double)(rounds * (uint64_t)r.wave),
		 (unsigned long long)heap);
	out = hs_bench_add(report, "messages_per_trigger", "messages");
	out->median = out->low = out->high = out->p99 =
		(double)messages / (double)(rounds * (uint64_t)r.wave);
	out->n = rounds * (uint64_t)r.wave;
	snprintf(out->note, sizeof(out->note),
		 "TRIGGER, COLLECT, CRUMBS, MANIFEST, MANIFEST_ACK, STORED of "
		 "a chain of %u nodes: 2 a node and 2 is %u",
		 nr_nodes, 2 * nr_nodes + 2);
	rig_free(&r);
}

int hs_perf_coordinator(int argc, char **argv)
{
	uint64_t live = 1u << 17, nodes = 10, rounds = ROUNDS_DEFAULT;
	bool json = false;
	const struct hs_args_option options[] = {
		{"live", 'l', HS_ARGS_U64, &live, "N", "live traces", 1024,
		 1u << 22},
		{"nodes", 'n', HS_ARGS_U64, &nodes, "N", "of each trace", 2,
		 NODES_MAX},
		{"rounds", 'r', HS_ARGS_U64, &rounds, "N", "waves measured", 1,
		 1000},
		{"json", 'j', HS_ARGS_FLAG, &json, NULL,
		 "one JSON object, as docs/BENCH.md says", 0, 0},
	};
	const struct hs_args_program program = {
		.name = "hs-perf coordinator",
		.synopsis = "[options]",
		.summary = "The coordinator's state machine alone: hops of "
			   "traversals a second, manifests included.",
		.options = options,
		.nr_options = sizeof(options) / sizeof(options[0]),
		.exit_codes = "0 good\n1 invalid or not measured\n2 usage\n",
	};
	struct hs_bench_report report = {0};
	int first, rc;

	rc = hs_args_parse(&program, argc, argv, &first, stdout, stderr);
	if (rc)
		return rc == HS_ARGS_HELP ? 0 : HS_ARGS_EXIT_USAGE;
	report.json = json;
	hs_bench_pin(hs_bench_nr_cpus() - 1);
	hs_bench_control_run(&report, 200 * HS_NS_PER_MS);
	hops(&report, (uint32_t)live, (uint32_t)nodes, (uint32_t)rounds);
	rc = hs_bench_print(&report, stdout);
	hs_bench_free(&report);
	return rc;
}
