/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: hs-perf stored: how long a collector takes to answer what `hs
 * traces` asks when a million traces are stored. They are stored by the
 * collector's own assembly, store and index; the questions go to a real
 * hs-collector over its door, as the command's do.
 */
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/args.h"
#include "base/clock.h"
#include "base/hex.h"
#include "base/httpc.h"
#include "base/random.h"
#include "bench/bench.h"
#include "bench/slices.h"
#include "collector/collector.h"

#define SLICE_BYTES	 512u /* a span, mostly */
#define STEP_NS		 (10 * HS_NS_PER_MS)
#define SYNC_INTERVAL_NS (20 * HS_NS_PER_MS)
#define START_NS	 1700000000000000000ull
#define PATIENCE_NS	 (1800 * HS_NS_PER_SEC)
#define REQUESTS_MAX	 100000u

struct stored {
	struct hs_bench_slices slices;
	uint64_t nr_traces, nr_requests;
	char dir[256];
	bool kept; /* not removed, and used again */
	char door[320];
	pid_t daemon;
	struct hs_random random;
	uint64_t acked, refused;
};

/* ---- storing --------------------------------------------------------------
 */

static int take_ack(void *ctx, uint32_t peer, uint16_t type,
		    const struct iovec *iov, int nr_iov)
{
	struct stored *s = ctx;
	const struct hs_wire_slice_ack *ack = iov[0].iov_base;

	(void)peer;
	(void)nr_iov;
	if (type == HS_WIRE_SLICE_ACK && ack->refused)
		s->refused += ack->nr;
	else if (type == HS_WIRE_SLICE_ACK)
		s->acked += ack->nr;
	return 0;
}

static void give(struct hs_collector *c, uint16_t type, const void *message,
		 uint32_t bytes)
{
	while (hs_collector_message(c, 1, type, message, bytes,
				    hs_clock_mono_ns()))
		hs_collector_step(c, hs_clock_mono_ns());
}

static int fill(struct stored *s)
{
	struct hs_collector_options options = {
		.store = {.dir = s->dir, .zstd_level = 1},
		.sync_interval_ns = SYNC_INTERVAL_NS,
		.send = take_ack,
		.ctx = s,
	};
	_Alignas(8) uint8_t message[sizeof(struct hs_wire_slice) + SLICE_BYTES];
	_Alignas(8) uint8_t manifest[4096];
	struct hs_collector *c;
	char error[256] = "";
	int rc;

	hs_assembly_limits_fill(&options.limits);
	rc = hs_collector_open(&c, &options, error, sizeof(error));
	if (rc) {
		fprintf(stderr, "hs-perf: stored: %s\n", error);
		return rc;
	}
	for (uint64_t t = 0; t < s->nr_traces; t++) {
		uint32_t bytes = hs_bench_slice_make(&s->slices, t, 0, message);
		uint32_t spans = bytes - (uint32_t)sizeof(struct hs_wire_slice);

		give(c, HS_WIRE_SLICE, message, bytes);
		bytes = hs_bench_manifest_make(&s->slices, t, &spans, manifest);
		give(c, HS_WIRE_MANIFEST, manifest, bytes);
		hs_collector_step(c, hs_clock_mono_ns());
	}
	while (!rc && s->acked + s->refused < s->nr_traces)
		rc = hs_collector_sync(c);
	hs_collector_close(c);
	if (!rc && s->refused) {
		fprintf(stderr, "hs-perf: stored: %llu slices were refused\n",
			(unsigned long long)s->refused);
		rc = -EIO;
	}
	return rc;
}

/* ---- the daemon -----------------------------------------------------------
 */

static struct hs_httpc_target target_of(const struct stored *s)
{
	return (struct hs_httpc_target){.socket_path = s->door};
}

/* Return: rows that are not summed up yet; negative: no answer. */
static int64_t stale(const struct stored *s)
{
	struct hs_httpc_target target = target_of(s);
	struct hs_httpc_response r;
	int64_t nr = -1;

	if (!hs_httpc_request(&target, "GET", "/v1/status", NULL, &r) &&
	    r.status == 200) {
		const char *at = strstr(r.body, "\"stale\":");

		nr = at ? strtoll(at + strlen("\"stale\":"), NULL, 10) : -1;
	}
	hs_httpc_response_free(&r);
	return nr;
}

/* Until it answers, and all rows say what their spans add up to. */
static int daemon_start(struct stored *s)
{
	uint64_t from_ns = hs_clock_mono_ns();
	char path[320];
	FILE *f;

	snprintf(path, sizeof(path), "%s.yaml", s->dir);
	snprintf(s->door, sizeof(s->door), "%s.sock", s->dir);
	f = fopen(path, "we");
	if (!f)
		return -errno;
	fprintf(f,
		"node:\n  id: 2001\nlisten: '127.0.0.1:0'\nstore: '%s'\n"
		"control:\n  socket: '%s'\nlog: warn\n",
		s->dir, s->door);
	if (fclose(f))
		return -EIO;
	s->daemon = hs_bench_spawn("collector", "hs-collector", path, -1);
	if (s->daemon < 0)
		return s->daemon;
	while (hs_clock_mono_ns() - from_ns < PATIENCE_NS) {
		if (waitpid(s->daemon, NULL, WNOHANG))
			return -ECHILD;
		if (!stale(s)) {
			unlink(path);
			return 0;
		}
		usleep(100000);
	}
	return -ETIMEDOUT;
}

static int remove_one(const char *path, const struct stat *st, int flag,
		      struct FTW *at)
{
	return remove(path);
}

static void daemon_stop(struct stored *s)
{
	if (s->daemon > 0) {
		kill(s->daemon, SIGTERM);
		waitpid(s->daemon, NULL, 0);
	}
	unlink(s->door);
	if (!s->kept)
		nftw(s->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- asking ---------------------------------------------------------------
 */

enum vary { VARY_NOTHING, VARY_RANGE, VARY_FAR, VARY_ID };

static const struct question {
	const char *name;
	const char *query;
	enum vary vary;
} questions[] = {
	{"latest", "", VARY_NOTHING},
	{"service_half", "&service=service-0", VARY_NOTHING},
	{"service_64th", "&service=service-5", VARY_NOTHING},
	{"service_rare", "&service=service-14", VARY_NOTHING},
	{"trigger_half", "&trigger=trigger-0", VARY_NOTHING},
	{"trigger_64th", "&trigger=trigger-5", VARY_NOTHING},
	{"trigger_rare", "&trigger=trigger-14", VARY_NOTHING},
	{"duration_common", "&min_duration=2ms", VARY_NOTHING},
	{"duration_64th", "&min_duration=64ms", VARY_NOTHING},
	{"duration_rare", "&min_duration=16s", VARY_NOTHING},
	{"duration_none", "&min_duration=100000000s", VARY_NOTHING},
	{"errors", "&error=true", VARY_NOTHING},
	{"partial", "&mark=partial", VARY_NOTHING},
	{"service_and_duration", "&service=service-1&min_duration=1s",
	 VARY_NOTHING},
	{"service_and_error", "&service=service-2&error=true", VARY_NOTHING},
	{"range", "", VARY_RANGE},
	{"page_far", "", VARY_FAR},
	{"id", "", VARY_ID},
};
#define NR_QUESTIONS (sizeof(questions) / sizeof(questions[0]))

static void path_make(struct stored *s, const struct question *q, char *out,
		      size_t bytes)
{
	uint64_t trace = hs_random_below(&s->random, s->nr_traces);
	uint64_t at_ns = START_NS + trace * STEP_NS;
	struct hs_wire_trace_id id = hs_bench_slice_trace(trace);
	char text[33];

	switch (q->vary) {
	case VARY_NOTHING:
		snprintf(out, bytes, "/v1/traces?limit=20%s", q->query);
		return;
	case VARY_RANGE:
		snprintf(out, bytes,
			 "/v1/traces?limit=20&since=%llu&until=%llu",
			 (unsigned long long)at_ns,
			 (unsigned long long)(at_ns + HS_NS_PER_SEC));
		return;
	case VARY_FAR:
		at_ns = START_NS + (trace / 10 + 20) * STEP_NS;
		snprintf(out, bytes, "/v1/traces?limit=20&until=%llu",
			 (unsigned long long)at_ns);
		return;
	case VARY_ID:
		hs_hex_u128_encode(text, id.hi, id.lo);
		snprintf(out, bytes, "/v1/traces/%s", text);
		return;
	}
}

/* Return: us, or negative where there was no answer. */
static double ask(struct stored *s, const struct question *q, bool *found)
{
	struct hs_httpc_target target = target_of(s);
	struct hs_httpc_response r;
	uint64_t from_ns;
	char path[256];
	double us = -1;

	path_make(s, q, path, sizeof(path));
	from_ns = hs_clock_mono_ns();
	if (!hs_httpc_request(&target, "GET", path, NULL, &r) &&
	    r.status == 200) {
		us = (double)(hs_clock_mono_ns() - from_ns) / 1000;
		*found = strstr(r.body, "\"trace_id\"") != NULL ||
			 q->vary == VARY_ID;
	}
	hs_httpc_response_free(&r);
	return us;
}

/* Every question once, and again, so that what slows the machine for a while
 * slows all of them. */
static int measure(struct stored *s, struct hs_bench_report *report,
		   const char *only)
{
	double *samples[NR_QUESTIONS] = {0};
	uint64_t lost[NR_QUESTIONS] = {0}, empty[NR_QUESTIONS] = {0};
	int rc = 0;

	for (uint32_t i = 0; i < NR_QUESTIONS; i++) {
		samples[i] = calloc(s->nr_requests, sizeof(double));
		rc = samples[i] ? rc : -ENOMEM;
	}
	for (uint64_t n = 0; !rc && n < s->nr_requests; n++)
		for (uint32_t i = 0; i < NR_QUESTIONS; i++) {
			bool found = false;

			if (!hs_bench_wanted(only, questions[i].name))
				continue;
			samples[i][n] = ask(s, &questions[i], &found);
			lost[i] += samples[i][n] < 0;
			empty[i] += !found;
		}
	for (uint32_t i = 0; !rc && i < NR_QUESTIONS; i++) {
		struct hs_bench_result *r;
		char name[48];

		if (!hs_bench_wanted(only, questions[i].name))
			continue;
		snprintf(name, sizeof(name), "stored_%s", questions[i].name);
		r = hs_bench_add(report, name, "us");
		hs_bench_summarize(r, samples[i], s->nr_requests);
		r->n = s->nr_requests;
		r->lost_share = (double)lost[i] / (double)s->nr_requests;
		snprintf(r->note, sizeof(r->note),
			 "of %llu traces stored; %s; %llu answers were empty",
			 (unsigned long long)s->nr_traces,
			 questions[i].query[0] ? questions[i].query + 1
					       : "drawn anew each time",
			 (unsigned long long)empty[i]);
	}
	for (uint32_t i = 0; i < NR_QUESTIONS; i++)
		free(samples[i]);
	return rc;
}

static int run(struct stored *s, struct hs_bench_report *report,
	       const char *only)
{
	uint64_t from_ns = hs_clock_mono_ns();
	struct stat st;
	int rc = 0;

	if (stat(s->dir, &st)) {
		rc = fill(s);
		fprintf(stderr, "hs-perf: stored: %llu traces in %.0f s\n",
			(unsigned long long)s->nr_traces,
			(double)(hs_clock_mono_ns() - from_ns) / 1e9);
	}
	from_ns = hs_clock_mono_ns();
	if (!rc)
		rc = daemon_start(s);
	if (!rc)
		fprintf(stderr,
			"hs-perf: stored: opened and summed up in %.1f "
			"s\n",
			(double)(hs_clock_mono_ns() - from_ns) / 1e9);
	if (!rc)
		rc = measure(s, report, only);
	daemon_stop(s);
	return rc;
}

int hs_perf_stored(int argc, char **argv)
{
	static struct stored s;
	const char *folder = "/var/tmp", *keep = NULL, *only = NULL;
	const char *names[NR_QUESTIONS];
	bool json = false;
	const struct hs_args_option options[] = {
		{"traces", 'n', HS_ARGS_U64, &s.nr_traces, "N",
		 "how many are stored", 1000, 100000000},
		{"requests", 'r', HS_ARGS_U64, &s.nr_requests, "N",
		 "of each question", 1, REQUESTS_MAX},
		{"store", 'o', HS_ARGS_STRING, &folder, "FOLDER",
		 "where the store is made, and removed", 0, 0},
		{"keep", 'k', HS_ARGS_STRING, &keep, "FOLDER",
		 "the store itself: made there and left, or used again", 0, 0},
		{"only", 0, HS_ARGS_STRING, &only, "NAME",
		 "only questions that begin with it", 0, 0},
		{"json", 'j', HS_ARGS_FLAG, &json, NULL,
		 "one JSON object, as docs/BENCH.md says", 0, 0},
	};
	const struct hs_args_program program = {
		.name = "hs-perf stored",
		.synopsis = "[options]",
		.summary = "What `hs traces` asks, of a collector that has a "
			   "million traces.",
		.options = options,
		.nr_options = sizeof(options) / sizeof(options[0]),
		.exit_codes = "0 good\n1 invalid or not measured\n2 usage\n",
	};
	struct hs_bench_report report = {0};
	int first, rc;

	s.nr_traces = 1000000;
	s.nr_requests = 200;
	rc = hs_args_parse(&program, argc, argv, &first, stdout, stderr);
	if (rc)
		return rc == HS_ARGS_HELP ? 0 : HS_ARGS_EXIT_USAGE;
	for (uint32_t i = 0; i < NR_QUESTIONS; i++)
		names[i] = questions[i].name;
	rc = hs_bench_only(program.name, "only", only, names, NR_QUESTIONS);
	if (rc)
		return rc;
	report.json = json;
	s.slices = (struct hs_bench_slices){.slice_bytes = SLICE_BYTES,
					    .nr_nodes = 1,
					    .start_ns = START_NS,
					    .step_ns = STEP_NS,
					    .varied = true};
	s.kept = keep != NULL;
	hs_random_seed(&s.random, 1);
	if (keep)
		snprintf(s.dir, sizeof(s.dir), "%s", keep);
	else
		snprintf(s.dir, sizeof(s.dir), "%s/hs-perf-stored-%d", folder,
			 (int)getpid());
	hs_bench_control_run(&report, 200 * HS_NS_PER_MS);
	rc = run(&s, &report, only);
	if (rc)
		fprintf(stderr, "hs-perf: stored: %s\n", strerror(-rc));
	rc = hs_bench_print(&report, stdout) || rc;
	hs_bench_free(&report);
	return rc ? 1 : 0;
}
