/* SPDX-License-Identifier: Apache-2.0 */
/*
 * carrier_tls.c - the suite over TCP with TLS, a certificate for each side
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/tls.h"
#include "tests/rdma/carrier.h"
#include "tests/rdma/certs.h"

#define SIDES_MAX 4
#define YEAR_S	  (365L * 86400)

static struct certs_files ca, certs[SIDES_MAX];
static char dir[] = "/tmp/hs-tls-XXXXXX";

static void sweep(void)
{
	for (int i = 0; i < SIDES_MAX; i++) {
		remove(certs[i].cert);
		remove(certs[i].key);
	}
	remove(ca.cert);
	remove(ca.key);
	remove(dir);
}

static int open_tls(void)
{
	if (!mkdtemp(dir))
		return 1;
	ca = certs_make(dir, "ca", NULL, NULL, -60, YEAR_S);
	for (int i = 0; i < SIDES_MAX; i++) {
		char name[16], san[128];

		snprintf(name, sizeof(name), "side-%d", i);
		snprintf(san, sizeof(san),
			 "URI:hs:agent/%s,URI:hs:coordinator/%s,"
			 "URI:hs:collector/*",
			 name, name);
		certs[i] = certs_make(dir, name, san, &ca, -60, YEAR_S);
	}
	atexit(sweep);
	return 0;
}

static struct hs_transport *create(int side,
				   const struct hs_transport_self *self,
				   const struct hs_transport_limits *limits,
				   const struct hs_transport_events *events,
				   void *ctx)
{
	struct hs_transport_self with = *self;

	with.trust.tls_ca = ca.cert;
	with.trust.tls_cert = certs[side].cert;
	with.trust.tls_key = certs[side].key;
	with.trust.tls_bind = HS_TLS_BIND_ROLE;
	return hs_transport_tcp_create(&with, limits, events, ctx);
}

static void host(int side, char *out, size_t size_bytes)
{
	snprintf(out, size_bytes, "127.0.0.1");
}

static const char *check(void)
{
	return NULL;
}

const struct carrier carrier = {"tls", open_tls,	   create,    host,
				check, 100 * HS_NS_PER_MS, 0x7f000001};
