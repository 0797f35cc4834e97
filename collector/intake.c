/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see intake.h. */
#include "collector/intake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "ship/inlet.h"
#include "ship/key.h"

#define LOG	 "collector"
#define BURST	 2048u
#define LIFE_MAX 0x7fffu
#define POLL_NS	 (50 * HS_NS_PER_US)

struct hs_intake {
	struct hs_collector *collector;
	struct hs_ship_inlet *inlet;
	struct hs_ship_key *key;
	/* A place that another agent has got is another peer. */
	uint16_t lives[HS_SHIP_CONNECTIONS_MAX];
	bool up[HS_SHIP_CONNECTIONS_MAX];
	bool settled; /* something, that nobody was told of */
	const char *carrier, *why;
	uint64_t now_ns;
	struct {
		struct hs_wire_slice head;
		uint8_t bytes[HS_WIRE_SLICE_MAX_BYTES];
	} message;
};

static uint32_t peer_of(const struct hs_intake *intake, uint32_t connection)
{
	return HS_INTAKE_PEER | (uint32_t)intake->lives[connection] << 16 |
	       connection;
}

static enum hs_ship_verdict on_slice(void *ctx, uint32_t connection,
				     const struct hs_wire_slice *head,
				     const struct hs_ship_span *spans,
				     uint32_t nr_spans)
{
	struct hs_intake *intake = ctx;
	uint32_t used = 0;
	int rc;

	intake->message.head = *head;
	for (uint32_t i = 0; i < nr_spans; i++) {
		memcpy(intake->message.bytes + used, spans[i].data,
		       spans[i].bytes);
		used += spans[i].bytes;
	}
	/* Without room the frames stay with the carrier, and credit ends. */
	rc = hs_collector_offer(intake->collector, peer_of(intake, connection),
				HS_WIRE_SLICE, &intake->message,
				(uint32_t)sizeof(*head) + used, intake->now_ns);
	/* What it refused it has answered, and so settled. */
	return rc == 0 || rc == HS_ASSEMBLY_REFUSED ? HS_SHIP_TAKEN
						    : HS_SHIP_BUSY;
}

static void on_up(void *ctx, uint32_t connection, uint64_t node)
{
	struct hs_intake *intake = ctx;

	intake->up[connection] = true;
	hs_log_info(LOG, "agent %016llx ships", (unsigned long long)node);
	hs_collector_node_up(intake->collector, node, intake->now_ns);
}

static void on_down(void *ctx, uint32_t connection, const char *why)
{
	struct hs_intake *intake = ctx;

	hs_log_info(LOG, "an agent ships no more: %s", why);
	intake->up[connection] = false;
	intake->lives[connection] =
		(uint16_t)((intake->lives[connection] + 1) & LIFE_MAX);
}

static const struct hs_ship_inlet_ops inlet_ops = {on_slice, on_up, on_down};

int hs_intake_ack(struct hs_intake *intake, uint32_t peer,
		  const struct iovec *iov, int nr_iov)
{
	uint32_t connection = peer & 0xffff;
	struct {
		struct hs_wire_slice_ack head;
		uint64_t keys[HS_WIRE_ACKS_MAX];
	} ack;
	size_t used = 0;

	if (!intake->up[connection] || peer != peer_of(intake, connection))
		return -ENOTCONN;
	for (int i = 0; i < nr_iov; i++) {
		if (iov[i].iov_len > sizeof(ack) - used)
			return -EMSGSIZE;
		memcpy((uint8_t *)&ack + used, iov[i].iov_base, iov[i].iov_len);
		used += iov[i].iov_len;
	}
	intake->settled = true;
	for (uint32_t i = 0; i < ack.head.nr; i++)
		hs_ship_inlet_settle(intake->inlet, connection, ack.keys[i],
				     ack.head.refused);
	return 0;
}

int hs_intake_make(struct hs_intake **out,
		   const struct hs_ship_settings *settings,
		   const struct hs_transport_settings *transport, uint64_t node,
		   struct hs_collector *collector)
{
	struct hs_ship_receiver_config config = {
		.node = node,
		.frame_bytes = settings->frame_bytes
				       ? (uint32_t)settings->frame_bytes
				       : HS_SHIP_FRAME_MAX_BYTES,
		.nr_connections = (uint32_t)settings->nr_connections,
		.nr_frames = (uint32_t)settings->nr_frames};
	const struct hs_ship_trust trust = {
		transport->tls_ca, transport->tls_cert, transport->tls_key,
		transport->tls_bind};
	struct hs_ship_port_wants wants = {
		.listens = true,
		.nr_frames = (uint32_t)settings->nr_frames,
		.buffer_bytes = 16u << 20,
		.trust = &trust};
	char error[HS_SHIP_KEY_ERROR_BYTES];
	struct hs_intake *intake;
	struct hs_ship_port *port;
	const char *why;

	*out = NULL;
	if (settings->carrier == HS_SHIP_CARRIER_TRANSPORT)
		return 0;
	intake = calloc(1, sizeof(*intake));
	if (!intake)
		return -ENOMEM;
	intake->collector = collector;
	wants.carrier = hs_ship_carrier_choose(settings, &trust, &intake->why);
	if (transport->key_file) {
		intake->key = hs_ship_key_open(transport->key_file, error);
		if (!intake->key) {
			int rc = -errno;

			hs_log_error(LOG, "%s", error);
			free(intake);
			return rc;
		}
		config.auth = hs_ship_key_auth(intake->key);
	}
	port = hs_ship_port_make(settings, &wants, &why);
	if (!port) {
		int rc = errno ? -errno : -EINVAL;

		hs_log_error(LOG, "ship: %s: %s (%s)", settings->bind, why,
			     strerror(-rc));
		hs_ship_key_close(intake->key);
		free(intake);
		return rc;
	}
	intake->inlet = hs_ship_inlet_create(port, &config, &inlet_ops, intake,
					     hs_clock_mono_ns());
	if (!intake->inlet) {
		int rc = -errno;

		hs_log_error(LOG,
			     "ship: no memory, or a frame under 576 bytes");
		port->ops->destroy(port);
		hs_ship_key_close(intake->key);
		free(intake);
		return rc;
	}
	intake->carrier = hs_ship_carrier_names[wants.carrier];
	hs_log_info(LOG, "slices come to %s by %s: %s", settings->bind,
		    intake->carrier, intake->why);
	*out = intake;
	return 0;
}

void hs_intake_free(struct hs_intake *intake)
{
	if (!intake)
		return;
	hs_ship_inlet_destroy(intake->inlet);
	hs_ship_key_close(intake->key);
	free(intake);
}

int hs_intake_fd(const struct hs_intake *intake)
{
	return intake ? hs_ship_inlet_fd(intake->inlet) : -1;
}

uint64_t hs_intake_bytes(const struct hs_intake *intake)
{
	return intake ? hs_ship_inlet_bytes(intake->inlet) : 0;
}

static uint64_t until(const struct hs_intake *intake, uint64_t at_ns,
		      uint64_t now_ns)
{
	if (hs_intake_fd(intake) < 0) /* a port that has to be polled */
		return POLL_NS;
	return at_ns > now_ns ? at_ns - now_ns : 0;
}

uint64_t hs_intake_run(struct hs_intake *intake, uint64_t now_ns)
{
	uint32_t nr;
	uint64_t at_ns;

	if (!intake)
		return UINT64_MAX;
	intake->now_ns = now_ns;
	intake->settled = false;
	hs_ship_key_look(intake->key, now_ns);
	at_ns = hs_ship_inlet_run(intake->inlet, BURST, &nr, now_ns);
	if (nr >= BURST || (nr && hs_intake_fd(intake) < 0))
		return 0;
	return until(intake, at_ns, now_ns);
}

uint64_t hs_intake_answer(struct hs_intake *intake, uint64_t now_ns)
{
	if (!intake || !intake->settled)
		return UINT64_MAX;
	intake->settled = false;
	return until(intake, hs_ship_inlet_answer(intake->inlet, now_ns),
		     now_ns);
}

json_t *hs_intake_json(const struct hs_intake *intake)
{
	struct hs_ship_receiver_stats r;
	struct hs_ship_port_stats p;

	if (!intake)
		return json_pack("{s:s, s:s}", "carrier", "transport", "why",
				 "configured");
	hs_ship_inlet_stats(intake->inlet, &r, &p);
	return json_pack(
		"{s:s, s:s, s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
		"s:I, "
		"s:I, s:I}",
		"carrier", intake->carrier, "why", intake->why, "key",
		intake->key != NULL, "tls", p.tls, "frames_forged",
		(json_int_t)r.frames_forged, "agents",
		(json_int_t)r.nr_connections, "frames", (json_int_t)r.frames,
		"frames_again", (json_int_t)r.frames_again, "frames_bad",
		(json_int_t)(r.frames_bad + r.frames_strange), "frames_kept",
		(json_int_t)r.nr_held, "frames_granted",
		(json_int_t)r.nr_granted, "dropped", (json_int_t)p.dropped,
		"slices", (json_int_t)r.slices, "bytes",
		(json_int_t)r.slice_bytes, "busy", (json_int_t)r.busy);
}
