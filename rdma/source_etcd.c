/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_etcd.c - members as keys of etcd, through its JSON gateway (v3)
 *
 * Keys and values are base64 there. A key is PREFIX/NUMBER, its value
 * NUMBER@host:port, under a lease of LEASE_S that is renewed every second; one
 * that is not renewed goes, and with it the member.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/httpc.h"
#include "base/address.h"
#include "rdma/hostlist.h"
#include "rdma/source.h"

#define LEASE_S	       5
#define TIMEOUT_NS     (2 * HS_NS_PER_SEC)
#define BODY_MAX_BYTES ((size_t)4 << 20)
#define KEY_BYTES      300u

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuv"
			     "wxyz0123456789+/";

static void encode(const char *text, char *out)
{
	const uint8_t *in = (const uint8_t *)text;
	size_t n = strlen(text);

	for (size_t i = 0; i < n; i += 3) {
		uint32_t left = n - i < 3 ? (uint32_t)(n - i) : 3;
		uint32_t w = (uint32_t)in[i] << 16;

		w |= left > 1 ? (uint32_t)in[i + 1] << 8 : 0;
		w |= left > 2 ? in[i + 2] : 0;
		*out++ = digits[w >> 18];
		*out++ = digits[w >> 12 & 63];
		*out++ = left > 1 ? digits[w >> 6 & 63] : '=';
		*out++ = left > 2 ? digits[w & 63] : '=';
	}
	*out = 0;
}

/* Return: false when it is no base64, too long, or no text. */
static bool decode(const char *text, char *out, size_t room)
{
	uint32_t w = 0, bits = 0;
	size_t n = 0;

	for (; *text && *text != '='; text++) {
		const char *at = strchr(digits, *text);

		if (!at)
			return false;
		w = w << 6 | (uint32_t)(at - digits);
		bits += 6;
		if (bits < 8)
			continue;
		bits -= 8;
		if (n + 1 >= room || !(w >> bits & 255))
			return false;
		out[n++] = (char)(w >> bits & 255);
	}
	out[n] = 0;
	return true;
}

int hs_source_etcd_parse(const char *text, struct hs_source_etcd *out)
{
	const char *slash = strchr(text, '/');
	const char *colon =
		slash ? memchr(text, ':', (size_t)(slash - text)) : NULL;
	char address[300];

	*out = (struct hs_source_etcd){0};
	if (!colon || colon == text ||
	    (size_t)(slash - text) >= sizeof(address) ||
	    (size_t)(colon - text) >= sizeof(out->host) || !slash[1] ||
	    strlen(slash) >= sizeof(out->prefix) - 16)
		return -EINVAL;
	snprintf(address, sizeof(address), "%.*s", (int)(slash - text), text);
	if (hs_address_check(address))
		return -EINVAL;
	memcpy(out->host, text, (size_t)(colon - text));
	out->port = (uint16_t)strtoul(colon + 1, NULL, 10);
	snprintf(out->prefix, sizeof(out->prefix), "%s", slash);
	return 0;
}

/* Return: the answer's JSON, the caller's; NULL with @error filled in. */
static json_t *post(const struct hs_source_etcd *e, const char *path,
		    json_t *body, char *error)
{
	const struct hs_httpc_target target = {.host = e->host,
					       .port = e->port,
					       .timeout_ns = TIMEOUT_NS,
					       .body_max_bytes =
						       BODY_MAX_BYTES};
	struct hs_httpc_response response = {0};
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	json_t *answer = NULL;
	int rc = -ENOMEM;

	json_decref(body);
	if (text)
		rc = hs_httpc_request(&target, "POST", path, text, &response);
	if (!rc && response.status == 200)
		answer =
			json_loadb(response.body, response.body_bytes, 0, NULL);
	if (!answer)
		snprintf(error, HS_HOSTLIST_ERROR_BYTES,
			 "etcd %.60s:%u: %.40s status %d", e->host, e->port,
			 rc ? response.error : "", response.status);
	hs_httpc_response_free(&response);
	free(text);
	return answer;
}

int hs_source_etcd_value(const char *base64, struct hs_source_lines *out)
{
	char value[HS_MEMBER_ADDRESS_BYTES + 16];
	char *at, *end;
	unsigned long number;

	if (!base64 || !decode(base64, value, sizeof(value)))
		return -EBADMSG;
	at = strchr(value, '@');
	number = strtoul(value, &end, 10);
	if (!at || end != at || !number || number > UINT32_MAX ||
	    strlen(at + 1) >= HS_MEMBER_ADDRESS_BYTES ||
	    hs_address_check(at + 1))
		return -EBADMSG;
	return hs_source_line_add(out, (uint32_t)number, at + 1);
}

/* All keys from "prefix/" up to, not with, "prefix0": '0' follows '/'. */
int hs_source_etcd_ask(const struct hs_source_etcd *e,
		       struct hs_source_lines *out, char *error)
{
	char from[KEY_BYTES], to[KEY_BYTES], key[2 * KEY_BYTES],
		end[2 * KEY_BYTES];
	json_t *answer;
	const json_t *kvs;
	size_t i;
	int rc = 0;

	snprintf(from, sizeof(from), "%s/", e->prefix);
	snprintf(to, sizeof(to), "%s0", e->prefix);
	encode(from, key);
	encode(to, end);
	answer = post(e, "/v3/kv/range",
		      json_pack("{s:s, s:s}", "key", key, "range_end", end),
		      error);
	if (!answer)
		return -EIO;
	kvs = json_object_get(answer, "kvs");
	for (i = 0; i < json_array_size(kvs) && !rc; i++) {
		const json_t *value =
			json_object_get(json_array_get(kvs, i), "value");

		rc = hs_source_etcd_value(json_string_value(value), out);
		if (rc == -EBADMSG) {
			/* Somebody else's key is no reason to lose all. */
			snprintf(error, HS_HOSTLIST_ERROR_BYTES,
				 "etcd %.60s: a value should be "
				 "NUMBER@host:port",
				 e->prefix);
			rc = 0;
		}
	}
	json_decref(answer);
	return rc;
}

static int64_t number_of(const json_t *value)
{
	const char *text = json_string_value(value);

	return text ? strtoll(text, NULL, 10) : json_integer_value(value);
}

static int grant(struct hs_source_etcd *e, const char *value, char *error)
{
	char name[KEY_BYTES], key[2 * KEY_BYTES], text[2 * KEY_BYTES],
		lease[32];
	json_t *answer = post(e, "/v3/lease/grant",
			      json_pack("{s:i}", "TTL", LEASE_S), error);

	if (!answer)
		return -EIO;
	e->lease = number_of(json_object_get(answer, "ID"));
	json_decref(answer);
	snprintf(name, sizeof(name), "%s/%.*s", e->prefix,
		 (int)strcspn(value, "@"), value);
	encode(name, key);
	encode(value, text);
	snprintf(lease, sizeof(lease), "%lld", (long long)e->lease);
	answer = post(e, "/v3/kv/put",
		      json_pack("{s:s, s:s, s:s}", "key", key, "value", text,
				"lease", lease),
		      error);
	if (!answer) {
		e->lease = 0;
		return -EIO;
	}
	json_decref(answer);
	return 0;
}

int hs_source_etcd_renew(struct hs_source_etcd *e, const char *value,
			 char *error)
{
	char lease[32];
	json_t *answer;
	int64_t ttl;

	*error = 0;
	if (!e->lease)
		return grant(e, value, error);
	snprintf(lease, sizeof(lease), "%lld", (long long)e->lease);
	answer = post(e, "/v3/lease/keepalive", json_pack("{s:s}", "ID", lease),
		      error);
	if (!answer)
		return -EIO;
	ttl = number_of(
		json_object_get(json_object_get(answer, "result"), "TTL"));
	json_decref(answer);
	/* It ran out while we were away: a new one. */
	if (ttl > 0)
		return 0;
	e->lease = 0;
	return grant(e, value, error);
}

void hs_source_etcd_revoke(struct hs_source_etcd *e)
{
	char lease[32], error[HS_HOSTLIST_ERROR_BYTES];

	if (!e->lease)
		return;
	snprintf(lease, sizeof(lease), "%lld", (long long)e->lease);
	json_decref(post(e, "/v3/lease/revoke", json_pack("{s:s}", "ID", lease),
			 error));
	e->lease = 0;
}
