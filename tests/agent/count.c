/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs what a worker's round asks of the core for a known number of buffers
 * between callgrind's marks: stock, a lane's entries, evictions, a tick; what a
 * successor does for each that it finds; and a collector that is back, of a
 * pool where next to nothing is under way. count.py reads off what one took.
 */
#include <stdlib.h>
#include <string.h>

#include <valgrind/callgrind.h>

#include "agent/core.h"
#include "base/hash.h"

#define PIECES	     8192u /* count.py knows it */
#define BATCH	     128u
#define NR_BUFFERS   16384u
#define BUFFER_BYTES 1024u
#define SECOND_NS    1000000000ull

static uint64_t send_coordinator(void *ctx,
				 const struct hs_wire_trace_id *primary,
				 uint32_t attempt, uint16_t type,
				 const void *payload, uint32_t payload_bytes)
{
	(void)payload;
	return 1;
}

static bool send_node(void *ctx, uint64_t node, uint16_t type,
		      const void *payload, uint32_t payload_bytes)
{
	(void)payload;
	return true;
}

static bool ships;

static enum hs_agent_shipped ship(void *ctx, const struct hs_agent_slice *slice)
{
	(void)slice;
	return ships ? HS_AGENT_SHIP_COPIED : HS_AGENT_SHIP_NOT;
}

static void grace(void *ctx)
{
	(void)ctx;
}

static struct hs_agent_core *core;
static void *ledger, *domain_ledger;
static uint64_t now_ns = 1, next_id = 1;

static void *memory(size_t size_bytes)
{
	void *p = NULL;

	if (posix_memalign(&p, 4096, (size_bytes + 4095) & ~(size_t)4095))
		abort();
	memset(p, 0, size_bytes);
	return p;
}

static const struct hs_agent_domain_config domain = {.nr_buffers = NR_BUFFERS,
						     .buffer_bytes =
							     BUFFER_BYTES,
						     .nr_classes = 4,
						     .chunk_units = 2048};

/* Over what lies in the ledgers. */
static void core_make(void *of_core, void *of_domain)
{
	static const struct hs_agent_ops ops = {send_coordinator, send_node,
						ship, NULL};
	struct hs_agent_config config = {
		.node_id = 1, .index_seed = 77, .grace = grace};

	core = hs_agent_core_create(of_core, ledger, &config, &ops, NULL,
				    now_ns, 0);
	if (!core || hs_agent_core_domain_add(core, 0, of_domain, domain_ledger,
					      &domain, now_ns))
		abort();
}

static void ledgers_make(void)
{
	struct hs_agent_config config = {.node_id = 1};

	ledger = memory(hs_agent_node_ledger_bytes(&config));
	domain_ledger = memory(hs_agent_domain_ledger_bytes(&domain));
}

static void *core_memory(void)
{
	struct hs_agent_config config = {.node_id = 1};

	return memory(hs_agent_core_size_bytes(&config));
}

static void *domain_memory(void)
{
	return memory(hs_agent_domain_size_bytes(&domain));
}

/* @of_trace buffers each, 0: traces without one. */
static void batch(uint32_t of_trace)
{
	struct hs_shm_entry entries[BATCH];
	uint64_t words[BATCH];

	now_ns += 100000;
	if (of_trace &&
	    hs_agent_core_stock_some(core, 0, 1, 0, 0, words, BATCH) != BATCH)
		abort();
	for (uint32_t i = 0; i < BATCH; i++) {
		struct hs_shm_entry *e = &entries[i];
		bool last = !of_trace || i % of_trace == of_trace - 1;

		*e = (struct hs_shm_entry){
			.trace_hi = hs_hash_mix64(next_id),
			.trace_lo = next_id,
			.handle = (uint32_t)next_id,
			.type = last ? HS_SHM_ENTRY_END : HS_SHM_ENTRY_BUFFER,
			.u.buffer.ref = HS_SHM_NO_BUFFER,
		};
		next_id += last;
		if (!of_trace)
			continue;
		e->u.buffer.ref = hs_shm_stock_ref(words[i]);
		e->u.buffer.committed = BUFFER_BYTES;
	}
	if (hs_agent_core_entries(core, 0, 1, entries, BATCH, NULL, 0,
				  now_ns) != BATCH)
		abort();
	hs_agent_core_tick(core, now_ns);
}

/* Traces of one buffer, whose request came from another node: as much again. */
static void batch_called(uint32_t unused)
{
	struct hs_shm_entry entries[2 * BATCH];
	uint64_t words[BATCH];

	now_ns += 100000;
	if (hs_agent_core_stock_some(core, 0, 1, 0, 0, words, BATCH) != BATCH)
		abort();
	for (uint32_t i = 0; i < BATCH; i++, next_id++) {
		struct hs_shm_entry *e = &entries[2 * i];

		e[0] = (struct hs_shm_entry){
			.trace_hi = hs_hash_mix64(next_id),
			.trace_lo = next_id,
			.handle = (uint32_t)next_id,
			.type = HS_SHM_ENTRY_CRUMB,
			.aux = HS_SHM_CRUMB_BACK,
			.u.arg = 1ull << 32 | 5,
		};
		e[1] = e[0];
		e[1].type = HS_SHM_ENTRY_END;
		e[1].aux = 0;
		e[1].u.buffer.ref = hs_shm_stock_ref(words[i]);
		e[1].u.buffer.committed = BUFFER_BYTES;
	}
	if (hs_agent_core_entries(core, 0, 1, entries, 2 * BATCH, NULL, 0,
				  now_ns) != 2 * BATCH)
		abort();
	hs_agent_core_tick(core, now_ns);
}

static void count(const char *name, void (*round)(uint32_t), uint32_t of_trace)
{
	/* Until all of the pool, and of the index, has been used twice. */
	for (uint32_t i = 0; i < 4 * NR_BUFFERS / BATCH; i++)
		round(of_trace);
	CALLGRIND_ZERO_STATS;
	CALLGRIND_TOGGLE_COLLECT;
	for (uint32_t i = 0; i < PIECES / BATCH; i++)
		round(of_trace);
	CALLGRIND_TOGGLE_COLLECT;
	CALLGRIND_DUMP_STATS_AT(name);
}

/* One slice is to go again, of a pool of twice PIECES buffers. */
static void count_collector_up(void)
{
	struct hs_wire_trace_id id;
	struct hs_agent_stats stats;

	batch(1);
	id = (struct hs_wire_trace_id){hs_hash_mix64(next_id - 1), next_id - 1};
	ships = true;
	if (hs_agent_core_fire(core, "count", &id, 1, now_ns))
		abort();
	hs_agent_core_tick(core, now_ns);
	CALLGRIND_ZERO_STATS;
	CALLGRIND_TOGGLE_COLLECT;
	hs_agent_core_collector_up(core, now_ns);
	CALLGRIND_TOGGLE_COLLECT;
	CALLGRIND_DUMP_STATS_AT("collector_up");
	hs_agent_core_tick(core, now_ns);
	ships = false;
	hs_agent_core_stats_get(core, &stats);
	if (stats.slices_sent != 2 || stats.slices_resent != 1)
		abort();
}

/*
 * A successor's whole work for PIECES buffers, each of a trace of its own, half
 * of which were published before those that lie in front of them.
 */
static void count_adoption(void)
{
	void *of_core, *of_domain;
	struct hs_agent_stats stats;

	ledgers_make();
	core_make(core_memory(), domain_memory());
	for (uint32_t i = 0; i < PIECES / BATCH; i++) {
		if (i == PIECES / BATCH / 2)
			now_ns -= SECOND_NS;
		batch(1);
	}
	now_ns += 2 * SECOND_NS;
	of_core = core_memory();
	of_domain = domain_memory();
	CALLGRIND_ZERO_STATS;
	CALLGRIND_TOGGLE_COLLECT;
	core_make(of_core, of_domain);
	CALLGRIND_TOGGLE_COLLECT;
	CALLGRIND_DUMP_STATS_AT("adopted");
	hs_agent_core_stats_get(core, &stats);
	if (stats.adopted_buffers != PIECES)
		abort();
}

int main(void)
{
	CALLGRIND_ZERO_STATS;
	CALLGRIND_TOGGLE_COLLECT;
	CALLGRIND_TOGGLE_COLLECT;
	CALLGRIND_DUMP_STATS_AT("empty");
	ledgers_make();
	core_make(core_memory(), domain_memory());
	count("buffer_of_4", batch, 4);
	count("trace_of_1", batch, 1);
	count("trace_called", batch_called, 0);
	count("trace_empty", batch, 0);
	count_collector_up();
	count_adoption();
	return 0;
}
