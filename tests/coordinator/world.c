/* SPDX-License-Identifier: Apache-2.0 */
/*
 * world.c - see world.h
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rdma/wire.h"
#include "tests/coordinator/world.h"

#define TO_CORE	     0u
#define TO_COLLECTOR UINT64_MAX

struct letter {
	struct letter *next;
	uint64_t at_ns;
	uint64_t to; /* node id, or the above */
	uint64_t from;
	uint16_t type;
	uint32_t size;
	uint64_t payload[];
};

static void post_one(struct world *w, uint64_t to, uint64_t from, uint16_t type,
		     const void *payload, uint32_t size)
{
	struct letter *l = malloc(sizeof(*l) + size);

	*l = (struct letter){NULL, w->now_ns + WORLD_MS, to, from, type, size};
	memcpy(l->payload, payload, size);
	*w->letters_tail = l;
	w->letters_tail = &l->next;
}

static void post(struct world *w, uint64_t to, uint64_t from, uint16_t type,
		 const void *payload, uint32_t size)
{
	if (hs_random_chance(&w->random, w->loss))
		return;
	post_one(w, to, from, type, payload, size);
	if (hs_random_chance(&w->random, w->twice))
		post_one(w, to, from, type, payload, size);
}

static bool send_node(void *ctx, uint64_t node, uint16_t type,
		      const void *payload, uint32_t size)
{
	struct world *w = ctx;
	struct node *n = &w->nodes[(node >> 32) % WORLD_NODES];

	if (!n->up || w->node_full)
		return false;
	post(w, n->id, 0, type, payload, size);
	return true;
}

static bool send_collector(void *ctx, const struct hs_wire_trace_id *trace,
			   uint16_t type, const void *payload, uint32_t size)
{
	struct world *w = ctx;

	assert_int_equal(type, HS_WIRE_MANIFEST);
	assert_int_equal(((const struct hs_wire_manifest *)payload)->trace.lo,
			 trace->lo);
	if (!w->collector_up)
		return false;
	post(w, TO_COLLECTOR, 0, type, payload, size);
	return true;
}

static bool read_node(void *ctx, uint64_t node, uint64_t offset, uint32_t size,
		      uint64_t cookie)
{
	struct world *w = ctx;
	struct node *n = &w->nodes[(node >> 32) % WORLD_NODES];

	assert_int_equal(size, sizeof(struct hs_crumb_bucket));
	assert_non_null(n->buckets);
	assert_true(offset + size <= hs_crumbs_bytes(&n->table));
	if (w->reads_stall || w->nr_reads == 64)
		return false;
	w->reads[w->nr_reads++] = (struct world_read){node, offset, cookie};
	return true;
}

static void reads_deliver(struct world *w)
{
	while (w->nr_reads && !w->reads_wait) {
		struct world_read r = w->reads[--w->nr_reads];
		struct node *n = &w->nodes[(r.node >> 32) % WORLD_NODES];

		hs_coord_core_read(
			w->core, w->now_ns, r.node, r.cookie,
			w->reads_fail ? NULL : (uint8_t *)n->buckets + r.offset,
			sizeof(struct hs_crumb_bucket));
	}
}

static const struct hs_coord_ops ops = {send_node, send_collector, read_node};

static void start(struct world *w)
{
	w->memory = calloc(1, hs_coord_core_size_bytes(&w->config));
	w->config.epoch = 1000000 + w->now_ns;
	w->core =
		hs_coord_core_create(w->memory, &w->config, &ops, w, w->now_ns);
}

struct world *world_new(const struct hs_coord_config *config)
{
	struct world *w = calloc(1, sizeof(*w));

	w->config = *config;
	w->config.node = node_id(9999, 1);
	w->now_ns = 5000 * WORLD_MS;
	w->collector_up = true;
	w->letters_tail = &w->letters;
	w->next_key = 1;
	hs_random_seed(&w->random, 1);
	start(w);
	return w;
}

static void letters_free(struct world *w)
{
	while (w->letters) {
		struct letter *l = w->letters;

		w->letters = l->next;
		free(l);
	}
	w->letters_tail = &w->letters;
}

void world_free(struct world *w)
{
	letters_free(w);
	for (uint32_t i = 0; i < WORLD_NODES; i++)
		free(w->nodes[i].buckets);
	for (uint32_t i = 0; i < WORLD_NODES; i++)
		while (w->nodes[i].facts) {
			struct fact *f = w->nodes[i].facts;

			w->nodes[i].facts = f->next;
			free(f->crumbs);
			free(f);
		}
	free(w->memory);
	free(w);
}

void world_restart(struct world *w)
{
	letters_free(w);
	free(w->memory);
	start(w);
	for (uint32_t i = 0; i < WORLD_NODES; i++)
		if (w->nodes[i].up)
			hs_coord_core_node_up(w->core, w->now_ns,
					      w->nodes[i].id);
}

static struct fact *fact_of(struct node *n, uint64_t lo)
{
	struct fact *f = n->facts;

	while (f && f->answer.trace.lo != lo)
		f = f->next;
	return f;
}

void world_up(struct world *w, uint32_t number, uint32_t incarnation)
{
	struct node *n = &w->nodes[number];

	n->id = node_id(number, incarnation);
	n->up = true;
	hs_coord_core_node_up(w->core, w->now_ns, n->id);
}

void world_down(struct world *w, uint32_t number)
{
	struct node *n = &w->nodes[number];

	n->up = false;
	hs_coord_core_node_down(w->core, w->now_ns, n->id);
}

void world_knows(struct world *w, uint32_t number, uint64_t lo,
		 enum hs_wire_state state, uint32_t nr_crumbs,
		 const uint64_t *crumbs)
{
	struct node *n = &w->nodes[number];
	struct fact *f = fact_of(n, lo);

	if (!f) {
		f = calloc(1, sizeof(*f));
		f->next = n->facts;
		n->facts = f;
	}
	free(f->crumbs);
	f->crumbs = calloc(nr_crumbs + 1, sizeof(*f->crumbs));
	for (uint32_t i = 0; i < nr_crumbs; i++)
		f->crumbs[i].node = crumbs[i];
	f->answer.trace = trace_id(lo);
	f->answer.state = state;
	f->answer.rev++;
	f->answer.nr_crumbs = nr_crumbs;
	f->answer.nr_buffers = 1 + (state == HS_WIRE_STATE_CLOSED);
}

void world_hint(struct world *w, uint32_t number, uint64_t lo, uint64_t node)
{
	struct node *n = &w->nodes[number];
	struct hs_wire_trace_id id = trace_id(lo);

	hs_crumbs_add(&n->table, n->buckets, id.hi, id.lo, node);
}

struct hs_crumb_entry *world_entry(struct world *w, uint32_t number,
				   uint64_t lo)
{
	struct node *n = &w->nodes[number];
	struct hs_wire_trace_id id = trace_id(lo);

	struct hs_crumb_bucket *b =
		&n->buckets[hs_crumbs_bucket(&n->table, id.hi, id.lo)];

	for (uint32_t i = 0; i < HS_CRUMB_WAYS; i++)
		if (b->ways[i].hi == id.hi && b->ways[i].lo == id.lo)
			return &b->ways[i];
	fail_msg("node %u's table has no entry of trace %lu", number, lo);
	return NULL;
}

void world_table(struct world *w, uint32_t number)
{
	struct node *n = &w->nodes[number];
	uint8_t key[16];

	hs_random_fill(&w->random, key, sizeof(key));
	n->table = hs_crumbs_table_make(n->id, 64, key);
	free(n->buckets);
	n->buckets = calloc(1, hs_crumbs_bytes(&n->table));
	for (struct fact *f = n->facts; f; f = f->next)
		for (uint32_t i = 0; i < f->answer.nr_crumbs; i++)
			world_hint(w, number, f->answer.trace.lo,
				   f->crumbs[i].node);
	assert_int_equal(hs_coord_core_table(w->core, w->now_ns, n->id,
					     &n->table, sizeof(n->table),
					     hs_crumbs_bytes(&n->table)),
			 0);
}

static void put_answer(struct world *w, struct hs_wire_writer *out,
		       uint32_t number, const struct hs_wire_trace_id *trace)
{
	struct node *n = &w->nodes[number];
	struct fact *f = fact_of(n, trace->lo);
	struct hs_wire_answer unknown = {
		.trace = *trace, .rev = 1, .state = HS_WIRE_STATE_UNKNOWN};
	struct hs_wire_answer *a = f ? &f->answer : &unknown;

	(void)w;
	a->node = n->id;
	/* As agents do: whatever is said is said under a new revision. */
	a->rev++;
	hs_wire_put_answer(out, a, f ? f->crumbs : NULL);
}

static void say(struct world *w, uint32_t number, uint16_t type,
		const struct hs_wire_trigger *trigger, uint32_t nr,
		const struct hs_wire_trace_id *traces)
{
	uint8_t *buf = malloc(HS_WIRE_PAYLOAD_MAX_BYTES);
	struct hs_wire_writer out =
		hs_wire_writer_make(buf, HS_WIRE_PAYLOAD_MAX_BYTES);
	struct hs_wire_group g = {.trigger = *trigger,
				  .nr = nr,
				  .flags = type == HS_WIRE_TRIGGER &&
							   w->elsewhere
						   ? HS_WIRE_GROUP_ELSEWHERE
						   : 0};

	hs_wire_put(&out, &g, sizeof(g));
	for (uint32_t i = 0; i < nr; i++)
		put_answer(w, &out, number, &traces[i]);
	assert_false(out.failed);
	post(w, TO_CORE, w->nodes[number].id, type, buf,
	     (uint32_t)out.used_bytes);
	free(buf);
}

void world_trigger_again(struct world *w, uint32_t number, const char *name,
			 uint64_t key, uint32_t nr, const uint64_t *los)
{
	struct hs_wire_trace_id traces[HS_WIRE_TRACES_MAX];
	struct hs_wire_trigger t = {.origin = w->nodes[number].id,
				    .key = key,
				    .primary = trace_id(los[0])};

	snprintf(t.name, sizeof(t.name), "%s", name);
	for (uint32_t i = 0; i < nr; i++)
		traces[i] = trace_id(los[i]);
	say(w, number, HS_WIRE_TRIGGER, &t, nr, traces);
}

uint64_t world_trigger(struct world *w, uint32_t number, const char *name,
		       uint32_t nr, const uint64_t *los)
{
	uint64_t key = w->next_key++;

	world_trigger_again(w, number, name, key, nr, los);
	return key;
}

uint64_t world_update(struct world *w, uint32_t number, uint64_t lo)
{
	struct hs_wire_trace_id trace = trace_id(lo);
	struct hs_wire_trigger t = {.origin = w->nodes[number].id,
				    .key = w->next_key++ | 1ULL << 63,
				    .name = "update",
				    .primary = trace};

	say(w, number, HS_WIRE_UPDATE, &t, 1, &trace);
	return t.key;
}

static void at_node_sought(struct world *w, struct node *n,
			   struct hs_wire_reader *r)
{
	const struct hs_wire_trace_id *traces;
	const struct hs_wire_seek *seek = hs_wire_take_seek(r, &traces);
	struct {
		struct hs_wire_seek head;
		struct hs_wire_trace_id traces[HS_WIRE_SEEK_MAX];
	} found = {.head.question = seek->question};

	assert_true(hs_wire_done(r));
	n->nr_sought += seek->nr;
	if (n->mute)
		return;
	for (uint32_t i = 0; i < seek->nr; i++)
		if (fact_of(n, traces[i].lo))
			found.traces[found.head.nr++] = traces[i];
	post(w, TO_CORE, n->id, HS_WIRE_FOUND, &found,
	     (uint32_t)(sizeof(found.head) +
			found.head.nr * sizeof(found.traces[0])));
}

static void at_node(struct world *w, const struct letter *l)
{
	uint32_t number = (uint32_t)(l->to >> 32);
	struct node *n = &w->nodes[number];
	struct hs_wire_reader r = hs_wire_reader_make(l->payload, l->size);
	const struct hs_wire_stored *stored;
	const struct hs_wire_group *g;
	const struct hs_wire_trace_id *traces;

	if (!n->up || n->id != l->to)
		return;
	if (l->type == HS_WIRE_STORED) {
		stored = hs_wire_take(&r, sizeof(*stored));
		assert_true(hs_wire_done(&r));
		n->stored[n->nr_stored++ % 64] = stored->key;
		return;
	}
	if (l->type == HS_WIRE_REFUSED) {
		const struct hs_wire_refused *refused =
			hs_wire_take(&r, sizeof(*refused));

		assert_true(hs_wire_done(&r));
		n->refused = *refused;
		n->nr_refused++;
		return;
	}
	if (l->type == HS_WIRE_SEEK) {
		at_node_sought(w, n, &r);
		return;
	}
	assert_int_equal(l->type, HS_WIRE_COLLECT);
	g = hs_wire_take_group(&r);
	assert_non_null(g);
	traces = hs_wire_take(&r, g->nr * sizeof(*traces));
	assert_true(hs_wire_done(&r));
	n->nr_collects++;
	n->nr_asked += g->nr;
	if (!n->mute)
		say(w, number, HS_WIRE_CRUMBS, &g->trigger, g->nr, traces);
}

static void at_collector(struct world *w, const struct letter *l)
{
	struct hs_wire_reader r = hs_wire_reader_make(l->payload, l->size);
	const struct hs_wire_trigger *triggers;
	const struct hs_wire_manifest *m = hs_wire_take_manifest(&r, &triggers);
	struct hs_wire_manifest_ack ack;
	struct seen *s;

	if (!w->collector_up)
		return;
	assert_non_null(m);
	s = world_seen(w, m->trace.lo);
	/* Within an epoch a version is one content, for ever. */
	if (s->epoch == m->epoch && s->version == m->version)
		assert_int_equal(s->nr_answers, m->nr_answers);
	s->nr_manifests++;
	if (s->epoch < m->epoch || s->version < m->version) {
		s->trace = m->trace;
		s->epoch = m->epoch;
		s->version = m->version;
		s->settled = m->settled;
		s->sought = m->sought;
		s->nr_triggers = m->nr_triggers;
		memcpy(s->triggers, triggers,
		       m->nr_triggers * sizeof(*triggers));
		s->nr_answers = m->nr_answers;
	}
	for (uint32_t i = 0; i < m->nr_answers; i++) {
		const struct hs_wire_crumb *crumbs;
		const struct hs_wire_answer *a =
			hs_wire_take_answer(&r, &crumbs);

		assert_non_null(a);
		if (s->version != m->version)
			continue;
		s->answers[i] = *a;
		if (i == 0)
			s->nr_sought_crumbs = s->nr_address_crumbs = 0;
		for (uint32_t k = 0; k < a->nr_crumbs; k++) {
			s->nr_sought_crumbs +=
				crumbs[k].kind == HS_WIRE_CRUMB_SOUGHT;
			s->nr_address_crumbs +=
				crumbs[k].kind == HS_WIRE_CRUMB_ADDRESS;
			assert_true(!crumbs[k].node || crumbs[k].node >> 32);
		}
	}
	assert_true(hs_wire_done(&r));
	ack = (struct hs_wire_manifest_ack){m->trace, m->epoch, m->version, 0};
	post(w, TO_CORE, node_id(8888, 1), HS_WIRE_MANIFEST_ACK, &ack,
	     sizeof(ack));
}

static void deliver(struct world *w, const struct letter *l)
{
	if (l->to == TO_COLLECTOR)
		at_collector(w, l);
	else if (l->to == TO_CORE)
		assert_int_equal(hs_coord_core_message(w->core, w->now_ns,
						       l->from, l->type,
						       l->payload, l->size),
				 0);
	else
		at_node(w, l);
}

void world_run(struct world *w, uint64_t for_ns)
{
	uint64_t end = w->now_ns + for_ns;
	const char *why;

	for (;;) {
		struct letter *l;
		uint64_t tick, at;

		reads_deliver(w);
		l = w->letters;
		tick = hs_coord_core_next_ns(w->core);
		at = l ? l->at_ns : UINT64_MAX;
		if (tick > end && at > end)
			break;
		if (l && at <= tick) {
			w->now_ns = at > w->now_ns ? at : w->now_ns;
			w->letters = l->next;
			if (!w->letters)
				w->letters_tail = &w->letters;
			deliver(w, l);
			free(l);
			continue;
		}
		w->now_ns = tick > w->now_ns ? tick : w->now_ns;
		hs_coord_core_tick(w->core, w->now_ns);
		/* What was due is done: time must not stand still. */
		assert_true(hs_coord_core_next_ns(w->core) > w->now_ns);
	}
	w->now_ns = end;
	if (!hs_coord_core_check(w->core, &why))
		fail_msg("core: %s", why);
}

bool world_stored(const struct world *w, uint32_t number, uint64_t key)
{
	for (uint32_t i = 0; i < w->nodes[number].nr_stored && i < 64; i++)
		if (w->nodes[number].stored[i] == key)
			return true;
	return false;
}

struct seen *world_seen(struct world *w, uint64_t lo)
{
	return &w->seen[lo % 8];
}

const struct hs_wire_answer *world_answer(struct world *w, uint64_t lo,
					  uint64_t node)
{
	struct seen *s = world_seen(w, lo);

	for (uint32_t i = 0; i < s->nr_answers; i++)
		if (s->answers[i].node == node)
			return &s->answers[i];
	return NULL;
}

struct hs_coord_stats world_stats(const struct world *w)
{
	struct hs_coord_stats st;

	hs_coord_core_stats_get(w->core, &st);
	return st;
}

void world_up_to(struct world *w, uint32_t first, uint32_t last)
{
	for (uint32_t i = first; i <= last; i++)
		world_up(w, i, 1);
}

/* Nodes 1..n, each with crumbs to the one before and the one after. */
void world_chain(struct world *w, uint64_t lo, uint32_t n)
{
	for (uint32_t i = 1; i <= n; i++) {
		uint64_t crumbs[2];
		uint32_t nr = 0;

		if (i > 1)
			crumbs[nr++] = node_id(i - 1, 1);
		if (i < n)
			crumbs[nr++] = node_id(i + 1, 1);
		world_knows(w, i, lo, HS_WIRE_STATE_CLOSED, nr, crumbs);
	}
}

void world_expect_closed(struct world *w, uint64_t lo, uint32_t first,
			 uint32_t last)
{
	for (uint32_t i = first; i <= last; i++) {
		const struct hs_wire_answer *a =
			world_answer(w, lo, node_id(i, 1));

		if (!a)
			fail_msg("no answer of node %u", i);
		if (!a)
			return;
		assert_int_equal(a->state, HS_WIRE_STATE_CLOSED);
		assert_int_equal(a->flags, 0);
	}
}

enum hs_coord_state world_state(const struct world *w, uint64_t lo)
{
	static struct hs_coord_view views[64];
	uint32_t nr = hs_coord_core_view(w->core, views, 64);

	for (uint32_t i = 0; i < nr; i++)
		if (views[i].trace.lo == lo)
			return views[i].state;
	return HS_COORD_FREE;
}
