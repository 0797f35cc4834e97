/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_thread.c - the store's own thread: asked, it writes; else it sums up
 */
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "collector/store_internal.h"

#define IDLE_WAIT_NS (250 * HS_NS_PER_MS)

void hs_store_wake(struct hs_store *s)
{
	const uint64_t one = 1;

	/* It has not looked since it was woken last. */
	if (s->woken)
		return;
	s->woken = write(s->event_fd, &one, sizeof(one)) == sizeof(one);
	s->stats.wake_errors += !s->woken;
}

static void answer(struct hs_store *s, uint64_t asked, int result)
{
	s->answered = asked;
	s->result = result;
	pthread_cond_broadcast(&s->answered_cond);
	hs_store_wake(s);
}

/* Return: whether there is more to do at once. */
static bool idle(struct hs_store *s)
{
	int done;
	int rc;

	if (!s->options.idle || s->index_behind || s->result)
		return false;
	/* A transaction for all that is read. Nobody but this thread writes. */
	rc = hs_index_hold(s->view.index);
	done = rc ? rc
		  : s->options.idle(s->options.idle_ctx, &s->view, s->index);
	hs_index_release(s->view.index);
	rc = done < 0 ? done : hs_index_commit(s->index);
	if (!rc)
		rc = hs_store_index_checkpoint(s, done == 0);
	if (rc) {
		s->index_behind = true;
		pthread_mutex_lock(&s->lock);
		s->stats.idle_errors++;
		pthread_mutex_unlock(&s->lock);
		return false;
	}
	pthread_mutex_lock(&s->lock);
	s->stats.idle_done += (uint64_t)done;
	hs_index_count(s->index, &s->counts);
	pthread_mutex_unlock(&s->lock);
	return done > 0;
}

static void wait_asked(struct hs_store *s)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += (long)IDLE_WAIT_NS;
	until.tv_sec += until.tv_nsec / (long)HS_NS_PER_SEC;
	until.tv_nsec %= (long)HS_NS_PER_SEC;
	pthread_cond_timedwait(&s->asked_cond, &s->lock, &until);
}

void *hs_store_writer(void *store)
{
	struct hs_store *s = store;
	bool more = false;

	pthread_setname_np(pthread_self(), "hs-store");
	pthread_mutex_lock(&s->lock);
	for (;;) {
		if (s->asked == s->answered && !s->stop && !more)
			wait_asked(s);
		if (s->asked != s->answered) {
			uint64_t asked = s->asked, from = s->from;
			uint64_t target = s->target;
			int rc;

			pthread_mutex_unlock(&s->lock);
			rc = hs_store_write(s, from, target);
			pthread_mutex_lock(&s->lock);
			answer(s, asked, rc);
			more = !rc;
		} else if (s->stop) {
			break;
		} else {
			pthread_mutex_unlock(&s->lock);
			more = idle(s);
			pthread_mutex_lock(&s->lock);
		}
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}
