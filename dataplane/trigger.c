/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see trigger.h. */
#include "dataplane/trigger.h"

#include <pthread.h>
#include <string.h>

#include "dataplane/clock.h"
#include "dataplane/ending.h"
#include "dataplane/trace.h"

#define SECOND_NS 1000000000ull

struct hs_trigger {
	char name[HS_TRIGGER_NAME_MAX_BYTES];
	uint32_t hash;
	uint32_t index;
	uint64_t full_at;
};

static struct hs_trigger triggers[HS_SHM_NR_TRIGGERS];
static uint32_t nr_triggers;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

_Static_assert(HS_TRIGGER_NAME_MAX_BYTES == HS_SHM_TRIGGER_NAME_BYTES,
	       "a name fits into shared memory");

void hs_trigger_lock(void)
{
	pthread_mutex_lock(&lock);
}

void hs_trigger_unlock(void)
{
	pthread_mutex_unlock(&lock);
}

void hs_trigger_lock_init(void)
{
	pthread_mutex_init(&lock, NULL);
}

uint32_t hs_trigger_hash(const char *name)
{
	uint32_t h = 2166136261u;

	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * 16777619u;
	return h;
}

/* Under lock. */
static void publish(struct hs_shm_up *up)
{
	for (uint32_t i = 0; i < nr_triggers; i++)
		memcpy(up->triggers[i].name, triggers[i].name,
		       sizeof(triggers[i].name));
	/* up.W2 release, pairs up.R2: names before their number. */
	__atomic_store_n(&up->nr_triggers, nr_triggers, __ATOMIC_RELEASE);
}

void hs_trigger_publish_all(struct hs_shm_up *up)
{
	pthread_mutex_lock(&lock);
	publish(up);
	pthread_mutex_unlock(&lock);
}

static bool name_good(const char *name)
{
	size_t n = name ? strnlen(name, HS_TRIGGER_NAME_MAX_BYTES) : 0;

	if (n == 0 || n == HS_TRIGGER_NAME_MAX_BYTES)
		return false;
	return strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			    "abcdefghijklmnopqrstuvwxyz0123456789_.-") == n;
}

struct hs_trigger *hs_trigger_define(const char *name)
{
	struct hs_trigger *t = NULL;
	struct hs_attachment *at;
	uint32_t i;

	if (!name_good(name))
		return NULL;
	pthread_mutex_lock(&lock);
	for (i = 0; i < nr_triggers; i++) {
		if (strcmp(triggers[i].name, name) == 0)
			t = &triggers[i];
	}
	if (!t && nr_triggers < HS_SHM_NR_TRIGGERS) {
		t = &triggers[nr_triggers];
		/* name_good() has seen its end. */
		memcpy(t->name, name, strlen(name) + 1);
		t->hash = hs_trigger_hash(name);
		t->index = nr_triggers++;
		at = hs_client_epoch() ? hs_client_attachment() : NULL;
		if (at)
			publish(hs_attachment_up(at));
	}
	pthread_mutex_unlock(&lock);
	return t;
}

bool hs_trigger_admit(uint64_t *full_at, uint64_t now_ns, uint32_t rate_per_s)
{
	uint64_t token_ns = SECOND_NS / rate_per_s;
	uint64_t old, next;

	/* trigger.C1 relaxed: the word is all there is. */
	old = __atomic_load_n(full_at, __ATOMIC_RELAXED);
	for (;;) {
		next = (old > now_ns ? old : now_ns) + token_ns;
		if (next - now_ns > SECOND_NS)
			return false;
		/* trigger.C2 relaxed: the word is all there is. */
		if (__atomic_compare_exchange_n(full_at, &old, next, true,
						__ATOMIC_RELAXED,
						__ATOMIC_RELAXED))
			return true;
	}
}

/* Let the calling thread's own trace carry the news onwards. */
static void mark_current(struct hs_tls *tls, const struct hs_trigger *trigger,
			 const struct hs_trace_id *id)
{
	struct hs_trace *trace = tls->current;

	if (!trace || !hs_handle_live(trace) || trace->id.hi != id->hi ||
	    trace->id.lo != id->lo || trace->flags & HS_CONTEXT_F_TRIGGERED)
		return;
	trace->flags |= HS_CONTEXT_F_TRIGGERED;
	trace->trigger = trigger->hash;
}

static bool fire(struct hs_tls *tls, struct hs_trigger *trigger,
		 const struct hs_trace_id *id,
		 const struct hs_trace_id *lateral, uint32_t nr)
{
	struct hs_shm_entry entries[HS_LATERAL_MAX + 1];
	struct hs_attachment *at = hs_client_attachment();
	struct hs_lane *lane;

	if (!at) {
		hs_client_count(HS_COUNT_ENTRIES_LOST, 1 + nr);
		return false;
	}
	if (!hs_trigger_admit(&trigger->full_at, hs_clock_steady_ns(),
			      hs_client.trigger_rate_per_s)) {
		hs_client_count(HS_COUNT_TRIGGERS_LIMITED, 1);
		return false;
	}
	entries[0] = (struct hs_shm_entry){
		.trace_hi = id->hi,
		.trace_lo = id->lo,
		.u.arg = trigger->index,
		.type = HS_SHM_ENTRY_TRIGGER,
		.aux = (uint8_t)nr,
	};
	for (uint32_t i = 0; i < nr; i++)
		entries[1 + i] = (struct hs_shm_entry){
			.trace_hi = lateral[i].hi,
			.trace_lo = lateral[i].lo,
			.type = HS_SHM_ENTRY_LATERAL,
		};
	lane = hs_client_lane(tls, at);
	if (lane ? !hs_lane_push(lane, entries, 1 + nr)
		 : !hs_ending_offer(tls, at, entries, 1 + nr)) {
		hs_client_count(HS_COUNT_ENTRIES_LOST, 1 + nr);
		return false;
	}
	mark_current(tls, trigger, id);
	return true;
}

bool hs_trigger_fire_own(struct hs_trigger *trigger, struct hs_trace *trace)
{
	if (!hs_trigger_fire(trigger, &trace->id, NULL, 0))
		return false;
	if (!(trace->flags & HS_CONTEXT_F_TRIGGERED)) {
		trace->flags |= HS_CONTEXT_F_TRIGGERED;
		trace->trigger = trigger->hash;
	}
	return true;
}

bool hs_trigger_fire(struct hs_trigger *trigger,
		     const struct hs_trace_id *trace_id,
		     const struct hs_trace_id *lateral, size_t nr_lateral)
{
	struct hs_tls *tls;
	bool fired;

	if (!trigger || !trace_id || (!trace_id->hi && !trace_id->lo) ||
	    nr_lateral > HS_LATERAL_MAX || (nr_lateral && !lateral))
		return false;
	tls = hs_client_enter();
	if (!tls)
		return false;
	fired = fire(tls, trigger, trace_id, lateral, (uint32_t)nr_lateral);
	hs_client_leave(tls);
	return fired;
}
