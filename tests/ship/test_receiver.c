/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_receiver.c - a collector's end of shipping, frame by frame
 *
 * Who gets frames when they run short; what is a slice's. What comes of
 * everything else at a receiver alone, the simulator's bout of one asks
 * (tests/sim/bout_receiver.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/crc32c.h"
#include "ship/proto_receive.h"

#define MS    1000000ull
#define LEAST 4u

struct world {
	struct hs_ship_receiver *r;
	void *memory;
	uint64_t now_ns;
	/* What it said last, to agent number 1 to 9. */
	uint8_t said[10];
	uint64_t id[10], credit[10];
	uint32_t reason[10];
	uint32_t nr_up, nr_down;
	uint32_t nr_slices, slice_bytes; /* given so far; of the last */
};

static void op_send_frame(void *ctx, const struct hs_ship_address *to,
			  const void *frame, uint32_t frame_bytes)
{
	struct world *w = ctx;
	uint32_t agent = to->bytes[0];
	struct hs_ship_view v;
	const char *why = "";

	assert_int_equal(hs_ship_frame_parse(&v, frame, frame_bytes, &why), 0);
	assert_int_equal(v.header.to, agent);
	w->said[agent] = v.header.type;
	if (v.header.type == HS_SHIP_ACCEPT) {
		w->id[agent] = v.header.from;
		w->credit[agent] = v.u.accept.credit;
	} else if (v.header.type == HS_SHIP_ACK) {
		w->credit[agent] = v.u.ack.credit;
	} else {
		w->reason[agent] = v.u.close.reason;
	}
}

static enum hs_ship_verdict op_slice(void *ctx, uint32_t connection,
				     const struct hs_wire_slice *head,
				     const struct hs_ship_span *spans,
				     uint32_t nr_spans)
{
	struct world *w = ctx;

	w->nr_slices++;
	w->slice_bytes = 0;
	for (uint32_t i = 0; i < nr_spans; i++)
		w->slice_bytes += spans[i].bytes;
	assert_int_equal(w->slice_bytes, head->length_bytes);
	return HS_SHIP_TAKEN;
}

static void op_release(void *ctx, void *handle)
{
}

static void op_up(void *ctx, uint32_t connection, uint64_t node)
{
	((struct world *)ctx)->nr_up++;
}

static void op_down(void *ctx, uint32_t connection, const char *why)
{
	((struct world *)ctx)->nr_down++;
}

static const struct hs_ship_receiver_ops ops = {op_send_frame, op_slice,
						op_release, op_up, op_down};

/* Room for so many agents with the least; places for more. */
static void start(struct world *w, uint32_t nr_leasts)
{
	const struct hs_ship_receiver_config config = {
		.node = 99,
		.frame_bytes = HS_SHIP_FRAME_MIN_BYTES,
		.nr_connections = 9,
		.nr_frames = nr_leasts * LEAST,
		.nr_window = 64,
		.nr_least = LEAST,
		.nr_slices = 8,
	};

	*w = (struct world){.now_ns = 1000 * MS};
	w->memory = calloc(1, hs_ship_receiver_size(&config));
	assert_non_null(w->memory);
	w->r = hs_ship_receiver_create(w->memory, &config, &ops, w, 5,
				       w->now_ns);
	assert_non_null(w->r);
}

static void end(struct world *w)
{
	const char *why = "";

	if (!hs_ship_receiver_check(w->r, &why))
		fail_msg("%s", why);
	free(w->memory);
}

static void says(struct world *w, uint32_t agent, uint8_t type,
		 const void *body, uint32_t bytes)
{
	const struct hs_ship_address from = {{(uint8_t)agent}};
	uint8_t frame[256];
	uint64_t to = type == HS_SHIP_OPEN ? 0 : w->id[agent];

	bytes = hs_ship_frame_small(NULL, frame, type, to, agent, body, bytes);
	w->said[agent] = 0;
	w->now_ns += MS;
	hs_ship_receiver_frame(w->r, &from, w, frame, bytes, w->now_ns);
}

static void opens(struct world *w, uint32_t agent)
{
	const struct hs_ship_open open = {
		.node = agent,
		.version_min = HS_SHIP_VERSION,
		.version_max = HS_SHIP_VERSION,
		.frame_bytes = HS_SHIP_FRAME_MIN_BYTES,
		.nonce = 100 + agent,
	};

	says(w, agent, HS_SHIP_OPEN, &open, sizeof(open));
}

/* A question, by which it is up. */
static void asks(struct world *w, uint32_t agent)
{
	const struct hs_ship_data ask = {.tx = 1, .sent_ns = w->now_ns};

	says(w, agent, HS_SHIP_DATA, &ask, sizeof(ask));
}

/* Who has the last of the frames without having come up loses them to the next
 * one, the oldest first; who asks again for what it has loses nothing. */
static void test_embryos_give_way(void **state)
{
	struct world w;

	(void)state;
	start(&w, 3);
	for (uint32_t i = 1; i <= 3; i++) {
		opens(&w, i);
		assert_int_equal(w.said[i], HS_SHIP_ACCEPT);
	}
	asks(&w, 2);
	assert_int_equal(w.nr_up, 1);
	opens(&w, 1);
	opens(&w, 4); /* the frames of 3, which was heard last before 1 */
	assert_int_equal(w.said[4], HS_SHIP_ACCEPT);
	assert_int_equal(w.credit[4], LEAST);
	asks(&w, 3);
	assert_int_equal(w.said[3], HS_SHIP_CLOSE);
	assert_int_equal(w.reason[3], HS_SHIP_NO_CONNECTION);
	asks(&w, 1);
	asks(&w, 4);
	assert_int_equal(w.nr_up, 3);
	/* All of them are up now, with what is theirs. */
	opens(&w, 5);
	assert_int_equal(w.said[5], HS_SHIP_CLOSE);
	assert_int_equal(w.reason[5], HS_SHIP_FULL);
	assert_int_equal(w.nr_down, 0);
	end(&w);
}

/* As long as somebody only claims to be there, nobody who is there is sent
 * away for what it has too much. */
static void test_embryos_before_idle(void **state)
{
	struct world w;

	(void)state;
	start(&w, 8);
	opens(&w, 1);
	asks(&w, 1);
	hs_ship_receiver_run(w.r, w.now_ns);
	assert_in_range(w.credit[1], 2 * LEAST, 8 * LEAST);
	for (uint32_t i = 2; w.nr_down == 0 && i <= 9; i++) {
		opens(&w, i);
		assert_int_equal(w.said[i], HS_SHIP_ACCEPT);
	}
	assert_int_equal(w.nr_down, 0);
	asks(&w, 9);
	opens(&w, 8);
	assert_int_equal(w.said[8], HS_SHIP_ACCEPT);
	asks(&w, 8);
	opens(&w, 7);
	/* Nobody but those who are up: the first has too much. */
	assert_int_equal(w.said[7], HS_SHIP_ACCEPT);
	assert_int_equal(w.nr_down, 1);
	assert_int_equal(w.reason[1], HS_SHIP_FULL);
	end(&w);
}

/* Behind the end of a slice a frame has more of it, and the sum is of all that:
 * who takes slices into room for the longest must not get more. */
static void test_bytes_behind_the_end(void **state)
{
	static const uint8_t bytes[13] = {1, 2, 3, 4, 5, 6, 7,
					  8, 9, 1, 2, 3, 4};
	struct {
		struct hs_ship_data data;
		struct hs_ship_part parts[2];
		struct hs_wire_slice head;
	} body = {
		.data = {.tx = 1, .nr_parts = 2},
		.parts = {{0, 0, 8}, {0, 8, 5}},
		.head = {.length_bytes = 8},
	};
	const struct hs_ship_span rest = {bytes, sizeof(bytes)};
	const struct hs_ship_address from = {{1}};
	uint8_t frame[sizeof(struct hs_ship_header) + sizeof(body) +
		      sizeof(bytes)];
	struct world w;

	(void)state;
	start(&w, 3);
	opens(&w, 1);
	for (uint32_t i = 0; i < 2; i++) {
		struct hs_ship_header h = {
			.type = HS_SHIP_DATA, .to = w.id[1], .from = 1};
		uint32_t head_bytes = (uint32_t)(sizeof(h) + sizeof(body));

		body.data.epoch = i;
		body.head.crc = hs_crc32c(0, bytes, i ? 8 : sizeof(bytes));
		memcpy(frame, &h, sizeof(h));
		memcpy(frame + sizeof(h), &body, sizeof(body));
		memcpy(frame + head_bytes, bytes, sizeof(bytes));
		hs_ship_frame_seal(NULL, frame, head_bytes, &rest, 1);
		hs_ship_receiver_frame(w.r, &from, &w, frame, sizeof(frame),
				       w.now_ns);
		/* Asked anew, since 8 bytes are not what was summed. */
		assert_int_equal(w.nr_slices, i);
	}
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_embryos_give_way),
		cmocka_unit_test(test_embryos_before_idle),
		cmocka_unit_test(test_bytes_behind_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
