/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: see redact.h.
 *
 * Slices of a handle go out in the order in which its buffers were filled, and
 * one goes again as long as it is not acknowledged. So the state at the start
 * of a buffer is kept, by (domain, process, handle, seq), when the one before
 * it goes out; a slice that begins in mid-buffer is read from the buffer's
 * start again, which is still there.
 */
#include "agent/redact.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/glob.h"
#include "base/hash.h"
#include "hs/shm_format.h"
#include "model/record_read.h"

#define TAILS 1024u /* a power of two */

#define KEY(p, t, field)                                                       \
	.path = (p), .type = HS_CONFIG_##t,                                    \
	.offset = offsetof(struct hs_agent_redact_settings, field)

static const char *const actions[] = {"keep", "drop", "mask", "hash", NULL};

static const struct hs_config_key keys[] = {
	{KEY("key", STRING, key), .required = true, .min = 1,
	 .max = HS_REDACT_PATTERN_BYTES - 1, .example = "user.*",
	 .doc = "Which attributes, by key; '*' stands for any characters, '?' "
		"for one. Or a text that is no attribute: @status (messages), "
		"@tracepoint, @event, @span (names), @text."},
	{KEY("action", ENUM, action), .default_text = "drop",
	 .choices = actions,
	 .doc = "drop: as if it had not been there. mask: its key stays, its "
		"value reads \"***\". hash: a keyed hash in its place, the "
		"same for the same value. keep: an exception from entries "
		"below."},
	{KEY("domain", STRING, domain), .default_text = "*",
	 .doc = "Of which domains, by name, with '*' and '?'."},
};
const struct hs_config_schema hs_agent_redact_schema = {
	.size_bytes = sizeof(struct hs_agent_redact_settings),
	.keys = keys,
	.nr_keys = sizeof(keys) / sizeof(keys[0]),
};

/* What a buffer begins with, as its predecessor ended. */
struct tail {
	uint32_t domain, process, handle, seq; /* seq 0: the place is free */
	struct hs_redact_state state;
};

struct hs_redact {
	struct hs_redact_rules rules;
	char domains[HS_REDACT_RULES_MAX][HS_REDACT_PATTERN_BYTES];
	bool mask_known[HS_AGENT_DOMAINS_MAX];
	uint64_t masks[HS_AGENT_DOMAINS_MAX];
	struct hs_redact_totals totals;
	struct tail tails[TAILS];
};

int hs_redact_check(const struct hs_config_maps *settings, bool has_key,
		    const char *name, struct hs_config_error *error)
{
	const struct hs_agent_redact_settings *s = settings->items;

	for (size_t i = 0; i < settings->nr_items; i++) {
		if (s[i].action == HS_REDACT_HASH && !has_key)
			return hs_config_refuse(
				error, name, &settings->marks[i],
				"redact: hash needs a cluster_key: without a "
				"secret a hash can be tried out");
		if (s[i].key[0] == HS_REDACT_TEXT_MARK &&
		    s[i].action != HS_REDACT_MASK &&
		    s[i].action != HS_REDACT_KEEP)
			return hs_config_refuse(
				error, name, &settings->marks[i],
				"redact: %.64s can be masked only", s[i].key);
		if (strlen(s[i].domain) >= HS_REDACT_PATTERN_BYTES)
			return hs_config_refuse(
				error, name, &settings->marks[i],
				"redact: domain should have at most %u "
				"characters",
				HS_REDACT_PATTERN_BYTES - 1);
	}
	return 0;
}

struct hs_redact *hs_redact_make(void)
{
	return calloc(1, sizeof(struct hs_redact));
}

void hs_redact_free(struct hs_redact *redact)
{
	free(redact);
}

void hs_redact_load(struct hs_redact *r, const struct hs_config_maps *settings,
		    const uint8_t cluster_key[16])
{
	const struct hs_agent_redact_settings *s = settings->items;

	memset(&r->rules, 0, sizeof(r->rules));
	memset(r->mask_known, 0, sizeof(r->mask_known));
	memcpy(r->rules.key, cluster_key, sizeof(r->rules.key));
	r->rules.nr = (uint32_t)settings->nr_items;
	for (uint32_t i = 0; i < r->rules.nr; i++) {
		snprintf(r->rules.rules[i].pattern,
			 sizeof(r->rules.rules[i].pattern), "%s", s[i].key);
		r->rules.rules[i].action = (enum hs_redact_action)s[i].action;
		snprintf(r->domains[i], sizeof(r->domains[i]), "%s",
			 s[i].domain);
	}
}

uint64_t hs_redact_mask(struct hs_redact *r, uint32_t domain, const char *name)
{
	if (r->mask_known[domain])
		return r->masks[domain];
	r->masks[domain] = 0;
	for (uint32_t i = 0; i < r->rules.nr; i++)
		if (hs_glob(r->domains[i], strlen(r->domains[i]), name,
			    strlen(name)))
			r->masks[domain] |= 1ull << i;
	r->mask_known[domain] = true;
	return r->masks[domain];
}

static struct tail *place(struct hs_redact *r, uint32_t domain,
			  const struct hs_wire_slice *head, uint32_t seq)
{
	uint64_t hash =
		hs_hash_mix64((uint64_t)head->process << 32 | head->handle);

	return &r->tails[hs_hash_mix64(hash ^ ((uint64_t)seq << 8 | domain)) &
			 (TAILS - 1)];
}

static bool is_of(const struct tail *t, uint32_t domain,
		  const struct hs_wire_slice *head, uint32_t seq)
{
	return seq && t->seq == seq && t->domain == domain &&
	       t->process == head->process && t->handle == head->handle;
}

void hs_redact_slice(struct hs_redact *r, uint64_t mask, uint32_t domain,
		     struct hs_wire_slice *head, uint8_t *buffer)
{
	size_t size_bytes = (size_t)head->offset + head->length_bytes;
	struct hs_redact_state state = {0};
	struct hs_shm_buffer header = {0};
	const struct tail *before;
	bool known, has_tail;
	struct tail *after;

	/* Its own word for seq: the lanes count to 65534 only. A wrong one
	 * costs its producer the record. */
	(void)hs_record_header_get(buffer, size_bytes, &header);
	before = place(r, domain, head, header.seq);
	known = is_of(before, domain, head, header.seq);
	if (known)
		state = before->state;
	has_tail = header.first_record != sizeof(header);
	if (hs_redact_buffer(&r->rules, mask, &state, known, buffer, size_bytes,
			     &r->totals.done)) {
		head->flags |= HS_WIRE_F_WITHHELD;
		r->totals.slices_withheld++;
		r->totals.tails_unknown += has_tail && !known;
	}
	after = place(r, domain, head, header.seq + 1);
	if (!hs_redact_tail(&state)) {
		/* It may have had one when less of it was committed. */
		if (is_of(after, domain, head, header.seq + 1))
			after->seq = 0;
		return;
	}
	*after = (struct tail){domain, head->process, head->handle,
			       header.seq + 1, state};
}

void hs_redact_totals_get(const struct hs_redact *r,
			  struct hs_redact_totals *out)
{
	*out = r->totals;
}
