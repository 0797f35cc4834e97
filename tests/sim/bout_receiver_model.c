/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_receiver_model.c - connections, credit, acknowledgements and time as
 * they must be at a receiver: see bout_receiver.h
 */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/bout_receiver.h"

static void differs(struct receiving *g, const char *what, uint64_t is,
		    uint64_t should)
{
	if (is != should)
		sim_fail(g->s, RECEIVING "%s: %llu instead of %llu", what,
			 (unsigned long long)is, (unsigned long long)should);
}

/* ---- what it will do ------------------------------------------------------
 */

void receiving_will(struct receiving *g, struct recv_event e)
{
	if (g->nr_events == g->room_events) {
		g->room_events = g->room_events ? 2 * g->room_events : 64;
		g->events =
			realloc(g->events, g->room_events * sizeof(*g->events));
		if (!g->events)
			abort();
	}
	g->events[g->nr_events++] = e;
}

/* @body: what follows its header, whole. */
static void will_send(struct receiving *g, uint32_t agent, uint8_t type,
		      uint64_t to, uint64_t from, const void *body,
		      uint32_t bytes)
{
	uint32_t nr = g->nr_frames++;

	if (nr == 32)
		abort(); /* more than there are places for at once */
	g->frame_bytes[nr] = hs_ship_frame_small(&g->config.auth, g->frames[nr],
						 type, to, from, body, bytes);
	receiving_will(g, (struct recv_event){
				  .kind = RECV_SENDS,
				  .agent = agent,
				  .frame = nr,
			  });
}

static void will_close(struct receiving *g, uint32_t agent, uint64_t to,
		       uint64_t from, uint32_t reason)
{
	const struct hs_ship_close body = {.reason = reason};

	will_send(g, agent, HS_SHIP_CLOSE, to, from, &body, sizeof(body));
}

void receiving_leaves(struct receiving *g, struct recv_frame **frame)
{
	if (!*frame)
		return;
	(*frame)->state = RECV_LEAVES;
	*frame = NULL;
	g->stats.nr_held--;
}

void receiving_due(struct receiving *g, uint32_t place)
{
	if (g->is_due[place])
		return;
	g->is_due[place] = true;
	g->due[g->nr_due++] = place;
}

/* ---- credit ---------------------------------------------------------------
 */

static uint32_t reserve(const struct receiving *g)
{
	uint32_t least = g->config.nr_least, part = g->config.nr_frames / 8;
	uint32_t wanted =
		least * (g->config.nr_connections - g->stats.nr_connections);

	part = part < least ? least : part;
	return wanted > part ? part : wanted;
}

static void grant(struct receiving *g, struct recv_conn *c, uint64_t upto,
		  uint64_t spare)
{
	uint64_t more = upto > c->credit ? upto - c->credit : 0;

	more = more < spare ? more : spare;
	c->credit += more;
	g->stats.nr_granted += (uint32_t)more;
}

void receiving_returns(struct receiving *g, struct recv_conn *c, uint64_t upto)
{
	uint64_t back = upto - c->first;

	for (; c->first < upto; c->first++)
		receiving_leaves(g, receiving_slot(c, c->first));
	g->stats.nr_granted -= (uint32_t)back;
	grant(g, c, c->first + g->config.nr_least, back);
}

static void grant_share(struct receiving *g, struct recv_conn *c)
{
	uint64_t left = g->config.nr_frames - g->stats.nr_granted;
	uint64_t want = g->share;

	want = want < g->config.nr_least ? g->config.nr_least : want;
	want = want > g->config.nr_window ? g->config.nr_window : want;
	left = left > reserve(g) ? left - reserve(g) : 0;
	grant(g, c, c->first + want, left);
}

static void share(struct receiving *g, uint32_t nr)
{
	g->share = (g->config.nr_frames - reserve(g)) / (nr ? nr : 1);
}

/* ---- connections ----------------------------------------------------------
 */

uint32_t receiving_slice_bytes(const struct hs_ship_receiver_config *c,
			       uint32_t frame_bytes)
{
	/* A frame may have parts and heads of two slices. */
	uint64_t bytes = (uint64_t)(frame_bytes - 48 - 40 - 2 * (16 + 72)) *
			 (c->nr_least - 1);

	return bytes > HS_WIRE_SLICE_MAX_BYTES ? HS_WIRE_SLICE_MAX_BYTES
					       : (uint32_t)bytes;
}

static void drop(struct receiving *g, struct recv_conn *c, const char *why)
{
	if (c->state == CONNECTION_UP)
		receiving_will(
			g, (struct recv_event){.kind = RECV_DOWN,
					       .place = receiving_place(g, c),
					       .why = why});
	for (uint64_t nr = c->first; nr < c->top; nr++)
		receiving_leaves(g, receiving_slot(c, nr));
	g->stats.nr_granted -= (uint32_t)(c->credit - c->first);
	g->stats.nr_connections--;
	receiving_leave_line(g, receiving_place(g, c));
	*c = (struct recv_conn){.state = CONNECTION_FREE};
}

void receiving_misbehaved(struct receiving *g, struct recv_conn *c)
{
	g->stats.cut_off++;
	will_close(g, c->agent, c->peer, c->id, HS_SHIP_MISBEHAVED);
	drop(g, c, "frames that no sender of ours makes");
}

static struct recv_conn *oldest_embryo(struct receiving *g)
{
	struct recv_conn *oldest = NULL;

	for (uint32_t i = 0; i < g->config.nr_connections; i++)
		if (g->conns[i].state == CONNECTION_EMBRYO &&
		    (!oldest || g->conns[i].heard_ns < oldest->heard_ns))
			oldest = &g->conns[i];
	return oldest;
}

/* Nothing of it is under way: how many frames has it beyond the least? */
static uint64_t beyond(const struct receiving *g, const struct recv_conn *c)
{
	if (c->state != CONNECTION_UP || c->active || c->first < c->top ||
	    c->settled < c->slice)
		return 0;
	return c->credit - c->first - g->config.nr_least;
}

static bool has_frames(struct receiving *g)
{
	uint64_t left = g->config.nr_frames - g->stats.nr_granted;
	struct recv_conn *most = NULL;

	if (left >= g->config.nr_least)
		return true;
	if (oldest_embryo(g)) {
		drop(g, oldest_embryo(g), NULL);
		return true;
	}
	for (uint32_t i = 0; i < g->config.nr_connections; i++) {
		struct recv_conn *c = &g->conns[i];

		left += beyond(g, c);
		if (beyond(g, c) > (most ? beyond(g, most) : 0))
			most = c;
	}
	if (!most || left < g->config.nr_least)
		return false;
	will_close(g, most->agent, most->peer, most->id, HS_SHIP_FULL);
	drop(g, most, "idle, and others want its frames");
	return true;
}

static struct recv_conn *free_place(struct receiving *g)
{
	struct recv_conn *c;

	for (uint32_t i = 0; i < g->config.nr_connections; i++)
		if (g->conns[i].state == CONNECTION_FREE)
			return &g->conns[i];
	c = oldest_embryo(g);
	if (c)
		drop(g, c, NULL);
	return c;
}

static struct recv_conn *begins(struct receiving *g, uint32_t agent,
				const struct hs_ship_view *v)
{
	const struct hs_ship_open *open = &v->u.open;
	struct recv_conn *c = has_frames(g) ? free_place(g) : NULL;

	if (!c) {
		g->stats.full++;
		will_close(g, agent, v->header.from, 0, HS_SHIP_FULL);
		return NULL;
	}
	c->state = CONNECTION_EMBRYO;
	c->id = hs_random_splitmix(&g->random) << 16 | receiving_place(g, c);
	c->agent = agent;
	c->peer = v->header.from;
	c->node = open->node;
	c->nonce = open->nonce;
	c->frame_bytes = open->frame_bytes > g->config.frame_bytes
				 ? g->config.frame_bytes
				 : open->frame_bytes;
	c->slice_bytes = receiving_slice_bytes(&g->config, c->frame_bytes);
	c->credit = g->config.nr_least;
	g->stats.nr_granted += g->config.nr_least;
	g->stats.nr_connections++;
	return c;
}

static void open_comes(struct receiving *g, uint32_t agent,
		       const struct hs_ship_view *v)
{
	const struct hs_ship_open *open = &v->u.open;
	struct hs_ship_accept accept;
	struct recv_conn *c = NULL;

	if (open->version_min > 1 || open->version_max < 1 ||
	    open->frame_bytes < 576) {
		will_close(g, agent, v->header.from, 0, HS_SHIP_NO_VERSION);
		return;
	}
	for (uint32_t i = 0; i < g->config.nr_connections && !c; i++)
		if (g->conns[i].state == CONNECTION_EMBRYO &&
		    g->conns[i].agent == agent &&
		    g->conns[i].nonce == open->nonce &&
		    g->conns[i].node == open->node &&
		    g->conns[i].peer == v->header.from)
			c = &g->conns[i];
	if (!c)
		c = begins(g, agent, v);
	if (!c)
		return;
	c->heard_ns = g->now_ns;
	accept = (struct hs_ship_accept){
		.node = RECEIVING_NODE,
		.nonce = c->nonce,
		.version = 1,
		.frame_bytes = c->frame_bytes,
		.slice_bytes = c->slice_bytes,
		.slices = g->config.nr_slices,
		.credit = c->credit,
	};
	will_send(g, agent, HS_SHIP_ACCEPT, c->peer, c->id, &accept,
		  sizeof(accept));
}

static void comes_up(struct receiving *g, struct recv_conn *c)
{
	for (uint32_t i = 0; i < g->config.nr_connections; i++)
		if (g->conns[i].state == CONNECTION_UP &&
		    g->conns[i].node == c->node)
			drop(g, &g->conns[i], "the agent opened another one");
	c->state = CONNECTION_UP;
	g->stats.opened++;
	receiving_will(g, (struct recv_event){.kind = RECV_UP,
					      .place = receiving_place(g, c),
					      .node = c->node});
}

/* ---- frames ---------------------------------------------------------------
 */

void receiving_settled(struct receiving *g, struct recv_conn *c)
{
	uint64_t before = c->settled;

	for (; c->settled < c->slice; c->settled++) {
		const struct recv_settle *s =
			&c->settles[c->settled % RECEIVING_SLICES];

		if (s->state == SETTLE_WAITING ||
		    (s->state == SETTLE_REFUSED &&
		     c->nr_refused == HS_SHIP_REFUSED_MAX))
			break;
		if (s->state == SETTLE_REFUSED)
			c->refused[c->nr_refused++] = c->settled;
	}
	if (c->settled > before)
		receiving_due(g, receiving_place(g, c));
}

/* What the agent says that it knows need not be said any more. */
static void heard(struct receiving *g, struct recv_conn *c,
		  const struct hs_ship_data *d)
{
	uint32_t nr = 0;

	c->heard_ns = g->now_ns;
	if (d->tx > c->tx) {
		c->tx = d->tx;
		c->echo_ns = d->sent_ns;
		c->echo_at_ns = g->now_ns;
	}
	if (d->settled > c->settled_seen && d->settled <= c->settled) {
		c->settled_seen = d->settled;
		for (uint32_t i = 0; i < c->nr_refused; i++)
			if (c->refused[i] >= d->settled)
				c->refused[nr++] = c->refused[i];
		c->nr_refused = nr;
	}
	receiving_settled(g, c);
	receiving_due(g, receiving_place(g, c));
}

/* Return: whether it is kept. */
static bool data_comes(struct receiving *g, struct recv_conn *c,
		       struct recv_frame *f)
{
	const struct hs_ship_data *d = &f->view.u.data;
	uint64_t *why = NULL;

	if (c->state == CONNECTION_EMBRYO)
		comes_up(g, c);
	heard(g, c, d);
	if (!d->nr_parts)
		return false;
	if (d->frame >= c->credit)
		why = &g->stats.frames_beyond;
	else if (d->frame < c->first || *receiving_slot(c, d->frame))
		why = &g->stats.frames_again;
	else if (d->epoch != c->epoch &&
		 (d->epoch > c->epoch ||
		  (d->frame >= c->bad_first && d->frame <= c->bad_last)))
		why = &g->stats.frames_stale;
	if (why) {
		(*why)++;
		return false;
	}
	*receiving_slot(c, d->frame) = f;
	g->stats.nr_held++;
	c->active = true;
	c->top = c->top > d->frame + 1 ? c->top : d->frame + 1;
	receiving_offer(g, c);
	return true;
}

static struct recv_conn *whose(struct receiving *g, uint32_t agent,
			       const struct hs_ship_header *h)
{
	for (uint32_t i = 0; i < g->config.nr_connections; i++) {
		struct recv_conn *c = &g->conns[i];

		if (c->state != CONNECTION_FREE && c->id == h->to &&
		    c->peer == h->from && c->agent == agent)
			return c;
	}
	return NULL;
}

void receiving_frame(struct receiving *g, uint32_t agent, struct recv_frame *f)
{
	static const char *const reasons[] = {
		"the peer ends",
		"the peer knows no such connection",
		"no protocol version in common",
		"the collector has no place for more agents",
		"frames that no sender of ours makes",
	};
	const struct hs_ship_header *h = &f->view.header;
	struct recv_conn *c = whose(g, agent, h);

	f->state = RECV_LEAVES;
	if (h->type == HS_SHIP_OPEN) {
		open_comes(g, agent, &f->view);
	} else if (!c) {
		g->stats.frames_strange++;
		if (h->type == HS_SHIP_DATA)
			will_close(g, agent, h->from, 0, HS_SHIP_NO_CONNECTION);
	} else if (h->type == HS_SHIP_CLOSE) {
		drop(g, c,
		     f->view.u.close.reason > 4
			     ? "no reason known"
			     : reasons[f->view.u.close.reason]);
	} else if (h->type == HS_SHIP_DATA) {
		f->state = RECV_HERE;
		if (!data_comes(g, c, f))
			f->state = RECV_LEAVES;
	} else {
		g->stats.frames_bad++;
	}
}

/* The oldest of that key. */
void receiving_settle(struct receiving *g, uint32_t place, uint64_t key,
		      bool refused)
{
	struct recv_conn *c = &g->conns[place];

	if (place >= g->config.nr_connections || c->state != CONNECTION_UP)
		return;
	for (uint64_t nr = c->settled; nr < c->slice; nr++) {
		struct recv_settle *s = &c->settles[nr % RECEIVING_SLICES];

		if (s->key != key || s->state != SETTLE_WAITING)
			continue;
		s->state = refused ? SETTLE_REFUSED : SETTLE_DURABLE;
		break;
	}
	receiving_settled(g, c);
}

/* ---- time -----------------------------------------------------------------
 */

static void will_ack(struct receiving *g, struct recv_conn *c)
{
	uint8_t body[sizeof(struct hs_ship_ack) + 8 + 8 * HS_SHIP_REFUSED_MAX];
	uint64_t held = g->now_ns - c->echo_at_ns;
	struct hs_ship_ack ack = {
		.first = c->first,
		.settled = c->settled,
		.tx = c->tx,
		.echo_ns = c->echo_ns,
		.ack = ++c->acks,
		.bad = c->bad,
		.epoch = c->epoch,
		.held_ns = held > UINT32_MAX ? UINT32_MAX : (uint32_t)held,
		.nr_refused = (uint16_t)c->nr_refused,
	};
	uint8_t sack[8] = {0};

	for (uint64_t nr = c->first; nr < c->top; nr++)
		if (*receiving_slot(c, nr)) {
			uint64_t i = nr - c->first;

			sack[i / 8] |= (uint8_t)(1u << i % 8);
			ack.nr_sack_bytes = (uint16_t)(i / 8 + 1);
		}
	grant_share(g, c);
	ack.credit = c->credit;
	memcpy(body, &ack, sizeof(ack));
	memcpy(body + sizeof(ack), sack, ack.nr_sack_bytes);
	memcpy(body + sizeof(ack) + ack.nr_sack_bytes, c->refused,
	       8 * c->nr_refused);
	will_send(g, c->agent, HS_SHIP_ACK, c->peer, c->id, body,
		  (uint32_t)sizeof(ack) + ack.nr_sack_bytes +
			  8 * c->nr_refused);
	g->stats.acks++;
}

static void looks_round(struct receiving *g)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < g->config.nr_connections; i++) {
		struct recv_conn *c = &g->conns[i];

		if (c->state == CONNECTION_FREE)
			continue;
		if (g->now_ns > c->heard_ns + g->config.idle_ns) {
			g->stats.expired++;
			drop(g, c, "silent for too long");
			continue;
		}
		nr += c->active || c->waits;
		c->active = false;
	}
	share(g, nr);
	g->scan_ns = g->now_ns + RECEIVING_SCAN_NS;
}

uint64_t receiving_run(struct receiving *g)
{
	receiving_turns(g);
	if (g->now_ns >= g->scan_ns)
		looks_round(g);
	while (g->nr_due) {
		uint32_t place = g->due[--g->nr_due];

		g->is_due[place] = false;
		if (g->conns[place].state == CONNECTION_UP)
			will_ack(g, &g->conns[place]);
	}
	g->wakes_ns = g->scan_ns;
	if (g->nr_line && g->now_ns + RECEIVING_BUSY_NS < g->scan_ns)
		g->wakes_ns = g->now_ns + RECEIVING_BUSY_NS;
	return g->wakes_ns;
}

void receiving_close(struct receiving *g)
{
	for (uint32_t i = 0; i < g->config.nr_connections; i++) {
		struct recv_conn *c = &g->conns[i];

		if (c->state == CONNECTION_UP)
			will_close(g, c->agent, c->peer, c->id, HS_SHIP_BYE);
		if (c->state != CONNECTION_FREE)
			drop(g, c, "the peer ends");
	}
}

void receiving_create(struct receiving *g)
{
	share(g, 1);
	g->scan_ns = g->now_ns + RECEIVING_SCAN_NS;
}

/* ---- whether it is so -----------------------------------------------------
 */

#define SAME(field)  differs(g, #field, is->field, c->field)
#define COUNT(field) differs(g, #field, st.field, g->stats.field)

static void same(struct receiving *g, const struct receiver_connection *is,
		 const struct recv_conn *c)
{
	SAME(state);
	if (c->state == CONNECTION_FREE)
		return;
	SAME(id);
	SAME(heard_ns);
	SAME(active);
	SAME(first);
	SAME(read);
	SAME(top);
	SAME(credit);
	SAME(slice);
	SAME(offset);
	SAME(begun);
	SAME(whole);
	SAME(waits);
	SAME(turn_bytes);
	SAME(settled);
	SAME(nr_refused);
	SAME(epoch);
}

void receiving_check(struct receiving *g)
{
	struct hs_ship_receiver_stats st;
	const char *why = "";

	hs_ship_receiver_stats_get(g->core, &st);
	COUNT(frames);
	COUNT(frames_bad);
	COUNT(frames_forged);
	COUNT(frames_again);
	COUNT(frames_stale);
	COUNT(frames_beyond);
	COUNT(frames_strange);
	COUNT(slices);
	COUNT(slice_bytes);
	COUNT(slices_refused);
	COUNT(slices_anew);
	COUNT(busy);
	COUNT(acks);
	COUNT(opened);
	COUNT(full);
	COUNT(cut_off);
	COUNT(expired);
	COUNT(nr_connections);
	COUNT(nr_held);
	COUNT(nr_granted);
	differs(g, "frames of one that is active", g->core->share, g->share);
	for (uint32_t i = 0; i < g->config.nr_connections; i++)
		same(g, &g->core->connections[i], &g->conns[i]);
	if (!hs_ship_receiver_check(g->core, &why))
		sim_fail(g->s, RECEIVING "it does not add up: %s", why);
}
