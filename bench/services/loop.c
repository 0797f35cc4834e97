/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see loop.h. */
#include "bench/services/loop.h"

#include <errno.h>
#include <stdlib.h>

#include "bench/bench.h"
#include "bench/services/over.h"
#include "bench/services/tracer.h"

/* ---- messages
 * -----------------------------------------------------------------
 */

static struct hs_svc_end *way(struct hs_svc_loop *l, uint16_t to, bool reply)
{
	struct hs_svc_peer *p = &l->peers[to];

	return reply ? &p->replies_out : &p->calls_out;
}

/* What finds its ring full waits here; there is a place for each slot. */
static void send(struct hs_svc_loop *l, uint16_t to, bool reply,
		 const struct hs_svc_message *m)
{
	struct hs_svc_message *place =
		l->nr_parked ? NULL : hs_svc_ring_put(way(l, to, reply));

	if (place)
		*place = *m;
	else
		l->parked[l->nr_parked++] = (struct hs_svc_parked){
			.to = to, .reply = reply, .message = *m};
}

static void unpark(struct hs_svc_loop *l)
{
	uint32_t left = 0;

	for (uint32_t i = 0; i < l->nr_parked; i++) {
		struct hs_svc_parked *p = &l->parked[i];
		struct hs_svc_message *place =
			hs_svc_ring_put(way(l, p->to, p->reply));

		if (place)
			*place = p->message;
		else
			l->parked[left++] = *p;
	}
	l->nr_parked = left;
}

/* ---- calls
 * --------------------------------------------------------------------
 */

static void finish(struct hs_svc_loop *l, struct hs_svc_call *c)
{
	struct hs_svc_message m = {
		.word = c->nodes,
		.slot = c->caller_slot,
		.spans = c->spans,
		.calls = c->calls,
		.api = c->api,
	};

	if (l->settings->tracer != HS_SVC_TRACER_NONE)
		hs_svc_tracer_end(l, c, &m);
	m.marks = c->marks;
	send(l, c->from, true, &m);
	l->free_calls[l->nr_free_calls++] = (uint32_t)(c - l->calls);
}

static void call_child(struct hs_svc_loop *l, struct hs_svc_call *c,
		       uint32_t api)
{
	uint32_t slot;
	struct hs_svc_child *child;
	struct hs_svc_message m = {.api = (uint16_t)api};

	if (!l->nr_free_children) {
		l->stats->refused++;
		c->marks |= HS_SVC_MARK_REFUSED;
		return;
	}
	slot = l->free_children[--l->nr_free_children];
	child = &l->children[slot];
	child->call = (uint32_t)(c - l->calls);
	child->api = (uint16_t)api;
	m.slot = slot;
	m.marks = c->marks & (HS_SVC_MARK_EDGE | HS_SVC_MARK_COSTLY);
	if (l->settings->trigger == HS_SVC_TRIGGER_QUEUE)
		m.word = hs_bench_ticks();
	if (l->settings->tracer != HS_SVC_TRACER_NONE)
		hs_svc_tracer_call(l, c, child, &m);
	c->pending++;
	send(l, l->world->plan.loop_of_service[l->topology->apis[api].service],
	     false, &m);
}

/* Executed: now the others, all at once. */
static void proceed(struct hs_svc_loop *l, struct hs_svc_call *c)
{
	const struct hs_svc_api *a = &l->topology->apis[c->api];
	const struct hs_svc_edge *e = &l->topology->edges[a->first_edge];

	for (uint32_t i = 0; i < a->nr_edges; i++)
		if (e[i].probability >= 1 ||
		    hs_random_f64(&l->random) < (double)e[i].probability)
			call_child(l, c, e[i].api);
	if (!c->pending)
		finish(l, c);
}

static double execution_ns(struct hs_svc_loop *l, const struct hs_svc_call *c)
{
	const struct hs_svc_settings *s = l->settings;
	double ns = l->topology->apis[c->api].exec_ms * 1e6 * s->time_scale;

	if (!(c->marks & (HS_SVC_MARK_EDGE | HS_SVC_MARK_COSTLY)) ||
	    !hs_svc_loop_watched(l, c))
		return ns;
	if (c->marks & HS_SVC_MARK_COSTLY)
		ns += (double)s->burst_ns;
	else if (s->symptom == HS_SVC_SYMPTOM_SLOW)
		ns += (double)s->slow_ns * (1 + hs_random_f64(&l->random) / 2);
	return ns;
}

/* ---- those asleep: a heap, the next one first -------------------------------
 */

static bool sooner(const struct hs_svc_loop *l, uint32_t a, uint32_t b)
{
	return l->calls[l->asleep[a]].due < l->calls[l->asleep[b]].due;
}

static void swap(struct hs_svc_loop *l, uint32_t a, uint32_t b)
{
	uint32_t t = l->asleep[a];

	l->asleep[a] = l->asleep[b];
	l->asleep[b] = t;
}

static void sleep_call(struct hs_svc_loop *l, uint32_t call)
{
	uint32_t i = l->nr_asleep++;

	l->asleep[i] = call;
	for (; i && sooner(l, i, (i - 1) / 2); i = (i - 1) / 2)
		swap(l, i, (i - 1) / 2);
}

static uint32_t wake_calls(struct hs_svc_loop *l)
{
	uint64_t now = hs_bench_ticks();
	uint32_t nr = 0;

	while (l->nr_asleep && l->calls[l->asleep[0]].due <= now) {
		uint32_t call = l->asleep[0];
		uint32_t i = 0;

		l->asleep[0] = l->asleep[--l->nr_asleep];
		for (;;) {
			uint32_t least = i, left = 2 * i + 1;

			if (left < l->nr_asleep && sooner(l, left, least))
				least = left;
			if (left + 1 < l->nr_asleep &&
			    sooner(l, left + 1, least))
				least = left + 1;
			if (least == i)
				break;
			swap(l, i, least);
			i = least;
		}
		proceed(l, &l->calls[call]);
		nr++;
	}
	return nr;
}

/* ---- rounds
 * -------------------------------------------------------------------
 */

static void refuse(struct hs_svc_loop *l, uint16_t from,
		   const struct hs_svc_message *m)
{
	struct hs_svc_message reply = {
		.slot = m->slot, .api = m->api, .marks = HS_SVC_MARK_REFUSED};

	l->stats->refused++;
	send(l, from, true, &reply);
}

/* The rings alone: on to the first child, or back. */
static void pass_on(struct hs_svc_loop *l, uint16_t from,
		    const struct hs_svc_message *m)
{
	const struct hs_svc_api *a = &l->topology->apis[m->api];
	struct hs_svc_message on = *m;

	if (!a->nr_edges) {
		send(l, from, true, &on);
		return;
	}
	on.api = (uint16_t)l->topology->edges[a->first_edge].api;
	send(l,
	     l->world->plan.loop_of_service[l->topology->apis[on.api].service],
	     false, &on);
}

static void take_call(struct hs_svc_loop *l, uint16_t from,
		      const struct hs_svc_message *m)
{
	struct hs_svc_call *c;
	uint32_t slot;
	double ns;

	if (!l->nr_free_calls) {
		refuse(l, from, m);
		return;
	}
	slot = l->free_calls[--l->nr_free_calls];
	c = &l->calls[slot];
	c->nodes = 1ull << l->node;
	c->caller_slot = m->slot;
	c->spans = c->calls = 1;
	c->pending = 0;
	c->api = m->api;
	c->from = from;
	c->marks = m->marks;
	l->stats->calls++;
	l->world->calls_of_service[l->topology->apis[m->api].service]++;
	if (l->settings->trigger >= HS_SVC_TRIGGER_PERCENTILE) {
		c->start = hs_bench_ticks();
		c->waited = c->start - m->word;
	}
	if (l->settings->tracer != HS_SVC_TRACER_NONE)
		hs_svc_tracer_begin(l, c, m);
	ns = execution_ns(l, c);
	if (l->settings->work == HS_SVC_WORK_SLEEP && ns > 0) {
		c->due = hs_bench_ticks() + (uint64_t)(ns / l->ns_per_tick);
		sleep_call(l, slot);
		return;
	}
	hs_svc_work_do(&l->worker, ns);
	proceed(l, c);
}

static void take_reply(struct hs_svc_loop *l, const struct hs_svc_message *m)
{
	struct hs_svc_child *child = &l->children[m->slot];
	struct hs_svc_call *c = &l->calls[child->call];

	c->spans += 1 + m->spans;
	c->calls += m->calls;
	c->nodes |= m->word;
	c->marks |= m->marks & (HS_SVC_MARK_SHOWN | HS_SVC_MARK_REFUSED);
	if (l->settings->tracer != HS_SVC_TRACER_NONE)
		hs_svc_tracer_reply(l, c, child, m);
	l->free_children[l->nr_free_children++] = m->slot;
	if (!--c->pending)
		finish(l, c);
}

static uint32_t take_replies(struct hs_svc_loop *l, struct hs_svc_end *e,
			     bool bare)
{
	uint32_t n = hs_svc_ring_count(e);

	n = n < HS_SVC_BATCH ? n : HS_SVC_BATCH;
	for (uint32_t k = 0; k < n; k++) {
		const struct hs_svc_message *m = hs_svc_ring_get(e);

		if (bare)
			send(l, (uint16_t)l->world->plan.nr_loops, true, m);
		else
			take_reply(l, m);
	}
	if (n)
		hs_svc_ring_release(e);
	return n;
}

static uint32_t take_calls(struct hs_svc_loop *l, uint16_t from, bool bare)
{
	struct hs_svc_end *e = &l->peers[from].calls_in;
	uint32_t n = hs_svc_ring_count(e);

	/* Each call may want another place to wait. */
	if (l->nr_parked >= HS_SVC_CALLS_MAX)
		return 0;
	n = n < HS_SVC_BATCH ? n : HS_SVC_BATCH;
	for (uint32_t k = 0; k < n; k++) {
		const struct hs_svc_message *m = hs_svc_ring_get(e);

		if (bare)
			pass_on(l, from, m);
		else
			take_call(l, from, m);
	}
	if (n)
		hs_svc_ring_release(e);
	return n;
}

uint32_t hs_svc_loop_poll(struct hs_svc_loop *l)
{
	bool bare = l->settings->tracer == HS_SVC_TRACER_BARE;
	uint32_t did = 0;

	hs_svc_links_receive(&l->links);
	if (l->nr_parked)
		unpark(l);
	/* What ends requests goes before what begins them. */
	for (uint32_t i = 0; i < l->nr_callees; i++)
		did += take_replies(l, &l->peers[l->callees[i]].replies_in,
				    bare);
	if (l->nr_asleep)
		did += wake_calls(l);
	for (uint32_t i = 0; i < l->nr_callers; i++)
		did += take_calls(l, l->callers[i], bare);
	for (uint32_t i = 0; i < l->nr_callers; i++)
		hs_svc_ring_flush(&l->peers[l->callers[i]].replies_out);
	for (uint32_t i = 0; i < l->nr_callees; i++)
		hs_svc_ring_flush(&l->peers[l->callees[i]].calls_out);
	return did + hs_svc_links_send(&l->links);
}

/* ---- life
 * ---------------------------------------------------------------------
 */

static int connect_peers(struct hs_svc_loop *l)
{
	struct hs_svc_world *w = l->world;
	const struct hs_svc_plan *p = &w->plan;
	struct hs_svc_way way;
	int rc = hs_svc_over_links(w, &l->links);

	for (uint16_t k = 0; k <= p->nr_loops && !rc; k++) {
		uint32_t in = p->pair[k][l->index];
		uint32_t out = p->pair[l->index][k];

		if (in != HS_SVC_NO_PAIR) {
			rc = hs_svc_over_way(w, &l->links, in, false, k, &way);
			if (rc)
				break;
			l->peers[k].calls_in.ring = way.calls;
			l->peers[k].replies_out.ring = way.replies;
			l->callers[l->nr_callers++] = k;
		}
		if (out != HS_SVC_NO_PAIR) {
			rc = hs_svc_over_way(w, &l->links, out, true, k, &way);
			if (rc)
				break;
			l->peers[k].calls_out.ring = way.calls;
			l->peers[k].replies_in.ring = way.replies;
			l->callees[l->nr_callees++] = k;
		}
	}
	return rc;
}

int hs_svc_loop_open(struct hs_svc_loop *l, struct hs_svc_world *w,
		     uint32_t index)
{
	size_t peers = w->plan.nr_loops + 1;
	int rc;

	*l = (struct hs_svc_loop){
		.world = w,
		.topology = &w->topology,
		.settings = &w->settings,
		.stats = &w->loops[index],
		.index = index,
		.process = w->plan.process_of_loop[index],
		.calls = calloc(HS_SVC_CALLS_MAX, sizeof(*l->calls)),
		.children = calloc(HS_SVC_CALLS_MAX, sizeof(*l->children)),
		.free_calls = calloc(HS_SVC_CALLS_MAX, sizeof(uint32_t)),
		.free_children = calloc(HS_SVC_CALLS_MAX, sizeof(uint32_t)),
		.asleep = calloc(HS_SVC_CALLS_MAX, sizeof(uint32_t)),
		/* A reply for each call, a call for each child, and refusals
		 * of one round. */
		.parked = calloc(2 * HS_SVC_CALLS_MAX +
					 HS_SVC_RING_MESSAGES * peers,
				 sizeof(*l->parked)),
		.peers = calloc(peers, sizeof(*l->peers)),
		.callers = calloc(peers, sizeof(*l->callers)),
		.callees = calloc(peers, sizeof(*l->callees)),
		.ns_per_tick = hs_bench_ns_per_tick(),
	};
	l->node = w->plan.node_of_process[l->process];
	if (!l->calls || !l->children || !l->free_calls || !l->free_children ||
	    !l->asleep || !l->parked || !l->peers || !l->callers || !l->callees)
		return -ENOMEM;
	for (uint32_t i = 0; i < HS_SVC_CALLS_MAX; i++)
		l->free_calls[i] = l->free_children[i] =
			HS_SVC_CALLS_MAX - 1 - i;
	l->nr_free_calls = l->nr_free_children = HS_SVC_CALLS_MAX;
	hs_random_seed(&l->random, w->settings.seed + 1000 + index);
	rc = connect_peers(l);
	if (rc)
		return rc;
	return hs_svc_work_calibrate(&l->worker, w->settings.work,
				     w->settings.working_set_bytes);
}

void hs_svc_loop_close(struct hs_svc_loop *l)
{
	hs_svc_work_free(&l->worker);
	free(l->calls);
	free(l->children);
	free(l->free_calls);
	free(l->free_children);
	free(l->asleep);
	free(l->parked);
	free(l->peers);
	free(l->callers);
	free(l->callees);
	hs_svc_links_close(&l->links);
}
