/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: take a free buffer out of the stock that the agent keeps for this
 * process: of the size asked for, from the core that we run on.
 *
 * Guarantees: lock-free among the threads of the process; of the smallest size
 * a thread takes a few at once, in one exchange, never more than a quarter of
 * what is there, and keeps them in its lane; a bounded number of rings is
 * tried; where the size is out of stock, the next smaller one is taken, or the
 * next larger one; a word that names no buffer inside the pool switches the
 * attachment off instead of being used. rseq is only asked which core this is,
 * no critical section is used, and a stale answer costs locality alone.
 */
#ifndef HS_DATAPLANE_STOCK_H
#define HS_DATAPLANE_STOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/attachment.h"
#include "dataplane/tls.h"

/* Cores whose stocks are looked into before the data goes nowhere. */
#define HS_STOCK_TRIES 3u

struct hs_stock {
	uint64_t word; /* 0: none */
	uint8_t *base;
	uint32_t size_bytes;
};

/* The core that the thread runs on by glibc's rseq area, or ~0u. */
static inline uint32_t hs_stock_cpu(void)
{
	extern const ptrdiff_t __rseq_offset __attribute__((weak));
	extern const unsigned int __rseq_size __attribute__((weak));
	const uint32_t *cpu_id;
	const char *self;
	uint32_t cpu;

	if (!&__rseq_size || !&__rseq_offset || __rseq_size == 0)
		return ~0u;
#if defined(__x86_64__)
	__asm__("mov %%fs:0, %0" : "=r"(self));
#elif defined(__aarch64__)
	__asm__("mrs %0, tpidr_el0" : "=r"(self));
#else
	return ~0u;
#endif
	/* struct rseq: cpu_id_start, cpu_id; negative when unregistered */
	cpu_id = (const uint32_t *)(self + __rseq_offset + 4);
	/* stock.C2 relaxed: the kernel changes it under us; any answer will
	 * do. */
	cpu = __atomic_load_n(cpu_id, __ATOMIC_RELAXED);
	return cpu > INT32_MAX ? ~0u : cpu;
}

/**
 * hs_stock_check() - whether a stock word names a buffer of this attachment
 * @out: filled only when it does
 *
 * Context: pure.
 */
static inline bool hs_stock_check(const struct hs_attachment *at, uint64_t word,
				  struct hs_stock *out)
{
	uint64_t offset =
		(uint64_t)hs_shm_stock_ref(word) * HS_SHM_REF_UNIT_BYTES;
	uint32_t size_class = hs_shm_stock_class(word);
	uint32_t node = hs_shm_stock_node(word);
	uint32_t size;

	if (size_class >= HS_SHM_NR_CLASSES || node >= at->layout.nr_nodes ||
	    hs_shm_stock_generation(word) == 0)
		return false;
	size = at->layout.class_bytes[size_class];
	if (size == 0 || offset > at->pool_bytes ||
	    size > at->pool_bytes - offset)
		return false;
	out->word = word;
	out->base = at->pools[node] + offset;
	out->size_bytes = size;
	return true;
}

enum hs_stock_result {
	HS_STOCK_GOT = 0,
	HS_STOCK_EMPTY = 1,
	HS_STOCK_BAD = 2,
};

/**
 * hs_stock_take_ring() - take from one ring
 * @core: below layout.nr_rings
 * @size_class: below layout.nr_classes
 *
 * Context: any thread of the process; lock-free.
 * Own:     on HS_STOCK_GOT the buffer is the caller's until it is published.
 */
enum hs_stock_result hs_stock_take_ring(struct hs_attachment *at, uint32_t core,
					uint32_t size_class,
					struct hs_stock *out);

/**
 * hs_stock_take() - take a buffer, from the nearest ring that has one
 * @size_class: that it should be of; higher than the highest is the highest
 *
 * Return: false: none, or the attachment has gone bad.
 */
bool hs_stock_take(struct hs_attachment *at, struct hs_tls *tls,
		   uint32_t size_class, struct hs_stock *out);

/**
 * hs_stock_return() - give back what the agent asks for
 * @lane: that the caller has; a part of it is left empty
 *
 * A bounded number at a time; where there is no room in the lane, nothing.
 *
 * Context: the helper.
 */
void hs_stock_return(struct hs_attachment *at, struct hs_lane *lane);

#endif
