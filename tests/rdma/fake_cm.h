/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_cm.h - the inside of fake_verbs.h: fake_cm.c connects the queue pairs of
 * fake_verbs.c
 */
#ifndef HS_TESTS_FAKE_CM_H
#define HS_TESTS_FAKE_CM_H

#include "tests/rdma/fake_verbs.h"

#define IDS_MAX 4096

struct fake_id {
	struct rdma_cm_id id; /* first */
	struct fake_id *peer;
	uint16_t port; /* bound, or dialled */
	bool listening;
	bool connected;
	uint8_t private_data[64];
	uint8_t private_size;
	uint8_t reads; /* that the other side may have under way */
};

struct fake_qp {
	struct ibv_qp qp; /* first */
	struct fake_id *id;
	uint32_t max_inline;
	uint32_t max_sends;
	uint32_t posted; /* counting */
	uint32_t polled; /* requests that a polled completion covers */
	int access;	 /* that peers have */
	bool error;
};

/* fake_verbs.c */
extern struct ibv_context context;
bool fails(void);
void *make(size_t size_bytes);
void drop(void *p);
void note(const char *wrong);
void signal_fd(int fd);
void quiet_fd(int fd);

/* fake_cm.c */
extern struct fake_id *ids[IDS_MAX];
extern uint16_t next_port;
struct rdma_event_channel *fake_cm_open(void);
void fake_cm_close(struct rdma_event_channel *c);
int fake_cm_event(struct rdma_event_channel *channel,
		  struct rdma_cm_event **event);
int fake_cm_ack(struct rdma_cm_event *event);
int fake_create_id(struct rdma_event_channel *channel, struct rdma_cm_id **id,
		   void *ctx);
int fake_destroy_id(struct rdma_cm_id *cm_id);
int fake_bind_addr(struct rdma_cm_id *cm_id, struct sockaddr *at);
int fake_listen(struct rdma_cm_id *cm_id, int backlog);
int fake_resolve_addr(struct rdma_cm_id *cm_id, struct sockaddr *from,
		      struct sockaddr *to, int timeout_ms);
int fake_resolve_route(struct rdma_cm_id *cm_id, int timeout_ms);
int fake_connect(struct rdma_cm_id *cm_id, struct rdma_conn_param *param);
int fake_accept(struct rdma_cm_id *cm_id, struct rdma_conn_param *param);
int fake_reject(struct rdma_cm_id *cm_id);
int fake_disconnect(struct rdma_cm_id *cm_id);
int fake_set_option(struct rdma_cm_id *id, int option, void *value,
		    size_t size_bytes);
int fake_src_port(struct rdma_cm_id *id);

#endif
