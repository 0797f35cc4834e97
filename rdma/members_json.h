/* SPDX-License-Identifier: Apache-2.0 */
/*
 * members_json.h - a list of members as the doors show it
 */
#ifndef HS_RDMA_MEMBERS_JSON_H
#define HS_RDMA_MEMBERS_JSON_H

#include <jansson.h>

#include "rdma/source.h"

/** hs_members_json() - the list with its version; @s may be NULL */
json_t *hs_members_json(const struct hs_members *m, struct hs_sources *s);

#endif
