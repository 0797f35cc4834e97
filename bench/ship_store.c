/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: a whole collector at the receiving end of hs-perf ship: its intake,
 * assembly, store and index. What counts is settled when it is durable and in
 * the index; afterwards each trace must be found there, whole. Manifests, which
 * coordinators send another way, are made where the slices have come.
 */
#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "bench/plain_writer.h"
#include "bench/ship.h"
#include "bench/slices.h"
#include "collector/collector.h"
#include "collector/intake.h"
#include "ship/proto_send.h"

#define KINDS		 256u /* of slices; a multiple of the nodes */
#define SLOT_ALIGN	 64u
#define SYNC_INTERVAL_NS (20 * HS_NS_PER_MS)
#define COORDINATOR	 1u

static struct hs_bench_slices slices_of(const struct hs_bench_ship_run *run)
{
	return (struct hs_bench_slices){.slice_bytes = run->slice_bytes,
					.nr_nodes = HS_BENCH_SHIP_TRACE_NODES,
					.start_ns = run->start_ns};
}

/* ---- the slices, in the sender's pool -------------------------------------
 */

static uint32_t slot_bytes(const struct hs_bench_ship_run *run)
{
	uint32_t bytes =
		(uint32_t)sizeof(struct hs_wire_slice) + run->slice_bytes;

	return (bytes + SLOT_ALIGN - 1) / SLOT_ALIGN * SLOT_ALIGN;
}

static void fill(const struct hs_bench_ship_run *run, uint8_t *pool)
{
	const struct hs_bench_slices slices = slices_of(run);
	uint32_t step = slot_bytes(run);

	for (uint32_t i = 0; i < HS_BENCH_SHIP_POOL_BYTES / step; i++) {
		uint8_t *slot = pool + (uint64_t)i * step;

		if (i < KINDS)
			hs_bench_slice_make(&slices, i / slices.nr_nodes,
					    i % slices.nr_nodes, slot);
		else
			memcpy(slot, slot - (uint64_t)KINDS * step, step);
	}
}

void hs_bench_ship_store_next(const struct hs_bench_ship_run *run,
			      uint8_t *pool, uint64_t key,
			      struct hs_ship_slice *out)
{
	const struct hs_bench_slices slices = slices_of(run);
	uint32_t step = slot_bytes(run);
	/* As many as fill a turn of kinds: a slot's kind is its number's. */
	uint64_t nr = HS_BENCH_SHIP_POOL_BYTES / step / KINDS * KINDS;
	struct hs_wire_slice *head = (void *)(pool + key % nr * step);

	hs_bench_slice_name(&slices, key / slices.nr_nodes,
			    (uint32_t)(key % slices.nr_nodes), head);
	out->head = *head;
	out->where = (uint64_t)((uint8_t *)(head + 1) - pool);
}

/* ---- the collector --------------------------------------------------------
 */

struct store {
	const struct hs_bench_ship_run *run;
	struct hs_bench_ship_result *result;
	struct hs_bench_slices slices;
	struct hs_collector *collector;
	struct hs_intake *intake;
	char dir[256];
	uint64_t manifests; /* given, each of the trace of that number */
	uint64_t bytes;	    /* of slices that were acknowledged */
	uint64_t acked;
	uint32_t kind_bytes[KINDS];
};

static int answer(void *ctx, uint32_t peer, uint16_t type,
		  const struct iovec *iov, int nr_iov)
{
	const struct hs_wire_slice_ack *ack = iov[0].iov_base;
	const uint64_t *keys = (const uint64_t *)(ack + 1);
	struct store *s = ctx;

	if (type != HS_WIRE_SLICE_ACK)
		return 0;
	for (uint32_t i = 0; i < ack->nr; i++)
		s->bytes += s->kind_bytes[keys[i] % KINDS];
	s->acked += ack->nr;
	s->result->bad += ack->refused ? ack->nr : 0;
	return hs_intake_ack(s->intake, peer, iov, nr_iov);
}

static int collector_open(struct store *s)
{
	struct hs_collector_options options = {
		.store = {.dir = s->dir, .zstd_level = s->run->zstd_level},
		.sync_interval_ns = SYNC_INTERVAL_NS,
		.send = answer,
		.ctx = s,
	};

	snprintf(s->dir, sizeof(s->dir), "%s/hs-perf-ship-%d", s->run->store,
		 (int)getpid());
	hs_assembly_limits_fill(&options.limits);
	return hs_collector_open(&s->collector, &options, s->result->why,
				 sizeof(s->result->why));
}

static int intake_make(struct store *s)
{
	const struct hs_transport_settings transport = {0};
	char bind[32], vdev[256];
	bool borrow = false;
	struct hs_ship_settings settings = {
		.bind = bind,
		.carrier = HS_SHIP_CARRIER_DPDK,
		.vdev = vdev,
		.cpu = sched_getcpu(),
		.mtu = s->run->mtu,
		.nr_frames = HS_BENCH_SHIP_FRAMES,
		.nr_connections = 16,
	};

	hs_bench_ship_address(s->run, false, bind);
	if (!strcmp(s->run->carrier, "udp"))
		settings.carrier = HS_SHIP_CARRIER_UDP;
	else if (!strcmp(s->run->carrier, "tcp-ship"))
		settings.carrier = HS_SHIP_CARRIER_TCP;
	else if (!hs_bench_ship_vdev(s->run, false, vdev, &borrow))
		return -EINVAL;
	settings.copies = !borrow;
	return hs_intake_make(&s->intake, &settings, &transport, 2,
			      s->collector);
}

/* Of each trace whose slices have come: there is one sender, in order. */
static void manifests_give(struct store *s, uint64_t now_ns)
{
	const uint32_t nr_nodes = s->slices.nr_nodes;
	_Alignas(8) uint8_t manifest[4096];
	struct hs_assembly_stats stats;

	hs_assembly_stats(hs_collector_assembly(s->collector), &stats);
	for (; s->manifests < stats.slices / nr_nodes; s->manifests++) {
		uint32_t first = (uint32_t)(s->manifests * nr_nodes % KINDS);
		uint32_t n =
			hs_bench_manifest_make(&s->slices, s->manifests,
					       s->kind_bytes + first, manifest);

		if (hs_collector_message(s->collector, COORDINATOR,
					 HS_WIRE_MANIFEST, manifest, n, now_ns))
			return;
	}
}

static void wait_for(const struct store *s, uint64_t ns)
{
	struct pollfd fds[] = {
		{.fd = hs_intake_fd(s->intake), .events = POLLIN},
		{.fd = hs_collector_fd(s->collector), .events = POLLIN},
	};
	const struct timespec span = {(time_t)(ns / HS_NS_PER_SEC),
				      (long)(ns % HS_NS_PER_SEC)};

	(void)ppoll(fds, 2, &span, NULL);
}

static void run(struct store *s)
{
	uint64_t now_ns, ship_ns, step_ns = 0;

	while (!hs_bench_ship_stopped(s->result)) {
		now_ns = hs_clock_mono_ns();
		ship_ns = hs_intake_run(s->intake, now_ns);
		manifests_give(s, now_ns);
		step_ns = hs_collector_step(s->collector, hs_clock_mono_ns());
		step_ns = ship_ns < step_ns ? ship_ns : step_ns;
		wait_for(s, step_ns < HS_NS_PER_MS ? step_ns : HS_NS_PER_MS);
	}
}

/* ---- afterwards -----------------------------------------------------------
 */

static int find_one(void *ctx, const struct hs_index_trace *trace)
{
	*(bool *)ctx = trace->mark == HS_ASSEMBLY_COMPLETE;
	return 0;
}

static uint64_t missing(struct store *s)
{
	struct hs_index *index =
		hs_store_index(hs_collector_store(s->collector));
	uint64_t nr = 0;

	for (uint64_t trace = 0; trace < s->acked / s->slices.nr_nodes;
	     trace++) {
		struct hs_wire_trace_id id = hs_bench_slice_trace(trace);
		bool found = false;

		if (hs_index_get(index, &id, find_one, &found) || !found)
			nr++;
	}
	return nr;
}

struct pieces {
	const struct store *store;
	const uint8_t *pool;
	uint64_t next;
};

static const void *next_piece(void *ctx, uint32_t *bytes)
{
	struct pieces *p = ctx;
	uint32_t kind = (uint32_t)(p->next++ % KINDS);

	*bytes = p->store->kind_bytes[kind];
	return p->pool + (uint64_t)kind * slot_bytes(p->store->run) +
	       sizeof(struct hs_wire_slice);
}

static void look_back(struct store *s, uint8_t *pool)
{
	struct hs_bench_ship_result *r = s->result;
	struct pieces pieces = {s, pool, 0};
	struct hs_collector_stats stats;
	struct hs_bench_written plain;

	hs_collector_stats(s->collector, &stats);
	r->syncs = stats.store.syncs;
	r->stored_share = (double)stats.store.stored_bytes /
			  (double)(stats.store.raw_bytes + 1);
	manifests_give(s, hs_clock_mono_ns());
	(void)hs_collector_sync(s->collector);
	r->bad += missing(s) * s->slices.nr_nodes;
	if (!s->bytes || !r->syncs)
		return;
	if (!hs_bench_write_plainly(s->run->store, s->bytes,
				    s->bytes / r->syncs, next_piece, &pieces,
				    &plain))
		r->plain_rate = (double)plain.bytes / (double)plain.ns;
}

static int remove_one(const char *path, const struct stat *st, int flag,
		      struct FTW *at)
{
	return remove(path);
}

void hs_bench_ship_store_to(const struct hs_bench_ship_run *run_, uint8_t *pool,
			    struct hs_bench_ship_result *result)
{
	static struct store s;
	int rc;

	s = (struct store){.run = run_, .result = result};
	s.slices = slices_of(run_);
	hs_log_level_set(HS_LOG_ERROR);
	fill(run_, pool);
	for (uint32_t i = 0; i < KINDS; i++) {
		struct hs_wire_slice head;

		memcpy(&head, pool + (uint64_t)i * slot_bytes(run_),
		       sizeof(head));
		s.kind_bytes[i] = head.length_bytes;
	}
	rc = collector_open(&s);
	if (!rc)
		rc = intake_make(&s);
	if (rc) {
		if (!result->why[0])
			snprintf(result->why, sizeof(result->why),
				 "collector: %s", strerror(-rc));
		return;
	}
	hs_bench_ship_begun();
	hs_bench_ship_ready(result);
	run(&s);
	hs_bench_ship_quiet(result, false);
	hs_bench_ship_over();
	look_back(&s, pool);
	/* Without a goodbye to the port, which would be polling. */
	hs_collector_close(s.collector);
	nftw(s.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
