/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see lossy.h. */
#include "tests/ship/lossy.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/random.h"
#include "ship/proto_receive.h"
#include "ship/proto_send.h"
#include "tests/ship/lossy_event.h"
#include "tests/ship/lossy_tag.h"

#define MS	    1000000ull
#define FRAMES	    4096u
#define SLICES	    256u
#define TOO_LONG_NS (600000 * MS)
#define STRAY_BYTES 4096u

/* What an agent wants shipped; the bytes are made from the seed. */
struct item {
	uint8_t *bytes, *copy;
	uint32_t length;
	uint32_t taken; /* times the collector took it */
	bool shipping, settled, modified, refused;
};

struct agent {
	struct world *world;
	uint32_t nr;
	struct hs_ship_sender *sender;
	void *memory;
	struct item *items;
	uint32_t next_add, nr_settled;
	uint64_t wake_ns, begun_ns, added_bytes;
	uint64_t expect; /* items before it have come on this connection */
	bool up;
};

struct world {
	const struct lossy_plan *plan;
	struct lossy_result *result;
	struct hs_random random;
	struct agent agents[LOSSY_AGENTS_MAX];
	struct hs_ship_receiver *receiver;
	void *memory;
	struct lossy_events events;
	uint64_t idle_since_ns, idle_since_frames;
	uint64_t begun_ns, now_ns, link_free_ns, wake_ns, cut_ns;
	uint32_t connection_agent[LOSSY_AGENTS_MAX * 2];
	bool connection_up[LOSSY_AGENTS_MAX * 2];
	const char *wrong;
};

static void wrong(struct world *w, const char *what)
{
	if (!w->wrong)
		w->wrong = what;
}

static bool chance(struct world *w, double p)
{
	return p > 0 && hs_random_chance(&w->random, p);
}

/* ---- the network ----------------------------------------------------------
 */

/* A frame over the way, perhaps; the collector's link is a queue with an end.
 */
static void post(struct world *w, enum lossy_event_kind kind, uint32_t agent,
		 const uint8_t *frame, uint32_t bytes)
{
	const struct lossy_plan *plan = w->plan;
	uint64_t at_ns = w->now_ns + plan->delay_ns;

	if (chance(w, plan->loss)) {
		w->result->lost++;
		return;
	}
	if (plan->jitter_ns)
		at_ns += hs_random_below(&w->random, plan->jitter_ns);
	if (kind == TO_COLLECTOR && plan->link_bytes_per_s) {
		uint64_t begin = w->link_free_ns > w->now_ns ? w->link_free_ns
							     : w->now_ns;
		uint64_t wait = begin - w->now_ns;

		if (wait * plan->link_bytes_per_s / 1000000000ull >
		    plan->link_queue_bytes) {
			w->result->link_drops++;
			return;
		}
		w->link_free_ns =
			begin + bytes * 1000000000ull / plan->link_bytes_per_s;
		at_ns += w->link_free_ns - w->now_ns;
	}
	for (int copies = chance(w, plan->repeat) ? 2 : 1; copies; copies--) {
		struct lossy_event e = {.at_ns = at_ns,
					.kind = kind,
					.agent = agent,
					.bytes = bytes,
					.frame = malloc(bytes)};

		hs_check(e.frame);
		memcpy(e.frame, frame, bytes);
		if (chance(w, plan->bend))
			e.frame[hs_random_below(&w->random, bytes)] ^=
				(uint8_t)(1u << hs_random_below(&w->random, 8));
		lossy_event_push(&w->events, e);
		at_ns += hs_random_below(&w->random, 5 * MS);
	}
}

/* ---- the agents -----------------------------------------------------------
 */

static const void *agent_bytes(void *ctx, const struct hs_ship_slice *slice)
{
	struct agent *a = ctx;

	return slice->copy ? slice->copy : a->items[slice->where].bytes;
}

/* What the producer does between summing and sending. */
static void scribble(struct agent *a, struct item *item)
{
	struct world *w = a->world;

	if (!item->length || !chance(w, w->plan->modify))
		return;
	item->modified = true;
	item->bytes[hs_random_below(&w->random, item->length)] ^= 0x40;
}

static bool agent_send_frame(void *ctx, const void *head, uint32_t head_bytes,
			     const struct hs_ship_piece *pieces,
			     uint32_t nr_pieces)
{
	struct agent *a = ctx;
	uint8_t frame[HS_SHIP_FRAME_MAX_BYTES];
	uint32_t bytes = head_bytes;

	if (chance(a->world, a->world->plan->loss / 8))
		return false; /* the port is full */
	memcpy(frame, head, head_bytes);
	for (uint32_t i = 0; i < nr_pieces; i++) {
		const uint8_t *from = agent_bytes(a, pieces[i].slice);

		hs_check(bytes + pieces[i].bytes <= sizeof(frame));
		hs_check(pieces[i].offset + pieces[i].bytes <=
			 pieces[i].slice->head.length_bytes);
		if (pieces[i].slice->copy == NULL)
			scribble(a, &a->items[pieces[i].slice->where]);
		memcpy(frame + bytes, from + pieces[i].offset, pieces[i].bytes);
		bytes += pieces[i].bytes;
	}
	if (bytes > a->world->plan->frame_bytes)
		wrong(a->world, "a frame is larger than the carrier takes");
	post(a->world, TO_COLLECTOR, a->nr, frame, bytes);
	return true;
}

static bool agent_copy(void *ctx, struct hs_ship_slice *slice)
{
	struct agent *a = ctx;
	struct item *item = &a->items[slice->where];

	item->copy = malloc(item->length ? item->length : 1);
	hs_check(item->copy);
	memcpy(item->copy, item->bytes, item->length);
	slice->copy = item->copy;
	return true;
}

static void agent_settled(void *ctx, const struct hs_ship_slice *slice,
			  bool refused)
{
	struct agent *a = ctx;
	struct item *item = &a->items[slice->where];

	if (item->settled)
		wrong(a->world, "a slice was settled twice");
	if (!item->shipping)
		wrong(a->world, "a slice was settled that was not under way");
	if (!item->taken)
		wrong(a->world, "a slice was settled that never came");
	if (refused != item->refused)
		wrong(a->world, "a slice's verdict was turned round");
	item->settled = true;
	item->shipping = false;
	a->nr_settled++;
}

static void agent_up(void *ctx, uint64_t collector)
{
	struct agent *a = ctx;

	if (collector != 99)
		wrong(a->world, "the collector's id is wrong");
	a->up = true;
}

static void agent_down(void *ctx, const char *why)
{
	struct agent *a = ctx;

	a->up = false;
	a->world->result->downs++;
	for (uint32_t i = 0; i < a->world->plan->nr_slices; i++) {
		a->items[i].shipping = false;
		free(a->items[i].copy);
		a->items[i].copy = NULL;
	}
	a->next_add = 0;
	(void)why;
}

static const struct hs_ship_sender_ops sender_ops = {
	.send_frame = agent_send_frame,
	.bytes = agent_bytes,
	.copy = agent_copy,
	.settled = agent_settled,
	.up = agent_up,
	.down = agent_down,
};

static void agent_start(struct agent *a)
{
	const struct lossy_plan *plan = a->world->plan;
	struct hs_ship_sender_config config = {
		.node = 1000 + a->nr,
		.frame_bytes = plan->frame_bytes,
		.nr_slices = SLICES,
		.nr_frames = 1024,
		.auth = {.tag = plan->tags ? lossy_tag : NULL},
	};

	if (!a->memory)
		a->memory = malloc(hs_ship_sender_size(&config));
	hs_check(a->memory);
	memset(a->memory, 0, hs_ship_sender_size(&config));
	a->sender = hs_ship_sender_create(a->memory, &config, &sender_ops, a,
					  hs_random_u64(&a->world->random),
					  a->world->now_ns);
	hs_check(a->sender);
	a->wake_ns = 0;
}

static void agent_items(struct agent *a)
{
	struct world *w = a->world;
	const struct lossy_plan *plan = w->plan;
	uint32_t range = plan->slice_max_bytes - plan->slice_min_bytes + 1;

	a->items = calloc(plan->nr_slices, sizeof(*a->items));
	hs_check(a->items);
	for (uint32_t i = 0; i < plan->nr_slices; i++) {
		struct item *item = &a->items[i];

		item->length = plan->slice_min_bytes +
			       (uint32_t)hs_random_below(&w->random, range);
		if (plan->slice_odd_bytes && a->nr % 2)
			item->length = plan->slice_odd_bytes;
	}
}

/* Only now, since most runs are over before they have offered everything. */
static void item_write(struct world *w, struct item *item)
{
	if (item->bytes)
		return;
	item->bytes = malloc(item->length ? item->length : 1);
	hs_check(item->bytes);
	hs_random_fill(&w->random, item->bytes, item->length);
}

/* Everything that is offered by now, in order, as far as it is taken. */
static void agent_feed(struct agent *a)
{
	struct world *w = a->world;
	uint64_t offered = UINT64_MAX;

	if (w->plan->offered_per_s)
		offered = (uint64_t)((unsigned __int128)w->plan->offered_per_s *
				     (w->now_ns - a->begun_ns) / 1000000000ull);
	while (a->up && a->next_add < w->plan->nr_slices &&
	       a->added_bytes <= offered) {
		struct item *item = &a->items[a->next_add];
		struct hs_ship_slice slice = {.where = a->next_add};

		if (!item->settled) {
			item_write(w, item);
			slice.head.length_bytes = item->length;
			slice.head.ship_key = a->next_add;
			slice.head.node = 1000 + a->nr;
			slice.head.crc = 0xbad;
			if (hs_ship_sender_add(a->sender, &slice))
				return;
			item->shipping = true;
			a->added_bytes += item->length;
		}
		a->next_add++;
	}
}

static void agent_run(struct agent *a)
{
	struct world *w = a->world;
	uint64_t at_ns;

	agent_feed(a);
	at_ns = hs_ship_sender_run(a->sender, w->now_ns);
	if (w->plan->offered_per_s && a->next_add < w->plan->nr_slices &&
	    at_ns > w->now_ns + MS)
		at_ns = w->now_ns + MS;
	if (at_ns <= w->now_ns)
		at_ns = w->now_ns + 1000;
	if (at_ns < a->wake_ns || a->wake_ns <= w->now_ns) {
		a->wake_ns = at_ns;
		lossy_event_push(&w->events,
				 (struct lossy_event){.at_ns = at_ns,
						      .kind = WAKE_AGENT,
						      .agent = a->nr});
	}
}

/* ---- the collector --------------------------------------------------------
 */

static void collector_send_frame(void *ctx, const struct hs_ship_address *to,
				 const void *frame, uint32_t bytes)
{
	post(ctx, TO_AGENT, to->bytes[0], frame, bytes);
}

/* In order, whole, with the bytes that were summed last. */
static enum hs_ship_verdict collector_slice(void *ctx, uint32_t connection,
					    const struct hs_wire_slice *head,
					    const struct hs_ship_span *spans,
					    uint32_t nr_spans)
{
	struct world *w = ctx;
	struct agent *a;
	struct item *item;
	uint32_t at = 0, crc = 0;

	if (chance(w, w->plan->busy) ||
	    (w->plan->takes_per_s &&
	     w->result->delivered_bytes >
		     w->plan->takes_per_s * ((w->now_ns - w->begun_ns) / 1000) /
			     1000000))
		return HS_SHIP_BUSY;
	a = &w->agents[w->connection_agent[connection]];
	if (!w->connection_up[connection] || head->node != 1000 + a->nr ||
	    head->ship_key >= w->plan->nr_slices) {
		wrong(w, "a slice of nobody");
		return HS_SHIP_REFUSED;
	}
	item = &a->items[head->ship_key];
	if (head->ship_key < a->expect)
		wrong(w, "a slice came again or out of order");
	a->expect = head->ship_key + 1;
	for (uint32_t i = 0; i < nr_spans; i++) {
		crc = hs_crc32c(crc, spans[i].data, spans[i].bytes);
		if (!item->modified &&
		    memcmp(item->bytes + at, spans[i].data, spans[i].bytes))
			wrong(w, "other bytes than were sent");
		at += spans[i].bytes;
	}
	if (at != item->length || crc != head->crc)
		wrong(w, "a slice is not whole");
	if (head->flags & HS_WIRE_F_MODIFIED && !item->modified &&
	    w->plan->bend == 0)
		wrong(w, "said to be modified, and was not");
	w->result->twice += item->taken++ > 0;
	w->result->delivered_bytes += item->length;
	w->result->agent_bytes[a->nr] += item->length;
	item->refused = chance(w, w->plan->refuse);
	if (item->refused)
		return HS_SHIP_REFUSED;
	lossy_event_push(
		&w->events,
		(struct lossy_event){.at_ns = w->now_ns + w->plan->settle_ns,
				     .kind = SETTLE,
				     .connection = connection,
				     .agent = a->nr,
				     .key = head->ship_key});
	return HS_SHIP_TAKEN;
}

static void collector_release(void *ctx, void *handle)
{
	(void)ctx;
	/* What is read after its release is found by the sanitizers. */
	free(handle);
}

static void collector_up(void *ctx, uint32_t connection, uint64_t node)
{
	struct world *w = ctx;

	w->connection_agent[connection] = (uint32_t)(node - 1000);
	w->connection_up[connection] = true;
	w->agents[node - 1000].expect = 0;
}

static void collector_down(void *ctx, uint32_t connection, const char *why)
{
	struct world *w = ctx;

	(void)why;
	w->connection_up[connection] = false;
}

static const struct hs_ship_receiver_ops receiver_ops = {
	.send_frame = collector_send_frame,
	.slice = collector_slice,
	.release = collector_release,
	.up = collector_up,
	.down = collector_down,
};

static void collector_start(struct world *w)
{
	struct hs_ship_receiver_config config = {
		.node = 99,
		.frame_bytes = HS_SHIP_FRAME_MAX_BYTES,
		.nr_connections = 2 * LOSSY_AGENTS_MAX,
		.nr_frames = w->plan->nr_frames ? w->plan->nr_frames : FRAMES,
		.nr_slices = SLICES,
		.auth = {.tag = w->plan->tags ? lossy_tag : NULL},
	};
	size_t size = hs_ship_receiver_size(&config);

	if (!w->memory)
		w->memory = malloc(size);
	hs_check(w->memory);
	memset(w->memory, 0, size);
	w->receiver =
		hs_ship_receiver_create(w->memory, &config, &receiver_ops, w,
					hs_random_u64(&w->random), w->now_ns);
	hs_check(w->receiver);
}

static void collector_run(struct world *w)
{
	uint64_t at_ns = hs_ship_receiver_run(w->receiver, w->now_ns);
	struct hs_ship_receiver_stats stats;

	hs_ship_receiver_stats_get(w->receiver, &stats);
	if (stats.nr_held > w->result->held_most)
		w->result->held_most = stats.nr_held;
	if (at_ns < w->wake_ns || w->wake_ns <= w->now_ns) {
		w->wake_ns = at_ns;
		lossy_event_push(&w->events,
				 (struct lossy_event){.at_ns = at_ns,
						      .kind = WAKE_COLLECTOR});
	}
}

/* ---- time -----------------------------------------------------------------
 */

static void handle(struct world *w, struct lossy_event *e)
{
	struct agent *a = &w->agents[e->agent];
	struct hs_ship_address from = {{(uint8_t)e->agent}};
	uint8_t stray[STRAY_BYTES];

	switch (e->kind) {
	case TO_COLLECTOR:
		hs_ship_receiver_frame(w->receiver, &from, e->frame, e->frame,
				       e->bytes, w->now_ns);
		collector_run(w);
		return;
	case TO_AGENT:
		hs_check(e->bytes <= sizeof(stray));
		hs_ship_sender_frame(a->sender, e->frame, e->bytes, w->now_ns);
		free(e->frame);
		agent_run(a);
		return;
	case SETTLE:
		if (w->connection_up[e->connection] &&
		    w->connection_agent[e->connection] == e->agent)
			hs_ship_receiver_settle(w->receiver, e->connection,
						e->key, false);
		collector_run(w);
		return;
	case WAKE_AGENT:
		agent_run(a);
		return;
	case WAKE_COLLECTOR:
		collector_run(w);
		return;
	}
}

/* An agent's worker or the collector begins anew, without a word. */
static void cuts(struct world *w)
{
	if (w->now_ns < w->cut_ns)
		return;
	w->cut_ns = w->now_ns + MS;
	if (!chance(w, w->plan->cut))
		return;
	if (chance(w, 0.3)) {
		hs_ship_receiver_close(w->receiver);
		collector_start(w);
		memset(w->connection_up, 0, sizeof(w->connection_up));
	} else {
		struct agent *a = &w->agents[hs_random_below(
			&w->random, w->plan->nr_agents)];

		if (a->up)
			agent_down(a, "restarted");
		agent_start(a);
		agent_run(a);
	}
}

static bool all_settled(const struct world *w)
{
	for (uint32_t i = 0; i < w->plan->nr_agents; i++)
		if (w->agents[i].nr_settled < w->plan->nr_slices)
			return false;
	return true;
}

static uint64_t frames_sent(const struct world *w)
{
	struct hs_ship_sender_stats stats;
	uint64_t sum = 0;

	for (uint32_t i = 0; i < w->plan->nr_agents; i++) {
		hs_ship_sender_stats_get(w->agents[i].sender, &stats);
		sum += stats.frames_sent;
	}
	return sum;
}

/* Settled, and then idle for as long as the plan says. */
static bool over(struct world *w)
{
	if (!all_settled(w))
		return false;
	if (!w->idle_since_ns) {
		w->idle_since_ns = w->now_ns;
		w->idle_since_frames = frames_sent(w);
	}
	w->result->frames_idle = frames_sent(w) - w->idle_since_frames;
	return w->now_ns >= w->idle_since_ns + w->plan->idle_ns;
}

static void check_all(struct world *w)
{
	const char *why;

	for (uint32_t i = 0; i < w->plan->nr_agents; i++)
		if (!hs_ship_sender_check(w->agents[i].sender, &why))
			wrong(w, why);
	if (!hs_ship_receiver_check(w->receiver, &why))
		wrong(w, why);
}

static void finish(struct world *w)
{
	struct hs_ship_sender_stats stats;

	for (uint32_t i = 0; i < w->plan->nr_agents; i++) {
		struct agent *a = &w->agents[i];

		hs_ship_sender_stats_get(a->sender, &stats);
		w->result->frames += stats.frames_sent;
		w->result->frames_resent += stats.frames_resent;
		w->result->modified += stats.slices_modified;
		w->result->anew += stats.slices_anew;
		for (uint32_t k = 0; k < w->plan->nr_slices; k++) {
			free(a->items[k].bytes);
			free(a->items[k].copy);
		}
		free(a->items);
		free(a->memory);
	}
	hs_ship_receiver_close(w->receiver);
	free(w->memory);
	while (w->events.nr) {
		struct lossy_event e = lossy_event_pop(&w->events);

		free(e.frame);
	}
	free(w->events.heap);
}

void lossy_run(const struct lossy_plan *plan, struct lossy_result *result)
{
	struct world *w = calloc(1, sizeof(*w));
	uint64_t nr = 0;

	hs_check(w && plan->nr_agents <= LOSSY_AGENTS_MAX && plan->nr_slices);
	memset(result, 0, sizeof(*result));
	w->plan = plan;
	w->result = result;
	hs_random_seed(&w->random, plan->seed);
	w->begun_ns = w->now_ns = 1000 * MS;
	collector_start(w);
	for (uint32_t i = 0; i < plan->nr_agents; i++) {
		w->agents[i] = (struct agent){
			.world = w, .nr = i, .begun_ns = w->now_ns};
		agent_items(&w->agents[i]);
		agent_start(&w->agents[i]);
		agent_run(&w->agents[i]);
	}
	while (w->events.nr && !w->wrong && !over(w)) {
		struct lossy_event e = lossy_event_pop(&w->events);

		w->now_ns = e.at_ns;
		if (plan->duration_ns &&
		    w->now_ns > 1000 * MS + plan->duration_ns)
			wrong(w, "out of time");
		if (w->now_ns > TOO_LONG_NS)
			wrong(w, "not settled after ten minutes");
		if (w->wrong) {
			free(e.frame);
			break;
		}
		handle(w, &e);
		cuts(w);
		if (nr++ % 64 == 0)
			check_all(w);
	}
	check_all(w);
	result->done = !w->wrong;
	result->why = w->wrong ? w->wrong : "";
	result->now_ns = w->now_ns - 1000 * MS;
	finish(w);
	free(w);
}
