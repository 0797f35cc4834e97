/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see reload.h. */
#include "agent/reload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/mailbox.h"
#include "agent/redact.h"
#include "base/check.h"
#include "base/log.h"

static void also(char *list, size_t list_bytes, const char *name)
{
	size_t used = strlen(list);

	snprintf(list + used, list_bytes - used, "%s%s", used ? ", " : "",
		 name);
}

/* What differs; what of it cannot change. */
static int compare(const struct hs_worker *w,
		   const struct hs_agent_settings *fresh, struct hs_reload *out)
{
	const struct hs_agent_settings *now = &w->settings;
	struct hs_httpd *door = hs_mailbox_door(w);

	hs_config_differ(&hs_agent_schema, now, fresh, true, out->changed,
			 sizeof(out->changed));
	hs_config_differ(&hs_agent_schema, now, fresh, false, out->pinned,
			 sizeof(out->pinned));
	if (memcmp(now->cluster_key, fresh->cluster_key,
		   sizeof(now->cluster_key)) &&
	    !strstr(out->pinned, "cluster_key"))
		also(out->pinned, sizeof(out->pinned), "cluster_key");
	/* TCP is listened on from the beginning or not at all. */
	if (hs_roles_have(&fresh->roles, HS_ROLES_BY_TOKEN) &&
	    (!door || !hs_httpd_tcp_port(door)))
		also(out->pinned, sizeof(out->pinned),
		     "control (the first token)");
	if (!out->pinned[0])
		return 0;
	snprintf(out->error.text, sizeof(out->error.text),
		 "%.200s: these cannot change while the agent runs: %s; put "
		 "them back as they were, or restart",
		 w->config, out->pinned);
	return -EBUSY;
}

/* For the successors of this worker. */
static int hand_over(struct hs_worker *w, const char *text, size_t text_bytes)
{
	int fd = memfd_create("hs-agent-config", MFD_CLOEXEC);
	int rc = 0;

	if (fd < 0)
		return -errno;
	if (pwrite(fd, text, text_bytes, 0) != (ssize_t)text_bytes)
		rc = -EIO;
	if (!rc)
		rc = hs_worker_store(w, "config", fd);
	close(fd);
	return rc;
}

/* With what the rules have of places and counters now. */
static int try_rules(const struct hs_worker *w,
		     const struct hs_agent_settings *fresh,
		     struct hs_config_error *error)
{
	static struct hs_agent_rules trial; /* large; one at a time */

	trial = w->rules;
	return hs_rules_compile(&fresh->rules, w->config, &trial, error);
}

/* Nothing here can fail: what could was tried before. */
static void take(struct hs_worker *w, struct hs_agent_settings *fresh)
{
	struct hs_agent_config config;
	struct hs_config_error error;
	int rc = hs_rules_load(w, &fresh->rules, w->config, &error);

	hs_check(rc == 0);
	hs_config_swap(&hs_agent_schema, &w->settings, fresh);
	w->settings.roles = fresh->roles;
	hs_log_level_set((enum hs_log_level)w->settings.log_level);
	hs_httpd_roles_set(hs_mailbox_door(w), &w->settings.roles);
	hs_redact_load(w->redact, &w->settings.redact, w->settings.cluster_key);
	hs_agent_settings_core(&w->settings, &config);
	hs_agent_core_policy_set(w->core, &config);
	w->counters.reloads++;
}

static int judge(struct hs_worker *w, const char *text, size_t text_bytes,
		 bool check, struct hs_reload *out)
{
	static struct hs_agent_settings fresh; /* large; one at a time */
	int rc = hs_agent_settings_load(&fresh, w->config, text, text_bytes,
					&out->error);

	if (rc)
		return rc;
	rc = compare(w, &fresh, out);
	if (!rc)
		rc = try_rules(w, &fresh, &out->error);
	if (!rc && !check) {
		rc = hand_over(w, text, text_bytes);
		if (rc)
			snprintf(out->error.text, sizeof(out->error.text),
				 "the keeper cannot take it: %s",
				 strerror(-rc));
		else
			take(w, &fresh);
	}
	hs_agent_settings_free(&fresh);
	return rc;
}

int hs_reload(struct hs_worker *w, const char *text, size_t text_bytes,
	      bool check, struct hs_reload *out)
{
	char *own = NULL;
	int rc = 0;

	memset(out, 0, sizeof(*out));
	if (!text) {
		rc = hs_config_text(w->config, &own, &text_bytes);
		text = own;
	}
	if (rc)
		snprintf(out->error.text, sizeof(out->error.text), "%.400s: %s",
			 w->config, strerror(-rc));
	else
		rc = judge(w, text, text_bytes, check, out);
	free(own);
	if (check)
		return rc;
	w->counters.reloads_refused += rc != 0;
	if (rc)
		hs_log_error("agent", "reload refused, all stays as it was: %s",
			     out->error.text);
	else
		hs_log_info("agent", "reloaded changed=%s",
			    out->changed[0] ? out->changed : "nothing");
	return rc;
}

void hs_reload_file(struct hs_worker *w)
{
	struct hs_reload out;

	hs_reload(w, NULL, 0, false, &out);
}
