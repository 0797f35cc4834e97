/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see ship_link.h. Over ip(8), which every machine with veths has. */
#include "bench/ship_link.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/ship.h"

extern char **environ;

static int ip(char *const argv[])
{
	int status = 0;
	pid_t pid;
	int rc = posix_spawnp(&pid, "ip", NULL, NULL, argv, environ);

	if (rc)
		return -rc;
	if (waitpid(pid, &status, 0) < 0)
		return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EPERM;
}

static int end_up(const char *namespace, const char *device,
		  const char *address)
{
	char with_mask[32];
	char *const add[] = {"ip",	"-n",		(char *)namespace,
			     "address", "add",		with_mask,
			     "dev",	(char *)device, NULL};
	char *const up[] = {"ip",   "-n",  (char *)namespace,
			    "link", "set", (char *)device,
			    "up",   NULL};
	int rc;

	snprintf(with_mask, sizeof(with_mask), "%s/30", address);
	rc = ip(add);
	return rc ? rc : ip(up);
}

int hs_bench_link_make(struct hs_bench_link *link, uint32_t mtu)
{
	char mtu_text[16];
	char *const add[2][5] = {{"ip", "netns", "add", link->names[0], NULL},
				 {"ip", "netns", "add", link->names[1], NULL}};
	char *const pair[] = {"ip",   "link",	"add",	 "hsf0",
			      "mtu",  mtu_text, "netns", link->names[0],
			      "type", "veth",	"peer",	 "hsf1",
			      "mtu",  mtu_text, "netns", link->names[1],
			      NULL};
	int rc = 0;

	snprintf(mtu_text, sizeof(mtu_text), "%u", mtu);
	for (int i = 0; i < 2; i++)
		snprintf(link->names[i], sizeof(link->names[i]), "hsf-%d-%d",
			 (int)getpid(), i);
	for (int i = 0; i < 2 && !rc; i++)
		rc = ip(add[i]);
	if (!rc)
		rc = ip(pair);
	if (!rc)
		rc = end_up(link->names[0], "hsf0", HS_BENCH_SHIP_FROM);
	if (!rc)
		rc = end_up(link->names[1], "hsf1", HS_BENCH_SHIP_TO);
	if (!rc)
		return 0;
	fprintf(stderr, "hs-perf: a veth pair between two network namespaces "
			"needs root and ip(8)\n");
	hs_bench_link_drop(link);
	return rc;
}

int hs_bench_link_join(const struct hs_bench_link *link, bool from)
{
	char path[64];
	int fd, rc;

	snprintf(path, sizeof(path), "/run/netns/%s", link->names[!from]);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = setns(fd, CLONE_NEWNET) ? -errno : 0;
	close(fd);
	return rc;
}

void hs_bench_link_drop(const struct hs_bench_link *link)
{
	for (int i = 0; i < 2; i++) {
		char *const drop[] = {"ip", "netns", "delete",
				      (char *)link->names[i], NULL};

		(void)ip(drop);
	}
}
