/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see left.h. */
#include "agent/left.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"

#define PREFIX "left:"

bool hs_left_is(const char *held_name)
{
	return !strncmp(held_name, PREFIX, sizeof(PREFIX) - 1);
}

static bool ends_with(const char *text, const char *end)
{
	size_t a = strlen(text), b = strlen(end);

	return a >= b && !strcmp(text + a - b, end);
}

static bool of_use(const char *name)
{
	return !strcmp(name, "node") || ends_with(name, ":ledger") ||
	       ends_with(name, ":pool");
}

/* Return: false when there is no place for it. */
static bool note(struct hs_worker *w, const char *left_name)
{
	if (w->nr_left == HS_WORKER_LEFT_MAX)
		return false;
	snprintf(w->left[w->nr_left++], HS_HELD_NAME_BYTES, "%s", left_name);
	w->left_until_ns = w->now_ns + w->settings.linger_ns;
	return true;
}

void hs_left_begin(struct hs_worker *w)
{
	for (uint32_t i = 0; i < w->held.nr_items; i++)
		if (hs_left_is(w->held.items[i].name) &&
		    !note(w, w->held.items[i].name))
			hs_worker_drop(w, w->held.items[i].name);
}

void hs_left_put(struct hs_worker *w, const char *name)
{
	char left[HS_HELD_NAME_BYTES + sizeof(PREFIX)];
	int fd = hs_held_find(&w->held, name);

	snprintf(left, sizeof(left), PREFIX "%s", name);
	if (fd >= 0 && w->settings.linger_ns && of_use(name) &&
	    strlen(left) < HS_HELD_NAME_BYTES && note(w, left)) {
		hs_worker_store(w, left, fd);
		hs_log_warn("agent", "left to `hs salvage` for a while name=%s",
			    name);
	}
	hs_worker_drop(w, name);
}

void hs_left_round(struct hs_worker *w)
{
	if (!w->nr_left || w->now_ns < w->left_until_ns)
		return;
	hs_log_warn("agent", "what was left to `hs salvage` is let go areas=%u",
		    w->nr_left);
	while (w->nr_left)
		hs_worker_drop(w, w->left[--w->nr_left]);
}
