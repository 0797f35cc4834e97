/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: what will happen in lossy.c, soonest first, ties in the order in
 * which they were put in. */
#ifndef HS_TESTS_SHIP_LOSSY_EVENT_H
#define HS_TESTS_SHIP_LOSSY_EVENT_H

#include <stdint.h>

enum lossy_event_kind {
	TO_COLLECTOR,
	TO_AGENT,
	SETTLE,
	WAKE_AGENT,
	WAKE_COLLECTOR
};

struct lossy_event {
	uint64_t at_ns, nr;
	enum lossy_event_kind kind;
	uint32_t agent, bytes;
	uint32_t connection;
	uint64_t key;
	uint8_t *frame;
};

struct lossy_events {
	struct lossy_event *heap;
	uint32_t nr, cap;
	uint64_t counted;
};

void lossy_event_push(struct lossy_events *q, struct lossy_event e);
/** lossy_event_pop() - there is one */
struct lossy_event lossy_event_pop(struct lossy_events *q);

#endif
