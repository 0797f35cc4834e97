/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contexts as they travel. See form.h.
 */
#include <errno.h>
#include <string.h>

#include "tools/replay/form.h"

/* Another vendor's member and its order have to survive the way. */
#define UPSTREAM_TRACESTATE "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"

size_t hs_replay_form_encode(enum hs_replay_form form,
			     const struct hs_context *context, uint8_t *out)
{
	char *text = (char *)out;
	size_t parent_bytes = HS_TRACEPARENT_CHARS + 1;

	switch (form) {
	case HS_REPLAY_FORM_COMPACT:
		return hs_context_encode_compact(context, out);
	case HS_REPLAY_FORM_FULL:
		return hs_context_encode_full(context, out);
	case HS_REPLAY_FORM_W3C:
		if (hs_context_encode_w3c(context, text, UPSTREAM_TRACESTATE,
					  text + parent_bytes,
					  HS_REPLAY_FORM_MAX_BYTES -
						  parent_bytes))
			return 0;
		return parent_bytes + strlen(text + parent_bytes) + 1;
	default:
		return 0;
	}
}

int hs_replay_form_decode(enum hs_replay_form form, const uint8_t *data,
			  size_t size_bytes, struct hs_context *out)
{
	const char *text = (const char *)data;
	size_t parent_bytes = HS_TRACEPARENT_CHARS + 1;

	memset(out, 0, sizeof(*out));
	if (!size_bytes)
		return 0;
	if (form != HS_REPLAY_FORM_W3C)
		return hs_context_decode(data, size_bytes, out);
	if (size_bytes <= parent_bytes || text[parent_bytes - 1] ||
	    text[size_bytes - 1])
		return -EBADMSG;
	return hs_context_decode_w3c(text, text + parent_bytes, out);
}
