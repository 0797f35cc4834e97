/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see copy.h. Where there is no streaming store it is memcpy(). */
#include "dataplane/copy.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define LINE_BYTES 64u

static void stream_sse2(uint8_t *to, const uint8_t *from, size_t nr_lines)
{
	for (; nr_lines; nr_lines--, to += LINE_BYTES, from += LINE_BYTES) {
		for (size_t i = 0; i < LINE_BYTES; i += 16)
			_mm_stream_si128(
				(__m128i *)(void *)(to + i),
				_mm_loadu_si128(
					(const __m128i *)(const void *)(from +
									i)));
	}
}

__attribute__((target("avx2"))) static void
stream_avx2(uint8_t *to, const uint8_t *from, size_t nr_lines)
{
	for (; nr_lines; nr_lines--, to += LINE_BYTES, from += LINE_BYTES) {
		for (size_t i = 0; i < LINE_BYTES; i += 32)
			_mm256_stream_si256(
				(__m256i *)(void *)(to + i),
				_mm256_loadu_si256(
					(const __m256i *)(const void *)(from +
									i)));
	}
}

__attribute__((target("avx512f"))) static void
stream_avx512(uint8_t *to, const uint8_t *from, size_t nr_lines)
{
	for (; nr_lines; nr_lines--, to += LINE_BYTES, from += LINE_BYTES)
		_mm512_stream_si512((__m512i *)(void *)to,
				    _mm512_loadu_si512(from));
}

void hs_copy_stream(void *to, const void *from, size_t n)
{
	uint8_t *t = to;
	const uint8_t *f = from;
	size_t head = -(uintptr_t)t % LINE_BYTES;
	size_t lines;

	if (n < 2 * LINE_BYTES) {
		memcpy(t, f, n);
		return;
	}
	memcpy(t, f, head);
	t += head;
	f += head;
	n -= head;
	lines = n / LINE_BYTES;
	if (__builtin_cpu_supports("avx512f"))
		stream_avx512(t, f, lines);
	else if (__builtin_cpu_supports("avx2"))
		stream_avx2(t, f, lines);
	else
		stream_sse2(t, f, lines);
	t += lines * LINE_BYTES;
	f += lines * LINE_BYTES;
	memcpy(t, f, n % LINE_BYTES);
}

void hs_copy_fence(void)
{
	_mm_sfence();
}
#else
void hs_copy_stream(void *to, const void *from, size_t n)
{
	memcpy(to, from, n);
}

void hs_copy_fence(void)
{
}
#endif
