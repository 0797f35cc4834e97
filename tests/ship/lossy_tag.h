/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: tags of frames for tests, which any keyed function will do for. */
#ifndef HS_TESTS_SHIP_LOSSY_TAG_H
#define HS_TESTS_SHIP_LOSSY_TAG_H

#include "ship/proto.h"

void lossy_tag(void *ctx, const struct hs_ship_span *spans, uint32_t nr,
	       uint8_t out[HS_SHIP_TAG_BYTES]);

#endif
