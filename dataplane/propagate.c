/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what a live trace tells its peers and learns from them. None of it
 * needs an agent: without one a context still carries the crumbs.
 */
#include <string.h>
#include <sys/random.h>

#include "base/node_at.h"
#include "dataplane/clock.h"
#include "dataplane/trace.h"

struct hs_trace_id hs_trace_id_make(void)
{
	struct hs_tls *tls = hs_client_enter();
	struct hs_trace_id id;

	if (tls) {
		id.hi = hs_client_random(tls);
		id.lo = hs_client_random(tls) | 1;
		hs_client_leave(tls);
		return id;
	}
	/* Not on the write path: without a client the kernel is asked. */
	if (getrandom(&id, sizeof(id), GRND_NONBLOCK) != (ssize_t)sizeof(id)) {
		id.hi = hs_clock_real_ns() * 0x9e3779b97f4a7c15ull;
		id.lo = hs_clock_steady_ns() * 0xbf58476d1ce4e5b9ull;
	}
	id.lo |= 1;
	return id;
}

static void context_add(struct hs_context *out, hs_node_id node)
{
	if (node == 0 || out->nr_crumbs >= HS_CONTEXT_CRUMBS_MAX)
		return;
	for (uint32_t i = 0; i < out->nr_crumbs; i++) {
		if (out->crumbs[i] == node)
			return;
	}
	out->crumbs[out->nr_crumbs++] = node;
}

void hs_context_inject(struct hs_trace *trace, uint64_t span_id,
		       struct hs_context *out)
{
	struct hs_tls *tls;

	if (!out)
		return;
	memset(out, 0, sizeof(*out));
	tls = hs_trace_enter(&trace);
	if (!tls)
		return;
	out->trace_id = trace->id;
	out->span_id = span_id;
	out->flags = trace->flags;
	out->trigger = trace->trigger;
	context_add(out, hs_client_node());
	for (uint32_t i = 0; i < trace->nr_upstream; i++)
		context_add(out, trace->upstream[i]);
	hs_client_leave(tls);
}

void hs_context_reply_inject(struct hs_trace *trace, struct hs_context *out)
{
	struct hs_tls *tls;

	if (!out)
		return;
	memset(out, 0, sizeof(*out));
	tls = hs_trace_enter(&trace);
	if (!tls)
		return;
	/* Who has answered, and no more: the caller knows the rest. */
	out->trace_id = trace->id;
	out->flags = trace->flags & (uint8_t)~HS_CONTEXT_F_TRIGGERED;
	context_add(out, hs_client_node());
	hs_client_leave(tls);
}

void hs_context_forward(struct hs_trace *trace, hs_node_id peer)
{
	struct hs_tls *tls = hs_trace_enter(&trace);

	if (!tls)
		return;
	hs_trace_deposit(tls, trace, HS_SHM_CRUMB_FORWARD, &peer, 1, NULL);
	hs_client_leave(tls);
}

hs_node_id hs_context_address(const void *ip, unsigned int ip_bytes)
{
	return ip ? hs_node_at(ip, ip_bytes) : 0;
}

void hs_context_reply_extract(struct hs_trace *trace,
			      const struct hs_context *reply)
{
	struct hs_tls *tls;

	if (!reply || reply->nr_crumbs == 0)
		return;
	tls = hs_trace_enter(&trace);
	if (!tls)
		return;
	if (reply->trace_id.hi == trace->id.hi &&
	    reply->trace_id.lo == trace->id.lo)
		hs_trace_deposit(tls, trace, HS_SHM_CRUMB_REPLY, reply->crumbs,
				 1, NULL);
	hs_client_leave(tls);
}
