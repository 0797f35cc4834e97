/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_tally.c - the counts of operations on the wire, and their sums
 *
 * The bout writes a TALLY byte by byte itself. What is put must come out so,
 * what is taken must be what was meant, and what breaks a limit, ends early, or
 * has two forms for one meaning is refused. Sums, ranks and middles are the
 * bout's own, made span by span where there are few.
 */
#include <string.h>

#include "rdma/wire_tally.h"
#include "tests/sim/bout.h"

#define BOUT	  "bout of tallies: "
#define NR_DRAWS  12u
#define COUNT_MAX ((1ull << 56) - 1)
#define ROW_ROOM  (16u + 256u + 8u * 256u)

struct tally_bout {
	struct sim *s;
	struct hs_random *r;
	uint8_t bytes[ROW_ROOM], put[ROW_ROOM];
	uint32_t used;
	struct hs_tally_row row, got; /* as put; as taken */
	bool ok;
};

static bool rarely(struct tally_bout *b)
{
	return hs_random_chance(b->r, 0.1);
}

static void add(struct tally_bout *b, const void *from, size_t bytes)
{
	memcpy(b->bytes + b->used, from, bytes);
	b->used += (uint32_t)bytes;
}

static void add_word(struct tally_bout *b, uint64_t bucket, uint64_t count)
{
	uint8_t word[8];

	for (uint32_t i = 0; i < 7; i++)
		word[i] = (uint8_t)(count >> (8 * i));
	word[7] = (uint8_t)bucket;
	add(b, word, sizeof(word));
}

/* ---- a row ----------------------------------------------------------------
 */

static uint32_t length(struct tally_bout *b, uint32_t most)
{
	uint32_t lengths[] = {0, 1, most, 1 + bout_below(b->r, 16)};

	return lengths[bout_below(b->r, 4)];
}

static void text(struct tally_bout *b, char *out, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		out[i] = (char)(1 + bout_below(b->r, 255));
	out[n] = 0;
}

static uint64_t count(struct tally_bout *b)
{
	switch (bout_below(b->r, 6)) {
	case 0:
		return COUNT_MAX - bout_below(b->r, 2);
	case 1:
		return COUNT_MAX + 1 + bout_below(b->r, 2);
	default:
		return 1 + bout_below(b->r, 9);
	}
}

static void counts_draw(struct tally_bout *b, struct hs_tally_counts *c)
{
	uint32_t some[] = {0, 1, 2 + bout_below(b->r, 6), 255};
	uint32_t n = some[bout_below(b->r, 4)];

	memset(c, 0, sizeof(*c));
	c->errors = bout_below(b->r, 3) ? bout_below(b->r, 9) : UINT64_MAX;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t ends[] = {0, 254, bout_below(b->r, 255)};

		c->buckets[n == 255 ? i : ends[bout_below(b->r, 3)]] = count(b);
	}
}

/* What the row comes to, written down; here and there with one fault. */
static void row_write(struct tally_bout *b)
{
	uint32_t service = (uint32_t)strlen(b->row.service);
	uint32_t name = (uint32_t)strlen(b->row.name);
	uint32_t fault = rarely(b) ? bout_below(b->r, 6) : 6, last = 256;
	struct hs_wire_tally_row head = {.errors = b->row.counts.errors};
	char texts[256] = {0};

	b->used = 0;
	b->ok = true;
	memcpy(texts, b->row.service, service);
	memcpy(texts + service, b->row.name, name);
	if (fault == 0 && service + name) {
		texts[bout_below(b->r, service + name)] = 0;
		b->ok = false;
	}
	head.service_bytes = (uint8_t)service;
	head.name_bytes = (uint8_t)name;
	if (fault == 1 && service == HS_WIRE_TALLY_SERVICE_MAX && name) {
		/* The same bytes, cut elsewhere. */
		head.service_bytes++;
		head.name_bytes--;
		b->ok = false;
	}
	if (fault == 2 && name == HS_WIRE_TALLY_NAME_MAX && service) {
		head.name_bytes++;
		head.service_bytes--;
		b->ok = false;
	}
	add(b, &head, sizeof(head));
	add(b, texts, (service + name + 7) / 8 * 8);
	for (uint32_t i = 0; i < 255; i++) {
		uint64_t n = b->row.counts.buckets[i];

		if (!n)
			continue;
		add_word(b, i, n < COUNT_MAX ? n : COUNT_MAX);
		head.nr_buckets++;
		last = i;
	}
	if (fault > 2 && fault < 6 && last < 255) {
		const uint64_t words[][2] = {{last, 1}, {255, 1}, {254, 0}};

		/* The last one again, one too many, nothing. */
		add_word(b, words[fault - 3][0], words[fault - 3][1]);
		head.nr_buckets++;
		b->ok = false;
	}
	memcpy(b->bytes, &head, sizeof(head));
}

static bool same(const struct hs_tally_row *a, const struct hs_tally_row *b)
{
	for (uint32_t i = 0; i < 255; i++) {
		uint64_t n = a->counts.buckets[i];

		if ((n < COUNT_MAX ? n : COUNT_MAX) != b->counts.buckets[i])
			return false;
	}
	return a->counts.errors == b->counts.errors &&
	       !strcmp(a->service, b->service) && !strcmp(a->name, b->name);
}

static void row_put(struct tally_bout *b)
{
	uint32_t room = b->used - rarely(b) * (1 + bout_below(b->r, b->used));
	struct hs_wire_writer w = hs_wire_writer_make(b->put, room);

	memset(b->put, 0xaa, sizeof(b->put));
	hs_wire_put_tally_row(&w, &b->row);
	if (w.failed != (room < b->used))
		sim_fail(b->s, BOUT "a row %s room",
			 w.failed ? "finds no" : "finds");
	if (!w.failed &&
	    (w.used_bytes != b->used || memcmp(b->put, b->bytes, b->used)))
		sim_fail(b->s, BOUT "a row is put otherwise");
	if (room < ROW_ROOM && b->put[room] != 0xaa)
		sim_fail(b->s, BOUT "a row goes beyond its end");
}

static void row_take(struct tally_bout *b)
{
	struct hs_wire_reader r = hs_wire_reader_make(b->bytes, b->used);
	bool took;

	if (rarely(b)) {
		r.left_bytes -= 1 + bout_below(b->r, b->used);
		b->ok = false;
	}
	memset(&b->got, 0xaa, sizeof(b->got));
	took = hs_wire_take_tally_row(&r, &b->got);
	if (took != b->ok || r.failed == b->ok)
		sim_fail(b->s, BOUT "a row is %s", took ? "taken" : "refused");
	if (took && (!same(&b->row, &b->got) || !hs_wire_done(&r)))
		sim_fail(b->s, BOUT "a row is taken otherwise");
}

static void head_take(struct tally_bout *b)
{
	uint32_t rows[] = {0, 1, HS_WIRE_TALLY_ROWS_MAX,
			   HS_WIRE_TALLY_ROWS_MAX + 1};
	uint32_t n = bout_below(b->r, 4), node = !rarely(b);
	struct hs_wire_tally head = {.node = node, .nr_rows = rows[n]};
	uint32_t less = rarely(b);
	struct hs_wire_reader r =
		hs_wire_reader_make(&head, sizeof(head) - less);
	bool ok = !less && node && n > 0 && n < 3;
	const struct hs_wire_tally *got = hs_wire_take_tally(&r);

	if (got != (ok ? &head : NULL) || r.failed == ok)
		sim_fail(b->s, BOUT "a head of %u rows is %s", rows[n],
			 got ? "taken" : "refused");
}

/* ---- sums -----------------------------------------------------------------
 */

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static void unite(struct tally_bout *b)
{
	struct hs_tally_counts have, came, news, was, sum;
	bool any = false, told;

	counts_draw(b, &have);
	counts_draw(b, &came);
	if (rarely(b))
		came = have;
	was = have;
	sum = have;
	memset(&news, 0xaa, sizeof(news));
	told = hs_tally_unite(&have, &came, &news);
	hs_tally_add(&sum, &came);
	any = have.errors != was.errors;
	if (have.errors != larger(was.errors, came.errors) ||
	    news.errors != have.errors - was.errors ||
	    sum.errors != was.errors + came.errors)
		sim_fail(b->s, BOUT "errors do not add up");
	for (uint32_t i = 0; i < 255; i++) {
		any |= have.buckets[i] != was.buckets[i];
		if (have.buckets[i] !=
			    larger(was.buckets[i], came.buckets[i]) ||
		    news.buckets[i] != have.buckets[i] - was.buckets[i] ||
		    sum.buckets[i] != was.buckets[i] + came.buckets[i])
			sim_fail(b->s, BOUT "bucket %u does not add up", i);
	}
	if (told != any)
		sim_fail(b->s, BOUT "news are %stold", any ? "not " : "");
}

/* Each span stands for itself: the least of which a share of q is no greater
 * than its bucket's end. */
static void ranks(struct tally_bout *b)
{
	static const double shares[] = {0, 0.25, 0.5, 0.75, 1};
	struct hs_tally_counts c = {.errors = 1};
	uint32_t spans[64], n = bout_below(b->r, 64);
	double middles = 0;

	for (uint32_t i = 0; i < n; i++)
		c.buckets[bout_below(b->r, 4) ? bout_below(b->r, 255)
					      : 254 * bout_below(b->r, 2)]++;
	for (uint32_t i = 0, at = 0; i < 255; i++)
		for (uint64_t k = 0; k < c.buckets[i]; k++)
			spans[at++] = i;
	for (uint32_t i = 0; i < n; i++)
		middles += ((double)hs_shm_tally_low_ns(spans[i]) +
			    (double)hs_shm_tally_low_ns(spans[i] + 1)) /
			   2 / n;
	if (hs_tally_spans(&c) != n)
		sim_fail(b->s, BOUT "%u spans are others", n);
	for (uint32_t i = 0; i < 5; i++) {
		/* Quarters of whole numbers are exact. */
		uint32_t quarters = i * n, rank = (quarters + 3) / 4;
		uint64_t want = 0;

		if (n)
			want = hs_shm_tally_low_ns(spans[rank ? rank - 1 : 0] +
						   1);
		if (hs_tally_quantile_ns(&c, shares[i]) != want)
			sim_fail(b->s, BOUT "of %u spans the one at %g", n,
				 shares[i]);
	}
	/* Both sum up doubles, in another order. */
	if (hs_tally_mean_ns(&c) < middles * (1 - 1e-9) ||
	    hs_tally_mean_ns(&c) > middles * (1 + 1e-9))
		sim_fail(b->s, BOUT "the mean of %u spans", n);
}

void bout_tally(struct sim *s, uint64_t seed)
{
	static struct tally_bout b;
	static struct hs_random r;

	hs_random_seed(&r, seed ^ 0x7a11ull);
	b.s = s;
	b.r = &r;
	for (uint32_t i = 0; i < NR_DRAWS && !s->failed; i++) {
		text(&b, b.row.service, length(&b, HS_WIRE_TALLY_SERVICE_MAX));
		text(&b, b.row.name, length(&b, HS_WIRE_TALLY_NAME_MAX));
		counts_draw(&b, &b.row.counts);
		row_write(&b);
		if (b.ok)
			row_put(&b);
		row_take(&b);
		head_take(&b);
		unite(&b);
		ranks(&b);
	}
}
