/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: random numbers; see random.h.
 */
#include "base/random.h"
#include "base/endian.h"

#include <errno.h>
#include <sys/random.h>

uint64_t hs_random_splitmix(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

void hs_random_seed(struct hs_random *r, uint64_t seed)
{
	for (int i = 0; i < 4; i++)
		r->s[i] = hs_random_splitmix(&seed);
}

static uint64_t rotl(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

uint64_t hs_random_u64(struct hs_random *r)
{
	uint64_t *s = r->s;
	uint64_t out = rotl(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return out;
}

uint64_t hs_random_below(struct hs_random *r, uint64_t n)
{
	uint64_t reject_under;
	unsigned __int128 m;

	if (n == 0)
		return 0;
	/* Multiply and keep the upper half; the few products whose lower half
	 * is below 2^64 mod n would favour some results, so draw again. */
	reject_under = (0 - n) % n;
	do {
		m = (unsigned __int128)hs_random_u64(r) * n;
	} while ((uint64_t)m < reject_under);
	return (uint64_t)(m >> 64);
}

double hs_random_f64(struct hs_random *r)
{
	return (double)(hs_random_u64(r) >> 11) * 0x1p-53;
}

bool hs_random_chance(struct hs_random *r, double p)
{
	return hs_random_f64(r) < p;
}

void hs_random_fill(struct hs_random *r, void *out, size_t len_bytes)
{
	uint8_t *p = out;

	while (len_bytes > 0) {
		size_t n = len_bytes < 8 ? len_bytes : 8;
		uint8_t word[8];

		hs_le64_store(word, hs_random_u64(r));
		memcpy(p, word, n);
		p += n;
		len_bytes -= n;
	}
}

int hs_random_secure(void *out, size_t len_bytes)
{
	uint8_t *p = out;

	while (len_bytes > 0) {
		ssize_t n = getrandom(p, len_bytes, 0);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		p += n;
		len_bytes -= (size_t)n;
	}
	return 0;
}
