/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c - hs-sim: many seeds, one after another; the first that fails is
 * replayed, made smaller and told
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/hash.h"
#include "base/planted.h"
#include "tests/sim/shrink.h"
#include "tests/sim/ship.h"

#define SETS_MAX 64u

struct options {
	const char *names[SETS_MAX], *values[SETS_MAX];
	uint32_t nr_sets;
	const char *graphs;
	uint64_t seed, nr_seeds;
	double minutes;
	const char *story;
	const char *list; /* seeds, instead of a range */
	bool shrink, quiet, coverage, print_each, keep_going;
	uint32_t planted;
};

/* Sums over all seeds. */
static struct sim_totals sums;

static double seconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void usage(FILE *f)
{
	fputs("usage: hs-sim [options]\n"
	      "Drives the logic of agents, coordinators and collectors under\n"
	      "virtual time; the same seed gives the same run.\n"
	      "  --seeds N        so many seeds (100)\n"
	      "  --seed S         from this one on (1)\n"
	      "  --list S,S,...   these seeds and no others\n"
	      "  --minutes M      until then at the latest\n"
	      "  --nodes N --coordinators N --collectors N\n"
	      "  --requests N --faults N\n"
	      "  --set NAME=VALUE any parameter of struct sim_params\n"
	      "  --graphs FILE    call graphs (tests/sim/graphs.py)\n"
	      "  --story PATH     PATH.txt and PATH.json (ui.perfetto.dev)\n"
	      "  --planted N      a bug put in on purpose "
	      "(-Dplanted_bugs=true)\n"
	      "  --no-shrink      only print the seed that fails\n"
	      "  --keep-going     the seeds after one that fails, too\n"
	      "  --each           a line for each seed\n"
	      "  --coverage       how often each fault and event came\n"
	      "  --quiet          nothing but the last line\n",
	      f);
}

static void add(const struct sim *s)
{
	const uint64_t *from = (const uint64_t *)&s->t;
	uint64_t *to = (uint64_t *)&sums;

	for (size_t i = 0; i < sizeof(sums) / sizeof(uint64_t); i++)
		to[i] += from[i];
}

static void print_seed(const struct sim *s, double took)
{
	printf("seed %" PRIu64 ": nodes %u steps %" PRIu64 " faults %u "
	       "requests %" PRIu64 " triggers %" PRIu64 " acked %" PRIu64
	       " complete %" PRIu64 " partial %" PRIu64 " messages %" PRIu64
	       " virtual %.1f s digest %016" PRIx64 " %.3f s%s%s\n",
	       s->p.seed, s->p.nr_nodes, s->t.events, s->p.nr_faults,
	       s->t.requests, s->t.triggers, s->t.acked, s->t.complete,
	       s->t.partial, s->t.messages, (double)(s->now_ns - SIM_S) / 1e9,
	       s->digest, took, s->failed ? " FAILED: " : "", s->why);
}

static void print_coverage(void)
{
	static const char *const events[SIM_NR_EVENTS] = {
		"message",   "arrive",	"visit", "fire",    "scan",   "lanes",
		"tick",	     "coord",	"sync",	 "link up", "break",  "fault",
		"fault end", "restart", "move",	 "frame",   "outlet", "intake",
		"port",	     "read",	"policy"};

	for (uint32_t i = 0; i < SIM_NR_FAULT_KINDS; i++)
		printf("fault %-22s %10" PRIu64 "\n", sim_fault_name(i),
		       sums.faults[i]);
	for (uint32_t i = 0; i < SIM_NR_EVENTS; i++)
		printf("event %-22s %10" PRIu64 "\n", events[i],
		       sums.by_event[i]);
	for (uint16_t i = HS_WIRE_TRIGGER; i <= HS_WIRE_TYPE_LAST; i++)
		printf("message %-20s %10" PRIu64 "\n", sim_type_name(i),
		       sums.by_type[i]);
	for (uint32_t i = 0; i < HS_ASSEMBLY_NR_WHYS; i++)
		printf("cause %-22s %10" PRIu64 "\n",
		       hs_assembly_why_name((enum hs_assembly_why)i),
		       sums.whys[i]);
	printf("manifest_bytes %" PRIu64 " manifest_max_bytes %" PRIu64
	       " visits %" PRIu64 " slice_bytes %" PRIu64 "\n",
	       sums.manifest_bytes, sums.manifest_max_bytes, sums.visits,
	       sums.slice_bytes);
	printf("list changes %" PRIu64
	       " triggers owed by a dead coordinator %" PRIu64
	       " failover_ms %.1f\n",
	       sums.moves, sums.owed, (double)sums.failover_ns / 1e6);
	printf("frames %" PRIu64 " lost %" PRIu64 " repeated %" PRIu64
	       " connections %" PRIu64 " slices %" PRIu64 "\n",
	       sums.frames, sums.frames_lost, sums.frames_repeated,
	       sums.sessions, sums.slices_shipped);
	printf("spans counted %" PRIu64
	       " counts that died with a worker %" PRIu64 "\n",
	       sums.counted, sums.tallies_lost);
	printf("reloads %" PRIu64 " traces given up %" PRIu64 "\n",
	       sums.reloads, sums.abandoned);
	printf("traces in two domains of a node %" PRIu64
	       " ends that waited for room %" PRIu64
	       "\ntraces called complete, a process of which lost all that it "
	       "had of it %" PRIu64
	       "\nbuffers that came when their trace had been forgotten early "
	       "%" PRIu64 "\n",
	       sums.shared, sums.waited, sums.excused, sums.forgotten_early);
	printf("reads %" PRIu64 " hit %" PRIu64 " torn %" PRIu64
	       " hints %" PRIu64 " confirmed %" PRIu64 "\n",
	       sums.reads, sums.reads_hit, sums.reads_torn, sums.hints,
	       sums.hints_confirmed);
	printf("messages lost %" PRIu64 " repeated %" PRIu64
	       " connections broken %" PRIu64 "\nworkers killed %" PRIu64
	       " of them in a call %" PRIu64 " reboots %" PRIu64
	       " applications crashed %" PRIu64 "\n",
	       sums.lost, sums.duplicated, sums.breaks, sums.kills,
	       sums.op_kills, sums.reboots, sums.app_crashes);
}

static void print_sums(uint64_t nr, uint64_t failed, double took,
		       uint64_t digest)
{
	uint64_t faults = 0;

	for (uint32_t i = 0; i < SIM_NR_FAULT_KINDS; i++)
		faults += sums.faults[i];
	if (!nr)
		return;
	printf("sim: seeds=%" PRIu64 " failed=%" PRIu64 " events=%" PRIu64
	       " events_per_s=%.0f per_seed: events=%" PRIu64 " faults=%.1f"
	       " requests=%.1f triggers=%.1f messages=%" PRIu64
	       " complete=%" PRIu64 " partial=%" PRIu64 " checks=%" PRIu64
	       " digest=%016" PRIx64 "\n",
	       nr, failed, sums.events, (double)sums.events / took,
	       sums.events / nr, (double)faults / (double)nr,
	       (double)sums.requests / (double)nr,
	       (double)sums.triggers / (double)nr, sums.messages / nr,
	       sums.complete, sums.partial, sums.checks, digest);
}

static bool number(const char *text, uint64_t *out)
{
	char *end;

	*out = strtoull(text, &end, 0);
	return *text && !*end;
}

enum {
	O_SEEDS = 256,
	O_SEED,
	O_MINUTES,
	O_GRAPHS,
	O_LIST,
	O_STORY,
	O_PLANTED,
	O_NO_SHRINK,
	O_EACH,
	O_COVERAGE,
	O_QUIET,
	O_HELP,
	O_KEEP,
	O_SET,
	O_NODES, /* these set what their place in aliases[] names */
	O_COORDS,
	O_COLLS,
	O_REQUESTS,
	O_FAULTS,
};

static const char *const aliases[] = {"nr_nodes", "nr_coords", "nr_colls",
				      "nr_requests", "nr_faults"};

static const struct option longs[] = {{"seeds", 1, NULL, O_SEEDS},
				      {"seed", 1, NULL, O_SEED},
				      {"minutes", 1, NULL, O_MINUTES},
				      {"nodes", 1, NULL, O_NODES},
				      {"coordinators", 1, NULL, O_COORDS},
				      {"collectors", 1, NULL, O_COLLS},
				      {"requests", 1, NULL, O_REQUESTS},
				      {"faults", 1, NULL, O_FAULTS},
				      {"set", 1, NULL, O_SET},
				      {"graphs", 1, NULL, O_GRAPHS},
				      {"list", 1, NULL, O_LIST},
				      {"story", 1, NULL, O_STORY},
				      {"planted", 1, NULL, O_PLANTED},
				      {"no-shrink", 0, NULL, O_NO_SHRINK},
				      {"keep-going", 0, NULL, O_KEEP},
				      {"each", 0, NULL, O_EACH},
				      {"coverage", 0, NULL, O_COVERAGE},
				      {"quiet", 0, NULL, O_QUIET},
				      {"help", 0, NULL, O_HELP},
				      {NULL, 0, NULL, 0}};

static bool add_set(struct options *o, const char *name, const char *value)
{
	struct sim_params any;

	if (o->nr_sets == SETS_MAX || !*value)
		return false;
	memset(&any, 0, sizeof(any));
	o->names[o->nr_sets] = name;
	o->values[o->nr_sets++] = value;
	return sim_param_set(&any, name, value);
}

static bool set_pair(struct options *o, char *text)
{
	char *equal = strchr(text, '=');

	if (!equal)
		return false;
	*equal = 0;
	return add_set(o, text, equal + 1);
}

static bool flag(struct options *o, int c)
{
	o->shrink &= c != O_NO_SHRINK && c != O_KEEP;
	o->keep_going |= c == O_KEEP;
	o->print_each |= c == O_EACH;
	o->coverage |= c == O_COVERAGE;
	o->quiet |= c == O_QUIET;
	if (c == O_HELP) {
		usage(stdout);
		exit(0);
	}
	return c == O_NO_SHRINK || c == O_KEEP || c == O_EACH ||
	       c == O_COVERAGE || c == O_QUIET;
}

static bool valued(struct options *o, int c)
{
	uint64_t n = 0;

	if (c >= O_NODES && c <= O_FAULTS)
		return number(optarg, &n) &&
		       add_set(o, aliases[c - O_NODES], optarg);
	switch (c) {
	case O_SET:
		return set_pair(o, optarg);
	case O_MINUTES:
		o->minutes = strtod(optarg, NULL);
		return o->minutes > 0;
	case O_GRAPHS:
		o->graphs = optarg;
		return true;
	case O_LIST:
		o->list = optarg;
		return true;
	case O_STORY:
		o->story = optarg;
		return true;
	case O_SEEDS:
		return number(optarg, &o->nr_seeds);
	case O_SEED:
		return number(optarg, &o->seed);
	case O_PLANTED:
		if (!number(optarg, &n))
			return false;
		o->planted = (uint32_t)n;
		return true;
	default:
		return false;
	}
}

static int parse(struct options *o, int argc, char **argv)
{
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1)
		if (!flag(o, c) && !valued(o, c)) {
			usage(stderr);
			return -1;
		}
	return optind == argc ? 0 : -1;
}

static bool sane(const struct sim_params *p)
{
	return p->nr_nodes && p->nr_nodes <= 100000 && p->nr_coords &&
	       p->nr_coords <= SIM_SERVERS_MAX && p->nr_colls &&
	       p->nr_colls <= SIM_SERVERS_MAX && p->nr_procs &&
	       p->nr_procs <= SIM_PROCS_MAX && p->nr_domains &&
	       p->nr_domains <= SIM_TENANTS_MAX &&
	       p->ring_words <= SIM_RING_ROOM &&
	       p->lane_room <= SIM_LANE_ROOM &&
	       p->lane_room_today <= SIM_LANE_ROOM && p->lane_room_today &&
	       p->library >= 1 && p->library <= 3 &&
	       p->nr_slots <= SIM_SLOTS_MAX && p->visits_max &&
	       p->nr_fired >= 2 && p->nr_fired <= SIM_FIRED_MAX &&
	       p->nr_buffers && p->nr_classes &&
	       p->nr_classes <= SIM_CLASSES_MAX &&
	       (p->class_factor == 2 || p->class_factor == 4) &&
	       p->write_max_bytes && p->buffer_bytes <= 8192 &&
	       (!p->ship || sim_ship_sane(p)) && p->buffer_bytes % 256 == 0;
}

/* One run. Return: whether it failed; negative: it cannot be run. */
static int one(const struct options *o, struct sim_params *p, uint64_t *digest)
{
	double at = seconds(CLOCK_PROCESS_CPUTIME_ID);
	struct sim *s;
	int failed;

	for (uint32_t i = 0; i < o->nr_sets; i++)
		sim_param_set(p, o->names[i], o->values[i]);
	p->graphs = o->graphs;
	if (!sane(p)) {
		fputs("hs-sim: these parameters are out of bounds\n", stderr);
		return -1;
	}
	s = sim_create(p);
	if (o->story)
		sim_story_open(s, o->story);
	sim_run(s);
	add(s);
	*digest = hs_hash_mix64(*digest ^ s->digest);
	failed = s->failed;
	if (o->print_each || (s->failed && !o->quiet))
		print_seed(s, seconds(CLOCK_PROCESS_CPUTIME_ID) - at);
	sim_destroy(s);
	return failed;
}

/* The next of the list, or of the range. Return: false: that was all. */
static bool next_seed(struct options *o, uint64_t nr, uint64_t *seed)
{
	char *end;

	if (!o->list) {
		*seed = o->seed + nr;
		return nr < o->nr_seeds;
	}
	*seed = strtoull(o->list, &end, 0);
	if (end == o->list)
		return false;
	o->list = *end ? end + 1 : end;
	return true;
}

int main(int argc, char **argv)
{
	struct options o = {.seed = 1, .nr_seeds = 100, .shrink = true};
	uint64_t nr = 0, failed = 0, digest = 0, seed;
	double began = seconds(CLOCK_MONOTONIC);
	double cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);

	if (parse(&o, argc, argv))
		return 2;
	if (!hs_planted_choose(o.planted)) {
		fputs("hs-sim: this build has no planted bugs\n", stderr);
		return 77;
	}
	for (; (!failed || o.keep_going) && next_seed(&o, nr, &seed); nr++) {
		struct sim_params p;
		int rc;

		if (o.minutes > 0 &&
		    seconds(CLOCK_MONOTONIC) - began > o.minutes * 60)
			break;
		sim_draw(&p, seed);
		rc = one(&o, &p, &digest);
		if (rc < 0)
			return 2;
		failed += (uint64_t)rc;
		if (rc && o.shrink)
			sim_shrink(&p, o.story ? o.story : "sim-failure");
	}
	if (o.coverage) {
		print_coverage();
		sim_reached_print();
	}
	print_sums(nr, failed, seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu, digest);
	return failed ? 1 : 0;
}
