/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see over.h. */
#include "bench/services/over.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/services/dpdk.h"

#define WAIT_NS	 (20 * HS_NS_PER_SEC)
#define PART_NS	 (2 * HS_NS_PER_SEC)
#define PAUSE_US 1000u

/* What a process has open besides: an agent's, its own. */
#define FILES_MORE 256u

/* Both ends are here until the processes are. */
static int raise_files(uint32_t nr)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r))
		return -errno;
	if (r.rlim_cur >= nr)
		return 0;
	if (r.rlim_max < nr)
		return -EMFILE;
	r.rlim_cur = nr;
	return setrlimit(RLIMIT_NOFILE, &r) ? -errno : 0;
}

/* Of this process, once it has one. */
static const struct hs_svc_dpdk *dpdk;

/* Whose a loop is; the generator's may be one of its own. */
static uint32_t owner(const struct hs_svc_plan *p, uint32_t loop,
		      bool generator_inline)
{
	if (loop < p->nr_loops)
		return p->process_of_loop[loop];
	return generator_inline ? p->process_of_loop[0] : p->nr_processes;
}

/* How many ends of connections a process has. */
static uint32_t nr_ends(const struct hs_svc_plan *p, uint32_t process,
			bool generator_inline)
{
	uint32_t nr = 0;

	for (uint32_t a = 0; a <= p->nr_loops; a++)
		for (uint32_t b = 0; b < p->nr_loops; b++) {
			if (p->pair[a][b] == HS_SVC_NO_PAIR)
				continue;
			nr += owner(p, a, generator_inline) == process;
			nr += owner(p, b, generator_inline) == process;
		}
	return nr;
}

static int check_dpdk(const struct hs_svc_world *w, bool generator_inline)
{
	uint32_t most = 0;

	for (uint32_t i = 0; i <= w->plan.nr_processes; i++) {
		uint32_t nr = nr_ends(&w->plan, i, generator_inline);

		most = nr > most ? nr : most;
	}
	if (most <= HS_SVC_DPDK_PORTS_MAX)
		return 0;
	fprintf(stderr,
		"hs-perf services: calls over DPDK: a process would have %u "
		"ports, and can have %u; fewer services, or --as processes\n",
		most, HS_SVC_DPDK_PORTS_MAX);
	return -EMFILE;
}

static int connect_tcp(struct hs_svc_world *w)
{
	uint32_t nr = w->plan.nr_pairs, files = 2 * nr + FILES_MORE;
	int rc;

	rc = raise_files(files);
	if (rc) {
		fprintf(stderr,
			"hs-perf services: calls over TCP: %u connections "
			"want %u open files: %s; fewer loops, or ulimit -n\n",
			nr, files, strerror(-rc));
		return rc;
	}
	w->connections = calloc(nr + 1, sizeof(*w->connections));
	if (!w->connections)
		return -ENOMEM;
	for (uint32_t i = 0; i < nr; i++)
		w->connections[i][0] = w->connections[i][1] = -1;
	for (uint32_t i = 0; i < nr && !rc; i++)
		rc = hs_svc_link_pair(w->connections[i]);
	if (rc)
		fprintf(stderr,
			"hs-perf services: calls over TCP: a connection over "
			"127.0.0.1: %s\n",
			strerror(-rc));
	return rc;
}

int hs_svc_over_connect(struct hs_svc_world *w, bool generator_inline)
{
	w->launcher = getpid();
	switch (w->settings.over) {
	case HS_SVC_OVER_TCP:
		return connect_tcp(w);
	case HS_SVC_OVER_DPDK:
		return check_dpdk(w, generator_inline);
	default:
		return 0;
	}
}

static void drop(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void hs_svc_over_leave(struct hs_svc_world *w)
{
	for (uint32_t i = 0; w->connections && i < w->plan.nr_pairs; i++) {
		drop(&w->connections[i][0]);
		drop(&w->connections[i][1]);
	}
}

void hs_svc_over_free(struct hs_svc_world *w)
{
	hs_svc_over_leave(w);
	free(w->connections);
	w->connections = NULL;
}

int hs_svc_over_keep(struct hs_svc_world *w, uint32_t process,
		     bool generator_inline)
{
	const struct hs_svc_plan *p = &w->plan;

	for (uint32_t a = 0; w->connections && a <= p->nr_loops; a++)
		for (uint32_t b = 0; b < p->nr_loops; b++) {
			uint32_t pair = p->pair[a][b];

			if (pair == HS_SVC_NO_PAIR)
				continue;
			if (owner(p, a, generator_inline) != process)
				drop(&w->connections[pair][0]);
			if (owner(p, b, generator_inline) != process)
				drop(&w->connections[pair][1]);
		}
	if (w->settings.over != HS_SVC_OVER_DPDK)
		return 0;
	dpdk = (const void *)hs_bench_peer_open("services", sched_getcpu());
	return dpdk ? 0 : -ENOTSUP;
}

int hs_svc_over_links(struct hs_svc_world *w, struct hs_svc_links *ls)
{
	/* A loop may call each other one, and itself; so may all it. */
	return hs_svc_links_open(ls, w->settings.over == HS_SVC_OVER_RINGS
					     ? 0
					     : 2 * (w->plan.nr_loops + 1));
}

static int dpdk_link(const struct hs_svc_world *w, struct hs_svc_links *ls,
		     uint32_t pair, bool caller, uint16_t who,
		     struct hs_svc_link **out)
{
	char name[48];

	snprintf(name, sizeof(name), "hs-svc-%d-%u", w->launcher, pair);
	*out = hs_svc_links_add(ls, who);
	return *out ? dpdk->open(*out, name, !caller) : -ENOMEM;
}

int hs_svc_over_way(struct hs_svc_world *w, struct hs_svc_links *ls,
		    uint32_t pair, bool caller, uint16_t who,
		    struct hs_svc_way *out)
{
	struct hs_svc_link *k;
	int rc = 0;

	if (w->settings.over == HS_SVC_OVER_RINGS) {
		out->calls = &w->rings[2 * pair];
		out->replies = &w->rings[2 * pair + 1];
		return 0;
	}
	if (w->settings.over == HS_SVC_OVER_DPDK) {
		rc = dpdk_link(w, ls, pair, caller, who, &k);
	} else {
		k = hs_svc_links_add_socket(
			ls, w->connections[pair][caller ? 0 : 1], who);
		rc = k ? 0 : -ENOMEM;
	}
	if (rc)
		return rc;
	out->calls = caller ? k->out.ring : k->in.ring;
	out->replies = caller ? k->in.ring : k->out.ring;
	return 0;
}

/* Each is asked, since asking is what has it look for its other end. */
static bool are_up(struct hs_svc_links *ls)
{
	bool up = true;

	for (uint32_t i = 0; ls && i < ls->nr; i++)
		up &= dpdk->is_up(&ls->links[i]);
	return up;
}

int hs_svc_over_wait(struct hs_svc_world *w, struct hs_svc_links *loop,
		     struct hs_svc_links *generator)
{
	uint64_t end_ns = hs_clock_mono_ns() + WAIT_NS;

	if (w->settings.over != HS_SVC_OVER_DPDK)
		return 0;
	/* Both, also when the first is not up. */
	while (!are_up(loop) | !are_up(generator)) {
		if (hs_svc_stopping(w) || hs_clock_mono_ns() > end_ns)
			return -ETIMEDOUT;
		usleep(PAUSE_US);
	}
	return 0;
}

void hs_svc_over_part(struct hs_svc_world *w, uint32_t nr)
{
	uint64_t end_ns = hs_clock_mono_ns() + PART_NS;

	if (w->settings.over != HS_SVC_OVER_DPDK)
		return;
	/* svc_world.W7 release, pairs svc_world.R7: its last poll. */
	atomic_fetch_add_explicit(&w->nr_parted, 1, memory_order_release);
	/* svc_world.R7 acquire, pairs svc_world.W7: nobody polls any more. */
	while (atomic_load_explicit(&w->nr_parted, memory_order_acquire) < nr) {
		if (hs_clock_mono_ns() > end_ns)
			return;
		usleep(PAUSE_US);
	}
}

/* A service that is there, to know it by. */
static const char *somebody(const struct hs_svc_world *w, uint32_t loop)
{
	for (uint32_t s = 0; s < w->topology.nr_services; s++)
		if (w->plan.loop_of_service[s] == loop)
			return w->topology.services[s].name;
	return "no service";
}

void hs_svc_over_gone(struct hs_svc_world *w, uint32_t loop,
		      const struct hs_svc_links *ls)
{
	const struct hs_svc_plan *p = &w->plan;

	/* Who ends because all do has seen that word before it closed. */
	if (!ls->rc || hs_svc_stopping(w))
		return;
	fprintf(stderr,
		"hs-perf services: calls over %s: %s %u has lost its "
		"connection to %s%s: %s\n",
		hs_svc_over_name(w->settings.over),
		loop < p->nr_loops ? "loop" : "the generator, as loop", loop,
		ls->gone < p->nr_loops ? "that of " : "the generator",
		ls->gone < p->nr_loops ? somebody(w, ls->gone) : "",
		strerror(-ls->rc));
	_exit(1);
}
