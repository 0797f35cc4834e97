/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream of every type of record, cut into buffers at every place: what the
 * rules name is not in the bytes any more, and all else reads as before.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/endian.h"
#include "hs/shm_format.h"
#include "model/record_read.h"
#include "model/record_known.h"
#include "model/redact.h"

#define NAME(name)  name,
#define SECRET	    "hunter2-secret-value"
#define BUFFERS_MAX 512u

/* ---- a stream ----------------------------------------------------------- */

struct stream {
	uint8_t bytes[8192];
	size_t size;
	size_t starts[64]; /* of records */
	size_t nr;
};

static void put(struct stream *s, const void *data, size_t n)
{
	memcpy(s->bytes + s->size, data, n);
	s->size += n;
}

static void put_u8(struct stream *s, uint8_t v)
{
	put(s, &v, 1);
}

static void put_varint(struct stream *s, uint64_t v)
{
	s->size += hs_record_varint_put(s->bytes + s->size, v);
}

static void put_text(struct stream *s, const char *text)
{
	put_varint(s, strlen(text));
	put(s, text, strlen(text));
}

static void begin(struct stream *s, uint8_t type)
{
	s->starts[s->nr++] = s->size;
	put(s, &(uint32_t){type}, 4);
}

static void end(struct stream *s)
{
	size_t at = s->starts[s->nr - 1];

	hs_le32_store(
		s->bytes + at,
		hs_record_header(s->bytes[at], (uint32_t)(s->size - at - 4)));
}

static void attr_text(struct stream *s, const char *key, const char *value)
{
	put_text(s, key);
	put_u8(s, HS_VALUE_STRING);
	put_text(s, value);
}

static void attr_int(struct stream *s, const char *key, int64_t value)
{
	put_text(s, key);
	put_u8(s, HS_VALUE_INT64);
	put_varint(s, hs_record_zigzag(value));
}

static void attr_double(struct stream *s, const char *key, double value)
{
	put_text(s, key);
	put_u8(s, HS_VALUE_FLOAT64);
	put(s, &value, 8);
}

static void put_span(struct stream *s)
{
	begin(s, HS_RECORD_SPAN_START);
	put_varint(s, 0);
	put(s, "12345678", 8);
	put(s, "\0\0\0\0\0\0\0\0", 8);
	put_varint(s, 1);
	put_u8(s, 2);
	put_varint(s, 10);
	put_text(s, "operation");
	end(s);
}

static uint16_t known_word(const char *name)
{
	static const char *const names[] = {HS_RECORD_KNOWN_KEYS(NAME)};

	for (uint32_t i = 0; i < HS_RECORD_KNOWN_NR; i++)
		if (!strcmp(names[i], name))
			return hs_record_known_word(i);
	fail();
	return 0;
}

static void put_attrs(struct stream *s)
{
	begin(s, HS_RECORD_ATTR);
	put_varint(s, 0);
	attr_text(s, "user.password", SECRET);
	end(s);
	begin(s, HS_RECORD_ATTR);
	put_varint(s, 0);
	attr_int(s, "user.card", 4111111111111111);
	end(s);
	begin(s, HS_RECORD_ATTR);
	put_varint(s, 0);
	attr_double(s, "user.balance", 12345.678);
	end(s);
	begin(s, HS_RECORD_ATTR);
	put_varint(s, 0);
	put_text(s, "user.adult");
	put_u8(s, HS_VALUE_BOOL);
	put_u8(s, 1);
	end(s);
	begin(s, HS_RECORD_ATTR);
	put_varint(s, 0);
	put_text(s, "user.notes");
	put_u8(s, HS_VALUE_STRING | HS_RECORD_ATTR_CUT);
	put_varint(s, 100000);
	put_text(s, SECRET " and more");
	end(s);
	/* A key by its number, and one as a text beside such. */
	begin(s, HS_RECORD_ATTR | HS_RECORD_F_KNOWN);
	put_varint(s, 0);
	put(s, &(uint16_t){known_word("user.id")}, 2);
	put_u8(s, HS_VALUE_STRING);
	put_text(s, SECRET);
	end(s);
	begin(s, HS_RECORD_ATTR | HS_RECORD_F_KNOWN);
	put_varint(s, 0);
	put_varint(s, 2 * strlen("user.nick"));
	put(s, "user.nick", strlen("user.nick"));
	put_u8(s, HS_VALUE_STRING);
	put_text(s, SECRET);
	end(s);
}

static void put_lists(struct stream *s)
{
	begin(s, HS_RECORD_EVENT);
	put_varint(s, 0);
	put_varint(s, 20);
	put_u8(s, HS_RECORD_HAS_NAME);
	put_text(s, "exception");
	put_varint(s, 3);
	attr_text(s, "plain", "kept");
	attr_text(s, "user.mail", SECRET);
	attr_int(s, "code", 500);
	end(s);
	begin(s, HS_RECORD_LINK);
	put_varint(s, 0);
	put_u8(s, 2);
	put(s, "1234567812345678abcdefgh", 24);
	put_text(s, "k=v");
	put_varint(s, 0);
	end(s);
}

static void make(struct stream *s)
{
	memset(s, 0, sizeof(*s));
	begin(s, HS_RECORD_RESOURCE);
	put_varint(s, 1);
	put_u8(s, 1);
	put_text(s, "service");
	put_varint(s, 2);
	attr_text(s, "host", "h1");
	attr_text(s, "user.token", SECRET);
	end(s);
	put_span(s);
	put_attrs(s);
	put_lists(s);
	begin(s, HS_RECORD_STATUS);
	put_varint(s, 0);
	put_u8(s, 2);
	put_text(s, "no such user: " SECRET);
	end(s);
	begin(s, HS_RECORD_TEXT);
	put_varint(s, 0);
	put_u8(s, 0);
	put_text(s, "a warning");
	end(s);
	begin(s, HS_RECORD_FLAGS);
	put_varint(s, 0);
	put_varint(s, 1);
	end(s);
	begin(s, HS_RECORD_TRACEPOINT);
	put_varint(s, 30);
	put(s, "raw bytes", 9);
	end(s);
	begin(s, HS_RECORD_POINT);
	put(s, "more", 4);
	end(s);
	begin(s, HS_RECORD_SPAN_END);
	put_varint(s, 0);
	put_varint(s, 40);
	end(s);
}

/* ---- buffers ------------------------------------------------------------ */

struct buffers {
	uint8_t data[BUFFERS_MAX][256];
	struct hs_record_buffer at[BUFFERS_MAX];
	size_t nr;
};

static void cut(struct buffers *b, const struct stream *s, size_t first_bytes,
		size_t bytes)
{
	size_t from = 0, next = 0;

	for (b->nr = 0; from < s->size; b->nr++) {
		size_t n = b->nr ? bytes : first_bytes;
		struct hs_shm_buffer h = {
			.magic = HS_SHM_BUF_MAGIC,
			.version = HS_SHM_BUF_VERSION,
			.header_bytes = sizeof(h),
			.seq = (uint32_t)b->nr,
		};

		if (n > s->size - from)
			n = s->size - from;
		while (next < s->nr && s->starts[next] < from)
			next++;
		if (next < s->nr && s->starts[next] < from + n)
			h.first_record =
				(uint32_t)(sizeof(h) + s->starts[next] - from);
		assert_true(b->nr < BUFFERS_MAX);
		memcpy(b->data[b->nr], &h, sizeof(h));
		memcpy(b->data[b->nr] + sizeof(h), s->bytes + from, n);
		b->at[b->nr] = (struct hs_record_buffer){
			b->data[b->nr], sizeof(h) + n, (uint32_t)b->nr};
		from += n;
	}
}

/* Everything that a reader sees, as text. */
struct reading {
	char text[16384];
	size_t size;
};

static void say(struct reading *r, const char *what, const void *data, size_t n)
{
	r->size +=
		(size_t)snprintf(r->text + r->size, sizeof(r->text) - r->size,
				 "%s=%.*s ", what, (int)n, (const char *)data);
}

static void say_attr(struct reading *r, const struct hs_record_attr *a)
{
	char text[64];

	say(r, a->hashed ? "hashed" : "key", a->key.ptr, a->key.len);
	if (a->type == HS_VALUE_STRING) {
		say(r, "value", a->value.bytes.ptr, a->value.bytes.len);
		return;
	}
	snprintf(text, sizeof(text), "%lld", (long long)a->value.i64);
	say(r, "value", text, strlen(text));
}

static void say_attrs(struct reading *r, struct hs_record_attrs attrs)
{
	struct hs_record_attr a;

	while (hs_record_attr_next(&attrs, &a))
		say_attr(r, &a);
}

static int visit(void *context, const struct hs_record *r)
{
	struct reading *to = context;
	char type = (char)('A' + r->type);

	say(to, "record", &type, 1);
	switch (r->type) {
	case HS_RECORD_RESOURCE:
		say(to, "service", r->u.resource.service.ptr,
		    r->u.resource.service.len);
		say_attrs(to, r->u.resource.attrs);
		break;
	case HS_RECORD_SPAN_START:
		say(to, "name", r->u.start.name.ptr, r->u.start.name.len);
		break;
	case HS_RECORD_ATTR:
		say_attr(to, &r->u.attr);
		break;
	case HS_RECORD_EVENT:
		say(to, "name", r->u.event.name.ptr, r->u.event.name.len);
		say_attrs(to, r->u.event.attrs);
		break;
	case HS_RECORD_STATUS:
		say(to, "message", r->u.status.message.ptr,
		    r->u.status.message.len);
		break;
	case HS_RECORD_TEXT:
		say(to, "text", r->u.text.text.ptr, r->u.text.text.len);
		break;
	case HS_RECORD_TRACEPOINT:
		say(to, "data", r->u.tracepoint.data,
		    r->u.tracepoint.size_bytes);
		break;
	default:
		break;
	}
	return 0;
}

static uint64_t read_all(const struct buffers *b, struct reading *r)
{
	static uint8_t scratch[HS_RECORD_SCRATCH_BYTES];
	const struct hs_record_visitor visitor = {r, visit};
	struct hs_record_stats stats = {0};

	memset(r, 0, sizeof(*r));
	hs_record_read(b->at, b->nr, scratch, sizeof(scratch), &visitor,
		       &stats);
	return stats.garbage + stats.cut + stats.skipped_bytes;
}

static struct hs_redact_rules rules_of(const char *pattern,
				       enum hs_redact_action action)
{
	struct hs_redact_rules rules = {.key = "0123456789abcde", .nr = 1};

	snprintf(rules.rules[0].pattern, sizeof(rules.rules[0].pattern), "%s",
		 pattern);
	rules.rules[0].action = action;
	return rules;
}

static bool redact(const struct hs_redact_rules *rules, struct buffers *b,
		   struct hs_redact_stats *stats)
{
	struct hs_redact_state state = {0};
	bool withheld = false;

	memset(stats, 0, sizeof(*stats));
	for (size_t i = 0; i < b->nr; i++)
		withheld |= hs_redact_buffer(rules, UINT64_MAX, &state, true,
					     b->data[i], b->at[i].size_bytes,
					     stats);
	assert_int_equal(stats->buffers, b->nr);
	return withheld;
}

/* No six bytes of it in a row, also over the seams. */
static bool leaks(const struct buffers *b, const char *secret)
{
	static uint8_t all[BUFFERS_MAX * 256];
	size_t n = 0;

	for (size_t i = 0; i < b->nr; i++) {
		size_t bytes = b->at[i].size_bytes - 64;

		memcpy(all + n, b->data[i] + 64, bytes);
		n += bytes;
	}
	for (size_t i = 0; secret[i + 5]; i++)
		if (memmem(all, n, secret + i, 6))
			return true;
	return false;
}

/* ---- the tests ---------------------------------------------------------- */

static struct stream stream;
static struct buffers buffers;
static struct reading before, after;

#define EACH_CUT(body)                                                         \
	make(&stream);                                                         \
	for (size_t bytes = 1; bytes <= 190; bytes++)                          \
		for (size_t first = 1; first <= (bytes < 24 ? bytes : 8);      \
		     first++) {                                                \
			if (bytes * BUFFERS_MAX < stream.size + bytes)         \
				continue;                                      \
			cut(&buffers, &stream, first, bytes);                  \
			assert_int_equal(read_all(&buffers, &before), 0);      \
			body;                                                  \
		}

static void test_nothing_to_do(void **state)
{
	const struct hs_redact_rules rules = rules_of("nobody", HS_REDACT_DROP);
	struct hs_redact_stats stats;

	EACH_CUT({
		static struct buffers same;

		same = buffers;
		assert_false(redact(&rules, &buffers, &stats));
		assert_memory_equal(buffers.data, same.data, sizeof(same.data));
		assert_int_equal(stats.withheld_bytes, 0);
		assert_int_equal(stats.withheld_records, 0);
	})
}

static void test_masked(void **state)
{
	struct hs_redact_rules rules = rules_of("user.*", HS_REDACT_MASK);
	struct hs_redact_stats stats;

	rules.nr = 2;
	strcpy(rules.rules[1].pattern, "@status");
	rules.rules[1].action = HS_REDACT_MASK;
	EACH_CUT({
		assert_true(leaks(&buffers, SECRET));
		assert_false(redact(&rules, &buffers, &stats));
		assert_false(leaks(&buffers, SECRET));
		assert_int_equal(stats.masked, 10);
		assert_int_equal(read_all(&buffers, &after), 0);
		assert_non_null(
			strstr(after.text, "key=user.card value=*** record"));
		assert_non_null(
			strstr(after.text, "key=user.adult value=*** record"));
		assert_non_null(strstr(after.text, "key=code value=500"));
		assert_non_null(strstr(after.text, "message=*********"));
		assert_null(strstr(after.text, "hunter2"));
	})
}

static void test_dropped(void **state)
{
	const struct hs_redact_rules rules = rules_of("user.*", HS_REDACT_DROP);
	struct hs_redact_stats stats;

	EACH_CUT({
		assert_false(redact(&rules, &buffers, &stats));
		assert_int_equal(stats.dropped, 9);
		assert_int_equal(read_all(&buffers, &after), 0);
		assert_null(strstr(after.text, "user."));
		assert_non_null(strstr(after.text,
				       "key=plain value=kept key=code "
				       "value=500"));
		assert_non_null(strstr(after.text, "key=host value=h1 record"));
	})
}

static const char *value_of(const struct reading *r, const char *key)
{
	static char value[64];
	const char *at = strstr(r->text, key);

	assert_non_null(at);
	assert_int_equal(sscanf(at + strlen(key), " value=%63[^ ]", value), 1);
	return value;
}

static void test_hashed(void **state)
{
	const struct hs_redact_rules rules = rules_of("user.*", HS_REDACT_HASH);
	struct hs_redact_rules other = rules;
	struct hs_redact_stats stats;
	char password[64], card[64];

	make(&stream);
	cut(&buffers, &stream, 190, 190);
	redact(&rules, &buffers, &stats);
	read_all(&buffers, &after);
	/* One value runs on, and a bool has no hash. */
	assert_int_equal(stats.hashed + stats.masked, 9);
	assert_true(stats.hashed >= 5);
	strcpy(password, value_of(&after, "hashed=user.password"));
	assert_int_equal(strlen(password), strlen(SECRET));
	assert_string_equal(password, value_of(&after, "hashed=user.token"));
	strcpy(card, value_of(&after, "hashed=user.card"));
	assert_string_not_equal(card, "4111111111111111");
	assert_string_equal(value_of(&after, "key=user.adult"), "***");
	other.key[3] ^= 1;
	cut(&buffers, &stream, 190, 190);
	redact(&other, &buffers, &stats);
	read_all(&buffers, &after);
	assert_string_not_equal(password,
				value_of(&after, "hashed=user.password"));
	assert_string_not_equal(card, value_of(&after, "hashed=user.card"));
	EACH_CUT({
		assert_false(redact(&rules, &buffers, &stats));

		assert_int_equal(stats.hashed + stats.masked, 9);
		assert_int_equal(read_all(&buffers, &after), 0);
		assert_null(strstr(after.text, "411111"));
	})
}

/* The first rule that fits decides. */
static void test_exceptions(void **state)
{
	struct hs_redact_rules rules = rules_of("user.card", HS_REDACT_KEEP);
	struct hs_redact_stats stats;

	rules.nr = 2;
	strcpy(rules.rules[1].pattern, "*");
	rules.rules[1].action = HS_REDACT_MASK;
	make(&stream);
	cut(&buffers, &stream, 100, 100);
	redact(&rules, &buffers, &stats);
	read_all(&buffers, &after);
	assert_string_equal(value_of(&after, "key=user.card"),
			    "4111111111111111");
	assert_string_equal(value_of(&after, "key=plain"), "***");
	/* A '*' means texts, too. */
	assert_null(strstr(after.text, "raw bytes"));
	assert_null(strstr(after.text, "operation"));
}

static void test_rules_of_others(void **state)
{
	const struct hs_redact_rules rules = rules_of("*", HS_REDACT_DROP);

	assert_int_equal(hs_redact_find(&rules, 1, "a", 1), HS_REDACT_DROP);
	assert_int_equal(hs_redact_find(&rules, 2, "a", 1), HS_REDACT_KEEP);
}

/* A buffer whose predecessor nobody remembers: the end of its record goes. */
static void test_unknown_tail(void **state)
{
	const struct hs_redact_rules rules = rules_of("user.*", HS_REDACT_MASK);

	EACH_CUT({
		for (size_t i = 1; i < buffers.nr; i++) {
			struct hs_redact_state s = {0};
			struct hs_redact_stats stats = {0};
			struct hs_shm_buffer h;
			size_t tail;

			memcpy(&h, buffers.data[i], sizeof(h));
			tail = (h.first_record ? h.first_record
					       : buffers.at[i].size_bytes) -
			       sizeof(h);
			assert_int_equal(
				hs_redact_buffer(
					&rules, 1, &s, false, buffers.data[i],
					buffers.at[i].size_bytes, &stats),
				tail > 0);
			assert_int_equal(stats.withheld_bytes, tail);
			for (size_t k = 0; k < tail; k++)
				assert_int_equal(buffers.data[i][64 + k], 0xff);
		}
	})
}

static uint16_t version = HS_SHM_BUF_VERSION;

static bool one_record(const uint8_t *record, size_t n, size_t kept)
{
	const struct hs_redact_rules rules = rules_of("k", HS_REDACT_MASK);
	struct hs_redact_state s = {0};
	struct hs_redact_stats stats = {0};
	struct hs_shm_buffer h = {
		.magic = HS_SHM_BUF_MAGIC,
		.version = version,
		.header_bytes = sizeof(h),
		.first_record = sizeof(h),
	};
	uint8_t data[256];
	bool withheld;

	memcpy(data, &h, sizeof(h));
	memcpy(data + sizeof(h), record, n);
	withheld = hs_redact_buffer(&rules, 1, &s, false, data, sizeof(h) + n,
				    &stats);
	assert_int_equal(stats.withheld_records, withheld);
	for (size_t i = 0; i < n; i++)
		if (i < kept)
			assert_int_equal(data[64 + i], record[i]);
		else
			assert_int_equal(data[64 + i], 0xff);
	return withheld;
}

#define RECORD(kept, ...)                                                      \
	one_record((const uint8_t[]){__VA_ARGS__},                             \
		   sizeof((const uint8_t[]){__VA_ARGS__}), kept)

static void what_does_not_read(void)
{
	assert_false(RECORD(8, 4, 4, 0, 0, 0, 0, 3, 9)); /* key "", bool */
	/* A type from the future: who knows what is in it? */
	assert_true(RECORD(4, 15, 4, 0, 0, 'a', 'b', 'c', 'd'));
	/* A key by a number that nobody knows, and by a good one. */
	assert_true(RECORD(7, 36, 5, 0, 0, 0, 0xff, 0x7f, 3, 1));
	assert_false(RECORD(9, 36, 5, 0, 0, 0, 0x83, 0x01, 3, 1));
	/* A type that is none, a length that cannot be: nothing is known. */
	assert_true(RECORD(4, 0, 2, 0, 0, 'a', 'b'));
	assert_true(RECORD(0, 4, 0, 0, 0xff, 'a', 'b'));
	/* A key that is longer than its record. */
	assert_true(RECORD(6, 4, 4, 0, 0, 0, 9, 'a', 'b'));
	/* A value of no type. */
	assert_true(RECORD(8, 4, 5, 0, 0, 0, 1, 'x', 9, 'a'));
	/* Something behind the value; a number that does not end. */
	assert_true(RECORD(9, 4, 7, 0, 0, 0, 1, 'x', 3, 1, 'a', 'b'));
}

static void test_what_does_not_read(void **state)
{
	what_does_not_read();
	/* A short header: a type of the future, a record that ends too soon. */
	assert_true(RECORD(2, 31, 2, 'a', 'b'));
	assert_false(RECORD(6, 20, 4, 0, 0, 3, 9));
	assert_true(RECORD(4, 20, 4, 0, 9, 'a', 'b'));
	/* Said again, but of nothing that stands before it. */
	assert_true(RECORD(4, 52, 4, 0, 1, 64, 0));
	assert_true(RECORD(4, 52, 4, 0, 1, 0, 0));
	assert_true(RECORD(4, 52, 6, 0, 3, 64, 0, 3, 1));
	version = HS_SHM_BUF_VERSION_MIN;
	what_does_not_read();
	/* There, bit 4 was part of the type and nothing said again. */
	assert_true(RECORD(4, 29, 4, 0, 0, 'a', 'b', 'c', 'd'));
	assert_true(RECORD(6, 36, 4, 0, 0, 0, 1, 64, 0));
	version = HS_SHM_BUF_VERSION;
}

static void test_no_buffer(void **state)
{
	const struct hs_redact_rules rules = rules_of("k", HS_REDACT_MASK);
	struct hs_redact_state s = {0};
	struct hs_redact_stats stats = {0};
	uint8_t data[100];

	memset(data, 'x', sizeof(data));
	assert_true(hs_redact_buffer(&rules, 1, &s, true, data, sizeof(data),
				     &stats));
	for (size_t i = 0; i < sizeof(data); i++)
		assert_int_equal(data[i], 0xff);
	assert_int_equal(stats.withheld_bytes, sizeof(data));
}

/* No rule can be sure of a key that is longer than what is compared. */
static void test_endless_key(void **state)
{
	const struct hs_redact_rules rules = rules_of("zzz", HS_REDACT_MASK);
	struct hs_redact_stats stats;
	char key[400];

	memset(key, 'k', sizeof(key) - 1);
	key[sizeof(key) - 1] = '\0';
	memset(&stream, 0, sizeof(stream));
	begin(&stream, HS_RECORD_ATTR);
	put_varint(&stream, 0);
	attr_text(&stream, key, SECRET);
	end(&stream);
	cut(&buffers, &stream, 100, 100);
	redact(&rules, &buffers, &stats);
	assert_int_equal(stats.dropped, 1);
	assert_false(leaks(&buffers, SECRET));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_to_do),
		cmocka_unit_test(test_masked),
		cmocka_unit_test(test_dropped),
		cmocka_unit_test(test_hashed),
		cmocka_unit_test(test_exceptions),
		cmocka_unit_test(test_rules_of_others),
		cmocka_unit_test(test_unknown_tail),
		cmocka_unit_test(test_what_does_not_read),
		cmocka_unit_test(test_no_buffer),
		cmocka_unit_test(test_endless_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
