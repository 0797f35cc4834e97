/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proto_send.c - the life of a shipping connection at the agent
 *
 * What was lost is known by time: a frame that went before one that has come,
 * by more than a quarter of a round trip, is gone (after RACK, RFC 8985). The
 * last frames before a silence have nothing behind them; a timer sends the
 * oldest of them again.
 */
#include "ship/proto_send_priv.h"

#include <errno.h>
#include <string.h>

#include "base/planted.h"
#include "base/random.h"
#include "base/reached.h"

#define NS_PER_MS	1000000ull
#define FRAMES_DEFAULT	4096u
#define SLICES_DEFAULT	8192u
#define DEAD_DEFAULT_NS (3000 * NS_PER_MS)
#define REOPEN_MIN_NS	(20 * NS_PER_MS)
#define REOPEN_MAX_NS	(2000 * NS_PER_MS)
#define KEEPALIVE_NS	(2000 * NS_PER_MS)
#define TIMER_MAX_NS	(500 * NS_PER_MS)
/* Settling takes a disk; there is no hurry to ask for it. */
#define SETTLE_ASK_NS (200 * NS_PER_MS)
#define ANEW_COPY     3u /* a slice asked anew so often goes as a copy */
#define REORDER_TX    3u

static struct hs_ship_sender_config
with_defaults(const struct hs_ship_sender_config *config)
{
	struct hs_ship_sender_config c = *config;

	if (!c.nr_frames)
		c.nr_frames = FRAMES_DEFAULT;
	if (!c.nr_slices)
		c.nr_slices = SLICES_DEFAULT;
	if (!c.nr_pieces || c.nr_pieces > HS_SHIP_PARTS_MAX)
		c.nr_pieces = HS_SHIP_PARTS_MAX;
	if (!c.dead_ns)
		c.dead_ns = DEAD_DEFAULT_NS;
	if (!c.reopen_min_ns)
		c.reopen_min_ns = REOPEN_MIN_NS;
	if (c.reopen_max_ns < c.reopen_min_ns)
		c.reopen_max_ns = REOPEN_MAX_NS > c.reopen_min_ns
					  ? REOPEN_MAX_NS
					  : c.reopen_min_ns;
	return c;
}

static size_t frames_at(void)
{
	return (sizeof(struct hs_ship_sender) + 63) & ~(size_t)63;
}

size_t hs_ship_sender_size(const struct hs_ship_sender_config *config)
{
	struct hs_ship_sender_config c = with_defaults(config);

	return frames_at() + c.nr_frames * sizeof(struct sender_frame) +
	       c.nr_slices * sizeof(struct sender_slice);
}

struct hs_ship_sender *
hs_ship_sender_create(void *memory, const struct hs_ship_sender_config *config,
		      const struct hs_ship_sender_ops *ops, void *ctx,
		      uint64_t random, uint64_t now_ns)
{
	struct hs_ship_sender *s = memory;

	s->config = with_defaults(config);
	if (s->config.frame_bytes < HS_SHIP_FRAME_MIN_BYTES ||
	    s->config.frame_bytes > HS_SHIP_FRAME_MAX_BYTES ||
	    s->config.nr_frames & (s->config.nr_frames - 1) ||
	    s->config.nr_slices & (s->config.nr_slices - 1))
		return NULL;
	s->ops = ops;
	s->ctx = ctx;
	s->random = random;
	s->frames = (struct sender_frame *)((uint8_t *)memory + frames_at());
	s->slices = (struct sender_slice *)(s->frames + s->config.nr_frames);
	s->due_ns = now_ns;
	s->reopen_ns = s->config.reopen_min_ns;
	return s;
}

int hs_ship_sender_add(struct hs_ship_sender *s,
		       const struct hs_ship_slice *slice)
{
	struct sender_slice *to = sender_slice(s, s->next_slice);

	if (s->state != SENDER_UP)
		return -ENOTCONN;
	if (slice->head.length_bytes > s->slice_bytes)
		return -EMSGSIZE;
	if (s->next_slice - s->settled >= s->slices_max)
		return -EAGAIN;
	*to = (struct sender_slice){.slice = *slice};
	to->slice.copy = NULL;
	s->next_slice++;
	s->stats.slices_added++;
	s->stats.bytes_added += slice->head.length_bytes;
	return 0;
}

/* ---- opening and losing a connection ------------------------------------- */

static void go_down(struct hs_ship_sender *s, const char *why, uint64_t now_ns)
{
	bool was_up = s->state == SENDER_UP;

	HS_REACHED(HS_MACHINE_SENDER, s->state, SENDER_OPENING);
	s->state = SENDER_OPENING;
	s->connection = 0;
	s->due_ns = now_ns + s->reopen_ns;
	if (!was_up)
		return;
	s->stats.downs++;
	/* From here on nothing refers to the slices any more. */
	s->settled = s->next_slice = s->cut_slice = 0;
	s->cut_offset = 0;
	s->first = s->next = 0;
	s->nr_lost = 0;
	s->ops->down(s->ctx, why);
}

static void open_again(struct hs_ship_sender *s, uint64_t now_ns)
{
	struct hs_ship_open open = {
		.node = s->config.node,
		.version_min = HS_SHIP_VERSION,
		.version_max = HS_SHIP_VERSION,
		.frame_bytes = s->config.frame_bytes,
	};
	uint8_t frame[sizeof(struct hs_ship_header) + sizeof(open)];
	uint32_t bytes;

	/* The same numbers until an answer comes, however late it is. */
	if (!s->connection) {
		s->connection = hs_random_splitmix(&s->random) | 1;
		s->nonce = hs_random_splitmix(&s->random);
	}
	open.nonce = s->nonce;
	bytes = hs_ship_frame_small(&s->config.auth, frame, HS_SHIP_OPEN, 0,
				    s->connection, &open, sizeof(open));
	/* Who was not asked is not waited for: a link that is down, or a name
	 * that is not known yet, must not make the next one late. */
	if (!s->ops->send_frame(s->ctx, frame, bytes, NULL, 0)) {
		s->due_ns = now_ns + s->config.reopen_min_ns;
		return;
	}
	s->due_ns = now_ns + s->reopen_ns;
	s->reopen_ns *= 2;
	if (s->reopen_ns > s->config.reopen_max_ns)
		s->reopen_ns = s->config.reopen_max_ns;
}

static void accepted(struct hs_ship_sender *s, const struct hs_ship_view *view,
		     uint64_t now_ns)
{
	const struct hs_ship_accept *a = &view->u.accept;

	if (s->state != SENDER_OPENING || view->header.to != s->connection ||
	    a->nonce != s->nonce || a->version != HS_SHIP_VERSION ||
	    a->frame_bytes < HS_SHIP_FRAME_MIN_BYTES || !a->slices ||
	    !a->slice_bytes) {
		s->stats.frames_bad++;
		return;
	}
	HS_REACHED(HS_MACHINE_SENDER, s->state, SENDER_UP);
	s->state = SENDER_UP;
	s->peer = view->header.from;
	s->frame_bytes = a->frame_bytes < s->config.frame_bytes
				 ? a->frame_bytes
				 : s->config.frame_bytes;
	s->slice_bytes = a->slice_bytes;
	s->slices_max = a->slices < s->config.nr_slices ? a->slices
							: s->config.nr_slices;
	s->credit = a->credit;
	s->epoch = 0;
	s->tx = s->tx_seen = s->ack_seen = 0;
	s->tx_seen_sent_ns = 0;
	s->heard_ns = now_ns;
	s->timeouts = 0;
	s->owed = false;
	s->timer_ns = now_ns + KEEPALIVE_NS;
	s->reopen_ns = s->config.reopen_min_ns;
	hs_ship_pace_init(&s->pace, s->config.limit_per_s, s->frame_bytes,
			  now_ns);
	s->ops->up(s->ctx, a->node);
}

void hs_ship_sender_close(struct hs_ship_sender *s)
{
	const struct hs_ship_close bye = {.reason = HS_SHIP_BYE};
	uint8_t frame[sizeof(struct hs_ship_header) + sizeof(bye)];

	if (s->state == SENDER_UP)
		s->ops->send_frame(s->ctx, frame,
				   hs_ship_frame_small(&s->config.auth, frame,
						       HS_SHIP_CLOSE, s->peer,
						       s->connection, &bye,
						       sizeof(bye)),
				   NULL, 0);
	HS_REACHED(HS_MACHINE_SENDER, s->state, SENDER_CLOSED);
	s->state = SENDER_CLOSED;
}

/* ---- what an ACK says -----------------------------------------------------
 */

static void mark_lost(struct hs_ship_sender *s, struct sender_frame *f)
{
	if (f->state == FRAME_FLYING) {
		hs_ship_pace_lost(&s->pace, f->sent_bytes);
		s->stats.frames_lost++;
	}
	if (f->state != FRAME_LOST)
		s->nr_lost++;
	HS_REACHED(HS_MACHINE_FRAME, f->state, FRAME_LOST);
	f->state = FRAME_LOST;
}

/* Return: whether it is the latest to have gone of those that came. */
static bool mark_here(struct hs_ship_sender *s, struct sender_frame *f,
		      uint64_t latest_tx)
{
	bool was_flying = f->state == FRAME_FLYING;

	if (f->state == FRAME_HERE)
		return false;
	if (was_flying)
		hs_ship_pace_acked(&s->pace, f->sent_bytes);
	else
		s->nr_lost--;
	HS_REACHED(HS_MACHINE_FRAME, f->state, FRAME_HERE);
	f->state = FRAME_HERE;
	return was_flying && f->tx > latest_tx;
}

static bool sack_bit(const struct hs_ship_view *view, uint64_t i)
{
	return i / 8 < view->u.ack.nr_sack_bytes &&
	       view->rows[i / 8] >> (i % 8) & 1;
}

static void take_sack(struct hs_ship_sender *s, const struct hs_ship_view *view,
		      uint64_t now_ns)
{
	const struct hs_ship_ack *ack = &view->u.ack;
	/* Behind its bits nothing came. */
	uint64_t upto = ack->first + 8u * ack->nr_sack_bytes;
	struct hs_ship_stamp latest;
	uint64_t latest_tx = 0;

	if (upto > s->next)
		upto = s->next;
	for (uint64_t nr = s->first; nr < upto; nr++) {
		struct sender_frame *f = sender_frame(s, nr);

		if (nr >= ack->first &&
		    !sack_bit(view, nr - ack->first + HS_PLANTED(44)))
			continue;
		if (mark_here(s, f, latest_tx)) {
			latest_tx = f->tx;
			latest = f->stamp;
		}
	}
	s->first = ack->first;
	if (latest_tx)
		hs_ship_pace_sample(&s->pace, &latest, now_ns);
}

static void find_lost(struct hs_ship_sender *s, uint64_t now_ns)
{
	uint64_t slack = s->pace.rtt_least_ns / 4;
	uint64_t patience = s->pace.rtt_smooth_ns + slack;

	for (uint64_t nr = s->first; nr < s->next; nr++) {
		struct sender_frame *f = sender_frame(s, nr);

		if (f->tx + REORDER_TX >= s->tx_seen) {
			/* All behind one that went once went after it. */
			if (f->again == 1)
				break;
			continue;
		}
		if (f->state != FRAME_FLYING)
			continue;
		if (f->sent_ns + slack < s->tx_seen_sent_ns ||
		    f->sent_ns + patience <= now_ns)
			mark_lost(s, f);
	}
}

/* The collector got other bytes than were summed: they go anew. */
static void send_anew(struct hs_ship_sender *s, uint64_t nr)
{
	struct sender_slice *anew = sender_slice(s, nr);
	struct hs_ship_slice *slice = &anew->slice;

	s->epoch++;
	s->stats.slices_anew++;
	if (++anew->anew >= ANEW_COPY && !slice->copy &&
	    s->ops->copy(s->ctx, slice)) {
		slice->head.flags |= HS_WIRE_F_MODIFIED;
		s->stats.slices_modified++;
	}
	hs_ship_send_sum(s, anew);
	for (uint64_t i = s->first; i < s->next; i++) {
		struct sender_frame *f = sender_frame(s, i);

		if (f->slice <= nr && nr - f->slice < f->nr_parts)
			mark_lost(s, f);
	}
}

static bool refused(const struct hs_ship_view *view, uint64_t nr)
{
	const uint8_t *p = view->rows + view->u.ack.nr_sack_bytes;

	for (uint32_t i = 0; i < view->u.ack.nr_refused; i++) {
		uint64_t one;

		memcpy(&one, p + i * sizeof(one), sizeof(one));
		if (one == nr)
			return true;
	}
	return false;
}

static void take_settled(struct hs_ship_sender *s,
			 const struct hs_ship_view *view)
{
	uint64_t upto = view->u.ack.settled;
	uint64_t held = s->cut_slice;

	/* A frame that may have to go again needs all of its slices. */
	if (s->first < s->next)
		held = sender_frame(s, s->first)->slice;
	if (upto > held || HS_PLANTED(41))
		upto = held;
	while (s->settled < upto) {
		const struct hs_ship_slice *slice =
			&sender_slice(s, s->settled)->slice;
		bool no = !HS_PLANTED(47) && refused(view, s->settled);

		s->settled++;
		s->stats.slices_settled++;
		s->stats.slices_refused += no;
		s->ops->settled(s->ctx, slice, no);
	}
}

static bool ack_sane(const struct hs_ship_sender *s,
		     const struct hs_ship_ack *ack)
{
	return ack->first >= s->first && ack->first <= s->next &&
	       ack->tx <= s->tx && ack->settled <= s->next_slice &&
	       ack->epoch <= s->epoch + 1 &&
	       (ack->epoch <= s->epoch ||
		(ack->bad >= s->settled && ack->bad < s->cut_slice));
}

static void take_ack(struct hs_ship_sender *s, const struct hs_ship_view *view,
		     uint64_t now_ns)
{
	const struct hs_ship_ack *ack = &view->u.ack;
	uint64_t away;

	if (ack->ack <= s->ack_seen) {
		s->stats.acks_old++;
		return;
	}
	if (!ack_sane(s, ack)) {
		s->stats.frames_bad++;
		return;
	}
	s->ack_seen = ack->ack;
	s->stats.acks++;
	s->heard_ns = now_ns;
	s->timeouts = 0;
	if (ack->tx > s->tx_seen && ack->echo_ns <= now_ns) {
		away = now_ns - ack->echo_ns;
		s->tx_seen = ack->tx;
		s->tx_seen_sent_ns = ack->echo_ns;
		hs_ship_pace_rtt(&s->pace,
				 away > ack->held_ns ? away - ack->held_ns : 1,
				 now_ns);
	}
	take_sack(s, view, now_ns);
	if (ack->credit > s->credit)
		s->credit = ack->credit;
	if (ack->epoch > s->epoch)
		send_anew(s, ack->bad);
	find_lost(s, now_ns);
	take_settled(s, view);
	s->owed = s->pace.in_flight_bytes > 0;
	s->timer_ns = now_ns + hs_ship_pace_timeout(&s->pace);
}

void hs_ship_sender_frame(struct hs_ship_sender *s, const void *frame,
			  uint32_t frame_bytes, uint64_t now_ns)
{
	struct hs_ship_view view;
	const char *why;

	if (s->state == SENDER_CLOSED)
		return;
	if (hs_ship_frame_parse(&view, frame, frame_bytes, &why) ||
	    !hs_ship_frame_authentic(&s->config.auth, frame, frame_bytes)) {
		s->stats.frames_bad++;
		return;
	}
	if (view.header.type == HS_SHIP_ACCEPT) {
		accepted(s, &view, now_ns);
		return;
	}
	if (!s->connection || view.header.to != s->connection ||
	    (s->state == SENDER_UP && view.header.from &&
	     view.header.from != s->peer)) {
		s->stats.frames_bad++;
		return;
	}
	if (view.header.type == HS_SHIP_CLOSE)
		go_down(s, hs_ship_reason_text(view.u.close.reason), now_ns);
	else if (view.header.type == HS_SHIP_ACK && s->state == SENDER_UP)
		take_ack(s, &view, now_ns);
	else
		s->stats.frames_bad++;
}

/* ---- time -----------------------------------------------------------------
 */

static bool anything_cut(const struct hs_ship_sender *s)
{
	return s->cut_slice < s->next_slice;
}

/* Something went that must be answered; the patience for it begins once. */
static void owe(struct hs_ship_sender *s, uint64_t now_ns)
{
	if (s->owed)
		return;
	s->owed = true;
	s->heard_ns = now_ns;
	s->timer_ns = now_ns + hs_ship_pace_timeout(&s->pace);
}

/* Nothing came for too long: the oldest goes again, or a question. */
static void timer(struct hs_ship_sender *s, uint64_t now_ns)
{
	uint64_t ns = hs_ship_pace_timeout(&s->pace) << s->timeouts;
	uint64_t nr = s->first;

	if (s->owed) {
		s->stats.timeouts++;
		if (s->timeouts < 8)
			s->timeouts++;
	}
	while (nr < s->next && sender_frame(s, nr)->state != FRAME_FLYING)
		nr++;
	if (nr < s->next) {
		mark_lost(s, sender_frame(s, nr));
		/* It goes whatever the window says: all else may be lost. */
		hs_ship_send_again(s, nr, now_ns);
	} else {
		hs_ship_send_ask(s, now_ns);
		if (s->settled < s->next_slice && ns < SETTLE_ASK_NS)
			ns = SETTLE_ASK_NS;
	}
	owe(s, now_ns);
	s->timer_ns = now_ns + (ns < TIMER_MAX_NS ? ns : TIMER_MAX_NS);
}

static void send_all(struct hs_ship_sender *s, uint64_t now_ns)
{
	uint64_t nr = s->first;
	uint64_t before = s->stats.frames_sent;

	while (s->nr_lost && hs_ship_pace_may(&s->pace, now_ns)) {
		while (sender_frame(s, nr)->state != FRAME_LOST)
			nr++;
		if (!hs_ship_send_again(s, nr, now_ns))
			break;
	}
	while (!s->nr_lost && anything_cut(s) &&
	       s->next - s->first < s->config.nr_frames &&
	       hs_ship_pace_may(&s->pace, now_ns)) {
		if (s->next >= s->credit) {
			s->stats.out_of_credit++;
			break;
		}
		if (!hs_ship_send_next(s, now_ns))
			break;
	}
	if (!s->nr_lost && !anything_cut(s))
		hs_ship_pace_idle(&s->pace);
	if (s->stats.frames_sent != before)
		owe(s, now_ns);
}

/* When nothing is owed there may still be something to wait for. */
static uint64_t wait_until(const struct hs_ship_sender *s)
{
	uint64_t at = s->timer_ns, pace;

	if (!s->nr_lost && (!anything_cut(s) || s->next >= s->credit ||
			    s->next - s->first >= s->config.nr_frames))
		return at;
	pace = hs_ship_pace_next(&s->pace);
	return pace < at ? pace : at;
}

uint64_t hs_ship_sender_run(struct hs_ship_sender *s, uint64_t now_ns)
{
	if (s->state == SENDER_CLOSED)
		return UINT64_MAX;
	if (s->state == SENDER_UP && s->owed &&
	    now_ns - s->heard_ns > s->config.dead_ns)
		go_down(s, "no answer", now_ns);
	if (s->state == SENDER_OPENING) {
		if (now_ns >= s->due_ns)
			open_again(s, now_ns);
		return s->due_ns;
	}
	if (now_ns >= s->timer_ns)
		timer(s, now_ns);
	send_all(s, now_ns);
	if (!s->owed) {
		uint64_t ask =
			s->settled < s->next_slice || (anything_cut(s) &&
						       s->next >= s->credit)
				? SETTLE_ASK_NS
				: KEEPALIVE_NS;

		s->timer_ns = s->heard_ns + ask;
	}
	return wait_until(s);
}

/* ---- for people and tests -------------------------------------------------
 */

void hs_ship_sender_stats_get(const struct hs_ship_sender *s,
			      struct hs_ship_sender_stats *out)
{
	*out = s->stats;
	out->rtt_ns = s->pace.rtt_smooth_ns;
	out->rate_per_s = s->pace.rate_now > s->pace.rate_before
				  ? s->pace.rate_now
				  : s->pace.rate_before;
	out->window_bytes = s->pace.window_bytes;
	out->in_flight_bytes = s->pace.in_flight_bytes;
	out->unsettled = (uint32_t)(s->next_slice - s->settled);
	out->slice_bytes = s->slice_bytes;
	out->up = s->state == SENDER_UP;
}

bool hs_ship_sender_check(const struct hs_ship_sender *s, const char **why)
{
	struct hs_ship_sender *any = (struct hs_ship_sender *)(uintptr_t)s;
	uint64_t flying = 0, lost = 0;

	if (s->state != SENDER_UP)
		return true;
	for (uint64_t nr = s->first; nr < s->next; nr++) {
		const struct sender_frame *f = sender_frame(any, nr);

		flying += f->state == FRAME_FLYING ? f->sent_bytes : 0;
		lost += f->state == FRAME_LOST;
		*why = "a frame under way has no state";
		if (f->state == FRAME_NONE)
			return false;
		*why = "a frame needs a slice that was settled";
		if (f->slice < s->settled)
			return false;
	}
	*why = "bytes under way do not add up";
	if (flying != s->pace.in_flight_bytes)
		return false;
	*why = "lost frames do not add up";
	if (lost != s->nr_lost)
		return false;
	*why = "slices or frames out of order";
	return s->settled <= s->cut_slice && s->cut_slice <= s->next_slice &&
	       s->next <= s->credit &&
	       s->next - s->first <= s->config.nr_frames;
}
