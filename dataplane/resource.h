/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: a resource is encoded once, when it is made; a trace that needs it
 * writes those bytes under an id of its own.
 */
#ifndef HS_DATAPLANE_RESOURCE_H
#define HS_DATAPLANE_RESOURCE_H

#include <stddef.h>
#include <stdint.h>

struct hs_resource {
	uint64_t hash;	     /* of the service, for operations */
	uint32_t service_at; /* in payload */
	uint32_t service_bytes;
	size_t size_bytes;
	uint8_t payload[]; /* of a RESOURCE record, behind the local id */
};

#endif
