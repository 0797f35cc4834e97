/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oracle.h - what the applications know of their traces (oracle.c), and whether
 * the laws held (judge*.c)
 */
#ifndef HS_TESTS_SIM_ORACLE_H
#define HS_TESTS_SIM_ORACLE_H

#include "hs/wire_format.h"
#include "tests/sim/node.h"
#include "tests/sim/server.h"

struct ora_buffer {
	struct ora_buffer *next;
	uint32_t process, handle, seq;
	uint32_t domain;
	uint32_t committed; /* so far */
	uint64_t key;	    /* of its bytes */
	uint64_t stock_word;
	uint64_t born; /* event that published it, or lost it; 0: not yet */
	bool lost;
};

struct ora_crumb {
	uint64_t node;
	uint64_t born;
	bool by_address; /* nobody named it there by its id */
};

struct ora_rev {
	uint32_t rev;
	uint16_t state, flags;
	uint64_t scan_order;
};

#define ORA_PROCS_MAX 8u

/* One trace at one node: one incarnation. */
struct ora_visit {
	struct ora_visit *next;
	uint64_t node;
	uint32_t trace;
	struct ora_buffer *buffers;
	struct ora_crumb *crumbs;
	uint32_t nr_crumbs, room_crumbs;
	bool doubted; /* a coordinator is not sure whom an address names */
	struct ora_rev *revs;
	uint32_t nr_revs, room_revs;
	uint64_t first_lost; /* event; 0: nothing was lost */
	uint32_t nr_open;
	uint64_t nr_published;
	uint64_t named; /* event of the first entry that reached a lane */
	struct {
		uint32_t number;
		uint64_t named, lost;
	} procs[ORA_PROCS_MAX];	     /* what each process said, and lost */
	uint64_t ended, ended_begun; /* of the handle that ended last */
	bool crashed;
	uint64_t abandoned; /* event: the node gave it up */
	uint32_t domains;   /* that wrote to it there, a bit each */
	bool found;	    /* its node said that it knows the trace */
	uint32_t found_life[SIM_SERVERS_MAX]; /* of the coordinator that
						 heard it first, from 1 */
	bool hint_died;	 /* a coordinator died that only a table led there */
	bool known_died; /* a coordinator died that knew of it */
};

struct ora_trace {
	struct hs_wire_trace_id id;
	struct ora_visit *visits;
	bool elsewhere;	 /* fired where it need not be known */
	uint64_t sought; /* event of the first question; 0: none */
	uint64_t priorities[8];
	uint32_t nr_priorities;
	bool crashed; /* a process died with it: that fires it, too */
	bool touched; /* a hostile process spoke of it */
	bool excused; /* called complete, and something of it was lost by one
			 of whom nobody can know that it took part */
};

/* A group that a node gave up. */
struct ora_let {
	uint32_t node; /* index */
	uint64_t node_id;
	uint32_t primary; /* UINT32_MAX: nobody's */
	char name[HS_WIRE_NAME_BYTES];
	uint64_t order;	   /* event */
	bool by_successor; /* it may take one for given up that was not */
	bool died;	   /* with the worker that gave it up (ADR 64) */
};

/* A trigger that a node acknowledged. */
struct ora_group {
	uint32_t node; /* index */
	uint64_t node_id;
	uint32_t nr;
	uint32_t traces[HS_WIRE_TRACES_MAX];
	char name[HS_WIRE_NAME_BYTES];
	bool is_void; /* its node lost its memory */
};

/* oracle.c */
uint32_t ora_trace_new(struct sim *s);
uint32_t ora_trace_find(const struct sim *s, const struct hs_wire_trace_id *id);
struct ora_visit *ora_visit_get(struct sim *s, uint32_t trace, uint64_t node);
struct ora_visit *ora_visit_find(const struct sim *s, uint32_t trace,
				 uint64_t node);
struct ora_buffer *ora_buffer_new(struct sim *s, struct ora_visit *v,
				  const struct sim_handle *h);
/* NULL: nobody wrote it. */
struct ora_buffer *ora_buffer_of(struct ora_visit *v,
				 const struct hs_wire_slice *h);
void ora_bytes(uint64_t key, uint32_t from, uint32_t to, uint8_t *out);
void ora_crumb(struct sim *s, struct ora_visit *v, uint64_t node,
	       bool by_address);
void ora_lost(struct sim *s, struct ora_visit *v, uint32_t process);
void ora_named(struct sim *s, struct ora_visit *v, uint32_t process);
/* Whether a process that is known to have taken part had lost something. */
bool ora_lost_by(const struct ora_visit *v, uint64_t upto);
/* The same of one that never got a word of it through. */
bool ora_lost_unheard(const struct ora_visit *v, uint64_t upto);
/* A handle that writes there was open all through the last scan. */
bool ora_live_at_scan(struct sim *s, const struct sim_node *n,
		      const struct ora_visit *v);
/* A question goes out: whoever wrote before may be found by it. */
void ora_sought(struct sim *s, const void *payload, uint32_t bytes);
void ora_answers(struct sim *s, struct sim_node *n, uint16_t type,
		 const void *payload, uint32_t bytes);
/* A coordinator is not sure of an address in what it was told. */
void ora_doubted(struct sim *s, const void *payload, uint32_t bytes);
void ora_acked(struct sim *s, uint32_t node, const char *name,
	       const uint32_t *traces, uint32_t nr);
void ora_slice(struct sim *s, const struct hs_wire_slice *head,
	       const uint8_t *bytes);
void ora_priority(struct sim *s, uint32_t trace, uint32_t primary);
void ora_destroy(struct sim *s);

/* judge.c */
#define JUDGE_NODES_MAX 512u
/* Every byte of it is at the collector. */
bool judge_stored_whole(const struct sim_stored *st, uint64_t node,
			const struct ora_buffer *b);
/* A visit that left nothing for the ledger is not known to a successor. */
bool judge_forgettable(const struct sim_node *n, const struct ora_visit *v);
void judge_complete(struct sim *s, struct sim_coll *k, struct sim_stored *st);
void judge_found(struct sim *s, const struct sim_node *n, uint64_t to,
		 const void *payload, uint32_t bytes);
void judge_ship(struct sim *s, struct sim_node *n,
		const struct hs_agent_slice *slice);
/* @stats: counters, uint64_t each, of one life of a core */
void judge_counts(struct sim *s, const char *of, const void *stats,
		  size_t bytes);

/* judge_share.c */
void judge_share_begin(struct sim_node *n);
void judge_share_end(struct sim *s, struct sim_node *n, bool tick);
void judge_share_died(struct sim *s, struct sim_node *n);
void judge_share_adopted(struct sim *s, struct sim_node *n);
void judge_share_groups(struct sim *s);
void judge_share_said(struct sim *s, uint32_t t, const struct sim_coll *k,
		      const struct hs_assembly_cause *causes, uint32_t nr);

/* judge_end.c */
void judge_end(struct sim *s);
bool judge_quiet(struct sim *s);
/* Ever, of any; ever, or it is gone for good. */
bool judge_coordinator_died(const struct sim *s);
bool judge_memory_lost(const struct sim *s, uint64_t node);
bool judge_forgotten(struct sim *s);

#endif
