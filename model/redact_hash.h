/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: within model/redact only: a value becomes a keyed hash of itself,
 * in its place and of its length.
 *
 * Guarantees: pure; the same value and key give the same, on every node.
 */
#ifndef HS_REDACT_HASH_H
#define HS_REDACT_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * hs_redact_hash() - one attribute's value
 * @type: its type byte, the value behind it; both are rewritten
 * @room: bytes of it that are there, behind the type byte
 *
 * Return: false, and nothing changed, for a bool and for a value that is not
 *	there whole.
 */
bool hs_redact_hash(const uint8_t key[16], uint8_t *type, size_t room);

#endif
