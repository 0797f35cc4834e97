/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_fair.h - what a plain model believes of an agent's queues: see
 * bout_fair.c
 */
#ifndef HS_TESTS_SIM_BOUT_FAIR_H
#define HS_TESTS_SIM_BOUT_FAIR_H

#include "agent/core_priv.h"
#include "tests/sim/bout.h"

#define FAIR_NODE	    (7ull << 32 | 3)
#define FAIR_UNIT	    256u
#define FAIR_DOMAINS	    3u
#define FAIR_OTHERS	    (HS_AGENT_DOMAINS_MAX - FAIR_DOMAINS)
#define FAIR_NAMES	    4u
#define FAIR_TRACES	    64u
#define FAIR_GROUPS	    24u
#define FAIR_BUFFERS_OF_ONE 4u
/* Shares of weights up to here differ by more than what the core rounds off. */
#define FAIR_WEIGHT_MAX 4u
#define FAIR		"bout of queues: "

struct fair_buffer {
	uint32_t buffer, bytes;
	bool in_flight, waited;
	uint64_t key;
};

struct fair_trace {
	struct hs_wire_trace_id id;
	uint32_t group, domain;
	bool named;    /* it has fired, and is remembered */
	bool given_up; /* nobody holds it */
	bool queued, away, young;
	uint64_t since_ns;
	uint32_t slot; /* its hold's place */
	uint32_t nr;
	struct fair_buffer buffers[FAIR_BUFFERS_OF_ONE]; /* as they came */
};

struct fair_group {
	uint32_t trigger; /* of fair_names */
	struct hs_wire_trace_id primary;
	uint64_t priority;
};

/* A group that was given up: HS_LETS are remembered, four in a bucket. */
#define FAIR_LETS     256u
#define FAIR_LET_WAYS 4u
struct fair_let {
	uint32_t trigger;
	struct hs_wire_trace_id primary;
	uint64_t ns; /* 0: none */
};

struct fair_domain {
	struct hs_agent_domain_config config;
	void *memory, *ledger;
	uint64_t virtual_; /* what it sent over its weight */
	uint64_t served;   /* of its queue that was served last */
	uint64_t queues[FAIR_NAMES];
};

struct fair {
	struct sim *s;
	struct hs_random r;
	struct hs_agent_config config;
	struct hs_agent_core *core;
	void *memory, *ledger;
	struct fair_domain domains[FAIR_DOMAINS], others[FAIR_OTHERS];
	uint32_t first_name; /* the core counts others before them */
	uint64_t served;     /* of the domain that was served last */
	uint32_t process[FAIR_DOMAINS], handle;
	struct fair_trace traces[FAIR_TRACES];
	struct fair_group groups[FAIR_GROUPS];
	struct fair_let lets[FAIR_LETS][FAIR_LET_WAYS];
	uint64_t last_id, now_ns, swept_ns, in_flight_bytes;
	uint64_t nr_lets[FAIR_NAMES];
	uint64_t updates[FAIR_TRACES];
	uint32_t nr_updates, nr_fired, away, room;
	/* Holds in the order in which they settle; another's by now, if the
	 * time differs. */
	struct hs_young young[FAIR_TRACES * 2];
	bool in_young[FAIR_TRACES * 2];
	uint32_t nr_young;
	bool ticking, refused;
	const struct fair_trace *serving;
	uint64_t payload[64];
};

extern const uint32_t fair_domain_ids[FAIR_DOMAINS];
extern const char *const fair_names[FAIR_NAMES];

/* bout_fair_model.c */
struct fair_trace *fair_trace_of(struct fair *g,
				 const struct hs_wire_trace_id *id);
bool fair_group_empty(const struct fair *g, uint32_t group);
void fair_group_new(struct fair *g, uint32_t group);
/* Whether it was given up a while ago, and that is known. */
bool fair_let_known(const struct fair *g, uint32_t group);
/* It has something to send, perhaps. */
void fair_enqueue(struct fair *g, struct fair_trace *x);
void fair_aside(struct fair *g, struct fair_trace *x);
void fair_back(struct fair *g);
/* What is under way goes again, if no answer came for long, or @all. */
void fair_again(struct fair *g, bool all);
/* Whose turn it is; NULL: nobody waits. */
const struct fair_trace *fair_next(const struct fair *g);
/* Its turn begins: it fails unless it is. */
void fair_turn(struct fair *g, const struct fair_trace *x);
void fair_sent(struct fair *g, struct fair_trace *x, uint32_t bytes);
void fair_young(struct fair *g, const struct fair_trace *x);
/* Buffers of a trigger, FAIR_NAMES: of all; @all: also those that are young. */
uint32_t fair_pinned(const struct fair *g, uint32_t domain, uint32_t trigger,
		     bool all);
void fair_give_up(struct fair *g, struct fair_trace *x);
/* What a tick gives up at its end. */
void fair_overload(struct fair *g);

#endif
