/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_daemon.c - hs-coordinator as a process, between agents and a collector
 * that live in the test: a trigger, kill -9 and a restart, SIGTERM
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/httpc.h"
#include "rdma/transport.h"
#include "rdma/wire.h"
#include "tests/rdma/until.h"

#define AGENTS	3
#define NODE(n) ((uint64_t)(n) << 32 | 1)

static const char *program;
static char dir[64];
static int port;
static pid_t pid;

/* An agent, or with number 0 the collector. */
struct side {
	struct hs_transport *t;
	uint32_t number;
	uint32_t coordinator; /* peer; 0: none */
	uint32_t nr_stored, nr_refused;
	uint32_t nr_answers; /* in the newest manifest */
	bool settled;
};
static struct side sides[AGENTS + 1];

static void on_up(void *ctx, const struct hs_transport_peer *peer)
{
	struct side *s = ctx;

	assert_int_equal(peer->role, HS_WIRE_ROLE_COORDINATOR);
	assert_string_equal(peer->name, "under-test");
	s->coordinator = peer->peer;
}

static void on_down(void *ctx, uint32_t peer)
{
	struct side *s = ctx;

	if (s->coordinator == peer)
		s->coordinator = 0;
}

/* A chain: each agent names the next one. */
static void say(struct side *s, uint16_t type,
		const struct hs_wire_trigger *trigger)
{
	struct hs_wire_group g = {.trigger = *trigger, .nr = 1};
	struct hs_wire_crumb crumb = {NODE(s->number + 1), 0, 0};
	struct hs_wire_answer a = {.trace = trigger->primary,
				   .node = NODE(s->number),
				   .rev = 1,
				   .state = HS_WIRE_STATE_CLOSED,
				   .nr_crumbs = s->number < AGENTS};
	struct iovec iov[3] = {{&g, sizeof(g)},
			       {&a, sizeof(a)},
			       {&crumb, a.nr_crumbs * sizeof(crumb)}};

	assert_int_equal(hs_transport_send(s->t, s->coordinator, type, iov, 3),
			 0);
}

static void on_message(void *ctx, uint32_t peer, uint16_t type,
		       const void *payload, uint32_t payload_bytes)
{
	struct side *s = ctx;
	struct hs_wire_reader r = hs_wire_reader_make(payload, payload_bytes);
	const struct hs_wire_trigger *triggers;
	const struct hs_wire_manifest *m;
	struct hs_wire_manifest_ack ack;
	struct iovec iov = {&ack, sizeof(ack)};

	if (type == HS_WIRE_STORED) {
		s->nr_stored++;
	} else if (type == HS_WIRE_REFUSED) {
		s->nr_refused++;
	} else if (type == HS_WIRE_SEEK) {
		return; /* nobody else knows anything */
	} else if (type == HS_WIRE_COLLECT) {
		say(s, HS_WIRE_CRUMBS, &hs_wire_take_group(&r)->trigger);
	} else {
		assert_int_equal(type, HS_WIRE_MANIFEST);
		assert_int_equal(s->number, 0);
		m = hs_wire_take_manifest(&r, &triggers);
		assert_non_null(m);
		s->nr_answers = m->nr_answers;
		s->settled = m->settled;
		ack = (struct hs_wire_manifest_ack){m->trace, m->epoch,
						    m->version, 0};
		hs_transport_send(s->t, peer, HS_WIRE_MANIFEST_ACK, &iov, 1);
	}
}

static void open_side(uint32_t number)
{
	const struct hs_transport_events events = {on_up, on_down, on_message,
						   NULL};
	struct hs_transport_self self = {
		.role = number ? HS_WIRE_ROLE_AGENT : HS_WIRE_ROLE_COLLECTOR,
		.node = number ? NODE(number) : NODE(2001),
		.name = "side"};
	char address[64];

	sides[number] = (struct side){.number = number};
	sides[number].t =
		hs_transport_tcp_create(&self, NULL, &events, &sides[number]);
	assert_non_null(sides[number].t);
	if (!number)
		return;
	snprintf(address, sizeof(address), "127.0.0.1:%d", port);
	assert_int_equal(hs_transport_dial(sides[number].t, address), 0);
}

static void turn(void)
{
	for (uint32_t i = 0; i <= AGENTS; i++)
		if (sides[i].t)
			assert_int_equal(hs_transport_poll(sides[i].t, 1), 0);
}

static void start(void)
{
	char config[128];

	snprintf(config, sizeof(config), "%s/coordinator.yaml", dir);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		execl(program, program, "--config", config, (char *)NULL);
		_exit(127);
	}
}

static int ended(void)
{
	int status = -1;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	pid = 0;
	return status;
}

/* Return: the status; negative: no answer. @holds: a text that the body of an
 * answer has to have, or NULL. */
static int status_code(const char *method, const char *path, const char *holds)
{
	char socket[128];
	struct hs_httpc_target target = {.socket_path = socket};
	struct hs_httpc_response response = {0};
	int rc;

	snprintf(socket, sizeof(socket), "%s/control.sock", dir);
	rc = hs_httpc_request(&target, method, path, NULL, &response);
	if (!rc) {
		rc = response.status;
		if (holds)
			assert_non_null(strstr(response.body, holds));
	}
	hs_httpc_response_free(&response);
	return rc;
}

static void fire(struct side *s, uint64_t key)
{
	struct hs_wire_trigger t = {.origin = NODE(s->number),
				    .key = key,
				    .name = "slow",
				    .primary = {1, key}};

	say(s, HS_WIRE_TRIGGER, &t);
}

static void life(void **state)
{
	int rc;

	(void)state;
	start();
	until(sides[0].coordinator && sides[1].coordinator &&
	      sides[2].coordinator && sides[3].coordinator);
	fire(&sides[1], 1);
	until(sides[1].nr_stored == 1);
	until(sides[0].settled && sides[0].nr_answers == AGENTS);
	assert_int_equal(status_code("GET", "/v1/status", "\"state\""), 200);
	assert_int_equal(status_code("GET", "/v1/config", "\"node.name\""),
			 200);

	/* Nothing to clean up, and everybody comes back by himself. */
	kill(pid, SIGKILL);
	assert_int_equal(WTERMSIG(ended()), SIGKILL);
	until(!sides[0].coordinator && !sides[1].coordinator);
	sides[0].nr_answers = 0;
	start();
	until(sides[0].coordinator && sides[1].coordinator &&
	      sides[2].coordinator && sides[3].coordinator);
	fire(&sides[1], 2);
	until(sides[1].nr_stored == 2 && sides[0].nr_answers == AGENTS);

	fire(&sides[1], 3);
	until(sides[1].nr_stored == 3);
	assert_int_equal(kill(pid, SIGTERM), 0);
	rc = ended();
	assert_true(WIFEXITED(rc) && WEXITSTATUS(rc) == 0);

	start();
	until((rc = status_code("POST", "/v1/stop", NULL)) == 200);
	rc = ended();
	assert_true(WIFEXITED(rc) && WEXITSTATUS(rc) == 0);
}

/* More than a node may ask in a second, at once. */
static void flooding(void **state)
{
	(void)state;
	start();
	until(sides[1].coordinator);
	for (uint64_t key = 1; key <= 40; key++)
		fire(&sides[1], key);
	until(sides[1].nr_refused >= 1);
	kill(pid, SIGTERM);
	ended();
}

static void speaking_out_of_turn(void **state)
{
	static const struct hs_wire_manifest_ack ack = {.trace = {1, 1}};
	struct iovec iov = {(void *)(uintptr_t)&ack, sizeof(ack)};
	uint32_t first;

	(void)state;
	start();
	until(sides[1].coordinator && sides[2].coordinator);
	first = sides[1].coordinator;
	assert_int_equal(hs_transport_send(sides[1].t, first,
					   HS_WIRE_MANIFEST_ACK, &iov, 1),
			 0);
	until(sides[1].coordinator && sides[1].coordinator != first);
	first = sides[1].coordinator;
	assert_int_equal(
		hs_transport_send(sides[1].t, first, HS_WIRE_TRIGGER, &iov, 1),
		0);
	until(sides[1].coordinator && sides[1].coordinator != first);
	kill(pid, SIGTERM);
	ended();
}

/* One that leaves for good is gone, and costs no timeout. */
static void leaving(void **state)
{
	struct hs_wire_leave leave = {NODE(3)};
	struct iovec iov = {&leave, sizeof(leave)};

	(void)state;
	start();
	until(sides[0].coordinator && sides[1].coordinator &&
	      sides[2].coordinator && sides[3].coordinator);
	/* Nobody leaves for another. */
	assert_int_equal(hs_transport_send(sides[2].t, sides[2].coordinator,
					   HS_WIRE_LEAVE, &iov, 1),
			 0);
	until(!sides[2].coordinator);
	until(sides[2].coordinator);
	assert_int_equal(hs_transport_send(sides[3].t, sides[3].coordinator,
					   HS_WIRE_LEAVE, &iov, 1),
			 0);
	hs_transport_destroy(sides[3].t);
	sides[3].t = NULL;
	fire(&sides[1], 1);
	until(sides[1].nr_stored == 1 && sides[0].nr_answers == AGENTS);
	assert_int_equal(status_code("GET", "/v1/status", "\"left\":1"), 200);
	assert_int_equal(status_code("GET", "/v1/status", "\"gone\":1"), 200);
	kill(pid, SIGTERM);
	ended();
}

/* Free now; nobody else is likely to take it within the test. */
static int free_port(void)
{
	const struct hs_transport_events events = {on_up, on_down, on_message,
						   NULL};
	const struct hs_transport_self self = {
		.role = HS_WIRE_ROLE_AGENT, .node = 1, .name = "probe"};
	struct hs_transport *t =
		hs_transport_tcp_create(&self, NULL, &events, NULL);
	int got = hs_transport_listen(t, "127.0.0.1:0");

	hs_transport_destroy(t);
	assert_true(got > 0);
	return got;
}

static int setup(void **state)
{
	char path[128];
	int collector;
	FILE *f;

	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/hs-coordinator-XXXXXX");
	assert_non_null(mkdtemp(dir));
	port = free_port();
	open_side(0);
	collector = hs_transport_listen(sides[0].t, "127.0.0.1:0");
	assert_true(collector > 0);
	for (uint32_t i = 1; i <= AGENTS; i++)
		open_side(i);
	snprintf(path, sizeof(path), "%s/coordinator.yaml", dir);
	f = fopen(path, "w");
	fprintf(f,
		"node:\n  id: 1001\n  name: under-test\n"
		"listen: '127.0.0.1:%d'\ncollectors: ['127.0.0.1:%d']\n"
		"control:\n  socket: %s/control.sock\n"
		"origin:\n  rate: 20\n",
		port, collector, dir);
	fclose(f);
	return 0;
}

static int teardown(void **state)
{
	char path[128];

	(void)state;
	if (pid > 0) {
		kill(pid, SIGKILL);
		ended();
	}
	for (uint32_t i = 0; i <= AGENTS; i++)
		hs_transport_destroy(sides[i].t);
	snprintf(path, sizeof(path), "%s/coordinator.yaml", dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/control.sock", dir);
	unlink(path);
	rmdir(dir);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(life, setup, teardown),
		cmocka_unit_test_setup_teardown(leaving, setup, teardown),
		cmocka_unit_test_setup_teardown(flooding, setup, teardown),
		cmocka_unit_test_setup_teardown(speaking_out_of_turn, setup,
						teardown),
	};

	if (argc != 2)
		return 2;
	program = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
