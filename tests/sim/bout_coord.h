/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_coord.h - a coordinator's core in the ring: what agents told it, and
 * what of it is with a collector
 */
#ifndef HS_TESTS_SIM_BOUT_COORD_H
#define HS_TESTS_SIM_BOUT_COORD_H

#include "coordinator/core_internal.h"
#include "tests/sim/bout.h"

#define BCO_TRACES   6u
#define BCO_NUMBERS  5u
#define BCO_NODES    (2 * BCO_NUMBERS) /* two incarnations each */
#define BCO_CRUMBS   10u
#define BCO_REQUESTS 64u
#define BCO	     "bout of the coordinator: "

/* What a node said last of a trace, and when it was asked. */
struct bco_node {
	bool answered;
	bool at_once; /* its connection changed since it was asked */
	struct hs_wire_answer said;
	struct hs_wire_crumb crumbs[BCO_CRUMBS];
	uint64_t asked_ns;
	uint32_t nr_asks;
};

struct bco_trace {
	bool live;
	struct hs_wire_trace_id id;
	struct bco_node nodes[BCO_NODES];
	uint32_t named; /* bits of nodes that ever were */
	uint64_t life;	/* epoch of the core's own; 0: it has none */
	uint64_t epoch, told_ns;
	uint32_t version, acked, tries;
	bool failed, settled;	  /* of the last version */
	bool again;		  /* the collector came back */
	uint32_t settled_version; /* the newest that was */
};

struct bco_request {
	bool live;
	uint64_t origin, key;
	uint32_t nr;
	uint32_t traces[HS_WIRE_TRACES_MAX];
	uint64_t lives[HS_WIRE_TRACES_MAX];
	uint32_t after[HS_WIRE_TRACES_MAX]; /* a later version contains it */
};

struct bco {
	struct sim *s;
	struct hs_random r;
	struct hs_coord_config config;
	struct hs_coord_core *core;
	void *memory;
	struct bco_trace traces[BCO_TRACES];
	uint64_t up[BCO_NUMBERS];
	struct bco_request requests[BCO_REQUESTS];
	uint64_t now_ns, next_key;
	bool one_life, jammed, jams, small;
	const struct hs_wire_group *news; /* not heard yet */
	uint16_t news_type;
	uint64_t refused; /* so far */
	uint64_t manifests, collects, asked, stored, bad;
	uint64_t payload[1024];
};

extern const struct hs_coord_ops bco_ops;
/* What the core has let go, and what it has just taken. */
void bco_sync(struct bco *g);
uint32_t bco_trace_of(const struct bco *g, const struct hs_wire_trace_id *id);
uint32_t bco_node_of(uint64_t id);
uint64_t bco_node_id(uint32_t n);

#endif
