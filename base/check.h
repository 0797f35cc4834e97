/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: invariants of the daemons, checked always, in every build.
 *
 * Guarantees: a check that fails says where and what, then aborts, so that
 * the supervisor (keeper, systemd) starts a successor on a sound state. Never
 * used inside libhindsight: a guest in somebody else's process does not abort.
 * Outside input is never checked by this; it is refused by an error.
 */
#ifndef HS_CHECK_H
#define HS_CHECK_H

/**
 * hs_check_fail() - report a broken invariant and abort
 * @file: source file of the check
 * @line: line of the check
 * @func: function of the check
 * @cond: text of the condition that did not hold
 * @fmt: printf format of what is known beside, " " for nothing
 *
 * Context: any thread; does not return.
 */
void hs_check_fail(const char *file, int line, const char *func,
		   const char *cond, const char *fmt, ...)
	__attribute__((noreturn, cold, format(printf, 5, 6)));

/* The blank before the format keeps "no message" a non-empty format. */
#define hs_check(cond, ...)                                                    \
	do {                                                                   \
		if (__builtin_expect(!(cond), 0))                              \
			hs_check_fail(__FILE__, __LINE__, __func__, #cond,     \
				      " " __VA_ARGS__);                        \
	} while (0)

#endif
