/* SPDX-License-Identifier: Apache-2.0 */
/*
 * draw.c - what a seed decides
 *
 * What came later is drawn from numbers of its own, so that seeds go on
 * meaning what they meant before.
 */
#include <string.h>

#include "base/random.h"
#include "tests/sim/sim.h"

static void draw_network(struct sim_params *p, struct hs_random *r)
{
	p->stream = hs_random_chance(r, 0.6);
	p->loss = hs_random_chance(r, 0.6) ? hs_random_f64(r) * 0.3 : 0;
	p->dup = hs_random_chance(r, 0.4) ? hs_random_f64(r) * 0.5 : 0;
	p->slow = hs_random_chance(r, 0.3) ? hs_random_f64(r) * 0.1 : 0;
	p->delay_min_ns = sim_between(r, 5, 500) * SIM_US;
	p->delay_max_ns = p->delay_min_ns + sim_between(r, 1, 20000) * SIM_US;
	p->drift = hs_random_chance(r, 0.5) ? hs_random_f64(r) * 0.001 : 0;
}

static void draw_memory(struct sim_params *p, struct hs_random *r)
{
	static const uint32_t bytes[] = {256, 512, 1024};
	bool small = hs_random_chance(r, 0.35);

	p->buffer_bytes = bytes[hs_random_below(r, 3)];
	p->nr_buffers = small ? 48 + (uint32_t)hs_random_below(r, 64)
			      : 512 + (uint32_t)hs_random_below(r, 512);
	p->ring_words = 4 + (uint32_t)hs_random_below(r, small ? 4 : 28);
	p->lane_room = hs_random_chance(r, 0.25)
			       ? 34 + (uint32_t)hs_random_below(r, 8)
			       : SIM_LANE_ROOM;
	p->nr_slots = hs_random_chance(r, 0.15) ? 3 : SIM_SLOTS_MAX;
	p->window_bytes = hs_random_chance(r, 0.3) ? 4096 : 262144;
	p->trace_buffers_max = hs_random_chance(r, 0.1) ? 8 : 4096;
	p->small_collector = hs_random_chance(r, 0.25);
}

/* As many bytes of a larger class as of the smallest one, or fewer. */
uint32_t sim_ring_words(const struct sim_params *p, uint32_t size_class)
{
	uint32_t words = p->ring_words >> 2 * size_class;

	return words ? words : 1;
}

/* From numbers of their own: seeds mean what they meant before. */
static void draw_classes(struct sim_params *p, uint64_t seed)
{
	static const uint32_t chunks[] = {0, 8, 16, 64};
	struct hs_random r;
	uint32_t units;

	hs_random_seed(&r, seed ^ 0xc1a55ull);
	p->class_factor = hs_random_chance(&r, 0.5) ? 2 : 4;
	p->chunk_units = chunks[hs_random_below(&r, 4)];
	p->nr_classes = 1 + (uint32_t)hs_random_below(&r, SIM_CLASSES_MAX);
	/* Stocks leave half of the pool to traces, as the worker sees to. */
	do {
		units = 0;
		for (uint32_t c = 0, size = 1; c < p->nr_classes; c++) {
			units += sim_ring_words(p, c) * size * p->nr_procs;
			size *= p->class_factor;
		}
	} while (units > p->nr_buffers / 2 && --p->nr_classes > 1);
	if (p->nr_classes == 0)
		p->nr_classes = 1;
	if (p->class_factor == 4 && p->nr_classes == 3 && p->chunk_units == 8)
		p->chunk_units = 16;
}

static void draw_ship(struct sim_params *p, uint64_t seed)
{
	static const uint32_t frames[] = {576, 1472, 4096, 9216};
	struct hs_random r;

	hs_random_seed(&r, seed ^ 0x5419ull);
	p->ship = hs_random_chance(&r, 0.5);
	p->ship_loss = hs_random_chance(&r, 0.7) ? hs_random_f64(&r) * 0.3 : 0;
	p->ship_dup = hs_random_chance(&r, 0.6) ? hs_random_f64(&r) * 0.5 : 0;
	p->ship_bend = hs_random_chance(&r, 0.3) ? hs_random_f64(&r) * 0.1 : 0;
	p->ship_frame_bytes = frames[hs_random_below(&r, 4)];
	p->ship_window = 64u << hs_random_below(&r, 4);
	p->ship_slices = 8u << hs_random_below(&r, 6);
	p->ship_spare = 1 + (uint32_t)hs_random_below(&r, 4);
	p->ship_frames = (p->nr_nodes + p->ship_spare) * 64 +
			 (uint32_t)hs_random_below(&r, 512);
	p->ship_rate = hs_random_chance(&r, 0.2)
			       ? sim_between(&r, 200000, 2000000)
			       : 0;
	p->ship_tags = hs_random_chance(&r, 0.3);
	p->ship_bye = hs_random_chance(&r, 0.5);
}

/* Tenants, and how little they have. */
static void draw_domains(struct sim_params *p, uint64_t seed)
{
	uint32_t honest = p->nr_procs - p->hostile;
	struct hs_random r;

	hs_random_seed(&r, seed ^ 0xd03a1ull);
	p->tight = hs_random_chance(&r, 0.4);
	p->nr_domains = 1 + (uint32_t)hs_random_below(&r, SIM_TENANTS_MAX);
	if (p->nr_domains > honest)
		p->nr_domains = honest;
}

static void draw_library(struct sim_params *p, uint64_t seed)
{
	struct hs_random r;

	hs_random_seed(&r, seed ^ 0x11b5ull);
	p->library = 2;
	if (hs_random_chance(&r, 0.5))
		p->library = hs_random_chance(&r, 0.5) ? 1 : 3;
	p->laneless = hs_random_chance(&r, 0.2) ? 0.02 : 0;
	/* Full while the agent looks on, not only while there is none. */
	p->lane_room_today = p->lane_room;
	if (hs_random_chance(&r, 0.3))
		p->lane_room_today = 8 + (uint32_t)hs_random_below(&r, 16);
}

static void draw_tally(struct sim_params *p, uint64_t seed)
{
	struct hs_random r;

	hs_random_seed(&r, seed ^ 0x7a117ull);
	p->tally = hs_random_chance(&r, 0.5);
}

/* Few: what is named so may be cut, and is then checked for less. */
static void draw_addresses(struct sim_params *p, uint64_t seed)
{
	struct hs_random r;

	hs_random_seed(&r, seed ^ 0xadd2ull);
	p->addresses = hs_random_chance(&r, 0.2);
}

/* Everything about a run but what the command line says otherwise. */
void sim_draw(struct sim_params *p, uint64_t seed)
{
	struct hs_random r;

	memset(p, 0, sizeof(*p));
	hs_random_seed(&r, seed ^ 0x51b0ull);
	p->seed = seed;
	p->nr_nodes = 2 + (uint32_t)hs_random_below(&r, 10);
	p->nr_coords = 1 + (uint32_t)hs_random_below(&r, 3);
	p->nr_colls = 1 + (uint32_t)hs_random_below(&r, 2);
	p->nr_procs = 1 + (uint32_t)hs_random_below(&r, 3);
	p->nr_requests = 10 + (uint32_t)hs_random_below(&r, 70);
	p->load_ns = sim_between(&r, 200, 3000) * SIM_MS;
	p->visits_max = 2 + (uint32_t)hs_random_below(&r, 24);
	p->fanout_max = 1 + (uint32_t)hs_random_below(&r, 6);
	p->trigger_share = hs_random_chance(&r, 0.3)
				   ? 1.0
				   : 0.05 + hs_random_f64(&r) * 0.5;
	p->lateral_share = hs_random_f64(&r) * 0.6;
	p->late_share = 0.25;
	p->forward_share = hs_random_f64(&r);
	p->reply_lost = hs_random_chance(&r, 0.5) ? 0.1 : 0;
	p->write_max_bytes = 1 + (uint32_t)hs_random_below(&r, 1500);
	draw_network(p, &r);
	draw_memory(p, &r);
	p->crash_trigger = hs_random_chance(&r, 0.5);
	p->rate_limit = hs_random_chance(&r, 0.2);
	p->hostile = hs_random_chance(&r, 0.2) && p->nr_procs > 1;
	p->nr_faults = hs_random_chance(&r, 0.15)
			       ? 0
			       : (uint32_t)hs_random_below(&r, 14);
	p->faults_ns = p->load_ns + sim_between(&r, 100, 4000) * SIM_MS;
	/* Drawn apart, so that the others stay what they were. */
	hs_random_seed(&r, seed ^ 0x3e3bull);
	p->nr_moves = hs_random_chance(&r, 0.5)
			      ? 0
			      : 1 + (uint32_t)hs_random_below(&r, 6);
	p->nr_fired = 128;
	p->bouts = true;
	p->bout_seeks = p->bout_exact = true;
	p->remember_ns = 40 * SIM_S;
	draw_classes(p, seed);
	draw_ship(p, seed);
	draw_domains(p, seed);
	draw_tally(p, seed);
	draw_addresses(p, seed);
	sim_ahead_draw(p, seed);
	p->wake_max_ns = 500 * SIM_US;
	p->gap_max_ns = 2 * SIM_MS;
	draw_library(p, seed);
}
