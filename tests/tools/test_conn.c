/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames between the processes of a replay: whole whatever the pieces, no
 * waiting on a full socket, nonsense refused; and contexts in their forms.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "tools/replay/conn.h"
#include "tools/replay/form.h"

struct pair {
	struct hs_replay_conn a, b;
};

static int setup(void **state)
{
	struct pair *p = calloc(1, sizeof(*p));
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	hs_replay_conn_init(&p->a, fds[0]);
	hs_replay_conn_init(&p->b, fds[1]);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct pair *p = *state;

	hs_replay_conn_destroy(&p->a);
	hs_replay_conn_destroy(&p->b);
	free(p);
	return 0;
}

/* More than any socket buffer holds, so that a flush is left half done. */
static void test_many(void **state)
{
	struct pair *p = *state;
	uint8_t payload[1000];
	uint32_t nr_read = 0, i;
	bool was_full = false;

	memset(payload, 7, sizeof(payload));
	for (i = 0; i < 2000; i++) {
		struct hs_replay_frame frame = {.type = 1, .fragment = i};

		assert_int_equal(hs_replay_conn_put(&p->a, &frame, payload,
						    i % sizeof(payload)),
				 0);
	}
	while (nr_read < 2000) {
		struct hs_replay_frame frame;
		const uint8_t *bytes;
		size_t n;

		was_full |= hs_replay_conn_flush(&p->a) == 1;
		assert_true(hs_replay_conn_fill(&p->b) >= 0);
		while (hs_replay_conn_next(&p->b, &frame, &bytes, &n) == 1) {
			assert_int_equal(frame.fragment, nr_read);
			assert_int_equal(n, nr_read % sizeof(payload));
			assert_memory_equal(bytes, payload, n);
			nr_read++;
		}
	}
	assert_true(was_full);
	assert_int_equal(hs_replay_conn_fill(&p->b), 0);
}

static void test_end(void **state)
{
	struct pair *p = *state;

	close(p->a.fd);
	p->a.fd = -1;
	assert_int_equal(hs_replay_conn_fill(&p->b), -EPIPE);
}

static void test_nonsense(void **state)
{
	static const uint32_t lengths[] = {0, 15, 2049, UINT32_MAX};
	struct pair *p = *state;
	size_t i;

	for (i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		struct hs_replay_frame frame = {.length_bytes = lengths[i]};
		const uint8_t *bytes;
		size_t n;

		assert_int_equal(write(p->a.fd, &frame, sizeof(frame)),
				 sizeof(frame));
		p->b.in_start = 0;
		p->b.in_end = 0;
		assert_int_equal(hs_replay_conn_fill(&p->b), sizeof(frame));
		assert_int_equal(hs_replay_conn_next(&p->b, &frame, &bytes, &n),
				 -EBADMSG);
	}
}

static void test_too_long(void **state)
{
	struct pair *p = *state;
	struct hs_replay_frame frame = {0};
	uint8_t payload[HS_REPLAY_FRAME_MAX_BYTES] = {0};

	assert_int_equal(
		hs_replay_conn_put(&p->a, &frame, payload, sizeof(payload)),
		-EMSGSIZE);
}

static void test_forms(void **state)
{
	struct hs_context in = {
		.trace_id = {1, 2},
		.span_id = 3,
		.flags = HS_CONTEXT_F_SAMPLED,
		.nr_crumbs = 1,
		.crumbs = {0x100000007},
	};
	uint32_t i;

	for (i = 0; i < 3; i++) {
		enum hs_replay_form form = hs_replay_form_of(i);
		uint8_t bytes[HS_REPLAY_FORM_MAX_BYTES];
		size_t n = hs_replay_form_encode(form, &in, bytes), cut;
		struct hs_context out;

		assert_true(n > 0);
		assert_int_equal(hs_replay_form_decode(form, bytes, n, &out),
				 0);
		assert_int_equal(out.trace_id.hi, 1);
		assert_int_equal(out.trace_id.lo, 2);
		assert_int_equal(out.span_id, 3);
		assert_int_equal(out.nr_crumbs, 1);
		assert_int_equal(out.crumbs[0], 0x100000007);
		for (cut = 1; cut < n; cut++) {
			uint8_t *copy = malloc(cut);

			memcpy(copy, bytes, cut);
			hs_replay_form_decode(form, copy, cut, &out);
			free(copy);
		}
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_many),     TEST(test_end),   TEST(test_nonsense),
		TEST(test_too_long), TEST(test_forms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
