/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see share_drops.h. */
#include "bench/share_drops.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES 1024

static FILE *open_of(pid_t pid, const char *what)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/net/%s", (int)pid, what);
	return fopen(path, "re");
}

/* The number under @name, of a line of names and a line of values. */
static int under(char *names, char *values, const char *name, uint64_t *out)
{
	char *n, *v, *n_rest, *v_rest;

	n = strtok_r(names, " \n", &n_rest);
	v = strtok_r(values, " \n", &v_rest);
	while (n && v) {
		if (!strcmp(n, name)) {
			*out += strtoull(v, NULL, 10);
			return 0;
		}
		n = strtok_r(NULL, " \n", &n_rest);
		v = strtok_r(NULL, " \n", &v_rest);
	}
	return -ENOENT;
}

static int udp_read(struct hs_bench_drops *out, pid_t pid)
{
	char names[LINE_BYTES], values[LINE_BYTES], n[LINE_BYTES],
		v[LINE_BYTES];
	FILE *f = open_of(pid, "snmp");
	uint64_t all = 0, full = 0;
	int rc = f ? -ENOENT : -errno;

	while (f && rc && fgets(names, sizeof(names), f) &&
	       fgets(values, sizeof(values), f)) {
		if (strncmp(names, "Udp: ", 5))
			continue;
		memcpy(n, names, sizeof(n));
		memcpy(v, values, sizeof(v));
		rc = under(names, values, "RcvbufErrors", &full);
		if (!rc)
			rc = under(n, v, "InErrors", &all);
	}
	if (f)
		fclose(f);
	out->socket += full;
	out->udp += all - full;
	return rc;
}

static int devices_read(struct hs_bench_drops *out, pid_t pid)
{
	FILE *f = open_of(pid, "dev");
	char line[LINE_BYTES];
	int found = 0;

	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		char *at = strchr(line, ':'), *rest;
		uint64_t fields[16] = {0};

		if (!at)
			continue;
		/* 8 of what came, 8 of what went; the 4th is what was lost. */
		at = strtok_r(at + 1, " \n", &rest);
		for (int i = 0; at && i < 16; i++) {
			fields[i] = strtoull(at, NULL, 10);
			at = strtok_r(NULL, " \n", &rest);
		}
		out->devices += fields[3] + fields[11];
		found++;
	}
	fclose(f);
	return found ? 0 : -ENOENT;
}

int hs_bench_drops_read(struct hs_bench_drops *out, pid_t from, pid_t to)
{
	const pid_t pids[] = {from, to};

	memset(out, 0, sizeof(*out));
	for (int i = 0; i < 2; i++) {
		int rc = udp_read(out, pids[i]);

		if (!rc)
			rc = devices_read(out, pids[i]);
		if (rc)
			return rc;
	}
	return 0;
}

uint64_t hs_bench_drops_sum(const struct hs_bench_drops *drops)
{
	return drops->socket + drops->udp + drops->devices;
}
