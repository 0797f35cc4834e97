/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see transport_json.h. */
#include "rdma/transport_json.h"

#include "rdma/wire.h"

/* Only what happened; "peers_cut_off" is the sum. */
static json_t *cut_json(const struct hs_transport_stats *s)
{
	json_t *o = json_object();

	for (int i = 0; i < HS_TRANSPORT_CUT_CAUSES; i++)
		if (s->cut[i])
			json_object_set_new(
				o, hs_transport_causes[i],
				json_integer((json_int_t)s->cut[i]));
	return o;
}

static json_t *sent_json(const struct hs_transport_stats *s)
{
	json_t *o = json_object();

	for (int i = 1; i <= HS_WIRE_TYPE_LAST; i++)
		if (s->sent[i].messages)
			json_object_set_new(
				o, hs_wire_type_name((uint16_t)i),
				json_pack("{s:I, s:I}", "messages",
					  (json_int_t)s->sent[i].messages,
					  "bytes",
					  (json_int_t)s->sent[i].bytes));
	return o;
}

json_t *hs_transport_json(const struct hs_transport *t,
			  const struct hs_transport_stats *s, const char *why)
{
	return json_pack(
		"{s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:I, "
		"s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:s}",
		"carrier", t->ops->name, "why", why, "tls", s->tls,
		"messages_sent", (json_int_t)s->messages_sent,
		"messages_received", (json_int_t)s->messages_received,
		"bytes_sent", (json_int_t)s->bytes_sent, "bytes_received",
		(json_int_t)s->bytes_received, "system_calls",
		(json_int_t)s->system_calls, "peers_cut_off",
		(json_int_t)s->peers_cut_off, "cut_off_for", cut_json(s),
		"reconnects", (json_int_t)s->reconnects, "peers",
		(json_int_t)s->nr_peers, "keys", (json_int_t)s->nr_keys,
		"windows", (json_int_t)s->nr_windows, "windows_refused",
		(json_int_t)s->windows_refused, "reads", (json_int_t)s->reads,
		"reads_failed", (json_int_t)s->reads_failed, "reads_refused",
		(json_int_t)s->reads_refused, "sent", sent_json(s), "by",
		s->by);
}
