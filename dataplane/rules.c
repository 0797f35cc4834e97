/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see rules.h: what a table in force says of spans. */
#include "dataplane/rules.h"

#include <string.h>

#include "dataplane/copy.h"
#include "dataplane/key.h"
#include "dataplane/rules_quantile.h"
#include "dataplane/trigger.h"

/* ---- what fits an operation ---------------------------------------------- */

bool hs_rules_match(const char *pattern, const char *text)
{
	const char *star = NULL, *mark = NULL;

	if (!*pattern)
		return true;
	/* The last star takes more and more; the ones before it stand. */
	while (*text) {
		if (*pattern == '*') {
			star = pattern++;
			mark = text;
		} else if (*pattern == *text) {
			pattern++;
			text++;
		} else if (star) {
			pattern = star + 1;
			text = ++mark;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return !*pattern;
}

static uint64_t fitting(const struct hs_rules_table *t,
			const struct hs_operation *o)
{
	uint64_t fit = 0;

	for (uint32_t i = 0; i < HS_SHM_RULES_MAX && i < t->shm.nr_rules; i++) {
		const struct hs_shm_rule *r = &t->shm.rules[i];

		if (hs_rules_match(r->service, o->service) &&
		    hs_rules_match(r->operation, o->name))
			fit |= 1ull << i;
	}
	return fit;
}

/*
 * The rules that fit an operation, and its quantiles. Who finds another at
 * work on it uses what he works out by himself, without quantiles.
 */
static __attribute__((noinline, cold)) uint64_t
fit_anew(const struct hs_rules_table *t, uint64_t generation,
	 struct hs_operation *o, uint32_t number)
{
	uint64_t fit = fitting(t, o);

	/* operation.C6 relaxed: a newer table's is left alone. */
	if (__atomic_load_n(&o->generation, __ATOMIC_RELAXED) > generation ||
	    !hs_rules_take(&o->busy))
		return fit;
	for (uint32_t i = 0; i < HS_SHM_RULES_MAX; i++) {
		uint8_t q = 0;

		if (fit >> i & 1 && t->shm.rules[i].percentile_ppm)
			q = hs_rules_quantile_of(generation, &t->shm.rules[i],
						 number);
		/* operation.C7 relaxed: announced by operation.W3. */
		__atomic_store_n(&o->quantiles[i], q, __ATOMIC_RELAXED);
	}
	/* operation.C8 relaxed: announced by operation.W3. */
	__atomic_store_n(&o->rules, fit, __ATOMIC_RELAXED);
	/* operation.W3 release, pairs operation.R4: the two above. */
	__atomic_store_n(&o->generation, generation, __ATOMIC_RELEASE);
	hs_rules_leave(&o->busy);
	return fit;
}

/* ---- attributes ---------------------------------------------------------- */

/* The attribute "error", as the model understands it. */
static void error_take(struct hs_span *span, uint32_t type, uint64_t bits,
		       const void *data)
{
	if (type == HS_VALUE_BOOL)
		span->has_error = bits != 0;
	else if (type == HS_VALUE_STRING)
		span->has_error = data && bits &&
				  !(bits == 5 && !memcmp(data, "false", 5));
}

/* Whether one test is met, that no compare of numbers answers. */
static __attribute__((noinline)) bool holds_any(const struct hs_shm_test *test,
						uint32_t text_bytes,
						uint32_t type, uint64_t bits,
						const void *data)
{
	struct hs_rules_value value = {type, bits, data};

	return hs_rules_test_holds(test, text_bytes, &value);
}

static __attribute__((noinline)) void
attr_tests(const struct hs_rules_table *t, struct hs_span *span,
	   const char *key, size_t key_bytes, const struct hs_rules_value *v)
{
	uint32_t i = t->first[hs_rules_key_bit(key, key_bytes)];

	/* Each test once, also where the chain changes under us. */
	for (uint32_t left = HS_SHM_TESTS_MAX; i < HS_SHM_TESTS_MAX && left;
	     left--) {
		const struct hs_shm_test *test = &t->shm.tests[i];
		const struct hs_rules_quick *q = &t->quick[i];
		uint64_t bit = 1ull << i;

		i = q->next;
		if (q->key_bytes != key_bytes ||
		    key_bytes > sizeof(test->key) ||
		    !hs_same_bytes(test->key, key, key_bytes))
			continue;
		/* Written again, it is what it was written last. */
		span->tests &= ~bit;
		if (holds_any(test, q->text_bytes, v->type, v->bits, v->data))
			span->tests |= bit;
	}
}

/* The long way: several tests, a long key, a value that is no number. */
static __attribute__((noinline)) void
attr_any(const struct hs_rules_table *t, struct hs_span *span, const char *key,
	 size_t key_bytes, uint32_t type, uint64_t bits, const void *data)
{
	struct hs_rules_value value = {type, bits, data};

	if (key_bytes == HS_RULES_ERROR_BYTES &&
	    !memcmp(key, "error", HS_RULES_ERROR_BYTES))
		error_take(span, type, bits, data);
	if (t)
		attr_tests(t, span, key, key_bytes, &value);
}

void hs_rules_attr(struct hs_span *span, const char *key, size_t key_bytes,
		   uint32_t type, uint64_t bits, const void *data)
{
	const struct hs_rules_table *t = hs_rules_now();
	const struct hs_rules_quick *q;
	uint64_t generation, first, last;
	uint32_t i;

	if (!span || !span->start_clock)
		return;
	if (!t) {
		attr_any(t, span, key, key_bytes, type, bits, data);
		return;
	}
	/* rules.R6 acquire, pairs rules.W6: before the tests, so that what is
	 * found by those of another is not taken for this generation's. */
	generation = __atomic_load_n(&t->generation, __ATOMIC_ACQUIRE);
	if (span->tests_of != generation) {
		span->tests_of = generation;
		span->tests = 0;
	}
	i = t->first[hs_rules_key_bit(key, key_bytes)];
	q = &t->quick[i % HS_SHM_TESTS_MAX];
	if (i >= HS_SHM_TESTS_MAX || q->next != HS_RULES_NO_TEST ||
	    key_bytes > 16 || key_bytes == HS_RULES_ERROR_BYTES ||
	    !(type == HS_VALUE_BOOL ||
	      (type == HS_VALUE_INT64 && q->has_range))) {
		attr_any(t, span, key, key_bytes, type, bits, data);
		return;
	}
	hs_rules_ends(key, key_bytes, &first, &last);
	if (q->key_bytes != key_bytes || q->key_first != first ||
	    q->key_last != last)
		return;
	/* Written again, it is what it was written last. */
	span->tests &= ~(1ull << i);
	if (type == HS_VALUE_BOOL)
		span->tests |= (uint64_t)(q->bools >> (bits & 1) & 1) << i;
	else
		span->tests |= (uint64_t)(bits - q->low <= q->width) << i;
}

void hs_rules_attr_literal(struct hs_span *span, uint64_t bits,
			   const struct hs_key *k, uint32_t type,
			   const void *data)
{
	hs_rules_attr(span, k->text, k->bytes, type, bits, data);
}

/* ---- the end of a span --------------------------------------------------- */

/* Above the percentile of its operation; counted there. */
static bool is_above(const struct hs_operation *o, uint32_t rule,
		     uint64_t duration_ns)
{
	/* operation.C9 relaxed: ordered by operation.R4. */
	uint32_t n = __atomic_load_n(&o->quantiles[rule], __ATOMIC_RELAXED);

	return hs_rules_quantile_above(n, duration_ns);
}

static void fire(const struct hs_rules_table *t, uint64_t generation,
		 uint32_t rule, struct hs_trace *trace)
{
	struct hs_trigger *trigger = t->triggers[rule];
	uint32_t slot = t->shm.rules[rule].slot % HS_SHM_RULES_MAX;
	const struct hs_attachment *at = trace->at;

	/* rules.R4 acquire, pairs rules.W4: still the same table. */
	if (__atomic_load_n(&t->generation, __ATOMIC_ACQUIRE) != generation ||
	    !trigger || trace->fired >> slot & 1)
		return;
	if (!hs_trigger_fire_own(trigger, trace))
		return;
	trace->fired |= 1ull << slot;
	/* None where a signal handler has ended the trace. */
	if (at && at->watch)
		hs_operation_add_shared(&at->watch->fired[slot]);
}

static uint64_t met_by(const struct hs_span *span, uint64_t generation)
{
	return span->tests_of == generation ? span->tests : 0;
}

static struct hs_operation *operation_of(const struct hs_span *span)
{
	return &hs_operations.items[span->operation % HS_SHM_OPERATIONS_MAX];
}

/* Of the rules @left: those whose duration and attributes it is. */
static __attribute__((noinline)) void
judge_each(const struct hs_rules_table *t, const struct hs_span *span,
	   struct hs_trace *trace, uint64_t duration_ns, uint64_t left)
{
	const struct hs_operation *o = operation_of(span);
	/* rules.C6 relaxed: looked at again before it fires. */
	uint64_t generation = __atomic_load_n(&t->generation, __ATOMIC_RELAXED);
	uint64_t met = met_by(span, generation);

	while (left) {
		uint32_t i = (uint32_t)__builtin_ctzll(left);

		left &= left - 1;
		if (duration_ns < t->asked[i].min_ns ||
		    t->asked[i].tests & ~met)
			continue;
		if (t->percentiles >> i & 1 && !is_above(o, i, duration_ns))
			continue;
		fire(t, generation, i, trace);
	}
}

/* Of the rules that fit: those that may be met. Most spans are neither slow nor
 * what an attribute was asked for. */
static inline __attribute__((always_inline)) uint64_t
left_of(const struct hs_rules_table *t, uint64_t fit, uint64_t met,
	uint64_t duration_ns, uint32_t status)
{
	fit &= t->by_status[status];
	fit &= met ? UINT64_MAX : t->untested;
	return fit & (duration_ns < t->least_ns ? t->unlasting : UINT64_MAX);
}

/* The first span of its operation by this table. */
static __attribute__((noinline, cold)) void
judge_anew(const struct hs_rules_table *t, const struct hs_span *span,
	   struct hs_trace *trace, uint64_t duration_ns, uint32_t status)
{
	/* rules.C10 relaxed: as rules.C6. */
	uint64_t generation = __atomic_load_n(&t->generation, __ATOMIC_RELAXED);
	uint64_t fit =
		fit_anew(t, generation, operation_of(span), span->operation);
	uint64_t left =
		left_of(t, fit, met_by(span, generation), duration_ns, status);

	judge_each(t, span, trace, duration_ns, left);
}

void hs_rules_judge(const struct hs_rules_table *t, struct hs_span *span,
		    struct hs_trace *trace, uint64_t duration_ns,
		    uint32_t status)
{
	const struct hs_operation *o = operation_of(span);
	/* rules.C11 relaxed: as rules.C6. */
	uint64_t generation = __atomic_load_n(&t->generation, __ATOMIC_RELAXED);
	uint64_t left;

	/* operation.R4 acquire, pairs operation.W3: what fits it. */
	if (__builtin_expect(__atomic_load_n(&o->generation,
					     __ATOMIC_ACQUIRE) != generation,
			     0)) {
		judge_anew(t, span, trace, duration_ns, status);
		return;
	}
	/* operation.C10 relaxed: ordered by operation.R4. */
	left = left_of(t, __atomic_load_n(&o->rules, __ATOMIC_RELAXED),
		       met_by(span, generation), duration_ns, status);
	if (__builtin_expect(left != 0, 0))
		judge_each(t, span, trace, duration_ns, left);
}
