/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see plain_writer.h. */
#include "bench/plain_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

int hs_bench_write_plainly(const char *folder, uint64_t bytes, uint64_t every,
			   const void *(*next)(void *ctx, uint32_t *bytes),
			   void *ctx, struct hs_bench_written *out)
{
	uint64_t unsynced = 0, from_ns;
	char path[300];
	int fd, rc = 0;

	snprintf(path, sizeof(path), "%s/hs-perf-writer-%d", folder,
		 (int)getpid());
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	unlink(path);
	*out = (struct hs_bench_written){0};
	from_ns = hs_clock_mono_ns();
	while (!rc && out->bytes < bytes) {
		uint32_t piece_bytes;
		const void *piece = next(ctx, &piece_bytes);

		if (write(fd, piece, piece_bytes) != (ssize_t)piece_bytes)
			rc = -EIO;
		out->bytes += piece_bytes;
		unsynced += piece_bytes;
		if (unsynced < every && out->bytes < bytes)
			continue;
		if (fdatasync(fd))
			rc = -errno;
		unsynced = 0;
	}
	out->ns = hs_clock_mono_ns() - from_ns;
	close(fd);
	return rc;
}
