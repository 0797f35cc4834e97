/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: say again what stands in the same buffer: an attribute, a key or a
 * span's name is written once and then named by its place (ADR 46).
 *
 * A handle keeps a few places. What they name is believed by its content alone,
 * which is compared with what was about to be written; so a place that is left
 * from an earlier buffer, or that a signal handler's call changed, costs at
 * most a compare.
 *
 * Guarantees: bounded, no allocation, no call; reads the buffer only before
 * the record that is written.
 */
#ifndef HS_DATAPLANE_AGAIN_H
#define HS_DATAPLANE_AGAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/endian.h"
#include "dataplane/copy.h"
#include "dataplane/handle.h"
#include "model/record.h"
#include "model/record_known.h"

/* What is said again takes as many; as long a text gains nothing. */
#define HS_AGAIN_BYTES	   (1u + HS_RECORD_AGAIN_BYTES)
#define HS_AGAIN_MAX_BYTES 255u

/* A known key's, by the lower byte of its number. */
static inline struct hs_again *hs_again_number(struct hs_trace *trace,
					       uint32_t low)
{
	return &trace->again[low >> 1 & (HS_HANDLE_AGAIN_MAX - 1)];
}

/* A text's, by its middle and its end: keys often begin alike. */
static inline struct hs_again *
hs_again_text(struct hs_again *places, const uint8_t *text, const uint8_t *end)
{
	size_t n = (size_t)(end - text);

	return &places[(text[n / 2] + end[-1] * 3u + n) % HS_HANDLE_AGAIN_MAX];
}

static inline uint8_t *hs_again_put(uint8_t *p, uint8_t how, uint32_t at)
{
	*p = how;
	hs_le16_store(p + 1, (uint16_t)at);
	return p + HS_AGAIN_BYTES;
}

/* Whether @n bytes at @place of the buffer, before @at, are those. */
static inline bool hs_again_same(const struct hs_trace *trace, uint32_t place,
				 uint32_t at, const uint8_t *bytes, size_t n)
{
	return place + n <= at &&
	       hs_same_bytes((const char *)trace->w.base + place,
			     (const char *)bytes, n);
}

/**
 * hs_again_key() - a key that has just been written in full, perhaps again
 * @key: at @at of the buffer, or to be put there
 * @end: behind it
 * @again: out: where hs_again_value() looks, or NULL
 *
 * Return: behind what stands there now.
 */
static inline __attribute__((always_inline)) uint8_t *
hs_again_key(struct hs_trace *trace, uint32_t at, uint8_t *key, uint8_t *end,
	     struct hs_again **again)
{
	struct hs_again *a =
		key[0] & 1 ? hs_again_number(trace, key[0])
			   : hs_again_text(trace->again_texts, key, end);
	size_t n = (size_t)(end - key);

	*again = a;
	if (a->key_bytes == n && hs_again_same(trace, a->at, at, key, n))
		return n > HS_AGAIN_BYTES
			       ? hs_again_put(key, HS_RECORD_AGAIN_KEY, a->at)
			       : end;
	if (n > HS_AGAIN_MAX_BYTES || at >= HS_RECORD_AGAIN_REACH) {
		*again = NULL;
		return end;
	}
	a->at = (uint16_t)at;
	a->key_bytes = (uint8_t)n;
	a->value_bytes = 0;
	return end;
}

/**
 * hs_again_value() - an attribute that has just been written, perhaps again
 * @a: as hs_again_key() said
 * @attr: at @at
 * @value: its type byte, behind the key
 * @end: behind the value
 *
 * Return: behind what stands there now.
 */
static inline __attribute__((always_inline)) uint8_t *
hs_again_value(struct hs_trace *trace, struct hs_again *a, uint32_t at,
	       uint8_t *attr, const uint8_t *value, uint8_t *end)
{
	size_t n = (size_t)(end - value);

	if (!a)
		return end;
	if (a->at != at) {
		if (a->value_bytes == n &&
		    hs_again_same(trace, (uint32_t)a->at + a->key_bytes, at,
				  value, n))
			return hs_again_put(attr, HS_RECORD_AGAIN, a->at);
		/* A key that is said again stays where it is written. */
		if (a->key_bytes != (size_t)(value - attr) ||
		    at >= HS_RECORD_AGAIN_REACH)
			return end;
		a->at = (uint16_t)at;
	}
	a->value_bytes = n <= HS_AGAIN_MAX_BYTES ? (uint8_t)n : 0;
	return end;
}

/* The same, in one step, for a key with a number @known and a short value. */
static inline __attribute__((always_inline)) uint8_t *
hs_again_known(struct hs_trace *trace, uint32_t known, uint32_t at,
	       uint8_t *attr, uint8_t *end)
{
	struct hs_again *a = hs_again_number(trace, known & 0xff);
	uint32_t n = (uint32_t)(end - attr);
	struct hs_again now = {
		.at = (uint16_t)at,
		.key_bytes = HS_RECORD_KNOWN_BYTES,
		.value_bytes = (uint8_t)(n - HS_RECORD_KNOWN_BYTES),
	};

	if (a->key_bytes == now.key_bytes &&
	    a->value_bytes == now.value_bytes &&
	    hs_again_same(trace, a->at, at, attr, n))
		return hs_again_put(attr, HS_RECORD_AGAIN, a->at);
	if (at < HS_RECORD_AGAIN_REACH)
		*a = now;
	return end;
}

/* A name: a key without a value. */
static inline __attribute__((always_inline)) uint8_t *
hs_again_name(struct hs_trace *trace, uint32_t at, uint8_t *name, uint8_t *end)
{
	struct hs_again *a = hs_again_text(trace->again_names, name, end);
	size_t n = (size_t)(end - name);

	if (n <= HS_AGAIN_BYTES)
		return end;
	if (a->key_bytes == n && hs_again_same(trace, a->at, at, name, n))
		return hs_again_put(name, HS_RECORD_AGAIN, a->at);
	if (n > HS_AGAIN_MAX_BYTES || at >= HS_RECORD_AGAIN_REACH)
		return end;
	a->at = (uint16_t)at;
	a->key_bytes = (uint8_t)n;
	a->value_bytes = 0;
	return end;
}

#endif
