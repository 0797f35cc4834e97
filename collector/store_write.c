/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_write.c - what the store's own thread does: appending and syncing
 *
 * What waits is taken in groups that end in one segment: packed by whoever has
 * time (pack.h), laid out record after record, written in large pieces, synced,
 * brought into the index. What failed is laid out anew from the entries, which
 * wait in memory until then.
 *
 * While the disk syncs one group (syncer.h), its rows are made and the next one
 * is packed and written; nothing of that is committed before the sync and the
 * commit of the one before have ended. So there are two at most: one under way
 * to the disk, and one that is laid out behind it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/random.h"
#include "collector/store_internal.h"

#define OUT_BYTES     (1u << 20) /* of one write */
#define ITEMS_MAX     65536u	 /* of one group */
#define EFFORT_NONE   (HS_STORE_NR_EFFORTS - 1)
#define BACKLOG_SHARE 4u /* of the memory; more waits: pack less */
/* Of the memory: a group of less goes on behind the end of a batch, and one of
 * more ends within. So much becomes free at once. */
#define GROUP_LEAST_SHARE 8u
#define GROUP_MOST_SHARE  2u

int hs_store_failed(struct hs_store *s, int error, const char *what)
{
	pthread_mutex_lock(&s->lock);
	s->stats.error = error;
	snprintf(s->stats.error_text, sizeof(s->stats.error_text), "%s: %s",
		 what, strerror(-error));
	pthread_mutex_unlock(&s->lock);
	return error;
}

int hs_store_writer_init(struct hs_store *s)
{
	int level = s->options.zstd_level;

	s->codec = hs_segment_codec_new(level > 0 ? level : 0);
	s->out = malloc(OUT_BYTES + HS_SEGMENT_RECORD_MAX_BYTES);
	s->items = calloc(ITEMS_MAX, sizeof(*s->items));
	s->slices = calloc(ITEMS_MAX, sizeof(*s->slices));
	s->firsts = calloc(2 * ITEMS_MAX, sizeof(*s->firsts));
	s->pack = hs_pack_new();
	if (!s->codec || !s->out || !s->items || !s->slices || !s->firsts ||
	    !s->pack)
		return -ENOMEM;
	hs_pack_level(s->pack, level > 0 ? level : 0);
	return 0;
}

void hs_store_writer_destroy(struct hs_store *s)
{
	hs_syncer_end(&s->syncer);
	hs_pack_free(s->pack);
	hs_index_close(s->index);
	hs_segment_codec_free(s->codec);
	if (s->fd >= 0)
		close(s->fd);
	free(s->out);
	free(s->items);
	free(s->slices);
	free(s->firsts);
}

/* ---- segments --------------------------------------------------------------
 */

void hs_store_segment_name(char out[HS_STORE_SEGMENT_NAME_BYTES],
			   uint32_t number)
{
	snprintf(out, HS_STORE_SEGMENT_NAME_BYTES, "segment-%010u", number);
}

int hs_store_segment_append(struct hs_store *s,
			    const struct hs_store_segment *segment)
{
	int rc = 0;

	pthread_mutex_lock(&s->lock);
	if (s->nr_segments == s->cap_segments) {
		uint32_t cap = s->cap_segments ? 2 * s->cap_segments : 64;
		void *p = realloc(s->segments, cap * sizeof(*s->segments));

		if (p) {
			s->segments = p;
			s->cap_segments = cap;
		} else {
			rc = -ENOMEM;
		}
	}
	if (!rc)
		s->segments[s->nr_segments++] = *segment;
	pthread_mutex_unlock(&s->lock);
	return rc;
}

/* Only the writer changes it, so it may look without the lock. */
static struct hs_store_segment *last(struct hs_store *s)
{
	return &s->segments[s->nr_segments - 1];
}

static int write_all(int fd, const uint8_t *data, size_t bytes, uint64_t at)
{
	while (bytes) {
		ssize_t n = pwrite(fd, data, bytes, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ENOSPC;
		data += n;
		at += (uint64_t)n;
		bytes -= (size_t)n;
	}
	return 0;
}

static void disk_bytes_add(struct hs_store *s, uint64_t bytes)
{
	pthread_mutex_lock(&s->lock);
	s->stats.disk_bytes += bytes;
	pthread_mutex_unlock(&s->lock);
}

/* A fresh segment at the end; it is on disk, name and all, or not at all. */
static int segment_new(struct hs_store *s, int64_t now_ns)
{
	struct hs_store_segment segment = {
		.number = s->nr_segments ? last(s)->number + 1 : 1,
		.end = HS_SEGMENT_START_BYTES,
		.created_ns = now_ns};
	uint8_t start[HS_SEGMENT_START_BYTES];
	char name[HS_STORE_SEGMENT_NAME_BYTES];
	int fd;
	int rc = hs_random_secure(&segment.salt, sizeof(segment.salt));

	if (rc)
		return hs_store_failed(s, rc, "no randomness");
	hs_store_segment_name(name, segment.number);
	fd = openat(s->dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
		    0600);
	if (fd < 0)
		return hs_store_failed(s, -errno, name);
	hs_segment_head_make(start, segment.number, (uint64_t)now_ns,
			     segment.salt);
	rc = write_all(fd, start, sizeof(start), 0);
	if (!rc && (fdatasync(fd) || fsync(s->dir_fd)))
		rc = -errno;
	if (!rc)
		rc = hs_store_segment_append(s, &segment);
	if (rc) {
		close(fd);
		unlinkat(s->dir_fd, name, 0);
		return hs_store_failed(s, rc, name);
	}
	if (s->fd >= 0)
		close(s->fd);
	s->fd = fd;
	disk_bytes_add(s, sizeof(start));
	return 0;
}

/* ---- a group --------------------------------------------------------------
 */

struct group {
	uint64_t position; /* behind its last entry */
	uint64_t bytes;	   /* of entries */
};

static int piece_write(struct hs_store *s)
{
	uint64_t from_ns = hs_clock_mono_ns();
	char name[HS_STORE_SEGMENT_NAME_BYTES];
	int rc;

	if (!s->out_used)
		return 0;
	rc = write_all(s->fd, s->out, s->out_used, last(s)->end + s->written);
	if (rc) {
		hs_store_segment_name(name, last(s)->number);
		return hs_store_failed(s, rc, name);
	}
	/* The disk begins at once, while the next piece is laid out; what it
	 * makes of that the sync tells. */
	(void)sync_file_range(s->fd, (off64_t)(last(s)->end + s->written),
			      (off64_t)s->out_used, SYNC_FILE_RANGE_WRITE);
	s->written += s->out_used;
	s->out_used = 0;
	s->disk_ns += hs_clock_mono_ns() - from_ns;
	return 0;
}

/*
 * After a failed fdatasync the kernel may call pages clean that never reached
 * the disk; so all that was not synced is laid out and written once more.
 */
static int synced(struct hs_store *s, uint64_t bytes)
{
	uint64_t from_ns = hs_clock_mono_ns();
	char name[HS_STORE_SEGMENT_NAME_BYTES];
	int rc = hs_syncer_wait(&s->syncer);

	s->disk_ns += hs_clock_mono_ns() - from_ns;
	if (rc) {
		hs_store_segment_name(name, last(s)->number);
		return hs_store_failed(s, rc, name);
	}
	pthread_mutex_lock(&s->lock);
	last(s)->end += bytes;
	s->stats.disk_bytes += bytes;
	s->stats.stored_bytes += bytes;
	s->stats.syncs++;
	pthread_mutex_unlock(&s->lock);
	s->written -= bytes;
	return 0;
}

/*
 * Pack as hard as the disk leaves time for: less where more is waited for that
 * than for the disk, and more again where the disk is waited for longer than
 * that took when it was last tried.
 */
static uint32_t effort_next(struct hs_store *s, uint64_t backlog)
{
	const uint32_t effort = s->effort;

	s->pack_ns_at[effort] = s->pack_ns;
	if (backlog < s->ring.size_bytes / (4 * BACKLOG_SHARE))
		return effort ? effort - 1 : 0;
	if (backlog < s->ring.size_bytes / BACKLOG_SHARE)
		return effort;
	if (s->pack_ns > s->disk_ns)
		return effort < EFFORT_NONE ? effort + 1 : effort;
	return effort && s->pack_ns_at[effort - 1] < s->disk_ns ? effort - 1
								: effort;
}

static void effort_follow(struct hs_store *s)
{
	const int levels[] = {s->options.zstd_level, 1, -5, 0};
	uint64_t backlog;
	uint32_t effort;

	pthread_mutex_lock(&s->lock);
	backlog = s->target - s->position;
	pthread_mutex_unlock(&s->lock);
	effort = effort_next(s, backlog);
	s->pack_ns = 0;
	s->disk_ns = 0;
	if (effort == s->effort)
		return;
	s->effort = effort;
	if (s->options.zstd_level > 0) {
		hs_segment_codec_level(s->codec, levels[effort]);
		hs_pack_level(s->pack, levels[effort]);
	}
	pthread_mutex_lock(&s->lock);
	s->stats.effort = effort;
	pthread_mutex_unlock(&s->lock);
}

/* The group under way, if there is one, is durable, indexed, and waits no more.
 */
static int group_settle(struct hs_store *s)
{
	struct hs_store_flight f = s->flight;
	int rc;

	if (!f.is)
		return 0;
	s->flight.is = false;
	rc = f.bytes ? synced(s, f.bytes) : 0;
	/* Rows of what is not on the disk must not stay. */
	if (rc) {
		s->index_behind = true;
		return rc;
	}
	s->position = f.position;
	rc = f.failed ? f.failed : hs_store_index_commit(s, f.position);
	if (!rc)
		effort_follow(s);
	return rc;
}

/* All of the group is under way. Its rows are made while the disk writes, and
 * committed behind the sync. */
static int group_send(struct hs_store *s, struct group *g)
{
	int rc = piece_write(s);

	if (!rc)
		rc = group_settle(s);
	if (!rc) {
		s->flight = (struct hs_store_flight){.is = true,
						     .bytes = s->written,
						     .position = g->position};
		if (s->written)
			hs_syncer_begin(&s->syncer, s->fd);
		if (s->nr_segments && (s->nr_items || s->written))
			s->flight.failed = hs_store_index_items(
				s, last(s)->end + s->written);
	}
	*g = (struct group){.position = g->position};
	s->nr_items = 0;
	return rc;
}

static int group_end(struct hs_store *s, struct group *g)
{
	int rc = group_send(s, g);

	return rc ? rc : group_settle(s);
}

static enum hs_segment_type segment_type(const struct hs_ring_entry *entry)
{
	return entry->type == HS_RING_SLICE ? HS_SEGMENT_SLICE
					    : HS_SEGMENT_UNION;
}

/* A place for one more record; the group so far may end for that. */
static int record_room(struct hs_store *s, const struct hs_ring_entry *entry,
		       struct group *g)
{
	uint64_t bytes = sizeof(struct hs_segment_record) +
			 HS_SEGMENT_ALIGN_BYTES + entry->part_bytes[0] +
			 entry->part_bytes[1];
	uint64_t end;
	int rc = 0;

	if (s->fd < 0)
		return segment_new(s, entry->now_ns);
	end = last(s)->end + s->written + s->out_used;
	if (end + bytes > s->options.segment_bytes &&
	    end > HS_SEGMENT_START_BYTES) {
		rc = group_end(s, g);
		return rc ? rc : segment_new(s, entry->now_ns);
	}
	if (s->out_used >= OUT_BYTES)
		rc = piece_write(s);
	return rc;
}

static int record_add(struct hs_store *s, const struct hs_pack_record *r,
		      struct group *g)
{
	const struct hs_ring_entry *entry = r->entry;
	struct hs_store_item *item;
	uint64_t at;
	size_t n = r->bytes;
	int rc = record_room(s, entry, g);

	if (rc)
		return rc;
	at = last(s)->end + s->written + s->out_used;
	if (n) {
		memcpy(s->out + s->out_used, r->data, n);
		hs_segment_seal(s->out + s->out_used, last(s)->salt, at);
	} else {
		n = hs_segment_encode(
			s->codec, last(s)->salt, at, segment_type(entry),
			&entry->trace, hs_ring_payload(entry),
			(size_t)entry->part_bytes[0] + entry->part_bytes[1],
			s->out + s->out_used);
	}
	if (!n)
		return hs_store_failed(s, -EMSGSIZE, "a record");
	s->out_used += n;
	item = &s->items[s->nr_items];
	*item = (struct hs_store_item){.entry = entry,
				       .place = {last(s)->number, at},
				       .stored_bytes = (uint32_t)n};
	s->nr_items++;
	return 0;
}

struct tombs {
	struct hs_store *store;
	struct group *group;
};

static int tomb_add(void *ctx, const struct hs_wire_trace_id *trace,
		    bool elsewhere_too)
{
	const struct hs_ring_entry like = {.trace = *trace};
	struct tombs *t = ctx;
	struct hs_store *s = t->store;
	uint64_t at;
	int rc;

	if (!elsewhere_too)
		return 0;
	rc = record_room(s, &like, t->group);
	if (rc)
		return rc;
	at = last(s)->end + s->written + s->out_used;
	s->out_used += hs_segment_encode(s->codec, last(s)->salt, at,
					 HS_SEGMENT_EXPIRED, trace, NULL, 0,
					 s->out + s->out_used);
	return 0;
}

/* Traces that reach beyond the segment are said to be gone in the last one. */
static int tombs_add(struct hs_store *s, uint32_t number, struct group *g)
{
	struct tombs t = {s, g};

	return hs_index_segment_traces(s->index, number, tomb_add, &t);
}

static int tombs_sync(struct hs_store *s)
{
	int rc = piece_write(s);

	if (rc || !s->written)
		return rc;
	hs_syncer_begin(&s->syncer, s->fd);
	return synced(s, s->written);
}

/* What was put before is durable and indexed first, so it goes, too. */
static int expire(struct hs_store *s, const struct hs_ring_entry *entry,
		  struct group *g)
{
	uint32_t number;
	int rc = group_end(s, g);

	memcpy(&number, hs_ring_payload(entry), sizeof(number));
	if (!rc)
		rc = tombs_add(s, number, g);
	if (!rc)
		rc = tombs_sync(s);
	return rc ? rc : hs_store_drop_segment(s, number);
}

static int entry_add(struct hs_store *s, const struct hs_pack_record *r,
		     struct group *g)
{
	if (r->entry->type == HS_RING_EXPIRE)
		return expire(s, r->entry, g);
	if (r->entry->type != HS_RING_MARK)
		return record_add(s, r, g);
	s->items[s->nr_items] = (struct hs_store_item){.entry = r->entry};
	s->nr_items++;
	return 0;
}

/* Rows that were lost with a transaction are read from the segments. */
static int repair(struct hs_store *s)
{
	int rc = hs_store_index_repair(s);

	if (rc)
		return rc;
	s->index_behind = false;
	pthread_mutex_lock(&s->lock);
	s->done = s->position;
	s->unmarked = true;
	pthread_mutex_unlock(&s->lock);
	return 0;
}

/*
 * What an assembly makes of its traces is the end of a batch. In one group with
 * what it was made of it is one change of a row, and not two.
 */
static bool group_full(const struct hs_store *s, const struct group *g,
		       const struct hs_ring_entry *last_entry)
{
	return s->nr_items == ITEMS_MAX ||
	       g->bytes >= s->ring.size_bytes / GROUP_MOST_SHARE ||
	       (last_entry->ends &&
		g->bytes >= s->ring.size_bytes / GROUP_LEAST_SHARE);
}

/*
 * What was put meanwhile goes along: the disk need not wait for it. It lies
 * behind what was there in one piece, since the ring was never empty meanwhile.
 */
static uint64_t target_of(struct hs_store *s)
{
	uint64_t target;

	pthread_mutex_lock(&s->lock);
	target = s->target;
	pthread_mutex_unlock(&s->lock);
	return target;
}

/* The next lot; whoever has time packs what is behind it. */
static const struct hs_pack_lot *lot_next(struct hs_store *s, uint64_t *ahead,
					  uint64_t target)
{
	const struct hs_pack_lot *lot;
	uint64_t from_ns;

	while (hs_pack_add(s->pack, &s->ring, ahead, target))
		;
	from_ns = hs_clock_mono_ns();
	lot = hs_pack_take(s->pack);
	s->pack_ns += hs_clock_mono_ns() - from_ns;
	return lot;
}

static int write_groups(struct hs_store *s, uint64_t target)
{
	struct group g = {.position = s->position};
	const struct hs_pack_lot *lot;
	uint64_t ahead = s->position;
	int rc = 0;

	while (!rc && (lot = lot_next(s, &ahead, target))) {
		for (uint32_t i = 0; !rc && i < lot->nr_records; i++) {
			const struct hs_pack_record *r = &lot->records[i];

			rc = entry_add(s, r, &g);
			g.position = r->behind;
			g.bytes += r->entry->bytes;
			if (rc || !group_full(s, &g, r->entry))
				continue;
			rc = group_send(s, &g);
			target = target_of(s);
		}
	}
	if (!rc) {
		g.position = target;
		rc = group_end(s, &g);
	}
	if (rc) {
		/* What is under way gets to its end, whatever became of what
		 * is behind it. */
		(void)group_settle(s);
		hs_pack_drop(s->pack);
	}
	return rc;
}

int hs_store_write(struct hs_store *s, uint64_t from, uint64_t target)
{
	int rc = s->index_behind ? repair(s) : 0;

	if (s->position < from)
		s->position = from;
	s->nr_items = 0;
	s->out_used = 0;
	s->written = 0;
	if (!rc)
		rc = hs_store_index_damages(s);
	if (!rc)
		rc = write_groups(s, target);
	pthread_mutex_lock(&s->lock);
	if (rc) {
		s->stats.sync_errors++;
	} else {
		s->stats.error = 0;
		s->stats.error_text[0] = '\0';
	}
	pthread_mutex_unlock(&s->lock);
	return rc;
}
