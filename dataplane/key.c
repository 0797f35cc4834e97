/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see key.h: the rare parts. */
#include "dataplane/key.h"

#include <string.h>

#include "dataplane/again.h"
#include "dataplane/client.h"
#include "dataplane/known.h"
#include "dataplane/rules.h"

struct hs_key hs_keys[HS_KEY_PLACES];

void hs_keys_make(void)
{
	hs_client_touch(hs_keys, sizeof(hs_keys));
}

_Static_assert(sizeof(struct hs_trace) <= UINT16_MAX &&
		       offsetof(struct hs_rules_table, quick) <= UINT16_MAX,
	       "again_at and rules_at");

static void ask(struct hs_key *k, uint64_t bits)
{
	uint32_t how = k->word ? 0 : HS_KEY_OWN;

	if (bits >> k->rules_bit & 1)
		how |= HS_KEY_ASKED;
	if (!k->word && k->bytes + 1u <= HS_AGAIN_BYTES)
		how |= HS_KEY_SHORT;
	/* key.C5 seq_cst, pairs key.C8: what a key is before the bits are
	 * looked at once more. */
	__atomic_store_n(&k->how, (uint8_t)how, __ATOMIC_SEQ_CST);
}

void hs_keys_ask(uint64_t bits)
{
	/* key.C6 seq_cst, pairs key.C7 key.C8: the bits before the keys are
	 * looked at. */
	__atomic_store_n(&hs_rules.keys, bits, __ATOMIC_SEQ_CST);
	for (uint32_t i = 0; i < HS_KEY_PLACES; i++) {
		/* key.R3 acquire, pairs key.W1: its bit. */
		if (__atomic_load_n(&hs_keys[i].mark, __ATOMIC_ACQUIRE))
			ask(&hs_keys[i], bits);
	}
}

static void key_make(struct hs_key *k, const char *key, size_t n, uint64_t mark)
{
	uint64_t bits, now;

	memcpy(k->text, key, n);
	k->bytes = (uint8_t)n;
	k->number = (uint16_t)(k - hs_keys);
	k->word = (uint16_t)hs_known_find(key, n);
	k->again_at = (uint16_t)hs_again_place_of(k);
	k->rules_bit = (uint8_t)hs_rules_key_bit(key, n);
	k->rules_at = (uint16_t)(offsetof(struct hs_rules_table, ones) +
				 k->rules_bit * sizeof(struct hs_rules_one));
	/* key.C1 relaxed: who finds it, finds it by its mark. */
	__atomic_store_n(&k->state, HS_KEY_STATE_READY, __ATOMIC_RELAXED);
	/* Asked of, until it is known. */
	ask(k, UINT64_MAX);
	/* key.W1 release, pairs key.R1 key.R2 key.R3: the key before its
	 * mark. */
	__atomic_store_n(&k->mark, mark, __ATOMIC_RELEASE);
	/* Either the helper finds the mark, or we find its bits; what it wrote
	 * before we did is seen when they are looked at once more. */
	do {
		/* key.C7 seq_cst, pairs key.C6: after the mark. */
		bits = __atomic_load_n(&hs_rules.keys, __ATOMIC_SEQ_CST);
		ask(k, bits);
		/* key.C8 seq_cst, pairs key.C5 key.C6: after what was written
		 * by them. */
		now = __atomic_load_n(&hs_rules.keys, __ATOMIC_SEQ_CST);
	} while (bits != now);
}

const struct hs_key *hs_key_seek(const char *key, size_t n, uint64_t mark)
{
	uint32_t at = hs_key_place(mark);

	if (!n || n > HS_INLINE_MARK_MAX || !mark)
		return NULL;
	for (uint32_t i = 0; i < HS_KEY_PROBES; i++) {
		struct hs_key *k = &hs_keys[(at + i) % HS_KEY_PLACES];
		uint32_t state;

		/* key.R2 acquire, pairs key.W1: as key.R1. */
		if (__atomic_load_n(&k->mark, __ATOMIC_ACQUIRE) == mark)
			return k;
		/* key.C3 relaxed: confirmed by the exchange. A key whose place
		 * is another's comes here each time, and writes nothing. */
		state = __atomic_load_n(&k->state, __ATOMIC_RELAXED);
		/* key.C2 relaxed: who gets it writes it alone; who comes
		 * meanwhile does without. */
		if (state == HS_KEY_STATE_FREE &&
		    __atomic_compare_exchange_n(
			    &k->state, &state, HS_KEY_STATE_MADE, false,
			    __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
			key_make(k, key, n, mark);
			return k;
		}
		if (state == HS_KEY_STATE_MADE)
			return NULL;
	}
	return NULL;
}
