/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see key.h. */
#include "ship/key.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/keyring.h"
#include "base/log.h"
#include "base/mac.h"

#define LOOK_EVERY_NS (500 * HS_NS_PER_MS)

static const char use[] = "hindsight ship 1";

struct hs_ship_key {
	struct hs_keyring_file file;
	struct hs_mac *mac;
	uint64_t look_ns;
	uint32_t nr_keys;
	uint8_t keys[HS_KEYRING_KEYS_MAX][HS_MAC_KEY_BYTES];
};

_Static_assert(HS_MAC_TAG_BYTES == HS_SHIP_TAG_BYTES, "the tag fits");

static int derive(struct hs_ship_key *k, const struct hs_keyring *ring)
{
	uint8_t keys[HS_KEYRING_KEYS_MAX][HS_MAC_KEY_BYTES];
	int rc = 0;

	for (uint32_t i = 0; i < ring->nr_keys && !rc; i++)
		rc = hs_mac_derive(ring->keys[i], HS_KEYRING_KEY_BYTES, NULL, 0,
				   use, sizeof(use) - 1, keys[i],
				   sizeof(keys[i]));
	if (!rc) {
		memcpy(k->keys, keys, sizeof(k->keys));
		k->nr_keys = ring->nr_keys;
	}
	explicit_bzero(keys, sizeof(keys));
	return rc;
}

struct hs_ship_key *hs_ship_key_open(const char *path,
				     char error[HS_SHIP_KEY_ERROR_BYTES])
{
	struct hs_ship_key *k = calloc(1, sizeof(*k));
	char wrong[HS_KEYRING_ERROR_BYTES] = "no memory";
	struct hs_keyring ring = {0};
	int rc = -ENOMEM;

	if (k) {
		k->file.path = strdup(path);
		k->mac = hs_mac_create();
		if (k->file.path && k->mac)
			rc = hs_keyring_load(&k->file, &ring, wrong);
		if (!rc)
			rc = derive(k, &ring);
		explicit_bzero(&ring, sizeof(ring));
	}
	if (!rc)
		return k;
	snprintf(error, HS_SHIP_KEY_ERROR_BYTES, "transport.key_file: %s: %s",
		 path, wrong);
	hs_ship_key_close(k);
	errno = -rc;
	return NULL;
}

static void tag_by(const struct hs_ship_key *k, uint32_t nr,
		   const struct hs_ship_span *spans, uint32_t nr_spans,
		   uint8_t tag[HS_SHIP_TAG_BYTES])
{
	struct iovec pieces[HS_SHIP_PARTS_MAX + 2];

	for (uint32_t i = 0; i < nr_spans; i++)
		pieces[i] = (struct iovec){(void *)(uintptr_t)spans[i].data,
					   spans[i].bytes};
	hs_mac_tag(k->mac, k->keys[nr], pieces, (int)nr_spans, tag);
}

static void tag_first(void *ctx, const struct hs_ship_span *spans,
		      uint32_t nr_spans, uint8_t tag[HS_SHIP_TAG_BYTES])
{
	tag_by(ctx, 0, spans, nr_spans, tag);
}

/* Where there is one key only, the same again. */
static void tag_other(void *ctx, const struct hs_ship_span *spans,
		      uint32_t nr_spans, uint8_t tag[HS_SHIP_TAG_BYTES])
{
	const struct hs_ship_key *k = ctx;

	tag_by(k, k->nr_keys - 1, spans, nr_spans, tag);
}

struct hs_ship_auth hs_ship_key_auth(struct hs_ship_key *k)
{
	if (!k)
		return (struct hs_ship_auth){0};
	return (struct hs_ship_auth){
		.ctx = k, .tag = tag_first, .tag_also = tag_other};
}

void hs_ship_key_look(struct hs_ship_key *k, uint64_t now_ns)
{
	char error[HS_KEYRING_ERROR_BYTES];
	struct hs_keyring ring = {0};
	int rc;

	if (!k || now_ns - k->look_ns < LOOK_EVERY_NS)
		return;
	k->look_ns = now_ns;
	rc = hs_keyring_refresh(&k->file, &ring, error);
	if (rc > 0)
		rc = derive(k, &ring);
	explicit_bzero(&ring, sizeof(ring));
	if (rc < 0)
		hs_log_error("ship",
			     "the keys stay as they were: "
			     "transport.key_file: %s: %s",
			     k->file.path, error);
}

void hs_ship_key_close(struct hs_ship_key *k)
{
	if (!k)
		return;
	hs_mac_destroy(k->mac);
	free(k->file.path);
	explicit_bzero(k, sizeof(*k));
	free(k);
}
