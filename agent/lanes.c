/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see lanes.h. */
#include "agent/lanes.h"

#include "agent/nap.h"
#include "agent/shm_read.h"
#include "agent/tally_send.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/planted.h"

/* Of one lane in one round; a trigger with its laterals always fits. */
#define BATCH_ENTRIES 256u
_Static_assert(BATCH_ENTRIES > 2 * HS_WIRE_TRACES_MAX, "a group must fit");

/* Words of a ring to begin with, and what part of their share larger classes
 * have then: most traces never get there. */
#define LEVEL_FIRST  512u
#define FIRST_SHARE  4u
#define GROWTH_EMPTY 16u
/* As many as make naps worth while, where that is a small part of its share:
 * a level is so many times what one nap takes. */
#define NAP_SHARE 4u
#define NAP_TIMES 16u
/* Of a short trace: its end, and who called it or answered it. */
#define BUFFER_ENTRIES 3u
/* Handed out at a time; what a kill may leave to nobody. */
#define FILL_WORDS   16u
#define SCARCE_BYTES (4u << 10)
#define SCARCE_MAX   4u
#define CALM_NS	     (2 * HS_NS_PER_SEC)
/* What an idle process keeps: of the pool, all its rings together. */
#define IDLE_SHARE 128u
#define WATCH_NS   (200 * HS_NS_PER_MS) /* between looks at counters */
/* A guest may have one part in so many of its domain's pool in stock. */
#define STOCK_SHARE  2u
#define STOCK_GUESTS 4u

static void cut_off(struct hs_worker *w, struct hs_guest *g, const char *why)
{
	static struct hs_log_limit limit = HS_LOG_LIMIT_INIT;
	uint64_t quiet;

	g->garbage = true;
	w->counters.guests_garbage++;
	/* Its data may be worthless, and it may have had more than it said. */
	hs_agent_core_loss(w->core, g->tenant->index, g->number, g->read_ns,
			   w->now_ns);
	g->nr_orphaned =
		hs_agent_core_stocked_by(w->core, g->tenant->index, g->number);
	hs_guest_hang_up(g);
	if (hs_log_limit_pass(&limit, w->now_ns, &quiet))
		hs_log_warn("agent",
			    "a process wrote nonsense into shared "
			    "memory and is cut off: %s pid=%ld "
			    "service=%s process=%u",
			    why, (long)g->pid, g->service, g->number);
}

static void read_names(struct hs_guest *g)
{
	const struct hs_shm_up *up = g->up.base;
	uint32_t nr = hs_shm_read_nr_triggers(up);

	/* A name that may be read does not change: what was read stays. */
	while (g->nr_names < nr) {
		hs_shm_read_trigger(&g->names[g->nr_names], up, g->nr_names);
		g->nr_names++;
	}
}

static bool has_trigger(const struct hs_shm_entry *entries, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		if (entries[i].type == HS_SHM_ENTRY_TRIGGER)
			return true;
	return false;
}

/* Return: entries used. */
static uint32_t drain_lane(struct hs_worker *w, struct hs_guest *g,
			   uint32_t lane)
{
	struct hs_shm_entry entries[BATCH_ENTRIES];
	const struct hs_shm_lane *shared = hs_guest_lane(g, lane);
	const struct hs_shm_entry *ring = (const void *)(shared + 1);
	struct hs_guest_lane *own = &g->lanes[lane];
	uint64_t left = hs_shm_read_lane_head(shared) - own->tail;
	uint32_t nr, used;

	if (left == 0)
		return 0;
	if (left > g->layout.lane_entries) {
		cut_off(w, g, "a lane's head beyond its entries");
		return 0;
	}
	nr = left < BATCH_ENTRIES ? (uint32_t)left : BATCH_ENTRIES;
	for (uint32_t i = 0; i < nr; i++)
		hs_shm_read_entry(&entries[i], ring, g->layout.lane_entries - 1,
				  own->tail + i);
	if (has_trigger(entries, nr)) {
		w->trigger_ns = w->now_ns;
		read_names(g);
	}
	if (HS_PLANTED(107))
		hs_shm_write_lane_tail(hs_guest_lane_tail(g, lane),
				       own->tail + nr);
	used = hs_agent_core_entries(w->core, g->tenant->index, g->number,
				     entries, nr, g->names, g->nr_names,
				     w->now_ns);
	if (used == 0 && nr > HS_WIRE_TRACES_MAX) {
		cut_off(w, g, "entries that are never complete");
		return 0;
	}
	own->tail += used < nr ? used : nr;
	hs_shm_write_lane_tail(hs_guest_lane_tail(g, lane), own->tail);
	return used;
}

/*
 * Drops that name no trace. Those for want of a buffer (the rings' nulls) are
 * not among them: the handle itself carries them, in its slot and its END. A
 * full lane costs triggers, and their callers know: nothing of any trace is
 * missing for that (ADR 71). Who speaks version 1 may have lost more by it.
 */
static void count_losses(struct hs_worker *w, struct hs_guest *g)
{
	uint64_t unpinned = hs_shm_read_unpinned(g->up.base);
	bool taints = unpinned != g->unpinned, lost = taints;

	if (lost) {
		w->counters.lost_unpinned += unpinned - g->unpinned;
		g->lost_total += unpinned - g->unpinned;
		g->unpinned = unpinned;
	}
	for (uint32_t i = 0; i < g->layout.nr_lanes; i++) {
		uint64_t n = hs_shm_read_lane_lost(hs_guest_lane(g, i));

		if (n == g->lanes[i].lost)
			continue;
		w->counters.lane_lost += n - g->lanes[i].lost;
		g->lost_total += n - g->lanes[i].lost;
		g->lanes[i].lost = n;
		lost = true;
		taints |= g->layout.version == 1;
	}
	if (taints)
		hs_agent_core_loss(w->core, g->tenant->index, g->number,
				   g->read_ns, w->now_ns);
	if (lost)
		hs_guest_losses_seen(g);
}

static uint32_t at_least_one(uint64_t n)
{
	return n < 1 ? 1 : (uint32_t)n;
}

/*
 * What one ring may have where there is no want, in words. Divided anew when
 * guests come or go: there are as many rings as cores and classes, and all of
 * them are looked at in each round.
 */
static uint64_t ring_share(const struct hs_guest *g, struct hs_guest_ring *r)
{
	const struct hs_tenant *t = g->tenant;
	uint32_t guests =
		t->nr_guests < STOCK_GUESTS ? STOCK_GUESTS : t->nr_guests;

	if (r->share_guests == guests)
		return r->share;
	r->share_guests = guests;
	r->share = (uint64_t)t->config.nr_buffers * t->config.buffer_bytes /
		   STOCK_SHARE / guests / g->layout.nr_rings /
		   hs_tenant_class_bytes(t, r->size_class);
	return r->share;
}

/* What it may have where there is: it keeps its process going. */
static uint32_t ring_scarce(const struct hs_guest *g,
			    const struct hs_guest_ring *r)
{
	uint32_t scarce = at_least_one(
		SCARCE_BYTES / hs_tenant_class_bytes(g->tenant, r->size_class));

	return scarce < SCARCE_MAX ? scarce : SCARCE_MAX;
}

/*
 * Late processes must not push all traces out for stocks of their own: where
 * half the pool is stocked, a ring gets what keeps it going, and what is over
 * that is asked back.
 */
static uint32_t level_max(const struct hs_worker *w, const struct hs_guest *g,
			  struct hs_guest_ring *r)
{
	const struct hs_tenant *t = g->tenant;
	uint64_t share = ring_share(g, r);

	if (hs_agent_core_stocked(w->core, t->index) >=
		    t->config.nr_buffers / STOCK_SHARE &&
	    share > ring_scarce(g, r))
		share = ring_scarce(g, r);
	/* One place stays empty: see ring_fill(). */
	return at_least_one(share > r->mask ? r->mask : share);
}

static uint32_t level_idle(const struct hs_guest *g,
			   const struct hs_guest_ring *r)
{
	const struct hs_tenant *t = g->tenant;

	return at_least_one((uint64_t)t->config.nr_buffers *
			    t->config.buffer_bytes / IDLE_SHARE /
			    g->layout.nr_rings / g->nr_classes /
			    hs_tenant_class_bytes(t, r->size_class));
}

static uint32_t level_first(const struct hs_guest *g,
			    const struct hs_guest_ring *r, uint32_t max)
{
	uint32_t part = r->size_class == g->first_class ? 1 : FIRST_SHARE;
	uint32_t first = max / part;

	return at_least_one(first < LEVEL_FIRST ? first : LEVEL_FIRST);
}

static void ring_demand(struct hs_worker *w, const struct hs_guest *g,
			struct hs_guest_ring *r, uint64_t taken, bool was_empty)
{
	uint32_t max = level_max(w, g, r);

	if (r->level == 0) {
		r->level = level_first(g, r, max);
		r->busy_ns = w->now_ns;
	} else if (was_empty || taken * 2 >= r->level ||
		   (r->level < max / NAP_SHARE &&
		    taken * NAP_TIMES >= r->level)) {
		r->level *= was_empty ? GROWTH_EMPTY : 2;
		r->busy_ns = w->now_ns;
	} else if (w->now_ns - r->busy_ns > CALM_NS) {
		if (r->level > level_idle(g, r))
			r->level = at_least_one(r->level / 2);
		r->busy_ns = w->now_ns;
	}
	if (r->level > max)
		r->level = max;
}

/* What lies in stock above its level is wanted back: idle, or hoarded. */
static void ring_recall(struct hs_guest *g, struct hs_guest_ring *r,
			uint64_t used)
{
	uint64_t recall = r->head - r->level;

	/* Rounds shorter than the helper's: let it be done in steps. */
	if (used <= r->level || used - r->level <= r->level / 4 ||
	    recall <= r->recall || g->layout.version == 1)
		return;
	r->recall = recall;
	hs_shm_write_stock_recall(hs_guest_ring(g, r), recall);
}

/*
 * The place behind the last word of a row is cleared before the row is
 * announced, so that a successor never takes an old word for one that was
 * placed and not announced. Of a row that was, it announces the first; the
 * others are the process's, who never learns of them, until it ends.
 */
static void ring_fill(struct hs_worker *w, struct hs_guest *g,
		      struct hs_guest_ring *r, uint64_t used)
{
	struct hs_shm_stock_ring *shared = hs_guest_ring(g, r);
	uint64_t *ring = (uint64_t *)(shared + 1);
	uint32_t nr = 0, want = r->level - (uint32_t)used, some, got;

	do {
		uint64_t words[FILL_WORDS];

		some = want - nr < FILL_WORDS ? want - nr : FILL_WORDS;
		got = hs_agent_core_stock_some(w->core, g->tenant->index,
					       g->number, r->size_class,
					       r->node, words, some);
		nr += got;
		if (!got)
			break;
		hs_shm_write_stock_word(&ring[(r->head + got) & r->mask], 0);
		for (uint32_t i = 0; i < got; i++)
			hs_shm_write_stock_word(&ring[(r->head + i) & r->mask],
						words[i]);
		r->head += got;
		hs_shm_write_stock_head(shared, r->head);
	} while (nr < want && got == some);
}

static void count_nulls(struct hs_worker *w, struct hs_guest *g,
			struct hs_guest_ring *r, uint64_t nulls,
			uint64_t empties)
{
	w->counters.stock_nulls += nulls - r->nulls;
	g->nulls_total += nulls - r->nulls;
	w->counters.stock_empties += empties - r->empties;
	r->nulls = nulls;
	r->empties = empties;
}

static void crowded(struct hs_worker *w, uint64_t used, uint64_t room)
{
	uint32_t crowding;

	if (!used)
		return;
	crowding = hs_nap_crowding(used, room);
	if (crowding > w->crowding)
		w->crowding = crowding;
}

static void least_room(struct hs_worker *w, uint32_t buffers)
{
	if (!w->least_room || buffers < w->least_room)
		w->least_room = buffers;
}

static void stock_ring(struct hs_worker *w, struct hs_guest *g,
		       struct hs_guest_ring *r)
{
	const struct hs_shm_stock_tail *shared = hs_guest_stock_tail(g, r);
	uint64_t tail = hs_shm_read_stock_tail(shared);
	uint64_t nulls = hs_shm_read_stock_nulls(shared);
	uint64_t empties = hs_shm_read_stock_empties(shared);
	uint64_t used = r->head - tail;
	uint64_t taken = tail - r->tail;

	if (used > r->mask + 1ull || taken > r->mask + 1ull) {
		cut_off(w, g, "a stock's tail beyond its words");
		return;
	}
	/* What was asked back is no demand. */
	if (r->recall > r->tail)
		taken = tail > r->recall ? tail - r->recall : 0;
	ring_demand(w, g, r, taken, empties != r->empties || nulls != r->nulls);
	crowded(w, taken, r->level);
	if (taken)
		least_room(w, r->level);
	if (empties != r->empties)
		w->crowding = HS_NAP_WHOLE;
	count_nulls(w, g, r, nulls, empties);
	r->tail = tail;
	ring_recall(g, r, used);
	if (used < r->level)
		ring_fill(w, g, r, used);
}

static void scan_guest(struct hs_worker *w, struct hs_guest *g, bool dead)
{
	const struct hs_shm_slot *slots = hs_guest_slots(g);
	uint32_t nr = hs_shm_read_slots_used(g->up.base, g->layout.nr_slots);
	struct hs_shm_slot slot;
	struct hs_shm_buffer header;

	for (uint32_t i = 0; i < nr; i++) {
		bool has_header;

		if (!hs_shm_read_slot(&slot, &slots[i]))
			continue;
		has_header = hs_tenant_header(g->tenant, slot.buffer, &header);
		if (dead)
			hs_agent_core_dead_slot(
				w->core, g->tenant->index, g->number, &slot,
				has_header ? &header : NULL, w->now_ns);
		else
			hs_agent_core_slot(w->core, g->tenant->index, g->number,
					   &slot, has_header ? &header : NULL,
					   w->now_ns);
	}
}

void hs_lanes_scan(struct hs_worker *w)
{
	uint64_t from_ns;

	if (!hs_agent_core_wants_scan(w->core, w->now_ns))
		return;
	from_ns = hs_clock_mono_ns();
	hs_agent_core_begin_scan(w->core, w->now_ns);
	for (uint32_t i = 0; i < w->nr_guests; i++) {
		struct hs_guest *g = w->guests[i];

		if (g && !g->garbage && !g->dead)
			scan_guest(w, g, false);
	}
	hs_agent_core_end_scan(w->core);
	hs_agent_core_scan_took(w->core, hs_clock_mono_ns() - from_ns);
}

/*
 * Up to where the heads stand now: what ended before the scan of the slots must
 * be known when the round answers "closed". Bounded, since no lane holds more
 * than its entries: a head beyond them is no head, and one that runs before us
 * is not run after.
 */
static void drain(struct hs_worker *w, struct hs_guest *g)
{
	for (uint32_t i = 0; i < g->layout.nr_lanes && !g->garbage; i++) {
		uint64_t head = hs_shm_read_lane_head(hs_guest_lane(g, i));
		uint64_t left = head - g->lanes[i].tail;
		uint32_t used;

		if (!left)
			continue;
		if (left > g->layout.lane_entries) {
			cut_off(w, g, "a lane's head beyond its entries");
			break;
		}
		crowded(w, left, g->layout.lane_entries);
		least_room(w, g->layout.lane_entries / BUFFER_ENTRIES);
		do {
			used = drain_lane(w, g, i);
			left -= used < left ? used : left;
		} while (used && left && !g->garbage);
	}
}

static void tell_status(const struct hs_worker *w, struct hs_guest *g)
{
	struct hs_shm_status *status =
		(void *)((uint8_t *)g->down.base + HS_SHM_DOWN_STATUS);

	hs_shm_write_heartbeat(status, w->counters.rounds);
	if (g->calibration == w->calibrate.now.number && g->told)
		return;
	hs_calibration_write(status, &w->calibrate.now);
	g->calibration = w->calibrate.now.number;
	g->told = true;
}

/* What is told and read at leisure. */
static void look_around(struct hs_worker *w, struct hs_guest *g)
{
	hs_rules_tell(w, g);
	hs_tally_round(w, g);
	if (w->now_ns < g->watch_ns)
		return;
	g->watch_ns = w->now_ns + WATCH_NS;
	hs_rules_count(w, g);
}

void hs_lanes_round(struct hs_worker *w)
{
	w->crowding = 0;
	w->least_room = 0;
	for (uint32_t i = 0; i < w->nr_guests; i++) {
		struct hs_guest *g = w->guests[i];

		if (!g || g->garbage || g->dead)
			continue;
		drain(w, g);
		count_losses(w, g);
		for (uint32_t r = 0;
		     r < g->layout.nr_rings * g->nr_classes && !g->garbage; r++)
			stock_ring(w, g, &g->rings[r]);
		g->read_ns = w->now_ns;
		tell_status(w, g);
		look_around(w, g);
	}
}

void hs_lanes_bury(struct hs_worker *w, struct hs_guest *g)
{
	/* Its heads stand still now, unless somebody else has its memory, too:
	 * what that one goes on writing is nobody's. */
	drain(w, g);
	if (!g->garbage) {
		count_losses(w, g);
		hs_rules_count(w, g);
		hs_tally_bury(w, g);
		scan_guest(w, g, true);
	}
	hs_agent_core_process_dead(w->core, g->tenant->index, g->number,
				   w->now_ns);
	w->counters.guests_dead++;
	hs_log_debug("agent", "process gone pid=%ld service=%s process=%u",
		     (long)g->pid, g->service, g->number);
	hs_guest_remove(w, g);
}

bool hs_lanes_quiet(const struct hs_guest *g)
{
	const struct hs_shm_slot *slots = hs_guest_slots(g);
	uint32_t nr = hs_shm_read_slots_used(g->up.base, g->layout.nr_slots);
	struct hs_shm_slot slot;

	for (uint32_t i = 0; i < nr; i++)
		if (hs_shm_read_slot(&slot, &slots[i]))
			return false;
	for (uint32_t i = 0; i < g->layout.nr_lanes; i++)
		if (hs_shm_read_lane_head(hs_guest_lane(g, i)) !=
		    g->lanes[i].tail)
			return false;
	return true;
}
