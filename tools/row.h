/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a collector says about one trace in a listing. Views into the JSON
 * value, which has to outlive it; all of it is outside input.
 */
#ifndef HS_TOOLS_ROW_H
#define HS_TOOLS_ROW_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hs_tools_row {
	const char *id;	  /* 32 hexadecimal digits */
	const char *mark; /* "complete", "partial", "open" */
	uint64_t version;
	int64_t start_ns;
	uint64_t duration_ns;
	const char *service; /* of the root; "" when there is no span yet */
	const char *operation;
	uint64_t nr_spans;
	bool error;
	const json_t *triggers; /* names; NULL or a list */
	const json_t *nodes;	/* NULL or a list */
	const json_t *causes;	/* why it is not complete; NULL or a list */
};

/* Return: 0, -EBADMSG when it names no trace or no mark. */
int hs_tools_row_read(const json_t *json, struct hs_tools_row *row);

/* A list of names, or of objects with a name, as "a, b". Always ends in NUL. */
void hs_tools_row_names(const json_t *list, char *text, size_t text_bytes);

/**
 * hs_tools_row_mark() - the mark in words: "complete as of v3", "partial:
 * node-1: application died", "open: may still grow"
 */
void hs_tools_row_mark(const struct hs_tools_row *row, char *text,
		       size_t text_bytes);

#endif
