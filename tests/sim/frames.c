/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frames.c - the way that frames of the shipping protocol go: each for itself,
 * so they are lost, repeated, bent and overtake each other
 */
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "tests/sim/ship.h"

static bool chance(struct sim *s, double p)
{
	return !s->healing && p > 0 && hs_random_chance(&s->ship->random, p);
}

static uint64_t delay(struct sim *s, const struct sim_link *l)
{
	struct hs_random *r = &s->ship->random;
	uint64_t d = sim_between(r, s->p.delay_min_ns, s->p.delay_max_ns);

	if (chance(s, s->p.slow))
		d += sim_between(r, 1, 300) * SIM_MS;
	if (l->slow)
		d += sim_between(r, 50, 1500) * SIM_MS;
	return d;
}

/* By somebody on the way, who can make the sum anew, and not the tag. */
static void forge(struct sim_frame *f)
{
	struct hs_ship_header h;
	struct hs_ship_span rest;

	memcpy(&h, f->data, sizeof(h));
	if (h.head_bytes < sizeof(h) || h.head_bytes > f->bytes)
		return;
	rest = (struct hs_ship_span){f->data + h.head_bytes,
				     f->bytes - h.head_bytes};
	hs_ship_frame_seal(NULL, f->data, h.head_bytes, &rest, 1);
}

static struct sim_frame *frame_make(struct sim *s, const struct sim_frame *like,
				    const uint8_t *data)
{
	struct sim_frame *f = malloc(sizeof(*f) + like->bytes);

	if (!f)
		abort();
	*f = *like;
	memcpy(f->data, data, like->bytes);
	if (chance(s, s->p.ship_bend)) {
		uint64_t at = hs_random_below(&s->ship->random, f->bytes);

		f->data[at] ^=
			(uint8_t)(1u << hs_random_below(&s->ship->random, 8));
		if (s->p.ship_tags && at >= sizeof(struct hs_ship_header))
			forge(f);
	}
	return f;
}

void sim_frame_post(struct sim *s, uint32_t from, uint32_t to, uint32_t gen,
		    const uint8_t *frame, uint32_t bytes)
{
	const struct sim_link *l = &s->links[sim_net_link(s, from, to)];
	struct sim_frame like = {
		.from = from,
		.to = to,
		.from_gen = sim_ep_gen(s, from),
		.to_gen = gen,
		.bytes = bytes,
	};
	uint32_t copies = 1;
	struct sim_frame *f;
	uint64_t at_ns;

	s->t.frames++;
	if (chance(s, s->p.ship_dup)) {
		copies = 2;
		s->t.frames_repeated++;
	}
	while (copies--) {
		if (l->blocked[from > to] || chance(s, s->p.ship_loss)) {
			s->t.frames_lost++;
			continue;
		}
		/* Both draw: the compiler does not choose which one first. */
		f = frame_make(s, &like, frame);
		at_ns = s->now_ns + delay(s, l);
		sim_push(s, at_ns, SIM_EV_FRAME, to, from, 0, f);
	}
}

void sim_ship_frame(struct sim *s, struct sim_frame *f)
{
	uint32_t n = s->p.nr_nodes;

	sim_mix(s, (uint64_t)f->from << 32 | f->bytes);
	sim_mix(s, hs_crc32c(0, f->data, f->bytes));
	if (!sim_ep_up(s, f->to)) {
		s->t.frames_lost++;
		free(f);
	} else if (f->to < n) {
		sim_outlet_frame(s, f);
	} else {
		sim_intake_frame(s, f);
	}
}
