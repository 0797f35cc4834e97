/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: tables on a terminal: columns as wide as what they hold.
 *
 * Guarantees: text from outside is made harmless: control bytes (and with
 * them terminal escapes) and broken UTF-8 print as "?". Width counts what a
 * terminal shows: combining marks 0, East Asian wide characters and emoji 2.
 */
#ifndef HS_TABLE_H
#define HS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct hs_table;

struct hs_table_column {
	const char *title;
	bool is_right;		/* numbers; else text to the left */
	unsigned int max_width; /* longer cells end in "…"; 0: no limit */
};

/**
 * hs_table_new() - begin a table
 * @columns: its columns; copied, titles are not
 * @nr_columns: how many
 *
 * Own: hs_table_free(). Return: the table, or NULL without memory.
 */
struct hs_table *hs_table_new(const struct hs_table_column *columns,
			      size_t nr_columns);

/* Append a cell; after a row's last column the next one begins a new row.
 * Without memory the table fails, and hs_table_print() says so. */
void hs_table_text(struct hs_table *t, const char *text);
void hs_table_textf(struct hs_table *t, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void hs_table_number(struct hs_table *t, uint64_t v);
void hs_table_duration(struct hs_table *t, uint64_t ns);
void hs_table_size(struct hs_table *t, uint64_t size_bytes);

size_t hs_table_nr_rows(const struct hs_table *t);

/**
 * hs_table_print() - print what there is
 * @t: the table
 * @f: where
 * @with_titles: false for scripts that cut columns
 *
 * Return: 0, or -ENOMEM when a cell was lost.
 */
int hs_table_print(const struct hs_table *t, FILE *f, bool with_titles);

void hs_table_free(struct hs_table *t);

/* Columns that @text takes on a terminal. */
size_t hs_table_text_width(const char *text);

/* Print @text, harmless, in at most @max_width columns (0: no limit); returns
 * the columns taken. */
size_t hs_table_text_print(FILE *f, const char *text, size_t max_width);

#endif
