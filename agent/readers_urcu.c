/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: see readers.h: liburcu's QSBR. A thread is a reader for as long as
 * it looks and no longer, so most grace periods find nobody to wait for.
 */
#include <urcu-qsbr.h>

#include "agent/readers.h"

/*
 * ThreadSanitizer sees nothing of what liburcu orders, which is not built with
 * it: that a grace period comes after readers that were there before is said to
 * it here.
 */
#ifdef __clang__
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#endif
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
static char readers_done;
#define READER_DONE() __tsan_release(&readers_done)
#define GRACE_DONE()  __tsan_acquire(&readers_done)
#else
#define READER_DONE() ((void)0)
#define GRACE_DONE()  ((void)0)
#endif

static void grace(void *ctx)
{
	(void)ctx;
	urcu_qsbr_synchronize_rcu();
	GRACE_DONE();
}

bool hs_readers_apart(void)
{
	return true;
}

void (*hs_readers_grace(void))(void *ctx)
{
	return grace;
}

uint32_t hs_readers_seen(const struct hs_agent_core *core, uint32_t domain,
			 const struct hs_wire_trace_id *ids, uint32_t nr,
			 struct hs_agent_seen *out)
{
	uint32_t nr_known;

	urcu_qsbr_register_thread();
	nr_known = hs_agent_core_seen(core, domain, ids, nr, out);
	READER_DONE();
	urcu_qsbr_unregister_thread();
	return nr_known;
}
