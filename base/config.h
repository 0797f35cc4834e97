/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: one YAML file per daemon, read by a schema that the daemon declares
 * as a table. The same table prints the commented example, so the two cannot
 * disagree.
 *
 * Guarantees: every refusal names file, line and column, what stands there,
 * and what would be right. Refused: unknown and repeated keys (with the
 * nearest known one), values of the wrong kind or out of range, anchors,
 * aliases and tags (a YAML bomb needs them), more than one document, and
 * whatever goes over the limits below. After a refusal nothing is allocated.
 *
 * A schema writes into a struct of the daemon's, at each key's offset:
 *   STRING    char *		       NULL when absent and without a default
 *   BOOL      bool
 *   INT       int64_t		       min..max
 *   DOUBLE    double
 *   SIZE      uint64_t, bytes	       "64MiB"
 *   DURATION  uint64_t, ns	       "200ms"
 *   ENUM      int, index in @choices
 *   STRINGS   struct hs_config_strings
 *   MAPS      struct hs_config_maps   of structs described by @items
 */
#ifndef HS_CONFIG_H
#define HS_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define HS_CONFIG_FILE_MAX_BYTES   ((size_t)1 << 20)
#define HS_CONFIG_SCALAR_MAX_BYTES 4096
#define HS_CONFIG_DEPTH_MAX	   8
#define HS_CONFIG_LIST_MAX	   4096
#define HS_CONFIG_KEYS_MAX	   64 /* in one schema */
#define HS_CONFIG_PATH_MAX	   128

enum hs_config_type {
	HS_CONFIG_STRING,
	HS_CONFIG_BOOL,
	HS_CONFIG_INT,
	HS_CONFIG_DOUBLE,
	HS_CONFIG_SIZE,
	HS_CONFIG_DURATION,
	HS_CONFIG_ENUM,
	HS_CONFIG_STRINGS,
	HS_CONFIG_MAPS,
};

struct hs_config_strings {
	char **items;
	size_t nr_items;
};

/* A place in a file, both from 1; 0, 0: the file as a whole. */
struct hs_config_mark {
	unsigned int line;
	unsigned int column;
};

struct hs_config_maps {
	void *items; /* nr_items structs of the item schema's size_bytes */
	size_t nr_items;
	struct hs_config_mark *marks; /* where each of them begins */
};

struct hs_config_schema;

struct hs_config_key {
	/* "port", or "http.port" for a key within the map "http"; keys of one
	 * map stand together in the table */
	const char *path;
	enum hs_config_type type;
	size_t offset; /* offsetof in the daemon's struct */
	bool required;
	/* As it would stand in the file; NULL: zero, NULL or empty. Lists have
	 * none. */
	const char *default_text;
	const char *doc;     /* a sentence or more; wrapped when printed */
	const char *example; /* printed, commented out, if no default */
	/* INT, SIZE and DURATION: no limits when both are 0. For DOUBLE they
	 * are whole numbers. For STRINGS and MAPS: how many entries. */
	int64_t min;
	int64_t max;
	const char *const *choices;	      /* ENUM: NULL at the end */
	const struct hs_config_schema *items; /* MAPS */
	/* What type and limits cannot say of one value, which this may also
	 * bring into its form; and what would be right, in words. */
	bool (*check)(void *value);
	const char *want;
	bool reloads; /* may change while the daemon runs */
	bool secret;  /* is shown to nobody */
};

struct hs_config_schema {
	const char *title; /* first line of the example */
	size_t size_bytes; /* of the struct */
	const struct hs_config_key *keys;
	size_t nr_keys;
};

struct hs_config_error {
	unsigned int line; /* from 1; 0 when it is about the file */
	unsigned int column;
	char text[768]; /* "agent.yaml:3:7: ..." */
};

/**
 * hs_config_load() - read a file
 * @schema: what may stand in it
 * @path: the file
 * @out: the daemon's struct; zeroed first
 * @error: filled in after a refusal
 *
 * Own: on success the strings and lists in @out are the caller's, until
 * hs_config_free(). After an error @out is all zero.
 * Return: 0; -EINVAL refused; -ENOMEM; or -errno of opening and reading.
 */
int hs_config_load(const struct hs_config_schema *schema, const char *path,
		   void *out, struct hs_config_error *error);

/* The same from memory; @name stands for the file in errors. */
int hs_config_parse(const struct hs_config_schema *schema, const char *name,
		    const void *data, size_t len_bytes, void *out,
		    struct hs_config_error *error);

/* Release what hs_config_load() put into @out, and zero it. */
void hs_config_free(const struct hs_config_schema *schema, void *out);

/**
 * hs_config_refuse() - what a schema cannot say was wrong
 * @name: of the file
 * @mark: the place, or NULL for the file as a whole
 *
 * Return: -EINVAL, with @error filled in.
 */
int hs_config_refuse(struct hs_config_error *error, const char *name,
		     const struct hs_config_mark *mark, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/**
 * hs_config_differ() - which keys differ between two readings
 * @reloads: of those that may change while running, or of the others
 * @out: their paths, with ", " between them
 *
 * Return: how many there are.
 */
size_t hs_config_differ(const struct hs_config_schema *schema, const void *a,
			const void *b, bool reloads, char *out,
			size_t out_bytes);

/** hs_config_swap() - exchange the values of all keys that reload */
void hs_config_swap(const struct hs_config_schema *schema, void *a, void *b);

/* For keys' @check: each with what to say as @want. */
#define HS_CONFIG_NAME_BYTES  32u
#define HS_CONFIG_TOKEN_BYTES 16u
#define HS_CONFIG_WANT_NAME   "1 to 31 printable characters without blanks"
#define HS_CONFIG_WANT_WORD   "1 to 31 letters, digits, '_', '.', '-'"
#define HS_CONFIG_WANT_TOKEN  "at least 16 characters"
#define HS_CONFIG_WANT_POWER  "a power of two"
#define HS_CONFIG_WANT_MODE   "octal digits such as 660"
bool hs_config_is_name(void *value);	   /* STRING */
bool hs_config_is_word(void *value);	   /* STRING */
bool hs_config_is_token(void *value);	   /* STRING */
bool hs_config_is_power_of_2(void *value); /* INT */
bool hs_config_is_mode(void *value);	   /* INT: 660 becomes 0660 */

/* This host's name, cut to a node's; @fallback where it has none. */
void hs_config_host_name(char out[HS_CONFIG_NAME_BYTES], const char *fallback);

/**
 * hs_config_text() - a whole file, as hs_config_parse() takes it
 *
 * Own: the caller frees @text.
 * Return: 0 or -errno; a file that is too long comes with one byte more than
 *	is allowed, for hs_config_parse() to refuse.
 */
int hs_config_text(const char *path, char **text, size_t *text_bytes);

/**
 * hs_config_print_example() - a file with every key, its meaning and default
 * @schema: what may stand in it
 * @f: where to print
 *
 * Reading the example back gives the defaults; required keys show their
 * example live, so they must have one.
 */
void hs_config_print_example(const struct hs_config_schema *schema, FILE *f);

/**
 * hs_config_schema_check() - is a schema itself sound?
 * @schema: the table
 * @why: a sentence when it is not
 * @why_bytes: room there
 *
 * For tests: defaults read back, offsets lie within the struct, keys are
 * unique and those of one map stand together.
 *
 * Return: true when sound.
 */
bool hs_config_schema_check(const struct hs_config_schema *schema, char *why,
			    size_t why_bytes);

#endif
