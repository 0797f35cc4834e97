/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: hs-perf auth: what a tag costs a message, beside the checksum whose
 * place it takes and the other primitives that libcrypto has (ADR 33).
 *
 * Contexts and keys are made once, as a connection does; each message goes in
 * two pieces, header and payload.
 */
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "bench/bench.h"
#include "rdma/auth.h"

#define HEAD_BYTES sizeof(struct hs_wire_header)
#define LARGEST	   (16u << 10)

struct subject {
	uint8_t *message;
	size_t payload_bytes;
	struct hs_auth auth;
	struct hs_mac *mac;
	EVP_CIPHER_CTX *gcm;
	uint64_t nonce;
	EVP_MAC_CTX *macs[3];
	uint8_t key[32];
	uint8_t tag[64];
	uint32_t crc;
};

enum other { HMAC, BLAKE2S, POLY1305 };

static void need(bool good)
{
	if (!good)
		abort();
}

static void ours(void *context, uint32_t n)
{
	struct subject *s = context;
	const struct iovec pieces[2] = {
		{s->message, HEAD_BYTES},
		{s->message + HEAD_BYTES, s->payload_bytes}};

	for (uint32_t i = 0; i < n; i++)
		hs_auth_seal(&s->auth, s->mac, pieces, 2, s->tag);
}

static void checksum(void *context, uint32_t n)
{
	struct subject *s = context;

	for (uint32_t i = 0; i < n; i++)
		s->crc +=
			hs_crc32c(0, s->message + HEAD_BYTES, s->payload_bytes);
}

static void gmac(void *context, uint32_t n)
{
	struct subject *s = context;
	uint8_t iv[12] = {0};
	int got, good = 1;

	for (uint32_t i = 0; i < n; i++) {
		s->nonce++;
		memcpy(iv, &s->nonce, sizeof(s->nonce));
		good &= EVP_EncryptInit_ex(s->gcm, NULL, NULL, NULL, iv);
		good &= EVP_EncryptUpdate(s->gcm, NULL, &got, s->message,
					  (int)HEAD_BYTES);
		good &= EVP_EncryptUpdate(s->gcm, NULL, &got,
					  s->message + HEAD_BYTES,
					  (int)s->payload_bytes);
		good &= EVP_EncryptFinal_ex(s->gcm, s->tag, &got);
		good &= EVP_CIPHER_CTX_ctrl(s->gcm, EVP_CTRL_AEAD_GET_TAG, 16,
					    s->tag);
	}
	need(good == 1);
}

static void by_mac(struct subject *s, enum other which, uint32_t n)
{
	EVP_MAC_CTX *m = s->macs[which];
	/* A key for each message, or Poly1305 gives its key away. */
	const uint8_t *key = which == POLY1305 ? s->key : NULL;
	size_t got;
	int good = 1;

	for (uint32_t i = 0; i < n; i++) {
		good &= EVP_MAC_init(m, key, key ? sizeof(s->key) : 0, NULL);
		good &= EVP_MAC_update(m, s->message, HEAD_BYTES);
		good &= EVP_MAC_update(m, s->message + HEAD_BYTES,
				       s->payload_bytes);
		good &= EVP_MAC_final(m, s->tag, &got, sizeof(s->tag));
	}
	need(good == 1);
}

static void hmac(void *context, uint32_t n)
{
	by_mac(context, HMAC, n);
}

static void blake2s(void *context, uint32_t n)
{
	by_mac(context, BLAKE2S, n);
}

static void poly1305(void *context, uint32_t n)
{
	by_mac(context, POLY1305, n);
}

static void make(struct subject *s)
{
	static const char *const names[] = {"HMAC", "BLAKE2SMAC", "POLY1305"};
	char digest[] = "SHA256";
	const OSSL_PARAM sha[] = {OSSL_PARAM_construct_utf8_string(
					  OSSL_MAC_PARAM_DIGEST, digest, 0),
				  OSSL_PARAM_construct_end()};

	memset(s, 0, sizeof(*s));
	s->key[0] = 1;
	s->message = calloc(1, HEAD_BYTES + LARGEST);
	s->mac = hs_mac_create();
	s->gcm = EVP_CIPHER_CTX_new();
	need(s->message && s->mac && s->gcm);
	need(EVP_EncryptInit_ex(s->gcm, EVP_aes_128_gcm(), NULL, s->key,
				s->tag) == 1);
	for (int i = 0; i < 3; i++) {
		EVP_MAC *m = EVP_MAC_fetch(NULL, names[i], NULL);

		s->macs[i] = EVP_MAC_CTX_new(m);
		EVP_MAC_free(m);
		need(s->macs[i] &&
		     EVP_MAC_init(s->macs[i], s->key, sizeof(s->key),
				  i == HMAC ? sha : NULL) == 1);
	}
}

static void unmake(struct subject *s)
{
	for (int i = 0; i < 3; i++)
		EVP_MAC_CTX_free(s->macs[i]);
	EVP_CIPHER_CTX_free(s->gcm);
	hs_mac_destroy(s->mac);
	free(s->message);
}

int hs_perf_auth(int argc, char **argv)
{
	static const struct {
		const char *name;
		size_t payload_bytes;
		uint32_t turn;
	} sizes[] = {{"auth_100B", 100, 5000},
		     {"auth_1kB", 1000, 2000},
		     {"auth_16kB", LARGEST, 200}};
	struct hs_bench_report report = {0};
	struct subject s;
	int rc;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") != 0) {
			fprintf(stderr, "usage: hs-perf auth [--json]\n");
			return 2;
		}
		report.json = true;
	}
	make(&s);
	for (size_t i = 0; i < 3; i++) {
		const struct hs_bench_op ops[] = {
			{.name = "tag",
			 .run = ours,
			 .context = &s,
			 .on_cpu = true},
			{.name = "crc32c",
			 .run = checksum,
			 .context = &s,
			 .on_cpu = true},
			{.name = "aes128_gmac",
			 .run = gmac,
			 .context = &s,
			 .on_cpu = true},
			{.name = "hmac_sha256",
			 .run = hmac,
			 .context = &s,
			 .on_cpu = true},
			{.name = "blake2s",
			 .run = blake2s,
			 .context = &s,
			 .on_cpu = true},
			{.name = "poly1305",
			 .run = poly1305,
			 .context = &s,
			 .on_cpu = true},
		};

		s.payload_bytes = sizes[i].payload_bytes;
		hs_bench_turns(hs_bench_add(&report, sizes[i].name, "ns"), ops,
			       6, sizes[i].turn, 15);
	}
	unmake(&s);
	rc = hs_bench_print(&report, stdout);
	hs_bench_free(&report);
	return rc;
}
