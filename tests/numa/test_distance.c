/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far what is attached to some node is from where we may run, on machines
 * that hwloc is told of: with the distances of their firmware, and without.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <hwloc.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "numa/numa.h"

/* Four nodes in a ring: the one across is farther than its neighbours. */
static const hwloc_uint64_t ring[16] = {
	10, 16, 32, 16, /* from 0 */
	16, 10, 16, 32, /* from 1 */
	32, 16, 10, 16, /* from 2 */
	16, 32, 16, 10, /* from 3 */
};

static struct hs_numa *open_ring(void)
{
	hwloc_distances_add_handle_t handle;
	hwloc_topology_t topology;
	hwloc_obj_t nodes[4];
	struct hs_numa *numa;
	char *xml;
	int size;

	assert_int_equal(hwloc_topology_init(&topology), 0);
	assert_int_equal(
		hwloc_topology_set_synthetic(topology, "node:4 core:2 pu:1"),
		0);
	assert_int_equal(hwloc_topology_load(topology), 0);
	for (unsigned int i = 0; i < 4; i++)
		nodes[i] =
			hwloc_get_obj_by_type(topology, HWLOC_OBJ_NUMANODE, i);
	handle = hwloc_distances_add_create(
		topology, "NUMALatency",
		HWLOC_DISTANCES_KIND_FROM_OS |
			HWLOC_DISTANCES_KIND_MEANS_LATENCY,
		0);
	assert_non_null(handle);
	assert_int_equal(hwloc_distances_add_values(
				 topology, handle, 4, nodes,
				 (hwloc_uint64_t *)(uintptr_t)ring, 0),
			 0);
	assert_int_equal(hwloc_distances_add_commit(topology, handle, 0), 0);
	assert_int_equal(
		hwloc_topology_export_xmlbuffer(topology, &xml, &size, 0), 0);
	assert_int_equal(hs_numa_open_as(&numa, xml), 0);
	hwloc_free_xmlbuffer(topology, xml);
	hwloc_topology_destroy(topology);
	return numa;
}

static void by_firmware(void **state)
{
	struct hs_numa *numa = open_ring();

	(void)state;
	assert_int_equal(hs_numa_nr_nodes(numa), 4);
	for (uint32_t i = 0; i < 4; i++)
		for (uint32_t k = 0; k < 4; k++)
			assert_int_equal(
				hs_numa_distance(numa, 1u << i, 1u << k),
				ring[i * 4 + k]);
	/* Attached to two nodes: the closer one counts. */
	assert_int_equal(hs_numa_distance(numa, 1, 1u << 1 | 1u << 2), 16);
	/* On two nodes we are at either half the time. */
	assert_int_equal(hs_numa_distance(numa, 1u | 1u << 1, 1), 13);
	/* Nobody knows where: between near and far, from everywhere. */
	assert_int_equal(hs_numa_distance(numa, 1, 0), 19);
	assert_int_equal(hs_numa_distance(numa, 0, 0), 19);
	/* Nodes that are not there are nowhere. */
	assert_int_equal(hs_numa_distance(numa, 1u << 9, 1u << 8), 19);
	hs_numa_close(numa);
}

static void without_firmware(void **state)
{
	struct hs_numa *numa;

	(void)state;
	assert_int_equal(hs_numa_open_as(&numa, "node:2 core:2 pu:1"), 0);
	assert_int_equal(hs_numa_distance(numa, 1, 1), 10);
	assert_int_equal(hs_numa_distance(numa, 1, 2), 20);
	assert_int_equal(hs_numa_distance(numa, 3, 2), 15);
	hs_numa_close(numa);
	assert_int_equal(hs_numa_open_as(&numa, "core:4 pu:1"), 0);
	assert_int_equal(hs_numa_distance(numa, 1, 0), 10);
	assert_int_equal(hs_numa_distance(numa, 0, 1), 10);
	hs_numa_close(numa);
	assert_int_equal(hs_numa_distance(NULL, 1, 2), 10);
	assert_true(hs_numa_open_as(&numa, "no such machine") < 0);
}

static void cores_of_a_file(void **state)
{
	char path[] = "/tmp/hs-cpus.XXXXXX";
	struct hs_numa *numa;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "000000f0\n", 9), 9);
	assert_int_equal(hs_numa_open_as(&numa, "node:4 core:2 pu:1"), 0);
	assert_int_equal(hs_numa_nodes_of_cpus(numa, path), 1u << 2 | 1u << 3);
	assert_int_equal(pwrite(fd, "00000000\n", 9, 0), 9);
	assert_int_equal(hs_numa_nodes_of_cpus(numa, path), 0);
	assert_int_equal(hs_numa_nodes_of_cpus(numa, "/nowhere"), 0);
	hs_numa_close(numa);
	close(fd);
	unlink(path);
}

static void here(void **state)
{
	struct hs_numa *numa;
	uint64_t nodes;

	(void)state;
	assert_int_equal(hs_numa_open(&numa), 0);
	nodes = hs_numa_nodes_here(numa);
	assert_true(nodes != 0);
	assert_int_equal(hs_numa_distance(numa, nodes & -nodes, nodes & -nodes),
			 10);
	hs_numa_close(numa);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_firmware),
		cmocka_unit_test(without_firmware),
		cmocka_unit_test(cores_of_a_file),
		cmocka_unit_test(here),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
