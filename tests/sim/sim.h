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
 *	queue.c   events in order of virtual time
 *	net.c     links that lose, repeat, reorder, stall and break
 *	agent.c   the agent's shell: memory, kills and successors
 *	round.c   its rounds
 *	app.c     processes that write as libhindsight would
 *	request.c requests over call graphs; triggers
 *	member.c  lists of members, as each sees them
 *	coord.c, collect.c   the other daemons' shells; a disk
 *	oracle.c  what the applications know; judge.c  whether the laws held
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

#include "agent/core.h"
#include "agent/silence.h"
#include "base/random.h"
#include "collector/assembly.h"
#include "coordinator/core.h"
#include "hs/shm_format.h"
#include "hs/wire_format.h"
#include "rdma/members.h"

#define SIM_NR_TYPES (HS_WIRE_TYPE_LAST + 1)
#define SIM_MS	     1000000ull
#define SIM_US	     1000ull
#define SIM_S	     1000000000ull

#define SIM_PROCS_MAX	4u
#define SIM_LANES	2u
#define SIM_LANE_ROOM	128u
#define SIM_RING_ROOM	64u
#define SIM_CLASSES_MAX 3u
#define SIM_SLOTS_MAX	64u
#define SIM_SERVERS_MAX 16u
#define SIM_NR_NAMES	3u
#define SIM_FIRED_MAX	4096u
#define SIM_COORD_ID	0x00f00000u
#define SIM_COLL_ID	0x00e00000u

/* Everything a run is made of; drawn from the seed, then overridden. */
struct sim_params {
	uint64_t seed;
	uint32_t nr_nodes, nr_coords, nr_colls, nr_procs;
	uint32_t nr_requests;
	uint64_t load_ns; /* over which requests arrive */
	uint32_t visits_max;
	uint32_t fanout_max;
	double trigger_share, lateral_share;
	double late_share; /* of triggers fired later, by somebody */
	double forward_share, reply_lost;
	uint32_t write_max_bytes;
	bool stream; /* links as TCP's; else as datagrams */
	double loss, dup, slow;
	uint64_t delay_min_ns, delay_max_ns;
	double drift;			   /* of clocks, at most */
	uint32_t nr_buffers, buffer_bytes; /* of the smallest class */
	uint32_t nr_classes, class_factor, chunk_units;
	uint32_t ring_words, lane_room, nr_slots;
	uint32_t window_bytes;
	uint32_t nr_fired; /* traces that an agent remembers */
	uint32_t trace_buffers_max;
	uint32_t small_collector; /* 1: its memory is a small cache */
	bool crash_trigger, rate_limit, hostile;
	uint32_t nr_faults;
	uint64_t skip_faults; /* bits; for shrinking */
	uint64_t faults_ns;   /* they begin within */
	uint64_t remember_ns;
	uint32_t nr_moves; /* changes of the lists of members */
	uint32_t failover; /* 1: a coordinator dies under load, for good;
			      2: it falls silent */
	uint32_t ship;	   /* 1: slices as datagrams (ship.h); 0: streams */
	double ship_loss, ship_dup, ship_bend;
	uint32_t ship_frame_bytes, ship_frames, ship_window, ship_slices;
	uint32_t ship_spare; /* connections more than there are agents */
	uint64_t ship_rate;
	bool ship_tags;
	bool ship_bye;	    /* workers that end say so to the collectors */
	uint32_t planted;   /* a bug put in on purpose; 0: none */
	const char *graphs; /* file of call graphs; NULL: random ones */
	bool verbose;
};

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

/* ---- applications -------------------------------------------------------- */

struct sim_lane {
	struct hs_shm_entry entries[SIM_LANE_ROOM];
	uint32_t head, tail; /* tail: as the agent wrote it */
	uint64_t lost;
	uint64_t lost_seen; /* the worker's own */
};

/* The stock of one size class. */
struct sim_ring {
	uint64_t words[SIM_RING_ROOM];
	uint32_t head, tail;
};

struct sim_process {
	bool alive, dead, hostile; /* dead: to be buried */
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
};

/* A slice that the port reads where it lies. */
#define SIM_LOANS 64u
struct sim_loan {
	bool live, honest;
	uint64_t ship_key;
	uint64_t at; /* in the node's memory */
	uint32_t length_bytes, crc;
};

struct sim_node {
	uint32_t number, incarnation;
	bool up;   /* the worker runs */
	bool gone; /* for good */
	uint32_t gen;
	struct hs_agent_config config;
	struct hs_agent_domain_config domain;
	struct hs_agent_core *core;
	void *memory, *domain_memory, *ledger, *domain_ledger;
	struct hs_members *members;
	struct hs_silence silence;
	uint32_t unlisted; /* coordinators, a bit each, that its list lacks */
	bool told_left;	   /* coordinators believe so, for a while */
	bool late;	   /* joins while the others run */
	uint8_t *pool;
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
	uint64_t ship_last_priority[2][HS_AGENT_TRIGGERS_MAX];
	uint32_t holds_free; /* before the tick */
	struct sim_loan loans[SIM_LOANS];
	/* facts for the judge */
	bool lost_memory; /* ever */
	bool forgot;	  /* something was lost that no trace is named for */
	bool modified;	  /* a slice of its went as a copy */
	uint32_t crashes, kills;
	bool hostile_seen;
	struct hs_agent_stats before; /* sums of earlier workers */
	struct hs_agent_stats seen;   /* fired traces, before this tick */
};

struct sim_coord {
	bool up;
	uint32_t gen;
	void *memory;
	struct hs_coord_core *core;
	struct hs_members *members;
	uint64_t epoch;
	uint64_t tick_at_ns;
	int64_t clock_ns;
	uint32_t restarts;
	struct hs_coord_stats before;
};

/* What a collector has on its disk of one trace. */
struct sim_record {
	struct sim_record *next;
	struct sim_record *next_fresh; /* not synced */
	bool durable, is_union;
	uint32_t bytes;
	struct hs_wire_slice head;
	uint8_t data[];
};

struct sim_stored {
	struct hs_wire_trace_id id;
	struct sim_record *first, *last;
	uint32_t trace; /* the oracle's; UINT32_MAX: nobody's */
	bool changed;
	uint32_t next_changed;
};

struct sim_coll {
	bool up;
	uint32_t gen;
	void *memory;
	struct hs_assembly *assembly;
	struct sim_stored *stored;
	uint32_t nr_stored, room_stored;
	uint32_t *table;
	uint32_t table_mask;
	struct sim_record *fresh;
	uint32_t changed; /* list of stored, +1 */
	bool sync_due, syncing;
	uint32_t full, failing; /* faults under way */
	uint32_t restarts;
	uint32_t lost_syncs;
	uint64_t nr_bytes;
	struct hs_assembly_stats before;
};

/* ---- what the applications know ------------------------------------------ */

struct ora_buffer {
	struct ora_buffer *next;
	uint32_t process, handle, seq;
	uint32_t committed; /* so far */
	uint64_t key;	    /* of its bytes */
	uint64_t stock_word;
	uint64_t born; /* event that published it, or lost it; 0: not yet */
	bool lost;
};

struct ora_crumb {
	uint64_t node;
	uint64_t born;
};

struct ora_rev {
	uint32_t rev;
	uint16_t state, flags;
	uint64_t scan_order;
};

#define ORA_PROCS_MAX 8u

/* One trace at one node: one incarnation. */
struct ora_visit {
	struct ora_visit *next;
	uint64_t node;
	uint32_t trace;
	struct ora_buffer *buffers;
	struct ora_crumb *crumbs;
	uint32_t nr_crumbs, room_crumbs;
	struct ora_rev *revs;
	uint32_t nr_revs, room_revs;
	uint64_t first_lost; /* event; 0: nothing was lost */
	uint32_t nr_open;
	uint64_t nr_published;
	uint64_t named; /* event of the first entry that reached a lane */
	struct {
		uint32_t number;
		uint64_t named, lost;
	} procs[ORA_PROCS_MAX];	     /* what each process said, and lost */
	uint64_t ended, ended_begun; /* of the handle that ended last */
	bool crashed;
	bool found; /* its node said that it knows the trace */
	uint32_t found_life[SIM_SERVERS_MAX]; /* of the coordinator that
						 heard it first, from 1 */
};

struct ora_trace {
	struct hs_wire_trace_id id;
	struct ora_visit *visits;
	bool elsewhere;	 /* fired where it need not be known */
	uint64_t sought; /* event of the first question; 0: none */
	uint64_t priorities[8];
	uint32_t nr_priorities;
	bool touched; /* a hostile process spoke of it */
};

/* A trigger that a node acknowledged. */
struct ora_group {
	uint32_t node; /* index */
	uint64_t node_id;
	uint32_t nr;
	uint32_t traces[HS_WIRE_TRACES_MAX];
	bool is_void; /* its node lost its memory */
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
	uint64_t moves, owed, failover_ns;
	uint64_t frames, frames_lost, frames_repeated, sessions, slices_shipped;
};

struct sim {
	struct sim_params p;
	uint64_t now_ns;
	uint64_t order; /* numbers the events */
	struct sim_event *heap;
	uint32_t nr_heap, room_heap;
	uint64_t push_order;
	struct hs_random net, app, fault, shell;
	uint64_t digest;
	uint8_t cluster_key[16];
	uint8_t *scratch;
	struct sim_node *nodes;
	struct sim_coord coords[SIM_SERVERS_MAX];
	struct sim_coll colls[SIM_SERVERS_MAX];
	struct sim_link *links;
	uint32_t nr_links;
	struct sim_ship *ship; /* NULL: slices go by streams */
	struct ora_trace *traces;
	uint32_t nr_traces, room_traces;
	uint32_t *trace_table;
	uint32_t trace_mask;
	struct ora_group *groups;
	uint32_t nr_groups, room_groups;
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
uint32_t sim_ring_words(const struct sim_params *p, uint32_t size_class);
void sim_draw(struct sim_params *p, uint64_t seed);
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

/* app.c */
bool sim_handle_begin(struct sim *s, struct sim_handle *h, uint32_t node,
		      uint32_t process, uint32_t trace);
void sim_handle_write(struct sim *s, struct sim_handle *h, uint32_t bytes);
void sim_handle_end(struct sim *s, struct sim_handle *h);
void sim_handle_crumb(struct sim *s, struct sim_handle *h, uint64_t node,
		      uint8_t kind);
void sim_app_trigger(struct sim *s, uint32_t node, uint32_t process,
		     const uint32_t *traces, uint32_t nr, uint32_t name);
void sim_app_crash(struct sim *s, uint32_t node, uint32_t process);
void sim_app_nonsense(struct sim *s, uint32_t node, uint32_t process);
const char *sim_app_name(uint32_t i);

/* request.c */
void sim_request_arrive(struct sim *s, uint32_t r);
void sim_request_visit(struct sim *s, struct sim_visit *v);
void sim_request_fire(struct sim *s, uint32_t trace, uint32_t node);
void sim_request_destroy(struct sim *s, uint32_t r);

/* coord.c */
void sim_coord_start(struct sim *s, uint32_t c);
void sim_coord_kill(struct sim *s, uint32_t c);
void sim_coord_message(struct sim *s, uint32_t c, const struct sim_message *m);
void sim_coord_left(struct sim *s, uint32_t c, uint32_t number);
void sim_coord_tick(struct sim *s, uint32_t c);
void sim_coord_link(struct sim *s, uint32_t c, uint32_t peer, bool up);
uint32_t sim_coll_owner(const struct sim *s, const struct hs_wire_trace_id *id);

/* member.c: one list for each agent and coordinator; NULL: it is down */
struct hs_members *sim_members_create(struct sim *s, uint32_t unlisted);
void sim_members_link(struct sim *s, struct hs_members *m, uint32_t peer,
		      bool up);
/* The endpoint that a list's member is; UINT32_MAX: none. */
uint32_t sim_members_ep(const struct sim *s, const struct hs_members *m,
			uint32_t member);

/* The lists of members that change, from a stream of their own. */
void sim_moves_create(struct sim *s);
void sim_moves_heal(struct sim *s);
void sim_members_leave(struct sim *s, uint32_t n);
void sim_move(struct sim *s, uint32_t a, uint32_t b);
bool sim_members_dials(const struct sim *s, uint32_t low, uint32_t high);
/* How long what a killed shard had took to be stored through the others. */
void sim_failover_stored(struct sim *s, uint32_t n,
			 const struct sim_message *m);

/* collect.c */
void sim_coll_start(struct sim *s, uint32_t k);
void sim_coll_kill(struct sim *s, uint32_t k);
void sim_coll_message(struct sim *s, uint32_t k, const struct sim_message *m);
void sim_coll_link(struct sim *s, uint32_t k, uint32_t peer);
void sim_coll_sync(struct sim *s, uint32_t k);
void sim_coll_destroy(struct sim *s, uint32_t k);
struct sim_stored *sim_coll_find(struct sim_coll *k,
				 const struct hs_wire_trace_id *id);

bool sim_coll_slice(struct sim *s, uint32_t k, uint32_t peer,
		    const void *message, uint32_t bytes);

/* oracle.c */
uint32_t ora_trace_new(struct sim *s);
uint32_t ora_trace_find(const struct sim *s, const struct hs_wire_trace_id *id);
struct ora_visit *ora_visit_get(struct sim *s, uint32_t trace, uint64_t node);
struct ora_visit *ora_visit_find(const struct sim *s, uint32_t trace,
				 uint64_t node);
struct ora_buffer *ora_buffer_new(struct sim *s, struct ora_visit *v,
				  const struct sim_handle *h);
void ora_bytes(uint64_t key, uint32_t from, uint32_t to, uint8_t *out);
void ora_crumb(struct sim *s, struct ora_visit *v, uint64_t node);
void ora_lost(struct sim *s, struct ora_visit *v, uint32_t process);
void ora_named(struct sim *s, struct ora_visit *v, uint32_t process);
/* Whether a process that is known to have taken part had lost something. */
bool ora_lost_by(const struct ora_visit *v, uint64_t upto);
/* A handle that writes there was open all through the last scan. */
bool ora_live_at_scan(struct sim *s, const struct sim_node *n,
		      const struct ora_visit *v);
/* A question goes out: whoever wrote before may be found by it. */
void ora_sought(struct sim *s, const void *payload, uint32_t bytes);
void ora_answers(struct sim *s, struct sim_node *n, uint16_t type,
		 const void *payload, uint32_t bytes);
void ora_acked(struct sim *s, uint32_t node, const uint32_t *traces,
	       uint32_t nr);
void ora_slice(struct sim *s, const struct hs_wire_slice *head,
	       const uint8_t *bytes);
void ora_priority(struct sim *s, uint32_t trace, uint32_t primary);
void ora_destroy(struct sim *s);

/* judge.c */
void judge_complete(struct sim *s, struct sim_coll *k, struct sim_stored *st);
void judge_found(struct sim *s, const struct sim_node *n, uint64_t to,
		 const void *payload, uint32_t bytes);
void judge_end(struct sim *s);
bool judge_quiet(struct sim *s);
bool judge_forgotten(struct sim *s);
void judge_ship(struct sim *s, struct sim_node *n,
		const struct hs_wire_slice *head);
void judge_abandoned(struct sim *s, struct sim_node *n);

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
