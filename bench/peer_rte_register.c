/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: register the event of the peer rte_trace. A file of its own: the
 * first header turns the event's writer into the maker of its description.
 */
#include <rte_trace_point_register.h>

#include <bench/peer_rte.inc>

RTE_TRACE_POINT_REGISTER(hs_bench_event, hs.bench.event)
