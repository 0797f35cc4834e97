/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: files of cluster keys, good, bad, open to others, and changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/keyring.h"

#define A "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define B "A0112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff"

static void taken(const char *text, uint32_t nr_keys)
{
	char error[HS_KEYRING_ERROR_BYTES];
	struct hs_keyring r = {0};

	assert_int_equal(hs_keyring_parse(text, strlen(text), &r, error), 0);
	assert_int_equal(r.nr_keys, nr_keys);
	for (uint32_t i = 0; i < nr_keys; i++)
		assert_true(r.ids[i]);
}

static void refused(const char *text, const char *because)
{
	char error[HS_KEYRING_ERROR_BYTES];
	struct hs_keyring r = {.nr_keys = 7};

	assert_int_equal(hs_keyring_parse(text, strlen(text), &r, error),
			 -EINVAL);
	assert_int_equal(r.nr_keys, 7);
	if (!strstr(error, because))
		fail_msg("\"%s\" does not say \"%s\"", error, because);
}

static void texts(void **state)
{
	(void)state;
	taken(A, 1);
	taken(A "\n", 1);
	taken("# made by hand\n\n  " A " # the old one\r\n" B, 2);
	taken(A "\n" B "\n\n\n#", 2);
	refused("", "no key in it");
	refused("\n# " A "\n", "no key in it");
	refused("abc", "line 1: should be 64 hexadecimal digits");
	refused(A "\n" A "0\n", "line 2: should be 64 hexadecimal digits");
	refused(A A, "line 1");
	refused("\n" A "\n\n" B "\n" B, "line 5: more than 2 keys");
	refused(A "\n" A, "line 2: the same key again");
	refused("x" A, "line 1");
}

static void ids_tell_keys_apart(void **state)
{
	char error[HS_KEYRING_ERROR_BYTES];
	struct hs_keyring ab, ba;

	(void)state;
	assert_int_equal(hs_keyring_parse(A "\n" B, 2 * 64 + 1, &ab, error), 0);
	assert_int_equal(hs_keyring_parse(B "\n" A, 2 * 64 + 1, &ba, error), 0);
	assert_true(ab.ids[0] == ba.ids[1] && ab.ids[1] == ba.ids[0]);
	assert_true(ab.ids[0] != ab.ids[1]);
}

static char path[] = "/tmp/hs-keyring-XXXXXX";

static void write_file(const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_TRUNC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void files(void **state)
{
	static const mode_t open_to_others[] = {0640, 0604, 0620, 0602, 0666};
	char error[HS_KEYRING_ERROR_BYTES];
	struct hs_keyring_file f = {.path = path};
	struct hs_keyring r = {0};

	(void)state;
	write_file(A "\n", 0600);
	assert_int_equal(hs_keyring_load(&f, &r, error), 0);
	write_file(A "\n", 0400);
	assert_int_equal(hs_keyring_load(&f, &r, error), 0);
	for (size_t i = 0; i < 5; i++) {
		write_file(A "\n", open_to_others[i]);
		assert_int_equal(hs_keyring_load(&f, &r, error), -EACCES);
		assert_non_null(strstr(error, "should have mode 0600"));
	}
	assert_int_equal(r.nr_keys, 1);
	f.path = "/tmp";
	assert_int_equal(hs_keyring_load(&f, &r, error), -EACCES);
	f.path = "/nonexistent/key";
	assert_int_equal(hs_keyring_load(&f, &r, error), -ENOENT);
	f.path = "/dev/zero";
	assert_int_equal(hs_keyring_load(&f, &r, error), -EACCES);
}

static void changes(void **state)
{
	char error[HS_KEYRING_ERROR_BYTES];
	struct hs_keyring_file f = {.path = path};
	struct hs_keyring r = {0};

	(void)state;
	write_file(A "\n", 0600);
	assert_int_equal(hs_keyring_load(&f, &r, error), 0);
	assert_int_equal(hs_keyring_refresh(&f, &r, error), 0);
	write_file(B "\n" A "\n", 0600);
	assert_int_equal(hs_keyring_refresh(&f, &r, error), 1);
	assert_int_equal(r.nr_keys, 2);
	assert_int_equal(hs_keyring_refresh(&f, &r, error), 0);
	/* Half written: as before, said once, and taken when it is whole. */
	write_file(B "\n" A "\n" A, 0600);
	assert_int_equal(hs_keyring_refresh(&f, &r, error), -EINVAL);
	assert_int_equal(hs_keyring_refresh(&f, &r, error), 0);
	assert_int_equal(r.nr_keys, 2);
	write_file(B "\n", 0600);
	assert_int_equal(hs_keyring_refresh(&f, &r, error), 1);
	assert_int_equal(r.nr_keys, 1);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(hs_keyring_refresh(&f, &r, error), -ENOENT);
	assert_int_equal(hs_keyring_refresh(&f, &r, error), 0);
	assert_int_equal(r.nr_keys, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts),
		cmocka_unit_test(ids_tell_keys_apart),
		cmocka_unit_test(files),
		cmocka_unit_test(changes),
	};
	int fd = mkstemp(path);

	if (fd < 0)
		return 1;
	close(fd);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
