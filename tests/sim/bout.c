/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout.c - the bouts of a seed, and what a hostile peer does to a payload
 */
#include "tests/sim/bout.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE_BYTES 4096u
#define LINE_BYTES 64u

/* A 4- or 8-byte number becomes one that limits and tables stumble over. */
static uint64_t awkward(struct hs_random *r, uint64_t was)
{
	switch (hs_random_below(r, 8)) {
	case 0:
		return 0;
	case 1:
		return UINT64_MAX;
	case 2:
		return was + 1;
	case 3:
		return was - 1;
	case 4:
		return 1ull << hs_random_below(r, 64);
	case 5:
		return (1ull << hs_random_below(r, 21)) + 1;
	case 6:
		return hs_random_below(r, 8);
	default:
		return hs_random_u64(r);
	}
}

static void change(struct hs_random *r, uint8_t *at, uint32_t bytes)
{
	static const uint32_t sizes[] = {1, 2, 4, 8};
	uint32_t size = sizes[hs_random_below(r, 4)];
	uint64_t value = 0;
	uint32_t where;

	if (bytes < size)
		return;
	/* Mostly in the head, where the counts are. */
	where = bout_below(r, hs_random_chance(r, 0.6) && bytes > 168 ? 168
								      : bytes);
	where = where / size * size;
	if (where > bytes - size)
		return;
	memcpy(&value, at + where, size);
	value = awkward(r, value);
	memcpy(at + where, &value, size);
}

uint32_t bout_mangle(struct hs_random *r, uint8_t *payload, uint32_t bytes,
		     uint32_t room)
{
	uint32_t more;

	switch (hs_random_below(r, 6)) {
	case 0: /* cut off */
		return bout_below(r, bytes + 1);
	case 1: /* by a little */
		more = 1 + bout_below(r, 8);
		return bytes > more ? bytes - more : 0;
	case 2: /* longer than it says */
		more = 1 + bout_below(r, 32);
		if (more > room - bytes)
			return bytes;
		for (uint32_t i = 0; i < more; i++)
			payload[bytes + i] = (uint8_t)hs_random_u64(r);
		return bytes + more;
	case 3: /* a bit */
		if (bytes)
			payload[bout_below(r, bytes)] ^=
				(uint8_t)(1u << hs_random_below(r, 8));
		return bytes;
	default:
		change(r, payload, bytes);
		if (hs_random_chance(r, 0.3))
			change(r, payload, bytes);
		return bytes;
	}
}

static size_t in_pages(size_t bytes)
{
	return (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
}

static uint32_t ahead_of(uint32_t off)
{
	return off ? LINE_BYTES - off : 0;
}

void *bout_alloc(size_t bytes, uint32_t off)
{
	size_t pages = in_pages(bytes + 1);
	uint8_t *base = mmap(NULL, pages + PAGE_BYTES, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (base == MAP_FAILED || mprotect(base + pages, PAGE_BYTES, PROT_NONE))
		abort();
	return base + pages - bytes + ahead_of(off);
}

void bout_free(void *memory, size_t bytes, uint32_t off)
{
	uint8_t *base = memory;

	if (!memory)
		return;
	if (base[-1])
		abort();
	munmap(base - ahead_of(off) + bytes - in_pages(bytes + 1),
	       in_pages(bytes + 1) + PAGE_BYTES);
}

bool bout_core_begin(struct bout_home *h, struct hs_agent_core **core,
		     const struct hs_agent_ops *ops, void *ctx, uint64_t now_ns)
{
	if (!h->ledger) {
		h->ledger =
			bout_alloc(hs_agent_node_ledger_bytes(h->config), 0);
		h->domain_ledger =
			bout_alloc(hs_agent_domain_ledger_bytes(h->domain), 0);
	}
	h->memory = bout_alloc(hs_agent_core_size_bytes(h->config), 0);
	h->domain_memory =
		bout_alloc(hs_agent_domain_size_bytes(h->domain), h->off);
	*core = hs_agent_core_create(h->memory, h->ledger, h->config, ops, ctx,
				     now_ns, 0);
	return *core &&
	       !hs_agent_core_domain_add(*core, h->id, h->domain_memory,
					 h->domain_ledger, h->domain, now_ns);
}

void bout_core_end(struct bout_home *h)
{
	bout_free(h->memory, hs_agent_core_size_bytes(h->config), 0);
	bout_free(h->domain_memory, hs_agent_domain_size_bytes(h->domain),
		  h->off);
}

void bout_ledgers_free(struct bout_home *h)
{
	bout_free(h->ledger, hs_agent_node_ledger_bytes(h->config), 0);
	bout_free(h->domain_ledger, hs_agent_domain_ledger_bytes(h->domain), 0);
}

uint64_t bout_no_coordinator(void *ctx, const struct hs_wire_trace_id *primary,
			     uint32_t attempt, uint16_t type,
			     const void *payload, uint32_t bytes)
{
	return 0;
}

bool bout_no_node(void *ctx, uint64_t node, uint16_t type, const void *payload,
		  uint32_t bytes)
{
	return false;
}

void sim_bouts(struct sim *s)
{
	bout_assembly_limits(s);
	bout_shapes(s);
	bout_limits(s, s->p.seed);
	bout_index(s, s->p.seed);
	bout_assembly(s, s->p.seed);
	if (!s->failed)
		bout_agent(s, s->p.seed);
	if (!s->failed)
		bout_coord(s, s->p.seed);
	if (!s->failed)
		bout_fair(s, s->p.seed);
	if (!s->failed)
		bout_budget(s, s->p.seed);
	if (!s->failed)
		bout_stock(s, s->p.seed);
	if (!s->failed)
		bout_pace(s, s->p.seed);
	if (!s->failed)
		bout_sender(s, s->p.seed);
	if (!s->failed)
		bout_receiver(s, s->p.seed);
	if (!s->failed)
		bout_wire(s, s->p.seed);
	if (!s->failed)
		bout_tally(s, s->p.seed);
	if (!s->failed)
		bout_frames(s, s->p.seed);
}
