/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: a port that loses a share of the frames sent through it, for ways
 * whose kernel cannot. Losing at both ends loses acknowledgements too.
 */
#include <stdlib.h>

#include "base/check.h"
#include "base/random.h"
#include "bench/ship.h"
#include "ship/port.h"

struct lossy {
	struct hs_ship_port port;
	struct hs_ship_port *under;
	struct hs_random random;
	double loss;
};

static struct hs_ship_port *under(const struct hs_ship_port *p)
{
	return ((const struct lossy *)p)->under;
}

static int lossy_send(struct hs_ship_port *p, const struct hs_ship_address *to,
		      const void *head, uint32_t head_bytes,
		      const struct hs_ship_port_span *spans, uint32_t nr_spans)
{
	struct lossy *l = (struct lossy *)p;

	if (hs_random_chance(&l->random, l->loss))
		return 0;
	return l->under->ops->send(l->under, to, head, head_bytes, spans,
				   nr_spans);
}

static void lossy_flush(struct hs_ship_port *p)
{
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

struct hs_ship_port *hs_bench_lossy(struct hs_ship_port *port, double loss)
{
	struct lossy *l = calloc(1, sizeof(*l));

	hs_check(l);
	l->port.ops = &lossy_ops;
	l->under = port;
	l->loss = loss;
	hs_random_seed(&l->random, 1);
	return &l->port;
}
