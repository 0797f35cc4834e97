/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_verbs_none.c - built without libibverbs: says so
 */
#include <errno.h>
#include <stddef.h>

#include "rdma/transport_verbs.h"

struct hs_transport *
hs_transport_verbs_create(const struct hs_transport_self *self,
			  const struct hs_transport_limits *limits,
			  const struct hs_transport_verbs_options *options,
			  const struct hs_transport_events *events, void *ctx)
{
	errno = EOPNOTSUPP;
	return NULL;
}

bool hs_transport_verbs_stats(struct hs_transport *t,
			      struct hs_transport_verbs_stats *out)
{
	return false;
}
