/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_table.c - where a trace stands: cache-line buckets and the entry pool
 *
 * A bucket is one line: ten 16-bit tags, ten indices of entries, and how many
 * entries that belong here stand further on because it was full. Nothing ever
 * moves from one place to another, so whoever walks the table without a lock
 * misses no entry that stays. A lookup costs the line of its bucket and the
 * line of its entry, and both can be asked for ahead.
 *
 * One writer. Readers on other threads (hs_agent_core_seen()) follow the rules
 * of userspace RCU: the writer hands an entry out again only after the shell's
 * grace() has returned, once for many. Without a grace() there are no readers
 * and entries go round at once, while they are warm.
 */
#include "agent/core_priv.h"

#include <string.h>

#define READ_BATCH 32u

void hs_ix_table_init(struct hs_domain *d)
{
	/* The memory is zero: all tags are free. */
	d->traces_used = 0;
	d->nr_traces_free = 0;
	d->nr_traces_limbo = 0;
	d->trace_last = HS_NIL;
}

/* Its own bucket was full at some time: it may stand in one of the next. */
uint32_t hs_ix_find_further(const struct hs_domain *d, uint64_t hash,
			    uint64_t hi, uint64_t lo)
{
	uint64_t tags = hs_ix_tags_of(hash);

	/* In a small table each bucket may have been full at some time. */
	for (uint32_t n = 1; n <= d->bucket_mask; n++) {
		const struct hs_ix_bucket *b =
			&d->buckets[((uint32_t)hash + n) & d->bucket_mask];
		uint32_t i = hs_ix_find_in(d, b, tags, hi, lo);

		if (i != HS_NIL || !hs_ix_spilled(b))
			return i;
	}
	return HS_NIL;
}

/*
 * Its own bucket is full. There is always room: the table has more slots than
 * the pool entries.
 */
void hs_ix_insert_further(struct hs_domain *d, uint64_t hash, uint32_t trace)
{
	for (uint32_t at = (uint32_t)hash;; at++) {
		struct hs_ix_bucket *b = &d->buckets[at & d->bucket_mask];
		uint32_t slots = hs_ix_own_slots(b, 0);

		if (slots) {
			hs_ix_own_fill(b, (uint32_t)__builtin_ctz(slots), hash,
				       trace);
			return;
		}
		hs_ix_tags_store(b, 2, b->tags[2] + HS_IX_SPILL_ONE);
	}
}

/* It does not stand in its own bucket. */
void hs_ix_remove_further(struct hs_domain *d, uint64_t hash, uint32_t trace)
{
	for (uint32_t at = (uint32_t)hash;; at++) {
		struct hs_ix_bucket *b = &d->buckets[at & d->bucket_mask];

		if (hs_ix_own_clear(b, hash, trace))
			return;
		hs_ix_tags_store(b, 2, b->tags[2] - HS_IX_SPILL_ONE);
	}
}

/* ---- the pool of entries --------------------------------------------------
 */

/* What readers may still have seen is free. */
void hs_ix_limbo_end(struct hs_agent_core *c, struct hs_domain *d)
{
	uint32_t nr = d->nr_traces_limbo;

	c->config.grace(c->ctx);
	memmove(&d->traces_free[d->nr_traces_free],
		&d->traces_free[d->nr_traces - nr], nr * sizeof(uint32_t));
	d->nr_traces_free += nr;
	d->nr_traces_limbo = 0;
}

/* ---- readers --------------------------------------------------------------
 */

/* Up to READ_BATCH of them: buckets first, then entries, then the answers. */
static uint32_t seen_some(const struct hs_domain *d,
			  const struct hs_wire_trace_id *ids, uint32_t nr,
			  struct hs_agent_seen *out)
{
	uint64_t hashes[READ_BATCH];
	uint32_t guess[READ_BATCH], nr_known = 0;

	for (uint32_t k = 0; k < nr; k++) {
		hashes[k] = hs_ix_hash(d, ids[k].hi, ids[k].lo);
		__builtin_prefetch(&d->buckets[hashes[k] & d->bucket_mask]);
	}
	for (uint32_t k = 0; k < nr; k++) {
		guess[k] = hs_ix_guess(d, hashes[k]);
		if (guess[k] != HS_NIL)
			__builtin_prefetch(&d->traces[guess[k]]);
	}
	for (uint32_t k = 0; k < nr; k++) {
		uint32_t i = guess[k];

		if (!hs_ix_is(d, i, ids[k].hi, ids[k].lo))
			i = hs_ix_find_hashed(d, hashes[k], ids[k].hi,
					      ids[k].lo);

		out[k] = (struct hs_agent_seen){0};
		if (i == HS_NIL)
			continue;
		out[k].first_ns = d->traces[i].first_ns;
		/* index.C1 relaxed: a time, nothing is published by it. */
		out[k].last_ns = __atomic_load_n(&d->traces[i].last_ns,
						 __ATOMIC_RELAXED);
		nr_known++;
	}
	return nr_known;
}

uint32_t hs_agent_core_seen(const struct hs_agent_core *core, uint32_t domain,
			    const struct hs_wire_trace_id *ids, uint32_t nr,
			    struct hs_agent_seen *out)
{
	const struct hs_domain *d;
	uint32_t nr_known = 0;

	memset(out, 0, nr * sizeof(*out));
	if (domain >= HS_AGENT_DOMAINS_MAX)
		return 0;
	d = &core->domains[domain];
	/* index.R3 acquire, pairs index.W3: live before the domain. */
	if (!__atomic_load_n(&d->live, __ATOMIC_ACQUIRE))
		return 0;
	for (uint32_t k = 0; k < nr; k += READ_BATCH)
		nr_known += seen_some(d, &ids[k],
				      nr - k < READ_BATCH ? nr - k : READ_BATCH,
				      &out[k]);
	return nr_known;
}

/* ---- whether it adds up ---------------------------------------------------
 */

static bool check_bucket(const struct hs_domain *d, uint32_t at,
			 uint64_t *spills, uint32_t *live)
{
	const struct hs_ix_bucket *b = &d->buckets[at];

	for (uint32_t slot = 0; slot < HS_IX_SLOTS; slot++) {
		uint64_t tag = b->tags[slot / 4] >> slot % 4 * 16 & 0xffff;
		const struct hs_ix_trace *t;
		uint64_t hash;

		if (!tag)
			continue;
		t = &d->traces[b->index[slot]];
		hash = hs_ix_hash(d, t->hi, t->lo);
		if (tag != hs_ix_tag_of(hash) ||
		    hs_ix_find_hashed(d, hash, t->hi, t->lo) != b->index[slot])
			return false;
		*spills += (at - (uint32_t)hash) & d->bucket_mask;
		++*live;
	}
	*spills -= hs_ix_spilled(b);
	return true;
}

bool hs_ix_table_check(const struct hs_domain *d, const char **why)
{
	uint64_t spills = 0;
	uint32_t live = 0;

	*why = "an index slot does not lead to its trace";
	for (uint32_t at = 0; at <= d->bucket_mask; at++)
		if (!check_bucket(d, at, &spills, &live))
			return false;
	*why = "entries that did not fit their bucket do not add up";
	if (spills)
		return false;
	*why = "entries of the index do not add up";
	return live == d->nr_traces_live && d->traces_used <= d->nr_traces &&
	       live + d->nr_traces_free + d->nr_traces_limbo == d->traces_used;
}
