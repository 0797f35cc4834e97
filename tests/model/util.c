/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of the model share.
 */
#include "util.h"

#include <string.h>

#include "model/equal.h"

static void note(void *ctx, const char *text)
{
	struct loaded *loaded = ctx;
	size_t len = strlen(loaded->notes);

	snprintf(loaded->notes + len, sizeof(loaded->notes) - len, "%s\n",
		 text);
}

void load_init(struct loaded *loaded)
{
	hs_model_set_init(&loaded->set);
	hs_model_import_init(&loaded->imp, &loaded->set);
	loaded->imp.note = note;
	loaded->imp.note_ctx = loaded;
	loaded->notes[0] = 0;
}

void load_free(struct loaded *loaded)
{
	hs_model_set_destroy(&loaded->set);
}

int load_text(struct loaded *loaded, const char *name, const char *text)
{
	return hs_model_import_bytes(&loaded->imp, name, text, strlen(text));
}

void assert_said(const struct loaded *loaded, const char *part)
{
	if (!strstr(loaded->notes, part))
		fail_msg("nobody said \"%s\", but:\n%s", part, loaded->notes);
}

struct hs_model_trace *only_trace(const struct loaded *loaded)
{
	if (loaded->set.nr_traces != 1)
		fail_msg("%u traces, notes:\n%s", loaded->set.nr_traces,
			 loaded->notes);
	return loaded->set.traces[0];
}

void assert_there_and_back(const struct hs_model_trace *trace,
			   enum hs_model_export_format format)
{
	static struct loaded back;
	struct hs_model_export export;
	struct hs_model_text text;
	char why[512];

	hs_model_text_init(&text);
	assert_int_equal(hs_model_export_begin(&export, format, &text), 0);
	assert_int_equal(hs_model_export_trace(&export, trace), 0);
	assert_int_equal(hs_model_export_end(&export), 0);
	load_init(&back);
	if (hs_model_import_bytes(&back.imp, "back", text.ptr, text.len))
		fail_msg("refused our own export: %s", back.notes);
	assert_string_equal(back.notes, "");
	assert_int_equal(back.set.nr_traces, 1);
	assert_int_equal(back.imp.counts.nr_spans_merged, 0);
	if (hs_model_trace_equal(trace, back.set.traces[0], why, sizeof(why)) !=
	    1)
		fail_msg("%s: %s", trace->source.ptr, why);
	load_free(&back);
	hs_model_text_destroy(&text);
}
