/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see auto_category.h. */
#include "dataplane/auto_category.h"

#include <string.h>

#define WINDOW_SAMPLES 32u
#define WINDOW_DEFAULT 4096u
#define WINDOW_MAX     (1u << 30)
#define ONE	       (1ull << 32)

bool hs_auto_category_init(struct hs_auto_category *c, double share,
			   uint32_t window)
{
	double wanted;

	if (!(share > 1e-7 && share <= 0.5) || window > WINDOW_MAX)
		return false;
	memset(c, 0, sizeof(*c));
	wanted = WINDOW_SAMPLES / share;
	c->share = (uint64_t)(share * (double)ONE);
	c->warm = (uint32_t)(1 / share);
	c->window = window;
	if (!window)
		c->window = wanted > WINDOW_DEFAULT ? (uint32_t)wanted
						    : WINDOW_DEFAULT;
	return true;
}

static bool is_free(const struct hs_auto_label *l)
{
	return l->counts[0] + l->counts[1] == 0;
}

/* The label's place, or a free one: there always is one. */
static struct hs_auto_label *find(struct hs_auto_category *c, uint64_t label)
{
	uint64_t h = (label ^ label >> 31) * 0x9e3779b97f4a7c15ull;
	uint32_t i = (uint32_t)(h >> 40) % HS_AUTO_PLACES;

	while (!is_free(&c->places[i]) && c->places[i].label != label)
		i = (i + 1) % HS_AUTO_PLACES;
	return &c->places[i];
}

/* Forget the last epoch, and the labels that only it had. */
static void turn(struct hs_auto_category *c)
{
	uint32_t old = c->present ^ 1;
	uint32_t nr = 0;

	for (uint32_t i = 0; i < HS_AUTO_PLACES; i++) {
		c->places[i].counts[old] = 0;
		if (!is_free(&c->places[i]))
			c->kept[nr++] = c->places[i];
	}
	memset(c->places, 0, sizeof(c->places));
	for (uint32_t i = 0; i < nr; i++)
		*find(c, c->kept[i].label) = c->kept[i];
	c->other.counts[old] = 0;
	c->nr_labels = nr;
	c->before = c->nr;
	c->nr = 0;
	c->present = old;
}

bool hs_auto_category_sample(struct hs_auto_category *c, uint64_t label)
{
	struct hs_auto_label *l;
	uint64_t count, all;

	if (c->nr == c->window)
		turn(c);
	l = find(c, label);
	if (is_free(l) && c->nr_labels == HS_AUTO_LABELS_MAX) {
		l = &c->other;
	} else if (is_free(l)) {
		l->label = label;
		c->nr_labels++;
	}
	l->counts[c->present]++;
	c->nr++;
	if (c->warm) {
		c->warm--;
		return false;
	}
	count = (uint64_t)l->counts[0] + l->counts[1];
	all = (uint64_t)c->nr + c->before;
	return count << 32 < all * c->share;
}
