/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: random numbers of two kinds: reproducible from a seed, with the
 * state in the caller's hands (tests, simulation, load), and secret ones from
 * the kernel (seeds, keys, ids).
 *
 * Guarantees: the same seed gives the same sequence on every machine and in
 * every version. xoshiro256** (Blackman and Vigna, "Scrambled linear
 * pseudorandom number generators", 2021), seeded by splitmix64.
 */
#ifndef HS_RANDOM_H
#define HS_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hs_random {
	uint64_t s[4];
};

/* The next number of a splitmix64 sequence whose state is @state. */
uint64_t hs_random_splitmix(uint64_t *state);

/* Start a sequence; any seed will do, 0 too. */
void hs_random_seed(struct hs_random *r, uint64_t seed);

/* The next 64 bits. Context: one thread a state. */
uint64_t hs_random_u64(struct hs_random *r);

/* Uniform in [0, n), without bias; 0 if n is 0. */
uint64_t hs_random_below(struct hs_random *r, uint64_t n);

/* Uniform in [0, 1), 53 bits. */
double hs_random_f64(struct hs_random *r);

/* True with probability @p. */
bool hs_random_chance(struct hs_random *r, double p);

/* Fill @out with the sequence's bytes. */
void hs_random_fill(struct hs_random *r, void *out, size_t len_bytes);

/**
 * hs_random_secure() - bytes that nobody can predict
 * @out: where they go
 * @len_bytes: how many
 *
 * Context: any thread; may wait early in boot; keeps on after signals.
 * Return: 0, or -errno of getrandom(2).
 */
int hs_random_secure(void *out, size_t len_bytes);

#endif
