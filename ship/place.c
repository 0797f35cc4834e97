/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see place.h. */
#include "ship/place.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <netinet/in.h>

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

bool hs_ship_ip_is_v4(const uint8_t ip[16])
{
	return !memcmp(ip, mapped, sizeof(mapped));
}

void hs_ship_ip_v4(uint32_t v4, uint8_t ip[16])
{
	memcpy(ip, mapped, sizeof(mapped));
	memcpy(ip + sizeof(mapped), &v4, sizeof(v4));
}

bool hs_ship_ip_is_host(const uint8_t ip[16])
{
	struct in6_addr in6;

	memcpy(&in6, ip, sizeof(in6));
	return !IN6_IS_ADDR_MULTICAST(&in6) && !IN6_IS_ADDR_UNSPECIFIED(&in6) &&
	       !IN6_IS_ADDR_LOOPBACK(&in6);
}

bool hs_ship_ip_parse(const char *text, uint8_t ip[16])
{
	struct in_addr in;

	if (inet_pton(AF_INET, text, &in) == 1) {
		hs_ship_ip_v4(in.s_addr, ip);
		return true;
	}
	return inet_pton(AF_INET6, text, ip) == 1 && hs_ship_ip_is_host(ip) &&
	       !hs_ship_ip_is_v4(ip);
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
	if (!hs_ship_ip_parse(host, out->ip) || end == colon + 1 || *end ||
	    number == 0 || number > 65535)
		return false;
	out->port = htons((uint16_t)number);
	return true;
}

void hs_ship_place_text(const struct hs_ship_place *place,
			char out[HS_SHIP_PLACE_TEXT_BYTES])
{
	bool v4 = hs_ship_ip_is_v4(place->ip);
	char host[INET6_ADDRSTRLEN];

	inet_ntop(v4 ? AF_INET : AF_INET6,
		  v4 ? place->ip + sizeof(mapped) : place->ip, host,
		  sizeof(host));
	snprintf(out, HS_SHIP_PLACE_TEXT_BYTES, v4 ? "%s:%u" : "[%s]:%u", host,
		 ntohs(place->port));
}
