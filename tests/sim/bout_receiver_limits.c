/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_receiver_limits.c - what a receiver is made with, and limits that are
 * too wide for the bout: the frames of which an ACK can speak, and the pieces
 * that a slice may have
 */
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "tests/sim/bout_receiver.h"

#define WIDE 2048u

struct wide {
	struct sim *s;
	struct hs_ship_receiver *core;
	struct hs_ship_receiver_config config;
	void *memory;
	uint64_t id, tx;
	/* What it said last, and how many pieces a slice was in. */
	struct hs_ship_ack ack;
	uint8_t sack[HS_SHIP_SACK_BYTES];
	uint32_t reason, nr_slices, nr_spans;
};

static void op_send_frame(void *ctx, const struct hs_ship_address *to,
			  const void *frame, uint32_t frame_bytes)
{
	struct wide *w = ctx;
	struct hs_ship_view v;
	const char *why = "";

	if (hs_ship_frame_parse(&v, frame, frame_bytes, &why)) {
		sim_fail(w->s, RECEIVING "no frame: %s", why);
	} else if (v.header.type == HS_SHIP_ACCEPT) {
		w->id = v.header.from;
	} else if (v.header.type == HS_SHIP_ACK) {
		w->ack = v.u.ack;
		memset(w->sack, 0, sizeof(w->sack));
		memcpy(w->sack, v.rows, w->ack.nr_sack_bytes);
	} else {
		w->reason = v.u.close.reason;
	}
}

static enum hs_ship_verdict op_slice(void *ctx, uint32_t connection,
				     const struct hs_wire_slice *head,
				     const struct hs_ship_span *spans,
				     uint32_t nr_spans)
{
	struct wide *w = ctx;

	w->nr_slices++;
	w->nr_spans = nr_spans;
	return HS_SHIP_TAKEN;
}

static void op_release(void *ctx, void *handle)
{
	free(handle);
}

static void op_up(void *ctx, uint32_t connection, uint64_t node)
{
}

static void op_down(void *ctx, uint32_t connection, const char *why)
{
}

static const struct hs_ship_receiver_ops ops = {op_send_frame, op_slice,
						op_release, op_up, op_down};

static bool takes(struct hs_ship_receiver_config c)
{
	void *memory = sim_zalloc(1, hs_ship_receiver_size(&c));
	bool taken = hs_ship_receiver_create(memory, &c, &ops, NULL, 1, 1);

	free(memory);
	return taken;
}

#define IS(config, field, number, taken)                                       \
	do {                                                                   \
		struct hs_ship_receiver_config c_ = (config);                  \
                                                                               \
		c_.field = (number);                                           \
		if (takes(c_) != (taken))                                      \
			sim_fail(s, RECEIVING "with " #field " %u",            \
				 (unsigned)(number));                          \
	} while (0)

static void shapes(struct sim *s)
{
	const struct hs_ship_receiver_config few = {
		.frame_bytes = 600,
		.nr_connections = 1,
		.nr_frames = 8,
		.nr_window = 8,
		.nr_least = 4,
		.nr_slices = 2,
	};

	IS(few, frame_bytes, HS_SHIP_FRAME_MIN_BYTES, true);
	IS(few, frame_bytes, HS_SHIP_FRAME_MIN_BYTES - 1, false);
	IS(few, frame_bytes, HS_SHIP_FRAME_MAX_BYTES, true);
	IS(few, frame_bytes, HS_SHIP_FRAME_MAX_BYTES + 1, false);
	IS(few, nr_connections, 0, false);
	IS(few, nr_window, 12, false);
	IS(few, nr_slices, 3, false);
	IS(few, nr_slices, 1, true);
	IS(few, nr_least, 1, false);
	IS(few, nr_least, 2, true);
	IS(few, nr_least, 8, true);
	IS(few, nr_least, 9, false);
	IS(few, nr_window, 4, true);
	IS(few, nr_frames, 4, true);
	IS(few, nr_frames, 3, false);
}

/* What is not said is so; and no more memory is asked for than is used. */
static void defaults(struct sim *s)
{
	const struct hs_ship_receiver_config config = {
		.frame_bytes = 600, .nr_connections = 2, .nr_frames = 4096};
	size_t bytes = hs_ship_receiver_size(&config), begin;
	struct hs_ship_receiver *r;
	void *memory = sim_zalloc(1, bytes);

	r = hs_ship_receiver_create(memory, &config, &ops, NULL, 1, 1);
	if (!r || r->config.nr_window != 1024 || r->config.nr_least != 64 ||
	    r->config.nr_slices != 8192 || r->config.idle_ns != 10 * SIM_S) {
		sim_fail(s, RECEIVING "other defaults");
	} else {
		begin = (size_t)((uint8_t *)r->connections - (uint8_t *)memory);
		if (begin % 64 || begin < sizeof(*r) ||
		    begin >= sizeof(*r) + 64 ||
		    (void *)(r->connections + 2) != r->slots ||
		    (void *)(r->slots + 2048) != r->settles ||
		    (void *)(r->settles + 2 * 8192) !=
			    (uint8_t *)memory + bytes)
			sim_fail(s, RECEIVING "other memory");
	}
	free(memory);
}

static void says(struct wide *w, void *frame, uint32_t bytes)
{
	const struct hs_ship_address from = {{1}};

	hs_ship_receiver_frame(w->core, &from, frame, frame, bytes, SIM_S);
}

static void begin(struct wide *w, struct sim *s, uint32_t frames)
{
	struct hs_ship_open open = {.node = 1,
				    .version_min = 1,
				    .version_max = 1,
				    .frame_bytes = HS_SHIP_FRAME_MAX_BYTES,
				    .nonce = 2};
	void *frame =
		sim_zalloc(1, sizeof(struct hs_ship_header) + sizeof(open));

	*w = (struct wide){.s = s};
	w->config = (struct hs_ship_receiver_config){
		.frame_bytes = HS_SHIP_FRAME_MAX_BYTES,
		.nr_connections = 1,
		.nr_frames = frames,
		.nr_window = frames,
		.nr_least = frames,
		.nr_slices = 2};
	w->memory = sim_zalloc(1, hs_ship_receiver_size(&w->config));
	w->core = hs_ship_receiver_create(w->memory, &w->config, &ops, w, 1, 1);
	if (!w->core) {
		sim_fail(s, RECEIVING "a wide one is refused");
		free(frame);
		return;
	}
	says(w, frame,
	     hs_ship_frame_small(NULL, frame, HS_SHIP_OPEN, 0, 1, &open,
				 sizeof(open)));
}

static void end(struct wide *w)
{
	if (w->core)
		hs_ship_receiver_close(w->core);
	free(w->memory);
}

/* Pieces of a byte of one slice. */
static void pieces(struct wide *w, uint64_t nr, uint32_t from, uint32_t upto,
		   uint32_t length)
{
	static const uint8_t zeros[2 * RECEIVER_SPANS_MAX];
	struct hs_ship_header h = {
		.type = HS_SHIP_DATA, .to = w->id, .from = 1};
	struct hs_ship_data d = {.frame = nr,
				 .tx = ++w->tx,
				 .nr_parts = (uint16_t)(upto - from)};
	struct hs_wire_slice head = {.length_bytes = length,
				     .crc = hs_crc32c(0, zeros, length)};
	uint8_t *frame = sim_zalloc(1, 2048);
	uint32_t at = sizeof(h) + sizeof(d);
	struct hs_ship_span rest;

	memcpy(frame, &h, sizeof(h));
	memcpy(frame + sizeof(h), &d, sizeof(d));
	for (uint32_t i = from; i < upto; i++) {
		struct hs_ship_part part = {0, i, 1};

		memcpy(frame + at, &part, sizeof(part));
		at += (uint32_t)sizeof(part);
	}
	if (!from) {
		memcpy(frame + at, &head, sizeof(head));
		at += (uint32_t)sizeof(head);
	}
	rest = (struct hs_ship_span){frame + at, upto - from};
	hs_ship_frame_seal(NULL, frame, at, &rest, 1);
	says(w, frame, at + upto - from);
}

/* The last that an ACK can name, and the first that it cannot. */
static void acks(struct sim *s)
{
	static const uint32_t frames[] = {1, 1023, 1024, 2047};
	struct wide w;

	begin(&w, s, WIDE);
	for (uint32_t i = 0; i < 4 && !s->failed; i++)
		pieces(&w, frames[i], i, i + 1, 4);
	if (!s->failed)
		hs_ship_receiver_run(w.core, SIM_S);
	if (!s->failed &&
	    (w.ack.nr_sack_bytes != HS_SHIP_SACK_BYTES || w.sack[0] != 2 ||
	     w.sack[1] || w.sack[126] || w.sack[127] != 0x80))
		sim_fail(s, RECEIVING "an ACK of many frames");
	end(&w);
}

/* As many pieces as a slice may have, and one more. */
static void spans(struct sim *s)
{
	for (uint32_t more = 0; more < 2 && !s->failed; more++) {
		uint32_t all = RECEIVER_SPANS_MAX + more;
		struct wide w;

		begin(&w, s, 128);
		for (uint32_t i = 0; i < all && !s->failed; i += 32)
			pieces(&w, i / 32, i, all < i + 32 ? all : i + 32, all);
		if (w.nr_slices != !more || (!more && w.nr_spans != all) ||
		    w.reason != (more ? HS_SHIP_MISBEHAVED : 0))
			sim_fail(s, RECEIVING "a slice in %u pieces", all);
		end(&w);
	}
}

void receiving_limits(struct sim *s)
{
	shapes(s);
	defaults(s);
	acks(s);
	spans(s);
}
