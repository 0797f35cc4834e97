/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: a peer of hs-perf index: DPDK's rte_hash for lock-free readers,
 * looked up in bulk. Adding and deleting have no bulk form, so a bulk lookup
 * of the same keys goes before them to bring their buckets in, where the
 * variant prefetches.
 */
#include <string.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_hash.h>

#include "bench/bench.h"
#include "bench/index.h"

#define BATCH HS_BENCH_INDEX_BATCH

struct state {
	struct hs_bench_index_bare bare;
	struct rte_hash *table;
	int32_t freed[HS_BENCH_INDEX_SLACK];
	uint32_t nr_freed;
};

struct batch {
	struct hs_bench_index_id ids[BATCH];
	const void *keys[BATCH];
	hash_sig_t hashes[BATCH];
	void *data[BATCH];
};

static uint32_t hash_of(const void *key, uint32_t len, uint32_t seed)
{
	(void)len;
	(void)seed;
	return (uint32_t)hs_bench_index_hash(
		*(const struct hs_bench_index_id *)key);
}

static void drop(struct hs_bench_index *index)
{
	struct state *s = index->state;

	rte_hash_free(s->table);
	munmap(s->bare.memory, s->bare.size_bytes);
	free(s);
	index->state = NULL;
}

static void make(struct hs_bench_index *index)
{
	struct state *s = calloc(1, sizeof(*s));
	struct rte_hash_parameters p = {
		.name = "hs_bench_index",
		/* As ours: a half more than are live. */
		.entries = index->nr_live + index->nr_live / 2 +
			   2 * HS_BENCH_INDEX_SLACK,
		.key_len = sizeof(struct hs_bench_index_id),
		.hash_func = hash_of,
		.socket_id = 0,
		.extra_flag = RTE_HASH_EXTRA_FLAGS_RW_CONCURRENCY_LF,
	};

	if (!s)
		abort();
	hs_bench_index_bare_make(&s->bare, index);
	s->table = rte_hash_create(&p);
	if (!s->table) {
		fprintf(stderr, "hs-perf: rte_hash: %s\n",
			rte_strerror(rte_errno));
		abort();
	}
	index->state = s;
	index->drop = drop;
}

static void batch_key(struct batch *b, uint32_t i, struct hs_bench_index_id id)
{
	b->ids[i] = id;
	b->keys[i] = &b->ids[i];
	b->hashes[i] = (hash_sig_t)hs_bench_index_hash(id);
}

static uint64_t look_up(const struct state *s, struct batch *b)
{
	uint64_t hits = 0;

	rte_hash_lookup_with_hash_bulk_data(s->table, b->keys, b->hashes, BATCH,
					    &hits, b->data);
	return hits;
}

static void evict(struct hs_bench_index *index, struct state *s, uint64_t first)
{
	struct batch b;

	for (uint32_t i = 0; i < BATCH; i++) {
		struct hs_bench_index_entry *e =
			hs_bench_index_bare_oldest(&s->bare, first + i);

		batch_key(&b, i, (struct hs_bench_index_id){e->hi, e->lo});
		__builtin_prefetch(
			hs_bench_index_bare_at(&s->bare, first + BATCH + i));
	}
	if (index->prefetches)
		look_up(s, &b);
	for (uint32_t i = 0; i < BATCH; i++) {
		int32_t at = rte_hash_del_key_with_hash(s->table, b.keys[i],
							b.hashes[i]);

		if (at < 0)
			index->nr_lost++;
		else
			s->freed[s->nr_freed++] = at;
	}
	if (s->nr_freed < HS_BENCH_INDEX_SLACK / 2)
		return;
	/* Here the writer would wait for a grace period. */
	while (s->nr_freed)
		rte_hash_free_key_with_position(s->table,
						s->freed[--s->nr_freed]);
}

static void cycles(struct hs_bench_index *index, struct state *s)
{
	uint64_t first = index->next;
	struct batch b;
	uint64_t hits;

	if (first >= index->nr_live)
		evict(index, s, first - index->nr_live);
	for (uint32_t i = 0; i < BATCH; i++) {
		batch_key(&b, i, hs_bench_index_id(first + i));
		__builtin_prefetch(hs_bench_index_bare_at(&s->bare, first + i),
				   1);
	}
	if (index->prefetches)
		look_up(s, &b);
	for (uint32_t i = 0; i < BATCH; i++) {
		hs_bench_index_bare_fill(&s->bare, first + i, b.ids[i]);
		if (rte_hash_add_key_with_hash_data(
			    s->table, b.keys[i], b.hashes[i],
			    hs_bench_index_bare_at(&s->bare, first + i)))
			index->nr_lost++;
	}
	hits = look_up(s, &b);
	for (uint32_t i = 0; i < BATCH; i++)
		if (hits >> i & 1)
			hs_bench_index_bare_crumb(&s->bare, b.data[i],
						  first + i);
	index->next = first + BATCH;
	if (index->next <= index->nr_live)
		return;
	for (uint32_t i = 0; i < BATCH; i++)
		batch_key(&b, i, hs_bench_index_any(index, first + i));
	hits = look_up(s, &b);
	for (uint32_t i = 0; i < BATCH; i++)
		if (hits >> i & 1)
			__builtin_prefetch(b.data[i]);
	for (uint32_t i = 0; i < BATCH; i++)
		if (!(hits >> i & 1) ||
		    !((struct hs_bench_index_entry *)b.data[i])->last_ns)
			index->nr_lost++;
}

static void run(void *data, uint32_t n)
{
	struct hs_bench_index *index = data;

	if (!index->state)
		make(index);
	for (uint32_t i = 0; i < n; i += BATCH)
		cycles(index, index->state);
}

static int start(int cpu)
{
	char cores[16];
	char *argv[] = {"hs-perf",
			"--no-huge",
			"--no-shconf",
			"--no-pci",
			"--no-telemetry",
			"--log-level=1",
			"-m",
			"1536",
			"-l",
			cores,
			NULL};

	snprintf(cores, sizeof(cores), "%d", cpu);
	return rte_eal_init((int)(sizeof(argv) / sizeof(argv[0])) - 1, argv) < 0
		       ? -1
		       : 0;
}

static void stop(void)
{
	rte_eal_cleanup();
}

__attribute__((visibility("default")))
const struct hs_bench_peer hs_bench_peer = {
	.name = "rte_hash",
	.start = start,
	.run = run,
	.stop = stop,
};
