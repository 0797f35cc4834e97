/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verbs_ports.c - the devices and ports that there are, and what to dial from
 *
 * Looked at when the transport is made, and again before a dial that has failed
 * where a device's event told of a change, or a minute has passed. An address
 * of a port is a GID that stands for one, and of an InfiniBand port one of its
 * interfaces' (verbs_ipoib.h); its network is what the kernel says of its
 * interfaces. A device of software, which is attached to nothing itself,
 * is where its interface is. Which port is taken is verbs_near.c's.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "numa/numa.h"
#include "rdma/verbs.h"
#include "rdma/verbs_ipoib.h"

#define GID_INDEX_MAX 32
#define LOOK_NS	      (60 * HS_NS_PER_SEC)

/* The address that a GID stands for; false: none that we could dial from. */
static bool gid_address(const union ibv_gid *gid, struct sockaddr_storage *out)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;

	memset(out, 0, sizeof(*out));
	if (!memcmp(gid->raw, mapped, sizeof(mapped))) {
		v4->sin_family = AF_INET;
		memcpy(&v4->sin_addr, gid->raw + 12, 4);
		return true;
	}
	/* Link-local ones name no route. */
	if ((gid->raw[0] & 0xfe) == 0xfe || gid->raw[0] == 0)
		return false;
	v6->sin6_family = AF_INET6;
	memcpy(&v6->sin6_addr, gid->raw, 16);
	return true;
}

/* One that can be dialled from; false: none. */
static bool interface_address(const struct sockaddr *at,
			      struct sockaddr_storage *out)
{
	memset(out, 0, sizeof(*out));
	if (at && at->sa_family == AF_INET) {
		struct sockaddr_in *v4 = (struct sockaddr_in *)out;

		v4->sin_family = AF_INET;
		v4->sin_addr = ((const struct sockaddr_in *)at)->sin_addr;
		return true;
	}
	if (at && at->sa_family == AF_INET6) {
		struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;

		v6->sin6_family = AF_INET6;
		v6->sin6_addr = ((const struct sockaddr_in6 *)at)->sin6_addr;
		return !IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr);
	}
	return false;
}

static bool same_address(const struct sockaddr_storage *a,
			 const struct sockaddr *b)
{
	if (!b || b->sa_family != a->ss_family)
		return false;
	if (b->sa_family == AF_INET)
		return ((const struct sockaddr_in *)a)->sin_addr.s_addr ==
		       ((const struct sockaddr_in *)b)->sin_addr.s_addr;
	return !memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr,
		       &((const struct sockaddr_in6 *)b)->sin6_addr, 16);
}

static const struct ifaddrs *interface_of(const struct ifaddrs *list,
					  const struct sockaddr_storage *at)
{
	while (list && !same_address(at, list->ifa_addr))
		list = list->ifa_next;
	return list;
}

static uint32_t mask_bits(const struct sockaddr *mask)
{
	const uint8_t *at;
	uint32_t nr = 0;
	size_t size = 4;

	if (!mask)
		return 0;
	at = (const uint8_t *)&((const struct sockaddr_in *)mask)->sin_addr;
	if (mask->sa_family == AF_INET6) {
		at = ((const struct sockaddr_in6 *)mask)->sin6_addr.s6_addr;
		size = 16;
	}
	for (size_t i = 0; i < size; i++)
		nr += (uint32_t)__builtin_popcount(at[i]);
	return nr;
}

/* The same address stands in the table once for each version of RoCE. */
static bool is_known(const struct hs_verbs_port *p,
		     const struct sockaddr_storage *at)
{
	for (uint32_t i = 0; i < p->nr_addresses; i++)
		if (same_address(&p->addresses[i].at,
				 (const struct sockaddr *)at))
			return true;
	return false;
}

/* Only by its interfaces: any prefix may be a subnet's, an address's too. */
static void look_at_interfaces(const struct hs_verbs *v,
			       const struct ifaddrs *list,
			       struct hs_verbs_port *p)
{
	char names[HS_VERBS_IPOIB_MAX][IFNAMSIZ];
	uint32_t nr = v->api->port_interfaces(p->device, p->number, names,
					      HS_VERBS_IPOIB_MAX);

	for (uint32_t i = 0; i < nr; i++)
		for (const struct ifaddrs *at = list; at; at = at->ifa_next) {
			struct hs_verbs_address *a =
				&p->addresses[p->nr_addresses];

			if (p->nr_addresses == HS_VERBS_PORT_ADDRESSES_MAX)
				return;
			if (strcmp(at->ifa_name, names[i]) != 0 ||
			    !interface_address(at->ifa_addr, &a->at) ||
			    is_known(p, &a->at))
				continue;
			a->network_bits = mask_bits(at->ifa_netmask);
			p->nr_addresses++;
		}
}

static void look_at_addresses(const struct hs_verbs *v,
			      struct ibv_context *verbs,
			      const struct ifaddrs *list,
			      struct hs_verbs_port *p)
{
	const struct hs_transport_verbs_options *o = &v->options;
	int from = o->gid ? (int)o->gid - 1 : 0;
	int to = o->gid ? (int)o->gid : GID_INDEX_MAX;

	for (int i = from;
	     i < to && p->nr_addresses < HS_VERBS_PORT_ADDRESSES_MAX; i++) {
		struct hs_verbs_address *a = &p->addresses[p->nr_addresses];
		const struct ifaddrs *at;
		union ibv_gid gid;

		if (v->api->query_gid(verbs, (uint8_t)p->number, i, &gid) ||
		    !gid_address(&gid, &a->at) || is_known(p, &a->at))
			continue;
		at = interface_of(list, &a->at);
		a->network_bits = at ? mask_bits(at->ifa_netmask) : 0;
		p->nr_addresses++;
	}
}

/* Where the device is attached, or else its interface. */
static uint64_t nodes_of(const struct hs_verbs *v, const struct ifaddrs *list,
			 const struct hs_verbs_port *p)
{
	char path[64 + HS_VERBS_NAME_BYTES];
	const struct ifaddrs *at = NULL;
	uint64_t nodes;

	snprintf(path, sizeof(path),
		 "/sys/class/infiniband/%s/device/local_cpus", p->device);
	nodes = hs_numa_nodes_of_cpus(v->numa, path);
	if (p->nr_addresses)
		at = interface_of(list, &p->addresses[0].at);
	if (nodes || !at)
		return nodes;
	snprintf(path, sizeof(path), "/sys/class/net/%.*s/device/local_cpus",
		 IFNAMSIZ, at->ifa_name);
	return hs_numa_nodes_of_cpus(v->numa, path);
}

static int look_at_device(struct hs_verbs *v, struct ibv_device *device,
			  const struct ifaddrs *list)
{
	const struct hs_transport_verbs_options *o = &v->options;
	struct ibv_context *verbs;
	struct ibv_device_attr attr = {.phys_port_cnt = 0};
	int rc = 0;

	errno = 0;
	verbs = v->api->device_open(device);
	if (!verbs)
		return errno ? -errno : -EIO;
	if (v->api->query_device(verbs, &attr))
		rc = -EIO;
	for (uint32_t i = 1; i <= attr.phys_port_cnt; i++) {
		struct hs_verbs_port *p = &v->ports[v->nr_ports];

		if ((o->port && i != o->port) ||
		    v->nr_ports == HS_VERBS_PORTS_MAX)
			continue;
		memset(p, 0, sizeof(*p));
		snprintf(p->device, sizeof(p->device), "%s",
			 v->api->device_name(device));
		p->number = i;
		p->active = v->api->port_active(verbs, (uint8_t)i);
		if (!v->api->port_infiniband(verbs, (uint8_t)i))
			look_at_addresses(v, verbs, list, p);
		else if (!o->gid)
			look_at_interfaces(v, list, p);
		v->nr_ports++;
	}
	v->api->device_close(verbs);
	return rc;
}

static bool has_choice(const struct hs_verbs *v)
{
	return !v->options.device[0] && !v->options.source[0] &&
	       v->nr_ports > 1;
}

static void order(struct hs_verbs *v, const struct ifaddrs *list)
{
	uint64_t here = 0;

	/* Where there is nothing to choose, the machine is not looked at. */
	if (has_choice(v) && !v->numa && hs_numa_open(&v->numa))
		v->numa = NULL;
	if (v->numa)
		here = hs_numa_nodes_here(v->numa);
	for (uint32_t i = 0; v->numa && i < v->nr_ports; i++)
		v->ports[i].nodes = nodes_of(v, list, &v->ports[i]);
	v->nr_active =
		hs_verbs_near_order(v->numa, here, v->ports, v->nr_ports);
}

/* Return: 0; -ENODEV: none that the options allow; -errno of one that they
 * name and that cannot be opened. */
static int look(struct hs_verbs *v)
{
	const char *name = v->options.device;
	struct ifaddrs *list = NULL;
	struct ibv_device **devices;
	int rc = -ENODEV;
	int nr = 0;

	v->nr_ports = 0;
	v->looked_ns = v->hub.now_ns;
	if (getifaddrs(&list))
		list = NULL;
	devices = v->api->device_list(&nr);
	v->nr_listed = nr;
	for (int i = 0; devices && i < nr; i++) {
		int one;

		if (name[0] && strcmp(v->api->device_name(devices[i]), name))
			continue;
		if (v->options.source[0]) {
			rc = 0; /* that it is there is all */
			continue;
		}
		one = look_at_device(v, devices[i], list);
		if (one)
			hs_log_limited(HS_LOG_WARN, "verbs",
				       "cannot look at the device: %s "
				       "device=%s",
				       strerror(-one),
				       v->api->device_name(devices[i]));
		rc = name[0] ? one : 0;
	}
	if (devices)
		v->api->device_list_free(devices);
	order(v, list);
	if (list)
		freeifaddrs(list);
	return rc;
}

static void say(struct hs_verbs *v)
{
	char text[sizeof(v->nearest)];

	hs_verbs_near_text(v->ports, v->nr_ports, text, sizeof(text));
	if (!strcmp(text, v->nearest))
		return;
	memcpy(v->nearest, text, sizeof(text));
	hs_log_info("verbs", "%s", text);
	hs_verbs_used_write(v);
}

static bool has_address(const struct hs_verbs *v)
{
	for (uint32_t i = 0; i < v->nr_ports; i++)
		if (v->ports[i].nr_addresses)
			return true;
	return false;
}

static int source_given(struct hs_verbs *v)
{
	char text[HS_VERBS_NAME_BYTES + 8];
	struct hs_addresses at;
	int rc;

	snprintf(text, sizeof(text),
		 strchr(v->options.source, ':') ? "[%s]:0" : "%s:0",
		 v->options.source);
	rc = hs_address_resolve(text, 0, &at);
	if (!rc)
		v->source = at.at[0];
	return rc;
}

int hs_verbs_ports_open(struct hs_verbs *v)
{
	const struct hs_transport_verbs_options *o = &v->options;
	int rc;

	if (o->gid && !o->device[0])
		return -EINVAL;
	rc = look(v);
	if (rc)
		return rc;
	if (o->source[0])
		return source_given(v);
	if (o->gid && !has_address(v)) {
		hs_log_error("verbs",
			     "this GID is no address to dial from: name "
			     "another, or give the source address device=%s "
			     "gid_index=%u",
			     o->device, o->gid - 1);
		return -EINVAL;
	}
	if (has_choice(v))
		say(v);
	return 0;
}

void hs_verbs_ports_close(struct hs_verbs *v)
{
	hs_numa_close(v->numa);
	v->numa = NULL;
}

struct sockaddr *hs_verbs_source(struct hs_verbs *v, const struct hs_dial *dial,
				 const struct sockaddr *to, bool *nearest)
{
	bool named = v->options.device[0];
	const struct hs_verbs_address *from;

	*nearest = false;
	if (v->options.source[0])
		return v->source.ss_family == to->sa_family
			       ? (struct sockaddr *)&v->source
			       : NULL;
	if (!named && dial->nr_failures &&
	    v->hub.now_ns - v->looked_ns >= LOOK_NS && look(v) == 0 &&
	    has_choice(v))
		say(v);
	/* Every other attempt goes by the route: the nearest may not lead
	 * there. */
	if (!named && (v->nr_ports < 2 || dial->nr_failures % 2))
		return NULL;
	/* A device that is named is used whatever its state. */
	from = hs_verbs_near_from(
		v->ports, named || !v->nr_active ? v->nr_ports : v->nr_active,
		to);
	if (!from)
		return NULL;
	v->source = from->at;
	*nearest = !named;
	return (struct sockaddr *)&v->source;
}
