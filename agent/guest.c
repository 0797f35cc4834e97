/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see guest.h. */
#include "agent/guest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/fault.h"
#include "agent/shm_read.h"
#include "base/clock.h"
#include "base/fdpass.h"
#include "base/log.h"
#include "base/random.h"
#include "numa/numa.h"

#define GUEST_MAX_BYTES ((size_t)1 << 32)
#define UNDATED_NS	(5 * HS_NS_PER_SEC)

static uint64_t to_line(uint64_t bytes)
{
	return (bytes + HS_SHM_LINE_BYTES - 1) &
	       ~(uint64_t)(HS_SHM_LINE_BYTES - 1);
}

/* Offsets from counts; the settings' limits keep the sums far from wrapping. */
static void place(struct hs_shm_down *d)
{
	uint32_t nr_classes = d->nr_classes ? d->nr_classes : 1;
	uint64_t at = HS_SHM_DOWN_STATUS + sizeof(struct hs_shm_status);

	d->ring_stride = hs_shm_ring_offset(d->ring_words, nr_classes);
	d->lane_stride = to_line(sizeof(struct hs_shm_lane) +
				 d->lane_entries * sizeof(struct hs_shm_entry));
	d->down_rings = to_line(at);
	at = d->down_rings + d->nr_rings * d->ring_stride;
	d->down_tails = at;
	d->down_rules = at + d->nr_lanes * sizeof(struct hs_shm_lane_tail);
	d->down_bytes = d->down_rules + sizeof(struct hs_shm_rules);
	d->up_rings = to_line(sizeof(struct hs_shm_up));
	d->up_slots = d->up_rings + (uint64_t)d->nr_rings * nr_classes *
					    sizeof(struct hs_shm_stock_tail);
	d->up_lanes = d->up_slots + d->nr_slots * sizeof(struct hs_shm_slot);
	d->up_watch = d->up_lanes + d->nr_lanes * d->lane_stride;
	d->up_bytes = d->up_watch +
		      hs_shm_watch_bytes(d->nr_operations, d->nr_stripes);
}

/*
 * Version 1 knows one ring a core, one class of buffers, whichever, and one
 * pool: it gets the class that suits most traces alone.
 */
#define SINGLE_BYTES 1024u
static uint32_t single_class(const struct hs_tenant *t)
{
	uint32_t i = 0;

	while (i + 1 < t->config.nr_classes &&
	       hs_tenant_class_bytes(t, i) < SINGLE_BYTES)
		i++;
	return i;
}

/*
 * One for each core, so that as many threads at once have their own, and a
 * quarter of all of them for the others to share (hs_shm_stripes_own()).
 */
static uint32_t stripes_for(const struct hs_agent_settings *settings,
			    uint32_t client_max)
{
	uint32_t cores = (uint32_t)settings->nr_rings;
	uint32_t nr = 1 + cores + cores / 3;
	uint32_t most = client_max ? client_max : HS_SHM_STRIPES_UNSAID;

	if (most > HS_SHM_STRIPES_MAX)
		most = HS_SHM_STRIPES_MAX;
	return nr < most ? nr : most;
}

void hs_guest_layout(struct hs_shm_down *out, const struct hs_tenant *tenant,
		     const struct hs_agent_settings *settings, uint32_t version,
		     uint32_t nr_stripes)
{
	memset(out, 0, sizeof(*out));
	out->magic = HS_SHM_DOWN_MAGIC;
	out->version = version;
	out->header_bytes = sizeof(*out);
	out->domain = tenant->index;
	out->pool_bytes = hs_tenant_pool_bytes(tenant);
	if (version == 1) {
		uint32_t single = single_class(tenant);

		out->class_bytes[single] =
			hs_tenant_class_bytes(tenant, single);
	} else {
		out->nr_classes = tenant->config.nr_classes;
		out->nr_nodes = tenant->config.nr_nodes;
		for (uint32_t i = 0; i < out->nr_classes; i++)
			out->class_bytes[i] = hs_tenant_class_bytes(tenant, i);
	}
	out->nr_rings = (uint32_t)settings->nr_rings;
	out->ring_words = (uint32_t)settings->ring_words;
	out->nr_lanes = (uint32_t)settings->nr_lanes;
	out->lane_entries = (uint32_t)settings->lane_entries;
	out->nr_slots = (uint32_t)settings->nr_slots;
	out->nr_operations = (uint32_t)settings->nr_operations;
	out->nr_stripes = nr_stripes;
	place(out);
}

static void name_of(const struct hs_guest *g, const char *what,
		    char out[HS_HELD_NAME_BYTES])
{
	snprintf(out, HS_HELD_NAME_BYTES, "d%u:p%u:%s", g->tenant->index,
		 g->number, what);
}

static void guest_free(struct hs_guest *g)
{
	hs_fault_forget(g->up.base);
	hs_memfd_close(&g->down);
	hs_memfd_close(&g->up);
	if (g->exit_fd >= 0)
		close(g->exit_fd);
	hs_guest_hang_up(g);
	free(g->lanes);
	free(g->rings);
	free(g);
}

static int up_make(struct hs_memfd *up, uint64_t size_bytes)
{
	struct hs_memfd made;
	int rc = hs_memfd_create(&made, "hs-up", size_bytes, 0);

	if (rc)
		return rc;
	fchmod(made.fd, 0600);
	hs_memfd_unmap(&made);
	rc = hs_memfd_attach(up, made.fd, made.size_bytes,
			     HS_MEMFD_READ_ONLY | HS_MEMFD_POPULATE);
	if (rc)
		hs_memfd_close(&made);
	return rc;
}

static int tables_make(const struct hs_worker *w, struct hs_guest *g)
{
	g->first_class = 0;
	g->nr_classes = g->layout.nr_classes;
	if (g->layout.version == 1) {
		g->first_class = single_class(g->tenant);
		g->nr_classes = 1;
	}
	g->lanes = calloc(g->layout.nr_lanes, sizeof(*g->lanes));
	g->rings = calloc((size_t)g->layout.nr_rings * g->nr_classes,
			  sizeof(*g->rings));
	if (!g->lanes || !g->rings)
		return -ENOMEM;
	for (uint32_t i = 0; i < g->layout.nr_rings * g->nr_classes; i++) {
		struct hs_guest_ring *r = &g->rings[i];

		r->core = i / g->nr_classes;
		if (g->layout.version == 1)
			r->node = HS_AGENT_STOCK_HERE;
		else if (g->tenant->config.nr_nodes > 1)
			r->node = hs_numa_node_of_cpu(w->numa, r->core) %
				  g->tenant->config.nr_nodes;
		r->size_class = g->first_class + i % g->nr_classes;
		r->mask = hs_shm_ring_words(g->layout.ring_words,
					    i % g->nr_classes) -
			  1;
		r->offset = r->core * g->layout.ring_stride +
			    hs_shm_ring_offset(g->layout.ring_words,
					       i % g->nr_classes);
	}
	return hs_fault_watch(g->up.base, g->up.size_bytes, false);
}

static int memory_make(struct hs_worker *w, struct hs_guest *g)
{
	char name[HS_HELD_NAME_BYTES];
	int rc = hs_memfd_create(&g->down, "hs-down", g->layout.down_bytes, 0);

	if (!rc)
		rc = up_make(&g->up, g->layout.up_bytes);
	if (!rc)
		rc = tables_make(w, g);
	if (rc)
		return rc;
	/* Read-only for good: no other user can open it anew by /proc. */
	fchmod(g->down.fd, 0400);
	memcpy(g->down.base, &g->layout, sizeof(g->layout));
	name_of(g, "down", name);
	rc = hs_worker_store(w, name, g->down.fd);
	name_of(g, "up", name);
	return rc ? rc : hs_worker_store(w, name, g->up.fd);
}

static void live_set(struct hs_ledger_process *p, uint32_t live)
{
	/* guest.W1 release, pairs guest.R1: the record before its live. */
	__atomic_store_n(&p->live, live, __ATOMIC_RELEASE);
}

static uint32_t live_get(const struct hs_ledger_process *p)
{
	/* guest.R1 acquire, pairs guest.W1: live before the record. */
	return __atomic_load_n(&p->live, __ATOMIC_ACQUIRE);
}

/* Return: false when the ledger has no place left. */
static bool record(struct hs_guest *g)
{
	struct hs_ledger_process *p = hs_tenant_processes(g->tenant);
	uint32_t i = 0;

	while (i < HS_LEDGER_PROCESSES && live_get(&p[i]))
		i++;
	if (i == HS_LEDGER_PROCESSES)
		return false;
	g->place = i;
	p[i].process = g->number;
	p[i].pid = g->pid;
	p[i].start_ticks = g->start_ticks;
	p[i].token = g->token;
	p[i].lost_seen = 0;
	memcpy(p[i].service, g->service, sizeof(p[i].service));
	live_set(&p[i], 1);
	return true;
}

static uint32_t index_free(const struct hs_worker *w)
{
	uint32_t i = 0;

	while (i < (uint32_t)w->settings.nr_processes && w->guests[i])
		i++;
	return i;
}

static void enter(struct hs_worker *w, struct hs_guest *g, uint32_t index)
{
	g->index = index;
	w->guests[index] = g;
	if (w->nr_guests <= index)
		w->nr_guests = index + 1;
	g->tenant->nr_guests++;
	g->since_ns = g->read_ns = w->now_ns;
	if (g->exit_fd >= 0)
		hs_worker_watch(w, g->exit_fd, HS_WORKER_GUEST_EXIT, index);
}

static void forget_memory(struct hs_worker *w, const struct hs_guest *g)
{
	char name[HS_HELD_NAME_BYTES];

	name_of(g, "down", name);
	hs_worker_drop(w, name);
	name_of(g, "up", name);
	hs_worker_drop(w, name);
}

struct hs_guest *hs_guest_make(struct hs_worker *w, struct hs_tenant *tenant,
			       pid_t pid, uint64_t start_ticks, int exit_fd,
			       const struct hs_shm_hello *hello)
{
	uint32_t version = hello->version_max < HS_SHM_VERSION
				   ? hello->version_max
				   : HS_SHM_VERSION;
	uint32_t index = index_free(w);
	struct hs_guest *g;
	int rc;

	if (index >= (uint32_t)w->settings.nr_processes ||
	    tenant->nr_guests >= (uint32_t)w->settings.nr_domain_processes)
		return NULL;
	g = calloc(1, sizeof(*g));
	if (!g)
		return NULL;
	g->tenant = tenant;
	g->pid = pid;
	g->start_ticks = start_ticks;
	g->line = g->exit_fd = g->down.fd = g->up.fd = -1;
	snprintf(g->service, sizeof(g->service), "%s", hello->service);
	hs_guest_layout(&g->layout, tenant, &w->settings, version,
			stripes_for(&w->settings, hello->stripes_max));
	g->number = hs_agent_core_process_new(w->core);
	g->layout.process = g->number;
	g->layout.node_id = w->node_id;
	rc = hs_random_secure(&g->token, sizeof(g->token));
	if (!rc)
		rc = memory_make(w, g);
	if (!rc && !record(g))
		rc = -ENOSPC;
	if (rc) {
		hs_log_error("agent",
			     "cannot take a process in pid=%ld "
			     "service=%s error=%s",
			     (long)pid, hello->service, strerror(-rc));
		forget_memory(w, g);
		guest_free(g);
		return NULL;
	}
	g->exit_fd = exit_fd;
	enter(w, g, index);
	return g;
}

/* The layout that a predecessor wrote must be one that we would have made. */
static int layout_adopt(struct hs_worker *w, struct hs_guest *g)
{
	struct hs_agent_settings then = w->settings;
	struct hs_shm_down expect;
	const struct hs_shm_down *d = &g->layout;

	if (g->down.size_bytes < sizeof(*d))
		return -EPROTO;
	memcpy(&g->layout, g->down.base, sizeof(*d));
	if (d->version > HS_SHM_VERSION || d->version < HS_SHM_VERSION_MIN ||
	    d->nr_rings > 4096 || d->ring_words > 65536 ||
	    d->nr_lanes > HS_AGENT_LANES_MAX || d->lane_entries > 65536 ||
	    d->nr_slots > 1 << 20 || !d->nr_rings || !d->ring_words ||
	    !d->nr_operations || d->nr_operations > HS_SHM_OPERATIONS_MAX ||
	    !d->nr_stripes || d->nr_stripes > HS_SHM_STRIPES_MAX ||
	    !d->lane_entries)
		return -EPROTO;
	then.nr_rings = d->nr_rings;
	then.ring_words = d->ring_words;
	then.nr_lanes = d->nr_lanes;
	then.lane_entries = d->lane_entries;
	then.nr_slots = d->nr_slots;
	then.nr_operations = d->nr_operations;
	hs_guest_layout(&expect, g->tenant, &then, d->version, d->nr_stripes);
	expect.process = g->number;
	expect.node_id = d->node_id;
	if (memcmp(&expect, d, sizeof(expect)) ||
	    expect.down_bytes > g->down.size_bytes ||
	    expect.up_bytes > g->up.size_bytes)
		return -EPROTO;
	return 0;
}

/* A word that was put in its place but not announced is announced now. */
static void ring_adopt(struct hs_worker *w, struct hs_guest *g,
		       struct hs_guest_ring *r)
{
	struct hs_shm_stock_ring *shared = hs_guest_ring(g, r);
	uint64_t *words = (uint64_t *)(shared + 1);
	const struct hs_shm_stock_tail *tail = hs_guest_stock_tail(g, r);
	uint64_t word;

	r->head = hs_shm_read_own_head(shared);
	r->tail = hs_shm_read_stock_tail(tail);
	r->nulls = hs_shm_read_stock_nulls(tail);
	r->empties = hs_shm_read_stock_empties(tail);
	word = hs_shm_read_own_word(&words[r->head & r->mask]);
	if (!word ||
	    !hs_agent_core_owns(w->core, g->tenant->index, g->number, word))
		return;
	hs_shm_write_stock_word(&words[(r->head + 1) & r->mask], 0);
	r->head++;
	hs_shm_write_stock_head(shared, r->head);
}

/* Low halves are enough to tell whether there were more since. */
static uint32_t drops(const struct hs_guest *g)
{
	uint64_t sum = g->unpinned;

	for (uint32_t i = 0; i < g->layout.nr_lanes; i++)
		sum += g->lanes[i].lost;
	return (uint32_t)sum;
}

void hs_guest_losses_seen(struct hs_guest *g)
{
	hs_tenant_processes(g->tenant)[g->place].lost_seen = drops(g);
}

/*
 * A predecessor's losses are in the ledger. Where there were more since it
 * wrote them down, all count as increases from 0, at a time that is not known.
 */
static void losses_adopt(struct hs_guest *g)
{
	const struct hs_ledger_process *p =
		&hs_tenant_processes(g->tenant)[g->place];

	g->unpinned = hs_shm_read_unpinned(g->up.base);
	for (uint32_t i = 0; i < g->layout.nr_lanes; i++)
		g->lanes[i].lost = hs_shm_read_lane_lost(hs_guest_lane(g, i));
	if (drops(g) == p->lost_seen)
		return;
	g->unpinned = 0;
	for (uint32_t i = 0; i < g->layout.nr_lanes; i++)
		g->lanes[i].lost = 0;
}

static int adopt_fill(struct hs_worker *w, struct hs_guest *g)
{
	char name[HS_HELD_NAME_BYTES];
	int rc;

	name_of(g, "down", name);
	rc = hs_held_attach(&w->held, name, &g->down, GUEST_MAX_BYTES,
			    HS_MEMFD_POPULATE);
	if (rc)
		return rc;
	name_of(g, "up", name);
	rc = hs_held_attach(&w->held, name, &g->up, GUEST_MAX_BYTES,
			    HS_MEMFD_READ_ONLY | HS_MEMFD_POPULATE);
	if (!rc)
		rc = layout_adopt(w, g);
	if (!rc)
		rc = tables_make(w, g);
	if (rc)
		return rc;
	for (uint32_t i = 0; i < g->layout.nr_lanes; i++) {
		g->lanes[i].tail =
			hs_shm_read_own_tail(hs_guest_lane_tail(g, i));
	}
	losses_adopt(g);
	for (uint32_t i = 0; i < g->layout.nr_rings * g->nr_classes; i++)
		ring_adopt(w, g, &g->rings[i]);
	return 0;
}

/* Its pidfd, if it is still the process that attached. */
static int still_there(const struct hs_ledger_process *p)
{
	uint64_t ticks;
	int fd = hs_process_pidfd(p->pid);

	if (fd < 0)
		return -1;
	if (hs_process_start_ticks(p->pid, &ticks) || ticks != p->start_ticks) {
		close(fd);
		return -1;
	}
	return fd;
}

static void adopt_one(struct hs_worker *w, struct hs_tenant *t, uint32_t i)
{
	struct hs_ledger_process *p = &hs_tenant_processes(t)[i];
	struct hs_guest *g = calloc(1, sizeof(*g));
	uint32_t index = index_free(w);
	int rc = -ENOSPC;

	if (!g)
		return;
	g->tenant = t;
	g->place = i;
	g->number = p->process;
	g->pid = p->pid;
	g->start_ticks = p->start_ticks;
	g->token = p->token;
	memcpy(g->service, p->service, sizeof(g->service) - 1);
	g->line = g->exit_fd = g->down.fd = g->up.fd = -1;
	g->adopted = true;
	if (index < (uint32_t)w->settings.nr_processes)
		rc = adopt_fill(w, g);
	if (!rc) {
		g->exit_fd = still_there(p);
		g->dead = g->exit_fd < 0;
		enter(w, g, index);
		/* Losses since the predecessor last looked are not dated. */
		g->read_ns -= g->read_ns < UNDATED_NS ? g->read_ns : UNDATED_NS;
		return;
	}
	hs_log_error("agent",
		     "a process of a predecessor cannot be adopted, it has to "
		     "attach anew pid=%d service=%s error=%s",
		     p->pid, g->service, strerror(-rc));
	/* What it has open, and in its lanes, nobody will read. */
	hs_agent_core_loss(w->core, t->index, g->number, 0, w->now_ns);
	hs_agent_core_process_dead(w->core, t->index, g->number, w->now_ns);
	live_set(p, 0);
	forget_memory(w, g);
	guest_free(g);
}

/* "dN:pM:..." is memory of process M in domain N. */
static bool stray_name(const char *name, uint32_t *domain, uint32_t *number)
{
	char *end;

	if (*name != 'd')
		return false;
	*domain = (uint32_t)strtoul(name + 1, &end, 10);
	if (end[0] != ':' || end[1] != 'p')
		return false;
	*number = (uint32_t)strtoul(end + 2, &end, 10);
	return *end == ':';
}

/* Memory of processes that the ledgers do not know (any more). */
static void drop_strays(struct hs_worker *w)
{
	for (uint32_t i = 0; i < w->held.nr_items; i++) {
		const char *name = w->held.items[i].name;
		uint32_t domain, number;
		bool known = false;

		if (!stray_name(name, &domain, &number))
			continue;
		for (uint32_t j = 0; j < w->nr_guests; j++)
			known |= w->guests[j] &&
				 w->guests[j]->tenant->index == domain &&
				 w->guests[j]->number == number;
		if (!known)
			hs_worker_drop(w, name);
	}
}

void hs_guests_adopt(struct hs_worker *w)
{
	for (uint32_t d = 0; d < HS_AGENT_DOMAINS_MAX; d++) {
		struct hs_tenant *t = w->tenants[d];

		for (uint32_t i = 0; t && i < HS_LEDGER_PROCESSES; i++)
			if (live_get(&hs_tenant_processes(t)[i]))
				adopt_one(w, t, i);
	}
	drop_strays(w);
}

void hs_guest_remove(struct hs_worker *w, struct hs_guest *g)
{
	live_set(&hs_tenant_processes(g->tenant)[g->place], 0);
	forget_memory(w, g);
	w->guests[g->index] = NULL;
	while (w->nr_guests && !w->guests[w->nr_guests - 1])
		w->nr_guests--;
	g->tenant->nr_guests--;
	guest_free(g);
}

void hs_guests_free(struct hs_worker *w)
{
	for (uint32_t i = 0; i < w->nr_guests; i++)
		if (w->guests[i])
			guest_free(w->guests[i]);
	w->nr_guests = 0;
}

struct hs_guest *hs_guest_find(struct hs_worker *w, uint32_t number,
			       uint64_t token)
{
	for (uint32_t i = 0; i < w->nr_guests; i++) {
		struct hs_guest *g = w->guests[i];

		if (g && g->number == number && g->token == token && !g->dead)
			return g;
	}
	return NULL;
}

void hs_guest_hang_up(struct hs_guest *g)
{
	if (g->line >= 0)
		close(g->line);
	g->line = -1;
}
