/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_limits.c - an agent's core at the limits that its code has, not its
 * configuration: so many in a tick, so long at least, and what is meant by 0
 *
 * Nothing is drawn here: one seed of eight counts up to each limit.
 */
#include "tests/sim/bout.h"

#include <errno.h>
#include <string.h>

#include "agent/core_priv.h"

#define NODE   (7ull << 32 | 3)
#define BOUT   "bout of limits: "
#define A_TICK 256u /* traces that ship, or give way, or are forgotten */

struct rig {
	struct sim *s;
	struct hs_agent_config config;
	struct hs_agent_domain_config domain;
	struct hs_agent_core *core;
	struct bout_home home;
	uint32_t process;
	uint64_t now_ns, shipped, said;
	struct hs_wire_answer answer; /* the last one */
	enum hs_agent_shipped port;
	struct {
		struct hs_wire_group head;
		struct hs_wire_trace_id ids[HS_WIRE_TRACES_MAX];
	} collect;
};

static void differs(struct rig *g, const char *what, uint64_t is,
		    uint64_t should)
{
	if (is != should)
		sim_fail(g->s, BOUT "%s: %llu instead of %llu", what,
			 (unsigned long long)is, (unsigned long long)should);
}

static uint64_t op_coordinator(void *ctx,
			       const struct hs_wire_trace_id *primary,
			       uint32_t attempt, uint16_t type,
			       const void *payload, uint32_t bytes)
{
	struct rig *g = ctx;

	g->said++;
	return 100ull << 32 | 1;
}

static bool op_node(void *ctx, uint64_t node, uint16_t type,
		    const void *payload, uint32_t bytes)
{
	struct rig *g = ctx;

	g->said++;
	memcpy(&g->answer, (const struct hs_wire_group *)payload + 1,
	       sizeof(g->answer));
	return true;
}

static enum hs_agent_shipped op_ship(void *ctx,
				     const struct hs_agent_slice *slice)
{
	struct rig *g = ctx;

	g->shipped++;
	return g->port;
}

static const struct hs_agent_ops ops = {op_coordinator, op_node, op_ship, NULL};

static void begin(struct rig *g, uint32_t nr_fired, uint32_t nr_buffers)
{
	g->now_ns = 1000 * SIM_S;
	g->shipped = g->said = 0;
	g->port = HS_AGENT_SHIP_NOT;
	g->config = (struct hs_agent_config){
		.node_id = NODE,
		.index_seed = 77,
		.scratch = g->s->scratch,
		.nr_groups = 63,
		.nr_fired = nr_fired,
		.nr_pending = 4096,
		.evict_percent = 100,
		.window_bytes = 1u << 30,
		.remember_ns = 20 * SIM_S,
	};
	g->domain = (struct hs_agent_domain_config){
		.nr_buffers = nr_buffers,
		.buffer_bytes = 256,
		.nr_crumbs = 128,
		.nr_traces = 2 * nr_fired,
	};
	g->home = (struct bout_home){
		.config = &g->config, .domain = &g->domain, .id = 0, .off = 1};
	if (!bout_core_begin(&g->home, &g->core, &ops, g, g->now_ns))
		sim_fail(g->s, BOUT "it does not begin");
	g->process = hs_agent_core_process_new(g->core);
}

static void end(struct rig *g)
{
	bout_core_end(&g->home);
	bout_ledgers_free(&g->home);
}

static void tick_at(struct rig *g, uint64_t now_ns)
{
	g->now_ns = now_ns;
	hs_agent_core_tick(g->core, now_ns);
}

static void round_at(struct rig *g, uint64_t now_ns)
{
	g->now_ns = now_ns;
	hs_agent_core_begin_scan(g->core, now_ns);
	hs_agent_core_end_scan(g->core);
	tick_at(g, now_ns);
}

static uint64_t nr_fired(const struct rig *g)
{
	struct hs_agent_queue_stats q;

	hs_agent_core_queue_stats_get(g->core, &q);
	return q.fired;
}

static uint64_t nr_changed(const struct rig *g)
{
	struct hs_agent_queue_stats q;

	hs_agent_core_queue_stats_get(g->core, &q);
	return q.changed;
}

/* A coordinator asks for traces 1 to @nr; @each: every one is its own group. */
static void collects(struct rig *g, uint32_t nr, bool each)
{
	uint32_t at_once = each ? 1 : HS_WIRE_TRACES_MAX;
	struct hs_wire_trigger *t = &g->collect.head.trigger;

	for (uint32_t i = 0; i < nr; i += at_once) {
		uint32_t n = nr - i < at_once ? nr - i : at_once;

		memset(&g->collect.head, 0, sizeof(g->collect.head));
		t->origin = 9ull << 32 | 1;
		t->key = 1 + i;
		t->primary.lo = each ? 1 + i : 1;
		t->priority = 5 + i;
		strcpy(t->name, "slow");
		g->collect.head.nr = n;
		for (uint32_t k = 0; k < n; k++)
			g->collect.ids[k] =
				(struct hs_wire_trace_id){0, 1 + i + k};
		hs_agent_core_message(g->core, 100ull << 32 | 1,
				      HS_WIRE_COLLECT, &g->collect,
				      (uint32_t)(sizeof(g->collect.head) +
						 n * sizeof(g->collect.ids[0])),
				      g->now_ns);
	}
	differs(g, "traces that fired", nr_fired(g), nr);
}

/* Traces 1 to @nr have a buffer each. */
static void publishes(struct rig *g, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++) {
		uint64_t word = hs_agent_core_stock(g->core, 0, g->process);
		struct hs_shm_entry e = {
			.trace_lo = 1 + i,
			.type = HS_SHM_ENTRY_END,
			.handle = 1 + i,
			.u.buffer.ref = hs_shm_stock_ref(word),
			.u.buffer.committed = 100,
		};

		if (!word)
			sim_fail(g->s, BOUT "no buffer, with room enough");
		hs_agent_core_entries(g->core, 0, g->process, &e, 1, NULL, 0,
				      g->now_ns);
	}
}

/* ---- so many in a tick ----------------------------------------------------
 */

static void ships(struct rig *g)
{
	begin(g, 1200, 2000);
	publishes(g, 600);
	collects(g, 600, true);
	g->port = HS_AGENT_SHIP_COPIED;
	tick_at(g, g->now_ns);
	differs(g, "traces shipped in a tick", g->shipped, A_TICK);
	tick_at(g, g->now_ns);
	tick_at(g, g->now_ns);
	differs(g, "traces shipped in three", g->shipped, 600);
	end(g);
}

/* Half of the domain, or seven eighths of the table, is what may be held. */
static void gives_up(struct rig *g, uint32_t nr, uint32_t nr_buffers,
		     uint32_t of, uint32_t stay)
{
	struct hs_agent_stats st;
	uint32_t gone = nr - stay, first = gone < A_TICK ? gone : A_TICK;

	begin(g, of, nr_buffers);
	publishes(g, nr);
	collects(g, nr, true);
	tick_at(g, g->now_ns + 50 * SIM_MS);
	hs_agent_core_stats_get(g->core, &st);
	differs(g, "traces given up in a tick", st.traces_abandoned, first);
	tick_at(g, g->now_ns);
	hs_agent_core_stats_get(g->core, &st);
	differs(g, "traces given up in two", st.traces_abandoned, gone);
	end(g);
}

/* The table is half full, and looked through in four parts, over and over. */
static void forgets(struct rig *g)
{
	begin(g, 4 * A_TICK, 8);
	collects(g, 2 * A_TICK, false);
	round_at(g, g->now_ns + 100);
	tick_at(g, g->now_ns + 20 * SIM_S / 1024 * 1024 - 1);
	differs(g, "traces remembered", nr_fired(g), 2 * A_TICK);
	tick_at(g, g->now_ns + SIM_MS);
	tick_at(g, g->now_ns + SIM_MS);
	differs(g, "traces of the third and fourth part", nr_fired(g),
		2 * A_TICK);
	tick_at(g, g->now_ns + SIM_MS);
	differs(g, "traces left after the first", nr_fired(g), A_TICK);
	tick_at(g, g->now_ns + SIM_MS - 1);
	differs(g, "traces left a moment later", nr_fired(g), A_TICK);
	tick_at(g, g->now_ns + 1);
	differs(g, "traces left after the second", nr_fired(g), 0);
	end(g);
}

/* What a loss may have hit is looked at: so many after a scan, or a part. */
static void says(struct rig *g, uint32_t nr, uint32_t a_scan)
{
	begin(g, 12000, 8);
	collects(g, nr, false);
	round_at(g, g->now_ns + SIM_MS);
	differs(g, "questions answered", g->said,
		(nr + HS_WIRE_TRACES_MAX - 1) / HS_WIRE_TRACES_MAX);
	hs_agent_core_loss(g->core, 0, g->process, g->now_ns, g->now_ns);
	tick_at(g, g->now_ns);
	differs(g, "answers that may have changed", nr_changed(g), nr);
	round_at(g, g->now_ns);
	differs(g, "of them left after a scan", nr_changed(g), nr - a_scan);
	while (nr_changed(g) && !g->s->failed)
		round_at(g, g->now_ns);
	/* Not again before ten milliseconds are over. */
	hs_agent_core_loss(g->core, 0, g->process, g->now_ns, g->now_ns);
	tick_at(g, g->now_ns + 10 * SIM_MS - 1);
	differs(g, "looked at too early", nr_changed(g), 0);
	tick_at(g, g->now_ns + 1);
	differs(g, "looked at again", nr_changed(g), nr);
	end(g);
}

/* A successor says all again, in no hurry: a part, and a pause. */
static void says_again(struct rig *g, uint32_t nr)
{
	begin(g, 1200, 8);
	collects(g, nr, false);
	round_at(g, g->now_ns + SIM_MS);
	bout_core_end(&g->home);
	if (!bout_core_begin(&g->home, &g->core, &ops, g, g->now_ns))
		sim_fail(g->s, BOUT "no successor begins");
	g->said = 0;
	round_at(g, g->now_ns);
	differs(g, "said again at once", g->said, 32);
	differs(g, "what is to be said again", nr_changed(g), nr - 32);
	round_at(g, g->now_ns + SIM_MS - 1);
	differs(g, "said again before the pause is over", g->said, 32);
	round_at(g, g->now_ns + 1);
	differs(g, "said again after it", g->said, 64);
	while (nr_changed(g) && !g->s->failed)
		round_at(g, g->now_ns + SIM_MS);
	differs(g, "said again in all", g->said, nr);
	end(g);
}

/* As many crumbs are told of a trace as may be, of all domains together. */
static void crumbs(struct rig *g, uint32_t here, uint32_t there)
{
	struct hs_agent_domain_config c = {
		.nr_buffers = 8,
		.buffer_bytes = 256,
		.nr_crumbs = HS_WIRE_CRUMBS_MAX,
	};
	uint32_t most = here + there;
	void *memory = bout_alloc(hs_agent_domain_size_bytes(&c), 1);
	void *ledger = bout_alloc(hs_agent_domain_ledger_bytes(&c), 0);

	begin(g, 8, 1024);
	hs_agent_core_domain_add(g->core, 5, memory, ledger, &c, g->now_ns);
	for (uint32_t i = 0; i < most; i++) {
		struct hs_shm_entry e = {
			.trace_lo = 1,
			.type = HS_SHM_ENTRY_CRUMB,
			.u.arg = (20ull + i) << 32 | 1,
		};

		hs_agent_core_entries(g->core, i < here ? 0 : 5, g->process, &e,
				      1, NULL, 0, g->now_ns);
	}
	collects(g, 1, false);
	round_at(g, g->now_ns + SIM_MS);
	differs(g, "crumbs that are told", g->answer.nr_crumbs,
		most < HS_WIRE_CRUMBS_MAX ? most : HS_WIRE_CRUMBS_MAX);
	differs(g, "whether some are not", g->answer.flags,
		most > HS_WIRE_CRUMBS_MAX ? HS_WIRE_F_CUT : 0);
	bout_free(memory, hs_agent_domain_size_bytes(&c), 1);
	bout_free(ledger, hs_agent_domain_ledger_bytes(&c), 0);
	end(g);
}

/* ---- the outbox -----------------------------------------------------------
 */

/* One trigger has eight times as many groups as are left, at most. */
static void outbox(struct rig *g)
{
	static const char *const names[] = {"slow", "error", "queue"};
	static const uint32_t most[] = {57, 63, 63};
	struct hs_wire_trace_id id = {1, 0};
	uint32_t nr = 0;

	begin(g, 64, 8);
	for (uint32_t i = 0; i < 3; i++) {
		int rc;

		do {
			id.lo++;
			rc = hs_agent_core_fire(g->core, names[i], &id, 1,
						g->now_ns);
			nr += rc == 0;
		} while (rc == 0);
		differs(g, "what a full outbox says", (uint64_t)-rc, ENOSPC);
		differs(g, "groups in the outbox", nr, most[i]);
	}
	end(g);
}

/* ---- for how long ---------------------------------------------------------
 */

static uint64_t part(uint32_t used, uint32_t all)
{
	uint32_t left = 1024 * 4 * (all - used) / all;

	return left < 1024 ? left : 1024;
}

/*
 * @nr have fired, of which @there are known in a domain and left a crumb: none
 * goes before its time, and all of them go then.
 */
static void remembers(struct rig *g, uint32_t nr, uint32_t there,
		      uint32_t crumbs)
{
	uint64_t left = part(nr, 64), patience;

	begin(g, 64, 8);
	for (uint32_t i = 0; i < there; i++) {
		struct hs_shm_entry e = {
			.trace_lo = 1 + i,
			.type = HS_SHM_ENTRY_END,
			.u.buffer.ref = HS_SHM_NO_BUFFER,
		};

		if (i < crumbs) {
			e.type = HS_SHM_ENTRY_CRUMB;
			e.u.arg = 20ull << 32 | 1;
		}
		hs_agent_core_entries(g->core, 0, g->process, &e, 1, NULL, 0,
				      g->now_ns);
	}
	collects(g, nr, false);
	if (part(there, 64) < left)
		left = part(there, 64);
	if (part(crumbs, 64) < left)
		left = part(crumbs, 64);
	patience = 20 * SIM_S / 1024 * left;
	patience = patience > SIM_S ? patience : SIM_S;
	tick_at(g, g->now_ns + patience - 1);
	differs(g, "traces that are remembered", nr_fired(g), nr);
	tick_at(g, g->now_ns + 1);
	differs(g, "the next look, just now", nr_fired(g), nr);
	tick_at(g, g->now_ns + SIM_MS - 1);
	differs(g, "traces that are remembered after that", nr_fired(g), 0);
	end(g);
}

/* ---- what 0 means ---------------------------------------------------------
 */

static size_t lines(size_t bytes)
{
	return (bytes + 63) / 64 * 64;
}

static void node_defaults(struct sim *s)
{
	struct hs_agent_config none = {.node_id = NODE}, c;
	struct rig g = {.s = s};
	const struct hs_agent_config *is;
	size_t bytes = hs_agent_core_size_bytes(&none);
	size_t ledger_bytes = hs_agent_node_ledger_bytes(&none);
	void *memory = bout_alloc(bytes, 0);
	void *ledger = bout_alloc(ledger_bytes, 0);
	const struct hs_ledger_node *l = ledger;

	none.trace_crumbs_max = HS_WIRE_CRUMBS_MAX + 1;
	g.core = hs_agent_core_create(memory, ledger, &none, &ops, &g, 1, 0);
	is = &g.core->config;
	differs(&g, "groups", is->nr_groups, 4096);
	differs(&g, "fired traces", is->nr_fired, 65536);
	differs(&g, "questions", is->nr_pending, 1024);
	differs(&g, "remember_ns", is->remember_ns, 300 * SIM_S);
	differs(&g, "resend_ns", is->resend_ns, SIM_S);
	differs(&g, "open_ship_ns", is->open_ship_ns, 500 * SIM_MS);
	differs(&g, "taint_ns", is->taint_ns, 5 * SIM_S);
	differs(&g, "the window", is->window_bytes, 4u << 20);
	differs(&g, "evict_percent", is->evict_percent, 80);
	differs(&g, "the share that is kept", is->kept_ppm, 1000000);
	differs(&g, "buffers of a trace", is->trace_buffers_max, 16384);
	differs(&g, "crumbs of a trace", is->trace_crumbs_max,
		HS_WIRE_CRUMBS_MAX);
	differs(&g, "where groups are", l->groups_offset, lines(sizeof(*l)));
	differs(&g, "where fired traces are", l->fired_offset,
		lines(sizeof(*l)) +
			lines(4096 * sizeof(struct hs_ledger_group)));
	differs(&g, "a node's ledger", ledger_bytes,
		l->fired_offset +
			lines(65536 * sizeof(struct hs_ledger_fired)));
	differs(&g, "what it says of itself", l->total_bytes, ledger_bytes);
	differs(&g, "memory by lines", bytes % 64, 0);
	c = *is;
	c.nr_pending = 1000;
	differs(&g, "as much memory", hs_agent_core_size_bytes(&c), bytes);
	c.scratch = memory;
	differs(&g, "less of it", hs_agent_core_size_bytes(&c),
		bytes - lines(HS_WIRE_PAYLOAD_MAX_BYTES));
	bout_free(memory, bytes, 0);
	bout_free(ledger, ledger_bytes, 0);
}

static size_t domain_ledger(uint32_t nr_buffers, uint32_t nr_crumbs,
			    uint32_t nr_evicted, uint32_t nr_chunks)
{
	return lines(sizeof(struct hs_ledger_domain)) +
	       lines(nr_buffers * sizeof(struct hs_ledger_buffer)) +
	       lines(nr_crumbs * sizeof(struct hs_ledger_crumb)) +
	       lines(nr_evicted * sizeof(uint64_t)) +
	       lines(nr_chunks * sizeof(uint32_t));
}

static void domain_defaults(struct rig *g)
{
	struct hs_agent_domain_config c = {
		.nr_buffers = 100, .buffer_bytes = 512, .nr_classes = 2};
	const struct hs_domain *d;
	const struct hs_ledger_domain *l;
	void *memory, *ledger;

	begin(g, 8, 8);
	memory = bout_alloc(hs_agent_domain_size_bytes(&c), 1);
	ledger = bout_alloc(hs_agent_domain_ledger_bytes(&c), 0);
	l = ledger;
	differs(g, "another domain",
		(uint64_t)hs_agent_core_domain_add(g->core, 5, memory, ledger,
						   &c, g->now_ns),
		0);
	d = &g->core->domains[5];
	differs(g, "crumbs", d->nr_crumbs, 100);
	differs(g, "traces", d->nr_traces, 100 + 25 + 64);
	differs(g, "weight", d->weight, 1);
	differs(g, "units of its second class", d->class_units[1], 4);
	differs(g, "nodes", d->nr_nodes, 1);
	differs(g, "chunks", d->nr_chunks, 1);
	differs(g, "its chunk", l->chunk_units, 128);
	differs(g, "where its buffers are", l->buffers_offset,
		domain_ledger(0, 0, 0, 0));
	differs(g, "where its crumbs are", l->crumbs_offset,
		domain_ledger(100, 0, 0, 0));
	differs(g, "where its marks are", l->evicted_offset,
		domain_ledger(100, 100, 0, 0));
	differs(g, "where its chunks are", l->chunks_offset,
		domain_ledger(100, 100, 65536, 0));
	differs(g, "its ledger", l->total_bytes,
		domain_ledger(100, 100, 65536, 1));
	differs(g, "memory by lines", hs_agent_domain_size_bytes(&c) % 64, 0);
	bout_free(memory, hs_agent_domain_size_bytes(&c), 1);
	bout_free(ledger, hs_agent_domain_ledger_bytes(&c), 0);
	/* As many marks of what is gone as there are traces, or more. */
	c.nr_traces = 65537;
	c.chunk_units = 32;
	differs(g, "a ledger of many traces", hs_agent_domain_ledger_bytes(&c),
		domain_ledger(100, 100, 131072, 4));
	end(g);
}

void bout_limits(struct sim *s, uint64_t seed)
{
	struct rig g = {.s = s};

	if (seed % 8 != 1)
		return;
	node_defaults(s);
	domain_defaults(&g);
	outbox(&g);
	crumbs(&g, 128, HS_WIRE_CRUMBS_MAX - 128);
	crumbs(&g, 128, HS_WIRE_CRUMBS_MAX - 127);
	ships(&g);
	gives_up(&g, 600, 620, 1200, 310);
	gives_up(&g, 2400, 8000, 2400, 2100);
	forgets(&g);
	says(&g, 600, 32);
	says(&g, 8191, 32);
	says(&g, 8447, 32);
	says(&g, 8448, 33);
	says_again(&g, 600);
	remembers(&g, 48, 0, 0);
	remembers(&g, 49, 0, 0);
	remembers(&g, 60, 0, 0);
	remembers(&g, 64, 0, 0);
	remembers(&g, 48, 48, 40);
	remembers(&g, 50, 50, 0);
	remembers(&g, 55, 55, 55);
}
