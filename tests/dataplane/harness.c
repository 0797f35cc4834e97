/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see harness.h. */
#include "harness.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
	char text[TEXT_MAX];
	size_t len;
	uint8_t scratch[HS_RECORD_SCRATCH_BYTES];
	struct hs_record_buffer buffers[FAKE_BUFFERS_MAX];
} h;

void harness_settle(struct fake_agent *a)
{
	for (int i = 0; i < 10000; i++) {
		if (hs_client_poll() == 0)
			return;
		fake_agent_serve(a);
	}
	fprintf(stderr, "harness: the client never attached\n");
	abort();
}

void harness_attach(struct fake_agent *a, const struct fake_config *config,
		    const struct hs_client_options *options)
{
	struct hs_client_options o = {.service = "svc"};
	int rc;

	fake_agent_start(a, config);
	if (options)
		o = *options;
	o.size_bytes = sizeof(o);
	o.no_thread = true;
	o.socket_path = a->path;
	rc = hs_client_open(&o);
	if (rc) {
		fprintf(stderr, "harness: open: %d\n", rc);
		abort();
	}
	harness_settle(a);
}

void harness_detach(struct fake_agent *a)
{
	hs_client_close();
	fake_agent_stop(a);
}

static void put(const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(h.text + h.len, TEXT_MAX - h.len, format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= TEXT_MAX - h.len)
		abort();
	h.len += (size_t)n;
}

/* Long strings by their length alone. */
static void put_str(struct hs_record_str s)
{
	if (s.len > 64)
		put("<%zu>", s.len);
	else
		put("%.*s", (int)s.len, s.ptr);
}

static void put_attr(const struct hs_record_attr *a)
{
	put(" ");
	put_str(a->key);
	put("=");
	switch (a->type) {
	case HS_VALUE_STRING:
	case HS_VALUE_BYTES:
	case HS_VALUE_JSON:
		put("%c:", "s...yj"[a->type]);
		put_str(a->value.bytes);
		break;
	case HS_VALUE_INT64:
		put("i:%" PRId64, a->value.i64);
		break;
	case HS_VALUE_FLOAT64:
		put("f:%.17g", a->value.f64);
		break;
	case HS_VALUE_BOOL:
		put("b:%d", a->value.b);
		break;
	}
	if (a->cut)
		put("/%" PRIu64, a->original_bytes);
}

static void put_attrs(struct hs_record_attrs attrs)
{
	struct hs_record_attr a;

	while (hs_record_attr_next(&attrs, &a))
		put_attr(&a);
}

static void put_start(const struct hs_record *r)
{
	put("start %" PRIu64 " id=%" PRIx64 " parent=%" PRIx64 " res=%" PRIu64
	    " kind=%u t=%" PRIu64 " ",
	    r->ref, r->u.start.id, r->u.start.parent_id, r->u.start.resource,
	    r->u.start.kind, r->time_ns);
	put_str(r->u.start.name);
}

static void put_link(const struct hs_record *r)
{
	put("link %" PRIu64 " kind=%u %" PRIx64 "/%" PRIx64 " %" PRIx64 " ",
	    r->ref, r->u.link.kind, r->u.link.trace_id.hi,
	    r->u.link.trace_id.lo, r->u.link.span_id);
	put_str(r->u.link.trace_state);
	put_attrs(r->u.link.attrs);
}

static void put_tracepoint(const struct hs_record *r)
{
	struct hs_record_str s = {(const char *)r->u.tracepoint.data,
				  r->u.tracepoint.size_bytes};

	put("point t=%" PRIu64 " ", r->time_ns);
	put_str(s);
	if (r->cut)
		put("/%" PRIu64, r->u.tracepoint.original_bytes);
}

static int visit(void *context, const struct hs_record *r)
{
	switch (r->type) {
	case HS_RECORD_RESOURCE:
		put("resource %" PRIu64 " ", r->u.resource.local_id);
		if (r->u.resource.has_service)
			put_str(r->u.resource.service);
		else
			put("-");
		put_attrs(r->u.resource.attrs);
		break;
	case HS_RECORD_SPAN_START:
		put_start(r);
		break;
	case HS_RECORD_SPAN_END:
		put("end %" PRIu64 " t=%" PRIu64, r->ref, r->time_ns);
		break;
	case HS_RECORD_ATTR:
		put("attr %" PRIu64, r->ref);
		put_attr(&r->u.attr);
		break;
	case HS_RECORD_EVENT:
		put("event %" PRIu64 " t=%" PRIu64 " ", r->ref, r->time_ns);
		if (r->u.event.has_name)
			put_str(r->u.event.name);
		else
			put("-");
		put_attrs(r->u.event.attrs);
		break;
	case HS_RECORD_LINK:
		put_link(r);
		break;
	case HS_RECORD_STATUS:
		put("status %" PRIu64 " %u ", r->ref, r->u.status.status);
		put_str(r->u.status.message);
		break;
	case HS_RECORD_TEXT:
		put("text %" PRIu64 " %u ", r->ref, r->u.text.which);
		put_str(r->u.text.text);
		break;
	case HS_RECORD_FLAGS:
		put("flags %" PRIu64 " %" PRIu32, r->ref, r->u.flags);
		break;
	case HS_RECORD_TRACEPOINT:
		put_tracepoint(r);
		break;
	case HS_RECORD_CLOCK:
	case HS_RECORD_POINT:
	case HS_RECORD_TYPE_END:
		abort();
	}
	put("%s\n", r->cut ? " CUT" : "");
	return 0;
}

const char *harness_text(struct fake_agent *a, struct hs_trace_id id,
			 uint32_t handle, struct hs_record_stats *stats)
{
	struct hs_record_visitor visitor = {NULL, visit};
	struct hs_record_stats own = {0};
	size_t nr;

	fake_agent_drain(a);
	nr = fake_agent_buffers(a, id, handle, h.buffers, FAKE_BUFFERS_MAX);
	h.len = 0;
	h.text[0] = '\0';
	hs_record_read(h.buffers, nr, h.scratch, sizeof(h.scratch), &visitor,
		       &own);
	if (stats)
		*stats = own;
	return h.text;
}
