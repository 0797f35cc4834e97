/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see scripts.h. */
#include "scripts.h"

#include "rig.h"

#define SHORT_BYTES 40u
#define WHOLE_BYTES 100u
#define LONG_BYTES  900u
#define LANE_FULL   64u
#define OTHER_NODE  0x0000000900000001ull

const struct hs_wire_trace_id script_trace = {0x76, 1};

static const struct hs_trace_id id = {0x76, 1};
static const struct hs_trace_id laterals[SCRIPT_LATERALS] = {{0x76, 7},
							     {0xb5, 1}};
static struct hs_trace *trace;
static struct hs_trigger *trigger;
static struct hs_span span;

/* ---- small parts --------------------------------------------------------- */

static void point(uint32_t record, uint32_t size_bytes)
{
	uint8_t data[LONG_BYTES];

	rig_fill(data, size_bytes, record);
	hs_tracepoint(trace, data, size_bytes);
}

static void begin(void)
{
	trace = hs_trace_begin(&id, NULL);
}

static void nothing(void)
{
}

static void begin_point(void)
{
	begin();
	point(0, SHORT_BYTES);
}

/* ---- scripts ------------------------------------------------------------- */

static void begin_call(uint32_t number)
{
	struct hs_context from = {
		.trace_id = {0x76, 1},
		.nr_crumbs = 2,
		.crumbs = {OTHER_NODE, OTHER_NODE + 1},
	};

	(void)number;
	trace = hs_trace_begin(NULL, &from);
}

static void tracepoint_call(uint32_t number)
{
	uint8_t data[SHORT_BYTES];

	rig_fill(data, sizeof(data), number - 1);
	switch (number) {
	case 1: /* takes the first buffer */
	case 2: /* appends by itself */
		hs_tracepoint(trace, data, sizeof(data));
		break;
	case 3:
		hs_tracepoint_plain(trace, data, sizeof(data));
		break;
	default: /* by the library */
		point(number - 1, SHORT_BYTES);
	}
}

static void crossing_prepare(void)
{
	begin();
	for (uint32_t i = 0; i < 3; i++)
		point(i, WHOLE_BYTES);
}

/* One that starts in a new buffer, and one that runs on through several. */
static void crossing_call(uint32_t number)
{
	point(2 + number, number == 1 ? WHOLE_BYTES : LONG_BYTES);
}

static void span_call(uint32_t number)
{
	switch (number) {
	case 1:
		hs_span_start(trace, &span, "GET /item", 7);
		break;
	case 2:
		hs_span_attr_str(&span, "http.method", "GET");
		break;
	case 3:
		hs_span_attr_i64(&span, "http.status_code", 503);
		break;
	case 4:
		hs_span_event(&span, "flushed", NULL, 0);
		break;
	case 5:
		hs_span_status(&span, HS_SPAN_STATUS_ERROR, "no room");
		break;
	default:
		hs_span_end(&span);
	}
}

/* The same by the shortest way: its keys are known after the first, and where
 * its name stands after the second. It says nothing of how it went. */
static void again_call(uint32_t number)
{
	if (number < 5)
		span_call(number);
	else
		hs_span_end(&span);
}

static void again_prepare(void)
{
	begin();
	for (uint32_t i = 0; i < 2; i++)
		for (uint32_t number = 1; number <= 5; number++)
			again_call(number);
}

static void end_call(uint32_t number)
{
	(void)number;
	hs_trace_end(trace);
}

static void empty_call(uint32_t number)
{
	if (number == 1)
		begin();
	else
		hs_trace_end(trace);
}

static void trigger_prepare(void)
{
	begin_point();
	trigger = hs_trigger_define("lateral");
}

static void trigger_call(uint32_t number)
{
	(void)number;
	hs_trigger_fire(trigger, &id, laterals, SCRIPT_LATERALS);
}

static void moving_call(uint32_t number)
{
	switch (number) {
	case 1:
		hs_trace_detach(trace);
		break;
	case 2:
		hs_trace_attach(trace);
		break;
	case 3:
		point(1, SHORT_BYTES);
		break;
	default:
		hs_trace_end(trace);
	}
}

static void thread_call(uint32_t number)
{
	switch (number) {
	case 1:
		begin();
		break;
	case 2:
		point(0, SHORT_BYTES);
		break;
	case 3:
		hs_trace_end(trace);
		break;
	default: /* the thread goes, and gives its lane back */
		break;
	}
}

static void full_prepare(void)
{
	trigger = hs_trigger_define("lateral");
	begin_point();
	for (uint64_t i = 0; i < LANE_FULL; i++) {
		struct hs_trace_id other = {0x77, i + 1};

		hs_trace_end(hs_trace_begin(&other, NULL));
	}
}

/* Its END waits for room, and the next call looks for it. */
static void full_call(uint32_t number)
{
	struct hs_trace_id other = {0x78, 1};

	if (number == 1)
		hs_trace_end(trace);
	else
		hs_trace_begin(&other, NULL);
}

static void crumb_call(uint32_t number)
{
	hs_context_forward(trace, OTHER_NODE + number);
}

const struct script scripts[] = {
	{.name = "begin",
	 .prepare = nothing,
	 .call = begin_call,
	 .nr_calls = 1,
	 .records = {0, 0},
	 .begun = 1,
	 .ended = SCRIPT_NEVER},
	{.name = "tracepoint",
	 .prepare = begin,
	 .call = tracepoint_call,
	 .nr_calls = 4,
	 .records = {0, 1, 2, 3, 4},
	 .ended = SCRIPT_NEVER},
	{.name = "crossing",
	 .prepare = crossing_prepare,
	 .call = crossing_call,
	 .nr_calls = 2,
	 .records = {3, 4, 5},
	 .ended = SCRIPT_NEVER},
	{.name = "span",
	 .prepare = begin,
	 .call = span_call,
	 .nr_calls = 6,
	 .records = {0, 2, 3, 4, 5, 6, 7},
	 .ended = SCRIPT_NEVER},
	{.name = "span again",
	 .prepare = again_prepare,
	 .call = again_call,
	 .nr_calls = 5,
	 .records = {11, 12, 13, 14, 15, 16},
	 .ended = SCRIPT_NEVER},
	{.name = "end",
	 .prepare = begin_point,
	 .call = end_call,
	 .nr_calls = 1,
	 .records = {1, 1},
	 .ended = 1},
	{.name = "empty",
	 .prepare = nothing,
	 .call = empty_call,
	 .nr_calls = 2,
	 .records = {0, 0, 0},
	 .begun = 1,
	 .ended = 2},
	{.name = "trigger",
	 .prepare = trigger_prepare,
	 .call = trigger_call,
	 .nr_calls = 1,
	 .records = {1, 1},
	 .ended = SCRIPT_NEVER,
	 .lateral = 1},
	{.name = "moving",
	 .prepare = begin_point,
	 .call = moving_call,
	 .nr_calls = 4,
	 .records = {1, 1, 1, 2, 2},
	 .ended = 4},
	{.name = "crumb",
	 .prepare = begin,
	 .call = crumb_call,
	 .nr_calls = 2,
	 .records = {0, 0, 0},
	 .ended = SCRIPT_NEVER},
	{.name = "thread",
	 .prepare = nothing,
	 .call = thread_call,
	 .nr_calls = 4,
	 .records = {0, 0, 1, 1, 1},
	 .begun = 1,
	 .ended = 3,
	 .threaded = true},
	{.name = "full lane",
	 .prepare = full_prepare,
	 .call = full_call,
	 .nr_calls = 2,
	 .records = {1, 1, 1},
	 .ended = 1,
	 .waits = true,
	 .undrained = true},
	{.name = "lost",
	 .prepare = full_prepare,
	 .call = trigger_call,
	 .nr_calls = 1,
	 .records = {1, 1},
	 .ended = SCRIPT_NEVER,
	 .flags = HS_WIRE_F_LOST,
	 .undrained = true},
	{.name = NULL},
};

void script_run(void *script)
{
	const struct script *s = script;

	for (uint32_t i = 1; i <= s->nr_calls; i++) {
		s->call(i);
		/* Its thread's exit is seen by its end. */
		if (!s->threaded || i < s->nr_calls)
			step_board->done = i;
	}
}

struct hs_trace *script_handle(void)
{
	return trace;
}

bool script_point(const struct script *s, uint32_t record, uint64_t hash)
{
	uint8_t data[LONG_BYTES];
	uint32_t size = SHORT_BYTES;

	if (s->call == span_call || s->call == again_call)
		return true;
	if (s->call == crossing_call)
		size = record < 4 ? WHOLE_BYTES : LONG_BYTES;
	rig_fill(data, size, record);
	return hash == records_point(data, size);
}
