/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the process's triggers: their names, which every attachment is
 * told, and their rate limits.
 */
#ifndef HS_DATAPLANE_TRIGGER_H
#define HS_DATAPLANE_TRIGGER_H

#include <stdbool.h>
#include <stdint.h>

#include "hs/shm_format.h"

/* Tell an attachment the names so far. Context: the helper. */
void hs_trigger_publish_all(struct hs_shm_up *up);

/* For fork: nobody defines a trigger meanwhile. */
void hs_trigger_lock(void);
void hs_trigger_unlock(void);
void hs_trigger_lock_init(void);

struct hs_trace;
struct hs_trigger;

/* Fire for a live trace of this thread, whose contexts say so from now on. */
bool hs_trigger_fire_own(struct hs_trigger *trigger, struct hs_trace *trace);

/* FNV-1a, 32 bits: what a context carries of a trigger's name. */
uint32_t hs_trigger_hash(const char *name);

/**
 * hs_trigger_admit() - a token bucket as one word
 * @full_at: when the bucket will be full again, steady clock; the state
 * @now_ns: steady clock
 * @rate_per_s: tokens a second, and the bucket's size
 *
 * Context: any number of threads; lock-free.
 */
bool hs_trigger_admit(uint64_t *full_at, uint64_t now_ns, uint32_t rate_per_s);

#endif
