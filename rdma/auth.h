/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth.h - who may speak: the cluster's key over one connection
 *
 * Both sides say HELLO at once, with a nonce and the ids of the keys that they
 * have. From the first of the dialling side's keys that the other side has as
 * well, from both nonces and from all that both HELLOs said, two keys are
 * derived, one for each direction. Whatever comes after HELLO carries a tag
 * under them: over the header, which numbers the messages of the connection
 * without a gap, and the payload. So what was recorded from another connection
 * fits nowhere, what is repeated, left out or reordered within this one is out
 * of sequence, and a HELLO that somebody changed on its way gives keys of
 * which the other side knows nothing.
 *
 *	state	 what is awaited			  what leads on
 *	OFF	 nothing: no key is configured, no tags
 *	HELLO	 the peer's HELLO			  hs_auth_hello()
 *	PROVE	 its first message with a tag that fits	  hs_auth_open()
 *	OPEN	 more of those
 *	FAILED	 nothing: the connection has to end; `error` says why
 *
 * The keys say that a peer belongs to the cluster, not which node it is; names
 * are bound by TLS (tls.h).
 *
 * Pure: no I/O, no clock, no allocation; nonces come from the caller.
 */
#ifndef HS_RDMA_AUTH_H
#define HS_RDMA_AUTH_H

#include "base/keyring.h"
#include "base/mac.h"
#include "hs/wire_format.h"

enum hs_auth_state {
	HS_AUTH_OFF,
	HS_AUTH_HELLO,
	HS_AUTH_PROVE,
	HS_AUTH_OPEN,
	HS_AUTH_FAILED,
};

/* HELLO as a side with a key says it. */
struct hs_auth_hello {
	struct hs_wire_hello hello; /* with HS_WIRE_HELLO_F_KEY */
	struct hs_wire_hello_key key;
};
_Static_assert(sizeof(struct hs_auth_hello) ==
		       sizeof(struct hs_wire_hello) +
			       sizeof(struct hs_wire_hello_key),
	       "no padding");

struct hs_auth {
	enum hs_auth_state state;
	bool dialled;		/* whose keys count: see above */
	struct hs_keyring ring; /* until the keys are derived */
	struct hs_auth_hello ours;
	uint64_t key_id; /* that both use */
	uint8_t send_key[HS_MAC_KEY_BYTES];
	uint8_t receive_key[HS_MAC_KEY_BYTES];
	const char *error; /* set with FAILED */
};

/**
 * hs_auth_begin() - a connection begins
 * @a: filled in
 * @ring: the keys that we have; without any the state is OFF
 * @dialled: by us
 * @hello: what we say otherwise; its flags are set here
 * @nonce: HS_WIRE_NONCE_BYTES that nobody could foretell
 *
 * Return: how many bytes of @a->ours make our HELLO's payload.
 */
uint32_t hs_auth_begin(struct hs_auth *a, const struct hs_keyring *ring,
		       bool dialled, const struct hs_wire_hello *hello,
		       const uint8_t nonce[HS_WIRE_NONCE_BYTES]);

/**
 * hs_auth_hello() - the peer's HELLO came
 * @payload: of it
 *
 * Return: 0; -EPROTO: FAILED, one side has a key and the other none, or they
 *	have none in common; -EIO: FAILED, libcrypto refused.
 */
int hs_auth_hello(struct hs_auth *a, const void *payload,
		  uint32_t payload_bytes);

/** hs_auth_tags() - do messages carry tags from here on? */
static inline bool hs_auth_tags(const struct hs_auth *a)
{
	return a->state == HS_AUTH_PROVE || a->state == HS_AUTH_OPEN;
}

/**
 * hs_auth_seal() - the tag of a message that we send
 * @pieces: its header, and its payload
 *
 * Only if hs_auth_tags().
 */
void hs_auth_seal(const struct hs_auth *a, struct hs_mac *mac,
		  const struct iovec *pieces, int nr_pieces,
		  uint8_t tag[HS_WIRE_TAG_BYTES]);

/**
 * hs_auth_open() - judge the tag of a message that came
 *
 * Only if hs_auth_tags(). Return: true if it fits; else FAILED.
 */
bool hs_auth_open(struct hs_auth *a, struct hs_mac *mac,
		  const struct hs_wire_header *header, const void *payload,
		  const uint8_t tag[HS_WIRE_TAG_BYTES]);

/** hs_auth_end() - forget the keys */
void hs_auth_end(struct hs_auth *a);

#endif
