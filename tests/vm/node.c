/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node.c - one end of a connection over verbs, for scenarios in the guest
 *
 *	node listen HOST:PORT
 *	node dial HOST:PORT SOURCE COUNT
 *
 * The first returns every message; the second sends until COUNT came back,
 * beginning again with whatever connection there is, and checks their bytes.
 * Both print "up" and "down" as it happens, and the second "done".
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rdma/transport_verbs.h"

#define WINDOW	  8u
#define BYTES_MAX 20000u
#define TURNS_MAX 20000 /* patience: of up to 10 ms each */
#define NONE	  0u

struct node {
	struct hs_transport *t;
	uint32_t peer;
	uint32_t nr_back;
	uint32_t under_way;
	bool echo;
};

static uint8_t bytes[BYTES_MAX + 256];

static uint32_t size_of(uint32_t number)
{
	return 8 + number * 997u % (BYTES_MAX - 8);
}

static void on_up(void *ctx, const struct hs_transport_peer *peer)
{
	struct node *n = ctx;

	n->peer = peer->peer;
	n->under_way = 0;
	puts("up");
}

static void on_down(void *ctx, uint32_t peer)
{
	struct node *n = ctx;

	if (n->peer == peer)
		n->peer = NONE;
	puts("down");
}

static void on_message(void *ctx, uint32_t peer, uint16_t type,
		       const void *payload, uint32_t payload_bytes)
{
	struct node *n = ctx;
	struct iovec iov = {(void *)(uintptr_t)payload, payload_bytes};
	uint32_t number;

	if (n->echo) {
		(void)hs_transport_send(n->t, peer, type, &iov, 1);
		return;
	}
	memcpy(&number, payload, sizeof(number));
	if (payload_bytes != size_of(number) ||
	    memcmp((const uint8_t *)payload + 4, bytes + number % 256,
		   payload_bytes - 4) != 0) {
		puts("wrong bytes");
		exit(1);
	}
	n->nr_back++;
	n->under_way--;
}

static void send_some(struct node *n)
{
	while (n->peer != NONE && n->under_way < WINDOW) {
		uint32_t number = n->nr_back + n->under_way;
		struct iovec iov[2] = {
			{&number, 4},
			{bytes + number % 256, size_of(number) - 4}};

		if (hs_transport_send(n->t, n->peer, HS_WIRE_SLICE, iov, 2))
			return;
		n->under_way++;
	}
}

static int run(struct node *n, uint32_t count)
{
	struct pollfd fd = {hs_transport_fd(n->t), POLLIN, 0};

	for (int turns = 0; turns < TURNS_MAX; turns++) {
		/* By the descriptor, as a daemon's own loop waits. */
		poll(&fd, 1, 10);
		if (hs_transport_poll(n->t, 0))
			return 1;
		if (n->echo)
			continue;
		if (n->nr_back >= count) {
			puts("done");
			return 0;
		}
		send_some(n);
	}
	puts("out of patience");
	return 1;
}

/* What is near, as a daemon's status has it. */
static int say_near(const struct hs_transport_self *self,
		    const struct hs_transport_events *events)
{
	struct hs_transport *t =
		hs_transport_verbs_create(self, NULL, NULL, events, NULL);
	struct hs_transport_stats stats;

	if (!t) {
		perror("node");
		return 1;
	}
	hs_transport_stats(t, &stats);
	puts(stats.by);
	hs_transport_destroy(t);
	return 0;
}

int main(int argc, char **argv)
{
	const struct hs_transport_events events = {on_up, on_down, on_message,
						   NULL};
	struct hs_transport_self self = {
		.role = HS_WIRE_ROLE_AGENT, .node = 1, .name = "node"};
	struct hs_transport_verbs_options options = {.spin_ns = 0};
	struct hs_transport_limits limits = {.nr_peers = 8,
					     .idle_timeout_ns = 1000000000};
	struct node n = {.echo = argc == 3};
	int rc;

	if (argc == 2 && !strcmp(argv[1], "near"))
		return say_near(&self, &events);
	if (argc != 3 && argc != 5) {
		fprintf(stderr, "usage: node listen|dial HOST:PORT "
				"[SOURCE COUNT]\n       node near\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 13 + (i >> 8));
	if (!n.echo) {
		self.node = 2;
		snprintf(options.source, sizeof(options.source), "%s", argv[3]);
	}
	n.t = hs_transport_verbs_create(&self, &limits, &options, &events, &n);
	if (!n.t) {
		perror("node");
		return 1;
	}
	rc = n.echo ? hs_transport_listen(n.t, argv[2])
		    : hs_transport_dial(n.t, argv[2]);
	if (rc < 0) {
		fprintf(stderr, "node: %s: %s\n", argv[2], strerror(-rc));
		return 1;
	}
	rc = run(&n, n.echo ? 0 : (uint32_t)atoi(argv[4]));
	hs_transport_destroy(n.t);
	return rc;
}
