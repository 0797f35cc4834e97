/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_tcp.c - slices over real TCP connections: both families, TLS, and a way
 * in between that is narrow, cuts connections in the middle of a frame, and
 * lets strangers in
 */
#include <errno.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ship/tcp_priv.h"
#include "tests/rdma/certs.h"
#include "tests/ship/two_ends.h"

#define YEAR_S (365L * 86400)

enum { AGENT, COLLECTOR };
static struct hs_ship_trust trust[2];

/* A way between the ends: so many bytes a step, and where it breaks. */
struct way {
	int listener, ends[2];
	uint8_t held[2][4096];
	size_t nr_held[2];
	uint64_t carried, cut_at;
	uint32_t cuts;
	uint16_t to;
};

struct world {
	struct ends e; /* first: what the ends' calls are given */
	struct hs_ship_tcp *out, *in;
	uint16_t port;
	struct way way;
};

static struct hs_ship_port *sender_make(bool tls)
{
	const char *why = "";
	struct hs_ship_port *p = hs_ship_tcp_create(
		&(struct hs_ship_tcp_config){.trust = tls ? &trust[AGENT]
							  : NULL},
		&why);

	if (!p)
		fail_msg("%s", why);
	return p;
}

static void begin(struct world *w, const char *bind, bool tls)
{
	struct hs_ship_tcp_config to = {.bind = bind,
					.nr_connections = 4,
					.nr_frames = FRAMES,
					.trust =
						tls ? &trust[COLLECTOR] : NULL};
	struct hs_ship_port *in;
	const char *why = "";

	memset(w, 0, sizeof(*w));
	in = hs_ship_tcp_create(&to, &why);
	if (!in)
		fail_msg("%s: %s", bind, why);
	w->port = hs_ship_tcp_port(in);
	w->in = (struct hs_ship_tcp *)in;
	w->out = (struct hs_ship_tcp *)sender_make(tls);
	ends_begin(&w->e, bind, in, w->port, &w->out->port);
}

/* ---- a way in between -----------------------------------------------------
 */

static int socket_at(uint16_t port, bool listens)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
				 .sin_port = htons(port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0), small = 4096;

	assert_true(fd >= 0);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	if (listens) {
		assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)),
				 0);
		assert_int_equal(listen(fd, 8), 0);
	} else {
		assert_int_equal(
			connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	}
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in at;
	socklen_t bytes = sizeof(at);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &bytes), 0);
	return ntohs(at.sin_port);
}

static void way_cut(struct way *y)
{
	for (int i = 0; i < 2; i++) {
		if (y->ends[i] >= 0)
			close(y->ends[i]);
		y->ends[i] = -1;
		y->nr_held[i] = 0;
	}
}

static void way_step(struct way *y)
{
	if (y->ends[0] < 0) {
		y->ends[0] = accept(y->listener, NULL, NULL);
		if (y->ends[0] < 0)
			return;
		assert_int_equal(fcntl(y->ends[0], F_SETFL, O_NONBLOCK), 0);
		y->ends[1] = socket_at(y->to, false);
	}
	for (int i = 0; i < 2; i++) {
		ssize_t n;

		if (!y->nr_held[i]) {
			n = recv(y->ends[i], y->held[i], sizeof(y->held[i]), 0);
			if (!n) {
				way_cut(y);
				return;
			}
			y->nr_held[i] = n > 0 ? (size_t)n : 0;
		}
		n = y->nr_held[i] ? send(y->ends[!i], y->held[i], y->nr_held[i],
					 MSG_NOSIGNAL)
				  : 0;
		if (n <= 0)
			continue;
		memmove(y->held[i], y->held[i] + n, y->nr_held[i] - (size_t)n);
		y->nr_held[i] -= (size_t)n;
		y->carried += (uint64_t)n;
	}
	if (y->cut_at && y->carried >= y->cut_at) {
		y->cut_at += y->cut_at / (y->cuts + 1);
		y->cuts++;
		way_cut(y);
	}
}

/* ---- the tests ------------------------------------------------------------
 */

static void settle_all(struct world *w)
{
	while (w->e.nr_settled < SLICES) {
		ends_add(&w->e);
		ends_step(&w->e);
		if (w->way.listener)
			way_step(&w->way);
	}
}

static void check_all(struct world *w, const char *what, bool tls)
{
	struct hs_ship_receiver_stats receiver;
	struct hs_ship_sender_stats sender;
	struct hs_ship_port_stats port;

	assert_int_equal(w->e.nr_taken, SLICES);
	hs_ship_inlet_stats(w->e.inlet, &receiver, &port);
	assert_int_equal(receiver.frames_bad, 0);
	assert_int_equal(port.dropped, 0);
	hs_ship_outlet_stats(w->e.outlet, 0, &sender, &port);
	assert_int_equal(port.tls, tls);
	/* One in three has nobody who keeps it; with TLS all are encrypted. */
	assert_true(tls ? port.bytes_copied == 2 * port.bytes_copied_kernel
			: port.bytes_copied < port.bytes_copied_kernel / 2);
	print_message("%s: %llu frames, %llu again, %u times anew, "
		      "%llu system calls, full %llu times\n",
		      what, (unsigned long long)sender.frames_sent,
		      (unsigned long long)sender.frames_resent, w->e.downs,
		      (unsigned long long)port.system_calls,
		      (unsigned long long)port.full);
}

static void ship_all(const char *bind, bool tls)
{
	struct world w;

	begin(&w, bind, tls);
	settle_all(&w);
	check_all(&w, bind, tls);
	assert_int_equal(w.e.downs, 0);
	assert_int_equal(w.e.nr_refused, SLICES / 100);
	ends_end(&w.e);
}

static void test_v4(void **state)
{
	(void)state;
	ship_all("127.0.0.1:0", false);
}

static void test_v6(void **state)
{
	(void)state;
	ship_all("[::1]:0", false);
}

static void test_tls(void **state)
{
	(void)state;
	ship_all("127.0.0.1:0", true);
}

/* The network takes a part of what is given to it each time. */
static void test_tls_narrow(void **state)
{
	int small = 16384;
	struct world w;

	(void)state;
	begin(&w, "127.0.0.1:0", true);
	while (!w.e.up)
		ends_step(&w.e);
	assert_int_equal(setsockopt(w.out->peers[0]->conn.fd, SOL_SOCKET,
				    SO_SNDBUF, &small, sizeof(small)),
			 0);
	settle_all(&w);
	check_all(&w, "narrow", true);
	assert_int_equal(w.e.downs, 0);
	ends_end(&w.e);
}

/* Through a way that takes 4 kB at a time and breaks, wherever that is. */
static void cut(bool tls)
{
	struct world w;

	begin(&w, "127.0.0.1:0", tls);
	hs_ship_outlet_destroy(w.e.outlet);
	w.way = (struct way){.listener = socket_at(0, true),
			     .ends = {-1, -1},
			     .cut_at = 2000003,
			     .to = w.port};
	snprintf(w.e.address, sizeof(w.e.address), "127.0.0.1:%u",
		 port_of(w.way.listener));
	ends_dial(&w.e, sender_make(tls));
	settle_all(&w);
	check_all(&w, "cut", tls);
	assert_true(w.way.cuts > 3);
	assert_true(w.e.downs > 0);
	way_cut(&w.way);
	close(w.way.listener);
	ends_end(&w.e);
}

static void test_cut(void **state)
{
	(void)state;
	cut(false);
	cut(true);
}

/* A socket that takes little: what waits stays lent, in order, and is let go
 * of as it goes; when nothing more fits, that is said. */
static void test_narrow(void **state)
{
	static struct hs_ship_tcp_conn c;
	static uint8_t pool[64 << 10], expect[8 << 20], got[8 << 20];
	struct hs_ship_port_stats stats = {0};
	size_t nr_expect = 0, nr_got = 0;
	uint32_t users = 0, full = 0, most = 0;
	struct hs_random random;
	int fds[2], small = 4096;

	(void)state;
	hs_random_seed(&random, 7);
	hs_random_fill(&random, pool, sizeof(pool));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small,
				    sizeof(small)),
			 0);
	c.fd = fds[0];
	assert_int_equal(hs_ship_tcp_conn_begin(&c, NULL), 0);
	for (uint32_t i = 0; i < 3000; i++) {
		uint32_t head = 48 + i % 200, nr = i % 6;
		struct hs_ship_port_span spans[6];
		ssize_t n;

		for (uint32_t k = 0; k < nr; k++)
			spans[k] = (struct hs_ship_port_span){
				pool + i * 7919 % 50000, (i * 31 + k) % 1500,
				k % 3 ? &users : NULL};
		if (hs_ship_tcp_conn_send(&c, pool + i, head, spans, nr,
					  &stats)) {
			full++;
		} else {
			memcpy(expect + nr_expect, pool + i, head);
			nr_expect += head;
			for (uint32_t k = 0; k < nr; k++) {
				memcpy(expect + nr_expect, spans[k].data,
				       spans[k].bytes);
				nr_expect += spans[k].bytes;
			}
		}
		most = users > most ? users : most;
		assert_true(hs_ship_tcp_conn_flush(&c, &stats) >= 0);
		n = recv(fds[1], got + nr_got, i % 3000, MSG_DONTWAIT);
		nr_got += n > 0 ? (size_t)n : 0;
	}
	assert_true(full && most > 100);
	while (nr_got < nr_expect) {
		ssize_t n = recv(fds[1], got + nr_got, sizeof(got) - nr_got,
				 MSG_DONTWAIT);

		nr_got += n > 0 ? (size_t)n : 0;
		assert_true(hs_ship_tcp_conn_flush(&c, &stats) >= 0);
	}
	assert_int_equal(nr_got, nr_expect);
	assert_memory_equal(got, expect, nr_got);
	assert_int_equal(users, 0);
	/* With what waits it ends as well. */
	for (uint32_t i = 0; i < 100; i++)
		(void)hs_ship_tcp_conn_send(
			&c, pool, 48,
			&(struct hs_ship_port_span){pool, 9000, &users}, 1,
			&stats);
	assert_int_equal(hs_ship_tcp_conn_flush(&c, &stats), 1);
	assert_true(users > 0);
	hs_ship_tcp_conn_end(&c);
	assert_int_equal(users, 0);
	close(fds[1]);
}

/* Whether the other end has closed it, as it should have. */
static bool closed(struct world *w, int fd)
{
	char byte;

	for (uint32_t i = 0; i < 100000; i++) {
		ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT);

		if (!n || (n < 0 && errno != EAGAIN))
			return true;
		ends_step(&w->e);
	}
	return false;
}

static void test_strangers(void **state)
{
	static const char *const words[] = {"GET / HTTP/1.1\r\n\r\n",
					    "\x16\x03\x01\x02\x00\x01\x00\x01",
					    "HSIP\1\3\0\0\0\0"};
	struct world w;
	int fds[100];

	(void)state;
	begin(&w, "127.0.0.1:0", false);
	for (size_t i = 0; i < 3; i++) {
		fds[0] = socket_at(w.port, false);
		assert_int_equal(send(fds[0], words[i], 10 - 2 * (i == 1), 0),
				 10 - 2 * (i == 1));
		assert_true(closed(&w, fds[0]));
		close(fds[0]);
	}
	/* More than there is room for, who say nothing. */
	for (size_t i = 0; i < 100; i++) {
		fds[i] = socket_at(w.port, false);
		ends_step(&w.e);
	}
	assert_true(closed(&w, fds[0]));
	settle_all(&w);
	check_all(&w, "strangers", false);
	assert_int_equal(w.e.downs, 0);
	for (size_t i = 0; i < 100; i++)
		close(fds[i]);
	ends_end(&w.e);
}

/* Whoever came while there was no descriptor is heard when there is one. */
static void test_no_descriptors(void **state)
{
	struct rlimit was, none;
	struct world w;
	int fd;

	(void)state;
	begin(&w, "127.0.0.1:0", false);
	/* Nobody comes after it. */
	while (!w.e.up)
		ends_step(&w.e);
	fd = socket_at(w.port, false);
	assert_int_equal(send(fd, "GET / HTTP/1.1", 14, 0), 14);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	none = (struct rlimit){.rlim_max = was.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	for (uint32_t i = 0; i < 100; i++)
		ends_step(&w.e);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	assert_true(closed(&w, fd));
	close(fd);
	ends_end(&w.e);
}

/* A handshake in pieces, of which one begins as a frame does. */
static void test_tls_in_pieces(void **state)
{
	struct world w;
	char byte;
	int fd;

	(void)state;
	begin(&w, "127.0.0.1:0", true);
	fd = socket_at(w.port, false);
	assert_int_equal(send(fd, "\x16\3\1\2", 4, 0), 4);
	for (uint32_t i = 0; i < 100; i++)
		ends_step(&w.e);
	assert_int_equal(send(fd, "H", 1, 0), 1);
	for (uint32_t i = 0; i < 100; i++)
		ends_step(&w.e);
	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
	close(fd);
	/* Who begins so speaks none. */
	fd = socket_at(w.port, false);
	assert_int_equal(send(fd, "HSIP", 4, 0), 4);
	assert_true(closed(&w, fd));
	close(fd);
	ends_end(&w.e);
}

/* What has come over the one connection, past who it is for. */
static void swallow(const struct world *w)
{
	uint8_t room[65536];

	for (uint32_t i = 0; i < w->in->nr_peers; i++)
		while (w->in->peers[i] && w->in->peers[i]->conn.fd >= 0 &&
		       recv(w->in->peers[i]->conn.fd, room, sizeof(room),
			    MSG_DONTWAIT) > 0)
			;
}

static void receive(struct hs_ship_port *p)
{
	struct hs_ship_port_frame frames[8];
	uint32_t nr = p->ops->receive(p, frames, 8);

	for (uint32_t i = 0; i < nr; i++)
		p->ops->release(p, frames[i].handle);
}

/* While the network is full, asking for more costs nothing; when it is not any
 * more, it is noticed. */
static void full(bool tls)
{
	const uint8_t head[64] = {0};
	struct hs_ship_address to = {{0}};
	struct hs_ship_port_stats *s;
	struct hs_ship_port_span span;
	struct world w;
	uint64_t calls, sent;

	begin(&w, "127.0.0.1:0", tls);
	while (!w.e.up)
		ends_step(&w.e);
	s = &w.out->stats;
	span = (struct hs_ship_port_span){w.e.pool, 8000, &w.e.users};
	/* The first one that was dialled: its place is all zero. */
	while (!w.out->port.ops->send(&w.out->port, &to, head, sizeof(head),
				      &span, 1))
		w.out->port.ops->flush(&w.out->port);
	calls = s->system_calls;
	sent = s->frames_sent;
	for (uint32_t i = 0; i < 100; i++) {
		assert_int_equal(w.out->port.ops->send(&w.out->port, &to, head,
						       sizeof(head), &span, 1),
				 -EAGAIN);
		w.out->port.ops->flush(&w.out->port);
	}
	assert_int_equal(s->system_calls, calls);
	for (uint32_t i = 0; i < 100000 && w.out->peers[0]->conn.polls_out;
	     i++) {
		swallow(&w);
		receive(&w.out->port);
	}
	assert_false(w.out->peers[0]->conn.polls_out);
	/* Not since it is no connection any more. */
	assert_int_equal(w.out->peers[0]->conn.state, HS_SHIP_TCP_UP);
	assert_int_equal(s->frames_sent, sent);
	assert_int_equal(w.out->port.ops->send(&w.out->port, &to, head,
					       sizeof(head), &span, 1),
			 0);
	ends_end(&w.e);
}

static void test_full(void **state)
{
	(void)state;
	full(false);
	full(true);
}

static void test_bad_addresses(void **state)
{
	struct hs_ship_tcp_config config = {.nr_connections = 1};
	struct hs_ship_trust files = {.tls_ca = "/nonexistent/ca.pem",
				      .tls_cert = "/nonexistent/cert.pem",
				      .tls_key = "/nonexistent/key.pem"};
	struct hs_ship_address to;
	struct hs_ship_port *p;
	uint32_t frame_bytes;
	const char *why = NULL;

	(void)state;
	p = hs_ship_tcp_create(&config, &why);
	assert_non_null(p);
	assert_int_equal(
		p->ops->resolve(p, "127.0.0.1", &to, &frame_bytes, &why),
		-EINVAL);
	assert_string_equal(why, "should be host:port, or [v6-address]:port");
	assert_int_equal(p->ops->resolve(p, "[::1]:7", &to, &frame_bytes, &why),
			 0);
	assert_int_equal(frame_bytes, HS_SHIP_FRAME_MAX_BYTES);
	p->ops->destroy(p);
	config.bind = "nowhere";
	assert_null(hs_ship_tcp_create(&config, &why));
	config.bind = NULL;
	config.trust = &files;
	assert_null(hs_ship_tcp_create(&config, &why));
	assert_non_null(strstr(why, "transport.tls_ca: /nonexistent/ca.pem"));
}

static void trust_make(const char *dir, struct certs_files files[3])
{
	static const char *const sans[] = {"URI:hs:agent/a",
					   "URI:hs:collector/c"};

	files[2] = certs_make(dir, "ca", NULL, NULL, -60, YEAR_S);
	for (int i = 0; i < 2; i++) {
		files[i] = certs_make(dir, i ? "collector" : "agent", sans[i],
				      &files[2], -60, YEAR_S);
		trust[i] =
			(struct hs_ship_trust){files[2].cert, files[i].cert,
					       files[i].key, HS_TLS_BIND_ROLE};
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_v4),
		cmocka_unit_test(test_v6),
		cmocka_unit_test(test_tls),
		cmocka_unit_test(test_tls_narrow),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_narrow),
		cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_no_descriptors),
		cmocka_unit_test(test_tls_in_pieces),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_bad_addresses),
	};
	char dir[] = "/tmp/hs-ship-tcp-XXXXXX";
	struct certs_files files[3];
	int rc;

	if (!mkdtemp(dir))
		return 1;
	trust_make(dir, files);
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	for (int i = 0; i < 3; i++) {
		remove(files[i].cert);
		remove(files[i].key);
	}
	remove(dir);
	return rc;
}
