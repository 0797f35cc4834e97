/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Traces out of memory that nobody adopted: a lingering keeper's, a running or
 * stopped process's, or files that were saved of either.
 *
 * With a ledger of a version that is known, what it says is believed: which
 * buffers are of a trace, and how many bytes of each. Without one (only an
 * application still maps the pool, or the agent was of another version) every
 * buffer speaks for itself by its header; then traces that were evicted and
 * not yet written over are found as well.
 *
 * Everything is outside input, and may change while it is read: a trace's
 * buffers are copied before they are decoded. Nothing is written to.
 *
 * Context: allocates; one thread.
 */
#ifndef HS_TOOLS_SALVAGE_H
#define HS_TOOLS_SALVAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/trace.h"

#define HS_SALVAGE_AREAS_MAX  4096u
#define HS_SALVAGE_NAME_BYTES 160u

/* A piece of memory that was found, mapped read-only. */
struct hs_salvage_area {
	char name[HS_SALVAGE_NAME_BYTES]; /* as its holder calls it */
	int fd;
	uint64_t device, inode;
	const uint8_t *base;
	size_t size_bytes;
};

/* A buffer that is of a trace. */
struct hs_salvage_buffer {
	uint64_t trace_hi, trace_lo;
	uint32_t process, handle, seq;
	uint32_t size_bytes;
	const uint8_t *data; /* header first; may change */
	uint32_t flags;	     /* HS_WIRE_F_* of the ledger */
	bool open;	     /* a thread was writing it */
	bool cut;	     /* its end was written over */
	bool hinted;	     /* without a ledger */
};

struct hs_salvage {
	struct hs_salvage_area *areas;
	uint32_t nr_areas;
	struct hs_salvage_buffer *buffers; /* sorted by trace and stream */
	size_t nr_buffers, cap_buffers;
	uint64_t node_id;
	uint32_t nr_pools;
	uint32_t nr_ledgers;	 /* that could be read */
	uint32_t nr_ledgers_odd; /* of a version that is not known */
	char error[512];	 /* a sentence after a failure */
};

/* What is known of one trace. */
struct hs_salvage_trace {
	struct hs_model_trace *model; /* the caller's to free */
	uint64_t nr_buffers, nr_bytes;
	bool gaps;   /* buffers of a stream are missing, or records in them */
	bool lost;   /* the ledger says that parts were dropped */
	bool open;   /* it was being written */
	bool hinted; /* no ledger vouches for it */
};

int hs_salvage_make(struct hs_salvage *s);
void hs_salvage_free(struct hs_salvage *s);

/**
 * hs_salvage_run_dir() - of an agent that lingers, or runs, or is stopped
 * hs_salvage_pid() - what a process has open or mapped: a keeper, a worker, an
 *	application
 * hs_salvage_folder() - files that hs_salvage_save() made
 *
 * Own: the memory stays its holder's; nothing is taken away.
 * Return: 0; -ENOENT nothing there; -errno, said in @s->error.
 */
int hs_salvage_run_dir(struct hs_salvage *s, const char *run_dir);
int hs_salvage_pid(struct hs_salvage *s, int pid);
int hs_salvage_folder(struct hs_salvage *s, const char *folder);
/** hs_salvage_save() - each area as a file. Return: 0 or -errno */
int hs_salvage_save(struct hs_salvage *s, const char *folder);

/**
 * hs_salvage_add() - take an area in
 * Own: @fd is the salvage's on success.
 * Return: 0; 1: known already, or nothing of ours; -errno.
 */
int hs_salvage_add(struct hs_salvage *s, const char *name, int fd);

/** hs_salvage_scan() - find the buffers. Return: 0 or -errno */
int hs_salvage_scan(struct hs_salvage *s);
/**
 * hs_salvage_next() - decode the trace that begins at buffer @at
 * @next: out, where the next one begins; @s->nr_buffers at the end
 * Return: 0 or -errno.
 */
int hs_salvage_next(const struct hs_salvage *s, size_t at, size_t *next,
		    struct hs_salvage_trace *out);

#endif
