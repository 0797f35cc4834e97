/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the operations of this process (a service's span names), and how
 * often and how long they ran: counted when a span ends, over all requests.
 *
 * Guarantees: finding an operation is a hash and a compare; a new one is
 * entered without a lock, an allocation or a fault; there are at most
 * HS_SHM_OPERATIONS_MAX, those beyond are number 0. Numbers hold for the life
 * of the process. Counting is one instruction on a word that no other thread
 * writes, for as many threads as there are cores; a locked one for the others.
 */
#ifndef HS_DATAPLANE_OPERATION_H
#define HS_DATAPLANE_OPERATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "dataplane/attachment.h"
#include "dataplane/tls.h"
#include "hs/shm_watch.h"

#define HS_OPERATION_PLACES (2u * HS_SHM_OPERATIONS_MAX)

struct hs_operation {
	uint64_t hash;
	uint64_t generation; /* of the table that the next two are about */
	uint64_t rules;	     /* whose patterns fit */
	uint32_t busy;	     /* somebody works that out */
	uint32_t reserved;
	uint8_t quantiles[HS_SHM_RULES_MAX]; /* rules.h; 0: none */
	char service[HS_SHM_OPERATION_SERVICE];
	char name[HS_SHM_OPERATION_NAME];
};

struct hs_operations {
	uint32_t nr; /* claimed; 0 is "other" */
	uint32_t places[HS_OPERATION_PLACES];
	struct hs_operation items[HS_SHM_OPERATIONS_MAX];
};
extern struct hs_operations hs_operations __attribute__((visibility("hidden")));

/*
 * Operations whose names are literals, by the mark of the name (ADR 78) and the
 * hash of the resource: what was found once. A place is written once.
 */
#define HS_OPERATION_MARKS 512u
struct hs_operation_mark {
	uint64_t mark; /* 0: not ready */
	uint64_t resource;
	uint32_t number;
	uint32_t taken;
	uint32_t index;	   /* of its place */
	uint32_t again_at; /* bytes into a handle: where its name's is */
};
extern struct hs_operation_mark hs_operation_marks[HS_OPERATION_MARKS]
	__attribute__((visibility("hidden")));

/* Bits as they are: its bytes into the table. */
_Static_assert(!(sizeof(struct hs_operation_mark) &
		 (sizeof(struct hs_operation_mark) - 1)) &&
		       !(HS_OPERATION_MARKS & (HS_OPERATION_MARKS - 1)),
	       "a mask");

static inline uint32_t hs_operation_mark_place(uint64_t mark, uint64_t resource)
{
	return (uint32_t)((mark ^ resource) / sizeof(struct hs_operation_mark) %
			  HS_OPERATION_MARKS);
}

/* NULL: not there, or another in its place. */
static inline const struct hs_operation_mark *
hs_operation_glance(uint64_t mark, uint64_t resource)
{
	const struct hs_operation_mark *m =
		&hs_operation_marks[hs_operation_mark_place(mark, resource)];

	/* Kept, rather than made again wherever it is used. */
	__asm__("" : "+r"(m));
	if (!m)
		__builtin_unreachable();
	/* operation.R5 acquire, pairs operation.W4: what the mark stands
	 * for. */
	return __atomic_load_n(&m->mark, __ATOMIC_ACQUIRE) == mark &&
			       m->resource == resource
		       ? m
		       : NULL;
}

/* What was found for a mark is found at a glance from here on. */
void hs_operation_remember(uint64_t mark, uint64_t resource, uint32_t number);

/* Have the table's pages before anything is traced. Context: open. */
void hs_operations_make(void);

/* Enter a new one. Return: its number; 0 when there is no more room. */
uint32_t hs_operation_add(uint64_t hash, const char *service,
			  size_t service_bytes, const char *name,
			  size_t name_bytes);

/* Tell an attachment the texts of those it does not know yet. Context: the
 * helper. */
void hs_operations_publish(struct hs_attachment *at);

#define HS_OPERATION_MIX 0x9e3779b97f4a7c15ull

/* 64 bits of a text; equal texts have equal ones. */
static inline uint64_t hs_operation_hash(uint64_t h, const char *text, size_t n)
{
	uint64_t a = 0, b = 0;
	uint32_t c, d;

	h += n;
	for (; n > 16; n -= 8, text += 8) {
		memcpy(&a, text, 8);
		h = (h ^ a) * HS_OPERATION_MIX;
		h ^= h >> 29;
	}
	/* The last sixteen bytes, or two halves that overlap. */
	if (n >= 8) {
		memcpy(&a, text, 8);
		memcpy(&b, text + n - 8, 8);
	} else if (n >= 4) {
		memcpy(&c, text, 4);
		memcpy(&d, text + n - 4, 4);
		a = c;
		b = d;
	} else if (n) {
		a = (uint8_t)text[0] | (uint64_t)(uint8_t)text[n / 2] << 8 |
		    (uint64_t)(uint8_t)text[n - 1] << 16;
	}
	h = (h ^ a) * HS_OPERATION_MIX;
	h ^= h >> 32;
	h = (h ^ b) * HS_OPERATION_MIX;
	h ^= h >> 29;
	return h * HS_OPERATION_MIX | 1;
}

/* The number of an operation that was seen before, else 0. */
static inline uint32_t hs_operation_find(uint64_t hash)
{
	uint32_t i = (uint32_t)(hash >> 32) % HS_OPERATION_PLACES;
	uint32_t at;

	for (;;) {
		/* operation.R1 acquire, pairs operation.W1: what the number
		 * stands for. */
		at = __atomic_load_n(&hs_operations.places[i],
				     __ATOMIC_ACQUIRE);
		if (!at || hs_operations.items[at].hash == hash)
			return at;
		i = (i + 1) % HS_OPERATION_PLACES;
	}
}

/* One more, on a word that only this thread writes: a signal handler's comes
 * before or after it. */
static inline void hs_operation_add_own(uint64_t *word)
{
#if defined(__x86_64__)
	__asm__ volatile("addq $1, %0" : "+m"(*word));
#else
	/* operation.C1 relaxed: a counter. */
	__atomic_fetch_add(word, 1, __ATOMIC_RELAXED);
#endif
}

static inline void hs_operation_add_shared(uint64_t *word)
{
	/* operation.C2 relaxed: a counter. */
	__atomic_fetch_add(word, 1, __ATOMIC_RELAXED);
}

static inline __attribute__((always_inline)) uint64_t *
hs_operation_bucket(struct hs_shm_tally *tally, uint64_t duration_ns)
{
	return &tally->buckets[hs_shm_tally_bucket(duration_ns)];
}

/* What this thread alone counts of an operation; NULL: there is none. */
static inline __attribute__((always_inline)) struct hs_shm_tally *
hs_operation_own(const struct hs_attachment *at, const struct hs_tls *tls,
		 uint32_t number)
{
	const struct hs_lane *lane = tls->lane;

	if (__builtin_expect(!lane, 0) ||
	    __builtin_expect(tls->attachment != at->number, 0) ||
	    __builtin_expect(!lane->tallies, 0) ||
	    __builtin_expect(!number, 0) ||
	    __builtin_expect(number >= at->layout.nr_operations, 0))
		return NULL;
	return lane->tallies + number;
}

/* By a thread, or of an operation, that has no word of its own. */
void hs_operation_count_shared(const struct hs_attachment *at, uint32_t number,
			       uint64_t duration_ns, bool error);

/**
 * hs_operation_count() - a span has ended
 * @at: its trace's
 * @number: as hs_operation_find(); 0: "other"
 *
 * Context: write path.
 */
static inline void hs_operation_count(const struct hs_attachment *at,
				      uint32_t number, uint64_t duration_ns,
				      bool error)
{
	struct hs_shm_tally *tally = hs_operation_own(at, &hs_tls, number);

	if (!tally) {
		hs_operation_count_shared(at, number, duration_ns, error);
		return;
	}
	hs_operation_add_own(hs_operation_bucket(tally, duration_ns));
	if (error)
		hs_operation_add_own(&tally->errors);
}

#endif
