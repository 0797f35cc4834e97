/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_record.c - bytes of anybody as the buffers of a trace
 *
 * The input is cut into buffers: u16 length, u8 seq, then so many bytes; they
 * go through the reader, every view is read to its end, and through the
 * builder of a canonical trace with small limits.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/endian.h"
#include "hs/shm_format.h"
#include "model/record_read.h"
#include "model/record_trace.h"
#include "tests/fuzz/fuzz.h"

#define BUFFERS_MAX 16u

/* Two buffers; a tracepoint runs from the first into the second. */
static const struct __attribute__((packed)) {
	uint16_t len0;
	uint8_t seq0;
	struct hs_shm_buffer head0;
	uint8_t resource[14];
	uint8_t start[30];
	uint8_t attr[12];
	uint8_t point_begin[8];
	uint16_t len1;
	uint8_t seq1;
	struct hs_shm_buffer head1;
	uint8_t point_end[6];
	uint8_t end[7];
} seed_two = {
	64 + 14 + 30 + 12 + 8,
	0,
	{HS_SHM_BUF_MAGIC, HS_SHM_BUF_VERSION, 64, 1, 1, 2, 1, 1, 0, 128, 64, 0,
	 1000},
	{1, 10, 0, 0, 0, 1, 3, 's', 'v', 'c', 1, 1, 'k', 3},
	{2, 26, 0, 0, 0, 1, 0, 0, 0,  0, 0,   0,   0,	0,   0,
	 0, 0,	0, 0, 0, 0, 0, 1, 20, 5, 'o', 'p', 'e', 'r', 'a'},
	{36, 8, 0, 0, 0, 0x83, 0x01, 0, 3, 'a', 'b', 'c'},
	{10, 10, 0, 0, 2, 'a', 'b', 'c'},
	64 + 6 + 7,
	1,
	{HS_SHM_BUF_MAGIC, HS_SHM_BUF_VERSION, 64, 2, 1, 2, 1, 1, 1, 77, 70, 0,
	 2000},
	{'d', 'e', 'f', 'g', 'h', 'i'},
	{3, 3, 0, 0, 0, 200, 1},
};

/* Short records: an attribute, it again, its key again; a name, it again. */
static const struct __attribute__((packed)) {
	uint16_t len0;
	uint8_t seq0;
	struct hs_shm_buffer head0;
	uint8_t attr[11];
	uint8_t again[6];
	uint8_t key_again[9];
	uint8_t start[25];
	uint8_t start_again[26];
} seed_again = {
	64 + 11 + 6 + 9 + 25 + 26,
	0,
	{HS_SHM_BUF_MAGIC, HS_SHM_BUF_VERSION, 64, 1, 1, 2, 1, 1, 0, 141, 64, 0,
	 1000},
	{0x34, 9, 0, 6, 'k', 'e', 'y', 0, 2, 'a', 'b'},
	{0x34, 4, 0, 1, 67, 0},
	{0x34, 7, 0, 3, 67, 0, 0, 1, 'c'},
	{0x32, 23, 1, 1, 0, 0, 0, 0, 0, 0, 0,	0,
	 0,    0,  0, 0, 0, 0, 0, 0, 2, 4, 'n', 'm'},
	{0x32, 23, 2, 2, 0, 0, 0, 0, 0, 0, 0,	0,
	 0,    0,  0, 0, 0, 0, 0, 0, 2, 1, 112, 0},
};

const struct hs_fuzz_seed hs_fuzz_seeds[] = {
	{&seed_two, sizeof(seed_two)},
	{&seed_again, sizeof(seed_again)},
	{NULL, 0},
};

static uint64_t sum;

static void eat(const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++)
		sum += p[i];
}

static void eat_str(struct hs_record_str s)
{
	eat(s.ptr, s.len);
}

static void eat_attr(const struct hs_record_attr *a)
{
	eat_str(a->key);
	if (a->type == HS_VALUE_STRING || a->type == HS_VALUE_BYTES ||
	    a->type == HS_VALUE_JSON)
		eat_str(a->value.bytes);
}

static void eat_attrs(struct hs_record_attrs attrs)
{
	struct hs_record_attr a;

	while (hs_record_attr_next(&attrs, &a))
		eat_attr(&a);
	/* What the visitor sees was checked before. */
	if (attrs.len)
		abort();
}

static int visit(void *context, const struct hs_record *r)
{
	switch (r->type) {
	case HS_RECORD_RESOURCE:
		eat_str(r->u.resource.service);
		eat_attrs(r->u.resource.attrs);
		break;
	case HS_RECORD_SPAN_START:
		eat_str(r->u.start.name);
		break;
	case HS_RECORD_ATTR:
		eat_attr(&r->u.attr);
		break;
	case HS_RECORD_EVENT:
		eat_str(r->u.event.name);
		eat_attrs(r->u.event.attrs);
		break;
	case HS_RECORD_LINK:
		eat_str(r->u.link.trace_state);
		eat_attrs(r->u.link.attrs);
		break;
	case HS_RECORD_STATUS:
		eat_str(r->u.status.message);
		break;
	case HS_RECORD_TEXT:
		eat_str(r->u.text.text);
		break;
	case HS_RECORD_TRACEPOINT:
		eat(r->u.tracepoint.data, r->u.tracepoint.size_bytes);
		break;
	default:
		break;
	}
	return 0;
}

static void build(struct hs_record_slice *slices, size_t nr)
{
	struct hs_model_limits limits = hs_model_limits_default();
	struct hs_record_trace_stats stats;
	struct hs_model_trace *trace;

	limits.max_spans = 64;
	limits.max_attrs = 8;
	limits.max_events = 8;
	limits.max_name_bytes = 64;
	limits.max_value_bytes = 64;
	limits.max_trace_bytes = 1 << 20;
	trace = hs_model_trace_new(&limits);
	if (!trace)
		return;
	trace->id[7] = 1;
	trace->id[15] = 2;
	if (hs_record_trace_build(slices, nr, trace, &stats))
		abort();
	if (trace->nr_spans > limits.max_spans)
		abort();
	hs_model_trace_free(trace);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	static uint8_t scratch[4096];
	struct hs_record_buffer buffers[BUFFERS_MAX] = {0};
	struct hs_record_slice slices[BUFFERS_MAX] = {0};
	struct hs_record_visitor visitor = {NULL, visit};
	struct hs_record_stats stats = {0};
	size_t nr = 0;

	while (nr < BUFFERS_MAX && len_bytes >= 3) {
		size_t len = hs_le16_load(data);
		uint8_t seq = data[2];
		uint8_t *copy;

		data += 3;
		len_bytes -= 3;
		if (len > len_bytes)
			len = len_bytes;
		/* Each on its own, so that an overread shows. */
		copy = malloc(len ? len : 1);
		if (!copy)
			abort();
		memcpy(copy, data, len);
		buffers[nr] = (struct hs_record_buffer){copy, len, seq};
		slices[nr] = (struct hs_record_slice){
			.node = 1, .seq = seq, .data = copy, .size_bytes = len};
		nr++;
		data += len;
		len_bytes -= len;
	}
	hs_record_read(buffers, nr, scratch, sizeof(scratch), &visitor, &stats);
	build(slices, nr);
	for (size_t i = 0; i < nr; i++)
		free((void *)buffers[i].data);
	return 0;
}
