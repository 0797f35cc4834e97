/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: hs-agent, the daemon of a node: the command line, and which of its
 * two processes this is.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/check.h"
#include "agent/keeper.h"
#include "agent/settings.h"
#include "agent/worker.h"
#include "base/log.h"

static const char help[] =
	"hs-agent keeps the recent traces of this node's applications in\n"
	"memory, and sends those that a trigger names.\n"
	"\n"
	"usage: hs-agent --config FILE\n"
	"  --config FILE    read this; see --print-config\n"
	"  --check-config   say whether the file is good, and end\n"
	"  --check          the same, and what it would change at the agent\n"
	"                   that runs, and what dry runs have counted there\n"
	"  --print-config   print a commented example, and end\n"
	"  --purge          let go of the memory that an agent left behind\n"
	"                   for its successor (SIGTERM keeps it for `linger`)\n"
	"  --help, --version\n"
	"\n"
	"SIGTERM ends it cleanly, SIGHUP has it read its file again. `hs\n"
	"status`, `hs trigger`, `hs reload` and `hs stop` talk to it.\n"
	"Exit status: 0 ended as asked, 1 could not run, 2 bad usage or\n"
	"configuration.\n";

struct options {
	const char *config;
	int worker_fd;
	bool check;
	bool ask; /* the agent that runs, too */
	bool purge;
};

/* Return: -1 to go on, or an exit status. */
static int parse(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{"config", required_argument, NULL, 'c'},
		{"check-config", no_argument, NULL, 'k'},
		{"check", no_argument, NULL, 'K'},
		{"print-config", no_argument, NULL, 'p'},
		{"purge", no_argument, NULL, 'u'},
		{"worker-fd", required_argument, NULL, 'w'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'v'},
		{0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "c:h", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			o->config = optarg;
			break;
		case 'k':
			o->check = true;
			break;
		case 'K':
			o->check = o->ask = true;
			break;
		case 'p':
			hs_agent_settings_print_example(stdout);
			return fflush(stdout) ? 1 : 0;
		case 'u':
			o->purge = true;
			break;
		case 'w':
			o->worker_fd = (int)strtol(optarg, NULL, 10);
			break;
		case 'h':
			fputs(help, stdout);
			return 0;
		case 'v':
			puts("hs-agent " HS_VERSION);
			return 0;
		default:
			fputs("hs-agent: see --help\n", stderr);
			return 2;
		}
	}
	if (optind < argc || (!o->config && o->worker_fd < 0)) {
		fputs("hs-agent: --config FILE is missing; see --help\n",
		      stderr);
		return 2;
	}
	return -1;
}

int main(int argc, char **argv)
{
	static struct hs_agent_settings settings;
	struct options o = {.worker_fd = -1};
	struct hs_config_error error;
	size_t text_bytes;
	char *text;
	int rc, status = parse(argc, argv, &o);

	if (status >= 0)
		return status;
	if (o.worker_fd >= 0)
		return hs_worker_main(o.worker_fd, o.config);
	/* The keeper hands the very bytes that it checked to its workers. */
	rc = hs_config_text(o.config, &text, &text_bytes);
	if (rc) {
		fprintf(stderr, "hs-agent: %s: %s\n", o.config, strerror(-rc));
		return 2;
	}
	if (hs_agent_settings_load(&settings, o.config, text, text_bytes,
				   &error)) {
		fprintf(stderr, "hs-agent: %s\n", error.text);
		free(text);
		return 2;
	}
	hs_log_level_set((enum hs_log_level)settings.log_level);
	if (o.check) {
		printf("%s: good\n", o.config);
		status =
			o.ask ? hs_agent_check(&settings, text, text_bytes) : 0;
	} else if (o.purge) {
		status = hs_keeper_purge(&settings);
	} else {
		status = hs_keeper_run(&settings, text, text_bytes);
	}
	hs_agent_settings_free(&settings);
	free(text);
	return status;
}
