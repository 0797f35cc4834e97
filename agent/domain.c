/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see domain.h. */
#include "agent/domain.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/fault.h"
#include "agent/left.h"
#include "agent/shm_read.h"
#include "base/log.h"

#define POOL_MAX_BYTES	  ((size_t)1 << 41)
#define HUGE_BYTES	  ((size_t)2 << 20)
#define CLASS_FACTOR	  4u
#define CHUNKS_MIN	  32u
#define CHUNK_BUFFERS_MIN 8u
#define LEDGER_MAX_BYTES  ((size_t)1 << 40)

static void name_of(const struct hs_tenant *t, const char *what,
		    char out[HS_HELD_NAME_BYTES])
{
	snprintf(out, HS_HELD_NAME_BYTES, "d%u:%u:%s:%s", t->index, t->uid,
		 t->name, what);
}

static void tenant_free(struct hs_tenant *t)
{
	hs_fault_forget(t->pool.base);
	hs_memfd_close(&t->pool);
	hs_memfd_close(&t->ledger);
	if (t->memory)
		munmap(t->memory, t->memory_bytes);
	free(t);
}

/* The pool is the guests' to write: we only ever read it. */
static int pool_make(struct hs_memfd *pool, uint64_t size_bytes, bool huge)
{
	struct hs_memfd made;
	int rc = hs_memfd_create(&made, "hs-pool", size_bytes,
				 huge ? HS_MEMFD_HUGE : 0);

	if (rc)
		return rc;
	/* Nobody but whom we hand it to may open it anew by /proc. */
	fchmod(made.fd, 0600);
	hs_memfd_unmap(&made);
	rc = hs_memfd_attach(pool, made.fd, made.size_bytes,
			     HS_MEMFD_READ_ONLY | HS_MEMFD_POPULATE);
	if (rc)
		hs_memfd_close(&made);
	return rc;
}

/* The index is walked at random: half its cost is the table of pages. */
static int memory_make(struct hs_tenant *t)
{
	size_t size_bytes = hs_agent_domain_size_bytes(&t->config);
	void *p = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return -ENOMEM;
	/* Where there are none it is as slow as it was. */
	(void)madvise(p, size_bytes, MADV_HUGEPAGE);
	t->memory = p;
	t->memory_bytes = size_bytes;
	return 0;
}

static int add_to_core(struct hs_worker *w, struct hs_tenant *t)
{
	const struct hs_agent_listener *listener =
		hs_agent_listener_find(&w->settings, t->name);
	int rc;

	t->config.weight = listener ? (uint32_t)listener->weight : 1;
	rc = memory_make(t);
	if (rc)
		return rc;
	rc = hs_agent_core_domain_add(w->core, t->index, t->memory,
				      t->ledger.base, &t->config, w->now_ns);
	if (!rc) {
		hs_fault_watch(t->pool.base, t->pool.size_bytes,
			       t->pool.is_huge);
		w->tenants[t->index] = t;
	}
	return rc;
}

static int tenant_fill(struct hs_worker *w, struct hs_tenant *t,
		       uint64_t pool_bytes)
{
	char name[HS_HELD_NAME_BYTES];
	size_t ledger_bytes = hs_agent_domain_ledger_bytes(&t->config);
	int rc = pool_make(&t->pool, pool_bytes, w->settings.huge_pages);

	if (!rc)
		rc = hs_memfd_create(&t->ledger, "hs-ledger", ledger_bytes,
				     w->settings.huge_pages &&
						     ledger_bytes >= HUGE_BYTES
					     ? HS_MEMFD_HUGE
					     : 0);
	if (rc)
		return rc;
	fchmod(t->ledger.fd, 0600);
	rc = add_to_core(w, t);
	if (rc)
		return rc;
	name_of(t, "pool", name);
	rc = hs_worker_store(w, name, t->pool.fd);
	name_of(t, "ledger", name);
	return rc ? rc : hs_worker_store(w, name, t->ledger.fd);
}

/*
 * Chunks of a huge page, smaller ones in a pool that would have few of them;
 * sizes by four from the smallest to the largest that is wanted and of which a
 * chunk holds several.
 */
static void shape(struct hs_agent_domain_config *c,
		  const struct hs_agent_listener *listener)
{
	uint64_t chunk_bytes = HUGE_BYTES, size;

	while (chunk_bytes > 4096 &&
	       listener->pool_bytes / chunk_bytes < CHUNKS_MIN &&
	       chunk_bytes / 2 >= CHUNK_BUFFERS_MIN * listener->buffer_bytes)
		chunk_bytes /= 2;
	c->buffer_bytes = (uint32_t)listener->buffer_bytes;
	c->class_factor = CLASS_FACTOR;
	c->nr_nodes = 1;
	c->nr_classes = 1;
	size = listener->buffer_bytes * CLASS_FACTOR;
	while (size <= listener->buffer_max_bytes &&
	       size * CHUNK_BUFFERS_MIN <= chunk_bytes &&
	       c->nr_classes < HS_SHM_NR_CLASSES) {
		c->nr_classes++;
		size *= CLASS_FACTOR;
	}
	c->chunk_units = (uint32_t)(chunk_bytes / listener->buffer_bytes);
	c->nr_buffers =
		(uint32_t)(listener->pool_bytes / chunk_bytes) * c->chunk_units;
}

static struct hs_tenant *tenant_make(struct hs_worker *w, uint32_t index,
				     const struct hs_agent_listener *listener,
				     uint32_t uid)
{
	struct hs_tenant *t = calloc(1, sizeof(*t));
	int rc;

	if (!t)
		return NULL;
	t->pool.fd = t->ledger.fd = -1;
	t->index = index;
	t->uid = uid;
	snprintf(t->name, sizeof(t->name), "%s", listener->name);
	shape(&t->config, listener);
	rc = tenant_fill(w, t, hs_tenant_pool_bytes(t));
	if (rc) {
		hs_log_error("agent",
			     "no memory for a domain: make its pool smaller "
			     "domain=%s uid=%u pool_bytes=%llu error=%s",
			     t->name, uid,
			     (unsigned long long)listener->pool_bytes,
			     strerror(-rc));
		/* What the core was given it keeps. */
		if (!w->tenants[index])
			tenant_free(t);
		return NULL;
	}
	hs_log_info("agent",
		    "domain made domain=%s uid=%u pool_bytes=%llu "
		    "huge_pages=%d",
		    t->name, uid, (unsigned long long)hs_tenant_pool_bytes(t),
		    t->pool.is_huge);
	return t;
}

struct hs_tenant *hs_tenant_get(struct hs_worker *w,
				const struct hs_agent_listener *listener,
				uint32_t uid)
{
	static struct hs_log_limit limit = HS_LOG_LIMIT_INIT;
	uint32_t room = HS_AGENT_DOMAINS_MAX;
	uint64_t quiet;

	for (uint32_t i = HS_AGENT_DOMAINS_MAX; i-- > 0;) {
		struct hs_tenant *t = w->tenants[i];

		if (!t)
			room = i;
		else if (t->uid == uid && !strcmp(t->name, listener->name))
			return t;
	}
	if (room < HS_AGENT_DOMAINS_MAX)
		return tenant_make(w, room, listener, uid);
	if (hs_log_limit_pass(&limit, w->now_ns, &quiet))
		hs_log_warn("agent",
			    "too many domains, attachment refused domain=%s "
			    "uid=%u max=%u",
			    listener->name, uid, HS_AGENT_DOMAINS_MAX);
	return NULL;
}

static int adopt_fill(struct hs_worker *w, struct hs_tenant *t)
{
	char name[HS_HELD_NAME_BYTES];
	const struct hs_ledger_domain *ledger;
	int rc;

	name_of(t, "ledger", name);
	rc = hs_held_attach(&w->held, name, &t->ledger, LEDGER_MAX_BYTES,
			    HS_MEMFD_POPULATE);
	if (rc)
		return rc;
	name_of(t, "pool", name);
	/* Its pages are there; our page table fills as slices are sent. */
	rc = hs_held_attach(&w->held, name, &t->pool, POOL_MAX_BYTES,
			    HS_MEMFD_READ_ONLY);
	if (rc)
		return rc;
	/* The shape that it was made with, whatever the file says now. */
	ledger = t->ledger.base;
	if (t->ledger.size_bytes < sizeof(*ledger) ||
	    ledger->magic != HS_LEDGER_DOMAIN_MAGIC ||
	    ledger->version != HS_LEDGER_VERSION || ledger->nr_buffers == 0 ||
	    ledger->buffer_bytes < sizeof(struct hs_shm_buffer) ||
	    ledger->chunk_units == 0 || ledger->class_factor == 0 ||
	    ledger->nr_nodes == 0)
		return -EPROTO;
	t->config.nr_buffers = ledger->nr_buffers;
	t->config.buffer_bytes = ledger->buffer_bytes;
	t->config.nr_crumbs = ledger->nr_crumbs;
	t->config.nr_classes = ledger->nr_classes;
	t->config.class_factor = ledger->class_factor;
	t->config.chunk_units = ledger->chunk_units;
	t->config.nr_nodes = ledger->nr_nodes;
	if (hs_agent_domain_ledger_bytes(&t->config) > t->ledger.size_bytes ||
	    hs_tenant_pool_bytes(t) > t->pool.size_bytes)
		return -EPROTO;
	return add_to_core(w, t);
}

/* "dN:UID:NAME:..." is memory of domain N. */
static bool held_name_read(const char *held_name, struct hs_tenant *t)
{
	char *end;
	size_t len;

	if (*held_name != 'd')
		return false;
	t->index = (uint32_t)strtoul(held_name + 1, &end, 10);
	if (*end != ':')
		return false;
	t->uid = (uint32_t)strtoul(end + 1, &end, 10);
	if (*end != ':')
		return false;
	len = strcspn(++end, ":");
	if (len == 0 || len >= sizeof(t->name) || end[len] != ':')
		return false;
	memcpy(t->name, end, len);
	return true;
}

static void adopt_one(struct hs_worker *w, const char *held_name)
{
	struct hs_tenant *t = calloc(1, sizeof(*t));
	char name[HS_HELD_NAME_BYTES], expect[HS_HELD_NAME_BYTES];
	int rc = -EPROTO;

	if (!t)
		return;
	t->pool.fd = t->ledger.fd = -1;
	if (held_name_read(held_name, t)) {
		name_of(t, "ledger", expect);
		if (!strcmp(expect, held_name) &&
		    t->index < HS_AGENT_DOMAINS_MAX && !w->tenants[t->index])
			rc = adopt_fill(w, t);
	}
	if (!rc) {
		w->adopted_bytes += hs_tenant_pool_bytes(t);
		hs_log_info("agent", "domain adopted domain=%s uid=%u", t->name,
			    t->uid);
		return;
	}
	hs_log_error("agent",
		     "a domain of a predecessor cannot be adopted domain=%s "
		     "uid=%u error=%s",
		     t->name, t->uid, strerror(-rc));
	name_of(t, "ledger", name);
	hs_left_put(w, name);
	name_of(t, "pool", name);
	hs_left_put(w, name);
	tenant_free(t);
}

static bool ends_with(const char *text, const char *end)
{
	size_t a = strlen(text), b = strlen(end);

	return a >= b && !strcmp(text + a - b, end);
}

void hs_tenants_adopt(struct hs_worker *w)
{
	for (uint32_t i = 0; i < w->held.nr_items; i++) {
		const char *name = w->held.items[i].name;
		char other[HS_HELD_NAME_BYTES];
		size_t len = strlen(name);

		if (hs_left_is(name))
			continue;
		if (ends_with(name, ":ledger"))
			adopt_one(w, name);
		/* A predecessor died before it stored the other half. */
		if (!ends_with(name, ":pool"))
			continue;
		snprintf(other, sizeof(other), "%.*sledger",
			 (int)(len - strlen("pool")), name);
		if (hs_held_find(&w->held, other) < 0)
			hs_worker_drop(w, name);
	}
}

void hs_tenants_free(struct hs_worker *w)
{
	for (uint32_t i = 0; i < HS_AGENT_DOMAINS_MAX; i++) {
		if (w->tenants[i])
			tenant_free(w->tenants[i]);
		w->tenants[i] = NULL;
	}
}

bool hs_tenant_header(const struct hs_tenant *t, uint64_t stock_word,
		      struct hs_shm_buffer *out)
{
	uint64_t offset =
		(uint64_t)hs_shm_stock_ref(stock_word) * HS_SHM_REF_UNIT_BYTES;
	uint64_t pool_bytes = hs_tenant_pool_bytes(t);

	if (stock_word == 0 || hs_shm_stock_node(stock_word) != 0 ||
	    offset % t->config.buffer_bytes || offset > pool_bytes ||
	    t->config.buffer_bytes > pool_bytes - offset)
		return false;
	hs_shm_read_header(
		out, (const void *)((const uint8_t *)t->pool.base + offset));
	return true;
}
