/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the agent's working process: everything around the core that
 * touches the outside (sockets, shared memory, the clock), in one thread.
 *
 * Guarantees: it may be killed at any instruction; the keeper holds what it
 * made, and its successor goes on from the ledgers. Nothing that a guest
 * writes is used before it was copied and checked.
 */
#ifndef HS_AGENT_WORKER_H
#define HS_AGENT_WORKER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/calibrate.h"
#include "agent/core.h"
#include "agent/held.h"
#include "agent/rules.h"
#include "agent/settings.h"
#include "agent/silence.h"
#include "base/memfd.h"
#include "rdma/members.h"
#include "rdma/source.h"
#include "rdma/transport.h"

struct hs_attach;
struct hs_tally_dead;
struct hs_guest;
struct hs_mailbox;
struct hs_numa;
struct hs_shipper;
struct hs_redact;
struct hs_tenant;

/* What an epoll event is about: kind in the upper half, index in the lower. */
enum hs_worker_event {
	HS_WORKER_KEEPER = 1,
	HS_WORKER_LISTENER,
	HS_WORKER_PENDING,
	HS_WORKER_GUEST_LINE,
	HS_WORKER_GUEST_EXIT,
	HS_WORKER_TRANSPORT,
	HS_WORKER_SOURCES,
	HS_WORKER_MAILBOX,
	HS_WORKER_SHIP,
};

struct hs_worker_counters {
	uint64_t rounds;
	uint64_t attachments;
	uint64_t resumed;
	uint64_t refused_full;
	uint64_t refused_version;
	uint64_t refused_rate;
	uint64_t hellos_bad;
	uint64_t guests_garbage; /* said something impossible: cut off */
	uint64_t guests_dead;
	uint64_t lane_lost;
	uint64_t lost_unpinned;
	uint64_t stock_nulls;	/* nothing to be had anywhere */
	uint64_t stock_empties; /* not of the size and core asked for first */
	uint64_t holes;		/* faults in shared memory, covered */
	uint64_t ship_refused;	/* the carrier had no room */
	uint64_t messages_misplaced;
	uint64_t recent_fired;	  /* by place and time */
	uint64_t recent_left_out; /* over the limit */
	uint64_t hooks;
	uint64_t hooks_refused;
	uint64_t reloads;
	uint64_t reloads_refused;
	uint64_t waits; /* system calls of the loop that waits for events */
	uint64_t tallies_dropped; /* counts of dead processes, for want of room
				   */
};

/* Areas of a predecessor that could not be adopted: see left.h. */
#define HS_WORKER_LEFT_MAX 64u

struct hs_worker {
	struct hs_agent_settings settings;
	const char *config;  /* the file's path */
	struct hs_held held; /* what the keeper had when we began */
	int keeper;
	int epoll;
	struct hs_agent_core *core;
	void *core_memory;
	size_t core_memory_bytes;
	struct hs_memfd node_ledger;
	uint64_t node_id;
	struct hs_tenant *tenants[HS_AGENT_DOMAINS_MAX];
	struct hs_guest *guests[HS_AGENT_PROCESSES_MAX];
	uint32_t nr_guests; /* places in use, holes included */
	struct hs_attach *attach;
	struct hs_mailbox *mailbox;
	struct hs_transport *transport;
	char transport_why[HS_TRANSPORT_WHY_BYTES];
	struct hs_members *members;
	struct hs_sources *sources;
	struct hs_silence silence;  /* of coordinators */
	uint8_t *bounce;	    /* HS_WIRE_SLICE_MAX_BYTES */
	struct hs_shipper *shipper; /* NULL: slices go by transport */
	struct hs_redact *redact;
	struct hs_crumb_table crumb_table;
	struct hs_crumb_bucket *crumb_buckets; /* NULL: nobody reads them */
	struct hs_memfd crumb_memory;	       /* where they lie */
	struct hs_worker_counters counters;
	struct hs_calibrate calibrate;
	struct hs_agent_rules rules;
	struct hs_tally_dead *tally_dead; /* what the dead have left to say */
	size_t tally_dead_bytes;
	uint64_t tally_seq;
	uint64_t calibrate_ns; /* when next */
	uint64_t now_ns;       /* of this round */
	uint64_t began_ns;     /* to take over, where it has stood by */
	uint64_t began_cpu_ns;
	uint64_t ready_ns;
	uint64_t ready_cpu_ns;	/* of this thread, when it was ready */
	uint64_t clear_cpu_ns;	/* of others that cleared tables for it */
	uint64_t adopted_bytes; /* of pools */
	struct hs_numa *numa;	/* NULL: not known */
	char left[HS_WORKER_LEFT_MAX][HS_HELD_NAME_BYTES];
	uint32_t nr_left;
	uint64_t left_until_ns;
	uint64_t figures_ns; /* when rates are looked at next */
	uint64_t nap_ns;     /* before the next round: see nap.h */
	uint64_t looked_ns;  /* when lanes were looked at last */
	uint64_t trigger_ns; /* when an application's trigger came last */
	uint64_t asked_ns;   /* when another node's trigger came last */
	uint32_t crowding;   /* of this round */
	/* Buffers that the least stock or lane that was used has room for; 0:
	 * none was. */
	uint32_t least_room;
	uint64_t routes; /* hs_members_routes() as it was last */
	pid_t standby;	 /* its successor, 0: none is prepared */
	uint32_t standby_deaths;
	bool stood_by;
	bool sent;	/* something, since the transport was polled last */
	bool no_pwait2; /* the kernel has no such call */
	bool finishing;
	bool purging;
	bool asked_to_stop; /* by the control door */
	uint64_t ask_stop_ns;
	uint64_t finish_by_ns;
};

static inline uint64_t hs_worker_tag(enum hs_worker_event event, uint32_t index)
{
	return (uint64_t)event << 32 | index;
}

/** hs_worker_watch() - Return: 0 or -errno */
int hs_worker_watch(struct hs_worker *w, int fd, enum hs_worker_event event,
		    uint32_t index);
/** hs_worker_store() - have the keeper hold @fd. Return: 0 or -errno */
int hs_worker_store(struct hs_worker *w, const char *name, int fd);
void hs_worker_drop(struct hs_worker *w, const char *name);

/**
 * hs_worker_main() - be the worker of the keeper behind @keeper
 * @config: the file to read again when asked to
 * Return: exit status.
 */
int hs_worker_main(int keeper, const char *config);

#endif
