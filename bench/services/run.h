/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: one run: a fabric of real daemons (or a collector that samples at
 * the tail), the processes of the services, the load, and in the end what was
 * captured, held against what the generator saw.
 */
#ifndef HS_BENCH_SERVICES_RUN_H
#define HS_BENCH_SERVICES_RUN_H

#include <jansson.h>

#include "bench/services/world.h"
#include "collector/assembly.h"

struct hs_svc_fabric_options {
	uint64_t pool_bytes;
	uint32_t small_node;	 /* with small_bytes: its pool instead */
	uint64_t small_bytes;	 /* 0: all alike */
	uint64_t byte_rate;	 /* of each agent's reports; 0: no limit */
	double head_share;	 /* sampling.head_ppm */
	const char *rule;	 /* YAML lines of one rule, or NULL */
	const char *daemon_cpus; /* "0-1", NULL: any */
};

/* What a group of requests came to. */
struct hs_svc_capture {
	uint64_t all, whole, partial, open, missing;
	/* Of the partial ones, by what a node said. */
	uint64_t causes[HS_ASSEMBLY_NR_WHYS];
};

struct hs_svc_outcome {
	double seconds; /* of the span */
	double offered, achieved;
	double lost_share;    /* records and traces, of those in the span */
	uint64_t lost_before; /* while it warmed up */
	uint64_t spans_expected;
	uint64_t client_cpu_ns, client_busy_ns, daemon_cpu_ns, sink_cpu_ns;
	struct hs_svc_traffic traffic; /* in the span; over TCP */
	uint64_t measured;	       /* requests in the span */
	uint64_t daemon_cpu_of[3];     /* agents, coordinator, collector */
	struct hs_svc_capture edge, faulty, costly, any;
	uint64_t network_bytes; /* all that was sent, once */
	uint64_t traces_bytes;	/* of the traces that were collected */
	uint64_t slices_bytes;	/* of these that travelled */
	uint64_t written_bytes; /* trace data that agents saw, in the span */
	uint64_t nr_collected;
	uint64_t horizon_ns;	 /* the least of all agents' */
	uint64_t calls_compared; /* services called often enough to tell */
	double calls_off;	 /* relative, of the service furthest off */
	double calls_wanted;	 /* that it was expected to have */
	double calls_error;	 /* relative, the standard error of that */
	double calls_sigma;	 /* of any of them, in its standard errors */
};

/**
 * hs_svc_run() - Return: 0 or -errno, with a line on stderr
 * @details: an object that receives everything; NULL: nobody asks
 * @truths: a file that receives a line for each request; NULL: none
 */
int hs_svc_run(const struct hs_svc_settings *settings,
	       const struct hs_svc_fabric_options *fabric,
	       const struct hs_svc_topology *topology,
	       const struct hs_svc_plan *plan, bool generator_inline,
	       struct hs_svc_outcome *out, json_t *details, const char *truths);

/* ---- its parts
 * ---------------------------------------------------------------
 */

struct hs_replay_house;

/** hs_svc_verify_hindsight() - by the collector's listing, once it is quiet */
int hs_svc_verify_hindsight(struct hs_svc_world *w,
			    struct hs_replay_house *house,
			    struct hs_svc_outcome *out, json_t *details,
			    const char *truths);
/** hs_svc_verify_sink() - by what our collector kept */
int hs_svc_verify_sink(struct hs_svc_world *w, struct hs_svc_outcome *out,
		       const char *truths);
/** hs_svc_cpu_ns() - of a process and its children, by their clocks */
uint64_t hs_svc_cpu_ns(int pid);
/**
 * hs_svc_network_bytes() - by the daemons' own counters
 * @types: out: messages and bytes of each type
 */
uint64_t hs_svc_network_bytes(struct hs_replay_house *house,
			      uint64_t *slices_bytes, json_t *types);
/** hs_svc_written_bytes() - trace data that the agents have seen */
uint64_t hs_svc_written_bytes(struct hs_replay_house *house,
			      uint64_t *horizon_ns);
/** hs_svc_histogram_json() - [[ns, count]...] of what is in it */
json_t *hs_svc_histogram_json(const struct hs_histogram *h);

#endif
