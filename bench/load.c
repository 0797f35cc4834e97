/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see load.h. */
#include "bench/load.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

#define DRAIN_MS 120000u

void hs_load_share(struct hs_bench_result *r, uint64_t hits, uint64_t n)
{
	double z = 1.96, p, middle, half, scale;

	r->n = n;
	if (!n)
		return;
	p = (double)hits / (double)n;
	scale = 1 + z * z / (double)n;
	middle = (p + z * z / (2 * (double)n)) / scale;
	half = z / scale *
	       sqrt(p * (1 - p) / (double)n +
		    z * z / (4 * (double)n * (double)n));
	r->median = r->p99 = p;
	r->low = middle - half;
	r->high = middle + half;
}

/* ---- requests ---------------------------------------------------------------
 */

struct hs_wire_trace_id hs_load_id(uint32_t request)
{
	return (struct hs_wire_trace_id){hs_hash_mix64(request + 77),
					 request + 1};
}

static void on_ship(void *ctx, uint32_t agent,
		    const struct hs_wire_slice *slice)
{
	struct hs_load *l = ctx;
	struct hs_load_request *q = &l->requests[slice->trace.lo - 1];
	uint8_t bit = (uint8_t)(1u << agent);

	q->shipped |= bit;
	if (q->left[agent])
		q->left[agent]--;
	if (l->over)
		return;
	q->shipped_early |= bit;
	if (!q->left[agent])
		q->early_whole |= bit;
}

void hs_load_begin(struct hs_load *l, struct hs_fleet *fleet, double per_s,
		   uint32_t nr_rounds, uint64_t seed)
{
	*l = (struct hs_load){.fleet = fleet,
			      .per_ns = per_s / 1e9,
			      .next_ns = (double)fleet->now_ns,
			      .nr_rounds = nr_rounds};
	hs_random_seed(&l->random, seed);
	l->room = (uint32_t)(per_s * nr_rounds / 1000 * 1.2) + 1000;
	l->requests = calloc(l->room, sizeof(*l->requests));
	l->room_fires = l->room * 2;
	l->fires = calloc(l->room_fires, sizeof(*l->fires));
	l->due = calloc(nr_rounds, sizeof(*l->due));
	if (!l->requests || !l->fires || !l->due)
		abort();
	fleet->on_ship = on_ship;
	fleet->on_ship_ctx = l;
}

void hs_load_end(struct hs_load *l)
{
	hs_fleet_drop(l->fleet);
	free(l->requests);
	free(l->fires);
	free(l->due);
}

void hs_load_fire_later(struct hs_load *l, uint32_t request, uint32_t name,
			uint32_t after_ms)
{
	uint32_t round = l->at_round + after_ms;

	if (round >= l->nr_rounds || l->nr_fires == l->room_fires)
		return;
	l->requests[request].fired |= (uint8_t)(1u << name);
	l->requests[request].after_ms = (uint16_t)after_ms;
	l->fires[l->nr_fires] = (struct hs_load_fire){
		.next = l->due[round],
		.request = request,
		.agent = (uint16_t)hs_random_below(&l->random,
						   l->fleet->config.nr_agents),
		.name = (uint16_t)name};
	l->due[round] = ++l->nr_fires;
}

void hs_load_write(struct hs_load *l, uint32_t agent, uint32_t request,
		   uint32_t bytes, uint32_t crumbs)
{
	uint64_t before = l->fleet->agents[agent].nr_buffers;

	hs_fleet_write(l->fleet, agent, hs_load_id(request), bytes, crumbs);
	l->payload_bytes += bytes;
	l->requests[request].cold = l->at_round < HS_LOAD_WARM_MS;
	l->requests[request].left[agent] =
		(uint8_t)(l->fleet->agents[agent].nr_buffers - before);
}

/* One is asked first and asks the others. */
uint32_t hs_load_arrive(struct hs_load *l)
{
	uint32_t root = (uint32_t)hs_random_below(&l->random, HS_LOAD_AGENTS);
	uint32_t others = ((1u << HS_LOAD_AGENTS) - 1) & ~(1u << root);
	uint32_t request = l->nr++;

	if (l->nr == l->room)
		abort();
	for (uint32_t k = 0; k < HS_LOAD_AGENTS; k++) {
		double x = -log(1 - hs_random_f64(&l->random)) *
			   HS_LOAD_PAYLOAD_MEAN;
		uint32_t bytes = HS_LOAD_PAYLOAD_MIN + (uint32_t)x;

		if (bytes > HS_LOAD_PAYLOAD_MAX)
			bytes = HS_LOAD_PAYLOAD_MAX;
		hs_load_write(l, (root + k) % HS_LOAD_AGENTS, request, bytes,
			      k ? 1u << root : others);
	}
	return request;
}

bool hs_load_arrives(struct hs_load *l)
{
	if (l->next_ns > (double)(l->fleet->now_ns + HS_FLEET_ROUND_NS))
		return false;
	l->next_ns += -log(1 - hs_random_f64(&l->random)) / l->per_ns;
	return true;
}

void hs_load_round(struct hs_load *l)
{
	uint32_t i = l->due[l->at_round++];

	for (; i; i = l->fires[i - 1].next)
		hs_fleet_fire(l->fleet, l->fires[i - 1].agent,
			      l->fires[i - 1].name,
			      hs_load_id(l->fires[i - 1].request));
	hs_fleet_round(l->fleet);
}

void hs_load_drain(struct hs_load *l)
{
	l->over = true;
	for (uint32_t i = 0; hs_fleet_busy(l->fleet); i++) {
		if (i == DRAIN_MS) {
			fputs("hs-perf: the fleet does not get quiet\n",
			      stderr);
			abort();
		}
		hs_fleet_round(l->fleet);
	}
	hs_fleet_check(l->fleet);
}

bool hs_load_complete(const struct hs_load *l, uint32_t request)
{
	struct hs_wire_trace_id id = hs_load_id(request);
	struct hs_assembly_view view;

	return !hs_assembly_view(l->fleet->collector, &id, &view) &&
	       view.mark == HS_ASSEMBLY_COMPLETE;
}

static double nulls(const struct hs_fleet *f)
{
	uint64_t lost = 0, all = 0;

	for (uint32_t i = 0; i < f->config.nr_agents; i++) {
		lost += f->agents[i].nr_nulls;
		all += f->agents[i].nr_buffers;
	}
	return all ? (double)lost / (double)all : 0;
}

struct hs_bench_result *hs_load_result(struct hs_bench_report *report,
				       const char *name, uint64_t hits,
				       uint64_t n, const struct hs_fleet *f)
{
	struct hs_bench_result *r = hs_bench_add(report, name, "share");

	hs_load_share(r, hits, n);
	r->lost_share = nulls(f);
	return r;
}
