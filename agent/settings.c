/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the table of keys, and what a schema cannot say: uniqueness, sizes
 * that fit each other, the key's digits; see settings.h.
 */
#include "agent/settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/redact.h"
#include "agent/rules.h"
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
#define HS_CLUSTER_KEY_TEXT_BYTES 128u

_Static_assert(HS_CONFIG_NAME_BYTES == HS_WIRE_NAME_BYTES &&
		       HS_CONFIG_NAME_BYTES == HS_AGENT_LISTENER_NAME_BYTES,
	       "what the schema takes for a name fits everywhere");

static const struct hs_config_key domain_keys[] = {
	{DOMAIN_KEY("name", STRING, name), .required = true,
	 .check = hs_config_is_word, .want = HS_CONFIG_WANT_WORD,
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
	{DOMAIN_KEY("buffer", SIZE, buffer_bytes), .default_text = "512",
	 .min = 256, .max = 256 << 10,
	 .doc = "The smallest buffers of the pool: a trace takes at least one "
		"in each process. A power of two."},
	{DOMAIN_KEY("buffer_max", SIZE, buffer_max_bytes),
	 .default_text = "64KiB", .min = 256, .max = 256 << 10,
	 .doc = "A trace that goes on gets larger ones, each four times as "
		"large as the one before, up to this."},
	{DOMAIN_KEY("weight", INT, weight), .default_text = "1", .min = 1,
	 .max = 1000,
	 .doc = "Its share beside other domains when there is more to report "
		"than the collectors take."},
	{DOMAIN_KEY("mode", INT, mode), .default_text = "666", .max = 777,
	 .check = hs_config_is_mode, .want = HS_CONFIG_WANT_MODE,
	 .doc = "Permissions of the socket, in octal."},
};
static const struct hs_config_schema domain_schema = {
	.size_bytes = sizeof(struct hs_agent_listener),
	.keys = domain_keys,
	.nr_keys = sizeof(domain_keys) / sizeof(domain_keys[0]),
};

static const struct hs_config_key trigger_keys[] = {
	{TRIGGER_KEY("name", STRING, name), .required = true, .example = "slow",
	 .check = hs_config_is_word, .want = HS_CONFIG_WANT_WORD,
	 .doc = "As the application names it."},
	{TRIGGER_KEY("weight", INT, weight), .default_text = "1", .min = 1,
	 .max = 1000,
	 .doc = "Its share when there is more to report than the collectors "
		"take."},
	{TRIGGER_KEY("rate", INT, rate_per_s), .default_text = "0", .min = 0,
	 .max = 1000000000,
	 .doc = "How often it may fire here in a second; 0 for no limit."},
	{TRIGGER_KEY("byte_rate", SIZE, bytes_per_s), .default_text = "0B",
	 .doc = "How much of it is reported from here in a second; 0B for no "
		"limit."},
	{TRIGGER_KEY("dry_run", BOOL, dry_run), .default_text = "false",
	 .doc = "Collect nothing: count the traces, and the bytes that this "
		"node has of them, that would have been collected."},
	{TRIGGER_KEY("reason", STRING, reason), .min = 1, .max = 200,
	 .doc = "What it is for; shown beside its counters.",
	 .example = "checkout over its objective, ask team-pay"},
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
	{KEY("node.name", STRING, node_name), .check = hs_config_is_name,
	 .want = HS_CONFIG_WANT_NAME,
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
	 .doc = "host:port of each coordinator; or NUMBER@host:port, "
		"node[01-03]:7410, file:PATH, dns:NAME:PORT, srv:NAME, "
		"etcd:HOST:PORT/PREFIX, any of them several times."},
	{KEY("collectors", STRINGS, collectors), .max = HS_AGENT_PEERS_MAX / 2,
	 .example = "[127.0.0.1:7420]",
	 .doc = "Each collector, written likewise."},
	HS_SHIP_KEYS_AGENT(struct hs_agent_settings, ship),
	HS_DOOR_KEYS(struct hs_agent_settings, door, NULL,
		     "/run/hindsight/control.sock",
		     "Where hs(1) asks for status, triggers and the end; "
		     "control.sock in run_dir when absent."),
	{KEY("cluster_key", STRING, cluster_key_text), .secret = true,
	 .doc = "32 hexadecimal digits, the same on every node: orders traces "
		"under overload. Keep it from applications.",
	 .example = "00112233445566778899aabbccddeeff"},
	{KEY("cluster_key_file", STRING, cluster_key_file),
	 .doc = "A file that holds them instead.",
	 .example = "/etc/hindsight/cluster.key"},
	{KEY("triggers", MAPS, triggers), .items = &trigger_schema,
	 .max = HS_AGENT_TRIGGERS_MAX, .reloads = true,
	 .doc = "How named triggers are treated; others get the defaults."},
	{KEY("rules", MAPS, rules), .items = &hs_agent_rule_schema,
	 .max = HS_SHM_RULES_MAX, .reloads = true,
	 .doc = "Spans that fire a trigger when they end, in whatever "
		"application. All that a rule names must hold."},
	{KEY("redact", MAPS, redact), .items = &hs_agent_redact_schema,
	 .max = HS_REDACT_RULES_MAX, .reloads = true,
	 .doc = "Attributes that do not leave this node as they are. The "
		"first entry that fits decides. Domains without an entry are "
		"sent as they are; in the others, what cannot be read is "
		"withheld."},
	{KEY("contexts.from", STRINGS, contexts_from), .reloads = true,
	 .max = HS_AGENT_CONTEXT_PEERS_MAX, .example = "[1, 10-19]",
	 .doc = "Numbers of the nodes from which a context marked as triggered "
		"keeps its trace from eviction until the coordinator asks."},
	{KEY("crash_trigger", BOOL, crash_trigger), .default_text = "false",
	 .reloads = true,
	 .doc = "Fire the trigger 'crash' for the traces that a dead process "
		"had open."},
	{KEY("numa", BOOL, numa), .default_text = "true",
	 .doc = "A pool on each NUMA node, for the cores next to it; false "
		"for one that lies anywhere."},
	{KEY("huge_pages", BOOL, huge_pages), .default_text = "true",
	 .doc = "Ask for 2 MiB pages for the pools; plain ones where there "
		"are none."},
	{KEY("linger", DURATION, linger_ns), .default_text = "30s",
	 .max = 86400LL * 1000000000,
	 .doc = "How long memory is kept after SIGTERM for a successor in the "
		"same run_dir; 0 to let go at once."},
	{KEY("log", ENUM, log_level), .default_text = "info", .reloads = true,
	 .choices = hs_log_level_names, .doc = "Say nothing below this."},
	{KEY("limits.processes", INT, nr_processes), .default_text = "512",
	 .min = 1, .max = HS_AGENT_PROCESSES_MAX,
	 .doc = "Attachments of all domains together."},
	{KEY("limits.domain_processes", INT, nr_domain_processes),
	 .default_text = "256", .min = 1, .max = 256,
	 .doc = "Attachments of one domain."},
	{KEY("limits.lanes", INT, nr_lanes), .default_text = "32", .min = 1,
	 .max = HS_AGENT_LANES_MAX,
	 .doc = "Threads of a process that can hand over data at a time; the "
		"last lane is shared by those that have none."},
	{KEY("limits.lane_entries", INT, lane_entries), .default_text = "1024",
	 .min = 64, .max = 65536, .check = hs_config_is_power_of_2,
	 .want = HS_CONFIG_WANT_POWER,
	 .doc = "Entries of a lane, 32 bytes each; a power of two."},
	{KEY("limits.slots", INT, nr_slots), .default_text = "4096", .min = 1,
	 .max = 1 << 20,
	 .doc = "Traces that a process can have open at a time."},
	{KEY("limits.operations", INT, nr_operations), .default_text = "128",
	 .min = 2, .max = HS_SHM_OPERATIONS_MAX,
	 .doc = "Operations of a process that are counted each for itself; "
		"the others together. 2 KiB and a bit for each core."},
	{KEY("limits.crumb_entries", INT, nr_crumb_entries),
	 .default_text = "65536", .max = 1 << HS_CRUMB_BITS_MAX,
	 .doc = "verbs, shm: traces whose crumbs coordinators can read before "
		"this node answers, 128 bytes each, rounded up to a power of "
		"two; 0 "
		"for none. Best two to four times as many as are seen here "
		"in the time within which triggers fire."},
	{KEY("limits.rings", INT, nr_rings), .default_text = "0", .max = 4096,
	 .doc = "Stocks of free buffers of a process; 0 for one a core."},
	{KEY("limits.ring_words", INT, ring_words), .default_text = "4096",
	 .min = 16, .max = 65536, .check = hs_config_is_power_of_2,
	 .want = HS_CONFIG_WANT_POWER,
	 .doc = "The most buffers of a stock; a power of two."},
	{KEY("limits.evict_percent", INT, evict_percent), .default_text = "80",
	 .min = 1, .max = 99, .reloads = true,
	 .doc = "Use of a pool from which old traces make room."},
	{KEY("limits.window", SIZE, window_bytes), .default_text = "4MiB",
	 .min = 1 << 16, .max = 1 << 30, .reloads = true,
	 .doc = "Data under way to collectors and not yet durable there."},
	{KEY("limits.byte_rate", SIZE, bytes_per_s), .default_text = "0B",
	 .reloads = true,
	 .doc = "How much is reported from here in a second, by all triggers "
		"together; 0B for no limit."},
	{KEY("sampling.kept_ppm", INT, kept_ppm), .default_text = "1000000",
	 .min = 1, .max = 1000000, .reloads = true,
	 .doc = "How many of a million traces are kept at all, the same ones "
		"on "
		"every node with the same cluster_key: half as many make the "
		"event horizon twice as long."},
	{KEY("sampling.head_ppm", INT, head_ppm), .default_text = "0",
	 .max = 1000000, .reloads = true,
	 .doc = "How many of a million are collected whatever happens, by the "
		"trigger 'head', the same ones on every node."},
};

const struct hs_config_schema hs_agent_schema = {
	.title = "hs-agent: what this node keeps, and whom it tells.",
	.size_bytes = sizeof(struct hs_agent_settings),
	.keys = keys,
	.nr_keys = sizeof(keys) / sizeof(keys[0]),
};

/* What the judges below speak of: the file, and where their refusal goes. */
struct judge {
	const char *name;
	struct hs_config_error *error;
};

#define refuse(j, mark, ...)                                                   \
	hs_config_refuse((j)->error, (j)->name, (mark), __VA_ARGS__)

static int check_pair(const struct judge *j, const struct hs_agent_listener *d,
		      const struct hs_agent_listener *before,
		      const struct hs_config_mark *mark)
{
	if (strcmp(d->name, before->name) && strcmp(d->socket, before->socket))
		return 0;
	return refuse(j, mark,
		      "domains: \"%s\" and \"%s\" need names and sockets of "
		      "their own",
		      before->name, d->name);
}

static int check_domains(const struct judge *j, struct hs_agent_settings *s)
{
	int rc = 0;

	for (size_t i = 0; i < s->domains.nr_items && !rc; i++) {
		const struct hs_config_mark *mark = &s->domains.marks[i];
		struct hs_agent_listener *d = hs_agent_listener_get(s, i);

		if (d->buffer_bytes & (d->buffer_bytes - 1))
			return refuse(j, mark,
				      "domains: buffer of \"%s\" should be a "
				      "power of two",
				      d->name);
		if (d->pool_bytes / d->buffer_bytes < 64 ||
		    d->pool_bytes / d->buffer_bytes > 1u << 28 ||
		    d->pool_bytes / HS_SHM_REF_UNIT_BYTES > UINT32_MAX)
			return refuse(j, mark,
				      "domains: pool of \"%s\" should hold 64 "
				      "to 268435456 buffers, in 1TiB",
				      d->name);
		for (size_t k = 0; k < i && !rc; k++)
			rc = check_pair(j, d, hs_agent_listener_get(s, k),
					mark);
	}
	return rc;
}

static int check_triggers(const struct judge *j,
			  const struct hs_agent_settings *s)
{
	const struct hs_agent_trigger_settings *t = s->triggers.items;

	for (size_t i = 0; i < s->triggers.nr_items; i++)
		for (size_t k = 0; k < i; k++)
			if (!strcmp(t[i].name, t[k].name))
				return refuse(j, &s->triggers.marks[i],
					      "triggers: \"%s\" stands there "
					      "twice",
					      t[i].name);
	return 0;
}

/* Compiled here once for the errors, so that a bad file is refused whole. */
static int check_rules(const struct judge *j, const struct hs_agent_settings *s)
{
	struct hs_agent_rules *rules = calloc(1, sizeof(*rules));
	int rc = rules ? hs_rules_compile(&s->rules, j->name, rules, j->error)
		       : -ENOMEM;

	free(rules);
	return rc;
}

/* "7" or "10-19"; Return: whether that was one. */
static bool range_of(const char *text, struct hs_agent_node_range *out)
{
	unsigned long long first, last;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	first = last = strtoull(text, &end, 10);
	if (*end == '-' && end[1] >= '0' && end[1] <= '9')
		last = strtoull(end + 1, &end, 10);
	out->first = (uint32_t)first;
	out->last = (uint32_t)last;
	return !*end && first > 0 && first <= last && last <= UINT32_MAX;
}

static int check_contexts(const struct judge *j,
			  const struct hs_agent_settings *s)
{
	struct hs_agent_node_range range;

	for (size_t i = 0; i < s->contexts_from.nr_items; i++)
		if (!range_of(s->contexts_from.items[i], &range))
			return refuse(j, NULL,
				      "contexts.from: \"%.32s\" should be a "
				      "node's number, or two of them with '-'",
				      s->contexts_from.items[i]);
	return 0;
}

static int key_text(const struct judge *j, const struct hs_agent_settings *s,
		    char out[HS_CLUSTER_KEY_TEXT_BYTES])
{
	size_t text_bytes;
	char *text;
	int rc;

	snprintf(out, HS_CLUSTER_KEY_TEXT_BYTES, "%s",
		 s->cluster_key_text ? s->cluster_key_text
				     : "00000000000000000000000000000000");
	if (!s->cluster_key_file)
		return 0;
	rc = hs_config_text(s->cluster_key_file, &text, &text_bytes);
	if (rc)
		return refuse(j, NULL, "cluster_key_file: %s: %s",
			      s->cluster_key_file, strerror(-rc));
	if (text_bytes >= HS_CLUSTER_KEY_TEXT_BYTES)
		text_bytes = HS_CLUSTER_KEY_TEXT_BYTES - 1;
	memcpy(out, text, text_bytes);
	out[text_bytes] = '\0';
	out[strcspn(out, " \t\r\n")] = '\0';
	free(text);
	return 0;
}

static int check_key(const struct judge *j, struct hs_agent_settings *s)
{
	char text[HS_CLUSTER_KEY_TEXT_BYTES];
	int rc;

	if (s->cluster_key_text && s->cluster_key_file)
		return refuse(j, NULL,
			      "cluster_key and cluster_key_file: give one of "
			      "them");
	rc = key_text(j, s, text);
	if (!rc && hs_hex_decode(s->cluster_key, sizeof(s->cluster_key), text,
				 strlen(text)))
		rc = refuse(j, NULL,
			    "cluster_key: should be 32 hexadecimal digits");
	return rc;
}

static int derive(const struct judge *j, struct hs_agent_settings *s)
{
	char text[512];

	if (s->nr_rings == 0)
		s->nr_rings = sysconf(_SC_NPROCESSORS_CONF);
	if (s->nr_rings < 1 || s->nr_rings > 4096)
		s->nr_rings = 64;
	if (!s->node_name) {
		hs_config_host_name(text, "node");
		s->node_name = strdup(text);
	}
	if (!s->door.socket) {
		if (hs_agent_path(s, "control.sock", text, sizeof(text)))
			return refuse(j, NULL, "run_dir: too long");
		s->door.socket = strdup(text);
	}
	return s->node_name && s->door.socket ? 0 : -ENOMEM;
}

int hs_agent_settings_load(struct hs_agent_settings *s, const char *path,
			   const void *data, size_t data_bytes,
			   struct hs_config_error *error)
{
	const struct judge j = {.name = path, .error = error};
	int rc;

	if (data)
		rc = hs_config_parse(&hs_agent_schema, path, data, data_bytes,
				     s, error);
	else
		rc = hs_config_load(&hs_agent_schema, path, s, error);
	if (rc)
		return rc;
	snprintf(s->path, sizeof(s->path), "%s", path);
	rc = check_domains(&j, s);
	if (!rc)
		rc = check_triggers(&j, s);
	if (!rc)
		rc = check_rules(&j, s);
	if (!rc)
		rc = check_contexts(&j, s);
	if (!rc)
		rc = hs_redact_check(&s->redact,
				     s->cluster_key_text || s->cluster_key_file,
				     path, error);
	if (!rc)
		rc = check_key(&j, s);
	if (!rc)
		rc = hs_door_roles(&s->door, path, &s->roles, error);
	if (!rc)
		rc = derive(&j, s);
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

const struct hs_agent_listener *
hs_agent_listener_find(const struct hs_agent_settings *s, const char *name)
{
	for (size_t i = 0; i < s->domains.nr_items; i++)
		if (!strcmp(hs_agent_listener_get(s, i)->name, name))
			return hs_agent_listener_get(s, i);
	return NULL;
}

void hs_agent_settings_core(const struct hs_agent_settings *s,
			    struct hs_agent_config *out)
{
	const struct hs_agent_trigger_settings *t = s->triggers.items;

	memset(out, 0, sizeof(*out));
	memcpy(out->cluster_key, s->cluster_key, sizeof(out->cluster_key));
	out->window_bytes = (uint32_t)s->window_bytes;
	out->evict_percent = (uint32_t)s->evict_percent;
	out->kept_ppm = (uint32_t)s->kept_ppm;
	out->head_ppm = (uint32_t)s->head_ppm;
	out->bytes_per_s = s->bytes_per_s;
	out->crash_trigger = s->crash_trigger;
	out->nr_context_peers = (uint32_t)s->contexts_from.nr_items;
	for (uint32_t i = 0; i < out->nr_context_peers; i++)
		range_of(s->contexts_from.items[i], &out->context_peers[i]);
	out->nr_policies = (uint32_t)s->triggers.nr_items;
	for (uint32_t i = 0; i < out->nr_policies; i++) {
		snprintf(out->policies[i].name, sizeof(out->policies[i].name),
			 "%s", t[i].name);
		out->policies[i].weight = (uint32_t)t[i].weight;
		out->policies[i].rate_per_s = (uint32_t)t[i].rate_per_s;
		out->policies[i].bytes_per_s = t[i].bytes_per_s;
		out->policies[i].dry_run = t[i].dry_run;
	}
}

int hs_agent_path(const struct hs_agent_settings *s, const char *file,
		  char *out, size_t out_bytes)
{
	int n = snprintf(out, out_bytes, "%s/%s", s->run_dir, file);

	return n < 0 || (size_t)n >= out_bytes ? -ENAMETOOLONG : 0;
}
