/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: an attached process: its two memories, its life, and how both
 * survive a change of workers.
 *
 * Guarantees: the layout of its memory is kept privately and checked when
 * adopted; `down` is handed out read-only and cannot be opened anew by another
 * user; `up` is mapped read-only here. A guest is in the domain's ledger
 * before it is handed anything, and out of it after all was taken back.
 */
#ifndef HS_AGENT_GUEST_H
#define HS_AGENT_GUEST_H

#include <sys/types.h>

#include "agent/domain.h"
#include "agent/tally.h"
#include "agent/worker.h"
#include "hs/shm_format.h"

struct hs_guest_lane {
	uint64_t tail;
	uint64_t lost;
};

/* The stock of one core and size class. */
struct hs_guest_ring {
	uint32_t core, size_class;
	uint32_t node;	 /* where its buffers should lie */
	uint32_t mask;	 /* of its words */
	uint64_t offset; /* within the rings of `down` */
	uint64_t head;
	uint64_t tail;	  /* as last seen */
	uint64_t nulls;	  /* as last seen */
	uint64_t empties; /* as last seen */
	uint64_t recall;  /* asked back up to here */
	uint32_t level;	  /* to fill it up to; 0: not looked at yet */
	uint64_t busy_ns; /* when demand was last high */
	uint64_t share;	  /* words that it may have, with so many guests: */
	uint32_t share_guests;
};

struct hs_guest {
	uint32_t index;	 /* in w->guests */
	uint32_t number; /* the core's and the guest's */
	uint32_t place;	 /* in the domain's ledger */
	struct hs_tenant *tenant;
	pid_t pid;
	uint64_t start_ticks;
	uint64_t calibration; /* told last; of this worker with told */
	bool told;
	uint64_t token;
	char service[64];
	int exit_fd; /* pidfd, -1 once it is dead */
	int line;    /* its socket, -1 while hung up */
	bool dead;
	bool garbage; /* nothing it writes is looked at any more */
	bool adopted; /* and its guest has not come back yet */
	uint64_t since_ns;
	uint64_t read_ns; /* when its memory was last read */
	struct hs_memfd down, up;
	struct hs_shm_down layout;
	struct hs_guest_lane *lanes;
	struct hs_guest_ring *rings; /* nr_classes of each core in turn */
	uint32_t first_class, nr_classes;
	uint64_t unpinned;
	uint64_t lost_total;
	uint64_t nulls_total;
	uint32_t nr_orphaned; /* buffers that it had when it was cut off */
	struct hs_tally_source tally;
	uint64_t tally_ns;  /* when it is read next */
	uint64_t watch_ns;  /* when its counters are read next */
	uint64_t rules_seq; /* told last, by this worker */
	uint64_t rules_fired[HS_SHM_RULES_MAX]; /* as last seen */
	uint32_t nr_names;
	struct hs_shm_trigger names[HS_SHM_NR_TRIGGERS];
};

/**
 * hs_guest_layout() - where everything lies, in this version of the format
 * @nr_stripes: of counts; 1 to HS_SHM_STRIPES_MAX
 */
void hs_guest_layout(struct hs_shm_down *out, const struct hs_tenant *tenant,
		     const struct hs_agent_settings *settings, uint32_t version,
		     uint32_t nr_stripes);

/**
 * hs_guest_make() - take a new process in
 * @exit_fd: pidfd; the guest's on success
 * @hello: its own; the format is the newest that both speak
 * Return: NULL: no room or no memory.
 */
struct hs_guest *hs_guest_make(struct hs_worker *w, struct hs_tenant *tenant,
			       pid_t pid, uint64_t start_ticks, int exit_fd,
			       const struct hs_shm_hello *hello);
/** hs_guests_adopt() - those of a predecessor; others' memory is dropped */
void hs_guests_adopt(struct hs_worker *w);
/**
 * hs_guest_remove() - out of the ledger, the keeper and our memory
 *
 * After hs_agent_core_process_dead().
 */
void hs_guest_remove(struct hs_worker *w, struct hs_guest *guest);
void hs_guests_free(struct hs_worker *w);
/** hs_guest_losses_seen() - all drops known here are in the ledger now */
void hs_guest_losses_seen(struct hs_guest *guest);
/** hs_guest_find() - by the number and the token of its welcome */
struct hs_guest *hs_guest_find(struct hs_worker *w, uint32_t number,
			       uint64_t token);
/** hs_guest_hang_up() - close its line; it may come back */
void hs_guest_hang_up(struct hs_guest *guest);

/* NULL where a predecessor made no room for it. */
static inline const struct hs_shm_watch *
hs_guest_watch(const struct hs_guest *g)
{
	if (!g->layout.up_watch)
		return NULL;
	return (const void *)((uint8_t *)g->up.base + g->layout.up_watch);
}
static inline struct hs_shm_slot *hs_guest_slots(const struct hs_guest *g)
{
	return (struct hs_shm_slot *)((uint8_t *)g->up.base +
				      g->layout.up_slots);
}
static inline struct hs_shm_lane *hs_guest_lane(const struct hs_guest *g,
						uint32_t lane)
{
	return (struct hs_shm_lane *)((uint8_t *)g->up.base +
				      g->layout.up_lanes +
				      lane * g->layout.lane_stride);
}
static inline struct hs_shm_lane_tail *
hs_guest_lane_tail(const struct hs_guest *g, uint32_t lane)
{
	return (struct hs_shm_lane_tail *)((uint8_t *)g->down.base +
					   g->layout.down_tails) +
	       lane;
}
static inline struct hs_shm_stock_ring *
hs_guest_ring(const struct hs_guest *g, const struct hs_guest_ring *ring)
{
	return (struct hs_shm_stock_ring *)((uint8_t *)g->down.base +
					    g->layout.down_rings +
					    ring->offset);
}
static inline struct hs_shm_stock_tail *
hs_guest_stock_tail(const struct hs_guest *g, const struct hs_guest_ring *ring)
{
	return (struct hs_shm_stock_tail *)((uint8_t *)g->up.base +
					    g->layout.up_rings) +
	       (ring - g->rings);
}

#endif
