/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what the span calls do beside writing records: keep in the caller's
 * struct hs_span what its end is judged by, count it there (operation.h) and
 * hold it against the rules (rules.h). Whether its records found room does not
 * matter: all requests count.
 */
#ifndef HS_DATAPLANE_WATCH_H
#define HS_DATAPLANE_WATCH_H

#include "base/endian.h"
#include "dataplane/auto_span.h"
#include "dataplane/calibration.h"
#include "dataplane/operation.h"
#include "dataplane/resource.h"
#include "dataplane/rules.h"
#include "dataplane/write.h"

enum hs_watch_clock {
	HS_WATCH_NONE = 0, /* not judged: no agent, or ended already */
	HS_WATCH_TICKS = 1,
	HS_WATCH_NS = 2,
};

static inline uint32_t hs_watch_operation(const struct hs_resource *resource,
					  const char *name, size_t n)
{
	uint64_t hash = hs_operation_hash(resource->hash, name, n);
	uint32_t number = hs_operation_find(hash);

	if (__builtin_expect(!number, 0))
		number = hs_operation_add(hash,
					  (const char *)resource->payload +
						  resource->service_at,
					  resource->service_bytes, name, n);
	return number;
}

static inline void hs_watch_start(struct hs_span *span, uint32_t operation,
				  uint64_t start, enum hs_watch_clock clock)
{
	span->operation = operation;
	span->start = start;
	span->tests = 0;
	span->tests_of = 0;
	span->start_clock = (uint8_t)clock;
	span->status = 0;
	span->has_status = 0;
	span->has_error = 0;
}

/* The clock and the time of a record; one that was dropped has none yet. */
static inline uint64_t hs_watch_time(const struct hs_stamp *stamp,
				     enum hs_watch_clock *clock)
{
	*clock = HS_WATCH_NS;
	if (stamp->kind == HS_STAMP_AT)
		return stamp->ns;
	if (stamp->in_ticks) {
		*clock = HS_WATCH_TICKS;
		return stamp->ticks;
	}
	return stamp->ns ? stamp->ns : hs_client_now_ns();
}

static inline uint64_t hs_watch_ns(const struct hs_attachment *at,
				   uint64_t time, enum hs_watch_clock clock)
{
	struct hs_calibration c;

	if (clock == HS_WATCH_NS)
		return time;
	return hs_calibration_read(&at->clock, &c) ? hs_calibration_ns(&c, time)
						   : hs_client_now_ns();
}

/* Time that goes backwards is no time. */
static inline uint64_t hs_watch_duration(const struct hs_span *span,
					 const struct hs_trace *trace,
					 const struct hs_attachment *at,
					 uint64_t end,
					 enum hs_watch_clock clock)
{
	__extension__ typedef unsigned __int128 wide;
	int64_t passed;

	if (clock == HS_WATCH_TICKS && span->start_clock == HS_WATCH_TICKS) {
		passed = (int64_t)(end - span->start);
		if (passed < 0)
			return 0;
		return (uint64_t)((wide)(uint64_t)passed * trace->mult >> 32);
	}
	passed = (int64_t)(hs_watch_ns(at, end, clock) -
			   hs_watch_ns(at, span->start,
				       (enum hs_watch_clock)span->start_clock));
	return passed < 0 ? 0 : (uint64_t)passed;
}

/* All that is said of a span at its end, in one word: a start in ticks, and
 * nothing of how it went. Most say no more. */
static inline __attribute__((always_inline)) bool
hs_watch_is_plain(const struct hs_span *span)
{
	uint32_t said;

	_Static_assert(offsetof(struct hs_span, has_error) ==
			       offsetof(struct hs_span, start_clock) + 3,
		       "the four of them are one word");
	memcpy(&said, &span->start_clock, sizeof(said));
	return hs_le32_load((const uint8_t *)&said) == HS_WATCH_TICKS;
}

/* Where its thread has no count of its own, so that nothing is kept over a call
 * where it has. */
void hs_watch_end_shared(struct hs_span *span, struct hs_trace *trace,
			 const struct hs_attachment *at, uint64_t duration_ns);

/*
 * The end of such a span, in ticks, whose record was just written by itself.
 * @at: its trace's, asked for while the window was closed: by now a signal
 *	handler may have ended the trace, which then has none
 */
static inline __attribute__((always_inline)) void
hs_watch_end_plain(struct hs_span *span, struct hs_trace *trace,
		   const struct hs_attachment *at, uint64_t end)
{
	__extension__ typedef unsigned __int128 wide;
	const struct hs_rules_table *t = hs_rules_now();
	uint64_t passed = end - span->start;
	struct hs_shm_tally *tally;
	uint64_t ns;

	/* Time that goes backwards is no time. */
	if (__builtin_expect((int64_t)passed < 0, 0))
		passed = 0;
	/* Hidden, or it is taken for a signed one. */
	__asm__("" : "+r"(passed));
	ns = (uint64_t)((wide)passed * trace->mult >> 32);
	span->start_clock = HS_WATCH_NONE;
	tally = hs_operation_own(at, &hs_tls, span->operation);
	if (__builtin_expect(!tally, 0)) {
		hs_watch_end_shared(span, trace, at, ns);
		return;
	}
	hs_operation_add_own(hs_operation_bucket(tally, ns));
	if (t && hs_rules_may(t, span, ns))
		hs_rules_judge(t, span, trace, ns, HS_SPAN_STATUS_UNSET);
}

/*
 * Context: write path, outside of enter and leave; @span's trace was live: a
 * signal handler may end it at any time.
 */
static inline __attribute__((always_inline)) void
hs_watch_end(struct hs_span *span, uint64_t end, enum hs_watch_clock clock)
{
	struct hs_trace *trace = span->trace;
	const struct hs_attachment *at = trace->at;
	const struct hs_rules_table *t = hs_rules_now();
	uint32_t status = span->has_status  ? span->status
			  : span->has_error ? HS_SPAN_STATUS_ERROR
					    : HS_SPAN_STATUS_UNSET;
	uint64_t ns;

	if (!span->start_clock || !at)
		return;
	ns = hs_watch_duration(span, trace, at, end, clock);
	span->start_clock = HS_WATCH_NONE;
	hs_operation_count(at, span->operation, ns,
			   status == HS_SPAN_STATUS_ERROR);
	if (t)
		hs_rules_judge(t, span, trace, ns, status);
	if (__builtin_expect(hs_auto_spans_nr(), 0))
		hs_auto_spans_judge(span, trace, ns, status);
}

static inline void hs_watch_status(struct hs_span *span,
				   enum hs_span_status status)
{
	if (!span || (uint32_t)status > HS_SPAN_STATUS_ERROR)
		return;
	span->status = (uint8_t)status;
	span->has_status = 1;
}

#endif
