/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lend_format.h - a port that an application lends to its node's agent
 *
 * The application connects to the agent's lending socket (SOCK_SEQPACKET) and
 * sends HELLO; the agent answers WELCOME with two memories: `down`, which the
 * agent writes and the application may only read, and `up`, the other way
 * round. Each begins with a page of words; a ring of slots follows, one frame
 * in each: in `down` those that shall be sent, in `up` those that came. A
 * producer counts what it has put in `head`, a consumer what it has taken in
 * `tail`, in its own memory; both only grow, and wrap at 2^32. The connection
 * says nothing more; its end is the loan's.
 *
 * Version 1 is of IPv4. Version 2 is of IPv6, the same with an address of 16
 * bytes in HELLO and in each slot. Which of them a loan is follows from the
 * application's address; an agent speaks both.
 *
 * Addresses and ports are in network order, as they stand in IPv4 and UDP; all
 * else is in the machine's. Each side takes what the other wrote as input.
 */
#ifndef HS_LEND_FORMAT_H
#define HS_LEND_FORMAT_H

#include <stdint.h>

#ifdef __cplusplus
#define HS_LEND_ASSERT(cond) static_assert(cond, #cond)
#else
#define HS_LEND_ASSERT(cond) _Static_assert(cond, #cond)
#endif

#define HS_LEND_MAGIC	    0x444e4548u /* "HEND" */
#define HS_LEND_VERSION_IP4 1u
#define HS_LEND_VERSION_IP6 2u
#define HS_LEND_WORDS_BYTES 4096u
#define HS_LEND_HEAD_BYTES  16u /* of a slot */
#define HS_LEND_HEAD6_BYTES 32u /* the same, of IPv6 */
/* Of a packet of IPv6 more than of one of IPv4. */
#define HS_LEND_IP6_MORE_BYTES 20u
#define HS_LEND_SLOTS_MIN      16u
#define HS_LEND_SLOTS_MAX      4096u
#define HS_LEND_FRAME_MIN      576u
#define HS_LEND_FRAME_MAX      9216u
#define HS_LEND_NAME_BYTES     32u

enum hs_lend_refusal {
	HS_LEND_WELCOME = 0,
	HS_LEND_REFUSED_VERSION = 1,
	HS_LEND_REFUSED_BUSY = 2, /* another lender is there */
	HS_LEND_REFUSED_FRAME =
		3,		  /* frames of the agent's ship.mtu don't fit */
	HS_LEND_REFUSED_USER = 4, /* not among ship.lenders */
	HS_LEND_REFUSED_MEMORY = 5,
	HS_LEND_REFUSED_HELLO = 6,  /* it makes no sense */
	HS_LEND_REFUSED_FAMILY = 7, /* no collector has an address of its */
};

struct hs_lend_hello {
	uint32_t magic;
	uint16_t version_min, version_max;
	uint32_t ip; /* that frames go out from */
	uint16_t port;
	uint16_t reserved;
	uint32_t frame_bytes; /* largest UDP payload that the port takes */
	uint32_t flags;	      /* none yet: 0 */
	char name[HS_LEND_NAME_BYTES]; /* for people; ends with a NUL */
};
HS_LEND_ASSERT(sizeof(struct hs_lend_hello) == 56);

/* Of version 2. */
struct hs_lend_hello6 {
	struct hs_lend_hello base; /* its ip is 0 */
	uint8_t ip[16];
};
HS_LEND_ASSERT(sizeof(struct hs_lend_hello6) == 72);

struct hs_lend_welcome {
	uint32_t magic;
	uint16_t version;
	uint16_t refused; /* enum hs_lend_refusal; no memories come with it */
	uint32_t
		frame_bytes; /* largest that the agent sends, and may be sent */
	uint32_t slot_bytes; /* of both rings: HS_LEND_HEAD_BYTES, or of
				version 2 HS_LEND_HEAD6_BYTES, and that, in
				whole lines of 64 bytes */
	uint32_t nr_slots;   /* of both rings, a power of two */
	uint32_t reserved;
};
HS_LEND_ASSERT(sizeof(struct hs_lend_welcome) == 24);

/* Of `down`; each word has a cache line. */
struct hs_lend_down {
	uint32_t head; /* frames put, to be sent */
	uint32_t pad0[15];
	uint32_t tail; /* frames taken, that came */
	uint32_t pad1[15];
};
HS_LEND_ASSERT(sizeof(struct hs_lend_down) <= HS_LEND_WORDS_BYTES);

/* Of `up`. */
struct hs_lend_up {
	uint32_t tail; /* frames taken, to be sent */
	uint32_t pad0[15];
	uint32_t head; /* frames put, that came */
	uint32_t pad1[15];
	/* Counters, for people. */
	uint64_t sent, sent_bytes;
	uint64_t no_neighbour; /* frames dropped: ARP was not answered */
	uint64_t no_memory;    /* times that there was no mbuf */
	uint64_t stuck;	       /* times that the queue took nothing */
	uint64_t dropped;      /* frames that came and found no slot */
	uint64_t pad2[2];
};
HS_LEND_ASSERT(sizeof(struct hs_lend_up) <= HS_LEND_WORDS_BYTES);

/* Ahead of a slot's frame. */
struct hs_lend_slot {
	/* ip | port << 32 | bytes << 48: to whom, or from whom; one word, so
	 * that it is read at once. */
	uint64_t word;
	uint64_t reserved;
};
HS_LEND_ASSERT(sizeof(struct hs_lend_slot) == HS_LEND_HEAD_BYTES);

/* The same in version 2. */
struct hs_lend_slot6 {
	struct hs_lend_slot base; /* its ip is 0 */
	uint8_t ip[16];
};
HS_LEND_ASSERT(sizeof(struct hs_lend_slot6) == HS_LEND_HEAD6_BYTES);

#endif
