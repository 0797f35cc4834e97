/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_world.h - one node's logic with its ledgers, a virtual clock and all
 * that it sends; checked after each step
 */
#ifndef HS_TESTS_AGENT_CORE_WORLD_H
#define HS_TESTS_AGENT_CORE_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core.h"
#include "base/random.h"
#include "rdma/wire.h"

#define NODE	     0x0000000700000001ull
#define BUFFER_BYTES 1024u
#define NR_BUFFERS   64u
#define OUT_MAX	     256

struct sent {
	uint16_t type;
	uint64_t to;
	uint32_t attempt;
	uint32_t bytes;
	uint8_t payload[8192];
};

struct world {
	struct hs_agent_core *core;
	struct hs_agent_config config;
	struct hs_agent_domain_config domain;
	void *memory, *domain_memory;
	void *ledger, *domain_ledger;
	uint64_t now_ns;
	struct sent out[OUT_MAX];
	uint32_t nr_out;
	struct hs_agent_slice slices[1024];
	uint32_t nr_slices;
	bool full;     /* the carrier takes nothing */
	uint32_t away; /* collectors, of even and of odd traces: bits */
	bool lend;     /* it reads where slices lie, until they are returned */
	struct hs_shm_slot slots[16];
};

static inline void record(struct world *w, uint16_t type, uint64_t to,
			  uint32_t attempt, const void *payload, uint32_t bytes)
{
	struct sent *s = &w->out[w->nr_out++ % OUT_MAX];

	s->type = type;
	s->to = to;
	s->attempt = attempt;
	s->bytes = bytes;
	memcpy(s->payload, payload,
	       bytes < sizeof(s->payload) ? bytes : sizeof(s->payload));
}

static inline uint64_t to_coordinator(void *ctx,
				      const struct hs_wire_trace_id *primary,
				      uint32_t attempt, uint16_t type,
				      const void *payload, uint32_t bytes)
{
	(void)primary;
	record(ctx, type, 0, attempt, payload, bytes);
	return 1ull << 32;
}

static inline uint64_t coordinator_of(void *ctx,
				      const struct hs_wire_trace_id *primary,
				      uint32_t attempt)
{
	(void)ctx;
	(void)primary;
	(void)attempt;
	return 1ull << 32;
}

static inline bool to_node(void *ctx, uint64_t node, uint16_t type,
			   const void *payload, uint32_t bytes)
{
	record(ctx, type, node, 0, payload, bytes);
	return true;
}

static inline enum hs_agent_shipped ship(void *ctx,
					 const struct hs_agent_slice *slice)
{
	struct world *w = ctx;

	if (w->full)
		return HS_AGENT_SHIP_NOT;
	if (w->away >> (slice->head.trace.lo & 1) & 1)
		return HS_AGENT_SHIP_AWAY;
	w->slices[w->nr_slices++ % 1024] = *slice;
	return w->lend ? HS_AGENT_SHIP_LENT : HS_AGENT_SHIP_COPIED;
}

static const struct hs_agent_ops ops = {to_coordinator, to_node, ship,
					coordinator_of};

static inline void check(struct world *w)
{
	const char *why = "";

	if (!hs_agent_core_check(w->core, &why))
		fail_msg("%s", why);
}

/* A worker begins on whatever the ledgers hold. */
static inline void start(struct world *w)
{
	w->memory = calloc(1, hs_agent_core_size_bytes(&w->config));
	w->domain_memory = calloc(1, hs_agent_domain_size_bytes(&w->domain));
	w->core = hs_agent_core_create(w->memory, w->ledger, &w->config, &ops,
				       w, w->now_ns, 1000);
	assert_non_null(w->core);
	assert_int_equal(hs_agent_core_domain_add(w->core, 0, w->domain_memory,
						  w->domain_ledger, &w->domain,
						  w->now_ns),
			 0);
	check(w);
}

static inline struct world *make(void)
{
	struct world *w = calloc(1, sizeof(*w));

	w->config = (struct hs_agent_config){
		.node_id = NODE,
		.index_seed = 42,
		.nr_groups = 16,
		.nr_fired = 32,
		.nr_pending = 8,
		.window_bytes = 8 * BUFFER_BYTES,
	};
	w->domain = (struct hs_agent_domain_config){
		.nr_buffers = NR_BUFFERS, .buffer_bytes = BUFFER_BYTES};
	w->ledger = calloc(1, hs_agent_node_ledger_bytes(&w->config));
	w->domain_ledger = calloc(1, hs_agent_domain_ledger_bytes(&w->domain));
	w->now_ns = 1000000000ull;
	start(w);
	return w;
}

/* The worker is gone, and all that was only its own. */
static inline void restart(struct world *w)
{
	free(w->memory);
	free(w->domain_memory);
	start(w);
}

static inline void destroy(struct world *w)
{
	free(w->memory);
	free(w->domain_memory);
	free(w->ledger);
	free(w->domain_ledger);
	free(w);
}

static inline void round_(struct world *w)
{
	w->now_ns += 1000000;
	if (hs_agent_core_wants_scan(w->core, w->now_ns)) {
		hs_agent_core_begin_scan(w->core, w->now_ns);
		for (int i = 0; i < 16; i++)
			if (w->slots[i].use & 1)
				hs_agent_core_slot(w->core, 0, 1, &w->slots[i],
						   NULL, w->now_ns);
		hs_agent_core_end_scan(w->core);
	}
	hs_agent_core_tick(w->core, w->now_ns);
	check(w);
}

static inline uint32_t push(struct world *w, const struct hs_shm_entry *e,
			    uint32_t n)
{
	static const struct hs_shm_trigger names[2] = {{"slow"}, {"error"}};

	return hs_agent_core_entries(w->core, 0, 1, e, n, names, 2, w->now_ns);
}

static inline void write_buffer(struct world *w, uint64_t lo, uint8_t type,
				uint32_t bytes)
{
	uint64_t word = hs_agent_core_stock(w->core, 0, 1);
	struct hs_shm_entry e = {
		.trace_lo = lo,
		.u.buffer = {hs_shm_stock_ref(word), bytes},
		.handle = 1,
		.type = type,
	};

	assert_true(word != 0);
	assert_int_equal(push(w, &e, 1), 1);
}

/* A buffer that its writer still fills, and the slot that names it. */
struct open_buffer {
	struct hs_shm_buffer header;
	struct hs_shm_slot slot;
};

static inline struct open_buffer open_buffer(struct world *w, uint64_t lo,
					     uint32_t committed)
{
	uint64_t word = hs_agent_core_stock(w->core, 0, 1);

	assert_true(word != 0);
	return (struct open_buffer){
		.header = {.magic = HS_SHM_BUF_MAGIC,
			   .stock_word = word,
			   .trace_lo = lo,
			   .handle = 1,
			   .committed = committed,
			   .first_record = sizeof(struct hs_shm_buffer)},
		.slot = {.use = 1, .handle = 1, .trace_lo = lo, .buffer = word},
	};
}

/* A second later, when slots are looked at again. */
static inline void scan_open(struct world *w, const struct open_buffer *open)
{
	w->now_ns += 1000000000ull;
	hs_agent_core_begin_scan(w->core, w->now_ns);
	hs_agent_core_slot(w->core, 0, 1, &open->slot, &open->header,
			   w->now_ns);
	hs_agent_core_end_scan(w->core);
}

/* Its writer ends the trace, with so much in it. */
static inline void publish_open(struct world *w, const struct open_buffer *open,
				uint32_t bytes)
{
	const struct hs_shm_entry end = {
		.trace_lo = open->header.trace_lo,
		.u.buffer = {hs_shm_stock_ref(open->header.stock_word), bytes},
		.handle = 1,
		.type = HS_SHM_ENTRY_END,
	};

	assert_int_equal(push(w, &end, 1), 1);
}

static inline void crumb(struct world *w, uint64_t lo, uint64_t node)
{
	struct hs_shm_entry e = {
		.trace_lo = lo, .u.arg = node, .type = HS_SHM_ENTRY_CRUMB};

	assert_int_equal(push(w, &e, 1), 1);
}

static inline void trigger(struct world *w, uint64_t lo, uint64_t name)
{
	struct hs_shm_entry e = {
		.trace_lo = lo, .u.arg = name, .type = HS_SHM_ENTRY_TRIGGER};

	assert_int_equal(push(w, &e, 1), 1);
}

static inline const struct sent *last(struct world *w, uint16_t type)
{
	for (uint32_t i = w->nr_out; i-- > 0;)
		if (w->out[i % OUT_MAX].type == type)
			return &w->out[i % OUT_MAX];
	return NULL;
}

static inline const struct hs_wire_answer *
answer_of(const struct sent *s, const struct hs_wire_crumb **crumbs)
{
	const struct hs_wire_crumb *ignored;
	struct hs_wire_reader r = hs_wire_reader_make(s->payload, s->bytes);

	assert_non_null(hs_wire_take_group(&r));
	return hs_wire_take_answer(&r, crumbs ? crumbs : &ignored);
}

static inline const struct hs_wire_trigger *trigger_of(const struct sent *s)
{
	return &((const struct hs_wire_group *)s->payload)->trigger;
}

static inline void stored(struct world *w, const struct sent *s)
{
	struct hs_wire_stored m = {trigger_of(s)->origin, trigger_of(s)->key};

	hs_agent_core_message(w->core, 99, HS_WIRE_STORED, &m, sizeof(m),
			      w->now_ns);
}

static inline void ack(struct world *w, uint64_t key)
{
	struct {
		struct hs_wire_slice_ack head;
		uint64_t key;
	} m = {{1, 0}, key};

	hs_agent_core_message(w->core, 98, HS_WIRE_SLICE_ACK, &m, sizeof(m),
			      w->now_ns);
	check(w);
}

static inline void collect(struct world *w, uint64_t lo, uint64_t key)
{
	struct {
		struct hs_wire_group g;
		struct hs_wire_trace_id id;
	} m = {.g = {.trigger = {.origin = 5,
				 .key = key,
				 .name = "slow",
				 .priority = lo,
				 .primary = {0, lo}},
		     .nr = 1},
	       .id = {0, lo}};

	hs_agent_core_message(w->core, 99, HS_WIRE_COLLECT, &m, sizeof(m),
			      w->now_ns);
}

#endif
