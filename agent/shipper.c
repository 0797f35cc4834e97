/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see shipper.h. */
#include "agent/shipper.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "agent/shm_read.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "rdma/wire.h"
#include "ship/key.h"
#include "ship/outlet.h"

#define WAYS_MAX     HS_SHIP_OUTLET_COLLECTORS_MAX
#define DIAL_WAIT_NS (2 * HS_NS_PER_SEC)
#define COPIES	     8192u /* as many as a sender has unsettled */
#define PAGE_BYTES   4096u
#define POLL_NS	     (50 * HS_NS_PER_US)

/* A copy under way, in the order in which they were made. */
struct copy {
	uint64_t end;	/* where the next one may begin */
	uint32_t users; /* of the port */
	bool settled;
};

/* To one collector. */
struct way {
	const char *address;
	uint64_t dial_ns; /* when to try, while it has no number */
	int nr;		  /* of the outlet; -1: not dialled yet */
	uint64_t node;	  /* 0: down */
	/* Copies between tail and head, by their place modulo ring_bytes. */
	uint8_t *ring;
	uint64_t head, tail;
	struct copy *copies; /* first .. next - 1, modulo COPIES */
	uint64_t first, next, settled;
};

struct hs_shipper {
	struct hs_worker *w;
	struct hs_ship_outlet *outlet;
	struct hs_ship_key *key; /* NULL: frames carry no tag */
	struct way ways[WAYS_MAX];
	uint32_t nr_ways;
	uint64_t ring_bytes;
	uint64_t due_ns;
	uint64_t bytes_copied;
	bool added;
	bool polled; /* the port has no descriptor to wait for */
};

static struct copy *copy_at(const struct way *way, uint64_t nr)
{
	return &way->copies[nr % COPIES];
}

/* Settled, and the port is done with them: their places are free. */
static void reclaim(struct way *way)
{
	while (way->first < way->settled && !copy_at(way, way->first)->users)
		way->tail = copy_at(way, way->first++)->end;
}

static struct way *way_of(struct hs_shipper *s, uint32_t nr)
{
	for (uint32_t i = 0; i < s->nr_ways; i++)
		if (s->ways[i].nr == (int)nr)
			return &s->ways[i];
	return NULL;
}

/* ---- what the outlet asks for ---------------------------------------------
 */

static const void *slice_bytes(void *ctx, const struct hs_ship_slice *slice)
{
	struct hs_shipper *s = ctx;

	return s->ways[slice->domain].ring + slice->where % s->ring_bytes;
}

static void slice_settled(void *ctx, const struct hs_ship_slice *slice,
			  bool refused)
{
	struct hs_shipper *s = ctx;
	struct way *way = &s->ways[slice->domain];
	const struct {
		struct hs_wire_slice_ack head;
		uint64_t key;
	} ack = {{.nr = 1, .refused = refused}, slice->head.ship_key};

	way->settled++;
	hs_agent_core_message(s->w->core, way->node, HS_WIRE_SLICE_ACK, &ack,
			      sizeof(ack), s->w->now_ns);
}

static void way_up(void *ctx, uint32_t nr, uint64_t node)
{
	struct hs_shipper *s = ctx;
	struct way *way = way_of(s, nr);

	way->node = node;
	hs_log_info("agent", "ships to collector=%016llx at %s",
		    (unsigned long long)node, way->address);
	hs_agent_core_collector_up(s->w->core, s->w->now_ns);
}

static void way_down(void *ctx, uint32_t nr, const char *why)
{
	struct hs_shipper *s = ctx;
	struct way *way = way_of(s, nr);

	hs_log_info("agent", "ships no more to %s: %s", way->address, why);
	way->node = 0;
	/* What the port still sends stays where it is. */
	way->settled = way->next;
	/* What was under way there goes again, to whoever is up. */
	hs_agent_core_collector_up(s->w->core, s->w->now_ns);
}

static const struct hs_ship_outlet_ops outlet_ops = {slice_bytes, slice_settled,
						     way_up, way_down};

/* ---- what the core asks for -----------------------------------------------
 */

/* All nodes rank the collectors alike, so a trace's slices meet. */
static struct way *pick(struct hs_shipper *s,
			const struct hs_wire_trace_id *trace)
{
	uint64_t key = hs_wire_trace_key(trace), best = 0;
	struct way *found = NULL;

	for (uint32_t i = 0; i < s->nr_ways; i++) {
		uint64_t want;

		if (!s->ways[i].node)
			continue;
		want = hs_hash_rendezvous(key, s->ways[i].node);
		if (!found || want > best) {
			found = &s->ways[i];
			best = want;
		}
	}
	return found;
}

/* Room in one piece; what is left at the end of the ring is skipped. */
static bool room(const struct hs_shipper *s, const struct way *way,
		 uint32_t length, uint64_t *where)
{
	uint64_t at = way->head % s->ring_bytes;

	if (way->next - way->first == COPIES)
		return false;
	*where = way->head;
	if (at + length > s->ring_bytes)
		*where += s->ring_bytes - at;
	return *where + length - way->tail <= s->ring_bytes;
}

bool hs_shipper_ship(struct hs_shipper *s, const struct hs_agent_slice *slice,
		     const void *bytes)
{
	struct way *way = pick(s, &slice->head.trace);
	struct hs_ship_slice out = {.head = slice->head};
	uint32_t length = slice->head.length_bytes;
	struct copy *copy;

	if (!way)
		return false;
	reclaim(way);
	if (!room(s, way, length, &out.where))
		return false;
	copy = copy_at(way, way->next);
	*copy = (struct copy){.end = out.where + length};
	out.users = &copy->users;
	/* The outlet hands it back: which of the rings it is in. */
	out.domain = (uint32_t)(way - s->ways);
	hs_shm_read_bytes(way->ring + out.where % s->ring_bytes, bytes, length);
	if (hs_ship_outlet_add(s->outlet, (uint32_t)way->nr, &out))
		return false;
	way->next++;
	way->head = out.where + length;
	s->bytes_copied += length;
	s->added = true;
	return true;
}

/* ---- running --------------------------------------------------------------
 */

/* A name that is not known yet may be known later. */
static void dial(struct hs_shipper *s, struct way *way)
{
	const char *why;
	int nr;

	if (s->w->now_ns < way->dial_ns)
		return;
	way->dial_ns = s->w->now_ns + DIAL_WAIT_NS;
	nr = hs_ship_outlet_dial(s->outlet, way->address, s->w->now_ns, &why);
	if (nr < 0)
		hs_log_limited(HS_LOG_WARN, "agent", "ship.collectors: %s: %s",
			       way->address, why);
	else
		way->nr = nr;
}

void hs_shipper_run(struct hs_shipper *s)
{
	if (!s->added && !s->polled && s->w->now_ns < s->due_ns)
		return;
	for (uint32_t i = 0; i < s->nr_ways; i++)
		if (s->ways[i].nr < 0)
			dial(s, &s->ways[i]);
	s->added = false;
	hs_ship_key_look(s->key, s->w->now_ns);
	s->due_ns = hs_ship_outlet_run(s->outlet, s->w->now_ns);
}

uint64_t hs_shipper_due_ns(const struct hs_shipper *s)
{
	uint64_t poll_ns = s->w->now_ns + POLL_NS;

	if (s->added)
		return 0;
	return s->polled && poll_ns < s->due_ns ? poll_ns : s->due_ns;
}

void hs_shipper_wake(struct hs_shipper *s)
{
	s->added = true;
}

static int rings_make(struct hs_shipper *s)
{
	const struct hs_config_strings *to = &s->w->settings.ship.collectors;

	for (size_t i = 0; i < to->nr_items; i++) {
		struct way *way = &s->ways[s->nr_ways];

		way->address = to->items[i];
		way->nr = -1;
		way->ring = aligned_alloc(PAGE_BYTES, s->ring_bytes);
		way->copies = calloc(COPIES, sizeof(*way->copies));
		if (!way->ring || !way->copies)
			return -ENOMEM;
		s->nr_ways++;
	}
	return 0;
}

/* The port sends from the rings: it may have to be told where they are. */
static int lend(struct hs_shipper *s, struct hs_ship_port *port)
{
	int rc = 0;

	for (uint32_t i = 0; i < s->nr_ways && !rc && port->ops->memory; i++)
		rc = port->ops->memory(port, s->ways[i].ring, s->ring_bytes,
				       PAGE_BYTES);
	if (rc)
		hs_log_error("agent",
			     "ship: the port cannot be lent memory: %s",
			     strerror(-rc));
	return rc;
}

static int key_make(struct hs_shipper *s, const char *path)
{
	char error[HS_SHIP_KEY_ERROR_BYTES];
	int rc;

	if (!path)
		return 0;
	s->key = hs_ship_key_open(path, error);
	if (s->key)
		return 0;
	rc = -errno;
	hs_log_error("agent", "%s", error);
	return rc;
}

int hs_shipper_make(struct hs_worker *w)
{
	const struct hs_ship_settings *settings = &w->settings.ship;
	struct hs_ship_outlet_config config = {
		.sender = {.node = w->node_id,
			   .frame_bytes = (uint32_t)settings->frame_bytes,
			   .limit_per_s = settings->bytes_per_s}};
	struct hs_shipper *s;
	struct hs_ship_port *port;
	const char *why = "no memory";
	int rc;

	if (settings->carrier == HS_SHIP_CARRIER_TRANSPORT)
		return 0;
	s = w->shipper = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->w = w;
	/* The core lets no more than its window be under way. */
	s->ring_bytes = (w->settings.window_bytes + HS_WIRE_SLICE_MAX_BYTES +
			 PAGE_BYTES - 1) /
			PAGE_BYTES * PAGE_BYTES;
	if (rings_make(s))
		return -ENOMEM;
	rc = key_make(s, w->settings.transport.key_file);
	if (rc)
		return rc;
	config.sender.auth = hs_ship_key_auth(s->key);
	port = hs_ship_port_make(settings, 0, 0, &why);
	if (!port) {
		hs_log_error("agent", "ship: %s: %s (%s)", settings->bind, why,
			     strerror(errno));
		return errno ? -errno : -EINVAL;
	}
	s->outlet = hs_ship_outlet_create(port, &config, &outlet_ops, s);
	if (!s->outlet) {
		port->ops->destroy(port);
		return -ENOMEM;
	}
	s->polled = hs_ship_outlet_fd(s->outlet) < 0;
	if (s->polled)
		return lend(s, port);
	return hs_worker_watch(w, hs_ship_outlet_fd(s->outlet), HS_WORKER_SHIP,
			       0);
}

void hs_shipper_free(struct hs_worker *w)
{
	struct hs_shipper *s = w->shipper;

	if (!s)
		return;
	hs_ship_outlet_destroy(s->outlet);
	hs_ship_key_close(s->key);
	for (uint32_t i = 0; i < s->nr_ways; i++) {
		free(s->ways[i].ring);
		free(s->ways[i].copies);
	}
	free(s);
	w->shipper = NULL;
}

/* ---- for people -----------------------------------------------------------
 */

static json_t *way_json(const struct hs_shipper *s, const struct way *way)
{
	struct hs_ship_sender_stats t = {0};
	struct hs_ship_port_stats port;

	if (way->nr >= 0)
		hs_ship_outlet_stats(s->outlet, (uint32_t)way->nr, &t, &port);
	return json_pack("{s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
			 "s:I}",
			 "address", way->address, "up", t.up, "slices",
			 (json_int_t)t.slices_settled, "refused",
			 (json_int_t)t.slices_refused, "unsettled",
			 (json_int_t)t.unsettled, "frames",
			 (json_int_t)t.frames_sent, "frames_again",
			 (json_int_t)t.frames_resent, "rtt_ns",
			 (json_int_t)t.rtt_ns, "rate_bytes_per_s",
			 (json_int_t)t.rate_per_s, "modified",
			 (json_int_t)t.slices_modified, "frames_bad",
			 (json_int_t)t.frames_bad);
}

json_t *hs_shipper_json(const struct hs_shipper *s)
{
	json_t *ways = json_array();

	if (!s)
		return json_pack("{s:s, s:s}", "carrier", "transport", "why",
				 "ship.carrier");
	for (uint32_t i = 0; i < s->nr_ways; i++)
		json_array_append_new(ways, way_json(s, &s->ways[i]));
	return json_pack("{s:s, s:s, s:b, s:I, s:o}", "carrier",
			 hs_ship_carrier_names[s->w->settings.ship.carrier],
			 "why", "configured", "key", s->key != NULL,
			 "bytes_copied", (json_int_t)s->bytes_copied,
			 "collectors", ways);
}
