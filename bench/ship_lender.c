/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the application that lends its port to the sender of hs-perf ship, a
 * process of its own with an lcore that does nothing else.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench/lend.h"
#include "bench/ship.h"

static bool over(const void *context)
{
	return hs_bench_ship_stopped(context);
}

void hs_bench_ship_lender(const struct hs_bench_ship_run *run,
			  struct hs_bench_ship_result *result)
{
	char vdev[256], socket[80], address[32];
	const struct hs_bench_lend_port port = {.vdev = vdev,
						.socket = socket,
						.address = address,
						.mtu = (uint16_t)run->mtu};
	const struct hs_bench_lend *app =
		(const struct hs_bench_lend *)hs_bench_peer_open(
			"lend", sched_getcpu());
	bool borrow;
	int rc = -ENODEV;

	hs_bench_ship_vdev(run, true, vdev, &borrow);
	hs_bench_ship_lend_socket(run, socket);
	hs_bench_ship_address(run, true, address);
	if (app)
		rc = app->open(&port);
	if (rc) {
		snprintf(result->why, sizeof(result->why),
			 "the port cannot be lent: %s", strerror(-rc));
		return;
	}
	while (!hs_bench_ship_stopped(result) && !app->lent())
		usleep(1000);
	hs_bench_ship_begun();
	app->serve(over, result);
	/* The driver's memory is let go when nobody polls it any more. */
	hs_bench_ship_quiet(result, true);
}
