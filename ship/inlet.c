/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see inlet.h. */
#include "ship/inlet.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

#define BURST 64u

struct hs_ship_inlet {
	struct hs_ship_port *port;
	const struct hs_ship_inlet_ops *ops;
	void *ctx;
	struct hs_ship_receiver *receiver;
	uint64_t bytes; /* of frames that came */
};

static void send_frame(void *ctx, const struct hs_ship_address *to,
		       const void *frame, uint32_t frame_bytes)
{
	struct hs_ship_inlet *i = ctx;

	/* What finds no room is lost; the next ACK says it again. */
	(void)i->port->ops->send(i->port, to, frame, frame_bytes, NULL, 0);
}

static enum hs_ship_verdict slice(void *ctx, uint32_t connection,
				  const struct hs_wire_slice *head,
				  const struct hs_ship_span *spans,
				  uint32_t nr_spans)
{
	struct hs_ship_inlet *i = ctx;

	return i->ops->slice(i->ctx, connection, head, spans, nr_spans);
}

static void release(void *ctx, void *handle)
{
	struct hs_ship_inlet *i = ctx;

	i->port->ops->release(i->port, handle);
}

static void up(void *ctx, uint32_t connection, uint64_t node)
{
	struct hs_ship_inlet *i = ctx;

	i->ops->up(i->ctx, connection, node);
}

static void down(void *ctx, uint32_t connection, const char *why)
{
	struct hs_ship_inlet *i = ctx;

	i->ops->down(i->ctx, connection, why);
}

static const struct hs_ship_receiver_ops receiver_ops = {
	.send_frame = send_frame,
	.slice = slice,
	.release = release,
	.up = up,
	.down = down,
};

struct hs_ship_inlet *hs_ship_inlet_create(
	struct hs_ship_port *port, const struct hs_ship_receiver_config *config,
	const struct hs_ship_inlet_ops *ops, void *ctx, uint64_t now_ns)
{
	struct hs_ship_inlet *i = calloc(1, sizeof(*i));
	void *memory = calloc(1, hs_ship_receiver_size(config));
	uint64_t random;

	errno = ENOMEM;
	if (!i || !memory || hs_random_secure(&random, sizeof(random)))
		goto failed;
	i->port = port;
	i->ops = ops;
	i->ctx = ctx;
	i->receiver = hs_ship_receiver_create(memory, config, &receiver_ops, i,
					      random, now_ns);
	errno = EINVAL;
	if (!i->receiver)
		goto failed;
	return i;

failed:
	free(memory);
	free(i);
	return NULL;
}

void hs_ship_inlet_settle(struct hs_ship_inlet *i, uint32_t connection,
			  uint64_t ship_key, bool refused)
{
	hs_ship_receiver_settle(i->receiver, connection, ship_key, refused);
}

uint64_t hs_ship_inlet_answer(struct hs_ship_inlet *i, uint64_t now_ns)
{
	uint64_t at_ns = hs_ship_receiver_run(i->receiver, now_ns);

	i->port->ops->flush(i->port);
	return at_ns;
}

uint64_t hs_ship_inlet_run(struct hs_ship_inlet *i, uint32_t upto_frames,
			   uint32_t *nr_frames, uint64_t now_ns)
{
	struct hs_ship_port_frame frames[BURST];
	uint32_t nr;

	*nr_frames = 0;
	do {
		nr = i->port->ops->receive(i->port, frames, BURST);
		for (uint32_t k = 0; k < nr; k++) {
			i->bytes += frames[k].bytes;
			hs_ship_receiver_frame(i->receiver, &frames[k].from,
					       frames[k].handle, frames[k].data,
					       frames[k].bytes, now_ns);
		}
		*nr_frames += nr;
	} while (nr == BURST && *nr_frames < upto_frames);
	return hs_ship_inlet_answer(i, now_ns);
}

uint64_t hs_ship_inlet_bytes(const struct hs_ship_inlet *i)
{
	return i->bytes;
}

int hs_ship_inlet_fd(const struct hs_ship_inlet *i)
{
	return i->port->ops->fd(i->port);
}

void hs_ship_inlet_stats(const struct hs_ship_inlet *i,
			 struct hs_ship_receiver_stats *receiver,
			 struct hs_ship_port_stats *port)
{
	hs_ship_receiver_stats_get(i->receiver, receiver);
	i->port->ops->stats(i->port, port);
}

void hs_ship_inlet_destroy(struct hs_ship_inlet *i)
{
	if (!i)
		return;
	hs_ship_receiver_close(i->receiver);
	i->port->ops->flush(i->port);
	i->port->ops->destroy(i->port);
	free(i->receiver);
	free(i);
}
