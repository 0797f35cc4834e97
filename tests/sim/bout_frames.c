/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_frames.c - frames of the shipping protocol: which of those that come are
 * some, whose tag is right, and where they begin in a stream of bytes
 *
 * Frames are made here by the words of ship_format.h, with each length and
 * count at its limit or one beyond; what is not one must be found out. Those
 * that are sealed by the code must be the same bytes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "ship/proto_stream.h"
#include "tests/ship/lossy_tag.h"
#include "tests/sim/bout.h"

#define BOUT	 "bout of frames: "
#define NR_DRAWS 40u
#define HEADER	 48u
#define ROOM	 10000u

struct made {
	struct sim *s;
	struct hs_random *r;
	struct hs_ship_header h;
	uint8_t data[ROOM];
	uint32_t head, bytes; /* so many of its head, and in all */
	bool ok;
};

static bool rarely(struct made *m)
{
	return hs_random_chance(m->r, 0.06);
}

static void add(struct made *m, const void *data, size_t bytes)
{
	memcpy(m->data + m->bytes, data, bytes);
	m->bytes += (uint32_t)bytes;
}

static void parts(struct made *m, uint32_t nr)
{
	struct hs_ship_part part[HS_SHIP_PARTS_MAX + 2] = {0};
	uint32_t sum = 0;

	for (uint32_t i = 0; i < nr; i++) {
		part[i].slice = i;
		part[i].offset = hs_random_chance(m->r, 0.6) ? 0 : 9;
		part[i].bytes = bout_below(m->r, 30);
		/* As long as a frame may be, and a byte longer. */
		if (nr == 1 && hs_random_chance(m->r, 0.2))
			part[i].bytes = HS_SHIP_FRAME_MAX_BYTES - 88 - 16 -
					(part[i].offset ? 0 : 72) +
					bout_below(m->r, 2);
		sum += part[i].bytes;
	}
	add(m, part, nr * sizeof(part[0]));
	for (uint32_t i = 0; i < nr; i++) {
		struct hs_wire_slice h = {.length_bytes = part[i].bytes};

		if (part[i].offset)
			continue;
		if (rarely(m))
			h.length_bytes = HS_WIRE_SLICE_MAX_BYTES;
		else if (hs_random_chance(m->r, 0.01))
			h.length_bytes = HS_WIRE_SLICE_MAX_BYTES + 1;
		else if (h.length_bytes && hs_random_chance(m->r, 0.01))
			h.length_bytes--;
		m->ok &= h.length_bytes <= HS_WIRE_SLICE_MAX_BYTES &&
			 h.length_bytes >= part[i].bytes;
		/* One is missing, or cut off. */
		if (m->ok && hs_random_chance(m->r, 0.01)) {
			m->ok = false;
			add(m, &h, bout_below(m->r, 2) * 71);
			continue;
		}
		add(m, &h, sizeof(h));
	}
	if (m->ok && rarely(m)) {
		struct hs_wire_slice h = {0};

		m->ok = false;
		add(m, &h, bout_below(m->r, 2) ? sizeof(h) : 1);
	}
	m->head = m->bytes;
	if (m->ok && rarely(m)) {
		m->ok = false;
		sum += bout_below(m->r, 2) || !sum ? 1 : -1u;
	}
	memset(m->data + m->bytes, 7, sum);
	m->bytes += sum;
	m->ok &= m->bytes <= HS_SHIP_FRAME_MAX_BYTES;
}

static void data(struct made *m)
{
	struct hs_ship_data d = {.frame = 5};
	uint32_t nr = bout_below(m->r, 5);

	if (rarely(m))
		nr = HS_SHIP_PARTS_MAX + bout_below(m->r, 2);
	m->ok &= nr <= HS_SHIP_PARTS_MAX;
	d.nr_parts = (uint16_t)nr;
	/* Rows that are cut off: of the last part as well. */
	if (rarely(m)) {
		m->ok = false;
		d.nr_parts++;
	}
	add(m, &d, sizeof(d));
	parts(m, nr);
}

static void ack(struct made *m)
{
	struct hs_ship_ack a = {.first = 3};
	uint8_t rows[HS_SHIP_SACK_BYTES + 1 + 8 * (HS_SHIP_REFUSED_MAX + 1) +
		     1];
	uint32_t bytes;

	a.nr_sack_bytes = (uint16_t)bout_below(m->r, 4);
	a.nr_refused = (uint16_t)bout_below(m->r, 4);
	if (rarely(m))
		a.nr_sack_bytes = (uint16_t)(128 + bout_below(m->r, 2));
	if (rarely(m))
		a.nr_refused = (uint16_t)(32 + bout_below(m->r, 2));
	m->ok &= a.nr_sack_bytes <= 128 && a.nr_refused <= 32;
	bytes = a.nr_sack_bytes + 8u * a.nr_refused;
	if (rarely(m)) {
		m->ok = false;
		bytes += bout_below(m->r, 2) || !bytes ? 1 : -1u;
	}
	memset(rows, 1, sizeof(rows));
	add(m, &a, sizeof(a));
	add(m, rows, bytes);
}

static void make(struct made *m)
{
	static const uint32_t bodies[] = {0, 24, 40, 0, 0, 8};
	static const uint8_t zeros[64];

	m->ok = true;
	m->bytes = HEADER;
	m->h = (struct hs_ship_header){.magic = HS_SHIP_MAGIC, .version = 1};
	m->h.type = (uint8_t)(1 + bout_below(m->r, 5));
	m->head = 0;
	m->h.to = hs_random_u64(m->r);
	m->h.from = hs_random_u64(m->r);
	if (m->h.type == HS_SHIP_DATA)
		data(m);
	else if (m->h.type == HS_SHIP_ACK)
		ack(m);
	else
		add(m, zeros, bodies[m->h.type]);
	if (m->h.type != HS_SHIP_DATA && m->h.type != HS_SHIP_ACK &&
	    rarely(m)) {
		m->ok = false;
		add(m, zeros, 1);
	}
	if (!m->head)
		m->head = m->bytes;
	if (m->h.type != HS_SHIP_DATA && rarely(m)) {
		m->ok = false;
		add(m, zeros, 1); /* bytes behind what has none */
	}
	m->h.bytes = (uint16_t)m->bytes;
	m->h.head_bytes = m->head;
}

/* What a header may say that is wrong. */
static void spoil(struct made *m)
{
	static const uint32_t least[] = {48, 72, 88, 88, 120, 56};

	switch (hs_random_below(m->r, 40)) {
	case 0:
		m->h.magic++;
		break;
	case 1:
		m->h.version += (uint8_t)(bout_below(m->r, 2) * 2 - 1);
		break;
	case 2:
		m->h.type = (uint8_t)(bout_below(m->r, 2) * 6);
		break;
	case 3:
		m->h.bytes += (uint16_t)(bout_below(m->r, 2) * 2 - 1);
		break;
	case 4:
		m->h.head_bytes = m->bytes + 1;
		break;
	case 5:
		m->h.head_bytes = least[m->h.type] - 1;
		break;
	case 6:
		m->bytes = HEADER - bout_below(m->r, 2);
		m->h.type *= (uint8_t)bout_below(m->r, 2);
		m->h.bytes = (uint16_t)m->bytes;
		m->h.head_bytes = HEADER;
		break;
	default:
		return;
	}
	m->ok = false;
}

/* With tag and checksum as 0; then the tag over all, with the checksum. */
static void seal(struct made *m, const struct hs_ship_auth *auth)
{
	struct hs_ship_span all = {m->data, m->bytes};
	uint32_t head = m->h.head_bytes;

	m->h.crc = 0;
	memset(m->h.tag, 0, sizeof(m->h.tag));
	memcpy(m->data, &m->h, HEADER);
	if (head > m->bytes || head < HEADER)
		head = HEADER;
	m->h.crc = hs_crc32c(0, m->data, head);
	if (rarely(m)) {
		m->h.crc ^= 1;
		m->ok = false;
	}
	memcpy(m->data, &m->h, HEADER);
	if (!auth->tag || m->bytes > HS_SHIP_FRAME_MAX_BYTES)
		return;
	auth->tag(auth->ctx, &all, 1, m->h.tag);
	memcpy(m->data, &m->h, HEADER);
}

/* Another key than lossy_tag()'s. */
static void other_tag(void *ctx, const struct hs_ship_span *spans, uint32_t nr,
		      uint8_t out[HS_SHIP_TAG_BYTES])
{
	lossy_tag(ctx, spans, nr, out);
	out[3] ^= 0x55;
}

static void same_when_sealed(struct made *m, const struct hs_ship_auth *auth)
{
	uint8_t copy[ROOM];
	struct hs_ship_span spans[2];
	uint32_t rest = m->bytes - m->head, first = rest / 3;
	struct hs_ship_header bare = {
		.type = m->h.type, .to = m->h.to, .from = m->h.from};

	memcpy(copy, m->data, m->bytes);
	memcpy(copy, &bare, sizeof(bare));
	spans[0] = (struct hs_ship_span){copy + m->head, first};
	spans[1] = (struct hs_ship_span){copy + m->head + first, rest - first};
	hs_ship_frame_seal(auth, copy, m->head, spans, rest ? 2 : 0);
	if (memcmp(copy, m->data, m->bytes) != 0)
		sim_fail(m->s, BOUT "one is sealed as another");
}

static void tags(struct made *m)
{
	const struct hs_ship_auth none = {0};
	const struct hs_ship_auth one = {.tag = lossy_tag};
	const struct hs_ship_auth other = {.tag = other_tag};
	const struct hs_ship_auth both = {.tag = other_tag,
					  .tag_also = lossy_tag};
	uint32_t at = 32 + bout_below(m->r, HS_SHIP_TAG_BYTES);

	if (!hs_ship_frame_authentic(NULL, m->data, m->bytes) ||
	    !hs_ship_frame_authentic(&none, m->data, m->bytes) ||
	    !hs_ship_frame_authentic(&one, m->data, m->bytes) ||
	    !hs_ship_frame_authentic(&both, m->data, m->bytes))
		sim_fail(m->s, BOUT "a tag is not taken that is right");
	if (hs_ship_frame_authentic(&other, m->data, m->bytes))
		sim_fail(m->s, BOUT "a tag by another key is taken");
	m->data[at] ^= (uint8_t)(1u << bout_below(m->r, 8));
	if (hs_ship_frame_authentic(&one, m->data, m->bytes) ||
	    hs_ship_frame_authentic(&both, m->data, m->bytes))
		sim_fail(m->s, BOUT "a tag is taken that was bent");
}

static void parses(struct made *m)
{
	const struct hs_ship_auth auth = {.tag = lossy_tag};
	struct hs_ship_view v;
	const char *why = "";
	int rc;

	make(m);
	spoil(m);
	seal(m, &auth);
	rc = hs_ship_frame_parse(&v, m->data, m->bytes, &why);
	if (rc != (m->ok ? 0 : -EBADMSG))
		sim_fail(m->s, BOUT "one of type %u is %s: %s", m->h.type,
			 m->ok ? "refused" : "taken", why);
	if (!m->ok || rc)
		return;
	if (memcmp(&v.header, &m->h, HEADER) || v.bytes != m->data + m->head ||
	    v.nr_bytes != m->bytes - m->head)
		sim_fail(m->s, BOUT "one is taken for another");
	same_when_sealed(m, &auth);
	tags(m);
}

/* ---- a stream -------------------------------------------------------------
 */

/* One that is as long as a frame may be, and others; or as none may be. */
static uint32_t length(struct made *m)
{
	switch (hs_random_below(m->r, 12)) {
	case 0:
		return HS_SHIP_FRAME_MAX_BYTES;
	case 1:
	case 2:
		return HEADER;
	case 3:
		return hs_random_chance(m->r, 0.3) ? HEADER - 1 : HEADER;
	case 4:
		return hs_random_chance(m->r, 0.3) ? HS_SHIP_FRAME_MAX_BYTES + 1
						   : HEADER + 1;
	default:
		return HEADER + bout_below(m->r, 200);
	}
}

static uint32_t piece(struct made *m)
{
	static const uint32_t sizes[] = {1, 2, 8, 9, 49, 300, 12000};

	return bout_below(m->r, sizes[hs_random_below(m->r, 7)] + 1);
}

/* Its bytes as they go over a connection, which is cut somewhere. */
static uint32_t flow(struct made *m, uint8_t *out, uint32_t room,
		     uint32_t *starts, uint32_t *nr, bool *bad)
{
	uint32_t used = 0;

	*nr = 0;
	*bad = false;
	while (!*bad && *nr < 12) {
		struct hs_ship_header h = {.magic = HS_SHIP_MAGIC};
		uint32_t bytes = length(m);

		if (used + bytes + HEADER > room)
			break;
		h.bytes = (uint16_t)bytes;
		*bad = bytes < HEADER || bytes > HS_SHIP_FRAME_MAX_BYTES;
		if (hs_random_chance(m->r, 0.02)) {
			h.magic ^= 1u << bout_below(m->r, 32);
			*bad = true;
		}
		memset(out + used, (int)(*nr + 1), bytes);
		memcpy(out + used, &h, sizeof(h));
		starts[(*nr)++] = used;
		used += bytes < HEADER ? HEADER : bytes;
	}
	starts[*nr] = used;
	return used;
}

static void streams(struct made *m)
{
	static uint8_t bytes[4 * HS_SHIP_FRAME_MAX_BYTES];
	struct hs_ship_stream st = {0};
	uint32_t starts[13] = {0}, nr, all, upto = 0, came = 0;
	const uint8_t *at = bytes;
	bool bad;

	all = flow(m, bytes, sizeof(bytes), starts, &nr, &bad);
	while (upto < all && !m->s->failed) {
		uint32_t n = piece(m);
		size_t left;

		upto = upto + n < all ? upto + n : all;
		left = (size_t)(bytes + upto - at);
		for (;;) {
			const void *frame = NULL;
			const char *why = NULL;
			uint32_t size = 0;
			/* What is wrong is known by its first eight bytes. */
			bool is_bad = bad && came + 1 == nr &&
				      upto >= starts[came] + 8;
			bool whole = came < nr && !is_bad &&
				     upto >= starts[came + 1];
			/* Where it lies, if it came in one piece. */
			bool in_place = whole && at == bytes + starts[came];
			int rc = hs_ship_stream_next(&st, &at, &left, &frame,
						     &size, &why);

			if (rc != (is_bad ? -EBADMSG : whole))
				sim_fail(m->s, BOUT "the %uth of a stream: %d",
					 came, rc);
			if (rc <= 0 && is_bad) {
				if (!why)
					sim_fail(m->s, BOUT "no reason");
				return;
			}
			if (rc <= 0 || m->s->failed)
				break;
			if (size != starts[came + 1] - starts[came] ||
			    memcmp(frame, bytes + starts[came], size) != 0)
				sim_fail(m->s, BOUT "another of a stream");
			if (in_place && frame != bytes + starts[came])
				sim_fail(m->s, BOUT "one that is copied");
			came++;
		}
		if (left || at != bytes + upto)
			sim_fail(m->s, BOUT "something of a stream is left");
	}
}

void bout_frames(struct sim *s, uint64_t seed)
{
	struct made *m = sim_zalloc(1, sizeof(*m));
	struct hs_random r;

	hs_random_seed(&r, seed ^ 0xf4a3e5ull);
	m->s = s;
	m->r = &r;
	for (uint32_t i = 0; i < NR_DRAWS && !s->failed; i++) {
		parses(m);
		if (i % 8 == 0)
			streams(m);
	}
	free(m);
}
