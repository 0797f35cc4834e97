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

bool hs_left_name(const char *name, char out[HS_HELD_NAME_BYTES])
{
	if (hs_left_is(name) ||
	    strlen(name) + sizeof(PREFIX) > HS_HELD_NAME_BYTES ||
	    (strcmp(name, "node") != 0 && !ends_with(name, ":ledger") &&
	     !ends_with(name, ":pool")))
		return false;
	snprintf(out, HS_HELD_NAME_BYTES, PREFIX "%s", name);
	return true;
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
	char left[HS_HELD_NAME_BYTES];
	int fd = hs_held_find(&w->held, name);

	if (fd >= 0 && w->settings.linger_ns && hs_left_name(name, left) &&
	    note(w, left)) {
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
