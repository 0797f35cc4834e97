/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_verbs.h - the RDMA carrier of transport.h
 *
 * Reliable connections through librdmacm. Where the build has no libibverbs
 * or the machine no device, creating one fails with a clear errno and TCP is
 * the fallback (transport_create.h).
 */
#ifndef HS_RDMA_TRANSPORT_VERBS_H
#define HS_RDMA_TRANSPORT_VERBS_H

#include "rdma/transport.h"

#define HS_VERBS_NAME_BYTES 64u

/* All zeros: the nearest device that leads to the address (verbs_near.h). */
struct hs_transport_verbs_options {
	char device[HS_VERBS_NAME_BYTES]; /* "mlx5_0"; "": the nearest */
	char source[HS_VERBS_NAME_BYTES]; /* our address to dial from, or "" */
	uint32_t port;			  /* of the device; 0: any */
	uint32_t gid;		/* index + 1 whose address is the source */
	uint32_t traffic_class; /* DSCP << 2; 0: the fabric's default */
	uint32_t ack_timeout;	/* 4.096 us << it; 0: 14, which is 67 ms */
	uint32_t srq_depth;	/* receive buffers a device; 0: by nr_peers */
	uint32_t spin_ns;	/* poll so long before sleeping */
};

struct hs_transport_verbs_stats {
	uint64_t frames_sent;
	uint64_t frames_received;
	uint64_t control_sent; /* of frames_sent: credits only */
	uint64_t sends_inline;
	uint64_t sends_signalled;
	uint64_t doorbells;
	uint64_t completion_events; /* woken by the device */
	uint64_t registered_shared_bytes;
	uint64_t registered_peer_bytes;	    /* of all connections */
	uint64_t registered_peer_max_bytes; /* the most of one, ever */
	uint32_t inline_bytes;		    /* the device's limit, asked for */
	uint32_t srq_depth;		    /* of all devices */
	uint32_t srq_reserved; /* promised to peers; <= srq_depth */
	uint32_t srq_reserved_max;
	uint32_t nr_devices;
	uint32_t nr_devices_lost;
	bool huge_pages;
};

/**
 * hs_transport_verbs_create() - a transport over RDMA devices
 * @options: may be NULL
 *
 * Return: NULL with errno: EOPNOTSUPP: built without verbs; ENODEV: no device,
 *	or not the one that is named; EINVAL: a wrong option.
 */
struct hs_transport *
hs_transport_verbs_create(const struct hs_transport_self *self,
			  const struct hs_transport_limits *limits,
			  const struct hs_transport_verbs_options *options,
			  const struct hs_transport_events *events, void *ctx);

/** hs_transport_verbs_stats() - of a transport made above; else false */
bool hs_transport_verbs_stats(struct hs_transport *t,
			      struct hs_transport_verbs_stats *out);

#endif
