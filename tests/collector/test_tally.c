/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts from agents to a collector, both real, over a network that loses,
 * repeats and reorders, while workers, processes and the collector die: at the
 * end the collector has counted every span once.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/tally.h"
#include "base/random.h"
#include "collector/tally.h"

#define NODES	   3u
#define PROCESSES  4u
#define OPERATIONS 6u
#define WIRE_MAX   64u
#define SECOND	   1000000000ull

struct process {
	uint32_t number;
	struct hs_tally_source source; /* of the present worker */
	struct hs_tally_row counts[OPERATIONS];
};

struct message {
	uint32_t node, process;
	uint32_t bytes;
	uint8_t data[8192];
	struct hs_wire_tally_ack ack;
	bool is_ack;
};

static struct {
	struct process processes[NODES][PROCESSES];
	struct message wire[WIRE_MAX];
	uint32_t nr_wire;
	uint32_t next_number;
	uint64_t seq;
	uint64_t now_ns;
	struct hs_random random;
	struct hs_tally_counts truth[OPERATIONS];
	char dir[64];
	struct hs_tally *tally;
} w;

static uint32_t any(uint32_t below)
{
	return (uint32_t)hs_random_below(&w.random, below);
}

static bool read_one(void *ctx, uint32_t i, struct hs_tally_row *out)
{
	const struct process *p = ctx;

	if (i >= OPERATIONS)
		return false;
	*out = p->counts[i];
	return true;
}

static void worker_begin(uint32_t node, struct process *p)
{
	hs_tally_begin(&p->source, (uint64_t)node + 1, p->number, w.now_ns);
}

static void process_begin(uint32_t node, struct process *p)
{
	memset(p, 0, sizeof(*p));
	p->number = ++w.next_number;
	for (uint32_t i = 0; i < OPERATIONS; i++) {
		snprintf(p->counts[i].service, sizeof(p->counts[i].service),
			 "svc-%u", i % 2);
		snprintf(p->counts[i].name, sizeof(p->counts[i].name), "op-%u",
			 i);
	}
	worker_begin(node, p);
}

static void work(struct process *p)
{
	for (uint32_t n = any(50); n; n--) {
		uint32_t i = any(OPERATIONS);
		uint32_t bucket = any(HS_WIRE_TALLY_BUCKETS);
		uint64_t error = any(10) == 0;

		p->counts[i].counts.buckets[bucket]++;
		p->counts[i].counts.errors += error;
		w.truth[i].buckets[bucket]++;
		w.truth[i].errors += error;
	}
}

static struct message *wire_add(void)
{
	/* A full network loses something of what is under way. */
	if (w.nr_wire == WIRE_MAX)
		w.wire[any(WIRE_MAX)] = w.wire[--w.nr_wire];
	return &w.wire[w.nr_wire++];
}

static bool send(uint32_t node, uint32_t process)
{
	struct process *p = &w.processes[node][process];
	static struct message m;

	m = (struct message){.node = node, .process = process};
	/* Too small for all rows at times. */
	m.bytes =
		hs_tally_make(&p->source, ++w.seq, OPERATIONS, read_one, p,
			      w.now_ns, m.data, any(4) ? sizeof(m.data) : 1500);
	if (m.bytes)
		*wire_add() = m;
	return m.bytes;
}

static void deliver_ack(const struct message *m)
{
	for (uint32_t n = 0; n < NODES; n++)
		for (uint32_t i = 0; i < PROCESSES; i++)
			if (w.processes[n][i].number == m->ack.process)
				hs_tally_acked(&w.processes[n][i].source,
					       m->ack.seq);
}

static void deliver(struct message *m)
{
	struct message back = {.is_ack = true};
	uint8_t *copy;

	if (m->is_ack) {
		deliver_ack(m);
		return;
	}
	/* Of its own, so that a reader beyond its end is seen. */
	copy = malloc(m->bytes);
	memcpy(copy, m->data, m->bytes);
	assert_int_equal(hs_tally_put(w.tally, copy, m->bytes,
				      (int64_t)w.now_ns, &back.ack),
			 0);
	free(copy);
	/* Said only when it is on disk. */
	if (any(3) == 0) {
		assert_int_equal(hs_tally_commit(w.tally, (int64_t)w.now_ns),
				 0);
		*wire_add() = back;
	}
}

static void network(void)
{
	for (uint32_t n = w.nr_wire; n && w.nr_wire; n--) {
		uint32_t i = any(w.nr_wire);
		static struct message m;

		m = w.wire[i];
		switch (any(4)) {
		case 0: /* later */
			continue;
		case 1: /* lost */
			w.wire[i] = w.wire[--w.nr_wire];
			continue;
		case 2: /* and comes again */
			break;
		default:
			w.wire[i] = w.wire[--w.nr_wire];
			break;
		}
		deliver(&m);
	}
}

static void collector_open(void)
{
	char error[512];

	assert_int_equal(hs_tally_open(&w.tally, w.dir, error, sizeof(error)),
			 0);
}

/* Without closing: what was not committed is gone. */
static void collector_dies(void)
{
	char copy[80], command[400];

	snprintf(copy, sizeof(copy), "%s-copy", w.dir);
	snprintf(command, sizeof(command), "rm -rf %s && cp -r %s %s", copy,
		 w.dir, copy);
	assert_int_equal(system(command), 0);
	hs_tally_close(w.tally);
	snprintf(command, sizeof(command), "rm -rf %s && mv %s %s", w.dir, copy,
		 w.dir);
	assert_int_equal(system(command), 0);
	collector_open();
}

static void faults(void)
{
	uint32_t node = any(NODES);
	struct process *p = &w.processes[node][any(PROCESSES)];

	switch (any(30)) {
	case 0: /* a new worker, which knows nothing of the former's */
		for (uint32_t i = 0; i < PROCESSES; i++)
			worker_begin(node, &w.processes[node][i]);
		break;
	case 1: /* a process ends; what it left is kept until it arrived */
		while (send(node, (uint32_t)(p - w.processes[node]))) {
			network();
			w.now_ns += SECOND;
		}
		process_begin(node, p);
		break;
	case 2:
		collector_dies();
		break;
	default:
		break;
	}
}

static int end(void **state)
{
	char command[100];

	hs_tally_close(w.tally);
	snprintf(command, sizeof(command), "rm -rf %s", w.dir);
	return system(command);
}

struct sums {
	struct hs_tally_counts of[OPERATIONS];
	uint32_t nr;
};

static int sum_row(void *ctx, const struct hs_tally_row *row)
{
	struct sums *s = ctx;
	uint32_t i = (uint32_t)(row->name[3] - '0');

	assert_true(i < OPERATIONS);
	assert_int_equal(row->service[4] - '0', i % 2);
	s->of[i] = row->counts;
	s->nr++;
	return 0;
}

/* Everything that is still owed arrives, now that nothing is lost. */
static void settle(void)
{
	bool more = true;

	for (uint32_t i = 0; more && i < 1000; i++) {
		more = false;
		w.now_ns += 10 * SECOND;
		for (uint32_t n = 0; n < NODES; n++)
			for (uint32_t k = 0; k < PROCESSES; k++)
				more |= send(n, k);
		while (w.nr_wire)
			deliver(&w.wire[--w.nr_wire]);
	}
	assert_false(more);
	assert_int_equal(hs_tally_commit(w.tally, (int64_t)w.now_ns), 0);
}

static void story(uint64_t seed)
{
	static struct sums sums;
	struct hs_tally_stats stats;

	memset(&w, 0, sizeof(w));
	memset(&sums, 0, sizeof(sums));
	hs_random_seed(&w.random, seed);
	w.now_ns = 1700000000 * SECOND;
	snprintf(w.dir, sizeof(w.dir), "/tmp/hs-tally-XXXXXX");
	assert_non_null(mkdtemp(w.dir));
	collector_open();
	for (uint32_t n = 0; n < NODES; n++)
		for (uint32_t i = 0; i < PROCESSES; i++)
			process_begin(n, &w.processes[n][i]);
	for (uint32_t round = 0; round < 300; round++) {
		uint32_t n = any(NODES), i = any(PROCESSES);

		work(&w.processes[n][i]);
		if (hs_tally_due(&w.processes[n][i].source, w.now_ns))
			send(n, i);
		w.now_ns += SECOND;
		network();
		faults();
	}
	settle();
	assert_int_equal(hs_tally_query(w.tally, &(struct hs_tally_filter){0},
					sum_row, &sums),
			 0);
	assert_int_equal(sums.nr, OPERATIONS);
	for (uint32_t i = 0; i < OPERATIONS; i++)
		assert_memory_equal(&sums.of[i], &w.truth[i],
				    sizeof(w.truth[i]));
	hs_tally_stats(w.tally, &stats);
	assert_true(stats.rows_known > 0);
	assert_int_equal(end(NULL), 0);
}

static void test_once_each(void **state)
{
	for (uint64_t seed = 1; seed <= 6; seed++)
		story(seed);
}

/* ---- what is malformed --------------------------------------------------- */

static int begin(void **state)
{
	memset(&w, 0, sizeof(w));
	snprintf(w.dir, sizeof(w.dir), "/tmp/hs-tally-XXXXXX");
	assert_non_null(mkdtemp(w.dir));
	collector_open();
	return 0;
}

static uint32_t good(uint8_t *out, uint32_t room)
{
	struct hs_wire_tally head = {.node = 1, .process = 1, .nr_rows = 1};
	struct hs_wire_writer wr = hs_wire_writer_make(out, room);
	static struct hs_tally_row row = {.service = "s", .name = "operation"};

	row.counts.buckets[3] = 5;
	row.counts.buckets[200] = 1;
	hs_wire_put(&wr, &head, sizeof(head));
	hs_wire_put_tally_row(&wr, &row);
	return (uint32_t)wr.used_bytes;
}

static void test_malformed(void **state)
{
	struct hs_wire_tally_ack ack;
	struct hs_tally_stats stats;
	_Alignas(8) uint8_t m[512], bad[512];
	uint32_t n = good(m, sizeof(m));
	uint32_t refused = 0;

	for (uint32_t cut = 0; cut < n; cut++)
		assert_int_equal(hs_tally_put(w.tally, m, cut, 1, &ack),
				 -EBADMSG);
	for (uint32_t i = 0; i < n; i++) {
		memcpy(bad, m, n);
		bad[i] ^= 0xff;
		refused += hs_tally_put(w.tally, bad, n, 1, &ack) == -EBADMSG;
	}
	assert_true(refused >= 5);
	memcpy(bad, m, n);
	bad[24 + 16] = '\0'; /* a zero within a text */
	assert_int_equal(hs_tally_put(w.tally, bad, n, 1, &ack), -EBADMSG);
	assert_int_equal(hs_tally_put(w.tally, m, n, 1, &ack), 0);
	hs_tally_stats(w.tally, &stats);
	assert_int_equal(stats.malformed, n + refused + 1);
}

static int count_spans(void *ctx, const struct hs_tally_row *row)
{
	*(uint64_t *)ctx += hs_tally_spans(&row->counts);
	return 0;
}

static uint64_t spans(int64_t since_ns, int64_t until_ns, const char *service)
{
	struct hs_tally_filter filter = {
		.service = service, .since_ns = since_ns, .until_ns = until_ns};
	uint64_t n = 0;

	assert_int_equal(hs_tally_query(w.tally, &filter, count_spans, &n), 0);
	return n;
}

static void test_minutes(void **state)
{
	const int64_t minute = 60 * (int64_t)SECOND;
	struct hs_wire_tally_ack ack;
	_Alignas(8) uint8_t m[512];
	uint32_t n = good(m, sizeof(m));

	assert_int_equal(hs_tally_put(w.tally, m, n, 10 * minute, &ack), 0);
	/* The same, as of another process. */
	((struct hs_wire_tally *)(void *)m)->process = 2;
	assert_int_equal(hs_tally_put(w.tally, m, n, 12 * minute, &ack), 0);
	assert_int_equal(spans(0, 0, NULL), 12);
	assert_int_equal(spans(11 * minute, 0, NULL), 6);
	assert_int_equal(spans(0, 11 * minute, NULL), 6);
	assert_int_equal(spans(0, 0, "s"), 12);
	assert_int_equal(spans(0, 0, "t"), 0);
	/* Both are long ago, now: committing adds them up. */
	w.now_ns = 1700000000 * SECOND;
	assert_int_equal(hs_tally_commit(w.tally, (int64_t)w.now_ns), 0);
	assert_int_equal(spans(0, 0, NULL), 12);
	assert_int_equal(spans(10 * minute, 0, NULL), 0);
}

static void test_damaged(void **state)
{
	struct hs_wire_tally_ack ack;
	_Alignas(8) uint8_t m[512];
	char path[128], error[256];
	FILE *f;

	assert_int_equal(hs_tally_put(w.tally, m, good(m, sizeof(m)), 1, &ack),
			 0);
	hs_tally_close(w.tally);
	snprintf(path, sizeof(path), "%s/operations.db", w.dir);
	f = fopen(path, "r+");
	assert_non_null(f);
	fwrite("nonsense for a header", 1, 21, f);
	fclose(f);
	assert_int_equal(hs_tally_open(&w.tally, w.dir, error, sizeof(error)),
			 0);
	assert_int_equal(spans(0, 0, NULL), 0);
	snprintf(path, sizeof(path), "%s/operations.db.damaged", w.dir);
	assert_int_equal(access(path, R_OK), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_once_each),
		cmocka_unit_test_setup_teardown(test_malformed, begin, end),
		cmocka_unit_test_setup_teardown(test_minutes, begin, end),
		cmocka_unit_test_setup_teardown(test_damaged, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
