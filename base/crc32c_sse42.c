/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: CRC-32C by the SSE4.2 instruction. Built on x86-64 only; whether
 * this CPU has it is asked at run time.
 *
 * The instruction takes three cycles and may begin one every cycle, so three
 * neighbouring blocks are summed at a time; longer ones would be joined less
 * often, but lie in pages apart, and from memory that halves the speed. Their
 * sums are joined by moving the
 * earlier two over the bytes behind them, a multiplication by x^(8n) modulo the
 * polynomial: a carry-less one by x^(8n-33), whose missing x^33 the instruction
 * itself and the reflected order of bits bring (after Gopal et al., "Fast CRC
 * Computation for iSCSI Polynomial Using CRC32 Instruction", Intel, 2011).
 */
#include "base/crc32c.h"

#include <nmmintrin.h>
#include <string.h>
#include <wmmintrin.h>

/* Bytes of one of the three blocks, and x^(8n-33) for n of it and twice it. */
#define LONG_BYTES  256u
#define LONG_ONCE   0xb9e02b86u
#define LONG_TWICE  0xdd7e3b0cu
#define SHORT_BYTES 128u
#define SHORT_ONCE  0x0d3b6092u
#define SHORT_TWICE 0xb9e02b86u

#define TARGET __attribute__((target("sse4.2,pclmul")))

bool hs_crc32c_hw_present(void)
{
	return __builtin_cpu_supports("sse4.2") &&
	       __builtin_cpu_supports("pclmul");
}

static inline uint64_t word_at(const uint8_t *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return word;
}

/* As if as many zero bytes came behind as @power stands for. */
TARGET static inline uint64_t moved(uint64_t crc, uint32_t power)
{
	__m128i product =
		_mm_clmulepi64_si128(_mm_cvtsi64_si128((int64_t)crc),
				     _mm_cvtsi32_si128((int)power), 0);

	return _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

/* Three blocks of @bytes each; @bytes is a multiple of 8. */
TARGET static inline uint64_t three(uint64_t crc, const uint8_t *p,
				    uint32_t bytes, uint32_t once,
				    uint32_t twice)
{
	uint64_t b = 0, c = 0;

	for (uint32_t i = 0; i < bytes; i += 8) {
		crc = _mm_crc32_u64(crc, word_at(p + i));
		b = _mm_crc32_u64(b, word_at(p + bytes + i));
		c = _mm_crc32_u64(c, word_at(p + 2 * bytes + i));
	}
	return moved(crc, twice) ^ moved(b, once) ^ c;
}

TARGET uint32_t hs_crc32c_by_hw(uint32_t crc, const void *data,
				size_t len_bytes)
{
	const uint8_t *p = data;
	uint64_t acc = (uint32_t)~crc;

	for (; len_bytes >= 3 * LONG_BYTES; len_bytes -= 3 * LONG_BYTES) {
		acc = three(acc, p, LONG_BYTES, LONG_ONCE, LONG_TWICE);
		p += 3 * LONG_BYTES;
	}
	for (; len_bytes >= 3 * SHORT_BYTES; len_bytes -= 3 * SHORT_BYTES) {
		acc = three(acc, p, SHORT_BYTES, SHORT_ONCE, SHORT_TWICE);
		p += 3 * SHORT_BYTES;
	}
	for (; len_bytes >= 8; p += 8, len_bytes -= 8)
		acc = _mm_crc32_u64(acc, word_at(p));
	crc = (uint32_t)acc;
	for (; len_bytes > 0; p++, len_bytes--)
		crc = _mm_crc32_u8(crc, *p);
	return ~crc;
}
