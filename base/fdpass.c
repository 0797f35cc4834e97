/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: messages with descriptors, Unix sockets, peers; see fdpass.h.
 */
#include "base/fdpass.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

/* Waiting for the directory's lock: this often, this long. */
#define LOCK_TRIES   200
#define LOCK_WAIT_US 5000

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(HS_FDPASS_MAX_FDS * sizeof(int))];
};

int hs_fdpass_send(int sock, const void *data, size_t len_bytes, const int *fds,
		   size_t nr_fds)
{
	struct iovec iov = {(void *)(uintptr_t)data, len_bytes};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	union control control;
	ssize_t n;

	if (len_bytes == 0 || nr_fds > HS_FDPASS_MAX_FDS)
		return -EINVAL;
	if (nr_fds > 0) {
		struct cmsghdr *c;

		memset(&control, 0, sizeof(control));
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(nr_fds * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nr_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, nr_fds * sizeof(int));
	}
	do {
		n = sendmsg(sock, &msg, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

/* Gather the descriptors that came; more than fit are closed and counted. */
static size_t take_fds(struct msghdr *msg, int fds[HS_FDPASS_MAX_FDS])
{
	size_t nr = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL;
	     c = CMSG_NXTHDR(msg, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int),
			       sizeof(int));
			if (nr < HS_FDPASS_MAX_FDS)
				fds[nr] = fd;
			else
				close(fd);
			nr++;
		}
	}
	return nr;
}

static void close_all(const int *fds, size_t nr)
{
	for (size_t i = 0; i < nr && i < HS_FDPASS_MAX_FDS; i++)
		close(fds[i]);
}

ssize_t hs_fdpass_recv(int sock, void *buf, size_t size_bytes, int *fds,
		       size_t max_fds, size_t *nr_fds)
{
	struct iovec iov = {buf, size_bytes};
	union control control;
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	int came[HS_FDPASS_MAX_FDS];
	size_t nr;
	ssize_t n;

	*nr_fds = 0;
	do {
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	nr = take_fds(&msg, came);
	if (n == 0 || msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC) ||
	    nr > max_fds || nr > HS_FDPASS_MAX_FDS) {
		close_all(came, nr);
		if (n == 0)
			return 0;
		if (msg.msg_flags & MSG_TRUNC)
			return -EMSGSIZE;
		/* There was room for the numbers, and none in our table. */
		return nr < max_fds ? -EMFILE : -EPROTO;
	}
	if (nr > 0)
		memcpy(fds, came, nr * sizeof(int));
	*nr_fds = nr;
	return n;
}

static int address_of(const char *path, struct sockaddr_un *addr)
{
	size_t len = strlen(path);

	if (len == 0)
		return -EINVAL;
	if (len >= sizeof(addr->sun_path))
		return -ENAMETOOLONG;
	memset(addr, 0, sizeof(*addr));
	addr->sun_family = AF_UNIX;
	memcpy(addr->sun_path, path, len);
	return 0;
}

int hs_unix_connect(const char *path, int type)
{
	struct sockaddr_un addr;
	int rc = address_of(path, &addr);
	int fd;

	if (rc != 0)
		return rc;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	do {
		rc = connect(fd, (struct sockaddr *)&addr, sizeof(addr));
	} while (rc != 0 && errno == EINTR);
	if (rc != 0) {
		rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

/* Remove a socket that nobody listens on. Called under the directory's lock,
 * so none of our own can be between bind and listen. */
static int clear_stale(const char *path, int type)
{
	struct stat st;
	int fd;

	if (lstat(path, &st) != 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = hs_unix_connect(path, type | SOCK_NONBLOCK);
	if (fd >= 0) {
		close(fd);
		return -EADDRINUSE;
	}
	if (fd != -ECONNREFUSED)
		return fd == -EACCES ? fd : -EADDRINUSE;
	return unlink(path) == 0 || errno == ENOENT ? 0 : -errno;
}

/* An flock on the directory: leaves no file behind, ends with its holder. */
static int lock_directory(const char *path)
{
	char *dir = strdup(path);
	char *slash;
	int fd;

	if (dir == NULL)
		return -ENOMEM;
	slash = strrchr(dir, '/');
	if (slash == dir)
		slash[1] = '\0';
	else if (slash != NULL)
		*slash = '\0';
	fd = open(slash != NULL ? dir : ".",
		  O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		fd = -errno;
	free(dir);
	if (fd < 0)
		return fd;
	for (int i = 0; i < LOCK_TRIES; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return fd;
		usleep(LOCK_WAIT_US);
	}
	close(fd);
	return -EBUSY;
}

static int listen_locked(const char *path, int type, mode_t mode, int backlog)
{
	struct sockaddr_un addr;
	int rc = address_of(path, &addr);
	int fd;

	if (rc != 0)
		return rc;
	rc = clear_stale(path, type);
	if (rc != 0)
		return rc;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
		rc = -errno;
		close(fd);
		return rc;
	}
	/* Nobody can connect before listen, so there is no moment in which
	 * the umask's permissions count. */
	if (chmod(path, mode) != 0 || listen(fd, backlog) != 0) {
		rc = -errno;
		unlink(path);
		close(fd);
		return rc;
	}
	return fd;
}

int hs_unix_listen(const char *path, int type, mode_t mode, int backlog)
{
	int lock_fd = lock_directory(path);
	int fd;

	if (lock_fd < 0)
		return lock_fd;
	fd = listen_locked(path, type, mode, backlog);
	close(lock_fd);
	return fd;
}

int hs_unix_peer_get(int sock, struct hs_unix_peer *peer)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0)
		return -errno;
	peer->pid = cred.pid;
	peer->uid = cred.uid;
	peer->gid = cred.gid;
	return 0;
}

int hs_process_pidfd(pid_t pid)
{
	long fd = syscall(SYS_pidfd_open, pid, 0);

	return fd < 0 ? -errno : (int)fd;
}

int hs_process_start_ticks(pid_t pid, uint64_t *ticks)
{
	char path[64];
	char text[1024];
	const char *p;
	ssize_t n;
	int rc;
	int fd;

	snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	rc = n < 0 ? -errno : 0;
	close(fd);
	if (rc != 0)
		return rc;
	text[n] = '\0';
	/* The name (field 2) may hold blanks and brackets: begin behind its
	 * last bracket, before field 3. The start is field 22. */
	p = strrchr(text, ')');
	for (int field = 2; p != NULL && field < 22; field++)
		p = strchr(p + 1, ' ');
	if (p == NULL || p[1] < '0' || p[1] > '9')
		return -EPROTO;
	*ticks = strtoull(p + 1, NULL, 10);
	return 0;
}
