/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shm_format.h - what an application and its node's agent share in memory
 *
 * Three memfds, made, sealed and populated by the agent, mapped by both:
 *
 *   pool   one per domain and NUMA node: nothing but trace buffers. Both map
 *          it writable, since a buffer changes hands whole: the agent's ledger
 *          (private) says whose it is.
 *   down   one per attached process: written by the agent alone. The client
 *          gets a read-only descriptor, so the MMU keeps law 2.
 *   up     one per attached process: written by the client alone. The agent
 *          maps it read-only. Everything in it is input: read once into a
 *          local, check it, use the local.
 *
 * The life of a buffer: the agent puts a *stock word* into a stock ring
 * (down); a thread takes it by advancing the ring's tail (up; threads of one
 * process compete by compare-and-swap), writes records behind the buffer's
 * header and publishes it by an *entry* in its own lane (up), which the agent
 * consumes, saying so in the lane's tail (down).
 *
 * A live trace handle owns a *slot* (up), which names its trace and its
 * present buffer, so that the agent sees what is open and finds what a dead
 * process had committed. The slot belongs to the process and not to a lane,
 * so that a handle that moves between threads moves nothing else (ADR 2).
 *
 * A wall of the house: it changes by ADR, with HS_SHM_VERSION.
 * All words are little-endian; the machine is x86-64 or aarch64.
 */
#ifndef HS_SHM_FORMAT_H
#define HS_SHM_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "hs/shm_watch.h"

#ifdef __cplusplus
#define HS_SHM_ASSERT(cond) static_assert(cond, #cond)
#else
#define HS_SHM_ASSERT(cond) _Static_assert(cond, #cond)
#endif

/* Of the memories and the hello; N and N-1 are spoken (ADR 5). */
#define HS_SHM_VERSION	   2u
#define HS_SHM_VERSION_MIN 1u
/* Of a buffer's header and what follows it: what is written, and what is read
 * besides (ADR 46). */
#define HS_SHM_BUF_VERSION     2u
#define HS_SHM_BUF_VERSION_MIN 1u
#define HS_SHM_DOWN_MAGIC      0x4e574f44534848ffull
#define HS_SHM_UP_MAGIC	       0x2050555f534848ffull
#define HS_SHM_BUF_MAGIC       0x42534848u
#define HS_SHM_LINE_BYTES      64u

/* ---- buffers ------------------------------------------------------------ */

/*
 * A stock word: which buffer, and the how-manieth time it is handed out.
 *   bits  0..31  offset in the pool in units of 256 bytes
 *   bits 32..35  size class (index into class_bytes)
 *   bits 36..39  NUMA node
 *   bits 40..63  generation; never 0 in a valid word
 */
#define HS_SHM_REF_UNIT_BYTES 256u
#define HS_SHM_NR_CLASSES     8u
#define HS_SHM_NR_NODES	      16u

static inline uint64_t hs_shm_stock_word(uint32_t ref, uint32_t size_class,
					 uint32_t node, uint32_t generation)
{
	return (uint64_t)ref | (uint64_t)(size_class & 15u) << 32 |
	       (uint64_t)(node & 15u) << 36 |
	       (uint64_t)(generation & 0xffffffu) << 40;
}
static inline uint32_t hs_shm_stock_ref(uint64_t word)
{
	return (uint32_t)word;
}
static inline uint32_t hs_shm_stock_class(uint64_t word)
{
	return (uint32_t)(word >> 32) & 15u;
}
static inline uint32_t hs_shm_stock_node(uint64_t word)
{
	return (uint32_t)(word >> 36) & 15u;
}
static inline uint32_t hs_shm_stock_generation(uint64_t word)
{
	return (uint32_t)(word >> 40);
}

/* Clocks that a buffer's record times are deltas in. */
enum hs_shm_clock {
	HS_SHM_CLOCK_REALTIME_NS = 0, /* ns since the epoch */
	HS_SHM_CLOCK_TSC = 1, /* ticks; the first record that starts in the
				 buffer is a CLOCK, which says what they are */
};

/*
 * The first bytes of every buffer, written by its owner. The buffers of one
 * handle, in the order of seq, carry one stream of records; a record may run
 * on from one buffer to the next.
 */
struct hs_shm_buffer {
	uint32_t magic;	       /* HS_SHM_BUF_MAGIC */
	uint16_t version;      /* HS_SHM_BUF_VERSION */
	uint16_t header_bytes; /* sizeof(struct hs_shm_buffer) */
	uint64_t stock_word;   /* as it was handed out */
	uint64_t trace_hi;
	uint64_t trace_lo;
	uint32_t process;      /* attachment that writes */
	uint32_t handle;       /* of that process */
	uint32_t seq;	       /* of that handle, from 0 */
	uint32_t committed;    /* bytes of the buffer that may be read, this
				  header included; released after the bytes */
	uint32_t first_record; /* offset of the first record that starts in
				  this buffer; 0: none */
	uint32_t clock;	       /* enum hs_shm_clock, epoch in the upper half */
	uint64_t time_base;    /* record times are deltas to it */
};
HS_SHM_ASSERT(sizeof(struct hs_shm_buffer) == 64);
HS_SHM_ASSERT(offsetof(struct hs_shm_buffer, committed) == 44);
HS_SHM_ASSERT(offsetof(struct hs_shm_buffer, time_base) == 56);

/* ---- up: written by the client ------------------------------------------ */

enum hs_shm_entry_type {
	HS_SHM_ENTRY_NONE = 0,
	HS_SHM_ENTRY_BUFFER = 1,  /* a buffer is full, its handle goes on */
	HS_SHM_ENTRY_END = 2,	  /* the handle ended; ref 0xffffffff: without
				     a last buffer */
	HS_SHM_ENTRY_CRUMB = 3,	  /* aux: enum hs_shm_crumb; arg: node id */
	HS_SHM_ENTRY_TRIGGER = 4, /* aux: lateral entries that follow at once;
				     arg: index of the trigger's name */
	HS_SHM_ENTRY_LATERAL = 5, /* a lateral trace of the trigger before */
	HS_SHM_ENTRY_CONTEXT_TRIGGER = 6, /* a context came in triggered;
				     arg: FNV-1a of the trigger's name */
	HS_SHM_ENTRY_RETURN = 7, /* a buffer of the stock that the agent asked
				    for; no trace, no handle */
};
enum hs_shm_crumb {
	HS_SHM_CRUMB_BACK = 0,	  /* where the request came from */
	HS_SHM_CRUMB_FORWARD = 1, /* where it is being sent */
	HS_SHM_CRUMB_REPLY = 2,	  /* where a reply came from */
};
#define HS_SHM_NO_BUFFER 0xffffffffu

/* Thirty-two bytes; two to a line. */
struct hs_shm_entry {
	uint64_t trace_hi;
	uint64_t trace_lo;
	union {
		struct {
			uint32_t ref;	    /* of the stock word */
			uint32_t committed; /* bits 0..27: bytes, header
					       included; 28..31: NUMA node */
		} buffer;
		uint64_t arg;
	} u;
	uint32_t handle;
	uint16_t seq; /* BUFFER, END: of the buffer; 0xffff is the last */
	uint8_t type; /* enum hs_shm_entry_type */
	uint8_t aux;  /* BUFFER, END: nonzero: the handle dropped data */
};
HS_SHM_ASSERT(sizeof(struct hs_shm_entry) == 32);

/* One thread writes it; nr_entries entries follow. */
struct hs_shm_lane {
	uint64_t head; /* entries ever published */
	uint64_t lost; /* entries dropped because the lane was full: triggers
			  with their laterals, nothing else (ADR 71) */
	uint64_t lost_first_ns; /* of the drops since it last was not full */
	uint64_t lost_last_ns;
	uint64_t reserved[4];
};
HS_SHM_ASSERT(sizeof(struct hs_shm_lane) == 64);

/*
 * A live handle. use is odd while it is live: the other words were written
 * before it became odd; buffer and lost change under way.
 */
struct hs_shm_slot {
	uint32_t use;
	uint32_t handle;
	uint64_t trace_hi;
	uint64_t trace_lo;
	uint64_t buffer;   /* stock word of the present buffer, 0: none */
	uint32_t seq;	   /* of the present buffer */
	uint32_t lost;	   /* records that this handle dropped */
	uint64_t begin_ns; /* what the times of its first buffer count from;
			      0: it has none yet (ADR 75) */
	uint64_t reserved[2];
};
HS_SHM_ASSERT(sizeof(struct hs_shm_slot) == 64);

struct hs_shm_stock_tail {
	uint64_t tail;	  /* stock words ever taken from the ring */
	uint64_t nulls;	  /* times that nothing was found anywhere; of the ring
			     that was looked into first */
	uint64_t empties; /* times that the ring was found empty */
	uint64_t reserved[5];
};
HS_SHM_ASSERT(sizeof(struct hs_shm_stock_tail) == 64);

#define HS_SHM_NR_TRIGGERS	  64u
#define HS_SHM_TRIGGER_NAME_BYTES 32u

struct hs_shm_trigger {
	char name[HS_SHM_TRIGGER_NAME_BYTES]; /* NUL-terminated */
};

struct hs_shm_up {
	uint64_t magic; /* HS_SHM_UP_MAGIC once the client has mapped it */
	uint32_t version;
	uint32_t nr_triggers;	/* names that may be read */
	uint64_t lost_unpinned; /* drops that no lane counted: no lane free */
	uint64_t lost_first_ns;
	uint64_t lost_last_ns;
	/* Slots, from the first, that a handle may ever have had: said before
	 * it has; 0: not said, any of them (ADR 83). */
	uint32_t slots_used;
	uint32_t reserved32;
	uint64_t reserved[2];
	struct hs_shm_trigger triggers[HS_SHM_NR_TRIGGERS];
};
HS_SHM_ASSERT(offsetof(struct hs_shm_up, slots_used) == 40);
HS_SHM_ASSERT(offsetof(struct hs_shm_up, triggers) == 64);

/* ---- down: written by the agent ------------------------------------------ */

/*
 * Sizes and offsets are in bytes from the start of the memfd they speak of.
 * The client copies this header once, checks it against the descriptors'
 * sizes and uses its copy.
 */
struct hs_shm_down {
	uint64_t magic; /* HS_SHM_DOWN_MAGIC */
	uint32_t version;
	uint32_t header_bytes;
	uint64_t node_id;
	uint32_t process; /* this attachment's number, unique at the agent */
	uint32_t domain;
	uint64_t pool_bytes; /* of the pool of each NUMA node */
	uint32_t class_bytes[HS_SHM_NR_CLASSES]; /* 0: not in use */
	uint32_t nr_rings;   /* stocks; a thread uses that of cpu % nr_rings */
	uint32_t ring_words; /* power of two; hs_shm_ring_words() */
	uint32_t nr_lanes;
	uint32_t lane_entries; /* power of two */
	uint32_t nr_slots;
	uint32_t nr_classes; /* rings of a stock; version 1: 0, means 1 */
	uint64_t down_rings; /* ring_stride bytes a stock: its rings in turn,
				each a struct hs_shm_stock_ring and words */
	uint64_t down_tails; /* struct hs_shm_lane_tail[nr_lanes] */
	uint64_t up_rings; /* struct hs_shm_stock_tail[nr_rings][nr_classes] */
	uint64_t up_slots; /* struct hs_shm_slot[nr_slots] */
	uint64_t up_lanes; /* lane_stride bytes each */
	uint64_t lane_stride;
	uint64_t ring_stride;
	uint64_t down_bytes;
	uint64_t up_bytes;
	uint64_t down_rules;	/* struct hs_shm_rules; 0: none */
	uint64_t up_watch;	/* struct hs_shm_watch; 0: none */
	uint32_t nr_operations; /* with up_watch: 1 and more */
	uint32_t nr_stripes;
	uint32_t nr_nodes; /* pools; version 1: 0, means 1 */
	uint32_t reserved0;
};
HS_SHM_ASSERT(sizeof(struct hs_shm_down) <= 256);

/*
 * Words of the ring of a size class: few large buffers hold as much as many
 * small ones, yet a ring of few words runs dry between two rounds.
 */
#define HS_SHM_RING_WORDS_MIN 512u
static inline uint32_t hs_shm_ring_words(uint32_t ring_words,
					 uint32_t size_class)
{
	uint32_t words = ring_words >> 2 * size_class;

	if (words >= HS_SHM_RING_WORDS_MIN)
		return words;
	return ring_words < HS_SHM_RING_WORDS_MIN ? ring_words
						  : HS_SHM_RING_WORDS_MIN;
}

/* At offset 256 of down: changes while the process runs. */
#define HS_SHM_DOWN_STATUS 256u
struct hs_shm_status {
	uint64_t heartbeat;   /* counts the worker's rounds */
	uint64_t calibration; /* number of the clock epoch in force */
	uint64_t tsc_base;    /* of that epoch */
	uint64_t ns_base;
	uint64_t ticks_to_ns_mult; /* ns = ticks * mult >> 32 */
	uint64_t reserved[3];
};
HS_SHM_ASSERT(sizeof(struct hs_shm_status) == 64);

struct hs_shm_stock_ring {
	uint64_t head;	 /* stock words ever put in; words follow */
	uint64_t recall; /* of them, so many should have been taken by now: the
			    client's helper takes those that nobody took and
			    gives them back, by RETURN entries */
	uint64_t reserved[6];
};
HS_SHM_ASSERT(sizeof(struct hs_shm_stock_ring) == 64);

/* Where the ring of a size class begins within its stock. */
static inline uint64_t hs_shm_ring_offset(uint32_t ring_words,
					  uint32_t size_class)
{
	uint64_t at = 0;

	for (uint32_t i = 0; i < size_class; i++)
		at += (sizeof(struct hs_shm_stock_ring) +
		       hs_shm_ring_words(ring_words, i) * sizeof(uint64_t) +
		       HS_SHM_LINE_BYTES - 1) &
		      ~(uint64_t)(HS_SHM_LINE_BYTES - 1);
	return at;
}

struct hs_shm_lane_tail {
	uint64_t tail; /* entries ever consumed */
	uint64_t reserved[7];
};
HS_SHM_ASSERT(sizeof(struct hs_shm_lane_tail) == 64);

/* ---- the socket -----------------------------------------------------------
 */

/*
 * A SOCK_SEQPACKET Unix socket per domain. The client sends one
 * hs_shm_hello, the agent answers with one hs_shm_welcome and, unless the
 * attachment was resumed or refused, with descriptors: down (read-only), up,
 * and a pool for each NUMA node in use. After that the socket says only that
 * the other side lives.
 */
#define HS_SHM_HELLO_MAGIC    0x4f4c4548u
#define HS_SHM_DEFAULT_SOCKET "/run/hindsight/agent.sock"

struct hs_shm_hello {
	uint32_t magic;
	uint16_t version_min; /* shared-memory formats the client speaks */
	uint16_t version_max;
	uint32_t resume_process; /* attachment to go on with, 0: a new one */
	uint32_t stripes_max;	 /* of counts that the client takes; 0: it does
				    not say, HS_SHM_STRIPES_UNSAID */
	uint64_t resume_token;	 /* as the welcome gave it */
	char service[64];	 /* for hs status; NUL-terminated */
};
HS_SHM_ASSERT(sizeof(struct hs_shm_hello) == 88);

enum hs_shm_verdict {
	HS_SHM_VERDICT_NEW = 0,	    /* descriptors come along */
	HS_SHM_VERDICT_RESUMED = 1, /* go on with what is mapped */
	HS_SHM_VERDICT_VERSION = 2, /* no format in common */
	HS_SHM_VERDICT_FULL = 3,    /* too many processes; try later */
	HS_SHM_VERDICT_UNKNOWN = 4, /* resume: not known; say hello as new */
};
struct hs_shm_welcome {
	uint32_t magic;	  /* HS_SHM_HELLO_MAGIC */
	uint16_t version; /* the highest that both speak */
	uint16_t verdict; /* enum hs_shm_verdict */
	uint32_t process;
	uint32_t reserved;
	uint64_t resume_token;
	uint64_t node_id;
	uint64_t down_bytes;
	uint64_t up_bytes;
	uint64_t pool_bytes;
};
HS_SHM_ASSERT(sizeof(struct hs_shm_welcome) == 56);

#endif
