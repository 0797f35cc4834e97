/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: reading shared memory must not end the agent. A hole that a guest
 * punched reads as zeros, but where the kernel has no page left for it (huge
 * pages, a full memory control group) the read raises SIGBUS.
 *
 * Guarantees: a fault within watched memory puts a private page of zeros over
 * the place and the read goes on; any other fault ends the process as usual.
 */
#ifndef HS_AGENT_FAULT_H
#define HS_AGENT_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** hs_fault_install() - Context: once, before threads. Return: 0 or -errno */
int hs_fault_install(void);
/** hs_fault_watch() - cover faults there. Return: 0 or -ENOSPC */
int hs_fault_watch(const void *base, size_t size_bytes, bool huge);
/** hs_fault_forget() - before the memory is unmapped; NULL is fine */
void hs_fault_forget(const void *base);
/** hs_fault_count() - faults covered so far */
uint64_t hs_fault_count(void);

#endif
