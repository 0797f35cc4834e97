/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outlet.c - the agent's end of shipping: a sender to each collector, private
 * copies of what is under way, and the log that everything is held against
 */
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "ship/proto_send_priv.h"
#include "tests/ship/lossy_tag.h"
#include "tests/sim/ship.h"

static uint64_t now_of(const struct sim_way *w)
{
	return sim_node_now(w->s, &w->s->nodes[w->node]);
}

/* An agent that dies dials from another port when it comes back. */
static uint32_t gen_of(const struct sim_way *w)
{
	return w->s->nodes[w->node].gen;
}

void sim_outlet_session_end(struct sim_session *session)
{
	for (uint32_t i = 0; session && i < session->nr; i++) {
		free(session->items[i].bytes);
		free(session->items[i].copy);
		session->items[i].bytes = session->items[i].copy = NULL;
	}
}

static struct sim_item *item_of(const struct sim_way *w,
				const struct hs_ship_slice *slice)
{
	return &w->session->items[slice->where];
}

/* ---- what the sender calls ------------------------------------------------
 */

static const void *op_bytes(void *ctx, const struct hs_ship_slice *slice)
{
	const struct sim_item *item = item_of(ctx, slice);

	return slice->copy ? slice->copy : item->bytes;
}

/* A rate that an operator set is never exceeded, but for what may be ahead: a
 * little, and the frames that ask whether all others are lost. */
static void within_rate(struct sim_way *w, uint32_t bytes)
{
	struct sim *s = w->s;
	uint64_t now_ns = now_of(w), ahead_ns = 5 * SIM_MS;

	if (!s->p.ship_rate || !bytes)
		return;
	ahead_ns += (w->sender->stats.timeouts - w->timeouts) *
		    s->p.ship_frame_bytes * SIM_S / s->p.ship_rate;
	s->t.checks++;
	if (w->even_ns > now_ns + ahead_ns)
		sim_fail(s, "node%u ships over its rate", w->node + 1);
	if (w->even_ns < now_ns)
		w->even_ns = now_ns;
	w->even_ns += bytes * SIM_S / s->p.ship_rate;
}

static bool op_send_frame(void *ctx, const void *head, uint32_t head_bytes,
			  const struct hs_ship_piece *pieces,
			  uint32_t nr_pieces)
{
	struct sim_way *w = ctx;
	struct sim *s = w->s;
	uint8_t frame[HS_SHIP_FRAME_MAX_BYTES];
	uint32_t bytes = head_bytes;

	/* A full queue of the device, now and then. */
	if (!s->healing && hs_random_chance(&s->ship->random, 0.01)) {
		w->port_full = true;
		return false;
	}
	memcpy(frame, head, head_bytes);
	for (uint32_t i = 0; i < nr_pieces; i++) {
		const struct hs_ship_piece *p = &pieces[i];
		const uint8_t *from = op_bytes(w, p->slice);

		if (bytes + p->bytes > s->p.ship_frame_bytes ||
		    p->offset + p->bytes > p->slice->head.length_bytes) {
			sim_fail(s, "node%u: a frame over its limits",
				 w->node + 1);
			return false;
		}
		memcpy(frame + bytes, from + p->offset, p->bytes);
		bytes += p->bytes;
	}
	within_rate(w, bytes - head_bytes);
	sim_frame_post(s, w->node, sim_ep_coll(s, w->coll), 0, frame, bytes);
	return true;
}

static bool op_copy(void *ctx, struct hs_ship_slice *slice)
{
	struct sim_way *w = ctx;
	struct sim_item *item = item_of(w, slice);

	if (!w->s->healing && hs_random_chance(&w->s->ship->random, 0.3))
		return false; /* no memory */
	item->copy = sim_zalloc(1, item->length + 1);
	memcpy(item->copy, item->bytes, item->length);
	slice->copy = item->copy;
	w->s->nodes[w->node].modified = true;
	return true;
}

static void op_settled(void *ctx, const struct hs_ship_slice *slice,
		       bool refused)
{
	struct sim_way *w = ctx;
	struct sim *s = w->s;
	struct sim_session *session = w->session;
	struct sim_item *item = item_of(w, slice);
	const struct {
		struct hs_wire_slice_ack head;
		uint64_t key;
	} ack = {{.nr = 1, .refused = refused}, slice->head.ship_key};

	s->t.checks++;
	if (slice->where != session->nr_settled)
		sim_fail(s, "node%u: slice %u is settled instead of %u",
			 w->node + 1, (uint32_t)slice->where,
			 session->nr_settled);
	else if (!item->answered || item->refused != refused)
		sim_fail(s, "node%u: slice %u is settled, and coll%u said %s",
			 w->node + 1, session->nr_settled, w->coll,
			 !item->answered ? "nothing of it"
			 : refused	 ? "it is durable"
					 : "that it is refused");
	session->nr_settled++;
	free(item->bytes);
	free(item->copy);
	item->bytes = item->copy = NULL;
	hs_agent_core_message(s->nodes[w->node].core,
			      sim_ep_id(s, sim_ep_coll(s, w->coll)),
			      HS_WIRE_SLICE_ACK, &ack, sizeof(ack), now_of(w));
	sim_node_wake(s, w->node, SIM_MS);
}

static void op_up(void *ctx, uint64_t collector)
{
	struct sim_way *w = ctx;
	struct sim *s = w->s;
	struct sim_session *session = sim_zalloc(1, sizeof(*session));

	if (collector != sim_ep_id(s, sim_ep_coll(s, w->coll)))
		sim_fail(s, "node%u takes coll%u for another one", w->node + 1,
			 w->coll);
	session->id = w->sender->connection;
	session->node = w->node;
	session->next = s->ship->sessions;
	s->ship->sessions = session;
	w->session = session;
	w->even_ns = 0;
	w->timeouts = w->sender->stats.timeouts;
	s->t.sessions++;
	sim_story(s, w->node, "ships to coll%u", w->coll);
	hs_agent_core_collector_up(s->nodes[w->node].core, now_of(w));
	sim_node_wake(s, w->node, SIM_MS);
}

static void op_down(void *ctx, const char *why)
{
	struct sim_way *w = ctx;
	struct sim *s = w->s;

	sim_story(s, w->node, "ships no more to coll%u: %s", w->coll, why);
	sim_outlet_session_end(w->session);
	w->session = NULL;
	hs_agent_core_collector_up(s->nodes[w->node].core, now_of(w));
	sim_node_wake(s, w->node, SIM_MS);
}

static const struct hs_ship_sender_ops sender_ops = {
	op_send_frame, op_bytes, op_copy, op_settled, op_up, op_down};

/* ---- running ---------------------------------------------------------------
 */

static void check(struct sim_way *w)
{
	struct hs_ship_sender_stats st;
	const char *why = "";

	hs_ship_sender_stats_get(w->sender, &st);
	judge_counts(w->s, "a sender", &st,
		     offsetof(struct hs_ship_sender_stats, rtt_ns));
	if (st.frames_bad > w->s->t.frames + w->s->t.frames_repeated)
		sim_fail(w->s, "node%u counts more bad frames than went",
			 w->node + 1);
	if ((w->s->order & 7) == 0 && !hs_ship_sender_check(w->sender, &why))
		sim_fail(w->s, "node%u: its sender does not add up: %s",
			 w->node + 1, why);
}

/*
 * What may go has gone: what was lost, and then as much of what is new as the
 * window, the credit and the pace allow. What is under way is waited for, and
 * what waits for the pace goes as soon as it may.
 */
static void check_went(struct sim_way *w, uint64_t now_ns, uint64_t at_ns)
{
	const struct hs_ship_sender *is = w->sender;
	bool new = is->cut_slice < is->next_slice && is->next < is->credit &&
		   is->next - is->first < is->config.nr_frames;
	uint64_t pace_ns = hs_ship_pace_next(&is->pace);
	uint64_t longest_ns = is->owed ? 500 * SIM_MS : 2 * SIM_S;

	if (is->state != SENDER_UP || w->port_full)
		return;
	w->s->t.checks++;
	if ((is->nr_lost || new) && hs_ship_pace_may(&is->pace, now_ns))
		sim_fail(w->s, "node%u: %s, and may go to coll%u", w->node + 1,
			 is->nr_lost ? "a lost frame waits" : "a slice waits",
			 w->coll);
	if ((is->nr_lost || new) && at_ns > pace_ns)
		sim_fail(w->s, "node%u looks at its sender %llu ns late",
			 w->node + 1, (unsigned long long)(at_ns - pace_ns));
	if (is->pace.in_flight_bytes && !is->owed)
		sim_fail(w->s, "node%u waits for no answer of coll%u",
			 w->node + 1, w->coll);
	/* An answer may take as long as the last ones say. */
	if (is->owed && longest_ns < hs_ship_pace_timeout(&is->pace))
		longest_ns = hs_ship_pace_timeout(&is->pace);
	if (at_ns > now_ns + longest_ns)
		sim_fail(w->s, "node%u does not look at its sender for long",
			 w->node + 1);
}

static void run(struct sim_way *w)
{
	struct sim *s = w->s;
	uint64_t now = now_of(w), at;

	w->port_full = false;
	at = hs_ship_sender_run(w->sender, now);
	check(w);
	check_went(w, now, at);
	/* As the worker's rounds: not oftener than every so often. */
	at = at > now ? at - now : 0;
	if (at < 50 * SIM_US)
		at = 50 * SIM_US;
	at += s->now_ns;
	if (w->wake_ns > s->now_ns && w->wake_ns <= at)
		return;
	w->wake_ns = at;
	sim_push(s, at, SIM_EV_OUTLET, w->node, w->coll, gen_of(w), NULL);
}

void sim_ship_outlet(struct sim *s, uint32_t n, uint32_t k, uint64_t at_ns)
{
	struct sim_way *w = sim_way(s, n, k);

	if (w->wake_ns == at_ns)
		run(w);
}

void sim_outlet_frame(struct sim *s, struct sim_frame *f)
{
	struct sim_way *w = sim_way(s, f->to, f->from - sim_ep_coll(s, 0));

	if (f->to_gen == gen_of(w)) {
		hs_ship_sender_frame(w->sender, f->data, f->bytes, now_of(w));
		run(w);
	} else {
		s->t.frames_lost++;
	}
	free(f);
}

/* A copy goes. */
enum hs_agent_shipped sim_ship_slice(struct sim *s, uint32_t n,
				     const struct hs_wire_slice *head,
				     const uint8_t *bytes)
{
	struct sim_way *w = sim_way(s, n, sim_coll_owner(s, &head->trace));
	struct sim_session *session = w->session;
	struct hs_ship_slice slice = {.head = *head};
	struct sim_item *item;

	if (!session)
		return HS_AGENT_SHIP_AWAY;
	if (session->nr == session->room) {
		session->room = session->room ? 2 * session->room : 32;
		session->items =
			realloc(session->items, session->room * sizeof(*item));
		if (!session->items)
			abort();
	}
	item = &session->items[session->nr];
	*item = (struct sim_item){
		.key = head->ship_key,
		.length = head->length_bytes,
		.bytes = sim_zalloc(1, head->length_bytes + 1),
		.crc = hs_crc32c(0, bytes, head->length_bytes),
	};
	memcpy(item->bytes, bytes, head->length_bytes);
	slice.where = session->nr++;
	if (hs_ship_sender_add(w->sender, &slice)) {
		free(item->bytes);
		session->nr--;
		return HS_AGENT_SHIP_NOT;
	}
	s->t.slices_shipped++;
	w->wake_ns = s->now_ns;
	sim_push(s, s->now_ns, SIM_EV_OUTLET, n, w->coll, gen_of(w), NULL);
	return HS_AGENT_SHIP_COPIED;
}

/* ---- life ------------------------------------------------------------------
 */

void sim_ship_node_up(struct sim *s, uint32_t n)
{
	const struct hs_ship_sender_config config = {
		.node = s->nodes[n].id,
		.frame_bytes = s->p.ship_frame_bytes,
		.nr_frames = s->p.ship_window,
		.nr_slices = s->p.ship_slices,
		.limit_per_s = s->p.ship_rate,
		.auth = {.ctx = s, .tag = s->p.ship_tags ? lossy_tag : NULL},
	};

	for (uint32_t k = 0; s->ship && k < s->p.nr_colls; k++) {
		struct sim_way *w = sim_way(s, n, k);

		w->s = s;
		w->node = n;
		w->coll = k;
		w->memory = sim_zalloc(1, hs_ship_sender_size(&config));
		w->sender = hs_ship_sender_create(
			w->memory, &config, &sender_ops, w,
			hs_random_u64(&s->ship->random), now_of(w));
		if (!w->sender) {
			sim_fail(s, "node%u: its sender is refused", n + 1);
			return;
		}
		w->wake_ns = s->now_ns;
		sim_push(s, s->now_ns, SIM_EV_OUTLET, n, k, gen_of(w), NULL);
	}
}

/* Its worker ends, and not by accident. */
void sim_ship_node_bye(struct sim *s, uint32_t n)
{
	if (!s->ship || !s->p.ship_bye || !s->nodes[n].up)
		return;
	for (uint32_t k = 0; k < s->p.nr_colls; k++)
		hs_ship_sender_close(sim_way(s, n, k)->sender);
}

/* Killed: without a word. */
void sim_ship_node_down(struct sim *s, uint32_t n)
{
	for (uint32_t k = 0; s->ship && k < s->p.nr_colls; k++) {
		struct sim_way *w = sim_way(s, n, k);

		sim_outlet_session_end(w->session);
		free(w->memory);
		*w = (struct sim_way){0};
	}
}

bool sim_ship_quiet(const struct sim *s)
{
	struct hs_ship_sender_stats st;
	struct hs_ship_receiver_stats in;

	for (uint32_t i = 0; s->ship && i < s->p.nr_nodes * s->p.nr_colls;
	     i++) {
		if (!s->ship->ways[i].sender)
			continue;
		hs_ship_sender_stats_get(s->ship->ways[i].sender, &st);
		if (st.unsettled)
			return false;
	}
	for (uint32_t k = 0; s->ship && k < s->p.nr_colls; k++) {
		hs_ship_receiver_stats_get(s->ship->inlets[k].receiver, &in);
		if (in.nr_held)
			return false;
	}
	return true;
}
