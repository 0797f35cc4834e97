/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: how processes come in, come back after a change of workers, and go:
 * the listening sockets, the handshake, and the lines that stay.
 *
 * Guarantees: nothing waits; half-made handshakes are few and end by time; a
 * process that knocks too often is turned away; a token is good for the
 * process and the domain that it was given to, and for no other.
 */
#ifndef HS_AGENT_ATTACH_H
#define HS_AGENT_ATTACH_H

#include "agent/worker.h"

/** hs_attach_make() - listen on every domain's socket. Return: 0 or -errno */
int hs_attach_make(struct hs_worker *w);
/** hs_attach_shut() - take nobody in any more */
void hs_attach_shut(struct hs_worker *w);
void hs_attach_free(struct hs_worker *w);

/* What epoll has said. */
void hs_attach_accept(struct hs_worker *w, uint32_t listener);
void hs_attach_pending(struct hs_worker *w, uint32_t pending);
void hs_attach_line(struct hs_worker *w, uint32_t guest);
void hs_attach_exit(struct hs_worker *w, uint32_t guest);

/** hs_attach_round() - end overdue handshakes, bury the dead */
void hs_attach_round(struct hs_worker *w);

#endif
