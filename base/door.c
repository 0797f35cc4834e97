/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see door.h. */
#include "base/door.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/user.h"

#define KEY(p, t, member)                                                      \
	.path = (p), .type = HS_CONFIG_##t,                                    \
	.offset = offsetof(struct hs_door_rule, member)

static const struct hs_config_key rule_keys[] = {
	{KEY("user", STRING, user),
	 .doc = "A user of this machine, by name or number; one of user, "
		"group, token and token_file.",
	 .example = "prometheus"},
	{KEY("group", STRING, group), .doc = "A group, by name or number.",
	 .example = "oncall"},
	{KEY("token", STRING, token), .check = hs_config_is_token,
	 .want = HS_CONFIG_WANT_TOKEN, .secret = true,
	 .doc = "A bearer token for TCP.", .example = "change-me-change-me"},
	{KEY("token_file", STRING, token_file),
	 .doc = "A file that holds it instead.",
	 .example = "/etc/hindsight/webhook.token"},
	{KEY("may", STRINGS, may), .required = true, .min = 1, .max = 4,
	 .example = "[read]",
	 .doc = "read: status, metrics, settings, traces. fire: triggers. "
		"change: reload. stop: end the daemon."},
};
const struct hs_config_schema hs_door_rule_schema = {
	.size_bytes = sizeof(struct hs_door_rule),
	.keys = rule_keys,
	.nr_keys = sizeof(rule_keys) / sizeof(rule_keys[0]),
};

struct judge {
	const char *name;
	const struct hs_config_mark *mark;
	struct hs_config_error *error;
};

static int read_token(const struct judge *j, const char *path,
		      char out[HS_ROLES_TOKEN_MAX])
{
	char *text;
	size_t text_bytes, len;
	int rc = hs_config_text(path, &text, &text_bytes);

	if (rc)
		return hs_config_refuse(j->error, j->name, j->mark,
					"token_file: %.200s: %s", path,
					strerror(-rc));
	for (len = 0; len < text_bytes && text[len] > ' '; len++)
		;
	if (len < HS_CONFIG_TOKEN_BYTES || len >= HS_ROLES_TOKEN_MAX)
		rc = hs_config_refuse(j->error, j->name, j->mark,
				      "token_file: %.200s: should begin with a "
				      "token of 16 to %u characters",
				      path, HS_ROLES_TOKEN_MAX - 1);
	else
		memcpy(out, text, len);
	explicit_bzero(text, text_bytes);
	free(text);
	return rc;
}

static int take_token(const struct judge *j, const char *token,
		      const char *token_file, struct hs_roles_rule *out)
{
	out->by = HS_ROLES_BY_TOKEN;
	if (token_file)
		return read_token(j, token_file, out->token);
	if (strlen(token) >= sizeof(out->token))
		return hs_config_refuse(j->error, j->name, j->mark,
					"token: should have at most %zu "
					"characters",
					sizeof(out->token) - 1);
	memcpy(out->token, token, strlen(token));
	return 0;
}

static int take_name(const struct judge *j, const struct hs_door_rule *rule,
		     struct hs_roles_rule *out)
{
	const char *text = rule->user ? rule->user : rule->group;

	out->by = rule->user ? HS_ROLES_BY_USER : HS_ROLES_BY_GROUP;
	if (rule->user ? hs_user_find(text, &out->id)
		       : hs_group_find(text, &out->id))
		return 0;
	return hs_config_refuse(j->error, j->name, j->mark,
				"%s: this machine knows none called \"%.64s\"",
				rule->user ? "user" : "group", text);
}

static int take_rule(const struct judge *j, const struct hs_door_rule *rule,
		     struct hs_roles_rule *out)
{
	if (!!rule->user + !!rule->group + !!rule->token + !!rule->token_file !=
	    1)
		return hs_config_refuse(j->error, j->name, j->mark,
					"control.allow: an entry should have "
					"one of user, group, token and "
					"token_file");
	for (size_t i = 0; i < rule->may.nr_items; i++) {
		uint32_t role = hs_role_of(rule->may.items[i]);

		if (!role)
			return hs_config_refuse(
				j->error, j->name, j->mark,
				"control.allow: may: \"%.32s\" should be one "
				"of read, fire, change, stop",
				rule->may.items[i]);
		out->may |= role;
	}
	return rule->user || rule->group
		       ? take_name(j, rule, out)
		       : take_token(j, rule->token, rule->token_file, out);
}

int hs_door_roles(const struct hs_door_settings *s, const char *name,
		  struct hs_roles *out, struct hs_config_error *error)
{
	const struct hs_door_rule *rules = s->allow.items;
	struct judge j = {.name = name, .error = error};
	int rc = 0;

	memset(out, 0, sizeof(*out));
	out->owner = geteuid();
	if (s->token && s->token_file)
		return hs_config_refuse(error, name, NULL,
					"control.token and token_file: give "
					"one of them");
	if (s->token || s->token_file) {
		out->rules[0].may = HS_ROLES_ALL;
		rc = take_token(&j, s->token, s->token_file, &out->rules[0]);
		out->nr = 1;
	}
	for (size_t i = 0; i < s->allow.nr_items && !rc; i++) {
		j.mark = &s->allow.marks[i];
		rc = take_rule(&j, &rules[i], &out->rules[out->nr++]);
	}
	return rc;
}

int hs_door_open(struct hs_httpd **httpd, const char *area,
		 const struct hs_door_settings *s, const struct hs_roles *roles,
		 const struct hs_httpd_route *routes, size_t nr_routes,
		 void *ctx)
{
	const struct hs_httpd_options options = {
		.socket_path = s->socket,
		.tcp_address = s->address,
		.tcp_port = (uint16_t)s->tcp_port,
		.roles = roles,
		.routes = routes,
		.nr_routes = nr_routes,
		.ctx = ctx,
	};
	int rc = hs_httpd_start(httpd, &options);

	if (rc)
		hs_log_error(area,
			     "cannot open the control door: its folder has to "
			     "be there and nobody else be serving it "
			     "socket=%s address=%s port=%u error=%s",
			     s->socket, s->address, options.tcp_port,
			     strerror(-rc));
	else if (hs_httpd_tcp_port(*httpd))
		hs_log_info(area, "control door on TCP address=%s port=%u",
			    s->address, hs_httpd_tcp_port(*httpd));
	return rc;
}

json_t *hs_door_json(struct hs_httpd *httpd)
{
	struct hs_httpd_stats s = {0};

	if (httpd)
		hs_httpd_stats_get(httpd, &s);
	return json_pack("{s:I, s:I, s:I}", "requests", (json_int_t)s.requests,
			 "refused_unknown", (json_int_t)s.refused_unknown,
			 "refused_role", (json_int_t)s.refused_role);
}

static json_t *strings_json(const struct hs_config_strings *strings)
{
	json_t *list = json_array();

	for (size_t i = 0; i < strings->nr_items; i++)
		json_array_append_new(list, json_string(strings->items[i]));
	return list;
}

static json_t *maps_json(const struct hs_config_schema *schema,
			 const struct hs_config_maps *maps)
{
	json_t *list = json_array();

	for (size_t i = 0; i < maps->nr_items; i++)
		json_array_append_new(
			list, hs_door_config_json(
				      schema, (const char *)maps->items +
						      i * schema->size_bytes));
	return list;
}

static json_t *value_json(const struct hs_config_key *key, const void *at)
{
	switch (key->type) {
	case HS_CONFIG_STRING:
		return json_string(*(char *const *)at);
	case HS_CONFIG_BOOL:
		return json_boolean(*(const bool *)at);
	case HS_CONFIG_INT:
		return json_integer(*(const int64_t *)at);
	case HS_CONFIG_DOUBLE:
		return json_real(*(const double *)at);
	case HS_CONFIG_SIZE:
	case HS_CONFIG_DURATION:
		return json_integer((json_int_t) * (const uint64_t *)at);
	case HS_CONFIG_ENUM:
		return json_string(key->choices[*(const int *)at]);
	case HS_CONFIG_STRINGS:
		return strings_json(at);
	case HS_CONFIG_MAPS:
		return maps_json(key->items, at);
	}
	return NULL;
}

json_t *hs_door_config_json(const struct hs_config_schema *schema,
			    const void *settings)
{
	json_t *root = json_object();

	for (size_t i = 0; i < schema->nr_keys; i++) {
		const struct hs_config_key *key = &schema->keys[i];
		json_t *value;

		if (key->secret)
			continue;
		value = value_json(key, (const char *)settings + key->offset);
		json_object_set_new(root, key->path,
				    value ? value : json_null());
	}
	return root;
}
