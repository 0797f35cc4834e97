/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The forms in which a context travels between the processes of a replay; all
 * of them in turn, so that all are used on real traces.
 */
#ifndef HS_REPLAY_FORM_H
#define HS_REPLAY_FORM_H

#include <stddef.h>
#include <stdint.h>

#include "hs/hindsight.h"

enum hs_replay_form {
	HS_REPLAY_FORM_NONE = 0, /* the load itself: no context */
	HS_REPLAY_FORM_COMPACT = 1,
	HS_REPLAY_FORM_FULL = 2,
	HS_REPLAY_FORM_W3C = 3,
};
#define HS_REPLAY_FORM_MAX_BYTES 640u

/* The form of the nth message; the same one every time. */
static inline enum hs_replay_form hs_replay_form_of(uint32_t nth)
{
	return (enum hs_replay_form)(HS_REPLAY_FORM_COMPACT + nth % 3);
}

/**
 * hs_replay_form_encode() - a context as bytes
 * @out: HS_REPLAY_FORM_MAX_BYTES
 *
 * Return: bytes; 0 for an empty context (no agent yet).
 */
size_t hs_replay_form_encode(enum hs_replay_form form,
			     const struct hs_context *context, uint8_t *out);

/* Return: 0, -EBADMSG with @out empty. No bytes are an empty context. */
int hs_replay_form_decode(enum hs_replay_form form, const uint8_t *data,
			  size_t size_bytes, struct hs_context *out);

#endif
