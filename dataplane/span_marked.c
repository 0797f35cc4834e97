/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the attributes of spans whose keys are literals of the application
 * (key.h): what a key is need not be asked of its bytes.
 *
 * Each writes a short record that surely fits, and leaves all else to the call
 * that takes any key (span_attr.c). Whatever is called is called last, so that
 * nothing is kept over it.
 */
#include <string.h>

#include "dataplane/again.h"
#include "dataplane/key.h"
#include "dataplane/rules.h"
#include "dataplane/span_attr.h"

/* Return: behind the key and the type. */
static inline __attribute__((always_inline)) uint8_t *
put_key(struct hs_span_attr_put *put, const struct hs_key *k, bool known,
	uint8_t type)
{
	struct hs_again *again;
	uint8_t *p;

	if (known) {
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
		hs_rules_attr_literal(span, k, type, bits, data);
}

/* ---- numbers ------------------------------------------------------------- */

static inline __attribute__((always_inline)) void
i64_any(struct hs_span *span, const struct hs_key *k, bool known,
	uint64_t value)
{
	struct hs_span_attr_put put;

	if (!hs_span_attr_put(&put, span, HS_RECORD_VARINT_MAX_BYTES))
		hs_sized_attr_i64(span, k->text, k->bytes, (int64_t)value);
	else
		put_end(&put, span, k,
			hs_put_varint(put_key(&put, k, known, HS_VALUE_INT64),
				      hs_record_zigzag((int64_t)value)),
			HS_VALUE_INT64, value, NULL);
}

static inline __attribute__((always_inline)) void
f64_any(struct hs_span *span, const struct hs_key *k, bool known, uint64_t bits)
{
	struct hs_span_attr_put put;
	uint8_t *p;

	if (!hs_span_attr_put(&put, span, sizeof(bits))) {
		double value;

		memcpy(&value, &bits, sizeof(value));
		hs_sized_attr_f64(span, k->text, k->bytes, value);
		return;
	}
	p = put_key(&put, k, known, HS_VALUE_FLOAT64);
	hs_le64_store(p, bits);
	put_end(&put, span, k, p + sizeof(bits), HS_VALUE_FLOAT64, bits, NULL);
}

static inline __attribute__((always_inline)) void
bool_any(struct hs_span *span, const struct hs_key *k, bool known,
	 uint64_t value)
{
	struct hs_span_attr_put put;
	uint8_t *p;

	if (!hs_span_attr_put(&put, span, 1)) {
		hs_sized_attr_bool(span, k->text, k->bytes, value);
		return;
	}
	p = put_key(&put, k, known, HS_VALUE_BOOL);
	*p = (uint8_t)value;
	put_end(&put, span, k, p + 1, HS_VALUE_BOOL, value, NULL);
}

/* One each for keys that are known and that are not, so that each has registers
 * enough. */
#define PUT(name)                                                              \
	static __attribute__((noinline)) void name##_own(                      \
		struct hs_span *span, const struct hs_key *k, uint64_t bits)   \
	{                                                                      \
		name##_any(span, k, false, bits);                              \
	}                                                                      \
	static inline __attribute__((always_inline)) void name##_put(          \
		struct hs_span *span, const struct hs_key *k, uint64_t bits)   \
	{                                                                      \
		if (k->word)                                                   \
			name##_any(span, k, true, bits);                       \
		else                                                           \
			name##_own(span, k, bits);                             \
	}
PUT(i64)
PUT(f64)
PUT(bool)

/* A key that takes more than a look. */
#define SEEK(name, sized, type)                                                \
	static __attribute__((noinline, cold)) void name##_seek(               \
		struct hs_span *span, const char *key, size_t n, type value,   \
		uint64_t bits, uint64_t mark)                                  \
	{                                                                      \
		const struct hs_key *k = hs_key_seek(key, n, mark);            \
                                                                               \
		if (k)                                                         \
			name##_put(span, k, bits);                             \
		else                                                           \
			sized(span, key, n, value);                            \
	}
SEEK(i64, hs_sized_attr_i64, int64_t)
SEEK(f64, hs_sized_attr_f64, double)
SEEK(bool, hs_sized_attr_bool, bool)

void hs_marked_attr_i64(struct hs_span *span, const char *key, size_t n,
			int64_t value, uint64_t mark)
{
	const struct hs_key *k = hs_key_glance(mark);

	if (__builtin_expect(!k, 0))
		i64_seek(span, key, n, value, (uint64_t)value, mark);
	else
		i64_put(span, k, (uint64_t)value);
}

void hs_marked_attr_f64(struct hs_span *span, const char *key, size_t n,
			double value, uint64_t mark)
{
	const struct hs_key *k = hs_key_glance(mark);
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	if (__builtin_expect(!k, 0))
		f64_seek(span, key, n, value, bits, mark);
	else
		f64_put(span, k, bits);
}

void hs_marked_attr_bool(struct hs_span *span, const char *key, size_t n,
			 bool value, uint64_t mark)
{
	const struct hs_key *k = hs_key_glance(mark);

	if (__builtin_expect(!k, 0))
		bool_seek(span, key, n, value, value, mark);
	else
		bool_put(span, k, value);
}

/* ---- texts --------------------------------------------------------------- */

/* A key without a number: its value is looked for behind it. */
static __attribute__((noinline)) void str_own(struct hs_span *span,
					      const struct hs_key *k,
					      const char *value, size_t n)
{
	struct hs_again *again;
	struct hs_span_attr_put put;
	uint8_t *p, *end;

	if (n > HS_SPAN_TEXT_BYTES ||
	    !hs_span_attr_put(&put, span, 1 + HS_SPAN_TEXT_BYTES)) {
		hs_sized_attr_str(span, k->text, k->bytes, value, n);
		return;
	}
	HS_ASSUME(n <= HS_SPAN_TEXT_BYTES);
	p = hs_again_literal_put(put.trace, k, hs_span_attr_at(&put), put.attr,
				 &again);
	p[0] = HS_VALUE_STRING;
	p[1] = (uint8_t)n;
	end = hs_put_bytes(p + 2, value, n);
	put_end(&put, span, k,
		hs_again_value(put.trace, again, hs_span_attr_at(&put),
			       put.attr, p, end),
		HS_VALUE_STRING, n, value);
}

static inline __attribute__((always_inline)) void
str_put(struct hs_span *span, const struct hs_key *k, const char *value,
	size_t n)
{
	struct hs_span_attr_put put;

	if (!k->word) {
		str_own(span, k, value, n);
		return;
	}
	if (n > HS_SPAN_TEXT_BYTES ||
	    !hs_span_attr_put(&put, span, 1 + HS_SPAN_TEXT_BYTES)) {
		hs_sized_attr_str(span, k->text, k->bytes, value, n);
		return;
	}
	HS_ASSUME(n <= HS_SPAN_TEXT_BYTES);
	put_end(&put, span, k,
		hs_again_literal_text_put(put.trace, k, hs_span_attr_at(&put),
					  put.attr, value, n),
		HS_VALUE_STRING, n, value);
}

static __attribute__((noinline, cold)) void
str_seek(struct hs_span *span, const char *key, size_t n, const char *value,
	 size_t value_bytes, uint64_t mark)
{
	const struct hs_key *k = hs_key_seek(key, n, mark);

	if (k)
		str_put(span, k, value, value_bytes);
	else
		hs_sized_attr_str(span, key, n, value, value_bytes);
}

void hs_marked_attr_str(struct hs_span *span, const char *key, size_t n,
			const char *value, size_t value_bytes, uint64_t mark)
{
	const struct hs_key *k = hs_key_glance(mark);

	if (__builtin_expect(!k, 0))
		str_seek(span, key, n, value, value_bytes, mark);
	else
		str_put(span, k, value, value_bytes);
}
