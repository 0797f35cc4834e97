/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core.h - the agent's logic: (state, event, now) -> actions
 *
 * Knows which buffer belongs to whom, which trace has which buffers and
 * crumbs, which traces have fired, and what to tell coordinators and
 * collectors. Does no I/O, reads no clock, allocates nothing: the shell
 * (worker.c, or the simulator) hands in memory, events and the time, and
 * carries out what comes back through the ops.
 *
 * One round of the shell:
 *	1. if hs_agent_core_wants_scan(): begin_scan(), then slot() for every
 *	   live slot of every process, then end_scan();
 *	2. entry() for what the lanes hold, stock() to fill the stock rings;
 *	3. tick().
 * Slots come before lanes: a handle publishes its END before it leaves its
 * slot, so one that the scan did not find live is in the lane by then.
 *
 * Context: one thread, but for hs_agent_core_seen().
 */
#ifndef HS_AGENT_CORE_H
#define HS_AGENT_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hs/crumb_format.h"
#include "hs/shm_format.h"
#include "hs/wire_format.h"

#define HS_AGENT_DOMAINS_MAX	   16u
#define HS_AGENT_TRIGGERS_MAX	   64u
#define HS_AGENT_CONTEXT_PEERS_MAX 64u

#define HS_AGENT_HEAD_TRIGGER "head" /* of what is sampled at its beginning */

struct hs_agent_core;

/* Bytes of one buffer, to be sent to the collector that owns the trace. */
struct hs_agent_slice {
	struct hs_wire_slice head; /* crc is the carrier's to fill in */
	uint32_t domain;
	uint32_t pool_node;   /* whose pool */
	uint64_t pool_offset; /* of the first byte */
	/* So far in its buffer: whoever looks at records has to look at more
	 * than the slice, which begins and ends anywhere. */
	uint32_t committed;
};

/* What became of a slice that was to be sent. */
enum hs_agent_shipped {
	HS_AGENT_SHIP_NOT = 0,	  /* no room now, ask again later */
	HS_AGENT_SHIP_COPIED = 1, /* its memory is not looked at again */
	HS_AGENT_SHIP_LENT = 2,	  /* it is read where it lies, until
				     hs_agent_core_returned() */
	HS_AGENT_SHIP_AWAY = 3,	  /* its collector is not there: others' traces
				     need not wait for it, and it waits for
				     hs_agent_core_routes_changed() */
};

struct hs_agent_ops {
	/*
	 * To the shard that owns @primary; each @attempt tries the next.
	 * Return: the node that it went to; 0: to nobody, or no room.
	 */
	uint64_t (*send_coordinator)(void *ctx,
				     const struct hs_wire_trace_id *primary,
				     uint32_t attempt, uint16_t type,
				     const void *payload,
				     uint32_t payload_bytes);
	/* To the coordinator that asked. */
	bool (*send_node)(void *ctx, uint64_t node, uint16_t type,
			  const void *payload, uint32_t payload_bytes);
	enum hs_agent_shipped (*ship)(void *ctx,
				      const struct hs_agent_slice *slice);
	/* Where send_coordinator() would go now; NULL: what coordinators refuse
	 * goes again after a while, whoever else waits. */
	uint64_t (*coordinator_of)(void *ctx,
				   const struct hs_wire_trace_id *primary,
				   uint32_t attempt);
};

/* What another thread may know of a trace. */
struct hs_agent_seen {
	uint64_t first_ns, last_ns; /* 0: not known here */
};

/* How a named trigger is treated; unnamed ones get the default. */
struct hs_agent_trigger_policy {
	char name[HS_WIRE_NAME_BYTES];
	uint32_t weight;      /* of its reporting queue; 0: 1 */
	uint32_t rate_per_s;  /* local triggers; 0: no limit */
	uint64_t bytes_per_s; /* reported; 0: no limit */
	bool dry_run;	      /* count what it would take, take nothing */
};

/* Numbers of nodes, the upper halves of their ids. */
struct hs_agent_node_range {
	uint32_t first, last;
};

struct hs_agent_config {
	uint64_t node_id;
	uint64_t index_seed; /* private, random */
	/* A copy of all crumbs for coordinators to read, empty; NULL: none. */
	struct hs_crumb_table crumb_table;
	struct hs_crumb_bucket *crumb_buckets;
	uint8_t cluster_key[16]; /* priorities; the same on every node */
	void *scratch;	    /* HS_WIRE_PAYLOAD_MAX_BYTES for messages under way;
			       cores of one thread may share it; NULL: its own */
	uint32_t nr_groups; /* outbox; 0: 4096 */
	uint32_t nr_fired;  /* fired traces remembered; 0: 65536 */
	uint32_t nr_pending;	/* COLLECTs under way; 0: 1024 */
	uint64_t remember_ns;	/* fired ids; 0: 300 s */
	uint64_t resend_ns;	/* outbox; 0: 1 s */
	uint64_t open_ship_ns;	/* open buffers go after; 0: 500 ms */
	uint32_t window_bytes;	/* unacknowledged slices; 0: 4 MiB */
	uint64_t bytes_per_s;	/* reported in all; 0: no limit */
	uint32_t evict_percent; /* use at which eviction starts; 0: 80 */
	uint64_t taint_ns; /* how long before its first and after its last entry
			      a trace may have lost one; 0: 5 s */
	uint32_t trace_buffers_max; /* of one trace here; 0: 16384 */
	uint32_t trace_crumbs_max;  /* 0: HS_WIRE_CRUMBS_MAX */
	/* Returns when every read-side section that was under way has ended;
	 * called once for thousands of traces, with the ops' ctx. NULL:
	 * hs_agent_core_seen() is called by the core's own thread alone. */
	void (*grace)(void *ctx);
	/* Shares of all traces, in parts of a million, the same traces on every
	 * node: kept at all (0: all), and fired as "head" when first seen. */
	uint32_t kept_ppm, head_ppm;
	bool crash_trigger; /* fire "crash" for what a dead process had open */
	/* Whose word a context's flag "triggered" is taken for. */
	uint32_t nr_context_peers;
	struct hs_agent_node_range context_peers[HS_AGENT_CONTEXT_PEERS_MAX];
	uint32_t nr_policies;
	struct hs_agent_trigger_policy policies[HS_AGENT_TRIGGERS_MAX];
};

/*
 * A pool is counted in units, buffers of the smallest class. The others are
 * class_factor times as large as the one before, each.
 */
struct hs_agent_domain_config {
	uint32_t nr_buffers;   /* units, of all nodes together */
	uint32_t buffer_bytes; /* a unit; a power of two, 256 or more */
	uint32_t nr_crumbs;    /* 0: nr_buffers */
	uint32_t nr_traces;    /* 0: nr_buffers + nr_buffers / 4 */
	uint32_t weight;       /* of its reporting beside other domains; 0: 1 */
	uint32_t nr_classes;   /* 0: 1 */
	uint32_t class_factor; /* power of two; 0: 4 */
	uint32_t chunk_units;  /* power of two; 0: all in one chunk */
	uint32_t nr_nodes;     /* 0: 1; each has the same share, in chunks */
};

struct hs_agent_stats {
	uint64_t buffers_indexed;
	uint64_t bytes_indexed;
	uint64_t traces_seen;
	uint64_t traces_evicted;
	uint64_t stock_returned;  /* idle, and asked back */
	uint64_t stock_denied;	  /* no buffer of a class to be had */
	uint64_t stock_remote;	  /* from another NUMA node, its own was full */
	uint64_t gone_forgotten;  /* fingerprints of what was evicted */
	uint64_t entries_bad;	  /* a lane said something impossible */
	uint64_t lost_index_full; /* buffers without a place in the index */
	uint64_t lost_taints;	  /* intervals that tainted a process */
	uint64_t crumbs_lost;
	uint64_t crumbs_shown;	 /* put where coordinators read them */
	uint64_t crumbs_covered; /* traces there that gave way to others */
	uint64_t triggers_local;
	uint64_t triggers_limited;
	uint64_t triggers_refused; /* outbox or fired table full */
	uint64_t triggers_context; /* came in flagged by a context */
	uint64_t contexts_refused; /* of these, from nobody believed */
	uint64_t triggers_stored;
	uint64_t requests_refused; /* over a coordinator's budget: go again */
	uint64_t coordinators_silent; /* and owed something: told the next */
	uint64_t collects;
	uint64_t collects_refused;
	uint64_t seeks;
	uint64_t seeks_refused; /* no place: the coordinator asks again */
	uint64_t seeks_found;	/* traces that were known */
	uint64_t updates;
	uint64_t slices_sent;
	uint64_t slices_resent;
	uint64_t slices_acked;
	uint64_t slices_refused;
	uint64_t bytes_sent;
	uint64_t traces_abandoned;
	uint64_t buffers_unkept; /* of traces outside the share that is kept */
	uint64_t holds_refused;	 /* further triggers of a fired trace */
	uint64_t fired_forgotten_early; /* the table was filling */
	uint64_t crashes; /* processes that died with traces open */
	uint64_t messages_bad;
	uint64_t adopted_buffers;
	uint64_t adopted_groups;
	uint64_t adopted_fired;
};

/* Buffers in units of the smallest ones. */
struct hs_agent_domain_stats {
	uint64_t buffers_free, buffers_stocked, buffers_held, buffers_pinned;
	uint64_t buffers_total;
	uint64_t buffers_sending;      /* the carrier's until acknowledged; */
	uint64_t buffers_sending_open; /* of them stocked, still written */
	uint64_t buffers_parked;  /* nobody's, but the carrier reads them yet */
	uint64_t buffers_indexed; /* ever, and the bytes in them */
	uint64_t bytes_indexed;
	uint64_t units_indexed;
	uint64_t traces, traces_fired;
	uint64_t horizon_ns; /* age of the oldest kept untriggered trace */
	uint64_t chunks;
	uint32_t nr_classes;
	struct {
		uint64_t buffer_bytes, chunks;
	} classes[HS_SHM_NR_CLASSES];
};

struct hs_agent_trigger_stats {
	char name[HS_WIRE_NAME_BYTES];
	uint64_t fired_local;
	uint64_t fired_remote;
	uint64_t dry_fired;  /* in a dry run */
	uint64_t dry_traces; /* would have been taken then */
	uint64_t dry_bytes;  /* of them, here */
	uint64_t limited;    /* over its rate */
	uint64_t refused;    /* no room in the outbox */
	uint64_t bytes_sent;
	uint64_t groups_abandoned;
	uint64_t traces_abandoned; /* nobody else held them */
	uint64_t buffers_pinned;
	uint32_t queued;  /* traces with something to send */
	uint32_t waiting; /* fired here, not stored yet */
	uint32_t weight;
	uint32_t rate_per_s;
	uint64_t bytes_per_s;
	bool dry_run;
};

/* What waits, and for whom. */
struct hs_agent_queue_stats {
	uint64_t outbox;  /* triggers whose manifests are not stored yet */
	uint64_t fired;	  /* traces remembered as fired */
	uint64_t changed; /* of them: answers that may have changed */
	uint64_t limited; /* TRIGGERs and UPDATEs over coordinators' budgets */
	uint64_t asked;	  /* COLLECTs that the next scan answers */
	uint64_t slices;  /* under way to collectors */
	uint64_t slice_bytes;
	uint64_t lent_bytes; /* that the carrier reads where they lie */
};

/* Memory that the caller provides; zeroed unless it is to be adopted. */
size_t hs_agent_core_size_bytes(const struct hs_agent_config *config);
size_t hs_agent_node_ledger_bytes(const struct hs_agent_config *config);
size_t hs_agent_domain_size_bytes(const struct hs_agent_domain_config *config);
/* From its beginning, how much of that adopting a full pool touches, about. */
size_t
hs_agent_domain_touched_bytes(const struct hs_agent_domain_config *config);
size_t
hs_agent_domain_ledger_bytes(const struct hs_agent_domain_config *config);

/**
 * hs_agent_core_create() - take over a node's ledger, or begin one
 * @memory: hs_agent_core_size_bytes() zeroed bytes
 * @ledger: hs_agent_node_ledger_bytes(), zeroed or a predecessor's
 *
 * Return: the core, in @memory; NULL when the ledger is of another version
 *	or shape: then give it a fresh one.
 */
struct hs_agent_core *hs_agent_core_create(void *memory, void *ledger,
					   const struct hs_agent_config *config,
					   const struct hs_agent_ops *ops,
					   void *ctx, uint64_t now_ns,
					   int64_t wall_offset_ns);
/** The id that an adopted ledger carries; config's where it is fresh. */
uint64_t hs_agent_core_node(const struct hs_agent_core *core);
/** hs_agent_core_hide_crumbs() - nobody reads their copy: it can be freed */
void hs_agent_core_hide_crumbs(struct hs_agent_core *core);
void hs_agent_core_wall_offset(struct hs_agent_core *core,
			       int64_t wall_offset_ns);

/**
 * hs_agent_core_domain_add() - take over a domain's ledger, or begin one
 * Return: 0; -EPROTO for a ledger of another version or shape; -ENOSPC.
 */
int hs_agent_core_domain_add(struct hs_agent_core *core, uint32_t domain,
			     void *memory, void *ledger,
			     const struct hs_agent_domain_config *config,
			     uint64_t now_ns);

/** hs_agent_core_process_new() - the number of a new attachment, never 0 */
uint32_t hs_agent_core_process_new(struct hs_agent_core *core);
#define HS_AGENT_STOCK_HERE 0x100u
/**
 * hs_agent_core_stock_some() - buffers for @process
 * @node: NUMA node that they should lie on; another one's where that is full,
 *	unless HS_AGENT_STOCK_HERE is with it
 * @words: room for @nr stock words
 *
 * Evicts where it must: whole traces, a bounded number for each buffer. A
 * worker that is killed before it has handed them on leaves them to @process,
 * which never learns of them: as many stay out of use until it ends.
 *
 * Return: how many; fewer: no more to be had, ask for another class, or later.
 */
uint32_t hs_agent_core_stock_some(struct hs_agent_core *core, uint32_t domain,
				  uint32_t process, uint32_t size_class,
				  uint32_t node, uint64_t *words, uint32_t nr);
/** hs_agent_core_stock_class() - one of them. Return: 0: there is none */
static inline uint64_t
hs_agent_core_stock_class(struct hs_agent_core *core, uint32_t domain,
			  uint32_t process, uint32_t size_class, uint32_t node)
{
	uint64_t word = 0;

	hs_agent_core_stock_some(core, domain, process, size_class, node, &word,
				 1);
	return word;
}
/** hs_agent_core_stock() - one of the smallest class, of the first node */
static inline uint64_t hs_agent_core_stock(struct hs_agent_core *core,
					   uint32_t domain, uint32_t process)
{
	return hs_agent_core_stock_class(core, domain, process, 0, 0);
}
/** hs_agent_core_stocked() - units of a domain that processes have */
uint32_t hs_agent_core_stocked(const struct hs_agent_core *core,
			       uint32_t domain);
/** hs_agent_core_stocked_by() - those that @process has; looks for them */
uint32_t hs_agent_core_stocked_by(const struct hs_agent_core *core,
				  uint32_t domain, uint32_t process);
/** hs_agent_core_owns() - whether this word is @process's still */
bool hs_agent_core_owns(const struct hs_agent_core *core, uint32_t domain,
			uint32_t process, uint64_t stock_word);

/** hs_agent_core_wants_scan() - slots must be looked at before tick() */
bool hs_agent_core_wants_scan(const struct hs_agent_core *core,
			      uint64_t now_ns);
/**
 * hs_agent_core_coordinator_silent() - it has been quiet for too long
 * @number: of its node
 *
 * What it owes goes to the next shard; it is not taken for gone.
 *
 * Return: whether it owed anything.
 */
bool hs_agent_core_coordinator_silent(struct hs_agent_core *core,
				      uint32_t number, uint64_t now_ns);
/** hs_agent_core_scan_took() - by it the core knows how many it may ask for */
void hs_agent_core_scan_took(struct hs_agent_core *core, uint64_t took_ns);
/** hs_agent_core_says_ns() - when a coordinator hears a trigger, or the answer
 * that it waits for, at the earliest; UINT64_MAX: there is none */
uint64_t hs_agent_core_says_ns(const struct hs_agent_core *core);
void hs_agent_core_begin_scan(struct hs_agent_core *core, uint64_t now_ns);
/**
 * hs_agent_core_slot() - a live slot
 * @slot: a local copy, consistent by its use word
 * @header: a local copy of the header of its present buffer, NULL if none
 */
void hs_agent_core_slot(struct hs_agent_core *core, uint32_t domain,
			uint32_t process, const struct hs_shm_slot *slot,
			const struct hs_shm_buffer *header, uint64_t now_ns);
void hs_agent_core_end_scan(struct hs_agent_core *core);

/**
 * hs_agent_core_entry() - entries of one lane, in order, in local copies
 * @names: trigger names of the process
 * Return: how many were used: a trigger whose laterals are not all there yet
 *	is left for the next time.
 */
uint32_t hs_agent_core_entries(struct hs_agent_core *core, uint32_t domain,
			       uint32_t process,
			       const struct hs_shm_entry *entries,
			       uint32_t nr_entries,
			       const struct hs_shm_trigger *names,
			       uint32_t nr_names, uint64_t now_ns);

/** hs_agent_core_loss() - @process dropped what no trace can be named for */
void hs_agent_core_loss(struct hs_agent_core *core, uint32_t domain,
			uint32_t process, uint64_t first_ns, uint64_t last_ns);

/**
 * hs_agent_core_dead_slot() - a slot of a process that has died
 *
 * After its lanes were drained, before hs_agent_core_process_dead().
 */
void hs_agent_core_dead_slot(struct hs_agent_core *core, uint32_t domain,
			     uint32_t process, const struct hs_shm_slot *slot,
			     const struct hs_shm_buffer *header,
			     uint64_t now_ns);
/** hs_agent_core_process_dead() - take its remaining buffers back */
void hs_agent_core_process_dead(struct hs_agent_core *core, uint32_t domain,
				uint32_t process, uint64_t now_ns);

/**
 * hs_agent_core_policy_set() - another policy, from now on
 * @config: its policies, limits of reporting, evict_percent, window_bytes,
 *	crash_trigger and context_peers count; the rest is ignored
 *
 * What was fired before stays fired; counters go on.
 */
void hs_agent_core_policy_set(struct hs_agent_core *core,
			      const struct hs_agent_config *config);

enum hs_agent_fire {
	HS_AGENT_FIRE_DONE = 0,
	HS_AGENT_FIRE_DRY = 1, /* counted, and nothing collected */
};
/**
 * hs_agent_core_fire() - a trigger from the operator, or a rule
 * Return: enum hs_agent_fire; -EBUSY limited; -ENOSPC refused; -EINVAL bad
 *	name or ids.
 */
int hs_agent_core_fire(struct hs_agent_core *core, const char *name,
		       const struct hs_wire_trace_id *traces, uint32_t nr,
		       uint64_t now_ns);
/**
 * hs_agent_core_fire_elsewhere() - fire what this node need not have seen
 *
 * Coordinators find out who has; that this node has not is no loss.
 */
int hs_agent_core_fire_elsewhere(struct hs_agent_core *core, const char *name,
				 const struct hs_wire_trace_id *traces,
				 uint32_t nr, uint64_t now_ns);
/**
 * hs_agent_core_recent() - traces last seen since @since_ns, newest first
 * @process: 0: of any
 */
uint32_t hs_agent_core_recent(const struct hs_agent_core *core, uint32_t domain,
			      uint32_t process, uint64_t since_ns,
			      struct hs_wire_trace_id *out, uint32_t nr_out);

/**
 * hs_agent_core_seen() - which traces a domain knows, and since when
 *
 * Finds every trace that is there all the while; one that comes or goes
 * meanwhile may be found or not.
 *
 * Context: any thread within a read-side section that config.grace waits for;
 *	lock-free; the core itself outlives it.
 * Return: how many it knows.
 */
uint32_t hs_agent_core_seen(const struct hs_agent_core *core, uint32_t domain,
			    const struct hs_wire_trace_id *ids, uint32_t nr,
			    struct hs_agent_seen *out);

/** hs_agent_core_message() - COLLECT, SEEK, STORED, REFUSED, SLICE_ACK */
void hs_agent_core_message(struct hs_agent_core *core, uint64_t from_node,
			   uint16_t type, const void *payload,
			   uint32_t payload_bytes, uint64_t now_ns);
/**
 * hs_agent_core_slice_limit() - how long slices may be from now on
 *
 * Longer buffers go in several, one after the other. At first, and at most:
 * HS_WIRE_SLICE_MAX_BYTES.
 */
void hs_agent_core_slice_limit(struct hs_agent_core *core, uint32_t bytes);
/**
 * hs_agent_core_returned() - the carrier is done with a slice that it was lent
 * @ship_key: and @length_bytes, as ship() had them
 *
 * Once for each, answered or given up or not; before that its memory belongs to
 * nobody else.
 */
void hs_agent_core_returned(struct hs_agent_core *core, uint64_t ship_key,
			    uint32_t length_bytes);
/**
 * hs_agent_core_routes_changed() - a trace may have a collector that had none
 *
 * What ship() called away is tried again. A collector that comes up says so by
 * hs_agent_core_collector_up(); this is for whatever else makes a trace another
 * collector's.
 */
void hs_agent_core_routes_changed(struct hs_agent_core *core);
/** hs_agent_core_away() - whether something waits for that */
bool hs_agent_core_away(const struct hs_agent_core *core);
/** hs_agent_core_collector_up() - what it had not acknowledged goes again */
void hs_agent_core_collector_up(struct hs_agent_core *core, uint64_t now_ns);
/** hs_agent_core_coordinator_up() - what nobody has, or what @node had and may
 * have forgotten, goes now */
void hs_agent_core_coordinator_up(struct hs_agent_core *core, uint64_t node,
				  uint64_t now_ns);
/** hs_agent_core_coordinator_down() - what it had goes to the next one now */
void hs_agent_core_coordinator_down(struct hs_agent_core *core, uint64_t node,
				    uint64_t now_ns);

/** hs_agent_core_tick() - answer, report, evict, forget */
void hs_agent_core_tick(struct hs_agent_core *core, uint64_t now_ns);

/** hs_agent_core_busy() - something is on its way: come back soon */
bool hs_agent_core_busy(const struct hs_agent_core *core);
/* Who is told to end has so long to say what it has to say. */
#define HS_AGENT_FINISH_NS 2000000000ull
/**
 * hs_agent_core_hurry() - it ends soon
 *
 * What a predecessor said, and is said again at leisure, changes at once: it is
 * said within as many scans as what a loss changes, whatever its number.
 */
void hs_agent_core_hurry(struct hs_agent_core *core);
void hs_agent_core_stats_get(const struct hs_agent_core *core,
			     struct hs_agent_stats *out);
void hs_agent_core_domain_stats_get(const struct hs_agent_core *core,
				    uint32_t domain, uint64_t now_ns,
				    struct hs_agent_domain_stats *out);
void hs_agent_core_queue_stats_get(const struct hs_agent_core *core,
				   struct hs_agent_queue_stats *out);
uint32_t hs_agent_core_trigger_stats_get(const struct hs_agent_core *core,
					 struct hs_agent_trigger_stats *out,
					 uint32_t nr_out);
/** hs_agent_core_check() - every sum adds up; for tests and the simulator */
bool hs_agent_core_check(const struct hs_agent_core *core, const char **why);

#endif
