/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stray.h - packets that point to memory which the device may not reach
 *
 * Behind an IOMMU a device reads what was mapped for it, and nothing else. Two
 * packets go through one queue, alike but for where their bytes lie: in memory
 * that was mapped, and in memory that was registered with DPDK alone.
 */
#ifndef HS_TESTS_SHIP_STRAY_H
#define HS_TESTS_SHIP_STRAY_H

#include <stdbool.h>
#include <stdint.h>

#define STRAY_BYTES 1024u

/* Of the receiving process, shared with the sending one. */
struct stray_seen {
	uint32_t mapped;   /* packets that came with the bytes that lay there */
	uint32_t unmapped; /* of memory that the device may not reach */
	uint32_t other;	   /* that came with other bytes */
};

/** stray_watch() - count the packets that come to port 0 of this process */
bool stray_watch(struct stray_seen *seen);
/**
 * stray_send() - one packet from @mapped, one from memory of its own
 * @seen: of the receiver, which has to be polling
 * @why: what was wrong, when something was
 *
 * Return: whether the first came, the second did not, and the kernel said that
 *	the IOMMU had refused just that address.
 */
bool stray_send(uint8_t *mapped, const struct stray_seen *seen,
		const char **why);

#endif
