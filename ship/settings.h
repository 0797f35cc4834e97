/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: how slices travel, as agents and collectors say it in YAML. */
#ifndef HS_SHIP_SETTINGS_H
#define HS_SHIP_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/config.h"

enum hs_ship_carrier {
	HS_SHIP_CARRIER_TRANSPORT = 0, /* with the other messages */
	HS_SHIP_CARRIER_UDP = 1,
	HS_SHIP_CARRIER_DPDK = 2,
	HS_SHIP_CARRIER_TCP = 3,
	HS_SHIP_CARRIER_AUTO = 4, /* see hs_ship_carrier_choose() */
	HS_SHIP_CARRIER_LENT = 5, /* an agent's */
};

struct hs_ship_settings {
	int carrier; /* enum hs_ship_carrier */
	char *bind;
	struct hs_config_strings collectors; /* an agent's */
	char *vdev;
	char *pci;
	char *neighbours;
	int64_t cpu;
	int64_t mtu;
	bool copies;
	uint64_t bytes_per_s;
	uint64_t frame_bytes; /* 0: what the way takes */
	int64_t dscp;
	char *socket;			  /* an agent's, lent */
	int64_t socket_mode;		  /* the same */
	struct hs_config_strings lenders; /* the same */
	int64_t nr_frames;		  /* a collector's */
	int64_t nr_connections;		  /* a collector's */
};

extern const char *const hs_ship_carrier_names[];
extern const char *const hs_ship_collector_carrier_names[];

struct hs_ship_trust;
/**
 * hs_ship_carrier_choose() - which it is, where it is to be found out
 * @trust: of the transport; NULL: no TLS
 * @why: set, for people
 *
 * Of one cluster's configuration it makes the same at agents and collectors, or
 * what understands the other: with certificates tcp, as nothing else here is
 * encrypted; else the DPDK port or the lender that is described; else udp.
 */
enum hs_ship_carrier
hs_ship_carrier_choose(const struct hs_ship_settings *settings,
		       const struct hs_ship_trust *trust, const char **why);

struct hs_ship_port;
struct hs_ship_port_wants {
	enum hs_ship_carrier carrier; /* udp, tcp or dpdk */
	bool listens;		      /* a collector's */
	uint32_t nr_frames;	      /* that may be handed out at once */
	uint32_t buffer_bytes;	      /* of a socket; 0: the default */
	const struct hs_ship_trust *trust;
};
/**
 * hs_ship_port_make() - the port that the settings ask for
 * Return: NULL with *why, and errno perhaps, set.
 */
struct hs_ship_port *hs_ship_port_make(const struct hs_ship_settings *settings,
				       const struct hs_ship_port_wants *wants,
				       const char **why);

struct hs_ship_lent_config;
/**
 * hs_ship_lent_settings() - what the settings say of a lent port
 * @out: filled in but for watch and forget; points into @settings
 * Return: 0; -EINVAL with *why set. May ask for names of users.
 */
int hs_ship_lent_settings(const struct hs_ship_settings *settings,
			  struct hs_ship_lent_config *out, const char **why);

#define HS_SHIP_KEY(s, field, p, t)                                            \
	.path = "ship." p, .type = HS_CONFIG_##t, .offset = offsetof(s, field)

/* Of a struct hs_ship_settings that is @field of settings @s. */
#define HS_SHIP_KEYS_BOTH(s, field)                                            \
	{HS_SHIP_KEY(s, field.vdev, "vdev", STRING),                           \
	 .example = "\"net_af_packet0,iface=eth1\"",                           \
	 .doc = "dpdk: the port, as EAL's --vdev describes it."},              \
		{HS_SHIP_KEY(s, field.pci, "pci", STRING),                     \
		 .example = "0000:03:00.0",                                    \
		 .doc = "dpdk: the PCI device to use instead, bound to "       \
			"vfio-pci."},                                          \
		{HS_SHIP_KEY(s, field.neighbours, "neighbours", STRING),       \
		 .example = "\"192.0.2.7=02:00:00:00:00:07\"",                 \
		 .doc = "dpdk: who is where, when ARP, or neighbour "          \
			"discovery over IPv6, is not to be asked."},           \
		{HS_SHIP_KEY(s, field.cpu, "cpu", INT), .default_text = "0",   \
		 .max = 4095,                                                  \
		 .doc = "dpdk: the CPU that DPDK counts as its own."},         \
		{HS_SHIP_KEY(s, field.mtu, "mtu", INT),                        \
		 .default_text = "1500", .min = 576, .max = 9216,              \
		 .doc = "Of the port's network, where DPDK drives it; IPv6 "   \
			"needs 1280."},                                        \
		{HS_SHIP_KEY(s, field.copies, "copies", BOOL),                 \
		 .default_text = "false",                                      \
		 .doc = "dpdk: copy into DPDK's memory, for ports that "       \
			"cannot send "                                         \
			"any other: virtio_user."},                            \
		{HS_SHIP_KEY(s, field.frame_bytes, "frame", SIZE),             \
		 .default_text = "0B", .max = 9216,                            \
		 .doc = "Largest frame; 0B for what the way takes: its MTU, "  \
			"but for TCP."},                                       \
	{                                                                      \
		HS_SHIP_KEY(s, field.dscp, "dscp", INT),                       \
			.default_text = "8", .max = 63,                        \
			.doc = "Differentiated services of the datagrams; 8 "  \
			       "is bulk."                                      \
	}

#define HS_SHIP_KEYS_AGENT(s, field)                                           \
	{HS_SHIP_KEY(s, field.carrier, "carrier", ENUM),                       \
	 .default_text = "transport", .choices = hs_ship_carrier_names,        \
	 .doc = "What carries slices: the transport that carries all other "   \
		"messages; or frames of the shipping protocol, as datagrams "  \
		"over the kernel's UDP, through a DPDK port, or through one "  \
		"that an application of this node lends, which understand "    \
		"each other; or over a TCP connection of their own, with TLS " \
		"where transport.tls_cert is set. auto: tcp with "             \
		"certificates, else dpdk or lent if ship.vdev, ship.pci or "   \
		"ship.socket is set, else udp."},                              \
		HS_SHIP_KEYS_BOTH(s, field),                                   \
		{HS_SHIP_KEY(s, field.socket, "socket", STRING),               \
		 .example = "/run/hindsight/lend.sock",                        \
		 .doc = "lent: where the application that lends its port "     \
			"finds the agent (hs_lend_open())."},                  \
		{HS_SHIP_KEY(s, field.socket_mode, "mode", INT),               \
		 .default_text = "666",                                        \
		 .max = 777,                                                   \
		 .check = hs_config_is_mode,                                   \
		 .want = HS_CONFIG_WANT_MODE,                                  \
		 .doc = "lent: permissions of that socket, in octal."},        \
		{HS_SHIP_KEY(s, field.lenders, "lenders", STRINGS), .max = 16, \
		 .example = "[www-data, 1001]",                                \
		 .doc = "lent: users, by name or number, whose applications "  \
			"may lend a port, besides root and the agent's own. "  \
			"They see every slice of this node."},                 \
		{HS_SHIP_KEY(s, field.bind, "bind", STRING),                   \
		 .default_text = "0.0.0.0:0",                                  \
		 .doc = "Address and port that datagrams leave from, but for " \
			"TCP; [::]:0 "                                         \
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
	{HS_SHIP_KEY(s, field.carrier, "carrier", ENUM),                       \
	 .default_text = "transport",                                          \
	 .choices = hs_ship_collector_carrier_names,                           \
	 .doc = "What carries slices: the transport that carries all other "   \
		"messages; or frames of the shipping protocol, as datagrams "  \
		"over the kernel's UDP or through a DPDK port, which "         \
		"understand each other; or over TCP, with TLS where "          \
		"transport.tls_cert is set. auto: tcp with certificates, "     \
		"else dpdk if ship.vdev or ship.pci is set, else udp."},       \
		HS_SHIP_KEYS_BOTH(s, field),                                   \
		{HS_SHIP_KEY(s, field.bind, "bind", STRING),                   \
		 .default_text = "127.0.0.1:7430",                             \
		 .doc = "Where frames come in."},                              \
		{HS_SHIP_KEY(s, field.nr_frames, "frames", INT),               \
		 .default_text = "8192", .min = 256, .max = 1 << 20,           \
		 .doc = "Frames kept until the slices in them are whole, "     \
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
