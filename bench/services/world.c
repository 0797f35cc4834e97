/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see world.h. */
#include "bench/services/world.h"

#include <sys/mman.h>

static size_t size_of(const struct hs_svc_plan *plan)
{
	return sizeof(struct hs_svc_world) +
	       (size_t)plan->nr_pairs * 2 * sizeof(struct hs_svc_ring);
}

struct hs_svc_world *hs_svc_world_make(const struct hs_svc_settings *settings,
				       const struct hs_svc_plan *plan,
				       const struct hs_svc_topology *topology)
{
	struct hs_svc_world *w =
		mmap(NULL, size_of(plan), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (w == MAP_FAILED)
		return NULL;
	w->settings = *settings;
	w->plan = *plan;
	w->topology = *topology;
	return w;
}

void hs_svc_world_free(struct hs_svc_world *w)
{
	munmap(w, size_of(&w->plan));
}
