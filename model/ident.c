/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trace and span ids as text. Pure.
 */
#include "model/ident.h"

#include <errno.h>
#include <string.h>

#include "model/hash.h"

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int hs_model_id_parse(const char *text, size_t len, uint8_t *id, size_t size)
{
	uint8_t any = 0;
	size_t i;

	if (!len)
		return -EINVAL;
	for (i = 0; i < len; i++)
		if (hex_digit(text[i]) < 0)
			return -EINVAL;
	if (len > 2 * size)
		return -ERANGE;
	memset(id, 0, size);
	for (i = 0; i < len; i++) {
		int digit = hex_digit(text[len - 1 - i]);

		id[size - 1 - i / 2] |= (uint8_t)(digit << (i % 2 ? 4 : 0));
	}
	for (i = 0; i < size; i++)
		any |= id[i];
	return any ? 0 : -EDOM;
}

void hs_model_id_hash(const char *text, size_t len, uint64_t seed, uint8_t *id,
		      size_t size)
{
	struct hs_model_hash h;
	size_t i;

	hs_model_hash_init(&h, seed);
	hs_model_hash_bytes(&h, text, len);
	for (i = 0; i < size; i++) {
		uint64_t lane = i < 8 ? h.a : h.b;

		id[i] = (uint8_t)(lane >> (8 * (i % 8)));
	}
	/* Zero is no id; one bit costs nothing in the hash's quality. */
	id[0] |= 0x80;
}

char *hs_model_id_format(const uint8_t *id, size_t size, char *text)
{
	static const char digits[] = "0123456789abcdef";
	size_t i;

	for (i = 0; i < size; i++) {
		text[2 * i] = digits[id[i] >> 4];
		text[2 * i + 1] = digits[id[i] & 15];
	}
	text[2 * size] = 0;
	return text;
}
