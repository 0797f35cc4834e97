/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see copies.h. */
#include "bench/copies.h"

#include <string.h>

#include "hs/shm_format.h"

#define LINE_BYTES ((size_t)HS_SHM_LINE_BYTES)

/* The next place, with room for a record. */
static uint8_t *place(struct hs_bench_memory *m)
{
	size_t bytes = HS_BENCH_COPY_HEAD_BYTES + m->data_bytes;
	uint8_t *to;

	if (m->pos + bytes > m->size_bytes)
		m->pos = 0;
	to = m->base + m->pos + HS_BENCH_COPY_HEAD_BYTES;
	m->pos += bytes;
	return to;
}

#if defined(__x86_64__)

#include <emmintrin.h>

static void stream_line(uint8_t *to, const uint8_t *from)
{
	for (size_t i = 0; i < LINE_BYTES; i += sizeof(__m128i))
		_mm_stream_si128((__m128i *)(void *)(to + i),
				 _mm_loadu_si128((const void *)(from + i)));
}

/* @n: at least a line. */
static void stream(uint8_t *to, const uint8_t *from, size_t n)
{
	size_t head = -(uintptr_t)to & (LINE_BYTES - 1);

	memcpy(to, from, head);
	for (to += head, from += head, n -= head; n >= LINE_BYTES;
	     to += LINE_BYTES, from += LINE_BYTES, n -= LINE_BYTES)
		stream_line(to, from);
	memcpy(to, from, n);
}

static void fence(void)
{
	_mm_sfence();
}

static void string_move(uint8_t *to, const uint8_t *from, size_t n)
{
	__asm__ volatile("rep movsb"
			 : "+D"(to), "+S"(from), "+c"(n)
			 :
			 : "memory");
}

#else

static void stream(uint8_t *to, const uint8_t *from, size_t n)
{
	memcpy(to, from, n);
}

static void fence(void)
{
}

static void string_move(uint8_t *to, const uint8_t *from, size_t n)
{
	memcpy(to, from, n);
}

#endif

void hs_bench_append_streamed(void *context, uint32_t n)
{
	struct hs_bench_memory *m = context;

	for (uint32_t i = 0; i < n; i++) {
		stream(place(m), m->data, m->data_bytes);
		fence();
	}
}

void hs_bench_append_unfenced(void *context, uint32_t n)
{
	struct hs_bench_memory *m = context;

	for (uint32_t i = 0; i < n; i++) {
		stream(place(m), m->data, m->data_bytes);
		__asm__ volatile("" ::: "memory");
	}
	fence();
}

void hs_bench_append_string(void *context, uint32_t n)
{
	struct hs_bench_memory *m = context;

	for (uint32_t i = 0; i < n; i++)
		string_move(place(m), m->data, m->data_bytes);
}
