/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verbs_api.h - every call into librdmacm and libibverbs, as a table
 *
 * So that a test can stand in for devices that fail in ways which no device
 * at hand does. Each entry has the meaning of the function of its name;
 * port_active() and port_infiniband() ask ibv_query_port() for one thing each,
 * and port_interfaces() asks the kernel, see verbs_ipoib.h.
 */
#ifndef HS_RDMA_VERBS_API_H
#define HS_RDMA_VERBS_API_H

#include <stdbool.h>

#include <infiniband/verbs.h>
#include <net/if.h>
#include <rdma/rdma_cma.h>

struct hs_verbs_api {
	struct rdma_event_channel *(*cm_open)(void);
	void (*cm_close)(struct rdma_event_channel *channel);
	int (*cm_event)(struct rdma_event_channel *channel,
			struct rdma_cm_event **event);
	int (*cm_ack)(struct rdma_cm_event *event);
	int (*create_id)(struct rdma_event_channel *channel,
			 struct rdma_cm_id **id, void *context);
	int (*destroy_id)(struct rdma_cm_id *id);
	int (*bind_addr)(struct rdma_cm_id *id, struct sockaddr *at);
	int (*listen)(struct rdma_cm_id *id, int backlog);
	int (*resolve_addr)(struct rdma_cm_id *id, struct sockaddr *from,
			    struct sockaddr *to, int timeout_ms);
	int (*resolve_route)(struct rdma_cm_id *id, int timeout_ms);
	int (*connect)(struct rdma_cm_id *id, struct rdma_conn_param *param);
	int (*accept)(struct rdma_cm_id *id, struct rdma_conn_param *param);
	int (*reject)(struct rdma_cm_id *id);
	int (*disconnect)(struct rdma_cm_id *id);
	int (*set_option)(struct rdma_cm_id *id, int option, void *value,
			  size_t size_bytes);
	int (*src_port)(struct rdma_cm_id *id); /* host order */
	int (*create_qp)(struct rdma_cm_id *id, struct ibv_pd *pd,
			 struct ibv_qp_init_attr *attr);
	void (*destroy_qp)(struct rdma_cm_id *id);

	struct ibv_device **(*device_list)(int *nr);
	void (*device_list_free)(struct ibv_device **list);
	const char *(*device_name)(struct ibv_device *device);
	struct ibv_context *(*device_open)(struct ibv_device *device);
	int (*device_close)(struct ibv_context *verbs);
	int (*query_gid)(struct ibv_context *verbs, uint8_t port, int index,
			 union ibv_gid *gid);
	bool (*port_active)(struct ibv_context *verbs, uint8_t port);
	bool (*port_infiniband)(struct ibv_context *verbs, uint8_t port);
	uint32_t (*port_interfaces)(const char *device, uint32_t port,
				    char names[][IFNAMSIZ], uint32_t nr_names);
	int (*query_device)(struct ibv_context *verbs,
			    struct ibv_device_attr *attr);
	struct ibv_pd *(*alloc_pd)(struct ibv_context *verbs);
	int (*dealloc_pd)(struct ibv_pd *pd);
	struct ibv_mr *(*reg_mr)(struct ibv_pd *pd, void *data,
				 size_t size_bytes, int access);
	int (*dereg_mr)(struct ibv_mr *mr);
	struct ibv_mw *(*alloc_mw)(struct ibv_pd *pd, enum ibv_mw_type type);
	int (*dealloc_mw)(struct ibv_mw *mw);
	int (*modify_qp)(struct ibv_qp *qp, struct ibv_qp_attr *attr, int mask);
	struct ibv_comp_channel *(*create_channel)(struct ibv_context *verbs);
	int (*destroy_channel)(struct ibv_comp_channel *channel);
	struct ibv_cq *(*create_cq)(struct ibv_context *verbs, int nr,
				    struct ibv_comp_channel *channel);
	int (*destroy_cq)(struct ibv_cq *cq);
	int (*arm_cq)(struct ibv_cq *cq);
	int (*cq_event)(struct ibv_comp_channel *channel, struct ibv_cq **cq,
			void **context);
	void (*cq_ack)(struct ibv_cq *cq, unsigned int nr);
	int (*poll_cq)(struct ibv_cq *cq, int nr, struct ibv_wc *wc);
	struct ibv_srq *(*create_srq)(struct ibv_pd *pd,
				      struct ibv_srq_init_attr *attr);
	int (*destroy_srq)(struct ibv_srq *srq);
	int (*post_srq)(struct ibv_srq *srq, struct ibv_recv_wr *wr,
			struct ibv_recv_wr **bad);
	int (*post_send)(struct ibv_qp *qp, struct ibv_send_wr *wr,
			 struct ibv_send_wr **bad);
	int (*async_event)(struct ibv_context *verbs,
			   struct ibv_async_event *event);
	void (*async_ack)(struct ibv_async_event *event);
};

/* The libraries themselves. */
extern const struct hs_verbs_api hs_verbs_api_real;

#endif
