/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: counters by name, and as OpenMetrics text; see control.h. */
#include <stdio.h>
#include <stdlib.h>

#include "agent/control.h"
#include "agent/domain.h"
#include "agent/fault.h"
#include "agent/figures.h"
#include "agent/shipper.h"
#include "agent/mailbox.h"
#include "agent/redact.h"
#include "base/openmetrics.h"

static uint32_t door_stats(const struct hs_worker *w,
			   struct hs_control_number *out)
{
	struct hs_httpd_stats s = {0};

	if (hs_mailbox_door(w))
		hs_httpd_stats_get(hs_mailbox_door(w), &s);
	out[0] = (struct hs_control_number){"door_requests", s.requests};
	out[1] = (struct hs_control_number){"door_refused_unknown",
					    s.refused_unknown};
	out[2] =
		(struct hs_control_number){"door_refused_role", s.refused_role};
	return 3;
}

static uint32_t redact_stats(const struct hs_worker *w,
			     struct hs_control_number *out)
{
	struct hs_redact_totals t;
	uint32_t nr = 0;

	hs_redact_totals_get(w->redact, &t);
#define REDACT(name, field)                                                    \
	out[nr++] = (struct hs_control_number){"redact_" name, t.field}
	REDACT("buffers", done.buffers);
	REDACT("dropped", done.dropped);
	REDACT("masked", done.masked);
	REDACT("hashed", done.hashed);
	REDACT("withheld_records", done.withheld_records);
	REDACT("withheld_bytes", done.withheld_bytes);
	REDACT("withheld_slices", slices_withheld);
	REDACT("tails_unknown", tails_unknown);
#undef REDACT
	return nr;
}

/* What a peer was cut off for, each cause by its name. */
static uint32_t transport_stats(const struct hs_worker *w,
				struct hs_control_number *out)
{
	static const char *const names[HS_TRANSPORT_CUT_CAUSES] = {
		[HS_TRANSPORT_CUT_GARBAGE] = "transport_cut_garbage",
		[HS_TRANSPORT_CUT_KEY] = "transport_cut_key",
		[HS_TRANSPORT_CUT_FORGED] = "transport_cut_forged",
		[HS_TRANSPORT_CUT_REPLAY] = "transport_cut_replay",
		[HS_TRANSPORT_CUT_FLOOD] = "transport_cut_flood",
		[HS_TRANSPORT_CUT_TLS] = "transport_cut_tls",
		[HS_TRANSPORT_CUT_NAME] = "transport_cut_name",
		[HS_TRANSPORT_CUT_SILENT] = "transport_cut_silent",
		[HS_TRANSPORT_CUT_REFUSED] = "transport_cut_refused",
		[HS_TRANSPORT_CUT_FULL] = "transport_cut_full",
		[HS_TRANSPORT_CUT_USER] = "transport_cut_user",
	};
	struct hs_transport_stats s;

	hs_transport_stats(w->transport, &s);
	for (uint32_t i = 0; i < HS_TRANSPORT_CUT_CAUSES; i++)
		out[i] = (struct hs_control_number){names[i], s.cut[i]};
	return HS_TRANSPORT_CUT_CAUSES;
}

static uint32_t core_stats(const struct hs_worker *w,
			   struct hs_control_number *out)
{
	struct hs_agent_stats s;
	uint32_t nr = 0;

	hs_agent_core_stats_get(w->core, &s);
#define CORE(field) out[nr++] = (struct hs_control_number){#field, s.field}
	CORE(buffers_indexed);
	CORE(bytes_indexed);
	CORE(traces_seen);
	CORE(traces_evicted);
	CORE(stock_returned);
	CORE(stock_denied);
	CORE(stock_remote);
	CORE(gone_forgotten);
	CORE(entries_bad);
	CORE(lost_index_full);
	CORE(lost_taints);
	CORE(crumbs_lost);
	CORE(crumbs_shown);
	CORE(crumbs_covered);
	CORE(triggers_local);
	CORE(triggers_limited);
	CORE(triggers_refused);
	CORE(triggers_context);
	CORE(contexts_refused);
	CORE(fired_forgotten_early);
	CORE(triggers_stored);
	CORE(requests_refused);
	CORE(coordinators_silent);
	CORE(collects);
	CORE(collects_refused);
	CORE(seeks);
	CORE(seeks_refused);
	CORE(seeks_found);
	CORE(updates);
	CORE(slices_sent);
	CORE(slices_resent);
	CORE(slices_acked);
	CORE(slices_refused);
	CORE(bytes_sent);
	CORE(traces_abandoned);
	CORE(buffers_unkept);
	CORE(holds_refused);
	CORE(crashes);
	CORE(messages_bad);
	CORE(adopted_buffers);
	CORE(adopted_groups);
	CORE(adopted_fired);
#undef CORE
	return nr;
}

uint32_t hs_control_stats(const struct hs_worker *w,
			  struct hs_control_number out[HS_CONTROL_NUMBERS_MAX])
{
	const struct hs_worker_counters *c = &w->counters;
	uint32_t nr = core_stats(w, out);

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
	SHELL(stock_empties);
	SHELL(ship_refused);
	SHELL(messages_misplaced);
	SHELL(recent_fired);
	SHELL(recent_left_out);
	SHELL(hooks);
	SHELL(hooks_refused);
	SHELL(reloads);
	SHELL(reloads_refused);
	SHELL(tallies_dropped);
#undef SHELL
	out[nr++] = (struct hs_control_number){"holes", hs_fault_count()};
	nr += door_stats(w, out + nr);
	nr += transport_stats(w, out + nr);
	return nr + redact_stats(w, out + nr);
}

#define FAMILY(n, t, u, h)                                                     \
	(struct hs_openmetrics_family)                                         \
	{                                                                      \
		.prefix = "hindsight_agent", .name = (n),                      \
		.type = HS_OPENMETRICS_##t, .unit = (u), .help = (h)           \
	}

/* What every figure of a domain is labelled with. */
struct domain_labels {
	char uid[16];
	struct hs_openmetrics_label labels[3];
};

static void label_domain(struct domain_labels *out, const struct hs_tenant *t)
{
	snprintf(out->uid, sizeof(out->uid), "%u", t->uid);
	out->labels[0] = (struct hs_openmetrics_label){"domain", t->name};
	out->labels[1] = (struct hs_openmetrics_label){"uid", out->uid};
}

static void occupancy(FILE *f, const struct hs_worker *w)
{
	const struct hs_openmetrics_family family =
		FAMILY("buffers", GAUGE, NULL,
		       "Buffers of a domain by what they are for; their sum is "
		       "buffers_capacity.");
	struct domain_labels l;
	struct hs_occupancy at;

	hs_openmetrics_begin(f, &family);
	for (uint32_t i = 0; i < HS_AGENT_DOMAINS_MAX; i++) {
		if (!w->tenants[i])
			continue;
		label_domain(&l, w->tenants[i]);
		hs_occupancy_get(w, w->tenants[i], &at);
		for (int s = 0; s < HS_OCCUPANCY_STATES; s++) {
			l.labels[2] = (struct hs_openmetrics_label){
				"state", hs_occupancy_names[s]};
			hs_openmetrics_u64(f, &family, l.labels, 3, at.nr[s]);
		}
	}
}

enum domain_figure {
	DOMAIN_CAPACITY,
	DOMAIN_POOL,
	DOMAIN_HUGE,
	DOMAIN_MISPLACED,
	DOMAIN_TRACES,
	DOMAIN_FIRED,
	DOMAIN_HORIZON,
	DOMAIN_EXPECTED,
	DOMAIN_PROCESSES,
	DOMAIN_FIGURES,
};

static void domain_figure(FILE *f, const struct hs_worker *w,
			  const struct hs_tenant *t, enum domain_figure what,
			  const struct hs_openmetrics_family *family)
{
	struct hs_agent_domain_stats s;
	struct domain_labels l;
	uint64_t value = 0;

	hs_agent_core_domain_stats_get(w->core, t->index, w->now_ns, &s);
	label_domain(&l, t);
	switch (what) {
	case DOMAIN_CAPACITY:
		value = s.buffers_total;
		break;
	case DOMAIN_POOL:
		value = hs_tenant_pool_bytes(t) * t->config.nr_nodes;
		break;
	case DOMAIN_HUGE:
		value = t->huge_bytes;
		break;
	case DOMAIN_MISPLACED:
		value = t->misplaced_bytes;
		break;
	case DOMAIN_TRACES:
		value = s.traces;
		break;
	case DOMAIN_FIRED:
		value = s.traces_fired;
		break;
	case DOMAIN_PROCESSES:
		value = t->nr_guests;
		break;
	case DOMAIN_EXPECTED:
		value = hs_expected_horizon_ns(w, t);
		if (value)
			hs_openmetrics_seconds(f, family, l.labels, 2,
					       (double)value);
		return;
	case DOMAIN_HORIZON:
	case DOMAIN_FIGURES:
		hs_openmetrics_seconds(f, family, l.labels, 2,
				       (double)s.horizon_ns);
		return;
	}
	hs_openmetrics_u64(f, family, l.labels, 2, value);
}

static void domains(FILE *f, const struct hs_worker *w)
{
	const struct hs_openmetrics_family families[DOMAIN_FIGURES] = {
		[DOMAIN_CAPACITY] = FAMILY("buffers_capacity", GAUGE, NULL,
					   "Buffers that a domain has."),
		[DOMAIN_POOL] = FAMILY("pool_bytes", GAUGE, "bytes",
				       "Memory for a domain's traces."),
		[DOMAIN_HUGE] = FAMILY("pool_huge_bytes", GAUGE, "bytes",
				       "Of it in pages of 2 MiB."),
		[DOMAIN_MISPLACED] =
			FAMILY("pool_misplaced_bytes", GAUGE, "bytes",
			       "Of it on another NUMA node than its own."),
		[DOMAIN_TRACES] = FAMILY("traces", GAUGE, NULL,
					 "Traces that a domain has."),
		[DOMAIN_FIRED] = FAMILY("traces_fired", GAUGE, NULL,
					"Of them those that have fired."),
		[DOMAIN_HORIZON] =
			FAMILY("event_horizon_seconds", GAUGE, "seconds",
			       "Age of the oldest trace that has not fired. "
			       "The cluster's is the least of all agents'."),
		[DOMAIN_EXPECTED] = FAMILY(
			"expected_horizon_seconds", GAUGE, "seconds",
			"Where the event horizon goes at the rate of late; "
			"none while nothing comes."),
		[DOMAIN_PROCESSES] = FAMILY("processes", GAUGE, NULL,
					    "Processes that are attached."),
	};

	for (int what = 0; what < DOMAIN_FIGURES; what++) {
		hs_openmetrics_begin(f, &families[what]);
		for (uint32_t i = 0; i < HS_AGENT_DOMAINS_MAX; i++)
			if (w->tenants[i])
				domain_figure(f, w, w->tenants[i], what,
					      &families[what]);
	}
}

enum trigger_figure {
	TRIGGER_FIRED,
	TRIGGER_LIMITED,
	TRIGGER_SENT,
	TRIGGER_QUEUED,
	TRIGGER_FIGURES,
};

static void trigger_figure(FILE *f, const struct hs_agent_trigger_stats *t,
			   enum trigger_figure what,
			   const struct hs_openmetrics_family *family)
{
	struct hs_openmetrics_label l[2] = {{"trigger", t->name},
					    {"where", "here"}};

	switch (what) {
	case TRIGGER_FIRED:
		hs_openmetrics_u64(f, family, l, 2, t->fired_local);
		l[1].value = "elsewhere";
		hs_openmetrics_u64(f, family, l, 2, t->fired_remote);
		break;
	case TRIGGER_LIMITED:
		hs_openmetrics_u64(f, family, l, 1, t->limited);
		break;
	case TRIGGER_SENT:
		hs_openmetrics_u64(f, family, l, 1, t->bytes_sent);
		break;
	case TRIGGER_QUEUED:
	case TRIGGER_FIGURES:
		hs_openmetrics_u64(f, family, l, 1, t->queued);
		break;
	}
}

static void triggers(FILE *f, const struct hs_worker *w)
{
	const struct hs_openmetrics_family families[TRIGGER_FIGURES] = {
		[TRIGGER_FIRED] = FAMILY("trigger_fired", COUNTER, NULL,
					 "Times that a trigger fired."),
		[TRIGGER_LIMITED] =
			FAMILY("trigger_limited", COUNTER, NULL,
			       "Times that its rate did not let it fire."),
		[TRIGGER_SENT] = FAMILY("trigger_sent_bytes", COUNTER, "bytes",
					"Reported for a trigger."),
		[TRIGGER_QUEUED] =
			FAMILY("trigger_queued", GAUGE, NULL,
			       "Its traces that have something to report."),
	};
	struct hs_agent_trigger_stats t[HS_AGENT_TRIGGERS_MAX];
	uint32_t nr = hs_agent_core_trigger_stats_get(w->core, t,
						      HS_AGENT_TRIGGERS_MAX);

	for (int what = 0; what < TRIGGER_FIGURES; what++) {
		hs_openmetrics_begin(f, &families[what]);
		for (uint32_t i = 0; i < nr; i++)
			trigger_figure(f, &t[i], what, &families[what]);
	}
}

/* One family, a sample for each figure. */
static void labelled(FILE *f, struct hs_openmetrics_family family,
		     const char *label, const struct hs_figure *figures,
		     uint32_t nr)
{
	hs_openmetrics_begin(f, &family);
	for (uint32_t i = 0; i < nr; i++) {
		struct hs_openmetrics_label l = {label, figures[i].name};

		hs_openmetrics_u64(f, &family, &l, 1, figures[i].value);
	}
}

static void one_time(FILE *f, struct hs_openmetrics_family family, double ns)
{
	hs_openmetrics_begin(f, &family);
	hs_openmetrics_seconds(f, &family, NULL, 0, ns);
}

static void costs(FILE *f, const struct hs_worker *w)
{
	const struct hs_openmetrics_family adopted =
		FAMILY("adopted_pool_bytes", GAUGE, "bytes",
		       "Of a predecessor's pools, taken over at the start.");
	double cpu_ns = (double)hs_figures_cpu_ns(w);
	struct hs_agent_stats s;

	hs_agent_core_stats_get(w->core, &s);
	one_time(f,
		 FAMILY("cpu_seconds", COUNTER, "seconds",
			"Processor time of the worker's thread."),
		 cpu_ns);
	one_time(f,
		 FAMILY("buffer_cpu_seconds", GAUGE, "seconds",
			"Of that for each buffer indexed, since the start."),
		 s.buffers_indexed ? cpu_ns / (double)s.buffers_indexed : 0);
	one_time(f,
		 FAMILY("up_seconds", GAUGE, "seconds",
			"Since this worker was ready."),
		 (double)(w->now_ns - w->ready_ns));
	one_time(f,
		 FAMILY("adoption_seconds", GAUGE, "seconds",
			"What this worker took to be ready, from its start, "
			"or from when it was needed if it stood by."),
		 (double)(w->ready_ns - w->began_ns));
	one_time(f,
		 FAMILY("standby", GAUGE, NULL,
			"1 if a successor stands by, prepared."),
		 w->standby != 0);
	hs_openmetrics_begin(f, &adopted);
	hs_openmetrics_u64(f, &adopted, NULL, 0, w->adopted_bytes);
}

static void shipped(FILE *f, const struct hs_worker *w)
{
	const struct hs_openmetrics_family family =
		FAMILY("ship_bytes", COUNTER, "bytes",
		       "Of slices, as often as they were touched on their way "
		       "out: sent from where they lay, copied by the agent, "
		       "copied by the kernel for it, copied by the application "
		       "that lends its port.");
	struct hs_shipper_copies c;

	if (!w->shipper)
		return;
	hs_shipper_copies(w->shipper, &c);
	hs_openmetrics_begin(f, &family);
	hs_openmetrics_u64(f, &family,
			   &(struct hs_openmetrics_label){"how", "in_place"}, 1,
			   c.lent);
	hs_openmetrics_u64(f, &family,
			   &(struct hs_openmetrics_label){"how", "copied"}, 1,
			   c.copied);
	hs_openmetrics_u64(f, &family,
			   &(struct hs_openmetrics_label){"how", "kernel"}, 1,
			   c.kernel);
	hs_openmetrics_u64(f, &family,
			   &(struct hs_openmetrics_label){"how", "lender"}, 1,
			   c.lender);
}

static void counters(FILE *f, const struct hs_worker *w)
{
	struct hs_control_number numbers[HS_CONTROL_NUMBERS_MAX];
	uint32_t nr = hs_control_stats(w, numbers);

	for (uint32_t i = 0; i < nr; i++) {
		const struct hs_openmetrics_family family =
			FAMILY(numbers[i].name, COUNTER, NULL, NULL);

		hs_openmetrics_begin(f, &family);
		hs_openmetrics_u64(f, &family, NULL, 0, numbers[i].value);
	}
}

char *hs_control_metrics(const struct hs_worker *w, size_t *size_bytes)
{
	struct hs_figure figures[HS_FIGURES_MAX];
	char *text = NULL;
	FILE *f = open_memstream(&text, size_bytes);

	if (!f)
		return NULL;
	counters(f, w);
	occupancy(f, w);
	shipped(f, w);
	domains(f, w);
	triggers(f, w);
	labelled(f, FAMILY("losses", COUNTER, NULL, "What was lost, by cause."),
		 "cause", figures, hs_figures_losses(w, figures));
	labelled(f,
		 FAMILY("triggers", COUNTER, NULL,
			"What became of triggers, by outcome."),
		 "outcome", figures, hs_figures_triggers(w, figures));
	labelled(f, FAMILY("queue_depth", GAUGE, NULL, "What waits, by queue."),
		 "queue", figures, hs_figures_queues(w, figures));
	costs(f, w);
	hs_rules_metrics(w, f);
	hs_openmetrics_end(f);
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}
