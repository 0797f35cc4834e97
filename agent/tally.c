/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see tally.h. */
#include "agent/tally.h"

#include <string.h>

#include "base/planted.h"

/* An acknowledgement that takes longer is taken for lost. */
#define UNANSWERED_NS 5000000000ull
/* So often everything is said again, so that a collector knows who lives. */
#define WHOLE_NS (3600 * 1000000000ull)

void hs_tally_begin(struct hs_tally_source *s, uint64_t node, uint32_t process,
		    uint64_t now_ns)
{
	memset(s, 0, sizeof(*s));
	s->node = node;
	s->process = process;
	s->whole_ns = now_ns;
}

bool hs_tally_due(const struct hs_tally_source *s, uint64_t now_ns)
{
	return !s->seq || now_ns - s->sent_ns > UNANSWERED_NS;
}

uint32_t hs_tally_make(struct hs_tally_source *s, uint64_t seq,
		       uint32_t nr_operations, hs_tally_read_fn read_one,
		       void *ctx, uint64_t now_ns, void *out,
		       uint32_t out_bytes)
{
	struct hs_wire_tally head = {
		.node = s->node,
		.seq = seq,
		.process = s->process,
	};
	struct hs_wire_writer w = hs_wire_writer_make(out, out_bytes);
	struct hs_tally_row row;

	if (now_ns - s->whole_ns > WHOLE_NS) {
		s->whole_ns = now_ns;
		memset(s->places, 0, sizeof(s->places));
	}
	hs_wire_put(&w, &head, sizeof(head));
	for (uint32_t i = 0; i < nr_operations && i < HS_SHM_OPERATIONS_MAX;
	     i++) {
		struct hs_wire_writer before = w;
		uint64_t sum;

		s->places[i].sent = s->places[i].acked;
		if (!read_one(ctx, i, &row))
			continue;
		sum = hs_tally_spans(&row.counts) + row.counts.errors;
		if (sum == s->places[i].acked)
			continue;
		hs_wire_put_tally_row(&w, &row);
		if (w.failed) {
			w = before;
			continue;
		}
		s->places[i].sent = sum;
		head.nr_rows++;
	}
	if (!head.nr_rows)
		return 0;
	memcpy(out, &head, sizeof(head));
	s->seq = seq;
	s->sent_ns = now_ns;
	return (uint32_t)w.used_bytes;
}

bool hs_tally_acked(struct hs_tally_source *s, uint64_t seq)
{
	if (!seq || (s->seq != seq && !HS_PLANTED(36)))
		return false;
	for (uint32_t i = 0; i < HS_SHM_OPERATIONS_MAX; i++)
		s->places[i].acked = s->places[i].sent;
	s->seq = 0;
	return true;
}
