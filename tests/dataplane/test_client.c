/* SPDX-License-Identifier: Apache-2.0 */
/* Opening, attaching, resuming, renewing, forking, closing; and no agent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "dataplane/attachment.h"
#include "harness.h"

static const struct hs_trace_id ID = {0x11, 0x22};
static struct fake_agent agent;

/* Every call of the API, as far as it can be made without a client. */
static void call_everything(void)
{
	struct hs_attr attr = {.key = "k", .type = HS_VALUE_BOOL};
	struct hs_span_args args = {.size_bytes = sizeof(args), .name = "n"};
	struct hs_context c = {.trace_id = {1, 2},
			       .nr_crumbs = 1,
			       .flags = HS_CONTEXT_F_TRIGGERED,
			       .crumbs = {77}};
	struct hs_trigger *trigger = hs_trigger_define("everything");
	struct hs_trace *t = hs_trace_begin(&ID, &c);
	struct hs_client_stats stats;
	struct hs_context out;
	struct hs_span s, u;

	assert_non_null(t);
	assert_non_null(trigger);
	hs_span_start(t, &s, "n", 0);
	hs_span_start_args(NULL, &u, &args);
	hs_span_attr(&s, &attr);
	hs_span_attr_str(&s, "k", "v");
	hs_span_attr_str(&s, NULL, NULL);
	hs_span_attr_i64(&s, "k", 1);
	hs_span_attr_f64(&s, "k", 1);
	hs_span_attr_bool(&s, "k", 1);
	hs_span_event(&s, "e", &attr, 1);
	hs_span_event_at(&s, 1, NULL, NULL, 0);
	hs_span_status(&s, HS_SPAN_STATUS_OK, NULL);
	hs_span_link(&s, HS_LINK_LINK, NULL, 1, NULL, NULL, 0);
	hs_span_text(&s, HS_SPAN_TEXT_WARNING, "w");
	hs_span_flags(&s, 1);
	hs_span_end(&s);
	hs_span_end_at(&u, 1);
	hs_span_end(NULL);
	hs_tracepoint(t, "x", 1);
	hs_tracepoint(t, NULL, 5);
	hs_tracepoint_at(NULL, 1, "x", 1);
	hs_context_inject(t, 1, &out);
	hs_context_reply_inject(t, &out);
	hs_context_reply_extract(t, &c);
	hs_context_forward(t, 99);
	hs_trace_detach(t);
	hs_trace_attach(t);
	(void)hs_trace_id_get(t);
	(void)hs_trace_id_get(NULL);
	hs_trace_end(t);
	hs_trace_end(t);
	hs_trace_end(NULL);
	hs_thread_begin(&ID, &c);
	hs_tracepoint(NULL, "x", 1);
	assert_non_null(hs_thread_trace());
	hs_thread_end();
	hs_thread_end();
	(void)hs_trigger_fire(trigger, &ID, &ID, 1);
	hs_client_stats_get(&stats);
	(void)hs_client_node();
	assert_true(hs_trace_id_make().lo != 0);
}

static void test_before_open(void **state)
{
	struct hs_context out;

	call_everything();
	assert_false(hs_client_attached());
	assert_int_equal(hs_client_poll(), -ENOTCONN);
	hs_client_close();
	hs_context_inject(hs_trace_begin(NULL, NULL), 1, &out);
	assert_int_equal(out.trace_id.lo, 0);
}

static void test_options(void **state)
{
	struct hs_client_options o = {.size_bytes = 1};

	assert_int_equal(hs_client_open(&o), -EINVAL);
	o = (struct hs_client_options){.size_bytes = sizeof(o),
				       .max_traces = 1u << 30};
	assert_int_equal(hs_client_open(&o), -EINVAL);
	o = (struct hs_client_options){.size_bytes = sizeof(o),
				       .socket_path =
					       "/a/path/that/does/not/fit/"
					       "into/the/address/of/a/unix/"
					       "socket/because/it/goes/on/and/"
					       "on/and/on/and/on/and/on/and"};
	assert_int_equal(hs_client_open(&o), -EINVAL);
	o.socket_path = "/nonexistent/s";
	o.no_thread = true;
	assert_int_equal(hs_client_open(&o), 0);
	assert_int_equal(hs_client_open(&o), -EBUSY);
	hs_client_close();
}

static void test_without_agent(void **state)
{
	struct hs_client_options o = {.size_bytes = sizeof(o),
				      .socket_path = "/nonexistent/s"};
	struct hs_context in = {.trace_id = {5, 6},
				.flags = HS_CONTEXT_F_SAMPLED,
				.nr_crumbs = 2,
				.crumbs = {70, 71}};
	struct hs_context out;
	struct hs_trace *t;

	/* With a helper thread of its own. */
	assert_int_equal(hs_client_open(&o), 0);
	call_everything();
	t = hs_trace_begin(NULL, &in);
	hs_context_inject(t, 9, &out);
	assert_int_equal(out.trace_id.hi, 5);
	assert_int_equal(out.span_id, 9);
	assert_int_equal(out.flags, HS_CONTEXT_F_SAMPLED);
	hs_trace_end(t);
	hs_client_close();
	call_everything();
}

static void test_thread_attaches(void **state)
{
	struct hs_client_options o = {.size_bytes = sizeof(o)};

	fake_agent_start(&agent, NULL);
	o.socket_path = agent.path;
	assert_int_equal(hs_client_open(&o), 0);
	/* Until the suite's time is up; nothing else ends this but success. */
	while (!hs_client_attached()) {
		fake_agent_serve(&agent);
		usleep(1000);
	}
	call_everything();
	hs_client_close();
	fake_agent_stop(&agent);
}

static void test_after_close(void **state)
{
	struct hs_trace *t;
	struct hs_span s;

	harness_attach(&agent, NULL, NULL);
	fake_agent_stock_all(&agent, 0, 8);
	t = hs_trace_begin(&ID, NULL);
	hs_span_start(t, &s, "s", 0);
	hs_client_close();
	call_everything();
	hs_span_end(&s);
	hs_tracepoint(t, "x", 1);
	hs_trace_end(t);
	fake_agent_stop(&agent);
	/* And again, with a trace left over from before. */
	harness_attach(&agent, NULL, NULL);
	fake_agent_stock_all(&agent, 0, 8);
	hs_span_end(&s);
	t = hs_trace_begin(&ID, NULL);
	hs_tracepoint_at(t, 1, "again", 5);
	hs_trace_end(t);
	assert_string_equal(harness_text(&agent, ID, 0, NULL),
			    "point t=1 again\n");
	harness_detach(&agent);
}

static void test_left_over_trace(void **state)
{
	struct hs_trace *old, *t;

	harness_attach(&agent, NULL, NULL);
	old = hs_trace_begin(&ID, NULL);
	harness_detach(&agent);
	harness_attach(&agent, NULL, NULL);
	fake_agent_stock_all(&agent, 0, 8);
	t = hs_trace_begin(&ID, NULL);
	assert_ptr_not_equal(t, old);
	hs_tracepoint_at(old, 1, "old", 3);
	hs_trace_end(old);
	hs_trace_end(t);
	fake_agent_drain(&agent);
	assert_int_equal(agent.nr_entries, 1);
	harness_detach(&agent);
}

static void test_resume(void **state)
{
	struct fake_config config = fake_config_default();
	struct hs_client_stats stats;
	struct hs_trace *t;

	config.knows_resume = true;
	harness_attach(&agent, &config, NULL);
	fake_agent_stock_all(&agent, 0, 8);
	t = hs_trace_begin(&ID, NULL);
	hs_tracepoint_at(t, 1, "before", 6);
	fake_agent_hang_up(&agent);
	assert_int_equal(hs_client_poll(), -ENOTCONN);
	assert_false(hs_client_attached());
	hs_tracepoint_at(t, 2, "between", 7);
	harness_settle(&agent);
	assert_int_equal(agent.hello.resume_process, agent.process);
	hs_tracepoint_at(t, 3, "after", 5);
	hs_trace_end(t);
	assert_string_equal(harness_text(&agent, ID, 0, NULL),
			    "point t=1 before\npoint t=2 between\n"
			    "point t=3 after\n");
	hs_client_stats_get(&stats);
	assert_int_equal(stats.attachments, 2);
	harness_detach(&agent);
}

static void test_renew(void **state)
{
	struct hs_trace *t, *u;

	harness_attach(&agent, NULL, NULL);
	fake_agent_stock_all(&agent, 0, 8);
	t = hs_trace_begin(&ID, NULL);
	hs_tracepoint_at(t, 1, "lost", 4);
	fake_agent_renew(&agent);
	hs_client_poll();
	harness_settle(&agent);
	fake_agent_stock_all(&agent, 0, 8);
	/* The old one is dropped, wherever it stands, and nothing faults. */
	hs_tracepoint_at(t, 2, "lost", 4);
	u = hs_trace_begin(&ID, NULL);
	hs_tracepoint_at(u, 3, "kept", 4);
	hs_trace_end(t);
	hs_trace_end(u);
	assert_string_equal(harness_text(&agent, ID, 0, NULL),
			    "point t=3 kept\n");
	assert_int_equal(agent.nr_entries, 1);
	harness_detach(&agent);
}

static void test_closefrom(void **state)
{
	struct fake_config config = fake_config_default();
	int stolen[16];
	struct hs_trace *t;
	int conn;

	config.knows_resume = true;
	harness_attach(&agent, &config, NULL);
	fake_agent_stock_all(&agent, 0, 8);
	conn = agent.conn;
	/* Close what is not the agent's, as an application would; then open
	 * something of its own under the same numbers. */
	for (int fd = 3; fd < 64; fd++) {
		if (fd != agent.listener && fd != conn && fd != agent.fds[0] &&
		    fd != agent.fds[1] && fd != agent.fds[2])
			close(fd);
	}
	for (int i = 0; i < 16; i++)
		stolen[i] = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	t = hs_trace_begin(&ID, NULL);
	hs_tracepoint_at(t, 1, "on", 2);
	assert_int_equal(hs_client_poll(), -ENOTCONN);
	harness_settle(&agent);
	hs_trace_end(t);
	assert_string_equal(harness_text(&agent, ID, 0, NULL),
			    "point t=1 on\n");
	/* None of the application's own was closed. */
	for (int i = 0; i < 16; i++) {
		assert_true(fcntl(stolen[i], F_GETFD) >= 0);
		close(stolen[i]);
	}
	harness_detach(&agent);
}

/* ---- fork ------------------------------------------------------------------
 */

static void child_life(struct hs_trace *t, struct hs_span *s)
{
	struct fake_agent own;
	struct hs_context out;

	if (hs_client_attached())
		_exit(1);
	hs_span_end(s);
	hs_tracepoint(t, "x", 1);
	hs_tracepoint(NULL, "x", 1);
	hs_context_inject(t, 1, &out);
	hs_trace_end(t);
	call_everything();
	hs_client_close();
	/* It may become a client of its own, and then everything works. */
	harness_attach(&own, NULL, NULL);
	fake_agent_stock_all(&own, 0, 8);
	hs_span_end(s);
	hs_thread_begin(&ID, NULL);
	hs_tracepoint_at(NULL, 1, "child", 5);
	hs_thread_end();
	if (strcmp(harness_text(&own, ID, 0, NULL), "point t=1 child\n") != 0)
		_exit(2);
	harness_detach(&own);
	_exit(0);
}

static void fork_with(pid_t (*make)(void))
{
	struct hs_trace *t;
	struct hs_span s;
	int status;
	pid_t pid;

	harness_attach(&agent, NULL, NULL);
	fake_agent_stock_all(&agent, 0, 8);
	hs_thread_begin(&ID, NULL);
	t = hs_thread_trace();
	hs_tracepoint_at(t, 1, "parent", 6);
	hs_span_start(t, &s, "s", 0);
	pid = make();
	assert_true(pid >= 0);
	if (pid == 0)
		child_life(t, &s);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	hs_span_end(&s);
	hs_thread_end();
	fake_agent_drain(&agent);
	assert_int_equal(agent.nr_entries, 1);
	assert_int_equal(hs_client_poll(), 0);
	harness_detach(&agent);
}

static pid_t fork_by_libc(void)
{
	return fork();
}

/* A fork that no handler of libc's hears of. */
static pid_t fork_by_kernel(void)
{
	return (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
}

static void test_fork(void **state)
{
	fork_with(fork_by_libc);
}

static void test_clone(void **state)
{
	fork_with(fork_by_kernel);
}

/* ---- hostile agents ---------------------------------------------------------
 */

static void refused(const struct fake_config *config)
{
	struct hs_client_options o = {.size_bytes = sizeof(o),
				      .no_thread = true};

	fake_agent_start(&agent, config);
	o.socket_path = agent.path;
	assert_int_equal(hs_client_open(&o), 0);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(hs_client_poll(), -ENOTCONN);
		fake_agent_serve(&agent);
	}
	assert_true(agent.nr_hellos >= 1);
	call_everything();
	hs_client_close();
	fake_agent_stop(&agent);
}

static void test_refused(void **state)
{
	struct fake_config config = fake_config_default();

	config.unsealed = true;
	refused(&config);
	config = fake_config_default();
	config.small_up = true;
	refused(&config);
	config = fake_config_default();
	config.verdict = HS_SHM_VERDICT_FULL;
	refused(&config);
	config.verdict = HS_SHM_VERDICT_VERSION;
	refused(&config);
	config.verdict = HS_SHM_VERDICT_RESUMED;
	refused(&config);
	config.verdict = 99;
	refused(&config);
}

static bool is_mapped(void *p, uint64_t bytes)
{
	return msync(p, bytes, MS_ASYNC) == 0;
}

/* Of two pools that are not as long as each other neither is taken, and what
 * lies behind the shorter one stays. */
static void test_pools_alike(void **state)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct fake_config config = fake_config_default();
	struct hs_attachment *at = NULL;
	uint64_t longer;
	int fds[4];

	config.nr_nodes = 2;
	fake_agent_start(&agent, &config);
	/* Longer than all that the agent and the client have mapped. */
	longer = 8 * (agent.layout.down_bytes + agent.layout.up_bytes +
		      agent.layout.pool_bytes);
	longer -= longer % page;
	memcpy(fds, agent.fds, sizeof(fds));
	fds[3] = memfd_create("longer", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_true(fds[3] >= 0);
	assert_int_equal(ftruncate(fds[3], (off_t)longer), 0);
	assert_int_equal(
		fcntl(fds[3], F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
	assert_int_equal(hs_attachment_make(fds, 4, &at), -EBADMSG);
	assert_true(is_mapped(agent.down, agent.layout.down_bytes));
	assert_true(is_mapped(agent.up, agent.layout.up_bytes));
	assert_true(is_mapped(agent.pool, agent.layout.pool_bytes));
	close(fds[3]);
	fake_agent_stop(&agent);
}

/* Every word of the layout set to what is known to hurt. */
static void test_layout_checked(void **state)
{
	static const uint64_t bad[] = {
		0, 1, 63, 1ull << 31, 1ull << 40, UINT64_MAX, UINT64_MAX - 63};
	struct hs_shm_down good, d;
	uint64_t down, up, pool;
	uint32_t taken = 0;

	fake_agent_start(&agent, NULL);
	good = agent.layout;
	fake_agent_stop(&agent);
	down = good.down_bytes;
	up = good.up_bytes;
	pool = good.pool_bytes;
	assert_int_equal(hs_attachment_check(&good, down, up, pool), 0);
	assert_int_not_equal(hs_attachment_check(&good, down - 1, up, pool), 0);
	assert_int_not_equal(hs_attachment_check(&good, down, up - 1, pool), 0);
	assert_int_not_equal(hs_attachment_check(&good, down, up, pool - 1), 0);
	for (size_t at = 0; at + 8 <= sizeof(d); at += 4) {
		for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
			d = good;
			memcpy((uint8_t *)&d + at, &bad[i],
			       at % 8 || i < 4 ? 4 : 8);
			if (hs_attachment_check(&d, down, up, pool))
				continue;
			taken++;
			/* What it takes lies inside. */
			assert_true(d.up_lanes <= up && d.up_slots <= up &&
				    d.up_rings <= up);
			assert_true(d.nr_lanes * d.lane_stride <=
				    up - d.up_lanes);
			assert_true(d.nr_slots * 64ull <= up - d.up_slots);
			assert_true(d.nr_rings * d.nr_classes * 64ull <=
				    up - d.up_rings);
			assert_true(d.nr_rings * d.ring_stride <=
				    down - d.down_rings);
			assert_true(d.nr_lanes * 64ull <= down - d.down_tails);
			assert_true(d.ring_words && d.lane_entries);
			assert_true(hs_shm_ring_offset(d.ring_words,
						       d.nr_classes) <=
				    d.ring_stride);
			assert_true(64 + 32ull * d.lane_entries <=
				    d.lane_stride);
		}
	}
	/* Some words do not matter here: node, process, domain. */
	assert_true(taken > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_before_open),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_without_agent),
		cmocka_unit_test(test_thread_attaches),
		cmocka_unit_test(test_after_close),
		cmocka_unit_test(test_left_over_trace),
		cmocka_unit_test(test_resume),
		cmocka_unit_test(test_renew),
		cmocka_unit_test(test_closefrom),
		cmocka_unit_test(test_fork),
		cmocka_unit_test(test_clone),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_pools_alike),
		cmocka_unit_test(test_layout_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
