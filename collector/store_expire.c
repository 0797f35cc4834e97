/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_expire.c - a segment that is old or too much goes, with its traces
 *
 * A trace goes whole: half of one would be marked partial for no fault of
 * anybody's. What it has in later segments stays there as bytes that nobody
 * finds; a record behind them says so to whoever makes the index again.
 *
 * Order: those records are on disk, the rows are gone, then the file. Killed in
 * between, the file is read again when the store is opened, and goes next.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "collector/store_internal.h"

static void forget(struct hs_store *s, uint32_t number, uint64_t traces)
{
	pthread_mutex_lock(&s->lock);
	for (uint32_t i = 0; i < s->nr_segments; i++) {
		if (s->segments[i].number != number)
			continue;
		if (!s->segments[i].bad)
			s->stats.disk_bytes -= s->segments[i].end;
		memmove(&s->segments[i], &s->segments[i + 1],
			(s->nr_segments - i - 1) * sizeof(s->segments[0]));
		s->nr_segments--;
		break;
	}
	s->stats.expired_segments++;
	s->stats.expired_traces += traces;
	pthread_mutex_unlock(&s->lock);
}

static uint64_t traces_of(struct hs_index *ix)
{
	struct hs_index_counts counts;
	uint64_t nr = 0;

	hs_index_count(ix, &counts);
	for (int i = 0; i < 3; i++)
		nr += counts.nr_marks[i];
	return nr;
}

int hs_store_drop_segment(struct hs_store *s, uint32_t number)
{
	char name[HS_STORE_SEGMENT_NAME_BYTES];
	uint64_t before = traces_of(s->index);
	struct hs_store_segment segment;
	int rc;

	/* Asked for twice; or the one that is written to, which stays. */
	if (!hs_store_segment_find(s, number, &segment) ||
	    number == s->segments[s->nr_segments - 1].number)
		return 0;
	rc = hs_index_expire(s->index, number);
	if (!rc && s->fd >= 0)
		rc = hs_index_segment_set(
			s->index, s->segments[s->nr_segments - 1].number,
			s->segments[s->nr_segments - 1].end);
	if (!rc)
		rc = hs_index_commit(s->index);
	if (rc)
		return hs_store_index_failed(s, rc);
	hs_store_segment_name(name, number);
	if (unlinkat(s->dir_fd, name, 0) && errno != ENOENT)
		return hs_store_failed(s, -errno, name);
	forget(s, number, before - traces_of(s->index));
	return fsync(s->dir_fd) ? hs_store_failed(s, -errno, name) : 0;
}
