/* SPDX-License-Identifier: Apache-2.0 */
/*
 * churn - an application whose threads come and go, for the soak.
 *
 *   churn SOCKET SECONDS SEED THREADS TRIGGER_EVERY
 *
 * THREADS threads at a time; each makes a few traces of random sizes, one in
 * TRIGGER_EVERY with a trigger, some left open when their thread ends, and is
 * followed by another. It may be killed at any moment. Prints one line of
 * counts when it ends by itself.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "hs/hindsight.h"

#define THREADS_MAX   32
#define REQUESTS_MAX  40u
#define PAYLOAD_BYTES 512u

struct worker {
	pthread_t thread;
	uint32_t random;
	unsigned long every;
	uint64_t requests;
};

/* Numerical Recipes' generator: the same run for the same seed. */
static uint32_t draw(struct worker *w, uint32_t below)
{
	w->random = w->random * 1664525u + 1013904223u;
	return (w->random >> 8) % below;
}

static void nap(uint64_t ns)
{
	const struct timespec ts = {.tv_nsec = (long)ns};

	nanosleep(&ts, NULL);
}

static void request(struct worker *w, struct hs_trigger *trigger)
{
	static const char payload[PAYLOAD_BYTES] = "here today";
	struct hs_trace *trace = hs_trace_begin(NULL, NULL);
	struct hs_trace_id id = hs_trace_id_get(trace);
	uint32_t size_bytes = draw(w, 8) ? draw(w, 800) : draw(w, 30000);
	struct hs_span span;

	hs_span_start(trace, &span, "request", 0);
	while (size_bytes) {
		uint32_t n =
			size_bytes < PAYLOAD_BYTES ? size_bytes : PAYLOAD_BYTES;

		hs_tracepoint(trace, payload, n);
		size_bytes -= n;
	}
	if (draw(w, 10) == 0)
		nap(draw(w, 3000000));
	hs_span_end(&span);
	/* Some are left open for whoever cleans up behind the thread. */
	if (draw(w, 500))
		hs_trace_end(trace);
	if (w->every && draw(w, (uint32_t)w->every) == 0)
		hs_trigger_fire(trigger, &id, NULL, 0);
	w->requests++;
}

static void *live(void *arg)
{
	struct worker *w = arg;
	struct hs_trigger *trigger = hs_trigger_define("churn");

	for (uint32_t n = 1 + draw(w, REQUESTS_MAX); n; n--) {
		request(w, trigger);
		nap(1000000 + draw(w, 4000000));
	}
	return NULL;
}

int main(int argc, char **argv)
{
	static struct worker workers[THREADS_MAX];
	struct hs_client_options options = {.size_bytes = sizeof(options),
					    .service = "churn"};
	uint64_t end_ns, requests = 0, threads = 0;
	int nr, rc;

	if (argc != 6)
		return 2;
	nr = (int)strtol(argv[4], NULL, 10);
	if (nr < 1 || nr > THREADS_MAX)
		return 2;
	options.socket_path = argv[1];
	rc = hs_client_open(&options);
	if (rc) {
		fprintf(stderr, "churn: did not attach at %s: %s\n", argv[1],
			strerror(-rc));
		return 1;
	}
	end_ns = hs_clock_mono_ns() + (uint64_t)(strtod(argv[2], NULL) * 1e9);
	for (int i = 0; i < nr; i++)
		workers[i].random = (uint32_t)strtoul(argv[3], NULL, 10) +
				    (uint32_t)i * 7919u;
	while (hs_clock_mono_ns() < end_ns) {
		for (int i = 0; i < nr; i++) {
			workers[i].every = strtoul(argv[5], NULL, 10);
			if (pthread_create(&workers[i].thread, NULL, live,
					   &workers[i]))
				return 1;
			threads++;
		}
		for (int i = 0; i < nr; i++)
			pthread_join(workers[i].thread, NULL);
	}
	for (int i = 0; i < nr; i++)
		requests += workers[i].requests;
	printf("requests=%llu threads=%llu\n", (unsigned long long)requests,
	       (unsigned long long)threads);
	hs_client_close();
	return 0;
}
