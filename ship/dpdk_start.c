/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: making a DPDK port: what it can, its memory, who is where. */
#include "ship/dpdk_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_errno.h>

#define FRAMES_FEW     2048u
#define LINK_LOOKS_A_S 100u
#define ASK_S	       1u /* RFC 1122, 2.3.2.1: no more often */
#define ASK_ANEW_S     10u
/* Of a frame of af_packet's ring, at most: tpacket2_hdr, sockaddr_ll, Ethernet.
 */
#define AF_PACKET_HEAD_BYTES 128u

static int pools_make(struct hs_dpdk_port *d, uint32_t nr_frames)
{
	d->frames = rte_pktmbuf_pool_create(
		"frames", nr_frames + FRAMES_FEW + 2 * HS_DPDK_DESCRIPTORS, 256,
		0, RTE_PKTMBUF_HEADROOM + HS_DPDK_ROOM_BYTES, SOCKET_ID_ANY);
	return d->frames ? hs_dpdk_lend_make(&d->lend, d->id) : -rte_errno;
}

/* af_packet sends what its device takes and its ring's frames hold. */
static bool af_packet_takes(const struct rte_eth_dev_info *info,
			    const char *vdev, uint16_t want)
{
	const char *size = vdev ? strstr(vdev, "framesz=") : NULL;
	unsigned long frame_bytes = size ? strtoul(size + 8, NULL, 10) : 2048;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq req = {0};
	bool takes;

	takes = fd >= 0 && if_indextoname(info->if_index, req.ifr_name) &&
		!ioctl(fd, SIOCGIFMTU, &req) && req.ifr_mtu >= want &&
		frame_bytes >= want + AF_PACKET_HEAD_BYTES;
	if (fd >= 0)
		close(fd);
	return takes;
}

/*
 * The driver may refuse a length that it cannot set; then its own holds. memif
 * and af_packet claim 1518 whatever their buffers are.
 */
static int mtu_set(struct hs_dpdk_port *d, const struct rte_eth_dev_info *info,
		   const char *vdev, uint16_t want)
{
	if (!strcmp(info->driver_name, "net_memif") ||
	    (!strcmp(info->driver_name, "net_af_packet") &&
	     af_packet_takes(info, vdev, want))) {
		d->mtu = want;
		return 0;
	}
	(void)rte_eth_dev_set_mtu(d->id, want);
	return rte_eth_dev_get_mtu(d->id, &d->mtu);
}

/* How it says which of its packets are done: see dpdk_lend.h. */
static bool asks_descriptors(const struct rte_eth_dev_info *info)
{
	return !strcmp(info->driver_name, "net_e1000_em");
}

/*
 * UDP's checksum over IPv6. A device reads the bytes once and sums what it
 * sends; where we sum, or a driver does, a producer may change them in between,
 * and a frame that never fits would hold up all that stand behind it. So these
 * go as copies.
 */
static void sums_choose(struct hs_dpdk_port *d,
			const struct hs_ship_dpdk_config *config,
			const struct rte_eth_dev_info *info,
			struct rte_eth_conf *conf)
{
	if (hs_ship_ip_is_v4(&d->net.own.ip))
		return;
	/* What is asked for descriptors counts one a segment. */
	d->net.device_sums =
		config->pci && !asks_descriptors(info) &&
		(info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_UDP_CKSUM);
	if (!d->net.device_sums) {
		d->borrow = false;
		return;
	}
	conf->txmode.offloads |= RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
	conf->rxmode.offloads |=
		info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
}

/* Where freed mbufs cannot be asked for, each packet's descriptor says when it
 * is done: it has to be written back for each. */
static int tx_setup(struct hs_dpdk_port *d, const struct rte_eth_dev_info *info)
{
	struct rte_eth_txconf conf = info->default_txconf;

	d->lend.asks = asks_descriptors(info);
	if (d->lend.asks)
		conf.tx_rs_thresh = 1;
	return rte_eth_tx_queue_setup(d->id, 0, HS_DPDK_DESCRIPTORS,
				      SOCKET_ID_ANY, &conf);
}

/* What others ask who we are goes to a group of few. */
static int group_join(struct hs_dpdk_port *d, const char **why)
{
	struct rte_ether_addr group;
	int rc;

	*why = "IPv6 needs an MTU of 1280 at least";
	if (d->mtu < RTE_IPV6_MIN_MTU)
		return -EMSGSIZE;
	*why = "the port takes no packets of the group that IPv6 asks in";
	hs_dpdk_ip6_group(&d->net, &group);
	rc = rte_eth_dev_set_mc_addr_list(d->id, &group, 1);
	if (rc)
		rc = rte_eth_allmulticast_enable(d->id);
	if (rc)
		rc = rte_eth_promiscuous_enable(d->id);
	/* Who has nothing to set has no filter: memif. */
	return rc == -ENOTSUP ? 0 : rc;
}

static int start(struct hs_dpdk_port *d,
		 const struct hs_ship_dpdk_config *config, const char **why)
{
	struct rte_eth_conf conf = {0};
	struct rte_eth_dev_info info;
	int rc;

	*why = "the port does not say what it can";
	rc = rte_eth_dev_info_get(d->id, &info);
	if (rc)
		return rc;
	conf.txmode.offloads =
		info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	if (info.max_mtu >= config->mtu &&
	    info.max_rx_pktlen >= config->mtu + sizeof(struct rte_ether_hdr))
		conf.rxmode.mtu = config->mtu;
	sums_choose(d, config, &info, &conf);
	*why = "the port takes no such configuration";
	rc = rte_eth_dev_configure(d->id, 1, 1, &conf);
	if (!rc)
		rc = rte_eth_rx_queue_setup(d->id, 0, HS_DPDK_DESCRIPTORS,
					    SOCKET_ID_ANY, NULL, d->frames);
	if (!rc)
		rc = tx_setup(d, &info);
	if (!rc)
		rc = mtu_set(d, &info, config->vdev, config->mtu);
	if (!rc)
		rc = rte_eth_dev_start(d->id);
	if (!rc)
		rc = rte_eth_macaddr_get(d->id, &d->net.mac);
	return rc || hs_ship_ip_is_v4(&d->net.own.ip) ? rc : group_join(d, why);
}

/* "IP=MAC", once a word. */
static bool neighbour_add(struct hs_dpdk_port *d, const char *text)
{
	struct hs_dpdk_neighbour *to;
	char ip[INET6_ADDRSTRLEN];
	const char *equals = strchr(text, '=');
	struct hs_ship_ip at;

	if (!equals || (size_t)(equals - text) >= sizeof(ip))
		return false;
	memcpy(ip, text, (size_t)(equals - text));
	ip[equals - text] = 0;
	if (!hs_ship_ip_parse(ip, &at) ||
	    hs_ship_ip_is_v4(&at) != hs_ship_ip_is_v4(&d->net.own.ip))
		return false;
	to = hs_dpdk_neighbour(&d->net, &at);
	if (!to || rte_ether_unformat_addr(equals + 1, &to->mac))
		return false;
	to->known = to->fixed = true;
	return true;
}

static int neighbours_add(struct hs_dpdk_port *d, const char *list,
			  const char **why)
{
	char text[80];

	*why = "neighbours should be IP=MAC, separated by blanks, all of the "
	       "family that ship.bind has";
	while (list && *list) {
		size_t n = strcspn(list, " ");

		if (n >= sizeof(text))
			return -EINVAL;
		memcpy(text, list, n);
		text[n] = 0;
		if (n && !neighbour_add(d, text))
			return -EINVAL;
		list += n + (list[n] == ' ');
	}
	return 0;
}

int hs_dpdk_port_start(struct hs_dpdk_port *d,
		       const struct hs_ship_dpdk_config *config,
		       const char **why)
{
	int rc;

	*why = "bind should be an address and a port, as 192.0.2.1:7430 or "
	       "[2001:db8::1]:7430";
	if (!hs_ship_place_parse(config->bind, &d->net.own))
		return -EINVAL;
	d->net.dscp = config->dscp;
	rc = hs_dpdk_eal_start(config, why);
	if (rc)
		return rc;
	*why = "DPDK found no port of that description";
	if (!rte_eth_dev_count_avail())
		return -ENODEV;
	d->id = rte_eth_find_next(0);
	d->borrow = config->borrow;
	d->ask_tsc = rte_get_tsc_hz() * ASK_S;
	d->ask_anew_tsc = rte_get_tsc_hz() * ASK_ANEW_S;
	d->mld.hz = rte_get_tsc_hz();
	d->link_every_tsc = rte_get_tsc_hz() / LINK_LOOKS_A_S;
	*why = "no memory for mbufs";
	rc = pools_make(d, config->nr_frames);
	if (!rc)
		rc = neighbours_add(d, config->neighbours, why);
	return rc ? rc : start(d, config, why);
}
