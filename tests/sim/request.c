/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request.c - requests that wander over the nodes along a call graph, leave
 * crumbs as contexts do, and triggers that fire early, late and elsewhere
 */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

#define MAX_DEPTH 8u

static struct sim_visit *visit_new(struct sim *s, uint32_t request,
				   uint32_t trace, struct sim_visit *parent,
				   uint32_t nr_children)
{
	struct sim_visit *v = sim_zalloc(1, sizeof(*v));

	v->parent = parent;
	v->request = request;
	v->trace = trace;
	v->node = (uint32_t)hs_random_below(&s->app, s->p.nr_nodes);
	v->process = (uint32_t)hs_random_below(
		&s->app, s->p.hostile && s->p.nr_procs > 1 ? s->p.nr_procs - 1
							   : s->p.nr_procs);
	v->nr_children = nr_children;
	v->children =
		sim_zalloc(nr_children ? nr_children : 1, sizeof(*v->children));
	v->nr_writes = (uint32_t)hs_random_below(&s->app, 4);
	v->parallel = hs_random_chance(&s->app, 0.5);
	v->forward = hs_random_chance(&s->app, s->p.forward_share);
	v->reply_lost = hs_random_chance(&s->app, s->p.reply_lost);
	v->detached = hs_random_chance(&s->app, 0.05);
	s->t.visits++;
	return v;
}

static struct sim_visit *grow(struct sim *s, uint32_t r, uint32_t trace,
			      struct sim_visit *parent, uint32_t depth,
			      uint32_t *left)
{
	uint32_t n = depth < MAX_DEPTH && *left
			     ? (uint32_t)hs_random_below(&s->app,
							 s->p.fanout_max + 1)
			     : 0;
	struct sim_visit *v;

	if (depth == 0 && n == 0 && *left)
		n = 1;
	if (n > *left)
		n = *left;
	*left -= n;
	v = visit_new(s, r, trace, parent, n);
	for (uint32_t i = 0; i < n; i++)
		v->children[i] = grow(s, r, trace, v, depth + 1, left);
	return v;
}

static struct sim_visit *from_graph(struct sim *s, uint32_t r, uint32_t trace,
				    const struct sim_graph_node *g, uint32_t at,
				    struct sim_visit *parent)
{
	struct sim_visit *v = visit_new(s, r, trace, parent, g[at].nr_children);

	/* A service has its nodes; the same ones in every request. */
	v->node = (g[at].service * 7u +
		   (uint32_t)hs_random_below(
			   &s->app,
			   s->p.nr_nodes > 300 ? s->p.nr_nodes / 100 : 3)) %
		  s->p.nr_nodes;
	for (uint32_t i = 0; i < v->nr_children; i++)
		v->children[i] =
			from_graph(s, r, trace, g, g[at].first_child + i, v);
	return v;
}

static void pick_trigger(struct sim *s, struct sim_visit *v)
{
	while (v->nr_children && hs_random_chance(&s->app, 0.7))
		v = v->children[hs_random_below(&s->app, v->nr_children)];
	v->trigger = true;
}

/* By somebody, some time. One statement a draw: their order counts. */
static void fire_later(struct sim *s, uint32_t trace)
{
	uint64_t wait_ns = sim_between(&s->app, 0, 1500) * SIM_MS;
	uint32_t node = (uint32_t)hs_random_below(&s->app, s->p.nr_nodes);

	sim_push(s, s->now_ns + wait_ns, SIM_EV_FIRE, trace, node, 0, NULL);
}

/* Where limits are tight most requests fire: there is too much of it. */
static double trigger_share(const struct sim_params *p)
{
	return p->tight ? 0.6 + 0.4 * p->trigger_share : p->trigger_share;
}

void sim_request_arrive(struct sim *s, uint32_t r)
{
	uint32_t trace = ora_trace_new(s), left;
	const struct sim_graph_node *nodes;

	if (s->graphs && sim_graphs_pick(s->graphs, &s->app, &nodes)) {
		s->roots[r] = from_graph(s, r, trace, nodes, 0, NULL);
	} else {
		left = (uint32_t)hs_random_below(&s->app, s->p.visits_max);
		s->roots[r] = grow(s, r, trace, NULL, 0, &left);
	}
	if (hs_random_chance(&s->app, trigger_share(&s->p))) {
		if (hs_random_chance(&s->app, 1 - s->p.late_share))
			pick_trigger(s, s->roots[r]);
		else
			fire_later(s, trace);
	}
	s->t.requests++;
	s->nr_live_visits++;
	sim_request_visit(s, s->roots[r]);
}

void sim_request_fire(struct sim *s, uint32_t trace, uint32_t node)
{
	sim_story(s, node, "operator fires trace %u", trace);
	sim_node_fire(s, node, &trace, 1);
	s->t.triggers++;
}

static void later(struct sim *s, struct sim_visit *v, uint64_t most_us)
{
	sim_push(s, s->now_ns + sim_between(&s->app, 1, most_us) * SIM_US,
		 SIM_EV_VISIT, 0, 0, 0, v);
}

static void fire(struct sim *s, struct sim_visit *v)
{
	struct sim_process *p = &s->nodes[v->node].procs[v->process];
	uint32_t traces[HS_WIRE_TRACES_MAX] = {v->trace}, nr = 1;

	if (hs_random_chance(&s->app, s->p.lateral_share)) {
		uint32_t want = 1 + (uint32_t)hs_random_below(&s->app, 6);

		for (uint32_t i = 0; i < want && i < p->nr_recent; i++) {
			uint32_t t = p->recent[(p->nr_recent - 1 - i) % 16];
			bool twice = false;

			for (uint32_t k = 0; k < nr; k++)
				twice |= traces[k] == t;
			if (!twice)
				traces[nr++] = t;
		}
		s->t.laterals += nr - 1;
	}
	sim_story(s, v->node, "process %u fires trace %u and %u laterals",
		  p->number, v->trace, nr - 1);
	sim_app_trigger(s, v->node, v->process, traces, nr,
			(uint32_t)hs_random_below(&s->app, SIM_NR_NAMES));
}

static void reply(struct sim *s, struct sim_visit *v, bool reached)
{
	struct sim_visit *up = v->parent;

	v->ended = true;
	s->nr_live_visits--;
	if (!up)
		return;
	if (reached && !v->reply_lost && up->handle.live &&
	    up->handle.node == up->node && !v->forward)
		sim_handle_crumb(s, &up->handle, v->handle.node_id,
				 HS_SHM_CRUMB_REPLY);
	if (!v->detached && --up->nr_waiting == 0)
		later(s, up, 300);
}

static void begin(struct sim *s, struct sim_visit *v)
{
	if (!sim_handle_begin(s, &v->handle, v->node, v->process, v->trace)) {
		/* The callee is not there, or has no room for a handle. */
		if (v->parent)
			v->reply_lost = true;
		v->next_child = v->nr_children;
	} else if (v->parent) {
		sim_handle_crumb(s, &v->handle, v->caller_id,
				 HS_SHM_CRUMB_BACK);
	}
	v->phase = 1;
	later(s, v, 500);
}

/* Call the next child, or all of them. */
static void call(struct sim *s, struct sim_visit *v)
{
	do {
		struct sim_visit *c = v->children[v->next_child++];

		c->caller_id = v->handle.live ? v->handle.node_id : 0;
		if (!c->caller_id)
			c->caller_id = s->nodes[v->node].id;
		if (c->forward && v->handle.live)
			sim_handle_forward(s, &v->handle, c->node);
		s->nr_live_visits++;
		if (!c->detached)
			v->nr_waiting++;
		later(s, c, 2000);
	} while (v->parallel && v->next_child < v->nr_children);
	if (!v->nr_waiting)
		later(s, v, 300);
}

void sim_request_visit(struct sim *s, struct sim_visit *v)
{
	if (v->phase == 0) {
		begin(s, v);
		return;
	}
	if (v->phase <= v->nr_writes) {
		v->phase++;
		sim_handle_write(s, &v->handle,
				 1 + (uint32_t)hs_random_below(
					     &s->app, s->p.write_max_bytes));
		later(s, v, hs_random_chance(&s->app, 0.02) ? 900000 : 1000);
		return;
	}
	if (v->next_child < v->nr_children) {
		call(s, v);
		return;
	}
	if (v->trigger) {
		v->trigger = false;
		if (hs_random_chance(&s->app, 0.5))
			fire(s, v);
		else
			v->trigger = hs_random_chance(&s->app, 0.7);
		if (v->trigger) { /* after its end */
			sim_handle_end(s, &v->handle);
			later(s, v, 400000);
			return;
		}
	}
	sim_handle_end(s, &v->handle);
	reply(s, v, v->handle.node_id != 0);
}

static void visit_free(struct sim_visit *v)
{
	for (uint32_t i = 0; v->children && i < v->nr_children; i++)
		visit_free(v->children[i]);
	free(v->children);
	free(v);
}

void sim_request_destroy(struct sim *s, uint32_t r)
{
	if (s->roots[r])
		visit_free(s->roots[r]);
}
