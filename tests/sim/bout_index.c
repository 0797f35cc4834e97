/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_index.c - an agent's index with more ids than places: who is there, in
 * which order, and who had to go, with buckets that overflow and readers that
 * are waited for; and the shapes that a pool may have
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core_priv.h"
#include "tests/sim/bout.h"

#define NR_IDS	 160u
#define NR_STEPS 300u
#define NODE	 (7ull << 32 | 3)
#define BOUT	 "bout of the index: "

struct rig {
	struct sim *s;
	struct hs_random r, few; /* the latter: how few are named at once */
	struct hs_agent_config config;
	struct hs_agent_domain_config domain;
	struct hs_agent_core *core;
	struct bout_home home;
	struct hs_wire_trace_id ids[NR_IDS];
	uint64_t first_ns[NR_IDS], last_ns[NR_IDS], order[NR_IDS]; /* 0: none */
	uint64_t now_ns, clock, graces, evicted;
	uint32_t nr;
	/* Marks of what is gone: in which bucket, since when; 0: none. */
	uint32_t bucket[NR_IDS];
	uint64_t marked[NR_IDS], marks, forgotten;
	uint16_t flags[NR_IDS];
};

static enum hs_agent_shipped op_ship(void *ctx,
				     const struct hs_agent_slice *slice)
{
	return HS_AGENT_SHIP_NOT;
}

static const struct hs_agent_ops ops = {bout_no_coordinator, bout_no_node,
					op_ship, NULL};

static void grace(void *ctx)
{
	struct rig *g = ctx;

	g->graces++;
}

static uint32_t oldest(const struct rig *g)
{
	uint32_t best = NR_IDS;

	for (uint32_t i = 0; i < NR_IDS; i++)
		if (g->order[i] &&
		    (best == NR_IDS || g->order[i] < g->order[best]))
			best = i;
	return best;
}

/* The oldest mark of a bucket gives way to one of an id that has none. */
static void gone(struct rig *g, uint32_t id)
{
	uint32_t nr = 0, first = id;

	for (uint32_t i = 0; i < NR_IDS; i++) {
		if (!g->marked[i] || g->bucket[i] != g->bucket[id])
			continue;
		nr++;
		if (first == id || g->marked[i] < g->marked[first])
			first = i;
	}
	if (g->marked[id])
		return;
	if (nr == HS_EVICTED_WAYS) {
		g->marked[first] = 0;
		g->forgotten++;
	}
	g->marked[id] = ++g->marks;
}

/* Some at once, as a lane brings them. */
static void name_some(struct rig *g)
{
	struct hs_shm_entry e[70];
	uint32_t nr = 1 + bout_below(&g->r, 70), used, few = NR_IDS;

	/* Those who sit behind them stay where they are: seats run out. */
	if (hs_random_chance(&g->few, 0.7))
		few = 1 + bout_below(&g->few, 20);
	for (uint32_t k = 0; k < nr; k++) {
		uint32_t i = bout_below(&g->r, NR_IDS) % few;

		e[k] = (struct hs_shm_entry){
			.trace_hi = g->ids[i].hi,
			.trace_lo = g->ids[i].lo,
			.u.arg = NODE,
			.type = HS_SHM_ENTRY_CRUMB,
		};
		if (!g->order[i] && g->nr == g->domain.nr_traces) {
			uint32_t o = oldest(g);

			/* What is looked for comes before what is marked. */
			g->order[o] = 0;
			gone(g, o);
			g->nr--;
			g->evicted++;
		}
		if (!g->order[i]) {
			g->first_ns[i] = g->now_ns;
			g->flags[i] = g->marked[i] ? HS_WIRE_F_EVICTED : 0;
			g->nr++;
		}
		g->order[i] = ++g->clock;
		g->last_ns[i] = g->now_ns;
	}
	used = hs_agent_core_entries(g->core, 2, 1, e, nr, NULL, 0, g->now_ns);
	if (used != nr)
		sim_fail(g->s, BOUT "%u of %u entries are used", used, nr);
}

static void look(struct rig *g)
{
	struct hs_agent_seen seen[NR_IDS];
	struct hs_wire_trace_id out[NR_IDS];
	uint32_t nr = 1 + bout_below(&g->r, NR_IDS), known = 0, found;
	uint64_t last = UINT64_MAX, since;

	for (uint32_t i = 0; i < nr; i++)
		known += g->order[i] != 0;
	found = hs_agent_core_seen(g->core, 2, g->ids, nr, seen);
	if (found != known)
		sim_fail(g->s, BOUT "%u are known, not %u", found, known);
	for (uint32_t i = 0; i < nr; i++)
		if (seen[i].first_ns != (g->order[i] ? g->first_ns[i] : 0) ||
		    seen[i].last_ns != (g->order[i] ? g->last_ns[i] : 0))
			sim_fail(g->s, BOUT "a trace was seen at another time");
	since = g->now_ns - hs_random_below(&g->r, 50);
	known = 0;
	for (uint32_t i = 0; i < NR_IDS; i++)
		known += g->order[i] && g->last_ns[i] >= since;
	found = hs_agent_core_recent(g->core, 2, 0, since, out, NR_IDS);
	if (found != known)
		sim_fail(g->s, BOUT "%u are recent, not %u", found, known);
	for (uint32_t k = 0; k < found; k++)
		for (uint32_t i = 0; i < NR_IDS; i++) {
			if (memcmp(&out[k], &g->ids[i], sizeof(out[k])))
				continue;
			if (!g->order[i] || g->order[i] > last)
				sim_fail(g->s, BOUT "recent ones are out of "
						    "order");
			last = g->order[i];
		}
}

/* What was here of each, by those that are here and by the marks. */
static void check_marks(struct rig *g)
{
	const struct hs_domain *d = &g->core->domains[2];

	for (uint32_t i = 0; i < NR_IDS; i++) {
		uint32_t t = hs_ix_find(d, g->ids[i].hi, g->ids[i].lo);
		uint16_t is = hs_ix_was_here(d, g->ids[i].hi, g->ids[i].lo);

		if (is != (g->marked[i] ? HS_WIRE_F_EVICTED : 0))
			sim_fail(g->s, BOUT "a mark of what is gone");
		if (t != HS_NIL && d->traces[t].flags != g->flags[i])
			sim_fail(g->s, BOUT "what was gone of a trace");
	}
}

static void check(struct rig *g)
{
	struct hs_agent_domain_stats d;
	struct hs_agent_stats st;
	const char *why = "";
	uint32_t o = oldest(g);

	if (!hs_agent_core_check(g->core, &why))
		sim_fail(g->s, BOUT "it does not add up: %s", why);
	hs_agent_core_stats_get(g->core, &st);
	hs_agent_core_domain_stats_get(g->core, 2, g->now_ns, &d);
	if (st.gone_forgotten != g->forgotten)
		sim_fail(g->s, BOUT "%llu marks are forgotten, not %llu",
			 (unsigned long long)st.gone_forgotten,
			 (unsigned long long)g->forgotten);
	check_marks(g);
	if (st.traces_evicted != g->evicted || d.traces != g->nr)
		sim_fail(g->s, BOUT "%llu are evicted and %llu there",
			 (unsigned long long)st.traces_evicted,
			 (unsigned long long)d.traces);
	if (o < NR_IDS && d.horizon_ns != g->now_ns - g->first_ns[o])
		sim_fail(g->s, BOUT "another horizon");
	if (!g->config.grace != !g->graces && g->evicted > g->domain.nr_traces)
		sim_fail(g->s, BOUT "readers are not waited for");
}

static void draw(struct rig *g)
{
	g->config = (struct hs_agent_config){
		.node_id = NODE,
		.index_seed = hs_random_u64(&g->r),
		.scratch = g->s->scratch,
		.nr_groups = 4,
		.nr_fired = 4,
		.grace = hs_random_chance(&g->r, 0.5) ? grace : NULL,
	};
	/* 63 of 80 places: some buckets are full. */
	g->domain = (struct hs_agent_domain_config){
		.nr_buffers = 8,
		.buffer_bytes = 256,
		.nr_crumbs = 8,
		.nr_traces = hs_random_chance(&g->r, 0.7)
				     ? 63
				     : 1 + bout_below(&g->r, 100),
	};
	for (uint32_t i = 0; i < NR_IDS; i++)
		g->ids[i] = (struct hs_wire_trace_id){hs_random_u64(&g->r) | 1,
						      hs_random_u64(&g->r)};
}

static uint32_t bucket_of(const struct rig *g,
			  const struct hs_wire_trace_id *id)
{
	const struct hs_domain *d = &g->core->domains[2];
	uint64_t hash = hs_ix_hash(d, id->hi, id->lo);

	return (uint32_t)(hs_ix_gone_bucket(d, hash) - d->evicted);
}

/* In some bouts more ids have one bucket for their marks than it has room. */
static void marks_meet(struct rig *g)
{
	uint32_t nr = g->s->p.seed % 4 == 1 ? 14 : 0;
	struct hs_wire_trace_id id = {5, 0};

	for (uint32_t i = 1; i < nr; i++) {
		do
			id.lo++;
		while (bucket_of(g, &id) != bucket_of(g, &g->ids[0]));
		g->ids[i] = id;
	}
	for (uint32_t i = 0; i < NR_IDS; i++)
		g->bucket[i] = bucket_of(g, &g->ids[i]);
}

void bout_index(struct sim *s, uint64_t seed)
{
	struct rig *g = sim_zalloc(1, sizeof(*g));

	g->s = s;
	g->now_ns = SIM_S;
	hs_random_seed(&g->r, seed ^ 0x1d1ull);
	hs_random_seed(&g->few, seed ^ 0xfe3ull);
	draw(g);
	g->home = (struct bout_home){
		.config = &g->config, .domain = &g->domain, .id = 2, .off = 1};
	if (!bout_core_begin(&g->home, &g->core, &ops, g, g->now_ns))
		sim_fail(s, BOUT "it does not begin");
	else
		marks_meet(g);
	for (uint32_t i = 0; i < NR_STEPS / 4 && !s->failed; i++) {
		g->now_ns += hs_random_below(&g->r, 20);
		name_some(g);
		look(g);
		check(g);
		sim_mix(s, g->evicted);
	}
	bout_core_end(&g->home);
	bout_ledgers_free(&g->home);
	free(g);
}

/* ---- shapes ---------------------------------------------------------------
 */

static const struct shape {
	bool good;
	uint32_t nr_buffers, bytes, nr_classes, factor, chunk, nr_nodes;
} shapes[] = {
	{true, 1, 256, 0, 0, 0, 0},	  {true, 64, 256, 3, 4, 16, 0},
	{true, 64, 256, 3, 2, 4, 0},	  {true, 64, 256, 2, 16, 16, 0},
	{true, 64, 512, 1, 0, 8, 2},	  {true, 128, 256, 1, 0, 8, 16},
	{true, 128, 256, 8, 2, 128, 0},	  {true, 16, 256, 3, 4, 16, 0},
	{true, 8, 1u << 27, 1, 0, 8, 0},  {false, 0, 256, 0, 0, 0, 0},
	{false, 64, 128, 0, 0, 0, 0},	  {false, 64, 300, 0, 0, 0, 0},
	{false, 64, 384, 0, 0, 0, 0},	  {false, 64, 256, 9, 2, 1024, 0},
	{false, 64, 256, 2, 1, 16, 0},	  {false, 64, 256, 2, 3, 16, 0},
	{false, 64, 256, 2, 32, 64, 0},	  {false, 64, 256, 3, 4, 8, 0},
	{false, 64, 256, 3, 4, 12, 0},	  {false, 15, 256, 3, 4, 16, 0},
	{false, 8, 1u << 27, 2, 2, 8, 0}, {false, 64, 256, 1, 0, 8, 17},
	{false, 60, 256, 1, 0, 8, 2},
};

static void shape(struct sim *s, struct hs_agent_core *core,
		  const struct shape *w)
{
	struct hs_agent_domain_config c = {
		.nr_buffers = w->nr_buffers,
		.buffer_bytes = w->bytes,
		.nr_crumbs = 4,
		.nr_traces = 4,
		.nr_classes = w->nr_classes,
		.class_factor = w->factor,
		.chunk_units = w->chunk,
		.nr_nodes = w->nr_nodes,
	};
	void *memory = NULL, *ledger = NULL;
	const char *why = "";
	int rc;

	if (w->good) {
		memory = sim_zalloc(1, hs_agent_domain_size_bytes(&c));
		ledger = sim_zalloc(1, hs_agent_domain_ledger_bytes(&c));
	}
	rc = hs_agent_core_domain_add(core, 5, memory, ledger, &c, 1);
	if (rc != (w->good ? 0 : -EINVAL))
		sim_fail(s,
			 BOUT "a pool of %u times %u, %u classes of %u, "
			      "chunks of %u, %u nodes comes to %d",
			 c.nr_buffers, c.buffer_bytes, c.nr_classes,
			 c.class_factor, c.chunk_units, c.nr_nodes, rc);
	if (w->good && !hs_agent_core_check(core, &why))
		sim_fail(s, BOUT "a pool does not add up: %s", why);
	/* The next one takes its place. */
	core->domains[5].live = false;
	core->nr_domains = 0;
	free(memory);
	free(ledger);
}

void bout_shapes(struct sim *s)
{
	const struct hs_agent_config config = {
		.node_id = NODE,
		.scratch = s->scratch,
		.nr_groups = 1,
		.nr_fired = 2,
	};
	void *memory = sim_zalloc(1, hs_agent_core_size_bytes(&config));
	void *ledger = sim_zalloc(1, hs_agent_node_ledger_bytes(&config));
	struct hs_agent_core *core =
		hs_agent_core_create(memory, ledger, &config, &ops, NULL, 1, 0);

	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		shape(s, core, &shapes[i]);
	free(memory);
	free(ledger);
}
