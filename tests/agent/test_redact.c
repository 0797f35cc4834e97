/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the worker remembers between buffers: slices that go again, that begin
 * in mid-buffer, and those whose predecessor nobody remembers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/redact.h"
#include "base/endian.h"
#include "hs/hindsight.h"
#include "hs/shm_format.h"
#include "model/record.h"

#define HEAD	 sizeof(struct hs_shm_buffer)
#define PAYLOAD	 64u
#define SIZE	 (HEAD + PAYLOAD)
#define SECRET_N 100u /* bytes of the value; it runs on */
#define TAIL	 (4 + 5 + SECRET_N - PAYLOAD)
#define SIZE_TWO (HEAD + TAIL + 10) /* the second is not full */

static struct hs_redact *redact;

/* One ATTR "k" of SECRET_N bytes of 's' over two buffers, then another. */
static void fill(uint8_t first[SIZE], uint8_t second[SIZE])
{
	uint8_t stream[2 * PAYLOAD] = {0};
	struct hs_shm_buffer h = {
		.magic = HS_SHM_BUF_MAGIC,
		.version = HS_SHM_BUF_VERSION,
		.header_bytes = HEAD,
		.first_record = HEAD,
		.seq = 4,
	};
	const uint32_t payload = 1 + 1 + 1 + 1 + 1 + SECRET_N;

	hs_le32_store(stream, hs_record_header(HS_RECORD_ATTR, payload));
	memcpy(stream + 4, "\0\1k\0", 4);
	stream[8] = SECRET_N;
	memset(stream + 9, 's', SECRET_N);
	hs_le32_store(stream + 4 + payload,
		      hs_record_header(HS_RECORD_ATTR, 6));
	memcpy(stream + 8 + payload, "\0\1p\0\1v", 6);
	memcpy(first, &h, HEAD);
	memcpy(first + HEAD, stream, PAYLOAD);
	h.seq = 5;
	h.first_record = (uint32_t)(HEAD + 4 + payload - PAYLOAD);
	memcpy(second, &h, HEAD);
	memcpy(second + HEAD, stream + PAYLOAD, PAYLOAD);
}

static bool has_secret(const uint8_t *buffer)
{
	return memmem(buffer + HEAD, PAYLOAD, "sss", 3) != NULL;
}

static struct hs_wire_slice send_slice(uint8_t buffer[SIZE], uint32_t size,
				       uint32_t from, uint32_t handle)
{
	struct hs_wire_slice head = {
		.process = 1,
		.handle = handle,
		.offset = from,
		.length_bytes = size - from,
	};

	hs_redact_slice(redact, 1, 0, &head, buffer);
	return head;
}

static int set_up(void **state)
{
	static struct hs_agent_redact_settings one = {
		(char *)(uintptr_t) "k", HS_REDACT_MASK,
		(char *)(uintptr_t) "ten*"};
	const struct hs_config_maps maps = {.items = &one, .nr_items = 1};
	static const uint8_t key[16] = {1};

	redact = hs_redact_make();
	hs_redact_load(redact, &maps, key);
	return 0;
}

static int tear_down(void **state)
{
	hs_redact_free(redact);
	return 0;
}

static void test_in_a_row(void **state)
{
	uint8_t first[SIZE], second[SIZE];
	struct hs_redact_totals t;

	/* The second goes twice, the last time from its middle on. */
	for (int i = 0; i < 3; i++) {
		fill(first, second);
		assert_true(has_secret(first) && has_secret(second));
		if (i == 0) {
			assert_int_equal(send_slice(first, SIZE, 0, 9).flags,
					 0);
			assert_false(has_secret(first));
		}
		assert_int_equal(
			send_slice(second, SIZE_TWO, i < 2 ? 0 : 80, 9).flags,
			0);
		assert_false(has_secret(second));
		assert_non_null(memmem(second, SIZE, "p\0\1v", 4));
	}
	hs_redact_totals_get(redact, &t);
	assert_int_equal(t.slices_withheld, 0);
	assert_int_equal(t.done.masked, 1);
}

static void test_nobody_remembers(void **state)
{
	uint8_t first[SIZE], second[SIZE];
	struct hs_redact_totals t;

	fill(first, second);
	send_slice(first, SIZE, 0, 9);
	/* The same place in another stream is another place. */
	assert_int_equal(send_slice(second, SIZE_TWO, 0, 8).flags,
			 HS_WIRE_F_WITHHELD);
	assert_false(has_secret(second));
	/* What begins in it is sent in any case. */
	assert_non_null(memmem(second, SIZE, "p\0\1v", 4));
	hs_redact_totals_get(redact, &t);
	assert_int_equal(t.slices_withheld, 1);
	assert_int_equal(t.tails_unknown, 1);
	assert_int_equal(t.done.withheld_bytes, TAIL);
}

/* Nothing runs on from a buffer that ends with a record, whatever it looked
 * like when less of it was committed: a next one that says so is not believed.
 */
static void test_runs_on_no_more(void **state)
{
	uint8_t first[SIZE], second[SIZE], open[SIZE];
	struct hs_redact_totals t;
	const uint32_t value = SIZE - HEAD - 9;

	fill(first, second);
	/* Its one record ends where the buffer does. */
	hs_le32_store(first + HEAD,
		      hs_record_header(HS_RECORD_ATTR, 5 + value));
	first[HEAD + 8] = (uint8_t)value;
	memcpy(open, first, SIZE);
	assert_int_equal(send_slice(open, SIZE - 20, 0, 9).flags, 0);
	assert_int_equal(send_slice(first, SIZE, SIZE - 20, 9).flags, 0);
	assert_false(has_secret(first));
	assert_int_equal(send_slice(second, SIZE_TWO, 0, 9).flags,
			 HS_WIRE_F_WITHHELD);
	hs_redact_totals_get(redact, &t);
	assert_int_equal(t.tails_unknown, 1);
	assert_int_equal(t.done.withheld_bytes, TAIL);
}

/* What is remembered is bounded: the oldest gives way, and that is honest. */
static void test_bounded(void **state)
{
	uint8_t first[SIZE], second[SIZE];
	uint32_t withheld = 0;

	for (uint32_t handle = 0; handle < 20000; handle++) {
		fill(first, second);
		send_slice(first, SIZE, 0, handle);
	}
	for (uint32_t handle = 0; handle < 20000; handle++) {
		fill(first, second);
		withheld += send_slice(second, SIZE_TWO, 0, handle).flags != 0;
		assert_false(has_secret(second));
	}
	assert_true(withheld >= 20000 - 1024 && withheld < 20000);
}

static void test_domains(void **state)
{
	assert_int_equal(hs_redact_mask(redact, 0, "tenant"), 1);
	assert_int_equal(hs_redact_mask(redact, 1, "other"), 0);
	assert_int_equal(hs_redact_mask(redact, 0, "tenant"), 1);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(test_in_a_row),	    CASE(test_nobody_remembers),
		CASE(test_runs_on_no_more), CASE(test_bounded),
		CASE(test_domains),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
