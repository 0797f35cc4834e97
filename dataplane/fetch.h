/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: a place before every fetch of what another process can change, for
 * a test build to change it in (tests/kill/hostile.c). Elsewhere it is nothing.
 *
 * Guarantees: all of the agent's reads of what applications map stand in
 * agent/shm_read.h and dataplane/peer.h, and each has this before it; the tidy
 * of our own knows of any other.
 */
#ifndef HS_DATAPLANE_FETCH_H
#define HS_DATAPLANE_FETCH_H

#include <stddef.h>

#ifdef HS_SHM_FETCH_HOOK
/* Defined by the test. */
void hs_shm_fetch_hook(const void *at, size_t size_bytes);
#define HS_SHM_FETCH(at, size_bytes) hs_shm_fetch_hook((at), (size_bytes))
#else
#define HS_SHM_FETCH(at, size_bytes) ((void)0)
#endif

#endif
