/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inline.h - the part of the write path that is compiled into applications
 *
 * Included by hindsight.h. Nothing here is for applications to use by name.
 * What is declared here is the ABI of libhindsight.so.0, layout and meaning
 * (ADR 40): a library may always keep a window closed, and then every call
 * goes to it.
 *
 * A window lies at the start of every trace handle. While it is open, its
 * thread may append to the present buffer by itself. Whoever appends closes it
 * first and opens it again when done, so that a call that a signal handler
 * makes in between finds it closed, goes to the library, and is dropped and
 * counted there. pos and size are read after closing: what the handler of an
 * earlier signal did is seen whole.
 */
#ifndef HS_INLINE_H
#define HS_INLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

struct hs_trace;

struct hs_trace_window {
	uint32_t open; /* 1: open, and the buffer's clock is the TSC */
	uint32_t pos;  /* of the next record */
	uint32_t size; /* of the buffer; pos never exceeds it */
	uint32_t last; /* the library's own */
	uint8_t *base;
};

/* A tracepoint in ticks: u32 type and length, six bytes of counter, data. */
#define HS_INLINE_POINT_TICKS 0x4au
#define HS_INLINE_POINT_PLAIN 0x0cu
#define HS_INLINE_TICKS_BYTES 6u
#define HS_INLINE_HEAD_BYTES  4u
/* Of struct hs_shm_buffer. */
#define HS_INLINE_COMMITTED_OFFSET 44u
/*
 * The handle that stands for none has no window, so that threads without a
 * trace share no word. NULL is the thread's own trace: both are the library's.
 */
#define HS_INLINE_NONE		    64u
#define HS_INLINE_HAS_WINDOW(trace) ((uintptr_t)(trace) > HS_INLINE_NONE)
/* Longer ones gain nothing from being copied here. */
#define HS_INLINE_MAX_BYTES 256u

/*
 * The mark of an attribute's key or a span's name: 64 bits that its compiler
 * makes of a literal (ADR 78), by which the library finds what it knows of it.
 * Texts of up to 32 bytes have one; 0 is none.
 */
#define HS_INLINE_MARK_MAX   32u
#define HS_INLINE_MARK_MIX   0x9e3779b97f4a7c15ull
#define HS_INLINE_MARK_MIX_A 0xbf58476d1ce4e5b9ull
#define HS_INLINE_MARK_MIX_B 0x94d049bb133111ebull
#define HS_INLINE_MARK_BYTE(text, n, i)                                        \
	((i) < (n) ? (uint64_t)(uint8_t)(text)[i] << 8 * ((i)&7u) : 0)
#define HS_INLINE_MARK_WORD(text, n, i)                                        \
	(HS_INLINE_MARK_BYTE(text, n, (i)) |                                   \
	 HS_INLINE_MARK_BYTE(text, n, (i) + 1u) |                              \
	 HS_INLINE_MARK_BYTE(text, n, (i) + 2u) |                              \
	 HS_INLINE_MARK_BYTE(text, n, (i) + 3u) |                              \
	 HS_INLINE_MARK_BYTE(text, n, (i) + 4u) |                              \
	 HS_INLINE_MARK_BYTE(text, n, (i) + 5u) |                              \
	 HS_INLINE_MARK_BYTE(text, n, (i) + 6u) |                              \
	 HS_INLINE_MARK_BYTE(text, n, (i) + 7u))

/* Every bit of a word changes every bit, so that no bytes of the next one undo
 * what others of this one did (the last step of splitmix64). */
static inline __attribute__((always_inline)) uint64_t
hs_inline_mark_add(uint64_t h, uint64_t word)
{
	h ^= word;
	h = (h ^ h >> 30) * HS_INLINE_MARK_MIX_A;
	h = (h ^ h >> 27) * HS_INLINE_MARK_MIX_B;
	return h ^ h >> 31;
}

/* Without a loop, so that a compiler finds that it is a constant. Some look
 * behind a text that is none. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Warray-bounds"
static inline __attribute__((always_inline)) uint64_t
hs_inline_mark(const char *text, size_t n)
{
	uint64_t h = n * HS_INLINE_MARK_MIX;

	if (!n || n > HS_INLINE_MARK_MAX)
		return 0;
	h = hs_inline_mark_add(h, HS_INLINE_MARK_WORD(text, n, 0u));
	if (n > 8)
		h = hs_inline_mark_add(h, HS_INLINE_MARK_WORD(text, n, 8u));
	if (n > 16)
		h = hs_inline_mark_add(h, HS_INLINE_MARK_WORD(text, n, 16u));
	if (n > 24)
		h = hs_inline_mark_add(h, HS_INLINE_MARK_WORD(text, n, 24u));
	return h ? h : 1;
}
#pragma GCC diagnostic pop

#if defined(__x86_64__) && defined(__GNUC__)
#define HS_INLINE 1

/*
 * One instruction, so that no signal comes between looking and closing. What
 * is not 1 was closed: put back.
 */
static inline __attribute__((always_inline)) bool
hs_inline_close(struct hs_trace_window *w)
{
	bool was_closed;

	__asm__ volatile("subl $1, %0"
			 : "+m"(w->open), "=@ccnz"(was_closed)
			 :
			 : "memory");
	if (__builtin_expect(was_closed, 0)) {
		__asm__ volatile("addl $1, %0" : "+m"(w->open) : : "memory");
		return false;
	}
	return true;
}

static inline __attribute__((always_inline)) bool
hs_inline_point(struct hs_trace *trace, const void *data, uint32_t size_bytes,
		bool stamped)
{
	struct hs_trace_window *w = (struct hs_trace_window *)trace;
	uint32_t head =
		HS_INLINE_HEAD_BYTES + (stamped ? HS_INLINE_TICKS_BYTES : 0);
	uint32_t word =
		(stamped ? HS_INLINE_POINT_TICKS : HS_INLINE_POINT_PLAIN) |
		(head - HS_INLINE_HEAD_BYTES + size_bytes) << 8;
	uint32_t next, pos, low, high;
	uint8_t *base;

	if (!hs_inline_close(w))
		return false;
	pos = w->pos;
	next = pos + head + size_bytes;
	if (__builtin_expect(next > w->size, 0)) {
		w->open = 1;
		return false;
	}
	base = w->base;
	memcpy(base + pos, &word, sizeof(word));
	if (stamped) {
		__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
		memcpy(base + pos + 4, &low, sizeof(low));
		/* Two bytes more than count; the data goes over them. */
		memcpy(base + pos + 8, &high, sizeof(high));
	}
	memcpy(base + pos + head, data, size_bytes);
	/* buffer.W2 release, pairs buffer.R1: bytes before their length. */
	__atomic_store_n(
		(uint32_t *)(void *)(base + HS_INLINE_COMMITTED_OFFSET), next,
		__ATOMIC_RELEASE);
	w->pos = next;
	/* window.C1 acq_rel, pairs window.C2: all of it before it opens, for
	 * the signal handlers of this thread. */
	__atomic_signal_fence(__ATOMIC_ACQ_REL);
	w->open = 1;
	return true;
}

/*
 * Sizes that are known when the application is compiled, from 2 on (see the
 * stamp above).
 */
#define HS_INLINE_FITS(data, size_bytes)                                       \
	(__builtin_constant_p(size_bytes) && (size_bytes) >= 2 &&              \
	 (size_bytes) <= HS_INLINE_MAX_BYTES &&                                \
	 !(__builtin_constant_p(!(data)) && !(data)))

#endif

#ifdef __cplusplus
}
#endif
#endif
