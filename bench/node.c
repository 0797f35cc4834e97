/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the agent that hs-perf measures against: the real hs-agent in a
 * folder of its own, on a core of its own.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/bench.h"
#include "hs/hindsight.h"

/* Memory that the host has to find first takes its time. */
#define ATTACH_NS (60 * HS_NS_PER_SEC)

/* A file beside us, wherever the build or an installation put it. */
static bool beside(const char *folder, const char *name, char *out,
		   size_t out_bytes)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n <= 0)
		return false;
	self[n] = '\0';
	slash = strrchr(self, '/');
	if (!slash)
		return false;
	*slash = '\0';
	snprintf(out, out_bytes, "%s/../%s/%s", self, folder, name);
	if (access(out, R_OK) == 0)
		return true;
	snprintf(out, out_bytes, "%s/%s", self, name);
	return access(out, R_OK) == 0;
}

static int write_config(const struct hs_bench_node *node,
			const struct hs_bench_node_config *c)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/agent.yaml", node->dir);
	f = fopen(path, "we");
	if (!f)
		return -errno;
	fprintf(f,
		"node:\n  id: %u\nrun_dir: '%s'\nlinger: 0s\nlog: warn\n"
		"domains:\n  - name: 'bench'\n    socket: '%s/agent.sock'\n"
		"    pool: %llu\n",
		c->number ? c->number : 1, node->dir, node->dir,
		(unsigned long long)c->pool_bytes);
	if (c->buffer_bytes)
		fprintf(f, "    buffer: %llu\n    buffer_max: %llu\n",
			(unsigned long long)c->buffer_bytes,
			(unsigned long long)c->buffer_bytes);
	fprintf(f,
		"limits:\n  ring_words: %u\n  lane_entries: %u\n"
		"  slots: %u\n",
		c->ring_words ? c->ring_words : 4096,
		c->lane_entries ? c->lane_entries : 16384,
		c->nr_slots ? c->nr_slots : 4096);
	if (c->nr_crumb_entries)
		fprintf(f, "  crumb_entries: %llu\n",
			(unsigned long long)c->nr_crumb_entries);
	if (c->byte_rate)
		fprintf(f, "  byte_rate: %llu\n",
			(unsigned long long)c->byte_rate);
	if (c->rules)
		fputs(c->rules, f);
	return fclose(f) ? -EIO : 0;
}

/* By inheritance, so that not one thread begins by another policy. */
int hs_bench_realtime(bool on)
{
	const struct sched_param param = {.sched_priority = on};

	if (!sched_setscheduler(0, on ? SCHED_RR : SCHED_OTHER, &param))
		return 0;
	fprintf(stderr,
		"hs-perf: cannot run daemons by SCHED_RR: %s; should be root, "
		"or have CAP_SYS_NICE\n",
		strerror(errno));
	return -errno;
}

int hs_bench_spawn(const char *folder, const char *name, const char *config,
		   int cpu)
{
	char program[PATH_MAX + 64];
	int pid;

	if (!beside(folder, name, program, sizeof(program)))
		return -ENOENT;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		if (cpu >= 0)
			hs_bench_pin(cpu);
		execl(program, name, "--config", config, NULL);
		_exit(127);
	}
	return pid;
}

static int spawn(struct hs_bench_node *node,
		 const struct hs_bench_node_config *c)
{
	char config[128];
	int rc = c->realtime ? hs_bench_realtime(true) : 0;

	if (rc)
		return rc;
	snprintf(config, sizeof(config), "%s/agent.yaml", node->dir);
	node->pid = hs_bench_spawn("agent", "hs-agent", config, c->cpu);
	if (c->realtime)
		rc = hs_bench_realtime(false);
	return node->pid < 0 ? node->pid : rc;
}

static int attach(struct hs_bench_node *node, uint32_t trigger_rate)
{
	char socket[128];
	struct hs_client_options options = {
		.size_bytes = sizeof(options),
		.socket_path = socket,
		.service = "hs-perf",
		.trigger_rate_per_s = trigger_rate,
	};
	uint64_t end = hs_clock_mono_ns() + ATTACH_NS;
	int rc;

	snprintf(socket, sizeof(socket), "%s/agent.sock", node->dir);
	rc = hs_client_open(&options);
	while (!rc && !hs_client_attached()) {
		if (hs_clock_mono_ns() > end)
			rc = -ETIMEDOUT;
		usleep(1000);
	}
	return rc;
}

int hs_bench_node_start(struct hs_bench_node *node,
			const struct hs_bench_node_config *config)
{
	int rc;

	*node = (struct hs_bench_node){.pid = -1};
	snprintf(node->dir, sizeof(node->dir), "/tmp/hs-perf-XXXXXX");
	if (!mkdtemp(node->dir)) {
		fprintf(stderr, "hs-perf: %s: %s\n", node->dir,
			strerror(errno));
		return -errno;
	}
	rc = write_config(node, config);
	if (!rc)
		rc = spawn(node, config);
	if (!rc)
		rc = attach(node, config->trigger_rate);
	if (rc) {
		fprintf(stderr, "hs-perf: no hs-agent to measure against: %s\n",
			strerror(-rc));
		hs_bench_node_stop(node);
	}
	return rc;
}

static int remove_one(const char *path, const struct stat *st, int flag,
		      struct FTW *ftw)
{
	return remove(path);
}

void hs_bench_remove(const char *dir)
{
	nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

void hs_bench_node_stop(struct hs_bench_node *node)
{
	hs_client_close();
	if (node->pid > 0) {
		kill(node->pid, SIGTERM);
		waitpid(node->pid, NULL, 0);
	}
	if (node->dir[0])
		hs_bench_remove(node->dir);
	*node = (struct hs_bench_node){.pid = -1};
}

uint64_t hs_bench_lost(void)
{
	struct hs_client_stats s;

	hs_client_stats_get(&s);
	return s.buffers_null + s.entries_lost + s.handles_lost +
	       s.calls_nested + s.calls_stale;
}

const struct hs_bench_peer *hs_bench_peer_open(const char *name, int cpu)
{
	const struct hs_bench_peer *peer = NULL;
	char path[PATH_MAX + 64], file[64];
	void *module = NULL;

	snprintf(file, sizeof(file), "peer_%s.so", name);
	if (beside("bench", file, path, sizeof(path)))
		module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (module)
		peer = dlsym(module, HS_BENCH_PEER_SYMBOL);
	if (peer && peer->start(cpu) == 0)
		return peer;
	fprintf(stderr, "hs-perf: %s is not measured: %s\n", name,
		peer	 ? "it could not start"
		: module ? "no peer in it"
			 : "not built, or its libraries are missing");
	return NULL;
}
