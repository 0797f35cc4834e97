/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what a live trace tells its peers and learns from them. None of it
 * needs an agent: without one a context still carries the crumbs.
 */
#include <string.h>
#include <sys/random.h>

#include "base/node_at.h"
#include "dataplane/clock.h"
#include "dataplane/copy.h"
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

/* What all contexts of @trace say; what goes before it is this node. */
static inline __attribute__((always_inline)) void
context_begin(const struct hs_trace *trace, struct hs_context *out)
{
	hs_node_id own = hs_client_node_now();

	memset(out, 0, sizeof(*out));
	hs_store_pair(&out->trace_id, trace->id.hi, trace->id.lo);
	out->flags = trace->flags;
	out->crumbs[0] = own;
	out->nr_crumbs = own != 0;
}

void hs_context_inject(struct hs_trace *trace, uint64_t span_id,
		       struct hs_context *out)
{
	struct hs_tls *tls;

	if (!out)
		return;
	tls = hs_trace_enter(&trace);
	if (!tls) {
		memset(out, 0, sizeof(*out));
		return;
	}
	context_begin(trace, out);
	out->span_id = span_id;
	out->trigger = trace->trigger;
	for (uint32_t i = 0; i < trace->nr_upstream; i++)
		context_add(out, trace->upstream[i]);
	hs_client_leave(tls);
}

void hs_context_reply_inject(struct hs_trace *trace, struct hs_context *out)
{
	struct hs_tls *tls;

	if (!out)
		return;
	tls = hs_trace_enter(&trace);
	if (!tls) {
		memset(out, 0, sizeof(*out));
		return;
	}
	/* Who has answered, and no more: the caller knows the rest. */
	context_begin(trace, out);
	out->flags &= (uint8_t)~HS_CONTEXT_F_TRIGGERED;
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
