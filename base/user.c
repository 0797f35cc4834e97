/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see user.h. */
#include "base/user.h"

#include <pwd.h>
#include <stdlib.h>

bool hs_user_find(const char *text, uid_t *out)
{
	const struct passwd *known = getpwnam(text);
	unsigned long number;
	char *end;

	if (known) {
		*out = known->pw_uid;
		return true;
	}
	number = strtoul(text, &end, 10);
	*out = (uid_t)number;
	return text[0] >= '0' && text[0] <= '9' && !*end && number < (uid_t)-1;
}
