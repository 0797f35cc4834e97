/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_write.c - the store's own thread: packing, appending, syncing
 *
 * What waits is taken in groups that end in one segment: laid out record after
 * record, written in large pieces, synced, brought into the index. What failed
 * is laid out anew from the entries, which wait in memory until then.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/random.h"
#include "collector/store_internal.h"

#define OUT_BYTES     (1u << 20) /* of one write */
#define ITEMS_MAX     65536u	 /* of one group */
#define IDLE_WAIT_NS  (250 * HS_NS_PER_MS)
#define EFFORT_NONE   3u
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
	return s->codec && s->out && s->items && s->slices ? 0 : -ENOMEM;
}

void hs_store_writer_destroy(struct hs_store *s)
{
	hs_index_close(s->index);
	hs_segment_codec_free(s->codec);
	if (s->fd >= 0)
		close(s->fd);
	free(s->out);
	free(s->items);
	free(s->slices);
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
	uint64_t pack_ns;
	uint64_t disk_ns;
};

static int piece_write(struct hs_store *s, struct group *g)
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
	g->disk_ns += hs_clock_mono_ns() - from_ns;
	return 0;
}

/*
 * After a failed fdatasync the kernel may call pages clean that never reached
 * the disk; so all of the group is laid out and written once more.
 */
static int group_sync(struct hs_store *s, struct group *g)
{
	uint64_t from_ns = hs_clock_mono_ns();
	char name[HS_STORE_SEGMENT_NAME_BYTES];
	int rc = piece_write(s, g);

	if (rc || !s->written)
		return rc;
	if (fdatasync(s->fd)) {
		rc = -errno;
		hs_store_segment_name(name, last(s)->number);
		return hs_store_failed(s, rc, name);
	}
	pthread_mutex_lock(&s->lock);
	last(s)->end += s->written;
	s->stats.disk_bytes += s->written;
	s->stats.stored_bytes += s->written;
	pthread_mutex_unlock(&s->lock);
	s->written = 0;
	g->disk_ns += hs_clock_mono_ns() - from_ns;
	return 0;
}

/* Pack as hard as the disk leaves time for. */
static void effort_follow(struct hs_store *s, const struct group *g)
{
	const int levels[] = {s->options.zstd_level, 1, -5, 0};
	uint64_t backlog;
	uint32_t effort = s->effort;

	pthread_mutex_lock(&s->lock);
	backlog = s->target - g->position;
	pthread_mutex_unlock(&s->lock);
	if (backlog >= s->ring.size_bytes / BACKLOG_SHARE &&
	    g->pack_ns > g->disk_ns && effort < EFFORT_NONE)
		effort++;
	else if (backlog < s->ring.size_bytes / (4 * BACKLOG_SHARE) &&
		 effort > 0)
		effort--;
	if (effort == s->effort)
		return;
	s->effort = effort;
	if (s->options.zstd_level > 0)
		hs_segment_codec_level(s->codec, levels[effort]);
	pthread_mutex_lock(&s->lock);
	s->stats.effort = effort;
	pthread_mutex_unlock(&s->lock);
}

/*
 * The group is durable, indexed, and no longer waits. Its rows are made while
 * the disk writes, and committed behind the sync.
 */
static int group_end(struct hs_store *s, struct group *g)
{
	int rc = piece_write(s, g);
	int failed = 0;

	if (!rc && s->nr_segments)
		failed = hs_store_index_items(s, last(s)->end + s->written);
	if (!rc)
		rc = group_sync(s, g);
	/* Rows of what is not on the disk must not stay. */
	if (rc)
		s->index_behind = true;
	if (!rc) {
		s->position = g->position;
		rc = failed ? failed : hs_store_index_commit(s, g->position);
	}
	if (!rc)
		effort_follow(s, g);
	*g = (struct group){.position = g->position};
	s->nr_items = 0;
	return rc;
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
		rc = piece_write(s, g);
	return rc;
}

static int record_add(struct hs_store *s, const struct hs_ring_entry *entry,
		      struct group *g)
{
	struct hs_store_item *item;
	uint64_t from_ns;
	uint64_t at;
	size_t n;
	int rc = record_room(s, entry, g);

	if (rc)
		return rc;
	from_ns = hs_clock_mono_ns();
	at = last(s)->end + s->written + s->out_used;
	n = hs_segment_encode(s->codec, last(s)->salt, at, segment_type(entry),
			      &entry->trace, hs_ring_payload(entry),
			      (size_t)entry->part_bytes[0] +
				      entry->part_bytes[1],
			      s->out + s->out_used);
	if (!n)
		return hs_store_failed(s, -EMSGSIZE, "a record");
	s->out_used += n;
	g->pack_ns += hs_clock_mono_ns() - from_ns;
	item = &s->items[s->nr_items];
	*item = (struct hs_store_item){
		entry, {last(s)->number, at}, (uint32_t)n, s->nr_items};
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
		rc = group_sync(s, g);
	return rc ? rc : hs_store_drop_segment(s, number);
}

static int entry_add(struct hs_store *s, const struct hs_ring_entry *entry,
		     struct group *g)
{
	if (entry->type == HS_RING_EXPIRE)
		return expire(s, entry, g);
	if (entry->type != HS_RING_MARK)
		return record_add(s, entry, g);
	s->items[s->nr_items] =
		(struct hs_store_item){.entry = entry, .order = s->nr_items};
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

static int write_groups(struct hs_store *s, uint64_t target)
{
	struct group g = {.position = s->position};
	const struct hs_ring_entry *entry;
	uint64_t at = s->position;
	int rc = 0;

	while (!rc && (entry = hs_ring_at(&s->ring, &at, target))) {
		rc = entry_add(s, entry, &g);
		g.position = at;
		g.bytes += entry->bytes;
		if (!rc && group_full(s, &g, entry))
			rc = group_end(s, &g);
	}
	g.position = target;
	return rc ? rc : group_end(s, &g);
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
		s->stats.syncs++;
		s->stats.error = 0;
		s->stats.error_text[0] = '\0';
	}
	pthread_mutex_unlock(&s->lock);
	return rc;
}

/* ---- the thread ------------------------------------------------------------
 */

static void answer(struct hs_store *s, uint64_t asked, int result)
{
	const uint64_t one = 1;

	s->answered = asked;
	s->result = result;
	pthread_cond_broadcast(&s->answered_cond);
	/* It cannot be full: the owner reads it whenever it looks. */
	if (write(s->event_fd, &one, sizeof(one)) != sizeof(one))
		s->stats.wake_errors++;
}

/* Return: whether there is more to do at once. */
static bool idle(struct hs_store *s)
{
	int done;
	int rc;

	if (!s->options.idle || s->index_behind || s->result)
		return false;
	done = s->options.idle(s->options.idle_ctx, &s->view, s->index);
	rc = done < 0 ? done : hs_index_commit(s->index);
	if (rc) {
		s->index_behind = true;
		pthread_mutex_lock(&s->lock);
		s->stats.idle_errors++;
		pthread_mutex_unlock(&s->lock);
		return false;
	}
	pthread_mutex_lock(&s->lock);
	s->stats.idle_done += (uint64_t)done;
	hs_index_count(s->index, &s->counts);
	pthread_mutex_unlock(&s->lock);
	return done > 0;
}

static void wait_asked(struct hs_store *s)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += (long)IDLE_WAIT_NS;
	until.tv_sec += until.tv_nsec / (long)HS_NS_PER_SEC;
	until.tv_nsec %= (long)HS_NS_PER_SEC;
	pthread_cond_timedwait(&s->asked_cond, &s->lock, &until);
}

void *hs_store_writer(void *store)
{
	struct hs_store *s = store;
	bool more = false;

	pthread_mutex_lock(&s->lock);
	for (;;) {
		if (s->asked == s->answered && !s->stop && !more)
			wait_asked(s);
		if (s->asked != s->answered) {
			uint64_t asked = s->asked, from = s->from;
			uint64_t target = s->target;
			int rc;

			pthread_mutex_unlock(&s->lock);
			rc = hs_store_write(s, from, target);
			pthread_mutex_lock(&s->lock);
			answer(s, asked, rc);
			more = !rc;
		} else if (s->stop) {
			break;
		} else {
			pthread_mutex_unlock(&s->lock);
			more = idle(s);
			pthread_mutex_lock(&s->lock);
		}
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}
