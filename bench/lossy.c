/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: a port that loses, repeats and swaps shares of the frames sent
 * through it, for ways whose kernel cannot. One at each end does it to
 * acknowledgements too.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/random.h"
#include "bench/ship.h"
#include "ship/port.h"

/* Kept back, to go behind the one that comes after it. */
struct held {
	bool is;
	struct hs_ship_address to;
	uint8_t head[HS_SHIP_FRAME_MAX_BYTES];
	uint32_t head_bytes, nr_spans;
	struct hs_ship_port_span spans[HS_SHIP_PARTS_MAX];
};

struct lossy {
	struct hs_ship_port port;
	struct hs_ship_port *under;
	struct hs_random random;
	struct hs_bench_badness bad;
	struct held held;
};

static struct hs_ship_port *under(const struct hs_ship_port *p)
{
	return ((const struct lossy *)p)->under;
}

static int pass(struct lossy *l, const struct hs_ship_address *to,
		const void *head, uint32_t head_bytes,
		const struct hs_ship_port_span *spans, uint32_t nr_spans)
{
	return l->under->ops->send(l->under, to, head, head_bytes, spans,
				   nr_spans);
}

/* One that finds no room by now is lost, too. */
static void let_go(struct lossy *l)
{
	struct held *h = &l->held;

	if (h->is)
		(void)pass(l, &h->to, h->head, h->head_bytes, h->spans,
			   h->nr_spans);
	h->is = false;
}

static void hold(struct lossy *l, const struct hs_ship_address *to,
		 const void *head, uint32_t head_bytes,
		 const struct hs_ship_port_span *spans, uint32_t nr_spans)
{
	struct held *h = &l->held;

	hs_check(head_bytes <= sizeof(h->head) &&
		 nr_spans <= HS_SHIP_PARTS_MAX);
	h->is = true;
	h->to = *to;
	h->head_bytes = head_bytes;
	h->nr_spans = nr_spans;
	memcpy(h->head, head, head_bytes);
	if (nr_spans) /* an acknowledgement has none, and no array of them */
		memcpy(h->spans, spans, nr_spans * sizeof(*spans));
}

static int lossy_send(struct hs_ship_port *p, const struct hs_ship_address *to,
		      const void *head, uint32_t head_bytes,
		      const struct hs_ship_port_span *spans, uint32_t nr_spans)
{
	struct lossy *l = (struct lossy *)p;
	int rc;

	if (hs_random_chance(&l->random, l->bad.loss))
		return 0;
	if (!l->held.is && hs_random_chance(&l->random, l->bad.swap)) {
		hold(l, to, head, head_bytes, spans, nr_spans);
		return 0;
	}
	rc = pass(l, to, head, head_bytes, spans, nr_spans);
	if (!rc && hs_random_chance(&l->random, l->bad.repeat))
		(void)pass(l, to, head, head_bytes, spans, nr_spans);
	let_go(l);
	return rc;
}

/* Nothing is kept for longer than a burst: it would be late, not swapped. */
static void lossy_flush(struct hs_ship_port *p)
{
	let_go((struct lossy *)p);
	under(p)->ops->flush(under(p));
}

static uint32_t lossy_receive(struct hs_ship_port *p,
			      struct hs_ship_port_frame *frames, uint32_t nr)
{
	return under(p)->ops->receive(under(p), frames, nr);
}

static void lossy_release(struct hs_ship_port *p, void *handle)
{
	under(p)->ops->release(under(p), handle);
}

static int lossy_fd(const struct hs_ship_port *p)
{
	return under(p)->ops->fd(under(p));
}

static int lossy_resolve(struct hs_ship_port *p, const char *text,
			 struct hs_ship_address *out, uint32_t *frame_bytes,
			 const char **why)
{
	return under(p)->ops->resolve(under(p), text, out, frame_bytes, why);
}

static int lossy_memory(struct hs_ship_port *p, void *base, uint64_t bytes,
			uint64_t page_bytes)
{
	const struct hs_ship_port_ops *ops = under(p)->ops;

	return ops->memory ? ops->memory(under(p), base, bytes, page_bytes) : 0;
}

static void lossy_stats(const struct hs_ship_port *p,
			struct hs_ship_port_stats *out)
{
	under(p)->ops->stats(under(p), out);
}

static void lossy_destroy(struct hs_ship_port *p)
{
	under(p)->ops->destroy(under(p));
	free(p);
}

static const struct hs_ship_port_ops lossy_ops = {
	.name = "lossy",
	.send = lossy_send,
	.flush = lossy_flush,
	.receive = lossy_receive,
	.release = lossy_release,
	.fd = lossy_fd,
	.resolve = lossy_resolve,
	.memory = lossy_memory,
	.stats = lossy_stats,
	.destroy = lossy_destroy,
};

struct hs_ship_port *hs_bench_lossy(struct hs_ship_port *under,
				    const struct hs_bench_badness *bad)
{
	struct lossy *l = calloc(1, sizeof(*l));

	hs_check(l);
	l->port.ops = &lossy_ops;
	l->under = under;
	l->bad = *bad;
	hs_random_seed(&l->random, 1);
	return &l->port;
}
