/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what the worker's state says when it is looked at as a whole: where
 * a domain's buffers are, what was lost and why, what waits, what it costs.
 *
 * Guarantees: occupancy adds up to the pool at every moment, since the core
 * counts each change of state; what a guest writes (its rings' tails) can only
 * move buffers between "stocked" and "written".
 *
 * Context: the worker's thread.
 */
#ifndef HS_AGENT_FIGURES_H
#define HS_AGENT_FIGURES_H

#include <jansson.h>

#include "agent/domain.h"
#include "agent/worker.h"

/* Every buffer of a domain is in exactly one of these. */
enum hs_occupancy_state {
	HS_OCCUPANCY_FREE,
	HS_OCCUPANCY_STOCKED,  /* in a stock ring: a process may take it */
	HS_OCCUPANCY_WRITTEN,  /* a thread has it, or its lane says so */
	HS_OCCUPANCY_HELD,     /* of an untriggered trace */
	HS_OCCUPANCY_PINNED,   /* of a triggered one, not under way */
	HS_OCCUPANCY_SENDING,  /* under way until the collector has it, or
				  given up and with the port still */
	HS_OCCUPANCY_ORPHANED, /* at a process that is not listened to */
	HS_OCCUPANCY_STATES,
};

struct hs_occupancy {
	uint64_t nr[HS_OCCUPANCY_STATES];
	uint64_t nr_total;
};

extern const char *const hs_occupancy_names[HS_OCCUPANCY_STATES];

/** hs_occupancy_get() - where the buffers of a domain are */
void hs_occupancy_get(const struct hs_worker *w, const struct hs_tenant *t,
		      struct hs_occupancy *out);

struct hs_figure {
	const char *name;
	uint64_t value;
};

/**
 * hs_expected_horizon_ns() - how far back the present rate would let one see
 *
 * What is not stocked or pinned, up to where traces make room, over what was
 * taken in a second of late. Return: 0 while nothing is taken.
 */
uint64_t hs_expected_horizon_ns(const struct hs_worker *w,
				const struct hs_tenant *t);
/** hs_figures_round() - look at the rates, once a second */
void hs_figures_round(struct hs_worker *w);

#define HS_FIGURES_MAX 16u

/* Each fills in at most HS_FIGURES_MAX and returns how many. */
uint32_t hs_figures_losses(const struct hs_worker *w, struct hs_figure *out);
uint32_t hs_figures_triggers(const struct hs_worker *w, struct hs_figure *out);
uint32_t hs_figures_queues(const struct hs_worker *w, struct hs_figure *out);

/** hs_figures_cpu_ns() - of the worker's thread since it was ready */
uint64_t hs_figures_cpu_ns(const struct hs_worker *w);

/** hs_figures_status() - add all of it to the status of the node */
void hs_figures_status(const struct hs_worker *w, json_t *root);
/** hs_figures_standby() - who would go on. Own: the caller's */
json_t *hs_figures_standby(const struct hs_worker *w);
/** hs_figures_domain() - add a domain's to its status */
void hs_figures_domain(const struct hs_worker *w, const struct hs_tenant *t,
		       json_t *domain);

#endif
