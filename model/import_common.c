/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the importers share: messages with their place, ids, numbers, base64.
 */
#include "model/import_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/ident.h"
#include "model/utf8.h"

#define NOTE_SIZE  1024
#define PLACE_SIZE 256

struct hs_model_str import_str(const json_t *text)
{
	if (!json_is_string(text) || json_string_length(text) >= UINT32_MAX)
		return (struct hs_model_str){.ptr = ""};
	return (struct hs_model_str){.ptr = json_string_value(text),
				     .len = (uint32_t)json_string_length(text)};
}

static size_t place_text(const struct place *at, char *text, size_t size)
{
	size_t len = at->up ? place_text(at->up, text, size) : 0;
	int more;

	if (len >= size)
		return size;
	if (at->index == NO_INDEX)
		more = snprintf(text + len, size - len, "%s%s", len ? "." : "",
				at->key);
	else
		more = snprintf(text + len, size - len, "%s%s[%zu]",
				len && at->key ? "." : "",
				at->key ? at->key : "", at->index);
	return len + (size_t)more;
}

/* Notes quote what files hold, and terminals obey what they are told. */
static void disarm(char *text)
{
	size_t len = strlen(text);
	uint32_t step;

	for (; len; text += step, len -= step) {
		step = hs_model_utf8_step(text, len > 4 ? 4 : (uint32_t)len);
		/* C0, DEL and C1 (in UTF-8: 0xc2 and less than 0xa0). */
		if (step == 1 && (*text < 0x20 || *text == 0x7f))
			*text = '?';
		else if (!step || (step == 2 && (uint8_t)text[0] == 0xc2 &&
				   (uint8_t)text[1] < 0xa0))
			memset(text, '?', step ? step : 1);
		step = step ? step : 1;
	}
}

void import_say(const struct import_file *file, const struct place *at,
		const char *format, ...)
{
	struct hs_model_import *imp = file->imp;
	char what[NOTE_SIZE], note[2 * NOTE_SIZE], line[24] = "";
	char where[PLACE_SIZE] = "";
	va_list args;

	if (imp->nr_notes >= imp->options.max_notes) {
		imp->counts.nr_notes_suppressed++;
		return;
	}
	imp->nr_notes++;
	if (!imp->note)
		return;
	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	if (at)
		place_text(at, where, sizeof(where));
	/* Documents after the first are named by the line they begin on. */
	if (file->first_line > 1)
		snprintf(line, sizeof(line), ":%zu", file->first_line);
	snprintf(note, sizeof(note), "%.500s%s: %s%s%s", file->name, line,
		 where, *where ? ": " : "", what);
	disarm(note);
	imp->note(imp->note_ctx, note);
}

int import_limit(const struct import_file *file, const struct place *at,
		 int err)
{
	const struct hs_model_limits *limits = &file->imp->options.limits;

	if (err == -ENOMEM || !err)
		return err;
	import_say(
		file, at,
		"over a limit (a trace: %" PRIu32 " spans, %" PRIu64
		" bytes; a span: %" PRIu32 " attributes, %" PRIu32
		" events, %" PRIu32 " references; a name: %" PRIu32 " bytes)",
		limits->max_spans, limits->max_trace_bytes, limits->max_attrs,
		limits->max_events, limits->max_refs, limits->max_name_bytes);
	return IMPORT_SKIP;
}

int import_id(const struct import_file *file, const struct place *at,
	      const json_t *text, uint8_t *id, size_t size)
{
	struct hs_model_str str = import_str(text);
	int err;

	if (!text || json_is_null(text)) {
		import_say(file, at, "missing");
		return IMPORT_SKIP;
	}
	if (!json_is_string(text)) {
		import_say(file, at, "expected a string of hex digits");
		return IMPORT_SKIP;
	}
	err = hs_model_id_parse(str.ptr, str.len, id, size);
	if (!err)
		return 0;
	if (file->imp->options.remap_ids && str.len) {
		hs_model_id_hash(str.ptr, str.len, 6, id, size);
		file->imp->counts.nr_ids_remapped++;
		return 0;
	}
	import_say(file, at,
		   "\"%.64s\" is no id: expected 1 to %zu hex digits%s",
		   str.ptr, 2 * size,
		   err == -EDOM ? ", not all zero"
				: " (remapping ids makes one out of it)");
	return IMPORT_SKIP;
}

int import_text_i64(const char *text, size_t len, int64_t *out)
{
	bool negative = len && text[0] == '-';
	size_t i = negative;
	int64_t value = 0;

	if (i == len)
		return -EINVAL;
	for (; i < len; i++) {
		int digit = text[i] - '0';

		if (digit < 0 || digit > 9)
			return -EINVAL;
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_sub_overflow(value, digit, &value))
			return -ERANGE;
	}
	/* Gathered below zero, where there is one more. */
	if (!negative && __builtin_sub_overflow(0, value, &value))
		return -ERANGE;
	*out = value;
	return 0;
}

int import_i64(const struct import_file *file, const struct place *at,
	       const json_t *number, int64_t *out)
{
	if (json_is_integer(number)) {
		*out = json_integer_value(number);
		return 0;
	}
	if (json_is_real(number)) {
		double real = json_real_value(number);

		/* Only where a double is exact. */
		if (real >= -9007199254740992.0 && real <= 9007199254740992.0 &&
		    real == (double)(int64_t)real) {
			*out = (int64_t)real;
			return 0;
		}
	}
	if (json_is_string(number) &&
	    !import_text_i64(json_string_value(number),
			     json_string_length(number), out))
		return 0;
	import_say(file, at,
		   !number || json_is_null(number)
			   ? "missing"
			   : "expected a whole number of 64 bits");
	return IMPORT_SKIP;
}

int import_attr(const struct import_file *file, const struct place *at,
		struct hs_model_trace *trace, struct hs_model_attrs *attrs,
		struct hs_model_str key, const struct hs_model_value *value)
{
	uint64_t nr_before = trace->nr_values_cut;
	int err = hs_model_attrs_add(trace, attrs, key, value);

	if (trace->nr_values_cut != nr_before) {
		file->imp->counts.nr_values_cut++;
		import_say(file, at,
			   "%.64s: %" PRIu32 " bytes, cut to %" PRIu32, key.ptr,
			   value->str.len, trace->limits.max_value_bytes);
	}
	return err ? import_limit(file, at, err) : 0;
}

int import_commit(const struct import_file *file, const struct place *at,
		  struct hs_model_trace *trace, enum hs_model_merge merge)
{
	struct hs_model_import_counts *counts = &file->imp->counts;
	char id[2 * HS_MODEL_TRACE_ID_SIZE + 1];
	struct hs_model_trace *have;
	int result;

	hs_model_id_format(trace->id, sizeof(trace->id), id);
	if (!trace->source.len)
		hs_model_trace_dup_str(trace, file->name, strlen(file->name),
				       &trace->source);
	if (!trace->nr_spans) {
		import_say(file, at, "trace %s has no good span", id);
		counts->nr_traces_refused++;
		hs_model_trace_free(trace);
		return IMPORT_SKIP;
	}
	have = hs_model_set_find(file->imp->set, trace->id);
	result = hs_model_set_commit(file->imp->set, trace, merge,
				     &counts->nr_spans_merged);
	if (result < 0)
		return import_limit(file, at, result);
	if (result == HS_MODEL_SET_ADDED || result == HS_MODEL_SET_RENAMED)
		counts->nr_traces++;
	if (result == HS_MODEL_SET_RENAMED)
		counts->nr_traces_renamed++;
	if (result != HS_MODEL_SET_CONFLICT)
		return 0;
	counts->nr_traces_refused++;
	import_say(file, at,
		   "trace id %s: %s holds other spans under this id (remapping "
		   "ids gives this one a fresh id)",
		   id, have ? have->source.ptr : "another file");
	return IMPORT_SKIP;
}

int import_commit_set(const struct import_file *file,
		      struct hs_model_set *local, enum hs_model_merge merge)
{
	uint32_t i, nr_good = 0;
	int err = 0;

	for (i = 0; i < local->nr_traces; i++) {
		struct hs_model_trace *trace = local->traces[i];

		local->traces[i] = NULL;
		if (err) {
			hs_model_trace_free(trace);
			continue;
		}
		err = import_commit(file, NULL, trace, merge);
		nr_good += !err;
		if (err == IMPORT_SKIP)
			err = 0;
	}
	if (err)
		return err;
	return nr_good ? 0 : IMPORT_SKIP;
}

static int base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	/* The URL alphabet is allowed in protobuf's JSON. */
	if (c == '+' || c == '-')
		return 62;
	if (c == '/' || c == '_')
		return 63;
	return -1;
}

int import_base64(const char *text, size_t len, char **out, size_t *out_len)
{
	uint32_t bits = 0;
	int nr_bits = 0;
	size_t i, at = 0;
	char *bytes;

	while (len && text[len - 1] == '=')
		len--;
	if (len % 4 == 1)
		return -EINVAL;
	bytes = malloc(len / 4 * 3 + 3);
	if (!bytes)
		return -ENOMEM;
	for (i = 0; i < len; i++) {
		int digit = base64_digit(text[i]);

		if (digit < 0) {
			free(bytes);
			return -EINVAL;
		}
		bits = (bits << 6 | (uint32_t)digit) & 0xffff;
		nr_bits += 6;
		if (nr_bits >= 8) {
			nr_bits -= 8;
			bytes[at++] = (char)(bits >> nr_bits);
		}
	}
	*out = bytes;
	*out_len = at;
	return 0;
}
