/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: a peer of hs-perf disk: a store's writes and their sync by io_uring,
 * linked, so that the kernel goes from one to the next by itself.
 */
#include <errno.h>
#include <liburing.h>

#include "bench/disk.h"

#define ENTRIES 32u

static struct io_uring ring;
static uint32_t nr_under_way;

static int start(int cpu)
{
	(void)cpu;
	return io_uring_queue_init(ENTRIES, &ring, 0);
}

static void stop(void)
{
	io_uring_queue_exit(&ring);
}

static int submit(int fd, const uint8_t *data, uint32_t bytes, uint64_t at)
{
	struct io_uring_sqe *sqe;
	uint32_t nr = 0;
	int rc;

	while (bytes) {
		uint32_t n = bytes < HS_BENCH_DISK_WRITE_BYTES
				     ? bytes
				     : HS_BENCH_DISK_WRITE_BYTES;

		sqe = io_uring_get_sqe(&ring);
		if (!sqe)
			return -ENOBUFS;
		io_uring_prep_write(sqe, fd, data, n, at);
		io_uring_sqe_set_data64(sqe, n);
		sqe->flags |= IOSQE_IO_LINK;
		data += n;
		at += n;
		bytes -= n;
		nr++;
	}
	sqe = io_uring_get_sqe(&ring);
	if (!sqe)
		return -ENOBUFS;
	io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
	io_uring_sqe_set_data64(sqe, 0);
	nr_under_way = nr + 1;
	rc = io_uring_submit(&ring);
	return rc < 0 ? rc : 0;
}

static int wait_all(void)
{
	int rc = 0;

	for (; nr_under_way; nr_under_way--) {
		struct io_uring_cqe *cqe;
		int error = io_uring_wait_cqe(&ring, &cqe);

		if (error)
			return error;
		/* A write that was short ended its chain. */
		if (cqe->res < 0)
			rc = cqe->res;
		else if ((uint64_t)cqe->res != io_uring_cqe_get_data64(cqe))
			rc = rc ? rc : -EIO;
		io_uring_cqe_seen(&ring, cqe);
	}
	return rc;
}

__attribute__((visibility("default")))
const struct hs_bench_disk_uring hs_bench_peer = {
	.peer = {.name = "io_uring", .start = start, .stop = stop},
	.submit = submit,
	.wait = wait_all,
};
