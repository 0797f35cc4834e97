/* SPDX-License-Identifier: Apache-2.0 */
/*
 * autotrigger.h - triggers that find the symptom by themselves ("The Benefit
 * of Hindsight", NSDI'23, section 4.2 and table 2; the queue is its UC3)
 *
 * Each watches a stream of values that the application has at hand and says
 * of the present one whether it is a symptom. With a trigger and a trace id it
 * fires, too. Adding takes a few ns, makes no system call and allocates
 * nothing. An object is used by one thread at a time.
 */
#ifndef HS_AUTOTRIGGER_H
#define HS_AUTOTRIGGER_H

#include "hs/hindsight.h"

#ifdef __cplusplus
extern "C" {
#endif

struct hs_auto_percentile;
struct hs_auto_category;
struct hs_auto_set;
struct hs_auto_queue;

/* Samples of an epoch where the caller has no wish. */
#define HS_AUTO_WINDOW_DEFAULT 0

/**
 * hs_auto_percentile_create() - values above a percentile of the latest ones
 * @percentile: 50 to 99.9999
 * @window: samples of an epoch; of the last one to two the percentile is
 *	taken. 0: as many as hold two symptoms, at least 4096
 *
 * Bounds: it answers with true for a share of 1 - percentile/100 of the
 * samples, kept by feedback also where values drift: what was said too often
 * or too seldom, to four symptoms, is made up for by moving the threshold to
 * where 1/4 to 7/4 of that share lie above it. In a steady series it is the
 * percentile to 1/64 of its value: all values further above are symptoms and
 * none further below; of those between, ties above all, as many as the share
 * leaves room for. Values count in whole units up to 2^48; more is all the
 * same.
 * Warm-up: no symptom before 1 / (1 - percentile/100) samples.
 * After a step of the values it is right again at the latest when two epochs
 * have gone by.
 *
 * Own:    hs_auto_percentile_destroy().
 * Return: NULL when out of memory or for a percentile outside.
 */
HS_API struct hs_auto_percentile *hs_auto_percentile_create(double percentile,
							    uint32_t window);
HS_API void hs_auto_percentile_destroy(struct hs_auto_percentile *p);
/** hs_auto_percentile_add() - whether @value is a symptom */
HS_API bool hs_auto_percentile_add(struct hs_auto_percentile *p,
				   uint64_t value);

/**
 * hs_auto_category_create() - labels that are rare
 * @share: below which of the latest samples, 0 to 0.5
 * @window: samples of an epoch; 0: as many as hold 32 of a label that is just
 *	not rare, at least 4096
 *
 * Labels beyond 1024 in an epoch are counted together, as a label of their
 * own: some may then be missed, none is found by mistake.
 * Warm-up: as many samples as hold one of a label that is just not rare.
 */
HS_API struct hs_auto_category *hs_auto_category_create(double share,
							uint32_t window);
HS_API void hs_auto_category_destroy(struct hs_auto_category *c);
/** hs_auto_category_add() - whether @label (a text, or any number) is rare */
HS_API bool hs_auto_category_add(struct hs_auto_category *c, uint64_t label);
HS_API bool hs_auto_category_add_text(struct hs_auto_category *c,
				      const char *label);

/**
 * hs_auto_exception() - fire when @failed
 *
 * Bounds: every failure, up to the trigger's rate limit; nothing to learn, so
 * no warm-up and no ties.
 * Return: whether it fired.
 */
HS_API bool hs_auto_exception(struct hs_trigger *trigger,
			      const struct hs_trace_id *trace_id, bool failed);

/**
 * hs_auto_set_create() - remember the last traces, to be collected along
 * @nr: 1 to HS_LATERAL_MAX
 *
 * Bounds: exactly the last @nr that were added, an id that was added twice
 * counting twice; fewer until so many were. A set that several threads are to
 * see as one wants a lock of theirs.
 */
HS_API struct hs_auto_set *hs_auto_set_create(uint32_t nr);
HS_API void hs_auto_set_destroy(struct hs_auto_set *set);
HS_API void hs_auto_set_add(struct hs_auto_set *set,
			    const struct hs_trace_id *trace_id);
/**
 * hs_auto_set_fire() - fire with those that were added last as laterals
 *
 * Return: as hs_trigger_fire().
 */
HS_API bool hs_auto_set_fire(const struct hs_auto_set *set,
			     struct hs_trigger *trigger,
			     const struct hs_trace_id *trace_id);

/**
 * hs_auto_queue_create() - requests that waited long, with those before them
 *	(the paper's queueTrigger, UC3: what was in the queue explains the wait)
 * @percentile: of the waiting times; @window: as for percentiles
 * @nr: how many before it are collected along, 1 to HS_LATERAL_MAX
 *
 * Bounds, warm-up and ties of the waiting times: as for percentiles. "Before
 * it" is in the order of leaving.
 */
HS_API struct hs_auto_queue *hs_auto_queue_create(double percentile,
						  uint32_t window, uint32_t nr);
HS_API void hs_auto_queue_destroy(struct hs_auto_queue *q);
/**
 * hs_auto_queue_leave() - a request leaves the queue after @waited_ns
 *
 * Return: whether the trigger fired.
 */
HS_API bool hs_auto_queue_leave(struct hs_auto_queue *q,
				struct hs_trigger *trigger,
				const struct hs_trace_id *trace_id,
				uint64_t waited_ns);
/**
 * hs_auto_queue_full() - a request found the queue full
 *
 * Fires for it, with those that left last. Once for each time that the queue
 * is full: not again before one has left, however many are turned away.
 *
 * Return: whether the trigger fired.
 */
HS_API bool hs_auto_queue_full(struct hs_auto_queue *q,
			       struct hs_trigger *trigger,
			       const struct hs_trace_id *trace_id);

/* ---- one's own ----------------------------------------------------------- */

/* What a span was that has just ended. Texts live as long as the process. */
struct hs_auto_span {
	size_t size_bytes; /* of the struct as this library knows it */
	struct hs_trace_id trace_id;
	uint64_t duration_ns;
	const char
		*service; /* both "" for names beyond the counted ones, and */
	const char *name; /* cut at 63 and 183 bytes */
	uint32_t status;  /* enum hs_span_status */
};

/**
 * hs_auto_span_fn - whether a span is a symptom
 *
 * Context: the thread that ended it, on its write path: no waiting, and no
 *	    call of this library but the hs_auto_* ones; several threads at a
 *	    time, so an autotrigger of this header that it uses has to be a
 *	    thread's own, or be guarded by a try-lock.
 */
typedef bool (*hs_auto_span_fn)(void *context, const struct hs_auto_span *span);

#define HS_AUTO_SPAN_MAX 8

/**
 * hs_auto_span_watch() - have @fn judge every span of this process that ends
 * @trigger: fired for the span's trace when @fn says so, once a trace handle
 *
 * Beside the rules of the agent's configuration, for what they cannot say.
 * It costs a call a span. There is no way back but the end of the process.
 *
 * Context: takes a lock; not on the write path.
 * Return:  0; -EINVAL; -ENOSPC when there are HS_AUTO_SPAN_MAX already.
 */
HS_API int hs_auto_span_watch(hs_auto_span_fn fn, void *context,
			      struct hs_trigger *trigger);

#ifdef __cplusplus
}
#endif
#endif
