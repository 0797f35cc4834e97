/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see reached.h. One thread, the simulator's, counts. */
#include "base/reached.h"

#ifdef HS_TRANSITIONS
uint64_t hs_reached[HS_NR_MACHINES][HS_MACHINE_STATES][HS_MACHINE_STATES];
#endif
