/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: a peer of hs-perf index: liburcu's rculfhash, QSBR flavour, with as
 * many buckets as traces. Its buckets cannot be asked for ahead, its nodes
 * (our entries) can: that is the prefetched variant. Entries go round after a
 * grace period for half of the spare ones.
 */
#include <urcu-qsbr.h>

#include <urcu/rculfhash.h>

#include "bench/bench.h"
#include "bench/index.h"

#define AHEAD 8u

struct state {
	struct hs_bench_index_bare bare;
	struct cds_lfht *table;
};

static int match(struct cds_lfht_node *node, const void *key)
{
	const struct hs_bench_index_entry *e = (const void *)node;
	const struct hs_bench_index_id *id = key;

	return e->hi == id->hi && e->lo == id->lo;
}

static struct hs_bench_index_entry *find(struct state *s,
					 struct hs_bench_index_id id)
{
	struct cds_lfht_iter iter;

	cds_lfht_lookup(s->table, hs_bench_index_hash(id), match, &id, &iter);
	return (void *)cds_lfht_iter_get_node(&iter);
}

static void drop(struct hs_bench_index *index)
{
	struct state *s = index->state;

	for (uint64_t k = 0; k < index->nr_live && k < index->next; k++)
		cds_lfht_del(s->table, (void *)hs_bench_index_bare_at(
					       &s->bare, index->next - 1 - k));
	urcu_qsbr_synchronize_rcu();
	cds_lfht_destroy(s->table, NULL);
	munmap(s->bare.memory, s->bare.size_bytes);
	free(s);
	index->state = NULL;
}

static void make(struct hs_bench_index *index)
{
	struct state *s = calloc(1, sizeof(*s));
	unsigned long nr = 1;

	if (!s)
		abort();
	while (nr < index->nr_live)
		nr *= 2;
	hs_bench_index_bare_make(&s->bare, index);
	s->table = cds_lfht_new_flavor(nr, nr, nr, 0, &urcu_qsbr_flavor, NULL);
	if (!s->table)
		abort();
	index->state = s;
	index->drop = drop;
}

static void cycle(struct hs_bench_index *index, struct state *s)
{
	uint64_t number = index->next++;
	struct hs_bench_index_id id = hs_bench_index_id(number);
	struct hs_bench_index_entry *e;

	if (number >= index->nr_live) {
		e = hs_bench_index_bare_oldest(&s->bare,
					       number - index->nr_live);
		if (cds_lfht_del(s->table, (void *)e))
			index->nr_lost++;
	}
	hs_bench_index_bare_fill(&s->bare, number, id);
	e = hs_bench_index_bare_at(&s->bare, number);
	cds_lfht_node_init((void *)e);
	if (cds_lfht_add_unique(s->table, hs_bench_index_hash(id), match, &id,
				(void *)e) != (void *)e)
		index->nr_lost++;
	e = find(s, id);
	if (e)
		hs_bench_index_bare_crumb(&s->bare, e, number);
	if (index->next <= index->nr_live)
		return;
	e = find(s, hs_bench_index_any(index, number));
	if (!e || !e->last_ns)
		index->nr_lost++;
}

static void ahead(struct hs_bench_index *index, struct state *s)
{
	uint64_t number = index->next + AHEAD;

	__builtin_prefetch(hs_bench_index_bare_at(&s->bare, number), 1);
	__builtin_prefetch(&s->bare.buffers[number % s->bare.nr], 1);
	__builtin_prefetch(&s->bare.crumbs[number % s->bare.nr], 1);
	if (number >= index->nr_live)
		__builtin_prefetch(hs_bench_index_bare_at(
					   &s->bare, number - index->nr_live),
				   1);
}

static void run(void *data, uint32_t n)
{
	struct hs_bench_index *index = data;

	if (!index->state)
		make(index);
	for (uint32_t i = 0; i < n; i++) {
		if (index->prefetches)
			ahead(index, index->state);
		cycle(index, index->state);
		if (index->next % (HS_BENCH_INDEX_SLACK / 2) == 0)
			urcu_qsbr_synchronize_rcu();
	}
}

static int start(int cpu)
{
	(void)cpu;
	urcu_qsbr_register_thread();
	return 0;
}

static void stop(void)
{
	urcu_qsbr_unregister_thread();
}

__attribute__((visibility("default")))
const struct hs_bench_peer hs_bench_peer = {
	.name = "rculfhash",
	.start = start,
	.run = run,
	.stop = stop,
};
