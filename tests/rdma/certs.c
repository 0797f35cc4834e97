/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see certs.h. */
#include "tests/rdma/certs.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void need(int good)
{
	if (good)
		return;
	fprintf(stderr, "certs: libcrypto made no certificate\n");
	exit(1);
}

static FILE *create(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");

	need(f != NULL);
	return f;
}

static void extend(X509 *cert, int nid, const char *value)
{
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	need(e && X509_add_ext(cert, e, -1));
	X509_EXTENSION_free(e);
}

/* The authority's key and certificate. */
static void load(const struct certs_files *ca, EVP_PKEY **key, X509 **cert)
{
	FILE *f = fopen(ca->key, "r");

	need(f != NULL);
	*key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
	fclose(f);
	f = fopen(ca->cert, "r");
	need(f != NULL);
	*cert = PEM_read_X509(f, NULL, NULL, NULL);
	fclose(f);
	need(*key && *cert);
}

static void save(const struct certs_files *out, EVP_PKEY *key, X509 *cert)
{
	FILE *f = create(out->key);

	need(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL));
	fclose(f);
	f = create(out->cert);
	need(PEM_write_X509(f, cert));
	fclose(f);
}

struct certs_files certs_make(const char *dir, const char *name,
			      const char *san, const struct certs_files *ca,
			      long from_s, long to_s)
{
	static long serial;
	EVP_PKEY *key = EVP_EC_gen("P-256"), *signer = NULL;
	X509 *cert = X509_new(), *issuer = NULL;
	struct certs_files out;

	snprintf(out.cert, sizeof(out.cert), "%s/%s.pem", dir, name);
	snprintf(out.key, sizeof(out.key), "%s/%s.key", dir, name);
	need(key && cert && X509_set_version(cert, 2));
	need(ASN1_INTEGER_set(X509_get_serialNumber(cert), ++serial));
	need(X509_NAME_add_entry_by_txt(
		X509_get_subject_name(cert), "CN", MBSTRING_ASC,
		(const unsigned char *)name, -1, -1, 0));
	need(X509_gmtime_adj(X509_getm_notBefore(cert), from_s) != NULL);
	need(X509_gmtime_adj(X509_getm_notAfter(cert), to_s) != NULL);
	need(X509_set_pubkey(cert, key));
	if (ca)
		load(ca, &signer, &issuer);
	need(X509_set_issuer_name(
		cert, X509_get_subject_name(issuer ? issuer : cert)));
	if (!ca)
		extend(cert, NID_basic_constraints, "critical,CA:TRUE");
	if (san)
		extend(cert, NID_subject_alt_name, san);
	need(X509_sign(cert, signer ? signer : key, EVP_sha256()));
	save(&out, key, cert);
	X509_free(issuer);
	X509_free(cert);
	EVP_PKEY_free(signer);
	EVP_PKEY_free(key);
	return out;
}
