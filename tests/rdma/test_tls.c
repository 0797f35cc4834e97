/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_tls.c - whom TLS keeps out, and that both sides know why
 *
 * A coordinator listens, an agent dials; each case gives one of them something
 * that is wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/tls.h"
#include "rdma/transport.h"
#include "tests/rdma/certs.h"
#include "tests/rdma/until.h"

#define HOUR_S 3600L

struct side {
	struct hs_transport *t;
	uint32_t nr_up;
	uint32_t nr_messages;
	uint32_t peer;
};

static struct side server, client;
static struct certs_files ca, other_ca, coordinator, agent;
static char dir[] = "/tmp/hs-tls-XXXXXX";
static int port;

static void on_up(void *ctx, const struct hs_transport_peer *peer)
{
	struct side *s = ctx;

	s->nr_up++;
	s->peer = peer->peer;
}

static void on_down(void *ctx, uint32_t peer)
{
	(void)ctx, (void)peer;
}

static void on_message(void *ctx, uint32_t peer, uint16_t type,
		       const void *payload, uint32_t payload_bytes)
{
	struct side *s = ctx;

	(void)peer, (void)type, (void)payload, (void)payload_bytes;
	s->nr_messages++;
}

static struct hs_transport_trust trust(const struct certs_files *authority,
				       const struct certs_files *own)
{
	return (struct hs_transport_trust){.tls_ca = authority->cert,
					   .tls_cert = own->cert,
					   .tls_key = own->key};
}

static void open_side(struct side *s, enum hs_wire_role role, const char *name,
		      struct hs_transport_trust with)
{
	const struct hs_transport_events events = {on_up, on_down, on_message,
						   NULL};
	struct hs_transport_self self = {
		.role = role, .node = (uint64_t)role << 32, .trust = with};

	snprintf(self.name, sizeof(self.name), "%s", name);
	*s = (struct side){0};
	s->t = hs_transport_tcp_create(&self, NULL, &events, s);
	assert_non_null(s->t);
}

static void open_both(struct hs_transport_trust of_server,
		      struct hs_transport_trust of_client)
{
	char address[32];

	open_side(&server, HS_WIRE_ROLE_COORDINATOR, "co-1", of_server);
	open_side(&client, HS_WIRE_ROLE_AGENT, "node-1", of_client);
	port = hs_transport_listen(server.t, "127.0.0.1:0");
	assert_true(port > 0);
	snprintf(address, sizeof(address), "127.0.0.1:%d", port);
	assert_int_equal(hs_transport_dial(client.t, address), 0);
}

static int teardown(void **state)
{
	(void)state;
	hs_transport_destroy(client.t);
	hs_transport_destroy(server.t);
	client.t = server.t = NULL;
	return 0;
}

static void turn(void)
{
	assert_int_equal(hs_transport_poll(server.t, 1), 0);
	if (client.t)
		assert_int_equal(hs_transport_poll(client.t, 1), 0);
}

static uint64_t cut(struct side *s, enum hs_transport_cause cause)
{
	struct hs_transport_stats st;

	hs_transport_stats(s->t, &st);
	return st.cut[cause];
}

/* Both count it, and neither ever comes up. */
static void kept_out(enum hs_transport_cause at_server,
		     enum hs_transport_cause at_client)
{
	until(cut(&server, at_server) && cut(&client, at_client));
	assert_int_equal(server.nr_up + client.nr_up, 0);
}

static void good(void **state)
{
	const struct iovec iov = {dir, 8};
	struct hs_transport_stats st;

	(void)state;
	open_both(trust(&ca, &coordinator), trust(&ca, &agent));
	until(server.nr_up == 1 && client.nr_up == 1);
	assert_int_equal(hs_transport_send(client.t, client.peer, HS_WIRE_LEAVE,
					   &iov, 1),
			 0);
	until(server.nr_messages == 1);
	hs_transport_stats(server.t, &st);
	assert_true(st.tls);
	assert_int_equal(st.peers_cut_off, 0);
}

static void expired(void **state)
{
	struct certs_files old = certs_make(dir, "old", "URI:hs:agent/node-1",
					    &ca, -2 * HOUR_S, -HOUR_S);

	(void)state;
	open_both(trust(&ca, &coordinator), trust(&ca, &old));
	kept_out(HS_TRANSPORT_CUT_TLS, HS_TRANSPORT_CUT_TLS);
}

static void expired_server(void **state)
{
	struct certs_files old =
		certs_make(dir, "old", "URI:hs:coordinator/co-1", &ca,
			   -2 * HOUR_S, -HOUR_S);

	(void)state;
	open_both(trust(&ca, &old), trust(&ca, &agent));
	kept_out(HS_TRANSPORT_CUT_TLS, HS_TRANSPORT_CUT_TLS);
}

static void foreign(void **state)
{
	struct certs_files theirs = certs_make(
		dir, "theirs", "URI:hs:agent/node-1", &other_ca, -60, HOUR_S);

	(void)state;
	open_both(trust(&ca, &coordinator), trust(&ca, &theirs));
	kept_out(HS_TRANSPORT_CUT_TLS, HS_TRANSPORT_CUT_TLS);
}

static void other_role(void **state)
{
	struct certs_files wrong =
		certs_make(dir, "wrong", "URI:hs:collector/node-1,DNS:node-1",
			   &ca, -60, HOUR_S);

	(void)state;
	open_both(trust(&ca, &coordinator), trust(&ca, &wrong));
	until(cut(&server, HS_TRANSPORT_CUT_NAME));
	assert_int_equal(server.nr_up, 0);
}

static void other_name(void **state)
{
	struct certs_files wrong =
		certs_make(dir, "wrong", "URI:hs:agent/node-12,DNS:node-12",
			   &ca, -60, HOUR_S);
	struct hs_transport_trust by_name = trust(&ca, &coordinator);

	(void)state;
	open_both(trust(&ca, &coordinator), trust(&ca, &wrong));
	until(cut(&server, HS_TRANSPORT_CUT_NAME));
	assert_int_equal(server.nr_up, 0);
	teardown(state);
	by_name.tls_bind = HS_TLS_BIND_NAME;
	open_both(by_name, trust(&ca, &wrong));
	until(cut(&server, HS_TRANSPORT_CUT_NAME));
	assert_int_equal(server.nr_up, 0);
	teardown(state);
	by_name.tls_bind = HS_TLS_BIND_NONE;
	open_both(by_name, trust(&ca, &wrong));
	until(server.nr_up);
}

static void by_dns_name(void **state)
{
	struct certs_files named =
		certs_make(dir, "named", "DNS:node-1", &ca, -60, HOUR_S);
	struct hs_transport_trust by_name = trust(&ca, &coordinator);

	(void)state;
	by_name.tls_bind = HS_TLS_BIND_NAME;
	open_both(by_name, trust(&ca, &named));
	until(server.nr_up && client.nr_up);
}

static void server_of_another_role(void **state)
{
	(void)state;
	open_both(trust(&ca, &agent), trust(&ca, &agent));
	until(cut(&client, HS_TRANSPORT_CUT_NAME));
	assert_int_equal(client.nr_up, 0);
}

static void one_without_tls(void **state)
{
	(void)state;
	open_both((struct hs_transport_trust){0}, trust(&ca, &agent));
	kept_out(HS_TRANSPORT_CUT_GARBAGE, HS_TRANSPORT_CUT_TLS);
	teardown(state);
	open_both(trust(&ca, &coordinator), (struct hs_transport_trust){0});
	until(cut(&server, HS_TRANSPORT_CUT_TLS));
	assert_int_equal(server.nr_up + client.nr_up, 0);
}

/* A program of somebody else's, with libssl's own idea of a client. */
static void stranger(int max_version, const struct certs_files *own)
{
	struct sockaddr_in sa = {.sin_family = AF_INET,
				 .sin_port = htons((uint16_t)port),
				 .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());
	SSL *ssl;
	int turns = 0;

	assert_true(SSL_CTX_set_max_proto_version(ctx, max_version));
	if (own) {
		assert_int_equal(SSL_CTX_use_certificate_file(ctx, own->cert,
							      SSL_FILETYPE_PEM),
				 1);
		assert_int_equal(SSL_CTX_use_PrivateKey_file(ctx, own->key,
							     SSL_FILETYPE_PEM),
				 1);
	}
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	ssl = SSL_new(ctx);
	SSL_set_fd(ssl, fd);
	assert_int_equal(hs_transport_poll(server.t, 1), 0);
	while (!cut(&server, HS_TRANSPORT_CUT_TLS) && turns++ < TURNS_MAX) {
		struct timeval soon = {.tv_usec = 1000};

		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon));
		(void)SSL_connect(ssl);
		assert_int_equal(hs_transport_poll(server.t, 1), 0);
	}
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	close(fd);
	assert_int_equal(cut(&server, HS_TRANSPORT_CUT_TLS), 1);
	assert_int_equal(server.nr_up, 0);
}

static void older_version(void **state)
{
	(void)state;
	open_side(&server, HS_WIRE_ROLE_COORDINATOR, "co-1",
		  trust(&ca, &coordinator));
	port = hs_transport_listen(server.t, "127.0.0.1:0");
	stranger(TLS1_2_VERSION, &agent);
}

static void no_certificate(void **state)
{
	(void)state;
	open_side(&server, HS_WIRE_ROLE_COORDINATOR, "co-1",
		  trust(&ca, &coordinator));
	port = hs_transport_listen(server.t, "127.0.0.1:0");
	stranger(TLS1_3_VERSION, NULL);
}

/* Renewed on disk: the next connection has it, without a restart. */
static void renewed(void **state)
{
	struct certs_files own = certs_make(dir, "short", "URI:hs:agent/node-1",
					    &ca, -2 * HOUR_S, -HOUR_S);
	uint64_t soon = hs_clock_mono_ns() + 600 * HS_NS_PER_MS;

	(void)state;
	open_both(trust(&ca, &coordinator), trust(&ca, &own));
	until(cut(&server, HS_TRANSPORT_CUT_TLS));
	until(hs_clock_mono_ns() > soon);
	certs_make(dir, "short", "URI:hs:agent/node-1", &ca, -60, HOUR_S);
	until(server.nr_up && client.nr_up);
}

static void files(void **state)
{
	const struct hs_transport_events events = {on_up, on_down, on_message,
						   NULL};
	char error[HS_TRANSPORT_ERROR_BYTES] = "";
	struct hs_transport_self self = {.role = HS_WIRE_ROLE_AGENT,
					 .node = 1,
					 .name = "node-1",
					 .trust = trust(&ca, &agent)};

	(void)state;
	self.trust.error = error;
	self.trust.tls_key = NULL;
	assert_null(hs_transport_tcp_create(&self, NULL, &events, NULL));
	assert_int_equal(errno, EINVAL);
	assert_non_null(strstr(error, "all three, or none"));
	self.trust.tls_key = coordinator.key; /* of another certificate */
	assert_null(hs_transport_tcp_create(&self, NULL, &events, NULL));
	assert_non_null(strstr(error, "transport.tls_key: "));
	self.trust.tls_key = agent.key;
	assert_int_equal(chmod(agent.key, 0640), 0);
	assert_null(hs_transport_tcp_create(&self, NULL, &events, NULL));
	assert_int_equal(errno, EACCES);
	assert_non_null(strstr(error, "should have mode 0600"));
	assert_int_equal(chmod(agent.key, 0600), 0);
	self.trust.tls_ca = "/nonexistent/ca.pem";
	assert_null(hs_transport_tcp_create(&self, NULL, &events, NULL));
	assert_non_null(strstr(error, "transport.tls_ca: /nonexistent/ca.pem"));
}

#define each(f) cmocka_unit_test_teardown(f, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		each(good),
		each(expired),
		each(expired_server),
		each(foreign),
		each(other_role),
		each(other_name),
		each(by_dns_name),
		each(server_of_another_role),
		each(one_without_tls),
		each(older_version),
		each(no_certificate),
		each(renewed),
		each(files),
	};
	char command[64];
	int rc;

	if (!mkdtemp(dir))
		return 1;
	ca = certs_make(dir, "ca", NULL, NULL, -60, HOUR_S);
	other_ca = certs_make(dir, "other-ca", NULL, NULL, -60, HOUR_S);
	coordinator =
		certs_make(dir, "co", "URI:hs:coordinator/*", &ca, -60, HOUR_S);
	agent = certs_make(dir, "agent", "URI:hs:agent/node-1", &ca, -60,
			   HOUR_S);
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command) ? 1 : rc;
}
