/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see tally_send.h. */
#include "agent/tally_send.h"

#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "agent/carrier.h"
#include "agent/shm_read.h"
#include "base/clock.h"

#define EVERY_NS	HS_NS_PER_SEC
#define AGAIN_NS	(5 * HS_NS_PER_SEC)
#define MESSAGE_BYTES	(256u << 10)
#define DEAD_MAX_BYTES	(8u << 20)
#define OTHER_OPERATION "(other)"

/* A message of a process that is gone, until it is acknowledged. */
struct hs_tally_dead {
	uint32_t process;
	uint64_t seq;
	uint64_t next_ns; /* when to send it (again) */
	uint32_t bytes;
	uint8_t *data; /* NULL: the place is free */
};

/* Control bytes would go into terminals and JSON. */
static void clean(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = '?';
}

static bool read_one(void *ctx, uint32_t operation, struct hs_tally_row *out)
{
	const struct hs_guest *g = ctx;
	const struct hs_shm_watch *watch = hs_guest_watch(g);
	const struct hs_shm_operation *all = (const void *)(watch + 1);
	const struct hs_shm_tally *tallies =
		(const void *)(all + g->layout.nr_operations);
	struct hs_shm_operation texts;
	uint64_t used;

	memset(out, 0, sizeof(*out));
	if (operation) {
		if (!hs_shm_read_ready(&all[operation]))
			return false;
		hs_shm_read_operation(&texts, &all[operation]);
		clean(texts.service);
		clean(texts.name);
		memcpy(out->service, texts.service, sizeof(out->service));
		memcpy(out->name, texts.name, sizeof(out->name));
	} else {
		memcpy(out->service, g->service, sizeof(out->service) - 1);
		memcpy(out->name, OTHER_OPERATION, sizeof(OTHER_OPERATION));
	}
	/* A client of before says of none that it is in use. */
	used = hs_shm_read_count(&watch->stripes);
	for (uint32_t s = 0; s < g->layout.nr_stripes; s++) {
		const struct hs_shm_tally *t =
			&tallies[s * g->layout.nr_operations + operation];

		if (used && !(used >> s & 1))
			continue;
		out->counts.errors += hs_shm_read_count(&t->errors);
		for (uint32_t i = 0; i < HS_SHM_TALLY_BUCKETS; i++)
			out->counts.buckets[i] +=
				hs_shm_read_count(&t->buckets[i]);
	}
	return true;
}

/* The same collector for all of a node's life: see hs_members_collector(). */
static bool send(struct hs_worker *w, const void *data, uint32_t bytes)
{
	const struct hs_wire_trace_id node = {w->node_id, 0};

	return hs_carrier_collect(w, &node, HS_WIRE_TALLY, data, bytes);
}

static uint64_t seq_next(struct hs_worker *w)
{
	/* Never one that a former worker of this node used. */
	if (!w->tally_seq)
		w->tally_seq = hs_clock_real_ns();
	return ++w->tally_seq;
}

void hs_tally_round(struct hs_worker *w, struct hs_guest *g)
{
	static uint8_t message[MESSAGE_BYTES];
	struct hs_tally_source *s = &g->tally;
	uint32_t n;

	if (w->now_ns < g->tally_ns || !hs_guest_watch(g))
		return;
	g->tally_ns = w->now_ns + EVERY_NS;
	if (!s->node)
		hs_tally_begin(s, w->node_id, g->number, w->now_ns);
	if (!hs_tally_due(s, w->now_ns))
		return;
	n = hs_tally_make(s, seq_next(w), g->layout.nr_operations, read_one, g,
			  w->now_ns, message, sizeof(message));
	/* One that does not go out is one that is lost: made anew later. */
	if (n)
		(void)send(w, message, n);
}

static struct hs_tally_dead *place_free(struct hs_worker *w)
{
	if (!w->tally_dead)
		w->tally_dead =
			calloc(HS_TALLY_DEAD_MAX, sizeof(*w->tally_dead));
	for (uint32_t i = 0; w->tally_dead && i < HS_TALLY_DEAD_MAX; i++)
		if (!w->tally_dead[i].data)
			return &w->tally_dead[i];
	return NULL;
}

/* Return: whether it is kept. */
static bool keep(struct hs_worker *w, const struct hs_tally_source *s,
		 const uint8_t *message, uint32_t bytes)
{
	struct hs_tally_dead *d = place_free(w);

	if (!d || w->tally_dead_bytes + bytes > DEAD_MAX_BYTES)
		return false;
	d->data = malloc(bytes);
	if (!d->data)
		return false;
	memcpy(d->data, message, bytes);
	d->bytes = bytes;
	d->process = s->process;
	d->seq = s->seq;
	d->next_ns = 0;
	w->tally_dead_bytes += bytes;
	return true;
}

void hs_tally_bury(struct hs_worker *w, struct hs_guest *g)
{
	static uint8_t message[MESSAGE_BYTES];
	struct hs_tally_source *s = &g->tally;
	uint32_t n, most;

	if (!hs_guest_watch(g))
		return;
	if (!s->node)
		hs_tally_begin(s, w->node_id, g->number, w->now_ns);
	/*
	 * Several messages where one is too small; each is made as if the one
	 * before had arrived, since all of them are kept until they have. No
	 * more than all operations fill: whoever still writes this memory
	 * would else have all the places there are.
	 */
	most = 1 +
	       (uint32_t)((uint64_t)g->layout.nr_operations *
			  sizeof(struct hs_tally_row) / (MESSAGE_BYTES / 2));
	for (uint32_t i = 0; i < most; i++) {
		n = hs_tally_make(s, seq_next(w), g->layout.nr_operations,
				  read_one, g, w->now_ns, message,
				  sizeof(message));
		if (n && !keep(w, s, message, n)) {
			w->counters.tallies_dropped++;
			return;
		}
		if (!n || !hs_tally_acked(s, s->seq))
			return;
	}
}

void hs_tally_dead_round(struct hs_worker *w)
{
	for (uint32_t i = 0; w->tally_dead_bytes && i < HS_TALLY_DEAD_MAX;
	     i++) {
		struct hs_tally_dead *d = &w->tally_dead[i];

		if (!d->data || w->now_ns < d->next_ns)
			continue;
		d->next_ns = w->now_ns + AGAIN_NS;
		if (!send(w, d->data, d->bytes))
			d->next_ns = w->now_ns + EVERY_NS / 4;
	}
}

static void forget(struct hs_worker *w, struct hs_tally_dead *d)
{
	w->tally_dead_bytes -= d->bytes;
	free(d->data);
	d->data = NULL;
}

void hs_tally_ack(struct hs_worker *w, const void *payload,
		  uint32_t payload_bytes)
{
	struct hs_wire_tally_ack ack;

	if (payload_bytes != sizeof(ack)) {
		w->counters.messages_misplaced++;
		return;
	}
	memcpy(&ack, payload, sizeof(ack));
	for (uint32_t i = 0; i < w->nr_guests; i++)
		if (w->guests[i] && w->guests[i]->number == ack.process)
			hs_tally_acked(&w->guests[i]->tally, ack.seq);
	for (uint32_t i = 0; w->tally_dead_bytes && i < HS_TALLY_DEAD_MAX; i++)
		if (w->tally_dead[i].data && w->tally_dead[i].seq == ack.seq &&
		    w->tally_dead[i].process == ack.process)
			forget(w, &w->tally_dead[i]);
}

void hs_tally_free(struct hs_worker *w)
{
	for (uint32_t i = 0; w->tally_dead && i < HS_TALLY_DEAD_MAX; i++)
		if (w->tally_dead[i].data)
			forget(w, &w->tally_dead[i]);
	free(w->tally_dead);
	w->tally_dead = NULL;
}
