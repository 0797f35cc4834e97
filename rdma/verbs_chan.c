/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verbs_chan.c - frames over one queue pair
 *
 * The link's bytes are cut into frames as large as the peer's buffers. What
 * fits goes inline, straight from the link's queue; the rest by a slot of the
 * connection's registered ring. Up to HS_VERBS_BATCH requests ring one
 * doorbell, and every HS_VERBS_SIGNAL_EVERY-th is signalled: requests of a
 * queue pair complete in order, so it speaks for those before it. A ring has
 * as many slots, so a full ring always has a signalled request under way.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "rdma/verbs.h"

#define SLOTS (HS_VERBS_RING_BYTES / HS_VERBS_FRAME_BYTES)
_Static_assert(SLOTS >= HS_VERBS_SIGNAL_EVERY, "a full ring has a signal");
_Static_assert(HS_VERBS_SENDS >= 2 * HS_VERBS_SIGNAL_EVERY, "two signals");

#define IDLE_NS	 (100 * HS_NS_PER_MS)
#define GRAVE_NS (20 * HS_NS_PER_MS)

/* The requests of one doorbell. */
struct batch {
	struct ibv_send_wr wr[HS_VERBS_BATCH];
	struct ibv_sge sge[HS_VERBS_BATCH][3];
	struct hs_verbs_frame frame[HS_VERBS_BATCH];
	uint32_t nr;
};

struct hs_verbs_chan *hs_verbs_chan_create(struct hs_verbs *v,
					   struct hs_link *link)
{
	struct hs_verbs_chan *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->kind = HS_VERBS_ID_CHAN;
	c->v = v;
	c->link = link;
	c->frame_bytes = HS_VERBS_FRAME_MIN_BYTES;
	return c;
}

/* The largest inline size that the device gives; found once. */
static int create_qp(struct hs_verbs_chan *c, struct hs_verbs_device *d)
{
	static const uint32_t steps[] = {512, 256, 128, 64, 0};
	uint32_t nr_steps = sizeof(steps) / sizeof(steps[0]);

	for (uint32_t i = 0; i < nr_steps; i++) {
		uint32_t bytes = d->inline_known ? d->inline_bytes : steps[i];
		struct ibv_qp_init_attr attr = {
			.qp_context = c,
			.send_cq = d->cq,
			.recv_cq = d->cq,
			.srq = d->srq,
			.cap = {.max_send_wr = HS_VERBS_SENDS,
				.max_send_sge = 3,
				.max_inline_data = bytes},
			.qp_type = IBV_QPT_RC,
		};

		errno = 0;
		if (c->v->api->create_qp(c->id, d->pd, &attr) == 0) {
			d->inline_bytes = bytes;
			d->inline_known = true;
			return 0;
		}
		if (d->inline_known ||
		    (errno != EINVAL && errno != ENOMEM && errno != EOPNOTSUPP))
			break;
	}
	return errno ? -errno : -ENOMEM;
}

int hs_verbs_chan_open(struct hs_verbs_chan *c)
{
	struct hs_verbs_device *d = hs_verbs_device_of(c->v, c->id->verbs);
	uint32_t port = c->v->options.port;
	int rc;

	if (!d || (port && c->id->port_num && port != c->id->port_num))
		return -ENODEV;
	if (d->cq_depth - d->cq_promised < HS_VERBS_SENDS ||
	    !hs_verbs_credit_open(&c->credit, &d->pool))
		return -ENOSPC;
	rc = create_qp(c, d);
	if (rc) {
		hs_verbs_credit_close(&c->credit);
		return rc;
	}
	d->cq_promised += HS_VERBS_SENDS;
	c->credit.limit = c->peer_credits; /* known if it was it who dialled */
	c->device = d;
	c->qp_num = c->id->qp->qp_num;
	hs_verbs_device_insert(d, c);
	return 0;
}

void hs_verbs_chan_close(struct hs_verbs_chan *c)
{
	struct hs_verbs_device *d = c->device;

	if (!d)
		return;
	hs_verbs_device_remove(d, c);
	hs_verbs_window_close(c);
	c->v->api->destroy_qp(c->id);
	hs_verbs_reads_close(c, d);
	hs_verbs_credit_close(&c->credit);
	d->cq_promised -= HS_VERBS_SENDS;
	if (c->ring) {
		hs_verbs_ring_put(&d->memory, c->ring);
		c->v->stats.registered_peer_bytes -= HS_VERBS_RING_BYTES;
	}
	c->ring = NULL;
	c->device = NULL;
}

void hs_verbs_chan_bury(struct hs_verbs_chan *c)
{
	hs_verbs_chan_close(c);
	if (c->id)
		c->v->api->destroy_id(c->id);
	free(c);
}

struct hs_verbs_greeting hs_verbs_chan_greeting(const struct hs_verbs_chan *c)
{
	return (struct hs_verbs_greeting){
		.magic = HS_VERBS_MAGIC,
		.version = HS_VERBS_VERSION,
		.frame_bytes = HS_VERBS_FRAME_BYTES,
		.credits = c->credit.granted,
	};
}

const char *hs_verbs_chan_greet(struct hs_verbs_chan *c,
				const struct hs_verbs_greeting *g)
{
	if (g->magic != HS_VERBS_MAGIC || g->version != HS_VERBS_VERSION)
		return "it does not speak our framing";
	if (g->frame_bytes < HS_VERBS_FRAME_MIN_BYTES)
		return "its receive buffers are too small";
	if (g->credits == 0 || g->credits > HS_VERBS_CREDITS_MAX)
		return "its first credits are none or too many";
	c->frame_bytes = g->frame_bytes < HS_VERBS_FRAME_BYTES
				 ? g->frame_bytes
				 : HS_VERBS_FRAME_BYTES;
	c->peer_credits = g->credits;
	/* A frame that was faster may have granted more already. */
	if ((int32_t)(g->credits - c->credit.limit) > 0)
		c->credit.limit = g->credits;
	return NULL;
}

void hs_verbs_chan_received(struct hs_verbs_chan *c, const uint8_t *data,
			    uint32_t size_bytes)
{
	struct hs_link *l = c->link;
	struct hs_verbs_frame f;
	const char *wrong;

	c->v->stats.frames_received++;
	if (!l || l->state == HS_LINK_DOOMED)
		return;
	if (size_bytes < sizeof(f)) {
		hs_link_cut(l, HS_TRANSPORT_CUT_GARBAGE, "frame is too short");
		return;
	}
	memcpy(&f, data, sizeof(f));
	data += sizeof(f);
	size_bytes -= (uint32_t)sizeof(f);
	if ((f.kind == HS_VERBS_FRAME_DATA) != (size_bytes > 0))
		wrong = "frame's kind and size differ";
	else
		wrong = hs_verbs_credit_take(&c->credit, &f);
	if (wrong) {
		hs_link_cut(l, HS_TRANSPORT_CUT_GARBAGE, wrong);
		return;
	}
	/* The first frame may overtake the news that we are connected. */
	if (l->state == HS_LINK_CONNECTING)
		hs_link_connected(l);
	while (size_bytes && l->state != HS_LINK_DOOMED) {
		uint8_t *room;
		size_t n = hs_link_room(l, &room);

		n = n < size_bytes ? n : size_bytes;
		memcpy(room, data, n);
		data += n;
		size_bytes -= (uint32_t)n;
		hs_link_came(l, n);
	}
	if (l->out.used_bytes || hs_verbs_credit_control_due(&c->credit))
		hs_hub_dirty(l);
}

void hs_verbs_chan_sent(struct hs_verbs_chan *c, uint32_t wr)
{
	/* An honest device names one under way. */
	if (wr - c->wr_done >= c->wr_next - c->wr_done)
		return;
	c->slots_done = c->slots_at[wr % HS_VERBS_SENDS];
	c->wr_done = wr + 1;
	if (c->link && (c->link->out.used_bytes || c->nr_waiting))
		hs_hub_dirty(c->link);
}

/* A slot for a frame that does not fit inline, or NULL: inline then. */
static uint8_t *slot(struct hs_verbs_chan *c)
{
	struct hs_transport_verbs_stats *s = &c->v->stats;

	if (!c->ring) {
		c->ring = hs_verbs_ring_get(&c->device->memory);
		if (!c->ring)
			return NULL;
		s->registered_peer_bytes += HS_VERBS_RING_BYTES;
		s->registered_peer_max_bytes = HS_VERBS_RING_BYTES;
	}
	return c->ring->data +
	       (size_t)(c->slots_used % SLOTS) * HS_VERBS_FRAME_BYTES;
}

static void add_request(struct hs_verbs_chan *c, struct batch *b, int nr_sge,
			bool is_inline)
{
	struct ibv_send_wr *wr = &b->wr[b->nr];

	*wr = (struct ibv_send_wr){
		.wr_id = HS_VERBS_WR_SEND | c->wr_next,
		.sg_list = b->sge[b->nr],
		.num_sge = nr_sge,
		.opcode = IBV_WR_SEND,
		.send_flags = is_inline ? IBV_SEND_INLINE : 0,
	};
	if (is_inline)
		c->v->stats.sends_inline++;
	else
		c->slots_used++;
	if (++c->unsignalled >= HS_VERBS_SIGNAL_EVERY || c->closing) {
		wr->send_flags |= IBV_SEND_SIGNALED;
		c->unsignalled = 0;
		c->v->stats.sends_signalled++;
	}
	c->slots_at[c->wr_next % HS_VERBS_SENDS] = c->slots_used;
	c->wr_next++;
	if (b->nr)
		b->wr[b->nr - 1].next = wr;
	b->nr++;
	c->v->stats.frames_sent++;
}

static void add_control(struct hs_verbs_chan *c, struct batch *b)
{
	struct hs_verbs_frame *f = &b->frame[b->nr];
	uint8_t *at;

	*f = hs_verbs_credit_put(&c->credit, HS_VERBS_FRAME_CONTROL, false);
	b->sge[b->nr][0] =
		(struct ibv_sge){.addr = (uintptr_t)f, .length = sizeof(*f)};
	c->v->stats.control_sent++;
	if (c->device->inline_bytes >= sizeof(*f)) {
		add_request(c, b, 1, true);
		return;
	}
	at = slot(c); /* can_send() saw to it */
	memcpy(at, f, sizeof(*f));
	b->sge[b->nr][0].addr = (uintptr_t)at;
	b->sge[b->nr][0].lkey = c->ring->lkey;
	add_request(c, b, 1, false);
}

/* One frame of the link's bytes; they stay where they are until the doorbell,
 * since nothing is queued in between. */
static void add_data(struct hs_verbs_chan *c, struct batch *b)
{
	struct hs_link *l = c->link;
	struct hs_verbs_frame *f = &b->frame[b->nr];
	struct ibv_sge *sge = b->sge[b->nr];
	uint32_t room = c->frame_bytes - (uint32_t)sizeof(*f);
	uint32_t fits = c->device->inline_bytes;
	uint8_t *at = NULL;
	struct iovec iov[2];
	size_t size;
	int nr;

	size = l->out.used_bytes < room ? l->out.used_bytes : room;
	if (size + sizeof(*f) > fits) {
		at = slot(c);
		if (!at) /* no memory for a ring: small steps, still forward */
			size = fits - sizeof(*f);
	}
	nr = hs_link_peek(l, iov, size);
	*f = hs_verbs_credit_put(&c->credit, HS_VERBS_FRAME_DATA,
				 l->out.used_bytes > size);
	sge[0] = (struct ibv_sge){.addr = (uintptr_t)f, .length = sizeof(*f)};
	if (at) {
		size_t done = sizeof(*f);

		memcpy(at, f, sizeof(*f));
		for (int i = 0; i < nr; i++) {
			memcpy(at + done, iov[i].iov_base, iov[i].iov_len);
			done += iov[i].iov_len;
		}
		sge[0] = (struct ibv_sge){.addr = (uintptr_t)at,
					  .length = (uint32_t)done,
					  .lkey = c->ring->lkey};
		nr = 0;
	}
	for (int i = 0; i < nr; i++)
		sge[1 + i] =
			(struct ibv_sge){.addr = (uintptr_t)iov[i].iov_base,
					 .length = (uint32_t)iov[i].iov_len};
	hs_link_took(l, size);
	c->sent_ns = l->hub->now_ns;
	add_request(c, b, 1 + nr, !at);
}

/* Room for one more request, and for its bytes? */
static bool can_send(struct hs_verbs_chan *c)
{
	if (c->wr_next - c->wr_done >= HS_VERBS_SENDS)
		return false;
	if (c->ring)
		return c->slots_used - c->slots_done < SLOTS;
	/* Without inline all depends on the ring. */
	if (c->device->inline_bytes > sizeof(struct hs_verbs_frame) || slot(c))
		return true;
	hs_log_limited(HS_LOG_WARN, "verbs", "no memory to send peer=%u",
		       c->link->id);
	hs_link_doom(c->link);
	return false;
}

static void ring_doorbell(struct hs_verbs_chan *c, struct batch *b)
{
	struct ibv_send_wr *bad;
	int rc = c->v->api->post_send(c->id->qp, b->wr, &bad);

	c->v->stats.doorbells++;
	if (rc) {
		hs_log_limited(HS_LOG_INFO, "verbs", "cannot send: %s peer=%u",
			       strerror(rc < 0 ? -rc : rc), c->link->id);
		hs_link_doom(c->link);
	}
}

/* Their completions speak for the sends before them. */
uint32_t hs_verbs_chan_post(struct hs_verbs_chan *c, struct ibv_send_wr *wr,
			    uint32_t nr)
{
	uint32_t room = HS_VERBS_SENDS - (c->wr_next - c->wr_done);
	struct ibv_send_wr *bad;

	nr = nr < room ? nr : room;
	for (uint32_t i = 0; i < nr; i++) {
		wr[i].wr_id |= HS_VERBS_WR_SEND | c->wr_next;
		wr[i].send_flags |= IBV_SEND_SIGNALED;
		wr[i].next = i + 1 < nr ? &wr[i + 1] : NULL;
		c->slots_at[c->wr_next++ % HS_VERBS_SENDS] = c->slots_used;
	}
	if (!nr)
		return 0;
	c->unsignalled = 0;
	c->v->stats.doorbells++;
	if (c->v->api->post_send(c->id->qp, wr, &bad) == 0)
		return nr;
	hs_link_doom(c->link);
	return 0;
}

void hs_verbs_send_control(struct hs_verbs_chan *c)
{
	struct batch b = {.nr = 0};

	if (!can_send(c))
		return;
	add_control(c, &b);
	ring_doorbell(c, &b);
}

void hs_verbs_flush(struct hs_link *l)
{
	struct hs_verbs_chan *c = ((struct hs_verbs_conn *)l)->chan;
	struct batch b;

	if (c->nr_waiting)
		hs_verbs_reads_post(c);
	do {
		b.nr = 0;
		while (l->state != HS_LINK_CONNECTING &&
		       l->state != HS_LINK_DOOMED && b.nr < HS_VERBS_BATCH) {
			bool data = l->out.used_bytes &&
				    hs_verbs_credit_left(&c->credit);

			if (!data && !hs_verbs_credit_control_due(&c->credit))
				break;
			if (!can_send(c))
				break;
			if (data)
				add_data(c, &b);
			else
				add_control(c, &b);
		}
		if (b.nr)
			ring_doorbell(c, &b);
	} while (b.nr == HS_VERBS_BATCH);
	if (l->state == HS_LINK_UP && hs_verbs_credit_left(&c->credit) > 1)
		hs_hub_timer_by(l->hub, l->hub->now_ns + IDLE_NS);
	hs_link_flushed(l);
}

uint64_t hs_verbs_chan_tick(struct hs_verbs_chan *c)
{
	uint64_t now = c->v->hub.now_ns;
	uint64_t from =
		c->sent_ns > c->link->since_ns ? c->sent_ns : c->link->since_ns;

	if (c->link->state != HS_LINK_UP || c->link->out.used_bytes ||
	    hs_verbs_credit_left(&c->credit) <= 1)
		return UINT64_MAX;
	if (now - from < IDLE_NS)
		return from + IDLE_NS;
	if (hs_verbs_credit_idle(&c->credit))
		hs_hub_dirty(c->link);
	return UINT64_MAX;
}

void hs_verbs_release(struct hs_link *l)
{
	struct hs_verbs_conn *conn = (struct hs_verbs_conn *)l;
	struct hs_verbs_chan *c = conn->chan;
	struct hs_verbs *v = (struct hs_verbs *)l->hub;

	hs_link_fini(l);
	free(conn);
	if (!c)
		return;
	c->link = NULL;
	if (!c->device) {
		hs_verbs_chan_bury(c);
		return;
	}
	/* It stops receiving now; what it received is taken out of the
	 * completion queue before its buffers count as free. */
	v->api->disconnect(c->id);
	c->bury_ns = v->hub.now_ns + GRAVE_NS;
	c->grave_next = v->graves;
	v->graves = c;
	hs_hub_timer_by(&v->hub, c->bury_ns);
}
