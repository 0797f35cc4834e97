/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see write.h. */
#include "dataplane/write.h"

#include <string.h>

#include "base/endian.h"
#include "dataplane/stock.h"

/* A record up to this size starts in a new buffer rather than running on. */
#define WHOLE_BYTES 128u
/* Room that attribute lists leave for the rest of their record. */
#define REST_BYTES (2u * HS_VALUE_MAX_BYTES)

/* ---- buffers ------------------------------------------------------------ */

static struct hs_shm_buffer *header_of(struct hs_trace *trace)
{
	return (struct hs_shm_buffer *)trace->buffer;
}

static void commit(struct hs_trace *trace, uint32_t pos)
{
	trace->pos = pos;
	/* buffer.W1 release, pairs buffer.R1: bytes before their length. */
	__atomic_store_n(&header_of(trace)->committed, pos, __ATOMIC_RELEASE);
}

static bool buffer_publish(struct hs_tls *tls, struct hs_trace *trace)
{
	struct hs_shm_entry entry = {
		.trace_hi = trace->id.hi,
		.trace_lo = trace->id.lo,
		.u.buffer.ref = hs_shm_stock_ref(trace->word),
		.u.buffer.committed =
			trace->pos | hs_shm_stock_node(trace->word) << 28,
		.handle = trace->number,
		.seq = trace->seq < 0xffff ? (uint16_t)trace->seq : 0xffff,
		.type = HS_SHM_ENTRY_BUFFER,
		.aux = trace->lost != 0,
	};

	return hs_handle_push(tls, trace, &entry, 1);
}

static void slot_buffer(struct hs_trace *trace)
{
	/* slot.C2 relaxed: a hint; the buffer's own header says it too. */
	__atomic_store_n(&trace->slot->seq, trace->seq, __ATOMIC_RELAXED);
	/* slot.W3 release, pairs slot.R3: the buffer's header before its
	 * word. */
	__atomic_store_n(&trace->slot->buffer, trace->word, __ATOMIC_RELEASE);
}

/*
 * Publish the present buffer, if any, and take another. When the lane is full
 * the present one is kept, so that it is not lost with what follows.
 */
static bool buffer_next(struct hs_tls *tls, struct hs_trace *trace,
			uint64_t time_ns)
{
	struct hs_shm_buffer *header;
	struct hs_stock stock;

	if (trace->buffer) {
		if (!buffer_publish(tls, trace))
			return false;
		trace->buffer = NULL;
		trace->word = 0;
		trace->seq++;
	}
	if (!hs_stock_take(trace->at, tls, &stock)) {
		hs_client_count(HS_COUNT_BUFFERS_NULL, 1);
		slot_buffer(trace);
		return false;
	}
	trace->buffer = stock.base;
	trace->word = stock.word;
	trace->size_bytes = stock.size_bytes;
	trace->time_base = time_ns;
	header = header_of(trace);
	/* buffer.C1 relaxed: none of the buffer's former life is readable
	 * once the slot names it: ordered by slot.W3. */
	__atomic_store_n(&header->committed, 0, __ATOMIC_RELAXED);
	header->magic = HS_SHM_BUF_MAGIC;
	header->version = HS_SHM_VERSION;
	header->header_bytes = sizeof(*header);
	header->stock_word = stock.word;
	header->trace_hi = trace->id.hi;
	header->trace_lo = trace->id.lo;
	header->process = trace->at->layout.process;
	header->handle = trace->number;
	header->seq = trace->seq;
	header->first_record = 0;
	header->clock = HS_SHM_CLOCK_REALTIME_NS;
	header->time_base = time_ns;
	commit(trace, sizeof(*header));
	slot_buffer(trace);
	return true;
}

/* ---- sinks -------------------------------------------------------------- */

static void sink_run_on(struct hs_sink *s)
{
	struct hs_trace *trace = s->trace;

	if (!trace) {
		s->failed = true;
		return;
	}
	commit(trace, trace->size_bytes);
	if (!buffer_next(s->tls, trace, trace->last_ns)) {
		s->failed = true;
		return;
	}
	s->p = trace->buffer + trace->pos;
	s->end = trace->buffer + trace->size_bytes;
}

static void sink_copy(struct hs_sink *s, const uint8_t *data, size_t n)
{
	while (n && !s->failed) {
		size_t room = (size_t)(s->end - s->p);
		size_t take = n < room ? n : room;

		if (!room) {
			sink_run_on(s);
			continue;
		}
		if (data) {
			memcpy(s->p, data, take);
			data += take;
		} else {
			memset(s->p, 0, take);
		}
		s->p += take;
		n -= take;
	}
}

void hs_sink_bytes(struct hs_sink *s, const void *data, size_t size_bytes)
{
	if (s->measure) {
		s->size_bytes += size_bytes;
		return;
	}
	if (size_bytes > s->left)
		size_bytes = s->left;
	s->left -= size_bytes;
	if (size_bytes)
		sink_copy(s, data, size_bytes);
}

void hs_sink_u8(struct hs_sink *s, uint8_t v)
{
	hs_sink_bytes(s, &v, 1);
}

void hs_sink_u64(struct hs_sink *s, uint64_t v)
{
	uint8_t bytes[8];

	hs_le64_store(bytes, v);
	hs_sink_bytes(s, bytes, sizeof(bytes));
}

void hs_sink_varint(struct hs_sink *s, uint64_t v)
{
	uint8_t bytes[HS_RECORD_VARINT_MAX_BYTES];

	hs_sink_bytes(s, bytes, hs_record_varint_put(bytes, v));
}

void hs_sink_time(struct hs_sink *s, uint64_t time_ns)
{
	hs_sink_varint(s, hs_record_zigzag((int64_t)(time_ns - s->time_base)));
}

size_t hs_write_text_fit(const char *text, size_t len_bytes, size_t max_bytes)
{
	size_t n = max_bytes;

	if (len_bytes <= max_bytes)
		return len_bytes;
	while (n && max_bytes - n < 4 && ((uint8_t)text[n] & 0xc0) == 0x80)
		n--;
	return ((uint8_t)text[n] & 0xc0) == 0x80 ? max_bytes : n;
}

void hs_sink_text(struct hs_sink *s, const char *text, size_t len_bytes)
{
	size_t n;

	if (!text)
		text = "";
	else if (!len_bytes)
		len_bytes = strlen(text);
	n = hs_write_text_fit(text, len_bytes, HS_VALUE_MAX_BYTES);
	if (n < len_bytes)
		s->cut = true;
	hs_sink_varint(s, n);
	hs_sink_bytes(s, text, n);
}

static void sink_value_bytes(struct hs_sink *s, const struct hs_attr *attr)
{
	const void *data = attr->value.bytes.data;
	size_t len = data ? attr->value.bytes.size_bytes : 0;
	size_t n = len;

	if (len > HS_VALUE_MAX_BYTES)
		n = attr->type == HS_VALUE_BYTES
			    ? HS_VALUE_MAX_BYTES
			    : hs_write_text_fit(data, len, HS_VALUE_MAX_BYTES);
	if (n < len) {
		hs_sink_u8(s, (uint8_t)(attr->type | HS_RECORD_ATTR_CUT));
		hs_sink_varint(s, len);
		if (!s->measure)
			hs_client_count(HS_COUNT_VALUES_CUT, 1);
	} else {
		hs_sink_u8(s, (uint8_t)attr->type);
	}
	hs_sink_varint(s, n);
	hs_sink_bytes(s, data, n);
}

void hs_sink_attr(struct hs_sink *s, const struct hs_attr *attr)
{
	uint64_t bits;

	hs_sink_text(s, attr->key, attr->key_bytes);
	switch (attr->type) {
	case HS_VALUE_INT64:
		hs_sink_u8(s, HS_VALUE_INT64);
		hs_sink_varint(s, hs_record_zigzag(attr->value.i64));
		break;
	case HS_VALUE_FLOAT64:
		memcpy(&bits, &attr->value.f64, sizeof(bits));
		hs_sink_u8(s, HS_VALUE_FLOAT64);
		hs_sink_u64(s, bits);
		break;
	case HS_VALUE_BOOL:
		hs_sink_u8(s, HS_VALUE_BOOL);
		hs_sink_u8(s, attr->value.b);
		break;
	case HS_VALUE_STRING:
	case HS_VALUE_BYTES:
	case HS_VALUE_JSON:
		sink_value_bytes(s, attr);
		break;
	default:
		/* A type that we do not know: kept as a value that was lost. */
		hs_sink_u8(s, HS_VALUE_STRING | HS_RECORD_ATTR_CUT);
		hs_sink_varint(s, 0);
		hs_sink_varint(s, 0);
		break;
	}
}

void hs_sink_attrs(struct hs_sink *s, const struct hs_attr *attrs, size_t nr)
{
	struct hs_sink measure = {.measure = true};
	size_t fit;

	if (!attrs)
		nr = 0;
	for (fit = 0; fit < nr; fit++) {
		hs_sink_attr(&measure, &attrs[fit]);
		if (measure.size_bytes > HS_RECORD_MAX_BYTES - REST_BYTES)
			break;
	}
	if (fit < nr)
		s->cut = true;
	hs_sink_varint(s, fit);
	for (size_t i = 0; i < fit; i++)
		hs_sink_attr(s, &attrs[i]);
}

/* ---- records ------------------------------------------------------------ */

size_t hs_write_measure(hs_emit_fn emit, const void *args)
{
	struct hs_sink s = {.measure = true};

	emit(&s, args);
	return s.size_bytes;
}

bool hs_write_memory(uint8_t *out, size_t size_bytes, hs_emit_fn emit,
		     const void *args)
{
	struct hs_sink s = {
		.left = size_bytes,
		.p = out,
		.end = out + size_bytes,
	};

	emit(&s, args);
	return !s.failed && s.left == 0;
}

/* The record's size if it starts in the present buffer; 0: too long. */
static size_t measure_here(struct hs_trace *trace, hs_emit_fn emit,
			   const void *args, bool *cut)
{
	struct hs_sink s = {.measure = true, .time_base = trace->time_base};

	emit(&s, args);
	*cut = s.cut;
	return s.size_bytes > HS_RECORD_MAX_BYTES ? 0 : s.size_bytes;
}

static bool write_here(struct hs_tls *tls, struct hs_trace *trace, uint8_t type,
		       size_t payload_bytes, hs_emit_fn emit, const void *args)
{
	struct hs_sink s = {
		.left = HS_RECORD_HEADER_BYTES + payload_bytes,
		.p = trace->buffer + trace->pos,
		.end = trace->buffer + trace->size_bytes,
		.time_base = trace->time_base,
		.trace = trace,
		.tls = tls,
	};
	uint8_t head[HS_RECORD_HEADER_BYTES];

	if (!header_of(trace)->first_record)
		header_of(trace)->first_record = trace->pos;
	hs_le32_store(head, hs_record_header(type, (uint32_t)payload_bytes));
	hs_sink_bytes(&s, head, sizeof(head));
	emit(&s, args);
	if (s.left)
		sink_copy(&s, NULL, s.left);
	if (s.failed)
		return false;
	commit(trace, (uint32_t)(s.p - trace->buffer));
	return true;
}

bool hs_write_record(struct hs_tls *tls, struct hs_trace *trace, uint8_t type,
		     const uint64_t *time_ns, hs_emit_fn emit, const void *args)
{
	size_t size;
	bool cut;

	if (!hs_handle_lane(tls, trace))
		return hs_handle_drop(trace);
	if (time_ns)
		trace->last_ns = *time_ns;
	if ((!trace->buffer || trace->pos == trace->size_bytes) &&
	    !buffer_next(tls, trace, trace->last_ns))
		goto lost;
	size = measure_here(trace, emit, args, &cut);
	if (size + HS_RECORD_HEADER_BYTES > trace->size_bytes - trace->pos &&
	    size + HS_RECORD_HEADER_BYTES <= WHOLE_BYTES) {
		if (!buffer_next(tls, trace, trace->last_ns))
			goto lost;
		size = measure_here(trace, emit, args, &cut);
	}
	if (!size)
		goto lost;
	if (cut) {
		type |= HS_RECORD_F_CUT;
		hs_client_count(HS_COUNT_VALUES_CUT, 1);
	}
	if (write_here(tls, trace, type, size, emit, args))
		return true;
lost:
	hs_handle_lost(trace);
	return false;
}
