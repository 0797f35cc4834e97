/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c - hs-coordinator, the daemon: command line, signals
 *
 * It keeps nothing on disk: kill it in any way and start it again, agents
 * repeat what it forgot.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/args.h"
#include "base/log.h"
#include "coordinator/shell.h"

/* A connection is a descriptor, and the soft limit is made for select(). */
static void raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int open_signals(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	/* Before the door's thread starts, so that it inherits the mask. */
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

static int serve(const struct hs_coordinator_settings *settings)
{
	struct hs_coordinator c;
	int signal_fd = open_signals();
	int rc;

	raise_descriptors();
	if (signal_fd < 0) {
		hs_log_error("coordinator", "no signalfd: %s", strerror(errno));
		return 1;
	}
	rc = hs_coordinator_open(&c, settings);
	if (!rc)
		rc = hs_coordinator_run(&c, signal_fd);
	hs_coordinator_close(&c);
	close(signal_fd);
	if (!rc)
		hs_log_info("coordinator", "ended as asked");
	return rc ? 1 : 0;
}

static int run(const char *config, bool check)
{
	struct hs_coordinator_settings settings;
	struct hs_config_error error = {0};
	int rc;

	rc = hs_coordinator_settings_load(config, &settings, &error);
	if (rc) {
		fprintf(stderr, "hs-coordinator: %s\n",
			rc == -EINVAL || error.text[0] ? error.text
						       : strerror(-rc));
		return HS_ARGS_EXIT_USAGE;
	}
	hs_log_level_set((enum hs_log_level)settings.log_level);
	rc = check ? 0 : serve(&settings);
	if (check)
		printf("%s: good\n", config);
	hs_config_free(&hs_coordinator_schema, &settings);
	return rc;
}

int main(int argc, char **argv)
{
	const char *config = NULL;
	bool print = false;
	bool check = false;
	bool version = false;
	const struct hs_args_option options[] = {
		{.name = "config",
		 .short_name = 'c',
		 .type = HS_ARGS_STRING,
		 .value = &config,
		 .arg_name = "FILE",
		 .help = "read this YAML file"},
		{.name = "check-config",
		 .type = HS_ARGS_FLAG,
		 .value = &check,
		 .help = "say whether the file is good, and end"},
		{.name = "print-config",
		 .type = HS_ARGS_FLAG,
		 .value = &print,
		 .help = "print a commented example, and end"},
		{.name = "version",
		 .type = HS_ARGS_FLAG,
		 .value = &version,
		 .help = "print the version, and end"},
	};
	const struct hs_args_program program = {
		.name = "hs-coordinator",
		.synopsis = "--config FILE",
		.summary =
			"Finds out which nodes a triggered trace visited: "
			"follows its breadcrumbs from agent to agent and tells "
			"the collector what everybody answered. Keeps nothing "
			"on disk; kill it and start it again at will.",
		.options = options,
		.nr_options = sizeof(options) / sizeof(options[0]),
		.examples =
			"  hs-coordinator --print-config > coordinator.yaml\n"
			"  hs-coordinator --check-config -c coordinator.yaml\n"
			"  hs-coordinator --config coordinator.yaml\n",
		.exit_codes = "  0  ended by SIGTERM, SIGINT or POST /v1/stop\n"
			      "  1  could not run: address or socket taken\n"
			      "  2  bad usage or configuration\n",
	};
	int word;
	int rc = hs_args_parse(&program, argc, argv, &word, stdout, stderr);

	if (rc)
		return rc == HS_ARGS_HELP ? 0 : HS_ARGS_EXIT_USAGE;
	if (print) {
		hs_config_print_example(&hs_coordinator_schema, stdout);
		return fflush(stdout) ? 1 : 0;
	}
	if (version) {
		puts("hs-coordinator " HS_VERSION);
		return 0;
	}
	if (!config || word != argc) {
		fputs("hs-coordinator: --config FILE is needed, and nothing "
		      "else; see --help\n",
		      stderr);
		return HS_ARGS_EXIT_USAGE;
	}
	return run(config, check);
}
