/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OTLP JSON's AnyValue to a typed value of the model. What has no type of its
 * own there, lists and maps, becomes JSON as a person would have written it.
 */
#include "model/import_internal.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Only a guard for recursion; the scan has held max_depth already. */
#define ANY_DEPTH_MAX 2000

static double double_read(const json_t *json)
{
	const char *text = json_string_value(json);

	if (!text)
		return json_number_value(json);
	if (!strcmp(text, "NaN"))
		return NAN;
	return strtod(text, NULL);
}

/* An AnyValue as plain JSON: what a person would have written. */
static json_t *any_plain(const json_t *any, int depth)
{
	const json_t *value, *values;
	json_t *out = NULL, *item;
	int64_t number;
	size_t i;

	if (depth > ANY_DEPTH_MAX)
		return json_null();
	if ((value = json_object_get(any, "stringValue")) ||
	    (value = json_object_get(any, "boolValue")) ||
	    (value = json_object_get(any, "bytesValue")))
		return json_deep_copy(value);
	if ((value = json_object_get(any, "intValue"))) {
		if (json_is_string(value) &&
		    !import_text_i64(json_string_value(value),
				     json_string_length(value), &number))
			return json_integer(number);
		return json_deep_copy(value);
	}
	if ((value = json_object_get(any, "doubleValue"))) {
		double real = double_read(value);

		return isfinite(real) ? json_real(real) : json_deep_copy(value);
	}
	if ((value = json_object_get(any, "arrayValue"))) {
		values = json_object_get(value, "values");
		out = json_array();
		for (i = 0; out && i < json_array_size(values); i++) {
			item = any_plain(json_array_get(values, i), depth + 1);
			json_array_append_new(out, item);
		}
		return out;
	}
	if ((value = json_object_get(any, "kvlistValue"))) {
		values = json_object_get(value, "values");
		out = json_object();
		for (i = 0; out && i < json_array_size(values); i++) {
			const json_t *pair = json_array_get(values, i);
			const char *key =
				json_string_value(json_object_get(pair, "key"));

			item = any_plain(json_object_get(pair, "value"),
					 depth + 1);
			json_object_set_new(out, key ? key : "", item);
		}
		return out;
	}
	return json_null();
}

static int any_json(const json_t *any, struct hs_model_value *value,
		    char **owned)
{
	json_t *plain = any_plain(any, 0);

	*owned = plain ? json_dumps(plain, JSON_COMPACT | JSON_SORT_KEYS |
						   JSON_ENCODE_ANY)
		       : NULL;
	json_decref(plain);
	if (!*owned)
		return -ENOMEM;
	value->type = HS_MODEL_VALUE_JSON;
	value->str = hs_model_str(*owned);
	return 0;
}

static int any_bytes(const struct import_file *file, const struct place *at,
		     const json_t *json, struct hs_model_value *value,
		     char **owned)
{
	struct hs_model_str text = import_str(json);
	size_t len;
	int err = import_base64(text.ptr, text.len, owned, &len);

	if (err == -EINVAL || !json_is_string(json)) {
		import_say(file, at, "expected base64");
		return IMPORT_SKIP;
	}
	value->type = HS_MODEL_VALUE_BYTES;
	if (!err)
		value->str = (struct hs_model_str){.ptr = *owned,
						   .len = (uint32_t)len};
	return err;
}

int import_otlp_value(const struct import_file *file, const struct place *at,
		      const json_t *any, struct hs_model_value *value,
		      char **owned)
{
	const json_t *json;

	if ((json = json_object_get(any, "stringValue")) &&
	    json_is_string(json)) {
		value->type = HS_MODEL_VALUE_STRING;
		value->str = import_str(json);
		return 0;
	}
	if ((json = json_object_get(any, "boolValue")) &&
	    json_is_boolean(json)) {
		value->type = HS_MODEL_VALUE_BOOL;
		value->boolean = json_is_true(json);
		return 0;
	}
	if ((json = json_object_get(any, "intValue"))) {
		value->type = HS_MODEL_VALUE_INT64;
		return import_i64(file, AT(at, "intValue"), json, &value->i64);
	}
	if ((json = json_object_get(any, "doubleValue"))) {
		value->type = HS_MODEL_VALUE_FLOAT64;
		value->f64 = double_read(json);
		return 0;
	}
	if ((json = json_object_get(any, "bytesValue")))
		return any_bytes(file, AT(at, "bytesValue"), json, value,
				 owned);
	if (!json_object_size(any) || json_object_get(any, "arrayValue") ||
	    json_object_get(any, "kvlistValue"))
		return any_json(any, value, owned);
	import_say(file, at,
		   "expected one of stringValue, boolValue, intValue, "
		   "doubleValue, bytesValue, arrayValue, kvlistValue");
	return IMPORT_SKIP;
}
