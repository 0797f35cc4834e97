/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port_load.c - the DPDK port, from its module
 *
 * Looked for in $HS_MODULES if that is set, else beside the program's folder
 * (a build tree), then where it is installed.
 */
#include "ship/port.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MODULE "hs_ship_dpdk.so"

static void *open_in(const char *folder)
{
	char path[PATH_MAX + 64];

	snprintf(path, sizeof(path), "%s/" MODULE, folder);
	return dlopen(path, RTLD_NOW | RTLD_LOCAL);
}

static void *open_beside(void)
{
	char self[PATH_MAX], folder[PATH_MAX + 16];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n <= 0)
		return NULL;
	self[n] = 0;
	slash = strrchr(self, '/');
	if (!slash)
		return NULL;
	*slash = 0;
	snprintf(folder, sizeof(folder), "%s/../ship", self);
	return open_in(folder);
}

hs_ship_dpdk_create_fn hs_ship_dpdk_load(const char **why)
{
	const char *told = getenv("HS_MODULES");
	void *module = told ? open_in(told) : open_beside();
	union { /* a data pointer that is one to a function */
		void *data;
		hs_ship_dpdk_create_fn function;
	} symbol;

	if (!module && !told)
		module = open_in(HS_MODULES);
	if (!module) {
		*why = dlerror();
		return NULL;
	}
	symbol.data = dlsym(module, "hs_ship_dpdk_create");
	if (!symbol.data)
		*why = dlerror();
	return symbol.function;
}
