/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: options from a table; see args.h.
 */
#include "base/args.h"
#include "base/suggest.h"
#include "base/units.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CODE_HELP   1
#define CODE_FIRST  256 /* long options have codes behind all letters */
#define HELP_COLUMN 30

/* What would be right for an option; "" for a text. */
static const char *want(const struct hs_args_option *o)
{
	switch (o->type) {
	case HS_ARGS_U64:
		return "a whole number";
	case HS_ARGS_DOUBLE:
		return "a number such as 0.01";
	case HS_ARGS_DURATION:
		return "a duration such as 200ms";
	case HS_ARGS_SIZE:
		return "a size such as 64MiB";
	default:
		return "a text";
	}
}

static bool has_limits(const struct hs_args_option *o)
{
	return o->min != 0 || o->max != 0;
}

/* A value as text, as it would be given. */
static void value_text(const struct hs_args_option *o, uint64_t v,
		       char out[HS_UNITS_TEXT_MAX])
{
	if (o->type == HS_ARGS_DURATION)
		hs_units_duration_exact(out, v);
	else if (o->type == HS_ARGS_SIZE)
		hs_units_size_exact(out, v);
	else
		snprintf(out, HS_UNITS_TEXT_MAX, "%" PRIu64, v);
}

static int refuse(const struct hs_args_program *p,
		  const struct hs_args_option *o, const char *text, FILE *err)
{
	char low[HS_UNITS_TEXT_MAX];
	char high[HS_UNITS_TEXT_MAX];

	fprintf(err, "%s: --%s: \"%s\" does not fit; right would be %s",
		p->name, o->name, text, want(o));
	if (has_limits(o)) {
		value_text(o, o->min, low);
		value_text(o, o->max, high);
		fprintf(err, ", from %s to %s", low, high);
	}
	fputc('\n', err);
	return -EINVAL;
}

static int parse_u64(const char *text, uint64_t *v)
{
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	*v = strtoull(text, &end, 10);
	return *end != '\0' || errno == ERANGE ? -EINVAL : 0;
}

static int set_unsigned(const struct hs_args_option *o, const char *text)
{
	uint64_t v;
	int rc;

	if (o->type == HS_ARGS_DURATION)
		rc = hs_units_duration_parse(text, &v);
	else if (o->type == HS_ARGS_SIZE)
		rc = hs_units_size_parse(text, &v);
	else
		rc = parse_u64(text, &v);
	if (rc != 0 || (has_limits(o) && (v < o->min || v > o->max)))
		return -EINVAL;
	*(uint64_t *)o->value = v;
	return 0;
}

static int set_double(const struct hs_args_option *o, const char *text)
{
	char *end;
	double v;

	if (*text == '\0' || strspn(text, "0123456789.eE+-") != strlen(text))
		return -EINVAL;
	v = strtod(text, &end);
	if (*end != '\0' || !isfinite(v) ||
	    (has_limits(o) && (v < (double)o->min || v > (double)o->max)))
		return -EINVAL;
	*(double *)o->value = v;
	return 0;
}

static int set(const struct hs_args_program *p, const struct hs_args_option *o,
	       const char *text, FILE *err)
{
	struct hs_args_list *list = o->value;
	int rc = 0;

	switch (o->type) {
	case HS_ARGS_FLAG:
		*(bool *)o->value = true;
		break;
	case HS_ARGS_STRING:
		*(const char **)o->value = text;
		break;
	case HS_ARGS_LIST:
		if (list->nr_items == list->nr_items_max) {
			fprintf(err, "%s: --%s may be given %zu times\n",
				p->name, o->name, list->nr_items_max);
			return -EINVAL;
		}
		list->items[list->nr_items++] = text;
		break;
	case HS_ARGS_DOUBLE:
		rc = set_double(o, text);
		break;
	case HS_ARGS_U64:
	case HS_ARGS_DURATION:
	case HS_ARGS_SIZE:
		rc = set_unsigned(o, text);
		break;
	}
	return rc == 0 ? 0 : refuse(p, o, text, err);
}

/* Words wrapped at 80 columns, beginning at HELP_COLUMN. */
static void wrap(FILE *out, const char *text, size_t column)
{
	while (*text != '\0') {
		size_t len = strcspn(text, " ");

		if (column > HELP_COLUMN && column + 1 + len > 79) {
			fprintf(out, "\n%*s", HELP_COLUMN, "");
			column = HELP_COLUMN;
		}
		column += (size_t)fprintf(out, " %.*s", (int)len, text);
		text += len;
		text += strspn(text, " ");
	}
}

static void default_text(const struct hs_args_option *o, char *out,
			 size_t out_bytes)
{
	char text[HS_UNITS_TEXT_MAX];

	out[0] = '\0';
	if (o->type == HS_ARGS_STRING && *(const char **)o->value != NULL)
		snprintf(out, out_bytes, " (default %s)",
			 *(const char **)o->value);
	if (o->type == HS_ARGS_DOUBLE)
		snprintf(out, out_bytes, " (default %g)", *(double *)o->value);
	if (o->type == HS_ARGS_LIST)
		snprintf(out, out_bytes, " (may be given again)");
	if (o->type == HS_ARGS_U64 || o->type == HS_ARGS_DURATION ||
	    o->type == HS_ARGS_SIZE) {
		value_text(o, *(uint64_t *)o->value, text);
		snprintf(out, out_bytes, " (default %s)", text);
	}
}

static void print_option(const struct hs_args_option *o, FILE *out)
{
	char text[1024];
	size_t n;

	n = (size_t)fprintf(out, "  %c%c%c --%s", o->short_name ? '-' : ' ',
			    o->short_name ? o->short_name : ' ',
			    o->short_name ? ',' : ' ', o->name);
	if (o->type != HS_ARGS_FLAG)
		n += (size_t)fprintf(out, " %s",
				     o->arg_name ? o->arg_name : "VALUE");
	if (n >= HELP_COLUMN) {
		fputc('\n', out);
		n = 0;
	}
	fprintf(out, "%*s", (int)(HELP_COLUMN - n), "");
	wrap(out, o->help, HELP_COLUMN);
	default_text(o, text, sizeof(text));
	wrap(out, text + (text[0] == ' '), HELP_COLUMN + strlen(o->help));
	fputc('\n', out);
}

void hs_args_print_help(const struct hs_args_program *p, FILE *out)
{
	static const struct hs_args_option help = {
		.name = "help",
		.short_name = 'h',
		.type = HS_ARGS_FLAG,
		.help = "Print this and exit.",
	};

	fprintf(out, "usage: %s %s\n\n%s\n\noptions:\n", p->name, p->synopsis,
		p->summary);
	for (size_t i = 0; i < p->nr_options; i++)
		print_option(&p->options[i], out);
	print_option(&help, out);
	if (p->examples != NULL)
		fprintf(out, "\nexamples:\n%s\n", p->examples);
	fprintf(out, "\nexit codes:\n%s\n",
		p->exit_codes != NULL
			? p->exit_codes
			: "  0  done\n  1  failed\n  2  wrong usage");
}

/* What getopt did not take: unknown, ambiguous, or without its value. */
static int refuse_word(const struct hs_args_program *p, const char *word,
		       int code, FILE *err)
{
	const char *nearest = NULL;
	size_t best = SIZE_MAX;
	char name[HS_SUGGEST_WORD_MAX];

	if (code == ':') {
		fprintf(err, "%s: %s wants a value; see --help\n", p->name,
			word);
		return -EINVAL;
	}
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(word, "="), word);
	for (size_t i = 0; i < p->nr_options && name[0] == '-'; i++) {
		if (hs_suggest_better(name + strspn(name, "-"),
				      p->options[i].name, &best))
			nearest = p->options[i].name;
	}
	fprintf(err, "%s: unknown option %s; ", p->name, word);
	if (nearest != NULL)
		fprintf(err, "did you mean --%s?\n", nearest);
	else
		fprintf(err, "see --help\n");
	return -EINVAL;
}

static size_t declare(const struct hs_args_program *p, struct option *longs,
		      char *shorts)
{
	size_t n = 0;

	if (p->stops_at_word)
		shorts[n++] = '+';
	shorts[n++] = ':';
	shorts[n++] = 'h';
	for (size_t i = 0; i < p->nr_options; i++) {
		const struct hs_args_option *o = &p->options[i];
		bool takes = o->type != HS_ARGS_FLAG;

		longs[i] = (struct option){
			o->name, takes ? required_argument : no_argument, NULL,
			CODE_FIRST + (int)i};
		if (o->short_name == 0)
			continue;
		shorts[n++] = o->short_name;
		if (takes)
			shorts[n++] = ':';
	}
	longs[p->nr_options] =
		(struct option){"help", no_argument, NULL, CODE_HELP};
	return n;
}

static const struct hs_args_option *option_of(const struct hs_args_program *p,
					      int code)
{
	if (code >= CODE_FIRST)
		return &p->options[code - CODE_FIRST];
	for (size_t i = 0; i < p->nr_options; i++) {
		if (p->options[i].short_name == code)
			return &p->options[i];
	}
	return NULL;
}

int hs_args_parse(const struct hs_args_program *p, int argc, char **argv,
		  int *first_word, FILE *out, FILE *err)
{
	struct option longs[HS_ARGS_OPTIONS_MAX + 2] = {{0}};
	char shorts[2 * HS_ARGS_OPTIONS_MAX + 8] = "";

	if (p->nr_options > HS_ARGS_OPTIONS_MAX)
		return -EINVAL;
	declare(p, longs, shorts);
	opterr = 0;
	optind = 0; /* start over, also within a permuted argv */
	for (;;) {
		int at = optind > 0 ? optind : 1;
		int code = getopt_long(argc, argv, shorts, longs, NULL);
		const struct hs_args_option *o;
		int rc;

		if (code == -1)
			break;
		if (code == 'h' || code == CODE_HELP) {
			hs_args_print_help(p, out);
			return HS_ARGS_HELP;
		}
		if (code == '?' || code == ':')
			return refuse_word(p,
					   argv[optind > at ? optind - 1 : at],
					   code, err);
		o = option_of(p, code);
		rc = set(p, o, optarg, err);
		if (rc != 0)
			return rc;
	}
	*first_word = optind;
	return HS_ARGS_OK;
}
