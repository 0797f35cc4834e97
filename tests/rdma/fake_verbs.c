/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_verbs.c - see fake_verbs.h
 */
#include "tests/rdma/fake_cm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MRS_MAX	  256
#define MWS_MAX	  64
#define QUEUE_MAX 65536u

struct fake_channel {
	struct ibv_comp_channel channel; /* first */
	uint32_t nr_events;
	struct ibv_cq *cq;
};

struct fake_cq {
	struct ibv_cq cq; /* first */
	struct fake_channel *channel;
	struct ibv_wc wc[QUEUE_MAX];
	struct fake_qp *from[QUEUE_MAX]; /* whose, and is it a send? */
	bool is_send[QUEUE_MAX];
	uint32_t head, tail;
	int depth;
	bool armed;
};

struct fake_srq {
	struct ibv_srq srq; /* first */
	struct ibv_sge sge[QUEUE_MAX];
	uint64_t wr_id[QUEUE_MAX];
	uint32_t head, tail;
	uint32_t depth;
};

/* Rights over an area, for whoever is connected to that queue pair. */
struct fake_mw {
	struct ibv_mw mw; /* first */
	struct fake_qp *qp;
	uint32_t rkey;
	uint64_t addr, length;
};

struct fake_verbs fake;
static struct ibv_device device = {.name = "fake0"};
struct ibv_context context = {.device = &device, .async_fd = -1};
/* These are only looked at. */
#define OTHERS_MAX 2
static struct ibv_device others[OTHERS_MAX] = {{.name = "fake1"},
					       {.name = "fake2"}};
static struct ibv_context other_contexts[OTHERS_MAX] = {{.device = &others[0]},
							{.device = &others[1]}};
static struct ibv_mr *mrs[MRS_MAX];
static struct fake_mw *mws[MWS_MAX];
static struct ibv_async_event asyncs[8];
static uint32_t nr_asyncs;
static uint32_t next_qp_num;

void fake_reset(void)
{
	if (fake.nr_objects)
		fake.wrong = "objects of an earlier test are alive";
	if (context.async_fd >= 0)
		close(context.async_fd);
	context.async_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	fake = (struct fake_verbs){.inline_max = 256,
				   .max_srq_wr = QUEUE_MAX - 1,
				   .max_cqe = QUEUE_MAX - 1,
				   .nr_devices = 1,
				   .wrong = fake.wrong};
	nr_asyncs = 0;
	next_port = 20000;
	next_qp_num = 100;
}

/* Every call that may fail asks here first. */
bool fails(void)
{
	if (++fake.nr_calls != fake.fail_at)
		return false;
	errno = ENOMEM;
	return true;
}

void *make(size_t size_bytes)
{
	void *p = fails() ? NULL : calloc(1, size_bytes);

	if (p)
		fake.nr_objects++;
	return p;
}

void drop(void *p)
{
	fake.nr_objects--;
	free(p);
}

void note(const char *wrong)
{
	if (!fake.wrong)
		fake.wrong = wrong;
}

void signal_fd(int fd)
{
	uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) != sizeof(one))
		note("cannot signal");
}

void quiet_fd(int fd)
{
	uint64_t n;

	if (read(fd, &n, sizeof(n)) < 0 && errno != EAGAIN)
		note("cannot read a signal");
}

/* -- libibverbs ---------------------------------------------------------- */

static int fake_create_qp(struct rdma_cm_id *id, struct ibv_pd *pd,
			  struct ibv_qp_init_attr *attr)
{
	struct fake_qp *qp;

	if (attr->cap.max_inline_data > fake.inline_max) {
		errno = EINVAL;
		return -1;
	}
	qp = make(sizeof(*qp));
	if (!qp)
		return -1;
	qp->qp.qp_num = next_qp_num++;
	qp->qp.send_cq = attr->send_cq;
	qp->qp.recv_cq = attr->recv_cq;
	qp->qp.srq = attr->srq;
	qp->id = (struct fake_id *)id;
	qp->max_inline = attr->cap.max_inline_data;
	qp->max_sends = attr->cap.max_send_wr;
	id->qp = &qp->qp;
	return 0;
}

static void fake_destroy_qp(struct rdma_cm_id *id)
{
	struct fake_qp *qp = (struct fake_qp *)id->qp;
	struct fake_cq *cq = (struct fake_cq *)qp->qp.send_cq;

	for (uint32_t i = 0; i < MWS_MAX; i++)
		if (mws[i] && mws[i]->qp == qp)
			note("a queue pair goes under its window");
	for (uint32_t i = cq->head; i != cq->tail; i++)
		if (cq->from[i % QUEUE_MAX] == qp)
			cq->from[i % QUEUE_MAX] = NULL;
	id->qp = NULL;
	drop(qp);
}

static struct ibv_device **fake_device_list(int *nr)
{
	struct ibv_device **list =
		calloc(2 + OTHERS_MAX, sizeof(struct ibv_device *));

	/* The kernel's order is no order of names. */
	for (int i = 0; i < fake.nr_devices; i++)
		list[i] = i + 1 < fake.nr_devices
				  ? &others[fake.nr_devices - 2 - i]
				  : &device;
	*nr = fake.nr_devices;
	return list;
}

static void fake_device_list_free(struct ibv_device **list)
{
	free(list);
}

static const char *fake_device_name(struct ibv_device *d)
{
	return d->name;
}

static struct ibv_context *fake_device_open(struct ibv_device *d)
{
	if (fails())
		return NULL;
	return d == &device ? &context : &other_contexts[d - others];
}

static int fake_device_close(struct ibv_context *verbs)
{
	return 0;
}

/* 0 for fake0. */
static int number_of(const struct ibv_context *verbs)
{
	return verbs == &context ? 0 : (int)(verbs - other_contexts) + 1;
}

static bool fake_port_active(struct ibv_context *verbs, uint8_t port)
{
	return port == 2 || !(fake.ports_down >> number_of(verbs) & 1);
}

static bool fake_port_infiniband(struct ibv_context *verbs, uint8_t port)
{
	return fake.infiniband;
}

static uint32_t fake_port_interfaces(const char *name, uint32_t port,
				     char names[][IFNAMSIZ], uint32_t nr_names)
{
	if (port != 1 || atoi(name + strlen("fake")) != fake.ipoib)
		return 0;
	memcpy(names[0], "lo", sizeof("lo"));
	return 1;
}

static int fake_query_gid(struct ibv_context *verbs, uint8_t port, int index,
			  union ibv_gid *gid)
{
	static const uint8_t link_local[16] = {0xfe, 0x80, [15] = 1};
	static const uint8_t v4[16] = {
		[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1};

	if (port != 1 || index > (fake.infiniband ? 0 : 1))
		return -1;
	memcpy(gid->raw, index ? v4 : link_local, 16);
	if (fake.infiniband)
		memcpy(gid->raw, fake.subnet, 8);
	gid->raw[15] = (uint8_t)(1 + number_of(verbs));
	return 0;
}

static int fake_query_device(struct ibv_context *verbs,
			     struct ibv_device_attr *attr)
{
	if (fails())
		return ENOMEM;
	attr->max_srq_wr = fake.max_srq_wr;
	attr->max_cqe = fake.max_cqe;
	attr->max_qp_init_rd_atom = 4;
	attr->phys_port_cnt = fake.second_ports ? 2 : 1;
	if (!fake.no_windows)
		attr->device_cap_flags = IBV_DEVICE_MEM_WINDOW_TYPE_2B;
	return 0;
}

static struct ibv_pd *fake_alloc_pd(struct ibv_context *verbs)
{
	return make(sizeof(struct ibv_pd));
}

static int fake_dealloc_pd(struct ibv_pd *pd)
{
	drop(pd);
	return 0;
}

static struct ibv_mr *fake_reg_mr(struct ibv_pd *pd, void *data,
				  size_t size_bytes, int access)
{
	struct ibv_mr *mr = make(sizeof(*mr));

	if (!mr)
		return NULL;
	if (access & ~(IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_MW_BIND))
		note("memory is open to peers");
	mr->addr = data;
	mr->length = size_bytes;
	for (uint32_t i = 0; i < MRS_MAX; i++)
		if (!mrs[i]) {
			mrs[i] = mr;
			mr->lkey = i + 1;
			return mr;
		}
	note("too many memory regions");
	drop(mr);
	return NULL;
}

static int fake_dereg_mr(struct ibv_mr *mr)
{
	mrs[mr->lkey - 1] = NULL;
	drop(mr);
	return 0;
}

static struct ibv_mw *fake_alloc_mw(struct ibv_pd *pd, enum ibv_mw_type type)
{
	struct fake_mw *mw = fake.windows_fail ? NULL : make(sizeof(*mw));

	errno = ENOMEM;
	if (type != IBV_MW_TYPE_2)
		note("a window that any peer could use");
	for (uint32_t i = 0; mw && i < MWS_MAX; i++)
		if (!mws[i]) {
			mws[i] = mw;
			mw->mw.rkey = (i + 1) << 8;
			return &mw->mw;
		}
	return NULL;
}

static int fake_dealloc_mw(struct ibv_mw *mw)
{
	for (uint32_t i = 0; i < MWS_MAX; i++)
		if (mws[i] == (struct fake_mw *)mw)
			mws[i] = NULL;
	drop(mw);
	return 0;
}

static int fake_modify_qp(struct ibv_qp *qp, struct ibv_qp_attr *attr, int mask)
{
	if (fake.flags_fail || fails())
		return ENOMEM;
	if (mask != IBV_QP_ACCESS_FLAGS ||
	    attr->qp_access_flags != IBV_ACCESS_REMOTE_READ)
		note("a peer gets more than reading");
	((struct fake_qp *)qp)->access = (int)attr->qp_access_flags;
	return 0;
}

static struct ibv_comp_channel *fake_create_channel(struct ibv_context *verbs)
{
	struct fake_channel *c = make(sizeof(*c));

	if (!c)
		return NULL;
	c->channel.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return &c->channel;
}

static int fake_destroy_channel(struct ibv_comp_channel *channel)
{
	close(channel->fd);
	drop(channel);
	return 0;
}

static struct ibv_cq *fake_create_cq(struct ibv_context *verbs, int nr,
				     struct ibv_comp_channel *channel)
{
	struct fake_cq *cq = make(sizeof(*cq));

	if (!cq)
		return NULL;
	cq->depth = nr;
	cq->channel = (struct fake_channel *)channel;
	cq->channel->cq = &cq->cq;
	return &cq->cq;
}

static int fake_destroy_cq(struct ibv_cq *cq)
{
	drop(cq);
	return 0;
}

static void raise_event(struct fake_cq *cq)
{
	if (!cq->armed)
		return;
	cq->armed = false;
	cq->channel->nr_events++;
	signal_fd(cq->channel->channel.fd);
}

static void push_wc(struct fake_cq *cq, struct fake_qp *qp, bool is_send,
		    struct ibv_wc wc)
{
	uint32_t at = cq->tail % QUEUE_MAX;

	if (cq->tail - cq->head >= (uint32_t)cq->depth) {
		note("completion queue overrun");
		return;
	}
	wc.qp_num = qp->qp.qp_num;
	cq->wc[at] = wc;
	cq->from[at] = qp;
	cq->is_send[at] = is_send;
	cq->tail++;
	raise_event(cq);
}

static int fake_arm_cq(struct ibv_cq *cq)
{
	if (fails())
		return ENOMEM;
	((struct fake_cq *)cq)->armed = true;
	return 0;
}

static int fake_cq_event(struct ibv_comp_channel *channel, struct ibv_cq **cq,
			 void **ctx)
{
	struct fake_channel *c = (struct fake_channel *)channel;

	if (c->nr_events == 0) {
		quiet_fd(channel->fd);
		errno = EAGAIN;
		return -1;
	}
	if (--c->nr_events == 0)
		quiet_fd(channel->fd);
	*cq = c->cq;
	return 0;
}

static void fake_cq_ack(struct ibv_cq *cq, unsigned int nr)
{
}

/* The completion as it shall appear, and what it does to its queue pair. */
static struct ibv_wc appear(struct fake_cq *cq, uint32_t at)
{
	struct ibv_wc wc = cq->wc[at];
	struct fake_qp *qp = cq->from[at];

	if (fake.status != IBV_WC_SUCCESS &&
	    cq->is_send[at] != fake.status_of_receive &&
	    wc.status == IBV_WC_SUCCESS && qp) {
		wc.status = fake.status;
		wc.byte_len = 0xdeadbeef; /* not valid on errors */
		fake.status = IBV_WC_SUCCESS;
		qp->error = true;
	}
	if (cq->is_send[at] && qp)
		qp->polled = (uint32_t)wc.wr_id + 1;
	return wc;
}

static int fake_poll_cq(struct ibv_cq *ibv_cq, int nr, struct ibv_wc *wc)
{
	struct fake_cq *cq = (struct fake_cq *)ibv_cq;
	int got = 0;

	if (fake.poll_fails)
		return -1;
	if (fake.poll_max && nr > (int)fake.poll_max)
		nr = (int)fake.poll_max;
	while (got < nr && cq->head != cq->tail) {
		uint32_t at = cq->head % QUEUE_MAX;

		if (fake.hold_sends && cq->is_send[at])
			break;
		wc[got++] = appear(cq, at);
		cq->head++;
	}
	return got;
}

static struct ibv_srq *fake_create_srq(struct ibv_pd *pd,
				       struct ibv_srq_init_attr *attr)
{
	struct fake_srq *srq = make(sizeof(*srq));

	if (!srq)
		return NULL;
	srq->depth = attr->attr.max_wr;
	return &srq->srq;
}

static int fake_destroy_srq(struct ibv_srq *srq)
{
	drop(srq);
	return 0;
}

static bool registered(const struct ibv_sge *sge)
{
	struct ibv_mr *mr =
		sge->lkey && sge->lkey <= MRS_MAX ? mrs[sge->lkey - 1] : NULL;
	uint64_t begin = mr ? (uintptr_t)mr->addr : 0;

	return mr && sge->addr >= begin && sge->length <= mr->length &&
	       sge->addr - begin <= mr->length - sge->length;
}

static int fake_post_srq(struct ibv_srq *ibv_srq, struct ibv_recv_wr *wr,
			 struct ibv_recv_wr **bad)
{
	struct fake_srq *srq = (struct fake_srq *)ibv_srq;

	if (fake.post_srq_fails || fails()) {
		*bad = wr;
		return ENOMEM;
	}
	for (; wr; wr = wr->next) {
		uint32_t at = srq->tail % QUEUE_MAX;

		if (srq->tail - srq->head == srq->depth)
			note("more receives than the queue takes");
		if (!registered(wr->sg_list))
			note("a receive into unregistered memory");
		srq->sge[at] = wr->sg_list[0];
		srq->wr_id[at] = wr->wr_id;
		srq->tail++;
	}
	return 0;
}

static void send_failed(struct fake_qp *qp, const struct ibv_send_wr *wr,
			enum ibv_wc_status status)
{
	qp->error = true;
	push_wc((struct fake_cq *)qp->qp.send_cq, qp, true,
		(struct ibv_wc){.wr_id = wr->wr_id, .status = status});
}

static void completed(struct fake_qp *qp, const struct ibv_send_wr *wr)
{
	if (wr->send_flags & IBV_SEND_SIGNALED)
		push_wc((struct fake_cq *)qp->qp.send_cq, qp, true,
			(struct ibv_wc){.wr_id = wr->wr_id});
}

static void bind_window(struct fake_qp *qp, const struct ibv_send_wr *wr)
{
	const struct ibv_mw_bind_info *info = &wr->bind_mw.bind_info;
	struct fake_mw *mw = (struct fake_mw *)wr->bind_mw.mw;
	uint64_t begin = (uintptr_t)info->mr->addr;

	if (info->mw_access_flags != IBV_ACCESS_REMOTE_READ)
		note("a window for more than reading");
	if (wr->bind_mw.rkey == mw->mw.rkey ||
	    wr->bind_mw.rkey >> 8 != mw->mw.rkey >> 8)
		note("a window's key is not the next one");
	if (info->addr < begin || info->length > info->mr->length ||
	    info->addr - begin > info->mr->length - info->length)
		note("a window on what is not registered");
	if (fake.binds_fail) {
		send_failed(qp, wr, IBV_WC_MW_BIND_ERR);
		return;
	}
	mw->qp = qp;
	mw->rkey = wr->bind_mw.rkey;
	mw->addr = info->addr;
	mw->length = info->length;
	completed(qp, wr);
}

static void read_peer(struct fake_qp *qp, const struct ibv_send_wr *wr)
{
	struct fake_id *peer = qp->id->connected ? qp->id->peer : NULL;
	struct fake_qp *to = peer ? (struct fake_qp *)peer->id.qp : NULL;
	const struct ibv_sge *into = &wr->sg_list[0];
	uint64_t addr = wr->wr.rdma.remote_addr;

	if (!to || to->error) {
		send_failed(qp, wr, IBV_WC_RETRY_EXC_ERR);
		return;
	}
	for (uint32_t i = 0; i < MWS_MAX; i++) {
		const struct fake_mw *mw = mws[i];

		if (!mw || mw->rkey != wr->wr.rdma.rkey || mw->qp != to ||
		    addr < mw->addr || into->length > mw->length ||
		    addr - mw->addr > mw->length - into->length ||
		    !(to->access & IBV_ACCESS_REMOTE_READ))
			continue;
		memcpy((void *)(uintptr_t)into->addr, (void *)(uintptr_t)addr,
		       into->length);
		completed(qp, wr);
		return;
	}
	send_failed(qp, wr, IBV_WC_REM_ACCESS_ERR);
}

static void deliver(struct fake_qp *qp, const struct ibv_send_wr *wr)
{
	struct fake_id *peer = qp->id->connected ? qp->id->peer : NULL;
	struct fake_qp *to = peer ? (struct fake_qp *)peer->id.qp : NULL;
	struct fake_srq *srq = to ? (struct fake_srq *)to->qp.srq : NULL;
	uint32_t size = 0;
	uint32_t at;

	if (!to || to->error) {
		send_failed(qp, wr, IBV_WC_RETRY_EXC_ERR);
		return;
	}
	if (srq->head == srq->tail) {
		note("a frame found no receive buffer");
		send_failed(qp, wr, IBV_WC_RNR_RETRY_EXC_ERR);
		return;
	}
	at = srq->head++ % QUEUE_MAX;
	for (int i = 0; i < wr->num_sge; i++) {
		const struct ibv_sge *s = &wr->sg_list[i];

		if (s->length > srq->sge[at].length - size) {
			send_failed(qp, wr, IBV_WC_REM_INV_REQ_ERR);
			return;
		}
		memcpy((void *)(uintptr_t)(srq->sge[at].addr + size),
		       (void *)(uintptr_t)s->addr, s->length);
		size += s->length;
	}
	push_wc((struct fake_cq *)to->qp.recv_cq, to, false,
		(struct ibv_wc){.wr_id = srq->wr_id[at], .byte_len = size});
	completed(qp, wr);
}

static int check_send(const struct fake_qp *qp, const struct ibv_send_wr *wr)
{
	uint32_t size = 0;

	if (wr->opcode != IBV_WR_SEND && wr->opcode != IBV_WR_RDMA_READ &&
	    wr->opcode != IBV_WR_BIND_MW)
		note("something else than a send, a read or a window");
	if (qp->posted - qp->polled >= qp->max_sends) {
		note("send queue overrun");
		return ENOMEM;
	}
	for (int i = 0; i < wr->num_sge; i++) {
		size += wr->sg_list[i].length;
		if (!(wr->send_flags & IBV_SEND_INLINE) &&
		    !registered(&wr->sg_list[i]))
			note("a send from unregistered memory");
	}
	if (wr->send_flags & IBV_SEND_INLINE && size > qp->max_inline)
		note("too much inline");
	return 0;
}

static int fake_post_send(struct ibv_qp *ibv_qp, struct ibv_send_wr *wr,
			  struct ibv_send_wr **bad)
{
	struct fake_qp *qp = (struct fake_qp *)ibv_qp;

	for (; wr; wr = wr->next) {
		int rc = fails() ? ENOMEM : check_send(qp, wr);

		if (rc) {
			*bad = wr;
			return rc;
		}
		qp->posted++;
		if (qp->error)
			send_failed(qp, wr, IBV_WC_WR_FLUSH_ERR);
		else if (wr->opcode == IBV_WR_BIND_MW)
			bind_window(qp, wr);
		else if (wr->opcode == IBV_WR_RDMA_READ)
			read_peer(qp, wr);
		else
			deliver(qp, wr);
	}
	return 0;
}

static int fake_async_event(struct ibv_context *verbs,
			    struct ibv_async_event *event)
{
	if (nr_asyncs == 0) {
		quiet_fd(verbs->async_fd);
		errno = EAGAIN;
		return -1;
	}
	*event = asyncs[--nr_asyncs];
	return 0;
}

static void fake_async_ack(struct ibv_async_event *event)
{
}

void fake_async(enum ibv_event_type type)
{
	asyncs[nr_asyncs] = (struct ibv_async_event){.event_type = type};
	for (int i = 0; i < IDS_MAX; i++)
		if (ids[i] && ids[i]->id.qp) {
			if (type == IBV_EVENT_CQ_ERR)
				asyncs[nr_asyncs].element.cq =
					ids[i]->id.qp->send_cq;
			else if (type == IBV_EVENT_SRQ_ERR)
				asyncs[nr_asyncs].element.srq =
					ids[i]->id.qp->srq;
			else
				asyncs[nr_asyncs].element.qp = ids[i]->id.qp;
		}
	nr_asyncs++;
	signal_fd(context.async_fd);
}

const struct hs_verbs_api fake_verbs_api = {
	.cm_open = fake_cm_open,
	.cm_close = fake_cm_close,
	.cm_event = fake_cm_event,
	.cm_ack = fake_cm_ack,
	.create_id = fake_create_id,
	.destroy_id = fake_destroy_id,
	.bind_addr = fake_bind_addr,
	.listen = fake_listen,
	.resolve_addr = fake_resolve_addr,
	.resolve_route = fake_resolve_route,
	.connect = fake_connect,
	.accept = fake_accept,
	.reject = fake_reject,
	.disconnect = fake_disconnect,
	.set_option = fake_set_option,
	.src_port = fake_src_port,
	.create_qp = fake_create_qp,
	.destroy_qp = fake_destroy_qp,
	.device_list = fake_device_list,
	.device_list_free = fake_device_list_free,
	.device_name = fake_device_name,
	.device_open = fake_device_open,
	.device_close = fake_device_close,
	.query_gid = fake_query_gid,
	.port_active = fake_port_active,
	.port_infiniband = fake_port_infiniband,
	.port_interfaces = fake_port_interfaces,
	.query_device = fake_query_device,
	.alloc_pd = fake_alloc_pd,
	.dealloc_pd = fake_dealloc_pd,
	.reg_mr = fake_reg_mr,
	.dereg_mr = fake_dereg_mr,
	.alloc_mw = fake_alloc_mw,
	.dealloc_mw = fake_dealloc_mw,
	.modify_qp = fake_modify_qp,
	.create_channel = fake_create_channel,
	.destroy_channel = fake_destroy_channel,
	.create_cq = fake_create_cq,
	.destroy_cq = fake_destroy_cq,
	.arm_cq = fake_arm_cq,
	.cq_event = fake_cq_event,
	.cq_ack = fake_cq_ack,
	.poll_cq = fake_poll_cq,
	.create_srq = fake_create_srq,
	.destroy_srq = fake_destroy_srq,
	.post_srq = fake_post_srq,
	.post_send = fake_post_send,
	.async_event = fake_async_event,
	.async_ack = fake_async_ack,
};
