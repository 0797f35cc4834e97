/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: users and groups of this machine, as a configuration names them. */
#ifndef HS_USER_H
#define HS_USER_H

#include <stdbool.h>
#include <sys/types.h>

/**
 * hs_user_find() - a user by name, or by number
 * hs_group_find() - likewise a group
 *
 * A name goes before a number, as with chown.
 *
 * Context: where a configuration is read; asks the system's databases.
 * Return: false: there is none of that name, and it is no number.
 */
bool hs_user_find(const char *text, uid_t *out);
bool hs_group_find(const char *text, gid_t *out);

#endif
