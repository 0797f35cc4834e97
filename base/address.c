/* SPDX-License-Identifier: Apache-2.0 */
/*
 * address.c - see address.h
 */
#include "base/address.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

/* Both parts end up NUL-terminated within @host; *@port points behind. */
static int split(const char *text, char host[HS_ADDRESS_BYTES],
		 const char **port)
{
	size_t size = strnlen(text, HS_ADDRESS_BYTES);
	char *colon;
	unsigned long number;
	char *end;

	if (size == 0 || size == HS_ADDRESS_BYTES)
		return -EINVAL;
	memcpy(host, text, size + 1);
	colon = strrchr(host, ':');
	if (!colon || colon == host || !colon[1] || strlen(colon + 1) > 5)
		return -EINVAL;
	number = strtoul(colon + 1, &end, 10);
	if (*end || colon[1] < '0' || colon[1] > '9' || number > 65535)
		return -EINVAL;
	*port = colon + 1;
	*colon = '\0';
	if (host[0] == '[') {
		if (colon[-1] != ']' || colon - host < 4)
			return -EINVAL;
		colon[-1] = '\0';
		memmove(host, host + 1, (size_t)(colon - host) - 1);
	} else if (strchr(host, ':')) {
		return -EINVAL; /* a bare v6 address: which colon is ours? */
	}
	return 0;
}

int hs_address_check(const char *text)
{
	char host[HS_ADDRESS_BYTES];
	const char *port;

	return split(text, host, &port);
}

int hs_address_resolve(const char *text, int passive, struct hs_addresses *out)
{
	struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICSERV | AI_NUMERICHOST |
			    (passive ? AI_PASSIVE : 0),
	};
	char host[HS_ADDRESS_BYTES];
	struct addrinfo *list = NULL;
	const char *port;
	int rc = split(text, host, &port);

	if (rc)
		return rc;
	out->nr = 0;
	if (getaddrinfo(host, port, &hints, &list) != 0) {
		hints.ai_flags &= ~AI_NUMERICHOST;
		if (getaddrinfo(host, port, &hints, &list) != 0)
			return -EADDRNOTAVAIL;
	}
	for (struct addrinfo *a = list; a; a = a->ai_next) {
		if (out->nr == HS_ADDRESSES_MAX ||
		    a->ai_addrlen > sizeof(out->at[0]))
			break;
		memcpy(&out->at[out->nr], a->ai_addr, a->ai_addrlen);
		out->size_bytes[out->nr++] = a->ai_addrlen;
	}
	freeaddrinfo(list);
	return out->nr ? 0 : -EADDRNOTAVAIL;
}
