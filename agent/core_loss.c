/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_loss.c - losses that no trace can be named for, and which they may have
 * hit (law 6)
 *
 * A process drops something and does not know of which trace: it counts against
 * every trace that it took part in about then. Of a trace that is in the index
 * the index says who took part. Of one that has fired the ledger says it too,
 * since its buffers leave this node: a successor finds neither a buffer nor a
 * crumb of a trace that is open yet (ADR 60).
 */
#include "agent/core_priv.h"
#include "base/planted.h"

#define NEAR_NS 1000000u /* intervals that are closer than that are one */

#define WHO_PROCESS_BITS 14u
#define WHO_PROCESS_MASK ((1u << WHO_PROCESS_BITS) - 1u)
_Static_assert(HS_LEDGER_WHO_PROCESS + WHO_PROCESS_BITS ==
			       HS_LEDGER_WHO_DOMAINS &&
		       HS_LEDGER_WHO_DOMAINS + HS_AGENT_DOMAINS_MAX == 32,
	       "who took part is one word");

/* Half of 16 bits: what is younger cannot be taken for what is older. */
#define WHEN_SPAN_MAX 0x7fffu
#define WHEN_UNIT_NS  (1ull << HS_LEDGER_WHEN_SHIFT)

_Static_assert(HS_LEDGER_PROCESSES % 64 == 0, "a bit for each, in whole words");

/*
 * The records that say anything are known by a bit each: answers ask for them,
 * thousands after a change of workers, and all of them are 34 KB.
 */
static void lossy_set(struct hs_domain *d, uint32_t record, bool lossy)
{
	uint64_t bit = 1ull << record % 64;

	if (lossy)
		d->lossy[record / 64] |= bit;
	else
		d->lossy[record / 64] &= ~bit;
}

/* The first such record from @record on; HS_NIL: none. */
static uint32_t lossy_from(const struct hs_domain *d, uint32_t record)
{
	while (record < HS_LEDGER_PROCESSES) {
		uint64_t bits = d->lossy[record / 64] >> record % 64;

		if (bits)
			return record + (uint32_t)__builtin_ctzll(bits);
		record = (record / 64 + 1) * 64;
	}
	return HS_NIL;
}

static bool overlaps(const struct hs_ledger_losses *p, uint64_t first_ns,
		     uint64_t last_ns, uint64_t taint_ns)
{
	for (uint32_t i = 0; i < p->nr; i++)
		if (p->at[i].first_ns <= last_ns + taint_ns &&
		    first_ns <= p->at[i].last_ns + taint_ns)
			return true;
	return false;
}

/*
 * What was lost may have been the first that a trace had to say, or its last:
 * it was there for longer than its entries show.
 */
static bool hits_trace(const struct hs_agent_core *c,
		       const struct hs_ledger_losses *p,
		       const struct hs_ix_trace *t)
{
	return p->nr && (t->several || p->process == t->process) &&
	       overlaps(p, hs_ix_first_ns(t), t->last_ns, c->config.taint_ns);
}

bool hs_loss_hits_trace(const struct hs_agent_core *c,
			const struct hs_domain *d, uint32_t trace)
{
	for (uint32_t i = lossy_from(d, 0); i != HS_NIL;
	     i = lossy_from(d, i + 1))
		if (hits_trace(c, &d->losses[i], &d->traces[trace]))
			return true;
	return false;
}

/* ---- who took part in what fired ------------------------------------------
 */

static uint32_t who_of(uint32_t process)
{
	return (process & WHO_PROCESS_MASK) << HS_LEDGER_WHO_PROCESS;
}

static uint32_t who_domain(const struct hs_domain *d)
{
	return 1u << (HS_LEDGER_WHO_DOMAINS + d->id);
}

static void when_set(struct hs_agent_core *c, uint32_t fired)
{
	const struct hs_fired_rt *rt = &c->fired_rt[fired];
	uint64_t first = rt->took_first_ns >> HS_LEDGER_WHEN_SHIFT;
	/* Rounded up, so that what was read here is written as it was. */
	uint64_t last =
		(rt->took_last_ns + WHEN_UNIT_NS - 1) >> HS_LEDGER_WHEN_SHIFT;
	uint32_t when;

	if (last - first > WHEN_SPAN_MAX)
		first = last - WHEN_SPAN_MAX;
	when = (uint32_t)(first & 0xffff) | (uint32_t)(last & 0xffff) << 16;
	if (c->fired[fired].when != when)
		hs_ledger_set32(&c->fired[fired].when, when);
}

/* As it was written, or for longer. */
static void when_get(struct hs_agent_core *c, uint32_t fired, uint64_t now_ns)
{
	struct hs_fired_rt *rt = &c->fired_rt[fired];
	uint32_t when = c->fired[fired].when, last = when >> 16;
	uint64_t now = (now_ns >> HS_LEDGER_WHEN_SHIFT) + 1;
	uint64_t age = (now - last) & 0xffff, span = (last - when) & 0xffff;

	rt->took_first_ns = 0;
	rt->took_last_ns = now_ns;
	if (age && age <= now)
		rt->took_last_ns = (now - age) << HS_LEDGER_WHEN_SHIFT;
	if (age + span <= now)
		rt->took_first_ns = (now - age - span) << HS_LEDGER_WHEN_SHIFT;
}

void hs_loss_took_part(struct hs_agent_core *c, const struct hs_domain *d,
		       uint32_t fired, uint32_t process, bool several,
		       uint64_t first_ns, uint64_t last_ns)
{
	struct hs_ledger_fired *f = &c->fired[fired];
	struct hs_fired_rt *rt = &c->fired_rt[fired];
	uint32_t who = f->who | HS_LEDGER_WHO_VISITED | who_domain(d);

	if (several)
		who |= HS_LEDGER_WHO_SEVERAL;
	if (!(f->who & HS_LEDGER_WHO_VISITED)) {
		who |= who_of(process);
		rt->took_first_ns = first_ns;
		rt->took_last_ns = last_ns;
	} else if ((who ^ who_of(process)) & who_of(WHO_PROCESS_MASK)) {
		who |= HS_LEDGER_WHO_SEVERAL;
	}
	if (rt->took_first_ns > first_ns)
		rt->took_first_ns = first_ns;
	if (rt->took_last_ns < last_ns)
		rt->took_last_ns = last_ns;
	/* Killed in between: too long, and nobody, or those of before. */
	when_set(c, fired);
	if (f->who != who)
		hs_ledger_set32(&f->who, who);
}

/* Something of it is in @d's ledger: then so is who took part there. */
void hs_loss_adopt_part(struct hs_agent_core *c, const struct hs_domain *d,
			uint32_t fired, uint64_t first_ns, uint64_t last_ns)
{
	/* But if it had fired a moment before its agent was killed. */
	if (!(c->fired[fired].who & who_domain(d)))
		hs_loss_took_part(c, d, fired, 0, true, first_ns, last_ns);
}

void hs_loss_adopt_fired(struct hs_agent_core *c, uint32_t fired,
			 uint64_t now_ns)
{
	struct hs_ledger_fired *f = &c->fired[fired];
	struct hs_fired_rt *rt = &c->fired_rt[fired];

	rt->adopted = true;
	when_get(c, fired, now_ns);
	/* A worker of before the domains were written down. */
	if (f->who == HS_LEDGER_WHO_VISITED) {
		rt->took_first_ns = rt->took_last_ns = now_ns;
		when_set(c, fired);
		hs_ledger_set32(&f->who,
				f->who | HS_LEDGER_WHO_SEVERAL |
					0xffffu << HS_LEDGER_WHO_DOMAINS);
	}
}

/* Its predecessor's: what the index says of others it does not say of it. */
static bool hits_fired(const struct hs_agent_core *c, const struct hs_domain *d,
		       const struct hs_ledger_losses *p, uint32_t fired)
{
	const struct hs_fired_rt *rt = &c->fired_rt[fired];
	uint32_t who = c->fired[fired].who;

	return p->nr && who & who_domain(d) &&
	       (who & HS_LEDGER_WHO_SEVERAL ||
		!((who ^ who_of(p->process)) & who_of(WHO_PROCESS_MASK))) &&
	       overlaps(p, rt->took_first_ns, rt->took_last_ns,
			c->config.taint_ns);
}

bool hs_loss_hits_fired(const struct hs_agent_core *c,
			const struct hs_domain *d, uint32_t fired)
{
	if (!c->fired_rt[fired].adopted || HS_PLANTED(30))
		return false;
	for (uint32_t i = lossy_from(d, 0); i != HS_NIL;
	     i = lossy_from(d, i + 1))
		if (hits_fired(c, d, &d->losses[i], fired))
			return true;
	return false;
}

/* ---- losses ---------------------------------------------------------------
 */

void hs_loss_adopt(struct hs_agent_core *c, struct hs_domain *d)
{
	for (uint32_t i = 0; i < HS_LEDGER_PROCESSES; i++) {
		lossy_set(d, i, d->losses[i].nr != 0);
		c->tainted |= d->losses[i].nr != 0;
	}
}

void hs_agent_core_loss(struct hs_agent_core *core, uint32_t domain,
			uint32_t process, uint64_t first_ns, uint64_t last_ns)
{
	struct hs_domain *d = hs_domain_get(core, domain);
	struct hs_ledger_losses *p = NULL;
	uint32_t n;

	for (uint32_t i = 0; d && i < HS_LEDGER_PROCESSES; i++) {
		if (d->losses[i].nr && d->losses[i].process == process) {
			p = &d->losses[i];
			break;
		}
		if (!p && !d->losses[i].nr)
			p = &d->losses[i];
	}
	if (!p || HS_PLANTED(11))
		return;
	p->process = process;
	core->stats.lost_taints++;
	n = p->nr;
	/* The last interval grows when the new one is close, or no room is
	 * left: it may taint too much, never too little. */
	if (n && (n == HS_LEDGER_LOSSES ||
		  first_ns <= p->at[n - 1].last_ns + NEAR_NS)) {
		if (p->at[n - 1].last_ns < last_ns)
			p->at[n - 1].last_ns = last_ns;
	} else {
		p->at[n].first_ns = first_ns;
		p->at[n].last_ns = last_ns;
		hs_ledger_set32(&p->nr, n + 1);
		lossy_set(d, (uint32_t)(p - d->losses), true);
	}
	core->tainted = true;
}

static void settle(struct hs_agent_core *c, struct hs_domain *d,
		   const struct hs_ledger_losses *p)
{
	for (uint32_t i = 0; i < d->traces_used; i++) {
		const struct hs_ix_trace *t = &d->traces[i];

		/* Most are others'; the last test is dear. */
		if (hits_trace(c, p, t) && hs_ix_find(d, t->hi, t->lo) == i)
			hs_ix_flag(c, d, i, HS_WIRE_F_LOST);
	}
	for (uint32_t f = 0; f < c->fired_used; f++)
		if (c->fired[f].live && c->fired_rt[f].adopted &&
		    hits_fired(c, d, p, f))
			c->fired[f].flags |= HS_WIRE_F_LOST;
}

void hs_loss_settle(struct hs_agent_core *c, struct hs_domain *d,
		    uint32_t process)
{
	for (uint32_t k = 0; k < HS_LEDGER_PROCESSES; k++) {
		struct hs_ledger_losses *p = &d->losses[k];

		if (!p->nr || p->process != process)
			continue;
		settle(c, d, p);
		p->nr = 0;
		lossy_set(d, k, false);
	}
}

bool hs_loss_check(const struct hs_domain *d, const char **why)
{
	*why = "the records of losses are not those that are marked";
	for (uint32_t i = 0; i < HS_LEDGER_PROCESSES; i++)
		if ((d->losses[i].nr != 0) != (lossy_from(d, i) == i))
			return false;
	return true;
}
