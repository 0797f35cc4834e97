/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_wire.c - the payloads of wire_format.h: what is taken and what is not
 *
 * Each field that has a limit is at it, or one beyond; here and there a byte is
 * missing at the end. Whoever takes must come to what the limits say.
 */
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "rdma/wire.h"
#include "tests/sim/bout.h"

#define BOUT	 "bout of payloads: "
#define NR_DRAWS 40u
#define ROOM	 (20u << 10)

struct payload {
	struct sim *s;
	struct hs_random *r;
	uint8_t data[ROOM];
	uint32_t bytes; /* it should have */
	bool ok;	/* no limit is broken */
};

static void add(struct payload *p, const void *data, size_t bytes)
{
	memcpy(p->data + p->bytes, data, bytes);
	p->bytes += (uint32_t)bytes;
}

static bool rarely(struct payload *p)
{
	return hs_random_chance(p->r, 0.15);
}

/* 0, 1, in between, the most, or one more. */
static uint32_t count(struct payload *p, uint32_t least, uint32_t most)
{
	uint32_t n;

	switch (hs_random_below(p->r, 6)) {
	case 0:
		n = most;
		break;
	case 1:
		n = rarely(p) ? most + 1 : most;
		break;
	case 2:
		n = rarely(p) ? 0 : 1;
		break;
	default:
		n = bout_below(p->r, most < 8 ? most : 8);
		break;
	}
	p->ok &= n >= least && n <= most;
	return n;
}

/* Half of one may be 0. */
static struct hs_wire_trace_id trace(struct payload *p)
{
	struct hs_wire_trace_id id = {!rarely(p), !rarely(p)};

	p->ok &= id.hi || id.lo;
	return id;
}

static uint64_t node(struct payload *p)
{
	uint64_t id = !hs_random_chance(p->r, 0.05);

	p->ok &= id != 0;
	return id;
}

static void name(struct payload *p, char out[HS_WIRE_NAME_BYTES])
{
	static const char odd[] = {' ', '!', '~', 0x7f};
	uint32_t n = 1 + bout_below(p->r, 4), at;

	if (rarely(p))
		n = bout_below(p->r, 2) ? HS_WIRE_NAME_BYTES - 1 : 0;
	else if (hs_random_chance(p->r, 0.05))
		n = HS_WIRE_NAME_BYTES;
	memset(out, 'a', n);
	memset(out + n, 0, HS_WIRE_NAME_BYTES - n);
	p->ok &= n > 0 && n < HS_WIRE_NAME_BYTES;
	if (!n || !rarely(p))
		return;
	at = bout_below(p->r, 2) ? n - 1 : 0;
	out[at] = odd[hs_random_below(p->r, 4)];
	p->ok &= out[at] == '!' || out[at] == '~';
}

static struct hs_wire_trigger trigger(struct payload *p)
{
	struct hs_wire_trigger t = {.key = hs_random_u64(p->r)};

	t.origin = node(p);
	name(p, t.name);
	t.primary = trace(p);
	return t;
}

/* ---- what there is to take ------------------------------------------------
 */

static const void *take_answer(struct payload *p, struct hs_wire_reader *r,
			       bool ask)
{
	static struct hs_wire_crumb crumbs[HS_WIRE_CRUMBS_MAX + 1];
	const struct hs_wire_crumb *got = NULL;
	struct hs_wire_answer a = {.rev = 1};
	const struct hs_wire_answer *is;

	if (ask) {
		is = hs_wire_take_answer(r, &got);
		return is && got == (const void *)(p->data + sizeof(a)) ? is
									: NULL;
	}
	a.trace = trace(p);
	a.node = node(p);
	a.state = (uint16_t)count(p, 0, HS_WIRE_STATE_CLOSED);
	a.nr_crumbs = count(p, 0, HS_WIRE_CRUMBS_MAX);
	for (uint32_t i = 0; i < a.nr_crumbs; i++)
		crumbs[i].node = i;
	add(p, &a, sizeof(a));
	add(p, crumbs, a.nr_crumbs * sizeof(crumbs[0]));
	return p->data;
}

static const void *take_group(struct payload *p, struct hs_wire_reader *r,
			      bool ask)
{
	struct hs_wire_group g = {.flags = 1};

	if (ask)
		return hs_wire_take_group(r);
	g.trigger = trigger(p);
	g.nr = count(p, 1, HS_WIRE_TRACES_MAX);
	add(p, &g, sizeof(g));
	return p->data;
}

static const void *take_manifest(struct payload *p, struct hs_wire_reader *r,
				 bool ask)
{
	const struct hs_wire_trigger *got = NULL;
	struct hs_wire_manifest m = {.epoch = 7};
	const struct hs_wire_manifest *is;

	if (ask) {
		is = hs_wire_take_manifest(r, &got);
		return is && got == (const void *)(p->data + sizeof(m)) ? is
									: NULL;
	}
	m.trace = trace(p);
	m.version = !hs_random_chance(p->r, 0.05);
	p->ok &= m.version > 0;
	m.nr_answers = count(p, 1, HS_WIRE_ANSWERS_MAX);
	m.nr_triggers = count(p, 0, HS_WIRE_TRIGGERS_MAX);
	add(p, &m, sizeof(m));
	for (uint32_t i = 0; i < m.nr_triggers; i++) {
		struct hs_wire_trigger t = trigger(p);

		add(p, &t, sizeof(t));
	}
	return p->data;
}

static const void *take_slice(struct payload *p, struct hs_wire_reader *r,
			      bool ask)
{
	struct hs_wire_slice h = {.flags = 2};
	const struct hs_wire_slice *is;
	const uint8_t *got = NULL;
	uint8_t bytes[64];

	if (ask) {
		is = hs_wire_take_slice(r, &got);
		return is && got == p->data + sizeof(h) ? is : NULL;
	}
	h.trace = trace(p);
	h.node = node(p);
	h.length_bytes = bout_below(p->r, sizeof(bytes));
	hs_random_fill(p->r, bytes, sizeof(bytes));
	h.crc = hs_crc32c(0, bytes, h.length_bytes);
	h.crc += rarely(p);
	p->ok &= h.crc == hs_crc32c(0, bytes, h.length_bytes);
	add(p, &h, sizeof(h));
	add(p, bytes, h.length_bytes);
	return p->data;
}

static const void *take_seek(struct payload *p, struct hs_wire_reader *r,
			     bool ask)
{
	const struct hs_wire_trace_id *got = NULL;
	struct hs_wire_seek k = {.question = 3};
	const struct hs_wire_seek *is;

	if (ask) {
		is = hs_wire_take_seek(r, &got);
		return is && got == (const void *)(p->data + sizeof(k)) ? is
									: NULL;
	}
	k.nr = count(p, 0, HS_WIRE_SEEK_MAX);
	add(p, &k, sizeof(k));
	for (uint32_t i = 0; i < k.nr; i++) {
		struct hs_wire_trace_id id = {1, 0};

		if (i == 0 || i + 1 == k.nr)
			id = trace(p);
		add(p, &id, sizeof(id));
	}
	return p->data;
}

static const void *(*const takes[])(struct payload *, struct hs_wire_reader *,
				    bool) = {
	take_answer, take_group, take_manifest, take_slice, take_seek,
};

/* ---- a draw ---------------------------------------------------------------
 */

static void draw(struct payload *p, uint32_t kind)
{
	struct hs_wire_reader r;
	uint32_t more = 0;
	const void *is;

	p->bytes = 0;
	p->ok = true;
	takes[kind](p, NULL, false);
	r = hs_wire_reader_make(p->data, p->bytes);
	switch (hs_random_below(p->r, 6)) {
	case 0: /* a byte short */
		p->ok = false;
		r.left_bytes--;
		break;
	case 1: /* in the midst of its head */
		p->ok = false;
		r.left_bytes = hs_random_below(p->r, 16);
		break;
	case 2: /* something follows */
		more = 1 + bout_below(p->r, 8);
		r.left_bytes += more;
		break;
	default:
		break;
	}
	is = takes[kind](p, &r, true);
	if (is != (p->ok ? p->data : NULL) || r.failed == p->ok)
		sim_fail(p->s, BOUT "of kind %u one is %s", kind,
			 p->ok ? "refused" : "taken");
	if (hs_wire_done(&r) != (p->ok && !more))
		sim_fail(p->s, BOUT "of kind %u one is %sdone", kind,
			 p->ok && !more ? "not " : "");
	if (p->ok && (r.left_bytes != more || r.data != p->data + p->bytes))
		sim_fail(p->s, BOUT "of kind %u %zu bytes are left", kind,
			 r.left_bytes);
	if (!p->ok && hs_wire_take(&r, 0))
		sim_fail(p->s, BOUT "something is taken of what failed");
}

/* What is put stands there; what finds no room fails, and all behind it. */
static void puts_answer(struct payload *p)
{
	struct hs_wire_crumb crumbs[3] = {
		{.node = 5}, {.node = 6}, {.node = 7}};
	struct hs_wire_answer a = {.node = 4, .nr_crumbs = bout_below(p->r, 4)};
	uint32_t bytes = (uint32_t)sizeof(a) + a.nr_crumbs * 16, first = 3;
	struct hs_wire_writer w = hs_wire_writer_make(p->data, first + bytes);

	memset(p->data, 0xaa, first + bytes + 1);
	if (bout_below(p->r, 2))
		w.room_bytes -= 1 + bout_below(p->r, 2) * 20;
	hs_wire_put(&w, "abc", first);
	hs_wire_put_answer(&w, &a, a.nr_crumbs ? crumbs : NULL);
	if (w.failed != (w.room_bytes < first + bytes))
		sim_fail(p->s, BOUT "an answer %s",
			 w.failed ? "finds no room" : "finds room");
	if (!w.failed &&
	    (w.used_bytes != first + bytes || memcmp(p->data, "abc", first) ||
	     memcmp(p->data + first, &a, sizeof(a)) ||
	     memcmp(p->data + first + sizeof(a), crumbs, a.nr_crumbs * 16)))
		sim_fail(p->s, BOUT "an answer is put somewhere else");
	if (p->data[first + bytes] != 0xaa)
		sim_fail(p->s, BOUT "an answer goes beyond its end");
	if (w.failed) {
		hs_wire_put(&w, "", 0);
		if (!w.failed)
			sim_fail(p->s, BOUT "what failed goes on");
	}
}

/* As long as one may be, and a byte longer. */
static void longest_slice(struct sim *s)
{
	uint32_t most = HS_WIRE_SLICE_MAX_BYTES;
	struct hs_wire_slice *h = sim_zalloc(1, sizeof(*h) + most + 1);

	h->node = h->trace.lo = 1;
	for (uint32_t more = 0; more < 2; more++) {
		struct hs_wire_reader r =
			hs_wire_reader_make(h, sizeof(*h) + most + more);
		const uint8_t *bytes;

		h->length_bytes = most + more;
		h->crc = hs_crc32c(0, h + 1, most + more);
		if ((hs_wire_take_slice(&r, &bytes) != NULL) == more)
			sim_fail(s, BOUT "a slice of %u bytes", most + more);
	}
	free(h);
}

void bout_wire(struct sim *s, uint64_t seed)
{
	static struct payload p;
	static struct hs_random r;

	hs_random_seed(&r, seed ^ 0x31e7ull);
	p.s = s;
	p.r = &r;
	for (uint32_t i = 0; i < NR_DRAWS && !s->failed; i++) {
		draw(&p, i % 5);
		puts_answer(&p);
	}
	if (seed % 16 == 1)
		longest_slice(s);
}
