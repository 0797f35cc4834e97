/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: memory that is about to be touched, cleared by another core.
 *
 * A successor touches some 110 MB of fresh tables for each gibibyte of buffers
 * of 1 KiB, and the kernel clears each page at its first touch: a sixth of an
 * adoption. Where there is a second core it goes ahead meanwhile, page by page
 * from the beginning, and stops when told to, so that no more is cleared than
 * could be of use. Where there is none, or no thread, or little to do, pages
 * are cleared as they are touched.
 */
#ifndef HS_AGENT_CLEAR_H
#define HS_AGENT_CLEAR_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hs_clear {
	pthread_t thread;
	uint8_t *memory; /* on a large page */
	size_t bytes;
	size_t cleared_bytes; /* the thread's, until it has ended */
	uint64_t cpu_ns;      /* likewise */
	bool running;
	bool stop;
};

/**
 * hs_clear_begin() - go ahead of who touches @memory
 * @memory: private, anonymous, @bytes long; there until hs_clear_end()
 */
void hs_clear_begin(struct hs_clear *c, void *memory, size_t bytes);

/**
 * hs_clear_end() - no more of it
 *
 * Context: waits for the page that is being cleared.
 * Return: the processor time that it took.
 */
uint64_t hs_clear_end(struct hs_clear *c);

#endif
