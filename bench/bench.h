/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what the subcommands of hs-perf share: contenders that are run in
 * turns, the results they leave, and the one format that results have
 * (docs/BENCH.md).
 *
 * A figure without its share of lost work says nothing, so there is no way to
 * add one without it.
 */
#ifndef HS_BENCH_H
#define HS_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* More than this share of lost work and a figure is no figure. */
#define HS_BENCH_LOST_MAX   0.001
#define HS_BENCH_OPS_MAX    8
#define HS_BENCH_RATIOS_MAX 8
#define HS_BENCH_NOTE_BYTES 160

/* ---- clock --------------------------------------------------------------- */

static inline uint64_t hs_bench_ticks(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#else
	uint64_t t;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(t));
	return t;
#endif
}

/* Ticks to ns; measured once. */
double hs_bench_ns_per_tick(void);
/* The calling thread, and what it starts. Peers call it, too. */
__attribute__((visibility("default"))) void hs_bench_pin(int cpu);
int hs_bench_nr_cpus(void);

/* ---- results ------------------------------------------------------------- */

struct hs_bench_ratio {
	const char *name; /* theirs */
	double value;	  /* ours over theirs */
};

struct hs_bench_result {
	char name[48];
	const char *unit;
	double median, p99, low, high; /* low, high: 95 % of the median */
	double max;		       /* 0: not told */
	uint64_t n;		       /* operations behind it */
	double lost_share;
	const char *calls; /* what calls travelled over; NULL: none did */
	struct hs_bench_ratio ratios[HS_BENCH_RATIOS_MAX];
	uint32_t nr_ratios;
	char note[HS_BENCH_NOTE_BYTES];
};

struct hs_bench_report {
	struct hs_bench_result *results;
	size_t nr_results;
	bool json;
};

struct hs_bench_result *hs_bench_add(struct hs_bench_report *report,
				     const char *name, const char *unit);
void hs_bench_ratio_add(struct hs_bench_result *r, const char *name,
			double value);
/** hs_bench_print() - all of it. Return: 0, 1 if some figure is invalid */
int hs_bench_print(const struct hs_bench_report *report, FILE *out);
void hs_bench_free(struct hs_bench_report *report);

/* Whether a figure is among those that begin with @only; NULL: all. */
bool hs_bench_wanted(const char *only, const char *name);
/**
 * hs_bench_only() - is any of @names meant?
 * @option: that @only was given with
 * Return: 0; HS_ARGS_EXIT_USAGE, and a line on stderr says what there is.
 */
int hs_bench_only(const char *program, const char *option, const char *only,
		  const char *const *names, size_t nr);

/* Fill median, p99 and interval; sorts @samples. */
void hs_bench_summarize(struct hs_bench_result *r, double *samples, size_t nr);
double hs_bench_median(double *samples, size_t nr);

/* The machine's own stalls, as a result: a loop that does nothing else. */
void hs_bench_control_run(struct hs_bench_report *report, uint64_t ns);

/* ---- contenders ---------------------------------------------------------- */

struct hs_bench_op {
	const char *name;
	/* Do it @n times. */
	void (*run)(void *context, uint32_t n);
	void *context;
	/* Untimed, before each turn; NULL: nothing. */
	void (*settle)(void *context);
	/* Ticks of the last @run, where it knows better than a clock around
	 * it; NULL: it does not. */
	uint64_t (*took)(const void *context);
	/* In time of this thread's cpu, not of the clock: for what never
	 * waits, on a machine where others run. */
	bool on_cpu;
};

/**
 * hs_bench_turns() - run contenders in turns, A B C C B A
 * @ops: the first is ours: its result, with ratios to the others
 * @n: times in a turn
 *
 * A ratio is the median of the ratios of single rounds, so that what slows
 * the machine for a while slows both sides of it.
 */
void hs_bench_turns(struct hs_bench_result *r, const struct hs_bench_op *ops,
		    uint32_t nr_ops, uint32_t n, uint32_t rounds);
/**
 * hs_bench_turns_less() - the same, where all of them contain the last one
 * @names: of @nr_ops second ratios, with the last one's time taken from both
 *	   sides; NULL: none of this one. Left out where nothing of ours is
 *left.
 */
void hs_bench_turns_less(struct hs_bench_result *r,
			 const struct hs_bench_op *ops, uint32_t nr_ops,
			 const char *const *names, uint32_t n, uint32_t rounds);

/* ---- an agent of our own ------------------------------------------------- */

struct hs_bench_node_config {
	uint32_t number;       /* of the node; 0: 1 */
	uint64_t byte_rate;    /* of slices, a second; 0: no limit */
	uint32_t trigger_rate; /* of each trigger, a second; 0: the default */
	uint64_t pool_bytes;
	uint64_t buffer_bytes;	   /* of all buffers; 0: sizes as by default */
	uint64_t nr_crumb_entries; /* that coordinators read; 0: the default */
	uint32_t ring_words, lane_entries, nr_slots; /* 0: the default */
	int cpu;				     /* of the agent; -1: any */
	bool realtime;	   /* the agent runs by SCHED_RR */
	const char *rules; /* YAML at the file's end; NULL: none */
};

struct hs_bench_node {
	char dir[64];
	int pid;
};

/**
 * hs_bench_node_start() - a real hs-agent, and this process attached to it
 *
 * Own: hs_bench_node_stop().
 * Return: 0 or -errno, with a line on stderr.
 */
int hs_bench_node_start(struct hs_bench_node *node,
			const struct hs_bench_node_config *config);
void hs_bench_node_stop(struct hs_bench_node *node);

/**
 * hs_bench_realtime() - what is spawned from now on runs by SCHED_RR, as by
 * chrt -r 1, or by SCHED_OTHER again
 *
 * Return: 0 or -errno, with a line on stderr.
 */
int hs_bench_realtime(bool on);
/**
 * hs_bench_spawn() - a daemon of this build, with --config
 * @folder: of the build that it lies in
 * @cpu: to be pinned to; -1: any
 *
 * Return: its pid or -errno.
 */
int hs_bench_spawn(const char *folder, const char *name, const char *config,
		   int cpu);
/** hs_bench_remove() - a folder and all that is in it */
void hs_bench_remove(const char *dir);

/* Records and traces that the library says it dropped since it was opened. */
uint64_t hs_bench_lost(void);

/* ---- peers --------------------------------------------------------------- */

/* A peer lives in a module of its own, so that hs-perf runs without it. */
struct hs_bench_peer {
	const char *name;
	int (*start)(int cpu);
	void (*run)(void *data, uint32_t n); /* @data: 32 bytes */
	void (*stop)(void);
};
#define HS_BENCH_PEER_SYMBOL "hs_bench_peer"

/** hs_bench_peer_open() - NULL, with a note on stderr, when there is none */
const struct hs_bench_peer *hs_bench_peer_open(const char *name, int cpu);

/* ---- subcommands --------------------------------------------------------- */

struct hs_perf_command {
	const char *name;
	const char *summary;
	int (*run)(int argc, char **argv);
};

int hs_perf_agent(int argc, char **argv);
int hs_perf_ahead(int argc, char **argv);
int hs_perf_auth(int argc, char **argv);
int hs_perf_crc32c(int argc, char **argv);
int hs_perf_client(int argc, char **argv);
int hs_perf_collector(int argc, char **argv);
int hs_perf_coordinator(int argc, char **argv);
int hs_perf_disk(int argc, char **argv);
int hs_perf_fairness(int argc, char **argv);
int hs_perf_figures(int argc, char **argv);
int hs_perf_index(int argc, char **argv);
int hs_perf_lend(int argc, char **argv);
int hs_perf_pool(int argc, char **argv);
int hs_perf_services(int argc, char **argv);
int hs_perf_share(int argc, char **argv);
int hs_perf_ship(int argc, char **argv);
int hs_perf_stored(int argc, char **argv);
int hs_perf_traverse(int argc, char **argv);
int hs_perf_traverse_node(int argc, char **argv);

#endif
