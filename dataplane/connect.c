/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see connect.h. */
#include "dataplane/connect.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hs/shm_format.h"

#define MS		 1000000ull
#define BACKOFF_FIRST_NS (50 * MS)
#define BACKOFF_MAX_NS	 (2000 * MS)
#define WELCOME_NS	 (5000 * MS)
#define UP_CHECK_NS	 (200 * MS)
#define WAIT_CHECK_NS	 (2 * MS)

/* Not the ends of somebody's printf: an application may have closed 0 to 2. */
#define FD_MIN 3

int hs_connect_init(struct hs_connect *c, const char *path)
{
	size_t len = strlen(path);

	memset(c, 0, sizeof(*c));
	c->fd = -1;
	c->address.sun_family = AF_UNIX;
	if (len == 0 || len >= sizeof(c->address.sun_path))
		return -EINVAL;
	memcpy(c->address.sun_path, path, len + 1);
	return 0;
}

static bool fd_ours(const struct hs_connect *c)
{
	struct stat st;

	return c->fd >= 0 && fstat(c->fd, &st) == 0 && S_ISSOCK(st.st_mode) &&
	       st.st_dev == c->dev && st.st_ino == c->ino;
}

void hs_connect_close(struct hs_connect *c)
{
	if (fd_ours(c))
		close(c->fd);
	c->fd = -1;
	c->state = HS_CONNECT_IDLE;
}

static void retry_later(struct hs_connect *c, uint64_t now_ns)
{
	hs_connect_close(c);
	c->backoff_ns = c->backoff_ns ? c->backoff_ns * 2 : BACKOFF_FIRST_NS;
	if (c->backoff_ns > BACKOFF_MAX_NS)
		c->backoff_ns = BACKOFF_MAX_NS;
	c->retry_ns = now_ns + c->backoff_ns;
}

static int socket_open(struct hs_connect *c)
{
	struct stat st;
	int fd;

	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && fd < FD_MIN) {
		int high = fcntl(fd, F_DUPFD_CLOEXEC, FD_MIN);

		close(fd);
		fd = high;
	}
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 ||
	    connect(fd, (const struct sockaddr *)&c->address,
		    sizeof(c->address)) < 0) {
		int rc = -errno;

		close(fd);
		return rc;
	}
	c->fd = fd;
	c->dev = st.st_dev;
	c->ino = st.st_ino;
	return 0;
}

static void say_hello(struct hs_connect *c, const char *service,
		      uint64_t now_ns)
{
	struct hs_shm_hello hello = {
		.magic = HS_SHM_HELLO_MAGIC,
		.version_min = HS_SHM_VERSION_MIN,
		.version_max = HS_SHM_VERSION,
		.stripes_max = HS_SHM_STRIPES_MAX,
		.resume_process = c->process,
		.resume_token = c->process ? c->token : 0,
	};
	size_t len = strnlen(service, sizeof(hello.service) - 1);

	memcpy(hello.service, service, len);
	if (socket_open(c) < 0 ||
	    send(c->fd, &hello, sizeof(hello), MSG_NOSIGNAL | MSG_DONTWAIT) !=
		    (ssize_t)sizeof(hello)) {
		retry_later(c, now_ns);
		return;
	}
	c->state = HS_CONNECT_WAITING;
	c->deadline_ns = now_ns + WELCOME_NS;
}

/*
 * Takes one message; the descriptors that came along are the caller's to
 * close. Returns its length, 0 at the end, negative errno.
 */
static ssize_t receive(int fd, void *data, size_t size_bytes,
		       int fds[HS_ATTACHMENT_FDS_MAX], uint32_t *nr_fds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE((HS_ATTACHMENT_FDS_MAX + 2) *
				      sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = data, .iov_len = size_bytes};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	struct cmsghdr *cmsg;
	ssize_t n;

	*nr_fds = 0;
	n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return -errno;
	for (cmsg = CMSG_FIRSTHDR(&msg); cmsg; cmsg = CMSG_NXTHDR(&msg, cmsg)) {
		size_t nr;

		if (cmsg->cmsg_level != SOL_SOCKET ||
		    cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		nr = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < nr; i++) {
			int got;

			memcpy(&got, CMSG_DATA(cmsg) + i * sizeof(int),
			       sizeof(got));
			if (*nr_fds < HS_ATTACHMENT_FDS_MAX)
				fds[(*nr_fds)++] = got;
			else
				close(got);
		}
	}
	return n;
}

static enum hs_connect_event welcomed(struct hs_connect *c,
				      const struct hs_shm_welcome *w,
				      const int *fds, uint32_t nr_fds,
				      uint64_t now_ns)
{
	switch (w->verdict) {
	case HS_SHM_VERDICT_NEW:
		if (w->process == 0 ||
		    hs_attachment_make(fds, nr_fds, &c->attachment) < 0)
			break;
		if (w->version != c->attachment->layout.version) {
			hs_attachment_free(c->attachment, true);
			c->attachment = NULL;
			break;
		}
		c->process = w->process;
		c->token = w->resume_token;
		c->node = c->attachment->layout.node_id;
		c->state = HS_CONNECT_UP;
		return HS_CONNECT_ATTACHED;
	case HS_SHM_VERDICT_RESUMED:
		if (c->process == 0 || w->process != c->process)
			break;
		c->token = w->resume_token;
		c->node = w->node_id;
		c->state = HS_CONNECT_UP;
		return HS_CONNECT_RESUMED;
	case HS_SHM_VERDICT_UNKNOWN:
		/* Say hello as new at once, but only once. */
		if (c->process == 0)
			break;
		hs_connect_close(c);
		c->process = 0;
		c->retry_ns = now_ns;
		return HS_CONNECT_NOTHING;
	default:
		break;
	}
	retry_later(c, now_ns);
	return HS_CONNECT_NOTHING;
}

static enum hs_connect_event wait_welcome(struct hs_connect *c, uint64_t now_ns)
{
	struct hs_shm_welcome w;
	enum hs_connect_event event = HS_CONNECT_NOTHING;
	int fds[HS_ATTACHMENT_FDS_MAX];
	uint32_t nr_fds;
	ssize_t n;

	if (!fd_ours(c)) {
		retry_later(c, now_ns);
		return HS_CONNECT_NOTHING;
	}
	n = receive(c->fd, &w, sizeof(w), fds, &nr_fds);
	if (n == -EAGAIN || n == -EINTR) {
		if (now_ns >= c->deadline_ns)
			retry_later(c, now_ns);
		return HS_CONNECT_NOTHING;
	}
	if (n == (ssize_t)sizeof(w) && w.magic == HS_SHM_HELLO_MAGIC)
		event = welcomed(c, &w, fds, nr_fds, now_ns);
	else
		retry_later(c, now_ns);
	for (uint32_t i = 0; i < nr_fds; i++)
		close(fds[i]);
	if (event != HS_CONNECT_NOTHING)
		c->backoff_ns = 0;
	return event;
}

static enum hs_connect_event check_up(struct hs_connect *c, uint64_t now_ns)
{
	char byte;
	ssize_t n;

	if (fd_ours(c)) {
		n = recv(c->fd, &byte, 1, MSG_DONTWAIT);
		if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
			return HS_CONNECT_NOTHING;
	}
	hs_connect_close(c);
	c->retry_ns = now_ns;
	return HS_CONNECT_LOST;
}

enum hs_connect_event hs_connect_step(struct hs_connect *c, const char *service,
				      uint64_t now_ns)
{
	switch (c->state) {
	case HS_CONNECT_IDLE:
		if (now_ns < c->retry_ns)
			return HS_CONNECT_NOTHING;
		say_hello(c, service, now_ns);
		return HS_CONNECT_NOTHING;
	case HS_CONNECT_WAITING:
		return wait_welcome(c, now_ns);
	case HS_CONNECT_UP:
		return check_up(c, now_ns);
	}
	return HS_CONNECT_NOTHING;
}

uint64_t hs_connect_wait_ns(const struct hs_connect *c, uint64_t now_ns)
{
	switch (c->state) {
	case HS_CONNECT_IDLE:
		return c->retry_ns > now_ns ? c->retry_ns - now_ns : 0;
	case HS_CONNECT_WAITING:
		return WAIT_CHECK_NS;
	case HS_CONNECT_UP:
		break;
	}
	return UP_CHECK_NS;
}
