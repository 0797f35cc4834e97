/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verbs.h - the inside of the RDMA carrier
 *
 * transport_verbs.c owns the event loop; verbs_cm.c talks with librdmacm:
 * listeners, dials, what becomes of connections; verbs_ports.c looks which
 * devices and ports there are, and verbs_near.c what to dial from;
 * verbs_device.c owns what the
 * connections of one device share: the receive queue, the completion queue;
 * verbs_chan.c moves frames over one queue pair; verbs_window.c lets peers
 * read, and reads of them; verbs_memory.c is registered memory. HELLO, PING and
 * all else is link.h's.
 *
 * A channel outlives its connection for a moment: frames that came for it may
 * stand in the completion queue, and their buffers belong to all.
 */
#ifndef HS_RDMA_VERBS_H
#define HS_RDMA_VERBS_H

#include "rdma/link.h"
#include "rdma/transport_verbs.h"
#include "rdma/verbs_api.h"
#include "rdma/verbs_credit.h"
#include "rdma/verbs_memory.h"
#include "rdma/verbs_near.h"

#define HS_VERBS_DEVICES_MAX   8u
#define HS_VERBS_LISTENERS_MAX 8u
/* A receive buffer: one frame with its header; one MTU where that is 4096. */
#define HS_VERBS_FRAME_BYTES	 4096u
#define HS_VERBS_FRAME_MIN_BYTES 256u
#define HS_VERBS_SENDS		 32u /* work requests of one queue pair */
#define HS_VERBS_SIGNAL_EVERY	 16u
#define HS_VERBS_BATCH		 16u /* work requests of one doorbell */

#define HS_VERBS_READS	     8u	   /* under way at one peer */
#define HS_VERBS_READS_MAX   4096u /* at all peers of one device */
#define HS_VERBS_SHUNNED_MAX 64u

/* In the private data of both directions of connecting. */
#define HS_VERBS_MAGIC	 0x31565348u /* "HSV1" */
#define HS_VERBS_VERSION 1u
struct hs_verbs_greeting {
	uint32_t magic;
	uint16_t version;
	uint16_t frame_bytes; /* of the speaker's receive buffers */
	uint32_t credits;     /* granted at first */
	uint32_t reserved;
};
_Static_assert(sizeof(struct hs_verbs_greeting) == 16, "greeting");

struct hs_verbs;
struct hs_verbs_chan;

struct hs_verbs_device {
	struct hs_verbs *v;
	struct ibv_context *verbs; /* librdmacm's */
	struct ibv_pd *pd;
	struct ibv_comp_channel *channel;
	struct ibv_cq *cq;
	struct ibv_srq *srq;
	struct hs_verbs_memory memory;
	struct hs_verbs_area recv;
	struct hs_verbs_pool pool; /* its depth is the srq's */
	struct hs_verbs_chan **by_qp;
	uint32_t by_qp_mask;
	uint32_t index;
	uint32_t cq_depth;
	uint32_t cq_promised;  /* entries that live channels may fill */
	uint32_t nr_events;    /* taken and not yet acknowledged */
	uint32_t inline_bytes; /* what queue pairs got; asked by steps */
	bool inline_known;
	bool has_windows;		/* of type 2, and never refused one */
	struct ibv_mr *window_mr;	/* what peers may read; NULL: not yet */
	struct hs_verbs_area read_area; /* what was read; opened when needed */
	uint16_t *read_slots;		/* of it, free ones */
	uint32_t nr_read_slots;
	uint32_t read_depth; /* that its queue pairs can have under way */
	bool armed;	     /* the next completion raises an event */
	bool lost;	     /* nothing can be done with it but to free it */
};

/* What the context of a CM id points to. */
enum hs_verbs_id_kind {
	HS_VERBS_ID_LISTENER,
	HS_VERBS_ID_CHAN,
};

struct hs_verbs_listener {
	enum hs_verbs_id_kind kind; /* first */
	struct rdma_cm_id *id;	    /* NULL: its device went; tried again */
	struct sockaddr_storage at;
	uint64_t retry_ns;
};

enum hs_verbs_read_state {
	HS_VERBS_READ_NONE = 0,
	HS_VERBS_READ_WAITS,  /* for the next doorbell */
	HS_VERBS_READ_POSTED, /* the device may write to its slot */
};

struct hs_verbs_read {
	uint64_t offset_bytes, cookie;
	uint32_t size_bytes;
	uint16_t slot;
	enum hs_verbs_read_state state;
};

/* One whose memory could not be read, and when to try again. */
struct hs_verbs_shunned {
	uint64_t node;
	uint64_t until_ns;
};

struct hs_verbs_chan {
	enum hs_verbs_id_kind kind; /* first */
	bool closing;		    /* signal the last: we wait for it */
	bool nearest; /* what it was dialled from is, and so was chosen */
	struct hs_verbs *v;
	struct rdma_cm_id *id;
	struct hs_verbs_device *device; /* NULL: has no queue pair */
	struct hs_link *link;		/* NULL: it waits to be buried */
	struct hs_verbs_chan *next;	/* of the same hash */
	struct hs_verbs_chan *grave_next;
	uint64_t bury_ns;
	uint64_t sent_ns; /* data last, for giving credits back */
	uint32_t qp_num;
	uint32_t frame_bytes;  /* of the peer's buffers */
	uint32_t peer_credits; /* granted to us at first */
	uint32_t wr_next;      /* work requests posted, counting */
	uint32_t wr_done;      /* of them known to be complete */
	uint32_t unsignalled;  /* since the last signalled one */
	uint32_t slots_used;   /* of the ring, counting */
	uint32_t slots_done;
	uint32_t slots_at[HS_VERBS_SENDS]; /* slots_used after that request */
	struct hs_verbs_ring *ring;	   /* NULL until a send is not inline */
	struct ibv_mw *mw; /* by which its peer reads; NULL: it does not */
	struct hs_wire_window window; /* that we read by; no size: none */
	struct hs_verbs_read reads[HS_VERBS_READS];
	uint32_t nr_waiting;	  /* of them */
	uint32_t initiator_depth; /* as was agreed on when connecting */
	struct hs_verbs_credit credit;
};

/* By which connections have gone. */
#define HS_VERBS_USED_MAX 8u
struct hs_verbs_used {
	char device[HS_VERBS_NAME_BYTES];
	uint32_t port;
	union ibv_gid gid;
	int gid_index; /* -1: the port has none such */
	bool nearest;
};
#define HS_VERBS_NEAREST_BYTES 128u

struct hs_verbs_conn {
	struct hs_link link; /* first */
	struct hs_verbs_chan *chan;
};

struct hs_verbs {
	struct hs_hub hub; /* first */
	const struct hs_verbs_api *api;
	struct hs_transport_verbs_options options;
	struct sockaddr_storage source; /* of the last dial */
	struct rdma_event_channel *cm;
	struct hs_verbs_device *devices[HS_VERBS_DEVICES_MAX];
	struct hs_verbs_listener listeners[HS_VERBS_LISTENERS_MAX];
	uint32_t nr_listeners;
	struct hs_verbs_chan *graves;
	struct hs_verbs_used used[HS_VERBS_USED_MAX];
	uint32_t nr_used;
	int nr_listed; /* devices, when we looked */
	struct hs_verbs_port ports[HS_VERBS_PORTS_MAX]; /* the nearest first */
	uint32_t nr_ports, nr_active;
	uint64_t looked_ns;
	struct hs_numa *numa; /* NULL: there is nothing to choose */
	char nearest[HS_VERBS_NEAREST_BYTES]; /* of them, for people */
	struct hs_verbs_shunned shunned[HS_VERBS_SHUNNED_MAX];
	struct hs_transport_verbs_stats stats;
	uint64_t busy_ns; /* when a completion was seen last */
};

enum hs_verbs_tag {
	HS_VERBS_TAG_CM = HS_HUB_TAG_CARRIER,
	HS_VERBS_TAG_CQ,
	HS_VERBS_TAG_ASYNC,
};

/* A receive's wr_id is its buffer's number. */
#define HS_VERBS_WR_SEND       (1ULL << 63) /* requests of a send queue, and of */
#define HS_VERBS_WR_BIND       (1ULL << 62) /* these windows, and */
#define HS_VERBS_WR_READ       (1ULL << 61) /* reads, whose numbers are above 32 */
#define HS_VERBS_WR_READ_SHIFT 32u

static inline uint32_t hs_verbs_wr_read(uint64_t wr_id)
{
	return (uint32_t)(wr_id >> HS_VERBS_WR_READ_SHIFT) % HS_VERBS_READS;
}

/* verbs_device.c */
/** hs_verbs_device_of() - for this context, made when first seen; or NULL */
struct hs_verbs_device *hs_verbs_device_of(struct hs_verbs *v,
					   struct ibv_context *verbs);
void hs_verbs_device_free(struct hs_verbs_device *d);
/** hs_verbs_device_lost() - end its connections; poll() frees it */
void hs_verbs_device_lost(struct hs_verbs_device *d, const char *why);
/** hs_verbs_device_drain() - take completions; Return: how many */
uint32_t hs_verbs_device_drain(struct hs_verbs_device *d);
/** hs_verbs_device_arm() - have the next completion raise an event */
void hs_verbs_device_arm(struct hs_verbs_device *d);
void hs_verbs_device_event(struct hs_verbs_device *d);
void hs_verbs_device_async(struct hs_verbs_device *d);
void hs_verbs_device_insert(struct hs_verbs_device *d, struct hs_verbs_chan *c);
void hs_verbs_device_remove(struct hs_verbs_device *d, struct hs_verbs_chan *c);

/* verbs_chan.c */
struct hs_verbs_chan *hs_verbs_chan_create(struct hs_verbs *v,
					   struct hs_link *link);
/** hs_verbs_chan_open() - a queue pair and credits on the id's device */
int hs_verbs_chan_open(struct hs_verbs_chan *c);
/** hs_verbs_chan_close() - leave the device; the CM id stays */
void hs_verbs_chan_close(struct hs_verbs_chan *c);
/** hs_verbs_chan_bury() - free all of it */
void hs_verbs_chan_bury(struct hs_verbs_chan *c);
/** hs_verbs_chan_greet() - the peer's private data; NULL or what is wrong */
const char *hs_verbs_chan_greet(struct hs_verbs_chan *c,
				const struct hs_verbs_greeting *g);
struct hs_verbs_greeting hs_verbs_chan_greeting(const struct hs_verbs_chan *c);
/** hs_verbs_chan_received() - a frame; its buffer is the caller's */
void hs_verbs_chan_received(struct hs_verbs_chan *c, const uint8_t *data,
			    uint32_t size_bytes);
/** hs_verbs_chan_sent() - work requests up to @wr are complete */
void hs_verbs_chan_sent(struct hs_verbs_chan *c, uint32_t wr);
/** hs_verbs_chan_tick() - give credits back; Return: when to look again */
uint64_t hs_verbs_chan_tick(struct hs_verbs_chan *c);
void hs_verbs_flush(struct hs_link *l);
/** hs_verbs_send_control() - one that is not due, as the credits allow */
void hs_verbs_send_control(struct hs_verbs_chan *c);
/** hs_verbs_chan_post() - up to HS_VERBS_READS requests that send no frame,
 * linked by this; each is signalled. Return: how many there was room for; the
 * link is doomed if the device takes none */
uint32_t hs_verbs_chan_post(struct hs_verbs_chan *c, struct ibv_send_wr *wr,
			    uint32_t nr);
/** hs_verbs_release() - the link's end: its channel goes to the graves */
void hs_verbs_release(struct hs_link *l);

/* verbs_used.c */
/** hs_verbs_used_add() - a connection came up: say by what, in the stats */
void hs_verbs_used_add(struct hs_verbs_chan *c);
/** hs_verbs_used_write() - say it anew */
void hs_verbs_used_write(struct hs_verbs *v);

/* verbs_window.c */
/** hs_verbs_window_open() - a peer is up: let it read, if it is to */
void hs_verbs_window_open(struct hs_link *l);
const char *hs_verbs_window_told(struct hs_link *l,
				 const struct hs_wire_window *window,
				 const void *about);
/** hs_verbs_window_failed() - the device could not give it */
void hs_verbs_window_failed(struct hs_verbs_chan *c);
/** hs_verbs_window_close() - nobody reads any more; before its queue pair goes,
 * which some devices (soft-RoCE) do not let go under a window */
void hs_verbs_window_close(struct hs_verbs_chan *c);
/** hs_verbs_reads_close() - the queue pair is gone, and so are our reads */
void hs_verbs_reads_close(struct hs_verbs_chan *c, struct hs_verbs_device *d);
void hs_verbs_window_device_free(struct hs_verbs_device *d);
int hs_verbs_read(struct hs_link *l, uint64_t offset_bytes, uint32_t size_bytes,
		  uint64_t cookie);
void hs_verbs_reads_post(struct hs_verbs_chan *c);
void hs_verbs_read_came(struct hs_verbs_chan *c, uint32_t read);
void hs_verbs_read_failed(struct hs_verbs_chan *c, uint32_t read,
			  enum ibv_wc_status status);

/* verbs_cm.c */
void hs_verbs_cm_run(struct hs_verbs *v);
int hs_verbs_dial(struct hs_hub *h, struct hs_dial *dial, uint32_t at);
int hs_verbs_listen(struct hs_transport *t, const char *address);
/** hs_verbs_listen_again() - listeners whose device went; Return: when next */
uint64_t hs_verbs_listen_again(struct hs_verbs *v);
void hs_verbs_listeners_leave(struct hs_verbs *v, struct ibv_context *verbs);

/* verbs_ports.c */
/** hs_verbs_ports_open() - look at what there is. Return: 0; -ENODEV: nothing
 * that the options allow; -EINVAL: they do not fit */
int hs_verbs_ports_open(struct hs_verbs *v);
void hs_verbs_ports_close(struct hs_verbs *v);
/** hs_verbs_source() - what to dial from; NULL: by the route
 * @nearest: set to whether nearness decided it */
struct sockaddr *hs_verbs_source(struct hs_verbs *v, const struct hs_dial *dial,
				 const struct sockaddr *to, bool *nearest);

/** hs_transport_verbs_create_with() - over this table */
struct hs_transport *hs_transport_verbs_create_with(
	const struct hs_verbs_api *api, const struct hs_transport_self *self,
	const struct hs_transport_limits *limits,
	const struct hs_transport_verbs_options *options,
	const struct hs_transport_events *events, void *ctx);

#endif
