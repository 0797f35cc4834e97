/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see sockets.h. */
#include "rdma/sockets.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define EVENTS_A_TURN	64
#define ACCEPTS_A_TURN	64
#define LISTEN_PAUSE_NS (100 * HS_NS_PER_MS)

static void pause_listener(struct hs_sockets *s, uint32_t i, bool pause)
{
	struct hs_listener *l = &s->listeners[i];
	struct epoll_event ev = {
		.events = pause ? 0 : EPOLLIN,
		.data.u64 = hs_hub_tag_make(HS_SOCKETS_TAG_LISTENER, i),
	};

	s->hub.stats.system_calls++;
	epoll_ctl(s->hub.epoll_fd, EPOLL_CTL_MOD, l->fd, &ev);
	l->paused_until_ns = pause ? s->hub.now_ns + LISTEN_PAUSE_NS : 0;
	if (pause)
		hs_hub_timer_by(&s->hub, l->paused_until_ns);
}

static void accept_one(struct hs_sockets *s, int fd)
{
	if (s->ops->accepted(s, fd))
		return;
	hs_hub_count_cut(&s->hub, HS_TRANSPORT_CUT_FULL);
	hs_log_limited(HS_LOG_WARN, s->hub.base.ops->name,
		       "no room for another peer nr_peers=%u",
		       s->hub.stats.nr_peers);
}

static void accept_some(struct hs_sockets *s, uint32_t i)
{
	for (int n = 0; n < ACCEPTS_A_TURN; n++) {
		int fd = accept4(s->listeners[i].fd, NULL, NULL,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		s->hub.stats.system_calls++;
		if (fd >= 0) {
			accept_one(s, fd);
			continue;
		}
		if (errno == EAGAIN)
			return;
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
		    errno == ENOBUFS) {
			hs_log_limited(HS_LOG_WARN, s->hub.base.ops->name,
				       "cannot accept for now: %s",
				       strerror(errno));
			pause_listener(s, i, true);
			return;
		}
	}
}

uint64_t hs_sockets_tick(struct hs_hub *h)
{
	struct hs_sockets *s = (struct hs_sockets *)h;
	uint64_t next = UINT64_MAX;

	for (uint32_t i = 0; i < s->nr_listeners; i++) {
		uint64_t until = s->listeners[i].paused_until_ns;

		if (until && until <= h->now_ns)
			pause_listener(s, i, false);
		else if (until && until < next)
			next = until;
	}
	return next;
}

static void on_event(struct hs_sockets *s, const struct epoll_event *ev)
{
	uint32_t id = (uint32_t)ev->data.u64;
	uint32_t tag = hs_hub_tag_of(ev);
	struct hs_link *l;

	if (tag == HS_SOCKETS_TAG_LISTENER) {
		accept_some(s, id);
	} else if (tag == HS_SOCKETS_TAG_LINK) {
		l = hs_hub_link(&s->hub, id);
		if (l && l->state != HS_LINK_DOOMED)
			s->ops->event(l, ev->events);
	}
	/* The timer is looked at after the sockets, each time. */
}

static void turn_begin(struct hs_hub *h)
{
	h->in_poll = true;
	h->now_ns = hs_clock_mono_ns();
	hs_hub_flush(h);
}

void hs_sockets_turn_with(struct hs_sockets *s,
			  const struct epoll_event *events, int nr_events)
{
	turn_begin(&s->hub);
	for (int i = 0; i < nr_events; i++)
		on_event(s, &events[i]);
}

int hs_sockets_turn(struct hs_sockets *s, int timeout_ms)
{
	struct hs_hub *h = &s->hub;
	struct epoll_event events[EVENTS_A_TURN];
	int nr;

	turn_begin(h);
	if (h->borrowed)
		return 0;
	nr = hs_hub_wait(h, events, EVENTS_A_TURN, timeout_ms);
	if (nr < 0)
		return nr;
	for (int i = 0; i < nr; i++)
		on_event(s, &events[i]);
	return 0;
}

void hs_sockets_turn_end(struct hs_sockets *s)
{
	struct hs_hub *h = &s->hub;

	hs_hub_timer_run(h);
	hs_hub_flush(h);
	if (h->dirty)
		hs_hub_wake(h);
	h->in_poll = false;
}

int hs_sockets_listen(struct hs_sockets *s, const struct sockaddr *at,
		      socklen_t at_bytes)
{
	int fd, one = 1, rc;

	if (s->nr_listeners == HS_SOCKETS_LISTENERS_MAX)
		return -ENOSPC;
	fd = socket(at->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
		    0);
	if (fd < 0)
		return -errno;
	rc = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
			     bind(fd, at, at_bytes) || listen(fd, 1024)
		     ? -errno
		     : hs_hub_watch(&s->hub, fd, EPOLLIN,
				    hs_hub_tag_make(HS_SOCKETS_TAG_LISTENER,
						    s->nr_listeners));
	if (rc) {
		close(fd);
		return rc;
	}
	s->listeners[s->nr_listeners++].fd = fd;
	return fd;
}

void hs_sockets_close(struct hs_sockets *s)
{
	for (uint32_t i = 0; i < s->nr_listeners; i++)
		close(s->listeners[i].fd);
	s->nr_listeners = 0;
}
