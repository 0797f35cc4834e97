/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls.h - TLS 1.3 with certificates on both sides, without a socket
 *
 * Bytes of the network are fed in and taken out by whoever has the socket, so
 * that one system call still carries however many messages. Older versions are
 * refused, and so is a peer without a certificate of the configured authority.
 * A certificate that changed on disk is taken at the next connection.
 *
 * Who a certificate speaks for is in its subjectAltName: a URI hs:ROLE/NAME,
 * where NAME may be * (HS_TLS_BIND_ROLE), or a DNS name (HS_TLS_BIND_NAME).
 */
#ifndef HS_TLS_H
#define HS_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define HS_TLS_REASON_BYTES 160u

enum hs_tls_bind {
	HS_TLS_BIND_ROLE, /* role and name, by hs:ROLE/NAME */
	HS_TLS_BIND_NAME, /* the name, by a DNS name */
	HS_TLS_BIND_NONE, /* any certificate of the authority */
};

struct hs_tls_context; /* of one transport */
struct hs_tls;	       /* of one connection */

/**
 * hs_tls_context_create() - read authority, certificate and private key
 * @ca, @cert, @key: PEM files; @key of mode 0600
 * @error: @error_bytes long, or NULL: set to what is wrong
 *
 * Return: NULL with errno set.
 */
struct hs_tls_context *hs_tls_context_create(const char *ca, const char *cert,
					     const char *key,
					     enum hs_tls_bind bind, char *error,
					     size_t error_bytes);
void hs_tls_context_destroy(struct hs_tls_context *c);
/** hs_tls_context_look() - whether the files changed; logs what is wrong */
void hs_tls_context_look(struct hs_tls_context *c, uint64_t now_ns);

/** hs_tls_create() - a connection begins; NULL: no memory */
struct hs_tls *hs_tls_create(const struct hs_tls_context *c, bool dialled);
void hs_tls_destroy(struct hs_tls *t);

/** hs_tls_feed() - bytes came from the network. Return: 0, -ENOMEM */
int hs_tls_feed(struct hs_tls *t, const void *data, size_t size_bytes);
/**
 * hs_tls_handshake() - go on with it
 *
 * Return: 1: done; 0: more has to come; -EPROTO: see hs_tls_reason().
 */
int hs_tls_handshake(struct hs_tls *t);
/**
 * hs_tls_read() - what the peer said
 *
 * Return: bytes; 0: more has to come; -EPIPE: the peer ended; -EPROTO.
 */
ssize_t hs_tls_read(struct hs_tls *t, void *out, size_t size_bytes);
/** hs_tls_write() - say it. Return: bytes taken, or -EPROTO */
ssize_t hs_tls_write(struct hs_tls *t, const void *data, size_t size_bytes);

/** hs_tls_pending() - bytes for the network, valid until the next call */
size_t hs_tls_pending(struct hs_tls *t, const void **data);
/** hs_tls_sent() - the network has @size_bytes of them */
void hs_tls_sent(struct hs_tls *t, size_t size_bytes);

/** hs_tls_reason() - why it failed, for the log */
const char *hs_tls_reason(const struct hs_tls *t);

/**
 * hs_tls_speaks_for() - is the peer's certificate one for who it says it is?
 * @role: "agent", "coordinator", "collector"
 * @name: of its node; NULL: it does not say, anybody of that role is
 *
 * Return: NULL, or why not.
 */
const char *hs_tls_speaks_for(struct hs_tls *t, const char *role,
			      const char *name);

#endif
