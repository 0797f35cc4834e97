/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Redaction where slices are split: values that run on over buffers, buffers
 * that leave while they are open and then onward, slices that end anywhere,
 * in a key or a value, that go again, and handles whose slices alternate. What
 * leaves in pieces has to be what leaves in one, byte for byte, and none of it
 * is what a rule names.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/redact.h"
#include "base/endian.h"
#include "base/random.h"
#include "hs/hindsight.h"
#include "hs/shm_format.h"
#include "model/record.h"
#include "model/record_read.h"

#define HEAD	      sizeof(struct hs_shm_buffer)
#define SECRET	      0xee /* three of it are of nothing else */
#define RECORDS	      40u
#define VALUE_MAX     400u
#define STREAM_BYTES  (RECORDS * (VALUE_MAX + 16))
#define BUFFERS_MAX   256u
#define PAYLOAD_MIN   70u
#define PAYLOAD_RANGE 240u
#define BUFFER_BYTES  (HEAD + PAYLOAD_MIN + PAYLOAD_RANGE)
#define HANDLES	      2u
#define SEEDS	      300u

static const uint8_t cluster_key[16] = {1};

/* Of one handle: what it wrote, and what has left of that. */
struct handle {
	uint8_t stream[STREAM_BYTES];
	size_t size_bytes, ends[RECORDS]; /* of records */
	uint32_t nr_public;
	uint8_t in[BUFFERS_MAX][BUFFER_BYTES], out[BUFFERS_MAX][BUFFER_BYTES];
	uint32_t bytes[BUFFERS_MAX];
	size_t from[BUFFERS_MAX]; /* in the stream */
	uint32_t nr;
	/* What is shipped next. */
	uint32_t buffer, sent;
};

struct world {
	struct hs_random random;
	struct hs_redact *redact;
	struct handle handles[HANDLES];
	uint32_t flags;
};

static uint32_t below(struct world *w, uint32_t n)
{
	return (uint32_t)hs_random_below(&w->random, n);
}

/* ---- what is written ------------------------------------------------------
 */

static void attr(struct world *w, struct handle *h)
{
	bool secret = below(w, 2), text = below(w, 4);
	uint32_t length = below(w, VALUE_MAX);
	uint8_t *at = h->stream + h->size_bytes, *p = at + 4;

	*p++ = 0;
	*p++ = 1;
	*p++ = secret ? 'k' : 'p';
	*p++ = text ? HS_VALUE_STRING : HS_VALUE_INT64;
	if (text) {
		p += hs_record_varint_put(p, length);
		memset(p, secret ? SECRET : 'v', length);
		p += length;
	} else {
		p += hs_record_varint_put(p, secret ? UINT64_MAX / 3 : 5);
	}
	h->nr_public += !secret;
	hs_le32_store(at,
		      hs_record_header(HS_RECORD_ATTR, (uint32_t)(p - at - 4)));
	h->size_bytes += (size_t)(p - at);
}

static void buffers_make(struct world *w, struct handle *h)
{
	size_t at = 0;
	uint32_t next = 0;

	for (h->nr = 0; at < h->size_bytes; h->nr++) {
		size_t n = PAYLOAD_MIN + below(w, PAYLOAD_RANGE);
		struct hs_shm_buffer head = {
			.magic = HS_SHM_BUF_MAGIC,
			.version = HS_SHM_BUF_VERSION,
			.header_bytes = HEAD,
			.seq = h->nr + 1,
		};
		size_t start;

		assert_true(h->nr < BUFFERS_MAX);
		if (n > h->size_bytes - at)
			n = h->size_bytes - at;
		while (next && next < RECORDS && h->ends[next - 1] < at)
			next++;
		start = next ? h->ends[next - 1] : 0;
		if (start >= at && start < at + n)
			head.first_record = (uint32_t)(HEAD + start - at);
		memcpy(h->in[h->nr], &head, HEAD);
		memcpy(h->in[h->nr] + HEAD, h->stream + at, n);
		h->bytes[h->nr] = (uint32_t)(HEAD + n);
		h->from[h->nr] = at;
		at += n;
		next += next == 0;
	}
}

static void handle_make(struct world *w, struct handle *h)
{
	memset(h, 0, sizeof(*h));
	for (uint32_t i = 0; i < RECORDS; i++) {
		attr(w, h);
		h->ends[i] = h->size_bytes;
	}
	buffers_make(w, h);
}

/* ---- what leaves ----------------------------------------------------------
 */

/* As the carrier does: from the buffer's start to what is committed. */
static void send_range(struct world *w, uint32_t nr, uint32_t committed,
		       uint32_t from, uint32_t to)
{
	struct handle *h = &w->handles[nr];
	uint8_t bounce[BUFFER_BYTES];
	struct hs_wire_slice head = {.process = 1,
				     .handle = nr + 7,
				     .offset = from,
				     .length_bytes = committed - from};

	memcpy(bounce, h->in[h->buffer], committed);
	hs_redact_slice(w->redact, 1, 0, &head, bounce);
	memcpy(h->out[h->buffer] + from, bounce + from, to - from);
	w->flags |= head.flags;
}

/* The last whole record within the buffer at present, or its end. */
static uint32_t commit(struct world *w, const struct handle *h)
{
	size_t from = h->from[h->buffer];
	uint32_t bytes = h->bytes[h->buffer];
	uint32_t i = below(w, RECORDS);

	if (h->ends[i] <= from || h->ends[i] >= from + bytes - HEAD)
		return bytes;
	return (uint32_t)(HEAD + h->ends[i] - from);
}

/* Some of what is committed of one handle, in slices that end anywhere. */
static void ship_some(struct world *w, uint32_t nr)
{
	struct handle *h = &w->handles[nr];
	uint32_t committed = commit(w, h);

	while (h->sent < committed) {
		uint32_t to = h->sent + 1 + below(w, committed - h->sent);

		send_range(w, nr, committed, h->sent, to);
		/* Nobody has acknowledged it. */
		if (!below(w, 4))
			send_range(w, nr, committed, h->sent, to);
		h->sent = to;
	}
	if (h->sent == h->bytes[h->buffer]) {
		h->buffer++;
		h->sent = 0;
	}
}

static bool ship_one(struct world *w)
{
	uint32_t nr = below(w, HANDLES);

	for (uint32_t i = 0; i < HANDLES; i++, nr = (nr + 1) % HANDLES)
		if (w->handles[nr].buffer < w->handles[nr].nr) {
			ship_some(w, nr);
			return true;
		}
	return false;
}

/* ---- what has to hold -----------------------------------------------------
 */

struct seen {
	uint32_t nr_public, nr_named;
	bool bare; /* a named one as it was */
};

static int visit(void *context, const struct hs_record *r)
{
	struct seen *s = context;
	const struct hs_record_attr *a = &r->u.attr;

	if (r->type != HS_RECORD_ATTR)
		return 0;
	s->nr_public += a->key.len == 1 && a->key.ptr[0] == 'p';
	if (a->key.len == 1 && a->key.ptr[0] == 'k') {
		s->nr_named++;
		s->bare |= !a->masked && !a->hashed;
	}
	return 0;
}

static void check_handle(const struct handle *h, enum hs_redact_action action)
{
	static uint8_t scratch[HS_RECORD_SCRATCH_BYTES];
	static uint8_t whole[BUFFERS_MAX][BUFFER_BYTES];
	struct hs_redact_rules rules = {.nr = 1};
	struct hs_record_buffer at[BUFFERS_MAX];
	struct hs_redact_state state = {0};
	struct hs_redact_stats stats = {0};
	struct hs_record_stats read = {0};
	struct seen seen = {0};
	const struct hs_record_visitor visitor = {&seen, visit};

	strcpy(rules.rules[0].pattern, "k");
	rules.rules[0].action = action;
	memcpy(rules.key, cluster_key, sizeof(rules.key));
	memcpy(whole, h->in, sizeof(whole));
	for (uint32_t i = 0; i < h->nr; i++) {
		assert_false(hs_redact_buffer(&rules, 1, &state, i > 0,
					      whole[i], h->bytes[i], &stats));
		assert_memory_equal(h->out[i], whole[i], h->bytes[i]);
		/* One may be of a length. */
		assert_null(memmem(h->out[i] + HEAD, h->bytes[i] - HEAD,
				   "\xee\xee\xee", 3));
		at[i] = (struct hs_record_buffer){h->out[i], h->bytes[i],
						  i + 1};
	}
	hs_record_read(at, h->nr, scratch, sizeof(scratch), &visitor, &read);
	assert_int_equal(read.garbage + read.cut + read.skipped_bytes, 0);
	assert_int_equal(seen.nr_public, h->nr_public);
	assert_int_equal(seen.nr_named,
			 action == HS_REDACT_DROP ? 0 : RECORDS - h->nr_public);
	assert_false(seen.bare);
}

static void split(enum hs_redact_action action)
{
	static struct world w;
	struct hs_agent_redact_settings one = {
		(char *)(uintptr_t) "k", (int)action, (char *)(uintptr_t) "*"};
	const struct hs_config_maps maps = {.items = &one, .nr_items = 1};

	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		w.redact = hs_redact_make();
		w.flags = 0;
		hs_redact_load(w.redact, &maps, cluster_key);
		hs_random_seed(&w.random, seed);
		for (uint32_t i = 0; i < HANDLES; i++)
			handle_make(&w, &w.handles[i]);
		while (ship_one(&w))
			;
		assert_int_equal(w.flags, 0);
		for (uint32_t i = 0; i < HANDLES; i++)
			check_handle(&w.handles[i], action);
		hs_redact_free(w.redact);
	}
}

static void test_dropped(void **state)
{
	(void)state;
	split(HS_REDACT_DROP);
}

static void test_masked(void **state)
{
	(void)state;
	split(HS_REDACT_MASK);
}

static void test_hashed(void **state)
{
	(void)state;
	split(HS_REDACT_HASH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dropped),
		cmocka_unit_test(test_masked),
		cmocka_unit_test(test_hashed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
