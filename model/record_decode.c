/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: one record's payload, see record_read.h. What a record says again of
 * its buffer is looked up before it, never in it or behind it.
 */
#include "model/record_read.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "hs/shm_format.h"
#include "model/record_known.h"

static uint64_t get_varint(struct hs_bytes_reader *r)
{
	uint64_t v = 0;
	uint32_t n;

	if (r->failed)
		return 0;
	n = hs_record_varint_get(r->p, r->left, &v);
	if (!n) {
		r->failed = true;
		return 0;
	}
	r->p += n;
	r->left -= n;
	return v;
}

static struct hs_record_str get_str(struct hs_bytes_reader *r)
{
	uint64_t len = get_varint(r);
	const uint8_t *p;

	if (len > r->left)
		r->failed = true;
	if (r->failed)
		return (struct hs_record_str){"", 0};
	p = hs_bytes_get_blob(r, (size_t)len);
	return (struct hs_record_str){(const char *)p, (size_t)len};
}

static uint64_t get_time(struct hs_bytes_reader *r,
			 const struct hs_record_clock *clock, bool ticks)
{
	uint64_t low = 0;

	/* Without the CLOCK record there is nothing to count from. */
	if (clock->unknown || (ticks && !clock->mult))
		r->failed = true;
	if (!ticks)
		return clock->ns + (uint64_t)hs_record_unzigzag(get_varint(r));
	for (uint32_t i = 0; i < HS_RECORD_TICKS_BYTES; i++)
		low |= (uint64_t)hs_bytes_get_u8(r) << (8 * i);
	return hs_record_ticks_ns(clock->ns, clock->ticks, clock->mult,
				  hs_record_ticks_near(clock->ticks, low));
}

static struct hs_record_str get_key(struct hs_bytes_reader *r, bool known)
{
	const uint8_t *at = r->p;
	uint64_t v;

	if (!known)
		return get_str(r);
	v = get_varint(r);
	if (v & 1) {
		struct hs_record_str name = {"", 0};

		name.ptr = hs_record_known_name(v, &name.len);
		/* A number of the future, or not in two bytes. */
		if (!name.ptr || r->p - at != HS_RECORD_KNOWN_BYTES)
			r->failed = true;
		return r->failed ? (struct hs_record_str){"", 0} : name;
	}
	if (v >> 1 > r->left)
		r->failed = true;
	if (r->failed)
		return (struct hs_record_str){"", 0};
	at = hs_bytes_get_blob(r, (size_t)(v >> 1));
	return (struct hs_record_str){(const char *)at, (size_t)(v >> 1)};
}

/* What stands earlier in a buffer, behind its header. */
static struct hs_bytes_reader earlier(const uint8_t *buffer, size_t size_bytes,
				      uint32_t word)
{
	size_t at = word & (HS_RECORD_AGAIN_REACH - 1);
	struct hs_bytes_reader r;

	if (!buffer || at < sizeof(struct hs_shm_buffer) || at > size_bytes) {
		r = hs_bytes_reader_make("", 0);
		r.failed = true;
		return r;
	}
	return hs_bytes_reader_make(buffer + at, size_bytes - at);
}

/* Whether the next key is said again, as @how says. */
static bool is_again(const struct hs_bytes_reader *r,
		     const struct hs_record_dict *dict, uint8_t how)
{
	return dict->known && dict->buffer && !r->failed && r->left &&
	       *r->p == how;
}

static uint32_t get_again(struct hs_bytes_reader *r)
{
	uint32_t low;

	hs_bytes_get_u8(r);
	low = hs_bytes_get_u8(r);
	return low | (uint32_t)hs_bytes_get_u8(r) << 8;
}

bool hs_record_key_at(const uint8_t *buffer, size_t size_bytes, uint32_t word,
		      struct hs_record_str *key, uint8_t *type)
{
	struct hs_bytes_reader r = earlier(buffer, size_bytes, word);

	/* Only what is written in full is said again. */
	if (r.left && r.p[0] & 1)
		return false;
	*key = get_key(&r, true);
	*type = hs_bytes_get_u8(&r);
	return !r.failed;
}

static struct hs_record_str get_attr_key(struct hs_bytes_reader *r,
					 const struct hs_record_dict *dict)
{
	struct hs_record_str key;
	uint8_t type;

	if (!is_again(r, dict, HS_RECORD_AGAIN_KEY))
		return get_key(r, dict->known);
	if (!hs_record_key_at(dict->buffer, dict->size_bytes, get_again(r),
			      &key, &type) ||
	    r->failed) {
		r->failed = true;
		key = (struct hs_record_str){"", 0};
	}
	return key;
}

static void attr_mask(struct hs_record_attr *a)
{
	a->type = HS_VALUE_STRING;
	a->cut = false;
	a->value.bytes = (struct hs_record_str){"***", 3};
}

static void get_attr_full(struct hs_bytes_reader *r,
			  const struct hs_record_dict *dict,
			  struct hs_record_attr *a)
{
	uint8_t type;
	uint64_t bits;

	memset(a, 0, sizeof(*a));
	a->key = get_attr_key(r, dict);
	type = hs_bytes_get_u8(r);
	a->cut = type & HS_RECORD_ATTR_CUT;
	a->gone = type & HS_RECORD_ATTR_GONE;
	a->masked = type & HS_RECORD_ATTR_MASKED;
	a->hashed = type & HS_RECORD_ATTR_HASHED;
	a->type = (enum hs_value_type)(type & HS_RECORD_ATTR_TYPE_MASK);
	if (a->cut)
		a->original_bytes = get_varint(r);
	switch (a->type) {
	case HS_VALUE_STRING:
	case HS_VALUE_BYTES:
	case HS_VALUE_JSON:
		a->value.bytes = get_str(r);
		break;
	case HS_VALUE_INT64:
		a->value.i64 = hs_record_unzigzag(get_varint(r));
		break;
	case HS_VALUE_FLOAT64:
		bits = hs_bytes_get_u64(r);
		memcpy(&a->value.f64, &bits, sizeof(bits));
		break;
	case HS_VALUE_BOOL:
		a->value.b = hs_bytes_get_u8(r) != 0;
		break;
	default:
		r->failed = true;
		break;
	}
	if (a->masked)
		attr_mask(a);
}

bool hs_record_attr_at(const uint8_t *buffer, size_t size_bytes, uint32_t word,
		       struct hs_record_attr *out)
{
	const struct hs_record_dict dict = {true, 2, buffer, size_bytes};
	struct hs_bytes_reader r = earlier(buffer, size_bytes, word);
	bool hashed;

	/* Its key may be said again, but not the whole of it. */
	get_attr_full(&r, &dict, out);
	if (r.failed)
		return false;
	hashed = out->hashed;
	out->gone |= (word & HS_RECORD_AGAIN_GONE) != 0;
	out->hashed |= (word & HS_RECORD_AGAIN_HASHED) != 0;
	/* What is to be a hash and left as it was, under former rules. */
	if (word & HS_RECORD_AGAIN_MASKED || out->hashed != hashed) {
		out->masked = true;
		attr_mask(out);
	}
	return true;
}

static void get_attr(struct hs_bytes_reader *r,
		     const struct hs_record_dict *dict,
		     struct hs_record_attr *a)
{
	if (!is_again(r, dict, HS_RECORD_AGAIN)) {
		get_attr_full(r, dict, a);
		return;
	}
	if (!hs_record_attr_at(dict->buffer, dict->size_bytes, get_again(r), a))
		r->failed = true;
}

/* A span's name, written as a key is. */
static struct hs_record_str get_name(struct hs_bytes_reader *r,
				     const struct hs_record_dict *dict)
{
	struct hs_record_str name = {"", 0};
	struct hs_bytes_reader from;
	uint32_t word;

	if (!dict->known || dict->version < 2)
		return get_str(r);
	if (!is_again(r, dict, HS_RECORD_AGAIN)) {
		/* No name has a number. */
		if (r->left && *r->p & 1)
			r->failed = true;
		return get_key(r, true);
	}
	word = get_again(r);
	from = earlier(dict->buffer, dict->size_bytes, word);
	if (from.left && *from.p & 1)
		from.failed = true;
	name = get_key(&from, true);
	r->failed |= from.failed;
	if (word & HS_RECORD_AGAIN_MASKED)
		name = (struct hs_record_str){"***", 3};
	return name;
}

static void get_attrs(struct hs_bytes_reader *r,
		      const struct hs_record_dict *dict,
		      struct hs_record_attrs *attrs)
{
	uint64_t nr = get_varint(r);
	struct hs_record_attr unused;
	const uint8_t *start = r->p;

	/* No attribute is shorter than three bytes. */
	if (nr > r->left / 3)
		r->failed = true;
	for (uint64_t i = 0; i < nr && !r->failed; i++)
		get_attr(r, dict, &unused);
	if (r->failed)
		nr = 0;
	attrs->ptr = start;
	attrs->len = nr ? (size_t)(r->p - start) : 0;
	attrs->nr = (uint32_t)nr;
	attrs->dict = *dict;
}

bool hs_record_attr_next(struct hs_record_attrs *attrs,
			 struct hs_record_attr *out)
{
	struct hs_bytes_reader r = hs_bytes_reader_make(attrs->ptr, attrs->len);

	while (attrs->nr) {
		get_attr(&r, &attrs->dict, out);
		if (r.failed) {
			attrs->nr = 0;
			return false;
		}
		attrs->ptr = r.p;
		attrs->len = r.left;
		attrs->nr--;
		if (!out->gone)
			return true;
	}
	return false;
}

static void get_resource(struct hs_bytes_reader *r,
			 const struct hs_record_dict *dict,
			 struct hs_record *out)
{
	out->u.resource.local_id = get_varint(r);
	out->u.resource.has_service =
		hs_bytes_get_u8(r) & HS_RECORD_HAS_SERVICE;
	out->u.resource.service = get_str(r);
	get_attrs(r, dict, &out->u.resource.attrs);
}

static void get_start(struct hs_bytes_reader *r,
		      const struct hs_record_clock *clock, bool ticks,
		      const struct hs_record_dict *dict, struct hs_record *out)
{
	out->ref = get_varint(r);
	out->u.start.id = hs_bytes_get_u64(r);
	out->u.start.parent_id = hs_bytes_get_u64(r);
	out->u.start.resource = get_varint(r);
	out->u.start.kind = hs_bytes_get_u8(r);
	out->time_ns = get_time(r, clock, ticks);
	out->u.start.name = get_name(r, dict);
}

static void get_event(struct hs_bytes_reader *r,
		      const struct hs_record_clock *clock, bool ticks,
		      const struct hs_record_dict *dict, struct hs_record *out)
{
	out->ref = get_varint(r);
	out->time_ns = get_time(r, clock, ticks);
	out->u.event.has_name = hs_bytes_get_u8(r) & HS_RECORD_HAS_NAME;
	out->u.event.name = get_str(r);
	get_attrs(r, dict, &out->u.event.attrs);
}

static void get_link(struct hs_bytes_reader *r,
		     const struct hs_record_dict *dict, struct hs_record *out)
{
	out->ref = get_varint(r);
	out->u.link.kind = hs_bytes_get_u8(r);
	out->u.link.trace_id.hi = hs_bytes_get_u64(r);
	out->u.link.trace_id.lo = hs_bytes_get_u64(r);
	out->u.link.span_id = hs_bytes_get_u64(r);
	out->u.link.trace_state = get_str(r);
	get_attrs(r, dict, &out->u.link.attrs);
}

static void get_tracepoint(struct hs_bytes_reader *r, struct hs_record *out)
{
	uint64_t original = 0;

	if (out->cut)
		original = get_varint(r);
	out->u.tracepoint.size_bytes = r->left;
	out->u.tracepoint.data = hs_bytes_get_blob(r, r->left);
	out->u.tracepoint.original_bytes =
		out->cut ? original : out->u.tracepoint.size_bytes;
}

static void get_flags(struct hs_bytes_reader *r, struct hs_record *out)
{
	uint64_t flags;

	out->ref = get_varint(r);
	flags = get_varint(r);
	if (flags > UINT32_MAX)
		r->failed = true;
	out->u.flags = (uint32_t)flags;
}

int hs_record_decode(uint8_t type, uint32_t version, const uint8_t *buffer,
		     size_t at, const void *payload, size_t payload_bytes,
		     const struct hs_record_clock *clock, struct hs_record *out)
{
	struct hs_bytes_reader r = hs_bytes_reader_make(payload, payload_bytes);
	const struct hs_record_dict dict = {
		.known = type & HS_RECORD_F_KNOWN,
		.version = version,
		.buffer = version > 1 ? buffer : NULL,
		.size_bytes = at,
	};
	bool ticks = type & HS_RECORD_F_TICKS;

	memset(out, 0, sizeof(*out));
	out->cut = type & HS_RECORD_F_CUT;
	out->type = (enum hs_record_type)hs_record_type_of(type, version);
	switch (out->type) {
	case HS_RECORD_RESOURCE:
		get_resource(&r, &dict, out);
		break;
	case HS_RECORD_SPAN_START:
		get_start(&r, clock, ticks, &dict, out);
		break;
	case HS_RECORD_SPAN_END:
		out->ref = get_varint(&r);
		out->time_ns = get_time(&r, clock, ticks);
		break;
	case HS_RECORD_ATTR:
		out->ref = get_varint(&r);
		get_attr(&r, &dict, &out->u.attr);
		break;
	case HS_RECORD_EVENT:
		get_event(&r, clock, ticks, &dict, out);
		break;
	case HS_RECORD_LINK:
		get_link(&r, &dict, out);
		break;
	case HS_RECORD_STATUS:
		out->ref = get_varint(&r);
		out->u.status.status = hs_bytes_get_u8(&r);
		out->u.status.message = get_str(&r);
		break;
	case HS_RECORD_TEXT:
		out->ref = get_varint(&r);
		out->u.text.which = hs_bytes_get_u8(&r);
		out->u.text.text = get_str(&r);
		break;
	case HS_RECORD_FLAGS:
		get_flags(&r, out);
		break;
	case HS_RECORD_TRACEPOINT:
		out->time_ns = get_time(&r, clock, ticks);
		get_tracepoint(&r, out);
		break;
	case HS_RECORD_POINT:
		/* Visitors need not know how it was written. */
		out->type = HS_RECORD_TRACEPOINT;
		out->time_ns = clock->last_ns;
		get_tracepoint(&r, out);
		break;
	case HS_RECORD_CLOCK:
		out->u.clock.ns = hs_bytes_get_u64(&r);
		out->u.clock.mult = hs_bytes_get_u64(&r);
		break;
	default:
		/* 0 is what a hole reads as, never a future type */
		return out->type ? 1 : -EBADMSG;
	}
	return hs_bytes_reader_done(&r) ? 0 : -EBADMSG;
}
