/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tally.h - how often and how long operations ran, over all requests: what
 * agents say with TALLY, in a database of its own
 *
 * For each process the counts as they came last, by which what comes is told
 * from what was there; and by minute what was new, for whoever asks. Both
 * change in one transaction, so a count is in both or in neither, and what was
 * acknowledged is on disk. Minutes older than HS_TALLY_KEEP are added up into
 * one; processes not heard of for so long are forgotten (an agent speaks of
 * all that live once an hour).
 *
 * A damaged database is put aside by name and begun anew: these are counts,
 * and no trace hangs on them.
 *
 * Context: one thread at a time.
 */
#ifndef HS_COLLECTOR_TALLY_H
#define HS_COLLECTOR_TALLY_H

#include <stddef.h>
#include <stdint.h>

#include "rdma/wire_tally.h"

#define HS_TALLY_KEEP_MINUTES (31u * 24u * 60u)
#define HS_TALLY_SOURCES_MAX  1000000u

struct hs_tally;

struct hs_tally_stats {
	uint64_t messages;
	uint64_t malformed;
	uint64_t rows_news;  /* that added something */
	uint64_t rows_known; /* repeated, or overtaken by a later one */
	uint64_t over_limit; /* rows of more processes than are kept */
	uint64_t errors;     /* the disk did not take one */
	uint64_t sources;    /* rows by process */
};

int hs_tally_open(struct hs_tally **out, const char *dir, char *error,
		  size_t error_bytes);
void hs_tally_close(struct hs_tally *t);

/**
 * hs_tally_put() - a TALLY as it came
 * @ack: what to answer once hs_tally_commit() has returned 0
 *
 * Return: 0; -EBADMSG: malformed, nothing of it counts; other negative errno.
 */
int hs_tally_put(struct hs_tally *t, const void *payload,
		 uint32_t payload_bytes, int64_t now_ns,
		 struct hs_wire_tally_ack *ack);
/** hs_tally_commit() - make durable what was put. Return: 0, negative errno */
int hs_tally_commit(struct hs_tally *t, int64_t now_ns);

/* What to sum up; NULL and 0 ask for nothing. Minutes are whole. */
struct hs_tally_filter {
	const char *service;
	const char *operation;
	int64_t since_ns;
	int64_t until_ns;
};
/**
 * hs_tally_query() - sums by service and operation, in that order
 *
 * Return: 0; negative errno; what @row returned.
 */
int hs_tally_query(struct hs_tally *t, const struct hs_tally_filter *filter,
		   int (*row)(void *ctx, const struct hs_tally_row *row),
		   void *ctx);

void hs_tally_stats(const struct hs_tally *t, struct hs_tally_stats *out);

#endif
