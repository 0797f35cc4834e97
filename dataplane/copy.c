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
 * each in one line, since records begin anywhere.
 */
#include "dataplane/copy.h"

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

typedef long long line __attribute__((vector_size(LINE_BYTES), may_alias));
typedef long long any_line
	__attribute__((vector_size(LINE_BYTES), may_alias, aligned(1)));

/* A line that is written by one store need not be read first. */
__attribute__((target("avx512f"))) static void
copy_lines(uint8_t *to, const uint8_t *from, size_t n)
{
	size_t head = -(uintptr_t)to & (LINE_BYTES - 1);
	const uint8_t *stop = to + n;

	some_line(to, from);
	to += head;
	from += head;
	for (; stop - to >= (ptrdiff_t)LINE_BYTES;
	     to += LINE_BYTES, from += LINE_BYTES)
		*(line *)to = *(const any_line *)from;
	/* What was copied already, a second time. */
	some_line(to - (LINE_BYTES - (stop - to)),
		  from - (LINE_BYTES - (stop - to)));
}

void hs_copy_long(uint8_t *to, const uint8_t *from, size_t n,
		  const uint8_t *begin, const uint8_t *end)
{
	if (__builtin_cpu_is("intel"))
		copy_ahead(to, from, n, begin, end);
	else if (__builtin_cpu_supports("avx512f"))
		copy_lines(to, from, n);
	else
		memcpy(to, from, n);
}

#else

void hs_copy_long(uint8_t *to, const uint8_t *from, size_t n,
		  const uint8_t *begin, const uint8_t *end)
{
	memcpy(to, from, n);
}

#endif
