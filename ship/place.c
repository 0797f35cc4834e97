/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see place.h. */
#include "ship/place.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <netinet/in.h>

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

bool hs_ship_ip_is_v4(const struct hs_ship_ip *ip)
{
	return !memcmp(ip->bytes, mapped, sizeof(mapped));
}

struct hs_ship_ip hs_ship_ip_v4(uint32_t v4)
{
	struct hs_ship_ip out;

	memcpy(out.bytes, mapped, sizeof(mapped));
	memcpy(out.bytes + sizeof(mapped), &v4, sizeof(v4));
	return out;
}

uint32_t hs_ship_ip_to_v4(const struct hs_ship_ip *ip)
{
	uint32_t out;

	memcpy(&out, ip->bytes + sizeof(mapped), sizeof(out));
	return out;
}

bool hs_ship_ip_is_host(const struct hs_ship_ip *ip)
{
	struct in6_addr in6;

	memcpy(&in6, ip->bytes, sizeof(in6));
	return !IN6_IS_ADDR_MULTICAST(&in6) && !IN6_IS_ADDR_UNSPECIFIED(&in6) &&
	       !IN6_IS_ADDR_LOOPBACK(&in6);
}

bool hs_ship_ip_parse(const char *text, struct hs_ship_ip *out)
{
	struct in_addr in;

	if (inet_pton(AF_INET, text, &in) == 1) {
		*out = hs_ship_ip_v4(in.s_addr);
		return true;
	}
	return inet_pton(AF_INET6, text, out->bytes) == 1 &&
	       hs_ship_ip_is_host(out) && !hs_ship_ip_is_v4(out);
}

bool hs_ship_place_parse(const char *text, struct hs_ship_place *out)
{
	const char *colon = strrchr(text, ':');
	char room[INET6_ADDRSTRLEN + 2], *host = room;
	unsigned long number;
	char *end;

	if (!colon || colon == text || (size_t)(colon - text) >= sizeof(room))
		return false;
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = 0;
	if (host[0] == '[' && host[colon - text - 1] == ']') {
		host[colon - text - 1] = 0;
		host++;
	} else if (strchr(host, ':')) {
		return false; /* which of the colons is the port's? */
	}
	number = strtoul(colon + 1, &end, 10);
	if (!hs_ship_ip_parse(host, &out->ip) || end == colon + 1 || *end ||
	    number == 0 || number > 65535)
		return false;
	out->port = htons((uint16_t)number);
	return true;
}

void hs_ship_place_text(const struct hs_ship_place *place,
			char out[HS_SHIP_PLACE_TEXT_BYTES])
{
	bool v4 = hs_ship_ip_is_v4(&place->ip);
	char host[INET6_ADDRSTRLEN];

	inet_ntop(v4 ? AF_INET : AF_INET6,
		  v4 ? place->ip.bytes + sizeof(mapped) : place->ip.bytes, host,
		  sizeof(host));
	snprintf(out, HS_SHIP_PLACE_TEXT_BYTES, v4 ? "%s:%u" : "[%s]:%u", host,
		 ntohs(place->port));
}
