/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see rules.h. */
#include "dataplane/rules.h"

#include <math.h>
#include <string.h>
#include <sys/mman.h>

#include "dataplane/auto_percentile.h"
#include "dataplane/copy.h"
#include "dataplane/rules_shared.h"
#include "dataplane/trigger.h"

#define PPM	1000000u
#define NO_TEST 0xffu

struct hs_rules hs_rules = {.keys = 1ull << HS_RULES_ERROR_BIT};

/*
 * The durations of one operation, for one rule. One thread at a time counts;
 * who comes meanwhile judges by the threshold as it stands.
 */
struct quantile {
	uint32_t busy;
	uint32_t operation;
	uint32_t ppm;
	uint32_t slot;
	uint64_t generation; /* of the table that needs it */
	struct hs_auto_percentile p;
};

/* Made by the helper when a table first asks for one; kept. */
static struct quantile *quantiles;

static bool take(uint32_t *busy)
{
	/* rules.R5 acquire, pairs rules.W5: what the former holder left. */
	return !__atomic_exchange_n(busy, 1, __ATOMIC_ACQUIRE);
}

static void leave(uint32_t *busy)
{
	/* rules.W5 release, pairs rules.R5: all that was done. */
	__atomic_store_n(busy, 0, __ATOMIC_RELEASE);
}

/* ---- checking ------------------------------------------------------------ */

static bool ends(const char *text, size_t room)
{
	return memchr(text, '\0', room);
}

static bool rule_good(const struct hs_shm_rule *r, uint32_t nr_tests)
{
	uint64_t all = nr_tests == 64 ? ~0ull : (1ull << nr_tests) - 1;

	return ends(r->trigger, sizeof(r->trigger)) && r->trigger[0] &&
	       ends(r->service, sizeof(r->service)) &&
	       ends(r->operation, sizeof(r->operation)) && !(r->tests & ~all) &&
	       r->slot < HS_SHM_RULES_MAX && r->statuses &&
	       r->statuses <= HS_SHM_STATUSES_ALL &&
	       (r->percentile_ppm == 0 ||
		(r->percentile_ppm >= PPM / 2 && r->percentile_ppm < PPM));
}

static bool test_good(const struct hs_shm_test *t)
{
	return ends(t->key, sizeof(t->key)) && t->key[0] &&
	       ends(t->text, sizeof(t->text)) && t->op < HS_SHM_TEST_NR &&
	       t->numeric <= 1 && !isnan(t->number);
}

bool hs_rules_check(const struct hs_shm_rules *copy)
{
	if (copy->version != HS_SHM_RULES_VERSION ||
	    copy->nr_rules > HS_SHM_RULES_MAX ||
	    copy->nr_tests > HS_SHM_TESTS_MAX)
		return false;
	for (uint32_t i = 0; i < copy->nr_tests; i++) {
		if (!test_good(&copy->tests[i]))
			return false;
	}
	for (uint32_t i = 0; i < copy->nr_rules; i++) {
		if (!rule_good(&copy->rules[i], copy->nr_tests))
			return false;
	}
	return true;
}

/* ---- tests -------------------------------------------------------------- */

/* Which of less, equal and more an operator wants. */
enum order {
	LESS = 1,
	SAME = 2,
	MORE = 4,
};
static const uint8_t wanted[8] = {
	[HS_SHM_TEST_EXISTS] = LESS | SAME | MORE,
	[HS_SHM_TEST_EQUAL] = SAME,
	[HS_SHM_TEST_NOT_EQUAL] = LESS | MORE,
	[HS_SHM_TEST_LESS] = LESS,
	[HS_SHM_TEST_AT_MOST] = LESS | SAME,
	[HS_SHM_TEST_AT_LEAST] = SAME | MORE,
	[HS_SHM_TEST_MORE] = MORE,
};

static enum order order_of(int64_t difference)
{
	return difference < 0 ? LESS : difference ? MORE : SAME;
}

/* A whole decimal number; attributes such as status codes come as texts too. */
static bool number_of(const char *p, size_t n, double *out)
{
	int64_t v = 0;

	if (n == 0 || n > 18)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		v = v * 10 + (p[i] - '0');
	}
	*out = (double)v;
	return true;
}

static bool value_number(const struct hs_rules_value *a, double *out)
{
	switch (a->type) {
	case HS_VALUE_INT64:
		*out = (double)(int64_t)a->bits;
		return true;
	case HS_VALUE_FLOAT64:
		memcpy(out, &a->bits, sizeof(*out));
		return !isnan(*out);
	case HS_VALUE_BOOL:
		*out = (double)(a->bits != 0);
		return true;
	case HS_VALUE_STRING:
		return number_of(a->data, a->data ? a->bits : 0, out);
	default:
		return false;
	}
}

static bool holds_text(const struct hs_shm_test *test, uint32_t want,
		       const struct hs_rules_value *a)
{
	size_t have = a->data ? a->bits : 0;
	int order;

	if (a->type == HS_VALUE_BOOL)
		return wanted[test->op & 7u] &
		       order_of((int)(a->bits != 0) -
				!strcmp(test->text, "true"));
	if (a->type != HS_VALUE_STRING)
		return test->op == HS_SHM_TEST_NOT_EQUAL;
	if (test->op == HS_SHM_TEST_EQUAL && have != want)
		return false;
	order = have ? memcmp(a->data, test->text, have < want ? have : want)
		     : 0;
	return wanted[test->op & 7u] &
	       order_of(order ? order : (int64_t)have - (int64_t)want);
}

static bool holds(const struct hs_shm_test *test, uint32_t text_bytes,
		  const struct hs_rules_value *a)
{
	uint32_t op = test->op & 7u;
	double v;

	if (op == HS_SHM_TEST_EXISTS)
		return true;
	if (!test->numeric)
		return holds_text(test, text_bytes, a);
	if (!value_number(a, &v))
		return op == HS_SHM_TEST_NOT_EQUAL;
	return wanted[op] & (v < test->number	? LESS
			     : v > test->number ? MORE
						: SAME);
}

/* The integers that a test with a number holds for. */
static bool range_make(const struct hs_shm_test *test, struct hs_rules_quick *q)
{
	const double limit = 9e15; /* integers up to there are exact */
	double at_least = ceil(test->number), at_most = floor(test->number);

	if (!(at_least > -limit && at_most < limit))
		return false;
	q->low = (uint64_t)INT64_MIN;
	switch (test->op & 7u) {
	case HS_SHM_TEST_EQUAL:
		q->low = (uint64_t)(int64_t)at_least;
		q->width = 0;
		return at_least == at_most;
	case HS_SHM_TEST_NOT_EQUAL:
		/* All but one: round the circle, from the next to it. */
		q->low = (uint64_t)(int64_t)at_least + 1;
		q->width = UINT64_MAX - 1;
		return at_least == at_most;
	case HS_SHM_TEST_LESS:
		q->width = (uint64_t)((int64_t)at_least - 1) - q->low;
		return true;
	case HS_SHM_TEST_AT_MOST:
		q->width = (uint64_t)(int64_t)at_most - q->low;
		return true;
	case HS_SHM_TEST_AT_LEAST:
		q->low = (uint64_t)(int64_t)at_least;
		q->width = (uint64_t)INT64_MAX - q->low;
		return true;
	case HS_SHM_TEST_MORE:
		q->low = (uint64_t)((int64_t)at_most + 1);
		q->width = (uint64_t)INT64_MAX - q->low;
		return true;
	default:
		return false;
	}
}

/* Both ends of a key, by which those of up to 16 bytes are told apart. */
static inline void ends_of(const char *key, size_t n, uint64_t *first,
			   uint64_t *last)
{
	uint32_t a = 0, b = 0;

	if (n >= 8) {
		memcpy(first, key, 8);
		memcpy(last, key + n - 8, 8);
		return;
	}
	if (n >= 4) {
		memcpy(&a, key, 4);
		memcpy(&b, key + n - 4, 4);
	} else {
		for (size_t i = 0; i < n; i++)
			a |= (uint32_t)(uint8_t)key[i] << (8 * i);
	}
	*first = a;
	*last = b;
}

static void quick_make(const struct hs_shm_test *test, struct hs_rules_quick *q)
{
	q->has_range = test->numeric && range_make(test, q);
	q->bools = 0;
	for (uint32_t v = 0; v < 2; v++) {
		struct hs_rules_value value = {.type = HS_VALUE_BOOL,
					       .bits = v};

		q->bools |= (uint8_t)(holds(test, q->text_bytes, &value) << v);
	}
}

/* ---- taking over --------------------------------------------------------- */

static bool wants_quantiles(const struct hs_shm_rules *shm)
{
	for (uint32_t i = 0; i < shm->nr_rules; i++) {
		if (shm->rules[i].percentile_ppm)
			return true;
	}
	return false;
}

/* Memory of their own, with its pages, before a span end needs it. */
static void quantiles_make(void)
{
	void *p;

	if (quantiles)
		return;
	p = mmap(NULL, HS_RULES_QUANTILES * sizeof(struct quantile),
		 PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	/* Without it those rules fire nothing: counted there. */
	if (p != MAP_FAILED)
		quantiles = p;
}

/* What a span end asks first, in few words. */
static void index_make(struct hs_rules_table *t)
{
	memset(t->by_status, 0, sizeof(t->by_status));
	t->keys = 0;
	t->percentiles = 0;
	/* Checked already, and said again for who reads this without that. */
	for (uint32_t i = 0; i < HS_SHM_RULES_MAX && i < t->shm.nr_rules; i++) {
		const struct hs_shm_rule *r = &t->shm.rules[i];

		t->triggers[i] = hs_trigger_define(r->trigger);
		t->asked[i].min_ns = r->min_ns;
		t->asked[i].tests = r->tests;
		t->percentiles |= (uint64_t)(r->percentile_ppm != 0) << i;
		for (uint32_t s = 0; s < 3 && t->triggers[i]; s++) {
			if (r->statuses & 1u << s)
				t->by_status[s] |= 1ull << i;
		}
	}
	memset(t->first, NO_TEST, sizeof(t->first));
	for (uint32_t i = t->shm.nr_tests; i-- > 0;) {
		const struct hs_shm_test *test = &t->shm.tests[i];
		struct hs_rules_quick *q = &t->quick[i];
		size_t n = strlen(test->key);
		uint32_t bit = hs_rules_key_bit(test->key, n);

		q->key_bytes = (uint8_t)n;
		q->text_bytes = (uint8_t)strlen(test->text);
		quick_make(test, q);
		ends_of(test->key, n, &q->key_first, &q->key_last);
		q->next = t->first[bit];
		t->first[bit] = (uint8_t)i;
		t->keys |= 1ull << bit;
	}
}

static void put_in_force(const struct hs_rules_table *t)
{
	/* rules.W3 release, pairs rules.R3: the table before its address. */
	__atomic_store_n(&hs_rules.now, t, __ATOMIC_RELEASE);
	/* rules.C8 relaxed: a hint; who reads the former one asks for nothing
	 * or too much, for a moment. */
	__atomic_store_n(&hs_rules.keys,
			 (t ? t->keys : 0) | 1ull << HS_RULES_ERROR_BIT,
			 __ATOMIC_RELAXED);
}

void hs_rules_refresh(struct hs_attachment *at)
{
	const struct hs_shm_rules *shared;
	struct hs_rules_table *t;
	uint64_t seq;

	if (!at->layout.down_rules)
		return;
	shared = (const void *)(at->down + at->layout.down_rules);
	seq = hs_rules_shared_seq(shared);
	if (!seq ||
	    (seq == hs_rules.read_seq && at->number == hs_rules.read_of))
		return;
	t = &hs_rules.tables[hs_rules.generations % HS_RULES_TABLES];
	/* rules.W4 acq_rel, pairs rules.R4: nobody who slept over it takes
	 * what is read there now for what it was. */
	__atomic_exchange_n(&t->generation, 0, __ATOMIC_ACQ_REL);
	if (!hs_rules_shared_read(shared, &t->shm))
		return;
	hs_rules.read_seq = seq;
	hs_rules.read_of = at->number;
	if (!hs_rules_check(&t->shm)) {
		if (at->watch)
			hs_operation_add_shared(&at->watch->rules_refused);
		return;
	}
	if (wants_quantiles(&t->shm))
		quantiles_make();
	index_make(t);
	t->seq = seq;
	/* rules.C3 relaxed: announced by rules.W3. */
	__atomic_store_n(&t->generation, ++hs_rules.generations,
			 __ATOMIC_RELAXED);
	put_in_force(t->shm.nr_rules ? t : NULL);
	if (at->watch)
		/* rules.C4 relaxed: for information. */
		__atomic_store_n(&at->watch->rules_seq, seq, __ATOMIC_RELAXED);
}

void hs_rules_drop(void)
{
	put_in_force(NULL);
	hs_rules.read_seq = 0;
	/* A fork may have come while another thread was at one of them. */
	for (uint32_t i = 0; quantiles && i < HS_RULES_QUANTILES; i++)
		leave(&quantiles[i].busy);
	for (uint32_t i = 0; i < HS_SHM_OPERATIONS_MAX; i++)
		leave(&hs_operations.items[i].busy);
}

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

static bool quantile_claim(struct quantile *q, const struct hs_rules_table *t,
			   const struct hs_shm_rule *r, uint32_t operation)
{
	bool same, got;

	if (!take(&q->busy))
		return false;
	same = q->generation && q->operation == operation &&
	       q->slot == r->slot && q->ppm == r->percentile_ppm;
	/* One of a table that is long gone belongs to nobody. */
	got = same || q->generation + 1 < t->generation || !q->generation;
	if (got && !same) {
		q->operation = operation;
		q->slot = r->slot;
		q->ppm = r->percentile_ppm;
		got = hs_auto_percentile_init(
			&q->p, (double)r->percentile_ppm * 100 / PPM, 0);
	}
	if (got)
		q->generation = t->generation;
	leave(&q->busy);
	return got;
}

/* Its number, from 1; 0: there is none free. */
static uint8_t quantile_of(const struct hs_rules_table *t,
			   const struct hs_shm_rule *r, uint32_t operation)
{
	/* The one that the former table had, so that it stays warm. */
	for (uint32_t i = 0; quantiles && i < HS_RULES_QUANTILES; i++) {
		struct quantile *q = &quantiles[i];

		if (q->operation == operation && q->slot == r->slot &&
		    q->ppm == r->percentile_ppm && q->generation &&
		    quantile_claim(q, t, r, operation))
			return (uint8_t)(i + 1);
	}
	for (uint32_t i = 0; quantiles && i < HS_RULES_QUANTILES; i++) {
		if (quantile_claim(&quantiles[i], t, r, operation))
			return (uint8_t)(i + 1);
	}
	return 0;
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
	    !take(&o->busy))
		return fit;
	for (uint32_t i = 0; i < HS_SHM_RULES_MAX; i++) {
		uint8_t q = 0;

		if (fit >> i & 1 && t->shm.rules[i].percentile_ppm)
			q = quantile_of(t, &t->shm.rules[i], number);
		/* operation.C7 relaxed: announced by operation.W3. */
		__atomic_store_n(&o->quantiles[i], q, __ATOMIC_RELAXED);
	}
	/* operation.C8 relaxed: announced by operation.W3. */
	__atomic_store_n(&o->rules, fit, __ATOMIC_RELAXED);
	/* operation.W3 release, pairs operation.R4: the two above. */
	__atomic_store_n(&o->generation, generation, __ATOMIC_RELEASE);
	leave(&o->busy);
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

	return holds(test, text_bytes, &value);
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
	/* rules.C5 relaxed: looked at again when it counts. */
	generation = __atomic_load_n(&t->generation, __ATOMIC_RELAXED);
	if (span->tests_of != generation) {
		span->tests_of = generation;
		span->tests = 0;
	}
	i = t->first[hs_rules_key_bit(key, key_bytes)];
	q = &t->quick[i % HS_SHM_TESTS_MAX];
	if (i >= HS_SHM_TESTS_MAX || q->next != NO_TEST || key_bytes > 16 ||
	    key_bytes == HS_RULES_ERROR_BYTES ||
	    !(type == HS_VALUE_BOOL ||
	      (type == HS_VALUE_INT64 && q->has_range))) {
		attr_any(t, span, key, key_bytes, type, bits, data);
		return;
	}
	ends_of(key, key_bytes, &first, &last);
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

/* ---- the end of a span --------------------------------------------------- */

/* Above the percentile of its operation; counted there. */
static bool is_above(const struct hs_operation *o, uint32_t rule,
		     uint64_t duration_ns)
{
	/* operation.C9 relaxed: ordered by operation.R4. */
	uint32_t n = __atomic_load_n(&o->quantiles[rule], __ATOMIC_RELAXED);
	struct quantile *q;
	bool above;

	if (!n || n > HS_RULES_QUANTILES || !quantiles)
		return false;
	q = &quantiles[n - 1];
	if (!take(&q->busy))
		return false;
	above = hs_auto_percentile_sample(&q->p, duration_ns);
	leave(&q->busy);
	return above;
}

static void fire(const struct hs_rules_table *t, uint64_t generation,
		 uint32_t rule, struct hs_trace *trace)
{
	struct hs_trigger *trigger = t->triggers[rule];
	uint32_t slot = t->shm.rules[rule].slot % HS_SHM_RULES_MAX;

	/* rules.R4 acquire, pairs rules.W4: still the same table. */
	if (__atomic_load_n(&t->generation, __ATOMIC_ACQUIRE) != generation ||
	    !trigger || trace->fired >> slot & 1)
		return;
	if (!hs_trigger_fire_own(trigger, trace))
		return;
	trace->fired |= 1ull << slot;
	if (trace->at->watch)
		hs_operation_add_shared(&trace->at->watch->fired[slot]);
}

void hs_rules_judge(const struct hs_rules_table *t, struct hs_span *span,
		    struct hs_trace *trace, uint64_t duration_ns,
		    uint32_t status)
{
	struct hs_operation *o =
		&hs_operations.items[span->operation % HS_SHM_OPERATIONS_MAX];
	/* rules.C6 relaxed: looked at again before it fires. */
	uint64_t generation = __atomic_load_n(&t->generation, __ATOMIC_RELAXED);
	uint64_t met = span->tests_of == generation ? span->tests : 0;
	uint64_t left;

	/* operation.R4 acquire, pairs operation.W3: what fits it. */
	if (__atomic_load_n(&o->generation, __ATOMIC_ACQUIRE) == generation)
		/* operation.C10 relaxed: ordered by operation.R4. */
		left = __atomic_load_n(&o->rules, __ATOMIC_RELAXED);
	else
		left = fit_anew(t, generation, o, span->operation);
	left &= t->by_status[status];
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
