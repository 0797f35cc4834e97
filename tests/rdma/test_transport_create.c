/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_transport_create.c - which carrier it is, and why
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "rdma/transport_create.h"
#include "rdma/transport_verbs.h"

static char why[HS_TRANSPORT_WHY_BYTES];

static struct hs_transport *make(const struct hs_transport_settings *settings)
{
	static const struct hs_transport_events events = {NULL};
	const struct hs_transport_self self = {
		.role = HS_WIRE_ROLE_AGENT, .node = 7, .name = "node"};

	why[0] = '\0';
	errno = 0;
	return hs_transport_create(settings, &self, NULL, &events, NULL, why);
}

static void tcp(void **state)
{
	const struct hs_transport_settings none = {.kind = HS_TRANSPORT_TCP};
	struct hs_transport_verbs_stats st;
	struct hs_transport *t = make(&none);

	assert_non_null(t);
	assert_string_equal(t->ops->name, "tcp");
	assert_string_equal(why, "tcp: configured");
	assert_false(hs_transport_verbs_stats(t, &st));
	hs_transport_destroy(t);
}

/* Whatever this machine has: a device of that name it has not. */
static void no_such_device(void **state)
{
	char name[] = "no-such-device";
	struct hs_transport_settings s = {
		.kind = HS_TRANSPORT_VERBS, .device = name, .gid_index = -1};

	assert_null(make(&s));
	assert_true(errno == ENODEV || errno == EOPNOTSUPP);
	assert_memory_equal(why, "no verbs: ", 10);
}

static void automatic(void **state)
{
	struct hs_transport_settings s = {.kind = HS_TRANSPORT_AUTO,
					  .gid_index = -1};
	struct hs_transport *t = make(&s);

	assert_non_null(t);
	assert_memory_equal(why, t->ops->name, strlen(t->ops->name));
	assert_non_null(strstr(why, ": auto"));
	hs_transport_destroy(t);
}

static void too_long(void **state)
{
	char name[HS_VERBS_NAME_BYTES + 8];
	struct hs_transport_settings s = {
		.kind = HS_TRANSPORT_AUTO, .source = name, .gid_index = -1};

	memset(name, 'x', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	assert_null(make(&s));
	assert_int_equal(errno, EINVAL);
}

static void shm(void **state)
{
	const struct hs_transport_settings s = {.kind = HS_TRANSPORT_SHM};
	struct hs_transport *t = make(&s);

	(void)state;
	assert_non_null(t);
	assert_string_equal(t->ops->name, "shm");
	assert_string_equal(why, "shm: configured, all on this machine");
	hs_transport_destroy(t);
}

static void shm_users(void **state)
{
	char root[] = "root", number[] = "4711", all[] = "*";
	char nobody[] = "no such user", minus[] = "-1";
	char *names[] = {root, number, all};
	struct hs_transport_settings s = {.kind = HS_TRANSPORT_SHM,
					  .shm_users = {names, 3}};
	struct hs_transport *t = make(&s);

	(void)state;
	assert_non_null(t);
	hs_transport_destroy(t);
	names[1] = nobody;
	assert_null(make(&s));
	assert_int_equal(errno, EINVAL);
	assert_non_null(strstr(why, "shm_users: \"no such user\" should be"));
	names[1] = minus;
	assert_null(make(&s));
}

static void tls_wants_tcp(void **state)
{
	char name[] = "cert.pem";
	struct hs_transport_settings s = {.kind = HS_TRANSPORT_SHM,
					  .tls_cert = name};

	(void)state;
	assert_null(make(&s));
	assert_int_equal(errno, EINVAL);
	assert_memory_equal(why, "no shm: transport.tls_cert wants", 32);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp),
		cmocka_unit_test(shm),
		cmocka_unit_test(shm_users),
		cmocka_unit_test(tls_wants_tcp),
		cmocka_unit_test(no_such_device),
		cmocka_unit_test(automatic),
		cmocka_unit_test(too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
