/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Traces from files: Jaeger JSON, OTLP JSON (also one document per line), and
 * Nezha's CSV; from a file, a directory with everything below it, or an
 * archive in any format and compression that libarchive reads.
 *
 * Everything read here is outside input. A bad span is skipped, a bad trace or
 * file refused, each by name with the place in it, and counted; what was good
 * is kept. Only lack of memory, or a path that cannot be read at all, is an
 * error of the call.
 *
 * Not thread-safe; any number of imports may run side by side.
 */
#ifndef HS_MODEL_IMPORT_H
#define HS_MODEL_IMPORT_H

#include "model/set.h"

enum hs_model_format {
	HS_MODEL_FORMAT_AUTO, /* by content */
	HS_MODEL_FORMAT_JAEGER,
	HS_MODEL_FORMAT_OTLP,
	HS_MODEL_FORMAT_NEZHA_CSV,
	HS_MODEL_FORMAT_NR
};

struct hs_model_import_options {
	enum hs_model_format format;
	/* Make ids out of texts that are none, and a fresh id for a trace that
	 * another file gave other spans. */
	bool remap_ids;
	struct hs_model_limits limits;
	uint64_t max_file_bytes;  /* of one file, once uncompressed */
	uint64_t max_total_bytes; /* of all files together, uncompressed */
	uint32_t max_depth;	  /* of nested JSON */
	uint32_t max_notes;	  /* messages; the rest is only counted */
};

struct hs_model_import_counts {
	uint64_t nr_files;	    /* looked at */
	uint64_t nr_files_refused;  /* nothing could be used */
	uint64_t nr_files_damaged;  /* read in part */
	uint64_t nr_traces;	    /* new in the set */
	uint64_t nr_traces_refused; /* conflicting, empty, without an id */
	uint64_t nr_traces_renamed; /* by remap_ids, after a conflict */
	uint64_t nr_spans;	    /* read and good, duplicates included */
	uint64_t nr_spans_skipped;  /* bad */
	uint64_t nr_spans_merged;   /* exact duplicates */
	uint64_t nr_ids_remapped;   /* by remap_ids; each occurrence */
	uint64_t nr_values_cut;	    /* over the limit */
	uint64_t nr_values_retyped; /* whose JSON was not of the type named */
	uint64_t nr_notes_suppressed;
};

/* @text is one line without its newline, good until the call returns. */
typedef void (*hs_model_import_note_fn)(void *ctx, const char *text);

struct hs_model_import {
	struct hs_model_import_options options;
	struct hs_model_import_counts counts;
	struct hs_model_set *set;
	hs_model_import_note_fn note; /* may be NULL */
	void *note_ctx;
	uint64_t total_bytes;
	uint32_t nr_notes;
};

enum hs_model_import_result {
	HS_MODEL_IMPORT_OK = 0,
	HS_MODEL_IMPORT_REFUSED = 1,
};

/**
 * hs_model_import_init() - prepare with default options
 * @set: receives the traces; stays the caller's
 */
void hs_model_import_init(struct hs_model_import *imp,
			  struct hs_model_set *set);

/**
 * hs_model_format_parse() - "auto", "jaeger", "otlp", "nezha-csv"
 *
 * Return: 0, -EINVAL.
 */
int hs_model_format_parse(const char *text, enum hs_model_format *format);
const char *hs_model_format_name(enum hs_model_format format);

/**
 * hs_model_import_path() - read a file, an archive or a directory
 *
 * Directories are read in the order of names, symbolic links to directories
 * not followed.
 *
 * Return: 0, also when files in it were refused: see counts. Negative errno
 *         where @path itself cannot be opened, or -ENOMEM.
 */
int hs_model_import_path(struct hs_model_import *imp, const char *path);

/**
 * hs_model_import_bytes() - read one document that is in memory
 * @name: what messages call it
 *
 * Return: enum hs_model_import_result, or -ENOMEM.
 */
int hs_model_import_bytes(struct hs_model_import *imp, const char *name,
			  const char *bytes, size_t len);

#endif
