/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A 128-bit running hash for content comparison inside one program. It is not
 * a format and not keyed: never store it, never use it against an adversary.
 */
#ifndef HS_MODEL_HASH_H
#define HS_MODEL_HASH_H

#include <stddef.h>
#include <stdint.h>

struct hs_model_hash {
	uint64_t a;
	uint64_t b;
};

static inline uint64_t hs_model_hash_mix(uint64_t x)
{
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ull;
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ull;
	return x ^ (x >> 32);
}

static inline void hs_model_hash_init(struct hs_model_hash *h, uint64_t seed)
{
	h->a = hs_model_hash_mix(seed + 0x9e3779b97f4a7c15ull);
	h->b = hs_model_hash_mix(seed ^ 0xc2b2ae3d27d4eb4full);
}

static inline void hs_model_hash_u64(struct hs_model_hash *h, uint64_t x)
{
	h->a = hs_model_hash_mix(h->a ^ x) + 0x9e3779b97f4a7c15ull;
	h->b = hs_model_hash_mix(h->b + x * 0xff51afd7ed558ccdull) ^ h->a;
}

void hs_model_hash_bytes(struct hs_model_hash *h, const void *ptr, size_t len);

#endif
