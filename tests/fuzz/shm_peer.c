/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see shm_peer.h. */
#include "tests/fuzz/shm_peer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/fdpass.h"
#include "rdma/stream.h"

#define NODE	   5u
#define PAGE_BYTES 4096u
#define FDS_MAX	   256u
#define SIZE_SEALS (F_SEAL_SHRINK | F_SEAL_GROW)
#define SEALS	   (SIZE_SEALS | F_SEAL_FUTURE_WRITE)

static int kinds[KINDS];
/* What there is to read before the other side's HELLO. */
static const uint8_t nothing[HS_RING_MEMORY_BYTES];

void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	abort();
}

uint64_t take(struct input *in, uint32_t nr)
{
	uint64_t v = 0;

	for (; nr && in->left; nr--, in->left--)
		v = v << 8 | *in->data++;
	return v;
}

/* ---- what it hands over -------------------------------------------------- */

static int memory(size_t bytes, size_t filled_bytes)
{
	uint8_t page[PAGE_BYTES];
	int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	memset(page, SHOWN_FILL, sizeof(page));
	if (fd < 0 || ftruncate(fd, (off_t)bytes))
		die("no memory: %s", strerror(errno));
	for (size_t at = 0; at < filled_bytes; at += PAGE_BYTES) {
		size_t n = filled_bytes - at;

		if (pwrite(fd, page, n < PAGE_BYTES ? n : PAGE_BYTES,
			   (off_t)at) < 0)
			die("no page: %s", strerror(errno));
	}
	return fd;
}

static int sealed(int fd, int seals)
{
	if (fcntl(fd, F_ADD_SEALS, seals))
		die("no seal: %s", strerror(errno));
	return fd;
}

static int filled(size_t bytes, int seals)
{
	return sealed(memory(bytes, bytes), seals);
}

void kinds_make(void)
{
	int ends[2], ended[2];

	for (uint32_t i = 0; i < KINDS; i++)
		kinds[i] = -1;
	kinds[RING_UNSEALED] = filled(HS_RING_MEMORY_BYTES, 0);
	kinds[RING_EMPTY] = sealed(memory(HS_RING_MEMORY_BYTES, 0), SIZE_SEALS);
	kinds[RING_SHORT] = sealed(memory(HS_RING_MEMORY_BYTES - PAGE_BYTES, 0),
				   SIZE_SEALS);
	kinds[SHOWN] = filled(SHOWN_BYTES, SEALS);
	kinds[SHOWN_UNSEALED] = filled(SHOWN_BYTES, 0);
	kinds[SHOWN_SIZE_SEALED] = filled(SHOWN_BYTES, SIZE_SEALS);
	kinds[SHOWN_SHORT] = filled(SHOWN_BYTES - PAGE_BYTES, SEALS);
	kinds[SHOWN_LONG] = filled(SHOWN_BYTES + PAGE_BYTES, SEALS);
	kinds[SHOWN_ODD] = filled(SHOWN_BYTES - 92, SEALS);
	kinds[SHOWN_HOLE] = memory(SHOWN_BYTES, 1);
	if (fallocate(kinds[SHOWN_HOLE], FALLOC_FL_KEEP_SIZE, SHOWN_BYTES,
		      SHOWN_BYTES))
		die("no block: %s", strerror(errno));
	sealed(kinds[SHOWN_HOLE], SEALS);
	kinds[SHOWN_MISSES] = sealed(memory(SHOWN_BYTES, 1), SEALS);
	kinds[EMPTY] = filled(0, SEALS);
	kinds[EVENTFD] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) || pipe2(ended, O_CLOEXEC))
		die("no pipe: %s", strerror(errno));
	kinds[PIPE_IN] = ends[0];
	kinds[PIPE_OUT] = ends[1];
	kinds[PIPE_ENDED] = ended[0];
	close(ended[1]);
	kinds[READ_ONLY] = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	kinds[DEV_NULL] = open("/dev/null", O_RDWR | O_CLOEXEC);
	kinds[EPOLL] = epoll_create1(EPOLL_CLOEXEC);
}

int kind_fd(enum kind k)
{
	return kinds[k];
}

void kinds_forget(void)
{
	uint64_t count;

	(void)!read(kinds[EVENTFD], &count, sizeof(count));
}

/* ---- itself -------------------------------------------------------------- */

void peer_make(struct peer *o)
{
	*o = (struct peer){.fd = -1, .bell = -1, .table = -1};
	o->theirs.fd = -1;
	if (hs_memfd_create(&o->ours, "peer", HS_RING_MEMORY_BYTES, 0))
		die("no ring");
	hs_shm_ring_make(&o->ring, o->ours.base, nothing);
}

static void let_go(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void peer_hang_up(struct peer *o)
{
	let_go(&o->fd);
	let_go(&o->bell);
	let_go(&o->table);
	hs_memfd_close(&o->theirs);
	hs_shm_ring_make(&o->ring, o->ours.base, nothing);
}

void peer_dial(struct peer *o, int port)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int n = snprintf(un.sun_path + 1, sizeof(un.sun_path) - 1,
			 "hindsight/127.0.0.1:%d", port);

	peer_hang_up(o);
	memset(o->ours.base, 0, HS_RING_MEMORY_BYTES);
	o->seq = 0;
	o->seen = false;
	o->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (connect(o->fd, (struct sockaddr *)&un,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
				(size_t)n)))
		die("connect: %s", strerror(errno));
}

static void take_handed(struct peer *o, uint8_t word, int fd)
{
	int *to = word == HS_RING_EVENTFD ? &o->bell : &o->table;

	if (!o->theirs.base &&
	    !hs_memfd_attach(&o->theirs, fd, HS_RING_MEMORY_BYTES, 0)) {
		/* What it has said already stays where it is. */
		o->ring.theirs = o->theirs.base;
		o->ring.in =
			(const uint8_t *)o->theirs.base + HS_RING_WORDS_BYTES;
		return;
	}
	if (*to >= 0)
		close(fd);
	else
		*to = fd;
}

void peer_hear(struct peer *o)
{
	uint8_t bytes[PAGE_BYTES];
	size_t nr;
	ssize_t n = o->fd < 0 ? 0 : 1;

	while (n > 0) {
		int fd = -1;

		n = hs_fdpass_recv(o->fd, bytes, sizeof(bytes), &fd, 1, &nr);
		if (n > 0 && nr)
			take_handed(o, bytes[n - 1], fd);
	}
	while (hs_shm_ring_get(&o->ring, bytes, sizeof(bytes)))
		;
	if (hs_shm_ring_taken(&o->ring))
		peer_ring(o);
	hs_shm_ring_sleep(&o->ring);
}

void peer_words(const struct peer *o, const void *words, size_t nr,
		const int *fds, size_t nr_fds)
{
	if (o->fd >= 0)
		(void)hs_fdpass_send(o->fd, words, nr, fds, nr_fds);
}

void peer_ring(const struct peer *o)
{
	const uint8_t word = HS_RING_BELL;

	peer_words(o, &word, 1, NULL, 0);
}

void peer_put(struct peer *o, const void *bytes, size_t size_bytes)
{
	struct iovec iov = {(void *)(uintptr_t)bytes, size_bytes};

	hs_shm_ring_put(&o->ring, &iov, 1);
	if (hs_shm_ring_publish(&o->ring))
		peer_ring(o);
}

void peer_say(struct peer *o, uint16_t type, const void *payload,
	      uint32_t size_bytes)
{
	struct hs_wire_header h =
		hs_stream_header(type, NODE, ++o->seq, size_bytes,
				 hs_crc32c(0, payload, size_bytes));
	struct iovec head = {&h, sizeof(h)};

	hs_shm_ring_put(&o->ring, &head, 1);
	peer_put(o, payload, size_bytes);
}

void peer_say_hello(struct peer *o, uint16_t role, uint16_t flags)
{
	const struct hs_wire_hello hello = {.role = role,
					    .version_min = HS_WIRE_VERSION,
					    .version_max = HS_WIRE_VERSION,
					    .flags = flags,
					    .node = NODE,
					    .name = "other"};

	peer_say(o, HS_WIRE_HELLO, &hello, sizeof(hello));
}

/* ---- what this process has ----------------------------------------------- */

uint32_t kept(void)
{
	static char maps[1 << 18];
	static struct pollfd fds[FDS_MAX];
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	size_t bytes = 0;
	uint32_t nr = 0;
	ssize_t n;

	do {
		n = read(fd, maps + bytes, sizeof(maps) - 1 - bytes);
		bytes += n > 0 ? (size_t)n : 0;
	} while (n > 0);
	close(fd);
	maps[bytes] = '\0';
	for (const char *p = maps; (p = strstr(p, "/memfd:")) != NULL; p++)
		nr++;
	for (uint32_t i = 0; i < FDS_MAX; i++)
		fds[i] = (struct pollfd){.fd = (int)i};
	if (poll(fds, FDS_MAX, 0) < 0)
		die("poll: %s", strerror(errno));
	for (uint32_t i = 0; i < FDS_MAX; i++)
		nr += !(fds[i].revents & POLLNVAL);
	return nr;
}

void kept_no_more(bool on)
{
	static struct rlimit was;
	struct rlimit now;
	int next = dup(0);

	if (on && (next < 0 || getrlimit(RLIMIT_NOFILE, &was)))
		die("no limit: %s", strerror(errno));
	now = was;
	if (on)
		now.rlim_cur = (rlim_t)next;
	if (next >= 0)
		close(next);
	if (setrlimit(RLIMIT_NOFILE, &now))
		die("setrlimit: %s", strerror(errno));
}
