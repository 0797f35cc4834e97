/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire.c - walking through the payloads of wire_format.h
 */
#include "rdma/wire.h"

#include <string.h>

#include "base/crc32c.h"

const char *hs_wire_type_name(uint16_t type)
{
	static const char *const names[] = {
		[HS_WIRE_HELLO] = "HELLO",
		[HS_WIRE_PING] = "PING",
		[HS_WIRE_PONG] = "PONG",
		[HS_WIRE_TRIGGER] = "TRIGGER",
		[HS_WIRE_COLLECT] = "COLLECT",
		[HS_WIRE_CRUMBS] = "CRUMBS",
		[HS_WIRE_UPDATE] = "UPDATE",
		[HS_WIRE_MANIFEST] = "MANIFEST",
		[HS_WIRE_MANIFEST_ACK] = "MANIFEST_ACK",
		[HS_WIRE_STORED] = "STORED",
		[HS_WIRE_SLICE] = "SLICE",
		[HS_WIRE_SLICE_ACK] = "SLICE_ACK",
		[HS_WIRE_SEEK] = "SEEK",
		[HS_WIRE_FOUND] = "FOUND",
		[HS_WIRE_LEAVE] = "LEAVE",
		[HS_WIRE_TALLY] = "TALLY",
		[HS_WIRE_TALLY_ACK] = "TALLY_ACK",
		[HS_WIRE_WINDOW] = "WINDOW",
		[HS_WIRE_REFUSED] = "REFUSED",
	};

	return type < sizeof(names) / sizeof(names[0]) && names[type]
		       ? names[type]
		       : "?";
}

const void *hs_wire_take(struct hs_wire_reader *r, size_t size_bytes)
{
	const uint8_t *p = r->data;

	if (r->failed || size_bytes > r->left_bytes) {
		r->failed = true;
		return NULL;
	}
	r->data += size_bytes;
	r->left_bytes -= size_bytes;
	return p;
}

void hs_wire_put(struct hs_wire_writer *w, const void *data, size_t size_bytes)
{
	if (w->failed || size_bytes > w->room_bytes - w->used_bytes) {
		w->failed = true;
		return;
	}
	if (size_bytes)
		memcpy(w->data + w->used_bytes, data, size_bytes);
	w->used_bytes += size_bytes;
}

const struct hs_wire_answer *
hs_wire_take_answer(struct hs_wire_reader *r,
		    const struct hs_wire_crumb **crumbs)
{
	const struct hs_wire_answer *a = hs_wire_take(r, sizeof(*a));

	if (!a)
		return NULL;
	if (a->nr_crumbs > HS_WIRE_CRUMBS_MAX ||
	    a->state > HS_WIRE_STATE_CLOSED || !a->node ||
	    !(a->trace.hi | a->trace.lo)) {
		r->failed = true;
		return NULL;
	}
	*crumbs = hs_wire_take(r, a->nr_crumbs * sizeof(**crumbs));
	return r->failed ? NULL : a;
}

void hs_wire_put_answer(struct hs_wire_writer *w,
			const struct hs_wire_answer *answer,
			const struct hs_wire_crumb *crumbs)
{
	hs_wire_put(w, answer, sizeof(*answer));
	hs_wire_put(w, crumbs, answer->nr_crumbs * sizeof(*crumbs));
}

static bool trigger_ok(const struct hs_wire_trigger *t)
{
	return t->origin && hs_wire_name_ok(t->name) &&
	       (t->primary.hi | t->primary.lo);
}

const struct hs_wire_group *hs_wire_take_group(struct hs_wire_reader *r)
{
	const struct hs_wire_group *g = hs_wire_take(r, sizeof(*g));

	if (!g)
		return NULL;
	if (g->nr == 0 || g->nr > HS_WIRE_TRACES_MAX ||
	    !trigger_ok(&g->trigger)) {
		r->failed = true;
		return NULL;
	}
	return g;
}

const struct hs_wire_manifest *
hs_wire_take_manifest(struct hs_wire_reader *r,
		      const struct hs_wire_trigger **triggers)
{
	const struct hs_wire_manifest *m = hs_wire_take(r, sizeof(*m));

	if (!m)
		return NULL;
	if (m->nr_triggers > HS_WIRE_TRIGGERS_MAX || m->nr_answers == 0 ||
	    m->nr_answers > HS_WIRE_ANSWERS_MAX || m->version == 0 ||
	    !(m->trace.hi | m->trace.lo)) {
		r->failed = true;
		return NULL;
	}
	*triggers = hs_wire_take(r, m->nr_triggers * sizeof(**triggers));
	for (uint32_t i = 0; !r->failed && i < m->nr_triggers; i++)
		if (!trigger_ok(&(*triggers)[i]))
			r->failed = true;
	return r->failed ? NULL : m;
}

const struct hs_wire_slice *hs_wire_take_slice(struct hs_wire_reader *r,
					       const uint8_t **bytes)
{
	const struct hs_wire_slice *s = hs_wire_take(r, sizeof(*s));

	if (!s)
		return NULL;
	if (s->length_bytes > HS_WIRE_SLICE_MAX_BYTES || !s->node ||
	    !(s->trace.hi | s->trace.lo)) {
		r->failed = true;
		return NULL;
	}
	*bytes = hs_wire_take(r, s->length_bytes);
	if (!r->failed && hs_crc32c(0, *bytes, s->length_bytes) != s->crc)
		r->failed = true;
	return r->failed ? NULL : s;
}

const struct hs_wire_seek *
hs_wire_take_seek(struct hs_wire_reader *r,
		  const struct hs_wire_trace_id **traces)
{
	const struct hs_wire_seek *s = hs_wire_take(r, sizeof(*s));

	if (!s)
		return NULL;
	if (s->nr > HS_WIRE_SEEK_MAX) {
		r->failed = true;
		return NULL;
	}
	*traces = hs_wire_take(r, s->nr * sizeof(**traces));
	for (uint32_t i = 0; !r->failed && i < s->nr; i++)
		if (!((*traces)[i].hi | (*traces)[i].lo))
			r->failed = true;
	return r->failed ? NULL : s;
}

bool hs_wire_done(const struct hs_wire_reader *r)
{
	return !r->failed && r->left_bytes == 0;
}

bool hs_wire_name_ok(const char name[HS_WIRE_NAME_BYTES])
{
	size_t n = strnlen(name, HS_WIRE_NAME_BYTES);

	if (n == 0 || n == HS_WIRE_NAME_BYTES)
		return false;
	for (size_t i = 0; i < n; i++)
		if (name[i] <= ' ' || name[i] > '~')
			return false;
	return true;
}

const char *hs_wire_role_name(enum hs_wire_role role)
{
	static const char *const names[] = {
		[HS_WIRE_ROLE_AGENT] = "agent",
		[HS_WIRE_ROLE_COORDINATOR] = "coordinator",
		[HS_WIRE_ROLE_COLLECTOR] = "collector",
	};

	return role >= HS_WIRE_ROLE_AGENT && role <= HS_WIRE_ROLE_COLLECTOR
		       ? names[role]
		       : "?";
}
