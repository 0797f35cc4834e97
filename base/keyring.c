/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see keyring.h. */
#include "base/keyring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/endian.h"
#include "base/hex.h"
#include "base/mac.h"

#define FILE_MAX_BYTES 4096u
#define DIGITS	       (2 * HS_KEYRING_KEY_BYTES)

static const char id_use[] = "hindsight key id 1";

/* Forgets secrets in a way that no compiler takes for useless. */
static void forget(void *data, size_t bytes)
{
	explicit_bzero(data, bytes);
}

static int add(struct hs_keyring *ring, const char *digits, size_t nr,
	       unsigned int line, char error[HS_KEYRING_ERROR_BYTES])
{
	uint8_t *key = ring->keys[ring->nr_keys % HS_KEYRING_KEYS_MAX];
	uint8_t id[8];
	int rc;

	if (ring->nr_keys == HS_KEYRING_KEYS_MAX) {
		snprintf(error, HS_KEYRING_ERROR_BYTES,
			 "line %u: more than %u keys", line,
			 HS_KEYRING_KEYS_MAX);
		return -EINVAL;
	}
	if (hs_hex_decode(key, HS_KEYRING_KEY_BYTES, digits, nr)) {
		snprintf(error, HS_KEYRING_ERROR_BYTES,
			 "line %u: should be %u hexadecimal digits", line,
			 DIGITS);
		return -EINVAL;
	}
	rc = hs_mac_derive(key, HS_KEYRING_KEY_BYTES, NULL, 0, id_use,
			   sizeof(id_use) - 1, id, sizeof(id));
	if (rc) {
		snprintf(error, HS_KEYRING_ERROR_BYTES,
			 "libcrypto cannot derive keys");
		return rc;
	}
	ring->ids[ring->nr_keys] = hs_le64_load(id);
	if (ring->nr_keys && ring->ids[0] == ring->ids[1]) {
		snprintf(error, HS_KEYRING_ERROR_BYTES,
			 "line %u: the same key again", line);
		return -EINVAL;
	}
	ring->nr_keys++;
	return 0;
}

int hs_keyring_parse(const char *text, size_t text_bytes,
		     struct hs_keyring *ring,
		     char error[HS_KEYRING_ERROR_BYTES])
{
	struct hs_keyring found = {0};
	unsigned int line = 0;
	size_t at = 0;
	int rc = 0;

	while (at < text_bytes && !rc) {
		size_t from = at, to, end;

		line++;
		while (at < text_bytes && text[at] != '\n')
			at++;
		end = at++;
		for (to = from; to < end && text[to] != '#'; to++)
			;
		while (from < to && strchr(" \t\r", text[from]))
			from++;
		while (to > from && strchr(" \t\r", text[to - 1]))
			to--;
		if (from < to)
			rc = add(&found, text + from, to - from, line, error);
	}
	if (!rc && !found.nr_keys) {
		snprintf(error, HS_KEYRING_ERROR_BYTES,
			 "no key in it: should be a line of %u hexadecimal "
			 "digits",
			 DIGITS);
		rc = -EINVAL;
	}
	if (!rc)
		*ring = found;
	forget(&found, sizeof(found));
	return rc;
}

static int judge(const struct stat *st, char error[HS_KEYRING_ERROR_BYTES])
{
	const char *wrong = NULL;

	if (!S_ISREG(st->st_mode))
		wrong = "is no file";
	else if (st->st_mode & (S_IRWXG | S_IRWXO))
		wrong = "others than its owner may use it: should have mode "
			"0600";
	else if (st->st_uid != 0 && st->st_uid != geteuid())
		wrong = "belongs to another user";
	else if (st->st_size > FILE_MAX_BYTES)
		wrong = "is far too long";
	if (!wrong)
		return 0;
	snprintf(error, HS_KEYRING_ERROR_BYTES, "%s", wrong);
	return -EACCES;
}

static int load(int fd, struct hs_keyring *ring,
		char error[HS_KEYRING_ERROR_BYTES])
{
	char text[FILE_MAX_BYTES];
	size_t used = 0;
	ssize_t n = 1;
	int rc;

	while (n > 0 && used < sizeof(text)) {
		n = read(fd, text + used, sizeof(text) - used);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n > 0)
			used += (size_t)n;
	}
	if (n < 0) {
		rc = -errno;
		snprintf(error, HS_KEYRING_ERROR_BYTES, "%s", strerror(-rc));
	} else {
		rc = hs_keyring_parse(text, used, ring, error);
	}
	forget(text, sizeof(text));
	return rc;
}

int hs_keyring_load(struct hs_keyring_file *file, struct hs_keyring *ring,
		    char error[HS_KEYRING_ERROR_BYTES])
{
	int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int rc;

	memset(&file->seen, 0, sizeof(file->seen));
	if (fd < 0 || fstat(fd, &file->seen)) {
		rc = -errno;
		snprintf(error, HS_KEYRING_ERROR_BYTES, "%s", strerror(-rc));
	} else {
		rc = judge(&file->seen, error);
		if (!rc)
			rc = load(fd, ring, error);
	}
	if (fd >= 0)
		close(fd);
	return rc;
}

static int same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev &&
	       a->st_size == b->st_size && a->st_mode == b->st_mode &&
	       a->st_uid == b->st_uid &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

int hs_keyring_refresh(struct hs_keyring_file *file, struct hs_keyring *ring,
		       char error[HS_KEYRING_ERROR_BYTES])
{
	struct stat now;
	int rc;

	if (!file->path)
		return 0;
	memset(&now, 0, sizeof(now)); /* gone: looks like no file at all */
	(void)stat(file->path, &now);
	if (same_file(&now, &file->seen))
		return 0;
	rc = hs_keyring_load(file, ring, error);
	return rc ? rc : 1;
}
