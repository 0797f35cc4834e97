/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verbs_ipoib.c - see verbs_ipoib.h
 */
#include "rdma/verbs_ipoib.h"

#include <dirent.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A number that the kernel tells of an interface; -1: it does not. */
static long number_of(const char *folder, const char *interface,
		      const char *what)
{
	char path[512];
	long number = -1;
	FILE *f;

	if (snprintf(path, sizeof(path), "%s/%s/%s", folder, interface, what) >=
	    (int)sizeof(path))
		return -1;
	f = fopen(path, "re");
	if (f && fscanf(f, "%ld", &number) != 1)
		number = -1;
	if (f)
		fclose(f);
	return number;
}

uint32_t hs_verbs_ipoib_names(const char *root, const char *device,
			      uint32_t port, char names[][IFNAMSIZ],
			      uint32_t nr_names)
{
	struct dirent **list = NULL;
	char folder[256];
	uint32_t nr = 0;
	int nr_all;

	if (snprintf(folder, sizeof(folder), "%s/%s/device/net", root,
		     device) >= (int)sizeof(folder))
		return 0;
	nr_all = scandir(folder, &list, NULL, alphasort);
	for (int i = 0; i < nr_all; i++) {
		const char *name = list[i]->d_name;

		if (name[0] != '.' && strlen(name) < IFNAMSIZ &&
		    nr < nr_names &&
		    number_of(folder, name, "type") == ARPHRD_INFINIBAND &&
		    number_of(folder, name, "dev_port") == (long)port - 1)
			memcpy(names[nr++], name, strlen(name) + 1);
		free(list[i]);
	}
	free(list);
	return nr;
}
