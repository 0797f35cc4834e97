/* SPDX-License-Identifier: Apache-2.0 */
/*
 * settings.h - the coordinator's one YAML file
 */
#ifndef HS_COORDINATOR_SETTINGS_H
#define HS_COORDINATOR_SETTINGS_H

#include <stdint.h>

#include "base/config.h"
#include "base/door.h"
#include "coordinator/core.h"
#include "rdma/transport_create.h"

#define HS_COORDINATOR_COLLECTORS_MAX 64

struct hs_coordinator_settings {
	int64_t node;
	char *name;
	char *listen;
	struct hs_transport_settings transport;
	struct hs_config_strings collectors;
	struct hs_config_strings agents;
	char *announce;
	char *announce_address;
	uint64_t gone_after_ns;
	struct hs_door_settings door;
	int log_level; /* enum hs_log_level */
	uint64_t retry_ns, unreachable_after_ns, tell_unsettled_ns, resend_ns;
	uint64_t forget_after_ns, idle_ns;
	int64_t nr_peers, nr_traces, nr_visits, nr_crumbs, nr_nodes;
	int64_t nr_requests, trace_nodes, window;
	int64_t seek_nodes, seek_per_s;
	int64_t origin_per_s, origin_waiting;
	uint64_t send_queue_bytes;
	struct hs_roles roles; /* derived */
};

extern const struct hs_config_schema hs_coordinator_schema;

/**
 * hs_coordinator_settings_load() - read and judge the file
 * @error: filled in after a refusal, with the place and what would be right
 *
 * Own: hs_config_free() with hs_coordinator_schema ends it.
 * Return: 0; -EINVAL refused; or of hs_config_load().
 */
int hs_coordinator_settings_load(const char *path,
				 struct hs_coordinator_settings *out,
				 struct hs_config_error *error);

/** hs_coordinator_settings_core() - what the core is to be made with; node,
 * epoch and seed are the caller's to fill in */
struct hs_coord_config
hs_coordinator_settings_core(const struct hs_coordinator_settings *s);

#endif
