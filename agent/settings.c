/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the table of keys, and what a schema cannot say: uniqueness, sizes
 * that fit each other, the key's digits; see settings.h.
 */
#include "agent/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/log.h"
#include "rdma/wire.h"

#define KEY(p, t, field)                                                       \
	.path = (p), .type = HS_CONFIG_##t,                                    \
	.offset = offsetof(struct hs_agent_settings, field)
#define DOMAIN_KEY(p, t, field)                                                \
	.path = (p), .type = HS_CONFIG_##t,                                    \
	.offset = offsetof(struct hs_agent_listener, field)
#define TRIGGER_KEY(p, t, field)                                               \
	.path = (p), .type = HS_CONFIG_##t,                                    \
	.offset = offsetof(struct hs_agent_trigger_settings, field)
#define PAGE_BYTES 4096u

static const struct hs_config_key domain_keys[] = {
	{DOMAIN_KEY("name", STRING, name), .required = true,
	 .example = "default",
	 .doc = "What the domain is called: letters, digits, '_', '.', '-'."},
	{DOMAIN_KEY("socket", STRING, socket), .required = true,
	 .example = "/run/hindsight/agent.sock",
	 .doc = "Where applications attach. A socket for each tenant can be "
		"mounted into that tenant's containers."},
	{DOMAIN_KEY("pool", SIZE, pool_bytes), .default_text = "64MiB",
	 .min = 1 << 20, .max = 1LL << 40,
	 .doc = "Memory for traces, of each user id that attaches there. It "
		"is taken at the first attachment, all at once."},
	{DOMAIN_KEY("buffer", SIZE, buffer_bytes), .default_text = "1KiB",
	 .min = 512, .max = 256 << 10,
	 .doc = "One buffer of the pool: a trace takes at least one in each "
		"process. A multiple of 256 bytes."},
	{DOMAIN_KEY("mode", INT, mode), .default_text = "666", .max = 777,
	 .doc = "Permissions of the socket, in octal."},
};
static const struct hs_config_schema domain_schema = {
	.size_bytes = sizeof(struct hs_agent_listener),
	.keys = domain_keys,
	.nr_keys = sizeof(domain_keys) / sizeof(domain_keys[0]),
};

static const struct hs_config_key trigger_keys[] = {
	{TRIGGER_KEY("name", STRING, name), .required = true, .example = "slow",
	 .doc = "As the application names it."},
	{TRIGGER_KEY("weight", INT, weight), .default_text = "1", .min = 1,
	 .max = 1000,
	 .doc = "Its share when there is more to report than the collectors "
		"take."},
	{TRIGGER_KEY("rate", INT, rate_per_s), .default_text = "0", .min = 0,
	 .max = 1000000000,
	 .doc = "How often it may fire here in a second; 0 for no limit."},
};
static const struct hs_config_schema trigger_schema = {
	.size_bytes = sizeof(struct hs_agent_trigger_settings),
	.keys = trigger_keys,
	.nr_keys = sizeof(trigger_keys) / sizeof(trigger_keys[0]),
};

static const struct hs_config_key keys[] = {
	{KEY("node.id", INT, node), .required = true, .example = "1", .min = 1,
	 .max = 0xffffffffLL,
	 .doc = "This node's number, different on every node of the "
		"cluster."},
	{KEY("node.name", STRING, node_name),
	 .doc = "What people call it; the host's name when absent.",
	 .example = "node-a"},
	{KEY("run_dir", STRING, run_dir), .default_text = "/run/hindsight",
	 .doc = "A directory for the agent's own sockets and its lock; made "
		"when it is missing. One agent for each."},
	{KEY("domains", MAPS, domains), .required = true,
	 .items = &domain_schema, .min = 1, .max = HS_AGENT_LISTENERS_MAX,
	 .doc = "The sockets that applications attach to. A trust domain is "
		"a socket and the user id that came through it, with its own "
		"memory."},
	HS_TRANSPORT_KEYS(struct hs_agent_settings, transport),
	{KEY("coordinators", STRINGS, coordinators),
	 .max = HS_AGENT_PEERS_MAX / 2, .example = "[127.0.0.1:7410]",
	 .doc = "host:port of each coordinator."},
	{KEY("collectors", STRINGS, collectors), .max = HS_AGENT_PEERS_MAX / 2,
	 .example = "[127.0.0.1:7420]", .doc = "host:port of each collector."},
	{KEY("control.socket", STRING, control_socket),
	 .example = "/run/hindsight/control.sock",
	 .doc = "Where hs(1) asks for status, triggers and the end; "
		"control.sock in run_dir when absent."},
	{KEY("control.tcp_port", INT, control_tcp_port), .default_text = "0",
	 .max = 65535,
	 .doc = "The same on 127.0.0.1 when there is a token; 0 lets the "
		"kernel choose."},
	{KEY("control.token", STRING, control_token),
	 .doc = "Bearer token for TCP, at least 16 characters.",
	 .example = "change-me-change-me"},
	{KEY("cluster_key", STRING, cluster_key_text),
	 .doc = "32 hexadecimal digits, the same on every node: orders traces "
		"under overload. Keep it from applications.",
	 .example = "00112233445566778899aabbccddeeff"},
	{KEY("cluster_key_file", STRING, cluster_key_file),
	 .doc = "A file that holds them instead.",
	 .example = "/etc/hindsight/cluster.key"},
	{KEY("triggers", MAPS, triggers), .items = &trigger_schema,
	 .max = HS_AGENT_TRIGGERS_MAX,
	 .doc = "How named triggers are treated; others get the defaults."},
	{KEY("crash_trigger", BOOL, crash_trigger), .default_text = "false",
	 .doc = "Fire the trigger 'crash' for the traces that a dead process "
		"had open."},
	{KEY("huge_pages", BOOL, huge_pages), .default_text = "true",
	 .doc = "Ask for 2 MiB pages for the pools; plain ones where there "
		"are none."},
	{KEY("linger", DURATION, linger_ns), .default_text = "30s",
	 .max = 86400LL * 1000000000,
	 .doc = "How long memory is kept after SIGTERM for a successor in the "
		"same run_dir; 0 to let go at once."},
	{KEY("log", ENUM, log_level), .default_text = "info",
	 .choices = hs_log_level_names, .doc = "Say nothing below this."},
	{KEY("limits.processes", INT, nr_processes), .default_text = "512",
	 .min = 1, .max = HS_AGENT_PROCESSES_MAX,
	 .doc = "Attachments of all domains together."},
	{KEY("limits.domain_processes", INT, nr_domain_processes),
	 .default_text = "256", .min = 1, .max = 256,
	 .doc = "Attachments of one domain."},
	{KEY("limits.lanes", INT, nr_lanes), .default_text = "32", .min = 1,
	 .max = 4096,
	 .doc = "Threads of a process that can hand over data at a time."},
	{KEY("limits.lane_entries", INT, lane_entries), .default_text = "1024",
	 .min = 64, .max = 65536,
	 .doc = "Entries of a lane, 32 bytes each; a power of two."},
	{KEY("limits.slots", INT, nr_slots), .default_text = "4096", .min = 1,
	 .max = 1 << 20,
	 .doc = "Traces that a process can have open at a time."},
	{KEY("limits.rings", INT, nr_rings), .default_text = "0", .max = 4096,
	 .doc = "Stocks of free buffers of a process; 0 for one a core."},
	{KEY("limits.ring_words", INT, ring_words), .default_text = "4096",
	 .min = 16, .max = 65536,
	 .doc = "The most buffers of a stock; a power of two."},
	{KEY("limits.evict_percent", INT, evict_percent), .default_text = "80",
	 .min = 1, .max = 99,
	 .doc = "Use of a pool from which old traces make room."},
	{KEY("limits.window", SIZE, window_bytes), .default_text = "4MiB",
	 .min = 1 << 16, .max = 1 << 30,
	 .doc = "Data under way to collectors and not yet durable there."},
};

const struct hs_config_schema hs_agent_schema = {
	.title = "hs-agent: what this node keeps, and whom it tells.",
	.size_bytes = sizeof(struct hs_agent_settings),
	.keys = keys,
	.nr_keys = sizeof(keys) / sizeof(keys[0]),
};

__attribute__((format(printf, 3, 4))) static int
refuse(struct hs_config_error *error, const char *path, const char *fmt, ...)
{
	size_t used;
	va_list args;

	*error = (struct hs_config_error){0};
	snprintf(error->text, sizeof(error->text), "%s: ", path);
	used = strlen(error->text);
	va_start(args, fmt);
	vsnprintf(error->text + used, sizeof(error->text) - used, fmt, args);
	va_end(args);
	return -EINVAL;
}

static bool name_ok(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len < HS_AGENT_LISTENER_NAME_BYTES &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUV"
			    "WXYZ0123456789_.-") == len;
}

static bool power_of_two(int64_t v)
{
	return v > 0 && (v & (v - 1)) == 0;
}

/* 666 as typed -> 0666; -1 when a digit is no octal one. */
static int64_t octal(int64_t typed)
{
	int64_t value = 0;

	for (int64_t unit = 1; typed > 0; typed /= 10, unit *= 8) {
		if (typed % 10 > 7)
			return -1;
		value += typed % 10 * unit;
	}
	return value;
}

static int check_domains(struct hs_agent_settings *s, const char *path,
			 struct hs_config_error *error)
{
	for (size_t i = 0; i < s->domains.nr_items; i++) {
		struct hs_agent_listener *d = hs_agent_listener_get(s, i);

		if (!name_ok(d->name))
			return refuse(error, path,
				      "domains: the name \"%s\" should be 1 to "
				      "%u letters, digits, '_', '.', '-'",
				      d->name,
				      HS_AGENT_LISTENER_NAME_BYTES - 1);
		if (d->buffer_bytes % HS_SHM_REF_UNIT_BYTES)
			return refuse(error, path,
				      "domains: buffer of \"%s\" should be a "
				      "multiple of 256 bytes",
				      d->name);
		if (d->pool_bytes / d->buffer_bytes < 64 ||
		    d->pool_bytes / d->buffer_bytes > 1u << 31 ||
		    d->pool_bytes / HS_SHM_REF_UNIT_BYTES > UINT32_MAX)
			return refuse(error, path,
				      "domains: pool of \"%s\" should hold 64 "
				      "to 2147483648 buffers, in 1TiB",
				      d->name);
		d->mode = octal(d->mode);
		if (d->mode < 0)
			return refuse(error, path,
				      "domains: mode of \"%s\" should be octal "
				      "digits such as 660",
				      d->name);
		for (size_t j = 0; j < i; j++) {
			const struct hs_agent_listener *e =
				hs_agent_listener_get(s, j);

			if (!strcmp(d->name, e->name) ||
			    !strcmp(d->socket, e->socket))
				return refuse(error, path,
					      "domains: \"%s\" and \"%s\" need "
					      "names and sockets of their own",
					      e->name, d->name);
		}
	}
	return 0;
}

static int check_triggers(const struct hs_agent_settings *s, const char *path,
			  struct hs_config_error *error)
{
	const struct hs_agent_trigger_settings *t = s->triggers.items;

	for (size_t i = 0; i < s->triggers.nr_items; i++) {
		if (!name_ok(t[i].name))
			return refuse(
				error, path,
				"triggers: the name \"%s\" should be 1 to "
				"%u letters, digits, '_', '.', '-'",
				t[i].name, HS_WIRE_NAME_BYTES - 1);
		for (size_t j = 0; j < i; j++)
			if (!strcmp(t[i].name, t[j].name))
				return refuse(error, path,
					      "triggers: \"%s\" stands there "
					      "twice",
					      t[i].name);
	}
	return 0;
}

static int read_key_file(const char *file, char *out, size_t out_bytes)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	ssize_t n;
	int rc;

	if (fd < 0)
		return -errno;
	n = read(fd, out, out_bytes - 1);
	rc = n < 0 ? -errno : 0;
	close(fd);
	if (rc == 0)
		out[n] = '\0';
	return rc;
}

static int check_key(struct hs_agent_settings *s, const char *path,
		     struct hs_config_error *error)
{
	char text[128];
	int rc;

	if (s->cluster_key_text && s->cluster_key_file)
		return refuse(error, path,
			      "cluster_key and cluster_key_file: give one of "
			      "them");
	if (s->cluster_key_file) {
		rc = read_key_file(s->cluster_key_file, text, sizeof(text));
		if (rc)
			return refuse(error, path, "cluster_key_file: %s: %s",
				      s->cluster_key_file, strerror(-rc));
		text[strcspn(text, " \t\r\n")] = '\0';
	} else {
		snprintf(text, sizeof(text), "%s",
			 s->cluster_key_text ? s->cluster_key_text
					     : "00000000000000000000000000"
					       "000000");
	}
	if (hs_hex_decode(s->cluster_key, sizeof(s->cluster_key), text,
			  strlen(text)))
		return refuse(error, path,
			      "cluster_key: should be 32 hexadecimal digits");
	return 0;
}

static int derive(struct hs_agent_settings *s, const char *path,
		  struct hs_config_error *error)
{
	char text[512];

	if (!power_of_two(s->lane_entries) || !power_of_two(s->ring_words))
		return refuse(error, path,
			      "limits: lane_entries and ring_words should be "
			      "powers of two");
	if (s->control_token && strlen(s->control_token) < 16)
		return refuse(error, path,
			      "control.token: should have at least 16 "
			      "characters");
	if (s->nr_rings == 0)
		s->nr_rings = sysconf(_SC_NPROCESSORS_CONF);
	if (s->nr_rings < 1 || s->nr_rings > 4096)
		s->nr_rings = 64;
	if (!s->node_name) {
		if (gethostname(text, sizeof(text)))
			snprintf(text, sizeof(text), "node");
		text[HS_WIRE_NAME_BYTES - 1] = '\0';
		s->node_name = strdup(text);
	}
	if (!s->control_socket) {
		if (hs_agent_path(s, "control.sock", text, sizeof(text)))
			return refuse(error, path, "run_dir: too long");
		s->control_socket = strdup(text);
	}
	if (!s->node_name || !s->control_socket)
		return -ENOMEM;
	if (strlen(s->node_name) >= HS_WIRE_NAME_BYTES)
		return refuse(error, path,
			      "node.name: should have at most %u characters",
			      HS_WIRE_NAME_BYTES - 1);
	return 0;
}

int hs_agent_settings_load(struct hs_agent_settings *s, const char *path,
			   const void *data, size_t data_bytes,
			   struct hs_config_error *error)
{
	int rc;

	if (data)
		rc = hs_config_parse(&hs_agent_schema, path, data, data_bytes,
				     s, error);
	else
		rc = hs_config_load(&hs_agent_schema, path, s, error);
	if (rc)
		return rc;
	snprintf(s->path, sizeof(s->path), "%s", path);
	rc = check_domains(s, path, error);
	if (!rc)
		rc = check_triggers(s, path, error);
	if (!rc)
		rc = check_key(s, path, error);
	if (!rc)
		rc = derive(s, path, error);
	if (rc)
		hs_agent_settings_free(s);
	return rc;
}

void hs_agent_settings_free(struct hs_agent_settings *s)
{
	hs_config_free(&hs_agent_schema, s);
}

void hs_agent_settings_print_example(FILE *f)
{
	hs_config_print_example(&hs_agent_schema, f);
}

void hs_agent_settings_core(const struct hs_agent_settings *s,
			    struct hs_agent_config *out)
{
	const struct hs_agent_trigger_settings *t = s->triggers.items;

	memset(out, 0, sizeof(*out));
	memcpy(out->cluster_key, s->cluster_key, sizeof(out->cluster_key));
	out->window_bytes = (uint32_t)s->window_bytes;
	out->evict_percent = (uint32_t)s->evict_percent;
	out->crash_trigger = s->crash_trigger;
	out->nr_policies = (uint32_t)s->triggers.nr_items;
	for (uint32_t i = 0; i < out->nr_policies; i++) {
		snprintf(out->policies[i].name, sizeof(out->policies[i].name),
			 "%s", t[i].name);
		out->policies[i].weight = (uint32_t)t[i].weight;
		out->policies[i].rate_per_s = (uint32_t)t[i].rate_per_s;
	}
}

int hs_agent_path(const struct hs_agent_settings *s, const char *file,
		  char *out, size_t out_bytes)
{
	int n = snprintf(out, out_bytes, "%s/%s", s->run_dir, file);

	return n < 0 || (size_t)n >= out_bytes ? -ENAMETOOLONG : 0;
}
