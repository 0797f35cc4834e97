/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the helper's side of the socket: connect, say hello, take the
 * welcome and its descriptors, notice that the agent is gone, try again.
 *
 * Guarantees: no call blocks; the descriptor is used only while the kernel
 * says that it is still the socket we made, since an application may close
 * every descriptor and have the number given to something of its own.
 */
#ifndef HS_DATAPLANE_CONNECT_H
#define HS_DATAPLANE_CONNECT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/un.h>

#include "dataplane/attachment.h"

enum hs_connect_state {
	HS_CONNECT_IDLE = 0,	/* no socket; waits for retry_ns */
	HS_CONNECT_WAITING = 1, /* hello is out, no welcome yet */
	HS_CONNECT_UP = 2,	/* an agent serves us */
};

enum hs_connect_event {
	HS_CONNECT_NOTHING = 0,
	HS_CONNECT_ATTACHED = 1, /* a new attachment, see attachment */
	HS_CONNECT_RESUMED = 2,	 /* the old one goes on */
	HS_CONNECT_LOST = 3,	 /* the agent is gone */
};

struct hs_connect {
	enum hs_connect_state state;
	int fd;
	dev_t dev; /* which socket fd was when we made it */
	ino_t ino;
	struct sockaddr_un address;
	uint64_t retry_ns; /* steady clock */
	uint64_t deadline_ns;
	uint64_t backoff_ns;
	uint32_t process; /* to resume, 0: none */
	uint64_t token;
	uint64_t node;
	struct hs_attachment *attachment; /* out: with HS_CONNECT_ATTACHED */
};

/**
 * hs_connect_init() - before the first step
 *
 * Return: 0; -EINVAL when the path does not fit into an address.
 */
int hs_connect_init(struct hs_connect *c, const char *path);

/**
 * hs_connect_step() - do what can be done now
 * @now_ns: steady clock
 *
 * Context: one thread at a time; makes system calls, waits for nothing.
 */
enum hs_connect_event hs_connect_step(struct hs_connect *c, const char *service,
				      uint64_t now_ns);

/* How long until a step may find something to do. */
uint64_t hs_connect_wait_ns(const struct hs_connect *c, uint64_t now_ns);

/* Close the socket if it is still ours. */
void hs_connect_close(struct hs_connect *c);

#endif
