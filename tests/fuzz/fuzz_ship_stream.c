/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_ship_stream.c - a hostile peer on a stream of frames
 *
 * The input's first byte says in what pieces the rest comes. However it comes,
 * the same frames are found as when it comes at once, byte for byte, and the
 * same end: all taken, or no frame; and a frame that is found is as long as it
 * says.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "ship/proto_stream.h"
#include "tests/fuzz/fuzz.h"

#define FRAME(bytes) 'H', 'S', 'I', 'P', 1, 3, bytes, 0
#define ZEROS	     0, 0, 0, 0, 0, 0, 0, 0, 0, 0

static const uint8_t seed_two[] = {3,	  FRAME(48), ZEROS, ZEROS, ZEROS,
				   ZEROS, FRAME(50), ZEROS, ZEROS, ZEROS,
				   ZEROS, 7,	     7,	    'H',   'S'};
static const uint8_t seed_short[] = {1, FRAME(47), ZEROS, ZEROS, ZEROS};
static const uint8_t seed_large[] = {9, 'H', 'S', 'I', 'P', 1, 3, 0, 36, ZEROS};
static const uint8_t seed_tls[] = {2, 0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc};

const struct hs_fuzz_seed hs_fuzz_seeds[] = {
	{seed_two, sizeof(seed_two)},
	{seed_short, sizeof(seed_short)},
	{seed_large, sizeof(seed_large)},
	{seed_tls, sizeof(seed_tls)},
	{NULL, 0},
};

/* All frames of @data in pieces of up to @piece; where they ended. */
static int frames(const uint8_t *data, size_t bytes, size_t piece, uint8_t *out,
		  size_t *out_bytes, uint32_t *nr)
{
	struct hs_ship_stream *s = calloc(1, sizeof(*s));
	int rc = 0;

	hs_check(s);
	*nr = 0;
	*out_bytes = 0;
	while (bytes && rc >= 0) {
		size_t n = piece < bytes ? piece : bytes, left = n;
		/* Nothing behind it may be looked at. */
		uint8_t *copy = malloc(n);
		const uint8_t *at = copy;
		const char *why = NULL;
		const void *frame;
		uint32_t frame_bytes;

		hs_check(copy);
		memcpy(copy, data, n);
		while ((rc = hs_ship_stream_next(s, &at, &left, &frame,
						 &frame_bytes, &why)) > 0) {
			struct hs_ship_header h;

			hs_check(frame_bytes >= sizeof(h));
			memcpy(&h, frame, sizeof(h));
			hs_check(h.bytes == frame_bytes);
			memcpy(out + *out_bytes, frame, frame_bytes);
			*out_bytes += frame_bytes;
			++*nr;
		}
		hs_check(rc == -EBADMSG ? why != NULL : !left);
		free(copy);
		data += n;
		bytes -= n;
	}
	free(s);
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	size_t bytes = len_bytes - 1, got[2];
	uint8_t *out[2];
	uint32_t nr[2];
	int rc[2];

	if (len_bytes < 2)
		return 0;
	for (int i = 0; i < 2; i++) {
		out[i] = malloc(bytes);
		hs_check(out[i]);
		rc[i] = frames(data + 1, bytes, i ? data[0] % 64 + 1u : bytes,
			       out[i], &got[i], &nr[i]);
	}
	hs_check(rc[0] == rc[1] && nr[0] == nr[1] && got[0] == got[1] &&
		 !memcmp(out[0], out[1], got[0]));
	hs_check(got[0] <= bytes && !memcmp(out[0], data + 1, got[0]));
	free(out[0]);
	free(out[1]);
	return 0;
}
