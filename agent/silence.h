/* SPDX-License-Identifier: Apache-2.0 */
/*
 * silence.h - which coordinator has gone quiet while it owes an answer
 *
 * A connection that ends is noticed at once; a machine that stops, or a link
 * that takes nothing more, is not. A coordinator that is alive says something
 * soon after it was told something, about whatever trace: by how long that took
 * lately it is known when to tell the next one, too, long before a connection
 * is given up. That costs a message more where it was wrong, and a busy
 * coordinator is heard of all the time, so that load is not taken for silence.
 *
 * Guarantees: no I/O, no clock, no allocation; one that finds no place is never
 * called silent.
 */
#ifndef HS_AGENT_SILENCE_H
#define HS_AGENT_SILENCE_H

#include <stdint.h>

#define HS_SILENCE_PEERS_MAX 64u
#define HS_SILENCE_MIN_NS    150000000ull
#define HS_SILENCE_MAX_NS    1000000000ull

struct hs_silence_peer {
	uint32_t number;    /* of the coordinator; 0: free */
	uint64_t since_ns;  /* quiet since then; 0: it owes nothing */
	uint64_t told_ns;   /* the first thing since it was heard; 0: none */
	uint64_t usual_ns;  /* until it was heard, smoothed; 0: not known */
	uint64_t spread_ns; /* how much that varies */
};

struct hs_silence {
	struct hs_silence_peer peers[HS_SILENCE_PEERS_MAX];
};

/** hs_silence_told() - something that wants an answer went to it, or found no
 * room on the way */
void hs_silence_told(struct hs_silence *s, uint32_t number, uint64_t now_ns);
/** hs_silence_heard() - it said something */
void hs_silence_heard(struct hs_silence *s, uint32_t number, uint64_t now_ns);
/** hs_silence_gone() - its connection ended: nothing is expected of it */
void hs_silence_gone(struct hs_silence *s, uint32_t number);
/**
 * hs_silence_next() - one that should have said something by now, if it owes
 *	anything: the core knows (hs_agent_core_coordinator_silent())
 *
 * Nothing is expected of it until it is told something again.
 *
 * Return: its number; 0: none.
 */
uint32_t hs_silence_next(struct hs_silence *s, uint64_t now_ns);

#endif
