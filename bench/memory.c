/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see memory.h. */
#include "bench/memory.h"

#include <string.h>

#define SMALL_BYTES 32u

int hs_bench_memory_make(struct hs_bench_memory *m, size_t size_bytes,
			 const void *data, uint32_t data_bytes)
{
	int rc = hs_memfd_create(&m->memfd, "hs-perf", size_bytes, 0);

	if (rc)
		return rc;
	m->base = m->memfd.base;
	m->size_bytes = m->memfd.size_bytes;
	m->pos = 0;
	m->data = data;
	m->data_bytes = data_bytes;
	/* Enter every page in our table, as the library's is. */
	memset(m->base, 1, m->size_bytes);
	return 0;
}

void hs_bench_memory_free(struct hs_bench_memory *m)
{
	hs_memfd_close(&m->memfd);
}

void hs_bench_append(void *context, uint32_t n)
{
	struct hs_bench_memory *m = context;
	size_t pos = m->pos;

	for (uint32_t i = 0; i < n; i++) {
		if (pos + m->data_bytes > m->size_bytes)
			pos = 0;
		if (m->data_bytes == SMALL_BYTES)
			memcpy(m->base + pos, m->data, SMALL_BYTES);
		else
			memcpy(m->base + pos, m->data, m->data_bytes);
		__asm__ volatile("" ::: "memory");
		pos += m->data_bytes;
	}
	m->pos = pos;
}

void hs_bench_append_stamped(void *context, uint32_t n)
{
	struct hs_bench_memory *m = context;
	size_t pos = m->pos;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t ticks = hs_bench_ticks();

		if (pos + SMALL_BYTES + sizeof(ticks) > m->size_bytes)
			pos = 0;
		memcpy(m->base + pos, &ticks, sizeof(ticks));
		memcpy(m->base + pos + sizeof(ticks), m->data, SMALL_BYTES);
		__asm__ volatile("" ::: "memory");
		pos += SMALL_BYTES + sizeof(ticks);
	}
	m->pos = pos;
}
