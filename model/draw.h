/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A trace drawn for a terminal: a tree of spans, each with its service, name,
 * duration and a bar over the trace's time.
 */
#ifndef HS_MODEL_DRAW_H
#define HS_MODEL_DRAW_H

#include "model/text.h"
#include "model/trace.h"

struct hs_model_draw_options {
	uint32_t width_columns; /* of the terminal; 0 means 100 */
	uint32_t max_lines;	/* of spans; 0 means all */
	uint32_t max_depth;	/* that is indented; 0 means 24 */
	bool ascii;
	bool colour;
};

/**
 * hs_model_trace_draw() - draw @trace into @text
 * @options: NULL for the defaults: UTF-8, no colour
 *
 * Any trace can be drawn: cycles, missing parents, several roots, children
 * outside of their parents' time. What would move the cursor or change the
 * terminal's state in names is replaced.
 *
 * Return: 0, -ENOMEM, or the error of @text.
 */
int hs_model_trace_draw(const struct hs_model_trace *trace,
			const struct hs_model_draw_options *options,
			struct hs_model_text *text);

/**
 * hs_model_duration_format() - "850us", "12.3ms", "1.24s"; @text of 24 bytes
 */
char *hs_model_duration_format(int64_t duration_ns, char *text);

#endif
