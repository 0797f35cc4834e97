/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see stock.h. */
#include "dataplane/stock.h"

enum hs_stock_result hs_stock_take_ring(struct hs_attachment *at,
					uint32_t index, struct hs_stock *out)
{
	const struct hs_shm_stock_ring *ring;
	struct hs_shm_stock_tail *mine;
	const uint64_t *words;
	uint64_t tail;

	ring = (const void *)(at->down + at->layout.down_rings +
			      index * at->layout.ring_stride);
	words = (const uint64_t *)(ring + 1);
	mine = (struct hs_shm_stock_tail *)(at->up + at->layout.up_rings) +
	       index;
	/* stock.C1 relaxed: a guess that the exchange below confirms. */
	tail = __atomic_load_n(&mine->tail, __ATOMIC_RELAXED);
	for (;;) {
		uint64_t head, word;

		/* stock.R1 acquire, pairs stock.W1: words before head. */
		head = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE);
		if (head == tail) {
			/* stock.C3 relaxed: a counter. */
			__atomic_fetch_add(&mine->nulls, 1, __ATOMIC_RELAXED);
			return HS_STOCK_EMPTY;
		}
		if (head - tail > at->layout.ring_words) {
			uint64_t again;

			/* stock.C4 relaxed: our tail may be old news. */
			again = __atomic_load_n(&mine->tail, __ATOMIC_RELAXED);
			if (again == tail)
				return HS_STOCK_BAD;
			tail = again;
			continue;
		}
		/* stock.C5 relaxed: ordered by stock.R1 and stock.W2. */
		word = __atomic_load_n(
			&words[tail & (at->layout.ring_words - 1)],
			__ATOMIC_RELAXED);
		/* stock.W2 release, pairs stock.R2: the word is read before
		 * its place is given back to the agent. */
		if (__atomic_compare_exchange_n(&mine->tail, &tail, tail + 1,
						false, __ATOMIC_RELEASE,
						__ATOMIC_RELAXED))
			return hs_stock_check(at, word, out) ? HS_STOCK_GOT
							     : HS_STOCK_BAD;
	}
}

static uint32_t ring_of_thread(struct hs_attachment *at, struct hs_tls *tls)
{
	uint32_t cpu = hs_stock_cpu();

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

bool hs_stock_take(struct hs_attachment *at, struct hs_tls *tls,
		   struct hs_stock *out)
{
	uint32_t nr = at->layout.nr_rings;
	uint32_t first = ring_of_thread(at, tls);
	uint32_t tries = nr < HS_STOCK_TRIES ? nr : HS_STOCK_TRIES;

	for (uint32_t i = 0; i < tries; i++) {
		switch (hs_stock_take_ring(at, (first + i) % nr, out)) {
		case HS_STOCK_GOT:
			return true;
		case HS_STOCK_EMPTY:
			break;
		case HS_STOCK_BAD:
			/* client.C9 relaxed: a flag that only ever rises. */
			__atomic_store_n(&at->bad, 1, __ATOMIC_RELAXED);
			return false;
		}
	}
	return false;
}
