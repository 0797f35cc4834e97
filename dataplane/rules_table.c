/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see rules.h: how a table comes from the agent and into force. */
#include "dataplane/rules.h"

#include <math.h>
#include <string.h>

#include "dataplane/key.h"
#include "dataplane/rules_quantile.h"
#include "dataplane/rules_shared.h"
#include "dataplane/trigger.h"

struct hs_rules hs_rules = {.keys = 1ull << HS_RULES_ERROR_BIT};

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
		(r->percentile_ppm >= HS_RULES_PPM / 2 &&
		 r->percentile_ppm < HS_RULES_PPM));
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

/* ---- taking over --------------------------------------------------------- */

static bool wants_quantiles(const struct hs_shm_rules *shm)
{
	for (uint32_t i = 0; i < shm->nr_rules; i++) {
		if (shm->rules[i].percentile_ppm)
			return true;
	}
	return false;
}

/* What an attribute's number is held against, where its key bit is one test's.
 * "error" is asked for more. */
static void one_make(struct hs_rules_table *t, uint32_t bit)
{
	uint32_t i = t->first[bit];
	struct hs_rules_one *one = &t->ones[bit];
	const struct hs_rules_quick *q = &t->quick[i % HS_SHM_TESTS_MAX];

	*one = (struct hs_rules_one){0};
	if (i >= HS_SHM_TESTS_MAX || q->next != HS_RULES_NO_TEST ||
	    bit == HS_RULES_ERROR_BIT)
		return;
	one->mark = q->mark;
	one->mark_i64 = q->has_range ? q->mark : 0;
	one->low = q->low;
	one->width = q->width;
	one->holds = 1ull << i;
	one->keep = ~one->holds;
	for (uint32_t v = 0; v < 2; v++)
		one->bools[v] = q->bools >> v & 1 ? one->holds : 0;
}

/* What a span end asks first, in few words. */
static void index_make(struct hs_rules_table *t)
{
	memset(t->by_status, 0, sizeof(t->by_status));
	t->keys = 0;
	t->percentiles = t->untested = t->unlasting = 0;
	t->least_ns = UINT64_MAX;
	/* Checked already, and said again for who reads this without that. */
	for (uint32_t i = 0; i < HS_SHM_RULES_MAX && i < t->shm.nr_rules; i++) {
		const struct hs_shm_rule *r = &t->shm.rules[i];

		t->triggers[i] = hs_trigger_define(r->trigger);
		t->asked[i].min_ns = r->min_ns;
		t->asked[i].tests = r->tests;
		t->percentiles |= (uint64_t)(r->percentile_ppm != 0) << i;
		t->untested |= (uint64_t)(r->tests == 0) << i;
		t->unlasting |= (uint64_t)(r->min_ns == 0) << i;
		if (r->min_ns && r->min_ns < t->least_ns)
			t->least_ns = r->min_ns;
		for (uint32_t s = 0; s < 3 && t->triggers[i]; s++) {
			if (r->statuses & 1u << s)
				t->by_status[s] |= 1ull << i;
		}
	}
	t->any =
		t->by_status[HS_SPAN_STATUS_UNSET] & t->untested & t->unlasting;
	memset(t->first, HS_RULES_NO_TEST, sizeof(t->first));
	for (uint32_t i = t->shm.nr_tests; i-- > 0;) {
		const struct hs_shm_test *test = &t->shm.tests[i];
		struct hs_rules_quick *q = &t->quick[i];
		size_t n = strlen(test->key);
		uint32_t bit = hs_rules_key_bit(test->key, n);

		q->key_bytes = (uint8_t)n;
		q->text_bytes = (uint8_t)strlen(test->text);
		hs_rules_test_make(test, q);
		hs_rules_ends(test->key, n, &q->key_first, &q->key_last);
		q->mark = hs_inline_mark(test->key, n);
		q->next = t->first[bit];
		t->first[bit] = (uint8_t)i;
		t->keys |= 1ull << bit;
	}
	for (uint32_t bit = 0; bit < HS_RULES_KEY_BITS; bit++)
		one_make(t, bit);
}

static void put_in_force(const struct hs_rules_table *t)
{
	/* rules.W3 release, pairs rules.R3: the table before its address. */
	__atomic_store_n(&hs_rules.now, t, __ATOMIC_RELEASE);
	/* Who reads the former ones asks for nothing or too much, for a
	 * moment. */
	hs_keys_ask((t ? t->keys : 0) | 1ull << HS_RULES_ERROR_BIT);
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
		hs_rules_quantiles_make();
	index_make(t);
	t->seq = seq;
	/* rules.W6 release, pairs rules.R6 rules.R7: the tests before the
	 * generation, for who still has this table's address. */
	__atomic_store_n(&t->generation, ++hs_rules.generations,
			 __ATOMIC_RELEASE);
	put_in_force(t->shm.nr_rules ? t : NULL);
	if (at->watch)
		/* rules.C4 relaxed: for information. */
		__atomic_store_n(&at->watch->rules_seq, seq, __ATOMIC_RELAXED);
}

void hs_rules_drop(void)
{
	put_in_force(NULL);
	hs_rules.read_seq = 0;
	hs_rules_quantiles_drop();
	for (uint32_t i = 0; i < HS_SHM_OPERATIONS_MAX; i++)
		hs_rules_leave(&hs_operations.items[i].busy);
}
