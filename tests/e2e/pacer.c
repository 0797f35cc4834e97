/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pacer - an application under open-loop load, for tests that harm its agent.
 *
 *   pacer SOCKET RATE SECONDS BYTES TRIGGER_EVERY RECORD
 *
 * Request i is due at i/RATE whatever became of those before it. Each is one
 * trace: a span, BYTES of payload, and for one in TRIGGER_EVERY (0: none) a
 * trigger "pacer" at once. RECORD gets one struct record a request, in order.
 * RATE 0: as fast as it goes, for filling a pool. Ends early on the end of its
 * standard input. Prints one line of counts.
 *
 * The time of a request runs from when it was due, so that a stall of any
 * length counts for everybody whom it kept waiting.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "hs/hindsight.h"

#define ATTACH_NS     (20 * HS_NS_PER_SEC)
#define LOOK_EVERY_NS (10 * HS_NS_PER_MS)
#define PAYLOAD_BYTES 256u

enum record_flag {
	RECORD_TRIGGERED = 1,
	RECORD_REFUSED = 2, /* the trigger was not taken */
};

/* Little-endian, 40 bytes; kills.py reads it. */
struct record {
	uint64_t due_ns;  /* monotonic */
	uint32_t late_ns; /* from due to done; saturates */
	uint32_t took_ns; /* from begun to done */
	uint64_t trace_hi, trace_lo;
	uint32_t flags;
	uint32_t reserved;
};
_Static_assert(sizeof(struct record) == 40, "as kills.py reads it");

static uint32_t saturated(uint64_t ns)
{
	return ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
}

static void request(struct hs_trigger *trigger, size_t size_bytes,
		    struct record *r)
{
	static const char payload[PAYLOAD_BYTES] = "a request's own words";
	uint64_t began_ns = hs_clock_mono_ns();
	struct hs_trace *trace = hs_trace_begin(NULL, NULL);
	struct hs_trace_id id = hs_trace_id_get(trace);
	struct hs_span span;

	hs_span_start(trace, &span, "request", 0);
	for (size_t left = size_bytes; left;) {
		size_t n = left < sizeof(payload) ? left : sizeof(payload);

		hs_tracepoint(trace, payload, n);
		left -= n;
	}
	hs_span_end(&span);
	hs_trace_end(trace);
	if (trigger)
		r->flags = hs_trigger_fire(trigger, &id, NULL, 0)
				   ? RECORD_TRIGGERED
				   : RECORD_REFUSED;
	r->trace_hi = id.hi;
	r->trace_lo = id.lo;
	r->took_ns = saturated(hs_clock_mono_ns() - began_ns);
}

static bool input_ended(uint64_t now_ns)
{
	static uint64_t next_ns;
	struct pollfd fd = {.fd = STDIN_FILENO, .events = POLLIN};
	char byte;

	if (now_ns < next_ns)
		return false;
	next_ns = now_ns + LOOK_EVERY_NS;
	return poll(&fd, 1, 0) > 0 && read(STDIN_FILENO, &byte, 1) <= 0;
}

static void await(uint64_t due_ns)
{
	const struct timespec ts = {
		.tv_sec = (time_t)(due_ns / HS_NS_PER_SEC),
		.tv_nsec = (long)(due_ns % HS_NS_PER_SEC),
	};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

static int attach(const char *socket_path)
{
	const struct hs_client_options options = {
		.size_bytes = sizeof(options),
		.socket_path = socket_path,
		.service = "pacer",
	};
	const struct timespec wait = {.tv_nsec = HS_NS_PER_MS};
	uint64_t end_ns = hs_clock_mono_ns() + ATTACH_NS;

	if (hs_client_open(&options))
		return -1;
	while (!hs_client_attached()) {
		if (hs_clock_mono_ns() > end_ns)
			return -1;
		nanosleep(&wait, NULL);
	}
	return 0;
}

static uint64_t run(double rate, double seconds, size_t size_bytes,
		    unsigned long every, FILE *out)
{
	struct hs_trigger *trigger = hs_trigger_define("pacer");
	uint64_t begin_ns = hs_clock_mono_ns();
	uint64_t end_ns = begin_ns + (uint64_t)(seconds * 1e9);
	uint64_t i = 0;

	for (;; i++) {
		struct record r = {.due_ns = hs_clock_mono_ns()};
		bool fires = every && i % every == every - 1;

		if (rate > 0) {
			r.due_ns =
				begin_ns + (uint64_t)((double)i / rate * 1e9);
			await(r.due_ns);
		}
		if (r.due_ns > end_ns || input_ended(r.due_ns))
			return i;
		request(fires ? trigger : NULL, size_bytes, &r);
		r.late_ns = saturated(hs_clock_mono_ns() - r.due_ns);
		if (out && fwrite(&r, sizeof(r), 1, out) != 1)
			return i;
	}
}

int main(int argc, char **argv)
{
	struct hs_client_stats s;
	FILE *out = NULL;
	uint64_t nr;

	if (argc != 7) {
		fprintf(stderr, "usage: pacer SOCKET RATE SECONDS BYTES "
				"TRIGGER_EVERY RECORD\n");
		return 2;
	}
	prctl(PR_SET_TIMERSLACK, 1000);
	if (attach(argv[1])) {
		fprintf(stderr, "pacer: no agent at %s\n", argv[1]);
		return 1;
	}
	if (argv[6][0])
		out = fopen(argv[6], "we");
	puts("attached");
	fflush(stdout);
	nr = run(strtod(argv[2], NULL), strtod(argv[3], NULL),
		 strtoul(argv[4], NULL, 10), strtoul(argv[5], NULL, 10), out);
	if (argv[6][0] && (!out || fclose(out))) {
		fprintf(stderr, "pacer: cannot write %s\n", argv[6]);
		return 1;
	}
	hs_client_stats_get(&s);
	printf("requests=%llu buffers_null=%llu entries_lost=%llu "
	       "handles_lost=%llu triggers_limited=%llu attachments=%llu\n",
	       (unsigned long long)nr, (unsigned long long)s.buffers_null,
	       (unsigned long long)s.entries_lost,
	       (unsigned long long)s.handles_lost,
	       (unsigned long long)s.triggers_limited,
	       (unsigned long long)s.attachments);
	hs_client_close();
	return 0;
}
