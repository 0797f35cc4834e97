/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: see redact.h.
 *
 * A record's payload is a row of fields, which a short program for each type
 * spells; the machine walks bytes along it and may stop anywhere:
 *
 *	v varint	b a byte	8 eight bytes	t time
 *	s text that is kept		a attribute	l list of attributes
 *	m text that a rule may mask	r rest, kept	p rest, may be masked
 *	n name that a rule may mask
 *	c varint if the record was cut
 */
#include "model/redact.h"

#include <string.h>

#include "base/endian.h"
#include "base/glob.h"
#include "hs/hindsight.h"
#include "hs/shm_format.h"
#include "model/record.h"
#include "model/record_known.h"
#include "model/record_read.h"
#include "model/redact_hash.h"

enum where {
	BETWEEN, /* or within a record's header */
	VARINT,
	RUN,
	TYPE,	  /* at an attribute's type byte */
	WITHHELD, /* the rest of this record */
	ADRIFT,	  /* what is a record is not known: until the next buffer */
};

enum purpose {
	SKIP,	  /* a number that is kept, then the next field */
	TEXT,	  /* length of a text that is kept */
	MASKABLE, /* length of a text that a rule may mask */
	COUNT,	  /* of a list */
	KEY,	  /* length of a key, or the key */
	ORIGINAL, /* a cut value's own length */
	LENGTH,	  /* of a value */
	NUMBER,	  /* a value that is a varint */
	VALUE,	  /* a value's bytes */
	NAME,	  /* length of a name, written as a key is, or its place */
	AGAIN,	  /* an attribute's place */
	KEY_AGAIN,
	NAME_AGAIN,
};

static const struct {
	const char *program;
	const char *text; /* the name that rules know its text by */
} types[HS_RECORD_TYPE_END] = {
	[HS_RECORD_RESOURCE] = {"vbsl", NULL},
	[HS_RECORD_SPAN_START] = {"v88vbtn", "@span"},
	[HS_RECORD_SPAN_END] = {"vt", NULL},
	[HS_RECORD_ATTR] = {"va", NULL},
	[HS_RECORD_EVENT] = {"vtbml", "@event"},
	[HS_RECORD_LINK] = {"vb888sl", NULL},
	[HS_RECORD_STATUS] = {"vbm", "@status"},
	[HS_RECORD_TEXT] = {"vbm", "@text"},
	[HS_RECORD_FLAGS] = {"vv", NULL},
	[HS_RECORD_TRACEPOINT] = {"tcp", "@tracepoint"},
	[HS_RECORD_CLOCK] = {"88", NULL},
	[HS_RECORD_POINT] = {"cp", "@tracepoint"},
};

struct machine {
	const struct hs_redact_rules *rules;
	uint64_t mask;
	struct hs_redact_state *s;
	struct hs_redact_stats *stats;
	uint8_t *p, *end;
	uint8_t *begin;	      /* of these very bytes: the buffer */
	uint8_t *record;      /* that starts in them, or NULL */
	uint8_t *key_at;      /* in these very bytes, or NULL */
	uint8_t *number_at;   /* the same, of a key that is a number */
	bool whole;	      /* records start in these very bytes */
	uint32_t header_here; /* bytes of the header in these very bytes */
	bool withheld;
};

static uint32_t type_of(const struct hs_redact_state *s)
{
	return hs_record_type_of(s->type, s->version);
}

enum hs_redact_action hs_redact_find(const struct hs_redact_rules *rules,
				     uint64_t mask, const char *key,
				     size_t key_bytes)
{
	for (uint32_t i = 0; i < rules->nr; i++) {
		const struct hs_redact_rule *r = &rules->rules[i];

		if (mask >> i & 1 &&
		    hs_glob(r->pattern, strnlen(r->pattern, sizeof(r->pattern)),
			    key, key_bytes))
			return r->action;
	}
	return HS_REDACT_KEEP;
}

bool hs_redact_tail(const struct hs_redact_state *s)
{
	return s->where != BETWEEN || s->have > 0;
}

static void withhold(struct machine *m, size_t n)
{
	memset(m->p, HS_REDACT_WITHHELD, n);
	m->p += n;
	m->stats->withheld_bytes += n;
	m->withheld |= n > 0;
}

/* This record does not read: what is left of it goes. */
static void give_up(struct machine *m)
{
	m->stats->withheld_records++;
	m->withheld = true;
	m->s->where = WITHHELD;
}

static void expect(struct machine *m, enum where where, enum purpose purpose,
		   uint64_t run)
{
	m->s->where = (uint8_t)where;
	m->s->purpose = (uint8_t)purpose;
	m->s->have = 0;
	m->s->varint = 0;
	m->s->run = run;
	if (where == RUN && run > m->s->left)
		give_up(m);
}

static enum hs_redact_action text_action(const struct machine *m)
{
	const char *name = types[type_of(m->s)].text;

	return hs_redact_find(m->rules, m->mask, name, strlen(name));
}

static void mask_text(struct machine *m, uint64_t run)
{
	m->s->action = (uint8_t)text_action(m);
	if (m->s->action != HS_REDACT_KEEP && run) {
		m->s->action = HS_REDACT_MASK;
		m->stats->masked++;
	}
	expect(m, RUN, MASKABLE, run);
}

/* What the next field of the record wants, if there is one. */
static void next_field(struct machine *m)
{
	struct hs_redact_state *s = m->s;
	const char *program = types[type_of(s)].program;
	char op = program[s->pc];

	if (op)
		s->pc++;
	switch (op) {
	case 'c':
		if (s->type & HS_RECORD_F_CUT)
			expect(m, VARINT, SKIP, 0);
		else
			next_field(m);
		break;
	case 't':
		if (s->type & HS_RECORD_F_TICKS)
			expect(m, RUN, SKIP, HS_RECORD_TICKS_BYTES);
		else
			expect(m, VARINT, SKIP, 0);
		break;
	case 'v':
		expect(m, VARINT, SKIP, 0);
		break;
	case 'b':
		expect(m, RUN, SKIP, 1);
		break;
	case '8':
		expect(m, RUN, SKIP, 8);
		break;
	case 's':
		expect(m, VARINT, TEXT, 0);
		break;
	case 'm':
		expect(m, VARINT, MASKABLE, 0);
		break;
	case 'n':
		expect(m, VARINT,
		       s->version > 1 && s->type & HS_RECORD_F_KNOWN ? NAME
								     : MASKABLE,
		       0);
		break;
	case 'a':
		s->attrs_left = 1;
		expect(m, VARINT, KEY, 0);
		break;
	case 'l':
		expect(m, VARINT, COUNT, 0);
		break;
	case 'p':
		mask_text(m, s->left);
		break;
	default: /* the program is at its end; so must the record be */
		s->where = BETWEEN;
		s->have = 0;
		if (s->left)
			give_up(m);
	}
}

static void next_attr(struct machine *m)
{
	if (--m->s->attrs_left)
		expect(m, VARINT, KEY, 0);
	else
		next_field(m);
}

static void begin_key(struct machine *m, uint64_t len)
{
	m->key_at = (size_t)(m->end - m->p) >= len ? m->p : NULL;
	m->number_at = NULL;
	m->s->key_bytes = 0;
	expect(m, RUN, KEY, len);
}

/* A key by its number: as if its text had been there. */
static void known_key(struct machine *m, uint64_t v)
{
	size_t n;
	const char *name = hs_record_known_name(v, &n);

	if (!name) {
		give_up(m);
		return;
	}
	m->key_at = NULL;
	/* Both bytes of the number lie just before, in these very bytes. */
	m->number_at = m->p - m->begin >= (ptrdiff_t)HS_RECORD_KNOWN_BYTES
			       ? m->p - HS_RECORD_KNOWN_BYTES
			       : NULL;
	m->s->key_bytes = (uint32_t)n;
	memcpy(m->s->key, name, n);
	expect(m, TYPE, SKIP, 0);
}

static void varint_done(struct machine *m)
{
	struct hs_redact_state *s = m->s;
	uint64_t v = s->varint;

	switch ((enum purpose)s->purpose) {
	case TEXT:
		expect(m, RUN, SKIP, v);
		break;
	case MASKABLE:
		mask_text(m, v);
		break;
	case COUNT:
		s->attrs_left = v;
		/* No attribute is shorter than three bytes. */
		if (v > s->left / 3)
			give_up(m);
		else if (v)
			expect(m, VARINT, KEY, 0);
		else
			next_field(m);
		break;
	case KEY:
		if (!(s->type & HS_RECORD_F_KNOWN))
			begin_key(m, v);
		else if (v == HS_RECORD_AGAIN && s->have == 1)
			expect(m, RUN, AGAIN, HS_RECORD_AGAIN_BYTES);
		else if (v == HS_RECORD_AGAIN_KEY && s->have == 1)
			expect(m, RUN, KEY_AGAIN, HS_RECORD_AGAIN_BYTES);
		else if (v & 1)
			known_key(m, v);
		else
			begin_key(m, v >> 1);
		break;
	case NAME:
		if (v == HS_RECORD_AGAIN && s->have == 1)
			expect(m, RUN, NAME_AGAIN, HS_RECORD_AGAIN_BYTES);
		else if (v & 1)
			give_up(m);
		else
			mask_text(m, v >> 1);
		break;
	case LENGTH:
		expect(m, RUN, VALUE, v);
		break;
	case NUMBER:
		next_attr(m);
		break;
	default:
		next_field(m);
	}
}

/* How the value goes on behind its type byte, or its own length. */
static void begin_value(struct machine *m)
{
	switch (m->s->value & HS_RECORD_ATTR_TYPE_MASK) {
	case HS_VALUE_STRING:
	case HS_VALUE_BYTES:
	case HS_VALUE_JSON:
		expect(m, VARINT, LENGTH, 0);
		break;
	case HS_VALUE_INT64:
		expect(m, VARINT, NUMBER, 0);
		break;
	case HS_VALUE_FLOAT64:
		expect(m, RUN, VALUE, 8);
		break;
	case HS_VALUE_BOOL:
		expect(m, RUN, VALUE, 1);
		break;
	default:
		give_up(m);
	}
}

static void varint_byte(struct machine *m)
{
	struct hs_redact_state *s = m->s;
	uint8_t b = *m->p;

	if (s->have == HS_RECORD_VARINT_MAX_BYTES - 1 && b > 1) {
		give_up(m);
		return;
	}
	/* A number in fewer digits would be shorter: zero in as many. */
	if (s->purpose == NUMBER && s->action != HS_REDACT_KEEP)
		*m->p = b & 0x80;
	s->varint |= (uint64_t)(b & 0x7f) << (7 * s->have);
	s->have++;
	m->p++;
	s->left--;
	if (b & 0x80)
		return;
	if (s->purpose == ORIGINAL)
		begin_value(m);
	else
		varint_done(m);
}

static void run_done(struct machine *m)
{
	struct hs_redact_state *s = m->s;

	switch ((enum purpose)s->purpose) {
	case KEY:
		s->where = TYPE;
		break;
	case VALUE:
		next_attr(m);
		break;
	default:
		next_field(m);
	}
}

static void keep_key(struct hs_redact_state *s, const uint8_t *p, size_t n)
{
	size_t room = s->key_bytes < sizeof(s->key)
			      ? sizeof(s->key) - s->key_bytes
			      : 0;

	memcpy(s->key + s->key_bytes % sizeof(s->key), p, n < room ? n : room);
	s->key_bytes += (uint32_t)n;
}

/* ---- what is said again ----------------------------------------------------
 */

/*
 * An attribute that stands earlier in the buffer: what was done to that, these
 * very rules have done, and it is said of this one, too, since it may have left
 * earlier, under others.
 */
static bool attr_again(struct machine *m, uint32_t *word)
{
	size_t size_bytes = (size_t)(m->record - m->begin);
	struct hs_record_attr a;

	if (!hs_record_attr_at(m->begin, size_bytes, *word, &a))
		return false;
	if (a.gone) {
		*word |= HS_RECORD_AGAIN_GONE;
		m->stats->dropped++;
	} else if (a.hashed) {
		*word |= HS_RECORD_AGAIN_HASHED;
		m->stats->hashed++;
	} else if (a.masked) {
		*word |= HS_RECORD_AGAIN_MASKED;
		m->stats->masked++;
	} else {
		/* It stands where no attribute was looked at. */
		return hs_redact_find(m->rules, m->mask, a.key.ptr,
				      a.key.len) == HS_REDACT_KEEP;
	}
	return true;
}

static bool key_again(struct machine *m, uint32_t word)
{
	struct hs_redact_state *s = m->s;
	struct hs_record_str key;
	uint8_t type;

	if (!hs_record_key_at(m->begin, (size_t)(m->record - m->begin), word,
			      &key, &type))
		return false;
	m->key_at = m->number_at = NULL;
	s->key_bytes = 0;
	keep_key(s, (const uint8_t *)key.ptr, key.len);
	/* A dropped one's key is not there any more; this one goes, too. */
	if (type & HS_RECORD_ATTR_GONE)
		s->key_bytes = HS_REDACT_KEY_BYTES + 1;
	return true;
}

static void again(struct machine *m)
{
	struct hs_redact_state *s = m->s;
	enum purpose purpose = (enum purpose)s->purpose;
	uint32_t word;
	bool good;

	/* Whole, in the buffer in which its record starts. */
	if (s->version < 2 || !m->record || s->run != HS_RECORD_AGAIN_BYTES ||
	    m->end - m->p < (ptrdiff_t)HS_RECORD_AGAIN_BYTES) {
		give_up(m);
		return;
	}
	word = hs_le16_load(m->p);
	if (purpose == AGAIN) {
		good = attr_again(m, &word);
	} else if (purpose == KEY_AGAIN) {
		good = key_again(m, word);
	} else {
		good = true;
		if (text_action(m) != HS_REDACT_KEEP) {
			word |= HS_RECORD_AGAIN_MASKED;
			m->stats->masked++;
		}
	}
	if (!good) {
		give_up(m);
		return;
	}
	hs_le16_store(m->p, (uint16_t)word);
	m->p += HS_RECORD_AGAIN_BYTES;
	s->left -= HS_RECORD_AGAIN_BYTES;
	if (purpose == AGAIN)
		next_attr(m);
	else if (purpose == KEY_AGAIN)
		s->where = TYPE;
	else
		next_field(m);
}

static void run_bytes(struct machine *m)
{
	struct hs_redact_state *s = m->s;
	size_t n = (size_t)(m->end - m->p);

	if (s->purpose == AGAIN || s->purpose == KEY_AGAIN ||
	    s->purpose == NAME_AGAIN) {
		again(m);
		return;
	}
	if (n > s->run)
		n = (size_t)s->run;
	if (s->purpose == KEY) {
		keep_key(s, m->p, n);
	} else if (s->purpose == MASKABLE && s->action != HS_REDACT_KEEP) {
		memset(m->p, '*', n);
	} else if (s->purpose == VALUE && s->action != HS_REDACT_KEEP) {
		memset(m->p, 0, n);
	}
	m->p += n;
	s->left -= (uint32_t)n;
	s->run -= n;
	if (s->run == 0)
		run_done(m);
}

/* ---- attributes ------------------------------------------------------------
 */

static void drop(struct machine *m)
{
	if (m->key_at)
		memset(m->key_at, 0, m->s->key_bytes);
	if (m->number_at)
		hs_le16_store(m->number_at,
			      hs_record_known_word(HS_RECORD_KNOWN_GONE));
	*m->p |= HS_RECORD_ATTR_GONE;
	m->stats->dropped++;
}

/* What of this record lies here behind the type byte. */
static size_t value_room(const struct machine *m)
{
	size_t here = (size_t)(m->end - m->p) - 1;

	return here < m->s->left - 1 ? here : m->s->left - 1;
}

static void type_byte(struct machine *m)
{
	struct hs_redact_state *s = m->s;
	bool known = s->key_bytes <= sizeof(s->key);
	enum hs_redact_action action =
		known ? hs_redact_find(m->rules, m->mask, s->key, s->key_bytes)
		      : HS_REDACT_DROP;

	s->value = *m->p;
	if (action == HS_REDACT_HASH &&
	    hs_redact_hash(m->rules->key, m->p, value_room(m))) {
		m->stats->hashed++;
		s->value = *m->p;
		action = HS_REDACT_KEEP;
	} else if (action == HS_REDACT_DROP) {
		drop(m);
	} else if (action != HS_REDACT_KEEP) {
		*m->p |= HS_RECORD_ATTR_MASKED;
		m->stats->masked++;
		action = HS_REDACT_MASK;
	}
	s->action = (uint8_t)action;
	m->p++;
	s->left--;
	if (s->value & HS_RECORD_ATTR_CUT)
		expect(m, VARINT, ORIGINAL, 0);
	else
		begin_value(m);
}

/* ---- records ---------------------------------------------------------------
 */

static void begin_record(struct machine *m, const struct hs_record_head *head)
{
	struct hs_redact_state *s = m->s;
	uint32_t type;

	s->have = 0;
	s->type = head->type;
	s->pc = 0;
	s->left = head->payload_bytes;
	s->action = HS_REDACT_KEEP;
	type = type_of(s);
	if (s->left > HS_RECORD_MAX_BYTES) {
		m->stats->withheld_records++;
		s->where = ADRIFT;
		/* This was no header: it goes with the rest. */
		m->p -= m->header_here;
		withhold(m, m->header_here);
	} else if (type >= HS_RECORD_TYPE_END || !types[type].program) {
		give_up(m);
	} else {
		next_field(m);
	}
}

static void header_bytes(struct machine *m)
{
	struct hs_redact_state *s = m->s;
	struct hs_record_head head;
	size_t n = (size_t)(m->end - m->p);

	if (s->have == 0) {
		m->header_here = 0;
		m->record = m->whole ? m->p : NULL;
		if (!hs_record_head_get(m->p, n, s->version, &head)) {
			m->p += head.bytes;
			m->header_here = head.bytes;
			begin_record(m, &head);
			return;
		}
	}
	m->header_here++;
	s->header[s->have++] = *m->p++;
	if (!hs_record_head_get(s->header, s->have, s->version, &head))
		begin_record(m, &head);
}

/* A field of no bytes, or the end of a record, wants none to go on. */
static void settle(struct machine *m)
{
	struct hs_redact_state *s = m->s;

	while (s->where == RUN && s->run == 0)
		run_done(m);
	if (s->where == BETWEEN || s->where == ADRIFT || s->left)
		return;
	/* It ends here, wherever its fields stand. */
	if (s->where != WITHHELD) {
		m->stats->withheld_records++;
		m->withheld = true;
	}
	s->where = BETWEEN;
	s->have = 0;
}

static void walk(struct machine *m)
{
	struct hs_redact_state *s = m->s;

	while (m->p < m->end) {
		size_t n = (size_t)(m->end - m->p);

		switch ((enum where)s->where) {
		case BETWEEN:
			header_bytes(m);
			break;
		case VARINT:
			varint_byte(m);
			break;
		case RUN:
			run_bytes(m);
			break;
		case TYPE:
			type_byte(m);
			break;
		case WITHHELD:
			if (n > s->left)
				n = s->left;
			withhold(m, n);
			s->left -= (uint32_t)n;
			break;
		case ADRIFT:
			withhold(m, n);
			break;
		}
		settle(m);
	}
}

/* The end of a record that began in an earlier buffer. */
static void walk_tail(struct machine *m, bool known, bool more_follows)
{
	struct hs_redact_state *s = m->s;
	uint8_t *end = m->end;

	if (!known || !hs_redact_tail(s)) {
		m->stats->withheld_records += m->p < m->end;
		withhold(m, (size_t)(m->end - m->p));
	}
	while (m->p < end && hs_redact_tail(s)) {
		/* No further than to the record's end: nothing starts here. */
		if (s->where != BETWEEN && s->where != ADRIFT &&
		    (size_t)(end - m->p) > s->left)
			m->end = m->p + s->left;
		else if (s->where == BETWEEN)
			m->end = m->p + 1;
		walk(m);
		m->end = end;
	}
	withhold(m, (size_t)(m->end - m->p));
	if (more_follows) {
		s->where = BETWEEN;
		s->have = 0;
	}
}

bool hs_redact_buffer(const struct hs_redact_rules *rules, uint64_t mask,
		      struct hs_redact_state *state, bool known, uint8_t *data,
		      size_t size_bytes, struct hs_redact_stats *stats)
{
	struct machine m = {rules, mask, state, stats, .begin = data};
	struct hs_shm_buffer header;
	size_t first;

	stats->buffers++;
	m.p = data;
	if (!hs_record_header_get(data, size_bytes, &header)) {
		/* Whatever it is, it is none of ours. */
		*state = (struct hs_redact_state){.where = BETWEEN};
		withhold(&m, size_bytes);
		return m.withheld;
	}
	if (!known)
		*state = (struct hs_redact_state){.where = BETWEEN};
	first = header.first_record;
	m.p = data + sizeof(header);
	m.end = data + (first ? first : size_bytes);
	walk_tail(&m, known, first != 0);
	m.key_at = m.number_at = NULL;
	m.end = data + size_bytes;
	m.whole = true;
	if (first) {
		state->version = (uint8_t)header.version;
		walk(&m);
	}
	return m.withheld;
}
