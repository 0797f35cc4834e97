/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the life of the client: open, the helper's rounds, attach, thread
 * exit, fork, close.
 *
 * Guarantees: only this file writes struct hs_client (the counters aside). A
 * replaced attachment is retired, never unmapped, until close, when by
 * contract no thread is inside; its traces are dropped.
 */
#include "dataplane/client.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "dataplane/clock.h"
#include "dataplane/ending.h"
#include "dataplane/handle.h"
#include "dataplane/key.h"
#include "dataplane/operation.h"
#include "dataplane/resource.h"
#include "dataplane/rules.h"
#include "dataplane/stock.h"
#include "dataplane/trigger.h"

static const uint64_t epoch_none;

__thread struct hs_tls hs_tls;

struct hs_client hs_client = {
	.live = &epoch_none,
	.lock = PTHREAD_MUTEX_INITIALIZER,
};

static pthread_key_t thread_key;
static bool has_thread_key;

/* ---- threads ------------------------------------------------------------ */

/* The lane that tls names, if it still exists. */
static struct hs_attachment *tls_attachment(const struct hs_tls *tls)
{
	struct hs_attachment *at;

	if (tls->attachment < hs_client.first_attachment)
		return NULL;
	/* client.R5 acquire, pairs client.W4: what it points to. */
	at = __atomic_load_n(&hs_client.attachment, __ATOMIC_ACQUIRE);
	while (at && at->number != tls->attachment)
		at = at->next;
	return at;
}

static void lane_leave(struct hs_tls *tls)
{
	struct hs_attachment *at = tls_attachment(tls);

	if (at && tls->lane) {
		if (at != hs_client_attachment())
			hs_ending_drop(tls->lane);
		(void)hs_ending_flush(tls->lane);
		hs_handle_flush(tls->lane);
		hs_attachment_lane_return(at, tls->lane);
	}
	tls->lane = NULL;
	tls->attachment = 0;
}

static void thread_exit(void *unused)
{
	struct hs_tls *tls = hs_client_enter();

	if (!tls)
		return;
	lane_leave(tls);
	hs_client_leave(tls);
}

/*
 * Early, so that the key is one of the first: glibc keeps the values of the
 * first 32 keys in the thread itself and would allocate for later ones.
 */
__attribute__((constructor)) static void thread_key_make(void)
{
	has_thread_key = pthread_key_create(&thread_key, thread_exit) == 0;
}

struct hs_lane *hs_client_lane_take(struct hs_tls *tls,
				    struct hs_attachment *at)
{
	lane_leave(tls);
	tls->lane = hs_attachment_lane_take(at);
	if (!tls->lane)
		return NULL;
	tls->attachment = at->number;
	if (has_thread_key)
		(void)pthread_setspecific(thread_key, tls);
	return tls->lane;
}

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

static uint64_t rotate(uint64_t x, unsigned int n)
{
	return x << n | x >> (64 - n);
}

/* xoroshiro128** (Blackman and Vigna), a state per thread and epoch. */
uint64_t hs_client_random(struct hs_tls *tls)
{
	uint64_t epoch = hs_client_epoch();
	uint64_t a, b, out;

	if (tls->random_epoch != epoch) {
		/* client.C6 relaxed: only has to be different for each. */
		uint64_t n = 1 + __atomic_fetch_add(&hs_client.nr_seeded, 1,
						    __ATOMIC_RELAXED);

		tls->random[0] = mix(hs_client.seed[0] + n * 2);
		tls->random[1] = mix(hs_client.seed[1] ^ n << 32) | 1;
		tls->random_epoch = epoch;
	}
	a = tls->random[0];
	b = tls->random[1];
	out = rotate(a * 5, 7) * 9;
	b ^= a;
	tls->random[0] = rotate(a, 24) ^ b ^ b << 16;
	tls->random[1] = rotate(b, 37);
	return out;
}

/* ---- the helper's round ------------------------------------------------ */

/* Without a calibration all times are read from the other clocks. */
static void clock_refresh(struct hs_attachment *at)
{
	if (hs_client.clock == HS_CLIENT_CLOCK_BEST)
		hs_attachment_clock_refresh(at);
}

static void attach(struct hs_attachment *at)
{
	struct hs_attachment *old;
	struct hs_shm_up *up = hs_attachment_up(at);

	at->number = ++hs_client.attachments;
	if (!hs_client.first_attachment)
		hs_client.first_attachment = at->number;
	/* client.R6 acquire, pairs client.W4: this thread's own store, or an
	 * earlier helper's. */
	old = __atomic_load_n(&hs_client.attachment, __ATOMIC_ACQUIRE);
	at->next = old;
	up->version = at->layout.version;
	hs_trigger_publish_all(up);
	clock_refresh(at);
	hs_rules_refresh(at);
	hs_operations_publish(at);
	/* up.W1 release, pairs up.R1: the header before its magic. */
	__atomic_store_n(&up->magic, HS_SHM_UP_MAGIC, __ATOMIC_RELEASE);
	/* client.W4 release, pairs client.R4 client.R5 client.R6: the
	 * attachment before its address. */
	__atomic_store_n(&hs_client.attachment, at, __ATOMIC_RELEASE);
	/* Again, for a trigger defined since: it saw the old one only. */
	hs_trigger_publish_all(up);
	if (old) {
		hs_attachment_retire(old);
		hs_ending_abandon(old);
		hs_client.nr_retired++;
	}
}

/* Of one lane in all: unless it is an application's thread's. */
static void stock_return_alone(struct hs_attachment *at)
{
	struct hs_tls *tls = hs_client_enter();
	struct hs_lane *lane;
	bool had_lane;

	if (!tls)
		return;
	had_lane = hs_client_lane_held(tls) != NULL;
	lane = hs_client_lane(tls, at);
	if (lane)
		hs_stock_return(at, lane);
	if (!had_lane)
		lane_leave(tls);
	hs_client_leave(tls);
}

/*
 * By the lane that is borrowed: one that a thread takes next must not be full
 * of what is none of its business.
 */
static void stock_return(struct hs_attachment *at)
{
	struct hs_lane *lane = hs_attachment_lane_borrow(at);

	if (lane) {
		hs_stock_return(at, lane);
		hs_ending_return(at, lane);
	} else if (at->layout.nr_lanes == 1) {
		stock_return_alone(at);
	}
}

/* Under lock. */
static void round_once(uint64_t now_ns)
{
	struct hs_connect *c = &hs_client.connect;
	uint32_t attached = 0;

	if (c->state == HS_CONNECT_IDLE && c->process == 0 &&
	    hs_client.nr_retired >= HS_CLIENT_ATTACHMENTS_MAX)
		return;
	switch (hs_connect_step(c, hs_client.service, now_ns)) {
	case HS_CONNECT_ATTACHED:
		attach(c->attachment);
		c->attachment = NULL;
		hs_client_count(HS_COUNT_ATTACHMENTS, 1);
		break;
	case HS_CONNECT_RESUMED:
		hs_client_count(HS_COUNT_ATTACHMENTS, 1);
		break;
	case HS_CONNECT_NOTHING:
	case HS_CONNECT_LOST:
		break;
	}
	if (hs_client_attachment()) {
		hs_ending_sweep(hs_client_attachment());
		clock_refresh(hs_client_attachment());
		hs_rules_refresh(hs_client_attachment());
		hs_operations_publish(hs_client_attachment());
		stock_return(hs_client_attachment());
	}
	if (c->state == HS_CONNECT_UP) {
		attached = 1;
		/* client.C7 relaxed: one word, nothing hangs on it. */
		__atomic_store_n(&hs_client.node, c->node, __ATOMIC_RELAXED);
	}
	/* client.C8 relaxed: for information. */
	__atomic_store_n(&hs_client.attached, attached, __ATOMIC_RELAXED);
}

static void *helper(void *unused)
{
	pthread_mutex_lock(&hs_client.lock);
	while (!hs_client.stop) {
		uint64_t now = hs_clock_steady_ns();
		uint64_t until;
		struct timespec ts;

		round_once(now);
		until = now + 1000000 +
			hs_connect_wait_ns(&hs_client.connect, now);
		ts.tv_sec = (time_t)(until / 1000000000u);
		ts.tv_nsec = (long)(until % 1000000000u);
		pthread_cond_timedwait(&hs_client.wake, &hs_client.lock, &ts);
	}
	pthread_mutex_unlock(&hs_client.lock);
	return NULL;
}

static int helper_start(void)
{
	sigset_t all, before;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&hs_client.helper, NULL, helper, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	hs_client.has_helper = rc == 0;
	return rc ? -ENOMEM : 0;
}

/* ---- fork --------------------------------------------------------------- */

static void wake_init(void)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&hs_client.wake, &attr);
	pthread_condattr_destroy(&attr);
}

static void fork_prepare(void)
{
	pthread_mutex_lock(&hs_client.lock);
	hs_trigger_lock();
}

static void fork_parent(void)
{
	hs_trigger_unlock();
	pthread_mutex_unlock(&hs_client.lock);
}

/* Forget the parent's client; its memory is not mapped here. */
static void child_reset(void)
{
	struct hs_attachment *at = hs_client.attachment;

	pthread_mutex_init(&hs_client.lock, NULL);
	hs_trigger_lock_init();
	if (hs_client.page)
		*hs_client.page = 0;
	hs_tls.lane = NULL;
	hs_tls.attachment = 0;
	hs_tls.current = NULL;
	hs_tls.busy = 0;
	hs_client.attachment = NULL;
	hs_rules_drop();
	hs_handle_close_all();
	while (at) {
		struct hs_attachment *next = at->next;

		hs_attachment_free(at, false);
		at = next;
	}
	if (hs_client.connect.attachment)
		hs_attachment_free(hs_client.connect.attachment, false);
	hs_client.connect.attachment = NULL;
	/* The socket is the parent's conversation: our copy goes. */
	if (hs_client.pid)
		hs_connect_close(&hs_client.connect);
	hs_client.first_attachment = 0;
	hs_client.nr_retired = 0;
	hs_client.has_helper = false;
	hs_client.attached = 0;
	hs_client.pid = 0;
}

static void fork_child(void)
{
	if (hs_client.pid)
		child_reset();
	else
		fork_parent();
}

/* ---- open and close ----------------------------------------------------- */

/* The page that a fork wipes; made once in a line of processes. */
static int page_make(void)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	void *page;

	if (hs_client.page)
		return 0;
	page = mmap(NULL, size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return -ENOMEM;
	/* Where the kernel knows no such advice, fork_child() must do. */
	(void)madvise(page, size, MADV_WIPEONFORK);
	if (pthread_atfork(fork_prepare, fork_parent, fork_child)) {
		munmap(page, size);
		return -ENOMEM;
	}
	hs_client.page = page;
	/* client.W3 release, pairs client.R3: the page before its address. */
	__atomic_store_n(&hs_client.live, hs_client.page, __ATOMIC_RELEASE);
	return 0;
}

/* Written, not read: a page that was only read faults once more. */
void hs_client_touch(void *memory, size_t size_bytes)
{
	volatile uint8_t *p = memory;

	for (size_t i = 0; i < size_bytes; i += 4096)
		p[i] = p[i];
	/* It need not begin where a page does. */
	p[size_bytes - 1] = p[size_bytes - 1];
}

static void seed_make(void)
{
	if (getrandom(hs_client.seed, sizeof(hs_client.seed), GRND_NONBLOCK) ==
	    (ssize_t)sizeof(hs_client.seed))
		return;
	/* Early in boot: unique enough for ids, which are no secrets. */
	hs_client.seed[0] = mix(hs_clock_real_ns());
	hs_client.seed[1] =
		mix(hs_clock_steady_ns() ^ (uint64_t)getpid() << 32);
}

static int clock_take(uint32_t *clock)
{
	static const char *const names[] = {"best", "portable", "coarse"};
	const char *name = secure_getenv("HS_CLOCK");

	for (uint32_t i = 0; *clock == HS_CLIENT_CLOCK_BEST && name && i < 3;
	     i++) {
		if (!strcmp(name, names[i]))
			*clock = i;
	}
	return *clock <= HS_CLIENT_CLOCK_COARSE ? 0 : -EINVAL;
}

static int options_take(const struct hs_client_options *options,
			struct hs_client_options *out)
{
	memset(out, 0, sizeof(*out));
	if (options) {
		size_t n = options->size_bytes;

		if (n < sizeof(size_t) || n > 4096)
			return -EINVAL;
		memcpy(out, options, n < sizeof(*out) ? n : sizeof(*out));
	}
	if (!out->socket_path)
		out->socket_path = secure_getenv("HS_SOCKET");
	if (!out->socket_path || !out->socket_path[0])
		out->socket_path = HS_SHM_DEFAULT_SOCKET;
	if (!out->service)
		out->service = program_invocation_short_name;
	if (!out->max_traces)
		out->max_traces = HS_CLIENT_TRACES_DEFAULT;
	if (!out->trigger_rate_per_s)
		out->trigger_rate_per_s = HS_CLIENT_RATE_DEFAULT;
	if (out->max_traces > HS_CLIENT_TRACES_MAX)
		return -EINVAL;
	return clock_take(&out->clock);
}

/* Under lock. */
static int open_locked(const struct hs_client_options *o)
{
	size_t len = strnlen(o->service, sizeof(hs_client.service) - 1);
	int rc;

	rc = hs_connect_init(&hs_client.connect, o->socket_path);
	if (rc)
		return rc;
	rc = page_make();
	if (rc)
		return rc;
	seed_make();
	hs_operations_make();
	hs_keys_make();
	rc = hs_handle_pool_make(o->max_traces, (uint32_t)hs_client.seed[0]);
	if (rc)
		return rc;
	hs_client.resource = hs_resource_create(o->service, NULL, 0);
	if (!hs_client.resource)
		return -ENOMEM;
	hs_client.resource_hash = hs_client.resource->hash;
	memset(hs_client.service, 0, sizeof(hs_client.service));
	memcpy(hs_client.service, o->service, len);
	memset(hs_client.counters, 0, sizeof(hs_client.counters));
	hs_client.trigger_rate_per_s = o->trigger_rate_per_s;
	hs_client.clock = o->clock;
	hs_client.stop = false;
	wake_init();
	hs_client.pid = getpid();
	/* client.W1 release, pairs client.R1: everything above. */
	__atomic_store_n(hs_client.page, ++hs_client.epochs, __ATOMIC_RELEASE);
	return 0;
}

/* Under lock, without a helper. */
static void close_locked(void)
{
	struct hs_attachment *at = hs_client.attachment;

	/* Names of what began since the helper's last round. */
	if (at)
		hs_operations_publish(at);
	hs_rules_drop();
	/* client.W5 release, pairs client.R1: nothing of ours moves below. */
	__atomic_store_n(hs_client.page, 0, __ATOMIC_RELEASE);
	hs_handle_close_all();
	hs_connect_close(&hs_client.connect);
	hs_client.attachment = NULL;
	while (at) {
		struct hs_attachment *next = at->next;

		hs_attachment_free(at, true);
		at = next;
	}
	hs_resource_destroy(hs_client.resource);
	hs_client.resource = NULL;
	hs_client.first_attachment = 0;
	hs_client.nr_retired = 0;
	hs_client.attached = 0;
	hs_client.pid = 0;
	pthread_cond_destroy(&hs_client.wake);
}

int hs_client_open(const struct hs_client_options *options)
{
	struct hs_client_options o;
	int rc = options_take(options, &o);

	if (rc)
		return rc;
	/* A child of a bare clone() has not been through fork_child(). */
	if (hs_client.pid && hs_client.pid != getpid())
		child_reset();
	pthread_mutex_lock(&hs_client.lock);
	if (hs_client.pid)
		rc = -EBUSY;
	else
		rc = open_locked(&o);
	if (!rc && !o.no_thread) {
		rc = helper_start();
		if (rc)
			close_locked();
	}
	pthread_mutex_unlock(&hs_client.lock);
	return rc;
}

void hs_client_close(void)
{
	if (hs_client_epoch() == 0)
		return;
	pthread_mutex_lock(&hs_client.lock);
	if (hs_client.has_helper) {
		hs_client.stop = true;
		pthread_cond_signal(&hs_client.wake);
		pthread_mutex_unlock(&hs_client.lock);
		pthread_join(hs_client.helper, NULL);
		pthread_mutex_lock(&hs_client.lock);
		hs_client.has_helper = false;
	}
	close_locked();
	pthread_mutex_unlock(&hs_client.lock);
}

int hs_client_poll(void)
{
	bool up;

	if (hs_client_epoch() == 0)
		return -ENOTCONN;
	pthread_mutex_lock(&hs_client.lock);
	round_once(hs_clock_steady_ns());
	up = hs_client.connect.state == HS_CONNECT_UP;
	pthread_mutex_unlock(&hs_client.lock);
	return up ? 0 : -ENOTCONN;
}

bool hs_client_attached(void)
{
	if (hs_client_epoch() == 0)
		return false;
	/* client.C10 relaxed: for information. */
	return __atomic_load_n(&hs_client.attached, __ATOMIC_RELAXED);
}

hs_node_id hs_client_node(void)
{
	return hs_client_node_now();
}

static uint64_t counter(enum hs_client_counter which)
{
	/* client.C12 relaxed: a counter. */
	return __atomic_load_n(&hs_client.counters[which], __ATOMIC_RELAXED);
}

void hs_client_stats_get(struct hs_client_stats *stats)
{
	if (!stats)
		return;
	*stats = (struct hs_client_stats){
		.buffers_null = counter(HS_COUNT_BUFFERS_NULL),
		.entries_lost = counter(HS_COUNT_ENTRIES_LOST),
		.handles_lost = counter(HS_COUNT_HANDLES_LOST),
		.calls_nested = counter(HS_COUNT_CALLS_NESTED),
		.calls_stale = counter(HS_COUNT_CALLS_STALE),
		.values_cut = counter(HS_COUNT_VALUES_CUT),
		.triggers_limited = counter(HS_COUNT_TRIGGERS_LIMITED),
		.attachments = counter(HS_COUNT_ATTACHMENTS),
	};
}
