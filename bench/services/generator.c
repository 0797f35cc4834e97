/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see generator.h. */
#include "bench/services/generator.h"

#include <errno.h>
#include <hs/hindsight.h>
#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "bench/bench.h"
#include "bench/services/over.h"

#define BATCH 64u

/* By whom a request begins; false: no memory. */
static bool fill_entries(struct hs_svc_generator *g)
{
	const struct hs_svc_topology *t = &g->world->topology;
	double *shares = calloc(t->nr_apis, sizeof(*shares));
	uint32_t *scratch = calloc(t->nr_apis, sizeof(*scratch));

	g->entries = calloc(t->nr_apis, sizeof(*g->entries));
	if (shares && scratch && g->entries) {
		for (uint32_t i = 0; i < t->nr_apis; i++)
			shares[i] = t->apis[i].entry;
		hs_svc_draw_fill(g->entries, shares, t->nr_apis, scratch);
	}
	free(scratch);
	free(shares);
	return shares && scratch && g->entries;
}

int hs_svc_generator_open(struct hs_svc_generator *g, struct hs_svc_world *w)
{
	const struct hs_svc_plan *p = &w->plan;
	uint32_t nr = w->settings.in_flight;
	struct hs_svc_way way;
	int rc;

	*g = (struct hs_svc_generator){
		.world = w,
		.stats = &w->generator,
		.calls = calloc(p->nr_loops, sizeof(*g->calls)),
		.replies = calloc(p->nr_loops, sizeof(*g->replies)),
		.loops = calloc(p->nr_loops, sizeof(*g->loops)),
		.requests = calloc(nr, sizeof(*g->requests)),
		.free = calloc(nr, sizeof(*g->free)),
		.ns_per_tick = hs_bench_ns_per_tick(),
	};
	if (!g->calls || !g->replies || !g->loops || !g->requests || !g->free ||
	    !fill_entries(g))
		return -ENOMEM;
	for (uint32_t i = 0; i < nr; i++)
		g->free[i] = nr - 1 - i;
	g->nr_free = nr;
	rc = hs_svc_over_links(w, &g->links);
	for (uint16_t k = 0; k < p->nr_loops && !rc; k++) {
		uint32_t pair = p->pair[p->nr_loops][k];

		if (pair == HS_SVC_NO_PAIR)
			continue;
		rc = hs_svc_over_way(w, &g->links, pair, true, k, &way);
		if (rc)
			break;
		g->calls[k].ring = way.calls;
		g->replies[k].ring = way.replies;
		g->loops[g->nr_loops++] = k;
	}
	if (rc)
		return rc;
	hs_random_seed(&g->random, w->settings.seed);
	hs_histogram_init(&g->stats->latency);
	return 0;
}

void hs_svc_generator_close(struct hs_svc_generator *g)
{
	free(g->calls);
	free(g->replies);
	free(g->loops);
	free(g->requests);
	free(g->free);
	free(g->entries);
	hs_svc_links_close(&g->links);
}

static void enter(struct hs_svc_generator *g, enum hs_svc_phase phase)
{
	g->phase = phase;
	if (phase == HS_SVC_PHASE_MEASURED)
		g->stats->begin_ns = hs_clock_mono_ns();
	if (phase == HS_SVC_PHASE_MEASURED)
		g->before = g->links.traffic;
	if (phase == HS_SVC_PHASE_DRAIN) {
		g->stats->end_ns = hs_clock_mono_ns();
		g->stats->traffic =
			hs_svc_traffic_since(&g->links.traffic, &g->before);
	}
	/* svc_world.W2 release, pairs svc_world.R2: counts before phase. */
	atomic_store_explicit(&g->world->phase, phase, memory_order_release);
}

void hs_svc_generator_start(struct hs_svc_generator *g)
{
	const struct hs_svc_settings *s = &g->world->settings;

	g->start = hs_bench_ticks();
	g->next = (double)g->start;
	g->gap = 1e9 / s->rate / g->ns_per_tick;
	g->begin = g->start + (uint64_t)((double)s->warm_ns / g->ns_per_tick);
	g->end = g->begin + (uint64_t)((double)s->span_ns / g->ns_per_tick);
	g->drain = g->end + (uint64_t)((double)s->drain_ns / g->ns_per_tick);
	g->burst_left = s->burst_nr;
	enter(g, HS_SVC_PHASE_WARM);
}

/* ---- requests
 * -------------------------------------------------------------------
 */

static uint8_t draw_marks(struct hs_svc_generator *g)
{
	const struct hs_svc_settings *s = &g->world->settings;
	uint8_t marks = 0;

	if (s->edge > 0 && hs_random_chance(&g->random, s->edge))
		marks |= HS_SVC_MARK_EDGE;
	if (s->faulty > 0 && hs_random_chance(&g->random, s->faulty))
		marks |= HS_SVC_MARK_FAULTY;
	if (g->burst_left && (g->next - (double)g->begin) * g->ns_per_tick >=
				     (double)s->burst_at_ns) {
		g->burst_left--;
		marks |= HS_SVC_MARK_COSTLY;
	}
	return marks;
}

static void write_context(struct hs_svc_generator *g, struct hs_svc_message *m,
			  const struct hs_svc_truth *t)
{
	const struct hs_svc_settings *s = &g->world->settings;
	struct hs_context c = {
		.trace_id = {t->hi, t->lo},
		.flags = HS_CONTEXT_F_RANDOM,
	};

	if (s->tracer != HS_SVC_TRACER_HEAD ||
	    hs_random_chance(&g->random, s->head_share))
		c.flags |= HS_CONTEXT_F_SAMPLED;
	m->context_bytes = (uint8_t)hs_context_encode_compact(&c, m->context);
}

/* The request that is due goes out; false when there is no room for it. */
static bool request(struct hs_svc_generator *g, uint64_t now)
{
	const struct hs_svc_settings *s = &g->world->settings;
	uint16_t api =
		(uint16_t)hs_svc_draw(g->entries, g->world->topology.nr_apis,
				      hs_random_u64(&g->random));
	uint16_t loop =
		g->world->plan
			.loop_of_service[g->world->topology.apis[api].service];
	struct hs_svc_message *m;
	struct hs_svc_request *q;
	uint32_t slot;

	if (!g->nr_free)
		return false;
	m = hs_svc_ring_put(&g->calls[loop]);
	if (!m)
		return false;
	slot = g->free[--g->nr_free];
	q = &g->requests[slot];
	q->due = (uint64_t)g->next;
	q->in_span = g->phase == HS_SVC_PHASE_MEASURED;
	q->truth.api = api;
	q->truth.marks = draw_marks(g);
	*m = (struct hs_svc_message){
		.word = now, .slot = slot, .api = api, .marks = q->truth.marks};
	if (s->tracer > HS_SVC_TRACER_NONE) {
		q->truth.hi = hs_random_u64(&g->random);
		q->truth.lo = hs_random_u64(&g->random) | 1;
		write_context(g, m, &q->truth);
	}
	g->stats->sent++;
	g->next += s->constant ? g->gap
			       : -log(1 - hs_random_f64(&g->random)) * g->gap;
	return true;
}

/* ---- replies
 * --------------------------------------------------------------------
 */

static void remember(struct hs_svc_generator *g, struct hs_svc_request *q,
		     const struct hs_svc_message *m, uint64_t latency_ns)
{
	const struct hs_svc_settings *s = &g->world->settings;
	struct hs_svc_truth *t = &q->truth;

	t->marks |= m->marks;
	if (!s->all_truths &&
	    !(t->marks &
	      (HS_SVC_MARK_SHOWN | HS_SVC_MARK_FAULTY | HS_SVC_MARK_COSTLY)))
		return;
	if (g->stats->nr_truths == HS_SVC_TRUTHS_MAX) {
		g->stats->truths_left_out++;
		return;
	}
	t->nodes = m->word;
	t->spans = m->spans;
	t->calls = m->calls;
	t->latency_ns = latency_ns;
	t->at_ns = (uint64_t)((double)(q->due - g->start) * g->ns_per_tick);
	g->world->truths[g->stats->nr_truths++] = *t;
}

static void reply(struct hs_svc_generator *g, const struct hs_svc_message *m,
		  uint64_t now)
{
	struct hs_svc_request *q = &g->requests[m->slot];
	double ns = now > q->due ? (double)(now - q->due) * g->ns_per_tick : 0;

	g->stats->received++;
	if (now >= g->begin && now < g->end) {
		g->stats->measured++;
		g->stats->calls += m->calls;
		g->stats->refused += !!(m->marks & HS_SVC_MARK_REFUSED);
		hs_histogram_record(&g->stats->latency, (uint64_t)ns);
	}
	if (q->in_span && g->world->settings.tracer > HS_SVC_TRACER_NONE)
		remember(g, q, m, (uint64_t)ns);
	g->free[g->nr_free++] = m->slot;
}

static uint32_t take(struct hs_svc_generator *g)
{
	uint32_t did = 0;

	for (uint32_t i = 0; i < g->nr_loops; i++) {
		struct hs_svc_end *e = &g->replies[g->loops[i]];
		uint32_t n = hs_svc_ring_count(e);
		uint64_t now = n ? hs_bench_ticks() : 0;

		n = n < BATCH ? n : BATCH;
		for (uint32_t k = 0; k < n; k++)
			reply(g, hs_svc_ring_get(e), now);
		if (n)
			hs_svc_ring_release(e);
		did += n;
	}
	return did;
}

/* Requests that were due in the span and have not gone out. */
static void count_unsent(struct hs_svc_generator *g)
{
	uint64_t most = g->world->settings.requests;

	g->stats->due = (uint64_t)((double)(g->end - g->begin) / g->gap);
	if (g->next < (double)g->end && (!most || g->stats->sent < most))
		g->stats->unsent =
			(uint64_t)(((double)g->end - g->next) / g->gap);
}

uint32_t hs_svc_generator_poll(struct hs_svc_generator *g)
{
	uint64_t most = g->world->settings.requests;
	uint32_t did;
	uint64_t now;

	hs_svc_links_receive(&g->links);
	did = take(g);
	now = hs_bench_ticks();

	if (g->phase == HS_SVC_PHASE_WARM && now >= g->begin)
		enter(g, HS_SVC_PHASE_MEASURED);
	if (g->phase == HS_SVC_PHASE_MEASURED && now >= g->end) {
		count_unsent(g);
		enter(g, HS_SVC_PHASE_DRAIN);
	}
	if (g->phase == HS_SVC_PHASE_WARM ||
	    g->phase == HS_SVC_PHASE_MEASURED) {
		uint32_t k = 0;

		while (k < BATCH && g->next <= (double)now &&
		       (!most || g->stats->sent < most) && request(g, now))
			k++;
		if (k)
			for (uint32_t i = 0; i < g->nr_loops; i++)
				hs_svc_ring_flush(&g->calls[g->loops[i]]);
		did += k;
	}
	did += hs_svc_links_send(&g->links);
	if (g->phase == HS_SVC_PHASE_DRAIN &&
	    (g->nr_free == g->world->settings.in_flight || now >= g->drain))
		enter(g, HS_SVC_PHASE_DRAINED);
	return did;
}
