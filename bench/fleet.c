/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see fleet.h. */
#include "bench/fleet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/crc32c.h"
#include "base/hash.h"

#define COORDINATOR_ID 0x00f0000000000001ull
#define COLLECTOR_ID   0x00e0000000000001ull
#define HEADER_BYTES   sizeof(struct hs_shm_buffer)
#define START_NS       1000000000ull
#define SEED	       0x9e3779b97f4a7c55ull

static const uint8_t cluster_key[16] = {1, 2, 3};

/* What every buffer of the fleet holds: what is in them is no matter here. */
static const uint8_t content[HS_WIRE_SLICE_MAX_BYTES];

static void *memory_of(size_t size_bytes)
{
	void *p = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		abort();
	return p;
}

static struct hs_fleet_message *message(struct hs_fleet *f, uint32_t to,
					uint64_t from, uint16_t type,
					uint32_t bytes)
{
	struct hs_fleet_message *m = malloc(sizeof(*m) + bytes);

	if (!m)
		abort();
	*m = (struct hs_fleet_message){.due_ns = f->now_ns + HS_FLEET_ROUND_NS,
				       .to = to,
				       .from = from,
				       .type = type,
				       .bytes = bytes};
	*f->last = m;
	f->last = &m->next;
	return m;
}

static void send(struct hs_fleet *f, uint32_t to, uint64_t from, uint16_t type,
		 const void *payload, uint32_t bytes)
{
	memcpy(message(f, to, from, type, bytes)->payload, payload, bytes);
}

/* ---- agents ---------------------------------------------------------------
 */

/* Where nobody coordinates, what is said is heard all the same. */
static void stored(struct hs_fleet *f, uint32_t agent, const void *payload)
{
	const struct hs_wire_group *g = payload;
	struct hs_wire_stored m = {g->trigger.origin, g->trigger.key};

	send(f, agent, COORDINATOR_ID, HS_WIRE_STORED, &m, sizeof(m));
}

static void say(struct hs_fleet_agent *a, uint16_t type, const void *payload,
		uint32_t bytes)
{
	if (a->fleet->coordinator)
		send(a->fleet, HS_FLEET_COORDINATOR, a->id, type, payload,
		     bytes);
	else if (type == HS_WIRE_UPDATE)
		stored(a->fleet, a->number, payload);
}

static uint64_t agent_to_coordinator(void *ctx,
				     const struct hs_wire_trace_id *primary,
				     uint32_t attempt, uint16_t type,
				     const void *payload, uint32_t bytes)
{
	say(ctx, type, payload, bytes);
	return COORDINATOR_ID;
}

static uint64_t agent_coordinator(void *ctx,
				  const struct hs_wire_trace_id *primary,
				  uint32_t attempt)
{
	return COORDINATOR_ID;
}

static bool agent_to_node(void *ctx, uint64_t node, uint16_t type,
			  const void *payload, uint32_t bytes)
{
	say(ctx, type, payload, bytes);
	return true;
}

static enum hs_agent_shipped agent_ship(void *ctx,
					const struct hs_agent_slice *slice)
{
	struct hs_fleet_agent *a = ctx;
	struct hs_fleet *f = a->fleet;
	struct hs_wire_slice head = slice->head;
	struct hs_fleet_message *m;

	head.crc = hs_crc32c(0, content, head.length_bytes);
	a->bytes_shipped += head.length_bytes;
	if (f->on_ship)
		f->on_ship(f->on_ship_ctx, a->number, &head);
	m = message(f, HS_FLEET_COLLECTOR, a->id, HS_WIRE_SLICE,
		    (uint32_t)sizeof(head) + head.length_bytes);
	memcpy(m->payload, &head, sizeof(head));
	memcpy(m->payload + sizeof(head), content, head.length_bytes);
	return HS_AGENT_SHIP_COPIED;
}

static const struct hs_agent_ops agent_ops = {
	agent_to_coordinator, agent_to_node, agent_ship, agent_coordinator};

static void agent_make(struct hs_fleet *f, uint32_t number)
{
	struct hs_fleet_agent *a = &f->agents[number];
	struct hs_agent_domain_config domain = {
		.nr_buffers = (uint32_t)(f->config.pool_bytes[number] /
					 f->config.buffer_bytes),
		.buffer_bytes = f->config.buffer_bytes};
	struct hs_agent_config config = {.index_seed = SEED + number,
					 .nr_fired = f->config.nr_fired,
					 .kept_ppm = f->config.kept_ppm,
					 .head_ppm = f->config.head_ppm,
					 .window_bytes = 1 << 20,
					 .bytes_per_s =
						 f->config.bytes_per_s[number]};

	memcpy(config.cluster_key, cluster_key, sizeof(cluster_key));
	a->fleet = f;
	a->number = number;
	a->id = config.node_id = (uint64_t)(number + 1) << 32 | 1;
	a->size_bytes[0] = hs_agent_core_size_bytes(&config);
	a->size_bytes[1] = hs_agent_node_ledger_bytes(&config);
	a->size_bytes[2] = hs_agent_domain_size_bytes(&domain);
	a->size_bytes[3] = hs_agent_domain_ledger_bytes(&domain);
	for (int i = 0; i < 4; i++)
		a->memory[i] = memory_of(a->size_bytes[i]);
	a->core = hs_agent_core_create(a->memory[0], a->memory[1], &config,
				       &agent_ops, a, f->now_ns, 0);
	if (!a->core ||
	    hs_agent_core_domain_add(a->core, 0, a->memory[2], a->memory[3],
				     &domain, f->now_ns))
		abort();
	a->process = hs_agent_core_process_new(a->core);
}

static void entries(struct hs_fleet *f, struct hs_fleet_agent *a,
		    const struct hs_shm_entry *e, uint32_t nr)
{
	if (hs_agent_core_entries(a->core, 0, a->process, e, nr, f->names,
				  f->config.nr_names, f->now_ns) != nr)
		abort();
}

static void write_buffer(struct hs_fleet *f, struct hs_fleet_agent *a,
			 struct hs_wire_trace_id id, uint32_t bytes,
			 uint32_t seq, bool last)
{
	struct hs_shm_entry e = {.trace_hi = id.hi,
				 .trace_lo = id.lo,
				 .handle = 1,
				 .seq = (uint16_t)seq,
				 .type = last ? HS_SHM_ENTRY_END
					      : HS_SHM_ENTRY_BUFFER};
	uint64_t word = hs_agent_core_stock(a->core, 0, a->process);

	a->nr_buffers++;
	e.u.buffer.ref = hs_shm_stock_ref(word);
	e.u.buffer.committed = (uint32_t)HEADER_BYTES + bytes;
	if (!word) {
		a->nr_nulls++;
		e.type = HS_SHM_ENTRY_END;
		e.aux = 1;
		e.u.buffer.ref = HS_SHM_NO_BUFFER;
		e.u.buffer.committed = 0;
	}
	entries(f, a, &e, 1);
}

void hs_fleet_write(struct hs_fleet *f, uint32_t agent,
		    struct hs_wire_trace_id id, uint32_t payload_bytes,
		    uint32_t crumbs)
{
	struct hs_fleet_agent *a = &f->agents[agent];
	uint32_t room = f->config.buffer_bytes - (uint32_t)HEADER_BYTES;

	for (uint32_t i = 0; i < f->config.nr_agents; i++) {
		struct hs_shm_entry e = {.trace_hi = id.hi,
					 .trace_lo = id.lo,
					 .u.arg = f->agents[i].id,
					 .type = HS_SHM_ENTRY_CRUMB};

		if (crumbs >> i & 1)
			entries(f, a, &e, 1);
	}
	for (uint32_t seq = 0; payload_bytes; seq++) {
		uint32_t n = payload_bytes < room ? payload_bytes : room;

		payload_bytes -= n;
		write_buffer(f, a, id, n, seq, payload_bytes == 0);
	}
}

void hs_fleet_fire(struct hs_fleet *f, uint32_t agent, uint32_t name,
		   struct hs_wire_trace_id id)
{
	struct hs_shm_entry e = {.trace_hi = id.hi,
				 .trace_lo = id.lo,
				 .u.arg = name,
				 .type = HS_SHM_ENTRY_TRIGGER};

	entries(f, &f->agents[agent], &e, 1);
}

void hs_fleet_collect(struct hs_fleet *f, uint32_t agent, uint32_t name,
		      struct hs_wire_trace_id id)
{
	struct {
		struct hs_wire_group g;
		struct hs_wire_trace_id id;
	} m = {.g = {.trigger = {.origin = COORDINATOR_ID,
				 .key = id.lo,
				 .priority = hs_hash_siphash(cluster_key, &id,
							     sizeof(id)),
				 .primary = id},
		     .nr = 1},
	       .id = id};

	memcpy(m.g.trigger.name, f->names[name].name, HS_WIRE_NAME_BYTES);
	hs_agent_core_message(f->agents[agent].core, COORDINATOR_ID,
			      HS_WIRE_COLLECT, &m, sizeof(m), f->now_ns);
}

/* ---- the others ------------------------------------------------------------
 */

static bool coordinator_to_node(void *ctx, uint64_t node, uint16_t type,
				const void *payload, uint32_t bytes)
{
	struct hs_fleet *f = ctx;
	uint32_t number = (uint32_t)(node >> 32) - 1;

	if (number >= f->config.nr_agents)
		return false;
	send(f, number, COORDINATOR_ID, type, payload, bytes);
	return true;
}

static bool coordinator_to_collector(void *ctx,
				     const struct hs_wire_trace_id *trace,
				     uint16_t type, const void *payload,
				     uint32_t bytes)
{
	send(ctx, HS_FLEET_COLLECTOR, COORDINATOR_ID, type, payload, bytes);
	return true;
}

static const struct hs_coord_ops coordinator_ops = {
	coordinator_to_node, coordinator_to_collector, NULL};

static int store_slice(void *ctx, const struct hs_wire_slice *slice,
		       const uint8_t *bytes)
{
	return 0;
}

static int store_union(void *ctx, const struct hs_wire_trace_id *trace,
		       const void *blob, uint32_t blob_bytes)
{
	return 0;
}

static void slice_ack(void *ctx, uint32_t peer, uint64_t ship_key, bool refused)
{
	struct {
		struct hs_wire_slice_ack head;
		uint64_t key;
	} m = {{1, refused}, ship_key};

	send(ctx, peer, COLLECTOR_ID, HS_WIRE_SLICE_ACK, &m, sizeof(m));
}

static void manifest_ack(void *ctx, uint32_t peer,
			 const struct hs_wire_manifest_ack *ack)
{
	send(ctx, HS_FLEET_COORDINATOR, COLLECTOR_ID, HS_WIRE_MANIFEST_ACK, ack,
	     sizeof(*ack));
}

static const struct hs_assembly_ops collector_ops = {
	.store_slice = store_slice,
	.store_union = store_union,
	.slice_ack = slice_ack,
	.manifest_ack = manifest_ack,
};

static void coordinator_make(struct hs_fleet *f)
{
	struct hs_coord_config config = {
		.node = COORDINATOR_ID, .epoch = f->now_ns, .seed = SEED};

	f->size_bytes[0] = hs_coord_core_size_bytes(&config);
	f->memory[0] = memory_of(f->size_bytes[0]);
	f->coordinator = hs_coord_core_create(f->memory[0], &config,
					      &coordinator_ops, f, f->now_ns);
	for (uint32_t i = 0; i < f->config.nr_agents; i++)
		hs_coord_core_node_up(f->coordinator, f->now_ns,
				      f->agents[i].id);
	hs_coord_core_collector_up(f->coordinator, f->now_ns);
}

static void collector_make(struct hs_fleet *f)
{
	/* The assembly's own limits at the least. */
	uint32_t n = f->config.nr_traces + 32768;
	struct hs_assembly_limits limits = {.nr_traces = n,
					    .nr_nodes = 4 * n,
					    .nr_buffers = 16 * n,
					    .nr_crumbs = 8 * n,
					    .nr_triggers = 3 * n,
					    .seed = SEED};

	f->size_bytes[1] = hs_assembly_size(&limits);
	if (!f->size_bytes[1])
		abort();
	f->memory[1] = memory_of(f->size_bytes[1]);
	f->collector =
		hs_assembly_create(f->memory[1], &limits, &collector_ops, f);
	if (!f->collector)
		abort();
}

struct hs_fleet *hs_fleet_make(const struct hs_fleet_config *config)
{
	struct hs_fleet *f = calloc(1, sizeof(*f));

	if (!f)
		abort();
	f->config = *config;
	f->now_ns = START_NS;
	f->last = &f->first;
	for (uint32_t i = 0; i < config->nr_names; i++)
		memcpy(f->names[i].name, config->names[i], HS_WIRE_NAME_BYTES);
	for (uint32_t i = 0; i < config->nr_agents; i++)
		agent_make(f, i);
	if (config->has_coordinator)
		coordinator_make(f);
	collector_make(f);
	return f;
}

void hs_fleet_drop(struct hs_fleet *f)
{
	while (f->first) {
		struct hs_fleet_message *m = f->first;

		f->first = m->next;
		free(m);
	}
	for (uint32_t i = 0; i < f->config.nr_agents; i++)
		for (int k = 0; k < 4; k++)
			munmap(f->agents[i].memory[k],
			       f->agents[i].size_bytes[k]);
	for (int k = 0; k < 2; k++)
		if (f->memory[k])
			munmap(f->memory[k], f->size_bytes[k]);
	free(f);
}

/* ---- time -------------------------------------------------------------------
 */

static void durable(struct hs_fleet *f)
{
	uint64_t seq;

	if (hs_assembly_flush(f->collector, &seq) < 0)
		abort();
	hs_assembly_durable(f->collector, seq);
}

static void to_collector(struct hs_fleet *f, const struct hs_fleet_message *m)
{
	uint32_t peer = m->from == COORDINATOR_ID
				? HS_FLEET_COORDINATOR
				: (uint32_t)(m->from >> 32) - 1;
	int rc = hs_assembly_message(f->collector, peer, m->type, m->payload,
				     m->bytes);

	if (rc == HS_ASSEMBLY_BUSY) {
		durable(f);
		rc = hs_assembly_message(f->collector, peer, m->type,
					 m->payload, m->bytes);
	}
	if (rc != HS_ASSEMBLY_TAKEN) {
		fprintf(stderr, "hs-perf: the collector says %d\n", rc);
		abort();
	}
}

static void deliver(struct hs_fleet *f, const struct hs_fleet_message *m)
{
	if (m->to == HS_FLEET_COLLECTOR)
		to_collector(f, m);
	else if (m->to != HS_FLEET_COORDINATOR)
		hs_agent_core_message(f->agents[m->to].core, m->from, m->type,
				      m->payload, m->bytes, f->now_ns);
	else if (f->coordinator &&
		 hs_coord_core_message(f->coordinator, f->now_ns, m->from,
				       m->type, m->payload, m->bytes))
		abort();
}

void hs_fleet_round(struct hs_fleet *f)
{
	f->now_ns += HS_FLEET_ROUND_NS;
	while (f->first && f->first->due_ns <= f->now_ns) {
		struct hs_fleet_message *m = f->first;

		f->first = m->next;
		if (!f->first)
			f->last = &f->first;
		deliver(f, m);
		free(m);
	}
	if (f->coordinator)
		hs_coord_core_tick(f->coordinator, f->now_ns);
	durable(f);
	for (uint32_t i = 0; i < f->config.nr_agents; i++) {
		struct hs_agent_core *core = f->agents[i].core;

		if (hs_agent_core_wants_scan(core, f->now_ns)) {
			hs_agent_core_begin_scan(core, f->now_ns);
			hs_agent_core_end_scan(core);
		}
		hs_agent_core_tick(core, f->now_ns);
	}
}

bool hs_fleet_busy(const struct hs_fleet *f)
{
	struct hs_coord_stats stats = {0};

	if (f->first)
		return true;
	for (uint32_t i = 0; i < f->config.nr_agents; i++)
		if (hs_agent_core_busy(f->agents[i].core))
			return true;
	if (f->coordinator)
		hs_coord_core_stats_get(f->coordinator, &stats);
	return stats.nr_seeking || stats.nr_telling;
}

void hs_fleet_check(const struct hs_fleet *f)
{
	const char *why;

	for (uint32_t i = 0; i < f->config.nr_agents; i++)
		if (!hs_agent_core_check(f->agents[i].core, &why)) {
			fprintf(stderr, "hs-perf: agent %u: %s\n", i, why);
			abort();
		}
	if (f->coordinator && !hs_coord_core_check(f->coordinator, &why)) {
		fprintf(stderr, "hs-perf: coordinator: %s\n", why);
		abort();
	}
}
