/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_context.c - bytes of anybody as a context, in every form
 *
 * What decodes must say the same after another round; what is encoded keeps
 * within its room.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hs/hindsight.h"
#include "tests/fuzz/fuzz.h"

static const uint8_t seed_full[] = {
	0x12, 0x07, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
	15,   16,   1, 1, 1, 1, 1, 1, 1, 1, 2, 2,  2,  2,  2,  2,
	2,    2,    3, 3, 3, 3, 3, 3, 3, 3, 4, 4,  4,  4,
};
static const char seed_w3c[] =
	"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03\n"
	"a=1, hs=1-04-00c0ffee-0000000a00000001-0000000b00000001,ot=p:8,b@c=2";

const struct hs_fuzz_seed hs_fuzz_seeds[] = {
	{seed_full, sizeof(seed_full)},
	{seed_w3c, sizeof(seed_w3c) - 1},
	{NULL, 0},
};

static void must(bool cond)
{
	if (!cond)
		abort();
}

static void binary(const uint8_t *data, size_t len)
{
	struct hs_context a, b;
	uint8_t out[HS_CONTEXT_FULL_BYTES];
	size_t n;

	if (hs_context_decode(data, len, &a))
		return;
	n = hs_context_encode_full(&a, out);
	must(n > 0 && n <= sizeof(out));
	must(hs_context_decode(out, n, &b) == 0);
	must(memcmp(&a, &b, sizeof(a)) == 0);
	n = hs_context_encode_compact(&a, out);
	must(n > 0 && n <= HS_CONTEXT_COMPACT_BYTES);
}

static void w3c(char *parent, const char *state)
{
	char out_parent[HS_TRACEPARENT_CHARS + 1];
	char out_state[512];
	struct hs_context a, b;
	size_t room;

	(void)hs_context_baggage_ok(state);
	if (hs_context_decode_w3c(parent, state, &a))
		return;
	for (room = 0; room <= sizeof(out_state); room += 37) {
		memset(out_state, '!', sizeof(out_state));
		if (hs_context_encode_w3c(&a, out_parent, state, out_state,
					  room))
			continue;
		must(strnlen(out_state, room) < room);
		must(room == sizeof(out_state) || out_state[room] == '!');
		must(strlen(out_parent) == HS_TRACEPARENT_CHARS);
		must(hs_context_decode_w3c(out_parent, out_state, &b) == 0);
		must(memcmp(&a, &b, sizeof(a)) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	char *text = malloc(len_bytes + 1);
	char *state;

	if (!text)
		return 0;
	binary(data, len_bytes);
	memcpy(text, data, len_bytes);
	text[len_bytes] = '\0';
	state = strchr(text, '\n');
	if (state)
		*state++ = '\0';
	w3c(text, state ? state : text + strlen(text));
	free(text);
	return 0;
}
