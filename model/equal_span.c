/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two spans field by field; the first difference is put into words. Pure.
 */
#include "model/equal_internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/ident.h"

#define VALUE_TEXT_SIZE 96

void diff_say(struct diff *diff, const char *format, ...)
{
	va_list args;

	if (!diff->size)
		return;
	va_start(args, format);
	vsnprintf(diff->text, diff->size, format, args);
	va_end(args);
}

/* Say "span <id>: <what>: <a> vs <b>". */
static void say(struct diff *diff, const struct hs_model_span *span,
		const char *what, const char *a, const char *b)
{
	char id[2 * HS_MODEL_SPAN_ID_SIZE + 1];

	diff_say(diff, "span %s: %s: %s vs %s",
		 hs_model_id_format(span->id, sizeof(span->id), id), what, a,
		 b);
}

static void say_i64(struct diff *diff, const struct hs_model_span *span,
		    const char *what, int64_t a, int64_t b)
{
	char text_a[24], text_b[24];

	snprintf(text_a, sizeof(text_a), "%" PRId64, a);
	snprintf(text_b, sizeof(text_b), "%" PRId64, b);
	say(diff, span, what, text_a, text_b);
}

static void say_str(struct diff *diff, const struct hs_model_span *span,
		    const char *what, struct hs_model_str a,
		    struct hs_model_str b)
{
	char text_a[VALUE_TEXT_SIZE], text_b[VALUE_TEXT_SIZE];

	snprintf(text_a, sizeof(text_a), "\"%.*s\"%s",
		 a.len > 60 ? 60 : (int)a.len, a.ptr ? a.ptr : "",
		 a.len > 60 ? "..." : "");
	snprintf(text_b, sizeof(text_b), "\"%.*s\"%s",
		 b.len > 60 ? 60 : (int)b.len, b.ptr ? b.ptr : "",
		 b.len > 60 ? "..." : "");
	say(diff, span, what, text_a, text_b);
}

static bool same_i64(struct diff *diff, const struct hs_model_span *span,
		     const char *what, int64_t a, int64_t b)
{
	if (a == b)
		return true;
	say_i64(diff, span, what, a, b);
	return false;
}

static bool same_time(struct diff *diff, const struct hs_model_span *span,
		      const char *what, int64_t a, int64_t b)
{
	int64_t res = diff->resolution_ns;

	if (a / res == b / res)
		return true;
	say_i64(diff, span, what, a, b);
	return false;
}

static bool same_str(struct diff *diff, const struct hs_model_span *span,
		     const char *what, struct hs_model_str a,
		     struct hs_model_str b)
{
	if (hs_model_str_equal(a, b))
		return true;
	say_str(diff, span, what, a, b);
	return false;
}

static bool same_id(struct diff *diff, const struct hs_model_span *span,
		    const char *what, const uint8_t *a, const uint8_t *b,
		    size_t size)
{
	char text_a[2 * HS_MODEL_TRACE_ID_SIZE + 1];
	char text_b[2 * HS_MODEL_TRACE_ID_SIZE + 1];

	if (!memcmp(a, b, size))
		return true;
	say(diff, span, what, hs_model_id_format(a, size, text_a),
	    hs_model_id_format(b, size, text_b));
	return false;
}

static bool value_equal(const struct hs_model_value *a,
			const struct hs_model_value *b)
{
	if (a->type != b->type)
		return false;
	switch (a->type) {
	case HS_MODEL_VALUE_INT64:
		return a->i64 == b->i64;
	case HS_MODEL_VALUE_FLOAT64:
		/* By bits, so that -0 is not 0; a NaN equals a NaN. */
		return a->i64 == b->i64 ||
		       (a->f64 != a->f64 && b->f64 != b->f64);
	case HS_MODEL_VALUE_BOOL:
		return a->boolean == b->boolean;
	default:
		return hs_model_str_equal(a->str, b->str);
	}
}

static void value_text(const struct hs_model_value *value, char *text)
{
	const char *type = hs_model_value_type_name(value->type);

	switch (value->type) {
	case HS_MODEL_VALUE_INT64:
		snprintf(text, VALUE_TEXT_SIZE, "%s %" PRId64, type,
			 value->i64);
		break;
	case HS_MODEL_VALUE_FLOAT64:
		snprintf(text, VALUE_TEXT_SIZE, "%s %.17g", type, value->f64);
		break;
	case HS_MODEL_VALUE_BOOL:
		snprintf(text, VALUE_TEXT_SIZE, "%s %s", type,
			 value->boolean ? "true" : "false");
		break;
	case HS_MODEL_VALUE_BYTES:
		snprintf(text, VALUE_TEXT_SIZE, "%s of %" PRIu32, type,
			 value->str.len);
		break;
	default:
		snprintf(text, VALUE_TEXT_SIZE, "%s \"%.*s\"%s", type,
			 value->str.len > 60 ? 60 : (int)value->str.len,
			 value->str.ptr, value->str.len > 60 ? "..." : "");
	}
}

static bool attr_equal(const struct hs_model_attr *a,
		       const struct hs_model_attr *b)
{
	return hs_model_str_equal(a->key, b->key) &&
	       value_equal(&a->value, &b->value);
}

bool attrs_identical(const struct hs_model_attrs *a,
		     const struct hs_model_attrs *b)
{
	uint32_t i;

	if (a->nr != b->nr)
		return false;
	for (i = 0; i < a->nr; i++)
		if (!attr_equal(&a->items[i], &b->items[i]))
			return false;
	return true;
}

/* Any total order will do that puts equal attributes beside each other. */
static int attr_order(const void *x, const void *y)
{
	const struct hs_model_attr *a = *(const struct hs_model_attr *const *)x;
	const struct hs_model_attr *b = *(const struct hs_model_attr *const *)y;
	int order = hs_model_str_compare(a->key, b->key);

	if (order)
		return order;
	if (a->value.type != b->value.type)
		return a->value.type < b->value.type ? -1 : 1;
	switch (a->value.type) {
	case HS_MODEL_VALUE_INT64:
	case HS_MODEL_VALUE_FLOAT64:
		return memcmp(&a->value.i64, &b->value.i64, 8);
	case HS_MODEL_VALUE_BOOL:
		return a->value.boolean - b->value.boolean;
	default:
		return hs_model_str_compare(a->value.str, b->value.str);
	}
}

static const struct hs_model_attr **
attrs_sorted(const struct hs_model_attrs *attrs)
{
	const struct hs_model_attr **list =
		calloc((size_t)attrs->nr + 1, sizeof(*list));
	uint32_t i;

	for (i = 0; list && i < attrs->nr; i++)
		list[i] = &attrs->items[i];
	if (list)
		qsort(list, attrs->nr, sizeof(*list), attr_order);
	return list;
}

static void say_attr(struct diff *diff, const struct hs_model_span *span,
		     const char *where, const struct hs_model_attr *a,
		     const struct hs_model_attr *b)
{
	char text_a[VALUE_TEXT_SIZE] = "nothing";
	char text_b[VALUE_TEXT_SIZE] = "nothing";
	char what[160];
	int order = !a ? 1 : !b ? -1 : hs_model_str_compare(a->key, b->key);

	/* With keys apart, the smaller one has no partner on its side. */
	if (a && order <= 0)
		value_text(&a->value, text_a);
	if (b && order >= 0)
		value_text(&b->value, text_b);
	snprintf(what, sizeof(what), "%s %.100s", where,
		 order <= 0 ? a->key.ptr : b->key.ptr);
	say(diff, span, what, text_a, text_b);
}

static bool same_attrs(struct diff *diff, const struct hs_model_span *span,
		       const char *where, const struct hs_model_attrs *a,
		       const struct hs_model_attrs *b)
{
	const struct hs_model_attr **list_a, **list_b;
	uint32_t i;
	bool same;

	if (attrs_identical(a, b))
		return true;
	list_a = attrs_sorted(a);
	list_b = attrs_sorted(b);
	if (!list_a || !list_b) {
		free(list_a);
		free(list_b);
		say(diff, span, where, "no memory", "to compare");
		return false;
	}
	for (i = 0; i < a->nr && i < b->nr; i++)
		if (!attr_equal(list_a[i], list_b[i]))
			break;
	same = i == a->nr && i == b->nr;
	if (!same)
		say_attr(diff, span, where, i < a->nr ? list_a[i] : NULL,
			 i < b->nr ? list_b[i] : NULL);
	free(list_a);
	free(list_b);
	return same;
}

static bool same_refs(struct diff *diff, const struct hs_model_span *a,
		      const struct hs_model_span *b)
{
	char what[64];
	uint32_t i;

	if (!same_i64(diff, a, "number of references", a->nr_refs, b->nr_refs))
		return false;
	for (i = 0; i < a->nr_refs; i++) {
		const struct hs_model_ref *x = &a->refs[i], *y = &b->refs[i];

		snprintf(what, sizeof(what), "reference %" PRIu32, i);
		if (x->kind != y->kind) {
			say(diff, a, what, hs_model_ref_kind_name(x->kind),
			    hs_model_ref_kind_name(y->kind));
			return false;
		}
		if (!same_id(diff, a, what, x->trace_id, y->trace_id,
			     sizeof(x->trace_id)) ||
		    !same_id(diff, a, what, x->span_id, y->span_id,
			     sizeof(x->span_id)))
			return false;
		snprintf(what, sizeof(what), "reference %" PRIu32 " state", i);
		if (!same_str(diff, a, what, x->trace_state, y->trace_state))
			return false;
		snprintf(what, sizeof(what), "reference %" PRIu32 " attribute",
			 i);
		if (!same_attrs(diff, a, what, &x->attrs, &y->attrs))
			return false;
	}
	return true;
}

static bool same_events(struct diff *diff, const struct hs_model_span *a,
			const struct hs_model_span *b)
{
	char what[64];
	uint32_t i;

	if (!same_i64(diff, a, "number of events", a->nr_events, b->nr_events))
		return false;
	for (i = 0; i < a->nr_events; i++) {
		const struct hs_model_event *x = &a->events[i];
		const struct hs_model_event *y = &b->events[i];

		snprintf(what, sizeof(what), "event %" PRIu32 " time_ns", i);
		if (!same_time(diff, a, what, x->time_ns, y->time_ns))
			return false;
		snprintf(what, sizeof(what), "event %" PRIu32 " name", i);
		if (!same_str(diff, a, what, x->name, y->name))
			return false;
		snprintf(what, sizeof(what), "event %" PRIu32 " attribute", i);
		if (!same_attrs(diff, a, what, &x->attrs, &y->attrs))
			return false;
	}
	return true;
}

static int warning_order(const void *x, const void *y)
{
	return hs_model_str_compare(*(const struct hs_model_str *)x,
				    *(const struct hs_model_str *)y);
}

static bool same_warnings(struct diff *diff, const struct hs_model_span *a,
			  const struct hs_model_span *b)
{
	struct hs_model_str *list;
	uint32_t nr = a->nr_warnings, i;
	bool same = true;

	if (!same_i64(diff, a, "number of warnings", nr, b->nr_warnings))
		return false;
	if (!nr)
		return true;
	list = calloc(2 * (size_t)nr, sizeof(*list));
	if (!list) {
		say(diff, a, "warnings", "no memory", "to compare");
		return false;
	}
	memcpy(list, a->warnings, nr * sizeof(*list));
	memcpy(list + nr, b->warnings, nr * sizeof(*list));
	qsort(list, nr, sizeof(*list), warning_order);
	qsort(list + nr, nr, sizeof(*list), warning_order);
	for (i = 0; same && i < nr; i++)
		same = same_str(diff, a, "warning", list[i], list[nr + i]);
	free(list);
	return same;
}

static bool same_head(struct diff *diff, const struct hs_model_span *a,
		      const struct hs_model_span *b)
{
	static const uint8_t none[HS_MODEL_SPAN_ID_SIZE];

	if (!same_id(diff, a, "id", a->id, b->id, sizeof(a->id)) ||
	    !same_str(diff, a, "name", a->name, b->name) ||
	    !same_i64(diff, a, "has a parent", a->has_parent, b->has_parent) ||
	    !same_id(diff, a, "parent", a->has_parent ? a->parent_id : none,
		     b->has_parent ? b->parent_id : none, sizeof(none)) ||
	    !same_time(diff, a, "start_ns", a->start_ns, b->start_ns) ||
	    !same_time(diff, a, "duration_ns", a->duration_ns, b->duration_ns))
		return false;
	if (a->kind != b->kind) {
		say(diff, a, "kind", hs_model_kind_name(a->kind),
		    hs_model_kind_name(b->kind));
		return false;
	}
	if (a->status != b->status) {
		say(diff, a, "status", hs_model_status_name(a->status),
		    hs_model_status_name(b->status));
		return false;
	}
	return same_i64(diff, a, "flags present", a->has_flags, b->has_flags) &&
	       same_i64(diff, a, "flags", a->has_flags ? a->flags : 0,
			b->has_flags ? b->flags : 0);
}

bool span_equal(struct diff *diff, const struct hs_model_span *a,
		const struct hs_model_span *b)
{
	const struct hs_model_resource *ra = hs_model_span_resource(diff->a, a);
	const struct hs_model_resource *rb = hs_model_span_resource(diff->b, b);

	return same_head(diff, a, b) &&
	       same_str(diff, a, "status message", a->status_message,
			b->status_message) &&
	       same_str(diff, a, "trace state", a->trace_state,
			b->trace_state) &&
	       same_str(diff, a, "scope name", a->scope_name, b->scope_name) &&
	       same_str(diff, a, "scope version", a->scope_version,
			b->scope_version) &&
	       same_str(diff, a, "service", ra->service, rb->service) &&
	       same_attrs(diff, a, "resource attribute", &ra->attrs,
			  &rb->attrs) &&
	       same_attrs(diff, a, "attribute", &a->attrs, &b->attrs) &&
	       same_refs(diff, a, b) && same_events(diff, a, b) &&
	       same_warnings(diff, a, b);
}
