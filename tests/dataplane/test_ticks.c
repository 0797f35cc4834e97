/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records that threads append by themselves: their times in ticks, and what a
 * signal handler, a fork and a new agent do to an open window.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "dataplane/calibration.h"
#include "dataplane/clock.h"
#include "dataplane/handle.h"
#include "dataplane/trace.h"
#include "dataplane/write.h"
#include "harness.h"

static const struct hs_trace_id ID = {0x1122334455667788, 0x99aabbccddeeff00};
static struct fake_agent agent;
static uint8_t data[8192];

#define T0 1000000000000000000ull

/* A tick is a nanosecond; what is counted now is about T0. */
static uint64_t base_ticks;

static int setup(void **state)
{
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)('a' + i % 26);
	harness_attach(&agent, NULL, NULL);
	fake_agent_stock_all(&agent, 1, 32);
	base_ticks = hs_ticks();
	fake_agent_calibrate(&agent, 3, base_ticks, T0);
	hs_client_poll();
	return 0;
}

static int teardown(void **state)
{
	harness_detach(&agent);
	return 0;
}

/* Times as they come, for tests that know only their order. */
struct seen {
	uint64_t nr;
	uint64_t last_ns;
	uint64_t bytes;
	bool ordered;
	bool sound;
};

static int see(void *context, const struct hs_record *r)
{
	struct seen *s = context;

	if (r->type != HS_RECORD_TRACEPOINT)
		return 0;
	s->ordered &= r->time_ns >= s->last_ns;
	s->last_ns = r->time_ns;
	s->bytes += r->u.tracepoint.size_bytes;
	s->sound &=
		!memcmp(r->u.tracepoint.data, data, r->u.tracepoint.size_bytes);
	s->nr++;
	return 0;
}

static struct seen read_all(struct hs_record_stats *stats)
{
	static struct hs_record_buffer buffers[FAKE_BUFFERS_MAX];
	static uint8_t scratch[HS_RECORD_SCRATCH_BYTES];
	struct seen seen = {.ordered = true, .sound = true};
	struct hs_record_visitor visitor = {&seen, see};
	size_t nr;

	memset(stats, 0, sizeof(*stats));
	fake_agent_drain(&agent);
	nr = fake_agent_buffers(&agent, ID, 0, buffers, FAKE_BUFFERS_MAX);
	hs_record_read(buffers, nr, scratch, sizeof(scratch), &visitor, stats);
	return seen;
}

static void assert_whole(const struct hs_record_stats *s)
{
	assert_int_equal(s->garbage + s->cut + s->gaps + s->unknown +
				 s->skipped_bytes + s->bad_buffers,
			 0);
}

static void test_ticks_become_time(void **state)
{
	struct hs_record_stats stats;
	uint64_t before = T0 + (hs_ticks() - base_ticks);
	uint64_t after;
	struct seen seen;
	struct hs_trace *t = hs_trace_begin(&ID, NULL);

	for (int i = 0; i < 500; i++)
		hs_tracepoint(t, data, 32);
	after = T0 + (hs_ticks() - base_ticks);
	assert_int_equal(t->ticks, 1);
	hs_trace_end(t);
	seen = read_all(&stats);
	assert_whole(&stats);
	assert_int_equal(seen.nr, 500);
	assert_int_equal(seen.bytes, 500 * 32);
	assert_true(seen.ordered && seen.sound);
	assert_in_range(seen.last_ns, before, after);
}

/* The lower 48 bits of the counter wrap within a buffer. */
static void test_counter_wraps(void **state)
{
	uint64_t base = 0x0000fffffffffff0ull;

	assert_int_equal(hs_record_ticks_near(base, 0x0000000000000010ull),
			 0x0001000000000010ull);
	assert_int_equal(hs_record_ticks_near(base + 0x20, 0xfffffffffff8ull),
			 0x0000fffffffffff8ull);
	/* Before the base too: cores are read at about one moment. */
	assert_int_equal(hs_record_ticks_ns(1000, 50, 2ull << 32, 40), 980);
	assert_int_equal(hs_record_ticks_ns(1000, 50, 1ull << 31, 60), 1005);
}

static void test_explicit_times_stay_exact(void **state)
{
	struct hs_record_stats stats;
	struct hs_trace *t = hs_trace_begin(&ID, NULL);
	struct hs_span_args args = {.size_bytes = sizeof(args),
				    .name = "n",
				    .id = 1,
				    .has_start = true,
				    .start_ns = 1234567890123456789ull};
	struct hs_span s;
	const char *text;

	/* Opened by a record of now, so that the buffer counts ticks. */
	hs_tracepoint(t, data, 8);
	assert_int_equal(t->ticks, 1);
	hs_span_start_args(t, &s, &args);
	hs_span_event_at(&s, 3, "e", NULL, 0);
	hs_tracepoint_at(t, 1600000000000000001ull, data, 4);
	hs_span_end_at(&s, 1234567890123456790ull);
	hs_trace_end(t);
	text = harness_text(&agent, ID, 0, &stats);
	assert_whole(&stats);
	text = strchr(text, '\n') + 1;
	assert_string_equal(text, "resource 0 svc\n"
				  "start 0 id=1 parent=0 res=0 kind=0 "
				  "t=1234567890123456789 n\n"
				  "event 0 t=3 e\n"
				  "point t=1600000000000000001 abcd\n"
				  "end 0 t=1234567890123456790\n");
}

/* One that a caller's time opens counts in ns, to stay small. */
static void test_explicit_opener(void **state)
{
	struct hs_trace *t = hs_trace_begin(&ID, NULL);

	hs_tracepoint_at(t, 77, data, 8);
	assert_int_equal(t->ticks, 0);
	assert_int_equal(t->w.open, 0);
	hs_trace_end(t);
	assert_string_equal(harness_text(&agent, ID, 0, NULL),
			    "point t=77 abcdefgh\n");
}

static void test_every_length(void **state)
{
	struct hs_record_stats stats;
	struct hs_trace *t = hs_trace_begin(&ID, NULL);
	uint64_t bytes = 0;
	struct seen seen;

	for (size_t n = 0; n < 300; n++, bytes += n - 1)
		hs_tracepoint(t, data, n);
	for (size_t n = 1000; n < 3600; n += 173, bytes += n - 173)
		hs_tracepoint_plain(t, data, n);
	hs_trace_end(t);
	seen = read_all(&stats);
	assert_whole(&stats);
	assert_true(seen.sound && seen.ordered);
	assert_int_equal(seen.bytes, bytes);
}

/* What was written is committed, whatever its length, before the call ends. */
static void test_committed_at_once(void **state)
{
	struct hs_record_stats stats;
	struct hs_trace *t = hs_trace_begin(&ID, NULL);
	const struct hs_shm_buffer *b;
	struct seen seen;

	hs_tracepoint(t, data, 8);
	b = (const void *)t->w.base;
	hs_tracepoint(t, data, 2048);
	assert_int_equal(b->committed, t->w.pos);
	assert_int_equal(t->w.open, 1);
	hs_tracepoint_plain(t, data, 8);
	assert_int_equal(b->committed, t->w.pos);
	hs_trace_detach(t);
	hs_trace_attach(t);
	for (int i = 0; i < 20; i++)
		hs_tracepoint(t, data, 1500);
	hs_trace_end(t);
	seen = read_all(&stats);
	assert_whole(&stats);
	assert_true(seen.sound && seen.ordered);
	assert_int_equal(seen.nr, 23);
}

/* A record runs on over several buffers, each with a clock of its own. */
static void test_runs_on(void **state)
{
	static uint8_t long_data[10000];
	struct hs_record_stats stats;
	struct hs_trace *t = hs_trace_begin(&ID, NULL);
	struct seen seen;

	hs_tracepoint(t, data, 32);
	for (size_t i = 0; i < sizeof(long_data); i++)
		long_data[i] = (uint8_t)('a' + i % 26);
	hs_tracepoint(t, long_data, 8192);
	hs_tracepoint(t, data, 32);
	hs_trace_end(t);
	seen = read_all(&stats);
	assert_whole(&stats);
	assert_int_equal(seen.nr, 3);
	assert_int_equal(seen.bytes, 8192 + 64);
	assert_true(seen.ordered && seen.sound);
	assert_true(seen.last_ns >= T0);
}

static void test_plain_takes_the_time_before(void **state)
{
	struct hs_trace *t = hs_trace_begin(&ID, NULL);

	hs_tracepoint_at(t, 500, "x", 1);
	hs_tracepoint_plain(t, data, 4);
	hs_trace_end(t);
	assert_string_equal(harness_text(&agent, ID, 0, NULL),
			    "point t=500 x\npoint t=500 abcd\n");
}

/* Without its first record no time in a buffer of ticks means anything. */
static void test_no_clock_no_times(void **state)
{
	struct hs_record_stats stats;
	struct hs_trace *t = hs_trace_begin(&ID, NULL);
	uint8_t *clock;
	struct seen seen;

	hs_tracepoint(t, data, 32);
	clock = t->w.base + sizeof(struct hs_shm_buffer);
	assert_int_equal(clock[0], HS_RECORD_CLOCK | HS_RECORD_F_SHORT);
	clock[0] = HS_RECORD_FLAGS | HS_RECORD_F_SHORT;
	hs_trace_end(t);
	seen = read_all(&stats);
	assert_int_equal(seen.nr, 0);
	assert_int_equal(stats.garbage, 2);
}

/* ---- whoever comes in between ------------------------------------------- */

static struct hs_trace *handled;
static void handler(int sig)
{
	hs_tracepoint(handled, "nested!!", 8);
}

/* As a handler finds it amid an append. */
static void test_nested_is_dropped(void **state)
{
	struct hs_record_stats stats;
	struct hs_client_stats counts;
	struct seen seen;

	handled = hs_trace_begin(&ID, NULL);
	hs_tracepoint(handled, data, 32);
	signal(SIGUSR1, handler);
	assert_int_equal(handled->w.open, 1);
	handled->w.open = 0;
	raise(SIGUSR1);
	hs_trace_end(handled);
	hs_client_stats_get(&counts);
	assert_int_equal(counts.calls_nested, 2);
	handled->w.open = 1;
	signal(SIGUSR1, SIG_DFL);
	hs_trace_end(handled);
	seen = read_all(&stats);
	assert_int_equal(seen.nr, 1);
}

static void on_alarm(int sig)
{
	hs_tracepoint(handled, data, 24);
}

/* Signals at any instruction: whole records, whatever was dropped. */
static void test_signals_everywhere(void **state)
{
	struct itimerval every = {{0, 50}, {0, 50}};
	struct itimerval never = {{0, 0}, {0, 0}};
	struct hs_record_stats stats;
	struct hs_client_stats counts;
	struct seen seen;

	handled = hs_trace_begin(&ID, NULL);
	hs_tracepoint(handled, data, 32);
	signal(SIGALRM, on_alarm);
	setitimer(ITIMER_REAL, &every, NULL);
	for (int i = 0; i < 2500; i++) {
		hs_tracepoint(handled, data, 32);
		hs_tracepoint(handled, data, (size_t)(i % 40));
		for (volatile int k = 0; k < 100; k++)
			;
	}
	setitimer(ITIMER_REAL, &never, NULL);
	signal(SIGALRM, SIG_DFL);
	hs_trace_end(handled);
	hs_client_stats_get(&counts);
	seen = read_all(&stats);
	assert_int_equal(stats.garbage + stats.cut + stats.unknown, 0);
	assert_true(seen.sound);
	assert_true(seen.nr + counts.buffers_null >= 5001);
}

/* A child that goes on with the parent's handle writes nowhere. */
static void test_fork_shuts_windows(void **state)
{
	struct hs_trace *t = hs_trace_begin(&ID, NULL);
	struct hs_span s;
	pid_t pid;
	int status;

	hs_span_start(t, &s, "n", 0);
	assert_int_equal(t->w.open, 1);
	pid = fork();
	if (pid == 0) {
		hs_tracepoint(t, data, 32);
		hs_tracepoint(t, data, 2048);
		hs_span_attr_i64(&s, "k", 1);
		hs_span_end(&s);
		hs_trace_end(t);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	hs_span_end(&s);
	hs_trace_end(t);
}

static void test_closed_and_renewed(void **state)
{
	struct hs_trace *t = hs_trace_begin(&ID, NULL);
	struct hs_client_stats counts;

	hs_tracepoint(t, data, 32);
	fake_agent_hang_up(&agent);
	fake_agent_renew(&agent);
	for (int i = 0; i < 100; i++) {
		hs_client_poll();
		fake_agent_serve(&agent);
	}
	/* Its memory is no longer shared; writing there harms nobody. */
	for (int i = 0; i < 1000; i++)
		hs_tracepoint(t, data, 32);
	hs_trace_end(t);
	hs_tracepoint(t, data, 32);
	hs_client_close();
	hs_tracepoint(t, data, 32);
	hs_client_stats_get(&counts);
	assert_int_equal(t->w.open, 0);
	fake_agent_stop(&agent);
	harness_attach(&agent, NULL, NULL);
}

/* Without a client there is no window, and no word that threads share. */
static void test_none(void **state)
{
	struct hs_trace *t;
	struct hs_span s;

	hs_client_close();
	t = hs_trace_begin(&ID, NULL);
	assert_non_null(t);
	hs_tracepoint(t, data, 32);
	hs_tracepoint_plain(t, data, 2048);
	hs_span_start(t, &s, "n", 0);
	hs_span_attr_str(&s, "k", "v");
	hs_span_end(&s);
	hs_trace_detach(t);
	hs_trace_attach(t);
	assert_int_equal(hs_trace_id_get(t).lo, 0);
	hs_trace_end(t);
	hs_tracepoint(hs_thread_trace(), data, 32);
	fake_agent_stop(&agent);
	harness_attach(&agent, NULL, NULL);
}

static void test_calibration_goes_away(void **state)
{
	struct hs_trace *t;

	fake_agent_calibrate(&agent, 0, 0, 0);
	hs_client_poll();
	t = hs_trace_begin(&ID, NULL);
	hs_tracepoint(t, data, 32);
	assert_int_equal(t->ticks, 0);
	hs_trace_end(t);
}

static void emit_data(struct hs_sink *s, const void *stamp)
{
	if (stamp)
		hs_sink_time(s, stamp);
	hs_sink_bytes(s, data, stamp ? 32 : sizeof(data));
}

/* A time that was told for one buffer, and a record that starts in another. */
static void test_calibration_goes_amid_a_call(void **state)
{
	struct hs_stamp now = {.kind = HS_STAMP_NOW};
	struct hs_trace *t = hs_trace_begin(&ID, NULL);
	struct hs_tls *tls = hs_client_enter();
	struct hs_record_stats stats;
	struct seen seen;

	assert_true(hs_write_open(tls, t, &now));
	assert_true(now.taken && now.in_ticks);
	hs_client_leave(tls);
	fake_agent_calibrate(&agent, 0, 0, 0);
	hs_client_poll();
	tls = hs_client_enter();
	assert_true(hs_write_before(tls, t, HS_RECORD_POINT, &now, emit_data,
				    NULL));
	assert_int_equal(t->ticks, 0);
	assert_true(hs_write_record(tls, t, HS_RECORD_TRACEPOINT, &now,
				    emit_data, &now));
	hs_client_leave(tls);
	hs_trace_end(t);
	seen = read_all(&stats);
	assert_whole(&stats);
	assert_int_equal(seen.nr, 2);
}

static void set_clock(enum hs_client_clock clock)
{
	struct hs_client_options options = {.service = "svc", .clock = clock};

	harness_attach(&agent, NULL, &options);
	fake_agent_stock_all(&agent, 1, 32);
	fake_agent_calibrate(&agent, 3, hs_ticks(), T0);
	hs_client_poll();
}

/* One tracepoint now; false: in ticks. */
static bool is_in_ns(uint64_t *ns)
{
	struct hs_record_stats stats;
	struct hs_trace *t = hs_trace_begin(&ID, NULL);
	bool in_ns;

	hs_tracepoint(t, data, 32);
	in_ns = !t->ticks;
	hs_trace_end(t);
	*ns = read_all(&stats).last_ns;
	assert_whole(&stats);
	return in_ns;
}

/* A calibration is there, and not asked. */
static void test_clocks_to_choose(void **state)
{
	struct hs_client_options bad = {.size_bytes = sizeof(bad),
					.clock = HS_CLIENT_CLOCK_COARSE + 1};
	uint64_t before, ns, after;

	set_clock(HS_CLIENT_CLOCK_PORTABLE);
	before = hs_clock_real_ns();
	assert_true(is_in_ns(&ns));
	assert_in_range(ns, before, hs_clock_real_ns());
	harness_detach(&agent);

	set_clock(HS_CLIENT_CLOCK_COARSE);
	before = hs_clock_coarse_ns();
	assert_true(is_in_ns(&ns));
	after = hs_clock_coarse_ns();
	assert_in_range(ns, before, after);
	harness_detach(&agent);

	/* By the environment, where the application says nothing. */
	setenv("HS_CLOCK", "coarse", 1);
	set_clock(HS_CLIENT_CLOCK_BEST);
	assert_true(is_in_ns(&ns));
	harness_detach(&agent);
	setenv("HS_CLOCK", "nonsense", 1);
	set_clock(HS_CLIENT_CLOCK_BEST);
	assert_false(is_in_ns(&ns));
	harness_detach(&agent);
	unsetenv("HS_CLOCK");
	assert_int_equal(hs_client_open(&bad), -EINVAL);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_ticks_become_time),
		T(test_counter_wraps),
		T(test_explicit_times_stay_exact),
		T(test_explicit_opener),
		T(test_every_length),
		T(test_committed_at_once),
		T(test_runs_on),
		T(test_plain_takes_the_time_before),
		T(test_no_clock_no_times),
		T(test_nested_is_dropped),
		T(test_signals_everywhere),
		T(test_fork_shuts_windows),
		T(test_closed_and_renewed),
		T(test_calibration_goes_away),
		T(test_calibration_goes_amid_a_call),
		T(test_none),
		cmocka_unit_test(test_clocks_to_choose),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
