/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the collectors counted of operations against the input: every span of
 * every trace, triggered or not, exactly once. See verify.h.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "hs/shm_watch.h"
#include "tools/replay/verify.h"

#define LOOK_INTERVAL_NS (200 * HS_NS_PER_MS)

/* As the library does: no half character, and no control bytes. */
static void text_of(struct hs_model_str from, char *out, size_t room)
{
	size_t n = from.len;

	if (n > room - 1) {
		n = room - 1;
		while (n && ((uint8_t)from.ptr[n] & 0xc0) == 0x80)
			n--;
	}
	if (n)
		memcpy(out, from.ptr, n);
	out[n] = '\0';
	for (; *out; out++)
		if ((uint8_t)*out < 0x20 || *out == 0x7f)
			*out = '?';
}

/* What the span calls of emit.c say of it. */
static bool is_error(const struct hs_model_span *span)
{
	const struct hs_model_attr *tag;

	if (span->status != HS_MODEL_STATUS_UNSET || span->status_message.len)
		return span->status == HS_MODEL_STATUS_ERROR;
	tag = hs_model_attrs_find(&span->attrs, "error");
	if (!tag)
		return false;
	if (tag->value.type == HS_MODEL_VALUE_BOOL)
		return tag->value.boolean;
	return tag->value.type == HS_MODEL_VALUE_STRING && tag->value.str.len &&
	       !hs_model_str_is(tag->value.str, "false");
}

static int expect_one(struct hs_counts *to, const struct hs_model_trace *trace,
		      const struct hs_model_span *span)
{
	char service[HS_WIRE_TALLY_SERVICE_MAX + 1];
	char name[HS_WIRE_TALLY_NAME_MAX + 1];
	int64_t passed = hs_model_span_end_ns(span) - span->start_ns;
	struct hs_tally_row *row;

	text_of(hs_model_span_resource(trace, span)->service, service,
		sizeof(service));
	text_of(span->name, name, sizeof(name));
	row = hs_counts_at(to, service, name);
	if (!row)
		return -ENOMEM;
	row->counts.errors += is_error(span);
	row->counts.buckets[hs_shm_tally_bucket(passed > 0 ? (uint64_t)passed
							   : 0)]++;
	return 0;
}

static int expect(struct hs_replay_verify *verify)
{
	const struct hs_model_set *set = verify->plan->set;

	for (uint32_t i = 0; i < set->nr_traces; i++)
		for (uint32_t k = 0; k < set->traces[i]->nr_spans; k++)
			if (expect_one(&verify->counts, set->traces[i],
				       set->traces[i]->spans[k]))
				return -ENOMEM;
	return 0;
}

static int ask(const struct hs_replay_verify *verify, struct hs_counts *out)
{
	for (uint32_t i = 0; i < verify->fabric->nr_collectors; i++) {
		struct hs_tools_door door = {
			.address = verify->fabric->collectors[i],
		};
		int err = hs_counts_ask(out, &door, "");

		if (err) {
			fprintf(stderr, "hs-replay: %s\n", door.error);
			return err;
		}
	}
	return 0;
}

/* Counts of before belong to what is expected. */
int hs_replay_verify_counts_before(struct hs_replay_verify *verify)
{
	int err = ask(verify, &verify->counts);

	return err ? err : expect(verify);
}

static void say(const struct hs_tally_row *want, const struct hs_tally_row *got)
{
	fprintf(stderr,
		"hs-replay: %s %s: counted %llu spans, %llu errors; there were "
		"%llu, %llu%s\n",
		want->service, want->name,
		(unsigned long long)(got ? hs_tally_spans(&got->counts) : 0),
		(unsigned long long)(got ? got->counts.errors : 0),
		(unsigned long long)hs_tally_spans(&want->counts),
		(unsigned long long)want->counts.errors,
		got && hs_tally_spans(&got->counts) ==
					hs_tally_spans(&want->counts)
			? " (of other durations)"
			: "");
}

static uint64_t differences(const struct hs_replay_verify *verify,
			    struct hs_counts *got, bool print)
{
	uint64_t nr = 0;

	for (size_t i = 0; i < verify->counts.nr; i++) {
		const struct hs_tally_row *want = &verify->counts.rows[i];
		const struct hs_tally_row *have =
			hs_counts_at(got, want->service, want->name);

		if (have &&
		    !memcmp(&have->counts, &want->counts, sizeof(want->counts)))
			continue;
		if (print && nr < HS_REPLAY_DIFFERENCES_SHOWN)
			say(want, have);
		nr++;
	}
	/* What nobody sent; looking made rows of nothing for what is missing.
	 */
	for (size_t i = 0; i < got->nr; i++)
		nr += got->nr > verify->counts.nr &&
		      hs_tally_spans(&got->rows[i].counts) &&
		      !hs_counts_has(&verify->counts, got->rows[i].service,
				     got->rows[i].name);
	return nr;
}

int hs_replay_verify_counts(struct hs_replay_verify *verify)
{
	const struct timespec wait = {.tv_nsec = (long)LOOK_INTERVAL_NS};
	uint64_t changed_ns = hs_clock_mono_ns();
	uint64_t before = 0;

	for (;;) {
		struct hs_counts got = {0};
		int err = ask(verify, &got);
		uint64_t nr = err ? 0 : differences(verify, &got, false);
		bool late =
			hs_clock_mono_ns() - changed_ns > verify->patience_ns;

		verify->result.nr_counts_unequal = nr;
		if (!err && nr && late)
			differences(verify, &got, true);
		if (nr != before)
			changed_ns = hs_clock_mono_ns();
		before = nr;
		hs_counts_free(&got);
		if (err || !nr || late)
			return err;
		if (*verify->cancelled)
			return -ECANCELED;
		nanosleep(&wait, NULL);
	}
}
