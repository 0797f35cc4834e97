/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: which slices are rewritten before they leave the node, and how the
 * worker remembers where one buffer's last record goes on in the next.
 *
 * Guarantees: a domain without rules is not looked at. What is remembered is
 * bounded; a buffer whose predecessor was forgotten, or belonged to a former
 * worker, has the rest of that record withheld and the slice is marked.
 */
#ifndef HS_AGENT_REDACT_H
#define HS_AGENT_REDACT_H

#include "agent/core.h"
#include "base/config.h"
#include "model/redact.h"

struct hs_redact;

/* One entry of `redact:`. */
struct hs_agent_redact_settings {
	char *key;
	int action; /* enum hs_redact_action */
	char *domain;
};

extern const struct hs_config_schema hs_agent_redact_schema;

/**
 * hs_redact_check() - what the schema cannot say
 * @has_key: whether there is a cluster key to hash with
 *
 * Return: 0; -EINVAL with @error filled in.
 */
int hs_redact_check(const struct hs_config_maps *settings, bool has_key,
		    const char *name, struct hs_config_error *error);

/** hs_redact_make() - Own: hs_redact_free(). Return: NULL without memory */
struct hs_redact *hs_redact_make(void);
void hs_redact_free(struct hs_redact *redact);
/** hs_redact_load() - other rules, from the next slice on */
void hs_redact_load(struct hs_redact *redact,
		    const struct hs_config_maps *settings,
		    const uint8_t cluster_key[16]);

/** hs_redact_mask() - the rules of a domain, 0: it is sent as it is */
uint64_t hs_redact_mask(struct hs_redact *redact, uint32_t domain,
			const char *name);
/**
 * hs_redact_slice() - rewrite a slice
 * @mask: not 0
 * @head: flags are added where something was withheld
 * @buffer: a private copy of the buffer's bytes up to the end of the slice
 */
void hs_redact_slice(struct hs_redact *redact, uint64_t mask, uint32_t domain,
		     struct hs_wire_slice *head, uint8_t *buffer);

struct hs_redact_totals {
	struct hs_redact_stats done;
	uint64_t slices_withheld; /* marked */
	uint64_t tails_unknown;	  /* of them, for want of the buffer before */
};
void hs_redact_totals_get(const struct hs_redact *redact,
			  struct hs_redact_totals *out);

#endif
