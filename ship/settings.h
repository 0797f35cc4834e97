/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: how slices travel, as agents and collectors say it in YAML. */
#ifndef HS_SHIP_SETTINGS_H
#define HS_SHIP_SETTINGS_H

#include <stdint.h>

#include "base/config.h"

enum hs_ship_carrier {
	HS_SHIP_CARRIER_TRANSPORT = 0, /* with the other messages */
	HS_SHIP_CARRIER_UDP = 1,
};

struct hs_ship_settings {
	int carrier; /* enum hs_ship_carrier */
	char *bind;
	struct hs_config_strings collectors; /* an agent's */
	uint64_t bytes_per_s;
	uint64_t frame_bytes; /* 0: what the way takes */
	int64_t dscp;
	int64_t nr_frames;	/* a collector's */
	int64_t nr_connections; /* a collector's */
};

extern const char *const hs_ship_carrier_names[];

#define HS_SHIP_KEY(s, field, p, t)                                            \
	.path = "ship." p, .type = HS_CONFIG_##t, .offset = offsetof(s, field)

/* Of a struct hs_ship_settings that is @field of settings @s. */
#define HS_SHIP_KEYS_BOTH(s, field)                                            \
	{HS_SHIP_KEY(s, field.carrier, "carrier", ENUM),                       \
	 .default_text = "transport", .choices = hs_ship_carrier_names,        \
	 .doc = "What carries slices: the transport that carries all other "   \
		"messages, or datagrams of the shipping protocol over UDP, "   \
		"with a rate, credit and pacing of their own. The same in "    \
		"agents and collectors."},                                     \
		{HS_SHIP_KEY(s, field.frame_bytes, "frame", SIZE),             \
		 .default_text = "0B", .max = 9216,                            \
		 .doc = "Largest datagram; 0B for what the way's MTU takes."}, \
	{                                                                      \
		HS_SHIP_KEY(s, field.dscp, "dscp", INT),                       \
			.default_text = "8", .max = 63,                        \
			.doc = "Differentiated services of the datagrams; 8 "  \
			       "is bulk."                                      \
	}

#define HS_SHIP_KEYS_AGENT(s, field)                                           \
	HS_SHIP_KEYS_BOTH(s, field),                                           \
		{HS_SHIP_KEY(s, field.bind, "bind", STRING),                   \
		 .default_text = "0.0.0.0:0",                                  \
		 .doc = "Address and port that datagrams leave from; [::]:0 "  \
			"for "                                                 \
			"IPv6."},                                              \
		{HS_SHIP_KEY(s, field.collectors, "collectors", STRINGS),      \
		 .max = 64, .example = "[127.0.0.1:7430]",                     \
		 .doc = "host:port of each collector's ship.bind."},           \
	{                                                                      \
		HS_SHIP_KEY(s, field.bytes_per_s, "rate", SIZE),               \
			.default_text = "0B",                                  \
			.doc = "Bytes a second to each collector, never "      \
			       "exceeded; 0B for no "                          \
			       "limit."                                        \
	}

#define HS_SHIP_KEYS_COLLECTOR(s, field)                                       \
	HS_SHIP_KEYS_BOTH(s, field),                                           \
		{HS_SHIP_KEY(s, field.bind, "bind", STRING),                   \
		 .default_text = "127.0.0.1:7430",                             \
		 .doc = "Where datagrams come in."},                           \
		{HS_SHIP_KEY(s, field.nr_frames, "frames", INT),               \
		 .default_text = "8192", .min = 256, .max = 1 << 20,           \
		 .doc = "Datagrams kept until the slices in them are whole, "  \
			"9 KiB "                                               \
			"each: what is granted to all agents together."},      \
	{                                                                      \
		HS_SHIP_KEY(s, field.nr_connections, "agents", INT),           \
			.default_text = "128", .min = 1, .max = 65536,         \
			.doc = "Agents that may ship at once; each is sure "   \
			       "of 64 of the "                                 \
			       "frames."                                       \
	}

#endif
