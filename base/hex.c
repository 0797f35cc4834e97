/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: hexadecimal text; see hex.h.
 */
#include "base/hex.h"

#include <errno.h>
#include <string.h>

#include "base/endian.h"

static const char digits[] = "0123456789abcdef";

void hs_hex_encode(char *out, const void *data, size_t len_bytes)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len_bytes; i++) {
		out[2 * i] = digits[p[i] >> 4];
		out[2 * i + 1] = digits[p[i] & 15];
	}
	out[2 * len_bytes] = '\0';
}

static int digit_lower(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

static int digit_any(char c)
{
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return digit_lower(c);
}

static int decode(uint8_t *out, size_t out_bytes, const char *text,
		  size_t text_len, int (*digit)(char))
{
	if (text_len % 2 != 0 || text_len / 2 != out_bytes)
		return -EINVAL;
	for (size_t i = 0; i < out_bytes; i++) {
		int hi = digit(text[2 * i]);
		int lo = digit(text[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return -EINVAL;
		out[i] = (uint8_t)(hi << 4 | lo);
	}
	return 0;
}

int hs_hex_decode(void *out, size_t out_bytes, const char *text,
		  size_t text_len)
{
	return decode(out, out_bytes, text, text_len, digit_any);
}

int hs_hex_decode_lower(void *out, size_t out_bytes, const char *text,
			size_t text_len)
{
	return decode(out, out_bytes, text, text_len, digit_lower);
}

/* Eight digits at once, a byte each, the first in memory of the upper bits. */
static uint64_t eight_digits(uint32_t v)
{
	const uint64_t ones = 0x0101010101010101u;
	uint64_t x = htobe32(v), letters;

	x = le32toh((uint32_t)x);
	x = (x & 0xffff) | (x & 0xffff0000) << 16;
	x = (x | x << 8) & 0x00ff00ff00ff00ff;
	x = (x >> 4 & 0x000f000f000f000f) | (x & 0x000f000f000f000f) << 8;
	letters = (x + 6 * ones) >> 4 & ones; /* 1 where it is over 9 */
	return htole64(x + '0' * ones + letters * ('a' - '0' - 10));
}

void hs_hex_u64_encode(char out[17], uint64_t v)
{
	const uint64_t halves[2] = {eight_digits((uint32_t)(v >> 32)),
				    eight_digits((uint32_t)v)};

	memcpy(out, halves, sizeof(halves));
	out[16] = '\0';
}

void hs_hex_u128_encode(char out[33], uint64_t hi, uint64_t lo)
{
	hs_hex_u64_encode(out, hi);
	hs_hex_u64_encode(out + 16, lo);
}

int hs_hex_u64_parse(const char *text, size_t text_len, uint64_t *v)
{
	uint64_t acc = 0;

	if (text_len == 0 || text_len > 16)
		return -EINVAL;
	for (size_t i = 0; i < text_len; i++) {
		int d = digit_any(text[i]);

		if (d < 0)
			return -EINVAL;
		acc = acc << 4 | (uint64_t)d;
	}
	*v = acc;
	return 0;
}

int hs_hex_u128_parse(const char *text, size_t text_len, uint64_t *hi,
		      uint64_t *lo)
{
	uint64_t h = 0;
	uint64_t l;

	if (text_len > 32)
		return -EINVAL;
	if (text_len > 16) {
		size_t upper = text_len - 16;

		if (hs_hex_u64_parse(text, upper, &h) != 0)
			return -EINVAL;
		text += upper;
		text_len = 16;
	}
	if (hs_hex_u64_parse(text, text_len, &l) != 0)
		return -EINVAL;
	*hi = h;
	*lo = l;
	return 0;
}
