/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: users of this machine, as a configuration names them. */
#ifndef HS_USER_H
#define HS_USER_H

#include <stdbool.h>
#include <sys/types.h>

/**
 * hs_user_find() - a user by name, or by number
 *
 * Context: daemon start; asks the system's user database.
 * Return: false: there is none of that name, and it is no number.
 */
bool hs_user_find(const char *text, uid_t *out);

#endif
