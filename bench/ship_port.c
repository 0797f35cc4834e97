/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the shipping protocol over one port, from a pool in one process to a
 * counter in another.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/ship.h"
#include "ship/inlet.h"
#include "ship/outlet.h"
#include "ship/port_lent.h"

#define KEYS	     16384u
#define SLICES	     2048u
#define IDLE_WAIT_MS 1
#define POLL_NS	     (50 * HS_NS_PER_US) /* as an agent polls who lends */
#define IP_UDP_BYTES 28u

struct from {
	const struct hs_bench_ship_run *run;
	struct hs_bench_ship_result *result;
	uint8_t *pool;
	bool up;
};

/* The two ends of a way that is memory; of one that is a veth's end. */
static const struct {
	const char *name, *from, *to;
	bool borrow;
} devices[] = {
	{"memif",
	 "net_memif0,role=client,id=0,socket=%s,socket-abstract=no,"
	 "bsize=10240,rsize=8",
	 "net_memif0,role=server,id=0,socket=%s,socket-abstract=no,"
	 "bsize=10240,rsize=8",
	 true},
	{"vhost", "net_vhost0,iface=%s,client=0",
	 "net_virtio_user0,path=%s,mrg_rxbuf=1,queue_size=256", true},
	{"af_packet",
	 "net_af_packet0,iface=hsf0,framesz=16384,blocksz=65536,"
	 "framecnt=1024",
	 "net_af_packet0,iface=hsf1,framesz=16384,blocksz=65536,"
	 "framecnt=1024",
	 false},
};

bool hs_bench_ship_is_lent(const struct hs_bench_ship_run *run)
{
	return !strcmp(run->carrier, "lent");
}

void hs_bench_ship_lend_socket(const struct hs_bench_ship_run *run,
			       char out[80])
{
	snprintf(out, 80, "%s.lend", run->socket);
}

bool hs_bench_ship_vdev(const struct hs_bench_ship_run *run, bool from,
			char out[256], bool *borrow)
{
	const char *name = hs_bench_ship_is_lent(run) ? "memif" : run->carrier;

	for (size_t i = 0; i < sizeof(devices) / sizeof(*devices); i++) {
		if (strcmp(devices[i].name, name))
			continue;
		/* The table above holds the only formats there are. */
		snprintf(out, 256, from ? devices[i].from : devices[i].to,
			 run->socket);
		*borrow = devices[i].borrow;
		return true;
	}
	return false;
}

static struct hs_ship_port *dpdk_make(const struct hs_bench_ship_run *run,
				      const char *bind, bool from,
				      uint32_t nr_frames, const char **why)
{
	hs_ship_dpdk_create_fn create = hs_ship_dpdk_load(why);
	struct hs_ship_dpdk_config config = {
		.bind = bind,
		.nr_frames = nr_frames,
		.mtu = (uint16_t)run->mtu,
		.cpu = sched_getcpu(),
	};
	char vdev[256];

	config.vdev = vdev;
	if (!hs_bench_ship_vdev(run, from, vdev, &config.borrow)) {
		*why = "there is no such carrier";
		return NULL;
	}
	return create ? create(&config, why) : NULL;
}

static struct hs_ship_port *lent_make(const struct hs_bench_ship_run *run,
				      const char **why)
{
	char socket[80];
	const struct hs_ship_lent_config config = {.socket = socket,
						   .mode = 0600,
						   .frame_bytes = run->mtu -
								  IP_UDP_BYTES};

	hs_bench_ship_lend_socket(run, socket);
	return hs_ship_lent_create(&config, why);
}

static bool of_kernel(const struct hs_bench_ship_run *run)
{
	return !strcmp(run->carrier, "udp") ||
	       !strcmp(run->carrier, "tcp-ship");
}

void hs_bench_ship_address(const struct hs_bench_ship_run *run, bool from,
			   char out[32])
{
	const char *kernels = from ? HS_BENCH_SHIP_FROM : HS_BENCH_SHIP_TO;
	const char *ports =
		from ? HS_BENCH_SHIP_FROM_PORT : HS_BENCH_SHIP_TO_PORT;

	snprintf(out, 32, "%s:%u", of_kernel(run) ? kernels : ports,
		 HS_BENCH_SHIP_PORT + (from ? run->agent : 0));
}

static struct hs_ship_port *port_make(const struct hs_bench_ship_run *run,
				      bool from, uint32_t nr_frames,
				      struct hs_bench_ship_result *result)
{
	char bind[32];
	struct hs_ship_udp_config config = {
		.bind = bind, .nr_frames = nr_frames, .buffer_bytes = 16 << 20};
	const struct hs_ship_tcp_config tcp = {.bind = from ? NULL : bind,
					       .nr_connections = 64,
					       .nr_frames = nr_frames};
	const char *why;
	struct hs_ship_port *p;

	hs_bench_ship_address(run, from, bind);
	if (from && hs_bench_ship_is_lent(run))
		p = lent_make(run, &why);
	else if (!of_kernel(run))
		p = dpdk_make(run, bind, from, nr_frames, &why);
	else if (!strcmp(run->carrier, "udp"))
		p = hs_ship_udp_create(&config, &why);
	else
		p = hs_ship_tcp_create(&tcp, &why);
	if (!p) {
		snprintf(result->why, sizeof(result->why), "%s: %s: %s",
			 run->carrier, why, strerror(errno));
		return NULL;
	}
	return run->bad.loss > 0 ? hs_bench_lossy(p, &run->bad) : p;
}

/* ---- from -----------------------------------------------------------------
 */

static const void *from_bytes(void *ctx, const struct hs_ship_slice *slice)
{
	return ((struct from *)ctx)->pool + slice->where;
}

static void from_settled(void *ctx, const struct hs_ship_slice *slice,
			 bool refused)
{
	struct hs_bench_ship_result *result = ((struct from *)ctx)->result;

	result->last_ns = hs_clock_mono_ns();
	result->bytes += slice->head.length_bytes;
	result->slices++;
	result->bad += refused;
}

static void from_up(void *ctx, uint32_t nr, uint64_t node)
{
	struct from *f = ctx;

	f->up = true;
	hs_bench_ship_begun();
	f->result->first_ns = hs_clock_mono_ns();
}

static void from_down(void *ctx, uint32_t nr, const char *why)
{
	struct from *f = ctx;

	f->up = false;
	if (hs_bench_ship_stopped(f->result))
		return;
	snprintf(f->result->why, sizeof(f->result->why), "it went down: %s",
		 why);
}

static const struct hs_ship_outlet_ops from_ops = {from_bytes, from_settled,
						   from_up, from_down};

/* As many slices as are offered by now and taken. */
static void feed(struct from *f, struct hs_ship_outlet *o, uint64_t now_ns)
{
	static uint64_t place, key, fed;
	static uint32_t users; /* a pool that stays needs no more */
	const struct hs_bench_ship_run *run = f->run;
	uint64_t offered = UINT64_MAX;

	if (run->offered_per_s)
		offered = (uint64_t)((double)run->offered_per_s *
				     (double)(now_ns - f->result->first_ns) /
				     1e9);
	while (f->up && fed <= offered) {
		struct hs_ship_slice slice = {
			.head = {.ship_key = key,
				 .length_bytes = run->slice_bytes},
			.where = place,
			.users = &users};

		if (run->store)
			hs_bench_ship_store_next(run, f->pool, key, &slice);
		if (hs_ship_outlet_add(o, 0, &slice))
			return;
		key++;
		fed += run->slice_bytes;
		place += run->slice_bytes;
		if (place + run->slice_bytes > HS_BENCH_SHIP_POOL_BYTES)
			place = 0;
	}
}

static void wait_for(int fd, uint64_t until_ns, uint64_t now_ns)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint64_t ms =
		until_ns > now_ns ? (until_ns - now_ns) / HS_NS_PER_MS : 0;

	/* A port without a descriptor is polled. */
	if (fd < 0)
		return;
	(void)poll(&p, 1, ms < IDLE_WAIT_MS ? (int)ms : IDLE_WAIT_MS);
}

/* An agent does not spin while its lender sends, who has an lcore for it; nor
 * where a collector's store needs the processor. */
static void nap(uint64_t until_ns, uint64_t now_ns)
{
	uint64_t ns = until_ns - now_ns;
	const struct timespec span = {
		.tv_nsec = (long)(ns < POLL_NS ? ns : POLL_NS)};

	(void)nanosleep(&span, NULL);
}

void hs_bench_ship_port_from(const struct hs_bench_ship_run *run, uint8_t *pool,
			     struct hs_bench_ship_result *result)
{
	const struct hs_ship_outlet_config config = {
		.sender = {.node = HS_BENCH_SHIP_NODE + run->agent,
			   .nr_slices = SLICES}};
	struct from f = {run, result, pool, false};
	struct hs_ship_port *port = port_make(run, true, 256, result);
	struct hs_ship_sender_stats stats;
	struct hs_ship_port_stats ps;
	struct hs_ship_outlet *o;
	char to[32];
	const char *why = "no memory";

	if (!port)
		return;
	if (port->ops->memory &&
	    port->ops->memory(port, pool, HS_BENCH_SHIP_POOL_BYTES, 4096)) {
		snprintf(result->why, sizeof(result->why),
			 "the port cannot be lent memory");
		return;
	}
	o = hs_ship_outlet_create(port, &config, &from_ops, &f);
	hs_bench_ship_address(run, false, to);
	if (!o || hs_ship_outlet_dial(o, to, hs_clock_mono_ns(), &why) < 0) {
		snprintf(result->why, sizeof(result->why), "%s: %s", to, why);
		return;
	}
	while (!hs_bench_ship_stopped(result)) {
		uint64_t now_ns = hs_clock_mono_ns(), until_ns;
		uint64_t before = result->slices;

		feed(&f, o, now_ns);
		until_ns = hs_ship_outlet_run(o, now_ns);
		if (result->slices != before || until_ns <= now_ns)
			continue;
		if (hs_bench_ship_is_lent(run) ||
		    (run->store && hs_ship_outlet_fd(o) < 0))
			nap(until_ns, now_ns);
		else
			wait_for(hs_ship_outlet_fd(o), until_ns, now_ns);
	}
	/* Of a lent port's driver it is the lender that polls. */
	if (!hs_bench_ship_is_lent(run))
		hs_bench_ship_quiet(result, true);
	hs_ship_outlet_stats(o, 0, &stats, &ps);
	result->out_of_credit = stats.out_of_credit;
	result->frames = stats.frames_sent;
	result->frames_again = stats.frames_resent;
	result->copied_from = ps.bytes_copied;
	result->copied_kernel_from = ps.bytes_copied_kernel;
	result->borrowed_from = ps.bytes_borrowed;
	result->copied_lender = ps.bytes_copied_lender;
	/* Without a goodbye, which would be polling: the process ends now. */
}

/* ---- to -------------------------------------------------------------------
 */

struct to {
	struct hs_bench_ship_result *result;
	struct hs_ship_inlet *inlet;
	uint64_t keys[KEYS];
	uint64_t next_key; /* on this connection */
	uint32_t nr_keys, connection;
	bool any;
};

static enum hs_ship_verdict to_slice(void *ctx, uint32_t connection,
				     const struct hs_wire_slice *head,
				     const struct hs_ship_span *spans,
				     uint32_t nr_spans)
{
	struct to *t = ctx;

	if (t->nr_keys == KEYS)
		return HS_SHIP_BUSY;
	t->connection = connection;
	t->result->bad += t->any && head->ship_key != t->next_key;
	t->next_key = head->ship_key + 1;
	t->any = true;
	t->keys[t->nr_keys++] = head->ship_key;
	return HS_SHIP_TAKEN;
}

static void to_up(void *ctx, uint32_t connection, uint64_t node)
{
	hs_bench_ship_begun();
}

static void to_down(void *ctx, uint32_t connection, const char *why)
{
	((struct to *)ctx)->nr_keys = 0;
	((struct to *)ctx)->any = false;
}

static const struct hs_ship_inlet_ops to_ops = {to_slice, to_up, to_down};

static void settle(struct to *t)
{
	for (uint32_t i = 0; i < t->nr_keys; i++)
		hs_ship_inlet_settle(t->inlet, t->connection, t->keys[i],
				     false);
	t->nr_keys = 0;
}

void hs_bench_ship_port_to(const struct hs_bench_ship_run *run,
			   struct hs_bench_ship_result *result)
{
	const struct hs_ship_receiver_config config = {
		.node = 2,
		.frame_bytes = HS_SHIP_FRAME_MAX_BYTES,
		.nr_connections = 16,
		.nr_frames = HS_BENCH_SHIP_FRAMES};
	static struct to t;
	struct hs_ship_port *port =
		port_make(run, false, HS_BENCH_SHIP_FRAMES, result);
	struct hs_ship_receiver_stats stats;
	struct hs_ship_port_stats ps;

	if (!port)
		return;
	t.result = result;
	t.inlet = hs_ship_inlet_create(port, &config, &to_ops, &t,
				       hs_clock_mono_ns());
	if (!t.inlet) {
		snprintf(result->why, sizeof(result->why), "receiver: %s",
			 strerror(errno));
		return;
	}
	hs_bench_ship_ready(result);
	while (!hs_bench_ship_stopped(result)) {
		uint64_t now_ns = hs_clock_mono_ns(), until_ns;
		uint32_t nr;

		until_ns = hs_ship_inlet_run(t.inlet, 512, &nr, now_ns);
		settle(&t);
		if (!nr && !t.nr_keys)
			wait_for(hs_ship_inlet_fd(t.inlet), until_ns, now_ns);
	}
	hs_bench_ship_quiet(result, false);
	hs_ship_inlet_stats(t.inlet, &stats, &ps);
	result->copied_to = ps.bytes_copied_in;
	result->drops = ps.dropped + stats.frames_bad + stats.frames_beyond;
	result->bad += stats.slices_anew;
}
