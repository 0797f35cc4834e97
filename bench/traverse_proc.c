/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see traverse.h: what daemons say of themselves, and the kernel. */
#include "bench/traverse.h"

#include <ctype.h>
#include <dirent.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/httpc.h"

/* Of all threads, in ns: /proc/PID/stat counts in ticks of 10 ms. */
static uint64_t threads_ns(pid_t pid)
{
	char path[64];
	struct dirent *e;
	uint64_t sum = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	d = opendir(path);
	while (d && (e = readdir(d))) {
		unsigned long long ns;
		char file[64 + 256 + 16];
		FILE *f;

		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		snprintf(file, sizeof(file), "%s/%s/schedstat", path,
			 e->d_name);
		f = fopen(file, "re");
		if (f && fscanf(f, "%llu", &ns) == 1)
			sum += ns;
		if (f)
			fclose(f);
	}
	if (d)
		closedir(d);
	return sum;
}

static pid_t parent_of(const char *pid)
{
	char path[64 + 256];
	int parent = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s/stat", pid);
	f = fopen(path, "re");
	if (f && fscanf(f, "%*d (%*[^)]) %*c %d", &parent) != 1)
		parent = 0;
	if (f)
		fclose(f);
	return parent;
}

static uint64_t cpu_ns(pid_t pid)
{
	uint64_t sum = threads_ns(pid);
	DIR *d = opendir("/proc");
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (isdigit((unsigned char)e->d_name[0]) &&
		    parent_of(e->d_name) == pid)
			sum += threads_ns(atoi(e->d_name));
	if (d)
		closedir(d);
	return sum;
}

static json_t *status(const char *door)
{
	struct hs_httpc_target target = {.socket_path = door};
	struct hs_httpc_response answer = {0};
	json_t *root = NULL;

	if (hs_httpc_request(&target, "GET", "/v1/status", NULL, &answer) == 0)
		root = json_loadb(answer.body, answer.body_bytes, 0, NULL);
	hs_httpc_response_free(&answer);
	return root;
}

static uint64_t member(const json_t *group, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(group, key));
}

uint64_t hs_traverse_number(const char *door, const char *group,
			    const char *key)
{
	json_t *root = status(door);
	uint64_t value = member(json_object_get(root, group), key);

	json_decref(root);
	return value;
}

bool hs_traverse_cost(pid_t pid, const char *door, const char *key,
		      struct hs_traverse_cost *out)
{
	json_t *root = status(door);
	const json_t *t = json_object_get(root, key);
	const json_t *s = json_object_get(root, "stats");
	bool good = json_is_object(t);

	*out = (struct hs_traverse_cost){
		.cpu_ns = cpu_ns(pid),
		.messages_sent = member(t, "messages_sent"),
		.messages_received = member(t, "messages_received"),
		.system_calls = member(t, "system_calls"),
		.waits = member(t, "waits"),
		.bytes_sent = member(t, "bytes_sent"),
		.reads = member(s, "reads_sent"),
		.reads_hit = member(s, "reads_hit"),
	};
	json_decref(root);
	return good;
}

void hs_traverse_cost_add(struct hs_traverse_cost *to,
			  const struct hs_traverse_cost *more, int sign)
{
	const uint64_t s = (uint64_t)(int64_t)sign;

	to->cpu_ns += s * more->cpu_ns;
	to->messages_sent += s * more->messages_sent;
	to->messages_received += s * more->messages_received;
	to->system_calls += s * more->system_calls;
	to->waits += s * more->waits;
	to->bytes_sent += s * more->bytes_sent;
	to->reads += s * more->reads;
	to->reads_hit += s * more->reads_hit;
}
