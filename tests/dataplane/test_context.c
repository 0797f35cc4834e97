/* SPDX-License-Identifier: Apache-2.0 */
/* Contexts as bytes and as headers: vectors, limits, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hs/hindsight.h"

#define PARENT "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03"

static const struct hs_context FULL = {
	.trace_id = {0x4bf92f3577b34da6, 0xa3ce929d0e0e4736},
	.span_id = 0x00f067aa0ba902b7,
	.trigger = 0xc0ffee00,
	.flags = HS_CONTEXT_F_SAMPLED | HS_CONTEXT_F_RANDOM |
		 HS_CONTEXT_F_TRIGGERED,
	.nr_crumbs = 6,
	.crumbs = {0xa00000001, 0xb00000001, 3, 4, 5, 6},
};

static void test_binary(void **state)
{
	static const uint8_t golden[38] = {
		0x11, 0x07, 0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6,
		0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36, 0xb7, 0x02,
		0xa9, 0x0b, 0xaa, 0x67, 0xf0, 0x00, 0x01, 0x00, 0x00, 0x00,
		0x0a, 0x00, 0x00, 0x00, 0x00, 0xee, 0xff, 0xc0};
	uint8_t out[HS_CONTEXT_FULL_BYTES + 8] = {0};
	struct hs_context got, want = FULL;
	size_t n;

	assert_int_equal(hs_context_encode_compact(&FULL, out), 38);
	assert_memory_equal(out, golden, 38);
	assert_int_equal(hs_context_decode(out, 38, &got), 0);
	want.nr_crumbs = 1;
	memset(want.crumbs + 1, 0, 5 * sizeof(want.crumbs[0]));
	assert_memory_equal(&got, &want, sizeof(got));
	want = FULL;
	n = hs_context_encode_full(&FULL, out);
	assert_int_equal(n, 62);
	/* In a field of a fixed size. */
	assert_int_equal(hs_context_decode(out, sizeof(out), &got), 0);
	want.nr_crumbs = 4;
	memset(want.crumbs + 4, 0, 2 * sizeof(want.crumbs[0]));
	assert_memory_equal(&got, &want, sizeof(got));
	/* Cut at every byte. */
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(hs_context_decode(out, i, &got), -EBADMSG);
		assert_int_equal(got.trace_id.hi, 0);
	}
	out[0] = 0x21;
	assert_int_equal(hs_context_decode(out, n, &got), -EBADMSG);
	out[0] = 0x15;
	assert_int_equal(hs_context_decode(out, sizeof(out), &got), -EBADMSG);
	want = (struct hs_context){.nr_crumbs = 1, .crumbs = {1}};
	assert_int_equal(hs_context_encode_full(&want, out), 0);
	assert_int_equal(hs_context_encode_compact(&want, out), 0);
}

static void test_traceparent(void **state)
{
	static const char *const refused[] = {
		"",
		"00",
		"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00F067AA0BA902B7-01",
		"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		"FF-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-011",
		"01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x",
		"00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		" 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
	};
	static const char *const taken[] = {
		PARENT,
		"01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03",
		"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff-x",
		"01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03-",
	};
	struct hs_context c;

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		assert_int_equal(hs_context_decode_w3c(refused[i], NULL, &c),
				 -EBADMSG);
	assert_int_equal(hs_context_decode_w3c(NULL, NULL, &c), -EBADMSG);
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
		assert_int_equal(hs_context_decode_w3c(taken[i], NULL, &c), 0);
		assert_true(c.trace_id.hi == FULL.trace_id.hi &&
			    c.trace_id.lo == FULL.trace_id.lo &&
			    c.span_id == FULL.span_id);
		assert_int_equal(c.flags,
				 HS_CONTEXT_F_SAMPLED | HS_CONTEXT_F_RANDOM);
	}
}

static void test_w3c_round(void **state)
{
	char parent[HS_TRACEPARENT_CHARS + 1], tracestate[512];
	struct hs_context c, want;
	const char *end;

	assert_int_equal(hs_context_encode_w3c(&FULL, parent,
					       "a=1 ,,\tot=p:8;r:62, b@c=2",
					       tracestate, sizeof(tracestate)),
			 0);
	assert_string_equal(parent, PARENT);
	assert_string_equal(tracestate,
			    "hs=1-04-c0ffee00-0000000a00000001-"
			    "0000000b00000001-0000000000000003-"
			    "0000000000000004-0000000000000005-"
			    "0000000000000006,a=1,ot=p:8;r:62,b@c=2");
	end = strchr(tracestate, ',');
	assert_true(end - tracestate <= HS_TRACESTATE_MEMBER_MAX_CHARS);
	assert_int_equal(hs_context_decode_w3c(parent, tracestate, &c), 0);
	assert_memory_equal(&c, &FULL, sizeof(c));
	/* No span: a stand-in that we know again. */
	want = FULL;
	want.span_id = 0;
	assert_int_equal(hs_context_encode_w3c(&want, parent, NULL, tracestate,
					       sizeof(tracestate)),
			 0);
	assert_null(strstr(parent, "-0000000000000000-"));
	assert_int_equal(hs_context_decode_w3c(parent, tracestate, &c), 0);
	assert_memory_equal(&c, &want, sizeof(c));
	/* Nothing of our own to say. */
	want = (struct hs_context){.trace_id = {0, 1}, .span_id = 1};
	assert_int_equal(hs_context_encode_w3c(&want, parent, "a=1,hs=1-00",
					       tracestate, sizeof(tracestate)),
			 0);
	assert_string_equal(tracestate, "a=1");
	want.trace_id.lo = 0;
	assert_int_equal(hs_context_encode_w3c(&want, parent, NULL, tracestate,
					       sizeof(tracestate)),
			 -EINVAL);
}

static struct hs_context one_crumb(void)
{
	return (struct hs_context){.trace_id = {1, 2},
				   .span_id = 3,
				   .nr_crumbs = 1,
				   .crumbs = {0xabc}};
}

#define OWN "hs=1-00-0000000000000abc"

static void check_state(const char *upstream, size_t room, const char *want)
{
	char parent[HS_TRACEPARENT_CHARS + 1], out[4096];
	struct hs_context c = one_crumb();

	assert_true(room <= sizeof(out));
	assert_int_equal(hs_context_encode_w3c(&c, parent, upstream, out, room),
			 0);
	assert_string_equal(out, want);
}

static void test_tracestate(void **state)
{
	char list[2048] = "", want[2048] = OWN, big[512];
	char parent[HS_TRACEPARENT_CHARS + 1], out[64];
	struct hs_context c = one_crumb();

	check_state(NULL, 4096, OWN);
	check_state("", 4096, OWN);
	check_state("a=1,hs=old,b=2", 4096, OWN ",a=1,b=2");
	/* What is no list is not passed on. */
	check_state("a=1,b", 4096, OWN);
	check_state("a=1,B=2", 4096, OWN);
	check_state("a=1,b=2=3", 4096, OWN);
	check_state("a=1,=2", 4096, OWN);
	/* Of 33 the last one goes, but never ot=. */
	for (int i = 0; i < 32; i++) {
		sprintf(list + strlen(list), "%sk%d=v", i ? "," : "", i);
		if (i < 31)
			sprintf(want + strlen(want), ",k%d=v", i);
	}
	check_state(list, 4096, want);
	memcpy(strstr(list, "k31=v"), "ot=xy", 5);
	memcpy(strstr(want, "k30=v"), "ot=xy", 5);
	check_state(list, 4096, want);
	/* Short of room: long ones first, then the last. */
	memset(big, 0, sizeof(big));
	memset(big, 'x', 150);
	snprintf(list, sizeof(list), "a=1,big=%s,b=2", big);
	check_state(list, sizeof(OWN ",a=1,b=2"), OWN ",a=1,b=2");
	check_state(list, sizeof(OWN ",a=1,b=2") - 1, OWN ",a=1");
	check_state("a=1,ot=2", sizeof(OWN ",ot=2"), OWN ",ot=2");
	check_state("a=1", sizeof(OWN), OWN);
	assert_int_equal(
		hs_context_encode_w3c(&c, parent, NULL, out, sizeof(OWN) - 1),
		-ENOSPC);
	assert_int_equal(hs_context_encode_w3c(&c, parent, NULL, NULL, 0),
			 -ENOSPC);
}

static void test_own_member_malformed(void **state)
{
	static const char *const bad[] = {
		"hs=2-00-0000000000000abc",
		"hs=1-0",
		"hs=1-00-abc",
		"hs=1-00-0000000000000ABC",
		"hs=1-04-0000000000000abc0",
		"hs=1-00-0000000000000abcd",
		"hs=",
		"hsx=1-00-0000000000000abc",
		",,,",
		"=",
	};
	struct hs_context c;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(hs_context_decode_w3c(PARENT, bad[i], &c), 0);
		assert_int_equal(c.nr_crumbs, 0);
		assert_int_equal(c.flags & HS_CONTEXT_F_TRIGGERED, 0);
	}
	/* It need not be the first, and more crumbs than we keep are cut. */
	assert_int_equal(
		hs_context_decode_w3c(PARENT,
				      "x=1,\t hs=1-00-0000000000000abc ", &c),
		0);
	assert_int_equal(c.nr_crumbs, 1);
	assert_int_equal(c.crumbs[0], 0xabc);
}

static void test_baggage(void **state)
{
	char *long_one = malloc(8194);

	assert_non_null(long_one);
	memset(long_one, 'v', 8193);
	long_one[1] = '=';
	long_one[8193] = '\0';
	assert_false(hs_context_baggage_ok(long_one));
	long_one[8192] = '\0';
	assert_true(hs_context_baggage_ok(long_one));
	free(long_one);
	assert_true(hs_context_baggage_ok("a=1;p=2, b = 2"));
	assert_false(hs_context_baggage_ok(NULL));
	assert_false(hs_context_baggage_ok(""));
	assert_false(hs_context_baggage_ok("a"));
	assert_false(hs_context_baggage_ok("=1"));
	assert_false(hs_context_baggage_ok("a b=1"));
	assert_false(hs_context_baggage_ok("a=1\r\nX: y"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_binary),
		cmocka_unit_test(test_traceparent),
		cmocka_unit_test(test_w3c_round),
		cmocka_unit_test(test_tracestate),
		cmocka_unit_test(test_own_member_malformed),
		cmocka_unit_test(test_baggage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
