/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: how services call each other by default: a ring in shared memory
 * with one producer and one consumer, of messages of a cache line. Each side
 * works on its own copy of the positions and says how far it is once for a
 * batch.
 *
 * Guarantees: no system call, no allocation, no waiting; a full ring is said
 * to its producer, who keeps the message.
 */
#ifndef HS_BENCH_SERVICES_RING_H
#define HS_BENCH_SERVICES_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define HS_SVC_RING_MESSAGES 1024u
#define HS_SVC_CONTEXT_BYTES 40u

enum hs_svc_mark {
	HS_SVC_MARK_EDGE = 1,	 /* this request is an edge case */
	HS_SVC_MARK_FAULTY = 2,	 /* the faulty trigger is to name it */
	HS_SVC_MARK_SHOWN = 4,	 /* reply: its symptom was there */
	HS_SVC_MARK_REFUSED = 8, /* reply: somebody had no room for it */
	HS_SVC_MARK_COSTLY = 16, /* of the burst: takes long */
};

/* A call or the reply to it. */
struct hs_svc_message {
	/* call: ticks when it was sent; reply: bits of nodes that were there */
	uint64_t word;
	uint32_t slot;	/* the caller's, given back by the reply */
	uint32_t spans; /* reply: of this call and all below */
	uint16_t api;
	uint8_t marks; /* enum hs_svc_mark */
	uint8_t context_bytes;
	uint32_t calls; /* reply: this one and all below */
	uint8_t context[HS_SVC_CONTEXT_BYTES];
};
_Static_assert(sizeof(struct hs_svc_message) == 64, "a cache line");

struct hs_svc_ring {
	_Alignas(64) _Atomic uint64_t head; /* written up to here */
	_Alignas(64) _Atomic uint64_t tail; /* read up to here */
	_Alignas(64) struct hs_svc_message messages[HS_SVC_RING_MESSAGES];
};

/* One end of it. */
struct hs_svc_end {
	struct hs_svc_ring *ring; /* NULL: nobody there */
	uint64_t at;		  /* where this end is */
	uint64_t other;		  /* where the other end was seen last */
	uint64_t said;		  /* what the other end knows of this one */
};

/* Room for a message, to be filled in; NULL: full. */
static inline struct hs_svc_message *hs_svc_ring_put(struct hs_svc_end *e)
{
	if (e->at - e->other == HS_SVC_RING_MESSAGES) {
		/* svc_ring.R2 acquire, pairs svc_ring.W2: the place is read. */
		e->other = atomic_load_explicit(&e->ring->tail,
						memory_order_acquire);
		if (e->at - e->other == HS_SVC_RING_MESSAGES)
			return NULL;
	}
	return &e->ring->messages[e->at++ % HS_SVC_RING_MESSAGES];
}

/* How many places the producer has; looks at the ring. */
static inline uint32_t hs_svc_ring_room(struct hs_svc_end *e)
{
	/* svc_ring.R2 acquire, pairs svc_ring.W2: see there. */
	e->other = atomic_load_explicit(&e->ring->tail, memory_order_acquire);
	return HS_SVC_RING_MESSAGES - (uint32_t)(e->at - e->other);
}

/* Tell the consumer. Return: whether there was anything to tell. */
static inline bool hs_svc_ring_flush(struct hs_svc_end *e)
{
	if (e->at == e->said)
		return false;
	e->said = e->at;
	/* svc_ring.W1 release, pairs svc_ring.R1: messages before the head. */
	atomic_store_explicit(&e->ring->head, e->at, memory_order_release);
	return true;
}

/* How many messages there are to read; looks at the ring when none is known. */
static inline uint32_t hs_svc_ring_count(struct hs_svc_end *e)
{
	if (e->at == e->other)
		/* svc_ring.R1 acquire, pairs svc_ring.W1: see there. */
		e->other = atomic_load_explicit(&e->ring->head,
						memory_order_acquire);
	return (uint32_t)(e->other - e->at);
}

static inline const struct hs_svc_message *hs_svc_ring_get(struct hs_svc_end *e)
{
	return &e->ring->messages[e->at++ % HS_SVC_RING_MESSAGES];
}

/* Give the places read back to the producer. */
static inline void hs_svc_ring_release(struct hs_svc_end *e)
{
	/* svc_ring.W2 release, pairs svc_ring.R2: read before given back. */
	atomic_store_explicit(&e->ring->tail, e->at, memory_order_release);
}

#endif
