/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see horizon.h. */
#include "bench/horizon.h"

#include <stdlib.h>
#include <string.h>

#include "bench/load.h"

#define PER_S	     10000.0
#define BUFFER_BYTES 1024u
#define TRIGGERED    0.02
#define EVICT_SHARE  0.8 /* the agents' default threshold */
#define NR_DELAYS    25u

struct curve {
	const char *name;
	uint64_t pool_bytes;
	double fill, expected_ms;
	uint64_t fired[NR_DELAYS], whole[NR_DELAYS];
};

/* What a buffer holds of payload, at that distribution of sizes. */
static double fill_of(const struct hs_load *l)
{
	uint64_t nr = 0;

	for (uint32_t k = 0; k < HS_LOAD_AGENTS; k++)
		nr += l->fleet->agents[k].nr_buffers;
	return (double)l->payload_bytes / (double)(nr * BUFFER_BYTES);
}

/* Eleven coarse steps, but fine ones around where the half is expected. */
static uint32_t delay_ms(const struct curve *c, uint32_t step)
{
	static const double at[NR_DELAYS] = {
		0,    0.2,  0.4,  0.6,	0.7,  0.8,  0.85, 0.88, 0.9,
		0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99, 1.0,	1.01,
		1.02, 1.04, 1.06, 1.1,	1.2,  1.4,  1.6};

	return (uint32_t)(c->expected_ms * at[step]);
}

static struct hs_fleet_config config_of(uint32_t nr_rounds)
{
	return (struct hs_fleet_config){
		.nr_agents = HS_LOAD_AGENTS,
		.buffer_bytes = BUFFER_BYTES,
		.nr_traces =
			(uint32_t)(PER_S / 1000 * TRIGGERED * 1.5 * nr_rounds),
		.has_coordinator = true,
		.nr_names = 1,
		.names = {"B"}};
}

/* Mean size of the payload at one agent, and of its buffers: by a trial. */
static void expect(struct curve *c)
{
	struct hs_fleet_config config = config_of(1000);
	double per_agent_ms;
	struct hs_load l;

	for (uint32_t k = 0; k < HS_LOAD_AGENTS; k++)
		config.pool_bytes[k] = c->pool_bytes;
	hs_load_begin(&l, hs_fleet_make(&config), PER_S, 1000, 11);
	while (l.at_round < l.nr_rounds) {
		while (hs_load_arrives(&l))
			hs_load_arrive(&l);
		hs_load_round(&l);
	}
	c->fill = fill_of(&l);
	per_agent_ms = (double)l.payload_bytes / HS_LOAD_AGENTS / l.nr_rounds;
	c->expected_ms =
		(double)c->pool_bytes * EVICT_SHARE * c->fill / per_agent_ms;
	hs_load_end(&l);
}

/* Where the share passes a half, and the delays on both sides of it. */
static double half_ms(const struct curve *c, double *from, double *to)
{
	double last = 1;

	for (uint32_t i = 0; i < NR_DELAYS; i++) {
		double share =
			c->fired[i] ? (double)c->whole[i] / (double)c->fired[i]
				    : 0;

		if (share < 0.5 && i) {
			*from = delay_ms(c, i - 1);
			*to = delay_ms(c, i);
			return *from +
			       (*to - *from) * (last - 0.5) / (last - share);
		}
		last = share;
	}
	*from = *to = 0;
	return 0;
}

static void tell(struct hs_bench_report *report, const struct curve *c,
		 const struct hs_fleet *f)
{
	struct hs_bench_result *r;
	double from, to, half = half_ms(c, &from, &to);
	uint64_t n = 0;
	char name[48];

	for (uint32_t i = 0; i < NR_DELAYS; i++) {
		snprintf(name, sizeof(name), "horizon_%s_%05ums", c->name,
			 delay_ms(c, i));
		hs_load_result(report, name, c->whole[i], c->fired[i], f);
		n += c->fired[i];
	}
	snprintf(name, sizeof(name), "horizon_half_%s", c->name);
	r = hs_load_result(report, name, 0, 0, f);
	r->n = n;
	r->median = r->p99 = half / c->expected_ms;
	r->low = from / c->expected_ms;
	r->high = to / c->expected_ms;
	snprintf(r->note, sizeof(r->note),
		 "half are whole at %.0f ms; payload capacity over payload "
		 "rate: %.0f ms; fill %.3g of the buffers, %.2g of the pool",
		 half, c->expected_ms, c->fill, EVICT_SHARE);
}

static void measure(struct hs_bench_report *report, struct curve *c,
		    uint32_t nr_rounds)
{
	struct hs_fleet_config config;
	uint32_t fills_ms, step = 0;
	struct hs_load l;

	expect(c);
	/* Full before the first trigger; and the last one is to fire. */
	fills_ms = (uint32_t)(c->expected_ms * 1.5);
	nr_rounds += fills_ms + delay_ms(c, NR_DELAYS - 1);
	config = config_of(nr_rounds);
	for (uint32_t k = 0; k < HS_LOAD_AGENTS; k++)
		config.pool_bytes[k] = c->pool_bytes;
	hs_load_begin(&l, hs_fleet_make(&config), PER_S, nr_rounds, 12);
	while (l.at_round < nr_rounds) {
		while (hs_load_arrives(&l)) {
			uint32_t request = hs_load_arrive(&l);

			if (l.at_round < fills_ms ||
			    !hs_random_chance(&l.random, TRIGGERED))
				continue;
			hs_load_fire_later(&l, request, 0,
					   delay_ms(c, step++ % NR_DELAYS));
		}
		hs_load_round(&l);
	}
	hs_load_drain(&l);
	for (uint32_t i = 0; i < l.nr; i++) {
		const struct hs_load_request *q = &l.requests[i];
		uint32_t k = 0;

		if (!q->fired)
			continue;
		while (delay_ms(c, k) != q->after_ms)
			k++;
		c->fired[k]++;
		c->whole[k] += hs_load_complete(&l, i);
	}
	tell(report, c, l.fleet);
	hs_load_end(&l);
}

/* ---- a short memory in the path ---------------------------------------------
 */

#define SMALL 1u /* the agent that has it */

/* Whether the mark says just what happened: evicted there, and only there. */
static bool evicted_there(const struct hs_load *l, uint32_t request)
{
	struct hs_wire_trace_id id = hs_load_id(request);
	struct hs_assembly_cause causes[8];
	uint32_t nr = hs_assembly_causes(l->fleet->collector, &id, causes, 8);
	struct hs_assembly_view view;
	bool evicted = false;

	for (uint32_t i = 0; i < nr; i++) {
		if (causes[i].node != l->fleet->agents[SMALL].id)
			return false;
		evicted |= causes[i].why == HS_ASSEMBLY_WHY_EVICTED;
	}
	return evicted && !hs_assembly_view(l->fleet->collector, &id, &view) &&
	       view.mark == HS_ASSEMBLY_PARTIAL;
}

static uint64_t horizon_ms(const struct hs_load *l, uint32_t agent)
{
	struct hs_agent_domain_stats s;

	hs_agent_core_domain_stats_get(l->fleet->agents[agent].core, 0,
				       l->fleet->now_ns, &s);
	return s.horizon_ns / 1000000;
}

static void mismatch(struct hs_bench_report *report, const struct curve *small,
		     const struct curve *large, uint32_t nr_rounds)
{
	uint32_t delay = (uint32_t)((small->expected_ms * 2 +
				     large->expected_ms / 2) /
				    2),
		 fills_ms = (uint32_t)(large->expected_ms * 1.5);
	uint64_t n = 0, honest = 0, at_small, at_large;
	struct hs_fleet_config config;
	struct hs_bench_result *r;
	struct hs_load l;

	nr_rounds += fills_ms + delay;
	config = config_of(nr_rounds);
	for (uint32_t k = 0; k < HS_LOAD_AGENTS; k++)
		config.pool_bytes[k] =
			k == SMALL ? small->pool_bytes : large->pool_bytes;
	hs_load_begin(&l, hs_fleet_make(&config), PER_S, nr_rounds, 13);
	while (l.at_round < nr_rounds) {
		while (hs_load_arrives(&l)) {
			uint32_t request = hs_load_arrive(&l);

			if (l.at_round >= fills_ms &&
			    hs_random_chance(&l.random, TRIGGERED))
				hs_load_fire_later(&l, request, 0, delay);
		}
		hs_load_round(&l);
	}
	at_small = horizon_ms(&l, SMALL);
	at_large = horizon_ms(&l, SMALL + 1);
	hs_load_drain(&l);
	for (uint32_t i = 0; i < l.nr; i++) {
		n += l.requests[i].fired != 0;
		honest += l.requests[i].fired && evicted_there(&l, i);
	}
	r = hs_load_result(report, "horizon_mismatch", honest, n, l.fleet);
	snprintf(r->note, sizeof(r->note),
		 "partial, evicted at the small node and only there; triggers "
		 "after %u ms, horizons by the metric: %llu ms there, %llu ms "
		 "elsewhere",
		 delay, (unsigned long long)at_small,
		 (unsigned long long)at_large);
	hs_load_end(&l);
}

/* ---- half of the traces -----------------------------------------------------
 */

static double horizon_at(uint32_t kept_ppm, const struct curve *c,
			 struct hs_bench_result *r)
{
	uint32_t nr_rounds = (uint32_t)(c->expected_ms * 4);
	struct hs_fleet_config config = config_of(1000);
	double ms = 0;
	struct hs_load l;

	config.kept_ppm = kept_ppm;
	for (uint32_t k = 0; k < HS_LOAD_AGENTS; k++)
		config.pool_bytes[k] = c->pool_bytes;
	hs_load_begin(&l, hs_fleet_make(&config), PER_S, nr_rounds, 14);
	while (l.at_round < nr_rounds) {
		while (hs_load_arrives(&l))
			hs_load_arrive(&l);
		hs_load_round(&l);
	}
	for (uint32_t k = 0; k < HS_LOAD_AGENTS; k++)
		ms += (double)horizon_ms(&l, k) / HS_LOAD_AGENTS;
	r->n += l.nr;
	hs_load_end(&l);
	return ms;
}

static void kept(struct hs_bench_report *report, const struct curve *c)
{
	struct hs_bench_result *r =
		hs_bench_add(report, "horizon_kept", "share");
	double all = horizon_at(0, c, r), half = horizon_at(500000, c, r);

	r->median = r->p99 = r->low = r->high = half / all;
	snprintf(r->note, sizeof(r->note),
		 "event horizon where half of the traces are kept, %.0f ms, "
		 "over that of all, %.0f ms, 10 MB a node",
		 half, all);
}

void hs_horizon_measure(struct hs_bench_report *report, uint32_t nr_rounds)
{
	struct curve small = {.name = "10MB", .pool_bytes = 10000000},
		     large = {.name = "100MB", .pool_bytes = 100000000};

	measure(report, &small, nr_rounds);
	measure(report, &large, nr_rounds);
	mismatch(report, &small, &large, nr_rounds);
	kept(report, &small);
}
