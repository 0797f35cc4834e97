/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: trace handles and the pool that they come from.
 *
 * Guarantees: handles are never unmapped, so a pointer kept too long reads an
 * old handle and not a fault; `use` (odd while live) and `epoch` tell it. Take
 * and give are lock-free; a lane keeps a few free ones for its thread.
 */
#ifndef HS_DATAPLANE_HANDLE_H
#define HS_DATAPLANE_HANDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/client.h"
#include "hs/hindsight.h"
#include "hs/shm_format.h"

/* Resources that a handle remembers to have written. */
#define HS_HANDLE_RESOURCES_MAX 8u
/* Crumbs that a handle remembers to have deposited. */
#define HS_HANDLE_CRUMBS_MAX 32u

/* Texts of the present buffer that may be said again (again.h). */
#define HS_HANDLE_AGAIN_MAX 16u

struct hs_again {
	uint16_t at;	     /* of a key in full */
	uint8_t key_bytes;   /* 0: none */
	uint8_t value_bytes; /* behind it, type and all; 0: not to be said */
	uint32_t whose;	     /* hs_again_whose(): the key, if it has a number */
};

struct hs_trace {
	struct hs_trace_window w; /* ABI: first. base NULL: no buffer */
	uint32_t use;		  /* odd while live */
	uint32_t index;		  /* in the pool; also its slot's */
	uint64_t epoch;		  /* of the client it began under */
	struct hs_trace_id id;
	struct hs_attachment *at; /* NULL: nothing is kept */
	struct hs_shm_slot *slot;
	uint64_t word;	    /* stock word of the buffer */
	uint64_t time_base; /* ns that explicit times are deltas to */
	uint64_t mult;	    /* of the buffer's ticks */
	uint32_t number;    /* what the agent calls this handle */
	uint32_t seq;	    /* of buffer, or of the one to come */
	uint32_t lost;	    /* records dropped */
	uint32_t next_ref;
	uint32_t next_resource;
	uint32_t trigger; /* FNV-1a of the name, with F_TRIGGERED */
	uint32_t free_next;
	uint32_t slot_use; /* odd; what the slot says while it is live */
	struct hs_trace *ended_next; /* waits for room in its lane */
	uint8_t flags;		     /* HS_CONTEXT_F_* */
	uint8_t nr_upstream;
	uint8_t nr_crumbs; /* of crumbs[], never shrinks */
	uint8_t was_current;
	uint8_t opened;	   /* w was left open: closed now, it is in use */
	uint8_t ticks;	   /* the buffer's clock is the TSC */
	uint8_t clock_due; /* its CLOCK record is still to come */
	uint8_t fired_own; /* autotriggers of the application that have */
	uint64_t fired;	   /* rules that have, by slot: once a handle */
	/* Span ids follow from one that was drawn, by their refs; 0: none was
	 * yet. */
	uint64_t span_ids;
	uint64_t spans; /* hs_span_tag() of the first; of an earlier life while
			 * the window is shut */
	/* What the span before was of, and its number there; NULL: neither. */
	const struct hs_resource *start_resource;
	uint32_t start_resource_nr;
	uint32_t again_buffer; /* numbers the handle's buffers: again.h */
	struct hs_again again[HS_HANDLE_AGAIN_MAX]; /* keys with numbers */
	struct hs_again again_texts[HS_HANDLE_AGAIN_MAX];
	struct hs_again again_names[HS_HANDLE_AGAIN_MAX];
	struct hs_again again_literals[HS_HANDLE_AGAIN_MAX]; /* keys */
	uint64_t upstream[HS_CONTEXT_CRUMBS_MAX];
	uint64_t crumbs[HS_HANDLE_CRUMBS_MAX];
	uint8_t crumb_kinds[HS_HANDLE_CRUMBS_MAX];
	const struct hs_resource *resources[HS_HANDLE_RESOURCES_MAX];
} __attribute__((aligned(2 * HS_SHM_LINE_BYTES))); /* as struct hs_lane */

_Static_assert(offsetof(struct hs_trace, w) == 0, "ABI");

/* What applications hold for hs_trace_null: it is never touched. */
#define HS_HANDLE_NONE ((struct hs_trace *)(uintptr_t)HS_INLINE_NONE)

/* Stands for every trace that could not be begun; never live. */
extern struct hs_trace hs_trace_null __attribute__((visibility("hidden")));

/**
 * hs_handle_pool_make() - have a pool of at least this many, all free ones in
 * @use: where new handles begin to count their lives
 *
 * Context: no other thread is inside the API.
 * Return:  0 or -ENOMEM.
 */
int hs_handle_pool_make(uint32_t nr, uint32_t use);

/* Context: write path. @lane: the calling thread's, or NULL. */
struct hs_trace *hs_handle_take_any(struct hs_lane *lane);
static inline struct hs_trace *hs_handle_take(struct hs_lane *lane)
{
	return lane && lane->nr_free ? lane->free[--lane->nr_free]
				     : hs_handle_take_any(lane);
}
void hs_handle_give(struct hs_lane *lane, struct hs_trace *trace);

/* Give back what a lane keeps, before its thread leaves it. */
void hs_handle_flush(struct hs_lane *lane);

/* The client closes: no live handle has a buffer or a slot any more. */
void hs_handle_close_all(void);

/* Whether the caller is a signal handler amid this thread's own append. */
static inline bool hs_handle_in_use(const struct hs_trace *trace)
{
	return trace->opened && !trace->w.open;
}

/* Nothing is appended any more but by the library. */
static inline void hs_handle_shut(struct hs_trace *trace)
{
	trace->w.open = 0;
	trace->opened = 0;
	/* window.C3 acq_rel, pairs window.C4: shut before it is touched. */
	__atomic_signal_fence(__ATOMIC_ACQ_REL);
}

/* @epoch: hs_client_epoch(), by a caller who has asked for it already */
static inline bool hs_handle_live_in(const struct hs_trace *trace,
				     uint64_t epoch)
{
	return (trace->use & 1) && trace->epoch == epoch;
}
static inline bool hs_handle_live(const struct hs_trace *trace)
{
	return hs_handle_live_in(trace, hs_client_epoch());
}

/*
 * Whether this handle can still be written to: one whose attachment was
 * replaced or went bad keeps nothing more.
 */
static inline bool hs_handle_attached(const struct hs_trace *trace)
{
	return trace->at && trace->at == hs_client_attachment();
}

/* Entries on @trace's behalf; a loss is counted, and the caller's to mark. */
bool hs_handle_push(struct hs_tls *tls, struct hs_trace *trace,
		    const struct hs_shm_entry *entries, uint32_t nr);

/* A record of @trace is dropped: said in its slot and its later entries. */
void hs_handle_lost(struct hs_trace *trace);

#endif
