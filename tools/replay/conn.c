/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buffered frames over a stream socket. See conn.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tools/replay/conn.h"

void hs_replay_conn_init(struct hs_replay_conn *conn, int fd)
{
	memset(conn, 0, sizeof(*conn));
	conn->fd = fd;
}

void hs_replay_conn_destroy(struct hs_replay_conn *conn)
{
	if (conn->fd >= 0)
		close(conn->fd);
	free(conn->out);
	memset(conn, 0, sizeof(*conn));
	conn->fd = -1;
}

static int make_room(struct hs_replay_conn *conn, size_t want_bytes)
{
	size_t used = conn->out_end - conn->out_start;
	size_t cap = conn->out_cap ? conn->out_cap : 4096;
	uint8_t *bigger;

	if (conn->out_cap - conn->out_end >= want_bytes)
		return 0;
	if (used)
		memmove(conn->out, conn->out + conn->out_start, used);
	conn->out_start = 0;
	conn->out_end = used;
	while (cap - used < want_bytes)
		cap *= 2;
	if (cap == conn->out_cap)
		return 0;
	bigger = realloc(conn->out, cap);
	if (!bigger)
		return -ENOMEM;
	conn->out = bigger;
	conn->out_cap = cap;
	return 0;
}

int hs_replay_conn_put(struct hs_replay_conn *conn,
		       struct hs_replay_frame *frame, const void *payload,
		       size_t payload_bytes)
{
	int err;

	if (payload_bytes > HS_REPLAY_FRAME_MAX_BYTES - sizeof(*frame))
		return -EMSGSIZE;
	frame->length_bytes = (uint32_t)(sizeof(*frame) + payload_bytes);
	err = make_room(conn, frame->length_bytes);
	if (err)
		return err;
	if (!conn->out)
		return -ENOMEM;
	memcpy(conn->out + conn->out_end, frame, sizeof(*frame));
	conn->out_end += sizeof(*frame);
	if (payload_bytes)
		memcpy(conn->out + conn->out_end, payload, payload_bytes);
	conn->out_end += payload_bytes;
	return 0;
}

int hs_replay_conn_flush(struct hs_replay_conn *conn)
{
	while (conn->out_start < conn->out_end) {
		ssize_t n = send(conn->fd, conn->out + conn->out_start,
				 conn->out_end - conn->out_start,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 1 : -errno;
		conn->out_start += (size_t)n;
	}
	conn->out_start = 0;
	conn->out_end = 0;
	return 0;
}

int hs_replay_conn_fill(struct hs_replay_conn *conn)
{
	ssize_t n;

	if (conn->in_start) {
		memmove(conn->in, conn->in + conn->in_start,
			conn->in_end - conn->in_start);
		conn->in_end -= conn->in_start;
		conn->in_start = 0;
	}
	do {
		n = recv(conn->fd, conn->in + conn->in_end,
			 sizeof(conn->in) - conn->in_end, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	if (!n)
		return -EPIPE;
	conn->in_end += (size_t)n;
	return (int)n;
}

int hs_replay_conn_next(struct hs_replay_conn *conn,
			struct hs_replay_frame *frame, const uint8_t **payload,
			size_t *payload_bytes)
{
	size_t have = conn->in_end - conn->in_start;

	if (have < sizeof(*frame))
		return 0;
	memcpy(frame, conn->in + conn->in_start, sizeof(*frame));
	if (frame->length_bytes < sizeof(*frame) ||
	    frame->length_bytes > HS_REPLAY_FRAME_MAX_BYTES)
		return -EBADMSG;
	if (have < frame->length_bytes)
		return 0;
	*payload = conn->in + conn->in_start + sizeof(*frame);
	*payload_bytes = frame->length_bytes - sizeof(*frame);
	conn->in_start += frame->length_bytes;
	return 1;
}
