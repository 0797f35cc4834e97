/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: descriptors travel whole or not at all; stale sockets.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/fdpass.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64];
static char path[128];

static int set_up(void **state)
{
	strcpy(dir, "/tmp/hs-fdpass-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/s", dir);
	return 0;
}

static int tear_down(void **state)
{
	unlink(path);
	return rmdir(dir);
}

static int nr_open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int nr = 0;

	while (readdir(d) != NULL)
		nr++;
	closedir(d);
	return nr;
}

static void pair(int s[2])
{
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s), 0);
}

static void test_message_with_fds(void **state)
{
	int s[2];
	int p[2];
	int fds[HS_FDPASS_MAX_FDS];
	size_t nr = 99;
	char buf[16];

	pair(s);
	assert_int_equal(pipe(p), 0);
	assert_int_equal(hs_fdpass_send(s[0], "hello", 5, p, 2), 0);
	assert_int_equal(hs_fdpass_recv(s[1], buf, sizeof(buf), fds, 16, &nr),
			 5);
	assert_memory_equal(buf, "hello", 5);
	assert_int_equal(nr, 2);
	assert_true(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
	assert_int_equal(write(p[1], "x", 1), 1);
	assert_int_equal(read(fds[0], buf, 1), 1);
	assert_int_equal(hs_fdpass_send(s[0], "h", 1, NULL, 0), 0);
	assert_int_equal(
		hs_fdpass_recv(s[1], buf, sizeof(buf), fds + 2, 0, &nr), 1);
	assert_int_equal(nr, 0);
	for (int i = 0; i < 2; i++) {
		close(fds[i]);
		close(p[i]);
	}
	close(s[0]);
	assert_int_equal(hs_fdpass_recv(s[1], buf, sizeof(buf), fds, 16, &nr),
			 0);
	close(s[1]);
}

static void test_refused_whole(void **state)
{
	int s[2];
	int send_fds[HS_FDPASS_MAX_FDS + 1];
	int fds[16];
	size_t nr;
	char buf[4];
	int nr_before;

	pair(s);
	for (int i = 0; i <= HS_FDPASS_MAX_FDS; i++)
		send_fds[i] = s[0];
	nr_before = nr_open_fds();
	assert_int_equal(hs_fdpass_send(s[0], "", 0, NULL, 0), -EINVAL);
	assert_int_equal(
		hs_fdpass_send(s[0], "x", 1, send_fds, HS_FDPASS_MAX_FDS + 1),
		-EINVAL);
	/* more descriptors than asked for */
	assert_int_equal(hs_fdpass_send(s[0], "x", 1, send_fds, 3), 0);
	assert_int_equal(hs_fdpass_recv(s[1], buf, 4, fds, 2, &nr), -EPROTO);
	assert_int_equal(nr, 0);
	/* a message that is cut */
	assert_int_equal(hs_fdpass_send(s[0], "hello", 5, send_fds, 16), 0);
	assert_int_equal(hs_fdpass_recv(s[1], buf, 4, fds, 16, &nr), -EMSGSIZE);
	assert_int_equal(nr_open_fds(), nr_before);
	close(s[0]);
	close(s[1]);
}

/* A peer that does not use our sender can send more than we have room for. */
static void test_ctrunc(void **state)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(40 * sizeof(int))];
	} control;
	struct iovec iov = {(char[]){'x'}, 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.bytes,
			     .msg_controllen = sizeof(control.bytes)};
	struct cmsghdr *c;
	int many[40];
	int fds[16];
	size_t nr;
	char buf[4];
	int nr_before;
	int s[2];

	pair(s);
	for (int i = 0; i < 40; i++)
		many[i] = s[0];
	memset(&control, 0, sizeof(control));
	c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(many));
	memcpy(CMSG_DATA(c), many, sizeof(many));
	nr_before = nr_open_fds();
	assert_int_equal(sendmsg(s[0], &msg, 0), 1);
	assert_int_equal(hs_fdpass_recv(s[1], buf, 4, fds, 16, &nr), -EPROTO);
	assert_int_equal(nr_open_fds(), nr_before);
	close(s[0]);
	close(s[1]);
}

/* It sent what was asked for, and we have no room for it. */
static void test_no_descriptors(void **state)
{
	struct rlimit was, now;
	char buf[4];
	int fds[2];
	size_t nr;
	int s[2];

	pair(s);
	assert_int_equal(hs_fdpass_send(s[0], "x", 1, s, 2), 0);
	assert_int_equal(hs_fdpass_send(s[0], "y", 1, s, 2), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	now = was;
	now.rlim_cur = (rlim_t)dup(s[0]); /* the next one would be it */
	close((int)now.rlim_cur);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
	assert_int_equal(hs_fdpass_recv(s[1], buf, 4, fds, 2, &nr), -EMFILE);
	assert_int_equal(nr, 0);
	/* None was asked for. */
	assert_int_equal(hs_fdpass_recv(s[1], buf, 4, NULL, 0, &nr), -EPROTO);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	close(s[0]);
	close(s[1]);
}

static void test_listen_takes_over_the_dead(void **state)
{
	struct hs_unix_peer peer;
	struct stat st;
	int accepted;
	int client;
	int fd;

	fd = hs_unix_listen(path, SOCK_SEQPACKET, 0660, 4);
	assert_true(fd >= 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	/* somebody listens: of the same and of another type */
	assert_int_equal(hs_unix_listen(path, SOCK_SEQPACKET, 0660, 4),
			 -EADDRINUSE);
	assert_int_equal(hs_unix_listen(path, SOCK_STREAM, 0660, 4),
			 -EADDRINUSE);
	client = hs_unix_connect(path, SOCK_SEQPACKET | SOCK_NONBLOCK);
	assert_true(client >= 0);
	do {
		accepted = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	} while (accepted >= 0 && recv(accepted, &st, 1, MSG_DONTWAIT) == 0 &&
		 close(accepted) == 0);
	assert_true(accepted >= 0);
	assert_int_equal(hs_unix_peer_get(accepted, &peer), 0);
	assert_int_equal(peer.pid, getpid());
	assert_int_equal(peer.uid, geteuid());
	close(accepted);
	close(client);
	close(fd); /* the path stays, as after a kill */
	assert_int_equal(hs_unix_connect(path, SOCK_SEQPACKET), -ECONNREFUSED);
	fd = hs_unix_listen(path, SOCK_SEQPACKET, 0600, 4);
	assert_true(fd >= 0);
	close(fd);
}

static void test_listen_refuses(void **state)
{
	char long_path[200];
	char gone[160];
	int fd = open(path, O_CREAT | O_RDWR, 0600);

	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(hs_unix_listen(path, SOCK_STREAM, 0600, 4), -EEXIST);
	assert_int_equal(access(path, F_OK), 0);
	memset(long_path, 'x', sizeof(long_path) - 1);
	long_path[sizeof(long_path) - 1] = '\0';
	assert_int_equal(hs_unix_connect(long_path, SOCK_STREAM),
			 -ENAMETOOLONG);
	memcpy(long_path, "/tmp/", 5);
	assert_int_equal(hs_unix_listen(long_path, SOCK_STREAM, 0600, 4),
			 -ENAMETOOLONG);
	snprintf(gone, sizeof(gone), "%s/no/s", dir);
	assert_int_equal(hs_unix_listen(gone, SOCK_STREAM, 0600, 4), -ENOENT);
}

static void test_process(void **state)
{
	uint64_t mine = 0;
	uint64_t childs = 0;
	struct pollfd poll_fd = {.events = POLLIN};
	pid_t pid;

	assert_int_equal(hs_process_start_ticks(getpid(), &mine), 0);
	assert_true(mine > 0);
	pid = fork();
	if (pid == 0) {
		pause();
		_exit(0);
	}
	assert_int_equal(hs_process_start_ticks(pid, &childs), 0);
	assert_true(childs >= mine);
	poll_fd.fd = hs_process_pidfd(pid);
	assert_true(poll_fd.fd >= 0);
	assert_int_equal(poll(&poll_fd, 1, 0), 0);
	kill(pid, SIGKILL);
	assert_int_equal(poll(&poll_fd, 1, -1), 1);
	waitpid(pid, NULL, 0);
	close(poll_fd.fd);
	assert_int_equal(hs_process_pidfd(pid), -ESRCH);
	assert_true(hs_process_start_ticks(pid, &childs) < 0);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_message_with_fds),
		cmocka_unit_test(test_refused_whole),
		cmocka_unit_test(test_ctrunc),
		cmocka_unit_test(test_no_descriptors),
		CASE(test_listen_takes_over_the_dead),
		CASE(test_listen_refuses),
		cmocka_unit_test(test_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
