/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nosync.c - a libc whose syncs do nothing, by LD_PRELOAD
 *
 * What is acknowledged behind such a sync must be missed after a power cut; if
 * it is not, the test that looks for it sees nothing.
 */
#include <sys/types.h>

int fsync(int fd);
int fdatasync(int fd);
int sync_file_range(int fd, off64_t offset, off64_t bytes, unsigned int flags);

__attribute__((visibility("default"))) int fsync(int fd)
{
	return 0;
}

__attribute__((visibility("default"))) int fdatasync(int fd)
{
	return 0;
}

__attribute__((visibility("default"))) int
sync_file_range(int fd, off64_t offset, off64_t bytes, unsigned int flags)
{
	return 0;
}
