/* SPDX-License-Identifier: Apache-2.0 */
/*
 * span_make.h - a trace buffer with one service and one span in it, as
 * libhindsight would have written it (docs/FORMATS.md, "Records")
 */
#ifndef HS_TESTS_COLLECTOR_SPAN_MAKE_H
#define HS_TESTS_COLLECTOR_SPAN_MAKE_H

#include <stdint.h>
#include <string.h>

#include "hs/shm_format.h"
#include "model/record.h"

struct span_args {
	uint64_t trace_hi, trace_lo;
	uint32_t process, handle;
	const char *service, *name;
	uint64_t id, parent, start_ns, duration_ns;
	int error;
};

static inline uint32_t span_text(uint8_t *out, const char *text)
{
	uint32_t n = hs_record_varint_put(out, strlen(text));

	memcpy(out + n, text, strlen(text));
	return n + (uint32_t)strlen(text);
}

static inline uint32_t span_record(uint8_t *out, uint32_t type,
				   const uint8_t *payload, uint32_t bytes)
{
	uint32_t word = hs_record_header(type, bytes);

	memcpy(out, &word, sizeof(word));
	memcpy(out + sizeof(word), payload, bytes);
	return (uint32_t)sizeof(word) + bytes;
}

/* Return: its length; @out takes 1024 bytes. */
static inline uint32_t make_span(uint8_t *out, struct span_args args)
{
	struct hs_shm_buffer head = {
		.magic = HS_SHM_BUF_MAGIC,
		.version = HS_SHM_BUF_VERSION,
		.header_bytes = sizeof(head),
		.trace_hi = args.trace_hi,
		.trace_lo = args.trace_lo,
		.process = args.process,
		.handle = args.handle,
		.first_record = sizeof(head),
		.time_base = args.start_ns,
	};
	uint32_t used = sizeof(head);
	uint8_t p[512];
	uint32_t n;

	n = hs_record_varint_put(p, 0);
	p[n++] = HS_RECORD_HAS_SERVICE;
	n += span_text(p + n, args.service);
	n += hs_record_varint_put(p + n, 0);
	used += span_record(out + used, HS_RECORD_RESOURCE, p, n);

	n = hs_record_varint_put(p, 0);
	memcpy(p + n, &args.id, 8);
	memcpy(p + n + 8, &args.parent, 8);
	n += 16;
	n += hs_record_varint_put(p + n, 0);
	p[n++] = 2; /* server */
	n += hs_record_varint_put(p + n, hs_record_zigzag(0));
	n += span_text(p + n, args.name);
	used += span_record(out + used, HS_RECORD_SPAN_START, p, n);

	if (args.error) {
		n = hs_record_varint_put(p, 0);
		p[n++] = 2; /* error */
		n += span_text(p + n, "it broke");
		used += span_record(out + used, HS_RECORD_STATUS, p, n);
	}
	n = hs_record_varint_put(p, 0);
	n += hs_record_varint_put(p + n,
				  hs_record_zigzag((int64_t)args.duration_ns));
	used += span_record(out + used, HS_RECORD_SPAN_END, p, n);

	head.committed = used;
	memcpy(out, &head, sizeof(head));
	return used;
}

#endif
