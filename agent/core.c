/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core.c - the agent's core put together: memory, scans, messages, rounds
 */
#include "agent/core_priv.h"

#include <errno.h>
#include <string.h>

#include "rdma/wire.h"

#define LINE_BYTES 64u
/* An entry has 28 bits for a buffer's committed length. */
#define HS_BUFFER_MAX_BYTES (1ull << 27)
/* A slice goes again when one whole such time brought no answer to it. */
#define ACK_PATIENCE_NS 5000000000ull

struct arena {
	uint8_t *base; /* NULL: only measure */
	size_t used_bytes;
};

static void *carve(struct arena *a, size_t nr, size_t size_bytes)
{
	void *p = a->base ? a->base + a->used_bytes : NULL;

	a->used_bytes += (nr * size_bytes + 63u) & ~(size_t)63;
	return p;
}

static uint32_t power_of_two(uint32_t n)
{
	uint32_t p = 1;

	while (p < n)
		p *= 2;
	return p;
}

static void set_default32(uint32_t *value, uint32_t def)
{
	if (*value == 0)
		*value = def;
}

static void set_default64(uint64_t *value, uint64_t def)
{
	if (*value == 0)
		*value = def;
}

static struct hs_agent_config with_defaults(const struct hs_agent_config *in)
{
	struct hs_agent_config c = *in;

	set_default32(&c.nr_groups, 4096);
	set_default32(&c.nr_fired, 65536);
	set_default32(&c.nr_pending, 1024);
	c.nr_pending = power_of_two(c.nr_pending);
	set_default64(&c.remember_ns, 300000000000ull);
	set_default64(&c.resend_ns, 1000000000ull);
	set_default64(&c.open_ship_ns, 500000000ull);
	set_default64(&c.taint_ns, 5000000000ull);
	set_default32(&c.window_bytes, 4u << 20);
	set_default32(&c.evict_percent, 80);
	set_default32(&c.kept_ppm, 1000000);
	set_default32(&c.trace_buffers_max, 16384);
	set_default32(&c.trace_crumbs_max, HS_WIRE_CRUMBS_MAX);
	if (c.trace_crumbs_max > HS_WIRE_CRUMBS_MAX)
		c.trace_crumbs_max = HS_WIRE_CRUMBS_MAX;
	return c;
}

static struct hs_agent_domain_config
domain_defaults(const struct hs_agent_domain_config *in)
{
	struct hs_agent_domain_config c = *in;

	set_default32(&c.weight, 1);
	set_default32(&c.nr_crumbs, c.nr_buffers);
	set_default32(&c.nr_traces, c.nr_buffers + c.nr_buffers / 4 + 64);
	set_default32(&c.nr_classes, 1);
	set_default32(&c.class_factor, 4);
	set_default32(&c.nr_nodes, 1);
	set_default32(&c.chunk_units, power_of_two(c.nr_buffers));
	return c;
}

static uint32_t nr_chunks(const struct hs_agent_domain_config *c)
{
	return (uint32_t)(((uint64_t)c->nr_buffers + c->chunk_units - 1) /
			  c->chunk_units);
}

static uint32_t class_units(const struct hs_agent_domain_config *c,
			    uint32_t size_class)
{
	uint32_t units = 1;

	while (size_class--)
		units *= c->class_factor;
	return units;
}

/* Whether classes fit into chunks, and chunks into nodes. */
static bool shape_good(const struct hs_agent_domain_config *c)
{
	if (c->nr_buffers == 0 || c->nr_buffers > 1u << HS_KEY_BUFFERS ||
	    c->buffer_bytes < HS_SHM_REF_UNIT_BYTES ||
	    c->buffer_bytes != power_of_two(c->buffer_bytes))
		return false;
	if (c->nr_classes > HS_SHM_NR_CLASSES || c->class_factor < 2 ||
	    c->class_factor > 16 ||
	    c->class_factor != power_of_two(c->class_factor) ||
	    c->chunk_units != power_of_two(c->chunk_units) ||
	    c->nr_nodes > HS_SHM_NR_NODES)
		return false;
	if (class_units(c, c->nr_classes - 1) > c->chunk_units ||
	    class_units(c, c->nr_classes - 1) > c->nr_buffers ||
	    (uint64_t)class_units(c, c->nr_classes - 1) * c->buffer_bytes >
		    HS_BUFFER_MAX_BYTES)
		return false;
	return c->nr_nodes == 1 ||
	       c->nr_buffers % (c->nr_nodes * c->chunk_units) == 0;
}

static void core_layout(struct hs_agent_core *c, struct arena *a,
			const struct hs_agent_config *config)
{
	struct hs_agent_core own; /* half a megabyte: not even zeroed */

	if (!c)
		c = &own;
	carve(a, 1, sizeof(*c));
	c->dry_seen = carve(a, HS_DRY_SEEN, sizeof(*c->dry_seen));
	c->lets = carve(a, HS_LETS, sizeof(*c->lets));
	c->groups_rt = carve(a, config->nr_groups, sizeof(*c->groups_rt));
	c->groups_active = carve(a, config->nr_groups, sizeof(uint32_t));
	c->fired_rt = carve(a, config->nr_fired, sizeof(*c->fired_rt));
	c->fired_seen = carve(a, config->nr_fired, sizeof(uint32_t));
	c->nr_fired_hash = power_of_two(config->nr_fired);
	c->fired_hash = carve(a, c->nr_fired_hash, sizeof(uint32_t));
	c->nr_holds = 2 * config->nr_fired;
	c->holds = carve(a, c->nr_holds, sizeof(*c->holds));
	c->young = carve(a, c->nr_holds, sizeof(*c->young));
	c->order_pages = carve(a, hs_order_nr_pages(c->nr_holds),
			       sizeof(*c->order_pages));
	c->hold_hash = carve(a, c->nr_fired_hash, sizeof(uint32_t));
	c->pending = carve(a, config->nr_pending, sizeof(*c->pending));
	c->out = config->scratch ? config->scratch
				 : carve(a, 1, HS_ANSWERS_BYTES);
}

size_t hs_agent_core_size_bytes(const struct hs_agent_config *config)
{
	struct hs_agent_config c = with_defaults(config);
	struct arena a = {NULL, 0};

	core_layout(NULL, &a, &c);
	return a.used_bytes;
}

size_t hs_agent_node_ledger_bytes(const struct hs_agent_config *config)
{
	struct hs_agent_config c = with_defaults(config);
	struct arena a = {NULL, 0};

	carve(&a, 1, sizeof(struct hs_ledger_node));
	carve(&a, c.nr_groups, sizeof(struct hs_ledger_group));
	carve(&a, c.nr_fired, sizeof(struct hs_ledger_fired));
	return a.used_bytes;
}

static bool node_ledger_open(struct hs_agent_core *c, void *memory, bool *old)
{
	struct hs_ledger_node *l = memory;
	struct arena a = {memory, 0};
	size_t total = hs_agent_node_ledger_bytes(&c->config);

	carve(&a, 1, sizeof(*l));
	c->ledger = l;
	c->groups = carve(&a, c->config.nr_groups, sizeof(*c->groups));
	c->fired = carve(&a, c->config.nr_fired, sizeof(*c->fired));
	*old = hs_ledger_get64(&l->magic) == HS_LEDGER_NODE_MAGIC;
	if (*old)
		return l->version == HS_LEDGER_VERSION &&
		       l->nr_groups == c->config.nr_groups &&
		       l->nr_fired == c->config.nr_fired &&
		       l->total_bytes == total;
	l->version = HS_LEDGER_VERSION;
	l->nr_groups = c->config.nr_groups;
	l->nr_fired = c->config.nr_fired;
	l->node_id = c->config.node_id;
	l->groups_offset = (uint64_t)((uint8_t *)c->groups - (uint8_t *)l);
	l->fired_offset = (uint64_t)((uint8_t *)c->fired - (uint8_t *)l);
	l->total_bytes = total;
	hs_ledger_set64(&l->magic, HS_LEDGER_NODE_MAGIC);
	return true;
}

struct hs_agent_core *hs_agent_core_create(void *memory, void *ledger,
					   const struct hs_agent_config *config,
					   const struct hs_agent_ops *ops,
					   void *ctx, uint64_t now_ns,
					   int64_t wall_offset_ns)
{
	struct hs_agent_core *c = memory;
	struct arena a = {memory, 0};
	bool old;

	c->config = with_defaults(config);
	c->ops = ops;
	c->ctx = ctx;
	c->slice_bytes = HS_WIRE_SLICE_MAX_BYTES;
	c->wall_offset_ns = wall_offset_ns;
	core_layout(c, &a, &c->config);
	/* Scan 0 is "never": index entries begin with it. */
	c->scan = 1;
	c->scan_gap_ns = HS_SCAN_GAP_MAX_NS;
	if (!node_ledger_open(c, ledger, &old))
		return NULL;
	hs_fired_init(c);
	hs_hold_init(c);
	hs_order_init(c);
	hs_policy_begin(c);
	if (old)
		hs_fired_adopt(c, now_ns);
	return c;
}

uint64_t hs_agent_core_node(const struct hs_agent_core *core)
{
	return core->ledger->node_id;
}

void hs_agent_core_wall_offset(struct hs_agent_core *core,
			       int64_t wall_offset_ns)
{
	core->wall_offset_ns = wall_offset_ns;
}

/* Enough that what is forgotten of evictions is old. */
static uint32_t nr_evicted(const struct hs_agent_domain_config *config)
{
	return power_of_two(config->nr_traces < HS_EVICTED_MIN
				    ? HS_EVICTED_MIN
				    : config->nr_traces);
}

/*
 * What an adoption touches comes first, as far as it does: entries of as many
 * traces as there may be where each has one buffer, and none is crowded out.
 * Return: where that ends.
 */
static size_t domain_layout(struct hs_domain *d, struct arena *a,
			    const struct hs_agent_domain_config *config)
{
	struct hs_domain own;
	size_t touched;

	if (!d)
		d = &own;
	/* Eight of ten slots at most: buckets that overflow stay rare. */
	d->bucket_mask = power_of_two(config->nr_traces / 8 + 1) - 1;
	d->seat_mask = power_of_two(2 * config->nr_traces + 64) - 1;
	d->buckets = carve(a, d->bucket_mask + 1u, sizeof(*d->buckets));
	d->rt = carve(a, config->nr_buffers, sizeof(*d->rt));
	d->flying =
		carve(a, hs_flying_size(config->nr_buffers), sizeof(uint64_t));
	d->crumb_next = carve(a, config->nr_crumbs, sizeof(uint32_t));
	d->hashes = carve(a, config->nr_traces, sizeof(*d->hashes));
	touched = a->used_bytes +
		  (size_t)config->nr_buffers / 5 * 4 * sizeof(*d->traces);
	d->traces = carve(a, config->nr_traces, sizeof(*d->traces));
	d->seats = carve(a, d->seat_mask + 1u, sizeof(uint32_t));
	d->traces_free = carve(a, config->nr_traces, sizeof(uint32_t));
	d->sort_at = carve(a, HS_IX_SORT_PARTS, sizeof(*d->sort_at));
	d->buffers_free = carve(a, config->nr_buffers, sizeof(uint32_t));
	d->chunks = carve(a, nr_chunks(config), sizeof(*d->chunks));
	d->more = carve(a, config->nr_traces, sizeof(*d->more));
	return touched < a->used_bytes ? touched : a->used_bytes;
}

size_t
hs_agent_domain_touched_bytes(const struct hs_agent_domain_config *config)
{
	struct hs_agent_domain_config c = domain_defaults(config);
	struct arena a = {NULL, 0};

	return domain_layout(NULL, &a, &c);
}

size_t hs_agent_domain_size_bytes(const struct hs_agent_domain_config *config)
{
	struct hs_agent_domain_config c = domain_defaults(config);
	struct arena a = {NULL, 0};

	domain_layout(NULL, &a, &c);
	return a.used_bytes + LINE_BYTES; /* to align it */
}

size_t hs_agent_domain_ledger_bytes(const struct hs_agent_domain_config *config)
{
	struct hs_agent_domain_config c = domain_defaults(config);
	struct arena a = {NULL, 0};

	carve(&a, 1, sizeof(struct hs_ledger_domain));
	carve(&a, c.nr_buffers, sizeof(struct hs_ledger_buffer));
	carve(&a, c.nr_crumbs, sizeof(struct hs_ledger_crumb));
	carve(&a, nr_evicted(&c), sizeof(uint64_t));
	carve(&a, nr_chunks(&c), sizeof(uint32_t));
	return a.used_bytes;
}

static int domain_ledger_open(struct hs_domain *d, void *memory,
			      const struct hs_agent_domain_config *config,
			      uint64_t seed)
{
	struct hs_ledger_domain *l = memory;
	struct arena a = {memory, 0};
	size_t total = hs_agent_domain_ledger_bytes(config);

	carve(&a, 1, sizeof(*l));
	d->losses = l->losses;
	d->buffers = carve(&a, d->nr_buffers, sizeof(*d->buffers));
	d->crumbs = carve(&a, d->nr_crumbs, sizeof(*d->crumbs));
	d->nr_evicted = nr_evicted(config);
	d->evicted = carve(&a, d->nr_evicted, sizeof(*d->evicted));
	d->chunk_words = carve(&a, d->nr_chunks, sizeof(*d->chunk_words));
	if (hs_ledger_get64(&l->magic) == HS_LEDGER_DOMAIN_MAGIC)
		return l->version == HS_LEDGER_VERSION &&
				       l->nr_buffers == d->nr_buffers &&
				       l->buffer_bytes == d->buffer_bytes &&
				       l->nr_crumbs == d->nr_crumbs &&
				       l->nr_classes == config->nr_classes &&
				       l->class_factor ==
					       config->class_factor &&
				       l->chunk_units == config->chunk_units &&
				       l->nr_nodes == config->nr_nodes &&
				       l->total_bytes == total
			       ? 0
			       : -EPROTO;
	l->version = HS_LEDGER_VERSION;
	l->nr_buffers = d->nr_buffers;
	l->buffer_bytes = d->buffer_bytes;
	l->nr_crumbs = d->nr_crumbs;
	l->nr_classes = config->nr_classes;
	l->class_factor = config->class_factor;
	l->chunk_units = config->chunk_units;
	l->nr_nodes = config->nr_nodes;
	l->chunks_offset = (uint64_t)((uint8_t *)d->chunk_words - (uint8_t *)l);
	l->buffers_offset = (uint64_t)((uint8_t *)d->buffers - (uint8_t *)l);
	l->crumbs_offset = (uint64_t)((uint8_t *)d->crumbs - (uint8_t *)l);
	l->evicted_offset = (uint64_t)((uint8_t *)d->evicted - (uint8_t *)l);
	l->evicted_seed = seed;
	l->total_bytes = total;
	hs_ledger_set64(&l->magic, HS_LEDGER_DOMAIN_MAGIC);
	return 0;
}

int hs_agent_core_domain_add(struct hs_agent_core *core, uint32_t domain,
			     void *memory, void *ledger,
			     const struct hs_agent_domain_config *config,
			     uint64_t now_ns)
{
	struct hs_agent_domain_config dc = domain_defaults(config);
	uintptr_t line = ((uintptr_t)memory + LINE_BYTES - 1) &
			 ~(uintptr_t)(LINE_BYTES - 1);
	struct arena a = {(uint8_t *)line, 0};
	struct hs_domain *d;
	int rc;

	if (domain >= HS_AGENT_DOMAINS_MAX || core->domains[domain].live)
		return -ENOSPC;
	if (!shape_good(&dc))
		return -EINVAL;
	d = &core->domains[domain];
	*d = (struct hs_domain){
		.id = domain,
		.nr_buffers = dc.nr_buffers,
		.buffer_bytes = dc.buffer_bytes,
		.nr_crumbs = dc.nr_crumbs,
		.nr_traces = dc.nr_traces,
		.weight = dc.weight,
		.nr_classes = dc.nr_classes,
		.nr_nodes = dc.nr_nodes,
		.node_buffers = dc.nr_buffers / dc.nr_nodes,
		.nr_chunks = nr_chunks(&dc),
		.chunk_shift = (uint32_t)__builtin_ctz(dc.chunk_units),
		.unit_shift = (uint32_t)__builtin_ctz(dc.buffer_bytes /
						      HS_SHM_REF_UNIT_BYTES),
	};
	for (uint32_t i = 0; i < HS_AGENT_TRIGGERS_MAX; i++)
		for (uint32_t k = 0; k < HS_ORDERS; k++)
			d->queues[i].root[k] = HS_NIL;
	for (uint32_t i = 0; i < dc.nr_classes; i++)
		d->class_units[i] = class_units(&dc, i);
	rc = domain_ledger_open(d, ledger, &dc, ~core->config.index_seed);
	if (rc)
		return rc;
	d->seed = ((struct hs_ledger_domain *)ledger)->evicted_seed;
	d->parts_say = ((struct hs_ledger_domain *)ledger)->parts_say;
	domain_layout(d, &a, &dc);
	hs_ix_init(d);
	hs_chunks_init(d);
	core->domain_order[core->nr_domains++] = domain;
	hs_adopt_domain(core, d, now_ns);
	hs_ledger_set32(&((struct hs_ledger_domain *)ledger)->parts_say, 1);
	/* index.W3 release, pairs index.R3: the domain before its live. */
	__atomic_store_n(&d->live, true, __ATOMIC_RELEASE);
	return 0;
}

uint32_t hs_agent_core_process_new(struct hs_agent_core *core)
{
	uint32_t process = core->ledger->next_process + 1;

	if (process == 0)
		process = 1;
	hs_ledger_set32(&core->ledger->next_process, process);
	return process;
}

bool hs_agent_core_wants_scan(const struct hs_agent_core *core, uint64_t now_ns)
{
	if (now_ns - core->scan_ns < core->scan_gap_ns)
		return false;
	return core->nr_dirty || hs_outbox_repeats(core, now_ns) ||
	       core->seeks.nr || core->pending_head != core->pending_tail ||
	       now_ns >= core->groups_due_ns ||
	       now_ns >= hs_budgets_due_ns(core) ||
	       (core->open_fired && now_ns >= core->open_scan_ns);
}

void hs_agent_core_begin_scan(struct hs_agent_core *core, uint64_t now_ns)
{
	if (++core->scan == 0)
		core->scan = 1;
	core->scan_ns = now_ns;
	if (!core->open_fired || now_ns < core->open_scan_ns)
		return;
	/* A handle's END may be consumed while its slot is still live: the
	 * scan after that says open, and nothing else ever comes. So whatever
	 * was told to be open is answered for again. */
	core->open_fired = false;
	for (uint32_t i = 0; i < core->fired_used; i++)
		if (core->fired[i].live &&
		    core->fired_rt[i].told.state == HS_WIRE_STATE_OPEN)
			hs_fired_dirty(core, i);
}

void hs_agent_core_slot(struct hs_agent_core *core, uint32_t domain,
			uint32_t process, const struct hs_shm_slot *slot,
			const struct hs_shm_buffer *h, uint64_t now_ns)
{
	struct hs_domain *d = hs_domain_get(core, domain);
	struct hs_ix_trace *t;
	uint32_t i, fired, buffer;

	if (!d || !(slot->trace_hi | slot->trace_lo))
		return;
	if (core->seeks.nr)
		hs_seek_slot(core, slot->trace_hi, slot->trace_lo);
	fired = hs_fired_find(core, slot->trace_hi, slot->trace_lo);
	if (fired == HS_NIL ||
	    !hs_sample_kept(core, slot->trace_hi, slot->trace_lo))
		return;
	i = hs_ix_get(core, d, slot->trace_hi, slot->trace_lo, now_ns);
	if (i == HS_NIL)
		return;
	t = &d->traces[i];
	hs_ix_more(d, i)->open_scan = core->scan;
	hs_answer_look_again(core);
	if (!t->visited) {
		hs_ix_visit(core, d, i, process, now_ns);
	} else {
		/* It may never get to say a word of it. */
		t->several |= t->process != process;
		hs_loss_took_part(core, d, fired, process, false, now_ns,
				  now_ns);
		if (core->fired_rt[fired].told.state != HS_WIRE_STATE_OPEN)
			hs_fired_dirty(core, fired);
	}
	hs_ix_touch(d, i, now_ns);
	/* Its header goes out once: not before it says where records start. */
	if (!h || !h->first_record ||
	    now_ns - core->fired_rt[fired].first_ns < core->config.open_ship_ns)
		return;
	buffer = hs_buffer_of_word(d, slot->buffer, process);
	if (buffer != HS_NIL && h->magic == HS_SHM_BUF_MAGIC &&
	    h->stock_word == slot->buffer && h->trace_hi == slot->trace_hi &&
	    h->trace_lo == slot->trace_lo && h->handle == slot->handle)
		hs_report_open(core, d, i, buffer, h, now_ns);
}

void hs_agent_core_end_scan(struct hs_agent_core *core)
{
	core->scanned = true;
}

uint32_t hs_agent_core_recent(const struct hs_agent_core *core, uint32_t domain,
			      uint32_t process, uint64_t since_ns,
			      struct hs_wire_trace_id *out, uint32_t nr_out)
{
	const struct hs_domain *d = hs_domain_look(core, domain);
	uint32_t n = 0, at = 0, i;

	while (d && n < nr_out && (i = hs_ix_newest_next(d, &at)) != HS_NIL) {
		const struct hs_ix_trace *t = &d->traces[i];

		if (t->last_ns < since_ns)
			break;
		if (process && t->process != process && !t->several)
			continue;
		out[n++] = (struct hs_wire_trace_id){t->hi, t->lo};
	}
	return n;
}

static void message_collect(struct hs_agent_core *c, uint64_t from_node,
			    struct hs_wire_reader *r, uint64_t now_ns)
{
	const struct hs_wire_group *g = hs_wire_take_group(r);
	const struct hs_wire_trace_id *ids =
		g ? hs_wire_take(r, g->nr * sizeof(*ids)) : NULL;

	if (!ids || !hs_wire_done(r)) {
		c->stats.messages_bad++;
		return;
	}
	hs_fired_collect(c, from_node, g, ids, now_ns);
}

static void message_seek(struct hs_agent_core *c, uint64_t from_node,
			 struct hs_wire_reader *r)
{
	const struct hs_wire_trace_id *ids;
	const struct hs_wire_seek *seek = hs_wire_take_seek(r, &ids);

	if (seek && hs_wire_done(r))
		hs_seek_message(c, from_node, seek, ids);
	else
		c->stats.messages_bad++;
}

static void message_slice_ack(struct hs_agent_core *c, struct hs_wire_reader *r)
{
	const struct hs_wire_slice_ack *ack = hs_wire_take(r, sizeof(*ack));
	const uint64_t *keys = ack && ack->nr <= HS_WIRE_ACKS_MAX
				       ? hs_wire_take(r, ack->nr * 8u)
				       : NULL;

	if (!keys || !hs_wire_done(r)) {
		c->stats.messages_bad++;
		return;
	}
	for (uint32_t i = 0; i < ack->nr; i++)
		hs_report_ack(c, keys[i], ack->refused != 0);
}

void hs_agent_core_message(struct hs_agent_core *core, uint64_t from_node,
			   uint16_t type, const void *payload,
			   uint32_t payload_bytes, uint64_t now_ns)
{
	struct hs_wire_reader r = hs_wire_reader_make(payload, payload_bytes);
	const struct hs_wire_refused *refused;
	const struct hs_wire_stored *stored;

	switch (type) {
	case HS_WIRE_COLLECT:
		message_collect(core, from_node, &r, now_ns);
		return;
	case HS_WIRE_SEEK:
		message_seek(core, from_node, &r);
		return;
	case HS_WIRE_SLICE_ACK:
		message_slice_ack(core, &r);
		return;
	case HS_WIRE_STORED:
		stored = hs_wire_take(&r, sizeof(*stored));
		if (stored && hs_wire_done(&r))
			hs_fired_stored(core, stored);
		else
			core->stats.messages_bad++;
		return;
	case HS_WIRE_REFUSED:
		refused = hs_wire_take(&r, sizeof(*refused));
		if (refused && hs_wire_done(&r))
			hs_outbox_refused(core, from_node, refused, now_ns);
		else
			core->stats.messages_bad++;
		return;
	default:
		core->stats.messages_bad++;
	}
}

void hs_agent_core_collector_up(struct hs_agent_core *core, uint64_t now_ns)
{
	(void)now_ns;
	hs_report_resend(core);
	hs_queue_back(core);
}

void hs_agent_core_routes_changed(struct hs_agent_core *core)
{
	hs_queue_back(core);
}

bool hs_agent_core_away(const struct hs_agent_core *core)
{
	return core->nr_away;
}

void hs_agent_core_coordinator_up(struct hs_agent_core *core, uint64_t node,
				  uint64_t now_ns)
{
	hs_budget_forget(core, (uint32_t)(node >> 32), now_ns);
	hs_outbox_again(core, 0, now_ns);
	hs_outbox_again(core, (uint32_t)(node >> 32), now_ns);
}

void hs_agent_core_coordinator_down(struct hs_agent_core *core, uint64_t node,
				    uint64_t now_ns)
{
	hs_budget_forget(core, (uint32_t)(node >> 32), now_ns);
	hs_outbox_again(core, (uint32_t)(node >> 32), now_ns);
}

void hs_agent_core_tick(struct hs_agent_core *core, uint64_t now_ns)
{
	core->now_ns = now_ns;
	if (core->scanned) {
		core->scanned = false;
		hs_outbox_run(core, now_ns);
	}
	if (now_ns - core->swept_ns > ACK_PATIENCE_NS)
		hs_report_sweep(core, now_ns);
	hs_report_run(core, now_ns);
	hs_queue_overload(core, now_ns);
	hs_fired_tainted(core, now_ns);
	hs_fired_forget(core, now_ns);
}

bool hs_agent_core_busy(const struct hs_agent_core *core)
{
	return core->nr_dirty || core->nr_again || core->seeks.nr ||
	       core->nr_waiting || core->pending_head != core->pending_tail ||
	       core->nr_queued > core->nr_away;
}
