/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see port_lent.h. */
#include "ship/port_lent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdpass.h"
#include "base/memfd.h"
#include "ship/lend_ring.h"
#include "ship/place.h"

#define SLOTS	    512u
#define FRAMES	    64u /* handed out at once */
#define LOOK_NS	    (10 * HS_NS_PER_MS)
#define GREETING_NS HS_NS_PER_SEC
/* A loan takes memory and time to begin. */
#define PAUSE_NS      (100 * HS_NS_PER_MS)
#define STALLED_NS    HS_NS_PER_SEC
#define BACKLOG	      16
#define IP6_FRAME_MIN 1232u /* of an MTU of 1280, which IPv6 asks for */

struct lent {
	struct hs_ship_port port;
	struct hs_ship_port_stats stats;
	struct hs_ship_lent_config config;
	int listener;
	/* The lender, or who may become one. */
	int sock; /* -1: nobody */
	bool up;  /* the loan has begun */
	uint64_t look_ns, greet_by_ns, pause_ns;
	struct hs_unix_peer peer;
	struct hs_lend_hello6 hello;
	struct hs_ship_place own; /* that its frames go out from */
	bool ip6;
	/* Of which families collectors are. */
	bool to_ip4, to_ip6;
	struct hs_memfd down, in; /* what we write, and what it writes */
	struct hs_lend_ring out_ring, in_ring;
	/* Since when the out ring's tail stands there. */
	uint32_t tail;
	uint64_t tail_ns;
	struct hs_ship_lender lender; /* sums of all loans */
	uint8_t *frames;
	uint32_t free_frames[FRAMES];
	uint32_t nr_free;
};

static struct lent *lent_of(struct hs_ship_port *p)
{
	return (struct lent *)p;
}

/* ---- a loan's beginning and end -------------------------------------------
 */

static void memory_drop(struct lent *l)
{
	if (l->config.forget)
		l->config.forget(l->in.base);
	hs_memfd_close(&l->down);
	hs_memfd_close(&l->in);
}

static void loan_end(struct lent *l, uint64_t now_ns)
{
	if (l->up)
		l->lender.skipped += l->in_ring.skipped;
	l->up = false;
	memory_drop(l);
	close(l->sock);
	l->sock = -1;
	l->pause_ns = now_ns + PAUSE_NS;
}

static bool may_lend(const struct lent *l, uid_t uid)
{
	if (uid == 0 || uid == geteuid())
		return true;
	for (uint32_t i = 0; i < l->config.nr_lenders; i++)
		if (l->config.lenders[i] == uid)
			return true;
	return false;
}

static void refuse(struct lent *l, int sock, enum hs_lend_refusal refusal)
{
	const struct hs_lend_welcome no = {.magic = HS_LEND_MAGIC,
					   .version = HS_LEND_VERSION_IP6,
					   .refused = (uint16_t)refusal};

	l->lender.refused++;
	l->lender.last_refusal = hs_lend_refusal_text(refusal);
	l->stats.system_calls++;
	/* Who does not listen need not hear it. */
	(void)hs_fdpass_send(sock, &no, sizeof(no), NULL, 0);
}

/* Of frames to a host of that family. */
static uint32_t frame_bytes_of(const struct lent *l, bool ip6)
{
	return l->config.frame_bytes - (ip6 ? HS_LEND_IP6_MORE_BYTES : 0);
}

/* The application's descriptor of what we write can only be read from. */
static int welcome(struct lent *l)
{
	uint32_t frame_bytes = frame_bytes_of(l, l->ip6);
	const struct hs_lend_welcome yes = {
		.magic = HS_LEND_MAGIC,
		.version = l->ip6 ? HS_LEND_VERSION_IP6 : HS_LEND_VERSION_IP4,
		.frame_bytes = frame_bytes,
		.slot_bytes = hs_lend_slot_bytes(frame_bytes, l->ip6),
		.nr_slots = SLOTS,
	};
	char path[32];
	int fds[2], rc;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", l->down.fd);
	fds[0] = open(path, O_RDONLY | O_CLOEXEC);
	if (fds[0] < 0)
		return -errno;
	fds[1] = l->in.fd;
	rc = hs_fdpass_send(l->sock, &yes, sizeof(yes), fds, 2);
	close(fds[0]);
	return rc;
}

static int memory_make(struct lent *l, size_t bytes)
{
	int fd, rc = hs_memfd_create(&l->down, "hs-lend-down", bytes, 0);

	if (!rc)
		rc = hs_memfd_create(&l->in, "hs-lend-up", bytes, 0);
	if (rc)
		return rc;
	/* Read-only for good: no other user can open it anew by /proc. */
	if (fchmod(l->down.fd, 0400) || fchmod(l->in.fd, 0600))
		return -errno;
	/* From here on we only read what it writes. */
	hs_memfd_unmap(&l->in);
	fd = l->in.fd;
	rc = hs_memfd_attach(&l->in, fd, bytes + HS_LEND_WORDS_BYTES,
			     HS_MEMFD_READ_ONLY | HS_MEMFD_POPULATE);
	if (rc)
		l->in.fd = fd;
	else if (l->config.watch)
		rc = l->config.watch(l->in.base, l->in.size_bytes, false);
	return rc;
}

static void loan_begin(struct lent *l, uint64_t now_ns)
{
	uint32_t frame_bytes = frame_bytes_of(l, l->ip6);
	int rc = memory_make(l,
			     hs_lend_memory_bytes(SLOTS, frame_bytes, l->ip6));
	struct hs_lend_down *down = l->down.base;
	const struct hs_lend_up *up = l->in.base;

	if (!rc)
		rc = welcome(l);
	if (rc) {
		refuse(l, l->sock, HS_LEND_REFUSED_MEMORY);
		loan_end(l, now_ns);
		return;
	}
	hs_lend_ring_make(&l->out_ring, true, &down->head, &up->tail,
			  l->down.base, SLOTS, frame_bytes, l->ip6);
	hs_lend_ring_make(&l->in_ring, false, &down->tail, &up->head,
			  l->in.base, SLOTS, frame_bytes, l->ip6);
	l->up = true;
	l->tail = 0;
	l->tail_ns = now_ns;
	l->lender.loans++;
}

static void greet(struct lent *l, uint64_t now_ns)
{
	enum hs_lend_refusal refusal;
	size_t nr_fds;
	ssize_t n = hs_fdpass_recv(l->sock, &l->hello, sizeof(l->hello), NULL,
				   0, &nr_fds);

	l->stats.system_calls++;
	if (n == -EAGAIN && now_ns < l->greet_by_ns)
		return;
	if (n <= 0 && n != -EMSGSIZE && n != -EPROTO) {
		loan_end(l, now_ns);
		return;
	}
	refusal = hs_lend_hello_check(&l->hello, n > 0 ? (size_t)n : 0,
				      l->config.frame_bytes, &l->own);
	l->ip6 = !hs_ship_ip_is_v4(&l->own.ip);
	/* Whom we are to send to may not be known yet. */
	if (!refusal && (l->to_ip4 || l->to_ip6) &&
	    !(l->ip6 ? l->to_ip6 : l->to_ip4))
		refusal = HS_LEND_REFUSED_FAMILY;
	if (refusal) {
		refuse(l, l->sock, refusal);
		loan_end(l, now_ns);
		return;
	}
	loan_begin(l, now_ns);
}

/* Whoever comes next; strangers and a second one are told so at once. Return:
 * whether there may be more of them. */
static bool take_one(struct lent *l, uint64_t now_ns)
{
	struct hs_unix_peer peer;
	int sock =
		accept4(l->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	l->stats.system_calls++;
	if (sock < 0)
		return false;
	if (hs_unix_peer_get(sock, &peer) || !may_lend(l, peer.uid)) {
		refuse(l, sock, HS_LEND_REFUSED_USER);
		close(sock);
	} else if (l->sock >= 0) {
		refuse(l, sock, HS_LEND_REFUSED_BUSY);
		close(sock);
	} else {
		l->peer = peer;
		l->sock = sock;
		l->greet_by_ns = now_ns + GREETING_NS;
	}
	return true;
}

/* It says nothing more; whatever comes is its end. */
static void hear(struct lent *l, uint64_t now_ns)
{
	char byte;
	ssize_t n = recv(l->sock, &byte, 1, MSG_DONTWAIT);

	l->stats.system_calls++;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	loan_end(l, now_ns);
}

static void look(struct lent *l)
{
	uint64_t now_ns = hs_clock_mono_ns();

	if (l->up && (l->out_ring.broken || l->in_ring.broken)) {
		l->lender.broken++;
		loan_end(l, now_ns);
	}
	if (now_ns < l->look_ns)
		return;
	l->look_ns = now_ns + LOOK_NS;
	for (uint32_t i = 0; i < BACKLOG && now_ns >= l->pause_ns; i++)
		if (!take_one(l, now_ns))
			break;
	if (l->up)
		hear(l, now_ns);
	else if (l->sock >= 0)
		greet(l, now_ns);
	if (l->up && (l->out_ring.limit != l->tail ||
		      !hs_lend_ring_waiting(&l->out_ring))) {
		l->tail = l->out_ring.limit;
		l->tail_ns = now_ns;
	}
}

/* ---- frames ---------------------------------------------------------------
 */

static int lent_send(struct hs_ship_port *p, const struct hs_ship_address *to,
		     const void *head, uint32_t head_bytes,
		     const struct hs_ship_port_span *spans, uint32_t nr_spans)
{
	struct lent *l = lent_of(p);
	struct hs_ship_place place;
	uint32_t bytes = head_bytes;
	uint8_t *at;

	memcpy(&place, to, sizeof(place));
	/* The link is none to who is of the other family. */
	if (!l->up || hs_ship_ip_is_v4(&place.ip) == l->ip6) {
		l->stats.no_link++;
		return -EAGAIN;
	}
	at = hs_lend_ring_room(&l->out_ring);
	if (!at) {
		l->stats.full++;
		return -EAGAIN;
	}
	memcpy(at, head, head_bytes);
	for (uint32_t i = 0; i < nr_spans; i++) {
		memcpy(at + bytes, spans[i].data, spans[i].bytes);
		bytes += spans[i].bytes;
	}
	hs_lend_ring_put(&l->out_ring, &place, bytes);
	/* By us into the ring, by the lender into an mbuf. */
	l->stats.bytes_copied += bytes - head_bytes;
	l->stats.bytes_copied_lender += bytes - head_bytes;
	l->stats.frames_sent++;
	l->stats.bytes_sent += bytes;
	return 0;
}

static void lent_flush(struct hs_ship_port *p)
{
	struct lent *l = lent_of(p);

	if (l->up)
		hs_lend_ring_publish(&l->out_ring);
}

static uint32_t lent_receive(struct hs_ship_port *p,
			     struct hs_ship_port_frame *frames, uint32_t nr)
{
	struct lent *l = lent_of(p);
	struct hs_lend_frame in;
	uint32_t got = 0;

	look(l);
	if (!l->up)
		return 0;
	while (got < nr && l->nr_free && hs_lend_ring_next(&l->in_ring, &in)) {
		uint32_t i = l->free_frames[--l->nr_free];
		uint8_t *to = l->frames + (size_t)i * HS_SHIP_FRAME_MAX_BYTES;

		/* It may change while it is copied, and not behind our
		 * back any more. */
		memcpy(to, in.data, in.bytes);
		hs_lend_ring_taken(&l->in_ring);
		frames[got] = (struct hs_ship_port_frame){
			.handle = to, .data = to, .bytes = in.bytes};
		memcpy(&frames[got++].from, &in.place, sizeof(in.place));
		l->stats.frames_received++;
		l->stats.bytes_received += in.bytes;
		l->stats.bytes_copied_in += in.bytes;
	}
	hs_lend_ring_publish(&l->in_ring);
	return got;
}

static void lent_release(struct hs_ship_port *p, void *handle)
{
	struct lent *l = lent_of(p);
	size_t at = (size_t)((uint8_t *)handle - l->frames);

	l->free_frames[l->nr_free++] = (uint32_t)(at / HS_SHIP_FRAME_MAX_BYTES);
}

/* An application that runs to completion makes no call to wake anybody. */
static int lent_fd(const struct hs_ship_port *p)
{
	(void)p;
	return -1;
}

static int lent_resolve(struct hs_ship_port *p, const char *text,
			struct hs_ship_address *out, uint32_t *frame_bytes,
			const char **why)
{
	struct lent *l = lent_of(p);
	struct hs_ship_place place;
	bool ip6;

	*why = "should be an address and a port, as 192.0.2.1:7430 or "
	       "[2001:db8::1]:7430";
	if (!hs_ship_place_parse(text, &place))
		return -EINVAL;
	ip6 = !hs_ship_ip_is_v4(&place.ip);
	*why = "IPv6 needs a ship.mtu of 1280 at least";
	if (ip6 && frame_bytes_of(l, ip6) < IP6_FRAME_MIN)
		return -EINVAL;
	*(ip6 ? &l->to_ip6 : &l->to_ip4) = true;
	memset(out, 0, sizeof(*out));
	memcpy(out, &place, sizeof(place));
	*frame_bytes = frame_bytes_of(l, ip6);
	return 0;
}

/* ---- the rest -------------------------------------------------------------
 */

static void lent_stats(const struct hs_ship_port *p,
		       struct hs_ship_port_stats *out)
{
	const struct lent *l = (const struct lent *)p;

	*out = l->stats;
	out->link_down = !l->up;
}

static uint64_t counter(const uint64_t *at)
{
	/* lend.C3 relaxed: a counter, or a lie. */
	return __atomic_load_n(at, __ATOMIC_RELAXED);
}

void hs_ship_lent_lender(struct hs_ship_port *p, struct hs_ship_lender *out)
{
	struct lent *l = lent_of(p);
	const struct hs_lend_up *up = l->in.base;

	*out = l->lender;
	out->there = l->up;
	if (!l->up)
		return;
	out->uid = l->peer.uid;
	out->pid = l->peer.pid;
	memcpy(out->name, l->hello.base.name, sizeof(out->name));
	hs_ship_place_text(&l->own, out->address);
	out->waiting = hs_lend_ring_waiting(&l->out_ring);
	out->stalled = out->waiting && l->out_ring.limit == l->tail &&
		       hs_clock_mono_ns() - l->tail_ns > STALLED_NS;
	out->skipped += l->in_ring.skipped;
	out->sent = counter(&up->sent);
	out->sent_bytes = counter(&up->sent_bytes);
	out->no_neighbour = counter(&up->no_neighbour);
	out->no_memory = counter(&up->no_memory);
	out->stuck = counter(&up->stuck);
	out->dropped = counter(&up->dropped);
}

static void lent_destroy(struct hs_ship_port *p)
{
	struct lent *l = lent_of(p);

	if (l->sock >= 0)
		loan_end(l, 0);
	if (l->listener >= 0) {
		close(l->listener);
		unlink(l->config.socket);
	}
	free(l->frames);
	free(l);
}

static const struct hs_ship_port_ops lent_ops = {
	.name = "lent",
	.send = lent_send,
	.flush = lent_flush,
	.receive = lent_receive,
	.release = lent_release,
	.fd = lent_fd,
	.resolve = lent_resolve,
	.stats = lent_stats,
	.destroy = lent_destroy,
};

struct hs_ship_port *
hs_ship_lent_create(const struct hs_ship_lent_config *config, const char **why)
{
	struct lent *l;

	*why = "ship.socket has to say where applications find us";
	errno = EINVAL;
	if (!config->socket)
		return NULL;
	*why = "ship.mtu should let 576 to 9216 bytes go in a datagram";
	if (config->frame_bytes < HS_LEND_FRAME_MIN ||
	    config->frame_bytes > HS_LEND_FRAME_MAX)
		return NULL;
	*why = "no memory";
	l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	l->port.ops = &lent_ops;
	l->config = *config;
	l->sock = l->down.fd = l->in.fd = -1;
	l->frames = malloc((size_t)FRAMES * HS_SHIP_FRAME_MAX_BYTES);
	for (uint32_t i = 0; i < FRAMES; i++)
		l->free_frames[l->nr_free++] = i;
	l->listener = l->frames ? hs_unix_listen(config->socket, SOCK_SEQPACKET,
						 config->mode, BACKLOG)
				: -ENOMEM;
	if (l->listener >= 0)
		return &l->port;
	if (l->frames)
		*why = "the socket for applications cannot be listened on";
	errno = -l->listener;
	l->listener = -1;
	lent_destroy(&l->port);
	return NULL;
}
