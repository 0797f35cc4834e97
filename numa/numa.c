/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see numa.h. */
#include "numa/numa.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <hwloc.h>

/* Pages that are asked about; spread evenly where there are more. */
#define SAMPLE_PAGES 1024u

struct hs_numa {
	hwloc_topology_t topology;
};

int hs_numa_open(struct hs_numa **out)
{
	struct hs_numa *numa = calloc(1, sizeof(*numa));
	int rc = -ENOMEM;

	if (!numa)
		return rc;
	if (hwloc_topology_init(&numa->topology) == 0) {
		if (hwloc_topology_load(numa->topology) == 0) {
			*out = numa;
			return 0;
		}
		rc = errno ? -errno : -EIO;
		hwloc_topology_destroy(numa->topology);
	}
	free(numa);
	return rc;
}

void hs_numa_close(struct hs_numa *numa)
{
	if (!numa)
		return;
	hwloc_topology_destroy(numa->topology);
	free(numa);
}

uint32_t hs_numa_nr_nodes(const struct hs_numa *numa)
{
	int nr = numa ? hwloc_get_nbobjs_by_type(numa->topology,
						 HWLOC_OBJ_NUMANODE)
		      : 1;

	return nr < 1 ? 1 : (uint32_t)nr;
}

static hwloc_obj_t node_at(const struct hs_numa *numa, uint32_t node)
{
	return hwloc_get_obj_by_type(numa->topology, HWLOC_OBJ_NUMANODE, node);
}

uint32_t hs_numa_node_of_cpu(const struct hs_numa *numa, uint32_t cpu)
{
	for (uint32_t i = 0; numa && i < hs_numa_nr_nodes(numa); i++) {
		hwloc_obj_t node = node_at(numa, i);

		if (node && node->cpuset &&
		    hwloc_bitmap_isset(node->cpuset, cpu))
			return i;
	}
	return 0;
}

int hs_numa_place(struct hs_numa *numa, uint32_t node, void *base,
		  size_t size_bytes)
{
	hwloc_obj_t at = node_at(numa, node);

	if (!at)
		return -EINVAL;
	/* Not HWLOC_MEMBIND_STRICT: the kernel kills who asks too much of a
	 * node that is bound strictly. */
	if (hwloc_set_area_membind(numa->topology, base, size_bytes,
				   at->nodeset, HWLOC_MEMBIND_BIND,
				   HWLOC_MEMBIND_BYNODESET))
		return errno ? -errno : -EIO;
	return 0;
}

uint64_t hs_numa_bytes_on(const struct hs_numa *numa, uint32_t node,
			  const void *base, size_t size_bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t pages = size_bytes / page;
	size_t nr = pages < SAMPLE_PAGES ? pages : SAMPLE_PAGES;
	hwloc_obj_t at = numa ? node_at(numa, node) : NULL;
	void *where[SAMPLE_PAGES];
	int status[SAMPLE_PAGES];
	uint64_t there = 0;

	if (!at || nr == 0)
		return 0;
	for (size_t i = 0; i < nr; i++)
		where[i] = (uint8_t *)(uintptr_t)base + i * pages / nr * page;
	if (syscall(SYS_move_pages, 0, nr, where, NULL, status, 0))
		return 0;
	for (size_t i = 0; i < nr; i++)
		there += status[i] >= 0 && (unsigned)status[i] == at->os_index;
	return there * pages / nr * page;
}
