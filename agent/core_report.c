/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_report.c - slices to the collectors, and until when they are kept
 *
 * Which trace is next is core_queue.c's to say. A buffer is let go when the
 * collector has it durable. A carrier may read slices where they lie: then
 * their memory stays as it is until it says that it is done, whatever has
 * become of the trace meanwhile.
 */
#include "agent/core_priv.h"
#include "base/planted.h"
#include "base/reached.h"

#include <string.h>

#define SHIP_PER_TICK 256u

/* The trace has something to send: whoever holds it there waits its turn. */
void hs_report_enqueue(struct hs_agent_core *c, struct hs_domain *d,
		       uint32_t trace)
{
	uint32_t i = c->fired_rt[d->traces[trace].fired].hold_first;

	if (hs_ix_more(d, trace)->ship_next == HS_NIL)
		return;
	for (; i != HS_NIL; i = c->holds[i].next)
		if (c->holds[i].domain == d->id)
			hs_queue_enter(c, i);
}

/* In every domain: what one waits for may be what another was held up by. */
static void enqueue_everywhere(struct hs_agent_core *c, uint32_t fired)
{
	const struct hs_wire_trace_id *id = &c->fired[fired].trace;

	for (uint32_t k = 0; k < c->nr_domains; k++) {
		struct hs_domain *d = &c->domains[c->domain_order[k]];
		uint32_t trace = hs_ix_find(d, id->hi, id->lo);

		if (trace != HS_NIL && d->traces[trace].fired == fired)
			hs_report_enqueue(c, d, trace);
	}
}

static void dequeue(struct hs_agent_core *c, uint32_t fired)
{
	uint32_t i = c->fired_rt[fired].hold_first;

	for (; i != HS_NIL; i = c->holds[i].next)
		if (c->holds[i].domain != HS_HOLD_NOWHERE)
			hs_queue_leave(c, i);
}

static bool window_open(const struct hs_agent_core *c)
{
	return c->in_flight_bytes < c->config.window_bytes &&
	       c->lent_bytes < c->config.window_bytes;
}

/* How far a slice of a buffer may reach; its rest follows the ack. */
static uint32_t reach(const struct hs_agent_core *c, uint32_t from,
		      uint32_t committed)
{
	return committed - from > c->slice_bytes ? from + c->slice_bytes
						 : committed;
}

static bool is_on_its_way(enum hs_agent_shipped shipped)
{
	return shipped == HS_AGENT_SHIP_COPIED || shipped == HS_AGENT_SHIP_LENT;
}

/* Hand bytes acked..upto of a buffer to the carrier. */
static enum hs_agent_shipped ship(struct hs_agent_core *c, struct hs_domain *d,
				  uint32_t buffer,
				  const struct hs_wire_slice *ids,
				  uint32_t upto, uint32_t committed,
				  uint64_t priority)
{
	struct hs_ledger_buffer *b = &d->buffers[buffer];
	struct hs_agent_slice s = {
		.head = *ids,
		.domain = d->id,
		.pool_node = hs_buffer_node(d, buffer),
		.committed = committed,
	};
	uint32_t first = s.pool_node * d->node_buffers;
	enum hs_agent_shipped shipped;

	if (d->rt[buffer].lent == UINT8_MAX)
		return HS_AGENT_SHIP_NOT;
	s.pool_offset = (uint64_t)(buffer - first) * d->buffer_bytes + b->acked;

	d->rt[buffer].sending++;
	d->rt[buffer].waited = false;
	s.head.node = c->ledger->node_id;
	s.head.ship_key = hs_buffer_ship_key(d, buffer);
	s.head.priority = priority;
	s.head.process = hs_ledger_word_process(b->word);
	s.head.offset = b->acked;
	s.head.length_bytes = upto - b->acked;
	shipped = c->ops->ship(c->ctx, &s);
	if (!is_on_its_way(shipped))
		return shipped;
	if (shipped == HS_AGENT_SHIP_LENT) {
		d->rt[buffer].lent++;
		c->lent_bytes += s.head.length_bytes;
	}
	if (b->sent > b->acked)
		c->stats.slices_resent++;
	b->sent = upto;
	hs_flight_begin(c, d, buffer, upto);
	c->stats.slices_sent++;
	c->stats.bytes_sent += s.head.length_bytes;
	return shipped;
}

/* Why a trace's turn is over. */
enum turn {
	TURN_DONE,  /* all is on its way */
	TURN_LATER, /* carrier, window or a rate allow nobody more now */
	TURN_AWAY,  /* nobody is there for this one */
};

/* A fired trace in one domain. */
struct part {
	struct hs_domain *d;
	uint32_t trace;
};

static uint32_t parts_of(struct hs_agent_core *c, uint32_t fired,
			 struct part parts[HS_AGENT_DOMAINS_MAX])
{
	const struct hs_wire_trace_id *id = &c->fired[fired].trace;
	uint32_t nr = 0;

	for (uint32_t k = 0; k < c->nr_domains; k++) {
		struct hs_domain *d = &c->domains[c->domain_order[k]];
		uint32_t trace = hs_ix_find(d, id->hi, id->lo);

		if (trace != HS_NIL && d->traces[trace].fired == fired)
			parts[nr++] = (struct part){d, trace};
	}
	return nr;
}

/* The first buffer that is not under way as a whole; HS_NIL: there is none. */
static uint32_t waiting_in(const struct part *p)
{
	struct hs_ix_more *more = hs_ix_more(p->d, p->trace);

	while (more->ship_next != HS_NIL &&
	       p->d->rt[more->ship_next].in_flight &&
	       p->d->rt[more->ship_next].final_sent)
		more->ship_next = p->d->rt[more->ship_next].next;
	return more->ship_next;
}

/*
 * The trace's buffers go as they were finished, those of all its domains in one
 * order: an answer counts all that was finished by then, and what was finished
 * later must not arrive in the place of one that was counted (ADR 63). So
 * nothing overtakes one of which a part is under way, either.
 *
 * Return: where the next one is; NULL: there is none, or it waits for its ack.
 */
static const struct part *next_part(const struct part *parts, uint32_t nr)
{
	const struct part *best = NULL;
	uint64_t oldest_ns = UINT64_MAX;

	for (uint32_t k = 0; k < nr; k++) {
		uint32_t i = waiting_in(&parts[k]);

		if (i == HS_NIL ||
		    (best && (HS_PLANTED(29) ||
			      parts[k].d->buffers[i].seen_ns >= oldest_ns)))
			continue;
		best = &parts[k];
		oldest_ns = best->d->buffers[i].seen_ns;
	}
	if (!best || best->d->rt[waiting_in(best)].in_flight)
		return NULL;
	return best;
}

static enum turn ship_next(struct hs_agent_core *c, const struct part *p,
			   const struct hs_hold *hold, uint64_t now_ns)
{
	struct hs_domain *d = p->d;
	struct hs_ix_trace *t = &d->traces[p->trace];
	struct hs_ix_more *more = hs_ix_more(d, p->trace);
	uint32_t i = more->ship_next;
	struct hs_ledger_buffer *b = &d->buffers[i];
	struct hs_wire_slice ids = {
		.trace = {t->hi, t->lo},
		.handle = b->handle,
		.seq = b->seq,
		.flags = (uint16_t)b->flags,
	};
	uint32_t from = b->acked < b->committed ? b->acked : b->committed;
	uint32_t upto = reach(c, from, b->committed);
	enum hs_agent_shipped shipped;

	if (!window_open(c) || !hs_queue_may(c, hold->trigger, now_ns))
		return TURN_LATER;
	b->acked = from;
	ids.final = upto == b->committed;
	shipped = ship(c, d, i, &ids, upto, b->committed, hold->priority);
	if (!is_on_its_way(shipped))
		return shipped == HS_AGENT_SHIP_AWAY ? TURN_AWAY : TURN_LATER;
	d->rt[i].final_sent = ids.final;
	hs_queue_sent(c, d, hold->trigger, upto - from, now_ns);
	if (HS_PLANTED(4))
		hs_report_ack(c, hs_buffer_ship_key(d, i), false);
	else if (ids.final)
		more->ship_next = d->rt[i].next;
	return TURN_DONE;
}

static enum turn ship_trace(struct hs_agent_core *c, const struct hs_hold *hold,
			    uint64_t now_ns)
{
	struct part parts[HS_AGENT_DOMAINS_MAX];
	uint32_t nr = parts_of(c, hold->fired, parts);
	const struct part *p;
	enum turn turn = TURN_DONE;

	while (turn == TURN_DONE && (p = next_part(parts, nr)))
		turn = ship_next(c, p, hold, now_ns);
	return turn;
}

void hs_report_run(struct hs_agent_core *c, uint64_t now_ns)
{
	for (uint32_t n = 0; n < SHIP_PER_TICK && window_open(c); n++) {
		uint32_t hold = hs_queue_next(c, now_ns);

		if (hold == HS_NIL)
			return;
		c->serving = hold;
		switch (ship_trace(c, &c->holds[hold], now_ns)) {
		case TURN_DONE:
			dequeue(c, c->holds[hold].fired);
			break;
		case TURN_LATER:
			return;
		case TURN_AWAY:
			hs_queue_aside(c, hold);
		}
	}
}

void hs_agent_core_slice_limit(struct hs_agent_core *core, uint32_t bytes)
{
	core->slice_bytes = bytes;
}

void hs_agent_core_returned(struct hs_agent_core *core, uint64_t ship_key,
			    uint32_t length_bytes)
{
	struct hs_domain *d = hs_domain_get(core, hs_ship_key_domain(ship_key));
	uint32_t i = hs_ship_key_buffer(ship_key);

	if (!d || i >= d->nr_buffers || !d->rt[i].lent)
		return;
	core->lent_bytes -= length_bytes;
	if (--d->rt[i].lent || !d->rt[i].parked)
		return;
	d->rt[i].parked = false;
	d->nr_parked -= hs_buffer_units(d, i);
	hs_chunk_give(d, i);
}

/* Durable at the collector: count it and let it go, in crash order. */
static void let_go(struct hs_agent_core *c, struct hs_domain *d,
		   uint32_t buffer)
{
	struct hs_ledger_buffer *b = &d->buffers[buffer];
	struct hs_ledger_fired *f =
		&c->fired[d->traces[d->rt[buffer].trace].fired];
	uint32_t now = f->totals_select & 1;
	uint64_t key;

	/* The key that a successor will make of the same buffer. */
	d->rt[buffer].sending = 0;
	key = hs_buffer_ship_key(d, buffer);
	HS_REACHED(HS_MACHINE_BUFFER, hs_ledger_word_state(b->word),
		   HS_LEDGER_FREEING);
	hs_ledger_set64(&b->word,
			hs_ledger_word(HS_LEDGER_FREEING,
				       hs_ledger_word_generation(b->word),
				       hs_ledger_word_process(b->word)));
	if (HS_PLANTED(108))
		b->word = hs_ledger_word(HS_LEDGER_FREE,
					 hs_ledger_word_generation(b->word), 0);
	f->totals[!now].buffers = f->totals[now].buffers + 1;
	f->totals[!now].bytes = f->totals[now].bytes + b->committed;
	f->totals[!now].last = key;
	hs_ledger_set32(&f->totals_select, !now);
	hs_buffer_free(c, d, buffer);
}

void hs_report_ack(struct hs_agent_core *c, uint64_t ship_key, bool refused)
{
	struct hs_domain *d = hs_domain_get(c, hs_ship_key_domain(ship_key));
	uint32_t i = hs_ship_key_buffer(ship_key);
	struct hs_ledger_buffer *b;
	uint32_t upto, fired;
	bool whole;

	if (!d || i >= d->nr_buffers || !d->rt[i].in_flight ||
	    hs_buffer_ship_key(d, i) != ship_key)
		return;
	b = &d->buffers[i];
	upto = d->rt[i].in_flight;
	hs_flight_end(c, d, i);
	b->acked = upto;
	c->stats.slices_acked++;
	if (refused) {
		c->stats.slices_refused++;
		b->flags |= HS_WIRE_F_LOST; /* also of one that is open yet */
	}
	if (hs_ledger_word_state(b->word) != HS_LEDGER_HELD)
		return;
	if (refused) {
		hs_ix_flag(c, d, d->rt[i].trace, HS_WIRE_F_LOST);
		hs_fired_dirty(c, d->traces[d->rt[i].trace].fired);
	}
	fired = d->traces[d->rt[i].trace].fired;
	whole = d->rt[i].final_sent;
	if (refused || whole)
		let_go(c, d, i);
	else /* it was open when that went, or too long; now the rest */
		hs_ix_more(d, d->rt[i].trace)->ship_next =
			d->traces[d->rt[i].trace].buf_first;
	if (!whole)
		enqueue_everywhere(c, fired);
}

/* Whatever answer may still come to it, it does not count any more. */
static void send_again(struct hs_agent_core *c, struct hs_domain *d,
		       uint32_t buffer)
{
	struct hs_buffer_rt *rt = &d->rt[buffer];

	hs_flight_end(c, d, buffer);
	if (rt->trace == HS_NIL)
		return; /* open: the next scan finds it */
	hs_ix_more(d, rt->trace)->ship_next = d->traces[rt->trace].buf_first;
	enqueue_everywhere(c, d->traces[rt->trace].fired);
}

typedef void (*flight_fn)(struct hs_agent_core *c, struct hs_domain *d,
			  uint32_t buffer);

/* @what may end its own flight, and begins none. */
static void each_flight_of(struct hs_agent_core *c, struct hs_domain *d,
			   uint32_t word, flight_fn what)
{
	for (uint64_t bits = d->flying[word]; bits; bits &= bits - 1)
		what(c, d, word * 64 + (uint32_t)__builtin_ctzll(bits));
}

/*
 * All that is under way, each domain's in the order of its memory. What is
 * asked of every buffer of a pool instead takes 2.7 ms a gibibyte.
 */
static void each_flight(struct hs_agent_core *c, flight_fn what)
{
	for (uint32_t k = 0; c->nr_in_flight && k < c->nr_domains; k++) {
		struct hs_domain *d = &c->domains[c->domain_order[k]];
		uint32_t nr = hs_flying_nr_words(d->nr_buffers);
		const uint64_t *above = d->flying + nr;

		for (uint32_t i = 0; i < hs_flying_nr_words(nr); i++)
			for (uint64_t b = above[i]; b; b &= b - 1)
				each_flight_of(
					c, d,
					i * 64 + (uint32_t)__builtin_ctzll(b),
					what);
	}
}

/* The collector may have lost what it had not acknowledged: all again. */
void hs_report_resend(struct hs_agent_core *c)
{
	each_flight(c, send_again);
}

static void waited_for(struct hs_agent_core *c, struct hs_domain *d,
		       uint32_t buffer)
{
	if (d->rt[buffer].waited)
		send_again(c, d, buffer);
	else
		d->rt[buffer].waited = true;
}

/*
 * Each slice for itself: acknowledgements of others say nothing about one that
 * a collector let fall, or whose own was lost. What the sweep before found
 * under way, too, goes again.
 */
void hs_report_sweep(struct hs_agent_core *c, uint64_t now_ns)
{
	c->swept_ns = now_ns;
	each_flight(c, waited_for);
}

/* What an open buffer has committed by now goes ahead of its end. */
void hs_report_open(struct hs_agent_core *c, struct hs_domain *d,
		    uint32_t trace, uint32_t buffer,
		    const struct hs_shm_buffer *header, uint64_t now_ns)
{
	struct hs_ledger_buffer *b = &d->buffers[buffer];
	const struct hs_ix_trace *t = &d->traces[trace];
	uint32_t hold = hs_ix_more(d, trace)->hold;
	uint32_t from = b->acked;
	uint32_t upto = reach(c, from, header->committed);
	struct hs_wire_slice ids = {
		.trace = {t->hi, t->lo},
		.handle = header->handle,
		.seq = header->seq,
	};

	if (d->rt[buffer].in_flight || header->committed <= b->acked ||
	    header->committed > hs_buffer_bytes(d, buffer) || !window_open(c) ||
	    hold == HS_NIL || !hs_queue_may(c, c->holds[hold].trigger, now_ns))
		return;
	if (!is_on_its_way(ship(c, d, buffer, &ids, upto, header->committed,
				c->holds[hold].priority)))
		return;
	/* Its last entry may name it otherwise (take_back()). */
	b->trace_hi = t->hi;
	b->trace_lo = t->lo;
	b->handle = header->handle;
	d->rt[buffer].final_sent = false;
	hs_queue_sent(c, d, c->holds[hold].trigger, upto - from, now_ns);
}
