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

/* The first seat is never an empty one. */
static void tail_advance(struct hs_domain *d)
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

void hs_ix_seat_take(struct hs_domain *d, uint32_t trace)
{
	*seat(d, d->seat_head) = trace;
	d->traces[trace].seat = d->seat_head++;
	if (!d->seats_move &&
	    d->seat_head - d->seat_tail > d->seat_mask / 4 * 3) {
		d->seats_move = true;
		d->seat_packed = d->seat_moving = d->seat_tail;
	}
	if (d->seats_move)
		move_up(d);
}

void hs_ix_seat_leave(struct hs_domain *d, uint32_t trace)
{
	uint32_t at = d->traces[trace].seat;

	*seat(d, at) = HS_NIL;
	if (at == d->seat_tail)
		tail_advance(d);
}

/* The least recently seen untriggered trace; HS_NIL: none. */
uint32_t hs_ix_oldest(const struct hs_domain *d)
{
	return d->seat_tail == d->seat_head ? HS_NIL : *seat(d, d->seat_tail);
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

#define SORT_BITS   11u
#define SORT_DIGITS (1u << SORT_BITS)
#define SORT_AHEAD  16u

/* The key of a trace: when it was seen last, in parts of the whole span. */
static uint32_t sort_key(const struct hs_domain *d, uint32_t trace,
			 uint64_t least_ns, uint32_t shift)
{
	return (uint32_t)((d->traces[trace].last_ns - least_ns) >> shift);
}

static inline __attribute__((always_inline)) void
sort_prefetch(const struct hs_domain *d, const uint32_t *from, uint32_t i,
	      uint32_t nr)
{
	if (i + SORT_AHEAD < nr)
		__builtin_prefetch(&d->traces[from[i + SORT_AHEAD]]);
}

/* One pass of a radix sort: by the digit of the key from @bit on, stable. */
static void sort_pass(const struct hs_domain *d, const uint32_t *from,
		      uint32_t *to, uint32_t nr, uint64_t least_ns,
		      uint32_t shift, uint32_t bit)
{
	uint32_t at[SORT_DIGITS] = {0}, sum = 0;

	for (uint32_t i = 0; i < nr; i++) {
		sort_prefetch(d, from, i, nr);
		at[sort_key(d, from[i], least_ns, shift) >> bit &
		   (SORT_DIGITS - 1)]++;
	}
	for (uint32_t k = 0; k < SORT_DIGITS; k++) {
		uint32_t n = at[k];

		at[k] = sum;
		sum += n;
	}
	for (uint32_t i = 0; i < nr; i++) {
		sort_prefetch(d, from, i, nr);
		to[at[sort_key(d, from[i], least_ns, shift) >> bit &
		      (SORT_DIGITS - 1)]++] = from[i];
	}
}

/*
 * After an adoption those sit in the order of their memory. Let them sit by
 * when they were seen last, to one part in four million of the time between
 * the first and the last. The row's other half is free for it.
 */
void hs_ix_seats_sort(struct hs_domain *d)
{
	uint64_t least_ns = UINT64_MAX, most_ns = 0;
	uint32_t nr = 0, shift = 0;
	bool sorted = true;

	/* Never so far, but then their order may stay as it is. */
	if (d->seats_move || d->seat_head > d->seat_mask)
		return;
	for (uint32_t at = d->seat_tail; at != d->seat_head; at++) {
		uint32_t trace = d->seats[at];

		if (trace == HS_NIL)
			continue;
		d->seats[nr++] = trace;
		sorted &= d->traces[trace].last_ns >= most_ns;
		if (d->traces[trace].last_ns < least_ns)
			least_ns = d->traces[trace].last_ns;
		if (d->traces[trace].last_ns > most_ns)
			most_ns = d->traces[trace].last_ns;
	}
	while (nr && (most_ns - least_ns) >> shift >> (2 * SORT_BITS))
		shift++;
	if (!sorted) {
		sort_pass(d, d->seats, d->seats + nr, nr, least_ns, shift, 0);
		sort_pass(d, d->seats + nr, d->seats, nr, least_ns, shift,
			  SORT_BITS);
	}
	for (uint32_t i = 0; i < nr; i++)
		d->traces[d->seats[i]].seat = i;
	d->seat_tail = 0;
	d->seat_head = nr;
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
