/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what daemons and tools say on stderr, one line an event:
 *   2026-01-02T03:04:05.678Z info agent: pool ready size_bytes=67108864
 * The text is free, facts follow it as key=value.
 *
 * Guarantees: one write(2) a line, so lines of threads and processes do not
 * mix; control bytes are escaped, so that text from outside cannot forge a
 * line; a line is cut at HS_LOG_LINE_MAX_BYTES. Rate limits count on the
 * monotonic clock. Never used inside libhindsight, which counts instead.
 */
#ifndef HS_LOG_H
#define HS_LOG_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define HS_LOG_LINE_MAX_BYTES 1024

enum hs_log_level {
	HS_LOG_DEBUG,
	HS_LOG_INFO,
	HS_LOG_WARN,
	HS_LOG_ERROR,
};

/**
 * hs_log_level_set() - say nothing below this level; HS_LOG_INFO at start
 * @level: the lowest level that is written
 *
 * Context: any thread.
 */
void hs_log_level_set(enum hs_log_level level);

/* By level, then NULL: the choices of a key in a configuration. */
extern const char *const hs_log_level_names[];

/**
 * hs_log_level_parse() - read "debug", "info", "warn" or "error"
 * @text: the word
 * @level: where the level goes
 *
 * Return: 0, or -EINVAL and @level is untouched.
 */
int hs_log_level_parse(const char *text, enum hs_log_level *level);

/**
 * hs_log_fd_set() - write to another descriptor than stderr
 * @fd: the descriptor, which stays the caller's
 *
 * Context: at start-up, before threads; tests.
 */
void hs_log_fd_set(int fd);

/**
 * hs_log_write() - write one line
 * @level: its level
 * @component: who speaks: "agent", "keeper", "config"
 * @fmt: printf format: text, then key=value facts, no newline
 *
 * Context: any thread; not async-signal-safe; keeps errno.
 */
void hs_log_write(enum hs_log_level level, const char *component,
		  const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#define hs_log_debug(component, ...)                                           \
	hs_log_write(HS_LOG_DEBUG, component, __VA_ARGS__)
#define hs_log_info(component, ...)                                            \
	hs_log_write(HS_LOG_INFO, component, __VA_ARGS__)
#define hs_log_warn(component, ...)                                            \
	hs_log_write(HS_LOG_WARN, component, __VA_ARGS__)
#define hs_log_error(component, ...)                                           \
	hs_log_write(HS_LOG_ERROR, component, __VA_ARGS__)

#define HS_LOG_LIMIT_BURST	 5
#define HS_LOG_LIMIT_INTERVAL_NS 10000000000ULL

/* One per place that may speak too often; guarded by its own lock. */
struct hs_log_limit {
	pthread_mutex_t lock;
	uint64_t window_start_ns; /* 0: no window yet */
	uint64_t nr_suppressed;	  /* since the last line that passed */
	uint32_t nr_passed;	  /* within the window */
};

#define HS_LOG_LIMIT_INIT                                                      \
	{                                                                      \
		.lock = PTHREAD_MUTEX_INITIALIZER                              \
	}

/**
 * hs_log_limit_pass() - may this place speak now?
 * @limit: the place's state
 * @now_ns: monotonic time
 * @nr_suppressed: how many lines were held back since the last that passed;
 *	set when true is returned
 *
 * HS_LOG_LIMIT_BURST lines per HS_LOG_LIMIT_INTERVAL_NS pass.
 *
 * Context: any thread.
 * Return: true to speak, false to stay silent (counted).
 */
bool hs_log_limit_pass(struct hs_log_limit *limit, uint64_t now_ns,
		       uint64_t *nr_suppressed);

bool hs_log_limit_pass_now(struct hs_log_limit *limit, uint64_t *nr_suppressed);

/* A line that says "suppressed=N" for those of this place that were not said.
 * The format must be a literal. */
#define hs_log_limited(level, component, fmt, ...)                             \
	do {                                                                   \
		static struct hs_log_limit hs_limit_ = HS_LOG_LIMIT_INIT;      \
		uint64_t hs_nr_;                                               \
		if (hs_log_limit_pass_now(&hs_limit_, &hs_nr_))                \
			hs_log_write(level, component, fmt " suppressed=%llu", \
				     ##__VA_ARGS__,                            \
				     (unsigned long long)hs_nr_);              \
	} while (0)

#endif
