/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the hashes of the house.
 *
 *   siphash     keyed, for what an adversary may choose and what must be the
 *		 same everywhere that holds the key (priorities). SipHash-2-4
 *		 after Aumasson and Bernstein, "SipHash: a fast short-input
 *		 PRF", INDOCRYPT 2012.
 *   trace       seeded, a few ns, for in-memory tables under a private seed.
 *		 Not for anything that leaves the process.
 *   rendezvous  unkeyed and fixed for ever: every node must rank alike.
 */
#ifndef HS_HASH_H
#define HS_HASH_H

#include <stddef.h>
#include <stdint.h>

/**
 * hs_hash_siphash() - SipHash-2-4, 64-bit result
 * @key: 16 secret bytes
 * @data: input
 * @len_bytes: its length
 *
 * Context: any thread; async-signal-safe.
 * Return: the hash; the same on machines of either byte order.
 */
uint64_t hs_hash_siphash(const uint8_t key[16], const void *data,
			 size_t len_bytes);

/**
 * hs_hash_mix64() - spread every bit of a word over all of it
 * @x: the word
 *
 * A bijection, 0 goes to 0. Fixed for ever: part of the rendezvous ranking.
 */
static inline uint64_t hs_hash_mix64(uint64_t x)
{
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ULL;
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ULL;
	x ^= x >> 32;
	return x;
}

/* Both halves of the 128-bit product folded: the quickest good mixer on
 * machines with a wide multiply. */
static inline uint64_t hs_hash_fold(uint64_t a, uint64_t b)
{
	unsigned __int128 m = (unsigned __int128)a * b;

	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

/**
 * hs_hash_trace() - place of a (domain, trace id) in an in-memory table
 * @seed: random, private to the process
 * @hi: upper half of the trace id
 * @lo: lower half
 * @domain: the trust domain
 *
 * A factor that is zero would swallow the other one; which ids do that
 * depends on the seed alone, so nobody outside can choose them.
 *
 * Context: any thread; async-signal-safe.
 */
static inline uint64_t hs_hash_trace(uint64_t seed, uint64_t hi, uint64_t lo,
				     uint32_t domain)
{
	uint64_t h;

	h = hs_hash_fold(hi ^ seed, lo ^ (seed << 32 | seed >> 32) ^
					    0x9e3779b97f4a7c15ULL);
	return hs_hash_fold(h ^ domain ^ 0xc2b2ae3d27d4eb4fULL,
			    seed ^ 0x165667b19e3779f9ULL);
}

/**
 * hs_hash_rendezvous() - how much a node wants a key; the highest one owns it
 * @key64: the key, well mixed or not
 * @node64: the node's id
 *
 * Context: any thread. Ties are broken by the higher node id.
 */
static inline uint64_t hs_hash_rendezvous(uint64_t key64, uint64_t node64)
{
	return hs_hash_mix64(hs_hash_mix64(node64 + 0x9e3779b97f4a7c15ULL) ^
			     key64);
}

/**
 * hs_hash_rendezvous_pick() - the owner of a key
 * @key64: the key
 * @nodes: node ids, in any order
 * @nr_nodes: how many, at least one
 *
 * Return: index of the owner in @nodes.
 */
size_t hs_hash_rendezvous_pick(uint64_t key64, const uint64_t *nodes,
			       size_t nr_nodes);

#endif
