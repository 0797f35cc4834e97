/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dpdk_mld.h - telling switches that we listen to the group of IPv6 in which
 * others ask who we are
 *
 * A switch that snoops passes a group's packets on to those only who said that
 * they listen. As much of RFC 3810 and of RFC 2710 as a host with one group
 * needs: a report when the link comes up, twice, and an answer to who asks, in
 * the version that it asked in. Reports come from :: unless our address is of
 * the link: routers do not take these, and switches do (RFC 3590).
 *
 * Guarantees: pure; times are ticks of whatever clock the caller has. However
 * often somebody asks, reports are no more than ten a second.
 */
#ifndef HS_SHIP_DPDK_MLD_H
#define HS_SHIP_DPDK_MLD_H

#include "ship/dpdk.h"

#define HS_DPDK_MLD_BYTES 90u /* of a report's packet, at most */

enum hs_dpdk_mld_kind {
	HS_DPDK_MLD_NONE = 0,
	HS_DPDK_MLD_JOIN = 1,	   /* we listen from now on */
	HS_DPDK_MLD_LISTENS = 2,   /* we do, to who asked */
	HS_DPDK_MLD_LISTENS_V1 = 3 /* the same in version 1 */
};

struct hs_dpdk_mld {
	uint64_t hz;	   /* ticks a second */
	uint32_t nr_joins; /* still to go */
	bool asked, v1;
	uint64_t join_at, answer_at;
	uint64_t said_at; /* last; 0: never */
};

/** hs_dpdk_mld_up() - the link came up */
void hs_dpdk_mld_up(struct hs_dpdk_mld *mld, uint64_t now);
/**
 * hs_dpdk_mld_take() - a packet that may ask who listens
 * @chance: any number; when within the time that it gives the answer goes
 * Return: whether it does.
 */
bool hs_dpdk_mld_take(struct hs_dpdk_mld *mld, const struct hs_dpdk_net *net,
		      const struct rte_mbuf *m, uint64_t now, uint64_t chance);
/** hs_dpdk_mld_due() - what is to be said now, until it is said */
enum hs_dpdk_mld_kind hs_dpdk_mld_due(const struct hs_dpdk_mld *mld,
				      uint64_t now);
/**
 * hs_dpdk_mld_said() - what was due has gone out
 * @chance: any number; when a join is said once more
 */
void hs_dpdk_mld_said(struct hs_dpdk_mld *mld, enum hs_dpdk_mld_kind kind,
		      uint64_t now, uint64_t chance);
/** hs_dpdk_mld_report() - make @m, of HS_DPDK_MLD_BYTES of room, say it */
void hs_dpdk_mld_report(const struct hs_dpdk_net *net, struct rte_mbuf *m,
			enum hs_dpdk_mld_kind kind);

#endif
