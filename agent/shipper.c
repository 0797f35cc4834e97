/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see shipper.h. */
#include "agent/shipper.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "agent/fault.h"
#include "agent/shm_read.h"
#include "base/clock.h"
#include "base/log.h"
#include "rdma/wire.h"
#include "ship/key.h"
#include "ship/outlet.h"
#include "ship/port_lent.h"

#define WAYS_MAX     HS_SHIP_OUTLET_COLLECTORS_MAX
#define DIAL_WAIT_NS (2 * HS_NS_PER_SEC)
#define LOANS	     8192u /* as many as a sender has unsettled */
#define PAGE_BYTES   4096u
#define HUGE_BYTES   (2u << 20)
#define POLL_NS	     (50 * HS_NS_PER_US)
#define QUIET_NS     HS_NS_PER_MS /* between two looks when nothing is awaited */

/* Of a slice's domain: it lies in a pool, and not in the ring. */
#define IN_POOL 0x80000000u

/* A slice under way, in the order in which they were added. */
struct loan {
	uint64_t end;	   /* where the next copy may begin in the ring */
	uint64_t ship_key; /* the core's; of one in a pool */
	uint32_t length_bytes;
	uint32_t users; /* frames that the port still has of it */
	bool in_pool;
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
	struct loan *loans; /* first .. next - 1, modulo LOANS */
	uint64_t first, next, settled;
};

struct hs_shipper {
	struct hs_worker *w;
	struct hs_ship_outlet *outlet;
	struct hs_ship_key *key;   /* NULL: frames carry no tag */
	struct hs_ship_port *port; /* the outlet's */
	struct way ways[WAYS_MAX];
	uint32_t nr_ways;
	uint64_t ring_bytes;
	uint64_t due_ns;
	uint64_t bytes_copied, bytes_lent;
	bool added;
	bool polled; /* the port has no descriptor to wait for */
	enum hs_ship_carrier carrier;
	const char *why; /* that one */
};

static struct loan *loan_at(const struct way *way, uint64_t nr)
{
	return &way->loans[nr % LOANS];
}

/* Settled, and the port is done with them: they are their owners' again. */
static void reclaim(struct hs_shipper *s, struct way *way)
{
	for (; way->first < way->settled; way->first++) {
		const struct loan *l = loan_at(way, way->first);

		if (l->users)
			return;
		way->tail = l->end;
		if (l->in_pool)
			hs_agent_core_returned(s->w->core, l->ship_key,
					       l->length_bytes);
	}
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

	if (slice->domain & IN_POOL)
		return (const void *)(uintptr_t)slice->where;
	return s->ways[slice->domain].ring + slice->where % s->ring_bytes;
}

static void slice_settled(void *ctx, const struct hs_ship_slice *slice,
			  bool refused)
{
	struct hs_shipper *s = ctx;
	struct way *way = &s->ways[slice->domain & ~IN_POOL];
	const struct {
		struct hs_wire_slice_ack head;
		uint64_t key;
	} ack = {{.nr = 1, .refused = refused}, slice->head.ship_key};

	way->settled++;
	hs_agent_core_message(s->w->core, way->node, HS_WIRE_SLICE_ACK, &ack,
			      sizeof(ack), s->w->now_ns);
}

/* What the smallest frames on the ways let a collector assemble. */
static void limit_slices(struct hs_shipper *s)
{
	uint32_t least = HS_WIRE_SLICE_MAX_BYTES;

	for (uint32_t i = 0; i < s->nr_ways; i++) {
		struct hs_ship_sender_stats t;
		struct hs_ship_port_stats port;

		if (!s->ways[i].node)
			continue;
		hs_ship_outlet_stats(s->outlet, (uint32_t)s->ways[i].nr, &t,
				     &port);
		if (t.slice_bytes < least)
			least = t.slice_bytes;
	}
	hs_agent_core_slice_limit(s->w->core, least);
}

static void way_up(void *ctx, uint32_t nr, uint64_t node)
{
	struct hs_shipper *s = ctx;
	struct way *way = way_of(s, nr);

	way->node = node;
	hs_log_info("agent", "ships to collector=%016llx at %s",
		    (unsigned long long)node, way->address);
	limit_slices(s);
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

/* The way to a node; a restart of it changes its id, and not its number. */
static struct way *way_to(struct hs_shipper *s, uint32_t number)
{
	for (uint32_t i = 0; i < s->nr_ways; i++)
		if (s->ways[i].node && s->ways[i].node >> 32 == number)
			return &s->ways[i];
	return NULL;
}

/* Room in one piece; what is left at the end of the ring is skipped. */
static bool room(const struct hs_shipper *s, const struct way *way,
		 uint32_t length, uint64_t *where)
{
	uint64_t at = way->head % s->ring_bytes;

	*where = way->head;
	if (at + length > s->ring_bytes)
		*where += s->ring_bytes - at;
	return *where + length - way->tail <= s->ring_bytes;
}

enum hs_agent_shipped hs_shipper_ship(struct hs_shipper *s, uint32_t number,
				      const struct hs_agent_slice *slice,
				      const void *bytes, bool stays)
{
	struct way *way = way_to(s, number);
	struct hs_ship_slice out = {.head = slice->head};
	uint32_t length = slice->head.length_bytes;
	/* The header says how much has been written so far. */
	bool in_pool = stays && (slice->head.final || slice->head.offset);
	struct loan *loan;

	if (!way)
		return HS_AGENT_SHIP_AWAY;
	if (way->next - way->first == LOANS ||
	    (!in_pool && !room(s, way, length, &out.where)))
		return HS_AGENT_SHIP_NOT;
	loan = loan_at(way, way->next);
	*loan = (struct loan){
		.end = in_pool ? way->head : out.where + length,
		.ship_key = slice->head.ship_key,
		.length_bytes = length,
		.in_pool = in_pool,
	};
	out.users = &loan->users;
	/* The outlet hands it back: which of the rings it is in. */
	out.domain = (uint32_t)(way - s->ways);
	if (in_pool) {
		out.domain |= IN_POOL;
		out.where = (uintptr_t)bytes;
	} else {
		hs_shm_read_bytes(way->ring + out.where % s->ring_bytes, bytes,
				  length);
	}
	if (hs_ship_outlet_add(s->outlet, (uint32_t)way->nr, &out))
		return HS_AGENT_SHIP_NOT;
	way->next++;
	way->head = loan->end;
	s->bytes_copied += in_pool ? 0 : length;
	s->bytes_lent += in_pool ? length : 0;
	s->added = true;
	return in_pool ? HS_AGENT_SHIP_LENT : HS_AGENT_SHIP_COPIED;
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
	for (uint32_t i = 0; i < s->nr_ways; i++)
		reclaim(s, &s->ways[i]);
}

/* Nothing is under way that an answer would free. */
static bool quiet(const struct hs_shipper *s)
{
	for (uint32_t i = 0; i < s->nr_ways; i++)
		if (s->ways[i].first != s->ways[i].next)
			return false;
	return true;
}

uint64_t hs_shipper_due_ns(const struct hs_shipper *s)
{
	uint64_t poll_ns = s->w->now_ns + (quiet(s) ? QUIET_NS : POLL_NS);

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
		way->loans = calloc(LOANS, sizeof(*way->loans));
		if (!way->ring || !way->loans)
			return -ENOMEM;
		s->nr_ways++;
	}
	return 0;
}

void hs_shipper_lend(struct hs_shipper *s, const struct hs_tenant *t)
{
	const struct hs_ship_port_ops *ops = s->port->ops;

	for (uint32_t i = 0; i < t->nr_pools && ops->memory; i++) {
		const struct hs_memfd *pool = &t->pools[i];
		uint64_t page = pool->is_huge ? HUGE_BYTES : PAGE_BYTES;
		int rc = mprotect(pool->base, pool->size_bytes,
				  PROT_READ | PROT_WRITE)
				 ? -errno
				 : 0;

		if (!rc)
			rc = ops->memory(s->port, pool->base, pool->size_bytes,
					 page);
		/* We only ever read it. */
		if (mprotect(pool->base, pool->size_bytes, PROT_READ) && !rc)
			rc = -errno;
		if (rc)
			hs_log_warn("agent",
				    "ship: the port cannot be lent the pool of "
				    "domain=%s uid=%u, its slices are copied: "
				    "%s",
				    t->name, t->uid, strerror(-rc));
	}
}

/* Also what is copied into the rings goes from there. */
static int lend_all(struct hs_shipper *s)
{
	const struct hs_ship_port_ops *ops = s->port->ops;
	int rc = 0;

	for (uint32_t i = 0; i < s->nr_ways && !rc && ops->memory; i++)
		rc = ops->memory(s->port, s->ways[i].ring, s->ring_bytes,
				 PAGE_BYTES);
	if (rc)
		hs_log_error("agent",
			     "ship: the port cannot be lent memory: %s",
			     strerror(-rc));
	for (uint32_t i = 0; i < HS_AGENT_DOMAINS_MAX && !rc; i++)
		if (s->w->tenants[i])
			hs_shipper_lend(s, s->w->tenants[i]);
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

static struct hs_ship_port *port_make(const struct hs_ship_settings *settings,
				      const struct hs_ship_port_wants *wants,
				      const char **why)
{
	struct hs_ship_lent_config lent;

	if (wants->carrier != HS_SHIP_CARRIER_LENT)
		return hs_ship_port_make(settings, wants, why);
	errno = EINVAL;
	if (hs_ship_lent_settings(settings, &lent, why))
		return NULL;
	lent.watch = hs_fault_watch;
	lent.forget = hs_fault_forget;
	return hs_ship_lent_create(&lent, why);
}

int hs_shipper_make(struct hs_worker *w)
{
	const struct hs_ship_settings *settings = &w->settings.ship;
	struct hs_ship_outlet_config config = {
		.sender = {.node = w->node_id,
			   .frame_bytes = (uint32_t)settings->frame_bytes,
			   .limit_per_s = settings->bytes_per_s}};
	const struct hs_transport_settings *t = &w->settings.transport;
	const struct hs_ship_trust trust = {t->tls_ca, t->tls_cert, t->tls_key,
					    t->tls_bind};
	struct hs_ship_port_wants wants = {.trust = &trust};
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
	s->carrier = wants.carrier =
		hs_ship_carrier_choose(settings, &trust, &s->why);
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
	port = port_make(settings, &wants, &why);
	if (!port) {
		hs_log_error("agent", "ship: %s: %s (%s)",
			     s->carrier == HS_SHIP_CARRIER_LENT
				     ? "a port that is lent"
			     : s->carrier == HS_SHIP_CARRIER_TCP
				     ? "tcp"
				     : settings->bind,
			     why, strerror(errno));
		return errno ? -errno : -EINVAL;
	}
	s->outlet = hs_ship_outlet_create(port, &config, &outlet_ops, s);
	if (!s->outlet) {
		port->ops->destroy(port);
		return -ENOMEM;
	}
	s->port = port;
	s->polled = hs_ship_outlet_fd(s->outlet) < 0;
	rc = lend_all(s);
	if (rc || s->polled)
		return rc;
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
		free(s->ways[i].loans);
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

/* How often each byte of a slice was copied on its way out, by whomever. */
static double copies(const struct hs_shipper *s,
		     const struct hs_ship_port_stats *port)
{
	/* Into a socket go all of them, whatever was done before. */
	uint64_t went = port->bytes_borrowed +
			(port->bytes_copied_kernel ? port->bytes_copied_kernel
						   : port->bytes_copied);
	uint64_t copied = s->bytes_copied + port->bytes_copied +
			  port->bytes_copied_kernel + port->bytes_copied_lender;

	return went ? (double)copied / (double)went : 0;
}

static json_t *port_json(const struct hs_ship_port_stats *port)
{
	return json_pack("{s:b, s:I, s:I, s:I, s:I, s:I, s:I}", "link_down",
			 port->link_down, "full", (json_int_t)port->full,
			 "no_memory", (json_int_t)port->no_memory, "no_link",
			 (json_int_t)port->no_link, "no_neighbour",
			 (json_int_t)port->no_neighbour, "refused",
			 (json_int_t)port->refused, "dropped",
			 (json_int_t)port->dropped);
}

/* Who lends us its port, and how it gets on; NULL: nobody ever does. */
static json_t *lender_json(const struct hs_shipper *s)
{
	struct hs_ship_lender l;
	json_t *of;

	if (s->carrier != HS_SHIP_CARRIER_LENT)
		return NULL;
	hs_ship_lent_lender(s->port, &l);
	of = json_pack("{s:s, s:I, s:I, s:s?, s:I, s:I}", "state",
		       l.stalled ? "stalled"
		       : l.there ? "lends"
				 : "nobody",
		       "loans", (json_int_t)l.loans, "refused",
		       (json_int_t)l.refused, "last_refusal", l.last_refusal,
		       "broken", (json_int_t)l.broken, "skipped",
		       (json_int_t)l.skipped);
	if (!of || !l.there)
		return of;
	json_object_update_new(
		of,
		json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
			  "s:I}",
			  "name", l.name, "address", l.address, "pid",
			  (json_int_t)l.pid, "uid", (json_int_t)l.uid,
			  "waiting", (json_int_t)l.waiting, "sent",
			  (json_int_t)l.sent, "sent_bytes",
			  (json_int_t)l.sent_bytes, "no_neighbour",
			  (json_int_t)l.no_neighbour, "no_memory",
			  (json_int_t)l.no_memory, "stuck", (json_int_t)l.stuck,
			  "dropped", (json_int_t)l.dropped));
	return of;
}

void hs_shipper_copies(const struct hs_shipper *s,
		       struct hs_shipper_copies *out)
{
	struct hs_ship_sender_stats none;
	struct hs_ship_port_stats port;

	hs_ship_outlet_stats(s->outlet, UINT32_MAX, &none, &port);
	*out = (struct hs_shipper_copies){
		.lent = port.bytes_borrowed,
		.copied = s->bytes_copied + port.bytes_copied,
		.kernel = port.bytes_copied_kernel,
		.lender = port.bytes_copied_lender,
	};
}

json_t *hs_shipper_json(const struct hs_shipper *s)
{
	json_t *ways = json_array();
	struct hs_ship_sender_stats none;
	struct hs_ship_port_stats port;

	if (!s)
		return json_pack("{s:s, s:s}", "carrier", "transport", "why",
				 "ship.carrier");
	for (uint32_t i = 0; i < s->nr_ways; i++)
		json_array_append_new(ways, way_json(s, &s->ways[i]));
	hs_ship_outlet_stats(s->outlet, UINT32_MAX, &none, &port);
	return json_pack(
		"{s:s, s:s, s:b, s:b, s:f, s:I, s:I, s:I, s:I, s:o, s:o, s:o*}",
		"carrier", hs_ship_carrier_names[s->carrier], "why", s->why,
		"key", s->key != NULL, "tls", port.tls, "copies",
		copies(s, &port), "bytes_in_place",
		(json_int_t)port.bytes_borrowed, "bytes_copied",
		(json_int_t)(s->bytes_copied + port.bytes_copied),
		"bytes_copied_kernel", (json_int_t)port.bytes_copied_kernel,
		"bytes_copied_lender", (json_int_t)port.bytes_copied_lender,
		"port", port_json(&port), "collectors", ways, "lender",
		lender_json(s));
}
