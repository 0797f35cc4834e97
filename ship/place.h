/* SPDX-License-Identifier: Apache-2.0 */
/*
 * place.h - where a datagram goes, or comes from, where no kernel knows of it:
 * an address of a host, and a UDP port
 *
 * Guarantees: no I/O. Places are compared byte for byte, so there is no
 * padding.
 */
#ifndef HS_SHIP_PLACE_H
#define HS_SHIP_PLACE_H

#include <stdbool.h>
#include <stdint.h>

/* IPv6, or IPv4 as ::ffff:a.b.c.d. */
struct hs_ship_ip {
	uint8_t bytes[16];
};

struct hs_ship_place {
	struct hs_ship_ip ip;
	uint16_t port; /* in network order */
};
_Static_assert(sizeof(struct hs_ship_place) == 18, "place");

/** hs_ship_ip_parse() - "a.b.c.d" or IPv6 of a host. false: it is none */
bool hs_ship_ip_parse(const char *text, struct hs_ship_ip *out);
/** hs_ship_place_parse() - "a.b.c.d:port", "[v6]:port". false: it is none */
bool hs_ship_place_parse(const char *text, struct hs_ship_place *out);
bool hs_ship_ip_is_v4(const struct hs_ship_ip *ip);
/** hs_ship_ip_v4() - ::ffff:a.b.c.d of one in network order */
struct hs_ship_ip hs_ship_ip_v4(uint32_t v4);
/** hs_ship_ip_to_v4() - that one, if it is of IPv4 */
uint32_t hs_ship_ip_to_v4(const struct hs_ship_ip *ip);
/** hs_ship_ip_is_host() - neither a group nor nobody, nor only this machine */
bool hs_ship_ip_is_host(const struct hs_ship_ip *ip);

#define HS_SHIP_PLACE_TEXT_BYTES 56u
/** hs_ship_place_text() - as hs_ship_place_parse() takes it */
void hs_ship_place_text(const struct hs_ship_place *place,
			char out[HS_SHIP_PLACE_TEXT_BYTES]);

#endif
