/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: what hs-perf services is asked for, as words and as settings. */
#ifndef HS_BENCH_SERVICES_OPTIONS_H
#define HS_BENCH_SERVICES_OPTIONS_H

#include "bench/services/run.h"

#define HS_SVC_RATES_MAX 64u
#define HS_SVC_WORKS_MAX 16u

struct hs_svc_options {
	/* As on the command line. */
	const char *topology, *entry, *entries, *as, *work, *rates, *tracer;
	const char *otlp, *symptom, *at, *trigger, *burst, *small_pool;
	const char *generator, *idle, *daemon_cpus, *details, *truths, *calls;
	const char *works;
	uint64_t nodes, threads, cpus, in_flight, seed, turns;
	bool json, two, callers, constant, all_truths;
	/* As they are meant. */
	struct hs_svc_settings settings;
	struct hs_svc_fabric_options fabric;
	struct hs_svc_topology loaded;
	struct hs_svc_plan plan;
	double rate[HS_SVC_RATES_MAX];
	uint32_t nr_rates;
	double work_ns[HS_SVC_WORKS_MAX]; /* in ascending order */
	uint32_t nr_works;
	bool generator_inline;
	char rule[256];
};

/**
 * hs_svc_options_parse() - once a process
 *
 * Own:    hs_svc_topology_free() of `loaded`.
 * Return: 0; 1 after --help; -EINVAL with a line on stderr.
 */
int hs_svc_options_parse(struct hs_svc_options **out, int argc, char **argv);

/** hs_svc_tracer_parse() - "head:0.01"; Return: 0, -EINVAL */
int hs_svc_tracer_parse(struct hs_svc_options *o, const char *text);

#endif
