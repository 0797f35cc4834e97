/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.c - hs-collector's YAML file, as a schema
 */
#include "collector/config.h"

#include <stddef.h>

#include "base/log.h"
#include "collector/pack.h"

#define AT(field) offsetof(struct hs_collector_config, field)

static const struct hs_config_key keys[] = {
	{.path = "node.id",
	 .type = HS_CONFIG_INT,
	 .offset = AT(node.id),
	 .default_text = "2001",
	 .min = 1,
	 .max = UINT32_MAX,
	 .doc = "Number of this daemon, unlike any other node's, coordinator's "
		"or collector's."},
	{.path = "node.name",
	 .type = HS_CONFIG_STRING,
	 .offset = AT(node.name),
	 .default_text = "collector",
	 .check = hs_config_is_name,
	 .want = HS_CONFIG_WANT_NAME,
	 .doc = "What peers and status call it: at most 31 characters, without "
		"blanks."},
	HS_DOOR_KEYS(struct hs_collector_config, door,
		     "/run/hindsight/collector.sock", NULL,
		     "Where hs(1) and everybody else asks, over HTTP and "
		     "JSON."),
	HS_TRANSPORT_KEYS(struct hs_collector_config, transport),
	{.path = "listen",
	 .type = HS_CONFIG_STRING,
	 .offset = AT(listen),
	 .default_text = "127.0.0.1:7420",
	 .doc = "Where agents ship slices to and coordinators send manifests."},
	HS_SHIP_KEYS_COLLECTOR(struct hs_collector_config, ship),
	{.path = "store",
	 .type = HS_CONFIG_STRING,
	 .offset = AT(store),
	 .default_text = "/var/lib/hindsight/store",
	 .doc = "Directory of segments and index; made when missing."},
	{.path = "segment",
	 .type = HS_CONFIG_SIZE,
	 .offset = AT(segment_bytes),
	 .default_text = "64MiB",
	 .min = 4 << 20,
	 .max = 4LL << 30,
	 .doc = "A segment file gets no longer than this."},
	{.path = "retain.size",
	 .type = HS_CONFIG_SIZE,
	 .offset = AT(retain_bytes),
	 .default_text = "0B",
	 .max = INT64_MAX,
	 .doc = "When segments together take more than this the oldest goes, "
		"with all of every trace in it. 0: they stay until the disk "
		"is full, which holds senders up."},
	{.path = "retain.age",
	 .type = HS_CONFIG_DURATION,
	 .offset = AT(retain_ns),
	 .default_text = "0ns",
	 .max = INT64_MAX,
	 .doc = "A segment goes when its last record is so old. 0: never."},
	{.path = "sync_interval",
	 .type = HS_CONFIG_DURATION,
	 .offset = AT(sync_interval_ns),
	 .default_text = "20ms",
	 .min = 0,
	 .max = 10000000000LL,
	 .doc = "What arrives is synced to disk and acknowledged in batches; "
		"the first of a batch waits at most so long."},
	{.path = "zstd_level",
	 .type = HS_CONFIG_INT,
	 .offset = AT(zstd_level),
	 .default_text = "3",
	 .min = -1,
	 .max = 19,
	 .doc = "Compression of stored slices, 1 to 19; 0 takes 3; -1: none. "
		"Up to 3, what is shorter than 4 KiB is packed in half the "
		"time, and 2 to 5 % longer."},
	{.path = "pack_threads",
	 .type = HS_CONFIG_INT,
	 .offset = AT(pack_threads),
	 .default_text = "0",
	 .min = -1,
	 .max = HS_PACK_THREADS_MAX,
	 .doc = "Threads that compress, beside the one that writes and helps "
		"them. 0 takes half of the cores that it may run on, 8 at "
		"most; -1: none."},
	{.path = "limits.traces",
	 .type = HS_CONFIG_INT,
	 .offset = AT(limits.traces),
	 .default_text = "16384",
	 .min = 16,
	 .max = 4194304,
	 .doc = "Traces kept in memory while they come in; the others are read "
		"back from the store when something new comes for them."},
	{.path = "limits.nodes",
	 .type = HS_CONFIG_INT,
	 .offset = AT(limits.nodes),
	 .default_text = "65536",
	 .min = 16384,
	 .max = 16777216,
	 .doc = "Nodes of all traces in memory together."},
	{.path = "limits.buffers",
	 .type = HS_CONFIG_INT,
	 .offset = AT(limits.buffers),
	 .default_text = "262144",
	 .min = 65537,
	 .max = 67108864,
	 .doc = "Buffers of all traces in memory together."},
	{.path = "limits.crumbs",
	 .type = HS_CONFIG_INT,
	 .offset = AT(limits.crumbs),
	 .default_text = "262144",
	 .min = 131072,
	 .max = 67108864,
	 .doc = "Breadcrumbs of all traces in memory together."},
	{.path = "limits.trace_buffers",
	 .type = HS_CONFIG_INT,
	 .offset = AT(limits.trace_buffers),
	 .default_text = "65536",
	 .min = 1,
	 .max = 65536,
	 .doc = "Buffers of one trace; what comes over it is refused, and the "
		"trace is partial: cut."},
	{.path = "limits.peers",
	 .type = HS_CONFIG_INT,
	 .offset = AT(limits.peers),
	 .default_text = "1024",
	 .min = 1,
	 .max = 65536,
	 .doc = "Agents and coordinators connected at once."},
	{.path = "log",
	 .type = HS_CONFIG_ENUM,
	 .offset = AT(log_level),
	 .default_text = "info",
	 .choices = hs_log_level_names,
	 .doc = "Say nothing below this."},
};

const struct hs_config_schema hs_collector_schema = {
	.title = "hs-collector: assembles triggered traces and stores them",
	.size_bytes = sizeof(struct hs_collector_config),
	.keys = keys,
	.nr_keys = sizeof(keys) / sizeof(keys[0]),
};

int hs_collector_config_load(const char *path, struct hs_collector_config *out,
			     struct hs_config_error *error)
{
	int rc = hs_config_load(&hs_collector_schema, path, out, error);

	if (!rc)
		rc = hs_door_roles(&out->door, path, &out->roles, error);
	if (rc)
		hs_config_free(&hs_collector_schema, out);
	return rc;
}
