/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: Unix sockets between processes of one machine: listening,
 * connecting, who the peer is, and messages that carry file descriptors.
 *
 * Guarantees: every descriptor is close-on-exec from its first moment; a
 * message that is cut, or carries more descriptors than were asked for, is an
 * error as a whole and none of its descriptors leaks. No SIGPIPE. Nothing
 * here waits unless the socket is a blocking one. libhindsight uses this.
 */
#ifndef HS_FDPASS_H
#define HS_FDPASS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define HS_FDPASS_MAX_FDS 24

/**
 * hs_fdpass_send() - send one message with descriptors
 * @sock: a SOCK_SEQPACKET socket
 * @data: the message; not empty, since an empty one reads as a hang-up
 * @len_bytes: its length
 * @fds: descriptors to go with it
 * @nr_fds: how many, at most HS_FDPASS_MAX_FDS
 *
 * Context: any thread; waits only on a blocking socket.
 * Own: the descriptors stay the caller's, who may close them after this.
 * Return: 0, or -errno: -EINVAL, -EAGAIN (full, nothing sent), -EPIPE.
 */
int hs_fdpass_send(int sock, const void *data, size_t len_bytes, const int *fds,
		   size_t nr_fds);

/**
 * hs_fdpass_recv() - receive one message with descriptors
 * @sock: a SOCK_SEQPACKET socket
 * @buf: where the message goes
 * @size_bytes: the room there
 * @fds: where descriptors go
 * @max_fds: the room there, at most HS_FDPASS_MAX_FDS
 * @nr_fds: how many came; 0 unless a message is returned
 *
 * Context: any thread; waits only on a blocking socket.
 * Own: the descriptors become the caller's.
 * Return: the message's length; 0 when the peer hung up; -EMSGSIZE when it
 * is longer than @size_bytes; -EPROTO when it has more descriptors than
 * @max_fds; -EMFILE when they could not all be taken in, since we may have no
 * more; or -errno of recvmsg(2).
 */
ssize_t hs_fdpass_recv(int sock, void *buf, size_t size_bytes, int *fds,
		       size_t max_fds, size_t *nr_fds);

/**
 * hs_unix_listen() - listen on a path, taking it over from a dead owner
 * @path: where; its directory must exist
 * @type: SOCK_SEQPACKET or SOCK_STREAM; the descriptor is non-blocking
 * @mode: permissions of the socket, such as 0660
 * @backlog: as of listen(2)
 *
 * A socket that nobody listens on is unlinked first; one that is listened on,
 * or anything that is no socket, is left alone. The check and the takeover
 * happen under a lock on the directory, so two starters cannot both win.
 *
 * Return: the descriptor, or -errno: -EADDRINUSE somebody listens there,
 * -EEXIST it is not a socket, -ENAMETOOLONG, -EBUSY the directory is locked.
 */
int hs_unix_listen(const char *path, int type, mode_t mode, int backlog);

/**
 * hs_unix_connect() - connect to a path
 * @path: where somebody listens
 * @type: SOCK_SEQPACKET or SOCK_STREAM, may be or'ed with SOCK_NONBLOCK
 *
 * Return: the descriptor, or -errno: -ENOENT, -ECONNREFUSED, -ENAMETOOLONG,
 * -EAGAIN the backlog is full (non-blocking).
 */
int hs_unix_connect(const char *path, int type);

struct hs_unix_peer {
	pid_t pid; /* at the time of connect; may be gone */
	uid_t uid;
	gid_t gid;
};

/* Who connected, as the kernel saw it. Return: 0, or -errno. */
int hs_unix_peer_get(int sock, struct hs_unix_peer *peer);

/**
 * hs_process_pidfd() - a descriptor that becomes readable when a process ends
 * @pid: the process
 *
 * The pid may have been reused since it was learned: compare
 * hs_process_start_ticks() from before and after.
 *
 * Return: the descriptor (close-on-exec), or -errno: -ESRCH when it is gone.
 */
int hs_process_pidfd(pid_t pid);

/**
 * hs_process_start_ticks() - when a process started, since boot
 * @pid: the process
 * @ticks: its start in clock ticks; with the pid, names it for this boot
 *
 * Return: 0, or -errno: -ESRCH or -ENOENT when it is gone.
 */
int hs_process_start_ticks(pid_t pid, uint64_t *ticks);

#endif
