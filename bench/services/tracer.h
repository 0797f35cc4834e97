/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: how a call is traced, by each of the tracers: begin, the calls that
 * it makes, their replies, the end. A span for each call and one for each call
 * that it makes, with the context in every message and every reply, as an RPC
 * stack would have it.
 */
#ifndef HS_BENCH_SERVICES_TRACER_H
#define HS_BENCH_SERVICES_TRACER_H

#include "bench/services/loop.h"

/** hs_svc_tracer_open() - this process's part; Return: 0 or -errno */
int hs_svc_tracer_open(struct hs_svc_world *world, uint32_t process);
/** hs_svc_tracer_span() - the span begins: what was lost before is not its */
void hs_svc_tracer_span(struct hs_svc_world *world, uint32_t process);
void hs_svc_tracer_close(struct hs_svc_world *world, uint32_t process);
/** hs_svc_tracer_loop() - a loop's part: triggers, resources, exporter */
int hs_svc_tracer_loop(struct hs_svc_loop *loop);
void hs_svc_tracer_loop_end(struct hs_svc_loop *loop);

void hs_svc_tracer_begin(struct hs_svc_loop *l, struct hs_svc_call *c,
			 const struct hs_svc_message *m);
void hs_svc_tracer_call(struct hs_svc_loop *l, struct hs_svc_call *c,
			struct hs_svc_child *child, struct hs_svc_message *m);
void hs_svc_tracer_reply(struct hs_svc_loop *l, struct hs_svc_call *c,
			 struct hs_svc_child *child,
			 const struct hs_svc_message *m);
/** hs_svc_tracer_end() - the symptom shows, triggers fire, @m is the reply */
void hs_svc_tracer_end(struct hs_svc_loop *l, struct hs_svc_call *c,
		       struct hs_svc_message *m);

#endif
