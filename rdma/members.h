/* SPDX-License-Identifier: Apache-2.0 */
/*
 * members.h - who belongs to the cluster, as one node sees it, and who owns
 * what
 *
 * A list of agents, coordinators and collectors with a version that rises with
 * every change. It is fed by what a source lists (a static file, DNS, etcd: the
 * shell's business), by connections that come and go, and by members that say
 * that they leave. Members are never asked to agree: two lists that differ for
 * a while send the same trace to two coordinators, whose manifests a collector
 * unites, or hold slices back until a collector is known.
 *
 * Owners are ranked by rendezvous hash over node *numbers* (Thaler and
 * Ravishankar, "Using name-based mappings to increase hit rates", 1998), so a
 * restart moves nothing, and one that leaves moves only what it owned.
 *
 * Guarantees: no I/O, no clock, no allocation after create; bounded by what it
 * was made for; what finds no room is counted.
 *
 * Context: one thread owns a list.
 */
#ifndef HS_RDMA_MEMBERS_H
#define HS_RDMA_MEMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hs/wire_format.h"

#define HS_MEMBER_ADDRESS_BYTES 280u
/* Servers of one role that are ranked; more are known and not chosen. */
#define HS_MEMBERS_RANKED_MAX 256u

enum hs_member_state {
	HS_MEMBER_FREE = 0,    /* not there */
	HS_MEMBER_JOINING = 1, /* listed, never connected since */
	HS_MEMBER_UP = 2,      /* connected */
	HS_MEMBER_DOWN = 3,    /* was connected, and may come back */
	HS_MEMBER_LEAVING = 4, /* connected, and will not be much longer */
	HS_MEMBER_GONE = 5,    /* left; remembered while there is room */
	HS_MEMBER_NR_STATES
};

enum hs_member_event {
	HS_MEMBER_LISTED,   /* a source names it */
	HS_MEMBER_UNLISTED, /* its source names it no more */
	HS_MEMBER_CAME,	    /* it connected */
	HS_MEMBER_WENT,	    /* its connection ended */
	HS_MEMBER_LEAVES,   /* it says that it leaves for good */
	HS_MEMBER_EXPIRED,  /* listed nowhere, and down for too long */
	HS_MEMBER_NR_EVENTS
};

/* HS_MEMBER_NEVER is a defect of ours. */
#define HS_MEMBER_NEVER 0xffu
extern const uint8_t hs_member_transitions[HS_MEMBER_NR_STATES]
					  [HS_MEMBER_NR_EVENTS];
const char *hs_member_state_name(enum hs_member_state state);

struct hs_member {
	uint32_t next_number, next_peer, next_role; /* chains; 0 ends them */
	enum hs_wire_role role;
	enum hs_member_state state; /* hs_member_step() alone writes it */
	bool listed;
	bool dial;	   /* it is ours to connect to */
	uint32_t number;   /* of the node; 0: its HELLO will tell */
	uint32_t peer;	   /* its connection; 0: none */
	uint64_t id;	   /* of its latest incarnation; 0: never seen */
	uint64_t since_ns; /* of its state */
	uint64_t version;  /* of the list when it changed last */
	char name[HS_WIRE_NAME_BYTES];
	char address[HS_MEMBER_ADDRESS_BYTES]; /* "" where it connects to us */
};

/* One line of a source. */
struct hs_member_line {
	uint32_t number; /* 0: not said */
	char address[HS_MEMBER_ADDRESS_BYTES];
};

struct hs_members_config {
	uint32_t nr;		  /* members of all roles, gone ones included */
	uint64_t identify_ns;	  /* how long a listed collector that nobody
				     has reached is waited for; 0: 5 s */
	uint64_t expire_after_ns; /* unlisted and down; 0: never */
};

struct hs_members_stats {
	uint64_t version;
	uint64_t joined, left, refused; /* refused: no room */
	uint64_t superseded; /* connections in the place of an older one */
	uint32_t nr[HS_MEMBER_NR_STATES];
};

struct hs_members {
	struct hs_members_config config;
	struct hs_member *at; /* 1..nr */
	uint32_t *by_number, *by_peer;
	uint32_t mask, free, fresh;
	uint32_t first[4]; /* by role */
	bool listed[4];	   /* a source speaks for that role */
	struct hs_members_stats stats;
};

size_t hs_members_size_bytes(const struct hs_members_config *config);

/** hs_members_create() - an empty list in @memory, zeroed and 8-aligned */
struct hs_members *hs_members_create(void *memory,
				     const struct hs_members_config *config);

/**
 * hs_members_list() - what a source says about one role, all of it
 * @lines: by number where it is given, else by address; twice counts once
 * @dial: we connect to them (agents to servers), not they to us
 *
 * Those that it had and does not name any more leave.
 *
 * Return: whether anything changed.
 */
bool hs_members_list(struct hs_members *m, enum hs_wire_role role, bool dial,
		     const struct hs_member_line *lines, uint32_t nr,
		     uint64_t now_ns);

/**
 * hs_members_came() - a connection is up, and HELLO was heard
 * @address: that we dialled; "" where it connected to us
 * @superseded: out: the connection that it had before; 0: none
 *
 * Return: its index; 0: no room, counted: hang up.
 */
uint32_t hs_members_came(struct hs_members *m, enum hs_wire_role role,
			 uint64_t id, const char *name, const char *address,
			 uint32_t peer, uint64_t now_ns, uint32_t *superseded);
/**
 * hs_members_went() - a connection ended
 * Return: its index; 0: nobody's, or superseded before.
 */
uint32_t hs_members_went(struct hs_members *m, uint32_t peer, uint64_t now_ns);
/** hs_members_leaves() - the one at that connection will not come back */
uint32_t hs_members_leaves(struct hs_members *m, uint32_t peer,
			   uint64_t now_ns);
/** hs_members_tick() - those that are down for too long go */
void hs_members_tick(struct hs_members *m, uint64_t now_ns);

static inline const struct hs_member *hs_member(const struct hs_members *m,
						uint32_t i)
{
	return i ? &m->at[i] : NULL;
}
/** hs_members_find() - by node number; 0: not known */
uint32_t hs_members_find(const struct hs_members *m, enum hs_wire_role role,
			 uint32_t number);
/** hs_members_peer() - by connection; 0: nobody's */
uint32_t hs_members_peer(const struct hs_members *m, uint32_t peer);
/** hs_members_next() - the one of that role after @i; 0 begins, and ends */
uint32_t hs_members_next(const struct hs_members *m, enum hs_wire_role role,
			 uint32_t i);

/**
 * hs_members_shard() - the coordinator to tell of what has this primary trace
 * @attempt: 0 for the owner; each timeout tries the next
 *
 * Counted over those that are connected, so that a dead one costs nothing.
 *
 * Return: 0: nobody is connected.
 */
uint32_t hs_members_shard(const struct hs_members *m,
			  const struct hs_wire_trace_id *primary,
			  uint32_t attempt);
/**
 * hs_members_collector() - the collector that a trace belongs to
 *
 * Counted over all that are listed, connected or not: a trace that went to
 * two of them would be whole at neither, so what is down is waited for.
 *
 * Return: 0: not known yet, or it is not connected now: try again later.
 */
uint32_t hs_members_collector(const struct hs_members *m,
			      const struct hs_wire_trace_id *trace,
			      uint64_t now_ns);

/**
 * hs_members_routes() - differs from before when hs_members_collector() may
 *
 * By a change of the list, or because a collector that nobody has reached has
 * been waited for long enough.
 */
uint64_t hs_members_routes(const struct hs_members *m, uint64_t now_ns);

/** hs_members_check() - every sum adds up; for tests and the simulator */
bool hs_members_check(const struct hs_members *m, const char **why);

#endif
