/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_create.h - the carrier that the configuration asks for
 *
 * All daemons of a cluster must use the same one: a peer that listens on TCP
 * is not found by verbs, and the other way round. So TCP is the default, and
 * "auto" is for clusters where either every node has a device or none. "shm" is
 * for a cluster on one machine.
 */
#ifndef HS_RDMA_TRANSPORT_CREATE_H
#define HS_RDMA_TRANSPORT_CREATE_H

#include "base/config.h"
#include "rdma/transport.h"

enum hs_transport_kind {
	HS_TRANSPORT_TCP,
	HS_TRANSPORT_VERBS,
	HS_TRANSPORT_AUTO, /* verbs where there is a device, else TCP */
	HS_TRANSPORT_SHM,  /* all on this machine */
};

#define HS_TRANSPORT_WHY_BYTES HS_TRANSPORT_ERROR_BYTES

/* A daemon's settings; all zeros: TCP. */
struct hs_transport_settings {
	int kind;	/* enum hs_transport_kind */
	char *device;	/* NULL: the nearest */
	char *source;	/* NULL: of that device */
	char *key_file; /* NULL: peers are taken at their word */
	char *tls_ca;	/* these three: all or none */
	char *tls_cert;
	char *tls_key;
	int tls_bind; /* enum hs_tls_bind */
	int64_t port; /* 0: any */
	int64_t gid_index;
	int64_t traffic_class;
	struct hs_config_strings shm_users;
};

extern const char *const hs_transport_kinds[]; /* NULL at the end */
extern const char *const hs_transport_binds[]; /* likewise */

/* The keys of a schema for the daemon's struct @house with these in @field. */
#define HS_TRANSPORT_KEY_(p, t, house, field)                                  \
	.path = (p), .type = HS_CONFIG_##t, .offset = offsetof(house, field)
#define HS_TRANSPORT_KEYS(house, field)                                        \
	{HS_TRANSPORT_KEY_("transport.carrier", ENUM, house, field.kind),      \
	 .default_text = "tcp", .choices = hs_transport_kinds,                 \
	 .doc = "tcp, verbs (RDMA), auto: verbs where there is a device, or "  \
		"shm: shared memory, where all daemons are on one machine. "   \
		"The same for all."},                                          \
		{HS_TRANSPORT_KEY_("transport.device", STRING, house,          \
				   field.device),                              \
		 .example = "mlx5_0",                                          \
		 .doc = "verbs: only this device; when absent, dial from the " \
			"nearest that leads to the peer."},                    \
		{HS_TRANSPORT_KEY_("transport.port", INT, house, field.port),  \
		 .default_text = "0", .max = 255,                              \
		 .doc = "verbs: the device's port; 0 for any."},               \
		{HS_TRANSPORT_KEY_("transport.gid_index", INT, house,          \
				   field.gid_index),                           \
		 .default_text = "-1", .min = -1, .max = 255,                  \
		 .doc = "verbs: dial from the address of this GID of the "     \
			"device; -1 for any of its addresses."},               \
		{HS_TRANSPORT_KEY_("transport.traffic_class", INT, house,      \
				   field.traffic_class),                       \
		 .default_text = "0", .max = 255,                              \
		 .doc = "verbs: DSCP * 4 of what is sent; 0 for the fabric's " \
			"default."},                                           \
		{HS_TRANSPORT_KEY_("transport.source", STRING, house,          \
				   field.source),                              \
		 .example = "192.0.2.17",                                      \
		 .doc = "verbs: our address to dial from; when absent, one "   \
			"of transport.device, or of the nearest."},            \
		{HS_TRANSPORT_KEY_("transport.shm_users", STRINGS, house,      \
				   field.shm_users),                           \
		 .max = HS_TRANSPORT_USERS_MAX, .example = "[hindsight]",      \
		 .doc = "shm: users, by name or number, whose processes may "  \
			"be peers, beside root and our own; [\"*\"]: whoever " \
			"is on this machine."},                                \
		{HS_TRANSPORT_KEY_("transport.tls_ca", STRING, house,          \
				   field.tls_ca),                              \
		 .example = "/etc/hindsight/ca.pem",                           \
		 .doc = "tcp: speak TLS 1.3, and with those alone that have "  \
			"a certificate of this authority (PEM)."},             \
		{HS_TRANSPORT_KEY_("transport.tls_cert", STRING, house,        \
				   field.tls_cert),                            \
		 .example = "/etc/hindsight/node.pem",                         \
		 .doc = "tcp: our own certificate (PEM). The three files are " \
			"given together, and read again when they change."},   \
		{HS_TRANSPORT_KEY_("transport.tls_key", STRING, house,         \
				   field.tls_key),                             \
		 .example = "/etc/hindsight/node.key",                         \
		 .doc = "tcp: its private key (PEM), in a file of mode "       \
			"0600."},                                              \
		{HS_TRANSPORT_KEY_("transport.tls_names", ENUM, house,         \
				   field.tls_bind),                            \
		 .default_text = "role", .choices = hs_transport_binds,        \
		 .doc = "tcp: whom a certificate speaks for: role: its "       \
			"subjectAltName has URI:hs:ROLE/NAME (NAME may be "    \
			"*), "                                                 \
			"with the peer's role and node.name; name: it has "    \
			"DNS:NAME; any: for everybody."},                      \
	{                                                                      \
		HS_TRANSPORT_KEY_("transport.key_file", STRING, house,         \
				  field.key_file),                             \
			.example = "/etc/hindsight/transport.key",             \
			.doc = "The cluster's key, a line of 64 hexadecimal "  \
			       "digits, in a file of mode 0600; a second "     \
			       "line is accepted, too. Who does not have it "  \
			       "is cut off, and so is whoever changes or "     \
			       "repeats a message. The file is read again "    \
			       "when it changes. Without it peers are taken "  \
			       "at their word."                                \
	}

/**
 * hs_transport_create() - make the one that is asked for
 * @settings: which
 * @why: set to a line for people: which it is and why, or what is wrong
 *
 * Return: NULL with errno set.
 */
struct hs_transport *
hs_transport_create(const struct hs_transport_settings *settings,
		    const struct hs_transport_self *self,
		    const struct hs_transport_limits *limits,
		    const struct hs_transport_events *events, void *ctx,
		    char why[HS_TRANSPORT_WHY_BYTES]);

#endif
