/* SPDX-License-Identifier: Apache-2.0 */
/*
 * round.c - the rounds of an agent's worker: slots, lanes, tick, as three
 * events with applications running in between; and what comes from outside
 */
#include <stdlib.h>
#include <string.h>

#include "agent/core_priv.h"
#include "tests/sim/sim.h"
#include "tests/sim/tally.h"

#define BATCH 64u

/* ---- rounds ----------------------------------------------------------------
 */

void sim_node_wake(struct sim *s, uint32_t i, uint64_t delay_ns)
{
	struct sim_node *n = &s->nodes[i];
	uint64_t at = s->now_ns + delay_ns;

	if (!n->up || n->in_round || n->round_at_ns <= at)
		return;
	n->round_at_ns = at;
	sim_push(s, at, SIM_EV_SCAN, i, 0, ++n->round_gen, NULL);
}

static void each_slot(struct sim *s, uint32_t i, struct sim_process *proc,
		      bool dead, uint64_t now)
{
	struct sim_node *n = &s->nodes[i];
	uint64_t room = sim_domain_bytes(n, proc->domain);

	for (uint32_t k = 0; k < s->p.nr_slots; k++) {
		struct hs_shm_slot slot = proc->slots[k];
		struct hs_shm_buffer header;
		uint64_t at = (uint64_t)hs_shm_stock_ref(slot.buffer) *
			      HS_SHM_REF_UNIT_BYTES;
		bool has = slot.buffer && at <= room - sizeof(header);

		if (!(slot.use & 1))
			continue;
		if (has)
			memcpy(&header, n->pool + n->pool_at[proc->domain] + at,
			       sizeof(header));
		sim_tenant_calls(s, n, proc->domain);
		if (dead)
			hs_agent_core_dead_slot(n->core, proc->domain,
						proc->number, &slot,
						has ? &header : NULL, now);
		else
			hs_agent_core_slot(n->core, proc->domain, proc->number,
					   &slot, has ? &header : NULL, now);
		sim_tenant_called(s, n, dead);
	}
}

/* Run a part of a round; the worker may die in it. */
static bool guarded(struct sim *s, uint32_t i,
		    void (*part)(struct sim *s, uint32_t i))
{
	jmp_buf kill;

	s->kill = &kill;
	if (setjmp(kill)) {
		s->kill = NULL;
		s->t.op_kills++;
		sim_node_kill(s, i);
		sim_push(s, s->now_ns + 50 * SIM_MS, SIM_EV_RESTART, i, 0, 0,
			 NULL);
		return false;
	}
	part(s, i);
	s->kill = NULL;
	return true;
}

static void part_scan(struct sim *s, uint32_t i)
{
	struct sim_node *n = &s->nodes[i];
	uint64_t now = sim_node_now(s, n);

	if (!hs_agent_core_wants_scan(n->core, now))
		return;
	n->scan_order = s->order;
	hs_agent_core_begin_scan(n->core, now);
	for (uint32_t p = 0; p < s->p.nr_procs; p++)
		if (n->procs[p].alive && !n->procs[p].dead)
			each_slot(s, i, &n->procs[p], false, now);
	hs_agent_core_end_scan(n->core);
}

static uint64_t gap(struct sim *s)
{
	return hs_random_chance(&s->shell, 0.3)
		       ? sim_between(&s->shell, 0, s->p.gap_max_ns / SIM_US) *
				 SIM_US
		       : 5 * SIM_US;
}

void sim_node_scan(struct sim *s, uint32_t i)
{
	struct sim_node *n = &s->nodes[i];

	n->in_round = true;
	s->t.rounds++;
	if (guarded(s, i, part_scan))
		sim_push(s, s->now_ns + gap(s), SIM_EV_LANES, i, 0,
			 n->round_gen, NULL);
}

static uint32_t nr_of(const struct hs_shm_entry *e, uint32_t nr)
{
	uint32_t k = 1;

	if (e[0].type == HS_SHM_ENTRY_TRIGGER)
		return e[0].aux + 1u < nr ? e[0].aux + 1u : nr;
	while (k < nr && e[k].type != HS_SHM_ENTRY_TRIGGER)
		k++;
	return k;
}

/* Triggers that only counted what they would take. */
static uint64_t dry_fired(const struct hs_agent_core *c)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < c->nr_triggers; i++)
		n += c->triggers[i].dry_fired;
	return n;
}

static void acked_or_not(struct sim *s, uint32_t i, const struct sim_process *p,
			 const struct hs_shm_entry *e,
			 const struct hs_agent_stats *before, uint64_t dry)
{
	struct hs_agent_stats after;
	uint32_t traces[HS_WIRE_TRACES_MAX], nr = 0;

	hs_agent_core_stats_get(s->nodes[i].core, &after);
	/* Behind one that was no good there may be another one. */
	if (after.triggers_local != before->triggers_local &&
	    after.entries_bad == before->entries_bad)
		sim_limits_fired(s, &s->nodes[i], (uint32_t)e[0].u.arg);
	if (dry != dry_fired(s->nodes[i].core) ||
	    after.triggers_limited != before->triggers_limited ||
	    after.triggers_refused != before->triggers_refused ||
	    after.entries_bad != before->entries_bad) {
		s->t.refused++;
		return;
	}
	if (p->hostile)
		return;
	for (uint32_t k = 0; k <= e[0].aux && k < HS_WIRE_TRACES_MAX; k++) {
		struct hs_wire_trace_id id = {e[k].trace_hi, e[k].trace_lo};
		uint32_t t = ora_trace_find(s, &id);

		if (t != UINT32_MAX)
			traces[nr++] = t;
	}
	ora_acked(s, i, sim_app_name((uint32_t)e[0].u.arg), traces, nr);
}

/* Feed one batch of a lane. Return: entries used. */
static uint32_t drain(struct sim *s, uint32_t i, struct sim_process *proc,
		      struct sim_lane *lane, const struct hs_shm_trigger *names)
{
	struct sim_node *n = &s->nodes[i];
	struct hs_shm_entry e[BATCH + HS_WIRE_TRACES_MAX];
	uint64_t now = sim_node_now(s, n);
	uint32_t nr = lane->head - lane->tail, at = 0;

	if (nr > BATCH)
		nr = BATCH;
	for (uint32_t k = 0; k < nr; k++)
		e[k] = lane->entries[(lane->tail + k) % SIM_LANE_ROOM];
	while (at < nr) {
		uint32_t want = nr_of(&e[at], nr - at), used;
		struct hs_agent_stats before;
		uint64_t dry = dry_fired(n->core);

		if (e[at].type == HS_SHM_ENTRY_TRIGGER &&
		    e[at].aux + 1u > nr - at && nr == BATCH)
			break; /* its laterals are in the next batch */
		hs_agent_core_stats_get(n->core, &before);
		sim_tenant_calls(s, n, proc->domain);
		used = hs_agent_core_entries(n->core, proc->domain,
					     proc->number, &e[at], want, names,
					     SIM_NR_NAMES, now);
		sim_tenant_called(s, n, e[at].type == HS_SHM_ENTRY_TRIGGER);
		if (used == 0)
			break;
		if (e[at].type == HS_SHM_ENTRY_TRIGGER)
			acked_or_not(s, i, proc, &e[at], &before, dry);
		at += used;
	}
	/* A worker that dies before it has said so hands them out again. */
	if (at && n->kill_in_ops && hs_random_chance(&s->shell, 0.5)) {
		n->kill_in_ops = 0;
		longjmp(*s->kill, 1);
	}
	lane->tail += at;
	return at;
}

static void count_losses(struct sim *s, uint32_t i, struct sim_process *p)
{
	struct sim_node *n = &s->nodes[i];
	bool lost = p->unpinned != p->unpinned_seen;

	p->unpinned_seen = p->unpinned;
	for (uint32_t l = 0; l < SIM_LANES; l++) {
		/* Of today's library these are triggers (ADR 71). */
		lost |= p->lanes[l].lost != p->lanes[l].lost_seen && !p->today;
		p->lanes[l].lost_seen = p->lanes[l].lost;
	}
	if (!lost)
		return;
	n->forgot |= 1u << p->domain;
	sim_tenant_calls(s, n, p->domain);
	hs_agent_core_loss(n->core, p->domain, p->number, p->read_ns,
			   sim_node_now(s, n));
	sim_tenant_called(s, n, false);
}

static void bury(struct sim *s, uint32_t i, uint32_t p,
		 const struct hs_shm_trigger *names)
{
	struct sim_node *n = &s->nodes[i];
	struct sim_process *proc = &n->procs[p];
	uint64_t now = sim_node_now(s, n);

	for (uint32_t l = 0; l < SIM_LANES; l++)
		while (drain(s, i, proc, &proc->lanes[l], names))
			;
	count_losses(s, i, proc);
	each_slot(s, i, proc, true, now);
	sim_tenant_calls(s, n, proc->domain);
	hs_agent_core_process_dead(n->core, proc->domain, proc->number, now);
	sim_tenant_called(s, n, true);
	sim_tally_bury(s, i, p);
	sim_process_attach(s, i, p);
	sim_story(s, i, "buries a process; its next one is %u", proc->number);
}

static void stock(struct sim *s, struct sim_node *n, struct sim_process *proc,
		  uint32_t size_class, uint64_t now)
{
	struct sim_ring *ring = &proc->rings[size_class];

	sim_tenant_calls(s, n, proc->domain);
	while (ring->head - ring->tail < sim_ring_words(&s->p, size_class)) {
		uint64_t word = hs_agent_core_stock_class(
			n->core, proc->domain, proc->number, size_class, 0);

		if (!word)
			break;
		ring->words[ring->head++ % SIM_RING_ROOM] = word;
	}
	sim_tenant_called(s, n, false);
}

static void part_lanes(struct sim *s, uint32_t i)
{
	struct sim_node *n = &s->nodes[i];
	uint64_t now = sim_node_now(s, n);
	struct hs_shm_trigger names[SIM_NR_NAMES] = {{{0}}};
	struct hs_agent_stats before, after;

	for (uint32_t k = 0; k < SIM_NR_NAMES; k++)
		strcpy(names[k].name, sim_app_name(k));
	hs_agent_core_stats_get(n->core, &before);
	for (uint32_t p = 0; p < s->p.nr_procs; p++) {
		struct sim_process *proc = &n->procs[p];

		if (proc->dead) {
			bury(s, i, p, names);
			continue;
		}
		if (!proc->alive)
			continue;
		/* To where the heads stand, as a worker does: what ended before
		 * the slots were looked at is known when it answers. */
		for (uint32_t l = 0; l < SIM_LANES; l++)
			while (drain(s, i, proc, &proc->lanes[l], names))
				n->busy_until_ns = s->now_ns + 2 * SIM_S;
		count_losses(s, i, proc);
		for (uint32_t c = 0; c < s->p.nr_classes; c++)
			stock(s, n, proc, c, now);
		proc->read_ns = now;
		sim_tally_round(s, i, p);
	}
	sim_tally_dead_round(s, i);
	hs_agent_core_stats_get(n->core, &after);
	if (after.traces_evicted != before.traces_evicted)
		sim_story(s, i, "evicts %u traces",
			  (uint32_t)(after.traces_evicted -
				     before.traces_evicted));
	if (after.lost_taints != before.lost_taints)
		sim_story(s, i, "hears of losses that no trace is named for");
}

void sim_node_lanes(struct sim *s, uint32_t i)
{
	struct sim_node *n = &s->nodes[i];

	if (!guarded(s, i, part_lanes))
		return;
	sim_app_sweep(s, i);
	sim_push(s, s->now_ns + gap(s), SIM_EV_TICK, i, 0, n->round_gen, NULL);
}

static void part_tick(struct sim *s, uint32_t i)
{
	struct sim_node *n = &s->nodes[i];
	uint32_t quiet;

	memset(n->ship_last_priority, 0xff, sizeof(n->ship_last_priority));
	hs_agent_core_stats_get(n->core, &n->seen);
	judge_share_begin(n);
	while ((quiet = hs_silence_next(&n->silence, sim_node_now(s, n))))
		hs_agent_core_coordinator_silent(n->core, quiet,
						 sim_node_now(s, n));
	if (hs_agent_core_away(n->core) &&
	    n->routes != hs_members_routes(n->members, s->now_ns)) {
		n->routes = hs_members_routes(n->members, s->now_ns);
		hs_agent_core_routes_changed(n->core);
	}
	n->in_tick = true;
	hs_agent_core_tick(n->core, sim_node_now(s, n));
	n->in_tick = false;
	judge_share_end(s, n, true);
}

void sim_node_tick(struct sim *s, uint32_t i)
{
	struct sim_node *n = &s->nodes[i];
	uint64_t idle =
		s->now_ns < n->busy_until_ns ? 20 * SIM_MS : 500 * SIM_MS;

	if (!guarded(s, i, part_tick))
		return;
	n->in_round = false;
	n->round_at_ns = UINT64_MAX;
	if ((s->order & 15) == 0 || s->p.nr_nodes < 8)
		sim_node_check(s, i);
	sim_node_wake(s, i, hs_agent_core_busy(n->core) ? SIM_MS : idle);
}

void sim_node_message(struct sim *s, uint32_t i, const struct sim_message *m)
{
	struct sim_node *n = &s->nodes[i];

	hs_silence_heard(&n->silence, (uint32_t)(m->from_id >> 32),
			 sim_node_now(s, n));
	if (m->type == HS_WIRE_TALLY_ACK) {
		sim_tally_acked(s, i, m);
		return;
	}
	judge_share_begin(n);
	hs_agent_core_message(n->core, m->from_id, m->type, m->payload,
			      m->bytes, sim_node_now(s, n));
	judge_share_end(s, n, false);
	if (m->type == HS_WIRE_STORED)
		sim_failover_stored(s, i, m);
	n->busy_until_ns = s->now_ns + SIM_S;
	sim_node_wake(s, i,
		      sim_between(&s->shell, 20, s->p.wake_max_ns / SIM_US) *
			      SIM_US);
}

void sim_node_link(struct sim *s, uint32_t i, uint32_t peer, bool up)
{
	struct sim_node *n = &s->nodes[i];
	uint64_t now = sim_node_now(s, n), id = sim_ep_id(s, peer);

	sim_members_link(s, n->members, peer, up);
	if (peer >= s->p.nr_nodes + s->p.nr_coords) {
		if (up)
			hs_agent_core_collector_up(n->core, now);
	} else if (up) {
		hs_agent_core_coordinator_up(n->core, id, now);
	} else {
		hs_silence_gone(&n->silence, (uint32_t)(id >> 32));
		hs_agent_core_coordinator_down(n->core, id, now);
	}
	sim_node_wake(s, i, SIM_MS);
}

int sim_node_fire(struct sim *s, uint32_t i, const uint32_t *traces,
		  uint32_t nr)
{
	struct hs_wire_trace_id ids[HS_WIRE_TRACES_MAX];
	struct sim_node *n = &s->nodes[i];
	int rc;

	if (!n->up)
		return -1;
	for (uint32_t k = 0; k < nr; k++)
		ids[k] = s->traces[traces[k]].id;
	/* Half of them as hs(1) does without --node. */
	s->traces[traces[0]].elsewhere = traces[0] & 1;
	judge_share_begin(n);
	rc = (traces[0] & 1 ? hs_agent_core_fire_elsewhere
			    : hs_agent_core_fire)(n->core, "operator", ids, nr,
						  sim_node_now(s, n));
	judge_share_end(s, n, false);
	if (rc == 0)
		ora_acked(s, i, "operator", traces, nr);
	sim_node_wake(s, i, SIM_MS);
	return rc;
}
