/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see planted.h. */
#include "base/planted.h"

#ifdef HS_PLANTED_BUGS
uint32_t hs_planted;

bool hs_planted_choose(uint32_t n)
{
	hs_planted = n;
	return n <= HS_NR_PLANTED || (n >= HS_PLANTED_KILL &&
				      n - HS_PLANTED_KILL < HS_NR_PLANTED_KILL);
}
#else
bool hs_planted_choose(uint32_t n)
{
	return n == 0;
}
#endif
