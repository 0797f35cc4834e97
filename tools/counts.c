/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see counts.h. */
#include "tools/counts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hs/shm_watch.h"

static int compare(const struct hs_tally_row *row, const char *service,
		   const char *operation)
{
	int order = strcmp(row->service, service);

	return order ? order : strcmp(row->name, operation);
}

/* Its place, or where it would stand. */
static size_t place(const struct hs_counts *c, const char *service,
		    const char *operation, bool *found)
{
	size_t low = 0, high = c->nr;

	*found = false;
	while (low < high && !*found) {
		size_t middle = low + (high - low) / 2;
		int order = compare(&c->rows[middle], service, operation);

		*found = order == 0;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return *found ? high : low;
}

bool hs_counts_has(const struct hs_counts *c, const char *service,
		   const char *operation)
{
	bool found;

	(void)place(c, service, operation, &found);
	return found;
}

struct hs_tally_row *hs_counts_at(struct hs_counts *c, const char *service,
				  const char *operation)
{
	bool found;
	size_t low = place(c, service, operation, &found);

	if (found)
		return &c->rows[low];
	if (c->nr == c->cap) {
		size_t cap = c->cap ? 2 * c->cap : 64;
		struct hs_tally_row *more =
			realloc(c->rows, cap * sizeof(*more));

		if (!more)
			return NULL;
		c->rows = more;
		c->cap = cap;
	}
	memmove(&c->rows[low + 1], &c->rows[low],
		(c->nr - low) * sizeof(*c->rows));
	c->nr++;
	memset(&c->rows[low], 0, sizeof(*c->rows));
	snprintf(c->rows[low].service, sizeof(c->rows[low].service), "%s",
		 service);
	snprintf(c->rows[low].name, sizeof(c->rows[low].name), "%s", operation);
	return &c->rows[low];
}

static int take(struct hs_counts *c, const json_t *from)
{
	const json_t *buckets = json_object_get(from, "buckets");
	const char *service =
		json_string_value(json_object_get(from, "service"));
	const char *operation =
		json_string_value(json_object_get(from, "operation"));
	struct hs_tally_row *row;

	if (!service || strlen(service) > HS_WIRE_TALLY_SERVICE_MAX ||
	    !operation || strlen(operation) > HS_WIRE_TALLY_NAME_MAX)
		return -EBADMSG;
	row = hs_counts_at(c, service, operation);
	if (!row)
		return -ENOMEM;
	row->counts.errors +=
		(uint64_t)json_integer_value(json_object_get(from, "errors"));
	for (size_t i = 0; i < json_array_size(buckets); i++) {
		const json_t *pair = json_array_get(buckets, i);
		uint64_t low =
			(uint64_t)json_integer_value(json_array_get(pair, 0));

		row->counts.buckets[hs_shm_tally_bucket(low)] +=
			(uint64_t)json_integer_value(json_array_get(pair, 1));
	}
	return 0;
}

int hs_counts_ask(struct hs_counts *c, struct hs_tools_door *door,
		  const char *query)
{
	json_t *root, *rows;
	char *path;
	int rc;

	if (asprintf(&path, "/v1/operations%s", query) < 0)
		return -ENOMEM;
	rc = hs_tools_ask_json(door, "GET", path, NULL, &root);
	free(path);
	if (rc)
		return rc;
	rows = json_object_get(root, "operations");
	for (size_t i = 0; i < json_array_size(rows) && !rc; i++)
		rc = take(c, json_array_get(rows, i));
	if (rc == -EBADMSG)
		snprintf(door->error, sizeof(door->error),
			 "%s: operations without a good service and operation",
			 door->address);
	json_decref(root);
	return rc;
}

void hs_counts_free(struct hs_counts *c)
{
	free(c->rows);
	memset(c, 0, sizeof(*c));
}
