/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where traces come from: files, directories, archives. Sizes are limited
 * after decompression, so that a small archive cannot fill the memory.
 */
#include "model/import.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "model/import_internal.h"

#define DIR_DEPTH_MAX 32
#define READ_BYTES    65536

static const char *const format_names[HS_MODEL_FORMAT_NR] = {
	"auto", "jaeger", "otlp", "nezha-csv"};

struct bytes {
	char *ptr;
	size_t len;
	size_t cap;
};

void hs_model_import_init(struct hs_model_import *imp, struct hs_model_set *set)
{
	memset(imp, 0, sizeof(*imp));
	imp->set = set;
	imp->options.limits = hs_model_limits_default();
	imp->options.max_file_bytes = 256ull << 20;
	imp->options.max_total_bytes = 4ull << 30;
	imp->options.max_depth = 100;
	imp->options.max_notes = 1000;
}

const char *hs_model_format_name(enum hs_model_format format)
{
	return (unsigned int)format < HS_MODEL_FORMAT_NR ? format_names[format]
							 : "?";
}

int hs_model_format_parse(const char *text, enum hs_model_format *format)
{
	int i;

	for (i = 0; i < HS_MODEL_FORMAT_NR; i++) {
		if (strcmp(text, format_names[i]))
			continue;
		*format = (enum hs_model_format)i;
		return 0;
	}
	return -EINVAL;
}

static int import_content(struct import_file *file, const char *bytes,
			  size_t len)
{
	enum hs_model_format format = file->imp->options.format;
	size_t at = 0;

	if (len >= 3 && !memcmp(bytes, "\xef\xbb\xbf", 3)) {
		bytes += 3;
		len -= 3;
	}
	if (format == HS_MODEL_FORMAT_NEZHA_CSV ||
	    (format == HS_MODEL_FORMAT_AUTO && import_nezha_head(bytes, len)))
		return import_nezha(file, bytes, len);
	while (at < len && strchr(" \t\r\n", bytes[at]) && bytes[at])
		at++;
	if (at < len && (bytes[at] == '{' || bytes[at] == '['))
		return import_json(file, bytes, len);
	import_say(file, NULL,
		   "holds no trace: neither JSON, Nezha's CSV, nor an archive "
		   "with such files");
	return IMPORT_SKIP;
}

int hs_model_import_bytes(struct hs_model_import *imp, const char *name,
			  const char *bytes, size_t len)
{
	struct import_file file = {.imp = imp, .name = name, .first_line = 1};
	int err = IMPORT_SKIP;

	imp->counts.nr_files++;
	if (len > imp->options.max_file_bytes)
		import_say(&file, NULL,
			   "%zu bytes, over the limit of %" PRIu64
			   " for a file",
			   len, imp->options.max_file_bytes);
	else if (imp->total_bytes > imp->options.max_total_bytes ||
		 len > imp->options.max_total_bytes - imp->total_bytes)
		import_say(&file, NULL,
			   "over the limit of %" PRIu64
			   " bytes for all files together",
			   imp->options.max_total_bytes);
	else
		err = import_content(&file, bytes, len);
	if (err < 0)
		return err;
	if (err) {
		imp->counts.nr_files_refused++;
		return HS_MODEL_IMPORT_REFUSED;
	}
	imp->total_bytes += len;
	return HS_MODEL_IMPORT_OK;
}

/* A file that failed before its content could be looked at. */
static void refuse(struct hs_model_import *imp, const char *name,
		   const char *why)
{
	struct import_file file = {.imp = imp, .name = name, .first_line = 1};

	imp->counts.nr_files++;
	imp->counts.nr_files_refused++;
	import_say(&file, NULL, "%s", why);
}

static int bytes_reserve(struct bytes *bytes)
{
	size_t cap = bytes->cap ? bytes->cap * 2 : READ_BYTES;
	char *ptr;

	if (bytes->cap - bytes->len >= READ_BYTES)
		return 0;
	while (cap - bytes->len < READ_BYTES)
		cap *= 2;
	ptr = realloc(bytes->ptr, cap);
	if (!ptr)
		return -ENOMEM;
	bytes->ptr = ptr;
	bytes->cap = cap;
	return 0;
}

/* One past the limit is read, so that the importer sees that it is over. */
static int entry_read(struct archive *archive, uint64_t max_bytes,
		      struct bytes *bytes)
{
	bytes->len = 0;
	while (bytes->len <= max_bytes) {
		ssize_t got;

		if (bytes_reserve(bytes))
			return -ENOMEM;
		got = archive_read_data(archive, bytes->ptr + bytes->len,
					READ_BYTES);
		if (got < 0)
			return -EIO;
		if (!got)
			break;
		bytes->len += (size_t)got;
	}
	return 0;
}

static int entry_import(struct hs_model_import *imp, struct archive *archive,
			struct archive_entry *entry, const char *path,
			struct bytes *bytes)
{
	const char *member = archive_entry_pathname(entry);
	uint64_t max = imp->options.max_file_bytes;
	char name[1024];
	int err;

	if (archive_entry_filetype(entry) != AE_IFREG)
		return 0;
	/* A file compressed alone has no name inside. */
	if (archive_format(archive) == ARCHIVE_FORMAT_RAW || !member)
		snprintf(name, sizeof(name), "%s", path);
	else
		snprintf(name, sizeof(name), "%s(%s)", path, member);
	if (max > imp->options.max_total_bytes - imp->total_bytes)
		max = imp->options.max_total_bytes - imp->total_bytes;
	err = entry_read(archive, max, bytes);
	if (err == -EIO)
		refuse(imp, name, archive_error_string(archive));
	if (err)
		return err;
	err = hs_model_import_bytes(imp, name, bytes->ptr, bytes->len);
	return err < 0 ? err : 0;
}

static int archive_import(struct hs_model_import *imp, const char *path)
{
	struct archive *archive = archive_read_new();
	struct archive_entry *entry;
	struct bytes bytes = {0};
	int err = 0, got;

	if (!archive)
		return -ENOMEM;
	archive_read_support_filter_all(archive);
	archive_read_support_format_all(archive);
	archive_read_support_format_raw(archive);
	got = archive_read_open_filename(archive, path, READ_BYTES);
	if (got != ARCHIVE_OK) {
		refuse(imp, path, archive_error_string(archive));
		goto out;
	}
	while (!err && (got = archive_read_next_header(archive, &entry)) !=
			       ARCHIVE_EOF) {
		if (got == ARCHIVE_FATAL) {
			refuse(imp, path, archive_error_string(archive));
			break;
		}
		err = entry_import(imp, archive, entry, path, &bytes);
		if (imp->total_bytes >= imp->options.max_total_bytes)
			break;
	}
	/* Damage inside was said and counted where it was found. */
	if (err == -EIO)
		err = 0;
out:
	archive_read_free(archive);
	free(bytes.ptr);
	return err;
}

/* Formats that wrap files, and compressions, by their first bytes. */
static bool is_archive(const char *head, size_t len)
{
	static const struct {
		const char *magic;
		size_t len, at;
	} known[] = {
		{"\xfd\x37zXZ", 5, 0},	{"\x1f\x8b", 2, 0},
		{"BZh", 3, 0},		{"\x28\xb5\x2f\xfd", 4, 0},
		{"PK\x03\x04", 4, 0},	{"ustar", 5, 257},
		{"\x04\"M\x18", 4, 0},	{"7z\xbc\xaf\x27\x1c", 6, 0},
		{"\x5d\x00\x00", 3, 0}, {"070701", 6, 0},
	};
	size_t i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (len >= known[i].at + known[i].len &&
		    !memcmp(head + known[i].at, known[i].magic, known[i].len))
			return true;
	return false;
}

static int file_read(FILE *stream, uint64_t max_bytes, struct bytes *bytes)
{
	size_t got;

	do {
		if (bytes_reserve(bytes))
			return -ENOMEM;
		got = fread(bytes->ptr + bytes->len, 1, READ_BYTES, stream);
		bytes->len += got;
		if (bytes->len <= READ_BYTES &&
		    is_archive(bytes->ptr, bytes->len))
			return 0;
	} while (got && bytes->len <= max_bytes);
	return ferror(stream) ? -EIO : 0;
}

static int file_import(struct hs_model_import *imp, const char *path)
{
	FILE *stream = fopen(path, "rbe");
	struct bytes bytes = {0};
	int err;

	if (!stream)
		return -errno;
	err = file_read(stream, imp->options.max_file_bytes, &bytes);
	fclose(stream);
	if (!err && is_archive(bytes.ptr, bytes.len))
		err = archive_import(imp, path);
	else if (!err)
		err = hs_model_import_bytes(imp, path, bytes.ptr, bytes.len);
	free(bytes.ptr);
	return err < 0 ? err : 0;
}

static int path_import(struct hs_model_import *imp, const char *path,
		       int depth);

static int dir_import(struct hs_model_import *imp, const char *path, int depth)
{
	struct dirent **names;
	int nr = scandir(path, &names, NULL, alphasort);
	int err = 0, i;

	if (nr < 0)
		return -errno;
	for (i = 0; i < nr; i++) {
		const char *name = names[i]->d_name;
		char *inner = NULL;

		if (!err && strcmp(name, ".") && strcmp(name, "..")) {
			if (asprintf(&inner, "%s/%s", path, name) < 0)
				err = -ENOMEM;
			else
				err = path_import(imp, inner, depth + 1);
			/* What cannot be opened is one file less. */
			if (err && err != -ENOMEM) {
				refuse(imp, inner, strerror(-err));
				err = 0;
			}
			free(inner);
		}
		free(names[i]);
	}
	free(names);
	return err;
}

static int path_import(struct hs_model_import *imp, const char *path, int depth)
{
	struct stat st, link;

	if (stat(path, &st) || lstat(path, &link))
		return -errno;
	if (S_ISDIR(st.st_mode)) {
		/* Links could lead in circles; only what was asked for is
		 * followed. */
		if (depth && S_ISLNK(link.st_mode))
			return 0;
		if (depth > DIR_DEPTH_MAX)
			return -ELOOP;
		return dir_import(imp, path, depth);
	}
	if (!S_ISREG(st.st_mode) && depth)
		return 0;
	return file_import(imp, path);
}

int hs_model_import_path(struct hs_model_import *imp, const char *path)
{
	return path_import(imp, path, 0);
}
