/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hs traces show, hs traces export - one trace to look at, many to take away.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/table.h"
#include "model/draw.h"
#include "model/ident.h"
#include "model/import.h"
#include "tools/hs.h"
#include "tools/row.h"

#define ID_CHARS (2 * HS_MODEL_TRACE_ID_SIZE)

struct id {
	uint8_t bytes[HS_MODEL_TRACE_ID_SIZE];
	char text[ID_CHARS + 1];
};

static int parse_id(const char *command, const char *text, struct id *id)
{
	if (hs_model_id_parse(text, strlen(text), id->bytes,
			      sizeof(id->bytes))) {
		fprintf(stderr,
			"hs traces %s: '%s': a trace id is up to 32 "
			"hexadecimal digits\n",
			command, text);
		return -EINVAL;
	}
	hs_model_id_format(id->bytes, sizeof(id->bytes), id->text);
	return 0;
}

/* From whichever collector has it; the last error if none has. */
static int fetch(const struct hs_where *where, const char *id,
		 const char *format, char **body, size_t *body_bytes,
		 char *error, size_t error_bytes)
{
	char path[128];
	uint32_t i;
	int err = -ENOENT;

	snprintf(path, sizeof(path), "/v1/traces/%s?format=%s", id, format);
	for (i = 0; i < where->fabric.nr_collectors; i++) {
		struct hs_tools_door door =
			hs_where_door(where, where->fabric.collectors[i]);

		err = hs_tools_ask(&door, "GET", path, NULL, body, body_bytes);
		if (!err)
			return 0;
		snprintf(error, error_bytes, "%s", door.error);
	}
	return err;
}

static int fetch_json(const struct hs_where *where, const char *id,
		      json_t **out, char *error, size_t error_bytes)
{
	char *body;
	size_t body_bytes;
	int err =
		fetch(where, id, "hs", &body, &body_bytes, error, error_bytes);

	if (err)
		return err;
	*out = json_loadb(body, body_bytes, 0, NULL);
	free(body);
	if (*out)
		return 0;
	snprintf(error, error_bytes, "the collector's answer is no JSON");
	return -EBADMSG;
}

static uint32_t terminal_columns(void)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;

	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_col)
		return size.ws_col;
	return columns ? (uint32_t)strtoul(columns, NULL, 10) : 0;
}

static void print_line(const char *title, const char *text)
{
	printf("%-9s ", title);
	hs_table_text_print(stdout, *text ? text : "-", 0);
	putchar('\n');
}

static void print_head(const struct hs_tools_row *row)
{
	char text[1024];

	hs_tools_row_mark(row, text, sizeof(text));
	print_line("mark", text);
	hs_tools_row_names(row->triggers, text, sizeof(text));
	print_line("triggers", text);
	hs_tools_row_names(row->nodes, text, sizeof(text));
	print_line("nodes", text);
	putchar('\n');
}

static int draw(const struct hs_model_trace *trace, uint32_t max_lines,
		bool ascii)
{
	const struct hs_model_draw_options options = {
		.width_columns = terminal_columns(),
		.max_lines = max_lines,
		.ascii = ascii,
		.colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR"),
	};
	struct hs_model_text text;
	int err;

	hs_model_text_init(&text);
	err = hs_model_trace_draw(trace, &options, &text);
	if (!err)
		err = hs_model_text_flush(&text, stdout);
	hs_model_text_destroy(&text);
	return err;
}

static int show_spans(const struct hs_where *where, const struct id *id,
		      uint32_t max_lines, bool ascii)
{
	const struct hs_model_trace *trace;
	struct hs_model_import import;
	struct hs_model_set set;
	char *body, error[512] = "";
	size_t body_bytes;
	int err = fetch(where, id->text, "otlp", &body, &body_bytes, error,
			sizeof(error));

	if (err)
		return hs_fail(where, err, error);
	hs_model_set_init(&set);
	hs_model_import_init(&import, &set);
	err = hs_model_import_bytes(&import, "the collector", body, body_bytes);
	free(body);
	trace = hs_model_set_find(&set, id->bytes);
	if (trace)
		err = draw(trace, max_lines, ascii);
	else
		puts("(no span has arrived yet)");
	hs_model_set_destroy(&set);
	return err < 0 ? hs_fail(where, err, strerror(-err)) : HS_EXIT_OK;
}

static int show(const struct hs_where *where, const struct id *id,
		uint32_t max_lines, bool ascii)
{
	struct hs_tools_row row;
	char error[512] = "";
	json_t *json;
	int err = fetch_json(where, id->text, &json, error, sizeof(error));

	if (err)
		return hs_fail(where, err, error);
	if (where->json)
		return hs_print_json(json);
	err = hs_tools_row_read(json, &row);
	row.nodes = json_object_get(json_object_get(json, "manifest"), "nodes");
	if (!err)
		print_head(&row);
	json_decref(json);
	if (err)
		return hs_fail(where, err,
			       "the collector's answer has no trace_id and "
			       "mark");
	return show_spans(where, id, max_lines, ascii);
}

int hs_command_show(int argc, char **argv)
{
	uint64_t max_lines = 0;
	bool ascii = false;
	struct hs_where where;
	struct hs_args_option options[2 + HS_WHERE_OPTIONS] = {
		{"lines", 'l', HS_ARGS_U64, &max_lines, "N",
		 "draw at most N spans; 0: all", 0, UINT32_MAX},
		{"ascii", 0, HS_ARGS_FLAG, &ascii, NULL,
		 "for terminals without UTF-8", 0, 0},
	};
	struct hs_args_program program = {
		.name = "hs traces show",
		.synopsis = "[options] ID",
		.summary = "Draws one trace as a tree, with a time bar for "
			   "every span, and says whether it is whole.",
		.examples =
			"  hs traces show 4bf92f3577b34da6a3ce929d0e0e4736\n"
			"  hs traces show --json "
			"4bf92f3577b34da6a3ce929d0e0e4736 | jq .mark\n",
	};
	struct id id;
	int first, rc;

	hs_where_init(&where);
	rc = hs_parse(&program, options, 2, &where, argc, argv, &first);
	if (rc == HS_ARGS_HELP)
		return HS_EXIT_OK;
	if (rc)
		return HS_EXIT_USAGE;
	if (first + 1 != argc) {
		fprintf(stderr, "hs traces show: wants one trace id; hs traces "
				"list shows them\n");
		return HS_EXIT_USAGE;
	}
	if (parse_id("show", argv[first], &id))
		return HS_EXIT_USAGE;
	return show(&where, &id, (uint32_t)max_lines, ascii);
}

/*
 * Several documents as one: both formats are an object with one list that
 * matters, "data", "resourceSpans" or "traceEvents".
 */
static int merge(json_t **into, json_t *more)
{
	static const char *const lists[] = {"data", "resourceSpans",
					    "traceEvents"};
	size_t i;

	if (!*into) {
		*into = more;
		return 0;
	}
	for (i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
		json_t *list = json_object_get(*into, lists[i]);

		if (list)
			json_array_extend(list,
					  json_object_get(more, lists[i]));
	}
	json_decref(more);
	return 0;
}

static int write_document(const struct hs_where *where, const char *output,
			  const char *body, size_t body_bytes)
{
	FILE *f = output && strcmp(output, "-") != 0 ? fopen(output, "w")
						     : stdout;
	int err = 0;

	if (!f || fwrite(body, 1, body_bytes, f) != body_bytes)
		err = -errno;
	if (f && f != stdout && fclose(f) && !err)
		err = -errno;
	if (f == stdout && fflush(stdout))
		err = -errno;
	if (err) {
		fprintf(stderr, "hs traces export: %s: %s\n", output,
			strerror(-err));
		return HS_EXIT_USAGE;
	}
	return HS_EXIT_OK;
}

static int export_many(const struct hs_where *where, const char *format,
		       const char *output, const struct id *ids, int nr_ids)
{
	json_t *all = NULL;
	char *text;
	int i, rc;

	for (i = 0; i < nr_ids; i++) {
		char *body, error[512] = "";
		size_t body_bytes;
		json_t *json;
		int err = fetch(where, ids[i].text, format, &body, &body_bytes,
				error, sizeof(error));

		if (err) {
			json_decref(all);
			return hs_fail(where, err, error);
		}
		/* Numbers stay as they are written, whatever their size. */
		json = json_loadb(body, body_bytes, 0, NULL);
		free(body);
		if (!json || merge(&all, json)) {
			json_decref(all);
			return hs_fail(where, -EBADMSG,
				       "the collector's answer is no JSON");
		}
	}
	text = json_dumps(all, JSON_COMPACT);
	json_decref(all);
	if (!text)
		return hs_fail(where, -EBADMSG, "out of memory");
	rc = write_document(where, output, text, strlen(text));
	free(text);
	return rc;
}

static int export_one(const struct hs_where *where, const char *format,
		      const char *output, const struct id *id)
{
	char *body, error[512] = "";
	size_t body_bytes;
	int err = fetch(where, id->text, format, &body, &body_bytes, error,
			sizeof(error));

	if (err)
		return hs_fail(where, err, error);
	err = write_document(where, output, body, body_bytes);
	free(body);
	return err;
}

static bool format_ok(const char *format)
{
	static const char *const formats[] = {"jaeger", "otlp", "perfetto"};
	size_t i;

	for (i = 0; i < sizeof(formats) / sizeof(*formats); i++) {
		if (!strcmp(format, formats[i]))
			return true;
	}
	fprintf(stderr,
		"hs traces export: --format '%s': wants jaeger, otlp or "
		"perfetto\n",
		format);
	return false;
}

static int export_ids(const struct hs_where *where, const char *format,
		      const char *output, char **words, int nr_words)
{
	struct id *ids = calloc((size_t)nr_words, sizeof(*ids));
	int i, rc = ids ? HS_EXIT_OK : HS_EXIT_DAEMON;

	for (i = 0; i < nr_words && !rc; i++) {
		if (parse_id("export", words[i], &ids[i]))
			rc = HS_EXIT_USAGE;
	}
	if (!rc && nr_words == 1)
		rc = export_one(where, format, output, ids);
	else if (!rc)
		rc = export_many(where, format, output, ids, nr_words);
	free(ids);
	return rc;
}

int hs_command_export(int argc, char **argv)
{
	const char *format = "otlp", *output = "-";
	struct hs_where where;
	struct hs_args_option options[2 + HS_WHERE_OPTIONS] = {
		{"format", 'f', HS_ARGS_STRING, &format, "FORMAT",
		 "jaeger, otlp or perfetto (Chrome trace events)", 0, 0},
		{"output", 'o', HS_ARGS_STRING, &output, "FILE",
		 "where to; -: standard output", 0, 0},
	};
	struct hs_args_program program = {
		.name = "hs traces export",
		.synopsis = "[options] ID...",
		.summary = "Writes traces as other tools read them.",
		.examples =
			"  hs traces export --format jaeger --output t.json "
			"4bf92f3577b34da6a3ce929d0e0e4736\n"
			"  hs traces list --json | jq -r '.traces[].trace_id' "
			"| xargs hs traces export\n",
	};
	int first, rc;

	hs_where_init(&where);
	rc = hs_parse(&program, options, 2, &where, argc, argv, &first);
	if (rc == HS_ARGS_HELP)
		return HS_EXIT_OK;
	if (rc || !format_ok(format))
		return HS_EXIT_USAGE;
	if (first == argc) {
		fprintf(stderr, "hs traces export: wants trace ids; hs traces "
				"list shows them\n");
		return HS_EXIT_USAGE;
	}
	return export_ids(&where, format, output, argv + first, argc - first);
}
