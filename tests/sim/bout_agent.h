/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_agent.h - an agent's core in the ring: what a plain model believes of
 * its buffers, traces, fired traces and outbox
 *
 * The model is told what happens and says what must come of it. Where the core
 * may choose (whom to evict, to abandon, when to forget) the model looks at
 * what it chose, and whether it might.
 */
#ifndef HS_TESTS_SIM_BOUT_AGENT_H
#define HS_TESTS_SIM_BOUT_AGENT_H

#include "agent/core_priv.h"
#include "tests/sim/bout.h"

#define BAG_TRACES    12u
#define BAG_DOMAINS   2u
#define BAG_BUFFERS   32u
#define BAG_PROCS     3u
#define BAG_SLOTS     4u
#define BAG_WORDS     8u
#define BAG_CRUMBS    16u
#define BAG_GROUPS    8u
#define BAG_PENDING   8u
#define BAG_LOSSES    8u
#define BAG_UNIT      256u
#define BAG_NODE      (7ull << 32 | 3)
#define BAG_NONE      UINT32_MAX
#define BAG_NR_NAMES  3u
#define BAG	      "bout of the agent: "
#define BAG_OPERATOR  3u /* index of a name after those of processes */
#define BAG_HEAD      4u
#define BAG_ALL_NAMES 5u

struct bag_buffer {
	enum hs_ledger_state state;
	uint32_t process, generation, trace, handle, seq, committed, acked;
	uint32_t sent;
	uint16_t flags;
	bool in_flight, final_sent, waited;
	uint32_t upto;
	uint64_t key, seen_ns;
};

struct bag_trace {
	bool there, visited, several, undated;
	uint64_t first_ns, last_ns, touched;
	uint16_t flags, gone; /* gone: while it is not there */
	bool forgotten;	      /* it had fired, and all of it was shipped */
	uint32_t process, open_scan;
	uint32_t nr_crumbs;
	struct hs_wire_crumb crumbs[BAG_CRUMBS]; /* the newest first */
	uint32_t nr_buffers;
	uint32_t buffers[BAG_BUFFERS]; /* in order */
};

struct bag_loss {
	uint32_t process, nr;
	uint64_t first_ns[BAG_LOSSES], last_ns[BAG_LOSSES];
};

struct bag_domain {
	uint32_t id;
	struct hs_agent_domain_config config;
	void *memory, *ledger;
	struct bag_buffer buffers[BAG_BUFFERS];
	struct bag_trace traces[BAG_TRACES];
	struct bag_loss losses[BAG_PROCS];
	uint64_t nr_indexed, bytes_indexed;
};

struct bag_fired {
	bool live, told_once, visited, adopted;
	bool several; /* processes took part, else the one below */
	uint32_t process, in_domains;
	uint64_t took_first_ns, took_last_ns;
	uint32_t rev, gone_buffers;
	uint64_t gone_bytes;
	uint16_t flags;
	uint32_t nr_groups, update_try, update_to, taint, unkept;
	uint64_t named_by; /* groups, a bit each: name and primary trace */
	uint64_t names, first_ns, last_ns, update_key, update_ns, open_ns;
	struct hs_wire_answer told;
	struct hs_wire_trigger trigger;
};

struct bag_group {
	bool live;
	uint64_t key, next_ns;
	uint32_t name, attempt, scan, to, nr, flags;
	uint32_t traces[HS_WIRE_TRACES_MAX];
};

struct bag_pending {
	uint64_t from;
	struct hs_wire_trigger trigger;
	uint32_t scan, nr;
	uint32_t traces[HS_WIRE_TRACES_MAX];
};

struct bag_seek {
	uint64_t from, question;
	uint32_t nr, scan; /* nr 0: none */
	struct hs_wire_trace_id ids[HS_WIRE_SEEK_MAX];
	bool live[HS_WIRE_SEEK_MAX];
};

struct bag_handle {
	bool live;
	uint32_t handle, trace, seq, committed, lost, first_record;
	uint64_t word;
};

struct bag_process {
	uint32_t number, domain; /* index */
	uint64_t words[BAG_WORDS];
	uint32_t nr_words, next_handle;
	struct bag_handle handles[BAG_SLOTS];
};

struct bag {
	struct sim *s;
	struct hs_random r, seek_r;
	struct hs_random clock; /* its own: bout_agent_clock.c */
	struct hs_random colls; /* a stream of its own: when they are away */
	uint32_t colls_away;	/* bits of two */
	struct hs_agent_config config;
	struct hs_agent_core *core;
	void *memory, *ledger, *scratch;
	struct bag_domain domains[BAG_DOMAINS];
	struct bag_process procs[BAG_PROCS];
	struct hs_wire_trace_id ids[BAG_TRACES];
	struct bag_fired fired[BAG_TRACES];
	struct bag_group groups[BAG_GROUPS];
	struct bag_pending pending[BAG_PENDING];
	struct hs_shm_trigger names[BAG_ALL_NAMES];
	uint32_t nr_pending;
	struct bag_seek seeks[HS_SEEKS_MAX];
	uint64_t now_ns, touch, taint_ns, swept_ns, served_ns, forget_ns,
		scan_ns, gap_ns;
	uint64_t patience_ns;		 /* of a tick that forgets */
	uint64_t even_ns[BAG_ALL_NAMES]; /* of the rate of each name */
	uint64_t bytes_even_ns, name_even_ns[BAG_ALL_NAMES];
	uint32_t dry_seen[BAG_ALL_NAMES]; /* bits of traces */
	struct hs_agent_trigger_stats counts[BAG_ALL_NAMES];
	uint64_t let_may; /* groups that may have been given up */
	uint64_t nr_lets[BAG_ALL_NAMES];
	uint64_t let_ns[64]; /* when they were for sure; 0: not */
	uint32_t kept_before_ppm;
	uint64_t kept_since_ns, tick_ns;
	uint32_t scan, rev_floor, last_process, flags, due_name;
	uint64_t last_key, holds_refused;
	bool scanned, jammed, ticking, crowded, forgets, gave_up, gives_way,
		died_open;
	uint64_t last_priority[HS_AGENT_DOMAINS_MAX][HS_AGENT_TRIGGERS_MAX];
	struct hs_agent_stats want; /* those that the model counts */
	uint64_t payload[2048];
};

/* The collector that a trace belongs to is not there. */
static inline bool bag_is_away(const struct bag *g, uint32_t t)
{
	return g->colls_away >> (g->ids[t].lo & 1) & 1;
}

/* bout_agent_model.c: what must come of it */
uint32_t bag_trace_of(const struct bag *g, const struct hs_wire_trace_id *id);
uint32_t bag_domain_of(const struct bag *g, uint32_t id);
uint32_t bag_buffer_of(const struct bag_domain *d, uint64_t word);
struct bag_trace *bag_get(struct bag *g, struct bag_domain *d, uint32_t t);
void bag_touch(struct bag *g, struct bag_trace *x);
void bag_visit(struct bag *g, struct bag_domain *d, uint32_t t,
	       uint32_t process);
void bag_flag(struct bag *g, struct bag_domain *d, uint32_t t, uint16_t flags);
uint32_t bag_crumbs_used(const struct bag_domain *d);
void bag_crumb(struct bag *g, struct bag_domain *d, uint32_t t, uint64_t node,
	       uint32_t kind);
void bag_publish(struct bag *g, struct bag_domain *d, uint32_t b, uint32_t t,
		 uint32_t process, const struct bag_handle *h, uint16_t flags);
void bag_release(struct bag *g, struct bag_domain *d, uint32_t b);
void bag_loss(struct bag *g, struct bag_domain *d, uint32_t process,
	      uint64_t first_ns, uint64_t last_ns);
bool bag_lost(const struct bag *g, const struct bag_domain *d, uint32_t t,
	      const struct bag_loss *l);
bool bag_lossy(const struct bag *g, const struct bag_domain *d, uint32_t t);
/* The same, of what the ledger says who took part; by all, or by one. */
bool bag_fired_lossy(const struct bag *g, const struct bag_domain *d,
		     uint32_t t);
bool bag_fired_lost(const struct bag *g, const struct bag_domain *d, uint32_t t,
		    const struct bag_loss *l);
/* A process took part in it there. */
void bag_took_part(struct bag *g, const struct bag_domain *d, uint32_t t,
		   uint32_t process);
bool bag_fire(struct bag *g, uint32_t t, const struct hs_wire_trigger *why);
void bag_settle(struct bag *g); /* what the core chose to let go */
void bag_answer(const struct bag *g, uint32_t t, struct hs_wire_answer *out,
		struct hs_wire_crumb *crumbs);
bool bag_news(const struct hs_wire_answer *told,
	      const struct hs_wire_answer *now);
void bag_restart(struct bag *g);

/* bout_agent_clock.c */
/* What has come to its time, if anything has. */
enum bag_due { BAG_DUE_NOTHING, BAG_DUE_ROUND, BAG_DUE_TRIGGER, BAG_DUE_LOSS };
enum bag_due bag_exact(struct bag *g);
void bag_moments(struct bag *g);
void bag_patience(struct bag *g);
bool bag_over(const struct bag *g, uint32_t t);
void bag_due_forgotten(struct bag *g);

/* bout_agent_says.c: what it sends, and whether it may */
extern const struct hs_agent_ops bag_ops;
void bag_due(struct bag *g, bool served);

/* bout_agent_fires.c: triggers */
enum bag_fires {
	FIRES,
	FIRES_KNOWN,
	FIRES_LIMITED,
	FIRES_REFUSED,
	FIRES_BAD,
	FIRES_UNKEPT,
	FIRES_DRY
};
void bag_look(struct bag *g, uint32_t nr);
enum bag_fires bag_foresee(struct bag *g, uint32_t name, const uint32_t *traces,
			   uint32_t nr);
void bag_fired_as(struct bag *g, enum bag_fires what, uint32_t name,
		  const uint32_t *traces, uint32_t nr);
uint32_t bag_some_traces(struct bag *g, uint32_t *out, uint32_t most);
struct hs_wire_trace_id bag_id_of(const struct bag *g, uint32_t t);
void bag_operator_fires(struct bag *g);
void bag_operator_fires_as(struct bag *g, uint32_t name);
uint32_t bag_group_bit(const struct bag *g, const struct hs_wire_trigger *why);
void bag_lets(struct bag *g);
void bag_let_go(struct bag *g, uint32_t t);
void bag_goes_with_group(struct bag *g, uint32_t t);

/* bout_agent_seek.c */
void bag_seek(struct bag *g);
void bag_seek_live(struct bag *g, uint32_t t);
void bag_seek_found(struct bag *g, uint64_t from, const void *payload,
		    uint32_t bytes);
void bag_seek_due(struct bag *g);

/* bout_agent_peers.c */
void bag_message(struct bag *g, uint64_t from, uint16_t type, uint32_t bytes,
		 uint32_t nr);
void bag_collect(struct bag *g);
void bag_stored(struct bag *g);
void bag_slice_ack(struct bag *g);
void bag_nonsense(struct bag *g);
void bag_links(struct bag *g);
void bag_collectors(struct bag *g);

/* bout_agent_apps.c: the processes */
void bag_slot_of(const struct bag *g, const struct bag_handle *h,
		 uint32_t process, struct hs_shm_slot *slot,
		 struct hs_shm_buffer *header);
bool bag_spoil(struct bag *g, struct hs_shm_buffer *header);
void bag_says_many(struct bag *g, struct bag_process *p);
void bag_says_trigger(struct bag *g, struct bag_process *p);
void bag_says_crumb(struct bag *g, struct bag_process *p, uint32_t t);
void bag_stocks(struct bag *g, struct bag_process *p);
void bag_opens(struct bag *g, struct bag_process *p);
void bag_closes(struct bag *g, struct bag_process *p);
void bag_forges(struct bag *g, struct bag_process *p);
void bag_loses(struct bag *g, struct bag_process *p);
void bag_renames(struct bag *g, struct bag_process *p);
void bag_dies(struct bag *g, struct bag_process *p);

/* bout_agent_policy.c: what an operator sets */
bool bag_kept(const struct bag *g, uint32_t t);
void bag_first(struct bag *g, struct bag_domain *d, uint32_t t);
const struct hs_agent_trigger_policy *bag_policy_of(const struct bag *g,
						    uint32_t name);
uint32_t bag_name_of(const struct bag *g, const char *name);
bool bag_may_send(const struct bag *g, uint32_t name);
bool bag_may_all_send(const struct bag *g);
void bag_may_ship(struct bag *g, const struct hs_agent_slice *s);
void bag_shipped(struct bag *g, const struct hs_agent_slice *s);
void bag_dry(struct bag *g, uint32_t name, const uint32_t *traces, uint32_t nr);
void bag_dry_more(struct bag *g, uint32_t t, uint32_t bytes);
void bag_draw_policy(struct hs_random *r, struct hs_agent_config *c);
void bag_sets_policy(struct bag *g);
void bag_check_triggers(struct bag *g);

/* bout_agent_check.c: whether it is as the model says */
void bag_differs(struct bag *g, const char *what, uint64_t is, uint64_t should);
void bag_check(struct bag *g);
void bag_probe(struct bag *g);

#endif
