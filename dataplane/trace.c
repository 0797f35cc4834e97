/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: begin, end, detach, attach, tracepoints and crumbs of a trace.
 *
 * The agent looks at the slots before it drains the lanes. So the end of a
 * handle is published as an entry first and taken out of its slot second: an
 * agent that finds the slot empty has the END already within its reach.
 */
#include "dataplane/trace.h"

#include <string.h>

#include "dataplane/ending.h"
#include "dataplane/put.h"
#include "dataplane/write.h"

#define NUMBER_BLOCK 1024u

/* ---- crumbs ------------------------------------------------------------- */

static bool crumb_known(const struct hs_trace *trace, uint8_t kind,
			hs_node_id node)
{
	for (uint32_t i = 0; i < trace->nr_crumbs; i++) {
		if (trace->crumbs[i] == node && trace->crumb_kinds[i] == kind)
			return true;
	}
	return false;
}

static void crumb_remember(struct hs_trace *trace, uint8_t kind,
			   hs_node_id node)
{
	if (trace->nr_crumbs >= HS_HANDLE_CRUMBS_MAX)
		return;
	trace->crumb_kinds[trace->nr_crumbs] = kind;
	trace->crumbs[trace->nr_crumbs++] = node;
}

static __attribute__((noinline)) void
deposit_many(struct hs_tls *tls, struct hs_trace *trace, uint8_t kind,
	     const hs_node_id *nodes, uint32_t nr, const uint32_t *trigger)
{
	struct hs_shm_entry entries[HS_CONTEXT_CRUMBS_MAX + 1];
	hs_node_id own = hs_client_node_now();
	uint32_t known = trace->nr_crumbs;
	uint32_t n = 0;

	for (uint32_t i = 0; i < nr && i < HS_CONTEXT_CRUMBS_MAX; i++) {
		if (nodes[i] == 0 || nodes[i] == own ||
		    crumb_known(trace, kind, nodes[i]))
			continue;
		entries[n++] = (struct hs_shm_entry){
			.trace_hi = trace->id.hi,
			.trace_lo = trace->id.lo,
			.u.arg = nodes[i],
			.handle = trace->number,
			.type = HS_SHM_ENTRY_CRUMB,
			.aux = kind,
		};
		crumb_remember(trace, kind, nodes[i]);
	}
	if (trigger)
		entries[n++] = (struct hs_shm_entry){
			.trace_hi = trace->id.hi,
			.trace_lo = trace->id.lo,
			.u.arg = *trigger,
			.handle = trace->number,
			.type = HS_SHM_ENTRY_CONTEXT_TRIGGER,
		};
	if (n && !hs_handle_push(tls, trace, entries, n)) {
		/* To be tried again, should they come again. */
		trace->nr_crumbs = (uint8_t)known;
		hs_handle_lost(trace);
	}
}

/*
 * Most often it is the first, and the thread has a lane with room. Return:
 * false: it is still to be done.
 */
static inline bool deposit_one(const struct hs_tls *tls, struct hs_trace *trace,
			       uint8_t kind, hs_node_id node)
{
	struct hs_lane *lane = hs_client_lane_on(tls, trace->at);

	if (node == 0 || node == hs_client_node_now())
		return true;
	if (trace->nr_crumbs || !lane || !hs_handle_attached(trace) ||
	    !hs_ending_flush(lane) ||
	    !hs_lane_offer_one(lane,
			       &(const struct hs_shm_entry){
				       .trace_hi = trace->id.hi,
				       .trace_lo = trace->id.lo,
				       .u.arg = node,
				       .handle = trace->number,
				       .type = HS_SHM_ENTRY_CRUMB,
				       .aux = kind,
			       },
			       true))
		return false;
	crumb_remember(trace, kind, node);
	return true;
}

void hs_trace_deposit(struct hs_tls *tls, struct hs_trace *trace, uint8_t kind,
		      const hs_node_id *nodes, uint32_t nr,
		      const uint32_t *trigger)
{
	if (!trace->at || (!nr && !trigger) ||
	    (nr == 1 && !trigger && deposit_one(tls, trace, kind, nodes[0])))
		return;
	deposit_many(tls, trace, kind, nodes, nr, trigger);
}

/* ---- begin and end ------------------------------------------------------ */

static uint32_t number_take(struct hs_lane *lane)
{
	if (lane->number_next == lane->number_end) {
		/* client.C16 relaxed: only has to be different for each. */
		uint32_t block = __atomic_fetch_add(&hs_client.number_blocks, 1,
						    __ATOMIC_RELAXED);

		/* 0 stays free: entries without a handle say it. */
		lane->number_next = block * NUMBER_BLOCK + (block == 0);
		lane->number_end = (block + 1) * NUMBER_BLOCK;
	}
	return lane->number_next++;
}

/* The slot's words are stored in the order in which a reader may trust them. */
static void slot_open(struct hs_trace *trace)
{
	struct hs_shm_slot *s = trace->slot;

	/* slot.W2 release, pairs slot.R2: the former life's even use before
	 * the first word of this one, so that a reader who mixes the two finds
	 * use changed. */
	__atomic_store_n(&s->handle, trace->number, __ATOMIC_RELEASE);
	/* slot.W4 release, pairs slot.R4: as slot.W2. */
	__atomic_store_n(&s->trace_hi, trace->id.hi, __ATOMIC_RELEASE);
	/* slot.W5 release, pairs slot.R5: as slot.W2. */
	__atomic_store_n(&s->trace_lo, trace->id.lo, __ATOMIC_RELEASE);
	/* slot.W6 release, pairs slot.R3: as slot.W2. */
	__atomic_store_n(&s->buffer, 0, __ATOMIC_RELEASE);
	/* slot.C3 relaxed: hints. */
	__atomic_store_n(&s->seq, 0, __ATOMIC_RELAXED);
	/* slot.C4 relaxed: hints. */
	__atomic_store_n(&s->lost, trace->lost, __ATOMIC_RELAXED);
	/* slot.C5 relaxed: hints. */
	__atomic_store_n(&s->begin_ns, 0, __ATOMIC_RELAXED);
	trace->slot_use = trace->use;
	/* slot.W1 release, pairs slot.R1: the other words before an odd use,
	 * the END entry before an even one. */
	__atomic_store_n(&s->use, trace->use, __ATOMIC_RELEASE);
}

static bool id_set(const struct hs_trace_id *id)
{
	return id && (id->hi || id->lo);
}

/*
 * Nothing can be written: the trace, where others know its id, is told to have
 * lost something, as by the END of a handle that dropped all that it was given.
 */
static void no_handle(struct hs_tls *tls, const struct hs_trace_id *id)
{
	struct hs_attachment *at = hs_client_attachment();
	struct hs_shm_entry entry = {
		.u.buffer.ref = HS_SHM_NO_BUFFER,
		.type = HS_SHM_ENTRY_END,
		.aux = 1,
	};

	hs_client_count(HS_COUNT_HANDLES_LOST, 1);
	if (!at || !id_set(id))
		return;
	entry.trace_hi = id->hi;
	entry.trace_lo = id->lo;
	if (!hs_ending_offer(tls, at, &entry, 1))
		hs_attachment_lost_unpinned(at);
}

/* By a thread that has no lane yet, or gets none. */
static __attribute__((noinline)) bool
number_get(struct hs_tls *tls, struct hs_attachment *at, uint32_t *number)
{
	struct hs_lane *lane = hs_client_lane(tls, at);
	struct hs_lane *borrowed = lane ? NULL : hs_attachment_lane_borrow(at);

	if (!lane && !borrowed)
		return false;
	*number = number_take(lane ? lane : borrowed);
	if (borrowed)
		hs_ending_return(at, borrowed);
	return true;
}

/* @held: the lane that the thread has on @at, or NULL */
static inline void begin_attached(struct hs_tls *tls, struct hs_trace *trace,
				  struct hs_attachment *at,
				  struct hs_lane *held)
{
	trace->slot = hs_attachment_slot(at, trace->index);
	if (trace->slot && held) {
		trace->number = number_take(held);
	} else if (!trace->slot || !number_get(tls, at, &trace->number)) {
		trace->slot = NULL;
		no_handle(tls, &trace->id);
		return;
	}
	trace->at = at;
	slot_open(trace);
}

static inline void begin_context(struct hs_tls *tls, struct hs_trace *trace,
				 const struct hs_context *from)
{
	uint32_t trigger = from->trigger;
	uint32_t nr = from->nr_crumbs;
	bool triggered = from->flags & HS_CONTEXT_F_TRIGGERED;

	if (nr > HS_CONTEXT_CRUMBS_MAX)
		nr = HS_CONTEXT_CRUMBS_MAX;
	trace->flags =
		from->flags & (HS_CONTEXT_F_SAMPLED | HS_CONTEXT_F_RANDOM |
			       HS_CONTEXT_F_TRIGGERED);
	trace->trigger = triggered ? trigger : 0;
	for (uint32_t i = 0; i < nr; i++)
		trace->upstream[i] = from->crumbs[i];
	trace->nr_upstream = (uint8_t)nr;
	hs_trace_deposit(tls, trace, HS_SHM_CRUMB_BACK, trace->upstream, nr,
			 triggered ? &trigger : NULL);
}

static inline __attribute__((always_inline)) struct hs_trace *
begin(struct hs_tls *tls, uint64_t epoch, const struct hs_trace_id *id,
      const struct hs_context *from)
{
	struct hs_attachment *at = hs_client_attachment();
	struct hs_lane *held = at ? hs_client_lane_on(tls, at) : NULL;
	struct hs_trace *trace;

	if (held)
		(void)hs_ending_flush(held);
	trace = hs_handle_take(held);
	if (!trace) {
		if (!id_set(id))
			id = from ? &from->trace_id : NULL;
		no_handle(tls, id);
		return &hs_trace_null;
	}
	trace->opened = 0;
	trace->use++;
	trace->spans = (uint64_t)trace->use << 32;
	trace->epoch = epoch;
	trace->at = NULL;
	trace->slot = NULL;
	trace->w.base = NULL;
	trace->word = 0;
	trace->seq = 0;
	trace->lost = 0;
	trace->next_ref = 0;
	trace->next_resource = 0;
	trace->span_ids = 0;
	trace->start_resource = NULL;
	trace->nr_crumbs = 0;
	trace->nr_upstream = 0;
	trace->was_current = 0;
	trace->trigger = 0;
	trace->fired = 0;
	trace->fired_own = 0;
	trace->flags = HS_CONTEXT_F_SAMPLED;
	if (!id_set(id) && from)
		id = &from->trace_id;
	if (id_set(id)) {
		hs_store_pair(&trace->id, id->hi, id->lo);
	} else {
		hs_store_pair(&trace->id, hs_client_random(tls),
			      hs_client_random(tls) | 1);
		trace->flags |= HS_CONTEXT_F_RANDOM;
	}
	if (at)
		begin_attached(tls, trace, at, held);
	if (from && id_set(&from->trace_id))
		begin_context(tls, trace, from);
	return trace;
}

struct hs_trace *hs_trace_begin(const struct hs_trace_id *id,
				const struct hs_context *from)
{
	uint64_t epoch = hs_client_epoch();
	struct hs_tls *tls = hs_client_enter_epoch(epoch);
	struct hs_trace *trace;

	if (!tls)
		return HS_HANDLE_NONE;
	trace = begin(tls, epoch, id, from);
	hs_client_leave(tls);
	return trace == &hs_trace_null ? HS_HANDLE_NONE : trace;
}

static inline __attribute__((always_inline)) void
end(struct hs_tls *tls, uint64_t epoch, struct hs_trace *trace)
{
	struct hs_attachment *now = hs_client_attachment();

	/* One of an earlier client has nothing left to end. */
	bool attached = trace->at && trace->epoch == epoch;

	if (hs_handle_in_use(trace)) {
		hs_client_count(HS_COUNT_CALLS_NESTED, 1);
		return;
	}
	hs_handle_shut(trace);
	trace->use++;
	if (tls->current == trace)
		tls->current = NULL;
	if (attached && trace->at == now) {
		hs_ending_publish(hs_client_lane(tls, now), trace);
		return;
	}
	trace->at = NULL;
	trace->slot = NULL;
	trace->w.base = NULL;
	hs_handle_give(now ? hs_client_lane_on(tls, now) : NULL, trace);
}

void hs_trace_end(struct hs_trace *trace)
{
	struct hs_tls *tls;
	uint64_t epoch;

	if (trace == HS_HANDLE_NONE)
		return;
	epoch = hs_client_epoch();
	tls = hs_client_enter_epoch(epoch);
	if (!tls) {
		/* Of a client that was closed: free for the next one. */
		if (trace && epoch == 0 && (trace->use & 1))
			trace->use++;
		return;
	}
	if (!trace)
		trace = tls->current;
	if (trace && (trace->use & 1))
		end(tls, epoch, trace);
	else if (trace && trace != &hs_trace_null)
		hs_client_count(HS_COUNT_CALLS_STALE, 1);
	hs_client_leave(tls);
}

struct hs_trace_id hs_trace_id_get(const struct hs_trace *trace)
{
	if (!trace)
		trace = hs_tls.current;
	if (!HS_INLINE_HAS_WINDOW(trace) || !hs_handle_live(trace))
		return (struct hs_trace_id){0, 0};
	return trace->id;
}

/* ---- threads ------------------------------------------------------------ */

void hs_trace_detach(struct hs_trace *trace)
{
	struct hs_tls *tls = hs_trace_enter(&trace);

	if (!tls)
		return;
	if (tls->current == trace) {
		tls->current = NULL;
		trace->was_current = 1;
	}
	/* trace.W1 release, pairs trace.R1: all that this thread wrote in the
	 * handle before it goes to another. */
	__atomic_store_n(&trace->use, trace->use, __ATOMIC_RELEASE);
	hs_client_leave(tls);
}

void hs_trace_attach(struct hs_trace *trace)
{
	struct hs_tls *tls;

	if (!HS_INLINE_HAS_WINDOW(trace))
		return;
	/* trace.R1 acquire, pairs trace.W1: the handle as it was left. */
	(void)__atomic_load_n(&trace->use, __ATOMIC_ACQUIRE);
	tls = hs_trace_enter(&trace);
	if (!tls)
		return;
	if (trace->was_current) {
		trace->was_current = 0;
		if (!tls->current)
			tls->current = trace;
	}
	hs_client_leave(tls);
}

void hs_thread_begin(const struct hs_trace_id *id,
		     const struct hs_context *from)
{
	uint64_t epoch = hs_client_epoch();
	struct hs_tls *tls = hs_client_enter_epoch(epoch);

	if (!tls)
		return;
	if (tls->current && (tls->current->use & 1))
		end(tls, epoch, tls->current);
	tls->current = begin(tls, epoch, id, from);
	hs_client_leave(tls);
}

void hs_thread_end(void)
{
	if (hs_tls.current)
		hs_trace_end(NULL);
	else
		return;
	/* Not left behind by a client that was closed meanwhile. */
	if (hs_client_epoch() == 0)
		hs_tls.current = NULL;
}

struct hs_trace *hs_thread_trace(void)
{
	struct hs_trace *trace = hs_tls.current;

	return trace && hs_handle_live(trace) ? trace : HS_HANDLE_NONE;
}

/* ---- tracepoints -------------------------------------------------------- */

struct tracepoint {
	const struct hs_stamp *stamp;
	const void *data;
	size_t size_bytes;
};

static void emit_tracepoint(struct hs_sink *s, const void *args)
{
	const struct tracepoint *t = args;
	size_t n = t->size_bytes;

	if (t->stamp)
		hs_sink_time(s, t->stamp);
	if (n > HS_VALUE_MAX_BYTES) {
		s->cut = true;
		hs_sink_varint(s, n);
		n = HS_VALUE_MAX_BYTES;
	}
	hs_sink_bytes(s, t->data, n);
}

/*
 * Most often the long way was wanted for a buffer. With that the point is put
 * in one pass, too, at the time at which the buffer was opened.
 * Return: false: it is still to be written.
 */
static bool put_first(struct hs_tls *tls, struct hs_trace *trace,
		      struct hs_stamp *stamp, const struct tracepoint *t)
{
	if (trace->w.base || (stamp && stamp->kind != HS_STAMP_NOW))
		return false;
	/* Dropped, where that fails: so would the record be. */
	if (!hs_write_open(tls, trace, stamp))
		return true;
	if (!stamp)
		return hs_put_point(trace, t->data, t->size_bytes, false);
	return stamp->taken && stamp->in_ticks &&
	       hs_put_point_at(trace, t->data, t->size_bytes, true,
			       stamp->ticks);
}

static void tracepoint(struct hs_trace *trace, uint8_t type,
		       struct hs_stamp *stamp, const void *data,
		       size_t size_bytes)
{
	struct tracepoint args = {stamp, data, data ? size_bytes : 0};
	struct hs_tls *tls = hs_trace_enter(&trace);

	if (!tls)
		return;
	if (trace->at && !put_first(tls, trace, stamp, &args))
		hs_write_record(tls, trace, type, stamp, emit_tracepoint,
				&args);
	hs_client_leave(tls);
}

static __attribute__((noinline)) void
tracepoint_now(struct hs_trace *trace, const void *data, size_t size_bytes)
{
	struct hs_stamp now = {.kind = HS_STAMP_NOW};

	tracepoint(trace, HS_RECORD_TRACEPOINT, &now, data, size_bytes);
}

void hs_tracepoint(struct hs_trace *trace, const void *data, size_t size_bytes)
{
	if (!hs_put_point(trace, data, size_bytes, true))
		tracepoint_now(trace, data, size_bytes);
}

void hs_tracepoint_plain(struct hs_trace *trace, const void *data,
			 size_t size_bytes)
{
	if (!hs_put_point(trace, data, size_bytes, false))
		tracepoint(trace, HS_RECORD_POINT, NULL, data, size_bytes);
}

void hs_tracepoint_at(struct hs_trace *trace, uint64_t time_ns,
		      const void *data, size_t size_bytes)
{
	struct hs_stamp at = {.kind = HS_STAMP_AT, .ns = time_ns};

	tracepoint(trace, HS_RECORD_TRACEPOINT, &at, data, size_bytes);
}
