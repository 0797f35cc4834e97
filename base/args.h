/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: options of the programs, declared as a table that is both the
 * parser and the --help that teaches: synopsis, options with their defaults,
 * examples, exit codes.
 *
 * Guarantees: a default shown is what the variable held before parsing, so it
 * cannot be wrong; a refused option says what would be right. --help is known
 * to every program. Over getopt_long: for one thread, at start-up.
 */
#ifndef HS_ARGS_H
#define HS_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define HS_ARGS_OPTIONS_MAX 64

enum hs_args_type {
	HS_ARGS_FLAG,	  /* bool: set to true */
	HS_ARGS_STRING,	  /* const char *: points into argv */
	HS_ARGS_U64,	  /* uint64_t, min..max unless both are 0 */
	HS_ARGS_DOUBLE,	  /* double, min..max unless both are 0 */
	HS_ARGS_DURATION, /* uint64_t ns, "200ms" */
	HS_ARGS_SIZE,	  /* uint64_t bytes, "64MiB" */
	HS_ARGS_LIST,	  /* struct hs_args_list: may be given again */
};

struct hs_args_list {
	const char **items; /* the caller's array */
	size_t nr_items;
	size_t nr_items_max;
};

struct hs_args_option {
	const char *name; /* without the dashes */
	char short_name;  /* 0: none */
	enum hs_args_type type;
	void *value;
	const char *arg_name; /* "FILE"; as it shows in the help */
	const char *help;
	uint64_t min;
	uint64_t max;
};

struct hs_args_program {
	const char *name;     /* "hs traces list" */
	const char *synopsis; /* "[options] FILE..." */
	const char *summary;  /* a sentence or two */
	const struct hs_args_option *options;
	size_t nr_options;
	const char *examples;	/* lines, or NULL */
	const char *exit_codes; /* lines, or NULL: 0 and 2 as below */
	/* Options end at the first word that is none: what follows belongs to
	 * a subcommand. */
	bool stops_at_word;
};

enum hs_args_result {
	HS_ARGS_OK = 0,
	HS_ARGS_HELP = 1, /* the help was printed to @out; exit with 0 */
};

/* The code to exit with after a refusal. */
#define HS_ARGS_EXIT_USAGE 2

/**
 * hs_args_parse() - read the options
 * @program: the table
 * @argc: as of main(), @argv[0] is the program or subcommand
 * @argv: reordered, words that are no options come last
 * @first_word: index of the first of those
 * @out: where --help goes
 * @err: where a refusal goes, in one line and a hint
 *
 * Return: enum hs_args_result, or -EINVAL after a refusal.
 */
int hs_args_parse(const struct hs_args_program *program, int argc, char **argv,
		  int *first_word, FILE *out, FILE *err);

/* The help as --help prints it, with the defaults as they are now. */
void hs_args_print_help(const struct hs_args_program *program, FILE *out);

#endif
