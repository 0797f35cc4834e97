/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: a peer over shared memory by hand, for fuzz_shm_words.c: its socket,
 * its ring, what it can hand over, and what it says by a script's bytes.
 *
 * Whatever the transport does not take of it is lost: a peer may be cut off at
 * any time. What cannot be here ends the process.
 */
#ifndef HS_FUZZ_SHM_PEER_H
#define HS_FUZZ_SHM_PEER_H

#include "base/memfd.h"
#include "hs/wire_format.h"
#include "rdma/shm_ring.h"

#define SHOWN_BYTES 8192u
#define SHOWN_FILL  0x5a

/* A script is a row of these, each with bytes of its own. */
enum op {
	DIAL,
	HELLO,
	WORDS,
	SAY,
	BYTES,
	LIE,
	RINGS,
	HEAR,
	BELL,
	TURN,
	END,
	SEND,
	READ,
	FEED,
	PEER,
	NO_PLACE,
	OPS,
};
#define AND 0x80u /* or'ed to an op: no turn of the transport behind it */

/* What a peer can hand over. */
enum kind {
	RING, /* its own */
	RING_UNSEALED,
	RING_EMPTY,
	RING_SHORT,
	SHOWN,
	SHOWN_UNSEALED,
	SHOWN_SIZE_SEALED,
	SHOWN_SHORT,
	SHOWN_LONG,
	SHOWN_ODD,
	SHOWN_HOLE,   /* with as many blocks behind its end */
	SHOWN_MISSES, /* a page, and has no block for it */
	EMPTY,
	EVENTFD,
	PIPE_IN,
	PIPE_OUT,
	PIPE_ENDED,
	READ_ONLY,
	DEV_NULL,
	EPOLL,
	THEIR_RING, /* what it was handed itself */
	THEIR_BELL,
	THEIR_TABLE,
	KINDS,
};

/* A script's byte of descriptors: a kind of above, and how many of it. */
#define NO_FD	0xa0u
#define TWO(k)	(0xc0u | (k))
#define MANY(k) (0xe0u | (k)) /* more than are taken in */

/* What it can say in the ring: a byte, and what follows that. */
enum say {
	SAY_HELLO,  /* role << 4 | flags */
	SAY_WINDOW, /* which size, and how many bytes of about */
	SAY_PING,   /* or PONG, with 0x80 */
	SAY_LEAVE,
	SAY_ANY, /* type, size, bytes */
	SAY_GAP, /* in its numbers, so large; then LEAVE */
	SAYS,
};

enum lie {
	LIE_HEAD,
	LIE_TAIL,
	LIE_NAPS,
	LIE_THIRST,
	LIE_SKIP,   /* goes on writing further behind */
	LIE_THEIRS, /* writes into the memory that is not its own */
	LIES,
};

struct input {
	const uint8_t *data;
	size_t left;
};

struct peer {
	int fd;	   /* -1: not connected */
	bool seen; /* by a turn of the transport since it connected */
	struct hs_memfd ours, theirs;
	int bell, table; /* that it was handed; -1: none */
	struct hs_shm_ring ring;
	uint64_t seq;
};

void die(const char *format, ...)
	__attribute__((format(printf, 1, 2), noreturn));
/** take() - the next @nr bytes, as a number; zeros behind the end */
uint64_t take(struct input *in, uint32_t nr);

/** kept() - descriptors that are open, and memories that are mapped */
uint32_t kept(void);
/** kept_no_more() - no descriptor more than there are, or as before */
void kept_no_more(bool on);

/** kinds_make() - once, before all else */
void kinds_make(void);
int kind_fd(enum kind k);
/** kinds_forget() - what was left in them by the input before */
void kinds_forget(void);

void peer_make(struct peer *o);
void peer_dial(struct peer *o, int port);
void peer_hang_up(struct peer *o);
/** peer_hear() - all that the transport says */
void peer_hear(struct peer *o);
void peer_words(const struct peer *o, const void *words, size_t nr,
		const int *fds, size_t nr_fds);
void peer_ring(const struct peer *o);
void peer_put(struct peer *o, const void *bytes, size_t size_bytes);
void peer_say(struct peer *o, uint16_t type, const void *payload,
	      uint32_t size_bytes);
void peer_say_hello(struct peer *o, uint16_t role, uint16_t flags);

/* shm_says.c: the same, by a script. */
void says_hello(struct peer *o, struct input *in);
void says_words(struct peer *o, struct input *in);
void says_message(struct peer *o, struct input *in);
void says_bytes(struct peer *o, struct input *in);
void says_lie(struct peer *o, struct input *in);
void says_end(struct peer *o, struct input *in);

#endif
