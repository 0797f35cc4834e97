/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see operation.h: the rare parts. */
#include "dataplane/operation.h"

#include "dataplane/write.h"

struct hs_operations hs_operations = {.nr = 1};

void hs_operations_make(void)
{
	volatile uint8_t *p = (volatile uint8_t *)&hs_operations;

	/* Written, not read: a page that was only read faults once more. */
	for (size_t i = 0; i < sizeof(hs_operations); i += 4096)
		p[i] = p[i];
	p[sizeof(hs_operations) - 1] = p[sizeof(hs_operations) - 1];
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
