/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_stats.c - the core's figures, and whether its sums add up
 */
#include "agent/core_priv.h"

#include <string.h>

void hs_agent_core_stats_get(const struct hs_agent_core *core,
			     struct hs_agent_stats *out)
{
	*out = core->stats;
	for (uint32_t k = 0; k < core->nr_domains; k++) {
		const struct hs_domain *d =
			&core->domains[core->domain_order[k]];

		out->buffers_indexed += d->nr_indexed;
		out->bytes_indexed += d->bytes_indexed;
	}
}

void hs_agent_core_domain_stats_get(const struct hs_agent_core *core,
				    uint32_t domain, uint64_t now_ns,
				    struct hs_agent_domain_stats *out)
{
	const struct hs_domain *d;

	memset(out, 0, sizeof(*out));
	d = hs_domain_look(core, domain);
	if (!d)
		return;
	out->buffers_free = hs_domain_nr_free(d);
	out->buffers_stocked = d->nr_stocked;
	out->buffers_held = d->nr_held;
	out->buffers_pinned = d->nr_pinned;
	out->buffers_total = d->nr_buffers;
	out->buffers_indexed = d->nr_indexed;
	out->bytes_indexed = d->bytes_indexed;
	out->units_indexed = d->units_indexed;
	out->buffers_sending = d->nr_sending;
	out->buffers_sending_open = d->nr_sending_open;
	out->buffers_parked = d->nr_parked;
	out->nr_classes = d->nr_classes;
	for (uint32_t i = 0; i < d->nr_classes; i++) {
		out->classes[i].buffer_bytes =
			d->class_units[i] * d->buffer_bytes;
		out->classes[i].chunks = d->nr_class_chunks[i];
	}
	out->chunks = d->nr_chunks;
	out->traces = d->nr_traces_live;
	out->traces_fired = d->nr_traces_fired;
	if (hs_ix_oldest(d) != HS_NIL)
		out->horizon_ns = now_ns - d->traces[hs_ix_oldest(d)].first_ns;
}

void hs_agent_core_queue_stats_get(const struct hs_agent_core *core,
				   struct hs_agent_queue_stats *out)
{
	*out = (struct hs_agent_queue_stats){
		.outbox = core->nr_groups_live,
		.fired = core->nr_fired,
		.changed = core->nr_dirty + core->nr_again,
		.limited = core->nr_waiting,
		.asked = core->pending_head - core->pending_tail,
		.slices = core->nr_in_flight,
		.slice_bytes = core->in_flight_bytes,
		.lent_bytes = core->lent_bytes,
	};
}

uint32_t hs_agent_core_trigger_stats_get(const struct hs_agent_core *core,
					 struct hs_agent_trigger_stats *out,
					 uint32_t nr_out)
{
	uint32_t n = core->nr_triggers < nr_out ? core->nr_triggers : nr_out;

	for (uint32_t i = 0; i < n; i++) {
		const struct hs_trigger *t = &core->triggers[i];

		out[i] = (struct hs_agent_trigger_stats){
			.fired_local = t->fired_local,
			.fired_remote = t->fired_remote,
			.dry_fired = t->dry_fired,
			.dry_traces = t->dry_traces,
			.dry_bytes = t->dry_bytes,
			.weight = t->weight,
			.rate_per_s = (uint32_t)t->fires.per_s,
			.bytes_per_s = t->bytes.per_s,
			.dry_run = t->dry_run,
			.limited = t->limited,
			.refused = t->refused,
			.bytes_sent = t->bytes_sent,
			.groups_abandoned = t->groups_abandoned,
			.traces_abandoned = t->traces_abandoned,
			.waiting = t->nr_groups,
		};
		memcpy(out[i].name, t->name, sizeof(out[i].name));
		for (uint32_t k = 0; k < core->nr_domains; k++) {
			const struct hs_queue *q =
				&core->domains[core->domain_order[k]].queues[i];

			out[i].queued += q->nr;
			out[i].buffers_pinned += q->nr_pinned;
		}
	}
	return n;
}

static bool check_trace(const struct hs_domain *d, uint32_t t, uint32_t *held,
			uint32_t *pinned, const char **why)
{
	const struct hs_ix_trace *x = &d->traces[t];
	uint32_t nr = 0, units = 0, prev = HS_NIL;
	uint64_t bytes = 0;

	for (uint32_t i = x->buf_first; i != HS_NIL; i = d->rt[i].next) {
		if (d->rt[i].trace != t || d->rt[i].prev != prev ||
		    hs_ledger_word_state(d->buffers[i].word) !=
			    HS_LEDGER_HELD ||
		    d->buffers[i].trace_hi != x->hi ||
		    d->buffers[i].trace_lo != x->lo) {
			*why = "a trace has a buffer that is not its own";
			return false;
		}
		prev = i;
		nr++;
		units += hs_buffer_units(d, i);
		bytes += d->buffers[i].committed;
	}
	*held += units;
	if (x->fired != HS_NIL)
		*pinned += units;
	*why = "a trace's buffers do not add up";
	return nr == x->nr_buffers && bytes == hs_ix_bytes(x) &&
	       prev == x->buf_last;
}

/* Every live trace, bucket by bucket. */
static bool check_traces(const struct hs_domain *d, uint32_t *held,
			 uint32_t *pinned, const char **why)
{
	for (uint32_t b = 0; b <= d->bucket_mask; b++)
		for (uint32_t s = 0; s < HS_IX_SLOTS; s++) {
			const struct hs_ix_bucket *at = &d->buckets[b];
			uint32_t t = at->index[s];

			if (!(at->tags[s / 4] >> s % 4 * 16 & 0xffff))
				continue;
			if (!check_trace(d, t, held, pinned, why))
				return false;
		}
	return true;
}

static bool check_domain(const struct hs_agent_core *c,
			 const struct hs_domain *d, const char **why)
{
	uint32_t units[4] = {0}, held = 0, pinned = 0, parked = 0;

	for (uint32_t i = 0; i < d->nr_buffers; i++) {
		enum hs_ledger_state state =
			hs_ledger_word_state(d->buffers[i].word);

		if (state != HS_LEDGER_FREE)
			units[state & 3] += hs_buffer_units(d, i);
		*why = "a buffer is parked that is not free, or not lent";
		if (d->rt[i].parked &&
		    (state != HS_LEDGER_FREE || !d->rt[i].lent))
			return false;
		if (d->rt[i].parked)
			parked += hs_buffer_units(d, i);
	}
	if (!hs_chunks_check(d, why) || !hs_ix_table_check(d, why) ||
	    !hs_ix_seats_check(d, why) || !hs_loss_check(d, why) ||
	    !check_traces(d, &held, &pinned, why))
		return false;
	*why = "the states of the buffers do not add up to the pool";
	if (units[HS_LEDGER_STOCKED] != d->nr_stocked ||
	    units[HS_LEDGER_HELD] != d->nr_held || held != d->nr_held ||
	    units[HS_LEDGER_FREEING] || parked != d->nr_parked ||
	    d->nr_stocked + d->nr_held + parked > d->nr_buffers)
		return false;
	*why = "pinned buffers do not add up";
	return pinned == d->nr_pinned;
}

static bool check_flights(const struct hs_domain *d, uint64_t *bytes,
			  uint32_t *nr_in_flight, const char **why)
{
	const uint64_t *above = d->flying + hs_flying_nr_words(d->nr_buffers);
	uint32_t units = 0, units_open = 0;

	*why = "what is under way is not what is marked so";
	for (uint32_t i = 0; i < d->nr_buffers; i++) {
		uint32_t word = i / 64;

		if ((d->rt[i].in_flight != 0) !=
			    (d->flying[word] >> i % 64 & 1) ||
		    (d->flying[word] != 0) !=
			    (above[word / 64] >> word % 64 & 1))
			return false;
		if (!d->rt[i].in_flight)
			continue;
		*bytes += d->rt[i].in_flight - d->buffers[i].acked;
		++*nr_in_flight;
		units += hs_buffer_units(d, i);
		if (hs_ledger_word_state(d->buffers[i].word) ==
		    HS_LEDGER_STOCKED)
			units_open += hs_buffer_units(d, i);
	}
	*why = "slices under way do not add up";
	return units == d->nr_sending && units_open == d->nr_sending_open;
}

bool hs_agent_core_check(const struct hs_agent_core *core, const char **why)
{
	uint64_t in_flight = 0;
	uint32_t fired = 0, nr_in_flight = 0;

	for (uint32_t k = 0; k < core->nr_domains; k++) {
		const struct hs_domain *d =
			&core->domains[core->domain_order[k]];

		if (!check_domain(core, d, why) ||
		    !check_flights(d, &in_flight, &nr_in_flight, why))
			return false;
	}
	*why = "bytes under way do not add up";
	if (in_flight != core->in_flight_bytes ||
	    nr_in_flight != core->nr_in_flight)
		return false;
	*why = "a fired trace without an id";
	for (uint32_t i = 0; i < core->config.nr_fired; i++) {
		const struct hs_ledger_fired *f = &core->fired[i];

		if (!f->live)
			continue;
		if (!(f->trace.hi | f->trace.lo))
			return false;
		fired++;
	}
	*why = "fired traces do not add up";
	return fired == core->nr_fired && hs_hold_check(core, why) &&
	       hs_budget_check(core, why);
}
