/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: CRC-32C by the SSE4.2 instruction. Built on x86-64 only; whether
 * this CPU has it is asked at run time.
 */
#include "base/crc32c.h"

#include <nmmintrin.h>
#include <string.h>

bool hs_crc32c_hw_present(void)
{
	return __builtin_cpu_supports("sse4.2");
}

__attribute__((target("sse4.2"))) uint32_t
hs_crc32c_by_hw(uint32_t crc, const void *data, size_t len_bytes)
{
	const uint8_t *p = data;
	uint64_t acc = ~crc;

	for (; len_bytes >= 8; p += 8, len_bytes -= 8) {
		uint64_t word;

		memcpy(&word, p, sizeof(word));
		acc = _mm_crc32_u64(acc, word);
	}
	crc = (uint32_t)acc;
	for (; len_bytes > 0; p++, len_bytes--)
		crc = _mm_crc32_u8(crc, *p);
	return ~crc;
}
