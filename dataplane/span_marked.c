/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the attributes of spans whose keys are literals of the application
 * (key.h): what a key is need not be asked of its bytes.
 *
 * Each writes the shortest kind of record (span_quick.h), or a short one that
 * surely fits, and leaves all else to the call that takes any key
 * (span_attr.c). Whatever is called is called last, so that nothing is kept
 * over it.
 */
#include <string.h>

#include "dataplane/again.h"
#include "dataplane/key.h"
#include "dataplane/rules.h"
#include "dataplane/span_attr.h"
#include "dataplane/span_quick.h"

/* Return: behind the key and the type. */
static inline __attribute__((always_inline)) uint8_t *
put_key(struct hs_span_attr_put *put, const struct hs_key *k, uint8_t type)
{
	struct hs_again *again;
	uint8_t *p;

	if (k->word) {
		hs_le32_store(put->attr, k->word | (uint32_t)type << 16);
		return put->attr + HS_RECORD_KNOWN_BYTES + 1;
	}
	p = hs_again_literal_put(put->trace, k, hs_span_attr_at(put), put->attr,
				 &again);
	*p = type;
	return p + 1;
}

static inline __attribute__((always_inline)) void
put_end(struct hs_span_attr_put *put, struct hs_span *span,
	const struct hs_key *k, const uint8_t *end, uint32_t type,
	uint64_t bits, const void *data)
{
	/* rules.C9 relaxed: a hint; the table is looked at again. */
	uint64_t keys = __atomic_load_n(&hs_rules.keys, __ATOMIC_RELAXED);
	uint32_t bit = k->rules_bit;

	hs_put_end_short(put->trace, HS_SPAN_ATTR_TYPE, put->record, end);
	if (__builtin_expect(keys >> bit & 1, 0))
		hs_rules_attr_literal(span, bits, k, type, data);
}

/* ---- numbers: any key, any value ----------------------------------------- */

static __attribute__((noinline)) void
i64_wide(struct hs_span *span, uint64_t value, const struct hs_key *k)
{
	struct hs_span_attr_put put;

	if (!hs_span_attr_put(&put, span, HS_RECORD_VARINT_MAX_BYTES))
		hs_sized_attr_i64(span, k->text, k->bytes, (int64_t)value);
	else
		put_end(&put, span, k,
			hs_put_varint(put_key(&put, k, HS_VALUE_INT64),
				      hs_record_zigzag((int64_t)value)),
			HS_VALUE_INT64, value, NULL);
}

static __attribute__((noinline)) void
f64_wide(struct hs_span *span, uint64_t bits, const struct hs_key *k)
{
	struct hs_span_attr_put put;
	uint8_t *p;

	if (!hs_span_attr_put(&put, span, sizeof(bits))) {
		double value;

		memcpy(&value, &bits, sizeof(value));
		hs_sized_attr_f64(span, k->text, k->bytes, value);
		return;
	}
	p = put_key(&put, k, HS_VALUE_FLOAT64);
	hs_le64_store(p, bits);
	put_end(&put, span, k, p + sizeof(bits), HS_VALUE_FLOAT64, bits, NULL);
}

static __attribute__((noinline)) void
flag_wide(struct hs_span *span, uint64_t value, const struct hs_key *k)
{
	struct hs_span_attr_put put;
	uint8_t *p;

	if (!hs_span_attr_put(&put, span, 1)) {
		hs_sized_attr_bool(span, k->text, k->bytes, value);
		return;
	}
	p = put_key(&put, k, HS_VALUE_BOOL);
	*p = (uint8_t)value;
	put_end(&put, span, k, p + 1, HS_VALUE_BOOL, value, NULL);
}

/* What stands before the value. */
#define QUICK_KNOWN (HS_SPAN_QUICK_HEAD + HS_RECORD_KNOWN_BYTES + 1u)
#define QUICK_OWN   (HS_SPAN_QUICK_HEAD + HS_AGAIN_BYTES + 1u)
HS_SPAN_QUICK_FITS(QUICK_OWN + sizeof(double));
HS_SPAN_QUICK_FITS(QUICK_KNOWN + 1 + HS_SPAN_TEXT_BYTES);

/*
 * A record up to its value, of a key that has a number or, being our own,
 * stands in this buffer already. Return: of the place that says so.
 */
static inline __attribute__((always_inline)) bool
quick_own(struct hs_span_quick *q, const struct hs_key *k, uint32_t *at)
{
	const struct hs_again *a = hs_again_place(q->trace, k);

	if (__builtin_expect(a->whose != hs_again_whose(q->trace, k->number),
			     0)) {
		hs_span_quick_drop(q);
		return false;
	}
	*at = a->at;
	return true;
}

static inline __attribute__((always_inline)) bool
quick(const struct hs_span *span, struct hs_span_quick *q,
      const struct hs_key *k, uint32_t how, uint32_t *at)
{
	*at = 0;
	HS_ASSUME(span);
	return hs_span_quick(span, q) &&
	       (!(how & HS_KEY_OWN) || quick_own(q, k, at));
}

/* @bytes: of the value, of which the first may be @first. */
static inline __attribute__((always_inline)) uint8_t *
quick_head(const struct hs_span_quick *q, const struct hs_key *k, uint32_t how,
	   uint32_t at, uint32_t type, uint32_t bytes, uint32_t first)
{
	if (how & HS_KEY_OWN) {
		hs_span_quick_head(q, HS_SPAN_ATTR_TYPE, QUICK_OWN + bytes,
				   HS_RECORD_AGAIN_KEY);
		hs_le32_store(q->record + HS_SPAN_QUICK_HEAD + 1,
			      at | type << 16 | first << 24);
		return q->record + QUICK_OWN;
	}
	hs_span_quick_head(q, HS_SPAN_ATTR_TYPE, QUICK_KNOWN + bytes, 0);
	hs_le32_store(q->record + HS_SPAN_QUICK_HEAD,
		      k->word | type << 16 | first << 24);
	return q->record + QUICK_KNOWN;
}

/*
 * What was written, held against the rules that ask of it: where its key bit is
 * one test's, and its number can be compared.
 */
static inline __attribute__((always_inline)) void
quick_ask(struct hs_span *span, uint64_t bits, const struct hs_key *k,
	  uint32_t type)
{
	const struct hs_rules_table *t = hs_rules_now();
	const struct hs_rules_one *one;
	uint64_t generation, tests, holds;

	if (__builtin_expect(!t, 0))
		goto any;
	/* rules.R7 acquire, pairs rules.W6: as rules.R6. */
	generation = __atomic_load_n(&t->generation, __ATOMIC_ACQUIRE);
	one = (const struct hs_rules_one *)((const uint8_t *)t + k->rules_at);
	/* Kept, rather than made again for each word of it. */
	__asm__("" : "+r"(one));
	if (type == HS_VALUE_INT64) {
		if (__builtin_expect(one->mark_i64 != k->mark, 0))
			goto any;
		holds = bits - one->low <= one->width ? one->holds : 0;
	} else {
		if (__builtin_expect(one->mark != k->mark, 0))
			goto any;
		holds = one->bools[bits & 1];
	}
	/* One that is not judged any more may say what it likes. */
	tests = span->tests;
	if (__builtin_expect(span->tests_of != generation, 0)) {
		span->tests_of = generation;
		tests = 0;
	}
	/* Written again, it is what it was written last. */
	span->tests = (tests & one->keep) | holds;
	return;
any:
	hs_rules_attr_literal(span, bits, k, type, NULL);
}

static inline __attribute__((always_inline)) void
quick_end(struct hs_span *span, struct hs_span_quick *q, const struct hs_key *k,
	  uint32_t how, uint32_t type, uint32_t bytes, uint64_t bits)
{
	hs_span_quick_end(q,
			  (how & HS_KEY_OWN ? QUICK_OWN : QUICK_KNOWN) + bytes);
	if (!(how & HS_KEY_ASKED))
		return;
	if (type == HS_VALUE_INT64 || type == HS_VALUE_BOOL)
		quick_ask(span, bits, k, type);
	else
		hs_rules_attr_literal(span, bits, k, type, NULL);
}

/* Integers of one or two digits that are not below zero. */
#define I64_QUICK 0x2000u
static inline __attribute__((always_inline)) void
i64_quick(struct hs_span *span, const struct hs_key *k, uint32_t how,
	  uint64_t value)
{
	uint32_t at, digits = (uint32_t)value << 1;
	struct hs_span_quick q;

	if (__builtin_expect(value >= I64_QUICK, 0) ||
	    !quick(span, &q, k, how, &at)) {
		i64_wide(span, value, k);
		return;
	}
	if (digits < 0x80) {
		quick_head(&q, k, how, at, HS_VALUE_INT64, 1, digits);
		quick_end(span, &q, k, how, HS_VALUE_INT64, 1, value);
		return;
	}
	/* The upper digit moves up by the bit that the lower one's end takes.
	 */
	hs_le16_store(quick_head(&q, k, how, at, HS_VALUE_INT64, 2, 0),
		      (uint16_t)((digits + (digits & 0x3f80)) | 0x80));
	quick_end(span, &q, k, how, HS_VALUE_INT64, 2, value);
}

static inline __attribute__((always_inline)) void
f64_quick(struct hs_span *span, const struct hs_key *k, uint32_t how,
	  uint64_t bits)
{
	struct hs_span_quick q;
	uint32_t at;

	if (!quick(span, &q, k, how, &at)) {
		f64_wide(span, bits, k);
		return;
	}
	hs_le64_store(quick_head(&q, k, how, at, HS_VALUE_FLOAT64, 8, 0), bits);
	quick_end(span, &q, k, how, HS_VALUE_FLOAT64, 8, bits);
}

static inline __attribute__((always_inline)) void
flag_quick(struct hs_span *span, const struct hs_key *k, uint32_t how,
	   uint64_t value)
{
	struct hs_span_quick q;
	uint32_t at;

	if (!quick(span, &q, k, how, &at)) {
		flag_wide(span, value, k);
		return;
	}
	quick_head(&q, k, how, at, HS_VALUE_BOOL, 1, (uint32_t)value);
	quick_end(span, &q, k, how, HS_VALUE_BOOL, 1, value);
}

/* One each for what a key is, so that each asks no more. */
#define PUT_HOW(name, suffix, how)                                             \
	static __attribute__((noinline)) void name##_##suffix(                 \
		struct hs_span *span, uint64_t bits, const struct hs_key *k)   \
	{                                                                      \
		name##_quick(span, k, how, bits);                              \
	}
#define PUT(name)                                                              \
	PUT_HOW(name, own, HS_KEY_OWN)                                         \
	PUT_HOW(name, asked, HS_KEY_ASKED)                                     \
	PUT_HOW(name, own_asked, HS_KEY_OWN | HS_KEY_ASKED)                    \
	static inline __attribute__((always_inline)) void name##_put(          \
		struct hs_span *span, uint64_t bits, const struct hs_key *k)   \
	{                                                                      \
		uint32_t how = hs_key_how(k);                                  \
                                                                               \
		if (!how)                                                      \
			name##_quick(span, k, 0, bits);                        \
		else if (how == HS_KEY_OWN)                                    \
			name##_own(span, bits, k);                             \
		else if (how == HS_KEY_ASKED)                                  \
			name##_asked(span, bits, k);                           \
		else if (how == (HS_KEY_OWN | HS_KEY_ASKED))                   \
			name##_own_asked(span, bits, k);                       \
		else                                                           \
			name##_wide(span, bits, k);                            \
	}
PUT(i64)
PUT(f64)
PUT(flag)

/* A key that takes more than a look. */
#define SEEK(name, sized, type)                                                \
	static __attribute__((noinline, cold)) void name##_seek(               \
		struct hs_span *span, type value, uint64_t bits,               \
		uint64_t mark, const char *key)                                \
	{                                                                      \
		size_t n = strlen(key);                                        \
		const struct hs_key *k = hs_key_seek(key, n, mark);            \
                                                                               \
		if (k)                                                         \
			name##_wide(span, bits, k);                            \
		else                                                           \
			sized(span, key, n, value);                            \
	}
SEEK(i64, hs_sized_attr_i64, int64_t)
SEEK(f64, hs_sized_attr_f64, double)
SEEK(flag, hs_sized_attr_bool, bool)

void hs_marked_attr_i64(struct hs_span *span, int64_t value, uint64_t mark,
			const char *key)
{
	const struct hs_key *k = hs_key_glance(mark);

	if (__builtin_expect(!k, 0))
		i64_seek(span, value, (uint64_t)value, mark, key);
	else
		i64_put(span, (uint64_t)value, k);
}

void hs_marked_attr_f64(struct hs_span *span, double value, uint64_t mark,
			const char *key)
{
	const struct hs_key *k = hs_key_glance(mark);
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	if (__builtin_expect(!k, 0))
		f64_seek(span, value, bits, mark, key);
	else
		f64_put(span, bits, k);
}

void hs_marked_attr_bool(struct hs_span *span, bool value, uint64_t mark,
			 const char *key)
{
	const struct hs_key *k = hs_key_glance(mark);

	if (__builtin_expect(!k, 0))
		flag_seek(span, value, value, mark, key);
	else
		flag_put(span, value, k);
}

/* ---- texts --------------------------------------------------------------- */

static __attribute__((noinline)) void str_wide(struct hs_span *span,
					       const char *value, size_t n,
					       const struct hs_key *k)
{
	struct hs_span_attr_put put;
	struct hs_again *again;
	uint8_t *p, *end;

	if (n > HS_SPAN_TEXT_BYTES ||
	    !hs_span_attr_put(&put, span, 1 + HS_SPAN_TEXT_BYTES)) {
		hs_sized_attr_str(span, k->text, k->bytes, value, n);
		return;
	}
	HS_ASSUME(n <= HS_SPAN_TEXT_BYTES);
	if (k->word) {
		end = hs_again_literal_text_put(put.trace, k,
						hs_span_attr_at(&put), put.attr,
						value, n);
	} else {
		/* Its value is looked for behind it. */
		p = hs_again_literal_put(put.trace, k, hs_span_attr_at(&put),
					 put.attr, &again);
		p[0] = HS_VALUE_STRING;
		p[1] = (uint8_t)n;
		end = hs_put_bytes(p + 2, value, n);
		end = hs_again_value(put.trace, again, hs_span_attr_at(&put),
				     put.attr, p, end);
	}
	put_end(&put, span, k, end, HS_VALUE_STRING, n, value);
}

/* Of up to 16 bytes, without a loop. */
static inline __attribute__((always_inline)) bool
same_text(const char *a, const char *b, size_t n)
{
	if (n >= 8)
		return n > 16 ? hs_same_bytes(a, b, n)
			      : hs_same_8(a, b) &&
					hs_same_8(a + n - 8, b + n - 8);
	if (n >= 4)
		return hs_same_4(a, b) && hs_same_4(a + n - 4, b + n - 4);
	if (n >= 2)
		return hs_same_2(a, b) && hs_same_2(a + n - 2, b + n - 2);
	return !n || a[0] == b[0];
}

/* A text that was not the last of its key: written in full. */
static __attribute__((noinline)) void str_full(struct hs_span *span,
					       const char *value, size_t n,
					       const struct hs_key *k)
{
	struct hs_span_quick q;
	struct hs_again *a;
	uint32_t at, bytes = QUICK_KNOWN + 1 + (uint32_t)n;

	if (n > HS_SPAN_TEXT_BYTES || !hs_span_quick(span, &q)) {
		str_wide(span, value, n, k);
		return;
	}
	HS_ASSUME(n <= HS_SPAN_TEXT_BYTES);
	at = q.pos + HS_SPAN_QUICK_HEAD;
	a = hs_again_place(q.trace, k);
	if (at < HS_RECORD_AGAIN_REACH)
		*a = (struct hs_again){
			.at = (uint16_t)at,
			.key_bytes = HS_RECORD_KNOWN_BYTES,
			.value_bytes = (uint8_t)(n + 2),
			.whose = hs_again_whose(q.trace, k->number)};
	hs_span_quick_head(&q, HS_SPAN_ATTR_TYPE, bytes, 0);
	hs_le32_store(q.record + HS_SPAN_QUICK_HEAD,
		      k->word | HS_VALUE_STRING << 16 | (uint32_t)n << 24);
	hs_copy_short(q.record + QUICK_KNOWN + 1, value, n);
	hs_span_quick_end(&q, bytes);
}

/* As hs_again_literal_text_put(). */
static inline __attribute__((always_inline)) void
str_put(struct hs_span *span, const char *value, size_t n,
	const struct hs_key *k)
{
	const uint32_t bytes = HS_SPAN_QUICK_HEAD + HS_AGAIN_BYTES;
	const struct hs_again *a;
	struct hs_span_quick q;

	HS_ASSUME(span);
	if (__builtin_expect(hs_key_how(k) != 0, 0) ||
	    !hs_span_quick(span, &q)) {
		str_wide(span, value, n, k);
		return;
	}
	a = hs_again_place(q.trace, k);
	/* No longer than a short text then. */
	if (a->whose == hs_again_whose(q.trace, k->number) &&
	    a->value_bytes == n + 2 &&
	    same_text((const char *)q.base + a->at + sizeof(uint32_t), value,
		      n)) {
		hs_span_quick_head(&q, HS_SPAN_ATTR_TYPE, bytes,
				   HS_RECORD_AGAIN);
		hs_le16_store(q.record + HS_SPAN_QUICK_HEAD + 1, a->at);
		hs_span_quick_end(&q, bytes);
		return;
	}
	hs_span_quick_drop(&q);
	str_full(span, value, n, k);
}

static __attribute__((noinline, cold)) void
str_seek(struct hs_span *span, const char *value, size_t value_bytes,
	 uint64_t mark, const char *key)
{
	size_t n = strlen(key);
	const struct hs_key *k = hs_key_seek(key, n, mark);

	if (k)
		str_wide(span, value, value_bytes, k);
	else
		hs_sized_attr_str(span, key, n, value, value_bytes);
}

void hs_marked_attr_str(struct hs_span *span, const char *value,
			size_t value_bytes, uint64_t mark, const char *key)
{
	const struct hs_key *k = hs_key_glance(mark);

	if (__builtin_expect(!k, 0))
		str_seek(span, value, value_bytes, mark, key);
	else
		str_put(span, value, value_bytes, k);
}
