/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.c - the owner's side of a store: opening, putting, asking
 */
#include "collector/store.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/random.h"
#include "collector/assembly.h"
#include "collector/store_internal.h"

#define SEGMENT_BYTES  (64ull << 20)
#define UNSYNCED_BYTES (32u << 20)
#define ZSTD_LEVEL     3
#define PACKERS_MAX    8 /* unless more are asked for */
/* So much of the memory is a group that is worth its sync. */
#define DUE_SHARE 4u

/* ---- putting --------------------------------------------------------------
 */

static bool under_way(struct hs_store *s)
{
	bool is;

	pthread_mutex_lock(&s->lock);
	is = s->asked != s->answered;
	pthread_mutex_unlock(&s->lock);
	return is;
}

static int put(struct hs_store *s, const struct hs_ring_entry *like,
	       const void *const parts[2])
{
	uint64_t done;

	if (like->part_bytes[0] > HS_SEGMENT_RAW_MAX_BYTES ||
	    like->part_bytes[1] >
		    HS_SEGMENT_RAW_MAX_BYTES - like->part_bytes[0])
		return -EMSGSIZE;
	if (!hs_ring_put(&s->ring, like, parts)) {
		/* Perhaps some has become durable since. */
		int rc = hs_store_poll(s, &done);

		if (!hs_ring_put(&s->ring, like, parts)) {
			s->put.refused++;
			/* What is under way makes room, without ending a batch
			 * in the middle. */
			if (!rc && !under_way(s))
				hs_store_submit(s);
			return rc ? rc : -EAGAIN;
		}
	}
	return 0;
}

static int put_record(struct hs_store *s, const struct hs_ring_entry *like,
		      const void *const parts[2])
{
	int rc = put(s, like, parts);

	if (rc)
		return rc;
	s->put.records++;
	s->put.raw_bytes += like->part_bytes[0] + like->part_bytes[1];
	return 0;
}

int hs_store_put_slice(struct hs_store *s, const struct hs_wire_slice *slice,
		       const uint8_t *bytes, int64_t now_ns)
{
	const void *const parts[2] = {slice, bytes};
	const struct hs_ring_entry like = {
		.type = HS_RING_SLICE,
		.trace = slice->trace,
		.now_ns = now_ns,
		.part_bytes = {sizeof(*slice), slice->length_bytes}};

	return put_record(s, &like, parts);
}

int hs_store_put_union(struct hs_store *s, const struct hs_wire_trace_id *trace,
		       const void *blob, uint32_t blob_bytes, int64_t now_ns)
{
	const void *const parts[2] = {blob, NULL};
	const struct hs_ring_entry like = {.type = HS_RING_UNION,
					   .trace = *trace,
					   .now_ns = now_ns,
					   .part_bytes = {blob_bytes, 0}};
	const struct hs_wire_trigger *triggers;
	uint32_t nr_triggers;
	int rc = hs_assembly_union_glance(blob, blob_bytes, &triggers,
					  &nr_triggers);

	return rc ? rc : put_record(s, &like, parts);
}

int hs_store_put_mark(struct hs_store *s, const struct hs_wire_trace_id *trace,
		      const struct hs_index_mark *mark, int64_t now_ns)
{
	uint32_t causes_bytes = (uint32_t)strlen(mark->causes) + 1;
	uint32_t nodes_bytes = (uint32_t)strlen(mark->nodes) + 1;
	uint8_t texts[16384];
	const struct hs_ring_mark head = {.version = mark->version,
					  .nr_bytes = mark->nr_bytes,
					  .mark = (uint32_t)mark->mark,
					  .causes_bytes = causes_bytes};
	const void *const parts[2] = {&head, texts};
	const struct hs_ring_entry like = {
		.type = HS_RING_MARK,
		.trace = *trace,
		.now_ns = now_ns,
		.part_bytes = {sizeof(head), causes_bytes + nodes_bytes}};

	if (nodes_bytes > sizeof(texts) ||
	    causes_bytes > sizeof(texts) - nodes_bytes)
		return -EMSGSIZE;
	memcpy(texts, mark->causes, causes_bytes);
	memcpy(texts + causes_bytes, mark->nodes, nodes_bytes);
	return put(s, &like, parts);
}

uint32_t hs_store_oldest(struct hs_store *s, uint64_t max_bytes,
			 int64_t before_ns)
{
	uint32_t number = 0;

	pthread_mutex_lock(&s->lock);
	/* A segment ends where the next one begins. */
	if (s->nr_segments > 1 &&
	    ((max_bytes && s->stats.disk_bytes > max_bytes) ||
	     (before_ns && s->segments[1].created_ns < before_ns)))
		number = s->segments[0].number;
	pthread_mutex_unlock(&s->lock);
	return number;
}

int hs_store_expire(struct hs_store *s, uint32_t segment, int64_t now_ns)
{
	const void *const parts[2] = {&segment, NULL};
	const struct hs_ring_entry like = {.type = HS_RING_EXPIRE,
					   .now_ns = now_ns,
					   .part_bytes = {sizeof(segment), 0}};

	return put(s, &like, parts);
}

/* ---- asking ---------------------------------------------------------------
 */

uint64_t hs_store_submit(struct hs_store *s)
{
	pthread_mutex_lock(&s->lock);
	if (s->target != s->ring.head)
		hs_ring_end_batch(&s->ring);
	s->from = s->ring.tail;
	s->target = s->ring.head;
	s->asked++;
	pthread_cond_signal(&s->asked_cond);
	pthread_mutex_unlock(&s->lock);
	return s->target;
}

bool hs_store_due(const struct hs_store *s)
{
	return s->ring.head - s->target >= s->ring.size_bytes / DUE_SHARE;
}

int hs_store_poll(struct hs_store *s, uint64_t *done)
{
	uint64_t drained;
	int rc;

	pthread_mutex_lock(&s->lock);
	*done = s->done;
	rc = s->asked == s->answered ? s->result : 0;
	/* What it counts does not matter; empty is fine, too. */
	if (s->woken && read(s->event_fd, &drained, sizeof(drained)) < 0 &&
	    errno != EAGAIN)
		rc = rc ? rc : -errno;
	s->woken = false;
	pthread_mutex_unlock(&s->lock);
	/* What became durable is seen from here on. */
	hs_index_release(s->own.index);
	hs_ring_let_go(&s->ring, *done);
	return rc;
}

void hs_store_wait(struct hs_store *s)
{
	uint64_t done;

	pthread_mutex_lock(&s->lock);
	done = s->done;
	while (s->answered != s->asked && s->done == done)
		pthread_cond_wait(&s->answered_cond, &s->lock);
	pthread_mutex_unlock(&s->lock);
	(void)hs_store_poll(s, &done);
}

int hs_store_fd(const struct hs_store *s)
{
	return s->event_fd;
}

int hs_store_sync(struct hs_store *s)
{
	uint64_t done;

	hs_store_submit(s);
	pthread_mutex_lock(&s->lock);
	while (s->answered != s->asked)
		pthread_cond_wait(&s->answered_cond, &s->lock);
	pthread_mutex_unlock(&s->lock);
	return hs_store_poll(s, &done);
}

struct hs_index *hs_store_index(struct hs_store *s)
{
	return s->own.index;
}

void hs_store_counts(struct hs_store *s, struct hs_index_counts *out)
{
	pthread_mutex_lock(&s->lock);
	*out = s->counts;
	pthread_mutex_unlock(&s->lock);
}

bool hs_store_unmarked(struct hs_store *s)
{
	bool unmarked;

	pthread_mutex_lock(&s->lock);
	unmarked = s->unmarked;
	s->unmarked = false;
	pthread_mutex_unlock(&s->lock);
	return unmarked;
}

void hs_store_stats(struct hs_store *s, struct hs_store_stats *out)
{
	pthread_mutex_lock(&s->lock);
	*out = s->stats;
	out->nr_segments = s->nr_segments;
	pthread_mutex_unlock(&s->lock);
	out->records = s->put.records;
	out->raw_bytes = s->put.raw_bytes;
	out->refused = s->put.refused;
	out->damaged_reads += s->own.damaged_reads;
	out->unsynced_bytes = (uint32_t)(s->ring.head - s->ring.tail);
}

/* ---- opening and closing --------------------------------------------------
 */

static int dir_open(struct hs_store *s, char *error, size_t error_bytes)
{
	if (mkdir(s->dir, 0700) && errno != EEXIST)
		goto failed;
	s->dir_fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dir_fd < 0)
		goto failed;
	s->lock_fd =
		openat(s->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->lock_fd < 0)
		goto failed;
	if (!flock(s->lock_fd, LOCK_EX | LOCK_NB))
		return 0;
	if (errno == EWOULDBLOCK) {
		snprintf(error, error_bytes,
			 "%s: another collector has it open", s->dir);
		return -EBUSY;
	}
failed:
	snprintf(error, error_bytes, "%s: %s", s->dir, strerror(errno));
	return -errno;
}

static void options_fill(struct hs_store_options *o)
{
	/* A record of any length fits once nothing else waits. */
	const uint32_t least =
		HS_SEGMENT_RECORD_MAX_BYTES + 2 * HS_RING_ALIGN_BYTES;

	if (!o->segment_bytes)
		o->segment_bytes = SEGMENT_BYTES;
	if (!o->unsynced_bytes)
		o->unsynced_bytes = UNSYNCED_BYTES;
	if (!o->zstd_level)
		o->zstd_level = ZSTD_LEVEL;
	if (o->unsynced_bytes < least)
		o->unsynced_bytes = least;
}

static struct hs_store *store_new(const struct hs_store_options *options)
{
	struct hs_store *s = calloc(1, sizeof(*s));
	uint64_t seed;

	if (!s)
		return NULL;
	s->dir_fd = -1;
	s->lock_fd = -1;
	s->fd = -1;
	s->own.read_fd = -1;
	s->view.read_fd = -1;
	s->options = *options;
	options_fill(&s->options);
	pthread_mutex_init(&s->committing, NULL);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->asked_cond, NULL);
	pthread_cond_init(&s->answered_cond, NULL);
	hs_syncer_init(&s->syncer);
	s->dir = strdup(options->dir);
	s->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->dir && s->event_fd >= 0 &&
	    !hs_random_secure(&seed, sizeof(seed)) &&
	    !hs_ring_init(&s->ring, s->options.unsynced_bytes, seed) &&
	    !hs_store_writer_init(s))
		return s;
	hs_store_close(s);
	return NULL;
}

/* Of two cores one packs while the other does the rest. */
static uint32_t nr_packers(const struct hs_store_options *o)
{
	uint32_t half = hs_pack_cores() / 2;

	if (o->pack_threads)
		return o->pack_threads > 0 ? (uint32_t)o->pack_threads : 0;
	return half < PACKERS_MAX ? half : PACKERS_MAX;
}

/* Signals are for the threads that wait for them. */
static int threads_start(struct hs_store *s)
{
	sigset_t all, before;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = hs_syncer_start(&s->syncer);
	if (!rc)
		rc = hs_pack_start(s->pack, nr_packers(&s->options));
	if (!rc) {
		rc = -pthread_create(&s->thread, NULL, hs_store_writer, s);
		s->has_thread = rc == 0;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc;
}

int hs_store_open(struct hs_store **out, const struct hs_store_options *options,
		  char *error, size_t error_bytes)
{
	struct hs_store *s = store_new(options);
	int rc;

	*out = NULL;
	if (!s) {
		snprintf(error, error_bytes, "no memory for a store");
		return -ENOMEM;
	}
	rc = dir_open(s, error, error_bytes);
	if (!rc)
		rc = hs_store_recover(s, error, error_bytes);
	if (!rc)
		rc = hs_store_view_init(&s->own, s, false, error, error_bytes);
	if (!rc)
		rc = hs_store_view_init(&s->view, s, true, error, error_bytes);
	if (!rc) {
		rc = threads_start(s);
		if (rc)
			snprintf(error, error_bytes, "%s: no thread: %s",
				 s->dir, strerror(-rc));
	}
	if (rc) {
		hs_store_close(s);
		return rc;
	}
	*out = s;
	return 0;
}

static void thread_end(struct hs_store *s)
{
	hs_store_sync(s);
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_signal(&s->asked_cond);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
}

void hs_store_close(struct hs_store *s)
{
	if (!s)
		return;
	if (s->has_thread)
		thread_end(s);
	hs_store_view_destroy(&s->own);
	hs_store_view_destroy(&s->view);
	hs_store_writer_destroy(s);
	hs_ring_destroy(&s->ring);
	if (s->event_fd >= 0)
		close(s->event_fd);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	if (s->dir_fd >= 0)
		close(s->dir_fd);
	pthread_cond_destroy(&s->answered_cond);
	pthread_cond_destroy(&s->asked_cond);
	pthread_mutex_destroy(&s->lock);
	pthread_mutex_destroy(&s->committing);
	free(s->segments);
	free(s->dir);
	free(s);
}
