/* SPDX-License-Identifier: Apache-2.0 */
/*
 * members.c - see members.h
 */
#include "rdma/members.h"

#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "rdma/wire.h"

#define NEVER	    HS_MEMBER_NEVER
#define IDENTIFY_NS 5000000000ull

const uint8_t hs_member_transitions[HS_MEMBER_NR_STATES][HS_MEMBER_NR_EVENTS] =
	{
		[HS_MEMBER_FREE] =
			{
				[HS_MEMBER_LISTED] = HS_MEMBER_JOINING,
				[HS_MEMBER_UNLISTED] = NEVER,
				[HS_MEMBER_CAME] = HS_MEMBER_UP,
				[HS_MEMBER_WENT] = NEVER,
				[HS_MEMBER_LEAVES] = NEVER,
				[HS_MEMBER_EXPIRED] = NEVER,
			},
		[HS_MEMBER_JOINING] =
			{
				[HS_MEMBER_LISTED] = HS_MEMBER_JOINING,
				[HS_MEMBER_UNLISTED] = HS_MEMBER_GONE,
				[HS_MEMBER_CAME] = HS_MEMBER_UP,
				[HS_MEMBER_WENT] = NEVER,
				[HS_MEMBER_LEAVES] = NEVER,
				[HS_MEMBER_EXPIRED] = NEVER,
			},
		[HS_MEMBER_UP] =
			{
				[HS_MEMBER_LISTED] = HS_MEMBER_UP,
				[HS_MEMBER_UNLISTED] = HS_MEMBER_LEAVING,
				[HS_MEMBER_CAME] = HS_MEMBER_UP,
				[HS_MEMBER_WENT] = HS_MEMBER_DOWN,
				[HS_MEMBER_LEAVES] = HS_MEMBER_LEAVING,
				[HS_MEMBER_EXPIRED] = NEVER,
			},
		[HS_MEMBER_DOWN] =
			{
				[HS_MEMBER_LISTED] = HS_MEMBER_DOWN,
				[HS_MEMBER_UNLISTED] = HS_MEMBER_GONE,
				[HS_MEMBER_CAME] = HS_MEMBER_UP,
				[HS_MEMBER_WENT] = NEVER,
				[HS_MEMBER_LEAVES] = NEVER,
				[HS_MEMBER_EXPIRED] = HS_MEMBER_GONE,
			},
		[HS_MEMBER_LEAVING] =
			{
				[HS_MEMBER_LISTED] = HS_MEMBER_UP,
				[HS_MEMBER_UNLISTED] = HS_MEMBER_LEAVING,
				[HS_MEMBER_CAME] = HS_MEMBER_UP,
				[HS_MEMBER_WENT] = HS_MEMBER_GONE,
				[HS_MEMBER_LEAVES] = HS_MEMBER_LEAVING,
				[HS_MEMBER_EXPIRED] = NEVER,
			},
		[HS_MEMBER_GONE] =
			{
				[HS_MEMBER_LISTED] = HS_MEMBER_JOINING,
				[HS_MEMBER_UNLISTED] = NEVER,
				/* What is there is a member, whatever a list
				 * says: the list may be the one that is late.
				 */
				[HS_MEMBER_CAME] = HS_MEMBER_UP,
				[HS_MEMBER_WENT] = NEVER,
				[HS_MEMBER_LEAVES] = NEVER,
				[HS_MEMBER_EXPIRED] = NEVER,
			},
};

const char *hs_member_state_name(enum hs_member_state state)
{
	static const char *const names[HS_MEMBER_NR_STATES] = {
		[HS_MEMBER_FREE] = "free",
		[HS_MEMBER_JOINING] = "joining",
		[HS_MEMBER_UP] = "up",
		[HS_MEMBER_DOWN] = "down",
		[HS_MEMBER_LEAVING] = "leaving",
		[HS_MEMBER_GONE] = "gone",
	};

	return (unsigned int)state < HS_MEMBER_NR_STATES ? names[state] : "?";
}

/* ---- places ----------------------------------------------------------------
 */

static uint32_t slots_for(uint32_t nr)
{
	uint32_t slots = 16;

	while (slots < nr && slots < 1u << 30)
		slots *= 2;
	return slots;
}

static void *carve(uint8_t *memory, size_t *used, size_t size)
{
	void *at = memory ? memory + *used : NULL;

	*used += (size + 7) / 8 * 8;
	return at;
}

static size_t lay_out(struct hs_members *m, uint8_t *memory)
{
	uint32_t slots = slots_for(m->config.nr);
	size_t used = 0;

	carve(memory, &used, sizeof(*m));
	m->mask = slots - 1;
	m->at = carve(memory, &used,
		      ((size_t)m->config.nr + 1) * sizeof(*m->at));
	m->by_number = carve(memory, &used, slots * sizeof(uint32_t));
	m->by_peer = carve(memory, &used, slots * sizeof(uint32_t));
	return used;
}

size_t hs_members_size_bytes(const struct hs_members_config *config)
{
	struct hs_members m = {.config = *config};

	return lay_out(&m, NULL);
}

struct hs_members *hs_members_create(void *memory,
				     const struct hs_members_config *config)
{
	struct hs_members *m = memory;

	hs_check(((uintptr_t)memory & 7) == 0 && config->nr);
	m->config = *config;
	if (!m->config.identify_ns)
		m->config.identify_ns = IDENTIFY_NS;
	lay_out(m, memory);
	return m;
}

static uint32_t *number_chain(const struct hs_members *m,
			      enum hs_wire_role role, uint32_t number)
{
	return &m->by_number[hs_hash_mix64((uint64_t)role << 32 | number) &
			     m->mask];
}

static uint32_t *peer_chain(const struct hs_members *m, uint32_t peer)
{
	return &m->by_peer[peer & m->mask];
}

uint32_t hs_members_find(const struct hs_members *m, enum hs_wire_role role,
			 uint32_t number)
{
	uint32_t i = number ? *number_chain(m, role, number) : 0;

	while (i && (m->at[i].number != number || m->at[i].role != role))
		i = m->at[i].next_number;
	return i;
}

uint32_t hs_members_peer(const struct hs_members *m, uint32_t peer)
{
	uint32_t i = peer ? *peer_chain(m, peer) : 0;

	while (i && m->at[i].peer != peer)
		i = m->at[i].next_peer;
	return i;
}

uint32_t hs_members_next(const struct hs_members *m, enum hs_wire_role role,
			 uint32_t i)
{
	return i ? m->at[i].next_role : m->first[role];
}

static void changed(struct hs_members *m, uint32_t i)
{
	m->at[i].version = ++m->stats.version;
}

static void step(struct hs_members *m, uint32_t i, enum hs_member_event event,
		 uint64_t now_ns)
{
	struct hs_member *at = &m->at[i];
	uint8_t to = hs_member_transitions[at->state][event];

	hs_check(to != NEVER, "member state=%d event=%d", at->state, event);
	if (to == at->state)
		return;
	m->stats.nr[at->state]--;
	m->stats.nr[to]++;
	if (at->state == HS_MEMBER_FREE || at->state == HS_MEMBER_GONE)
		m->stats.joined++;
	if (to == HS_MEMBER_GONE) {
		m->stats.left++;
		at->listed = false;
	}
	at->state = to;
	at->since_ns = now_ns;
	changed(m, i);
}

static void number_set(struct hs_members *m, uint32_t i, uint32_t number)
{
	uint32_t *chain = number_chain(m, m->at[i].role, number);

	m->at[i].number = number;
	m->at[i].next_number = *chain;
	*chain = i;
}

static void peer_drop(struct hs_members *m, uint32_t i)
{
	uint32_t *at = peer_chain(m, m->at[i].peer);

	if (!m->at[i].peer)
		return;
	while (*at != i)
		at = &m->at[*at].next_peer;
	*at = m->at[i].next_peer;
	m->at[i].peer = 0;
}

static void peer_set(struct hs_members *m, uint32_t i, uint32_t peer)
{
	uint32_t *chain = peer_chain(m, peer);

	m->at[i].peer = peer;
	m->at[i].next_peer = *chain;
	*chain = i;
}

static void release(struct hs_members *m, uint32_t i)
{
	struct hs_member *at = &m->at[i];
	uint32_t *link;

	peer_drop(m, i);
	if (at->number) {
		link = number_chain(m, at->role, at->number);
		while (*link != i)
			link = &m->at[*link].next_number;
		*link = at->next_number;
	}
	link = &m->first[at->role];
	while (*link != i)
		link = &m->at[*link].next_role;
	*link = at->next_role;
	m->stats.nr[at->state]--;
	*at = (struct hs_member){.next_number = m->free};
	m->free = i;
	m->stats.version++;
}

/* The one that has been gone for longest makes room. */
static bool make_room(struct hs_members *m)
{
	uint32_t oldest = 0;

	if (!m->stats.nr[HS_MEMBER_GONE])
		return false;
	for (uint32_t i = 1; i <= m->fresh; i++)
		if (m->at[i].state == HS_MEMBER_GONE &&
		    (!oldest || m->at[i].since_ns < m->at[oldest].since_ns))
			oldest = i;
	release(m, oldest);
	return true;
}

static uint32_t member_new(struct hs_members *m, enum hs_wire_role role,
			   uint32_t number, const char *address)
{
	uint32_t i;

	if (!m->free && m->fresh == m->config.nr && !make_room(m)) {
		m->stats.refused++;
		return 0;
	}
	i = m->free ? m->free : ++m->fresh;
	if (i == m->free)
		m->free = m->at[i].next_number;
	m->at[i] =
		(struct hs_member){.role = role, .next_role = m->first[role]};
	m->first[role] = i;
	m->stats.nr[HS_MEMBER_FREE]++;
	strncpy(m->at[i].address, address, HS_MEMBER_ADDRESS_BYTES - 1);
	if (number)
		number_set(m, i, number);
	return i;
}

/* ---- sources ---------------------------------------------------------------
 */

/* By its address; one that is gone only if @gone. */
static uint32_t at_address(const struct hs_members *m, enum hs_wire_role role,
			   const char *address, bool gone)
{
	uint32_t i = *address ? m->first[role] : 0;

	while (i && (strcmp(m->at[i].address, address) != 0 ||
		     (m->at[i].state == HS_MEMBER_GONE && !gone)))
		i = m->at[i].next_role;
	return i;
}

static bool list_one(struct hs_members *m, enum hs_wire_role role, bool dial,
		     const struct hs_member_line *line, uint64_t now_ns)
{
	uint32_t i = hs_members_find(m, role, line->number);
	struct hs_member *at;
	uint64_t was = m->stats.version;

	if (!i)
		i = at_address(m, role, line->address, true);
	/* Another node's number at that address: a new member. */
	if (i && line->number && m->at[i].number &&
	    m->at[i].number != line->number)
		i = 0;
	if (!i)
		i = member_new(m, role, line->number, line->address);
	if (!i)
		return false;
	at = &m->at[i];
	if (line->number && !at->number)
		number_set(m, i, line->number);
	if (*line->address && strcmp(at->address, line->address) != 0) {
		memcpy(at->address, line->address, sizeof(at->address));
		changed(m, i);
	}
	at->dial = dial;
	at->listed = true;
	step(m, i, HS_MEMBER_LISTED, now_ns);
	return m->stats.version != was;
}

static bool names(const struct hs_member *at,
		  const struct hs_member_line *lines, uint32_t nr)
{
	for (uint32_t k = 0; k < nr; k++)
		if (lines[k].number && at->number
			    ? lines[k].number == at->number
			    : *at->address &&
				      !strcmp(lines[k].address, at->address))
			return true;
	return false;
}

bool hs_members_list(struct hs_members *m, enum hs_wire_role role, bool dial,
		     const struct hs_member_line *lines, uint32_t nr,
		     uint64_t now_ns)
{
	bool any = false;

	m->listed[role] = true;
	for (uint32_t i = m->first[role]; i; i = m->at[i].next_role) {
		if (!m->at[i].listed || names(&m->at[i], lines, nr))
			continue;
		m->at[i].listed = false;
		step(m, i, HS_MEMBER_UNLISTED, now_ns);
		any = true;
	}
	for (uint32_t k = 0; k < nr; k++)
		any |= list_one(m, role, dial, &lines[k], now_ns);
	return any;
}

/* ---- connections -----------------------------------------------------------
 */

/* Whoever was listed at the address that we dialled is this one. */
static uint32_t member_of(struct hs_members *m, enum hs_wire_role role,
			  uint32_t number, const char *address)
{
	uint32_t i = hs_members_find(m, role, number);
	uint32_t listed = at_address(m, role, address, false);

	if (listed && listed == i)
		return i;
	if (listed && !m->at[listed].number && !i) {
		number_set(m, listed, number);
		changed(m, listed);
		return listed;
	}
	if (!i)
		i = member_new(m, role, number, address);
	if (!i || !listed)
		return i;
	/* Another node sits there now, or it has two addresses. */
	m->at[i].dial = m->at[listed].dial;
	m->at[i].listed |= m->at[listed].listed;
	strncpy(m->at[i].address, address, HS_MEMBER_ADDRESS_BYTES - 1);
	release(m, listed);
	return i;
}

uint32_t hs_members_came(struct hs_members *m, enum hs_wire_role role,
			 uint64_t id, const char *name, const char *address,
			 uint32_t peer, uint64_t now_ns, uint32_t *superseded)
{
	uint32_t i = member_of(m, role, (uint32_t)(id >> 32), address);
	struct hs_member *at;

	*superseded = 0;
	if (!i)
		return 0;
	at = &m->at[i];
	if (at->peer && at->peer != peer) {
		*superseded = at->peer;
		m->stats.superseded++;
	}
	peer_drop(m, i);
	peer_set(m, i, peer);
	if (at->id != id || strncmp(at->name, name, sizeof(at->name)) != 0)
		changed(m, i);
	at->id = id;
	memset(at->name, 0, sizeof(at->name));
	strncpy(at->name, name, sizeof(at->name) - 1);
	step(m, i, HS_MEMBER_CAME, now_ns);
	return i;
}

uint32_t hs_members_went(struct hs_members *m, uint32_t peer, uint64_t now_ns)
{
	uint32_t i = hs_members_peer(m, peer);

	if (!i)
		return 0;
	peer_drop(m, i);
	step(m, i, HS_MEMBER_WENT, now_ns);
	return i;
}

uint32_t hs_members_leaves(struct hs_members *m, uint32_t peer, uint64_t now_ns)
{
	uint32_t i = hs_members_peer(m, peer);

	if (i)
		step(m, i, HS_MEMBER_LEAVES, now_ns);
	return i;
}

void hs_members_tick(struct hs_members *m, uint64_t now_ns)
{
	if (!m->config.expire_after_ns || !m->stats.nr[HS_MEMBER_DOWN])
		return;
	for (uint32_t i = 1; i <= m->fresh; i++)
		if (m->at[i].state == HS_MEMBER_DOWN && !m->at[i].listed &&
		    now_ns - m->at[i].since_ns >= m->config.expire_after_ns)
			step(m, i, HS_MEMBER_EXPIRED, now_ns);
}

/* ---- owners ----------------------------------------------------------------
 */

/* Return: whether @a wants the key more than @b. */
static bool before(const struct hs_members *m, uint64_t key, uint32_t a,
		   uint32_t b)
{
	uint64_t wa = hs_hash_rendezvous(key, m->at[a].number);
	uint64_t wb = hs_hash_rendezvous(key, m->at[b].number);

	return wa != wb ? wa > wb : m->at[a].number > m->at[b].number;
}

static uint32_t ranked(const struct hs_members *m, uint64_t key,
		       const uint32_t *of, uint32_t nr, uint32_t attempt)
{
	uint32_t last = 0;

	/* The attempt-th one by looking for the best below the last: nearly
	 * always it is the first. */
	for (uint32_t n = 0; n <= attempt % nr; n++) {
		uint32_t best = 0;

		for (uint32_t k = 0; k < nr; k++)
			if ((!last || before(m, key, last, of[k])) &&
			    (!best || before(m, key, of[k], best)))
				best = of[k];
		last = best;
	}
	return last;
}

static uint32_t in_state(const struct hs_members *m, enum hs_wire_role role,
			 enum hs_member_state state, uint32_t *out)
{
	uint32_t nr = 0;

	for (uint32_t i = m->first[role]; i; i = m->at[i].next_role)
		if (m->at[i].state == state && nr < HS_MEMBERS_RANKED_MAX)
			out[nr++] = i;
	return nr;
}

uint32_t hs_members_shard(const struct hs_members *m,
			  const struct hs_wire_trace_id *primary,
			  uint32_t attempt)
{
	uint32_t of[HS_MEMBERS_RANKED_MAX];
	uint32_t nr = in_state(m, HS_WIRE_ROLE_COORDINATOR, HS_MEMBER_UP, of);

	/* Better one that is about to leave than nobody. */
	if (!nr)
		nr = in_state(m, HS_WIRE_ROLE_COORDINATOR, HS_MEMBER_LEAVING,
			      of);
	return nr ? ranked(m, hs_wire_trace_key(primary), of, nr, attempt) : 0;
}

/* Listed and not known by number: it may be the owner of anything. */
static bool is_awaited(const struct hs_members *m, const struct hs_member *at,
		       uint64_t now_ns)
{
	return !at->number && now_ns - at->since_ns < m->config.identify_ns;
}

uint32_t hs_members_collector(const struct hs_members *m,
			      const struct hs_wire_trace_id *trace,
			      uint64_t now_ns)
{
	uint64_t key = hs_wire_trace_key(trace);
	uint32_t best = 0;

	for (uint32_t i = m->first[HS_WIRE_ROLE_COLLECTOR]; i;
	     i = m->at[i].next_role) {
		const struct hs_member *at = &m->at[i];

		/* Where a source speaks, nobody makes itself an owner by
		 * connecting to us under a collector's role. */
		if (at->state == HS_MEMBER_LEAVING ||
		    at->state == HS_MEMBER_GONE ||
		    (m->listed[HS_WIRE_ROLE_COLLECTOR] && !at->listed))
			continue;
		if (is_awaited(m, at, now_ns))
			return 0;
		if (at->number && (!best || before(m, key, i, best)))
			best = i;
	}
	return best && m->at[best].peer ? best : 0;
}

uint64_t hs_members_routes(const struct hs_members *m, uint64_t now_ns)
{
	uint64_t nr_awaited = 0;

	for (uint32_t i = m->first[HS_WIRE_ROLE_COLLECTOR]; i;
	     i = m->at[i].next_role)
		nr_awaited += is_awaited(m, &m->at[i], now_ns);
	return m->stats.version << 16 | (nr_awaited & 0xffff);
}

/* ---- sums ------------------------------------------------------------------
 */

static const char *check_one(const struct hs_members *m, uint32_t i)
{
	const struct hs_member *at = &m->at[i];
	bool connected =
		at->state == HS_MEMBER_UP || at->state == HS_MEMBER_LEAVING;

	if (connected != (at->peer != 0))
		return "connected without a connection";
	if (at->number && hs_members_find(m, at->role, at->number) != i)
		return "a number twice, or not found";
	if (at->peer && hs_members_peer(m, at->peer) != i)
		return "a connection twice, or not found";
	if (at->listed && at->state == HS_MEMBER_GONE)
		return "listed and gone";
	if (at->version > m->stats.version)
		return "a version of the future";
	return NULL;
}

bool hs_members_check(const struct hs_members *m, const char **why)
{
	uint32_t nr[HS_MEMBER_NR_STATES] = {0};

	*why = NULL;
	for (uint32_t role = 1; role < 4 && !*why; role++)
		for (uint32_t i = m->first[role]; i && !*why;
		     i = m->at[i].next_role) {
			nr[m->at[i].state]++;
			*why = check_one(m, i);
		}
	if (!*why && memcmp(nr, m->stats.nr, sizeof(nr)) != 0)
		*why = "members by state";
	return !*why;
}
