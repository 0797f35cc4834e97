/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: within base/config only: one scalar by its key, in and out of the
 * daemon's struct.
 */
#ifndef HS_CONFIG_VALUE_H
#define HS_CONFIG_VALUE_H

#include "base/config.h"

/* Room for "one of a, b, c" and its like. */
#define HS_CONFIG_WANT_MAX 256

/* What would be right for @key: "a duration such as 200ms, from 1ms to 1h". */
void hs_config_value_want(const struct hs_config_key *key,
			  char out[HS_CONFIG_WANT_MAX]);

/**
 * hs_config_value_set() - convert a scalar and store it
 * @key: its key; not a list
 * @text: the scalar
 * @out: the daemon's struct
 *
 * Return: 0; -EINVAL wrong kind; -ERANGE right kind but out of range; -ENOMEM.
 */
int hs_config_value_set(const struct hs_config_key *key, const char *text,
			void *out);

/* Where the key's value lives. */
static inline void *hs_config_value_at(const struct hs_config_key *key,
				       void *out)
{
	return (char *)out + key->offset;
}

/* Bytes that the key's value takes there. */
size_t hs_config_value_size(const struct hs_config_key *key);

#endif
