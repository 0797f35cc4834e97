/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_budget.c - whose turn it is to be told, where a coordinator limits how
 * much that may be (docs/adr/0079)
 *
 * A coordinator that has refused something has said what its budget is. From
 * then on an account here does the same sums as its own, and what is for it
 * waits: by start-time fair queueing (Goyal, Vin, Cheng 1996) in what it costs,
 * between domains and then between their triggers, as slices do (core_queue.c).
 * Of one trigger UPDATEs go first, in the order in which they came up, since
 * what has been begun is over only with them; then TRIGGERs by priority, the
 * highest of 64 classes first, within one as they fired.
 *
 * So a trigger within its share hardly waits, and one that floods has what is
 * left. Where the sums are wrong, REFUSED puts them right.
 *
 * Bounded: what waits is linked through the outbox and the table of fired
 * traces. Where rows run out, those of one coordinator share a common one.
 * Without a place for its account a coordinator's REFUSED is not heeded: what
 * it refused goes again after a while.
 */
#include "agent/core_priv.h"

#include "base/check.h"

#define COST_SHIFT    8u
#define SAY_AT_ONCE   256u
#define WAIT_MAX_NS   60000000000ull
#define NS_PER_S      1000000000ull
#define CLASS_SHIFT   58u /* of a priority */
#define ROW_COMMON(b) (b) /* the first rows */

/* What waits has a number: a group, or, above those, an UPDATE of a trace. */
static struct hs_waits *waits_of(struct hs_agent_core *c, uint32_t item)
{
	return item < c->config.nr_groups
		       ? &c->groups_rt[item].waits
		       : &c->fired_rt[item - c->config.nr_groups].waits;
}

static bool is_update(const struct hs_agent_core *c, uint32_t item)
{
	return item >= c->config.nr_groups;
}

static uint64_t cost_of(const struct hs_agent_core *c, uint32_t item)
{
	return is_update(c, item) ? 1 : 1 + c->groups[item].nr;
}

/* ---- accounts -------------------------------------------------------------
 */

/* NULL: it has not refused anything. */
static struct hs_budget *budget_of(struct hs_agent_core *c, uint32_t number)
{
	for (uint32_t i = 0; number && i < HS_BUDGETS; i++)
		if (c->budgets[i].number == number)
			return &c->budgets[i];
	return NULL;
}

static struct hs_budget *budget_to(struct hs_agent_core *c,
				   const struct hs_wire_trace_id *primary,
				   uint32_t attempt)
{
	uint64_t to;

	if (!c->nr_budgets)
		return NULL;
	to = c->ops->coordinator_of(c->ctx, primary, attempt);
	return budget_of(c, (uint32_t)(to >> 32));
}

static void pay(struct hs_budget *b, uint64_t cost, uint64_t now_ns)
{
	if (b->even_ns + HS_WIRE_BUDGET_SAVED_NS < now_ns)
		b->even_ns = now_ns - HS_WIRE_BUDGET_SAVED_NS;
	b->even_ns += cost * (NS_PER_S / b->per_s);
}

bool hs_budget_learn(struct hs_agent_core *c, uint32_t number,
		     const struct hs_wire_refused *said, uint64_t now_ns)
{
	struct hs_budget *b = budget_of(c, number);
	uint64_t even_ns = now_ns + (said->wait_ns < WAIT_MAX_NS ? said->wait_ns
								 : WAIT_MAX_NS);

	if (!c->ops->coordinator_of || !said->per_s || said->per_s > NS_PER_S)
		return false;
	for (uint32_t i = 0; !b && i < HS_BUDGETS; i++)
		if (!c->budgets[i].number)
			b = &c->budgets[i];
	if (!b)
		return false;
	if (!b->number) {
		*b = (struct hs_budget){.number = number};
		c->nr_budgets++;
	}
	b->per_s = said->per_s;
	/* What is under way to it has been paid for here only. */
	if (b->even_ns < even_ns)
		b->even_ns = even_ns;
	return true;
}

/* ---- rows -----------------------------------------------------------------
 */

static uint32_t key_of(uint32_t budget, uint32_t domain, uint32_t trigger)
{
	return 1u << 31 | budget << 16 | domain << 8 | trigger;
}

/* One that is empty and has no more to its name than others. */
static bool is_spare(const struct hs_agent_core *c, const struct hs_row *r)
{
	return !r->nr && (!r->key || r->virtual_ <= c->budgets[r->budget]
							    .domains[r->domain]
							    .virtual_served);
}

static struct hs_row *row_get(struct hs_agent_core *c, uint32_t budget,
			      uint32_t domain, uint32_t trigger)
{
	uint32_t key = key_of(budget, domain, trigger);
	uint32_t spare = ROW_COMMON(budget);

	for (uint32_t i = HS_BUDGETS; i < HS_ROWS; i++) {
		if (c->rows[i].key == key)
			return &c->rows[i];
		if (spare < HS_BUDGETS && is_spare(c, &c->rows[i]))
			spare = i;
	}
	if (spare < HS_BUDGETS) {
		key = key_of(budget, HS_AGENT_DOMAINS_MAX, trigger);
		domain = HS_AGENT_DOMAINS_MAX;
		trigger = HS_ROW_NO_TRIGGER;
		if (c->rows[spare].key)
			return &c->rows[spare];
	}
	c->rows[spare] = (struct hs_row){.key = key,
					 .budget = (uint8_t)budget,
					 .domain = (uint8_t)domain,
					 .trigger = (uint8_t)trigger};
	return &c->rows[spare];
}

static uint32_t weight_of(const struct hs_agent_core *c, const struct hs_row *r)
{
	return r->trigger == HS_ROW_NO_TRIGGER ? 1
					       : c->triggers[r->trigger].weight;
}

static uint32_t domain_weight(const struct hs_agent_core *c, uint32_t domain)
{
	return domain == HS_AGENT_DOMAINS_MAX ? 1 : c->domains[domain].weight;
}

/* The one that @fired is known in; HS_AGENT_DOMAINS_MAX: in none. */
static uint32_t domain_of(const struct hs_agent_core *c, uint32_t fired)
{
	for (uint32_t k = 0; fired != HS_NIL && k < c->nr_domains; k++) {
		const struct hs_wire_trace_id *id = &c->fired[fired].trace;
		uint32_t i = c->domain_order[k];

		if (hs_ix_find(&c->domains[i], id->hi, id->lo) != HS_NIL)
			return i;
	}
	return HS_AGENT_DOMAINS_MAX;
}

/* Of several that hold it the one for which least waits: no flood that names
 * the same trace holds it up. */
static uint32_t trigger_of(struct hs_agent_core *c, uint32_t fired)
{
	uint32_t best = HS_NIL;

	for (uint32_t i = c->fired_rt[fired].hold_first; i != HS_NIL;
	     i = c->holds[i].next) {
		uint32_t trigger = c->holds[i].trigger;

		if (best == HS_NIL || c->triggers[trigger].nr_waiting <
					      c->triggers[best].nr_waiting)
			best = trigger;
	}
	return best != HS_NIL ? best
			      : hs_trigger_get(c, c->fired[fired].trigger.name);
}

static struct hs_row *row_of(struct hs_agent_core *c, uint32_t budget,
			     uint32_t item)
{
	const struct hs_wire_trace_id *id;
	uint32_t fired = item - c->config.nr_groups;

	if (is_update(c, item))
		return row_get(c, budget, domain_of(c, fired),
			       trigger_of(c, fired));
	id = &c->groups[item].traces[0];
	return row_get(c, budget,
		       domain_of(c, hs_fired_find(c, id->hi, id->lo)),
		       c->groups_rt[item].trigger);
}

static void enter(struct hs_agent_core *c, struct hs_budget *b, uint32_t item)
{
	struct hs_row *r = row_of(c, (uint32_t)(b - c->budgets), item);
	struct hs_waits *w = waits_of(c, item);
	uint32_t list = is_update(c, item)
				? HS_ROW_UPDATES
				: (uint32_t)(c->groups[item].trigger.priority >>
					     CLASS_SHIFT);

	/* No credit for having been idle. */
	if (!b->domains[r->domain].nr &&
	    b->domains[r->domain].virtual_ < b->virtual_served)
		b->domains[r->domain].virtual_ = b->virtual_served;
	if (!r->nr && r->virtual_ < b->domains[r->domain].virtual_served)
		r->virtual_ = b->domains[r->domain].virtual_served;
	*w = (struct hs_waits){.next = HS_NIL,
			       .prev = HS_NIL,
			       .row = (uint8_t)(r - c->rows + 1),
			       .list = (uint8_t)list};
	if (hs_row_has(r, list)) {
		w->prev = r->last[list];
		waits_of(c, w->prev)->next = item;
	} else {
		r->first[list] = item;
	}
	r->last[list] = item;
	if (list == HS_ROW_UPDATES)
		r->nr_updates++;
	else
		r->classes |= 1ull << list;
	r->nr++;
	b->domains[r->domain].nr++;
	b->nr++;
	c->nr_waiting++;
	if (r->trigger != HS_ROW_NO_TRIGGER)
		c->triggers[r->trigger].nr_waiting++;
}

void hs_budget_leave(struct hs_agent_core *c, uint32_t item)
{
	struct hs_waits *w = waits_of(c, item);
	struct hs_row *r;
	struct hs_budget *b;

	if (!w->row)
		return;
	r = &c->rows[w->row - 1];
	b = &c->budgets[r->budget];
	if (w->prev != HS_NIL)
		waits_of(c, w->prev)->next = w->next;
	else
		r->first[w->list] = w->next;
	if (w->next != HS_NIL)
		waits_of(c, w->next)->prev = w->prev;
	else
		r->last[w->list] = w->prev;
	if (w->list == HS_ROW_UPDATES)
		r->nr_updates--;
	else if (w->prev == HS_NIL && w->next == HS_NIL)
		r->classes &= ~(1ull << w->list);
	w->row = 0;
	r->nr--;
	b->domains[r->domain].nr--;
	b->nr--;
	c->nr_waiting--;
	if (r->trigger != HS_ROW_NO_TRIGGER)
		c->triggers[r->trigger].nr_waiting--;
}

bool hs_budget_waits(struct hs_agent_core *c, uint32_t item,
		     const struct hs_wire_trace_id *primary, uint32_t attempt)
{
	struct hs_budget *b = budget_to(c, primary, attempt);

	if (!b)
		return false;
	enter(c, b, item);
	return true;
}

/* ---- turns ----------------------------------------------------------------
 */

static struct hs_row *next_row(struct hs_agent_core *c, struct hs_budget *b)
{
	uint32_t budget = (uint32_t)(b - c->budgets);
	struct hs_row *best = NULL;

	for (uint32_t i = 0; i < HS_ROWS; i++) {
		struct hs_row *r = &c->rows[i];
		uint64_t at, least;

		if (!r->nr || r->budget != budget)
			continue;
		at = b->domains[r->domain].virtual_;
		least = best ? b->domains[best->domain].virtual_ : UINT64_MAX;
		if (at < least || (best && r->domain == best->domain &&
				   r->virtual_ < best->virtual_))
			best = r;
	}
	return best;
}

static uint32_t first_of(const struct hs_row *r)
{
	if (r->nr_updates)
		return r->first[HS_ROW_UPDATES];
	return r->first[63 - __builtin_clzll(r->classes)];
}

/* The turn of @r is over: so much of it was said. */
static void served(struct hs_agent_core *c, struct hs_budget *b,
		   struct hs_row *r, uint64_t cost)
{
	uint64_t *of_domain = &b->domains[r->domain].virtual_;

	if (b->virtual_served < *of_domain)
		b->virtual_served = *of_domain;
	if (b->domains[r->domain].virtual_served < r->virtual_)
		b->domains[r->domain].virtual_served = r->virtual_;
	*of_domain += (cost << COST_SHIFT) / domain_weight(c, r->domain);
	r->virtual_ += (cost << COST_SHIFT) / weight_of(c, r);
}

static void run(struct hs_agent_core *c, struct hs_budget *b, uint64_t now_ns)
{
	for (uint32_t n = SAY_AT_ONCE; n && b->nr && b->even_ns <= now_ns;
	     n--) {
		struct hs_row *r = next_row(c, b);
		uint32_t item = first_of(r);
		uint64_t cost = cost_of(c, item);

		hs_budget_leave(c, item);
		/* Or it is another's by now, or has nothing to say any more. */
		if (hs_outbox_say(c, item, b->number, now_ns)) {
			served(c, b, r, cost);
			pay(b, cost, now_ns);
		}
	}
}

void hs_budgets_run(struct hs_agent_core *c, uint64_t now_ns)
{
	for (uint32_t i = 0; c->nr_waiting && i < HS_BUDGETS; i++)
		if (c->budgets[i].nr)
			run(c, &c->budgets[i], now_ns);
}

uint64_t hs_budgets_due_ns(const struct hs_agent_core *c)
{
	uint64_t due_ns = UINT64_MAX;

	for (uint32_t i = 0; c->nr_waiting && i < HS_BUDGETS; i++)
		if (c->budgets[i].nr && c->budgets[i].even_ns < due_ns)
			due_ns = c->budgets[i].even_ns;
	return due_ns;
}

/* It is not there any more, or as if it had never refused anything: what waits
 * for it is looked at again. */
void hs_budget_forget(struct hs_agent_core *c, uint32_t number, uint64_t now_ns)
{
	struct hs_budget *b = budget_of(c, number);

	if (!b)
		return;
	for (uint32_t i = 0; i < HS_ROWS; i++) {
		struct hs_row *r = &c->rows[i];

		if (!r->key || &c->budgets[r->budget] != b)
			continue;
		while (r->nr) {
			uint32_t item = first_of(r);

			hs_budget_leave(c, item);
			hs_outbox_look_again(c, item, now_ns);
		}
		r->key = 0;
	}
	hs_check(!b->nr, "number=%u", number);
	*b = (struct hs_budget){0};
	c->nr_budgets--;
}

static uint32_t check_list(struct hs_agent_core *c, uint32_t row, uint32_t list)
{
	const struct hs_row *r = &c->rows[row];
	uint32_t prev = HS_NIL, nr = 0;

	if (!hs_row_has(r, list))
		return 0;
	for (uint32_t i = r->first[list]; i != HS_NIL;
	     i = waits_of(c, i)->next) {
		const struct hs_waits *w = waits_of(c, i);

		if (w->row != row + 1 || w->list != list || w->prev != prev)
			return HS_NIL;
		prev = i;
		nr++;
	}
	return r->last[list] == prev ? nr : HS_NIL;
}

bool hs_budget_check(const struct hs_agent_core *core, const char **why)
{
	struct hs_agent_core *c = (struct hs_agent_core *)core;
	uint32_t of[HS_BUDGETS] = {0}, nr = 0;

	*why = "what waits to be told to coordinators does not add up";
	for (uint32_t i = 0; i < HS_ROWS; i++) {
		uint32_t in_row = 0;

		for (uint32_t k = 0; c->rows[i].nr && k <= HS_ROW_UPDATES; k++)
			in_row += check_list(c, i, k);
		if (in_row != c->rows[i].nr)
			return false;
		of[c->rows[i].budget] += in_row;
		nr += in_row;
	}
	for (uint32_t i = 0; i < HS_BUDGETS; i++)
		if (of[i] != c->budgets[i].nr)
			return false;
	return nr == c->nr_waiting;
}
