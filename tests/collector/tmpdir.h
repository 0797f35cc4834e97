/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tmpdir.h - a directory of a test's own, gone afterwards
 */
#ifndef HS_TESTS_COLLECTOR_TMPDIR_H
#define HS_TESTS_COLLECTOR_TMPDIR_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void tmpdir_make(char path[256])
{
	const char *base = getenv("TMPDIR");

	snprintf(path, 256, "%s/hs-test-XXXXXX", base ? base : "/tmp");
	if (!mkdtemp(path)) {
		perror(path);
		exit(1);
	}
}

/* One level deep, which is all that a collector makes. */
static inline void tmpdir_empty(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	char name[600];

	while (dir && (entry = readdir(dir))) {
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		if (entry->d_name[0] != '.')
			unlink(name);
	}
	if (dir)
		closedir(dir);
}

static inline void tmpdir_remove(const char *path)
{
	tmpdir_empty(path);
	rmdir(path);
}

#endif
