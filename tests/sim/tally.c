/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tally.c - the counts of operations at the nodes: processes that count, and
 * what is around agent/tally.c in a worker (agent/tally_send.c): it reads them
 * once a second, and a last time when it buries them
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "tests/sim/tally.h"

#define EVERY_NS      SIM_S
#define AGAIN_NS      (5 * SIM_S)
#define MESSAGE_BYTES 4096u

void sim_tally_create(struct sim *s)
{
	if (!s->p.tally)
		return;
	s->tally = sim_zalloc(1, sizeof(*s->tally));
	s->tally->nodes = sim_zalloc(s->p.nr_nodes, sizeof(*s->tally->nodes));
}

static void forget_dead(struct sim_tally_node *n, bool lost)
{
	while (n->dead) {
		struct sim_tally_dead *d = n->dead;

		n->dead = d->next;
		d->of->lacks |= lost;
		free(d);
	}
}

void sim_tally_destroy(struct sim *s)
{
	if (!s->tally)
		return;
	for (uint32_t i = 0; i < s->p.nr_nodes; i++)
		forget_dead(&s->tally->nodes[i], false);
	while (s->tally->counted) {
		struct sim_counted *c = s->tally->counted;

		s->tally->counted = c->next;
		free(c);
	}
	for (uint32_t k = 0; k < s->p.nr_colls; k++)
		free(s->tally->disks[k].rows);
	free(s->tally->nodes);
	free(s->tally);
}

void sim_tally_attach(struct sim *s, uint32_t i, uint32_t p)
{
	struct sim_tally_process *x;

	if (!s->tally)
		return;
	x = &s->tally->nodes[i].procs[p];
	*x = (struct sim_tally_process){.told = true};
	x->counted = sim_zalloc(1, sizeof(*x->counted));
	x->counted->node = s->nodes[i].id;
	x->counted->process = s->nodes[i].procs[p].number;
	x->counted->next = s->tally->counted;
	s->tally->counted = x->counted;
}

void sim_tally_count(struct sim *s, const struct sim_handle *h)
{
	struct sim_tally_process *x;
	struct sim_counts *c;
	uint64_t r;

	if (!s->tally)
		return;
	x = &s->tally->nodes[h->node].procs[h->process];
	r = hs_hash_mix64(h->handle ^ hs_hash_mix64(h->trace ^ s->p.seed));
	c = &x->counted->counts[r % SIM_OPERATIONS];
	c->buckets[r / 4 % SIM_TALLY_BUCKETS]++;
	c->errors += r / 64 % 8 == 0;
	x->told = false;
	s->t.counted++;
}

static bool read_one(void *ctx, uint32_t operation, struct hs_tally_row *out)
{
	const struct sim_counted *counted = ctx;
	const struct sim_counts *c = &counted->counts[operation];

	memset(out, 0, sizeof(*out));
	strcpy(out->service, "service");
	snprintf(out->name, sizeof(out->name), "%u", operation);
	out->counts.errors = c->errors;
	for (uint32_t i = 0; i < SIM_TALLY_BUCKETS; i++)
		out->counts.buckets[sim_tally_bucket(i)] = c->buckets[i];
	return true;
}

/* The node's collector, by the rule by which a trace has its own. */
static bool send(struct sim *s, uint32_t i, const void *data, uint32_t bytes)
{
	const struct hs_members *m = s->nodes[i].members;
	const struct hs_wire_trace_id id = {s->nodes[i].id, 0};
	uint32_t ep =
		sim_members_ep(s, m, hs_members_collector(m, &id, s->now_ns));

	return ep != UINT32_MAX &&
	       sim_net_send(s, i, ep, HS_WIRE_TALLY, data, bytes);
}

static uint32_t make(struct sim *s, uint32_t i, struct sim_tally_process *x,
		     uint8_t out[MESSAGE_BYTES])
{
	uint64_t now = sim_node_now(s, &s->nodes[i]);

	if (!x->source.node)
		hs_tally_begin(&x->source, x->counted->node,
			       x->counted->process, now);
	return hs_tally_make(&x->source, ++s->tally->seq, SIM_OPERATIONS,
			     read_one, x->counted, now, out, MESSAGE_BYTES);
}

void sim_tally_round(struct sim *s, uint32_t i, uint32_t p)
{
	struct sim_tally_process *x;
	uint64_t now = sim_node_now(s, &s->nodes[i]);
	uint8_t message[MESSAGE_BYTES];
	uint32_t bytes;

	if (!s->tally)
		return;
	x = &s->tally->nodes[i].procs[p];
	if (now < x->next_ns)
		return;
	x->next_ns = now + EVERY_NS;
	if (x->source.node && !hs_tally_due(&x->source, now))
		return;
	bytes = make(s, i, x, message);
	x->told = !bytes;
	if (bytes)
		(void)send(s, i, message, bytes);
}

void sim_tally_bury(struct sim *s, uint32_t i, uint32_t p)
{
	uint8_t message[MESSAGE_BYTES];
	struct sim_tally_process *x;
	struct sim_tally_dead *d;
	uint32_t bytes;

	if (!s->tally)
		return;
	x = &s->tally->nodes[i].procs[p];
	bytes = make(s, i, x, message);
	if (!bytes)
		return;
	d = malloc(sizeof(*d) + bytes);
	if (!d)
		abort();
	*d = (struct sim_tally_dead){.of = x->counted,
				     .seq = x->source.seq,
				     .bytes = bytes,
				     .next = s->tally->nodes[i].dead};
	memcpy(d->data, message, bytes);
	s->tally->nodes[i].dead = d;
}

void sim_tally_dead_round(struct sim *s, uint32_t i)
{
	uint64_t now = sim_node_now(s, &s->nodes[i]);

	if (!s->tally)
		return;
	for (struct sim_tally_dead *d = s->tally->nodes[i].dead; d;
	     d = d->next) {
		if (now < d->next_ns)
			continue;
		d->next_ns =
			now + (send(s, i, d->data, d->bytes) ? AGAIN_NS
							     : EVERY_NS / 4);
	}
}

void sim_tally_acked(struct sim *s, uint32_t i, const struct sim_message *m)
{
	struct hs_wire_tally_ack ack;
	struct sim_tally_node *n;

	if (!s->tally || m->bytes != sizeof(ack))
		return;
	n = &s->tally->nodes[i];
	memcpy(&ack, m->payload, sizeof(ack));
	for (uint32_t p = 0; p < s->p.nr_procs; p++)
		if (s->nodes[i].procs[p].number == ack.process)
			hs_tally_acked(&n->procs[p].source, ack.seq);
	for (struct sim_tally_dead **at = &n->dead; *at;) {
		struct sim_tally_dead *d = *at;

		if (d->seq != ack.seq || d->of->process != ack.process) {
			at = &d->next;
			continue;
		}
		*at = d->next;
		free(d);
	}
}

/* Its successor reads the living anew, and knows nothing of the dead. */
void sim_tally_worker_died(struct sim *s, uint32_t i)
{
	struct sim_tally_node *n;

	if (!s->tally)
		return;
	n = &s->tally->nodes[i];
	forget_dead(n, true);
	for (uint32_t p = 0; p < s->p.nr_procs; p++) {
		n->procs[p].source = (struct hs_tally_source){0};
		n->procs[p].next_ns = 0;
		n->procs[p].told = false;
	}
}

void sim_tally_reboot(struct sim *s, uint32_t i)
{
	struct sim_tally_node *n;

	if (!s->tally)
		return;
	n = &s->tally->nodes[i];
	forget_dead(n, true);
	for (uint32_t p = 0; p < s->p.nr_procs; p++) {
		if (n->procs[p].counted)
			n->procs[p].counted->lacks = true;
		n->procs[p].told = true;
	}
}

bool sim_tally_quiet(const struct sim *s)
{
	for (uint32_t i = 0; s->tally && i < s->p.nr_nodes; i++) {
		const struct sim_tally_node *n = &s->tally->nodes[i];

		if (s->nodes[i].gone)
			continue;
		if (n->dead)
			return false;
		for (uint32_t p = 0; p < s->p.nr_procs; p++)
			if (!n->procs[p].told)
				return false;
	}
	return true;
}
