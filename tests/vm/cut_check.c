/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cut_check.c - what a collector's store has after a power cut
 *
 *	cut_check STORE ACKNOWLEDGED [STORE ACKNOWLEDGED]...
 *
 * Opens each store as a collector does, mends included, and holds against each
 * other: what the file ACKNOWLEDGED says that cut_feed was told ("A KEY",
 * "M TRACE"), what the segments have, and what is found by the index and read.
 * Every byte is compared with what the trace's number says. Prints what it
 * found, and is 1 if anything is lost or wrong.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "collector/collector.h"
#include "collector/segment.h"
#include "tests/vm/cut.h"

#define KEYS_MAX   (CUT_TRACES_MAX * CUT_NODES)
#define ROUNDS_MAX 100000u
#define SAID_MAX   20u

/* What is known of each slice, by its key, and of each trace's manifest. */
#define ACKED  1u
#define STORED 2u /* in a segment */
#define SERVED 4u /* found by the index, and read */
#define LISTED 8u /* the index has a row of the trace */

struct check {
	struct hs_collector *collector;
	const char *dir;
	uint8_t *slices, *traces;
	uint64_t nr_traces; /* all that is known has lower numbers */
	uint64_t nr_acked, nr_manifests, nr_stored, nr_served;
	uint64_t lost, corrupt, astray; /* index and segments disagree */
	uint64_t of_trace;		/* being read */
	bool has_union;
	bool complete;
};

static uint8_t scratch[sizeof(struct hs_wire_slice) + CUT_SLICE_MAX_BYTES];

/* The first few are enough to look into. */
__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
	static uint32_t nr;
	va_list list;

	if (nr++ >= SAID_MAX)
		return;
	va_start(list, format);
	vprintf(format, list);
	va_end(list);
	putchar('\n');
}

/* Return: whether it is new. */
static bool note(struct check *c, uint8_t *of, uint64_t trace, uint8_t what)
{
	bool is_new = !(*of & what);

	*of |= what;
	if (trace >= c->nr_traces)
		c->nr_traces = trace + 1;
	return is_new;
}

/* ---- what was acknowledged ------------------------------------------------
 */

static int acknowledged_read(struct check *c, const char *path)
{
	FILE *f = fopen(path, "re");
	char line[64];
	int rc = 0;

	if (!f)
		return -errno;
	while (!rc && fgets(line, sizeof(line), f)) {
		uint64_t number = strtoull(line + 1, NULL, 10);

		if (line[0] == 'A' && number < KEYS_MAX) {
			c->nr_acked += note(c, &c->slices[number],
					    number / CUT_NODES, ACKED);
		} else if (line[0] == 'M' && number < CUT_TRACES_MAX) {
			c->nr_manifests +=
				note(c, &c->traces[number], number, ACKED);
		} else {
			rc = -EBADMSG;
		}
	}
	fclose(f);
	return rc;
}

/* ---- one slice ------------------------------------------------------------
 */

static bool slice_right(const struct hs_wire_slice *slice, const uint8_t *bytes)
{
	struct hs_wire_slice *expect = (void *)scratch;
	uint64_t trace = slice->ship_key / CUT_NODES;
	struct hs_bench_slices slices;
	uint32_t n;

	if (slice->ship_key >= KEYS_MAX)
		return false;
	slices = cut_slices(trace);
	n = hs_bench_slice_make(&slices, trace,
				(uint32_t)(slice->ship_key % CUT_NODES),
				scratch);
	return slice->trace.hi == expect->trace.hi &&
	       slice->trace.lo == expect->trace.lo &&
	       slice->node == expect->node && slice->crc == expect->crc &&
	       slice->length_bytes == expect->length_bytes &&
	       slice->length_bytes == n - sizeof(*slice) &&
	       memcmp(bytes, scratch + sizeof(*slice), slice->length_bytes) ==
		       0;
}

/* ---- segments -------------------------------------------------------------
 */

static int on_record(void *ctx, uint64_t offset,
		     const struct hs_segment_record *record, const uint8_t *raw,
		     size_t raw_bytes)
{
	struct check *c = ctx;
	struct hs_wire_slice slice;
	const uint8_t *bytes;

	if (record->type != HS_SEGMENT_SLICE)
		return 0;
	if (hs_segment_slice(raw, raw_bytes, record, &slice, &bytes) ||
	    !slice_right(&slice, bytes)) {
		say("a record at %" PRIu64 " has other bytes", offset);
		c->corrupt++;
		return 0;
	}
	c->nr_stored += note(c, &c->slices[slice.ship_key],
			     slice.ship_key / CUT_NODES, STORED);
	return 0;
}

static int segment_scan(struct check *c, const char *name)
{
	struct hs_segment_codec *codec = hs_segment_codec_reader();
	uint8_t start[HS_SEGMENT_START_BYTES];
	struct hs_segment_head head;
	struct hs_segment_scan scan;
	char path[512];
	int fd;
	int rc = -EBADMSG;

	snprintf(path, sizeof(path), "%s/%s", c->dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (codec && pread(fd, start, sizeof(start), 0) == sizeof(start))
		rc = hs_segment_head_read(start, sizeof(start), &head);
	if (!rc)
		rc = hs_segment_scan(codec, fd, head.salt,
				     HS_SEGMENT_START_BYTES, on_record, c,
				     &scan);
	close(fd);
	hs_segment_codec_free(codec);
	return rc;
}

static int segments_scan(struct check *c)
{
	DIR *dir = opendir(c->dir);
	struct dirent *entry;
	int rc = 0;

	if (!dir)
		return -errno;
	while (!rc && (entry = readdir(dir))) {
		if (strncmp(entry->d_name, "segment-", 8) != 0)
			continue;
		rc = segment_scan(c, entry->d_name);
		if (rc)
			say("%s: %s", entry->d_name, strerror(-rc));
	}
	closedir(dir);
	return rc;
}

/* ---- what is served -------------------------------------------------------
 */

static int on_slice(void *ctx, const struct hs_wire_slice *slice,
		    const uint8_t *bytes)
{
	struct check *c = ctx;

	if (!slice_right(slice, bytes) ||
	    slice->ship_key / CUT_NODES != c->of_trace) {
		say("trace %" PRIu64 " is served with other bytes",
		    c->of_trace);
		c->corrupt++;
		return 0;
	}
	if (note(c, &c->slices[slice->ship_key], c->of_trace, SERVED)) {
		c->nr_served++;
		return 0;
	}
	say("slice %" PRIu64 " is served twice", slice->ship_key);
	c->astray++;
	return 0;
}

static int on_manifests(void *ctx, const void *blob, uint32_t blob_bytes)
{
	((struct check *)ctx)->has_union = blob_bytes > 0;
	return 0;
}

static int on_damaged(void *ctx)
{
	struct check *c = ctx;

	say("trace %" PRIu64 ": the index names a record that is damaged",
	    c->of_trace);
	c->corrupt++;
	return 0;
}

static int on_row(void *ctx, const struct hs_index_trace *row)
{
	((struct check *)ctx)->complete = row->mark == HS_ASSEMBLY_COMPLETE;
	return 0;
}

static int trace_check(struct check *c, uint64_t number)
{
	const struct hs_store_reader reader = {c, on_slice, on_manifests,
					       on_damaged};
	struct hs_store *store = hs_collector_store(c->collector);
	struct hs_wire_trace_id id = hs_bench_slice_trace(number);
	uint64_t key = number * CUT_NODES;
	uint32_t nr_acked = 0;
	int rc;

	c->of_trace = number;
	c->has_union = c->complete = false;
	rc = hs_store_read(store, &id, true, &reader);
	if (!rc)
		rc = hs_index_get(hs_store_index(store), &id, on_row, c);
	for (uint32_t n = 0; n < CUT_NODES; n++, key++) {
		bool acked = c->slices[key] & ACKED;
		bool stored = c->slices[key] & STORED;
		bool served = c->slices[key] & SERVED;

		nr_acked += acked;
		if (acked && !served) {
			say("slice %" PRIu64 " is lost", key);
			c->lost++;
		}
		if (stored != served) {
			say("slice %" PRIu64 ": %s the segments, %s served",
			    key, stored ? "in" : "not in",
			    served ? "is" : "not");
			c->astray++;
		}
	}
	if ((c->traces[number] & ACKED) &&
	    (!c->has_union || (nr_acked == CUT_NODES && !c->complete))) {
		say("trace %" PRIu64 "'s manifest is lost%s", number,
		    c->has_union ? ": its row is not complete" : "");
		c->lost++;
	}
	return rc;
}

static int on_listed(void *ctx, const struct hs_index_trace *row)
{
	struct check *c = ctx;
	uint64_t number = row->id.lo - 1;
	struct hs_wire_trace_id id = hs_bench_slice_trace(number);

	if (number < CUT_TRACES_MAX && id.hi == row->id.hi) {
		(void)note(c, &c->traces[number], number, LISTED);
		return 0;
	}
	say("the index has a row of a trace that never was");
	c->astray++;
	return 0;
}

static int rows_list(struct check *c)
{
	const struct hs_index_filter all = {.min_duration_ns = -1,
					    .max_duration_ns = -1,
					    .error = -1,
					    .mark = -1,
					    .limit = CUT_TRACES_MAX};

	return hs_index_query(hs_store_index(hs_collector_store(c->collector)),
			      &all, on_listed, c);
}

static int traces_check(struct check *c)
{
	int rc = 0;

	for (uint64_t i = 0; !rc && i < c->nr_traces; i++) {
		uint8_t any = c->traces[i];

		for (uint32_t n = 0; n < CUT_NODES; n++)
			any |= c->slices[i * CUT_NODES + n];
		if (any)
			rc = trace_check(c, i);
	}
	return rc;
}

static void file_check(struct check *c, const char *name)
{
	sqlite3_stmt *st = NULL;
	sqlite3 *db = NULL;
	const char *text = NULL;
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", c->dir, name);
	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) ==
		    SQLITE_OK &&
	    sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &st, NULL) ==
		    SQLITE_OK &&
	    sqlite3_step(st) == SQLITE_ROW)
		text = (const char *)sqlite3_column_text(st, 0);
	if (!text || strcmp(text, "ok") != 0) {
		say("%s: %s", name, text ? text : sqlite3_errmsg(db));
		c->astray++;
	}
	sqlite3_finalize(st);
	sqlite3_close(db);
}

/* ---- together -------------------------------------------------------------
 */

static int on_send(void *ctx, uint32_t peer, uint16_t type,
		   const struct iovec *iov, int nr_iov)
{
	return 0;
}

/* Until each row says what the assembly makes of its trace. */
static int settle(struct check *c)
{
	struct hs_store *store = hs_collector_store(c->collector);
	struct hs_wire_trace_id id;
	int nr = 1;

	for (uint32_t i = 0; nr > 0 && i < ROUNDS_MAX; i++) {
		int rc;

		(void)hs_collector_step(c->collector, hs_clock_mono_ns());
		rc = hs_collector_sync(c->collector);
		if (rc)
			return rc;
		nr = hs_index_unmarked(hs_store_index(store), &id, 1);
	}
	return nr < 0 ? nr : nr ? -ETIMEDOUT : 0;
}

static int check(struct check *c)
{
	struct hs_collector_options options = {.store = {.dir = c->dir},
					       .send = on_send};
	struct hs_collector_stats stats;
	char error[256] = "";
	int rc;

	hs_assembly_limits_fill(&options.limits);
	rc = hs_collector_open(&c->collector, &options, error, sizeof(error));
	if (rc) {
		say("the store does not open: %s", error);
		return rc;
	}
	rc = settle(c);
	if (!rc)
		rc = segments_scan(c);
	if (!rc)
		rc = rows_list(c);
	if (!rc)
		rc = traces_check(c);
	hs_collector_stats(c->collector, &stats);
	hs_collector_close(c->collector);
	file_check(c, "index.db");
	file_check(c, "operations.db");
	printf("CHECKED %s acked=%" PRIu64 " manifests=%" PRIu64
	       " stored=%" PRIu64 " served=%" PRIu64 " lost=%" PRIu64
	       " corrupt=%" PRIu64 " astray=%" PRIu64 " recovered=%" PRIu64
	       " torn=%" PRIu64 " damaged=%" PRIu64 "\n",
	       c->dir, c->nr_acked, c->nr_manifests, c->nr_stored, c->nr_served,
	       c->lost, c->corrupt, c->astray, stats.store.recovered,
	       stats.store.torn_bytes, stats.store.damaged_bytes);
	return rc;
}

static int check_one(const char *dir, const char *acknowledged)
{
	struct check c = {.dir = dir};
	int rc = -ENOMEM;

	c.slices = calloc(KEYS_MAX, 1);
	c.traces = calloc(CUT_TRACES_MAX, 1);
	if (c.slices && c.traces)
		rc = acknowledged_read(&c, acknowledged);
	if (!rc)
		rc = check(&c);
	if (rc)
		printf("cut_check: %s: %s\n", dir, strerror(-rc));
	free(c.slices);
	free(c.traces);
	return rc || c.lost || c.corrupt || c.astray;
}

int main(int argc, char **argv)
{
	int rc = 0;

	if (argc < 3 || argc % 2 == 0) {
		fprintf(stderr, "usage: cut_check STORE ACKNOWLEDGED...\n");
		return 2;
	}
	for (int i = 1; i < argc; i += 2)
		rc |= check_one(argv[i], argv[i + 1]);
	return rc;
}
