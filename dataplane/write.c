/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see write.h. */
#include "dataplane/write.h"

#include <string.h>

#include "base/endian.h"
#include "base/planted.h"
#include "dataplane/again.h"
#include "dataplane/calibration.h"
#include "dataplane/copy.h"
#include "dataplane/known.h"
#include "dataplane/span_quick.h"
#include "dataplane/stock.h"

#define CLOCK_BYTES (HS_RECORD_SHORT_HEADER_BYTES + HS_RECORD_CLOCK_BYTES)
/* Room that attribute lists leave for the rest of their record. */
#define REST_BYTES (2u * HS_VALUE_MAX_BYTES)

/* ---- buffers ------------------------------------------------------------ */

static struct hs_shm_buffer *header_of(struct hs_trace *trace)
{
	return (struct hs_shm_buffer *)trace->w.base;
}

static void commit(struct hs_trace *trace, uint32_t pos)
{
	trace->w.pos = pos;
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
			trace->w.pos | hs_shm_stock_node(trace->word) << 28,
		.handle = trace->number,
		.seq = trace->seq < 0xffff ? (uint16_t)trace->seq : 0xffff,
		.type = HS_SHM_ENTRY_BUFFER,
		.aux = trace->lost != 0,
	};

	return hs_handle_push(tls, trace, &entry, 1);
}

static void slot_buffer(struct hs_trace *trace)
{
	if (!trace->seq)
		/* slot.C12 relaxed: a hint. */
		__atomic_store_n(&trace->slot->begin_ns, trace->time_base,
				 __ATOMIC_RELAXED);
	/* slot.C2 relaxed: a hint; the buffer's own header says it too. */
	__atomic_store_n(&trace->slot->seq, trace->seq, __ATOMIC_RELAXED);
	/* slot.W3 release, pairs slot.R3: the buffer's header before its
	 * word. */
	__atomic_store_n(&trace->slot->buffer, trace->word, __ATOMIC_RELEASE);
}

/* A record that is to say now says when the buffer was opened for it. */
static void stamp_opened(const struct hs_trace *trace, struct hs_stamp *stamp,
			 uint64_t ticks)
{
	if (!stamp || stamp->kind != HS_STAMP_NOW)
		return;
	stamp->taken = true;
	stamp->in_ticks = trace->ticks;
	if (trace->ticks)
		stamp->ticks = ticks;
	else
		stamp->ns = trace->time_base;
}

/* The clock that this buffer's times are written in. */
static void buffer_clock(struct hs_trace *trace, struct hs_shm_buffer *header,
			 struct hs_stamp *stamp)
{
	bool at = stamp && stamp->kind == HS_STAMP_AT;
	struct hs_calibration c;
	uint64_t ticks = 0;

	trace->ticks = !at && hs_calibration_read(&trace->at->clock, &c);
	trace->clock_due = trace->ticks;
	if (trace->ticks) {
		ticks = hs_ticks();
		header->time_base = ticks;
		header->clock = HS_SHM_CLOCK_TSC | (uint32_t)c.number << 16;
		trace->time_base = hs_calibration_ns(&c, ticks);
		trace->mult = c.mult;
	} else {
		trace->time_base = at ? stamp->ns : hs_client_now_ns();
		header->time_base = trace->time_base;
		header->clock = HS_SHM_CLOCK_REALTIME_NS;
	}
	stamp_opened(trace, stamp, ticks);
}

/*
 * Publish the present buffer, if any, and take another. When the lane is full
 * the present one is kept, so that it is not lost with what follows.
 */
static bool buffer_next(struct hs_tls *tls, struct hs_trace *trace,
			struct hs_stamp *stamp)
{
	struct hs_shm_buffer *header;
	struct hs_stock stock;

	if (trace->w.base) {
		if (HS_PLANTED(105))
			trace->slot->buffer = 0;
		if (!buffer_publish(tls, trace))
			return false;
		trace->w.base = NULL;
		trace->word = 0;
		trace->seq++;
	}
	/* The first is of the smallest size, and the next ones grow: most
	 * slices are short, and long ones cost few entries. */
	if (!hs_stock_take(trace->at, tls, trace->seq, &stock)) {
		hs_client_count(HS_COUNT_BUFFERS_NULL, 1);
		slot_buffer(trace);
		return false;
	}
	trace->w.base = stock.base;
	trace->word = stock.word;
	trace->w.size = stock.size_bytes;
	trace->w.last = stock.size_bytes > HS_SPAN_QUICK_BYTES
				? stock.size_bytes - HS_SPAN_QUICK_BYTES
				: 0;
	hs_again_turn(trace);
	header = header_of(trace);
	/* buffer.C1 relaxed: none of the buffer's former life is readable
	 * once the slot names it: ordered by slot.W3. */
	__atomic_store_n(&header->committed, 0, __ATOMIC_RELAXED);
	header->magic = HS_SHM_BUF_MAGIC;
	header->version = HS_SHM_BUF_VERSION;
	header->header_bytes = sizeof(*header);
	header->stock_word = stock.word;
	header->trace_hi = trace->id.hi;
	header->trace_lo = trace->id.lo;
	header->process = trace->at->layout.process;
	header->handle = trace->number;
	header->seq = trace->seq;
	header->first_record = 0;
	buffer_clock(trace, header, stamp);
	commit(trace, sizeof(*header));
	if (!HS_PLANTED(101) || trace->seq)
		slot_buffer(trace);
	return true;
}

/* The first record that starts in a buffer whose clock is the TSC. */
static void clock_write(struct hs_trace *trace)
{
	uint8_t *p = trace->w.base + trace->w.pos;

	header_of(trace)->first_record = trace->w.pos;
	p[0] = HS_RECORD_CLOCK | HS_RECORD_F_SHORT;
	p[1] = HS_RECORD_CLOCK_BYTES;
	hs_le64_store(p + 2, trace->time_base);
	hs_le64_store(p + 10, trace->mult);
	commit(trace, trace->w.pos + CLOCK_BYTES);
	trace->clock_due = 0;
}

/* A buffer in which a record may start. */
static bool buffer_ready(struct hs_tls *tls, struct hs_trace *trace,
			 struct hs_stamp *stamp)
{
	bool full = !trace->w.base || trace->w.pos == trace->w.size ||
		    (trace->clock_due &&
		     trace->w.size - trace->w.pos < CLOCK_BYTES);

	if (full && !buffer_next(tls, trace, stamp))
		return false;
	if (trace->clock_due)
		clock_write(trace);
	return true;
}

/* Let the thread append by itself again, where it may. */
static void window_open(struct hs_trace *trace)
{
	if (!trace->w.base || !trace->ticks)
		return;
	if (trace->clock_due) {
		if (trace->w.size - trace->w.pos < CLOCK_BYTES)
			return;
		clock_write(trace);
	}
	if (trace->w.pos == trace->w.size)
		return;
	/* window.C4 acq_rel, pairs window.C2 window.C3: what the library did
	 * before a signal handler finds it open. */
	__atomic_signal_fence(__ATOMIC_ACQ_REL);
	trace->w.open = 1;
	trace->opened = 1;
}

/* ---- sinks -------------------------------------------------------------- */

static void sink_run_on(struct hs_sink *s)
{
	struct hs_stamp opens = {.kind = HS_STAMP_NONE};
	struct hs_trace *trace = s->trace;

	if (!trace) {
		s->failed = true;
		return;
	}
	commit(trace, trace->w.size);
	/* Of the record itself the time is told already. */
	if (s->stamp)
		opens = *s->stamp;
	if (!buffer_next(s->tls, trace, &opens)) {
		s->failed = true;
		return;
	}
	s->p = trace->w.base + trace->w.pos;
	s->end = trace->w.base + trace->w.size;
}

/* @whole: bytes of what these are of */
static void sink_take(struct hs_sink *s, const uint8_t *data, size_t n,
		      size_t whole)
{
	if (n < HS_COPY_LONG_BYTES)
		memcpy(s->p, data, n);
	else
		hs_copy_long(s->p, data, n, whole,
			     s->trace ? s->trace->w.base : NULL, s->end);
}

static void sink_copy(struct hs_sink *s, const uint8_t *data, size_t n)
{
	size_t whole = n;

	while (n && !s->failed) {
		size_t room = (size_t)(s->end - s->p);
		size_t take = n < room ? n : room;

		if (!room) {
			sink_run_on(s);
			continue;
		}
		if (data) {
			sink_take(s, data, take, whole);
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

void hs_sink_time(struct hs_sink *s, const struct hs_stamp *stamp)
{
	uint8_t bytes[8];

	if (stamp->in_ticks) {
		hs_le64_store(bytes, stamp->ticks);
		hs_sink_bytes(s, bytes, HS_RECORD_TICKS_BYTES);
		return;
	}
	hs_sink_varint(s,
		       hs_record_zigzag((int64_t)(stamp->ns - s->time_base)));
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

/* Its record is one with HS_RECORD_F_KNOWN. */
static void sink_key(struct hs_sink *s, const char *key, size_t n)
{
	uint8_t word[HS_RECORD_KNOWN_BYTES];
	uint32_t known;
	size_t fit;

	if (!key)
		key = "";
	else if (!n)
		n = strlen(key);
	known = hs_known_find(key, n);
	if (known) {
		hs_le16_store(word, (uint16_t)known);
		hs_sink_bytes(s, word, sizeof(word));
		return;
	}
	fit = hs_write_text_fit(key, n, HS_VALUE_MAX_BYTES);
	s->cut |= fit < n;
	hs_sink_varint(s, (uint64_t)fit << 1);
	hs_sink_bytes(s, key, fit);
}

void hs_sink_attr(struct hs_sink *s, const struct hs_attr *attr)
{
	uint64_t bits;

	sink_key(s, attr->key, attr->key_bytes);
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
		hs_sink_u8(s, hs_attr_bool(attr));
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

static uint32_t head_bytes(size_t payload_bytes)
{
	return payload_bytes <= HS_RECORD_SHORT_MAX_BYTES
		       ? HS_RECORD_SHORT_HEADER_BYTES
		       : HS_RECORD_HEADER_BYTES;
}

static bool write_here(struct hs_tls *tls, struct hs_trace *trace, uint8_t type,
		       const struct hs_stamp *stamp, size_t payload_bytes,
		       hs_emit_fn emit, const void *args)
{
	struct hs_sink s = {
		.left = head_bytes(payload_bytes) + payload_bytes,
		.p = trace->w.base + trace->w.pos,
		.end = trace->w.base + trace->w.size,
		.time_base = trace->time_base,
		.stamp = stamp,
		.trace = trace,
		.tls = tls,
	};
	uint8_t head[HS_RECORD_HEADER_BYTES];

	if (!header_of(trace)->first_record)
		header_of(trace)->first_record = trace->w.pos;
	if (payload_bytes <= HS_RECORD_SHORT_MAX_BYTES)
		type |= HS_RECORD_F_SHORT;
	hs_le32_store(head, hs_record_header(type, (uint32_t)payload_bytes));
	if (HS_PLANTED(102) && s.left <= (size_t)(s.end - s.p))
		commit(trace, trace->w.pos + (uint32_t)s.left);
	hs_sink_bytes(&s, head, head_bytes(payload_bytes));
	emit(&s, args);
	if (s.left)
		sink_copy(&s, NULL, s.left);
	if (s.failed)
		return false;
	commit(trace, (uint32_t)(s.p - trace->w.base));
	return true;
}

/*
 * Now, by the clock of the buffer that the record starts in: the record before
 * it may have run on into one with another clock than was asked.
 */
static void stamp_take(const struct hs_trace *trace, struct hs_stamp *stamp)
{
	if (!stamp || stamp->kind != HS_STAMP_NOW ||
	    (stamp->taken && stamp->in_ticks == trace->ticks))
		return;
	stamp->in_ticks = trace->ticks;
	if (trace->ticks)
		stamp->ticks = hs_ticks();
	else
		stamp->ns = hs_client_now_ns();
}

static bool write_record(struct hs_tls *tls, struct hs_trace *trace,
			 uint8_t type, struct hs_stamp *stamp,
			 struct hs_stamp *opens, hs_emit_fn emit,
			 const void *args)
{
	size_t size;
	bool cut;

	if (!buffer_ready(tls, trace, opens))
		return false;
	stamp_take(trace, stamp);
	size = measure_here(trace, emit, args, &cut);
	if (size + head_bytes(size) > trace->w.size - trace->w.pos &&
	    size + head_bytes(size) <= HS_WRITE_WHOLE_BYTES) {
		if (!buffer_next(tls, trace, opens) ||
		    !buffer_ready(tls, trace, opens))
			return false;
		stamp_take(trace, stamp);
		size = measure_here(trace, emit, args, &cut);
	}
	if (!size)
		return false;
	if (stamp && stamp->in_ticks)
		type |= HS_RECORD_F_TICKS;
	if (cut) {
		type |= HS_RECORD_F_CUT;
		hs_client_count(HS_COUNT_VALUES_CUT, 1);
	}
	return write_here(tls, trace, type, opens, size, emit, args);
}

static bool write_shut(struct hs_tls *tls, struct hs_trace *trace, uint8_t type,
		       struct hs_stamp *stamp, struct hs_stamp *opens,
		       hs_emit_fn emit, const void *args)
{
	bool written;

	if (hs_handle_in_use(trace)) {
		hs_client_count(HS_COUNT_CALLS_NESTED, 1);
		return false;
	}
	hs_handle_shut(trace);
	if (!hs_handle_attached(trace))
		return false;
	written = write_record(tls, trace, type, stamp, opens, emit, args);
	if (!written)
		hs_handle_lost(trace);
	window_open(trace);
	return written;
}

bool hs_write_open(struct hs_tls *tls, struct hs_trace *trace,
		   struct hs_stamp *next)
{
	if (hs_handle_in_use(trace)) {
		hs_client_count(HS_COUNT_CALLS_NESTED, 1);
		return false;
	}
	hs_handle_shut(trace);
	if (!hs_handle_attached(trace))
		return false;
	if (!buffer_ready(tls, trace, next)) {
		hs_handle_lost(trace);
		return false;
	}
	window_open(trace);
	return true;
}

bool hs_write_record(struct hs_tls *tls, struct hs_trace *trace, uint8_t type,
		     struct hs_stamp *stamp, hs_emit_fn emit, const void *args)
{
	return write_shut(tls, trace, type, stamp, stamp, emit, args);
}

bool hs_write_before(struct hs_tls *tls, struct hs_trace *trace, uint8_t type,
		     struct hs_stamp *next, hs_emit_fn emit, const void *args)
{
	return write_shut(tls, trace, type, NULL, next, emit, args);
}
