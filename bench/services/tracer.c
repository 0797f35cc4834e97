/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see tracer.h. */
#include "bench/services/tracer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/bench.h"
#include "bench/services/exporter.h"

#define ATTACH_NS     (50 * HS_NS_PER_SEC)
#define QUEUE_LATERAL 10u
#define KIND_SERVER   2u
#define KIND_CLIENT   3u

static const uint8_t payload[HS_SVC_PAYLOAD_MAX];

static bool is_hindsight(const struct hs_svc_loop *l)
{
	return l->settings->tracer == HS_SVC_TRACER_HINDSIGHT;
}

static bool sampled(const struct hs_svc_call *c)
{
	return c->flags & HS_CONTEXT_F_SAMPLED;
}

/* ---- a process
 * ------------------------------------------------------------------
 */

/* A process of one service is that service; others have resources. */
static const char *service_of(const struct hs_svc_world *w, uint32_t process,
			      uint32_t *nr)
{
	const char *name = "idle";

	*nr = 0;
	for (uint32_t s = 0; s < w->topology.nr_services; s++)
		if (w->plan.process_of_loop[w->plan.loop_of_service[s]] ==
		    process) {
			name = w->topology.services[s].name;
			++*nr;
		}
	return name;
}

int hs_svc_tracer_open(struct hs_svc_world *w, uint32_t process)
{
	struct hs_client_options options = {
		.size_bytes = sizeof(options),
		.socket_path = w->sockets[w->plan.node_of_process[process]],
		.max_traces = HS_SVC_CALLS_MAX,
		.trigger_rate_per_s = 1000000,
	};
	uint64_t end = hs_clock_mono_ns() + ATTACH_NS;
	uint32_t nr;
	int rc;

	if (w->settings.tracer != HS_SVC_TRACER_HINDSIGHT)
		return 0;
	options.service = service_of(w, process, &nr);
	rc = hs_client_open(&options);
	while (!rc && !hs_client_attached()) {
		if (hs_clock_mono_ns() > end)
			rc = -ETIMEDOUT;
		usleep(1000);
	}
	return rc;
}

void hs_svc_tracer_span(struct hs_svc_world *w, uint32_t process)
{
	if (w->settings.tracer == HS_SVC_TRACER_HINDSIGHT)
		w->processes[process].lost_before = hs_bench_lost();
}

void hs_svc_tracer_close(struct hs_svc_world *w, uint32_t process)
{
	struct hs_svc_process_stats *p = &w->processes[process];
	struct hs_client_stats s;

	if (w->settings.tracer != HS_SVC_TRACER_HINDSIGHT)
		return;
	hs_client_stats_get(&s);
	p->lost = hs_bench_lost();
	p->buffers_null = s.buffers_null;
	p->entries_lost = s.entries_lost;
	p->handles_lost = s.handles_lost;
	p->triggers_limited = s.triggers_limited;
	hs_client_close();
}

/* ---- a loop
 * ---------------------------------------------------------------------
 */

static int open_triggers(struct hs_svc_loop *l)
{
	const struct hs_svc_settings *s = l->settings;

	l->edge = hs_trigger_define("edge");
	l->faulty = hs_trigger_define("faulty");
	if (s->trigger == HS_SVC_TRIGGER_PERCENTILE)
		l->percentile = hs_auto_percentile_create(
			s->percentile, HS_AUTO_WINDOW_DEFAULT);
	if (s->trigger == HS_SVC_TRIGGER_QUEUE)
		l->queue = hs_auto_queue_create(
			s->percentile, HS_AUTO_WINDOW_DEFAULT, QUEUE_LATERAL);
	if (!l->edge || !l->faulty ||
	    (s->trigger == HS_SVC_TRIGGER_PERCENTILE && !l->percentile) ||
	    (s->trigger == HS_SVC_TRIGGER_QUEUE && !l->queue))
		return -EINVAL;
	return 0;
}

static int open_resources(struct hs_svc_loop *l)
{
	uint32_t nr;

	service_of(l->world, l->process, &nr);
	if (nr < 2)
		return 0;
	l->resources = calloc(l->topology->nr_services, sizeof(*l->resources));
	if (!l->resources)
		return -ENOMEM;
	for (uint32_t i = 0; i < l->topology->nr_services; i++) {
		if (l->world->plan.loop_of_service[i] != l->index)
			continue;
		l->resources[i] = hs_resource_create(
			l->topology->services[i].name, NULL, 0);
		if (!l->resources[i])
			return -ENOMEM;
	}
	return 0;
}

int hs_svc_tracer_loop(struct hs_svc_loop *l)
{
	enum hs_svc_tracer t = l->settings->tracer;
	const char *name = "several";
	int rc;

	if (t <= HS_SVC_TRACER_NONE)
		return 0;
	if (t == HS_SVC_TRACER_HINDSIGHT) {
		rc = open_triggers(l);
		return rc ? rc : open_resources(l);
	}
	for (uint32_t i = 0; i < l->topology->nr_services; i++)
		if (l->world->plan.loop_of_service[i] == l->index)
			name = l->topology->services[i].name;
	l->exporter = hs_svc_exporter_open(l->world, l->stats, name,
					   t == HS_SVC_TRACER_TAIL_SYNC);
	return l->exporter ? 0 : -ECONNREFUSED;
}

void hs_svc_tracer_loop_end(struct hs_svc_loop *l)
{
	if (l->exporter)
		hs_svc_exporter_close(l->exporter);
	for (uint32_t i = 0; l->resources && i < l->topology->nr_services; i++)
		if (l->resources[i])
			hs_resource_destroy(l->resources[i]);
	free(l->resources);
	if (l->percentile)
		hs_auto_percentile_destroy(l->percentile);
	if (l->queue)
		hs_auto_queue_destroy(l->queue);
}

/* ---- calls
 * ------------------------------------------------------------------------
 */

static void start_span(struct hs_svc_loop *l, struct hs_trace *trace,
		       struct hs_span *span, uint32_t api, uint64_t parent,
		       uint32_t service, enum hs_span_kind kind)
{
	const char *name = l->topology->apis[api].name;
	struct hs_span_args args = {
		.size_bytes = sizeof(args),
		.name = name,
		.parent_id = parent,
		.kind = (uint8_t)kind,
	};

	if (l->resources)
		args.resource = l->resources[service];
	hs_span_start_args(trace, span, &args);
}

/* An attribute: tracepoints beside spans would be a span of their own. */
static void write_payload(const struct hs_svc_loop *l, struct hs_svc_call *c)
{
	struct hs_attr attr = {.key = "payload", .type = HS_VALUE_BYTES};

	attr.value.bytes.data = payload;
	attr.value.bytes.size_bytes = l->settings->payload_bytes;
	hs_span_attr(&c->span, &attr);
}

void hs_svc_tracer_begin(struct hs_svc_loop *l, struct hs_svc_call *c,
			 const struct hs_svc_message *m)
{
	struct hs_context from;

	if (hs_context_decode(m->context, m->context_bytes, &from))
		l->stats->contexts_bad++;
	c->id = from.trace_id;
	c->flags = from.flags;
	if (is_hindsight(l)) {
		c->trace = hs_trace_begin(NULL, &from);
		start_span(l, c->trace, &c->span, c->api, from.span_id,
			   l->topology->apis[c->api].service,
			   HS_SPAN_KIND_SERVER);
		if (l->settings->payload_bytes)
			write_payload(l, c);
		if (l->queue && hs_svc_loop_watched(l, c) &&
		    hs_auto_queue_leave(
			    l->queue, l->edge, &c->id,
			    (uint64_t)((double)c->waited * l->ns_per_tick)))
			l->stats->fired++;
	} else if (sampled(c)) {
		c->parent_id = from.span_id;
		c->span_id = hs_random_u64(&l->random) | 1;
		c->start_ns = hs_clock_real_ns();
	}
}

void hs_svc_tracer_call(struct hs_svc_loop *l, struct hs_svc_call *c,
			struct hs_svc_child *child, struct hs_svc_message *m)
{
	struct hs_context to;

	if (is_hindsight(l)) {
		start_span(l, c->trace, &child->span, child->api, c->span.id,
			   l->topology->apis[c->api].service,
			   HS_SPAN_KIND_CLIENT);
		hs_context_inject(c->trace, child->span.id, &to);
	} else {
		to = (struct hs_context){.trace_id = c->id, .flags = c->flags};
		if (sampled(c)) {
			child->span_id = hs_random_u64(&l->random) | 1;
			child->start_ns = hs_clock_real_ns();
			to.span_id = child->span_id;
		}
	}
	m->context_bytes = (uint8_t)hs_context_encode_compact(&to, m->context);
}

void hs_svc_tracer_reply(struct hs_svc_loop *l, struct hs_svc_call *c,
			 struct hs_svc_child *child,
			 const struct hs_svc_message *m)
{
	struct hs_context reply;

	if (is_hindsight(l)) {
		if (m->context_bytes &&
		    hs_context_decode(m->context, m->context_bytes, &reply))
			l->stats->contexts_bad++;
		else if (m->context_bytes)
			hs_context_reply_extract(c->trace, &reply);
		hs_span_end(&child->span);
	} else if (sampled(c)) {
		struct hs_svc_span span = {
			.hi = c->id.hi,
			.lo = c->id.lo,
			.id = child->span_id,
			.parent_id = c->span_id,
			.start_ns = child->start_ns,
			.end_ns = hs_clock_real_ns(),
			.name = l->topology->apis[child->api].name,
			.kind = KIND_CLIENT,
		};

		hs_svc_exporter_put(l->exporter, &span);
	}
}

/* ---- the end
 * ----------------------------------------------------------------------
 */

/* At the one call of a request where its symptom shows. */
static void fire(struct hs_svc_loop *l, const struct hs_svc_call *c)
{
	const struct hs_svc_settings *s = l->settings;
	bool symptom = c->marks & HS_SVC_MARK_EDGE;
	bool wanted = false, fired = false;

	switch (s->trigger) {
	case HS_SVC_TRIGGER_FIRE:
		wanted = symptom;
		break;
	case HS_SVC_TRIGGER_EXCEPTION:
		fired = hs_auto_exception(
			l->edge, &c->id,
			symptom && s->symptom == HS_SVC_SYMPTOM_FAILING);
		break;
	case HS_SVC_TRIGGER_PERCENTILE:
		wanted = hs_auto_percentile_add(
			l->percentile,
			(uint64_t)((double)(hs_bench_ticks() - c->start) *
				   l->ns_per_tick));
		break;
	case HS_SVC_TRIGGER_NONE:
	case HS_SVC_TRIGGER_QUEUE:
	case HS_SVC_TRIGGER_RULE:
		break;
	}
	if (wanted)
		fired = hs_trigger_fire(l->edge, &c->id, NULL, 0);
	l->stats->fired += fired;
	l->stats->fires_refused += wanted && !fired;
}

static void end_hindsight(struct hs_svc_loop *l, struct hs_svc_call *c,
			  struct hs_svc_message *m, bool shows)
{
	struct hs_context reply;

	if (shows && l->settings->symptom == HS_SVC_SYMPTOM_FAILING)
		hs_span_status(&c->span, HS_SPAN_STATUS_ERROR, "it failed");
	if (shows)
		hs_span_attr_bool(&c->span, "edge", true);
	hs_span_end(&c->span);
	if (hs_svc_loop_watched(l, c))
		fire(l, c);
	if (c->marks & HS_SVC_MARK_FAULTY && c->from == l->world->plan.nr_loops)
		hs_trigger_fire(l->faulty, &c->id, NULL, 0);
	hs_context_reply_inject(c->trace, &reply);
	m->context_bytes =
		(uint8_t)hs_context_encode_compact(&reply, m->context);
	hs_trace_end(c->trace);
}

void hs_svc_tracer_end(struct hs_svc_loop *l, struct hs_svc_call *c,
		       struct hs_svc_message *m)
{
	bool shows = (c->marks & HS_SVC_MARK_EDGE) && hs_svc_loop_watched(l, c);

	if (shows)
		c->marks |= HS_SVC_MARK_SHOWN;
	if (is_hindsight(l)) {
		end_hindsight(l, c, m, shows);
	} else if (sampled(c)) {
		struct hs_svc_span span = {
			.hi = c->id.hi,
			.lo = c->id.lo,
			.id = c->span_id,
			.parent_id = c->parent_id,
			.start_ns = c->start_ns,
			.end_ns = hs_clock_real_ns(),
			.name = l->topology->apis[c->api].name,
			.kind = KIND_SERVER,
			.edge = shows,
			.is_error = shows && l->settings->symptom ==
						     HS_SVC_SYMPTOM_FAILING,
		};

		hs_svc_exporter_put(l->exporter, &span);
		hs_svc_exporter_flush(l->exporter);
	}
}
