/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verbs_device.c - what all connections of one device share
 *
 * One receive queue, one completion queue. A buffer that a completion names
 * goes back into the receive queue before anybody is granted a credit again,
 * so the credits that are out never exceed what is posted.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/log.h"
#include "rdma/verbs.h"

#define COMPLETIONS_A_TURN 32
/* One device that is never quiet must not keep timers and CM waiting. */
#define TURNS_MAX	   64
#define EVENTS_UNACKED_MAX 64u

static struct hs_verbs_chan **bucket(struct hs_verbs_device *d, uint32_t qp_num)
{
	return &d->by_qp[qp_num & d->by_qp_mask];
}

void hs_verbs_device_insert(struct hs_verbs_device *d, struct hs_verbs_chan *c)
{
	struct hs_verbs_chan **b = bucket(d, c->qp_num);

	c->next = *b;
	*b = c;
}

void hs_verbs_device_remove(struct hs_verbs_device *d, struct hs_verbs_chan *c)
{
	struct hs_verbs_chan **b = bucket(d, c->qp_num);

	while (*b && *b != c)
		b = &(*b)->next;
	if (*b)
		*b = c->next;
}

static struct hs_verbs_chan *find(struct hs_verbs_device *d, uint32_t qp_num)
{
	struct hs_verbs_chan *c = *bucket(d, qp_num);

	while (c && c->qp_num != qp_num)
		c = c->next;
	return c;
}

/* Buffers by their numbers, in one go. */
static int post(struct hs_verbs_device *d, const uint32_t *buffers, uint32_t nr)
{
	struct ibv_recv_wr wr[COMPLETIONS_A_TURN];
	struct ibv_sge sge[COMPLETIONS_A_TURN];
	struct ibv_recv_wr *bad;

	for (uint32_t i = 0; i < nr; i++) {
		uint8_t *at = d->recv.data +
			      (size_t)buffers[i] * HS_VERBS_FRAME_BYTES;

		sge[i] = (struct ibv_sge){
			.addr = (uintptr_t)at,
			.length = HS_VERBS_FRAME_BYTES,
			.lkey = d->recv.mr->lkey,
		};
		wr[i] = (struct ibv_recv_wr){
			.wr_id = buffers[i],
			.next = i + 1 < nr ? &wr[i + 1] : NULL,
			.sg_list = &sge[i],
			.num_sge = 1,
		};
	}
	return nr ? d->v->api->post_srq(d->srq, wr, &bad) : 0;
}

static void failed(struct hs_verbs_device *d, struct hs_verbs_chan *c,
		   const struct ibv_wc *wc)
{
	if (!c || !c->link || c->link->state == HS_LINK_DOOMED)
		return;
	if (wc->status != IBV_WC_WR_FLUSH_ERR) {
		if (wc->wr_id & HS_VERBS_WR_READ)
			hs_verbs_read_failed(c, hs_verbs_wr_read(wc->wr_id),
					     wc->status);
		else if (wc->wr_id & HS_VERBS_WR_BIND)
			hs_verbs_window_failed(c);
	}
	/* The end of a queue pair flushes all that is left in it: no news. */
	hs_log_limited(
		wc->status == IBV_WC_WR_FLUSH_ERR ? HS_LOG_DEBUG : HS_LOG_INFO,
		"verbs", "connection failed: %s vendor=%#x peer=%u",
		ibv_wc_status_str(wc->status), wc->vendor_err, c->link->id);
	hs_link_doom(c->link);
}

static void complete(struct hs_verbs_device *d, const struct ibv_wc *wc)
{
	struct hs_verbs_chan *c = find(d, wc->qp_num);

	if (wc->status != IBV_WC_SUCCESS)
		failed(d, c, wc);
	else if (!c)
		return; /* of one that is buried */
	else if (wc->wr_id & HS_VERBS_WR_SEND) {
		hs_verbs_chan_sent(c, (uint32_t)wc->wr_id);
		if (wc->wr_id & HS_VERBS_WR_READ)
			hs_verbs_read_came(c, hs_verbs_wr_read(wc->wr_id));
	} else
		hs_verbs_chan_received(
			c, d->recv.data + wc->wr_id * HS_VERBS_FRAME_BYTES,
			wc->byte_len < HS_VERBS_FRAME_BYTES
				? wc->byte_len
				: HS_VERBS_FRAME_BYTES);
}

uint32_t hs_verbs_device_drain(struct hs_verbs_device *d)
{
	struct ibv_wc wc[COMPLETIONS_A_TURN];
	uint32_t buffers[COMPLETIONS_A_TURN];
	uint32_t total = 0;

	for (int turn = 0; turn < TURNS_MAX && !d->lost; turn++) {
		uint32_t nr_buffers = 0;
		int nr = d->v->api->poll_cq(d->cq, COMPLETIONS_A_TURN, wc);

		if (nr < 0) {
			hs_verbs_device_lost(d, "its completions are gone");
			break;
		}
		for (int i = 0; i < nr; i++) {
			complete(d, &wc[i]);
			if (!(wc[i].wr_id & HS_VERBS_WR_SEND) &&
			    wc[i].wr_id < d->pool.depth)
				buffers[nr_buffers++] = (uint32_t)wc[i].wr_id;
		}
		if (post(d, buffers, nr_buffers)) {
			hs_verbs_device_lost(d, "cannot post a receive");
			break;
		}
		total += (uint32_t)nr;
		if (nr < COMPLETIONS_A_TURN)
			break;
	}
	return total;
}

void hs_verbs_device_arm(struct hs_verbs_device *d)
{
	if (d->armed || d->lost)
		return;
	if (d->v->api->arm_cq(d->cq))
		hs_verbs_device_lost(d, "cannot arm its completions");
	d->armed = true;
}

void hs_verbs_device_event(struct hs_verbs_device *d)
{
	const struct hs_verbs_api *api = d->v->api;
	struct ibv_cq *cq;
	void *context;

	d->v->hub.stats.system_calls++;
	if (api->cq_event(d->channel, &cq, &context))
		return;
	d->v->stats.completion_events++;
	d->armed = false;
	/* Each takes a lock: many at once. */
	if (++d->nr_events >= EVENTS_UNACKED_MAX) {
		api->cq_ack(d->cq, d->nr_events);
		d->nr_events = 0;
	}
}

void hs_verbs_device_lost(struct hs_verbs_device *d, const char *why)
{
	if (d->lost)
		return;
	d->lost = true;
	d->v->stats.nr_devices_lost++;
	d->v->looked_ns = 0;
	hs_log_warn("verbs", "device lost: %s device=%s", why,
		    d->v->api->device_name(d->verbs->device));
	for (uint32_t i = 0; i <= d->by_qp_mask; i++)
		for (struct hs_verbs_chan *c = d->by_qp[i]; c; c = c->next)
			if (c->link)
				hs_link_doom(c->link);
	hs_hub_wake(&d->v->hub); /* poll() frees it */
}

/* The context is librdmacm's, and so are its events: another transport in
 * this process may take one of ours. It finds the flushed completions then. */
void hs_verbs_device_async(struct hs_verbs_device *d)
{
	const struct hs_verbs_api *api = d->v->api;
	struct ibv_async_event event;
	struct hs_verbs_chan *c;

	d->v->hub.stats.system_calls++;
	if (api->async_event(d->verbs, &event))
		return;
	switch (event.event_type) {
	case IBV_EVENT_QP_FATAL:
	case IBV_EVENT_QP_REQ_ERR:
	case IBV_EVENT_QP_ACCESS_ERR:
		for (uint32_t i = 0; i <= d->by_qp_mask; i++)
			for (c = d->by_qp[i]; c; c = c->next)
				if (c->link && c->id->qp == event.element.qp)
					hs_link_doom(c->link);
		break;
	case IBV_EVENT_CQ_ERR:
		if (event.element.cq == d->cq)
			hs_verbs_device_lost(d, "completion queue error");
		break;
	case IBV_EVENT_SRQ_ERR:
		if (event.element.srq == d->srq)
			hs_verbs_device_lost(d, "receive queue error");
		break;
	case IBV_EVENT_DEVICE_FATAL:
		hs_verbs_device_lost(d, "fatal error");
		break;
	case IBV_EVENT_PORT_ACTIVE:
	case IBV_EVENT_PORT_ERR:
		d->v->looked_ns = 0; /* the next dial that failed looks */
		break;
	default: /* connections find out */
		break;
	}
	api->async_ack(&event);
}

static uint32_t at_most(uint32_t wish, int limit)
{
	return limit > 0 && wish > (uint32_t)limit ? (uint32_t)limit : wish;
}

/* How deep the queues: an idle peer's share each, and some to be lively. */
static int size_up(struct hs_verbs_device *d)
{
	uint32_t peers = d->v->hub.limits.nr_peers;
	uint32_t srq = d->v->options.srq_depth;
	struct ibv_device_attr attr;

	memset(&attr, 0, sizeof(attr));
	if (d->v->api->query_device(d->verbs, &attr))
		return -EIO;
	d->has_windows =
		attr.device_cap_flags &
		(IBV_DEVICE_MEM_WINDOW_TYPE_2A | IBV_DEVICE_MEM_WINDOW_TYPE_2B);
	d->read_depth = attr.max_qp_init_rd_atom > 0
				? (uint32_t)attr.max_qp_init_rd_atom
				: 0;
	if (!srq)
		srq = (HS_VERBS_SHARE + 1) * peers + 64;
	/* Every buffer may stand in the completion queue at a time. */
	d->pool.depth = at_most(srq, attr.max_srq_wr);
	d->pool.depth = at_most(d->pool.depth, attr.max_cqe / 2);
	d->cq_depth =
		at_most(d->pool.depth + HS_VERBS_SENDS * peers, attr.max_cqe);
	d->cq_promised = d->pool.depth;
	if (d->pool.depth < HS_VERBS_SHARE ||
	    d->cq_depth < d->pool.depth + HS_VERBS_SENDS)
		return -ENOSPC;
	d->by_qp_mask = 63;
	while (d->by_qp_mask < peers)
		d->by_qp_mask = d->by_qp_mask * 2 + 1;
	d->by_qp = calloc(d->by_qp_mask + 1, sizeof(struct hs_verbs_chan *));
	return d->by_qp ? 0 : -ENOMEM;
}

static int or_errno(const void *made)
{
	if (made)
		return 0;
	return errno ? -errno : -ENOMEM;
}

static int open_queues(struct hs_verbs_device *d)
{
	const struct hs_verbs_api *api = d->v->api;
	struct ibv_srq_init_attr attr = {
		.attr = {.max_wr = d->pool.depth, .max_sge = 1},
	};
	int rc;

	d->pd = api->alloc_pd(d->verbs);
	rc = or_errno(d->pd);
	if (rc)
		return rc;
	d->memory.api = api;
	d->memory.pd = d->pd;
	d->channel = api->create_channel(d->verbs);
	rc = or_errno(d->channel);
	if (rc)
		return rc;
	d->cq = api->create_cq(d->verbs, (int)d->cq_depth, d->channel);
	rc = or_errno(d->cq);
	if (rc)
		return rc;
	d->srq = api->create_srq(d->pd, &attr);
	rc = or_errno(d->srq);
	if (rc)
		return rc;
	return hs_verbs_area_open(&d->recv, api, d->pd,
				  (size_t)d->pool.depth * HS_VERBS_FRAME_BYTES);
}

static int start(struct hs_verbs_device *d)
{
	struct hs_verbs *v = d->v;
	uint32_t buffers[COMPLETIONS_A_TURN];
	uint32_t nr = 0;
	int rc;

	for (uint32_t i = 0; i < d->pool.depth; i++) {
		buffers[nr++] = i;
		if (nr < COMPLETIONS_A_TURN && i + 1 < d->pool.depth)
			continue;
		if (post(d, buffers, nr))
			return -ENOMEM;
		nr = 0;
	}
	if (fcntl(d->channel->fd, F_SETFL, O_NONBLOCK) ||
	    fcntl(d->verbs->async_fd, F_SETFL, O_NONBLOCK))
		return -errno;
	rc = hs_hub_watch(&v->hub, d->channel->fd, EPOLLIN,
			  hs_hub_tag_make(HS_VERBS_TAG_CQ, d->index));
	if (!rc)
		rc = hs_hub_watch(
			&v->hub, d->verbs->async_fd, EPOLLIN,
			hs_hub_tag_make(HS_VERBS_TAG_ASYNC, d->index));
	return rc;
}

/* Is it one that the options allow? */
static bool wanted(const struct hs_verbs *v, struct ibv_context *verbs)
{
	const char *name = v->api->device_name(verbs->device);

	return !v->options.device[0] || !strcmp(v->options.device, name);
}

struct hs_verbs_device *hs_verbs_device_of(struct hs_verbs *v,
					   struct ibv_context *verbs)
{
	struct hs_verbs_device *d;
	uint32_t free_index = HS_VERBS_DEVICES_MAX;
	int rc;

	for (uint32_t i = 0; i < HS_VERBS_DEVICES_MAX; i++) {
		if (!v->devices[i])
			free_index = free_index < i ? free_index : i;
		else if (v->devices[i]->verbs == verbs)
			return v->devices[i]->lost ? NULL : v->devices[i];
	}
	if (!verbs || free_index == HS_VERBS_DEVICES_MAX || !wanted(v, verbs))
		return NULL;
	d = calloc(1, sizeof(*d));
	if (!d)
		return NULL;
	d->v = v;
	d->verbs = verbs;
	d->index = free_index;
	errno = 0;
	rc = size_up(d);
	if (!rc)
		rc = open_queues(d);
	if (!rc)
		rc = start(d);
	if (rc) {
		hs_log_limited(HS_LOG_ERROR, "verbs",
			       "cannot use the device: %s device=%s",
			       strerror(-rc),
			       v->api->device_name(verbs->device));
		hs_verbs_device_free(d);
		return NULL;
	}
	v->devices[free_index] = d;
	return d;
}

void hs_verbs_device_free(struct hs_verbs_device *d)
{
	const struct hs_verbs_api *api = d->v->api;
	struct hs_verbs *v = d->v;

	/* librdmacm may keep the context open: no more of its events. */
	epoll_ctl(v->hub.epoll_fd, EPOLL_CTL_DEL, d->verbs->async_fd, NULL);
	if (d->srq)
		api->destroy_srq(d->srq);
	if (d->nr_events)
		api->cq_ack(d->cq, d->nr_events);
	if (d->cq)
		api->destroy_cq(d->cq);
	if (d->channel)
		api->destroy_channel(d->channel);
	hs_verbs_memory_close(&d->memory);
	hs_verbs_window_device_free(d);
	hs_verbs_area_close(&d->recv, api);
	if (d->pd)
		api->dealloc_pd(d->pd);
	if (v->devices[d->index] == d)
		v->devices[d->index] = NULL;
	free(d->by_qp);
	free(d);
}
