/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: see traverse.h: a relay that coordinators take for the collector,
 * and the collector for a coordinator. It passes every message on as it is and
 * notes when manifests came by, so that the real daemons run unchanged and one
 * clock measures.
 */
#include "bench/traverse.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "rdma/transport_create.h"

#define COLLECTOR_ID   ((uint64_t)2001 << 32 | 1)
#define COORDINATOR_ID ((uint64_t)1999 << 32 | 1)

struct hs_traverse_tap {
	struct hs_transport *front; /* to coordinators */
	struct hs_transport *back;  /* to the collector */
	uint32_t collector;	    /* peer of back; 0: not there */
	uint32_t *speakers; /* of each trace: who sent its manifest last */
	uint64_t *settled_ns;
	uint16_t *nr_answers;
	uint64_t nr_traces;
	char address[128];
	uint64_t nr_stored; /* by the thread, read by others */
	int stop_fd;
	pthread_t thread;
	bool runs;
};

static void note(struct hs_traverse_tap *t, uint32_t peer,
		 const struct hs_wire_manifest *m)
{
	uint64_t i = m->trace.lo - 1;

	if (i >= t->nr_traces)
		return;
	t->speakers[i] = peer;
	t->nr_answers[i] = (uint16_t)m->nr_answers;
	/* tap.C1 relaxed: a time that others poll; it publishes nothing. */
	if (m->settled && !t->settled_ns[i])
		__atomic_store_n(&t->settled_ns[i], hs_clock_mono_ns(),
				 __ATOMIC_RELAXED);
}

static void front_message(void *ctx, uint32_t peer, uint16_t type,
			  const void *payload, uint32_t payload_bytes)
{
	struct hs_traverse_tap *t = ctx;
	struct iovec iov = {(void *)(uintptr_t)payload, payload_bytes};

	if (type == HS_WIRE_MANIFEST &&
	    payload_bytes >= sizeof(struct hs_wire_manifest))
		note(t, peer, payload);
	/* What finds no room is lost: coordinators send it again. */
	if (t->collector)
		(void)hs_transport_send(t->back, t->collector, type, &iov, 1);
}

static void back_message(void *ctx, uint32_t peer, uint16_t type,
			 const void *payload, uint32_t payload_bytes)
{
	struct hs_traverse_tap *t = ctx;
	const struct hs_wire_manifest_ack *ack = payload;
	struct iovec iov = {(void *)(uintptr_t)payload, payload_bytes};

	(void)peer;
	if (type != HS_WIRE_MANIFEST_ACK || payload_bytes != sizeof(*ack))
		return;
	/* tap.C2 relaxed: a counter. */
	__atomic_fetch_add(&t->nr_stored, 1, __ATOMIC_RELAXED);
	if (ack->trace.lo - 1 < t->nr_traces)
		(void)hs_transport_send(t->front,
					t->speakers[ack->trace.lo - 1], type,
					&iov, 1);
}

static void back_up(void *ctx, const struct hs_transport_peer *peer)
{
	struct hs_traverse_tap *t = ctx;

	t->collector = peer->peer;
}

static void back_down(void *ctx, uint32_t peer)
{
	struct hs_traverse_tap *t = ctx;

	if (t->collector == peer)
		t->collector = 0;
}

static void front_up(void *ctx, const struct hs_transport_peer *peer)
{
	(void)ctx;
	(void)peer;
}

static void front_down(void *ctx, uint32_t peer)
{
	(void)ctx;
	(void)peer;
}

static void *run(void *arg)
{
	struct hs_traverse_tap *t = arg;
	struct pollfd fds[3] = {
		{hs_transport_fd(t->front), POLLIN, 0},
		{hs_transport_fd(t->back), POLLIN, 0},
		{t->stop_fd, POLLIN, 0},
	};

	prctl(PR_SET_NAME, "tap");
	while (!fds[2].revents) {
		poll(fds, 3, -1);
		hs_transport_poll(t->front, 0);
		hs_transport_poll(t->back, 0);
	}
	return NULL;
}

static struct hs_transport *end_of(struct hs_traverse_tap *t,
				   const char *carrier, bool front)
{
	static const struct hs_transport_events events[2] = {
		{back_up, back_down, back_message, NULL},
		{front_up, front_down, front_message, NULL},
	};
	struct hs_transport_self self = {
		.role = front ? HS_WIRE_ROLE_COLLECTOR
			      : HS_WIRE_ROLE_COORDINATOR,
		.node = front ? COLLECTOR_ID : COORDINATOR_ID,
		.name = "tap",
	};
	struct hs_transport_settings settings = {0};
	struct hs_transport *transport;
	char why[HS_TRANSPORT_WHY_BYTES];

	while (hs_transport_kinds[settings.kind] &&
	       strcmp(hs_transport_kinds[settings.kind], carrier) != 0)
		settings.kind++;
	if (!hs_transport_kinds[settings.kind]) {
		fprintf(stderr, "hs-perf: there is no carrier '%s'\n", carrier);
		return NULL;
	}
	settings.gid_index = -1;
	transport = hs_transport_create(&settings, &self, NULL, &events[front],
					t, why);
	if (!transport)
		fprintf(stderr, "hs-perf: %s\n", why);
	return transport;
}

static bool begin(struct hs_traverse_tap *t, const char *carrier,
		  const char *listen, const char *collector)
{
	int port;

	t->front = end_of(t, carrier, true);
	t->back = t->front ? end_of(t, carrier, false) : NULL;
	if (!t->back)
		return false;
	port = hs_transport_listen(t->front, listen);
	if (port < 0 || hs_transport_dial(t->back, collector)) {
		fprintf(stderr, "hs-perf: cannot listen at %s or dial %s\n",
			listen, collector);
		return false;
	}
	snprintf(t->address, sizeof(t->address), "%.*s:%d",
		 (int)(strrchr(listen, ':') - listen), listen, port);
	t->stop_fd = eventfd(0, EFD_CLOEXEC);
	t->runs = t->stop_fd >= 0 &&
		  pthread_create(&t->thread, NULL, run, t) == 0;
	return t->runs;
}

struct hs_traverse_tap *
hs_traverse_tap_start(const char *carrier, const char *listen,
		      const char *collector, uint64_t *settled_ns,
		      uint16_t *nr_answers, uint64_t nr_traces)
{
	struct hs_traverse_tap *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->stop_fd = -1;
	t->settled_ns = settled_ns;
	t->nr_answers = nr_answers;
	t->nr_traces = nr_traces;
	t->speakers = calloc(nr_traces, sizeof(*t->speakers));
	if (t->speakers && begin(t, carrier, listen, collector))
		return t;
	hs_traverse_tap_stop(t);
	return NULL;
}

const char *hs_traverse_tap_address(const struct hs_traverse_tap *t)
{
	return t->address;
}

uint64_t hs_traverse_tap_stored(const struct hs_traverse_tap *t)
{
	/* tap.C3 relaxed: a counter. */
	return __atomic_load_n(&t->nr_stored, __ATOMIC_RELAXED);
}

void hs_traverse_tap_stop(struct hs_traverse_tap *t)
{
	uint64_t one = 1;

	if (!t)
		return;
	if (t->runs && write(t->stop_fd, &one, sizeof(one)) == sizeof(one))
		pthread_join(t->thread, NULL);
	hs_transport_destroy(t->front);
	hs_transport_destroy(t->back);
	if (t->stop_fd >= 0)
		close(t->stop_fd);
	free(t->speakers);
	free(t);
}
