/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: drive a fuzz target without libFuzzer: `fuzz_x RUNS SEED` changes
 * the target's good inputs RUNS times, the same way for the same SEED;
 * `fuzz_x FILE...` gives it the files, such as a crash that libFuzzer found.
 * Each input lies in its own allocation, so that ASan sees every overread.
 */
#include "tests/fuzz/fuzz.h"
#include "base/random.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_MAX_BYTES ((size_t)1 << 16)

static uint8_t work[INPUT_MAX_BYTES];

static void give(const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	if (copy == NULL)
		abort();
	memcpy(copy, data, len);
	LLVMFuzzerTestOneInput(copy, len);
	free(copy);
}

static const struct hs_fuzz_seed *pick(struct hs_random *r)
{
	size_t nr = 0;

	while (hs_fuzz_seeds[nr].data != NULL)
		nr++;
	return &hs_fuzz_seeds[hs_random_below(r, nr)];
}

/* One change to @work; returns its new length. */
static size_t change(struct hs_random *r, size_t len)
{
	static const uint8_t edges[] = {0,   1,	  0x7f, 0x80, 0xff, '\n', ' ',
					':', '-', '"',	'[',  '{',  '&',  '*'};
	size_t at = hs_random_below(r, len + 1);
	size_t n = hs_random_below(r, 16) + 1;
	const struct hs_fuzz_seed *other;

	switch (hs_random_below(r, 6)) {
	case 0: /* cut */
		return at;
	case 1: /* flip a bit */
		if (at < len)
			work[at] ^= (uint8_t)(1U << hs_random_below(r, 8));
		return len;
	case 2: /* set an edge value */
		if (at < len)
			work[at] = edges[hs_random_below(r, sizeof(edges))];
		return len;
	case 3: /* remove a run */
		n = n < len - at ? n : len - at;
		memmove(work + at, work + at + n, len - at - n);
		return len - n;
	case 4: /* insert random bytes */
		if (n > INPUT_MAX_BYTES - len)
			return len;
		memmove(work + at + n, work + at, len - at);
		hs_random_fill(r, work + at, n);
		return len + n;
	default: /* go on with the tail of another input */
		other = pick(r);
		n = hs_random_below(r, other->len_bytes + 1);
		if (n > INPUT_MAX_BYTES - at)
			n = INPUT_MAX_BYTES - at;
		memcpy(work + at,
		       (const uint8_t *)other->data + other->len_bytes - n, n);
		return at + n;
	}
}

static void run_seeded(unsigned long nr_runs, uint64_t seed)
{
	struct hs_random r;

	hs_random_seed(&r, seed);
	for (size_t i = 0; hs_fuzz_seeds[i].data != NULL; i++)
		give(hs_fuzz_seeds[i].data, hs_fuzz_seeds[i].len_bytes);
	for (unsigned long i = 0; i < nr_runs; i++) {
		const struct hs_fuzz_seed *from = pick(&r);
		size_t len = from->len_bytes < INPUT_MAX_BYTES
				     ? from->len_bytes
				     : INPUT_MAX_BYTES;
		uint64_t nr_changes = hs_random_below(&r, 8) + 1;

		memcpy(work, from->data, len);
		while (nr_changes-- > 0)
			len = change(&r, len);
		give(work, len);
	}
	printf("fuzz: runs=%lu seed=%llu\n", nr_runs, (unsigned long long)seed);
}

static int run_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	size_t len;

	if (f == NULL) {
		perror(path);
		return 1;
	}
	len = fread(work, 1, sizeof(work), f);
	fclose(f);
	give(work, len);
	return 0;
}

int main(int argc, char **argv)
{
	char *end = NULL;
	unsigned long nr_runs = argc > 1 ? strtoul(argv[1], &end, 10) : 20000;
	int failed = 0;

	if (argc == 1 || (*end == '\0' && argc <= 3)) {
		run_seeded(nr_runs, argc > 2 ? strtoull(argv[2], NULL, 10) : 1);
		return 0;
	}
	for (int i = 1; i < argc; i++)
		failed |= run_file(argv[i]);
	return failed;
}
