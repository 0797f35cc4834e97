/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: see traverse.h: a whole fabric of real daemons: coordinators and a
 * collector here, behind the relay, and a node for each agent, here or on the
 * hosts of a file.
 */
#include "bench/traverse.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "hs/crumb_format.h"

#define FILE_BYTES 4096u
#define READY_NS   (20 * HS_NS_PER_SEC)

/* One that nobody has now. 0: none, as of an address that is not ours. */
static int free_port(const char *host)
{
	struct sockaddr_in at = {.sin_family = AF_INET};
	socklen_t size = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), port = 0;

	if (fd >= 0 && inet_pton(AF_INET, host, &at.sin_addr) == 1 &&
	    bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 &&
	    getsockname(fd, (struct sockaddr *)&at, &size) == 0)
		port = ntohs(at.sin_port);
	if (fd >= 0)
		close(fd);
	return port;
}

static bool address(const struct hs_traverse_fabric *f, char *out,
		    size_t out_bytes)
{
	int port;

	port = free_port(f->options->listen);
	snprintf(out, out_bytes, "%s:%d", f->options->listen, port);
	if (!port)
		fprintf(stderr,
			"hs-perf: --listen should be an IPv4 address "
			"of this machine: %s\n",
			f->options->listen);
	return port != 0;
}

static pid_t daemon_of(const struct hs_traverse_fabric *f, const char *folder,
		       const char *program, const char *name, const char *yaml)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s.yaml", f->dir, name);
	file = fopen(path, "we");
	if (!file)
		return -errno;
	fputs(yaml, file);
	if (fclose(file))
		return -EIO;
	return hs_bench_spawn(folder, program, path, -1);
}

static bool collector_start(struct hs_traverse_fabric *f)
{
	char yaml[FILE_BYTES];

	if (!address(f, f->collector_address, sizeof(f->collector_address)))
		return false;
	snprintf(f->collector_door, sizeof(f->collector_door),
		 "%s/collector.sock", f->dir);
	snprintf(yaml, sizeof(yaml),
		 "node:\n  id: 2001\nlisten: '%s'\nstore: '%s/store'\n"
		 "control:\n  socket: '%s'\ntransport:\n  carrier: %s\n"
		 "log: warn\n",
		 f->collector_address, f->dir, f->collector_door,
		 f->options->carrier);
	f->collector =
		daemon_of(f, "collector", "hs-collector", "collector", yaml);
	return f->collector > 0;
}

static bool coordinator_start(struct hs_traverse_fabric *f, uint32_t i)
{
	char yaml[FILE_BYTES], name[32];

	snprintf(name, sizeof(name), "coordinator%u", i);
	snprintf(f->doors[i], sizeof(f->doors[i]), "%.60s/%.20s.sock", f->dir,
		 name);
	if (!address(f, f->addresses[i], sizeof(f->addresses[i])))
		return false;
	/* One node may bring in all there is. */
	snprintf(yaml, sizeof(yaml),
		 "node:\n  id: %u\nlisten: '%s'\ncollectors: ['%s']\n"
		 "control:\n  socket: '%s'\ntransport:\n  carrier: %s\n"
		 "limits:\n  traces: 32768\n  visits: 524288\n"
		 "  crumbs: 1048576\n  requests: 32768\n  window: 32768\n"
		 "origin:\n  rate: 1000000\n  waiting: 1000000\nlog: warn\n",
		 1001 + i, f->addresses[i], hs_traverse_tap_address(f->tap),
		 f->doors[i], f->options->carrier);
	if (f->options->realtime && hs_bench_realtime(true))
		return false;
	f->coordinators[i] =
		daemon_of(f, "coordinator", "hs-coordinator", name, yaml);
	if (f->options->realtime && hs_bench_realtime(false))
		return false;
	return f->coordinators[i] > 0;
}

/* sh -c COMMAND, with both of its ends as streams. */
static bool command(struct hs_traverse_node *n, const char *text)
{
	int in[2], out[2];

	if (pipe2(in, O_CLOEXEC))
		return false;
	if (pipe2(out, O_CLOEXEC)) {
		close(in[0]);
		close(in[1]);
		return false;
	}
	n->pid = fork();
	if (n->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		dup2(in[0], 0);
		dup2(out[1], 1);
		execl("/bin/sh", "sh", "-c", text, NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	n->to = fdopen(in[1], "w");
	n->from = fdopen(out[0], "r");
	return n->pid > 0 && n->to && n->from;
}

static bool node_start(struct hs_traverse_fabric *f, uint32_t i)
{
	const struct hs_traverse_options *o = f->options;
	char text[3 * FILE_BYTES], list[1024] = "", self[PATH_MAX];
	ssize_t size = readlink("/proc/self/exe", self, sizeof(self) - 1);
	uint64_t crumbs = 2 * o->nr_traces;
	size_t used = 0;

	if (crumbs > 1u << HS_CRUMB_BITS_MAX)
		crumbs = 1u << HS_CRUMB_BITS_MAX;
	if (size <= 0)
		return false;
	self[size] = '\0';
	for (uint32_t k = 0; k < o->nr_coordinators; k++)
		used += (size_t)snprintf(list + used, sizeof(list) - used,
					 "%s%s", k ? "," : "", f->addresses[k]);
	snprintf(text, sizeof(text),
		 "exec %s '%s' traverse-node --number %u --nodes %u "
		 "--visits %u --origins %u --seed %" PRIu64 " --shape '%s' "
		 "--coordinators '%s' --collector '%s' --carrier %s "
		 "--slice-rate %" PRIu64 " --pool %" PRIu64 " --crumbs %" PRIu64
		 "%s",
		 f->nodes[i].prefix, self, i, o->plan.nr_nodes,
		 o->plan.nr_visits, o->plan.nr_origins, o->plan.seed, o->shape,
		 list, f->collector_address, o->carrier, o->slice_rate,
		 o->pool_bytes, crumbs, o->realtime ? " --realtime" : "");
	return command(&f->nodes[i], text);
}

int hs_traverse_say(struct hs_traverse_node *n, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(n->to, format, args);
	va_end(args);
	fputc('\n', n->to);
	return fflush(n->to) ? -EPIPE : 0;
}

const char *hs_traverse_hear(struct hs_traverse_node *n, const char *word,
			     char *line, size_t line_bytes)
{
	size_t size = strlen(word);

	if (!fgets(line, (int)line_bytes, n->from) ||
	    strncmp(line, word, size) != 0)
		return NULL;
	line[strcspn(line, "\n")] = '\0';
	return line + size;
}

/* A line each: how a command runs there, as "ssh node7"; # begins a remark. */
static bool read_hosts(struct hs_traverse_fabric *f)
{
	char line[sizeof(f->nodes[0].prefix)];
	uint32_t nr = 0;
	FILE *file;

	if (!f->options->hosts)
		return true;
	file = fopen(f->options->hosts, "re");
	while (file && nr < f->options->plan.nr_nodes &&
	       fgets(line, sizeof(line), file)) {
		line[strcspn(line, "#\n")] = '\0';
		if (line[strspn(line, " \t")])
			memcpy(f->nodes[nr++].prefix, line, sizeof(line));
	}
	if (file)
		fclose(file);
	if (nr)
		return true;
	fprintf(stderr,
		"hs-perf: %s: should have lines such as 'ssh node7', "
		"one a node\n",
		f->options->hosts);
	return false;
}

static bool nodes_ready(struct hs_traverse_fabric *f)
{
	uint32_t nr = f->options->plan.nr_nodes;
	char line[256], ids[HS_TRAVERSE_NODES_MAX * 17 + 1] = "";

	for (uint32_t i = 0; i < nr; i++) {
		const char *id = hs_traverse_hear(&f->nodes[i], "ready ", line,
						  sizeof(line));

		if (!id) {
			fprintf(stderr, "hs-perf: node %u did not begin\n", i);
			return false;
		}
		f->nodes[i].id = strtoull(id, NULL, 16);
		snprintf(ids + 17 * i, sizeof(ids) - 17 * i, "%016" PRIx64 " ",
			 f->nodes[i].id);
	}
	for (uint32_t i = 0; i < nr; i++)
		if (hs_traverse_say(&f->nodes[i], "nodes %s", ids) ||
		    !hs_traverse_hear(&f->nodes[i], "ok", line, sizeof(line)))
			return false;
	return true;
}

/* Every coordinator has every agent, and the relay. */
static bool connected(struct hs_traverse_fabric *f)
{
	uint64_t end_ns = hs_clock_mono_ns() + READY_NS;

	for (uint32_t i = 0; i < f->options->nr_coordinators;) {
		if (hs_traverse_number(f->doors[i], "transport", "peers") ==
		    f->options->plan.nr_nodes + 1) {
			i++;
			continue;
		}
		if (hs_clock_mono_ns() > end_ns) {
			fprintf(stderr,
				"hs-perf: not all nodes are connected "
				"to %s\n",
				f->addresses[i]);
			return false;
		}
		usleep(20000);
	}
	return true;
}

int hs_traverse_fabric_start(struct hs_traverse_fabric *f,
			     const struct hs_traverse_options *options)
{
	char front[128];

	*f = (struct hs_traverse_fabric){.options = options};
	snprintf(f->dir, sizeof(f->dir), "/tmp/hs-perf-XXXXXX");
	if (!mkdtemp(f->dir)) {
		f->dir[0] = '\0';
		return -errno;
	}
	f->settled_ns = calloc(options->nr_traces, sizeof(*f->settled_ns));
	f->nr_answers = calloc(options->nr_traces, sizeof(*f->nr_answers));
	if (!f->settled_ns || !f->nr_answers || !read_hosts(f) ||
	    !collector_start(f) || !address(f, front, sizeof(front)))
		return -EINVAL;
	f->tap = hs_traverse_tap_start(options->carrier, front,
				       f->collector_address, f->settled_ns,
				       f->nr_answers, options->nr_traces);
	if (!f->tap)
		return -EINVAL;
	for (uint32_t i = 0; i < options->nr_coordinators; i++)
		if (!coordinator_start(f, i))
			return -EINVAL;
	for (uint32_t i = 0; i < options->plan.nr_nodes; i++)
		if (!node_start(f, i))
			return -EINVAL;
	return nodes_ready(f) && connected(f) ? 0 : -ETIMEDOUT;
}

static void end(pid_t pid)
{
	if (pid <= 0)
		return;
	kill(pid, SIGCONT);
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
}

void hs_traverse_fabric_stop(struct hs_traverse_fabric *f)
{
	/* Their input's end ends them, and their agents. */
	for (uint32_t i = 0; i < HS_TRAVERSE_NODES_MAX; i++)
		if (f->nodes[i].to)
			fclose(f->nodes[i].to);
	for (uint32_t i = 0; i < HS_TRAVERSE_NODES_MAX; i++) {
		if (f->nodes[i].pid > 0)
			waitpid(f->nodes[i].pid, NULL, 0);
		if (f->nodes[i].from)
			fclose(f->nodes[i].from);
	}
	for (uint32_t i = 0; i < HS_TRAVERSE_COORDINATORS_MAX; i++)
		end(f->coordinators[i]);
	hs_traverse_tap_stop(f->tap);
	end(f->collector);
	if (f->dir[0])
		hs_bench_remove(f->dir);
	free(f->settled_ns);
	free(f->nr_answers);
	*f = (struct hs_traverse_fabric){0};
}
