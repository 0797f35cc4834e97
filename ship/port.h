/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port.h - what carries the frames of the shipping protocol
 *
 * One interface for both ends: UDP sockets (port_udp.c), TCP (port_tcp.c) and
 * DPDK (port_dpdk.c). A port sends frames whose bytes lie wherever they lie,
 * copies them as seldom as it can and counts how often it did, and hands out
 * frames that came in its own memory until they are released. It may lose
 * anything.
 *
 * Context: one thread owns a port.
 */
#ifndef HS_SHIP_PORT_H
#define HS_SHIP_PORT_H

#include "ship/proto.h"

struct hs_ship_port;

/* Bytes to send, where they lie. */
struct hs_ship_port_span {
	const void *data;
	uint32_t bytes;
	/* Raised while the port needs the bytes, after send() too; NULL: it has
	 * to be done with them by the next flush(). */
	uint32_t *users;
};

struct hs_ship_port_frame {
	struct hs_ship_address from;
	void *handle;
	const void *data;
	uint32_t bytes;
};

struct hs_ship_port_stats {
	uint64_t frames_sent, bytes_sent;
	uint64_t frames_received, bytes_received;
	/* Of the slices' bytes: copied by us, by the kernel for us. */
	uint64_t bytes_copied, bytes_copied_kernel;
	uint64_t bytes_copied_lender; /* by who lends us a port */
	uint64_t bytes_borrowed;      /* sent from where they lay */
	uint64_t bytes_copied_in;     /* of frames that came */
	uint64_t system_calls;
	/* Why send() took nothing: no place in the queue, no memory, a link
	 * that is down, a neighbour that has not answered. */
	uint64_t full, no_memory, no_link, no_neighbour;
	uint64_t refused; /* frames that the kernel or device would not take */
	uint64_t dropped; /* came and found no memory */
	bool link_down;
	bool tls;
};

struct hs_ship_port_ops {
	const char *name; /* "udp", "tcp", "dpdk", "lent" */
	/** send() - 0; -EAGAIN: no room before the next poll */
	int (*send)(struct hs_ship_port *p, const struct hs_ship_address *to,
		    const void *head, uint32_t head_bytes,
		    const struct hs_ship_port_span *spans, uint32_t nr_spans);
	/** flush() - what send() took goes now */
	void (*flush)(struct hs_ship_port *p);
	/** receive() - up to @nr frames; each is to be released once */
	uint32_t (*receive)(struct hs_ship_port *p,
			    struct hs_ship_port_frame *frames, uint32_t nr);
	void (*release)(struct hs_ship_port *p, void *handle);
	/** fd() - readable when frames wait; -1: there is none, so poll */
	int (*fd)(const struct hs_ship_port *p);
	/**
	 * resolve() - an address as people write it
	 * @frame_bytes: the largest frame that goes there unfragmented
	 * Return: 0; -errno with *why set. May wait for a name server.
	 */
	int (*resolve)(struct hs_ship_port *p, const char *text,
		       struct hs_ship_address *out, uint32_t *frame_bytes,
		       const char **why);
	/**
	 * memory() - that spans will lie in; NULL: this port need not know
	 * @base: of its first page; writable while it is called, since a
	 *	device's mapping is for both ways
	 * @page_bytes: of the pages behind it
	 *
	 * Spans that lie elsewhere are copied.
	 */
	int (*memory)(struct hs_ship_port *p, void *base, uint64_t bytes,
		      uint64_t page_bytes);
	void (*stats)(const struct hs_ship_port *p,
		      struct hs_ship_port_stats *out);
	void (*destroy)(struct hs_ship_port *p);
};

/* Ports embed it first. */
struct hs_ship_port {
	const struct hs_ship_port_ops *ops;
};

struct hs_ship_udp_config {
	const char *bind;      /* "host:port", "[v6]:port"; port 0 picks one */
	uint32_t nr_frames;    /* that may be handed out at once; 0: only few */
	uint32_t buffer_bytes; /* of the socket, each way; 0: 4 MiB */
	uint8_t dscp;	       /* 0..63 */
	bool no_offload;       /* neither GSO nor GRO */
};

/**
 * hs_ship_udp_create() - a UDP socket
 * @why: what was wrong, when something was
 * Return: NULL with errno set.
 */
struct hs_ship_port *hs_ship_udp_create(const struct hs_ship_udp_config *config,
					const char **why);
struct hs_ship_dpdk_config {
	const char *vdev;	/* as EAL's --vdev, or NULL */
	const char *pci;	/* the one PCI device to use, or NULL */
	const char *bind;	/* "a.b.c.d:port" or "[v6]:port" */
	const char *neighbours; /* "IP=MAC ...", or NULL: all are asked for */
	uint32_t nr_frames;	/* as of UDP */
	uint16_t mtu;
	uint8_t dscp;
	int cpu;     /* that DPDK calls its own */
	bool borrow; /* the port sends memory that is not DPDK's: memif, vhost,
			PCI; not virtio_user */
};

/**
 * hs_ship_dpdk_create() - a DPDK port, the only one of the process
 *
 * In a module: see hs_ship_dpdk_load().
 */
struct hs_ship_port *
hs_ship_dpdk_create(const struct hs_ship_dpdk_config *config, const char **why);
typedef struct hs_ship_port *(*hs_ship_dpdk_create_fn)(
	const struct hs_ship_dpdk_config *config, const char **why);
/** hs_ship_dpdk_load() - NULL, with *why set: not built, or no DPDK here */
hs_ship_dpdk_create_fn hs_ship_dpdk_load(const char **why);

/* TLS, where it is configured; files as transport.tls_* name them. */
struct hs_ship_trust {
	const char *tls_ca, *tls_cert, *tls_key; /* all, or none: no TLS */
	int tls_bind;				 /* enum hs_tls_bind */
};

struct hs_ship_tcp_config {
	const char *bind;	 /* to listen at; NULL: an end that dials */
	uint32_t nr_connections; /* of the end that listens */
	uint32_t nr_frames;	 /* as of UDP */
	uint8_t dscp;
	const struct hs_ship_trust *trust; /* NULL: no TLS */
};

/** hs_ship_tcp_create() - see port_tcp.c; NULL with errno and *why set */
struct hs_ship_port *hs_ship_tcp_create(const struct hs_ship_tcp_config *config,
					const char **why);
/** hs_ship_tcp_port() - the port number that it listens at */
uint16_t hs_ship_tcp_port(const struct hs_ship_port *p);
/** hs_ship_udp_port() - the port number that it is bound to */
uint16_t hs_ship_udp_port(const struct hs_ship_port *p);

#endif
