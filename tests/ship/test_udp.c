/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_udp.c - slices through real sockets, over both families
 */
#include <errno.h>

#include "tests/ship/two_ends.h"

static void begin(struct ends *w, const char *bind, bool offload)
{
	struct hs_ship_udp_config config = {.bind = bind,
					    .nr_frames = FRAMES,
					    .buffer_bytes = 256 << 10,
					    .dscp = 8,
					    .no_offload = !offload};
	struct hs_ship_port *in, *out;
	const char *why = "";

	in = hs_ship_udp_create(&config, &why);
	out = hs_ship_udp_create(&config, &why);
	if (!in || !out)
		fail_msg("%s: %s", bind, why);
	ends_begin(w, bind, in, hs_ship_udp_port(in), out);
}

static void ship_all(const char *bind, bool offload)
{
	struct hs_ship_receiver_stats receiver;
	struct hs_ship_sender_stats sender;
	struct hs_ship_port_stats port;
	struct ends w;

	begin(&w, bind, offload);
	while (w.nr_settled < SLICES) {
		ends_add(&w);
		ends_step(&w);
		assert_int_equal(w.downs, 0);
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
	ends_end(&w);
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
