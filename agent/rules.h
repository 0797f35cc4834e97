/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the agent's rules: read from the configuration, compiled to the
 * table that clients evaluate at the end of each span, told to every guest,
 * and counted as they fire.
 *
 * Guarantees: compiling is pure and bounded; a table is put in force whole or
 * not at all. A rule keeps its counter over changes of the configuration by
 * its name.
 */
#ifndef HS_AGENT_RULES_H
#define HS_AGENT_RULES_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/config.h"
#include "hs/shm_watch.h"

#define HS_AGENT_RULE_NAME_BYTES 32u

struct hs_guest;
struct hs_worker;

/* One entry of `rules:`. */
struct hs_agent_rule_settings {
	char *name;
	char *trigger; /* NULL: as the rule */
	char *service;
	char *operation;
	int status; /* enum hs_agent_rule_status */
	uint64_t min_ns;
	double percentile; /* 0: not asked */
	struct hs_config_strings attributes;
};

enum hs_agent_rule_status {
	HS_AGENT_RULE_ANY,
	HS_AGENT_RULE_UNSET,
	HS_AGENT_RULE_OK,
	HS_AGENT_RULE_ERROR,
};

extern const struct hs_config_schema hs_agent_rule_schema;

/* A rule's place: kept while its name is configured. */
struct hs_agent_rule {
	char name[HS_AGENT_RULE_NAME_BYTES]; /* "": the place is free */
	bool live;
	uint64_t fired; /* since this worker began, or its guests did */
};

struct hs_agent_rules {
	struct hs_shm_rules table; /* its seq is what guests are told */
	struct hs_agent_rule places[HS_SHM_RULES_MAX];
};

/**
 * hs_rules_compile() - the table of a configuration
 * @rules: struct hs_agent_rule_settings
 * @path: of the file, for errors
 * @inout: its places say which slots are taken; on success its table and
 *	places are the new ones (without a seq), else it is as it was
 *
 * Context: pure; no lock, no I/O.
 * Return:  0; -EINVAL and @error.
 */
int hs_rules_compile(const struct hs_config_maps *rules, const char *path,
		     struct hs_agent_rules *inout,
		     struct hs_config_error *error);

/**
 * hs_rules_load() - have all guests follow these rules from now on
 *
 * For the beginning and for a reload: clients see it at their next look at the
 * table, a fifth of a second later at most.
 *
 * Return: as hs_rules_compile(); after an error the former rules stay.
 */
int hs_rules_load(struct hs_worker *w, const struct hs_config_maps *rules,
		  const char *path, struct hs_config_error *error);

/* Tell a guest, if it was not told yet. Context: each round; a compare. */
void hs_rules_tell(const struct hs_worker *w, struct hs_guest *guest);
/* Name, trigger and count of each, for the control door. */
json_t *hs_rules_status(const struct hs_worker *w);
void hs_rules_metrics(const struct hs_worker *w, FILE *f);

/* Take over how often its rules fired. */
void hs_rules_count(struct hs_worker *w, struct hs_guest *guest);

#endif
