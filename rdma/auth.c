/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth.c - the cluster's key over one connection: see auth.h
 */
#include "rdma/auth.h"

#include <errno.h>
#include <string.h>

#include "base/endian.h"

static const char use[] = "hindsight connection 1";

static int fail(struct hs_auth *a, int rc, const char *error)
{
	a->state = HS_AUTH_FAILED;
	a->error = error;
	return rc;
}

uint32_t hs_auth_begin(struct hs_auth *a, const struct hs_keyring *ring,
		       bool dialled, const struct hs_wire_hello *hello,
		       const uint8_t nonce[HS_WIRE_NONCE_BYTES])
{
	memset(a, 0, sizeof(*a));
	a->ours.hello = *hello;
	a->dialled = dialled;
	if (!ring->nr_keys)
		return sizeof(a->ours.hello);
	a->state = HS_AUTH_HELLO;
	a->ring = *ring;
	a->ours.hello.flags |= HS_WIRE_HELLO_F_KEY;
	memcpy(a->ours.key.nonce, nonce, HS_WIRE_NONCE_BYTES);
	for (uint32_t i = 0; i < ring->nr_keys; i++)
		a->ours.key.ids[i] = ring->ids[i];
	return sizeof(a->ours);
}

static bool has(const struct hs_wire_hello_key *k, uint64_t id)
{
	for (uint32_t i = 0; i < HS_WIRE_HELLO_KEYS; i++)
		if (k->ids[i] == id)
			return true;
	return false;
}

/* Both sides look at the two lists in the same order. */
static const uint8_t *choose(struct hs_auth *a,
			     const struct hs_wire_hello_key *theirs)
{
	const struct hs_wire_hello_key *ours = &a->ours.key;
	const struct hs_wire_hello_key *dialler = a->dialled ? ours : theirs;
	const struct hs_wire_hello_key *other = a->dialled ? theirs : ours;

	for (uint32_t i = 0; i < HS_WIRE_HELLO_KEYS; i++) {
		uint64_t id = dialler->ids[i];

		if (!id || !has(other, id))
			continue;
		a->key_id = id;
		for (uint32_t k = 0; k < a->ring.nr_keys; k++)
			if (a->ring.ids[k] == id)
				return a->ring.keys[k];
	}
	return NULL;
}

static int derive(struct hs_auth *a, const uint8_t *key,
		  const struct hs_auth_hello *theirs)
{
	const struct hs_auth_hello *dialler = a->dialled ? &a->ours : theirs;
	const struct hs_auth_hello *other = a->dialled ? theirs : &a->ours;
	struct {
		char use[sizeof(use) - 1];
		struct hs_auth_hello hellos[2];
	} __attribute__((packed)) info;
	uint8_t nonces[2 * HS_WIRE_NONCE_BYTES];
	uint8_t keys[2][HS_MAC_KEY_BYTES]; /* the dialling side sends by [0] */
	int rc;

	memcpy(nonces, dialler->key.nonce, HS_WIRE_NONCE_BYTES);
	memcpy(nonces + HS_WIRE_NONCE_BYTES, other->key.nonce,
	       HS_WIRE_NONCE_BYTES);
	memcpy(info.use, use, sizeof(info.use));
	memcpy(&info.hellos[0], dialler, sizeof(*dialler));
	memcpy(&info.hellos[1], other, sizeof(*other));
	rc = hs_mac_derive(key, HS_KEYRING_KEY_BYTES, nonces, sizeof(nonces),
			   &info, sizeof(info), keys, sizeof(keys));
	memcpy(a->send_key, keys[a->dialled ? 0 : 1], HS_MAC_KEY_BYTES);
	memcpy(a->receive_key, keys[a->dialled ? 1 : 0], HS_MAC_KEY_BYTES);
	explicit_bzero(keys, sizeof(keys));
	explicit_bzero(&a->ring, sizeof(a->ring));
	return rc;
}

int hs_auth_hello(struct hs_auth *a, const void *payload,
		  uint32_t payload_bytes)
{
	struct hs_auth_hello theirs;
	const uint8_t *key;
	uint16_t flags;

	if (payload_bytes < sizeof(theirs.hello))
		return fail(a, -EPROTO, "HELLO is too short");
	memcpy(&theirs.hello, payload, sizeof(theirs.hello));
	flags = theirs.hello.flags;
	if (a->state == HS_AUTH_OFF) {
		if (!(flags & HS_WIRE_HELLO_F_KEY))
			return 0;
		return fail(a, -EPROTO,
			    "it has a cluster key, and none is configured "
			    "here: set transport.key_file");
	}
	if (!(flags & HS_WIRE_HELLO_F_KEY))
		return fail(a, -EPROTO,
			    "it has no cluster key: set transport.key_file "
			    "there, or its version is too old to have one");
	if (payload_bytes < sizeof(theirs))
		return fail(a, -EPROTO, "HELLO is too short for its key");
	memcpy(&theirs, payload, sizeof(theirs));
	if (!memcmp(theirs.key.nonce, a->ours.key.nonce, HS_WIRE_NONCE_BYTES))
		return fail(a, -EPROTO, "HELLO is our own, sent back");
	key = choose(a, &theirs.key);
	if (!key)
		return fail(a, -EPROTO,
			    "no cluster key in common: transport.key_file "
			    "differs");
	if (derive(a, key, &theirs))
		return fail(a, -EIO, "libcrypto cannot derive keys");
	a->state = HS_AUTH_PROVE;
	return 0;
}

void hs_auth_seal(const struct hs_auth *a, struct hs_mac *mac,
		  const struct iovec *pieces, int nr_pieces,
		  uint8_t tag[HS_WIRE_TAG_BYTES])
{
	hs_mac_tag(mac, a->send_key, pieces, nr_pieces, tag);
}

bool hs_auth_open(struct hs_auth *a, struct hs_mac *mac,
		  const struct hs_wire_header *header, const void *payload,
		  const uint8_t tag[HS_WIRE_TAG_BYTES])
{
	const struct iovec pieces[2] = {
		{(void *)(uintptr_t)header, sizeof(*header)},
		{(void *)(uintptr_t)payload, header->payload_bytes},
	};
	uint8_t want[HS_WIRE_TAG_BYTES];

	hs_mac_tag(mac, a->receive_key, pieces, 2, want);
	if (!hs_mac_same(want, tag)) {
		fail(a, -EBADMSG,
		     "a tag does not fit: changed on its way, or recorded");
		return false;
	}
	a->state = HS_AUTH_OPEN;
	return true;
}

void hs_auth_end(struct hs_auth *a)
{
	explicit_bzero(a, sizeof(*a));
}
