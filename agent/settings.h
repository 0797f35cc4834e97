/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the agent's configuration file, read and checked as a whole.
 *
 * Guarantees: what hs_agent_settings_load() hands out fits together: names are
 * unique, sizes fit each other, derived paths are filled in, keys are decoded.
 */
#ifndef HS_AGENT_SETTINGS_H
#define HS_AGENT_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "agent/core.h"
#include "base/config.h"
#include "base/door.h"
#include "rdma/transport_create.h"
#include "ship/settings.h"

#define HS_AGENT_LISTENERS_MAX	     HS_AGENT_DOMAINS_MAX
#define HS_AGENT_PROCESSES_MAX	     1024u
#define HS_AGENT_PEERS_MAX	     64u
#define HS_AGENT_LANES_MAX	     16384u
#define HS_AGENT_LISTENER_NAME_BYTES 32u

/* One of the sockets that applications attach to. */
struct hs_agent_listener {
	char *name;
	char *socket;
	uint64_t pool_bytes;
	uint64_t buffer_bytes;	   /* the smallest */
	uint64_t buffer_max_bytes; /* the largest */
	int64_t weight;
	int64_t mode; /* of the socket */
};

struct hs_agent_trigger_settings {
	char *name;
	int64_t weight;
	int64_t rate_per_s;
	uint64_t bytes_per_s;
	bool dry_run;
	char *reason; /* or NULL */
};

struct hs_agent_settings {
	int64_t node;
	char *node_name;
	char *run_dir;
	struct hs_config_maps domains; /* struct hs_agent_listener */
	struct hs_transport_settings transport;
	struct hs_config_strings coordinators;
	struct hs_config_strings collectors;
	struct hs_ship_settings ship;
	struct hs_door_settings door;
	char *cluster_key_text;
	char *cluster_key_file;
	struct hs_config_maps triggers; /* struct hs_agent_trigger_settings */
	struct hs_config_maps rules;	/* struct hs_agent_rule_settings */
	struct hs_config_maps redact;	/* struct hs_agent_redact_settings */
	struct hs_config_strings contexts_from;
	bool crash_trigger;
	bool huge_pages;
	bool numa;
	uint64_t linger_ns;
	int log_level;
	/* limits */
	int64_t nr_processes;	     /* of all domains */
	int64_t nr_domain_processes; /* of one */
	int64_t nr_lanes;
	int64_t lane_entries;
	int64_t nr_slots;
	int64_t nr_operations;
	int64_t nr_crumb_entries; /* that coordinators can read */
	int64_t nr_rings;	  /* 0: one a core */
	int64_t ring_words;
	int64_t evict_percent;
	int64_t kept_ppm, head_ppm;
	uint64_t window_bytes;
	uint64_t bytes_per_s;
	/* derived */
	uint8_t cluster_key[16];
	struct hs_roles roles;
	char path[4096]; /* of the file, for the worker */
};

/**
 * hs_agent_settings_load() - read, check, derive
 * @path: the file, or what to call it where @data is given
 * @data: NULL, or the file's text: a worker reads what its keeper read
 * @error: filled in after a refusal
 *
 * Own: hs_agent_settings_free().
 * Return: 0; -EINVAL refused; or -errno.
 */
int hs_agent_settings_load(struct hs_agent_settings *settings, const char *path,
			   const void *data, size_t data_bytes,
			   struct hs_config_error *error);
void hs_agent_settings_free(struct hs_agent_settings *settings);
void hs_agent_settings_print_example(FILE *f);

static inline struct hs_agent_listener *
hs_agent_listener_get(const struct hs_agent_settings *s, size_t index)
{
	return (struct hs_agent_listener *)s->domains.items + index;
}

/** hs_agent_listener_find() - by name; NULL: none, as of a former file */
const struct hs_agent_listener *
hs_agent_listener_find(const struct hs_agent_settings *settings,
		       const char *name);

/** hs_agent_settings_core() - the core's part, without its random seed */
void hs_agent_settings_core(const struct hs_agent_settings *settings,
			    struct hs_agent_config *out);

/** hs_agent_path() - run_dir/@file; Return: 0 or -ENAMETOOLONG */
int hs_agent_path(const struct hs_agent_settings *settings, const char *file,
		  char *out, size_t out_bytes);

extern const struct hs_config_schema hs_agent_schema;

#endif
