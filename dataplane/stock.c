/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see stock.h. */
#include "dataplane/stock.h"

#include "dataplane/client.h"

/* Of one ring, in one round of the helper. */
#define RETURNS_MAX 32u
/* One part in so many of a lane is left to threads that borrow it. */
#define SPARE_SHARE 4u
/* Of a ring, a thread takes no more at once, nor of these bytes. */
#define ROW_SHARE 4u
#define ROW_BYTES 4096u
/* All rows of a process are one part in so many of a pool, at most. */
#define ROWS_SHARE 400u
/* Of a larger buffer, asked for before it is used: what is waited for at its
 * start. Of one of a row it is two units, no more than a short trace fills. */
#define ASK_BYTES 2048u
/* Where buffers are larger, what fills them is foreseen by the processor. */
#define ASK_UP_TO_BYTES 8192u

static struct hs_shm_stock_tail *tail_of(const struct hs_attachment *at,
					 uint32_t core, uint32_t size_class)
{
	return (struct hs_shm_stock_tail *)(at->up + at->layout.up_rings) +
	       core * at->layout.nr_classes + size_class;
}

static const struct hs_shm_stock_ring *
ring_at(const struct hs_attachment *at, uint32_t core, uint32_t size_class)
{
	return (const void *)(at->down + at->layout.down_rings +
			      core * at->layout.ring_stride +
			      at->rings[size_class].offset);
}

/* As many as there are, up to @max, and one in ROW_SHARE of them if several. */
static inline uint32_t row_of(uint64_t there, uint32_t max)
{
	uint64_t some = there / ROW_SHARE;

	if (some > max)
		return max;
	return some ? (uint32_t)some : 1;
}

/*
 * A buffer's lines were last written a pool's length ago, and stores would wait
 * for each that no cache has, in their order. So they are asked for some traces
 * ahead. A word that names no buffer is found out when it is used: to ask for
 * its lines does nothing.
 */
static inline __attribute__((always_inline)) void unit_ask(uintptr_t from)
{
#pragma GCC unroll 4
	for (uint32_t i = 0; i < HS_SHM_REF_UNIT_BYTES; i += HS_SHM_LINE_BYTES)
		__builtin_prefetch((const void *)(from + i), 1);
}

static inline uintptr_t place_of(const uint8_t *pool, uint64_t word)
{
	return (uintptr_t)pool +
	       (uint64_t)hs_shm_stock_ref(word) * HS_SHM_REF_UNIT_BYTES;
}

/* Of a row, which are of the smallest size and of the only node there is. */
static inline __attribute__((always_inline)) void
row_ask(const struct hs_attachment *at, const struct hs_lane *lane)
{
	bool more = at->layout.class_bytes[0] > HS_SHM_REF_UNIT_BYTES;

	for (uint32_t i = 0; i < lane->stock_end; i++) {
		uintptr_t from = place_of(at->pools[0], lane->stock[i]);

		unit_ask(from);
		if (more)
			unit_ask(from + HS_SHM_REF_UNIT_BYTES);
	}
}

/* Of what the next thread on this core will take. */
static __attribute__((noinline)) void
next_ask(const struct hs_attachment *at, uint32_t size_class, uint64_t word)
{
	uint32_t size = at->layout.class_bytes[size_class];
	uintptr_t from = place_of(at->pools[hs_shm_stock_node(word)], word);
	uintptr_t end = from + (size < ASK_BYTES ? size : ASK_BYTES);

	if (size > ASK_UP_TO_BYTES)
		return;
	for (; from < end; from += HS_SHM_REF_UNIT_BYTES)
		unit_ask(from);
}

/* Up to @max words in one exchange. */
static inline __attribute__((always_inline)) enum hs_stock_result
take_words(struct hs_attachment *at, uint32_t core, uint32_t size_class,
	   uint64_t *out, uint32_t max, uint32_t *nr)
{
	uint32_t mask = at->rings[size_class].mask;
	struct hs_shm_stock_tail *mine = tail_of(at, core, size_class);
	const struct hs_shm_stock_ring *ring;
	const uint64_t *words;
	uint64_t tail;

	ring = ring_at(at, core, size_class);
	words = (const uint64_t *)(ring + 1);
	/* stock.C1 relaxed: a guess that the exchange below confirms. */
	tail = __atomic_load_n(&mine->tail, __ATOMIC_RELAXED);
	for (;;) {
		uint64_t head;

		/* stock.R1 acquire, pairs stock.W1: words before head. */
		head = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE);
		if (head == tail) {
			/* stock.C3 relaxed: a counter. */
			__atomic_fetch_add(&mine->empties, 1, __ATOMIC_RELAXED);
			return HS_STOCK_EMPTY;
		}
		if (head - tail > (uint64_t)mask + 1) {
			uint64_t again;

			/* stock.C4 relaxed: our tail may be old news. */
			again = __atomic_load_n(&mine->tail, __ATOMIC_RELAXED);
			if (again == tail)
				return HS_STOCK_BAD;
			tail = again;
			continue;
		}
		*nr = row_of(head - tail, max);
		for (uint32_t i = 0; i < *nr; i++)
			/* stock.C5 relaxed: ordered by stock.R1 and stock.W2.
			 */
			out[i] = __atomic_load_n(&words[(tail + i) & mask],
						 __ATOMIC_RELAXED);
		if (max == 1 && head - tail > 1)
			/* stock.C18 relaxed: a hint; as stock.C5. */
			next_ask(at, size_class,
				 __atomic_load_n(&words[(tail + 1) & mask],
						 __ATOMIC_RELAXED));
		/* stock.W2 release, pairs stock.R2: the words are read before
		 * their places are given back to the agent. */
		if (__atomic_compare_exchange_n(&mine->tail, &tail, tail + *nr,
						false, __ATOMIC_RELEASE,
						__ATOMIC_RELAXED)) {
			/* The next words: the agent wrote them elsewhere. */
			__builtin_prefetch(&words[(tail + *nr) & mask]);
			return HS_STOCK_GOT;
		}
	}
}

enum hs_stock_result hs_stock_take_ring(struct hs_attachment *at, uint32_t core,
					uint32_t size_class,
					struct hs_stock *out)
{
	enum hs_stock_result got;
	uint64_t word;
	uint32_t nr;

	got = take_words(at, core, size_class, &word, 1, &nr);
	if (got != HS_STOCK_GOT)
		return got;
	return hs_stock_check(at, word, out) ? HS_STOCK_GOT : HS_STOCK_BAD;
}

static enum hs_stock_result row_take(struct hs_attachment *at,
				     struct hs_lane *lane, uint32_t core)
{
	uint32_t size = at->layout.class_bytes[0];
	/* An agent may say that a size is 0. */
	uint32_t max = size && size <= ROW_BYTES ? ROW_BYTES / size : 1;
	enum hs_stock_result got;

	if (max > HS_LANE_STOCK_MAX)
		max = HS_LANE_STOCK_MAX;
	lane->stock_at = 0;
	got = take_words(at, core, 0, lane->stock, max, &lane->stock_end);
	if (got != HS_STOCK_GOT)
		lane->stock_end = 0;
	row_ask(at, lane);
	return got;
}

/*
 * Threads that park keep what they have: of thousands, few have a row. And none
 * where there are several nodes: a thread that moves to another one is served
 * from there at once.
 */
static __attribute__((noinline)) bool row_begin(struct hs_attachment *at,
						struct hs_lane *lane)
{
	uint64_t most = at->layout.nr_nodes > 1
				? 0
				: at->pool_bytes / ROWS_SHARE / ROW_BYTES;

	/* stock.C16 relaxed: a count that only grows, and past its limit as
	 * many times as threads ask at once. */
	if (__atomic_load_n(&at->nr_rows, __ATOMIC_RELAXED) < most)
		/* stock.C17 relaxed: as stock.C16. */
		lane->keeps_row = __atomic_fetch_add(&at->nr_rows, 1,
						     __ATOMIC_RELAXED) < most;
	return lane->keeps_row;
}

/* From the thread's own core: of the smallest size, what its lane keeps. */
static enum hs_stock_result take_own(struct hs_attachment *at,
				     struct hs_tls *tls, uint32_t core,
				     uint32_t size_class, struct hs_stock *out)
{
	struct hs_lane *lane = tls->lane;
	enum hs_stock_result got = HS_STOCK_GOT;

	if (size_class || !lane || tls->attachment != at->number ||
	    (!lane->keeps_row && !row_begin(at, lane)))
		return hs_stock_take_ring(at, core, size_class, out);
	if (lane->stock_at == lane->stock_end)
		got = row_take(at, lane, core);
	if (got != HS_STOCK_GOT)
		return got;
	return hs_stock_check(at, lane->stock[lane->stock_at++], out)
		       ? HS_STOCK_GOT
		       : HS_STOCK_BAD;
}

static uint32_t ring_of_thread(struct hs_attachment *at, struct hs_tls *tls)
{
	uint32_t cpu = hs_stock_cpu();

	if (cpu < at->layout.nr_rings)
		return cpu;
	if (cpu != ~0u)
		return cpu % at->layout.nr_rings;
	if (tls->ring == 0) {
		/* stock.C6 relaxed: spreads threads, nothing more. */
		tls->ring = __atomic_add_fetch(&at->lane_hint, 1,
					       __ATOMIC_RELAXED) |
			    1u << 31;
	}
	return (tls->ring & ~(1u << 31)) % at->layout.nr_rings;
}

/* The same class of the nearest cores. */
static enum hs_stock_result take_class(struct hs_attachment *at,
				       struct hs_tls *tls, uint32_t first,
				       uint32_t size_class,
				       struct hs_stock *out)
{
	uint32_t nr = at->layout.nr_rings;
	uint32_t tries = nr < HS_STOCK_TRIES ? nr : HS_STOCK_TRIES;
	enum hs_stock_result got = take_own(at, tls, first, size_class, out);

	for (uint32_t i = 1; i < tries && got == HS_STOCK_EMPTY; i++) {
		uint32_t core = first + i < nr ? first + i : first + i - nr;

		got = hs_stock_take_ring(at, core, size_class, out);
	}
	return got;
}

/*
 * The next size is better than none. The smaller one first: it wastes nothing.
 * No further: a flood of small ones would keep the agent from bringing large
 * ones, and many tiny traces would take what few large ones need.
 */
static enum hs_stock_result take_neighbour(struct hs_attachment *at,
					   struct hs_tls *tls, uint32_t first,
					   uint32_t size_class,
					   struct hs_stock *out)
{
	enum hs_stock_result got = HS_STOCK_EMPTY;

	if (size_class > 0)
		got = take_class(at, tls, first, size_class - 1, out);
	if (got == HS_STOCK_EMPTY && size_class + 1 < at->layout.nr_classes)
		got = take_class(at, tls, first, size_class + 1, out);
	return got;
}

static __attribute__((noinline)) bool take_elsewhere(struct hs_attachment *at,
						     struct hs_tls *tls,
						     uint32_t size_class,
						     struct hs_stock *out)
{
	uint32_t first = ring_of_thread(at, tls);
	enum hs_stock_result got;

	if (size_class >= at->layout.nr_classes)
		size_class = at->layout.nr_classes - 1;
	got = take_class(at, tls, first, size_class, out);
	if (got == HS_STOCK_EMPTY)
		got = take_neighbour(at, tls, first, size_class, out);
	if (got == HS_STOCK_GOT)
		return true;
	if (got == HS_STOCK_BAD)
		/* client.C9 relaxed: a flag that only ever rises. */
		__atomic_store_n(&at->bad, 1, __ATOMIC_RELAXED);
	else
		/* stock.C7 relaxed: a counter. */
		__atomic_fetch_add(&tail_of(at, first, size_class)->nulls, 1,
				   __ATOMIC_RELAXED);
	return false;
}

/* What the lane keeps needs no look at where the thread runs. A word that names
 * no buffer is left to who switches the attachment off. */
static inline bool take_kept(const struct hs_attachment *at,
			     const struct hs_tls *tls, uint32_t size_class,
			     struct hs_stock *out)
{
	struct hs_lane *lane = hs_client_lane_on(tls, at);

	if (size_class || !lane || lane->stock_at == lane->stock_end ||
	    !hs_stock_check(at, lane->stock[lane->stock_at], out))
		return false;
	lane->stock_at++;
	return true;
}

bool hs_stock_take(struct hs_attachment *at, struct hs_tls *tls,
		   uint32_t size_class, struct hs_stock *out)
{
	return take_kept(at, tls, size_class, out) ||
	       take_elsewhere(at, tls, size_class, out);
}

/* How many words of a ring are asked back and still there. */
static uint64_t recalled(const struct hs_attachment *at, uint32_t core,
			 uint32_t size_class)
{
	const struct hs_shm_stock_ring *ring = ring_at(at, core, size_class);
	uint64_t recall, tail;

	/* stock.C8 relaxed: a wish; what it is about is ordered by stock.R1. */
	recall = __atomic_load_n(&ring->recall, __ATOMIC_RELAXED);
	/* stock.C9 relaxed: a guess: others take meanwhile. */
	tail = __atomic_load_n(&tail_of(at, core, size_class)->tail,
			       __ATOMIC_RELAXED);
	return recall > tail ? recall - tail : 0;
}

static void return_some(struct hs_attachment *at, struct hs_lane *lane,
			uint32_t core, uint32_t size_class, uint64_t nr)
{
	struct hs_shm_entry entries[RETURNS_MAX];
	uint32_t spare = lane->nr_entries / SPARE_SHARE, got = 0;

	if (nr > RETURNS_MAX)
		nr = RETURNS_MAX;
	/* What is taken must find its way: nobody else fills this lane. */
	while (nr && !hs_lane_room(lane, (uint32_t)nr + spare))
		nr /= 2;
	while (got < nr) {
		struct hs_stock stock;

		if (hs_stock_take_ring(at, core, size_class, &stock) !=
		    HS_STOCK_GOT)
			break;
		entries[got++] = (struct hs_shm_entry){
			.u.buffer.ref = hs_shm_stock_ref(stock.word),
			.u.buffer.committed = hs_shm_stock_node(stock.word)
					      << 28,
			.type = HS_SHM_ENTRY_RETURN,
		};
	}
	if (got)
		(void)hs_lane_offer(lane, entries, got);
}

void hs_stock_return(struct hs_attachment *at, struct hs_lane *lane)
{
	if (at->layout.version == 1)
		return;
	for (uint32_t core = 0; core < at->layout.nr_rings; core++)
		for (uint32_t c = 0; c < at->layout.nr_classes; c++) {
			uint64_t nr = recalled(at, core, c);

			if (nr)
				return_some(at, lane, core, c, nr);
		}
}
