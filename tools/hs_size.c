/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hs size - the pool that a wanted event horizon takes: from what running
 * agents measure, or from a load as somebody expects it.
 *
 *	pool = (horizon x memory a second + what is stocked and written)
 *	       / share of use at which traces make room
 *
 * Memory is counted in whole buffers, as the pool loses it, not in bytes
 * written. What is pinned by triggers comes on top, at most as much again.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/table.h"
#include "base/units.h"
#include "tools/hs_survey.h"

#define HEADER_BYTES  64u /* of a buffer */
#define CHUNK_BYTES   (2ull << 20)
#define EVICT_PERCENT 80u	  /* as agents have it by default */
#define STOCK_BUFFERS 512u	  /* of a process and core, at first */
#define GROWTH	      4u	  /* a trace's next buffer is so much larger, */
#define LARGEST_BYTES (64u << 10) /* up to this */

struct wish {
	uint64_t horizon_ns;
	uint64_t interval_ns;
	double rate;	 /* traces a second on the node; 0: measure */
	uint64_t bytes;	 /* of a trace in one process */
	uint64_t visits; /* processes of the node that a trace visits */
	uint64_t buffer_bytes;
	uint64_t cores;
};

/* What one domain needs, and what that was worked out from. */
struct need {
	const char *node, *domain;
	double bytes_per_s; /* of the pool */
	double fill;	    /* share of that that is written */
	uint64_t apart_bytes;
	uint64_t evict_percent;
	uint64_t now_bytes;  /* the pool as it is, 0: there is none */
	uint64_t horizon_ns; /* that @now_bytes gives at this rate */
	uint64_t pool_bytes;
};

static uint64_t whole_chunks(double bytes)
{
	uint64_t chunks = (uint64_t)(bytes / (double)CHUNK_BYTES) + 1;

	return chunks * CHUNK_BYTES;
}

static void work_out(struct need *n, uint64_t horizon_ns)
{
	double share = (double)n->evict_percent / 100;
	double room = (double)n->now_bytes * share - (double)n->apart_bytes;

	n->pool_bytes =
		whole_chunks(((double)horizon_ns / 1e9 * n->bytes_per_s +
			      (double)n->apart_bytes) /
			     share);
	if (n->now_bytes && room > 0 && n->bytes_per_s > 0)
		n->horizon_ns = (uint64_t)(room / n->bytes_per_s * 1e9);
}

static void print_needs(const struct need *needs, size_t nr,
			uint64_t horizon_ns)
{
	static const struct hs_table_column columns[] = {
		{"NODE", false, 0},  {"DOMAIN", false, 0},
		{"POOL/S", true, 0}, {"FILL", true, 0},
		{"STOCKS", true, 0}, {"POOL NOW", true, 0},
		{"GIVES", true, 0},  {"POOL WANTED", true, 0},
	};
	struct hs_table *t = hs_table_new(columns, 8);
	char text[HS_UNITS_TEXT_MAX];

	for (size_t i = 0; i < nr && t; i++) {
		const struct need *n = &needs[i];

		hs_table_text(t, n->node);
		hs_table_text(t, n->domain);
		hs_table_size(t, (uint64_t)n->bytes_per_s);
		hs_table_textf(t, "%.0f %%", 100 * n->fill);
		hs_table_size(t, n->apart_bytes);
		if (n->now_bytes)
			hs_table_size(t, n->now_bytes);
		else
			hs_table_text(t, "-");
		if (n->horizon_ns)
			hs_table_duration(t, n->horizon_ns);
		else
			hs_table_text(t, "-");
		hs_table_size(t, n->pool_bytes);
	}
	if (t)
		hs_table_print(t, stdout, true);
	hs_table_free(t);
	hs_units_duration_format(text, horizon_ns);
	printf("\nPOOL WANTED is domains[].pool for an event horizon of %s.\n",
	       text);
}

static void print_assumed(const struct wish *wish, const struct need *n)
{
	char text[HS_UNITS_TEXT_MAX];

	puts("Assumed:");
	if (wish->rate > 0) {
		hs_units_size_format(text, wish->bytes);
		printf("  %.0f traces a second, each %s in each of %" PRIu64
		       " processes of the node;\n",
		       wish->rate, text, wish->visits);
		hs_units_size_format(text, wish->buffer_bytes);
		printf("  buffers from %s on that grow by four, %u bytes of "
		       "each a header; a stock of %u small ones on each of "
		       "%" PRIu64 " cores, in each "
		       "process;\n",
		       text, HEADER_BYTES, STOCK_BUFFERS, wish->cores);
	} else {
		hs_units_duration_format(text, wish->interval_ns);
		printf("  the load stays what it was over %s: give a longer "
		       "--interval, at the busiest hour;\n",
		       text);
	}
	printf("  traces make room from %" PRIu64
	       " %% of use on (limits.evict_percent);\n",
	       n->evict_percent);
	puts("  triggers pin little; where they pin much, add that much, at "
	     "most as much again;\n"
	     "  the index and the ledger come on top, about a quarter of a "
	     "pool of 1KiB buffers.");
}

static json_t *need_json(const struct need *n)
{
	return json_pack("{s:s, s:s, s:f, s:f, s:I, s:I, s:I, s:I, s:I}",
			 "node", n->node, "domain", n->domain,
			 "pool_bytes_per_s", n->bytes_per_s, "fill", n->fill,
			 "stock_bytes", (json_int_t)n->apart_bytes,
			 "evict_percent", (json_int_t)n->evict_percent,
			 "pool_now_bytes", (json_int_t)n->now_bytes, "gives_ns",
			 (json_int_t)n->horizon_ns, "pool_wanted_bytes",
			 (json_int_t)n->pool_bytes);
}

static int answer(const struct hs_where *where, const struct wish *wish,
		  const struct need *needs, size_t nr)
{
	json_t *list;

	if (!where->json) {
		print_needs(needs, nr, wish->horizon_ns);
		print_assumed(wish, &needs[0]);
		return HS_EXIT_OK;
	}
	list = json_array();
	for (size_t i = 0; i < nr; i++)
		json_array_append_new(list, need_json(&needs[i]));
	return hs_print_json(json_pack("{s:I, s:o}", "horizon_ns",
				       (json_int_t)wish->horizon_ns, "domains",
				       list));
}

/* ---- from a load that somebody expects ------------------------------------
 */

static int from_load(const struct hs_where *where, const struct wish *wish)
{
	uint64_t taken = 0, buffers = 0, left = wish->bytes;
	uint64_t size = wish->buffer_bytes;
	struct need n = {
		.node = "-",
		.domain = "-",
		.evict_percent = EVICT_PERCENT,
		.apart_bytes = wish->visits * wish->cores * STOCK_BUFFERS *
			       wish->buffer_bytes,
	};

	do {
		left -= left < size - HEADER_BYTES ? left : size - HEADER_BYTES;
		taken += size;
		buffers++;
		if (size * GROWTH <= LARGEST_BYTES)
			size *= GROWTH;
	} while (left);
	n.bytes_per_s = wish->rate * (double)wish->visits * (double)taken;
	n.fill = (double)(wish->bytes + buffers * HEADER_BYTES) / (double)taken;
	work_out(&n, wish->horizon_ns);
	return answer(where, wish, &n, 1);
}

/* ---- from what agents measure ----------------------------------------------
 */

static bool same_domain(const json_t *a, const json_t *b)
{
	return !strcmp(hs_answer_text(a, "name"), hs_answer_text(b, "name")) &&
	       hs_answer_number(a, NULL, "uid") ==
		       hs_answer_number(b, NULL, "uid");
}

static uint64_t grown(const json_t *before, const json_t *now, const char *key)
{
	uint64_t a = hs_answer_number(before, "indexed", key);
	uint64_t b = hs_answer_number(now, "indexed", key);

	return b > a ? b - a : 0;
}

static void measure(const struct hs_answer *before, const struct hs_answer *now,
		    const json_t *was, const json_t *is, struct need *n)
{
	double seconds =
		(double)(hs_answer_number(now->json, "cost", "now_ns") -
			 hs_answer_number(before->json, "cost", "now_ns")) /
		1e9;
	double taken = (double)grown(was, is, "pool_bytes");

	*n = (struct need){
		.node = now->name,
		.domain = hs_answer_text(is, "name"),
		.now_bytes = hs_answer_number(is, NULL, "pool_bytes"),
		.evict_percent =
			hs_answer_number(now->json, NULL, "evict_percent"),
	};
	n->apart_bytes = (hs_answer_number(is, "occupancy", "stocked") +
			  hs_answer_number(is, "occupancy", "written")) *
			 hs_answer_number(is, NULL, "buffer_bytes");
	if (!n->evict_percent)
		n->evict_percent = EVICT_PERCENT;
	if (seconds <= 0 || taken <= 0)
		return;
	n->bytes_per_s = taken / seconds;
	n->fill = (double)grown(was, is, "bytes") / taken;
}

static size_t measure_node(const struct hs_answer *before,
			   const struct hs_answer *now, uint64_t horizon_ns,
			   struct need *needs, size_t nr, size_t nr_max)
{
	const json_t *was = json_object_get(before->json, "domains");
	const json_t *is = json_object_get(now->json, "domains");

	for (size_t i = 0; i < json_array_size(is); i++)
		for (size_t k = 0; k < json_array_size(was); k++) {
			const json_t *a = json_array_get(was, k);
			const json_t *b = json_array_get(is, i);

			if (!same_domain(a, b) || nr == nr_max)
				continue;
			measure(before, now, a, b, &needs[nr]);
			if (needs[nr].bytes_per_s > 0)
				work_out(&needs[nr++], horizon_ns);
		}
	return nr;
}

#define NEEDS_MAX 256u

static int from_agents(const struct hs_where *where, const struct wish *wish)
{
	static struct hs_survey before, now;
	static struct need needs[NEEDS_MAX];
	const struct timespec ts = {
		.tv_sec = (time_t)(wish->interval_ns / HS_NS_PER_SEC),
		.tv_nsec = (long)(wish->interval_ns % HS_NS_PER_SEC)};
	size_t nr = 0;
	int rc;

	hs_survey_nodes(where, &before);
	nanosleep(&ts, NULL);
	hs_survey_nodes(where, &now);
	for (uint32_t i = 0; i < now.nr_nodes; i++)
		nr = measure_node(&before.nodes[i], &now.nodes[i],
				  wish->horizon_ns, needs, nr, NEEDS_MAX);
	if (nr)
		rc = answer(where, wish, needs, nr);
	else if (now.nr_silent == now.nr_nodes)
		rc = hs_fail(where, -ECONNREFUSED, now.nodes[0].error);
	else
		rc = hs_fail(where, -ENOENT,
			     "no trace came in that time: give --rate and "
			     "--bytes, or a longer --interval");
	hs_survey_free(&before);
	hs_survey_free(&now);
	return rc;
}

static bool wish_good(const struct wish *w)
{
	if (!w->horizon_ns) {
		fprintf(stderr, "hs size: --horizon is missing, as in "
				"--horizon 30s\n");
		return false;
	}
	if ((w->rate > 0) != (w->bytes > 0)) {
		fprintf(stderr, "hs size: --rate and --bytes belong together; "
				"without them agents are measured\n");
		return false;
	}
	if (w->buffer_bytes <= HEADER_BYTES) {
		fprintf(stderr, "hs size: --buffer should be over %u bytes\n",
			HEADER_BYTES);
		return false;
	}
	return true;
}

int hs_command_size(int argc, char **argv)
{
	struct wish w = {
		.interval_ns = 5 * HS_NS_PER_SEC,
		.visits = 1,
		.buffer_bytes = 512,
		.cores = 1,
	};
	struct hs_where where;
	struct hs_args_option options[7 + HS_WHERE_OPTIONS] = {
		{"horizon", 'H', HS_ARGS_DURATION, &w.horizon_ns, "TIME",
		 "how far back an untriggered trace shall be had", 0, 0},
		{"interval", 'i', HS_ARGS_DURATION, &w.interval_ns, "TIME",
		 "how long agents are measured", 0, 0},
		{"rate", 'r', HS_ARGS_DOUBLE, &w.rate, "N",
		 "traces a second on a node; 0: measure the agents", 0,
		 1000000000},
		{"bytes", 'b', HS_ARGS_SIZE, &w.bytes, "SIZE",
		 "of a trace in one process, with --rate", 0, 0},
		{"visits", 0, HS_ARGS_U64, &w.visits, "N",
		 "processes of a node that a trace visits, with --rate", 1,
		 1000},
		{"buffer", 0, HS_ARGS_SIZE, &w.buffer_bytes, "SIZE",
		 "as domains[].buffer will be, with --rate", 0, 0},
		{"cores", 0, HS_ARGS_U64, &w.cores, "N",
		 "that applications run on, with --rate", 1, 4096},
	};
	struct hs_args_program program = {
		.name = "hs size",
		.synopsis = "--horizon TIME [options]",
		.summary = "Works out the pool that a wanted event horizon "
			   "takes, from what running agents measure, or from "
			   "--rate and --bytes. Says what it assumed.",
		.examples =
			"  hs size --horizon 60s\n"
			"  hs size --horizon 60s --rate 20000 --bytes 600\n",
	};
	int first, rc;

	hs_where_init(&where);
	rc = hs_parse(&program, options, 7, &where, argc, argv, &first);
	if (rc == HS_ARGS_HELP)
		return HS_EXIT_OK;
	if (rc || first < argc) {
		if (!rc)
			fprintf(stderr, "hs size: takes options only\n");
		return HS_EXIT_USAGE;
	}
	if (!wish_good(&w))
		return HS_EXIT_USAGE;
	return w.rate > 0 ? from_load(&where, &w) : from_agents(&where, &w);
}
