/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see buffers.h. */
#include "bench/buffers.h"

#include <string.h>

#include "bench/client_ops.h"
#include "hs/shm_format.h"

#define RECORD_BYTES 32u
#define HEAD	     0x200cu

/* The sizes that an agent's defaults come to; the last one for all that is
 * left of a trace. */
static const uint32_t growing_bytes[HS_BENCH_BUFFERS_SIZES] = {512, 2048, 8192,
							       32768};

void hs_bench_buffers_make(struct hs_bench_buffers *b,
			   const struct hs_bench_memory *memory, bool growing)
{
	*b = (struct hs_bench_buffers){
		.memory = memory,
		.nr_sizes = growing ? HS_BENCH_BUFFERS_SIZES : 1,
	};
}

static uint32_t size_of(const struct hs_bench_buffers *b, uint32_t i)
{
	return growing_bytes[HS_BENCH_BUFFERS_SIZES - b->nr_sizes + i];
}

static void next_buffer(struct hs_bench_buffers *b)
{
	size_t part = b->memory->size_bytes / b->nr_sizes;
	uint32_t i = b->next, size = size_of(b, i);

	if (b->at[i] + size > part)
		b->at[i] = 0;
	b->base = b->memory->base + i * part + b->at[i];
	b->at[i] += size;
	b->pos = sizeof(struct hs_shm_buffer);
	b->end = size;
	if (b->next + 1 < b->nr_sizes)
		b->next++;
}

static inline __attribute__((always_inline)) void
append(struct hs_bench_buffers *b, const uint8_t *data)
{
	uint32_t head = HEAD, next = b->pos + sizeof(head) + RECORD_BYTES;
	uint8_t *to;

	if (__builtin_expect(next > b->end, 0)) {
		next_buffer(b);
		next = b->pos + sizeof(head) + RECORD_BYTES;
	}
	to = b->base + b->pos;
	memcpy(to, &head, sizeof(head));
	memcpy(to + sizeof(head), data, RECORD_BYTES);
	__asm__ volatile("" ::: "memory");
	/* What a library would release: on x86 it is the same store. */
	((struct hs_shm_buffer *)(void *)b->base)->committed = next;
	b->pos = next;
	/* As between two calls: nothing is kept in registers. */
	__asm__ volatile("" ::: "memory");
}

void hs_bench_append_published(void *context, uint32_t n)
{
	struct hs_bench_buffers *b = context;

	for (uint32_t i = 0; i < n; i += HS_CLIENT_POINTS_OF_TRACE) {
		if (b->nr_sizes > 1 || !b->base) {
			b->next = 0;
			next_buffer(b);
		}
		for (uint32_t k = 0; k < HS_CLIENT_POINTS_OF_TRACE; k++)
			append(b, b->memory->data);
	}
}
