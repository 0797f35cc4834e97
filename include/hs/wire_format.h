/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire_format.h - the messages between agents, coordinators and collectors
 *
 * One fixed header, then a payload of fixed structures, little-endian and
 * naturally aligned to 8 bytes, whatever carries them (TCP, verbs, the
 * simulator). Every message may come twice, late, or after its sender's death:
 * the receivers are idempotent.
 *
 *   agent -> coordinator   TRIGGER   a trigger fired here; with our own answer
 *   coordinator -> agent   COLLECT   pin these traces and say what you know
 *   agent -> coordinator   CRUMBS    the answer, given after pinning
 *   agent -> coordinator   UPDATE    a fired trace grew or closed: new answer
 *   coordinator -> collector MANIFEST       all answers of one trace so far
 *   collector -> coordinator MANIFEST_ACK   that version is durable
 *   coordinator -> agent   STORED    the manifest with your TRIGGER or UPDATE
 *                                    is durable: forget it
 *   coordinator -> agent   REFUSED   your TRIGGER or UPDATE is over your budget
 *   agent -> collector     SLICE     bytes of one buffer
 *   collector -> agent     SLICE_ACK those bytes are durable: let go
 *   coordinator -> agent   SEEK      do you know these traces?
 *   agent -> coordinator   FOUND     those of them; nothing was pinned
 *   agent -> coordinator   LEAVE     it goes, and what it had with it
 *   whoever lets itself be read -> its reader  WINDOW  where, and of what
 *   agent -> collector     TALLY     how often and how long operations ran
 *   collector -> agent     TALLY_ACK those counts are durable
 *
 * A trigger costs two messages a hop, and two more with its collector.
 * A wall of the house: it changes by ADR, with HS_WIRE_VERSION.
 */
#ifndef HS_WIRE_FORMAT_H
#define HS_WIRE_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define HS_WIRE_ASSERT(cond) static_assert(cond, #cond)
#else
#define HS_WIRE_ASSERT(cond) _Static_assert(cond, #cond)
#endif

#define HS_WIRE_MAGIC	0x31465348u /* "HSF1" */
#define HS_WIRE_VERSION 1u

/* Limits: a message over one of them is refused and its sender cut off. */
#define HS_WIRE_PAYLOAD_MAX_BYTES (1u << 20)
#define HS_WIRE_TRACES_MAX	  33u	/* a primary and its laterals */
#define HS_WIRE_CRUMBS_MAX	  1024u /* of one trace at one node */
#define HS_WIRE_ANSWERS_MAX	  8192u /* nodes of one manifest */
#define HS_WIRE_TRIGGERS_MAX	  64u	/* names of one manifest */
#define HS_WIRE_NAME_BYTES	  32u	/* NUL included */
#define HS_WIRE_SLICE_MAX_BYTES	  (512u << 10)
#define HS_WIRE_ACKS_MAX	  1024u
#define HS_WIRE_SEEK_MAX	  256u /* traces of one question */

enum hs_wire_type {
	HS_WIRE_HELLO = 1,
	HS_WIRE_PING = 2,
	HS_WIRE_PONG = 3,
	HS_WIRE_TRIGGER = 4,
	HS_WIRE_COLLECT = 5,
	HS_WIRE_CRUMBS = 6,
	HS_WIRE_UPDATE = 7,
	HS_WIRE_MANIFEST = 8,
	HS_WIRE_MANIFEST_ACK = 9,
	HS_WIRE_STORED = 10,
	HS_WIRE_SLICE = 11,
	HS_WIRE_SLICE_ACK = 12,
	HS_WIRE_SEEK = 13,
	HS_WIRE_FOUND = 14,
	HS_WIRE_LEAVE = 15,
	HS_WIRE_TALLY = 16,
	HS_WIRE_TALLY_ACK = 17,
	HS_WIRE_WINDOW = 18,
	HS_WIRE_REFUSED = 19,
};
#define HS_WIRE_TYPE_LAST HS_WIRE_REFUSED

struct hs_wire_header {
	uint32_t magic;
	uint16_t version;
	uint16_t type; /* enum hs_wire_type */
	uint32_t payload_bytes;
	uint32_t payload_crc; /* CRC32C */
	uint64_t from;	      /* sender's node id */
	uint64_t seq;	      /* counts this sender's messages */
};
HS_WIRE_ASSERT(sizeof(struct hs_wire_header) == 32);

enum hs_wire_role {
	HS_WIRE_ROLE_AGENT = 1,
	HS_WIRE_ROLE_COORDINATOR = 2,
	HS_WIRE_ROLE_COLLECTOR = 3,
};

struct hs_wire_hello {
	uint16_t role; /* enum hs_wire_role */
	uint16_t version_min;
	uint16_t version_max;
	uint16_t flags;	 /* HS_WIRE_HELLO_F_* */
	uint32_t credit; /* messages the receiver may have in flight */
	/* The last type that the speaker knows; 0: WINDOW. It is sent none
	 * beyond (ADR 79). */
	uint32_t type_last;
	uint64_t node; /* id of the speaker */
	char name[HS_WIRE_NAME_BYTES];
};
HS_WIRE_ASSERT(sizeof(struct hs_wire_hello) == 56);

/*
 * With HS_WIRE_HELLO_F_KEY a struct hs_wire_hello_key follows. Where both
 * sides have a key, HS_WIRE_TAG_BYTES follow the payload of each message after
 * HELLO, over its header and payload, and its payload_crc is 0 (ADR 33). A side
 * without a key sends neither, as all did before there were keys.
 */
#define HS_WIRE_HELLO_F_KEY 0x01u
#define HS_WIRE_HELLO_KEYS  2u
#define HS_WIRE_NONCE_BYTES 32u
#define HS_WIRE_TAG_BYTES   16u
struct hs_wire_hello_key {
	uint8_t nonce[HS_WIRE_NONCE_BYTES];
	uint64_t ids[HS_WIRE_HELLO_KEYS]; /* the preferred one first; or 0 */
};
HS_WIRE_ASSERT(sizeof(struct hs_wire_hello_key) == 48);

/*
 * The speaker's carrier can read a peer's memory, and its owner wants to: only
 * to such a peer a WINDOW is said, once, by carriers that have windows (ADR
 * 38).
 */
#define HS_WIRE_HELLO_F_READS 0x02u
/*
 * Over shared memory, and the speaker takes the other side for its own user's
 * or root's: it hears a bell that it is handed (ADR 84, ring_format.h).
 */
#define HS_WIRE_HELLO_F_BELLS 0x04u

/* What can be read while the connection lasts. about_bytes bytes follow: what
 * it is, for the owners of both ends (of a table: hs/crumb_format.h). */
#define HS_WIRE_WINDOW_ABOUT_MAX 64u
struct hs_wire_window {
	uint64_t address;
	uint64_t size_bytes;
	uint32_t rkey;
	uint32_t about_bytes;
};
HS_WIRE_ASSERT(sizeof(struct hs_wire_window) == 24);

/* PING carries it, PONG returns it with the answerer's clock filled in. */
struct hs_wire_ping {
	uint64_t sent_ns;
	uint64_t peer_ns;
};

struct hs_wire_trace_id {
	uint64_t hi;
	uint64_t lo;
};

/* What a node says about a trace. The first two are not about memory. */
enum hs_wire_state {
	HS_WIRE_STATE_UNREACHABLE =
		0,		   /* did not answer in time (coordinator) */
	HS_WIRE_STATE_GONE = 1,	   /* not a member, or a later incarnation */
	HS_WIRE_STATE_UNKNOWN = 2, /* never seen, or forgotten */
	HS_WIRE_STATE_OPEN = 3,	   /* a handle is live: may still grow */
	HS_WIRE_STATE_CLOSED = 4,
};
/* Any of them makes the trace partial, whatever the state. */
#define HS_WIRE_F_EVICTED   0x01u /* was here, gone before the trigger */
#define HS_WIRE_F_LOST	    0x02u /* buffers or entries were dropped */
#define HS_WIRE_F_ABANDONED 0x04u /* given up under overload */
#define HS_WIRE_F_CRASHED   0x08u /* an application died in mid-trace */
#define HS_WIRE_F_MODIFIED  0x10u /* its producer changed it under us */
#define HS_WIRE_F_CUT	    0x20u /* over a limit: crumbs, buffers */
#define HS_WIRE_F_WITHHELD  0x40u /* could not be read to be redacted */

enum hs_wire_crumb_kind {
	HS_WIRE_CRUMB_BACK = 0,
	HS_WIRE_CRUMB_FORWARD = 1,
	HS_WIRE_CRUMB_REPLY = 2,
	HS_WIRE_CRUMB_SOUGHT = 3,  /* found by the coordinator otherwise */
	HS_WIRE_CRUMB_ADDRESS = 4, /* in manifests: was named by its address */
};
struct hs_wire_crumb {
	uint64_t node;
	uint32_t kind; /* enum hs_wire_crumb_kind */
	uint32_t reserved;
};

/* nr_crumbs crumbs follow. Of two answers of one node the higher rev counts. */
struct hs_wire_answer {
	struct hs_wire_trace_id trace;
	uint64_t node;
	uint32_t rev;	     /* 0: the coordinator's own word */
	uint16_t state;	     /* enum hs_wire_state */
	uint16_t flags;	     /* HS_WIRE_F_* */
	uint32_t nr_buffers; /* that the node ships or shipped */
	uint32_t nr_crumbs;
	uint64_t nr_bytes; /* of those buffers, headers included */
};
HS_WIRE_ASSERT(sizeof(struct hs_wire_answer) == 48);

/* TRIGGER, COLLECT, CRUMBS and UPDATE name what they belong to. */
struct hs_wire_trigger {
	uint64_t origin; /* node where it fired */
	uint64_t key;	 /* numbers the origin's triggers and updates */
	uint64_t fired_ns;
	uint64_t priority; /* keyed hash of the primary trace id */
	char name[HS_WIRE_NAME_BYTES];
	struct hs_wire_trace_id primary;
};
HS_WIRE_ASSERT(sizeof(struct hs_wire_trigger) == 80);

/* TRIGGER, CRUMBS, UPDATE: trigger, then nr answers with their crumbs.
 * In an UPDATE, key is the update's own and origin the updating node.
 * COLLECT: trigger, then nr struct hs_wire_trace_id. */
struct hs_wire_group {
	struct hs_wire_trigger trigger;
	uint32_t nr;
	uint32_t flags; /* HS_WIRE_GROUP_* */
};
/* Fired from outside, at a node that need not have seen these traces: that it
 * does not know one is no loss, unless a crumb names it. */
#define HS_WIRE_GROUP_ELSEWHERE 0x01u

HS_WIRE_ASSERT(sizeof(struct hs_wire_group) == 88);

/* Then nr_triggers struct hs_wire_trigger, nr_answers answers with crumbs. */
struct hs_wire_manifest {
	struct hs_wire_trace_id trace;
	uint64_t epoch;	  /* of the coordinator: its start, ns */
	uint32_t version; /* of this epoch's manifest, from 1 */
	uint16_t settled; /* 1: everybody asked has answered or was given up */
	uint16_t sought;  /* nodes that were asked by SEEK, since crumbs were
			     missing; HS_WIRE_SOUGHT_PART with it */
	uint32_t nr_triggers;
	uint32_t nr_answers;
};
HS_WIRE_ASSERT(sizeof(struct hs_wire_manifest) == 40);

#define HS_WIRE_SOUGHT_PART 0x8000u /* not all members, or not all answered */
#define HS_WIRE_SOUGHT_MAX  0x7fffu

struct hs_wire_manifest_ack {
	struct hs_wire_trace_id trace;
	uint64_t epoch;
	uint32_t version;
	uint32_t reserved;
};

struct hs_wire_stored {
	uint64_t origin;
	uint64_t key;
};

/*
 * What a node may ask of a coordinator: a TRIGGER or UPDATE costs 1, and 1 more
 * for each of its traces that is new there; what is left over is saved up for
 * HS_WIRE_BUDGET_SAVED_NS. Over it nothing of a request is kept, and its sender
 * decides what it says first in wait_ns (ADR 79).
 */
#define HS_WIRE_BUDGET_SAVED_NS 1000000000ull
struct hs_wire_refused {
	uint64_t origin;
	uint64_t key;
	uint64_t wait_ns; /* until then everything is refused */
	uint32_t per_s;	  /* the budget; not 0 */
	uint32_t reserved;
};
HS_WIRE_ASSERT(sizeof(struct hs_wire_refused) == 32);

/* length_bytes bytes follow, at offset within the buffer. */
struct hs_wire_slice {
	struct hs_wire_trace_id trace;
	uint64_t node;
	uint64_t ship_key; /* what SLICE_ACK names; the agent's own */
	uint64_t priority;
	uint32_t process;
	uint32_t handle;
	uint32_t seq;
	uint32_t offset;
	uint32_t length_bytes;
	uint32_t crc;	/* CRC32C of the bytes */
	uint16_t flags; /* HS_WIRE_F_* */
	uint16_t final; /* 1: the buffer will not grow */
	uint32_t reserved;
};
HS_WIRE_ASSERT(sizeof(struct hs_wire_slice) == 72);

/*
 * Counts of one process over all its requests, from its beginning: whoever has
 * some takes the larger number of each, so that a message which comes twice,
 * late or from another worker of that node changes nothing (ADR 23).
 * nr_rows rows follow.
 */
#define HS_WIRE_TALLY_BUCKETS	  255u
#define HS_WIRE_TALLY_ROWS_MAX	  256u
#define HS_WIRE_TALLY_COUNT_BITS  56u
#define HS_WIRE_TALLY_SERVICE_MAX 63u
#define HS_WIRE_TALLY_NAME_MAX	  183u
struct hs_wire_tally {
	uint64_t node; /* with its incarnation */
	uint64_t seq;  /* what TALLY_ACK names; the agent's own */
	uint32_t process;
	uint32_t nr_rows;
};
HS_WIRE_ASSERT(sizeof(struct hs_wire_tally) == 24);

/*
 * Then service and name, padded together with zeros to eight bytes, and
 * nr_buckets u64: bucket << 56 | count, buckets ascending, counts not 0.
 * Bucket b is from hs_shm_tally_low_ns(b) on.
 */
struct hs_wire_tally_row {
	uint64_t errors;
	uint16_t nr_buckets;
	uint8_t service_bytes;
	uint8_t name_bytes;
	uint32_t reserved;
};
HS_WIRE_ASSERT(sizeof(struct hs_wire_tally_row) == 16);

struct hs_wire_tally_ack {
	uint64_t seq;
	uint32_t process;
	uint32_t reserved;
};

/* SEEK, FOUND: then nr struct hs_wire_trace_id; in FOUND those it knows. */
struct hs_wire_seek {
	uint64_t question; /* numbers the coordinator's questions */
	uint32_t nr;
	uint32_t reserved;
};
HS_WIRE_ASSERT(sizeof(struct hs_wire_seek) == 16);

struct hs_wire_leave {
	uint64_t node;
};

/* Then nr u64 ship keys. */
struct hs_wire_slice_ack {
	uint32_t nr;
	uint32_t refused; /* 1: not kept (malformed), do not send again */
};

#endif
