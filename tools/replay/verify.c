/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The collectors' store against the input. See verify.h.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/hash.h"
#include "model/equal.h"
#include "model/ident.h"
#include "model/import.h"
#include "tools/replay/verify.h"
#include "tools/store.h"

#define LOOK_INTERVAL_NS (100 * HS_NS_PER_MS)

enum mark {
	MARK_MISSING,
	MARK_PARTIAL,
	MARK_COMPLETE,
};

struct look {
	struct hs_replay_verify *verify;
	uint32_t collector;
	/* What to do with a trace of the store. */
	int (*take)(struct look *look, const uint8_t *id, const char *mark,
		    const json_t *row);
	struct hs_replay_ids *ids; /* for take_before() */
	size_t cap;
	struct hs_replay_result result;
	uint64_t fingerprint;
};

static int id_compare(const void *a, const void *b)
{
	return memcmp(a, b, HS_MODEL_TRACE_ID_SIZE);
}

static bool known_before(const struct hs_replay_verify *verify,
			 const uint8_t *id)
{
	const struct hs_replay_ids *ids = &verify->before;

	return ids->nr &&
	       bsearch(id, ids->ids, ids->nr, sizeof(*ids->ids), id_compare);
}

__attribute__((format(printf, 2, 3))) static void
differ(struct hs_replay_verify *verify, const char *format, ...)
{
	va_list args;

	if (verify->nr_shown++ >= HS_REPLAY_DIFFERENCES_SHOWN)
		return;
	fprintf(stderr, "hs-replay: ");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

static int take_row(struct look *look, const json_t *row)
{
	const char *text = json_string_value(json_object_get(row, "trace_id"));
	const char *mark = json_string_value(json_object_get(row, "mark"));
	uint8_t id[HS_MODEL_TRACE_ID_SIZE];

	if (!text || !mark ||
	    hs_model_id_parse(text, strlen(text), id, sizeof(id))) {
		fprintf(stderr, "hs-replay: the collector lists a trace "
				"without a good trace_id and mark\n");
		return -EBADMSG;
	}
	return look->take(look, id, mark, row);
}

static int look_at(struct look *look)
{
	struct hs_tools_door door = {
		.address = look->verify->fabric->collectors[look->collector],
	};
	json_t *root, *rows;
	size_t i;
	int err;

	err = hs_tools_ask_json(&door, "GET", "/v1/traces?limit=1000000", NULL,
				&root);
	if (err) {
		fprintf(stderr, "hs-replay: %s\n", door.error);
		return err;
	}
	rows = json_object_get(root, "traces");
	for (i = 0; i < json_array_size(rows) && !err; i++)
		err = take_row(look, json_array_get(rows, i));
	json_decref(root);
	return err;
}

static int look_around(struct look *look)
{
	uint32_t nr = look->verify->fabric->nr_collectors;
	int err = 0;

	for (look->collector = 0; look->collector < nr && !err;
	     look->collector++)
		err = look_at(look);
	return err;
}

static int take_before(struct look *look, const uint8_t *id, const char *mark,
		       const json_t *row)
{
	struct hs_replay_ids *ids = look->ids;

	if (hs_model_set_find(look->verify->plan->set, id)) {
		char text[2 * HS_MODEL_TRACE_ID_SIZE + 1];

		fprintf(stderr,
			"hs-replay: trace %s of the input is in the "
			"collector's store already\n",
			hs_model_id_format(id, HS_MODEL_TRACE_ID_SIZE, text));
		return -EEXIST;
	}
	if (ids->nr == look->cap) {
		size_t cap = look->cap ? look->cap * 2 : 256;
		void *bigger = realloc(ids->ids, cap * sizeof(*ids->ids));

		if (!bigger)
			return -ENOMEM;
		ids->ids = bigger;
		look->cap = cap;
	}
	memcpy(ids->ids[ids->nr++], id, HS_MODEL_TRACE_ID_SIZE);
	return 0;
}

static int index_compare(const void *a, const void *b, void *set)
{
	struct hs_model_trace **traces = ((struct hs_model_set *)set)->traces;
	const uint32_t *x = a, *y = b;

	return id_compare(traces[*x]->id, traces[*y]->id);
}

static int make_index(struct hs_replay_verify *verify)
{
	const struct hs_model_set *set = verify->plan->set;
	uint32_t i;

	verify->by_id = malloc(set->nr_traces * sizeof(*verify->by_id));
	if (!verify->by_id)
		return -ENOMEM;
	for (i = 0; i < set->nr_traces; i++)
		verify->by_id[i] = i;
	qsort_r(verify->by_id, set->nr_traces, sizeof(*verify->by_id),
		index_compare, (void *)set);
	return 0;
}

int hs_replay_verify_before(struct hs_replay_verify *verify)
{
	struct look look = {
		.verify = verify,
		.take = take_before,
		.ids = &verify->before,
	};
	uint32_t nr = verify->plan->set->nr_traces;
	int err;

	verify->marks = calloc(nr, 1);
	verify->collector = calloc(nr, 1);
	if (!verify->marks || !verify->collector)
		return -ENOMEM;
	err = make_index(verify);
	if (!err)
		err = look_around(&look);
	if (verify->before.nr)
		qsort(verify->before.ids, verify->before.nr,
		      sizeof(*verify->before.ids), id_compare);
	return err;
}

static uint32_t index_of(const struct hs_replay_verify *verify,
			 const uint8_t *id)
{
	const struct hs_model_set *set = verify->plan->set;
	uint32_t low = 0, high = set->nr_traces;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		uint32_t at = verify->by_id[mid];
		int order = id_compare(set->traces[at]->id, id);

		if (!order)
			return at;
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return HS_REPLAY_NONE;
}

static int take_after(struct look *look, const uint8_t *id, const char *mark,
		      const json_t *row)
{
	struct hs_replay_verify *verify = look->verify;
	uint32_t trace = index_of(verify, id);
	json_t *version = json_object_get(row, "version");
	uint8_t *now;

	if (known_before(verify, id))
		return 0;
	look->fingerprint +=
		hs_hash_mix64((uint64_t)json_integer_value(version) +
			      (uint64_t)mark[0] * 65537 + trace);
	if (trace == HS_REPLAY_NONE || !verify->plan->traces[trace].rules) {
		look->result.nr_untriggered_collected++;
		return 0;
	}
	now = &verify->marks[trace];
	verify->collector[trace] = (uint8_t)look->collector;
	*now = strcmp(mark, "complete") ? MARK_PARTIAL : MARK_COMPLETE;
	if (*now == MARK_COMPLETE)
		look->result.nr_complete++;
	else
		look->result.nr_partial++;
	return 0;
}

static void draw(const struct hs_replay_verify *verify, bool last)
{
	unsigned long long nr_there = verify->result.nr_complete;

	nr_there += verify->result.nr_partial;
	if (verify->progress)
		fprintf(stderr,
			"\rreplay: %llu of %llu triggered traces collected, "
			"%llu not complete yet%s",
			nr_there,
			(unsigned long long)verify->plan->nr_triggered,
			(unsigned long long)verify->result.nr_partial,
			last ? "\n" : "");
}

/* Looking takes the collector's time, so it gets at most a fifth of it. */
static void rest(uint64_t look_ns)
{
	uint64_t rest_ns = LOOK_INTERVAL_NS;
	struct timespec wait;

	if (rest_ns < 4 * look_ns)
		rest_ns = 4 * look_ns;
	wait.tv_sec = (time_t)(rest_ns / HS_NS_PER_SEC);
	wait.tv_nsec = (long)(rest_ns % HS_NS_PER_SEC);
	nanosleep(&wait, NULL);
}

int hs_replay_verify_wait(struct hs_replay_verify *verify)
{
	uint64_t changed_ns = hs_clock_mono_ns();
	uint64_t triggered = verify->plan->nr_triggered;

	for (;;) {
		struct look look = {.verify = verify, .take = take_after};
		uint64_t began_ns = hs_clock_mono_ns();
		int err = look_around(&look);

		if (err)
			return err;
		verify->result = look.result;
		verify->result.nr_triggered = triggered;
		if (look.fingerprint != verify->fingerprint)
			changed_ns = hs_clock_mono_ns();
		verify->fingerprint = look.fingerprint;
		draw(verify, false);
		if (verify->result.nr_complete == triggered ||
		    hs_clock_mono_ns() - changed_ns > verify->patience_ns)
			break;
		if (*verify->cancelled)
			return -ECANCELED;
		rest(hs_clock_mono_ns() - began_ns);
	}
	draw(verify, true);
	return 0;
}

/* The store's trace, read as a user's tool would read an export. */
static int fetch(struct hs_replay_verify *verify, uint32_t index,
		 struct hs_model_set *set)
{
	const struct hs_model_trace *trace = verify->plan->set->traces[index];
	uint32_t collector = verify->collector[index];
	struct hs_tools_door door = {
		.address = verify->fabric->collectors[collector],
	};
	char id[2 * HS_MODEL_TRACE_ID_SIZE + 1], path[128], *body;
	struct hs_model_import import;
	size_t body_bytes;
	int err;

	hs_model_id_format(trace->id, HS_MODEL_TRACE_ID_SIZE, id);
	snprintf(path, sizeof(path), "/v1/traces/%s?format=%s", id,
		 trace->resolution_ns > 1 ? "jaeger" : "otlp");
	err = hs_tools_ask(&door, "GET", path, NULL, &body, &body_bytes);
	if (err) {
		differ(verify, "trace %s: %s", id, door.error);
		return err == -ENOMEM ? err : 1;
	}
	hs_model_import_init(&import, set);
	err = hs_model_import_bytes(&import, "the collector", body, body_bytes);
	free(body);
	return err;
}

static int compare_one(struct hs_replay_verify *verify, uint32_t index)
{
	const struct hs_model_trace *trace = verify->plan->set->traces[index];
	const struct hs_model_trace *stored;
	char id[2 * HS_MODEL_TRACE_ID_SIZE + 1], text[512];
	struct hs_model_set set;
	int rc;

	hs_model_id_format(trace->id, HS_MODEL_TRACE_ID_SIZE, id);
	hs_model_set_init(&set);
	rc = fetch(verify, index, &set);
	if (rc < 0)
		goto out;
	stored = hs_model_set_find(&set, trace->id);
	if (!stored) {
		differ(verify, "trace %s: its export cannot be read back", id);
		verify->result.nr_unequal++;
		rc = 0;
		goto out;
	}
	rc = hs_model_trace_equal(trace, stored, text, sizeof(text));
	if (!rc) {
		differ(verify, "trace %s (%.*s): %s", id,
		       (int)trace->source.len, trace->source.ptr, text);
		verify->result.nr_unequal++;
	}
out:
	hs_model_set_destroy(&set);
	return rc < 0 ? rc : 0;
}

int hs_replay_verify_compare(struct hs_replay_verify *verify)
{
	const struct hs_replay_plan *plan = verify->plan;
	uint32_t i;
	int err = 0;

	for (i = 0; i < plan->set->nr_traces && !err; i++) {
		char id[2 * HS_MODEL_TRACE_ID_SIZE + 1];

		if (!plan->traces[i].rules)
			continue;
		if (*verify->cancelled)
			return -ECANCELED;
		hs_model_id_format(plan->set->traces[i]->id,
				   HS_MODEL_TRACE_ID_SIZE, id);
		if (verify->marks[i] == MARK_MISSING) {
			differ(verify, "trace %s: not collected", id);
			verify->result.nr_missing++;
			continue;
		}
		if (verify->marks[i] == MARK_PARTIAL)
			differ(verify, "trace %s: not complete", id);
		err = compare_one(verify, i);
	}
	if (verify->nr_shown > HS_REPLAY_DIFFERENCES_SHOWN)
		fprintf(stderr, "hs-replay: and %u more differences\n",
			verify->nr_shown - HS_REPLAY_DIFFERENCES_SHOWN);
	return err;
}

bool hs_replay_result_good(const struct hs_replay_result *result)
{
	return result->nr_triggered &&
	       result->nr_complete == result->nr_triggered &&
	       !result->nr_partial && !result->nr_missing &&
	       !result->nr_untriggered_collected && !result->nr_unequal &&
	       !result->nr_counts_unequal;
}

void hs_replay_verify_free(struct hs_replay_verify *verify)
{
	free(verify->before.ids);
	free(verify->marks);
	free(verify->collector);
	free(verify->by_id);
	hs_counts_free(&verify->counts);
}
