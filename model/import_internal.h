/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the importers share: places in a document, messages, JSON helpers. Not
 * for other folders.
 */
#ifndef HS_MODEL_IMPORT_INTERNAL_H
#define HS_MODEL_IMPORT_INTERNAL_H

#include <jansson.h>

#include "model/import.h"

/* Of a skipped span, or a refused trace; the caller has told the user. */
#define IMPORT_SKIP 2

#define NO_INDEX SIZE_MAX

/*
 * A place in a document, linked on the stack from the innermost outwards, so
 * that its text is made only when there is something to say.
 */
struct place {
	const struct place *up;
	const char *key; /* NULL for an index alone */
	size_t index;	 /* NO_INDEX for a key alone */
};

struct import_file {
	struct hs_model_import *imp;
	const char *name;
	size_t first_line; /* where the current document begins, from 1 */
};

#define AT(up_, key_)	      (&(struct place){(up_), (key_), NO_INDEX})
#define AT_NTH(up_, key_, n_) (&(struct place){(up_), (key_), (n_)})

__attribute__((format(printf, 3, 4))) void
import_say(const struct import_file *file, const struct place *at,
	   const char *format, ...);

/* An error code from the builder, in words. Return: IMPORT_SKIP or -ENOMEM. */
int import_limit(const struct import_file *file, const struct place *at,
		 int err);

struct hs_model_str import_str(const json_t *text);

/*
 * A string as an id of @size bytes. Return: 0, or IMPORT_SKIP once said. With
 * remap_ids any non-empty string is an id.
 */
int import_id(const struct import_file *file, const struct place *at,
	      const json_t *text, uint8_t *id, size_t size);

/* An integer, or a string that holds one. Return: 0 or IMPORT_SKIP. */
int import_i64(const struct import_file *file, const struct place *at,
	       const json_t *number, int64_t *out);

/* Parse a decimal integer that fills the text. Return: 0, -EINVAL, -ERANGE. */
int import_text_i64(const char *text, size_t len, int64_t *out);

/* Add an attribute and say so if its value was cut. */
int import_attr(const struct import_file *file, const struct place *at,
		struct hs_model_trace *trace, struct hs_model_attrs *attrs,
		struct hs_model_str key, const struct hs_model_value *value);

/* Give a finished trace to the set; says and counts refusals. */
int import_commit(const struct import_file *file, const struct place *at,
		  struct hs_model_trace *trace, enum hs_model_merge merge);

/* Decode base64. Own: *@out is the caller's to free. Return: 0, -EINVAL. */
int import_base64(const char *text, size_t len, char **out, size_t *out_len);

/*
 * OTLP's AnyValue. Own: *@owned, where set, holds the value's bytes and is the
 * caller's to free. Return: 0, IMPORT_SKIP (said), -ENOMEM.
 */
int import_otlp_value(const struct import_file *file, const struct place *at,
		      const json_t *any, struct hs_model_value *value,
		      char **owned);

/* Documents: each returns 0, IMPORT_SKIP (nothing usable, said), -ENOMEM. */
int import_jaeger(const struct import_file *file, const json_t *root);
int import_otlp(const struct import_file *file, const json_t *root,
		struct hs_model_set *local);
int import_json(struct import_file *file, const char *bytes, size_t len);
int import_nezha(struct import_file *file, const char *bytes, size_t len);

/* Is this the head of a Nezha CSV? */
bool import_nezha_head(const char *bytes, size_t len);

/* Carry a file's own set over into the import's. */
int import_commit_set(const struct import_file *file,
		      struct hs_model_set *local, enum hs_model_merge merge);

#endif
