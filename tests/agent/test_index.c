/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_index.c - the trace index: its order against a model, a table as full
 * as it gets, and readers that look traces up while the writer changes it
 */
#include "agent/readers.h"
#include "tests/agent/core_world.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#define NR_KEYS	   1500u
#define NR_READERS 2u
#define NR_STAY	   64u
#define READ_STEPS 20000u

static struct world *make_index(uint32_t nr_buffers, uint32_t nr_traces,
				void (*grace)(void *))
{
	struct world *w = calloc(1, sizeof(*w));

	w->config = (struct hs_agent_config){
		.node_id = NODE,
		.index_seed = 99,
		.nr_groups = 16,
		.nr_fired = 128,
		.grace = grace,
	};
	w->domain =
		(struct hs_agent_domain_config){.nr_buffers = nr_buffers,
						.buffer_bytes = BUFFER_BYTES,
						.nr_traces = nr_traces};
	w->ledger = calloc(1, hs_agent_node_ledger_bytes(&w->config));
	w->domain_ledger = calloc(1, hs_agent_domain_ledger_bytes(&w->domain));
	w->now_ns = 1000000000ull;
	start(w);
	return w;
}

/* An END without a buffer: the trace is seen, no more. */
static struct hs_shm_entry seen(uint64_t lo)
{
	struct hs_shm_entry e = {.trace_lo = lo, .type = HS_SHM_ENTRY_END};

	e.u.buffer.ref = HS_SHM_NO_BUFFER;
	return e;
}

static void see(struct world *w, uint64_t lo)
{
	struct hs_shm_entry e = seen(lo);

	w->now_ns++;
	assert_int_equal(
		hs_agent_core_entries(w->core, 0, 1, &e, 1, NULL, 0, w->now_ns),
		1);
}

static bool knows(const struct world *w, uint64_t lo, struct hs_agent_seen *out)
{
	/* A pair, for the batch: the first is never there. */
	struct hs_wire_trace_id ids[2] = {{1, lo}, {0, lo}};
	struct hs_agent_seen both[2];
	uint32_t nr = hs_agent_core_seen(w->core, 0, ids, 2, both);

	*out = both[1];
	return nr == 1 && !both[0].first_ns && both[1].first_ns;
}

/*
 * The table holds all that its pool has, buckets overflow, and who goes is
 * always the one that the model saw longest ago.
 */
static void least_recently_seen_goes_first(void **state)
{
	/* 1015 entries in 128 buckets: eight of ten slots. */
	struct world *w = make_index(64, 1015, NULL);
	static uint64_t last[NR_KEYS + 1];
	struct hs_random rng;
	struct hs_agent_stats stats;
	uint64_t evicted = 0;

	(void)state;
	memset(last, 0, sizeof(last));
	hs_random_seed(&rng, 4);
	for (uint32_t step = 0; step < 60000; step++) {
		/* Mostly among few, so that many seats are left empty. */
		uint64_t range = step % 3000 < 2000 ? 700 : NR_KEYS;
		uint64_t lo = 1 + hs_random_below(&rng, range);
		uint64_t oldest = 0;

		for (uint64_t k = 1; k <= NR_KEYS; k++)
			if (last[k] && (!oldest || last[k] < last[oldest]))
				oldest = k;
		see(w, lo);
		hs_agent_core_stats_get(w->core, &stats);
		if (stats.traces_evicted != evicted) {
			assert_int_equal(stats.traces_evicted, evicted + 1);
			assert_false(
				knows(w, oldest, &(struct hs_agent_seen){0}));
			last[oldest] = 0;
			evicted++;
		}
		last[lo] = w->now_ns;
		if (step % 1000 == 0)
			check(w);
	}
	assert_true(evicted > 1000);
	for (uint64_t k = 1; k <= NR_KEYS; k++) {
		struct hs_agent_seen s;

		assert_int_equal(knows(w, k, &s), last[k] != 0);
		if (last[k])
			assert_int_equal(s.last_ns, last[k]);
	}
	check(w);
	destroy(w);
}

/* ---- readers --------------------------------------------------------------
 */

/* Userspace RCU in its simplest form: a counter a reader, odd inside. */
static _Atomic uint64_t sections[NR_READERS];
static _Atomic bool stop;
static atomic_uint_fast64_t graces;

static void wait_for_readers(void *ctx)
{
	(void)ctx;
	atomic_fetch_add(&graces, 1);
	for (uint32_t i = 0; i < NR_READERS; i++) {
		uint64_t now = atomic_fetch_add(&sections[i], 0);

		while (now % 2 && atomic_load(&sections[i]) == now)
			sched_yield();
	}
}

struct reader {
	pthread_t thread;
	struct world *w;
	uint32_t number;
	bool by_build; /* the readers of this build, not those above */
	uint64_t missed, wrong, found;
};

static bool look(struct reader *r, uint64_t lo, struct hs_agent_seen *s)
{
	struct hs_wire_trace_id id = {0, lo};
	bool found;

	if (r->by_build)
		return hs_readers_seen(r->w->core, 0, &id, 1, s);
	atomic_fetch_add(&sections[r->number], 1);
	found = knows(r->w, lo, s);
	atomic_fetch_add(&sections[r->number], 1);
	return found;
}

static void *read_all(void *arg)
{
	struct reader *r = arg;
	struct hs_random rng;

	hs_random_seed(&rng, r->number + 1);
	while (!atomic_load(&stop)) {
		struct hs_agent_seen s;
		uint64_t lo = 1 + hs_random_below(&rng, 4000);
		bool found = look(r, lo, &s);

		/* Those that are pinned are always there. */
		r->missed += lo <= NR_STAY && !found;
		r->wrong += found && s.first_ns > s.last_ns;
		r->found += found;
	}
	return NULL;
}

static void miss_nothing(struct world *w, bool by_build)
{
	struct reader readers[NR_READERS] = {0};
	struct hs_random rng;

	atomic_store(&stop, false);
	for (uint64_t lo = 1; lo <= NR_STAY; lo++) {
		see(w, lo);
		collect(w, lo, lo);
	}
	for (uint32_t i = 0; i < NR_READERS; i++) {
		readers[i].w = w;
		readers[i].number = i;
		readers[i].by_build = by_build;
		assert_int_equal(pthread_create(&readers[i].thread, NULL,
						read_all, &readers[i]),
				 0);
	}
	hs_random_seed(&rng, 7);
	for (uint32_t step = 0; step < READ_STEPS; step++)
		see(w, 1 + hs_random_below(&rng, 4000));
	atomic_store(&stop, true);
	for (uint32_t i = 0; i < NR_READERS; i++) {
		pthread_join(readers[i].thread, NULL);
		assert_int_equal(readers[i].missed, 0);
		assert_int_equal(readers[i].wrong, 0);
	}
	check(w);
	destroy(w);
}

static void readers_miss_nothing_that_stays(void **state)
{
	(void)state;
	miss_nothing(make_index(64, 503, wait_for_readers), false);
	assert_true(atomic_load(&graces) > 0);
}

/* The same with what the daemon does. */
static void the_daemon_s_readers_neither(void **state)
{
	(void)state;
	if (!hs_readers_apart())
		skip();
	miss_nothing(make_index(64, 503, hs_readers_grace()), true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(least_recently_seen_goes_first),
		cmocka_unit_test(readers_miss_nothing_that_stays),
		cmocka_unit_test(the_daemon_s_readers_neither),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
