/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: --only of hs-perf's subcommands: which of their figures are meant.
 */
#include <string.h>

#include "base/args.h"
#include "bench/bench.h"

bool hs_bench_wanted(const char *only, const char *name)
{
	return !only || !strncmp(name, only, strlen(only));
}

int hs_bench_only(const char *program, const char *option, const char *only,
		  const char *const *names, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		if (hs_bench_wanted(only, names[i]))
			return 0;
	fprintf(stderr, "%s: --%s %s: nothing begins with it; there are",
		program, option, only);
	for (size_t i = 0; i < nr; i++)
		fprintf(stderr, " %s", names[i]);
	fputs("\n", stderr);
	return HS_ARGS_EXIT_USAGE;
}
