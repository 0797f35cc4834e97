/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: SipHash-2-4 and the rendezvous choice; see hash.h.
 */
#include "base/hash.h"
#include "base/endian.h"

static uint64_t rotl(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

/* The paper's SipRound, on the state's four words. */
static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] = rotl(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] = rotl(v[2], 32);
}

static void sip_absorb(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	sip_round(v);
	sip_round(v);
	v[0] ^= word;
}

uint64_t hs_hash_siphash(const uint8_t key[16], const void *data,
			 size_t len_bytes)
{
	uint64_t k0 = hs_le64_load(key);
	uint64_t k1 = hs_le64_load(key + 8);
	const uint8_t *p = data;
	/* "somepseudorandomlygeneratedbytes", section 2.1 */
	uint64_t v[4] = {
		k0 ^ 0x736f6d6570736575ULL,
		k1 ^ 0x646f72616e646f6dULL,
		k0 ^ 0x6c7967656e657261ULL,
		k1 ^ 0x7465646279746573ULL,
	};
	uint64_t last = (uint64_t)len_bytes << 56;
	size_t nr_words = len_bytes / 8;
	size_t nr_rest = len_bytes % 8;

	for (size_t i = 0; i < nr_words; i++)
		sip_absorb(v, hs_le64_load(p + 8 * i));
	for (size_t i = 0; i < nr_rest; i++)
		last |= (uint64_t)p[8 * nr_words + i] << (8 * i);
	sip_absorb(v, last);
	v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

size_t hs_hash_rendezvous_pick(uint64_t key64, const uint64_t *nodes,
			       size_t nr_nodes)
{
	uint64_t best_score = 0;
	size_t best = 0;

	for (size_t i = 0; i < nr_nodes; i++) {
		uint64_t score = hs_hash_rendezvous(key64, nodes[i]);

		if (i == 0 || score > best_score ||
		    (score == best_score && nodes[i] > nodes[best])) {
			best = i;
			best_score = score;
		}
	}
	return best;
}
