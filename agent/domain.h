/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: trust domains: a socket and the user id that came through it, with
 * a pool and a ledger of their own. In the code a tenant, since the core has
 * its own idea of a domain.
 */
#ifndef HS_AGENT_DOMAIN_H
#define HS_AGENT_DOMAIN_H

#include "agent/ledger.h"
#include "agent/worker.h"
#include "numa/pages.h"

struct hs_tenant {
	uint32_t index; /* the core's number for it */
	uint32_t uid;
	char name[HS_AGENT_LISTENER_NAME_BYTES];
	struct hs_agent_domain_config config;
	struct hs_memfd pools[HS_SHM_NR_NODES]; /* mapped read-only */
	uint32_t nr_pools;	  /* that are there; all of them: nr_nodes */
	enum hs_pages pages;	  /* of all pools together, the smallest */
	uint64_t huge_bytes;	  /* mapped by large pages */
	uint64_t misplaced_bytes; /* not on the node that was asked for */
	struct hs_memfd ledger;
	void *memory; /* of the core */
	size_t memory_bytes;
	uint32_t nr_guests;
	/* How fast memory is taken, of late: figures.c. */
	uint64_t rate_units, rate_ns; /* when it was looked at last */
	double units_per_s;	      /* 0: not known, or none */
};

static inline struct hs_ledger_process *
hs_tenant_processes(const struct hs_tenant *tenant)
{
	return ((struct hs_ledger_domain *)tenant->ledger.base)->processes;
}
/* Of each NUMA node. */
static inline uint64_t hs_tenant_pool_bytes(const struct hs_tenant *tenant)
{
	return (uint64_t)tenant->config.nr_buffers *
	       tenant->config.buffer_bytes / tenant->config.nr_nodes;
}
static inline uint32_t hs_tenant_class_bytes(const struct hs_tenant *tenant,
					     uint32_t size_class)
{
	uint32_t bytes = tenant->config.buffer_bytes;

	while (size_class--)
		bytes *= tenant->config.class_factor;
	return bytes;
}

/**
 * hs_tenant_get() - the domain of a socket and a user id, made when new
 * Return: NULL when there are too many, or no memory (logged).
 */
struct hs_tenant *hs_tenant_get(struct hs_worker *w,
				const struct hs_agent_listener *listener,
				uint32_t uid);
/** hs_tenants_adopt() - those of a predecessor, from w->held */
void hs_tenants_adopt(struct hs_worker *w);
void hs_tenants_free(struct hs_worker *w);

/**
 * hs_tenant_header() - a local copy of a buffer's header
 * @stock_word: as a guest wrote it
 * Return: whether it names a buffer of this domain.
 */
bool hs_tenant_header(const struct hs_tenant *tenant, uint64_t stock_word,
		      struct hs_shm_buffer *out);

#endif
