/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_retain.c - the order in which untriggered traces go
 *
 * A row of seats, written at one end and read at the other: who is seen takes
 * the next seat and leaves the old one empty, and the least recently seen
 * sits first. Exactly the order of a linked list, but a touch costs no
 * neighbours' lines, and the next to go can be asked for ahead.
 *
 * The row is at least twice as long as there are entries. When three quarters
 * of it are taken, empty seats among them, those who sit are moved up, eight
 * seats with every one that is taken: done before the row is full.
 *
 * While they move up: [tail, packed) has moved, [packed, moving) is empty,
 * [moving, head) is still to move.
 */
#include "agent/core_priv.h"

#include <string.h>

#define MOVES_A_SEAT 8u

static inline uint32_t *seat(const struct hs_domain *d, uint32_t at)
{
	return &d->seats[at & d->seat_mask];
}

static void move_up(struct hs_domain *d)
{
	for (uint32_t n = 0; n < MOVES_A_SEAT && d->seat_moving != d->seat_head;
	     n++, d->seat_moving++) {
		uint32_t trace = *seat(d, d->seat_moving);

		if (trace == HS_NIL)
			continue;
		*seat(d, d->seat_moving) = HS_NIL;
		*seat(d, d->seat_packed) = trace;
		d->traces[trace].seat = d->seat_packed++;
	}
	if (d->seat_moving == d->seat_head) {
		d->seat_head = d->seat_packed;
		d->seats_move = false;
	}
}

/* See hs_ix_seat_leave(): the first seat is never an empty one. */
void hs_ix_seats_advance(struct hs_domain *d)
{
	while (d->seat_tail != d->seat_head &&
	       *seat(d, d->seat_tail) == HS_NIL) {
		if (!d->seats_move || d->seat_tail != d->seat_packed) {
			d->seat_tail++;
			continue;
		}
		if (d->seat_moving == d->seat_tail)
			d->seat_moving++;
		d->seat_tail = d->seat_packed = d->seat_moving;
	}
}

/* See hs_ix_seat_take(). */
void hs_ix_seats_move(struct hs_domain *d)
{
	if (!d->seats_move) {
		d->seats_move = true;
		d->seat_packed = d->seat_moving = d->seat_tail;
	}
	move_up(d);
}

/* From the newest on: @at begins as 0. Return: HS_NIL at the end. */
uint32_t hs_ix_newest_next(const struct hs_domain *d, uint32_t *at)
{
	uint32_t taken = d->seat_head - d->seat_tail;

	while (*at < taken) {
		uint32_t trace = *seat(d, d->seat_head - ++*at);

		if (trace != HS_NIL)
			return trace;
	}
	return HS_NIL;
}

#define SORT_AHEAD 16u

struct span {
	uint64_t least_ns, most_ns;
	bool sorted;
};

static struct span seen_span(const uint64_t *row, uint32_t nr)
{
	struct span s = {UINT64_MAX, 0, true};

	for (uint32_t i = 0; i < nr; i++) {
		if (row[i] == HS_IX_UNSEATED)
			continue;
		s.sorted &= row[i] >= s.most_ns;
		if (row[i] < s.least_ns)
			s.least_ns = row[i];
		if (row[i] > s.most_ns)
			s.most_ns = row[i];
	}
	return s;
}

/* In the order of their entries. Return: how many. */
static uint32_t seat_plainly(struct hs_domain *d, const uint64_t *row,
			     uint32_t nr)
{
	uint32_t n = 0;

	/* Where entry i has its time nobody sits before i has been read. */
	for (uint32_t i = 0; i < nr; i++)
		if (row[i] != HS_IX_UNSEATED) {
			d->traces[i].seat = n;
			d->seats[n++] = i;
		}
	return n;
}

/*
 * How many have each key, then where the next of them goes: so that the
 * entries, which lie far apart, are written in their own order. Return: how
 * many sit.
 */
static uint32_t seat_sorted(struct hs_domain *d, const uint64_t *row,
			    uint32_t nr, const struct span *s)
{
	/* What lists the entries that are free: none has been given back. */
	uint32_t *who = d->traces_free, *at = d->sort_at;
	uint32_t shift = 0, sum = 0;

	while ((s->most_ns - s->least_ns) >> shift >= HS_IX_SORT_PARTS)
		shift++;
	memset(at, 0, HS_IX_SORT_PARTS * sizeof(*at));
	for (uint32_t i = 0; i < nr; i++)
		if (row[i] != HS_IX_UNSEATED)
			at[(row[i] - s->least_ns) >> shift]++;
	for (uint32_t k = 0; k < HS_IX_SORT_PARTS; k++) {
		uint32_t n = at[k];

		at[k] = sum;
		sum += n;
	}
	for (uint32_t i = 0; i < nr; i++) {
		uint32_t to;

		if (i + SORT_AHEAD < nr)
			__builtin_prefetch(&d->traces[i + SORT_AHEAD], 1);
		if (row[i] == HS_IX_UNSEATED)
			continue;
		to = at[(row[i] - s->least_ns) >> shift]++;
		who[to] = i;
		d->traces[i].seat = to;
	}
	memcpy(d->seats, who, sum * sizeof(*who));
	return sum;
}

/*
 * An adoption gives nobody a seat, and notes of each entry when it was seen
 * last. Let them sit by that in the end, to one part in HS_IX_SORT_PARTS of the
 * time between the first and the last.
 */
void hs_ix_seats_adopt(struct hs_domain *d)
{
	const uint64_t *row = hs_ix_seat_times(d);
	struct span s = seen_span(row, d->traces_used);

	d->seat_tail = 0;
	d->seat_head = s.sorted ? seat_plainly(d, row, d->traces_used)
				: seat_sorted(d, row, d->traces_used, &s);
}

bool hs_ix_seats_check(const struct hs_domain *d, const char **why)
{
	uint32_t at = 0, nr = 0, trace;

	*why = "a trace does not sit where the order says";
	while ((trace = hs_ix_newest_next(d, &at)) != HS_NIL) {
		if (d->traces[trace].seat != d->seat_head - at ||
		    d->traces[trace].fired != HS_NIL)
			return false;
		nr++;
	}
	*why = "untriggered traces and their seats do not add up";
	return nr == d->nr_traces_live - d->nr_traces_fired &&
	       (nr == 0 || hs_ix_oldest(d) != HS_NIL) &&
	       d->seat_head - d->seat_tail <= d->seat_mask + 1;
}
