/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port_udp.c - frames in UDP datagrams
 *
 * Frames are gathered until flush() and go by one sendmmsg; those of one length
 * to one address go as a single message that the kernel or the device cuts
 * (UDP_SEGMENT), and what was joined on the way in is cut here (UDP_GRO). The
 * slices' bytes are read by the kernel from where they lie, once. What comes is
 * copied from a staging buffer into frames of their own, so that a frame that
 * is kept keeps no other in memory.
 */
#include "ship/port.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/address.h"

#define BATCH		 64u	/* messages of one system call */
#define JOINED_MAX_BYTES 65000u /* of one message */
#define JOINED_MAX	 48u	/* frames of one message */
#define SPANS_MAX	 (BATCH * 24u)
#define HEADS_BYTES	 (256u << 10)
#define BUFFER_BYTES	 (4u << 20)
#define FEW_FRAMES	 64u
#define STAGING_BYTES	 (64u << 10)
#define STAGINGS	 16u
#define HEADERS_V4	 28u
#define HEADERS_V6	 48u

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

HS_WIRE_ASSERT(sizeof(struct sockaddr_in6) <= sizeof(struct hs_ship_address));

struct control {
	_Alignas(struct cmsghdr) char bytes[CMSG_SPACE(sizeof(int))];
};

/* A message being put together. */
struct outgoing {
	struct hs_ship_address to;
	uint32_t first_span, nr_spans;
	uint32_t nr_frames, frame_bytes, bytes;
	bool closed; /* its last frame was shorter: nothing fits behind it */
};

struct udp {
	struct hs_ship_port port;
	struct hs_ship_port_stats stats;
	int fd;
	int family;
	bool segment; /* the kernel takes joined frames */
	uint8_t *frames;
	uint32_t *free_frames;
	uint32_t nr_frames, nr_free;
	/* on the way out */
	struct outgoing out[BATCH];
	uint32_t nr_out, nr_spans, heads_used;
	struct iovec spans[SPANS_MAX];
	uint8_t *heads;
	/* on the way in: stagings next_in .. nr_in - 1 hold what has come */
	uint8_t *staging;
	struct sockaddr_in6 in_from[STAGINGS];
	uint32_t in_bytes[STAGINGS], in_segment[STAGINGS];
	uint32_t nr_in, next_in, in_at;
};

static struct udp *udp_of(struct hs_ship_port *p)
{
	return (struct udp *)p;
}

/* ---- out ------------------------------------------------------------------
 */

static socklen_t address_bytes(const struct hs_ship_address *a)
{
	sa_family_t family;

	memcpy(&family, a->bytes, sizeof(family));
	return family == AF_INET ? sizeof(struct sockaddr_in)
				 : sizeof(struct sockaddr_in6);
}

static void message_make(struct udp *u, struct outgoing *o, struct msghdr *m,
			 struct control *control)
{
	struct cmsghdr *c;
	uint16_t segment = (uint16_t)o->frame_bytes;

	*m = (struct msghdr){
		.msg_name = o->to.bytes,
		.msg_namelen = address_bytes(&o->to),
		.msg_iov = &u->spans[o->first_span],
		.msg_iovlen = o->nr_spans,
	};
	if (o->nr_frames == 1)
		return;
	memset(control, 0, sizeof(*control));
	m->msg_control = control->bytes;
	m->msg_controllen = CMSG_SPACE(sizeof(segment));
	c = CMSG_FIRSTHDR(m);
	c->cmsg_level = SOL_UDP;
	c->cmsg_type = UDP_SEGMENT;
	c->cmsg_len = CMSG_LEN(sizeof(segment));
	memcpy(CMSG_DATA(c), &segment, sizeof(segment));
}

/* A device that cannot cut: from now on one by one. What was joined is lost,
 * which the protocol mends. */
static void refused(struct udp *u, const struct outgoing *o, int error)
{
	u->stats.refused += o->nr_frames;
	if (o->nr_frames > 1 && (error == EIO || error == EINVAL ||
				 error == EMSGSIZE || error == EOPNOTSUPP))
		u->segment = false;
}

static void udp_flush(struct hs_ship_port *p)
{
	struct udp *u = udp_of(p);
	struct mmsghdr messages[BATCH];
	struct control controls[BATCH];
	uint32_t at = 0;

	for (uint32_t i = 0; i < u->nr_out; i++)
		message_make(u, &u->out[i], &messages[i].msg_hdr, &controls[i]);
	while (at < u->nr_out) {
		int n = sendmmsg(u->fd, messages + at, u->nr_out - at,
				 MSG_DONTWAIT);

		u->stats.system_calls++;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			/* A full socket: the rest is lost, as on any way. */
			if (errno == EAGAIN || errno == ENOBUFS)
				break;
			refused(u, &u->out[at++], errno);
			continue;
		}
		for (int i = 0; i < n; i++, at++) {
			u->stats.frames_sent += u->out[at].nr_frames;
			u->stats.bytes_sent += u->out[at].bytes;
		}
	}
	for (; at < u->nr_out; at++)
		u->stats.full += u->out[at].nr_frames;
	u->nr_out = u->nr_spans = u->heads_used = 0;
}

/* The message that a frame may be joined to, or a new one. */
static struct outgoing *
outgoing(struct udp *u, const struct hs_ship_address *to, uint32_t bytes)
{
	struct outgoing *o = u->nr_out ? &u->out[u->nr_out - 1] : NULL;

	if (o && u->segment && !o->closed && bytes <= o->frame_bytes &&
	    o->nr_frames < JOINED_MAX && o->bytes + bytes <= JOINED_MAX_BYTES &&
	    !memcmp(&o->to, to, sizeof(*to))) {
		o->closed = bytes < o->frame_bytes;
		return o;
	}
	if (u->nr_out == BATCH)
		return NULL;
	o = &u->out[u->nr_out++];
	*o = (struct outgoing){
		.to = *to, .first_span = u->nr_spans, .frame_bytes = bytes};
	return o;
}

static int udp_send(struct hs_ship_port *p, const struct hs_ship_address *to,
		    const void *head, uint32_t head_bytes,
		    const struct hs_ship_port_span *spans, uint32_t nr_spans)
{
	struct udp *u = udp_of(p);
	uint32_t bytes = head_bytes;
	struct outgoing *o;

	for (uint32_t i = 0; i < nr_spans; i++)
		bytes += spans[i].bytes;
	if (u->nr_spans + nr_spans + 1 > SPANS_MAX ||
	    u->heads_used + head_bytes > HEADS_BYTES)
		udp_flush(p);
	o = outgoing(u, to, bytes);
	if (!o) {
		udp_flush(p);
		o = outgoing(u, to, bytes);
	}
	memcpy(u->heads + u->heads_used, head, head_bytes);
	u->spans[u->nr_spans++] =
		(struct iovec){u->heads + u->heads_used, head_bytes};
	u->heads_used += head_bytes;
	for (uint32_t i = 0; i < nr_spans; i++) {
		u->spans[u->nr_spans++] = (struct iovec){
			(void *)(uintptr_t)spans[i].data, spans[i].bytes};
		u->stats.bytes_copied_kernel += spans[i].bytes;
	}
	o->nr_spans += 1 + nr_spans;
	o->nr_frames++;
	o->bytes += bytes;
	return 0;
}

/* ---- in -------------------------------------------------------------------
 */

static uint32_t segment_of(struct msghdr *m, uint32_t bytes)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		int segment;

		if (c->cmsg_level != SOL_UDP || c->cmsg_type != UDP_GRO)
			continue;
		memcpy(&segment, CMSG_DATA(c), sizeof(segment));
		if (segment > 0)
			return (uint32_t)segment;
	}
	return bytes;
}

static void fill(struct udp *u)
{
	struct mmsghdr messages[STAGINGS];
	struct iovec spans[STAGINGS];
	struct control controls[STAGINGS];
	int n;

	u->nr_in = u->next_in = u->in_at = 0;
	memset(messages, 0, sizeof(messages));
	memset(u->in_from, 0, sizeof(u->in_from));
	for (uint32_t i = 0; i < STAGINGS; i++) {
		spans[i] = (struct iovec){u->staging + i * STAGING_BYTES,
					  STAGING_BYTES};
		messages[i].msg_hdr = (struct msghdr){
			.msg_name = &u->in_from[i],
			.msg_namelen = sizeof(u->in_from[i]),
			.msg_iov = &spans[i],
			.msg_iovlen = 1,
			.msg_control = controls[i].bytes,
			.msg_controllen = sizeof(controls[i].bytes),
		};
	}
	n = recvmmsg(u->fd, messages, STAGINGS, MSG_DONTWAIT, NULL);
	u->stats.system_calls++;
	for (int i = 0; i < n; i++) {
		u->in_bytes[i] = messages[i].msg_len;
		u->in_segment[i] =
			segment_of(&messages[i].msg_hdr, messages[i].msg_len);
	}
	u->nr_in = n > 0 ? (uint32_t)n : 0;
}

/* One frame out of what has come into memory of its own. */
static bool take(struct udp *u, struct hs_ship_port_frame *frame)
{
	uint32_t i = u->next_in, bytes = u->in_bytes[i] - u->in_at;
	uint8_t *to;
	bool kept = false;

	if (bytes > u->in_segment[i])
		bytes = u->in_segment[i];
	if (!u->nr_free || bytes > HS_SHIP_FRAME_MAX_BYTES) {
		u->stats.dropped++;
	} else {
		uint32_t nr = u->free_frames[--u->nr_free];

		to = u->frames + (size_t)nr * HS_SHIP_FRAME_MAX_BYTES;
		memcpy(to, u->staging + i * STAGING_BYTES + u->in_at, bytes);
		memset(&frame->from, 0, sizeof(frame->from));
		memcpy(&frame->from, &u->in_from[i], sizeof(u->in_from[i]));
		frame->handle = to;
		frame->data = to;
		frame->bytes = bytes;
		u->stats.frames_received++;
		u->stats.bytes_received += bytes;
		u->stats.bytes_copied_in += bytes;
		kept = true;
	}
	u->in_at += bytes;
	if (u->in_at >= u->in_bytes[i]) {
		u->next_in++;
		u->in_at = 0;
	}
	return kept;
}

static uint32_t udp_receive(struct hs_ship_port *p,
			    struct hs_ship_port_frame *frames, uint32_t nr)
{
	struct udp *u = udp_of(p);
	uint32_t got = 0;

	if (u->next_in == u->nr_in)
		fill(u);
	while (got < nr && u->next_in < u->nr_in)
		got += take(u, &frames[got]);
	return got;
}

static void udp_release(struct hs_ship_port *p, void *handle)
{
	struct udp *u = udp_of(p);
	size_t at = (size_t)((uint8_t *)handle - u->frames);

	u->free_frames[u->nr_free++] = (uint32_t)(at / HS_SHIP_FRAME_MAX_BYTES);
}

/* ---- the rest -------------------------------------------------------------
 */

static int udp_fd(const struct hs_ship_port *p)
{
	return ((const struct udp *)p)->fd;
}

static void udp_stats(const struct hs_ship_port *p,
		      struct hs_ship_port_stats *out)
{
	*out = ((const struct udp *)p)->stats;
}

static void udp_destroy(struct hs_ship_port *p)
{
	struct udp *u = udp_of(p);

	if (u->fd >= 0)
		close(u->fd);
	free(u->frames);
	free(u->free_frames);
	free(u->heads);
	free(u->staging);
	free(u);
}

/* The first address of @family (AF_UNSPEC: of any) that the text stands for. */
static int look_up(const char *text, int family, bool passive,
		   struct sockaddr_in6 *out, socklen_t *out_bytes,
		   const char **why)
{
	struct hs_addresses found;
	int rc = hs_address_resolve(text, passive, &found);

	*why = rc == -EINVAL ? "should be host:port, or [v6-address]:port"
			     : "no such host now";
	if (rc)
		return rc;
	*why = "no address of the family that the port is bound to";
	for (uint32_t i = 0; i < found.nr; i++) {
		if (family != AF_UNSPEC && found.at[i].ss_family != family)
			continue;
		memset(out, 0, sizeof(*out));
		memcpy(out, &found.at[i], found.size_bytes[i]);
		*out_bytes = found.size_bytes[i];
		return 0;
	}
	return -EADDRNOTAVAIL;
}

/* The kernel knows the way's MTU once a socket is connected over it. */
static uint32_t way_frame_bytes(const struct sockaddr_in6 *to,
				socklen_t to_bytes)
{
	bool v4 = to->sin6_family == AF_INET;
	int fd = socket(to->sin6_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof(int);
	int mtu = 0;

	if (fd < 0)
		return HS_SHIP_FRAME_MIN_BYTES;
	if (connect(fd, (const struct sockaddr *)to, to_bytes) ||
	    getsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6,
		       v4 ? IP_MTU : IPV6_MTU, &mtu, &size))
		mtu = 0;
	close(fd);
	mtu -= (int)(v4 ? HEADERS_V4 : HEADERS_V6);
	if (mtu < (int)HS_SHIP_FRAME_MIN_BYTES)
		return HS_SHIP_FRAME_MIN_BYTES;
	return (uint32_t)mtu < HS_SHIP_FRAME_MAX_BYTES
		       ? (uint32_t)mtu
		       : HS_SHIP_FRAME_MAX_BYTES;
}

static int udp_resolve(struct hs_ship_port *p, const char *text,
		       struct hs_ship_address *out, uint32_t *frame_bytes,
		       const char **why)
{
	struct sockaddr_in6 to;
	socklen_t bytes;
	int rc = look_up(text, udp_of(p)->family, false, &to, &bytes, why);

	if (rc)
		return rc;
	memset(out, 0, sizeof(*out));
	memcpy(out, &to, sizeof(to));
	*frame_bytes = way_frame_bytes(&to, bytes);
	return 0;
}

static const struct hs_ship_port_ops udp_ops = {
	.name = "udp",
	.send = udp_send,
	.flush = udp_flush,
	.receive = udp_receive,
	.release = udp_release,
	.fd = udp_fd,
	.resolve = udp_resolve,
	.stats = udp_stats,
	.destroy = udp_destroy,
};

/* Larger than the system's limit where we may; else up to it. */
static void buffer_set(int fd, int plain, int force, uint32_t bytes)
{
	int value = bytes ? (int)bytes : (int)BUFFER_BYTES;

	if (setsockopt(fd, SOL_SOCKET, force, &value, sizeof(value)))
		setsockopt(fd, SOL_SOCKET, plain, &value, sizeof(value));
}

static int set_up(struct udp *u, const struct hs_ship_udp_config *config,
		  const char **why)
{
	int dont = IP_PMTUDISC_DO, on = 1, tos = config->dscp << 2;
	struct sockaddr_in6 at;
	socklen_t bytes;
	bool v4;
	int rc = look_up(config->bind, AF_UNSPEC, true, &at, &bytes, why);

	if (rc)
		return rc;
	u->family = at.sin6_family;
	v4 = u->family == AF_INET;
	*why = "no socket";
	u->fd = socket(u->family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (u->fd < 0)
		return -errno;
	buffer_set(u->fd, SO_RCVBUF, SO_RCVBUFFORCE, config->buffer_bytes);
	buffer_set(u->fd, SO_SNDBUF, SO_SNDBUFFORCE, config->buffer_bytes);
	*why = "the DSCP or the MTU cannot be set";
	if (setsockopt(u->fd, v4 ? IPPROTO_IP : IPPROTO_IPV6,
		       v4 ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER, &dont,
		       sizeof(dont)) ||
	    setsockopt(u->fd, v4 ? IPPROTO_IP : IPPROTO_IPV6,
		       v4 ? IP_TOS : IPV6_TCLASS, &tos, sizeof(tos)))
		return -errno;
	u->segment = !config->no_offload;
	if (u->segment)
		(void)setsockopt(u->fd, SOL_UDP, UDP_GRO, &on, sizeof(on));
	*why = "the address cannot be bound";
	return bind(u->fd, (struct sockaddr *)&at, bytes) ? -errno : 0;
}

static int memory_make(struct udp *u, uint32_t nr_frames)
{
	u->nr_frames = nr_frames + FEW_FRAMES;
	u->frames = malloc((size_t)u->nr_frames * HS_SHIP_FRAME_MAX_BYTES);
	u->free_frames = calloc(u->nr_frames, sizeof(*u->free_frames));
	u->heads = malloc(HEADS_BYTES);
	u->staging = malloc((size_t)STAGINGS * STAGING_BYTES);
	if (!u->frames || !u->free_frames || !u->heads || !u->staging)
		return -ENOMEM;
	for (uint32_t i = 0; i < u->nr_frames; i++)
		u->free_frames[u->nr_free++] = i;
	return 0;
}

struct hs_ship_port *hs_ship_udp_create(const struct hs_ship_udp_config *config,
					const char **why)
{
	struct udp *u = calloc(1, sizeof(*u));
	int rc = -ENOMEM;

	*why = "no memory";
	if (u) {
		u->port.ops = &udp_ops;
		u->fd = -1;
		rc = memory_make(u, config->nr_frames);
	}
	if (!rc)
		rc = set_up(u, config, why);
	if (!rc)
		return &u->port;
	if (u)
		udp_destroy(&u->port);
	errno = -rc;
	return NULL;
}

uint16_t hs_ship_udp_port(const struct hs_ship_port *p)
{
	struct sockaddr_in6 at = {0};
	socklen_t bytes = sizeof(at);

	/* Both families have the port in the same place. */
	if (getsockname(((const struct udp *)p)->fd, (struct sockaddr *)&at,
			&bytes))
		return 0;
	return ntohs(at.sin6_port);
}
