/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what was captured, against what the generator saw: a trace is whole
 * when its collector calls it complete and has as many spans as the replies
 * counted; see run.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/hex.h"
#include "base/httpc.h"
#include "bench/services/run.h"
#include "tools/replay/house.h"

#define QUIET_NS (2 * HS_NS_PER_SEC)
#define LOOK_US	 200000u
/* For the collector to sum up what it has, so that spans can be counted. */
#define SUMMED_NS (120 * HS_NS_PER_SEC)

enum capture { MISSING, WHOLE, PARTIAL, OPEN };

struct captured {
	uint64_t hi, lo;
	uint64_t duration_ns;
	uint32_t spans;
	enum capture what;
	bool is_summed;	 /* else its spans are not known yet */
	uint32_t causes; /* bits of enum hs_assembly_why */
};

struct table {
	struct captured *slots; /* by hash; lo 0: free */
	uint64_t mask;
};

static int table_make(struct table *t, uint64_t nr)
{
	uint64_t size = 1024;

	while (size < nr * 2)
		size *= 2;
	t->mask = size - 1;
	t->slots = calloc(size, sizeof(*t->slots));
	return t->slots ? 0 : -ENOMEM;
}

static struct captured *find(const struct table *t, uint64_t hi, uint64_t lo)
{
	uint64_t at = hs_hash_mix64(hi ^ hs_hash_mix64(lo));

	while (t->slots[at & t->mask].lo && (t->slots[at & t->mask].hi != hi ||
					     t->slots[at & t->mask].lo != lo))
		at++;
	return &t->slots[at & t->mask];
}

/* ---- groups
 * ---------------------------------------------------------------------
 */

static void count(struct hs_svc_capture *g, const struct captured *c,
		  enum capture what)
{
	g->all++;
	g->whole += what == WHOLE;
	g->partial += what == PARTIAL;
	g->open += what == OPEN;
	g->missing += what == MISSING;
	for (uint32_t why = 0; why < HS_ASSEMBLY_NR_WHYS; why++)
		g->causes[why] += what == PARTIAL && c->causes >> why & 1;
}

static enum capture judge(const struct hs_svc_truth *t,
			  const struct captured *c)
{
	if (!c->lo)
		return MISSING;
	if (c->what == WHOLE && c->spans != t->spans)
		return PARTIAL;
	return c->what;
}

static int compare(struct hs_svc_world *w, const struct table *table,
		   struct hs_svc_outcome *out, const char *path)
{
	static const char *const names[] = {"missing", "whole", "partial",
					    "open"};
	FILE *f = path ? fopen(path, "we") : NULL;

	if (path && !f)
		return -errno;
	if (f)
		fputs("at_ns,latency_ns,service,marks,spans,nodes,captured\n",
		      f);
	for (uint64_t i = 0; i < w->generator.nr_truths; i++) {
		const struct hs_svc_truth *t = &w->truths[i];
		const struct captured *c = find(table, t->hi, t->lo);
		enum capture what = judge(t, c);

		if (t->marks & HS_SVC_MARK_SHOWN)
			count(&out->edge, c, what);
		if (t->marks & HS_SVC_MARK_FAULTY)
			count(&out->faulty, c, what);
		if (t->marks & HS_SVC_MARK_COSTLY)
			count(&out->costly, c, what);
		count(&out->any, c, what);
		if (f)
			fprintf(f, "%llu,%llu,%s,%u,%u,%d,%s\n",
				(unsigned long long)t->at_ns,
				(unsigned long long)t->latency_ns,
				w->topology
					.services[w->topology.apis[t->api]
							  .service]
					.name,
				t->marks, t->spans,
				__builtin_popcountll(t->nodes), names[what]);
	}
	return f && fclose(f) ? -EIO : 0;
}

/* ---- hindsight
 * --------------------------------------------------------------------
 */

static json_t *ask(const char *socket, const char *path)
{
	struct hs_httpc_target target = {.socket_path = socket,
					 .timeout_ns = 30 * HS_NS_PER_SEC};
	struct hs_httpc_response response;
	json_t *answer = NULL;

	if (!hs_httpc_request(&target, "GET", path, NULL, &response) &&
	    response.status == 200)
		answer =
			json_loadb(response.body, response.body_bytes, 0, NULL);
	hs_httpc_response_free(&response);
	return answer;
}

static uint64_t number(const json_t *o, const char *a, const char *b)
{
	return (uint64_t)json_integer_value(
		json_object_get(a ? json_object_get(o, a) : o, b));
}

/* Until what is stored has stood still for a while, and nothing is open. */
static void settle(struct hs_replay_house *house, uint64_t patience_ns)
{
	uint64_t end = hs_clock_mono_ns() + patience_ns, since = 0;
	uint64_t last = UINT64_MAX;

	while (hs_clock_mono_ns() < end) {
		json_t *s = ask(house->fabric.collectors[0], "/v1/status");
		uint64_t now = hs_clock_mono_ns();
		uint64_t seen = number(s, "traces", "complete") * 31 +
				number(s, "traces", "partial") * 17 +
				number(s, "assembly", "slices") +
				number(s, "assembly", "manifests");
		uint64_t open = number(s, "traces", "open");

		json_decref(s);
		if (seen != last)
			since = now;
		last = seen;
		if (now - since > (open ? 2 * QUIET_NS : QUIET_NS / 2))
			return;
		usleep(LOOK_US);
	}
}

static uint32_t causes_of(const json_t *row)
{
	const json_t *one;
	uint32_t causes = 0;
	size_t i;

	json_array_foreach(json_object_get(row, "causes"), i, one)
	{
		const char *cause =
			json_string_value(json_object_get(one, "cause"));

		for (uint32_t why = 0; cause && why < HS_ASSEMBLY_NR_WHYS;
		     why++)
			if (!strcmp(cause, hs_assembly_why_name(
						   (enum hs_assembly_why)why)))
				causes |= 1u << why;
	}
	return causes;
}

static struct captured captured_of(const json_t *row)
{
	const char *id = json_string_value(json_object_get(row, "trace_id"));
	const char *mark = json_string_value(json_object_get(row, "mark"));
	struct captured c = {.what = OPEN};

	if (!id || !mark || hs_hex_u128_parse(id, strlen(id), &c.hi, &c.lo))
		return (struct captured){0};
	c.spans = (uint32_t)json_integer_value(json_object_get(row, "spans"));
	c.duration_ns = (uint64_t)json_integer_value(
		json_object_get(row, "duration_ns"));
	if (!strcmp(mark, "complete"))
		c.what = WHOLE;
	else if (!strcmp(mark, "partial"))
		c.what = PARTIAL;
	c.is_summed = !json_is_true(json_object_get(row, "stale"));
	c.causes = causes_of(row);
	return c;
}

/* Until each trace that is there says how many spans it has. */
static void wait_summed(struct hs_replay_house *house)
{
	uint64_t end = hs_clock_mono_ns() + SUMMED_NS;

	while (hs_clock_mono_ns() < end) {
		json_t *s = ask(house->fabric.collectors[0], "/v1/status");
		uint64_t stale = number(s, "traces", "stale");

		json_decref(s);
		if (!stale)
			return;
		usleep(LOOK_US);
	}
}

static json_t *list(struct hs_replay_house *house)
{
	json_t *answer =
		ask(house->fabric.collectors[0], "/v1/traces?limit=1000000");

	if (!json_object_get(answer, "traces")) {
		fprintf(stderr, "hs-perf services: the collector does not "
				"list its traces\n");
		json_decref(answer);
		return NULL;
	}
	return answer;
}

/* What there is now. Return: whether all of it has been summed up */
static bool take_all(const struct table *table, const json_t *rows)
{
	bool is_summed = true;
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		struct captured c = captured_of(row);

		if (c.lo)
			*find(table, c.hi, c.lo) = c;
		is_summed &= !c.lo || c.is_summed;
	}
	return is_summed;
}

/* The spans of those that were there before; what came later does not count,
 * and what was not whole has not become so in time. */
static void take_sums(const struct table *table, const json_t *rows)
{
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		struct captured c = captured_of(row);
		struct captured *there = find(table, c.hi, c.lo);

		if (!c.lo || !there->lo)
			continue;
		if (there->what != WHOLE) {
			c.what = there->what;
			c.causes = there->causes;
		}
		*there = c;
	}
}

static int take(struct hs_replay_house *house, struct table *table,
		struct hs_svc_outcome *out, struct hs_histogram *durations)
{
	json_t *answer = list(house);
	const json_t *row;
	size_t i;
	int rc = -EIO;

	if (answer)
		rc = table_make(table, json_array_size(json_object_get(
					       answer, "traces")));
	if (!rc && !take_all(table, json_object_get(answer, "traces"))) {
		wait_summed(house);
		json_decref(answer);
		answer = list(house);
		if (answer)
			take_sums(table, json_object_get(answer, "traces"));
		else
			rc = -EIO;
	}
	json_array_foreach(json_object_get(answer, "traces"), i, row)
	{
		struct captured c = captured_of(row);

		if (!c.lo || !find(table, c.hi, c.lo)->lo)
			continue;
		out->nr_collected++;
		out->traces_bytes += (uint64_t)json_integer_value(
			json_object_get(row, "bytes"));
		hs_histogram_record(durations, c.duration_ns);
	}
	json_decref(answer);
	return rc;
}

int hs_svc_verify_hindsight(struct hs_svc_world *w,
			    struct hs_replay_house *house,
			    struct hs_svc_outcome *out, json_t *details,
			    const char *truths)
{
	struct hs_histogram *durations = calloc(1, sizeof(*durations));
	struct table table = {0};
	int rc;

	if (!durations)
		return -ENOMEM;
	hs_histogram_init(durations);
	settle(house, w->settings.settle_ns);
	rc = take(house, &table, out, durations);
	if (!rc)
		rc = compare(w, &table, out, truths);
	if (!rc && details)
		json_object_set_new(details, "collected_durations",
				    hs_svc_histogram_json(durations));
	free(table.slots);
	free(durations);
	return rc;
}

/* ---- a collector that samples at the tail
 * ---------------------------------------
 */

int hs_svc_verify_sink(struct hs_svc_world *w, struct hs_svc_outcome *out,
		       const char *truths)
{
	const struct hs_svc_sink_stats *s = &w->sink;
	struct table table;
	int rc = table_make(&table, s->nr_kept);

	if (rc)
		return rc;
	for (uint64_t i = 0; i < s->nr_kept; i++)
		*find(&table, s->kept[i].hi, s->kept[i].lo) =
			(struct captured){.hi = s->kept[i].hi,
					  .lo = s->kept[i].lo,
					  .spans = s->kept[i].spans,
					  .what = WHOLE};
	out->nr_collected = s->nr_kept;
	rc = compare(w, &table, out, truths);
	free(table.slots);
	return rc;
}

/* ---- counters of daemons
 * ----------------------------------------------------------
 */

uint64_t hs_svc_cpu_ns(int pid)
{
	struct timespec t = {0};
	clockid_t clock;
	char path[64];
	int child;
	uint64_t ns;
	FILE *f;

	if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &t))
		return 0;
	ns = (uint64_t)t.tv_sec * HS_NS_PER_SEC + (uint64_t)t.tv_nsec;
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	f = fopen(path, "re");
	if (!f)
		return ns;
	while (fscanf(f, "%d", &child) == 1)
		ns += hs_svc_cpu_ns(child);
	fclose(f);
	return ns;
}

/* By type of message, over all daemons so far. */
static void types_add(json_t *types, const json_t *sent)
{
	const char *name;
	const json_t *one;

	json_object_foreach((json_t *)(uintptr_t)sent, name, one)
	{
		json_t *sum = json_object_get(types, name);

		json_object_set_new(
			types, name,
			json_pack("{s:I, s:I}", "messages",
				  number(sum, NULL, "messages") +
					  number(one, NULL, "messages"),
				  "bytes",
				  number(sum, NULL, "bytes") +
					  number(one, NULL, "bytes")));
	}
}

static uint64_t sent_by(const char *socket, json_t *types)
{
	json_t *s = ask(socket, "/v1/status");
	uint64_t n = number(s, "transport", "bytes_sent");

	types_add(types,
		  json_object_get(json_object_get(s, "transport"), "sent"));
	json_decref(s);
	return n;
}

/* Each byte has one sender, so that none is counted at both its ends. */
uint64_t hs_svc_network_bytes(struct hs_replay_house *house,
			      uint64_t *slices_bytes, json_t *types)
{
	uint64_t n = sent_by(house->fabric.coordinators[0], types) +
		     sent_by(house->fabric.collectors[0], types);

	*slices_bytes = 0;
	for (uint32_t i = 0; i < house->fabric.nr_nodes; i++) {
		json_t *s = ask(house->fabric.nodes[i].agent, "/v1/status");

		n += number(s, "transport", "bytes_sent");
		types_add(types,
			  json_object_get(json_object_get(s, "transport"),
					  "sent"));
		*slices_bytes += number(s, "stats", "bytes_sent");
		json_decref(s);
	}
	return n;
}

uint64_t hs_svc_written_bytes(struct hs_replay_house *house,
			      uint64_t *horizon_ns)
{
	uint64_t written = 0, least = UINT64_MAX;

	for (uint32_t i = 0; i < house->fabric.nr_nodes; i++) {
		json_t *s = ask(house->fabric.nodes[i].agent, "/v1/status");
		const json_t *domains = json_object_get(s, "domains");
		uint64_t ns = (uint64_t)json_integer_value(json_object_get(
			json_array_get(domains, 0), "event_horizon_ns"));

		written += number(s, "stats", "bytes_indexed");
		if (json_array_size(domains) && ns < least)
			least = ns;
		json_decref(s);
	}
	*horizon_ns = least == UINT64_MAX ? 0 : least;
	return written;
}

json_t *hs_svc_histogram_json(const struct hs_histogram *h)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < HS_HISTOGRAM_NR_BUCKETS; i++)
		if (h->nr[i])
			json_array_append_new(
				list,
				json_pack(
					"[I,I]",
					(json_int_t)hs_histogram_bucket_high(i),
					(json_int_t)h->nr[i]));
	return list;
}
