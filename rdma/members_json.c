/* SPDX-License-Identifier: Apache-2.0 */
/*
 * members_json.c - a list of members as the doors show it
 */
#include "rdma/members_json.h"

#include "base/hex.h"
#include "rdma/wire.h"

#define SHOWN_MAX 1000u

static json_t *one(const struct hs_member *at)
{
	char id[17];

	hs_hex_u64_encode(id, at->id);
	return json_pack("{s:s, s:I, s:s, s:s, s:s, s:s, s:b, s:I}", "role",
			 hs_wire_role_name(at->role), "number",
			 (json_int_t)at->number, "node", id, "name", at->name,
			 "address", at->address, "state",
			 hs_member_state_name(at->state), "listed", at->listed,
			 "version", (json_int_t)at->version);
}

static json_t *sources_json(struct hs_sources *s)
{
	struct hs_sources_stats st;

	hs_sources_stats(s, &st);
	return json_pack("{s:I, s:I, s:I, s:I, s:s}", "looks",
			 (json_int_t)st.looks, "changes",
			 (json_int_t)st.changes, "failures",
			 (json_int_t)st.failures, "renewals",
			 (json_int_t)st.renewals, "last_error", st.last_error);
}

json_t *hs_members_json(const struct hs_members *m, struct hs_sources *s)
{
	json_t *list = json_array(), *by_state = json_object();

	for (uint32_t role = HS_WIRE_ROLE_COLLECTOR; role; role--)
		for (uint32_t i = hs_members_next(m, role, 0);
		     i && json_array_size(list) < SHOWN_MAX;
		     i = hs_members_next(m, role, i))
			json_array_append_new(list, one(hs_member(m, i)));
	for (uint32_t k = HS_MEMBER_JOINING; k < HS_MEMBER_NR_STATES; k++)
		json_object_set_new(by_state, hs_member_state_name(k),
				    json_integer(m->stats.nr[k]));
	return json_pack("{s:I, s:I, s:I, s:o, s:o, s:o}", "version",
			 (json_int_t)m->stats.version, "refused",
			 (json_int_t)m->stats.refused, "superseded",
			 (json_int_t)m->stats.superseded, "states", by_state,
			 "sources", s ? sources_json(s) : json_null(), "list",
			 list);
}
