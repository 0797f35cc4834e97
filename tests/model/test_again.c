/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a buffer says again of itself (ADR 46): read, and redacted, also when
 * the buffer left in two parts under different rules.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/endian.h"
#include "hs/shm_format.h"
#include "model/record_read.h"
#include "model/redact.h"

#define SECRET "hunter2-secret-value"
#define HEAD   64u

/* ---- a buffer of short records ------------------------------------------ */

static uint8_t data[1024];
static size_t size;
static char text[4096];
static struct hs_record_stats read_stats;

static void begin(uint16_t version)
{
	const struct hs_shm_buffer h = {
		.magic = HS_SHM_BUF_MAGIC,
		.version = version,
		.header_bytes = HEAD,
		.first_record = HEAD,
	};

	memcpy(data, &h, sizeof(h));
	size = sizeof(h);
}

/* Return: where in the buffer @payload begins. */
static uint32_t put(uint8_t type, const void *payload, size_t n)
{
	data[size] = type | HS_RECORD_F_SHORT;
	data[size + 1] = (uint8_t)n;
	memcpy(data + size + 2, payload, n);
	size += 2 + n;
	return (uint32_t)(size - n);
}

/* Return: where the key stands. */
static uint32_t put_attr(const char *key, const char *value)
{
	uint8_t p[128] = {0, (uint8_t)(strlen(key) << 1)};
	size_t n = 2 + strlen(key);

	memcpy(p + 2, key, strlen(key));
	p[n++] = HS_VALUE_STRING;
	p[n++] = (uint8_t)strlen(value);
	memcpy(p + n, value, strlen(value));
	return put(HS_RECORD_ATTR | HS_RECORD_F_KNOWN, p, n + strlen(value)) +
	       1;
}

/* @value: behind a key, as a string; NULL: the whole attribute. */
static void put_again(uint8_t how, uint32_t at, const char *value)
{
	uint8_t p[64] = {0, how, (uint8_t)at, (uint8_t)(at >> 8)};
	size_t n = 4;

	if (value) {
		p[n++] = HS_VALUE_STRING;
		p[n++] = (uint8_t)strlen(value);
		memcpy(p + n, value, strlen(value));
		n += strlen(value);
	}
	put(HS_RECORD_ATTR | HS_RECORD_F_KNOWN, p, n);
}

/* Ref, ids, resource, kind, time; then the name. Return: where it stands. */
static uint32_t put_start(const void *name, size_t n)
{
	uint8_t p[128] = {0, 1, 2, 3, 4, 5, 6, 7, 8};

	memcpy(p + 20, name, n);
	return put(HS_RECORD_SPAN_START | HS_RECORD_F_KNOWN, p, 20 + n) + 20;
}

static int visit(void *context, const struct hs_record *r)
{
	size_t n = strlen(text);
	char *to = text + n;
	const struct hs_record_attr *a = &r->u.attr;

	n = sizeof(text) - n;
	if (r->type == HS_RECORD_SPAN_START)
		snprintf(to, n, "[%.*s]", (int)r->u.start.name.len,
			 r->u.start.name.ptr);
	else if (r->type == HS_RECORD_ATTR)
		snprintf(to, n, "%s%.*s=%.*s ", a->hashed ? "#" : "",
			 (int)a->key.len, a->key.ptr, (int)a->value.bytes.len,
			 a->value.bytes.ptr);
	return 0;
}

static const char *read_text(void)
{
	static uint8_t scratch[4096];
	const struct hs_record_visitor visitor = {NULL, visit};
	const struct hs_record_buffer b = {data, size, 0};

	text[0] = '\0';
	memset(&read_stats, 0, sizeof(read_stats));
	hs_record_read(&b, 1, scratch, sizeof(scratch), &visitor, &read_stats);
	return text;
}

static bool redact(const char *pattern, enum hs_redact_action action,
		   struct hs_redact_stats *stats)
{
	struct hs_redact_rules rules = {.key = "0123456789abcde", .nr = 1};
	struct hs_redact_state state = {0};

	snprintf(rules.rules[0].pattern, sizeof(rules.rules[0].pattern), "%s",
		 pattern);
	rules.rules[0].action = action;
	memset(stats, 0, sizeof(*stats));
	return hs_redact_buffer(&rules, 1, &state, false, data, size, stats);
}

/* ---- the tests ---------------------------------------------------------- */

/* Return: the offset of the last byte of the first part. */
static size_t make(void)
{
	size_t half;
	uint32_t pw, nick, name;

	begin(HS_SHM_BUF_VERSION);
	name = put_start("\x08"
			 "read",
			 5);
	pw = put_attr("user.pw", SECRET);
	half = size;
	put_again(HS_RECORD_AGAIN, pw, NULL);
	put_again(HS_RECORD_AGAIN_KEY, pw, "other");
	nick = put_attr("nick", "n");
	put_again(HS_RECORD_AGAIN, nick, NULL);
	put_start((const uint8_t[]){1, (uint8_t)name, 0}, 3);
	return half;
}

static void test_read(void **state)
{
	make();
	assert_string_equal(read_text(),
			    "[read]user.pw=" SECRET " user.pw=" SECRET
			    " user.pw=other nick=n nick=n [read]");
	assert_int_equal(read_stats.garbage, 0);
	assert_int_equal(read_stats.records, 7);
}

/* What it names must lie before the record, whole, and be in full. */
static void test_bad_places(void **state)
{
	uint32_t at, end;

	for (uint32_t word = 0; word < HS_RECORD_AGAIN_REACH; word++) {
		begin(HS_SHM_BUF_VERSION);
		at = put_attr("k", "v");
		end = (uint32_t)size;
		put_again(HS_RECORD_AGAIN, word, NULL);
		read_text();
		/* Only there does an attribute begin. */
		if (word == at)
			assert_string_equal(text, "k=v k=v ");
		else
			assert_int_equal(
				read_stats.records + read_stats.garbage, 2);
		if (word < HEAD || word >= end)
			assert_int_equal(read_stats.garbage, 1);
	}
	/* Nothing is said again of what says again itself. */
	begin(HS_SHM_BUF_VERSION);
	at = put_attr("k", "v");
	end = (uint32_t)size + 3;
	put_again(HS_RECORD_AGAIN, at, NULL);
	put_again(HS_RECORD_AGAIN, end, NULL);
	put_again(HS_RECORD_AGAIN_KEY, end, "x");
	put_start((const uint8_t[]){1, (uint8_t)end, 0}, 3);
	assert_string_equal(read_text(), "k=v k=v ");
	assert_int_equal(read_stats.garbage, 3);
}

static void test_version_one(void **state)
{
	begin(1);
	data[size++] = HS_RECORD_FLAGS;
	memcpy(data + size, "\x02\0\0\0\x05", 5);
	size += 5;
	/* Bit 4 was a part of the type, and the length had three bytes. */
	data[size++] = HS_RECORD_FLAGS | HS_RECORD_F_SHORT;
	memcpy(data + size, "\x02\0\0\0\x05", 5);
	size += 5;
	read_text();
	assert_int_equal(read_stats.records, 1);
	assert_int_equal(read_stats.unknown, 1);
	assert_int_equal(read_stats.garbage, 0);
	begin(HS_SHM_BUF_VERSION + 1);
	read_text();
	assert_int_equal(read_stats.bad_buffers, 1);
}

static void test_redacted(void **state)
{
	struct hs_redact_stats stats;

	make();
	assert_false(redact("none", HS_REDACT_DROP, &stats));
	assert_non_null(
		strstr(read_text(), "user.pw=" SECRET " user.pw=other"));
	make();
	assert_false(redact("user.*", HS_REDACT_DROP, &stats));
	assert_int_equal(stats.dropped, 3);
	assert_string_equal(read_text(), "[read]nick=n nick=n [read]");
	assert_null(memmem(data, size, "other", 5));
	make();
	assert_false(redact("user.*", HS_REDACT_MASK, &stats));
	assert_int_equal(stats.masked, 3);
	assert_string_equal(read_text(), "[read]user.pw=*** user.pw=*** "
					 "user.pw=*** nick=n nick=n [read]");
	make();
	assert_false(redact("user.*", HS_REDACT_HASH, &stats));
	assert_int_equal(stats.hashed, 3);
	assert_null(strstr(read_text(), SECRET));
	assert_null(strstr(text, "***"));
	make();
	assert_false(redact("nick", HS_REDACT_DROP, &stats));
	assert_string_equal(read_text(),
			    "[read]user.pw=" SECRET " user.pw=" SECRET
			    " user.pw=other [read]");
	make();
	assert_false(redact("@span", HS_REDACT_MASK, &stats));
	assert_non_null(strstr(read_text(), "[****]"));
	assert_null(strstr(text, "read"));
	assert_int_equal(read_stats.garbage, 0);
}

/* The first part left before there was a rule: the second obeys it. */
static void test_rules_change_between(void **state)
{
	static const enum hs_redact_action actions[] = {
		HS_REDACT_DROP, HS_REDACT_MASK, HS_REDACT_HASH};
	struct hs_redact_stats stats;
	uint8_t first[sizeof(data)];
	size_t half;

	for (size_t i = 0; i < 3; i++) {
		half = make();
		memcpy(first, data, half);
		assert_false(redact("user.pw", actions[i], &stats));
		memcpy(data, first, half);
		read_text();
		/* Once, in what had left. */
		assert_non_null(strstr(text, SECRET));
		assert_null(strstr(strstr(text, SECRET) + 1, SECRET));
	}
	half = make();
	memcpy(first, data, half);
	assert_false(redact("@span", HS_REDACT_MASK, &stats));
	memcpy(data, first, half);
	assert_non_null(strstr(read_text(), "[***]"));
}

/* An attribute that a rule names, within what no rule looks into. */
static void test_hidden(void **state)
{
	struct hs_redact_stats stats;
	uint32_t at;

	begin(HS_SHM_BUF_VERSION);
	at = put(HS_RECORD_POINT,
		 "\x0euser.pw\x00\x03"
		 "sly",
		 13);
	put_again(HS_RECORD_AGAIN, at, NULL);
	assert_string_equal(read_text(), "user.pw=sly ");
	assert_true(redact("user.*", HS_REDACT_DROP, &stats));
	assert_int_equal(stats.withheld_records, 1);
	assert_string_equal(read_text(), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_bad_places),
		cmocka_unit_test(test_version_one),
		cmocka_unit_test(test_redacted),
		cmocka_unit_test(test_rules_change_between),
		cmocka_unit_test(test_hidden),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
