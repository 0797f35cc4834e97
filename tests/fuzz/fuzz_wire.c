/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_wire.c - bytes of anybody through the stream parser and the decoders
 *
 * The first byte chooses: the stream, in pieces of a size that it names too,
 * or one payload by type. Whatever a decoder hands out is read to its end.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "rdma/stream.h"
#include "rdma/wire.h"
#include "tests/fuzz/fuzz.h"

/* The byte that chooses, then what it chooses. */
static const struct __attribute__((packed)) {
	uint8_t choice;
	struct hs_wire_header head;
	struct hs_wire_hello hello;
} seed_stream = {
	0x9f,
	{HS_WIRE_MAGIC, HS_WIRE_VERSION, HS_WIRE_HELLO,
	 sizeof(struct hs_wire_hello), 0, 5, 1},
	{.role = HS_WIRE_ROLE_AGENT,
	 .version_min = 1,
	 .version_max = 1,
	 .node = 5,
	 .name = "seed"},
};

static const struct __attribute__((packed)) {
	uint8_t choice;
	struct hs_wire_group group;
	struct hs_wire_answer answer;
	struct hs_wire_crumb crumbs[2];
} seed_trigger = {
	HS_WIRE_TRIGGER,
	{{7, 1, 2, 3, "slow", {1, 2}}, 1, 0},
	{.trace = {1, 2}, .node = 7, .rev = 1, .state = 4, .nr_crumbs = 2},
	{{8, 0, 0}, {9, 1, 0}},
};

static const struct __attribute__((packed)) {
	uint8_t choice;
	struct hs_wire_manifest manifest;
	struct hs_wire_trigger trigger;
	struct hs_wire_answer answer;
} seed_manifest = {
	HS_WIRE_MANIFEST,
	{{1, 2}, 1000, 1, 1, 0, 1, 1},
	{7, 1, 2, 3, "slow", {1, 2}},
	{.trace = {1, 2}, .node = 7, .rev = 1, .state = 3},
};

static const struct __attribute__((packed)) {
	uint8_t choice;
	struct hs_wire_slice slice;
} seed_slice = {
	HS_WIRE_SLICE,
	{.trace = {1, 2}, .node = 7, .ship_key = 1},
};

static const struct __attribute__((packed)) {
	uint8_t choice;
	struct hs_wire_seek seek;
	struct hs_wire_trace_id traces[2];
} seed_seek = {HS_WIRE_SEEK, {9, 2, 0}, {{1, 2}, {0, 3}}};

const struct hs_fuzz_seed hs_fuzz_seeds[] = {
	{&seed_stream, sizeof(seed_stream)},
	{&seed_trigger, sizeof(seed_trigger)},
	{&seed_manifest, sizeof(seed_manifest)},
	{&seed_slice, sizeof(seed_slice)},
	{&seed_seek, sizeof(seed_seek)},
	{NULL, 0},
};

static volatile uint8_t sink;

static void touch(const void *p, size_t size)
{
	const uint8_t *bytes = p;

	for (size_t i = 0; i < size; i++)
		sink ^= bytes[i];
}

static void answers(struct hs_wire_reader *r, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++) {
		const struct hs_wire_crumb *crumbs;
		const struct hs_wire_answer *a =
			hs_wire_take_answer(r, &crumbs);

		if (!a)
			return;
		touch(a, sizeof(*a));
		touch(crumbs, a->nr_crumbs * sizeof(*crumbs));
	}
}

static void payload_of(uint16_t type, const uint8_t *data, size_t size)
{
	struct hs_wire_reader r = hs_wire_reader_make(data, size);
	const struct hs_wire_trigger *triggers;
	const struct hs_wire_manifest *m;
	const struct hs_wire_group *g;
	const struct hs_wire_slice *s;
	const struct hs_wire_seek *seek;
	const struct hs_wire_trace_id *traces;
	const uint8_t *bytes;

	switch (type) {
	case HS_WIRE_TRIGGER:
	case HS_WIRE_CRUMBS:
	case HS_WIRE_UPDATE:
		g = hs_wire_take_group(&r);
		if (g)
			answers(&r, g->nr);
		break;
	case HS_WIRE_SEEK:
	case HS_WIRE_FOUND:
		seek = hs_wire_take_seek(&r, &traces);
		if (seek)
			touch(traces, seek->nr * sizeof(*traces));
		break;
	case HS_WIRE_COLLECT:
		g = hs_wire_take_group(&r);
		if (g &&
		    hs_wire_take(&r, g->nr * sizeof(struct hs_wire_trace_id)))
			touch(g, size);
		break;
	case HS_WIRE_MANIFEST:
		m = hs_wire_take_manifest(&r, &triggers);
		if (!m)
			break;
		touch(triggers, m->nr_triggers * sizeof(*triggers));
		answers(&r, m->nr_answers);
		break;
	case HS_WIRE_SLICE:
		s = hs_wire_take_slice(&r, &bytes);
		if (s)
			touch(bytes, s->length_bytes);
		break;
	default:
		break;
	}
	(void)hs_wire_done(&r);
}

/* A checksum that fits lets the fuzzer behind it: mend the one whole message
 * that starts at @data. */
static void mend(uint8_t *data, size_t size)
{
	struct hs_wire_header h;

	if (size < sizeof(h))
		return;
	memcpy(&h, data, sizeof(h));
	if (h.payload_bytes > size - sizeof(h))
		return;
	h.payload_crc = hs_crc32c(0, data + sizeof(h), h.payload_bytes);
	memcpy(data, &h, sizeof(h));
}

static void stream(uint8_t *data, size_t size, size_t piece)
{
	static uint64_t buffer[(HS_STREAM_BUFFER_BYTES + 7) / 8];
	struct hs_wire_header h;
	struct hs_stream s;
	const void *payload;
	uint8_t *room;

	hs_stream_init(&s, buffer, HS_WIRE_PAYLOAD_MAX_BYTES);
	mend(data, size);
	while (size) {
		size_t n = hs_stream_room(&s, &room);

		if (n == 0)
			abort();
		n = n < size ? n : size;
		n = n < piece ? n : piece;
		memcpy(room, data, n);
		hs_stream_came(&s, n);
		data += n;
		size -= n;
		while (hs_stream_next(&s, &h, &payload) == HS_STREAM_MESSAGE) {
			if ((uintptr_t)payload & 7)
				abort();
			payload_of(h.type, payload, h.payload_bytes);
		}
		if (s.error)
			return;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy;

	if (size < 2)
		return 0;
	copy = malloc(size - 1); /* 8-aligned, and exactly so long */
	if (!copy)
		return 0;
	memcpy(copy, data + 1, size - 1);
	if (data[0] & 0x80)
		stream(copy, size - 1, (size_t)(data[0] & 0x7f) + 1);
	else
		payload_of(data[0] & 0x0f, copy, size - 1);
	free(copy);
	return 0;
}
