/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trace and span ids as text: hexadecimal, left-padded with zeros to 128 and
 * 64 bits. Anything else is refused, or hashed to an id when asked.
 */
#ifndef HS_MODEL_IDENT_H
#define HS_MODEL_IDENT_H

#include <stddef.h>
#include <stdint.h>

/**
 * hs_model_id_parse() - hex text to @size bytes, big-endian, left-padded
 *
 * Return: 0; -EINVAL for no or other than hex digits; -ERANGE for more digits
 *         than fit; -EDOM for zero, which W3C and OTLP call invalid.
 */
int hs_model_id_parse(const char *text, size_t len, uint8_t *id, size_t size);

/**
 * hs_model_id_hash() - an id for a text that is none
 *
 * The same text always gives the same id, never zero.
 */
void hs_model_id_hash(const char *text, size_t len, uint64_t seed, uint8_t *id,
		      size_t size);

/**
 * hs_model_id_format() - lower-case hex; @text holds 2 * @size + 1 bytes
 *
 * Return: @text.
 */
char *hs_model_id_format(const uint8_t *id, size_t size, char *text);

#endif
