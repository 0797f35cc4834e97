/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see redact_hash.h. */
#include "model/redact_hash.h"

#include <string.h>

#include "base/hash.h"
#include "hs/hindsight.h"
#include "model/record.h"

static uint64_t hash_part(const uint8_t cluster_key[16], uint8_t part,
			  const uint8_t *value, size_t n)
{
	uint8_t key[16];

	/* Not what orders traces under the same key. */
	memcpy(key, cluster_key, sizeof(key));
	key[0] ^= (uint8_t)(0x5a + part);
	return hs_hash_siphash(key, value, n);
}

/* As many characters of 128 bits as there is room for; '=' behind them. */
static void hash_text(const uint8_t key[16], uint8_t *value, size_t n)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklm"
				     "nopqrstuvwxyz0123456789-_";
	unsigned __int128 bits = (unsigned __int128)hash_part(key, 0, value, n)
					 << 64 |
				 hash_part(key, 1, value, n);

	for (size_t i = 0; i < n; i++, bits >>= 6)
		value[i] = i < 22 ? (uint8_t)digits[(unsigned)bits & 63] : '=';
}

static void hash_number(const uint8_t key[16], uint8_t *value, size_t n)
{
	uint64_t bits = hash_part(key, 0, value, n);

	for (size_t i = 0; i + 1 < n; i++, bits >>= 7)
		value[i] = 0x80 | (bits & 0x7f);
	value[n - 1] = n < HS_RECORD_VARINT_MAX_BYTES ? bits & 0x7f : bits & 1;
}

bool hs_redact_hash(const uint8_t key[16], uint8_t *type, size_t room)
{
	uint64_t len = 0, skip;
	uint8_t *p = type + 1;
	uint32_t n;

	if (*type & HS_RECORD_ATTR_CUT) {
		n = hs_record_varint_get(p, room, &skip);
		p += n;
		room -= n;
		if (!n)
			return false;
	}
	n = hs_record_varint_get(p, room, &len);
	switch (*type & HS_RECORD_ATTR_TYPE_MASK) {
	case HS_VALUE_STRING:
	case HS_VALUE_BYTES:
	case HS_VALUE_JSON:
		if (!n || len > room - n)
			return false;
		hash_text(key, p + n, (size_t)len);
		/* No JSON any more, and text in any case. */
		*type = HS_VALUE_STRING | (*type & HS_RECORD_ATTR_CUT);
		break;
	case HS_VALUE_INT64:
		if (!n)
			return false;
		hash_number(key, p, n);
		break;
	case HS_VALUE_FLOAT64:
		if (room < 8)
			return false;
		/* A double of any bits may be no number: text instead. */
		hash_text(key, p, 8);
		memmove(p + 1, p, 7);
		p[0] = 7;
		*type = HS_VALUE_STRING | (*type & HS_RECORD_ATTR_CUT);
		break;
	default:
		return false;
	}
	*type |= HS_RECORD_ATTR_HASHED;
	return true;
}
