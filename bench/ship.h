/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what the parts of hs-perf ship share: one run of one carrier from a
 * process to another, over a veth pair or memory, and what came of it.
 */
#ifndef HS_BENCH_SHIP_H
#define HS_BENCH_SHIP_H

#include <stdbool.h>
#include <stdint.h>

#define HS_BENCH_SHIP_FROM "10.213.9.1"
#define HS_BENCH_SHIP_TO   "10.213.9.2"
/* Of ports that the kernel does not know of: it answers each of their frames
 * with an ICMP message, where they have its own addresses. */
#define HS_BENCH_SHIP_FROM_PORT "10.213.9.3"
#define HS_BENCH_SHIP_TO_PORT	"10.213.9.4"
#define HS_BENCH_SHIP_PORT	4641
/* The first of the agents. */
#define HS_BENCH_SHIP_NODE 1u

/* Of frames, both ways. */
struct hs_bench_badness {
	double loss;
	double repeat;
	double swap; /* sent behind the next one */
};

struct hs_bench_ship_run {
	/* "tcp", "tcp-ship", "udp", "memif", "vhost", "af_packet", "lent",
	 * "copy" */
	const char *carrier;
	char socket[64]; /* of memif, vhost and lent */
	uint32_t mtu;	 /* of the veth */
	uint32_t agent;	 /* of several, from 0: its node and UDP port */
	uint32_t slice_bytes;
	struct hs_bench_badness bad;
	uint64_t span_ns;
	uint64_t offered_per_s; /* bytes; 0: as much as goes */
	/* The folder of a collector's store at the receiving end; NULL: what
	 * comes is counted there. */
	const char *store;
	int zstd_level;	   /* of that; -1: as it is */
	uint64_t start_ns; /* of the first trace in it */
};

/* Written by both processes, read by the parent when they are gone. */
struct hs_bench_ship_result {
	bool ready; /* the receiver listens */
	bool stop;
	bool quiet[2];		/* to, from: polls no more */
	char why[128];		/* what went wrong; empty: nothing */
	uint64_t bytes, slices; /* settled, as the sender was told */
	uint64_t first_ns, last_ns;
	uint64_t cpu_from_ns, cpu_to_ns, cpu_lender_ns;
	uint64_t copied_from, copied_kernel_from, borrowed_from;
	uint64_t copied_lender; /* once more, by who lends the port */
	uint64_t copied_to;
	uint64_t frames, frames_again, drops;
	uint64_t out_of_credit; /* times that the sender was */
	/* Slices with other bytes than their checksum's, or that did not come
	 * each once and in order; of a store, also what it refused, and what
	 * was not found in it afterwards. */
	uint64_t bad;
	uint64_t syncs;	     /* of the store */
	double stored_share; /* of the bytes that came: what it wrote */
	double plain_rate;   /* GB/s of a plain writer of as many bytes */
};

/* As many as a collector has by default. */
#define HS_BENCH_SHIP_FRAMES 8192u
/* Slices of one trace in a store. */
#define HS_BENCH_SHIP_TRACE_NODES 2u

/* A memory of slices, larger than the last-level cache. */
#define HS_BENCH_SHIP_POOL_BYTES (256ull << 20)

/** hs_bench_ship_once() - two processes, @run->span_ns of it. 0 or -errno */
int hs_bench_ship_once(const struct hs_bench_ship_run *run,
		       struct hs_bench_ship_result *result);

/* One end each; they return when result->stop is set. */
void hs_bench_ship_tcp_from(const struct hs_bench_ship_run *run, uint8_t *pool,
			    struct hs_bench_ship_result *result);
void hs_bench_ship_tcp_to(const struct hs_bench_ship_run *run,
			  struct hs_bench_ship_result *result);
void hs_bench_ship_port_from(const struct hs_bench_ship_run *run, uint8_t *pool,
			     struct hs_bench_ship_result *result);
void hs_bench_ship_port_to(const struct hs_bench_ship_run *run,
			   struct hs_bench_ship_result *result);
/** hs_bench_ship_store_to() - a collector; it fills @pool for its sender */
void hs_bench_ship_store_to(const struct hs_bench_ship_run *run, uint8_t *pool,
			    struct hs_bench_ship_result *result);
/** hs_bench_ship_copy() - no carrier: sums and copies, by one core */
void hs_bench_ship_copy(const struct hs_bench_ship_run *run,
			const uint8_t *pool, struct hs_bench_ship_result *out);
struct hs_ship_slice;
/** hs_bench_ship_store_next() - the slice of that key, made where it lies */
void hs_bench_ship_store_next(const struct hs_bench_ship_run *run,
			      uint8_t *pool, uint64_t key,
			      struct hs_ship_slice *out);
/** hs_bench_ship_lender() - the application whose port the sender goes through
 */
void hs_bench_ship_lender(const struct hs_bench_ship_run *run,
			  struct hs_bench_ship_result *result);
bool hs_bench_ship_is_lent(const struct hs_bench_ship_run *run);
/** hs_bench_ship_vdev() - the device of one end of a way through DPDK
 * Return: false: none; *borrow: whether it sends memory that is not DPDK's. */
bool hs_bench_ship_vdev(const struct hs_bench_ship_run *run, bool from,
			char out[256], bool *borrow);
void hs_bench_ship_address(const struct hs_bench_ship_run *run, bool from,
			   char out[32]);
/** hs_bench_ship_lend_socket() - where the agent listens for the application */
void hs_bench_ship_lend_socket(const struct hs_bench_ship_run *run,
			       char out[80]);

/* Between the parent and its processes. */
void hs_bench_ship_ready(struct hs_bench_ship_result *result);
bool hs_bench_ship_is_ready(const struct hs_bench_ship_result *result);
/** hs_bench_ship_begun() - the connection is up: processor time counts from
 * here, and not from where DPDK began to start */
void hs_bench_ship_begun(void);
/** hs_bench_ship_over() - and no further than here */
void hs_bench_ship_over(void);
bool hs_bench_ship_stopped(const struct hs_bench_ship_result *result);
/** hs_bench_ship_quiet() - wait until the other end polls no more, either */
void hs_bench_ship_quiet(struct hs_bench_ship_result *result, bool from);

struct hs_ship_port;
/** hs_bench_lossy() - @under, as bad as @bad says to what is sent; takes it
 * over */
struct hs_ship_port *hs_bench_lossy(struct hs_ship_port *under,
				    const struct hs_bench_badness *bad);

#endif
