/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: spans to an OTLP endpoint, over HTTP, as OpenTelemetry's SDKs send
 * them: at once, in the request's way (sync); or through a queue of 2,048
 * spans and a thread that sends up to 512 of them at a time (async: the SDKs'
 * defaults), which drops what finds the queue full.
 */
#ifndef HS_BENCH_SERVICES_EXPORTER_H
#define HS_BENCH_SERVICES_EXPORTER_H

#include "bench/services/otlp.h"
#include "bench/services/world.h"

struct hs_svc_exporter;

/** hs_svc_exporter_open() - Own: hs_svc_exporter_close(). NULL: errno */
struct hs_svc_exporter *hs_svc_exporter_open(struct hs_svc_world *world,
					     struct hs_svc_loop_stats *stats,
					     const char *service, bool sync);
/** hs_svc_exporter_close() - after what is queued has been sent */
void hs_svc_exporter_close(struct hs_svc_exporter *e);
/** hs_svc_exporter_put() - sync: kept until hs_svc_exporter_flush()
 * Context: one thread; it may wait when sync */
void hs_svc_exporter_put(struct hs_svc_exporter *e,
			 const struct hs_svc_span *span);
/** hs_svc_exporter_flush() - sync: send, and wait for the answer */
void hs_svc_exporter_flush(struct hs_svc_exporter *e);

#endif
