/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting and ending a fabric of hs-replay's own. See house.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/httpc.h"
#include "tools/replay/house.h"

#define START_TIMEOUT_NS (20 * HS_NS_PER_SEC)
#define STOP_TIMEOUT_NS	 (15 * HS_NS_PER_SEC)

/* Where a build leaves its programs, seen from the one that runs. */
static const char *const places[] = {
	"%s/%s",
	"%s/../agent/%s",
	"%s/../coordinator/%s",
	"%s/../collector/%s",
};

static void sleep_ms(long ms)
{
	struct timespec wait = {.tv_nsec = ms * 1000000};

	nanosleep(&wait, NULL);
}

/* Beside the running program, in the build tree, or else in PATH. */
static void find_program(const char *name, char *out, size_t out_bytes)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	size_t i;

	if (n > 0) {
		const char *dir;

		self[n] = 0;
		dir = dirname(self);
		for (i = 0; i < sizeof(places) / sizeof(*places); i++) {
			struct stat st;

/* The formats are the table's own. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
			n = snprintf(out, out_bytes, places[i], dir, name);
#pragma GCC diagnostic pop
			if (n > 0 && (size_t)n < out_bytes && !stat(out, &st) &&
			    S_ISREG(st.st_mode) && !access(out, X_OK))
				return;
		}
	}
	snprintf(out, out_bytes, "%s", name);
}

static int daemon_start(struct hs_replay_house *house,
			struct hs_replay_daemon *daemon)
{
	char config[HS_FABRIC_PATH_BYTES], log[HS_FABRIC_PATH_BYTES];
	char program[4200];
	int fd;

	snprintf(config, sizeof(config), "%s/%s.yaml", house->dir,
		 daemon->name);
	snprintf(log, sizeof(log), "%s/%s.log", house->dir, daemon->name);
	find_program(daemon->program, program, sizeof(program));
	fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	daemon->pid = fork();
	if (daemon->pid) {
		close(fd);
		return daemon->pid < 0 ? -errno : 0;
	}
	/* ^C is for hs-replay, which ends them in order; when it is killed
	 * they are told to go, unless they are to stay. */
	setpgid(0, 0);
	if (!house->keep)
		prctl(PR_SET_PDEATHSIG, SIGTERM);
	dup2(fd, 1);
	dup2(fd, 2);
	execlp(program, daemon->program, "--config", config, (char *)NULL);
	dprintf(2, "cannot run %s: %s\n", program, strerror(errno));
	_exit(127);
}

static void show_log(const struct hs_replay_house *house, const char *name)
{
	char path[HS_FABRIC_PATH_BYTES], line[1024];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s.log", house->dir, name);
	f = fopen(path, "r");
	if (!f)
		return;
	if (!fseek(f, -2000, SEEK_END) && !fgets(line, sizeof(line), f))
		clearerr(f);
	while (fgets(line, sizeof(line), f))
		fprintf(stderr, "  %s: %s", name, line);
	fclose(f);
}

static int answers(const struct hs_replay_daemon *daemon)
{
	struct hs_httpc_target target = {
		.socket_path = daemon->control,
		.timeout_ns = 2 * HS_NS_PER_SEC,
	};
	struct hs_httpc_response response;
	int ok = !hs_httpc_request(&target, "GET", "/v1/status", NULL,
				   &response) &&
		 response.status == 200;

	hs_httpc_response_free(&response);
	return ok;
}

const char *hs_replay_house_dead(struct hs_replay_house *house)
{
	uint32_t i;
	int status;

	for (i = 0; i < house->nr_daemons; i++) {
		struct hs_replay_daemon *daemon = &house->daemons[i];

		if (daemon->pid > 0 &&
		    waitpid(daemon->pid, &status, WNOHANG) > 0) {
			daemon->pid = 0;
			return daemon->name;
		}
	}
	return NULL;
}

static int await_all(struct hs_replay_house *house)
{
	uint64_t end_ns = hs_clock_mono_ns() + START_TIMEOUT_NS;
	uint32_t i = 0;

	while (i < house->nr_daemons) {
		const char *dead = hs_replay_house_dead(house);

		if (!dead && answers(&house->daemons[i])) {
			i++;
			continue;
		}
		if (!dead && hs_clock_mono_ns() < end_ns) {
			sleep_ms(10);
			continue;
		}
		fprintf(stderr, "hs-replay: %s %s\n",
			dead ? dead : house->daemons[i].name,
			dead ? "ended at once" : "does not answer");
		show_log(house, dead ? dead : house->daemons[i].name);
		return -EPIPE;
	}
	return 0;
}

static void add_daemon(struct hs_replay_house *house, const char *name,
		       const char *program, const char *control)
{
	struct hs_replay_daemon *daemon = &house->daemons[house->nr_daemons++];

	snprintf(daemon->name, sizeof(daemon->name), "%s", name);
	snprintf(daemon->program, sizeof(daemon->program), "%s", program);
	snprintf(daemon->control, sizeof(daemon->control), "%s", control);
}

/* The collector first and the agents last, so that nobody waits in vain. */
static void lay_out(struct hs_replay_house *house, uint32_t nr_nodes)
{
	struct hs_fabric *fabric = &house->fabric;
	uint32_t i;

	fabric->nr_nodes = nr_nodes;
	fabric->nr_coordinators = 1;
	fabric->nr_collectors = 1;
	snprintf(fabric->coordinators[0], HS_FABRIC_PATH_BYTES,
		 "%s/coordinator.sock", house->dir);
	snprintf(fabric->collectors[0], HS_FABRIC_PATH_BYTES,
		 "%s/collector.sock", house->dir);
	add_daemon(house, "collector", "hs-collector", fabric->collectors[0]);
	add_daemon(house, "coordinator", "hs-coordinator",
		   fabric->coordinators[0]);
	for (i = 0; i < nr_nodes; i++) {
		struct hs_fabric_node *node = &fabric->nodes[i];
		char name[32];

		snprintf(node->name, sizeof(node->name), "node-%u", i);
		snprintf(node->agent, sizeof(node->agent), "%s/agent-%u.sock",
			 house->dir, i);
		snprintf(node->application, sizeof(node->application),
			 "%s/app-%u.sock", house->dir, i);
		snprintf(name, sizeof(name), "agent-%u", i);
		add_daemon(house, name, "hs-agent", node->agent);
	}
}

static int make_dir(struct hs_replay_house *house, const char *dir)
{
	char path[4096];

	if (!dir) {
		const char *tmp = getenv("TMPDIR");

		snprintf(house->dir, sizeof(house->dir), "%s/hs-replay-XXXXXX",
			 tmp && strlen(tmp) < 60 ? tmp : "/tmp");
		return mkdtemp(house->dir) ? 0 : -errno;
	}
	if (mkdir(dir, 0755) && errno != EEXIST)
		return -errno;
	/* Sockets' addresses are short; daemons may change directory. */
	if (!realpath(dir, path))
		return -errno;
	if (strlen(path) > 80)
		return -ENAMETOOLONG;
	snprintf(house->dir, sizeof(house->dir), "%s", path);
	return 0;
}

int hs_replay_house_start(struct hs_replay_house *house, uint32_t nr_nodes,
			  const char *dir)
{
	uint32_t i;
	int err = make_dir(house, dir);

	if (!err) {
		lay_out(house, nr_nodes);
		err = hs_replay_house_configure(house);
	}
	if (!err)
		err = hs_fabric_save(&house->fabric, house->dir);
	for (i = 0; i < house->nr_daemons && !err; i++)
		err = daemon_start(house, &house->daemons[i]);
	if (err) {
		fprintf(stderr, "hs-replay: cannot start a fabric in %s: %s\n",
			dir ? dir : house->dir, strerror(-err));
		return err;
	}
	err = await_all(house);
	house->running = !err;
	return err;
}

static int purge(const struct hs_replay_daemon *daemon)
{
	struct hs_httpc_target target = {
		.socket_path = daemon->control,
		.timeout_ns = 5 * HS_NS_PER_SEC,
	};
	struct hs_httpc_response response;
	int err = hs_httpc_request(&target, "POST", "/v1/stop",
				   "{\"purge\":true}", &response);

	if (!err && response.status != 200)
		err = -EIO;
	hs_httpc_response_free(&response);
	return err;
}

static bool is_agent(const struct hs_replay_daemon *daemon)
{
	return !strcmp(daemon->program, "hs-agent");
}

/* Wait for those that @agents tells; kill what takes too long. */
static void await_end(struct hs_replay_house *house, bool agents)
{
	uint64_t end_ns = hs_clock_mono_ns() + STOP_TIMEOUT_NS;
	bool alive = true;
	uint32_t i;

	while (alive) {
		bool late = hs_clock_mono_ns() > end_ns;

		while (hs_replay_house_dead(house))
			;
		alive = false;
		for (i = 0; i < house->nr_daemons; i++) {
			struct hs_replay_daemon *daemon = &house->daemons[i];

			if (daemon->pid <= 0 || is_agent(daemon) != agents)
				continue;
			alive = true;
			if (late)
				kill(daemon->pid, SIGKILL);
		}
		if (alive)
			sleep_ms(10);
	}
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	return remove(path);
}

/* An agent that is told by SIGTERM keeps its memory for a successor, so that
 * one that takes the request to purge must not get both. */
void hs_replay_house_stop(struct hs_replay_house *house)
{
	uint32_t i;

	if (house->keep && house->running)
		return;
	for (i = 0; i < house->nr_daemons; i++) {
		struct hs_replay_daemon *daemon = &house->daemons[i];

		if (daemon->pid > 0 && is_agent(daemon) && purge(daemon))
			kill(daemon->pid, SIGTERM);
	}
	await_end(house, true);
	for (i = 0; i < house->nr_daemons; i++) {
		if (house->daemons[i].pid > 0)
			kill(house->daemons[i].pid, SIGTERM);
	}
	await_end(house, false);
	house->nr_daemons = 0;
	if (house->dir[0])
		nftw(house->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
