/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see over.h. */
#include "bench/services/over.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

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

int hs_svc_over_connect(struct hs_svc_world *w)
{
	uint32_t nr = w->plan.nr_pairs, files = 2 * nr + FILES_MORE;
	int rc;

	if (w->settings.over == HS_SVC_OVER_RINGS)
		return 0;
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

/* Whose a loop is; the generator's may be one of its own. */
static uint32_t owner(const struct hs_svc_plan *p, uint32_t loop,
		      bool generator_inline)
{
	if (loop < p->nr_loops)
		return p->process_of_loop[loop];
	return generator_inline ? p->process_of_loop[0] : p->nr_processes;
}

void hs_svc_over_keep(struct hs_svc_world *w, uint32_t process,
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
}

int hs_svc_over_links(struct hs_svc_world *w, struct hs_svc_links *ls)
{
	/* A loop may call each other one, and itself; so may all it. */
	return hs_svc_links_open(ls, w->settings.over == HS_SVC_OVER_TCP
					     ? 2 * (w->plan.nr_loops + 1)
					     : 0);
}

int hs_svc_over_way(struct hs_svc_world *w, struct hs_svc_links *ls,
		    uint32_t pair, bool caller, uint16_t who,
		    struct hs_svc_way *out)
{
	struct hs_svc_link *k;

	if (w->settings.over == HS_SVC_OVER_RINGS) {
		out->calls = &w->rings[2 * pair];
		out->replies = &w->rings[2 * pair + 1];
		return 0;
	}
	k = hs_svc_links_add_socket(ls, w->connections[pair][caller ? 0 : 1],
				    who);
	if (!k)
		return -ENOMEM;
	out->calls = caller ? k->out.ring : k->in.ring;
	out->replies = caller ? k->in.ring : k->out.ring;
	return 0;
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
		"hs-perf services: calls over TCP: %s %u has lost its "
		"connection to %s%s: %s\n",
		loop < p->nr_loops ? "loop" : "the generator, as loop", loop,
		ls->gone < p->nr_loops ? "that of " : "the generator",
		ls->gone < p->nr_loops ? somebody(w, ls->gone) : "",
		strerror(-ls->rc));
	_exit(1);
}
