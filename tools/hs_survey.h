/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all daemons that are known say of themselves, for those subcommands
 * that look at the fabric as a whole.
 *
 * A daemon that does not answer is part of the survey: its json is NULL and
 * its error says why. All answers are outside input.
 */
#ifndef HS_TOOLS_HS_SURVEY_H
#define HS_TOOLS_HS_SURVEY_H

#include "tools/hs.h"

/* One daemon asked. */
struct hs_answer {
	const char *name;
	const char *address;
	json_t *json; /* NULL: it did not answer */
	char error[512];
};

struct hs_survey {
	struct hs_answer nodes[HS_FABRIC_NODES_MAX];
	struct hs_answer coordinators[HS_FABRIC_DAEMONS_MAX];
	struct hs_answer collectors[HS_FABRIC_DAEMONS_MAX];
	uint32_t nr_nodes, nr_coordinators, nr_collectors;
	uint32_t nr_silent;
};

/**
 * hs_survey_nodes() - ask every agent
 * hs_survey_all() - and every coordinator and collector
 *
 * Own: hs_survey_free(); names and addresses stay @where's.
 */
void hs_survey_nodes(const struct hs_where *where, struct hs_survey *survey);
void hs_survey_all(const struct hs_where *where, struct hs_survey *survey);
void hs_survey_free(struct hs_survey *survey);

/* {"nodes": [], "coordinators": [], "collectors": [], "cluster": {}} */
json_t *hs_survey_json(const struct hs_survey *survey);

/* Where the past is shortest: an untriggered trace is whole only up to there.
 */
struct hs_survey_horizon {
	uint64_t ns; /* 0: no agent has a trace */
	const char *node;
	const char *domain;
};
/* The least of the event horizons of all domains that have traces. */
void hs_survey_horizon_get(const struct hs_survey *survey,
			   struct hs_survey_horizon *out);

/* A number at the top (@group NULL) or one level down; 0: not there. */
uint64_t hs_answer_number(const json_t *json, const char *group,
			  const char *key);
/* All numbers of an object together. */
uint64_t hs_answer_sum(const json_t *object);
/* A text at the top; "" when it is not there. */
const char *hs_answer_text(const json_t *json, const char *key);

#endif
