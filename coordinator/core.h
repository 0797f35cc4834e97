/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core.h - the coordinator's logic: from a trigger to everybody's answer
 *
 * A TRIGGER names a trace and one node's crumbs; every node that a crumb
 * names is asked, in parallel, and its crumbs again, until nobody new turns up
 * (Hindsight, NSDI'23, section 4). What was answered goes to the collector as
 * a manifest: a bag of answers, from which the collector computes the closure
 * by itself (docs/adr/0011). Crumbs of dead incarnations: docs/adr/0010.
 *
 * Soft state: everything here can be lost at any moment. Agents send TRIGGER
 * and UPDATE until STORED, which is said only when the collector has what they
 * contained on its disk.
 *
 * Guarantees: no I/O, no clock, no allocation after create; bounded by the
 * limits, and what goes over them is counted and marked in the manifest. Any
 * message may come twice, late, or from somebody hostile.
 *
 * Context: one thread owns a core and everything it calls back. The ops must
 * not call into the core.
 */
#ifndef HS_COORDINATOR_CORE_H
#define HS_COORDINATOR_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hs/wire_format.h"

struct hs_coord_core;

/* 0 takes the default. */
struct hs_coord_config {
	uint64_t node;	       /* our own id: no default */
	uint64_t epoch;	       /* our start, ns since 1970: no default */
	uint64_t seed;	       /* of the tables; secret from senders */
	uint32_t nr_traces;    /* live at once; 16384 */
	uint32_t nr_visits;    /* nodes of all of them; 131072 */
	uint32_t nr_crumbs;    /* of all of them; 262144 */
	uint32_t nr_nodes;     /* known by connection or crumb; 16384 */
	uint32_t nr_requests;  /* TRIGGERs, UPDATEs not stored yet; 16384 */
	uint32_t nr_triggers;  /* names of all traces; 32768 */
	uint32_t trace_nodes;  /* of one trace; HS_WIRE_ANSWERS_MAX */
	uint32_t window;       /* traces asked of one node at once; 1024 */
	uint64_t retry_ns;     /* first COLLECT again after; 200 ms, doubling */
	uint64_t retry_max_ns; /* 5 s */
	uint64_t unreachable_after_ns; /* 2 s */
	uint64_t tell_unsettled_ns;    /* partial manifests at most so often;
					  200 ms */
	uint64_t tell_settled_ns;      /* later versions at most; 20 ms */
	uint64_t resend_ns;	  /* MANIFEST again after; 500 ms, doubling */
	uint64_t resend_max_ns;	  /* 5 s */
	uint64_t forget_after_ns; /* stored and quiet; 300 s */
	/* What one node may ask of us: what goes over it waits at that node,
	 * which is told so (ADR 79), or is marked as cut. */
	uint32_t origin_per_s;	 /* TRIGGERs, UPDATEs and new traces; 10000 */
	uint32_t origin_waiting; /* nodes that its crumbs name and that have not
				    answered; an eighth of nr_visits */
	/* The question "do you know these traces?", when crumbs are missing. */
	bool seek_never;
	uint64_t address_doubt_ns; /* who came to an address so lately may not
				      be whom a crumb means; 10 min */
	uint32_t seek_nodes;	   /* asked about one trace at most; 500 */
	uint32_t seek_per_s;	   /* messages of all questions; 20000 */
	uint64_t seek_batch_ns;	   /* traces wait for others so long; 10 ms */
	uint64_t seek_warm_ns;	/* after its start nobody is "everybody" for so
				   long, unless lists name all nodes; 5 s */
	uint64_t seek_after_ns; /* what has not answered by then will not;
				   1 s */
};

struct hs_coord_ops {
	/**
	 * send_node() - to the agent of that node number, whatever its
	 * incarnation
	 * Return: false: not connected, or no room now.
	 */
	bool (*send_node)(void *ctx, uint64_t node, uint16_t type,
			  const void *payload, uint32_t payload_bytes);
	/** send_collector() - to the collector that owns @trace */
	bool (*send_collector)(void *ctx, const struct hs_wire_trace_id *trace,
			       uint16_t type, const void *payload,
			       uint32_t payload_bytes);
	/**
	 * read_node() - a bucket of the table that hs_coord_core_table() told;
	 * hs_coord_core_read() follows, with the same @cookie, which nobody
	 * else may choose. NULL: there are no such tables.
	 * Return: false: it cannot be read, or not now.
	 */
	bool (*read_node)(void *ctx, uint64_t node, uint64_t offset_bytes,
			  uint32_t size_bytes, uint64_t cookie);
};

struct hs_coord_stats {
	uint64_t triggers;	    /* new ones */
	uint64_t triggers_repeated; /* came again */
	uint64_t triggers_refused;  /* no room; the agent sends again */
	uint64_t triggers_cut;	    /* a trace had too many names */
	uint64_t updates;
	uint64_t updates_refused;
	uint64_t origin_refused;  /* over their origin's budget: come again */
	uint64_t origin_cut;	  /* crumbs over it: their answer is CUT */
	uint64_t answers;	  /* that said something new */
	uint64_t answers_stale;	  /* lower or equal revision */
	uint64_t answers_strange; /* of traces that are not here */
	uint64_t answers_cut;	  /* marked CUT, or dropped, at a limit */
	uint64_t addresses;	  /* crumbs that named a node by its address */
	uint64_t addresses_lost;  /* nobody's, several nodes', or doubtful */
	uint64_t messages_bad;	  /* malformed, or about another node */
	uint64_t collects_sent;	  /* messages */
	uint64_t collects_asked;  /* traces in them */
	uint64_t collects_again;
	uint64_t collects_also; /* messages, for a further trigger */
	uint64_t unreachable;	/* given up, for now */
	uint64_t gone;		/* a later incarnation does not know */
	uint64_t left;		/* nodes, for good */
	uint64_t manifests_sent;
	uint64_t manifests_again;
	uint64_t manifests_failed; /* no collector, or no room */
	uint64_t acks;
	uint64_t acks_strange;
	uint64_t stored_sent;
	uint64_t questions;	 /* over all their traces and nodes */
	uint64_t seeks_sent;	 /* messages */
	uint64_t seeks_asked;	 /* traces in them */
	uint64_t seeks_deferred; /* waited for the budget */
	uint64_t seeks_refused;	 /* gave up waiting: not asked about */
	uint64_t seeks_part;	 /* traces of questions that not all answered */
	uint64_t found;		 /* nodes of traces that no crumb named */
	/* Entries of crumb tables: what became of the reads. */
	uint64_t reads_sent;
	uint64_t reads_refused; /* not to be read, or not now */
	uint64_t reads_failed;
	uint64_t reads_hit;   /* of a trace that is being traversed */
	uint64_t reads_other; /* empty, another trace's, or too late */
	uint64_t reads_torn;  /* the check word does not fit */
	/* Nodes that entries named before any answer did. */
	uint64_t hints;		  /* asked by them */
	uint64_t hints_refused;	  /* at a limit, or nobody we can ask now */
	uint64_t hints_confirmed; /* an answer named them afterwards */
	uint64_t hints_vain;	  /* did not answer, and nobody named them */
	uint64_t forgotten;	  /* after their time */
	uint64_t evicted;	  /* stored ones, before it, for room */
	uint32_t nr_traces, nr_seeking, nr_telling, nr_stored;
	uint32_t nr_visits, nr_waiting, nr_nodes, nr_nodes_up, nr_requests;
	uint32_t nr_seeks; /* traces that a question is about */
};

/* A trace on its way. */
enum hs_coord_state {
	HS_COORD_FREE = 0,    /* not there */
	HS_COORD_SEEKING = 1, /* somebody asked has not answered; manifests go
				 out now and then meanwhile */
	HS_COORD_TELLING = 2, /* everybody answered or was given up; the
				 collector does not have all of it yet */
	HS_COORD_STORED = 3,  /* it has; remembered for what comes late */
	HS_COORD_NR_STATES
};

enum hs_coord_event {
	HS_COORD_NAMED,	    /* a TRIGGER or UPDATE names a new trace */
	HS_COORD_ASKED,	    /* a node turned up that has to be asked */
	HS_COORD_SETTLED,   /* nobody is left who has to answer */
	HS_COORD_CHANGED,   /* something the collector has not been told */
	HS_COORD_ACKED,	    /* it has the newest version, nothing is new */
	HS_COORD_FORGOTTEN, /* its time is over, or its room is wanted */
	HS_COORD_NR_EVENTS
};

/* One node of one trace. */
enum hs_coord_visit_state {
	HS_COORD_VISIT_FREE = 0,
	HS_COORD_VISIT_ASKED = 1,	/* must answer before it settles */
	HS_COORD_VISIT_UNREACHABLE = 2, /* given up; asked now and then */
	HS_COORD_VISIT_ANSWERED = 3,	/* in its own words */
	HS_COORD_VISIT_GONE = 4,	/* a later incarnation is there: it
					   began without this one's memory */
	HS_COORD_VISIT_HINTED = 5,	/* asked since a table names it: nothing
					   waits for it */
	HS_COORD_NR_VISIT_STATES
};

enum hs_coord_visit_event {
	HS_COORD_VISIT_NAMED,	/* a crumb names it */
	HS_COORD_VISIT_ANSWER,	/* it spoke */
	HS_COORD_VISIT_TIMEOUT, /* it did not, in time */
	HS_COORD_VISIT_LATER,	/* a later incarnation spoke */
	HS_COORD_VISIT_HINT,	/* a table that was read names it */
	HS_COORD_NR_VISIT_EVENTS
};

/* The tables of transitions; HS_COORD_NEVER is a defect of ours. */
#define HS_COORD_NEVER 0xffu
extern const uint8_t hs_coord_transitions[HS_COORD_NR_STATES]
					 [HS_COORD_NR_EVENTS];
extern const uint8_t hs_coord_visit_transitions[HS_COORD_NR_VISIT_STATES]
					       [HS_COORD_NR_VISIT_EVENTS];
const char *hs_coord_state_name(enum hs_coord_state state);

/** hs_coord_core_size_bytes() - memory for that configuration */
size_t hs_coord_core_size_bytes(const struct hs_coord_config *config);

/**
 * hs_coord_core_create() - begin with nothing
 * @memory: hs_coord_core_size_bytes() zeroed bytes, 8-aligned; the caller's
 *
 * Return: the core, within @memory.
 */
struct hs_coord_core *hs_coord_core_create(void *memory,
					   const struct hs_coord_config *config,
					   const struct hs_coord_ops *ops,
					   void *ctx, uint64_t now_ns);

/**
 * hs_coord_core_message() - TRIGGER, CRUMBS, UPDATE, FOUND of an agent,
 *	MANIFEST_ACK
 * @from: node id of the connection it came over
 * @payload: 8-aligned
 *
 * Return: 0; -EBADMSG: malformed, or it speaks for another node: cut it off.
 */
int hs_coord_core_message(struct hs_coord_core *core, uint64_t now_ns,
			  uint64_t from, uint16_t type, const void *payload,
			  uint32_t payload_bytes);

/** hs_coord_core_node_up() - an agent is connected, with that incarnation */
void hs_coord_core_node_up(struct hs_coord_core *core, uint64_t now_ns,
			   uint64_t node);
/**
 * hs_coord_core_node_at() - it came from that address
 * @at: hs_node_at() of it; 0: not known
 *
 * Crumbs may name it so. Called after node_up().
 */
void hs_coord_core_node_at(struct hs_coord_core *core, uint64_t node,
			   uint64_t at);
/** hs_coord_core_node_down() - its connection ended; ignored for another id */
void hs_coord_core_node_down(struct hs_coord_core *core, uint64_t now_ns,
			     uint64_t node);
/**
 * hs_coord_core_node_left() - it will not come back, and what it had is gone
 * @number: of the node; until node_up() says otherwise
 */
void hs_coord_core_node_left(struct hs_coord_core *core, uint64_t now_ns,
			     uint32_t number);
/** hs_coord_core_node_listed() - a list says that there is such a node */
void hs_coord_core_node_listed(struct hs_coord_core *core, uint64_t now_ns,
			       uint32_t number);
/**
 * hs_coord_core_table() - an agent lets us read its crumbs; until it goes
 * @node: that is up
 * @about: what it tells of the table, any alignment (hs/crumb_format.h)
 * @size_bytes: of what can be read
 *
 * Return: 0; -EBADMSG: that is no such table: cut it off.
 */
int hs_coord_core_table(struct hs_coord_core *core, uint64_t now_ns,
			uint64_t node, const void *about, uint32_t about_bytes,
			uint64_t size_bytes);
/**
 * hs_coord_core_read() - what read_node() asked for
 * @node: whose table
 * @cookie: read_node()'s
 * @bytes: as they came, any alignment; NULL: they did not
 */
void hs_coord_core_read(struct hs_coord_core *core, uint64_t now_ns,
			uint64_t node, uint64_t cookie, const void *bytes,
			uint32_t size_bytes);
/** hs_coord_core_listing() - whether lists name all agents there are: then a
 * node that was never up nor listed is "unknown", and not "unreachable" */
void hs_coord_core_listing(struct hs_coord_core *core, bool all);
/** hs_coord_core_collector_up() - what no collector has goes now */
void hs_coord_core_collector_up(struct hs_coord_core *core, uint64_t now_ns);

/** hs_coord_core_tick() - what is due by now; also when a peer has room */
void hs_coord_core_tick(struct hs_coord_core *core, uint64_t now_ns);
/** hs_coord_core_next_ns() - tick() then at the latest; UINT64_MAX: no need */
uint64_t hs_coord_core_next_ns(const struct hs_coord_core *core);

void hs_coord_core_stats_get(const struct hs_coord_core *core,
			     struct hs_coord_stats *out);

/* What people are shown of a trace. */
struct hs_coord_view {
	struct hs_wire_trace_id trace;
	enum hs_coord_state state;
	char name[HS_WIRE_NAME_BYTES]; /* of its first trigger */
	uint32_t nr_nodes, nr_waiting, nr_unreachable, nr_triggers;
	uint32_t version, acked;
};
/** hs_coord_core_view() - up to @max live traces, any order; Return: how many
 */
uint32_t hs_coord_core_view(const struct hs_coord_core *core,
			    struct hs_coord_view *out, uint32_t max);

/** hs_coord_core_check() - every sum adds up; for tests and the simulator */
bool hs_coord_core_check(const struct hs_coord_core *core, const char **why);

#endif
