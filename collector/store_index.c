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

#include "base/hash.h"
#include "collector/assembly.h"
#include "collector/store_internal.h"

/*
 * The log is copied to its place when it has so many pages of 4 KiB, or fewer
 * when there is nothing else to do. What one commit after the other changes is
 * copied once, and copying takes two syncs.
 */
#define LOG_PAGES_MAX  16384u
#define LOG_PAGES_IDLE 1024u
/* Traces whose changes are told to the index together. */
#define PUT_AT_ONCE 256u

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

static bool same_trace(const struct hs_store_item *x,
		       const struct hs_store_item *y)
{
	return x->entry->trace.hi == y->entry->trace.hi &&
	       x->entry->trace.lo == y->entry->trace.lo;
}

/*
 * Behind each item the next one of its trace. In a table, for which there is
 * room twice: the first of each trace, which names the last one, too.
 */
static void items_chain(struct hs_store *s)
{
	uint32_t size = 1;

	while (size < 2 * s->nr_items)
		size *= 2;
	memset(s->firsts, 0, size * sizeof(*s->firsts));
	for (uint32_t i = 0; i < s->nr_items; i++) {
		struct hs_store_item *item = &s->items[i];
		const struct hs_wire_trace_id *id = &item->entry->trace;
		uint32_t at = (uint32_t)hs_hash_trace(s->ring.seed, id->hi,
						      id->lo, 0);
		struct hs_store_item *first;

		for (at &= size - 1; s->firsts[at]; at = (at + 1) & (size - 1))
			if (same_trace(&s->items[s->firsts[at] - 1], item))
				break;
		item->next = 0;
		item->last = i;
		item->is_first = !s->firsts[at];
		if (item->is_first) {
			s->firsts[at] = i + 1;
			continue;
		}
		first = &s->items[s->firsts[at] - 1];
		s->items[first->last].next = i;
		first->last = i;
	}
}

/* What the items of one trace come to, in the order in which they were put. */
static int trace_change(struct hs_store *s, const struct hs_store_item *item,
			struct hs_index_slice *slices,
			struct hs_index_change *change,
			struct hs_index_mark *mark)
{
	*change = (struct hs_index_change){.trace = item->entry->trace,
					   .now_ns = item->entry->now_ns,
					   .slices = slices};
	for (;; item = &s->items[item->next]) {
		const struct hs_ring_entry *e = item->entry;
		const uint8_t *payload = hs_ring_payload(e);
		const struct hs_ring_mark *m = (const void *)payload;

		/* Its mark goes in a later group, which a power cut may take
		 * away; the one before it knew nothing of it. */
		change->unmarked = e->type != HS_RING_MARK;
		if (e->type == HS_RING_SLICE) {
			slices[change->nr_slices++] = (struct hs_index_slice){
				(const void *)payload, item->place,
				item->stored_bytes};
		} else if (e->type == HS_RING_UNION) {
			int rc = hs_assembly_union_glance(
				payload, e->part_bytes[0], &change->triggers,
				&change->nr_triggers);

			if (rc)
				return rc;
			change->union_place = item->place;
		} else if (e->type == HS_RING_MARK) {
			*mark = (struct hs_index_mark){
				.mark = (int)m->mark,
				.version = m->version,
				.nr_bytes = m->nr_bytes,
				.causes = (const char *)(m + 1),
				.nodes = (const char *)(m + 1) +
					 m->causes_bytes};
			change->mark = mark;
			change->now_ns = e->now_ns;
		}
		if (!item->next)
			return 0;
	}
}

static int traces_put(struct hs_store *s)
{
	struct hs_index_change changes[PUT_AT_ONCE];
	struct hs_index_mark marks[PUT_AT_ONCE];
	uint32_t nr = 0, nr_slices = 0;
	int rc = 0;

	for (uint32_t i = 0; !rc && i < s->nr_items; i++) {
		if (!s->items[i].is_first)
			continue;
		rc = trace_change(s, &s->items[i], s->slices + nr_slices,
				  &changes[nr], &marks[nr]);
		nr_slices += changes[nr++].nr_slices;
		if (rc || nr < PUT_AT_ONCE)
			continue;
		rc = hs_index_put_all(s->index, changes, nr);
		nr = 0;
		nr_slices = 0;
	}
	return rc ? rc : hs_index_put_all(s->index, changes, nr);
}

int hs_store_index_items(struct hs_store *s, uint64_t end)
{
	int rc;

	items_chain(s);
	rc = traces_put(s);
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
