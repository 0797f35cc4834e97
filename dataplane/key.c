/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see key.h: the rare parts. */
#include "dataplane/key.h"

#include <string.h>

#include "dataplane/known.h"
#include "dataplane/rules.h"

struct hs_key hs_keys[HS_KEY_PLACES];

void hs_keys_make(void)
{
	volatile uint8_t *p = (volatile uint8_t *)hs_keys;

	/* Written, not read: a page that was only read faults once more. */
	for (size_t i = 0; i < sizeof(hs_keys); i += 4096)
		p[i] = p[i];
}

static void key_make(struct hs_key *k, const char *key, size_t n, uint64_t mark)
{
	memcpy(k->text, key, n);
	k->bytes = (uint8_t)n;
	k->number = (uint16_t)(k - hs_keys);
	k->word = (uint16_t)hs_known_find(key, n);
	k->rules_bit = (uint8_t)hs_rules_key_bit(key, n);
	/* key.C1 relaxed: who finds it, finds it by its mark. */
	__atomic_store_n(&k->state, HS_KEY_STATE_READY, __ATOMIC_RELAXED);
	/* key.W1 release, pairs key.R1 key.R2: the key before its mark. */
	__atomic_store_n(&k->mark, mark, __ATOMIC_RELEASE);
}

const struct hs_key *hs_key_seek(const char *key, size_t n, uint64_t mark)
{
	uint32_t at = (uint32_t)(mark >> (64 - HS_KEY_PLACE_BITS));

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
