/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: descriptors under names, and how they travel between a keeper and
 * its worker, or a keeper and its successor: over a SOCK_SEQPACKET socket, by
 * question and answer, one message with at most one descriptor each.
 *
 *   worker, successor -> keeper	keeper -> worker, successor
 *   NEXT index				ITEM name + descriptor, or END
 *   STORE name + descriptor		(kept once the send has succeeded)
 *   DROP name
 *   PREPARED: whenever told to	GO: begin; arg 1: you have stood by
 *   READY
 *					STANDBY: arg: its pid, 0: there is none
 *					STANDBY_DEATHS: arg: so many
 *   STOP: end; arg 1: keep nothing	FINISH: end soon; arg 1: keep nothing
 *   TAKEN: the successor has all	(the keeper lets go and exits)
 *   PURGE: let go of everything
 */
#ifndef HS_AGENT_HELD_H
#define HS_AGENT_HELD_H

#include <stddef.h>
#include <stdint.h>

#include "base/memfd.h"

#define HS_HELD_NAME_BYTES 96u
#define HS_HELD_MAX	   4096u

enum hs_held_type {
	HS_HELD_NEXT = 1,
	HS_HELD_ITEM,
	HS_HELD_END,
	HS_HELD_STORE,
	HS_HELD_DROP,
	HS_HELD_READY,
	HS_HELD_STOP,
	HS_HELD_FINISH,
	HS_HELD_TAKEN,
	HS_HELD_PURGE,
	HS_HELD_RELOAD,
	HS_HELD_PREPARED,
	HS_HELD_GO,
	HS_HELD_STANDBY,
	HS_HELD_STANDBY_DEATHS,
};

struct hs_held_message {
	uint32_t type; /* enum hs_held_type */
	uint32_t arg;
	char name[HS_HELD_NAME_BYTES];
};

struct hs_held_item {
	char name[HS_HELD_NAME_BYTES];
	int fd;
};

struct hs_held {
	struct hs_held_item *items; /* HS_HELD_MAX */
	uint32_t nr_items;
};

/** hs_held_make() - an empty set. Return: 0 or -ENOMEM */
int hs_held_make(struct hs_held *held);
/** hs_held_free() - close everything that is held */
void hs_held_free(struct hs_held *held);
/**
 * hs_held_put() - keep @fd under @name, in place of what was there
 * Own: on success @fd belongs to the set. Return: 0, -EINVAL, -ENOSPC.
 */
int hs_held_put(struct hs_held *held, const char *name, int fd);
/** hs_held_drop() - close what is held under @name, if anything */
void hs_held_drop(struct hs_held *held, const char *name);
/** hs_held_find() - the descriptor, which stays the set's; -1: none */
int hs_held_find(const struct hs_held *held, const char *name);

/** hs_held_send() - one message; @fd -1: none. Return: 0 or -errno */
int hs_held_send(int sock, enum hs_held_type type, uint32_t arg,
		 const char *name, int fd);
/**
 * hs_held_receive() - one message
 * @fd: what came along, or -1; the caller's
 * Return: 1; 0 when the other side is gone; -errno
 */
int hs_held_receive(int sock, struct hs_held_message *message, int *fd);
/** hs_held_answer() - reply to NEXT. Return: 0 or -errno */
int hs_held_answer(const struct hs_held *held, int sock, uint32_t index);
/**
 * hs_held_fetch() - ask for everything the other side holds
 * Context: waits. Return: 0 or -errno.
 */
int hs_held_fetch(struct hs_held *held, int sock);
/**
 * hs_held_attach() - map what is held under @name
 * @flags: HS_MEMFD_*
 * Own: @memfd has a descriptor of its own; @held keeps its.
 * Return: 0; -ENOENT; -errno
 */
int hs_held_attach(const struct hs_held *held, const char *name,
		   struct hs_memfd *memfd, size_t max_bytes,
		   unsigned int flags);

#endif
