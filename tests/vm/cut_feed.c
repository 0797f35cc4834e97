/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cut_feed.c - two agents and a coordinator that feed a collector until the
 * power fails
 *
 *	cut_feed SHIP CONTROL FIRST
 *
 * Slices of two nodes leave by the agents' own sender over UDP to SHIP, their
 * manifests by the transport to CONTROL: behind its slices for each other
 * trace, before them for the rest. What the collector acknowledged is printed
 * at once, in one write for what came together: "A KEY" a slice, "M TRACE" a
 * manifest; and "up" when it takes some. Traces are numbered from FIRST.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "rdma/transport.h"
#include "ship/outlet.h"
#include "tests/vm/cut.h"

#define WINDOW	48u /* traces under way */
#define WAIT_MS 2

struct trace {
	uint64_t number;
	bool live;
	uint32_t bytes[CUT_NODES]; /* of the slices */
	uint32_t added, settled;   /* of the slices */
	bool asked, acked;	   /* the manifest */
	uint8_t message[CUT_NODES]
		       [sizeof(struct hs_wire_slice) + CUT_SLICE_MAX_BYTES];
};

struct feed;

struct agent {
	struct feed *feed;
	struct hs_ship_outlet *outlet;
	uint32_t node;
	uint32_t users;
	bool up;
};

struct feed {
	struct agent agents[CUT_NODES];
	struct hs_transport *control;
	uint32_t peer;
	bool control_up;
	bool failed;
	struct trace traces[WINDOW];
	uint64_t next;
};

/* ---- slices ---------------------------------------------------------------
 */

static const void *on_bytes(void *ctx, const struct hs_ship_slice *slice)
{
	struct agent *a = ctx;
	const struct trace *t = &a->feed->traces[slice->where];

	return t->message[a->node] + sizeof(struct hs_wire_slice);
}

static void on_settled(void *ctx, const struct hs_ship_slice *slice,
		       bool refused)
{
	struct agent *a = ctx;

	a->feed->traces[slice->where].settled++;
	if (!refused) {
		printf("A %" PRIu64 "\n", slice->head.ship_key);
		return;
	}
	printf("refused slice %" PRIu64 "\n", slice->head.ship_key);
	a->feed->failed = true;
}

static void on_ship_up(void *ctx, uint32_t nr, uint64_t node)
{
	((struct agent *)ctx)->up = true;
}

static void on_ship_down(void *ctx, uint32_t nr, const char *why)
{
	struct agent *a = ctx;

	printf("slices go no more: %s\n", why);
	a->feed->failed = true;
}

static const struct hs_ship_outlet_ops ship_ops = {on_bytes, on_settled,
						   on_ship_up, on_ship_down};

static int agent_start(struct agent *a, const char *to)
{
	const struct hs_ship_udp_config udp = {.bind = "127.0.0.1:0"};
	struct hs_ship_outlet_config config = {
		.sender = {.node = (uint64_t)(a->node + 1) << 32 | 1}};
	const char *why = "no memory";
	struct hs_ship_port *port = hs_ship_udp_create(&udp, &why);

	if (port)
		a->outlet = hs_ship_outlet_create(port, &config, &ship_ops, a);
	if (!a->outlet ||
	    hs_ship_outlet_dial(a->outlet, to, hs_clock_mono_ns(), &why) < 0) {
		fprintf(stderr, "cut_feed: %s: %s\n", to, why);
		return -1;
	}
	return 0;
}

static bool slice_add(struct feed *f, struct trace *t)
{
	struct agent *a = &f->agents[t->added];
	struct hs_ship_slice slice = {.where = (uint64_t)(t - f->traces),
				      .users = &a->users};

	memcpy(&slice.head, t->message[a->node], sizeof(slice.head));
	if (hs_ship_outlet_add(a->outlet, 0, &slice))
		return false;
	t->added++;
	return true;
}

/* ---- manifests ------------------------------------------------------------
 */

static void on_control_up(void *ctx, const struct hs_transport_peer *peer)
{
	struct feed *f = ctx;

	f->peer = peer->peer;
	f->control_up = true;
}

static void on_control_down(void *ctx, uint32_t peer)
{
	struct feed *f = ctx;

	printf("manifests go no more\n");
	f->failed = true;
}

static void on_control_message(void *ctx, uint32_t peer, uint16_t type,
			       const void *payload, uint32_t payload_bytes)
{
	struct feed *f = ctx;
	struct hs_wire_manifest_ack ack;
	uint64_t number;

	if (type != HS_WIRE_MANIFEST_ACK || payload_bytes != sizeof(ack))
		return;
	memcpy(&ack, payload, sizeof(ack));
	number = ack.trace.lo - 1;
	for (uint32_t i = 0; i < WINDOW; i++) {
		struct trace *t = &f->traces[i];

		if (!t->live || t->acked || t->number != number)
			continue;
		t->acked = true;
		printf("M %" PRIu64 "\n", number);
	}
}

static const struct hs_transport_events control_events = {
	on_control_up, on_control_down, on_control_message, NULL};

static int control_start(struct feed *f, const char *to)
{
	const struct hs_transport_self self = {
		.role = HS_WIRE_ROLE_COORDINATOR, .node = 1001, .name = "cut"};

	f->control = hs_transport_tcp_create(&self, NULL, &control_events, f);
	if (f->control && hs_transport_dial(f->control, to) >= 0)
		return 0;
	fprintf(stderr, "cut_feed: %s: %s\n", to, strerror(errno));
	return -1;
}

static void manifest_send(struct feed *f, struct trace *t)
{
	struct hs_bench_slices slices = cut_slices(t->number);
	_Alignas(8) uint8_t manifest[4096];
	struct iovec iov = {.iov_base = manifest};

	iov.iov_len =
		hs_bench_manifest_make(&slices, t->number, t->bytes, manifest);
	if (!hs_transport_send(f->control, f->peer, HS_WIRE_MANIFEST, &iov, 1))
		t->asked = true;
}

/* ---- both -----------------------------------------------------------------
 */

static void trace_begin(struct feed *f, struct trace *t)
{
	struct hs_bench_slices slices = cut_slices(f->next);

	t->number = f->next++;
	t->live = true;
	t->added = t->settled = 0;
	t->asked = t->acked = false;
	for (uint32_t n = 0; n < CUT_NODES; n++)
		t->bytes[n] = hs_bench_slice_make(&slices, t->number, n,
						  t->message[n]) -
			      (uint32_t)sizeof(struct hs_wire_slice);
}

static void trace_step(struct feed *f, struct trace *t)
{
	bool early = t->number % 2;

	if (!t->live || (t->settled == CUT_NODES && t->acked))
		trace_begin(f, t);
	if (!t->asked && (early || t->settled == CUT_NODES))
		manifest_send(f, t);
	while (t->added < CUT_NODES && slice_add(f, t))
		;
}

static void feed_wait(struct feed *f)
{
	struct pollfd fds[CUT_NODES + 1];

	for (uint32_t n = 0; n < CUT_NODES; n++)
		fds[n] = (struct pollfd){hs_ship_outlet_fd(f->agents[n].outlet),
					 POLLIN, 0};
	fds[CUT_NODES] =
		(struct pollfd){hs_transport_fd(f->control), POLLIN, 0};
	(void)poll(fds, CUT_NODES + 1, WAIT_MS);
}

static void feed_run(struct feed *f)
{
	bool said = false;

	while (!f->failed) {
		bool up = f->control_up;

		for (uint32_t n = 0; n < CUT_NODES; n++) {
			struct agent *a = &f->agents[n];

			(void)hs_ship_outlet_run(a->outlet, hs_clock_mono_ns());
			up = up && a->up;
		}
		if (hs_transport_poll(f->control, 0))
			f->failed = true;
		if (up && !said) {
			printf("up\n");
			said = true;
		}
		if (up)
			for (uint32_t i = 0; i < WINDOW; i++)
				trace_step(f, &f->traces[i]);
		/* All that has come goes out in one piece, and now. */
		fflush(stdout);
		feed_wait(f);
	}
	fflush(stdout);
}

int main(int argc, char **argv)
{
	static struct feed f;
	static char out[1 << 16];

	if (argc != 4) {
		fprintf(stderr, "usage: cut_feed SHIP CONTROL FIRST\n");
		return 2;
	}
	/* The collector may start later than we do. */
	hs_log_level_set(HS_LOG_WARN);
	setvbuf(stdout, out, _IOFBF, sizeof(out));
	f.next = strtoull(argv[3], NULL, 10);
	for (uint32_t n = 0; n < CUT_NODES; n++) {
		f.agents[n] = (struct agent){.feed = &f, .node = n};
		if (agent_start(&f.agents[n], argv[1]))
			return 1;
	}
	if (control_start(&f, argv[2]))
		return 1;
	feed_run(&f);
	return 1;
}
