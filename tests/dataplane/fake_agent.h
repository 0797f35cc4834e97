/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the other side of shm_format.h, in the test's own process: a real
 * socket, real sealed memfds, lanes drained on demand. It keeps no index and
 * recycles nothing; a test puts buffers into the stock and reads what came.
 *
 * It shares no code with libhindsight but the format header.
 */
#ifndef HS_TEST_FAKE_AGENT_H
#define HS_TEST_FAKE_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hs/shm_format.h"
#include "model/record_read.h"

#define FAKE_ENTRIES_MAX 65536u
#define FAKE_BUFFERS_MAX 4096u
#define FAKE_NODES_MAX	 2u

struct fake_config {
	uint32_t version; /* of the format; 0: the present one */
	uint32_t class_bytes[HS_SHM_NR_CLASSES];
	uint32_t nr_rings, ring_words, nr_lanes, lane_entries, nr_slots;
	uint32_t nr_operations, nr_stripes; /* 0: no counts */
	uint32_t nr_nodes; /* 0: one; of two both have the same pool */
	uint64_t pool_bytes;
	uint64_t node_id;
	bool unsealed;	   /* descriptors that could shrink */
	bool small_up;	   /* up memfd smaller than the layout says */
	uint16_t verdict;  /* when not NEW: answered to every new hello */
	bool knows_resume; /* answer RESUMED to a token that fits */
};

struct fake_agent {
	struct fake_config config;
	struct hs_shm_down layout;
	char path[108];
	char dir[64];
	int listener;
	int conn; /* -1: none */
	int fds[2 + FAKE_NODES_MAX];
	uint32_t nr_fds;
	uint8_t *down, *up, *pool;
	uint64_t up_bytes; /* that are there, whatever the layout says */
	uint32_t process;
	uint64_t token;
	uint32_t generation;
	uint64_t pool_used;
	struct hs_shm_hello hello; /* the last that came */
	uint32_t nr_hellos;
	struct hs_shm_entry *entries; /* drained, in order, lane by lane */
	uint32_t nr_entries;
	uint32_t *entry_lane;
};

struct fake_config fake_config_default(void);
void fake_agent_start(struct fake_agent *a, const struct fake_config *config);
void fake_agent_stop(struct fake_agent *a);

/* Close the connection, keep memory and listener: a worker that restarts. */
void fake_agent_hang_up(struct fake_agent *a);

/* New memory and a new process number: an agent that forgot everything. */
void fake_agent_renew(struct fake_agent *a);

/* Accept and answer what is there; waits for nothing. */
void fake_agent_serve(struct fake_agent *a);

/* Put @nr fresh buffers of a class into a ring. */
void fake_agent_stock(struct fake_agent *a, uint32_t ring, uint32_t size_class,
		      uint32_t nr);
/* The same into every ring. */
void fake_agent_stock_all(struct fake_agent *a, uint32_t size_class,
			  uint32_t nr);
/* Ask for the words below @recall of a ring. */
void fake_agent_recall(struct fake_agent *a, uint32_t ring, uint32_t size_class,
		       uint64_t recall);
/* Put a word of the test's choice into the ring of its class. */
void fake_agent_stock_word(struct fake_agent *a, uint32_t ring, uint64_t word);

/*
 * Tell the client what a tick is worth, from its next poll on: 1 ns, and
 * @ns_base - the counter at @tsc_base. @number 0: nothing any more.
 */
void fake_agent_calibrate(struct fake_agent *a, uint64_t number,
			  uint64_t tsc_base, uint64_t ns_base);

/* The table of rules, for hs_rules_shared_write(). */
struct hs_shm_rules *fake_agent_rules(struct fake_agent *a);
const struct hs_shm_watch *fake_agent_watch(const struct fake_agent *a);
/* An operation's texts, NULL: not told; its number is its place. */
const struct hs_shm_operation *fake_agent_operation(const struct fake_agent *a,
						    const char *service,
						    const char *name);
/* All its stripes together. Return: spans. */
uint64_t fake_agent_tally(const struct fake_agent *a, uint32_t number,
			  struct hs_shm_tally *out);

/* Take what the lanes hold, and give the room back. */
void fake_agent_drain(struct fake_agent *a);

const struct hs_shm_up *fake_agent_up(const struct fake_agent *a);
const struct hs_shm_slot *fake_agent_slot(const struct fake_agent *a,
					  uint32_t index);
const struct hs_shm_lane *fake_agent_lane(const struct fake_agent *a,
					  uint32_t index);
uint64_t fake_agent_nulls(const struct fake_agent *a);

/* Entries of a type among those drained; the n-th of them, or NULL. */
uint32_t fake_agent_count(const struct fake_agent *a, uint8_t type);
const struct hs_shm_entry *fake_agent_entry(const struct fake_agent *a,
					    uint8_t type, uint32_t n);

/* The published buffers of a trace's handle (0: any), by seq. */
size_t fake_agent_buffers(const struct fake_agent *a, struct hs_trace_id id,
			  uint32_t handle, struct hs_record_buffer *out,
			  size_t max);

#endif
