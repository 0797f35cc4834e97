/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_hook.c - bodies of anybody at the webhook
 *
 * The first byte says which of the query's values are given. What is taken is
 * within its limits, and whatever is refused is refused with a sentence.
 */
#include <stdlib.h>
#include <string.h>

#include "agent/door.h"
#include "agent/hook.h"
#include "tests/fuzz/fuzz.h"

#define SEED(text)                                                             \
	{                                                                      \
		text, sizeof(text) - 1                                         \
	}
const struct hs_fuzz_seed hs_fuzz_seeds[] = {
	SEED("0trigger=slow&trace_id=4bf92f3577b34da6a3ce929d0e0e4736&last=2s"),
	SEED("1{\"trigger\":\"a b\",\"trace_ids\":[\"1\",\"2\"],\"limit\":3}"),
	SEED("7{\"alerts\":[{\"status\":\"firing\",\"labels\":{\"alertname\":"
	     "\"A\",\"trace_id\":\"b0b\"},\"annotations\":{\"hs_last\":\"2s\","
	     "\"hs_service\":\"s\",\"hs_limit\":\"9\"}},{\"status\":"
	     "\"resolved\"}]}"),
	{NULL, 0},
};

static void check_ask(const struct hs_hook *h, const struct hs_hook_ask *a)
{
	if (!memchr(a->name, 0, sizeof(a->name)) || !a->name[0] ||
	    !memchr(a->service, 0, sizeof(a->service)))
		abort();
	if (a->limit < 1 || a->limit > HS_AGENT_RECENT_MAX)
		abort();
	if (a->first_id > h->nr_ids || a->nr_ids > h->nr_ids - a->first_id)
		abort();
	if (!a->nr_ids && !a->last_ns)
		abort();
	for (uint32_t i = 0; i < a->nr_ids; i++)
		if (!(h->ids[a->first_id + i].hi | h->ids[a->first_id + i].lo))
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	static struct hs_hook h;
	struct hs_hook_defaults d = {0};
	char *body;

	if (len_bytes < 1)
		return 0;
	d.trigger = data[0] & 1 ? "query" : NULL;
	d.last = data[0] & 2 ? "3s" : NULL;
	d.limit = data[0] & 4 ? "5" : NULL;
	d.service = data[0] & 8 ? "svc" : NULL;
	/* As the server gives it: with a NUL behind it. */
	body = malloc(len_bytes);
	if (!body)
		abort();
	memcpy(body, data + 1, len_bytes - 1);
	body[len_bytes - 1] = '\0';
	if (hs_hook_parse(&d, body, len_bytes - 1, &h)) {
		if (!h.why[0] || !memchr(h.why, 0, sizeof(h.why)))
			abort();
	} else {
		if (h.nr_asks > HS_HOOK_ASKS_MAX || h.nr_ids > HS_HOOK_IDS_MAX)
			abort();
		for (uint32_t i = 0; i < h.nr_asks; i++)
			check_ask(&h, &h.asks[i]);
	}
	free(body);
	return 0;
}
