/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see outlet.h. */
#include "ship/outlet.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/random.h"

#define BURST 64u
/* A port that takes nothing says by its descriptor when it does again; what is
 * due meanwhile waits so long. */
#define BLOCKED_NS HS_NS_PER_MS

struct way {
	struct hs_ship_outlet *outlet;
	uint32_t nr;
	struct hs_ship_address to;
	struct hs_ship_sender *sender;
	/* Private copies; hardly ever one. */
	void **copies;
	uint32_t nr_copies, cap_copies;
};

struct hs_ship_outlet {
	struct hs_ship_port *port;
	struct hs_ship_outlet_config config;
	const struct hs_ship_outlet_ops *ops;
	void *ctx;
	struct way ways[HS_SHIP_OUTLET_COLLECTORS_MAX];
	uint32_t nr_ways;
	bool blocked; /* the port took no more, this time */
};

static const void *bytes(void *ctx, const struct hs_ship_slice *slice)
{
	struct way *w = ctx;

	return slice->copy ? slice->copy
			   : w->outlet->ops->bytes(w->outlet->ctx, slice);
}

static bool send_frame(void *ctx, const void *head, uint32_t head_bytes,
		       const struct hs_ship_piece *pieces, uint32_t nr_pieces)
{
	struct way *w = ctx;
	struct hs_ship_port *port = w->outlet->port;
	struct hs_ship_port_span spans[HS_SHIP_PARTS_MAX];

	for (uint32_t i = 0; i < nr_pieces; i++) {
		const struct hs_ship_slice *slice = pieces[i].slice;

		spans[i] = (struct hs_ship_port_span){
			.data = (const uint8_t *)bytes(w, slice) +
				pieces[i].offset,
			.bytes = pieces[i].bytes,
			/* A private copy is gone once it is settled. */
			.users = slice->copy ? NULL : slice->users,
		};
	}
	if (!port->ops->send(port, &w->to, head, head_bytes, spans, nr_pieces))
		return true;
	w->outlet->blocked = true;
	return false;
}

static bool copy(void *ctx, struct hs_ship_slice *slice)
{
	struct way *w = ctx;
	uint32_t length = slice->head.length_bytes;
	void *made, **more;

	if (w->nr_copies == w->cap_copies) {
		uint32_t cap = w->cap_copies ? 2 * w->cap_copies : 8;

		more = realloc(w->copies, cap * sizeof(*more));
		if (!more)
			return false;
		w->copies = more;
		w->cap_copies = cap;
	}
	made = malloc(length ? length : 1);
	if (!made)
		return false;
	memcpy(made, bytes(w, slice), length);
	w->copies[w->nr_copies++] = made;
	slice->copy = made;
	return true;
}

static void copy_free(struct way *w, const void *made)
{
	for (uint32_t i = 0; i < w->nr_copies; i++) {
		if (w->copies[i] != made)
			continue;
		free(w->copies[i]);
		w->copies[i] = w->copies[--w->nr_copies];
		return;
	}
}

static void settled(void *ctx, const struct hs_ship_slice *slice, bool refused)
{
	struct way *w = ctx;

	if (slice->copy)
		copy_free(w, slice->copy);
	w->outlet->ops->settled(w->outlet->ctx, slice, refused);
}

static void up(void *ctx, uint64_t node)
{
	struct way *w = ctx;

	w->outlet->ops->up(w->outlet->ctx, w->nr, node);
}

static void down(void *ctx, const char *why)
{
	struct way *w = ctx;

	/* The port may still hold frames that lie in them. */
	w->outlet->port->ops->flush(w->outlet->port);
	while (w->nr_copies)
		free(w->copies[--w->nr_copies]);
	w->outlet->ops->down(w->outlet->ctx, w->nr, why);
}

static const struct hs_ship_sender_ops sender_ops = {
	.send_frame = send_frame,
	.bytes = bytes,
	.copy = copy,
	.settled = settled,
	.up = up,
	.down = down,
};

struct hs_ship_outlet *
hs_ship_outlet_create(struct hs_ship_port *port,
		      const struct hs_ship_outlet_config *config,
		      const struct hs_ship_outlet_ops *ops, void *ctx)
{
	struct hs_ship_outlet *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	o->port = port;
	o->config = *config;
	o->ops = ops;
	o->ctx = ctx;
	return o;
}

int hs_ship_outlet_dial(struct hs_ship_outlet *o, const char *address,
			uint64_t now_ns, const char **why)
{
	struct way *w = &o->ways[o->nr_ways];
	struct hs_ship_sender_config config = o->config.sender;
	uint32_t way_bytes;
	uint64_t random;
	void *memory;
	int rc;

	*why = "more collectors than can be";
	if (o->nr_ways == HS_SHIP_OUTLET_COLLECTORS_MAX)
		return -ENOSPC;
	rc = o->port->ops->resolve(o->port, address, &w->to, &way_bytes, why);
	if (rc)
		return rc;
	if (!config.frame_bytes || config.frame_bytes > way_bytes)
		config.frame_bytes = way_bytes;
	*why = "no randomness, or no memory";
	rc = hs_random_secure(&random, sizeof(random));
	memory = calloc(1, hs_ship_sender_size(&config));
	if (rc || !memory) {
		free(memory);
		return rc ? rc : -ENOMEM;
	}
	w->outlet = o;
	w->nr = o->nr_ways;
	w->sender = hs_ship_sender_create(memory, &config, &sender_ops, w,
					  random, now_ns);
	if (!w->sender) {
		free(memory);
		*why = "frame_bytes should be 576 to 9216, and sizes powers "
		       "of two";
		return -EINVAL;
	}
	return (int)o->nr_ways++;
}

int hs_ship_outlet_add(struct hs_ship_outlet *o, uint32_t nr,
		       const struct hs_ship_slice *slice)
{
	return nr < o->nr_ways ? hs_ship_sender_add(o->ways[nr].sender, slice)
			       : -ENOTCONN;
}

static void receive(struct hs_ship_outlet *o, uint64_t now_ns)
{
	struct hs_ship_port_frame frames[BURST];
	uint32_t nr;

	do {
		nr = o->port->ops->receive(o->port, frames, BURST);
		for (uint32_t i = 0; i < nr; i++) {
			const struct hs_ship_port_frame *f = &frames[i];

			/* Each looks for its own number in it; there are few
			 * collectors and fewer frames from them. */
			for (uint32_t k = 0; k < o->nr_ways; k++)
				if (!memcmp(&o->ways[k].to, &f->from,
					    sizeof(f->from)))
					hs_ship_sender_frame(o->ways[k].sender,
							     f->data, f->bytes,
							     now_ns);
			o->port->ops->release(o->port, f->handle);
		}
	} while (nr == BURST);
}

uint64_t hs_ship_outlet_run(struct hs_ship_outlet *o, uint64_t now_ns)
{
	uint64_t at_ns = UINT64_MAX;

	o->blocked = false;
	receive(o, now_ns);
	for (uint32_t i = 0; i < o->nr_ways; i++) {
		uint64_t one = hs_ship_sender_run(o->ways[i].sender, now_ns);

		at_ns = one < at_ns ? one : at_ns;
	}
	o->port->ops->flush(o->port);
	if (o->blocked && at_ns < now_ns + BLOCKED_NS)
		at_ns = now_ns + BLOCKED_NS;
	return at_ns;
}

int hs_ship_outlet_fd(const struct hs_ship_outlet *o)
{
	return o->port->ops->fd(o->port);
}

void hs_ship_outlet_stats(const struct hs_ship_outlet *o, uint32_t nr,
			  struct hs_ship_sender_stats *sender,
			  struct hs_ship_port_stats *port)
{
	memset(sender, 0, sizeof(*sender));
	if (nr < o->nr_ways)
		hs_ship_sender_stats_get(o->ways[nr].sender, sender);
	o->port->ops->stats(o->port, port);
}

void hs_ship_outlet_destroy(struct hs_ship_outlet *o)
{
	if (!o)
		return;
	for (uint32_t i = 0; i < o->nr_ways; i++)
		hs_ship_sender_close(o->ways[i].sender);
	o->port->ops->flush(o->port);
	o->port->ops->destroy(o->port);
	for (uint32_t i = 0; i < o->nr_ways; i++) {
		while (o->ways[i].nr_copies)
			free(o->ways[i].copies[--o->ways[i].nr_copies]);
		free(o->ways[i].copies);
		free(o->ways[i].sender);
	}
	free(o);
}
