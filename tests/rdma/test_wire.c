/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_wire.c - a payload cut at every byte, or with a wrong count, is refused
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "rdma/wire.h"

static size_t make_trigger(uint8_t *out, size_t room)
{
	struct hs_wire_writer w = hs_wire_writer_make(out, room);
	struct hs_wire_group g = {
		.trigger = {.origin = 7,
			    .key = 1,
			    .name = "slow",
			    .primary = {1, 2}},
		.nr = 2,
	};
	struct hs_wire_crumb crumbs[2] = {{9, HS_WIRE_CRUMB_BACK, 0},
					  {8, HS_WIRE_CRUMB_REPLY, 0}};
	struct hs_wire_answer a = {.trace = {1, 2},
				   .node = 7,
				   .rev = 1,
				   .state = HS_WIRE_STATE_CLOSED,
				   .nr_crumbs = 2};

	hs_wire_put(&w, &g, sizeof(g));
	hs_wire_put_answer(&w, &a, crumbs);
	a.trace.lo = 3;
	a.nr_crumbs = 0;
	hs_wire_put_answer(&w, &a, NULL);
	assert_false(w.failed);
	return w.used_bytes;
}

static bool read_trigger(const uint8_t *data, size_t size)
{
	struct hs_wire_reader r = hs_wire_reader_make(data, size);
	const struct hs_wire_group *g = hs_wire_take_group(&r);
	const struct hs_wire_crumb *crumbs;

	for (uint32_t i = 0; g && i < g->nr; i++)
		if (!hs_wire_take_answer(&r, &crumbs))
			return false;
	return g && hs_wire_done(&r);
}

static void cut_everywhere(void **state)
{
	uint8_t buf[1024];
	size_t size = make_trigger(buf, sizeof(buf));

	(void)state;
	assert_true(read_trigger(buf, size));
	for (size_t n = 0; n < size; n++) {
		uint8_t *exact = malloc(n ? n : 1);

		memcpy(exact, buf, n);
		assert_false(read_trigger(exact, n));
		free(exact);
	}
	assert_false(read_trigger(buf, size + 1));
}

static void wrong_counts(void **state)
{
	uint8_t buf[1024];
	size_t size = make_trigger(buf, sizeof(buf));
	struct hs_wire_group *g = (void *)buf;
	struct hs_wire_answer *a = (void *)(buf + sizeof(*g));

	(void)state;
	g->nr = HS_WIRE_TRACES_MAX + 1;
	assert_false(read_trigger(buf, size));
	g->nr = 2;
	a->nr_crumbs = 0xffffffffu;
	assert_false(read_trigger(buf, size));
	a->nr_crumbs = 2;
	memset(g->trigger.name, 'x', sizeof(g->trigger.name));
	assert_false(read_trigger(buf, size));
}

static void slice_checksum(void **state)
{
	struct {
		struct hs_wire_slice s;
		uint8_t bytes[8];
	} m = {.s = {.trace = {1, 2}, .node = 1, .length_bytes = 8},
	       .bytes = "abcdefg"};
	const uint8_t *bytes;

	(void)state;
	m.s.crc = hs_crc32c(0, m.bytes, 8);
	struct hs_wire_reader r = hs_wire_reader_make(&m, sizeof(m));
	assert_non_null(hs_wire_take_slice(&r, &bytes));
	assert_true(hs_wire_done(&r));
	m.bytes[3] ^= 1;
	r = hs_wire_reader_make(&m, sizeof(m));
	assert_null(hs_wire_take_slice(&r, &bytes));
}

static void writer_is_bounded(void **state)
{
	uint8_t small[16];
	struct hs_wire_writer w = hs_wire_writer_make(small, sizeof(small));

	(void)state;
	hs_wire_put(&w, "0123456789", 10);
	assert_false(w.failed);
	hs_wire_put(&w, "0123456", 7);
	assert_true(w.failed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cut_everywhere),
		cmocka_unit_test(wrong_counts),
		cmocka_unit_test(slice_checksum),
		cmocka_unit_test(writer_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
