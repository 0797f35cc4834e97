/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proto_receive.c - connections and acknowledgements at the collector
 *
 * A connection's number holds its place in the table and 48 random bits. It is
 * an embryo until DATA came under that number, so whoever only claims an
 * address gets nothing but a place and frames that the next one may take over.
 */
#include "ship/proto_receive_priv.h"

#include <string.h>

#include "base/planted.h"
#include "base/random.h"
#include "base/reached.h"

#define NS_PER_MS	1000000ull
#define WINDOW_DEFAULT	1024u
#define LEAST_DEFAULT	64u
#define SLICES_DEFAULT	8192u
#define IDLE_DEFAULT_NS (10000 * NS_PER_MS)
#define SCAN_NS		(100 * NS_PER_MS)
#define BUSY_NS		(5 * NS_PER_MS)
#define PLACE_BITS	16u

static struct hs_ship_receiver_config
with_defaults(const struct hs_ship_receiver_config *config)
{
	struct hs_ship_receiver_config c = *config;

	if (!c.nr_window)
		c.nr_window = WINDOW_DEFAULT;
	if (!c.nr_least)
		c.nr_least = LEAST_DEFAULT;
	if (!c.nr_slices)
		c.nr_slices = SLICES_DEFAULT;
	if (!c.idle_ns)
		c.idle_ns = IDLE_DEFAULT_NS;
	return c;
}

static size_t table_at(void)
{
	return (sizeof(struct hs_ship_receiver) + 63) & ~(size_t)63;
}

size_t hs_ship_receiver_size(const struct hs_ship_receiver_config *config)
{
	struct hs_ship_receiver_config c = with_defaults(config);

	return table_at() +
	       c.nr_connections *
		       (sizeof(struct receiver_connection) +
			c.nr_window * sizeof(struct receiver_slot) +
			c.nr_slices * sizeof(struct receiver_settle));
}

struct hs_ship_receiver *
hs_ship_receiver_create(void *memory,
			const struct hs_ship_receiver_config *config,
			const struct hs_ship_receiver_ops *ops, void *ctx,
			uint64_t random, uint64_t now_ns)
{
	struct hs_ship_receiver *r = memory;

	r->config = with_defaults(config);
	if (r->config.frame_bytes < HS_SHIP_FRAME_MIN_BYTES ||
	    r->config.frame_bytes > HS_SHIP_FRAME_MAX_BYTES ||
	    !r->config.nr_connections ||
	    r->config.nr_connections > HS_SHIP_CONNECTIONS_MAX ||
	    r->config.nr_window & (r->config.nr_window - 1) ||
	    r->config.nr_slices & (r->config.nr_slices - 1) ||
	    r->config.nr_least < 2 ||
	    r->config.nr_least > r->config.nr_window ||
	    r->config.nr_least > r->config.nr_frames)
		return NULL;
	r->ops = ops;
	r->ctx = ctx;
	r->random = random;
	r->connections =
		(struct receiver_connection *)((uint8_t *)memory + table_at());
	r->slots = (struct receiver_slot *)(r->connections +
					    r->config.nr_connections);
	r->settles =
		(struct receiver_settle *)(r->slots +
					   (size_t)r->config.nr_window *
						   r->config.nr_connections);
	r->due = RECEIVER_NONE;
	r->turn_first = r->turn_last = RECEIVER_NONE;
	hs_ship_receive_share(r, 1);
	r->scan_ns = now_ns + SCAN_NS;
	return r;
}

void hs_ship_receive_due(struct hs_ship_receiver *r,
			 struct receiver_connection *c)
{
	if (c->due)
		return;
	c->due = true;
	c->next_due = r->due;
	r->due = connection_nr(r, c);
}

/* ---- ACKs -----------------------------------------------------------------
 */

static uint32_t sack_make(const struct hs_ship_receiver *r,
			  const struct receiver_connection *c, uint8_t *sack)
{
	uint64_t upto = c->top - c->first;
	uint32_t used = 0;

	memset(sack, 0, HS_SHIP_SACK_BYTES);
	if (upto > HS_SHIP_SACK_BYTES * 8)
		upto = HS_SHIP_SACK_BYTES * 8;
	for (uint32_t i = 0; i < upto; i++) {
		if (!receiver_slot(r, c, c->first + i)->here)
			continue;
		sack[i / 8] |= (uint8_t)(1u << (i % 8));
		used = i / 8 + 1;
	}
	return used;
}

static void ack_send(struct hs_ship_receiver *r, struct receiver_connection *c,
		     uint64_t now_ns)
{
	struct hs_ship_header h = {
		.type = HS_SHIP_ACK, .to = c->peer, .from = c->id};
	uint64_t held = now_ns - c->echo_at_ns;
	uint8_t frame[sizeof(h) + sizeof(struct hs_ship_ack) +
		      HS_SHIP_SACK_BYTES + sizeof(c->refused)];
	uint8_t *sack = frame + sizeof(h) + sizeof(struct hs_ship_ack);
	struct hs_ship_ack ack = {
		.first = c->first,
		.settled = c->settled,
		.tx = c->tx,
		.echo_ns = c->echo_ns,
		.ack = ++c->acks,
		.bad = c->bad,
		.epoch = c->epoch,
		.held_ns = held < UINT32_MAX ? (uint32_t)held : UINT32_MAX,
		.nr_refused = (uint16_t)c->nr_refused,
	};
	uint32_t bytes;

	hs_ship_receive_grant(r, c);
	ack.credit = c->credit;
	ack.nr_sack_bytes = (uint16_t)sack_make(r, c, sack);
	memcpy(frame, &h, sizeof(h));
	memcpy(frame + sizeof(h), &ack, sizeof(ack));
	memcpy(sack + ack.nr_sack_bytes, c->refused,
	       c->nr_refused * sizeof(*c->refused));
	bytes = (uint32_t)(sack + ack.nr_sack_bytes - frame) +
		c->nr_refused * (uint32_t)sizeof(*c->refused);
	hs_ship_frame_seal(&r->config.auth, frame, bytes, NULL, 0);
	r->ops->send_frame(r->ctx, &c->address, frame, bytes);
	r->stats.acks++;
}

/* ---- connections ----------------------------------------------------------
 */

void hs_ship_receive_say_close(struct hs_ship_receiver *r,
			       const struct hs_ship_address *to, uint64_t peer,
			       uint64_t id, uint32_t reason)
{
	const struct hs_ship_close body = {.reason = reason};
	uint8_t frame[sizeof(struct hs_ship_header) + sizeof(body)];
	uint32_t bytes =
		hs_ship_frame_small(&r->config.auth, frame, HS_SHIP_CLOSE, peer,
				    id, &body, sizeof(body));

	r->ops->send_frame(r->ctx, to, frame, bytes);
}

void hs_ship_receive_drop(struct hs_ship_receiver *r,
			  struct receiver_connection *c, const char *why)
{
	bool was_up = c->state == CONNECTION_UP;
	uint32_t next_due = c->next_due;
	bool due = c->due;

	for (uint64_t frame = c->first; frame < c->top; frame++)
		hs_ship_receive_slot_free(r, receiver_slot(r, c, frame));
	r->stats.nr_granted -= (uint32_t)(c->credit - c->first);
	r->stats.nr_connections--;
	hs_ship_receive_leave(r, c);
	HS_REACHED(HS_MACHINE_CONNECTION, c->state, CONNECTION_FREE);
	memset(c, 0, sizeof(*c));
	c->due = due; /* run() takes it out of the list */
	c->next_due = next_due;
	if (was_up)
		r->ops->down(r->ctx, connection_nr(r, c), why);
}

struct receiver_connection *
hs_ship_receive_drop_embryo(struct hs_ship_receiver *r)
{
	struct receiver_connection *oldest = NULL;

	for (uint32_t i = 0; i < r->config.nr_connections; i++) {
		struct receiver_connection *c = &r->connections[i];

		if (c->state == CONNECTION_EMBRYO &&
		    (!oldest || c->heard_ns < oldest->heard_ns))
			oldest = c;
	}
	if (oldest)
		hs_ship_receive_drop(r, oldest, NULL);
	return oldest;
}

static struct receiver_connection *place(struct hs_ship_receiver *r)
{
	for (uint32_t i = 0; i < r->config.nr_connections; i++)
		if (r->connections[i].state == CONNECTION_FREE)
			return &r->connections[i];
	return hs_ship_receive_drop_embryo(r);
}

static struct receiver_connection *embryo_of(struct hs_ship_receiver *r,
					     const struct hs_ship_view *view,
					     const struct hs_ship_address *from)
{
	for (uint32_t i = 0; i < r->config.nr_connections; i++) {
		struct receiver_connection *c = &r->connections[i];

		if (c->state == CONNECTION_EMBRYO &&
		    c->nonce == view->u.open.nonce &&
		    c->peer == view->header.from &&
		    c->node == view->u.open.node &&
		    !memcmp(&c->address, from, sizeof(*from)))
			return c;
	}
	return NULL;
}

static struct receiver_connection *
connection_new(struct hs_ship_receiver *r, const struct hs_ship_view *view,
	       const struct hs_ship_address *from)
{
	const struct hs_ship_open *open = &view->u.open;
	struct receiver_connection *c = NULL;

	if (hs_ship_receive_newcomer(r))
		c = place(r);
	if (!c) {
		r->stats.full++;
		hs_ship_receive_say_close(r, from, view->header.from, 0,
					  HS_SHIP_FULL);
		return NULL;
	}
	HS_REACHED(HS_MACHINE_CONNECTION, c->state, CONNECTION_EMBRYO);
	c->state = CONNECTION_EMBRYO;
	c->id = hs_random_splitmix(&r->random) << PLACE_BITS |
		connection_nr(r, c);
	c->peer = view->header.from;
	c->node = open->node;
	c->nonce = open->nonce;
	c->address = *from;
	c->frame_bytes = open->frame_bytes < r->config.frame_bytes
				 ? open->frame_bytes
				 : r->config.frame_bytes;
	c->credit = r->config.nr_least;
	r->stats.nr_granted += r->config.nr_least;
	r->stats.nr_connections++;
	return c;
}

static void on_open(struct hs_ship_receiver *r, const struct hs_ship_view *view,
		    const struct hs_ship_address *from, uint64_t now_ns)
{
	const struct hs_ship_open *open = &view->u.open;
	struct hs_ship_accept accept = {
		.node = r->config.node,
		.nonce = open->nonce,
		.version = HS_SHIP_VERSION,
		.slices = r->config.nr_slices,
	};
	uint8_t frame[sizeof(struct hs_ship_header) + sizeof(accept)];
	struct receiver_connection *c;

	if (open->version_min > HS_SHIP_VERSION ||
	    open->version_max < HS_SHIP_VERSION ||
	    open->frame_bytes < HS_SHIP_FRAME_MIN_BYTES) {
		hs_ship_receive_say_close(r, from, view->header.from, 0,
					  HS_SHIP_NO_VERSION);
		return;
	}
	c = embryo_of(r, view, from);
	if (!c)
		c = connection_new(r, view, from);
	if (!c)
		return;
	c->heard_ns = now_ns;
	accept.frame_bytes = c->frame_bytes;
	accept.slice_bytes = receiver_slice_max(r, c->frame_bytes);
	accept.credit = c->credit;
	r->ops->send_frame(r->ctx, from, frame,
			   hs_ship_frame_small(&r->config.auth, frame,
					       HS_SHIP_ACCEPT, c->peer, c->id,
					       &accept, sizeof(accept)));
}

/* It spoke under the number that only it was told: it is there. */
static void come_up(struct hs_ship_receiver *r, struct receiver_connection *c)
{
	for (uint32_t i = 0; i < r->config.nr_connections; i++) {
		struct receiver_connection *other = &r->connections[i];

		if (other != c && other->state == CONNECTION_UP &&
		    other->node == c->node)
			hs_ship_receive_drop(r, other,
					     "the agent opened another one");
	}
	HS_REACHED(HS_MACHINE_CONNECTION, c->state, CONNECTION_UP);
	c->state = CONNECTION_UP;
	r->stats.opened++;
	r->ops->up(r->ctx, connection_nr(r, c), c->node);
}

void hs_ship_receive_misbehaved(struct hs_ship_receiver *r,
				struct receiver_connection *c)
{
	r->stats.cut_off++;
	hs_ship_receive_say_close(r, &c->address, c->peer, c->id,
				  HS_SHIP_MISBEHAVED);
	hs_ship_receive_drop(r, c, hs_ship_reason_text(HS_SHIP_MISBEHAVED));
}

/* ---- frames ---------------------------------------------------------------
 */

static struct receiver_connection *find(struct hs_ship_receiver *r,
					const struct hs_ship_view *view,
					const struct hs_ship_address *from)
{
	uint32_t nr = view->header.to & ((1u << PLACE_BITS) - 1);
	struct receiver_connection *c;

	if (nr >= r->config.nr_connections)
		return NULL;
	c = &r->connections[nr];
	return c->state != CONNECTION_FREE && c->id == view->header.to &&
			       c->peer == view->header.from &&
			       !memcmp(&c->address, from, sizeof(*from))
		       ? c
		       : NULL;
}

static void note_data(struct receiver_connection *c,
		      const struct hs_ship_data *d, uint64_t now_ns)
{
	uint32_t kept = 0;

	c->heard_ns = now_ns;
	if (d->tx > c->tx) {
		c->tx = d->tx;
		c->echo_ns = d->sent_ns;
		c->echo_at_ns = now_ns;
	}
	if (d->settled <= c->settled_seen || d->settled > c->settled)
		return;
	c->settled_seen = d->settled;
	for (uint32_t i = 0; i < c->nr_refused; i++)
		if (c->refused[i] >= c->settled_seen)
			c->refused[kept++] = c->refused[i];
	c->nr_refused = kept;
}

/* Return: whether the frame is kept. */
static bool on_data(struct hs_ship_receiver *r, struct receiver_connection *c,
		    const struct hs_ship_view *view, void *handle,
		    uint64_t now_ns)
{
	const struct hs_ship_data *d = &view->u.data;
	struct receiver_slot *slot = receiver_slot(r, c, d->frame);

	if (c->state == CONNECTION_EMBRYO)
		come_up(r, c);
	note_data(c, d, now_ns);
	hs_ship_receive_settled(r, c);
	hs_ship_receive_due(r, c);
	if (!d->nr_parts)
		return false;
	if (d->frame >= c->credit) {
		r->stats.frames_beyond++;
		return false;
	}
	if (d->frame < c->first || (slot->here && !HS_PLANTED(42))) {
		r->stats.frames_again++;
		return false;
	}
	if (d->epoch > c->epoch ||
	    (d->epoch < c->epoch && d->frame >= c->bad_first &&
	     d->frame <= c->bad_last)) {
		r->stats.frames_stale++;
		return false;
	}
	*slot = (struct receiver_slot){handle, view->rows, view->bytes,
				       d->nr_parts, true};
	r->stats.nr_held++;
	c->active = true;
	if (d->frame >= c->top)
		c->top = d->frame + 1;
	return true;
}

void hs_ship_receiver_frame(struct hs_ship_receiver *r,
			    const struct hs_ship_address *from, void *handle,
			    const void *frame, uint32_t frame_bytes,
			    uint64_t now_ns)
{
	struct receiver_connection *c;
	struct hs_ship_view view;
	const char *why;
	bool kept = false;

	r->stats.frames++;
	if (hs_ship_frame_parse(&view, frame, frame_bytes, &why)) {
		r->stats.frames_bad++;
	} else if (!hs_ship_frame_authentic(&r->config.auth, frame,
					    frame_bytes)) {
		r->stats.frames_forged++;
	} else if (view.header.type == HS_SHIP_OPEN) {
		on_open(r, &view, from, now_ns);
	} else if (!(c = find(r, &view, from))) {
		r->stats.frames_strange++;
		if (view.header.type == HS_SHIP_DATA)
			hs_ship_receive_say_close(r, from, view.header.from, 0,
						  HS_SHIP_NO_CONNECTION);
	} else if (view.header.type == HS_SHIP_CLOSE) {
		hs_ship_receive_drop(r, c,
				     hs_ship_reason_text(view.u.close.reason));
	} else if (view.header.type == HS_SHIP_DATA) {
		kept = on_data(r, c, &view, handle, now_ns);
		if (kept)
			hs_ship_receive_offer(r, c);
	} else {
		r->stats.frames_bad++;
	}
	if (!kept)
		r->ops->release(r->ctx, handle);
}

void hs_ship_receiver_settle(struct hs_ship_receiver *r, uint32_t connection,
			     uint64_t ship_key, bool refused)
{
	struct receiver_connection *c;

	if (connection >= r->config.nr_connections)
		return;
	c = &r->connections[connection];
	if (c->state != CONNECTION_UP)
		return;
	for (uint64_t nr = c->settled; nr < c->slice; nr++) {
		struct receiver_settle *s = receiver_settle(r, c, nr);

		if (s->state != SETTLE_WAITING || s->key != ship_key)
			continue;
		s->state = refused ? SETTLE_REFUSED : SETTLE_DURABLE;
		HS_REACHED(HS_MACHINE_SETTLE, SETTLE_WAITING, s->state);
		break;
	}
	hs_ship_receive_settled(r, c);
}

/* ---- time -----------------------------------------------------------------
 */

/* Who is silent is gone; who spoke shares the frames. */
static void scan(struct hs_ship_receiver *r, uint64_t now_ns)
{
	uint32_t active = 0;

	for (uint32_t i = 0; i < r->config.nr_connections; i++) {
		struct receiver_connection *c = &r->connections[i];

		if (c->state == CONNECTION_FREE)
			continue;
		if (now_ns - c->heard_ns > r->config.idle_ns) {
			r->stats.expired++;
			hs_ship_receive_drop(r, c, "silent for too long");
			continue;
		}
		active += c->active || c->waits;
		c->active = false;
	}
	hs_ship_receive_share(r, active);
	r->scan_ns = now_ns + SCAN_NS;
}

uint64_t hs_ship_receiver_run(struct hs_ship_receiver *r, uint64_t now_ns)
{
	uint32_t nr;

	hs_ship_receive_turns(r);
	if (now_ns >= r->scan_ns)
		scan(r, now_ns);
	nr = r->due;
	r->due = RECEIVER_NONE;
	while (nr != RECEIVER_NONE) {
		struct receiver_connection *c = &r->connections[nr];

		nr = c->next_due;
		c->due = false;
		if (c->state == CONNECTION_UP)
			ack_send(r, c, now_ns);
	}
	return r->nr_waiting && now_ns + BUSY_NS < r->scan_ns ? now_ns + BUSY_NS
							      : r->scan_ns;
}

void hs_ship_receiver_close(struct hs_ship_receiver *r)
{
	for (uint32_t i = 0; i < r->config.nr_connections; i++) {
		struct receiver_connection *c = &r->connections[i];

		if (c->state == CONNECTION_UP)
			hs_ship_receive_say_close(r, &c->address, c->peer,
						  c->id, HS_SHIP_BYE);
		if (c->state != CONNECTION_FREE)
			hs_ship_receive_drop(r, c,
					     hs_ship_reason_text(HS_SHIP_BYE));
	}
}

void hs_ship_receiver_stats_get(const struct hs_ship_receiver *r,
				struct hs_ship_receiver_stats *out)
{
	*out = r->stats;
}

bool hs_ship_receiver_check(const struct hs_ship_receiver *r, const char **why)
{
	uint64_t held = 0, granted = 0, live = 0;

	for (uint32_t i = 0; i < r->config.nr_connections; i++) {
		const struct receiver_connection *c = &r->connections[i];

		if (c->state == CONNECTION_FREE)
			continue;
		live++;
		granted += c->credit - c->first;
		for (uint64_t f = c->first; f < c->top; f++)
			held += receiver_slot(r, c, f)->here;
		*why = "a connection's frames are out of order";
		if (c->first > c->read || c->read > c->top ||
		    c->top > c->credit ||
		    c->credit - c->first > r->config.nr_window)
			return false;
		*why = "a connection has not its least";
		if (c->credit - c->first < r->config.nr_least)
			return false;
		*why = "a connection's slices are out of order";
		if (c->settled > c->slice ||
		    c->slice - c->settled > r->config.nr_slices)
			return false;
	}
	*why = "frames held do not add up";
	if (held != r->stats.nr_held)
		return false;
	*why = "frames granted do not add up, or are more than there are";
	if (granted != r->stats.nr_granted || granted > r->config.nr_frames)
		return false;
	*why = "connections do not add up";
	if (live != r->stats.nr_connections)
		return false;
	*why = "those that wait for their turn do not add up";
	return hs_ship_receive_turns_check(r);
}
