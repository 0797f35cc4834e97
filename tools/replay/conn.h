/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One end of a stream socket between two processes of a replay: frames in,
 * frames out, never blocking. Writing is buffered until it is flushed, so that
 * a busy process pays one system call for many frames; the buffer grows, since
 * two processes that both wait for room would wait for ever. Its size is
 * bounded by the traces in flight, which the driver bounds.
 */
#ifndef HS_REPLAY_CONN_H
#define HS_REPLAY_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HS_REPLAY_FRAME_MAX_BYTES 2048u

enum hs_replay_frame_type {
	HS_REPLAY_FRAME_REQUEST = 1, /* do this fragment; a context */
	HS_REPLAY_FRAME_REPLY = 2,   /* this fragment is done; a context */
	HS_REPLAY_FRAME_STATE = 3,   /* node to driver: struct node_state */
	HS_REPLAY_FRAME_QUIT = 4,    /* driver to node: detach and exit */
};

struct hs_replay_frame {
	uint32_t length_bytes; /* this header included */
	uint16_t type;	       /* enum hs_replay_frame_type */
	uint16_t form;	       /* enum hs_replay_form */
	uint32_t fragment;
	uint32_t reserved;
};

struct hs_replay_conn {
	int fd;
	bool writable_wanted; /* the last flush left something */
	uint8_t *out;
	size_t out_start, out_end, out_cap;
	uint8_t in[16384];
	size_t in_start, in_end;
};

void hs_replay_conn_init(struct hs_replay_conn *conn, int fd);
/* Closes the socket, too. */
void hs_replay_conn_destroy(struct hs_replay_conn *conn);

/**
 * hs_replay_conn_put() - queue a frame
 * @frame: its length is set here
 *
 * Return: 0, -ENOMEM, -EMSGSIZE.
 */
int hs_replay_conn_put(struct hs_replay_conn *conn,
		       struct hs_replay_frame *frame, const void *payload,
		       size_t payload_bytes);

/* Write what is queued. Return: 0 done, 1 some is left, or -errno. */
int hs_replay_conn_flush(struct hs_replay_conn *conn);

/* Read what is there. Return: bytes, 0 nothing now, -EPIPE at the end. */
int hs_replay_conn_fill(struct hs_replay_conn *conn);

/**
 * hs_replay_conn_next() - the next whole frame that was read
 * @payload: receives where it stands, good until the next call of fill
 *
 * Return: 1 with a frame, 0 without, -EBADMSG.
 */
int hs_replay_conn_next(struct hs_replay_conn *conn,
			struct hs_replay_frame *frame, const uint8_t **payload,
			size_t *payload_bytes);

#endif
