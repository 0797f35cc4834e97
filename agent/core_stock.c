/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_stock.c - buffers for processes: which one, and what has to go for it
 *
 * Old traces make room when the pool as a whole is crowded. A class that finds
 * neither a buffer nor a chunk, though the pool is not, may have a bounded
 * number of traces evicted, a seventh of the pool at most beyond what crowding
 * keeps free: pins may hold every chunk, and then no eviction would ever give
 * it one. It is told that there is none, and its threads take another class.
 */
#include "agent/core_priv.h"
#include "base/planted.h"
#include "base/reached.h"

/* Traces that may go for one buffer. */
#define EVICT_MAX 32u
/* Buffers that room is made for together: what a ring is filled with. */
#define ROOM_AT_A_TIME 16u
/* Of the pool, beyond what crowding keeps free. */
#define STARVED_PERCENT 14u

/* With fewer free the share in use, in full percent, is at the threshold. */
static uint32_t crowded_below(const struct hs_agent_core *c,
			      const struct hs_domain *d)
{
	return (uint32_t)(((101ull - c->config.evict_percent) * d->nr_buffers +
			   99) /
			  100);
}

static bool may_starve(const struct hs_agent_core *c, const struct hs_domain *d)
{
	uint64_t percent = 101ull - c->config.evict_percent + STARVED_PERCENT;

	return (uint64_t)hs_domain_nr_free(d) * 100 >= percent * d->nr_buffers;
}

/*
 * For @nr buffers of @units: twice as much, so that use falls back under the
 * threshold, but not beyond what they take when it has.
 */
static uint32_t make_room(struct hs_agent_core *c, struct hs_domain *d,
			  uint32_t units, uint32_t nr, uint32_t crowded)
{
	uint32_t goal = hs_domain_nr_free(d) + 2 * nr * units, gone = 0;

	if (goal > crowded + (nr - 1) * units)
		goal = crowded + (nr - 1) * units;
	while (HS_PLANTED(28) && hs_domain_nr_free(d) < goal &&
	       gone < nr * EVICT_MAX &&
	       hs_ix_evict_one(c, &c->domains[c->domain_order[0]]))
		gone++;
	gone += hs_ix_evict_until(c, d, goal, nr * EVICT_MAX - gone);
	for (uint32_t i = 0; HS_PLANTED(2) && i < d->nr_buffers &&
			     hs_domain_nr_free(d) < crowded;
	     i++)
		if (hs_ledger_word_state(d->buffers[i].word) == HS_LEDGER_HELD)
			hs_buffer_free(c, d, i);
	return gone;
}

/* Its node is full: from another one, else by eviction. */
static uint32_t take_elsewhere(struct hs_agent_core *c, struct hs_domain *d,
			       uint32_t node, bool here, uint32_t size_class,
			       uint32_t nr)
{
	uint32_t nr_nodes = here ? 0 : d->nr_nodes;
	uint32_t buffer = HS_NIL;

	for (;;) {
		for (uint32_t n = 0; buffer == HS_NIL && n < nr_nodes; n++)
			if (n != node)
				buffer = hs_chunk_take(d, n, size_class);
		if (buffer != HS_NIL) {
			c->stats.stock_remote++;
			return buffer;
		}
		if (nr++ >= EVICT_MAX || may_starve(c, d) ||
		    !hs_ix_evict_one(c, d))
			break;
		buffer = hs_chunk_take(d, node, size_class);
		if (buffer != HS_NIL)
			return buffer;
	}
	c->stats.stock_denied++;
	return HS_NIL;
}

/*
 * It is @process's from here on.
 * @place: hs_shm_stock_word() of the class and the node alone
 * Return: the word that says so.
 */
static inline uint64_t stock(struct hs_domain *d, uint32_t buffer,
			     uint32_t process, uint64_t place, uint32_t first)
{
	struct hs_ledger_buffer *b = &d->buffers[buffer];
	uint32_t generation =
		(hs_ledger_word_generation(b->word) + 1) & 0xffffffu;

	generation += generation == 0;
	b->acked = 0;
	b->sent = 0;
	b->flags = 0;
	d->rt[buffer] = (struct hs_buffer_rt){.next = HS_NIL, .trace = HS_NIL};
	HS_REACHED(HS_MACHINE_BUFFER, hs_ledger_word_state(b->word),
		   HS_LEDGER_STOCKED);
	hs_ledger_set64(&b->word,
			hs_ledger_word(HS_LEDGER_STOCKED, generation, process));
	return place | hs_shm_stock_word((buffer - first) << d->unit_shift, 0,
					 0, generation);
}

/*
 * Up to @nr from the chunk that its class carves on that node, which lie in a
 * row: what is known of the chunk is looked at once. Return: how many.
 */
static inline uint32_t stock_row(struct hs_domain *d, uint32_t process,
				 uint32_t size_class, uint32_t node,
				 uint64_t *words, uint32_t nr)
{
	uint32_t chunk = d->carved[node][size_class], units, left, buffer;
	uint32_t first = node * d->node_buffers;
	uint64_t place = hs_shm_stock_word(0, size_class, node, 0);
	struct hs_chunk *k = &d->chunks[chunk];

	if (chunk == HS_NIL)
		return 0;
	units = k->units;
	left = k->room - k->nr_carved;
	if (nr > left)
		nr = left;
	buffer = (chunk << d->chunk_shift) + k->nr_carved * units;
	for (uint32_t i = 0; i < nr; i++, buffer += units) {
		if (left - i > HS_TAKE_AHEAD + 1)
			hs_buffer_prefetch(d, buffer + HS_TAKE_AHEAD * units);
		words[i] = stock(d, buffer, process, place, first);
	}
	k->nr_carved += nr;
	k->nr_out += nr;
	k->nr_stocked += nr;
	d->nr_stocked += nr * units;
	if (nr == left)
		hs_chunk_carved(d, chunk);
	return nr;
}

/* One from wherever there is one. Return: false: there is none. */
static __attribute__((noinline)) bool
stock_one(struct hs_agent_core *c, struct hs_domain *d, uint32_t process,
	  uint32_t size_class, uint32_t node, bool here, uint32_t gone,
	  uint64_t *word)
{
	uint32_t buffer = hs_chunk_take(d, node, size_class);

	if (buffer == HS_NIL)
		buffer = take_elsewhere(c, d, node, here, size_class, gone);
	if (buffer == HS_NIL)
		return false;
	node = hs_buffer_node(d, buffer);
	d->nr_stocked += d->class_units[size_class];
	*word = stock(d, buffer, process,
		      hs_shm_stock_word(0, size_class, node, 0),
		      node * d->node_buffers);
	return true;
}

/* How many buffers of @units room is made for at a time. */
static uint32_t at_a_time(uint32_t nr, uint32_t units, uint32_t crowded)
{
	uint32_t most = crowded / 8 / units;

	if (nr > ROOM_AT_A_TIME)
		nr = ROOM_AT_A_TIME;
	if (nr > most)
		nr = most;
	return nr ? nr : 1;
}

uint32_t hs_agent_core_stock_some(struct hs_agent_core *core, uint32_t domain,
				  uint32_t process, uint32_t size_class,
				  uint32_t node, uint64_t *words, uint32_t nr)
{
	struct hs_domain *d = hs_domain_get(core, domain);
	bool here = node & HS_AGENT_STOCK_HERE;
	uint32_t crowded, units, n = 0;

	node &= ~HS_AGENT_STOCK_HERE;
	if (!d || size_class >= d->nr_classes || node >= d->nr_nodes)
		return 0;
	crowded = crowded_below(core, d);
	units = d->class_units[size_class];
	while (n < nr) {
		uint32_t some = at_a_time(nr - n, units, crowded), gone = 0;

		/* As many as are there anyway need no look each. */
		if (hs_domain_nr_free(d) < crowded + (some - 1) * units)
			gone = make_room(core, d, units, some, crowded) / some;
		for (uint32_t end = n + some, got; n < end; n += got) {
			got = stock_row(d, process, size_class, node, &words[n],
					end - n);
			if (got)
				continue;
			if (!stock_one(core, d, process, size_class, node, here,
				       gone, &words[n]))
				return n;
			got = 1;
		}
	}
	return n;
}

uint32_t hs_agent_core_stocked(const struct hs_agent_core *core,
			       uint32_t domain)
{
	const struct hs_domain *d = hs_domain_look(core, domain);

	return d ? d->nr_stocked : 0;
}

/* What @process still has, chunk by chunk where there is any. In units. */
static uint32_t each_stocked(const struct hs_domain *d, uint32_t process,
			     void (*what)(void *ctx, uint32_t buffer),
			     void *ctx)
{
	uint32_t nr = 0;

	for (uint32_t k = 0; k < d->nr_chunks; k++) {
		const struct hs_chunk *chunk = &d->chunks[k];
		uint32_t left = chunk->nr_stocked, at = k << d->chunk_shift;
		uint32_t units = chunk->units;

		for (; left; at += units) {
			uint64_t word = d->buffers[at].word;

			if (hs_ledger_word_state(word) != HS_LEDGER_STOCKED)
				continue;
			left--;
			if (hs_ledger_word_process(word) != process)
				continue;
			nr += units;
			if (what)
				what(ctx, at);
		}
	}
	return nr;
}

uint32_t hs_agent_core_stocked_by(const struct hs_agent_core *core,
				  uint32_t domain, uint32_t process)
{
	const struct hs_domain *d = hs_domain_look(core, domain);

	return d ? each_stocked(d, process, NULL, NULL) : 0;
}

struct salvage {
	struct hs_agent_core *core;
	struct hs_domain *domain;
};

static void salvage_one(void *ctx, uint32_t buffer)
{
	struct salvage *s = ctx;

	hs_buffer_free(s->core, s->domain, buffer);
}

/* A process has died: what it had in stock is free again. */
void hs_stock_salvage(struct hs_agent_core *c, struct hs_domain *d,
		      uint32_t process)
{
	struct salvage s = {c, d};

	each_stocked(d, process, salvage_one, &s);
}
