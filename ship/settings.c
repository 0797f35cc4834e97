/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see settings.h. */
#include "ship/settings.h"

#include <stddef.h>

const char *const hs_ship_carrier_names[] = {
	[HS_SHIP_CARRIER_TRANSPORT] = "transport",
	[HS_SHIP_CARRIER_UDP] = "udp",
	NULL,
};
