/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_lend.c - a hostile end of the ring between an agent and who lends a port
 *
 * One end is real, a producer or a consumer, in memory of exactly the ring's
 * size; the input writes the other end's counter and whatever else that end may
 * write, between the real end's steps. What the real end is given must lie
 * within the memory, and no counter may make it go further than the ring is
 * long. The two messages before a loan are taken from the input as well.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "ship/lend_ring.h"
#include "tests/fuzz/fuzz.h"

#define SLOTS 16u
#define FRAME 600u

/* A round of an honest other end; then one of the lies. */
static const uint8_t seed_honest[] = {1, 0, 1, 0, 2, 0, 1, 3, 0, 1, 0, 2, 0};
static const uint8_t seed_lies[] = {0, 4, 255, 255, 255, 255, 1, 0, 5, 9,
				    0, 6, 1,   0,   2,	 3,   0, 1, 0};
static const uint8_t seed_lengths[] = {0, 6, 1, 0, 255, 6, 3, 0, 2, 6, 2, 0,
				       1, 3, 3, 3, 0,	0, 2, 3, 0, 0, 3};
/* 64: a producer of IPv6, 66: a consumer. */
static const uint8_t seed_honest6[] = {64, 0, 1, 0, 2, 0, 1, 3, 0, 1, 0, 2, 0};
static const uint8_t seed_lengths6[] = {66, 6, 1, 0, 255, 6, 3, 0, 2, 6, 2, 0,
					1,  3, 3, 3, 0,	  0, 2, 3, 0, 0, 3};
static const uint8_t seed_hello[] = {2, 72, 69, 110, 0, 1,   0,	  1, 0,	 7,
				     0, 0,  0,	9,   0, 0,   0,	  0, 16, 0,
				     0, 0,  0,	0,   0, 'k', 'v', 0, 0};

const struct hs_fuzz_seed hs_fuzz_seeds[] = {
	{seed_honest, sizeof(seed_honest)},
	{seed_lies, sizeof(seed_lies)},
	{seed_lengths, sizeof(seed_lengths)},
	{seed_honest6, sizeof(seed_honest6)},
	{seed_lengths6, sizeof(seed_lengths6)},
	{seed_hello, sizeof(seed_hello)},
	{NULL, 0},
};

static volatile uint8_t sink;

struct end {
	struct hs_lend_ring ring;
	uint32_t *theirs;
	uint8_t *memory;
	size_t bytes;
};

static void within(const struct end *e, const void *data, uint32_t bytes)
{
	const uint8_t *at = data;

	hs_check(at >= e->memory + HS_LEND_WORDS_BYTES &&
		 (size_t)(at - e->memory) + bytes <= e->bytes);
}

static void step_real(struct end *e)
{
	struct hs_lend_frame f;
	uint8_t *at;

	if (!e->ring.producer) {
		if (!hs_lend_ring_next(&e->ring, &f))
			return;
		hs_check(f.bytes <= FRAME);
		within(e, f.data, f.bytes);
		for (uint32_t i = 0; i < f.bytes; i++)
			sink ^= ((const uint8_t *)f.data)[i];
		hs_lend_ring_taken(&e->ring);
		return;
	}
	at = hs_lend_ring_room(&e->ring);
	if (!at)
		return;
	within(e, at, FRAME);
	memset(at, 1, FRAME);
	hs_lend_ring_put(&e->ring, &(struct hs_ship_place){{{1}}, 2}, FRAME);
}

static size_t step(struct end *e, const uint8_t *data, size_t left)
{
	uint32_t value = 0;

	switch (data[0] % 7) {
	case 0:
	case 1:
		step_real(e);
		return 1;
	case 2:
		hs_lend_ring_publish(&e->ring);
		return 1;
	case 3: /* the other end goes on by one, as an honest one does */
		(*e->theirs)++;
		return 1;
	case 4:
		memcpy(&value, data + 1, left < 5 ? left - 1 : 4);
		*e->theirs = value;
		return 5;
	case 5: /* one that is near to what can be */
		*e->theirs = e->ring.at + (left > 1 ? data[1] : 0) - 128;
		return 2;
	default: /* anything else that it can write; often a length */
		if (left < 4)
			return left;
		memcpy(&value, data + 1, 2);
		if (data[3] & 1)
			value = HS_LEND_WORDS_BYTES + 6 + value % 2 +
				value / 2 % SLOTS * e->ring.slot_bytes;
		e->memory[value % e->bytes] = data[3];
		return 4;
	}
}

static void ring(bool producer, bool ip6, const uint8_t *data, size_t len_bytes)
{
	struct end e = {.bytes = hs_lend_memory_bytes(SLOTS, FRAME, ip6)};
	uint32_t mine = 0, theirs = 0;
	size_t at = 0;

	e.memory = calloc(1, e.bytes);
	hs_check(e.memory);
	e.theirs = &theirs;
	hs_lend_ring_make(&e.ring, producer, &mine, &theirs, e.memory, SLOTS,
			  FRAME, ip6);
	while (at < len_bytes) {
		bool broken = e.ring.broken;
		uint32_t was = e.ring.at;

		at += step(&e, data + at, len_bytes - at);
		hs_check(e.ring.limit - e.ring.at <= SLOTS);
		hs_check(hs_lend_ring_waiting(&e.ring) <= SLOTS);
		/* Once it made no sense nothing more goes through. */
		hs_check(!broken || (e.ring.broken && e.ring.at == was));
	}
	free(e.memory);
}

static void messages(bool ip6, const uint8_t *data, size_t len_bytes)
{
	struct hs_lend_hello6 hello = {0};
	struct hs_ship_place own;
	struct hs_lend_welcome welcome = {0};
	size_t bytes[2] = {len_bytes * 4096, len_bytes * 4096};

	memcpy(&hello, data,
	       len_bytes < sizeof(hello) ? len_bytes : sizeof(hello));
	if (!hs_lend_hello_check(&hello,
				 ip6 ? sizeof(hello) : sizeof(hello.base), 1000,
				 &own)) {
		hs_check(hello.base.frame_bytes >= (ip6 ? 980 : 1000));
		hs_check(own.port && hs_ship_ip_is_v4(&own.ip) == !ip6);
		hs_check(strlen(hello.base.name) < sizeof(hello.base.name));
		for (const char *c = hello.base.name; *c; c++)
			hs_check(*c >= ' ' && *c <= '~');
	}
	memcpy(&welcome, data,
	       len_bytes < sizeof(welcome) ? len_bytes : sizeof(welcome));
	/* Most of what is looked at lies behind these. */
	welcome.magic = HS_LEND_MAGIC;
	welcome.refused = 0;
	welcome.version = ip6 ? HS_LEND_VERSION_IP6 : HS_LEND_VERSION_IP4;
	if (!hs_lend_welcome_check(&welcome, sizeof(welcome), 8972, bytes, ip6))
		hs_check(hs_lend_memory_bytes(welcome.nr_slots,
					      welcome.frame_bytes,
					      ip6) <= bytes[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	if (!len_bytes)
		return 0;
	if (data[0] % 3 == 2)
		messages(data[0] & 64, data + 1, len_bytes - 1);
	else
		ring(data[0] % 3, data[0] & 64, data + 1, len_bytes - 1);
	return 0;
}
