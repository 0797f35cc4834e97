/* SPDX-License-Identifier: Apache-2.0 */
/* params.h - everything a run is made of */
#ifndef HS_TESTS_SIM_PARAMS_H
#define HS_TESTS_SIM_PARAMS_H

#include <stdbool.h>
#include <stdint.h>

#define SIM_MS 1000000ull
#define SIM_US 1000ull
#define SIM_S  1000000000ull

#define SIM_SERVERS_MAX 16u
#define SIM_PROCS_MAX	4u
#define SIM_CLASSES_MAX 3u
#define SIM_DOMAINS_MAX 4u /* of a node: tenants, and the hostile one */
#define SIM_TENANTS_MAX (SIM_DOMAINS_MAX - 1)

/* Everything a run is made of; drawn from the seed, then overridden. */
struct sim_params {
	uint64_t seed;
	uint32_t nr_nodes, nr_coords, nr_colls, nr_procs;
	uint32_t nr_domains; /* tenants of a node, each with its memory */
	uint32_t nr_requests;
	bool tally; /* span ends are counted, and the counts shipped */
	bool tight; /* limits that make agents give things up (policy.c) */
	uint64_t load_ns; /* over which requests arrive */
	uint32_t visits_max;
	uint32_t fanout_max;
	double trigger_share, lateral_share;
	double late_share; /* of triggers fired later, by somebody */
	double forward_share, reply_lost;
	bool addresses; /* half of the callers know no more than an address */
	uint32_t write_max_bytes;
	bool stream; /* links as TCP's; else as datagrams */
	double loss, dup, slow;
	uint64_t delay_min_ns, delay_max_ns;
	double drift;			   /* of clocks, at most */
	uint32_t nr_buffers, buffer_bytes; /* of the smallest class */
	uint32_t nr_classes, class_factor, chunk_units;
	uint32_t ring_words, lane_room, nr_slots;
	uint32_t library; /* that processes have: 1: the first ones of version
			     1, whose ENDs a full lane drops; 2: today's; 3:
			     the one or the other */
	uint32_t lane_room_today; /* of today's; lane_room of the others */
	double laneless;	  /* share of handles that find no lane as they
			     begin, or end; of today's */
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
	bool ship_bye;	  /* workers that end say so to the collectors */
	bool bout_seeks;  /* in the agent's: SEEKs */
	bool bout_exact;  /* in the agent's: limits to the nanosecond */
	bool bouts;	  /* the cores alone, first */
	uint32_t ahead;	  /* 1: coordinators read agents' crumbs */
	double read_bad;  /* share of reads that are stale, torn, lost, ... */
	double read_lies; /* ... that somebody made up */
	/* An agent's CPU: until it looks, and between parts of a round. */
	uint64_t wake_max_ns, gap_max_ns;
	uint32_t planted;   /* a bug put in on purpose; 0: none */
	const char *graphs; /* file of call graphs; NULL: random ones */
	bool verbose;
};

/* draw.c: all of it from the seed, as it is before the command line speaks */
static inline uint32_t sim_nr_domains(const struct sim_params *p)
{
	return p->nr_domains + p->hostile;
}
/* The last process is the hostile one, if there is one. */
static inline uint32_t sim_domain_of(const struct sim_params *p,
				     uint32_t process)
{
	return p->hostile && process == p->nr_procs - 1
		       ? p->nr_domains
		       : process % p->nr_domains;
}
void sim_draw(struct sim_params *p, uint64_t seed);
uint32_t sim_ring_words(const struct sim_params *p, uint32_t size_class);

#endif
