/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see shown.h. */
#include "agent/shown.h"

#include <string.h>
#include <sys/mman.h>

#include "base/log.h"
#include "base/random.h"
#include "rdma/crumbs.h"

void hs_shown_make(struct hs_worker *w, struct hs_agent_config *config)
{
	const struct hs_agent_settings *s = &w->settings;
	uint8_t key[sizeof(w->crumb_table.key)];

	if (s->transport.kind == HS_TRANSPORT_TCP || !s->nr_crumb_entries ||
	    hs_random_secure(key, sizeof(key)))
		return;
	w->crumb_table =
		hs_crumbs_table_make(0, (uint64_t)s->nr_crumb_entries, key);
	/* Filled now: devices know its pages by where they are, and who maps it
	 * must find none missing. Large ones, since whoever reads a line of it
	 * has not been near for long, and would walk the table of pages first.
	 */
	if (hs_memfd_create(&w->crumb_memory, "hs-crumbs",
			    hs_crumbs_bytes(&w->crumb_table),
			    HS_MEMFD_OURS |
				    (s->huge_pages ? HS_MEMFD_ADVISE : 0))) {
		hs_log_warn("agent", "no memory for crumbs that coordinators "
				     "could read: limits.crumb_entries");
		return;
	}
	/* A child must not keep them: devices have them registered. */
	madvise(w->crumb_memory.base, w->crumb_memory.size_bytes,
		MADV_DONTFORK);
	w->crumb_buckets = w->crumb_memory.base;
	config->crumb_table = w->crumb_table;
	config->crumb_buckets = w->crumb_buckets;
}

void hs_shown_tell(struct hs_worker *w)
{
	const struct hs_transport_windows windows = {
		.data = w->crumb_buckets,
		.memory = &w->crumb_memory,
		.size_bytes = hs_crumbs_bytes(&w->crumb_table),
		.reader = HS_WIRE_ROLE_COORDINATOR,
		.about = &w->crumb_table,
		.about_bytes = sizeof(w->crumb_table),
	};

	if (!w->crumb_buckets)
		return;
	w->crumb_table.node = w->node_id;
	if (hs_transport_windows(w->transport, &windows) == 0)
		return;
	/* "auto", and it is TCP. */
	hs_agent_core_hide_crumbs(w->core);
	hs_shown_free(w);
}

void hs_shown_free(struct hs_worker *w)
{
	if (w->crumb_buckets)
		hs_memfd_close(&w->crumb_memory);
	w->crumb_buckets = NULL;
}
