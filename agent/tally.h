/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the counts of a process's operations on their way to the node's
 * collector: what has changed since it last acknowledged, as TALLY messages.
 *
 * Guarantees: pure: no I/O, no clock, no allocation. Counts are those of the
 * process since its beginning and only grow; a message names them whole. So
 * one that is lost is made up for by the next, one that comes twice or late
 * changes nothing, and a new worker goes on without knowing what the former
 * one sent. One message of a process is under way at a time.
 */
#ifndef HS_AGENT_TALLY_H
#define HS_AGENT_TALLY_H

#include <stdbool.h>
#include <stdint.h>

#include "hs/shm_watch.h"
#include "rdma/wire_tally.h"

struct hs_tally_place {
	uint64_t acked; /* sum of the counts that the collector has */
	uint64_t sent;	/* the same of the message under way */
};

struct hs_tally_source {
	uint64_t node;
	uint32_t process;
	uint64_t seq;	   /* of the message under way, 0: none */
	uint64_t sent_ns;  /* when it went */
	uint64_t whole_ns; /* when all was last sent, changed or not */
	struct hs_tally_place places[HS_SHM_OPERATIONS_MAX];
};

/**
 * hs_tally_read_fn - one operation's texts and counts as they are now
 *
 * Return: false when it has none.
 */
typedef bool (*hs_tally_read_fn)(void *ctx, uint32_t operation,
				 struct hs_tally_row *out);

void hs_tally_begin(struct hs_tally_source *s, uint64_t node, uint32_t process,
		    uint64_t now_ns);

/**
 * hs_tally_due() - whether to make a message: none under way, or unanswered
 *	for too long
 */
bool hs_tally_due(const struct hs_tally_source *s, uint64_t now_ns);

/**
 * hs_tally_make() - the next message
 * @seq: not 0, never used before for this process
 * @nr_operations: to ask @read_one for
 * @out: room for a message; what does not fit comes with the next one
 *
 * Return: bytes; 0: nothing has changed.
 */
uint32_t hs_tally_make(struct hs_tally_source *s, uint64_t seq,
		       uint32_t nr_operations, hs_tally_read_fn read_one,
		       void *ctx, uint64_t now_ns, void *out,
		       uint32_t out_bytes);

/** hs_tally_acked() - Return: whether it was the one under way */
bool hs_tally_acked(struct hs_tally_source *s, uint64_t seq);

#endif
