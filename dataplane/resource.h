/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: a resource is encoded once, when it is made; a trace that needs it
 * writes those bytes under an id of its own.
 */
#ifndef HS_DATAPLANE_RESOURCE_H
#define HS_DATAPLANE_RESOURCE_H

#include <stddef.h>
#include <stdint.h>

/* The record of the first resource of a stream is ready if it is as short. */
#define HS_RESOURCE_FIRST_BYTES 64u

struct hs_resource {
	uint64_t hash;	     /* of the service, for operations */
	uint32_t service_at; /* in payload */
	uint32_t service_bytes;
	size_t size_bytes;
	uint32_t first_bytes; /* of first[]; 0: it is longer */
	uint8_t first[HS_RESOURCE_FIRST_BYTES];
	uint8_t payload[]; /* of a RESOURCE record, behind the local id */
};

struct hs_stamp;
struct hs_tls;
struct hs_trace;

/**
 * hs_resource_in() - the id of @resource in a handle's stream
 * @next: the time of the record that wants it, which comes next
 *
 * Written there if it was not. Context: write path, between enter and leave.
 */
uint32_t hs_resource_in(struct hs_tls *tls, struct hs_trace *trace,
			const struct hs_resource *resource,
			struct hs_stamp *next);

#endif
