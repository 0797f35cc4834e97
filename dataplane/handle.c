/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: see handle.h. The free list is a stack of indices under a tag that
 * counts its changes, so that a stale top never wins the exchange.
 */
#include "dataplane/handle.h"

#include "dataplane/ending.h"

#include <errno.h>
#include <sys/mman.h>

#define NO_INDEX      0xffffffffu
#define ROOM_HANDLES  16u /* that a lane gets room for at a time */
#define BLOCK_HANDLES 32u /* no more than slots where there are few */

struct hs_trace hs_trace_null;

static struct {
	struct hs_trace *handles;
	uint32_t nr;
	uint64_t top;  /* tag << 32 | index */
	uint32_t kept; /* room that lanes have for free ones */
} pool = {.top = NO_INDEX};

static void stack_push(struct hs_trace *trace)
{
	uint64_t top, next;

	/* client.C13 relaxed: confirmed by the exchange. */
	top = __atomic_load_n(&pool.top, __ATOMIC_RELAXED);
	for (;;) {
		/* client.C14 relaxed: ordered by the exchange. */
		__atomic_store_n(&trace->free_next, (uint32_t)top,
				 __ATOMIC_RELAXED);
		next = ((top >> 32) + 1) << 32 | trace->index;
		/* client.W7 release, pairs client.R7 client.R8: the handle as
		 * its last user left it. */
		if (__atomic_compare_exchange_n(&pool.top, &top, next, true,
						__ATOMIC_RELEASE,
						__ATOMIC_RELAXED))
			return;
	}
}

struct hs_trace *hs_handle_take_any(struct hs_lane *lane)
{
	uint64_t top, next;
	struct hs_trace *trace;

	if (lane)
		lane->free_missed = true;
	/* client.R7 acquire, pairs client.W7: the handle as its last user
	 * left it. */
	top = __atomic_load_n(&pool.top, __ATOMIC_ACQUIRE);
	for (;;) {
		if ((uint32_t)top == NO_INDEX)
			return NULL;
		trace = &pool.handles[(uint32_t)top];
		/* client.C15 relaxed: a stale one fails the exchange. */
		next = __atomic_load_n(&trace->free_next, __ATOMIC_RELAXED);
		next |= ((top >> 32) + 1) << 32;
		/* client.R8 acquire, pairs client.W7: as client.R7. */
		if (__atomic_compare_exchange_n(&pool.top, &top, next, true,
						__ATOMIC_ACQUIRE,
						__ATOMIC_ACQUIRE))
			return trace;
	}
}

/*
 * Two threads that begin at once take handles whose slots are not neighbours:
 * of each block all even ones go before the odd ones.
 */
static uint32_t index_of_turn(uint32_t turn)
{
	uint32_t block = turn & ~(BLOCK_HANDLES - 1), at = turn - block;

	if (block + BLOCK_HANDLES > pool.nr)
		return turn;
	return block + (2 * at) % BLOCK_HANDLES + (2 * at) / BLOCK_HANDLES;
}

int hs_handle_pool_make(uint32_t nr, uint32_t use)
{
	if (pool.nr < nr) {
		void *p = mmap(NULL, nr * sizeof(struct hs_trace),
			       PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED)
			return -ENOMEM;
		/*
		 * A child must find no open window: its buffer is not mapped
		 * there. Without the advice fork_child() shuts them.
		 */
		(void)madvise(p, nr * sizeof(struct hs_trace), MADV_WIPEONFORK);
		/* The smaller pool stays: spans may name its handles. */
		pool.handles = p;
		pool.nr = nr;
	}
	pool.top = NO_INDEX;
	pool.kept = 0;
	/* Low indices on top: they have slots even where slots are few. */
	for (uint32_t turn = pool.nr; turn-- > 0;) {
		uint32_t i = index_of_turn(turn);
		struct hs_trace *trace = &pool.handles[i];

		trace->index = i;
		/* New or wiped: its lives must not repeat those of before. */
		if (!trace->use)
			trace->use = use & ~1u;
		if (!(trace->use & 1))
			stack_push(trace);
	}
	return 0;
}

/*
 * A lane that has as many as it may keep gets room for some more, if its thread
 * would have begun with them: one that ends what others begin has no use for
 * many. All lanes, those of parked threads among them, keep half of all handles
 * at most.
 */
static __attribute__((noinline)) bool room_more(struct hs_lane *lane)
{
	uint32_t most = pool.nr / 2;

	if (lane->free_room == HS_LANE_HANDLES_MAX ||
	    (lane->free_room && !lane->free_missed))
		return false;
	/* client.C17 relaxed: a count; confirmed below. */
	if (__atomic_load_n(&pool.kept, __ATOMIC_RELAXED) + ROOM_HANDLES > most)
		return false;
	/* client.C18 relaxed: a count. */
	if (__atomic_add_fetch(&pool.kept, ROOM_HANDLES, __ATOMIC_RELAXED) >
	    most) {
		/* client.C19 relaxed: a count. */
		__atomic_sub_fetch(&pool.kept, ROOM_HANDLES, __ATOMIC_RELAXED);
		return false;
	}
	lane->free_room += ROOM_HANDLES;
	lane->free_missed = false;
	return true;
}

void hs_handle_give(struct hs_lane *lane, struct hs_trace *trace)
{
	/* A handle of a smaller pool of before is out of use for good. */
	if (trace != pool.handles + trace->index)
		return;
	if (lane && (lane->nr_free < lane->free_room || room_more(lane)))
		lane->free[lane->nr_free++] = trace;
	else
		stack_push(trace);
}

void hs_handle_flush(struct hs_lane *lane)
{
	while (lane->nr_free)
		stack_push(lane->free[--lane->nr_free]);
	if (!lane->free_room)
		return;
	/* client.C20 relaxed: a count. */
	__atomic_sub_fetch(&pool.kept, lane->free_room, __ATOMIC_RELAXED);
	lane->free_room = 0;
	lane->free_missed = false;
}

void hs_handle_close_all(void)
{
	for (uint32_t i = 0; i < pool.nr; i++) {
		pool.handles[i].at = NULL;
		pool.handles[i].slot = NULL;
		hs_handle_shut(&pool.handles[i]);
		pool.handles[i].w.base = NULL;
	}
}

bool hs_handle_push(struct hs_tls *tls, struct hs_trace *trace,
		    const struct hs_shm_entry *entries, uint32_t nr)
{
	if (hs_handle_attached(trace) &&
	    hs_ending_offer(tls, trace->at, entries, nr))
		return true;
	hs_client_count(HS_COUNT_ENTRIES_LOST, nr);
	return false;
}

void hs_handle_lost(struct hs_trace *trace)
{
	trace->lost++;
	if (trace->slot)
		/* slot.C1 relaxed: a count for the reader to mark the trace
		 * by. */
		__atomic_store_n(&trace->slot->lost, trace->lost,
				 __ATOMIC_RELAXED);
}
