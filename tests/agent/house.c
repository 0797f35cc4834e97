/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see house.h. Waits end by a limit that only a failure reaches. */
#include "house.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fdpass.h"
#include "base/httpc.h"

#define TRIES	1500
#define WAIT_US 20000

void house_make(struct house *h, const char *extra)
{
	house_make_pool(h, "2MiB", extra);
}

void house_make_pool(struct house *h, const char *pool, const char *extra)
{
	FILE *f;

	memset(h, 0, sizeof(*h));
	snprintf(h->dir, sizeof(h->dir), "/tmp/hs-agent-test.XXXXXX");
	assert_non_null(mkdtemp(h->dir));
	assert_int_equal(chmod(h->dir, 0755), 0);
	snprintf(h->run_dir, sizeof(h->run_dir), "%s/run", h->dir);
	snprintf(h->config, sizeof(h->config), "%s/a.yaml", h->dir);
	snprintf(h->log, sizeof(h->log), "%s/log", h->dir);
	snprintf(h->socket, sizeof(h->socket), "%s/agent.sock", h->run_dir);
	snprintf(h->control, sizeof(h->control), "%s/control.sock", h->run_dir);
	f = fopen(h->config, "w");
	assert_non_null(f);
	fprintf(f,
		"node: {id: 7, name: test}\n"
		"run_dir: %s\n"
		"domains:\n"
		"  - name: default\n"
		"    socket: %s\n"
		"    pool: %s\n"
		"%s",
		h->run_dir, h->socket, pool, extra ? extra : "");
	fclose(f);
}

static void spawn(struct house *h)
{
	const char *program = getenv("HS_AGENT");

	assert_non_null(program);
	h->keeper = fork();
	assert_true(h->keeper >= 0);
	if (h->keeper == 0) {
		int fd = open(h->log, O_WRONLY | O_CREAT | O_APPEND, 0644);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(fd, 2);
		if (program)
			execl(program, "hs-agent", "--config", h->config, NULL);
		_exit(127);
	}
}

void house_start(struct house *h)
{
	spawn(h);
	house_await_worker(h, 0);
}

int house_run(struct house *h)
{
	pid_t others = h->keeper;
	int status;

	spawn(h);
	assert_int_equal(waitpid(h->keeper, &status, 0), h->keeper);
	h->keeper = others;
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	return remove(path);
}

void house_free(struct house *h)
{
	if (h->keeper > 0) {
		kill(h->keeper, SIGKILL);
		waitpid(h->keeper, NULL, 0);
	}
	nftw(h->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

json_t *house_ask(struct house *h, const char *method, const char *path,
		  const char *body, int *status)
{
	struct hs_httpc_target target = {
		.socket_path = h->control,
		.timeout_ns = 5000000000ull,
	};
	struct hs_httpc_response response;
	json_t *json = NULL;

	*status = 0;
	if (!hs_httpc_request(&target, method, path, body, &response)) {
		*status = response.status;
		json = json_loadb(response.body, response.body_bytes, 0, NULL);
	}
	hs_httpc_response_free(&response);
	return json;
}

/* "domains.0.buffers.free": keys, and indices of lists. */
static json_t *walk(json_t *json, const char *path)
{
	char part[64];

	while (json && *path) {
		size_t len = strcspn(path, ".");

		assert_true(len < sizeof(part));
		memcpy(part, path, len);
		part[len] = '\0';
		path += len + (path[len] == '.');
		json = json_is_array(json)
			       ? json_array_get(json, strtoul(part, NULL, 10))
			       : json_object_get(json, part);
	}
	return json;
}

int64_t house_number(struct house *h, const char *path)
{
	int status;
	json_t *json = house_ask(h, "GET", "/v1/status", NULL, &status);
	json_t *at = walk(json, path);
	int64_t number = json_is_integer(at) ? json_integer_value(at)
			 : json_is_array(at) ? (int64_t)json_array_size(at)
			 : json_is_true(at)  ? 1
			 : json_is_false(at) ? 0
					     : -1;

	json_decref(json);
	return number;
}

void house_await(struct house *h, const char *path, int64_t at_least)
{
	int64_t number = -1;

	for (int i = 0; i < TRIES; i++) {
		number = house_number(h, path);
		if (number >= at_least)
			return;
		usleep(WAIT_US);
	}
	fail_msg("%s is %lld, not at least %lld", path, (long long)number,
		 (long long)at_least);
}

void house_await_most(struct house *h, const char *path, int64_t at_most)
{
	int64_t number = -1;

	for (int i = 0; i < TRIES; i++) {
		number = house_number(h, path);
		if (number >= 0 && number <= at_most)
			return;
		usleep(WAIT_US);
	}
	fail_msg("%s is %lld, not at most %lld", path, (long long)number,
		 (long long)at_most);
}

pid_t house_worker(struct house *h)
{
	return (pid_t)house_number(h, "node.pid");
}

pid_t house_await_worker(struct house *h, pid_t before)
{
	for (int i = 0; i < TRIES; i++) {
		pid_t worker = house_worker(h);

		if (worker > 0 && worker != before)
			return worker;
		usleep(WAIT_US);
	}
	fail_msg("no worker answers");
	return -1;
}

int house_await_exit(struct house *h)
{
	int status;

	for (int i = 0; i < TRIES; i++) {
		if (waitpid(h->keeper, &status, WNOHANG) == h->keeper) {
			h->keeper = 0;
			assert_true(WIFEXITED(status));
			return WEXITSTATUS(status);
		}
		usleep(WAIT_US);
	}
	fail_msg("the keeper does not end");
	return -1;
}

int house_files(struct house *h)
{
	DIR *dir = opendir(h->run_dir);
	int nr = 0;

	if (!dir)
		return 0;
	while (readdir(dir))
		nr++;
	closedir(dir);
	return nr - 2;
}

bool guest_say(struct guest *g, const char *path,
	       const struct hs_shm_hello *hello)
{
	struct timeval tv = {.tv_sec = 10};
	size_t nr_fds;
	ssize_t n;

	memset(&g->welcome, 0, sizeof(g->welcome));
	g->line = hs_unix_connect(path, SOCK_SEQPACKET);
	if (g->line < 0)
		return false;
	setsockopt(g->line, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	if (hs_fdpass_send(g->line, hello, sizeof(*hello), NULL, 0))
		return false;
	n = hs_fdpass_recv(g->line, &g->welcome, sizeof(g->welcome), g->fds, 3,
			   &nr_fds);
	return n == (ssize_t)sizeof(g->welcome);
}

void guest_attach(struct guest *g, const char *path)
{
	guest_attach_version(g, path, HS_SHM_VERSION);
}

void guest_attach_version(struct guest *g, const char *path, uint16_t version)
{
	struct hs_shm_hello hello = {
		.magic = HS_SHM_HELLO_MAGIC,
		.version_min = version,
		.version_max = version,
		.service = "guest",
	};

	guest_attach_hello(g, path, &hello);
}

void guest_attach_hello(struct guest *g, const char *path,
			const struct hs_shm_hello *hello)
{
	struct hs_shm_up *up;

	memset(g, 0, sizeof(*g));
	assert_true(guest_say(g, path, hello));
	assert_int_equal(g->welcome.verdict, HS_SHM_VERDICT_NEW);
	g->down = mmap(NULL, g->welcome.down_bytes, PROT_READ, MAP_SHARED,
		       g->fds[0], 0);
	g->up = mmap(NULL, g->welcome.up_bytes, PROT_READ | PROT_WRITE,
		     MAP_SHARED, g->fds[1], 0);
	g->pool = mmap(NULL, g->welcome.pool_bytes, PROT_READ | PROT_WRITE,
		       MAP_SHARED, g->fds[2], 0);
	assert_ptr_not_equal(g->down, MAP_FAILED);
	assert_ptr_not_equal(g->up, MAP_FAILED);
	assert_ptr_not_equal(g->pool, MAP_FAILED);
	memcpy(&g->layout, g->down, sizeof(g->layout));
	assert_int_equal(g->layout.process, g->welcome.process);
	up = (struct hs_shm_up *)g->up;
	up->version = g->welcome.version;
	__atomic_store_n(&up->magic, HS_SHM_UP_MAGIC, __ATOMIC_RELEASE);
}

int guest_resume(struct guest *g, const char *path)
{
	struct hs_shm_hello hello = {
		.magic = HS_SHM_HELLO_MAGIC,
		.version_min = HS_SHM_VERSION,
		.version_max = HS_SHM_VERSION,
		.resume_process = g->layout.process,
		.resume_token = g->welcome.resume_token,
		.service = "guest",
	};
	struct guest again = *g;

	for (int i = 0; i < TRIES; i++) {
		if (guest_say(&again, path, &hello)) {
			if (g->line >= 0)
				close(g->line);
			*g = again;
			return g->welcome.verdict;
		}
		if (again.line >= 0)
			close(again.line);
		usleep(WAIT_US);
	}
	return -1;
}

void guest_free(struct guest *g)
{
	munmap((void *)(uintptr_t)g->down, g->layout.down_bytes);
	munmap(g->up, g->layout.up_bytes);
	munmap(g->pool, g->layout.pool_bytes);
	for (int i = 0; i < 3; i++)
		close(g->fds[i]);
	if (g->line >= 0)
		close(g->line);
}

uint64_t guest_take(struct guest *g)
{
	const struct hs_shm_stock_ring *ring =
		(const void *)(g->down + g->layout.down_rings);
	const uint64_t *words = (const uint64_t *)(ring + 1);
	struct hs_shm_stock_tail *tail = guest_tail(g, 0);

	for (int i = 0; i < TRIES; i++) {
		uint64_t word;

		if (__atomic_load_n(&ring->head, __ATOMIC_ACQUIRE) !=
		    tail->tail) {
			word = words[tail->tail & (g->layout.ring_words - 1)];
			__atomic_store_n(&tail->tail, tail->tail + 1,
					 __ATOMIC_RELEASE);
			return word;
		}
		usleep(WAIT_US);
	}
	fail_msg("the stock stays empty");
	return 0;
}
