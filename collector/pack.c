/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see pack.h. */
#include "collector/pack.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "collector/segment.h"

/* Each record may take its head and padding, and its bytes as they are. */
#define LOT_DATA_BYTES                                                         \
	(HS_PACK_LOT_BYTES +                                                   \
	 HS_PACK_LOT_ENTRIES *                                                 \
		 (sizeof(struct hs_segment_record) + HS_SEGMENT_ALIGN_BYTES))

struct lot {
	struct hs_pack_lot pub;
	uint8_t *data;
	int level;
	bool done; /* under lock */
};

struct hs_pack {
	struct lot lots[HS_PACK_LOTS];
	struct hs_segment_codec *codec; /* of who takes */
	int level;
	bool taken; /* the lot before `first` is with who took it */

	pthread_mutex_t lock;
	pthread_cond_t added_cond;
	pthread_cond_t done_cond;
	/* Lots, counted: first <= begun <= added <= first + HS_PACK_LOTS. */
	uint64_t first, begun, added;
	uint32_t nr_busy; /* threads of ours that pack */
	bool stop;
	pthread_t threads[HS_PACK_THREADS_MAX];
	uint32_t nr_threads;
};

static struct lot *lot_of(struct hs_pack *p, uint64_t nr)
{
	return &p->lots[nr % HS_PACK_LOTS];
}

static enum hs_segment_type type_of(const struct hs_ring_entry *entry)
{
	return entry->type == HS_RING_SLICE ? HS_SEGMENT_SLICE
					    : HS_SEGMENT_UNION;
}

static bool is_record(const struct hs_ring_entry *entry)
{
	return entry->type == HS_RING_SLICE || entry->type == HS_RING_UNION;
}

static uint64_t raw_bytes(const struct hs_ring_entry *entry)
{
	return (uint64_t)entry->part_bytes[0] + entry->part_bytes[1];
}

static void pack(struct lot *lot, struct hs_segment_codec *codec)
{
	size_t used = 0;

	hs_segment_codec_level(codec, lot->level);
	for (uint32_t i = 0; i < lot->pub.nr_records; i++) {
		struct hs_pack_record *r = &lot->pub.records[i];

		if (!is_record(r->entry) ||
		    raw_bytes(r->entry) > HS_PACK_LOT_BYTES)
			continue;
		r->data = lot->data + used;
		r->bytes = (uint32_t)hs_segment_pack(
			codec, type_of(r->entry), &r->entry->trace,
			hs_ring_payload(r->entry), raw_bytes(r->entry),
			lot->data + used);
		used += r->bytes;
	}
}

/* Under lock, which it lets go of. Return: false: every lot has been begun. */
static bool pack_one(struct hs_pack *p, struct hs_segment_codec *codec)
{
	struct lot *lot;

	while (p->begun < p->added && lot_of(p, p->begun)->done)
		p->begun++;
	if (p->begun == p->added)
		return false;
	lot = lot_of(p, p->begun++);
	p->nr_busy++;
	pthread_mutex_unlock(&p->lock);
	pack(lot, codec);
	pthread_mutex_lock(&p->lock);
	p->nr_busy--;
	lot->done = true;
	pthread_cond_signal(&p->done_cond);
	return true;
}

static void *packer(void *ctx)
{
	struct hs_pack *p = ctx;
	struct hs_segment_codec *codec = hs_segment_codec_new(0);

	pthread_setname_np(pthread_self(), "hs-store-pack");
	/* Without memory for it the others do without this one. */
	if (!codec)
		return NULL;
	pthread_mutex_lock(&p->lock);
	while (!p->stop)
		if (!pack_one(p, codec))
			pthread_cond_wait(&p->added_cond, &p->lock);
	pthread_mutex_unlock(&p->lock);
	hs_segment_codec_free(codec);
	return NULL;
}

struct hs_pack *hs_pack_new(void)
{
	struct hs_pack *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->added_cond, NULL);
	pthread_cond_init(&p->done_cond, NULL);
	p->codec = hs_segment_codec_new(0);
	for (uint32_t i = 0; i < HS_PACK_LOTS; i++) {
		p->lots[i].data = malloc(LOT_DATA_BYTES);
		if (!p->lots[i].data || !p->codec) {
			hs_pack_free(p);
			return NULL;
		}
	}
	return p;
}

int hs_pack_start(struct hs_pack *p, uint32_t nr_threads)
{
	while (p->nr_threads < nr_threads &&
	       p->nr_threads < HS_PACK_THREADS_MAX) {
		int rc = pthread_create(&p->threads[p->nr_threads], NULL,
					packer, p);

		if (rc)
			return -rc;
		p->nr_threads++;
	}
	return 0;
}

void hs_pack_free(struct hs_pack *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->added_cond);
	pthread_mutex_unlock(&p->lock);
	for (uint32_t i = 0; i < p->nr_threads; i++)
		pthread_join(p->threads[i], NULL);
	for (uint32_t i = 0; i < HS_PACK_LOTS; i++)
		free(p->lots[i].data);
	hs_segment_codec_free(p->codec);
	pthread_cond_destroy(&p->done_cond);
	pthread_cond_destroy(&p->added_cond);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

void hs_pack_level(struct hs_pack *p, int zstd_level)
{
	p->level = zstd_level;
}

/* Entries from *@position on, as many as a lot has room for. */
static void lot_fill(struct lot *lot, const struct hs_ring *ring,
		     uint64_t *position, uint64_t upto)
{
	uint64_t bytes = 0;

	lot->pub.nr_records = 0;
	while (lot->pub.nr_records < HS_PACK_LOT_ENTRIES) {
		uint64_t at = *position;
		const struct hs_ring_entry *entry = hs_ring_at(ring, &at, upto);

		if (!entry)
			break;
		bytes += is_record(entry) ? raw_bytes(entry) : 0;
		if (bytes > HS_PACK_LOT_BYTES && lot->pub.nr_records)
			break;
		*position = at;
		lot->pub.records[lot->pub.nr_records++] =
			(struct hs_pack_record){.entry = entry, .behind = at};
		if (bytes > HS_PACK_LOT_BYTES)
			break;
	}
}

bool hs_pack_add(struct hs_pack *p, const struct hs_ring *ring,
		 uint64_t *position, uint64_t upto)
{
	/* Only this thread moves these two. */
	struct lot *lot = lot_of(p, p->added);

	if (p->added - p->first + p->taken >= HS_PACK_LOTS)
		return false;
	lot_fill(lot, ring, position, upto);
	if (!lot->pub.nr_records)
		return false;
	lot->level = p->level;
	pthread_mutex_lock(&p->lock);
	lot->done = !lot->level;
	p->added++;
	if (!lot->done)
		pthread_cond_signal(&p->added_cond);
	pthread_mutex_unlock(&p->lock);
	return true;
}

const struct hs_pack_lot *hs_pack_take(struct hs_pack *p)
{
	struct lot *lot = lot_of(p, p->first);

	p->taken = false;
	if (p->first == p->added)
		return NULL;
	pthread_mutex_lock(&p->lock);
	while (!lot->done)
		if (!pack_one(p, p->codec))
			pthread_cond_wait(&p->done_cond, &p->lock);
	p->first++;
	if (p->begun < p->first)
		p->begun = p->first;
	pthread_mutex_unlock(&p->lock);
	p->taken = true;
	return &lot->pub;
}

void hs_pack_drop(struct hs_pack *p)
{
	pthread_mutex_lock(&p->lock);
	p->begun = p->added;
	while (p->nr_busy)
		pthread_cond_wait(&p->done_cond, &p->lock);
	p->first = p->added;
	pthread_mutex_unlock(&p->lock);
	p->taken = false;
}

uint32_t hs_pack_cores(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set))
		return 1;
	return (uint32_t)CPU_COUNT(&set);
}
