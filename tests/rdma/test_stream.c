/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_stream.c - no byte of a header or payload can change unnoticed, and
 * where the bytes are cut makes no difference
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "rdma/stream.h"

#define NR_MESSAGES 5
static const uint32_t sizes[NR_MESSAGES] = {56, 0, 13, 300000, 8};

struct fixture {
	struct hs_stream s;
	void *buffer;
	uint8_t *bytes;
	size_t size_bytes;
};

static uint8_t byte_of(uint32_t message, uint32_t at)
{
	return (uint8_t)(message * 31 + at * 7 + (at >> 8));
}

static int make(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->buffer = malloc(HS_STREAM_BUFFER_BYTES);
	f->bytes = malloc(400000);
	for (uint32_t i = 0; i < NR_MESSAGES; i++) {
		uint8_t *p = f->bytes + f->size_bytes;
		struct hs_wire_header h;

		for (uint32_t b = 0; b < sizes[i]; b++)
			p[sizeof(h) + b] = byte_of(i, b);
		h = hs_stream_header(i ? HS_WIRE_SLICE : HS_WIRE_HELLO, 7,
				     i + 1, sizes[i],
				     hs_crc32c(0, p + sizeof(h), sizes[i]));
		memcpy(p, &h, sizeof(h));
		f->size_bytes += sizeof(h) + sizes[i];
	}
	hs_stream_init(&f->s, f->buffer, HS_WIRE_PAYLOAD_MAX_BYTES);
	*state = f;
	return 0;
}

static int drop(void **state)
{
	struct fixture *f = *state;

	free(f->buffer);
	free(f->bytes);
	free(f);
	return 0;
}

static uint32_t take(struct fixture *f, uint32_t first)
{
	struct hs_wire_header h;
	const void *payload;
	uint32_t nr = 0;

	while (hs_stream_next(&f->s, &h, &payload) == HS_STREAM_MESSAGE) {
		const uint8_t *p = payload;
		uint32_t i = first + nr++;

		assert_int_equal((uintptr_t)payload & 7, 0);
		assert_int_equal(h.payload_bytes, sizes[i]);
		for (uint32_t b = 0; b < sizes[i]; b++)
			if (p[b] != byte_of(i, b))
				fail_msg("message %u byte %u", i, b);
	}
	return nr;
}

/* Feed @bytes in pieces of @piece; how many messages came out? */
static uint32_t feed(struct fixture *f, const uint8_t *bytes, size_t size,
		     size_t piece)
{
	uint32_t nr = 0;

	while (size && !f->s.error) {
		uint8_t *room;
		size_t n = hs_stream_room(&f->s, &room);

		assert_true(n > 0);
		n = n < piece ? n : piece;
		n = n < size ? n : size;
		memcpy(room, bytes, n);
		hs_stream_came(&f->s, n);
		bytes += n;
		size -= n;
		nr += take(f, nr);
	}
	return nr;
}

static void any_pieces(void **state)
{
	struct fixture *f = *state;
	const size_t pieces[] = {1, 3, 31, 33, 100, 4096, 65536, 1 << 20};

	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		hs_stream_init(&f->s, f->buffer, HS_WIRE_PAYLOAD_MAX_BYTES);
		assert_int_equal(feed(f, f->bytes, f->size_bytes, pieces[i]),
				 NR_MESSAGES);
		assert_int_equal(f->s.error, 0);
	}
}

/* The headers of the first and of a later message, every byte, every bit. */
static void every_bit_of_a_header(void **state)
{
	struct fixture *f = *state;
	const size_t second = 32 + sizes[0];

	for (size_t at = 0; at < second + 32; at++) {
		uint32_t good = at < second ? 0 : 1;

		for (int bit = 0; bit < 8; bit++) {
			hs_stream_init(&f->s, f->buffer,
				       HS_WIRE_PAYLOAD_MAX_BYTES);
			f->bytes[at] ^= (uint8_t)(1 << bit);
			uint32_t nr = feed(f, f->bytes, f->size_bytes, 1 << 20);
			f->bytes[at] ^= (uint8_t)(1 << bit);
			/* A first header may claim another sender: HELLO
			 * itself contradicts it, the next header too. A type
			 * may become another type: the payload's business. */
			if (f->s.error)
				assert_in_range(nr, good, good + 1);
			else if (nr == NR_MESSAGES)
				assert_in_range(at - second, 6, 7);
			else /* waits for bytes that a length promised */
				assert_int_equal(nr, good);
		}
	}
}

static void payload_changed(void **state)
{
	struct fixture *f = *state;

	f->bytes[32 + 20] ^= 4;
	assert_int_equal(feed(f, f->bytes, f->size_bytes, 1 << 20), 0);
	assert_int_equal(f->s.error, -EBADMSG);
	assert_string_equal(f->s.error_reason, "checksum is wrong");
}

static void garbage_shows_at_once(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(feed(f, (const uint8_t *)"GET", 3, 3), 0);
	assert_int_equal(f->s.error, -EPROTO);
}

static void over_the_limit(void **state)
{
	struct fixture *f = *state;
	struct hs_wire_header h = hs_stream_header(
		HS_WIRE_HELLO, 7, 1, HS_WIRE_PAYLOAD_MAX_BYTES + 1, 0);

	assert_int_equal(feed(f, (uint8_t *)&h, sizeof(h), 100), 0);
	assert_int_equal(f->s.error, -EMSGSIZE);
	hs_stream_init(&f->s, f->buffer, 56);
	h.payload_bytes = 57;
	assert_int_equal(feed(f, (uint8_t *)&h, sizeof(h), 100), 0);
	assert_int_equal(f->s.error, -EMSGSIZE);
}

static void the_largest(void **state)
{
	struct fixture *f = *state;
	size_t size = sizeof(struct hs_wire_header) + HS_WIRE_PAYLOAD_MAX_BYTES;
	uint8_t *m = calloc(1, size);
	struct hs_wire_header h;
	const void *payload;

	/* Behind messages of odd lengths, where the buffer has to be moved. */
	feed(f, f->bytes, f->size_bytes, 1 << 20);
	for (uint64_t seq = 6; seq < 12; seq++) {
		uint32_t n = HS_WIRE_PAYLOAD_MAX_BYTES - (seq % 3);
		uint32_t nr = 0;

		h = hs_stream_header(HS_WIRE_SLICE, 7, seq, n,
				     hs_crc32c(0, m + sizeof(h), n));
		memcpy(m, &h, sizeof(h));
		for (size_t at = 0; at < sizeof(h) + n;) {
			uint8_t *room;
			size_t k = hs_stream_room(&f->s, &room);

			k = k < sizeof(h) + n - at ? k : sizeof(h) + n - at;
			memcpy(room, m + at, k);
			at += k;
			hs_stream_came(&f->s, k);
			while (hs_stream_next(&f->s, &h, &payload) ==
			       HS_STREAM_MESSAGE)
				nr++;
		}
		assert_int_equal(nr, 1);
	}
	free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(any_pieces, make, drop),
		cmocka_unit_test_setup_teardown(every_bit_of_a_header, make,
						drop),
		cmocka_unit_test_setup_teardown(payload_changed, make, drop),
		cmocka_unit_test_setup_teardown(garbage_shows_at_once, make,
						drop),
		cmocka_unit_test_setup_teardown(over_the_limit, make, drop),
		cmocka_unit_test_setup_teardown(the_largest, make, drop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
