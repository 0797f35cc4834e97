/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing buffer of text, and JSON written into it.
 *
 * An error (no memory, over the limit) sticks: everything after it is ignored,
 * and hs_model_text_error() tells at the end. Invalid UTF-8 is written as
 * U+FFFD, since what applications recorded may be anything.
 */
#ifndef HS_MODEL_TEXT_H
#define HS_MODEL_TEXT_H

#include <stdio.h>

#include "model/trace.h"

struct hs_model_text {
	char *ptr; /* NUL-terminated once anything was written */
	size_t len;
	size_t cap;
	size_t max_bytes; /* 0 means no limit */
	int error;
};

void hs_model_text_init(struct hs_model_text *text);
void hs_model_text_destroy(struct hs_model_text *text);

/**
 * hs_model_text_error() - 0, -ENOMEM, or -E2BIG over max_bytes
 */
int hs_model_text_error(const struct hs_model_text *text);

/**
 * hs_model_text_flush() - write everything to a stream and empty the buffer
 *
 * Return: 0; the buffer's own error; -errno of the stream.
 */
int hs_model_text_flush(struct hs_model_text *text, FILE *stream);

void hs_model_text_add(struct hs_model_text *text, const char *ptr, size_t len);
void hs_model_text_puts(struct hs_model_text *text, const char *string);
__attribute__((format(printf, 2, 3))) void
hs_model_text_printf(struct hs_model_text *text, const char *format, ...);

/* A JSON string with its quotes. */
void hs_model_text_json(struct hs_model_text *text, struct hs_model_str str);

/* The shortest decimal that reads back as the same double; NaN and infinities
 * as strings, which is what OTLP asks for. */
void hs_model_text_f64(struct hs_model_text *text, double value);

/* Base64 with padding, in quotes. */
void hs_model_text_base64(struct hs_model_text *text, struct hs_model_str str);

#endif
