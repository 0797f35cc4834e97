/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon_rig.h - a real hs-collector over real sockets, with the test as its
 * agent and its coordinator
 */
#ifndef HS_TESTS_COLLECTOR_DAEMON_RIG_H
#define HS_TESTS_COLLECTOR_DAEMON_RIG_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/httpc.h"
#include "rdma/transport.h"
#include "tests/collector/span_make.h"
#include "tests/collector/tmpdir.h"
#include "tests/collector/wire_make.h"

#define PATIENCE 3000 /* rounds of at most 10 ms */
#define START_NS 1700000000000000000ull
#define A	 NODE(1, 1)
#define B	 NODE(2, 1)

extern const char *daemon_program;

struct side {
	struct hs_transport *t;
	uint32_t peer;
	bool up;
	uint32_t nr_acks, nr_refused, nr_manifest_acks;
	uint64_t acked[4096]; /* ship keys, in order */
	struct hs_wire_manifest_ack last;
};

struct rig {
	char dir[256];
	char socket[300];
	char config[300];
	uint16_t port;
	pid_t pid;
	struct side agent, coordinator;
};

static inline void on_up(void *ctx, const struct hs_transport_peer *peer)
{
	struct side *s = ctx;

	assert_int_equal(peer->role, HS_WIRE_ROLE_COLLECTOR);
	s->peer = peer->peer;
	s->up = true;
}

static inline void on_down(void *ctx, uint32_t peer)
{
	((struct side *)ctx)->up = false;
}

static inline void on_message(void *ctx, uint32_t peer, uint16_t type,
			      const void *payload, uint32_t payload_bytes)
{
	struct side *s = ctx;
	const struct hs_wire_slice_ack *ack = payload;
	const uint64_t *keys = (const uint64_t *)(ack + 1);

	if (type == HS_WIRE_MANIFEST_ACK) {
		assert_int_equal(payload_bytes, sizeof(s->last));
		memcpy(&s->last, payload, sizeof(s->last));
		s->nr_manifest_acks++;
		return;
	}
	assert_int_equal(type, HS_WIRE_SLICE_ACK);
	assert_int_equal(payload_bytes, sizeof(*ack) + 8 * ack->nr);
	if (ack->refused)
		s->nr_refused += ack->nr;
	for (uint32_t i = 0; !ack->refused && i < ack->nr; i++)
		s->acked[s->nr_acks++ % 4096] = keys[i];
}

static const struct hs_transport_events events = {
	.peer_up = on_up, .peer_down = on_down, .message = on_message};

static inline void side_start(struct rig *r, struct side *s,
			      enum hs_wire_role role, uint64_t node,
			      const char *name)
{
	struct hs_transport_self self = {.role = role, .node = node};
	char address[32];

	snprintf(self.name, sizeof(self.name), "%s", name);
	snprintf(address, sizeof(address), "127.0.0.1:%u", r->port);
	s->t = hs_transport_tcp_create(&self, NULL, &events, s);
	assert_non_null(s->t);
	assert_true(hs_transport_dial(s->t, address) >= 0);
}

/* Turn both sides until @done says so. */
#define UNTIL(r, done)                                                         \
	do {                                                                   \
		int round_ = 0;                                                \
		while (!(done)) {                                              \
			assert_true(round_++ < PATIENCE);                      \
			hs_transport_poll((r)->agent.t, 5);                    \
			hs_transport_poll((r)->coordinator.t, 5);              \
		}                                                              \
	} while (0)

static inline uint16_t free_port(void)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&addr, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	close(fd);
	return ntohs(addr.sin_port);
}

static inline int get(struct rig *r, const char *method, const char *path,
		      json_t **out)
{
	struct hs_httpc_target target = {.socket_path = r->socket};
	struct hs_httpc_response response;
	int rc = hs_httpc_request(&target, method, path, NULL, &response);
	int status = rc ? rc : response.status;

	if (out)
		*out = rc ? NULL : json_loads(response.body, 0, NULL);
	hs_httpc_response_free(&response);
	return status;
}

static inline void daemon_start(struct rig *r)
{
	r->pid = fork();
	if (r->pid == 0) {
		int null = open("/dev/null", O_WRONLY);

		dup2(null, 2);
		execl(daemon_program, daemon_program, "--config", r->config,
		      (char *)NULL);
		_exit(127);
	}
	for (int i = 0; get(r, "GET", "/v1/status", NULL) != 200; i++) {
		assert_int_equal(waitpid(r->pid, NULL, WNOHANG), 0);
		assert_true(i < PATIENCE);
		poll(NULL, 0, 10);
	}
}

static inline int daemon_end(struct rig *r, int sig)
{
	int status;

	if (sig)
		kill(r->pid, sig);
	assert_int_equal(waitpid(r->pid, &status, 0), r->pid);
	r->pid = 0;
	return status;
}

static inline void config_write(struct rig *r, const char *extra)
{
	FILE *f = fopen(r->config, "w");

	assert_non_null(f);
	fprintf(f,
		"control:\n  socket: %s\nlisten: 127.0.0.1:%u\nstore: "
		"%s/store\n"
		"sync_interval: 2ms\n%s",
		r->socket, r->port, r->dir, extra);
	fclose(f);
}

static inline int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	tmpdir_make(r->dir);
	snprintf(r->socket, sizeof(r->socket), "%s/c.sock", r->dir);
	snprintf(r->config, sizeof(r->config), "%s/c.yaml", r->dir);
	r->port = free_port();
	config_write(r, "");
	daemon_start(r);
	side_start(r, &r->agent, HS_WIRE_ROLE_AGENT, A, "node-1");
	side_start(r, &r->coordinator, HS_WIRE_ROLE_COORDINATOR, NODE(1001, 1),
		   "coordinator");
	UNTIL(r, r->agent.up && r->coordinator.up);
	*state = r;
	return 0;
}

static inline int teardown(void **state)
{
	struct rig *r = *state;
	char store[300];

	hs_transport_destroy(r->agent.t);
	hs_transport_destroy(r->coordinator.t);
	if (r->pid)
		daemon_end(r, SIGKILL);
	snprintf(store, sizeof(store), "%s/store", r->dir);
	tmpdir_remove(store);
	tmpdir_remove(r->dir);
	free(r);
	return 0;
}

static struct msg scratch __attribute__((unused));

static inline void send_scratch(struct side *s)
{
	struct iovec iov = {scratch.data, scratch.bytes};

	assert_int_equal(
		hs_transport_send(s->t, s->peer, scratch.type, &iov, 1), 0);
}

/* One buffer with one span of @service in it. Return: its length. */
static inline uint32_t ship(struct rig *r, uint64_t trace, uint64_t node,
			    const char *service, uint64_t key, bool error)
{
	struct hs_wire_trace_id id = make_trace(trace);
	uint8_t data[1024];
	uint32_t bytes = make_span(
		data,
		(struct span_args){.trace_hi = id.hi,
				   .trace_lo = id.lo,
				   .process = 1,
				   .handle = (uint32_t)key,
				   .service = service,
				   .name = "GET /x",
				   .id = node + key,
				   .parent = node == A ? 0 : A,
				   .start_ns = START_NS + trace * 1000,
				   .duration_ns = node == A ? 5000000 : 1000000,
				   .error = error});

	make_slice(&scratch, (struct slice_args){.trace = trace,
						 .node = node,
						 .ship_key = key,
						 .process = 1,
						 .handle = (uint32_t)key,
						 .length_bytes = bytes,
						 .final = 1,
						 .data = data});
	send_scratch(&r->agent);
	return bytes;
}

#define ANSWERS(...)                                                           \
	(const struct answer_args[])                                           \
	{                                                                      \
		__VA_ARGS__,                                                   \
		{                                                              \
			0                                                      \
		}                                                              \
	}

static inline void two_node_trace(struct rig *r, uint64_t trace)
{
	uint32_t acks = r->agent.nr_acks;
	uint32_t manifests = r->coordinator.nr_manifest_acks;
	uint32_t a = ship(r, trace, A, "front", 1, false);
	uint32_t b = ship(r, trace, B, "back", 2, trace % 2);

	make_manifest(
		&scratch,
		(struct manifest_args){.trace = trace,
				       .epoch = 5,
				       .version = 3,
				       .settled = 1,
				       .trigger_key = 7,
				       .origin = A,
				       .trigger = trace % 2 ? "error" : "slow"},
		ANSWERS({A, 1, HS_WIRE_STATE_CLOSED, 0, 1, a, {B}},
			{B, 1, HS_WIRE_STATE_CLOSED, 0, 1, b, {A}}));
	send_scratch(&r->coordinator);
	UNTIL(r, r->agent.nr_acks == acks + 2 &&
			 r->coordinator.nr_manifest_acks == manifests + 1);
}

static inline json_t *trace_json(struct rig *r, uint64_t trace,
				 const char *format)
{
	struct hs_wire_trace_id id = make_trace(trace);
	char path[128];
	json_t *json;

	snprintf(path, sizeof(path), "/v1/traces/%016llx%016llx%s%s",
		 (unsigned long long)id.hi, (unsigned long long)id.lo,
		 format ? "?format=" : "", format ? format : "");
	assert_int_equal(get(r, "GET", path, &json), 200);
	assert_non_null(json);
	return json;
}

static inline const char *text(const json_t *json, const char *key)
{
	const char *value = json_string_value(json_object_get(json, key));

	return value ? value : "(none)";
}

static inline json_int_t number(const json_t *json, const char *key)
{
	return json_integer_value(json_object_get(json, key));
}

static inline size_t count(struct rig *r, const char *query)
{
	char path[256];
	json_t *json;
	size_t nr;

	snprintf(path, sizeof(path), "/v1/traces?%s", query);
	assert_int_equal(get(r, "GET", path, &json), 200);
	nr = json_array_size(json_object_get(json, "traces"));
	json_decref(json);
	return nr;
}

static inline void check_whole(struct rig *r, uint64_t trace)
{
	json_t *json = trace_json(r, trace, NULL);
	const json_t *data;

	assert_string_equal(text(json, "mark"), "complete");
	assert_int_equal(number(json, "spans"), 2);
	assert_int_equal(number(json, "duration_ns"), 5000000);
	assert_string_equal(text(json, "service"), "front");
	assert_int_equal(json_array_size(json_object_get(json, "nodes")), 2);
	data = json_object_get(json_object_get(json, "jaeger"), "data");
	assert_int_equal(json_array_size(json_object_get(
				 json_array_get(data, 0), "spans")),
			 2);
	json_decref(json);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
