/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_lent.c - the agent's end of a port that is lent, with an application
 * behind it that says and writes what it likes
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fdpass.h"
#include "base/memfd.h"
#include "ship/lend_ring.h"
#include "ship/port_lent.h"
#include "ship/settings.h"

#define FRAME	   1472u
#define PATIENCE_S 20u
#define STRANGER   65534u
#define FRAME6	   (FRAME - 20u)

static char dir[] = "/tmp/hs-lent-XXXXXX";
static char path[64];
static uint32_t nr_watched, nr_forgotten;

/* The application. */
struct lender {
	int sock;
	struct hs_lend_welcome welcome;
	struct hs_memfd down, up;
	struct hs_lend_ring in, out; /* what it takes, what it puts */
};

static const struct hs_ship_place anywhere = {{{1}}, 1};

static int watch(const void *base, size_t size_bytes, bool huge)
{
	nr_watched++;
	return 0;
}

static void forget(const void *base)
{
	nr_forgotten += base != NULL;
}

static struct hs_ship_port *port_for(uid_t lender)
{
	const struct hs_ship_lent_config config = {.socket = path,
						   .mode = 0666,
						   .lenders = {lender},
						   .nr_lenders = lender != 0,
						   .frame_bytes = FRAME,
						   .watch = watch,
						   .forget = forget};
	const char *why = "";
	struct hs_ship_port *p = hs_ship_lent_create(&config, &why);

	if (!p)
		fail_msg("%s: %s", why, strerror(errno));
	return p;
}

static struct hs_ship_port *port_make(void)
{
	return port_for(0);
}

static bool down(struct hs_ship_port *p)
{
	struct hs_ship_port_stats s;

	p->ops->stats(p, &s);
	return s.link_down;
}

static struct hs_ship_lender look(struct hs_ship_port *p)
{
	struct hs_ship_lender l;

	hs_ship_lent_lender(p, &l);
	return l;
}

/* Frames that came; they are released at once. */
static uint32_t run(struct hs_ship_port *p)
{
	struct hs_ship_port_frame frames[64];
	uint32_t nr = p->ops->receive(p, frames, 64);

	for (uint32_t i = 0; i < nr; i++) {
		assert_true(frames[i].bytes <= FRAME);
		p->ops->release(p, frames[i].handle);
	}
	p->ops->flush(p);
	return nr;
}

#define UNTIL(p, what)                                                         \
	do {                                                                   \
		uint64_t end =                                                 \
			hs_clock_mono_ns() + PATIENCE_S * HS_NS_PER_SEC;       \
		while (!(what)) {                                              \
			run(p);                                                \
			if (hs_clock_mono_ns() > end)                          \
				fail_msg("not in time: %s", #what);            \
		}                                                              \
	} while (0)

static struct hs_lend_hello hello(void)
{
	return (struct hs_lend_hello){.magic = HS_LEND_MAGIC,
				      .version_min = 1,
				      .version_max = 1,
				      .ip = 0x0100007f,
				      .port = 0x0100,
				      .frame_bytes = FRAME,
				      .name = "kv"};
}

static struct hs_lend_hello6 hello6(void)
{
	struct hs_lend_hello6 h = {.base = hello()};

	h.base.version_min = h.base.version_max = 2;
	h.base.ip = 0;
	h.base.frame_bytes = FRAME6;
	memcpy(h.ip, "\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\7", 16);
	return h;
}

static int dial(void)
{
	int sock = hs_unix_connect(path, SOCK_SEQPACKET | SOCK_NONBLOCK);

	assert_true(sock >= 0);
	return sock;
}

/* What the agent says to @bytes of @data: a refusal, or the welcome. */
static int answer(struct hs_ship_port *p, struct lender *l, const void *data,
		  size_t bytes)
{
	int fds[2] = {-1, -1};
	size_t nr_fds = 0;
	ssize_t n = -EAGAIN;

	memset(l, 0, sizeof(*l));
	l->down.fd = l->up.fd = -1;
	l->sock = dial();
	if (bytes)
		assert_int_equal(hs_fdpass_send(l->sock, data, bytes, NULL, 0),
				 0);
	/* Of an end that is closed over what was not read, the first call
	 * tells that, the next one what was said. */
	UNTIL(p, (n = hs_fdpass_recv(l->sock, &l->welcome, sizeof(l->welcome),
				     fds, 2, &nr_fds)) != -EAGAIN &&
			 n != -ECONNRESET);
	if (n <= 0)
		return (int)n - 1;
	assert_int_equal(n, sizeof(l->welcome));
	assert_int_equal(nr_fds, l->welcome.refused ? 0 : 2);
	if (l->welcome.refused)
		return l->welcome.refused;
	assert_int_equal(
		hs_memfd_attach(&l->down, fds[0], 1 << 26, HS_MEMFD_READ_ONLY),
		0);
	assert_int_equal(hs_memfd_attach(&l->up, fds[1], 1 << 26, 0), 0);
	return 0;
}

static void lend_of(struct hs_ship_port *p, struct lender *l, bool ip6)
{
	const struct hs_lend_hello h = hello();
	const struct hs_lend_hello6 h6 = hello6();
	uint32_t frame_bytes = ip6 ? FRAME6 : FRAME;
	const struct hs_lend_down *d;
	struct hs_lend_up *u;

	assert_int_equal(ip6 ? answer(p, l, &h6, sizeof(h6))
			     : answer(p, l, &h, sizeof(h)),
			 0);
	assert_int_equal(l->welcome.version, ip6 ? 2 : 1);
	assert_int_equal(l->welcome.frame_bytes, frame_bytes);
	d = l->down.base;
	u = l->up.base;
	hs_lend_ring_make(&l->in, false, &u->tail, &d->head, l->down.base,
			  l->welcome.nr_slots, frame_bytes, ip6);
	hs_lend_ring_make(&l->out, true, &u->head, &d->tail, l->up.base,
			  l->welcome.nr_slots, frame_bytes, ip6);
	assert_false(down(p));
}

static void lend(struct hs_ship_port *p, struct lender *l)
{
	lend_of(p, l, false);
}

static void leave(struct lender *l)
{
	hs_memfd_close(&l->down);
	hs_memfd_close(&l->up);
	close(l->sock);
}

static const char *collector = "192.0.2.1:7430";

static int send_one(struct hs_ship_port *p, uint8_t number)
{
	struct hs_ship_address to = {{0}};
	uint8_t head[32], body[500];
	const struct hs_ship_port_span spans[] = {{body, 100, NULL},
						  {body + 100, 400, NULL}};
	const char *why;
	uint32_t frame_bytes;

	memset(head, number, sizeof(head));
	memset(body, number + 1, sizeof(body));
	assert_int_equal(p->ops->resolve(p, collector, &to, &frame_bytes, &why),
			 0);
	assert_int_equal(frame_bytes, *collector == '[' ? FRAME6 : FRAME);
	return p->ops->send(p, &to, head, sizeof(head), spans, 2);
}

static void both_ways(bool ip6)
{
	struct hs_ship_port *p = port_make();
	struct hs_ship_port_frame frames[64];
	struct hs_ship_address to;
	struct hs_ship_port_stats s;
	struct hs_lend_frame f;
	struct lender l;
	const char *why;
	uint32_t frame_bytes;
	uint8_t *at;

	collector = ip6 ? "[2001:db8::1]:7430" : "192.0.2.1:7430";
	assert_true(down(p));
	assert_int_equal(send_one(p, 1), -EAGAIN);
	lend_of(p, &l, ip6);
	assert_int_equal(send_one(p, 7), 0);
	assert_false(hs_lend_ring_next(&l.in, &f));
	p->ops->flush(p);
	assert_true(hs_lend_ring_next(&l.in, &f));
	assert_int_equal(f.bytes, 532);
	assert_int_equal(((const uint8_t *)f.data)[31], 7);
	assert_int_equal(((const uint8_t *)f.data)[531], 8);
	at = hs_lend_ring_room(&l.out);
	memset(at, 3, 100);
	hs_lend_ring_put(&l.out, &f.place, 100);
	hs_lend_ring_publish(&l.out);
	assert_int_equal(p->ops->receive(p, frames, 64), 1);
	assert_int_equal(frames[0].bytes, 100);
	/* From whom it was sent to: byte for byte, as senders compare. */
	assert_int_equal(p->ops->resolve(p, collector, &to, &frame_bytes, &why),
			 0);
	assert_memory_equal(&frames[0].from, &to, sizeof(to));
	assert_int_equal(((const uint8_t *)frames[0].data)[99], 3);
	p->ops->release(p, frames[0].handle);
	p->ops->stats(p, &s);
	assert_int_equal(s.no_link, 1);
	assert_int_equal(s.frames_sent, 1);
	assert_int_equal(s.bytes_copied, 500);
	assert_int_equal(s.bytes_copied_lender, 500);
	assert_string_equal(look(p).address,
			    ip6 ? "[2001:db8::7]:1" : "127.0.0.1:1");
	assert_string_equal(look(p).name, "kv");
	leave(&l);
	p->ops->destroy(p);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(nr_watched, nr_forgotten);
	collector = "192.0.2.1:7430";
}

static void test_both_ways(void **state)
{
	(void)state;
	both_ways(false);
	both_ways(true);
}

static int resolve(struct hs_ship_port *p, const char *text, const char **why)
{
	struct hs_ship_address to;
	uint32_t frame_bytes;

	return p->ops->resolve(p, text, &to, &frame_bytes, why);
}

/* A port of the family that no collector has is none; a collector of the other
 * one is behind a link that is down. */
static void test_families(void **state)
{
	struct hs_ship_port *p = port_make();
	const struct hs_lend_hello h = hello();
	const struct hs_lend_hello6 h6 = hello6();
	struct hs_ship_port_stats s;
	struct lender l;
	const char *why;

	(void)state;
	assert_int_equal(resolve(p, "2001:db8::1", &why), -EINVAL);
	assert_non_null(strstr(why, "[2001:db8::1]:7430"));
	assert_int_equal(resolve(p, "[2001:db8::1]:7430", &why), 0);
	assert_int_equal(answer(p, &l, &h, sizeof(h)), HS_LEND_REFUSED_FAMILY);
	assert_non_null(strstr(look(p).last_refusal, "family"));
	leave(&l);
	lend_of(p, &l, true);
	/* It is of IPv4, which this one is not. */
	assert_int_equal(send_one(p, 1), -EAGAIN);
	p->ops->stats(p, &s);
	assert_int_equal(s.no_link, 1);
	assert_int_equal(look(p).waiting, 0);
	leave(&l);
	UNTIL(p, down(p));
	/* Collectors of both: whoever lends serves one of them. */
	lend(p, &l);
	assert_int_equal(send_one(p, 1), 0);
	collector = "[2001:db8::1]:7430";
	assert_int_equal(send_one(p, 1), -EAGAIN);
	collector = "192.0.2.1:7430";
	leave(&l);
	p->ops->destroy(p);
	p = port_make();
	assert_int_equal(resolve(p, "192.0.2.1:7430", &why), 0);
	assert_int_equal(answer(p, &l, &h6, sizeof(h6)),
			 HS_LEND_REFUSED_FAMILY);
	leave(&l);
	p->ops->destroy(p);
}

/* IPv6 asks for packets of 1280 bytes. */
static void test_small_frames(void **state)
{
	struct hs_ship_lent_config config = {
		.socket = path, .mode = 0666, .frame_bytes = 1252};
	struct hs_ship_port *p;
	const char *why = "";

	(void)state;
	p = hs_ship_lent_create(&config, &why);
	assert_non_null(p);
	assert_int_equal(resolve(p, "[2001:db8::1]:7430", &why), 0);
	p->ops->destroy(p);
	config.frame_bytes--;
	p = hs_ship_lent_create(&config, &why);
	assert_non_null(p);
	assert_int_equal(resolve(p, "[2001:db8::1]:7430", &why), -EINVAL);
	assert_non_null(strstr(why, "1280"));
	p->ops->destroy(p);
}

/* Pushed back when it hangs; what it did not take is gone with the loan. */
static void test_full_and_gone(void **state)
{
	struct hs_ship_port *p = port_make();
	struct hs_ship_port_stats s;
	struct lender l, next;
	struct hs_lend_frame f;
	uint32_t nr = 0;

	(void)state;
	lend(p, &l);
	while (send_one(p, 1) == 0)
		nr++;
	p->ops->flush(p);
	assert_int_equal(nr, l.welcome.nr_slots);
	p->ops->stats(p, &s);
	assert_int_equal(s.full, 1);
	assert_int_equal(look(p).waiting, nr);
	UNTIL(p, look(p).stalled);
	assert_true(look(p).there);
	assert_true(hs_lend_ring_next(&l.in, &f));
	hs_lend_ring_taken(&l.in);
	hs_lend_ring_publish(&l.in);
	UNTIL(p, !look(p).stalled);
	assert_int_equal(send_one(p, 1), 0);
	close(l.sock);
	UNTIL(p, down(p));
	/* Memory of its own for whoever comes next. */
	lend(p, &next);
	assert_false(hs_lend_ring_next(&next.in, &f));
	assert_int_equal(look(p).loans, 2);
	((struct hs_lend_up *)l.up.base)->head = 99;
	run(p);
	assert_false(down(p));
	hs_memfd_close(&l.down);
	hs_memfd_close(&l.up);
	leave(&next);
	p->ops->destroy(p);
}

static void test_who_is_refused(void **state)
{
	struct hs_ship_port *p = port_make();
	struct hs_lend_hello h = hello();
	struct lender l, second;

	(void)state;
	h.frame_bytes = FRAME - 1;
	assert_int_equal(answer(p, &l, &h, sizeof(h)), HS_LEND_REFUSED_FRAME);
	leave(&l);
	assert_int_equal(answer(p, &l, "x", 1), HS_LEND_REFUSED_HELLO);
	leave(&l);
	assert_int_equal(answer(p, &l, path, sizeof(path)),
			 HS_LEND_REFUSED_HELLO);
	leave(&l);
	h = hello();
	h.version_min = h.version_max = HS_LEND_VERSION_IP4 + 1;
	assert_int_equal(answer(p, &l, &h, sizeof(h)), HS_LEND_REFUSED_VERSION);
	leave(&l);
	/* Who says nothing is sent away, without a word. */
	assert_int_equal(answer(p, &l, NULL, 0), -1);
	leave(&l);
	lend(p, &l);
	h = hello();
	assert_int_equal(answer(p, &second, &h, sizeof(h)),
			 HS_LEND_REFUSED_BUSY);
	leave(&second);
	assert_int_equal(look(p).refused, 5);
	assert_non_null(strstr(look(p).last_refusal, "another"));
	/* The loan has said all there is to say. */
	assert_int_equal(hs_fdpass_send(l.sock, "more", 4, NULL, 0), 0);
	UNTIL(p, down(p));
	leave(&l);
	p->ops->destroy(p);
}

/* Somebody else's application: exits with what it was told. */
static int stranger(struct hs_ship_port *p)
{
	pid_t child = fork();
	int status = 0;

	assert_true(child >= 0);
	if (!child) {
		const struct hs_lend_hello h = hello();
		struct hs_lend_welcome w = {.refused = 99};
		size_t nr_fds;
		int fds[2], sock;

		if (setuid(STRANGER))
			_exit(98);
		sock = hs_unix_connect(path, SOCK_SEQPACKET);
		if (sock < 0 || hs_fdpass_send(sock, &h, sizeof(h), NULL, 0))
			_exit(97);
		if (hs_fdpass_recv(sock, &w, sizeof(w), fds, 2, &nr_fds) ==
		    -ECONNRESET)
			(void)hs_fdpass_recv(sock, &w, sizeof(w), fds, 2,
					     &nr_fds);
		_exit(w.refused);
	}
	UNTIL(p, waitpid(child, &status, WNOHANG) == child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void test_users(void **state)
{
	struct hs_ship_port *p;

	(void)state;
	if (geteuid())
		skip();
	assert_int_equal(chmod(dir, 0711), 0);
	p = port_make();
	assert_int_equal(stranger(p), HS_LEND_REFUSED_USER);
	p->ops->destroy(p);
	p = port_for(STRANGER);
	assert_int_equal(stranger(p), HS_LEND_WELCOME);
	p->ops->destroy(p);
}

static void test_settings(void **state)
{
	char *users[] = {"root", "4711"}, *wrong[] = {"4711x"};
	struct hs_ship_settings s = {
		.socket = path,
		.socket_mode = 0640,
		.mtu = 9000,
		.lenders = {.items = users, .nr_items = 2}};
	struct hs_ship_lent_config c;
	const char *why = NULL;

	(void)state;
	assert_int_equal(hs_ship_lent_settings(&s, &c, &why), 0);
	assert_int_equal(c.frame_bytes, 8972);
	assert_int_equal(c.mode, 0640);
	assert_int_equal(c.nr_lenders, 2);
	assert_int_equal(c.lenders[0], 0);
	assert_int_equal(c.lenders[1], 4711);
	s.lenders = (struct hs_config_strings){.items = wrong, .nr_items = 1};
	assert_int_equal(hs_ship_lent_settings(&s, &c, &why), -EINVAL);
	c.socket = NULL;
	assert_null(hs_ship_lent_create(&c, &why));
	assert_non_null(strstr(why, "ship.socket"));
	c.socket = path;
	c.frame_bytes = 575;
	assert_null(hs_ship_lent_create(&c, &why));
	assert_non_null(strstr(why, "ship.mtu"));
}

/* Nor can another user open it anew; root could open anything. */
static void not_opened_anew(int fd)
{
	char name[32];
	pid_t child;
	int status = 0;

	if (geteuid())
		return;
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		if (setgid(STRANGER) || setuid(STRANGER))
			_exit(2);
		_exit(open(name, O_RDWR) >= 0 || errno != EACCES);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* What the agent writes can only be read by the application. */
static void test_read_only(void **state)
{
	struct hs_ship_port *p = port_make();
	struct lender l;
	void *at;

	(void)state;
	lend(p, &l);
	at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, l.down.fd, 0);
	assert_ptr_equal(at, MAP_FAILED);
	assert_int_equal(fallocate(l.down.fd,
				   FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				   0, 4096),
			 -1);
	assert_int_equal(ftruncate(l.up.fd, 4096), -1);
	not_opened_anew(l.down.fd);
	not_opened_anew(l.up.fd);
	/* In what it writes it may punch holes, which read as zeros. */
	hs_lend_ring_room(&l.out);
	hs_lend_ring_put(&l.out, &anywhere, 100);
	assert_int_equal(fallocate(l.up.fd,
				   FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				   0, (off_t)l.up.size_bytes),
			 0);
	hs_lend_ring_publish(&l.out);
	assert_int_equal(run(p), 1);
	assert_false(down(p));
	leave(&l);
	p->ops->destroy(p);
}

/* Words that cannot be end the loan, and nothing else. */
static void test_lies(void **state)
{
	struct hs_ship_port *p = port_make();
	struct hs_lend_up *u;
	struct lender l;

	(void)state;
	lend(p, &l);
	u = l.up.base;
	u->head = l.welcome.nr_slots + 1;
	UNTIL(p, down(p));
	leave(&l);
	lend(p, &l);
	u = l.up.base;
	u->tail = 1; /* of a frame that there never was */
	UNTIL(p, down(p));
	leave(&l);
	assert_int_equal(look(p).broken, 2);
	lend(p, &l);
	/* Frames as long as a word can say; then all at once. */
	for (uint32_t i = 0; i < l.welcome.nr_slots; i++) {
		hs_lend_ring_room(&l.out);
		hs_lend_ring_put(&l.out, &anywhere,
				 i % 2 ? 65535 : FRAME + 1 + i);
	}
	hs_lend_ring_publish(&l.out);
	assert_int_equal(run(p), 0);
	assert_int_equal(look(p).skipped, l.welcome.nr_slots);
	assert_false(down(p));
	memset(l.up.base, 0xff, l.up.size_bytes);
	UNTIL(p, down(p));
	leave(&l);
	p->ops->destroy(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_families),
		cmocka_unit_test(test_small_frames),
		cmocka_unit_test(test_full_and_gone),
		cmocka_unit_test(test_who_is_refused),
		cmocka_unit_test(test_users),
		cmocka_unit_test(test_settings),
		cmocka_unit_test(test_read_only),
		cmocka_unit_test(test_lies),
	};
	int rc;

	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/lend.sock", dir);
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(dir);
	return rc;
}
