/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shm_other.c - see shm_other.h
 */
#include "tests/rdma/shm_other.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/fdpass.h"
#include "rdma/stream.h"

int setup(void **state)
{
	(void)state;
	victim_open(hs_transport_shm_create, NULL, NULL);
	return 0;
}

void dial(struct other *o)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int n = snprintf(un.sun_path + 1, sizeof(un.sun_path) - 1,
			 "hindsight/127.0.0.1:%d", port);

	*o = (struct other){.ours.fd = -1, .theirs.fd = -1};
	o->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(
		connect(o->fd, (struct sockaddr *)&un,
			(socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
				    (size_t)n)),
		0);
}

void hang_up(struct other *o)
{
	hs_memfd_close(&o->ours);
	hs_memfd_close(&o->theirs);
	close(o->fd);
}

struct hs_ring_hello good_hello(void)
{
	return (struct hs_ring_hello){HS_RING_MAGIC, HS_RING_VERSION, 0,
				      HS_RING_BYTES, HS_RING_WORDS_BYTES};
}

void say_hello(struct other *o, const struct hs_ring_hello *h, int fd)
{
	assert_int_equal(
		hs_fdpass_send(o->fd, h, sizeof(*h), &fd, fd >= 0 ? 1 : 0), 0);
}

void take_hello(struct other *o)
{
	struct hs_ring_hello h;
	size_t nr;
	int fd;

	assert_int_equal(hs_fdpass_recv(o->fd, &h, sizeof(h), &fd, 1, &nr),
			 (ssize_t)sizeof(h));
	assert_int_equal(nr, 1);
	assert_int_equal(
		hs_memfd_attach(&o->theirs, fd, HS_RING_MEMORY_BYTES, 0), 0);
	hs_shm_ring_make(&o->ring, o->ours.base, o->theirs.base);
}

void hear_hello(struct other *o)
{
	turn(); /* accepts, and says hello */
	take_hello(o);
}

void ring(struct other *o)
{
	const uint8_t bell = HS_RING_BELL;

	(void)send(o->fd, &bell, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void say(struct other *o, uint16_t type, const void *payload, uint32_t size)
{
	struct hs_wire_header h = hs_stream_header(type, 5, ++o->seq, size,
						   hs_crc32c(0, payload, size));
	struct iovec iov[2] = {{&h, sizeof(h)},
			       {(void *)(uintptr_t)payload, size}};

	assert_int_equal(hs_shm_ring_put(&o->ring, iov, 2), sizeof(h) + size);
	if (hs_shm_ring_publish(&o->ring))
		ring(o);
}

void connect_with(struct other *o, enum hs_wire_role role, uint32_t flags)
{
	struct hs_ring_hello h = good_hello();
	const struct hs_wire_hello hello = {.role = role,
					    .version_min = HS_WIRE_VERSION,
					    .version_max = HS_WIRE_VERSION,
					    .node = 5,
					    .flags = flags,
					    .name = "other"};
	uint32_t before = nr_up;

	dial(o);
	assert_int_equal(
		hs_memfd_create(&o->ours, "test", HS_RING_MEMORY_BYTES, 0), 0);
	hear_hello(o);
	say_hello(o, &h, o->ours.fd);
	say(o, HS_WIRE_HELLO, &hello, sizeof(hello));
	until(nr_up == before + 1);
}

void connect_as_peer(struct other *o)
{
	connect_with(o, HS_WIRE_ROLE_AGENT, 0);
}

struct hs_transport *another(uint64_t node, uint64_t idle_ns, void *ctx,
			     const struct hs_transport_events *e)
{
	const struct hs_transport_limits limits = {.idle_timeout_ns = idle_ns};
	const struct hs_transport_self self = {
		.role = HS_WIRE_ROLE_AGENT, .node = node, .name = "another"};
	struct hs_transport *a =
		hs_transport_shm_create(&self, &limits, e, ctx);

	assert_non_null(a);
	return a;
}

int memory(size_t bytes, int seals)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}
