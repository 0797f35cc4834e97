/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see hook.h. */
#include "agent/hook.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/door.h"
#include "base/hex.h"
#include "base/units.h"

#define VALUE_BYTES 4096u /* of a form */
#define BLANKS	    ", \t\r\n"

__attribute__((format(printf, 2, 3))) static int refuse(struct hs_hook *h,
							const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(h->why, sizeof(h->why), fmt, args);
	va_end(args);
	return -EINVAL;
}

bool hs_hook_id(const char *text, size_t len, struct hs_wire_trace_id *out)
{
	return !hs_hex_u128_parse(text, len, &out->hi, &out->lo) &&
	       (out->hi | out->lo);
}

/* ---- one value --------------------------------------------------------------
 */

static void set_name(struct hs_hook_ask *ask, const char *text)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyz"
				   "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
	size_t n = 0;

	for (; text[n] && n < sizeof(ask->name) - 1; n++)
		ask->name[n] = text[n];
	ask->name[n] = '\0';
	for (size_t at = 0; (at += strspn(ask->name + at, good)) < n;)
		ask->name[at] = '_';
}

static int set_last(struct hs_hook *h, struct hs_hook_ask *ask,
		    const char *text)
{
	if (hs_units_duration_parse(text, &ask->last_ns) || !ask->last_ns)
		return refuse(h, "last: \"%.32s\" should be a time such as 2s",
			      text);
	return 0;
}

static int set_limit(struct hs_hook *h, struct hs_hook_ask *ask,
		     const char *text)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || v < 1 ||
	    v > HS_AGENT_RECENT_MAX)
		return refuse(h, "limit: \"%.32s\" should be 1 to %u", text,
			      HS_AGENT_RECENT_MAX);
	ask->limit = (uint32_t)v;
	return 0;
}

static int set_service(struct hs_hook *h, struct hs_hook_ask *ask,
		       const char *text)
{
	size_t len = strlen(text);

	if (len >= sizeof(ask->service))
		return refuse(h, "service: should have at most %zu characters",
			      sizeof(ask->service) - 1);
	memcpy(ask->service, text, len + 1);
	return 0;
}

/* One id or several. */
static int add_ids(struct hs_hook *h, struct hs_hook_ask *ask, const char *text)
{
	for (text += strspn(text, BLANKS); *text;
	     text += strspn(text, BLANKS)) {
		size_t len = strcspn(text, BLANKS);
		struct hs_wire_trace_id id;

		if (!hs_hook_id(text, len, &id))
			return refuse(h,
				      "trace_id: \"%.*s\" should be up to 32 "
				      "hexadecimal digits, not all zero",
				      len < 40 ? (int)len : 40, text);
		text += len;
		if (h->nr_ids == HS_HOOK_IDS_MAX) {
			h->left_out++;
			continue;
		}
		h->ids[h->nr_ids++] = id;
		ask->nr_ids++;
	}
	return 0;
}

/* A key that all forms know; others are nobody's business. */
static int set(struct hs_hook *h, struct hs_hook_ask *ask, const char *key,
	       const char *text)
{
	if (!strcmp(key, "trigger"))
		set_name(ask, text);
	else if (!strcmp(key, "last"))
		return set_last(h, ask, text);
	else if (!strcmp(key, "limit"))
		return set_limit(h, ask, text);
	else if (!strcmp(key, "service"))
		return set_service(h, ask, text);
	else if (!strcmp(key, "trace_id") || !strcmp(key, "trace_ids"))
		return add_ids(h, ask, text);
	return 0;
}

/* ---- asks -------------------------------------------------------------------
 */

/* NULL: over the limit. */
static struct hs_hook_ask *begin_ask(struct hs_hook *h)
{
	struct hs_hook_ask *ask = &h->asks[h->nr_asks];

	if (h->nr_asks == HS_HOOK_ASKS_MAX) {
		h->left_out++;
		return NULL;
	}
	h->nr_asks++;
	*ask = (struct hs_hook_ask){.first_id = h->nr_ids};
	return ask;
}

/* What the ask did not say; it goes if it says nothing still. */
static int end_ask(struct hs_hook *h, struct hs_hook_ask *ask,
		   const struct hs_hook_defaults *d)
{
	int rc = 0;

	if (!ask->name[0])
		set_name(ask, d->trigger ? d->trigger : "alert");
	if (!ask->last_ns && d->last)
		rc = set_last(h, ask, d->last);
	if (!rc && !ask->service[0] && d->service)
		rc = set_service(h, ask, d->service);
	if (!rc && !ask->limit && d->limit)
		rc = set_limit(h, ask, d->limit);
	if (!ask->limit)
		ask->limit = HS_HOOK_LIMIT;
	if (!rc && !ask->nr_ids && !ask->last_ns) {
		h->nr_asks--;
		h->empty++;
	}
	return rc;
}

/* ---- JSON -------------------------------------------------------------------
 */

/* A text, a list of texts, or a number. */
static int set_json(struct hs_hook *h, struct hs_hook_ask *ask, const char *key,
		    const json_t *value)
{
	char number[32];
	int rc = 0;

	if (json_is_integer(value)) {
		snprintf(number, sizeof(number), "%lld",
			 json_integer_value(value));
		return set(h, ask, key, number);
	}
	if (json_is_string(value))
		return set(h, ask, key, json_string_value(value));
	if (!json_is_array(value))
		return refuse(h, "%.32s: should be a text", key);
	for (size_t i = 0; i < json_array_size(value) && !rc; i++) {
		const char *text = json_string_value(json_array_get(value, i));

		rc = text ? set(h, ask, key, text)
			  : refuse(h, "%.32s: should be a list of texts", key);
	}
	return rc;
}

static int parse_plain(struct hs_hook *h, const struct hs_hook_defaults *d,
		       const json_t *body)
{
	static const char *const keys[] = {"trigger", "last",	  "service",
					   "limit",   "trace_id", "trace_ids"};
	struct hs_hook_ask *ask = begin_ask(h);
	int rc = 0;

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]) && !rc; i++) {
		const json_t *value = json_object_get(body, keys[i]);

		if (value)
			rc = set_json(h, ask, keys[i], value);
	}
	return rc ? rc : end_ask(h, ask, d);
}

/* A label of that name, or an annotation. */
static const char *said(const json_t *alert, const char *name)
{
	const char *text = json_string_value(
		json_object_get(json_object_get(alert, "labels"), name));

	return text ? text
		    : json_string_value(json_object_get(
			      json_object_get(alert, "annotations"), name));
}

static int parse_alert(struct hs_hook *h, const struct hs_hook_defaults *d,
		       const json_t *alert)
{
	static const struct {
		const char *said, *key;
	} names[] = {
		{"alertname", "trigger"}, {"hs_trigger", "trigger"},
		{"trace_id", "trace_id"}, {"trace_ids", "trace_ids"},
		{"hs_last", "last"},	  {"hs_service", "service"},
		{"hs_limit", "limit"},
	};
	const char *status =
		json_string_value(json_object_get(alert, "status"));
	struct hs_hook_ask *ask;
	int rc = 0;

	if (status && strcmp(status, "firing") != 0) {
		h->resolved++;
		return 0;
	}
	ask = begin_ask(h);
	for (size_t i = 0; ask && i < sizeof(names) / sizeof(names[0]) && !rc;
	     i++) {
		const char *text = said(alert, names[i].said);

		if (text)
			rc = set(h, ask, names[i].key, text);
	}
	return rc || !ask ? rc : end_ask(h, ask, d);
}

static int parse_json(struct hs_hook *h, const struct hs_hook_defaults *d,
		      const char *body, size_t body_bytes)
{
	json_error_t error;
	json_t *root = json_loadb(body, body_bytes, 0, &error);
	const json_t *alerts = json_object_get(root, "alerts");
	int rc = 0;

	if (!root)
		return refuse(h, "the body is no JSON: line %d: %.80s",
			      error.line, error.text);
	if (alerts && !json_is_array(alerts))
		rc = refuse(h, "alerts: should be a list");
	else if (!alerts)
		rc = parse_plain(h, d, root);
	for (size_t i = 0; i < json_array_size(alerts) && !rc; i++)
		rc = parse_alert(h, d, json_array_get(alerts, i));
	json_decref(root);
	return rc;
}

/* ---- a form -----------------------------------------------------------------
 */

static int digit(char c)
{
	uint64_t v;

	return hs_hex_u64_parse(&c, 1, &v) ? -1 : (int)v;
}

/* One "key" or "value" up to one of @ends. Return: its bytes in the body. */
static size_t decode(const char *p, size_t left, const char *ends,
		     char out[VALUE_BYTES])
{
	size_t i = 0, n = 0;

	for (; i < left && p[i] && !strchr(ends, p[i]); i++) {
		char c = p[i] == '+' ? ' ' : p[i];

		if (c == '%' && left - i > 2 && digit(p[i + 1]) >= 0 &&
		    digit(p[i + 2]) >= 0) {
			c = (char)(digit(p[i + 1]) << 4 | digit(p[i + 2]));
			i += 2;
		}
		if (n < VALUE_BYTES - 1)
			out[n++] = c;
	}
	out[n] = '\0';
	return i;
}

static int parse_form(struct hs_hook *h, const struct hs_hook_defaults *d,
		      const char *p, size_t left)
{
	struct hs_hook_ask *ask = begin_ask(h);
	char key[VALUE_BYTES], value[VALUE_BYTES];
	int rc = 0;

	while (left && !rc) {
		size_t n = decode(p, left, "=&", key);

		value[0] = '\0';
		if (n < left && p[n] == '=') {
			n++;
			n += decode(p + n, left - n, "&", value);
		}
		rc = set(h, ask, key, value);
		/* The '&', or a byte that no form has. */
		n += n < left;
		p += n;
		left -= n;
	}
	return rc ? rc : end_ask(h, ask, d);
}

int hs_hook_parse(const struct hs_hook_defaults *defaults, const char *body,
		  size_t body_bytes, struct hs_hook *out)
{
	size_t blank = 0;
	int rc;

	memset(out, 0, sizeof(*out));
	while (blank < body_bytes && strchr(" \t\r\n", body[blank]) &&
	       body[blank])
		blank++;
	if (blank < body_bytes && body[blank] == '{')
		rc = parse_json(out, defaults, body, body_bytes);
	else
		rc = parse_form(out, defaults, body + blank,
				body_bytes - blank);
	if (!rc && !out->nr_asks && !out->resolved)
		rc = refuse(out, "nothing is asked for: give trace_id, or last "
				 "(such as 2s)");
	return rc;
}
