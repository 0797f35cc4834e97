/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of the model share: imports that remember what was said, and
 * the way there and back through an exporter.
 */
#ifndef HS_TEST_MODEL_UTIL_H
#define HS_TEST_MODEL_UTIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/export.h"
#include "model/import.h"

struct loaded {
	struct hs_model_set set;
	struct hs_model_import imp;
	char notes[65536]; /* one per line */
};

void load_init(struct loaded *loaded);
void load_free(struct loaded *loaded);

/* hs_model_import_bytes() on a string. */
int load_text(struct loaded *loaded, const char *name, const char *text);

/* Was something said that contains this? Fails the test when not. */
void assert_said(const struct loaded *loaded, const char *part);

/* The only trace there is. */
struct hs_model_trace *only_trace(const struct loaded *loaded);

/* Export the trace, import that, and hold the two against each other. */
void assert_there_and_back(const struct hs_model_trace *trace,
			   enum hs_model_export_format format);

#endif
