/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see lossy_event.h. */
#include "tests/ship/lossy_event.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/check.h"

static bool sooner(const struct lossy_event *a, const struct lossy_event *b)
{
	return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->nr < b->nr;
}

void lossy_event_push(struct lossy_events *q, struct lossy_event e)
{
	uint32_t i;

	if (q->nr == q->cap) {
		q->cap = q->cap ? q->cap * 2 : 1024;
		q->heap = realloc(q->heap, q->cap * sizeof(*q->heap));
		hs_check(q->heap);
	}
	e.nr = q->counted++;
	for (i = q->nr++; i && sooner(&e, &q->heap[(i - 1) / 2]);
	     i = (i - 1) / 2)
		q->heap[i] = q->heap[(i - 1) / 2];
	q->heap[i] = e;
}

struct lossy_event lossy_event_pop(struct lossy_events *q)
{
	struct lossy_event top = q->heap[0], last = q->heap[--q->nr];
	uint32_t i = 0;

	for (;;) {
		uint32_t child = 2 * i + 1;

		if (child >= q->nr)
			break;
		if (child + 1 < q->nr &&
		    sooner(&q->heap[child + 1], &q->heap[child]))
			child++;
		if (!sooner(&q->heap[child], &last))
			break;
		q->heap[i] = q->heap[child];
		i = child;
	}
	q->heap[i] = last;
	return top;
}
