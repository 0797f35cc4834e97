/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: hs-perf figures: runs bench/figures/figures.py, which runs this
 * program for each step and draws what comes out.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/bench.h"

int hs_perf_figures(int argc, char **argv)
{
	const char *script = getenv("HS_FIGURES");
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char **words = calloc((size_t)argc + 5, sizeof(*words));
	int nr = 0;

	if (n <= 0 || !words)
		abort();
	self[n] = '\0';
	if (!script)
		script = HS_FIGURES_SCRIPT;
	if (access(script, R_OK)) {
		fprintf(stderr,
			"hs-perf figures: no %s; HS_FIGURES says where "
			"figures.py of the sources is\n",
			script);
		free(words);
		return 1;
	}
	words[nr++] = (char *)"python3";
	words[nr++] = (char *)script;
	words[nr++] = (char *)"--perf";
	words[nr++] = self;
	for (int i = 1; i < argc; i++)
		words[nr++] = argv[i];
	execvp("python3", words);
	fprintf(stderr, "hs-perf figures: python3: %s\n", strerror(errno));
	free(words);
	return 1;
}
