/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the agent's index by itself, for hs-perf index: its table, its
 * entries and its row of seats, by the functions that the core calls, without
 * ledger, fired traces and marks of what is gone. Buffers' chains and crumbs
 * are bench/index.h's, as the peers'.
 *
 * A batch at a time: what it will touch is asked for first, what the next one
 * evicts while this one runs.
 */
#include "bench/index_layer.h"

#include "agent/core_priv.h"

#define BATCH HS_BENCH_INDEX_BATCH

struct layer {
	struct hs_agent_core core; /* its config, for the grace period */
	struct hs_domain d;
	struct hs_bench_index_bare bare; /* its chains and crumbs */
	void *memory;
	size_t size_bytes;
};

struct batch {
	struct hs_bench_index_id ids[BATCH];
	uint64_t hashes[BATCH];
};

/* What a grace period costs with the readers of the bench: there are none. */
static void no_readers(void *ctx)
{
	(void)ctx;
}

static uint32_t power_of_two(uint32_t n)
{
	uint32_t p = 1;

	while (p < n)
		p *= 2;
	return p;
}

static void drop(struct hs_bench_index *index)
{
	struct layer *l = index->state;

	munmap(l->memory, l->size_bytes);
	munmap(l->bare.memory, l->bare.size_bytes);
	free(l);
	index->state = NULL;
}

/* As core.c lays a domain out. */
static struct layer *make(struct hs_bench_index *index)
{
	struct layer *l = calloc(1, sizeof(*l));
	uint32_t nr, nr_buckets, nr_seats;
	uint8_t *p;

	if (!l)
		abort();
	nr = index->nr_live + HS_BENCH_INDEX_SLACK;
	nr_buckets = power_of_two(nr / 8 + 1);
	nr_seats = power_of_two(2 * nr + 64);
	l->size_bytes = (size_t)nr * (sizeof(struct hs_ix_trace) +
				      sizeof(struct hs_ix_more) + 4) +
			nr_buckets * sizeof(struct hs_ix_bucket) +
			(size_t)nr_seats * 4 + 4096;
	l->memory = p = hs_bench_index_memory(l->size_bytes, index->is_huge);
	l->core.config.grace = no_readers;
	l->d.nr_traces = nr;
	l->d.bucket_mask = nr_buckets - 1;
	l->d.seat_mask = nr_seats - 1;
	l->d.traces = (void *)p;
	l->d.buckets = (void *)(p + (size_t)nr * sizeof(struct hs_ix_trace));
	l->d.seats = (void *)(l->d.buckets + nr_buckets);
	l->d.more = (void *)(l->d.seats + nr_seats);
	l->d.traces_free = (void *)(l->d.more + nr);
	hs_ix_table_init(&l->d);
	hs_bench_index_bare_make(&l->bare, index);
	index->state = l;
	index->drop = drop;
	return l;
}

static void batch_id(const struct layer *l, struct batch *b, uint32_t i,
		     struct hs_bench_index_id id)
{
	b->ids[i] = id;
	b->hashes[i] = hs_bench_index_hash(id);
	__builtin_prefetch(&l->d.buckets[b->hashes[i] & l->d.bucket_mask], 1);
}

/* The one @ahead behind the oldest; HS_NIL: an empty seat, or none. */
static uint32_t oldest_ahead(const struct hs_domain *d, uint32_t ahead)
{
	if (d->seat_head - d->seat_tail <= ahead)
		return HS_NIL;
	return d->seats[(d->seat_tail + ahead) & d->seat_mask];
}

static void evict(struct layer *l)
{
	struct hs_domain *d = &l->d;
	uint32_t victims[BATCH];
	struct batch b;

	for (uint32_t i = 0; i < BATCH; i++) {
		uint32_t later = oldest_ahead(d, BATCH + i);
		const struct hs_ix_trace *t;

		if (later != HS_NIL)
			__builtin_prefetch(&d->traces[later], 1);
		victims[i] = oldest_ahead(d, i);
		t = &d->traces[victims[i]];
		batch_id(l, &b, i, (struct hs_bench_index_id){t->hi, t->lo});
	}
	for (uint32_t i = 0; i < BATCH; i++) {
		hs_ix_table_remove(d, b.hashes[i], victims[i]);
		hs_ix_seat_leave(d, victims[i]);
		hs_ix_entry_give(&l->core, d, victims[i]);
	}
}

static void insert(struct hs_bench_index *index, struct layer *l,
		   const struct batch *b, uint32_t i, uint64_t number)
{
	uint32_t k = (uint32_t)(number % l->bare.nr), at;
	struct hs_domain *d = &l->d;

	at = hs_ix_entry_take(&l->core, d);
	if (at == HS_NIL) {
		index->nr_lost++;
		return;
	}
	d->traces[at] = (struct hs_ix_trace){
		.hi = b->ids[i].hi,
		.lo = b->ids[i].lo,
		.first_ns = number,
		.last_ns = number,
		.buf_first = k,
		.buf_last = k,
		.nr_buffers = 1,
		.fired = HS_NIL,
	};
	l->bare.buffers[k] = HS_NIL;
	hs_ix_table_insert(d, b->hashes[i], at);
	hs_ix_seat_take(d, at);
}

/* The crumb comes by the trace's id, as a lane's entry. */
static void crumb(struct hs_bench_index *index, struct layer *l,
		  const struct batch *b, uint32_t i, uint64_t number)
{
	uint32_t k = (uint32_t)(number % l->bare.nr), at;
	struct hs_domain *d = &l->d;
	struct hs_ix_more *more;

	at = hs_ix_own_find(d, b->hashes[i], b->ids[i].hi, b->ids[i].lo);
	if (at == HS_NIL) {
		index->nr_lost++;
		return;
	}
	more = hs_ix_more(d, at);
	l->bare.crumbs[k].node = number;
	l->bare.crumbs[k].next = more->crumb_first;
	more->crumb_first = k;
	more->nr_crumbs++;
	hs_ix_touch(d, at, number);
}

void hs_bench_index_layer_run(void *context, uint32_t n)
{
	struct hs_bench_index *index = context;
	struct layer *l = index->state ? index->state : make(index);

	for (uint32_t done = 0; done < n; done += BATCH) {
		struct batch fresh, any;
		uint32_t guess[BATCH];
		uint64_t first = index->next;

		for (uint32_t i = 0; i < BATCH; i++)
			batch_id(l, &fresh, i, hs_bench_index_id(first + i));
		if (first >= index->nr_live)
			evict(l);
		index->next += BATCH;
		for (uint32_t i = 0; i < BATCH; i++)
			batch_id(l, &any, i,
				 hs_bench_index_any(index, first + i));
		for (uint32_t i = 0; i < BATCH; i++) {
			insert(index, l, &fresh, i, first + i);
			crumb(index, l, &fresh, i, first + i);
		}
		if (index->next <= index->nr_live)
			continue;
		for (uint32_t i = 0; i < BATCH; i++) {
			guess[i] = hs_ix_guess(&l->d, any.hashes[i]);
			if (guess[i] != HS_NIL)
				__builtin_prefetch(&l->d.traces[guess[i]]);
		}
		for (uint32_t i = 0; i < BATCH; i++) {
			uint32_t at = guess[i];

			if (!hs_ix_is(&l->d, at, any.ids[i].hi, any.ids[i].lo))
				at = hs_ix_find_hashed(&l->d, any.hashes[i],
						       any.ids[i].hi,
						       any.ids[i].lo);

			if (at == HS_NIL || !l->d.traces[at].last_ns)
				index->nr_lost++;
		}
	}
}
