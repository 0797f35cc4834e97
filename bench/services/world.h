/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what all processes of a run of services share: what was asked for
 * (made before they fork), the rings between them, and what each leaves. One
 * mapping, shared by fork; each word has one writer.
 *
 * Counts are plain words: their readers wait for the writer's exit, or for
 * `phase`, first.
 */
#ifndef HS_BENCH_SERVICES_WORLD_H
#define HS_BENCH_SERVICES_WORLD_H

#include <stdatomic.h>

#include "base/histogram.h"
#include "bench/services/link.h"
#include "bench/services/plan.h"
#include "bench/services/ring.h"
#include "bench/services/work.h"

#define HS_SVC_TRUTHS_MAX (1u << 20)
#define HS_SVC_KEPT_MAX	  (1u << 20)

enum hs_svc_tracer {
	HS_SVC_TRACER_BARE, /* not even services: messages alone */
	HS_SVC_TRACER_NONE,
	HS_SVC_TRACER_HINDSIGHT,
	HS_SVC_TRACER_HEAD,
	HS_SVC_TRACER_TAIL_SYNC,
	HS_SVC_TRACER_TAIL_ASYNC,
};

enum hs_svc_over { HS_SVC_OVER_RINGS, HS_SVC_OVER_TCP, HS_SVC_OVER_DPDK };

enum hs_svc_idle { HS_SVC_IDLE_SPIN, HS_SVC_IDLE_YIELD, HS_SVC_IDLE_SLEEP };

enum hs_svc_symptom {
	HS_SVC_SYMPTOM_MARKED,
	HS_SVC_SYMPTOM_SLOW,
	HS_SVC_SYMPTOM_FAILING,
};

enum hs_svc_trigger {
	HS_SVC_TRIGGER_NONE,
	HS_SVC_TRIGGER_FIRE,
	HS_SVC_TRIGGER_EXCEPTION,
	HS_SVC_TRIGGER_PERCENTILE,
	HS_SVC_TRIGGER_QUEUE,
	HS_SVC_TRIGGER_RULE,
};

#define HS_SVC_PAYLOAD_MAX 65536u

struct hs_svc_settings {
	enum hs_svc_as as;
	enum hs_svc_over over; /* what calls travel over */
	enum hs_svc_work work;
	double time_scale;
	uint64_t working_set_bytes;
	enum hs_svc_idle idle;
	uint32_t cpus; /* to pin loops to, from 0 on; 0: do not pin */

	double rate;	   /* requests a second */
	uint64_t requests; /* at most, all in all; 0: no end */
	bool constant;
	uint64_t warm_ns, span_ns, drain_ns;
	uint64_t settle_ns; /* for what is under way to the collector */
	uint32_t in_flight;
	uint64_t seed;

	enum hs_svc_tracer tracer;
	double head_share; /* HEAD: sampled at the root */
	bool fabric_head;  /* HINDSIGHT: by the agents' sampling.head_ppm */
	char otlp_host[128], otlp_path[128];
	uint16_t otlp_port; /* 0: our own, once it listens */

	uint64_t payload_bytes; /* that each call writes besides its spans */

	double edge, faulty; /* shares of requests */
	enum hs_svc_symptom symptom;
	uint32_t edge_service; /* HS_SVC_SERVICES_MAX: where requests begin */
	uint64_t slow_ns;
	enum hs_svc_trigger trigger;
	double percentile;
	uint64_t burst_at_ns, burst_ns; /* after the warm-up; how long each */
	uint32_t burst_nr;
	bool all_truths; /* remember every request, not edge cases alone */
};

/* What a loop leaves. */
struct hs_svc_loop_stats {
	_Alignas(64) uint64_t calls;
	uint64_t calls_before; /* of these before the span */
	uint64_t refused;      /* no room for a call or a child */
	uint64_t contexts_bad; /* that did not decode */
	uint64_t fired, fires_refused;
	uint64_t busy_ticks; /* while measuring, in rounds with work */
	uint64_t stalls;     /* of these rounds those that stood still */
	struct hs_svc_traffic traffic; /* while measuring */
	uint64_t cpu_ns;	       /* of the thread, while measuring */
	uint64_t spans_sent, spans_dropped, posts_failed, bytes_sent; /* OTLP */
	uint64_t exporter_cpu_ns;
};

/* What a process that is attached leaves. */
struct hs_svc_process_stats {
	_Alignas(64) uint64_t lost; /* records and traces, by the library */
	uint64_t lost_before;	    /* of these before the span */
	uint64_t buffers_null, entries_lost, handles_lost, triggers_limited;
	_Atomic uint32_t ready; /* 1: serves; 2: could not */
};

/* A request as the generator saw it. */
struct hs_svc_truth {
	uint64_t hi, lo;
	uint64_t nodes;	     /* bits of those that were there */
	uint64_t latency_ns; /* from when it was meant to be sent */
	uint64_t at_ns;	     /* when that was, after the warm-up began */
	uint32_t spans, calls;
	uint16_t api;
	uint8_t marks;
};

struct hs_svc_generator_stats {
	uint64_t sent, received;   /* all in all */
	uint64_t measured;	   /* replies within the span */
	uint64_t due;		   /* requests that were meant to be in it */
	uint64_t unsent;	   /* of these those that were not sent */
	uint64_t refused, calls;   /* within the span */
	uint64_t begin_ns, end_ns; /* of the span; monotonic */
	struct hs_svc_traffic traffic; /* within the span */
	uint64_t truths_left_out;
	uint64_t nr_truths;
	struct hs_histogram latency;
};

/* What a collector that samples at the tail has kept. */
struct hs_svc_kept {
	uint64_t hi, lo;
	uint32_t spans;
	uint32_t reserved;
};

struct hs_svc_sink_stats {
	_Atomic uint32_t port; /* it listens there */
	uint64_t spans, bytes, posts, malformed;
	uint64_t traces, late; /* spans after the decision */
	uint64_t traces_over;  /* no room to remember */
	uint64_t cpu_ns;
	uint64_t nr_kept;
	struct hs_svc_kept kept[HS_SVC_KEPT_MAX];
};

enum hs_svc_phase {
	HS_SVC_PHASE_STARTING,
	HS_SVC_PHASE_WARM,
	HS_SVC_PHASE_MEASURED, /* the span */
	HS_SVC_PHASE_DRAIN,
	HS_SVC_PHASE_DRAINED,
};

struct hs_svc_world {
	/* Written before the fork. */
	struct hs_svc_settings settings;
	struct hs_svc_plan plan;
	struct hs_svc_topology topology; /* its arrays are copied by the fork */
	char sockets[HS_SVC_NODES_MAX][256]; /* of applications */
	/* Over TCP, of each pair: the caller's end, the callee's; copied by the
	 * fork, as arrays of the topology are. */
	int (*connections)[2];
	int launcher; /* its pid, by which connections of DPDK are named */

	_Alignas(64) _Atomic uint32_t go;    /* the launcher's */
	_Atomic uint32_t stop;		     /* the launcher's */
	_Atomic uint32_t nr_parted;	     /* threads that poll no more */
	_Alignas(64) _Atomic uint32_t phase; /* the generator's */

	struct hs_svc_loop_stats loops[HS_SVC_LOOPS_MAX];
	struct hs_svc_process_stats processes[HS_SVC_LOOPS_MAX];
	_Alignas(64) uint64_t calls_of_service[HS_SVC_SERVICES_MAX];
	struct hs_svc_generator_stats generator;
	struct hs_svc_truth truths[HS_SVC_TRUTHS_MAX];
	struct hs_svc_sink_stats sink;
	/* Two of each pair: calls, then replies. */
	_Alignas(64) struct hs_svc_ring rings[];
};

static inline const char *hs_svc_over_name(enum hs_svc_over over)
{
	static const char *const names[] = {"rings", "tcp", "dpdk"};

	return names[over];
}

/** hs_svc_world_make() - NULL without memory */
struct hs_svc_world *hs_svc_world_make(const struct hs_svc_settings *settings,
				       const struct hs_svc_plan *plan,
				       const struct hs_svc_topology *topology);
void hs_svc_world_free(struct hs_svc_world *world);

static inline bool hs_svc_stopping(struct hs_svc_world *w)
{
	/* svc_world.R1 relaxed: nothing is read because of it. */
	return atomic_load_explicit(&w->stop, memory_order_relaxed);
}

static inline enum hs_svc_phase hs_svc_phase_get(struct hs_svc_world *w)
{
	/* svc_world.R2 acquire, pairs svc_world.W2: counts before phase. */
	return (enum hs_svc_phase)atomic_load_explicit(&w->phase,
						       memory_order_acquire);
}

#endif
