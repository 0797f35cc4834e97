/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing buffer of text, and JSON written into it.
 */
#include "model/text.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "model/utf8.h"

#define CAP_MIN 4096

void hs_model_text_init(struct hs_model_text *text)
{
	memset(text, 0, sizeof(*text));
}

void hs_model_text_destroy(struct hs_model_text *text)
{
	free(text->ptr);
	memset(text, 0, sizeof(*text));
}

int hs_model_text_error(const struct hs_model_text *text)
{
	return text->error;
}

int hs_model_text_flush(struct hs_model_text *text, FILE *stream)
{
	if (text->error)
		return text->error;
	errno = 0;
	if (text->len && fwrite(text->ptr, 1, text->len, stream) != text->len)
		return errno ? -errno : -EIO;
	text->len = 0;
	return 0;
}

static bool reserve(struct hs_model_text *text, size_t more)
{
	size_t cap = text->cap ? text->cap : CAP_MIN;
	char *ptr;

	if (text->error)
		return false;
	if (more >= SIZE_MAX / 4 - text->len ||
	    (text->max_bytes && more > text->max_bytes - text->len)) {
		text->error = -E2BIG;
		return false;
	}
	while (cap - text->len <= more)
		cap *= 2;
	if (cap == text->cap)
		return true;
	ptr = realloc(text->ptr, cap);
	if (!ptr) {
		text->error = -ENOMEM;
		return false;
	}
	text->ptr = ptr;
	text->cap = cap;
	return true;
}

void hs_model_text_add(struct hs_model_text *text, const char *ptr, size_t len)
{
	if (!len || !reserve(text, len))
		return;
	memcpy(text->ptr + text->len, ptr, len);
	text->len += len;
	text->ptr[text->len] = 0;
}

void hs_model_text_puts(struct hs_model_text *text, const char *string)
{
	hs_model_text_add(text, string, strlen(string));
}

void hs_model_text_printf(struct hs_model_text *text, const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (len < 0 || !reserve(text, (size_t)len))
		return;
	va_start(args, format);
	vsnprintf(text->ptr + text->len, (size_t)len + 1, format, args);
	va_end(args);
	text->len += (size_t)len;
}

static void json_escape(struct hs_model_text *text, unsigned char c)
{
	static const char plain[] = "\b\t\n\f\r\"\\";
	static const char letter[] = "btnfr\"\\";
	const char *at = c ? strchr(plain, c) : NULL;

	if (at)
		hs_model_text_printf(text, "\\%c", letter[at - plain]);
	else
		hs_model_text_printf(text, "\\u%04x", c);
}

void hs_model_text_json(struct hs_model_text *text, struct hs_model_str str)
{
	uint32_t at = 0, from = 0;

	hs_model_text_add(text, "\"", 1);
	while (at < str.len) {
		unsigned char c = (unsigned char)str.ptr[at];
		uint32_t step = hs_model_utf8_step(str.ptr + at, str.len - at);

		if (step && c >= 0x20 && c != '"' && c != '\\') {
			at += step;
			continue;
		}
		hs_model_text_add(text, str.ptr + from, at - from);
		if (!step)
			hs_model_text_puts(text, "\xef\xbf\xbd");
		else
			json_escape(text, c);
		from = ++at;
	}
	if (at > from)
		hs_model_text_add(text, str.ptr + from, at - from);
	hs_model_text_add(text, "\"", 1);
}

void hs_model_text_f64(struct hs_model_text *text, double value)
{
	char digits[40];
	int precision;

	if (!isfinite(value)) {
		hs_model_text_puts(text, isnan(value) ? "\"NaN\""
					 : value > 0  ? "\"Infinity\""
						      : "\"-Infinity\"");
		return;
	}
	for (precision = 15; precision < 17; precision++) {
		snprintf(digits, sizeof(digits), "%.*g", precision, value);
		if (strtod(digits, NULL) == value)
			break;
	}
	snprintf(digits, sizeof(digits), "%.*g", precision, value);
	hs_model_text_puts(text, digits);
	/* A zero's sign lives only where JSON sees no integer. */
	if (value == 0 && signbit(value))
		hs_model_text_puts(text, ".0");
}

void hs_model_text_base64(struct hs_model_text *text, struct hs_model_str str)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz0123456789+/";
	uint32_t at;

	hs_model_text_add(text, "\"", 1);
	for (at = 0; at < str.len; at += 3) {
		uint32_t left = str.len - at, bits;
		const unsigned char *in = (const unsigned char *)str.ptr + at;
		char out[4];

		bits = (uint32_t)in[0] << 16 |
		       (left > 1 ? (uint32_t)in[1] << 8 : 0) |
		       (left > 2 ? in[2] : 0);
		out[0] = digits[bits >> 18];
		out[1] = digits[bits >> 12 & 63];
		out[2] = left > 1 ? digits[bits >> 6 & 63] : '=';
		out[3] = left > 2 ? digits[bits & 63] : '=';
		hs_model_text_add(text, out, 4);
	}
	hs_model_text_add(text, "\"", 1);
}
