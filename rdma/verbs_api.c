/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verbs_api.c - the table of verbs_api.h over the real libraries
 */
#include "rdma/verbs_api.h"

#include <arpa/inet.h>

#include "rdma/verbs_ipoib.h"

static int api_create_id(struct rdma_event_channel *channel,
			 struct rdma_cm_id **id, void *context)
{
	return rdma_create_id(channel, id, context, RDMA_PS_TCP);
}

static int api_reject(struct rdma_cm_id *id)
{
	return rdma_reject(id, NULL, 0);
}

static int api_set_option(struct rdma_cm_id *id, int option, void *value,
			  size_t size_bytes)
{
	return rdma_set_option(id, RDMA_OPTION_ID, option, value, size_bytes);
}

static int api_src_port(struct rdma_cm_id *id)
{
	return ntohs(rdma_get_src_port(id));
}

static const char *api_device_name(struct ibv_device *device)
{
	return ibv_get_device_name(device);
}

static int api_query_gid(struct ibv_context *verbs, uint8_t port, int index,
			 union ibv_gid *gid)
{
	return ibv_query_gid(verbs, port, index, gid);
}

static bool api_port_active(struct ibv_context *verbs, uint8_t port)
{
	struct ibv_port_attr attr;

	return ibv_query_port(verbs, port, &attr) == 0 &&
	       attr.state == IBV_PORT_ACTIVE;
}

static bool api_port_infiniband(struct ibv_context *verbs, uint8_t port)
{
	struct ibv_port_attr attr;

	return ibv_query_port(verbs, port, &attr) == 0 &&
	       attr.link_layer == IBV_LINK_LAYER_INFINIBAND;
}

static uint32_t api_port_interfaces(const char *device, uint32_t port,
				    char names[][IFNAMSIZ], uint32_t nr_names)
{
	return hs_verbs_ipoib_names("/sys/class/infiniband", device, port,
				    names, nr_names);
}

static struct ibv_mr *api_reg_mr(struct ibv_pd *pd, void *data,
				 size_t size_bytes, int access)
{
	/* A function, since the library's is a macro over the access. */
	return ibv_reg_mr(pd, data, size_bytes, access);
}

static struct ibv_mw *api_alloc_mw(struct ibv_pd *pd, enum ibv_mw_type type)
{
	return ibv_alloc_mw(pd, type);
}

static int api_dealloc_mw(struct ibv_mw *mw)
{
	return ibv_dealloc_mw(mw);
}

static struct ibv_cq *api_create_cq(struct ibv_context *verbs, int nr,
				    struct ibv_comp_channel *channel)
{
	return ibv_create_cq(verbs, nr, NULL, channel, 0);
}

static int api_arm_cq(struct ibv_cq *cq)
{
	return ibv_req_notify_cq(cq, 0);
}

static int api_poll_cq(struct ibv_cq *cq, int nr, struct ibv_wc *wc)
{
	return ibv_poll_cq(cq, nr, wc);
}

static int api_post_srq(struct ibv_srq *srq, struct ibv_recv_wr *wr,
			struct ibv_recv_wr **bad)
{
	return ibv_post_srq_recv(srq, wr, bad);
}

static int api_post_send(struct ibv_qp *qp, struct ibv_send_wr *wr,
			 struct ibv_send_wr **bad)
{
	return ibv_post_send(qp, wr, bad);
}

const struct hs_verbs_api hs_verbs_api_real = {
	.cm_open = rdma_create_event_channel,
	.cm_close = rdma_destroy_event_channel,
	.cm_event = rdma_get_cm_event,
	.cm_ack = rdma_ack_cm_event,
	.create_id = api_create_id,
	.destroy_id = rdma_destroy_id,
	.bind_addr = rdma_bind_addr,
	.listen = rdma_listen,
	.resolve_addr = rdma_resolve_addr,
	.resolve_route = rdma_resolve_route,
	.connect = rdma_connect,
	.accept = rdma_accept,
	.reject = api_reject,
	.disconnect = rdma_disconnect,
	.set_option = api_set_option,
	.src_port = api_src_port,
	.create_qp = rdma_create_qp,
	.destroy_qp = rdma_destroy_qp,
	.device_list = ibv_get_device_list,
	.device_list_free = ibv_free_device_list,
	.device_name = api_device_name,
	.device_open = ibv_open_device,
	.device_close = ibv_close_device,
	.query_gid = api_query_gid,
	.port_active = api_port_active,
	.port_infiniband = api_port_infiniband,
	.port_interfaces = api_port_interfaces,
	.query_device = ibv_query_device,
	.alloc_pd = ibv_alloc_pd,
	.dealloc_pd = ibv_dealloc_pd,
	.reg_mr = api_reg_mr,
	.dereg_mr = ibv_dereg_mr,
	.alloc_mw = api_alloc_mw,
	.dealloc_mw = api_dealloc_mw,
	.modify_qp = ibv_modify_qp,
	.create_channel = ibv_create_comp_channel,
	.destroy_channel = ibv_destroy_comp_channel,
	.create_cq = api_create_cq,
	.destroy_cq = ibv_destroy_cq,
	.arm_cq = api_arm_cq,
	.cq_event = ibv_get_cq_event,
	.cq_ack = ibv_ack_cq_events,
	.poll_cq = api_poll_cq,
	.create_srq = ibv_create_srq,
	.destroy_srq = ibv_destroy_srq,
	.post_srq = api_post_srq,
	.post_send = api_post_send,
	.async_event = ibv_get_async_event,
	.async_ack = ibv_ack_async_event,
};
