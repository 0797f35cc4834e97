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
#include "dataplane/key.h"
#include "model/record.h"
#include "model/record_known.h"

/*
 * What a place says of a literal's key (key.h) is believed without a look at
 * the buffer if it is of this buffer: buffers are numbered over all lives of a
 * handle. 0 is nobody's.
 */
#define HS_AGAIN_BUFFER HS_KEY_PLACES
static inline uint32_t hs_again_whose(const struct hs_trace *trace,
				      uint32_t key)
{
	return trace->again_buffer + key;
}

/* Another buffer. */
static inline void hs_again_turn(struct hs_trace *trace)
{
	trace->again_buffer += HS_AGAIN_BUFFER;
	if (__builtin_expect(trace->again_buffer, 1))
		return;
	/* The numbers begin again. */
	trace->again_buffer = HS_AGAIN_BUFFER;
	memset(trace->again, 0, sizeof(trace->again));
	memset(trace->again_names, 0, sizeof(trace->again_names));
	memset(trace->again_literals, 0, sizeof(trace->again_literals));
}

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

/*
 * Whether @n bytes at @place of the buffer are those. What stands from the
 * record on is not written yet: a place of an earlier buffer may lead there, to
 * what a former holder of this one left.
 */
static inline bool hs_again_same(const struct hs_trace *trace, uint32_t place,
				 const uint8_t *bytes, size_t n)
{
	return place + n <= trace->w.pos &&
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
	/* A value of any type, in a record that may yet be lost. */
	a->whose = 0;
	if (a->key_bytes == n && hs_again_same(trace, a->at, key, n))
		return n > HS_AGAIN_BYTES
			       ? hs_again_put(key, HS_RECORD_AGAIN_KEY, a->at)
			       : end;
	if (n > HS_AGAIN_MAX_BYTES || at >= HS_RECORD_AGAIN_REACH) {
		*again = NULL;
		return end;
	}
	*a = (struct hs_again){.at = (uint16_t)at, .key_bytes = (uint8_t)n};
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
		    hs_again_same(trace, (uint32_t)a->at + a->key_bytes, value,
				  n))
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

/* A name: a key without a value. */
static inline __attribute__((always_inline)) uint8_t *
hs_again_name(struct hs_trace *trace, uint32_t at, uint8_t *name, uint8_t *end)
{
	struct hs_again *a = hs_again_text(trace->again_names, name, end);
	size_t n = (size_t)(end - name);

	if (n <= HS_AGAIN_BYTES)
		return end;
	if (a->key_bytes == n && hs_again_same(trace, a->at, name, n))
		return hs_again_put(name, HS_RECORD_AGAIN, a->at);
	if (n > HS_AGAIN_MAX_BYTES || at >= HS_RECORD_AGAIN_REACH)
		return end;
	*a = (struct hs_again){.at = (uint16_t)at, .key_bytes = (uint8_t)n};
	return end;
}

/* ---- short texts, compared before they are written ----------------------- */

/* Where hs_again_text() looks for the same with its byte of length; @n > 0. */
static inline __attribute__((always_inline)) struct hs_again *
hs_again_short(struct hs_again *places, const char *text, size_t n)
{
	uint32_t middle = (uint8_t)text[(n - 1) / 2];
	uint32_t last = (uint8_t)text[n - 1];

	return &places[(middle + last * 3u + n + 1) % HS_HANDLE_AGAIN_MAX];
}

/* A text in full, with what stands before it in one byte. */
static inline __attribute__((always_inline)) bool
hs_again_stands(const struct hs_trace *trace, const struct hs_again *a,
		const char *text, size_t n)
{
	const uint8_t *there = trace->w.base + a->at;

	return a->key_bytes == n + 1 && a->at + n + 1 <= trace->w.pos &&
	       there[0] == (uint8_t)(n << 1) &&
	       hs_same_bytes((const char *)there + 1, text, n);
}

/**
 * hs_again_key_put() - write a key that has no number, in full or again
 * @p: at @at of the buffer
 * @n: at most 127
 * @again: out: where hs_again_value() looks, or NULL
 *
 * Return: behind it.
 */
static inline __attribute__((always_inline)) uint8_t *
hs_again_key_put(struct hs_trace *trace, uint32_t at, uint8_t *p,
		 const char *key, size_t n, struct hs_again **again)
{
	struct hs_again *a;

	*p = (uint8_t)(n << 1);
	*again = NULL;
	if (!n)
		return p + 1;
	a = hs_again_short(trace->again_texts, key, n);
	if (hs_again_stands(trace, a, key, n)) {
		*again = a;
		if (n + 1 > HS_AGAIN_BYTES)
			return hs_again_put(p, HS_RECORD_AGAIN_KEY, a->at);
	} else if (at < HS_RECORD_AGAIN_REACH) {
		*again = a;
		*a = (struct hs_again){.at = (uint16_t)at,
				       .key_bytes = (uint8_t)(n + 1)};
	}
	hs_copy_short(p + 1, key, n);
	return p + 1 + n;
}

/* The same of a span's name. */
static inline __attribute__((always_inline)) uint8_t *
hs_again_name_put(struct hs_trace *trace, uint32_t at, uint8_t *p,
		  const char *name, size_t n)
{
	struct hs_again *a;

	if (n + 1 > HS_AGAIN_BYTES) {
		a = hs_again_short(trace->again_names, name, n);
		if (hs_again_stands(trace, a, name, n))
			return hs_again_put(p, HS_RECORD_AGAIN, a->at);
		if (at < HS_RECORD_AGAIN_REACH)
			*a = (struct hs_again){.at = (uint16_t)at,
					       .key_bytes = (uint8_t)(n + 1)};
	}
	*p = (uint8_t)(n << 1);
	hs_copy_short(p + 1, name, n);
	return p + 1 + n;
}

/* A text of less than 128 bytes whose key has the number @known: what stands
 * before it is one word. */
static inline __attribute__((always_inline)) uint8_t *
hs_again_known_put(struct hs_trace *trace, uint32_t known, uint32_t at,
		   uint8_t *p, const char *value, size_t n)
{
	struct hs_again *a = hs_again_number(trace, known & 0xff);
	const uint8_t *there = trace->w.base + a->at;
	uint32_t head = known | HS_VALUE_STRING << 16 | (uint32_t)n << 24;

	_Static_assert(HS_RECORD_KNOWN_BYTES == 2, "the word's first half");
	if (a->key_bytes && a->at + sizeof(head) + n <= trace->w.pos &&
	    hs_le32_load(there) == head &&
	    hs_same_bytes((const char *)there + sizeof(head), value, n))
		return hs_again_put(p, HS_RECORD_AGAIN, a->at);
	if (at < HS_RECORD_AGAIN_REACH)
		*a = (struct hs_again){.at = (uint16_t)at,
				       .key_bytes = HS_RECORD_KNOWN_BYTES,
				       .value_bytes = (uint8_t)(n + 2)};
	hs_le32_store(p, head);
	hs_copy_short(p + sizeof(head), value, n);
	return p + sizeof(head) + n;
}

/* ---- keys that are literals ---------------------------------------------- */

/* Written whole, of which as many count as it has. */
static inline __attribute__((always_inline)) uint8_t *
hs_again_literal_whole(uint8_t *p, const struct hs_key *k)
{
	*p = (uint8_t)(k->bytes << 1);
	memcpy(p + 1, k->text, sizeof(k->text));
	return p + 1 + k->bytes;
}

/* Where a handle has a key's place: bytes into it. */
static inline size_t hs_again_place_of(const struct hs_key *k)
{
	size_t i = k->word ? (k->word & 0xffu) >> 1 : k->number;

	return (k->word ? offsetof(struct hs_trace, again)
			: offsetof(struct hs_trace, again_literals)) +
	       i % HS_HANDLE_AGAIN_MAX * sizeof(struct hs_again);
}

static inline __attribute__((always_inline)) struct hs_again *
hs_again_place(struct hs_trace *trace, const struct hs_key *k)
{
	return (struct hs_again *)((uint8_t *)trace + k->again_at);
}

/* A span's name that is a literal; @number: of its operation's mark. */
static inline __attribute__((always_inline)) uint8_t *
hs_again_literal_name_put(struct hs_trace *trace, uint32_t number, uint32_t at,
			  uint8_t *p, const char *name, size_t n)
{
	struct hs_again *a = &trace->again_names[number % HS_HANDLE_AGAIN_MAX];
	uint32_t whose = hs_again_whose(trace, number);

	if (a->whose == whose)
		return hs_again_put(p, HS_RECORD_AGAIN, a->at);
	if (n + 1 > HS_AGAIN_BYTES && at < HS_RECORD_AGAIN_REACH)
		*a = (struct hs_again){.at = (uint16_t)at,
				       .key_bytes = (uint8_t)(n + 1),
				       .whose = whose};
	*p = (uint8_t)(n << 1);
	hs_copy_short(p + 1, name, n);
	return p + 1 + n;
}

/**
 * hs_again_literal_put() - write a key that has no number, in full or again
 * @p: at @at of the buffer, with room for HS_INLINE_MARK_MAX + 1
 * @again: out: where hs_again_value() looks, or NULL
 *
 * Return: behind it.
 */
static inline __attribute__((always_inline)) uint8_t *
hs_again_literal_put(struct hs_trace *trace, const struct hs_key *k,
		     uint32_t at, uint8_t *p, struct hs_again **again)
{
	struct hs_again *a = hs_again_place(trace, k);
	uint32_t whose = hs_again_whose(trace, k->number);

	*again = a;
	if (a->whose == whose) {
		if (k->bytes + 1u > HS_AGAIN_BYTES)
			return hs_again_put(p, HS_RECORD_AGAIN_KEY, a->at);
	} else if (at < HS_RECORD_AGAIN_REACH) {
		*a = (struct hs_again){.at = (uint16_t)at,
				       .key_bytes = (uint8_t)(k->bytes + 1),
				       .whose = whose};
	} else {
		*again = NULL;
	}
	return hs_again_literal_whole(p, k);
}

/* As hs_again_known_put(): @n is at most 32. Whose place it is says that its
 * value is a text: all else that writes there makes it nobody's. */
static inline __attribute__((always_inline)) uint8_t *
hs_again_literal_text_put(struct hs_trace *trace, const struct hs_key *k,
			  uint32_t at, uint8_t *p, const char *value, size_t n)
{
	struct hs_again *a = hs_again_place(trace, k);
	uint32_t whose = hs_again_whose(trace, k->number);
	const uint32_t head = sizeof(uint32_t);

	if (a->whose == whose && a->value_bytes == n + 2 &&
	    hs_same_bytes((const char *)trace->w.base + a->at + head, value, n))
		return hs_again_put(p, HS_RECORD_AGAIN, a->at);
	if (at < HS_RECORD_AGAIN_REACH)
		*a = (struct hs_again){.at = (uint16_t)at,
				       .key_bytes = HS_RECORD_KNOWN_BYTES,
				       .value_bytes = (uint8_t)(n + 2),
				       .whose = whose};
	hs_le32_store(p, k->word | HS_VALUE_STRING << 16 | (uint32_t)n << 24);
	hs_copy_short(p + head, value, n);
	return p + head + n;
}

#endif
