/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Canonical traces as text that other programs read. Pure: the text grows in
 * memory, and the caller may flush it between traces.
 */
#ifndef HS_MODEL_EXPORT_H
#define HS_MODEL_EXPORT_H

#include "model/text.h"
#include "model/trace.h"

enum hs_model_export_format {
	/* {"data": [trace...]}: read back, it equals what was written, where
	 * that came from Jaeger. Kind and status become tags only where no tag
	 * says them already. */
	HS_MODEL_EXPORT_JAEGER,
	/* {"resourceSpans": [...]}: the same for what came from OTLP. A
	 * Jaeger reference that is not the parent becomes a link with the
	 * attribute opentracing.ref_type. */
	HS_MODEL_EXPORT_OTLP,
	/* Chrome's trace events, which Perfetto's UI opens too. */
	HS_MODEL_EXPORT_PERFETTO,
	HS_MODEL_EXPORT_NR
};

struct hs_model_export {
	enum hs_model_export_format format;
	struct hs_model_text *text;
	uint64_t nr_traces;
	uint64_t next_pid;  /* Perfetto: processes are named in every trace */
	uint64_t next_flow; /* Perfetto: arrows have numbers */
	int64_t base_ns;    /* Perfetto: what its times count from */
	bool any;	    /* something was written since begin */
};

/**
 * hs_model_export_format_parse() - "jaeger", "otlp", "perfetto"
 *
 * Return: 0, -EINVAL.
 */
int hs_model_export_format_parse(const char *text,
				 enum hs_model_export_format *format);

/**
 * hs_model_export_begin() - start a document
 * hs_model_export_trace() - add a trace to it
 * hs_model_export_end() - finish it
 * @text: the caller's; may be flushed between any two calls
 *
 * Return: 0; -ENOMEM, -E2BIG of the text.
 */
int hs_model_export_begin(struct hs_model_export *export,
			  enum hs_model_export_format format,
			  struct hs_model_text *text);
int hs_model_export_trace(struct hs_model_export *export,
			  const struct hs_model_trace *trace);
int hs_model_export_end(struct hs_model_export *export);

#endif
