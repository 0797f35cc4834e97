/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue.c - events in order of virtual time; of two at one time the one that
 * was pushed first, so that the order is the same on every machine
 */
#include <stdlib.h>

#include "tests/sim/sim.h"

static bool before(const struct sim_event *a, const struct sim_event *b)
{
	if (a->at_ns != b->at_ns)
		return a->at_ns < b->at_ns;
	return a->order < b->order;
}

void sim_push(struct sim *s, uint64_t at_ns, enum sim_event_type type,
	      uint32_t a, uint32_t b, uint32_t gen, void *ptr)
{
	struct sim_event e = {.at_ns = at_ns < s->now_ns ? s->now_ns : at_ns,
			      .order = s->push_order++,
			      .type = type,
			      .a = a,
			      .b = b,
			      .gen = gen,
			      .ptr = ptr};
	uint32_t i = s->nr_heap++;

	if (i == s->room_heap) {
		s->room_heap = s->room_heap ? s->room_heap * 2 : 1024;
		s->heap = realloc(s->heap, s->room_heap * sizeof(*s->heap));
		if (!s->heap)
			abort();
	}
	while (i > 0 && before(&e, &s->heap[(i - 1) / 2])) {
		s->heap[i] = s->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	s->heap[i] = e;
}

bool sim_pop(struct sim *s, struct sim_event *out)
{
	struct sim_event last;
	uint32_t i = 0;

	if (!s->nr_heap)
		return false;
	*out = s->heap[0];
	last = s->heap[--s->nr_heap];
	for (;;) {
		uint32_t child = 2 * i + 1;

		if (child >= s->nr_heap)
			break;
		if (child + 1 < s->nr_heap &&
		    before(&s->heap[child + 1], &s->heap[child]))
			child++;
		if (!before(&s->heap[child], &last))
			break;
		s->heap[i] = s->heap[child];
		i = child;
	}
	s->heap[i] = last;
	return true;
}
