/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hs - the operator's command: ask the daemons, and tell them.
 */
#include <stdio.h>
#include <string.h>

#include "tools/hs.h"

struct command {
	const char *group; /* NULL: the name stands alone */
	const char *name;
	hs_command_fn run;
	const char *what;
};

static const struct command commands[] = {
	{"traces", "list", hs_command_list, "what was collected, newest first"},
	{"traces", "show", hs_command_show,
	 "one trace as a tree with a time bar for every span"},
	{"traces", "export", hs_command_export,
	 "as Jaeger, OTLP or Perfetto JSON"},
	{NULL, "operations", hs_command_operations,
	 "how often and how long each ran, over all requests"},
	{NULL, "status", hs_command_status,
	 "agents, event horizon, losses, triggers"},
	{NULL, "top", hs_command_top,
	 "the same as it changes: where buffers are, rates, costs"},
	{NULL, "size", hs_command_size,
	 "the pool that a wanted event horizon takes"},
	{NULL, "trigger", hs_command_trigger,
	 "have traces collected: by id, or by place and time"},
	{NULL, "reload", hs_command_reload,
	 "have agents read their configuration again"},
	{NULL, "stop", hs_command_stop, "end an agent; --purge leaves nothing"},
	{NULL, "salvage", hs_command_salvage,
	 "traces out of a pool that nobody adopted"},
};
#define NR_COMMANDS (sizeof(commands) / sizeof(*commands))

static void usage(FILE *out)
{
	size_t i;

	fputs("usage: hs COMMAND [options]\n\n"
	      "Asks and tells the daemons of Hindsight Fabric, which trace "
	      "every request into\nlocal memory and collect only what a "
	      "trigger names.\n\n",
	      out);
	for (i = 0; i < NR_COMMANDS; i++)
		fprintf(out, "  %s%s%-*s  %s\n",
			commands[i].group ? commands[i].group : "",
			commands[i].group ? " " : "",
			commands[i].group ? 7 : 14, commands[i].name,
			commands[i].what);
	fputs("\nexamples:\n"
	      "  hs status                         # is everything well?\n"
	      "  hs trigger --last 2s --limit 10   # what was that just now?\n"
	      "  hs traces list --trigger slow --min-duration 100ms\n"
	      "  hs traces show 4bf92f3577b34da6a3ce929d0e0e4736\n"
	      "  hs traces export --format perfetto --output t.json ID\n\n"
	      "`hs COMMAND --help` says more. --json everywhere for scripts.\n",
	      out);
}

static const struct command *find(int argc, char **argv, int *words)
{
	size_t i;

	for (i = 0; i < NR_COMMANDS; i++) {
		const struct command *c = &commands[i];

		*words = c->group ? 2 : 1;
		if (argc <= *words)
			continue;
		if (c->group && strcmp(argv[1], c->group) != 0)
			continue;
		if (!strcmp(argv[*words], c->name))
			return c;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	const struct command *command;
	int words;

	if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") ||
			 !strcmp(argv[1], "help"))) {
		usage(stdout);
		return HS_EXIT_OK;
	}
	command = find(argc, argv, &words);
	if (command)
		return command->run(argc - words, argv + words);
	if (argc > 1)
		fprintf(stderr, "hs: there is no command '%s%s%s'\n\n", argv[1],
			argc > 2 && !strcmp(argv[1], "traces") ? " " : "",
			argc > 2 && !strcmp(argv[1], "traces") ? argv[2] : "");
	usage(stderr);
	return HS_EXIT_USAGE;
}
