/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim.c - the world: drawn from a seed, run to its end, judged
 */
#include "tests/sim/ship.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "tests/sim/bout.h"
#include "tests/sim/tally.h"

#define QUIET_NS  (240 * SIM_S) /* healed, and not quiet by then: a failure */
#define STEPS_MAX 5000000ull	/* and so many more a node and request */

void *sim_zalloc(size_t nr, size_t size_bytes)
{
	void *p = calloc(nr, size_bytes);

	if (!p)
		abort();
	return p;
}

void sim_fail(struct sim *s, const char *format, ...)
{
	va_list ap;

	if (s->failed)
		return;
	s->failed = true;
	va_start(ap, format);
	vsnprintf(s->why, sizeof(s->why), format, ap);
	va_end(ap);
	if (s->text)
		fprintf(s->text, "%12.6f  FAILED: %s\n",
			(double)(s->now_ns - SIM_S) / 1e9, s->why);
}

void sim_mix(struct sim *s, uint64_t value)
{
	s->digest = hs_hash_mix64(s->digest * 31 + value + 1);
}

static void arrivals(struct sim *s)
{
	for (uint32_t r = 0; r < s->p.nr_requests; r++)
		sim_push(s,
			 SIM_S + 50 * SIM_MS +
				 hs_random_below(&s->app, s->p.load_ns),
			 SIM_EV_ARRIVE, r, 0, 0, NULL);
}

struct sim *sim_create(const struct sim_params *p)
{
	struct sim *s = sim_zalloc(1, sizeof(*s));

	s->p = *p;
	s->now_ns = SIM_S;
	s->order = 1;
	hs_random_seed(&s->net, p->seed ^ 0x4e7ull);
	hs_random_seed(&s->app, p->seed ^ 0xa99ull);
	hs_random_seed(&s->fault, p->seed ^ 0xfau);
	hs_random_seed(&s->shell, p->seed ^ 0x5e11ull);
	hs_random_seed(&s->ahead, p->seed ^ 0x4eadull);
	hs_random_fill(&s->shell, s->cluster_key, sizeof(s->cluster_key));
	s->scratch = sim_zalloc(1, HS_WIRE_PAYLOAD_MAX_BYTES);
	s->nodes = sim_zalloc(p->nr_nodes, sizeof(*s->nodes));
	s->room_traces = p->nr_requests + 1;
	s->traces = sim_zalloc(s->room_traces, sizeof(*s->traces));
	s->trace_mask = 63;
	while (s->trace_mask < 4 * s->room_traces)
		s->trace_mask = 2 * s->trace_mask + 1;
	s->trace_table = sim_zalloc(s->trace_mask + 1, sizeof(uint32_t));
	s->roots = sim_zalloc(p->nr_requests + 1, sizeof(*s->roots));
	if (p->graphs)
		s->graphs = sim_graphs_load(p->graphs);
	sim_net_create(s);
	sim_ship_create(s);
	sim_tally_create(s);
	for (uint32_t i = 0; i < p->nr_nodes; i++)
		sim_node_create(s, i);
	return s;
}

static void start(struct sim *s)
{
	for (uint32_t i = 0; i < s->p.nr_coords; i++)
		sim_coord_start(s, i);
	for (uint32_t i = 0; i < s->p.nr_colls; i++)
		sim_coll_start(s, i);
	sim_moves_create(s);
	for (uint32_t i = 0; i < s->p.nr_nodes; i++)
		if (!s->nodes[i].late)
			sim_node_start(s, i);
	sim_faults_create(s);
	sim_policies_create(s);
	arrivals(s);
}

static void step_node(struct sim *s, const struct sim_event *e)
{
	struct sim_node *n = &s->nodes[e->a];

	if (!n->up || n->round_gen != e->gen)
		return;
	if (e->type == SIM_EV_SCAN)
		sim_node_scan(s, e->a);
	else if (e->type == SIM_EV_LANES)
		sim_node_lanes(s, e->a);
	else
		sim_node_tick(s, e->a);
}

static void step_server(struct sim *s, const struct sim_event *e)
{
	if (e->type == SIM_EV_COORD) {
		if (s->coords[e->a].up && s->coords[e->a].gen == e->gen &&
		    s->coords[e->a].tick_at_ns == e->at_ns)
			sim_coord_tick(s, e->a);
		return;
	}
	if (s->colls[e->a].up && s->colls[e->a].gen == e->gen)
		sim_coll_sync(s, e->a);
}

static void step_ship(struct sim *s, const struct sim_event *e)
{
	if (e->type == SIM_EV_OUTLET) {
		if (s->nodes[e->a].up && s->nodes[e->a].gen == e->gen)
			sim_ship_outlet(s, e->a, e->b, e->at_ns);
		return;
	}
	if (s->colls[e->a].up && s->colls[e->a].gen == e->gen)
		sim_ship_intake(s, e->a, e->at_ns);
}

static void step(struct sim *s, const struct sim_event *e)
{
	switch ((enum sim_event_type)e->type) {
	case SIM_EV_MESSAGE:
		sim_net_deliver(s, e->ptr);
		break;
	case SIM_EV_ARRIVE:
		sim_request_arrive(s, e->a);
		break;
	case SIM_EV_VISIT:
		sim_request_visit(s, e->ptr);
		break;
	case SIM_EV_FIRE:
		sim_request_fire(s, e->a, e->b);
		break;
	case SIM_EV_SCAN:
	case SIM_EV_LANES:
	case SIM_EV_TICK:
		step_node(s, e);
		break;
	case SIM_EV_COORD:
	case SIM_EV_SYNC:
		step_server(s, e);
		break;
	case SIM_EV_LINK_UP:
		sim_net_link_up(s, e->a, e->gen);
		break;
	case SIM_EV_LINK_BREAK:
		if (s->links[e->a].gen == e->gen)
			sim_net_break(s, e->a);
		break;
	case SIM_EV_FAULT:
		sim_fault_begin(s, e->a);
		break;
	case SIM_EV_FAULT_END:
		sim_fault_end(s, e->a);
		break;
	case SIM_EV_RESTART:
		sim_node_start(s, e->a);
		break;
	case SIM_EV_PORT:
		if (s->nodes[e->a].up && s->nodes[e->a].gen == e->gen)
			sim_port_done(s, e->a, e->b);
		break;
	case SIM_EV_POLICY:
		sim_policy_new(s, e->a, e->b);
		break;
	case SIM_EV_MOVE:
		sim_move(s, e->a, e->b);
		break;
	case SIM_EV_FRAME:
		sim_ship_frame(s, e->ptr);
		break;
	case SIM_EV_READ:
		sim_ahead_deliver(s, e->ptr);
		break;
	case SIM_EV_OUTLET:
	case SIM_EV_INTAKE:
		step_ship(s, e);
		break;
	case SIM_NR_EVENTS:
		break;
	}
}

/* Run until @until_ns. */
static void advance(struct sim *s, uint64_t until_ns)
{
	struct sim_event e;

	while (!s->failed && s->nr_heap && s->heap[0].at_ns < until_ns) {
		sim_pop(s, &e);
		s->now_ns = e.at_ns;
		s->order++;
		s->t.events++;
		s->t.by_event[e.type]++;
		sim_mix(s,
			e.at_ns ^ (uint64_t)e.type << 58 ^ (uint64_t)e.a << 40);
		step(s, &e);
		if (s->t.events > STEPS_MAX + 50000ull * s->p.nr_nodes +
					  5000ull * s->p.nr_requests)
			sim_fail(s, "it does not end");
	}
	if (s->now_ns < until_ns)
		s->now_ns = until_ns;
}

static void until(struct sim *s, bool (*reached)(struct sim *s),
		  uint64_t patience_ns, const char *what)
{
	uint64_t end_ns = s->now_ns + patience_ns;

	while (!s->failed && !reached(s)) {
		if (s->now_ns >= end_ns)
			sim_fail(s, "healed for %.0f s, and still not %s",
				 (double)patience_ns / 1e9, what);
		advance(s, s->now_ns + 500 * SIM_MS);
	}
}

void sim_run(struct sim *s)
{
	uint64_t load = s->p.load_ns > s->p.faults_ns && s->p.nr_faults
				? s->p.load_ns
				: s->p.faults_ns;

	if (s->p.bouts)
		sim_bouts(s);
	if (s->failed)
		return;
	start(s);
	advance(s, 2 * SIM_S + (s->p.nr_faults ? load : s->p.load_ns));
	sim_faults_heal(s);
	/* The unreachable are asked again every five seconds at the latest. */
	advance(s, s->now_ns + 12 * SIM_S);
	until(s, judge_quiet, QUIET_NS, "quiet");
	if (!s->failed)
		judge_end(s);
	until(s, judge_forgotten, 4 * s->p.remember_ns + QUIET_NS,
	      "without pins");
	for (uint32_t i = 0; i < s->p.nr_nodes && !s->failed; i++)
		if (s->nodes[i].up)
			sim_node_check(s, i);
	sim_reached_check(s);
	for (uint32_t i = 0; i < s->p.nr_coords; i++)
		sim_coord_count(s, i);
	sim_mix(s, s->failed);
}

void sim_destroy(struct sim *s)
{
	struct sim_event e;

	while (sim_pop(s, &e))
		if (e.type == SIM_EV_MESSAGE || e.type == SIM_EV_FRAME ||
		    e.type == SIM_EV_READ)
			free(e.ptr);
	sim_ship_destroy(s);
	sim_tally_destroy(s);
	for (uint32_t i = 0; i < s->p.nr_nodes; i++)
		sim_node_destroy(s, i);
	for (uint32_t i = 0; i < s->p.nr_coords; i++) {
		free(s->coords[i].memory);
		free(s->coords[i].members);
	}
	for (uint32_t i = 0; i < s->p.nr_colls; i++)
		sim_coll_destroy(s, i);
	for (uint32_t r = 0; r < s->p.nr_requests; r++)
		sim_request_destroy(s, r);
	ora_destroy(s);
	sim_graphs_free(s->graphs);
	sim_story_close(s);
	free(s->faults);
	free(s->owed);
	free(s->roots);
	free(s->links);
	free(s->nodes);
	free(s->scratch);
	free(s->heap);
	free(s);
}
