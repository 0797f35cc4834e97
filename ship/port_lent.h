/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port_lent.h - frames through a port that an application lends
 *
 * The agent's end (hs/lend_format.h): it listens on a Unix socket for the one
 * application that lends its port, and puts frames into memory shared with it.
 * While nobody lends, the port is one whose link is down. What the application
 * writes is bounds-checked, frames from it are copied before they are looked
 * at, and memory that the agent writes is only readable to it. It can lose and
 * change what it carries, which checksums and tags find, and nothing else.
 *
 * An application that hangs keeps the loan: the ring fills, and that is
 * counted. One that ends is noticed within 10 ms, and so is the next one.
 *
 * Context: one thread, the one that made the port.
 */
#ifndef HS_SHIP_PORT_LENT_H
#define HS_SHIP_PORT_LENT_H

#include <sys/types.h>

#include "hs/lend_format.h"
#include "ship/place.h"
#include "ship/port.h"

#define HS_SHIP_LENDERS_MAX 16u

struct hs_ship_lent_config {
	const char *socket;   /* that applications find */
	mode_t mode;	      /* of the socket */
	uint32_t frame_bytes; /* over IPv4; over IPv6 20 less */
	/* Who may lend, besides root and the agent's own user. */
	uid_t lenders[HS_SHIP_LENDERS_MAX];
	uint32_t nr_lenders;
	/* Reading memory that the application writes may raise SIGBUS: both
	 * are told of it. May be NULL. */
	int (*watch)(const void *base, size_t size_bytes, bool huge);
	void (*forget)(const void *base);
};

/**
 * hs_ship_lent_create() - a port that waits for an application
 * Return: NULL with errno and *why set.
 */
struct hs_ship_port *
hs_ship_lent_create(const struct hs_ship_lent_config *config, const char **why);

/* Who lends; of what the application says of itself, none needs to be true. */
struct hs_ship_lender {
	bool there;
	bool stalled; /* it has taken nothing for a second, though there is */
	uid_t uid;
	pid_t pid;
	char name[HS_LEND_NAME_BYTES];
	char address[HS_SHIP_PLACE_TEXT_BYTES];
	uint64_t loans;		  /* so far */
	uint64_t refused;	  /* applications that were turned away */
	const char *last_refusal; /* NULL: none */
	uint64_t broken;	  /* loans ended since the ring made no sense */
	uint64_t skipped;	  /* frames from there, longer than can be */
	uint32_t waiting;	  /* frames not taken yet */
	uint64_t sent, sent_bytes, no_neighbour, no_memory, stuck, dropped;
};

/** hs_ship_lent_lender() - of a port that hs_ship_lent_create() made */
void hs_ship_lent_lender(struct hs_ship_port *p, struct hs_ship_lender *out);

#endif
