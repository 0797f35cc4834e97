/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: hs-perf: one program for every measurement, a line of the table
 * for each.
 */
#include <stdio.h>
#include <string.h>

#include "bench/bench.h"

static const struct hs_perf_command commands[] = {
	{"agent", "what a buffer costs the agent, all included", hs_perf_agent},
	{"ahead", "what reading crumbs ahead buys a traversal, in virtual time",
	 hs_perf_ahead},
	{"auth", "what a tag costs a message", hs_perf_auth},
	{"client", "what tracing costs the application", hs_perf_client},
	{"collector", "slices stored a second: durable, indexed, findable",
	 hs_perf_collector},
	{"coordinator", "hops of traversals a second, on one core",
	 hs_perf_coordinator},
	{"crc32c", "what the checksum of slices costs", hs_perf_crc32c},
	{"disk", "a store's way to its disk, beside io_uring", hs_perf_disk},
	{"fairness", "coherence under overload and beyond the event horizon",
	 hs_perf_fairness},
	{"figures", "the paper's figures at this machine's size, as a page",
	 hs_perf_figures},
	{"index", "the agent's trace index, and its cost of a buffer",
	 hs_perf_index},
	{"lend", "what a frame costs through a port that is lent",
	 hs_perf_lend},
	{"pool", "bytes and buffers a second through a pool", hs_perf_pool},
	{"services", "requests through call graphs, traced in several ways",
	 hs_perf_services},
	{"share", "many agents into a collector that takes half of it",
	 hs_perf_share},
	{"ship", "slices from process to process", hs_perf_ship},
	{"stored", "what hs traces asks, of a million stored traces",
	 hs_perf_stored},
	{"traverse", "from a trigger to its manifest, real daemons",
	 hs_perf_traverse},
	{"traverse-node", "one node of it; started by traverse",
	 hs_perf_traverse_node},
};

static void usage(FILE *f)
{
	fputs("usage: hs-perf COMMAND [options]\n\n", f);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		fprintf(f, "  %-13s %s\n", commands[i].name,
			commands[i].summary);
	fputs("\nhs-perf COMMAND --help tells more. Figures in which more "
	      "than\n"
	      "0.1 % of the work was lost are marked invalid.\n"
	      "Exit status: 0 good, 1 a figure is invalid or could not be\n"
	      "measured, 2 bad usage.\n",
	      f);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		usage(stderr);
		return 2;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		usage(stdout);
		return 0;
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	fprintf(stderr, "hs-perf: there is no command '%s'\n", argv[1]);
	usage(stderr);
	return 2;
}
