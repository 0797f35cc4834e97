/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source.h - where the lists of members come from
 *
 * A list is words of a configuration file, each of them one of
 *
 *	host:port			or [v6]:port
 *	1001@host:port			the node's number is known
 *	node[01-16,20]:7410		as Slurm writes lists of hosts
 *	file:/etc/hindsight/servers	such words, one or more a line; read
 *					again when it changes
 *	dns:name:port			every address that the name has now
 *	srv:_hs._tcp.example.org	every target of the name's SRV records
 *	etcd:host:port/prefix		values of the keys below it, as
 *					NUMBER@host:port
 *
 * Files, names and etcd are asked by a thread of its own, so that nothing of
 * this waits in the daemon. What cannot be had now stays as it was last; that
 * is counted and logged. A daemon announces itself in etcd under a lease: the
 * key goes when nobody renews it any more.
 *
 * Context: one thread makes, takes and ends; the other is inside.
 */
#ifndef HS_RDMA_SOURCE_H
#define HS_RDMA_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "rdma/members.h"
#include "rdma/transport.h"

#define HS_SOURCE_LINES_MAX 16384u
#define HS_SOURCE_LISTS_MAX 3u

struct hs_sources;

struct hs_source_list {
	enum hs_wire_role role;
	bool dial; /* we connect to them */
	const char *const *words;
	size_t nr_words;
};

struct hs_sources_config {
	struct hs_source_list lists[HS_SOURCE_LISTS_MAX];
	uint32_t nr_lists;
	uint64_t every_ns;	  /* how often all are looked at; 0: 1 s */
	const char *announce;	  /* "etcd:host:port/prefix"; NULL: nowhere */
	const char *announced_as; /* "1001@host:port" */
};

struct hs_sources_stats {
	uint64_t looks, changes;
	uint64_t failures; /* of a file, a name, etcd: kept what was */
	uint64_t renewals; /* of the lease */
	char last_error[160];
};

/**
 * hs_source_check() - is the word of a right shape?
 * @error: out: HS_HOSTLIST_ERROR_BYTES
 * Return: 0; -EINVAL.
 */
int hs_source_check(const char *word, char *error);

/**
 * hs_sources_start() - look at what needs no waiting, and begin with the rest
 *
 * The words must live as long as it does.
 *
 * Return: NULL with errno set and @error filled in.
 */
struct hs_sources *hs_sources_start(const struct hs_sources_config *config,
				    char *error);
/** hs_sources_fd() - readable when a list has changed */
int hs_sources_fd(const struct hs_sources *s);
/**
 * hs_sources_apply() - hand changed lists to @members, dial and hang up
 * @t: dials; NULL: nobody
 *
 * Return: whether some list was new.
 */
bool hs_sources_apply(struct hs_sources *s, struct hs_members *members,
		      struct hs_transport *t, uint64_t now_ns);
void hs_sources_stats(struct hs_sources *s, struct hs_sources_stats *out);
/** hs_sources_stop() - and take the announcement back; NULL is nothing */
void hs_sources_stop(struct hs_sources *s);

/* source_ask.c: one word's lines, appended. Return: 0; -errno */
struct hs_source_lines {
	struct hs_member_line *at;
	uint32_t nr, room;
};
int hs_source_ask(const char *word, struct hs_source_lines *out, char *error);
int hs_source_line_add(struct hs_source_lines *out, uint32_t number,
		       const char *address);
/** hs_source_srv() - the lines of a DNS message; Return: 0; -EBADMSG */
int hs_source_srv(const void *message, size_t size_bytes,
		  struct hs_source_lines *lines);
/** hs_source_waits() - whether asking may wait for others */
bool hs_source_waits(const char *word);

/* source_etcd.c */
struct hs_source_etcd {
	char host[256];
	uint16_t port;
	char prefix[256];
	int64_t lease; /* ours; 0: none */
};
/** hs_source_etcd_parse() - "host:port/prefix"; Return: 0; -EINVAL */
int hs_source_etcd_parse(const char *text, struct hs_source_etcd *out);
/** hs_source_etcd_value() - one value, base64, NULL is none; Return: 0;
 * -EBADMSG */
int hs_source_etcd_value(const char *base64, struct hs_source_lines *out);
int hs_source_etcd_ask(const struct hs_source_etcd *e,
		       struct hs_source_lines *out, char *error);
/** hs_source_etcd_renew() - put or keep our key under our lease */
int hs_source_etcd_renew(struct hs_source_etcd *e, const char *value,
			 char *error);
void hs_source_etcd_revoke(struct hs_source_etcd *e);

#endif
