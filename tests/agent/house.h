/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: a real hs-agent in a directory of its own, for tests: started,
 * asked, killed and waited for. And a client of shm_format.h that shares no
 * code with libhindsight, to do what that would never do.
 *
 * The program is named by the environment: HS_AGENT.
 */
#ifndef HS_TEST_HOUSE_H
#define HS_TEST_HOUSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <jansson.h>

#include "hs/shm_format.h"

struct house {
	char dir[64];
	char run_dir[80];
	char config[80];
	char socket[100];
	char control[100];
	char log[80];
	pid_t keeper;
};

/** house_make() - a directory and a configuration; @extra is YAML or NULL */
void house_make(struct house *h, const char *extra);
void house_make_pool(struct house *h, const char *pool, const char *extra);
/** house_start() - and wait until it answers */
void house_start(struct house *h);
/** house_run() - start it; Return: its exit status, where it ends at once */
int house_run(struct house *h);
/** house_free() - kill what runs, remove everything */
void house_free(struct house *h);

/** house_ask() - Return: JSON, which is the caller's, or NULL */
json_t *house_ask(struct house *h, const char *method, const char *path,
		  const char *body, int *status);
/** house_number() - a number of /v1/status: "stats.resumed", -1: not there */
int64_t house_number(struct house *h, const char *path);
/** house_await() - until the number is at least (most) so much, or fail */
void house_await(struct house *h, const char *path, int64_t at_least);
void house_await_most(struct house *h, const char *path, int64_t at_most);
pid_t house_worker(struct house *h);
/** house_await_worker() - another than @before, answering */
pid_t house_await_worker(struct house *h, pid_t before);
/** house_await_exit() - of the keeper. Return: its exit status */
int house_await_exit(struct house *h);
/** house_files() - how many names there are in the run directory */
int house_files(struct house *h);

struct guest {
	int line;
	int fds[3]; /* down, up, pool */
	struct hs_shm_welcome welcome;
	struct hs_shm_down layout;
	const uint8_t *down;
	uint8_t *up;
	uint8_t *pool;
};

/** guest_say() - connect and say it. Return: whether there was a welcome */
bool guest_say(struct guest *g, const char *path,
	       const struct hs_shm_hello *hello);
/** guest_attach() - as new, mapped, and ready; or fail */
void guest_attach_hello(struct guest *g, const char *path,
			const struct hs_shm_hello *hello);
void guest_attach_version(struct guest *g, const char *path, uint16_t version);
void guest_attach(struct guest *g, const char *path);
/** guest_resume() - Return: the verdict, or -1 */
int guest_resume(struct guest *g, const char *path);
void guest_free(struct guest *g);

static inline struct hs_shm_lane *guest_lane(struct guest *g, uint32_t lane)
{
	return (struct hs_shm_lane *)(g->up + g->layout.up_lanes +
				      lane * g->layout.lane_stride);
}
static inline struct hs_shm_stock_tail *guest_tail(struct guest *g,
						   uint32_t ring)
{
	return (struct hs_shm_stock_tail *)(g->up + g->layout.up_rings) + ring;
}
/** guest_take() - a stock word from ring 0, waited for; or fail */
uint64_t guest_take(struct guest *g);

#endif
