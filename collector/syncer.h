/* SPDX-License-Identifier: Apache-2.0 */
/*
 * syncer.h - a thread that waits for the disk, so that another need not
 *
 * Context: one thread begins and waits, in turns.
 */
#ifndef HS_COLLECTOR_SYNCER_H
#define HS_COLLECTOR_SYNCER_H

#include <pthread.h>
#include <stdbool.h>

struct hs_syncer {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	pthread_t thread;
	bool has_thread;
	bool stop;
	int fd; /* to be synced; -1: none */
	int result;
};

void hs_syncer_init(struct hs_syncer *s);
/** hs_syncer_start() - Return: 0, -errno */
int hs_syncer_start(struct hs_syncer *s);
/** hs_syncer_end() - nothing is under way */
void hs_syncer_end(struct hs_syncer *s);

/** hs_syncer_begin() - fdatasync(@fd), which stays open until wait() */
void hs_syncer_begin(struct hs_syncer *s, int fd);
/** hs_syncer_wait() - Return: 0, or what it failed with as -errno */
int hs_syncer_wait(struct hs_syncer *s);

#endif
