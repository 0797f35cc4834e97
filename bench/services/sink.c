/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see sink.h. */
#include "bench/services/sink.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "bench/services/otlp.h"

#define CONNS_MAX  1024u
#define BODY_MAX   (1u << 20)
#define TRACES_MAX (1u << 20)
#define PROBES	   64u
#define EVENTS	   32
#define LOOK_MS	   50

struct trace {
	uint64_t hi, lo; /* 0/0: free */
	uint64_t first_ns;
	uint32_t spans;
	bool edge, decided;
};

struct conn {
	int fd;
	uint8_t *in;
	size_t nr;
};

struct sink {
	struct hs_svc_world *world;
	struct hs_svc_sink_stats *stats;
	struct trace *traces; /* by hash; probed */
	uint32_t *order;      /* by their first span: a ring */
	uint64_t first, last; /* of the ring */
	struct conn conns[CONNS_MAX];
	uint64_t now_ns;
};

/* ---- traces
 * -----------------------------------------------------------------------
 */

static struct trace *place_of(struct sink *s, uint64_t hi, uint64_t lo)
{
	uint64_t at = hs_hash_mix64(hi ^ hs_hash_mix64(lo));
	struct trace *gone = NULL;

	for (uint32_t i = 0; i < PROBES; i++) {
		struct trace *t = &s->traces[(at + i) % TRACES_MAX];

		if (t->hi == hi && t->lo == lo)
			return t;
		/* Decided ones are remembered for as long as nobody wants
		 * their place. */
		if (!t->hi && !t->lo)
			return gone ? gone : t;
		if (t->decided && !gone)
			gone = t;
	}
	return gone;
}

static void take_span(void *ctx, const struct hs_svc_span *span)
{
	struct sink *s = ctx;
	struct trace *t = place_of(s, span->hi, span->lo);

	s->stats->spans++;
	if (!t || s->last - s->first == TRACES_MAX) {
		s->stats->traces_over++;
		return;
	}
	if (t->hi != span->hi || t->lo != span->lo) {
		*t = (struct trace){
			.hi = span->hi, .lo = span->lo, .first_ns = s->now_ns};
		s->order[s->last++ % TRACES_MAX] = (uint32_t)(t - s->traces);
		s->stats->traces++;
	}
	if (t->decided) {
		s->stats->late++;
		return;
	}
	t->spans++;
	t->edge |= span->edge;
}

static void decide(struct sink *s, bool all)
{
	struct hs_svc_sink_stats *k = s->stats;

	while (s->first < s->last) {
		struct trace *t = &s->traces[s->order[s->first % TRACES_MAX]];

		if (!all && s->now_ns - t->first_ns < HS_SVC_SINK_WAIT_NS)
			return;
		s->first++;
		t->decided = true;
		if ((t->edge ||
		     s->world->settings.tracer == HS_SVC_TRACER_HEAD) &&
		    k->nr_kept < HS_SVC_KEPT_MAX)
			k->kept[k->nr_kept++] = (struct hs_svc_kept){
				.hi = t->hi, .lo = t->lo, .spans = t->spans};
	}
}

/* ---- HTTP
 * -------------------------------------------------------------------------
 */

static void drop(struct conn *c)
{
	close(c->fd);
	c->fd = -1;
	c->nr = 0;
}

/* A whole request at the front, or nothing yet. Return: its bytes; 0; -1. */
static int64_t whole(const struct conn *c, size_t *head, size_t *body)
{
	const char *text = (const char *)c->in;
	const char *end = memmem(text, c->nr, "\r\n\r\n", 4);
	const char *line = text;

	if (!end)
		return c->nr > 8192 ? -1 : 0;
	*head = (size_t)(end - text) + 4;
	*body = 0;
	while (line < end) {
		const char *next =
			memmem(line, (size_t)(end + 2 - line), "\r\n", 2);

		if (!strncasecmp(line, "content-length:", 15))
			*body = strtoul(line + 15, NULL, 10);
		line = next + 2;
	}
	if (strncmp(text, "POST ", 5) || *body > BODY_MAX - *head)
		return -1;
	return c->nr >= *head + *body ? (int64_t)(*head + *body) : 0;
}

static void serve(struct sink *s, struct conn *c)
{
	static const char good[] = "HTTP/1.1 200 OK\r\nContent-Type: "
				   "application/x-protobuf\r\n"
				   "Content-Length: 0\r\n\r\n";
	static const char bad[] = "HTTP/1.1 400 Bad Request\r\n"
				  "Content-Length: 0\r\n\r\n";
	ssize_t n = recv(c->fd, c->in + c->nr, BODY_MAX - c->nr, 0);
	size_t head, body;
	int64_t all;

	if (n <= 0) {
		if (n == 0 || errno != EAGAIN)
			drop(c);
		return;
	}
	c->nr += (size_t)n;
	c->in[c->nr] = 0;
	while ((all = whole(c, &head, &body)) > 0) {
		bool ok =
			hs_svc_otlp_read(c->in + head, body, take_span, s) >= 0;
		const char *answer = ok ? good : bad;

		s->stats->posts++;
		s->stats->bytes += (uint64_t)all;
		s->stats->malformed += !ok;
		if (send(c->fd, answer, strlen(answer), MSG_NOSIGNAL) < 0) {
			drop(c);
			return;
		}
		c->nr -= (size_t)all;
		memmove(c->in, c->in + all, c->nr);
	}
	if (all < 0) {
		s->stats->malformed++;
		drop(c);
	}
}

static void welcome(struct sink *s, int listener, int epoll)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	for (uint32_t i = 0; fd >= 0 && i < CONNS_MAX; i++) {
		struct conn *c = &s->conns[i];
		struct epoll_event e = {.events = EPOLLIN, .data.u32 = i};

		if (c->fd >= 0)
			continue;
		if (!c->in)
			c->in = malloc(BODY_MAX + 1);
		if (!c->in || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e))
			break;
		c->fd = fd;
		c->nr = 0;
		return;
	}
	if (fd >= 0)
		close(fd);
}

static int open_listener(struct sink *s)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, n) || listen(fd, 512) ||
	    getsockname(fd, (struct sockaddr *)&a, &n))
		return -errno;
	/* svc_sink.W1 release, pairs svc_sink.R1, svc_sink.R2: it listens
	 * before this. */
	atomic_store_explicit(&s->stats->port, ntohs(a.sin_port),
			      memory_order_release);
	return fd;
}

static int sink_main(struct hs_svc_world *w)
{
	static struct sink s;
	struct epoll_event events[EVENTS],
		e = {.events = EPOLLIN, .data.u32 = UINT32_MAX};
	int listener, epoll = epoll_create1(EPOLL_CLOEXEC);

	s.world = w;
	s.stats = &w->sink;
	s.traces = calloc(TRACES_MAX, sizeof(*s.traces));
	s.order = calloc(TRACES_MAX, sizeof(*s.order));
	for (uint32_t i = 0; i < CONNS_MAX; i++)
		s.conns[i].fd = -1;
	listener = open_listener(&s);
	if (listener < 0 || epoll < 0 || !s.traces || !s.order ||
	    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e))
		return 1;
	/* svc_world.R5 relaxed: the end, nothing more. */
	while (atomic_load_explicit(&w->stop, memory_order_relaxed) < 2) {
		int n = epoll_wait(epoll, events, EVENTS, LOOK_MS);

		s.now_ns = hs_clock_mono_ns();
		for (int i = 0; i < n; i++) {
			if (events[i].data.u32 == UINT32_MAX)
				welcome(&s, listener, epoll);
			else
				serve(&s, &s.conns[events[i].data.u32]);
		}
		decide(&s, false);
	}
	decide(&s, true);
	w->sink.cpu_ns = hs_clock_thread_ns();
	return 0;
}

pid_t hs_svc_sink_start(struct hs_svc_world *w)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid)
		return pid;
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	_exit(sink_main(w));
}
