/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see run.h. */
#include "bench/services/run.h"

#include <errno.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/bench.h"
#include "bench/services/over.h"
#include "bench/services/process.h"
#include "bench/services/sink.h"
#include "tools/replay/house.h"

#define READY_NS (60 * HS_NS_PER_SEC)
#define END_NS	 (20 * HS_NS_PER_SEC)
#define LOOK_US	 2000u
/* A lane for each loop of a process, and some for those that set it up. */
#define LANES_MORE 4u
/* Both are memory of each process: few where there are many. Who has a core to
 * himself fills as many while an agent waits for one, for milliseconds. */
#define PROCESSES_MANY	  16u
#define RING_WORDS	  16384u
#define RING_WORDS_MANY	  4096u
#define LANE_ENTRIES	  16384u
#define LANE_ENTRIES_MANY 2048u

struct launch {
	struct hs_svc_world *world;
	const struct hs_svc_fabric_options *options;
	struct hs_replay_house house;
	bool has_house, has_sink;
	char limits[256], yaml[1024];
	pid_t pids[HS_SVC_LOOPS_MAX + 1];
	uint32_t nr_pids;
	pid_t sink;
	uint64_t written_at_begin;
};

/* ---- the fabric
 * ---------------------------------------------------------------
 */

/* Where what is started next may run: "0-3,5"; NULL: anywhere. */
static int allow_cpus(const char *list, cpu_set_t *before)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	if (sched_getaffinity(0, sizeof(*before), before) || !list)
		return 0;
	while (*list) {
		char *end;
		unsigned long a = strtoul(list, &end, 10), b = a;

		if (end == list)
			return -EINVAL;
		if (*end == '-')
			b = strtoul(end + 1, &end, 10);
		for (; a <= b && a < CPU_SETSIZE; a++)
			CPU_SET(a, &set);
		list = *end == ',' ? end + 1 : end;
		if (*end && *end != ',')
			return -EINVAL;
	}
	return sched_setaffinity(0, sizeof(set), &set) ? -errno : 0;
}

static int start_house(struct launch *l)
{
	const struct hs_svc_fabric_options *o = l->options;
	const struct hs_svc_plan *p = &l->world->plan;
	bool many = p->nr_processes > PROCESSES_MANY;
	cpu_set_t before;
	int rc;

	snprintf(l->limits, sizeof(l->limits),
		 "  ring_words: %u\n  lane_entries: %u\n  lanes: %u\n"
		 "  byte_rate: %lluB\n",
		 many ? RING_WORDS_MANY : RING_WORDS,
		 many ? LANE_ENTRIES_MANY : LANE_ENTRIES,
		 (p->nr_loops + p->nr_processes - 1) / p->nr_processes +
			 LANES_MORE,
		 (unsigned long long)o->byte_rate);
	snprintf(l->yaml, sizeof(l->yaml),
		 "linger: 0s\nsampling:\n  head_ppm: %u\n%s%s",
		 (uint32_t)(o->head_share * 1e6 + 0.5),
		 o->rule ? "rules:\n" : "", o->rule ? o->rule : "");
	l->house.pool_bytes = o->pool_bytes;
	l->house.limits = l->limits;
	l->house.yaml = l->yaml;
	if (o->small_bytes && o->small_node < HS_FABRIC_NODES_MAX)
		l->house.pool_bytes_of[o->small_node] = o->small_bytes;
	l->has_house = true;
	rc = allow_cpus(o->daemon_cpus, &before);
	if (rc)
		return rc;
	rc = hs_replay_house_start(&l->house, l->world->plan.nr_nodes, NULL);
	(void)sched_setaffinity(0, sizeof(before), &before);
	for (uint32_t i = 0; !rc && i < l->world->plan.nr_nodes; i++)
		snprintf(l->world->sockets[i], sizeof(l->world->sockets[i]),
			 "%.255s", l->house.fabric.nodes[i].application);
	return rc;
}

static int start_sink(struct launch *l)
{
	uint64_t end = hs_clock_mono_ns() + READY_NS;
	cpu_set_t before;
	int rc = allow_cpus(l->options->daemon_cpus, &before);

	if (rc)
		return rc;
	l->sink = hs_svc_sink_start(l->world);
	(void)sched_setaffinity(0, sizeof(before), &before);
	if (l->sink < 0)
		return l->sink;
	l->has_sink = true;
	/* svc_sink.R2 acquire, pairs svc_sink.W1: it listens before this. */
	while (!atomic_load_explicit(&l->world->sink.port,
				     memory_order_acquire)) {
		if (hs_clock_mono_ns() > end ||
		    waitpid(l->sink, NULL, WNOHANG) == l->sink)
			return -ECONNREFUSED;
		usleep(LOOK_US);
	}
	return 0;
}

/* ---- the processes
 * ------------------------------------------------------------
 */

/* Whether one of them has ended by itself; all that have are named, since those
 * that it was connected to follow it. */
static bool somebody_died(struct launch *l)
{
	bool died = false;

	for (uint32_t i = 0; i < l->nr_pids; i++) {
		int status = 0;

		if (!l->pids[i] ||
		    waitpid(l->pids[i], &status, WNOHANG) != l->pids[i])
			continue;
		l->pids[i] = 0;
		died = true;
		fprintf(stderr,
			"hs-perf services: process %u has ended %s %d\n", i,
			WIFSIGNALED(status) ? "by signal" : "with",
			WIFSIGNALED(status) ? WTERMSIG(status)
					    : WEXITSTATUS(status));
	}
	return died;
}

static int start_processes(struct launch *l, bool generator_inline)
{
	uint32_t nr = l->world->plan.nr_processes + !generator_inline;
	uint64_t end = hs_clock_mono_ns() + READY_NS;
	int rc = hs_svc_over_connect(l->world, generator_inline);

	if (rc)
		return rc;
	for (uint32_t i = 0; i < nr; i++) {
		pid_t pid = hs_svc_process_start(l->world, i, generator_inline);

		if (pid < 0)
			return pid;
		l->pids[l->nr_pids++] = pid;
	}
	hs_svc_over_leave(l->world);
	for (uint32_t i = 0; i < nr;) {
		/* svc_world.R3 acquire, pairs svc_world.W3: it is set up. */
		if (atomic_load_explicit(&l->world->processes[i].ready,
					 memory_order_acquire) == 1) {
			i++;
			continue;
		}
		if (somebody_died(l) || hs_clock_mono_ns() > end)
			return -ETIMEDOUT;
		usleep(LOOK_US);
	}
	return 0;
}

static void stop_processes(struct launch *l)
{
	uint64_t end = hs_clock_mono_ns() + END_NS;

	/* svc_world.W4 relaxed: nothing is read because of it. */
	atomic_store_explicit(&l->world->stop, 1, memory_order_relaxed);
	for (uint32_t i = 0; i < l->nr_pids; i++) {
		while (l->pids[i] &&
		       waitpid(l->pids[i], NULL, WNOHANG) != l->pids[i]) {
			if (hs_clock_mono_ns() > end)
				kill(l->pids[i], SIGKILL);
			usleep(LOOK_US);
		}
		l->pids[i] = 0;
	}
	/* svc_world.W5 relaxed: likewise. */
	atomic_store_explicit(&l->world->stop, 2, memory_order_relaxed);
	if (l->has_sink)
		waitpid(l->sink, NULL, 0);
}

/* ---- the span
 * -----------------------------------------------------------------
 */

static void daemon_cpu(struct launch *l, uint64_t out[3])
{
	out[0] = out[1] = out[2] = 0;
	for (uint32_t i = 0; i < l->house.nr_daemons; i++) {
		const struct hs_replay_daemon *d = &l->house.daemons[i];
		uint32_t k = !strcmp(d->program, "hs-agent")	     ? 0
			     : !strcmp(d->program, "hs-coordinator") ? 1
								     : 2;

		out[k] += hs_svc_cpu_ns(d->pid);
	}
}

static int await(struct launch *l, enum hs_svc_phase phase, uint64_t ns)
{
	uint64_t end = hs_clock_mono_ns() + ns + END_NS;

	while (hs_svc_phase_get(l->world) < phase) {
		if (somebody_died(l))
			return -EPIPE;
		if (l->has_house && hs_replay_house_dead(&l->house)) {
			fputs("hs-perf services: a daemon has ended\n", stderr);
			return -EPIPE;
		}
		if (hs_clock_mono_ns() > end) {
			fputs("hs-perf services: the load does not go on\n",
			      stderr);
			return -ETIMEDOUT;
		}
		usleep(LOOK_US);
	}
	return 0;
}

static int measure(struct launch *l, struct hs_svc_outcome *out)
{
	const struct hs_svc_settings *s = &l->world->settings;
	uint64_t before[3], after[3], sink, written = 0, at, horizon;
	int rc;

	/* svc_world.W6 relaxed: the time to begin, nothing more. */
	atomic_store_explicit(&l->world->go, 1, memory_order_relaxed);
	rc = await(l, HS_SVC_PHASE_MEASURED, s->warm_ns);
	if (rc)
		return rc;
	daemon_cpu(l, before);
	sink = l->has_sink ? hs_svc_cpu_ns(l->sink) : 0;
	at = hs_clock_mono_ns();
	if (l->has_house)
		written = hs_svc_written_bytes(&l->house, &horizon);
	rc = await(l, HS_SVC_PHASE_DRAIN, s->span_ns);
	if (rc)
		return rc;
	daemon_cpu(l, after);
	out->sink_cpu_ns = l->has_sink ? hs_svc_cpu_ns(l->sink) - sink : 0;
	if (l->has_house)
		out->written_bytes =
			hs_svc_written_bytes(&l->house, &out->horizon_ns) -
			written;
	out->seconds = (double)(hs_clock_mono_ns() - at) / 1e9;
	for (uint32_t i = 0; i < 3; i++) {
		out->daemon_cpu_of[i] = after[i] - before[i];
		out->daemon_cpu_ns += out->daemon_cpu_of[i];
	}
	rc = await(l, HS_SVC_PHASE_DRAINED, s->drain_ns);
	if (rc)
		return rc;
	/* What the exporters still have is sent, and decided upon. */
	if (l->has_sink)
		usleep(300000);
	return 0;
}

/* ---- the account
 * --------------------------------------------------------------
 */

/* Called so often, and so evenly, that 1 % is told from chance: two standard
 * errors at least. */
#define COMPARED_CALLS 10000
#define COMPARED_ERROR 0.005

/* Of the services that are called often enough to tell: who is furthest off
 * what was to be expected, in counts and in standard errors. */
static void calls_off(struct hs_svc_world *w, struct hs_svc_outcome *out)
{
	const struct hs_svc_topology *t = &w->topology;
	double received = (double)w->generator.received;

	for (uint32_t s = 0; s < t->nr_services; s++) {
		double wanted = t->services[s].calls * received;
		/* Half a call, where each request has the same number. */
		double error =
			fmax(sqrt(t->services[s].variance * received), 0.5);
		double off = fabs((double)w->calls_of_service[s] - wanted);

		if (wanted < COMPARED_CALLS || error > COMPARED_ERROR * wanted)
			continue;
		out->calls_compared++;
		if (off / wanted >= out->calls_off) {
			out->calls_off = off / wanted;
			out->calls_wanted = wanted;
			out->calls_error = error / wanted;
		}
		out->calls_sigma = fmax(out->calls_sigma, off / error);
	}
}

static void add_traffic(struct hs_svc_traffic *all,
			const struct hs_svc_traffic *one)
{
	all->reads += one->reads;
	all->writes += one->writes;
	all->empty += one->empty;
	all->full += one->full;
}

static void account(struct launch *l, struct hs_svc_outcome *out)
{
	struct hs_svc_world *w = l->world;
	const struct hs_svc_generator_stats *g = &w->generator;
	double span = (double)(g->end_ns - g->begin_ns) / 1e9;
	double tick = hs_bench_ns_per_tick();
	uint64_t lost = 0;

	out->offered = w->settings.rate;
	out->achieved = (double)g->measured / span;
	out->measured = g->measured;
	out->traffic = g->traffic;
	for (uint32_t i = 0; i < w->plan.nr_loops; i++) {
		const struct hs_svc_loop_stats *s = &w->loops[i];

		add_traffic(&out->traffic, &s->traffic);
		out->client_cpu_ns += s->cpu_ns;
		out->client_busy_ns += (uint64_t)((double)s->busy_ticks * tick);
		out->spans_expected += 2 * (s->calls - s->calls_before);
		lost += s->spans_dropped + s->refused + s->contexts_bad;
		if (w->settings.tracer >= HS_SVC_TRACER_HEAD)
			out->network_bytes += s->bytes_sent;
	}
	for (uint32_t i = 0; i < w->plan.nr_processes; i++) {
		lost += w->processes[i].lost - w->processes[i].lost_before;
		out->lost_before += w->processes[i].lost_before;
	}
	if (out->spans_expected)
		out->lost_share = (double)lost / (double)out->spans_expected;
	calls_off(w, out);
}

static void details_capture(json_t *d, const char *name,
			    const struct hs_svc_capture *c)
{
	json_t *causes = json_object();

	for (uint32_t why = 0; why < HS_ASSEMBLY_NR_WHYS; why++)
		if (c->causes[why])
			json_object_set_new(
				causes,
				hs_assembly_why_name((enum hs_assembly_why)why),
				json_integer((json_int_t)c->causes[why]));
	json_object_set_new(
		d, name,
		json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "all",
			  (json_int_t)c->all, "whole", (json_int_t)c->whole,
			  "partial", (json_int_t)c->partial, "open",
			  (json_int_t)c->open, "missing",
			  (json_int_t)c->missing, "evicted",
			  (json_int_t)c->causes[HS_ASSEMBLY_WHY_EVICTED],
			  "causes", causes));
}

/* What travelled over what, and who was called how often, warm-up included. */
static void details_calls(const struct hs_svc_world *w,
			  const struct hs_svc_traffic *t, json_t *d)
{
	json_t *calls = json_object();

	for (uint32_t s = 0; s < w->topology.nr_services; s++)
		json_object_set_new(
			calls, w->topology.services[s].name,
			json_integer((json_int_t)w->calls_of_service[s]));
	json_object_set_new(d, "calls", calls);
	json_object_set_new(d, "received",
			    json_integer((json_int_t)w->generator.received));
	json_object_set_new(d, "over",
			    json_string(hs_svc_over_name(w->settings.over)));
	json_object_set_new(
		d,
		w->settings.over == HS_SVC_OVER_DPDK ? "bursts"
						     : "system_calls",
		json_pack("{s:I, s:I, s:I, s:I}", "reads", (json_int_t)t->reads,
			  "empty", (json_int_t)t->empty, "writes",
			  (json_int_t)t->writes, "full", (json_int_t)t->full));
}

#define NUMBER(d, o, field)                                                    \
	json_object_set_new(d, #field, json_real((double)(o)->field))

static void details_fill(struct launch *l, const struct hs_svc_outcome *o,
			 json_t *d)
{
	struct hs_svc_world *w = l->world;
	const struct hs_svc_generator_stats *g = &w->generator;
	const struct hs_histogram *h = &g->latency;
	uint64_t spans_sent = 0, spans_dropped = 0, fired = 0;
	uint64_t nulls = 0, entries = 0, handles = 0;

	for (uint32_t i = 0; i < w->plan.nr_loops; i++) {
		spans_sent += w->loops[i].spans_sent;
		spans_dropped += w->loops[i].spans_dropped;
		fired += w->loops[i].fired;
	}
	for (uint32_t i = 0; i < w->plan.nr_processes; i++) {
		nulls += w->processes[i].buffers_null;
		entries += w->processes[i].entries_lost;
		handles += w->processes[i].handles_lost;
	}
	json_object_set_new(d, "lost_buffers", json_integer((json_int_t)nulls));
	json_object_set_new(d, "lost_entries",
			    json_integer((json_int_t)entries));
	json_object_set_new(d, "lost_handles",
			    json_integer((json_int_t)handles));
	NUMBER(d, o, offered);
	NUMBER(d, o, achieved);
	NUMBER(d, o, seconds);
	NUMBER(d, o, lost_share);
	NUMBER(d, o, lost_before);
	NUMBER(d, o, client_cpu_ns);
	NUMBER(d, o, client_busy_ns);
	NUMBER(d, o, daemon_cpu_ns);
	NUMBER(d, o, sink_cpu_ns);
	NUMBER(d, o, measured);
	NUMBER(d, o, network_bytes);
	NUMBER(d, o, traces_bytes);
	NUMBER(d, o, slices_bytes);
	NUMBER(d, o, written_bytes);
	NUMBER(d, o, nr_collected);
	NUMBER(d, o, horizon_ns);
	NUMBER(d, o, calls_compared);
	NUMBER(d, o, calls_off);
	NUMBER(d, o, calls_wanted);
	NUMBER(d, o, calls_error);
	NUMBER(d, o, calls_sigma);
	json_object_set_new(d, "fired", json_integer((json_int_t)fired));
	json_object_set_new(d, "spans_sent",
			    json_integer((json_int_t)spans_sent));
	json_object_set_new(d, "spans_dropped",
			    json_integer((json_int_t)spans_dropped));
	json_object_set_new(d, "sink_spans",
			    json_integer((json_int_t)w->sink.spans));
	json_object_set_new(d, "unsent", json_integer((json_int_t)g->unsent));
	json_object_set_new(d, "mean_ns", json_real(hs_histogram_mean(h)));
	json_object_set_new(
		d, "p50_ns",
		json_integer((json_int_t)hs_histogram_quantile(h, 0.5)));
	json_object_set_new(
		d, "p99_ns",
		json_integer((json_int_t)hs_histogram_quantile(h, 0.99)));
	json_object_set_new(
		d, "p999_ns",
		json_integer((json_int_t)hs_histogram_quantile(h, 0.999)));
	json_object_set_new(d, "latency", hs_svc_histogram_json(h));
	details_calls(w, &o->traffic, d);
	details_capture(d, "edge", &o->edge);
	details_capture(d, "faulty", &o->faulty);
	details_capture(d, "costly", &o->costly);
}

static int verify(struct launch *l, struct hs_svc_outcome *out, json_t *details,
		  const char *truths)
{
	json_t *types = json_object();
	int rc = 0;

	if (l->has_house) {
		rc = hs_svc_verify_hindsight(l->world, &l->house, out, details,
					     truths);
		out->network_bytes = hs_svc_network_bytes(
			&l->house, &out->slices_bytes, types);
	}
	if (details)
		json_object_set(details, "network", types);
	json_decref(types);
	stop_processes(l);
	if (l->has_sink)
		rc = hs_svc_verify_sink(l->world, out, truths);
	return rc;
}

int hs_svc_run(const struct hs_svc_settings *settings,
	       const struct hs_svc_fabric_options *fabric,
	       const struct hs_svc_topology *topology,
	       const struct hs_svc_plan *plan, bool generator_inline,
	       struct hs_svc_outcome *out, json_t *details, const char *truths)
{
	struct launch *l = calloc(1, sizeof(*l));
	enum hs_svc_tracer tracer = settings->tracer;
	int rc = 0;

	*out = (struct hs_svc_outcome){0};
	if (!l)
		return -ENOMEM;
	l->options = fabric;
	l->world = hs_svc_world_make(settings, plan, topology);
	if (!l->world) {
		free(l);
		return -ENOMEM;
	}
	if (tracer == HS_SVC_TRACER_HINDSIGHT)
		rc = start_house(l);
	else if (tracer > HS_SVC_TRACER_HINDSIGHT && !settings->otlp_port)
		rc = start_sink(l);
	if (!rc)
		rc = start_processes(l, generator_inline);
	if (!rc)
		rc = measure(l, out);
	if (!rc)
		rc = verify(l, out, details, truths);
	stop_processes(l);
	hs_svc_over_free(l->world);
	if (!rc) {
		account(l, out);
		if (details)
			details_fill(l, out, details);
	}
	if (l->has_house)
		hs_replay_house_stop(&l->house);
	hs_svc_world_free(l->world);
	free(l);
	return rc;
}
