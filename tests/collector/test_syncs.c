/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: nothing is durable, or found, before its sync has ended, though what
 * is behind it is packed and written meanwhile; and a sync that fails takes
 * back what it was for and what lies behind it, until one that does not.
 *
 * The syncs of segments are this program's: they wait until they may.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "collector/store.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "tests/collector/tmpdir.h"
#include "tests/collector/wire_make.h"

#define NOW	    1700000000000000000LL
#define SLICE_BYTES 60000u
#define RING_BYTES  (8u << 20)
#define GROUP	    20u /* slices: over an eighth of that */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool held;	  /* syncs wait */
	uint32_t begun;	  /* of segments, since they were held */
	uint32_t allowed; /* of those */
	int error;	  /* what the next one fails with */
} syncs = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};

static bool is_segment(int fd)
{
	char link[64], name[512];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, name, sizeof(name) - 1);
	name[n > 0 ? n : 0] = '\0';
	return strstr(name, "/segment-") != NULL;
}

int fdatasync(int fd)
{
	int error = 0;

	if (is_segment(fd)) {
		pthread_mutex_lock(&syncs.lock);
		if (syncs.held) {
			uint32_t nr = ++syncs.begun;

			pthread_cond_broadcast(&syncs.cond);
			while (syncs.allowed < nr)
				pthread_cond_wait(&syncs.cond, &syncs.lock);
			error = syncs.error;
			syncs.error = 0;
		}
		pthread_mutex_unlock(&syncs.lock);
	}
	if (!error)
		return (int)syscall(SYS_fdatasync, fd);
	errno = error;
	return -1;
}

static void hold(bool held)
{
	pthread_mutex_lock(&syncs.lock);
	syncs.held = held;
	syncs.begun = 0;
	syncs.allowed = 0;
	pthread_mutex_unlock(&syncs.lock);
}

static void await_sync(uint32_t nr)
{
	pthread_mutex_lock(&syncs.lock);
	while (syncs.begun < nr)
		pthread_cond_wait(&syncs.cond, &syncs.lock);
	pthread_mutex_unlock(&syncs.lock);
}

static void allow(uint32_t nr, int error)
{
	pthread_mutex_lock(&syncs.lock);
	syncs.allowed = nr;
	syncs.error = error;
	pthread_cond_broadcast(&syncs.cond);
	pthread_mutex_unlock(&syncs.lock);
}

struct rig {
	char dir[256];
	struct hs_store *store;
	uint32_t put;
};

static void put_group(struct rig *r)
{
	static uint8_t data[SLICE_BYTES];

	for (uint32_t i = 0; i < GROUP; i++) {
		struct hs_wire_slice s = {.trace = make_trace(++r->put),
					  .node = 5,
					  .length_bytes = SLICE_BYTES,
					  .final = 1};

		assert_int_equal(hs_store_put_slice(r->store, &s, data, NOW),
				 0);
	}
}

static void open_store(struct rig *r)
{
	const struct hs_store_options options = {.dir = r->dir,
						 .unsynced_bytes = RING_BYTES};
	char error[256] = "";

	if (hs_store_open(&r->store, &options, error, sizeof(error)))
		fail_msg("open: %s", error);
}

/* With a segment: making one takes a sync of its own. */
static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	hs_log_fd_set(open("/dev/null", O_WRONLY | O_CLOEXEC));
	tmpdir_make(r->dir);
	open_store(r);
	put_group(r);
	assert_int_equal(hs_store_sync(r->store), 0);
	hold(true);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	hs_store_close(r->store);
	tmpdir_remove(r->dir);
	free(r);
	return 0;
}

static int count_one(void *ctx, const struct hs_index_trace *trace)
{
	++*(uint32_t *)ctx;
	return 0;
}

/* In the index, as anybody else who reads it finds it. */
static uint32_t found(struct rig *r)
{
	const struct hs_index_filter all = {.min_duration_ns = -1,
					    .max_duration_ns = -1,
					    .error = -1,
					    .mark = -1,
					    .limit = 10000};
	uint32_t nr = 0;

	assert_int_equal(
		hs_index_query(hs_store_index(r->store), &all, count_one, &nr),
		0);
	return nr;
}

static uint64_t done(struct rig *r)
{
	uint64_t position;

	(void)hs_store_poll(r->store, &position);
	return position;
}

static void test_in_the_order_of_syncs(void **state)
{
	struct rig *r = *state;
	uint64_t first, second;

	put_group(r);
	first = hs_store_submit(r->store);
	await_sync(1);
	put_group(r);
	second = hs_store_submit(r->store);
	assert_true(done(r) < first);
	assert_int_equal(found(r), GROUP);
	/* The second goes when the first has ended, and not before. */
	allow(1, 0);
	await_sync(2);
	assert_true(done(r) >= first && done(r) < second);
	assert_int_equal(found(r), 2 * GROUP);
	hold(false);
	allow(2, 0);
	assert_int_equal(hs_store_sync(r->store), 0);
	assert_true(done(r) >= second);
	assert_int_equal(found(r), 3 * GROUP);
}

static void test_a_sync_that_fails(void **state)
{
	struct rig *r = *state;
	uint64_t before = done(r);
	struct hs_store_stats stats;
	char index[300];

	put_group(r);
	hs_store_submit(r->store);
	await_sync(1);
	put_group(r);
	hs_store_submit(r->store);
	allow(1, EIO);
	/* Asked for twice, so it may be tried again at once; held there. */
	await_sync(2);
	assert_int_equal(done(r), before);
	assert_int_equal(found(r), GROUP);
	hs_store_stats(r->store, &stats);
	assert_int_equal(stats.sync_errors, 1);
	hold(false);
	allow(2, 0);
	assert_int_equal(hs_store_sync(r->store), 0);
	assert_int_equal(found(r), 3 * GROUP);
	/* As it stands on the disk, too. */
	hs_store_close(r->store);
	snprintf(index, sizeof(index), "%s/index.db", r->dir);
	assert_int_equal(unlink(index), 0);
	open_store(r);
	assert_int_equal(found(r), 3 * GROUP);
	hs_store_stats(r->store, &stats);
	assert_int_equal(stats.damaged_bytes, 0);
}

/* What an index was like at some time. */
static void copy_file(const char *from, const char *to)
{
	static char data[1 << 20];
	int in = open(from, O_RDONLY), out;
	ssize_t n;

	assert_true(in >= 0);
	out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(out >= 0);
	while ((n = read(in, data, sizeof(data))) > 0)
		assert_int_equal(write(out, data, (size_t)n), n);
	close(in);
	close(out);
}

static void index_copy(const struct rig *r, const char *from, const char *to)
{
	static const char *const parts[] = {"", "-wal"};

	for (int i = 0; i < 2; i++) {
		char a[300], b[300];

		snprintf(a, sizeof(a), "%s/%s%s", r->dir, from, parts[i]);
		snprintf(b, sizeof(b), "%s/%s%s", r->dir, to, parts[i]);
		copy_file(a, b);
	}
}

static void put_slice(struct rig *r, uint32_t seq)
{
	static uint8_t data[SLICE_BYTES];
	const struct hs_wire_slice slice = {.trace = make_trace(1),
					    .node = 6,
					    .seq = seq,
					    .length_bytes = SLICE_BYTES,
					    .final = 1};

	assert_int_equal(hs_store_put_slice(r->store, &slice, data, NOW), 0);
}

static void put_mark(struct rig *r, uint64_t trace)
{
	const struct hs_index_mark mark = {
		.mark = 1, .version = 2, .causes = "[]", .nodes = "[]"};
	const struct hs_wire_trace_id id = make_trace(trace);

	assert_int_equal(hs_store_put_mark(r->store, &id, &mark, NOW), 0);
}

static void unmarked_is(struct rig *r, int nr)
{
	struct hs_wire_trace_id ids[9];

	assert_int_equal(hs_index_unmarked(hs_store_index(r->store), ids, 9),
			 nr);
	if (nr)
		assert_int_equal(ids[0].lo, 1);
}

/*
 * A row is committed with a slice, and with what is made of that only later: by
 * a power cut in between it is said to be unmarked. @before: it has a mark
 * already, of what came before that slice.
 */
static void cut_off(struct rig *r, bool before)
{
	hold(false);
	for (uint32_t i = 1; i <= r->put; i++)
		put_mark(r, i);
	assert_int_equal(hs_store_sync(r->store), 0);
	unmarked_is(r, 0);
	if (before) {
		put_slice(r, 1);
		put_mark(r, 1);
	}
	put_slice(r, 2);
	assert_int_equal(hs_store_sync(r->store), 0);
	index_copy(r, "index.db", "cut");
	put_mark(r, 1);
	assert_int_equal(hs_store_sync(r->store), 0);
	unmarked_is(r, 0);
	hs_store_close(r->store);
	index_copy(r, "cut", "index.db");
	open_store(r);
	unmarked_is(r, 1);
}

static void test_a_mark_that_is_cut_off(void **state)
{
	cut_off(*state, false);
}

static void test_a_later_mark_that_is_cut_off(void **state)
{
	cut_off(*state, true);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_in_the_order_of_syncs),
		T(test_a_sync_that_fails),
		T(test_a_mark_that_is_cut_off),
		T(test_a_later_mark_that_is_cut_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
