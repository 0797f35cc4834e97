/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: hs-perf disk: how a store's thread brings groups of slices to its
 * disk. By pwrite and fdatasync, as it does (ADR 55); the same by io_uring; and
 * by io_uring with the next group packed while one is under way, which takes a
 * second memory of packed bytes. With packing and without, in turns.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "base/args.h"
#include "base/clock.h"
#include "bench/bench.h"
#include "bench/disk.h"
#include "bench/slices.h"

#define SLICE_BYTES 10000u
#define GROUP_BYTES (8u << 20)	 /* a quarter of a store's ring */
#define FILE_BYTES  (256u << 20) /* then from its start again, emptied */
#define ZSTD_LEVEL  3

struct disk {
	const struct hs_bench_disk_uring *uring;
	bool packs;
	uint8_t *raw;	    /* a group of slices, one behind the other */
	uint8_t *packed[2]; /* one is packed while one is under way */
	uint32_t slice_bytes, nr_slices;
	size_t packed_room;
	ZSTD_CCtx *zstd;
	int fd;
	uint64_t at, groups, failed, bytes_out;
};

/* ---- a group --------------------------------------------------------------
 */

/* Each slice by itself, as it has to be read back. Return: bytes. */
static uint32_t pack(struct disk *d, uint8_t *out)
{
	size_t used = 0;

	if (!d->packs) {
		memcpy(out, d->raw, (size_t)d->nr_slices * d->slice_bytes);
		return d->nr_slices * d->slice_bytes;
	}
	for (uint32_t i = 0; i < d->nr_slices; i++) {
		size_t n = ZSTD_compressCCtx(
			d->zstd, out + used, d->packed_room - used,
			d->raw + (size_t)i * d->slice_bytes, d->slice_bytes,
			ZSTD_LEVEL);

		if (ZSTD_isError(n))
			d->failed++;
		else
			used += n;
	}
	return (uint32_t)used;
}

static uint64_t next_place(struct disk *d, uint32_t bytes)
{
	uint64_t at = d->at;

	d->at += bytes;
	d->groups++;
	d->bytes_out += bytes;
	return at;
}

/* Untimed, before each turn: so that files do not grow without end. */
static void settle(void *context)
{
	struct disk *d = context;

	if (d->at < FILE_BYTES)
		return;
	d->at = 0;
	if (ftruncate(d->fd, 0) || fsync(d->fd))
		d->failed++;
}

/* ---- the ways -------------------------------------------------------------
 */

static void by_pwrite(void *context, uint32_t n)
{
	struct disk *d = context;

	while (n--) {
		uint32_t bytes = pack(d, d->packed[0]), done = 0;
		uint64_t at = next_place(d, bytes);

		while (done < bytes) {
			size_t want = bytes - done < HS_BENCH_DISK_WRITE_BYTES
					      ? bytes - done
					      : HS_BENCH_DISK_WRITE_BYTES;
			ssize_t got = pwrite(d->fd, d->packed[0] + done, want,
					     (off_t)(at + done));

			if (got <= 0) {
				d->failed++;
				return;
			}
			done += (uint32_t)got;
		}
		d->failed += fdatasync(d->fd) != 0;
	}
}

static void by_uring(void *context, uint32_t n)
{
	struct disk *d = context;

	while (n--) {
		uint32_t bytes = pack(d, d->packed[0]);
		uint64_t at = next_place(d, bytes);

		d->failed += d->uring->submit(d->fd, d->packed[0], bytes, at) ||
			     d->uring->wait();
	}
}

/* A group is packed while the one before it is under way. */
static void by_uring_ahead(void *context, uint32_t n)
{
	struct disk *d = context;

	for (uint32_t i = 0; i < n; i++) {
		uint8_t *out = d->packed[i % 2];
		uint32_t bytes = pack(d, out);
		uint64_t at = next_place(d, bytes);

		if (i)
			d->failed += d->uring->wait() != 0;
		d->failed += d->uring->submit(d->fd, out, bytes, at) != 0;
	}
	d->failed += d->uring->wait() != 0;
}

/* ---- measuring ------------------------------------------------------------
 */

static int make(struct disk *d, const char *folder)
{
	static _Alignas(8)
		uint8_t message[sizeof(struct hs_wire_slice) + SLICE_BYTES];
	const struct hs_bench_slices slices = {.slice_bytes = SLICE_BYTES,
					       .nr_nodes = 1,
					       .start_ns = hs_clock_real_ns()};
	char path[300];

	d->packed_room = 2 * (size_t)GROUP_BYTES;
	d->raw = malloc(GROUP_BYTES);
	d->packed[0] = malloc(d->packed_room);
	d->packed[1] = malloc(d->packed_room);
	d->zstd = ZSTD_createCCtx();
	if (!d->raw || !d->packed[0] || !d->packed[1] || !d->zstd)
		return -ENOMEM;
	d->slice_bytes = hs_bench_slice_make(&slices, 0, 0, message) -
			 (uint32_t)sizeof(struct hs_wire_slice);
	d->nr_slices = GROUP_BYTES / d->slice_bytes;
	for (uint32_t i = 0; i < d->nr_slices; i++) {
		hs_bench_slice_make(&slices, i, 0, message);
		memcpy(d->raw + (size_t)i * d->slice_bytes,
		       message + sizeof(struct hs_wire_slice), d->slice_bytes);
	}
	snprintf(path, sizeof(path), "%s/hs-perf-disk-%d", folder,
		 (int)getpid());
	d->fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (d->fd < 0)
		return -errno;
	unlink(path);
	return 0;
}

static void measure(struct hs_bench_report *report, struct disk *d,
		    const char *name, uint32_t groups, uint32_t rounds)
{
	const struct hs_bench_op ops[] = {
		{.name = "pwrite",
		 .run = by_pwrite,
		 .context = d,
		 .settle = settle},
		{.name = "io_uring",
		 .run = by_uring,
		 .context = d,
		 .settle = settle},
		{.name = "io_uring_ahead",
		 .run = by_uring_ahead,
		 .context = d,
		 .settle = settle},
	};
	struct hs_bench_result *r = hs_bench_add(report, name, "ns");
	uint64_t from = d->groups;

	d->bytes_out = d->failed = 0;
	hs_bench_turns(r, ops, d->uring ? 3 : 1, groups, rounds);
	r->n = d->groups - from;
	r->lost_share = (double)d->failed / (double)r->n;
	snprintf(r->note, sizeof(r->note),
		 "a group of %u slices of %u bytes, packed to %.0f %%, written "
		 "and synced; %u groups a turn",
		 d->nr_slices, d->slice_bytes,
		 100.0 * (double)d->bytes_out /
			 ((double)r->n * d->nr_slices * d->slice_bytes),
		 groups);
}

int hs_perf_disk(int argc, char **argv)
{
	const char *folder = "/var/tmp";
	uint64_t groups = 8, rounds = 10;
	bool json = false;
	const struct hs_args_option options[] = {
		{"store", 'o', HS_ARGS_STRING, &folder, "FOLDER",
		 "on whose disk a file is made, and removed", 0, 0},
		{"groups", 'g', HS_ARGS_U64, &groups, "N",
		 "of 8 MiB, in a turn", 2, 1000},
		{"rounds", 'r', HS_ARGS_U64, &rounds, "N",
		 "there and back through all ways", 1, 1000},
		{"json", 'j', HS_ARGS_FLAG, &json, NULL,
		 "one JSON object, as docs/BENCH.md says", 0, 0},
	};
	const struct hs_args_program program = {
		.name = "hs-perf disk",
		.synopsis = "[options]",
		.summary = "How a store's thread brings slices to its disk: "
			   "pwrite and fdatasync, beside io_uring.",
		.options = options,
		.nr_options = sizeof(options) / sizeof(options[0]),
		.exit_codes = "0 good\n1 invalid or not measured\n2 usage\n",
	};
	struct hs_bench_report report = {0};
	static struct disk d;
	int first, rc;

	rc = hs_args_parse(&program, argc, argv, &first, stdout, stderr);
	if (rc)
		return rc == HS_ARGS_HELP ? 0 : HS_ARGS_EXIT_USAGE;
	report.json = json;
	d.uring = (const void *)hs_bench_peer_open("uring", -1);
	hs_bench_control_run(&report, 200 * HS_NS_PER_MS);
	rc = make(&d, folder);
	if (rc) {
		fprintf(stderr, "hs-perf: disk: %s\n", strerror(-rc));
	} else {
		measure(&report, &d, "disk_group", (uint32_t)groups,
			(uint32_t)rounds);
		d.packs = true;
		measure(&report, &d, "disk_group_packed", (uint32_t)groups,
			(uint32_t)rounds);
	}
	if (d.uring)
		d.uring->peer.stop();
	rc = hs_bench_print(&report, stdout) || rc;
	hs_bench_free(&report);
	return rc ? 1 : 0;
}
