/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault.c - what goes wrong and when: drawn before the run, so that one of
 * them can be left out without changing the others
 */
#include <inttypes.h>
#include <stdlib.h>

#include "tests/sim/ship.h"

enum kind {
	KILL_WORKER,
	KILL_WORKER_IN_CALL,
	REBOOT,
	LEAVE,
	KILL_COORD,
	KILL_COLL,
	CUT_NODE,
	CUT_NODE_IN,
	CUT_NODE_OUT,
	CUT_SERVER,
	SLOW_SERVER,
	DISK_FULL,
	DISK_FAILS,
	APP_CRASH,
	STORM,
	CLOCK_JUMP,
	OVERSIZE,
	NONSENSE,
};

struct sim_fault {
	uint32_t kind;
	uint64_t at_ns, for_ns;
	uint32_t target;
	uint64_t seed;
	bool active;
};

const char *sim_fault_name(uint32_t kind)
{
	static const char *const names[SIM_NR_FAULT_KINDS] = {
		"kill worker", "kill worker in call", "reboot node",
		"node leaves", "kill coordinator",    "kill collector",
		"cut node",    "cut node inward",     "cut node outward",
		"cut server",  "slow server",	      "disk full",
		"disk fails",  "crash application",   "trigger storm",
		"clock jumps", "oversize trace",      "hostile process",
	};

	return names[kind];
}

static uint32_t draw_kind(const struct sim *s, struct hs_random *r)
{
	uint32_t kind = (uint32_t)hs_random_below(r, SIM_NR_FAULT_KINDS);

	if ((kind == REBOOT || kind == LEAVE) && hs_random_chance(r, 0.6))
		kind = KILL_WORKER;
	if (kind == NONSENSE && !s->p.hostile)
		kind = KILL_WORKER_IN_CALL;
	return kind;
}

void sim_faults_create(struct sim *s)
{
	struct hs_random r;

	hs_random_seed(&r, s->p.seed ^ 0xfa017ull);
	s->faults = sim_zalloc(s->p.nr_faults + 1, sizeof(*s->faults));
	for (uint32_t i = 0; i < s->p.nr_faults; i++) {
		struct sim_fault *f = &s->faults[i];

		f->kind = draw_kind(s, &r);
		f->at_ns = SIM_S + hs_random_below(&r, s->p.faults_ns);
		f->for_ns = sim_between(&r, 5, 2500) * SIM_MS;
		f->target = (uint32_t)hs_random_below(&r, 1u << 20);
		f->seed = hs_random_u64(&r);
		if (i < 64 && (s->p.skip_faults >> i & 1))
			continue;
		sim_push(s, f->at_ns, SIM_EV_FAULT, i, 0, 0, NULL);
		sim_push(s, f->at_ns + f->for_ns, SIM_EV_FAULT_END, i, 0, 0,
			 NULL);
	}
}

void sim_faults_print(struct sim *s, FILE *out)
{
	for (uint32_t i = 0; i < s->p.nr_faults; i++)
		if (i >= 64 || !(s->p.skip_faults >> i & 1))
			fprintf(out,
				"  fault %u: %s at %.3f s for %.3f s, target "
				"%u\n",
				i, sim_fault_name(s->faults[i].kind),
				(double)(s->faults[i].at_ns - SIM_S) / 1e9,
				(double)s->faults[i].for_ns / 1e9,
				s->faults[i].target);
}

static uint32_t nr_servers(const struct sim *s)
{
	return s->p.nr_coords + s->p.nr_colls;
}

/* All links of a node or server, one direction or both. */
static void cut(struct sim *s, uint32_t ep, bool in, bool out, int by)
{
	for (uint32_t l = 0; l < s->nr_links; l++) {
		uint32_t low, high;

		sim_net_ends(s, l, &low, &high);
		if (low != ep && high != ep)
			continue;
		if (low == ep ? out : in)
			s->links[l].blocked[SIM_FROM_LOW] += (uint16_t)by;
		if (low == ep ? in : out)
			s->links[l].blocked[SIM_FROM_HIGH] += (uint16_t)by;
	}
}

static void slow(struct sim *s, uint32_t ep, int by)
{
	for (uint32_t l = 0; l < s->nr_links; l++) {
		uint32_t low, high;

		sim_net_ends(s, l, &low, &high);
		if (low == ep || high == ep)
			s->links[l].slow += (uint16_t)by;
	}
}

static void storm(struct sim *s, uint32_t n, uint64_t seed)
{
	struct sim_process *p = &s->nodes[n].procs[0];
	struct hs_random r;

	hs_random_seed(&r, seed);
	for (uint32_t i = 0; i < 60 && p->nr_recent && p->alive; i++) {
		uint32_t have = p->nr_recent < 16 ? p->nr_recent : 16;
		uint32_t t = p->recent[hs_random_below(&r, have)];

		sim_app_trigger(s, n, 0, &t, 1,
				(uint32_t)hs_random_below(&r, SIM_NR_NAMES));
	}
}

/* One handle that writes a third of the pool. */
static void oversize(struct sim *s, uint32_t n, uint64_t seed)
{
	struct sim_process *p = &s->nodes[n].procs[0];
	struct sim_handle h;
	struct hs_random r;

	hs_random_seed(&r, seed);
	if (!p->nr_recent || !p->alive ||
	    !sim_handle_begin(s, &h, n, 0, p->recent[(p->nr_recent - 1) % 16]))
		return;
	for (uint32_t i = 0; i < s->p.nr_buffers / 3; i++)
		sim_handle_write(s, &h, s->p.buffer_bytes);
	sim_handle_end(s, &h);
	sim_story(s, n, "an oversize slice of trace %u", h.trace);
}

static void begin_node(struct sim *s, struct sim_fault *f, uint32_t n)
{
	struct sim_node *node = &s->nodes[n];

	switch (f->kind) {
	case KILL_WORKER:
		sim_ship_node_bye(s, n);
		sim_node_kill(s, n);
		break;
	case KILL_WORKER_IN_CALL:
		node->kill_in_ops = 1 + (uint32_t)(f->seed % 24);
		break;
	case LEAVE:
		node->gone = s->p.nr_nodes > 2;
		sim_ship_node_bye(s, n);
		sim_node_reboot(s, n);
		sim_members_leave(s, n);
		break;
	case REBOOT:
		sim_node_reboot(s, n);
		break;
	case CUT_NODE:
		cut(s, n, true, true, 1);
		break;
	case CUT_NODE_IN:
		cut(s, n, true, false, 1);
		break;
	case CUT_NODE_OUT:
		cut(s, n, false, true, 1);
		break;
	case APP_CRASH:
		sim_app_crash(s, n, (uint32_t)(f->seed % s->p.nr_procs));
		break;
	case STORM:
		storm(s, n, f->seed);
		break;
	case CLOCK_JUMP:
		node->wall_ns +=
			(f->seed & 1 ? 3600ll : -3600ll) * (int64_t)SIM_S;
		if (node->up)
			hs_agent_core_wall_offset(node->core, node->wall_ns);
		break;
	case OVERSIZE:
		oversize(s, n, f->seed);
		break;
	case NONSENSE:
		sim_app_nonsense(s, n, s->p.nr_procs - 1);
		break;
	}
}

void sim_fault_begin(struct sim *s, uint32_t i)
{
	struct sim_fault *f = &s->faults[i];
	uint32_t n = f->target % s->p.nr_nodes;
	uint32_t server = s->p.nr_nodes + f->target % nr_servers(s);
	uint32_t k = f->target % s->p.nr_colls;

	if (s->healing)
		return;
	f->active = true;
	s->t.faults[f->kind]++;
	sim_story(s, n, "fault %u: %s", i, sim_fault_name(f->kind));
	switch (f->kind) {
	case KILL_COORD:
		sim_coord_kill(s, f->target % s->p.nr_coords);
		break;
	case KILL_COLL:
		sim_coll_kill(s, k);
		break;
	case CUT_SERVER:
		cut(s, server, f->seed & 1, !(f->seed & 1) || f->seed & 2, 1);
		break;
	case SLOW_SERVER:
		slow(s, server, 1);
		break;
	case DISK_FULL:
		s->colls[k].full++;
		break;
	case DISK_FAILS:
		s->colls[k].failing++;
		break;
	default:
		begin_node(s, f, n);
	}
}

void sim_fault_end(struct sim *s, uint32_t i)
{
	struct sim_fault *f = &s->faults[i];
	uint32_t n = f->target % s->p.nr_nodes;
	uint32_t server = s->p.nr_nodes + f->target % nr_servers(s);
	uint32_t k = f->target % s->p.nr_colls;

	if (!f->active)
		return;
	f->active = false;
	sim_story(s, n, "fault %u is over: %s", i, sim_fault_name(f->kind));
	switch (f->kind) {
	case KILL_WORKER:
	case REBOOT:
		sim_node_start(s, n);
		break;
	case KILL_COORD:
		sim_coord_start(s, f->target % s->p.nr_coords);
		break;
	case KILL_COLL:
		sim_coll_start(s, k);
		break;
	case CUT_NODE:
		cut(s, n, true, true, -1);
		break;
	case CUT_NODE_IN:
		cut(s, n, true, false, -1);
		break;
	case CUT_NODE_OUT:
		cut(s, n, false, true, -1);
		break;
	case CUT_SERVER:
		cut(s, server, f->seed & 1, !(f->seed & 1) || f->seed & 2, -1);
		break;
	case SLOW_SERVER:
		slow(s, server, -1);
		break;
	case DISK_FULL:
		s->colls[k].full--;
		break;
	case DISK_FAILS:
		s->colls[k].failing--;
		break;
	default:
		break;
	}
}

/* From here on nothing goes wrong any more. */
void sim_faults_heal(struct sim *s)
{
	sim_moves_heal(s);
	s->healing = true;
	for (uint32_t i = 0; i < s->p.nr_faults; i++)
		sim_fault_end(s, i);
	for (uint32_t i = 0; i < s->p.nr_nodes; i++) {
		s->nodes[i].kill_in_ops = 0;
		sim_node_start(s, i);
	}
	for (uint32_t i = 0; i < s->p.nr_coords; i++)
		sim_coord_start(s, i);
	for (uint32_t i = 0; i < s->p.nr_colls; i++)
		sim_coll_start(s, i);
}
