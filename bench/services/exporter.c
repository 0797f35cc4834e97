/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see exporter.h. */
#include "bench/services/exporter.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define QUEUE_SPANS 2048u
#define BATCH_SPANS 512u
#define DELAY_NS    (200 * HS_NS_PER_MS)
#define LOOK_US	    500u
#define ANSWER_MAX  2048u

struct hs_svc_exporter {
	struct hs_svc_world *world;
	struct hs_svc_loop_stats *stats;
	char service[HS_SVC_NAME_BYTES];
	int fd;
	bool sync;
	uint8_t *body;
	/* The queue: head is the loop's, tail the thread's. */
	struct hs_svc_span queue[QUEUE_SPANS];
	_Alignas(64) _Atomic uint64_t head;
	_Alignas(64) _Atomic uint64_t tail;
	_Atomic uint32_t closing;
	pthread_t thread;
};

/* ---- HTTP
 * -----------------------------------------------------------------------
 */

static int dial(struct hs_svc_exporter *e)
{
	const struct hs_svc_settings *s = &e->world->settings;
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
	char port[16];
	int one = 1;
	/* svc_sink.R1 acquire, pairs svc_sink.W1: it listens before this. */
	uint32_t own = atomic_load_explicit(&e->world->sink.port,
					    memory_order_acquire);

	snprintf(port, sizeof(port), "%u", s->otlp_port ? s->otlp_port : own);
	if (getaddrinfo(s->otlp_host, port, &hints, &list))
		return -EHOSTUNREACH;
	e->fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (e->fd >= 0 && connect(e->fd, list->ai_addr, list->ai_addrlen)) {
		close(e->fd);
		e->fd = -1;
	}
	freeaddrinfo(list);
	if (e->fd < 0)
		return -ECONNREFUSED;
	(void)setsockopt(e->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return 0;
}

static bool send_all(int fd, const void *data, size_t bytes, int flags)
{
	const uint8_t *p = data;

	while (bytes) {
		ssize_t n = send(fd, p, bytes, MSG_NOSIGNAL | flags);

		if (n <= 0 && errno != EINTR)
			return false;
		p += n > 0 ? n : 0;
		bytes -= n > 0 ? (size_t)n : 0;
	}
	return true;
}

/* Its status line and headers, and as much of a body as they announce. */
static bool answer(int fd)
{
	char text[ANSWER_MAX + 1];
	size_t nr = 0;

	while (nr < ANSWER_MAX) {
		ssize_t n = recv(fd, text + nr, ANSWER_MAX - nr, 0);
		char *end, *length;
		size_t body;

		if (n <= 0)
			return false;
		nr += (size_t)n;
		text[nr] = '\0';
		end = strstr(text, "\r\n\r\n");
		if (!end)
			continue;
		length = strcasestr(text, "content-length:");
		body = length && length < end ? strtoul(length + 15, NULL, 10)
					      : 0;
		if (nr >= (size_t)(end + 4 - text) + body)
			return !strncmp(text, "HTTP/1.1 2", 10);
	}
	return false;
}

static void post(struct hs_svc_exporter *e, const struct hs_svc_span *spans,
		 size_t nr)
{
	size_t bytes = hs_svc_otlp_write(e->body, e->service, spans, nr);
	char head[512];
	int n = snprintf(head, sizeof(head),
			 "POST %s HTTP/1.1\r\nHost: %s\r\n"
			 "Content-Type: application/x-protobuf\r\n"
			 "Content-Length: %zu\r\n\r\n",
			 e->world->settings.otlp_path,
			 e->world->settings.otlp_host, bytes);

	if ((e->fd < 0 && dial(e)) ||
	    !send_all(e->fd, head, (size_t)n, MSG_MORE) ||
	    !send_all(e->fd, e->body, bytes, 0) || !answer(e->fd)) {
		e->stats->posts_failed++;
		e->stats->spans_dropped += nr;
		if (e->fd >= 0)
			close(e->fd);
		e->fd = -1;
		return;
	}
	e->stats->spans_sent += nr;
	e->stats->bytes_sent += (uint64_t)n + bytes;
}

/* ---- the queue
 * --------------------------------------------------------------------
 */

static void *drain(void *arg)
{
	struct hs_svc_exporter *e = arg;
	uint64_t tail = 0, since = hs_clock_mono_ns();

	for (;;) {
		/* svc_export.R3 acquire, pairs svc_export.W3: what was put
		 * before it is seen below. */
		bool closing =
			atomic_load_explicit(&e->closing, memory_order_acquire);
		/* svc_export.R1 acquire, pairs svc_export.W1: spans. */
		uint64_t head =
			atomic_load_explicit(&e->head, memory_order_acquire);
		uint64_t now = hs_clock_mono_ns();
		uint64_t nr = head - tail;
		uint64_t first = tail % QUEUE_SPANS;

		if (!nr ||
		    (nr < BATCH_SPANS && now - since < DELAY_NS && !closing)) {
			if (closing && !nr)
				break;
			usleep(LOOK_US);
			continue;
		}
		nr = nr < BATCH_SPANS ? nr : BATCH_SPANS;
		nr = nr < QUEUE_SPANS - first ? nr : QUEUE_SPANS - first;
		post(e, &e->queue[first], nr);
		tail += nr;
		/* svc_export.W2 release, pairs svc_export.R2: spans are read.
		 */
		atomic_store_explicit(&e->tail, tail, memory_order_release);
		since = now;
	}
	e->stats->exporter_cpu_ns = hs_clock_thread_ns();
	return NULL;
}

void hs_svc_exporter_put(struct hs_svc_exporter *e,
			 const struct hs_svc_span *span)
{
	/* svc_export.C1 relaxed: this thread's own. */
	uint64_t head = atomic_load_explicit(&e->head, memory_order_relaxed);
	/* svc_export.R2 acquire, pairs svc_export.W2: the place is free. */
	uint64_t tail = atomic_load_explicit(&e->tail, memory_order_acquire);

	if (head - tail == QUEUE_SPANS) {
		e->stats->spans_dropped++;
		return;
	}
	e->queue[head % QUEUE_SPANS] = *span;
	/* svc_export.W1 release, pairs svc_export.R1: the span before it. */
	atomic_store_explicit(&e->head, head + 1, memory_order_release);
}

void hs_svc_exporter_flush(struct hs_svc_exporter *e)
{
	/* svc_export.C2 relaxed: without a thread both are this one's own. */
	uint64_t head = atomic_load_explicit(&e->head, memory_order_relaxed);

	if (!e->sync || !head)
		return;
	for (uint64_t at = 0; at < head; at += BATCH_SPANS)
		post(e, &e->queue[at],
		     head - at < BATCH_SPANS ? head - at : BATCH_SPANS);
	/* svc_export.C3 relaxed: likewise. */
	atomic_store_explicit(&e->head, 0, memory_order_relaxed);
}

struct hs_svc_exporter *hs_svc_exporter_open(struct hs_svc_world *world,
					     struct hs_svc_loop_stats *stats,
					     const char *service, bool sync)
{
	struct hs_svc_exporter *e =
		aligned_alloc(64, (sizeof(*e) + 63) / 64 * 64);

	if (!e)
		return NULL;
	memset(e, 0, sizeof(*e));
	e->world = world;
	e->stats = stats;
	e->sync = sync;
	e->fd = -1;
	snprintf(e->service, sizeof(e->service), "%s", service);
	e->body = malloc(HS_SVC_OTLP_HEAD_MAX +
			 BATCH_SPANS * HS_SVC_OTLP_SPAN_MAX);
	if (!e->body || dial(e) ||
	    (!sync && pthread_create(&e->thread, NULL, drain, e))) {
		fprintf(stderr, "hs-perf services: no OTLP endpoint at %s\n",
			world->settings.otlp_host);
		free(e->body);
		free(e);
		return NULL;
	}
	return e;
}

void hs_svc_exporter_close(struct hs_svc_exporter *e)
{
	if (!e->sync) {
		/* svc_export.W3 release, pairs svc_export.R3: see there. */
		atomic_store_explicit(&e->closing, 1, memory_order_release);
		pthread_join(e->thread, NULL);
	}
	if (e->fd >= 0)
		close(e->fd);
	free(e->body);
	free(e);
}
