/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: hs-perf ship: gigabytes and slices a second from one process to
 * another, over each carrier that is here, beside the kernel's TCP over the
 * same veth pair. The pair joins two network namespaces that exist for as long
 * as the two processes do.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/args.h"
#include "base/clock.h"
#include "base/random.h"
#include "bench/bench.h"
#include "bench/ship.h"
#include "bench/ship_link.h"

#define SPAN_DEFAULT_NS HS_NS_PER_SEC
#define ROUNDS		3u
#define OFFERED_PER_S	400000000u
#define ZSTD_LEVEL	3 /* a collector's, by default */

/* Namespaces outlive processes, so an interrupted run ends in order. */
static volatile sig_atomic_t interrupted;

static void interrupt(int signo)
{
	interrupted = signo;
}

static uint64_t cpu_ns(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) *
		       HS_NS_PER_SEC +
	       (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000;
}

/* Of this process, when its connection came up. */
static uint64_t begun_ns, over_ns;

void hs_bench_ship_begun(void)
{
	begun_ns = cpu_ns();
}

void hs_bench_ship_over(void)
{
	over_ns = cpu_ns();
}

static uint8_t *pool_make(void)
{
	uint8_t *pool =
		mmap(NULL, HS_BENCH_SHIP_POOL_BYTES, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	struct hs_random random;

	if (pool == MAP_FAILED)
		return NULL;
	hs_random_seed(&random, 1);
	hs_random_fill(&random, pool, HS_BENCH_SHIP_POOL_BYTES);
	return pool;
}

enum part { TO, FROM, LENDER };

/* The two ends apart; a lender of its own only where there is a third. */
static int cpu_of(enum part part)
{
	int nr = hs_bench_nr_cpus();

	if (part == TO)
		return nr - 1;
	return part == LENDER && nr > 2 ? 1 : 0;
}

static void part_run(const struct hs_bench_ship_run *run, enum part part,
		     uint8_t *pool, struct hs_bench_ship_result *result)
{
	bool tcp = !strcmp(run->carrier, "tcp");

	if (part == LENDER)
		hs_bench_ship_lender(run, result);
	else if (part == FROM && tcp)
		hs_bench_ship_tcp_from(run, pool, result);
	else if (part == FROM)
		hs_bench_ship_port_from(run, pool, result);
	else if (run->store)
		hs_bench_ship_store_to(run, pool, result);
	else if (tcp)
		hs_bench_ship_tcp_to(run, result);
	else
		hs_bench_ship_port_to(run, result);
}

/* In a namespace of its own, when both have their end of the veth pair. */
static pid_t start(const struct hs_bench_ship_run *run, enum part part,
		   uint8_t *pool, const struct hs_bench_link *link,
		   struct hs_bench_ship_result *result)
{
	uint64_t *const cpu[] = {&result->cpu_to_ns, &result->cpu_from_ns,
				 &result->cpu_lender_ns};
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_DFL);
	/* A collector's threads are as many as there are ends. */
	if (!run->store)
		hs_bench_pin(cpu_of(part));
	/* As an agent has its pool: no page of it is to be found first. */
	(void)madvise(pool, HS_BENCH_SHIP_POOL_BYTES, MADV_POPULATE_WRITE);
	if (hs_bench_link_join(link, part != TO)) {
		snprintf(result->why, sizeof(result->why),
			 "no network namespace: %s", strerror(errno));
		_exit(1);
	}
	hs_bench_ship_begun();
	part_run(run, part, pool, result);
	*cpu[part] = (over_ns ? over_ns : cpu_ns()) - begun_ns;
	_exit(0);
}

void hs_bench_ship_ready(struct hs_bench_ship_result *result)
{
	/* ship.W1 release, pairs ship.R1: the socket listens before this. */
	__atomic_store_n(&result->ready, true, __ATOMIC_RELEASE);
}

void hs_bench_ship_quiet(struct hs_bench_ship_result *result, bool from)
{
	/* Drivers of shared memory crash when a peer goes while they poll.
	 * ship.C4 relaxed: nothing but the end of polling is told. */
	__atomic_store_n(&result->quiet[from], true, __ATOMIC_RELAXED);
	for (uint32_t i = 0; i < 5000; i++) {
		/* ship.C5 relaxed: as ship.C4. */
		if (__atomic_load_n(&result->quiet[!from], __ATOMIC_RELAXED))
			return;
		usleep(1000);
	}
}

bool hs_bench_ship_is_ready(const struct hs_bench_ship_result *result)
{
	/* ship.R1 acquire, pairs ship.W1: it listens by then. */
	return __atomic_load_n(&result->ready, __ATOMIC_ACQUIRE);
}

bool hs_bench_ship_stopped(const struct hs_bench_ship_result *result)
{
	/* ship.C2 relaxed: a flag, polled; it publishes nothing. */
	return __atomic_load_n(&result->stop, __ATOMIC_RELAXED);
}

/* DPDK takes its time to start; the run begins when something can go. */
static void wait_begun(const struct hs_bench_ship_result *result)
{
	for (uint32_t i = 0; i < 10000 && !result->why[0] && !interrupted;
	     i++) {
		/* ship.C3 relaxed: a time, nothing is published by it. */
		if (__atomic_load_n(&result->first_ns, __ATOMIC_RELAXED))
			return;
		usleep(1000);
	}
}

/* Where many others have the processors, an end may not have had its turn by
 * then; a run in which nothing was settled says nothing of how fast it was. */
static void wait_settled(const struct hs_bench_ship_result *result)
{
	for (uint32_t i = 0; i < 10000 && !result->why[0] && !interrupted;
	     i++) {
		/* ship.C6 relaxed: a count, nothing is published by it. */
		if (__atomic_load_n(&result->slices, __ATOMIC_RELAXED))
			return;
		usleep(1000);
	}
}

static bool wait_ready(const struct hs_bench_ship_result *result)
{
	for (uint32_t i = 0; i < 10000 && !interrupted; i++) {
		if (hs_bench_ship_is_ready(result))
			return true;
		if (result->why[0])
			return false;
		usleep(1000);
	}
	return false;
}

static bool is_copy(const struct hs_bench_ship_run *run)
{
	return !strcmp(run->carrier, "copy");
}

int hs_bench_ship_once(const struct hs_bench_ship_run *run,
		       struct hs_bench_ship_result *out)
{
	static uint8_t *pool;
	struct hs_bench_ship_result *result;
	struct hs_bench_link link;
	pid_t to, from = -1, lender = -1;
	int rc;

	if (!pool)
		pool = pool_make();
	if (pool && is_copy(run)) {
		hs_bench_ship_copy(run, pool, out);
		return 0;
	}
	result = mmap(NULL, sizeof(*result), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!pool || result == MAP_FAILED)
		return -ENOMEM;
	rc = hs_bench_link_make(&link, run->mtu);
	if (rc) {
		munmap(result, sizeof(*result));
		return rc;
	}
	/* The sender's vhost is what virtio_user connects to. */
	if (!strcmp(run->carrier, "vhost")) {
		from = start(run, FROM, pool, &link, result);
		for (uint32_t i = 0; i < 5000 && access(run->socket, F_OK); i++)
			usleep(1000);
	}
	to = start(run, TO, pool, &link, result);
	if (to > 0 && wait_ready(result) && from < 0)
		from = start(run, FROM, pool, &link, result);
	if (from > 0 && hs_bench_ship_is_lent(run))
		lender = start(run, LENDER, pool, &link, result);
	if (from > 0) {
		wait_begun(result);
		usleep((useconds_t)(run->span_ns / 1000));
		wait_settled(result);
	}
	/* ship.C1 relaxed: a flag, polled. */
	__atomic_store_n(&result->stop, true, __ATOMIC_RELAXED);
	if (from > 0)
		waitpid(from, NULL, 0);
	if (lender > 0)
		waitpid(lender, NULL, 0);
	if (to > 0) {
		if (from < 0 || !strcmp(run->carrier, "tcp"))
			kill(to, SIGKILL);
		waitpid(to, NULL, 0);
	}
	hs_bench_link_drop(&link);
	unlink(run->socket);
	*out = *result;
	munmap(result, sizeof(*result));
	if (interrupted)
		return -EINTR;
	if (!out->why[0] && !out->slices)
		snprintf(out->why, sizeof(out->why), "no slice was settled");
	return out->why[0] ? -EIO : 0;
}

static double rate(const struct hs_bench_ship_result *r)
{
	double ns = (double)(r->last_ns - r->first_ns);

	return ns > 0 ? (double)r->bytes / ns : 0;
}

static void note(struct hs_bench_result *r,
		 const struct hs_bench_ship_result *s)
{
	double gb = (double)s->bytes / 1e9;
	double sent = (double)(s->copied_from + s->copied_kernel_from +
			       s->borrowed_from);
	char lender[2][32] = {"", ""};

	if (s->copied_lender) {
		snprintf(lender[0], sizeof(lender[0]), " + %.2f (lender)",
			 (double)s->cpu_lender_ns / 1e9 / gb);
		snprintf(lender[1], sizeof(lender[1]), ", lender %.2f",
			 sent > 0 ? (double)s->copied_lender / sent : 0);
	}
	snprintf(r->note, sizeof(r->note),
		 "cpu s/GB %.2f + %.2f%s, copies a byte out %.2f (borrowed "
		 "%.2f, kernel %.2f%s), in %.2f; frames again %.3f",
		 (double)s->cpu_from_ns / 1e9 / gb,
		 (double)s->cpu_to_ns / 1e9 / gb, lender[0],
		 sent > 0 ? (double)s->copied_from / sent : 0,
		 sent > 0 ? (double)s->borrowed_from / sent : 0,
		 sent > 0 ? (double)s->copied_kernel_from / sent : 0, lender[1],
		 sent > 0 ? (double)s->copied_to / sent : 0,
		 s->frames ? (double)s->frames_again / (double)s->frames : 0);
}

static void note_stored(struct hs_bench_result *r,
			const struct hs_bench_ship_result *s)
{
	snprintf(r->note, sizeof(r->note),
		 "traces of %u nodes, each found whole by its id afterwards; "
		 "cpu us a slice %.1f + %.1f; %.0f kB a sync; %.0f %% of the "
		 "bytes on disk",
		 HS_BENCH_SHIP_TRACE_NODES,
		 (double)s->cpu_from_ns / (double)s->slices / 1000,
		 (double)s->cpu_to_ns / (double)s->slices / 1000,
		 (double)s->bytes / (double)(s->syncs ? s->syncs : 1) / 1000,
		 100 * s->stored_share);
}

/* @run against @peer, in turns, or a store's plain writer; the ratio is the
 * median of rounds, and there is none where one of them has none. */
static int compare(struct hs_bench_report *report, const char *name,
		   const struct hs_bench_ship_run *run,
		   const struct hs_bench_ship_run *peer, const char *peer_name,
		   bool slices)
{
	double ours[ROUNDS], ratios[ROUNDS];
	struct hs_bench_ship_result r = {0}, p = {0};
	struct hs_bench_result *out;
	uint64_t n = 0, bad = 0;
	uint32_t nr_ratios = 0;

	for (uint32_t i = 0; i < ROUNDS; i++) {
		int rc = interrupted ? -EINTR : hs_bench_ship_once(run, &r);
		double theirs;

		if (!rc && peer)
			rc = hs_bench_ship_once(peer, &p);
		if (rc) {
			fprintf(stderr, "hs-perf: ship: %s: %s%s\n", name,
				r.why, p.why);
			return rc;
		}
		theirs = peer ? rate(&p) : r.plain_rate;
		ours[i] = slices ? rate(&r) * 1e9 * (double)r.slices /
					   (double)r.bytes
				 : rate(&r);
		if (theirs > 0)
			ratios[nr_ratios++] = rate(&r) / theirs;
		n += r.slices;
		bad += r.bad;
	}
	out = hs_bench_add(report, name, slices ? "slices/s" : "GB/s");
	hs_bench_summarize(out, ours, ROUNDS);
	out->n = n;
	out->lost_share = n ? (double)bad / (double)n : 1;
	if (nr_ratios == ROUNDS)
		hs_bench_ratio_add(out, peer_name,
				   hs_bench_median(ratios, ROUNDS));
	if (run->store)
		note_stored(out, &r);
	else if (strcmp(run->carrier, "tcp") && !is_copy(run))
		note(out, &r);
	return 0;
}

/* @mtu: of these alone; 0: of all */
static int frames_of(struct hs_bench_report *report,
		     const struct hs_bench_ship_run *like, uint32_t mtu)
{
	static const uint32_t mtus[] = {9000, 4096, 1500};
	struct hs_bench_ship_run run = *like, peer = *like;
	char name[48];
	int rc = 0;

	peer.carrier = "tcp";
	for (uint32_t i = 0; i < sizeof(mtus) / sizeof(*mtus); i++) {
		if (mtu && mtu != mtus[i])
			continue;
		run.mtu = peer.mtu = mtus[i];
		snprintf(name, sizeof(name), "ship_%u_%s", mtus[i],
			 run.carrier);
		rc |= compare(report, name, &run, &peer, "tcp_veth", false);
	}
	return rc;
}

static int losses_of(struct hs_bench_report *report,
		     const struct hs_bench_ship_run *like)
{
	static const struct {
		const char *name;
		struct hs_bench_badness bad;
	} ways[] = {
		{"loss0.1", {.loss = 0.001}},
		{"loss1", {.loss = 0.01}},
		{"loss10", {.loss = 0.1}},
		{"bad10", {.loss = 0.1, .repeat = 0.1, .swap = 0.1}},
	};
	struct hs_bench_ship_run run = *like, peer;
	char name[48];
	int rc = 0;

	run.offered_per_s = OFFERED_PER_S;
	peer = run;
	for (uint32_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		run.bad = ways[i].bad;
		snprintf(name, sizeof(name), "goodput_%s_%s", ways[i].name,
			 run.carrier);
		rc |= compare(report, name, &run, &peer, "loss0", false);
	}
	return rc;
}

/* Into a collector's store: small slices by number, long ones by bytes. */
static int stored_of(struct hs_bench_report *report,
		     const struct hs_bench_ship_run *like, const char *store)
{
	struct hs_bench_ship_run run = *like;
	char name[64];
	int rc;

	run.store = store;
	run.zstd_level = ZSTD_LEVEL;
	run.start_ns = hs_clock_real_ns();
	snprintf(name, sizeof(name), "slices_10kB_stored_per_s_%s",
		 run.carrier);
	rc = compare(report, name, &run, NULL, "seq_writer", true);
	run.slice_bytes = 60000;
	snprintf(name, sizeof(name), "ship_stored_%s", run.carrier);
	rc |= compare(report, name, &run, NULL, "seq_writer", false);
	run.zstd_level = -1;
	snprintf(name, sizeof(name), "ship_stored_plain_%s", run.carrier);
	return rc | compare(report, name, &run, NULL, "seq_writer", false);
}

static int measure(struct hs_bench_report *report, const char *carrier,
		   uint64_t span_ns, uint32_t mtu, const char *store)
{
	struct hs_bench_ship_run run = {.carrier = carrier,
					.mtu = 9000,
					.slice_bytes = 60000,
					.span_ns = span_ns};
	char name[48], lend[80];
	int rc;

	snprintf(run.socket, sizeof(run.socket), "/tmp/hsf-%d.sock",
		 (int)getpid());
	rc = frames_of(report, &run, mtu);
	run.slice_bytes = 10000;
	if (is_copy(&run))
		return rc;
	if (!mtu) {
		snprintf(name, sizeof(name), "slices_10kB_per_s_%s", carrier);
		rc |= compare(report, name, &run, NULL, NULL, true);
		rc |= losses_of(report, &run);
	}
	run.mtu = mtu ? mtu : run.mtu;
	if (store)
		rc |= stored_of(report, &run, store);
	unlink(run.socket);
	/* The sender's process ended without letting its port go. */
	hs_bench_ship_lend_socket(&run, lend);
	unlink(lend);
	return rc;
}

int hs_perf_ship(int argc, char **argv)
{
	static const char *const carriers[] = {"udp",	"tcp-ship",  "memif",
					       "vhost", "af_packet", "lent",
					       "copy"};
	uint64_t span_ns = SPAN_DEFAULT_NS, mtu = 0;
	const char *store = NULL, *carrier = NULL;
	bool json = false;
	const struct hs_args_option options[] = {
		{"carrier", 'c', HS_ARGS_STRING, &carrier, "NAME",
		 "only this one: udp, tcp-ship, memif, vhost, af_packet, lent, "
		 "copy (none: what a sum and a copy cost)",
		 0, 0},
		{"span", 's', HS_ARGS_DURATION, &span_ns, "TIME",
		 "how long each run is", 100 * HS_NS_PER_MS,
		 60 * HS_NS_PER_SEC},
		{"mtu", 'm', HS_ARGS_U64, &mtu, "BYTES",
		 "frames of that alone: 9000, 4096 or 1500", 1500, 9000},
		{"store", 'o', HS_ARGS_STRING, &store, "FOLDER",
		 "also into a collector's store there, which is removed", 0, 0},
		{"json", 'j', HS_ARGS_FLAG, &json, NULL,
		 "one JSON object, as docs/BENCH.md says", 0, 0},
	};
	const struct hs_args_program program = {
		.name = "hs-perf ship",
		.synopsis = "[options]",
		.summary = "Slices from process to process, over each carrier, "
			   "beside the kernel's TCP. As root.",
		.options = options,
		.nr_options = sizeof(options) / sizeof(options[0]),
		.exit_codes = "0 good\n1 invalid or not measured\n2 usage\n",
	};
	struct hs_bench_report report = {0};
	int first, rc;

	rc = hs_args_parse(&program, argc, argv, &first, stdout, stderr);
	if (rc)
		return rc == HS_ARGS_HELP ? 0 : HS_ARGS_EXIT_USAGE;
	rc = hs_bench_only(program.name, "carrier", carrier, carriers,
			   sizeof(carriers) / sizeof(*carriers));
	if (rc)
		return rc;
	report.json = json;
	signal(SIGINT, interrupt);
	signal(SIGTERM, interrupt);
	hs_bench_control_run(&report, 200 * HS_NS_PER_MS);
	rc = 0;
	for (size_t i = 0; i < sizeof(carriers) / sizeof(*carriers); i++)
		if (!interrupted && hs_bench_wanted(carrier, carriers[i]))
			rc |= measure(&report, carriers[i], span_ns,
				      (uint32_t)mtu, store);
	rc = hs_bench_print(&report, stdout) || rc;
	hs_bench_free(&report);
	return rc ? 1 : 0;
}
