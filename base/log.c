/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: daemon logging to stderr; see log.h for the guarantees.
 */
#include "base/log.h"
#include "base/clock.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

const char *const hs_log_level_names[] = {"debug", "info", "warn", "error",
					  NULL};

/* Plain ints: set at start-up, before threads. */
static enum hs_log_level level_min = HS_LOG_INFO;
static int log_fd = STDERR_FILENO;

void hs_log_level_set(enum hs_log_level level)
{
	level_min = level;
}

int hs_log_level_parse(const char *text, enum hs_log_level *level)
{
	for (int i = 0; i <= HS_LOG_ERROR; i++) {
		if (strcmp(text, hs_log_level_names[i]) == 0) {
			*level = (enum hs_log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

void hs_log_fd_set(int fd)
{
	log_fd = fd;
}

/* Control bytes become \xNN; UTF-8 passes. Returns the length written. */
static size_t escape(char *out, size_t size_bytes, const char *text)
{
	size_t n = 0;

	for (; *text != '\0' && size_bytes - n > 4; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < 0x20 || c == 0x7f) {
			static const char digits[] = "0123456789abcdef";

			out[n++] = '\\';
			out[n++] = 'x';
			out[n++] = digits[c >> 4];
			out[n++] = digits[c & 15];
		} else {
			out[n++] = (char)c;
		}
	}
	return n;
}

static size_t prefix(char *out, size_t size_bytes, enum hs_log_level level,
		     const char *component)
{
	uint64_t now_ns = hs_clock_real_ns();
	time_t sec = (time_t)(now_ns / 1000000000ULL);
	struct tm tm;
	size_t n;
	int m;

	gmtime_r(&sec, &tm);
	n = strftime(out, size_bytes, "%Y-%m-%dT%H:%M:%S", &tm);
	m = snprintf(out + n, size_bytes - n, ".%03uZ %s %.32s: ",
		     (unsigned)(now_ns / 1000000ULL % 1000ULL),
		     hs_log_level_names[level], component);
	return n + (size_t)m;
}

void hs_log_write(enum hs_log_level level, const char *component,
		  const char *fmt, ...)
{
	int errno_saved = errno;
	char text[HS_LOG_LINE_MAX_BYTES];
	char line[HS_LOG_LINE_MAX_BYTES];
	size_t n;
	va_list ap;

	if (level < level_min)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	n = prefix(line, sizeof(line), level, component);
	n += escape(line + n, sizeof(line) - n - 1, text);
	line[n++] = '\n';
	/* A full or closed stderr must not stop the daemon: the line is lost */
	if (write(log_fd, line, n) < 0)
		errno = errno_saved;
	errno = errno_saved;
}

bool hs_log_limit_pass(struct hs_log_limit *limit, uint64_t now_ns,
		       uint64_t *nr_suppressed)
{
	bool pass = false;

	pthread_mutex_lock(&limit->lock);
	if (limit->window_start_ns == 0 ||
	    now_ns - limit->window_start_ns >= HS_LOG_LIMIT_INTERVAL_NS) {
		limit->window_start_ns = now_ns;
		limit->nr_passed = 0;
	}
	if (limit->nr_passed < HS_LOG_LIMIT_BURST) {
		limit->nr_passed++;
		*nr_suppressed = limit->nr_suppressed;
		limit->nr_suppressed = 0;
		pass = true;
	} else {
		limit->nr_suppressed++;
	}
	pthread_mutex_unlock(&limit->lock);
	return pass;
}

bool hs_log_limit_pass_now(struct hs_log_limit *limit, uint64_t *nr_suppressed)
{
	return hs_log_limit_pass(limit, hs_clock_mono_ns(), nr_suppressed);
}
