/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One step through UTF-8 that may be none.
 */
#ifndef HS_MODEL_UTF8_H
#define HS_MODEL_UTF8_H

#include <stdint.h>

/**
 * hs_model_utf8_step() - bytes of the character at @ptr
 * @len: bytes there, at least 1
 *
 * Overlong forms, surrogates and what lies above U+10FFFF are no characters.
 *
 * Return: 1 to 4; 0 where no valid character begins.
 */
static inline uint32_t hs_model_utf8_step(const char *ptr, uint32_t len)
{
	const uint8_t *b = (const uint8_t *)ptr;
	uint32_t nr, i, code;

	if (b[0] < 0x80)
		return 1;
	if (b[0] < 0xc2 || b[0] > 0xf4)
		return 0;
	nr = b[0] < 0xe0 ? 2 : b[0] < 0xf0 ? 3 : 4;
	if (len < nr)
		return 0;
	code = b[0] & (0xffu >> (nr + 1));
	for (i = 1; i < nr; i++) {
		if ((b[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (b[i] & 0x3fu);
	}
	if ((nr == 3 && code < 0x800) || (nr == 4 && code < 0x10000) ||
	    (code >= 0xd800 && code <= 0xdfff) || code > 0x10ffff)
		return 0;
	return nr;
}

#endif
