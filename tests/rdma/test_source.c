/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_source.c - lists of members from words, a file that changes, a name,
 * and a real etcd where there is one
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rdma/hostlist.h"
#include "rdma/source.h"

#define S	1000000000ull
#define FAST_NS 20000000ull
#define COORD	HS_WIRE_ROLE_COORDINATOR
#define TURNS	3000

static char dir[64], path[96], error[HS_HOSTLIST_ERROR_BYTES];
static struct hs_members *members;
static struct hs_sources *sources;

static int setup(void **state)
{
	const struct hs_members_config config = {.nr = 64};

	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/hs-source-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/list", dir);
	members = hs_members_create(calloc(1, hs_members_size_bytes(&config)),
				    &config);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	hs_sources_stop(sources);
	sources = NULL;
	free(members);
	unlink(path);
	rmdir(dir);
	return 0;
}

static void start(const char *word, const char *announce)
{
	static const char *words[1];
	struct hs_sources_config config = {
		.lists = {{COORD, false, words, 1}},
		.nr_lists = 1,
		.every_ns = FAST_NS,
		.announce = announce,
		.announced_as = "1001@10.0.0.7:7410",
	};

	words[0] = word;
	sources = hs_sources_start(&config, error);
	if (!sources)
		fail_msg("%s", error);
	hs_sources_apply(sources, members, NULL, S);
}

/* The members that are not gone, as text. */
static const char *listed(void)
{
	static char text[1024];
	uint32_t i = 0;

	text[0] = 0;
	while ((i = hs_members_next(members, COORD, i))) {
		const struct hs_member *at = hs_member(members, i);

		if (at->listed)
			snprintf(text + strlen(text),
				 sizeof(text) - strlen(text), "%u@%s ",
				 at->number, at->address);
	}
	return text;
}

static void until(const char *want)
{
	struct pollfd fd = {hs_sources_fd(sources), POLLIN, 0};

	for (int i = 0; strcmp(listed(), want) != 0; i++) {
		if (i == TURNS)
			fail_msg("'%s' never became '%s'", listed(), want);
		poll(&fd, 1, 10);
		hs_sources_apply(sources, members, NULL, S);
	}
}

static void put(const char *text)
{
	char fresh[128];
	FILE *f;

	snprintf(fresh, sizeof(fresh), "%s.new", path);
	f = fopen(fresh, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(rename(fresh, path), 0);
}

static void words(void **state)
{
	(void)state;
	start("h[1-2]:7410,1003@h3:7410", NULL);
	assert_string_equal(listed(), "1003@h3:7410 0@h2:7410 0@h1:7410 ");
}

static void a_file_that_changes(void **state)
{
	struct hs_sources_stats st;
	char word[128];

	(void)state;
	put("# servers\n1001@a:1 1002@b:1\n  c:1 # three\n\n");
	snprintf(word, sizeof(word), "file:%s", path);
	start(word, NULL);
	assert_string_equal(listed(), "0@c:1 1002@b:1 1001@a:1 ");
	put("1001@a:1,1004@d:1\n");
	until("1004@d:1 1001@a:1 ");
	/* Nonsense, and no file at all: it stays as it was. */
	put("1001@a:1 nonsense\n");
	do
		hs_sources_stats(sources, &st);
	while (!st.failures);
	assert_non_null(strstr(st.last_error, "nonsense"));
	unlink(path);
	until("1004@d:1 1001@a:1 ");
	put("1001@a:1\n");
	until("1001@a:1 ");
}

static void a_name(void **state)
{
	(void)state;
	start("dns:localhost:7410", NULL);
	for (int i = 0; !strstr(listed(), ":7410"); i++) {
		if (i == TURNS)
			fail_msg("localhost has no address");
		usleep(1000);
		hs_sources_apply(sources, members, NULL, S);
	}
}

static void wrong_words(void **state)
{
	static const char *const wrong[] = {
		"",	    "a",	 "a:x",		  "0@a:1", "x@a:1",
		"a[1:1",    "dns:",	 "dns:a",	  "etcd:", "etcd:a:1",
		"etcd:a/b", "etcd:a:1/", "5000000000@a:1"};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (hs_source_check(wrong[i], error) != -EINVAL || !error[0])
			fail_msg("'%s' passed", wrong[i]);
	assert_int_equal(hs_source_check("etcd:127.0.0.1:2379/hs", error), 0);
	assert_int_equal(hs_source_check("srv:_hs._tcp.example.org", error), 0);
	assert_int_equal(hs_source_check("dns:localhost:1", error), 0);
}

/* ---- etcd ------------------------------------------------------------------
 */

static pid_t etcd_start(const char *client, const char *peer)
{
	char data[96], initial[96];
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(data, sizeof(data), "%s/etcd", dir);
	snprintf(initial, sizeof(initial), "default=%s", peer);
	freopen("/dev/null", "w", stderr);
	freopen("/dev/null", "w", stdout);
	execlp("etcd", "etcd", "--data-dir", data, "--listen-client-urls",
	       client, "--advertise-client-urls", client, "--listen-peer-urls",
	       peer, "--initial-advertise-peer-urls", peer, "--initial-cluster",
	       initial, (char *)NULL);
	_exit(127);
}

static void etcd_end(pid_t pid)
{
	char command[128];

	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	snprintf(command, sizeof(command), "rm -rf %s/etcd", dir);
	assert_int_equal(system(command), 0);
}

static void etcd_leases(void **state)
{
	struct hs_source_etcd other;
	char client[64], peer[64], word[96], why[HS_HOSTLIST_ERROR_BYTES];
	int port = 20000 + getpid() % 20000, rc = -1;
	pid_t pid;

	(void)state;
	if (system("command -v etcd > /dev/null 2>&1")) {
		fprintf(stderr, "skipped: no etcd here (etcd-server)\n");
		skip();
	}
	snprintf(client, sizeof(client), "http://127.0.0.1:%d", port);
	snprintf(peer, sizeof(peer), "http://127.0.0.1:%d", port + 1);
	snprintf(word, sizeof(word), "etcd:127.0.0.1:%d/hs/coordinators", port);
	pid = etcd_start(client, peer);
	start(word, word);
	/* Announced, and found, by one and the same. */
	until("1001@10.0.0.7:7410 ");
	assert_int_equal(hs_source_etcd_parse(word + 5, &other), 0);
	for (int i = 0; i < TURNS && rc; i++)
		rc = hs_source_etcd_renew(&other, "1002@10.0.0.8:7410", why);
	assert_int_equal(rc, 0);
	until("1002@10.0.0.8:7410 1001@10.0.0.7:7410 ");
	assert_int_equal(hs_source_etcd_renew(&other, "", why), 0);
	/* Its lease is given back, and then one that nobody renews. */
	hs_source_etcd_revoke(&other);
	until("1001@10.0.0.7:7410 ");
	assert_int_equal(
		hs_source_etcd_renew(&other, "1003@10.0.0.9:7410", why), 0);
	until("1003@10.0.0.9:7410 1001@10.0.0.7:7410 ");
	until("1001@10.0.0.7:7410 ");
	/* Without etcd all stays as it was. */
	etcd_end(pid);
	hs_sources_apply(sources, members, NULL, S);
	assert_string_equal(listed(), "1001@10.0.0.7:7410 ");
}

#define each(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		each(words),	   each(a_file_that_changes), each(a_name),
		each(wrong_words), each(etcd_leases),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
