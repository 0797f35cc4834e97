/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net.c - links between agents, coordinators and collectors
 *
 * Two kinds. Streams are TCP's: in order, without gaps, until the connection
 * breaks; a break loses all that is under way and both ends hear of it; so a
 * partition lets nothing of its direction pass from some message on. Datagrams
 * are lost, repeated and overtake each other one by one. Which it is for the
 * messages of coordinators the seed says; slices always go by streams, since
 * the collector's mark counts them and so relies on their order.
 */
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "tests/sim/sim.h"

#define LINK_ROOM 512u /* messages under way in one direction */

static uint32_t nr_servers(const struct sim *s)
{
	return s->p.nr_coords + s->p.nr_colls;
}

/* Agents with all servers, coordinators with collectors. */
uint32_t sim_net_link(const struct sim *s, uint32_t a, uint32_t b)
{
	uint32_t low = a < b ? a : b, high = a < b ? b : a;

	if (low < s->p.nr_nodes)
		return low * nr_servers(s) + (high - s->p.nr_nodes);
	return s->p.nr_nodes * nr_servers(s) +
	       (low - s->p.nr_nodes) * s->p.nr_colls +
	       (high - s->p.nr_nodes - s->p.nr_coords);
}

void sim_net_ends(const struct sim *s, uint32_t link, uint32_t *low,
		  uint32_t *high)
{
	uint32_t of_agents = s->p.nr_nodes * nr_servers(s);

	if (link < of_agents) {
		*low = link / nr_servers(s);
		*high = s->p.nr_nodes + link % nr_servers(s);
		return;
	}
	*low = s->p.nr_nodes + (link - of_agents) / s->p.nr_colls;
	*high = s->p.nr_nodes + s->p.nr_coords +
		(link - of_agents) % s->p.nr_colls;
}

bool sim_ep_up(const struct sim *s, uint32_t ep)
{
	if (ep < s->p.nr_nodes)
		return s->nodes[ep].up;
	ep -= s->p.nr_nodes;
	if (ep < s->p.nr_coords)
		return s->coords[ep].up;
	return s->colls[ep - s->p.nr_coords].up;
}

uint32_t sim_ep_gen(const struct sim *s, uint32_t ep)
{
	if (ep < s->p.nr_nodes)
		return s->nodes[ep].gen;
	ep -= s->p.nr_nodes;
	if (ep < s->p.nr_coords)
		return s->coords[ep].gen;
	return s->colls[ep - s->p.nr_coords].gen;
}

uint64_t sim_ep_id(const struct sim *s, uint32_t ep)
{
	if (ep < s->p.nr_nodes)
		return s->nodes[ep].id;
	ep -= s->p.nr_nodes;
	if (ep < s->p.nr_coords)
		return (uint64_t)(SIM_COORD_ID + ep) << 32 | 1;
	return (uint64_t)(SIM_COLL_ID + ep - s->p.nr_coords) << 32 | 1;
}

void sim_ep_name(const struct sim *s, uint32_t ep, char out[16])
{
	if (ep < s->p.nr_nodes)
		snprintf(out, 16, "node%u", s->nodes[ep].number);
	else if (ep < s->p.nr_nodes + s->p.nr_coords)
		snprintf(out, 16, "coord%u", ep - s->p.nr_nodes);
	else
		snprintf(out, 16, "coll%u",
			 ep - s->p.nr_nodes - s->p.nr_coords);
}

void sim_net_create(struct sim *s)
{
	s->nr_links =
		s->p.nr_nodes * nr_servers(s) + s->p.nr_coords * s->p.nr_colls;
	s->links = sim_zalloc(s->nr_links, sizeof(*s->links));
}

static bool is_stream(const struct sim *s, const struct sim_message *m)
{
	return s->p.stream || m->type == HS_WIRE_SLICE ||
	       m->type == HS_WIRE_SLICE_ACK;
}

static uint64_t delay(struct sim *s, const struct sim_link *l)
{
	uint64_t d = sim_between(&s->net, s->p.delay_min_ns, s->p.delay_max_ns);

	if (!s->healing && s->p.slow > 0 &&
	    hs_random_chance(&s->net, s->p.slow))
		d += sim_between(&s->net, 1, 300) * SIM_MS;
	if (l->slow)
		d += sim_between(&s->net, 50, 1500) * SIM_MS;
	return d;
}

static void post(struct sim *s, const struct sim_message *m, uint64_t at_ns)
{
	struct sim_message *copy = malloc(sizeof(*m) + m->bytes);

	if (!copy)
		abort();
	memcpy(copy, m, sizeof(*m) + m->bytes);
	sim_push(s, at_ns, SIM_EV_MESSAGE, m->to, m->from, 0, copy);
}

static void send_stream(struct sim *s, struct sim_link *l, uint32_t dir,
			const struct sim_message *m)
{
	uint64_t at_ns = s->now_ns + delay(s, l);

	if (l->blocked[dir] || (!s->healing && s->p.loss > 0 &&
				hs_random_chance(&s->net, s->p.loss / 16))) {
		/* Bytes that never come: nothing behind them comes either. */
		if (!l->doomed[0] && !l->doomed[1])
			sim_push(s,
				 s->now_ns +
					 sim_between(&s->net, 1, 2000) * SIM_MS,
				 SIM_EV_LINK_BREAK, m->link, 0, l->gen, NULL);
		l->doomed[dir] = true;
	}
	if (l->doomed[dir]) {
		s->t.lost++;
		return;
	}
	if (at_ns <= l->last_ns[dir])
		at_ns = l->last_ns[dir] + 1;
	l->last_ns[dir] = at_ns;
	l->in_flight[dir]++;
	post(s, m, at_ns);
}

static void send_datagram(struct sim *s, struct sim_link *l, uint32_t dir,
			  const struct sim_message *m)
{
	uint32_t copies = 1;

	if (!s->healing && s->p.dup > 0 &&
	    hs_random_chance(&s->net, s->p.dup)) {
		copies = 2;
		s->t.duplicated++;
	}
	while (copies--) {
		if (l->blocked[dir] || (!s->healing && s->p.loss > 0 &&
					hs_random_chance(&s->net, s->p.loss))) {
			s->t.lost++;
			continue;
		}
		l->in_flight[dir]++;
		post(s, m, s->now_ns + delay(s, l));
	}
}

/* Return: false when it is not connected, or takes no more now. */
bool sim_net_send(struct sim *s, uint32_t from, uint32_t to, uint16_t type,
		  const void *payload, uint32_t bytes)
{
	uint32_t link = sim_net_link(s, from, to), dir = from > to;
	struct sim_link *l = &s->links[link];
	struct sim_message *m;

	if (!l->up || l->in_flight[dir] >= LINK_ROOM)
		return false;
	m = malloc(sizeof(*m) + bytes);
	if (!m)
		abort();
	*m = (struct sim_message){
		.from = from,
		.to = to,
		.link = link,
		.link_gen = l->gen,
		.to_gen = sim_ep_gen(s, to),
		.type = type,
		.bytes = bytes,
		.from_id = sim_ep_id(s, from),
		.flow = ++s->flow,
	};
	memcpy(m->payload, payload, bytes);
	s->t.messages++;
	s->t.by_type[type % SIM_NR_TYPES]++;
	if (s->text || s->perfetto)
		sim_story_message(s, m, true);
	if (is_stream(s, m))
		send_stream(s, l, dir, m);
	else
		send_datagram(s, l, dir, m);
	free(m);
	return true;
}

void sim_net_deliver(struct sim *s, struct sim_message *m)
{
	struct sim_link *l = &s->links[m->link];
	uint32_t n = s->p.nr_nodes, c = s->p.nr_coords;

	if (m->link_gen == l->gen)
		l->in_flight[m->from > m->to]--;
	/* A datagram finds whoever is there now; a stream's does not. */
	if (!sim_ep_up(s, m->to) ||
	    (is_stream(s, m) &&
	     (m->link_gen != l->gen || m->to_gen != sim_ep_gen(s, m->to)))) {
		s->t.lost++;
		free(m);
		return;
	}
	sim_mix(s, (uint64_t)m->type << 32 | m->bytes);
	sim_mix(s, hs_crc32c(0, m->payload, m->bytes));
	if (s->text || s->perfetto)
		sim_story_message(s, m, false);
	if (m->to < n)
		sim_node_message(s, m->to, m);
	else if (m->to < n + c)
		sim_coord_message(s, m->to - n, m);
	else
		sim_coll_message(s, m->to - n - c, m);
	free(m);
}

static void tell(struct sim *s, uint32_t ep, uint32_t peer, bool up)
{
	uint32_t n = s->p.nr_nodes, c = s->p.nr_coords;

	if (!sim_ep_up(s, ep))
		return;
	if (ep < n) {
		sim_node_link(s, ep, peer, up);
	} else if (ep < n + c) {
		sim_coord_link(s, ep - n, peer, up);
	} else if (up && peer < n) {
		sim_coll_link(s, ep - n - c, peer);
	}
}

void sim_net_link_up(struct sim *s, uint32_t link, uint32_t gen)
{
	struct sim_link *l = &s->links[link];
	uint32_t low, high;

	if (l->up || l->gen != gen)
		return;
	sim_net_ends(s, link, &low, &high);
	if (!sim_ep_up(s, low) || !sim_ep_up(s, high))
		return; /* whoever starts tries again */
	if (l->blocked[0] || l->blocked[1] ||
	    !sim_members_dials(s, low, high)) {
		sim_push(s, s->now_ns + 100 * SIM_MS, SIM_EV_LINK_UP, link, 0,
			 gen, NULL);
		return;
	}
	l->up = true;
	l->doomed[0] = l->doomed[1] = false;
	tell(s, low, high, true);
	tell(s, high, low, true);
}

void sim_net_break(struct sim *s, uint32_t link)
{
	struct sim_link *l = &s->links[link];
	uint32_t low, high;

	if (!l->up)
		return;
	sim_net_ends(s, link, &low, &high);
	l->up = false;
	l->gen++;
	l->in_flight[0] = l->in_flight[1] = 0;
	s->t.breaks++;
	tell(s, low, high, false);
	tell(s, high, low, false);
	sim_push(s, s->now_ns + sim_between(&s->net, 5, 300) * SIM_MS,
		 SIM_EV_LINK_UP, link, 0, l->gen, NULL);
}

static void each_link(struct sim *s, uint32_t ep,
		      void (*fn)(struct sim *s, uint32_t link))
{
	uint32_t n = s->p.nr_nodes, total = n + nr_servers(s);

	for (uint32_t other = 0; other < total; other++) {
		uint32_t low = ep < other ? ep : other;
		uint32_t high = ep < other ? other : ep;

		if (other == ep || (ep < n && other < n) ||
		    (low >= n &&
		     (low >= n + s->p.nr_coords || high < n + s->p.nr_coords)))
			continue;
		fn(s, sim_net_link(s, ep, other));
	}
}

static void try_up(struct sim *s, uint32_t link)
{
	sim_push(s, s->now_ns + sim_between(&s->net, 1, 20) * SIM_MS,
		 SIM_EV_LINK_UP, link, 0, s->links[link].gen, NULL);
}

void sim_net_endpoint_down(struct sim *s, uint32_t ep)
{
	each_link(s, ep, sim_net_break);
}

static void silence(struct sim *s, uint32_t link)
{
	struct sim_link *l = &s->links[link];

	if (!l->up)
		return;
	l->doomed[0] = l->doomed[1] = true;
	sim_push(s, s->now_ns + 5 * SIM_S, SIM_EV_LINK_BREAK, link, 0, l->gen,
		 NULL);
}

void sim_net_endpoint_silent(struct sim *s, uint32_t ep)
{
	each_link(s, ep, silence);
}

void sim_net_endpoint_up(struct sim *s, uint32_t ep)
{
	each_link(s, ep, try_up);
}
