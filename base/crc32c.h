/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: CRC-32C (Castagnoli, RFC 3720 B.4), the checksum of frames,
 * segments and ledgers. Finds accidents, not forgers.
 *
 * Guarantees: the same value from whatever the CPU has and from the table.
 */
#ifndef HS_CRC32C_H
#define HS_CRC32C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * hs_crc32c() - checksum of some bytes, or of more of them
 * @crc: 0 to begin, or the result over the bytes before these
 * @data: the bytes
 * @len_bytes: how many
 *
 * Context: any thread; async-signal-safe.
 * Return: the checksum of everything so far.
 */
uint32_t hs_crc32c(uint32_t crc, const void *data, size_t len_bytes);

/* The three ways; for tests and benchmarks. One by the CPU's instruction or by
 * its wide multiplication may only run where that is present. */
uint32_t hs_crc32c_by_table(uint32_t crc, const void *data, size_t len_bytes);
uint32_t hs_crc32c_by_hw(uint32_t crc, const void *data, size_t len_bytes);
uint32_t hs_crc32c_by_wide(uint32_t crc, const void *data, size_t len_bytes);
bool hs_crc32c_hw_present(void);
bool hs_crc32c_wide_present(void);

#endif
