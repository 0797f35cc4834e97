/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ship.h - slices as datagrams: the shipping protocol between every agent and
 * every collector of the world
 *
 * The two state machines are those that the daemons link (ship/proto_*.c).
 * What is modelled is what stands around them there: the agent's shipper with
 * its copies (outlet.c here), the collector's intake (intake.c), and a way that
 * loses, repeats, reorders, bends and delays frames (frames.c).
 *
 * Every slice that a sender took is kept in the log of its session, so that
 * each comes out once, in order and as it went in, and is settled once, in
 * order, and only after the collector has said so.
 */
#ifndef HS_TESTS_SIM_SHIP_H
#define HS_TESTS_SIM_SHIP_H

#include "ship/proto_receive.h"
#include "ship/proto_send.h"
#include "tests/sim/sim.h"

/* Peers of a collector below are endpoints of the transport. */
#define SIM_SHIP_PEER		 0x80000000u
#define SIM_SHIP_CONNECTIONS_MAX 128u
#define SIM_SHIP_LEAST		 64u /* as hs-collector's */

struct sim_item {
	uint64_t key;
	uint8_t *bytes; /* until it is settled, or the session is over */
	uint8_t *copy;
	uint32_t length, crc;
	bool taken, answered, refused;
};

/* One connection, as the agent numbered it. */
struct sim_session {
	struct sim_session *next;
	uint64_t id;
	uint32_t node;
	struct sim_item *items;
	uint32_t nr, room;
	uint32_t nr_taken, nr_settled;
};

/* From one agent to one collector. */
struct sim_way {
	struct sim *s;
	uint32_t node, coll;
	struct hs_ship_sender *sender;
	void *memory;
	uint64_t wake_ns;
	struct sim_session *session; /* NULL: down */
	uint64_t node_id;
	uint64_t even_ns; /* when its bytes are even with the operator's rate */
	uint64_t timeouts; /* before this connection */
	bool port_full;	   /* in this round of its sender */
};

struct sim_answer {
	uint32_t peer;
	uint64_t key;
	bool refused;
};

struct sim_inlet {
	struct sim *s;
	uint32_t coll;
	struct hs_ship_receiver *receiver;
	void *memory;
	uint64_t wake_ns;
	uint32_t nr_connections;
	uint32_t nr_out; /* frames that were handed in and are not back */
	uint32_t lives[SIM_SHIP_CONNECTIONS_MAX];
	struct sim_session *sessions[SIM_SHIP_CONNECTIONS_MAX];
	/* Told once the receiver has returned, as the collector does it. */
	struct sim_answer *answers;
	uint32_t nr_answers, room_answers;
	bool lost; /* the disk lost something: all connections end */
};

struct sim_ship {
	struct hs_random random;
	struct sim_way *ways; /* of a node to all collectors, then the next */
	struct sim_inlet inlets[SIM_SERVERS_MAX];
	struct sim_session *sessions;
	uint64_t flow;
};

struct sim_frame {
	uint32_t from, to; /* endpoints */
	uint32_t from_gen, to_gen;
	uint32_t bytes;
	uint8_t data[];
};

static inline struct sim_way *sim_way(struct sim *s, uint32_t node,
				      uint32_t coll)
{
	return &s->ship->ways[node * s->p.nr_colls + coll];
}

/* For the rest of the world; a world without it has no sim->ship. */
bool sim_ship_sane(const struct sim_params *p);
void sim_ship_create(struct sim *s);
void sim_ship_destroy(struct sim *s);
void sim_ship_node_up(struct sim *s, uint32_t n);
void sim_ship_node_bye(struct sim *s, uint32_t n);
void sim_ship_node_down(struct sim *s, uint32_t n);
void sim_ship_coll_up(struct sim *s, uint32_t k);
void sim_ship_coll_down(struct sim *s, uint32_t k);
enum hs_agent_shipped sim_ship_slice(struct sim *s, uint32_t n,
				     const struct hs_wire_slice *head,
				     const uint8_t *bytes);
void sim_ship_answer(struct sim *s, uint32_t k, uint32_t peer, uint64_t key,
		     bool refused);
void sim_ship_synced(struct sim *s, uint32_t k, bool lost);
void sim_ship_frame(struct sim *s, struct sim_frame *f);
void sim_ship_outlet(struct sim *s, uint32_t n, uint32_t k, uint64_t at_ns);
void sim_ship_intake(struct sim *s, uint32_t k, uint64_t at_ns);
bool sim_ship_quiet(const struct sim *s);

/* frames.c: a frame on its way, perhaps; @gen: which life of an agent */
void sim_frame_post(struct sim *s, uint32_t from, uint32_t to, uint32_t gen,
		    const uint8_t *frame, uint32_t bytes);
/* outlet.c, intake.c: a frame came to an agent, to a collector */
void sim_outlet_frame(struct sim *s, struct sim_frame *f);
void sim_outlet_session_end(struct sim_session *session);
void sim_intake_frame(struct sim *s, struct sim_frame *f);

#endif
