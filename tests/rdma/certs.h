/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: certificates for tests, made on the spot by libcrypto. */
#ifndef HS_TESTS_CERTS_H
#define HS_TESTS_CERTS_H

struct certs_files {
	char cert[96];
	char key[96]; /* mode 0600 */
};

/**
 * certs_make() - a key and its certificate, as PEM files
 * @dir: where
 * @name: of the files, and its common name
 * @san: subjectAltName, "URI:hs:agent/node-1"; NULL: none
 * @ca: who signs; NULL: itself, as an authority
 * @from_s, @to_s: valid from and to, relative to now
 *
 * Ends the program if it cannot.
 */
struct certs_files certs_make(const char *dir, const char *name,
			      const char *san, const struct certs_files *ca,
			      long from_s, long to_s);

#endif
