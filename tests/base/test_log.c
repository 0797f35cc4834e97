/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: lines of the log, their escaping, levels and rate limit.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int fds[2];
static char got[8192];

static int set_up(void **state)
{
	if (pipe(fds) != 0)
		return -1;
	hs_log_fd_set(fds[1]);
	return 0;
}

static int tear_down(void **state)
{
	hs_log_fd_set(STDERR_FILENO);
	hs_log_level_set(HS_LOG_INFO);
	close(fds[0]);
	close(fds[1]);
	return 0;
}

/* What was written since the last look. */
static const char *read_all(void)
{
	ssize_t n;

	assert_int_equal(write(fds[1], "$", 1), 1);
	n = read(fds[0], got, sizeof(got) - 1);
	assert_true(n >= 1);
	got[n - 1] = '\0';
	return got;
}

static void test_line(void **state)
{
	const char *line;

	errno = 77;
	hs_log_info("agent", "pool ready size_bytes=%d", 64);
	assert_int_equal(errno, 77);
	line = read_all();
	assert_int_equal(line[10], 'T');
	assert_int_equal(line[23], 'Z');
	assert_string_equal(line + 24, " info agent: pool ready "
				       "size_bytes=64\n");
}

static void test_escapes_and_cuts(void **state)
{
	char big[5000];
	const char *line;

	hs_log_warn("x", "name=%s", "a\nb\x1b[0m");
	assert_non_null(strstr(read_all(), "name=a\\x0ab\\x1b[0m\n"));
	memset(big, '\n', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	hs_log_warn("x", "%s", big);
	line = read_all();
	assert_true(strlen(line) <= HS_LOG_LINE_MAX_BYTES);
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
}

static void test_levels(void **state)
{
	enum hs_log_level level = HS_LOG_INFO;

	hs_log_debug("x", "no");
	assert_string_equal(read_all(), "");
	assert_int_equal(hs_log_level_parse("error", &level), 0);
	assert_int_equal(level, HS_LOG_ERROR);
	assert_int_equal(hs_log_level_parse("loud", &level), -EINVAL);
	hs_log_level_set(level);
	hs_log_warn("x", "no");
	assert_string_equal(read_all(), "");
	hs_log_error("x", "yes");
	assert_non_null(strstr(read_all(), " error x: yes\n"));
}

static void test_limit(void **state)
{
	struct hs_log_limit limit = HS_LOG_LIMIT_INIT;
	uint64_t now_ns = 5;
	uint64_t nr = 99;

	for (int i = 0; i < HS_LOG_LIMIT_BURST; i++) {
		assert_true(hs_log_limit_pass(&limit, now_ns, &nr));
		assert_true(nr == 0);
	}
	for (int i = 0; i < 7; i++)
		assert_false(hs_log_limit_pass(&limit, now_ns + 1, &nr));
	now_ns += HS_LOG_LIMIT_INTERVAL_NS;
	assert_true(hs_log_limit_pass(&limit, now_ns, &nr));
	assert_true(nr == 7);
	assert_true(hs_log_limit_pass(&limit, now_ns, &nr));
	assert_true(nr == 0);
}

static void test_limited_macro(void **state)
{
	int nr_lines = 0;

	for (int i = 0; i < 3 * HS_LOG_LIMIT_BURST; i++)
		hs_log_limited(HS_LOG_WARN, "x", "again i=%d", i);
	read_all();
	for (const char *p = got; (p = strchr(p, '\n')) != NULL; p++)
		nr_lines++;
	assert_int_equal(nr_lines, HS_LOG_LIMIT_BURST);
	assert_non_null(strstr(got, "again i=0 suppressed=0\n"));
}

static void test_check_aborts(void **state)
{
	int status = 0;
	pid_t pid;

	hs_check(1 + 1 == 2);
	hs_check(1 + 1 == 2, "with %s", "words");
	pid = fork();
	if (pid == 0) {
		signal(SIGABRT, SIG_DFL);
		hs_check(status == 1, "status=%d", status);
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
	read_all();
	assert_non_null(strstr(got, "broken: status == 1 at="));
	assert_non_null(strstr(got, " status=0\n"));
}

static void test_clocks(void **state)
{
	uint64_t a = hs_clock_mono_ns();

	assert_true(hs_clock_mono_ns() >= a);
	/* after 2020 and before 2100 */
	assert_true(hs_clock_real_ns() > 1577836800ULL * HS_NS_PER_SEC);
	assert_true(hs_clock_real_ns() < 4102444800ULL * HS_NS_PER_SEC);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(test_line),	  CASE(test_escapes_and_cuts),
		CASE(test_levels),	  CASE(test_limit),
		CASE(test_limited_macro), CASE(test_check_aborts),
		CASE(test_clocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
