/* SPDX-License-Identifier: Apache-2.0 */
/*
 * key.h - the cluster's key for frames of the shipping protocol
 *
 * Tags are made under a key derived from the first key of the cluster's file
 * (base/keyring.h) and fit under one derived from either, so that keys can be
 * changed node by node. The file is read again when it changes.
 */
#ifndef HS_SHIP_KEY_H
#define HS_SHIP_KEY_H

#include "ship/proto.h"

#define HS_SHIP_KEY_ERROR_BYTES 320u

struct hs_ship_key;

/**
 * hs_ship_key_open() - read the keys
 * @path: of the file
 * @error: set to what is wrong, where, and what would be right
 *
 * Return: NULL with errno set.
 */
struct hs_ship_key *hs_ship_key_open(const char *path,
				     char error[HS_SHIP_KEY_ERROR_BYTES]);
/** hs_ship_key_auth() - for both ends' configs; NULL: frames carry no tag */
struct hs_ship_auth hs_ship_key_auth(struct hs_ship_key *k);
/** hs_ship_key_look() - whether the file changed, now and then; NULL is fine */
void hs_ship_key_look(struct hs_ship_key *k, uint64_t now_ns);
void hs_ship_key_close(struct hs_ship_key *k);

#endif
