/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frame around the traces of a document, for each format.
 */
#include "model/export.h"

#include <errno.h>
#include <string.h>

#include "model/export_internal.h"

static const char *const names[HS_MODEL_EXPORT_NR] = {
	"jaeger",
	"otlp",
	"perfetto",
};
static const char *const heads[HS_MODEL_EXPORT_NR] = {
	"{\"data\":[",
	"{\"resourceSpans\":[",
	"{\"displayTimeUnit\":\"ms\",\"traceEvents\":[",
};
static const char *const tails[HS_MODEL_EXPORT_NR] = {
	"],\"total\":0,\"limit\":0,\"offset\":0,\"errors\":null}\n",
	"]}\n",
	"]}\n",
};

int hs_model_export_format_parse(const char *text,
				 enum hs_model_export_format *format)
{
	int i;

	for (i = 0; i < HS_MODEL_EXPORT_NR; i++) {
		if (strcmp(text, names[i]))
			continue;
		*format = (enum hs_model_export_format)i;
		return 0;
	}
	return -EINVAL;
}

int hs_model_export_begin(struct hs_model_export *export,
			  enum hs_model_export_format format,
			  struct hs_model_text *text)
{
	memset(export, 0, sizeof(*export));
	export->format = format;
	export->text = text;
	hs_model_text_puts(text, heads[format]);
	return hs_model_text_error(text);
}

int hs_model_export_trace(struct hs_model_export *export,
			  const struct hs_model_trace *trace)
{
	int err = 0;

	if (!trace->nr_spans)
		return 0;
	if (export->any)
		hs_model_text_puts(export->text, ",\n");
	switch (export->format) {
	case HS_MODEL_EXPORT_JAEGER:
		export_jaeger(export->text, trace);
		break;
	case HS_MODEL_EXPORT_OTLP:
		err = export_otlp(export->text, trace);
		break;
	default:
		err = export_perfetto(export, trace);
	}
	export->any = true;
	export->nr_traces++;
	return err ? err : hs_model_text_error(export->text);
}

int hs_model_export_end(struct hs_model_export *export)
{
	hs_model_text_puts(export->text, tails[export->format]);
	return hs_model_text_error(export->text);
}
