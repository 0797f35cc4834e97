/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see numa.h. */
#include "numa/numa.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <hwloc.h>
#include <hwloc/linux.h>

/* Pages that are asked about; spread evenly where there are more. */
#define SAMPLE_PAGES 1024u
#define NODES_MAX    64u
/* What firmware says where it says anything: of a node, and of another. */
#define DISTANCE_SAME  10u
#define DISTANCE_OTHER 20u

struct hs_numa {
	hwloc_topology_t topology;
};

static int described(hwloc_topology_t topology, const char *text)
{
	if (!text)
		return 0;
	return text[0] == '<' ? hwloc_topology_set_xmlbuffer(
					topology, text, (int)strlen(text) + 1)
			      : hwloc_topology_set_synthetic(topology, text);
}

int hs_numa_open_as(struct hs_numa **out, const char *text)
{
	struct hs_numa *numa = calloc(1, sizeof(*numa));
	int rc = -ENOMEM;

	if (!numa)
		return rc;
	if (hwloc_topology_init(&numa->topology) == 0) {
		if (described(numa->topology, text) == 0 &&
		    hwloc_topology_load(numa->topology) == 0) {
			*out = numa;
			return 0;
		}
		rc = errno ? -errno : -EIO;
		hwloc_topology_destroy(numa->topology);
	}
	free(numa);
	return rc;
}

int hs_numa_open(struct hs_numa **out)
{
	return hs_numa_open_as(out, NULL);
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

static uint64_t nodes_of(const struct hs_numa *numa, hwloc_const_bitmap_t cpus)
{
	uint64_t nodes = 0;

	for (uint32_t i = 0; i < hs_numa_nr_nodes(numa) && i < NODES_MAX; i++) {
		hwloc_obj_t node = node_at(numa, i);

		if (node && node->cpuset &&
		    hwloc_bitmap_intersects(node->cpuset, cpus))
			nodes |= 1ull << i;
	}
	return nodes;
}

uint64_t hs_numa_nodes_here(const struct hs_numa *numa)
{
	hwloc_bitmap_t cpus = hwloc_bitmap_alloc();
	uint64_t nodes = 0;

	if (cpus && numa &&
	    hwloc_get_cpubind(numa->topology, cpus, HWLOC_CPUBIND_THREAD) == 0)
		nodes = nodes_of(numa, cpus);
	hwloc_bitmap_free(cpus);
	return nodes;
}

uint64_t hs_numa_nodes_of_cpus(const struct hs_numa *numa, const char *path)
{
	hwloc_bitmap_t cpus = hwloc_bitmap_alloc();
	uint64_t nodes = 0;

	if (cpus && numa && hwloc_linux_read_path_as_cpumask(path, cpus) == 0)
		nodes = nodes_of(numa, cpus);
	hwloc_bitmap_free(cpus);
	return nodes;
}

static uint32_t distance_of(const struct hs_numa *numa,
			    struct hwloc_distances_s *known, uint32_t from,
			    uint32_t to)
{
	hwloc_uint64_t there, back;

	if (known && hwloc_distances_obj_pair_values(known, node_at(numa, from),
						     node_at(numa, to), &there,
						     &back) == 0)
		return there < UINT32_MAX ? (uint32_t)there : UINT32_MAX;
	return from == to ? DISTANCE_SAME : DISTANCE_OTHER;
}

/* To the closest of them; to any of all, the mean. */
static uint64_t distance_from(const struct hs_numa *numa,
			      struct hwloc_distances_s *known, uint32_t from,
			      uint64_t to, uint32_t nr)
{
	uint64_t least = UINT64_MAX, sum = 0;

	for (uint32_t i = 0; i < nr; i++) {
		uint64_t far = distance_of(numa, known, from, i);

		sum += far;
		if ((to >> i & 1) && far < least)
			least = far;
	}
	return least != UINT64_MAX ? least : (sum + nr / 2) / nr;
}

uint32_t hs_numa_distance(const struct hs_numa *numa, uint64_t from,
			  uint64_t to)
{
	uint32_t nr = hs_numa_nr_nodes(numa);
	struct hwloc_distances_s *known = NULL;
	uint32_t nr_known = 1, nr_from = 0;
	uint64_t sum = 0;

	if (!numa)
		return DISTANCE_SAME;
	nr = nr < NODES_MAX ? nr : NODES_MAX;
	from &= UINT64_MAX >> (NODES_MAX - nr);
	from = from ? from : UINT64_MAX >> (NODES_MAX - nr);
	if (hwloc_distances_get_by_type(numa->topology, HWLOC_OBJ_NUMANODE,
					&nr_known, &known,
					HWLOC_DISTANCES_KIND_MEANS_LATENCY, 0))
		known = NULL;
	for (uint32_t i = 0; i < nr; i++) {
		if (!(from >> i & 1))
			continue;
		sum += distance_from(numa, known, i, to, nr);
		nr_from++;
	}
	if (known)
		hwloc_distances_release(numa->topology, known);
	sum = (sum + nr_from / 2) / nr_from;
	return sum < UINT32_MAX ? (uint32_t)sum : UINT32_MAX;
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
