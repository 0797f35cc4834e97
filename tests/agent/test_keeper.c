/* SPDX-License-Identifier: Apache-2.0 */
/* What outlives what: workers, keepers, agents in one run directory. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "house.h"

static bool process_gone(pid_t pid)
{
	char path[64], text[256];
	FILE *f;
	bool gone = true;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "r");
	if (!f)
		return true;
	/* One that nobody has waited for yet is as dead. */
	if (fgets(text, sizeof(text), f))
		gone = strstr(text, ") Z ") != NULL;
	fclose(f);
	return gone;
}

static void await_gone(pid_t pid)
{
	for (int i = 0; i < 1500; i++) {
		if (process_gone(pid))
			return;
		usleep(20000);
	}
	fail_msg("process %d lives on", (int)pid);
}

static bool log_has(struct house *h, const char *text)
{
	char *all = calloc(1, 1 << 20);
	FILE *f = fopen(h->log, "r");
	bool has;

	assert_non_null(f);
	assert_non_null(all);
	assert_true(fread(all, 1, (1 << 20) - 1, f) > 0);
	fclose(f);
	has = strstr(all, text) != NULL;
	free(all);
	return has;
}

static void log_says(struct house *h, const char *text)
{
	if (!log_has(h, text))
		fail_msg("\"%s\" is not in %s", text, h->log);
}

static void test_killed_workers(void **state)
{
	struct house h;
	struct guest g;
	uint64_t node;

	house_make(&h, NULL);
	house_start(&h);
	guest_attach(&g, h.socket);
	node = g.layout.node_id;
	memcpy(g.pool + 4096, "still here", 10);
	for (int i = 0; i < 20; i++) {
		pid_t worker = house_worker(&h);

		assert_true(worker > 0);
		assert_int_equal(kill(worker, SIGKILL), 0);
		house_await_worker(&h, worker);
		assert_int_equal(guest_resume(&g, h.socket),
				 HS_SHM_VERDICT_RESUMED);
		assert_int_equal(g.welcome.process, g.layout.process);
		assert_int_equal(g.welcome.node_id, node);
	}
	assert_memory_equal(g.pool + 4096, "still here", 10);
	house_await(&h, "domains.0.processes", 1);
	assert_int_equal(house_number(&h, "domains.0.processes.0.process"),
			 g.layout.process);
	/* No buffer was lost on the way: what is not free is this guest's. */
	assert_int_equal(house_number(&h, "domains.0.buffers.free") +
				 house_number(&h, "domains.0.buffers.stocked"),
			 house_number(&h, "domains.0.buffers.total"));
	guest_free(&g);
	house_free(&h);
}

/* As many stripes of counts as there are cores, and some to share; no more than
 * the client takes, and one that does not say is of before. A worker goes on
 * with whatever its predecessor gave. */
static void test_stripes_as_asked(void **state)
{
	static const uint32_t asked[] = {0,	    1, 2, 7, HS_SHM_STRIPES_MAX,
					 UINT32_MAX};
	struct hs_shm_hello hello = {
		.magic = HS_SHM_HELLO_MAGIC,
		.version_min = HS_SHM_VERSION,
		.version_max = HS_SHM_VERSION,
		.service = "guest",
	};
	struct guest g[sizeof(asked) / sizeof(*asked)];
	struct house h;
	pid_t worker;

	house_make(&h, "limits:\n  rings: 60\n");
	house_start(&h);
	for (size_t i = 0; i < sizeof(asked) / sizeof(*asked); i++) {
		uint32_t most = asked[i] ? asked[i] : HS_SHM_STRIPES_UNSAID;

		if (most > HS_SHM_STRIPES_MAX)
			most = HS_SHM_STRIPES_MAX;
		hello.stripes_max = asked[i];
		guest_attach_hello(&g[i], h.socket, &hello);
		assert_int_equal(g[i].layout.nr_rings, 60);
		assert_int_equal(g[i].layout.nr_stripes, most);
	}
	worker = house_worker(&h);
	assert_int_equal(kill(worker, SIGKILL), 0);
	house_await_worker(&h, worker);
	for (size_t i = 0; i < sizeof(asked) / sizeof(*asked); i++) {
		assert_int_equal(guest_resume(&g[i], h.socket),
				 HS_SHM_VERDICT_RESUMED);
		guest_free(&g[i]);
	}
	house_free(&h);
}

static void test_one_agent_a_run_dir(void **state)
{
	struct house h;

	house_make(&h, NULL);
	house_start(&h);
	assert_int_equal(house_run(&h), 1);
	log_says(&h, "another hs-agent runs in this run_dir");
	assert_true(house_worker(&h) > 0);
	house_free(&h);
}

static void test_killed_keeper(void **state)
{
	struct house h;
	struct guest g;
	pid_t worker;

	house_make(&h, NULL);
	house_start(&h);
	guest_attach(&g, h.socket);
	worker = house_worker(&h);
	kill(h.keeper, SIGKILL);
	await_gone(worker);
	/* Sockets and lock are still there, and in nobody's way. */
	assert_true(house_files(&h) > 0);
	house_start(&h);
	assert_int_equal(guest_resume(&g, h.socket), HS_SHM_VERDICT_UNKNOWN);
	guest_free(&g);
	guest_attach(&g, h.socket);
	guest_free(&g);
	house_free(&h);
}

static void test_takeover(void **state)
{
	struct house h;
	struct guest g;
	uint64_t word;

	house_make(&h, "linger: 60s\n");
	house_start(&h);
	guest_attach(&g, h.socket);
	word = guest_take(&g);
	assert_int_equal(kill(h.keeper, SIGTERM), 0);
	assert_int_equal(house_await_exit(&h), 0);
	house_start(&h);
	assert_int_equal(guest_resume(&g, h.socket), HS_SHM_VERDICT_RESUMED);
	/* The buffer that we hold is not handed out again. */
	for (int i = 0; i < 200; i++)
		assert_int_not_equal(hs_shm_stock_ref(guest_take(&g)),
				     hs_shm_stock_ref(word));
	guest_free(&g);
	kill(h.keeper, SIGTERM);
	assert_int_equal(house_await_exit(&h), 0);
	house_start(&h);
	house_await(&h, "domains", 1);
	house_free(&h);
}

static void stop(struct house *h, const char *body)
{
	int status;
	json_t *json = house_ask(h, "POST", "/v1/stop", body, &status);

	assert_int_equal(status, 200);
	json_decref(json);
	assert_int_equal(house_await_exit(h), 0);
}

static void test_purge(void **state)
{
	struct house h;
	struct guest g;

	house_make(&h, "linger: 60s\n");
	house_start(&h);
	guest_attach(&g, h.socket);
	stop(&h, "{\"purge\":true}");
	assert_int_equal(house_files(&h), 0);
	house_start(&h);
	assert_int_equal(guest_resume(&g, h.socket), HS_SHM_VERDICT_UNKNOWN);
	guest_free(&g);
	stop(&h, "{\"purge\":true}");
	assert_int_equal(house_files(&h), 0);
	house_free(&h);
}

static void test_no_linger(void **state)
{
	struct house h;
	struct guest g;

	house_make(&h, "linger: 0\n");
	house_start(&h);
	guest_attach(&g, h.socket);
	stop(&h, "{}");
	assert_int_equal(house_files(&h), 0);
	guest_free(&g);
	house_free(&h);
}

static void test_crashing_workers(void **state)
{
	struct house h;
	struct guest g;
	pid_t worker = 0;

	house_make(&h, NULL);
	house_start(&h);
	guest_attach(&g, h.socket);
	/* On a busy machine a worker may live too long to count: more then. */
	for (int i = 0; i < 100 && !log_has(&h, "its traces are given up");
	     i++) {
		worker = house_await_worker(&h, worker);
		kill(worker, SIGSEGV);
	}
	house_await_worker(&h, worker);
	log_says(&h, "its traces are given up");
	log_says(&h, "nothing to adopt, beginning afresh");
	assert_int_equal(guest_resume(&g, h.socket), HS_SHM_VERDICT_UNKNOWN);
	guest_free(&g);
	house_free(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_killed_workers),
		cmocka_unit_test(test_stripes_as_asked),
		cmocka_unit_test(test_one_agent_a_run_dir),
		cmocka_unit_test(test_killed_keeper),
		cmocka_unit_test(test_takeover),
		cmocka_unit_test(test_purge),
		cmocka_unit_test(test_no_linger),
		cmocka_unit_test(test_crashing_workers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
