/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see attachment.h. */
#include "dataplane/attachment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/aligned.h"
#include "dataplane/calibration.h"
#include "dataplane/clock.h"

/* More than any sane agent grants; keeps private tables small. */
#define RINGS_MAX	 4096u
#define RING_WORDS_MAX	 (1u << 20)
#define LANES_MAX	 65536u
#define LANE_ENTRIES_MAX (1u << 20)
#define SLOTS_MAX	 (1u << 24)
#define SLOTS_STEP	 32u /* said at once; handles go by as many */
/* An entry has 28 bits for a buffer's committed length. */
#define CLASS_BYTES_MAX (1u << 27)
#define CLASS_BYTES_MIN 256u
/* The header of the first agents that spoke version 1. */
#define HEADER_1_BYTES 168u

static bool power_of_two(uint32_t v)
{
	return v != 0 && (v & (v - 1)) == 0;
}

/* Whether nr items of stride bytes at off lie within len, on a cache line. */
static bool inside(uint64_t off, uint64_t nr, uint64_t stride, uint64_t len)
{
	uint64_t n;

	if (__builtin_mul_overflow(nr, stride, &n))
		return false;
	return off % HS_SHM_LINE_BYTES == 0 && off <= len && n <= len - off;
}

static bool counts_good(const struct hs_shm_down *d)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < HS_SHM_NR_CLASSES; i++) {
		uint32_t size = d->class_bytes[i];

		if (size == 0)
			continue;
		if (size < CLASS_BYTES_MIN || size > CLASS_BYTES_MAX ||
		    size % HS_SHM_LINE_BYTES)
			return false;
		nr++;
	}
	return nr && d->nr_classes && d->nr_classes <= HS_SHM_NR_CLASSES &&
	       d->nr_nodes && d->nr_nodes <= HS_SHM_NR_NODES && d->nr_rings &&
	       d->nr_rings <= RINGS_MAX && power_of_two(d->ring_words) &&
	       d->ring_words <= RING_WORDS_MAX && d->nr_lanes &&
	       d->nr_lanes <= LANES_MAX && power_of_two(d->lane_entries) &&
	       d->lane_entries >= HS_LANE_PUSH_MAX &&
	       d->lane_entries <= LANE_ENTRIES_MAX && d->nr_slots &&
	       d->nr_slots <= SLOTS_MAX;
}

/* Rules and counts: each may be missing. */
static bool watch_good(const struct hs_shm_down *d)
{
	uint64_t bytes;

	if (d->down_rules &&
	    !inside(d->down_rules, 1, sizeof(struct hs_shm_rules),
		    d->down_bytes))
		return false;
	if (!d->up_watch)
		return true;
	if (!d->nr_operations || d->nr_operations > HS_SHM_OPERATIONS_MAX ||
	    !d->nr_stripes || d->nr_stripes > HS_SHM_STRIPES_MAX ||
	    d->up_watch < sizeof(struct hs_shm_up))
		return false;
	bytes = hs_shm_watch_bytes(d->nr_operations, d->nr_stripes);
	return inside(d->up_watch, 1, bytes, d->up_bytes);
}

int hs_attachment_check(struct hs_shm_down *d, uint64_t down_bytes,
			uint64_t up_bytes, uint64_t pool_bytes)
{
	uint64_t ring_bytes, lane_bytes, nr_rings;

	if (d->magic != HS_SHM_DOWN_MAGIC || d->version > HS_SHM_VERSION ||
	    d->version < HS_SHM_VERSION_MIN)
		return -EPROTO;
	if (d->header_bytes < HEADER_1_BYTES ||
	    (d->version > 1 && d->header_bytes < sizeof(*d)))
		return -EBADMSG;
	/* What lies behind an older header is no part of it. */
	if (d->header_bytes < sizeof(*d))
		memset((uint8_t *)d + d->header_bytes, 0,
		       sizeof(*d) - d->header_bytes);
	if (d->version == 1)
		d->nr_classes = d->nr_nodes = 1;
	if (!counts_good(d))
		return -EBADMSG;
	if (d->down_bytes > down_bytes || d->up_bytes > up_bytes ||
	    d->pool_bytes > pool_bytes || d->pool_bytes == 0)
		return -EBADMSG;
	nr_rings = (uint64_t)d->nr_rings * d->nr_classes;
	ring_bytes = hs_shm_ring_offset(d->ring_words, d->nr_classes);
	lane_bytes = sizeof(struct hs_shm_lane) +
		     (uint64_t)d->lane_entries * sizeof(struct hs_shm_entry);
	if (d->ring_stride < ring_bytes || d->ring_stride % HS_SHM_LINE_BYTES ||
	    d->lane_stride < lane_bytes || d->lane_stride % HS_SHM_LINE_BYTES)
		return -EBADMSG;
	if (!inside(d->down_rings, d->nr_rings, d->ring_stride,
		    d->down_bytes) ||
	    !inside(d->down_tails, d->nr_lanes, sizeof(struct hs_shm_lane_tail),
		    d->down_bytes) ||
	    !inside(d->up_rings, nr_rings, sizeof(struct hs_shm_stock_tail),
		    d->up_bytes) ||
	    !inside(d->up_slots, d->nr_slots, sizeof(struct hs_shm_slot),
		    d->up_bytes) ||
	    !inside(d->up_lanes, d->nr_lanes, d->lane_stride, d->up_bytes))
		return -EBADMSG;
	/* What we write must not lie over our own header. */
	if (d->up_bytes < sizeof(struct hs_shm_up) ||
	    d->up_rings < sizeof(struct hs_shm_up) ||
	    d->up_slots < sizeof(struct hs_shm_up) ||
	    d->up_lanes < sizeof(struct hs_shm_up))
		return -EBADMSG;
	return watch_good(d) ? 0 : -EBADMSG;
}

static int map_one(int fd, int prot, uint8_t **out, size_t *out_bytes)
{
	struct stat st;
	void *p;
	int seals;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size <= 0)
		return -EBADMSG;
	/* Without the seal the agent could shrink it and have us fault. */
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || !(seals & F_SEAL_SHRINK))
		return -EPERM;
	/* Populated, so that the write path never enters the kernel. */
	p = hs_aligned_map((size_t)st.st_size, prot, MAP_SHARED | MAP_POPULATE,
			   fd);
	if (p == MAP_FAILED)
		return -errno;
	/* A forked child must neither hold nor reach the parent's memory. */
	(void)madvise(p, (size_t)st.st_size, MADV_DONTFORK);
	*out = p;
	*out_bytes = (size_t)st.st_size;
	return 0;
}

static int lanes_make(struct hs_attachment *at)
{
	const struct hs_shm_down *d = &at->layout;

	at->lanes = aligned_alloc(_Alignof(struct hs_lane),
				  d->nr_lanes * sizeof(*at->lanes));
	at->lanes_taken = calloc((d->nr_lanes + 63) / 64, sizeof(uint64_t));
	if (!at->lanes || !at->lanes_taken)
		return -ENOMEM;
	memset(at->lanes, 0, d->nr_lanes * sizeof(*at->lanes));
	for (uint32_t i = 0; i < d->nr_lanes; i++) {
		struct hs_lane *lane = &at->lanes[i];

		lane->shared =
			(void *)(at->up + d->up_lanes + i * d->lane_stride);
		lane->entries = (void *)(lane->shared + 1);
		lane->tail = (const struct hs_shm_lane_tail *)(at->down +
							       d->down_tails) +
			     i;
		lane->nr_entries = d->lane_entries;
		lane->index = i;
	}
	return 0;
}

static void watch_make(struct hs_attachment *at)
{
	const struct hs_shm_down *d = &at->layout;

	if (!d->up_watch)
		return;
	at->watch = (void *)(at->up + d->up_watch);
	at->operations = (void *)(at->watch + 1);
	at->tallies = (void *)(at->operations + d->nr_operations);
	at->nr_stripes = d->nr_stripes;
	at->nr_own_stripes = hs_shm_stripes_own(d->nr_stripes);
	/* Lest that none is marked is taken for a client that marks none. */
	hs_attachment_stripe_use(at, d->nr_stripes - 1);
	for (uint32_t i = 0; i < d->nr_lanes && i < at->nr_own_stripes; i++)
		at->lanes[i].tallies =
			at->tallies + (size_t)i * d->nr_operations;
}

static int map_all(struct hs_attachment *at, const int *fds, uint32_t nr_fds)
{
	size_t bytes;
	int rc = map_one(fds[0], PROT_READ, &at->down, &at->down_bytes);

	if (!rc)
		rc = map_one(fds[1], PROT_READ | PROT_WRITE, &at->up,
			     &at->up_bytes);
	for (uint32_t i = 2; !rc && i < nr_fds; i++) {
		uint8_t *pool;

		rc = map_one(fds[i], PROT_READ | PROT_WRITE, &pool, &bytes);
		if (rc)
			return rc;
		/* All are unmapped as long as the first: of a longer one that
		 * were what lies behind it, which is the application's. */
		if (i > 2 && bytes != at->pool_bytes) {
			munmap(pool, bytes);
			return -EBADMSG;
		}
		at->pools[i - 2] = pool;
		at->pool_bytes = bytes;
	}
	return rc;
}

int hs_attachment_make(const int *fds, uint32_t nr_fds,
		       struct hs_attachment **out)
{
	struct hs_attachment *at;
	int rc;

	if (nr_fds < 3 || nr_fds > HS_ATTACHMENT_FDS_MAX)
		return -EBADMSG;
	at = calloc(1, sizeof(*at));
	if (!at)
		return -ENOMEM;
	rc = map_all(at, fds, nr_fds);
	if (!rc && at->down_bytes < sizeof(at->layout))
		rc = -EBADMSG;
	if (!rc) {
		memcpy(&at->layout, at->down, sizeof(at->layout));
		rc = hs_attachment_check(&at->layout, at->down_bytes,
					 at->up_bytes, at->pool_bytes);
	}
	if (!rc && at->layout.nr_nodes != nr_fds - 2)
		rc = -EBADMSG;
	if (!rc)
		rc = lanes_make(at);
	if (rc) {
		hs_attachment_free(at, true);
		return rc;
	}
	watch_make(at);
	at->slots = (void *)(at->up + at->layout.up_slots);
	/* Lest that none is used is taken for a client that does not say. */
	(void)hs_attachment_slot_first(at, 0);
	for (uint32_t i = 0; i < at->layout.nr_classes; i++)
		at->rings[i] = (struct hs_attachment_ring){
			hs_shm_ring_offset(at->layout.ring_words, i),
			hs_shm_ring_words(at->layout.ring_words, i) - 1};
	*out = at;
	return 0;
}

static void cover(uint8_t *p, size_t size_bytes)
{
	if (p)
		(void)mmap(p, size_bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED |
				   MAP_NORESERVE,
			   -1, 0);
}

void hs_attachment_retire(struct hs_attachment *at)
{
	for (uint32_t i = 0; i < HS_SHM_NR_NODES; i++)
		cover(at->pools[i], at->pool_bytes);
	cover(at->up, at->up_bytes);
	cover(at->down, at->down_bytes);
}

void hs_attachment_free(struct hs_attachment *at, bool mapped)
{
	if (mapped && at->down)
		munmap(at->down, at->down_bytes);
	if (mapped && at->up)
		munmap(at->up, at->up_bytes);
	for (uint32_t i = 0; mapped && i < HS_SHM_NR_NODES; i++)
		if (at->pools[i])
			munmap(at->pools[i], at->pool_bytes);
	free(at->lanes_taken);
	free(at->lanes);
	free(at);
}

static struct hs_lane *lane_of(struct hs_attachment *at, uint32_t index)
{
	if (at->watch && index < at->nr_own_stripes)
		hs_attachment_stripe_use(at, index);
	return &at->lanes[index];
}

struct hs_lane *hs_attachment_lane_take(struct hs_attachment *at)
{
	/* The last one is nobody's for good. */
	uint32_t nr = at->layout.nr_lanes - (at->layout.nr_lanes > 1);

	for (uint32_t i = 0; i < (nr + 63) / 64; i++) {
		uint64_t *word = &at->lanes_taken[i];
		uint64_t bits;

		/* client.C1 relaxed: confirmed by the exchange. */
		bits = __atomic_load_n(word, __ATOMIC_RELAXED);
		while (~bits) {
			uint32_t bit = (uint32_t)__builtin_ctzll(~bits);

			if (i * 64 + bit >= nr)
				break;
			/* client.R2 acquire, pairs client.W2: the lane's
			 * private state as its last holder left it. */
			if (__atomic_compare_exchange_n(
				    word, &bits, bits | 1ull << bit, false,
				    __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
				return lane_of(at, i * 64 + bit);
		}
	}
	return NULL;
}

bool hs_attachment_lane_take_index(struct hs_attachment *at, uint32_t index)
{
	uint64_t bit = 1ull << (index % 64);

	/* client.R9 acquire, pairs client.W2: as client.R2. */
	return !(__atomic_fetch_or(&at->lanes_taken[index / 64], bit,
				   __ATOMIC_ACQUIRE) &
		 bit);
}

struct hs_lane *hs_attachment_lane_borrow(struct hs_attachment *at)
{
	uint32_t last = at->layout.nr_lanes - 1;

	return last && hs_attachment_lane_take_index(at, last)
		       ? lane_of(at, last)
		       : NULL;
}

void hs_attachment_lane_return(struct hs_attachment *at, struct hs_lane *lane)
{
	uint64_t bit = 1ull << (lane->index % 64);

	/* client.W2 release, pairs client.R2 client.R9: the lane's private
	 * state before its bit. */
	__atomic_fetch_and(&at->lanes_taken[lane->index / 64], ~bit,
			   __ATOMIC_RELEASE);
}

void hs_attachment_clock_refresh(struct hs_attachment *at)
{
	struct hs_calibration now = {0};
	struct hs_calibration mine = {0};

	if (at->down_bytes < HS_SHM_DOWN_STATUS + sizeof(at->clock))
		return;
	/* Told of none, or amid a change: that is no clock, for now. */
	if (!hs_calibration_read((const void *)(at->down + HS_SHM_DOWN_STATUS),
				 &now))
		now = (struct hs_calibration){0};
	(void)hs_calibration_read(&at->clock, &mine);
	if (mine.number != now.number)
		hs_calibration_write(&at->clock, &now);
}

static void raise_to(uint32_t *used, uint32_t now)
{
	/* slot.C10 relaxed: confirmed by the exchange. */
	uint32_t was = __atomic_load_n(used, __ATOMIC_RELAXED);

	while (was < now) {
		/* slot.W8 release, pairs slot.R6: what up says before our own
		 * number, and so before a slot is opened by that. */
		if (__atomic_compare_exchange_n(used, &was, now, true,
						__ATOMIC_RELEASE,
						__ATOMIC_RELAXED))
			return;
	}
}

/* In steps, so that few handles come by here: the lowest are taken first. What
 * is gone by is our own number, as it bounds what is written. */
struct hs_shm_slot *hs_attachment_slot_first(struct hs_attachment *at,
					     uint32_t index)
{
	uint32_t nr = at->layout.nr_slots;
	uint32_t now = index - index % SLOTS_STEP + SLOTS_STEP;

	if (index >= nr)
		return NULL;
	now = now < nr ? now : nr;
	raise_to(&hs_attachment_up(at)->slots_used, now);
	raise_to(&at->slots_used, now);
	return at->slots + index;
}

void hs_attachment_lost_unpinned(struct hs_attachment *at)
{
	struct hs_shm_up *up = hs_attachment_up(at);
	uint64_t now = hs_clock_real_ns();

	/* up.C1 relaxed: announced by up.W3. */
	if (__atomic_load_n(&up->lost_unpinned, __ATOMIC_RELAXED) == 0)
		/* up.C2 relaxed: announced by up.W3. */
		__atomic_store_n(&up->lost_first_ns, now, __ATOMIC_RELAXED);
	/* up.C3 relaxed: announced by up.W3. */
	__atomic_store_n(&up->lost_last_ns, now, __ATOMIC_RELAXED);
	/* up.W3 release, pairs up.R3: the interval before its count. */
	__atomic_fetch_add(&up->lost_unpinned, 1, __ATOMIC_RELEASE);
}
