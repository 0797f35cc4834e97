/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configurations of a fabric of hs-replay's own: short YAML files, which
 * stay readable beside the sockets for whoever keeps the directory.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tools/replay/house.h"

/* A port that is free now: the kernel gives fresh ones in turn, so that two
 * asked for at once differ and are not given out again at once. */
static int free_ports(uint16_t *ports, size_t nr)
{
	int fds[8];
	size_t i;
	int err = 0;

	for (i = 0; i < nr; i++) {
		struct sockaddr_in addr = {
			.sin_family = AF_INET,
			.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		};
		socklen_t len = sizeof(addr);

		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fds[i] < 0 ||
		    bind(fds[i], (struct sockaddr *)&addr, sizeof(addr)) ||
		    getsockname(fds[i], (struct sockaddr *)&addr, &len))
			err = -errno;
		ports[i] = ntohs(addr.sin_port);
	}
	for (i = 0; i < nr; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
	return err;
}

static FILE *config_open(const struct hs_replay_house *house, const char *name)
{
	char path[HS_FABRIC_PATH_BYTES];

	snprintf(path, sizeof(path), "%s/%s.yaml", house->dir, name);
	return fopen(path, "w");
}

static int config_close(FILE *f)
{
	int err = ferror(f);

	return fclose(f) || err ? -EIO : 0;
}

/* Where the @index-th daemon is: one of the list, which goes around. */
static const char *host_of(const struct hs_replay_house *house, uint32_t index,
			   char out[64])
{
	const char *list = house->verbs_hosts;
	const char *at = list;

	snprintf(out, 64, "127.0.0.1");
	while (at && *at) {
		size_t n = strcspn(at, ",");

		if (index == 0) {
			snprintf(out, 64, "%.*s", (int)n, at);
			break;
		}
		at += n + (at[n] == ',');
		if (!*at)
			at = list;
		index--;
	}
	return out;
}

static void write_transport(const struct hs_replay_house *house, FILE *f,
			    uint32_t index)
{
	char host[64];

	if (house->verbs_hosts)
		fprintf(f, "transport:\n  carrier: verbs\n  source: %s\n",
			host_of(house, index, host));
}

/* The collector takes datagrams at the number of its port, as UDP. */
static void write_ship(const struct hs_replay_house *house, FILE *f,
		       const char *key, const char *open, const char *close)
{
	char collector[64];

	if (house->ship)
		fprintf(f, "ship:\n  carrier: %s\n  %s: %s\"%s:%u\"%s\n",
			house->ship, key, open, host_of(house, 1, collector),
			house->collector_port, close);
}

static int write_agent(const struct hs_replay_house *house, uint32_t i)
{
	const struct hs_fabric_node *node = &house->fabric.nodes[i];
	uint64_t pool_bytes = house->pool_bytes_of[i] ? house->pool_bytes_of[i]
						      : house->pool_bytes;
	char coordinator[64], collector[64];
	char name[32];
	FILE *f;

	snprintf(name, sizeof(name), "agent-%u", i);
	f = config_open(house, name);
	if (!f)
		return -errno;
	fprintf(f,
		"node:\n"
		"  id: %u\n"
		"  name: %s\n"
		"run_dir: %s/agent-%u\n"
		"control:\n"
		"  socket: %s\n"
		"domains:\n"
		"  - name: default\n"
		"    socket: %s\n"
		"    pool: %lluMiB\n"
		"coordinators: [\"%s:%u\"]\n"
		"collectors: [\"%s:%u\"]\n"
		"limits:\n"
		"  slots: 32768\n"
		"  operations: 256\n"
		"%s",
		i + 1, node->name, house->dir, i, node->agent,
		node->application, (unsigned long long)(pool_bytes >> 20),
		host_of(house, 0, coordinator), house->coordinator_port,
		host_of(house, 1, collector), house->collector_port,
		house->limits ? house->limits : "");
	write_transport(house, f, 2 + i);
	write_ship(house, f, "collectors", "[", "]");
	if (house->yaml)
		fputs(house->yaml, f);
	return config_close(f);
}

static int write_coordinator(const struct hs_replay_house *house)
{
	FILE *f = config_open(house, "coordinator");
	char here[64], collector[64];

	if (!f)
		return -errno;
	fprintf(f,
		"node:\n"
		"  id: 1001\n"
		"  name: coordinator\n"
		"control:\n"
		"  socket: %s\n"
		"listen: %s:%u\n"
		"collectors: [\"%s:%u\"]\n",
		house->fabric.coordinators[0], host_of(house, 0, here),
		house->coordinator_port, host_of(house, 1, collector),
		house->collector_port);
	write_transport(house, f, 0);
	return config_close(f);
}

static int write_collector(const struct hs_replay_house *house)
{
	FILE *f = config_open(house, "collector");
	char here[64];

	if (!f)
		return -errno;
	fprintf(f,
		"node:\n"
		"  id: 2001\n"
		"  name: collector\n"
		"control:\n"
		"  socket: %s\n"
		"listen: %s:%u\n"
		"store: %s/store\n",
		house->fabric.collectors[0], host_of(house, 1, here),
		house->collector_port, house->dir);
	write_transport(house, f, 1);
	write_ship(house, f, "bind", "", "");
	return config_close(f);
}

int hs_replay_house_configure(struct hs_replay_house *house)
{
	uint16_t ports[2];
	uint32_t i;
	int err = free_ports(ports, 2);

	if (err)
		return err;
	house->coordinator_port = ports[0];
	house->collector_port = ports[1];
	err = write_collector(house);
	if (!err)
		err = write_coordinator(house);
	for (i = 0; i < house->fabric.nr_nodes && !err; i++)
		err = write_agent(house, i);
	return err;
}
