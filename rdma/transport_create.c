/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_create.c - see transport_create.h
 */
#include "rdma/transport_create.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/tls.h"
#include "base/user.h"
#include "rdma/transport_verbs.h"

const char *const hs_transport_kinds[] = {
	[HS_TRANSPORT_TCP] = "tcp",
	[HS_TRANSPORT_VERBS] = "verbs",
	[HS_TRANSPORT_AUTO] = "auto",
	[HS_TRANSPORT_SHM] = "shm",
	NULL,
};

const char *const hs_transport_binds[] = {
	[HS_TLS_BIND_ROLE] = "role",
	[HS_TLS_BIND_NAME] = "name",
	[HS_TLS_BIND_NONE] = "any",
	NULL,
};

static const char *reason(int error)
{
	switch (error) {
	case EOPNOTSUPP:
		return "this build has no libibverbs";
	case ENODEV:
		return "there is no such RDMA device";
	case EINVAL:
		return "transport.gid_index or transport.source does not fit "
		       "transport.device";
	default:
		return strerror(error);
	}
}

static bool wants_tls(const struct hs_transport_settings *s)
{
	return s->tls_ca || s->tls_cert || s->tls_key;
}

static int copy(char out[HS_VERBS_NAME_BYTES], const char *text)
{
	size_t size = text ? strlen(text) + 1 : 0;

	if (size > HS_VERBS_NAME_BYTES)
		return -EINVAL;
	if (size)
		memcpy(out, text, size);
	return 0;
}

static struct hs_transport *
create_verbs(const struct hs_transport_settings *s,
	     const struct hs_transport_self *self,
	     const struct hs_transport_limits *limits,
	     const struct hs_transport_events *events, void *ctx)
{
	struct hs_transport_verbs_options o = {
		.port = (uint32_t)s->port,
		.gid = (uint32_t)(s->gid_index + 1),
		.traffic_class = (uint32_t)s->traffic_class,
		.spin_ns = 10000,
	};

	if (copy(o.device, s->device) || copy(o.source, s->source)) {
		errno = EINVAL;
		return NULL;
	}
	return hs_transport_verbs_create(self, limits, &o, events, ctx);
}

static struct hs_transport *create(const struct hs_transport_settings *settings,
				   const struct hs_transport_self *self,
				   const struct hs_transport_limits *limits,
				   const struct hs_transport_events *events,
				   void *ctx, char why[HS_TRANSPORT_WHY_BYTES])
{
	struct hs_transport *t = NULL;
	int error = 0;

	if (settings->kind == HS_TRANSPORT_SHM) {
		snprintf(why, HS_TRANSPORT_WHY_BYTES,
			 "shm: configured, all on this machine");
		return hs_transport_shm_create(self, limits, events, ctx);
	}
	if (settings->kind == HS_TRANSPORT_AUTO && wants_tls(settings)) {
		snprintf(why, HS_TRANSPORT_WHY_BYTES,
			 "tcp: auto, and TLS is configured");
	} else if (settings->kind != HS_TRANSPORT_TCP) {
		t = create_verbs(settings, self, limits, events, ctx);
		error = errno;
		if (t)
			snprintf(why, HS_TRANSPORT_WHY_BYTES, "verbs: %s",
				 settings->kind == HS_TRANSPORT_AUTO
					 ? "auto, and there is a device"
					 : "configured");
		else
			snprintf(why, HS_TRANSPORT_WHY_BYTES, "%s: %s",
				 settings->kind == HS_TRANSPORT_AUTO
					 ? "tcp: auto"
					 : "no verbs",
				 reason(error));
		errno = error;
		/* A wrong setting is told, not hidden behind TCP. */
		if (t || settings->kind == HS_TRANSPORT_VERBS ||
		    (error != ENODEV && error != EOPNOTSUPP) ||
		    (error == ENODEV && settings->device))
			return t;
	} else {
		snprintf(why, HS_TRANSPORT_WHY_BYTES, "tcp: configured");
	}
	return hs_transport_tcp_create(self, limits, events, ctx);
}

/* Return: the first that is no user; NULL: all are. */
static const char *find_users(const struct hs_config_strings *names,
			      uint32_t *users, struct hs_transport_trust *trust)
{
	trust->users = users;
	for (size_t i = 0; i < names->nr_items; i++) {
		const char *name = names->items[i];
		uid_t uid;

		if (!strcmp(name, "*")) {
			trust->any_user = true;
			continue;
		}
		if (trust->nr_users == HS_TRANSPORT_USERS_MAX ||
		    !hs_user_find(name, &uid))
			return name;
		users[trust->nr_users++] = uid;
	}
	return NULL;
}

struct hs_transport *
hs_transport_create(const struct hs_transport_settings *settings,
		    const struct hs_transport_self *self,
		    const struct hs_transport_limits *limits,
		    const struct hs_transport_events *events, void *ctx,
		    char why[HS_TRANSPORT_WHY_BYTES])
{
	char error[HS_TRANSPORT_ERROR_BYTES] = "";
	struct hs_transport_self trusting = *self;
	uint32_t users[HS_TRANSPORT_USERS_MAX];
	struct hs_transport *t;
	const char *nobody;

	trusting.trust = (struct hs_transport_trust){
		.key_file = settings->key_file,
		.tls_ca = settings->tls_ca,
		.tls_cert = settings->tls_cert,
		.tls_key = settings->tls_key,
		.tls_bind = settings->tls_bind,
		.error = error,
	};
	if (wants_tls(settings) && (settings->kind == HS_TRANSPORT_VERBS ||
				    settings->kind == HS_TRANSPORT_SHM)) {
		const char *kind = hs_transport_kinds[settings->kind];

		snprintf(why, HS_TRANSPORT_WHY_BYTES,
			 "no %s: transport.tls_cert wants carrier: tcp; over "
			 "%s transport.key_file authenticates",
			 kind, kind);
		errno = EINVAL;
		return NULL;
	}
	nobody = find_users(&settings->shm_users, users, &trusting.trust);
	if (nobody) {
		snprintf(why, HS_TRANSPORT_WHY_BYTES,
			 "transport.shm_users: \"%.64s\" should be a user of "
			 "this machine, a number, or \"*\"",
			 nobody);
		errno = EINVAL;
		return NULL;
	}
	t = create(settings, &trusting, limits, events, ctx, why);
	if (!t && error[0])
		snprintf(why, HS_TRANSPORT_WHY_BYTES, "%s", error);
	return t;
}
