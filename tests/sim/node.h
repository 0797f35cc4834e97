/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node.h - a node: its applications, and the shell around its agent
 */
#ifndef HS_TESTS_SIM_NODE_H
#define HS_TESTS_SIM_NODE_H

#include "agent/core.h"
#include "agent/silence.h"
#include "hs/shm_format.h"
#include "rdma/members.h"
#include "tests/sim/params.h"

struct sim;
struct sim_message;
struct ora_buffer;
struct ora_visit;

#define SIM_LANES     2u
#define SIM_LANE_ROOM 128u
#define SIM_RING_ROOM 64u
#define SIM_SLOTS_MAX 64u
#define SIM_NR_NAMES  3u
#define SIM_FIRED_MAX 4096u

/* ---- applications -------------------------------------------------------- */

struct sim_lane {
	struct hs_shm_entry entries[SIM_LANE_ROOM];
	uint32_t head, tail; /* tail: as the agent wrote it */
	uint32_t room;
	uint64_t lost;
	uint64_t lost_seen;	  /* the worker's own */
	struct sim_handle *ended; /* their ENDs found no room */
};

/* The stock of one size class. */
struct sim_ring {
	uint64_t words[SIM_RING_ROOM];
	uint32_t head, tail;
};

struct sim_process {
	bool alive, dead, hostile; /* dead: to be buried */
	bool today;		   /* it has today's library */
	uint32_t number, domain;
	struct sim_lane lanes[SIM_LANES];
	struct sim_ring rings[SIM_CLASSES_MAX];
	struct hs_shm_slot slots[SIM_SLOTS_MAX];
	struct sim_handle *owners[SIM_SLOTS_MAX];
	uint64_t unpinned, unpinned_seen;
	uint64_t read_ns;
	uint32_t next_handle;
	uint32_t recent[16], nr_recent; /* traces, for laterals */
};

struct sim_handle {
	uint32_t node, process, slot;
	uint32_t process_number;
	uint64_t node_id;
	uint32_t trace;
	uint32_t handle;
	uint64_t word; /* 0: none */
	uint32_t seq, pos, size;
	uint32_t lost;
	uint64_t begun; /* event */
	struct ora_visit *visit;
	struct ora_buffer *buffer;
	bool live;
	bool waits; /* what is left of one that ended and found no room */
	struct sim_handle *ended_next;
};

/* A slice that the port reads where it lies. */
#define SIM_LOANS 64u
struct sim_loan {
	bool live, honest;
	uint64_t ship_key;
	uint64_t at; /* in the node's memory */
	uint32_t length_bytes, crc;
};

/* What the calls of one domain did, and what of the others they must not. */
struct sim_tenants {
	uint32_t calling;	       /* domain + 1; 0: none */
	uint64_t evicted, crumbs_lost; /* before the call */
	struct {
		uint32_t traces, stocked, held, pinned;
	} was[SIM_DOMAINS_MAX];
	uint64_t nr_evicted[SIM_DOMAINS_MAX];
	uint64_t nr_crumbs_lost[SIM_DOMAINS_MAX];
};

/* Before a call that may give something up (judge_share.c). */
struct sim_share {
	uint64_t abandoned, groups_abandoned, holds_refused;
	uint32_t holds_free;
	bool pressed;
};

/* Since the worker or its policy began: what came of it. */
struct sim_limits {
	uint64_t since_ns, bytes, longest;
	uint64_t fired[SIM_NR_NAMES];
};

struct sim_node {
	uint32_t number, incarnation;
	bool up;   /* the worker runs */
	bool gone; /* for good */
	uint32_t gen;
	struct hs_agent_config config;
	uint32_t policy; /* its version */
	struct hs_agent_domain_config domains[SIM_DOMAINS_MAX];
	struct hs_agent_core *core;
	struct hs_crumb_bucket *crumbs; /* NULL: nobody can read them */
	void *memory, *ledger;
	void *domain_memory[SIM_DOMAINS_MAX];
	void *domain_ledgers[SIM_DOMAINS_MAX];
	struct hs_members *members;
	uint64_t routes; /* hs_members_routes() as it was last */
	struct hs_silence silence;
	uint32_t unlisted; /* coordinators, a bit each, that its list lacks */
	bool told_left;	   /* coordinators believe so, for a while */
	bool late;	   /* joins while the others run */
	uint8_t *pool;	   /* of all domains, one after the other */
	uint64_t pool_at[SIM_DOMAINS_MAX];
	uint64_t id;
	int64_t clock_ns, wall_ns;
	double drift;
	struct sim_process procs[SIM_PROCS_MAX];
	uint64_t round_at_ns; /* UINT64_MAX: none */
	uint32_t round_gen;
	uint64_t heard;	     /* event: a coordinator first heard of it */
	uint64_t scan_order; /* when the last scan began */
	uint64_t busy_until_ns;
	bool in_round, in_tick;
	uint32_t kill_in_ops; /* dies at so many ops from now; 0: no */
	uint64_t ship_last_priority[SIM_DOMAINS_MAX][HS_AGENT_TRIGGERS_MAX];
	struct sim_loan loans[SIM_LOANS];
	/* facts for the judge */
	bool lost_memory; /* ever */
	uint32_t forgot;  /* domains, a bit each, in which something was lost
			     that no trace is named for */
	struct sim_tenants tenants;
	struct sim_limits limits;
	struct sim_share share;
	bool modified; /* a slice of its went as a copy */
	uint32_t crashes, kills;
	bool hostile_seen;
	struct hs_agent_stats before; /* sums of earlier workers */
	struct hs_agent_stats seen;   /* fired traces, before this tick */
};

/* port.c */
bool sim_port_lend(struct sim *s, uint32_t node,
		   const struct hs_agent_slice *slice, uint64_t at);
void sim_port_done(struct sim *s, uint32_t node, uint32_t loan);

/* agent.c */
void sim_node_create(struct sim *s, uint32_t n);
void sim_node_start(struct sim *s, uint32_t n);
void sim_node_kill(struct sim *s, uint32_t n);
void sim_node_reboot(struct sim *s, uint32_t n);
void sim_node_destroy(struct sim *s, uint32_t n);
void sim_node_wake(struct sim *s, uint32_t n, uint64_t delay_ns);
void sim_node_scan(struct sim *s, uint32_t n);
void sim_node_lanes(struct sim *s, uint32_t n);
void sim_node_tick(struct sim *s, uint32_t n);
void sim_node_message(struct sim *s, uint32_t n, const struct sim_message *m);
void sim_node_link(struct sim *s, uint32_t n, uint32_t peer, bool up);
int sim_node_fire(struct sim *s, uint32_t n, const uint32_t *traces,
		  uint32_t nr);
uint64_t sim_node_now(const struct sim *s, const struct sim_node *n);
void sim_process_attach(struct sim *s, uint32_t n, uint32_t p);
bool sim_node_check(struct sim *s, uint32_t n);
struct hs_agent_stats sim_node_stats(const struct sim_node *n);

/* tenant.c */
void sim_domains_create(const struct sim *s, struct sim_node *n);
uint64_t sim_domain_bytes(const struct sim_node *n, uint32_t domain);
/* A call into the core for one domain begins, and ends. */
void sim_tenant_calls(const struct sim *s, struct sim_node *n, uint32_t domain);
void sim_tenant_called(struct sim *s, struct sim_node *n, bool fires);
/* It died in the middle: what it had done is that domain's. */
void sim_tenant_died(struct sim_node *n);

/* policy.c */
void sim_policies_create(struct sim *s);
void sim_policy_tables(const struct sim *s, struct hs_agent_config *c);
void sim_policy_begin(const struct sim *s, struct sim_node *n);
void sim_policy_new(struct sim *s, uint32_t n, uint32_t version);
void sim_limits_begin(const struct sim *s, struct sim_node *n);
void sim_limits_fired(struct sim *s, struct sim_node *n, uint32_t name);
void sim_limits_shipped(struct sim *s, struct sim_node *n, uint32_t bytes);

/* app.c */
bool sim_handle_begin(struct sim *s, struct sim_handle *h, uint32_t node,
		      uint32_t process, uint32_t trace);
void sim_handle_write(struct sim *s, struct sim_handle *h, uint32_t bytes);
void sim_handle_end(struct sim *s, struct sim_handle *h);
void sim_handle_crumb(struct sim *s, struct sim_handle *h, uint64_t node,
		      uint8_t kind);
/* It calls that node, and knows its id, or its address alone. */
void sim_handle_forward(struct sim *s, struct sim_handle *h, uint32_t to);
/* base/node_at.h of a node. */
static inline uint64_t sim_address(uint32_t node)
{
	return 0x0a000001 + node;
}
void sim_app_trigger(struct sim *s, uint32_t node, uint32_t process,
		     const uint32_t *traces, uint32_t nr, uint32_t name);
void sim_app_crash(struct sim *s, uint32_t node, uint32_t process);
/* The libraries' helpers publish what waits for room. */
void sim_app_sweep(struct sim *s, uint32_t node);
void sim_app_forget(struct sim_process *p);
void sim_app_nonsense(struct sim *s, uint32_t node, uint32_t process);
const char *sim_app_name(uint32_t i);

#endif
