/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verbs_memory.c - see verbs_memory.h
 */
#include "rdma/verbs_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

/* On a huge page's border, so that the kernel can make one of it later. */
static uint8_t *map_aligned(size_t size)
{
	size_t all = size + HS_VERBS_HUGE_BYTES;
	uint8_t *p = mmap(NULL, all, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t head;

	if (p == MAP_FAILED)
		return NULL;
	head = -(uintptr_t)p & (HS_VERBS_HUGE_BYTES - 1);
	if (head)
		munmap(p, head);
	munmap(p + head + size, all - head - size);
	madvise(p + head, size, MADV_HUGEPAGE);
	return p + head;
}

int hs_verbs_area_open(struct hs_verbs_area *a, const struct hs_verbs_api *api,
		       struct ibv_pd *pd, size_t size_bytes)
{
	size_t size = (size_bytes + HS_VERBS_HUGE_BYTES - 1) &
		      ~(HS_VERBS_HUGE_BYTES - 1);
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	int rc;

	a->huge = p != MAP_FAILED;
	a->data = a->huge ? p : map_aligned(size);
	if (!a->data)
		return -ENOMEM;
	a->size_bytes = size;
	/* A child must not take the pages that the device knows from us. */
	madvise(a->data, size, MADV_DONTFORK);
	a->mr = api->reg_mr(pd, a->data, size, IBV_ACCESS_LOCAL_WRITE);
	if (!a->mr) {
		rc = errno ? -errno : -ENOMEM;
		munmap(a->data, size);
		a->data = NULL;
		return rc;
	}
	return 0;
}

void hs_verbs_area_close(struct hs_verbs_area *a,
			 const struct hs_verbs_api *api)
{
	if (a->mr)
		api->dereg_mr(a->mr);
	if (a->data)
		munmap(a->data, a->size_bytes);
	a->mr = NULL;
	a->data = NULL;
}

/* One more area, all of it onto the spare list. */
static int more(struct hs_verbs_memory *m)
{
	size_t nr = HS_VERBS_HUGE_BYTES / HS_VERBS_RING_BYTES;
	struct hs_verbs_area *a = calloc(1, sizeof(*a));

	if (!a || hs_verbs_area_open(a, m->api, m->pd, HS_VERBS_HUGE_BYTES)) {
		free(a);
		return -ENOMEM;
	}
	a->next = m->areas;
	m->areas = a;
	for (size_t i = 0; i < nr; i++) {
		struct hs_verbs_ring *r = calloc(1, sizeof(*r));

		if (!r)
			return m->spare ? 0 : -ENOMEM;
		r->data = a->data + i * HS_VERBS_RING_BYTES;
		r->lkey = a->mr->lkey;
		hs_verbs_ring_put(m, r);
	}
	return 0;
}

struct hs_verbs_ring *hs_verbs_ring_get(struct hs_verbs_memory *m)
{
	struct hs_verbs_ring *r;

	if (!m->spare && more(m))
		return NULL;
	r = m->spare;
	m->spare = r->next;
	return r;
}

void hs_verbs_ring_put(struct hs_verbs_memory *m, struct hs_verbs_ring *r)
{
	r->next = m->spare;
	m->spare = r;
}

void hs_verbs_memory_close(struct hs_verbs_memory *m)
{
	while (m->spare) {
		struct hs_verbs_ring *r = m->spare;

		m->spare = r->next;
		free(r);
	}
	while (m->areas) {
		struct hs_verbs_area *a = m->areas;

		m->areas = a->next;
		hs_verbs_area_close(a, m->api);
		free(a);
	}
}
