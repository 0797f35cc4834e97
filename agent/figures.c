/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see figures.h. */
#include "agent/figures.h"

#include <stdio.h>
#include <unistd.h>

#include "agent/guest.h"
#include "agent/shm_read.h"
#include "base/clock.h"

const char *const hs_occupancy_names[HS_OCCUPANCY_STATES] = {
	[HS_OCCUPANCY_FREE] = "free",
	[HS_OCCUPANCY_STOCKED] = "stocked",
	[HS_OCCUPANCY_WRITTEN] = "written",
	[HS_OCCUPANCY_HELD] = "held",
	[HS_OCCUPANCY_PINNED] = "pinned",
	[HS_OCCUPANCY_SENDING] = "sending",
	[HS_OCCUPANCY_ORPHANED] = "orphaned",
};

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Units that lie in a guest's stock rings; its tails are its own to write. */
static uint64_t in_rings(const struct hs_guest *g)
{
	uint64_t nr = 0;

	for (uint32_t i = 0; i < g->layout.nr_rings * g->nr_classes; i++) {
		const struct hs_guest_ring *r = &g->rings[i];
		uint64_t words = r->head - hs_shm_read_stock_tail(
						   hs_guest_stock_tail(g, r));

		nr += least(words, r->mask + 1ull) *
		      (hs_tenant_class_bytes(g->tenant, r->size_class) /
		       g->tenant->config.buffer_bytes);
	}
	return nr;
}

void hs_occupancy_get(const struct hs_worker *w, const struct hs_tenant *t,
		      struct hs_occupancy *out)
{
	struct hs_agent_domain_stats s;
	uint64_t stocked = 0, orphaned = 0, left;

	hs_agent_core_domain_stats_get(w->core, t->index, w->now_ns, &s);
	for (uint32_t i = 0; i < w->nr_guests; i++) {
		const struct hs_guest *g = w->guests[i];

		if (!g || g->tenant != t)
			continue;
		if (g->garbage)
			orphaned += g->nr_orphaned;
		else
			stocked += in_rings(g);
	}
	/* What is shared out of a sum never exceeds what is left of it. */
	left = s.buffers_stocked - s.buffers_sending_open;
	orphaned = least(orphaned, left);
	stocked = least(stocked, left - orphaned);
	out->nr[HS_OCCUPANCY_FREE] = s.buffers_free;
	out->nr[HS_OCCUPANCY_STOCKED] = stocked;
	out->nr[HS_OCCUPANCY_WRITTEN] = left - orphaned - stocked;
	out->nr[HS_OCCUPANCY_HELD] = s.buffers_held - s.buffers_pinned;
	out->nr[HS_OCCUPANCY_PINNED] =
		s.buffers_pinned - s.buffers_sending + s.buffers_sending_open;
	out->nr[HS_OCCUPANCY_SENDING] = s.buffers_sending + s.buffers_parked;
	out->nr[HS_OCCUPANCY_ORPHANED] = orphaned;
	out->nr_total = s.buffers_total;
}

#define RATE_EVERY_NS HS_NS_PER_SEC
/* What a second counts for in the average: ten seconds' memory or so. */
#define RATE_WEIGHT 0.1

static void rate_look(const struct hs_worker *w, struct hs_tenant *t)
{
	struct hs_agent_domain_stats s;
	double now_per_s;

	hs_agent_core_domain_stats_get(w->core, t->index, w->now_ns, &s);
	if (t->rate_ns) {
		now_per_s = (double)(s.units_indexed - t->rate_units) * 1e9 /
			    (double)(w->now_ns - t->rate_ns);
		if (t->units_per_s > 0)
			t->units_per_s +=
				RATE_WEIGHT * (now_per_s - t->units_per_s);
		else
			t->units_per_s = now_per_s;
	}
	t->rate_units = s.units_indexed;
	t->rate_ns = w->now_ns;
}

void hs_figures_round(struct hs_worker *w)
{
	if (w->now_ns < w->figures_ns)
		return;
	w->figures_ns = w->now_ns + RATE_EVERY_NS;
	for (uint32_t i = 0; i < HS_AGENT_DOMAINS_MAX; i++)
		if (w->tenants[i])
			rate_look(w, w->tenants[i]);
}

uint64_t hs_expected_horizon_ns(const struct hs_worker *w,
				const struct hs_tenant *t)
{
	struct hs_agent_domain_stats s;
	double room;

	hs_agent_core_domain_stats_get(w->core, t->index, w->now_ns, &s);
	room = (double)s.buffers_total * (double)w->settings.evict_percent /
		       100 -
	       (double)(s.buffers_stocked + s.buffers_pinned);
	/* Under a unit a minute is nothing. */
	if (t->units_per_s < 1.0 / 60 || room <= 0)
		return 0;
	return (uint64_t)(room / t->units_per_s * 1e9);
}

uint32_t hs_figures_losses(const struct hs_worker *w, struct hs_figure *out)
{
	const struct hs_worker_counters *c = &w->counters;
	struct hs_agent_stats s;
	uint32_t nr = 0;

	hs_agent_core_stats_get(w->core, &s);
	out[nr++] = (struct hs_figure){"lane", c->lane_lost};
	out[nr++] = (struct hs_figure){"unpinned", c->lost_unpinned};
	out[nr++] = (struct hs_figure){"nulls", c->stock_nulls};
	out[nr++] = (struct hs_figure){"cut_off", c->guests_garbage};
	out[nr++] = (struct hs_figure){"index_full", s.lost_index_full};
	out[nr++] = (struct hs_figure){"crumbs", s.crumbs_lost};
	out[nr++] = (struct hs_figure){"abandoned", s.traces_abandoned};
	out[nr++] = (struct hs_figure){"slices_refused", s.slices_refused};
	return nr;
}

uint32_t hs_figures_triggers(const struct hs_worker *w, struct hs_figure *out)
{
	struct hs_agent_stats s;
	uint32_t nr = 0;

	hs_agent_core_stats_get(w->core, &s);
	out[nr++] = (struct hs_figure){"acknowledged", s.triggers_local};
	out[nr++] = (struct hs_figure){"limited", s.triggers_limited};
	out[nr++] = (struct hs_figure){"refused", s.triggers_refused};
	out[nr++] = (struct hs_figure){"stored", s.triggers_stored};
	out[nr++] = (struct hs_figure){"elsewhere", s.collects};
	out[nr++] = (struct hs_figure){"elsewhere_refused", s.collects_refused};
	return nr;
}

uint32_t hs_figures_queues(const struct hs_worker *w, struct hs_figure *out)
{
	struct hs_agent_queue_stats q;
	uint32_t nr = 0;

	hs_agent_core_queue_stats_get(w->core, &q);
	out[nr++] = (struct hs_figure){"outbox", q.outbox};
	out[nr++] = (struct hs_figure){"fired", q.fired};
	out[nr++] = (struct hs_figure){"changed", q.changed};
	out[nr++] = (struct hs_figure){"limited", q.limited};
	out[nr++] = (struct hs_figure){"asked", q.asked};
	out[nr++] = (struct hs_figure){"slices", q.slices};
	out[nr++] = (struct hs_figure){"slice_bytes", q.slice_bytes};
	out[nr++] = (struct hs_figure){"lent_bytes", q.lent_bytes};
	return nr;
}

uint64_t hs_figures_cpu_ns(const struct hs_worker *w)
{
	return hs_clock_thread_ns() - w->ready_cpu_ns;
}

static json_t *as_object(const struct hs_figure *figures, uint32_t nr)
{
	json_t *o = json_object();

	for (uint32_t i = 0; i < nr; i++)
		json_object_set_new(o, figures[i].name,
				    json_integer((json_int_t)figures[i].value));
	return o;
}

void hs_figures_status(const struct hs_worker *w, json_t *root)
{
	struct hs_figure f[HS_FIGURES_MAX];
	struct hs_agent_stats s;

	hs_agent_core_stats_get(w->core, &s);
	json_object_set_new(root, "losses",
			    as_object(f, hs_figures_losses(w, f)));
	json_object_set_new(root, "outcomes",
			    as_object(f, hs_figures_triggers(w, f)));
	json_object_set_new(root, "queues",
			    as_object(f, hs_figures_queues(w, f)));
	json_object_set_new(
		root, "cost",
		json_pack("{s:I, s:I, s:I, s:I}", "now_ns",
			  (json_int_t)w->now_ns, "up_ns",
			  (json_int_t)(w->now_ns - w->ready_ns), "cpu_ns",
			  (json_int_t)hs_figures_cpu_ns(w), "buffers",
			  (json_int_t)s.buffers_indexed));
	json_object_set_new(root, "evict_percent",
			    json_integer(w->settings.evict_percent));
	json_object_set_new(
		root, "adoption",
		json_pack("{s:I, s:I, s:I, s:b}", "ns",
			  (json_int_t)(w->ready_ns - w->began_ns), "cpu_ns",
			  (json_int_t)(w->ready_cpu_ns - w->began_cpu_ns +
				       w->clear_cpu_ns),
			  "pool_bytes", (json_int_t)w->adopted_bytes,
			  "stood_by", w->stood_by));
}

/* Resident and nobody else's: what it costs beyond what all processes share. */
static uint64_t private_bytes(pid_t pid)
{
	unsigned long long resident = 0, shared = 0;
	char path[64];
	FILE *f;
	int n;

	snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	n = fscanf(f, "%*u %llu %llu", &resident, &shared);
	fclose(f);
	return n == 2 && resident > shared
		       ? (resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE)
		       : 0;
}

json_t *hs_figures_standby(const struct hs_worker *w)
{
	return json_pack(
		"{s:I, s:I, s:I}", "pid", (json_int_t)w->standby,
		"private_bytes",
		(json_int_t)(w->standby ? private_bytes(w->standby) : 0),
		"deaths", (json_int_t)w->standby_deaths);
}

void hs_figures_domain(const struct hs_worker *w, const struct hs_tenant *t,
		       json_t *domain)
{
	json_t *o = json_object();
	struct hs_agent_domain_stats s;
	struct hs_occupancy at;

	hs_agent_core_domain_stats_get(w->core, t->index, w->now_ns, &s);
	json_object_set_new(domain, "indexed",
			    json_pack("{s:I, s:I, s:I}", "buffers",
				      (json_int_t)s.buffers_indexed, "bytes",
				      (json_int_t)s.bytes_indexed, "pool_bytes",
				      (json_int_t)(s.units_indexed *
						   t->config.buffer_bytes)));
	json_object_set_new(
		domain, "expected_horizon_ns",
		json_integer((json_int_t)hs_expected_horizon_ns(w, t)));
	hs_occupancy_get(w, t, &at);
	for (int i = 0; i < HS_OCCUPANCY_STATES; i++)
		json_object_set_new(o, hs_occupancy_names[i],
				    json_integer((json_int_t)at.nr[i]));
	json_object_set_new(domain, "occupancy", o);
}
