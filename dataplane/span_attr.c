/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: the attributes of spans: a record each, and a look by the rules. */
#include <string.h>

#include "dataplane/span.h"
#include "dataplane/watch.h"

struct span_attr {
	uint32_t ref;
	const struct hs_attr *attr;
};

static void emit_attr(struct hs_sink *s, const void *args)
{
	const struct span_attr *a = args;

	hs_sink_varint(s, a->ref);
	hs_sink_attr(s, a->attr);
}

static inline size_t key_bytes(const char *key)
{
	return key ? strlen(key) : 0;
}

static __attribute__((noinline)) void
attr_any_watched(struct hs_span *span, const struct hs_attr *attr, size_t n)
{
	struct hs_rules_value value = {.type = attr->type};

	if (attr->type == HS_VALUE_BOOL) {
		value.bits = attr->value.b;
	} else if (attr->type == HS_VALUE_INT64 ||
		   attr->type == HS_VALUE_FLOAT64) {
		memcpy(&value.bits, &attr->value, sizeof(value.bits));
	} else {
		value.bits = attr->value.bytes.size_bytes;
		value.data = attr->value.bytes.data;
	}
	hs_watch_attr(span, attr->key, n, &value);
}

void hs_span_attr(struct hs_span *span, const struct hs_attr *attr)
{
	struct span_attr args = {span ? span->ref : 0, attr};
	size_t n;

	if (!attr)
		return;
	hs_span_write(span, HS_RECORD_ATTR | HS_RECORD_F_KNOWN, NULL, emit_attr,
		      &args);
	n = attr->key_bytes ? attr->key_bytes : key_bytes(attr->key);
	if (attr->key && hs_rules_asks(attr->key, n))
		attr_any_watched(span, attr, n);
}

/* Key and type of an attribute whose value takes at most @max_bytes. */
static inline __attribute__((always_inline)) uint8_t *
attr_put(const struct hs_span *span, const char *key, size_t n, uint8_t type,
	 size_t max_bytes)
{
	uint8_t *p;

	/* Each length by itself: their sum might wrap. */
	if (n > HS_PUT_MAX_BYTES || max_bytes > HS_PUT_MAX_BYTES)
		return NULL;
	p = hs_span_put(span, hs_put_text_max(n) + 1 + max_bytes);
	if (!p)
		return NULL;
	p = hs_put_key(p, key, n);
	*p = type;
	return p + 1;
}

/* The long way, out of the short one's sight. */
static __attribute__((noinline, cold)) void
attr_slow(const struct hs_span *span, const char *key, size_t k, uint32_t type,
	  uint64_t bits, const void *data)
{
	struct hs_attr attr = {
		.key = key, .key_bytes = (uint32_t)k, .type = type};
	struct span_attr args = {span ? span->ref : 0, &attr};

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
	hs_span_write(span, HS_RECORD_ATTR | HS_RECORD_F_KNOWN, NULL, emit_attr,
		      &args);
}

static __attribute__((noinline)) void attr_watched(struct hs_span *span,
						   const char *key, size_t n,
						   uint32_t type, uint64_t bits,
						   const void *data)
{
	struct hs_rules_value value = {type, bits, data};

	hs_watch_attr(span, key, n, &value);
}

/* Behind each attribute: almost none is asked about. */
static inline __attribute__((always_inline)) void
attr_watch(struct hs_span *span, const char *key, size_t n, uint32_t type,
	   uint64_t bits, const void *data)
{
	if (__builtin_expect(hs_rules_asks(key, n), 0))
		attr_watched(span, key, n, type, bits, data);
}

void hs_sized_attr_str(struct hs_span *span, const char *key, size_t k,
		       const char *value, size_t n)
{
	uint8_t *p =
		attr_put(span, key, k, HS_VALUE_STRING, hs_put_text_max(n));

	if (p)
		hs_put_end(span->trace, HS_RECORD_ATTR | HS_RECORD_F_KNOWN,
			   hs_put_text(p, value, n));
	else
		attr_slow(span, key, k, HS_VALUE_STRING, n, value);
	attr_watch(span, key, k, HS_VALUE_STRING, n, value);
}

void hs_span_attr_str(struct hs_span *span, const char *key, const char *value)
{
	hs_sized_attr_str(span, key, key_bytes(key), value, key_bytes(value));
}

void hs_sized_attr_i64(struct hs_span *span, const char *key, size_t k,
		       int64_t value)
{
	uint8_t *p = attr_put(span, key, k, HS_VALUE_INT64,
			      HS_RECORD_VARINT_MAX_BYTES);

	if (p)
		hs_put_end(span->trace, HS_RECORD_ATTR | HS_RECORD_F_KNOWN,
			   hs_put_varint(p, hs_record_zigzag(value)));
	else
		attr_slow(span, key, k, HS_VALUE_INT64, (uint64_t)value, NULL);
	attr_watch(span, key, k, HS_VALUE_INT64, (uint64_t)value, NULL);
}

void hs_span_attr_i64(struct hs_span *span, const char *key, int64_t value)
{
	hs_sized_attr_i64(span, key, key_bytes(key), value);
}

void hs_sized_attr_f64(struct hs_span *span, const char *key, size_t k,
		       double value)
{
	uint8_t *p = attr_put(span, key, k, HS_VALUE_FLOAT64, sizeof(uint64_t));
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	if (p) {
		hs_le64_store(p, bits);
		hs_put_end(span->trace, HS_RECORD_ATTR | HS_RECORD_F_KNOWN,
			   p + sizeof(bits));
	} else {
		attr_slow(span, key, k, HS_VALUE_FLOAT64, bits, NULL);
	}
	attr_watch(span, key, k, HS_VALUE_FLOAT64, bits, NULL);
}

void hs_span_attr_f64(struct hs_span *span, const char *key, double value)
{
	hs_sized_attr_f64(span, key, key_bytes(key), value);
}

void hs_sized_attr_bool(struct hs_span *span, const char *key, size_t k,
			bool value)
{
	uint8_t *p = attr_put(span, key, k, HS_VALUE_BOOL, 1);

	if (p) {
		*p = value;
		hs_put_end(span->trace, HS_RECORD_ATTR | HS_RECORD_F_KNOWN,
			   p + 1);
	} else {
		attr_slow(span, key, k, HS_VALUE_BOOL, value, NULL);
	}
	attr_watch(span, key, k, HS_VALUE_BOOL, value, NULL);
}

void hs_span_attr_bool(struct hs_span *span, const char *key, bool value)
{
	hs_sized_attr_bool(span, key, key_bytes(key), value);
}
