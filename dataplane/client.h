/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the process's one client: what every call looks at first, and what
 * the rare calls (open, attach, close, fork) change.
 *
 * Guarantees: `epoch` lies in a page that a forked child finds zeroed, so a
 * child is switched off from its first instruction until it opens its own
 * client, whatever made the copy. Epochs never repeat in a line of forks, so
 * handles, spans and lanes of an earlier one are told apart by a compare.
 */
#ifndef HS_DATAPLANE_CLIENT_H
#define HS_DATAPLANE_CLIENT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "dataplane/attachment.h"
#include "dataplane/clock.h"
#include "dataplane/connect.h"
#include "dataplane/tls.h"
#include "hs/hindsight.h"

/* Each replaced attachment keeps its address range until close. */
#define HS_CLIENT_ATTACHMENTS_MAX 1024u
#define HS_CLIENT_TRACES_DEFAULT  4096u
#define HS_CLIENT_TRACES_MAX	  (1u << 20)
#define HS_CLIENT_RATE_DEFAULT	  10000u

enum hs_client_counter {
	HS_COUNT_BUFFERS_NULL,
	HS_COUNT_ENTRIES_LOST,
	HS_COUNT_HANDLES_LOST,
	HS_COUNT_CALLS_NESTED,
	HS_COUNT_CALLS_STALE,
	HS_COUNT_VALUES_CUT,
	HS_COUNT_TRIGGERS_LIMITED,
	HS_COUNT_ATTACHMENTS,
	HS_COUNT_NR
};

struct hs_client {
	const uint64_t *live;		  /* the epoch; 0: nothing is open */
	struct hs_attachment *attachment; /* the newest, or NULL */
	struct hs_resource *resource;	  /* the process's own */
	uint64_t resource_hash;		  /* its; also once it is gone */
	uint64_t first_attachment;	  /* number of this epoch's first */
	uint64_t node;
	uint32_t attached;
	uint32_t trigger_rate_per_s;
	uint32_t clock;		/* enum hs_client_clock */
	uint32_t number_blocks; /* handle numbers given to lanes */
	uint32_t nr_seeded;	/* threads that drew a random state */
	uint64_t seed[2];
	uint64_t counters[HS_COUNT_NR];

	/* Below: under lock. */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	uint64_t *page; /* what live points to, once there is one */
	uint64_t epochs;
	uint64_t attachments; /* numbers given so far */
	uint32_t nr_retired;
	pid_t pid; /* that opened it; 0: closed */
	pthread_t helper;
	bool has_helper;
	bool stop;
	struct hs_connect connect;
	char service[64];
};

extern struct hs_client hs_client __attribute__((visibility("hidden")));

/* Now, where the processor's counter is not asked. */
static inline uint64_t hs_client_now_ns(void)
{
	return hs_client.clock == HS_CLIENT_CLOCK_COARSE ? hs_clock_coarse_ns()
							 : hs_clock_real_ns();
}

static inline uint64_t hs_client_epoch(void)
{
	const uint64_t *live;

	/* client.R3 acquire, pairs client.W3: the page before its address. */
	live = __atomic_load_n(&hs_client.live, __ATOMIC_ACQUIRE);
	/* client.R1 acquire, pairs client.W1 client.W5: what open set up. */
	return __atomic_load_n(live, __ATOMIC_ACQUIRE);
}

static inline uint64_t hs_client_node_now(void)
{
	/* client.C11 relaxed: one word, nothing hangs on it. */
	return __atomic_load_n(&hs_client.node, __ATOMIC_RELAXED);
}

static inline void hs_client_count(enum hs_client_counter counter, uint64_t n)
{
	/* client.C2 relaxed: a counter. */
	__atomic_fetch_add(&hs_client.counters[counter], n, __ATOMIC_RELAXED);
}

/**
 * hs_client_enter() - the head of every call on the write path
 * @epoch: hs_client_epoch(), by a caller who asks more of it
 *
 * Return: this thread's state, to be given to hs_client_leave(); NULL when
 *	   the call must do nothing.
 */
static inline struct hs_tls *hs_client_enter_epoch(uint64_t epoch)
{
	struct hs_tls *tls;

	if (__builtin_expect(epoch == 0, 0))
		return NULL;
	tls = &hs_tls;
	if (__builtin_expect(tls->busy != 0, 0)) {
		hs_client_count(HS_COUNT_CALLS_NESTED, 1);
		return NULL;
	}
	tls->busy = 1;
	/* client.C3 acq_rel, pairs client.C4: a signal handler on this thread
	 * sees busy before anything the call does. */
	__atomic_signal_fence(__ATOMIC_ACQ_REL);
	return tls;
}

static inline struct hs_tls *hs_client_enter(void)
{
	return hs_client_enter_epoch(hs_client_epoch());
}

static inline void hs_client_leave(struct hs_tls *tls)
{
	/* client.C4 acq_rel, pairs client.C3: all of the call before busy is
	 * taken back. */
	__atomic_signal_fence(__ATOMIC_ACQ_REL);
	tls->busy = 0;
}

/* The attachment to begin new traces on; NULL: none, or it went bad. */
static inline struct hs_attachment *hs_client_attachment(void)
{
	struct hs_attachment *at;

	/* client.R4 acquire, pairs client.W4: what it points to. */
	at = __atomic_load_n(&hs_client.attachment, __ATOMIC_ACQUIRE);
	/* client.C5 relaxed: seen late, it costs a few more bounds checks. */
	if (at && __atomic_load_n(&at->bad, __ATOMIC_RELAXED))
		return NULL;
	return at;
}

/* The lane that the thread holds already on @at, or NULL. */
static inline struct hs_lane *hs_client_lane_on(const struct hs_tls *tls,
						const struct hs_attachment *at)
{
	return tls->attachment == at->number ? tls->lane : NULL;
}

/* The same of the present attachment. */
static inline struct hs_lane *hs_client_lane_held(const struct hs_tls *tls)
{
	const struct hs_attachment *at = hs_client_attachment();

	return at ? hs_client_lane_on(tls, at) : NULL;
}

/**
 * hs_client_lane() - the calling thread's lane on @at, taken on first use
 *
 * Return: NULL when the process has no lane free.
 */
struct hs_lane *hs_client_lane_take(struct hs_tls *tls,
				    struct hs_attachment *at);
static inline struct hs_lane *hs_client_lane(struct hs_tls *tls,
					     struct hs_attachment *at)
{
	struct hs_lane *lane = hs_client_lane_on(tls, at);

	return __builtin_expect(lane != NULL, 1) ? lane
						 : hs_client_lane_take(tls, at);
}

/* 64 random bits. Context: between enter and leave. */
uint64_t hs_client_random(struct hs_tls *tls);

/* Have all pages of a table before anything is traced. Context: open. */
void hs_client_touch(void *memory, size_t size_bytes);

#endif
