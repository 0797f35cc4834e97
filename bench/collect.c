/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: hs-perf collector: a collector's own work, from a slice's arrival
 * to its being durable, indexed and findable, beside a program that writes the
 * same bytes one after the other to the same disk and syncs as often.
 *
 * What comes is what agents and a coordinator would send: traces of a few
 * nodes, real spans in them, a manifest each. There is no network: how fast
 * that is, hs-perf ship says.
 */
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/args.h"
#include "base/clock.h"
#include "bench/bench.h"
#include "bench/plain_writer.h"
#include "bench/slices.h"
#include "collector/collector.h"

#define NODES_MAX	 16u
#define AHEAD_MAX	 256u /* traces made before the clock runs */
#define ROUNDS		 3u
#define SYNC_INTERVAL_NS (20 * HS_NS_PER_MS)
#define DRAIN_MAX_NS	 (120 * HS_NS_PER_SEC)

struct rig {
	struct hs_bench_slices slices;
	struct hs_collector *collector;
	char dir[256];
	int zstd_level;
	uint8_t *made[AHEAD_MAX][NODES_MAX]; /* messages, bytes in front */
	uint32_t made_bytes[AHEAD_MAX][NODES_MAX];
	uint64_t next; /* trace */
	uint64_t sent, acked, refused, manifests;
	uint64_t bytes; /* of slices that were acknowledged */
};

static int take_ack(void *ctx, uint32_t peer, uint16_t type,
		    const struct iovec *iov, int nr_iov)
{
	struct rig *r = ctx;
	const struct hs_wire_slice_ack *ack = iov[0].iov_base;

	(void)peer;
	(void)nr_iov;
	if (type == HS_WIRE_MANIFEST_ACK)
		r->manifests++;
	else if (type == HS_WIRE_SLICE_ACK && ack->refused)
		r->refused += ack->nr;
	else if (type == HS_WIRE_SLICE_ACK)
		r->acked += ack->nr;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int flag,
		      struct FTW *at)
{
	return remove(path);
}

static int rig_open(struct rig *r, const char *folder)
{
	struct hs_collector_options options = {
		.store = {.dir = r->dir, .zstd_level = r->zstd_level},
		.sync_interval_ns = SYNC_INTERVAL_NS,
		.send = take_ack,
		.ctx = r,
	};
	char error[256] = "";
	int rc;

	snprintf(r->dir, sizeof(r->dir), "%s/hs-perf-collector-%d", folder,
		 (int)getpid());
	hs_assembly_limits_fill(&options.limits);
	rc = hs_collector_open(&r->collector, &options, error, sizeof(error));
	if (rc)
		fprintf(stderr, "hs-perf: collector: %s\n", error);
	return rc;
}

static void rig_close(struct rig *r)
{
	hs_collector_close(r->collector);
	r->collector = NULL;
	nftw(r->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* One message, again and again until it is taken. */
static void give(struct rig *r, uint16_t type, const void *message,
		 uint32_t bytes)
{
	while (hs_collector_message(r->collector, 1, type, message, bytes,
				    hs_clock_mono_ns()))
		hs_collector_step(r->collector, hs_clock_mono_ns());
}

/* Spans are made once, since making them is not what is measured. */
static void make_ahead(struct rig *r)
{
	for (uint32_t i = 0; i < AHEAD_MAX; i++)
		for (uint32_t n = 0; n < r->slices.nr_nodes; n++)
			r->made_bytes[i][n] = hs_bench_slice_make(
				&r->slices, i, n, r->made[i][n]);
}

static void give_trace(struct rig *r)
{
	uint32_t i = (uint32_t)(r->next % AHEAD_MAX);
	uint32_t bytes[NODES_MAX];
	_Alignas(8) uint8_t manifest[4096];
	uint32_t n;

	for (n = 0; n < r->slices.nr_nodes; n++) {
		hs_bench_slice_rename(&r->slices, r->next, n, r->made[i][n],
				      r->made_bytes[i][n]);
		give(r, HS_WIRE_SLICE, r->made[i][n], r->made_bytes[i][n]);
		bytes[n] = r->made_bytes[i][n] -
			   (uint32_t)sizeof(struct hs_wire_slice);
		r->bytes += bytes[n];
		r->sent++;
	}
	n = hs_bench_manifest_make(&r->slices, r->next, bytes, manifest);
	give(r, HS_WIRE_MANIFEST, manifest, n);
	hs_collector_step(r->collector, hs_clock_mono_ns());
	r->next++;
}

struct turn {
	uint64_t ns, cpu_ns, slices, bytes, syncs;
};

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * HS_NS_PER_SEC + (uint64_t)t.tv_nsec;
}

static uint64_t syncs_of(struct rig *r)
{
	struct hs_collector_stats stats;

	hs_collector_stats(r->collector, &stats);
	return stats.store.syncs;
}

/* Until all that was given is durable. */
static void settle(struct rig *r)
{
	while (r->acked + r->refused < r->sent)
		if (hs_collector_sync(r->collector))
			return;
}

static struct turn collect(struct rig *r, uint64_t span_ns)
{
	uint64_t sent = r->sent, bytes = r->bytes, syncs = syncs_of(r);
	uint64_t from_ns = hs_clock_mono_ns(), from_cpu = cpu_ns();
	struct turn t = {0};

	while (hs_clock_mono_ns() - from_ns < span_ns)
		give_trace(r);
	settle(r);
	t.ns = hs_clock_mono_ns() - from_ns;
	t.cpu_ns = cpu_ns() - from_cpu;
	t.slices = r->sent - sent;
	t.bytes = r->bytes - bytes;
	t.syncs = syncs_of(r) - syncs;
	return t;
}

struct pieces {
	const struct rig *rig;
	uint32_t i, node;
};

static const void *next_piece(void *ctx, uint32_t *bytes)
{
	struct pieces *p = ctx;
	const void *piece = p->rig->made[p->i][p->node];

	*bytes = p->rig->made_bytes[p->i][p->node];
	p->node = (p->node + 1) % p->rig->slices.nr_nodes;
	p->i = (p->i + (p->node == 0)) % AHEAD_MAX;
	return piece;
}

/* The same bytes, written one after the other and synced as often. */
static int write_plainly(const struct rig *r, const char *folder,
			 const struct turn *like, struct hs_bench_written *out)
{
	struct pieces pieces = {r, 0, 0};

	return hs_bench_write_plainly(folder, like->bytes,
				      like->syncs ? like->bytes / like->syncs
						  : like->bytes,
				      next_piece, &pieces, out);
}

static int find_one(void *ctx, const struct hs_index_trace *trace)
{
	*(bool *)ctx =
		trace->mark == HS_ASSEMBLY_COMPLETE && trace->nr_spans > 0;
	return 0;
}

/* Until every trace's row says what its spans add up to. Return: ns. */
static uint64_t drain(struct rig *r)
{
	uint64_t from_ns = hs_clock_mono_ns();
	struct hs_collector_stats stats;

	do {
		usleep(1000);
		hs_collector_step(r->collector, hs_clock_mono_ns());
		hs_collector_stats(r->collector, &stats);
	} while (stats.counts.nr_stale &&
		 hs_clock_mono_ns() - from_ns < DRAIN_MAX_NS);
	return hs_clock_mono_ns() - from_ns;
}

/* How many of the last traces are complete, and found by their id. */
static uint64_t missing(struct rig *r, uint64_t from)
{
	struct hs_index *index =
		hs_store_index(hs_collector_store(r->collector));
	uint64_t nr = 0;

	for (uint64_t trace = from; trace < r->next; trace++) {
		struct hs_wire_trace_id id = hs_bench_slice_trace(trace);
		bool found = false;

		if (hs_index_get(index, &id, find_one, &found) || !found)
			nr++;
	}
	return nr;
}

static void notes(struct hs_bench_result *out, struct rig *r,
		  const struct turn *t)
{
	struct hs_collector_stats stats;

	hs_collector_stats(r->collector, &stats);
	snprintf(
		out->note, sizeof(out->note),
		"traces of %u nodes, each made whole and found by its id; cpu "
		"%.1f us a slice; %.0f kB a sync; %.0f %% of the bytes on disk",
		r->slices.nr_nodes,
		(double)t->cpu_ns / (double)t->slices / 1000,
		(double)t->bytes / (double)(t->syncs ? t->syncs : 1) / 1000,
		100.0 * (double)stats.store.stored_bytes /
			(double)stats.store.raw_bytes);
}

static int measure(struct hs_bench_report *report, struct rig *r,
		   const char *folder, uint64_t span_ns)
{
	double rates[ROUNDS], stored[ROUNDS], ratios[ROUNDS], rows[ROUNDS];
	struct hs_bench_result *out;
	uint64_t n = 0, lost = 0;
	struct hs_bench_written theirs = {0};
	struct turn ours = {0};
	int rc = rig_open(r, folder);

	for (uint32_t i = 0; !rc && i < ROUNDS; i++) {
		uint64_t from = r->next;

		ours = collect(r, span_ns);
		rows[i] = (double)(r->next - from) * 1e9 /
			  (double)(ours.ns + drain(r));
		rc = write_plainly(r, folder, &ours, &theirs);
		if (rc)
			break;
		rates[i] = (double)ours.slices * 1e9 / (double)ours.ns;
		stored[i] = (double)ours.bytes / (double)ours.ns;
		ratios[i] =
			stored[i] * (double)theirs.ns / (double)theirs.bytes;
		n += ours.slices;
		lost += missing(r, from) * r->slices.nr_nodes;
	}
	lost += r->sent - r->acked;
	if (!rc) {
		out = hs_bench_add(report, "collector_slices_per_s",
				   "slices/s");
		hs_bench_summarize(out, rates, ROUNDS);
		out->n = n;
		out->lost_share = (double)lost / (double)n;
		notes(out, r, &ours);
		out = hs_bench_add(report, "collector_rows_per_s", "traces/s");
		hs_bench_summarize(out, rows, ROUNDS);
		out->n = n / r->slices.nr_nodes;
		out->lost_share = (double)lost / (double)n;
		snprintf(out->note, sizeof(out->note),
			 "decoded, too: service, duration and errors in its "
			 "row; %u bytes of spans a trace",
			 r->slices.nr_nodes * r->slices.slice_bytes);
		out = hs_bench_add(report, "ship_stored", "GB/s");
		hs_bench_summarize(out, stored, ROUNDS);
		out->n = n;
		out->lost_share = (double)lost / (double)n;
		hs_bench_ratio_add(out, "seq_writer",
				   hs_bench_median(ratios, ROUNDS));
		notes(out, r, &ours);
	}
	rig_close(r);
	return rc;
}

static int rig_make(struct rig *r)
{
	for (uint32_t i = 0; i < AHEAD_MAX; i++)
		for (uint32_t n = 0; n < r->slices.nr_nodes; n++) {
			r->made[i][n] = malloc(sizeof(struct hs_wire_slice) +
					       r->slices.slice_bytes);
			if (!r->made[i][n])
				return -ENOMEM;
		}
	make_ahead(r);
	return 0;
}

int hs_perf_collector(int argc, char **argv)
{
	uint64_t span_ns = 3 * HS_NS_PER_SEC, nodes = 2, bytes = 10000;
	const char *folder = "/var/tmp";
	uint64_t level = 3;
	bool json = false, plain = false;
	const struct hs_args_option options[] = {
		{"span", 's', HS_ARGS_DURATION, &span_ns, "TIME",
		 "how long each turn is", 100 * HS_NS_PER_MS,
		 60 * HS_NS_PER_SEC},
		{"nodes", 'n', HS_ARGS_U64, &nodes, "N", "of each trace", 1,
		 NODES_MAX},
		{"slice", 'b', HS_ARGS_U64, &bytes, "BYTES", "of each slice",
		 HS_BENCH_SLICE_MIN_BYTES, 60000},
		{"store", 'o', HS_ARGS_STRING, &folder, "FOLDER",
		 "where the store is made, and removed", 0, 0},
		{"zstd", 'z', HS_ARGS_U64, &level, "LEVEL",
		 "of compression, 1 to 19", 1, 19},
		{"plain", 'p', HS_ARGS_FLAG, &plain, NULL, "no compression", 0,
		 0},
		{"json", 'j', HS_ARGS_FLAG, &json, NULL,
		 "one JSON object, as docs/BENCH.md says", 0, 0},
	};
	const struct hs_args_program program = {
		.name = "hs-perf collector",
		.synopsis = "[options]",
		.summary = "Slices and manifests into a collector's store: "
			   "durable, indexed, findable; beside a plain writer.",
		.options = options,
		.nr_options = sizeof(options) / sizeof(options[0]),
		.exit_codes = "0 good\n1 invalid or not measured\n2 usage\n",
	};
	struct hs_bench_report report = {0};
	static struct rig r;
	int first, rc;

	rc = hs_args_parse(&program, argc, argv, &first, stdout, stderr);
	if (rc)
		return rc == HS_ARGS_HELP ? 0 : HS_ARGS_EXIT_USAGE;
	report.json = json;
	r.slices = (struct hs_bench_slices){.slice_bytes = (uint32_t)bytes,
					    .nr_nodes = (uint32_t)nodes,
					    .start_ns = hs_clock_real_ns()};
	r.zstd_level = plain ? -1 : (int)level;
	hs_bench_control_run(&report, 200 * HS_NS_PER_MS);
	rc = rig_make(&r);
	if (!rc)
		rc = measure(&report, &r, folder, span_ns);
	if (rc)
		fprintf(stderr, "hs-perf: collector: %s\n", strerror(-rc));
	rc = hs_bench_print(&report, stdout) || rc;
	hs_bench_free(&report);
	return rc ? 1 : 0;
}
