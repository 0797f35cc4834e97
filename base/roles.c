/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see roles.h. */
#include "base/roles.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fdpass.h"

static const char *const names[] = {"read", "fire", "change", "stop"};

uint32_t hs_role_of(const char *name)
{
	for (uint32_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i], name) == 0)
			return 1u << i;
	return 0;
}

const char *hs_role_name(enum hs_role role)
{
	return names[__builtin_ctz((unsigned)role)];
}

static bool fits(const struct hs_roles_rule *rule,
		 const struct hs_roles_peer *peer)
{
	if (rule->by == HS_ROLES_BY_USER)
		return rule->id == peer->uid;
	for (uint32_t i = 0;
	     rule->by == HS_ROLES_BY_GROUP && i < peer->nr_groups; i++)
		if (rule->id == peer->groups[i])
			return true;
	return false;
}

uint32_t hs_roles_of_peer(const struct hs_roles *roles,
			  const struct hs_roles_peer *peer)
{
	uint32_t may = 0;

	if (peer->uid == 0 || peer->uid == roles->owner)
		return HS_ROLES_ALL;
	for (uint32_t i = 0; i < roles->nr; i++)
		if (fits(&roles->rules[i], peer))
			may |= roles->rules[i].may;
	return may;
}

/* As long for any wrong token, so that time tells nothing. */
static bool same_token(const char *got, const char *want)
{
	size_t got_len = strlen(got);
	size_t want_len = strlen(want);
	unsigned char diff = got_len != want_len;

	for (size_t i = 0; i < want_len; i++)
		diff |= (unsigned char)(want[i] ^ (i < got_len ? got[i] : 0));
	return diff == 0;
}

uint32_t hs_roles_of_token(const struct hs_roles *roles, const char *token)
{
	uint32_t may = 0;

	/* All of them are looked at, whichever fits. */
	for (uint32_t i = 0; i < roles->nr; i++)
		if (roles->rules[i].by == HS_ROLES_BY_TOKEN &&
		    same_token(token, roles->rules[i].token))
			may |= roles->rules[i].may;
	return may;
}

bool hs_roles_have(const struct hs_roles *roles, enum hs_roles_by by)
{
	for (uint32_t i = 0; i < roles->nr; i++)
		if (roles->rules[i].by == by)
			return true;
	return false;
}

static int groups_get(int sock, struct hs_roles_peer *out)
{
	socklen_t bytes = sizeof(out->groups);
	gid_t *all;
	int rc = 0;

	if (getsockopt(sock, SOL_SOCKET, SO_PEERGROUPS, out->groups, &bytes) ==
	    0) {
		out->nr_groups = (uint32_t)(bytes / sizeof(gid_t));
		return 0;
	}
	if (errno != ERANGE)
		return -errno;
	/* More than fit: the kernel says how many, and gives all or none. */
	all = malloc(bytes);
	if (all == NULL)
		return -ENOMEM;
	if (getsockopt(sock, SOL_SOCKET, SO_PEERGROUPS, all, &bytes) != 0) {
		rc = -errno;
	} else {
		memcpy(out->groups, all, sizeof(out->groups));
		out->nr_groups = HS_ROLES_GROUPS_MAX;
	}
	free(all);
	return rc;
}

int hs_roles_peer_get(int sock, struct hs_roles_peer *out)
{
	struct hs_unix_peer peer;
	int rc = hs_unix_peer_get(sock, &peer);

	if (rc == 0)
		rc = groups_get(sock, out);
	if (rc != 0)
		return rc;
	out->uid = peer.uid;
	/* The kernel lists supplementary groups only. */
	if (out->nr_groups == HS_ROLES_GROUPS_MAX)
		out->nr_groups--;
	out->groups[out->nr_groups++] = peer.gid;
	return 0;
}
