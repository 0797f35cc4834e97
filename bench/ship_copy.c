/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what no carrier of memory can go beyond: each slice summed, and its
 * bytes copied once, in pieces as long as frames, into buffers that stay in the
 * cache. No header, no driver, no receiver.
 */
#include <string.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "bench/bench.h"
#include "bench/ship.h"

#define BUFFERS	     64u
#define BUFFER_BYTES 10240u

void hs_bench_ship_copy(const struct hs_bench_ship_run *run,
			const uint8_t *pool, struct hs_bench_ship_result *out)
{
	static uint8_t buffers[BUFFERS][BUFFER_BYTES];
	uint64_t place = 0, frame = 0;
	volatile uint32_t sum = 0;

	*out = (struct hs_bench_ship_result){.first_ns = hs_clock_mono_ns()};
	do {
		sum ^= hs_crc32c(0, pool + place, run->slice_bytes);
		for (uint32_t at = 0; at < run->slice_bytes; at += run->mtu) {
			uint32_t left = run->slice_bytes - at;

			memcpy(buffers[frame++ % BUFFERS], pool + place + at,
			       left < run->mtu ? left : run->mtu);
		}
		place += run->slice_bytes;
		if (place + run->slice_bytes > HS_BENCH_SHIP_POOL_BYTES)
			place = 0;
		out->slices++;
		out->bytes += run->slice_bytes;
		out->last_ns = hs_clock_mono_ns();
	} while (out->last_ns - out->first_ns < run->span_ns);
}
