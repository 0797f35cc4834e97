/* SPDX-License-Identifier: Apache-2.0 */
/* What a tick is worth, under clocks of the test's making. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/calibrate.h"

#define MS 1000000ull

/* A counter of 2.4 GHz, a raw clock, and a wall clock that is steered. */
struct clocks {
	double raw_ns;
	double real_ns;
	double ticks_per_ns;
	double steer; /* wall ns for a raw one */
};

static struct hs_calibrate_sample pass(struct clocks *c, double ns)
{
	struct hs_calibrate_sample s;

	c->raw_ns += ns;
	c->real_ns += ns * c->steer;
	s = (struct hs_calibrate_sample){
		.ticks = (uint64_t)(c->raw_ns * c->ticks_per_ns),
		.raw_ns = (uint64_t)c->raw_ns,
		.real_ns = (uint64_t)c->real_ns,
		.spread = 200,
	};
	return s;
}

static struct clocks clocks_make(void)
{
	return (struct clocks){.raw_ns = 1e12,
			       .real_ns = 1e15,
			       .ticks_per_ns = 2.4,
			       .steer = 1};
}

static int64_t error_of(const struct hs_calibrate *c,
			const struct hs_calibrate_sample *s)
{
	return (int64_t)(hs_calibration_ns(&c->now, s->ticks) - s->real_ns);
}

static void start(struct hs_calibrate *c, struct clocks *k)
{
	struct hs_calibrate_sample s = pass(k, 0);

	assert_false(hs_calibrate_sample(c, &s));
	assert_int_equal(c->now.number, 0);
	s = pass(k, HS_CALIBRATE_FIRST_NS);
	assert_true(hs_calibrate_sample(c, &s));
	assert_int_equal(c->now.number, 1);
}

static void test_steady(void **state)
{
	struct hs_calibrate c = {0};
	struct clocks k = clocks_make();

	start(&c, &k);
	for (int i = 0; i < 1000; i++) {
		struct hs_calibrate_sample s = pass(&k, 50 * MS);

		hs_calibrate_sample(&c, &s);
		assert_in_range(error_of(&c, &s) + 10000, 0, 20000);
	}
	/* Nothing to change in a clock that is right. */
	assert_in_range(c.epochs, 1, 3);
}

/* 300 millionths, as a time daemon would; the error stays small. */
static void test_steered(void **state)
{
	struct hs_calibrate c = {0};
	struct clocks k = clocks_make();
	uint64_t before;

	start(&c, &k);
	k.steer = 1.0003;
	for (int i = 0; i < 200; i++) {
		struct hs_calibrate_sample s = pass(&k, 50 * MS);

		assert_in_range(error_of(&c, &s) + 20000, 0, 40000);
		hs_calibrate_sample(&c, &s);
		assert_in_range(error_of(&c, &s) + 2001, 0, 4002);
	}
	assert_true(c.epochs > 1);
	before = c.epochs;
	for (int i = 0; i < 200; i++) {
		struct hs_calibrate_sample s = pass(&k, 50 * MS);

		hs_calibrate_sample(&c, &s);
	}
	assert_false(c.given_up);
	assert_true(c.epochs >= before);
}

static void test_set(void **state)
{
	struct hs_calibrate c = {0};
	struct clocks k = clocks_make();
	struct hs_calibrate_sample s;

	start(&c, &k);
	k.real_ns -= 3600e9;
	s = pass(&k, 50 * MS);
	assert_true(hs_calibrate_sample(&c, &s));
	assert_in_range(error_of(&c, &s) + 10, 0, 20);
	s = pass(&k, 50 * MS);
	hs_calibrate_sample(&c, &s);
	assert_in_range(error_of(&c, &s) + 3000, 0, 6000);
	assert_false(c.given_up);
}

static void test_uneven_is_given_up(void **state)
{
	struct hs_calibrate c = {0};
	struct clocks k = clocks_make();
	bool told = false;

	start(&c, &k);
	k.ticks_per_ns = 1.2;
	for (int i = 0; i < 20; i++) {
		struct hs_calibrate_sample s = pass(&k, 50 * MS);

		told |= hs_calibrate_sample(&c, &s);
	}
	assert_true(told && c.given_up);
	assert_int_equal(c.now.number, 0);
}

/* A sample that was interrupted says nothing. */
static void test_wide_samples(void **state)
{
	struct hs_calibrate c = {0};
	struct clocks k = clocks_make();

	start(&c, &k);
	for (int i = 0; i < 20; i++) {
		struct hs_calibrate_sample s = pass(&k, 50 * MS);

		s.spread = 100000;
		s.real_ns += 40000;
		assert_false(hs_calibrate_sample(&c, &s));
	}
	assert_int_equal(c.epochs, 1);
}

static void test_epochs_fit_a_buffer(void **state)
{
	struct hs_calibrate c = {0};
	struct clocks k = clocks_make();

	start(&c, &k);
	for (int i = 0; i < 70000; i++) {
		struct hs_calibrate_sample s;

		k.real_ns += 1e9;
		s = pass(&k, MS);
		assert_true(hs_calibrate_sample(&c, &s));
		assert_in_range(c.now.number, 1, 0xffff);
	}
}

/* Days without a sample, under a wall clock that was steered all the while. */
static void test_again(void **state)
{
	struct hs_calibrate c = {0};
	struct clocks k = clocks_make();
	struct hs_calibrate_sample s = pass(&k, 0);

	assert_false(hs_calibrate_again(&c, &s));
	start(&c, &k);
	k.steer = 1.0001;
	s = pass(&k, 3 * 86400e9);
	assert_true(hs_calibrate_again(&c, &s));
	assert_int_equal(c.now.number, 2);
	assert_in_range(error_of(&c, &s) + 10, 0, 20);
	k.steer = 1;
	s = pass(&k, 1000 * MS);
	assert_false(hs_calibrate_sample(&c, &s));
	assert_in_range(error_of(&c, &s) + 100, 0, 200);
}

/* A machine that slept: the counter began anew, or the clock stood still. */
static void test_not_again(void **state)
{
	struct hs_calibrate c = {0};
	struct clocks k = clocks_make();
	struct hs_calibrate_sample s;

	start(&c, &k);
	s = pass(&k, 1e12);
	s.ticks = 12345;
	assert_false(hs_calibrate_again(&c, &s));
	s = pass(&k, 50 * MS);
	s.ticks += 100000000000ull;
	assert_false(hs_calibrate_again(&c, &s));
	s = pass(&k, 50 * MS);
	s.spread = 100000;
	assert_false(hs_calibrate_again(&c, &s));
	assert_int_equal(c.now.number, 1);
	assert_false(c.given_up);
}

static void test_real_clocks(void **state)
{
	struct hs_calibrate_sample a = {0}, b = {0};

	hs_calibrate_read(&a);
	hs_calibrate_read(&b);
	assert_true(b.ticks >= a.ticks && b.raw_ns >= a.raw_ns);
	assert_true(a.real_ns > 1000000000ull * 1000000000ull);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_steady),
		cmocka_unit_test(test_steered),
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_uneven_is_given_up),
		cmocka_unit_test(test_wide_samples),
		cmocka_unit_test(test_epochs_fit_a_buffer),
		cmocka_unit_test(test_again),
		cmocka_unit_test(test_not_again),
		cmocka_unit_test(test_real_clocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
