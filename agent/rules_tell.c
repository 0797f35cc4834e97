/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see rules.h: what the worker does with the table. */
#include "agent/rules.h"

#include "agent/guest.h"
#include "agent/shm_read.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/openmetrics.h"
#include "dataplane/rules_shared.h"

int hs_rules_load(struct hs_worker *w, const struct hs_config_maps *rules,
		  const char *path, struct hs_config_error *error)
{
	int rc = hs_rules_compile(rules, path, &w->rules, error);

	if (rc)
		return rc;
	/* Even, and never one that this node's guests have seen before, be it
	 * of a former worker. */
	w->rules.table.seq = hs_clock_real_ns() << 1;
	hs_log_info("agent", "rules in force number=%u",
		    w->rules.table.nr_rules);
	return 0;
}

void hs_rules_tell(const struct hs_worker *w, struct hs_guest *g)
{
	if (!w->rules.table.seq || g->rules_seq == w->rules.table.seq)
		return;
	g->rules_seq = w->rules.table.seq;
	if (g->layout.down_rules)
		hs_rules_shared_write((void *)((uint8_t *)g->down.base +
					       g->layout.down_rules),
				      &w->rules.table, w->rules.table.seq);
}

void hs_rules_count(struct hs_worker *w, struct hs_guest *g)
{
	const struct hs_shm_watch *watch = hs_guest_watch(g);

	for (uint32_t i = 0; watch && i < HS_SHM_RULES_MAX; i++) {
		uint64_t n = hs_shm_read_count(&watch->fired[i]);

		/* One that goes down is nonsense and counts from there. */
		if (n > g->rules_fired[i])
			w->rules.places[i].fired += n - g->rules_fired[i];
		g->rules_fired[i] = n;
	}
}

json_t *hs_rules_status(const struct hs_worker *w)
{
	const struct hs_agent_rule *p = w->rules.places;
	json_t *list = json_array();

	for (uint32_t i = 0; i < w->rules.table.nr_rules; i++) {
		const struct hs_shm_rule *r = &w->rules.table.rules[i];

		json_array_append_new(
			list, json_pack("{s:s, s:s, s:I}", "name",
					p[r->slot].name, "trigger", r->trigger,
					"fired", (json_int_t)p[r->slot].fired));
	}
	return list;
}

void hs_rules_metrics(const struct hs_worker *w, FILE *f)
{
	static const struct hs_openmetrics_family family = {
		.prefix = "hindsight_agent",
		.name = "rule_fired",
		.type = HS_OPENMETRICS_COUNTER,
		.help = "How often a rule fired its trigger.",
	};
	const struct hs_agent_rule *p = w->rules.places;

	hs_openmetrics_begin(f, &family);
	for (uint32_t i = 0; i < w->rules.table.nr_rules; i++) {
		const struct hs_shm_rule *r = &w->rules.table.rules[i];
		const struct hs_openmetrics_label labels[] = {
			{"rule", p[r->slot].name},
			{"trigger", r->trigger},
		};

		hs_openmetrics_u64(f, &family, labels, 2, p[r->slot].fired);
	}
}
