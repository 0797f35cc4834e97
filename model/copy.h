/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Renaming a trace; copying is hs_model_trace_absorb() in trace.h.
 */
#ifndef HS_MODEL_COPY_H
#define HS_MODEL_COPY_H

#include "model/trace.h"

/**
 * hs_model_trace_rename() - give the trace another id
 *
 * References of its spans to the old id follow, so parents stay parents.
 */
void hs_model_trace_rename(struct hs_model_trace *trace,
			   const uint8_t id[HS_MODEL_TRACE_ID_SIZE]);

#endif
