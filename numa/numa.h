/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: which NUMA nodes this machine has, which cores are whose, and
 * memory that lies where it is wanted; by hwloc.
 *
 * Guarantees: nodes are numbered from 0 without holes, whatever the kernel
 * calls them. Placing is a preference: where a node is out of memory the
 * kernel takes another one's rather than end the process, and
 * hs_numa_bytes_on() tells what became of it.
 */
#ifndef HS_NUMA_NUMA_H
#define HS_NUMA_NUMA_H

#include <stddef.h>
#include <stdint.h>

struct hs_numa;

/**
 * hs_numa_open() - look at the machine
 *
 * Own: hs_numa_close().
 * Return: 0, or -errno: then the machine is as good as one node.
 */
int hs_numa_open(struct hs_numa **out);
void hs_numa_close(struct hs_numa *numa);

/** hs_numa_nr_nodes() - that have memory; 1 where @numa is NULL */
uint32_t hs_numa_nr_nodes(const struct hs_numa *numa);
/** hs_numa_node_of_cpu() - the node next to a core; 0 where none is */
uint32_t hs_numa_node_of_cpu(const struct hs_numa *numa, uint32_t cpu);

/**
 * hs_numa_place() - have memory lie on a node
 *
 * Before it is touched. Of shared memory it holds for everybody who maps it.
 *
 * Return: 0 or -errno.
 */
int hs_numa_place(struct hs_numa *numa, uint32_t node, void *base,
		  size_t size_bytes);

/**
 * hs_numa_bytes_on() - how much of memory that is there lies on a node
 *
 * By a sample of its pages where there are many.
 */
uint64_t hs_numa_bytes_on(const struct hs_numa *numa, uint32_t node,
			  const void *base, size_t size_bytes);

#endif
