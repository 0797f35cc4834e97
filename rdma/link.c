/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link.c - one connection, whatever carries it: see link.h
 *
 * Bytes in through the stream parser, bytes out through a ring that the
 * carrier drains. HELLO, PING and PONG live and die here.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "rdma/link.h"
#include "rdma/wire.h"

/* Younger ones are on their way, as it seems. */
#define UNPROVEN_NS (250 * HS_NS_PER_MS)
#define REFUSED_NS  (200 * HS_NS_PER_MS)

void hs_link_doom(struct hs_link *l)
{
	l->state = HS_LINK_DOOMED;
	hs_hub_dirty(l); /* so that a poll() comes, and reaps it */
}

void hs_link_cut(struct hs_link *l, enum hs_transport_cause cause,
		 const char *reason)
{
	if (l->state == HS_LINK_DOOMED || l->state == HS_LINK_REFUSED)
		return;
	hs_hub_count_cut(l->hub, cause);
	hs_log_limited(HS_LOG_WARN, l->hub->base.ops->name,
		       "peer cut off: %s peer=%u node=%llx from=%s", reason,
		       l->id, (unsigned long long)l->peer.node,
		       l->dial ? l->dial->address : "accepted");
	hs_link_doom(l);
}

static uint32_t free_id(struct hs_hub *h)
{
	for (uint32_t i = 0; i < h->limits.nr_peers; i++) {
		uint32_t id = h->next_id++;

		if (id && !h->links[id % h->limits.nr_peers])
			return id;
	}
	return 0;
}

/* Strangers may hold half of the places: who comes on top of these takes the
 * place of the one that has kept us waiting longest, if that was long. */
static bool admit(struct hs_hub *h)
{
	uint32_t limit = h->limits.nr_peers / 2;
	struct hs_link *oldest = NULL;

	if (h->nr_unproven < limit || h->nr_unproven < HS_HUB_UNPROVEN_LEAST)
		return true;
	for (uint32_t i = 0; i < h->limits.nr_peers; i++) {
		struct hs_link *l = h->links[i];

		if (l && !l->dial && !l->was_up && l->state != HS_LINK_DOOMED &&
		    (!oldest || l->since_ns < oldest->since_ns))
			oldest = l;
	}
	if (!oldest || h->now_ns - oldest->since_ns < UNPROVEN_NS)
		return false;
	hs_link_cut(oldest, HS_TRANSPORT_CUT_FLOOD,
		    "too many connections wait to be known");
	return true;
}

int hs_link_init(struct hs_link *l, struct hs_hub *h, struct hs_dial *dial)
{
	size_t room = h->limits.send_queue_bytes;
	size_t least = HS_STREAM_MESSAGE_BYTES;
	uint32_t id;
	void *in;

	if (!dial && !admit(h))
		return -ENOSPC;
	id = free_id(h);
	if (!id)
		return -ENOSPC;
	in = malloc(HS_STREAM_BUFFER_BYTES);
	l->out.room_bytes =
		(room > least ? room : least) + HS_LINK_URGENT_BYTES;
	l->out.data = malloc(l->out.room_bytes);
	if (!in || !l->out.data) {
		free(l->out.data);
		free(in);
		return -ENOMEM;
	}
	hs_stream_init(&l->in, in, sizeof(struct hs_auth_hello));
	l->hub = h;
	l->dial = dial;
	l->id = id;
	l->state = HS_LINK_CONNECTING;
	l->since_ns = h->now_ns;
	l->received_ns = h->now_ns;
	if (dial)
		dial->link = l;
	h->links[id % h->limits.nr_peers] = l;
	h->stats.nr_peers++;
	h->nr_unproven += dial ? 0 : 1;
	l->accepted = !dial;
	hs_hub_timer_by(h, h->now_ns + h->limits.idle_timeout_ns);
	return 0;
}

void hs_link_fini(struct hs_link *l)
{
	l->hub->links[l->id % l->hub->limits.nr_peers] = NULL;
	l->hub->stats.nr_peers--;
	if (l->accepted && !l->was_up)
		l->hub->nr_unproven--;
	hs_auth_end(&l->auth);
	free(l->in.buffer);
	free(l->out.data);
}

static void queue_bytes(struct hs_link_queue *q, const void *data, size_t size)
{
	size_t at = (q->head + q->used_bytes) % q->room_bytes;
	size_t first = q->room_bytes - at;

	if (size == 0)
		return;
	if (first > size)
		first = size;
	memcpy(q->data + at, data, first);
	memcpy(q->data, (const uint8_t *)data + first, size - first);
	q->used_bytes += size;
}

static void queue_tag(struct hs_link *l, const struct hs_wire_header *h,
		      const struct iovec *iov, int nr_iov)
{
	struct iovec pieces[1 + HS_LINK_PIECES_MAX];
	uint8_t tag[HS_WIRE_TAG_BYTES];

	pieces[0] = (struct iovec){(void *)(uintptr_t)h, sizeof(*h)};
	for (int i = 0; i < nr_iov; i++)
		pieces[1 + i] = iov[i];
	hs_auth_seal(&l->auth, l->hub->mac, pieces, 1 + nr_iov, tag);
	queue_bytes(&l->out, tag, sizeof(tag));
}

int hs_link_queue(struct hs_link *l, uint16_t type, const struct iovec *iov,
		  int nr_iov, bool urgent)
{
	bool tagged = hs_auth_tags(&l->auth);
	size_t around = sizeof(struct hs_wire_header) +
			(tagged ? HS_WIRE_TAG_BYTES : 0);
	struct hs_wire_header h;
	size_t payload = 0;
	size_t limit = l->hub->limits.send_queue_bytes;
	uint32_t crc = 0;

	if (nr_iov > HS_LINK_PIECES_MAX)
		return -EMSGSIZE;

	for (int i = 0; i < nr_iov; i++) {
		if (iov[i].iov_len > HS_WIRE_PAYLOAD_MAX_BYTES - payload)
			return -EMSGSIZE;
		payload += iov[i].iov_len;
	}
	if (urgent)
		limit = l->out.room_bytes;
	/* A message always fits into an empty queue, so that none waits for
	 * ever for a room that a small queue never has. */
	if (l->out.used_bytes &&
	    (l->out.used_bytes > limit ||
	     around + payload > limit - l->out.used_bytes)) {
		if (!urgent)
			l->wants_writable = true;
		return -EAGAIN;
	}
	for (int i = 0; i < nr_iov && !tagged; i++)
		crc = hs_crc32c(crc, iov[i].iov_base, iov[i].iov_len);
	h = hs_stream_header(type, l->hub->self.node, ++l->seq,
			     (uint32_t)payload, crc);
	queue_bytes(&l->out, &h, sizeof(h));
	for (int i = 0; i < nr_iov; i++)
		queue_bytes(&l->out, iov[i].iov_base, iov[i].iov_len);
	if (tagged)
		queue_tag(l, &h, iov, nr_iov);
	l->hub->stats.messages_sent++;
	if (type <= HS_WIRE_TYPE_LAST) {
		l->hub->stats.sent[type].messages++;
		l->hub->stats.sent[type].bytes += around + payload;
	}
	hs_hub_dirty(l);
	return 0;
}

int hs_link_peek(struct hs_link *l, struct iovec iov[2], size_t size_bytes)
{
	struct hs_link_queue *q = &l->out;
	size_t first = q->room_bytes - q->head;

	if (size_bytes > q->used_bytes)
		size_bytes = q->used_bytes;
	if (size_bytes == 0)
		return 0;
	iov[0] = (struct iovec){q->data + q->head, size_bytes};
	if (size_bytes <= first)
		return 1;
	iov[0].iov_len = first;
	iov[1] = (struct iovec){q->data, size_bytes - first};
	return 2;
}

void hs_link_took(struct hs_link *l, size_t size_bytes)
{
	struct hs_link_queue *q = &l->out;

	l->hub->stats.bytes_sent += size_bytes;
	q->used_bytes -= size_bytes;
	q->head = q->used_bytes ? (q->head + size_bytes) % q->room_bytes : 0;
}

void hs_link_flushed(struct hs_link *l)
{
	struct hs_hub *h = l->hub;

	if (!l->wants_writable || l->state != HS_LINK_UP ||
	    l->out.used_bytes > h->limits.send_queue_bytes / 2)
		return;
	l->wants_writable = false;
	if (h->events.writable)
		h->events.writable(h->ctx, l->id);
}

void hs_link_connected(struct hs_link *l)
{
	struct hs_wire_hello hello = {
		.role = l->hub->self.role,
		.version_min = HS_WIRE_VERSION,
		.version_max = HS_WIRE_VERSION,
		.credit = UINT32_MAX, /* the carrier has a window of its own */
		.type_last = HS_WIRE_TYPE_LAST,
		.node = l->hub->self.node,
	};
	const struct hs_keyring *keys = hs_hub_keys(l->hub);
	uint8_t nonce[HS_WIRE_NONCE_BYTES] = {0};
	struct iovec iov = {&l->auth.ours, 0};

	if (l->hub->windows.readable)
		hello.flags |= HS_WIRE_HELLO_F_READS;
	if (l->hub->carrier->hello_flags)
		hello.flags |= l->hub->carrier->hello_flags(l);
	memcpy(hello.name, l->hub->self.name, sizeof(hello.name));
	if (keys->nr_keys && hs_random_secure(nonce, sizeof(nonce))) {
		hs_link_doom(l);
		return;
	}
	iov.iov_len =
		hs_auth_begin(&l->auth, keys, !l->accepted, &hello, nonce);
	l->state = HS_LINK_HELLO;
	l->received_ns = l->hub->now_ns;
	hs_link_queue(l, HS_WIRE_HELLO, &iov, 1, true);
}

static void send_ping(struct hs_link *l)
{
	struct hs_wire_ping ping = {.sent_ns = hs_clock_real_ns()};
	struct iovec iov = {&ping, sizeof(ping)};

	hs_link_queue(l, HS_WIRE_PING, &iov, 1, true);
	l->pinged_ns = l->hub->now_ns;
}

static void come_up(struct hs_link *l)
{
	l->in.payload_limit = HS_WIRE_PAYLOAD_MAX_BYTES;
	l->state = HS_LINK_UP;
	l->since_ns = l->hub->now_ns;
	l->was_up = true;
	if (l->accepted)
		l->hub->nr_unproven--;
	if (l->dial && l->dial->was_up)
		l->hub->stats.reconnects++;
	if (l->dial)
		l->dial->was_up = true;
	l->peer.address = l->dial ? l->dial->address : "";
	l->peer.at = l->hub->carrier->at ? l->hub->carrier->at(l) : 0;
	l->hub->events.peer_up(l->hub->ctx, &l->peer);
	if (l->state == HS_LINK_UP && l->hub->carrier->came_up)
		l->hub->carrier->came_up(l);
}

static bool authentic(void *ctx, const struct hs_wire_header *header,
		      const void *payload, const uint8_t tag[HS_WIRE_TAG_BYTES])
{
	struct hs_link *l = ctx;

	return hs_auth_open(&l->auth, l->hub->mac, header, payload, tag);
}

/* What is wrong with the keys both sides' people have to hear: it hangs up when
 * our HELLO has told it, or we do after a moment. */
static void refuse(struct hs_link *l, const char *wrong)
{
	hs_link_cut(l, HS_TRANSPORT_CUT_KEY, wrong);
	l->state = HS_LINK_REFUSED;
	l->since_ns = l->hub->now_ns;
	hs_hub_timer_by(l->hub, l->since_ns + REFUSED_NS);
}

static void take_hello(struct hs_link *l, const struct hs_wire_header *head,
		       const struct hs_wire_hello *hello)
{
	enum hs_transport_cause cause = HS_TRANSPORT_CUT_GARBAGE;
	const char *wrong = NULL;

	if (head->type != HS_WIRE_HELLO || head->payload_bytes < sizeof(*hello))
		wrong = "HELLO is too short";
	else if (hello->version_min > HS_WIRE_VERSION ||
		 hello->version_max < HS_WIRE_VERSION)
		wrong = "speaks no version of ours";
	else if (hello->role < HS_WIRE_ROLE_AGENT ||
		 hello->role > HS_WIRE_ROLE_COLLECTOR)
		wrong = "no such role";
	else if (hello->node != head->from)
		wrong = "HELLO and header name different nodes";
	else if (!hs_wire_name_ok(hello->name))
		wrong = "name is not printable";
	else if (hello->node == l->hub->self.node &&
		 hello->role == l->hub->self.role) {
		wrong = "it is ourselves";
		cause = HS_TRANSPORT_CUT_NAME;
	} else if (hs_auth_hello(&l->auth, hello, head->payload_bytes)) {
		wrong = l->auth.error;
		cause = HS_TRANSPORT_CUT_KEY;
	}
	if (!wrong && l->hub->carrier->speaks_for) {
		wrong = l->hub->carrier->speaks_for(l, hello);
		cause = HS_TRANSPORT_CUT_NAME;
	}
	if (wrong && cause == HS_TRANSPORT_CUT_KEY) {
		refuse(l, wrong);
		return;
	}
	if (wrong) {
		hs_link_cut(l, cause, wrong);
		return;
	}
	l->peer.peer = l->id;
	l->peer.role = hello->role;
	l->peer_reads = hello->flags & HS_WIRE_HELLO_F_READS;
	l->peer_bells = hello->flags & HS_WIRE_HELLO_F_BELLS;
	l->peer_knows = hello->type_last ? hello->type_last : HS_WIRE_WINDOW;
	l->peer.node = hello->node;
	memcpy(l->peer.name, hello->name, sizeof(l->peer.name));
	if (hs_auth_tags(&l->auth)) {
		/* Our PING is what shows the other side that we have the key,
		 * and its PING shows us: nobody says more before. */
		l->in.authentic = authentic;
		l->in.authentic_ctx = l;
		l->state = HS_LINK_PROVE;
	} else {
		come_up(l);
	}
	send_ping(l);
}

/* Answering costs us as much as asking costs it. */
static bool floods(struct hs_link *l)
{
	uint64_t now = l->hub->now_ns;

	if (now - l->heard_ns >= HS_NS_PER_SEC) {
		l->heard_ns = now;
		l->nr_pings_heard = 0;
	}
	return ++l->nr_pings_heard > HS_LINK_PINGS_HEARD_MAX;
}

static void take_ping(struct hs_link *l, const struct hs_wire_header *head,
		      const struct hs_wire_ping *ping)
{
	struct hs_wire_ping pong;
	struct iovec iov = {&pong, sizeof(pong)};
	uint64_t now = hs_clock_real_ns();
	struct hs_transport_clock *k = &l->clock;
	uint64_t rtt;
	int64_t offset;

	if (head->payload_bytes != sizeof(*ping)) {
		hs_link_cut(l, HS_TRANSPORT_CUT_GARBAGE,
			    "PING or PONG of a wrong size");
		return;
	}
	if (head->type == HS_WIRE_PING && floods(l)) {
		hs_link_cut(l, HS_TRANSPORT_CUT_FLOOD, "PING without end");
		return;
	}
	if (head->type == HS_WIRE_PING) {
		/* No room: it hears from us by what fills the queue. */
		pong = (struct hs_wire_ping){ping->sent_ns, now};
		hs_link_queue(l, HS_WIRE_PONG, &iov, 1, true);
		return;
	}
	/* Our clock was set back meanwhile, or the peer made the time up. */
	if (ping->sent_ns > now || now - ping->sent_ns > 60 * HS_NS_PER_SEC)
		return;
	rtt = now - ping->sent_ns;
	offset = (int64_t)(ping->peer_ns - (ping->sent_ns + rtt / 2));
	if (k->nr_pongs++ == 0) {
		k->rtt_ns = rtt;
		k->offset_ns = offset;
		return;
	}
	k->rtt_ns = k->rtt_ns - k->rtt_ns / 8 + rtt / 8;
	k->offset_ns = (int64_t)((uint64_t)k->offset_ns +
				 (uint64_t)((int64_t)((uint64_t)offset -
						      (uint64_t)k->offset_ns) /
					    8));
}

static void take_window(struct hs_link *l, const struct hs_wire_header *head,
			const struct hs_wire_window *window)
{
	const char *wrong;

	if (!l->hub->carrier->window || !l->hub->windows.readable)
		wrong = "WINDOW, and we read nothing";
	else if (head->payload_bytes < sizeof(*window) ||
		 window->about_bytes > HS_WIRE_WINDOW_ABOUT_MAX ||
		 head->payload_bytes - sizeof(*window) != window->about_bytes)
		wrong = "WINDOW of a wrong size";
	else if (!window->size_bytes ||
		 window->address > UINT64_MAX - window->size_bytes)
		wrong = "WINDOW on nothing";
	else
		wrong = l->hub->carrier->window(l, window, window + 1);
	if (wrong)
		hs_link_cut(l, HS_TRANSPORT_CUT_GARBAGE, wrong);
}

static enum hs_transport_cause cause_of(int rc)
{
	switch (rc) {
	case -EALREADY:
		return HS_TRANSPORT_CUT_REPLAY;
	case -EKEYREJECTED:
		return HS_TRANSPORT_CUT_FORGED;
	default:
		return HS_TRANSPORT_CUT_GARBAGE;
	}
}

static void take_messages(struct hs_link *l)
{
	struct hs_wire_header head;
	const void *payload;
	int rc = 0;

	while (l->state != HS_LINK_DOOMED && l->state != HS_LINK_REFUSED) {
		rc = hs_stream_next(&l->in, &head, &payload);
		if (rc != HS_STREAM_MESSAGE)
			break;
		l->hub->stats.messages_received++;
		l->nr_pings = 0;
		if (l->state == HS_LINK_PROVE)
			come_up(l); /* its first tag fits */
		if (l->state == HS_LINK_HELLO)
			take_hello(l, &head, payload);
		else if (head.type == HS_WIRE_HELLO)
			hs_link_cut(l, HS_TRANSPORT_CUT_GARBAGE, "HELLO twice");
		else if (head.type == HS_WIRE_PING || head.type == HS_WIRE_PONG)
			take_ping(l, &head, payload);
		else if (head.type == HS_WIRE_WINDOW)
			take_window(l, &head, payload);
		else
			l->hub->events.message(l->hub->ctx, l->id, head.type,
					       payload, head.payload_bytes);
	}
	if (rc < 0)
		hs_link_cut(l, cause_of(rc), l->in.error_reason);
}

size_t hs_link_room(struct hs_link *l, uint8_t **room)
{
	return hs_stream_room(&l->in, room);
}

void hs_link_came(struct hs_link *l, size_t size_bytes)
{
	l->hub->stats.bytes_received += size_bytes;
	l->received_ns = l->hub->now_ns;
	if (l->state == HS_LINK_REFUSED)
		return; /* the room stays where it is */
	hs_stream_came(&l->in, size_bytes);
	take_messages(l);
}

uint64_t hs_link_tick(struct hs_link *l)
{
	uint64_t now = l->hub->now_ns;
	uint64_t idle = l->hub->limits.idle_timeout_ns;
	uint64_t last;

	if (l->state == HS_LINK_DOOMED)
		return UINT64_MAX;
	if (l->state == HS_LINK_REFUSED) {
		if (now - l->since_ns < REFUSED_NS)
			return l->since_ns + REFUSED_NS;
		hs_link_doom(l);
		return UINT64_MAX;
	}
	if (l->state != HS_LINK_UP) {
		/* Counted from the connection's start: one byte now and then
		 * does not buy more time before HELLO. */
		if (now - l->since_ns < idle)
			return l->since_ns + idle;
		if (l->state == HS_LINK_CONNECTING && !l->accepted)
			hs_link_doom(l);
		else
			hs_link_cut(l, HS_TRANSPORT_CUT_SILENT,
				    "no HELLO in time");
		return UINT64_MAX;
	}
	last = l->received_ns > l->pinged_ns ? l->received_ns : l->pinged_ns;
	if (now - last < idle)
		return last + idle;
	if (l->nr_pings >= HS_LINK_PINGS_MAX) {
		hs_link_cut(l, HS_TRANSPORT_CUT_SILENT, "silent");
		return UINT64_MAX;
	}
	l->nr_pings++;
	send_ping(l);
	return now + idle;
}
