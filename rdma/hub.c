/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hub.c - dials, timers and the event loop of one transport: see link.h
 *
 * One epoll for everything, which nests in the owner's loop or is the owner's:
 * the carrier's descriptors, a timer for dials and silence, and an
 * edge-triggered eventfd by which a send() from outside poll() asks for the
 * next one.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "rdma/link.h"
#include "rdma/wire.h"

#define RESOLVE_EVERY	 8u /* failures: a name may have moved */
#define BACKOFF_DOUBLING 16u
#define KEYS_EVERY_NS	 (500 * HS_NS_PER_MS)

const char *const hs_transport_causes[HS_TRANSPORT_CUT_CAUSES] = {
	[HS_TRANSPORT_CUT_GARBAGE] = "garbage",
	[HS_TRANSPORT_CUT_KEY] = "key",
	[HS_TRANSPORT_CUT_FORGED] = "forged",
	[HS_TRANSPORT_CUT_REPLAY] = "replay",
	[HS_TRANSPORT_CUT_FLOOD] = "flood",
	[HS_TRANSPORT_CUT_TLS] = "tls",
	[HS_TRANSPORT_CUT_NAME] = "name",
	[HS_TRANSPORT_CUT_SILENT] = "silent",
	[HS_TRANSPORT_CUT_REFUSED] = "refused",
	[HS_TRANSPORT_CUT_FULL] = "full",
	[HS_TRANSPORT_CUT_USER] = "user",
};

void hs_hub_count_cut(struct hs_hub *h, enum hs_transport_cause cause)
{
	h->stats.peers_cut_off++;
	h->stats.cut[cause]++;
}

int hs_hub_watch(struct hs_hub *h, int fd, uint32_t events, uint64_t tag)
{
	struct epoll_event ev = {.events = events, .data.u64 = tag};

	h->stats.system_calls++;
	return epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

int hs_hub_wait(struct hs_hub *h, struct epoll_event *events, int nr_events,
		int timeout_ms)
{
	int nr;

	h->stats.system_calls++;
	nr = epoll_wait(h->epoll_fd, events, nr_events, timeout_ms);
	if (nr < 0 && errno != EINTR) {
		nr = -errno;
		h->in_poll = false;
		return nr;
	}
	h->now_ns = hs_clock_mono_ns();
	return nr < 0 ? 0 : nr;
}

void hs_hub_timer_by(struct hs_hub *h, uint64_t when_ns)
{
	struct itimerspec at = {
		.it_value = {.tv_sec = (time_t)(when_ns / HS_NS_PER_SEC),
			     .tv_nsec = (long)(when_ns % HS_NS_PER_SEC)},
	};

	if (when_ns == UINT64_MAX || (h->timer_ns && h->timer_ns <= when_ns))
		return;
	h->timer_ns = when_ns;
	h->stats.system_calls++;
	if (timerfd_settime(h->timer_fd, TFD_TIMER_ABSTIME, &at, NULL) != 0)
		hs_log_error(h->base.ops->name, "cannot set the timer: %s",
			     strerror(errno));
}

static void dial_failed(struct hs_hub *h, struct hs_dial *d)
{
	uint32_t doubling = d->nr_failures < BACKOFF_DOUBLING
				    ? d->nr_failures
				    : BACKOFF_DOUBLING;
	uint64_t wait = h->limits.reconnect_min_ns << doubling;

	if (wait > h->limits.reconnect_max_ns)
		wait = h->limits.reconnect_max_ns;
	wait = wait / 2 + hs_random_below(&h->random, wait / 2 + 1);
	if (d->nr_failures++ == 0)
		hs_log_info(h->base.ops->name,
			    "no connection, will keep trying address=%s",
			    d->address);
	d->next_ns = h->now_ns + wait;
	hs_hub_timer_by(h, d->next_ns);
}

static void dial_try(struct hs_hub *h, struct hs_dial *d)
{
	if (d->at.nr == 0 || (d->nr_failures % RESOLVE_EVERY) == 7) {
		struct hs_addresses at;

		if (hs_address_resolve(d->address, 0, &at) == 0)
			d->at = at;
	}
	/* One address an attempt: a host with several takes its turns, since
	 * a refusal may come later than this function returns. */
	if (d->at.nr == 0 ||
	    h->carrier->dial(h, d, d->at_next++ % d->at.nr) != 0)
		dial_failed(h, d);
}

static void reap(struct hs_hub *h, struct hs_link *l)
{
	struct hs_dial *d = l->dial;
	uint64_t up_ns = h->now_ns - l->since_ns;
	bool was_up = l->was_up;
	uint32_t id = l->id;

	h->carrier->release(l);
	if (d) {
		d->link = NULL;
		if (was_up && up_ns > h->limits.reconnect_max_ns)
			d->nr_failures = 0;
		/* Before giving an attempt's wait, try the host's others. */
		if (!was_up && d->at.nr && d->at_next % d->at.nr != 0) {
			d->next_ns = h->now_ns;
			hs_hub_timer_by(h, h->now_ns + 1);
		} else {
			dial_failed(h, d);
		}
	}
	if (was_up)
		h->events.peer_down(h->ctx, id);
}

void hs_hub_wake(struct hs_hub *h)
{
	uint64_t one = 1;

	h->stats.system_calls++;
	/* Edge-triggered: nobody reads it, every write counts. It cannot fill
	 * up in this machine's life. */
	if (write(h->wake_fd, &one, sizeof(one)) != sizeof(one))
		hs_log_limited(HS_LOG_ERROR, h->base.ops->name,
			       "cannot wake: %s", strerror(errno));
}

void hs_hub_dirty(struct hs_link *l)
{
	struct hs_hub *h = l->hub;

	if (l->dirty)
		return;
	if (!h->dirty && !h->in_poll && !h->limits.flushes)
		hs_hub_wake(h);
	l->dirty = true;
	l->dirty_next = h->dirty;
	h->dirty = l;
}

/* One round: a writable() that sends again makes its peer dirty again, and a
 * reader as fast as that would otherwise keep us here for ever. */
void hs_hub_flush(struct hs_hub *h)
{
	struct hs_link *list;

	if (h->carrier->reads_do)
		h->carrier->reads_do(h);
	list = h->dirty;
	h->dirty = NULL;
	while (list) {
		struct hs_link *l = list;

		list = l->dirty_next;
		l->dirty = false;
		if (l->state == HS_LINK_DOOMED)
			reap(h, l);
		else
			h->carrier->flush(l);
	}
}

void hs_hub_flush_now(struct hs_transport *t)
{
	struct hs_hub *h = hs_hub_of(t);

	if (!h->dirty)
		return;
	h->in_poll = true;
	h->now_ns = hs_clock_mono_ns();
	hs_hub_flush(h);
	if (h->dirty)
		hs_hub_wake(h);
	h->in_poll = false;
}

void hs_hub_timer_run(struct hs_hub *h)
{
	uint64_t next;

	if (!h->timer_ns || h->now_ns < h->timer_ns)
		return;
	h->timer_ns = 0;
	next = h->carrier->tick(h);
	for (uint32_t i = 0; i < h->nr_dials; i++) {
		struct hs_dial *d = h->dials[i];

		if (!d->link && d->next_ns <= h->now_ns)
			dial_try(h, d);
		if (!d->link && d->next_ns < next)
			next = d->next_ns;
	}
	for (uint32_t i = 0; i < h->limits.nr_peers; i++) {
		uint64_t at;

		if (!h->links[i])
			continue;
		at = hs_link_tick(h->links[i]);
		if (at < next)
			next = at;
	}
	hs_hub_timer_by(h, next);
}

struct hs_link *hs_hub_link(struct hs_hub *h, uint32_t id)
{
	struct hs_link *l = h->links[id % h->limits.nr_peers];

	return l && l->id == id ? l : NULL;
}

static struct hs_link *link_up(struct hs_transport *t, uint32_t peer)
{
	struct hs_link *l = hs_hub_link(hs_hub_of(t), peer);

	return l && l->state == HS_LINK_UP ? l : NULL;
}

int hs_hub_dial(struct hs_transport *t, const char *address)
{
	struct hs_hub *h = hs_hub_of(t);
	struct hs_dial *d;
	int rc = hs_address_check(address);

	if (rc)
		return rc;
	for (uint32_t i = 0; i < h->nr_dials; i++)
		if (!strcmp(h->dials[i]->address, address))
			return 0; /* kept up already */
	if (h->nr_dials == HS_HUB_DIALS_MAX)
		return -ENOSPC;
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	memcpy(d->address, address, strlen(address) + 1);
	h->dials[h->nr_dials++] = d;
	h->now_ns = hs_clock_mono_ns();
	dial_try(h, d);
	return 0;
}

int hs_hub_undial(struct hs_transport *t, const char *address)
{
	struct hs_hub *h = hs_hub_of(t);
	uint32_t i = 0;
	struct hs_dial *d;

	while (i < h->nr_dials && strcmp(h->dials[i]->address, address) != 0)
		i++;
	if (i == h->nr_dials)
		return -ENOENT;
	d = h->dials[i];
	h->dials[i] = h->dials[--h->nr_dials];
	if (d->link) {
		/* As if it had been accepted: nobody dials it again. */
		d->link->dial = NULL;
		hs_link_doom(d->link);
	}
	free(d);
	return 0;
}

int hs_hub_send(struct hs_transport *t, uint32_t peer, uint16_t type,
		const struct iovec *iov, int nr_iov)
{
	struct hs_link *l = link_up(t, peer);

	if (!l)
		return -ENOTCONN;
	if (type > l->peer_knows)
		return -EOPNOTSUPP;
	return hs_link_queue(l, type, iov, nr_iov, false);
}

int hs_hub_cut(struct hs_transport *t, uint32_t peer)
{
	struct hs_link *l = link_up(t, peer);

	if (!l)
		return -ENOTCONN;
	hs_link_cut(l, HS_TRANSPORT_CUT_REFUSED, "its payload was refused");
	return 0;
}

int hs_hub_clock(struct hs_transport *t, uint32_t peer,
		 struct hs_transport_clock *out)
{
	struct hs_link *l = link_up(t, peer);

	if (!l)
		return -ENOTCONN;
	*out = l->clock;
	return 0;
}

int hs_hub_read(struct hs_transport *t, uint32_t peer, uint64_t offset_bytes,
		uint32_t size_bytes, uint64_t cookie)
{
	struct hs_link *l = link_up(t, peer);
	int rc;

	if (!l)
		return -ENOTCONN;
	rc = l->hub->carrier->read(l, offset_bytes, size_bytes, cookie);
	l->hub->stats.reads_refused += rc != 0;
	return rc;
}

int hs_hub_windows(struct hs_transport *t, const struct hs_transport_windows *w)
{
	struct hs_hub *h = hs_hub_of(t);

	if (w->about_bytes > sizeof(h->windows_about) ||
	    (w->data && !w->size_bytes) || (w->readable && !w->read_done))
		return -EINVAL;
	h->windows = *w;
	if (w->about_bytes)
		memcpy(h->windows_about, w->about, w->about_bytes);
	h->windows.about = h->windows_about;
	return 0;
}

int hs_hub_fd(struct hs_transport *t)
{
	return hs_hub_of(t)->epoll_fd;
}

void hs_hub_stats(struct hs_transport *t, struct hs_transport_stats *out)
{
	*out = hs_hub_of(t)->stats;
	out->nr_keys = hs_hub_of(t)->keys.nr_keys;
}

static void default_limits(struct hs_transport_limits *l)
{
	if (!l->nr_peers)
		l->nr_peers = 1024;
	if (!l->send_queue_bytes)
		l->send_queue_bytes = 4u << 20;
	if (!l->reconnect_min_ns)
		l->reconnect_min_ns = 20 * HS_NS_PER_MS;
	if (!l->reconnect_max_ns)
		l->reconnect_max_ns = 2 * HS_NS_PER_SEC;
	if (!l->idle_timeout_ns)
		l->idle_timeout_ns = 5 * HS_NS_PER_SEC;
}

static int open_keys(struct hs_hub *h)
{
	const struct hs_transport_trust *trust = &h->self.trust;
	char error[HS_KEYRING_ERROR_BYTES];
	int rc;

	if (!trust->key_file)
		return 0;
	h->mac = hs_mac_create();
	h->key_file.path = strdup(trust->key_file);
	if (!h->mac || !h->key_file.path)
		return -ENOMEM;
	rc = hs_keyring_load(&h->key_file, &h->keys, error);
	h->key_file_ns = h->now_ns;
	if (rc && trust->error)
		snprintf(trust->error, HS_TRANSPORT_ERROR_BYTES,
			 "transport.key_file: %s: %s", trust->key_file, error);
	return rc;
}

/* At each connection, so that no signal and no restart is needed: whoever is
 * connected keeps the keys that it has. */
const struct hs_keyring *hs_hub_keys(struct hs_hub *h)
{
	char error[HS_KEYRING_ERROR_BYTES];
	int rc;

	if (!h->key_file.path || h->now_ns - h->key_file_ns < KEYS_EVERY_NS)
		return &h->keys;
	h->key_file_ns = h->now_ns;
	h->stats.system_calls++;
	rc = hs_keyring_refresh(&h->key_file, &h->keys, error);
	if (rc < 0)
		hs_log_error(h->base.ops->name,
			     "the keys stay as they were: "
			     "transport.key_file: %s: %s",
			     h->key_file.path, error);
	else if (rc)
		hs_log_info(h->base.ops->name,
			    "new cluster keys nr=%u preferred=%016llx",
			    h->keys.nr_keys,
			    (unsigned long long)h->keys.ids[0]);
	return &h->keys;
}

static int open_fds(struct hs_hub *h)
{
	int rc;

	h->borrowed = h->limits.epoll_fd > 0 && h->base.ops->turn;
	h->epoll_fd =
		h->borrowed ? h->limits.epoll_fd : epoll_create1(EPOLL_CLOEXEC);
	h->timer_fd =
		timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	h->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (h->epoll_fd < 0 || h->timer_fd < 0 || h->wake_fd < 0)
		return -errno;
	rc = hs_hub_watch(h, h->timer_fd, EPOLLIN | EPOLLET,
			  hs_hub_tag_make(HS_HUB_TAG_TIMER, 0));
	if (rc)
		return rc;
	return hs_hub_watch(h, h->wake_fd, EPOLLIN | EPOLLET,
			    hs_hub_tag_make(HS_HUB_TAG_WAKE, 0));
}

int hs_hub_open(struct hs_hub *h, const struct hs_transport_ops *ops,
		const struct hs_carrier *carrier,
		const struct hs_transport_self *self,
		const struct hs_transport_limits *limits,
		const struct hs_transport_events *events, void *ctx)
{
	uint64_t seed;
	int rc;

	h->epoll_fd = -1;
	h->timer_fd = -1;
	h->wake_fd = -1;
	if (!self->node || !hs_wire_name_ok(self->name))
		return -EINVAL;
	h->base.ops = ops;
	h->carrier = carrier;
	h->self = *self;
	if (limits)
		h->limits = *limits;
	default_limits(&h->limits);
	h->events = *events;
	h->ctx = ctx;
	h->next_id = 1;
	h->now_ns = hs_clock_mono_ns();
	h->links = calloc(h->limits.nr_peers, sizeof(struct hs_link *));
	h->dials = calloc(HS_HUB_DIALS_MAX, sizeof(struct hs_dial *));
	if (!h->links || !h->dials)
		return -ENOMEM;
	rc = hs_random_secure(&seed, sizeof(seed));
	if (rc)
		return rc;
	hs_random_seed(&h->random, seed);
	rc = open_keys(h);
	h->self.trust = (struct hs_transport_trust){0}; /* the caller's */
	return rc ? rc : open_fds(h);
}

void hs_hub_close(struct hs_hub *h)
{
	for (uint32_t i = 0; i < h->nr_dials; i++)
		free(h->dials[i]);
	if (h->wake_fd >= 0)
		close(h->wake_fd);
	if (h->timer_fd >= 0)
		close(h->timer_fd);
	if (h->epoll_fd >= 0 && !h->borrowed)
		close(h->epoll_fd);
	hs_mac_destroy(h->mac);
	explicit_bzero(&h->keys, sizeof(h->keys));
	free(h->key_file.path);
	free(h->links);
	free(h->dials);
}
