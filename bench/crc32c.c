/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: hs-perf crc32c: what the checksum of slices costs, at the sizes that
 * are shipped and stored, from the cache and from memory, beside the
 * processor's instruction alone and a plain reading of the same bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/random.h"
#include "bench/bench.h"

#define CACHED_BYTES (64u << 10)
#define MEMORY_BYTES (256u << 20) /* beyond any last-level cache */
#define TURN_BYTES   (16u << 20)

struct walk {
	const uint8_t *bytes;
	size_t room, at, step;
	uint64_t sum;
};

static const uint8_t *next(struct walk *w)
{
	const uint8_t *p = w->bytes + w->at;

	w->at += w->step;
	if (w->at + w->step > w->room)
		w->at = 0;
	return p;
}

static void ours(void *context, uint32_t n)
{
	struct walk *w = context;

	while (n--)
		w->sum += hs_crc32c(0, next(w), w->step);
}

static void by_instruction(void *context, uint32_t n)
{
	struct walk *w = context;

	while (n--)
		w->sum += hs_crc32c_by_hw(0, next(w), w->step);
}

static void by_reading(void *context, uint32_t n)
{
	struct walk *w = context;

	while (n--) {
		const uint8_t *p = next(w);
		uint64_t word;

		for (size_t i = 0; i + sizeof(word) <= w->step;
		     i += sizeof(word)) {
			memcpy(&word, p + i, sizeof(word));
			w->sum += word;
		}
	}
}

static void measure(struct hs_bench_report *report, const char *name,
		    const struct walk *walk)
{
	struct walk w[3] = {*walk, *walk, *walk};
	const struct hs_bench_op ops[] = {
		{.name = "crc32c",
		 .run = ours,
		 .context = &w[0],
		 .on_cpu = true},
		{.name = "instruction",
		 .run = by_instruction,
		 .context = &w[1],
		 .on_cpu = true},
		{.name = "reading",
		 .run = by_reading,
		 .context = &w[2],
		 .on_cpu = true},
	};
	struct hs_bench_result *r = hs_bench_add(report, name, "ns");

	/* Where another has just been it would find the bytes in the cache. */
	for (int i = 1; i < 3; i++)
		w[i].at = walk->room / 3 * (size_t)i / walk->step * walk->step;
	hs_bench_turns(r, ops, hs_crc32c_hw_present() ? 3 : 1,
		       (uint32_t)(TURN_BYTES / walk->step), 15);
	snprintf(r->note, sizeof(r->note), "%.1f GB/s, %s",
		 (double)walk->step / r->median,
		 hs_crc32c_wide_present() ? "512 bits at a time"
		 : hs_crc32c_hw_present() ? "three blocks at a time"
					  : "by table");
}

int hs_perf_crc32c(int argc, char **argv)
{
	static const struct {
		const char *cached, *memory;
		size_t bytes;
	} sizes[] = {{"crc32c_1kB_cached", "crc32c_1kB", 1000},
		     {"crc32c_9kB_cached", "crc32c_9kB", 9000},
		     {"crc32c_32kB_cached", "crc32c_32kB", 32768}};
	struct hs_bench_report report = {0};
	struct hs_random random;
	uint8_t *bytes;
	int rc;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") != 0) {
			fprintf(stderr, "usage: hs-perf crc32c [--json]\n");
			return 2;
		}
		report.json = true;
	}
	bytes = malloc(MEMORY_BYTES);
	if (!bytes) {
		fprintf(stderr, "hs-perf: no memory for %u bytes\n",
			MEMORY_BYTES);
		return 1;
	}
	hs_random_seed(&random, 1);
	hs_random_fill(&random, bytes, MEMORY_BYTES);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct walk w = {.bytes = bytes, .step = sizes[i].bytes};

		w.room = CACHED_BYTES;
		measure(&report, sizes[i].cached, &w);
		w.room = MEMORY_BYTES;
		measure(&report, sizes[i].memory, &w);
	}
	free(bytes);
	rc = hs_bench_print(&report, stdout);
	hs_bench_free(&report);
	return rc;
}
