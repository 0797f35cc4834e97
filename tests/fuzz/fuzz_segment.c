/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the segment reader on anything. The input's first byte chooses: the
 * rest is taken as a whole file, or as edits of a sound one, so that the
 * fuzzer gets behind the checksums too.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"
#include "collector/assembly.h"
#include "collector/segment.h"
#include "tests/fuzz/fuzz.h"

#define SALT 0x1234567890abcdefull

static struct hs_segment_codec *codec;
static uint8_t sound[4096];
static size_t sound_bytes;
static uint64_t nr_seen;

static int visit(void *ctx, uint64_t offset,
		 const struct hs_segment_record *record, const uint8_t *raw,
		 size_t raw_bytes)
{
	const struct hs_wire_trigger *triggers;
	struct hs_wire_slice slice;
	const uint8_t *bytes;
	uint32_t nr;
	uint32_t sum = 0;

	nr_seen++;
	if (!hs_segment_slice(raw, raw_bytes, record, &slice, &bytes))
		for (uint32_t i = 0; i < slice.length_bytes; i++)
			sum += bytes[i];
	if (!hs_assembly_union_triggers(raw, (uint32_t)raw_bytes, &triggers,
					&nr))
		for (uint32_t i = 0; i < nr; i++)
			sum += (uint32_t)triggers[i].name[0];
	return sum == UINT32_MAX;
}

static void make_sound(void)
{
	struct {
		struct hs_wire_slice head;
		uint8_t bytes[300];
	} slice = {{.trace = {1, 2}, .node = 3}, {1, 2, 3}};

	codec = hs_segment_codec_new(3);
	hs_check(codec);
	hs_segment_head_make(sound, 1, 5, SALT);
	sound_bytes = HS_SEGMENT_START_BYTES;
	for (uint32_t i = 0; i < 3; i++) {
		static uint8_t out[HS_SEGMENT_RECORD_MAX_BYTES];
		size_t n;

		slice.head.length_bytes = 100 * i;
		n = hs_segment_encode(codec, SALT, sound_bytes,
				      HS_SEGMENT_SLICE, &slice.head.trace,
				      &slice, sizeof(slice.head) + 100 * i,
				      out);
		hs_check(n && n <= sizeof(sound) - sound_bytes);
		memcpy(sound + sound_bytes, out, n);
		sound_bytes += n;
	}
}

static void scan(const uint8_t *data, size_t size)
{
	struct hs_segment_head head = {.salt = SALT};
	struct hs_segment_scan result;
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	hs_check(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	if (hs_segment_head_read(data, size, &head))
		head.salt = SALT;
	hs_segment_scan(codec, fd, head.salt, HS_SEGMENT_START_BYTES, visit,
			NULL, &result);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t edited[sizeof(sound)];

	if (!codec)
		make_sound();
	if (size < 1)
		return 0;
	if (data[0] & 1) {
		scan(data + 1, size - 1);
		return 0;
	}
	memcpy(edited, sound, sound_bytes);
	for (size_t i = 1; i + 2 < size; i += 3)
		edited[(data[i] | data[i + 1] << 8) % sound_bytes] ^=
			data[i + 2];
	nr_seen = 0;
	scan(edited, sound_bytes);
	hs_check(size > 1 || nr_seen == 3);
	return 0;
}

const struct hs_fuzz_seed hs_fuzz_seeds[] = {
	{"\0", 1},     {"\0\x90\0\x01", 4}, {"\0\x88\0\x02\x00\x01\x80", 7},
	{"\1HREC", 5}, {NULL, 0},
};
