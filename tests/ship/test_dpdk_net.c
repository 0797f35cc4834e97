/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_dpdk_net.c - two ends of a wire that is this file: who is where, and
 * datagrams, over both families
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/icmp6.h>

#include "tests/ship/packet.h"

#define ROOM 2048u
#define V4_A "192.0.2.1:7431"
#define V4_B "192.0.2.2:7430"
#define V6_A "[2001:db8::a]:7431"
#define V6_B "[2001:db8::1234:5678]:7430"

/* Within a packet of IPv6. */
#define HOPS_AT	  21
#define SOURCE_AT 22
#define DEST_AT	  38
#define ICMP_AT	  54
#define TARGET_AT 62
#define OPTION_AT 78

struct world {
	struct hs_dpdk_net a, b;
	struct rte_mbuf m, more;
	uint8_t room[ROOM], more_room[ROOM];
};

static void end_make(struct hs_dpdk_net *net, const char *address, uint8_t mac)
{
	assert_true(hs_ship_place_parse(address, &net->own));
	net->mac = (struct rte_ether_addr){{2, 0, 0, 0, 0, mac}};
	net->dscp = 8;
}

static void begin(struct world *w, const char *a, const char *b)
{
	memset(w, 0, sizeof(*w));
	end_make(&w->a, a, 0xa);
	end_make(&w->b, b, 0xb);
	packet_make(&w->m, w->room, ROOM, 0);
}

static bool knows(struct hs_dpdk_net *net, const struct hs_dpdk_net *whom)
{
	struct hs_dpdk_neighbour *n =
		hs_dpdk_neighbour_find(net, &whom->own.ip);

	return n && n->known && rte_is_same_ether_addr(&n->mac, &whom->mac);
}

/* The question as it stands in w->m, for b. */
static void ask(struct world *w)
{
	assert_non_null(hs_dpdk_neighbour(&w->a, &w->b.own.ip));
	packet_make(&w->m, w->room, ROOM, 0);
	hs_dpdk_ask(&w->a, &w->m, &w->b.own.ip);
}

static void found(const char *a, const char *b)
{
	struct world w;

	begin(&w, a, b);
	ask(&w);
	assert_true(hs_dpdk_take(&w.b, &w.m));
	assert_true(knows(&w.b, &w.a));
	assert_false(knows(&w.a, &w.b));
	assert_false(hs_dpdk_take(&w.a, &w.m));
	assert_true(knows(&w.a, &w.b));
	/* For another address: nothing. */
	begin(&w, a, b);
	ask(&w);
	w.b.own.ip.bytes[15]++;
	assert_false(hs_dpdk_take(&w.b, &w.m));
	assert_int_equal(w.b.nr_neighbours, 0);
}

static void test_found(void **state)
{
	(void)state;
	found(V4_A, V4_B);
	found(V6_A, V6_B);
}

/* What goes on the wire, byte for byte: RFC 4861, 4.3. */
static void test_solicitation(void **state)
{
	static const uint8_t expect[] = {
		0x33, 0x33, 0xff, 0x34, 0x56, 0x78, 2, 0, 0, 0, 0, 0xa, 0x86,
		0xdd, 0x60, 0, 0, 0, 0, 32, 58, 255,
		/* from 2001:db8::a to ff02::1:ff34:5678 */
		0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xa, 0xff,
		2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0x34, 0x56, 0x78, 135,
		0};
	struct rte_ether_addr group;
	struct world w;

	(void)state;
	begin(&w, V6_A, V6_B);
	ask(&w);
	assert_int_equal(w.m.data_len, 86);
	assert_memory_equal(w.room, expect, sizeof(expect));
	hs_dpdk_ip6_group(&w.b, &group);
	assert_memory_equal(&group, expect, sizeof(group));
}

/* A datagram of a to b whose bytes lie in two pieces. */
static void datagram(struct world *w, uint32_t first, uint32_t second)
{
	struct hs_dpdk_neighbour *n = hs_dpdk_neighbour(&w->a, &w->b.own.ip);
	uint32_t head = hs_dpdk_headers_bytes(&w->a);

	n->mac = w->b.mac;
	hs_dpdk_headers(&w->a, w->room, n, w->b.own.port, first + second);
	packet_make(&w->m, w->room, ROOM, head + first);
	packet_make(&w->more, w->more_room, ROOM, second);
	for (uint32_t i = 0; i < first; i++)
		w->room[head + i] = (uint8_t)(i * 7 + 1);
	for (uint32_t i = 0; i < second; i++)
		w->more_room[i] = (uint8_t)(i * 5 + 3);
	w->m.next = &w->more;
	w->m.nb_segs = 2;
	w->m.pkt_len += second;
	hs_dpdk_sum(&w->a, &w->m);
}

static uint32_t payload(struct world *w, uint32_t *bytes)
{
	struct hs_ship_address from;
	struct hs_ship_place place;
	uint32_t offset = hs_dpdk_payload(&w->b, &w->m, bytes, &from);

	if (offset) {
		memcpy(&place, &from, sizeof(place));
		assert_memory_equal(&place, &w->a.own, sizeof(place));
	}
	return offset;
}

static void test_datagrams(void **state)
{
	struct world w;
	uint32_t bytes;

	(void)state;
	for (uint32_t i = 0; i < 2; i++) {
		begin(&w, i ? V6_A : V4_A, i ? V6_B : V4_B);
		for (uint32_t first = 0; first < 40; first += 3) {
			datagram(&w, first, 701);
			assert_int_equal(payload(&w, &bytes),
					 hs_dpdk_headers_bytes(&w.a));
			assert_int_equal(bytes, first + 701);
		}
		w.b.own.port++;
		assert_int_equal(payload(&w, &bytes), 0);
	}
}

/* Whichever bit is bent, the packet is none; but for those that any router may
 * change. */
static void test_bent(void **state)
{
	struct world w;
	uint32_t bytes;

	(void)state;
	begin(&w, V6_A, V6_B);
	datagram(&w, 32, 100);
	for (uint32_t bit = 12 * 8; bit < (62 + 32 + 100) * 8u; bit++) {
		uint8_t *at = bit / 8 < 94 ? &w.room[bit / 8]
					   : &w.more_room[bit / 8 - 94];

		if (bit / 8 == HOPS_AT || bit / 8 - 15 < 3 ||
		    (bit / 8 == 14 && bit % 8 < 4))
			continue;
		*at ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(payload(&w, &bytes), 0);
		*at ^= (uint8_t)(1u << bit % 8);
	}
	assert_int_not_equal(payload(&w, &bytes), 0);
	/* Cut off, or with something behind it that is not its own. */
	w.m.pkt_len--;
	assert_int_equal(payload(&w, &bytes), 0);
	w.m.pkt_len += 10;
	w.more.data_len += 9;
	assert_int_not_equal(payload(&w, &bytes), 0);
	assert_int_equal(bytes, 132);
}

static void test_device_sums(void **state)
{
	struct rte_udp_hdr *udp;
	struct world w;
	uint16_t whole;
	uint32_t bytes;

	(void)state;
	begin(&w, V6_A, V6_B);
	datagram(&w, 31, 100);
	udp = (struct rte_udp_hdr *)(w.room + 54);
	whole = udp->dgram_cksum;
	w.a.device_sums = true;
	datagram(&w, 31, 100);
	assert_int_equal(w.m.ol_flags,
			 RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_UDP_CKSUM);
	assert_int_equal(w.m.l2_len, 14);
	assert_int_equal(w.m.l3_len, 40);
	/* As a kernel on this machine leaves it, and takes it. */
	w.m.ol_flags = 0;
	assert_int_not_equal(payload(&w, &bytes), 0);
	/* The device adds up from UDP's header on, what stands there too. */
	assert_int_equal(rte_raw_cksum_mbuf(&w.m, 54, 8 + 131, &whole), 0);
	udp->dgram_cksum = (uint16_t)~whole;
	w.a.device_sums = false;
	datagram(&w, 31, 100);
	assert_int_equal(udp->dgram_cksum, (uint16_t)~whole);
	/* What the port says of one that came. */
	w.m.ol_flags = RTE_MBUF_F_RX_L4_CKSUM_BAD;
	assert_int_equal(payload(&w, &bytes), 0);
	udp->dgram_cksum ^= 1;
	w.m.ol_flags = RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	assert_int_not_equal(payload(&w, &bytes), 0);
	udp->dgram_cksum = 0;
	assert_int_equal(payload(&w, &bytes), 0);
}

struct bend {
	const char *what;
	uint32_t at;
	uint8_t value;
};

/* One byte of a good question or answer is another, its sum right again. */
static bool bent_take(struct world *w, bool answer, const struct bend *bend)
{
	begin(w, V6_A, V6_B);
	ask(w);
	if (answer)
		assert_true(hs_dpdk_take(&w->b, &w->m));
	w->room[bend->at] = bend->value;
	packet_sum(&w->m, 2);
	return hs_dpdk_take(answer ? &w->a : &w->b, &w->m);
}

static void test_solicitations_refused(void **state)
{
	static const struct bend bends[] = {
		{"from beyond a router", HOPS_AT, 254},
		{"of another code", ICMP_AT + 1, 1},
		{"for another", TARGET_AT + 15, 0x79},
		{"for a group", TARGET_AT, 0xff},
		{"to another group", DEST_AT + 15, 0x79},
		{"from a group", SOURCE_AT, 0xff},
		{"an option without length", OPTION_AT + 1, 0},
		{"an option that ends elsewhere", OPTION_AT + 1, 2},
		{"another version", 14, 0x50},
		{"another type", ICMP_AT, 133},
	};
	struct world w;

	(void)state;
	for (size_t i = 0; i < sizeof(bends) / sizeof(bends[0]); i++) {
		print_message("%s\n", bends[i].what);
		assert_false(bent_take(&w, false, &bends[i]));
		assert_int_equal(w.b.nr_neighbours, 0);
	}
	/* Cut short within its option, and within itself. */
	for (uint32_t cut = 1; cut < 32; cut++) {
		begin(&w, V6_A, V6_B);
		ask(&w);
		w.m.data_len = (uint16_t)(w.m.data_len - cut);
		w.m.pkt_len = w.m.data_len;
		w.room[19] = (uint8_t)(32 - cut);
		packet_sum(&w.m, 2);
		/* Without the option there is nobody to remember. */
		assert_int_equal(hs_dpdk_take(&w.b, &w.m), cut == 8);
		assert_int_equal(w.b.nr_neighbours, 0);
	}
	begin(&w, V6_A, V6_B);
	ask(&w);
	w.room[ICMP_AT + 2] ^= 1;
	assert_false(hs_dpdk_take(&w.b, &w.m));
}

static void test_advertisements_refused(void **state)
{
	static const struct bend bends[] = {
		{"from beyond a router", HOPS_AT, 254},
		{"of another code", ICMP_AT + 1, 1},
		{"of whom nobody asked for", TARGET_AT + 15, 0x79},
		{"to another", DEST_AT + 15, 0xb},
		{"an answer to all", DEST_AT, 0xff},
		{"an option without length", OPTION_AT + 1, 0},
		{"an option that ends elsewhere", OPTION_AT + 1, 2},
		{"without the option", OPTION_AT, 14},
		{"who is a group", OPTION_AT + 2, 3},
	};
	struct world w;

	(void)state;
	for (size_t i = 0; i < sizeof(bends) / sizeof(bends[0]); i++) {
		print_message("%s\n", bends[i].what);
		assert_false(bent_take(&w, true, &bends[i]));
		assert_false(knows(&w.a, &w.b));
		assert_int_equal(w.a.nr_neighbours, 1);
	}
}

/* Another device has the address now: only who overrides is believed. */
static void test_moved(void **state)
{
	struct hs_dpdk_neighbour *n;
	struct world w;

	(void)state;
	for (uint32_t override = 0; override < 2; override++) {
		begin(&w, V6_A, V6_B);
		ask(&w);
		n = hs_dpdk_neighbour_find(&w.a, &w.b.own.ip);
		n->known = true;
		n->mac.addr_bytes[0] = 4;
		assert_true(hs_dpdk_take(&w.b, &w.m));
		w.room[ICMP_AT + 4] = override ? 0x60 : 0x40;
		packet_sum(&w.m, 2);
		assert_false(hs_dpdk_take(&w.a, &w.m));
		assert_int_equal(knows(&w.a, &w.b), override);
		n->fixed = true;
		n->mac.addr_bytes[0] = 4;
		assert_false(hs_dpdk_take(&w.a, &w.m));
		assert_false(knows(&w.a, &w.b));
	}
}

/* Somebody wants to know whether the address is free. */
static void test_duplicate(void **state)
{
	struct world w;

	(void)state;
	begin(&w, V6_A, V6_B);
	ask(&w);
	memset(w.room + SOURCE_AT, 0, 16);
	packet_sum(&w.m, 2);
	/* Who has no address yet does not say where it is. */
	assert_false(hs_dpdk_take(&w.b, &w.m));
	w.m.data_len = 78;
	w.m.pkt_len = 78;
	w.room[19] = 24;
	packet_sum(&w.m, 2);
	assert_true(hs_dpdk_take(&w.b, &w.m));
	assert_int_equal(w.b.nr_neighbours, 0);
	assert_memory_equal(w.room, "\x33\x33\0\0\0\1", 6);
	assert_int_equal(w.room[DEST_AT + 15], 1);
	assert_int_equal(w.room[ICMP_AT + 4], 0x20);
}

static void test_echo(void **state)
{
	struct world w;
	uint8_t bytes[56];

	(void)state;
	begin(&w, V6_A, V6_B);
	ask(&w);
	memcpy(w.room + DEST_AT, &w.b.own.ip, 16);
	w.room[19] = 8 + sizeof(bytes);
	w.room[HOPS_AT] = 3;
	w.room[ICMP_AT] = ICMP6_ECHO_REQUEST;
	memset(bytes, 0x5a, sizeof(bytes));
	memcpy(w.room + ICMP_AT + 8, bytes, sizeof(bytes));
	w.m.data_len = 54 + 8 + sizeof(bytes);
	w.m.pkt_len = w.m.data_len;
	packet_sum(&w.m, 2);
	assert_true(hs_dpdk_take(&w.b, &w.m));
	assert_int_equal(w.room[ICMP_AT], ICMP6_ECHO_REPLY);
	assert_memory_equal(w.room, &w.a.mac, 6);
	assert_memory_equal(w.room + DEST_AT, &w.a.own.ip, 16);
	assert_memory_equal(w.room + ICMP_AT + 8, bytes, sizeof(bytes));
	/* It is an answer, which nobody answers. */
	assert_false(hs_dpdk_take(&w.a, &w.m));
}

/* However many names somebody asks for us under, whom we ask is found. */
static void test_crowd(void **state)
{
	struct hs_dpdk_neighbour *fixed;
	struct hs_ship_ip far;
	struct world w;

	(void)state;
	begin(&w, V6_A, V6_B);
	assert_true(hs_ship_ip_parse("2001:db8::f", &far));
	fixed = hs_dpdk_neighbour(&w.b, &far);
	fixed->known = fixed->fixed = true;
	for (uint32_t i = 0; i < 1000; i++) {
		memcpy(w.a.own.ip.bytes + 10, &i, sizeof(i));
		ask(&w);
		assert_true(hs_dpdk_take(&w.b, &w.m));
		assert_true(knows(&w.b, &w.a));
	}
	assert_int_equal(w.b.nr_neighbours, HS_DPDK_NEIGHBOURS_MAX);
	assert_ptr_equal(hs_dpdk_neighbour_find(&w.b, &far), fixed);
	assert_true(fixed->fixed);
}

/* Nor do they push out anybody to whom frames go, or who was asked for; who
 * does not answer goes before those do. */
static void in_use(const char *a, const char *b)
{
	struct hs_ship_ip used[HS_DPDK_NEIGHBOURS_MAX - 1];
	struct hs_dpdk_neighbour *n;
	struct world w;
	uint32_t at = 0;

	begin(&w, a, b);
	memset(used, 0, sizeof(used));
	for (uint32_t i = 0; i < HS_DPDK_NEIGHBOURS_MAX - 1; i++) {
		used[i] = w.b.own.ip;
		used[i].bytes[13] = 1;
		used[i].bytes[14] = (uint8_t)(i >> 8);
		used[i].bytes[15] = (uint8_t)i;
		n = hs_dpdk_neighbour(&w.b, &used[i]);
		n->mac.addr_bytes[5] = (uint8_t)i;
		/* The last one is still being asked for. */
		n->known = i < HS_DPDK_NEIGHBOURS_MAX - 2;
		n->fixed = i == 2;
	}
	for (uint32_t i = 0; i < 1000; i++) {
		w.a.own.ip.bytes[13] = 9;
		w.a.own.ip.bytes[14] = (uint8_t)(i >> 8);
		w.a.own.ip.bytes[15] = (uint8_t)i;
		ask(&w);
		assert_true(hs_dpdk_take(&w.b, &w.m));
		assert_true(knows(&w.b, &w.a));
	}
	for (uint32_t i = 0; i < HS_DPDK_NEIGHBOURS_MAX - 1; i++) {
		n = hs_dpdk_neighbour_find(&w.b, &used[i]);
		assert_non_null(n);
		assert_int_equal(n->mac.addr_bytes[5], (uint8_t)i);
	}
	/* Frames to others: first the place of who only asked, then of who
	 * does not answer, then of who was left alone for longest, which is
	 * not who came first. */
	hs_dpdk_neighbour(&w.b, &used[0]);
	for (uint32_t i = 0; i < 3; i++) {
		struct hs_ship_ip ip = used[0];

		ip.bytes[13] = (uint8_t)(2 + i);
		n = hs_dpdk_neighbour(&w.b, &ip);
		assert_non_null(n);
		n->known = true;
		at += !hs_dpdk_neighbour_find(&w.b, &used[1]);
		assert_non_null(hs_dpdk_neighbour_find(&w.b, &used[0]));
		assert_int_equal(!hs_dpdk_neighbour_find(&w.b, &w.a.own.ip), 1);
		assert_int_equal(
			!hs_dpdk_neighbour_find(
				&w.b, &used[HS_DPDK_NEIGHBOURS_MAX - 2]),
			i >= 1);
		assert_int_equal(at, i == 2);
	}
	/* All are in use: who asks is answered, and not remembered. */
	ask(&w);
	assert_true(hs_dpdk_take(&w.b, &w.m));
	assert_null(hs_dpdk_neighbour_find(&w.b, &w.a.own.ip));
	/* To however many others frames go, who is fixed stays. */
	for (uint32_t i = 0; i < 1000; i++) {
		struct hs_ship_ip ip = used[0];

		ip.bytes[13] = 7;
		ip.bytes[14] = (uint8_t)(i >> 8);
		ip.bytes[15] = (uint8_t)i;
		n = hs_dpdk_neighbour(&w.b, &ip);
		assert_non_null(n);
		n->known = true;
	}
	n = hs_dpdk_neighbour_find(&w.b, &used[2]);
	assert_non_null(n);
	assert_true(n->fixed);
}

static void test_in_use(void **state)
{
	(void)state;
	in_use(V4_A, V4_B);
	in_use(V6_A, V6_B);
}

static void test_addresses(void **state)
{
	static const char *const bad[] = {
		"here",
		"192.0.2.1",
		":7430",
		"192.0.2.1:0",
		"192.0.2.1:65536",
		"192.0.2.1:1x",
		"2001:db8::1",
		"[2001:db8::1]",
		"2001:db8::1:7430",
		"[ff02::1]:7430",
		"[::]:7430",
		"[::1]:7430",
		"[::ffff:192.0.2.1]:7430",
		"[2001:db8::1:7430",
		"[]:1",
	};
	struct hs_ship_place place;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		print_message("%s\n", bad[i]);
		assert_false(hs_ship_place_parse(bad[i], &place));
	}
	assert_true(hs_ship_place_parse("192.0.2.7:7430", &place));
	assert_true(hs_ship_ip_is_v4(&place.ip));
	assert_int_equal(hs_ship_ip_to_v4(&place.ip), inet_addr("192.0.2.7"));
	assert_true(hs_ship_place_parse("[fe80::1]:65535", &place));
	assert_false(hs_ship_ip_is_v4(&place.ip));
	assert_int_equal(place.port, 0xffff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_found),
		cmocka_unit_test(test_solicitation),
		cmocka_unit_test(test_datagrams),
		cmocka_unit_test(test_bent),
		cmocka_unit_test(test_device_sums),
		cmocka_unit_test(test_solicitations_refused),
		cmocka_unit_test(test_advertisements_refused),
		cmocka_unit_test(test_moved),
		cmocka_unit_test(test_duplicate),
		cmocka_unit_test(test_echo),
		cmocka_unit_test(test_crowd),
		cmocka_unit_test(test_in_use),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
