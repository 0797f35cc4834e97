/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: hs-perf share: many agents into one collector that takes half of
 * what they offer. Every end is a process with the port and the protocol that
 * daemons have; what the collector does not take stays with its carrier, so
 * that credit is what holds the agents up. Whether each got its share is Jain's
 * index over the bytes taken of each; whether anything was dropped for want of
 * a place is what the kernel of both namespaces counted.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/args.h"
#include "base/clock.h"
#include "bench/bench.h"
#include "bench/share_drops.h"
#include "bench/ship.h"
#include "bench/ship_link.h"
#include "ship/inlet.h"

#define AGENTS_MAX   64u
#define WINDOWS_MAX  64u
#define FRAMES	     8192u	 /* as a collector has by default */
#define BUFFER_BYTES (16u << 20) /* the same */
#define BURST_BYTES  (1u << 20)	 /* that may be taken at once */
#define KEYS	     1024u
#define POOL_BYTES   HS_BENCH_SHIP_POOL_BYTES
#define JAIN_MIN     0.95
#define PATIENCE_MS  120000u
#define SKIPPED	     77

struct share_options {
	uint64_t nr_agents, each_per_s, window_bytes, nr_windows;
	bool check, json;
};

/* Shared by all processes; the collector writes what is not an agent's. */
struct share_board {
	bool done;
	uint32_t nr_windows;
	uint64_t taken[WINDOWS_MAX][AGENTS_MAX];
	uint64_t window_ns[WINDOWS_MAX];
	uint64_t busy, granted_most;
	struct hs_bench_ship_result to;
	struct hs_bench_ship_result from[AGENTS_MAX];
};

static volatile sig_atomic_t interrupted;

static void interrupt(int signo)
{
	interrupted = signo;
}

/* ---- the collector --------------------------------------------------------
 */

struct share_to {
	const struct share_options *options;
	struct share_board *board;
	struct hs_ship_inlet *inlet;
	double tokens, per_ns;
	uint64_t refilled_ns, window_from_ns;
	uint32_t agents[AGENTS_MAX]; /* by connection */
	uint64_t taken[AGENTS_MAX];
	uint64_t window_bytes;
	uint32_t nr_up;
	bool begun; /* all are up, and a window's bytes were taken since */
	struct {
		uint32_t connection;
		uint64_t key;
	} keys[KEYS];
	uint32_t nr_keys;
};

static void window_end(struct share_to *t, uint64_t now_ns)
{
	struct share_board *b = t->board;

	t->window_bytes = 0;
	if (t->begun) {
		memcpy(b->taken[b->nr_windows], t->taken, sizeof(t->taken));
		b->window_ns[b->nr_windows] = now_ns - t->window_from_ns;
		b->nr_windows++;
	}
	memset(t->taken, 0, sizeof(t->taken));
	t->begun = true;
	t->window_from_ns = now_ns;
}

static enum hs_ship_verdict on_slice(void *ctx, uint32_t connection,
				     const struct hs_wire_slice *head,
				     const struct hs_ship_span *spans,
				     uint32_t nr_spans)
{
	struct share_to *t = ctx;

	(void)spans;
	(void)nr_spans;
	if (t->tokens < head->length_bytes || t->nr_keys == KEYS)
		return HS_SHIP_BUSY;
	t->tokens -= head->length_bytes;
	t->keys[t->nr_keys].connection = connection;
	t->keys[t->nr_keys++].key = head->ship_key;
	if (t->nr_up == t->options->nr_agents) {
		t->taken[t->agents[connection]] += head->length_bytes;
		t->window_bytes += head->length_bytes;
	}
	return HS_SHIP_TAKEN;
}

static void on_up(void *ctx, uint32_t connection, uint64_t node)
{
	struct share_to *t = ctx;

	t->agents[connection] = (uint32_t)(node - HS_BENCH_SHIP_NODE);
	t->nr_up++;
}

static void on_down(void *ctx, uint32_t connection, const char *why)
{
	struct share_to *t = ctx;

	t->nr_up--;
	snprintf(t->board->to.why, sizeof(t->board->to.why),
		 "agent %u went down: %s", t->agents[connection], why);
}

static const struct hs_ship_inlet_ops to_ops = {on_slice, on_up, on_down};

static void refill(struct share_to *t, uint64_t now_ns)
{
	t->tokens += t->per_ns * (double)(now_ns - t->refilled_ns);
	t->refilled_ns = now_ns;
	if (t->tokens > BURST_BYTES)
		t->tokens = BURST_BYTES;
}

static void settle(struct share_to *t)
{
	for (uint32_t i = 0; i < t->nr_keys; i++)
		hs_ship_inlet_settle(t->inlet, t->keys[i].connection,
				     t->keys[i].key, false);
	t->nr_keys = 0;
}

static void take(struct share_to *t)
{
	struct share_board *b = t->board;
	struct hs_ship_receiver_stats stats = {0};
	struct hs_ship_port_stats ps = {0};

	while (!hs_bench_ship_stopped(&b->to) &&
	       b->nr_windows < t->options->nr_windows) {
		uint64_t now_ns = hs_clock_mono_ns();
		struct pollfd p = {.fd = hs_ship_inlet_fd(t->inlet),
				   .events = POLLIN};
		uint32_t nr;

		refill(t, now_ns);
		(void)hs_ship_inlet_run(t->inlet, 512, &nr, now_ns);
		settle(t);
		if (t->window_bytes >= t->options->window_bytes)
			window_end(t, now_ns);
		hs_ship_inlet_stats(t->inlet, &stats, &ps);
		if (stats.nr_granted > b->granted_most)
			b->granted_most = stats.nr_granted;
		if (!nr)
			(void)poll(&p, 1, 1);
	}
	b->busy = stats.busy;
	b->to.frames = stats.frames;
	b->to.drops = ps.dropped + stats.frames_beyond;
	b->to.bad = stats.slices_anew + stats.frames_bad;
}

static void collector(const struct share_options *options,
		      struct share_board *b)
{
	const struct hs_ship_receiver_config config = {
		.node = 1000,
		.frame_bytes = HS_SHIP_FRAME_MAX_BYTES,
		.nr_connections = AGENTS_MAX,
		.nr_frames = FRAMES};
	char bind[32];
	struct hs_ship_udp_config udp = {.bind = bind,
					 .nr_frames = FRAMES,
					 .buffer_bytes = BUFFER_BYTES};
	static struct share_to t;
	struct hs_ship_port *port;
	const char *why;

	snprintf(bind, sizeof(bind), "%s:%u", HS_BENCH_SHIP_TO,
		 HS_BENCH_SHIP_PORT);
	port = hs_ship_udp_create(&udp, &why);
	if (!port) {
		snprintf(b->to.why, sizeof(b->to.why), "%s: %s", why,
			 strerror(errno));
		return;
	}
	t.options = options;
	t.board = b;
	t.per_ns = (double)(options->each_per_s * options->nr_agents) / 2 / 1e9;
	t.refilled_ns = hs_clock_mono_ns();
	t.inlet =
		hs_ship_inlet_create(port, &config, &to_ops, &t, t.refilled_ns);
	if (!t.inlet) {
		snprintf(b->to.why, sizeof(b->to.why), "receiver: %s",
			 strerror(errno));
		return;
	}
	hs_bench_ship_ready(&b->to);
	take(&t);
	/* share.C1 relaxed: a flag, polled; what else is written here is read
	 * when this process is gone. */
	__atomic_store_n(&b->done, true, __ATOMIC_RELAXED);
	/* What the kernel counted is read of this process: it stays. */
	while (!hs_bench_ship_stopped(&b->to))
		usleep(1000);
}

/* ---- all of them ----------------------------------------------------------
 */

static pid_t start(const struct share_options *options, struct share_board *b,
		   uint8_t *pool, const struct hs_bench_link *link, int agent)
{
	const struct hs_bench_ship_run run = {
		.carrier = "udp",
		.mtu = 9000,
		.agent = agent < 0 ? 0 : (uint32_t)agent,
		.slice_bytes = 10000,
		.offered_per_s = options->each_per_s};
	struct hs_bench_ship_result *mine =
		agent < 0 ? &b->to : &b->from[agent];
	int cpus = hs_bench_nr_cpus();
	pid_t pid = fork();

	if (pid < 0)
		snprintf(mine->why, sizeof(mine->why), "no process: %s",
			 strerror(errno));
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGINT, SIG_IGN);
	/* The agents share all cores but the last, as far as there are more. */
	hs_bench_pin(agent < 0 || cpus < 2 ? cpus - 1 : agent % (cpus - 1));
	if (hs_bench_link_join(link, agent >= 0)) {
		snprintf(mine->why, sizeof(mine->why),
			 "no network namespace: %s", strerror(errno));
		_exit(1);
	}
	/* Nobody waits for the other end's polling: sockets have none. */
	mine->quiet[0] = mine->quiet[1] = true;
	if (agent < 0)
		collector(options, b);
	else
		hs_bench_ship_port_from(&run, pool, mine);
	_exit(0);
}

static const char *trouble(const struct share_options *options,
			   const struct share_board *b)
{
	if (b->to.why[0])
		return b->to.why;
	for (uint32_t i = 0; i < options->nr_agents; i++)
		if (b->from[i].why[0])
			return b->from[i].why;
	return NULL;
}

static void stop(struct hs_bench_ship_result *result)
{
	/* share.C2 relaxed: a flag, polled. */
	__atomic_store_n(&result->stop, true, __ATOMIC_RELAXED);
}

/* Return: NULL, or what kept it from its end. */
static const char *wait_done(const struct share_options *options,
			     const struct share_board *b)
{
	for (uint32_t i = 0; i < PATIENCE_MS; i++) {
		const char *why = trouble(options, b);

		/* share.C3 relaxed: as share.C1. */
		if (why || interrupted ||
		    __atomic_load_n(&b->done, __ATOMIC_RELAXED))
			return why;
		usleep(1000);
	}
	return "the collector did not get so many bytes in two minutes";
}

static int run(const struct share_options *options, struct share_board *b,
	       uint8_t *pool, struct hs_bench_drops *drops)
{
	uint32_t nr = (uint32_t)options->nr_agents;
	pid_t to, from[AGENTS_MAX] = {0};
	struct hs_bench_link link;
	const char *why;
	int rc = hs_bench_link_make(&link, 9000);

	if (rc)
		return rc;
	to = start(options, b, pool, &link, -1);
	for (uint32_t i = 0; i < PATIENCE_MS && !trouble(options, b) &&
			     !interrupted && !hs_bench_ship_is_ready(&b->to);
	     i++)
		usleep(1000);
	for (uint32_t i = 0; i < nr; i++)
		from[i] = start(options, b, pool, &link, (int)i);
	why = wait_done(options, b);
	if (why)
		fprintf(stderr, "hs-perf: share: %s\n", why);
	rc = hs_bench_drops_read(drops, from[0], to);
	for (uint32_t i = 0; i < nr; i++)
		stop(&b->from[i]);
	for (uint32_t i = 0; i < nr; i++)
		waitpid(from[i], NULL, 0);
	stop(&b->to);
	waitpid(to, NULL, 0);
	hs_bench_link_drop(&link);
	return why ? -EIO : interrupted ? -EINTR : rc;
}

/* ---- what came of it ------------------------------------------------------
 */

static double jain(const uint64_t *taken, uint32_t nr)
{
	double sum = 0, squares = 0;

	for (uint32_t i = 0; i < nr; i++) {
		sum += (double)taken[i];
		squares += (double)taken[i] * (double)taken[i];
	}
	return squares > 0 ? sum * sum / (nr * squares) : 0;
}

static void say(struct hs_bench_report *report,
		const struct share_options *options,
		const struct share_board *b, const struct hs_bench_drops *drops,
		double *worst)
{
	uint32_t nr = (uint32_t)options->nr_agents;
	double indices[WINDOWS_MAX], rates[WINDOWS_MAX];
	uint64_t dropped = hs_bench_drops_sum(drops) + b->to.drops;
	uint64_t out_of_credit = 0, sent = 0;
	struct hs_bench_result *r;
	double lost_share;
	char name[48];

	*worst = 1;
	for (uint32_t w = 0; w < b->nr_windows; w++) {
		uint64_t bytes = 0;

		for (uint32_t i = 0; i < nr; i++)
			bytes += b->taken[w][i];
		indices[w] = jain(b->taken[w], nr);
		rates[w] = (double)bytes / (double)b->window_ns[w];
		if (indices[w] < *worst)
			*worst = indices[w];
	}
	for (uint32_t i = 0; i < nr; i++) {
		out_of_credit += b->from[i].out_of_credit;
		sent += b->from[i].frames;
	}
	lost_share = sent ? (double)dropped / (double)sent : 1;
	snprintf(name, sizeof(name), "share_%u_jain", nr);
	r = hs_bench_add(report, name, "index");
	hs_bench_summarize(r, indices, b->nr_windows);
	r->n = b->nr_windows;
	r->lost_share = lost_share;
	snprintf(r->note, sizeof(r->note),
		 "least %.4f; dropped: socket %llu, other UDP %llu, devices "
		 "%llu, of %llu frames; granted at most %llu; busy %llu, "
		 "without credit %llu times",
		 *worst, (unsigned long long)drops->socket,
		 (unsigned long long)drops->udp,
		 (unsigned long long)drops->devices, (unsigned long long)sent,
		 (unsigned long long)b->granted_most,
		 (unsigned long long)b->busy,
		 (unsigned long long)out_of_credit);
	snprintf(name, sizeof(name), "share_%u_taken", nr);
	r = hs_bench_add(report, name, "GB/s");
	hs_bench_summarize(r, rates, b->nr_windows);
	r->n = b->nr_windows;
	r->lost_share = lost_share;
	snprintf(r->note, sizeof(r->note),
		 "%llu agents offer %.3f GB/s together", (unsigned long long)nr,
		 (double)(options->each_per_s * nr) / 1e9);
}

/* What held of it, as statements that can be wrong. */
static int check(const struct share_options *options,
		 const struct share_board *b,
		 const struct hs_bench_drops *drops, double worst)
{
	uint64_t out_of_credit = 0;
	int rc = 0;

	for (uint32_t i = 0; i < options->nr_agents; i++)
		out_of_credit += b->from[i].out_of_credit;
	if (hs_bench_drops_sum(drops) || b->to.drops) {
		fprintf(stderr, "hs-perf: share: frames were dropped\n");
		rc = 1;
	}
	if (worst < JAIN_MIN) {
		fprintf(stderr,
			"hs-perf: share: Jain's index %.3f of a "
			"window is under %.2f\n",
			worst, JAIN_MIN);
		rc = 1;
	}
	if (!out_of_credit || !b->busy) {
		fprintf(stderr, "hs-perf: share: credit held nobody up, so "
				"nothing was tried\n");
		rc = 1;
	}
	return rc;
}

static void *shared(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static int measure(const struct share_options *options,
		   struct hs_bench_report *report)
{
	struct share_board *b = shared(sizeof(*b));
	uint8_t *pool = shared(POOL_BYTES);
	struct hs_bench_drops drops = {0};
	double worst = 0;
	int rc = -ENOMEM;

	if (b && pool)
		rc = run(options, b, pool, &drops);
	if (!rc) {
		say(report, options, b, &drops, &worst);
		rc = options->check ? check(options, b, &drops, worst) : 0;
	}
	return rc;
}

int hs_perf_share(int argc, char **argv)
{
	struct share_options o = {.nr_agents = 16,
				  .each_per_s = 20000000,
				  .window_bytes = 64 << 20,
				  .nr_windows = 10};
	const struct hs_args_option options[] = {
		{"agents", 'a', HS_ARGS_U64, &o.nr_agents, "N",
		 "how many, each a process", 2, AGENTS_MAX},
		{"rate", 'r', HS_ARGS_SIZE, &o.each_per_s, "SIZE",
		 "bytes a second that each offers; the collector takes half of "
		 "all",
		 100000, 1ull << 32},
		{"window", 'b', HS_ARGS_SIZE, &o.window_bytes, "SIZE",
		 "bytes taken of all of them, over which shares are compared",
		 1 << 20, 1ull << 34},
		{"windows", 'w', HS_ARGS_U64, &o.nr_windows, "N",
		 "how many of those, after one that does not count", 1,
		 WINDOWS_MAX},
		{"check", 0, HS_ARGS_FLAG, &o.check, NULL,
		 "fail unless nothing was dropped and each window's index is "
		 "0.95",
		 0, 0},
		{"json", 'j', HS_ARGS_FLAG, &o.json, NULL,
		 "one JSON object, as docs/BENCH.md says", 0, 0},
	};
	const struct hs_args_program program = {
		.name = "hs-perf share",
		.synopsis = "[options]",
		.summary = "Many agents into one collector that takes half of "
			   "what they offer. As root.",
		.options = options,
		.nr_options = sizeof(options) / sizeof(options[0]),
		.exit_codes = "0 good\n1 invalid or not measured\n2 usage\n"
			      "77 not tried: --check without root\n",
	};
	struct hs_bench_report report = {0};
	int first, rc;

	rc = hs_args_parse(&program, argc, argv, &first, stdout, stderr);
	if (rc)
		return rc == HS_ARGS_HELP ? 0 : HS_ARGS_EXIT_USAGE;
	if (o.check && geteuid())
		return SKIPPED;
	report.json = o.json;
	signal(SIGINT, interrupt);
	signal(SIGTERM, interrupt);
	hs_bench_control_run(&report, 200 * HS_NS_PER_MS);
	rc = measure(&o, &report);
	rc = hs_bench_print(&report, stdout) || rc;
	hs_bench_free(&report);
	return rc ? 1 : 0;
}
