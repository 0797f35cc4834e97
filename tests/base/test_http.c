/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: server and client against each other, and the server against
 * clients that misbehave.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/fdpass.h"
#include "base/httpc.h"
#include "base/httpd.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TOKEN "0123456789abcdef"

static char dir[64];
static char path[128];
static struct hs_httpd *httpd;
static struct hs_httpc_response answer;

static void get_thing(void *ctx, const struct hs_httpd_request *request,
		      struct hs_httpd_response *response)
{
	const char *limit = hs_httpd_query(request, "limit");

	hs_httpd_json(response, 200,
		      json_pack("{s:s, s:s?, s:s}", "id", request->param,
				"limit", limit, "ctx", (char *)ctx));
}

static void echo(void *ctx, const struct hs_httpd_request *request,
		 struct hs_httpd_response *response)
{
	response->content_type = "text/plain";
	response->body = strdup(request->body);
	response->body_bytes = request->body_bytes;
	response->status = 201;
}

static void refuse_bread(void *ctx, const struct hs_httpd_request *request,
			 struct hs_httpd_response *response)
{
	hs_httpd_error(response, 503, "no \"%s\" today", "bread");
}

static const struct hs_httpd_route routes[] = {
	{"GET", "/v1/things/{id}", get_thing, HS_ROLE_READ},
	{"POST", "/v1/echo", echo, HS_ROLE_FIRE},
	{"GET", "/v1/fail", refuse_bread, HS_ROLE_READ},
};

#define READ_TOKEN "may-only-read-things"

static struct hs_roles roles;

static void roles_fill(void)
{
	roles = (struct hs_roles){
		.owner = geteuid(),
		.nr = 2,
		.rules = {{HS_ROLES_BY_TOKEN, HS_ROLES_ALL, 0, TOKEN},
			  {HS_ROLES_BY_TOKEN, HS_ROLE_READ, 0, READ_TOKEN}},
	};
}

static int set_up(void **state)
{
	struct hs_httpd_options options = {
		.socket_path = path,
		.roles = &roles,
		.routes = routes,
		.nr_routes = 3,
		.ctx = (void *)(uintptr_t) "me",
		.request_time_ns = 100000000,
	};

	roles_fill();
	strcpy(dir, "/tmp/hs-http-XXXXXX");
	if (mkdtemp(dir) == NULL || chmod(dir, 0755) != 0)
		return -1;
	snprintf(path, sizeof(path), "%s/s", dir);
	return hs_httpd_start(&httpd, &options);
}

static int tear_down(void **state)
{
	hs_httpd_stop(httpd);
	hs_httpc_response_free(&answer);
	return rmdir(dir); /* the socket is gone, else this fails */
}

static int ask(const char *method, const char *where, const char *body)
{
	struct hs_httpc_target target = {.socket_path = path};

	hs_httpc_response_free(&answer);
	return hs_httpc_request(&target, method, where, body, &answer);
}

static void test_routes(void **state)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(ask("GET", "/v1/things/a%20b?limit=5%26", NULL), 0);
	assert_int_equal(answer.status, 200);
	assert_string_equal(answer.body,
			    "{\"id\":\"a b\",\"limit\":\"5&\",\"ctx\":\"me\"}");
	assert_int_equal(ask("POST", "/v1/echo", "{\"x\":1}"), 0);
	assert_int_equal(answer.status, 201);
	assert_string_equal(answer.body, "{\"x\":1}");
	assert_int_equal(ask("GET", "/v1/fail", NULL), 0);
	assert_int_equal(answer.status, 503);
	assert_string_equal(answer.body,
			    "{\"error\":\"no \\\"bread\\\" today\"}");
}

static void test_not_there(void **state)
{
	static const char *const paths[] = {"/", "/v1/things", "/v1/things/",
					    "/v1/things/a/b", "/v1/echoo"};

	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(ask("GET", paths[i], NULL), 0);
		assert_int_equal(answer.status, 404);
		assert_non_null(strstr(answer.body, "{\"error\":\"nothing"));
	}
	assert_int_equal(ask("DELETE", "/v1/echo", NULL), 0);
	assert_int_equal(answer.status, 405);
	assert_string_equal(answer.body, "{\"error\":\"DELETE is not answered "
					 "at /v1/echo; POST is\"}");
}

static void test_body_limit(void **state)
{
	char *big = malloc(HS_HTTPD_BODY_MAX_BYTES + 2);

	assert_non_null(big);
	memset(big, 'x', HS_HTTPD_BODY_MAX_BYTES + 1);
	big[HS_HTTPD_BODY_MAX_BYTES + 1] = '\0';
	assert_int_equal(ask("POST", "/v1/echo", big), 0);
	assert_int_equal(answer.status, 413);
	big[HS_HTTPD_BODY_MAX_BYTES] = '\0';
	assert_int_equal(ask("POST", "/v1/echo", big), 0);
	assert_int_equal(answer.status, 201);
	assert_int_equal(answer.body_bytes, HS_HTTPD_BODY_MAX_BYTES);
	free(big);
}

static void test_token(void **state)
{
	struct hs_httpc_target target = {
		.host = "127.0.0.1",
		.port = hs_httpd_tcp_port(httpd),
	};
	static const char *const wrong[] = {NULL, "", "0123456789abcdeF",
					    TOKEN "x"};

	assert_int_not_equal(target.port, 0);
	for (size_t i = 0; i < 4; i++) {
		target.token = wrong[i];
		hs_httpc_response_free(&answer);
		assert_int_equal(hs_httpc_request(&target, "GET", "/v1/fail",
						  NULL, &answer),
				 0);
		assert_int_equal(answer.status, 401);
	}
	target.token = TOKEN;
	hs_httpc_response_free(&answer);
	assert_int_equal(
		hs_httpc_request(&target, "GET", "/v1/fail", NULL, &answer), 0);
	assert_int_equal(answer.status, 503);
}

/* One token may read and not fire. */
static void test_token_role(void **state)
{
	struct hs_httpc_target target = {
		.host = "127.0.0.1",
		.port = hs_httpd_tcp_port(httpd),
		.token = READ_TOKEN,
	};
	struct hs_httpd_stats stats;

	assert_int_equal(
		hs_httpc_request(&target, "GET", "/v1/things/a", NULL, &answer),
		0);
	assert_int_equal(answer.status, 200);
	hs_httpc_response_free(&answer);
	assert_int_equal(
		hs_httpc_request(&target, "POST", "/v1/echo", "{}", &answer),
		0);
	assert_int_equal(answer.status, 403);
	assert_non_null(strstr(answer.body, "you may not fire here"));
	hs_httpd_stats_get(httpd, &stats);
	assert_int_equal(stats.requests, 2);
	assert_int_equal(stats.refused_role, 1);
	assert_int_equal(stats.refused_unknown, 0);
}

/*
 * Ask as another user, in a process of its own; 0: there was no connection.
 * With @group also as a member of that group, as a supplementary one.
 */
static int ask_as(uid_t uid, gid_t group, const char *method, const char *where)
{
	int pipe_fds[2], status = 0;
	pid_t child;

	assert_int_equal(pipe(pipe_fds), 0);
	child = fork();
	if (child == 0) {
		if (!setgroups(group != 0, &group) && !setgid(uid) &&
		    !setuid(uid) && !ask(method, where, NULL))
			status = answer.status;
		_exit(write(pipe_fds[1], &status, sizeof(status)) !=
		      sizeof(status));
	}
	assert_int_equal(read(pipe_fds[0], &status, sizeof(status)),
			 sizeof(status));
	assert_int_equal(waitpid(child, NULL, 0), child);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	return status;
}

#define ALICE 61001
#define BOB   61002
#define TEAM  61003

static void test_other_users(void **state)
{
	struct hs_httpd_stats stats;

	if (geteuid() != 0)
		skip();
	/* By default the socket is not even open to them. */
	assert_int_equal(ask_as(ALICE, 0, "GET", "/v1/things/a"), 0);
	roles.rules[roles.nr++] = (struct hs_roles_rule){
		HS_ROLES_BY_USER, HS_ROLE_READ, ALICE, ""};
	roles.rules[roles.nr++] = (struct hs_roles_rule){
		HS_ROLES_BY_GROUP, HS_ROLE_FIRE, TEAM, ""};
	hs_httpd_roles_set(httpd, &roles);
	assert_int_equal(ask_as(ALICE, 0, "GET", "/v1/things/a"), 200);
	assert_int_equal(ask_as(ALICE, 0, "POST", "/v1/echo"), 403);
	assert_int_equal(ask_as(BOB, 0, "GET", "/v1/things/a"), 403);
	assert_int_equal(ask_as(BOB, 0, "POST", "/v1/echo"), 403);
	/* Rules add up, and a supplementary group counts like the first. */
	assert_int_equal(ask_as(ALICE, TEAM, "POST", "/v1/echo"), 201);
	assert_int_equal(ask_as(BOB, TEAM, "POST", "/v1/echo"), 201);
	assert_int_equal(ask_as(TEAM, 0, "POST", "/v1/echo"), 201);
	assert_int_equal(ask_as(BOB, TEAM, "GET", "/v1/things/a"), 403);
	assert_int_equal(ask("POST", "/v1/echo", NULL), 0);
	assert_int_equal(answer.status, 201);
	hs_httpd_stats_get(httpd, &stats);
	assert_int_equal(stats.refused_unknown, 2);
	assert_int_equal(stats.refused_role, 2);
	/* Taken away again. */
	roles.nr = 0;
	hs_httpd_roles_set(httpd, &roles);
	assert_int_equal(ask_as(ALICE, TEAM, "POST", "/v1/echo"), 0);
}

static void test_client_limits(void **state)
{
	struct hs_httpc_target target = {.socket_path = path,
					 .body_max_bytes = 4};
	char *text;

	assert_int_equal(
		hs_httpc_request(&target, "POST", "/v1/echo", "12345", &answer),
		-EMSGSIZE);
	assert_string_equal(answer.error, "the answer is over 4 bytes");
	hs_httpc_response_free(&answer);
	target.socket_path = "/tmp/hs-nobody-is-here";
	assert_int_equal(hs_httpc_request(&target, "GET", "/", NULL, &answer),
			 -ECONNREFUSED);
	assert_true(answer.error[0] != '\0');
	text = hs_httpc_escape("a b/&?");
	assert_string_equal(text, "a%20b%2F%26%3F");
	free(text);
}

/* A client that never finishes its headers is hung up on. */
static void test_slow_client_is_cut(void **state)
{
	int fd = hs_unix_connect(path, SOCK_STREAM);
	char buf[512];
	ssize_t n;

	assert_true(fd >= 0);
	assert_int_equal(send(fd, "GET / HT", 8, MSG_NOSIGNAL), 8);
	do {
		n = recv(fd, buf, sizeof(buf), 0);
	} while (n > 0);
	assert_true(n == 0 || errno == ECONNRESET);
	close(fd);
	assert_int_equal(ask("GET", "/v1/fail", NULL), 0);
}

static void test_start_refused(void **state)
{
	struct hs_httpd_options options = {.socket_path = path};
	struct hs_httpd *second = NULL;

	assert_int_equal(hs_httpd_start(&second, &options), -EADDRINUSE);
	assert_int_equal(ask("GET", "/v1/fail", NULL), 0);
	options = (struct hs_httpd_options){.roles = &roles,
					    .tcp_address = "localhost"};
	assert_int_equal(hs_httpd_start(&second, &options), -EINVAL);
	options = (struct hs_httpd_options){0};
	assert_int_equal(hs_httpd_start(&second, &options), -EINVAL);
	assert_null(second);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(test_routes),	  CASE(test_not_there),
		CASE(test_body_limit),	  CASE(test_token),
		CASE(test_client_limits), CASE(test_slow_client_is_cut),
		CASE(test_start_refused), CASE(test_token_role),
		CASE(test_other_users),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
