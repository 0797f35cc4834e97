/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see linger.h. */
#include "agent/linger.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdpass.h"

/* A successor that says nothing for so long is not one. */
#define PATIENCE_SECONDS 5

static void be_patient(int sock)
{
	struct timeval tv = {.tv_sec = PATIENCE_SECONDS};

	setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

/* Return: true when the memory is the other side's, or nobody's, now. */
static bool serve_one(const struct hs_held *held, int sock)
{
	struct hs_held_message message;
	int fd;

	while (hs_held_receive(sock, &message, &fd) > 0) {
		if (fd >= 0)
			close(fd);
		switch (message.type) {
		case HS_HELD_NEXT:
			if (hs_held_answer(held, sock, message.arg))
				return false;
			break;
		case HS_HELD_TAKEN:
		case HS_HELD_PURGE:
			return true;
		default:
			return false;
		}
	}
	return false;
}

void hs_linger_serve(const struct hs_held *held, int listener,
		     uint64_t linger_ns)
{
	uint64_t end_ns = hs_clock_mono_ns() + linger_ns;
	struct pollfd fds[2] = {{.fd = listener, .events = POLLIN},
				{.events = POLLIN}};
	sigset_t signals;
	bool done = false;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	fds[1].fd = signalfd(-1, &signals, SFD_CLOEXEC);
	while (!done) {
		uint64_t now_ns = hs_clock_mono_ns();
		int sock;

		if (now_ns >= end_ns)
			break;
		if (poll(fds, 2, (int)((end_ns - now_ns) / HS_NS_PER_MS) + 1) <
			    0 &&
		    errno != EINTR)
			break;
		if (fds[1].revents)
			break;
		sock = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (sock < 0)
			continue;
		be_patient(sock);
		done = serve_one(held, sock);
		/* Left to our exit when done: then the successor, who waits
		 * for the end of the line, finds no path of ours. */
		if (!done)
			close(sock);
	}
	close(fds[1].fd);
}

static int reach(const char *path)
{
	int sock = hs_unix_connect(path, SOCK_SEQPACKET);

	if (sock == -ENOENT || sock == -ECONNREFUSED)
		return -ENOENT;
	if (sock >= 0)
		be_patient(sock);
	return sock;
}

int hs_linger_take(struct hs_held *held, const char *path)
{
	struct hs_held_message message;
	int sock = reach(path);
	int fd = -1;
	int rc;

	if (sock == -ENOENT)
		return 1;
	if (sock < 0)
		return sock;
	rc = hs_held_fetch(held, sock);
	if (!rc)
		rc = hs_held_send(sock, HS_HELD_TAKEN, 0, NULL, -1);
	/* Its end of the line closes when it is gone from the paths. */
	if (!rc && hs_held_receive(sock, &message, &fd) > 0 && fd >= 0)
		close(fd);
	close(sock);
	return rc;
}

int hs_linger_purge(const char *path)
{
	struct hs_held_message message;
	int sock = reach(path);
	int fd = -1;
	int rc;

	if (sock == -ENOENT)
		return 1;
	if (sock < 0)
		return sock;
	rc = hs_held_send(sock, HS_HELD_PURGE, 0, NULL, -1);
	if (!rc && hs_held_receive(sock, &message, &fd) > 0 && fd >= 0)
		close(fd);
	close(sock);
	return rc;
}
