/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_shm_shown.c - the shared-memory carrier: memory that peers read, where
 * the other side does not play by the rules
 *
 * What both sides do by the rules is test_window.c's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fdpass.h"
#include "rdma/crumbs.h"
#include "rdma/shm.h"
#include "tests/rdma/shm_other.h"

#define SHOWN_BYTES 8192u
#define SIZE_SEALS  (F_SEAL_SHRINK | F_SEAL_GROW)
#define SEALS	    (SIZE_SEALS | F_SEAL_FUTURE_WRITE)

static uint32_t nr_told, nr_done, nr_follow;
static uint8_t got[HS_TRANSPORT_READ_MAX_BYTES];
static struct hs_memfd shown = {.fd = -1};
static uint32_t nr_kept; /* before the test */

/* Descriptors that are open, and memories that are mapped. */
static uint32_t kept(void)
{
	DIR *fds = opendir("/proc/self/fd");
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	uint32_t nr = 0;

	assert_true(fds && maps);
	while (readdir(fds))
		nr++;
	while (fgets(line, sizeof(line), maps))
		nr += strstr(line, "/memfd:") != NULL;
	fclose(maps);
	closedir(fds);
	return nr;
}

static int readable(void *ctx, uint32_t peer, const void *about,
		    uint32_t about_bytes, uint64_t size_bytes)
{
	nr_told++;
	return 0;
}

static void read_done(void *ctx, uint32_t peer, uint64_t cookie,
		      const void *bytes, uint32_t size_bytes)
{
	memcpy(got, bytes, size_bytes);
	nr_done++;
	if (nr_follow && nr_follow--)
		assert_int_equal(
			hs_transport_read(t, peer, 8ull * nr_done, 8, 0), 0);
}

/* Ours reads. */
static int setup_reader(void **state)
{
	const struct hs_transport_windows w = {.readable = readable,
					       .read_done = read_done};

	nr_told = nr_done = nr_follow = 0;
	nr_kept = kept();
	return setup(state) || hs_transport_windows(t, &w);
}

static int setup_neither(void **state)
{
	nr_told = nr_done = nr_follow = 0;
	nr_kept = kept();
	return setup(state);
}

/* Ours shows what it has, to whoever is a coordinator and reads. */
static int setup_shower(void **state)
{
	const struct hs_transport_windows w = {
		.memory = &shown,
		.data = shown.base,
		.size_bytes = SHOWN_BYTES,
		.reader = HS_WIRE_ROLE_COORDINATOR,
	};
	struct hs_transport_windows other = w;

	nr_kept = kept();
	assert_int_equal(
		hs_memfd_create(&shown, "shown", SHOWN_BYTES, HS_MEMFD_OURS),
		0);
	other.data = shown.base;
	other.memory = NULL;
	assert_int_equal(setup(state), 0);
	/* Of memory that cannot be handed over there are no windows. */
	assert_int_equal(hs_transport_windows(t, &other), -EOPNOTSUPP);
	other.memory = &shown;
	other.size_bytes = shown.size_bytes + 1;
	assert_int_equal(hs_transport_windows(t, &other), -EOPNOTSUPP);
	other.size_bytes = SHOWN_BYTES;
	return hs_transport_windows(t, &other);
}

/* Whatever came of the other side, nothing of it is left; nor does anything
 * come while ours ends. */
static int teardown_all(void **state)
{
	uint32_t before = nr_done;

	teardown(state);
	assert_int_equal(nr_done, before);
	hs_memfd_close(&shown);
	assert_int_equal(kept(), nr_kept);
	return 0;
}

static void hand_over(struct other *o, uint8_t word, const int *fds, size_t nr)
{
	assert_int_equal(hs_fdpass_send(o->fd, &word, 1, fds, nr), 0);
}

static void tell(struct other *o, uint64_t size_bytes)
{
	const struct hs_wire_window w = {.size_bytes = size_bytes};

	say(o, HS_WIRE_WINDOW, &w, sizeof(w));
}

/* It is cut off, and nothing of it is read. */
static void gone(struct other *o)
{
	uint64_t before = cut(HS_TRANSPORT_CUT_GARBAGE);
	uint32_t down = nr_down;

	ring(o);
	until(nr_down == down + 1);
	assert_int_equal(cut(HS_TRANSPORT_CUT_GARBAGE), before + 1);
	until(stats().nr_peers == 0);
	assert_int_equal(nr_told, 0);
	assert_int_equal(stats().nr_windows, 0);
	assert_int_equal(((struct hs_shm *)t)->shown_bytes, 0);
	hang_up(o);
}

static void refused(int fd, uint64_t size_bytes)
{
	struct other o;

	connect_as_peer(&o);
	if (fd >= 0)
		hand_over(&o, HS_RING_MEMORY, &fd, 1);
	tell(&o, size_bytes);
	gone(&o);
	if (fd >= 0)
		close(fd);
}

/* A memory as it should be, which is filled. */
static int filled(size_t bytes, int seals)
{
	int fd = memory(bytes, 0);

	assert_int_equal(fallocate(fd, 0, 0, (off_t)bytes), 0);
	for (size_t at = 0; at < bytes; at += 4096)
		assert_int_equal(pwrite(fd, "", 1, (off_t)at), 1);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void memories(void **state)
{
	refused(-1, SHOWN_BYTES);
	refused(filled(SHOWN_BYTES, F_SEAL_GROW), SHOWN_BYTES);
	refused(filled(SHOWN_BYTES, F_SEAL_SHRINK), SHOWN_BYTES);
	refused(filled(SHOWN_BYTES - 4096, SEALS), SHOWN_BYTES);
	refused(filled(SHOWN_BYTES + 4096, SEALS), SHOWN_BYTES);
	refused(filled(SHOWN_BYTES, SEALS), SHOWN_BYTES + 1);
	refused(filled(SHOWN_BYTES, SEALS), HS_SHM_SHOWN_MAX_BYTES + 1);
	/* Its pages would be ours to pay for. */
	refused(memory(SHOWN_BYTES, SEALS), SHOWN_BYTES);
	refused(open("/proc/self/exe", O_RDONLY | O_CLOEXEC), SHOWN_BYTES);
}

/* One that can be given holes, and one that has: with as many blocks behind its
 * end. Neither is read, and who showed it is heard. */
static void may_have_holes(void **state)
{
	int fds[2] = {filled(SHOWN_BYTES, SIZE_SEALS), memory(SHOWN_BYTES, 0)};
	struct other o;

	assert_int_equal(pwrite(fds[1], "", 1, 0), 1);
	assert_int_equal(fallocate(fds[1], FALLOC_FL_KEEP_SIZE, SHOWN_BYTES,
				   SHOWN_BYTES),
			 0);
	assert_int_equal(fcntl(fds[1], F_ADD_SEALS, SEALS), 0);
	for (uint32_t i = 0; i < 2; i++) {
		uint32_t down = nr_down;

		connect_as_peer(&o);
		hand_over(&o, HS_RING_MEMORY, &fds[i], 1);
		tell(&o, SHOWN_BYTES);
		ring(&o);
		until(stats().windows_refused == i + 1);
		assert_int_equal(nr_told, 0);
		assert_int_equal(stats().nr_windows, 0);
		assert_int_equal(((struct hs_shm *)t)->shown_bytes, 0);
		assert_int_equal(hs_transport_read(t, last_up, 0, 8, 0),
				 -EOPNOTSUPP);
		assert_int_equal(nr_down, down);
		hang_up(&o);
		until(nr_down == down + 1);
		close(fds[i]);
	}
}

static void handed_over_otherwise(void **state)
{
	int fds[2] = {filled(SHOWN_BYTES, SEALS), filled(SHOWN_BYTES, SEALS)};
	struct other o;

	/* With a word that is none, without any, and two at once. */
	connect_as_peer(&o);
	hand_over(&o, HS_RING_BELL, fds, 1);
	tell(&o, SHOWN_BYTES);
	gone(&o);
	connect_as_peer(&o);
	hand_over(&o, HS_RING_MEMORY, fds, 0);
	tell(&o, SHOWN_BYTES);
	gone(&o);
	connect_as_peer(&o);
	hand_over(&o, HS_RING_MEMORY, fds, 2);
	tell(&o, SHOWN_BYTES);
	gone(&o);
	connect_as_peer(&o);
	hand_over(&o, HS_RING_MEMORY, fds, 1);
	hand_over(&o, HS_RING_MEMORY, fds + 1, 1);
	tell(&o, SHOWN_BYTES);
	gone(&o);
	close(fds[0]);
	close(fds[1]);
}

/* A second one, and a second WINDOW, where the first was fine; and a second one
 * that no WINDOW tells of. */
static void twice(void **state)
{
	int fd = filled(SHOWN_BYTES, SEALS);

	for (uint32_t i = 1; i < 4; i++) {
		struct other o;

		connect_as_peer(&o);
		hand_over(&o, HS_RING_MEMORY, &fd, 1);
		tell(&o, SHOWN_BYTES);
		until(nr_told == i);
		assert_int_equal(stats().nr_windows, 1);
		assert_int_equal(((struct hs_shm *)t)->shown_bytes,
				 SHOWN_BYTES);
		if (i != 2)
			hand_over(&o, HS_RING_MEMORY, &fd, 1);
		if (i != 3)
			tell(&o, SHOWN_BYTES);
		ring(&o);
		if (i == 3) /* then it is heard */
			shutdown(o.fd, SHUT_WR);
		until(nr_down == i);
		assert_int_equal(cut(HS_TRANSPORT_CUT_GARBAGE), i);
		assert_int_equal(stats().nr_windows, 0);
		assert_int_equal(((struct hs_shm *)t)->shown_bytes, 0);
		hang_up(&o);
	}
	close(fd);
}

/* Nobody asked for it: ours does not read. */
static void unasked(void **state)
{
	int fd = filled(SHOWN_BYTES, SEALS);
	struct other o;

	refused(fd, SHOWN_BYTES);
	/* Without a word about it. */
	fd = filled(SHOWN_BYTES, SEALS);
	connect_as_peer(&o);
	hand_over(&o, HS_RING_MEMORY, &fd, 1);
	hang_up(&o);
	until(cut(HS_TRANSPORT_CUT_GARBAGE) == 2);
	close(fd);
}

/* All that peers show is bounded; who comes on top is a peer like any other. */
static void more_than_is_mapped(void **state)
{
	struct hs_shm *shm = (struct hs_shm *)t;
	int fd = filled(SHOWN_BYTES, SEALS);
	struct other o;
	uint32_t before;

	shm->shown_bytes = HS_SHM_SHOWN_MAX_BYTES - SHOWN_BYTES + 1;
	connect_as_peer(&o);
	before = kept();
	hand_over(&o, HS_RING_MEMORY, &fd, 1);
	tell(&o, SHOWN_BYTES);
	until(stats().windows_refused == 1);
	assert_int_equal(kept(), before);
	say(&o, HS_WIRE_LEAVE, "12345678", 8);
	until(nr_messages == 1);
	assert_int_equal(hs_transport_read(t, last_up, 0, 8, 0), -EOPNOTSUPP);
	assert_int_equal(nr_told + nr_down, 0);
	hang_up(&o);
	until(nr_down == 1);
	assert_int_equal(shm->shown_bytes,
			 HS_SHM_SHOWN_MAX_BYTES - SHOWN_BYTES + 1);
	shm->shown_bytes = 0;
	close(fd);
}

static void one_without_a_place(struct other *o)
{
	struct rlimit was, now;
	uint64_t before = cut(HS_TRANSPORT_CUT_FULL);

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	now = was;
	now.rlim_cur = (rlim_t)dup(o->fd); /* the next one would be it */
	close((int)now.rlim_cur);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
	until(cut(HS_TRANSPORT_CUT_FULL) == before + 1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	until(stats().nr_peers == 0);
	hang_up(o);
}

/* Ours are used up: that is no fault of the other side's. */
static void no_descriptors(void **state)
{
	struct hs_ring_hello h = good_hello();
	int fd = filled(SHOWN_BYTES, SEALS);
	struct other o;

	connect_as_peer(&o);
	hand_over(&o, HS_RING_MEMORY, &fd, 1);
	tell(&o, SHOWN_BYTES);
	one_without_a_place(&o);
	dial(&o);
	hear_hello(&o);
	say_hello(&o, &h, fd);
	one_without_a_place(&o);
	assert_int_equal(cut(HS_TRANSPORT_CUT_GARBAGE), 0);
	close(fd);
}

#define BUCKET_BYTES ((uint32_t)sizeof(struct hs_crumb_bucket))

static enum hs_crumbs_found look(const struct hs_crumb_table *table,
				 struct hs_crumb_entry *out)
{
	uint32_t before = nr_done;

	assert_int_equal(
		hs_transport_read(t, last_up,
				  hs_crumbs_bucket(table, 1, 2) * BUCKET_BYTES,
				  BUCKET_BYTES, 0),
		0);
	/* Not from within read(). */
	assert_int_equal(nr_done, before);
	hs_transport_flush(t);
	assert_int_equal(nr_done, before + 1);
	return hs_crumbs_look(table, got, 1, 2, out);
}

/* An entry that is half another is said to be so, and read on; holes cannot be
 * made, not by its owner either. */
static void torn_and_gone(void **state)
{
	const struct hs_crumb_table table =
		hs_crumbs_table_make(5, 1, (const uint8_t *)"a key of its own");
	struct hs_crumb_bucket *buckets;
	struct hs_crumb_entry *at, e;
	struct hs_memfd m;
	struct other o;

	assert_int_equal(hs_crumbs_bytes(&table), SHOWN_BYTES);
	assert_int_equal(
		hs_memfd_create(&m, "shown", SHOWN_BYTES, HS_MEMFD_OURS), 0);
	buckets = m.base;
	at = &buckets[hs_crumbs_bucket(&table, 1, 2)].ways[0];
	connect_as_peer(&o);
	hand_over(&o, HS_RING_MEMORY, &m.fd, 1);
	tell(&o, SHOWN_BYTES);
	until(nr_told == 1);
	assert_int_equal(look(&table, &e), HS_CRUMBS_OTHER);
	hs_crumbs_add(&table, buckets, 1, 2, 100);
	assert_int_equal(look(&table, &e), HS_CRUMBS_HERE);
	assert_int_equal(e.nodes[0], 100);
	at->nodes[0] = 200;
	assert_int_equal(look(&table, &e), HS_CRUMBS_TORN);
	at->nodes[0] = 100;
	at->nr = UINT16_MAX;
	assert_int_equal(look(&table, &e), HS_CRUMBS_TORN);
	assert_int_equal(fallocate(m.fd,
				   FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				   0, SHOWN_BYTES),
			 -1);
	assert_int_equal(madvise(m.base, SHOWN_BYTES, MADV_REMOVE), -1);
	assert_int_equal(look(&table, &e), HS_CRUMBS_TORN);
	assert_int_equal(nr_down, 0);
	/* It dies; what is mapped lasts until we hear of it. */
	assert_int_equal(hs_transport_read(t, last_up, 0, 8, 0), 0);
	hang_up(&o);
	hs_memfd_close(&m);
	until(nr_down == 1);
	assert_int_equal(hs_transport_read(t, last_up, 0, 8, 0), -ENOTCONN);
}

/* A chain of reads is one turn's, and a message waits until it is through; one
 * without an end does not keep the others waiting. */
static void one_leads_to_another(void **state)
{
	int fd = filled(SHOWN_BYTES, SEALS);
	uint64_t head;
	struct other o;

	connect_as_peer(&o);
	hand_over(&o, HS_RING_MEMORY, &fd, 1);
	tell(&o, SHOWN_BYTES);
	until(nr_told == 1);
	nr_follow = HS_SHM_READ_ROUNDS - 1;
	assert_int_equal(hs_transport_read(t, last_up, 0, 8, 0), 0);
	hs_transport_flush(t);
	assert_int_equal(nr_done, HS_SHM_READ_ROUNDS);
	nr_done = 0;
	nr_follow = 10 * HS_SHM_READ_ROUNDS;
	head = stats().bytes_sent;
	assert_int_equal(hs_transport_read(t, last_up, 0, 8, 0), 0);
	assert_int_equal(hs_transport_send(t, last_up, HS_WIRE_STORED, NULL, 0),
			 0);
	hs_transport_flush(t);
	assert_int_equal(nr_done, HS_SHM_READ_ROUNDS);
	assert_true(stats().bytes_sent > head);
	until(nr_done == 10 * HS_SHM_READ_ROUNDS + 1);
	hang_up(&o);
	close(fd);
}

static void ends_with_one_under_way(void **state)
{
	int fd = filled(SHOWN_BYTES, SEALS);
	struct other o;

	connect_as_peer(&o);
	hand_over(&o, HS_RING_MEMORY, &fd, 1);
	tell(&o, SHOWN_BYTES);
	until(nr_told == 1);
	assert_int_equal(hs_transport_read(t, last_up, 0, 8, 0), 0);
	hang_up(&o);
	close(fd);
}

/* Between bells, as many as an honest peer may have sent. */
static void among_bells(void **state)
{
	int fd = filled(SHOWN_BYTES, SEALS);
	struct other o;

	connect_as_peer(&o);
	for (int i = 0; i < 20; i++)
		ring(&o);
	hand_over(&o, HS_RING_MEMORY, &fd, 1);
	for (int i = 0; i < 20; i++)
		ring(&o);
	tell(&o, SHOWN_BYTES);
	ring(&o);
	until(nr_told == 1);
	assert_int_equal(nr_down, 0);
	hang_up(&o);
	close(fd);
}

/* What it gets of us it can read, and do nothing else with. */
static void ours_is_read_alone(void **state)
{
	uint8_t words[64];
	struct other o;
	size_t nr = 0;
	int fd = -1;

	memset(shown.base, 0x5a, SHOWN_BYTES);
	connect_with(&o, HS_WIRE_ROLE_COORDINATOR, HS_WIRE_HELLO_F_READS);
	until(stats().nr_windows == 1);
	while (!nr)
		assert_true(hs_fdpass_recv(o.fd, words, sizeof(words), &fd, 1,
					   &nr) > 0);
	assert_ptr_equal(mmap(NULL, SHOWN_BYTES, PROT_READ | PROT_WRITE,
			      MAP_SHARED, fd, 0),
			 MAP_FAILED);
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(pread(fd, words, 1, 0), 1);
	assert_int_equal(words[0], 0x5a);
	close(fd);
	hang_up(&o);
	until(nr_down == 1);
	assert_int_equal(stats().nr_windows, 0);
	/* An agent is shown nothing, nor is who does not say that it reads. */
	connect_with(&o, HS_WIRE_ROLE_AGENT, HS_WIRE_HELLO_F_READS);
	assert_int_equal(stats().nr_windows, 0);
	hang_up(&o);
	until(nr_down == 2);
	connect_with(&o, HS_WIRE_ROLE_COORDINATOR, 0);
	assert_int_equal(stats().nr_windows, 0);
	hang_up(&o);
	until(nr_down == 3);
}

int main(void)
{
#define reads(f) cmocka_unit_test_setup_teardown(f, setup_reader, teardown_all)
#define neither(f)                                                             \
	cmocka_unit_test_setup_teardown(f, setup_neither, teardown_all)
#define shows(f) cmocka_unit_test_setup_teardown(f, setup_shower, teardown_all)
	const struct CMUnitTest tests[] = {
		reads(memories),
		reads(may_have_holes),
		reads(handed_over_otherwise),
		reads(twice),
		neither(unasked),
		reads(more_than_is_mapped),
		reads(no_descriptors),
		reads(torn_and_gone),
		reads(one_leads_to_another),
		reads(ends_with_one_under_way),
		reads(among_bells),
		shows(ours_is_read_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
