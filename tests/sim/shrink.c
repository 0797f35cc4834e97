/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shrink.c - fewer faults, requests and nodes, one attempt after another; what
 * still fails is kept
 */
#include "tests/sim/shrink.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define ATTEMPTS_MAX 200u

enum kind { U32, U64, F64, FLAG };

#define PARAM(name, kind)                                                      \
	{                                                                      \
#name, offsetof(struct sim_params, name), kind                 \
	}

static const struct {
	const char *name;
	size_t offset;
	enum kind kind;
} params[] = {
	PARAM(nr_nodes, U32),
	PARAM(nr_coords, U32),
	PARAM(nr_colls, U32),
	PARAM(nr_procs, U32),
	PARAM(nr_domains, U32),
	PARAM(nr_requests, U32),
	PARAM(load_ns, U64),
	PARAM(visits_max, U32),
	PARAM(fanout_max, U32),
	PARAM(trigger_share, F64),
	PARAM(lateral_share, F64),
	PARAM(late_share, F64),
	PARAM(forward_share, F64),
	PARAM(addresses, FLAG),
	PARAM(reply_lost, F64),
	PARAM(write_max_bytes, U32),
	PARAM(stream, FLAG),
	PARAM(loss, F64),
	PARAM(dup, F64),
	PARAM(slow, F64),
	PARAM(delay_min_ns, U64),
	PARAM(delay_max_ns, U64),
	PARAM(drift, F64),
	PARAM(nr_buffers, U32),
	PARAM(buffer_bytes, U32),
	PARAM(nr_classes, U32),
	PARAM(class_factor, U32),
	PARAM(chunk_units, U32),
	PARAM(ring_words, U32),
	PARAM(lane_room, U32),
	PARAM(library, U32),
	PARAM(lane_room_today, U32),
	PARAM(laneless, F64),
	PARAM(nr_slots, U32),
	PARAM(window_bytes, U32),
	PARAM(trace_buffers_max, U32),
	PARAM(small_collector, U32),
	PARAM(crash_trigger, FLAG),
	PARAM(rate_limit, FLAG),
	PARAM(hostile, FLAG),
	PARAM(nr_faults, U32),
	PARAM(skip_faults, U64),
	PARAM(faults_ns, U64),
	PARAM(remember_ns, U64),
	PARAM(nr_moves, U32),
	PARAM(failover, U32),
	PARAM(ship, U32),
	PARAM(ship_loss, F64),
	PARAM(ship_dup, F64),
	PARAM(ship_bend, F64),
	PARAM(ship_frame_bytes, U32),
	PARAM(ship_frames, U32),
	PARAM(ship_window, U32),
	PARAM(ship_slices, U32),
	PARAM(ship_spare, U32),
	PARAM(ship_rate, U64),
	PARAM(ship_tags, FLAG),
	PARAM(ship_bye, FLAG),
	PARAM(nr_fired, U32),
	PARAM(bouts, FLAG),
	PARAM(bout_seeks, FLAG),
	PARAM(bout_exact, FLAG),
	PARAM(ahead, U32),
	PARAM(read_bad, F64),
	PARAM(read_lies, F64),
	PARAM(wake_max_ns, U64),
	PARAM(gap_max_ns, U64),
	PARAM(tight, FLAG),
	PARAM(tally, FLAG),
};

#define NR_PARAMS (sizeof(params) / sizeof(params[0]))

bool sim_param_set(struct sim_params *p, const char *name, const char *value)
{
	for (size_t i = 0; i < NR_PARAMS; i++) {
		uint8_t *at = (uint8_t *)p + params[i].offset;

		if (strcmp(params[i].name, name))
			continue;
		if (params[i].kind == U32)
			*(uint32_t *)at = (uint32_t)strtoul(value, NULL, 0);
		else if (params[i].kind == U64)
			*(uint64_t *)at = strtoull(value, NULL, 0);
		else if (params[i].kind == F64)
			*(double *)at = strtod(value, NULL);
		else
			*(bool *)at = strtoul(value, NULL, 0) != 0;
		return true;
	}
	return false;
}

void sim_params_print(const struct sim_params *p, FILE *f)
{
	struct sim_params drawn;

	sim_draw(&drawn, p->seed);
	fprintf(f, "--seeds 1 --seed %" PRIu64, p->seed);
	for (size_t i = 0; i < NR_PARAMS; i++) {
		const uint8_t *at = (const uint8_t *)p + params[i].offset;
		const uint8_t *was = (const uint8_t *)&drawn + params[i].offset;
		uint64_t a = 0, b = 0;

		if (params[i].kind == F64) {
			double x = *(const double *)at;

			if (x != *(const double *)was)
				fprintf(f, " --set %s=%.17g", params[i].name,
					x);
			continue;
		}
		memcpy(&a, at,
		       params[i].kind == U32   ? 4
		       : params[i].kind == U64 ? 8
					       : 1);
		memcpy(&b, was,
		       params[i].kind == U32   ? 4
		       : params[i].kind == U64 ? 8
					       : 1);
		if (a != b)
			fprintf(f, " --set %s=%" PRIu64, params[i].name, a);
	}
}

static bool fails(const struct sim_params *p, uint32_t *left)
{
	struct sim *s;
	bool failed;

	if (!*left)
		return false;
	(*left)--;
	s = sim_create(p);
	sim_run(s);
	failed = s->failed;
	sim_destroy(s);
	return failed;
}

static void shrink_faults(struct sim_params *p, uint32_t *left)
{
	struct sim_params q = *p;
	uint32_t n = p->nr_faults < 64 ? p->nr_faults : 64;

	q.nr_faults = 0;
	if (fails(&q, left)) {
		*p = q;
		return;
	}
	for (uint32_t size = n / 2; size; size /= 2)
		for (uint32_t at = 0; at < n; at += size) {
			q = *p;
			for (uint32_t i = at; i < at + size && i < n; i++)
				q.skip_faults |= 1ull << i;
			if (q.skip_faults != p->skip_faults && fails(&q, left))
				*p = q;
		}
}

static void shrink_number(struct sim_params *p, uint32_t *field, uint32_t least,
			  uint32_t *left)
{
	static const uint32_t parts[][2] = {{1, 4}, {1, 2}, {3, 4}, {9, 10}};
	bool better = true;

	while (better && *left) {
		better = false;
		for (uint32_t i = 0; i < 4 && !better; i++) {
			uint32_t was = *field;

			*field = was * parts[i][0] / parts[i][1];
			if (*field < least)
				*field = least;
			better = *field != was && fails(p, left);
			if (!better)
				*field = was;
		}
	}
}

static void shrink_noise(struct sim_params *p, uint32_t *left)
{
	double *fields[] = {&p->loss,	   &p->dup,	      &p->slow,
			    &p->drift,	   &p->lateral_share, &p->reply_lost,
			    &p->ship_loss, &p->ship_dup,      &p->ship_bend};
	bool *flags[] = {&p->tally,	 &p->tight,	    &p->hostile,
			 &p->rate_limit, &p->crash_trigger, &p->ship_tags,
			 &p->ship_bye};
	struct sim_params q = *p;

	/* Streams tell the shorter story. */
	q.ship = 0;
	if (p->ship && fails(&q, left))
		*p = q;

	for (uint32_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		bool was = *flags[i];

		*flags[i] = false;
		if (was && !fails(p, left))
			*flags[i] = true;
	}
	for (uint32_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		double was = *fields[i];

		*fields[i] = 0;
		if (was > 0 && !fails(p, left))
			*fields[i] = was;
	}
}

void sim_shrink(const struct sim_params *from, const char *story)
{
	struct sim_params p = *from;
	uint32_t left = ATTEMPTS_MAX;
	struct sim *s;

	shrink_faults(&p, &left);
	shrink_number(&p, &p.nr_requests, 1, &left);
	shrink_number(&p, &p.nr_nodes, 1, &left);
	shrink_number(&p, &p.nr_coords, 1, &left);
	shrink_number(&p, &p.nr_colls, 1, &left);
	shrink_number(&p, &p.nr_domains, 1, &left);
	shrink_number(&p, &p.visits_max, 1, &left);
	shrink_faults(&p, &left);
	shrink_number(&p, &p.nr_requests, 1, &left);
	shrink_noise(&p, &left);
	printf("run it again: hs-sim --seeds 1 --seed %" PRIu64
	       "\nmade smaller: hs-sim ",
	       from->seed);
	sim_params_print(&p, stdout);
	printf("\n");
	s = sim_create(&p);
	sim_story_open(s, story);
	sim_run(s);
	printf("%s\nits story is in %s.txt and %s.json; %" PRIu64
	       " events, virtual %.3f s\n",
	       s->why, story, story, s->t.events,
	       (double)(s->now_ns - SIM_S) / 1e9);
	sim_faults_print(s, stdout);
	sim_destroy(s);
}
