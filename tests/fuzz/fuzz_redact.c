/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_redact.c - bytes of anybody through the redactor
 *
 * The input is cut into buffers: u16 length, u8 distance of seq, then so many
 * bytes behind a header whose first record is where the first two say. What
 * must hold: without a rule that fits, and where all reads, whatever a reader
 * understood it still understands, and nothing else changes; with rules, no
 * attribute is left to read that they name. Twice gives the same. Then once
 * more as an agent ships them, in slices that end anywhere of buffers that
 * leave while they are open, wherever the input says that they are committed:
 * there, too, nothing is left to read that the rules name.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/redact.h"
#include "base/endian.h"
#include "base/hash.h"
#include "base/random.h"
#include "hs/shm_format.h"
#include "model/record_read.h"
#include "model/redact.h"
#include "tests/fuzz/fuzz.h"

#define BUFFERS_MAX 8u
#define BYTES_MAX   512u
#define HEAD_BYTES  sizeof(struct hs_shm_buffer)

/* A span with attributes, which goes on in a second buffer. */
static const uint8_t seed_two[] = {
	66,  0,	  0,   64,  0,	 2,   26,  0, 0,  0, 1, 0,  0,	 0,   0,
	0,   0,	  0,   0,   0,	 0,   0,   0, 0,  0, 0, 0,  1,	 0,   1,
	20,  5,	  'o', 'p', 'e', 'r', 'a', 4, 8,  0, 0, 0,  1,	 'k', 3,
	3,   'a', 'b', 'c', 5,	 30,  0,   0, 0,  6, 1, 2,  'e', 'v', 2,
	1,   'n', 1,   7,   1,	 'k', 3,   9, 20, 0, 1, 75, 0,	 'a', 'b',
	'c', 'd', 'e', 'f', 'g', 'h', 'i', 1, 3,  3, 0, 0,  0,	 0,   200};

/* Short records: a key and value, again, its key again, a name, again. */
static const uint8_t seed_again[] = {
	64,   0,  0, 64, 0,  0x34, 8,	 0,   4, 'k',  '1', 0, 3, 'a', 'b',
	0x34, 4,  0, 1,	 67, 0,	   0x34, 7,   0, 3,    67,  0, 0, 1,   'c',
	0x32, 22, 1, 1,	 0,  0,	   0,	 0,   0, 0,    0,   0, 0, 0,   0,
	0,    0,  0, 0,	 0,  2,	   2,	 'n', 3, 0x32, 23,  2, 2, 0,   0,
	0,    0,  0, 0,	 0,  0,	   0,	 0,   0, 0,    0,   0, 0, 0,   0};

const struct hs_fuzz_seed hs_fuzz_seeds[] = {
	{seed_two, sizeof(seed_two)},
	{seed_again, sizeof(seed_again)},
	{NULL, 0},
};

struct heap {
	uint8_t data[BUFFERS_MAX][BYTES_MAX];
	struct hs_record_buffer at[BUFFERS_MAX];
	size_t nr;
};

static void fill(struct heap *h, const uint8_t *in, size_t left)
{
	uint32_t seq = 0;

	for (h->nr = 0; h->nr < BUFFERS_MAX && left >= 5; h->nr++) {
		size_t n = hs_le16_load(in) % (BYTES_MAX - HEAD_BYTES);
		struct hs_shm_buffer head = {
			.magic = HS_SHM_BUF_MAGIC,
			.version = in[2] & 0x80 ? HS_SHM_BUF_VERSION_MIN
						: HS_SHM_BUF_VERSION,
			.header_bytes = HEAD_BYTES,
			.first_record = hs_le16_load(in + 3),
		};

		seq += in[2] % 3;
		in += 5;
		left -= 5;
		if (n > left)
			n = left;
		head.seq = seq;
		memcpy(h->data[h->nr], &head, sizeof(head));
		memcpy(h->data[h->nr] + HEAD_BYTES, in, n);
		h->at[h->nr] = (struct hs_record_buffer){h->data[h->nr],
							 HEAD_BYTES + n, seq};
		in += n;
		left -= n;
	}
}

/* What a reader makes of it, and whether it finds what it should not. */
struct reading {
	uint64_t digest;
	uint64_t records;
	bool named; /* a rule's key, as it was */
};

static void mix(struct reading *r, const void *data, size_t n)
{
	static const uint8_t key[16];

	r->digest =
		hs_hash_mix64(r->digest + 1) ^ hs_hash_siphash(key, data, n);
}

static void take_attr(struct reading *r, const struct hs_record_attr *a)
{
	bool named = a->key.len > 0 && a->key.ptr[0] == 'k';

	mix(r, a->key.ptr, a->key.len);
	if (a->type == HS_VALUE_STRING || a->type == HS_VALUE_BYTES ||
	    a->type == HS_VALUE_JSON)
		mix(r, a->value.bytes.ptr, a->value.bytes.len);
	else
		mix(r, &a->value, sizeof(a->value.i64));
	r->named |= named && !a->masked && !a->hashed;
}

static void take_attrs(struct reading *r, struct hs_record_attrs attrs)
{
	struct hs_record_attr a;

	while (hs_record_attr_next(&attrs, &a))
		take_attr(r, &a);
}

static int visit(void *context, const struct hs_record *rec)
{
	struct reading *r = context;

	r->records++;
	mix(r, &rec->type, sizeof(rec->type));
	mix(r, &rec->ref, sizeof(rec->ref));
	if (rec->type == HS_RECORD_ATTR)
		take_attr(r, &rec->u.attr);
	if (rec->type == HS_RECORD_RESOURCE)
		take_attrs(r, rec->u.resource.attrs);
	if (rec->type == HS_RECORD_EVENT)
		take_attrs(r, rec->u.event.attrs);
	if (rec->type == HS_RECORD_LINK)
		take_attrs(r, rec->u.link.attrs);
	if (rec->type == HS_RECORD_TRACEPOINT)
		mix(r, rec->u.tracepoint.data, rec->u.tracepoint.size_bytes);
	return 0;
}

static struct reading read_all(const struct heap *h)
{
	static uint8_t scratch[HS_RECORD_SCRATCH_BYTES];
	struct reading r = {0};
	const struct hs_record_visitor visitor = {&r, visit};

	hs_record_read(h->at, h->nr, scratch, sizeof(scratch), &visitor, NULL);
	return r;
}

/*
 * As an agent does: a state is known for the next in a row only. Return:
 * whether something was withheld.
 */
static bool redact(const struct hs_redact_rules *rules, struct heap *h)
{
	struct hs_redact_state state = {0};
	struct hs_redact_stats stats = {0};
	uint64_t next = 0;

	for (size_t i = 0; i < h->nr; i++) {
		if (h->at[i].seq < next)
			continue; /* a reader passes it by, too */
		hs_redact_buffer(rules, 1, &state, h->at[i].seq == next,
				 h->data[i], h->at[i].size_bytes, &stats);
		next = (uint64_t)h->at[i].seq + 1;
	}
	return stats.withheld_bytes > 0;
}

static void copy(struct heap *to, const struct heap *from)
{
	*to = *from;
	for (size_t i = 0; i < to->nr; i++)
		to->at[i].data = to->data[i];
}

/* As the carrier does: each slice out of a copy of what is committed. */
static void ship(struct hs_redact *redact, uint32_t handle,
		 const struct heap *from, struct heap *to, uint64_t random)
{
	uint64_t next = 0;

	copy(to, from);
	for (size_t i = 0; i < from->nr; i++) {
		size_t size = from->at[i].size_bytes;
		size_t sent = 0;

		if (from->at[i].seq < next)
			continue;
		next = (uint64_t)from->at[i].seq + 1;
		while (sent < size) {
			uint8_t bounce[BYTES_MAX];
			size_t committed =
				sent + 1 +
				hs_random_splitmix(&random) % (size - sent);
			size_t end = sent + 1 +
				     hs_random_splitmix(&random) %
					     (committed - sent);
			struct hs_wire_slice head = {
				.process = 1,
				.handle = handle,
				.offset = (uint32_t)sent,
				.length_bytes = (uint32_t)(committed - sent)};

			memcpy(bounce, from->data[i], committed);
			hs_redact_slice(redact, 1, 0, &head, bounce);
			memcpy(to->data[i] + sent, bounce + sent, end - sent);
			sent = end;
		}
	}
}

static void try_shipped(const struct heap *in, int action, const uint8_t *data,
			size_t len_bytes)
{
	static const uint8_t key[16];
	static struct hs_redact *redact;
	static struct heap out, again;
	static uint32_t handle; /* a stream that nobody has seen */
	struct hs_agent_redact_settings one = {(char *)(uintptr_t) "k*", action,
					       (char *)(uintptr_t) "*"};
	const struct hs_config_maps maps = {.items = &one, .nr_items = 1};
	uint64_t random = hs_hash_siphash(key, data, len_bytes);

	if (!redact)
		redact = hs_redact_make();
	hs_redact_load(redact, &maps, key);
	ship(redact, ++handle, in, &out, random);
	if (read_all(&out).named)
		abort();
	ship(redact, ++handle, in, &again, random);
	if (memcmp(out.data, again.data, sizeof(out.data)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	static struct heap in, out, again;
	static struct hs_redact_rules rules = {.nr = 1};
	struct reading was, is;
	bool withheld;

	if (len_bytes < 1)
		return 0;
	fill(&in, data + 1, len_bytes - 1);
	was = read_all(&in);
	strcpy(rules.rules[0].pattern, "no such key");
	rules.rules[0].action = HS_REDACT_DROP;
	copy(&out, &in);
	withheld = redact(&rules, &out);
	is = read_all(&out);
	/* What is withheld may be what was to be said again. An endless key is
	 * dropped: then one may be less. */
	if (is.records > was.records)
		abort();
	if (!withheld && len_bytes < HS_REDACT_KEY_BYTES &&
	    (is.records != was.records || is.digest != was.digest))
		abort();
	strcpy(rules.rules[0].pattern, "k*");
	rules.rules[0].action =
		(enum hs_redact_action)(HS_REDACT_DROP + data[0] % 3);
	copy(&out, &in);
	redact(&rules, &out);
	if (read_all(&out).named)
		abort();
	copy(&again, &in);
	redact(&rules, &again);
	if (memcmp(out.data, again.data, sizeof(out.data)))
		abort();
	try_shipped(&in, (int)rules.rules[0].action, data, len_bytes);
	return 0;
}
