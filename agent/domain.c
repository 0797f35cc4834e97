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

#include "agent/clear.h"
#include "agent/fault.h"
#include "agent/left.h"
#include "agent/shipper.h"
#include "agent/shm_read.h"
#include "base/log.h"
#include "numa/numa.h"

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
	for (uint32_t i = 0; i < t->nr_pools; i++) {
		hs_fault_forget(t->pools[i].base);
		hs_memfd_close(&t->pools[i]);
	}
	hs_memfd_close(&t->ledger);
	if (t->memory)
		munmap(t->memory, t->memory_bytes);
	free(t);
}

/* Node 0's is "pool", so that one node looks as it always did. */
static void pool_name(const struct hs_tenant *t, uint32_t node,
		      char out[HS_HELD_NAME_BYTES])
{
	char what[16] = "pool";

	if (node)
		snprintf(what, sizeof(what), "pool%u", node);
	name_of(t, what, out);
}

struct spot {
	struct hs_numa *numa;
	uint32_t node;
};

static int place(void *ctx, void *base, size_t size_bytes)
{
	const struct spot *s = ctx;

	return hs_numa_place(s->numa, s->node, base, size_bytes);
}

/* The pool is the guests' to write: we only ever read it. */
static int pool_make(struct hs_worker *w, struct hs_tenant *t, uint32_t node)
{
	struct spot spot = {w->numa, node};
	struct hs_memfd_place at = {place, &spot};
	unsigned int flags =
		w->settings.huge_pages ? HS_MEMFD_HUGE | HS_MEMFD_ADVISE : 0;
	struct hs_memfd *pool = &t->pools[node], made;
	uint64_t huge_bytes;
	enum hs_pages pages;
	int rc = hs_memfd_create_at(&made, "hs-pool", hs_tenant_pool_bytes(t),
				    flags, t->config.nr_nodes > 1 ? &at : NULL);

	if (rc)
		return rc;
	pages = hs_pages_of(made.base, made.size_bytes, made.is_huge,
			    &huge_bytes);
	if (node == 0 || pages < t->pages)
		t->pages = pages;
	t->huge_bytes += huge_bytes;
	if (t->config.nr_nodes > 1)
		t->misplaced_bytes += made.size_bytes -
				      hs_numa_bytes_on(w->numa, node, made.base,
						       made.size_bytes);
	/* Nobody but whom we hand it to may open it anew by /proc. */
	fchmod(made.fd, 0600);
	hs_memfd_unmap(&made);
	rc = hs_memfd_attach(pool, made.fd, made.size_bytes,
			     HS_MEMFD_READ_ONLY | HS_MEMFD_POPULATE);
	if (rc)
		hs_memfd_close(&made);
	else
		t->nr_pools = node + 1;
	return rc;
}

/*
 * The index is walked at random: half its cost is the table of pages. So a few
 * hundred traces touch all of it, and the kernel clears some hundred large
 * pages for them, 20 ms in which a process that begins gets no buffers.
 * @populate: clear them now. A successor's traces are touched in order, each
 * only if there is one, and another core goes ahead (clear.h).
 */
static int memory_make(struct hs_tenant *t, bool populate)
{
	size_t size_bytes = hs_agent_domain_size_bytes(&t->config);
	void *p = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return -ENOMEM;
	/* Where there are none it is as slow as it was. */
	(void)madvise(p, size_bytes, MADV_HUGEPAGE);
	/* Linux 5.14; before it they come as they are touched. */
	if (populate)
		(void)madvise(p, size_bytes, MADV_POPULATE_WRITE);
	t->memory = p;
	t->memory_bytes = size_bytes;
	return 0;
}

static int add_to_core(struct hs_worker *w, struct hs_tenant *t, bool made)
{
	const struct hs_agent_listener *listener =
		hs_agent_listener_find(&w->settings, t->name);
	struct hs_clear clear = {.running = false};
	int rc;

	t->config.weight = listener ? (uint32_t)listener->weight : 1;
	rc = memory_make(t, made);
	if (rc)
		return rc;
	if (!made)
		hs_clear_begin(&clear, t->memory,
			       hs_agent_domain_touched_bytes(&t->config));
	rc = hs_agent_core_domain_add(w->core, t->index, t->memory,
				      t->ledger.base, &t->config, w->now_ns);
	w->clear_cpu_ns += hs_clear_end(&clear);
	if (!rc) {
		for (uint32_t i = 0; i < t->nr_pools; i++)
			hs_fault_watch(t->pools[i].base, t->pools[i].size_bytes,
				       t->pools[i].is_huge);
		w->tenants[t->index] = t;
	}
	return rc;
}

static int tenant_fill(struct hs_worker *w, struct hs_tenant *t)
{
	char name[HS_HELD_NAME_BYTES];
	size_t ledger_bytes = hs_agent_domain_ledger_bytes(&t->config);
	int rc = 0;

	for (uint32_t i = 0; i < t->config.nr_nodes && !rc; i++)
		rc = pool_make(w, t, i);
	if (!rc)
		rc = hs_memfd_create(&t->ledger, "hs-ledger", ledger_bytes,
				     w->settings.huge_pages &&
						     ledger_bytes >= HUGE_BYTES
					     ? HS_MEMFD_HUGE | HS_MEMFD_ADVISE
					     : 0);
	if (rc)
		return rc;
	fchmod(t->ledger.fd, 0600);
	rc = add_to_core(w, t, true);
	for (uint32_t i = 0; i < t->config.nr_nodes && !rc; i++) {
		pool_name(t, i, name);
		rc = hs_worker_store(w, name, t->pools[i].fd);
	}
	/* Adopted ones are there before the shipper is. */
	if (!rc && w->shipper)
		hs_shipper_lend(w->shipper, t);
	name_of(t, "ledger", name);
	return rc ? rc : hs_worker_store(w, name, t->ledger.fd);
}

/*
 * Chunks of a huge page, smaller ones in a pool that would have few of them;
 * sizes by four from the smallest to the largest that is wanted and of which a
 * chunk holds several.
 */
static void shape(struct hs_agent_domain_config *c,
		  const struct hs_agent_listener *listener, uint32_t nr_nodes)
{
	uint64_t chunk_bytes = HUGE_BYTES, size;
	uint64_t nr_chunks;

	while (chunk_bytes > 4096 &&
	       listener->pool_bytes / chunk_bytes < CHUNKS_MIN &&
	       chunk_bytes / 2 >= CHUNK_BUFFERS_MIN * listener->buffer_bytes)
		chunk_bytes /= 2;
	c->buffer_bytes = (uint32_t)listener->buffer_bytes;
	c->class_factor = CLASS_FACTOR;
	c->nr_classes = 1;
	size = listener->buffer_bytes * CLASS_FACTOR;
	while (size <= listener->buffer_max_bytes &&
	       size * CHUNK_BUFFERS_MIN <= chunk_bytes &&
	       c->nr_classes < HS_SHM_NR_CLASSES) {
		c->nr_classes++;
		size *= CLASS_FACTOR;
	}
	c->chunk_units = (uint32_t)(chunk_bytes / listener->buffer_bytes);
	nr_chunks = listener->pool_bytes / chunk_bytes;
	/* Each node with all its classes, or none of its own. */
	c->nr_nodes = nr_nodes > HS_SHM_NR_NODES ? HS_SHM_NR_NODES : nr_nodes;
	if (nr_chunks < 2ull * c->nr_nodes * c->nr_classes)
		c->nr_nodes = 1;
	c->nr_buffers = (uint32_t)(nr_chunks / c->nr_nodes * c->nr_nodes) *
			c->chunk_units;
}

static void say_made(const struct hs_worker *w, const struct hs_tenant *t)
{
	char why[HS_PAGES_WHY_BYTES];

	hs_pages_why(t->pages, w->settings.huge_pages, why);
	hs_log_info("agent",
		    "domain made domain=%s uid=%u pool_bytes=%llu nodes=%u "
		    "pages=%s huge_bytes=%llu why=\"%s\"",
		    t->name, t->uid,
		    (unsigned long long)(hs_tenant_pool_bytes(t) *
					 t->config.nr_nodes),
		    t->config.nr_nodes, hs_pages_names[t->pages],
		    (unsigned long long)t->huge_bytes, why);
	if (t->misplaced_bytes)
		hs_log_warn("agent",
			    "a NUMA node had too little memory, other nodes' "
			    "is used domain=%s uid=%u bytes=%llu",
			    t->name, t->uid,
			    (unsigned long long)t->misplaced_bytes);
}

static struct hs_tenant *tenant_make(struct hs_worker *w, uint32_t index,
				     const struct hs_agent_listener *listener,
				     uint32_t uid)
{
	struct hs_tenant *t = calloc(1, sizeof(*t));
	int rc;

	if (!t)
		return NULL;
	t->ledger.fd = -1;
	t->index = index;
	t->uid = uid;
	snprintf(t->name, sizeof(t->name), "%s", listener->name);
	shape(&t->config, listener,
	      w->settings.numa ? hs_numa_nr_nodes(w->numa) : 1);
	rc = tenant_fill(w, t);
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
	say_made(w, t);
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

/* Their pages are there; our page table fills as slices are sent. */
static int pools_adopt(struct hs_worker *w, struct hs_tenant *t)
{
	char name[HS_HELD_NAME_BYTES];

	t->pages = HS_PAGES_HUGE;
	for (uint32_t i = 0; i < t->config.nr_nodes; i++) {
		int rc;

		pool_name(t, i, name);
		rc = hs_held_attach(&w->held, name, &t->pools[i],
				    POOL_MAX_BYTES, HS_MEMFD_READ_ONLY);
		if (rc)
			return rc;
		t->nr_pools = i + 1;
		if (hs_tenant_pool_bytes(t) > t->pools[i].size_bytes)
			return -EPROTO;
		if (t->pools[i].is_huge)
			t->huge_bytes += t->pools[i].size_bytes;
		else
			t->pages = HS_PAGES_SMALL;
	}
	return 0;
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
	/* The shape that it was made with, whatever the file says now. */
	ledger = t->ledger.base;
	if (t->ledger.size_bytes < sizeof(*ledger) ||
	    ledger->magic != HS_LEDGER_DOMAIN_MAGIC ||
	    ledger->version != HS_LEDGER_VERSION || ledger->nr_buffers == 0 ||
	    ledger->buffer_bytes < sizeof(struct hs_shm_buffer) ||
	    ledger->chunk_units == 0 || ledger->class_factor == 0 ||
	    ledger->nr_nodes == 0 || ledger->nr_nodes > HS_SHM_NR_NODES)
		return -EPROTO;
	t->config.nr_buffers = ledger->nr_buffers;
	t->config.buffer_bytes = ledger->buffer_bytes;
	t->config.nr_crumbs = ledger->nr_crumbs;
	t->config.nr_classes = ledger->nr_classes;
	t->config.class_factor = ledger->class_factor;
	t->config.chunk_units = ledger->chunk_units;
	t->config.nr_nodes = ledger->nr_nodes;
	if (hs_agent_domain_ledger_bytes(&t->config) > t->ledger.size_bytes)
		return -EPROTO;
	rc = pools_adopt(w, t);
	return rc ? rc : add_to_core(w, t, false);
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
	t->ledger.fd = -1;
	if (held_name_read(held_name, t)) {
		name_of(t, "ledger", expect);
		if (!strcmp(expect, held_name) &&
		    t->index < HS_AGENT_DOMAINS_MAX && !w->tenants[t->index])
			rc = adopt_fill(w, t);
	}
	if (!rc) {
		w->adopted_bytes += hs_tenant_pool_bytes(t) * t->nr_pools;
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
	for (uint32_t i = 0; i < HS_SHM_NR_NODES; i++) {
		pool_name(t, i, name);
		if (i == 0 || hs_held_find(&w->held, name) >= 0)
			hs_left_put(w, name);
	}
	tenant_free(t);
}

static bool ends_with(const char *text, const char *end)
{
	size_t a = strlen(text), b = strlen(end);

	return a >= b && !strcmp(text + a - b, end);
}

/* Of a name that ends with ":pool" and perhaps a number: what is before it. */
static int pool_stem(const char *name)
{
	const char *last = strrchr(name, ':');

	return last && !strncmp(last, ":pool", 5) &&
			       strspn(last + 5, "0123456789") ==
				       strlen(last + 5)
		       ? (int)(last - name)
		       : -1;
}

void hs_tenants_adopt(struct hs_worker *w)
{
	for (uint32_t i = 0; i < w->held.nr_items; i++) {
		const char *name = w->held.items[i].name;
		char other[HS_HELD_NAME_BYTES];
		int stem = pool_stem(name);

		if (hs_left_is(name))
			continue;
		if (ends_with(name, ":ledger"))
			adopt_one(w, name);
		/* A predecessor died before it stored the other half. */
		if (stem < 0)
			continue;
		snprintf(other, sizeof(other), "%.*s:ledger", stem, name);
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
	uint32_t node = hs_shm_stock_node(stock_word);

	if (stock_word == 0 || node >= t->nr_pools ||
	    offset % t->config.buffer_bytes || offset > pool_bytes ||
	    t->config.buffer_bytes > pool_bytes - offset)
		return false;
	hs_shm_read_header(
		out,
		(const void *)((const uint8_t *)t->pools[node].base + offset));
	return true;
}
