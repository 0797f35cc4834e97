/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: a context as W3C Trace Context headers. Our tracestate member:
 *
 *   hs=1-FF[-TTTTTTTT][-CCCCCCCCCCCCCCCC]{0,6}
 *
 * version, flags (04: a trigger has fired, whose hash follows; 08: the parent
 * id in traceparent only stands in for "no span"), crumbs, all in hex. It uses
 * neither ',' nor '=' and has at most 118 characters.
 *
 * Guarantees: pure; every character of the input is untrusted; other members
 * are passed on byte for byte or not at all.
 */
#include <errno.h>
#include <string.h>

#include "hs/hindsight.h"

#define MEMBERS_MAX 32u
#define OWN_MAX	    HS_TRACESTATE_MEMBER_MAX_CHARS
#define F_NO_SPAN   0x08u
#define BAGGAGE_MAX 8192u
#define W3C_FLAGS   (HS_CONTEXT_F_SAMPLED | HS_CONTEXT_F_RANDOM)
#define STATE_FLAGS (HS_CONTEXT_F_TRIGGERED | F_NO_SPAN)

static char *hex_put(char *p, uint64_t v, unsigned int digits)
{
	static const char hex[] = "0123456789abcdef";

	while (digits--)
		*p++ = hex[v >> (4 * digits) & 15];
	return p;
}

/* Lower-case hex alone, as the standard has it. */
static bool hex_get(const char *p, unsigned int digits, uint64_t *out)
{
	uint64_t v = 0;

	for (unsigned int i = 0; i < digits; i++) {
		char c = p[i];

		if (c >= '0' && c <= '9')
			v = v << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			v = v << 4 | (uint64_t)(c - 'a' + 10);
		else
			return false;
	}
	*out = v;
	return true;
}

/* ---- members ------------------------------------------------------------ */

struct member {
	const char *ptr;
	size_t len;
};

static bool space(char c)
{
	return c == ' ' || c == '\t';
}

/* The next member of a list, trimmed; false at its end. */
static bool member_next(const char **list, struct member *out)
{
	const char *p = *list;
	const char *end;

	while (*p) {
		size_t n = strcspn(p, ",");

		end = p + n;
		*list = *end ? end + 1 : end;
		while (p < end && space(*p))
			p++;
		while (end > p && space(end[-1]))
			end--;
		if (end > p) {
			*out = (struct member){p, (size_t)(end - p)};
			return true;
		}
		p = *list;
	}
	return false;
}

static bool key_is(const struct member *m, const char *key)
{
	size_t n = strlen(key);

	return m->len > n && memcmp(m->ptr, key, n) == 0 && m->ptr[n] == '=';
}

/* A key, '=', and a value of printable characters without ',' and '='. */
static bool member_good(const struct member *m)
{
	static const char key_chars[] =
		"abcdefghijklmnopqrstuvwxyz0123456789_-*/@";
	const char *eq = memchr(m->ptr, '=', m->len);

	if (!eq || eq == m->ptr || eq - m->ptr > 256 ||
	    m->len - (size_t)(eq - m->ptr) - 1 > 256)
		return false;
	for (const char *p = m->ptr; p < eq; p++) {
		if (!strchr(key_chars, *p))
			return false;
	}
	for (const char *p = eq + 1; p < m->ptr + m->len; p++) {
		if (*p < ' ' || *p > '~' || *p == '=')
			return false;
	}
	return m->len > (size_t)(eq - m->ptr) + 1;
}

/* ---- encode ------------------------------------------------------------- */

static size_t own_member(const struct hs_context *c, char *out)
{
	uint32_t nr = c->nr_crumbs;
	uint8_t flags = c->flags & HS_CONTEXT_F_TRIGGERED;
	char *p = out;

	if (nr > HS_CONTEXT_CRUMBS_MAX)
		nr = HS_CONTEXT_CRUMBS_MAX;
	if (!c->span_id)
		flags |= F_NO_SPAN;
	if (!nr && !flags)
		return 0;
	memcpy(p, "hs=1-", 5);
	p = hex_put(p + 5, flags, 2);
	if (flags & HS_CONTEXT_F_TRIGGERED) {
		*p++ = '-';
		p = hex_put(p, c->trigger, 8);
	}
	for (uint32_t i = 0; i < nr; i++) {
		*p++ = '-';
		p = hex_put(p, c->crumbs[i], 16);
	}
	return (size_t)(p - out);
}

static void traceparent_put(const struct hs_context *c, char *p)
{
	uint64_t span = c->span_id;

	/* All zeros would be invalid; our member says that it is none. */
	if (!span)
		span = c->trace_id.lo ? c->trace_id.lo : c->trace_id.hi;
	memcpy(p, "00-", 3);
	p = hex_put(p + 3, c->trace_id.hi, 16);
	p = hex_put(p, c->trace_id.lo, 16);
	*p++ = '-';
	p = hex_put(p, span, 16);
	*p++ = '-';
	p = hex_put(p, c->flags & W3C_FLAGS, 2);
	*p = '\0';
}

/* The members of others; none when the list is not one. */
static uint32_t others(const char *list, struct member *out, uint32_t max)
{
	struct member m;
	uint32_t nr = 0;

	while (list && member_next(&list, &m)) {
		if (!member_good(&m))
			return 0;
		if (key_is(&m, "hs"))
			continue;
		if (nr < max)
			out[nr++] = m;
		else if (key_is(&m, "ot"))
			/* Of too many the last one goes, but never ot=. */
			out[max - 1] = m;
	}
	return nr;
}

/* Which member to leave out next: a long one first, from the end. */
static uint32_t victim(const struct member *m, uint32_t nr)
{
	for (uint32_t i = nr; i-- > 0;) {
		if (m[i].len > HS_TRACESTATE_MEMBER_MAX_CHARS &&
		    !key_is(&m[i], "ot"))
			return i;
	}
	for (uint32_t i = nr; i-- > 0;) {
		if (!key_is(&m[i], "ot"))
			return i;
	}
	return nr - 1;
}

int hs_context_encode_w3c(const struct hs_context *context, char *traceparent,
			  const char *upstream_tracestate, char *tracestate,
			  size_t tracestate_bytes)
{
	struct member m[MEMBERS_MAX];
	char own[OWN_MAX];
	size_t own_len, total;
	uint32_t nr;
	char *p = tracestate;

	if (!context || !traceparent ||
	    (!context->trace_id.hi && !context->trace_id.lo))
		return -EINVAL;
	traceparent_put(context, traceparent);
	own_len = own_member(context, own);
	if (!tracestate || tracestate_bytes < own_len + 1)
		return -ENOSPC;
	nr = others(upstream_tracestate, m, MEMBERS_MAX - (own_len != 0));
	total = own_len;
	for (uint32_t i = 0; i < nr; i++)
		total += (total ? 1 : 0) + m[i].len;
	while (nr && total > tracestate_bytes - 1) {
		uint32_t out = victim(m, nr);

		total -= m[out].len + (total > m[out].len ? 1 : 0);
		memmove(&m[out], &m[out + 1], (--nr - out) * sizeof(m[0]));
	}
	memcpy(p, own, own_len);
	p += own_len;
	for (uint32_t i = 0; i < nr; i++) {
		if (p != tracestate)
			*p++ = ',';
		memcpy(p, m[i].ptr, m[i].len);
		p += m[i].len;
	}
	*p = '\0';
	return 0;
}

/* ---- decode ------------------------------------------------------------- */

static int traceparent_get(const char *s, struct hs_context *c)
{
	size_t len = strnlen(s, HS_TRACEPARENT_CHARS + 1);
	uint64_t version, flags;

	if (len < HS_TRACEPARENT_CHARS || !hex_get(s, 2, &version) ||
	    version == 0xff)
		return -EBADMSG;
	/* What version 0 has is all there is; a later one may go on. */
	if (len > HS_TRACEPARENT_CHARS &&
	    (version == 0 || s[HS_TRACEPARENT_CHARS] != '-'))
		return -EBADMSG;
	if (s[2] != '-' || s[35] != '-' || s[52] != '-' ||
	    !hex_get(s + 3, 16, &c->trace_id.hi) ||
	    !hex_get(s + 19, 16, &c->trace_id.lo) ||
	    !hex_get(s + 36, 16, &c->span_id) || !hex_get(s + 53, 2, &flags))
		return -EBADMSG;
	if ((!c->trace_id.hi && !c->trace_id.lo) || !c->span_id)
		return -EBADMSG;
	c->flags = (uint8_t)flags & W3C_FLAGS;
	return 0;
}

/* Our member; one that does not parse is none. */
static void own_get(const struct member *m, struct hs_context *c)
{
	struct hs_context got = *c;
	const char *p = m->ptr + 5;
	const char *end = m->ptr + m->len;
	uint64_t v;

	if (m->len < 7 || memcmp(m->ptr, "hs=1-", 5) != 0 || !hex_get(p, 2, &v))
		return;
	p += 2;
	got.flags |= (uint8_t)v & HS_CONTEXT_F_TRIGGERED;
	if (v & F_NO_SPAN)
		got.span_id = 0;
	if (v & HS_CONTEXT_F_TRIGGERED) {
		if (end - p < 9 || *p != '-' || !hex_get(p + 1, 8, &v))
			return;
		got.trigger = (uint32_t)v;
		p += 9;
	}
	while (p < end) {
		if (end - p < 17 || *p != '-' || !hex_get(p + 1, 16, &v))
			return;
		if (v && got.nr_crumbs < HS_CONTEXT_CRUMBS_MAX)
			got.crumbs[got.nr_crumbs++] = v;
		p += 17;
	}
	*c = got;
}

int hs_context_decode_w3c(const char *traceparent, const char *tracestate,
			  struct hs_context *out)
{
	struct hs_context c = {0};
	struct member m;
	int rc;

	if (!out)
		return -EBADMSG;
	memset(out, 0, sizeof(*out));
	if (!traceparent)
		return -EBADMSG;
	rc = traceparent_get(traceparent, &c);
	if (rc)
		return rc;
	while (tracestate && member_next(&tracestate, &m)) {
		if (key_is(&m, "hs")) {
			own_get(&m, &c);
			break;
		}
	}
	*out = c;
	return 0;
}

bool hs_context_baggage_ok(const char *baggage)
{
	struct member m;
	size_t len;

	if (!baggage)
		return false;
	len = strnlen(baggage, BAGGAGE_MAX + 1);
	if (len == 0 || len > BAGGAGE_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (baggage[i] != '\t' &&
		    (baggage[i] < ' ' || baggage[i] > '~'))
			return false;
	}
	while (member_next(&baggage, &m)) {
		const char *eq = memchr(m.ptr, '=', m.len);

		/* A key before the first '=', no blank within it. */
		if (!eq || eq == m.ptr)
			return false;
		while (eq > m.ptr && space(eq[-1]))
			eq--;
		if (eq == m.ptr || memchr(m.ptr, ' ', (size_t)(eq - m.ptr)))
			return false;
	}
	return true;
}
