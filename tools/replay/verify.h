/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Holding the collectors' store against the input of a replay: exactly the
 * triggered traces, each complete, every span equal, nothing else.
 *
 * What is compared is what a user would export: Jaeger JSON where the source
 * counted in microseconds, OTLP JSON where it counted in nanoseconds.
 */
#ifndef HS_REPLAY_VERIFY_H
#define HS_REPLAY_VERIFY_H

#include <signal.h>
#include <stdbool.h>

#include "tools/counts.h"
#include "tools/fabric.h"
#include "tools/replay/plan.h"

#define HS_REPLAY_DIFFERENCES_SHOWN 10u

struct hs_replay_ids {
	uint8_t (*ids)[HS_MODEL_TRACE_ID_SIZE]; /* sorted */
	size_t nr;
};

struct hs_replay_result {
	uint64_t nr_triggered;
	uint64_t nr_complete;
	uint64_t nr_partial; /* open ones, too */
	uint64_t nr_missing;
	uint64_t nr_untriggered_collected;
	uint64_t nr_unequal;
	uint64_t nr_counts_unequal; /* operations */
};

struct hs_replay_verify {
	const struct hs_replay_plan *plan;
	const struct hs_fabric *fabric;
	const volatile sig_atomic_t *cancelled;
	bool progress;
	uint64_t patience_ns; /* without any change at the collectors */

	struct hs_counts counts;     /* as they must be in the end */
	struct hs_replay_ids before; /* in the store already */
	uint32_t *by_id;	     /* indices of the set's traces */
	uint8_t *marks;		     /* per trace of the set */
	uint8_t *collector;	     /* per trace: which one has it */
	struct hs_replay_result result;
	uint32_t nr_shown;
	/* of the last look at the collectors */
	uint64_t nr_seen, fingerprint;
};

/**
 * hs_replay_verify_before() - note what the store holds before the replay
 *
 * Return: 0; -EEXIST when it holds a trace of the input, said on stderr;
 *	   or what asking gave.
 */
int hs_replay_verify_before(struct hs_replay_verify *verify);

/* Wait until all is there, or nothing changes for so long. 0, -ECANCELED. */
int hs_replay_verify_wait(struct hs_replay_verify *verify);

/* Compare what came; the differences are printed. 0 or negative errno. */
int hs_replay_verify_compare(struct hs_replay_verify *verify);

/**
 * hs_replay_verify_counts_before() - what there will be to count
 * hs_replay_verify_counts() - wait until that is what the collectors counted,
 *	or nothing changes for so long; the differences are printed
 *
 * Return: 0 or negative errno.
 */
int hs_replay_verify_counts_before(struct hs_replay_verify *verify);
int hs_replay_verify_counts(struct hs_replay_verify *verify);

bool hs_replay_result_good(const struct hs_replay_result *result);
void hs_replay_verify_free(struct hs_replay_verify *verify);

#endif
