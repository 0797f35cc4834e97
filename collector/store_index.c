/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_index.c - what became durable, into the index: a change for each trace
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/assembly.h"
#include "collector/store_internal.h"

/*
 * The log is copied to its place when it has so many pages of 4 KiB, or fewer
 * when there is nothing else to do. What one commit after the other changes is
 * copied once, and copying takes two syncs.
 */
#define LOG_PAGES_MAX  16384u
#define LOG_PAGES_IDLE 1024u

int hs_store_index_failed(struct hs_store *s, int error)
{
	s->index_behind = true;
	pthread_mutex_lock(&s->lock);
	s->stats.error = error;
	snprintf(s->stats.error_text, sizeof(s->stats.error_text), "%s",
		 hs_index_error(s->index));
	pthread_mutex_unlock(&s->lock);
	return error;
}

static int by_trace(const void *a, const void *b)
{
	const struct hs_store_item *x = a;
	const struct hs_store_item *y = b;

	if (x->entry->trace.hi != y->entry->trace.hi)
		return x->entry->trace.hi < y->entry->trace.hi ? -1 : 1;
	if (x->entry->trace.lo != y->entry->trace.lo)
		return x->entry->trace.lo < y->entry->trace.lo ? -1 : 1;
	return (x->order > y->order) - (x->order < y->order);
}

/* Items of one trace, in the order in which they were put. */
static int trace_put(struct hs_store *s, const struct hs_store_item *items,
		     uint32_t nr)
{
	struct hs_index_change change = {.trace = items[0].entry->trace,
					 .now_ns = items[0].entry->now_ns,
					 .slices = s->slices};
	struct hs_index_mark mark;

	for (uint32_t i = 0; i < nr; i++) {
		const struct hs_ring_entry *e = items[i].entry;
		const uint8_t *payload = hs_ring_payload(e);
		const struct hs_ring_mark *m = (const void *)payload;

		/* Its mark goes in a later group, which a power cut may take
		 * away; the one before it knew nothing of it. */
		change.unmarked = e->type != HS_RING_MARK;
		if (e->type == HS_RING_SLICE) {
			s->slices[change.nr_slices++] = (struct hs_index_slice){
				(const void *)payload, items[i].place,
				items[i].stored_bytes};
		} else if (e->type == HS_RING_UNION) {
			int rc = hs_assembly_union_triggers(
				payload, e->part_bytes[0], &change.triggers,
				&change.nr_triggers);

			if (rc)
				return rc;
			change.union_place = items[i].place;
		} else if (e->type == HS_RING_MARK) {
			mark = (struct hs_index_mark){
				.mark = (int)m->mark,
				.version = m->version,
				.nr_bytes = m->nr_bytes,
				.causes = (const char *)(m + 1),
				.nodes = (const char *)(m + 1) +
					 m->causes_bytes};
			change.mark = &mark;
			change.now_ns = e->now_ns;
		}
	}
	return hs_index_put(s->index, &change);
}

static bool same_trace(const struct hs_store_item *x,
		       const struct hs_store_item *y)
{
	return x->entry->trace.hi == y->entry->trace.hi &&
	       x->entry->trace.lo == y->entry->trace.lo;
}

int hs_store_index_items(struct hs_store *s, uint64_t end)
{
	uint32_t next;
	int rc = 0;

	qsort(s->items, s->nr_items, sizeof(*s->items), by_trace);
	for (uint32_t i = 0; !rc && i < s->nr_items; i = next) {
		for (next = i + 1; next < s->nr_items; next++)
			if (!same_trace(&s->items[i], &s->items[next]))
				break;
		rc = trace_put(s, &s->items[i], next - i);
	}
	if (!rc && s->nr_segments && s->fd >= 0)
		rc = hs_index_segment_set(
			s->index, s->segments[s->nr_segments - 1].number, end);
	return rc ? hs_store_index_failed(s, rc) : 0;
}

/* From here on it is found, and waits no more: both at once. */
static int commit(struct hs_store *s, uint64_t position)
{
	int rc;

	pthread_mutex_lock(&s->committing);
	rc = hs_index_commit(s->index);
	if (!rc) {
		pthread_mutex_lock(&s->lock);
		s->done = position;
		hs_index_count(s->index, &s->counts);
		pthread_cond_broadcast(&s->answered_cond);
		hs_store_wake(s);
		pthread_mutex_unlock(&s->lock);
	}
	pthread_mutex_unlock(&s->committing);
	return rc;
}

int hs_store_index_checkpoint(struct hs_store *s, bool idle)
{
	if (hs_index_log_pages(s->index) <
	    (idle ? LOG_PAGES_IDLE : LOG_PAGES_MAX))
		return 0;
	return hs_index_checkpoint(s->index);
}

int hs_store_index_commit(struct hs_store *s, uint64_t position)
{
	int rc = commit(s, position);

	if (!rc)
		rc = hs_store_index_checkpoint(s, false);
	return rc ? hs_store_index_failed(s, rc) : 0;
}

int hs_store_index_repair(struct hs_store *s)
{
	int rc = hs_index_rollback(s->index);

	for (uint32_t i = 0; !rc && i < s->nr_segments; i++) {
		const struct hs_store_segment *segment = &s->segments[i];
		char name[HS_STORE_SEGMENT_NAME_BYTES];
		uint64_t from;
		uint64_t end;
		uint64_t damaged;
		int fd;

		rc = hs_index_segment_get(s->index, segment->number, &from);
		if (rc || segment->bad || from >= segment->end)
			continue;
		hs_store_segment_name(name, segment->number);
		fd = openat(s->dir_fd, name, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return hs_store_failed(s, -errno, name);
		rc = hs_store_reindex(s, segment, fd,
				      from ? from : HS_SEGMENT_START_BYTES,
				      &end, &damaged);
		close(fd);
	}
	if (!rc)
		rc = hs_index_commit(s->index);
	return rc ? hs_store_index_failed(s, rc) : 0;
}

int hs_store_index_damages(struct hs_store *s)
{
	struct hs_store_damage damages[HS_STORE_DAMAGES_MAX];
	uint32_t nr;
	int rc = 0;

	pthread_mutex_lock(&s->lock);
	nr = s->nr_damages;
	memcpy(damages, s->damages, nr * sizeof(damages[0]));
	s->nr_damages = 0;
	s->unmarked = s->unmarked || nr;
	pthread_mutex_unlock(&s->lock);
	for (uint32_t i = 0; !rc && i < nr; i++)
		rc = hs_index_put_damage(s->index, &damages[i].trace,
					 damages[i].place);
	return rc ? hs_store_index_failed(s, rc) : 0;
}
