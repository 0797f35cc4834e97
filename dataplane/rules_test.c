/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see rules_test.h. */
#include "dataplane/rules_test.h"

#include <math.h>
#include <string.h>

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

bool hs_rules_test_holds(const struct hs_shm_test *test, uint32_t text_bytes,
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

void hs_rules_test_make(const struct hs_shm_test *test,
			struct hs_rules_quick *q)
{
	q->has_range = test->numeric && range_make(test, q);
	q->bools = 0;
	for (uint32_t v = 0; v < 2; v++) {
		struct hs_rules_value value = {.type = HS_VALUE_BOOL,
					       .bits = v};

		q->bools |= (uint8_t)(hs_rules_test_holds(test, q->text_bytes,
							  &value)
				      << v);
	}
}
