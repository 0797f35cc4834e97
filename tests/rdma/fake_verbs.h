/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_verbs.h - RDMA devices made of memory, which fail on demand
 *
 * Implements the table of verbs_api.h within this process and thread: ids,
 * queue pairs, shared receive queues, completions and their events, as far as
 * the carrier uses them, and strict where real devices are lenient: a send
 * from memory that is not registered, a full send queue, an overrun completion
 * queue or a frame that finds no receive buffer is noted in fake.wrong.
 */
#ifndef HS_TESTS_FAKE_VERBS_H
#define HS_TESTS_FAKE_VERBS_H

#include <stdbool.h>
#include <stdint.h>

#include "rdma/verbs_api.h"

struct fake_verbs {
	/* what to do wrong */
	uint64_t fail_at;	   /* that fallible call returns ENOMEM */
	enum ibv_wc_status status; /* of the next completion, if not SUCCESS */
	bool status_of_receive;	   /* which kind the above hits */
	uint32_t poll_max;	   /* completions a poll; 0: as asked */
	bool hold_sends;	   /* no completion of a send appears */
	bool poll_fails;
	bool post_srq_fails;
	bool no_windows;     /* the device says that it has none */
	bool windows_fail;   /* none is given */
	bool binds_fail;     /* requests to bind one end the queue pair */
	bool flags_fail;     /* a queue pair's rights cannot be changed */
	uint32_t inline_max; /* what a queue pair is given at most */
	int max_srq_wr;
	int max_cqe;
	int nr_devices;	     /* fake0 (which all goes through), fake1, ... */
	uint32_t ports_down; /* a bit for each one's first */
	bool second_ports;   /* which are up, and have no address */
	bool infiniband;     /* ports have a LID, and GIDs of @subnet */
	uint8_t subnet[8];
	int ipoib; /* of that one's first port the loopback interface is */
	/* what was seen */
	const char *wrong; /* a rule that was broken; NULL: none */
	uint64_t nr_calls; /* fallible ones */
	int nr_objects;	   /* alive: 0 when all is closed */
	uint32_t from;	   /* what was dialled from last: IPv4; 0: any */
};

extern struct fake_verbs fake;
extern const struct hs_verbs_api fake_verbs_api;

/** fake_reset() - a new machine; the old one's objects must be gone */
void fake_reset(void);
/** fake_remove_device() - tell every id that its device goes */
void fake_remove_device(void);
/** fake_async() - of the device, or of every queue pair; queued */
void fake_async(enum ibv_event_type type);

#endif
