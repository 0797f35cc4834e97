/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: counters by name, and as OpenMetrics text; see control.h. */
#include <stdio.h>
#include <stdlib.h>

#include "agent/control.h"
#include "agent/domain.h"
#include "agent/fault.h"

uint32_t hs_control_stats(const struct hs_worker *w,
			  struct hs_control_number out[HS_CONTROL_NUMBERS_MAX])
{
	const struct hs_worker_counters *c = &w->counters;
	struct hs_agent_stats s;
	uint32_t nr = 0;

	hs_agent_core_stats_get(w->core, &s);
#define CORE(field) out[nr++] = (struct hs_control_number){#field, s.field}
	CORE(buffers_indexed);
	CORE(bytes_indexed);
	CORE(traces_seen);
	CORE(traces_evicted);
	CORE(gone_forgotten);
	CORE(entries_bad);
	CORE(lost_index_full);
	CORE(lost_taints);
	CORE(crumbs_lost);
	CORE(triggers_local);
	CORE(triggers_limited);
	CORE(triggers_refused);
	CORE(triggers_context);
	CORE(triggers_stored);
	CORE(collects);
	CORE(collects_refused);
	CORE(updates);
	CORE(slices_sent);
	CORE(slices_resent);
	CORE(slices_acked);
	CORE(slices_refused);
	CORE(bytes_sent);
	CORE(traces_abandoned);
	CORE(crashes);
	CORE(messages_bad);
	CORE(adopted_buffers);
	CORE(adopted_groups);
	CORE(adopted_fired);
#undef CORE
#define SHELL(field) out[nr++] = (struct hs_control_number){#field, c->field}
	SHELL(rounds);
	SHELL(attachments);
	SHELL(resumed);
	SHELL(refused_full);
	SHELL(refused_version);
	SHELL(refused_rate);
	SHELL(hellos_bad);
	SHELL(guests_garbage);
	SHELL(guests_dead);
	SHELL(lane_lost);
	SHELL(lost_unpinned);
	SHELL(stock_nulls);
	SHELL(ship_refused);
	SHELL(messages_misplaced);
#undef SHELL
	out[nr++] = (struct hs_control_number){"holes", hs_fault_count()};
	return nr;
}

static void domain_metric(FILE *f, const struct hs_tenant *t, const char *name,
			  const char *state, uint64_t value)
{
	fprintf(f, "hindsight_agent_%s{domain=\"%s\",uid=\"%u\"", name, t->name,
		t->uid);
	if (state)
		fprintf(f, ",state=\"%s\"", state);
	fprintf(f, "} %llu\n", (unsigned long long)value);
}

static void domains(FILE *f, const struct hs_worker *w)
{
	struct hs_agent_domain_stats s;

	fputs("# TYPE hindsight_agent_buffers gauge\n", f);
	for (uint32_t i = 0; i < HS_AGENT_DOMAINS_MAX; i++) {
		const struct hs_tenant *t = w->tenants[i];

		if (!t)
			continue;
		hs_agent_core_domain_stats_get(w->core, i, w->now_ns, &s);
		domain_metric(f, t, "buffers", "free", s.buffers_free);
		domain_metric(f, t, "buffers", "stocked", s.buffers_stocked);
		domain_metric(f, t, "buffers", "held", s.buffers_held);
		domain_metric(f, t, "buffers", "pinned", s.buffers_pinned);
	}
	fputs("# TYPE hindsight_agent_traces gauge\n", f);
	for (uint32_t i = 0; i < HS_AGENT_DOMAINS_MAX; i++) {
		if (!w->tenants[i])
			continue;
		hs_agent_core_domain_stats_get(w->core, i, w->now_ns, &s);
		domain_metric(f, w->tenants[i], "traces", NULL, s.traces);
	}
	fputs("# TYPE hindsight_agent_event_horizon_seconds gauge\n"
	      "# UNIT hindsight_agent_event_horizon_seconds seconds\n",
	      f);
	for (uint32_t i = 0; i < HS_AGENT_DOMAINS_MAX; i++) {
		const struct hs_tenant *t = w->tenants[i];

		if (!t)
			continue;
		hs_agent_core_domain_stats_get(w->core, i, w->now_ns, &s);
		fprintf(f,
			"hindsight_agent_event_horizon_seconds{domain=\"%s\","
			"uid=\"%u\"} %.9f\n",
			t->name, t->uid, (double)s.horizon_ns / 1e9);
	}
}

static void triggers(FILE *f, const struct hs_worker *w)
{
	struct hs_agent_trigger_stats t[HS_AGENT_TRIGGERS_MAX];
	uint32_t nr = hs_agent_core_trigger_stats_get(w->core, t,
						      HS_AGENT_TRIGGERS_MAX);

	fputs("# TYPE hindsight_agent_trigger_fired counter\n", f);
	for (uint32_t i = 0; i < nr; i++)
		fprintf(f,
			"hindsight_agent_trigger_fired_total{trigger=\"%s\","
			"where=\"here\"} %llu\n"
			"hindsight_agent_trigger_fired_total{trigger=\"%s\","
			"where=\"elsewhere\"} %llu\n",
			t[i].name, (unsigned long long)t[i].fired_local,
			t[i].name, (unsigned long long)t[i].fired_remote);
	fputs("# TYPE hindsight_agent_trigger_sent_bytes counter\n", f);
	for (uint32_t i = 0; i < nr; i++)
		fprintf(f,
			"hindsight_agent_trigger_sent_bytes_total{trigger="
			"\"%s\"} %llu\n",
			t[i].name, (unsigned long long)t[i].bytes_sent);
	fputs("# TYPE hindsight_agent_trigger_queued gauge\n", f);
	for (uint32_t i = 0; i < nr; i++)
		fprintf(f,
			"hindsight_agent_trigger_queued{trigger=\"%s\"} %u\n",
			t[i].name, t[i].queued);
}

char *hs_control_metrics(const struct hs_worker *w, size_t *size_bytes)
{
	struct hs_control_number numbers[HS_CONTROL_NUMBERS_MAX];
	uint32_t nr = hs_control_stats(w, numbers);
	char *text = NULL;
	FILE *f = open_memstream(&text, size_bytes);

	if (!f)
		return NULL;
	for (uint32_t i = 0; i < nr; i++)
		fprintf(f,
			"# TYPE hindsight_agent_%s counter\n"
			"hindsight_agent_%s_total %llu\n",
			numbers[i].name, numbers[i].name,
			(unsigned long long)numbers[i].value);
	domains(f, w);
	triggers(f, w);
	fputs("# EOF\n", f);
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}
