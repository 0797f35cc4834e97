/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout.h - one core alone, with tiny limits and no mercy
 *
 * In the world a core meets what other cores say, late and repeated. In a bout
 * it meets whatever the format can express and much that it cannot, at limits
 * of one to a few, and a plain model says after every step what must have
 * come of it. Each seed begins with one bout of every kind.
 */
#ifndef HS_TESTS_SIM_BOUT_H
#define HS_TESTS_SIM_BOUT_H

#include "agent/core.h"
#include "tests/sim/sim.h"

/* sim_run() calls it: all bouts of this seed. */
void sim_bouts(struct sim *s);

void bout_assembly(struct sim *s, uint64_t seed);
void bout_agent(struct sim *s, uint64_t seed);
void bout_limits(struct sim *s, uint64_t seed);
void bout_index(struct sim *s, uint64_t seed);
void bout_fair(struct sim *s, uint64_t seed);
void bout_budget(struct sim *s, uint64_t seed);
void bout_stock(struct sim *s, uint64_t seed);
void bout_pace(struct sim *s, uint64_t seed);
void bout_sender(struct sim *s, uint64_t seed);
void bout_receiver(struct sim *s, uint64_t seed);
void bout_wire(struct sim *s, uint64_t seed);
void bout_tally(struct sim *s, uint64_t seed);
void bout_frames(struct sim *s, uint64_t seed);
void bout_shapes(struct sim *s);
void bout_coord(struct sim *s, uint64_t seed);
void bout_assembly_limits(struct sim *s);

/* bout.c: an honest payload made into something else. */
uint32_t bout_mangle(struct hs_random *r, uint8_t *payload, uint32_t bytes,
		     uint32_t room);

/*
 * Memory, all zero, behind whose last byte nothing may be read: ledgers, and
 * what a core asks for. @off: of a domain, which aligns it: so far from its end
 * do its lines end, of the one that it has too much. What stands before it
 * stays as it is.
 */
void *bout_alloc(size_t bytes, uint32_t off);
void bout_free(void *memory, size_t bytes, uint32_t off);

/* Where an agent's core with one domain lives. */
struct bout_home {
	const struct hs_agent_config *config;
	const struct hs_agent_domain_config *domain;
	uint32_t id, off; /* of the domain, and of its memory */
	void *memory, *ledger, *domain_memory, *domain_ledger;
};

/* Ledgers are found as the last life left them. Return: whether it begins. */
bool bout_core_begin(struct bout_home *h, struct hs_agent_core **core,
		     const struct hs_agent_ops *ops, void *ctx,
		     uint64_t now_ns);
void bout_core_end(struct bout_home *h); /* as a kill would: ledgers stay */
void bout_ledgers_free(struct bout_home *h);

/* Nobody is there to send anything to. */
uint64_t bout_no_coordinator(void *ctx, const struct hs_wire_trace_id *primary,
			     uint32_t attempt, uint16_t type,
			     const void *payload, uint32_t bytes);
bool bout_no_node(void *ctx, uint64_t node, uint16_t type, const void *payload,
		  uint32_t bytes);

static inline uint32_t bout_below(struct hs_random *r, uint32_t n)
{
	return (uint32_t)hs_random_below(r, n);
}

#endif
