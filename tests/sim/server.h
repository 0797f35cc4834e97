/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server.h - the shells around coordinators and collectors, and the lists of
 * members
 */
#ifndef HS_TESTS_SIM_SERVER_H
#define HS_TESTS_SIM_SERVER_H

#include "collector/assembly.h"
#include "coordinator/core.h"
#include "rdma/members.h"
#include "tests/sim/params.h"

struct sim;
struct sim_message;

struct sim_coord {
	bool up;
	uint32_t gen;
	void *memory;
	struct hs_coord_core *core;
	struct hs_members *members;
	uint64_t epoch;
	uint64_t tick_at_ns;
	int64_t clock_ns;
	uint32_t restarts;
	struct hs_coord_stats before;
};

/* What a collector has on its disk of one trace. */
struct sim_record {
	struct sim_record *next;
	struct sim_record *next_fresh; /* not synced */
	bool durable, is_union;
	uint64_t order; /* event that wrote it */
	uint32_t bytes;
	struct hs_wire_slice head;
	uint8_t data[];
};

struct sim_stored {
	struct hs_wire_trace_id id;
	struct sim_record *first, *last;
	uint32_t trace; /* the oracle's; UINT32_MAX: nobody's */
	bool changed;
	uint32_t next_changed;
};

struct sim_coll {
	bool up;
	uint32_t gen;
	void *memory;
	struct hs_assembly *assembly;
	struct sim_stored *stored;
	uint32_t nr_stored, room_stored;
	uint32_t *table;
	uint32_t table_mask;
	struct sim_record *fresh;
	uint32_t changed; /* list of stored, +1 */
	bool sync_due, syncing;
	uint32_t full, failing; /* faults under way */
	uint32_t restarts;
	uint32_t lost_syncs;
	uint64_t nr_bytes;
	struct hs_assembly_stats before;
};

/* coord.c */
void sim_coord_start(struct sim *s, uint32_t c);
void sim_coord_kill(struct sim *s, uint32_t c);
void sim_coord_message(struct sim *s, uint32_t c, const struct sim_message *m);
void sim_coord_left(struct sim *s, uint32_t c, uint32_t number);
void sim_coord_tick(struct sim *s, uint32_t c);
void sim_coord_link(struct sim *s, uint32_t c, uint32_t peer, bool up);
void sim_coord_count(struct sim *s, uint32_t c);
void sim_coord_read(struct sim *s, uint32_t c, uint64_t node, uint64_t cookie,
		    const void *bytes, uint32_t size);
uint32_t sim_coll_owner(const struct sim *s, const struct hs_wire_trace_id *id);

/* ahead.c */
struct sim_node;
struct sim_read;
void sim_ahead_draw(struct sim_params *p, uint64_t seed);
void sim_ahead_table(struct sim *s, struct sim_node *n);
void sim_ahead_told(struct sim *s, uint32_t c, uint32_t node);
bool sim_ahead_read(struct sim *s, uint32_t c, uint64_t node, uint64_t offset,
		    uint32_t size, uint64_t cookie);
/* What it knew by tables alone, nobody knows now. */
void sim_ahead_dies(struct sim *s, uint32_t c);
void sim_ahead_deliver(struct sim *s, struct sim_read *r);

/* member.c: one list for each agent and coordinator; NULL: it is down */
struct hs_members *sim_members_create(struct sim *s, uint32_t unlisted);
void sim_members_link(struct sim *s, struct hs_members *m, uint32_t peer,
		      bool up);
/* The endpoint that a list's member is; UINT32_MAX: none. */
uint32_t sim_members_ep(const struct sim *s, const struct hs_members *m,
			uint32_t member);

/* The lists of members that change, from a stream of their own. */
void sim_moves_create(struct sim *s);
void sim_moves_heal(struct sim *s);
void sim_members_leave(struct sim *s, uint32_t n);
void sim_move(struct sim *s, uint32_t a, uint32_t b);
bool sim_members_dials(const struct sim *s, uint32_t low, uint32_t high);
/* How long what a killed shard had took to be stored through the others. */
void sim_failover_stored(struct sim *s, uint32_t n,
			 const struct sim_message *m);

/* collect.c */
void sim_coll_start(struct sim *s, uint32_t k);
void sim_coll_kill(struct sim *s, uint32_t k);
void sim_coll_message(struct sim *s, uint32_t k, const struct sim_message *m);
void sim_coll_link(struct sim *s, uint32_t k, uint32_t peer);
void sim_coll_sync(struct sim *s, uint32_t k);
void sim_coll_destroy(struct sim *s, uint32_t k);
struct sim_stored *sim_coll_find(struct sim_coll *k,
				 const struct hs_wire_trace_id *id);

bool sim_coll_slice(struct sim *s, uint32_t k, uint32_t peer,
		    const void *message, uint32_t bytes);

#endif
