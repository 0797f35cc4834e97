/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent.c - the shell around an agent's core: memory that outlives a worker,
 * rounds of slots, lanes and tick with applications running in between, and
 * workers that die at any step, also in the middle of a call out of the core
 */
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "tests/sim/ship.h"
#include "tests/sim/tally.h"

uint64_t sim_node_now(const struct sim *s, const struct sim_node *n)
{
	uint64_t drifted = (uint64_t)((double)s->now_ns * (1.0 + n->drift));

	return (uint64_t)((int64_t)drifted + n->clock_ns);
}

/* ---- what the core calls ------------------------------------------------- */

struct op_ctx {
	struct sim *s;
	uint32_t node;
};

/* Where a worker is to die in the middle of its work, it dies here. */
static void maybe_die(struct sim *s, struct sim_node *n)
{
	if (n->kill_in_ops && --n->kill_in_ops == 0 && s->kill)
		longjmp(*s->kill, 1);
}

static uint64_t op_coordinator(void *ctx,
			       const struct hs_wire_trace_id *primary,
			       uint32_t attempt, uint16_t type,
			       const void *payload, uint32_t bytes)
{
	struct op_ctx *o = ctx;
	struct sim_node *n = &o->s->nodes[o->node];
	uint32_t ep =
		sim_members_ep(o->s, n->members,
			       hs_members_shard(n->members, primary, attempt));
	bool sent = false;

	maybe_die(o->s, n);
	ora_answers(o->s, n, type, payload, bytes);
	if (ep != UINT32_MAX)
		hs_silence_told(&n->silence,
				(uint32_t)(sim_ep_id(o->s, ep) >> 32),
				sim_node_now(o->s, n));
	if (ep != UINT32_MAX)
		sent = sim_net_send(o->s, o->node, ep, type, payload, bytes);
	maybe_die(o->s, n);
	return sent ? sim_ep_id(o->s, ep) : 0;
}

static uint64_t op_coordinator_of(void *ctx,
				  const struct hs_wire_trace_id *primary,
				  uint32_t attempt)
{
	struct op_ctx *o = ctx;
	const struct hs_members *m = o->s->nodes[o->node].members;
	uint32_t ep =
		sim_members_ep(o->s, m, hs_members_shard(m, primary, attempt));

	return ep == UINT32_MAX ? 0 : sim_ep_id(o->s, ep);
}

static bool op_node(void *ctx, uint64_t node, uint16_t type,
		    const void *payload, uint32_t bytes)
{
	struct op_ctx *o = ctx;
	uint32_t c = (uint32_t)(node >> 32) - SIM_COORD_ID;
	bool sent = false;

	maybe_die(o->s, &o->s->nodes[o->node]);
	if (type == HS_WIRE_FOUND)
		judge_found(o->s, &o->s->nodes[o->node], node, payload, bytes);
	else
		ora_answers(o->s, &o->s->nodes[o->node], type, payload, bytes);
	if (c < o->s->p.nr_coords)
		sent = sim_net_send(o->s, o->node, sim_ep_coord(o->s, c), type,
				    payload, bytes);
	maybe_die(o->s, &o->s->nodes[o->node]);
	return sent;
}

/* With the other messages, over the transport. */
static enum hs_agent_shipped ship_stream(struct sim *s, uint32_t i,
					 const struct hs_wire_slice *head,
					 const uint8_t *bytes)
{
	const struct hs_members *members = s->nodes[i].members;
	uint32_t ep = sim_members_ep(
		s, members,
		hs_members_collector(members, &head->trace, s->now_ns));
	struct hs_wire_slice *m;
	bool sent;

	if (ep == UINT32_MAX)
		return HS_AGENT_SHIP_AWAY;
	m = malloc(sizeof(*m) + head->length_bytes);
	if (!m)
		abort();
	*m = *head;
	memcpy(m + 1, bytes, head->length_bytes);
	m->crc = hs_crc32c(0, m + 1, head->length_bytes);
	sent = sim_net_send(s, i, ep, HS_WIRE_SLICE, m,
			    (uint32_t)sizeof(*m) + head->length_bytes);
	free(m);
	return sent ? HS_AGENT_SHIP_COPIED : HS_AGENT_SHIP_NOT;
}

static enum hs_agent_shipped op_ship(void *ctx,
				     const struct hs_agent_slice *slice)
{
	struct op_ctx *o = ctx;
	struct sim *s = o->s;
	struct sim_node *n = &s->nodes[o->node];
	uint32_t bytes = slice->head.length_bytes;
	uint64_t room = sim_domain_bytes(n, slice->domain);
	const uint8_t *from;
	uint64_t at = n->pool_at[slice->domain] + slice->pool_offset;
	enum hs_agent_shipped sent;

	maybe_die(s, n);
	judge_ship(s, n, slice);
	if (slice->pool_offset > room || bytes > room - slice->pool_offset) {
		sim_fail(s, "node%u ships bytes beyond its pool", n->number);
		return HS_AGENT_SHIP_NOT;
	}
	from = n->pool + at;
	sent = s->ship ? sim_ship_slice(s, o->node, &slice->head, from)
		       : ship_stream(s, o->node, &slice->head, from);
	if (sent == HS_AGENT_SHIP_COPIED) {
		s->t.slice_bytes += bytes;
		sim_limits_shipped(s, n, bytes);
		if (sim_port_lend(s, o->node, slice, at))
			sent = HS_AGENT_SHIP_LENT;
	}
	maybe_die(s, n);
	return sent;
}

static const struct hs_agent_ops ops = {op_coordinator, op_node, op_ship,
					op_coordinator_of};

/* ---- life of a worker -----------------------------------------------------
 */

static void stats_add(struct hs_agent_stats *sum,
		      const struct hs_agent_stats *x)
{
	const uint64_t *from = (const uint64_t *)x;
	uint64_t *to = (uint64_t *)sum;

	for (size_t i = 0; i < sizeof(*x) / sizeof(uint64_t); i++)
		to[i] += from[i];
}

struct hs_agent_stats sim_node_stats(const struct sim_node *n)
{
	struct hs_agent_stats sum = n->before, now;

	if (n->core) {
		hs_agent_core_stats_get(n->core, &now);
		stats_add(&sum, &now);
	}
	return sum;
}

void sim_node_create(struct sim *s, uint32_t i)
{
	struct sim_node *n = &s->nodes[i];

	n->number = i + 1;
	n->incarnation = 1;
	n->id = (uint64_t)n->number << 32 | n->incarnation;
	n->drift = (hs_random_f64(&s->shell) * 2 - 1) * s->p.drift;
	n->clock_ns = (int64_t)sim_between(&s->shell, 0, 1000 * SIM_S);
	n->wall_ns = (int64_t)sim_between(&s->shell, 0, 1000 * SIM_S);
	sim_domains_create(s, n);
	n->round_at_ns = UINT64_MAX;
}

static void ledgers_new(struct sim *s, struct sim_node *n)
{
	free(n->ledger);
	n->id = (uint64_t)n->number << 32 | n->incarnation;
	n->config = (struct hs_agent_config){
		.node_id = n->id,
		.index_seed = hs_random_u64(&s->shell),
		.scratch = s->scratch,
		.nr_fired = s->p.nr_fired,
		.remember_ns = s->p.remember_ns,
		.taint_ns = 10 * SIM_S,
		.window_bytes = s->p.window_bytes,
		.trace_buffers_max = s->p.trace_buffers_max,
		.crash_trigger = s->p.crash_trigger,
	};
	memcpy(n->config.cluster_key, s->cluster_key, 16);
	if (s->p.rate_limit) {
		n->config.nr_policies = 1;
		n->config.policies[0].weight = 3;
		n->config.policies[0].rate_per_s = 20;
		n->config.policies[0].bytes_per_s = 200000;
		n->config.bytes_per_s = 500000;
		strcpy(n->config.policies[0].name, sim_app_name(0));
	}
	sim_policy_tables(s, &n->config);
	n->config.nr_groups = n->config.nr_pending = n->config.nr_fired / 2;
	n->ledger = sim_zalloc(1, hs_agent_node_ledger_bytes(&n->config));
	for (uint32_t d = 0; d < sim_nr_domains(&s->p); d++) {
		free(n->domain_ledgers[d]);
		n->domain_ledgers[d] = sim_zalloc(
			1, hs_agent_domain_ledger_bytes(&n->domains[d]));
	}
}

static void start_core(struct sim *s, uint32_t i)
{
	struct sim_node *n = &s->nodes[i];
	uint64_t now = sim_node_now(s, n);
	struct op_ctx *ctx;

	free(n->members);
	n->members = sim_members_create(s, n->unlisted);
	/* The ops' context lies behind the core's memory. */
	n->memory = sim_zalloc(1, hs_agent_core_size_bytes(&n->config) +
					  sizeof(*ctx));
	ctx = (void *)((uint8_t *)n->memory +
		       hs_agent_core_size_bytes(&n->config));
	*ctx = (struct op_ctx){s, i};
	n->silence = (struct hs_silence){0};
	sim_policy_begin(s, n);
	sim_ahead_table(s, n);
	n->core = hs_agent_core_create(n->memory, n->ledger, &n->config, &ops,
				       ctx, now, n->wall_ns);
	if (!n->core) {
		sim_fail(s, "node%u: its own ledger is refused", n->number);
		return;
	}
	for (uint32_t d = 0; d < sim_nr_domains(&s->p); d++) {
		n->domain_memory[d] = sim_zalloc(
			1, hs_agent_domain_size_bytes(&n->domains[d]));
		sim_tenant_calls(s, n, d);
		if (hs_agent_core_domain_add(n->core, d, n->domain_memory[d],
					     n->domain_ledgers[d],
					     &n->domains[d], now))
			sim_fail(s, "node%u: its own domain is refused",
				 n->number);
		sim_tenant_died(n);
	}
}

void sim_process_attach(struct sim *s, uint32_t i, uint32_t p)
{
	struct sim_node *n = &s->nodes[i];
	struct sim_process *proc = &n->procs[p];
	bool hostile = s->p.hostile && p == s->p.nr_procs - 1;

	memset(proc, 0, sizeof(*proc));
	proc->alive = true;
	proc->hostile = hostile;
	proc->today = s->p.library == 2 || (s->p.library == 3 && p % 2);
	for (uint32_t l = 0; l < SIM_LANES; l++)
		proc->lanes[l].room =
			proc->today ? s->p.lane_room_today : s->p.lane_room;
	proc->domain = sim_domain_of(&s->p, p);
	proc->number = hs_agent_core_process_new(n->core);
	proc->read_ns = sim_node_now(s, n);
	sim_tally_attach(s, i, p);
}

void sim_node_start(struct sim *s, uint32_t i)
{
	struct sim_node *n = &s->nodes[i];
	bool fresh = !n->ledger;

	if (n->up || n->gone)
		return;
	if (fresh)
		ledgers_new(s, n);
	start_core(s, i);
	if (s->failed)
		return;
	n->up = true;
	n->gen++;
	memset(n->loans, 0, sizeof(n->loans));
	n->kill_in_ops = 0;
	sim_story(s, i, fresh ? "starts" : "a successor takes over");
	for (uint32_t p = 0; p < s->p.nr_procs; p++) {
		struct sim_process *proc = &n->procs[p];

		if (fresh) {
			sim_process_attach(s, i, p);
			continue;
		}
		/* What was counted before is not known any more. */
		proc->unpinned_seen = 0;
		proc->read_ns = 0;
		for (uint32_t l = 0; l < SIM_LANES; l++)
			proc->lanes[l].lost_seen = 0;
	}
	judge_share_adopted(s, n);
	sim_node_check(s, i);
	sim_net_endpoint_up(s, i);
	sim_ship_node_up(s, i);
	n->round_at_ns = UINT64_MAX;
	sim_node_wake(s, i, SIM_MS);
}

void sim_node_kill(struct sim *s, uint32_t i)
{
	struct sim_node *n = &s->nodes[i];

	if (!n->up)
		return;
	sim_story(s, i, "its worker is killed");
	sim_tenant_died(n);
	judge_share_died(s, n);
	n->before = sim_node_stats(n);
	n->up = false;
	n->core = NULL;
	n->in_tick = false;
	n->in_round = false;
	n->round_gen++;
	n->round_at_ns = UINT64_MAX;
	free(n->memory);
	n->memory = NULL;
	for (uint32_t d = 0; d < SIM_DOMAINS_MAX; d++) {
		free(n->domain_memory[d]);
		n->domain_memory[d] = NULL;
	}
	sim_net_endpoint_down(s, i);
	sim_ship_node_down(s, i);
	sim_tally_worker_died(s, i);
	n->kills++;
	s->t.kills++;
}

/* The machine: its processes and all memory are gone. */
void sim_node_reboot(struct sim *s, uint32_t i)
{
	struct sim_node *n = &s->nodes[i];

	for (uint32_t p = 0; p < s->p.nr_procs; p++)
		if (n->procs[p].alive)
			sim_app_crash(s, i, p);
	sim_node_kill(s, i);
	sim_story(s, i, "reboots: its memory is lost");
	sim_tally_reboot(s, i);
	free(n->ledger);
	n->ledger = NULL;
	for (uint32_t d = 0; d < SIM_DOMAINS_MAX; d++) {
		free(n->domain_ledgers[d]);
		n->domain_ledgers[d] = NULL;
	}
	n->incarnation++;
	n->lost_memory = true;
	n->clock_ns = (int64_t)sim_between(&s->shell, 0, 1000 * SIM_S);
	for (uint32_t g = 0; g < s->nr_groups; g++)
		if (s->groups[g].node == i)
			s->groups[g].is_void = true;
	s->t.reboots++;
}

void sim_node_destroy(struct sim *s, uint32_t i)
{
	struct sim_node *n = &s->nodes[i];

	for (uint32_t p = 0; p < s->p.nr_procs; p++)
		sim_app_forget(&n->procs[p]);
	free(n->memory);
	for (uint32_t d = 0; d < SIM_DOMAINS_MAX; d++) {
		free(n->domain_memory[d]);
		free(n->domain_ledgers[d]);
	}
	free(n->members);
	free(n->ledger);
	free(n->pool);
	free(n->crumbs);
}

/* What it counts, in all and of each trigger. */
static void counts(struct sim *s, uint32_t i)
{
	struct hs_agent_trigger_stats triggers[HS_AGENT_TRIGGERS_MAX];
	struct hs_agent_stats st;
	size_t from = offsetof(struct hs_agent_trigger_stats, fired_local);
	uint32_t nr;

	hs_agent_core_stats_get(s->nodes[i].core, &st);
	judge_counts(s, "an agent", &st, sizeof(st));
	nr = hs_agent_core_trigger_stats_get(s->nodes[i].core, triggers,
					     HS_AGENT_TRIGGERS_MAX);
	for (uint32_t k = 0; k < nr; k++)
		judge_counts(
			s, "a trigger of an agent", &triggers[k].fired_local,
			offsetof(struct hs_agent_trigger_stats, queued) - from);
}

bool sim_node_check(struct sim *s, uint32_t i)
{
	const char *why = "";

	counts(s, i);
	s->t.checks++;
	if (hs_agent_core_check(s->nodes[i].core, &why))
		return true;
	sim_fail(s, "node%u: its core does not add up: %s", i + 1, why);
	return false;
}
