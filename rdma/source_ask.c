/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_ask.c - what one word of a list stands for now: see source.h
 */
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <netdb.h>
#include <resolv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "rdma/hostlist.h"
#include "rdma/source.h"

#define FILE_MAX_BYTES (1u << 20)
#define SRV_BYTES      65536u

struct asking {
	struct hs_source_lines *out;
	char *error;
};

int hs_source_line_add(struct hs_source_lines *out, uint32_t number,
		       const char *address)
{
	struct hs_member_line *line;

	if (out->nr == HS_SOURCE_LINES_MAX)
		return -ENOSPC;
	if (out->nr == out->room) {
		uint32_t room = out->room ? 2 * out->room : 16;

		line = realloc(out->at, room * sizeof(*line));
		if (!line)
			return -ENOMEM;
		out->at = line;
		out->room = room;
	}
	line = &out->at[out->nr++];
	*line = (struct hs_member_line){.number = number};
	snprintf(line->address, sizeof(line->address), "%s", address);
	return 0;
}

/* "[NUMBER@]host:port", a number alone where nobody is dialled. */
static int add_word(void *ctx, const char *word)
{
	struct asking *a = ctx;
	const char *at = strchr(word, '@');
	unsigned long number = 0;
	char *end;

	if (at) {
		number = strtoul(word, &end, 10);
		if (end != at || !number || number > UINT32_MAX) {
			snprintf(a->error, HS_HOSTLIST_ERROR_BYTES,
				 "'%.60s': before the @ a node's number is "
				 "wanted",
				 word);
			return -EINVAL;
		}
		word = at + 1;
	}
	if (hs_address_check(word)) {
		snprintf(a->error, HS_HOSTLIST_ERROR_BYTES,
			 "'%.60s' should be host:port or [v6]:port", word);
		return -EINVAL;
	}
	return hs_source_line_add(a->out, (uint32_t)number, word);
}

static int ask_words(const char *text, struct asking *a)
{
	int rc = hs_hostlist_expand(text, HS_SOURCE_LINES_MAX - a->out->nr,
				    add_word, a, a->error);

	return rc;
}

static int ask_file(const char *path, struct asking *a)
{
	char *text = malloc(FILE_MAX_BYTES + 1), *save = NULL;
	FILE *f = fopen(path, "re");
	size_t n;
	int rc = 0;

	if (!f || !text) {
		rc = f ? -ENOMEM : -errno;
		snprintf(a->error, HS_HOSTLIST_ERROR_BYTES, "%.80s: %s", path,
			 strerror(-rc));
		free(text);
		if (f)
			fclose(f);
		return rc;
	}
	n = fread(text, 1, FILE_MAX_BYTES, f);
	text[n] = 0;
	if (ferror(f) || n == FILE_MAX_BYTES)
		rc = -EFBIG;
	fclose(f);
	for (char *line = strtok_r(text, "\n", &save); line && !rc;
	     line = strtok_r(NULL, "\n", &save)) {
		char *word, *words = NULL;

		line[strcspn(line, "#")] = 0;
		for (word = strtok_r(line, " \t\r", &words); word && !rc;
		     word = strtok_r(NULL, " \t\r", &words))
			rc = ask_words(word, a);
	}
	free(text);
	return rc;
}

static int ask_dns(const char *text, struct asking *a)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
				       .ai_flags = AI_NUMERICSERV};
	const char *colon = strrchr(text, ':');
	struct addrinfo *list = NULL;
	char host[256], name[INET6_ADDRSTRLEN + 64],
		out[HS_MEMBER_ADDRESS_BYTES];
	int rc;

	if (!colon || colon == text || (size_t)(colon - text) >= sizeof(host)) {
		snprintf(a->error, HS_HOSTLIST_ERROR_BYTES,
			 "dns: wants name:port");
		return -EINVAL;
	}
	snprintf(host, sizeof(host), "%.*s", (int)(colon - text), text);
	rc = getaddrinfo(host, colon + 1, &hints, &list);
	if (rc) {
		snprintf(a->error, HS_HOSTLIST_ERROR_BYTES, "dns %.60s: %s",
			 host, gai_strerror(rc));
		return -EADDRNOTAVAIL;
	}
	for (struct addrinfo *at = list; at && !rc; at = at->ai_next) {
		if (getnameinfo(at->ai_addr, at->ai_addrlen, name, sizeof(name),
				NULL, 0, NI_NUMERICHOST))
			continue;
		snprintf(out, sizeof(out),
			 at->ai_family == AF_INET6 ? "[%s]:%s" : "%s:%s", name,
			 colon + 1);
		rc = hs_source_line_add(a->out, 0, out);
	}
	freeaddrinfo(list);
	return rc;
}

int hs_source_srv(const void *message, size_t size_bytes,
		  struct hs_source_lines *lines)
{
	const uint8_t *answer = message;
	int size = size_bytes < SRV_BYTES ? (int)size_bytes : (int)SRV_BYTES;
	ns_msg msg;
	int rc = 0;

	if (ns_initparse(answer, size, &msg))
		return -EBADMSG;
	for (int i = 0; i < ns_msg_count(msg, ns_s_an) && !rc; i++) {
		char target[256], out[HS_MEMBER_ADDRESS_BYTES];
		const uint8_t *data;
		ns_rr rr;

		if (ns_parserr(&msg, ns_s_an, i, &rr))
			return -EBADMSG;
		data = ns_rr_rdata(rr);
		/* Priority, weight, port, target. */
		if (ns_rr_type(rr) != ns_t_srv || ns_rr_rdlen(rr) < 7 ||
		    dn_expand(answer, answer + size, data + 6, target,
			      sizeof(target)) < 0)
			continue;
		snprintf(out, sizeof(out), "%s:%u", target,
			 (unsigned int)(data[4] << 8 | data[5]));
		rc = hs_address_check(out) ? 0
					   : hs_source_line_add(lines, 0, out);
	}
	return rc;
}

static int ask_srv(const char *name, struct asking *a)
{
	uint8_t *answer = malloc(SRV_BYTES);
	int n, rc;

	if (!answer)
		return -ENOMEM;
	n = res_query(name, ns_c_in, ns_t_srv, answer, (int)SRV_BYTES);
	rc = n < 0 ? -EADDRNOTAVAIL : hs_source_srv(answer, (size_t)n, a->out);
	if (rc)
		snprintf(a->error, HS_HOSTLIST_ERROR_BYTES,
			 "srv %.60s: no answer, or none that can be read",
			 name);
	free(answer);
	return rc;
}

static const char *after(const char *word, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(word, prefix, n) ? NULL : word + n;
}

bool hs_source_waits(const char *word)
{
	return after(word, "dns:") || after(word, "srv:") ||
	       after(word, "etcd:");
}

int hs_source_ask(const char *word, struct hs_source_lines *out, char *error)
{
	struct asking a = {out, error};
	struct hs_source_etcd etcd;
	const char *rest;

	*error = 0;
	rest = after(word, "file:");
	if (rest)
		return ask_file(rest, &a);
	rest = after(word, "dns:");
	if (rest)
		return ask_dns(rest, &a);
	rest = after(word, "srv:");
	if (rest)
		return ask_srv(rest, &a);
	rest = after(word, "etcd:");
	if (!rest)
		return ask_words(word, &a);
	if (hs_source_etcd_parse(rest, &etcd)) {
		snprintf(error, HS_HOSTLIST_ERROR_BYTES,
			 "etcd: wants host:port/prefix");
		return -EINVAL;
	}
	return hs_source_etcd_ask(&etcd, out, error);
}

int hs_source_check(const char *word, char *error)
{
	struct hs_source_lines lines = {0};
	struct hs_source_etcd etcd;
	const char *rest = after(word, "etcd:");
	int rc = 0;

	*error = 0;
	if (rest) {
		rc = hs_source_etcd_parse(rest, &etcd);
		if (rc)
			snprintf(error, HS_HOSTLIST_ERROR_BYTES,
				 "etcd: wants host:port/prefix");
	} else if (after(word, "dns:")) {
		rest = strrchr(word, ':');
		rc = rest - word < 5 || !rest[1] ? -EINVAL : 0;
		if (rc)
			snprintf(error, HS_HOSTLIST_ERROR_BYTES,
				 "dns: wants name:port");
	} else if (!after(word, "srv:") && !after(word, "file:")) {
		rc = hs_source_ask(word, &lines, error);
	}
	free(lines.at);
	return rc ? -EINVAL : 0;
}
