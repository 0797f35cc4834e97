/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.h - hs-collector's YAML file
 */
#ifndef HS_COLLECTOR_CONFIG_H
#define HS_COLLECTOR_CONFIG_H

#include "base/config.h"
#include "base/door.h"
#include "rdma/transport_create.h"
#include "collector/collector.h"
#include "ship/settings.h"

struct hs_collector_config {
	struct {
		int64_t id;
		char *name;
	} node;
	struct hs_door_settings door;
	char *listen;
	struct hs_transport_settings transport;
	struct hs_ship_settings ship;
	char *store;
	uint64_t segment_bytes;
	uint64_t retain_bytes;
	uint64_t retain_ns;
	uint64_t sync_interval_ns;
	int64_t zstd_level;
	int64_t pack_threads;
	struct {
		int64_t traces;
		int64_t nodes;
		int64_t buffers;
		int64_t crumbs;
		int64_t trace_buffers;
		int64_t peers;
	} limits;
	int log_level;	       /* enum hs_log_level */
	struct hs_roles roles; /* derived */
};

extern const struct hs_config_schema hs_collector_schema;

/**
 * hs_collector_config_load() - read and judge the file
 *
 * Own: hs_config_free() with hs_collector_schema ends it.
 * Return: 0; -EINVAL refused; or of hs_config_load().
 */
int hs_collector_config_load(const char *path, struct hs_collector_config *out,
			     struct hs_config_error *error);

#endif
