/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: one node's agent inside a test's process: the real core, and of the
 * real shell what touches applications (attach, lanes, guests, domains, the
 * ledgers' adoption); what it would send is kept here instead.
 *
 * The keeper is a set of descriptors on the other end of a socket, so that a
 * successor can be made of what a worker had stored up to any moment.
 *
 * Anything that does not add up ends the process with a line that says what:
 * node_die().
 */
#ifndef HS_TEST_KILL_NODE_H
#define HS_TEST_KILL_NODE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/domain.h"
#include "agent/guest.h"
#include "agent/worker.h"
#include "hs/hindsight.h"

#define NODE_DOMAINS	   2u
#define NODE_BUFFER_BYTES  512u
#define NODE_BUFFERS	   128u /* of a domain */
#define NODE_ANSWERS_MAX   256u
#define NODE_SLICES_MAX	   512u
#define NODE_SETTLE_ROUNDS 64u
#define NODE_SETTLE_LEAST  8u

/* What the node last said of a trace. */
struct node_answer {
	struct hs_wire_trace_id trace;
	uint16_t state, flags;
	uint32_t nr_buffers, nr_crumbs;
	uint64_t nr_bytes;
};

/* A part of a buffer, as it would have been sent. */
struct node_slice {
	struct hs_wire_slice head;
	uint32_t domain;
	bool lent; /* its memory may not change before it is acknowledged */
	const uint8_t *at;
	uint8_t *data;
};

struct node {
	struct hs_worker w;
	struct hs_held kept; /* the keeper's */
	int keeper;	     /* its end */
	char dir[64];
	struct node_answer answers[NODE_ANSWERS_MAX];
	uint32_t nr_answers;
	struct node_slice slices[NODE_SLICES_MAX];
	uint32_t nr_slices;
	uint32_t nr_acked;
	bool silent; /* the collector acknowledges nothing by itself */
	struct hs_wire_stored last; /* TRIGGER that was sent */
	uint32_t group_nr; /* traces of the last TRIGGER of "lateral" */
};

/* What is being looked at when something does not add up. */
extern char node_where[256];
void node_die(const char *format, ...)
	__attribute__((format(printf, 1, 2), noreturn));

/** node_make() - a fresh node with a socket for each domain */
void node_make(struct node *n);
/**
 * node_adopt() - a successor of @before's worker: from what it had stored
 * @n: all zero
 */
void node_adopt(struct node *n, const struct node *before);
/** node_keep() - be the keeper: take what the worker stored or dropped */
void node_keep(struct node *n);
/** node_socket() - of a domain */
const char *node_socket(const struct node *n, uint32_t domain);
/** node_serve() - attach whoever knocks */
void node_serve(struct node *n);
/** node_round() - one of the worker's rounds, a millisecond later */
void node_round(struct node *n);
/** node_work() - the same without a keeper and without checks: to be stepped */
void node_work(struct node *n);
/** node_check() - every sum adds up, or die */
void node_check(const struct node *n);
/** node_guest() - the guest of a process, NULL: none; the newest */
struct hs_guest *node_guest(const struct node *n, pid_t pid);
/** node_dead() - the process was seen to have gone: buried by the next round */
void node_dead(struct node *n, struct hs_guest *g);
/**
 * node_fire() - trigger these, and go on until all is answered and sent
 *
 * Dies when that takes more than NODE_SETTLE_ROUNDS.
 */
void node_fire(struct node *n, const struct hs_wire_trace_id *ids, uint32_t nr);
/** node_answer() - the last one about a trace; NULL: none */
const struct node_answer *node_answer(const struct node *n,
				      struct hs_wire_trace_id id);
/** node_bytes() - of a trace that have been sent */
uint64_t node_bytes(const struct node *n, struct hs_wire_trace_id id);
/** node_forget() - what was said and sent so far */
void node_forget(struct node *n);
/** node_free() - everything, a made node's sockets too */
void node_free(struct node *n);
/** node_gone() - bury everybody: then no buffer is stocked, none is lost */
void node_gone(struct node *n);
/** node_stored() - the last trigger's manifests are stored */
void node_stored(struct node *n);
/** node_ack() - the collector has all slices that were sent */
void node_ack(struct node *n);

#endif
