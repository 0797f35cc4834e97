/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ring_format.h - two peers of the control fabric over shared memory
 *
 * One dials the other's Unix socket (SOCK_STREAM). Each side makes a memory of
 * its own, sealed, and sends HELLO with its descriptor; from then on it writes
 * its own memory alone, and reads the other's alone. A memory begins with a
 * page of words; a ring of bytes follows, in which its owner writes what it
 * has to say: the same stream of messages as over TCP (wire_format.h). `head`
 * counts the bytes that its owner wrote, `tail` those that it read in the
 * other's ring; both only grow.
 *
 * Whoever has read all there was raises `naps` and looks once more before it
 * sleeps. Who has written, or read, and finds `naps`, or `thirst`, changed
 * since it rang last, rings: one byte through the socket. So nobody is rung
 * twice for one sleep. The socket's end is the connection's.
 *
 * A side that the other says it reads (HELLO's flag, wire_format.h) may hand
 * over another memory of its own once, with a byte through the socket, and tell
 * by a WINDOW behind it what it is: sealed, of that size, without holes, and to
 * be read alone.
 *
 * Where each side's HELLO says that it hears bells, each hands over an eventfd,
 * with a byte through the socket once the other is up, and rings by that from
 * then on: it is written to, and never read.
 *
 * All in the machine's order. Each side takes what the other wrote as input.
 */
#ifndef HS_RING_FORMAT_H
#define HS_RING_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define HS_RING_ASSERT(cond) static_assert(cond, #cond)
#else
#define HS_RING_ASSERT(cond) _Static_assert(cond, #cond)
#endif

#define HS_RING_MAGIC	     0x474e5248u /* "HRNG" */
#define HS_RING_VERSION	     1u
#define HS_RING_WORDS_BYTES  4096u
#define HS_RING_BYTES	     (64u << 10) /* a power of two */
#define HS_RING_MEMORY_BYTES (HS_RING_WORDS_BYTES + HS_RING_BYTES)
/* Through the socket, a byte each: */
#define HS_RING_BELL	0x01 /* what rings */
#define HS_RING_MEMORY	0x02 /* with the descriptor that WINDOW tells of */
#define HS_RING_EVENTFD 0x03 /* with the one that rings from now on */

struct hs_ring_hello {
	uint32_t magic;
	uint16_t version;
	uint16_t reserved;   /* 0 */
	uint32_t ring_bytes; /* HS_RING_BYTES */
	uint32_t words_bytes;
};
HS_RING_ASSERT(sizeof(struct hs_ring_hello) == 16);

/* At the start of a memory; all of it is written by its owner. */
struct hs_ring_words {
	/* Of the ring in this memory. */
	uint64_t head;
	uint32_t thirst; /* raised whenever there is no room to write */
	uint32_t reserved0;
	uint8_t pad0[48];
	/* Of the ring in the other one's. */
	uint64_t tail;
	uint32_t naps; /* raised whenever there is nothing to read */
	uint32_t reserved1;
	uint8_t pad1[48];
};
HS_RING_ASSERT(offsetof(struct hs_ring_words, thirst) == 8);
HS_RING_ASSERT(offsetof(struct hs_ring_words, tail) == 64);
HS_RING_ASSERT(offsetof(struct hs_ring_words, naps) == 72);
HS_RING_ASSERT(sizeof(struct hs_ring_words) == 128);

#endif
