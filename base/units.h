/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: durations and sizes as people write and read them.
 */
#ifndef HS_UNITS_H
#define HS_UNITS_H

#include <stddef.h>
#include <stdint.h>

/* Enough for any text that the formatters below make. */
#define HS_UNITS_TEXT_MAX 32

/**
 * hs_units_duration_parse() - read "200ms", "1.5s", "1h30m"
 * @text: numbers with units ns, us, ms, s, m, h, d; or a bare 0
 * @ns: the duration; untouched after an error
 *
 * A fraction below a nanosecond is cut off.
 *
 * Return: 0; -EINVAL when it is no duration; -ERANGE when it is over 2^64 ns.
 */
int hs_units_duration_parse(const char *text, uint64_t *ns);

/**
 * hs_units_size_parse() - read "64MiB", "1.5GiB", "4096"
 * @text: a number with a unit B, KiB, MiB, GiB, TiB (1024) or kB, MB, GB, TB
 *	(1000); bytes when there is none
 * @size_bytes: the size; untouched after an error
 *
 * Return: 0; -EINVAL when it is no size; -ERANGE when it is over 2^64 bytes.
 */
int hs_units_size_parse(const char *text, uint64_t *size_bytes);

/* "812ns", "1.23us", "45.6ms", "1.50s", "2m05s", "3h07m", "2d04h". */
void hs_units_duration_format(char out[HS_UNITS_TEXT_MAX], uint64_t ns);

/* "512B", "1.50KiB", "64.0MiB". */
void hs_units_size_format(char out[HS_UNITS_TEXT_MAX], uint64_t size_bytes);

/* The same exactly, such that parsing gives the value back: "90s", "64MiB". */
void hs_units_duration_exact(char out[HS_UNITS_TEXT_MAX], uint64_t ns);
void hs_units_size_exact(char out[HS_UNITS_TEXT_MAX], uint64_t size_bytes);

#endif
