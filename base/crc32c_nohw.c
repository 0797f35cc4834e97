/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: CRC-32C on machines for which no instruction is used; the table
 * serves.
 */
#include "base/crc32c.h"

bool hs_crc32c_hw_present(void)
{
	return false;
}

bool hs_crc32c_wide_present(void)
{
	return false;
}

uint32_t hs_crc32c_by_wide(uint32_t crc, const void *data, size_t len_bytes)
{
	return hs_crc32c_by_table(crc, data, len_bytes);
}

uint32_t hs_crc32c_by_hw(uint32_t crc, const void *data, size_t len_bytes)
{
	return hs_crc32c_by_table(crc, data, len_bytes);
}
