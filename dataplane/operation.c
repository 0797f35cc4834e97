/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see operation.h: the rare parts. */
#include "dataplane/operation.h"

#include "dataplane/client.h"
#include "dataplane/handle.h"
#include "dataplane/write.h"

struct hs_operations hs_operations = {.nr = 1};
struct hs_operation_mark hs_operation_marks[HS_OPERATION_MARKS];

void hs_operations_make(void)
{
	hs_client_touch(&hs_operations, sizeof(hs_operations));
	hs_client_touch(hs_operation_marks, sizeof(hs_operation_marks));
}

void hs_operation_remember(uint64_t mark, uint64_t resource, uint32_t number)
{
	struct hs_operation_mark *m =
		&hs_operation_marks[hs_operation_mark_place(mark, resource)];

	/* operation.C11 relaxed: who gets it writes it alone. Looked at first:
	 * a name whose place is another's comes here each time. */
	if (!mark || __atomic_load_n(&m->taken, __ATOMIC_RELAXED) ||
	    __atomic_exchange_n(&m->taken, 1, __ATOMIC_RELAXED))
		return;
	m->resource = resource;
	m->number = number;
	m->index = (uint32_t)(m - hs_operation_marks);
	m->again_at = (uint32_t)(offsetof(struct hs_trace, again_names) +
				 m->index % HS_HANDLE_AGAIN_MAX *
					 sizeof(struct hs_again));
	/* operation.W4 release, pairs operation.R5: what the mark stands
	 * for. */
	__atomic_store_n(&m->mark, mark, __ATOMIC_RELEASE);
}

static void text_take(char *to, size_t room, const char *from, size_t n)
{
	n = from ? hs_write_text_fit(from, n, room - 1) : 0;
	if (n)
		memcpy(to, from, n);
	to[n] = '\0';
}

/* A number of one's own. Return: 0 when there is none left. */
static uint32_t claim(void)
{
	uint32_t nr;

	/* operation.C3 relaxed: confirmed by the exchange. */
	nr = __atomic_load_n(&hs_operations.nr, __ATOMIC_RELAXED);
	while (nr < HS_SHM_OPERATIONS_MAX) {
		/* operation.C4 relaxed: the number is all there is. */
		if (__atomic_compare_exchange_n(&hs_operations.nr, &nr, nr + 1,
						true, __ATOMIC_RELAXED,
						__ATOMIC_RELAXED))
			return nr;
	}
	return 0;
}

/*
 * Two threads that meet a new operation at the same moment claim two numbers
 * for it; one of them names a place first, and the other's number is lost.
 */
uint32_t hs_operation_add(uint64_t hash, const char *service,
			  size_t service_bytes, const char *name,
			  size_t name_bytes)
{
	uint32_t i = (uint32_t)(hash >> 32) % HS_OPERATION_PLACES;
	uint32_t number = claim();
	struct hs_operation *o = &hs_operations.items[number];

	if (!number)
		return 0;
	o->hash = hash;
	text_take(o->service, sizeof(o->service), service, service_bytes);
	text_take(o->name, sizeof(o->name), name, name_bytes);
	for (;;) {
		uint32_t there = 0;

		/* operation.W1 release, pairs operation.R1 operation.R2: what
		 * the number stands for before the number. */
		if (__atomic_compare_exchange_n(
			    &hs_operations.places[i], &there, number, false,
			    __ATOMIC_RELEASE, __ATOMIC_RELAXED))
			return number;
		if (hs_operation_find(hash))
			return hs_operation_find(hash);
		i = (i + 1) % HS_OPERATION_PLACES;
	}
}

void hs_operation_count_shared(const struct hs_attachment *at, uint32_t number,
			       uint64_t duration_ns, bool error)
{
	const struct hs_lane *lane = hs_tls.lane;
	uint32_t own = at->nr_own_stripes, shared = at->nr_stripes - own;
	uint32_t stripe = at->nr_stripes - 1;
	struct hs_shm_tally *tally;
	uint64_t *bucket;

	if (!at->watch)
		return;
	if (number >= at->layout.nr_operations)
		number = 0;
	if (lane && hs_tls.attachment == at->number)
		stripe = lane->index < own ? lane->index
					   : own + (lane->index - own) % shared;
	hs_attachment_stripe_use(at, stripe);
	tally = at->tallies + (size_t)stripe * at->layout.nr_operations +
		number;
	bucket = hs_operation_bucket(tally, duration_ns);
	if (stripe < own) {
		hs_operation_add_own(bucket);
		if (error)
			hs_operation_add_own(&tally->errors);
	} else {
		hs_operation_add_shared(bucket);
		if (error)
			hs_operation_add_shared(&tally->errors);
	}
	if (!number)
		hs_operation_add_shared(&at->watch->spans_other);
}

void hs_operations_publish(struct hs_attachment *at)
{
	struct hs_shm_operation *out;

	if (!at->watch)
		return;
	for (uint32_t i = 0; i < HS_OPERATION_PLACES; i++) {
		uint32_t number;

		/* operation.R2 acquire, pairs operation.W1: its texts. */
		number = __atomic_load_n(&hs_operations.places[i],
					 __ATOMIC_ACQUIRE);
		if (!number || number >= at->layout.nr_operations)
			continue;
		out = &at->operations[number];
		/* operation.C5 relaxed: our own word. */
		if (__atomic_load_n(&out->ready, __ATOMIC_RELAXED))
			continue;
		memcpy(out->service, hs_operations.items[number].service,
		       sizeof(out->service));
		memcpy(out->name, hs_operations.items[number].name,
		       sizeof(out->name));
		/* operation.W2 release, pairs operation.R3: the texts. */
		__atomic_store_n(&out->ready, 1, __ATOMIC_RELEASE);
	}
}
