/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: see copy.h. Each line of a buffer comes from memory before it is
 * written, and a core's stores wait for few lines at a time: prefetches for
 * more of them. Those of lines that a later record will fill are of use, too,
 * so they go on ahead of a record's end, but not of the buffer's.
 *
 * On Intel's processors alone, where it was measured. Others may not read what
 * is overwritten whole, and a prefetch would: there each line is written by one
 * store, where a store can be as long. memcpy()'s are as long, too, but not
 * each in one line, since records begin anywhere. Where a store is half a line,
 * the longest records go past the caches: what a fence waits at their end is
 * less than what reading each line first would take.
 */
#include "dataplane/copy.h"

#if defined(__x86_64__) && defined(__SSE2__)
#include <immintrin.h>
#endif

#include "hs/shm_format.h"

#define LINE_BYTES  HS_SHM_LINE_BYTES
#define AHEAD_BYTES 4096u

#if defined(__x86_64__) && defined(__SSE2__)

typedef long long part __attribute__((vector_size(16), may_alias));
typedef long long any_part
	__attribute__((vector_size(16), may_alias, aligned(1)));

static inline void ask(const uint8_t *line)
{
	__asm__ volatile("prefetchw %0" : : "m"(*line));
}

/* Of an address that is no line's. */
static inline void some_line(uint8_t *to, const uint8_t *from)
{
	for (size_t i = 0; i < LINE_BYTES; i += sizeof(part))
		*(any_part *)(to + i) = *(const any_part *)(from + i);
}

static inline void whole_line(uint8_t *to, const uint8_t *from)
{
	part a = *(const any_part *)from, b = *(const any_part *)(from + 16);
	part c = *(const any_part *)(from + 32), d;

	d = *(const any_part *)(from + 48);
	*(part *)to = a;
	*(part *)(to + 16) = b;
	*(part *)(to + 32) = c;
	*(part *)(to + 48) = d;
}

static void copy_ahead(uint8_t *to, const uint8_t *from, size_t n,
		       const uint8_t *begin, const uint8_t *end)
{
	size_t head = -(uintptr_t)to & (LINE_BYTES - 1);
	const uint8_t *stop = to + n;
	const uint8_t *last;

	/* The first of its buffer: nobody has asked for these. */
	if (begin && (size_t)(to - begin) < AHEAD_BYTES / 2)
		for (size_t i = 0; i < AHEAD_BYTES && i < (size_t)(end - to);
		     i += LINE_BYTES)
			ask(to + i);
	some_line(to, from);
	to += head;
	from += head;
	last = (size_t)(end - to) > AHEAD_BYTES ? end - AHEAD_BYTES : to;
	for (; stop - to >= (ptrdiff_t)LINE_BYTES && to < last;
	     to += LINE_BYTES, from += LINE_BYTES) {
		ask(to + AHEAD_BYTES);
		whole_line(to, from);
	}
	for (; stop - to >= (ptrdiff_t)LINE_BYTES;
	     to += LINE_BYTES, from += LINE_BYTES)
		whole_line(to, from);
	/* What was copied already, a second time. */
	some_line(to - (LINE_BYTES - (stop - to)),
		  from - (LINE_BYTES - (stop - to)));
}

/* One line of @to, which begins there. */
typedef void (*line_copy)(uint8_t *to, const uint8_t *from);

static inline __attribute__((always_inline)) void
copy_by(line_copy one, uint8_t *to, const uint8_t *from, size_t n)
{
	size_t head = -(uintptr_t)to & (LINE_BYTES - 1);
	const uint8_t *stop = to + n;

	some_line(to, from);
	to += head;
	from += head;
	for (; stop - to >= (ptrdiff_t)LINE_BYTES;
	     to += LINE_BYTES, from += LINE_BYTES)
		one(to, from);
	/* What was copied already, a second time. */
	some_line(to - (LINE_BYTES - (stop - to)),
		  from - (LINE_BYTES - (stop - to)));
}

typedef long long line __attribute__((vector_size(LINE_BYTES), may_alias));
typedef long long any_line
	__attribute__((vector_size(LINE_BYTES), may_alias, aligned(1)));

__attribute__((target("avx512f"))) static inline void
by_one(uint8_t *to, const uint8_t *from)
{
	*(line *)to = *(const any_line *)from;
}

/* A line that is written by one store need not be read first. */
__attribute__((target("avx512f"))) static void
copy_lines(uint8_t *to, const uint8_t *from, size_t n)
{
	copy_by(by_one, to, from, n);
}

typedef long long half __attribute__((vector_size(32), may_alias));
typedef long long any_half
	__attribute__((vector_size(32), may_alias, aligned(1)));

__attribute__((target("avx2"))) static inline void
by_halves(uint8_t *to, const uint8_t *from)
{
	half a = *(const any_half *)from;
	half b = *(const any_half *)(from + sizeof(half));

	*(half *)to = a;
	*(half *)(to + sizeof(half)) = b;
}

__attribute__((target("avx2"))) static void
copy_halves(uint8_t *to, const uint8_t *from, size_t n)
{
	copy_by(by_halves, to, from, n);
}

/* Shorter ones are worth it where a line is one store, and nowhere else. */
#define OTHERS_BYTES 512u

/* From here on memcpy()'s string move is worth what it takes to begin. */
#define STRING_BYTES 16384u

/* From here on a fence is worth what it waits for. */
#define STREAM_BYTES 4096u

/*
 * Past the caches. A line goes by either way alone: one that was streamed and
 * is then written to again would have to be waited for and read. The fence is
 * what orders the record before the count that tells of it.
 */
__attribute__((target("avx2"))) static void
copy_streamed(uint8_t *to, const uint8_t *from, size_t n)
{
	size_t head = -(uintptr_t)to & (LINE_BYTES - 1);
	const uint8_t *stop = to + n;

	memcpy(to, from, head);
	to += head;
	from += head;
	for (; stop - to >= (ptrdiff_t)LINE_BYTES;
	     to += LINE_BYTES, from += LINE_BYTES) {
		__m256i a = _mm256_loadu_si256((const void *)from);
		__m256i b =
			_mm256_loadu_si256((const void *)(from + sizeof(half)));

		_mm256_stream_si256((void *)to, a);
		_mm256_stream_si256((void *)(to + sizeof(half)), b);
	}
	memcpy(to, from, (size_t)(stop - to));
	_mm_sfence();
}

void hs_copy_long(uint8_t *to, const uint8_t *from, size_t n, size_t whole,
		  const uint8_t *begin, const uint8_t *end)
{
	bool intel = __builtin_cpu_is("intel");
	bool lines = !intel && __builtin_cpu_supports("avx512f");

	if (lines && whole < STRING_BYTES)
		copy_lines(to, from, n);
	else if (lines || n < OTHERS_BYTES ||
		 !(intel || __builtin_cpu_supports("avx2")))
		memcpy(to, from, n);
	else if (intel)
		copy_ahead(to, from, n, begin, end);
	else if (n < STREAM_BYTES)
		copy_halves(to, from, n);
	else
		copy_streamed(to, from, n);
}

#else

void hs_copy_long(uint8_t *to, const uint8_t *from, size_t n, size_t whole,
		  const uint8_t *begin, const uint8_t *end)
{
	memcpy(to, from, n);
}

#endif
