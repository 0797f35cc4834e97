/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_ship.c - a hostile peer at either end of a shipping connection
 *
 * A sender and a receiver that really talk to each other; the input says what
 * happens to the frames on their way: passed on, dropped, repeated, changed
 * (with the checksum mended, so that what lies behind it is reached too), or
 * replaced by the input's own bytes. The sums of both must add up after every
 * step, whatever came.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/crc32c.h"
#include "ship/proto_receive.h"
#include "ship/proto_send.h"
#include "tests/fuzz/fuzz.h"

#define QUEUE 64u
#define MS    1000000ull

struct queue {
	struct {
		uint8_t bytes[HS_SHIP_FRAME_MAX_BYTES];
		uint32_t nr_bytes;
	} frames[QUEUE];
	uint32_t head, tail;
};

/* What the bytes do, one after the other; most of a good conversation. */
static const uint8_t seed_talk[] = {
	0, 40,	0, 0, 200, 1, 1, 0,  1, 0, 1, 0, 4,  3, 1, 0, 2, 0,
	0, 255, 7, 1, 0,   5, 1, 60, 9, 2, 0, 4, 20, 1, 0, 2, 0,
};
static const uint8_t seed_bent[] = {
	0, 99, 0, 5, 1, 30, 1, 2, 0, 6, 2, 52, 8,   1, 0, 4, 9,
	0, 12, 0, 5, 1, 80, 3, 2, 0, 6, 2, 90, 255, 3, 1, 3, 2,
};

const struct hs_fuzz_seed hs_fuzz_seeds[] = {
	{seed_talk, sizeof(seed_talk)},
	{seed_bent, sizeof(seed_bent)},
	{NULL, 0},
};

static struct queue to_collector, to_agent;
static uint8_t pool[HS_WIRE_SLICE_MAX_BYTES];
static volatile uint8_t sink;
static uint32_t nr_held;

static void enqueue(struct queue *q, const void *head, uint32_t head_bytes,
		    const struct hs_ship_piece *pieces, uint32_t nr)
{
	uint32_t at = q->head % QUEUE, bytes = head_bytes;

	if (q->head - q->tail == QUEUE)
		return;
	memcpy(q->frames[at].bytes, head, head_bytes);
	for (uint32_t i = 0; i < nr; i++) {
		hs_check(pieces[i].bytes <=
			 sizeof(q->frames[at].bytes) - bytes);
		memcpy(q->frames[at].bytes + bytes, pool + pieces[i].offset,
		       pieces[i].bytes);
		bytes += pieces[i].bytes;
	}
	q->frames[at].nr_bytes = bytes;
	q->head++;
}

static bool sender_frame(void *ctx, const void *head, uint32_t head_bytes,
			 const struct hs_ship_piece *pieces, uint32_t nr)
{
	enqueue(&to_collector, head, head_bytes, pieces, nr);
	return true;
}

static const void *sender_bytes(void *ctx, const struct hs_ship_slice *slice)
{
	return pool;
}

static bool sender_copy(void *ctx, struct hs_ship_slice *slice)
{
	slice->copy = pool;
	return true;
}

static void sender_settled(void *ctx, const struct hs_ship_slice *slice,
			   bool refused)
{
}

static void sender_up(void *ctx, uint64_t collector)
{
}

static void sender_down(void *ctx, const char *why)
{
}

static const struct hs_ship_sender_ops sender_ops = {
	.send_frame = sender_frame,
	.bytes = sender_bytes,
	.copy = sender_copy,
	.settled = sender_settled,
	.up = sender_up,
	.down = sender_down,
};

static void receiver_frame(void *ctx, const struct hs_ship_address *to,
			   const void *frame, uint32_t bytes)
{
	enqueue(&to_agent, frame, bytes, NULL, 0);
}

static enum hs_ship_verdict receiver_slice(void *ctx, uint32_t connection,
					   const struct hs_wire_slice *head,
					   const struct hs_ship_span *spans,
					   uint32_t nr)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < nr; i++) {
		for (uint32_t k = 0; k < spans[i].bytes; k++)
			sink ^= ((const uint8_t *)spans[i].data)[k];
		sum += spans[i].bytes;
	}
	hs_check(sum == head->length_bytes);
	return head->length_bytes % 7 == 6    ? HS_SHIP_REFUSED
	       : head->length_bytes % 11 == 5 ? HS_SHIP_BUSY
					      : HS_SHIP_TAKEN;
}

static void receiver_release(void *ctx, void *handle)
{
	nr_held--;
	free(handle);
}

static void receiver_up(void *ctx, uint32_t connection, uint64_t node)
{
}

static void receiver_down(void *ctx, uint32_t connection, const char *why)
{
}

static const struct hs_ship_receiver_ops receiver_ops = {
	.send_frame = receiver_frame,
	.slice = receiver_slice,
	.release = receiver_release,
	.up = receiver_up,
	.down = receiver_down,
};

struct talk {
	struct hs_ship_sender *sender;
	struct hs_ship_receiver *receiver;
	uint64_t now_ns;
};

/* The checksum that a sender of these bytes would have put there. */
static void mend(uint8_t *frame, uint32_t bytes)
{
	struct hs_ship_header h;

	if (bytes < sizeof(h))
		return;
	memcpy(&h, frame, sizeof(h));
	h.bytes = (uint16_t)bytes;
	if (h.head_bytes < sizeof(h) || h.head_bytes > bytes)
		h.head_bytes = bytes;
	h.crc = 0;
	memset(h.tag, 0, sizeof(h.tag));
	memcpy(frame, &h, sizeof(h));
	h.crc = hs_crc32c(0, frame, h.head_bytes);
	memcpy(frame, &h, sizeof(h));
}

static void hand_over(struct talk *t, bool collector, const uint8_t *frame,
		      uint32_t bytes)
{
	struct hs_ship_address from = {{1}};
	uint8_t *copy;

	if (!collector) {
		hs_ship_sender_frame(t->sender, frame, bytes, t->now_ns);
		return;
	}
	/* Of its own size, so that the sanitizers see each byte over it. */
	copy = malloc(bytes ? bytes : 1);
	hs_check(copy);
	memcpy(copy, frame, bytes);
	nr_held++;
	hs_ship_receiver_frame(t->receiver, &from, copy, copy, bytes,
			       t->now_ns);
}

static void pass_on(struct talk *t, bool collector, uint32_t times)
{
	struct queue *q = collector ? &to_collector : &to_agent;
	uint32_t at = q->tail % QUEUE;

	if (q->head == q->tail)
		return;
	for (uint32_t i = 0; i < times; i++)
		hand_over(t, collector, q->frames[at].bytes,
			  q->frames[at].nr_bytes);
	q->tail++;
}

static void bend(bool collector, uint8_t at, uint8_t value)
{
	struct queue *q = collector ? &to_collector : &to_agent;
	uint8_t *frame = q->frames[q->tail % QUEUE].bytes;
	uint32_t bytes = q->frames[q->tail % QUEUE].nr_bytes;

	if (q->head == q->tail || bytes < sizeof(struct hs_ship_header))
		return;
	/* Numbers of connections stay; without them nothing is looked at. */
	frame[24 + at % (bytes - 24)] = value;
	mend(frame, bytes);
}

static void add(struct talk *t, uint8_t length, uint8_t more)
{
	struct hs_ship_slice slice = {.head = {.ship_key = length}};

	slice.head.length_bytes = length + 128u * more;
	(void)hs_ship_sender_add(t->sender, &slice);
}

static size_t step(struct talk *t, const uint8_t *data, size_t left)
{
	uint8_t frame[300];
	uint32_t bytes;

	switch (data[0] % 8) {
	case 0:
		if (left < 3)
			return left;
		add(t, data[1], data[2]);
		return 3;
	case 1:
	case 2:
		pass_on(t, data[0] % 8 == 1, 1);
		return 1;
	case 3:
		pass_on(t, left > 1 && data[1] & 1, 2);
		return 2;
	case 4:
		t->now_ns += (left > 1 ? data[1] : 1) * 10 * MS;
		return 2;
	case 5:
	case 6:
		if (left < 4)
			return left;
		bend(data[1] & 1, data[2], data[3]);
		return 4;
	default:
		if (left < 3)
			return left;
		bytes = data[2] < left - 3 ? data[2] : (uint32_t)(left - 3);
		memset(frame, 0, sizeof(frame));
		memcpy(frame, data + 3, bytes);
		if (data[1] & 2)
			mend(frame, bytes);
		hand_over(t, data[1] & 1, frame, bytes);
		return 3 + bytes;
	}
}

static void begin(struct talk *t, void *sender_memory, void *receiver_memory,
		  const struct hs_ship_sender_config *s,
		  const struct hs_ship_receiver_config *r)
{
	memset(sender_memory, 0, hs_ship_sender_size(s));
	memset(receiver_memory, 0, hs_ship_receiver_size(r));
	memset(&to_collector, 0, sizeof(to_collector));
	memset(&to_agent, 0, sizeof(to_agent));
	t->now_ns = 1000 * MS;
	t->sender = hs_ship_sender_create(sender_memory, s, &sender_ops, NULL,
					  1, t->now_ns);
	t->receiver = hs_ship_receiver_create(receiver_memory, r, &receiver_ops,
					      NULL, 2, t->now_ns);
	hs_check(t->sender && t->receiver);
	hs_ship_sender_run(t->sender, t->now_ns);
	pass_on(t, true, 1);
	pass_on(t, false, 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	static const struct hs_ship_sender_config s = {.node = 1,
						       .frame_bytes = 1200,
						       .nr_frames = 16,
						       .nr_slices = 8};
	static const struct hs_ship_receiver_config r = {.node = 2,
							 .frame_bytes = 1200,
							 .nr_connections = 2,
							 .nr_frames = 32,
							 .nr_window = 16,
							 .nr_least = 8,
							 .nr_slices = 8};
	static void *memory[2];
	struct talk t;
	const char *why = NULL;
	size_t at = 0;

	if (!memory[0]) {
		memory[0] = malloc(hs_ship_sender_size(&s));
		memory[1] = malloc(hs_ship_receiver_size(&r));
		hs_check(memory[0] && memory[1]);
	}
	begin(&t, memory[0], memory[1], &s, &r);
	while (at < len_bytes) {
		at += step(&t, data + at, len_bytes - at);
		hs_ship_sender_run(t.sender, t.now_ns);
		hs_ship_receiver_run(t.receiver, t.now_ns);
		hs_ship_receiver_settle(t.receiver, 0, 40, false);
		hs_check(hs_ship_sender_check(t.sender, &why), "%s", why);
		hs_check(hs_ship_receiver_check(t.receiver, &why), "%s", why);
	}
	hs_ship_receiver_close(t.receiver);
	hs_check(nr_held == 0);
	return 0;
}
