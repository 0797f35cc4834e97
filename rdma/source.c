/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source.c - the thread that looks, and who hears of it: see source.h
 */
#include "rdma/source.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "rdma/hostlist.h"

struct list {
	struct hs_source_lines lines;
	bool fresh; /* not taken yet */
};

struct hs_sources {
	struct hs_sources_config config;
	pthread_t thread;
	bool running;
	pthread_mutex_t lock; /* all below */
	pthread_cond_t wake;
	bool ends;
	struct list lists[HS_SOURCE_LISTS_MAX];
	struct hs_sources_stats stats;
	int fd;
	struct hs_source_etcd announce; /* the thread's */
};

static bool same(const struct hs_source_lines *a,
		 const struct hs_source_lines *b)
{
	if (a->nr != b->nr)
		return false;
	for (uint32_t i = 0; i < a->nr; i++)
		if (a->at[i].number != b->at[i].number ||
		    strcmp(a->at[i].address, b->at[i].address) != 0)
			return false;
	return true;
}

static void failed(struct hs_sources *s, const char *error)
{
	pthread_mutex_lock(&s->lock);
	s->stats.failures++;
	snprintf(s->stats.last_error, sizeof(s->stats.last_error), "%s", error);
	pthread_mutex_unlock(&s->lock);
	hs_log_limited(HS_LOG_WARN, "members", "a source of members: %s",
		       error);
}

static bool waits(const struct hs_source_list *of)
{
	for (size_t i = 0; i < of->nr_words; i++)
		if (hs_source_waits(of->words[i]))
			return true;
	return false;
}

/* All words of one list, or it stays as it was. */
static int look(struct hs_sources *s, uint32_t k, char *error)
{
	const struct hs_source_list *of = &s->config.lists[k];
	struct hs_source_lines lines = {0};
	uint64_t one = 1;
	int rc = 0;

	for (size_t i = 0; i < of->nr_words && !rc; i++)
		rc = hs_source_ask(of->words[i], &lines, error);
	pthread_mutex_lock(&s->lock);
	s->stats.looks++;
	if (!rc && !same(&lines, &s->lists[k].lines)) {
		struct hs_source_lines was = s->lists[k].lines;

		s->lists[k].lines = lines;
		s->lists[k].fresh = true;
		lines = was;
		s->stats.changes++;
		if (write(s->fd, &one, sizeof(one)) != sizeof(one))
			hs_log_limited(HS_LOG_ERROR, "members",
				       "cannot wake: %s", strerror(errno));
	}
	pthread_mutex_unlock(&s->lock);
	free(lines.at);
	return rc;
}

static void renew(struct hs_sources *s)
{
	char error[HS_HOSTLIST_ERROR_BYTES];

	if (!s->config.announce)
		return;
	if (hs_source_etcd_renew(&s->announce, s->config.announced_as, error)) {
		failed(s, error);
		return;
	}
	pthread_mutex_lock(&s->lock);
	s->stats.renewals++;
	pthread_mutex_unlock(&s->lock);
}

static void *run(void *arg)
{
	struct hs_sources *s = arg;
	char error[HS_HOSTLIST_ERROR_BYTES];
	bool ends = false;

	while (!ends) {
		struct timespec until;
		uint64_t at;

		for (uint32_t k = 0; k < s->config.nr_lists; k++)
			if (look(s, k, error))
				failed(s, error);
		renew(s);
		at = hs_clock_mono_ns() + s->config.every_ns;
		until = (struct timespec){(time_t)(at / HS_NS_PER_SEC),
					  (long)(at % HS_NS_PER_SEC)};
		pthread_mutex_lock(&s->lock);
		if (!s->ends)
			pthread_cond_timedwait(&s->wake, &s->lock, &until);
		ends = s->ends;
		pthread_mutex_unlock(&s->lock);
	}
	if (s->config.announce)
		hs_source_etcd_revoke(&s->announce);
	return NULL;
}

static bool needs_thread(const struct hs_sources_config *c)
{
	for (uint32_t k = 0; k < c->nr_lists; k++)
		for (size_t i = 0; i < c->lists[k].nr_words; i++)
			if (hs_source_waits(c->lists[k].words[i]) ||
			    !strncmp(c->lists[k].words[i], "file:", 5))
				return true;
	return c->announce != NULL;
}

/* Nobody's signals are taken by it. */
static int thread_start(struct hs_sources *s)
{
	sigset_t all, was;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &was);
	rc = pthread_create(&s->thread, NULL, run, s);
	pthread_sigmask(SIG_SETMASK, &was, NULL);
	s->running = rc == 0;
	return -rc;
}

static int open_all(struct hs_sources *s, char *error)
{
	int rc = 0;

	if (s->fd < 0)
		return -errno;
	if (s->config.announce &&
	    (strncmp(s->config.announce, "etcd:", 5) ||
	     hs_source_etcd_parse(s->config.announce + 5, &s->announce))) {
		snprintf(error, HS_HOSTLIST_ERROR_BYTES,
			 "announce wants etcd:host:port/prefix");
		return -EINVAL;
	}
	/* A part of a list is no list: one that has to wait for a word of it
	 * is empty until then. */
	for (uint32_t k = 0; k < s->config.nr_lists && !rc; k++)
		if (!waits(&s->config.lists[k]))
			rc = look(s, k, error);
	return rc || !needs_thread(&s->config) ? rc : thread_start(s);
}

struct hs_sources *hs_sources_start(const struct hs_sources_config *config,
				    char *error)
{
	struct hs_sources *s = calloc(1, sizeof(*s));
	pthread_condattr_t monotonic;
	int rc;

	*error = 0;
	if (!s)
		return NULL;
	s->config = *config;
	if (!s->config.every_ns)
		s->config.every_ns = HS_NS_PER_SEC;
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&s->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	s->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	rc = open_all(s, error);
	if (rc) {
		hs_sources_stop(s);
		errno = -rc;
		return NULL;
	}
	return s;
}

int hs_sources_fd(const struct hs_sources *s)
{
	return s->fd;
}

static void hang_up(struct hs_members *members, struct hs_transport *t,
		    enum hs_wire_role role)
{
	for (uint32_t i = hs_members_next(members, role, 0); i;
	     i = hs_members_next(members, role, i)) {
		const struct hs_member *at = hs_member(members, i);

		if (at->dial && !at->listed && *at->address)
			(void)hs_transport_undial(t, at->address);
	}
}

static void dial(const struct hs_source_lines *lines, struct hs_transport *t)
{
	for (uint32_t i = 0; i < lines->nr; i++) {
		int rc = hs_transport_dial(t, lines->at[i].address);

		if (rc)
			hs_log_limited(HS_LOG_WARN, "members",
				       "cannot dial address=%s: %s",
				       lines->at[i].address, strerror(-rc));
	}
}

bool hs_sources_apply(struct hs_sources *s, struct hs_members *members,
		      struct hs_transport *t, uint64_t now_ns)
{
	uint64_t drained;
	bool any = false;

	pthread_mutex_lock(&s->lock);
	for (uint32_t k = 0; k < s->config.nr_lists; k++) {
		const struct hs_source_list *of = &s->config.lists[k];
		struct list *list = &s->lists[k];

		if (!list->fresh)
			continue;
		list->fresh = false;
		any = true;
		hs_members_list(members, of->role, of->dial, list->lines.at,
				list->lines.nr, now_ns);
		if (!of->dial || !t)
			continue;
		hang_up(members, t, of->role);
		dial(&list->lines, t);
	}
	/* Only then is there anything: owners ask at each of their turns. */
	if (any && read(s->fd, &drained, sizeof(drained)) < 0)
		hs_log_error("members", "cannot read what woke us: %s",
			     strerror(errno));
	pthread_mutex_unlock(&s->lock);
	return any;
}

void hs_sources_stats(struct hs_sources *s, struct hs_sources_stats *out)
{
	pthread_mutex_lock(&s->lock);
	*out = s->stats;
	pthread_mutex_unlock(&s->lock);
}

void hs_sources_stop(struct hs_sources *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->ends = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
	if (s->running)
		pthread_join(s->thread, NULL);
	for (uint32_t k = 0; k < HS_SOURCE_LISTS_MAX; k++)
		free(s->lists[k].lines.at);
	if (s->fd >= 0)
		close(s->fd);
	pthread_cond_destroy(&s->wake);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
