/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_auth.c - the cluster's key over one connection, without a connection
 *
 * Two sides of auth.h say HELLO to each other through a hand that may change
 * any bit; whatever it does, nothing but the right key opens.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/hex.h"
#include "rdma/auth.h"

#define KEY_A "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define KEY_B "a0112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static struct hs_mac *mac;

static struct hs_keyring ring(const char *text)
{
	char error[HS_KEYRING_ERROR_BYTES];
	struct hs_keyring r = {0};

	assert_int_equal(hs_keyring_parse(text, strlen(text), &r, error), 0);
	return r;
}

/* One side's HELLO, as the other gets it. */
struct said {
	uint8_t bytes[sizeof(struct hs_auth_hello)];
	uint32_t nr_bytes;
};

static void begin(struct hs_auth *a, const struct hs_keyring *keys,
		  bool dialled, uint8_t nonce, struct said *said)
{
	const struct hs_wire_hello hello = {
		.role = dialled ? HS_WIRE_ROLE_AGENT : HS_WIRE_ROLE_COORDINATOR,
		.node = dialled ? 1 : 2,
		.name = "side",
	};
	uint8_t nonces[HS_WIRE_NONCE_BYTES];

	memset(nonces, nonce, sizeof(nonces));
	said->nr_bytes = hs_auth_begin(a, keys, dialled, &hello, nonces);
	assert_true(said->nr_bytes <= sizeof(said->bytes));
	memcpy(said->bytes, &a->ours, said->nr_bytes);
}

struct message {
	struct hs_wire_header head;
	uint8_t payload[16];
	uint8_t tag[HS_WIRE_TAG_BYTES];
};

static struct message seal(struct hs_auth *a, uint64_t seq)
{
	struct message m = {
		.head = {HS_WIRE_MAGIC, HS_WIRE_VERSION, HS_WIRE_PING, 16, 0, 1,
			 seq},
		.payload = "sixteen bytes..",
	};
	const struct iovec pieces[3] = {
		{&m.head, sizeof(m.head)}, {m.payload, 5}, {m.payload + 5, 11}};

	hs_auth_seal(a, mac, pieces, 3, m.tag);
	return m;
}

static bool opens(struct hs_auth *a, const struct message *m)
{
	return hs_auth_open(a, mac, &m->head, m->payload, m->tag);
}

/* Return: do both sides believe each other after a message each way? */
static bool meet(const struct hs_keyring *keys_a,
		 const struct hs_keyring *keys_b, int flip_a, int flip_b)
{
	struct said from_a, from_b;
	struct hs_auth a, b;
	struct message m;

	begin(&a, keys_a, true, 1, &from_a);
	begin(&b, keys_b, false, 2, &from_b);
	if (flip_a >= 0)
		from_a.bytes[flip_a / 8] ^= (uint8_t)(1 << flip_a % 8);
	if (flip_b >= 0)
		from_b.bytes[flip_b / 8] ^= (uint8_t)(1 << flip_b % 8);
	if (hs_auth_hello(&a, from_b.bytes, from_b.nr_bytes) ||
	    hs_auth_hello(&b, from_a.bytes, from_a.nr_bytes))
		return false;
	if (!hs_auth_tags(&a) || !hs_auth_tags(&b))
		return false;
	m = seal(&a, 2);
	if (!opens(&b, &m))
		return false;
	m = seal(&b, 2);
	return opens(&a, &m);
}

static void same_key(void **state)
{
	const struct hs_keyring k = ring(KEY_A "\n");

	(void)state;
	assert_true(meet(&k, &k, -1, -1));
}

static void no_key(void **state)
{
	const struct hs_keyring none = {0};
	struct hs_auth a;
	struct said said;

	(void)state;
	begin(&a, &none, true, 1, &said);
	/* What a side without a key says is what all said before. */
	assert_int_equal(said.nr_bytes, sizeof(struct hs_wire_hello));
	assert_int_equal(((struct hs_wire_hello *)said.bytes)->flags, 0);
	assert_int_equal(a.state, HS_AUTH_OFF);
	assert_int_equal(hs_auth_hello(&a, said.bytes, said.nr_bytes), 0);
	assert_false(hs_auth_tags(&a));
}

static void told(const struct hs_keyring *here, const struct hs_keyring *there,
		 const char *text)
{
	struct said ours, theirs;
	struct hs_auth a, b;

	for (int dialled = 0; dialled < 2; dialled++) {
		begin(&a, here, dialled, 1, &ours);
		begin(&b, there, !dialled, 2, &theirs);
		assert_int_equal(
			hs_auth_hello(&a, theirs.bytes, theirs.nr_bytes),
			-EPROTO);
		assert_int_equal(a.state, HS_AUTH_FAILED);
		assert_non_null(strstr(a.error, text));
		assert_false(hs_auth_tags(&a));
	}
}

static void each_side_says_what_is_wrong(void **state)
{
	const struct hs_keyring a = ring(KEY_A), b = ring(KEY_B), none = {0};

	(void)state;
	told(&a, &none, "it has no cluster key: set transport.key_file there");
	told(&none, &a, "none is configured here: set transport.key_file");
	told(&a, &b, "no cluster key in common");
	told(&b, &a, "no cluster key in common");
}

static void rotation(void **state)
{
	const struct hs_keyring old = ring(KEY_A), fresh = ring(KEY_B);
	const struct hs_keyring old_first = ring(KEY_A "\n" KEY_B "\n");
	const struct hs_keyring new_first = ring(KEY_B "\n# old:\n" KEY_A "\n");
	const struct hs_keyring *all[] = {&old, &old_first, &new_first, &fresh};

	(void)state;
	for (int i = 0; i < 4; i++)
		for (int k = 0; k < 4; k++)
			/* Steps next to each other meet, in all directions. */
			assert_int_equal(
				meet(all[i], all[k], -1, -1),
				!((i == 0 && k == 3) || (i == 3 && k == 0)));
}

static void preferred(void **state)
{
	const struct hs_keyring a = ring(KEY_A "\n" KEY_B);
	const struct hs_keyring b = ring(KEY_B "\n" KEY_A);
	struct said from_a, from_b;
	struct hs_auth x, y;

	(void)state;
	begin(&x, &a, true, 1, &from_a);
	begin(&y, &b, false, 2, &from_b);
	assert_int_equal(hs_auth_hello(&x, from_b.bytes, from_b.nr_bytes), 0);
	assert_int_equal(hs_auth_hello(&y, from_a.bytes, from_a.nr_bytes), 0);
	assert_true(x.key_id == a.ids[0] && y.key_id == a.ids[0]);
}

/* Every bit of either HELLO, the ones that nobody reads included. */
static void bent_hello(void **state)
{
	const struct hs_keyring k = ring(KEY_A "\n" KEY_B);
	const int bits = 8 * (int)sizeof(struct hs_auth_hello);

	(void)state;
	for (int i = 0; i < bits; i++) {
		if (meet(&k, &k, i, -1) || meet(&k, &k, -1, i))
			fail_msg("bit %d of HELLO changed, and nobody saw", i);
	}
}

static void short_hello(void **state)
{
	const struct hs_keyring k = ring(KEY_A);
	struct said ours, theirs;
	struct hs_auth a, b;

	(void)state;
	begin(&b, &k, false, 2, &theirs);
	for (uint32_t n = 0; n < sizeof(struct hs_auth_hello); n++) {
		uint8_t cut[sizeof(struct hs_auth_hello)];

		begin(&a, &k, true, 1, &ours);
		memcpy(cut, theirs.bytes, n);
		assert_int_equal(hs_auth_hello(&a, cut, n), -EPROTO);
	}
}

static void sent_back(void **state)
{
	const struct hs_keyring k = ring(KEY_A);
	struct said ours;
	struct hs_auth a;

	(void)state;
	begin(&a, &k, true, 1, &ours);
	assert_int_equal(hs_auth_hello(&a, ours.bytes, ours.nr_bytes), -EPROTO);
	assert_non_null(strstr(a.error, "our own"));
}

static void open_both(struct hs_auth *a, struct hs_auth *b, uint8_t nonce)
{
	const struct hs_keyring k = ring(KEY_A);
	struct said from_a, from_b;

	begin(a, &k, true, nonce, &from_a);
	begin(b, &k, false, 77, &from_b);
	assert_int_equal(hs_auth_hello(a, from_b.bytes, from_b.nr_bytes), 0);
	assert_int_equal(hs_auth_hello(b, from_a.bytes, from_a.nr_bytes), 0);
}

static void bent_message(void **state)
{
	struct hs_auth a, b;

	(void)state;
	for (size_t i = 0; i < 8 * sizeof(struct message); i++) {
		struct message m;

		open_both(&a, &b, 3);
		m = seal(&a, 2);
		if (i / 8 >= offsetof(struct hs_wire_header, payload_bytes) &&
		    i / 8 < offsetof(struct hs_wire_header, payload_crc))
			continue; /* a length that lies: the stream's to judge
				   */
		((uint8_t *)&m)[i / 8] ^= (uint8_t)(1 << i % 8);
		if (opens(&b, &m))
			fail_msg("bit %zu of a message changed, and nobody saw",
				 i);
		assert_int_equal(b.state, HS_AUTH_FAILED);
	}
}

/* Of another connection of the same two, and of the other direction. */
static void recorded(void **state)
{
	struct hs_auth a, b, later_a, later_b;
	struct message m;

	(void)state;
	open_both(&a, &b, 3);
	m = seal(&a, 2);
	assert_true(opens(&b, &m));
	open_both(&later_a, &later_b, 4);
	assert_false(opens(&later_b, &m));
	open_both(&later_a, &later_b, 4);
	m = seal(&later_a, 2);
	assert_false(opens(&later_a, &m));
}

static void forgotten(void **state)
{
	struct hs_auth a, b, zeros = {0};

	(void)state;
	open_both(&a, &b, 3);
	assert_true(hs_auth_tags(&a));
	/* The cluster's key goes as soon as this connection's are there. */
	assert_memory_equal(&a.ring, &zeros.ring, sizeof(a.ring));
	hs_auth_end(&a);
	assert_memory_equal(&a, &zeros, sizeof(a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_key),
		cmocka_unit_test(no_key),
		cmocka_unit_test(each_side_says_what_is_wrong),
		cmocka_unit_test(rotation),
		cmocka_unit_test(preferred),
		cmocka_unit_test(bent_hello),
		cmocka_unit_test(short_hello),
		cmocka_unit_test(sent_back),
		cmocka_unit_test(bent_message),
		cmocka_unit_test(recorded),
		cmocka_unit_test(forgotten),
	};
	int rc;

	mac = hs_mac_create();
	if (!mac)
		return 1;
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	hs_mac_destroy(mac);
	return rc;
}
