/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the control door of a daemon: the keys of its YAML file under
 * `control`, who may do what there, and opening it. Agent, coordinator and
 * collector all have the same one.
 */
#ifndef HS_DOOR_H
#define HS_DOOR_H

#include "base/config.h"
#include "base/httpd.h"
#include "base/roles.h"

struct hs_door_settings {
	char *socket;
	char *address; /* of TCP */
	int64_t tcp_port;
	char *token;
	char *token_file;
	struct hs_config_maps allow; /* struct hs_door_rule */
};

/* One of user, group, token and token_file. */
struct hs_door_rule {
	char *user;
	char *group;
	char *token;
	char *token_file;
	struct hs_config_strings may;
};

extern const struct hs_config_schema hs_door_rule_schema;

#define HS_DOOR_KEY_(p, t, house, member)                                      \
	.path = (p), .type = HS_CONFIG_##t, .offset = offsetof(house, member)

/*
 * The keys, for a schema's table. @field: the struct hs_door_settings in
 * struct @house. @default_: of the socket, or NULL with @example_.
 */
#define HS_DOOR_KEYS(house, field, default_, example_, doc_)                   \
	{HS_DOOR_KEY_("control.socket", STRING, house, field.socket),          \
	 .default_text = (default_), .example = (example_), .doc = (doc_)},    \
		{HS_DOOR_KEY_("control.address", STRING, house,                \
			      field.address),                                  \
		 .default_text = "127.0.0.1",                                  \
		 .doc = "IPv4 address for TCP, which is open only where "      \
			"there is a token. There is no encryption: other "     \
			"than this machine's own it should be one of a "       \
			"network that is trusted."},                           \
		{HS_DOOR_KEY_("control.tcp_port", INT, house, field.tcp_port), \
		 .default_text = "0", .max = 65535,                            \
		 .doc = "0 lets the kernel choose."},                          \
		{HS_DOOR_KEY_("control.token", STRING, house, field.token),    \
		 .check = hs_config_is_token,                                  \
		 .want = HS_CONFIG_WANT_TOKEN,                                 \
		 .secret = true,                                               \
		 .reloads = true,                                              \
		 .doc = "Bearer token for TCP: may do everything.",            \
		 .example = "change-me-change-me"},                            \
		{HS_DOOR_KEY_("control.token_file", STRING, house,             \
			      field.token_file),                               \
		 .reloads = true, .doc = "A file that holds it instead.",      \
		 .example = "/etc/hindsight/control.token"},                   \
	{                                                                      \
		HS_DOOR_KEY_("control.allow", MAPS, house, field.allow),       \
			.items = &hs_door_rule_schema,                         \
			.max = HS_ROLES_MAX - 1, .reloads = true,              \
			.secret = true,                                        \
			.doc = "Who else may do what. Without an entry: root " \
			       "and the daemon's own user everything, others " \
			       "nothing."                                      \
	}

/**
 * hs_door_roles() - resolve names, read token files
 * @name: of the file the settings came from
 *
 * Context: daemon start and reload: asks the system's user database.
 * Return: 0; -EINVAL with @error filled in.
 */
int hs_door_roles(const struct hs_door_settings *settings, const char *name,
		  struct hs_roles *out, struct hs_config_error *error);

/**
 * hs_door_open() - begin to serve
 * @area: of the log
 * @routes: the daemon's own
 *
 * Says in the log what went wrong, and the TCP port where there is one.
 *
 * Own: hs_httpd_stop().
 * Return: 0 or -errno.
 */
int hs_door_open(struct hs_httpd **httpd, const char *area,
		 const struct hs_door_settings *settings,
		 const struct hs_roles *roles,
		 const struct hs_httpd_route *routes, size_t nr_routes,
		 void *ctx);

/** hs_door_json() - who came to it, for a daemon's status; NULL: not open */
json_t *hs_door_json(struct hs_httpd *httpd);

/** hs_door_config_json() - settings in effect, without secrets */
json_t *hs_door_config_json(const struct hs_config_schema *schema,
			    const void *settings);

#endif
