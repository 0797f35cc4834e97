/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tally_store.c - the counts of operations at the collectors: what is around
 * rdma/wire_tally.c there (collector/tally.c), on a disk that loses what was
 * not committed; and whether they are right
 */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/tally.h"

static struct sim_tally_row *row_of(struct sim_tally_disk *d, uint64_t node,
				    uint32_t process, uint32_t operation)
{
	uint32_t i = 0;

	while (i < d->nr &&
	       (d->rows[i].node != node || d->rows[i].process != process ||
		d->rows[i].operation != operation))
		i++;
	if (i < d->nr)
		return &d->rows[i];
	if (d->nr == d->room) {
		d->room = d->room ? 2 * d->room : 16;
		d->rows = realloc(d->rows, d->room * sizeof(*d->rows));
		if (!d->rows)
			abort();
	}
	d->rows[d->nr] = (struct sim_tally_row){
		.node = node, .process = process, .operation = operation};
	return &d->rows[d->nr++];
}

void sim_tally_take(struct sim *s, uint32_t k, const struct sim_message *m)
{
	struct hs_wire_reader r = hs_wire_reader_make(m->payload, m->bytes);
	const struct hs_wire_tally *head = hs_wire_take_tally(&r);
	struct sim_tally_disk *d;
	struct hs_tally_row row;

	if (!s->tally || !head) {
		sim_fail(s, "coll%u gets a TALLY that is none", k);
		return;
	}
	d = &s->tally->disks[k];
	if (d->nr_acks == SIM_TALLY_ACKS_MAX)
		return; /* made anew by who sent it */
	for (uint32_t i = 0; i < head->nr_rows; i++) {
		struct hs_tally_counts news;
		struct sim_tally_row *x;
		uint32_t operation;

		if (!hs_wire_take_tally_row(&r, &row))
			break;
		operation =
			(uint32_t)strtoul(row.name, NULL, 10) % SIM_OPERATIONS;
		x = row_of(d, head->node, head->process, operation);
		x->fresh = true;
		if (hs_tally_unite(&x->now, &row.counts, &news))
			hs_tally_add(&d->sums[operation], &news);
	}
	if (!hs_wire_done(&r))
		sim_fail(s, "coll%u gets a malformed TALLY", k);
	d->acks[d->nr_acks].to = m->from;
	d->acks[d->nr_acks++].ack = (struct hs_wire_tally_ack){
		.seq = head->seq, .process = head->process};
}

/* ---- whether it is right ----------------------------------------------------
 */

static const struct sim_counted *counted_by(const struct sim *s, uint64_t node,
					    uint32_t process)
{
	const struct sim_counted *c = s->tally->counted;

	while (c && (c->node != node || c->process != process))
		c = c->next;
	return c;
}

/* Never more than was counted. */
static void not_more(struct sim *s, const struct sim_tally_row *x)
{
	const struct sim_counted *c = counted_by(s, x->node, x->process);
	const struct sim_counts *is = c ? &c->counts[x->operation] : NULL;

	s->t.checks++;
	if (!c) {
		sim_fail(s, "node%u has counts of a process that never was",
			 (uint32_t)(x->node >> 32));
		return;
	}
	for (uint32_t i = 0; i < SIM_TALLY_BUCKETS; i++)
		if (x->durable.buckets[sim_tally_bucket(i)] > is->buckets[i])
			sim_fail(s,
				 "a collector counts more of process %u of "
				 "node%u than it ran",
				 x->process, (uint32_t)(x->node >> 32));
	if (x->durable.errors > is->errors)
		sim_fail(s, "a collector counts more errors than there were");
}

/* What is shown, the sums over all processes, is what they have. */
static void sums_agree(struct sim *s, const struct sim_tally_disk *d)
{
	for (uint32_t o = 0; o < SIM_OPERATIONS; o++) {
		struct hs_tally_counts sum = {0};

		for (uint32_t i = 0; i < d->nr; i++)
			if (d->rows[i].operation == o)
				hs_tally_add(&sum, &d->rows[i].durable);
		s->t.checks++;
		if (memcmp(&sum, &d->durable_sums[o], sizeof(sum)))
			sim_fail(s, "a collector's sums are not those of the "
				    "processes");
	}
}

void sim_tally_commit(struct sim *s, uint32_t k, bool lost)
{
	struct sim_tally_disk *d;
	uint32_t nr;

	if (!s->tally)
		return;
	d = &s->tally->disks[k];
	nr = d->nr_acks;
	d->nr_acks = 0;
	for (uint32_t i = 0; nr && i < d->nr; i++) {
		struct sim_tally_row *x = &d->rows[i];

		if (!x->fresh)
			continue;
		x->fresh = false;
		if (lost) {
			x->now = x->durable;
			continue;
		}
		x->durable = x->now;
		not_more(s, x);
	}
	if (!nr)
		return;
	memcpy(lost ? d->sums : d->durable_sums,
	       lost ? d->durable_sums : d->sums, sizeof(d->sums));
	if (lost)
		return;
	sums_agree(s, d);
	for (uint32_t i = 0; i < nr; i++)
		sim_net_send(s, sim_ep_coll(s, k), d->acks[i].to,
			     HS_WIRE_TALLY_ACK, &d->acks[i].ack,
			     sizeof(d->acks[i].ack));
}

/* At one collector is all that it counted. */
static bool arrived(const struct sim *s, const struct sim_counted *c,
		    uint32_t operation)
{
	const struct sim_counts *is = &c->counts[operation];
	bool all = true;

	for (uint32_t i = 0; i < SIM_TALLY_BUCKETS; i++)
		all &= !is->buckets[i];
	for (uint32_t k = 0; k < s->p.nr_colls && !all; k++) {
		const struct sim_tally_disk *d = &s->tally->disks[k];
		const struct sim_tally_row *x = d->rows;

		while (x < d->rows + d->nr &&
		       (x->node != c->node || x->process != c->process ||
			x->operation != operation))
			x++;
		if (x == d->rows + d->nr || x->durable.errors != is->errors)
			continue;
		all = true;
		for (uint32_t i = 0; i < SIM_TALLY_BUCKETS; i++)
			all &= x->durable.buckets[sim_tally_bucket(i)] ==
			       is->buckets[i];
	}
	return all;
}

void sim_tally_judge(struct sim *s)
{
	for (const struct sim_counted *c = s->tally ? s->tally->counted : NULL;
	     c && !s->failed; c = c->next)
		for (uint32_t o = 0; o < SIM_OPERATIONS; o++) {
			s->t.checks++;
			s->t.tallies_lost += c->lacks && !arrived(s, c, o);
			if (!c->lacks && !arrived(s, c, o))
				sim_fail(s,
					 "process %u of node%u ran more than "
					 "any collector has counted",
					 c->process, (uint32_t)(c->node >> 32));
		}
}
