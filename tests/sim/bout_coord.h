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
	bool cut;     /* an address that it named led to nobody for sure */
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
	uint64_t past_epoch; /* the latest of its lives before */
	uint32_t version, acked, tries;
	bool failed, settled;	  /* of the last version */
	bool again;		  /* the collector came back */
	uint32_t settled_version; /* the newest that was */
	enum hs_coord_seek seek;  /* as far as the question to many is */
	uint64_t queued_ns;
	uint16_t sought;    /* what the manifest says of it */
	uint32_t found;	    /* bits of nodes that it found */
	uint32_t elsewhere; /* bits of nodes that fired what they need not know
			     */
	uint32_t written;   /* bits of nodes whose answers were in a manifest */
	bool elsewhere_told;
	bool twice; /* named twice in the message under way */
};

/* Where a node is, by its number. */
struct bco_home {
	uint64_t at, node; /* 0: nobody knows */
	uint64_t came_ns, shared_ns;
};

/* "Do you know these traces?" */
struct bco_question {
	uint64_t id;		/* 0: none */
	uint64_t event;		/* in which it went, or went again */
	bool first;		/* it is being asked */
	uint32_t traces;	/* bits */
	uint32_t asked, silent; /* bits of numbers */
	uint32_t again;		/* of this event */
	uint32_t nr_tries;
	uint64_t next_ns, deadline_ns;
	bool part;
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
	struct hs_random also, far; /* names of triggers, addresses */
	struct hs_coord_config config;
	struct hs_coord_core *core;
	void *memory;
	struct bco_trace traces[BCO_TRACES];
	uint64_t up[BCO_NUMBERS];
	struct bco_home homes[BCO_NUMBERS];
	bool by_address; /* crumbs name nodes so, too */
	uint64_t addresses, addresses_lost;
	struct bco_request requests[BCO_REQUESTS];
	uint64_t now_ns, next_key;
	bool one_life, jammed, jams, small;
	bool stalled;
	uint32_t refuses; /* bits of numbers that took no more, in this event */
	const struct hs_wire_group *news; /* not heard yet */
	uint16_t news_type;
	uint64_t refused; /* so far */
	uint64_t manifests, collects, asked, stored, bad;
	uint64_t answers; /* that said something new */
	struct bco_question questions[HS_COORD_QUESTIONS_MAX];
	uint64_t event, last_question, even_ns, created_ns;
	uint64_t seeks, seeks_asked, nr_questions, parts, refused_seeks,
		nr_found;
	uint32_t unasked, ups_last, to_nobody, expected;
	uint32_t known, left; /* bits of numbers */
	bool all_listed;
	uint64_t pays_ns[BCO_NUMBERS]; /* when its budget is even again */
	uint64_t origin_refused, told_refused;
	uint64_t payload[1024];
};

extern const struct hs_coord_ops bco_ops;

/* bout_coord_seek.c */
bool bco_seeks(struct bco *g, uint64_t to, const struct hs_wire_seek *m,
	       uint32_t bytes);
void bco_seek_sync(struct bco *g);
void bco_seek_settle(struct bco *g);
void bco_finds(struct bco *g);
void bco_goes(struct bco *g, uint32_t number);
void bco_comes(struct bco *g, uint32_t number, uint64_t id);
void bco_lists(struct bco *g);
bool bco_has_left(const struct bco *g, uint32_t n);
uint16_t bco_word(const struct bco *g, uint32_t n);

/* bout_coord_hears.c */
/* Whether it is what the format says, and its sender's to say. */
bool bco_intact(uint64_t from, uint16_t type, const void *payload,
		uint32_t bytes);
/* Can the model follow it? */
bool bco_ours(const struct bco *g, const struct hs_wire_group *m);
/* The message that has just come counts now, unless it was refused. */
void bco_take_news(struct bco *g);

/* bout_coord_address.c */
void bco_address_draw(struct bco *g, uint64_t seed);
uint64_t bco_address_name(struct bco *g, uint64_t node);
/* Its connection ends; it leaves for good; it has come, and is somewhere. */
void bco_address_goes(struct bco *g, uint32_t number);
void bco_address_left(struct bco *g, uint32_t number);
void bco_address_comes(struct bco *g, uint32_t number, uint64_t node);
/* @a's crumbs with ids in the place of addresses; Return: how many are left. */
uint32_t bco_address_ids(struct bco *g, const struct hs_wire_answer *a,
			 struct hs_wire_crumb *to, bool *cut);

/* bout_coord.c */
/* What the core has let go, and what it has just taken. */
void bco_sync(struct bco *g);
uint32_t bco_trace_of(const struct bco *g, const struct hs_wire_trace_id *id);
uint32_t bco_node_of(uint64_t id);
uint64_t bco_node_id(uint32_t n);

#endif
