/* SPDX-License-Identifier: Apache-2.0 */
/*
 * world.h - agents and a collector around one coordinator core, in virtual time
 *
 * What the network does is the seed's: every message takes 1 ms and may be
 * lost or doubled. The agents know what the test tells them and ask nobody.
 */
#ifndef HS_TESTS_COORDINATOR_WORLD_H
#define HS_TESTS_COORDINATOR_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/random.h"
#include "coordinator/core.h"
#include "rdma/crumbs.h"

#define WORLD_NODES	   4096
#define WORLD_MS	   1000000ULL
#define WORLD_MANIFEST_MAX 8300

/* A node's knowledge of one trace. */
struct fact {
	struct fact *next;
	struct hs_wire_answer answer;
	struct hs_wire_crumb *crumbs;
	uint64_t update_key; /* not stored yet; 0: none */
};

struct node {
	uint64_t id; /* 0: there is no such node */
	bool up;
	bool mute; /* connected, and answers nothing */
	struct fact *facts;
	uint32_t nr_asked;
	uint32_t nr_sought;
	uint32_t nr_collects;
	uint64_t stored[64]; /* keys */
	uint32_t nr_stored;
	struct hs_wire_refused refused; /* the last one */
	uint32_t nr_refused;
	struct hs_crumb_table table;
	struct hs_crumb_bucket *buckets; /* NULL: it lets nobody read */
};

struct world_read {
	uint64_t node, offset, cookie;
};

/* What the collector has of the one trace that a test looks at. */
struct seen {
	struct hs_wire_trace_id trace;
	uint32_t nr_manifests;
	uint64_t epoch;
	uint32_t version;
	bool settled;
	uint16_t sought;
	uint32_t nr_sought_crumbs;
	uint32_t nr_address_crumbs;
	uint32_t nr_triggers;
	struct hs_wire_trigger triggers[HS_WIRE_TRIGGERS_MAX];
	uint32_t nr_answers;
	struct hs_wire_answer answers[WORLD_MANIFEST_MAX];
};

struct letter;

struct world {
	struct hs_coord_core *core;
	struct hs_coord_config config;
	void *memory;
	uint64_t now_ns;
	struct letter *letters; /* by time */
	struct letter **letters_tail;
	struct node nodes[WORLD_NODES]; /* by number */
	bool collector_up;
	bool elsewhere; /* triggers are fired from outside */
	bool node_full; /* send_node says: no room */
	double loss, twice;
	struct hs_random random;
	struct seen seen[8]; /* by trace.lo % 8 */
	struct world_read reads[64];
	uint32_t nr_reads;
	bool reads_fail;  /* they do not come back with anything */
	bool reads_stall; /* read_node says: not now */
	bool reads_wait;  /* they do not come until this is false */
	uint64_t next_key;
};

struct world *world_new(const struct hs_coord_config *config);
void world_free(struct world *w);
/* The coordinator dies, and another one starts without memory. */
void world_restart(struct world *w);
void world_run(struct world *w, uint64_t for_ns);

static inline uint64_t node_id(uint32_t number, uint32_t incarnation)
{
	return (uint64_t)number << 32 | incarnation;
}
static inline struct hs_wire_trace_id trace_id(uint64_t lo)
{
	return (struct hs_wire_trace_id){0x1234, lo};
}

void world_up(struct world *w, uint32_t number, uint32_t incarnation);
void world_down(struct world *w, uint32_t number);
/* What @number knows of trace @lo; crumbs name nodes by id. Raises rev. */
void world_knows(struct world *w, uint32_t number, uint64_t lo,
		 enum hs_wire_state state, uint32_t nr_crumbs,
		 const uint64_t *crumbs);
/* @number lets its crumbs be read: what it knows by now. Reads take no time. */
void world_table(struct world *w, uint32_t number);
/* One more that its table names, whether it knows it or not. */
void world_hint(struct world *w, uint32_t number, uint64_t lo, uint64_t node);
struct hs_crumb_entry *world_entry(struct world *w, uint32_t number,
				   uint64_t lo);
/* Return: the key. */
uint64_t world_trigger(struct world *w, uint32_t number, const char *name,
		       uint32_t nr, const uint64_t *los);
void world_trigger_again(struct world *w, uint32_t number, const char *name,
			 uint64_t key, uint32_t nr, const uint64_t *los);
uint64_t world_update(struct world *w, uint32_t number, uint64_t lo);
bool world_stored(const struct world *w, uint32_t number, uint64_t key);
struct seen *world_seen(struct world *w, uint64_t lo);
/* Of that node in the newest manifest; NULL: not in it. */
const struct hs_wire_answer *world_answer(struct world *w, uint64_t lo,
					  uint64_t node);
void world_up_to(struct world *w, uint32_t first, uint32_t last);
/* Nodes 1..@n, each with crumbs to the one before and the one after. */
void world_chain(struct world *w, uint64_t lo, uint32_t n);
/* All of them in the newest manifest, closed and without a flag. */
void world_expect_closed(struct world *w, uint64_t lo, uint32_t first,
			 uint32_t last);
enum hs_coord_state world_state(const struct world *w, uint64_t lo);
struct hs_coord_stats world_stats(const struct world *w);

#endif
