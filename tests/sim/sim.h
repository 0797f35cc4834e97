/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim.h - a world of nodes in one process, under virtual time and one seed
 *
 * The logic of agents, coordinators and collectors is the production one,
 * linked from the same libraries as the daemons. What stands around it there
 * (sockets, disks, clocks, shared memory, applications) is modelled here, and
 * everything that the model decides comes from the seed: the same parameters
 * give the same events, and the same digest over them, on every machine.
 *
 *	draw.c    what a seed decides
 *	queue.c   events in order of virtual time
 *	net.c     links that lose, repeat, reorder, stall and break
 *	agent.c   the agent's shell: memory, kills and successors
 *	round.c   its rounds
 *	tenant.c  their domains, each with its memory; what one sees of another
 *	policy.c  what its operator allows, and changes
 *	tally.c, tally_store.c   how often and how long operations ran
 *	app.c     processes that write as libhindsight would
 *	request.c requests over call graphs; triggers
 *	member.c  lists of members, as each sees them
 *	coord.c, collect.c   the other daemons' shells; a disk
 *	ahead.c   tables of crumbs, read while they are written
 *	oracle.c  what the applications know
 *	judge.c, judge_share.c, judge_end.c   whether the laws held
 *	fault.c   what goes wrong, and when
 *	story.c   a timeline for people
 */
#ifndef HS_TESTS_SIM_H
#define HS_TESTS_SIM_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/random.h"
#include "tests/sim/node.h"
#include "tests/sim/oracle.h"
#include "tests/sim/params.h"
#include "tests/sim/server.h"

#define SIM_NR_TYPES (HS_WIRE_TYPE_LAST + 1)
#define SIM_COORD_ID 0x00f00000u
#define SIM_COLL_ID  0x00e00000u

enum sim_event_type {
	SIM_EV_MESSAGE,
	SIM_EV_ARRIVE,
	SIM_EV_VISIT,
	SIM_EV_FIRE,
	SIM_EV_SCAN,
	SIM_EV_LANES,
	SIM_EV_TICK,
	SIM_EV_COORD,
	SIM_EV_SYNC,
	SIM_EV_LINK_UP,
	SIM_EV_LINK_BREAK,
	SIM_EV_FAULT,
	SIM_EV_FAULT_END,
	SIM_EV_RESTART,
	SIM_EV_MOVE,
	SIM_EV_FRAME,
	SIM_EV_OUTLET,
	SIM_EV_INTAKE,
	SIM_EV_PORT,
	SIM_EV_READ,
	SIM_EV_POLICY,
	SIM_NR_EVENTS
};

struct sim_event {
	uint64_t at_ns, order;
	uint32_t type, a, b, gen;
	void *ptr;
};

struct sim_message {
	uint32_t from, to; /* endpoints */
	uint32_t link, link_gen;
	uint32_t to_gen;
	uint16_t type;
	uint32_t bytes;
	uint64_t from_id; /* as its HELLO said */
	uint64_t flow;
	uint8_t payload[];
};

struct sim_link {
	bool up, doomed[2];
	uint32_t gen;
	uint16_t blocked[2]; /* 0: from the lower endpoint to the higher */
	uint16_t slow;
	uint32_t in_flight[2];
	uint64_t last_ns[2]; /* latest delivery */
};

/* ---- requests ------------------------------------------------------------ */

struct sim_visit {
	struct sim_visit *parent;
	uint32_t request, trace, node, process;
	uint32_t nr_children, next_child, nr_waiting;
	struct sim_visit **children;
	uint32_t nr_writes, phase;
	bool parallel, forward, reply_lost, detached, trigger, ended;
	uint64_t caller_id; /* node id that its context carried */
	struct sim_handle handle;
};

struct sim_graphs;

/* ---- the world ------------------------------------------------------------
 */

struct sim_totals {
	uint64_t events, messages, lost, duplicated, breaks;
	uint64_t requests, visits, triggers, acked, laterals, refused;
	uint64_t rounds, kills, op_kills, restarts, reboots, app_crashes;
	uint64_t faults[32];
	uint64_t complete, partial, open, checks;
	uint64_t by_event[SIM_NR_EVENTS];
	uint64_t by_type[SIM_NR_TYPES];
	uint64_t manifest_bytes, manifest_max_bytes, slice_bytes;
	uint64_t lent; /* slices */
	uint64_t whys[HS_ASSEMBLY_NR_WHYS];
	uint64_t reloads, abandoned;
	uint64_t counted, tallies_lost;
	uint64_t moves, owed, failover_ns;
	uint64_t shared;	  /* traces in two domains of a node */
	uint64_t waited;	  /* ENDs, for room in their lanes */
	uint64_t excused;	  /* traces called complete: struct ora_trace */
	uint64_t forgotten_early; /* buffers of traces that were, by then */
	uint64_t frames, frames_lost, frames_repeated, sessions, slices_shipped;
	uint64_t reads, reads_hit, reads_torn, hints, hints_confirmed;
};

struct sim {
	struct sim_params p;
	uint64_t now_ns;
	uint64_t order; /* numbers the events */
	struct sim_event *heap;
	uint32_t nr_heap, room_heap;
	uint64_t push_order;
	struct hs_random net, app, fault, shell, ahead;
	uint64_t digest;
	uint8_t cluster_key[16];
	uint8_t *scratch;
	struct sim_node *nodes;
	struct sim_coord coords[SIM_SERVERS_MAX];
	struct sim_coll colls[SIM_SERVERS_MAX];
	struct sim_link *links;
	uint32_t nr_links;
	struct sim_tallies *tally; /* NULL: nothing is counted */
	struct sim_ship *ship;	   /* NULL: slices go by streams */
	struct ora_trace *traces;
	uint32_t nr_traces, room_traces;
	uint32_t *trace_table;
	uint32_t trace_mask;
	struct ora_group *groups;
	uint32_t nr_groups, room_groups;
	struct ora_let *lets;
	uint32_t nr_lets, room_lets;
	struct sim_visit **roots; /* of requests */
	uint32_t nr_live_visits;
	struct sim_graphs *graphs;
	struct sim_fault *faults;
	struct sim_owed *owed; /* at the death of a coordinator */
	uint32_t nr_owed, nr_left;
	uint64_t died_ns;
	bool healing;
	bool failed;
	char why[256];
	jmp_buf *kill; /* where a worker that dies in an op goes */
	FILE *text, *perfetto;
	uint64_t flow;
	struct sim_totals t;
};

enum { SIM_FROM_LOW = 0, SIM_FROM_HIGH = 1 };

/* sim.c */
struct sim *sim_create(const struct sim_params *p);
void sim_run(struct sim *s);
void sim_destroy(struct sim *s);
void *sim_zalloc(size_t nr, size_t size_bytes);
void sim_fail(struct sim *s, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void sim_mix(struct sim *s, uint64_t value);
static inline uint64_t sim_between(struct hs_random *r, uint64_t lo,
				   uint64_t hi)
{
	return hi <= lo ? lo : lo + hs_random_below(r, hi - lo + 1);
}

/* queue.c */
void sim_push(struct sim *s, uint64_t at_ns, enum sim_event_type type,
	      uint32_t a, uint32_t b, uint32_t gen, void *ptr);
bool sim_pop(struct sim *s, struct sim_event *out);

/* net.c: endpoints are nodes, then coordinators, then collectors */
static inline uint32_t sim_ep_coord(const struct sim *s, uint32_t c)
{
	return s->p.nr_nodes + c;
}
static inline uint32_t sim_ep_coll(const struct sim *s, uint32_t k)
{
	return s->p.nr_nodes + s->p.nr_coords + k;
}
void sim_net_create(struct sim *s);
uint32_t sim_net_link(const struct sim *s, uint32_t a, uint32_t b);
void sim_net_ends(const struct sim *s, uint32_t link, uint32_t *low,
		  uint32_t *high);
bool sim_net_send(struct sim *s, uint32_t from, uint32_t to, uint16_t type,
		  const void *payload, uint32_t bytes);
void sim_net_deliver(struct sim *s, struct sim_message *m);
void sim_net_link_up(struct sim *s, uint32_t link, uint32_t gen);
void sim_net_break(struct sim *s, uint32_t link);
void sim_net_endpoint_down(struct sim *s, uint32_t ep);
/* Nothing passes, and nobody is told so for 5 s. */
void sim_net_endpoint_silent(struct sim *s, uint32_t ep);
void sim_net_endpoint_up(struct sim *s, uint32_t ep);
bool sim_ep_up(const struct sim *s, uint32_t ep);
uint32_t sim_ep_gen(const struct sim *s, uint32_t ep);
uint64_t sim_ep_id(const struct sim *s, uint32_t ep);
void sim_ep_name(const struct sim *s, uint32_t ep, char out[16]);

/* request.c */
void sim_request_arrive(struct sim *s, uint32_t r);
void sim_request_visit(struct sim *s, struct sim_visit *v);
void sim_request_fire(struct sim *s, uint32_t trace, uint32_t node);
void sim_request_destroy(struct sim *s, uint32_t r);

/* fault.c */
void sim_faults_create(struct sim *s);
void sim_fault_begin(struct sim *s, uint32_t f);
void sim_fault_end(struct sim *s, uint32_t f);
void sim_faults_heal(struct sim *s);
const char *sim_fault_name(uint32_t kind);
void sim_faults_print(struct sim *s, FILE *f);
#define SIM_NR_FAULT_KINDS 18u

/* reached.c: nothing unless the build counts transitions */
void sim_reached_check(struct sim *s);
void sim_reached_print(void);

/* story.c */
void sim_story(struct sim *s, uint32_t ep, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void sim_story_open(struct sim *s, const char *path);
void sim_story_close(struct sim *s);
void sim_story_message(struct sim *s, const struct sim_message *m, bool sent);
const char *sim_type_name(uint16_t type);

/* graph.c */
struct sim_graph_node {
	uint32_t service;
	uint32_t nr_children;
	uint32_t first_child; /* in order of a breadth-first walk */
};
struct sim_graphs *sim_graphs_load(const char *path);
uint32_t sim_graphs_pick(const struct sim_graphs *g, struct hs_random *r,
			 const struct sim_graph_node **nodes);
void sim_graphs_free(struct sim_graphs *g);

#endif
