/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: hs-perf ahead: what reading agents' crumbs ahead of their answers
 * buys a traversal (docs/adr/0035), in virtual time.
 *
 * The coordinator's core and the tables of crumbs are the production ones. The
 * network and the agents are two numbers: how long a message is on its way, and
 * how long an agent takes until it has pinned and answered, drawn from an
 * exponential distribution. A read takes two ways and the devices' own time.
 * No figure of this is one of a machine.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/args.h"
#include "base/clock.h"
#include "base/random.h"
#include "bench/bench.h"
#include "coordinator/core.h"
#include "rdma/crumbs.h"

#define NODES_MAX  128u
#define EVENTS_MAX 4096u
#define SETTLE_NS  HS_NS_PER_SEC

struct event {
	uint64_t at_ns;
	uint32_t node;
	bool is_read;
	uint64_t cookie; /* of a read */
};

struct shape {
	const char *name;
	uint32_t nr_nodes;
	uint32_t (*parent)(uint32_t node); /* of all but node 0 */
	uint32_t fired_at;
};

struct rig {
	const struct shape *shape;
	struct hs_coord_core *core;
	void *memory;
	struct hs_crumb_table table;
	struct hs_crumb_bucket *buckets[NODES_MAX];
	struct hs_random random;
	uint64_t link_ns, answer_ns, read_ns;
	double stale; /* share of entries that are not there */
	uint64_t now_ns;
	struct hs_wire_trigger trigger;
	struct event events[EVENTS_MAX]; /* a heap, by time */
	uint32_t nr_events;
	bool told, settled;
	struct hs_wire_manifest_ack ack;
	uint32_t nr_answers; /* in the manifest */
};

static uint32_t chain_parent(uint32_t node)
{
	return node - 1;
}

static uint32_t tree_parent(uint32_t node)
{
	return (node - 1) / 3;
}

static uint32_t star_parent(uint32_t node)
{
	(void)node;
	return 0;
}

/* Fired where the request began, or in the middle, or at a leaf. */
static const struct shape shapes[] = {
	{"ahead_chain10", 10, chain_parent, 0},
	{"ahead_chain10_middle", 10, chain_parent, 5},
	{"ahead_tree40", 40, tree_parent, 39},
	{"ahead_star100", 100, star_parent, 99},
};

static uint64_t id_of(uint32_t node)
{
	return (uint64_t)(node + 1) << 32 | 1;
}

static void push(struct rig *r, uint64_t at_ns, uint32_t node, bool is_read,
		 uint64_t cookie)
{
	uint32_t at = r->nr_events++;

	if (at == EVENTS_MAX)
		abort();
	while (at && r->events[(at - 1) / 2].at_ns > at_ns) {
		r->events[at] = r->events[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	r->events[at] = (struct event){at_ns, node, is_read, cookie};
}

static struct event pop(struct rig *r)
{
	struct event first = r->events[0];
	struct event last = r->events[--r->nr_events];
	uint32_t at = 0, next;

	for (; (next = 2 * at + 1) < r->nr_events; at = next) {
		if (next + 1 < r->nr_events &&
		    r->events[next + 1].at_ns < r->events[next].at_ns)
			next++;
		if (r->events[next].at_ns >= last.at_ns)
			break;
		r->events[at] = r->events[next];
	}
	r->events[at] = last;
	return first;
}

static bool send_node(void *ctx, uint64_t node, uint16_t type,
		      const void *payload, uint32_t payload_bytes)
{
	struct rig *r = ctx;
	double wait =
		-log(1 - hs_random_f64(&r->random)) * (double)r->answer_ns;

	(void)payload;
	(void)payload_bytes;
	if (type == HS_WIRE_COLLECT)
		push(r, r->now_ns + 2 * r->link_ns + (uint64_t)wait,
		     (uint32_t)(node >> 32) - 1, false, 0);
	return true;
}

static bool send_collector(void *ctx, const struct hs_wire_trace_id *trace,
			   uint16_t type, const void *payload,
			   uint32_t payload_bytes)
{
	struct rig *r = ctx;
	const struct hs_wire_manifest *m = payload;

	(void)type;
	(void)payload_bytes;
	r->told = true;
	r->ack = (struct hs_wire_manifest_ack){*trace, m->epoch, m->version, 0};
	r->settled = m->settled;
	r->nr_answers = m->nr_answers;
	return true;
}

static bool read_node(void *ctx, uint64_t node, uint64_t offset_bytes,
		      uint32_t size_bytes, uint64_t cookie)
{
	struct rig *r = ctx;

	(void)offset_bytes;
	(void)size_bytes;
	push(r, r->now_ns + 2 * r->link_ns + r->read_ns,
	     (uint32_t)(node >> 32) - 1, true, cookie);
	return true;
}

static const struct hs_coord_ops ops = {send_node, send_collector, read_node};

static uint32_t crumbs_of(const struct shape *s, uint32_t node,
			  uint64_t out[NODES_MAX])
{
	uint32_t nr = 0;

	if (node)
		out[nr++] = id_of(s->parent(node));
	for (uint32_t n = 1; n < s->nr_nodes; n++)
		if (s->parent(n) == node)
			out[nr++] = id_of(n);
	return nr;
}

static void say(struct rig *r, uint16_t type, uint32_t node)
{
	struct {
		struct hs_wire_group group;
		struct hs_wire_answer answer;
		struct hs_wire_crumb crumbs[NODES_MAX];
	} m = {.group = {.trigger = r->trigger, .nr = 1},
	       .answer = {.trace = r->trigger.primary,
			  .node = id_of(node),
			  .rev = 1,
			  .state = HS_WIRE_STATE_CLOSED,
			  .nr_buffers = 1,
			  .nr_bytes = 600}};
	uint64_t crumbs[NODES_MAX];

	m.answer.nr_crumbs = crumbs_of(r->shape, node, crumbs);
	for (uint32_t i = 0; i < m.answer.nr_crumbs; i++)
		m.crumbs[i].node = crumbs[i];
	hs_coord_core_message(
		r->core, r->now_ns, id_of(node), type, &m,
		(uint32_t)(offsetof(__typeof__(m), crumbs) +
			   m.answer.nr_crumbs * sizeof(m.crumbs[0])));
}

static void fill_tables(struct rig *r)
{
	const struct hs_wire_trace_id *id = &r->trigger.primary;
	uint64_t crumbs[NODES_MAX];

	for (uint32_t n = 0; n < r->shape->nr_nodes; n++) {
		uint32_t nr = crumbs_of(r->shape, n, crumbs);

		memset(r->buckets[n], 0, hs_crumbs_bytes(&r->table));
		if (hs_random_chance(&r->random, r->stale))
			continue;
		for (uint32_t i = 0; i < nr; i++)
			hs_crumbs_add(&r->table, r->buckets[n], id->hi, id->lo,
				      crumbs[i]);
	}
}

static void take(struct rig *r, const struct event *e)
{
	const struct hs_wire_trace_id *id = &r->trigger.primary;

	r->now_ns = e->at_ns;
	if (e->is_read)
		hs_coord_core_read(r->core, r->now_ns, id_of(e->node),
				   e->cookie,
				   &r->buckets[e->node][hs_crumbs_bucket(
					   &r->table, id->hi, id->lo)],
				   sizeof(struct hs_crumb_bucket));
	else
		say(r, HS_WIRE_CRUMBS, e->node);
}

/* Return: from the trigger to the settled manifest, in us; 0: not all of it. */
static double traverse(struct rig *r, uint64_t number)
{
	uint64_t from = r->now_ns;

	r->trigger =
		(struct hs_wire_trigger){.origin = id_of(r->shape->fired_at),
					 .key = number,
					 .name = "slow",
					 .primary = {number, ~number}};
	r->settled = r->told = false;
	fill_tables(r);
	say(r, HS_WIRE_TRIGGER, r->shape->fired_at);
	while (r->nr_events && !r->settled) {
		struct event e = pop(r);

		take(r, &e);
	}
	if (!r->settled || r->nr_answers != r->shape->nr_nodes)
		return 0;
	from = r->now_ns - from;
	/* The rest of it, and peace before the next one. */
	while (r->nr_events) {
		struct event e = pop(r);

		take(r, &e);
	}
	r->now_ns += SETTLE_NS;
	hs_coord_core_message(r->core, r->now_ns, 9999ull << 32,
			      HS_WIRE_MANIFEST_ACK, &r->ack, sizeof(r->ack));
	hs_coord_core_tick(r->core, r->now_ns);
	return (double)from / 1e3;
}

static void measure(struct rig *r, bool ahead, double *samples, uint32_t nr,
		    uint64_t *lost)
{
	struct hs_coord_config config = {.node = 1ull << 62,
					 .epoch = 1,
					 .seed = 0x5eed,
					 .origin_per_s = 1000000000};

	r->now_ns = HS_NS_PER_SEC;
	r->nr_events = 0;
	hs_random_seed(&r->random, 1);
	r->memory = calloc(1, hs_coord_core_size_bytes(&config));
	if (!r->memory)
		abort();
	r->core = hs_coord_core_create(r->memory, &config, &ops, r, r->now_ns);
	for (uint32_t n = 0; n < r->shape->nr_nodes; n++) {
		struct hs_crumb_table table = r->table;

		table.node = id_of(n);
		hs_coord_core_node_up(r->core, r->now_ns, id_of(n));
		if (ahead &&
		    hs_coord_core_table(r->core, r->now_ns, id_of(n), &table,
					sizeof(table), hs_crumbs_bytes(&table)))
			abort();
	}
	for (uint32_t i = 0; i < nr; i++) {
		samples[i] = traverse(r, i + 1);
		*lost += samples[i] == 0;
	}
	free(r->memory);
}

static void compare(struct hs_bench_report *report, struct rig *r, uint32_t nr)
{
	struct hs_bench_result without = {.unit = "us"}, *out;
	double *samples = calloc(nr, sizeof(*samples));
	uint64_t lost = 0;

	if (!samples)
		abort();
	measure(r, false, samples, nr, &lost);
	hs_bench_summarize(&without, samples, nr);
	measure(r, true, samples, nr, &lost);
	out = hs_bench_add(report, r->shape->name, "us");
	hs_bench_summarize(out, samples, nr);
	out->n = nr;
	out->lost_share = (double)lost / (2 * (double)nr);
	hs_bench_ratio_add(out, "without", out->median / without.median);
	hs_bench_ratio_add(out, "without_p99", out->p99 / without.p99);
	snprintf(out->note, sizeof(out->note),
		 "virtual time: link %.1f us, answer %.0f us, read %.1f us, "
		 "%.0f %% of entries missing; without: p50 %.0f p99 %.0f us",
		 (double)r->link_ns / 1e3, (double)r->answer_ns / 1e3,
		 (double)r->read_ns / 1e3, r->stale * 100, without.median,
		 without.p99);
	free(samples);
}

static void run(struct hs_bench_report *report, struct rig *r, uint32_t nr)
{
	static const uint8_t key[16] = "hs-perf ahead";

	r->table = hs_crumbs_table_make(0, 64, key);
	for (uint32_t n = 0; n < NODES_MAX; n++) {
		r->buckets[n] = calloc(1, hs_crumbs_bytes(&r->table));
		if (!r->buckets[n])
			abort();
	}
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		r->shape = &shapes[i];
		compare(report, r, nr);
	}
	for (uint32_t n = 0; n < NODES_MAX; n++)
		free(r->buckets[n]);
}

int hs_perf_ahead(int argc, char **argv)
{
	uint64_t link_ns = 2000, answer_us = 100, read_ns = 1000, stale = 0;
	uint64_t traces = 2000;
	bool json = false;
	const struct hs_args_option options[] = {
		{"link-ns", 'l', HS_ARGS_U64, &link_ns, "NS",
		 "a message's way, one direction", 0, HS_NS_PER_SEC},
		{"answer-us", 'a', HS_ARGS_U64, &answer_us, "US",
		 "until an agent has pinned and answered, on average", 0,
		 1000000},
		{"read-ns", 'r', HS_ARGS_U64, &read_ns, "NS",
		 "a read, beside its two ways", 0, HS_NS_PER_SEC},
		{"stale", 's', HS_ARGS_U64, &stale, "PERCENT",
		 "entries that are not there", 0, 100},
		{"traces", 't', HS_ARGS_U64, &traces, "N", "of each shape", 1,
		 1000000},
		{"json", 'j', HS_ARGS_FLAG, &json, NULL,
		 "one JSON object, as docs/BENCH.md says", 0, 0},
	};
	const struct hs_args_program program = {
		.name = "hs-perf ahead",
		.synopsis = "[options]",
		.summary = "What reading crumbs ahead of agents' answers buys "
			   "a traversal, in virtual time.",
		.options = options,
		.nr_options = sizeof(options) / sizeof(options[0]),
		.exit_codes = "0 good\n1 invalid\n2 usage\n",
	};
	struct hs_bench_report report = {0};
	struct rig *r;
	int first, rc;

	rc = hs_args_parse(&program, argc, argv, &first, stdout, stderr);
	if (rc)
		return rc == HS_ARGS_HELP ? 0 : HS_ARGS_EXIT_USAGE;
	r = calloc(1, sizeof(*r));
	if (!r)
		abort();
	r->link_ns = link_ns;
	r->answer_ns = answer_us * HS_NS_PER_US;
	r->read_ns = read_ns;
	r->stale = (double)stale / 100;
	report.json = json;
	run(&report, r, (uint32_t)traces);
	rc = hs_bench_print(&report, stdout);
	hs_bench_free(&report);
	free(r);
	return rc;
}
