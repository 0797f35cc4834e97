/* SPDX-License-Identifier: Apache-2.0 */
/*
 * assembly.h - from slices and manifests to traces with an honest mark
 *
 * Pure: no I/O, no clock, no memory but what create got. What comes in are the
 * messages of agents and coordinators; what goes out, through the ops, is what
 * to store and whom to answer. Every message may come twice, late, in any
 * order, from any number of coordinators: the same set of messages leads to
 * the same union and the same mark.
 *
 * The mark (law 4). *Complete as of version v*: every node that answered and
 * every node that their crumbs name has an answer, CLOSED and without a flag,
 * and of each there arrived at least as many finished buffers and bytes as it
 * announced. Anything that was lost, given up or never known makes the trace
 * *partial*; what may still come (an open handle, an answer, bytes) makes it
 * *open*. Both at once is partial, and the causes name both.
 *
 * Durability: nothing is acknowledged before hs_assembly_durable() says that
 * the disk has it. Whoever is not acknowledged sends again.
 *
 * Memory: traces in memory are a cache over the store. The least recently
 * touched one that waits for nothing gives way; ops->load brings it back when
 * something new comes for it.
 *
 * Context: one thread owns an assembly and everything it calls back.
 */
#ifndef HS_COLLECTOR_ASSEMBLY_H
#define HS_COLLECTOR_ASSEMBLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hs/wire_format.h"

struct hs_assembly;

/* 0 takes the default. */
struct hs_assembly_limits {
	uint32_t nr_traces;	 /* in memory at once; 16384 */
	uint32_t nr_nodes;	 /* of all of them; 65536 */
	uint32_t nr_buffers;	 /* of all of them; 262144 */
	uint32_t nr_crumbs;	 /* of all of them; 262144 */
	uint32_t nr_triggers;	 /* of all of them; 32768 */
	uint32_t nr_pending;	 /* acknowledgements waiting for disk; 65536 */
	uint32_t trace_nodes;	 /* of one trace; 8192 */
	uint32_t trace_buffers;	 /* 65536 */
	uint32_t trace_crumbs;	 /* 65536 */
	uint32_t trace_triggers; /* 64 */
	uint64_t seed;		 /* of the tables; secret from senders */
};

/* No buffer is longer; what lies beyond is refused. */
#define HS_ASSEMBLY_BUFFER_MAX_BYTES (64u << 20)

enum hs_assembly_mark {
	HS_ASSEMBLY_OPEN = 0,
	HS_ASSEMBLY_COMPLETE = 1,
	HS_ASSEMBLY_PARTIAL = 2,
	HS_ASSEMBLY_NR_MARKS
};

/* Why a trace is not complete. The first ones may pass, the others stay. */
enum hs_assembly_why {
	HS_ASSEMBLY_WHY_NO_MANIFEST = 0, /* no coordinator spoke yet */
	HS_ASSEMBLY_WHY_NO_ANSWER,	 /* a crumb names it; no answer yet */
	HS_ASSEMBLY_WHY_OPEN,		 /* a handle is live there */
	HS_ASSEMBLY_WHY_MISSING,	 /* slices have not all arrived */
	HS_ASSEMBLY_WHY_UNREACHABLE,
	HS_ASSEMBLY_WHY_GONE,
	HS_ASSEMBLY_WHY_UNKNOWN,
	HS_ASSEMBLY_WHY_EVICTED,
	HS_ASSEMBLY_WHY_LOST,
	HS_ASSEMBLY_WHY_ABANDONED,
	HS_ASSEMBLY_WHY_CRASHED,
	HS_ASSEMBLY_WHY_MODIFIED,
	HS_ASSEMBLY_WHY_CUT, /* over a limit; node 0: of this collector */
	HS_ASSEMBLY_WHY_WITHHELD,
	HS_ASSEMBLY_WHY_DAMAGED, /* stored here and unreadable since */
	HS_ASSEMBLY_NR_WHYS
};

struct hs_assembly_cause {
	uint64_t node; /* 0: the collector itself */
	enum hs_assembly_why why;
};

struct hs_assembly_view {
	struct hs_wire_trace_id id;
	uint64_t version;  /* raised by every change of what is known */
	uint64_t nr_bytes; /* arrived, each once */
	enum hs_assembly_mark mark;
	uint32_t nr_nodes;
	uint32_t nr_triggers;
	uint32_t nr_buffers;
	bool settled;	 /* a coordinator has everybody's answer */
	uint16_t sought; /* nodes that were asked since crumbs were missing,
			    with HS_WIRE_SOUGHT_PART as in a manifest */
};

/* One node as the union has it. rev, state, ... are of its best answer. */
struct hs_assembly_node {
	uint64_t node;
	bool answered;
	uint32_t rev;
	uint16_t state; /* enum hs_wire_state */
	uint16_t flags; /* HS_WIRE_F_*, of the answer and of the slices */
	uint32_t nr_buffers;
	uint32_t nr_crumbs;
	uint64_t nr_bytes;
	uint32_t arrived_buffers; /* whole ones */
	uint64_t arrived_bytes;
};

struct hs_assembly_ops {
	/*
	 * Append; durable later. Return: 0; negative: nothing was kept, the
	 * sender gets no answer and will send again.
	 */
	int (*store_slice)(void *ctx, const struct hs_wire_slice *slice,
			   const uint8_t *bytes);
	int (*store_union)(void *ctx, const struct hs_wire_trace_id *trace,
			   const void *blob, uint32_t blob_bytes);
	/*
	 * Say what is stored of @trace by hs_assembly_replay_*(). May be NULL.
	 * Return: 0, also when nothing is; negative: not now.
	 */
	int (*load)(void *ctx, const struct hs_wire_trace_id *trace);
	/* @trace changed since the last flush. May be NULL. */
	int (*changed)(void *ctx, const struct hs_wire_trace_id *trace);
	void (*slice_ack)(void *ctx, uint32_t peer, uint64_t ship_key,
			  bool refused);
	void (*manifest_ack)(void *ctx, uint32_t peer,
			     const struct hs_wire_manifest_ack *ack);
};

/* What became of a message. Negative: store or load failed; not kept. */
enum hs_assembly_result {
	HS_ASSEMBLY_TAKEN = 0,	 /* new, or known already */
	HS_ASSEMBLY_REFUSED = 1, /* malformed or over a limit; counted */
	HS_ASSEMBLY_BUSY = 2,	 /* flush, make durable, then once more */
};

struct hs_assembly_stats {
	uint64_t slices;	   /* new ones */
	uint64_t slices_duplicate; /* said nothing new */
	uint64_t slices_malformed;
	uint64_t slices_over_limit;
	uint64_t manifests; /* that changed something */
	uint64_t manifests_duplicate;
	uint64_t manifests_malformed;
	uint64_t answers_over_limit;
	uint64_t triggers_over_limit;
	uint64_t ranges_over_limit;
	uint64_t traces_loaded;
	uint64_t traces_dropped; /* from memory */
	uint64_t busy;
	uint64_t store_errors;
	uint32_t nr_traces; /* in memory */
	uint32_t nr_pending;
};

/** hs_assembly_limits_fill() - put the defaults where there is a 0 */
void hs_assembly_limits_fill(struct hs_assembly_limits *limits);

/** hs_assembly_size() - bytes that create wants; 0: the limits are absurd */
size_t hs_assembly_size(const struct hs_assembly_limits *limits);

/**
 * hs_assembly_create() - an assembly in the caller's memory
 * @memory: hs_assembly_size() bytes, zeroed, 64-byte aligned
 *
 * Own:    the memory stays the caller's; there is nothing to destroy.
 * Return: NULL if the limits are absurd.
 */
struct hs_assembly *hs_assembly_create(void *memory,
				       const struct hs_assembly_limits *limits,
				       const struct hs_assembly_ops *ops,
				       void *ctx);

/**
 * hs_assembly_message() - a SLICE or a MANIFEST came from @peer
 * @payload: 8-byte aligned
 *
 * Return: enum hs_assembly_result, or the store's negative errno.
 */
int hs_assembly_message(struct hs_assembly *a, uint32_t peer, uint16_t type,
			const void *payload, uint32_t payload_bytes);

/**
 * hs_assembly_flush() - hand out unions and changes that were saved up
 * @seq: out: what durable() may be told once the store has synced
 *
 * Return: 0; negative: a callback failed, call again later.
 */
int hs_assembly_flush(struct hs_assembly *a, uint64_t *seq);

/** hs_assembly_durable() - everything up to @seq is on disk: acknowledge */
void hs_assembly_durable(struct hs_assembly *a, uint64_t seq);

/** hs_assembly_lost() - the disk lost what was not durable: forget it too */
void hs_assembly_lost(struct hs_assembly *a);
/**
 * hs_assembly_node_up() - an agent is connected, with that incarnation
 *
 * It began without the memory of earlier ones: what they owe will not come.
 */
void hs_assembly_node_up(struct hs_assembly *a, uint64_t node);

/**
 * hs_assembly_forget() - the store is about to drop all that it has of it
 *
 * Return: false: something of it waits for the disk; later, then.
 */
bool hs_assembly_forget(struct hs_assembly *a,
			const struct hs_wire_trace_id *id);

/** hs_assembly_replay_slice() - from ops->load: this slice is stored */
int hs_assembly_replay_slice(struct hs_assembly *a,
			     const struct hs_wire_slice *slice);
/** hs_assembly_replay_union() - from ops->load: the last union stored */
int hs_assembly_replay_union(struct hs_assembly *a,
			     const struct hs_wire_trace_id *trace,
			     const void *blob, uint32_t blob_bytes);
/** hs_assembly_replay_damage() - from ops->load, or whenever it shows: some
 * of what is stored cannot be read any more */
void hs_assembly_replay_damage(struct hs_assembly *a,
			       const struct hs_wire_trace_id *trace,
			       uint64_t version_min);

/**
 * hs_assembly_view() - a trace in memory, or brought back by ops->load
 *
 * Return: 0; -ENOENT: nothing is known of it; other negative: load failed.
 */
int hs_assembly_view(struct hs_assembly *a, const struct hs_wire_trace_id *id,
		     struct hs_assembly_view *out);
/** hs_assembly_causes() - Return: how many were written, at most @max */
uint32_t hs_assembly_causes(struct hs_assembly *a,
			    const struct hs_wire_trace_id *id,
			    struct hs_assembly_cause *out, uint32_t max);
uint32_t hs_assembly_nodes(struct hs_assembly *a,
			   const struct hs_wire_trace_id *id,
			   struct hs_assembly_node *out, uint32_t max);
uint32_t hs_assembly_triggers(struct hs_assembly *a,
			      const struct hs_wire_trace_id *id,
			      struct hs_wire_trigger *out, uint32_t max);
void hs_assembly_stats(const struct hs_assembly *a,
		       struct hs_assembly_stats *out);

/** hs_assembly_check() - every sum adds up; for tests and the simulator */
bool hs_assembly_check(struct hs_assembly *a, const char **why);

/* Triggers of a stored union, without an assembly. Return: -EINVAL if bad. */
int hs_assembly_union_triggers(const void *blob, uint32_t blob_bytes,
			       const struct hs_wire_trigger **triggers,
			       uint32_t *nr_triggers);
/* The same of one that never left this process: answers are not looked at. */
int hs_assembly_union_glance(const void *blob, uint32_t blob_bytes,
			     const struct hs_wire_trigger **triggers,
			     uint32_t *nr_triggers);

const char *hs_assembly_mark_name(enum hs_assembly_mark mark);
const char *hs_assembly_why_name(enum hs_assembly_why why);
const char *hs_assembly_state_name(uint16_t state);

#endif
