/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: hs-perf traverse-node: one node of hs-perf traverse, here or on
 * another machine: a real hs-agent, and the application that writes traces and
 * fires triggers. Commands come on stdin, answers go to stdout, a line each;
 * the end of stdin ends it and its agent.
 *
 *	nodes ID...			ids of all nodes, by number: "ok"
 *	write FIRST COUNT		"written NR LOST"
 *	fire FIRST COUNT AT PER_S SEED	"fired NR REFUSED"
 *	cost				"cost CPU SENT RECEIVED CALLS WAITS
 * BYTES"
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/args.h"
#include "base/clock.h"
#include "bench/traverse.h"
#include "hs/crumb_format.h"

#define LINE_BYTES    4096u
#define BATCH_FIRST   16u
#define BATCH	      256u /* traces between rounds of the agent */
#define PAYLOAD_BYTES 200u

struct node {
	struct hs_traverse_plan plan;
	struct hs_bench_node agent;
	struct hs_trigger *trigger;
	uint32_t number;
	hs_node_id ids[HS_TRAVERSE_NODES_MAX];
};

static bool take_nodes(struct node *n, char *words)
{
	uint32_t nr = 0;

	for (char *w = strtok(words, " "); w; w = strtok(NULL, " "))
		if (nr < HS_TRAVERSE_NODES_MAX)
			n->ids[nr++] = strtoull(w, NULL, 16);
	if (nr != n->plan.nr_nodes)
		return false;
	puts("ok");
	return true;
}

static void write_one(const struct node *n, const struct hs_traverse_trace *t)
{
	static const char payload[PAYLOAD_BYTES] = "as of a request";
	struct hs_context from = {.trace_id = t->id};
	uint64_t back = t->back[n->number], forward = t->forward[n->number];
	struct hs_trace *trace;

	for (; back && from.nr_crumbs < HS_CONTEXT_CRUMBS_MAX; back &= back - 1)
		from.crumbs[from.nr_crumbs++] = n->ids[__builtin_ctzll(back)];
	trace = hs_trace_begin(&t->id, &from);
	for (; forward; forward &= forward - 1)
		hs_context_forward(trace, n->ids[__builtin_ctzll(forward)]);
	hs_tracepoint(trace, payload, sizeof(payload));
	hs_trace_end(trace);
}

/* No faster than the agent takes it in: an answer of its door comes from the
 * thread that empties lanes and fills stocks, once a round. */
static void agent_round(const struct node *n)
{
	char door[96];

	snprintf(door, sizeof(door), "%s/control.sock", n->agent.dir);
	for (int i = 0; i < 2; i++)
		hs_traverse_number(door, "stats", "rounds");
}

static bool take_write(struct node *n, const char *words)
{
	uint64_t first, count, nr = 0, lost = hs_bench_lost();
	uint64_t pause_at = BATCH_FIRST, batch = BATCH_FIRST;

	if (sscanf(words, "%" SCNu64 " %" SCNu64, &first, &count) != 2)
		return false;
	for (uint64_t i = first; i < first + count; i++) {
		struct hs_traverse_trace t;

		hs_traverse_plan_trace(&n->plan, i, &t);
		if (!(t.visited >> n->number & 1))
			continue;
		write_one(n, &t);
		if (++nr < pause_at)
			continue;
		agent_round(n);
		/* Stocks begin small and grow with what is taken. */
		batch = 2 * batch < BATCH ? 2 * batch : BATCH;
		pause_at += batch;
	}
	printf("written %" PRIu64 " %" PRIu64 "\n", nr, hs_bench_lost() - lost);
	return true;
}

/* Whatever is late goes at once: the load does not wait for the fabric. */
static bool take_fire(struct node *n, const char *words)
{
	uint64_t first, count, at, seed, nr = 0, refused = 0;
	struct hs_traverse_clock clock;
	double per_s;

	if (sscanf(words, "%" SCNu64 " %" SCNu64 " %" SCNu64 " %lf %" SCNu64,
		   &first, &count, &at, &per_s, &seed) != 5 ||
	    per_s <= 0)
		return false;
	hs_traverse_clock_begin(&clock, seed, per_s);
	for (uint64_t i = first; i < first + count; i++) {
		uint64_t due_ns = at + hs_traverse_clock_next(&clock);
		struct hs_traverse_trace t;

		if (i % n->plan.nr_origins != n->number)
			continue;
		hs_traverse_plan_trace(&n->plan, i, &t);
		hs_traverse_wait_until(due_ns);
		nr++;
		refused += !hs_trigger_fire(n->trigger, &t.id, NULL, 0);
	}
	printf("fired %" PRIu64 " %" PRIu64 "\n", nr, refused);
	return true;
}

static bool take_cost(struct node *n)
{
	struct hs_traverse_cost c;
	char door[96];

	snprintf(door, sizeof(door), "%s/control.sock", n->agent.dir);
	if (!hs_traverse_cost(n->agent.pid, door, "transport", &c))
		return false;
	printf("cost %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
	       " %" PRIu64 "\n",
	       c.cpu_ns, c.messages_sent, c.messages_received, c.system_calls,
	       c.waits, c.bytes_sent);
	return true;
}

static bool obey(struct node *n, char *line)
{
	line[strcspn(line, "\n")] = '\0';
	if (!strncmp(line, "nodes ", 6))
		return take_nodes(n, line + 6);
	if (!strncmp(line, "write ", 6))
		return take_write(n, line + 6);
	if (!strncmp(line, "fire ", 5))
		return take_fire(n, line + 5);
	return !strcmp(line, "cost") && take_cost(n);
}

static int serve(struct node *n)
{
	char line[LINE_BYTES];

	n->trigger = hs_trigger_define(HS_TRAVERSE_TRIGGER);
	printf("ready %016" PRIx64 "\n", hs_client_node());
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (!obey(n, line)) {
			fprintf(stderr, "hs-perf: node %u: cannot: %s\n",
				n->number, line);
			return 1;
		}
		fflush(stdout);
	}
	return 0;
}

int hs_perf_traverse_node(int argc, char **argv)
{
	const char *coordinators = "", *collector = "", *shape = "chain";
	const char *carrier = "tcp";
	struct hs_bench_node_config config = {
		.trigger_rate = 1000000,
		.pool_bytes = 256u << 20,
		.ring_words = 4096,
		.nr_slots = 512,
		.lane_entries = 4096,
		.cpu = -1,
	};
	uint64_t number = 0, nodes = 10, visits = 10, origins = 1, seed = 1;
	const struct hs_args_option options[] = {
		{"number", 'n', HS_ARGS_U64, &number, "N", "of this node", 0,
		 HS_TRAVERSE_NODES_MAX - 1},
		{"nodes", 'N', HS_ARGS_U64, &nodes, "N", "of the fabric", 1,
		 HS_TRAVERSE_NODES_MAX},
		{"visits", 'v', HS_ARGS_U64, &visits, "N", "of a trace", 1,
		 HS_TRAVERSE_NODES_MAX},
		{"origins", 'o', HS_ARGS_U64, &origins, "N",
		 "nodes that fire triggers", 1, HS_TRAVERSE_NODES_MAX},
		{"shape", 's', HS_ARGS_STRING, &shape, "SHAPE",
		 "chain, fan or a file of graphs", 0, 0},
		{"seed", 0, HS_ARGS_U64, &seed, "N", "of the plan", 0, 0},
		{"coordinators", 0, HS_ARGS_STRING, &coordinators, "LIST",
		 "their addresses", 0, 0},
		{"collector", 0, HS_ARGS_STRING, &collector, "ADDRESS",
		 "where slices go", 0, 0},
		{"carrier", 0, HS_ARGS_STRING, &carrier, "NAME",
		 "transport.carrier of the agent", 0, 0},
		{"pool", 0, HS_ARGS_SIZE, &config.pool_bytes, "BYTES",
		 "of the agent", 0, 0},
		{"crumbs", 0, HS_ARGS_U64, &config.nr_crumb_entries, "N",
		 "traces whose crumbs coordinators can read; 0: the default", 0,
		 1u << HS_CRUMB_BITS_MAX},
		{"slice-rate", 0, HS_ARGS_SIZE, &config.byte_rate, "BYTES",
		 "of slices a second; 0B: no limit", 0, 0},
		{"realtime", 0, HS_ARGS_FLAG, &config.realtime, NULL,
		 "the agent runs by SCHED_RR", 0, 0},
	};
	const struct hs_args_program program = {
		.name = "hs-perf traverse-node",
		.synopsis = "[options]",
		.summary = "One node of hs-perf traverse, which starts it and "
			   "speaks with it over its stdin and stdout.",
		.options = options,
		.nr_options = sizeof(options) / sizeof(options[0]),
		.exit_codes = "0 good\n1 it could not\n2 usage\n",
	};
	struct node n = {.agent.pid = -1};
	char yaml[1024];
	int first, rc;

	rc = hs_args_parse(&program, argc, argv, &first, stdout, stderr);
	if (rc)
		return rc == HS_ARGS_HELP ? 0 : HS_ARGS_EXIT_USAGE;
	n.number = (uint32_t)number;
	n.plan = (struct hs_traverse_plan){.nr_nodes = (uint32_t)nodes,
					   .nr_visits = (uint32_t)visits,
					   .nr_origins = (uint32_t)origins,
					   .seed = seed};
	snprintf(yaml, sizeof(yaml),
		 "coordinators: [%s]\ncollectors: [%s]\n"
		 "transport:\n  carrier: %s\n",
		 coordinators, collector, carrier);
	config.number = n.number + 1;
	config.rules = yaml;
	prctl(PR_SET_TIMERSLACK, 1);
	rc = hs_traverse_plan_make(&n.plan, shape);
	if (!rc)
		rc = hs_bench_node_start(&n.agent, &config);
	rc = rc ? 1 : serve(&n);
	hs_bench_node_stop(&n.agent);
	hs_traverse_plan_free(&n.plan);
	return rc;
}
