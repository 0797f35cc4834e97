/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: CRC-32C by carry-less multiplication of 512 bits at a time. Built on
 * x86-64 only; whether this CPU has it is asked at run time.
 *
 * Each 128 bits are folded into those that lie D bits behind: the low half
 * times x^(D+32), the high one times x^(D-32), both modulo the polynomial, in
 * reflected order (after Gopal et al., "Fast CRC Computation for Generic
 * Polynomials Using PCLMULQDQ Instruction", Intel, 2009). Four sums run beside
 * each other over one stream, which the prefetcher follows where three blocks
 * apart cost it as many: from memory that is the larger half of the gain.
 */
#include "base/crc32c.h"

#include <immintrin.h>

#define TARGET __attribute__((target("avx512f,vpclmulqdq,sse4.2,pclmul")))

/* Under this, what it costs to join the sums eats what they gain. */
#define WORTH_BYTES  512u
#define STRIDE_BYTES 256u
/* So far ahead bytes are asked for: the processor's own prefetcher stops where
 * a page ends, and memory that is waited for there is a fifth of the time. */
#define AHEAD_STRIDES 16u
#define LINE_BYTES    64u

/* x^(D+32) and x^(D-32), reflected, for D of a stride and of one register. */
#define STRIDE_LOW    0xdcb17aa4
#define STRIDE_HIGH   0xb9e02b86
#define REGISTER_LOW  0x740eef02
#define REGISTER_HIGH 0x9e4addf8

bool hs_crc32c_wide_present(void)
{
	return __builtin_cpu_supports("avx512f") &&
	       __builtin_cpu_supports("vpclmulqdq") && hs_crc32c_hw_present();
}

TARGET static inline __m512i powers(long long low, long long high)
{
	return _mm512_broadcast_i32x4(_mm_set_epi64x(high, low));
}

TARGET static inline __m512i folded(__m512i sum, __m512i by, __m512i onto)
{
	/* An enum: clang wants a constant without optimising, too. */
	enum { XOR_OF_THREE = 0x96 };

	return _mm512_ternarylogic_epi64(
		_mm512_clmulepi64_epi128(sum, by, 0x00),
		_mm512_clmulepi64_epi128(sum, by, 0x11), onto, XOR_OF_THREE);
}

static inline void ask_for(const uint8_t *p)
{
	for (uint32_t i = 0; i < STRIDE_BYTES; i += LINE_BYTES)
		_mm_prefetch((const char *)p + i, _MM_HINT_T0);
}

/* Strides from @p, at least one. Return: the sum, as the instruction has it. */
TARGET static uint64_t strides(uint32_t acc, const uint8_t *p, size_t nr)
{
	const __m512i stride = powers(STRIDE_LOW, STRIDE_HIGH);
	const __m512i next = powers(REGISTER_LOW, REGISTER_HIGH);
	__m512i a = _mm512_loadu_si512(p), b = _mm512_loadu_si512(p + 64),
		c = _mm512_loadu_si512(p + 128),
		d = _mm512_loadu_si512(p + 192);
	uint64_t rest[8], sum = 0;

	a = _mm512_xor_si512(
		a, _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)acc)));
	while (--nr) {
		p += STRIDE_BYTES;
		if (nr > AHEAD_STRIDES)
			ask_for(p + AHEAD_STRIDES * STRIDE_BYTES);
		a = folded(a, stride, _mm512_loadu_si512(p));
		b = folded(b, stride, _mm512_loadu_si512(p + 64));
		c = folded(c, stride, _mm512_loadu_si512(p + 128));
		d = folded(d, stride, _mm512_loadu_si512(p + 192));
	}
	b = folded(a, next, b);
	c = folded(b, next, c);
	d = folded(c, next, d);
	/* 64 bytes with the same remainder as all before. */
	_mm512_storeu_si512(rest, d);
	for (int i = 0; i < 8; i++)
		sum = _mm_crc32_u64(sum, rest[i]);
	return sum;
}

uint32_t hs_crc32c_by_wide(uint32_t crc, const void *data, size_t len_bytes)
{
	size_t nr = len_bytes / STRIDE_BYTES;
	const uint8_t *p = data;

	if (len_bytes < WORTH_BYTES)
		return hs_crc32c_by_hw(crc, data, len_bytes);
	crc = ~(uint32_t)strides(~crc, p, nr);
	return hs_crc32c_by_hw(crc, p + nr * STRIDE_BYTES,
			       len_bytes - nr * STRIDE_BYTES);
}
