/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: hs-perf services: runs as they are asked for, and their figures in
 * the one format of results.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/args.h"
#include "base/clock.h"
#include "bench/bench.h"
#include "bench/load.h"
#include "bench/services/options.h"

#define STALLS_NS (300 * HS_NS_PER_MS)
#define TURNS_MAX 100u
/* More than two cores carry: what comes out is what they can do. */
#define SATURATION 2e7
#define CROSSING   0.9

struct figures {
	struct hs_bench_report report;
	json_t *details;
};

static int run(struct hs_svc_options *o, struct figures *f, double rate,
	       struct hs_svc_outcome *out)
{
	json_t *d = json_object();
	int rc;

	o->settings.rate = rate;
	rc = hs_svc_run(&o->settings, &o->fabric, &o->loaded, &o->plan,
			o->generator_inline, out, d, o->truths);
	json_array_append_new(f->details, d);
	return rc;
}

static void show_topology(const struct hs_svc_options *o)
{
	const struct hs_svc_topology *t = &o->loaded;

	fprintf(stderr,
		"%s: %u services, %u interfaces, %u calls; left out: %u of "
		"what is not there, %u that close circles; %.4g calls and "
		"%.4g ms of execution a request, times %g\n"
		"%u nodes, %u processes, %u loops\n",
		o->topology, t->nr_services, t->nr_apis, t->nr_edges,
		t->nr_missing, t->nr_back, t->visits, t->exec_ms,
		o->settings.time_scale, o->plan.nr_nodes, o->plan.nr_processes,
		o->plan.nr_loops);
}

/* ---- runs as asked for
 * --------------------------------------------------------
 */

static struct hs_bench_result *single(struct figures *f, const char *name,
				      const char *unit, double value,
				      uint64_t n, double lost)
{
	struct hs_bench_result *r = hs_bench_add(&f->report, name, unit);

	r->median = r->p99 = r->low = r->high = value;
	r->n = n;
	r->lost_share = lost;
	return r;
}

static double latency(const json_t *d, const char *name)
{
	return json_number_value(json_object_get(d, name)) / 1e3;
}

static double per_request(const struct hs_svc_outcome *o)
{
	return o->measured ? (double)(o->client_busy_ns + o->daemon_cpu_ns +
				      o->sink_cpu_ns) /
				     (double)o->measured
			   : 0;
}

static void report_capture(struct figures *f, const char *name,
			   const struct hs_svc_capture *c, double lost)
{
	struct hs_bench_result *r;
	size_t used;

	if (!c->all)
		return;
	r = hs_bench_add(&f->report, name, "share");
	hs_load_share(r, c->whole, c->all);
	r->lost_share = lost;
	snprintf(r->note, sizeof(r->note),
		 "partial %llu, open %llu, missing %llu",
		 (unsigned long long)c->partial, (unsigned long long)c->open,
		 (unsigned long long)c->missing);
	for (uint32_t why = 0; why < HS_ASSEMBLY_NR_WHYS; why++) {
		used = strlen(r->note);
		if (c->causes[why])
			snprintf(
				r->note + used, sizeof(r->note) - used,
				"; %s %llu",
				hs_assembly_why_name((enum hs_assembly_why)why),
				(unsigned long long)c->causes[why]);
	}
}

/* Who says how much of it: bytes of each type for a collected trace. */
static void report_types(struct figures *f, const json_t *types, uint64_t nr)
{
	const char *type;
	const json_t *one;

	json_object_foreach((json_t *)(uintptr_t)types, type, one)
	{
		double bytes = json_number_value(json_object_get(one, "bytes"));
		double messages =
			json_number_value(json_object_get(one, "messages"));
		struct hs_bench_result *r;
		char name[48];

		if (bytes / (double)nr < 1)
			continue;
		snprintf(name, sizeof(name), "network_%s", type);
		r = single(f, name, "B", bytes / (double)nr, nr, 0);
		snprintf(r->note, sizeof(r->note),
			 "for a collected trace, in %.3g messages",
			 messages / (double)nr);
	}
}

static void report_network(const struct hs_svc_options *o, struct figures *f,
			   const struct hs_svc_outcome *out, const json_t *d)
{
	struct hs_bench_result *r;

	if (o->settings.tracer == HS_SVC_TRACER_HINDSIGHT &&
	    out->traces_bytes) {
		r = single(f, "network_ratio", "x",
			   (double)out->network_bytes /
				   (double)out->traces_bytes,
			   out->nr_collected, 0);
		snprintf(r->note, sizeof(r->note),
			 "%.3g MB of slices and %.3g of everything else, over "
			 "%.3g MB of collected traces",
			 (double)out->slices_bytes / 1e6,
			 ((double)out->network_bytes -
			  (double)out->slices_bytes) /
				 1e6,
			 (double)out->traces_bytes / 1e6);
		report_types(f, json_object_get(d, "network"),
			     out->nr_collected);
	}
	if (out->written_bytes) {
		r = single(f, "trace_bytes_per_s", "B/s",
			   (double)out->written_bytes / out->seconds,
			   out->measured, out->lost_share);
		snprintf(r->note, sizeof(r->note), "event horizon %.3g s",
			 (double)out->horizon_ns / 1e9);
	}
}

static double system_calls(const struct hs_svc_outcome *o)
{
	return o->measured ? (double)(o->traffic.reads + o->traffic.writes) /
				     (double)o->measured
			   : 0;
}

/* What the kernel is asked for a request, by loops and the generator. */
static void report_traffic(const struct hs_svc_options *o, struct figures *f,
			   const struct hs_svc_outcome *out)
{
	bool dpdk = o->settings.over == HS_SVC_OVER_DPDK;
	double n = (double)(out->measured + 1);
	struct hs_bench_result *r;

	r = single(f, dpdk ? "services_bursts" : "services_system_calls", "ops",
		   system_calls(out), out->measured, out->lost_share);
	snprintf(r->note, sizeof(r->note),
		 "%s a request: writes %.3g, reads %.3g, of which %.3g found "
		 "nothing; %llu writes found %s full",
		 dpdk ? "bursts" : "system calls",
		 (double)out->traffic.writes / n,
		 (double)out->traffic.reads / n, (double)out->traffic.empty / n,
		 (unsigned long long)out->traffic.full,
		 dpdk ? "a port" : "a socket");
}

static void report_run(const struct hs_svc_options *o, struct figures *f,
		       const struct hs_svc_outcome *out)
{
	const json_t *d =
		json_array_get(f->details, json_array_size(f->details) - 1);
	double tracer_lost = out->lost_share, error;
	struct hs_bench_result *r;

	r = single(f, "services_rate", "ops/s", out->achieved, out->measured,
		   tracer_lost);
	snprintf(r->note, sizeof(r->note),
		 "%s, offered %.4g/s; latency mean %.4g us, p50 %.4g, p99 "
		 "%.4g, p99.9 %.4g",
		 o->tracer, out->offered, latency(d, "mean_ns"),
		 latency(d, "p50_ns"), latency(d, "p99_ns"),
		 latency(d, "p999_ns"));
	r = single(f, "services_cpu", "ns", per_request(out), out->measured,
		   tracer_lost);
	snprintf(r->note, sizeof(r->note),
		 "a request: loops %.4g, agents %.4g, coordinator %.4g, "
		 "collector %.4g",
		 (double)out->client_busy_ns / (double)(out->measured + 1),
		 (double)out->daemon_cpu_of[0] / (double)(out->measured + 1),
		 (double)out->daemon_cpu_of[1] / (double)(out->measured + 1),
		 (double)(out->daemon_cpu_of[2] + out->sink_cpu_ns) /
			 (double)(out->measured + 1));
	if (o->settings.over != HS_SVC_OVER_RINGS)
		report_traffic(o, f, out);
	report_capture(f, "edge_capture", &out->edge, 0);
	report_capture(f, "faulty_capture", &out->faulty, 0);
	report_capture(f, "costly_capture", &out->costly, 0);
	report_network(o, f, out, d);
	if (o->settings.tracer == HS_SVC_TRACER_BARE)
		return;
	if (!out->calls_compared) {
		fputs("hs-perf services: services_calls_off: nothing was "
		      "compared: no service is called so often that 1 % is "
		      "two standard errors; a longer --span or a higher "
		      "--rate would do\n",
		      stderr);
		return;
	}
	r = single(f, "services_calls_off", "share", out->calls_off,
		   (uint64_t)out->calls_wanted, 0);
	/* Of that one service: the furthest of many is further. */
	error = 1.96 * out->calls_error;
	r->low = out->calls_off > error ? out->calls_off - error : 0;
	r->high = out->calls_off + error;
	snprintf(r->note, sizeof(r->note),
		 "of the service furthest off its expectation, n, of %llu; at "
		 "most %.2g standard errors of any; of %llu requests",
		 (unsigned long long)out->calls_compared, out->calls_sigma,
		 (unsigned long long)out->measured);
}

/* ---- two services
 * --------------------------------------------------------------
 */

struct side {
	double rate[TURNS_MAX], ratio[TURNS_MAX], p99[TURNS_MAX];
	double cpu[TURNS_MAX], system_calls[TURNS_MAX], lost;
	/* A request's: of loops, agents, the coordinator, the collector. */
	double part[4][TURNS_MAX];
	uint64_t n;
};

static int turn(struct hs_svc_options *o, struct figures *f, const char *tracer,
		double rate, struct side *s, uint64_t k)
{
	struct hs_svc_outcome out;
	int rc;

	o->tracer = tracer;
	rc = hs_svc_tracer_parse(o, tracer);
	if (!rc)
		rc = run(o, f, rate, &out);
	if (rc)
		return rc;
	s->rate[k] = out.achieved;
	s->cpu[k] = per_request(&out);
	for (uint32_t i = 0; i < 4 && out.measured; i++)
		s->part[i][k] = (double)(i ? out.daemon_cpu_of[i - 1]
					   : out.client_busy_ns) /
				(double)out.measured;
	s->p99[k] = latency(
		json_array_get(f->details, json_array_size(f->details) - 1),
		"p99_ns");
	s->system_calls[k] = system_calls(&out);
	s->n += out.measured;
	if (out.lost_share > s->lost)
		s->lost = out.lost_share;
	return 0;
}

static void report_side(const struct hs_svc_options *o, struct figures *f,
			const char *name, struct side *s, const char *against,
			const char *note)
{
	struct hs_bench_result *r = hs_bench_add(&f->report, name, "ops/s");
	uint64_t turns = o->turns;

	hs_bench_summarize(r, s->rate, turns);
	r->n = s->n;
	r->lost_share = s->lost;
	hs_bench_ratio_add(r, against, hs_bench_median(s->ratio, turns));
	if (o->settings.over != HS_SVC_OVER_RINGS)
		snprintf(r->note, sizeof(r->note),
			 "%s; over %s, %.3g %s a request", note,
			 hs_svc_over_name(o->settings.over),
			 hs_bench_median(s->system_calls, turns),
			 o->settings.over == HS_SVC_OVER_DPDK ? "bursts"
							      : "system calls");
	else
		snprintf(r->note, sizeof(r->note), "%s", note);
}

/* Latency at the rate asked for, of which the machine's is in both sides. */
static void report_p99(const struct hs_svc_options *o, struct figures *f,
		       struct side *calm, struct side *off)
{
	struct hs_bench_result *r =
		hs_bench_add(&f->report, "services_two_p99", "us");
	double ratios[TURNS_MAX];

	for (uint64_t k = 0; k < o->turns; k++)
		ratios[k] = calm->p99[k] / off->p99[k];
	hs_bench_summarize(r, calm->p99, o->turns);
	r->n = calm->n;
	r->lost_share = calm->lost;
	hs_bench_ratio_add(r, "off", hs_bench_median(ratios, o->turns));
	snprintf(r->note, sizeof(r->note),
		 "99th percentile of latency, traced, at %.4g/s", o->rate[0]);
}

/* ---- the same, where a call has something to do
 * ------------------------------
 */

/* Of each call, from here on. */
static void work_set(struct hs_svc_options *o, double ns)
{
	o->loaded.exec_ms = 0;
	for (uint32_t i = 0; i < o->loaded.nr_apis; i++) {
		o->loaded.apis[i].exec_ms = ns / 1e6;
		o->loaded.exec_ms += ns / 1e6;
	}
	o->settings.time_scale = 1;
	o->settings.work = HS_SVC_WORK_SPIN;
}

/* Where 90 % is crossed, by a line between the two on either side of it. */
static void report_crossing(const struct hs_svc_options *o, struct figures *f,
			    const double *ratios)
{
	for (uint32_t i = 1; i < o->nr_works; i++) {
		double low = ratios[i - 1], high = ratios[i];
		struct hs_bench_result *r;

		if (low >= CROSSING || high < CROSSING)
			continue;
		r = single(f, "services_work_90", "us",
			   (o->work_ns[i - 1] +
			    (CROSSING - low) / (high - low) *
				    (o->work_ns[i] - o->work_ns[i - 1])) /
				   1e3,
			   o->turns, 0);
		snprintf(r->note, sizeof(r->note),
			 "work of a call with which services carry 90 %% of "
			 "what they do without tracing");
		return;
	}
}

/* At more than they can, each call with so much to do. Off and traced take
 * turns at going first. */
static int works(struct hs_svc_options *o, struct figures *f)
{
	double ratios[HS_SVC_WORKS_MAX];
	int rc = 0;

	for (uint32_t i = 0; i < o->nr_works && !rc; i++) {
		struct side off = {0}, traced = {0};
		char name[48], note[96];

		work_set(o, o->work_ns[i]);
		for (uint64_t k = 0; k < o->turns && !rc; k++) {
			rc = turn(o, f, k % 2 ? "hindsight" : "none",
				  SATURATION, k % 2 ? &traced : &off, k);
			if (!rc)
				rc = turn(o, f, k % 2 ? "none" : "hindsight",
					  SATURATION, k % 2 ? &off : &traced,
					  k);
			traced.ratio[k] = traced.rate[k] / off.rate[k];
		}
		if (rc)
			break;
		ratios[i] = hs_bench_median(traced.ratio, o->turns);
		snprintf(name, sizeof(name), "services_work_%.0fns",
			 o->work_ns[i]);
		snprintf(note, sizeof(note),
			 "every request traced, each call spins %.4g us; off "
			 "%.4g/s",
			 o->work_ns[i] / 1e3,
			 hs_bench_median(off.rate, o->turns));
		report_side(o, f, name, &traced, "off", note);
	}
	if (!rc)
		report_crossing(o, f, ratios);
	return rc;
}

/* Of the same turns; medians, so that they need not add up. */
static void report_cost(const struct hs_svc_options *o, struct figures *f,
			struct side *calm, const struct side *off)
{
	struct hs_bench_result *r =
		hs_bench_add(&f->report, "cpu_ns_per_request", "ns");
	double cost[TURNS_MAX], loops[TURNS_MAX];
	uint64_t turns = o->turns;

	for (uint64_t k = 0; k < turns; k++) {
		cost[k] = calm->cpu[k] - off->cpu[k];
		loops[k] = calm->part[0][k] - off->part[0][k];
	}
	hs_bench_summarize(r, cost, turns);
	r->n = calm->n;
	r->lost_share = calm->lost;
	snprintf(r->note, sizeof(r->note),
		 "of tracing at %.4g/s: loops (traced less off) %.4g, agents "
		 "%.4g, coordinator %.3g, collector %.3g",
		 o->rate[0], hs_bench_median(loops, turns),
		 hs_bench_median(calm->part[1], turns),
		 hs_bench_median(calm->part[2], turns),
		 hs_bench_median(calm->part[3], turns));
}

/* All at more than they can; then off and traced at what was asked for, which
 * is where the cost of a request is taken. */
static int two(struct hs_svc_options *o, struct figures *f)
{
	static struct side bare, off, traced, calm_off, calm;
	int rc = 0;

	for (uint64_t k = 0; k < o->turns && !rc; k++) {
		rc = turn(o, f, "bare", SATURATION, &bare, k);
		if (!rc)
			rc = turn(o, f, "none", SATURATION, &off, k);
		if (!rc)
			rc = turn(o, f, "hindsight", SATURATION, &traced, k);
		if (!rc)
			rc = turn(o, f, "none", o->rate[0], &calm_off, k);
		if (!rc)
			rc = turn(o, f, "hindsight", o->rate[0], &calm, k);
		off.ratio[k] = off.rate[k] / bare.rate[k];
		traced.ratio[k] = traced.rate[k] / off.rate[k];
		calm.ratio[k] = calm.rate[k] / calm_off.rate[k];
	}
	if (rc)
		return rc;
	report_side(o, f, "services_two_off", &off,
		    hs_svc_over_name(o->settings.over),
		    "two services, no tracing");
	report_side(o, f, "services_two_traced", &traced, "off",
		    "every request traced, offered more than it takes");
	report_side(o, f, "services_two_calm", &calm, "off",
		    "every request traced, at the rate asked for");
	report_cost(o, f, &calm, &calm_off);
	report_p99(o, f, &calm, &calm_off);
	return works(o, f);
}

static int save(const struct hs_svc_options *o, const struct figures *f)
{
	if (!o->details ||
	    !json_dump_file(f->details, o->details,
			    JSON_INDENT(1) | JSON_REAL_PRECISION(8)))
		return 0;
	fprintf(stderr, "hs-perf services: cannot write %s\n", o->details);
	return 1;
}

int hs_perf_services(int argc, char **argv)
{
	struct hs_svc_options *o;
	struct figures f = {.details = json_array()};
	int rc;

	rc = hs_svc_options_parse(&o, argc, argv);
	if (rc) {
		json_decref(f.details);
		return rc == 1 ? 0 : HS_ARGS_EXIT_USAGE;
	}
	f.report.json = o->json;
	show_topology(o);
	hs_bench_control_run(&f.report, STALLS_NS);
	if (o->two)
		rc = two(o, &f);
	for (uint32_t i = 0; !o->two && !rc && i < o->nr_rates; i++) {
		struct hs_svc_outcome out;

		rc = run(o, &f, o->rate[i], &out);
		if (!rc)
			report_run(o, &f, &out);
	}
	/* All but the control run, which is the machine's. */
	for (size_t i = 1; i < f.report.nr_results; i++)
		f.report.results[i].calls = hs_svc_over_name(o->settings.over);
	rc = save(o, &f) || rc;
	rc = hs_bench_print(&f.report, stdout) || rc;
	hs_bench_free(&f.report);
	json_decref(f.details);
	hs_svc_topology_free(&o->loaded);
	return rc ? 1 : 0;
}
