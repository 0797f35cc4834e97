/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the attributes of spans: a record each, and a look by the rules.
 *
 * The short way has no call but its last, so that it keeps nothing over one:
 * what is long, near a buffer's end or unusual takes the long way as a whole.
 */
#include <string.h>

#include "dataplane/again.h"
#include "dataplane/known.h"
#include "dataplane/rules.h"
#include "dataplane/span_attr.h"

/* ---- the long way -------------------------------------------------------- */

struct span_attr {
	const struct hs_span *span;
	const struct hs_attr *attr;
	/* What it is in the buffer that was measured last; 0: as it is. */
	uint8_t *again;
	uint8_t *again_bytes;
};

/* Longer ones are not looked for: their records may run on. */
#define AGAIN_MAX_BYTES (HS_WRITE_WHOLE_BYTES - 16u)

/*
 * Measured, an attribute is looked for in the buffer that its record will start
 * in; what was found is written.
 */
static size_t attr_again(const struct span_attr *a, size_t n)
{
	struct hs_trace *trace = a->span->trace;
	uint32_t at = trace->w.pos + HS_RECORD_SHORT_HEADER_BYTES +
		      hs_record_varint_size(a->span->ref);
	struct hs_sink memory = {.left = n, .p = a->again, .end = a->again + n};
	uint8_t *value, *end;
	struct hs_again *place;
	uint64_t key = 0;
	uint32_t used;

	hs_sink_attr(&memory, a->attr);
	used = hs_record_varint_get(a->again, n, &key);
	/* The application may change a text while we look. */
	if (!(key & 1) && key >> 1 > n - used)
		return n;
	value = a->again + used + (key & 1 ? 0 : key >> 1);
	end = hs_again_key(trace, at, a->again, value, &place);
	memmove(end, value, n - (size_t)(value - a->again));
	n -= (size_t)(value - end);
	return (size_t)(hs_again_value(trace, place, at, a->again, end,
				       a->again + n) -
			a->again);
}

static void emit_attr(struct hs_sink *s, const void *args)
{
	const struct span_attr *a = args;
	struct hs_sink measure = {.measure = true};

	hs_sink_varint(s, a->span->ref);
	if (s->measure) {
		hs_sink_attr(&measure, a->attr);
		s->cut |= measure.cut;
		*a->again_bytes = 0;
		if (measure.size_bytes <= AGAIN_MAX_BYTES)
			*a->again_bytes =
				(uint8_t)attr_again(a, measure.size_bytes);
		s->size_bytes +=
			*a->again_bytes ? *a->again_bytes : measure.size_bytes;
		return;
	}
	if (*a->again_bytes)
		hs_sink_bytes(s, a->again, *a->again_bytes);
	else
		hs_sink_attr(s, a->attr);
}

static void attr_write(const struct hs_span *span, const struct hs_attr *attr)
{
	uint8_t again[AGAIN_MAX_BYTES + 1] = {0}, again_bytes = 0;
	struct span_attr args = {span, attr, again, &again_bytes};

	hs_span_write(span, HS_SPAN_ATTR_TYPE, NULL, emit_attr, &args);
}

static inline size_t key_bytes(const char *key)
{
	return key ? strlen(key) : 0;
}

void hs_span_attr(struct hs_span *span, const struct hs_attr *attr)
{
	uint64_t bits = 0;
	size_t n;

	if (!attr)
		return;
	attr_write(span, attr);
	n = attr->key_bytes ? attr->key_bytes : key_bytes(attr->key);
	if (!attr->key || !hs_rules_asks(attr->key, n))
		return;
	if (attr->type == HS_VALUE_BOOL)
		bits = hs_attr_bool(attr);
	else if (attr->type == HS_VALUE_INT64 || attr->type == HS_VALUE_FLOAT64)
		memcpy(&bits, &attr->value, sizeof(bits));
	else
		bits = attr->value.bytes.size_bytes;
	hs_rules_attr(span, attr->key, n, attr->type, bits,
		      attr->value.bytes.data);
}

/* The long way, out of the short one's sight. */
static __attribute__((noinline, cold)) void
attr_slow(struct hs_span *span, const char *key, size_t k, uint32_t type,
	  uint64_t bits, const void *data)
{
	struct hs_attr attr = {
		.key = key, .key_bytes = (uint32_t)k, .type = type};

	switch (type) {
	case HS_VALUE_STRING:
		attr.value.bytes.data = data;
		attr.value.bytes.size_bytes = (size_t)bits;
		break;
	case HS_VALUE_BOOL:
		attr.value.b = bits;
		break;
	default:
		/* int64 and float64, by their bits */
		memcpy(&attr.value, &bits, sizeof(bits));
		break;
	}
	attr_write(span, &attr);
	if (hs_rules_asks(key, k))
		hs_rules_attr(span, key, k, type, bits, data);
}

/* ---- the short way ------------------------------------------------------- */

/* @known: the key's number, or 0. Return: behind the key and the type. */
static inline __attribute__((always_inline)) uint8_t *
put_key(struct hs_span_attr_put *put, const char *key, size_t n, uint32_t known,
	uint8_t type)
{
	struct hs_again *again;
	uint8_t *p;

	if (known) {
		hs_le16_store(put->attr, (uint16_t)known);
		p = put->attr + HS_RECORD_KNOWN_BYTES;
	} else {
		p = hs_again_key_put(put->trace, hs_span_attr_at(put),
				     put->attr, key, n, &again);
	}
	*p = type;
	return p + 1;
}

static inline __attribute__((always_inline)) void
watch(struct hs_span *span, const char *key, size_t k, uint32_t type,
      uint64_t bits, const void *data)
{
	if (__builtin_expect(hs_rules_asks(key, k), 0))
		hs_rules_attr(span, key, k, type, bits, data);
}

/* Texts longer than short ones: by memcpy() and with any header. */
static __attribute__((noinline)) void str_long(struct hs_span *span,
					       const char *key, size_t k,
					       const char *value, size_t n,
					       uint32_t known)
{
	uint8_t *record = NULL, *p;

	if (n <= HS_PUT_MAX_BYTES && k <= HS_KNOWN_MAX_BYTES)
		record = hs_span_put(span, HS_KNOWN_MAX_BYTES + 2 +
						   hs_put_text_max(n));
	if (!record) {
		attr_slow(span, key, k, HS_VALUE_STRING, n, value);
		return;
	}
	p = hs_put_varint(record + HS_RECORD_HEADER_BYTES, span->ref);
	if (known) {
		hs_le16_store(p, (uint16_t)known);
		p += HS_RECORD_KNOWN_BYTES;
	} else {
		*p = (uint8_t)(k << 1);
		p = hs_put_bytes(p + 1, key, k);
	}
	*p = HS_VALUE_STRING;
	hs_put_end(span->trace, HS_SPAN_ATTR_TYPE, record,
		   hs_put_text(p + 1, value, n));
	watch(span, key, k, HS_VALUE_STRING, n, value);
}

static inline __attribute__((always_inline)) void
str_any(struct hs_span *span, const char *key, size_t k, const char *value,
	size_t n, uint32_t known)
{
	struct hs_span_attr_put put;
	struct hs_again *again;
	uint8_t *p, *end;

	if (!hs_span_attr_put(&put, span, 1 + HS_SPAN_TEXT_BYTES)) {
		attr_slow(span, key, k, HS_VALUE_STRING, n, value);
		return;
	}
	if (known) {
		end = hs_again_known_put(put.trace, known,
					 hs_span_attr_at(&put), put.attr, value,
					 n);
	} else {
		p = hs_again_key_put(put.trace, hs_span_attr_at(&put), put.attr,
				     key, k, &again);
		p[0] = HS_VALUE_STRING;
		p[1] = (uint8_t)n;
		end = hs_put_bytes(p + 2, value, n);
		end = hs_again_value(put.trace, again, hs_span_attr_at(&put),
				     put.attr, p, end);
	}
	hs_put_end_short(put.trace, HS_SPAN_ATTR_TYPE, put.record, end);
	watch(span, key, k, HS_VALUE_STRING, n, value);
}

static inline __attribute__((always_inline)) void
i64_any(struct hs_span *span, const char *key, size_t k, uint64_t value,
	uint32_t known)
{
	struct hs_span_attr_put put;

	if (!hs_span_attr_put(&put, span, HS_RECORD_VARINT_MAX_BYTES)) {
		attr_slow(span, key, k, HS_VALUE_INT64, value, NULL);
		return;
	}
	hs_put_end_short(
		put.trace, HS_SPAN_ATTR_TYPE, put.record,
		hs_put_varint(put_key(&put, key, k, known, HS_VALUE_INT64),
			      hs_record_zigzag((int64_t)value)));
	watch(span, key, k, HS_VALUE_INT64, value, NULL);
}

static inline __attribute__((always_inline)) void
f64_any(struct hs_span *span, const char *key, size_t k, uint64_t bits,
	uint32_t known)
{
	struct hs_span_attr_put put;
	uint8_t *p;

	if (!hs_span_attr_put(&put, span, sizeof(bits))) {
		attr_slow(span, key, k, HS_VALUE_FLOAT64, bits, NULL);
		return;
	}
	p = put_key(&put, key, k, known, HS_VALUE_FLOAT64);
	hs_le64_store(p, bits);
	hs_put_end_short(put.trace, HS_SPAN_ATTR_TYPE, put.record,
			 p + sizeof(bits));
	watch(span, key, k, HS_VALUE_FLOAT64, bits, NULL);
}

static inline __attribute__((always_inline)) void
bool_any(struct hs_span *span, const char *key, size_t k, uint64_t value,
	 uint32_t known)
{
	struct hs_span_attr_put put;
	uint8_t *p;

	if (!hs_span_attr_put(&put, span, 1)) {
		attr_slow(span, key, k, HS_VALUE_BOOL, value, NULL);
		return;
	}
	p = put_key(&put, key, k, known, HS_VALUE_BOOL);
	*p = (uint8_t)value;
	hs_put_end_short(put.trace, HS_SPAN_ATTR_TYPE, put.record, p + 1);
	watch(span, key, k, HS_VALUE_BOOL, value, NULL);
}

/*
 * A function that looks the key up and one each for keys that are known and
 * that are not, which are jumped to: so each has registers enough.
 */
#define NUMBER(name, type)                                                     \
	static __attribute__((noinline)) void name##_known(                    \
		struct hs_span *span, const char *key, size_t k,               \
		uint64_t value, uint32_t known)                                \
	{                                                                      \
		HS_ASSUME(known);                                              \
		name##_any(span, key, k, value, known);                        \
	}                                                                      \
	static __attribute__((noinline)) void name##_text(                     \
		struct hs_span *span, const char *key, size_t k,               \
		uint64_t value)                                                \
	{                                                                      \
		if (k > HS_SPAN_TEXT_BYTES)                                    \
			attr_slow(span, key, k, type, value, NULL);            \
		else                                                           \
			name##_any(span, key, k, value, 0);                    \
	}                                                                      \
	static __attribute__((noinline)) void name##_seek(                     \
		struct hs_span *span, const char *key, size_t k,               \
		uint64_t value)                                                \
	{                                                                      \
		uint32_t known = hs_known_find(key, k);                        \
                                                                               \
		if (known)                                                     \
			name##_known(span, key, k, value, known);              \
		else                                                           \
			name##_text(span, key, k, value);                      \
	}                                                                      \
	static inline void name##_put(struct hs_span *span, const char *key,   \
				      size_t k, uint64_t value)                \
	{                                                                      \
		uint32_t known;                                                \
                                                                               \
		if (!hs_known_glance(key, k, &known))                          \
			name##_seek(span, key, k, value);                      \
		else if (known)                                                \
			name##_known(span, key, k, value, known);              \
		else                                                           \
			name##_text(span, key, k, value);                      \
	}
NUMBER(i64, HS_VALUE_INT64)
NUMBER(f64, HS_VALUE_FLOAT64)
NUMBER(bool, HS_VALUE_BOOL)

static __attribute__((noinline)) void str_known(struct hs_span *span,
						const char *key, size_t k,
						const char *value, size_t n,
						uint32_t known)
{
	HS_ASSUME(known);
	if (n <= HS_SPAN_TEXT_BYTES)
		str_any(span, key, k, value, n, known);
	else
		str_long(span, key, k, value, n, known);
}

static __attribute__((noinline)) void str_text(struct hs_span *span,
					       const char *key, size_t k,
					       const char *value, size_t n)
{
	if (n > HS_SPAN_TEXT_BYTES || k > HS_SPAN_TEXT_BYTES)
		str_long(span, key, k, value, n, 0);
	else
		str_any(span, key, k, value, n, 0);
}

/* The same of a key that takes more than a look. */
static __attribute__((noinline)) void str_seek(struct hs_span *span,
					       const char *key, size_t k,
					       const char *value, size_t n)
{
	uint32_t known = hs_known_find(key, k);

	if (known)
		str_known(span, key, k, value, n, known);
	else
		str_text(span, key, k, value, n);
}

void hs_sized_attr_str(struct hs_span *span, const char *key, size_t k,
		       const char *value, size_t n)
{
	uint32_t known;

	if (!hs_known_glance(key, k, &known))
		str_seek(span, key, k, value, n);
	else if (known)
		str_known(span, key, k, value, n, known);
	else
		str_text(span, key, k, value, n);
}

void hs_sized_attr_i64(struct hs_span *span, const char *key, size_t k,
		       int64_t value)
{
	i64_put(span, key, k, (uint64_t)value);
}

void hs_sized_attr_f64(struct hs_span *span, const char *key, size_t k,
		       double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	f64_put(span, key, k, bits);
}

void hs_sized_attr_bool(struct hs_span *span, const char *key, size_t k,
			bool value)
{
	bool_put(span, key, k, value);
}

void hs_span_attr_str(struct hs_span *span, const char *key, const char *value)
{
	hs_sized_attr_str(span, key, key_bytes(key), value, key_bytes(value));
}

void hs_span_attr_i64(struct hs_span *span, const char *key, int64_t value)
{
	hs_sized_attr_i64(span, key, key_bytes(key), value);
}

void hs_span_attr_f64(struct hs_span *span, const char *key, double value)
{
	hs_sized_attr_f64(span, key, key_bytes(key), value);
}

void hs_span_attr_bool(struct hs_span *span, const char *key, bool value)
{
	hs_sized_attr_bool(span, key, key_bytes(key), value);
}
