/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see settings.h. */
#include "ship/settings.h"

#include <stddef.h>

#include "ship/port.h"

const char *const hs_ship_carrier_names[] = {
	[HS_SHIP_CARRIER_TRANSPORT] = "transport",
	[HS_SHIP_CARRIER_UDP] = "udp",
	[HS_SHIP_CARRIER_DPDK] = "dpdk",
	NULL,
};

struct hs_ship_port *hs_ship_port_make(const struct hs_ship_settings *settings,
				       uint32_t nr_frames,
				       uint32_t buffer_bytes, const char **why)
{
	const struct hs_ship_udp_config udp = {
		.bind = settings->bind,
		.nr_frames = nr_frames,
		.buffer_bytes = buffer_bytes,
		.dscp = (uint8_t)settings->dscp,
	};
	const struct hs_ship_dpdk_config dpdk = {
		.bind = settings->bind,
		.vdev = settings->vdev,
		.pci = settings->pci,
		.neighbours = settings->neighbours,
		.nr_frames = nr_frames,
		.mtu = (uint16_t)settings->mtu,
		.dscp = (uint8_t)settings->dscp,
		.cpu = (int)settings->cpu,
		.borrow = !settings->copies,
	};
	hs_ship_dpdk_create_fn create;

	if (settings->carrier == HS_SHIP_CARRIER_UDP)
		return hs_ship_udp_create(&udp, why);
	create = hs_ship_dpdk_load(why);
	return create ? create(&dpdk, why) : NULL;
}
