/* SPDX-License-Identifier: Apache-2.0 */
/* wire_tally.c - see wire_tally.h */
#include "rdma/wire_tally.h"

#include <string.h>

#include "base/endian.h"
#include "base/planted.h"
#include "hs/shm_watch.h"

_Static_assert(HS_WIRE_TALLY_BUCKETS == HS_SHM_TALLY_BUCKETS,
	       "the same buckets in memory and on the wire");
_Static_assert(HS_WIRE_TALLY_SERVICE_MAX + 1 == HS_SHM_OPERATION_SERVICE &&
		       HS_WIRE_TALLY_NAME_MAX + 1 == HS_SHM_OPERATION_NAME,
	       "the same texts");

#define COUNT_MAX ((1ull << HS_WIRE_TALLY_COUNT_BITS) - 1)

static size_t padded(size_t bytes)
{
	return (bytes + 7) & ~(size_t)7;
}

const struct hs_wire_tally *hs_wire_take_tally(struct hs_wire_reader *r)
{
	const struct hs_wire_tally *t = hs_wire_take(r, sizeof(*t));

	if (t && (t->nr_rows == 0 || t->nr_rows > HS_WIRE_TALLY_ROWS_MAX ||
		  !t->node))
		r->failed = true;
	return r->failed ? NULL : t;
}

bool hs_wire_take_counts(struct hs_wire_reader *r, uint32_t nr_buckets,
			 struct hs_tally_counts *out)
{
	const uint8_t *words = hs_wire_take(r, nr_buckets * sizeof(uint64_t));
	uint32_t next = 0;

	memset(out->buckets, 0, sizeof(out->buckets));
	for (uint32_t i = 0; words && i < nr_buckets; i++) {
		uint64_t word = hs_le64_load(words + i * sizeof(uint64_t));
		uint32_t bucket = (uint32_t)(word >> HS_WIRE_TALLY_COUNT_BITS);

		if (bucket < next || bucket >= HS_WIRE_TALLY_BUCKETS ||
		    !(word & COUNT_MAX)) {
			r->failed = true;
			return false;
		}
		out->buckets[bucket] = word & COUNT_MAX;
		next = bucket + 1;
	}
	return !r->failed;
}

bool hs_wire_take_tally_row(struct hs_wire_reader *r, struct hs_tally_row *out)
{
	const struct hs_wire_tally_row *row = hs_wire_take(r, sizeof(*row));
	const char *texts;

	if (row && (row->service_bytes > HS_WIRE_TALLY_SERVICE_MAX ||
		    row->name_bytes > HS_WIRE_TALLY_NAME_MAX))
		r->failed = true;
	if (r->failed)
		return false;
	texts = hs_wire_take(
		r, padded((size_t)row->service_bytes + row->name_bytes));
	if (!texts)
		return false;
	memset(out->service, 0, sizeof(out->service));
	memset(out->name, 0, sizeof(out->name));
	memcpy(out->service, texts, row->service_bytes);
	memcpy(out->name, texts + row->service_bytes, row->name_bytes);
	/* What has a zero within would be two names for one. */
	if (strlen(out->service) != row->service_bytes ||
	    strlen(out->name) != row->name_bytes) {
		r->failed = true;
		return false;
	}
	out->counts.errors = row->errors;
	return hs_wire_take_counts(r, row->nr_buckets, &out->counts);
}

void hs_wire_put_counts(struct hs_wire_writer *w,
			const struct hs_tally_counts *counts)
{
	for (uint32_t i = 0; i < HS_WIRE_TALLY_BUCKETS; i++) {
		uint64_t n = counts->buckets[i];
		uint8_t word[sizeof(uint64_t)];

		if (!n)
			continue;
		n = n < COUNT_MAX ? n : COUNT_MAX;
		hs_le64_store(word,
			      (uint64_t)i << HS_WIRE_TALLY_COUNT_BITS | n);
		hs_wire_put(w, word, sizeof(word));
	}
}

void hs_wire_put_tally_row(struct hs_wire_writer *w,
			   const struct hs_tally_row *row)
{
	static const uint8_t zeros[8];
	struct hs_wire_tally_row head = {
		.errors = row->counts.errors,
		.service_bytes = (uint8_t)strlen(row->service),
		.name_bytes = (uint8_t)strlen(row->name),
	};
	size_t texts = (size_t)head.service_bytes + head.name_bytes;

	for (uint32_t i = 0; i < HS_WIRE_TALLY_BUCKETS; i++)
		head.nr_buckets += row->counts.buckets[i] != 0;
	hs_wire_put(w, &head, sizeof(head));
	hs_wire_put(w, row->service, head.service_bytes);
	hs_wire_put(w, row->name, head.name_bytes);
	hs_wire_put(w, zeros, padded(texts) - texts);
	hs_wire_put_counts(w, &row->counts);
}

uint64_t hs_tally_spans(const struct hs_tally_counts *c)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < HS_WIRE_TALLY_BUCKETS; i++)
		n += c->buckets[i];
	return n;
}

static uint64_t unite_one(uint64_t *have, uint64_t came)
{
	uint64_t news = came > *have ? came - *have : 0;

	*have += news;
	return HS_PLANTED(34) ? came : news;
}

bool hs_tally_unite(struct hs_tally_counts *have,
		    const struct hs_tally_counts *came,
		    struct hs_tally_counts *news)
{
	uint64_t any = news->errors = unite_one(&have->errors, came->errors);

	for (uint32_t i = 0; i < HS_WIRE_TALLY_BUCKETS; i++)
		any |= news->buckets[i] =
			unite_one(&have->buckets[i], came->buckets[i]);
	return any;
}

void hs_tally_add(struct hs_tally_counts *to,
		  const struct hs_tally_counts *more)
{
	to->errors += more->errors;
	for (uint32_t i = 0; i < HS_WIRE_TALLY_BUCKETS; i++)
		to->buckets[i] += more->buckets[i];
}

uint64_t hs_tally_quantile_ns(const struct hs_tally_counts *c, double q)
{
	uint64_t all = hs_tally_spans(c), seen = 0;
	uint64_t rank = (uint64_t)(q * (double)all);

	rank += rank == 0 || (double)rank < q * (double)all;
	for (uint32_t i = 0; i < HS_WIRE_TALLY_BUCKETS && all; i++) {
		seen += c->buckets[i];
		if (seen >= rank)
			return hs_shm_tally_low_ns(i + 1);
	}
	return 0;
}

double hs_tally_mean_ns(const struct hs_tally_counts *c)
{
	uint64_t all = hs_tally_spans(c);
	double sum = 0;

	for (uint32_t i = 0; i < HS_WIRE_TALLY_BUCKETS; i++)
		sum += (double)c->buckets[i] *
		       ((double)hs_shm_tally_low_ns(i) +
			(double)hs_shm_tally_low_ns(i + 1)) /
		       2;
	return all ? sum / (double)all : 0;
}
