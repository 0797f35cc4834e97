/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see user.h. */
#include "base/user.h"

#include <grp.h>
#include <pwd.h>
#include <stdlib.h>

/* The last of all ids is none, for the kernel and for us. */
static bool number(const char *text, id_t *out)
{
	char *end;
	unsigned long long v = strtoull(text, &end, 10);

	*out = (id_t)v;
	return text[0] >= '0' && text[0] <= '9' && !*end && v < (id_t)-1;
}

bool hs_user_find(const char *text, uid_t *out)
{
	const struct passwd *known = getpwnam(text);

	if (!known)
		return number(text, out);
	*out = known->pw_uid;
	return true;
}

bool hs_group_find(const char *text, gid_t *out)
{
	const struct group *known = getgrnam(text);

	if (!known)
		return number(text, out);
	*out = known->gr_gid;
	return true;
}
