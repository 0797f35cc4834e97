/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_stock.h - what a plain model believes of a pool: see bout_stock.c
 */
#ifndef HS_TESTS_SIM_BOUT_STOCK_H
#define HS_TESTS_SIM_BOUT_STOCK_H

#include "agent/core_priv.h"
#include "tests/sim/bout.h"

#define STK_NODE      (7ull << 32 | 3)
#define STK_BUFFERS   192u /* units, at most */
#define STK_CHUNKS    24u
#define STK_NODES     3u
#define STK_CLASSES   3u
#define STK_PROCS     3u
#define STK_TRACES    120u
#define STK_PUBLISHED 24u /* of them have buffers, now and then */
#define STK_LENT      512u
#define STK_NONE      UINT32_MAX
#define STK	      "bout of a pool: "

/* Indices in the order in which they came. */
struct stk_row {
	uint32_t nr, at[STK_BUFFERS];
};

struct stk_chunk {
	uint32_t size_class; /* STK_NONE: of none */
	uint32_t carved;     /* of its buffers ever handed out */
	uint32_t out;	     /* of these not free now */
	struct stk_row free; /* of these free again, the oldest first */
};

struct stk_buffer {
	enum hs_ledger_state state;
	uint32_t process, generation;
	uint32_t trace, committed, acked, sent, upto;
	bool in_flight, final_sent;
	uint32_t lent; /* slices that the carrier reads */
	uint64_t key, seen;
};

struct stk_trace {
	struct hs_wire_trace_id id;
	bool there, fired, has_crumbs;
	uint64_t seen;
	struct stk_row buffers;
};

struct stk_lent {
	uint64_t key;
	uint32_t buffer, bytes;
};

struct stk {
	struct sim *s;
	struct hs_random r;
	struct hs_agent_config config;
	struct hs_agent_domain_config domain;
	struct hs_agent_core *core;
	uint32_t id; /* of the domain */
	struct bout_home home;
	uint32_t nr_nodes, nr_classes, nr_chunks, node_chunks, chunk_units;
	uint32_t units[STK_CLASSES], process[STK_PROCS], slice_bytes;
	struct stk_chunk chunks[STK_CHUNKS];
	struct stk_row empty[STK_NODES], roomy[STK_NODES][STK_CLASSES];
	uint32_t open[STK_NODES][STK_CLASSES]; /* being carved */
	struct stk_buffer buffers[STK_BUFFERS];
	struct stk_trace traces[STK_TRACES];
	struct stk_lent lent[STK_LENT];
	uint32_t nr_lent, handle;
	uint64_t now_ns, in_flight_bytes, lent_bytes;
	uint64_t returned, denied, remote, evicted, bad, resent;
	bool ticking, jammed, jams;
	uint64_t payload[16];
	struct hs_shm_entry *entries; /* behind AT_ONCE of them is nothing */
};

/* bout_stock_ship.c */
extern const struct hs_agent_ops stk_ops;
void stk_differs(struct stk *g, const char *what, uint64_t is, uint64_t should);
void stk_fires(struct stk *g);
void stk_tick(struct stk *g);
void stk_acked(struct stk *g);
/* The carrier has read it; or it says so of what it never had. */
void stk_gives_back(struct stk *g);
/* A collector came back: what it may have lost goes again. */
void stk_again(struct stk *g);

/* bout_stock_model.c */
void stk_row_add(struct stk_row *row, uint32_t value);
void stk_row_remove(struct stk_row *row, uint32_t value);
uint32_t stk_node_of(const struct stk *g, uint32_t buffer);
uint32_t stk_units_of(const struct stk *g, uint32_t buffer);
uint32_t stk_bytes_of(const struct stk *g, uint32_t buffer);
/* Units of one state; parked ones are neither free nor anybody's. */
uint32_t stk_nr(const struct stk *g, enum hs_ledger_state state);
uint32_t stk_nr_free(const struct stk *g);
uint32_t stk_nr_parked(const struct stk *g);
uint32_t stk_nr_pinned(const struct stk *g);
void stk_begin(struct stk *g);
void stk_adopt(struct stk *g);
void stk_flight_end(struct stk *g, uint32_t buffer);
/* From whomever it is back to the free ones, or parked. */
void stk_release(struct stk *g, uint32_t buffer);
/* The carrier has returned the last slice of it. */
void stk_unpark(struct stk *g, uint32_t buffer);
/* The buffer that is handed out next; STK_NONE: there is none. */
uint32_t stk_stock(struct stk *g, uint32_t node, bool here, uint32_t size_class,
		   uint32_t gone);
/* Of @nr buffers: how many room is made for together; and how many traces went
 * for one of them. */
uint32_t stk_at_a_time(const struct stk *g, uint32_t size_class, uint32_t nr);
uint32_t stk_make_room(struct stk *g, uint32_t size_class, uint32_t nr);

#endif
