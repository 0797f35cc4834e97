/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: a collector that samples at the tail, as a floor for what such a
 * collector can cost: it takes OTLP over HTTP, remembers the spans of each
 * trace by count alone, and after a while keeps those that had an edge case.
 * No storage, no export, no policy but one.
 */
#ifndef HS_BENCH_SERVICES_SINK_H
#define HS_BENCH_SERVICES_SINK_H

#include <sys/types.h>

#include "bench/services/world.h"

/* From a trace's first span to the decision. */
#define HS_SVC_SINK_WAIT_NS 1000000000ull

/** hs_svc_sink_start() - fork it; it ends when world->stop is 2.
 * Return: its pid, or -errno */
pid_t hs_svc_sink_start(struct hs_svc_world *world);

#endif
