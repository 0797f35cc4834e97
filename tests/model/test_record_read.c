/* SPDX-License-Identifier: Apache-2.0 */
/* The decoder on bytes written by hand: golden records, and damage to them. */
#include <setjmp.h>
#include <stdio.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>

#include <cmocka.h>

#include "hs/shm_format.h"
#include "model/record_read.h"

static uint8_t scratch[HS_RECORD_SCRATCH_BYTES];

static const uint8_t START[] = {2, 26, 0, 0, 7, 1,   0,	  0,   0,   0,
				0, 0,  0, 9, 0, 0,   0,	  0,   0,   0,
				0, 2,  3, 1, 5, 'o', 'p', 'e', 'r', 'a'};
static const uint8_t END[] = {3, 3, 0, 0, 7, 0xc8, 0x01};

struct seen {
	uint32_t starts, ends, points;
	uint64_t time_ns;
	int stop_at;
};

static int visit(void *context, const struct hs_record *r)
{
	struct seen *seen = context;

	seen->time_ns = r->time_ns;
	if (r->type == HS_RECORD_SPAN_START) {
		seen->starts++;
		assert_int_equal(r->ref, 7);
		assert_int_equal(r->u.start.id, 1);
		assert_int_equal(r->u.start.parent_id, 9);
		assert_int_equal(r->u.start.resource, 2);
		assert_int_equal(r->u.start.kind, 3);
		assert_memory_equal(r->u.start.name.ptr, "opera", 5);
	}
	seen->ends += r->type == HS_RECORD_SPAN_END;
	seen->points += r->type == HS_RECORD_TRACEPOINT;
	return seen->stop_at && --seen->stop_at == 0 ? -ECANCELED : 0;
}

/* A buffer that holds these bytes; first: where a record starts, or 0. */
static struct hs_record_buffer
buffer(uint8_t *out, uint32_t seq, uint32_t first, const void *data, size_t len)
{
	struct hs_shm_buffer h = {
		.magic = HS_SHM_BUF_MAGIC,
		.version = HS_SHM_BUF_VERSION,
		.header_bytes = sizeof(h),
		.seq = seq,
		.first_record = first,
		.time_base = 1000 * (seq + 1),
	};

	memcpy(out, &h, sizeof(h));
	memcpy(out + sizeof(h), data, len);
	return (struct hs_record_buffer){out, sizeof(h) + len, seq};
}

static int read_all(const struct hs_record_buffer *b, size_t nr,
		    struct seen *seen, struct hs_record_stats *stats)
{
	struct hs_record_visitor visitor = {seen, visit};

	memset(stats, 0, sizeof(*stats));
	return hs_record_read(b, nr, scratch, sizeof(scratch), &visitor, stats);
}

static void test_golden(void **state)
{
	uint8_t bytes[sizeof(START) + sizeof(END)], a[256];
	struct hs_record_stats stats;
	struct seen seen = {0};
	struct hs_record_buffer b;

	memcpy(bytes, START, sizeof(START));
	memcpy(bytes + sizeof(START), END, sizeof(END));
	b = buffer(a, 0, 64, bytes, sizeof(bytes));
	assert_int_equal(read_all(&b, 1, &seen, &stats), 0);
	assert_int_equal(seen.starts, 1);
	assert_int_equal(seen.ends, 1);
	assert_int_equal(seen.time_ns, 1100);
	seen.stop_at = 1;
	assert_int_equal(read_all(&b, 1, &seen, &stats), -ECANCELED);
	assert_int_equal(seen.starts, 2);
	assert_int_equal(seen.ends, 1);
}

/* Over two buffers at every byte; the time base is that of the first. */
static void test_split_everywhere(void **state)
{
	uint8_t a[256], c[256];

	for (size_t cut = 1; cut < sizeof(END); cut++) {
		struct hs_record_buffer b[2];
		struct hs_record_stats stats;
		struct seen seen = {0};

		b[0] = buffer(a, 0, 64, END, cut);
		b[1] = buffer(c, 1, 0, END + cut, sizeof(END) - cut);
		assert_int_equal(read_all(b, 2, &seen, &stats), 0);
		assert_int_equal(seen.ends, 1);
		assert_int_equal(seen.time_ns, 1100);
		/* Its end is not there. */
		assert_int_equal(read_all(b, 1, &seen, &stats), 0);
		assert_int_equal(stats.cut, 1);
		assert_int_equal(stats.records, 0);
		/* Its beginning is not there. */
		assert_int_equal(read_all(b + 1, 1, &seen, &stats), 0);
		assert_int_equal(stats.gaps, 1);
		assert_int_equal(stats.skipped_bytes, sizeof(END) - cut);
	}
}

static void test_resync(void **state)
{
	uint8_t bytes[64], a[256], c[256];
	struct hs_record_buffer b[2];
	struct hs_record_stats stats;
	struct seen seen = {0};

	/* A record whose writer ran dry: the next buffer starts afresh. */
	b[0] = buffer(a, 0, 64, START, 9);
	b[1] = buffer(c, 1, 64, END, sizeof(END));
	assert_int_equal(read_all(b, 2, &seen, &stats), 0);
	assert_int_equal(stats.cut, 1);
	assert_int_equal(seen.ends, 1);
	/* The tail of a record of a buffer that is missing. */
	memset(bytes, 0xee, 10);
	memcpy(bytes + 10, END, sizeof(END));
	b[1] = buffer(c, 5, 74, bytes, 10 + sizeof(END));
	assert_int_equal(read_all(b, 2, &seen, &stats), 0);
	assert_int_equal(stats.gaps, 4);
	assert_int_equal(stats.skipped_bytes, 10);
	assert_int_equal(seen.ends, 2);
	/* One more with the same seq is not read. */
	b[0] = b[1];
	assert_int_equal(read_all(b, 2, &seen, &stats), 0);
	assert_int_equal(stats.duplicates, 1);
	assert_int_equal(seen.ends, 3);
}

static void test_garbage(void **state)
{
	static const uint8_t future[] = {29, 2, 0, 0, 1, 2};
	static const uint8_t zero[] = {0, 0, 0, 0};
	static const uint8_t huge[] = {3, 0xff, 0xff, 0xff, 1};
	static const uint8_t trailing[] = {3, 4, 0, 0, 7, 1, 1, 1};
	static const uint8_t varint[] = {3,    13,   0,	   0,	 7,    0xff,
					 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
					 0xff, 0xff, 0x7f, 1,	 1};
	struct hs_record_stats stats;
	struct seen seen = {0};
	struct hs_record_buffer b;
	uint8_t a[256];

	b = buffer(a, 0, 64, future, sizeof(future));
	assert_int_equal(read_all(&b, 1, &seen, &stats), 0);
	assert_int_equal(stats.unknown, 1);
	b = buffer(a, 0, 64, zero, sizeof(zero));
	assert_int_equal(read_all(&b, 1, &seen, &stats), 0);
	assert_int_equal(stats.garbage, 1);
	b = buffer(a, 0, 64, huge, sizeof(huge));
	assert_int_equal(read_all(&b, 1, &seen, &stats), 0);
	assert_int_equal(stats.garbage, 1);
	assert_int_equal(stats.skipped_bytes, sizeof(huge));
	b = buffer(a, 0, 64, trailing, sizeof(trailing));
	assert_int_equal(read_all(&b, 1, &seen, &stats), 0);
	assert_int_equal(stats.garbage, 1);
	b = buffer(a, 0, 64, varint, sizeof(varint));
	assert_int_equal(read_all(&b, 1, &seen, &stats), 0);
	assert_int_equal(stats.garbage, 1);
	/* Headers that are none. */
	b = buffer(a, 0, 300, END, sizeof(END));
	assert_int_equal(read_all(&b, 1, &seen, &stats), 0);
	assert_int_equal(stats.bad_buffers, 1);
	b = buffer(a, 0, 64, END, sizeof(END));
	b.size_bytes = 63;
	assert_int_equal(read_all(&b, 1, &seen, &stats), 0);
	assert_int_equal(stats.bad_buffers, 1);
	memset(a, 0, sizeof(a));
	b.size_bytes = sizeof(a);
	assert_int_equal(read_all(&b, 1, &seen, &stats), 0);
	assert_int_equal(stats.bad_buffers, 1);
	assert_int_equal(seen.ends + seen.starts, 0);
}

struct keys {
	char text[64];
};

static int see_key(void *context, const struct hs_record *r)
{
	struct keys *k = context;

	assert_int_equal(r->type, HS_RECORD_ATTR);
	snprintf(k->text + strlen(k->text), sizeof(k->text) - strlen(k->text),
		 "%.*s,", (int)r->u.attr.key.len, r->u.attr.key.ptr);
	return 0;
}

/* Keys by number and as texts; numbers that are none. */
static void test_known_keys(void **state)
{
	static const char records[] =
		/* the first name, a text, none of ours, the one taken out */
		"\x24\5\0\0\0\x83\1\3\1"
		"\x24\6\0\0\0\4kx\3\1"
		"\x24\5\0\0\0\xff\x7f\3\1"
		"\x24\5\0\0\0\x81\1\3\1"
		/* a number below the first, and one in three bytes */
		"\x24\4\0\0\0\3\3\1"
		"\x24\6\0\0\0\x83\x81\0\3\1";
	struct hs_record_stats stats = {0};
	struct keys keys = {0};
	struct hs_record_visitor visitor = {&keys, see_key};
	struct hs_record_buffer b;
	uint8_t a[256];

	b = buffer(a, 0, 64, (const uint8_t *)records, sizeof(records) - 1);
	assert_int_equal(hs_record_read(&b, 1, scratch, sizeof(scratch),
					&visitor, &stats),
			 0);
	assert_string_equal(keys.text, "span.kind,kx,,");
	assert_int_equal(stats.records, 3);
	assert_int_equal(stats.garbage, 3);
}

static void test_varints(void **state)
{
	static const uint64_t values[] = {
		0, 1, 127, 128, 16383, 16384, 1u << 31, UINT64_MAX, 1ull << 63};
	uint8_t out[HS_RECORD_VARINT_MAX_BYTES];

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		uint32_t n = hs_record_varint_put(out, values[i]);
		uint64_t got = 0;

		assert_int_equal(n, hs_record_varint_size(values[i]));
		assert_int_equal(hs_record_varint_get(out, n, &got), n);
		assert_true(got == values[i]);
		assert_int_equal(hs_record_varint_get(out, n - 1, &got), 0);
		assert_true(hs_record_zigzag(hs_record_unzigzag(values[i])) ==
			    values[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_split_everywhere),
		cmocka_unit_test(test_resync),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_known_keys),
		cmocka_unit_test(test_varints),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
