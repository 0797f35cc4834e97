/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what shipping is compared with: the same slices, summed by their
 * sender and checked by their receiver, through one TCP connection.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <arpa/inet.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "bench/ship.h"
#include "hs/wire_format.h"

#define BATCH 16u

static void failed(struct hs_bench_ship_result *result, const char *what)
{
	snprintf(result->why, sizeof(result->why), "%s: %s", what,
		 strerror(errno));
}

static struct sockaddr_in address(const char *host)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
				 .sin_port = htons(HS_BENCH_SHIP_PORT)};

	inet_pton(AF_INET, host, &at.sin_addr);
	return at;
}

static bool send_all(int fd, struct iovec *iov, int nr)
{
	while (nr) {
		ssize_t n = writev(fd, iov, nr);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		while (nr && (size_t)n >= iov->iov_len) {
			n -= (ssize_t)iov->iov_len;
			iov++;
			nr--;
		}
		if (nr) {
			iov->iov_base = (uint8_t *)iov->iov_base + n;
			iov->iov_len -= (size_t)n;
		}
	}
	return true;
}

void hs_bench_ship_tcp_from(const struct hs_bench_ship_run *run, uint8_t *pool,
			    struct hs_bench_ship_result *result)
{
	struct sockaddr_in to = address(HS_BENCH_SHIP_TO);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	uint64_t place = 0;

	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)))
		return failed(result, "tcp: cannot connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	while (!hs_bench_ship_stopped(result)) {
		struct hs_wire_slice heads[BATCH];
		struct iovec iov[2 * BATCH];

		for (uint32_t i = 0; i < BATCH; i++) {
			if (place + run->slice_bytes > HS_BENCH_SHIP_POOL_BYTES)
				place = 0;
			heads[i] = (struct hs_wire_slice){
				.length_bytes = run->slice_bytes,
				.crc = hs_crc32c(0, pool + place,
						 run->slice_bytes)};
			iov[2 * i] = (struct iovec){&heads[i], sizeof(*heads)};
			iov[2 * i + 1] = (struct iovec){
				(void *)(uintptr_t)(pool + place),
				run->slice_bytes};
			place += run->slice_bytes;
		}
		if (!send_all(fd, iov, 2 * BATCH))
			break;
	}
	close(fd);
}

static bool receive_all(int fd, void *to, size_t bytes)
{
	while (bytes) {
		ssize_t n = recv(fd, to, bytes, MSG_WAITALL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		to = (uint8_t *)to + n;
		bytes -= (size_t)n;
	}
	return true;
}

void hs_bench_ship_tcp_to(const struct hs_bench_ship_run *run,
			  struct hs_bench_ship_result *result)
{
	struct sockaddr_in at = address(HS_BENCH_SHIP_TO);
	size_t one = sizeof(struct hs_wire_slice) + run->slice_bytes;
	uint8_t *buffer = malloc(BATCH * one);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd;

	if (!buffer || listener < 0 ||
	    bind(listener, (struct sockaddr *)&at, sizeof(at)) ||
	    listen(listener, 1))
		return failed(result, "tcp: cannot listen");
	hs_bench_ship_ready(result);
	fd = accept(listener, NULL, NULL);
	if (fd < 0)
		return failed(result, "tcp: cannot accept");
	while (!hs_bench_ship_stopped(result) &&
	       receive_all(fd, buffer, BATCH * one)) {
		for (uint32_t i = 0; i < BATCH; i++) {
			struct hs_wire_slice head;

			memcpy(&head, buffer + i * one, sizeof(head));
			if (hs_crc32c(0, buffer + i * one + sizeof(head),
				      run->slice_bytes) != head.crc)
				result->bad++;
		}
		if (!result->first_ns)
			result->first_ns = hs_clock_mono_ns();
		result->last_ns = hs_clock_mono_ns();
		result->bytes += BATCH * run->slice_bytes;
		result->slices += BATCH;
	}
	close(fd);
	close(listener);
	free(buffer);
}
