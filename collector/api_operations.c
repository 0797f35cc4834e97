/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_operations.c - how often and how long operations ran, as JSON
 */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "collector/api.h"
#include "hs/shm_watch.h"

static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

/* [[at least ns, spans], ...], where there are any. */
static json_t *buckets(const struct hs_tally_counts *c)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < HS_WIRE_TALLY_BUCKETS; i++)
		if (c->buckets[i])
			json_array_append_new(
				list,
				json_pack("[I, I]",
					  (json_int_t)hs_shm_tally_low_ns(i),
					  (json_int_t)c->buckets[i]));
	return list;
}

static int add_row(void *ctx, const struct hs_tally_row *row)
{
	static const struct {
		const char *name;
		double q;
	} quantiles[] = {
		{"p50_ns", 0.5},
		{"p90_ns", 0.9},
		{"p99_ns", 0.99},
		{"p999_ns", 0.999},
	};
	const struct hs_tally_counts *c = &row->counts;
	json_t *out = json_object();

	json_object_set_new(out, "service", hs_api_string(row->service));
	json_object_set_new(out, "operation", hs_api_string(row->name));
	json_object_set_new(out, "spans", number(hs_tally_spans(c)));
	json_object_set_new(out, "errors", number(c->errors));
	json_object_set_new(out, "mean_ns",
			    number((uint64_t)hs_tally_mean_ns(c)));
	for (size_t i = 0; i < sizeof(quantiles) / sizeof(*quantiles); i++)
		json_object_set_new(
			out, quantiles[i].name,
			number(hs_tally_quantile_ns(c, quantiles[i].q)));
	json_object_set_new(out, "buckets", buckets(c));
	return json_array_append_new(ctx, out) ? -ENOMEM : 0;
}

void hs_api_operations(void *ctx, const struct hs_httpd_request *request,
		       struct hs_httpd_response *response)
{
	struct hs_api *api = ctx;
	struct hs_api_question q = {request, response, false};
	struct hs_tally_filter filter = {
		.service = hs_httpd_query(request, "service"),
		.operation = hs_httpd_query(request, "operation"),
		.since_ns = hs_api_ask_number(&q, "since", false, 0),
		.until_ns = hs_api_ask_number(&q, "until", false, 0),
	};
	json_t *list;
	int rc;

	if (q.failed)
		return;
	if (filter.service && !filter.service[0])
		filter.service = NULL;
	if (filter.operation && !filter.operation[0])
		filter.operation = NULL;
	list = json_array();
	hs_collector_lock(api->collector);
	rc = hs_tally_query(hs_collector_tally(api->collector), &filter,
			    add_row, list);
	hs_collector_unlock(api->collector);
	if (rc) {
		json_decref(list);
		hs_httpd_error(response, 500, "operations: %s", strerror(-rc));
		return;
	}
	hs_httpd_json(response, 200, json_pack("{s:o}", "operations", list));
}
