/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see node.h. */
#include "node.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/attach.h"
#include "agent/lanes.h"
#include "agent/shm_read.h"
#include "agent/tally_send.h"
#include "rdma/wire.h"

char node_where[256];

void node_die(const char *format, ...)
{
	va_list args;

	fprintf(stderr, "kill: %s: ", node_where);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	_exit(1);
}

#define COORDINATOR 0x0000000100000001ull

#define MUST(cond)                                                             \
	do {                                                                   \
		if (!(cond))                                                   \
			node_die("%s:%d: %s", __FILE__, __LINE__, #cond);      \
	} while (0)

/* ---- what it would send -------------------------------------------------- */

static void keep_answer(struct node *n, const struct hs_wire_answer *a)
{
	uint32_t i = 0;

	while (i < n->nr_answers &&
	       !hs_wire_trace_equal(&n->answers[i].trace, &a->trace))
		i++;
	MUST(i < NODE_ANSWERS_MAX);
	if (!(a->trace.hi | a->trace.lo))
		node_die("an answer about no trace");
	if (i == n->nr_answers)
		n->nr_answers++;
	n->answers[i] =
		(struct node_answer){a->trace,	    a->state,	  a->flags,
				     a->nr_buffers, a->nr_crumbs, a->nr_bytes};
}

static uint64_t to_coordinator(void *ctx,
			       const struct hs_wire_trace_id *primary,
			       uint32_t attempt, uint16_t type,
			       const void *payload, uint32_t payload_bytes)
{
	struct node *n = ctx;
	struct hs_wire_reader r = hs_wire_reader_make(payload, payload_bytes);
	const struct hs_wire_group *g = hs_wire_take_group(&r);

	(void)primary;
	(void)attempt;
	MUST(g);
	for (uint32_t i = 0; i < g->nr; i++) {
		const struct hs_wire_crumb *crumbs;
		const struct hs_wire_answer *a =
			hs_wire_take_answer(&r, &crumbs);

		MUST(a);
		keep_answer(n, a);
	}
	MUST(hs_wire_done(&r));
	if (type == HS_WIRE_TRIGGER)
		n->last = (struct hs_wire_stored){g->trigger.origin,
						  g->trigger.key};
	if (type == HS_WIRE_TRIGGER && !strcmp(g->trigger.name, "lateral"))
		n->group_nr = g->nr;
	return COORDINATOR;
}

static bool to_node(void *ctx, uint64_t node, uint16_t type,
		    const void *payload, uint32_t payload_bytes)
{
	(void)node;
	return to_coordinator(ctx, NULL, 0, type, payload, payload_bytes) != 0;
}

static enum hs_agent_shipped ship(void *ctx, const struct hs_agent_slice *slice)
{
	struct node *n = ctx;
	const struct hs_tenant *t = n->w.tenants[slice->domain];
	struct node_slice *s = &n->slices[n->nr_slices];
	uint64_t pool_bytes;

	MUST(t && n->nr_slices < NODE_SLICES_MAX);
	pool_bytes = hs_tenant_pool_bytes(t);
	if (slice->pool_offset > pool_bytes ||
	    slice->head.length_bytes > pool_bytes - slice->pool_offset)
		node_die("a slice from beyond its domain's pool");
	n->nr_slices++;
	s->head = slice->head;
	s->domain = slice->domain;
	s->at = (const uint8_t *)t->pools[0].base + slice->pool_offset;
	s->data = malloc(slice->head.length_bytes + 1u);
	MUST(s->data);
	hs_shm_read_bytes(s->data, s->at, slice->head.length_bytes);
	/* Every other one lies with a port until it is acknowledged. */
	s->lent = n->nr_slices % 2 && slice->head.final;
	return s->lent ? HS_AGENT_SHIP_LENT : HS_AGENT_SHIP_COPIED;
}

static const struct hs_agent_ops ops = {to_coordinator, to_node, ship, NULL};

/* ---- the worker ---------------------------------------------------------- */

static struct hs_agent_listener listeners[NODE_DOMAINS];
static char sockets[NODE_DOMAINS][108];

static void settings_fill(struct node *n)
{
	struct hs_agent_settings *s = &n->w.settings;

	for (uint32_t i = 0; i < NODE_DOMAINS; i++) {
		snprintf(sockets[i], sizeof(sockets[i]), "%s/%u", n->dir, i);
		listeners[i] = (struct hs_agent_listener){
			.name = i ? "other" : "default",
			.socket = sockets[i],
			.pool_bytes = NODE_BUFFERS * NODE_BUFFER_BYTES,
			.buffer_bytes = NODE_BUFFER_BYTES,
			.mode = 0600,
		};
	}
	s->domains.items = listeners;
	s->domains.nr_items = NODE_DOMAINS;
	s->nr_processes = 64;
	s->nr_domain_processes = 32;
	s->nr_lanes = 4;
	s->lane_entries = 64;
	s->nr_slots = 8;
	s->nr_operations = 8;
	s->nr_rings = 1;
	s->ring_words = 16;
}

static struct hs_agent_config core_config(void)
{
	return (struct hs_agent_config){
		.node_id = 0x0000000700000001ull,
		.index_seed = 42,
		.nr_groups = 96,
		.nr_fired = 192,
		.nr_pending = 8,
		.open_ship_ns = 1000000,
		.evict_percent = 80,
	};
}

static void epoll_make(struct node *n)
{
	n->w.epoll = epoll_create1(EPOLL_CLOEXEC);
	MUST(n->w.epoll >= 0);
}

static void keeper_make(struct node *n)
{
	int ends[2];

	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
	n->w.keeper = ends[0];
	n->keeper = ends[1];
	fcntl(n->keeper, F_SETFL, O_NONBLOCK);
	MUST(hs_held_make(&n->kept) == 0);
}

/* Nobody is there to send to. */
static void members_make(struct node *n)
{
	struct hs_members_config config = {.nr = 8};

	n->w.members = calloc(1, hs_members_size_bytes(&config));
	MUST(n->w.members);
	hs_members_create(n->w.members, &config);
}

static void core_make(struct node *n)
{
	struct hs_agent_config config = core_config();

	n->w.core_memory = calloc(1, hs_agent_core_size_bytes(&config));
	MUST(n->w.core_memory);
	n->w.core =
		hs_agent_core_create(n->w.core_memory, n->w.node_ledger.base,
				     &config, &ops, n, n->w.now_ns, 0);
	MUST(n->w.core);
	n->w.node_id = hs_agent_core_node(n->w.core);
	members_make(n);
}

void node_make(struct node *n)
{
	struct hs_agent_config config = core_config();

	memset(n, 0, sizeof(*n));
	snprintf(n->dir, sizeof(n->dir), "/tmp/hs-kill-XXXXXX");
	MUST(mkdtemp(n->dir));
	settings_fill(n);
	epoll_make(n);
	keeper_make(n);
	n->w.now_ns = n->w.began_ns = 1000000000ull;
	/* A tick is a nanosecond: it only has to be the same for all. */
	n->w.calibrate.now = (struct hs_calibration){1, 0, 0, 1ull << 32};
	MUST(hs_memfd_create(&n->w.node_ledger, "hs-node-ledger",
			     hs_agent_node_ledger_bytes(&config), 0) == 0);
	core_make(n);
	MUST(hs_worker_store(&n->w, "node", n->w.node_ledger.fd) == 0);
	MUST(hs_attach_make(&n->w) == 0);
	node_keep(n);
}

void node_adopt(struct node *n, const struct node *before)
{
	/* Word by word: a string instruction is stepped byte by byte. */
	n->w.settings.domains = before->w.settings.domains;
	n->w.settings.nr_processes = before->w.settings.nr_processes;
	n->w.settings.nr_domain_processes =
		before->w.settings.nr_domain_processes;
	/* What a collector got from the predecessor it still has. */
	for (uint32_t i = 0; i < before->nr_slices; i++) {
		n->slices[i] = before->slices[i];
		n->slices[i].lent = false; /* its port ended with it */
	}
	n->nr_slices = n->nr_acked = before->nr_slices;
	epoll_make(n);
	keeper_make(n);
	n->w.now_ns = n->w.began_ns = before->w.now_ns + 1000000;
	n->w.calibrate = before->w.calibrate;
	MUST(hs_held_make(&n->w.held) == 0);
	for (uint32_t i = 0; i < before->kept.nr_items; i++) {
		const struct hs_held_item *item = &before->kept.items[i];

		MUST(hs_held_put(&n->w.held, item->name, dup(item->fd)) == 0);
		MUST(hs_held_put(&n->kept, item->name, dup(item->fd)) == 0);
	}
	MUST(hs_held_attach(&n->w.held, "node", &n->w.node_ledger, 1u << 30,
			    HS_MEMFD_POPULATE) == 0);
	core_make(n);
	hs_tenants_adopt(&n->w);
	hs_guests_adopt(&n->w);
	hs_held_free(&n->w.held);
	/* Attached already, and nobody new comes: no listeners. */
	n->w.settings.domains.nr_items = 0;
	MUST(hs_attach_make(&n->w) == 0);
	node_keep(n);
}

void node_keep(struct node *n)
{
	struct hs_held_message m;
	int fd;

	while (hs_held_receive(n->keeper, &m, &fd) > 0) {
		if (m.type == HS_HELD_STORE && fd >= 0)
			MUST(hs_held_put(&n->kept, m.name, fd) == 0);
		else if (m.type == HS_HELD_DROP)
			hs_held_drop(&n->kept, m.name);
	}
}

const char *node_socket(const struct node *n, uint32_t domain)
{
	(void)n;
	return sockets[domain];
}

void node_serve(struct node *n)
{
	struct epoll_event events[16];
	int nr = epoll_wait(n->w.epoll, events, 16, 0);

	for (int i = 0; i < nr; i++) {
		uint32_t index = (uint32_t)events[i].data.u64;

		switch ((enum hs_worker_event)(events[i].data.u64 >> 32)) {
		case HS_WORKER_LISTENER:
			hs_attach_accept(&n->w, index);
			break;
		case HS_WORKER_PENDING:
			hs_attach_pending(&n->w, index);
			break;
		case HS_WORKER_GUEST_LINE:
			hs_attach_line(&n->w, index);
			break;
		default:
			break;
		}
	}
	node_keep(n);
}

/* The port reads it no more; until now nobody may have written there. */
static void give_back(struct node *n, struct node_slice *s)
{
	if (!s->lent)
		return;
	for (uint32_t i = 0; i < s->head.length_bytes; i++)
		if (s->at[i] != s->data[i])
			node_die("memory changed that was with the port");
	s->lent = false;
	hs_agent_core_returned(n->w.core, s->head.ship_key,
			       s->head.length_bytes);
}

void node_ack(struct node *n)
{
	for (; n->nr_acked < n->nr_slices; n->nr_acked++) {
		struct {
			struct hs_wire_slice_ack head;
			uint64_t key;
		} m = {{1, 0}, n->slices[n->nr_acked].head.ship_key};

		hs_agent_core_message(n->w.core, 98, HS_WIRE_SLICE_ACK, &m,
				      sizeof(m), n->w.now_ns);
		give_back(n, &n->slices[n->nr_acked]);
	}
}

void node_stored(struct node *n)
{
	hs_agent_core_message(n->w.core, 99, HS_WIRE_STORED, &n->last,
			      sizeof(n->last), n->w.now_ns);
}

void node_work(struct node *n)
{
	n->w.now_ns += 1000000;
	hs_lanes_scan(&n->w);
	hs_attach_round(&n->w);
	hs_lanes_round(&n->w);
	hs_agent_core_tick(n->w.core, n->w.now_ns);
}

void node_round(struct node *n)
{
	if (!n->silent)
		node_ack(n);
	node_work(n);
	node_keep(n);
	node_check(n);
}

void node_check(const struct node *n)
{
	const char *why = "";

	if (!hs_agent_core_check(n->w.core, &why))
		node_die("the sums do not add up: %s", why);
	for (uint32_t d = 0; d < NODE_DOMAINS; d++) {
		struct hs_agent_domain_stats s;

		if (!n->w.tenants[d])
			continue;
		hs_agent_core_domain_stats_get(n->w.core, d, n->w.now_ns, &s);
		if (s.buffers_free + s.buffers_stocked + s.buffers_held !=
		    s.buffers_total)
			node_die("of %llu buffers %llu are free, %llu stocked, "
				 "%llu held",
				 (unsigned long long)s.buffers_total,
				 (unsigned long long)s.buffers_free,
				 (unsigned long long)s.buffers_stocked,
				 (unsigned long long)s.buffers_held);
	}
}

struct hs_guest *node_guest(const struct node *n, pid_t pid)
{
	struct hs_guest *found = NULL;

	for (uint32_t i = 0; i < n->w.nr_guests; i++)
		if (n->w.guests[i] && n->w.guests[i]->pid == pid &&
		    !n->w.guests[i]->dead)
			found = n->w.guests[i];
	return found;
}

void node_dead(struct node *n, struct hs_guest *g)
{
	hs_attach_exit(&n->w, g->index);
}

/* ---- what was said and sent ---------------------------------------------- */

const struct node_answer *node_answer(const struct node *n,
				      struct hs_wire_trace_id id)
{
	for (uint32_t i = 0; i < n->nr_answers; i++)
		if (hs_wire_trace_equal(&n->answers[i].trace, &id))
			return &n->answers[i];
	return NULL;
}

uint64_t node_bytes(const struct node *n, struct hs_wire_trace_id id)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < n->nr_slices; i++)
		if (hs_wire_trace_equal(&n->slices[i].head.trace, &id))
			bytes += n->slices[i].head.length_bytes;
	return bytes;
}

static bool settled(const struct node *n, struct hs_wire_trace_id id)
{
	const struct node_answer *a = node_answer(n, id);

	if (!a)
		return false;
	return a->state == HS_WIRE_STATE_UNKNOWN ||
	       (a->state != HS_WIRE_STATE_OPEN &&
		node_bytes(n, id) >= a->nr_bytes);
}

void node_fire(struct node *n, const struct hs_wire_trace_id *ids, uint32_t nr)
{
	uint32_t rounds = 0;
	bool done = false;

	for (uint32_t i = 0; i < nr; i++)
		MUST(hs_agent_core_fire(n->w.core, "seen", &ids[i], 1,
					n->w.now_ns) == 0);
	while (!done || rounds < NODE_SETTLE_LEAST) {
		if (rounds++ == NODE_SETTLE_ROUNDS)
			node_die("unanswered after %u rounds",
				 NODE_SETTLE_ROUNDS);
		node_round(n);
		done = true;
		for (uint32_t i = 0; i < nr; i++)
			done &= settled(n, ids[i]);
	}
}

void node_gone(struct node *n)
{
	for (uint32_t i = 0; i < n->w.nr_guests; i++)
		if (n->w.guests[i])
			node_dead(n, n->w.guests[i]);
	node_round(n);
	for (uint32_t d = 0; d < NODE_DOMAINS; d++)
		if (n->w.tenants[d] && hs_agent_core_stocked(n->w.core, d) != 0)
			node_die("%u buffers are stocked at nobody",
				 hs_agent_core_stocked(n->w.core, d));
}

void node_forget(struct node *n)
{
	for (uint32_t i = 0; i < n->nr_slices; i++)
		free(n->slices[i].data);
	n->nr_slices = n->nr_acked = n->nr_answers = 0;
}

void node_free(struct node *n)
{
	node_forget(n);
	hs_attach_free(&n->w);
	hs_guests_free(&n->w);
	hs_tenants_free(&n->w);
	hs_memfd_close(&n->w.node_ledger);
	free(n->w.core_memory);
	free(n->w.members);
	hs_tally_free(&n->w);
	hs_held_free(&n->w.held);
	hs_held_free(&n->kept);
	close(n->w.epoll);
	close(n->w.keeper);
	close(n->keeper);
	for (uint32_t d = 0; n->dir[0] && d < NODE_DOMAINS; d++)
		unlink(sockets[d]);
	if (n->dir[0])
		rmdir(n->dir);
}
