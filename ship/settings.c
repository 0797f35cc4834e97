/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see settings.h. */
#include "ship/settings.h"

#include <errno.h>
#include <stddef.h>

#include "base/user.h"
#include "ship/port.h"
#include "ship/port_lent.h"

#define IP_UDP_BYTES 28u

const char *const hs_ship_carrier_names[] = {
	[HS_SHIP_CARRIER_TRANSPORT] = "transport",
	[HS_SHIP_CARRIER_UDP] = "udp",
	[HS_SHIP_CARRIER_DPDK] = "dpdk",
	[HS_SHIP_CARRIER_TCP] = "tcp",
	[HS_SHIP_CARRIER_AUTO] = "auto",
	[HS_SHIP_CARRIER_LENT] = "lent",
	NULL,
};
const char *const hs_ship_collector_carrier_names[] = {
	[HS_SHIP_CARRIER_TRANSPORT] = "transport",
	[HS_SHIP_CARRIER_UDP] = "udp",
	[HS_SHIP_CARRIER_DPDK] = "dpdk",
	[HS_SHIP_CARRIER_TCP] = "tcp",
	[HS_SHIP_CARRIER_AUTO] = "auto",
	NULL,
};

enum hs_ship_carrier
hs_ship_carrier_choose(const struct hs_ship_settings *settings,
		       const struct hs_ship_trust *trust, const char **why)
{
	*why = "configured";
	if (settings->carrier != HS_SHIP_CARRIER_AUTO)
		return (enum hs_ship_carrier)settings->carrier;
	*why = "auto: there are certificates, and datagrams have no TLS";
	if (trust && trust->tls_cert)
		return HS_SHIP_CARRIER_TCP;
	*why = "auto: ship.vdev or ship.pci is set";
	if (settings->vdev || settings->pci)
		return HS_SHIP_CARRIER_DPDK;
	*why = "auto: ship.socket is set";
	if (settings->socket)
		return HS_SHIP_CARRIER_LENT;
	*why = "auto: neither certificates nor a DPDK port";
	return HS_SHIP_CARRIER_UDP;
}

struct hs_ship_port *hs_ship_port_make(const struct hs_ship_settings *settings,
				       const struct hs_ship_port_wants *wants,
				       const char **why)
{
	const struct hs_ship_udp_config udp = {
		.bind = settings->bind,
		.nr_frames = wants->nr_frames,
		.buffer_bytes = wants->buffer_bytes,
		.dscp = (uint8_t)settings->dscp,
	};
	const struct hs_ship_tcp_config tcp = {
		.bind = wants->listens ? settings->bind : NULL,
		.nr_connections = (uint32_t)settings->nr_connections,
		.nr_frames = wants->nr_frames,
		.dscp = (uint8_t)settings->dscp,
		.trust = wants->trust,
	};
	const struct hs_ship_dpdk_config dpdk = {
		.bind = settings->bind,
		.vdev = settings->vdev,
		.pci = settings->pci,
		.neighbours = settings->neighbours,
		.nr_frames = wants->nr_frames,
		.mtu = (uint16_t)settings->mtu,
		.dscp = (uint8_t)settings->dscp,
		.cpu = (int)settings->cpu,
		.borrow = !settings->copies,
	};
	hs_ship_dpdk_create_fn create;

	if (wants->carrier == HS_SHIP_CARRIER_UDP)
		return hs_ship_udp_create(&udp, why);
	if (wants->carrier == HS_SHIP_CARRIER_TCP)
		return hs_ship_tcp_create(&tcp, why);
	create = hs_ship_dpdk_load(why);
	return create ? create(&dpdk, why) : NULL;
}

int hs_ship_lent_settings(const struct hs_ship_settings *settings,
			  struct hs_ship_lent_config *out, const char **why)
{
	*out = (struct hs_ship_lent_config){
		.socket = settings->socket,
		.mode = (mode_t)settings->socket_mode,
		.frame_bytes = (uint32_t)settings->mtu - IP_UDP_BYTES,
	};
	*why = "ship.lenders should be users that there are, or numbers";
	for (size_t i = 0; i < settings->lenders.nr_items; i++)
		if (!hs_user_find(settings->lenders.items[i],
				  &out->lenders[out->nr_lenders++]))
			return -EINVAL;
	return 0;
}
