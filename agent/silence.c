/* SPDX-License-Identifier: Apache-2.0 */
/*
 * silence.c - see silence.h
 */
#include "agent/silence.h"

#include <stddef.h>

static struct hs_silence_peer *find(struct hs_silence *s, uint32_t number)
{
	for (uint32_t i = 0; i < HS_SILENCE_PEERS_MAX; i++)
		if (s->peers[i].number == number)
			return &s->peers[i];
	return NULL;
}

void hs_silence_told(struct hs_silence *s, uint32_t number, uint64_t now_ns)
{
	struct hs_silence_peer *p = number ? find(s, number) : NULL;

	if (!p && number)
		p = find(s, 0);
	if (!p)
		return;
	p->number = number;
	/* Once it was heard, its time runs from the next thing that it is told;
	 * what follows that does not put it off. */
	if (!p->told_ns)
		p->told_ns = p->since_ns = now_ns;
}

/* As TCP estimates its time-out (RFC 6298): the mean, and how far from it. */
static void learn(struct hs_silence_peer *p, uint64_t took_ns)
{
	uint64_t off;

	if (!p->usual_ns) {
		p->usual_ns = took_ns + 1;
		p->spread_ns = took_ns / 2;
		return;
	}
	off = took_ns > p->usual_ns ? took_ns - p->usual_ns
				    : p->usual_ns - took_ns;
	p->spread_ns = p->spread_ns - p->spread_ns / 4 + off / 4;
	p->usual_ns = p->usual_ns - p->usual_ns / 8 + took_ns / 8 + 1;
}

void hs_silence_heard(struct hs_silence *s, uint32_t number, uint64_t now_ns)
{
	struct hs_silence_peer *p = number ? find(s, number) : NULL;

	if (!p || !p->since_ns)
		return;
	if (p->told_ns)
		learn(p, now_ns - p->told_ns);
	p->told_ns = 0;
	/* It may owe answers to other things yet. */
	p->since_ns = now_ns;
}

void hs_silence_gone(struct hs_silence *s, uint32_t number)
{
	struct hs_silence_peer *p = number ? find(s, number) : NULL;

	if (p)
		*p = (struct hs_silence_peer){0};
}

static uint64_t patience_ns(const struct hs_silence_peer *p)
{
	uint64_t ns = p->usual_ns + 4 * p->spread_ns;

	/* Before it was ever heard nobody knows how far away it is. */
	if (!p->usual_ns || ns > HS_SILENCE_MAX_NS)
		return HS_SILENCE_MAX_NS;
	return ns < HS_SILENCE_MIN_NS ? HS_SILENCE_MIN_NS : ns;
}

uint32_t hs_silence_next(struct hs_silence *s, uint64_t now_ns)
{
	for (uint32_t i = 0; i < HS_SILENCE_PEERS_MAX; i++) {
		struct hs_silence_peer *p = &s->peers[i];

		if (!p->since_ns || now_ns - p->since_ns < patience_ns(p))
			continue;
		p->since_ns = 0;
		/* Not a time to learn from: nothing came. */
		p->told_ns = 0;
		return p->number;
	}
	return 0;
}
