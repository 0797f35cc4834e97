/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: cursors that read and write little-endian messages within bounds.
 *
 * Guarantees: a read or write that does not fit changes nothing but sets
 * @failed; from then on every read gives zeros and every write does nothing,
 * so a codec may run straight through and look at @failed once at its end.
 * No length taken from the bytes themselves can lead outside of them.
 */
#ifndef HS_BYTES_H
#define HS_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/endian.h"

struct hs_bytes_reader {
	const uint8_t *p;
	size_t left;
	bool failed;
};

struct hs_bytes_writer {
	uint8_t *p;
	size_t left;
	bool failed;
	size_t used; /* bytes written so far */
};

static inline struct hs_bytes_reader hs_bytes_reader_make(const void *data,
							  size_t len_bytes)
{
	return (struct hs_bytes_reader){(const uint8_t *)data, len_bytes,
					false};
}

static inline struct hs_bytes_writer hs_bytes_writer_make(void *data,
							  size_t size_bytes)
{
	return (struct hs_bytes_writer){(uint8_t *)data, size_bytes, false, 0};
}

/**
 * hs_bytes_get_blob() - take a run of bytes without copying them
 * @r: the cursor
 * @len_bytes: how many; may come from the wire
 *
 * Own: the bytes stay in the cursor's memory.
 * Return: the bytes, or NULL and @r fails.
 */
static inline const uint8_t *hs_bytes_get_blob(struct hs_bytes_reader *r,
					       size_t len_bytes)
{
	const uint8_t *p = r->p;

	if (r->failed || len_bytes > r->left) {
		r->failed = true;
		return NULL;
	}
	r->p += len_bytes;
	r->left -= len_bytes;
	return p;
}

static inline uint8_t hs_bytes_get_u8(struct hs_bytes_reader *r)
{
	const uint8_t *p = hs_bytes_get_blob(r, 1);

	return p ? *p : 0;
}

static inline uint16_t hs_bytes_get_u16(struct hs_bytes_reader *r)
{
	const uint8_t *p = hs_bytes_get_blob(r, 2);

	return p ? hs_le16_load(p) : 0;
}

static inline uint32_t hs_bytes_get_u32(struct hs_bytes_reader *r)
{
	const uint8_t *p = hs_bytes_get_blob(r, 4);

	return p ? hs_le32_load(p) : 0;
}

static inline uint64_t hs_bytes_get_u64(struct hs_bytes_reader *r)
{
	const uint8_t *p = hs_bytes_get_blob(r, 8);

	return p ? hs_le64_load(p) : 0;
}

/* Copies @len_bytes to @out, zeros when they are not there. */
static inline void hs_bytes_get_copy(struct hs_bytes_reader *r, void *out,
				     size_t len_bytes)
{
	const uint8_t *p = hs_bytes_get_blob(r, len_bytes);

	if (p)
		memcpy(out, p, len_bytes);
	else
		memset(out, 0, len_bytes);
}

/* True when all was read, all of it was there, and nothing is left over. */
static inline bool hs_bytes_reader_done(const struct hs_bytes_reader *r)
{
	return !r->failed && r->left == 0;
}

/**
 * hs_bytes_put_space() - claim a run of bytes to fill in place
 * @w: the cursor
 * @len_bytes: how many
 *
 * Return: where they are, or NULL and @w fails.
 */
static inline uint8_t *hs_bytes_put_space(struct hs_bytes_writer *w,
					  size_t len_bytes)
{
	uint8_t *p = w->p;

	if (w->failed || len_bytes > w->left) {
		w->failed = true;
		return NULL;
	}
	w->p += len_bytes;
	w->left -= len_bytes;
	w->used += len_bytes;
	return p;
}

static inline void hs_bytes_put_blob(struct hs_bytes_writer *w,
				     const void *data, size_t len_bytes)
{
	uint8_t *p = hs_bytes_put_space(w, len_bytes);

	if (p && len_bytes)
		memcpy(p, data, len_bytes);
}

static inline void hs_bytes_put_u8(struct hs_bytes_writer *w, uint8_t v)
{
	uint8_t *p = hs_bytes_put_space(w, 1);

	if (p)
		*p = v;
}

static inline void hs_bytes_put_u16(struct hs_bytes_writer *w, uint16_t v)
{
	uint8_t *p = hs_bytes_put_space(w, 2);

	if (p)
		hs_le16_store(p, v);
}

static inline void hs_bytes_put_u32(struct hs_bytes_writer *w, uint32_t v)
{
	uint8_t *p = hs_bytes_put_space(w, 4);

	if (p)
		hs_le32_store(p, v);
}

static inline void hs_bytes_put_u64(struct hs_bytes_writer *w, uint64_t v)
{
	uint8_t *p = hs_bytes_put_space(w, 8);

	if (p)
		hs_le64_store(p, v);
}

#endif
