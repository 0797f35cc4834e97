/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see mac.h. */
#include "base/mac.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/random.h"

#define INFO_MAX_BYTES 512u

struct hs_mac {
	EVP_MAC *siphash;
	EVP_MAC_CTX *context;
};

struct hs_mac *hs_mac_create(void)
{
	struct hs_mac *m = calloc(1, sizeof(*m));
	size_t tag_bytes = HS_MAC_TAG_BYTES;
	const OSSL_PARAM size[] = {
		OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &tag_bytes),
		OSSL_PARAM_construct_end(),
	};

	if (!m)
		return NULL;
	m->siphash = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
	m->context = EVP_MAC_CTX_new(m->siphash);
	if (m->context && EVP_MAC_CTX_set_params(m->context, size) == 1)
		return m;
	hs_mac_destroy(m);
	return NULL;
}

void hs_mac_destroy(struct hs_mac *m)
{
	if (!m)
		return;
	EVP_MAC_CTX_free(m->context);
	EVP_MAC_free(m->siphash);
	free(m);
}

void hs_mac_tag(struct hs_mac *m, const uint8_t key[HS_MAC_KEY_BYTES],
		const struct iovec *pieces, int nr_pieces,
		uint8_t tag[HS_MAC_TAG_BYTES])
{
	size_t got = 0;
	int good = EVP_MAC_init(m->context, key, HS_MAC_KEY_BYTES, NULL);

	for (int i = 0; i < nr_pieces && good == 1; i++)
		if (pieces[i].iov_len)
			good = EVP_MAC_update(m->context, pieces[i].iov_base,
					      pieces[i].iov_len);
	if (good == 1)
		good = EVP_MAC_final(m->context, tag, &got, HS_MAC_TAG_BYTES);
	if (good == 1 && got == HS_MAC_TAG_BYTES)
		return;
	/* A tag that can be guessed is worse than none. */
	hs_check(hs_random_secure(tag, HS_MAC_TAG_BYTES) == 0);
}

bool hs_mac_same(const uint8_t a[HS_MAC_TAG_BYTES],
		 const uint8_t b[HS_MAC_TAG_BYTES])
{
	return CRYPTO_memcmp(a, b, HS_MAC_TAG_BYTES) == 0;
}

int hs_mac_derive(const void *key, size_t key_bytes, const void *salt,
		  size_t salt_bytes, const void *info, size_t info_bytes,
		  void *out, size_t out_bytes)
{
	OSSL_PARAM params[5], *p = params;
	char digest[] = "SHA256";
	EVP_KDF *hkdf;
	EVP_KDF_CTX *context;
	int rc = -ENOMEM;

	if (info_bytes > INFO_MAX_BYTES)
		return -EINVAL;
	hkdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	context = EVP_KDF_CTX_new(hkdf);
	*p++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest,
						0);
	*p++ = OSSL_PARAM_construct_octet_string(
		OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)key, key_bytes);
	if (salt_bytes)
		*p++ = OSSL_PARAM_construct_octet_string(
			OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)salt,
			salt_bytes);
	*p++ = OSSL_PARAM_construct_octet_string(
		OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)info, info_bytes);
	*p = OSSL_PARAM_construct_end();
	if (context)
		rc = EVP_KDF_derive(context, out, out_bytes, params) == 1
			     ? 0
			     : -EIO;
	EVP_KDF_CTX_free(context);
	EVP_KDF_free(hkdf);
	return rc;
}
