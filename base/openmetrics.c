/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see openmetrics.h. */
#include "base/openmetrics.h"

#include <inttypes.h>

void hs_openmetrics_begin(FILE *f, const struct hs_openmetrics_family *family)
{
	fprintf(f, "# TYPE %s_%s %s\n", family->prefix, family->name,
		family->type == HS_OPENMETRICS_COUNTER ? "counter" : "gauge");
	if (family->unit)
		fprintf(f, "# UNIT %s_%s %s\n", family->prefix, family->name,
			family->unit);
	if (family->help)
		fprintf(f, "# HELP %s_%s %s\n", family->prefix, family->name,
			family->help);
}

static void put_value(FILE *f, const char *value)
{
	for (; *value; value++) {
		if (*value == '\n') {
			fputs("\\n", f);
			continue;
		}
		if (*value == '"' || *value == '\\')
			fputc('\\', f);
		fputc(*value, f);
	}
}

static void put_name(FILE *f, const struct hs_openmetrics_family *family,
		     const struct hs_openmetrics_label *labels,
		     size_t nr_labels)
{
	fprintf(f, "%s_%s%s", family->prefix, family->name,
		family->type == HS_OPENMETRICS_COUNTER ? "_total" : "");
	for (size_t i = 0; i < nr_labels; i++) {
		fprintf(f, "%c%s=\"", i ? ',' : '{', labels[i].name);
		put_value(f, labels[i].value);
		fputc('"', f);
	}
	if (nr_labels)
		fputc('}', f);
}

void hs_openmetrics_u64(FILE *f, const struct hs_openmetrics_family *family,
			const struct hs_openmetrics_label *labels,
			size_t nr_labels, uint64_t value)
{
	put_name(f, family, labels, nr_labels);
	fprintf(f, " %" PRIu64 "\n", value);
}

void hs_openmetrics_seconds(FILE *f, const struct hs_openmetrics_family *family,
			    const struct hs_openmetrics_label *labels,
			    size_t nr_labels, double ns)
{
	put_name(f, family, labels, nr_labels);
	fprintf(f, " %.12g\n", ns / 1e9);
}

void hs_openmetrics_end(FILE *f)
{
	fputs("# EOF\n", f);
}
