/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What collectors count of operations, summed up over all of them.
 */
#ifndef HS_TOOLS_COUNTS_H
#define HS_TOOLS_COUNTS_H

#include "rdma/wire_tally.h"
#include "tools/store.h"

struct hs_counts {
	struct hs_tally_row *rows; /* by service, then operation */
	size_t nr;
	size_t cap;
};

/**
 * hs_counts_ask() - add what one collector has
 * @query: "" or "?service=..."
 *
 * Return: 0; -EBADMSG: an answer that makes no sense; or as
 *	   hs_tools_ask_json(), with the door's error.
 */
int hs_counts_ask(struct hs_counts *c, struct hs_tools_door *door,
		  const char *query);
/** hs_counts_at() - the row of an operation, made when new; NULL: no memory */
struct hs_tally_row *hs_counts_at(struct hs_counts *c, const char *service,
				  const char *operation);
/** hs_counts_has() - whether there is a row of it */
bool hs_counts_has(const struct hs_counts *c, const char *service,
		   const char *operation);
void hs_counts_free(struct hs_counts *c);

#endif
