/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the processes of a run: each a child of the one that measures, with
 * a thread for each of its loops. The generator runs beside the first loop, or
 * in a process of its own.
 */
#ifndef HS_BENCH_SERVICES_PROCESS_H
#define HS_BENCH_SERVICES_PROCESS_H

#include <sys/types.h>

#include "bench/services/world.h"

/** hs_svc_process_start() - fork process @number, or the generator's own
 * with nr_processes. Return: its pid, or -errno */
pid_t hs_svc_process_start(struct hs_svc_world *world, uint32_t number,
			   bool generator_inline);

#endif
