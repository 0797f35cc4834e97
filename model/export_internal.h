/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One function per format, and what they share. Not for other folders.
 */
#ifndef HS_MODEL_EXPORT_INTERNAL_H
#define HS_MODEL_EXPORT_INTERNAL_H

#include "model/export.h"
#include "model/ident.h"

void export_jaeger(struct hs_model_text *text,
		   const struct hs_model_trace *trace);
int export_otlp(struct hs_model_text *text, const struct hs_model_trace *trace);
int export_perfetto(struct hs_model_export *export,
		    const struct hs_model_trace *trace);

/* An id in quotes. */
static inline void export_id(struct hs_model_text *text, const uint8_t *id,
			     size_t size)
{
	char hex[2 * HS_MODEL_TRACE_ID_SIZE + 1];

	hs_model_text_printf(text, "\"%s\"", hs_model_id_format(id, size, hex));
}

#endif
