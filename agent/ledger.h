/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger.h - what the agent knows, in memory that only it maps (law 3)
 *
 * Two kinds of memfd, held by the keeper and handed to every worker:
 *
 *   the node's ledger     triggers not yet stored (the outbox) and the traces
 *                         that have fired, whichever domain they are in
 *   a domain's ledger     a line for every unit of its pool, the classes of its
 *                         chunks, the crumbs, the attached processes,
 *                         fingerprints of what is gone
 *
 * Crash-consistent against a kill of the worker at any instruction: a record's
 * body is written first and its state word last, by one store; whoever adopts
 * the memory believes the state words and derives everything else. What the
 * worker keeps beside it (hashes, lists, queues) is rebuilt.
 */
#ifndef HS_AGENT_LEDGER_H
#define HS_AGENT_LEDGER_H

#include <stddef.h>
#include <stdint.h>

#include "hs/wire_format.h"

#define HS_LEDGER_VERSION      4u
#define HS_LEDGER_NODE_MAGIC   0x45444f4e4c5348ffull
#define HS_LEDGER_DOMAIN_MAGIC 0x4d4f444c5348ffffull
#define HS_LEDGER_PROCESSES    256u
#define HS_LEDGER_LOSSES       8u /* intervals of a process */

enum hs_ledger_state {
	HS_LEDGER_FREE = 0,
	HS_LEDGER_STOCKED = 1, /* a process may write it */
	HS_LEDGER_HELD = 2,    /* published: belongs to a trace */
	HS_LEDGER_FREEING = 3, /* durable at the collector, being counted */
};

/* state in bits 0..7, generation 8..31, process 32..63: one store */
static inline uint64_t hs_ledger_word(enum hs_ledger_state state,
				      uint32_t generation, uint32_t process)
{
	return (uint64_t)state | (uint64_t)(generation & 0xffffffu) << 8 |
	       (uint64_t)process << 32;
}
static inline enum hs_ledger_state hs_ledger_word_state(uint64_t word)
{
	return (enum hs_ledger_state)(word & 0xffu);
}
static inline uint32_t hs_ledger_word_generation(uint64_t word)
{
	return (uint32_t)(word >> 8) & 0xffffffu;
}
static inline uint32_t hs_ledger_word_process(uint64_t word)
{
	return (uint32_t)(word >> 32);
}

/* Nobody's, of the same generation. */
static inline uint64_t hs_ledger_word_free(uint64_t word)
{
	return (word & 0xffffff00u) | HS_LEDGER_FREE;
}
/* The same generation and process. */
static inline uint64_t hs_ledger_word_in(uint64_t word,
					 enum hs_ledger_state state)
{
	return (word & ~0xffull) | state;
}

/* The line of the first unit of a buffer; those of its others are FREE. */
struct hs_ledger_buffer {
	uint64_t word;
	uint64_t trace_hi;
	uint64_t trace_lo;
	uint32_t handle;
	uint32_t seq;
	uint32_t committed; /* bytes, header included */
	uint32_t acked;	    /* bytes that the collector has durable */
	uint32_t sent;	    /* bytes that were ever sent */
	uint32_t flags;	    /* HS_WIRE_F_* */
	uint64_t seen_ns;   /* when it was published; 0: not known */
	uint64_t reserved;
};
_Static_assert(sizeof(struct hs_ledger_buffer) == 64, "a line a buffer");

struct hs_ledger_crumb {
	uint64_t trace_hi;
	uint64_t trace_lo;
	uint64_t node;
	uint32_t kind;
	uint32_t live; /* written last; its trace's flags from bit 8 */
};
_Static_assert(sizeof(struct hs_ledger_crumb) == 32, "two to a line");

/* An attached process; live written last. */
struct hs_ledger_process {
	uint32_t live;
	uint32_t process;
	int32_t pid;
	uint32_t lost_seen;   /* its drops that are among the losses below */
	uint64_t start_ticks; /* of /proc/PID/stat: tells a reused pid */
	uint64_t token;
	char service[64];
};

/* When a process dropped what no trace can be named for; nr written last. */
struct hs_ledger_losses {
	uint32_t process;
	uint32_t nr;
	struct {
		uint64_t first_ns, last_ns;
	} at[HS_LEDGER_LOSSES];
};

struct hs_ledger_domain {
	uint64_t magic; /* written last */
	uint32_t version;
	uint32_t nr_buffers;
	uint32_t buffer_bytes;
	uint32_t nr_crumbs;
	uint64_t buffers_offset;
	uint64_t crumbs_offset;
	uint64_t evicted_offset; /* fingerprints of evicted traces */
	uint64_t evicted_seed;	 /* of their hashes, and of the index */
	uint64_t chunks_offset;	 /* a word a chunk: its class + 1, 0: none */
	uint32_t nr_classes;
	uint32_t class_factor;
	uint32_t chunk_units;
	uint32_t nr_nodes;
	uint64_t total_bytes;
	struct hs_ledger_process processes[HS_LEDGER_PROCESSES];
	struct hs_ledger_losses losses[HS_LEDGER_PROCESSES];
	/* Where the header was padded to whole lines before: 0 there. */
	uint32_t parts_say; /* what went in parts says so itself (ADR 54) */
};
_Static_assert(offsetof(struct hs_ledger_domain, parts_say) +
			       sizeof(uint32_t) <=
		       59520,
	       "no longer than it was, in whole lines");

/* A trigger that fired here, until its manifests are stored. */
#define HS_LEDGER_GROUP_FLAGS 8u /* of live: HS_WIRE_GROUP_* from here on */
struct hs_ledger_group {
	uint32_t live; /* 1 and flags; written last */
	uint32_t nr;
	struct hs_wire_trigger trigger;
	struct hs_wire_trace_id traces[HS_WIRE_TRACES_MAX];
};

/* Totals of what was already let go, in two copies: select flips last. */
struct hs_ledger_totals {
	uint64_t buffers;
	uint64_t bytes;
	uint64_t last; /* the buffer that was counted last: its ship key */
};

/*
 * Who took part in a trace that fired, in one word: whether an application
 * named it here at all, whether several did, the low bits of the number of the
 * first, and in which domains. When: from and to, in 16 bits each, in units of
 * 2.1 s since the boot, the one rounded down and the other up.
 */
#define HS_LEDGER_WHO_VISITED 1u
#define HS_LEDGER_WHO_SEVERAL 2u
#define HS_LEDGER_WHO_PROCESS 2u  /* 14 bits from here on */
#define HS_LEDGER_WHO_DOMAINS 16u /* a bit a domain from here on */
#define HS_LEDGER_WHEN_SHIFT  31u /* of ns */

/* A trace that a trigger named, here or elsewhere. */
struct hs_ledger_fired {
	uint32_t live; /* written last */
	uint32_t rev;  /* of the last answer given */
	struct hs_wire_trace_id trace;
	struct hs_wire_trigger trigger; /* the first that named it */
	uint32_t flags;			/* HS_WIRE_F_*, sticky */
	uint32_t who;			/* HS_LEDGER_WHO_* */
	uint32_t totals_select;
	uint32_t when; /* written before who */
	struct hs_ledger_totals totals[2];
};

struct hs_ledger_node {
	uint64_t magic; /* written last */
	uint32_t version;
	uint32_t nr_groups;
	uint32_t nr_fired;
	uint32_t reserved;
	uint64_t node_id;
	uint64_t next_key;     /* of triggers and updates: reserved in blocks */
	uint32_t next_process; /* number of the next attachment */
	uint32_t rev_floor;    /* no forgotten trace had a higher rev */
	uint64_t groups_offset;
	uint64_t fired_offset;
	uint64_t total_bytes;
};

#endif
