/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verbs_ipoib.h - an InfiniBand port's network interfaces
 *
 * A RoCE port's GIDs are addresses of its interface; an InfiniBand port's are a
 * subnet's prefix and a number of its own. The address that librdmacm takes for
 * it is that of an interface of IP over InfiniBand, which the kernel lists at
 * the device, with the port that it belongs to.
 */
#ifndef HS_RDMA_VERBS_IPOIB_H
#define HS_RDMA_VERBS_IPOIB_H

#include <net/if.h>
#include <stdint.h>

#define HS_VERBS_IPOIB_MAX 8u /* of one port */

/**
 * hs_verbs_ipoib_names() - by name, in the order of their names
 * @root: /sys/class/infiniband
 * @names: set to @nr_names at most
 *
 * Return: how many.
 */
uint32_t hs_verbs_ipoib_names(const char *root, const char *device,
			      uint32_t port, char names[][IFNAMSIZ],
			      uint32_t nr_names);

#endif
