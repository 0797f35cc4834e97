/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Applications with libhindsight, a real agent, and a coordinator and a
 * collector that are this test: from the first span to the last slice.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/crc32c.h"
#include "house.h"
#include "hs/hindsight.h"
#include "rdma/transport.h"
#include "rdma/wire.h"

#define TRIES 1500

/* An application: does what it is told by a letter, and says it back. */
struct app {
	pid_t pid;
	int tell, hear;
};

static void app_open(const char *socket)
{
	struct hs_client_options options = {
		.size_bytes = sizeof(options),
		.socket_path = socket,
		.service = "app",
	};

	if (hs_client_open(&options))
		_exit(2);
	for (int i = 0; i < TRIES && !hs_client_attached(); i++)
		usleep(10000);
}

static struct hs_trace *app_trace(uint64_t lo, bool end)
{
	struct hs_trace_id id = {0x1234, lo};
	struct hs_trace *trace = hs_trace_begin(&id, NULL);
	struct hs_span span;

	hs_span_start(trace, &span, "work", 0);
	hs_span_attr_str(&span, "key", "value");
	hs_span_end(&span);
	if (end)
		hs_trace_end(trace);
	return trace;
}

static void app_main(const char *socket, int in, int out)
{
	uint64_t next = 1;
	char what;

	app_open(socket);
	while (read(in, &what, 1) == 1) {
		struct hs_trace_id id = {0x1234, 1};

		switch (what) {
		case 't': /* ten traces */
			for (int i = 0; i < 10; i++)
				app_trace(next++, true);
			break;
		case 'o': /* one that stays open */
			app_trace(0xffff, false);
			break;
		case 'f': /* fire for the first */
			hs_trigger_fire(hs_trigger_define("slow"), &id, NULL,
					0);
			break;
		case 'a': /* until attached again */
			for (int i = 0; i < TRIES && !hs_client_attached(); i++)
				usleep(10000);
			break;
		}
		if (write(out, &what, 1) != 1)
			break;
	}
	_exit(0);
}

static void app_start(struct app *a, struct house *h)
{
	int to[2], from[2];

	assert_int_equal(pipe(to), 0);
	assert_int_equal(pipe(from), 0);
	a->pid = fork();
	assert_true(a->pid >= 0);
	if (a->pid == 0) {
		close(to[1]);
		close(from[0]);
		app_main(h->socket, to[0], from[1]);
	}
	close(to[0]);
	close(from[1]);
	a->tell = to[1];
	a->hear = from[0];
}

static void app_do(struct app *a, char what)
{
	char back = 0;

	assert_int_equal(write(a->tell, &what, 1), 1);
	assert_int_equal(read(a->hear, &back, 1), 1);
	assert_int_equal(back, what);
}

static void app_end(struct app *a)
{
	close(a->tell);
	kill(a->pid, SIGKILL);
	waitpid(a->pid, NULL, 0);
	close(a->hear);
}

static void test_traces_appear(void **state)
{
	struct house h;
	struct app a;

	house_make(&h, NULL);
	house_start(&h);
	app_start(&a, &h);
	app_do(&a, 't');
	house_await(&h, "stats.traces_seen", 10);
	assert_int_equal(house_number(&h, "domains.0.traces"), 10);
	assert_int_equal(house_number(&h, "domains.0.buffers.held"), 10);
	assert_int_equal(house_number(&h, "domains.0.processes.0.pid"), a.pid);
	assert_int_equal(house_number(&h, "losses.lane"), 0);
	app_end(&a);
	house_await_most(&h, "domains.0.processes", 0);
	assert_int_equal(house_number(&h, "domains.0.buffers.stocked"), 0);
	assert_int_equal(house_number(&h, "domains.0.buffers.held"), 10);
	house_free(&h);
}

static void test_worker_changes(void **state)
{
	struct house h;
	struct app a;

	house_make(&h, NULL);
	house_start(&h);
	app_start(&a, &h);
	app_do(&a, 't');
	house_await(&h, "domains.0.traces", 10);
	for (int i = 1; i <= 3; i++) {
		pid_t worker = house_worker(&h);

		kill(worker, SIGKILL);
		/* Written while nobody looks. */
		app_do(&a, 't');
		house_await_worker(&h, worker);
		house_await(&h, "stats.resumed", 1);
		house_await(&h, "domains.0.traces", 10 + 10 * i);
	}
	assert_int_equal(house_number(&h, "domains.0.traces"), 40);
	assert_int_equal(house_number(&h, "domains.0.buffers.held"), 40);
	assert_int_equal(house_number(&h, "stats.lost_taints"), 0);
	app_end(&a);
	house_free(&h);
}

static void test_application_dies(void **state)
{
	struct house h;
	struct app a;

	house_make(&h, "crash_trigger: true\n");
	house_start(&h);
	app_start(&a, &h);
	app_do(&a, 't');
	app_do(&a, 'o');
	house_await(&h, "domains.0.traces", 10);
	app_end(&a);
	house_await_most(&h, "domains.0.processes", 0);
	/* What it had open is there now, and has fired. */
	house_await(&h, "domains.0.traces", 11);
	house_await(&h, "triggers", 1);
	assert_int_equal(house_number(&h, "triggers.0.fired_local"), 1);
	assert_int_equal(house_number(&h, "domains.0.traces_fired"), 1);
	assert_int_equal(house_number(&h, "domains.0.buffers.held"), 11);
	house_free(&h);
}

static int64_t post(struct house *h, const char *body, int *status)
{
	json_t *json = house_ask(h, "POST", "/v1/trigger", body, status);
	int64_t fired = json_integer_value(json_object_get(json, "fired"));

	json_decref(json);
	return fired;
}

static void test_operator_triggers(void **state)
{
	struct house h;
	struct app a;
	int status;

	house_make(&h, NULL);
	house_start(&h);
	app_start(&a, &h);
	app_do(&a, 't');
	house_await(&h, "domains.0.traces", 10);
	assert_int_equal(
		post(&h, "{\"trace_id\":\"12340000000000000001\"}", &status),
		1);
	assert_int_equal(status, 200);
	assert_int_equal(post(&h,
			      "{\"trigger\":\"late\",\"last_ns\":3600000000000,"
			      "\"service\":\"app\",\"limit\":4}",
			      &status),
			 4);
	assert_int_equal(post(&h,
			      "{\"last_ns\":3600000000000,\"service\":\"no\"}",
			      &status),
			 0);
	assert_int_equal(status, 200);
	assert_true(house_number(&h, "domains.0.traces_fired") >= 4);
	post(&h, "{\"trace_id\":\"xyz\"}", &status);
	assert_int_equal(status, 400);
	post(&h, "{\"trace_id\":\"0\"}", &status);
	assert_int_equal(status, 400);
	post(&h, "{\"last_ns\":-1}", &status);
	assert_int_equal(status, 400);
	post(&h, "[", &status);
	assert_int_equal(status, 400);
	post(&h, "{\"trigger\":7,\"trace_id\":\"1\"}", &status);
	assert_int_equal(status, 400);
	app_end(&a);
	house_free(&h);
}

static json_t *seen(struct house *h, const char *ids, int *status)
{
	char path[256];

	snprintf(path, sizeof(path), "/v1/seen?ids=%s", ids);
	return house_ask(h, "GET", path, NULL, status);
}

/* Asked of the door's own thread, while the worker has its rounds. */
static void test_what_is_known_is_seen(void **state)
{
	struct house h;
	struct app a;
	json_t *answer, *known, *domains;
	int status;

	house_make(&h, NULL);
	house_start(&h);
	app_start(&a, &h);
	app_do(&a, 't');
	house_await(&h, "domains.0.traces", 10);
	answer = seen(&h, "12340000000000000001,beef", &status);
	assert_int_equal(status, 200);
	known = json_array_get(json_object_get(answer, "traces"), 0);
	assert_string_equal(
		json_string_value(json_object_get(known, "trace_id")),
		"00000000000012340000000000000001");
	domains = json_object_get(known, "domains");
	assert_int_equal(json_array_size(domains), 1);
	assert_true(json_integer_value(json_object_get(
			    json_array_get(domains, 0), "first_ago_ns")) > 0);
	known = json_array_get(json_object_get(answer, "traces"), 1);
	assert_int_equal(json_array_size(json_object_get(known, "domains")), 0);
	json_decref(answer);
	json_decref(seen(&h, "12,,", &status));
	assert_int_equal(status, 400);
	json_decref(seen(&h, "", &status));
	assert_int_equal(status, 400);
	app_end(&a);
	house_free(&h);
}

/* ---- the coordinator and the collector ----------------------------------- */

struct town {
	struct hs_transport *transport;
	enum hs_wire_role role;
	uint32_t agent; /* peer, 0: down */
	bool is_up;
	uint32_t nr_triggers, nr_crumbs, nr_slices;
	struct hs_wire_group trigger;
	struct hs_wire_answer answer;
	uint64_t bytes;
	uint64_t keys[64];
};

static void on_up(void *ctx, const struct hs_transport_peer *peer)
{
	struct town *t = ctx;

	t->agent = peer->peer;
	t->is_up = true;
	assert_int_equal(peer->role, HS_WIRE_ROLE_AGENT);
	assert_string_equal(peer->name, "test");
}

static void on_down(void *ctx, uint32_t peer)
{
	((struct town *)ctx)->is_up = false;
}

static void on_message(void *ctx, uint32_t peer, uint16_t type,
		       const void *payload, uint32_t payload_bytes)
{
	struct town *t = ctx;
	struct hs_wire_reader r = hs_wire_reader_make(payload, payload_bytes);
	const struct hs_wire_crumb *crumbs;
	const struct hs_wire_answer *answer;
	const struct hs_wire_slice *slice;
	const uint8_t *bytes;

	if (type == HS_WIRE_TRIGGER || type == HS_WIRE_CRUMBS) {
		t->trigger = *hs_wire_take_group(&r);
		answer = hs_wire_take_answer(&r, &crumbs);
		assert_non_null(answer);
		t->answer = *answer;
		t->nr_triggers += type == HS_WIRE_TRIGGER;
		t->nr_crumbs += type == HS_WIRE_CRUMBS;
	} else if (type == HS_WIRE_SLICE) {
		slice = hs_wire_take_slice(&r, &bytes);
		assert_non_null(slice);
		assert_int_equal(slice->crc,
				 hs_crc32c(0, bytes, slice->length_bytes));
		if (t->nr_slices < 64)
			t->keys[t->nr_slices] = slice->ship_key;
		t->nr_slices++;
		t->bytes += slice->length_bytes;
	}
}

static int town_open(struct town *t, enum hs_wire_role role, uint64_t node)
{
	static const struct hs_transport_events events = {
		.peer_up = on_up,
		.peer_down = on_down,
		.message = on_message,
	};
	struct hs_transport_self self = {.role = role, .node = node};
	struct hs_transport_limits limits = {0};
	int port;

	memset(t, 0, sizeof(*t));
	t->role = role;
	strcpy(self.name, "town");
	t->transport = hs_transport_tcp_create(&self, &limits, &events, t);
	assert_non_null(t->transport);
	port = hs_transport_listen(t->transport, "127.0.0.1:0");
	assert_true(port > 0);
	return port;
}

static void await_count(struct town *a, struct town *b, const uint32_t *count,
			uint32_t at_least)
{
	for (int i = 0; i < TRIES * 4 && *count < at_least; i++) {
		hs_transport_poll(a->transport, 2);
		hs_transport_poll(b->transport, 2);
	}
	assert_true(*count >= at_least);
}

static void await_up(struct town *a, struct town *b)
{
	for (int i = 0; i < TRIES * 4 && !(a->is_up && b->is_up); i++) {
		hs_transport_poll(a->transport, 2);
		hs_transport_poll(b->transport, 2);
	}
	assert_true(a->is_up && b->is_up);
}

static void send(struct town *t, uint16_t type, void *a, size_t a_bytes,
		 void *b, size_t b_bytes)
{
	struct iovec iov[2] = {{a, a_bytes}, {b, b_bytes}};

	assert_int_equal(
		hs_transport_send(t->transport, t->agent, type, iov, b ? 2 : 1),
		0);
}

static void town_make(struct house *h, struct town *coordinator,
		      struct town *collector)
{
	char extra[128];
	int a = town_open(coordinator, HS_WIRE_ROLE_COORDINATOR, 1001ull << 32);
	int b = town_open(collector, HS_WIRE_ROLE_COLLECTOR, 2001ull << 32);

	snprintf(extra, sizeof(extra),
		 "coordinators: [127.0.0.1:%d]\ncollectors: [127.0.0.1:%d]\n",
		 a, b);
	house_make(h, extra);
	house_start(h);
	await_up(coordinator, collector);
}

static void await_unpinned(struct house *h, struct town *a, struct town *b)
{
	for (int i = 0; i < TRIES; i++) {
		hs_transport_poll(a->transport, 2);
		hs_transport_poll(b->transport, 2);
		if (house_number(h, "domains.0.buffers.pinned") == 0)
			return;
	}
	fail_msg("buffers that are durable stay pinned");
}

static void test_a_trigger_s_whole_way(void **state)
{
	struct town coordinator, collector;
	struct hs_wire_group collect;
	struct hs_wire_slice_ack ack = {.nr = 1};
	struct hs_wire_refused refused = {.wait_ns = 1000000, .per_s = 1000};
	struct hs_wire_stored stored;
	struct house h;
	struct app a;
	pid_t worker;

	town_make(&h, &coordinator, &collector);
	app_start(&a, &h);
	app_do(&a, 't');
	house_await(&h, "domains.0.traces", 10);
	app_do(&a, 'f');
	await_count(&coordinator, &collector, &coordinator.nr_triggers, 1);
	assert_string_equal(coordinator.trigger.trigger.name, "slow");
	assert_int_equal(coordinator.trigger.nr, 1);
	assert_int_equal(coordinator.answer.trace.hi, 0x1234);
	assert_int_equal(coordinator.answer.trace.lo, 1);
	assert_int_equal(coordinator.answer.state, HS_WIRE_STATE_CLOSED);
	assert_int_equal(coordinator.answer.flags, 0);
	assert_int_equal(coordinator.answer.nr_buffers, 1);
	await_count(&coordinator, &collector, &collector.nr_slices, 1);
	assert_int_equal(collector.bytes, coordinator.answer.nr_bytes);

	/* Over the budget: it is said again, to the same one. */
	refused.origin = coordinator.trigger.trigger.origin;
	refused.key = coordinator.trigger.trigger.key;
	send(&coordinator, HS_WIRE_REFUSED, &refused, sizeof(refused), NULL, 0);
	await_count(&coordinator, &collector, &coordinator.nr_triggers, 2);
	assert_int_equal(coordinator.trigger.trigger.key, refused.key);
	house_await(&h, "stats.requests_refused", 1);
	assert_int_equal(house_number(&h, "stats.messages_misplaced"), 0);

	/* Not acknowledged: a successor sends both again. */
	worker = house_worker(&h);
	kill(worker, SIGKILL);
	house_await_worker(&h, worker);
	coordinator.nr_triggers = collector.nr_slices = 0;
	await_count(&coordinator, &collector, &coordinator.nr_triggers, 1);
	await_count(&coordinator, &collector, &collector.nr_slices, 1);
	await_up(&coordinator, &collector);

	/* Another node's trigger names the second trace. */
	collect = coordinator.trigger;
	collect.trigger.origin = 99ull << 32;
	collect.trigger.key = 5;
	collect.trigger.primary.lo = 2;
	collect.nr = 1;
	send(&coordinator, HS_WIRE_COLLECT, &collect, sizeof(collect),
	     &collect.trigger.primary, sizeof(collect.trigger.primary));
	await_count(&coordinator, &collector, &coordinator.nr_crumbs, 1);
	assert_int_equal(coordinator.answer.trace.lo, 2);
	assert_int_equal(coordinator.answer.state, HS_WIRE_STATE_CLOSED);
	await_count(&coordinator, &collector, &collector.nr_slices, 2);

	/* Durable: both buffers are let go. */
	for (uint32_t i = 0; i < collector.nr_slices && i < 64; i++)
		send(&collector, HS_WIRE_SLICE_ACK, &ack, sizeof(ack),
		     &collector.keys[i], sizeof(collector.keys[i]));
	stored.origin = coordinator.answer.node;
	stored.key = 0;
	send(&coordinator, HS_WIRE_STORED, &stored, sizeof(stored), NULL, 0);
	await_unpinned(&h, &coordinator, &collector);
	/* A collector has no say in what is collected. */
	send(&collector, HS_WIRE_COLLECT, &collect, sizeof(collect),
	     &collect.trigger.primary, sizeof(collect.trigger.primary));
	hs_transport_poll(collector.transport, 2);
	house_await(&h, "stats.messages_misplaced", 1);
	app_end(&a);
	house_free(&h);
	hs_transport_destroy(coordinator.transport);
	hs_transport_destroy(collector.transport);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_traces_appear),
		cmocka_unit_test(test_worker_changes),
		cmocka_unit_test(test_application_dies),
		cmocka_unit_test(test_operator_triggers),
		cmocka_unit_test(test_what_is_known_is_seen),
		cmocka_unit_test(test_a_trigger_s_whole_way),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
