/* SPDX-License-Identifier: Apache-2.0 */
/*
 * app.c - processes that write as libhindsight does: a handle has a slot and a
 * buffer, publishes through a lane that may be full, and dies with its process
 *
 * Whatever it does is noted with the oracle in the same step.
 */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "tests/sim/sim.h"
#include "tests/sim/tally.h"

#define HEADER_BYTES ((uint32_t)sizeof(struct hs_shm_buffer))

const char *sim_app_name(uint32_t i)
{
	static const char *const names[SIM_NR_NAMES] = {"slow", "error",
							"queue"};

	return names[i % SIM_NR_NAMES];
}

static struct sim_lane *lane_of(struct sim *s, struct sim_process *p)
{
	return &p->lanes[hs_random_below(&s->app, SIM_LANES)];
}

/* Entries that belong together, or none of them. */
static bool offer(struct sim *s, uint32_t node, struct sim_lane *lane,
		  const struct hs_shm_entry *entries, uint32_t nr)
{
	if (lane->room < lane->head - lane->tail + nr)
		return false;
	for (uint32_t i = 0; i < nr; i++)
		lane->entries[lane->head++ % SIM_LANE_ROOM] = entries[i];
	if (s->nodes[node].up)
		sim_node_wake(s, node,
			      sim_between(&s->shell, 10, 1000) * SIM_US);
	return true;
}

static struct sim_process *process_of(struct sim *s, const struct sim_handle *h)
{
	return &s->nodes[h->node].procs[h->process];
}

static struct hs_shm_buffer *header_of(struct sim *s,
				       const struct sim_handle *h)
{
	struct sim_node *n = &s->nodes[h->node];
	uint64_t at =
		(uint64_t)hs_shm_stock_ref(h->word) * HS_SHM_REF_UNIT_BYTES;

	at += n->pool_at[process_of(s, h)->domain];
	return (struct hs_shm_buffer *)(n->pool + at);
}

static struct hs_shm_entry entry_of(struct sim *s, const struct sim_handle *h,
				    uint8_t type)
{
	const struct ora_trace *t = &s->traces[h->trace];

	return (struct hs_shm_entry){
		.trace_hi = t->id.hi,
		.trace_lo = t->id.lo,
		.handle = h->handle,
		.seq = h->seq < 0xffff ? (uint16_t)h->seq : 0xffff,
		.type = type,
		.aux = h->lost != 0,
	};
}

static void lost(struct sim *s, struct sim_handle *h)
{
	h->lost++;
	process_of(s, h)->slots[h->slot].lost = h->lost;
	ora_lost(s, h->visit, h->process_number);
}

/* ---- the end of a handle --------------------------------------------------
 */

/* Nothing more comes of it, be its END published or lost. */
static void over(struct sim *s, struct sim_handle *h, bool is_lost)
{
	struct sim_process *p = process_of(s, h);

	if (is_lost) {
		sim_story(s, h->node, "its end is lost");
		ora_lost(s, h->visit, h->process_number);
		if (h->buffer)
			h->buffer->lost = true;
	} else {
		ora_named(s, h->visit, h->process_number);
	}
	if (h->buffer) {
		h->buffer->born = s->order;
		h->visit->nr_published++;
	}
	sim_tally_count(s, h);
	p->slots[h->slot].use++;
	p->owners[h->slot] = NULL;
	h->visit->ended = s->order;
	h->visit->ended_begun = h->begun;
	h->visit->nr_open--;
	h->live = false;
}

static bool try_end(struct sim *s, struct sim_handle *h, struct sim_lane *lane)
{
	struct hs_shm_entry e = entry_of(s, h, HS_SHM_ENTRY_END);

	e.u.buffer.ref = h->word ? hs_shm_stock_ref(h->word) : HS_SHM_NO_BUFFER;
	e.u.buffer.committed = h->word ? h->pos : 0;
	if (!offer(s, h->node, lane, &e, 1))
		return false;
	over(s, h, false);
	return true;
}

/* What waits in a lane goes first. Return: false: it is still full. */
static bool flush(struct sim *s, struct sim_lane *lane)
{
	while (lane->ended) {
		struct sim_handle *h = lane->ended;

		if (!try_end(s, h, lane))
			return false;
		lane->ended = h->ended_next;
		free(h);
	}
	return true;
}

/* Its owner's handle is over; what it was waits. */
static void wait_for_room(struct sim *s, struct sim_handle *h,
			  struct sim_lane *lane)
{
	struct sim_handle *w = sim_zalloc(1, sizeof(*w));

	sim_story(s, h->node, "its end waits for room");
	s->t.waited++;
	h->live = false;
	*w = *h;
	w->waits = true;
	w->ended_next = lane->ended;
	lane->ended = w;
	process_of(s, h)->owners[h->slot] = w;
}

void sim_app_forget(struct sim_process *p)
{
	for (uint32_t l = 0; l < SIM_LANES; l++)
		while (p->lanes[l].ended) {
			struct sim_handle *h = p->lanes[l].ended;

			p->lanes[l].ended = h->ended_next;
			free(h);
		}
}

void sim_app_sweep(struct sim *s, uint32_t node)
{
	for (uint32_t p = 0; p < s->p.nr_procs; p++)
		for (uint32_t l = 0; l < SIM_LANES; l++)
			if (s->nodes[node].procs[p].alive)
				flush(s, &s->nodes[node].procs[p].lanes[l]);
}

/* Another thread has the one that is borrowed. */
static bool laneless(struct sim *s, const struct sim_process *p)
{
	return p->today && s->p.laneless > 0 &&
	       hs_random_chance(&s->app, s->p.laneless);
}

static bool push(struct sim *s, uint32_t node, struct sim_process *p,
		 const struct hs_shm_entry *entries, uint32_t nr)
{
	struct sim_lane *lane = lane_of(s, p);

	if (flush(s, lane) && offer(s, node, lane, entries, nr))
		return true;
	lane->lost += nr;
	return false;
}

/* Its trace is told that something of it is lost, where that can be said. */
static void no_handle(struct sim *s, struct sim_handle *h, bool has_lane)
{
	struct sim_process *p = process_of(s, h);
	struct hs_shm_entry e = entry_of(s, h, HS_SHM_ENTRY_END);
	struct sim_lane *lane;

	e.u.buffer.ref = HS_SHM_NO_BUFFER;
	e.aux = 1;
	ora_lost(s, h->visit, p->number);
	if (has_lane && p->today) {
		lane = lane_of(s, p);
		if (flush(s, lane) && offer(s, h->node, lane, &e, 1)) {
			ora_named(s, h->visit, p->number);
			return;
		}
	}
	p->unpinned++;
}

/* ---- handles --------------------------------------------------------------
 */

/* Now and then a buffer goes back unused, as the agent may have asked. */
static void give_back(struct sim *s, struct sim_process *p)
{
	struct sim_ring *ring = &p->rings[p->next_handle % s->p.nr_classes];
	struct sim_lane *lane = &p->lanes[0];
	struct hs_shm_entry e = {.type = HS_SHM_ENTRY_RETURN};

	if (p->next_handle % 8 || ring->head == ring->tail ||
	    lane->head - lane->tail >= lane->room)
		return;
	e.u.buffer.ref =
		hs_shm_stock_ref(ring->words[ring->tail++ % SIM_RING_ROOM]);
	lane->entries[lane->head++ % SIM_LANE_ROOM] = e;
}

bool sim_handle_begin(struct sim *s, struct sim_handle *h, uint32_t node,
		      uint32_t process, uint32_t trace)
{
	struct sim_node *n = &s->nodes[node];
	struct sim_process *p = &n->procs[process];
	uint32_t slot = 0;

	memset(h, 0, sizeof(*h));
	if (!p->alive)
		return false;
	h->node = node;
	h->process = process;
	h->process_number = p->number;
	h->node_id = n->id;
	h->trace = trace;
	h->visit = ora_visit_get(s, trace, n->id);
	s->t.shared +=
		h->visit->domains && h->visit->domains != 1u << p->domain;
	h->visit->domains |= 1u << p->domain;
	p->recent[p->nr_recent++ % 16] = trace;
	while (slot < s->p.nr_slots && (p->slots[slot].use & 1))
		slot++;
	if (laneless(s, p)) {
		no_handle(s, h, false);
		return false;
	}
	if (slot == s->p.nr_slots) {
		no_handle(s, h, true);
		return false;
	}
	h->slot = slot;
	h->handle = ++p->next_handle;
	give_back(s, p);
	h->live = true;
	h->begun = s->order;
	h->visit->nr_open++;
	p->owners[slot] = h;
	sim_story(s, node, "process %u begins handle %u of trace %u", p->number,
		  h->handle, trace);
	p->slots[slot] = (struct hs_shm_slot){
		.use = p->slots[slot].use + 1,
		.handle = h->handle,
		.trace_hi = s->traces[trace].id.hi,
		.trace_lo = s->traces[trace].id.lo,
		.begin_ns = sim_node_now(s, n),
	};
	return true;
}

/* The class that comes next, else the one below it, else the one above. */
static struct sim_ring *ring_of(struct sim *s, struct sim_process *p,
				uint32_t seq)
{
	uint32_t want = seq < s->p.nr_classes ? seq : s->p.nr_classes - 1;

	if (p->rings[want].head != p->rings[want].tail)
		return &p->rings[want];
	if (want > 0 && p->rings[want - 1].head != p->rings[want - 1].tail)
		return &p->rings[want - 1];
	if (want + 1 < s->p.nr_classes &&
	    p->rings[want + 1].head != p->rings[want + 1].tail)
		return &p->rings[want + 1];
	return NULL;
}

static bool take_buffer(struct sim *s, struct sim_handle *h)
{
	struct sim_process *p = process_of(s, h);
	struct sim_ring *ring = ring_of(s, p, h->seq);
	struct hs_shm_buffer *header;

	if (!ring) {
		p->slots[h->slot].buffer = 0;
		return false;
	}
	h->word = ring->words[ring->tail++ % SIM_RING_ROOM];
	h->size = s->nodes[h->node].domains[p->domain].buffer_bytes;
	for (uint32_t c = hs_shm_stock_class(h->word); c-- > 0;)
		h->size *= s->p.class_factor;
	h->pos = HEADER_BYTES;
	header = header_of(s, h);
	*header = (struct hs_shm_buffer){
		.magic = HS_SHM_BUF_MAGIC,
		.version = HS_SHM_BUF_VERSION,
		.header_bytes = (uint16_t)HEADER_BYTES,
		.stock_word = h->word,
		.trace_hi = s->traces[h->trace].id.hi,
		.trace_lo = s->traces[h->trace].id.lo,
		.process = p->number,
		.handle = h->handle,
		.seq = h->seq,
		.committed = HEADER_BYTES,
		.first_record = HEADER_BYTES,
	};
	h->buffer = ora_buffer_new(s, h->visit, h);
	p->slots[h->slot].seq = h->seq;
	p->slots[h->slot].buffer = h->word;
	return true;
}

static bool publish(struct sim *s, struct sim_handle *h)
{
	struct hs_shm_entry e = entry_of(s, h, HS_SHM_ENTRY_BUFFER);

	e.u.buffer.ref = hs_shm_stock_ref(h->word);
	e.u.buffer.committed = h->pos;
	if (!push(s, h->node, process_of(s, h), &e, 1))
		return false;
	h->buffer->born = s->order;
	h->visit->nr_published++;
	ora_named(s, h->visit, h->process_number);
	h->word = 0;
	h->buffer = NULL;
	h->seq++;
	return true;
}

void sim_handle_write(struct sim *s, struct sim_handle *h, uint32_t bytes)
{
	while (h->live && bytes) {
		uint32_t room;

		if (h->word && h->pos == h->size && !publish(s, h)) {
			lost(s, h);
			return;
		}
		if (!h->word && !take_buffer(s, h)) {
			lost(s, h);
			return;
		}
		room = h->size - h->pos;
		if (room > bytes)
			room = bytes;
		ora_bytes(h->buffer->key, h->pos, h->pos + room,
			  (uint8_t *)header_of(s, h) + h->pos);
		h->pos += room;
		h->buffer->committed = h->pos;
		header_of(s, h)->committed = h->pos;
		bytes -= room;
	}
}

/* @named: as the application says it. */
static void crumb(struct sim *s, struct sim_handle *h, uint64_t node,
		  uint64_t named, uint8_t kind)
{
	struct hs_shm_entry e = entry_of(s, h, HS_SHM_ENTRY_CRUMB);

	if (!h->live)
		return;
	e.u.arg = named;
	e.aux = kind;
	if (!push(s, h->node, process_of(s, h), &e, 1)) {
		lost(s, h);
		return;
	}
	ora_named(s, h->visit, h->process_number);
	if (node != h->node_id)
		ora_crumb(s, h->visit, node, named != node);
}

void sim_handle_crumb(struct sim *s, struct sim_handle *h, uint64_t node,
		      uint8_t kind)
{
	crumb(s, h, node, node, kind);
}

void sim_handle_forward(struct sim *s, struct sim_handle *h, uint32_t to)
{
	bool by_address = s->p.addresses && (h->trace + to) % 2;

	crumb(s, h, s->nodes[to].id,
	      by_address ? sim_address(to) : s->nodes[to].id,
	      HS_SHM_CRUMB_FORWARD);
}

void sim_handle_end(struct sim *s, struct sim_handle *h)
{
	struct sim_process *p = process_of(s, h);
	struct sim_lane *lane;
	bool without;

	if (!h->live)
		return;
	sim_story(s, h->node, "process %u ends handle %u of trace %u",
		  p->number, h->handle, h->trace);
	without = laneless(s, p);
	lane = lane_of(s, p);
	if (!without && flush(s, lane) && try_end(s, h, lane))
		return;
	if (p->today) {
		wait_for_room(s, h, lane);
		return;
	}
	lane->lost++;
	over(s, h, true);
}

void sim_app_trigger(struct sim *s, uint32_t node, uint32_t process,
		     const uint32_t *traces, uint32_t nr, uint32_t name)
{
	struct sim_process *p = &s->nodes[node].procs[process];
	struct hs_shm_entry e[HS_WIRE_TRACES_MAX];

	if (!p->alive)
		return;
	for (uint32_t i = 0; i < nr; i++)
		e[i] = (struct hs_shm_entry){
			.trace_hi = s->traces[traces[i]].id.hi,
			.trace_lo = s->traces[traces[i]].id.lo,
			.u.arg = name,
			.type = i ? HS_SHM_ENTRY_LATERAL : HS_SHM_ENTRY_TRIGGER,
			.aux = i ? 0 : (uint8_t)(nr - 1),
		};
	push(s, node, p, e, nr);
	s->t.triggers++;
}

void sim_app_crash(struct sim *s, uint32_t node, uint32_t process)
{
	struct sim_node *n = &s->nodes[node];
	struct sim_process *p = &n->procs[process];

	if (!p->alive)
		return;
	sim_story(s, node, "process %u crashes", p->number);
	for (uint32_t i = 0; i < s->p.nr_slots; i++) {
		struct sim_handle *h = p->owners[i];

		if (!(p->slots[i].use & 1) || !h)
			continue;
		h->visit->crashed = true;
		ora_lost(s, h->visit, p->number);
		ora_named(s, h->visit, p->number);
		ora_priority(s, h->trace, h->trace);
		s->traces[h->trace].crashed = true;
		h->visit->nr_open--;
		h->live = false;
		p->owners[i] = NULL;
	}
	sim_app_forget(p);
	p->alive = false;
	p->dead = true;
	n->crashes++;
	s->t.app_crashes++;
	sim_node_wake(s, node, 10 * SIM_MS);
}

static struct hs_wire_trace_id any_trace(struct sim *s)
{
	struct hs_wire_trace_id id;
	uint32_t hit;

	if (s->nr_traces && hs_random_chance(&s->app, 0.5)) {
		uint32_t t = (uint32_t)hs_random_below(&s->app, s->nr_traces);

		s->traces[t].touched = true;
		return s->traces[t].id;
	}
	id.hi = hs_random_chance(&s->app, 0.3) ? 0 : hs_random_u64(&s->app);
	id.lo = hs_random_chance(&s->app, 0.1)
			? 0
			: hs_random_below(&s->app, 64) | id.hi;
	hit = ora_trace_find(s, &id);
	if (hit != UINT32_MAX)
		s->traces[hit].touched = true;
	return id;
}

/* A process of another domain that says whatever it likes. */
void sim_app_nonsense(struct sim *s, uint32_t node, uint32_t process)
{
	struct sim_process *p = &s->nodes[node].procs[process];

	s->nodes[node].hostile_seen = true;
	for (uint32_t i = 0; p->alive && i < 24; i++) {
		struct hs_wire_trace_id id = any_trace(s);
		struct hs_shm_entry e = {.trace_hi = id.hi, .trace_lo = id.lo};
		uint64_t number;

		/* One statement a draw: the order within one is free. */
		e.handle = (uint32_t)hs_random_below(&s->app, 4);
		e.seq = (uint16_t)hs_random_below(&s->app, 4);
		e.type = (uint8_t)hs_random_below(&s->app, 9);
		e.aux = (uint8_t)hs_random_below(&s->app, 3);
		number = hs_random_below(&s->app, 2 * s->p.nr_nodes);
		e.u.arg = number << 32 | hs_random_below(&s->app, 3);
		if (e.type == HS_SHM_ENTRY_BUFFER ||
		    e.type == HS_SHM_ENTRY_END) {
			struct sim_ring *ring = ring_of(s, p, e.seq);

			e.u.buffer.ref =
				ring ? hs_shm_stock_ref(
					       ring->words[ring->tail++ %
							   SIM_RING_ROOM])
				     : (uint32_t)hs_random_u64(&s->app);
			e.u.buffer.committed = (uint32_t)hs_random_below(
				&s->app, 2 * s->p.buffer_bytes);
		} else if (e.type == HS_SHM_ENTRY_TRIGGER) {
			e.u.arg = hs_random_below(&s->app, 5);
		}
		push(s, node, p, &e, 1);
	}
}
