/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what was synced is there again after closing, killing, cutting and
 * flipping; what was damaged is refused and nothing else; the index is made
 * again from the segments; a full disk is a state. On real files.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "collector/store.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/log.h"
#include "collector/segment.h"
#include "tests/collector/tmpdir.h"
#include "tests/collector/wire_make.h"

#define FIRST "segment-0000000001"
#define NOW   1700000000000000000LL

struct rig {
	char dir[256];
	struct hs_store *store;
	struct hs_store_options options;
};

static void open_store(struct rig *r)
{
	char error[256] = "";
	int rc;

	r->options.dir = r->dir;
	rc = hs_store_open(&r->store, &r->options, error, sizeof(error));
	if (rc)
		fail_msg("open: %d %s", rc, error);
}

static void close_store(struct rig *r)
{
	hs_store_close(r->store);
	r->store = NULL;
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	hs_log_fd_set(open("/dev/null", O_WRONLY | O_CLOEXEC));
	tmpdir_make(r->dir);
	open_store(r);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	close_store(r);
	tmpdir_remove(r->dir);
	free(r);
	return 0;
}

/* Bytes that zstd likes only with @even set. */
static void pattern(uint8_t *out, uint32_t bytes, uint32_t seed, bool even)
{
	uint64_t x = seed + 1;

	for (uint32_t i = 0; i < bytes; i++) {
		x = x * 6364136223846793005ull + 1442695040888963407ull;
		out[i] = even ? (uint8_t)seed : (uint8_t)(x >> 33);
	}
}

static int put(struct rig *r, uint64_t trace, uint32_t seq, uint32_t bytes,
	       bool even)
{
	static uint8_t data[HS_WIRE_SLICE_MAX_BYTES];
	struct hs_wire_slice s = {.trace = make_trace(trace),
				  .node = 5,
				  .seq = seq,
				  .length_bytes = bytes,
				  .final = 1};

	pattern(data, bytes, seq, even);
	return hs_store_put_slice(r->store, &s, data, NOW);
}

struct found {
	uint32_t nr_slices, nr_damaged, nr_unions;
	uint64_t seqs; /* bits */
};

static int on_slice(void *ctx, const struct hs_wire_slice *s,
		    const uint8_t *bytes)
{
	static uint8_t data[2][HS_WIRE_SLICE_MAX_BYTES];
	struct found *f = ctx;

	f->nr_slices++;
	f->seqs |= 1ull << (s->seq & 63);
	if (!bytes)
		return 0;
	pattern(data[0], s->length_bytes, s->seq, false);
	pattern(data[1], s->length_bytes, s->seq, true);
	assert_true(!memcmp(bytes, data[0], s->length_bytes) ||
		    !memcmp(bytes, data[1], s->length_bytes));
	return 0;
}

static int on_union(void *ctx, const void *blob, uint32_t blob_bytes)
{
	((struct found *)ctx)->nr_unions++;
	return 0;
}

static int on_damage(void *ctx)
{
	((struct found *)ctx)->nr_damaged++;
	return 0;
}

static struct found look(struct rig *r, uint64_t trace, bool with_bytes)
{
	struct found f = {0};
	struct hs_wire_trace_id id = make_trace(trace);
	const struct hs_store_reader reader = {&f, on_slice, on_union,
					       on_damage};

	assert_int_equal(hs_store_read(r->store, &id, with_bytes, &reader), 0);
	return f;
}

static char *path(struct rig *r, const char *name)
{
	static char out[300];

	snprintf(out, sizeof(out), "%s/%s", r->dir, name);
	return out;
}

static uint8_t *slurp(const char *name, size_t *bytes)
{
	FILE *f = fopen(name, "rb");
	uint8_t *data = malloc(1 << 20);

	assert_non_null(f);
	*bytes = fread(data, 1, 1 << 20, f);
	fclose(f);
	return data;
}

static void spill(const char *name, const uint8_t *data, size_t bytes)
{
	FILE *f = fopen(name, "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, bytes, f), bytes);
	fclose(f);
}

static void drop_index(struct rig *r)
{
	unlink(path(r, "index.db"));
	unlink(path(r, "index.db-wal"));
	unlink(path(r, "index.db-shm"));
}

static void test_round_trip(void **state)
{
	struct rig *r = *state;
	struct hs_store_stats stats;

	assert_int_equal(put(r, 1, 0, 0, false), 0);
	assert_int_equal(put(r, 1, 1, 5000, true), 0);
	assert_int_equal(put(r, 2, 2, 5000, false), 0);
	assert_int_equal(put(r, 1, 3, HS_WIRE_SLICE_MAX_BYTES, false), 0);
	/* There before it is durable, and the same afterwards. */
	for (int i = 0; i < 3; i++) {
		assert_int_equal(look(r, 1, true).seqs, 0xb);
		assert_int_equal(look(r, 1, false).nr_slices, 3);
		assert_int_equal(look(r, 2, true).nr_slices, 1);
		assert_int_equal(look(r, 3, true).nr_slices, 0);
		if (i == 0)
			assert_int_equal(hs_store_sync(r->store), 0);
		if (i == 1) {
			close_store(r);
			open_store(r);
		}
	}
	hs_store_stats(r->store, &stats);
	assert_int_equal(stats.recovered, 0);
	assert_int_equal(stats.error, 0);
}

/* More traces in one group than are told to the index together, and of each
 * several slices with those of others between them. */
static void test_many_traces_in_a_group(void **state)
{
	enum { TRACES = 700, EACH = 3 };
	struct rig *r = *state;

	for (uint32_t seq = 0; seq < EACH; seq++)
		for (uint64_t t = 1; t <= TRACES; t++)
			assert_int_equal(put(r, t, seq, 20, false), 0);
	assert_int_equal(hs_store_sync(r->store), 0);
	for (uint64_t t = 1; t <= TRACES; t++) {
		assert_int_equal(look(r, t, true).nr_slices, EACH);
		assert_int_equal(look(r, t, true).seqs, (1u << EACH) - 1);
	}
}

static bool readable(int fd, int timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, timeout_ms) == 1;
}

/* Whoever waits for the descriptor hears of each that became durable, however
 * often it looked in between, and of nothing once it has looked. */
static void test_news_wake_the_owner(void **state)
{
	struct rig *r = *state;
	int fd = hs_store_fd(r->store);
	uint64_t done;

	for (uint32_t i = 0; i < 50; i++) {
		uint64_t ticket;

		assert_int_equal(put(r, 1, i, 20, false), 0);
		ticket = hs_store_submit(r->store);
		if (i % 2)
			assert_int_equal(hs_store_poll(r->store, &done), 0);
		do {
			assert_true(readable(fd, 60000));
			assert_int_equal(hs_store_poll(r->store, &done), 0);
		} while (done < ticket);
	}
	assert_int_equal(hs_store_sync(r->store), 0);
	assert_false(readable(fd, 0));
}

static void test_compressed_where_it_helps(void **state)
{
	struct rig *r = *state;
	struct hs_store_stats stats;

	put(r, 1, 0, 100000, true);
	assert_int_equal(hs_store_sync(r->store), 0);
	hs_store_stats(r->store, &stats);
	assert_true(stats.stored_bytes > 0 && stats.stored_bytes < 1000);
	put(r, 1, 1, 100000, false);
	assert_int_equal(hs_store_sync(r->store), 0);
	hs_store_stats(r->store, &stats);
	assert_true(stats.stored_bytes > 100000 && stats.stored_bytes < 102000);
	assert_int_equal(look(r, 1, true).nr_slices, 2);
}

static void test_one_process_only(void **state)
{
	struct rig *r = *state;
	struct hs_store *other;
	char error[256];

	assert_int_equal(
		hs_store_open(&other, &r->options, error, sizeof(error)),
		-EBUSY);
	assert_non_null(strstr(error, "another collector"));
}

static void test_segments_roll(void **state)
{
	struct rig *r = *state;
	struct hs_store_stats stats;

	close_store(r);
	r->options.segment_bytes = 50000;
	open_store(r);
	for (uint32_t i = 0; i < 60; i++)
		assert_int_equal(put(r, i % 3, i, 9000, false), 0);
	assert_int_equal(hs_store_sync(r->store), 0);
	hs_store_stats(r->store, &stats);
	assert_int_equal(stats.nr_segments, 12);
	drop_index(r);
	close_store(r);
	drop_index(r);
	open_store(r);
	for (uint64_t t = 0; t < 3; t++)
		assert_int_equal(look(r, t, true).nr_slices, 20);
	hs_store_stats(r->store, &stats);
	assert_int_equal(stats.recovered, 60);
	/* One is gone: the others stay. */
	close_store(r);
	unlink(path(r, "segment-0000000002"));
	open_store(r);
	for (uint64_t t = 0; t < 3; t++)
		assert_true(look(r, t, true).nr_slices >= 18);
	assert_int_equal(look(r, 0, false).nr_slices +
				 look(r, 1, false).nr_slices +
				 look(r, 2, false).nr_slices,
			 55);
}

static void test_cut_at_every_byte(void **state)
{
	struct rig *r = *state;
	size_t before;
	size_t whole;
	uint8_t *data;

	put(r, 1, 0, 200, false);
	put(r, 1, 1, 200, false);
	hs_store_sync(r->store);
	free(slurp(path(r, FIRST), &before));
	put(r, 1, 2, 200, false);
	close_store(r);
	data = slurp(path(r, FIRST), &whole);
	assert_true(whole > before + 200);
	for (size_t cut = before; cut < whole; cut++) {
		struct hs_store_stats stats;

		/* Every other time with an index that knows the whole file. */
		drop_index(r);
		spill(path(r, FIRST), data, whole);
		if (cut % 2) {
			open_store(r);
			close_store(r);
		}
		spill(path(r, FIRST), data, cut);
		open_store(r);
		hs_store_stats(r->store, &stats);
		/* Padding belongs to nobody's payload. */
		if (cut + HS_SEGMENT_ALIGN_BYTES > whole &&
		    look(r, 1, true).seqs == 7) {
			close_store(r);
			continue;
		}
		assert_int_equal(stats.torn_bytes, cut - before);
		assert_int_equal(look(r, 1, true).seqs, 3);
		assert_int_equal(look(r, 1, true).nr_damaged, 0);
		assert_int_equal(put(r, 1, 3, 300, true), 0);
		close_store(r);
		open_store(r);
		assert_int_equal(look(r, 1, true).seqs, 0xb);
		close_store(r);
	}
	free(data);
	open_store(r);
}

static void test_flip_every_byte(void **state)
{
	struct rig *r = *state;
	size_t ends[3];
	size_t whole;
	uint8_t *data;

	for (uint32_t i = 0; i < 3; i++) {
		put(r, 1 + i, i, 150 + i, i == 1);
		hs_store_sync(r->store);
		free(slurp(path(r, FIRST), &ends[i]));
	}
	close_store(r);
	data = slurp(path(r, FIRST), &whole);
	/* Every byte of heads and headers, every third of payloads. */
	for (size_t at = 0; at < whole; at += at < ends[0] ? 1 : 3) {
		uint32_t hit = at < HS_SEGMENT_START_BYTES ? 3
			       : at < ends[0]		   ? 0
			       : at < ends[1]		   ? 1
							   : 2;
		struct hs_wire_trace_id id = make_trace(1 + hit);
		struct found f;

		data[at] ^= 0x55;
		spill(path(r, FIRST), data, whole);
		if (at % 2)
			drop_index(r);
		open_store(r);
		for (uint32_t i = 0; i < 3; i++) {
			f = look(r, 1 + i, true);
			if (i != hit)
				assert_int_equal(f.nr_slices, 1);
			else
				assert_true(f.nr_slices + f.nr_damaged <= 1);
		}
		/* Found damaged once, it is damaged for whoever loads it. */
		if (hit < 3 && look(r, 1 + hit, true).nr_damaged)
			assert_int_equal(look(r, 1 + hit, false).nr_damaged, 1);
		assert_int_equal(
			hs_index_version(hs_store_index(r->store), &id), 0);
		close_store(r);
		data[at] ^= 0x55;
		drop_index(r);
	}
	spill(path(r, FIRST), data, whole);
	free(data);
	open_store(r);
	assert_int_equal(look(r, 2, true).nr_slices, 1);
}

static void test_both_heads_gone(void **state)
{
	struct rig *r = *state;
	struct hs_store_stats stats;
	size_t whole;
	uint8_t *data;

	put(r, 1, 0, 100, false);
	close_store(r);
	data = slurp(path(r, FIRST), &whole);
	data[20] ^= 1;
	data[84] ^= 1;
	spill(path(r, FIRST), data, whole);
	free(data);
	open_store(r);
	hs_store_stats(r->store, &stats);
	assert_int_equal(stats.bad_segments, 1);
	assert_int_equal(look(r, 1, true).nr_damaged, 1);
	/* It is left alone and the next one is written. */
	assert_int_equal(put(r, 1, 1, 100, false), 0);
	assert_int_equal(hs_store_sync(r->store), 0);
	assert_int_equal(look(r, 1, true).seqs, 2);
}

static void test_a_record_inside_a_payload_is_none(void **state)
{
	struct rig *r = *state;
	struct hs_wire_slice s = {.trace = make_trace(2), .node = 5};
	size_t whole;
	uint8_t *data;

	/* Put a real record's bytes into another's payload, both in place. */
	put(r, 1, 0, 300, false);
	hs_store_sync(r->store);
	data = slurp(path(r, FIRST), &whole);
	s.length_bytes = (uint32_t)(whole - HS_SEGMENT_START_BYTES);
	assert_int_equal(hs_store_put_slice(r->store, &s,
					    data + HS_SEGMENT_START_BYTES, NOW),
			 0);
	free(data);
	put(r, 3, 1, 10, false);
	close_store(r);
	data = slurp(path(r, FIRST), &whole);
	/* Its own header breaks, so that the reader looks further inside. */
	for (size_t at = HS_SEGMENT_START_BYTES + 8; at + 4 < whole; at += 8)
		if (!memcmp(data + at, "HREC", 4)) {
			data[at] ^= 0x80;
			break;
		}
	spill(path(r, FIRST), data, whole);
	free(data);
	drop_index(r);
	open_store(r);
	assert_int_equal(look(r, 1, true).nr_slices, 1);
	assert_int_equal(look(r, 2, true).nr_slices, 0);
	assert_int_equal(look(r, 3, true).nr_slices, 1);
}

static void test_index_of_rubbish(void **state)
{
	struct rig *r = *state;

	put(r, 1, 0, 100, false);
	close_store(r);
	drop_index(r);
	spill(path(r, "index.db"), (const uint8_t *)"this is no database", 19);
	open_store(r);
	assert_int_equal(look(r, 1, true).nr_slices, 1);
}

/* Made again from its segments, whichever version is the later one. */
static void test_index_of_another_version(void **state)
{
	static const uint8_t others[] = {2, 99};
	const size_t version_at = 63; /* the last byte of SQLite's word */
	struct rig *r = *state;

	put(r, 1, 0, 100, false);
	for (size_t i = 0; i < sizeof(others); i++) {
		uint8_t *data, ours;
		size_t bytes;

		close_store(r);
		data = slurp(path(r, "index.db"), &bytes);
		assert_true(bytes > version_at);
		ours = data[version_at];
		assert_int_not_equal(ours, others[i]);
		data[version_at] = others[i];
		spill(path(r, "index.db"), data, bytes);
		free(data);
		open_store(r);
		assert_int_equal(look(r, 1, true).nr_slices, 1);
		close_store(r);
		data = slurp(path(r, "index.db"), &bytes);
		assert_int_equal(data[version_at], ours);
		free(data);
		open_store(r);
	}
}

/* The child says after each sync how far it is; then it is shot. */
static void child(struct rig *r, int fd)
{
	char error[256];

	if (hs_store_open(&r->store, &r->options, error, sizeof(error)))
		_exit(1);
	for (uint32_t i = 0;; i++) {
		if (put(r, 1 + i % 4, i, 3000 + i % 977, i % 3 == 0))
			_exit(2);
		if (i % 5 == 4) {
			if (hs_store_sync(r->store))
				_exit(3);
			if (write(fd, &i, sizeof(i)) != sizeof(i))
				_exit(4);
		}
	}
}

static void test_kill_in_mid_write(void **state)
{
	struct rig *r = *state;

	for (int round = 0; round < 12; round++) {
		uint32_t last = 0;
		uint32_t nr = 0;
		uint32_t got;
		int fds[2];
		int status;
		pid_t pid;

		close_store(r);
		tmpdir_empty(r->dir);
		r->options.segment_bytes = 100000;
		assert_int_equal(pipe(fds), 0);
		pid = fork();
		if (pid == 0)
			child(r, fds[1]);
		close(fds[1]);
		while (nr < (uint32_t)(3 + round * 2) &&
		       read(fds[0], &got, sizeof(got)) == sizeof(got)) {
			last = got;
			nr++;
		}
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		while (read(fds[0], &got, sizeof(got)) == sizeof(got))
			last = got;
		close(fds[0]);
		assert_true(WIFSIGNALED(status));
		if (round % 3 == 1)
			drop_index(r);
		open_store(r);
		nr = 0;
		for (uint64_t t = 1; t <= 4; t++) {
			struct found f = look(r, t, true);

			assert_int_equal(f.nr_damaged, 0);
			nr += f.nr_slices;
		}
		assert_true(nr >= last + 1);
		assert_int_equal(put(r, 9, 1, 100, false), 0);
		assert_int_equal(hs_store_sync(r->store), 0);
	}
}

static void test_a_full_disk_is_a_state(void **state)
{
	struct rig *r = *state;
	struct rlimit limit;
	struct rlimit small;
	struct hs_store_stats stats;
	uint32_t nr = 0;

	close_store(r);
	r->options.unsynced_bytes = 1; /* the least it takes */
	open_store(r);
	put(r, 1, 0, 1000, false);
	assert_int_equal(hs_store_sync(r->store), 0);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &limit);
	small = limit;
	small.rlim_cur = 300000;
	setrlimit(RLIMIT_FSIZE, &small);
	while (nr < 40 && put(r, 1, 1 + nr, 100000, false) == 0)
		nr++;
	assert_true(nr > 3 && nr < 40);
	assert_true(hs_store_sync(r->store) < 0);
	hs_store_stats(r->store, &stats);
	assert_true(stats.error < 0);
	assert_non_null(strstr(stats.error_text, "segment"));
	assert_true(look(r, 1, true).nr_slices == nr + 1);
	/* Room again: it goes on, and nothing that was taken is missing. */
	setrlimit(RLIMIT_FSIZE, &limit);
	assert_int_equal(hs_store_sync(r->store), 0);
	hs_store_stats(r->store, &stats);
	assert_int_equal(stats.error, 0);
	close_store(r);
	drop_index(r);
	open_store(r);
	assert_int_equal(look(r, 1, true).nr_slices, nr + 1);
	assert_int_equal(look(r, 1, true).nr_damaged, 0);
}

struct idler {
	sem_t begun;
	bool wanted_first, heard;
};

static int idle_until_wanted(void *ctx, struct hs_store_view *view,
			     struct hs_index *index)
{
	struct idler *i = ctx;

	if (i->heard)
		return 0;
	i->wanted_first = hs_store_view_wanted(view);
	sem_post(&i->begun);
	while (!hs_store_view_wanted(view))
		sched_yield();
	i->heard = true;
	return 1;
}

/* What is done when nothing waits hears of it when something does. */
static void test_idle_work_yields(void **state)
{
	struct rig *r = *state;
	struct idler idler = {.heard = false};

	close_store(r);
	sem_init(&idler.begun, 0, 0);
	r->options.idle = idle_until_wanted;
	r->options.idle_ctx = &idler;
	open_store(r);
	while (sem_wait(&idler.begun))
		;
	assert_int_equal(put(r, 1, 1, 1000, true), 0);
	assert_int_equal(hs_store_sync(r->store), 0);
	assert_false(idler.wanted_first);
	assert_true(idler.heard);
	close_store(r);
	r->options.idle = NULL;
	open_store(r);
	sem_destroy(&idler.begun);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_round_trip),
		T(test_many_traces_in_a_group),
		T(test_news_wake_the_owner),
		T(test_compressed_where_it_helps),
		T(test_one_process_only),
		T(test_segments_roll),
		T(test_cut_at_every_byte),
		T(test_flip_every_byte),
		T(test_both_heads_gone),
		T(test_a_record_inside_a_payload_is_none),
		T(test_index_of_rubbish),
		T(test_index_of_another_version),
		T(test_kill_in_mid_write),
		T(test_a_full_disk_is_a_state),
		T(test_idle_work_yields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
