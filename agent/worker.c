/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see worker.h: beginning, the loop, the end. */
#include "agent/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/attach.h"
#include "agent/carrier.h"
#include "agent/figures.h"
#include "agent/guest.h"
#include "agent/keeper.h"
#include "agent/lanes.h"
#include "agent/left.h"
#include "agent/mailbox.h"
#include "agent/nap.h"
#include "agent/prepare.h"
#include "agent/readers.h"
#include "agent/reload.h"
#include "agent/shipper.h"
#include "agent/shown.h"
#include "agent/tally_send.h"
#include "base/aligned.h"
#include "base/clock.h"
#include "base/fdpass.h"
#include "base/log.h"
#include "base/random.h"
#include "numa/numa.h"

#define EVENTS_MAX     64
#define NODE_MAX_BYTES ((size_t)1 << 32)
/* A shorter one costs as much processor time as going on. */
#define SLEEP_MIN_NS   (20 * HS_NS_PER_US)
#define SLEEP_ALONE_NS (20 * HS_NS_PER_MS) /* nobody is attached */
#define WALL_EVERY     1024u		   /* rounds */
#define CALIBRATE_NS   (50 * HS_NS_PER_MS)

int hs_worker_watch(struct hs_worker *w, int fd, enum hs_worker_event event,
		    uint32_t index)
{
	struct epoll_event e = {
		.events = EPOLLIN,
		.data.u64 = hs_worker_tag(event, index),
	};

	return epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd, &e) ? -errno : 0;
}

int hs_worker_store(struct hs_worker *w, const char *name, int fd)
{
	return hs_held_send(w->keeper, HS_HELD_STORE, 0, name, fd);
}

void hs_worker_drop(struct hs_worker *w, const char *name)
{
	hs_held_send(w->keeper, HS_HELD_DROP, 0, name, -1);
}

static int64_t wall_offset(void)
{
	return (int64_t)(hs_clock_real_ns() - hs_clock_mono_ns());
}

static int load_settings(struct hs_worker *w)
{
	struct hs_config_error error;
	int fd = hs_held_find(&w->held, "config");
	struct stat st;
	char *text;
	int rc;

	if (fd < 0 || fstat(fd, &st) || st.st_size < 0 ||
	    (size_t)st.st_size > HS_CONFIG_FILE_MAX_BYTES)
		return -EPROTO;
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return -ENOMEM;
	rc = pread(fd, text, (size_t)st.st_size, 0) == st.st_size ? 0 : -EIO;
	if (!rc)
		rc = hs_agent_settings_load(&w->settings, "configuration", text,
					    (size_t)st.st_size, &error);
	free(text);
	if (!rc)
		hs_log_level_set((enum hs_log_level)w->settings.log_level);
	return rc;
}

static int load_rules(struct hs_worker *w)
{
	struct hs_config_error error;

	return hs_rules_load(w, &w->settings.rules, w->settings.path, &error);
}

/* All of a predecessor's, when its node ledger is of no use. */
static void give_up_memory(struct hs_worker *w)
{
	for (uint32_t i = w->held.nr_items; i-- > 0;) {
		char name[HS_HELD_NAME_BYTES];

		memcpy(name, w->held.items[i].name, sizeof(name));
		if (!strcmp(name, "config") || hs_left_is(name))
			continue;
		hs_left_put(w, name);
		hs_held_drop(&w->held, name);
	}
}

static bool adopt_node(struct hs_worker *w,
		       const struct hs_agent_config *config)
{
	int fd = hs_held_find(&w->held, "node");
	int copy = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1;

	if (copy < 0)
		return false;
	/* Its pages are there; the kernel enters them by the dozen as they are
	 * read, for less than all of them at once. */
	if (hs_memfd_attach(&w->node_ledger, copy, NODE_MAX_BYTES, 0)) {
		close(copy);
		return false;
	}
	if (w->node_ledger.size_bytes >= hs_agent_node_ledger_bytes(config))
		w->core = hs_agent_core_create(
			w->core_memory, w->node_ledger.base, config,
			&hs_carrier_ops, w, w->now_ns, wall_offset());
	/* A number of our own on another node's memory would be a lie. */
	if (w->core &&
	    hs_agent_core_node(w->core) >> 32 != (uint64_t)w->settings.node)
		w->core = NULL;
	if (!w->core)
		hs_memfd_close(&w->node_ledger);
	return w->core;
}

static void free_core(struct hs_worker *w)
{
	if (w->core_memory)
		munmap(w->core_memory, w->core_memory_bytes);
	w->core_memory = NULL;
}

/* Zeros, of which a page costs nothing until it is touched. */
static int map_core(struct hs_worker *w)
{
	void *p = hs_aligned_map(w->core_memory_bytes, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1);

	if (p == MAP_FAILED)
		return -ENOMEM;
	w->core_memory = p;
	return 0;
}

/*
 * Its tables are walked at random, and each step is a walk of the table of
 * pages as well; so they lie in large pages, all of them cleared now: a first
 * touch of one takes as long as ten hops. A successor waits for neither: it
 * touches a little of each table, in small pages.
 */
static void fill_core(struct hs_worker *w)
{
	if (w->settings.huge_pages)
		(void)madvise(w->core_memory, w->core_memory_bytes,
			      MADV_HUGEPAGE);
	/* Linux 5.14; before it they come as they are touched. */
	(void)madvise(w->core_memory, w->core_memory_bytes,
		      MADV_POPULATE_WRITE);
}

static int make_core(struct hs_worker *w)
{
	struct hs_agent_config config;
	int rc;

	hs_agent_settings_core(&w->settings, &config);
	config.grace = hs_readers_grace();
	config.node_id = (uint64_t)w->settings.node << 32 |
			 (uint32_t)(hs_clock_real_ns() / HS_NS_PER_SEC);
	rc = hs_random_secure(&config.index_seed, sizeof(config.index_seed));
	if (rc)
		return rc;
	hs_shown_make(w, &config);
	w->core_memory_bytes = hs_agent_core_size_bytes(&config);
	rc = map_core(w);
	if (rc)
		return rc;
	if (!adopt_node(w, &config)) {
		if (w->held.nr_items > 1)
			hs_log_warn("agent", "nothing to adopt, beginning "
					     "afresh");
		give_up_memory(w);
		free_core(w);
		rc = map_core(w);
		if (rc)
			return rc;
		fill_core(w);
		/* Each successor looks at all of it: of its first 5 ms, 3300
		 * small pages took a quarter. Reserved ones are for pools. */
		rc = hs_memfd_create(&w->node_ledger, "hs-node-ledger",
				     hs_agent_node_ledger_bytes(&config),
				     w->settings.huge_pages ? HS_MEMFD_ADVISE
							    : 0);
		if (rc)
			return rc;
		fchmod(w->node_ledger.fd, 0600);
		w->core = hs_agent_core_create(
			w->core_memory, w->node_ledger.base, &config,
			&hs_carrier_ops, w, w->now_ns, wall_offset());
		if (!w->core)
			return -EINVAL;
		rc = hs_worker_store(w, "node", w->node_ledger.fd);
	}
	w->node_id = hs_agent_core_node(w->core);
	return rc;
}

static void calibrate(struct hs_worker *w)
{
	struct hs_calibrate_sample sample;

	if (w->calibrate.given_up || w->now_ns < w->calibrate_ns)
		return;
	w->calibrate_ns = w->now_ns + CALIBRATE_NS;
	hs_calibrate_read(&sample);
	if (hs_calibrate_sample(&w->calibrate, &sample) &&
	    w->calibrate.given_up)
		hs_log_warn("agent", "the processor's counter runs unevenly: "
				     "applications use the slower clock");
}

static int begin(struct hs_worker *w)
{
	int rc;

	w->now_ns = hs_clock_mono_ns();
	rc = hs_held_fetch(&w->held, w->keeper);
	if (!rc)
		rc = load_settings(w);
	if (!rc)
		rc = load_rules(w);
	if (rc)
		return rc;
	hs_left_begin(w);
	rc = make_core(w);
	if (rc)
		return rc;
	hs_tenants_adopt(w);
	hs_guests_adopt(w);
	hs_held_free(&w->held);
	hs_prepare_clock(w);
	rc = hs_carrier_make(w);
	if (!rc)
		rc = hs_shipper_make(w);
	if (!rc)
		rc = hs_attach_make(w);
	if (!rc)
		rc = hs_mailbox_make(w);
	if (!rc)
		rc = hs_held_send(w->keeper, HS_HELD_READY, 0, NULL, -1);
	return rc;
}

static void begin_finish(struct hs_worker *w, bool purge)
{
	if (!w->finishing) {
		w->finish_by_ns = w->now_ns + HS_AGENT_FINISH_NS;
		hs_agent_core_hurry(w->core);
	}
	w->finishing = true;
	w->purging |= purge;
	hs_attach_shut(w);
}

/* Return: false when the keeper is gone, and so is our reason to be. */
static bool hear_keeper(struct hs_worker *w)
{
	struct hs_held_message message;
	int fd;
	int rc = hs_held_receive(w->keeper, &message, &fd);

	if (fd >= 0)
		close(fd);
	if (rc <= 0)
		return rc == -EAGAIN || rc == -EINTR;
	if (message.type == HS_HELD_FINISH)
		begin_finish(w, message.arg);
	else if (message.type == HS_HELD_RELOAD)
		hs_reload_file(w);
	else if (message.type == HS_HELD_STANDBY)
		w->standby = (pid_t)message.arg;
	else if (message.type == HS_HELD_STANDBY_DEATHS)
		w->standby_deaths = message.arg;
	return true;
}

static bool dispatch(struct hs_worker *w, uint64_t tag)
{
	uint32_t index = (uint32_t)tag;

	switch ((enum hs_worker_event)(tag >> 32)) {
	case HS_WORKER_KEEPER:
		return hear_keeper(w);
	case HS_WORKER_LISTENER:
		hs_attach_accept(w, index);
		break;
	case HS_WORKER_PENDING:
		hs_attach_pending(w, index);
		break;
	case HS_WORKER_GUEST_LINE:
		hs_attach_line(w, index);
		break;
	case HS_WORKER_GUEST_EXIT:
		hs_attach_exit(w, index);
		break;
	case HS_WORKER_TRANSPORT:
		hs_carrier_poll(w);
		break;
	case HS_WORKER_SOURCES:
		hs_carrier_relist(w);
		hs_carrier_poll(w);
		break;
	case HS_WORKER_MAILBOX:
		hs_mailbox_serve(w);
		break;
	case HS_WORKER_SHIP:
		hs_shipper_wake(w->shipper);
		break;
	}
	return true;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t sleep_ns(const struct hs_worker *w)
{
	uint64_t ns = w->nap_ns;
	uint64_t due_ns = hs_agent_core_says_ns(w->core);

	if (w->nr_guests == 0 && !hs_agent_core_busy(w->core))
		ns = SLEEP_ALONE_NS;
	if (w->shipper)
		due_ns = least(due_ns, hs_shipper_due_ns(w->shipper));
	if (due_ns <= w->now_ns)
		return 0;
	ns = least(ns, due_ns - w->now_ns);
	return ns < SLEEP_MIN_NS ? 0 : ns;
}

/* In one call where the kernel can (Linux 5.11), else in two. */
static int wait_ns(struct hs_worker *w, struct epoll_event *events, uint64_t ns)
{
	struct pollfd fd = {.fd = w->epoll, .events = POLLIN};
	struct timespec ts = {.tv_nsec = (long)ns};
	int n;

	w->counters.waits++;
	if (ns && !w->no_pwait2) {
		n = epoll_pwait2(w->epoll, events, EVENTS_MAX, &ts, NULL);
		/* Older, or a filter of system calls that is. */
		w->no_pwait2 = n < 0 && errno != EINTR;
		return n;
	}
	if (ns) {
		n = ppoll(&fd, 1, &ts, NULL);
		if (n <= 0)
			return n;
		w->counters.waits++;
	}
	return epoll_wait(w->epoll, events, EVENTS_MAX, 0);
}

/* Messages wake us up by themselves. Return: false: the keeper is gone. */
static bool wait_events(struct hs_worker *w)
{
	struct epoll_event events[EVENTS_MAX];
	int n = wait_ns(w, events, sleep_ns(w)), nr_transport = 0;

	w->now_ns = hs_clock_mono_ns();
	for (int i = 0; i < n; i++)
		if (events[i].data.u64 & HS_TRANSPORT_EVENT)
			events[nr_transport++] = events[i];
		else if (!dispatch(w, events[i].data.u64))
			return false;
	if (nr_transport)
		hs_carrier_turn(w, events, nr_transport);
	return true;
}

/* Nobody waits for what we would see in our guests' memory. */
static bool calm(const struct hs_worker *w)
{
	return w->now_ns - w->trigger_ns > HS_NAP_CALM_NS &&
	       w->now_ns - w->asked_ns > HS_NAP_CALM_NS &&
	       !hs_agent_core_busy(w->core) && !w->finishing;
}

static uint64_t next_nap(const struct hs_worker *w)
{
	uint64_t nap_ns =
		hs_nap_next(w->nap_ns, w->now_ns - w->looked_ns, w->crowding,
			    hs_nap_bound(calm(w), w->least_room));

	return hs_nap_expect(nap_ns, w->now_ns - w->trigger_ns);
}

/* Return: false when it is time to end. */
static bool one_round(struct hs_worker *w)
{
	if (!wait_events(w))
		return false;
	if (w->counters.rounds++ % WALL_EVERY == 0)
		hs_agent_core_wall_offset(w->core, wall_offset());
	calibrate(w);
	/* Slots before lanes: see core.h. The dead are read like lanes. */
	hs_lanes_scan(w);
	hs_attach_round(w);
	hs_left_round(w);
	hs_figures_round(w);
	hs_lanes_round(w);
	w->nap_ns = next_nap(w);
	w->looked_ns = w->now_ns;
	hs_tally_dead_round(w);
	hs_carrier_listen(w);
	hs_agent_core_tick(w->core, w->now_ns);
	if (w->sent)
		hs_carrier_flush(w);
	if (w->shipper)
		hs_shipper_run(w->shipper);
	if (w->asked_to_stop && w->now_ns >= w->ask_stop_ns) {
		w->asked_to_stop = false;
		hs_held_send(w->keeper, HS_HELD_STOP, w->purging, NULL, -1);
	}
	if (!w->finishing)
		return true;
	return !w->purging && hs_agent_core_busy(w->core) &&
	       w->now_ns < w->finish_by_ns;
}

static void end(struct hs_worker *w)
{
	hs_tally_free(w);
	hs_mailbox_free(w);
	hs_attach_free(w);
	hs_shipper_free(w);
	hs_carrier_free(w);
	hs_guests_free(w);
	hs_tenants_free(w);
	hs_numa_close(w->numa);
	hs_memfd_close(&w->node_ledger);
	free_core(w);
	hs_held_free(&w->held);
	hs_agent_settings_free(&w->settings);
	if (w->epoll >= 0)
		close(w->epoll);
	close(w->keeper);
}

int hs_worker_main(int keeper, const char *config)
{
	static struct hs_worker w;
	int rc;

	w.keeper = keeper;
	w.config = config;
	w.epoll = -1;
	w.node_ledger.fd = -1;
	/* A terminal's Ctrl-C is for the keeper, which tells us. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	fcntl(keeper, F_SETFD, FD_CLOEXEC);
	prctl(PR_SET_NAME, "hs-standby");
	prctl(PR_SET_TIMERSLACK, 1000);
	w.began_ns = hs_clock_mono_ns();
	rc = hs_prepare(&w);
	if (!rc)
		rc = hs_prepare_wait(&w);
	if (rc == 1) {
		end(&w);
		return 0;
	}
	prctl(PR_SET_NAME, "hs-agent-worker");
	if (!rc)
		rc = begin(&w);
	if (rc) {
		hs_log_error("agent", "worker cannot begin error=%s",
			     strerror(rc < 0 ? -rc : rc));
		end(&w);
		return HS_AGENT_EXIT_SETUP;
	}
	w.ready_ns = hs_clock_mono_ns();
	w.ready_cpu_ns = hs_clock_thread_ns();
	hs_log_info(
		"agent",
		"worker ready node=%016llx processes=%u "
		"adopted_bytes=%llu stood_by=%d in_us=%llu",
		(unsigned long long)w.node_id, w.nr_guests,
		(unsigned long long)w.adopted_bytes, w.stood_by,
		(unsigned long long)((w.ready_ns - w.began_ns) / HS_NS_PER_US));
	while (one_round(&w))
		;
	hs_log_info("agent", "worker ends purge=%d", w.purging);
	if (w.purging)
		hs_carrier_leave(&w);
	end(&w);
	return 0;
}
