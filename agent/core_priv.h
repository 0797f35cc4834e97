/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_priv.h - the inside of the agent's core, shared by core_*.c
 *
 * Three tables: per domain the index of traces (core_index.c, with its table
 * in core_table.c and its order in core_retain.c) over the ledger's buffers
 * (core_buffer.c); for the node the fired traces and the
 * outbox (core_fired.c); and what is to be sent (core_report.c). All links are
 * indices into arrays of fixed size; HS_NIL ends a list.
 */
#ifndef HS_AGENT_CORE_PRIV_H
#define HS_AGENT_CORE_PRIV_H

#include "agent/core.h"
#include "agent/ledger.h"
#include "base/hash.h"

#define HS_NIL		    0xffffffffu
#define HS_IX_SLOTS	    10u
#define HS_EVICT_FOR_CRUMB  8u	   /* traces that make room for one, at most */
#define HS_EVICTED_MIN	    65536u /* evictions remembered, at least */
#define HS_EVICTED_WAYS	    8u	   /* to a bucket: a cache line */
#define HS_EVICTED_WAYS_LOG 3u
#define HS_ANSWERS_BYTES    HS_WIRE_PAYLOAD_MAX_BYTES

/* Crash order of the ledger: bodies before state words. */
static inline void hs_ledger_set32(uint32_t *word, uint32_t value)
{
	/* ledger.W1 release, pairs ledger.R1: the record before its live. */
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}
static inline uint32_t hs_ledger_get32(const uint32_t *word)
{
	/* ledger.R1 acquire, pairs ledger.W1: live before the record. */
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}
static inline void hs_ledger_set64(uint64_t *word, uint64_t value)
{
	/* ledger.W2 release, pairs ledger.R2: the line before its word. */
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}
static inline uint64_t hs_ledger_get64(const uint64_t *word)
{
	/* ledger.R2 acquire, pairs ledger.W2: the word before the line. */
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

/* What the worker keeps of a buffer beside the ledger. */
struct hs_buffer_rt {
	uint32_t next; /* of its trace */
	uint32_t prev;
	uint32_t in_flight; /* bytes up to which a slice is under way, or 0 */
	uint32_t trace;	    /* index entry, HS_NIL: none */
	uint16_t sending; /* how-manieth slice is under way: an ack names it */
	bool final_sent : 1; /* what is under way is all of it */
	bool waited : 1;     /* a sweep found it under way before */
	bool parked : 1; /* FREE, but for the carrier that reads it: not to be
			    handed out */
	uint8_t lent; /* slices of it that the carrier reads where they lie */
};

/*
 * A trace in one domain: one line, all that most traces ever need. Readers on
 * other threads see hi, lo and first_ns, which stay, and last_ns.
 */
struct hs_ix_trace {
	uint64_t hi, lo;
	uint64_t first_ns, last_ns;
	uint32_t bytes_low; /* hs_ix_bytes() */
	uint8_t bytes_high;
	uint8_t visited : 1;  /* an application named it here */
	uint8_t several : 1;  /* processes */
	uint8_t has_more : 1; /* its struct hs_ix_more is filled */
	uint8_t undated : 1;  /* it may be older than first_ns */
	uint16_t flags;	      /* HS_WIRE_F_* */
	uint32_t buf_first, buf_last;
	uint32_t nr_buffers;
	uint32_t fired;	  /* HS_NIL: untriggered */
	uint32_t process; /* that wrote first */
	uint32_t seat;	  /* in the order of eviction, if untriggered */
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct hs_ix_trace) == 64, "a line a trace");

/* Bytes in its buffers: whole words, since each buffer comes by here. */
static inline uint64_t hs_ix_bytes(const struct hs_ix_trace *t)
{
	return (uint64_t)t->bytes_high << 32 | t->bytes_low;
}
static inline void hs_ix_bytes_set(struct hs_ix_trace *t, uint64_t bytes)
{
	t->bytes_low = (uint32_t)bytes;
	t->bytes_high = (uint8_t)(bytes >> 32);
}

/* No entry of it may be older. */
static inline uint64_t hs_ix_first_ns(const struct hs_ix_trace *t)
{
	return t->undated ? 0 : t->first_ns;
}

/* The rest, for those that have crumbs or have fired. */
struct hs_ix_more {
	uint32_t ship_next; /* first buffer not yet given to the carrier */
	uint32_t crumb_first;
	uint32_t nr_crumbs;
	uint32_t open_scan; /* scan that found it live */
	uint32_t hold;	    /* its buffers count for; HS_NIL: none */
	uint32_t nr_units;  /* in its buffers, once it has fired */
};

struct hs_ix_bucket {
	/* Ten tags, 0: free; above them how many went further on. */
	uint64_t tags[3];
	uint32_t index[HS_IX_SLOTS];
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct hs_ix_bucket) == 64, "a line a bucket");

/*
 * That a trigger named a trace: for one domain that knows it, or NOWHERE yet
 * (core_hold.c).
 */
#define HS_HOLD_NOWHERE 0xffu
struct hs_hold {
	uint32_t fired;
	uint32_t next;		      /* of its trace; or of the free ones */
	uint32_t hash_next;	      /* its lateral group is found by these */
	uint32_t left, right, parent; /* in its queue (core_order.c) */
	uint8_t domain, trigger;
	bool in_use : 1, young : 1, in_young : 1;
	bool queued : 1; /* there is something to send */
	bool away : 1;	 /* and nobody there to send it to */
	/* Whose buffers count for it, if it still is: hs_ix_more.hold says so;
	 * HS_NIL: none ever did. */
	uint32_t trace;
	uint64_t priority;
	uint64_t since_ns; /* its trace was named by it */
	struct hs_wire_trace_id primary;
};

_Static_assert(sizeof(struct hs_hold) == 64, "a line a hold");

/* A lateral group that was given up (core_let.c). */
#define HS_LETS 1024u
struct hs_let {
	uint64_t print; /* 0: none */
	uint64_t ns;	/* when */
};

/* A hold that has not settled yet; another one by now, if since_ns differs. */
struct hs_young {
	uint32_t hold;
	uint64_t since_ns;
};

/* Of holds whose priorities begin alike, by the bits that follow; a slot has
 * HS_NIL, a treap's root or HS_ORDER_PAGE and the number of another page. */
#define HS_ORDER_SLOTS 64u
#define HS_ORDER_FEW   16u /* holds, that there is a page for */
#define HS_ORDER_PAGE  0x80000000u
struct hs_order_page {
	uint64_t used; /* slots with anything below them */
	uint32_t next; /* of the free ones */
	uint32_t at[HS_ORDER_SLOTS];
};
static inline uint32_t hs_order_nr_pages(uint32_t nr_holds)
{
	return nr_holds / HS_ORDER_FEW + 1;
}

/*
 * What a trigger waits for in one domain (core_queue.c). Its holds stand in
 * four orders of priority: settled or young, and those whose collector is not
 * there.
 */
#define HS_ORDER_YOUNG 1u
#define HS_ORDER_AWAY  2u
#define HS_ORDERS      4u
struct hs_queue {
	uint32_t root[HS_ORDERS]; /* as a slot of a page */
	uint32_t nr;
	uint32_t nr_away;   /* of them: nobody's turn */
	uint32_t nr_pinned; /* units that count for it */
	uint32_t nr_young;  /* of them: for holds that have not settled */
	uint64_t virtual_;  /* what it sent over its weight */
};

/* A part of the pool that is carved into buffers of one class, or of none. */
#define HS_CHUNK_NO_CLASS 0xffu
struct hs_chunk {
	uint32_t next, prev; /* of its list, if it is in one */
	uint32_t units;	     /* of each of its buffers */
	uint32_t room;	     /* buffers of its class */
	uint32_t nr_carved;  /* of them ever handed out */
	uint32_t nr_out;     /* of those not free now */
	uint32_t nr_stocked; /* of those at processes */
	uint32_t free_first,
		nr_free; /* of those free again, the oldest first */
	uint8_t size_class, node;
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct hs_chunk) == 64, "a line a chunk");
struct hs_chunk_list {
	uint32_t first, last;
};

/*
 * A buffer is known by the unit that it begins with; nr_buffers, nr_stocked,
 * nr_held, nr_pinned, nr_sending, nr_sending_open and nr_parked count units.
 * The arrays
 * have a line for each unit: the later ones of a large buffer lie idle.
 */
struct hs_domain {
	uint32_t id;
	bool live;
	bool parts_say; /* the ledger's, of before this worker */
	uint32_t nr_buffers, buffer_bytes, nr_crumbs, nr_traces;
	uint32_t nr_classes, nr_nodes, node_buffers;
	uint32_t nr_chunks, chunk_shift;
	uint32_t unit_shift; /* of a ref to a unit */
	uint64_t seed;	     /* of its hashes: the ledger's, for its life */
	uint32_t class_units[HS_SHM_NR_CLASSES];
	uint32_t nr_class_chunks[HS_SHM_NR_CLASSES];
	struct hs_chunk *chunks;
	uint32_t *chunk_words; /* of the ledger */
	struct hs_chunk_list empty[HS_SHM_NR_NODES];
	uint32_t carved[HS_SHM_NR_NODES][HS_SHM_NR_CLASSES];
	/* Carved to the end, with free buffers in them. */
	struct hs_chunk_list roomy[HS_SHM_NR_NODES][HS_SHM_NR_CLASSES];
	struct hs_ledger_buffer *buffers; /* of the ledger */
	struct hs_ledger_crumb *crumbs;	  /* of the ledger */
	struct hs_buffer_rt *rt;
	uint64_t *flying; /* which of them are in_flight: core_chunk.h */
	uint32_t *crumb_next;
	struct hs_ix_trace *traces;
	uint64_t *hashes;	 /* hs_ix_hash() of each: eight to a line */
	struct hs_ix_more *more; /* hs_ix_more() */
	struct hs_ix_bucket *buckets;
	uint32_t *traces_free;	/* of those used; in limbo from the end */
	uint32_t *seats;	/* core_retain.c */
	uint32_t *sort_at;	/* core_retain.c, at an adoption only */
	uint64_t *evicted;	/* of the ledger: buckets of fingerprints, the
				   newest first */
	uint32_t *buffers_free; /* of each chunk, where the chunk lies */
	uint32_t bucket_mask, seat_mask, nr_evicted;
	uint32_t nr_stocked, nr_held, nr_pinned, nr_young;
	uint32_t nr_sending, nr_sending_open; /* the latter: still written */
	uint32_t nr_parked;
	uint64_t nr_indexed, bytes_indexed; /* buffers ever, and in them */
	uint64_t units_indexed;
	uint32_t crumb_free, nr_crumbs_free, nr_crumbs_fired;
	uint32_t nr_traces_free, nr_traces_limbo;
	uint32_t traces_used; /* from here on no entry was, since we began */
	uint32_t nr_traces_live, nr_traces_fired;
	uint32_t trace_last;	       /* that was got; HS_NIL: it is gone */
	uint32_t seat_tail, seat_head; /* tail: least recently seen */
	uint32_t seat_packed, seat_moving;
	bool seats_move;
	struct hs_ledger_losses *losses; /* of the ledger */
	uint64_t lossy[HS_LEDGER_PROCESSES /
		       64]; /* those with any, a bit each */
	struct hs_queue queues[HS_AGENT_TRIGGERS_MAX];
	uint64_t queues_active; /* bits of those with something to send */
	uint64_t queues_ready;	/* of them: to somebody who is there */
	uint32_t weight;
	uint64_t virtual_;	 /* what it sent over its weight */
	uint64_t virtual_served; /* of the queue that was last served */
};

/*
 * What waits for a coordinator's budget (core_budget.c): rows by coordinator,
 * domain and trigger, in each lists by class of priority and one of UPDATEs.
 */
#define HS_BUDGETS	  16u  /* coordinators */
#define HS_ROWS		  128u /* the first of them HS_BUDGETS common ones */
#define HS_ROW_UPDATES	  64u  /* a list */
#define HS_ROW_NO_TRIGGER 0xffu
struct hs_waits {
	uint32_t next, prev;
	uint8_t row; /* from 1; 0: it does not wait */
	uint8_t list;
};
struct hs_row {
	uint32_t key; /* 0: nobody's */
	uint8_t budget, domain, trigger;
	uint32_t nr; /* of them: */
	uint32_t nr_updates;
	uint64_t classes;  /* bits of lists that are not empty, but UPDATEs */
	uint64_t virtual_; /* what it cost over its weight */
	uint32_t first[HS_ROW_UPDATES + 1], last[HS_ROW_UPDATES + 1];
};
static inline bool hs_row_has(const struct hs_row *r, uint32_t list)
{
	return list == HS_ROW_UPDATES ? r->nr_updates != 0
				      : r->classes >> list & 1;
}
struct hs_budget {
	uint32_t number; /* of the coordinator; 0: none */
	uint32_t per_s;
	uint32_t nr;		 /* that wait for it */
	uint64_t even_ns;	 /* when it takes the next */
	uint64_t virtual_served; /* of the domain that was last served */
	struct {
		uint64_t virtual_, virtual_served;
		uint32_t nr;
	} domains[HS_AGENT_DOMAINS_MAX + 1];
};

/* What the worker keeps of a fired trace beside the ledger. */
struct hs_fired_rt {
	uint32_t hash_next; /* or of the free list */
	uint32_t dirty_next;
	bool dirty; /* its answer may have changed */
	bool told_once;
	bool adopted;	     /* of a predecessor, whose index is gone */
	uint32_t hold_first; /* of those that hold it; HS_NIL: none */
	uint32_t nr_holds;
	uint32_t nr_groups;		      /* of the outbox that name it */
	uint64_t names;			      /* triggers that fired it here */
	uint64_t took_first_ns, took_last_ns; /* the ledger's when, finer */
	uint64_t first_ns;		      /* when it was first named */
	uint64_t last_ns;		      /* something happened to it */
	uint64_t update_key;		      /* outstanding UPDATE, 0: none */
	uint64_t update_ns;		      /* when it goes again */
	uint32_t update_try;
	uint32_t update_to; /* number of the coordinator that has it; 0: none */
	struct hs_waits waits;	    /* its UPDATE */
	struct hs_wire_answer told; /* last answer given */
};

struct hs_group_rt {
	uint32_t attempt;
	uint32_t scan; /* the last one when it was added */
	uint32_t trigger;
	uint32_t to;	  /* number of the coordinator that has it; 0: none */
	uint64_t next_ns; /* when it goes (again) */
	struct hs_waits waits;
};

/* A COLLECT to be answered after the next scan. */
struct hs_pending {
	uint64_t from;
	uint32_t nr;
	uint32_t scan; /* the last one when it came */
	struct hs_wire_trigger trigger;
	struct hs_wire_trace_id traces[HS_WIRE_TRACES_MAX];
};

#define HS_SEEKS_MAX  4u
#define HS_SEEK_SLOTS 2048u /* for the ids of all of them */

struct hs_seek_trace {
	struct hs_wire_trace_id id;
	uint32_t next; /* of the same place; 0: none */
	bool live;     /* the scan saw a handle of it */
};

/* A SEEK to be answered after the next scan. */
struct hs_seek {
	uint64_t from;
	uint64_t question;
	uint32_t nr; /* 0: free */
	uint32_t scan;
	struct hs_seek_trace traces[HS_WIRE_SEEK_MAX];
};

struct hs_seeks {
	uint32_t nr; /* ids of all of them */
	uint32_t table[HS_SEEK_SLOTS];
	struct hs_seek at[HS_SEEKS_MAX];
};

/* A token bucket: the time at which it is even. */
struct hs_rate {
	uint64_t per_s; /* 0: no limit */
	uint64_t even_ns;
};

struct hs_trigger {
	char name[HS_WIRE_NAME_BYTES];
	uint32_t weight;
	uint32_t nr_groups;  /* of the outbox */
	uint32_t nr_waiting; /* in its rows for coordinators' budgets */
	struct hs_rate fires, bytes;
	uint64_t fired_local, fired_remote, limited, refused, bytes_sent;
	bool dry_run;
	uint64_t dry_fired, dry_traces, dry_bytes;
	uint64_t groups_abandoned, traces_abandoned;
};

#define HS_SCAN_GAP_MAX_NS 100000ull

struct hs_agent_core {
	struct hs_agent_config config;
	const struct hs_agent_ops *ops;
	void *ctx;
	int64_t wall_offset_ns;
	struct hs_ledger_node *ledger;
	struct hs_ledger_group *groups;
	struct hs_group_rt *groups_rt;
	struct hs_ledger_fired *fired;
	struct hs_fired_rt *fired_rt;
	uint32_t *fired_hash;
	uint32_t nr_fired_hash;
	uint32_t fired_free, nr_fired;
	uint32_t fired_used;  /* from here on no place was, since we began */
	uint32_t *fired_seen; /* of each place: core_fired.c */
	uint32_t dirty_first, dirty_last, nr_dirty;
	uint32_t nr_again; /* places whose trace a successor has yet to say */
	uint64_t again_ns; /* when it said some of them */
	uint32_t *groups_active; /* indices of the live ones */
	uint32_t nr_groups_live;
	uint64_t groups_due_ns; /* not before then is any to be sent */
	struct hs_budget budgets[HS_BUDGETS];
	uint32_t nr_budgets; /* that are somebody's */
	uint32_t nr_waiting; /* for any of them */
	struct hs_row rows[HS_ROWS];
	bool tainted; /* a process lost something since taint_ns */
	uint64_t taint_ns;
	uint32_t group_at;  /* where the search for a free group begins */
	uint64_t forget_ns; /* when it last went on */
	uint32_t forget_at; /* where the forgetting sweep stands */
	struct hs_pending *pending;
	uint32_t pending_head, pending_tail;
	struct hs_hold *holds;
	uint32_t *hold_hash; /* nr_fired_hash of them */
	struct hs_order_page *order_pages;
	uint32_t order_page_free, order_pages_used;
	struct hs_young *young; /* named of late, the oldest first */
	uint32_t young_first, nr_young;
	uint32_t nr_holds, hold_free, nr_holds_free;
	uint32_t holds_used;   /* as fired_used */
	uint32_t serving;      /* the hold that is being reported */
	uint32_t nr_queued;    /* holds with something to send */
	uint32_t nr_away;      /* of them: whose collector is not there */
	uint32_t nr_abandoned; /* fired traces that nobody holds */
	struct hs_trigger triggers[HS_AGENT_TRIGGERS_MAX];
	uint32_t nr_triggers;
	struct hs_rate bytes;	  /* of all reporting */
	uint64_t virtual_served;  /* of the domain that was last served */
	uint32_t kept_before_ppm; /* until kept_since_ns; 0: no other share */
	uint64_t kept_since_ns;
	uint64_t now_ns; /* of the last tick */
	uint32_t in_flight_bytes;
	uint32_t nr_in_flight; /* slices; one that only says final has no
				  bytes */
	uint32_t slice_bytes;  /* the longest that its carrier takes */
	uint64_t lent_bytes;   /* of slices, those given up included */
	uint64_t swept_ns;     /* last look for slices without an answer */
	uint32_t died_open;    /* process whose burial found open traces */
	uint32_t scan;	       /* number of the last one */
	bool scanned;	       /* since the last tick */
	uint64_t scan_ns;
	uint64_t scan_gap_ns;  /* from one to the next, at least */
	uint64_t open_scan_ns; /* when open fired traces are looked at again */
	bool open_fired;       /* some fired trace is open */
	struct hs_domain domains[HS_AGENT_DOMAINS_MAX];
	uint32_t domain_order[HS_AGENT_DOMAINS_MAX];
	uint32_t nr_domains;
	struct hs_seeks seeks;
	struct hs_agent_stats stats;
	uint64_t dry_runs;   /* triggers in one, a bit each */
	struct hs_let *lets; /* HS_LETS of them */
	uint64_t *dry_seen;  /* HS_DRY_SEEN fingerprints, core_policy.c */
	uint8_t *out;	     /* HS_ANSWERS_BYTES, for messages */
};

/* core_table.c */
/* One for the index and for the marks of what is gone. */
static inline uint64_t hs_ix_hash(const struct hs_domain *d, uint64_t hi,
				  uint64_t lo)
{
	return hs_hash_trace(d->seed, hi, lo, d->id);
}
void hs_ix_table_init(struct hs_domain *d);
uint32_t hs_ix_find_further(const struct hs_domain *d, uint64_t hash,
			    uint64_t hi, uint64_t lo);
/* Whether entry @trace, HS_NIL included, is the one of that id. */
static inline bool hs_ix_is(const struct hs_domain *d, uint32_t trace,
			    uint64_t hi, uint64_t lo)
{
	return trace != HS_NIL && d->traces[trace].hi == hi &&
	       d->traces[trace].lo == lo;
}
void hs_ix_insert_further(struct hs_domain *d, uint64_t hash, uint32_t trace);
void hs_ix_remove_further(struct hs_domain *d, uint64_t hash, uint32_t trace);
void hs_ix_limbo_end(struct hs_agent_core *c, struct hs_domain *d);
bool hs_ix_table_check(const struct hs_domain *d, const char **why);

/* core_retain.c */
void hs_ix_seats_move(struct hs_domain *d);
void hs_ix_seats_advance(struct hs_domain *d);
static inline void hs_ix_seat_take(struct hs_domain *d, uint32_t trace)
{
	d->seats[d->seat_head & d->seat_mask] = trace;
	d->traces[trace].seat = d->seat_head++;
	if (d->seats_move || d->seat_head - d->seat_tail > d->seat_mask / 4 * 3)
		hs_ix_seats_move(d);
}
static inline void hs_ix_seat_empty(struct hs_domain *d, uint32_t at)
{
	uint32_t *seats = d->seats, mask = d->seat_mask, next = at + 1;

	seats[at & mask] = HS_NIL;
	if (at != d->seat_tail)
		return;
	/* Nearly always somebody sits next to who was first. */
	if (!d->seats_move && next != d->seat_head &&
	    seats[next & mask] != HS_NIL)
		d->seat_tail = next;
	else
		hs_ix_seats_advance(d);
}
static inline void hs_ix_seat_leave(struct hs_domain *d, uint32_t trace)
{
	hs_ix_seat_empty(d, d->traces[trace].seat);
}
/* The least recently seen untriggered trace; HS_NIL: none. */
static inline uint32_t hs_ix_oldest(const struct hs_domain *d)
{
	return d->seat_tail == d->seat_head
		       ? HS_NIL
		       : d->seats[d->seat_tail & d->seat_mask];
}
/* Seen now: to the end of the row. */
static inline void hs_ix_seat_renew(struct hs_domain *d, uint32_t trace)
{
	if (d->traces[trace].seat == d->seat_head - 1)
		return;
	hs_ix_seat_leave(d, trace);
	hs_ix_seat_take(d, trace);
}
uint32_t hs_ix_newest_next(const struct hs_domain *d, uint32_t *at);
/* During an adoption: when each entry was seen last, in two seats for each. */
#define HS_IX_UNSEATED	 UINT64_MAX
#define HS_IX_SORT_PARTS 65536u
static inline uint64_t *hs_ix_seat_times(const struct hs_domain *d)
{
	return (uint64_t *)d->seats;
}
static inline void hs_ix_seat_wanted(struct hs_domain *d, uint32_t trace)
{
	const struct hs_ix_trace *t = &d->traces[trace];

	hs_ix_seat_times(d)[trace] =
		t->fired == HS_NIL ? t->last_ns : HS_IX_UNSEATED;
}
void hs_ix_seats_adopt(struct hs_domain *d);
bool hs_ix_seats_check(const struct hs_domain *d, const char **why);

/* core_index.c */
void hs_ix_init(struct hs_domain *d);
struct hs_ix_more *hs_ix_more(struct hs_domain *d, uint32_t trace);
static inline uint32_t hs_ix_crumb_first(const struct hs_domain *d,
					 uint32_t trace)
{
	return d->traces[trace].has_more ? d->more[trace].crumb_first : HS_NIL;
}
uint32_t hs_ix_find(const struct hs_domain *d, uint64_t hi, uint64_t lo);
uint32_t hs_ix_get(struct hs_agent_core *c, struct hs_domain *d, uint64_t hi,
		   uint64_t lo, uint64_t now_ns);
uint32_t hs_ix_adopt(struct hs_agent_core *c, struct hs_domain *d,
		     uint64_t hash, uint64_t hi, uint64_t lo, uint64_t seen_ns);
uint32_t hs_ix_get_other(struct hs_agent_core *c, struct hs_domain *d,
			 uint64_t hash, uint64_t hi, uint64_t lo,
			 uint64_t now_ns);
void hs_ix_flag_some(struct hs_agent_core *c, struct hs_domain *d,
		     uint32_t trace, uint16_t flags);
void hs_ix_pin(struct hs_agent_core *c, struct hs_domain *d, uint32_t trace,
	       uint32_t fired);
void hs_ix_remove(struct hs_agent_core *c, struct hs_domain *d, uint32_t trace);
void hs_ix_crumb(struct hs_agent_core *c, struct hs_domain *d, uint32_t trace,
		 uint64_t node, uint32_t kind);
void hs_ix_crumb_adopt(struct hs_agent_core *c, struct hs_domain *d,
		       uint32_t crumb, uint64_t now_ns);
void hs_ix_visit_first(struct hs_agent_core *c, struct hs_domain *d,
		       uint32_t trace, uint32_t process, uint64_t now_ns);
bool hs_ix_evict_one(struct hs_agent_core *c, struct hs_domain *d);
/* Until so many units are free, @most traces. Return: how many went. */
uint32_t hs_ix_evict_until(struct hs_agent_core *c, struct hs_domain *d,
			   uint32_t units, uint32_t most);
uint16_t hs_ix_was_here(const struct hs_domain *d, uint64_t hi, uint64_t lo);
void hs_ix_gone(struct hs_agent_core *c, struct hs_domain *d, uint64_t hi,
		uint64_t lo, uint16_t flags);
void hs_ix_forgotten(struct hs_agent_core *c, struct hs_domain *d, uint64_t hi,
		     uint64_t lo);

/* core_loss.c */
void hs_loss_adopt(struct hs_agent_core *c, struct hs_domain *d);
/* Whether a loss that no trace could be named for may have hit this one. */
bool hs_loss_hits_trace(const struct hs_agent_core *c,
			const struct hs_domain *d, uint32_t trace);
/* The same, of a predecessor's fired trace: what only the ledger knows. */
bool hs_loss_hits_fired(const struct hs_agent_core *c,
			const struct hs_domain *d, uint32_t fired);
/* A process took part in a fired trace: it is written down. */
void hs_loss_took_part(struct hs_agent_core *c, const struct hs_domain *d,
		       uint32_t fired, uint32_t process, bool several,
		       uint64_t first_ns, uint64_t last_ns);
void hs_loss_adopt_fired(struct hs_agent_core *c, uint32_t fired,
			 uint64_t now_ns);
void hs_loss_adopt_part(struct hs_agent_core *c, const struct hs_domain *d,
			uint32_t fired, uint64_t first_ns, uint64_t last_ns);
/*
 * @process ends, and its losses with it: what they taint is written down, since
 * a successor of this worker will know the traces and not the process.
 */
void hs_loss_settle(struct hs_agent_core *c, struct hs_domain *d,
		    uint32_t process);
bool hs_loss_check(const struct hs_domain *d, const char **why);
static inline bool hs_fired_visited(const struct hs_agent_core *c,
				    uint32_t fired)
{
	return c->fired[fired].who & HS_LEDGER_WHO_VISITED;
}

/* core_stock.c */
void hs_stock_salvage(struct hs_agent_core *c, struct hs_domain *d,
		      uint32_t process);

/* core_buffer.c */
/* NULL: there is none, or none of that number. */
const struct hs_domain *hs_domain_look(const struct hs_agent_core *c,
				       uint32_t domain);
struct hs_domain *hs_domain_get(struct hs_agent_core *c, uint32_t domain);
void hs_buffer_append(struct hs_agent_core *c, struct hs_domain *d,
		      uint32_t trace, uint32_t buffer);
void hs_buffer_free(struct hs_agent_core *c, struct hs_domain *d,
		    uint32_t buffer);
uint32_t hs_buffer_of_word(const struct hs_domain *d, uint64_t stock_word,
			   uint32_t process);
uint64_t hs_buffer_ship_key(const struct hs_domain *d, uint32_t buffer);
#define HS_KEY_SENDINGS	   12u /* bits of a ship key: domain, sending, */
#define HS_KEY_BUFFERS	   28u /* buffer, generation */
#define HS_KEY_GENERATIONS 20u
static inline uint32_t hs_ship_key_domain(uint64_t key)
{
	return (uint32_t)(key >> 60);
}
static inline uint32_t hs_ship_key_buffer(uint64_t key)
{
	return (uint32_t)(key >> HS_KEY_GENERATIONS) &
	       ((1u << HS_KEY_BUFFERS) - 1);
}

/* core_fired.c */
void hs_fired_init(struct hs_agent_core *c);
uint32_t hs_fired_look(const struct hs_agent_core *c, uint64_t hi, uint64_t lo);
void hs_fired_prefetch(const struct hs_agent_core *c, uint64_t hi, uint64_t lo);
/* Those traces are about to be looked for, as named by that trigger. */
void hs_fired_fetch(struct hs_agent_core *c,
		    const struct hs_wire_trace_id *traces, uint32_t nr,
		    const struct hs_wire_trigger *trigger);
/* It has an UPDATE that may have to go again. */
void hs_fired_owes(struct hs_agent_core *c, uint32_t fired);
uint32_t hs_fired_get(struct hs_agent_core *c,
		      const struct hs_wire_trace_id *id,
		      const struct hs_wire_trigger *trigger, uint64_t now_ns);
void hs_fired_dirty(struct hs_agent_core *c, uint32_t fired);
static inline bool hs_fired_abandoned(const struct hs_agent_core *c,
				      uint32_t fired)
{
	return fired != HS_NIL && (c->fired[fired].flags & HS_WIRE_F_ABANDONED);
}
int hs_fired_group(struct hs_agent_core *c, const char *name, bool elsewhere,
		   const struct hs_wire_trace_id *traces, uint32_t nr,
		   uint64_t now_ns);
void hs_fired_collect(struct hs_agent_core *c, uint64_t from_node,
		      const struct hs_wire_group *group,
		      const struct hs_wire_trace_id *traces, uint64_t now_ns);
void hs_fired_stored(struct hs_agent_core *c,
		     const struct hs_wire_stored *stored);
void hs_fired_tainted(struct hs_agent_core *c, uint64_t now_ns);
void hs_fired_forget(struct hs_agent_core *c, uint64_t now_ns);
void hs_fired_adopt(struct hs_agent_core *c, uint64_t now_ns);
uint64_t hs_fired_key(struct hs_agent_core *c, bool update, uint32_t slot);

/* core_outbox.c */
void hs_outbox_add(struct hs_agent_core *c, uint32_t group, uint64_t now_ns);
void hs_outbox_run(struct hs_agent_core *c, uint64_t now_ns);
bool hs_outbox_repeats(const struct hs_agent_core *c, uint64_t now_ns);
void hs_outbox_again(struct hs_agent_core *c, uint32_t number, uint64_t now_ns);
void hs_outbox_update(struct hs_agent_core *c, uint32_t fired, uint64_t now_ns);

void hs_outbox_refused(struct hs_agent_core *c, uint64_t from_node,
		       const struct hs_wire_refused *refused, uint64_t now_ns);
/* What waited has its turn at @number. Return: it was told. */
bool hs_outbox_say(struct hs_agent_core *c, uint32_t item, uint32_t number,
		   uint64_t now_ns);
/* It waits no more, and is due. */
void hs_outbox_look_again(struct hs_agent_core *c, uint32_t item,
			  uint64_t now_ns);

/* core_budget.c */
/* Return: false: there is no place for it. */
bool hs_budget_learn(struct hs_agent_core *c, uint32_t number,
		     const struct hs_wire_refused *said, uint64_t now_ns);
void hs_budget_forget(struct hs_agent_core *c, uint32_t number,
		      uint64_t now_ns);
/* @item is due, and does not wait. Return: it does now; else it goes. */
bool hs_budget_waits(struct hs_agent_core *c, uint32_t item,
		     const struct hs_wire_trace_id *primary, uint32_t attempt);
void hs_budget_leave(struct hs_agent_core *c, uint32_t item);
void hs_budgets_run(struct hs_agent_core *c, uint64_t now_ns);
/* UINT64_MAX: nothing waits. */
uint64_t hs_budgets_due_ns(const struct hs_agent_core *c);
bool hs_budget_check(const struct hs_agent_core *c, const char **why);

/* core_seek.c */
void hs_seek_message(struct hs_agent_core *c, uint64_t from_node,
		     const struct hs_wire_seek *seek,
		     const struct hs_wire_trace_id *traces);
void hs_seek_slot(struct hs_agent_core *c, uint64_t hi, uint64_t lo);
void hs_seek_run(struct hs_agent_core *c);

/* core_answer.c */
void hs_answer_make(struct hs_agent_core *c, uint32_t fired,
		    struct hs_wire_answer *answer,
		    struct hs_wire_crumb *crumbs);
void hs_answer_look_again(struct hs_agent_core *c);
bool hs_answer_is_news(const struct hs_wire_answer *told,
		       const struct hs_wire_answer *now);

/* core_order.c */
void hs_order_init(struct hs_agent_core *c);
bool hs_order_before(const struct hs_agent_core *c, uint32_t a, uint32_t b);
void hs_order_insert(struct hs_agent_core *c, uint32_t *root, uint32_t hold);
void hs_order_remove(struct hs_agent_core *c, uint32_t *root, uint32_t hold);
/** hs_order_fetch() - hs_order_insert() of all @holds is next, below @at; what
 * @at says is used up */
void hs_order_fetch(const struct hs_agent_core *c, const uint32_t *holds,
		    uint32_t *at, uint32_t nr);
uint32_t hs_order_first(const struct hs_agent_core *c, uint32_t root);
uint32_t hs_order_last(const struct hs_agent_core *c, uint32_t root);
uint32_t hs_order_check(const struct hs_agent_core *c, uint32_t root);

/* core_hold.c */
void hs_hold_init(struct hs_agent_core *c);
/* Ask for the lines of one more of this trigger and group. */
void hs_hold_prefetch(const struct hs_agent_core *c, uint32_t trigger,
		      const struct hs_wire_trace_id *primary);
void hs_hold_name(struct hs_agent_core *c, uint32_t fired,
		  const struct hs_wire_trigger *trigger, uint64_t now_ns);
void hs_hold_place(struct hs_agent_core *c, struct hs_domain *d,
		   uint32_t trace);
void hs_hold_pinned(struct hs_agent_core *c, struct hs_domain *d,
		    uint32_t trace, int change);
void hs_hold_grown(struct hs_agent_core *c, uint32_t hold);
/* Ask for the lines that hs_hold_grown() will look at. */
void hs_hold_grown_prefetch(const struct hs_agent_core *c, uint32_t hold);
void hs_hold_drop_all(struct hs_agent_core *c, uint32_t fired);
void hs_hold_abandon_group(struct hs_agent_core *c, uint32_t hold);
bool hs_hold_check(const struct hs_agent_core *c, const char **why);

/* core_let.c */
void hs_let_note(struct hs_agent_core *c, uint32_t trigger,
		 const struct hs_wire_trace_id *primary, uint64_t now_ns);
bool hs_let_known(struct hs_agent_core *c, uint32_t trigger,
		  const struct hs_wire_trace_id *primary, uint64_t now_ns);
void hs_let_adopt(struct hs_agent_core *c, uint64_t now_ns);

/* core_queue.c */
bool hs_rate_may(const struct hs_rate *r, uint64_t now_ns);
void hs_rate_use(struct hs_rate *r, uint64_t n, uint64_t burst_ns,
		 uint64_t now_ns);
uint32_t hs_trigger_get(struct hs_agent_core *c, const char *name);
bool hs_trigger_within_rate(struct hs_trigger *t, uint64_t now_ns);
void hs_queue_named(struct hs_agent_core *c, uint32_t hold);
void hs_queue_enter(struct hs_agent_core *c, uint32_t hold);
void hs_queue_leave(struct hs_agent_core *c, uint32_t hold);
void hs_queue_aside(struct hs_agent_core *c, uint32_t hold);
void hs_queue_back(struct hs_agent_core *c);
bool hs_queue_may(const struct hs_agent_core *c, uint32_t trigger,
		  uint64_t now_ns);
uint32_t hs_queue_next(struct hs_agent_core *c, uint64_t now_ns);
void hs_queue_sent(struct hs_agent_core *c, struct hs_domain *d,
		   uint32_t trigger, uint32_t bytes, uint64_t now_ns);
void hs_queue_overload(struct hs_agent_core *c, uint64_t now_ns);

/* core_policy.c */
#define HS_DRY_SEEN 8192u /* a power of two */
void hs_policy_apply(struct hs_agent_core *c, uint32_t trigger);
void hs_policy_begin(struct hs_agent_core *c);
void hs_policy_dry(struct hs_agent_core *c, uint32_t trigger,
		   const struct hs_wire_trace_id *traces, uint32_t nr);
/* More of a trace has come, which a dry run may have counted. */
void hs_policy_dry_more(struct hs_agent_core *c, uint64_t hi, uint64_t lo,
			uint32_t bytes);
void hs_policy_context(struct hs_agent_core *c, struct hs_domain *d,
		       uint32_t trace, uint64_t now_ns);

/* core_report.c */
void hs_report_enqueue(struct hs_agent_core *c, struct hs_domain *d,
		       uint32_t trace);
void hs_report_run(struct hs_agent_core *c, uint64_t now_ns);
void hs_report_ack(struct hs_agent_core *c, uint64_t ship_key, bool refused);
void hs_report_resend(struct hs_agent_core *c);
void hs_report_sweep(struct hs_agent_core *c, uint64_t now_ns);
void hs_report_open(struct hs_agent_core *c, struct hs_domain *d,
		    uint32_t trace, uint32_t buffer,
		    const struct hs_shm_buffer *header, uint64_t now_ns);

/* core_sample.c */
bool hs_sample_within(const struct hs_agent_core *c, uint64_t hi, uint64_t lo,
		      uint32_t ppm);
void hs_sample_set(struct hs_agent_core *c, const struct hs_agent_config *in);
void hs_sample_first(struct hs_agent_core *c, struct hs_domain *d,
		     uint32_t trace, uint64_t now_ns);

/* core_adopt.c */
void hs_adopt_domain(struct hs_agent_core *c, struct hs_domain *d,
		     uint64_t now_ns);

#include "agent/core_chunk.h"
#include "agent/core_table.h"
#include "agent/core_walk.h"

#endif
