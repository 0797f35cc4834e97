/* SPDX-License-Identifier: Apache-2.0 */
/*
 * intake.c - the collector's end of shipping: a receiver for all agents, which
 * gives each slice once, in order, and settles it when it is durable
 */
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "ship/proto_receive_priv.h"
#include "tests/ship/lossy_tag.h"
#include "tests/sim/ship.h"

/* A place that another agent has got is another peer. */
static uint32_t peer_of(const struct sim_inlet *in, uint32_t connection)
{
	return SIM_SHIP_PEER | in->lives[connection] << 16 | connection;
}

/* ---- what the receiver calls ----------------------------------------------
 */

static void op_send_frame(void *ctx, const struct hs_ship_address *to,
			  const void *frame, uint32_t frame_bytes)
{
	struct sim_inlet *in = ctx;
	uint32_t at[2];

	memcpy(at, to->bytes, sizeof(at));
	sim_frame_post(in->s, sim_ep_coll(in->s, in->coll), at[0], at[1], frame,
		       frame_bytes);
}

/* What comes out is what the agent put in next. */
static bool as_sent(struct sim_inlet *in, struct sim_session *session,
		    const struct hs_wire_slice *head, const uint8_t *bytes)
{
	const struct sim_item *item;

	in->s->t.checks++;
	if (!session || session->nr_taken == session->nr) {
		sim_fail(in->s, "coll%u gets a slice that nobody sent",
			 in->coll);
		return false;
	}
	item = &session->items[session->nr_taken];
	if (item->key == head->ship_key && item->length == head->length_bytes &&
	    item->crc == hs_crc32c(0, bytes, item->length))
		return true;
	sim_fail(in->s, "coll%u gets another slice than node%u's %uth",
		 in->coll, session->node + 1, session->nr_taken);
	return false;
}

static enum hs_ship_verdict op_slice(void *ctx, uint32_t connection,
				     const struct hs_wire_slice *head,
				     const struct hs_ship_span *spans,
				     uint32_t nr_spans)
{
	struct sim_inlet *in = ctx;
	struct sim_session *session = in->sessions[connection];
	uint32_t bytes = (uint32_t)sizeof(*head);
	uint8_t *message = sim_zalloc(1, sizeof(*head) + head->length_bytes);
	bool taken = false;

	memcpy(message, head, sizeof(*head));
	for (uint32_t i = 0; i < nr_spans; i++) {
		memcpy(message + bytes, spans[i].data, spans[i].bytes);
		bytes += spans[i].bytes;
	}
	if (bytes != sizeof(*head) + head->length_bytes)
		sim_fail(in->s, "coll%u gets a slice that is not whole",
			 in->coll);
	else if (!in->lost &&
		 as_sent(in, session, head, message + sizeof(*head)))
		taken = sim_coll_slice(in->s, in->coll, peer_of(in, connection),
				       message, bytes);
	free(message);
	if (!taken || in->lost)
		return HS_SHIP_BUSY;
	session->items[session->nr_taken++].taken = true;
	return HS_SHIP_TAKEN;
}

static void op_release(void *ctx, void *handle)
{
	struct sim_inlet *in = ctx;

	in->nr_out--;
	/* What is read after its release is found by the sanitizers. */
	free(handle);
}

static struct sim_session *session_of(const struct sim_inlet *in,
				      uint32_t connection)
{
	uint64_t id = in->receiver->connections[connection].peer;
	struct sim_session *session = in->s->ship->sessions;

	while (session && session->id != id)
		session = session->next;
	return session;
}

static void op_up(void *ctx, uint32_t connection, uint64_t node)
{
	struct sim_inlet *in = ctx;

	in->sessions[connection] = session_of(in, connection);
	if (!in->sessions[connection])
		sim_fail(in->s, "coll%u has a connection of nobody", in->coll);
	hs_assembly_node_up(in->s->colls[in->coll].assembly, node);
}

static void op_down(void *ctx, uint32_t connection, const char *why)
{
	struct sim_inlet *in = ctx;

	sim_story(in->s, sim_ep_coll(in->s, in->coll),
		  "an agent ships no more: %s", why);
	in->sessions[connection] = NULL;
	in->lives[connection] = (in->lives[connection] + 1) & 0x7fff;
}

static const struct hs_ship_receiver_ops receiver_ops = {
	op_send_frame, op_slice, op_release, op_up, op_down};

/* ---- running ---------------------------------------------------------------
 */

void sim_ship_answer(struct sim *s, uint32_t k, uint32_t peer, uint64_t key,
		     bool refused)
{
	struct sim_inlet *in = &s->ship->inlets[k];

	if (in->nr_answers == in->room_answers) {
		in->room_answers = in->room_answers ? 2 * in->room_answers : 64;
		in->answers = realloc(in->answers,
				      in->room_answers * sizeof(*in->answers));
		if (!in->answers)
			abort();
	}
	in->answers[in->nr_answers++] = (struct sim_answer){peer, key, refused};
}

/* The oldest of that key, as the receiver takes it. */
static void note(struct sim_session *session, const struct sim_answer *a)
{
	uint32_t i = session->nr_settled;

	while (i < session->nr_taken &&
	       (session->items[i].answered || session->items[i].key != a->key))
		i++;
	if (i == session->nr_taken)
		return;
	session->items[i].answered = true;
	session->items[i].refused = a->refused;
}

static void answers_tell(struct sim_inlet *in)
{
	for (uint32_t i = 0; i < in->nr_answers; i++) {
		const struct sim_answer *a = &in->answers[i];
		uint32_t connection = a->peer & 0xffff;

		if (a->peer != peer_of(in, connection) ||
		    !in->sessions[connection])
			continue;
		note(in->sessions[connection], a);
		hs_ship_receiver_settle(in->receiver, connection, a->key,
					a->refused);
	}
	in->nr_answers = 0;
}

static void run(struct sim_inlet *in)
{
	struct sim *s = in->s;
	struct hs_ship_receiver_stats st;
	const char *why = "";
	uint64_t at;

	if (in->lost) {
		in->lost = false;
		in->nr_answers = 0;
		hs_ship_receiver_close(in->receiver);
	}
	answers_tell(in);
	at = hs_ship_receiver_run(in->receiver, s->now_ns);
	answers_tell(in);
	hs_ship_receiver_stats_get(in->receiver, &st);
	judge_counts(s, "a receiver", &st,
		     offsetof(struct hs_ship_receiver_stats, nr_connections));
	if (st.nr_held != in->nr_out)
		sim_fail(s, "coll%u holds %u frames and says %u", in->coll,
			 in->nr_out, st.nr_held);
	if (st.frames_bad > s->t.frames + s->t.frames_repeated)
		sim_fail(s, "coll%u counts more bad frames than went",
			 in->coll);
	if ((s->order & 7) == 0 && !hs_ship_receiver_check(in->receiver, &why))
		sim_fail(s, "coll%u: its receiver does not add up: %s",
			 in->coll, why);
	if (at < s->now_ns + 100 * SIM_US)
		at = s->now_ns + 100 * SIM_US;
	if (in->wake_ns > s->now_ns && in->wake_ns <= at)
		return;
	in->wake_ns = at;
	sim_push(s, at, SIM_EV_INTAKE, in->coll, 0, s->colls[in->coll].gen,
		 NULL);
}

void sim_ship_intake(struct sim *s, uint32_t k, uint64_t at_ns)
{
	if (s->ship->inlets[k].wake_ns == at_ns)
		run(&s->ship->inlets[k]);
}

/* Something is durable, or the disk lost it. */
void sim_ship_synced(struct sim *s, uint32_t k, bool lost)
{
	struct sim_inlet *in = &s->ship->inlets[k];

	in->lost |= lost;
	if (!lost && !in->nr_answers)
		return;
	/* Not from here: it may be the receiver that asked for the sync. */
	in->wake_ns = s->now_ns;
	sim_push(s, s->now_ns, SIM_EV_INTAKE, k, 0, s->colls[k].gen, NULL);
}

void sim_intake_frame(struct sim *s, struct sim_frame *f)
{
	struct sim_inlet *in = &s->ship->inlets[f->to - sim_ep_coll(s, 0)];
	struct hs_ship_address from = {{0}};
	uint32_t at[2] = {f->from, f->from_gen};

	memcpy(from.bytes, at, sizeof(at));
	in->nr_out++;
	hs_ship_receiver_frame(in->receiver, &from, f, f->data, f->bytes,
			       s->now_ns);
	run(in);
}

/* ---- life ------------------------------------------------------------------
 */

void sim_ship_coll_up(struct sim *s, uint32_t k)
{
	struct sim_inlet *in;
	const struct hs_ship_receiver_config config = {
		.node = sim_ep_id(s, sim_ep_coll(s, k)),
		.frame_bytes = HS_SHIP_FRAME_MAX_BYTES,
		.nr_connections = s->p.nr_nodes + s->p.ship_spare,
		.nr_frames = s->p.ship_frames,
		.nr_window = s->p.ship_window,
		.nr_least = SIM_SHIP_LEAST,
		.nr_slices = s->p.ship_slices,
		.auth = {.ctx = s, .tag = s->p.ship_tags ? lossy_tag : NULL},
	};

	if (!s->ship)
		return;
	in = &s->ship->inlets[k];
	in->s = s;
	in->coll = k;
	in->memory = sim_zalloc(1, hs_ship_receiver_size(&config));
	in->receiver = hs_ship_receiver_create(
		in->memory, &config, &receiver_ops, in,
		hs_random_u64(&s->ship->random), s->now_ns);
	if (!in->receiver) {
		sim_fail(s, "coll%u: its receiver is refused", k);
		return;
	}
	in->wake_ns = s->now_ns;
	sim_push(s, s->now_ns, SIM_EV_INTAKE, k, 0, s->colls[k].gen, NULL);
}

/* Killed: without a word; its frames were its own memory. */
void sim_ship_coll_down(struct sim *s, uint32_t k)
{
	struct sim_inlet *in;

	if (!s->ship || !s->ship->inlets[k].receiver)
		return;
	in = &s->ship->inlets[k];
	for (uint32_t i = 0; i < in->receiver->config.nr_connections; i++) {
		struct receiver_connection *c = &in->receiver->connections[i];

		for (uint64_t f = c->first; f < c->top; f++) {
			struct receiver_slot *slot =
				receiver_slot(in->receiver, c, f);

			if (slot->here)
				op_release(in, slot->handle);
		}
	}
	if (in->nr_out)
		sim_fail(s, "coll%u has %u frames that nobody knows of", k,
			 in->nr_out);
	free(in->memory);
	free(in->answers);
	*in = (struct sim_inlet){0};
}

bool sim_ship_sane(const struct sim_params *p)
{
	uint32_t connections = p->nr_nodes + p->ship_spare;

	return connections <= SIM_SHIP_CONNECTIONS_MAX &&
	       p->ship_frames >= SIM_SHIP_LEAST &&
	       p->ship_window >= SIM_SHIP_LEAST && p->ship_slices;
}

void sim_ship_create(struct sim *s)
{
	if (!s->p.ship)
		return;
	s->ship = sim_zalloc(1, sizeof(*s->ship));
	hs_random_seed(&s->ship->random, s->p.seed ^ 0x5419f00dull);
	s->ship->ways = sim_zalloc((size_t)s->p.nr_nodes * s->p.nr_colls,
				   sizeof(*s->ship->ways));
}

void sim_ship_destroy(struct sim *s)
{
	if (!s->ship)
		return;
	for (uint32_t n = 0; n < s->p.nr_nodes; n++)
		sim_ship_node_down(s, n);
	for (uint32_t k = 0; k < s->p.nr_colls; k++)
		sim_ship_coll_down(s, k);
	while (s->ship->sessions) {
		struct sim_session *session = s->ship->sessions;

		s->ship->sessions = session->next;
		free(session->items);
		free(session);
	}
	free(s->ship->ways);
	free(s->ship);
}
