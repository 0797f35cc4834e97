/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what libhindsight keeps per thread, in initial-exec TLS so that
 * touching it never allocates; the static TLS reserve that every dlopen()
 * shares is small, hence the limit.
 */
#ifndef HS_DATAPLANE_TLS_H
#define HS_DATAPLANE_TLS_H

#include <stddef.h>
#include <stdint.h>

struct hs_lane;
struct hs_trace;

struct hs_tls {
	struct hs_lane *lane;	  /* good while attachment is the current */
	uint64_t attachment;	  /* number of the attachment it belongs to */
	struct hs_trace *current; /* hs_thread_begin()'s trace, or NULL */
	uint64_t random_epoch;	  /* client epoch that random was seeded in */
	uint64_t random[2];
	uint32_t busy; /* inside a call: a nested one is dropped */
	uint32_t ring; /* stock ring to use where rseq tells no cpu, plus 1 */
	uint16_t rest; /* durations not to be counted for a percentile, */
	uint16_t rest_of; /* its number: rules_quantile.h */
	uint32_t met;	  /* those that were not */
};
_Static_assert(sizeof(struct hs_tls) <= 64, "static TLS is scarce");

extern __thread struct hs_tls hs_tls
	__attribute__((tls_model("initial-exec"), visibility("hidden")));

#endif
