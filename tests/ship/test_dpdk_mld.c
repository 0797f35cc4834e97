/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_dpdk_mld.c - who asks which groups somebody listens to, and what is said
 * and when; queries are made here, byte for byte. That switches understand it
 * is shown by the kernel's (e2e/dpdk6/snooped).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "ship/dpdk_mld.h"
#include "tests/ship/packet.h"

#define ROOM 256u
#define HZ   1000000ull /* ticks are microseconds */
#define MS   1000ull
#define OWN  "[2001:db8::1234:5678]:7430"

/* Within a packet. */
#define LENGTH_AT   18
#define NEXT_AT	    20
#define HOPS_AT	    21
#define SOURCE_AT   22
#define DEST_AT	    38
#define EXT_AT	    54
#define ICMP_AT	    62
#define DELAY_AT    66
#define GROUP_AT    70
#define SOURCES_AT  88
#define QUERY_BYTES 90u

struct world {
	struct hs_dpdk_net net;
	struct hs_dpdk_mld mld;
	struct rte_mbuf m;
	uint8_t room[ROOM];
};

static void begin(struct world *w, const char *own)
{
	memset(w, 0, sizeof(*w));
	assert_true(hs_ship_place_parse(own, &w->net.own));
	w->net.mac = (struct rte_ether_addr){{2, 0, 0, 0, 0, 0xb}};
	w->mld.hz = HZ;
}

/* What is due, which goes out. */
static enum hs_dpdk_mld_kind said(struct hs_dpdk_mld *mld, uint64_t now,
				  uint64_t chance)
{
	enum hs_dpdk_mld_kind kind = hs_dpdk_mld_due(mld, now);

	if (kind)
		hs_dpdk_mld_said(mld, kind, now, chance);
	return kind;
}

/* The sum of what lies behind the options, as if they were not there. */
static uint16_t sum_of(struct world *w, uint32_t at)
{
	struct rte_ipv6_hdr ip;

	memcpy(&ip, w->room + 14, sizeof(ip));
	ip.proto = 58;
	ip.payload_len = rte_cpu_to_be_16((uint16_t)(w->m.data_len - at));
	return rte_ipv6_udptcp_cksum_mbuf(&w->m, &ip, (uint16_t)at);
}

static void sum_mend(struct world *w, uint32_t at)
{
	uint16_t sum = 0;

	memcpy(w->room + at + 2, &sum, sizeof(sum));
	sum = sum_of(w, at);
	memcpy(w->room + at + 2, &sum, sizeof(sum));
}

/* From fe80::1 to all, who listens to anything; @bytes of ICMPv6. */
static void query(struct world *w, uint32_t bytes, uint16_t delay)
{
	static const uint8_t head[] = {
		0x33, 0x33, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0xa, 0x86, 0xdd, 0x60, 0,
		0, 0, 0, 0, 0, 1,
		/* fe80::1 */
		0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
		/* ff02::1 */
		0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
		/* hop by hop: router alert */
		58, 0, 5, 2, 0, 0, 1, 0, 130, 0};

	memset(w->room, 0, sizeof(w->room));
	memcpy(w->room, head, sizeof(head));
	w->room[LENGTH_AT + 1] = (uint8_t)(8 + bytes);
	w->room[DELAY_AT] = (uint8_t)(delay >> 8);
	w->room[DELAY_AT + 1] = (uint8_t)delay;
	packet_make(&w->m, w->room, ROOM, ICMP_AT + bytes);
	sum_mend(w, ICMP_AT);
}

static bool take(struct world *w, uint64_t now, uint64_t chance)
{
	return hs_dpdk_mld_take(&w->mld, &w->net, &w->m, now, chance);
}

/* ---- what is said ---------------------------------------------------------
 */

static void report(struct world *w, enum hs_dpdk_mld_kind kind)
{
	packet_make(&w->m, w->room, ROOM, 0);
	memset(w->room, 0xee, sizeof(w->room));
	hs_dpdk_mld_report(&w->net, &w->m, kind);
}

/* RFC 3810, 5.2; from nobody, since the address is not of the link. */
static void test_report(void **state)
{
	static const uint8_t expect[] = {
		0x33, 0x33, 0, 0, 0, 0x16, 2, 0, 0, 0, 0, 0xb, 0x86, 0xdd, 0x60,
		0, 0, 0, 0, 36, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		0, 0,
		/* ff02::16 */
		0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x16, 58, 0, 5,
		2, 0, 0, 1, 0, 143, 0};
	static const uint8_t record[] = {0, 0, 0, 1, 4, 0, 0, 0,
					 /* ff02::1:ff34:5678 */
					 0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
					 0xff, 0x34, 0x56, 0x78};
	struct world w;

	(void)state;
	begin(&w, OWN);
	report(&w, HS_DPDK_MLD_JOIN);
	assert_int_equal(w.m.data_len, HS_DPDK_MLD_BYTES);
	assert_memory_equal(w.room, expect, sizeof(expect));
	assert_memory_equal(w.room + ICMP_AT + 4, record, sizeof(record));
	/* Of right bytes the sum is nothing. */
	assert_int_equal(sum_of(&w, ICMP_AT), 0);
	report(&w, HS_DPDK_MLD_LISTENS);
	assert_int_equal(w.room[ICMP_AT + 8], 2);
	assert_int_equal(sum_of(&w, ICMP_AT), 0);
	begin(&w, "[fe80::7]:7430");
	report(&w, HS_DPDK_MLD_JOIN);
	assert_memory_equal(w.room + SOURCE_AT, &w.net.own.ip, 16);
	assert_int_equal(sum_of(&w, ICMP_AT), 0);
}

/* RFC 2710: to the group itself. */
static void test_report_of_version_1(void **state)
{
	struct hs_ship_ip group;
	struct world w;

	(void)state;
	begin(&w, OWN);
	report(&w, HS_DPDK_MLD_LISTENS_V1);
	group = hs_dpdk_ip6_solicited(&w.net.own.ip);
	assert_int_equal(w.m.data_len, 86);
	assert_memory_equal(w.room, "\x33\x33\xff\x34\x56\x78", 6);
	assert_memory_equal(w.room + DEST_AT, &group, 16);
	assert_int_equal(w.room[ICMP_AT], 131);
	assert_memory_equal(w.room + GROUP_AT, &group, 16);
	assert_int_equal(sum_of(&w, ICMP_AT), 0);
}

/* ---- who asks -------------------------------------------------------------
 */

static void test_queries(void **state)
{
	struct hs_ship_ip group;
	struct world w;

	(void)state;
	begin(&w, OWN);
	group = hs_dpdk_ip6_solicited(&w.net.own.ip);
	query(&w, 28, 1000);
	assert_true(take(&w, 5000 * MS, 1234 * MS));
	/* Within the second that it gave: 1234 of 1000 is 234. */
	assert_int_equal(said(&w.mld, 5233 * MS, 0), HS_DPDK_MLD_NONE);
	assert_int_equal(said(&w.mld, 5234 * MS, 0), HS_DPDK_MLD_LISTENS);
	assert_int_equal(said(&w.mld, 99999 * MS, 0), HS_DPDK_MLD_NONE);
	/* Who asks for our group, with sources that it knows or none. */
	query(&w, 28 + 32, 0);
	memcpy(w.room + GROUP_AT, &group, 16);
	w.room[SOURCES_AT + 1] = 2;
	sum_mend(&w, ICMP_AT);
	assert_true(take(&w, 6000 * MS, 7));
	assert_int_equal(said(&w.mld, 6000 * MS, 0), HS_DPDK_MLD_LISTENS);
	/* Version 1 is told by its length, and is answered in it. */
	query(&w, 24, 10);
	assert_true(take(&w, 7000 * MS, 0));
	assert_int_equal(said(&w.mld, 7000 * MS, 0), HS_DPDK_MLD_LISTENS_V1);
	/* Options of other kinds, which may be skipped. */
	query(&w, 28, 0);
	memmove(w.room + ICMP_AT + 8, w.room + ICMP_AT, 28);
	memcpy(w.room + EXT_AT, "\x3a\1\0\x1e\3\1\2\3\5\2\0\0\1\1\0\0", 16);
	w.room[LENGTH_AT + 1] = 16 + 28;
	packet_make(&w.m, w.room, ROOM, ICMP_AT + 8 + 28);
	assert_true(take(&w, 8000 * MS, 0));
}

/* A delay with an exponent, and none that is longer than we care for. */
static void test_delays(void **state)
{
	static const struct {
		uint16_t code;
		uint64_t within_ms;
	} cases[] = {{1, 1}, {32767, 10000}, {0x8000, 10000}, {0xffff, 10000}};
	struct world w;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin(&w, OWN);
		query(&w, 28, cases[i].code);
		assert_true(take(&w, 0, cases[i].within_ms * MS - 1));
		assert_int_equal(w.mld.answer_at, cases[i].within_ms * MS - 1);
		assert_true(take(&w, 0, cases[i].within_ms * MS));
		assert_int_equal(w.mld.answer_at, 0);
		/* One that is due earlier answers what comes later, too. */
		assert_true(take(&w, 0, 1));
		assert_int_equal(w.mld.answer_at, 0);
	}
}

struct bend {
	const char *what;
	uint32_t at;
	uint8_t value;
};

static void test_queries_refused(void **state)
{
	static const struct bend bends[] = {
		{"from beyond a router", HOPS_AT, 2},
		{"from another link's address", SOURCE_AT + 1, 0xc0},
		{"without options", NEXT_AT, 58},
		{"another version of IP", 14, 0x50},
		{"not of IPv6", 13, 0},
		{"without the alert", EXT_AT + 2, 1},
		{"an alert of another kind", EXT_AT + 5, 1},
		{"an alert of another length", EXT_AT + 3, 1},
		{"an option that whoever does not know drops", EXT_AT + 6,
		 0x41},
		{"an option that ends elsewhere", EXT_AT + 7, 1},
		{"options that end elsewhere", EXT_AT + 1, 9},
		{"of another protocol", EXT_AT, 17},
		{"of another type", ICMP_AT, 131},
		{"of another code", ICMP_AT + 1, 1},
		{"for another group", GROUP_AT, 0xff},
		{"with sources that are not there", SOURCES_AT + 1, 1},
		{"longer than the packet", LENGTH_AT + 1, 37},
		{"too short", LENGTH_AT + 1, 31},
		{"between two versions", LENGTH_AT + 1, 35},
	};
	struct world w;

	(void)state;
	for (size_t i = 0; i < sizeof(bends) / sizeof(bends[0]); i++) {
		print_message("%s\n", bends[i].what);
		begin(&w, OWN);
		query(&w, 28, 0);
		w.room[bends[i].at] = bends[i].value;
		sum_mend(&w, ICMP_AT);
		assert_false(take(&w, 0, 0));
		assert_false(w.mld.asked);
	}
	query(&w, 28, 0);
	w.room[ICMP_AT + 2] ^= 1;
	assert_false(take(&w, 0, 0));
	/* Whichever byte is the last that came. */
	for (uint32_t bytes = 14; bytes < QUERY_BYTES; bytes++) {
		query(&w, 28, 0);
		w.m.data_len = (uint16_t)bytes;
		w.m.pkt_len = bytes;
		assert_false(take(&w, 0, 0));
	}
}

/* However long it says that it is, or its options are: behind a packet's end,
 * where there is nothing here, nobody looks. */
static void test_nothing_behind_the_end(void **state)
{
	static const struct {
		uint8_t payload, units;
	} lies[] = {{36, 9}, {52, 5}};
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *at = pages + page - QUERY_BYTES;
	struct world w;

	(void)state;
	assert_ptr_not_equal(pages, MAP_FAILED);
	assert_int_equal(mprotect(pages + page, page, PROT_NONE), 0);
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		begin(&w, OWN);
		query(&w, 28, 0);
		w.room[LENGTH_AT + 1] = lies[i].payload;
		w.room[EXT_AT + 1] = lies[i].units;
		/* Padding up to the end; what comes next is not there. */
		w.room[EXT_AT + 7] = QUERY_BYTES - EXT_AT - 8;
		memcpy(at, w.room, QUERY_BYTES);
		packet_make(&w.m, at, QUERY_BYTES, QUERY_BYTES);
		assert_false(take(&w, 0, 0));
	}
	munmap(pages, 2 * page);
}

/* ---- when -----------------------------------------------------------------
 */

static void test_up(void **state)
{
	struct world w;
	uint64_t now = 77 * HZ, first = now;

	(void)state;
	begin(&w, OWN);
	assert_int_equal(said(&w.mld, now, 0), HS_DPDK_MLD_NONE);
	hs_dpdk_mld_up(&w.mld, now);
	/* Due until it is said. */
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(hs_dpdk_mld_due(&w.mld, now),
				 HS_DPDK_MLD_JOIN);
	assert_int_equal(said(&w.mld, now, 400 * MS), HS_DPDK_MLD_JOIN);
	/* Once more within a second, should the first be lost. */
	while (said(&w.mld, now, 0) != HS_DPDK_MLD_JOIN)
		now += MS;
	assert_in_range(now - first, 400 * MS, HZ);
	for (uint32_t i = 0; i < 100; i++, now += HZ)
		assert_int_equal(said(&w.mld, now, 0), HS_DPDK_MLD_NONE);
	hs_dpdk_mld_up(&w.mld, now);
	assert_int_equal(said(&w.mld, now, 0), HS_DPDK_MLD_JOIN);
}

/* Whoever asks without end has ten answers a second. */
static void test_asked_without_end(void **state)
{
	struct world w;
	uint32_t nr = 0;

	(void)state;
	begin(&w, OWN);
	query(&w, 28, 0);
	for (uint64_t now = HZ; now < 11 * HZ; now += MS) {
		assert_true(take(&w, now, 0));
		nr += said(&w.mld, now, 0) != HS_DPDK_MLD_NONE;
	}
	assert_int_equal(nr, 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_report),
		cmocka_unit_test(test_report_of_version_1),
		cmocka_unit_test(test_queries),
		cmocka_unit_test(test_delays),
		cmocka_unit_test(test_queries_refused),
		cmocka_unit_test(test_nothing_behind_the_end),
		cmocka_unit_test(test_up),
		cmocka_unit_test(test_asked_without_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
