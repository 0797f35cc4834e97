/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dpdk_eal.c - DPDK's environment, without leftovers
 *
 * With huge pages it runs in memory (no hugetlbfs mount, nothing to clean up
 * after a crash); without them on plain pages. IOVA is the virtual address, so
 * that memory that DPDK did not allocate can be sent from. Several processes
 * stand beside each other, each on its own.
 */
#include "ship/dpdk.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_errno.h>

#define ARGS_MAX 32

static bool huge_pages_free(void)
{
	unsigned long long nr = 0;
	FILE *f = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/"
			"free_hugepages",
			"re");

	if (!f)
		return false;
	if (fscanf(f, "%llu", &nr) != 1)
		nr = 0;
	fclose(f);
	/* As many as -m asks for below. */
	return nr >= 256;
}

static int add_own(int argc, char **argv, const struct hs_ship_dpdk_config *c)
{
	static char devices[4][192];

	argv[argc++] = "hindsight";
	if (huge_pages_free()) {
		argv[argc++] = "--in-memory";
		argv[argc++] = "--single-file-segments";
	} else {
		argv[argc++] = "--no-huge";
		argv[argc++] = "--no-shconf";
	}
	argv[argc++] = "-m";
	argv[argc++] = "512";
	argv[argc++] = "--iova-mode=va";
	argv[argc++] = "--no-telemetry";
	argv[argc++] = "--log-level=error";
	argv[argc++] = "-l";
	snprintf(devices[0], sizeof(devices[0]), "%d", c->cpu);
	argv[argc++] = devices[0];
	if (!c->pci)
		argv[argc++] = "--no-pci";
	if (c->vdev) {
		snprintf(devices[1], sizeof(devices[1]), "--vdev=%s", c->vdev);
		argv[argc++] = devices[1];
	}
	if (c->pci) {
		snprintf(devices[2], sizeof(devices[2]), "--allow=%s", c->pci);
		argv[argc++] = devices[2];
	}
	return argc;
}

int hs_dpdk_eal_start(const struct hs_ship_dpdk_config *config,
		      const char **why)
{
	static bool started;
	char *argv[ARGS_MAX + 1] = {NULL};
	int argc;

	*why = "DPDK runs once in a process";
	if (started)
		return -EALREADY;
	argc = add_own(0, argv, config);
	*why = "DPDK does not start; is the device's description right?";
	if (rte_eal_init(argc, argv) < 0)
		return rte_errno ? -rte_errno : -EIO;
	started = true;
	return 0;
}
