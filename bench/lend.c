/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: hs-perf lend: what a frame costs at both ends of a port that is
 * lent, and a round in which there is none, on one thread, over a port that
 * takes everything (net_null): no driver, no second processor, no waiting.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/random.h"
#include "bench/bench.h"
#include "bench/lend.h"
#include "ship/port_lent.h"

#define FRAMES	     512u /* what the ring holds */
#define ROUNDS	     101u
#define HEAD_BYTES   112u /* of a frame with one part */
#define IP_UDP_BYTES 28u
#define PATIENCE_NS  (5 * HS_NS_PER_SEC)

struct lend_bench {
	const struct hs_bench_lend *app;
	struct hs_ship_port *port;
	struct hs_ship_address to;
	uint32_t frame_bytes, step;
	uint8_t *pool, *copy; /* FRAMES pieces, step bytes apart */
	uint64_t put, refused;
	uint64_t stuck; /* turns in which not all frames went */
};

/* ---- the agent's end ------------------------------------------------------
 */

static void put(void *context, uint32_t n)
{
	struct lend_bench *b = context;
	struct hs_ship_port_span span = {.bytes = b->frame_bytes - HEAD_BYTES};
	const uint8_t head[HEAD_BYTES] = {0};

	for (uint32_t i = 0; i < n; i++) {
		span.data = b->pool + (size_t)(i % FRAMES) * b->step;
		b->put++;
		if (b->port->ops->send(b->port, &b->to, head, sizeof(head),
				       &span, 1))
			b->refused++;
	}
	b->port->ops->flush(b->port);
}

static void drain(void *context)
{
	struct lend_bench *b = context;
	struct hs_ship_lender l;

	hs_ship_lent_lender(b->port, &l);
	if (l.waiting && !b->app->send(l.waiting))
		b->stuck++;
}

static void by_memcpy(void *context, uint32_t n)
{
	struct lend_bench *b = context;

	for (uint32_t i = 0; i < n; i++)
		memcpy(b->copy + (size_t)(i % FRAMES) * b->step,
		       b->pool + (size_t)(i % FRAMES) * b->step,
		       b->frame_bytes);
	__asm__ volatile("" ::: "memory");
}

/* ---- the application's ----------------------------------------------------
 */

static void fill(void *context)
{
	drain(context);
	put(context, FRAMES);
}

static void polled(void *context, uint32_t n)
{
	struct lend_bench *b = context;

	if (!b->app->send(n))
		b->stuck++;
}

static void by_itself(void *context, uint32_t n)
{
	struct lend_bench *b = context;

	b->app->own(n, b->copy, b->step, b->frame_bytes);
}

static void idle(void *context, uint32_t n)
{
	((struct lend_bench *)context)->app->idle(n);
}

static void nothing(void *context, uint32_t n)
{
	(void)context;
	while (n--)
		__asm__ volatile("" ::: "memory");
}

/* ---- measuring ------------------------------------------------------------
 */

static void lost(struct hs_bench_result *r, struct lend_bench *b)
{
	r->lost_share =
		b->put ? (double)b->refused / (double)b->put + (double)b->stuck
		       : 1;
}

static void measure(struct hs_bench_report *report, struct lend_bench *b)
{
	const struct hs_bench_op agent[] = {
		{.name = "put",
		 .run = put,
		 .context = b,
		 .settle = drain,
		 .on_cpu = true},
		{.name = "memcpy",
		 .run = by_memcpy,
		 .context = b,
		 .on_cpu = true},
	};
	const struct hs_bench_op app[] = {
		{.name = "poll",
		 .run = polled,
		 .context = b,
		 .settle = fill,
		 .on_cpu = true},
		{.name = "own_send",
		 .run = by_itself,
		 .context = b,
		 .on_cpu = true},
	};
	struct hs_ship_port_stats s;
	struct hs_bench_result *r;
	char name[48];

	snprintf(name, sizeof(name), "lend_put_%u", b->frame_bytes);
	r = hs_bench_add(report, name, "ns");
	hs_bench_turns(r, agent, 2, FRAMES, ROUNDS);
	lost(r, b);
	snprintf(name, sizeof(name), "lend_poll_%u", b->frame_bytes);
	r = hs_bench_add(report, name, "ns");
	hs_bench_turns(r, app, 2, FRAMES, ROUNDS);
	lost(r, b);
	b->port->ops->stats(b->port, &s);
	snprintf(r->note, sizeof(r->note),
		 "copies a byte: %.2f agent, %.2f "
		 "application",
		 (double)s.bytes_copied /
			 (double)(s.bytes_sent - s.frames_sent * HEAD_BYTES),
		 (double)s.bytes_copied_lender /
			 (double)(s.bytes_sent - s.frames_sent * HEAD_BYTES));
	if (b->frame_bytes > 1500)
		return;
	drain(b);
	r = hs_bench_add(report, "lend_idle", "ns");
	hs_bench_turns(r,
		       (const struct hs_bench_op[]){{.name = "idle",
						     .run = idle,
						     .context = b,
						     .on_cpu = true},
						    {.name = "loop",
						     .run = nothing,
						     .context = b,
						     .on_cpu = true}},
		       2, 100000, 21);
}

static int wait_lent(struct lend_bench *b)
{
	uint64_t end_ns = hs_clock_mono_ns() + PATIENCE_NS;

	while (!b->app->lent()) {
		b->port->ops->receive(b->port, NULL, 0);
		if (hs_clock_mono_ns() > end_ns)
			return -ETIMEDOUT;
	}
	return 0;
}

static int run(struct hs_bench_report *report, const struct hs_bench_lend *app,
	       uint16_t mtu)
{
	struct lend_bench b = {.app = app, .frame_bytes = mtu - IP_UDP_BYTES};
	struct hs_ship_lent_config config = {.mode = 0600,
					     .frame_bytes = b.frame_bytes};
	char socket[64];
	const char *why = "no memory";
	struct hs_random random;
	uint32_t frame_bytes;
	const struct hs_bench_lend_port at = {
		.vdev = "net_null0,no-rx=1",
		.socket = socket,
		.address = "192.0.2.7:7431",
		.neighbour = "192.0.2.1",
		.mtu = mtu,
	};
	int rc = -ENOMEM;

	snprintf(socket, sizeof(socket), "/tmp/hs-perf-lend-%d.sock",
		 (int)getpid());
	config.socket = socket;
	b.step = (b.frame_bytes + 63) / 64 * 64;
	b.pool = malloc((size_t)FRAMES * b.step);
	b.copy = malloc((size_t)FRAMES * b.step);
	if (b.pool && b.copy) {
		hs_random_seed(&random, 1);
		hs_random_fill(&random, b.pool, (size_t)FRAMES * b.step);
		hs_random_fill(&random, b.copy, (size_t)FRAMES * b.step);
		b.port = hs_ship_lent_create(&config, &why);
		rc = b.port ? b.port->ops->resolve(b.port, "192.0.2.1:7430",
						   &b.to, &frame_bytes, &why)
			    : -EIO;
	}
	if (!rc)
		rc = app->open(&at);
	if (!rc)
		rc = wait_lent(&b);
	if (!rc)
		measure(report, &b);
	else
		fprintf(stderr, "hs-perf: lend: %s: %s\n", why, strerror(-rc));
	app->close();
	if (b.port)
		b.port->ops->destroy(b.port);
	free(b.pool);
	free(b.copy);
	return rc;
}

int hs_perf_lend(int argc, char **argv)
{
	struct hs_bench_report report = {0};
	const struct hs_bench_lend *app;
	int rc, cpu = hs_bench_nr_cpus() - 1;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") != 0) {
			fprintf(stderr, "usage: hs-perf lend [--json]\n");
			return 2;
		}
		report.json = true;
	}
	hs_bench_pin(cpu);
	app = (const struct hs_bench_lend *)hs_bench_peer_open("lend", cpu);
	if (!app)
		return 1;
	rc = run(&report, app, 1500);
	if (!rc)
		rc = run(&report, app, 9000);
	hs_bench_control_run(&report, HS_NS_PER_SEC / 4);
	if (hs_bench_print(&report, stdout) && !rc)
		rc = 1;
	hs_bench_free(&report);
	return rc ? 1 : 0;
}
