/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see seen.h. */
#include "agent/seen.h"

#include <string.h>

#include "agent/readers.h"
#include "base/clock.h"
#include "base/hex.h"

#define IDS_MAX 256u

/* Return: how many; 0: not as it should be. */
static uint32_t ids_of(const char *text, struct hs_wire_trace_id *out)
{
	uint32_t nr = 0;

	while (text) {
		size_t len = strcspn(text, ",");

		if (nr == IDS_MAX ||
		    hs_hex_u128_parse(text, len, &out[nr].hi, &out[nr].lo))
			return 0;
		nr++;
		text = text[len] ? text + len + 1 : NULL;
	}
	return nr;
}

static uint64_t ago_ns(uint64_t then_ns, uint64_t now_ns)
{
	return then_ns < now_ns ? now_ns - then_ns : 0;
}

static void add(json_t *traces, uint32_t at, uint32_t domain,
		const struct hs_agent_seen *seen, uint64_t now_ns)
{
	json_t *domains =
		json_object_get(json_array_get(traces, at), "domains");

	json_array_append_new(
		domains, json_pack("{s:I, s:I, s:I}", "domain",
				   (json_int_t)domain, "first_ago_ns",
				   (json_int_t)ago_ns(seen->first_ns, now_ns),
				   "last_ago_ns",
				   (json_int_t)ago_ns(seen->last_ns, now_ns)));
}

void hs_seen_serve(const struct hs_agent_core *core,
		   const struct hs_httpd_request *request,
		   struct hs_httpd_response *response)
{
	struct hs_wire_trace_id ids[IDS_MAX];
	struct hs_agent_seen seen[IDS_MAX];
	uint32_t nr = ids_of(hs_httpd_query(request, "ids"), ids);
	uint64_t now_ns = hs_clock_mono_ns();
	json_t *traces;
	char id[33];

	if (nr == 0) {
		hs_httpd_error(response, 400,
			       "ids: should be 1 to %u trace ids of up to 32 "
			       "hexadecimal digits, with commas between",
			       IDS_MAX);
		return;
	}
	traces = json_array();
	for (uint32_t i = 0; i < nr; i++) {
		hs_hex_u128_encode(id, ids[i].hi, ids[i].lo);
		json_array_append_new(
			traces,
			json_pack("{s:s, s:[]}", "trace_id", id, "domains"));
	}
	for (uint32_t d = 0; d < HS_AGENT_DOMAINS_MAX; d++) {
		if (!hs_readers_seen(core, d, ids, nr, seen))
			continue;
		for (uint32_t i = 0; i < nr; i++)
			if (seen[i].first_ns)
				add(traces, i, d, &seen[i], now_ns);
	}
	hs_httpd_json(response, 200, json_pack("{s:o}", "traces", traces));
}
