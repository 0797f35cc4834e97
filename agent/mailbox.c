/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: see mailbox.h. The door's thread serves one request at a time, so
 * that there is one letter at most; its contents are the door's until the
 * letter is taken back, answered or not.
 */
#include "agent/mailbox.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "agent/control.h"
#include "agent/readers.h"
#include "agent/seen.h"

#define PATIENCE_SECONDS 5

struct hs_mailbox {
	pthread_mutex_t lock;
	pthread_cond_t answered;
	int bell; /* eventfd */
	bool is_full;
	bool is_answered;
	bool closing;
	const struct hs_httpd_request *request;
	struct hs_httpd_response *response;
	struct hs_httpd *door;
	const struct hs_agent_core *core; /* for what is read without asking */
};

/* In the door's thread. */
static void ask(void *ctx, const struct hs_httpd_request *request,
		struct hs_httpd_response *response)
{
	struct hs_mailbox *m = ctx;
	uint64_t one = 1;
	struct timespec until;
	int rc = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += PATIENCE_SECONDS;
	pthread_mutex_lock(&m->lock);
	m->request = request;
	m->response = response;
	m->is_full = !m->closing;
	m->is_answered = false;
	if (write(m->bell, &one, sizeof(one)) != (ssize_t)sizeof(one))
		rc = -errno;
	while (m->is_full && !m->is_answered && !m->closing && rc == 0)
		rc = pthread_cond_timedwait(&m->answered, &m->lock, &until);
	m->is_full = false;
	if (!m->is_answered)
		hs_httpd_error(response, 503,
			       m->closing ? "the agent is ending"
					  : "the agent is busy");
	pthread_mutex_unlock(&m->lock);
}

/*
 * Held while answering: the door's thread is the only one that it keeps
 * waiting, and it would wait for the answer anyway.
 */
void hs_mailbox_serve(struct hs_worker *w)
{
	struct hs_mailbox *m = w->mailbox;
	uint64_t rings;

	if (read(m->bell, &rings, sizeof(rings)) < 0)
		return;
	pthread_mutex_lock(&m->lock);
	if (m->is_full && !m->is_answered) {
		hs_control_serve(w, m->request, m->response);
		m->is_answered = true;
		pthread_cond_signal(&m->answered);
	}
	pthread_mutex_unlock(&m->lock);
}

/* In the door's thread, beside the worker's, where that is possible. */
static void seen(void *ctx, const struct hs_httpd_request *request,
		 struct hs_httpd_response *response)
{
	const struct hs_mailbox *m = ctx;

	if (hs_readers_apart())
		hs_seen_serve(m->core, request, response);
	else
		ask(ctx, request, response);
}

static const struct hs_httpd_route routes[] = {
	{"GET", "/v1/status", ask, HS_ROLE_READ},
	{"GET", "/v1/config", ask, HS_ROLE_READ},
	{"GET", "/v1/check", ask, HS_ROLE_READ},
	{"GET", "/v1/seen", seen, HS_ROLE_READ},
	{"GET", "/metrics", ask, HS_ROLE_READ},
	{"POST", "/v1/trigger", ask, HS_ROLE_FIRE},
	{"POST", "/v1/hook", ask, HS_ROLE_FIRE},
	{"POST", "/v1/reload", ask, HS_ROLE_CHANGE},
	{"POST", "/v1/stop", ask, HS_ROLE_STOP},
};

int hs_mailbox_make(struct hs_worker *w)
{
	struct hs_mailbox *m = calloc(1, sizeof(*m));
	pthread_condattr_t attr;
	int rc;

	if (!m)
		return -ENOMEM;
	w->mailbox = m;
	m->core = w->core;
	pthread_mutex_init(&m->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&m->answered, &attr);
	pthread_condattr_destroy(&attr);
	m->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->bell < 0)
		return -errno;
	rc = hs_worker_watch(w, m->bell, HS_WORKER_MAILBOX, 0);
	if (rc)
		return rc;
	return hs_door_open(&m->door, "agent", &w->settings.door,
			    &w->settings.roles, routes,
			    sizeof(routes) / sizeof(routes[0]), m);
}

struct hs_httpd *hs_mailbox_door(const struct hs_worker *w)
{
	return w->mailbox ? w->mailbox->door : NULL;
}

void hs_mailbox_free(struct hs_worker *w)
{
	struct hs_mailbox *m = w->mailbox;

	if (!m)
		return;
	pthread_mutex_lock(&m->lock);
	m->closing = true;
	pthread_cond_signal(&m->answered);
	pthread_mutex_unlock(&m->lock);
	hs_httpd_stop(m->door);
	if (m->bell >= 0)
		close(m->bell);
	pthread_cond_destroy(&m->answered);
	pthread_mutex_destroy(&m->lock);
	free(m);
	w->mailbox = NULL;
}
