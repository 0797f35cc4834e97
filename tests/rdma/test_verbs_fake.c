/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_verbs_fake.c - the RDMA carrier on devices that fail on demand
 *
 * Whatever a call or a completion says, both sides get the same peer_down as
 * over TCP, nothing is leaked, and as soon as the device allows it again they
 * are connected again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "rdma/verbs.h"
#include "tests/rdma/fake_verbs.h"
#include "tests/rdma/until.h"

#define SHARE HS_VERBS_SHARE

struct side {
	struct hs_transport *t;
	uint32_t peer;
	uint32_t nr_up, nr_down;
	uint32_t nr_messages;
	uint64_t nr_bytes;
};

static struct side a, b, c;
static uint8_t big[HS_WIRE_PAYLOAD_MAX_BYTES];

static void on_up(void *ctx, const struct hs_transport_peer *peer)
{
	struct side *s = ctx;

	s->nr_up++;
	s->peer = peer->peer;
}

static void on_down(void *ctx, uint32_t peer)
{
	((struct side *)ctx)->nr_down++;
}

static void on_message(void *ctx, uint32_t peer, uint16_t type,
		       const void *payload, uint32_t payload_bytes)
{
	struct side *s = ctx;

	s->nr_messages++;
	s->nr_bytes += payload_bytes;
}

static struct hs_transport *
open_with(struct side *s, uint64_t node, const struct hs_verbs_api *api,
	  const struct hs_transport_verbs_options *options)
{
	const struct hs_transport_events events = {on_up, on_down, on_message,
						   NULL};
	const struct hs_transport_limits limits = {
		.nr_peers = 8,
		.reconnect_min_ns = HS_NS_PER_MS,
		.reconnect_max_ns = 4 * HS_NS_PER_MS,
	};
	const struct hs_transport_self self = {
		.role = HS_WIRE_ROLE_AGENT, .node = node, .name = "side"};

	*s = (struct side){.t = NULL};
	s->t = hs_transport_verbs_create_with(api, &self, &limits, options,
					      &events, s);
	return s->t;
}

static void turn(void)
{
	struct side *all[] = {&a, &b, &c};

	for (int i = 0; i < 3; i++)
		if (all[i]->t)
			assert_int_equal(hs_transport_poll(all[i]->t, 1), 0);
}

static int setup(void **state)
{
	fake_reset();
	hs_log_level_set(HS_LOG_ERROR);
	return 0;
}

static void close_all(void)
{
	struct side *all[] = {&b, &a, &c};

	for (int i = 0; i < 3; i++) {
		hs_transport_destroy(all[i]->t);
		*all[i] = (struct side){.t = NULL};
	}
}

static int teardown(void **state)
{
	close_all();
	if (!fake.wrong && fake.nr_objects)
		fake.wrong = "an object was not freed";
	if (fake.wrong)
		print_error("%s\n", fake.wrong);
	return fake.wrong ? -1 : 0;
}

static int dial(struct side *s, int port)
{
	char address[32];

	snprintf(address, sizeof(address), "127.0.0.1:%d", port);
	return hs_transport_dial(s->t, address);
}

static int connect_two(void)
{
	int port;

	assert_non_null(open_with(&a, 1, &fake_verbs_api, NULL));
	assert_non_null(open_with(&b, 2, &fake_verbs_api, NULL));
	port = hs_transport_listen(a.t, "127.0.0.1:0");
	assert_true(port > 0);
	assert_int_equal(dial(&b, port), 0);
	until(a.nr_up == 1 && b.nr_up == 1);
	return port;
}

static int say(struct side *s, uint32_t size_bytes)
{
	struct iovec iov = {big, size_bytes};

	return hs_transport_send(s->t, s->peer, HS_WIRE_SLICE, &iov, 1);
}

static struct hs_transport_verbs_stats stats(struct side *s)
{
	struct hs_transport_verbs_stats st;

	assert_true(hs_transport_verbs_stats(s->t, &st));
	return st;
}

static struct hs_transport_stats hub_stats(struct side *s)
{
	struct hs_transport_stats st;

	hs_transport_stats(s->t, &st);
	return st;
}

/* After whatever happened they find each other and can talk. */
static void talk_again(uint32_t ups)
{
	uint32_t had;

	until(a.nr_up > ups && b.nr_up > ups && a.nr_up == a.nr_down + 1 &&
	      b.nr_up == b.nr_down + 1);
	had = a.nr_messages;
	assert_int_equal(say(&b, 300), 0);
	assert_int_equal(say(&b, 30000), 0);
	until(a.nr_messages == had + 2);
}

static void every_completion_error(void **state)
{
	connect_two();
	for (int kind = 0; kind < 2; kind++)
		for (int status = IBV_WC_LOC_LEN_ERR;
		     status <= IBV_WC_TM_RNDV_INCOMPLETE; status++) {
			uint32_t ups = a.nr_up < b.nr_up ? a.nr_up : b.nr_up;
			uint32_t downs = a.nr_down + b.nr_down;

			fake.status_of_receive = kind == 1;
			fake.status = (enum ibv_wc_status)status;
			/* Enough that one of them is signalled. */
			for (int i = 0; i < 40 && say(&b, 100) == 0; i++)
				turn();
			until(a.nr_down + b.nr_down >= downs + 2);
			assert_int_equal(fake.status, IBV_WC_SUCCESS);
			talk_again(ups);
		}
}

static void partial_completions(void **state)
{
	connect_two();
	fake.poll_max = 1;
	for (uint32_t i = 0; i < 50; i++) {
		assert_int_equal(say(&a, 100 + i * 1000), 0);
		assert_int_equal(say(&b, 100 + i * 1000), 0);
	}
	until(a.nr_messages == 50 && b.nr_messages == 50);
}

static void held_completions(void **state)
{
	struct hs_transport_verbs_stats st;

	connect_two();
	fake.hold_sends = true;
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(say(&b, 100000), 0);
	for (int i = 0; i < 300; i++)
		turn();
	assert_int_equal(a.nr_messages, 0); /* and no queue was overrun */
	st = stats(&b);
	assert_int_equal(st.registered_peer_max_bytes, HS_VERBS_RING_BYTES);
	fake.hold_sends = false;
	until(a.nr_messages == 10);
}

static void counters(void **state)
{
	struct hs_transport_verbs_stats st, was;

	connect_two();
	until(stats(&a).srq_reserved == SHARE &&
	      stats(&b).srq_reserved == SHARE); /* idle: one credit each */
	was = stats(&b);
	for (uint32_t i = 0; i < 320; i++) { /* hops: a question, an answer */
		assert_int_equal(say(&a, 120), 0);
		until(b.nr_messages == i + 1);
		assert_int_equal(say(&b, 120), 0);
		until(a.nr_messages == i + 1);
	}
	st = stats(&b);
	assert_int_equal(st.inline_bytes, 256);
	assert_int_equal(st.frames_sent - was.frames_sent,
			 st.sends_inline - was.sends_inline);
	assert_true((st.sends_signalled - was.sends_signalled) * 16 <=
		    st.frames_sent - was.frames_sent + 16);
	assert_int_equal(st.registered_peer_bytes, 0);
	assert_true(st.srq_reserved_max <= st.srq_depth);
	/* Of many messages in one turn: few doorbells, and one fragment may
	 * carry several. */
	was = stats(&b);
	for (uint32_t i = 0; i < 200; i++)
		assert_int_equal(say(&b, 120), 0);
	until(a.nr_messages == 320 + 200);
	assert_true(stats(&b).doorbells - was.doorbells < 50);
	assert_true(stats(&b).frames_sent - was.frames_sent < 100);
}

static void no_inline(void **state)
{
	fake.inline_max = 0;
	connect_two();
	assert_int_equal(say(&b, 100), 0);
	assert_int_equal(say(&b, 100000), 0);
	until(a.nr_messages == 2);
	assert_int_equal(stats(&b).sends_inline, 0);
}

/* A whole life, in which one call fails. */
static bool life(uint64_t fail_at)
{
	int port = -1;

	fake_reset();
	fake.fail_at = fail_at;
	if (open_with(&a, 1, &fake_verbs_api, NULL) &&
	    open_with(&b, 2, &fake_verbs_api, NULL))
		port = hs_transport_listen(a.t, "127.0.0.1:0");
	if (port > 0) {
		assert_int_equal(dial(&b, port), 0);
		until(a.nr_up > a.nr_down && b.nr_up > b.nr_down);
		/* Sent into a connection that breaks: again on the next. */
		for (int i = 0; i < 3; i++) {
			uint32_t had = a.nr_messages;
			int turns = 0;

			(void)say(&b, 20000);
			while (a.nr_messages == had) {
				assert_true(turns++ < TURNS_MAX);
				turn();
				if (b.nr_up > b.nr_down && turns % 8 == 7)
					(void)say(&b, 20000);
			}
		}
	}
	close_all();
	assert_int_equal(fake.nr_objects, 0);
	if (fake.wrong)
		fail_msg("%s", fake.wrong);
	return fake.nr_calls >= fail_at;
}

static void out_of_memory_anywhere(void **state)
{
	uint64_t nr = 0;

	while (life(nr + 1))
		nr++;
	assert_true(nr > 40);
}

static void small_devices(void **state)
{
	int port;

	fake.max_srq_wr = SHARE + 1; /* one peer */
	port = connect_two();
	assert_non_null(open_with(&c, 3, &fake_verbs_api, NULL));
	assert_int_equal(dial(&c, port), 0);
	until(hub_stats(&a).peers_cut_off >= 3);
	assert_int_equal(c.nr_up, 0);
	assert_int_equal(a.nr_down, 0);
	hs_transport_destroy(b.t);
	b.t = NULL;
	until(c.nr_up == 1); /* there is room again */
}

static void full_completion_queue(void **state)
{
	int port;

	/* Half for receives, the rest for one queue pair's sends. */
	fake.max_cqe = 3 * HS_VERBS_SENDS - 2;
	port = connect_two();
	assert_non_null(open_with(&c, 3, &fake_verbs_api, NULL));
	assert_int_equal(dial(&c, port), 0);
	until(hub_stats(&a).peers_cut_off >= 3);
	assert_int_equal(c.nr_up, 0);
}

static void no_device_big_enough(void **state)
{
	fake.max_srq_wr = SHARE - 1;
	assert_non_null(open_with(&a, 1, &fake_verbs_api, NULL));
	assert_non_null(open_with(&b, 2, &fake_verbs_api, NULL));
	assert_int_equal(dial(&b, hs_transport_listen(a.t, "127.0.0.1:0")), 0);
	for (int i = 0; i < 50; i++)
		turn();
	assert_int_equal(b.nr_up, 0);
}

static void lost_devices(void **state)
{
	connect_two();
	for (int i = 0; i < 5; i++) {
		uint32_t ups = a.nr_up < b.nr_up ? a.nr_up : b.nr_up;
		uint32_t downs = b.nr_down;

		fake.poll_fails = i == 0;
		fake.post_srq_fails = i == 1;
		if (i == 2)
			fake_async(IBV_EVENT_CQ_ERR);
		else if (i == 3)
			fake_async(IBV_EVENT_SRQ_ERR);
		else if (i == 4)
			fake_async(IBV_EVENT_DEVICE_FATAL);
		(void)say(&a, 100);
		until(b.nr_down > downs);
		fake.poll_fails = false;
		fake.post_srq_fails = false;
		talk_again(ups);
	}
	assert_true(stats(&a).nr_devices_lost + stats(&b).nr_devices_lost >= 5);
}

static void broken_queue_pairs(void **state)
{
	const enum ibv_event_type types[] = {IBV_EVENT_QP_FATAL,
					     IBV_EVENT_QP_REQ_ERR,
					     IBV_EVENT_QP_ACCESS_ERR};

	connect_two();
	for (int i = 0; i < 3; i++) {
		uint32_t ups = a.nr_up < b.nr_up ? a.nr_up : b.nr_up;
		uint32_t downs = a.nr_down + b.nr_down;

		fake_async(types[i]);
		/* Whoever looks first takes the event, the right one or not:
		 * told again, and each is the first in turn. */
		for (int n = 0; a.nr_down + b.nr_down < downs + 2; n++) {
			assert_true(n < TURNS_MAX);
			if (n % 4 == 3 && a.nr_down + b.nr_down == downs) {
				fake_async(types[i]);
				assert_int_equal(
					hs_transport_poll(
						n % 8 == 7 ? b.t : a.t, 1),
					0);
			}
			turn();
		}
		talk_again(ups);
	}
	fake_async(IBV_EVENT_PORT_ERR);
	fake_async(IBV_EVENT_PORT_ACTIVE);
	turn();
	assert_int_equal(say(&b, 10), 0);
}

static void removed_device(void **state)
{
	uint32_t ups;

	connect_two();
	ups = b.nr_up;
	fake_remove_device();
	until(a.nr_down == 1 && b.nr_down == 1);
	assert_int_equal(stats(&a).nr_devices_lost, 1);
	talk_again(ups); /* it listens again, too */
}

/* -- a peer that breaks the rules ----------------------------------------- */

static struct hs_verbs_api rogue;
static void (*spoil)(uint8_t *frame, uint32_t *size_bytes);

static int rogue_send(struct ibv_qp *qp, struct ibv_send_wr *wr,
		      struct ibv_send_wr **bad)
{
	uint8_t copy[HS_VERBS_FRAME_BYTES];
	struct ibv_sge one = {.addr = (uintptr_t)copy};
	struct ibv_send_wr changed = *wr;
	uint32_t size = 0;

	if (!spoil)
		return fake_verbs_api.post_send(qp, wr, bad);
	for (int i = 0; i < wr->num_sge; i++) {
		memcpy(copy + size, (void *)(uintptr_t)wr->sg_list[i].addr,
		       wr->sg_list[i].length);
		size += wr->sg_list[i].length;
	}
	spoil(copy, &size);
	spoil = NULL;
	one.length = size;
	changed.sg_list = &one;
	changed.num_sge = 1;
	return fake_verbs_api.post_send(qp, &changed, bad);
}

static void too_short(uint8_t *frame, uint32_t *size_bytes)
{
	*size_bytes = 15;
}

static void no_kind(uint8_t *frame, uint32_t *size_bytes)
{
	frame[0] = 9;
}

static void data_in_control(uint8_t *frame, uint32_t *size_bytes)
{
	frame[0] = HS_VERBS_FRAME_CONTROL;
}

static void data_without_data(uint8_t *frame, uint32_t *size_bytes)
{
	*size_bytes = sizeof(struct hs_verbs_frame);
}

static void grants_backwards(uint8_t *frame, uint32_t *size_bytes)
{
	memset(frame + offsetof(struct hs_verbs_frame, granted), 0, 4);
}

static void wrong_message(uint8_t *frame, uint32_t *size_bytes)
{
	frame[sizeof(struct hs_verbs_frame)] ^= 1;
}

static void wrong_payload(uint8_t *frame, uint32_t *size_bytes)
{
	frame[*size_bytes - 1] ^= 1;
}

static void rogue_frames(void **state)
{
	void (*const spoils[])(uint8_t *, uint32_t *) = {
		too_short,	   no_kind,	     data_in_control,
		data_without_data, grants_backwards, wrong_message,
		wrong_payload};
	uint32_t nr = sizeof(spoils) / sizeof(spoils[0]);
	int port;

	rogue = fake_verbs_api;
	rogue.post_send = rogue_send;
	assert_non_null(open_with(&a, 1, &fake_verbs_api, NULL));
	assert_non_null(open_with(&b, 2, &rogue, NULL));
	port = hs_transport_listen(a.t, "127.0.0.1:0");
	assert_int_equal(dial(&b, port), 0);
	for (uint32_t i = 0; i < nr; i++) {
		until(a.nr_up == i + 1 && b.nr_up == i + 1);
		/* Let PING and PONG pass first. */
		for (int n = 0; n < 10; n++)
			turn();
		spoil = spoils[i];
		assert_int_equal(say(&b, 100), 0);
		until(a.nr_down == i + 1);
		assert_int_equal(hub_stats(&a).peers_cut_off, i + 1);
	}
	assert_int_equal(a.nr_messages, 0);
}

static struct hs_verbs_greeting greeting;

static int rogue_connect(struct rdma_cm_id *id, struct rdma_conn_param *param)
{
	struct rdma_conn_param changed = *param;

	changed.private_data = &greeting;
	return fake_verbs_api.connect(id, &changed);
}

static void rogue_greetings(void **state)
{
	const struct hs_verbs_greeting good = {HS_VERBS_MAGIC, HS_VERBS_VERSION,
					       HS_VERBS_FRAME_BYTES, 1, 0};
	struct hs_verbs_greeting wrong[5];
	int port;

	for (int i = 0; i < 5; i++)
		wrong[i] = good;
	wrong[0].magic++;
	wrong[1].version++;
	wrong[2].frame_bytes = HS_VERBS_FRAME_MIN_BYTES - 1;
	wrong[3].credits = 0;
	wrong[4].credits = HS_VERBS_CREDITS_MAX + 1;
	rogue = fake_verbs_api;
	rogue.connect = rogue_connect;
	greeting = wrong[0];
	assert_non_null(open_with(&a, 1, &fake_verbs_api, NULL));
	assert_non_null(open_with(&b, 2, &rogue, NULL));
	port = hs_transport_listen(a.t, "127.0.0.1:0");
	assert_int_equal(dial(&b, port), 0);
	for (int i = 0; i < 5; i++) {
		uint64_t cut = hub_stats(&a).peers_cut_off;

		greeting = wrong[i];
		until(hub_stats(&a).peers_cut_off > cut + 1);
	}
	assert_int_equal(a.nr_up, 0);
	/* Small buffers of a good peer are respected: it is not overrun. */
	greeting = good;
	greeting.frame_bytes = HS_VERBS_FRAME_MIN_BYTES;
	until(a.nr_up == 1 && b.nr_up == 1);
	assert_int_equal(say(&a, 10000), 0);
	until(b.nr_messages == 1);
	assert_true(stats(&a).frames_sent >= 10000 / HS_VERBS_FRAME_MIN_BYTES);
}

static void options(void **state)
{
	struct hs_transport_verbs_options o = {.device = "fake1"};

	assert_null(open_with(&a, 1, &fake_verbs_api, &o));
	assert_int_equal(errno, ENODEV);
	snprintf(o.device, sizeof(o.device), "fake0");
	o.gid = 1; /* link-local */
	assert_null(open_with(&a, 1, &fake_verbs_api, &o));
	assert_int_equal(errno, EINVAL);
	o.gid = 2;
	assert_non_null(open_with(&a, 1, &fake_verbs_api, &o));
	close_all();
	o.gid = 0;
	snprintf(o.source, sizeof(o.source), "nonsense:x");
	assert_null(open_with(&a, 1, &fake_verbs_api, &o));
	snprintf(o.source, sizeof(o.source), "::1");
	assert_non_null(open_with(&a, 1, &fake_verbs_api, &o));
	close_all();
	o = (struct hs_transport_verbs_options){.gid = 1};
	assert_null(open_with(&a, 1, &fake_verbs_api, &o));
	assert_int_equal(errno, EINVAL);
}

#define each(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		each(every_completion_error),
		each(partial_completions),
		each(held_completions),
		each(counters),
		each(no_inline),
		each(out_of_memory_anywhere),
		each(small_devices),
		each(full_completion_queue),
		each(no_device_big_enough),
		each(lost_devices),
		each(broken_queue_pairs),
		each(removed_device),
		each(rogue_frames),
		each(rogue_greetings),
		each(options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
