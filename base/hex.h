/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: ids as hexadecimal text. Encoding is lower case; decoding takes
 * digits only (no prefix, sign or blank) and refuses what does not fit.
 */
#ifndef HS_HEX_H
#define HS_HEX_H

#include <stddef.h>
#include <stdint.h>

/* Text of @len_bytes bytes: @out takes 2 * @len_bytes + 1 with its NUL. */
void hs_hex_encode(char *out, const void *data, size_t len_bytes);

/**
 * hs_hex_decode() - text of exactly so many bytes
 * @out: where the bytes go; undefined after an error
 * @out_bytes: how many are wanted
 * @text: the digits, of either case
 * @text_len: their number, which must be 2 * @out_bytes
 *
 * Return: 0, or -EINVAL.
 */
int hs_hex_decode(void *out, size_t out_bytes, const char *text,
		  size_t text_len);

/* The same, and upper-case digits are refused too (W3C traceparent). */
int hs_hex_decode_lower(void *out, size_t out_bytes, const char *text,
			size_t text_len);

/* 16 digits and a NUL, most significant first. */
void hs_hex_u64_encode(char out[17], uint64_t v);

/* 32 digits and a NUL, most significant first. */
void hs_hex_u128_encode(char out[33], uint64_t hi, uint64_t lo);

/**
 * hs_hex_u64_parse() - a number of 1 to 16 digits, as if padded on the left
 * @text: the digits, of either case
 * @text_len: their number
 * @v: the value; untouched after an error
 *
 * Return: 0, or -EINVAL.
 */
int hs_hex_u64_parse(const char *text, size_t text_len, uint64_t *v);

/* The same for 1 to 32 digits in two halves. */
int hs_hex_u128_parse(const char *text, size_t text_len, uint64_t *hi,
		      uint64_t *lo);

#endif
