/* SPDX-License-Identifier: Apache-2.0 */
/*
 * address.h - "host:port" and "[v6]:port" to socket addresses
 */
#ifndef HS_ADDRESS_H
#define HS_ADDRESS_H

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

#define HS_ADDRESS_BYTES 280 /* the longest text, NUL included */
#define HS_ADDRESSES_MAX 8

struct hs_addresses {
	struct sockaddr_storage at[HS_ADDRESSES_MAX];
	socklen_t size_bytes[HS_ADDRESSES_MAX];
	uint32_t nr;
};

/**
 * hs_address_check() - is the text of the right shape?
 * @text: "host:port" or "[v6]:port", the port a number up to 65535
 *
 * Return: 0; -EINVAL.
 */
int hs_address_check(const char *text);

/**
 * hs_address_resolve() - what the text stands for now
 * @text: as above
 * @passive: to listen on it
 * @out: at most HS_ADDRESSES_MAX of them
 *
 * Context: a numeric host answers at once; a name may wait for DNS.
 * Return: 0; -EINVAL: its shape; -EADDRNOTAVAIL: no such host now.
 */
int hs_address_resolve(const char *text, int passive, struct hs_addresses *out);

#endif
