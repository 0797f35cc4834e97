/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: figures as OpenMetrics 1.0 text, for whoever scrapes a daemon.
 *
 * Guarantees: labels' values are escaped, whatever is in them; a family is
 * declared before its samples; counters get their suffix. Families must be
 * written one after another, each with all its samples: that is the caller's.
 */
#ifndef HS_OPENMETRICS_H
#define HS_OPENMETRICS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum hs_openmetrics_type {
	HS_OPENMETRICS_COUNTER,
	HS_OPENMETRICS_GAUGE,
};

/* The family that samples are of; texts stay the caller's. */
struct hs_openmetrics_family {
	const char *prefix; /* "hindsight_agent" */
	const char *name;   /* ends with the unit where there is one */
	enum hs_openmetrics_type type;
	const char *unit; /* "seconds", "bytes"; NULL: none */
	const char *help; /* a line, or NULL */
};

struct hs_openmetrics_label {
	const char *name;
	const char *value; /* anything; escaped here */
};

/** hs_openmetrics_begin() - declare a family */
void hs_openmetrics_begin(FILE *f, const struct hs_openmetrics_family *family);
/** hs_openmetrics_u64() - a sample of it, with @nr_labels labels */
void hs_openmetrics_u64(FILE *f, const struct hs_openmetrics_family *family,
			const struct hs_openmetrics_label *labels,
			size_t nr_labels, uint64_t value);
/** hs_openmetrics_seconds() - a sample given in nanoseconds */
void hs_openmetrics_seconds(FILE *f, const struct hs_openmetrics_family *family,
			    const struct hs_openmetrics_label *labels,
			    size_t nr_labels, double ns);
/** hs_openmetrics_end() - nothing comes after this */
void hs_openmetrics_end(FILE *f);

#endif
