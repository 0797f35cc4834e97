/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_internal.h - the inside of the coordinator's logic
 *
 * core.c		create, messages in, time
 * core_state.c		the two tables of transitions
 * core_table.c		pools, hash chains, lists, the heap of deadlines
 * core_traverse.c	who is asked, what was answered
 * core_member.c	nodes that come, go, leave, and are listed
 * core_address.c	nodes that crumbs name by their address
 * core_seek.c		the question to many, when crumbs are missing
 * core_ahead.c		whom tables of crumbs name, before their nodes answer
 * core_manifest.c	what the collector is told, and whom STORED goes to
 *
 * Everything lies in pools and is named by its index; 0 is nothing.
 */
#ifndef HS_COORDINATOR_CORE_INTERNAL_H
#define HS_COORDINATOR_CORE_INTERNAL_H

#include <string.h>

#include "coordinator/core.h"
#include "hs/crumb_format.h"

#define HS_COORD_LINE_BYTES   64u
#define HS_COORD_BLOCK_CRUMBS 6u
#define HS_COORD_NEAR_CRUMBS  3u  /* of one visit, in its own record */
#define HS_COORD_NEAR_VISITS  12u /* of one trace, listed in its own record */
/* A manifest fits into one message: answers and crumbs into this. */
#define HS_COORD_TRACE_BYTES                                                   \
	(HS_WIRE_PAYLOAD_MAX_BYTES - sizeof(struct hs_wire_manifest) -         \
	 HS_WIRE_TRIGGERS_MAX * sizeof(struct hs_wire_trigger))

struct hs_coord_link {
	uint32_t prev, next;
};
struct hs_coord_list {
	uint32_t head, tail;
};

/* Elements that were never used are not touched before they are. */
struct hs_coord_pool {
	uint8_t *base;
	uint32_t stride_bytes;
	uint32_t nr; /* 1..nr are elements */
	uint32_t fresh;
	uint32_t free; /* chained through the first word of the element */
	uint32_t used;
};

enum hs_coord_seek {
	HS_COORD_SEEK_NONE = 0,	  /* nobody was asked, so far */
	HS_COORD_SEEK_QUEUED = 1, /* waits for others, or the budget */
	HS_COORD_SEEK_ASKED = 2,  /* a question is on its way */
	HS_COORD_SEEK_DONE = 3,	  /* there is no second one */
};

#define HS_COORD_QUESTIONS_MAX 8u

/* About many traces, to many nodes. */
struct hs_coord_question {
	uint64_t id; /* 0: free */
	uint64_t deadline_ns;
	uint64_t next_ns; /* when it goes again to those that are silent */
	uint32_t nr_tries;
	uint32_t nr_traces;
	uint32_t nr_asked, nr_left; /* nodes */
	bool part;
	uint32_t traces[HS_WIRE_SEEK_MAX];
	uint64_t *silent; /* bit a member: asked, has not answered */
};

/* What an answer looks at lies in neighbouring lines, and leads to no other
 * record but that of the node that spoke. */
struct hs_coord_trace {
	uint32_t next_hash;
	uint8_t state; /* enum hs_coord_state; hs_coord_step() alone */
	uint8_t seek;  /* enum hs_coord_seek */
	bool changed;  /* since that version */
	bool failed;   /* the last attempt did not leave */
	struct hs_wire_trace_id id;
	uint32_t nr_visits;
	uint32_t nr_waiting; /* ASKED */
	uint32_t visits, visits_tail;
	struct hs_coord_list waiting; /* ASKED and UNREACHABLE */
	uint32_t bytes;		      /* answers and crumbs in a manifest */
	uint32_t contents;	      /* parts of requests, not acknowledged */
	uint32_t version;	      /* told last; 0: never */
	uint32_t acked;

	uint64_t changed_ns; /* first of the changes since */
	uint64_t told_ns;    /* last attempt */
	uint64_t epoch;	     /* differs from that of a forgotten one */
	uint32_t nr_tries;   /* without an ack */
	uint32_t triggers, triggers_tail;
	uint32_t nr_triggers;
	struct hs_coord_link lru; /* STORED, oldest first */
	uint32_t next_due;	  /* of the core's list of those */
	uint16_t sought;	  /* as the manifest says */
	uint16_t plain; /* bit a near visit: it is named, and no hint: a crumb
			   more that names it says nothing */
	bool is_due;	/* in the list, or looked at */
	bool settled_told; /* that version said so */
	bool why_is_update;
	bool elsewhere; /* some visit is */
	bool elsewhere_told;
	bool again;	/* a node may be there with several incarnations */
	bool why_alone; /* it is the only name */

	/* The first visits, to be found here; further ones by the table. */
	uint64_t near_nodes[HS_COORD_NEAR_VISITS];
	uint32_t near[HS_COORD_NEAR_VISITS];
	struct hs_wire_trigger why; /* what COLLECT names */
	uint64_t stored_ns;
	struct hs_coord_link seek_link; /* QUEUED */
	uint64_t seek_ns;
	/* Bit of a node's number: clear: no visit of it is here. */
	uint64_t seen;
};
_Static_assert(sizeof(struct hs_coord_trace) == 6 * HS_COORD_LINE_BYTES,
	       "what is told of its lines");

struct hs_coord_visit {
	uint32_t next_hash; /* of the same trace and node number */
	uint32_t next;	    /* of the same trace */
	uint32_t trace;
	uint32_t member;
	uint64_t id;
	struct hs_coord_link of_member;
	uint32_t blame; /* member whose crumb it waits for; 0: nobody's */
	uint32_t nr_asks;
	uint8_t state; /* enum hs_coord_visit_state; hs_coord_visit_step() */
	uint8_t cut;   /* flags of our own on top of the answer's */
	bool in_flight;
	bool queued;
	bool named;	    /* by a crumb */
	bool sought;	    /* by a question */
	bool elsewhere : 1; /* fired what it need not know */
	bool written : 1;   /* its answer, in a manifest: it stays in them */
	bool hinted;	    /* by a table alone, as long as it is not named */
	union {
		/* While it waits: hs_coord_visit_waits(). */
		struct {
			struct hs_coord_link wait;
			struct hs_coord_link ask;
			uint64_t since_ns; /* of its wait */
			uint64_t next_ns;
		};
		/* The answer, if there is one; zeros before. */
		struct {
			uint32_t rev;
			uint16_t told; /* enum hs_wire_state */
			uint16_t flags;
			uint32_t nr_buffers;
			uint32_t nr_crumbs;
			uint64_t nr_bytes;
			uint32_t
				crumbs; /* blocks, of those that are not near */
		};
	};
	struct hs_wire_crumb near[HS_COORD_NEAR_CRUMBS];
};
_Static_assert(sizeof(struct hs_coord_visit) == 2 * HS_COORD_LINE_BYTES,
	       "what is told of its lines");

struct hs_coord_block {
	uint32_t next;
	uint32_t nr;
	struct hs_wire_crumb crumbs[HS_COORD_BLOCK_CRUMBS];
};

/* A node by number, whatever its incarnation. */
struct hs_coord_member {
	uint32_t next_hash;
	uint32_t number;
	uint64_t up;	    /* id of the connection; 0: none */
	uint64_t even_ns;   /* when its budget is even again */
	uint32_t nr_blamed; /* visits that wait because of its crumbs */
	bool known;	    /* was up, or is listed: kept */
	bool has_table;	    /* of crumbs, that can be read */
	bool left;	    /* for good, and what it had is gone */
	uint32_t in_flight;
	struct hs_coord_list visits;
	struct hs_coord_list asks;  /* want to be sent */
	struct hs_coord_link ready; /* in core.ready while asks is not empty */
	bool is_ready;
	uint32_t next_at;   /* of those whose address has the same place */
	uint64_t at;	    /* its address: base/node_at.h; 0: not known */
	uint64_t at_id;	    /* its latest incarnation, up or not */
	uint64_t at_ns;	    /* when that came, as far as we saw */
	uint64_t shared_ns; /* when another went from there; 0: never */
	struct hs_crumb_table table;
};

struct hs_coord_name {
	uint32_t next; /* of the same trace */
	uint32_t reserved;
	struct hs_wire_trigger trigger;
};

/* A TRIGGER or UPDATE that waits for STORED. */
struct hs_coord_request {
	uint32_t next_hash;
	uint32_t nr_left; /* traces of it that are not acknowledged */
	uint64_t origin;
	uint64_t key;
};

/* What of a request one trace holds. */
struct hs_coord_content {
	uint32_t next; /* of the same trace */
	uint32_t request;
	uint32_t version; /* that tells it; 0: the next one */
};

/* Look at a trace then. It may turn out too early: nothing is due yet, or
 * another trace has its place since. */
struct hs_coord_deadline {
	uint64_t when_ns;
	uint32_t trace;
	uint32_t reserved;
};

struct hs_coord_core {
	struct hs_coord_config config;
	const struct hs_coord_ops *ops;
	void *ctx;
	uint64_t now_ns; /* of the event under way */
	uint64_t created_ns;
	struct hs_coord_pool traces, visits, blocks, members, names, requests,
		contents;
	uint32_t *trace_table, *visit_table, *member_table, *request_table;
	uint32_t *at_table;		/* members by address */
	struct hs_wire_crumb *resolved; /* HS_WIRE_CRUMBS_MAX: core_address.c */
	uint32_t trace_mask, visit_mask, member_mask, request_mask;
	struct hs_coord_deadline *heap; /* 1..nr_heap, four below each */
	uint32_t *heap_at;		/* by trace; 0: in no heap */
	uint32_t nr_heap;
	uint32_t due, due_tail;	     /* traces to look at in this event yet */
	struct hs_coord_list stored; /* traces, by lru */
	struct hs_coord_list ready;  /* members with asks */
	struct hs_coord_question questions[HS_COORD_QUESTIONS_MAX];
	struct hs_coord_list seeks; /* traces, QUEUED */
	uint64_t next_question;
	uint32_t nr_questions;	  /* that are not free */
	uint32_t seek_from;	  /* member that the next question begins at */
	uint64_t seek_even_ns;	  /* when the budget is even again */
	bool all_listed;	  /* lists name all agents */
	uint32_t nr_known, nr_up; /* members; nr_up of those known */
	bool stalled;		  /* a node took no more: try again soon */
	uint8_t *out;		  /* HS_WIRE_PAYLOAD_MAX_BYTES */
	struct hs_coord_stats stats;
};

static inline struct hs_coord_trace *
hs_coord_trace(const struct hs_coord_core *c, uint32_t i)
{
	return (struct hs_coord_trace *)c->traces.base + i;
}
static inline struct hs_coord_visit *
hs_coord_visit(const struct hs_coord_core *c, uint32_t i)
{
	return (struct hs_coord_visit *)c->visits.base + i;
}
static inline struct hs_coord_block *
hs_coord_block(const struct hs_coord_core *c, uint32_t i)
{
	return (struct hs_coord_block *)c->blocks.base + i;
}
static inline struct hs_coord_member *
hs_coord_member(const struct hs_coord_core *c, uint32_t i)
{
	return (struct hs_coord_member *)c->members.base + i;
}
static inline struct hs_coord_name *hs_coord_name(const struct hs_coord_core *c,
						  uint32_t i)
{
	return (struct hs_coord_name *)c->names.base + i;
}
static inline struct hs_coord_request *
hs_coord_request(const struct hs_coord_core *c, uint32_t i)
{
	return (struct hs_coord_request *)c->requests.base + i;
}
static inline struct hs_coord_content *
hs_coord_content(const struct hs_coord_core *c, uint32_t i)
{
	return (struct hs_coord_content *)c->contents.base + i;
}

/* Lines that will be looked at soon, fetched side by side. */
static inline void hs_coord_fetch(const void *record, uint32_t nr_lines)
{
	for (uint32_t i = 0; i < nr_lines; i++)
		__builtin_prefetch((const uint8_t *)record +
				   i * HS_COORD_LINE_BYTES);
}
static inline void hs_coord_visits_fetch(const struct hs_coord_core *c,
					 uint32_t t)
{
	const struct hs_coord_trace *trace = hs_coord_trace(c, t);

	for (uint32_t i = 0; i < trace->nr_visits && i < HS_COORD_NEAR_VISITS;
	     i++)
		hs_coord_fetch(hs_coord_visit(c, trace->near[i]), 2);
}

/* core_table.c */
uint32_t hs_coord_pool_take(struct hs_coord_pool *p); /* zeroed; 0: none */
void hs_coord_pool_give(struct hs_coord_pool *p, uint32_t i);
static inline uint32_t hs_coord_pool_left(const struct hs_coord_pool *p)
{
	return p->nr - p->used;
}
#define HS_COORD_LINK(pool, type, field) (pool), offsetof(type, field)
void hs_coord_list_push(struct hs_coord_list *l, struct hs_coord_pool *p,
			size_t link_offset, uint32_t i);
void hs_coord_list_drop(struct hs_coord_list *l, struct hs_coord_pool *p,
			size_t link_offset, uint32_t i);
uint32_t hs_coord_trace_find(const struct hs_coord_core *c,
			     const struct hs_wire_trace_id *id);
uint32_t hs_coord_trace_new(struct hs_coord_core *c,
			    const struct hs_wire_trace_id *id);
void hs_coord_trace_free(struct hs_coord_core *c, uint32_t t);
uint32_t hs_coord_visit_find(const struct hs_coord_core *c, uint32_t t,
			     uint64_t node);
/* Its last visit, @v, can be found from now on; and none of them. */
void hs_coord_visit_listed(struct hs_coord_core *c, uint32_t t, uint32_t v);
void hs_coord_visits_unlisted(struct hs_coord_core *c, uint32_t t);
static inline uint64_t hs_coord_seen_bit(uint64_t node)
{
	return 1ull << ((uint32_t)(node >> 32) * 0x9e3779b1u >> 26);
}
/* Which of the near ones; HS_COORD_NEAR_VISITS: none. */
static inline uint32_t hs_coord_near(const struct hs_coord_trace *trace,
				     uint64_t node)
{
	for (uint32_t i = 0; i < trace->nr_visits && i < HS_COORD_NEAR_VISITS;
	     i++)
		if (trace->near_nodes[i] == node)
			return i;
	return HS_COORD_NEAR_VISITS;
}
/* A walk through a trace's visits at one node, whatever their incarnation. */
struct hs_coord_same {
	uint32_t near;
	uint32_t far;
};
struct hs_coord_same hs_coord_same(const struct hs_coord_core *c, uint32_t t,
				   uint64_t node);
uint32_t hs_coord_same_next(const struct hs_coord_core *c, uint32_t t,
			    uint64_t node, struct hs_coord_same *at);
uint32_t hs_coord_member_find(const struct hs_coord_core *c, uint64_t node);
/* Found or made; 0: no room. */
uint32_t hs_coord_member_get(struct hs_coord_core *c, uint64_t node);
/* Freed when nothing speaks of it any more. */
void hs_coord_member_put(struct hs_coord_core *c, uint32_t m);
uint32_t hs_coord_request_find(const struct hs_coord_core *c, uint64_t origin,
			       uint64_t key);
uint32_t hs_coord_request_new(struct hs_coord_core *c, uint64_t origin,
			      uint64_t key);
void hs_coord_request_free(struct hs_coord_core *c, uint32_t r);
/* Look at trace @t at @when_ns at the latest. */
void hs_coord_deadline_by(struct hs_coord_core *c, uint32_t t,
			  uint64_t when_ns);
/* A trace to look at now; 0: none. Until hs_coord_deadline_met() that it is to
 * be looked at now says nothing new. */
uint32_t hs_coord_deadline_next(struct hs_coord_core *c);
void hs_coord_deadline_met(struct hs_coord_core *c, uint32_t t);

/* core.c */
void hs_coord_now(struct hs_coord_core *c, uint64_t now_ns);
void hs_coord_run(struct hs_coord_core *c);
/* Take the steps that are due after something about @t changed. */
void hs_coord_review(struct hs_coord_core *c, uint32_t t);

/* core_state.c */
/* An answer of it would be news, whether anything waits for that or not. */
static inline bool hs_coord_visit_waits(enum hs_coord_visit_state state)
{
	return state == HS_COORD_VISIT_ASKED ||
	       state == HS_COORD_VISIT_UNREACHABLE ||
	       state == HS_COORD_VISIT_HINTED;
}
void hs_coord_step(struct hs_coord_core *c, uint32_t t,
		   enum hs_coord_event event);
void hs_coord_visit_step(struct hs_coord_core *c, uint32_t v,
			 enum hs_coord_visit_event event);

/* core_traverse.c */
/* A place for it; 0: there is none. */
uint32_t hs_coord_visit_new(struct hs_coord_core *c, uint32_t t, uint64_t node);
/* The latest incarnation after @node that has spoken of the trace; 0: none. */
uint32_t hs_coord_visit_later(const struct hs_coord_core *c, uint32_t t,
			      uint64_t node);
void hs_coord_visit_begin(struct hs_coord_core *c, uint32_t t, uint32_t v,
			  uint32_t later);
void hs_coord_changed(struct hs_coord_core *c, uint32_t t);
/* The one that names a new trace has a place there before its answer counts. */
void hs_coord_place(struct hs_coord_core *c, uint32_t t, uint64_t node);
/* Without a place for it the trace is cut; counted. */
void hs_coord_answer(struct hs_coord_core *c, uint32_t t,
		     const struct hs_wire_answer *said,
		     const struct hs_wire_crumb *crumbs);
void hs_coord_fired_elsewhere(struct hs_coord_core *c, uint32_t t,
			      uint64_t node);
void hs_coord_named_too_many(struct hs_coord_core *c, uint32_t v);
void hs_coord_cut(struct hs_coord_core *c, uint32_t t);
/* Retries and timeouts of one trace; Return: when to look again. */
uint64_t hs_coord_visits_due(struct hs_coord_core *c, uint32_t t);
void hs_coord_ask(struct hs_coord_core *c, uint32_t v);
void hs_coord_want(struct hs_coord_core *c, uint32_t t, uint64_t node,
		   uint32_t named_by);
/* Not by a crumb: it said so itself, when everybody was asked. */
void hs_coord_want_found(struct hs_coord_core *c, uint32_t t, uint64_t node);
void hs_coord_also(struct hs_coord_core *c, uint32_t t,
		   const struct hs_wire_trigger *trigger);
void hs_coord_send_asks(struct hs_coord_core *c);
void hs_coord_visits_free(struct hs_coord_core *c, uint32_t t);

/* core_member.c */
/* Whether a node may ask so much more of us now; it pays for it if so. */
bool hs_coord_member_pays(struct hs_coord_core *c, uint64_t node,
			  uint32_t cost);
/* After that it may again. */
uint64_t hs_coord_member_wait_ns(const struct hs_coord_core *c, uint64_t node);
/* @v waits, or does no longer, because of a crumb of @m. */
void hs_coord_blame(struct hs_coord_core *c, uint32_t v, uint32_t m);
void hs_coord_unblame(struct hs_coord_core *c, uint32_t v);
/* What is said of a node that does not answer: enum hs_wire_state. */
uint16_t hs_coord_member_word(const struct hs_coord_core *c, uint32_t m);

/* core_seek.c */
/* Crumbs are missing, and nobody was asked yet. */
bool hs_coord_seek_wanted(const struct hs_coord_core *c, uint32_t t);
void hs_coord_seek_begin(struct hs_coord_core *c, uint32_t t);
/* What is due; Return: when to look again. */
void hs_coord_seek_run(struct hs_coord_core *c);
/* core_address.c: nodes that crumbs name by their address. */
void hs_coord_address_drop(struct hs_coord_core *c, uint32_t m);
/* It is not up any more: who is left at its address was not the only one. */
void hs_coord_address_down(struct hs_coord_core *c, uint32_t m);
/**
 * hs_coord_addresses() - crumbs with node ids in the place of addresses
 * @answer: changed with them: it has as many as are left
 * @cut: set if one leads to nobody, to several, or to who may be new there
 *
 * Return: the crumbs.
 */
const struct hs_wire_crumb *
hs_coord_addresses(struct hs_coord_core *c, struct hs_wire_answer *answer,
		   const struct hs_wire_crumb *crumbs, bool *cut);
static inline bool hs_coord_seek_idle(const struct hs_coord_core *c)
{
	return !c->nr_questions && !c->seeks.head;
}
uint64_t hs_coord_seek_next_ns(const struct hs_coord_core *c);
int hs_coord_seek_found(struct hs_coord_core *c, uint64_t from,
			const void *payload, uint32_t payload_bytes);
void hs_coord_seek_member_down(struct hs_coord_core *c, uint32_t m);
static inline bool hs_coord_seeks(const struct hs_coord_trace *trace)
{
	return trace->seek == HS_COORD_SEEK_QUEUED ||
	       trace->seek == HS_COORD_SEEK_ASKED;
}

/* core_ahead.c */
/* @v is being asked for the first time: what does its table say? */
void hs_coord_ahead_read(struct hs_coord_core *c, uint32_t v);
/* Counts as if no table had named it before. */
void hs_coord_ahead_over(struct hs_coord_core *c, uint32_t v);
/* An answer of @named_by, or the question to many, names @v after all. */
void hs_coord_ahead_confirm(struct hs_coord_core *c, uint32_t t, uint32_t v,
			    uint32_t named_by);
void hs_coord_ahead_found(struct hs_coord_core *c, uint32_t t, uint32_t v);
/* @v, new, answers for an earlier incarnation that hints alone led to. */
void hs_coord_ahead_inherit(struct hs_coord_core *c, uint32_t t, uint32_t v);
/* A trigger fired there: no hint is needed. */
void hs_coord_ahead_fired(struct hs_coord_core *c, uint32_t t, uint64_t node);
/* Hinted, as long as nothing confirms it: says nothing, or nothing of use. */
static inline bool hs_coord_ahead_idle(const struct hs_coord_visit *visit)
{
	return visit->state == HS_COORD_VISIT_HINTED ||
	       (visit->hinted && visit->state == HS_COORD_VISIT_ANSWERED &&
		visit->told == HS_WIRE_STATE_UNKNOWN && !visit->flags &&
		!visit->cut && !visit->nr_crumbs);
}

/* core_manifest.c */
/* Whether the manifest leaves an answer out: of one that fired what others
 * know, and that no crumb names. */
bool hs_coord_left_out(const struct hs_coord_core *c,
		       const struct hs_coord_visit *visit);
/* When the collector is to hear of it; UINT64_MAX: nothing to say. */
uint64_t hs_coord_tell_ns(const struct hs_coord_core *c, uint32_t t);
void hs_coord_tell(struct hs_coord_core *c, uint32_t t);
/* Agents hold a trace once for each trigger's name and lateral group. */
static inline bool hs_coord_same_hold(const struct hs_wire_trigger *a,
				      const struct hs_wire_trigger *b)
{
	return a->primary.hi == b->primary.hi &&
	       a->primary.lo == b->primary.lo &&
	       !memcmp(a->name, b->name, sizeof(a->name));
}
bool hs_coord_name_add(struct hs_coord_core *c, uint32_t t,
		       const struct hs_wire_trigger *trigger);
/* Part of request @r is in trace @t as it stands now. */
void hs_coord_content_add(struct hs_coord_core *c, uint32_t t, uint32_t r);
void hs_coord_request_done(struct hs_coord_core *c, uint32_t r);
int hs_coord_ack(struct hs_coord_core *c, const void *payload,
		 uint32_t payload_bytes);

#endif
