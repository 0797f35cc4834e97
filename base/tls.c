/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls.c - TLS 1.3 over memory: see tls.h
 */
#include "base/tls.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"

#define LOOK_EVERY_NS (500 * HS_NS_PER_MS)
#define ERROR_BYTES   320u
#define NAME_BYTES    32u

enum { CA, CERT, KEY, NR_FILES };

struct hs_tls_context {
	SSL_CTX *ssl;
	char *paths[NR_FILES];
	struct timespec seen[NR_FILES];
	enum hs_tls_bind bind;
	uint64_t look_ns;
};

struct hs_tls {
	SSL *ssl;
	BIO *in;  /* the ssl's: bytes of the network */
	BIO *out; /* the ssl's: bytes for it */
	enum hs_tls_bind bind;
	char reason[HS_TLS_REASON_BYTES];
};

/* The first thing that libssl complained of, and forget the rest. */
static const char *complaint(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_error());

	ERR_clear_error();
	return text ? text : "no reason given";
}

static int load(SSL_CTX *ssl, char *const paths[NR_FILES], char *error)
{
	static const char *const names[] = {"tls_ca", "tls_cert", "tls_key"};
	struct stat st;
	int bad = -1;

	if (SSL_CTX_load_verify_locations(ssl, paths[CA], NULL) != 1)
		bad = CA;
	else if (SSL_CTX_use_certificate_chain_file(ssl, paths[CERT]) != 1)
		bad = CERT;
	else if (stat(paths[KEY], &st) == 0 &&
		 st.st_mode & (S_IRWXG | S_IRWXO)) {
		snprintf(error, ERROR_BYTES,
			 "transport.tls_key: %s: others than its owner may use "
			 "it: should have mode 0600",
			 paths[KEY]);
		return -EACCES;
	} else if (SSL_CTX_use_PrivateKey_file(ssl, paths[KEY],
					       SSL_FILETYPE_PEM) != 1 ||
		   SSL_CTX_check_private_key(ssl) != 1)
		bad = KEY;
	if (bad < 0)
		return 0;
	snprintf(error, ERROR_BYTES, "transport.%s: %s: %s", names[bad],
		 paths[bad], complaint());
	return -EINVAL;
}

static SSL_CTX *make(char *const paths[NR_FILES], char *error)
{
	SSL_CTX *ssl = SSL_CTX_new(TLS_method());
	int rc = -ENOMEM;

	snprintf(error, ERROR_BYTES, "no memory");
	if (ssl && SSL_CTX_set_min_proto_version(ssl, TLS1_3_VERSION) == 1) {
		SSL_CTX_set_verify(
			ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
			NULL);
		SSL_CTX_set_mode(ssl,
				 SSL_MODE_ENABLE_PARTIAL_WRITE |
					 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					 SSL_MODE_RELEASE_BUFFERS);
		/* Each connection is judged anew: nothing to resume. */
		SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
		SSL_CTX_set_num_tickets(ssl, 0);
		rc = load(ssl, paths, error);
	}
	if (!rc)
		return ssl;
	SSL_CTX_free(ssl);
	errno = -rc;
	return NULL;
}

static bool changed(struct hs_tls_context *c)
{
	bool any = false;

	for (int i = 0; i < NR_FILES; i++) {
		struct stat st = {0};

		(void)stat(c->paths[i], &st); /* gone: a change as well */
		any |= st.st_mtim.tv_sec != c->seen[i].tv_sec ||
		       st.st_mtim.tv_nsec != c->seen[i].tv_nsec;
		c->seen[i] = st.st_mtim;
	}
	return any;
}

struct hs_tls_context *hs_tls_context_create(const char *ca, const char *cert,
					     const char *key,
					     enum hs_tls_bind bind, char *error,
					     size_t error_bytes)
{
	struct hs_tls_context *c = calloc(1, sizeof(*c));
	char wrong[ERROR_BYTES] = "no memory";
	int rc = ENOMEM;

	if (c) {
		c->bind = bind;
		c->paths[CA] = strdup(ca);
		c->paths[CERT] = strdup(cert);
		c->paths[KEY] = strdup(key);
		if (c->paths[CA] && c->paths[CERT] && c->paths[KEY]) {
			(void)changed(c);
			c->ssl = make(c->paths, wrong);
			rc = errno;
		}
		if (c->ssl)
			return c;
		hs_tls_context_destroy(c);
	}
	if (error)
		snprintf(error, error_bytes, "%s", wrong);
	errno = rc;
	return NULL;
}

void hs_tls_context_destroy(struct hs_tls_context *c)
{
	if (!c)
		return;
	SSL_CTX_free(c->ssl);
	for (int i = 0; i < NR_FILES; i++)
		free(c->paths[i]);
	free(c);
}

void hs_tls_context_look(struct hs_tls_context *c, uint64_t now_ns)
{
	char error[ERROR_BYTES];
	SSL_CTX *fresh;

	if (now_ns - c->look_ns < LOOK_EVERY_NS)
		return;
	c->look_ns = now_ns;
	if (!changed(c))
		return;
	fresh = make(c->paths, error);
	if (!fresh) {
		hs_log_error("tls", "the certificate stays as it was: %s",
			     error);
		return;
	}
	SSL_CTX_free(c->ssl); /* connections hold on to theirs */
	c->ssl = fresh;
	hs_log_info("tls", "new certificate");
}

struct hs_tls *hs_tls_create(const struct hs_tls_context *c, bool dialled)
{
	struct hs_tls *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->bind = c->bind;
	t->ssl = SSL_new(c->ssl);
	t->in = BIO_new(BIO_s_mem());
	t->out = BIO_new(BIO_s_mem());
	if (!t->ssl || !t->in || !t->out) {
		BIO_free(t->in);
		BIO_free(t->out);
		SSL_free(t->ssl);
		free(t);
		return NULL;
	}
	BIO_set_mem_eof_return(t->in, -1);
	BIO_set_mem_eof_return(t->out, -1);
	SSL_set_bio(t->ssl, t->in, t->out);
	if (dialled)
		SSL_set_connect_state(t->ssl);
	else
		SSL_set_accept_state(t->ssl);
	return t;
}

void hs_tls_destroy(struct hs_tls *t)
{
	if (!t)
		return;
	SSL_free(t->ssl);
	free(t);
}

int hs_tls_feed(struct hs_tls *t, const void *data, size_t size_bytes)
{
	size_t took = 0;

	if (BIO_write_ex(t->in, data, size_bytes, &took) == 1 &&
	    took == size_bytes)
		return 0;
	return -ENOMEM;
}

/* Return: 0: the network has to bring more; -EPIPE, -EPROTO. */
static int judge(struct hs_tls *t, int rc)
{
	int error = SSL_get_error(t->ssl, rc);
	long verify = SSL_get_verify_result(t->ssl);

	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
		ERR_clear_error();
		return 0;
	}
	if (error == SSL_ERROR_ZERO_RETURN)
		return -EPIPE;
	if (verify != X509_V_OK) {
		snprintf(t->reason, sizeof(t->reason),
			 "TLS: its certificate: %s",
			 X509_verify_cert_error_string(verify));
		ERR_clear_error();
	} else {
		snprintf(t->reason, sizeof(t->reason), "TLS: %s", complaint());
	}
	return -EPROTO;
}

int hs_tls_handshake(struct hs_tls *t)
{
	int rc;

	ERR_clear_error();
	rc = SSL_do_handshake(t->ssl);
	if (rc == 1)
		return 1;
	rc = judge(t, rc);
	return rc ? -EPROTO : 0;
}

ssize_t hs_tls_read(struct hs_tls *t, void *out, size_t size_bytes)
{
	size_t got = 0;
	int rc;

	ERR_clear_error();
	rc = SSL_read_ex(t->ssl, out, size_bytes, &got);
	return rc == 1 ? (ssize_t)got : judge(t, rc);
}

ssize_t hs_tls_write(struct hs_tls *t, const void *data, size_t size_bytes)
{
	size_t put = 0;
	int rc;

	if (!size_bytes)
		return 0;
	ERR_clear_error();
	rc = SSL_write_ex(t->ssl, data, size_bytes, &put);
	if (rc == 1)
		return (ssize_t)put;
	rc = judge(t, rc);
	return rc ? -EPROTO : 0;
}

size_t hs_tls_pending(struct hs_tls *t, const void **data)
{
	char *at = NULL;
	long size = BIO_get_mem_data(t->out, &at);

	*data = at;
	return size > 0 ? (size_t)size : 0;
}

void hs_tls_sent(struct hs_tls *t, size_t size_bytes)
{
	uint8_t gone[4096];

	while (size_bytes) {
		size_t n =
			size_bytes < sizeof(gone) ? size_bytes : sizeof(gone);
		size_t got = 0;

		if (BIO_read_ex(t->out, gone, n, &got) != 1)
			return;
		size_bytes -= got;
	}
}

const char *hs_tls_reason(const struct hs_tls *t)
{
	return t->reason;
}

static bool uri_fits(const ASN1_IA5STRING *uri, const char *role,
		     const char *name)
{
	const char *text = (const char *)ASN1_STRING_get0_data(uri);
	size_t size = (size_t)ASN1_STRING_length(uri);
	char want[NAME_BYTES];
	size_t head = (size_t)snprintf(want, sizeof(want), "hs:%s/", role);

	if (head >= sizeof(want) || size <= head || memcmp(text, want, head))
		return false;
	text += head;
	size -= head;
	return !name || (size == 1 && *text == '*') ||
	       (size == strlen(name) && !memcmp(text, name, size));
}

static bool role_fits(X509 *cert, const char *role, const char *name)
{
	GENERAL_NAMES *names =
		X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	bool fits = false;

	for (int i = 0; i < sk_GENERAL_NAME_num(names) && !fits; i++) {
		const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);

		fits = n->type == GEN_URI &&
		       uri_fits(n->d.uniformResourceIdentifier, role, name);
	}
	GENERAL_NAMES_free(names);
	return fits;
}

const char *hs_tls_speaks_for(struct hs_tls *t, const char *role,
			      const char *name)
{
	X509 *cert = SSL_get0_peer_certificate(t->ssl);
	const char *said = name ? name : "...";

	if (!cert)
		return "it has no certificate";
	if (t->bind == HS_TLS_BIND_ROLE && !role_fits(cert, role, name))
		snprintf(t->reason, sizeof(t->reason),
			 "its certificate is not for %s/%s: no such "
			 "subjectAltName URI:hs:%s/%s",
			 role, said, role, said);
	else if (t->bind == HS_TLS_BIND_NAME && name &&
		 X509_check_host(cert, name, 0,
				 X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS,
				 NULL) != 1)
		snprintf(t->reason, sizeof(t->reason),
			 "its certificate is not for %s: no such "
			 "subjectAltName DNS:%s",
			 name, name);
	else
		return NULL;
	return t->reason;
}
