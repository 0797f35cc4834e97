/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: where left memory is, and how to get at it; see salvage.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/held.h"
#include "agent/keeper.h"
#include "base/fdpass.h"
#include "tools/salvage.h"

#define COPY_BYTES (1u << 20)

static __attribute__((format(printf, 3, 4))) int
failed(struct hs_salvage *s, int rc, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(s->error, sizeof(s->error), format, args);
	va_end(args);
	return rc;
}

int hs_salvage_add(struct hs_salvage *s, const char *name, int fd)
{
	struct hs_salvage_area *a = &s->areas[s->nr_areas];
	struct stat st;
	void *base;

	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size <= 0)
		return 1;
	for (uint32_t i = 0; i < s->nr_areas; i++)
		if (s->areas[i].device == st.st_dev &&
		    s->areas[i].inode == st.st_ino)
			return 1;
	if (s->nr_areas == HS_SALVAGE_AREAS_MAX)
		return -ENOSPC;
	base = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		return -errno;
	*a = (struct hs_salvage_area){
		.fd = fd,
		.device = st.st_dev,
		.inode = st.st_ino,
		.base = base,
		.size_bytes = (size_t)st.st_size,
	};
	snprintf(a->name, sizeof(a->name), "%s", name);
	s->nr_areas++;
	return 0;
}

/* Own: takes @fd in any case. */
static int add_or_close(struct hs_salvage *s, const char *name, int fd)
{
	int rc = hs_salvage_add(s, name, fd);

	if (rc)
		close(fd);
	return rc < 0 ? rc : 0;
}

/* ---- a process --------------------------------------------------------------
 */

/* "/memfd:hs-pool (deleted)": ours by its name, which nobody else should use */
static bool our_name(const char *link, char *name, size_t name_bytes)
{
	static const char *const ours[] = {"hs-pool", "hs-ledger",
					   "hs-node-ledger", "hs-down"};
	static const char prefix[] = "/memfd:";
	size_t len;

	if (strncmp(link, prefix, sizeof(prefix) - 1) != 0)
		return false;
	link += sizeof(prefix) - 1;
	len = strcspn(link, " ");
	for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++)
		if (strlen(ours[i]) == len && !strncmp(link, ours[i], len)) {
			snprintf(name, name_bytes, "%s", ours[i]);
			return true;
		}
	return false;
}

/* Return: areas found there, or -errno. */
static int add_links(struct hs_salvage *s, const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	int rc = 0, nr = 0;

	if (!dir)
		return -errno;
	while (rc >= 0 && (entry = readdir(dir))) {
		char path[512], link[512], name[64];
		ssize_t n;
		int fd;

		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		n = readlink(path, link, sizeof(link) - 1);
		if (n <= 0)
			continue;
		link[n] = '\0';
		if (!our_name(link, name, sizeof(name)))
			continue;
		fd = open(path, O_RDONLY | O_CLOEXEC);
		rc = fd < 0 ? -errno : add_or_close(s, name, fd);
		nr++;
	}
	closedir(dir);
	return rc < 0 ? rc : nr;
}

int hs_salvage_pid(struct hs_salvage *s, int pid)
{
	char path[64];
	int open_rc, map_rc;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	open_rc = add_links(s, path);
	if (open_rc == -ENOENT)
		return failed(s, -ENOENT, "there is no process %d", pid);
	/* An application may have closed what it has mapped. */
	snprintf(path, sizeof(path), "/proc/%d/map_files", pid);
	map_rc = add_links(s, path);
	if (s->nr_areas)
		return 0;
	if (open_rc < 0 || map_rc < 0)
		return failed(s, open_rc < 0 ? open_rc : map_rc,
			      "process %d: its memory cannot be opened: %s; "
			      "that takes root",
			      pid, strerror(open_rc < 0 ? -open_rc : -map_rc));
	return failed(s, -ENOENT, "process %d has no memory of ours", pid);
}

/* ---- an agent
 * ----------------------------------------------------------------- */

static int from_keeper(struct hs_salvage *s, int sock)
{
	struct hs_held held;
	int rc = hs_held_make(&held);

	if (!rc)
		rc = hs_held_fetch(&held, sock);
	for (uint32_t i = 0; i < held.nr_items && !rc; i++) {
		int copy = fcntl(held.items[i].fd, F_DUPFD_CLOEXEC, 3);

		rc = copy < 0 ? -errno
			      : add_or_close(s, held.items[i].name, copy);
	}
	hs_held_free(&held);
	return rc;
}

static int pid_of(const char *path)
{
	FILE *f = fopen(path, "re");
	int pid = 0;

	if (!f)
		return -errno;
	if (fscanf(f, "%d", &pid) != 1)
		pid = -EPROTO;
	fclose(f);
	return pid;
}

int hs_salvage_run_dir(struct hs_salvage *s, const char *run_dir)
{
	char path[512];
	int sock, rc, pid;

	snprintf(path, sizeof(path), "%s/" HS_AGENT_KEEPER_FILE, run_dir);
	sock = hs_unix_connect(path, SOCK_SEQPACKET);
	if (sock >= 0) {
		rc = from_keeper(s, sock);
		close(sock);
		if (rc)
			return failed(s, rc,
				      "%s: the keeper hands out nothing:"
				      " %s",
				      path, strerror(-rc));
		return 0;
	}
	snprintf(path, sizeof(path), "%s/" HS_AGENT_LOCK_FILE, run_dir);
	pid = pid_of(path);
	if (pid < 0)
		return failed(s, -ENOENT,
			      "%s: no agent lingers or runs here; if "
			      "applications still run, try --pid with theirs",
			      run_dir);
	return hs_salvage_pid(s, pid);
}

/* ---- files
 * -------------------------------------------------------------------- */

int hs_salvage_folder(struct hs_salvage *s, const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	int rc = 0;

	if (!dir)
		return failed(s, -errno, "%s: %s", folder, strerror(errno));
	while (rc >= 0 && (entry = readdir(dir))) {
		char path[1024];
		int fd;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		rc = fd < 0 ? -errno : add_or_close(s, entry->d_name, fd);
		if (rc < 0)
			failed(s, rc, "%s: %s", path, strerror(-rc));
	}
	closedir(dir);
	if (rc >= 0 && !s->nr_areas)
		return failed(s, -ENOENT, "%s: no files", folder);
	return rc < 0 ? rc : 0;
}

static int copy_out(const struct hs_salvage_area *a, int fd)
{
	for (size_t at = 0; at < a->size_bytes;) {
		size_t left = a->size_bytes - at;
		ssize_t n = write(fd, a->base + at,
				  left < COPY_BYTES ? left : COPY_BYTES);

		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		at += (size_t)n;
	}
	return fsync(fd) ? -errno : 0;
}

int hs_salvage_save(struct hs_salvage *s, const char *folder)
{
	if (mkdir(folder, 0700) && errno != EEXIST)
		return failed(s, -errno, "%s: %s", folder, strerror(errno));
	for (uint32_t i = 0; i < s->nr_areas; i++) {
		const struct hs_salvage_area *a = &s->areas[i];
		char name[HS_SALVAGE_NAME_BYTES], path[1024];
		int fd, rc;

		snprintf(name, sizeof(name), "%s", a->name);
		for (char *c = name; *c; c++)
			if (*c == '/')
				*c = '_';
		snprintf(path, sizeof(path), "%s/%03u-%s", folder, i, name);
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0)
			return failed(s, -errno, "%s: %s", path,
				      strerror(errno));
		rc = copy_out(a, fd);
		if (close(fd) && !rc)
			rc = -errno;
		if (rc)
			return failed(s, rc, "%s: %s", path, strerror(-rc));
	}
	return 0;
}
