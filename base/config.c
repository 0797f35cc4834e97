/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: walk the events of libyaml along a schema; see config.h.
 *
 * The walk recurses once per nesting level, of which HS_CONFIG_DEPTH_MAX are
 * allowed, and keeps one event at a time. Events were chosen over libyaml's
 * document tree since they carry the marks and let a bomb be refused at its
 * first anchor.
 */
#include "base/config.h"
#include "base/config_value.h"
#include "base/suggest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <yaml.h>

struct walk {
	const char *name; /* of the file */
	yaml_parser_t parser;
	yaml_event_t event; /* valid if has_event */
	bool has_event;
	struct hs_config_error *error;
};

/* What outside text may add to an error: no control bytes, not too long. */
#define QUOTE_MAX 48

static const char *quote(const char *text, char out[QUOTE_MAX + 4])
{
	size_t n = 0;

	for (; *text != '\0' && n < QUOTE_MAX; text++)
		out[n++] = (unsigned char)*text < 0x20 ? '?' : *text;
	out[n] = '\0';
	if (*text != '\0')
		memcpy(out + n, "...", sizeof("..."));
	return out;
}

__attribute__((format(printf, 3, 4))) static int
refuse_at(struct walk *w, yaml_mark_t mark, const char *fmt, ...)
{
	struct hs_config_error *e = w->error;
	va_list ap;
	int n;

	e->line = (unsigned)mark.line + 1;
	e->column = (unsigned)mark.column + 1;
	n = snprintf(e->text, sizeof(e->text), "%.200s:%u:%u: ", w->name,
		     e->line, e->column);
	va_start(ap, fmt);
	vsnprintf(e->text + n, sizeof(e->text) - (size_t)n, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

#define refuse(w, ...) refuse_at(w, (w)->event.start_mark, __VA_ARGS__)

/* Refuse what no file of ours needs, wherever it stands. */
static int check_event(struct walk *w)
{
	const yaml_event_t *e = &w->event;
	const yaml_char_t *anchor = NULL;
	const yaml_char_t *tag = NULL;

	switch (e->type) {
	case YAML_ALIAS_EVENT:
		return refuse(w, "aliases (*name) are not used here; write "
				 "the value out");
	case YAML_SCALAR_EVENT:
		anchor = e->data.scalar.anchor;
		tag = e->data.scalar.tag;
		break;
	case YAML_SEQUENCE_START_EVENT:
		anchor = e->data.sequence_start.anchor;
		tag = e->data.sequence_start.tag;
		break;
	case YAML_MAPPING_START_EVENT:
		anchor = e->data.mapping_start.anchor;
		tag = e->data.mapping_start.tag;
		break;
	default:
		break;
	}
	if (anchor != NULL)
		return refuse(w, "anchors (&name) are not used here; write "
				 "the value out");
	if (tag != NULL)
		return refuse(w, "tags (!name) are not used here; leave the "
				 "tag out");
	if (e->type != YAML_SCALAR_EVENT)
		return 0;
	if (e->data.scalar.length > HS_CONFIG_SCALAR_MAX_BYTES)
		return refuse(w,
			      "this text has %zu bytes; at most %d are "
			      "taken",
			      e->data.scalar.length,
			      HS_CONFIG_SCALAR_MAX_BYTES);
	if (strlen((const char *)e->data.scalar.value) != e->data.scalar.length)
		return refuse(w, "this text has a zero byte in it");
	return 0;
}

static void drop_event(struct walk *w)
{
	if (w->has_event)
		yaml_event_delete(&w->event);
	w->has_event = false;
}

static int next(struct walk *w)
{
	const yaml_parser_t *p = &w->parser;

	drop_event(w);
	if (yaml_parser_parse(&w->parser, &w->event)) {
		w->has_event = true;
		return check_event(w);
	}
	if (p->error == YAML_MEMORY_ERROR)
		return -ENOMEM;
	if (p->error == YAML_READER_ERROR)
		return refuse_at(w, p->mark, "not UTF-8 text: %s at byte %zu",
				 p->problem, p->problem_offset);
	return refuse_at(w, p->problem_mark, "not YAML: %s%s%s", p->problem,
			 p->context != NULL ? ", " : "",
			 p->context != NULL ? p->context : "");
}

static const char *scalar_of(const struct walk *w)
{
	return (const char *)w->event.data.scalar.value;
}

/* An empty or null value, written without quotes. */
static bool is_null(const struct walk *w)
{
	const char *text = scalar_of(w);

	if (w->event.type != YAML_SCALAR_EVENT ||
	    w->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return false;
	return *text == '\0' || strcmp(text, "~") == 0 ||
	       strcmp(text, "null") == 0;
}

static const char *event_kind(const struct walk *w)
{
	if (w->event.type == YAML_MAPPING_START_EVENT)
		return "a map";
	if (w->event.type == YAML_SEQUENCE_START_EVENT)
		return "a list";
	return is_null(w) ? "nothing" : "a single value";
}

static int refuse_kind(struct walk *w, const struct hs_config_key *key)
{
	char want[HS_CONFIG_WANT_MAX];

	hs_config_value_want(key, want);
	return refuse(w, "key \"%s\" has %s here; right would be %s", key->path,
		      event_kind(w), want);
}

static int walk_scalar(struct walk *w, const struct hs_config_key *key,
		       void *out)
{
	char want[HS_CONFIG_WANT_MAX];
	char quoted[QUOTE_MAX + 4];
	int rc;

	if (w->event.type != YAML_SCALAR_EVENT || is_null(w))
		return refuse_kind(w, key);
	rc = hs_config_value_set(key, scalar_of(w), out);
	if (rc == 0 || rc == -ENOMEM)
		return rc;
	hs_config_value_want(key, want);
	return refuse(w, "key \"%s\": \"%s\" %s; right would be %s", key->path,
		      quote(scalar_of(w), quoted),
		      rc == -ERANGE ? "is out of range" : "does not fit", want);
}

static int check_nr(struct walk *w, const struct hs_config_key *key, size_t nr)
{
	size_t max = key->max > 0 ? (size_t)key->max : HS_CONFIG_LIST_MAX;

	if (nr > max)
		return refuse(w, "key \"%s\" has more than %zu entries",
			      key->path, max);
	if (w->event.type == YAML_SEQUENCE_END_EVENT && nr < (size_t)key->min)
		return refuse(w,
			      "key \"%s\" has %zu entries; at least %zu are "
			      "wanted",
			      key->path, nr, (size_t)key->min);
	return 0;
}

static int walk_strings(struct walk *w, const struct hs_config_key *key,
			struct hs_config_strings *list)
{
	int rc;

	if (w->event.type != YAML_SEQUENCE_START_EVENT)
		return refuse_kind(w, key);
	while ((rc = next(w)) == 0) {
		char **grown;

		rc = check_nr(w, key,
			      list->nr_items +
				      (w->event.type == YAML_SCALAR_EVENT));
		if (rc != 0 || w->event.type == YAML_SEQUENCE_END_EVENT)
			return rc;
		if (w->event.type != YAML_SCALAR_EVENT || is_null(w))
			return refuse_kind(w, key);
		grown = reallocarray(list->items, list->nr_items + 1,
				     sizeof(*grown));
		if (grown == NULL)
			return -ENOMEM;
		list->items = grown;
		grown[list->nr_items] = strdup(scalar_of(w));
		if (grown[list->nr_items] == NULL)
			return -ENOMEM;
		list->nr_items++;
	}
	return rc;
}

static int walk_schema(struct walk *w, const struct hs_config_schema *schema,
		       void *out, unsigned int depth);

/* Where the newest item begins: its first event is the current one. */
static int mark_item(const struct walk *w, struct hs_config_maps *list)
{
	struct hs_config_mark *grown =
		reallocarray(list->marks, list->nr_items, sizeof(*list->marks));

	if (grown == NULL)
		return -ENOMEM;
	list->marks = grown;
	grown[list->nr_items - 1] = (struct hs_config_mark){
		.line = (unsigned)w->event.start_mark.line + 1,
		.column = (unsigned)w->event.start_mark.column + 1,
	};
	return 0;
}

static int walk_maps(struct walk *w, const struct hs_config_key *key,
		     struct hs_config_maps *list, unsigned int depth)
{
	size_t size_bytes = key->items->size_bytes;
	int rc;

	if (w->event.type != YAML_SEQUENCE_START_EVENT)
		return refuse_kind(w, key);
	while ((rc = next(w)) == 0) {
		char *grown;

		rc = check_nr(w, key,
			      list->nr_items + (w->event.type ==
						YAML_MAPPING_START_EVENT));
		if (rc != 0 || w->event.type == YAML_SEQUENCE_END_EVENT)
			return rc;
		if (w->event.type != YAML_MAPPING_START_EVENT)
			return refuse_kind(w, key);
		grown = reallocarray(list->items, list->nr_items + 1,
				     size_bytes);
		if (grown == NULL)
			return -ENOMEM;
		list->items = grown;
		grown += list->nr_items * size_bytes;
		memset(grown, 0, size_bytes);
		list->nr_items++;
		rc = mark_item(w, list);
		if (rc == 0)
			rc = walk_schema(w, key->items, grown, depth + 2);
		if (rc != 0)
			return rc;
	}
	return rc;
}

static int walk_value(struct walk *w, const struct hs_config_key *key,
		      void *out, unsigned int depth)
{
	void *at = hs_config_value_at(key, out);

	/* A list whose entries are all commented out is an empty one */
	if (key->type >= HS_CONFIG_STRINGS && is_null(w) && key->min == 0)
		return 0;
	if (key->type == HS_CONFIG_STRINGS)
		return walk_strings(w, key, at);
	if (key->type == HS_CONFIG_MAPS)
		return walk_maps(w, key, at, depth);
	return walk_scalar(w, key, out);
}

/* The first key that is @path or lies in a map of that name. */
static const struct hs_config_key *
find_key(const struct hs_config_schema *schema, const char *path,
	 bool *is_nested)
{
	size_t len = strlen(path);

	for (size_t i = 0; i < schema->nr_keys; i++) {
		const char *known = schema->keys[i].path;

		if (strncmp(known, path, len) == 0 &&
		    (known[len] == '\0' || known[len] == '.')) {
			*is_nested = known[len] == '.';
			return &schema->keys[i];
		}
	}
	return NULL;
}

/* Unknown: name the nearest sibling, or else all that could stand there. */
static int refuse_unknown(struct walk *w, const struct hs_config_schema *schema,
			  const char *prefix)
{
	size_t prefix_len = strlen(prefix);
	char nearest[HS_CONFIG_PATH_MAX] = "";
	char known[400] = "";
	char quoted[QUOTE_MAX + 4];
	size_t best = SIZE_MAX;
	size_t n = 0;

	for (size_t i = 0; i < schema->nr_keys; i++) {
		const char *path = schema->keys[i].path;
		char word[HS_CONFIG_PATH_MAX];
		size_t len;

		if (strncmp(path, prefix, prefix_len) != 0)
			continue;
		path += prefix_len;
		len = strcspn(path, ".");
		if (i > 0 && path[len] == '.' &&
		    strncmp(schema->keys[i - 1].path, schema->keys[i].path,
			    prefix_len + len + 1) == 0)
			continue;
		snprintf(word, sizeof(word), "%.*s", (int)len, path);
		if (hs_suggest_better(scalar_of(w), word, &best))
			memcpy(nearest, word, strlen(word) + 1);
		if (n < sizeof(known))
			n += (size_t)snprintf(known + n, sizeof(known) - n,
					      "%s%s", n ? ", " : "", word);
	}
	quote(scalar_of(w), quoted);
	if (best != SIZE_MAX)
		return refuse(w, "unknown key \"%s%s\"; did you mean \"%s%s\"?",
			      prefix, quoted, prefix, nearest);
	return refuse(w, "unknown key \"%s%s\"; right would be one of: %s",
		      prefix, quoted, known);
}

/* A mapping whose start is the current event; @prefix is "" or "http.". */
static int walk_mapping(struct walk *w, const struct hs_config_schema *schema,
			const char *prefix, void *out, uint64_t *given,
			unsigned int depth)
{
	uint64_t seen = 0;
	int rc;

	if (depth > HS_CONFIG_DEPTH_MAX)
		return refuse(w, "nested more than %d levels deep",
			      HS_CONFIG_DEPTH_MAX);
	while ((rc = next(w)) == 0) {
		const struct hs_config_key *key = NULL;
		char path[HS_CONFIG_PATH_MAX];
		bool is_nested = false;
		uint64_t bit;
		int n;

		if (w->event.type == YAML_MAPPING_END_EVENT)
			return 0;
		if (w->event.type != YAML_SCALAR_EVENT)
			return refuse(w, "a key must be a word, not %s",
				      event_kind(w));
		n = snprintf(path, sizeof(path), "%s%s", prefix, scalar_of(w));
		/* A dot in the file's own key is not our nesting */
		if ((size_t)n < sizeof(path) && *scalar_of(w) != '\0' &&
		    strchr(scalar_of(w), '.') == NULL)
			key = find_key(schema, path, &is_nested);
		if (key == NULL)
			return refuse_unknown(w, schema, prefix);
		bit = 1ULL << (key - schema->keys);
		if (seen & bit)
			return refuse(w, "key \"%s\" is given twice; keep one",
				      path);
		seen |= bit;
		rc = next(w);
		if (rc != 0)
			return rc;
		if (!is_nested) {
			*given |= bit;
			rc = walk_value(w, key, out, depth);
		} else if (w->event.type == YAML_MAPPING_START_EVENT) {
			/* find_key() matched "path." in a key of the schema. */
			path[n] = '.';
			path[n + 1] = '\0';
			rc = walk_mapping(w, schema, path, out, given,
					  depth + 1);
		} else if (!is_null(w)) {
			return refuse(w,
				      "key \"%s\" has %s here; right would "
				      "be a map with keys like \"%s\"",
				      path, event_kind(w),
				      key->path + strlen(path) + 1);
		}
		if (rc != 0)
			return rc;
	}
	return rc;
}

static int fill_defaults(struct walk *w, const struct hs_config_schema *schema,
			 void *out, uint64_t given, yaml_mark_t start)
{
	for (size_t i = 0; i < schema->nr_keys; i++) {
		const struct hs_config_key *key = &schema->keys[i];
		char want[HS_CONFIG_WANT_MAX];
		int rc;

		if (given >> i & 1)
			continue;
		if (key->required) {
			hs_config_value_want(key, want);
			return refuse_at(w, start,
					 "key \"%s\" is missing; right would "
					 "be %s",
					 key->path, want);
		}
		if (key->default_text == NULL)
			continue;
		rc = hs_config_value_set(key, key->default_text, out);
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* A whole schema: its mapping's start is the current event. */
static int walk_schema(struct walk *w, const struct hs_config_schema *schema,
		       void *out, unsigned int depth)
{
	yaml_mark_t start = w->event.start_mark;
	uint64_t given = 0;
	int rc = walk_mapping(w, schema, "", out, &given, depth);

	return rc != 0 ? rc : fill_defaults(w, schema, out, given, start);
}

static int expect(struct walk *w, yaml_event_type_t type, const char *what)
{
	int rc = next(w);

	if (rc == 0 && w->event.type != type)
		rc = refuse(w, "%s", what);
	return rc;
}

static int walk_file(struct walk *w, const struct hs_config_schema *schema,
		     void *out)
{
	static const char one[] = "a second document begins here; one file "
				  "holds one document";
	yaml_mark_t start = {0, 0, 0};
	int rc = expect(w, YAML_STREAM_START_EVENT, "no YAML stream");

	if (rc == 0)
		rc = next(w);
	if (rc != 0)
		return rc;
	/* An empty file is one where every key has its default */
	if (w->event.type == YAML_STREAM_END_EVENT)
		return fill_defaults(w, schema, out, 0, start);
	rc = next(w);
	if (rc != 0)
		return rc;
	if (is_null(w))
		rc = fill_defaults(w, schema, out, 0, start);
	else if (w->event.type == YAML_MAPPING_START_EVENT)
		rc = walk_schema(w, schema, out, 1);
	else
		rc = refuse(w,
			    "the file holds %s; right would be \"key: "
			    "value\" lines",
			    event_kind(w));
	if (rc == 0)
		rc = expect(w, YAML_DOCUMENT_END_EVENT, one);
	if (rc == 0)
		rc = expect(w, YAML_STREAM_END_EVENT, one);
	return rc;
}

static int refuse_file(const char *name, struct hs_config_error *error, int rc,
		       const char *why)
{
	error->line = 0;
	error->column = 0;
	snprintf(error->text, sizeof(error->text), "%.400s: %.300s", name, why);
	return rc;
}

int hs_config_parse(const struct hs_config_schema *schema, const char *name,
		    const void *data, size_t len_bytes, void *out,
		    struct hs_config_error *error)
{
	struct walk w = {.name = name, .error = error};
	int rc;

	memset(out, 0, schema->size_bytes);
	if (len_bytes > HS_CONFIG_FILE_MAX_BYTES)
		return refuse_file(name, error, -EINVAL,
				   "over 1 MiB; a configuration is smaller");
	if (schema->nr_keys > HS_CONFIG_KEYS_MAX)
		return refuse_file(name, error, -EINVAL,
				   "the schema has too many keys");
	if (!yaml_parser_initialize(&w.parser))
		return refuse_file(name, error, -ENOMEM, strerror(ENOMEM));
	yaml_parser_set_input_string(&w.parser, data, len_bytes);
	yaml_parser_set_encoding(&w.parser, YAML_UTF8_ENCODING);
	rc = walk_file(&w, schema, out);
	drop_event(&w);
	yaml_parser_delete(&w.parser);
	if (rc == -ENOMEM)
		refuse_file(name, error, rc, strerror(ENOMEM));
	if (rc != 0)
		hs_config_free(schema, out);
	return rc;
}

int hs_config_text(const char *path, char **text, size_t *text_bytes)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *data;
	int rc = 0;

	if (fd < 0)
		return -errno;
	*text_bytes = 0;
	data = malloc(HS_CONFIG_FILE_MAX_BYTES + 1);
	if (data == NULL)
		rc = -ENOMEM;
	/* At most one byte over the limit: enough to see that it is over. */
	while (rc == 0 && *text_bytes <= HS_CONFIG_FILE_MAX_BYTES) {
		ssize_t n = read(fd, data + *text_bytes,
				 HS_CONFIG_FILE_MAX_BYTES + 1 - *text_bytes);

		if (n < 0 && errno != EINTR)
			rc = -errno;
		if (n == 0)
			break;
		if (n > 0)
			*text_bytes += (size_t)n;
	}
	close(fd);
	if (rc != 0)
		free(data);
	else
		*text = data;
	return rc;
}

int hs_config_load(const struct hs_config_schema *schema, const char *path,
		   void *out, struct hs_config_error *error)
{
	char *data = NULL;
	size_t len = 0;
	int rc;

	memset(out, 0, schema->size_bytes);
	rc = hs_config_text(path, &data, &len);
	if (rc != 0)
		return refuse_file(path, error, rc, strerror(-rc));
	rc = hs_config_parse(schema, path, data, len, out, error);
	free(data);
	return rc;
}

static void free_maps(const struct hs_config_schema *schema,
		      struct hs_config_maps *list)
{
	for (size_t i = 0; i < list->nr_items; i++)
		hs_config_free(schema,
			       (char *)list->items + i * schema->size_bytes);
	free(list->items);
	free(list->marks);
}

static void free_strings(struct hs_config_strings *list)
{
	for (size_t i = 0; i < list->nr_items; i++)
		free(list->items[i]);
	free(list->items);
}

void hs_config_free(const struct hs_config_schema *schema, void *out)
{
	for (size_t i = 0; i < schema->nr_keys; i++) {
		const struct hs_config_key *key = &schema->keys[i];
		void *at = hs_config_value_at(key, out);

		if (key->type == HS_CONFIG_STRING)
			free(*(char **)at);
		else if (key->type == HS_CONFIG_STRINGS)
			free_strings(at);
		else if (key->type == HS_CONFIG_MAPS)
			free_maps(key->items, at);
	}
	memset(out, 0, schema->size_bytes);
}
