/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the cluster's keys, as a file holds them: one or two lines of 64
 * hexadecimal digits; blank lines and what follows a '#' do not count. The
 * first one is preferred, both are accepted, so that keys can be changed node
 * by node while everything runs.
 *
 * Guarantees: a file that others than its owner can read or write is refused;
 * what a file says is taken whole or not at all.
 */
#ifndef HS_KEYRING_H
#define HS_KEYRING_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define HS_KEYRING_KEYS_MAX    2u
#define HS_KEYRING_KEY_BYTES   32u
#define HS_KEYRING_ERROR_BYTES 256u

struct hs_keyring {
	uint32_t nr_keys; /* 0: none, and nothing is authenticated */
	/* By which peers find the one that they share; tells nothing of it. */
	uint64_t ids[HS_KEYRING_KEYS_MAX];
	uint8_t keys[HS_KEYRING_KEYS_MAX][HS_KEYRING_KEY_BYTES];
};

/* Where a keyring came from, to see whether it changed. */
struct hs_keyring_file {
	char *path; /* NULL: there is none */
	struct stat seen;
};

/**
 * hs_keyring_parse() - keys out of a text
 * @text: not NUL-terminated, @text_bytes long
 * @ring: untouched after an error
 * @error: set to what is wrong, where, and what would be right
 *
 * Return: 0, -EINVAL, or -errno of deriving ids.
 */
int hs_keyring_parse(const char *text, size_t text_bytes,
		     struct hs_keyring *ring,
		     char error[HS_KEYRING_ERROR_BYTES]);

/**
 * hs_keyring_load() - keys out of the file
 * @file: path set; what was seen of the file is remembered there
 * @ring: untouched after an error
 *
 * Return: 0; -EACCES: others may read or write it; -errno.
 */
int hs_keyring_load(struct hs_keyring_file *file, struct hs_keyring *ring,
		    char error[HS_KEYRING_ERROR_BYTES]);

/**
 * hs_keyring_refresh() - load it again if the file changed
 *
 * Return: 1: there are new keys; 0: as before; -errno with @error: as before,
 *	and the file is not asked again until it changes once more.
 */
int hs_keyring_refresh(struct hs_keyring_file *file, struct hs_keyring *ring,
		       char error[HS_KEYRING_ERROR_BYTES]);

#endif
