/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: a peer: LTTng-UST, an event of four u64 into an overwriting
 * snapshot session, which is how it would fly as a recorder.
 */
#define LTTNG_UST_TRACEPOINT_CREATE_PROBES
#define LTTNG_UST_TRACEPOINT_DEFINE
#include <bench/peer_lttng.inc>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/bench.h"

#define SESSION	   "hs-perf"
#define WAIT_MS	   5000
#define WAIT_ROUND 10

static pid_t daemon_pid = -1;

static int quiet(const char *command)
{
	char line[512];

	snprintf(line, sizeof(line), "%s >/dev/null 2>&1", command);
	return system(line) == 0 ? 0 : -1;
}

/* Like the agent: on a core that is not the writer's. */
static int daemon_start(int cpu)
{
	daemon_pid = fork();
	if (daemon_pid == 0) {
		hs_bench_pin(cpu);
		if (!freopen("/dev/null", "w", stderr))
			_exit(127);
		execlp("lttng-sessiond", "lttng-sessiond", "--no-kernel", NULL);
		_exit(127);
	}
	return daemon_pid > 0 ? 0 : -1;
}

static int start(int cpu)
{
	if (daemon_start(cpu))
		return -1;
	for (int ms = 0; quiet("lttng list"); ms += WAIT_ROUND) {
		if (ms > WAIT_MS || waitpid(daemon_pid, NULL, WNOHANG))
			return -1;
		usleep(WAIT_ROUND * 1000);
	}
	if (quiet("lttng create " SESSION " --snapshot") ||
	    quiet("lttng enable-channel -u -s " SESSION
		  " c --overwrite --subbuf-size=1M --num-subbuf=4") ||
	    quiet("lttng enable-event -u -s " SESSION " -c c hs_bench:event") ||
	    quiet("lttng start " SESSION))
		return -1;
	for (int ms = 0; ms < WAIT_MS; ms += WAIT_ROUND) {
		if (lttng_ust_tracepoint_enabled(hs_bench, event))
			return 0;
		usleep(WAIT_ROUND * 1000);
	}
	return -1;
}

static void run(void *data, uint32_t n)
{
	uint64_t v[4];

	memcpy(v, data, sizeof(v));
	for (uint32_t i = 0; i < n; i++)
		lttng_ust_tracepoint(hs_bench, event, v[0], v[1], v[2], v[3]);
}

static void stop(void)
{
	(void)quiet("lttng destroy " SESSION);
	if (daemon_pid > 0) {
		kill(daemon_pid, SIGTERM);
		waitpid(daemon_pid, NULL, 0);
	}
}

__attribute__((visibility("default")))
const struct hs_bench_peer hs_bench_peer = {
	.name = "lttng_ust",
	.start = start,
	.run = run,
	.stop = stop,
};
