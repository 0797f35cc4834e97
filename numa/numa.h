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

/** hs_numa_open_as() - a machine that is described: @text is hwloc's XML, or
 * its synthetic form, "node:2 core:4 pu:1"; nothing is placed there */
int hs_numa_open_as(struct hs_numa **out, const char *text);

/** hs_numa_nr_nodes() - that have memory; 1 where @numa is NULL */
uint32_t hs_numa_nr_nodes(const struct hs_numa *numa);
/** hs_numa_node_of_cpu() - the node next to a core; 0 where none is */
uint32_t hs_numa_node_of_cpu(const struct hs_numa *numa, uint32_t cpu);

/* Sets of nodes are masks: bit n for node n; nodes above 63 are in none. */
/** hs_numa_nodes_here() - on whose cores the calling thread may run */
uint64_t hs_numa_nodes_here(const struct hs_numa *numa);
/** hs_numa_nodes_of_cpus() - next to the cores of a mask in sysfs, as
 * ".../local_cpus" is; 0: no such file, or no cores in it */
uint64_t hs_numa_nodes_of_cpus(const struct hs_numa *numa, const char *path);
/**
 * hs_numa_distance() - how far it is to what is attached to nodes
 * @from: where we may be; 0: anywhere
 * @to: any of these will do; 0: not known, so that it may be any one
 *
 * Return: in the kernel's measure, 10 for the same node; the mean over @from.
 */
uint32_t hs_numa_distance(const struct hs_numa *numa, uint64_t from,
			  uint64_t to);

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
