/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the last words of a daemon whose invariant broke; see check.h.
 */
#include "base/check.h"
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void hs_check_fail(const char *file, int line, const char *func,
		   const char *cond, const char *fmt, ...)
{
	char detail[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	hs_log_write(HS_LOG_ERROR, "check", "broken: %s at=%s:%d func=%s%s",
		     cond, file, line, func, detail);
	abort();
}
