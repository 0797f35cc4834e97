/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: who may do what at a daemon's control door: read, fire, change,
 * stop; by the user and groups that the kernel names for a Unix socket's peer,
 * by a token for everybody else.
 *
 * Guarantees: pure. Without a rule nobody but root and the daemon's own user
 * may do anything. Tokens are compared in a time that tells nothing of them.
 */
#ifndef HS_ROLES_H
#define HS_ROLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define HS_ROLES_MAX	    32u
#define HS_ROLES_GROUPS_MAX 64u
#define HS_ROLES_TOKEN_MAX  256u

enum hs_role {
	HS_ROLE_READ = 1,   /* status, metrics, settings, traces */
	HS_ROLE_FIRE = 2,   /* triggers */
	HS_ROLE_CHANGE = 4, /* the settings in effect */
	HS_ROLE_STOP = 8,
};
#define HS_ROLES_ALL 15u

enum hs_roles_by {
	HS_ROLES_BY_USER,
	HS_ROLES_BY_GROUP,
	HS_ROLES_BY_TOKEN,
};

struct hs_roles_rule {
	enum hs_roles_by by;
	uint32_t may; /* enum hs_role, or'ed */
	uint32_t id;  /* uid or gid */
	char token[HS_ROLES_TOKEN_MAX];
};

/* All zero but for @owner: nobody else. */
struct hs_roles {
	uid_t owner; /* of the daemon */
	uint32_t nr;
	struct hs_roles_rule rules[HS_ROLES_MAX];
};

struct hs_roles_peer {
	uid_t uid;
	uint32_t nr_groups;
	gid_t groups[HS_ROLES_GROUPS_MAX];
};

/** hs_role_of() - by its name; Return: 0 for none of them */
uint32_t hs_role_of(const char *name);
/** hs_role_name() - "read" */
const char *hs_role_name(enum hs_role role);

/** hs_roles_of_peer() - what the rules that fit a peer grant together */
uint32_t hs_roles_of_peer(const struct hs_roles *roles,
			  const struct hs_roles_peer *peer);
/** hs_roles_of_token() - the same for the bearer of a token */
uint32_t hs_roles_of_token(const struct hs_roles *roles, const char *token);
/** hs_roles_have() - whether any rule goes by that */
bool hs_roles_have(const struct hs_roles *roles, enum hs_roles_by by);

/**
 * hs_roles_peer_get() - who is behind a connected Unix socket
 *
 * As of its connect(2). Of more groups than there is room for the first count.
 *
 * Return: 0 or -errno.
 */
int hs_roles_peer_get(int sock, struct hs_roles_peer *out);

#endif
