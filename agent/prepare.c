/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see prepare.h. */
#include "agent/prepare.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "agent/fault.h"
#include "base/clock.h"
#include "numa/numa.h"

/* Of a sample that an interrupt fell into there is another one. */
#define SAMPLES_MAX 4u

static bool sampled(struct hs_worker *w)
{
	struct hs_calibrate_sample sample;

	hs_calibrate_read(&sample);
	return hs_calibrate_sample(&w->calibrate, &sample);
}

static void calibrate_begin(struct hs_worker *w)
{
	memset(&w->calibrate, 0, sizeof(w->calibrate));
	w->calibrate.given_up = !hs_calibrate_counter_invariant();
	if (w->calibrate.given_up)
		return;
	sampled(w);
	/* A little more, since the two are measured by another clock. */
	w->calibrate_ns =
		hs_clock_mono_ns() + HS_CALIBRATE_FIRST_NS + HS_NS_PER_MS;
}

static void calibrate_end(struct hs_worker *w)
{
	for (uint32_t i = 0; i < SAMPLES_MAX && !sampled(w); i++)
		;
}

static void calibrate_again(struct hs_worker *w)
{
	struct hs_calibrate_sample sample;

	for (uint32_t i = 0; i < SAMPLES_MAX && w->calibrate.now.number; i++) {
		hs_calibrate_read(&sample);
		if (hs_calibrate_again(&w->calibrate, &sample))
			return;
	}
	calibrate_begin(w);
}

void hs_prepare_clock(struct hs_worker *w)
{
	uint64_t now_ns = hs_clock_mono_ns();

	if (w->calibrate.given_up || w->calibrate.now.number)
		return;
	if (now_ns < w->calibrate_ns) {
		const struct timespec ts = {
			.tv_nsec = (long)(w->calibrate_ns - now_ns)};

		nanosleep(&ts, NULL);
	}
	calibrate_end(w);
}

int hs_prepare(struct hs_worker *w)
{
	int rc = hs_held_make(&w->held);

	if (!rc)
		rc = hs_fault_install();
	if (rc)
		return rc;
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (w->epoll < 0)
		return -errno;
	rc = hs_worker_watch(w, w->keeper, HS_WORKER_KEEPER, 0);
	/* Without it the machine is one node, and that is said where it is
	 * shown. */
	if (hs_numa_open(&w->numa))
		w->numa = NULL;
	calibrate_begin(w);
	return rc;
}

int hs_prepare_wait(struct hs_worker *w)
{
	struct pollfd line = {.fd = w->keeper, .events = POLLIN};
	struct hs_held_message message;
	int fd;
	int rc = hs_held_send(w->keeper, HS_HELD_PREPARED, 0, NULL, -1);

	/* Whoever is needed at once does the rest beside its work. */
	if (!rc && !w->calibrate.given_up &&
	    poll(&line, 1, HS_CALIBRATE_FIRST_NS / HS_NS_PER_MS + 1) == 0)
		calibrate_end(w);
	if (!rc)
		rc = hs_held_receive(w->keeper, &message, &fd);
	if (rc <= 0)
		return rc == 0 || rc == -EPIPE || rc == -ECONNRESET ? 1 : rc;
	if (fd >= 0)
		close(fd);
	if (message.type != HS_HELD_GO)
		return message.type == HS_HELD_FINISH ? 1 : -EPROTO;
	w->stood_by = message.arg;
	if (!w->stood_by)
		return 0;
	w->began_ns = hs_clock_mono_ns();
	w->began_cpu_ns = hs_clock_thread_ns();
	if (!w->calibrate.given_up)
		calibrate_again(w);
	return 0;
}
