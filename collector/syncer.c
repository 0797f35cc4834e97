/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see syncer.h. */
#include "collector/syncer.h"

#include <errno.h>
#include <unistd.h>

static void *run(void *ctx)
{
	struct hs_syncer *s = ctx;

	pthread_setname_np(pthread_self(), "hs-store-sync");
	pthread_mutex_lock(&s->lock);
	while (!s->stop) {
		int fd = s->fd, rc;

		if (fd < 0) {
			pthread_cond_wait(&s->cond, &s->lock);
			continue;
		}
		pthread_mutex_unlock(&s->lock);
		rc = fdatasync(fd) ? -errno : 0;
		pthread_mutex_lock(&s->lock);
		s->result = rc;
		s->fd = -1;
		pthread_cond_broadcast(&s->cond);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

void hs_syncer_init(struct hs_syncer *s)
{
	*s = (struct hs_syncer){.fd = -1};
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->cond, NULL);
}

int hs_syncer_start(struct hs_syncer *s)
{
	int rc = -pthread_create(&s->thread, NULL, run, s);

	s->has_thread = rc == 0;
	return rc;
}

void hs_syncer_end(struct hs_syncer *s)
{
	if (s->has_thread) {
		pthread_mutex_lock(&s->lock);
		s->stop = true;
		pthread_cond_broadcast(&s->cond);
		pthread_mutex_unlock(&s->lock);
		pthread_join(s->thread, NULL);
	}
	pthread_cond_destroy(&s->cond);
	pthread_mutex_destroy(&s->lock);
}

void hs_syncer_begin(struct hs_syncer *s, int fd)
{
	pthread_mutex_lock(&s->lock);
	s->fd = fd;
	pthread_cond_broadcast(&s->cond);
	pthread_mutex_unlock(&s->lock);
}

int hs_syncer_wait(struct hs_syncer *s)
{
	int rc;

	pthread_mutex_lock(&s->lock);
	while (s->fd >= 0)
		pthread_cond_wait(&s->cond, &s->lock);
	rc = s->result;
	pthread_mutex_unlock(&s->lock);
	return rc;
}
