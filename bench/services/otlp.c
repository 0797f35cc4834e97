/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see otlp.h. */
#include "bench/services/otlp.h"

#include <errno.h>
#include <string.h>

/* Wire types of protobuf. */
enum { VARINT = 0, FIXED64 = 1, LENGTH = 2, FIXED32 = 5 };

/* ---- writing
 * --------------------------------------------------------------------
 */

static uint8_t *put_varint(uint8_t *p, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*p++ = (uint8_t)(v | 0x80);
	*p++ = (uint8_t)v;
	return p;
}

static uint8_t *put_tag(uint8_t *p, uint32_t field, uint32_t type)
{
	return put_varint(p, field << 3 | type);
}

static uint8_t *put_bytes(uint8_t *p, uint32_t field, const void *data,
			  size_t bytes)
{
	p = put_varint(put_tag(p, field, LENGTH), bytes);
	memcpy(p, data, bytes);
	return p + bytes;
}

static uint8_t *put_fixed64(uint8_t *p, uint32_t field, uint64_t v)
{
	p = put_tag(p, field, FIXED64);
	for (uint32_t i = 0; i < 8; i++)
		*p++ = (uint8_t)(v >> (8 * i));
	return p;
}

/* Ids go with their first byte first. */
static void big_endian(uint8_t *out, uint64_t v)
{
	for (uint32_t i = 0; i < 8; i++)
		out[i] = (uint8_t)(v >> (56 - 8 * i));
}

/* edge = true: KeyValue{key = 1, value = 2 AnyValue{bool_value = 2}}. */
static const uint8_t edge_attribute[] = {
	1 << 3 | LENGTH, 4, 'e', 'd', 'g', 'e', 2 << 3 | LENGTH, 2,
	2 << 3 | VARINT, 1,
};

static size_t write_span(uint8_t *out, const struct hs_svc_span *s)
{
	/* Status{code = 3: 2}. */
	static const uint8_t failed[] = {3 << 3 | VARINT, 2};
	size_t name_bytes = strnlen(s->name, HS_SVC_OTLP_NAME_MAX);
	uint8_t trace[16], id[8];
	uint8_t *p = out;

	big_endian(trace, s->hi);
	big_endian(trace + 8, s->lo);
	p = put_bytes(p, 1, trace, sizeof(trace));
	big_endian(id, s->id);
	p = put_bytes(p, 2, id, sizeof(id));
	if (s->parent_id) {
		big_endian(id, s->parent_id);
		p = put_bytes(p, 4, id, sizeof(id));
	}
	p = put_bytes(p, 5, s->name, name_bytes);
	p = put_varint(put_tag(p, 6, VARINT), s->kind);
	p = put_fixed64(p, 7, s->start_ns);
	p = put_fixed64(p, 8, s->end_ns);
	if (s->edge)
		p = put_bytes(p, 9, edge_attribute, sizeof(edge_attribute));
	if (s->is_error)
		p = put_bytes(p, 15, failed, sizeof(failed));
	return (size_t)(p - out);
}

/* A length in four bytes, so that it can be filled in later. */
static void fill_length(uint8_t *p, size_t v)
{
	for (uint32_t i = 0; i < 4; i++)
		p[i] = (uint8_t)((v >> (7 * i) & 0x7f) | (i < 3 ? 0x80 : 0));
}

size_t hs_svc_otlp_write(uint8_t *out, const char *service,
			 const struct hs_svc_span *spans, size_t nr)
{
	static const char key[] = "service.name";
	size_t name_bytes = strnlen(service, HS_SVC_OTLP_NAME_MAX);
	uint8_t attribute[HS_SVC_OTLP_HEAD_MAX], value[HS_SVC_OTLP_HEAD_MAX];
	uint8_t *p, *resource_spans, *scope_spans;
	size_t n, a;

	/* AnyValue{string = 1} in KeyValue{1, 2} in Resource{1}. */
	n = (size_t)(put_bytes(value, 1, service, name_bytes) - value);
	p = put_bytes(attribute, 1, key, sizeof(key) - 1);
	p = put_bytes(p, 2, value, n);
	a = (size_t)(p - attribute);
	p = put_tag(out, 1, LENGTH);
	resource_spans = p;
	p += 4;
	n = (size_t)(put_bytes(value, 1, attribute, a) - value);
	p = put_bytes(p, 1, value, n);
	p = put_tag(p, 2, LENGTH);
	scope_spans = p;
	p += 4;
	for (size_t i = 0; i < nr; i++) {
		/* A span is longer than 63 and shorter than 16,384 bytes. */
		uint8_t *at = put_tag(p, 2, LENGTH);

		n = write_span(at + 2, &spans[i]);
		at[0] = (uint8_t)(n & 0x7f) | 0x80;
		at[1] = (uint8_t)(n >> 7);
		p = at + 2 + n;
	}
	fill_length(scope_spans, (size_t)(p - scope_spans) - 4);
	fill_length(resource_spans, (size_t)(p - resource_spans) - 4);
	return (size_t)(p - out);
}

/* ---- reading
 * --------------------------------------------------------------------
 */

struct reader {
	const uint8_t *at, *end;
	bool bad;
};

struct field {
	uint32_t number, type;
	uint64_t value; /* of numbers */
	struct reader body;
};

static uint64_t get_varint(struct reader *r)
{
	uint64_t v = 0;

	for (uint32_t shift = 0; shift < 64 && r->at < r->end; shift += 7) {
		uint8_t b = *r->at++;

		v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			return v;
	}
	r->bad = true;
	return 0;
}

static uint64_t get_fixed(struct reader *r, size_t bytes)
{
	uint64_t v = 0;

	if ((size_t)(r->end - r->at) < bytes) {
		r->bad = true;
		return 0;
	}
	for (size_t i = 0; i < bytes; i++)
		v |= (uint64_t)r->at[i] << (8 * i);
	r->at += bytes;
	return v;
}

/* The next field; false at the end, or when it is none. */
static bool next(struct reader *r, struct field *f)
{
	uint64_t tag;

	if (r->bad || r->at == r->end)
		return false;
	tag = get_varint(r);
	*f = (struct field){.number = (uint32_t)(tag >> 3),
			    .type = (uint32_t)(tag & 7)};
	if (f->type == VARINT) {
		f->value = get_varint(r);
	} else if (f->type == FIXED64) {
		f->value = get_fixed(r, 8);
	} else if (f->type == FIXED32) {
		f->value = get_fixed(r, 4);
	} else if (f->type == LENGTH) {
		uint64_t n = get_varint(r);

		if (r->bad || n > (uint64_t)(r->end - r->at)) {
			r->bad = true;
			return false;
		}
		f->body = (struct reader){.at = r->at, .end = r->at + n};
		r->at += n;
	} else {
		r->bad = true;
	}
	return !r->bad;
}

static uint64_t get_id(const struct field *f, size_t offset)
{
	uint64_t v = 0;

	if ((size_t)(f->body.end - f->body.at) < offset + 8)
		return 0;
	for (size_t i = 0; i < 8; i++)
		v = v << 8 | f->body.at[offset + i];
	return v;
}

/* Whether an attribute is edge, and not false. */
static bool is_edge(struct reader r)
{
	struct field f, value;
	bool named = false, set = true;

	while (next(&r, &f)) {
		if (f.number == 1 && f.type == LENGTH)
			named = f.body.end - f.body.at == 4 &&
				!memcmp(f.body.at, "edge", 4);
		while (f.number == 2 && f.type == LENGTH &&
		       next(&f.body, &value))
			if (value.number == 2 && value.type == VARINT)
				set = value.value != 0;
	}
	return named && set;
}

static bool read_span(struct reader r, struct hs_svc_span *s)
{
	struct field f, code;

	*s = (struct hs_svc_span){0};
	while (next(&r, &f)) {
		if (f.number == 1 && f.type == LENGTH) {
			s->hi = get_id(&f, 0);
			s->lo = get_id(&f, 8);
		} else if (f.number == 2 && f.type == LENGTH) {
			s->id = get_id(&f, 0);
		} else if (f.number == 4 && f.type == LENGTH) {
			s->parent_id = get_id(&f, 0);
		} else if (f.number == 6 && f.type == VARINT) {
			s->kind = (uint8_t)f.value;
		} else if (f.number == 7 && f.type == FIXED64) {
			s->start_ns = f.value;
		} else if (f.number == 8 && f.type == FIXED64) {
			s->end_ns = f.value;
		} else if (f.number == 9 && f.type == LENGTH) {
			s->edge |= is_edge(f.body);
		} else if (f.number == 15 && f.type == LENGTH) {
			while (next(&f.body, &code))
				if (code.number == 3 && code.type == VARINT)
					s->is_error = code.value == 2;
		}
	}
	return !r.bad && (s->hi || s->lo) && s->id;
}

int64_t hs_svc_otlp_read(const uint8_t *data, size_t bytes, hs_svc_otlp_fn fn,
			 void *ctx)
{
	struct reader r = {.at = data, .end = data + bytes};
	struct field resource, scope, span;
	struct hs_svc_span s;
	int64_t nr = 0;

	while (next(&r, &resource)) {
		if (resource.number != 1 || resource.type != LENGTH)
			continue;
		while (next(&resource.body, &scope)) {
			if (scope.number != 2 || scope.type != LENGTH)
				continue;
			while (next(&scope.body, &span)) {
				if (span.number != 2 || span.type != LENGTH)
					continue;
				if (!read_span(span.body, &s))
					return -EBADMSG;
				fn(ctx, &s);
				nr++;
			}
			if (scope.body.bad)
				return -EBADMSG;
		}
		if (resource.body.bad)
			return -EBADMSG;
	}
	return r.bad ? -EBADMSG : nr;
}
