/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_udp.c - slices through real sockets, over both families
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/random.h"
#include "ship/inlet.h"
#include "ship/outlet.h"

#define POOL_BYTES (4u << 20)
#define SLICES	   3000u
#define FRAMES	   2048u

struct world {
	struct hs_ship_inlet *inlet;
	struct hs_ship_outlet *outlet;
	uint8_t *pool;
	uint64_t keys[SLICES]; /* to be settled */
	uint32_t nr_keys, connection;
	uint32_t nr_taken, nr_settled, nr_refused;
	bool up;
};

static uint32_t length_of(uint64_t key)
{
	return (uint32_t)(key * 7919 % 30000);
}

static uint64_t place_of(uint64_t key)
{
	return key * 104729 % (POOL_BYTES - 30000);
}

static enum hs_ship_verdict on_slice(void *ctx, uint32_t connection,
				     const struct hs_wire_slice *head,
				     const struct hs_ship_span *spans,
				     uint32_t nr_spans)
{
	struct world *w = ctx;
	const uint8_t *expect = w->pool + place_of(head->ship_key);

	assert_int_equal(head->ship_key, w->nr_taken);
	assert_int_equal(head->length_bytes, length_of(head->ship_key));
	for (uint32_t i = 0; i < nr_spans; i++) {
		assert_memory_equal(spans[i].data, expect, spans[i].bytes);
		expect += spans[i].bytes;
	}
	assert_int_equal(expect - w->pool - place_of(head->ship_key),
			 head->length_bytes);
	w->nr_taken++;
	if (head->ship_key % 100 == 99)
		return HS_SHIP_REFUSED;
	w->connection = connection;
	w->keys[w->nr_keys++] = head->ship_key;
	return HS_SHIP_TAKEN;
}

static void on_up(void *ctx, uint32_t connection, uint64_t node)
{
	assert_int_equal(node, 5);
}

static void on_down(void *ctx, uint32_t connection, const char *why)
{
}

static const void *out_bytes(void *ctx, const struct hs_ship_slice *slice)
{
	return ((struct world *)ctx)->pool + slice->where;
}

static void out_settled(void *ctx, const struct hs_ship_slice *slice,
			bool refused)
{
	struct world *w = ctx;

	assert_int_equal(slice->head.ship_key, w->nr_settled);
	assert_int_equal(refused, slice->head.ship_key % 100 == 99);
	w->nr_settled++;
	w->nr_refused += refused;
}

static void out_up(void *ctx, uint32_t nr, uint64_t node)
{
	assert_int_equal(node, 9);
	((struct world *)ctx)->up = true;
}

static void out_down(void *ctx, uint32_t nr, const char *why)
{
	fail_msg("the connection went down: %s", why);
}

static const struct hs_ship_inlet_ops inlet_ops = {on_slice, on_up, on_down};
static const struct hs_ship_outlet_ops outlet_ops = {out_bytes, out_settled,
						     out_up, out_down};

static void begin(struct world *w, const char *bind, bool offload)
{
	const struct hs_ship_receiver_config receiver = {
		.node = 9,
		.frame_bytes = HS_SHIP_FRAME_MAX_BYTES,
		.nr_connections = 4,
		.nr_frames = FRAMES};
	const struct hs_ship_outlet_config sender = {.sender = {.node = 5}};
	struct hs_ship_udp_config config = {.bind = bind,
					    .nr_frames = FRAMES,
					    .buffer_bytes = 256 << 10,
					    .dscp = 8,
					    .no_offload = !offload};
	struct hs_random random;
	struct hs_ship_port *in, *out;
	char address[64];
	const char *why = "";

	memset(w, 0, sizeof(*w));
	w->pool = malloc(POOL_BYTES);
	assert_non_null(w->pool);
	hs_random_seed(&random, 1);
	hs_random_fill(&random, w->pool, POOL_BYTES);
	in = hs_ship_udp_create(&config, &why);
	out = hs_ship_udp_create(&config, &why);
	if (!in || !out)
		fail_msg("%s: %s", bind, why);
	snprintf(address, sizeof(address), "%.*s:%u",
		 (int)(strrchr(bind, ':') - bind), bind, hs_ship_udp_port(in));
	w->inlet = hs_ship_inlet_create(in, &receiver, &inlet_ops, w,
					hs_clock_mono_ns());
	w->outlet = hs_ship_outlet_create(out, &sender, &outlet_ops, w);
	assert_non_null(w->inlet);
	assert_non_null(w->outlet);
	assert_int_equal(hs_ship_outlet_dial(w->outlet, address,
					     hs_clock_mono_ns(), &why),
			 0);
}

static void step(struct world *w)
{
	uint32_t nr;

	hs_ship_outlet_run(w->outlet, hs_clock_mono_ns());
	hs_ship_inlet_run(w->inlet, 1000, &nr, hs_clock_mono_ns());
	for (uint32_t i = 0; i < w->nr_keys; i++)
		hs_ship_inlet_settle(w->inlet, w->connection, w->keys[i],
				     false);
	w->nr_keys = 0;
}

static void end(struct world *w)
{
	hs_ship_outlet_destroy(w->outlet);
	hs_ship_inlet_destroy(w->inlet);
	free(w->pool);
}

static void ship_all(const char *bind, bool offload)
{
	struct hs_ship_receiver_stats receiver;
	struct hs_ship_sender_stats sender;
	struct hs_ship_port_stats port;
	struct world w;
	uint32_t next = 0;

	begin(&w, bind, offload);
	while (w.nr_settled < SLICES) {
		while (w.up && next < SLICES) {
			struct hs_ship_slice slice = {
				.head = {.node = 5,
					 .ship_key = next,
					 .length_bytes = length_of(next)},
				.where = place_of(next)};

			if (hs_ship_outlet_add(w.outlet, 0, &slice))
				break;
			next++;
		}
		step(&w);
	}
	assert_int_equal(w.nr_taken, SLICES);
	assert_int_equal(w.nr_refused, SLICES / 100);
	hs_ship_inlet_stats(w.inlet, &receiver, &port);
	assert_int_equal(receiver.frames_bad, 0);
	assert_int_equal(receiver.slices, SLICES);
	hs_ship_outlet_stats(w.outlet, 0, &sender, &port);
	assert_int_equal(sender.slices_settled, SLICES);
	assert_int_equal(port.bytes_copied_in, port.bytes_received);
	assert_int_equal(port.bytes_copied, 0);
	assert_int_equal(port.refused, 0);
	print_message("%s: %llu frames, %llu again, %llu system calls\n", bind,
		      (unsigned long long)sender.frames_sent,
		      (unsigned long long)sender.frames_resent,
		      (unsigned long long)port.system_calls);
	end(&w);
}

static void test_v4(void **state)
{
	(void)state;
	ship_all("127.0.0.1:0", true);
}

static void test_v4_one_by_one(void **state)
{
	(void)state;
	ship_all("127.0.0.1:0", false);
}

static void test_v6(void **state)
{
	(void)state;
	ship_all("[::1]:0", true);
}

static void test_bad_addresses(void **state)
{
	struct hs_ship_udp_config config = {.bind = "127.0.0.1:0"};
	struct hs_ship_address to;
	struct hs_ship_port *p;
	uint32_t frame_bytes;
	const char *why = NULL;

	(void)state;
	p = hs_ship_udp_create(&config, &why);
	assert_non_null(p);
	assert_int_equal(
		p->ops->resolve(p, "127.0.0.1", &to, &frame_bytes, &why),
		-EINVAL);
	assert_string_equal(why, "should be host:port, or [v6-address]:port");
	assert_int_equal(p->ops->resolve(p, "[::1]:7", &to, &frame_bytes, &why),
			 -EADDRNOTAVAIL);
	assert_int_equal(
		p->ops->resolve(p, "127.0.0.1:7", &to, &frame_bytes, &why), 0);
	assert_int_equal(frame_bytes, HS_SHIP_FRAME_MAX_BYTES);
	p->ops->destroy(p);
	config.bind = "nowhere";
	assert_null(hs_ship_udp_create(&config, &why));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_v4),
		cmocka_unit_test(test_v4_one_by_one),
		cmocka_unit_test(test_v6),
		cmocka_unit_test(test_bad_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
