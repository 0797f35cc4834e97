/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verbs_window.c - memory that peers read, and reading of theirs (ADR 38)
 *
 * The memory is registered once for each device, for nobody; each connection
 * whose peer is to read gets a type-2 window on it, bound to its queue pair,
 * for reading alone. The bind is a request of that queue pair, so that the
 * WINDOW message, which is sent behind it, tells of a window that is there. It
 * ends with the queue pair.
 *
 * A device that has no windows, or refuses one, is left alone: peers then get
 * our answers, and later. A read that fails ends its connection, as every
 * failed request does; its peer is not read for a while then, so that this
 * costs one connection and not all of them one after the other.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "rdma/verbs.h"

#define SHUN_NS (60 * HS_NS_PER_SEC)

static int sys_error(void)
{
	return errno ? -errno : -ENOMEM;
}

static int make_window(struct hs_verbs_chan *c)
{
	const struct hs_transport_windows *w = &c->v->hub.windows;
	/* What librdmacm set allows more than anybody here needs. */
	struct ibv_qp_attr attr = {.qp_access_flags = IBV_ACCESS_REMOTE_READ};
	const struct hs_verbs_api *api = c->v->api;
	struct hs_verbs_device *d = c->device;
	int rc;

	if (!d->has_windows)
		return -EOPNOTSUPP;
	rc = api->modify_qp(c->id->qp, &attr, IBV_QP_ACCESS_FLAGS);
	if (rc)
		return rc < 0 ? rc : -rc;
	errno = 0;
	if (!d->window_mr)
		d->window_mr = api->reg_mr(d->pd, w->data, w->size_bytes,
					   IBV_ACCESS_LOCAL_WRITE |
						   IBV_ACCESS_MW_BIND);
	if (!d->window_mr)
		return sys_error();
	c->mw = api->alloc_mw(d->pd, IBV_MW_TYPE_2);
	return c->mw ? 0 : sys_error();
}

static int bind_window(struct hs_verbs_chan *c)
{
	const struct hs_transport_windows *w = &c->v->hub.windows;
	struct ibv_send_wr wr = {
		.wr_id = HS_VERBS_WR_BIND,
		.opcode = IBV_WR_BIND_MW,
		.bind_mw = {.mw = c->mw,
			    .rkey = ibv_inc_rkey(c->mw->rkey),
			    .bind_info = {.mr = c->device->window_mr,
					  .addr = (uintptr_t)w->data,
					  .length = w->size_bytes,
					  .mw_access_flags =
						  IBV_ACCESS_REMOTE_READ}},
	};

	if (hs_verbs_chan_post(c, &wr, 1) != 1)
		return -EAGAIN;
	c->mw->rkey = wr.bind_mw.rkey;
	return 0;
}

static void refused(struct hs_verbs_chan *c, const char *why)
{
	c->v->hub.stats.windows_refused++;
	hs_log_limited(HS_LOG_INFO, "verbs",
		       "no window to read by: %s device=%s peer=%u", why,
		       c->v->api->device_name(c->device->verbs->device),
		       c->link->id);
}

void hs_verbs_window_open(struct hs_link *l)
{
	struct hs_verbs_chan *c = ((struct hs_verbs_conn *)l)->chan;
	const struct hs_transport_windows *w = &l->hub->windows;
	struct hs_wire_window told;
	struct iovec iov[2] = {{&told, sizeof(told)},
			       {(void *)(uintptr_t)w->about, w->about_bytes}};
	int rc;

	if (!w->data || !l->peer_reads || l->peer.role != w->reader)
		return;
	rc = make_window(c);
	if (!rc)
		rc = bind_window(c);
	if (rc) {
		refused(c, strerror(-rc));
		return;
	}
	told = (struct hs_wire_window){.address = (uintptr_t)w->data,
				       .size_bytes = w->size_bytes,
				       .rkey = c->mw->rkey,
				       .about_bytes = w->about_bytes};
	hs_link_queue(l, HS_WIRE_WINDOW, iov, 2, true);
	l->hub->stats.nr_windows++;
}

void hs_verbs_window_failed(struct hs_verbs_chan *c)
{
	c->device->has_windows = false;
	refused(c, "the device did not bind it");
}

const char *hs_verbs_window_told(struct hs_link *l,
				 const struct hs_wire_window *window,
				 const void *about)
{
	struct hs_verbs_chan *c = ((struct hs_verbs_conn *)l)->chan;
	struct hs_hub *h = l->hub;

	if (c->window.size_bytes)
		return "WINDOW twice";
	c->window = *window;
	h->stats.nr_windows++;
	return h->windows.readable(h->ctx, l->id, about, window->about_bytes,
				   window->size_bytes)
		       ? "WINDOW on what is nothing of ours"
		       : NULL;
}

static void slot_give(struct hs_verbs_device *d, struct hs_verbs_read *r)
{
	d->read_slots[d->nr_read_slots++] = r->slot;
	r->state = HS_VERBS_READ_NONE;
}

void hs_verbs_window_close(struct hs_verbs_chan *c)
{
	struct hs_transport_stats *s = &c->v->hub.stats;

	s->nr_windows -= (c->mw != NULL) + (c->window.size_bytes != 0);
	c->window.size_bytes = 0;
	if (c->mw)
		c->v->api->dealloc_mw(c->mw);
	c->mw = NULL;
}

void hs_verbs_reads_close(struct hs_verbs_chan *c, struct hs_verbs_device *d)
{
	for (uint32_t i = 0; i < HS_VERBS_READS; i++)
		if (c->reads[i].state != HS_VERBS_READ_NONE)
			slot_give(d, &c->reads[i]);
	c->nr_waiting = 0;
}

void hs_verbs_window_device_free(struct hs_verbs_device *d)
{
	if (d->window_mr)
		d->v->api->dereg_mr(d->window_mr);
	hs_verbs_area_close(&d->read_area, d->v->api);
	free(d->read_slots);
}

/* -- reading ------------------------------------------------------------- */

static bool is_shunned(const struct hs_verbs *v, uint64_t node)
{
	for (uint32_t i = 0; i < HS_VERBS_SHUNNED_MAX; i++)
		if (v->shunned[i].node == node)
			return v->shunned[i].until_ns > v->hub.now_ns;
	return false;
}

static void shun(struct hs_verbs *v, uint64_t node)
{
	struct hs_verbs_shunned *at = &v->shunned[0];

	for (uint32_t i = 1; i < HS_VERBS_SHUNNED_MAX; i++)
		if (at->node != node && (v->shunned[i].node == node ||
					 v->shunned[i].until_ns < at->until_ns))
			at = &v->shunned[i];
	*at = (struct hs_verbs_shunned){node, v->hub.now_ns + SHUN_NS};
}

static int slots_open(struct hs_verbs_device *d)
{
	int rc;

	if (d->read_slots)
		return 0;
	d->read_slots = calloc(HS_VERBS_READS_MAX, sizeof(*d->read_slots));
	if (!d->read_slots)
		return -ENOMEM;
	rc = hs_verbs_area_open(&d->read_area, d->v->api, d->pd,
				(size_t)HS_VERBS_READS_MAX *
					HS_TRANSPORT_READ_MAX_BYTES);
	if (rc) {
		free(d->read_slots);
		d->read_slots = NULL;
		return rc;
	}
	while (d->nr_read_slots < HS_VERBS_READS_MAX) {
		d->read_slots[d->nr_read_slots] = (uint16_t)d->nr_read_slots;
		d->nr_read_slots++;
	}
	return 0;
}

static uint8_t *slot_data(const struct hs_verbs_device *d,
			  const struct hs_verbs_read *r)
{
	return d->read_area.data +
	       (size_t)r->slot * HS_TRANSPORT_READ_MAX_BYTES;
}

static struct hs_verbs_read *read_free(struct hs_verbs_chan *c)
{
	uint32_t nr = HS_VERBS_READS;

	/* More would stop the sends behind them. */
	nr = c->initiator_depth < nr ? c->initiator_depth : nr;
	nr = c->device->read_depth < nr ? c->device->read_depth : nr;
	for (uint32_t i = 0; i < nr; i++)
		if (c->reads[i].state == HS_VERBS_READ_NONE)
			return &c->reads[i];
	return NULL;
}

int hs_verbs_read(struct hs_link *l, uint64_t offset_bytes, uint32_t size_bytes,
		  uint64_t cookie)
{
	struct hs_verbs_chan *c = ((struct hs_verbs_conn *)l)->chan;
	struct hs_verbs_device *d = c->device;
	struct hs_verbs_read *r;
	int rc;

	if (!c->window.size_bytes || is_shunned(c->v, l->peer.node))
		return -EOPNOTSUPP;
	if (!size_bytes || size_bytes > HS_TRANSPORT_READ_MAX_BYTES ||
	    offset_bytes > c->window.size_bytes ||
	    size_bytes > c->window.size_bytes - offset_bytes)
		return -EINVAL;
	rc = slots_open(d);
	if (rc)
		return rc;
	r = read_free(c);
	if (!r || !d->nr_read_slots)
		return -EAGAIN;
	*r = (struct hs_verbs_read){.offset_bytes = offset_bytes,
				    .cookie = cookie,
				    .size_bytes = size_bytes,
				    .slot = d->read_slots[--d->nr_read_slots],
				    .state = HS_VERBS_READ_WAITS};
	c->nr_waiting++;
	hs_hub_dirty(l);
	return 0;
}

void hs_verbs_reads_post(struct hs_verbs_chan *c)
{
	struct hs_verbs_device *d = c->device;
	struct ibv_send_wr wr[HS_VERBS_READS];
	struct ibv_sge sge[HS_VERBS_READS];
	uint32_t of[HS_VERBS_READS];
	uint32_t nr = 0;

	if (c->link->state != HS_LINK_UP)
		return;
	for (uint32_t i = 0; i < HS_VERBS_READS; i++) {
		struct hs_verbs_read *r = &c->reads[i];

		if (r->state != HS_VERBS_READ_WAITS)
			continue;
		sge[nr] = (struct ibv_sge){.addr = (uintptr_t)slot_data(d, r),
					   .length = r->size_bytes,
					   .lkey = d->read_area.mr->lkey};
		wr[nr] = (struct ibv_send_wr){
			.wr_id = HS_VERBS_WR_READ |
				 (uint64_t)i << HS_VERBS_WR_READ_SHIFT,
			.sg_list = &sge[nr],
			.num_sge = 1,
			.opcode = IBV_WR_RDMA_READ,
			.wr.rdma = {.remote_addr =
					    c->window.address + r->offset_bytes,
				    .rkey = c->window.rkey},
		};
		of[nr++] = i;
	}
	nr = hs_verbs_chan_post(c, wr, nr);
	for (uint32_t i = 0; i < nr; i++)
		c->reads[of[i]].state = HS_VERBS_READ_POSTED;
	c->nr_waiting -= nr;
}

void hs_verbs_read_came(struct hs_verbs_chan *c, uint32_t read)
{
	struct hs_hub *h = &c->v->hub;
	struct hs_verbs_read *r = &c->reads[read];

	if (r->state != HS_VERBS_READ_POSTED)
		return;
	if (c->link && c->link->state == HS_LINK_UP) {
		h->stats.reads++;
		h->windows.read_done(h->ctx, c->link->id, r->cookie,
				     slot_data(c->device, r), r->size_bytes);
	}
	slot_give(c->device, r);
}

void hs_verbs_read_failed(struct hs_verbs_chan *c, uint32_t read,
			  enum ibv_wc_status status)
{
	struct hs_hub *h = &c->v->hub;
	const struct hs_verbs_read *r = &c->reads[read];

	h->stats.reads_failed++;
	/* Otherwise it is the connection that failed, and not the read. */
	if (status != IBV_WC_RETRY_EXC_ERR)
		shun(c->v, c->link->peer.node);
	if (c->link->state == HS_LINK_UP)
		h->windows.read_done(h->ctx, c->link->id, r->cookie, NULL,
				     r->size_bytes);
}
