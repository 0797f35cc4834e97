/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the HTTP door's thread asks, the worker's thread answers: a letter
 * box between them, so that the core needs no lock.
 *
 * Guarantees: a question that is not answered in time is withdrawn; neither
 * thread waits for the other while it holds the box's lock.
 */
#ifndef HS_AGENT_MAILBOX_H
#define HS_AGENT_MAILBOX_H

#include "agent/worker.h"
#include "base/httpd.h"

/** hs_mailbox_make() - open the door. Return: 0 or -errno */
int hs_mailbox_make(struct hs_worker *w);
/** hs_mailbox_free() - answer nobody any more, close the door */
void hs_mailbox_free(struct hs_worker *w);
/** hs_mailbox_serve() - answer what has come in */
void hs_mailbox_serve(struct hs_worker *w);

/** hs_mailbox_door() - for who may ask, and how; NULL before it is open */
struct hs_httpd *hs_mailbox_door(const struct hs_worker *w);

#endif
