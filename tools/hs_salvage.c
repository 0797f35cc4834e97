/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hs salvage - traces out of a pool that nobody adopted.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/hex.h"
#include "model/export.h"
#include "tools/hs.h"
#include "tools/salvage.h"

#define RUN_DIR "/run/hindsight"

struct salvage_options {
	const char *run_dir;
	const char *folder;
	const char *save;
	const char *format;
	const char *output;
	const char *trace;
	uint64_t pid;
	bool json;
};

struct totals {
	uint64_t traces, spans, buffers, bytes;
	uint64_t gaps, lost, open, hinted, unreadable;
};

static int find(struct hs_salvage *s, const struct salvage_options *o)
{
	if (o->folder)
		return hs_salvage_folder(s, o->folder);
	if (o->pid)
		return hs_salvage_pid(s, (int)o->pid);
	return hs_salvage_run_dir(s, o->run_dir);
}

static void count(struct totals *sum, const struct hs_salvage_trace *t)
{
	sum->traces++;
	sum->spans += t->model->nr_spans;
	sum->buffers += t->nr_buffers;
	sum->bytes += t->nr_bytes;
	sum->gaps += t->gaps;
	sum->lost += t->lost;
	sum->open += t->open;
	sum->hinted += t->hinted;
	sum->unreadable += t->model->nr_spans == 0;
}

/* Every trace, or the one that is wanted, as it is found. */
static int write_traces(const struct hs_salvage *s,
			const struct salvage_options *o,
			enum hs_model_export_format format, FILE *f,
			struct totals *sum)
{
	uint64_t hi = 0, lo = 0;
	struct hs_model_text text;
	struct hs_model_export export;
	int rc;

	if (o->trace && hs_hex_u128_parse(o->trace, strlen(o->trace), &hi, &lo))
		return -EINVAL;
	hs_model_text_init(&text);
	rc = hs_model_export_begin(&export, format, &text);
	for (size_t at = 0, next; at < s->nr_buffers && !rc; at = next) {
		struct hs_salvage_trace t;

		if (o->trace && (s->buffers[at].trace_hi != hi ||
				 s->buffers[at].trace_lo != lo)) {
			next = at + 1;
			continue;
		}
		rc = hs_salvage_next(s, at, &next, &t);
		if (rc)
			break;
		count(sum, &t);
		if (t.model->nr_spans)
			rc = hs_model_export_trace(&export, t.model);
		if (!rc)
			rc = hs_model_text_flush(&text, f);
		hs_model_trace_free(t.model);
	}
	if (!rc)
		rc = hs_model_export_end(&export);
	if (!rc)
		rc = hs_model_text_flush(&text, f);
	hs_model_text_destroy(&text);
	return rc;
}

static void say(const struct hs_salvage *s, const struct totals *sum)
{
	fprintf(stderr, "node %016" PRIx64 ": %u pools, %u ledgers", s->node_id,
		s->nr_pools, s->nr_ledgers);
	if (s->nr_ledgers_odd)
		fprintf(stderr, ", %u of another version", s->nr_ledgers_odd);
	fprintf(stderr,
		"\n%" PRIu64 " traces, %" PRIu64 " spans in %" PRIu64
		" buffers; with gaps %" PRIu64 ", with losses %" PRIu64
		", still open %" PRIu64 ", by headers alone %" PRIu64
		", without a readable span %" PRIu64 "\n",
		sum->traces, sum->spans, sum->buffers, sum->gaps, sum->lost,
		sum->open, sum->hinted, sum->unreadable);
}

static void say_json(const struct hs_salvage *s, const struct totals *sum)
{
	char node[17];
	json_t *json;

	hs_hex_u64_encode(node, s->node_id);
	json = json_pack(
		"{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
		"s:I}",
		"node", node, "pools", (json_int_t)s->nr_pools, "ledgers",
		(json_int_t)s->nr_ledgers, "ledgers_odd",
		(json_int_t)s->nr_ledgers_odd, "traces",
		(json_int_t)sum->traces, "spans", (json_int_t)sum->spans,
		"buffers", (json_int_t)sum->buffers, "bytes",
		(json_int_t)sum->bytes, "gaps", (json_int_t)sum->gaps, "lost",
		(json_int_t)sum->lost, "open", (json_int_t)sum->open, "hinted",
		(json_int_t)sum->hinted, "unreadable",
		(json_int_t)sum->unreadable);
	hs_print_json(json);
}

static int write_out(struct hs_salvage *s, const struct salvage_options *o,
		     enum hs_model_export_format format, struct totals *sum)
{
	bool to_stdout = !strcmp(o->output, "-");
	FILE *f = to_stdout ? stdout : fopen(o->output, "we");
	int rc = f ? write_traces(s, o, format, f, sum) : -errno;

	if (f && to_stdout && fflush(f) && !rc)
		rc = -errno;
	if (f && !to_stdout && fclose(f) && !rc)
		rc = -errno;
	if (rc)
		snprintf(s->error, sizeof(s->error), "%s: %s", o->output,
			 strerror(-rc));
	return rc;
}

static int run(const struct salvage_options *o,
	       enum hs_model_export_format format)
{
	struct totals sum = {0};
	struct hs_salvage s;
	int rc = hs_salvage_make(&s);

	if (!rc)
		rc = find(&s, o);
	if (!rc && o->save)
		rc = hs_salvage_save(&s, o->save);
	if (!rc)
		rc = hs_salvage_scan(&s);
	if (!rc && (!o->save || strcmp(o->output, "-") != 0))
		rc = write_out(&s, o, format, &sum);
	if (rc) {
		fprintf(stderr, "hs salvage: %s\n",
			s.error[0] ? s.error : strerror(-rc));
	} else if (o->json && strcmp(o->output, "-") != 0) {
		say_json(&s, &sum);
	} else if (o->save && !sum.traces) {
		fprintf(stderr, "%u areas are in %s\n", s.nr_areas, o->save);
		sum.traces = s.nr_areas;
	} else {
		say(&s, &sum);
	}
	hs_salvage_free(&s);
	if (rc == -ENOENT)
		return HS_EXIT_NOTHING;
	if (rc)
		return HS_EXIT_DAEMON;
	return sum.traces ? HS_EXIT_OK : HS_EXIT_NOTHING;
}

int hs_command_salvage(int argc, char **argv)
{
	struct salvage_options o = {
		.run_dir = RUN_DIR, .format = "otlp", .output = "-"};
	const struct hs_args_option options[] = {
		{"run-dir", 0, HS_ARGS_STRING, &o.run_dir, "DIR",
		 "of an agent that lingers, runs or is stuck", 0, 0},
		{"pid", 'p', HS_ARGS_U64, &o.pid, "PID",
		 "of a process that has the memory open or mapped: a keeper, "
		 "or an application; takes root",
		 1, 1 << 30},
		{"dir", 'd', HS_ARGS_STRING, &o.folder, "DIR",
		 "files that --save made", 0, 0},
		{"save", 's', HS_ARGS_STRING, &o.save, "DIR",
		 "keep the memory as files, for later; with --output also "
		 "write traces",
		 0, 0},
		{"format", 'f', HS_ARGS_STRING, &o.format, "FORMAT",
		 "otlp, jaeger or perfetto", 0, 0},
		{"output", 'o', HS_ARGS_STRING, &o.output, "FILE",
		 "where traces go; - for standard output", 0, 0},
		{"trace", 't', HS_ARGS_STRING, &o.trace, "ID", "only this one",
		 0, 0},
		{"json", 'j', HS_ARGS_FLAG, &o.json, NULL,
		 "what was found, in JSON; with --output FILE", 0, 0},
	};
	const struct hs_args_program program = {
		.name = "hs salvage",
		.synopsis = "[--run-dir DIR | --pid PID | --dir DIR] [options]",
		.summary = "Writes out the traces of a pool that nobody "
			   "adopted. Takes nothing away: an agent can still "
			   "adopt what it can.",
		.options = options,
		.nr_options = sizeof(options) / sizeof(*options),
		.examples = "  hs salvage --output t.json               "
			    "# of this machine's agent\n"
			    "  hs salvage --pid $(pidof app) --output t.json\n"
			    "  hs salvage --save /var/tmp/pool; "
			    "hs salvage --dir /var/tmp/pool\n",
		.exit_codes = HS_EXIT_CODES,
	};
	enum hs_model_export_format format;
	uint64_t hi, lo;
	int first, rc;

	rc = hs_args_parse(&program, argc, argv, &first, stdout, stderr);
	if (rc)
		return rc == HS_ARGS_HELP ? HS_EXIT_OK : HS_EXIT_USAGE;
	if (first < argc || (o.pid && o.folder)) {
		fprintf(stderr, "hs salvage: takes options only, and one of "
				"--run-dir, --pid and --dir\n");
		return HS_EXIT_USAGE;
	}
	if (hs_model_export_format_parse(o.format, &format)) {
		fprintf(stderr,
			"hs salvage: --format '%s': wants jaeger, otlp or "
			"perfetto\n",
			o.format);
		return HS_EXIT_USAGE;
	}
	if (o.trace && hs_hex_u128_parse(o.trace, strlen(o.trace), &hi, &lo)) {
		fprintf(stderr,
			"hs salvage: --trace '%s': wants up to 32 "
			"hexadecimal digits\n",
			o.trace);
		return HS_EXIT_USAGE;
	}
	return run(&o, format);
}
