/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: tags and derived keys against published vectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/hex.h"
#include "base/mac.h"

static struct hs_mac *mac;

/* The reference implementation's vectors_sip128: key and input count up. */
static void siphash_vectors(void **state)
{
	static const char *const want[] = {
		"a3817f04ba25a8e66df67214c7550293",
		"da87c1d86b99af44347659119b22fc45",
		"8177228da4a45dc7fca38bdef60affe4",
	};
	uint8_t key[HS_MAC_KEY_BYTES], input[8], tag[HS_MAC_TAG_BYTES];
	char text[2 * HS_MAC_TAG_BYTES + 1];

	(void)state;
	for (uint8_t i = 0; i < sizeof(key); i++)
		key[i] = i;
	for (uint8_t i = 0; i < sizeof(input); i++)
		input[i] = i;
	for (size_t n = 0; n < 3; n++) {
		const struct iovec piece = {input, n};

		hs_mac_tag(mac, key, &piece, 1, tag);
		hs_hex_encode(text, tag, sizeof(tag));
		assert_string_equal(text, want[n]);
	}
}

static void pieces(void **state)
{
	uint8_t key[HS_MAC_KEY_BYTES] = {9}, input[200], one[HS_MAC_TAG_BYTES],
		many[HS_MAC_TAG_BYTES];
	struct iovec all = {input, sizeof(input)};

	(void)state;
	for (size_t i = 0; i < sizeof(input); i++)
		input[i] = (uint8_t)(i * 7);
	hs_mac_tag(mac, key, &all, 1, one);
	for (size_t cut = 0; cut <= sizeof(input); cut++) {
		const struct iovec three[3] = {
			{input, cut / 2},
			{input + cut / 2, cut - cut / 2},
			{input + cut, sizeof(input) - cut}};

		hs_mac_tag(mac, key, three, 3, many);
		assert_true(hs_mac_same(one, many));
	}
	many[15] ^= 1;
	assert_false(hs_mac_same(one, many));
}

/* RFC 5869, A.1 and A.3. */
static void hkdf_vectors(void **state)
{
	uint8_t key[22], salt[13], info[10], out[42];
	char text[2 * sizeof(out) + 1];

	(void)state;
	memset(key, 0x0b, sizeof(key));
	for (uint8_t i = 0; i < sizeof(salt); i++)
		salt[i] = i;
	for (uint8_t i = 0; i < sizeof(info); i++)
		info[i] = (uint8_t)(0xf0 + i);
	assert_int_equal(hs_mac_derive(key, sizeof(key), salt, sizeof(salt),
				       info, sizeof(info), out, sizeof(out)),
			 0);
	hs_hex_encode(text, out, sizeof(out));
	assert_string_equal(text,
			    "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c"
			    "5db02d56ecc4c5bf34007208d5b887185865");
	assert_int_equal(hs_mac_derive(key, sizeof(key), NULL, 0, info, 0, out,
				       sizeof(out)),
			 0);
	hs_hex_encode(text, out, sizeof(out));
	assert_string_equal(text,
			    "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879e"
			    "c3454e5f3c738d2d9d201395faa4b61a96c8");
	assert_int_equal(hs_mac_derive(key, sizeof(key), NULL, 0, out, 513, out,
				       sizeof(out)),
			 -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(siphash_vectors),
		cmocka_unit_test(pieces),
		cmocka_unit_test(hkdf_vectors),
	};
	int rc;

	mac = hs_mac_create();
	if (!mac)
		return 1;
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	hs_mac_destroy(mac);
	return rc;
}
