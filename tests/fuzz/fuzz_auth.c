/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_auth.c - a HELLO of anybody, what follows it, and key files
 *
 * The first byte chooses: a file of keys, or a connection of which one side is
 * ours and the bytes are all that the other one ever says. Without the key
 * nobody comes as far as a message.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "rdma/auth.h"
#include "rdma/stream.h"
#include "tests/fuzz/fuzz.h"

#define KEY "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n"

static const char seed_file[] = "f# one\n" KEY;

/* A HELLO with a nonce and the id of the key, and a message with a tag. */
static const struct __attribute__((packed)) {
	uint8_t choice;
	struct hs_wire_hello hello;
	struct hs_wire_hello_key key;
	struct hs_wire_header head;
	uint8_t payload[16];
	uint8_t tag[HS_WIRE_TAG_BYTES];
} seed_hello = {
	.choice = 1,
	.hello = {.role = 1,
		  .version_min = 1,
		  .version_max = 1,
		  .flags = HS_WIRE_HELLO_F_KEY,
		  .node = 5,
		  .name = "seed"},
	.key = {.nonce = "any nonce will do"},
	.head = {HS_WIRE_MAGIC, HS_WIRE_VERSION, HS_WIRE_PING, 16, 0, 5, 1},
};

const struct hs_fuzz_seed hs_fuzz_seeds[] = {
	{seed_file, sizeof(seed_file) - 1},
	{&seed_hello, sizeof(seed_hello)},
	{NULL, 0},
};

static struct hs_keyring keys;
static struct hs_mac *mac;

static bool authentic(void *ctx, const struct hs_wire_header *header,
		      const void *payload, const uint8_t tag[HS_WIRE_TAG_BYTES])
{
	return hs_auth_open(ctx, mac, header, payload, tag);
}

/* What comes after HELLO, through the stream with its tags. */
static void stream(struct hs_auth *a, const uint8_t *data, size_t size)
{
	static uint64_t buffer[(HS_STREAM_BUFFER_BYTES + 7) / 8];
	struct hs_wire_header h;
	struct hs_stream s;
	const void *payload;
	uint8_t *room;

	hs_stream_init(&s, buffer, HS_WIRE_PAYLOAD_MAX_BYTES);
	s.from = 5;
	s.seq = 1;
	s.authentic = authentic;
	s.authentic_ctx = a;
	if (size > hs_stream_room(&s, &room))
		return;
	memcpy(room, data, size);
	hs_stream_came(&s, size);
	if (hs_stream_next(&s, &h, &payload) == HS_STREAM_MESSAGE)
		abort(); /* a tag was guessed */
}

static void connection(bool dialled, const uint8_t *data, size_t size)
{
	const struct hs_wire_hello hello = {.role = 2, .node = 9, .name = "us"};
	const uint8_t nonce[HS_WIRE_NONCE_BYTES] = {7};
	struct hs_auth_hello theirs;
	struct hs_auth a;

	if (size < sizeof(theirs))
		return;
	memcpy(&theirs, data, sizeof(theirs));
	/* The fuzzer need not guess 64 bits, only whether they are there. */
	if (theirs.key.ids[1])
		theirs.key.ids[0] = keys.ids[0];
	hs_auth_begin(&a, &keys, dialled, &hello, nonce);
	if (hs_auth_hello(&a, &theirs, sizeof(theirs)) == 0)
		stream(&a, data + sizeof(theirs), size - sizeof(theirs));
	else if (!a.error || hs_auth_tags(&a))
		abort();
	hs_auth_begin(&a, &keys, dialled, &hello, nonce);
	(void)hs_auth_hello(&a, data, (uint32_t)size);
	hs_auth_end(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char error[HS_KEYRING_ERROR_BYTES];
	struct hs_keyring ring;

	if (!mac) {
		mac = hs_mac_create();
		if (!mac ||
		    hs_keyring_parse(KEY, sizeof(KEY) - 1, &keys, error))
			abort();
	}
	if (size < 2)
		return 0;
	if (data[0] == 'f')
		(void)hs_keyring_parse((const char *)data + 1, size - 1, &ring,
				       error);
	else
		connection(data[0] & 1, data + 1, size - 1);
	return 0;
}
