/* SPDX-License-Identifier: Apache-2.0 */
/*
 * collector.c - assembly, store and acknowledgements put together
 */
#include "collector/collector.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/aligned.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "collector/summary.h"

#define LOG "collector"
/* A trace that keeps growing is summed up so often. */
#define SUMMARY_INTERVAL_NS HS_NS_PER_SEC
#define SUMMARIES_PER_STEP  32u
#define MARKS_PER_STEP	    256u
/* A disk that refuses is asked again so often. */
#define RETRY_NS       HS_NS_PER_SEC
#define IDLE_STEP_NS   (250 * HS_NS_PER_MS)
#define TALLY_ACKS_MAX 256u
#define TICKETS_MAX    64u /* power of two */
/* Slices become durable in the order of their coming, which is that of nobody's
 * peers: acknowledgements of so many are put together. */
#define ACK_PEERS_MAX 32u

/* What the store was asked to make durable, and what that stands for. */
struct ticket {
	uint64_t store;
	uint64_t seq;
};

/* Acknowledgements for one peer that have not been sent. */
struct acks {
	/* As they go out, one behind the other. */
	struct hs_wire_slice_ack head;
	uint64_t keys[HS_WIRE_ACKS_MAX];
	uint32_t peer;
};
HS_WIRE_ASSERT(offsetof(struct acks, keys) == sizeof(struct hs_wire_slice_ack));

struct hs_collector {
	struct hs_collector_options options;
	pthread_mutex_t next; /* whoever waits for the lock holds it */
	pthread_mutex_t lock;
	struct hs_store *store;
	struct hs_assembly *assembly;
	void *memory; /* the assembly's */
	size_t memory_bytes;
	struct acks acks[ACK_PEERS_MAX];
	uint32_t nr_acks; /* of these that have any */
	/* Counts of operations, and what their commit will acknowledge. */
	struct hs_tally *tally;
	struct {
		uint32_t peer;
		struct hs_wire_tally_ack ack;
	} tally_acks[TALLY_ACKS_MAX];
	uint32_t nr_tally_acks;
	struct ticket tickets[TICKETS_MAX]; /* a ring */
	uint32_t first_ticket, nr_tickets;
	bool dirty;	     /* something came since it was asked last */
	uint64_t dirty_ns;   /* when */
	uint64_t retry_ns;   /* not before this; 0: whenever */
	bool unmarked;	     /* there may be rows without a mark */
	uint32_t expiring;   /* a segment that goes; 0: none */
	uint64_t expired_at; /* the store's ticket of that */
	struct hs_collector_stats stats;
};

/* ---- what the assembly asks for ------------------------------------------ */

static int store_slice(void *ctx, const struct hs_wire_slice *slice,
		       const uint8_t *bytes)
{
	struct hs_collector *c = ctx;

	return hs_store_put_slice(c->store, slice, bytes,
				  (int64_t)hs_clock_real_ns());
}

static int store_union(void *ctx, const struct hs_wire_trace_id *trace,
		       const void *blob, uint32_t blob_bytes)
{
	struct hs_collector *c = ctx;

	return hs_store_put_union(c->store, trace, blob, blob_bytes,
				  (int64_t)hs_clock_real_ns());
}

struct loading {
	struct hs_collector *c;
	const struct hs_wire_trace_id *trace;
};

static int load_slice(void *ctx, const struct hs_wire_slice *slice,
		      const uint8_t *bytes)
{
	return hs_assembly_replay_slice(((struct loading *)ctx)->c->assembly,
					slice);
}

static int load_union(void *ctx, const void *blob, uint32_t blob_bytes)
{
	struct loading *l = ctx;

	return hs_assembly_replay_union(l->c->assembly, l->trace, blob,
					blob_bytes);
}

static int load_damage(void *ctx)
{
	struct loading *l = ctx;

	hs_assembly_replay_damage(
		l->c->assembly, l->trace,
		hs_index_version(hs_store_index(l->c->store), l->trace));
	return 0;
}

static int load(void *ctx, const struct hs_wire_trace_id *trace)
{
	struct loading l = {ctx, trace};
	const struct hs_store_reader reader = {&l, load_slice, load_union,
					       load_damage};

	/* What is about to go must not be taken for what is there. */
	if (l.c->expiring) {
		int rc = hs_index_in_segment(hs_store_index(l.c->store), trace,
					     l.c->expiring);

		if (rc)
			return rc < 0 ? rc : -EBUSY;
	}
	return hs_store_read(l.c->store, trace, false, &reader);
}

/* The row follows with what became durable; its spans when there is time. */
static int changed(void *ctx, const struct hs_wire_trace_id *trace)
{
	struct hs_collector *c = ctx;
	struct hs_assembly_view view;

	return hs_summary_mark(c->store, c->assembly, trace, &view);
}

/* In the store's thread, when nothing waits. Return: how many, or errno. */
static int sum_up(void *ctx, struct hs_store_view *view, struct hs_index *index)
{
	struct hs_wire_trace_id ids[SUMMARIES_PER_STEP];
	int64_t before = (int64_t)(hs_clock_real_ns() - SUMMARY_INTERVAL_NS);
	int nr = hs_index_stale(index, before, ids, SUMMARIES_PER_STEP);
	int done = nr < 0 ? nr : 0;

	/* A trace takes as long as some dozens of slices take to store. */
	while (done < nr && !(done > 0 && hs_store_view_wanted(view))) {
		int rc = hs_summary_make(view, index, &ids[done]);

		if (rc < 0)
			return rc;
		done++;
	}
	return done;
}

static void acks_send_one(struct hs_collector *c, struct acks *a)
{
	struct iovec iov = {&a->head,
			    sizeof(a->head) + a->head.nr * sizeof(uint64_t)};

	if (c->options.send(c->options.ctx, a->peer, HS_WIRE_SLICE_ACK, &iov,
			    1))
		c->stats.acks_dropped += a->head.nr;
	else
		c->stats.acks_sent += a->head.nr;
	a->head.nr = 0;
}

static void acks_send(struct hs_collector *c)
{
	for (uint32_t i = 0; i < c->nr_acks; i++)
		acks_send_one(c, &c->acks[i]);
	c->nr_acks = 0;
}

/* Of one peer and kind, with room for one more. */
static struct acks *acks_of(struct hs_collector *c, uint32_t peer, bool refused)
{
	struct acks *a;

	for (uint32_t i = 0; i < c->nr_acks; i++) {
		a = &c->acks[i];
		if (a->peer != peer || a->head.refused != refused)
			continue;
		if (a->head.nr == HS_WIRE_ACKS_MAX)
			acks_send_one(c, a);
		return a;
	}
	if (c->nr_acks == ACK_PEERS_MAX)
		acks_send(c);
	a = &c->acks[c->nr_acks++];
	a->peer = peer;
	a->head = (struct hs_wire_slice_ack){.refused = refused};
	return a;
}

static void slice_ack(void *ctx, uint32_t peer, uint64_t ship_key, bool refused)
{
	struct acks *a = acks_of(ctx, peer, refused);

	a->keys[a->head.nr++] = ship_key;
}

static void manifest_ack(void *ctx, uint32_t peer,
			 const struct hs_wire_manifest_ack *ack)
{
	struct hs_collector *c = ctx;
	struct hs_wire_manifest_ack copy = *ack;
	struct iovec iov = {&copy, sizeof(copy)};

	if (c->options.send(c->options.ctx, peer, HS_WIRE_MANIFEST_ACK, &iov,
			    1))
		c->stats.acks_dropped++;
	else
		c->stats.acks_sent++;
}

static const struct hs_assembly_ops assembly_ops = {
	.store_slice = store_slice,
	.store_union = store_union,
	.load = load,
	.changed = changed,
	.slice_ack = slice_ack,
	.manifest_ack = manifest_ack,
};

/* ---- messages and time ----------------------------------------------------
 */

/* Counts are no traces' business: one's disk error is not the other's. */
static void tally_sync(struct hs_collector *c)
{
	int rc = hs_tally_commit(c->tally, (int64_t)hs_clock_real_ns());

	for (uint32_t i = 0; i < c->nr_tally_acks && !rc; i++) {
		struct iovec iov = {&c->tally_acks[i].ack,
				    sizeof(c->tally_acks[i].ack)};

		if (c->options.send(c->options.ctx, c->tally_acks[i].peer,
				    HS_WIRE_TALLY_ACK, &iov, 1))
			c->stats.acks_dropped++;
		else
			c->stats.acks_sent++;
	}
	/* After an error nothing is acknowledged, and comes again. */
	c->nr_tally_acks = 0;
}

static void tally_message(struct hs_collector *c, uint32_t peer,
			  const void *payload, uint32_t payload_bytes)
{
	struct hs_wire_tally_ack *ack;

	if (c->nr_tally_acks == TALLY_ACKS_MAX)
		tally_sync(c);
	ack = &c->tally_acks[c->nr_tally_acks].ack;
	if (hs_tally_put(c->tally, payload, payload_bytes,
			 (int64_t)hs_clock_real_ns(), ack))
		return;
	c->tally_acks[c->nr_tally_acks++].peer = peer;
}

static void failed(struct hs_collector *c, int rc)
{
	struct hs_store_stats stats;

	hs_store_stats(c->store, &stats);
	hs_log_limited(HS_LOG_ERROR, LOG,
		       "not durable, nothing is acknowledged: %s",
		       stats.error_text[0] ? stats.error_text : strerror(-rc));
	c->retry_ns = hs_clock_mono_ns() + RETRY_NS;
}

/* What has become durable is acknowledged. Return: the store's errno. */
static int take_durable(struct hs_collector *c)
{
	uint64_t done, seq = 0;
	bool any = false;
	int rc = hs_store_poll(c->store, &done);

	while (c->nr_tickets && c->tickets[c->first_ticket].store <= done) {
		seq = c->tickets[c->first_ticket].seq;
		c->first_ticket = (c->first_ticket + 1) & (TICKETS_MAX - 1);
		c->nr_tickets--;
		any = true;
	}
	if (any) {
		hs_assembly_durable(c->assembly, seq);
		acks_send(c);
	}
	if (c->expiring && done >= c->expired_at)
		c->expiring = 0;
	if (hs_store_unmarked(c->store))
		c->unmarked = true;
	return rc;
}

/* Hand everything over, and remember what its being durable will mean. */
static int submit(struct hs_collector *c)
{
	uint64_t seq;
	int rc;

	if (c->nr_tickets == TICKETS_MAX)
		return 0; /* enough under way; this goes with the next */
	rc = hs_assembly_flush(c->assembly, &seq);
	/* What is under way makes room; the rest comes again. */
	if (rc == -EAGAIN)
		return 0;
	if (rc) {
		hs_store_submit(c->store);
		return rc;
	}
	c->tickets[(c->first_ticket + c->nr_tickets) & (TICKETS_MAX - 1)] =
		(struct ticket){hs_store_submit(c->store), seq};
	c->nr_tickets++;
	c->dirty = false;
	return 0;
}

int hs_collector_sync(struct hs_collector *c)
{
	int rc;

	tally_sync(c);
	/* What was under way may be what the memory is full of. */
	do {
		c->dirty = true;
		rc = submit(c);
		if (!rc)
			rc = hs_store_sync(c->store);
		if (!rc)
			rc = take_durable(c);
	} while (!rc && c->dirty);
	if (rc)
		failed(c, rc);
	else
		c->retry_ns = 0;
	return rc;
}

void hs_collector_node_up(struct hs_collector *c, uint64_t node,
			  uint64_t now_ns)
{
	hs_assembly_node_up(c->assembly, node);
	if (!c->dirty) {
		c->dirty = true;
		c->dirty_ns = now_ns;
	}
}

static void touched(struct hs_collector *c, uint64_t now_ns)
{
	if (c->dirty)
		return;
	c->dirty = true;
	c->dirty_ns = now_ns;
}

/* What finds no room may find it once something has become durable. */
static bool no_room(int rc)
{
	return rc == HS_ASSEMBLY_BUSY || rc == -EAGAIN;
}

int hs_collector_offer(struct hs_collector *c, uint32_t peer, uint16_t type,
		       const void *payload, uint32_t payload_bytes,
		       uint64_t now_ns)
{
	int rc;

	if (type == HS_WIRE_TALLY) {
		tally_message(c, peer, payload, payload_bytes);
		touched(c, now_ns);
	}
	if (type != HS_WIRE_SLICE && type != HS_WIRE_MANIFEST)
		return 0;
	rc = hs_assembly_message(c->assembly, peer, type, payload,
				 payload_bytes);
	touched(c, now_ns);
	/* Acknowledgements that wait take room: they are asked for at once. So
	 * is a group: with what it makes of its traces, so that their rows are
	 * written once. */
	if (now_ns >= c->retry_ns &&
	    (hs_store_due(c->store) || (no_room(rc) && !c->nr_tickets)))
		(void)submit(c);
	return rc;
}

int hs_collector_message(struct hs_collector *c, uint32_t peer, uint16_t type,
			 const void *payload, uint32_t payload_bytes,
			 uint64_t now_ns)
{
	int rc = hs_collector_offer(c, peer, type, payload, payload_bytes,
				    now_ns);

	/* Its sender is held up by not being read meanwhile. */
	for (int i = 0; no_room(rc) && now_ns >= c->retry_ns; i++) {
		int error = 0;

		if (i)
			error = hs_collector_sync(c);
		else
			hs_store_wait(c->store);
		if (!error)
			error = take_durable(c);
		if (error || i > 1)
			break;
		rc = hs_collector_offer(c, peer, type, payload, payload_bytes,
					now_ns);
	}
	if (rc < 0 || rc == HS_ASSEMBLY_BUSY)
		c->stats.messages_failed++;
	return rc;
}

static int damaged_slice(void *ctx, const struct hs_wire_slice *head,
			 struct hs_index_place place, bool damaged)
{
	*(bool *)ctx = *(bool *)ctx || damaged;
	return 0;
}

static int any_union(void *ctx, struct hs_index_place place)
{
	return 0;
}

/* One row that was made from segments, or of which something is unreadable. */
static int mark_row(struct hs_collector *c, const struct hs_wire_trace_id *id)
{
	bool damaged = false;
	const struct hs_index_records visitor = {.ctx = &damaged,
						 .slice = damaged_slice,
						 .manifests = any_union};
	struct hs_assembly_view view;
	int rc = hs_index_each_record(hs_store_index(c->store), id, &visitor);

	if (!rc && hs_assembly_view(c->assembly, id, &view) == 0 && damaged)
		hs_assembly_replay_damage(c->assembly, id, 0);
	return rc ? rc : hs_summary_mark(c->store, c->assembly, id, &view);
}

static void mark_rows(struct hs_collector *c, uint64_t now_ns)
{
	struct hs_wire_trace_id ids[MARKS_PER_STEP];
	int nr;

	/* Until it is durable a mark would be asked for again. */
	if (!c->unmarked || c->nr_tickets || c->dirty)
		return;
	nr = hs_index_unmarked(hs_store_index(c->store), ids, MARKS_PER_STEP);
	c->unmarked = nr != 0;
	for (int i = 0; i < nr; i++)
		if (mark_row(c, &ids[i]))
			break;
	if (nr > 0)
		touched(c, now_ns - c->options.sync_interval_ns);
}

static int forget_one(void *ctx, const struct hs_wire_trace_id *trace,
		      bool elsewhere_too)
{
	struct hs_collector *c = ctx;

	return hs_assembly_forget(c->assembly, trace) ? 0 : 1;
}

/* What is too old or too much goes by segments. */
static void expire(struct hs_collector *c)
{
	const struct hs_collector_options *o = &c->options;
	int64_t now_ns = (int64_t)hs_clock_real_ns();
	int64_t before_ns = o->retain_ns ? now_ns - (int64_t)o->retain_ns : 0;
	uint32_t number;

	if (c->expiring || c->retry_ns || (!o->retain_bytes && !before_ns))
		return;
	number = hs_store_oldest(c->store, o->retain_bytes, before_ns);
	/* While something in it waits for the disk its turn has not come. */
	if (!number || hs_index_segment_traces(hs_store_index(c->store), number,
					       forget_one, c))
		return;
	if (hs_store_expire(c->store, number, now_ns))
		return;
	c->expiring = number;
	c->expired_at = hs_store_submit(c->store);
}

/* A disk that refuses is asked again after a while, with all that waits. */
static void retry(struct hs_collector *c, int rc, uint64_t now_ns)
{
	if (!rc) {
		c->retry_ns = 0;
	} else if (!c->retry_ns) {
		failed(c, rc);
	} else if (now_ns >= c->retry_ns) {
		c->retry_ns = 0;
		c->dirty = true;
		c->dirty_ns = now_ns - c->options.sync_interval_ns;
	}
}

uint64_t hs_collector_step(struct hs_collector *c, uint64_t now_ns)
{
	uint64_t due;
	int rc = take_durable(c);

	retry(c, rc, now_ns);
	/* Refusals are told at once; they wait for no disk. */
	acks_send(c);
	due = c->dirty_ns + c->options.sync_interval_ns;
	if (c->dirty && now_ns >= due && now_ns >= c->retry_ns) {
		tally_sync(c);
		rc = submit(c);
		if (rc)
			failed(c, rc);
	}
	mark_rows(c, now_ns);
	expire(c);
	if (c->retry_ns)
		return c->retry_ns > now_ns ? c->retry_ns - now_ns : 0;
	if (!c->dirty)
		return IDLE_STEP_NS;
	due = c->dirty_ns + c->options.sync_interval_ns;
	/* Half handed over: the store says when there is room. */
	return due > now_ns ? due - now_ns : IDLE_STEP_NS;
}

/* ---- opening and closing --------------------------------------------------
 */

static void memory_unmap(struct hs_collector *c)
{
	if (c->memory)
		munmap(c->memory, c->memory_bytes);
}

static int open_all(struct hs_collector *c, char *error, size_t error_bytes)
{
	struct hs_assembly_limits *limits = &c->options.limits;
	size_t size;
	int rc = hs_random_secure(&limits->seed, sizeof(limits->seed));

	size = hs_assembly_size(limits);
	if (!size) {
		snprintf(error, error_bytes,
			 "limits: the nodes, crumbs and triggers of all traces "
			 "must be at least twice those of one");
		return -EINVAL;
	}
	c->memory_bytes = size;
	c->memory = rc ? NULL : hs_aligned_pages(size);
	if (!c->memory) {
		snprintf(error, error_bytes, "no %zu bytes of memory", size);
		return rc ? rc : -ENOMEM;
	}
	c->assembly = hs_assembly_create(c->memory, limits, &assembly_ops, c);
	c->options.store.idle = sum_up;
	c->options.store.idle_ctx = c;
	rc = hs_store_open(&c->store, &c->options.store, error, error_bytes);
	/* In the store's folder, which is there and locked by now. */
	if (!rc)
		rc = hs_tally_open(&c->tally, c->options.store.dir, error,
				   error_bytes);
	return rc;
}

int hs_collector_open(struct hs_collector **out,
		      const struct hs_collector_options *options, char *error,
		      size_t error_bytes)
{
	struct hs_collector *c = calloc(1, sizeof(*c));
	int rc;

	*out = NULL;
	if (!c)
		return -ENOMEM;
	c->options = *options;
	pthread_mutex_init(&c->next, NULL);
	pthread_mutex_init(&c->lock, NULL);
	rc = open_all(c, error, error_bytes);
	if (rc) {
		hs_tally_close(c->tally);
		hs_store_close(c->store);
		memory_unmap(c);
		free(c);
		return rc;
	}
	*out = c;
	return 0;
}

void hs_collector_close(struct hs_collector *c)
{
	if (!c)
		return;
	hs_collector_sync(c);
	hs_tally_close(c->tally);
	hs_store_close(c->store);
	pthread_mutex_destroy(&c->lock);
	pthread_mutex_destroy(&c->next);
	memory_unmap(c);
	free(c);
}

void hs_collector_lock(struct hs_collector *c)
{
	/*
	 * A thread that unlocks and locks again at once would win for ever
	 * against one that has to be woken first: it queues here instead.
	 */
	pthread_mutex_lock(&c->next);
	pthread_mutex_lock(&c->lock);
	pthread_mutex_unlock(&c->next);
}

void hs_collector_unlock(struct hs_collector *c)
{
	pthread_mutex_unlock(&c->lock);
}

void hs_collector_damaged(struct hs_collector *c,
			  const struct hs_wire_trace_id *trace)
{
	hs_assembly_replay_damage(c->assembly, trace, 0);
	if (!c->dirty) {
		c->dirty = true;
		c->dirty_ns = hs_clock_mono_ns();
	}
}

struct hs_assembly *hs_collector_assembly(struct hs_collector *c)
{
	return c->assembly;
}

struct hs_tally *hs_collector_tally(struct hs_collector *c)
{
	return c->tally;
}

struct hs_store *hs_collector_store(struct hs_collector *c)
{
	return c->store;
}

int hs_collector_fd(const struct hs_collector *c)
{
	return hs_store_fd(c->store);
}

void hs_collector_stats(struct hs_collector *c, struct hs_collector_stats *out)
{
	*out = c->stats;
	hs_assembly_stats(c->assembly, &out->assembly);
	hs_store_stats(c->store, &out->store);
	hs_store_counts(c->store, &out->counts);
	hs_tally_stats(c->tally, &out->tally);
}
