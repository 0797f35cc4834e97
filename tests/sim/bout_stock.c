/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_stock.c - an agent's pool over one to three NUMA nodes, in chunks and
 * classes: which buffer is handed out, what a full node and a crowded pool lead
 * to, and where each buffer is, also while a carrier reads it
 */
#include "tests/sim/bout_stock.h"

#include <stdlib.h>
#include <string.h>

#define NR_STEPS 260u
#define AT_ONCE	 6u

/* ---- stock ----------------------------------------------------------------
 */

static uint64_t word_of(const struct stk *g, uint32_t buffer)
{
	uint32_t node = stk_node_of(g, buffer);
	uint32_t chunk = buffer / g->chunk_units;
	uint32_t unit = buffer - node * g->node_chunks * g->chunk_units;

	return hs_shm_stock_word(
		unit * (g->domain.buffer_bytes / HS_SHM_REF_UNIT_BYTES),
		g->chunks[chunk].size_class, node,
		g->buffers[buffer].generation);
}

static void asks(struct stk *g)
{
	uint32_t process = g->process[bout_below(&g->r, STK_PROCS)];
	uint32_t size_class = bout_below(&g->r, g->nr_classes + 1);
	uint32_t node = bout_below(&g->r, g->nr_nodes + 1);
	uint32_t wanted = 1 + bout_below(&g->r, AT_ONCE), nr, n = 0;
	bool here = hs_random_chance(&g->r, 0.3);
	uint32_t room_for = 0, gone = 0;
	uint64_t words[AT_ONCE];

	nr = hs_agent_core_stock_some(g->core, g->id, process, size_class,
				      node | (here ? HS_AGENT_STOCK_HERE : 0),
				      words, wanted);
	while (size_class < g->nr_classes && node < g->nr_nodes && n < wanted) {
		struct stk_buffer *x;
		uint32_t b;

		if (n == room_for) {
			uint32_t some =
				stk_at_a_time(g, size_class, wanted - n);

			gone = stk_make_room(g, size_class, some);
			room_for += some;
		}
		b = stk_stock(g, node, here, size_class, gone);
		if (b == STK_NONE)
			break;
		x = &g->buffers[b];
		*x = (struct stk_buffer){
			.state = HS_LEDGER_STOCKED,
			.process = process,
			.generation = x->generation == 0xffffff
					      ? 1
					      : x->generation + 1,
		};
		if (n < nr)
			stk_differs(g, "a stock word", words[n], word_of(g, b));
		n++;
	}
	stk_differs(g, "buffers that are handed out", nr, n);
}

/* A buffer that some process has; STK_NONE: none has any. */
static uint32_t some_stocked(struct stk *g)
{
	uint32_t b = bout_below(&g->r, g->domain.nr_buffers);

	for (uint32_t i = 0; i < g->domain.nr_buffers; i++) {
		if (g->buffers[b].state == HS_LEDGER_STOCKED)
			return b;
		b = (b + 1) % g->domain.nr_buffers;
	}
	return STK_NONE;
}

/* Where an entry says that a buffer is, or somewhere near. */
struct place {
	uint32_t node, ref;
};

static struct place place_of(struct stk *g, uint32_t buffer)
{
	uint64_t word = word_of(g, buffer);
	struct place p = {hs_shm_stock_node(word), hs_shm_stock_ref(word)};

	if (hs_random_chance(&g->r, 0.8))
		return p;
	switch (hs_random_below(&g->r, 5)) {
	case 0:
		p.ref++;
		break;
	case 1:
		p.ref--;
		break;
	case 2:
		p.node++;
		break;
	case 3: /* where the crumbs are */
		p.node = g->nr_nodes;
		p.ref = bout_below(&g->r, 2) *
			(g->domain.buffer_bytes / HS_SHM_REF_UNIT_BYTES);
		break;
	default:
		p.ref = g->node_chunks * g->chunk_units *
			(g->domain.buffer_bytes / HS_SHM_REF_UNIT_BYTES);
	}
	p.node &= 15;
	return p;
}

/* Whose it is, if a process has it. */
static uint32_t stocked_there(const struct stk *g, struct place p,
			      uint32_t process)
{
	for (uint32_t b = 0; b < g->domain.nr_buffers; b++) {
		uint64_t word;

		if (g->buffers[b].state != HS_LEDGER_STOCKED ||
		    g->buffers[b].process != process)
			continue;
		word = word_of(g, b);
		if (hs_shm_stock_node(word) == p.node &&
		    hs_shm_stock_ref(word) == p.ref)
			return b;
	}
	return STK_NONE;
}

static void feed(struct stk *g, uint32_t process, const struct hs_shm_entry *e,
		 uint32_t nr)
{
	struct hs_shm_entry *at = &g->entries[AT_ONCE - nr];

	memcpy(at, e, nr * sizeof(*e));
	stk_differs(g, "entries that are used",
		    hs_agent_core_entries(g->core, g->id, process, at, nr, NULL,
					  0, g->now_ns),
		    nr);
}

static void seen(struct stk *g, uint32_t t)
{
	g->traces[t].there = true;
	g->traces[t].seen = g->now_ns;
}

/* It was here, and has nothing: evicting it makes no room. */
static struct hs_shm_entry end_of(const struct stk *g, uint32_t t)
{
	return (struct hs_shm_entry){
		.trace_hi = g->traces[t].id.hi,
		.trace_lo = g->traces[t].id.lo,
		.type = HS_SHM_ENTRY_END,
		.u.buffer.ref = HS_SHM_NO_BUFFER,
	};
}

static void returns(struct stk *g)
{
	struct hs_shm_entry e[2] = {{.type = HS_SHM_ENTRY_RETURN}};
	uint32_t b = some_stocked(g), process;
	uint32_t t = bout_below(&g->r, STK_TRACES);
	struct place p;

	if (b == STK_NONE)
		return;
	process = hs_random_chance(&g->r, 0.9) ? g->buffers[b].process
					       : g->process[0];
	p = place_of(g, b);
	e[0].u.buffer.ref = p.ref;
	e[0].u.buffer.committed = p.node << 28;
	e[1] = end_of(g, t);
	feed(g, process, e, 2);
	seen(g, t);
	b = stocked_there(g, p, process);
	if (b == STK_NONE) {
		g->bad++;
		return;
	}
	stk_release(g, b);
	g->returned++;
}

static void ends_without(struct stk *g)
{
	uint32_t t = bout_below(&g->r, STK_TRACES);
	struct hs_shm_entry e = end_of(g, t);

	feed(g, g->process[0], &e, 1);
	seen(g, t);
}

static void leaves_crumbs(struct stk *g)
{
	struct stk_trace *x = &g->traces[STK_TRACES - 1];
	struct hs_shm_entry e = {
		.trace_hi = x->id.hi,
		.trace_lo = x->id.lo,
		.type = HS_SHM_ENTRY_CRUMB,
	};

	for (uint32_t i = 0; i < 4; i++) {
		e.u.arg = (uint64_t)(20 + i) << 32 | 1;
		feed(g, g->process[0], &e, 1);
	}
	x->has_crumbs = true;
	seen(g, STK_TRACES - 1);
}

static void publishes_for(struct stk *g, uint32_t t)
{
	uint32_t b = some_stocked(g), process, bytes;
	struct hs_shm_entry e = {.type = HS_SHM_ENTRY_BUFFER};
	struct place p;

	/* What fired gives way where it has half of the pool. */
	if (b == STK_NONE ||
	    (g->traces[t].fired && 2 * (stk_nr_pinned(g) + stk_units_of(g, b)) >
					   g->domain.nr_buffers - 1))
		return;
	process = g->buffers[b].process;
	p = place_of(g, b);
	bytes = 64 + bout_below(&g->r, stk_bytes_of(g, b) - 63);
	if (hs_random_chance(&g->r, 0.2))
		bytes = stk_bytes_of(g, b) + bout_below(&g->r, 2);
	else if (hs_random_chance(&g->r, 0.2))
		bytes = 63 + bout_below(&g->r, 2);
	e.trace_hi = g->traces[t].id.hi;
	e.trace_lo = g->traces[t].id.lo;
	e.handle = ++g->handle;
	e.u.buffer.ref = p.ref;
	e.u.buffer.committed = bytes | p.node << 28;
	feed(g, process, &e, 1);
	b = stocked_there(g, p, process);
	if (b == STK_NONE || bytes < 64 || bytes > stk_bytes_of(g, b)) {
		g->bad++;
		return;
	}
	g->buffers[b].state = HS_LEDGER_HELD;
	g->buffers[b].trace = t;
	g->buffers[b].committed = bytes;
	g->buffers[b].seen = g->now_ns;
	stk_row_add(&g->traces[t].buffers, b);
	seen(g, t);
}

/* Now and then two at once, as a lane brings them. */
static void publishes(struct stk *g)
{
	uint32_t t = bout_below(&g->r, STK_PUBLISHED);

	publishes_for(g, t);
	if (hs_random_chance(&g->r, 0.3))
		publishes_for(g, t);
}

static void dies(struct stk *g)
{
	uint32_t *process = &g->process[bout_below(&g->r, STK_PROCS)];

	hs_agent_core_process_dead(g->core, g->id, *process, g->now_ns);
	for (uint32_t b = 0; b < g->domain.nr_buffers; b++)
		if (g->buffers[b].state == HS_LEDGER_STOCKED &&
		    g->buffers[b].process == *process)
			stk_release(g, b);
	*process = hs_agent_core_process_new(g->core);
}

/* ---- whether it is so -----------------------------------------------------
 */

static void check_buffers(struct stk *g)
{
	const struct hs_domain *d = &g->core->domains[g->id];

	for (uint32_t b = 0; b < g->domain.nr_buffers; b++) {
		const struct stk_buffer *x = &g->buffers[b];

		stk_differs(g, "the word of a buffer", d->buffers[b].word,
			    hs_ledger_word(x->state, x->generation,
					   x->state == HS_LEDGER_FREE
						   ? 0
						   : x->process));
	}
	for (uint32_t k = 0; k < g->nr_chunks; k++)
		stk_differs(g, "the class of a chunk", d->chunk_words[k],
			    g->chunks[k].size_class + 1);
}

/* In the order in which they were published. */
static void check_traces(struct stk *g)
{
	const struct hs_domain *d = &g->core->domains[g->id];

	for (uint32_t t = 0; t < STK_PUBLISHED; t++) {
		const struct stk_trace *x = &g->traces[t];
		uint32_t i = hs_ix_find(d, x->id.hi, x->id.lo), n = 0, b;

		stk_differs(g, "whether a trace is there", i != HS_NIL,
			    x->there);
		if (i == HS_NIL || !x->there)
			continue;
		b = d->traces[i].buf_first;
		for (; b != HS_NIL && n < x->buffers.nr; n++) {
			stk_differs(g, "a buffer of a trace", b,
				    x->buffers.at[n]);
			b = d->rt[b].next;
		}
		stk_differs(g, "how many it has", n + (b != HS_NIL),
			    x->buffers.nr);
	}
}

static void check(struct stk *g)
{
	uint32_t p = bout_below(&g->r, STK_PROCS), of_one = 0, sending = 0;
	uint32_t b = some_stocked(g);
	struct hs_agent_domain_stats is;
	struct hs_agent_stats st;
	const char *why = "";

	for (uint32_t i = 0; i < g->domain.nr_buffers; i++) {
		const struct stk_buffer *x = &g->buffers[i];

		of_one += x->state == HS_LEDGER_STOCKED &&
					  x->process == g->process[p]
				  ? stk_units_of(g, i)
				  : 0;
		sending += x->in_flight ? stk_units_of(g, i) : 0;
	}
	hs_agent_core_stats_get(g->core, &st);
	hs_agent_core_domain_stats_get(g->core, g->id, g->now_ns, &is);
	stk_differs(g, "buffers returned", st.stock_returned, g->returned);
	stk_differs(g, "buffers denied", st.stock_denied, g->denied);
	stk_differs(g, "buffers of other nodes", st.stock_remote, g->remote);
	stk_differs(g, "traces evicted", st.traces_evicted, g->evicted);
	stk_differs(g, "bad entries", st.entries_bad, g->bad);
	stk_differs(g, "slices that go again", st.slices_resent, g->resent);
	stk_differs(g, "free units", is.buffers_free, stk_nr_free(g));
	stk_differs(g, "stocked units", is.buffers_stocked,
		    stk_nr(g, HS_LEDGER_STOCKED));
	stk_differs(g, "held units", is.buffers_held,
		    stk_nr(g, HS_LEDGER_HELD));
	stk_differs(g, "pinned units", is.buffers_pinned, stk_nr_pinned(g));
	stk_differs(g, "parked units", is.buffers_parked, stk_nr_parked(g));
	stk_differs(g, "units under way", is.buffers_sending, sending);
	stk_differs(g, "bytes under way", g->core->in_flight_bytes,
		    g->in_flight_bytes);
	stk_differs(g, "bytes lent", g->core->lent_bytes, g->lent_bytes);
	stk_differs(g, "hs_agent_core_stocked()",
		    hs_agent_core_stocked(g->core, g->id),
		    stk_nr(g, HS_LEDGER_STOCKED));
	stk_differs(g, "hs_agent_core_stocked_by()",
		    hs_agent_core_stocked_by(g->core, g->id, g->process[p]),
		    of_one);
	if (b != STK_NONE)
		stk_differs(g, "hs_agent_core_owns()",
			    hs_agent_core_owns(g->core, g->id, g->process[p],
					       word_of(g, b)),
			    g->buffers[b].process == g->process[p]);
	check_buffers(g);
	check_traces(g);
	if (!g->s->failed && !hs_agent_core_check(g->core, &why))
		sim_fail(g->s, STK "it does not add up: %s", why);
}

/* ---- a life, and the next -------------------------------------------------
 */

static void begin(struct stk *g)
{
	g->config.index_seed = hs_random_u64(&g->r);
	if (!bout_core_begin(&g->home, &g->core, &stk_ops, g, g->now_ns))
		sim_fail(g->s, STK "it does not begin");
	hs_agent_core_slice_limit(g->core, g->slice_bytes);
}

static void restart(struct stk *g)
{
	bout_core_end(&g->home);
	begin(g);
	stk_adopt(g);
}

static void draw(struct stk *g)
{
	struct hs_agent_domain_config *d = &g->domain;
	uint32_t factor = 2u << bout_below(&g->r, 2), largest = 1;

	g->id = hs_random_chance(&g->r, 0.5) ? 0 : 15;
	g->nr_nodes = 1 + bout_below(&g->r, STK_NODES);
	g->nr_classes = 1 + bout_below(&g->r, STK_CLASSES);
	for (uint32_t i = 0; i < g->nr_classes; i++) {
		g->units[i] = largest;
		largest *= i + 1 < g->nr_classes ? factor : 1;
	}
	g->chunk_units = largest << bout_below(&g->r, largest > 4 ? 2 : 3);
	g->node_chunks = 1 + bout_below(&g->r, 4);
	/* So that the words of its chunks end where its ledger ends. */
	if (hs_random_chance(&g->r, 0.2))
		g->node_chunks = 16 / (g->nr_nodes = 1 + (g->nr_nodes & 1));
	while (g->nr_nodes * g->node_chunks * g->chunk_units > STK_BUFFERS)
		g->node_chunks--;
	if (g->nr_nodes == 1 && g->node_chunks < 5)
		g->node_chunks += bout_below(&g->r, 3);
	d->nr_buffers = g->nr_nodes * g->node_chunks * g->chunk_units;
	/* The last chunk may be a part of one. */
	if (g->nr_nodes == 1 && g->node_chunks > 1)
		d->nr_buffers -= bout_below(&g->r, g->chunk_units);
	g->nr_chunks = g->nr_nodes * g->node_chunks;
	d->buffer_bytes = 256u << bout_below(&g->r, 2);
	d->nr_crumbs = 16;
	d->nr_traces = STK_TRACES;
	d->nr_classes = g->nr_classes;
	d->class_factor = factor;
	d->chunk_units = g->chunk_units;
	d->nr_nodes = g->nr_nodes;
	g->slice_bytes = hs_random_chance(&g->r, 0.5)
				 ? HS_WIRE_SLICE_MAX_BYTES
				 : 64 + bout_below(&g->r, 1024);
	g->config = (struct hs_agent_config){
		.node_id = STK_NODE,
		.scratch = g->s->scratch,
		.nr_groups = 64,
		.nr_fired = 64,
		.window_bytes = 256 + bout_below(&g->r, 8192),
		.evict_percent = 50 + bout_below(&g->r, 51),
	};
	/* So that a share of the pool is a whole number of units. */
	if (hs_random_chance(&g->r, 0.5))
		g->config.evict_percent =
			hs_random_chance(&g->r, 0.5) ? 65 : 90;
}

/* Some were handed out so often that their generations begin anew. */
static void age(struct stk *g)
{
	struct hs_domain *d = &g->core->domains[g->id];

	for (uint32_t b = 0; b < g->domain.nr_buffers; b += 3) {
		g->buffers[b].generation = 0xfffffe + (b & 1);
		d->buffers[b].word = hs_ledger_word(
			HS_LEDGER_FREE, g->buffers[b].generation, 0);
	}
}

static void step(struct stk *g)
{
	uint64_t what = hs_random_below(&g->r, 100);

	if (what < 35)
		asks(g);
	else if (what < 60)
		publishes(g);
	else if (what < 66)
		returns(g);
	else if (what < 72)
		for (uint32_t i = bout_below(&g->r, 40); i-- > 0; g->now_ns++)
			ends_without(g);
	else if (what < 75)
		stk_fires(g);
	else if (what < 83)
		stk_tick(g);
	else if (what < 90)
		stk_acked(g);
	else if (what < 96)
		stk_gives_back(g);
	else if (what < 97)
		stk_again(g);
	else if (what < 98)
		dies(g);
	else if (what < 99)
		restart(g);
}

void bout_stock(struct sim *s, uint64_t seed)
{
	struct stk *g = sim_zalloc(1, sizeof(*g));

	g->s = s;
	g->now_ns = SIM_S;
	hs_random_seed(&g->r, seed ^ 0x570cull);
	draw(g);
	g->entries = bout_alloc(AT_ONCE * sizeof(*g->entries), 0);
	for (uint32_t t = 0; t < STK_TRACES; t++)
		g->traces[t].id = (struct hs_wire_trace_id){t % 5, 1 + t};
	/* What its crumbs begin with looks like the word of a buffer. */
	g->traces[STK_TRACES - 1].id.hi =
		hs_ledger_word(HS_LEDGER_STOCKED, 0, 1);
	g->home = (struct bout_home){.config = &g->config,
				     .domain = &g->domain,
				     .id = g->id,
				     .off = 63};
	begin(g);
	stk_begin(g);
	age(g);
	for (uint32_t i = 0; i < STK_PROCS; i++)
		g->process[i] = hs_agent_core_process_new(g->core);
	leaves_crumbs(g);
	for (uint32_t i = 0; i < NR_STEPS && !s->failed; i++) {
		/* So that what was seen last is known to the nanosecond. */
		g->now_ns += 1 + hs_random_below(&g->r, 9);
		step(g);
		if (!s->failed)
			check(g);
		sim_mix(s, g->evicted ^ g->in_flight_bytes << 32);
	}
	bout_core_end(&g->home);
	bout_free(g->entries, AT_ONCE * sizeof(*g->entries), 0);
	bout_ledgers_free(&g->home);
	free(g);
}
