/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: hs-perf index: the agent's trace index beside liburcu's rculfhash
 * and DPDK's rte_hash, and what a buffer of 1 kB costs the agent's core.
 *
 * The index by itself is index_layer.c; here is the core as a whole, through
 * the calls that the worker makes: with the ledger, the marks of evicted
 * traces, the fired ones, all checks of what a lane says.
 */
#include "bench/index_layer.h"

#include <stdio.h>
#include <string.h>

#include "agent/core.h"
#include "base/args.h"
#include "base/clock.h"
#include "bench/bench.h"

#define BATCH	       HS_BENCH_INDEX_BATCH
#define BUFFER_BYTES   1024u
#define NR_CLASSES     4u /* the others are there, and idle */
#define CHUNK_BYTES    (2u << 20)
#define TRACE_BUFFERS  4u /* of agent_ns_per_buffer */
#define ROUNDS_DEFAULT 7u

struct ours {
	struct hs_agent_core *core;
	struct hs_agent_config config;
	void *memory[4];
	size_t size_bytes[4];
	uint64_t now_ns;
};

static uint64_t no_coordinator(void *ctx,
			       const struct hs_wire_trace_id *primary,
			       uint32_t attempt, uint16_t type,
			       const void *payload, uint32_t payload_bytes)
{
	(void)payload;
	return 1ull << 32;
}

static bool no_node(void *ctx, uint64_t node, uint16_t type,
		    const void *payload, uint32_t payload_bytes)
{
	(void)payload;
	return true;
}

static enum hs_agent_shipped no_ship(void *ctx,
				     const struct hs_agent_slice *slice)
{
	(void)slice;
	return HS_AGENT_SHIP_NOT;
}

/* What a grace period costs with the readers of the bench: there are none. */
static void no_readers(void *ctx)
{
	(void)ctx;
}

static void ours_drop(struct hs_bench_index *index)
{
	struct ours *o = index->state;

	for (int i = 0; i < 4; i++)
		munmap(o->memory[i], o->size_bytes[i]);
	free(o);
	index->state = NULL;
}

static struct ours *ours_make(struct hs_bench_index *index)
{
	static const struct hs_agent_ops ops = {no_coordinator, no_node,
						no_ship, NULL};
	/* Four fifths of the pool hold traces: the default threshold. */
	struct hs_agent_domain_config domain = {
		.nr_buffers = (uint32_t)((uint64_t)index->nr_live * 5 / 4),
		.buffer_bytes = BUFFER_BYTES,
		.nr_classes = NR_CLASSES,
		.chunk_units = CHUNK_BYTES / BUFFER_BYTES};
	struct ours *o = calloc(1, sizeof(*o));

	if (!o)
		abort();
	o->config = (struct hs_agent_config){.node_id = 1,
					     .index_seed = HS_BENCH_INDEX_SEED,
					     .grace = no_readers};
	o->size_bytes[0] = hs_agent_core_size_bytes(&o->config);
	o->size_bytes[1] = hs_agent_node_ledger_bytes(&o->config);
	o->size_bytes[2] = hs_agent_domain_size_bytes(&domain);
	o->size_bytes[3] = hs_agent_domain_ledger_bytes(&domain);
	for (int i = 0; i < 4; i++)
		o->memory[i] =
			hs_bench_index_memory(o->size_bytes[i], index->is_huge);
	o->now_ns = 1;
	o->core = hs_agent_core_create(o->memory[0], o->memory[1], &o->config,
				       &ops, NULL, o->now_ns, 0);
	if (!o->core || hs_agent_core_domain_add(o->core, 0, o->memory[2],
						 o->memory[3], &domain, 1))
		abort();
	index->state = o;
	index->drop = ours_drop;
	return o;
}

static struct hs_shm_entry entry_of(struct hs_bench_index_id id, uint8_t type)
{
	return (struct hs_shm_entry){
		.trace_hi = id.hi, .trace_lo = id.lo, .type = type};
}

/* One lane entry with a buffer from the stock. */
static struct hs_shm_entry buffer_entry(struct hs_bench_index *index,
					struct hs_bench_index_id id,
					uint8_t type)
{
	struct ours *o = index->state;
	uint64_t word = hs_agent_core_stock(o->core, 0, 1);
	struct hs_shm_entry e = entry_of(id, type);

	if (!word)
		index->nr_lost++;
	e.u.buffer.ref = hs_shm_stock_ref(word);
	e.u.buffer.committed = BUFFER_BYTES;
	return e;
}

static void ours_run(void *context, uint32_t n)
{
	struct hs_bench_index *index = context;
	struct ours *o = index->state ? index->state : ours_make(index);

	for (uint32_t done = 0; done < n; done += BATCH) {
		struct hs_shm_entry entries[2 * BATCH];
		struct hs_wire_trace_id ids[BATCH];
		struct hs_agent_seen seen[BATCH];

		o->now_ns += 1000;
		for (uint32_t i = 0; i < BATCH; i++) {
			uint64_t number = index->next++;
			struct hs_bench_index_id id = hs_bench_index_id(number),
						 any = hs_bench_index_any(
							 index, number);

			entries[2 * i] =
				buffer_entry(index, id, HS_SHM_ENTRY_BUFFER);
			entries[2 * i + 1] = entry_of(id, HS_SHM_ENTRY_CRUMB);
			entries[2 * i + 1].u.arg = number + 2;
			ids[i] = (struct hs_wire_trace_id){any.hi, any.lo};
		}
		if (hs_agent_core_entries(o->core, 0, 1, entries, 2 * BATCH,
					  NULL, 0, o->now_ns) != 2 * BATCH)
			index->nr_lost += BATCH;
		if (index->next <= index->nr_live)
			continue;
		index->nr_lost += BATCH - hs_agent_core_seen(o->core, 0, ids,
							     BATCH, seen);
	}
}

/* As a worker's round: stock, a lane's entries, a tick. n buffers. */
static void buffers_run(void *context, uint32_t n)
{
	struct hs_bench_index *index = context;
	struct ours *o = index->state ? index->state : ours_make(index);

	for (uint32_t done = 0; done < n; done += BATCH) {
		struct hs_shm_entry entries[2 * BATCH];
		uint32_t nr = 0;

		o->now_ns += 1000;
		for (uint32_t i = 0; i < BATCH; i++) {
			bool last = i % TRACE_BUFFERS == TRACE_BUFFERS - 1;
			struct hs_bench_index_id id =
				hs_bench_index_id(index->next);

			entries[nr++] = buffer_entry(
				index, id,
				last ? HS_SHM_ENTRY_END : HS_SHM_ENTRY_BUFFER);
			if (!last)
				continue;
			entries[nr] = entry_of(id, HS_SHM_ENTRY_CRUMB);
			entries[nr++].u.arg = ++index->next + 2;
		}
		if (hs_agent_core_entries(o->core, 0, 1, entries, nr, NULL, 0,
					  o->now_ns) != nr)
			index->nr_lost += BATCH;
		hs_agent_core_tick(o->core, o->now_ns);
	}
}

static void finish(struct hs_bench_result *r, const struct hs_bench_op *ops,
		   uint32_t nr_ops)
{
	for (uint32_t k = 0; k < nr_ops; k++) {
		struct hs_bench_index *index = ops[k].context;

		if (index->nr_lost)
			r->lost_share += (double)index->nr_lost / (double)r->n;
		index->drop(index);
	}
}

/* From ns for one to how many a second; ratios as well. */
static void turn_round(struct hs_bench_result *r)
{
	double low = r->low;

	r->median = 1e9 / r->median;
	r->p99 = 1e9 / r->p99;
	r->low = 1e9 / r->high;
	r->high = 1e9 / low;
	for (uint32_t k = 0; k < r->nr_ratios; k++)
		r->ratios[k].value = 1 / r->ratios[k].value;
}

static struct hs_bench_op contender(const char *name,
				    void (*run)(void *context, uint32_t n),
				    struct hs_bench_index *index)
{
	return (struct hs_bench_op){
		.name = name, .run = run, .context = index, .on_cpu = true};
}

static void one_size(struct hs_bench_report *report, uint32_t order, bool huge,
		     uint32_t rounds, const struct hs_bench_peer *urcu,
		     const struct hs_bench_peer *rte)
{
	struct hs_bench_index index[5];
	struct hs_bench_op ops[5];
	struct hs_bench_result *r;
	uint32_t nr = 0, nr_live = 1u << order;
	char name[48];

	memset(index, 0, sizeof(index));
	ops[nr++] = contender("ours", hs_bench_index_layer_run, &index[0]);
	ops[nr] = contender("whole_core", ours_run, &index[nr]);
	nr++;
	if (urcu) {
		ops[nr] = contender("rculfhash", urcu->run, &index[nr]);
		nr++;
		index[nr].prefetches = true;
		ops[nr] = contender("rculfhash_prefetched", urcu->run,
				    &index[nr]);
		nr++;
	}
	if (rte) {
		index[nr].prefetches = true;
		ops[nr] = contender("rte_hash_bulk", rte->run, &index[nr]);
		nr++;
	}
	for (uint32_t k = 0; k < nr; k++) {
		index[k].nr_live = nr_live;
		index[k].is_huge = huge;
		/* Until all of it has been used, and used again. */
		ops[k].run(&index[k], nr_live * 2 + BATCH);
		index[k].nr_lost = 0;
	}
	snprintf(name, sizeof(name), "index_cycle_%u%c",
		 order < 20 ? nr_live >> 10 : nr_live >> 20,
		 order < 20 ? 'k' : 'M');
	r = hs_bench_add(report, name, "ops/s");
	hs_bench_turns(r, ops, nr, 1u << 16, rounds);
	finish(r, ops, nr);
	snprintf(r->note, sizeof(r->note),
		 "%.3g ns a cycle, %.3g of the whole core with its ledger; %s "
		 "pages",
		 r->median, r->median / r->ratios[0].value,
		 huge ? "huge" : "small");
	turn_round(r);
}

static void buffers(struct hs_bench_report *report, bool huge, uint32_t rounds)
{
	/* A pool of 1 GB */
	struct hs_bench_index index = {.nr_live = (1u << 20) / 5 * 4,
				       .is_huge = huge};
	struct hs_bench_op op = contender("core", buffers_run, &index);
	struct hs_bench_result *r =
		hs_bench_add(report, "agent_ns_per_buffer", "ns");

	buffers_run(&index, 2u << 20);
	index.nr_lost = 0;
	hs_bench_turns(r, &op, 1, 1u << 18, rounds);
	finish(r, &op, 1);
	snprintf(r->note, sizeof(r->note),
		 "the core's share: stock, index, crumb, evict, tick; 1 kB "
		 "buffers, %u a trace, pool of 1 GB, %s pages",
		 TRACE_BUFFERS, huge ? "huge" : "small");
}

int hs_perf_index(int argc, char **argv)
{
	uint64_t from = 20, to = 20, rounds = ROUNDS_DEFAULT;
	bool json = false, alone = false, huge = false;
	const struct hs_args_option options[] = {
		{"from", 'f', HS_ARGS_U64, &from, "N",
		 "the smallest index, 2^N live traces", 14, 22},
		{"to", 't', HS_ARGS_U64, &to, "N", "the largest", 14, 22},
		{"rounds", 'r', HS_ARGS_U64, &rounds, "N", "turns of each", 1,
		 1000},
		{"huge", 'H', HS_ARGS_FLAG, &huge, NULL,
		 "huge pages for all but the tables inside the peers' "
		 "libraries, which have no way to ask for them here",
		 0, 0},
		{"alone", 'a', HS_ARGS_FLAG, &alone, NULL, "without peers", 0,
		 0},
		{"json", 'j', HS_ARGS_FLAG, &json, NULL,
		 "one JSON object, as docs/BENCH.md says", 0, 0},
	};
	const struct hs_args_program program = {
		.name = "hs-perf index",
		.synopsis = "[options]",
		.summary = "The full cycle of the agent's trace index, and its "
			   "cost of a buffer.",
		.options = options,
		.nr_options = sizeof(options) / sizeof(options[0]),
		.exit_codes = "0 good\n1 invalid or not measured\n2 usage\n",
	};
	const struct hs_bench_peer *urcu = NULL, *rte = NULL;
	struct hs_bench_report report = {0};
	int first, rc, cpu = hs_bench_nr_cpus() - 1;

	rc = hs_args_parse(&program, argc, argv, &first, stdout, stderr);
	if (rc)
		return rc == HS_ARGS_HELP ? 0 : HS_ARGS_EXIT_USAGE;
	report.json = json;
	hs_bench_pin(cpu);
	if (!alone) {
		urcu = hs_bench_peer_open("rculfhash", cpu);
		rte = hs_bench_peer_open("rte_hash", cpu);
	}
	hs_bench_control_run(&report, 200 * HS_NS_PER_MS);
	for (uint32_t order = (uint32_t)from; order <= to; order += 2)
		one_size(&report, order, huge, (uint32_t)rounds, urcu, rte);
	buffers(&report, huge, (uint32_t)rounds);
	if (rte)
		rte->stop();
	if (urcu)
		urcu->stop();
	rc = hs_bench_print(&report, stdout);
	hs_bench_free(&report);
	return rc;
}
