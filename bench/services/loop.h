/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the engine: a thread that runs the calls of its services to
 * completion, as a kernel-bypass RPC stack would: many requests in flight,
 * each with an explicit trace handle, messages taken and given in batches.
 *
 * Guarantees: no allocation and no system call while there is work. Calls for
 * which there is no slot are answered at once, as refused, so that no two
 * loops wait for each other.
 */
#ifndef HS_BENCH_SERVICES_LOOP_H
#define HS_BENCH_SERVICES_LOOP_H

#include <hs/autotrigger.h>
#include <hs/hindsight.h>

#include "base/random.h"
#include "bench/services/world.h"

#define HS_SVC_CALLS_MAX 32768u
#define HS_SVC_BATCH	 32u

/* A call that is being served. */
struct hs_svc_call {
	struct hs_trace *trace;
	struct hs_span span;
	struct hs_trace_id id;
	uint64_t span_id, parent_id, start_ns; /* OTLP */
	uint64_t start;			       /* ticks */
	uint64_t waited;		       /* ticks */
	uint64_t due;			       /* ticks; asleep until then */
	uint64_t nodes;
	uint32_t caller_slot, spans, calls, pending;
	uint16_t api, from;
	uint8_t marks, flags; /* flags: of the context */
};

/* A call that it made. */
struct hs_svc_child {
	struct hs_span span;
	uint64_t span_id, start_ns;
	uint32_t call;
	uint16_t api;
};

struct hs_svc_peer {
	struct hs_svc_end calls_in, replies_out; /* it calls us */
	struct hs_svc_end calls_out, replies_in; /* we call it */
};

struct hs_svc_exporter;

struct hs_svc_loop {
	struct hs_svc_world *world;
	const struct hs_svc_topology *topology;
	const struct hs_svc_settings *settings;
	struct hs_svc_loop_stats *stats;
	uint32_t index, node, process;
	struct hs_random random;
	struct hs_svc_worker worker;

	struct hs_svc_call *calls;
	struct hs_svc_child *children;
	uint32_t *free_calls, *free_children;
	uint32_t nr_free_calls, nr_free_children;
	uint32_t *asleep; /* a heap by due */
	uint32_t nr_asleep;

	struct hs_svc_peer *peers; /* by loop, the generator last */
	struct hs_svc_links links; /* none over shared memory */
	uint16_t *callers, *callees;
	uint32_t nr_callers, nr_callees;
	/* Messages that found a ring full: to, and whether a reply. */
	struct hs_svc_parked *parked;
	uint32_t nr_parked;

	/* Tracing. */
	bool many_services;		/* of this process */
	struct hs_resource **resources; /* by service */
	struct hs_trigger *edge, *faulty;
	struct hs_auto_percentile *percentile;
	struct hs_auto_queue *queue;
	struct hs_svc_exporter *exporter;
	double ns_per_tick;
};

struct hs_svc_parked {
	uint16_t to;
	bool reply;
	struct hs_svc_message message;
};

/** hs_svc_loop_open() - Own: hs_svc_loop_close(). Return: 0 or -errno */
int hs_svc_loop_open(struct hs_svc_loop *loop, struct hs_svc_world *world,
		     uint32_t index);
void hs_svc_loop_close(struct hs_svc_loop *loop);
/** hs_svc_loop_poll() - a round. Return: messages and timers dealt with */
uint32_t hs_svc_loop_poll(struct hs_svc_loop *loop);

/* Whether symptoms show and triggers watch at this call. */
static inline bool hs_svc_loop_watched(const struct hs_svc_loop *l,
				       const struct hs_svc_call *c)
{
	uint32_t at = l->settings->edge_service;

	return at == HS_SVC_SERVICES_MAX
		       ? c->from == l->world->plan.nr_loops
		       : l->topology->apis[c->api].service == at;
}

#endif
