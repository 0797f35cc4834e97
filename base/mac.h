/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: keyed tags of messages, and the derivation of keys; libcrypto does
 * both. Not in base_dep: what links this links libcrypto.
 *
 *   tag	SipHash-2-4 with 128 bits, a pseudo-random function: no nonce
 *that must never repeat, and the cheapest there is for short messages
 *		(docs/adr/0033).
 *   derive	HKDF with SHA-256 (RFC 5869).
 *
 * Guarantees: hs_mac_tag() allocates nothing.
 */
#ifndef HS_MAC_H
#define HS_MAC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define HS_MAC_KEY_BYTES 16u
#define HS_MAC_TAG_BYTES 16u

struct hs_mac;

/** hs_mac_create() - a context for any number of keys; NULL: no memory */
struct hs_mac *hs_mac_create(void);
void hs_mac_destroy(struct hs_mac *m);

/**
 * hs_mac_tag() - the tag of what the pieces are together
 * @m: one thread at a time
 * @tag: HS_MAC_TAG_BYTES; one that nobody can foretell if libcrypto fails,
 *	so that nothing passes for authentic then
 */
void hs_mac_tag(struct hs_mac *m, const uint8_t key[HS_MAC_KEY_BYTES],
		const struct iovec *pieces, int nr_pieces,
		uint8_t tag[HS_MAC_TAG_BYTES]);

/** hs_mac_same() - compares two tags, in a time that tells nothing of them */
bool hs_mac_same(const uint8_t a[HS_MAC_TAG_BYTES],
		 const uint8_t b[HS_MAC_TAG_BYTES]);

/**
 * hs_mac_derive() - bytes that depend on all of the key, the salt and the use
 * @salt: may be NULL with 0 bytes
 * @info: what they are for; at most 512 bytes
 *
 * Return: 0, -EINVAL, -ENOMEM, or -EIO if libcrypto refuses.
 */
int hs_mac_derive(const void *key, size_t key_bytes, const void *salt,
		  size_t salt_bytes, const void *info, size_t info_bytes,
		  void *out, size_t out_bytes);

#endif
