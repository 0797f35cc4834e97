/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_seek.c - "do you know these traces?", the coordinator's last resort
 *
 * Known is what an application named here, what was here and had to go, and
 * what a live handle writes to although nothing of it was published: so it is
 * answered after the next scan of the slots and after the lanes, as a COLLECT
 * is. Nothing is pinned; whoever is found is asked by COLLECT. Questions that
 * find no place are counted and come again.
 */
#include "agent/core_priv.h"

#include <string.h>

#include "base/planted.h"
#include "rdma/wire.h"

static uint32_t *place_of(struct hs_agent_core *c, uint64_t hi, uint64_t lo)
{
	return &c->seeks.table[hs_hash_trace(c->config.index_seed, hi, lo, 0) &
			       (HS_SEEK_SLOTS - 1)];
}

static struct hs_seek_trace *trace_at(struct hs_seeks *s, uint32_t i)
{
	return &s->at[(i - 1) / HS_WIRE_SEEK_MAX]
			.traces[(i - 1) % HS_WIRE_SEEK_MAX];
}

/* Few at a time: whenever one comes or goes, all places are made again. */
static void index_all(struct hs_agent_core *c)
{
	struct hs_seeks *s = &c->seeks;

	memset(s->table, 0, sizeof(s->table));
	s->nr = 0;
	for (uint32_t k = 0; k < HS_SEEKS_MAX; k++)
		for (uint32_t i = 0; i < s->at[k].nr; i++) {
			struct hs_seek_trace *t = &s->at[k].traces[i];
			uint32_t *head = place_of(c, t->id.hi, t->id.lo);

			t->next = *head;
			*head = k * HS_WIRE_SEEK_MAX + i + 1;
			s->nr++;
		}
}

void hs_seek_message(struct hs_agent_core *c, uint64_t from_node,
		     const struct hs_wire_seek *seek,
		     const struct hs_wire_trace_id *traces)
{
	struct hs_seeks *s = &c->seeks;
	struct hs_seek *free_one = NULL;

	c->stats.seeks++;
	for (uint32_t k = 0; k < HS_SEEKS_MAX; k++) {
		struct hs_seek *at = &s->at[k];

		if (at->nr && at->from == from_node &&
		    at->question == seek->question)
			return; /* it is about to be answered */
		if (!at->nr)
			free_one = at;
	}
	if (!free_one || !seek->nr) {
		c->stats.seeks_refused++;
		return;
	}
	free_one->from = from_node;
	free_one->question = seek->question;
	free_one->scan = c->scan;
	free_one->nr = seek->nr;
	for (uint32_t i = 0; i < seek->nr; i++)
		free_one->traces[i] = (struct hs_seek_trace){.id = traces[i]};
	index_all(c);
}

void hs_seek_slot(struct hs_agent_core *c, uint64_t hi, uint64_t lo)
{
	struct hs_seeks *s = &c->seeks;

	if (HS_PLANTED(25))
		return;
	for (uint32_t i = *place_of(c, hi, lo); i; i = trace_at(s, i)->next)
		if (trace_at(s, i)->id.hi == hi && trace_at(s, i)->id.lo == lo)
			trace_at(s, i)->live = true;
}

static bool known(const struct hs_agent_core *c,
		  const struct hs_wire_trace_id *id)
{
	uint32_t f = hs_fired_find(c, id->hi, id->lo);

	if (f != HS_NIL && hs_fired_visited(c, f))
		return true;
	for (uint32_t k = 0; k < c->nr_domains; k++) {
		const struct hs_domain *d = &c->domains[c->domain_order[k]];
		uint32_t i = hs_ix_find(d, id->hi, id->lo);

		if (i != HS_NIL ? d->traces[i].visited
				: hs_ix_was_here(d, id->hi, id->lo) != 0)
			return true;
	}
	return false;
}

static void answer(struct hs_agent_core *c, const struct hs_seek *at)
{
	struct hs_wire_writer w = hs_wire_writer_make(c->out, HS_ANSWERS_BYTES);
	struct hs_wire_seek head = {.question = at->question};

	hs_wire_put(&w, &head, sizeof(head));
	for (uint32_t i = 0; i < at->nr; i++) {
		if (!at->traces[i].live && !known(c, &at->traces[i].id))
			continue;
		hs_wire_put(&w, &at->traces[i].id, sizeof(at->traces[i].id));
		head.nr++;
	}
	memcpy(c->out, &head, sizeof(head));
	c->stats.seeks_found += head.nr;
	c->ops->send_node(c->ctx, at->from, HS_WIRE_FOUND, c->out,
			  (uint32_t)w.used_bytes);
}

/* After a scan and after the lanes. */
void hs_seek_run(struct hs_agent_core *c)
{
	struct hs_seeks *s = &c->seeks;
	bool any = false;

	for (uint32_t k = 0; s->nr && k < HS_SEEKS_MAX; k++) {
		if (!s->at[k].nr || s->at[k].scan == c->scan)
			continue;
		answer(c, &s->at[k]);
		s->at[k].nr = 0;
		any = true;
	}
	if (any)
		index_all(c);
}
